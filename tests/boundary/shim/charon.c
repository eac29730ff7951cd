/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A charon of paper around the shim.
 */
#include "charon.h"

#include <sa/task_manager.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

paper_line_t paper_log[64];
int paper_lines;
char *paper_provider;
kernel_ipsec_t *paper_ipsec;
char paper_event[512];
bool paper_no_net;
int paper_fd = -1;
watcher_cb_t paper_cb;
void *paper_data;

/* --- log ---------------------------------------------------------------- */

static void paper_vlog(debug_t group, level_t level, char *fmt, va_list args)
{
	if (paper_lines < countof(paper_log))
	{
		paper_log[paper_lines].group = group;
		paper_log[paper_lines].level = level;
		vsnprintf(paper_log[paper_lines].text, sizeof(paper_log[0].text), fmt, args);
		paper_lines++;
	}
}

static void paper_dbg(debug_t group, level_t level, char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	paper_vlog(group, level, fmt, args);
	va_end(args);
}

/** what daemon.h makes of DBG1 */
static void bus_log(bus_t *this, debug_t group, level_t level, char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	paper_vlog(group, level, fmt, args);
	va_end(args);
}

void (*dbg)(debug_t group, level_t level, char *fmt, ...) = paper_dbg;

void paper_print(void)
{
	int i;

	for (i = 0; i < paper_lines; i++)
	{
		fprintf(stderr, "  [%d:%d] %s\n", paper_log[i].group, paper_log[i].level,
				paper_log[i].text);
	}
}

paper_line_t *paper_find(const char *text)
{
	int i;

	for (i = paper_lines - 1; i >= 0; i--)
	{
		if (strstr(paper_log[i].text, text))
		{
			return &paper_log[i];
		}
	}
	return NULL;
}

/* --- hosts, selectors, labels, lists ------------------------------------- */

typedef struct {
	host_t public;
	int family;
	uint16_t port;
	u_char bytes[16];
} paper_host_t;

static int host_family(host_t *this)
{
	return ((paper_host_t*)this)->family;
}

static chunk_t host_address(host_t *this)
{
	paper_host_t *host = (paper_host_t*)this;

	return chunk_create(host->bytes, host->family == AF_INET ? 4 : 16);
}

static uint16_t host_port(host_t *this)
{
	return ((paper_host_t*)this)->port;
}

static void host_destroy(host_t *this)
{
	free(this);
}

host_t *host_create_from_chunk(int family, chunk_t address, uint16_t port)
{
	paper_host_t *this;

	if (address.len != (family == AF_INET ? 4 : 16))
	{
		return NULL;
	}
	INIT(this,
		.public = {
			.get_family = host_family,
			.get_address = host_address,
			.get_port = host_port,
			.destroy = host_destroy,
		},
		.family = family,
		.port = port,
	);
	memcpy(this->bytes, address.ptr, address.len);
	return &this->public;
}

static char *show_host(host_t *host)
{
	static char buf[4][80];
	static int at;
	char *text = buf[at++ % 4], ip[INET6_ADDRSTRLEN];

	inet_ntop(host->get_family(host), host->get_address(host).ptr, ip, sizeof(ip));
	snprintf(text, sizeof(buf[0]), "%s[%u]", ip, host->get_port(host));
	return text;
}

typedef struct {
	traffic_selector_t public;
	uint8_t protocol;
	ts_type_t type;
	u_char from[16], to[16];
	uint16_t from_port, to_port;
} paper_ts_t;

static chunk_t ts_from(traffic_selector_t *this)
{
	paper_ts_t *ts = (paper_ts_t*)this;

	return chunk_create(ts->from, ts->type == TS_IPV4_ADDR_RANGE ? 4 : 16);
}

static chunk_t ts_to(traffic_selector_t *this)
{
	paper_ts_t *ts = (paper_ts_t*)this;

	return chunk_create(ts->to, ts->type == TS_IPV4_ADDR_RANGE ? 4 : 16);
}

static uint16_t ts_from_port(traffic_selector_t *this)
{
	return ((paper_ts_t*)this)->from_port;
}

static uint16_t ts_to_port(traffic_selector_t *this)
{
	return ((paper_ts_t*)this)->to_port;
}

static ts_type_t ts_type(traffic_selector_t *this)
{
	return ((paper_ts_t*)this)->type;
}

static uint8_t ts_protocol(traffic_selector_t *this)
{
	return ((paper_ts_t*)this)->protocol;
}

static void ts_destroy(traffic_selector_t *this)
{
	free(this);
}

traffic_selector_t *traffic_selector_create_from_bytes(uint8_t protocol,
							ts_type_t type, chunk_t from, uint16_t from_port,
							chunk_t to, uint16_t to_port)
{
	paper_ts_t *this;

	if (from.len != to.len || from.len != (type == TS_IPV4_ADDR_RANGE ? 4 : 16))
	{
		return NULL;
	}
	INIT(this,
		.public = {
			.get_from_address = ts_from,
			.get_to_address = ts_to,
			.get_from_port = ts_from_port,
			.get_to_port = ts_to_port,
			.get_type = ts_type,
			.get_protocol = ts_protocol,
			.destroy = ts_destroy,
		},
		.protocol = protocol,
		.type = type,
		.from_port = from_port,
		.to_port = to_port,
	);
	memcpy(this->from, from.ptr, from.len);
	memcpy(this->to, to.ptr, to.len);
	return &this->public;
}

static char *show_ts(traffic_selector_t *ts)
{
	static char buf[4][160];
	static int at;
	char *text = buf[at++ % 4], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int family;

	if (!ts)
	{
		return "none";
	}
	family = ts->get_type(ts) == TS_IPV4_ADDR_RANGE ? AF_INET : AF_INET6;
	inet_ntop(family, ts->get_from_address(ts).ptr, from, sizeof(from));
	inet_ntop(family, ts->get_to_address(ts).ptr, to, sizeof(to));
	snprintf(text, sizeof(buf[0]), "%s..%s[%u/%u-%u]", from, to, ts->get_protocol(ts),
			 ts->get_from_port(ts), ts->get_to_port(ts));
	return text;
}

typedef struct {
	sec_label_t public;
	u_char bytes[64];
	size_t len;
} paper_label_t;

static chunk_t label_encoding(sec_label_t *this)
{
	paper_label_t *label = (paper_label_t*)this;

	return chunk_create(label->bytes, label->len);
}

static void label_destroy(sec_label_t *this)
{
	free(this);
}

sec_label_t *sec_label_from_encoding(const chunk_t value)
{
	paper_label_t *this;

	INIT(this,
		.public = {
			.get_encoding = label_encoding,
			.destroy = label_destroy,
		},
		.len = value.len,
	);
	memcpy(this->bytes, value.ptr, min(value.len, sizeof(this->bytes)));
	return &this->public;
}

typedef struct {
	linked_list_t public;
	void *items[8];
	int count;
} paper_list_t;

typedef struct {
	enumerator_t public;
	paper_list_t *list;
	int at;
} paper_enumerator_t;

static bool list_next(enumerator_t *this, ...)
{
	paper_enumerator_t *enumerator = (paper_enumerator_t*)this;
	va_list args;

	if (enumerator->at >= enumerator->list->count)
	{
		return FALSE;
	}
	va_start(args, this);
	*va_arg(args, void**) = enumerator->list->items[enumerator->at++];
	va_end(args);
	return TRUE;
}

static void enumerator_free(enumerator_t *this)
{
	free(this);
}

static enumerator_t *list_enumerator(linked_list_t *this)
{
	paper_enumerator_t *enumerator;

	INIT(enumerator,
		.public = {
			.enumerate = list_next,
			.destroy = enumerator_free,
		},
		.list = (paper_list_t*)this,
	);
	return &enumerator->public;
}

static int list_count(linked_list_t *this)
{
	return ((paper_list_t*)this)->count;
}

static void list_free(linked_list_t *this)
{
	free(this);
}

static void list_free_selectors(linked_list_t *this, size_t offset)
{
	paper_list_t *list = (paper_list_t*)this;

	while (list->count)
	{
		ts_destroy(list->items[--list->count]);
	}
	free(this);
}

static paper_list_t *list_create(void)
{
	paper_list_t *this;

	INIT(this,
		.public = {
			.create_enumerator = list_enumerator,
			.get_count = list_count,
			.destroy = list_free,
			.destroy_offset = list_free_selectors,
		},
	);
	return this;
}

linked_list_t *paper_list(int count, ...)
{
	paper_list_t *this = list_create();
	va_list args;

	va_start(args, count);
	while (this->count < count)
	{
		this->items[this->count++] = va_arg(args, void*);
	}
	va_end(args);
	return &this->public;
}

static bool enumerate_nothing(enumerator_t *this, ...)
{
	return FALSE;
}

enumerator_t *enumerator_create_empty(void)
{
	enumerator_t *this;

	INIT(this,
		.enumerate = enumerate_nothing,
		.destroy = enumerator_free,
	);
	return this;
}

typedef struct {
	enumerator_t public;
	char *text, *at;
} paper_token_t;

static bool token_next(enumerator_t *this, ...)
{
	paper_token_t *token = (paper_token_t*)this;
	va_list args;
	char *next;

	next = strtok_r(token->at ? NULL : token->text, " ", &token->at);
	if (next)
	{
		va_start(args, this);
		*va_arg(args, char**) = next;
		va_end(args);
	}
	return next != NULL;
}

static void token_free(enumerator_t *this)
{
	free(((paper_token_t*)this)->text);
	free(this);
}

enumerator_t *enumerator_create_token(const char *string, const char *sep, const char *trim)
{
	paper_token_t *this;

	INIT(this,
		.public = {
			.enumerate = token_next,
			.destroy = token_free,
		},
		.text = strdup(string),
	);
	return &this->public;
}

/** as enumerator.c has it: passes the arguments on as a list */
bool enumerator_enumerate_default(enumerator_t *enumerator, ...)
{
	va_list args;
	bool result;

	va_start(args, enumerator);
	result = enumerator->venumerate(enumerator, args);
	va_end(args);
	return result;
}

/* --- settings ------------------------------------------------------------ */

static struct {
	const char *key;
	char *value;
} settings[16];
static int settings_count;

void paper_set(const char *key, char *value)
{
	if (!key)
	{
		settings_count = 0;
		return;
	}
	settings[settings_count].key = key;
	settings[settings_count].value = value;
	settings_count++;
}

static char *settings_str(settings_t *this, char *key, char *def, ...)
{
	char name[512];
	va_list args;
	int i;

	va_start(args, def);
	vsnprintf(name, sizeof(name), key, args);
	va_end(args);
	/* the last one counts */
	for (i = settings_count - 1; i >= 0; i--)
	{
		if (streq(settings[i].key, name))
		{
			return settings[i].value;
		}
	}
	return def;
}

bool settings_value_as_bool(char *value, bool def);

static bool settings_bool(settings_t *this, char *key, int def, ...)
{
	char name[512];
	va_list args;

	va_start(args, def);
	vsnprintf(name, sizeof(name), key, args);
	va_end(args);
	return settings_value_as_bool(settings_str(this, "%s", NULL, name), def);
}

static int settings_int(settings_t *this, char *key, int def, ...)
{
	char name[512], *value;
	va_list args;

	va_start(args, def);
	vsnprintf(name, sizeof(name), key, args);
	va_end(args);
	value = settings_str(this, "%s", NULL, name);
	return value ? atoi(value) : def;
}

static void settings_set_int(settings_t *this, char *key, int value, ...)
{
	static char names[4][128], values[4][16];
	static int at;
	va_list args;

	at = (at + 1) % countof(names);
	va_start(args, value);
	vsnprintf(names[at], sizeof(names[at]), key, args);
	va_end(args);
	snprintf(values[at], sizeof(values[at]), "%d", value);
	paper_set(names[at], values[at]);
}

/* --- retransmission ------------------------------------------------------ */

void retransmission_parse_default(retransmission_t *retransmission)
{
	retransmission->tries = 5;
}

u_int retransmission_timeout_total(retransmission_t *retransmission)
{
	return retransmission->tries * 33;
}

bool settings_value_as_bool(char *value, bool def)
{
	if (value)
	{
		if (strcaseeq(value, "yes") || strcaseeq(value, "1"))
		{
			return TRUE;
		}
		if (strcaseeq(value, "no") || strcaseeq(value, "0"))
		{
			return FALSE;
		}
	}
	return def;
}

/* --- kernel -------------------------------------------------------------- */

static void kernel_acquire(kernel_interface_t *this, uint32_t reqid, kernel_acquire_data_t *data)
{
	chunk_t label = data->label ? data->label->get_encoding(data->label) : (chunk_t){};
	uint32_t cpu = 0, seq = 0;

#if TEST_ABI > 1
	cpu = data->cpu;
	seq = data->seq;
#endif
	snprintf(paper_event, sizeof(paper_event), "acquire %u %s %s %.*s cpu %u seq %u", reqid,
			 show_ts(data->src), show_ts(data->dst), (int)label.len, label.ptr ?: (u_char*)"",
			 cpu, seq);
}

static void kernel_expire(kernel_interface_t *this, uint8_t protocol, uint32_t spi, host_t *dst,
						  bool hard)
{
	snprintf(paper_event, sizeof(paper_event), "expire %u %08x %s %s", protocol, ntohl(spi),
			 show_host(dst), hard ? "hard" : "soft");
}

static void kernel_mapping(kernel_interface_t *this, uint8_t protocol, uint32_t spi, host_t *dst,
						   host_t *remote)
{
	snprintf(paper_event, sizeof(paper_event), "mapping %u %08x %s %s", protocol, ntohl(spi),
			 show_host(dst), show_host(remote));
}

/** the one that owns what it is given */
static void kernel_migrate(kernel_interface_t *this, uint32_t reqid, traffic_selector_t *src_ts,
						   traffic_selector_t *dst_ts, policy_dir_t direction, host_t *local,
						   host_t *remote)
{
	snprintf(paper_event, sizeof(paper_event), "migrate %u %s %s %d %s %s", reqid, show_ts(src_ts),
			 show_ts(dst_ts), direction, show_host(local), show_host(remote));
	src_ts->destroy(src_ts);
	dst_ts->destroy(dst_ts);
	local->destroy(local);
	remote->destroy(remote);
}

static status_t kernel_address_by_ts(kernel_interface_t *this, traffic_selector_t *ts,
									 host_t **ip, bool *vip)
{
	int family = ts->get_type(ts) == TS_IPV4_ADDR_RANGE ? AF_INET : AF_INET6;

	if (paper_no_net)
	{
		return FAILED;
	}
	*ip = host_create_from_chunk(family, ts->get_from_address(ts), 0);
	*vip = TRUE;
	return SUCCESS;
}

static bool kernel_interface(kernel_interface_t *this, host_t *host, char **name)
{
	if (paper_no_net)
	{
		return FALSE;
	}
	/* by port: the longest name, one that is too long, a normal one */
	*name = strdup(host->get_port(host) == 1 ? "fifteen-letters" :
				   host->get_port(host) == 2 ? "sixteen--letters" : "eth0");
	return TRUE;
}

static host_t *kernel_nexthop(kernel_interface_t *this, host_t *dest, int prefix, host_t *src,
							  char **iface)
{
	snprintf(paper_event, sizeof(paper_event), "nexthop %s/%d from %s", show_host(dest), prefix,
			 src ? show_host(src) : "any");
	if (paper_no_net)
	{
		return NULL;
	}
	*iface = strdup("eth1");
	return host_create_from_chunk(dest->get_family(dest), dest->get_address(dest), 0);
}

static void show_route(char *what, chunk_t net, uint8_t prefix, host_t *gateway, host_t *src,
					   char *iface, bool pass)
{
	snprintf(paper_event, sizeof(paper_event), "%s %u.%u/%u via %s from %s dev %s%s", what,
			 net.ptr[0], net.ptr[net.len - 1], prefix, gateway ? show_host(gateway) : "none",
			 src ? show_host(src) : "none", iface, pass ? " pass" : "");
}

static status_t kernel_add_route(kernel_interface_t *this, chunk_t net, uint8_t prefix,
								 host_t *gateway, host_t *src, char *iface, bool pass)
{
	show_route("add", net, prefix, gateway, src, iface, pass);
	return prefix == 32 ? ALREADY_DONE : SUCCESS;
}

static status_t kernel_del_route(kernel_interface_t *this, chunk_t net, uint8_t prefix,
								 host_t *gateway, host_t *src, char *iface, bool pass)
{
	show_route("del", net, prefix, gateway, src, iface, pass);
	return NOT_FOUND;
}

static bool kernel_lookup(kernel_interface_t *this, uint16_t alg, transform_type_t type,
						  uint16_t *kernel_id, char **name)
{
	if (alg != 4711 || type != ENCRYPTION_ALGORITHM)
	{
		return FALSE;
	}
	*kernel_id = 42;
	*name = "cbc(test)";
	return TRUE;
}

bool kernel_ipsec_register(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data)
{
	if (!reg)
	{
		paper_ipsec->destroy(paper_ipsec);
		paper_ipsec = NULL;
		return TRUE;
	}
	if (paper_provider || paper_ipsec)
	{
		return FALSE;
	}
	paper_ipsec = ((kernel_ipsec_constructor_t)data)();
	return paper_ipsec != NULL;
}

/* --- plugins, capabilities, watcher, bus --------------------------------- */

static char *provider_name(plugin_t *this)
{
	return paper_provider;
}

static plugin_t provider = { .get_name = provider_name };
static plugin_feature_t provider_features[] = {
	PLUGIN_PROVIDE(CUSTOM, "kernel-net"),
	PLUGIN_PROVIDE(CUSTOM, "kernel-ipsec"),
};

static bool plugins_next(enumerator_t *this, ...)
{
	paper_enumerator_t *enumerator = (paper_enumerator_t*)this;
	paper_list_t *list;
	va_list args;

	if (enumerator->at++ || !paper_provider)
	{
		return FALSE;
	}
	list = list_create();
	list->items[list->count++] = &provider_features[0];
	list->items[list->count++] = &provider_features[1];
	va_start(args, this);
	*va_arg(args, plugin_t**) = &provider;
	*va_arg(args, linked_list_t**) = &list->public;
	va_end(args);
	return TRUE;
}

static enumerator_t *plugins_enumerator(plugin_loader_t *this)
{
	paper_enumerator_t *enumerator;

	INIT(enumerator,
		.public = {
			.enumerate = plugins_next,
			.destroy = enumerator_free,
		},
	);
	return &enumerator->public;
}

static bool caps_keep(capabilities_t *this, u_int cap)
{
	return cap == CAP_NET_ADMIN;
}

static uid_t caps_uid(capabilities_t *this)
{
	return 1001;
}

static gid_t caps_gid(capabilities_t *this)
{
	return 1002;
}

static void watcher_add(watcher_t *this, int fd, watcher_event_t events, watcher_cb_t cb,
						void *data)
{
	check(events == WATCHER_READ);
	paper_fd = fd;
	paper_cb = cb;
	paper_data = data;
}

static void watcher_remove(watcher_t *this, int fd)
{
	check(fd == paper_fd);
	paper_fd = -1;
}

static char *ike_sa_name;
static uint32_t ike_sa_id;

static char *ike_sa_get_name(ike_sa_t *this)
{
	return ike_sa_name;
}

static uint32_t ike_sa_get_unique_id(ike_sa_t *this)
{
	return ike_sa_id;
}

static linked_list_t *children;

static char *net_name(child_cfg_t *this)
{
	return "net";
}

static char *voice_name(child_cfg_t *this)
{
	return "voice";
}

static char *plain_name(child_cfg_t *this)
{
	return "plain";
}

static hw_offload_t packet_offload(child_cfg_t *this)
{
	return HW_OFFLOAD_PACKET;
}

static hw_offload_t no_offload(child_cfg_t *this)
{
	return HW_OFFLOAD_NO;
}

static uint32_t net_reqid(child_cfg_t *this)
{
	return 42;
}

static uint32_t no_reqid(child_cfg_t *this)
{
	return 0;
}

static ipsec_mode_t tunnel_mode(child_cfg_t *this)
{
	return MODE_TUNNEL;
}

static char *peer_cfg_name(peer_cfg_t *this)
{
	return "site";
}

static enumerator_t *peer_cfg_children(peer_cfg_t *this)
{
	return children->create_enumerator(children);
}

static peer_cfg_t peer_cfg = {
	.get_name = peer_cfg_name,
	.create_child_cfg_enumerator = peer_cfg_children,
};

static peer_cfg_t *ike_sa_get_peer_cfg(ike_sa_t *this)
{
	return children ? &peer_cfg : NULL;
}

/** The loaded connections: the one of the IKE_SA, twice. */
static linked_list_t *peers;

static enumerator_t *backends_enumerator(backend_manager_t *this, host_t *me, host_t *other,
										 identification_t *my_id, identification_t *other_id,
										 ike_version_t version)
{
	check(!me && !other && !my_id && !other_id && version == IKE_ANY);
	return peers->create_enumerator(peers);
}

void paper_children(int packet)
{
	static child_cfg_t net = {
		.get_name = net_name,
		.get_hw_offload = packet_offload,
		.get_reqid = net_reqid,
		.get_mode = tunnel_mode,
	};
	static child_cfg_t plain = {
		.get_name = plain_name,
		.get_hw_offload = no_offload,
		.get_reqid = no_reqid,
		.get_mode = tunnel_mode,
	};
	static child_cfg_t voice = {
		.get_name = voice_name,
		.get_hw_offload = packet_offload,
		.get_reqid = no_reqid,
		.get_mode = tunnel_mode,
	};

	if (children)
	{
		children->destroy(children);
		children = NULL;
		peers->destroy(peers);
		peers = NULL;
	}
	if (packet)
	{
		peers = paper_list(2, &peer_cfg, &peer_cfg);
	}
	if (packet == 1)
	{
		children = paper_list(2, &plain, &net);
	}
	if (packet == 2)
	{
		children = paper_list(3, &net, &plain, &voice);
	}
}

/** The CHILD_SAs of the IKE_SA, by their SPIs. */
static uint32_t first_spi(child_sa_t *this, bool inbound)
{
	return htonl(inbound ? 0x1001 : 0x1000);
}

static uint32_t second_spi(child_sa_t *this, bool inbound)
{
	return htonl(inbound ? 0x2001 : 0x2000);
}

static enumerator_t *ike_sa_child_sas(ike_sa_t *this)
{
	static child_sa_t first = { .get_spi = first_spi }, second = { .get_spi = second_spi };
	static linked_list_t *list;

	list = list ?: paper_list(2, &first, &second);
	return list->create_enumerator(list);
}

static ike_sa_t ike_sa = {
	.create_child_sa_enumerator = ike_sa_child_sas,
	.get_peer_cfg = ike_sa_get_peer_cfg,
	.get_name = ike_sa_get_name,
	.get_unique_id = ike_sa_get_unique_id,
};

static ike_sa_t *bus_get_sa(bus_t *this)
{
	return ike_sa_name ? &ike_sa : NULL;
}

void paper_ike_sa(char *name, uint32_t unique_id)
{
	ike_sa_name = name;
	ike_sa_id = unique_id;
}

/* --- globals ------------------------------------------------------------- */

library_t *lib;
daemon_t *charon;

/** the one object that is published: its name and itself */
static char *published_name;
static void *published;

static void *lib_get(library_t *this, char *name)
{
	return published_name && streq(name, published_name) ? published : NULL;
}

static bool lib_set(library_t *this, char *name, void *object)
{
	published_name = object ? name : NULL;
	published = object;
	return TRUE;
}

void paper_charon(void)
{
	static settings_t paper_settings = {
		.get_str = settings_str,
		.get_int = settings_int,
		.get_bool = settings_bool,
		.set_int = settings_set_int,
	};
	static capabilities_t caps = { .keep = caps_keep, .get_uid = caps_uid, .get_gid = caps_gid };
	static plugin_loader_t plugins = { .create_plugin_enumerator = plugins_enumerator };
	static watcher_t watcher = { .add = watcher_add, .remove = watcher_remove };
	static backend_manager_t backends = { .create_peer_cfg_enumerator = backends_enumerator };
	static bus_t bus = { .get_sa = bus_get_sa, .log = bus_log };
	static kernel_interface_t kernel = {
		.acquire = kernel_acquire,
		.expire = kernel_expire,
		.mapping = kernel_mapping,
		.migrate = kernel_migrate,
		.get_address_by_ts = kernel_address_by_ts,
		.get_interface = kernel_interface,
		.get_nexthop = kernel_nexthop,
		.add_route = kernel_add_route,
		.del_route = kernel_del_route,
		.lookup_algorithm = kernel_lookup,
	};
	/* ns and others are const for everybody but the one who makes it */
	static library_t paper_lib = {
		.get = lib_get,
		.set = lib_set,
		.ns = "charon",
		.settings = &paper_settings,
		.caps = &caps,
		.plugins = &plugins,
		.watcher = &watcher,
	};
	static daemon_t paper_daemon = {
		.kernel = &kernel,
		.bus = &bus,
		.backends = &backends,
	};

	lib = &paper_lib;
	charon = &paper_daemon;
}

/*
 * By these the shim knows the running version. TEST_RUNNING is the class that
 * this program pretends to be, 1 for A to 4 for D.
 */
#if TEST_RUNNING >= 2
kernel_acquire_data_t *kernel_acquire_data_clone(kernel_acquire_data_t *data)
{
	return NULL;
}
#endif
#if TEST_RUNNING >= 3
u_int ipsec_sa_cfg_hash(ipsec_sa_cfg_t *this)
{
	return 0;
}
#endif
#if TEST_RUNNING >= 4
int chunk_compare_prefix(chunk_t a, chunk_t b)
{
	return 0;
}
#endif
