/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the core may ask of charon.
 *
 * Ownership follows charon's rules, which differ from function to function:
 * acquire, expire and mapping borrow their arguments, migrate takes them; hosts
 * we get are ours to destroy, names ours to free.
 */

#include "kernel_fastswan_host.h"

#include "kernel_fastswan_convert.h"
#include "kernel_fastswan_version.h"

#include <errno.h>

#include <daemon.h>
#include <processing/watcher.h>

/**
 * Our settings, and those of the plugin whose work we do: what is configured
 * there holds for us unless it is set here
 */
#define OWN_SETTINGS "plugins.kernel-fastswan."
#define FALLBACK_SETTINGS "plugins.kernel-netlink."

/**
 * Longest name of a setting
 */
#define KEY_SIZE 256

/**
 * The core's functions, for the watcher's callback
 */
static const struct fs_ops *core;

/**
 * Log a line.
 */
static void host_log(uint32_t group, int32_t level, const char *text)
{
	if (level >= LEVEL_AUDIT && level <= LEVEL_PRIVATE)
	{	/* the hook is a variable that charon replaces, so it is read each
		 * time */
		dbg(group == FS_LOG_LIB ? DBG_LIB : DBG_KNL, level, "%s", text);
	}
}

/**
 * Get a setting of the daemon.
 *
 * @param key			name without the daemon's
 * @return				value, owned by the settings; NULL if not set
 */
static char *get_value(const char *key)
{
	char format[KEY_SIZE];

	/* names are format strings, in which dots separate sections and those of
	 * arguments do not; there are none with a percent sign */
	if (strchr(key, '%') ||
		snprintf(format, sizeof(format), "%%s.%s", key) >= sizeof(format))
	{
		return NULL;
	}
	return lib->settings->get_str(lib->settings, format, NULL, lib->ns);
}

/**
 * Get the name of the setting that holds if one of ours is not set.
 *
 * @param key			name
 * @param buf			room for the other name, KEY_SIZE bytes
 * @return				buf, NULL if there is none
 */
static char *get_fallback(const char *key, char *buf)
{
	if (!strpfx(key, OWN_SETTINGS) ||
		snprintf(buf, KEY_SIZE, "%s%s", FALLBACK_SETTINGS,
				 key + strlen(OWN_SETTINGS)) >= KEY_SIZE)
	{
		return NULL;
	}
	return buf;
}

/**
 * Get a truth value. What does not say yes or no counts as not set.
 */
static bool host_get_bool(const char *key, bool fallback)
{
	char buf[KEY_SIZE], *other;

	other = get_fallback(key, buf);
	if (other)
	{
		fallback = host_get_bool(other, fallback);
	}
	return settings_value_as_bool(get_value(key), fallback);
}

/**
 * Get a number, decimal or hexadecimal as for settings_t, but without its limit
 * to an int. What is no number counts as not set.
 */
static int64_t host_get_int(const char *key, int64_t fallback)
{
	char buf[KEY_SIZE], *other, *value, *end;
	int64_t number;

	other = get_fallback(key, buf);
	if (other)
	{
		fallback = host_get_int(other, fallback);
	}
	value = get_value(key);
	if (!value)
	{
		return fallback;
	}
	errno = 0;
	number = strtoll(value, &end, strpfx(value, "0x") ? 16 : 10);
	if (errno || *end || end == value)
	{
		return fallback;
	}
	return number;
}

/**
 * Get a text.
 */
static int64_t host_get_str(const char *key, char *text, size_t size)
{
	char buf[KEY_SIZE], *other, *value;

	value = get_value(key);
	if (!value)
	{
		other = get_fallback(key, buf);
		value = other ? get_value(other) : NULL;
	}
	if (!value)
	{
		return -1;
	}
	return snprintf(text, size, "%s", value);
}

/**
 * Report an acquire; charon borrows what it is given.
 */
static void host_acquire(const struct fs_acquire *acquire)
{
	chunk_t label = chunk_create((u_char*)acquire->label.ptr,
								 acquire->label.len);
	kernel_acquire_data_t data = {
		.src = fastswan_to_ts(&acquire->src),
		.dst = fastswan_to_ts(&acquire->dst),
		.label = label.len ? sec_label_from_encoding(label) : NULL,
#ifdef FASTSWAN_HAVE_ACQUIRE_CPU
		.cpu = acquire->cpu == FS_CPU_NONE ? CPU_ID_MAX : acquire->cpu,
#endif
#ifdef FASTSWAN_HAVE_ACQUIRE_SEQ
		.seq = acquire->seq,
#endif
	};

	charon->kernel->acquire(charon->kernel, acquire->reqid, &data);
	DESTROY_IF(data.src);
	DESTROY_IF(data.dst);
	DESTROY_IF(data.label);
}

/**
 * Report an expire; charon borrows what it is given.
 */
static void host_expire(uint8_t proto, uint32_t spi, const struct fs_addr *dst,
						bool hard)
{
	host_t *host;

	host = fastswan_to_host(dst);
	if (host)
	{
		charon->kernel->expire(charon->kernel, proto, spi, host, hard);
		host->destroy(host);
	}
}

/**
 * Report a new mapping; charon borrows what it is given.
 */
static void host_mapping(uint8_t proto, uint32_t spi, const struct fs_addr *dst,
						 const struct fs_addr *new_remote)
{
	host_t *host, *remote;

	host = fastswan_to_host(dst);
	remote = fastswan_to_host(new_remote);
	if (host && remote)
	{
		charon->kernel->mapping(charon->kernel, proto, spi, host, remote);
	}
	DESTROY_IF(host);
	DESTROY_IF(remote);
}

/**
 * Report a migration; charon takes what it is given.
 */
static void host_migrate(const struct fs_migrate *migrate)
{
	traffic_selector_t *src_ts, *dst_ts;
	host_t *local, *remote;
	policy_dir_t dir;

	switch (migrate->dir)
	{
		case FS_DIR_IN:
			dir = POLICY_IN;
			break;
		case FS_DIR_OUT:
			dir = POLICY_OUT;
			break;
		case FS_DIR_FWD:
			dir = POLICY_FWD;
			break;
		default:
			return;
	}
	src_ts = fastswan_to_ts(&migrate->src_ts);
	dst_ts = fastswan_to_ts(&migrate->dst_ts);
	local = fastswan_to_host(&migrate->local);
	remote = fastswan_to_host(&migrate->remote);
	if (src_ts && dst_ts && local && remote)
	{
		charon->kernel->migrate(charon->kernel, migrate->reqid, src_ts, dst_ts,
								dir, local, remote);
		return;
	}
	DESTROY_IF(src_ts);
	DESTROY_IF(dst_ts);
	DESTROY_IF(local);
	DESTROY_IF(remote);
}

/**
 * Find the inbound SPI of a CHILD_SA by its outbound one. The IKE_SA is checked
 * out by the calling thread, so its list of CHILD_SAs does not change.
 */
static bool host_inbound_of(uint32_t spi, uint32_t *inbound)
{
	enumerator_t *enumerator;
	child_sa_t *child_sa;
	ike_sa_t *ike_sa;
	bool found = FALSE;

	ike_sa = charon->bus ? charon->bus->get_sa(charon->bus) : NULL;
	if (!ike_sa)
	{
		return FALSE;
	}
	enumerator = ike_sa->create_child_sa_enumerator(ike_sa);
	while (!found && enumerator->enumerate(enumerator, &child_sa))
	{
		found = child_sa->get_spi(child_sa, FALSE) == spi;
		if (found)
		{
			*inbound = child_sa->get_spi(child_sa, TRUE);
		}
	}
	enumerator->destroy(enumerator);
	return found;
}

/**
 * Find an own address within a traffic selector.
 */
static bool host_address_by_ts(const struct fs_ts *flat, struct fs_addr *addr,
							   uint8_t *is_vip)
{
	traffic_selector_t *ts;
	host_t *host = NULL;
	bool vip = FALSE, found = FALSE;

	ts = fastswan_to_ts(flat);
	if (!ts)
	{
		return FALSE;
	}
	if (charon->kernel->get_address_by_ts(charon->kernel, ts, &host,
										  &vip) == SUCCESS && host)
	{
		*addr = fastswan_from_host(host);
		*is_vip = vip;
		found = TRUE;
	}
	DESTROY_IF(host);
	ts->destroy(ts);
	return found;
}

/**
 * Copy the name of an interface; one that does not fit is none.
 */
static bool copy_name(char *buf, size_t size, const char *name)
{
	buf[0] = '\0';
	if (!name || strlen(name) >= size)
	{
		return FALSE;
	}
	strcpy(buf, name);
	return TRUE;
}

/**
 * Find the interface that holds an own address.
 */
static bool host_interface_of(const struct fs_addr *addr, char *buf)
{
	bool found = FALSE;
	char *name = NULL;
	host_t *host;

	host = fastswan_to_host(addr);
	if (!host)
	{
		return FALSE;
	}
	if (charon->kernel->get_interface(charon->kernel, host, &name))
	{
		found = copy_name(buf, FS_INTERFACE_SIZE, name);
		free(name);
	}
	host->destroy(host);
	return found;
}

/**
 * Find the next hop to an address.
 */
static bool host_nexthop(const struct fs_addr *dest, int32_t prefix,
						 const struct fs_addr *src, struct fs_addr *hop,
						 char *buf)
{
	host_t *host_dest, *host_src, *host_hop = NULL;
	char *name = NULL;
	bool found = FALSE;

	host_dest = fastswan_to_host(dest);
	host_src = fastswan_to_host(src);
	if (host_dest)
	{
		host_hop = charon->kernel->get_nexthop(charon->kernel, host_dest,
											   prefix, host_src, &name);
	}
	if (host_hop)
	{
		*hop = fastswan_from_host(host_hop);
		copy_name(buf, FS_INTERFACE_SIZE, name);
		found = TRUE;
	}
	free(name);
	DESTROY_IF(host_hop);
	DESTROY_IF(host_src);
	DESTROY_IF(host_dest);
	return found;
}

/**
 * Method of kernel_interface_t that adds or removes a route
 */
typedef status_t (*route_method_t)(kernel_interface_t *this, chunk_t net,
								   uint8_t prefix, host_t *gateway, host_t *src,
								   char *iface, bool pass);

/**
 * Add or remove a route.
 */
static int32_t do_route(route_method_t method, const uint8_t *net,
						size_t net_len, uint8_t prefix,
						const struct fs_addr *gateway,
						const struct fs_addr *src, const char *iface, bool pass)
{
	host_t *host_gateway, *host_src;
	status_t status;

	host_gateway = fastswan_to_host(gateway);
	host_src = fastswan_to_host(src);
	status = method(charon->kernel, chunk_create((u_char*)net, net_len), prefix,
					host_gateway, host_src, (char*)iface, pass);
	DESTROY_IF(host_gateway);
	DESTROY_IF(host_src);
	switch (status)
	{
		case SUCCESS:
			return FS_SUCCESS;
		case ALREADY_DONE:
			return FS_ALREADY_DONE;
		default:
			return FS_FAILED;
	}
}

/**
 * Add a route.
 */
static int32_t host_add_route(const uint8_t *net, size_t net_len,
							  uint8_t prefix, const struct fs_addr *gateway,
							  const struct fs_addr *src, const char *iface,
							  bool pass)
{
	return do_route(charon->kernel->add_route, net, net_len, prefix, gateway,
					src, iface, pass);
}

/**
 * Remove a route.
 */
static int32_t host_del_route(const uint8_t *net, size_t net_len,
							  uint8_t prefix, const struct fs_addr *gateway,
							  const struct fs_addr *src, const char *iface,
							  bool pass)
{
	return do_route(charon->kernel->del_route, net, net_len, prefix, gateway,
					src, iface, pass);
}

/**
 * Find an algorithm that another plugin registered.
 */
static bool host_lookup_algorithm(uint16_t alg, uint16_t kind,
								  uint16_t *kernel_id, char *buf)
{
	char *name = NULL;

	return charon->kernel->lookup_algorithm(charon->kernel, alg, kind,
											kernel_id, &name) &&
		   copy_name(buf, FS_ALGORITHM_SIZE, name);
}

/**
 * Callback of the watcher.
 */
static bool readable(void *data, int fd, watcher_event_t event)
{
	return core->readable((uintptr_t)data, fd);
}

/**
 * Have a socket watched. The number travels in place of a pointer, which it
 * must fit.
 */
static bool host_watch(int fd, uint64_t token)
{
	if (token > UINTPTR_MAX)
	{
		return FALSE;
	}
	lib->watcher->add(lib->watcher, fd, WATCHER_READ, readable,
					  (void*)(uintptr_t)token);
	return TRUE;
}

/**
 * End the watching of a socket.
 */
static void host_unwatch(int fd)
{
	lib->watcher->remove(lib->watcher, fd);
}

/**
 * Enumerate the CHILD_SAs of all loaded connections.
 */
static void host_children(bool (*each)(void *context,
									   const struct fs_child *child),
						  void *context)
{
	enumerator_t *peers, *children;
	peer_cfg_t *peer;
	child_cfg_t *cfg;
	bool more = TRUE;

	/* without anything to match this lists all */
	peers = charon->backends->create_peer_cfg_enumerator(charon->backends,
												NULL, NULL, NULL, NULL, IKE_ANY);
	while (more && peers->enumerate(peers, &peer))
	{
		children = peer->create_child_cfg_enumerator(peer);
		while (more && children->enumerate(children, &cfg))
		{
			struct fs_child child = {
				.connection = peer->get_name(peer),
				.name = cfg->get_name(cfg),
				.reqid = cfg->get_reqid(cfg),
				.hw_offload = fastswan_from_offload(cfg->get_hw_offload(cfg)),
				.mode = fastswan_from_mode(cfg->get_mode(cfg)),
			};

			more = each(context, &child);
		}
		children->destroy(children);
	}
	peers->destroy(peers);
}

/**
 * The owner of charon's own sockets.
 */
static void host_socket_owner(uint32_t *uid, uint32_t *gid)
{
	*uid = lib->caps->get_uid(lib->caps);
	*gid = lib->caps->get_gid(lib->caps);
}

/*
 * see header file
 */
void fastswan_host_init(struct fs_host *host, const struct fs_ops *ops)
{
	core = ops;
	*host = (struct fs_host){
		.contract = FASTSWAN_CONTRACT,
		.size = sizeof(*host),
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
		.add_route = host_add_route,
		.del_route = host_del_route,
		.lookup_algorithm = host_lookup_algorithm,
		.watch = host_watch,
		.unwatch = host_unwatch,
		.children = host_children,
		.socket_owner = host_socket_owner,
	};
}
