/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Network namespaces of rows.
 *
 * To make one, and to let the kernel take it down, costs more than what most
 * rows do in it. A lane therefore plays its next row in the same one, unless the
 * last one has changed links, addresses, routes or settings: then there is a new
 * one. What is in the SAD and the SPD is flushed in between. Called by main.c.
 */

#include "parity.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

/** Of the rule that kernel-netlink adds when it is loaded */
#define ROUTING_TABLE 220

/**
 * Have ip(8) do what stands in a batch; without a shell between, as there are
 * hundreds of rows.
 */
static bool run_batch(const char *batch)
{
	ssize_t len = strlen(batch);
	int ends[2], status;
	pid_t pid;

	if (pipe(ends))
	{
		return FALSE;
	}
	pid = fork();
	if (pid == 0)
	{
		dup2(ends[0], STDIN_FILENO);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		close(ends[1]);
		execlp("ip", "ip", "-batch", "-", NULL);
		_exit(127);
	}
	close(ends[0]);
	if (pid < 0 || write(ends[1], batch, len) != len)
	{
		close(ends[1]);
		return FALSE;
	}
	close(ends[1]);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/**
 * Links, addresses and routes that every row finds.
 */
static bool topology(bool nic)
{
	return run_batch(
			"link set lo up\n"
			"link add left type dummy\n"
			"link add right type dummy\n"
			"link add inner type dummy\n"
			"link set left up\n"
			"link set right up\n"
			"link set inner up\n"
			"addr add " LEFT4 "/24 dev left\n"
			"addr add " LEFT6 "/64 dev left nodad\n"
			"addr add " RIGHT4 "/24 dev right\n"
			"addr add " INNER4 "/16 dev inner\n"
			"addr add " INNER6 "/64 dev inner nodad\n"
			"route add default via 192.0.2.254\n"
			"route add ::/0 via 2001:db8:1::fe dev left\n") &&
		   (!nic || run_batch(
			"link add p0 type vnic peer name p1\n"
			"link set p0 up\n"
			"link set p1 up\n"
			"addr add " NIC4 "/24 dev p0\n"
			"neigh add " NICPEER4 " lladdr 02:00:00:00:00:02 dev p0 nud "
				"permanent\n"));
}

/**
 * Remove kernel-netlink's rule of a family, if it is there.
 */
static bool delete_rule(u_char family)
{
	struct {
		struct nlmsghdr hdr;
		struct fib_rule_hdr rule;
		struct rtattr attr;
		uint32_t priority;
	} request = {
		.hdr = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_DELRULE,
		},
		.rule = {
			.family = family,
			.table = ROUTING_TABLE,
		},
		.attr = {
			.rta_len = RTA_LENGTH(sizeof(uint32_t)),
			.rta_type = FRA_PRIORITY,
		},
		.priority = ROUTING_TABLE,
	};
	int error = netlink_request(NETLINK_ROUTE, &request.hdr);

	return !error || error == ENOENT;
}

/**
 * Remove what the last row left in this namespace. Its process has ended, so
 * that there is nobody who puts it back.
 */
static bool clean()
{
	struct {
		struct nlmsghdr hdr;
		struct xfrm_usersa_flush flush;
	} request = {
		.hdr = {
			.nlmsg_len = NLMSG_LENGTH(sizeof(struct xfrm_usersa_flush)),
			.nlmsg_type = XFRM_MSG_FLUSHSA,
		},
	};
	int error = netlink_request(NETLINK_XFRM, &request.hdr);

	/* says so if there was nothing */
	if (error && error != ESRCH)
	{
		return FALSE;
	}
	request.hdr.nlmsg_len = NLMSG_LENGTH(0);
	request.hdr.nlmsg_type = XFRM_MSG_FLUSHPOLICY;
	request.hdr.nlmsg_flags = 0;
	error = netlink_request(NETLINK_XFRM, &request.hdr);
	return (!error || error == ESRCH) && delete_rule(AF_INET) &&
		   delete_rule(AF_INET6);
}

bool namespace_enter(int *netns, bool nic)
{
	if (*netns >= 0 && !nic && setns(*netns, CLONE_NEWNET) == 0 && clean())
	{
		return TRUE;
	}
	namespace_drop(netns);
	if (unshare(CLONE_NEWNET) || !topology(nic))
	{
		return FALSE;
	}
	*netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return *netns >= 0;
}

void namespace_drop(int *netns)
{
	if (*netns >= 0)
	{
		close(*netns);
		*netns = -1;
	}
}
