/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The floor: sends what record.c kept, one datagram after the other, each when
 * the one before is answered. Nobody can be faster who sends these messages and
 * wants to know what became of them.
 */

#include "record.h"
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/netlink.h>
#include <unistd.h>

/** Of netlink's protocols */
#define PROTOCOLS 32

static int sockets[PROTOCOLS];

static int socket_of(int protocol)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 1 };
	int fd, on = 1;

	if (protocol < 0 || protocol >= PROTOCOLS)
	{
		return -1;
	}
	if (!sockets[protocol])
	{
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
		/* as the plugin has it: the kernel's answer is shorter */
		if (fd < 0 || bind(fd, (struct sockaddr*)&addr, sizeof(addr)) ||
			setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) ||
			setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) ||
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		{
			return -1;
		}
		sockets[protocol] = fd;
	}
	return sockets[protocol];
}

/**
 * Whether an answer is a refusal; those that the plugin got are here as well.
 */
static bool refused(const char *answer, ssize_t len)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr*)answer;

	return NLMSG_OK(hdr, len) && hdr->nlmsg_type == NLMSG_ERROR &&
		   ((const struct nlmsgerr*)NLMSG_DATA(hdr))->error != 0;
}

/**
 * Whether this is the end of a dump, of which the kernel may make more or less
 * datagrams than when it was recorded.
 */
static bool ended(const char *answer, ssize_t len)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr*)answer;

	for (; NLMSG_OK(hdr, len); hdr = NLMSG_NEXT(hdr, len))
	{
		if (hdr->nlmsg_type == NLMSG_DONE || hdr->nlmsg_type == NLMSG_ERROR)
		{
			return TRUE;
		}
	}
	return FALSE;
}

static void report(const char *phase, u_int count, u_int sent, u_int refusals,
				   u_int missing, meter_t *meter)
{
	meter_stop(meter);
	printf("result phase=%s wanted=%u done=%u failed=%u refused=%u datagrams=%u "
		   "wall=%llu user=%llu system=%llu\n", phase, count, count, missing,
		   refusals, sent, (unsigned long long)meter->wall,
		   (unsigned long long)meter->user, (unsigned long long)meter->system);
	fflush(stdout);
}

int floor_main(const char *file)
{
	static char answer[1 << 16];
	const char *at, *end;
	entry_t phase = {};
	u_int refusals = 0, sent = 0, missing = 0;
	struct stat info;
	meter_t meter;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &info) || !info.st_size)
	{
		perror(file);
		return 3;
	}
	at = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
	{
		perror(file);
		return 3;
	}
	for (end = at + info.st_size; at < end;)
	{
		/* entries follow each other without gaps, wherever they begin */
		entry_t entry;
		bool dump;
		uint32_t i;
		int sock;

		memcpy(&entry, at, sizeof(entry));
		if (entry.kind == ENTRY_PHASE)
		{
			if (*phase.name)
			{
				report(phase.name, phase.count, sent, refusals, missing, &meter);
			}
			phase = entry;
			at += sizeof(entry);
			sent = refusals = missing = 0;
			meter_start(&meter);
			continue;
		}
		at += sizeof(entry);
		dump = (((const struct nlmsghdr*)at)->nlmsg_flags & NLM_F_DUMP) ==
																	NLM_F_DUMP;
		sock = socket_of(entry.protocol);
		if (sock < 0 || send(sock, at, entry.len, 0) < 0)
		{
			perror("cannot send");
			return 3;
		}
		for (i = 0; dump || i < entry.count; i++)
		{
			ssize_t len = recv(sock, answer, sizeof(answer), 0);

			if (len < 0)
			{	/* the plugin got one more: said, and a failure of the bench */
				missing++;
				break;
			}
			refusals += refused(answer, len);
			if (dump && ended(answer, len))
			{
				break;
			}
		}
		sent++;
		at += entry.len;
	}
	if (*phase.name)
	{
		report(phase.name, phase.count, sent, refusals, missing, &meter);
	}
	return 0;
}
