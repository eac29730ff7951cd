/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A charon for the boundary program.
 */
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Enough for every case; later lines are counted and not kept. */
#define MAX_LINES 4096

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
	int32_t level;
	char *text;
} lines[MAX_LINES];
static size_t line_count;

static struct {
	uint64_t token;
	int fd;
	bool active;
} watches[MAX_WATCHES];
static size_t watch_count;

bool refuse_watch;

static void host_log(uint32_t group, int32_t level, const char *text)
{
	/* what no log of charon's may see: the groups and levels it has not got */
	if (group > FS_LOG_LIB || level < 0 || level > 4 || !text)
	{
		abort();
	}
	pthread_mutex_lock(&mutex);
	if (line_count < MAX_LINES)
	{
		lines[line_count].level = level;
		lines[line_count].text = strdup(text);
	}
	line_count++;
	pthread_mutex_unlock(&mutex);
}

size_t log_lines(void)
{
	size_t count;

	pthread_mutex_lock(&mutex);
	count = line_count;
	pthread_mutex_unlock(&mutex);
	return count;
}

static size_t kept(void)
{
	return line_count < MAX_LINES ? line_count : MAX_LINES;
}

bool log_has(size_t from, const char *text)
{
	bool found = false;

	pthread_mutex_lock(&mutex);
	for (size_t i = from; i < kept() && !found; i++)
	{
		found = strstr(lines[i].text, text) != NULL;
	}
	pthread_mutex_unlock(&mutex);
	return found;
}

size_t log_level1(size_t from)
{
	size_t count = 0;

	pthread_mutex_lock(&mutex);
	for (size_t i = from; i < kept(); i++)
	{
		count += lines[i].level == 1;
	}
	pthread_mutex_unlock(&mutex);
	return count;
}

void log_print(size_t from)
{
	pthread_mutex_lock(&mutex);
	for (size_t i = from; i < kept(); i++)
	{
		fprintf(stderr, "  [KNL%d] %s\n", (int)lines[i].level, lines[i].text);
	}
	pthread_mutex_unlock(&mutex);
}

void log_clear(void)
{
	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < kept(); i++)
	{
		free(lines[i].text);
	}
	line_count = 0;
	pthread_mutex_unlock(&mutex);
}

static bool host_get_bool(const char *key, bool fallback)
{
	(void)key;
	return fallback;
}

static int64_t host_get_int(const char *key, int64_t fallback)
{
	(void)key;
	return fallback;
}

static int64_t host_get_str(const char *key, char *buf, size_t size)
{
	(void)key;
	(void)buf;
	(void)size;
	return -1;
}

static void host_acquire(const struct fs_acquire *data)
{
	/* borrowed: must be readable to the end */
	volatile uint32_t reqid = data->reqid;
	(void)reqid;
}

static void host_expire(uint8_t proto, uint32_t spi_be, const struct fs_addr *dst, bool hard)
{
	(void)proto;
	(void)spi_be;
	(void)dst;
	(void)hard;
}

static void host_mapping(uint8_t proto, uint32_t spi_be, const struct fs_addr *dst,
						 const struct fs_addr *new_remote)
{
	(void)proto;
	(void)spi_be;
	(void)dst;
	(void)new_remote;
}

static void host_migrate(const struct fs_migrate *data)
{
	(void)data;
}

static bool host_inbound_of(uint32_t spi_be, uint32_t *inbound_be)
{
	*inbound_be = spi_be;
	return true;
}

static bool host_address_by_ts(const struct fs_ts *ts, struct fs_addr *addr, uint8_t *is_vip)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = ts->family;
	memcpy(addr->bytes, ts->from, sizeof(addr->bytes));
	*is_vip = 0;
	return true;
}

static bool host_interface_of(const struct fs_addr *addr, char *name)
{
	(void)addr;
	/* all the room there is, so that one byte more would be noticed */
	memset(name, 'i', FS_INTERFACE_SIZE - 1);
	name[FS_INTERFACE_SIZE - 1] = '\0';
	return true;
}

static bool host_nexthop(const struct fs_addr *dest, int32_t prefix, const struct fs_addr *src,
						 struct fs_addr *hop, char *iface)
{
	(void)prefix;
	(void)src;
	*hop = *dest;
	/* not terminated: the core must not run over the end */
	memset(iface, 'n', FS_INTERFACE_SIZE);
	return true;
}

static int32_t host_route(const uint8_t *net, size_t net_len, uint8_t prefix,
						  const struct fs_addr *gateway, const struct fs_addr *src,
						  const char *iface, bool pass)
{
	volatile uint8_t last = net[net_len - 1];

	(void)last;
	(void)gateway;
	(void)src;
	(void)iface;
	(void)pass;
	return prefix <= net_len * 8 ? FS_SUCCESS : FS_FAILED;
}

static bool host_lookup_algorithm(uint16_t alg, uint16_t kind, uint16_t *kernel_id, char *name)
{
	(void)alg;
	(void)kind;
	*kernel_id = 0;
	memset(name, 'x', FS_ALGORITHM_SIZE);
	return true;
}

static bool host_watch(int fd, uint64_t token)
{
	bool done = false;

	pthread_mutex_lock(&mutex);
	if (!refuse_watch && watch_count < MAX_WATCHES)
	{
		watches[watch_count].fd = fd;
		watches[watch_count].token = token;
		watches[watch_count].active = true;
		watch_count++;
		done = true;
	}
	pthread_mutex_unlock(&mutex);
	return done;
}

static void host_unwatch(int fd)
{
	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < watch_count; i++)
	{
		if (watches[i].fd == fd)
		{
			watches[i].active = false;
		}
	}
	pthread_mutex_unlock(&mutex);
}

static void host_children(bool (*each)(void *context, const struct fs_child *child), void *context)
{
	struct fs_child child = {
		.connection = "site",
		.name = "net",
		.hw_offload = FS_OFFLOAD_PACKET,
		.mode = FS_MODE_TUNNEL,
	};

	/* one that is whole, one without names, and one with numbers out of range */
	if (each(context, &child))
	{
		child.name = NULL;
		child.connection = NULL;
		if (each(context, &child))
		{
			child.name = "odd";
			child.hw_offload = UINT8_MAX;
			each(context, &child);
		}
	}
}

static void host_socket_owner(uint32_t *uid, uint32_t *gid)
{
	*uid = getuid();
	*gid = getgid();
}

size_t watched(void)
{
	size_t count = 0;

	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < watch_count; i++)
	{
		count += watches[i].active;
	}
	pthread_mutex_unlock(&mutex);
	return count;
}

bool watch_nth(size_t n, uint64_t *token, int *fd)
{
	bool found;

	pthread_mutex_lock(&mutex);
	found = n < watch_count;
	if (found)
	{
		*token = watches[n].token;
		*fd = watches[n].fd;
	}
	pthread_mutex_unlock(&mutex);
	return found;
}

struct fs_host boundary_host(void)
{
	return (struct fs_host){
		.contract = FASTSWAN_CONTRACT,
		.size = sizeof(struct fs_host),
		.log = host_log,
		.get_bool = host_get_bool,
		.get_int = host_get_int,
		.get_str = host_get_str,
		.acquire = host_acquire,
		.expire = host_expire,
		.mapping = host_mapping,
		.migrate = host_migrate,
		.inbound_of = host_inbound_of,
		.address_by_ts = host_address_by_ts,
		.interface_of = host_interface_of,
		.nexthop = host_nexthop,
		.add_route = host_route,
		.del_route = host_route,
		.lookup_algorithm = host_lookup_algorithm,
		.watch = host_watch,
		.unwatch = host_unwatch,
		.children = host_children,
		.socket_owner = host_socket_owner,
	};
}
