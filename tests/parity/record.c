/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Recording of what the kernel has and of what a plugin asks it.
 *
 * Everything is written as the kernel gives it, in hexadecimal: meaning is given
 * to it on the host, where it can be tested without a kernel. The functions of
 * the C library through which requests leave the process are replaced here, for
 * plugins in C and in Rust alike; they must not change what they pass on. The
 * recording's own requests are system calls and not seen.
 */

#include "parity.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <unistd.h>

#define MAX_EVENTS 64

static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool capturing, changed_links;
static char *pending[MAX_EVENTS];
static int pending_count;
static char *logs;
static size_t logs_len;

void record_init(FILE *to)
{
	out = to;
}

void record_messages(bool on)
{
	pthread_mutex_lock(&lock);
	capturing = on;
	pthread_mutex_unlock(&lock);
}

static void line(const char *kind, const char *format, va_list args)
{
	pthread_mutex_lock(&lock);
	fprintf(out, "%s ", kind);
	vfprintf(out, format, args);
	fputc('\n', out);
	fflush(out);
	pthread_mutex_unlock(&lock);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line("note", format, args);
	va_end(args);
}

void comment(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line("comment", format, args);
	va_end(args);
}

void record_log(const char *text)
{
	size_t len = strlen(text);

	pthread_mutex_lock(&lock);
	fprintf(out, "comment log: %s\n", text);
	fflush(out);
	logs = realloc(logs, logs_len + len + 2);
	memcpy(logs + logs_len, text, len);
	logs_len += len;
	logs[logs_len++] = '\n';
	logs[logs_len] = '\0';
	pthread_mutex_unlock(&lock);
}

void logged(const char *text)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = logs && strstr(logs, text);
	pthread_mutex_unlock(&lock);
	note("log names \"%s\": %s", text, found ? "yes" : "no");
}

/**
 * Write bytes as a line; the lock is held.
 */
static void hex(const char *kind, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const u_char *byte = data;
	size_t i;

	fprintf(out, "%s ", kind);
	for (i = 0; i < len; i++)
	{
		putc_unlocked(digits[byte[i] >> 4], out);
		putc_unlocked(digits[byte[i] & 0xf], out);
	}
	fputc('\n', out);
}

void name_spi(uint32_t spi, const char *name)
{
	pthread_mutex_lock(&lock);
	fprintf(out, "spi %08x %s\n", ntohl(spi), name);
	pthread_mutex_unlock(&lock);
}

void event(char *text)
{
	pthread_mutex_lock(&lock);
	if (pending_count < MAX_EVENTS)
	{
		pending[pending_count++] = text;
	}
	pthread_mutex_unlock(&lock);
}

static void write_events()
{
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < pending_count; i++)
	{
		fprintf(out, "note event %s\n", pending[i]);
		free(pending[i]);
	}
	pending_count = 0;
	fflush(out);
	pthread_mutex_unlock(&lock);
}

void events(int wanted, int seconds)
{
	int i, count = 0;

	for (i = 0; i < seconds * 50 && count < wanted; i++)
	{
		pthread_mutex_lock(&lock);
		count = pending_count;
		pthread_mutex_unlock(&lock);
		usleep(20000);
	}
	/* one too many is a difference as well */
	usleep(60000);
	write_events();
	if (count < wanted)
	{
		note("only %d of %d events came in time", count, wanted);
	}
}

/*
 * Requests of our own
 */

static int open_netlink(int protocol)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd;

	fd = syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0 || syscall(SYS_bind, fd, &addr, sizeof(addr)))
	{
		comment("cannot open netlink protocol %d: %s", protocol,
				strerror(errno));
		_exit(3);
	}
	return fd;
}

/**
 * Dump all of one kind, each object a line. Returns errno of the kernel.
 */
static int dump(int protocol, struct nlmsghdr *request, const char *kind,
				bool (*wanted)(struct nlmsghdr*))
{
	static char buffer[65536];
	struct nlmsghdr *hdr;
	int fd, error = -1;
	ssize_t len;

	fd = open_netlink(protocol);
	syscall(SYS_sendto, fd, request, request->nlmsg_len, 0, NULL, 0);
	while (error < 0)
	{
		len = syscall(SYS_recvfrom, fd, buffer, sizeof(buffer), 0, NULL, NULL);
		if (len <= 0)
		{
			error = errno;
			break;
		}
		for (hdr = (struct nlmsghdr*)buffer; NLMSG_OK(hdr, len);
			 hdr = NLMSG_NEXT(hdr, len))
		{
			if (hdr->nlmsg_type == NLMSG_DONE)
			{
				error = 0;
				break;
			}
			if (hdr->nlmsg_type == NLMSG_ERROR)
			{
				error = -((struct nlmsgerr*)NLMSG_DATA(hdr))->error;
				break;
			}
			if (!wanted || wanted(hdr))
			{
				pthread_mutex_lock(&lock);
				hex(kind, hdr, hdr->nlmsg_len);
				pthread_mutex_unlock(&lock);
			}
			if (!(request->nlmsg_flags & NLM_F_DUMP))
			{
				error = 0;
				break;
			}
		}
	}
	close(fd);
	if (error)
	{
		comment("dump of %s: %s", kind, strerror(error));
	}
	return error;
}

int netlink_request(int protocol, struct nlmsghdr *request)
{
	char buffer[8192];
	struct nlmsghdr *hdr = (struct nlmsghdr*)buffer;
	int fd, error;

	fd = open_netlink(protocol);
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	syscall(SYS_sendto, fd, request, request->nlmsg_len, 0, NULL, 0);
	if (syscall(SYS_recvfrom, fd, buffer, sizeof(buffer), 0, NULL, NULL) <
															(ssize_t)sizeof(*hdr))
	{
		error = EIO;
	}
	else
	{
		error = hdr->nlmsg_type == NLMSG_ERROR ?
							-((struct nlmsgerr*)NLMSG_DATA(hdr))->error : 0;
	}
	close(fd);
	return error;
}

/**
 * Routes of the tables that a plugin writes; not what the kernel adds itself.
 */
static bool wanted_route(struct nlmsghdr *hdr)
{
	struct rtmsg *msg = NLMSG_DATA(hdr);

	return hdr->nlmsg_type == RTM_NEWROUTE && msg->rtm_table != RT_TABLE_LOCAL &&
		   msg->rtm_protocol != RTPROT_KERNEL && !(msg->rtm_flags & RTM_F_CLONED);
}

/**
 * Links that a plugin has created: those of main.c's topology are the same in
 * every row.
 */
static bool wanted_link(struct nlmsghdr *hdr)
{
	static const char *const known[] = { "lo", "left", "right", "inner",
										"p0", "p1" };
	struct ifinfomsg *msg = NLMSG_DATA(hdr);
	char name[IF_NAMESIZE] = "";
	int i;

	if_indextoname(msg->ifi_index, name);
	for (i = 0; i < countof(known); i++)
	{
		if (streq(name, known[i]))
		{
			return FALSE;
		}
	}
	return TRUE;
}

void state(const char *label)
{
	struct {
		struct nlmsghdr hdr;
		char body[256];
	} request;
	struct if_nameindex *links, *link;
	char value[32] = "";
	FILE *file;

	write_events();
	pthread_mutex_lock(&lock);
	fprintf(out, "state %s\n", label);
	links = if_nameindex();
	for (link = links; link && link->if_index; link++)
	{
		fprintf(out, "ifname %u %s\n", link->if_index, link->if_name);
	}
	if_freenameindex(links);
	pthread_mutex_unlock(&lock);

	memset(&request, 0, sizeof(request));
	request.hdr.nlmsg_len = NLMSG_LENGTH(0);
	request.hdr.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.hdr.nlmsg_type = XFRM_MSG_GETSA;
	dump(NETLINK_XFRM, &request.hdr, "sa", NULL);
	request.hdr.nlmsg_type = XFRM_MSG_GETPOLICY;
	dump(NETLINK_XFRM, &request.hdr, "policy", NULL);

	request.hdr.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg));
	request.hdr.nlmsg_type = RTM_GETROUTE;
	dump(NETLINK_ROUTE, &request.hdr, "route", wanted_route);
	request.hdr.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg));
	request.hdr.nlmsg_type = RTM_GETLINK;
	dump(NETLINK_ROUTE, &request.hdr, "link", wanted_link);

	request.hdr.nlmsg_len = NLMSG_LENGTH(sizeof(uint32_t));
	request.hdr.nlmsg_type = XFRM_MSG_GETSPDINFO;
	request.hdr.nlmsg_flags = NLM_F_REQUEST;
	dump(NETLINK_XFRM, &request.hdr, "spdinfo", NULL);

	file = fopen("/proc/sys/net/core/xfrm_acq_expires", "r");
	if (file)
	{
		if (fgets(value, sizeof(value), file))
		{
			pthread_mutex_lock(&lock);
			fprintf(out, "sysctl net.core.xfrm_acq_expires %s", value);
			pthread_mutex_unlock(&lock);
		}
		fclose(file);
	}
	pthread_mutex_lock(&lock);
	fprintf(out, "endstate\n");
	fflush(out);
	pthread_mutex_unlock(&lock);
}

/*
 * What goes to the kernel and comes back
 */

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

/**
 * Whether a request leaves something that is not in the SAD, the SPD or the
 * rules, which are cleaned.
 */
static bool changes_links(int protocol, struct nlmsghdr *hdr)
{
	switch (protocol)
	{
		case NETLINK_XFRM:
			return hdr->nlmsg_type == XFRM_MSG_NEWSPDINFO ||
				   hdr->nlmsg_type == XFRM_MSG_SETDEFAULT;
		case NETLINK_ROUTE:
			/* of each kind there are new, delete, get and set */
			return (hdr->nlmsg_type - RTM_BASE) % 4 != 2 &&
				   hdr->nlmsg_type != RTM_NEWRULE;
		case NETLINK_NETFILTER:
			/* the gate looks for what a former daemon left */
			return (hdr->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP;
		default:
			return TRUE;
	}
}

bool record_changed_links()
{
	return changed_links;
}

void record_change_links()
{
	changed_links = TRUE;
}

static void sent(int fd, const struct iovec *iov, size_t count)
{
	union {
		struct nlmsghdr hdr;
		char bytes[16384];
	} buffer;
	size_t len = 0, i, part;
	int protocol = netlink_protocol(fd);

	if (protocol < 0)
	{
		return;
	}
	for (i = 0; i < count; i++)
	{
		part = min(iov[i].iov_len, sizeof(buffer) - len);
		memcpy(buffer.bytes + len, iov[i].iov_base, part);
		len += part;
	}
	if (len < sizeof(buffer.hdr) || changes_links(protocol, &buffer.hdr))
	{
		record_change_links();
	}
	if (capturing && protocol == NETLINK_XFRM)
	{
		pthread_mutex_lock(&lock);
		hex("sent", buffer.bytes, len);
		pthread_mutex_unlock(&lock);
	}
}

static void received(int fd, void *data, ssize_t len, size_t size, int flags)
{
	struct nlmsghdr *hdr;

	if (!capturing || len <= 0 || (flags & MSG_PEEK) ||
		netlink_protocol(fd) != NETLINK_XFRM)
	{
		return;
	}
	len = min(len, (ssize_t)size);
	for (hdr = data; NLMSG_OK(hdr, len); hdr = NLMSG_NEXT(hdr, len))
	{
		if (hdr->nlmsg_type == NLMSG_ERROR)
		{
			pthread_mutex_lock(&lock);
			hex("answer", hdr, hdr->nlmsg_len);
			pthread_mutex_unlock(&lock);
		}
	}
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

ssize_t write(int fd, const void *data, size_t len)
{
	struct iovec iov = { (void*)data, len };

	sent(fd, &iov, 1);
	return syscall(SYS_write, fd, data, len);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags,
				 struct sockaddr *addr, socklen_t *addrlen)
{
	ssize_t len = syscall(SYS_recvfrom, fd, data, size, flags, addr, addrlen);

	received(fd, data, len, size, flags);
	return len;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return recvfrom(fd, data, size, flags, NULL, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t len = syscall(SYS_recvmsg, fd, msg, flags);

	if (len > 0 && msg->msg_iovlen)
	{
		received(fd, msg->msg_iov[0].iov_base, len, msg->msg_iov[0].iov_len,
				 flags);
	}
	return len;
}
