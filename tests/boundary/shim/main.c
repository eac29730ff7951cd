/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The shim between a charon of paper and a core of paper: what charon hands
 * over arrives in the flat struct field by field, what the core answers and
 * asks arrives in charon, NULL goes anywhere, and who owns what is freed once.
 * tests/shim.rs builds it with AddressSanitizer for each strongSwan there is.
 *
 * TEST_ABI is the class of the strongSwan it is compiled for, 1 for A to 4 for
 * D, derived from the version number; TEST_RUNNING the one it pretends to be.
 */
#include "charon.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <unistd.h>

#include <plugins/kernel_netlink/kernel_netlink_xfrmi.h>

#include <fastswan.h>

/* strongswan-plugin/kernel_fastswan_plugin.h, which is not in our way here */
plugin_t *kernel_fastswan_plugin_new(const struct fs_ops *ops);

/* --- a core of paper ----------------------------------------------------- */

static struct fs_host host;
static int32_t answer;
static bool refuse_create;
static int created, destroyed, reloaded;
static const char *called;
static bool had_id, had_data;
static struct fs_sa_id sa_id;
static struct fs_sa sa;
static struct fs_update_sa update;
static struct fs_policy_id policy_id;
static struct fs_policy policy;
static char name[300];
static struct fs_ts src_ts[8], dst_ts[8];
static struct fs_addr addr_src, addr_dst;
static uint16_t cpi;
static uint64_t token;

static struct fs_backend *core_create(const struct fs_host *functions, const char *version)
{
	check(streq(version, VERSION));
	host = *functions;
	check(host.contract == FASTSWAN_CONTRACT && host.size == sizeof(host));
	created++;
	return refuse_create ? NULL : (struct fs_backend*)&host;
}

static void core_destroy(struct fs_backend *backend)
{
	check(backend == (struct fs_backend*)&host);
	destroyed++;
}

static bool core_reload(struct fs_backend *backend)
{
	check(backend == (struct fs_backend*)&host);
	reloaded++;
	return TRUE;
}

static uint32_t core_get_features(struct fs_backend *backend)
{
	return (uint32_t)answer;
}

static int32_t core_get_spi(struct fs_backend *backend, const struct fs_addr *src,
							const struct fs_addr *dst, uint8_t proto, uint32_t *spi_be)
{
	called = "get_spi";
	addr_src = *src;
	addr_dst = *dst;
	if (spi_be)
	{
		*spi_be = htonl(0xc0000000 + proto);
	}
	return answer;
}

static int32_t core_get_cpi(struct fs_backend *backend, const struct fs_addr *src,
							const struct fs_addr *dst, uint16_t *cpi_be)
{
	called = "get_cpi";
	addr_src = *src;
	addr_dst = *dst;
	if (cpi_be)
	{
		*cpi_be = htons(0x1234);
	}
	return answer;
}

static void keep_id(const struct fs_sa_id *id)
{
	had_id = id != NULL;
	if (id)
	{
		sa_id = *id;
	}
}

static void keep_name(const char *text)
{
	snprintf(name, sizeof(name), "%s", text ?: "(none)");
}

static int32_t core_add_sa(struct fs_backend *backend, const struct fs_sa_id *id,
						   const struct fs_sa *data)
{
	called = "add_sa";
	keep_id(id);
	had_data = data != NULL;
	if (data)
	{
		sa = *data;
		keep_name(data->name);
		check(data->src_ts.len <= 8 && data->dst_ts.len <= 8);
		memcpy(src_ts, data->src_ts.items ?: src_ts, data->src_ts.len * sizeof(*src_ts));
		memcpy(dst_ts, data->dst_ts.items ?: dst_ts, data->dst_ts.len * sizeof(*dst_ts));
	}
	return answer;
}

static int32_t core_update_sa(struct fs_backend *backend, const struct fs_sa_id *id,
							  const struct fs_update_sa *data)
{
	called = "update_sa";
	keep_id(id);
	had_data = data != NULL;
	if (data)
	{
		update = *data;
		check(data->src_ts.len <= 8 && data->dst_ts.len <= 8);
		memcpy(src_ts, data->src_ts.items ?: src_ts, data->src_ts.len * sizeof(*src_ts));
		memcpy(dst_ts, data->dst_ts.items ?: dst_ts, data->dst_ts.len * sizeof(*dst_ts));
	}
	return answer;
}

static int32_t core_query_sa(struct fs_backend *backend, const struct fs_sa_id *id, uint16_t c,
							 struct fs_usage *usage)
{
	called = "query_sa";
	keep_id(id);
	cpi = c;
	*usage = (struct fs_usage){ .bytes = 1, .packets = 2, .use_time = 3 };
	return answer;
}

static int32_t core_del_sa(struct fs_backend *backend, const struct fs_sa_id *id, uint16_t c)
{
	called = "del_sa";
	keep_id(id);
	cpi = c;
	return answer;
}

static int32_t core_flush_sas(struct fs_backend *backend)
{
	called = "flush_sas";
	return answer;
}

static void keep_policy(const struct fs_policy_id *id, const struct fs_policy *data)
{
	had_id = id != NULL;
	had_data = data != NULL;
	if (id)
	{
		policy_id = *id;
	}
	if (data)
	{
		policy = *data;
		keep_name(data->name);
	}
}

static int32_t core_add_policy(struct fs_backend *backend, const struct fs_policy_id *id,
							   const struct fs_policy *data)
{
	called = "add_policy";
	keep_policy(id, data);
	return answer;
}

static int32_t core_query_policy(struct fs_backend *backend, const struct fs_policy_id *id,
								 int64_t *use_time)
{
	called = "query_policy";
	keep_policy(id, NULL);
	*use_time = 4;
	return answer;
}

static int32_t core_del_policy(struct fs_backend *backend, const struct fs_policy_id *id,
							   const struct fs_policy *data)
{
	called = "del_policy";
	keep_policy(id, data);
	return answer;
}

static int32_t core_flush_policies(struct fs_backend *backend)
{
	called = "flush_policies";
	return answer;
}

static bool core_bypass_socket(struct fs_backend *backend, int fd, int family)
{
	return fd == 3 && family == AF_INET6;
}

static bool core_enable_udp_decap(struct fs_backend *backend, int fd, int family, uint16_t port)
{
	return fd == 4 && family == AF_INET && port == 4500;
}

static bool core_readable(uint64_t t, int fd)
{
	token = t;
	return fd == 5;
}

static bool have_xfrmi;
static int xfrmi_count, xfrmi_asked;
static char xfrmi_event[128];

static bool core_xfrmi_supported(struct fs_backend *backend)
{
	return have_xfrmi;
}

static bool core_xfrmi_create(struct fs_backend *backend, const char *ifname, uint32_t if_id,
							  const char *phys, uint32_t mtu)
{
	snprintf(xfrmi_event, sizeof(xfrmi_event), "create %s %u %s %u", ifname, if_id,
			 phys ?: "none", mtu);
	return if_id == 7;
}

static bool core_xfrmi_delete(struct fs_backend *backend, const char *ifname)
{
	snprintf(xfrmi_event, sizeof(xfrmi_event), "delete %s", ifname);
	return streq(ifname, "ipsec0");
}

static int64_t core_xfrmi_list(struct fs_backend *backend, struct fs_xfrmi *items, size_t room)
{
	xfrmi_asked++;
	for (int i = 0; i < xfrmi_count && i < room; i++)
	{
		items[i] = (struct fs_xfrmi){ .if_id = i + 1, .mtu = 1400 + i };
		snprintf(items[i].name, sizeof(items[i].name), "ipsec%d", i);
		strcpy(items[i].phys, i % 2 ? "" : "eth0");
	}
	return xfrmi_count;
}

static struct fs_ops ops = {
	.contract = FASTSWAN_CONTRACT,
	.size = sizeof(ops),
	.create = core_create,
	.destroy = core_destroy,
	.reload = core_reload,
	.get_features = core_get_features,
	.get_spi = core_get_spi,
	.get_cpi = core_get_cpi,
	.add_sa = core_add_sa,
	.update_sa = core_update_sa,
	.query_sa = core_query_sa,
	.del_sa = core_del_sa,
	.flush_sas = core_flush_sas,
	.add_policy = core_add_policy,
	.query_policy = core_query_policy,
	.del_policy = core_del_policy,
	.flush_policies = core_flush_policies,
	.bypass_socket = core_bypass_socket,
	.enable_udp_decap = core_enable_udp_decap,
	.xfrmi_supported = core_xfrmi_supported,
	.xfrmi_create = core_xfrmi_create,
	.xfrmi_delete = core_xfrmi_delete,
	.xfrmi_list = core_xfrmi_list,
	.readable = core_readable,
};

/* --- cases --------------------------------------------------------------- */

static plugin_t *plugin;
static plugin_feature_t *features;
static int feature_count;
static kernel_ipsec_t *ipsec;

/** Loads the plugin and its feature, as charon does. */
static void load(void)
{
	plugin = kernel_fastswan_plugin_new(&ops);
	check(plugin);
	check(streq(plugin->get_name(plugin), "kernel-fastswan"));
	feature_count = plugin->get_features(plugin, &features);
	check(feature_count == 3);
	check(features[0].kind == FEATURE_CALLBACK);
	check(features[1].kind == FEATURE_PROVIDE && features[1].type == FEATURE_CUSTOM);
	check(streq(features[1].arg.custom, "kernel-ipsec"));
	check(features[2].kind == FEATURE_SDEPEND && features[2].type == FEATURE_CUSTOM);
	check(streq(features[2].arg.custom, "kernel-net"));
	/* nothing but a check so far */
	check(created == 0);
	check(features[0].arg.cb.f(plugin, &features[1], TRUE, features[0].arg.cb.data));
	check(created == 1);
	ipsec = paper_ipsec;
	check(ipsec);
}

static void unload(void)
{
	check(features[0].arg.cb.f(plugin, &features[1], FALSE, features[0].arg.cb.data));
	check(destroyed == 1);
	/* after the instance is gone, charon may still ask to reload */
	check(!plugin->reload(plugin));
	plugin->destroy(plugin);
}

static host_t *new_host(char *ip, uint16_t port)
{
	u_char bytes[16];

	if (inet_pton(AF_INET, ip, bytes) == 1)
	{
		return host_create_from_chunk(AF_INET, chunk_create(bytes, 4), port);
	}
	check(inet_pton(AF_INET6, ip, bytes) == 1);
	return host_create_from_chunk(AF_INET6, chunk_create(bytes, 16), port);
}

static traffic_selector_t *new_ts(uint8_t net)
{
	u_char from[16] = { 0xfd, net }, to[16] = { 0xfd, net, 0xff };

	return traffic_selector_create_from_bytes(net, TS_IPV6_ADDR_RANGE, chunk_from_thing(from),
											  1000 + net, chunk_from_thing(to), 2000 + net);
}

static bool is_ts(const struct fs_ts *ts, uint8_t net)
{
	return ts->family == AF_INET6 && ts->proto == net && ts->from_port == 1000 + net &&
		   ts->to_port == 2000 + net && ts->from[0] == 0xfd && ts->from[1] == net &&
		   ts->from[2] == 0 && ts->to[1] == net && ts->to[2] == 0xff;
}

static bool is_v4(const struct fs_addr *addr, uint8_t last, uint16_t port)
{
	return addr->family == AF_INET && addr->bytes[0] == 192 && addr->bytes[3] == last &&
		   addr->port == port;
}

static void case_plugin(void)
{
	plugin_t *second;

	load();
	check(plugin->reload(plugin) && reloaded == 1);
	unload();
	check(!paper_find("CAP_NET_ADMIN"));

	/* a core of another contract, and none */
	ops.contract++;
	check(kernel_fastswan_plugin_new(&ops) == NULL);
	ops.contract--;
	ops.size--;
	check(kernel_fastswan_plugin_new(&ops) == NULL);
	ops.size++;
	check(kernel_fastswan_plugin_new(NULL) == NULL);
	check(paper_find("not built together"));

	/* the core cannot work: charon goes on to the next provider, and nobody
	 * says that another plugin was faster */
	second = kernel_fastswan_plugin_new(&ops);
	refuse_create = TRUE;
	second->get_features(second, &features);
	check(!features[0].arg.cb.f(second, &features[1], TRUE, features[0].arg.cb.data));
	check(created == 2 && !paper_find("is not active"));
	second->destroy(second);
}

static void case_lost(void)
{
	paper_line_t *line;

	paper_provider = "kernel-netlink";
	plugin = kernel_fastswan_plugin_new(&ops);
	plugin->get_features(plugin, &features);
	check(!features[0].arg.cb.f(plugin, &features[1], TRUE, features[0].arg.cb.data));
	check(created == 0);
	line = paper_find("kernel-fastswan is not active");
	check(line && line->level == 1 && line->group == DBG_KNL);
	check(strstr(line->text, "kernel-netlink already provides"));
	check(strstr(line->text, "load = 2"));
	plugin->destroy(plugin);
}

/** kernel-netlink as a critical plugin ends charon: our line says why. */
static void case_critical(void)
{
	paper_line_t *line;

	paper_set("charon.load", "random kernel-fastswan kernel-netlink vici");
	load();
	unload();
	check(!paper_find("critical"));
	created = destroyed = 0;
	paper_set("charon.load", "random kernel-fastswan kernel-netlink! vici");
	load();
	unload();
	line = paper_find("kernel-netlink is marked as critical in charon.load");
	check(line && line->level == 1 && line->group == DBG_KNL);
	check(strstr(line->text, "exclamation mark"));
	/* with load_modular that list has no such marks */
	paper_lines = created = destroyed = 0;
	paper_set("charon.load_modular", "yes");
	load();
	unload();
	check(!paper_find("critical"));
}

static void case_version(void)
{
	static const char *versions[] = {
		NULL, "6.0.0 and 6.0.1", "6.0.2 to 6.0.4", "6.0.5 and 6.0.6", "6.1.0 and later",
	};

	plugin = kernel_fastswan_plugin_new(&ops);
	if (TEST_ABI == TEST_RUNNING)
	{
		check(plugin && paper_lines == 0);
		plugin->destroy(plugin);
		return;
	}
	check(!plugin && paper_lines == 1);
	/* both are named, in the group that the running version calls KNL */
	check(paper_log[0].level == 1);
	check(paper_log[0].group == (TEST_RUNNING == 1 ? 6 : 7));
	check(strstr(paper_log[0].text, "built for strongSwan " VERSION));
	check(strstr(paper_log[0].text, versions[TEST_RUNNING]));
}

/** Every method with NULL for everything that can be. */
static void case_null(void)
{
	kernel_ipsec_sa_id_t id = {};
	kernel_ipsec_add_sa_t add = {};
	kernel_ipsec_update_sa_t upd = {};
	kernel_ipsec_policy_id_t pid = {};
	kernel_ipsec_manage_policy_t manage = {};
	uint64_t bytes;

	load();
	answer = FS_FAILED;
	check(ipsec->get_spi(ipsec, NULL, NULL, IPPROTO_ESP, NULL) == FAILED);
	check(addr_src.family == 0 && addr_dst.family == 0);
	check(ipsec->get_cpi(ipsec, NULL, NULL, NULL) == FAILED);
	check(ipsec->add_sa(ipsec, NULL, NULL) == FAILED && !had_id && !had_data);
	check(ipsec->add_sa(ipsec, NULL, &add) == FAILED && !had_id && had_data);
	check(sa.src_ts.len == 0 && sa.src_ts.items == NULL && sa.enc_key.len == 0);
	check(sa.label.len == 0 && sa.interface == NULL && sa.lifetime.time.life == 0);
	check(streq(name, "(none)"));
	check(ipsec->add_sa(ipsec, &id, NULL) == FAILED && had_id && !had_data);
	check(sa_id.src.family == 0 && sa_id.dst.family == 0);
	check(ipsec->update_sa(ipsec, NULL, NULL) != SUCCESS && !had_id && !had_data);
	check(ipsec->update_sa(ipsec, &id, &upd) != SUCCESS && had_id && had_data);
	check(update.new_src.family == 0 && update.new_dst.family == 0);
	check(ipsec->query_sa(ipsec, NULL, NULL, NULL, NULL, NULL) == FAILED && !had_id);
	check(ipsec->del_sa(ipsec, NULL, NULL) == FAILED && !had_id && cpi == 0);
	check(ipsec->flush_sas(ipsec) == FAILED);
	check(ipsec->add_policy(ipsec, NULL, NULL) == FAILED && !had_id && !had_data);
	check(ipsec->add_policy(ipsec, &pid, &manage) == FAILED && had_id && had_data);
	check(policy_id.src_ts.family == 0 && policy_id.label.len == 0);
	check(policy.mode == FS_MODE_NONE && policy.src.family == 0);
	check(ipsec->query_policy(ipsec, NULL, NULL, NULL) == FAILED && !had_id);
	check(ipsec->del_policy(ipsec, NULL, NULL) == FAILED && !had_id && !had_data);
	check(ipsec->flush_policies(ipsec) == FAILED);
	/* answers that nobody wants */
	answer = FS_SUCCESS;
	check(ipsec->query_sa(ipsec, &id, NULL, &bytes, NULL, NULL) == SUCCESS && bytes == 1);
	check(ipsec->query_policy(ipsec, &pid, NULL, NULL) == SUCCESS);
	unload();
}

static void case_sa(void)
{
	sec_label_t *label = sec_label_from_encoding(chunk_from_str("label"));
	u_char enc[36] = { 1, 2 }, integ[20] = { 3 };
	lifetime_cfg_t lifetime = {
		.time = { 1, 2, 3 }, .bytes = { 4, 5, 6 }, .packets = { 7, 8, 9 },
	};
	kernel_ipsec_sa_id_t id = {
		.src = new_host("192.0.2.1", 4500),
		.dst = new_host("192.0.2.2", 4501),
		.spi = htonl(0xc1234567),
		.proto = IPPROTO_ESP,
		.mark = { 10, 11 },
		.if_id = 12,
	};
	kernel_ipsec_add_sa_t data = {
		.reqid = 13,
		.mode = MODE_BEET,
		.src_ts = paper_list(2, new_ts(1), new_ts(2)),
		.dst_ts = paper_list(1, new_ts(3)),
		.interface = "eth7",
		.lifetime = &lifetime,
		.enc_alg = 14,
		.enc_key = chunk_from_thing(enc),
		.int_alg = 15,
		.int_key = chunk_from_thing(integ),
		.replay_window = 16,
		.tfc = 17,
		.ipcomp = 18,
		.cpi = htons(19),
		.hw_offload = HW_OFFLOAD_PACKET,
		.mark = { 20, 21 },
		.label = label,
		.copy_dscp = DSCP_COPY_IN_ONLY,
	};

	load();
	paper_ike_sa("gw-gw", 3);
#if TEST_ABI > 1
	data.seq = 22;
	data.cpu = 23;
#endif
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(is_v4(&sa_id.src, 1, 4500) && is_v4(&sa_id.dst, 2, 4501));
	check(sa_id.spi == htonl(0xc1234567) && sa_id.proto == IPPROTO_ESP);
	check(sa_id.mark.value == 10 && sa_id.mark.mask == 11 && sa_id.if_id == 12);
	check(sa.reqid == 13 && sa.mode == FS_MODE_BEET && streq(sa.interface, "eth7"));
	check(sa.src_ts.len == 2 && is_ts(&src_ts[0], 1) && is_ts(&src_ts[1], 2));
	check(sa.dst_ts.len == 1 && is_ts(&dst_ts[0], 3));
	check(sa.lifetime.time.life == 1 && sa.lifetime.time.rekey == 2);
	check(sa.lifetime.time.jitter == 3 && sa.lifetime.bytes.life == 4);
	check(sa.lifetime.bytes.rekey == 5 && sa.lifetime.bytes.jitter == 6);
	check(sa.lifetime.packets.life == 7 && sa.lifetime.packets.rekey == 8);
	check(sa.lifetime.packets.jitter == 9);
	check(sa.enc_alg == 14 && sa.int_alg == 15);
	/* borrowed, not copied */
	check(sa.enc_key.ptr == enc && sa.enc_key.len == sizeof(enc));
	check(sa.int_key.ptr == integ && sa.int_key.len == sizeof(integ));
	check(sa.replay_window == 16 && sa.tfc == 17 && sa.ipcomp == 18 && sa.cpi == 19);
	check(sa.hw_offload == FS_OFFLOAD_PACKET && sa.copy_dscp == FS_DSCP_IN_ONLY);
	check(sa.set_mark.value == 20 && sa.set_mark.mask == 21);
	check(sa.label.len == 5 && memeq(sa.label.ptr, "label", 5));
	check(streq(name, "gw-gw[3]"));
#if TEST_ABI > 1
	check(sa.seq == 22 && sa.cpu == 23);
	data.cpu = CPU_ID_MAX;
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
#else
	check(sa.seq == 0);
#endif
	check(sa.cpu == FS_CPU_NONE);

	/* one flag at a time: two that are mixed up would not be seen together.
	 * This is where the classes differ by a byte. */
#define one_flag(from, to) \
	data.from = TRUE; \
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS); \
	check(sa.to == 1); \
	check(sa.encap + sa.esn + sa.copy_df + sa.copy_ecn + sa.iptfs_dont_frag + sa.forward_icmp + \
		  sa.initiator + sa.inbound + sa.update == 1); \
	data.from = FALSE
	one_flag(encap, encap);
	one_flag(esn, esn);
	one_flag(copy_df, copy_df);
	one_flag(copy_ecn, copy_ecn);
	one_flag(initiator, initiator);
	one_flag(inbound, inbound);
	one_flag(update, update);
#if TEST_ABI > 1
	one_flag(iptfs_dont_frag, iptfs_dont_frag);
#endif
#if TEST_ABI > 2
	one_flag(forward_icmp, forward_icmp);
#endif

	/* each number, and one that no version has */
	static const struct {
		ipsec_mode_t mode;
		uint8_t flat;
	} modes[] = {
		{ MODE_NONE, FS_MODE_NONE }, { MODE_TRANSPORT, FS_MODE_TRANSPORT },
		{ MODE_TUNNEL, FS_MODE_TUNNEL }, { MODE_PASS, FS_MODE_PASS },
		{ MODE_DROP, FS_MODE_DROP },
#if TEST_ABI > 1
		{ MODE_IPTFS, FS_MODE_IPTFS },
#endif
		{ 4711, UINT8_MAX }, { 256 + MODE_TUNNEL, UINT8_MAX },
	};
	for (int i = 0; i < countof(modes); i++)
	{
		data.mode = modes[i].mode;
		check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS && sa.mode == modes[i].flat);
	}
	data.hw_offload = 256;
	data.copy_dscp = 257;
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(sa.hw_offload == UINT8_MAX && sa.copy_dscp == UINT8_MAX);

	/* the CHILD_SA is named by its offload mode, as far as that tells */
	data.hw_offload = HW_OFFLOAD_PACKET;
	paper_ike_sa("gw", 2);
	paper_children(1);
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(streq(name, "net of gw[2]"));
	paper_children(2);
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(streq(name, "net|voice of gw[2]"));
	data.hw_offload = HW_OFFLOAD_CRYPTO;
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(streq(name, "gw[2]"));
	paper_children(0);

	/* a name that does not fit is cut, not written past its room */
	char *longest = malloc(1000);
	memset(longest, 'n', 999);
	longest[999] = '\0';
	paper_ike_sa(longest, 1);
	check(ipsec->add_sa(ipsec, &id, &data) == SUCCESS);
	check(strlen(name) == 255);
	free(longest);

	data.src_ts->destroy_offset(data.src_ts, offsetof(traffic_selector_t, destroy));
	data.dst_ts->destroy_offset(data.dst_ts, offsetof(traffic_selector_t, destroy));
	id.src->destroy(id.src);
	id.dst->destroy(id.dst);
	label->destroy(label);
	unload();
}

static void case_update(void)
{
	kernel_ipsec_sa_id_t id = {
		.src = new_host("192.0.2.1", 0),
		.dst = new_host("192.0.2.2", 0),
	};
	kernel_ipsec_update_sa_t data = {
		.cpi = htons(1),
		.new_src = new_host("192.0.2.3", 3),
		.new_dst = new_host("192.0.2.4", 4),
		.new_encap = TRUE,
		.new_reqid = 5,
	};
	static const int32_t results[] = { FS_FAILED, FS_NOT_FOUND, FS_NOT_SUPPORTED };

	load();
#if TEST_ABI > 3
	data.old_reqid = 6;
	data.mode = MODE_BEET;
	data.hw_offload = HW_OFFLOAD_CRYPTO;
	data.src_ts = paper_list(2, new_ts(1), new_ts(2));
	data.dst_ts = paper_list(1, new_ts(3));
	data.interface = "eth7";
	data.inbound = TRUE;
#endif
	check(ipsec->update_sa(ipsec, &id, &data) == SUCCESS);
	check(is_v4(&update.new_src, 3, 3) && is_v4(&update.new_dst, 4, 4));
	check(update.cpi == 1 && update.new_reqid == 5);
	check(update.encap == 0 && update.new_encap == 1);
	/* what charon says about the SA since 6.1.0; before that, nothing */
#if TEST_ABI > 3
	check(update.known && update.old_reqid == 6 && update.inbound == 1);
	check(update.mode == FS_MODE_BEET && update.hw_offload == FS_OFFLOAD_CRYPTO);
	check(update.src_ts.len == 2 && is_ts(&src_ts[0], 1) && is_ts(&src_ts[1], 2));
	check(update.dst_ts.len == 1 && is_ts(&dst_ts[0], 3) && streq(update.interface, "eth7"));
	data.inbound = FALSE;
#else
	check(!update.known && update.old_reqid == 0 && update.inbound == 0);
	check(update.src_ts.len == 0 && update.dst_ts.len == 0 && !update.interface);
#endif
	/* unchanged: said by 0 up to 6.0.6, by the same number from 6.1.0 on */
#if TEST_ABI > 3
	data.old_reqid = 5;
#else
	data.new_reqid = 0;
#endif
	data.encap = TRUE;
	data.new_encap = FALSE;
	check(ipsec->update_sa(ipsec, &id, &data) == SUCCESS);
	check(update.new_reqid == 0 && update.encap == 1 && update.new_encap == 0);
	check(update.inbound == 0);

	/* up to 6.0.6 charon takes any other failure for a success */
	for (int i = 0; i < countof(results); i++)
	{
		answer = results[i];
		status_t status = ipsec->update_sa(ipsec, &id, &data);
		check(TEST_ABI > 3 ? status != SUCCESS : status == NOT_SUPPORTED);
	}
	answer = FS_FAILED;
	check(ipsec->update_sa(ipsec, &id, &data) == (TEST_ABI > 3 ? FAILED : NOT_SUPPORTED));
	id.src->destroy(id.src);
	id.dst->destroy(id.dst);
	data.new_src->destroy(data.new_src);
	data.new_dst->destroy(data.new_dst);
#if TEST_ABI > 3
	data.src_ts->destroy_offset(data.src_ts, offsetof(traffic_selector_t, destroy));
	data.dst_ts->destroy_offset(data.dst_ts, offsetof(traffic_selector_t, destroy));
#endif
	unload();
}

/** What kernel-netlink asks for priorities, if it is in the process. */
uint32_t kernel_netlink_get_priority_custom(kernel_ipsec_policy_id_t *id,
											kernel_ipsec_manage_policy_t *data)
{
	return 4000 + id->if_id + data->manual_prio;
}

static void case_policy(void)
{
	sec_label_t *label = sec_label_from_encoding(chunk_from_str("label"));
	kernel_ipsec_policy_id_t id = {
		.dir = POLICY_FWD,
		.src_ts = new_ts(1),
		.dst_ts = new_ts(2),
		.mark = { 3, 4 },
		.if_id = 5,
		.interface = "eth8",
		.label = label,
	};
	ipsec_sa_cfg_t cfg = {
		.mode = MODE_TUNNEL,
		.reqid = 6,
		.policy_count = 7,
		.esp = { TRUE, htonl(8) },
		.ah = { FALSE, htonl(9) },
		.ipcomp = { 10, htons(11) },
	};
	kernel_ipsec_manage_policy_t data = {
		.type = POLICY_DROP,
		.prio = POLICY_PRIORITY_FALLBACK,
		.manual_prio = 12,
		.hw_offload = HW_OFFLOAD_AUTO,
		.src = new_host("192.0.2.13", 14),
		.dst = new_host("192.0.2.15", 16),
		.sa = &cfg,
	};
	status_t (*methods[])(kernel_ipsec_t*, kernel_ipsec_policy_id_t*,
						  kernel_ipsec_manage_policy_t*) = {
		NULL, NULL,
	};
	time_t use_time = 0;

	load();
	paper_ike_sa("rw", 4);
	methods[0] = ipsec->add_policy;
	methods[1] = ipsec->del_policy;
	for (int i = 0; i < countof(methods); i++)
	{
		memset(&policy, 0xff, sizeof(policy));
		check(methods[i](ipsec, &id, &data) == SUCCESS);
		check(streq(called, i ? "del_policy" : "add_policy"));
		check(policy_id.dir == FS_DIR_FWD && is_ts(&policy_id.src_ts, 1));
		check(is_ts(&policy_id.dst_ts, 2) && streq(policy_id.interface, "eth8"));
		check(policy_id.mark.value == 3 && policy_id.mark.mask == 4 && policy_id.if_id == 5);
		check(policy_id.label.len == 5);
		check(policy.mode == FS_MODE_TUNNEL && policy.reqid == 6 && policy.policy_count == 7);
		check(policy.esp == 1 && policy.esp_spi == htonl(8));
		check(policy.ah == 0 && policy.ah_spi == htonl(9));
		check(policy.ipcomp == 10 && policy.cpi == 11);
		check(policy.type == FS_POLICY_DROP && policy.prio == FS_PRIO_FALLBACK);
		/* what the hook says, in place of the configured 12 */
		check(policy.manual_prio == 4000 + 5 + 12 && policy.hw_offload == FS_OFFLOAD_AUTO);
		check(is_v4(&policy.src, 13, 14) && is_v4(&policy.dst, 15, 16));
		check(policy.pcpu_acquires == 0 && policy.forward_icmp == 0);
		check(streq(name, "rw[4]"));
	}
#if TEST_ABI > 1
	data.pcpu_acquires = TRUE;
	check(ipsec->add_policy(ipsec, &id, &data) == SUCCESS);
	check(policy.pcpu_acquires == 1 && policy.forward_icmp == 0);
	data.pcpu_acquires = FALSE;
#endif
#if TEST_ABI > 2
	data.forward_icmp = TRUE;
	check(ipsec->add_policy(ipsec, &id, &data) == SUCCESS);
	check(policy.pcpu_acquires == 0 && policy.forward_icmp == 1);
#endif
	cfg.esp.use = FALSE;
	cfg.ah.use = TRUE;
	data.type = POLICY_PASS;
	data.prio = POLICY_PRIORITY_ROUTED;
	id.dir = POLICY_OUT;
	check(ipsec->add_policy(ipsec, &id, &data) == SUCCESS);
	check(policy.esp == 0 && policy.ah == 1 && policy_id.dir == FS_DIR_OUT);
	check(policy.type == FS_POLICY_PASS && policy.prio == FS_PRIO_ROUTED);
	data.type = 256 + POLICY_PASS;
	data.prio = 256;
	id.dir = 256;
	check(ipsec->add_policy(ipsec, &id, &data) == SUCCESS);
	check(policy.type == UINT8_MAX && policy.prio == UINT8_MAX && policy_id.dir == UINT8_MAX);
	check(ipsec->query_policy(ipsec, &id, NULL, &use_time) == SUCCESS && use_time == 4);
	answer = FS_NOT_FOUND;
	use_time = 0;
	check(ipsec->query_policy(ipsec, &id, NULL, &use_time) == NOT_FOUND && use_time == 0);
	id.src_ts->destroy(id.src_ts);
	id.dst_ts->destroy(id.dst_ts);
	data.src->destroy(data.src);
	data.dst->destroy(data.dst);
	label->destroy(label);
	unload();
}

static void case_answers(void)
{
	static const struct {
		int32_t flat;
		status_t status;
	} results[] = {
		{ FS_SUCCESS, SUCCESS }, { FS_FAILED, FAILED }, { FS_NOT_FOUND, NOT_FOUND },
		{ FS_NOT_SUPPORTED, NOT_SUPPORTED }, { FS_ALREADY_DONE, ALREADY_DONE },
		{ 4711, FAILED }, { -1, FAILED },
	};
	kernel_ipsec_sa_id_t id = {};
	kernel_ipsec_query_sa_t query = { .cpi = htons(5) };
	kernel_ipsec_del_sa_t del = { .cpi = htons(6) };
	host_t *v6 = new_host("2001:db8::1", 1);
	uint64_t bytes, packets;
	uint32_t spi;
	uint16_t c;
	time_t use_time;

	load();
	for (int i = 0; i < countof(results); i++)
	{
		answer = results[i].flat;
		check(ipsec->flush_sas(ipsec) == results[i].status);
		check(ipsec->flush_policies(ipsec) == results[i].status);
		check(ipsec->del_sa(ipsec, &id, &del) == results[i].status && cpi == 6);
		bytes = packets = use_time = 77;
		check(ipsec->query_sa(ipsec, &id, &query, &bytes, &packets, &use_time) ==
			  results[i].status && cpi == 5);
		if (results[i].status == SUCCESS)
		{
			check(bytes == 1 && packets == 2 && use_time == 3);
		}
		else
		{
			check(bytes == 77 && packets == 77 && use_time == 77);
		}
	}
	answer = FS_SUCCESS;
	check(ipsec->get_spi(ipsec, v6, v6, 50, &spi) == SUCCESS && spi == htonl(0xc0000032));
	check(addr_src.family == AF_INET6 && addr_src.bytes[15] == 1 && addr_src.port == 1);
	check(ipsec->get_cpi(ipsec, v6, v6, &c) == SUCCESS && c == htons(0x1234));
	check(ipsec->bypass_socket(ipsec, 3, AF_INET6));
	check(!ipsec->bypass_socket(ipsec, 3, AF_INET));
	check(ipsec->enable_udp_decap(ipsec, 4, AF_INET, 4500));
	check(!ipsec->enable_udp_decap(ipsec, 4, AF_INET, 500));

	answer = 0;
	check(ipsec->get_features(ipsec) == 0);
	answer = FS_FEATURE_ESP_V3_TFC;
	check(ipsec->get_features(ipsec) == KERNEL_ESP_V3_TFC);
	answer = FS_FEATURE_POLICY_SPI;
	check(ipsec->get_features(ipsec) == KERNEL_POLICY_SPI);
	answer = FS_FEATURE_SA_USE_TIME;
	check(ipsec->get_features(ipsec) == KERNEL_SA_USE_TIME);
	answer = FS_FEATURE_ACQUIRE_SEQ;
#if TEST_ABI > 1
	check(ipsec->get_features(ipsec) == KERNEL_ACQUIRE_SEQ);
#else
	check(ipsec->get_features(ipsec) == 0);
#endif
	answer = -1;
	check(!(ipsec->get_features(ipsec) & KERNEL_REQUIRE_UDP_ENCAPSULATION));
	v6->destroy(v6);
	unload();
}

static void case_settings(void)
{
	char buf[8];

	load();
	check(host.get_bool("install_routes", TRUE) && !host.get_bool("install_routes", FALSE));
	paper_set("charon.install_routes", "no");
	check(!host.get_bool("install_routes", TRUE));

	/* ours, then kernel-netlink's, then the default; nonsense is not set */
	check(host.get_bool("plugins.kernel-fastswan.port_bypass", TRUE));
	paper_set("charon.plugins.kernel-netlink.port_bypass", "yes");
	check(host.get_bool("plugins.kernel-fastswan.port_bypass", FALSE));
	paper_set("charon.plugins.kernel-fastswan.port_bypass", "no");
	check(!host.get_bool("plugins.kernel-fastswan.port_bypass", TRUE));
	paper_set(NULL, NULL);
	paper_set("charon.plugins.kernel-netlink.port_bypass", "yes");
	paper_set("charon.plugins.kernel-fastswan.port_bypass", "perhaps");
	check(host.get_bool("plugins.kernel-fastswan.port_bypass", FALSE));
	/* a plugin of a similar name is another plugin */
	paper_set("charon.plugins.kernel-netlink.x", "yes");
	check(!host.get_bool("plugins.kernel-fastswan2.x", FALSE));

	paper_set(NULL, NULL);
	check(host.get_int("spi_min", 0xc0000000) == 0xc0000000);
	paper_set("charon.spi_min", "0xC1000000");
	check(host.get_int("spi_min", 0) == 0xc1000000);
	paper_set("charon.a", "-5");
	check(host.get_int("a", 0) == -5);
	paper_set("charon.b", "010");
	check(host.get_int("b", 0) == 10);
	paper_set("charon.c", "12 monkeys");
	check(host.get_int("c", 7) == 7);
	paper_set("charon.d", "99999999999999999999");
	check(host.get_int("d", 7) == 7);
	paper_set("charon.e", "");
	check(host.get_int("e", 7) == 7);
	paper_set("charon.plugins.kernel-netlink.n", "3");
	check(host.get_int("plugins.kernel-fastswan.n", 7) == 3);

	check(host.get_str("f", buf, sizeof(buf)) == -1);
	paper_set("charon.f", "seven77");
	check(host.get_str("f", buf, sizeof(buf)) == 7 && streq(buf, "seven77"));
	paper_set("charon.g", "eight888");
	check(host.get_str("g", buf, sizeof(buf)) == 8 && streq(buf, "eight88"));
	paper_set("charon.plugins.kernel-netlink.s", "x");
	check(host.get_str("plugins.kernel-fastswan.s", buf, sizeof(buf)) == 1);

	/* keys are format strings to settings_t */
	check(host.get_int("a%n%s", 7) == 7);
	char *longest = malloc(1000);
	memset(longest, 'k', 999);
	longest[999] = '\0';
	check(host.get_int(longest, 7) == 7);
	free(longest);
	unload();
}

static void case_events(void)
{
	struct fs_addr v4 = { .family = AF_INET, .port = 4500, .bytes = { 192, 0, 2, 1 } };
	struct fs_addr v6 = { .family = AF_INET6, .bytes = { 0xfd, [15] = 1 } }, none = {};
	struct fs_ts ts = {
		.family = AF_INET, .proto = 17, .from_port = 1, .to_port = 2,
		.from = { 10, 1, 0, 0 }, .to = { 10, 1, 255, 255 },
	};
	struct fs_acquire acquire = {
		.reqid = 1, .cpu = 2, .seq = 3, .src = ts, .dst = ts, .label = { (u_char*)"lab", 3 },
	};
	struct fs_migrate migrate = {
		.reqid = 4, .dir = FS_DIR_OUT, .src_ts = ts, .dst_ts = ts, .local = v4, .remote = v6,
	};

	load();
	host.acquire(&acquire);
	check(strpfx(paper_event, "acquire 1 10.1.0.0..10.1.255.255[17/1-2] "
							  "10.1.0.0..10.1.255.255[17/1-2] lab cpu "));
#if TEST_ABI > 1
	check(strstr(paper_event, "cpu 2 seq 3"));
	acquire.cpu = FS_CPU_NONE;
	host.acquire(&acquire);
	check(strstr(paper_event, "cpu 4294967295 "));
#endif
	/* an acquire without selectors or label is one */
	acquire = (struct fs_acquire){ .reqid = 9 };
	host.acquire(&acquire);
	check(strpfx(paper_event, "acquire 9 none none  cpu"));

	host.expire(50, htonl(0xc0000001), &v4, TRUE);
	check(streq(paper_event, "expire 50 c0000001 192.0.2.1[4500] hard"));
	host.expire(50, htonl(0xc0000001), &v6, FALSE);
	check(streq(paper_event, "expire 50 c0000001 fd00::1[0] soft"));
	host.mapping(50, htonl(0xc0000002), &v6, &v4);
	check(streq(paper_event, "mapping 50 c0000002 fd00::1[0] 192.0.2.1[4500]"));
	host.migrate(&migrate);
	check(strpfx(paper_event, "migrate 4 10.1.0.0..") &&
		  strstr(paper_event, " 1 192.0.2.1[4500] fd00::1[0]"));

	/* incomplete ones are dropped, and what was made for them is freed */
	paper_event[0] = '\0';
	host.expire(50, 0, &none, TRUE);
	host.mapping(50, 0, &v4, &none);
	host.mapping(50, 0, &none, &v4);
	migrate.remote = none;
	host.migrate(&migrate);
	migrate.remote = v6;
	migrate.dst_ts.family = 0;
	host.migrate(&migrate);
	migrate.dir = 77;
	host.migrate(&migrate);
	check(paper_event[0] == '\0');

	check(host.watch(5, 0x123456789abcdef));
	check(paper_fd == 5 && paper_cb(paper_data, 5, WATCHER_READ));
	check(token == 0x123456789abcdef);
	check(!paper_cb(paper_data, 6, WATCHER_READ));
	host.unwatch(5);
	check(paper_fd == -1);
	unload();
}

static void case_network(void)
{
	struct fs_addr v4 = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } }, addr, none = {};
	struct fs_ts ts = { .family = AF_INET, .from = { 10, 1, 0, 9 }, .to = { 10, 1, 255, 255 } };
	uint8_t net[4] = { 10, 2, 0, 0 }, vip = 0;
	char iface[FS_INTERFACE_SIZE], alg[FS_ALGORITHM_SIZE];
	uint32_t spi = 0;
	uint16_t id;

	load();
	check(host.address_by_ts(&ts, &addr, &vip) && vip == 1);
	check(addr.family == AF_INET && addr.bytes[0] == 10 && addr.bytes[3] == 9);
	check(host.interface_of(&v4, iface) && streq(iface, "eth0"));
	v4.port = 1;
	check(host.interface_of(&v4, iface) && streq(iface, "fifteen-letters"));
	/* no interface has such a name: it does not fit IFNAMSIZ */
	v4.port = 2;
	check(!host.interface_of(&v4, iface));
	v4.port = 0;
	check(host.nexthop(&v4, 24, NULL, &addr, iface) && streq(iface, "eth1"));
	check(is_v4(&addr, 1, 0));
	check(streq(paper_event, "nexthop 192.0.2.1[0]/24 from any"));
	check(host.nexthop(&v4, -1, &v4, &addr, iface));
	check(streq(paper_event, "nexthop 192.0.2.1[0]/-1 from 192.0.2.1[0]"));

	check(host.add_route(net, 4, 16, &v4, &v4, "eth0", FALSE) == FS_SUCCESS);
	check(streq(paper_event, "add 10.0/16 via 192.0.2.1[0] from 192.0.2.1[0] dev eth0"));
	check(host.add_route(net, 4, 32, NULL, NULL, "eth0", TRUE) == FS_ALREADY_DONE);
	check(streq(paper_event, "add 10.0/32 via none from none dev eth0 pass"));
	check(host.del_route(net, 4, 16, NULL, &v4, "eth0", FALSE) == FS_FAILED);
	check(strpfx(paper_event, "del 10.0/16 via none from 192.0.2.1[0]"));

	/* of the IKE_SA that the thread works on, by the outbound SPI alone */
	check(!host.inbound_of(htonl(0x2000), &spi));
	paper_ike_sa("gw", 2);
	check(host.inbound_of(htonl(0x2000), &spi) && spi == htonl(0x2001));
	check(!host.inbound_of(htonl(0x2001), &spi));
	paper_ike_sa(NULL, 0);

	check(host.lookup_algorithm(4711, 1, &id, alg) && id == 42 && streq(alg, "cbc(test)"));
	check(!host.lookup_algorithm(4711, 3, &id, alg));
	check(!host.lookup_algorithm(1, 1, &id, alg));

	paper_no_net = TRUE;
	check(!host.address_by_ts(&ts, &addr, &vip));
	check(!host.interface_of(&v4, iface));
	check(!host.nexthop(&v4, -1, NULL, &addr, iface));
	paper_no_net = FALSE;
	ts.family = 0;
	check(!host.address_by_ts(&ts, &addr, &vip));
	check(!host.interface_of(&none, iface));
	check(!host.nexthop(&none, -1, NULL, &addr, iface));

	/* the text is no format, levels and groups are charon's */
	host.log(FS_LOG_KNL, 1, "100%s %n");
	check(streq(paper_log[paper_lines - 1].text, "100%s %n"));
	check(paper_log[paper_lines - 1].group == DBG_KNL && paper_log[paper_lines - 1].level == 1);
	host.log(FS_LOG_LIB, 3, "lib");
	check(paper_log[paper_lines - 1].group == DBG_LIB);
	int lines = paper_lines;
	host.log(FS_LOG_KNL, 5, "beyond");
	host.log(FS_LOG_KNL, -1, "silent");
	check(paper_lines == lines);
	unload();
}

static char child_list[256];
static int child_limit;

static bool list_child(void *context, const struct fs_child *child)
{
	check(context == &child_limit && child->mode == FS_MODE_TUNNEL);
	snprintf(child_list + strlen(child_list), sizeof(child_list) - strlen(child_list),
			 "%s/%s=%u,%u ", child->connection, child->name, child->hw_offload, child->reqid);
	return --child_limit > 0;
}

/** The CHILD_SAs of all connections, and the owner of sockets. */
static void case_children(void)
{
	uint32_t uid = 0, gid = 0;

	load();
	paper_children(1);
	child_limit = 100;
	host.children(list_child, &child_limit);
	check(streq(child_list, "site/plain=0,0 site/net=2,42 site/plain=0,0 site/net=2,42 "));
	/* it ends when it is told to, also within a connection */
	child_list[0] = '\0';
	child_limit = 3;
	host.children(list_child, &child_limit);
	check(streq(child_list, "site/plain=0,0 site/net=2,42 site/plain=0,0 "));
	paper_children(0);

	host.socket_owner(&uid, &gid);
	check(uid == 1001 && gid == 1002);
	unload();
}

/** The manager of XFRM interfaces is there if the kernel has them, and works. */
static void case_xfrmi(void)
{
	kernel_netlink_xfrmi_t *xfrmi;
	enumerator_t *enumerator;
	uint32_t if_id, mtu;
	char *ifname, *phys;
	int seen = 0;

	load();
	check(!lib->get(lib, KERNEL_NETLINK_XFRMI_MANAGER));
	unload();
	created = destroyed = 0;
	have_xfrmi = TRUE;
	load();
	xfrmi = lib->get(lib, KERNEL_NETLINK_XFRMI_MANAGER);
	check(xfrmi);
	check(xfrmi->create(xfrmi, "ipsec0", 7, "eth0", 1400));
	check(streq(xfrmi_event, "create ipsec0 7 eth0 1400"));
	check(!xfrmi->create(xfrmi, "ipsec1", 8, NULL, 0));
	check(streq(xfrmi_event, "create ipsec1 8 none 0"));
	check(xfrmi->delete(xfrmi, "ipsec0") && streq(xfrmi_event, "delete ipsec0"));
	check(!xfrmi->delete(xfrmi, "ipsec9"));

	/* none, a failure, and more than there is room for at first */
	enumerator = xfrmi->create_enumerator(xfrmi);
	check(!enumerator->enumerate(enumerator, &ifname, &if_id, &phys, &mtu));
	enumerator->destroy(enumerator);
	xfrmi_count = -1;
	enumerator = xfrmi->create_enumerator(xfrmi);
	check(!enumerator->enumerate(enumerator, &ifname, &if_id, &phys, &mtu));
	enumerator->destroy(enumerator);
	xfrmi_count = 100;
	xfrmi_asked = 0;
	enumerator = xfrmi->create_enumerator(xfrmi);
	check(xfrmi_asked == 2);
	while (enumerator->enumerate(enumerator, &ifname, &if_id, &phys, &mtu))
	{
		check(if_id == ++seen && mtu == 1399 + seen && strpfx(ifname, "ipsec"));
		check(seen % 2 ? streq(phys, "eth0") : phys == NULL);
	}
	check(seen == 100);
	enumerator->destroy(enumerator);
	enumerator = xfrmi->create_enumerator(xfrmi);
	check(enumerator->enumerate(enumerator, &ifname, &if_id, NULL, NULL) && if_id == 1);
	enumerator->destroy(enumerator);

	unload();
	check(!lib->get(lib, KERNEL_NETLINK_XFRMI_MANAGER));
}

static char *acq_expires(void)
{
	static char text[32];
	FILE *f = fopen(ACQ_EXPIRES_FILE, "r");

	check(f);
	text[0] = '\0';
	check(fgets(text, sizeof(text), f));
	fclose(f);
	return text;
}

/** The lifetime of acquires: ours, then kernel-netlink's, then that of an exchange. */
static void case_acquires(void)
{
	remove(ACQ_EXPIRES_FILE);
	load();
	check(streq(acq_expires(), "165"));
	paper_set("charon.plugins.kernel-netlink.xfrm_acq_expires", "30");
	check(plugin->reload(plugin) && streq(acq_expires(), "30"));
	paper_set(NULL, NULL);
	paper_set("charon.plugins.kernel-fastswan.xfrm_acq_expires", "20");
	check(plugin->reload(plugin) && streq(acq_expires(), "20"));
	/* and so kernel-netlink writes the same when it is reloaded after us */
	check(lib->settings->get_int(lib->settings, "%s.plugins.kernel-netlink.xfrm_acq_expires", 0,
								 lib->ns) == 20);
	remove(ACQ_EXPIRES_FILE);
	unload();
	/* without an instance it is not ours to write */
	check(access(ACQ_EXPIRES_FILE, F_OK) != 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "plugin", case_plugin }, { "lost", case_lost }, { "critical", case_critical }, { "version", case_version },
	{ "null", case_null }, { "sa", case_sa }, { "update", case_update },
	{ "policy", case_policy }, { "answers", case_answers }, { "settings", case_settings },
	{ "events", case_events }, { "network", case_network }, { "xfrmi", case_xfrmi },
	{ "acquires", case_acquires },
	{ "children", case_children },
};

int main(int argc, char *argv[])
{
	paper_charon();
	for (int i = 0; i < countof(cases); i++)
	{
		if (argc == 2 && streq(argv[1], cases[i].name))
		{
			cases[i].run();
			printf("passed %s\n", cases[i].name);
			return 0;
		}
	}
	for (int i = 0; i < countof(cases); i++)
	{
		printf("%s\n", cases[i].name);
	}
	return 2;
}
