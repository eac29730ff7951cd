/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Packets and links of a row: what makes the kernel ask for an SA, count, or
 * notice that a peer has moved. Not recorded.
 */

#include "parity.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void ip(const char *arguments)
{
	char *command;

	record_change_links();
	if (asprintf(&command, "ip %s >&2", arguments) < 0 || system(command))
	{
		note("ip %s failed", arguments);
	}
	free(command);
}

int udp_socket(const char *address, uint16_t port)
{
	host_t *local = host(address, port);
	int fd, on = 1;

	fd = socket(local->get_family(local), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, local->get_sockaddr(local), *local->get_sockaddr_len(local)))
	{
		note("cannot bind %s: %s", address, strerror(errno));
	}
	local->destroy(local);
	return fd;
}

void send_udp(const char *src, const char *dst, uint16_t port)
{
	host_t *remote = host(dst, port);
	int fd = udp_socket(src, 1000);

	/* that there is no SA yet is said by the kernel in its own way, and is no
	 * business of this test */
	ignore_result(sendto(fd, "parity", 6, MSG_DONTWAIT,
						 remote->get_sockaddr(remote),
						 *remote->get_sockaddr_len(remote)));
	close(fd);
	remote->destroy(remote);
}
