/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fills the main routing table, as BGP does: /24s of 32.0.0.0 and up over a
 * gateway. Many messages go in one datagram, since a million of them would take
 * longer than what is measured.
 */

#include "bench.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#define BATCH 512

typedef struct {
	struct nlmsghdr hdr;
	struct rtmsg msg;
	struct rtattr dst;
	uint32_t net;
	struct rtattr via;
	uint32_t gateway;
	struct rtattr oif;
	uint32_t ifindex;
} route_t;

int routes_main(u_int count)
{
	static route_t batch[BATCH];
	char answer[4096];
	uint32_t gateway = inet_addr("192.0.2.254");
	uint32_t ifindex = if_nametoindex("left");
	u_int i, filled = 0;
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || !ifindex)
	{
		perror("cannot add routes");
		return 3;
	}
	for (i = 0; i < count; i++)
	{
		bool full = filled == BATCH - 1 || i == count - 1;

		batch[filled++] = (route_t){
			.hdr = {
				.nlmsg_len = sizeof(route_t),
				.nlmsg_type = RTM_NEWROUTE,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE |
							   (full ? NLM_F_ACK : 0),
				.nlmsg_seq = i + 1,
			},
			.msg = {
				.rtm_family = AF_INET,
				.rtm_dst_len = 24,
				.rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = RTPROT_BGP,
				.rtm_scope = RT_SCOPE_UNIVERSE,
				.rtm_type = RTN_UNICAST,
			},
			.dst = { RTA_LENGTH(4), RTA_DST },
			.net = htonl((32u << 24) + (i << 8)),
			.via = { RTA_LENGTH(4), RTA_GATEWAY },
			.gateway = gateway,
			.oif = { RTA_LENGTH(4), RTA_OIF },
			.ifindex = ifindex,
		};
		if (full)
		{
			struct nlmsghdr *hdr = (struct nlmsghdr*)answer;

			if (send(fd, batch, filled * sizeof(route_t), 0) < 0 ||
				recv(fd, answer, sizeof(answer), 0) < (ssize_t)sizeof(*hdr))
			{
				perror("cannot add routes");
				return 3;
			}
			/* an error comes for each that is refused, so that the first answer
			 * must be the one for the last message */
			if (hdr->nlmsg_type != NLMSG_ERROR || hdr->nlmsg_seq != i + 1 ||
				((struct nlmsgerr*)NLMSG_DATA(hdr))->error)
			{
				fprintf(stderr, "route %u was refused\n", hdr->nlmsg_seq);
				return 3;
			}
			filled = 0;
		}
	}
	close(fd);
	return 0;
}
