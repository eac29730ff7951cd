/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keeps what is sent to the kernel over netlink, for floor.c.
 *
 * The functions of the C library through which it leaves the process are
 * replaced here, for plugins in C and in Rust alike; what they pass on is not
 * changed. An entry of the file is a header and a datagram. How many datagrams
 * the sender received before it sent again on the same socket is what the floor
 * has to wait for.
 */

#include "record.h"
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <unistd.h>

#define MAX_FD 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *out;
static bool capturing;
/** position of the last entry of each socket, and of the last for an SPI */
static long last[MAX_FD], last_spi;

bool record_open(const char *file)
{
	out = fopen(file, "w+");
	if (!out)
	{
		perror(file);
	}
	return out != NULL;
}

/**
 * Append an entry, return its position; the lock is held.
 */
static long append(entry_t *entry, const void *data)
{
	long at;

	fseek(out, 0, SEEK_END);
	at = ftell(out);
	if (fwrite(entry, sizeof(*entry), 1, out) != 1 ||
		(entry->len && fwrite(data, entry->len, 1, out) != 1))
	{
		perror("cannot keep messages");
		_exit(3);
	}
	return at;
}

void record_phase(const char *name, u_int count)
{
	entry_t entry = {
		.kind = ENTRY_PHASE,
		.count = count,
	};

	if (!out)
	{
		return;
	}
	pthread_mutex_lock(&lock);
	memset(last, 0, sizeof(last));
	capturing = name != NULL;
	if (name)
	{
		snprintf(entry.name, sizeof(entry.name), "%s", name);
		append(&entry, NULL);
	}
	pthread_mutex_unlock(&lock);
}

void record_close()
{
	if (out)
	{
		fclose(out);
		out = NULL;
	}
}

static void rewrite(long at, size_t offset, const void *data, size_t len)
{
	if (fseek(out, at + offset, SEEK_SET) || fwrite(data, len, 1, out) != 1)
	{
		perror("cannot keep messages");
		_exit(3);
	}
}

void record_spi(uint32_t spi)
{
	uint32_t range[] = { ntohl(spi), ntohl(spi) };

	pthread_mutex_lock(&lock);
	if (out && capturing && last_spi)
	{	/* the same again, as later messages name it */
		rewrite(last_spi, sizeof(entry_t) + NLMSG_HDRLEN +
				offsetof(struct xfrm_userspi_info, min), range, sizeof(range));
	}
	pthread_mutex_unlock(&lock);
}

/**
 * The protocol of a netlink socket, -1 if it is another one.
 */
static int netlink_protocol(int fd)
{
	int domain = 0, protocol = -1, saved = errno;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
		domain != AF_NETLINK ||
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
	{
		protocol = -1;
	}
	errno = saved;
	return protocol;
}

static void sent(int fd, const struct iovec *iov, size_t count)
{
	static char buffer[1 << 18];
	entry_t entry = { .kind = ENTRY_SENT };
	struct nlmsghdr *hdr = (struct nlmsghdr*)buffer;
	size_t i;

	if (!capturing || fd < 0 || fd >= MAX_FD)
	{
		return;
	}
	entry.protocol = netlink_protocol(fd);
	if (entry.protocol < 0)
	{
		return;
	}
	pthread_mutex_lock(&lock);
	for (i = 0; i < count; i++)
	{
		if (iov[i].iov_len > sizeof(buffer) - entry.len)
		{
			fprintf(stderr, "a datagram is too large to be kept\n");
			_exit(3);
		}
		memcpy(buffer + entry.len, iov[i].iov_base, iov[i].iov_len);
		entry.len += iov[i].iov_len;
	}
	last[fd] = append(&entry, buffer);
	if (entry.protocol == NETLINK_XFRM && entry.len >= sizeof(*hdr) &&
		hdr->nlmsg_type == XFRM_MSG_ALLOCSPI)
	{
		last_spi = last[fd];
	}
	pthread_mutex_unlock(&lock);
}

static void received(int fd, ssize_t len, int flags)
{
	entry_t entry;

	if (!capturing || len <= 0 || (flags & MSG_PEEK) || fd < 0 || fd >= MAX_FD)
	{
		return;
	}
	pthread_mutex_lock(&lock);
	if (last[fd])
	{
		if (fseek(out, last[fd], SEEK_SET) ||
			fread(&entry, sizeof(entry), 1, out) != 1)
		{
			perror("cannot read what was kept");
			_exit(3);
		}
		entry.count++;
		rewrite(last[fd], 0, &entry, sizeof(entry));
	}
	pthread_mutex_unlock(&lock);
}

ssize_t sendto(int fd, const void *data, size_t len, int flags,
			   const struct sockaddr *addr, socklen_t addrlen)
{
	struct iovec iov = { (void*)data, len };

	sent(fd, &iov, 1);
	return syscall(SYS_sendto, fd, data, len, flags, addr, addrlen);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	return sendto(fd, data, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	sent(fd, msg->msg_iov, msg->msg_iovlen);
	return syscall(SYS_sendmsg, fd, msg, flags);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags,
				 struct sockaddr *addr, socklen_t *addrlen)
{
	ssize_t len = syscall(SYS_recvfrom, fd, data, size, flags, addr, addrlen);

	received(fd, len, flags);
	return len;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return recvfrom(fd, data, size, flags, NULL, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t len = syscall(SYS_recvmsg, fd, msg, flags);

	received(fd, len, flags);
	return len;
}
