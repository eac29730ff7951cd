// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plug-in for iproute2's `ip`, so that `ip link add p0 type vnic peer name
 * p1` works as with veth. iproute2 looks for link_<type>.so in the folder that
 * IP_LIB_DIR names and reads the symbol <type>_link_util. This file owns that
 * symbol; it must not call anything in `ip` itself.
 *
 * Only the first four members of iproute2's struct are used here; the ones
 * that follow are function pointers it tests for NULL before use, hence the
 * zeroed tail.
 */
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define VNIC_INFO_PEER	1
/* the size of the request buffer's attribute area in `ip link` */
#define MAX_REQUEST	1024

struct link_util {
	struct link_util *next;
	const char *id;
	int maxattr;
	int (*parse_opt)(struct link_util *lu, int argc, char **argv,
			 struct nlmsghdr *n);
	void *tail[8];
};

static int put(struct nlmsghdr *n, const void *data, unsigned int len)
{
	if (NLMSG_ALIGN(n->nlmsg_len) + RTA_ALIGN(len) > MAX_REQUEST)
		return -1;
	memset((char *)n + n->nlmsg_len, 0, RTA_ALIGN(len));
	memcpy((char *)n + n->nlmsg_len, data, len);
	n->nlmsg_len = NLMSG_ALIGN(n->nlmsg_len) + RTA_ALIGN(len);
	return 0;
}

static int parse(struct link_util *lu, int argc, char **argv,
		 struct nlmsghdr *n)
{
	struct ifinfomsg ifi = { 0 };
	struct rtattr peer = { .rta_type = VNIC_INFO_PEER };
	struct rtattr name = { .rta_type = IFLA_IFNAME };
	unsigned int start;
	size_t len;

	(void)lu;
	if (argc == 2 && !strcmp(argv[0], "peer")) {
		argv += 1;
	} else if (argc == 3 && !strcmp(argv[0], "peer") &&
		   !strcmp(argv[1], "name")) {
		argv += 2;
	} else {
		fprintf(stderr, "Usage: ip link add DEV type vnic [ peer [ name ] PEER ]\n");
		return -1;
	}
	len = strlen(argv[0]) + 1;
	if (len < 2 || len > IF_NAMESIZE) {
		fprintf(stderr, "vnic: \"%s\" is not a valid interface name\n",
			argv[0]);
		return -1;
	}

	n->nlmsg_len = NLMSG_ALIGN(n->nlmsg_len);
	start = n->nlmsg_len;
	name.rta_len = RTA_LENGTH(len);
	if (put(n, &peer, sizeof(peer)) || put(n, &ifi, sizeof(ifi)) ||
	    put(n, &name, sizeof(name)) || put(n, argv[0], len))
		return -1;
	((struct rtattr *)((char *)n + start))->rta_len = n->nlmsg_len - start;
	return 0;
}

struct link_util vnic_link_util = {
	.id = "vnic",
	.maxattr = 1,
	.parse_opt = parse,
};
