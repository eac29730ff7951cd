/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of SAs: how they are added, queried and deleted.
 */

#include "parity.h"

#include <sys/socket.h>

/**
 * Both directions after a change by the row.
 */
typedef void (*change_t)(test_sa_t *sa);

static void both(const void *arg)
{
	change_t change = *(const change_t*)arg;
	test_sa_t *sas[2];
	int i;

	for (i = 0; i < 2; i++)
	{
		sas[i] = sa_create(i == 0);
		change(sas[i]);
		sa_add(sas[i]);
	}
	state("added");
	sa_query(sas[0]);
	sa_query(sas[1]);
	sa_del(sas[0]);
	sa_del(sas[1]);
	state("deleted");
}

#define BOTH(n, fn, ...) { .name = "sa/" n, .run = both, \
						   .arg = &(const change_t){ fn }, ##__VA_ARGS__ }

static void tunnel(test_sa_t *sa)
{
}

static void transport(test_sa_t *sa)
{
	sa->data.mode = MODE_TRANSPORT;
	sa_ts(sa, ts(sa->data.inbound ? PEER4 "/32" : LEFT4 "/32", 0, 0, 65535),
		  ts(sa->data.inbound ? LEFT4 "/32" : PEER4 "/32", 0, 0, 65535));
}

static void transport_ports(test_sa_t *sa)
{
	sa->data.mode = MODE_TRANSPORT;
	sa_ts(sa, ts(sa->data.inbound ? PEER4 "/32" : LEFT4 "/32", IPPROTO_UDP, 1701,
				 1701),
		  ts(sa->data.inbound ? LEFT4 "/32" : PEER4 "/32", IPPROTO_UDP, 1024,
			 2047));
}

static void transport_interface(test_sa_t *sa)
{
	transport(sa);
	sa->data.interface = "right";
}

static void transport_subnets(test_sa_t *sa)
{
	sa->data.mode = MODE_TRANSPORT;
}

static void transport_pairs(test_sa_t *sa)
{
	transport(sa);
	sa->data.src_ts->insert_last(sa->data.src_ts, ts_any("192.0.2.77/32"));
}

static void beet(test_sa_t *sa)
{
	sa->data.mode = MODE_BEET;
	sa_ts(sa, ts(sa->data.inbound ? "10.2.0.5/32" : "10.1.0.5/32", 0, 0, 65535),
		  ts(sa->data.inbound ? "10.1.0.5/32" : "10.2.0.5/32", 0, 0, 65535));
}

static void ah_tunnel(test_sa_t *sa)
{
	sa->id.proto = IPPROTO_AH;
	sa_crypto(sa, ENCR_UNDEFINED, 0, AUTH_HMAC_SHA2_256_128, 32);
}

static void ah_transport(test_sa_t *sa)
{
	transport(sa);
	ah_tunnel(sa);
}

static void ah_ipv6(test_sa_t *sa)
{
	test_sa_t *other = sa_create6(sa->data.inbound);

	*sa = *other;
	sa->data.lifetime = &sa->lifetime;
	ah_tunnel(sa);
}

static void ipv6(test_sa_t *sa)
{
	test_sa_t *other = sa_create6(sa->data.inbound);

	*sa = *other;
	sa->data.lifetime = &sa->lifetime;
}

static void ipv6_transport(test_sa_t *sa)
{
	ipv6(sa);
	sa->data.mode = MODE_TRANSPORT;
	sa_ts(sa, ts_any(sa->data.inbound ? PEER6 "/128" : LEFT6 "/128"),
		  ts_any(sa->data.inbound ? LEFT6 "/128" : PEER6 "/128"));
}

static void inner_ipv6(test_sa_t *sa)
{
	sa_ts(sa, ts_any(sa->data.inbound ? REMOTE6 : LOCAL6),
		  ts_any(sa->data.inbound ? LOCAL6 : REMOTE6));
}

static void encap(test_sa_t *sa)
{
	sa->data.encap = TRUE;
	sa_hosts(sa, sa->data.inbound ? PEER4 : LEFT4, 4500,
			 sa->data.inbound ? LEFT4 : PEER4, 4500);
}

static void encap_ports(test_sa_t *sa)
{
	sa->data.encap = TRUE;
	sa_hosts(sa, sa->data.inbound ? PEER4 : LEFT4,
			 sa->data.inbound ? 61234 : 4500,
			 sa->data.inbound ? LEFT4 : PEER4,
			 sa->data.inbound ? 4500 : 61234);
}

static void encap_transport(test_sa_t *sa)
{
	transport(sa);
	encap(sa);
}

static void encap_ipv6(test_sa_t *sa)
{
	ipv6(sa);
	sa->data.encap = TRUE;
	sa_hosts(sa, sa->data.inbound ? PEER6 : LEFT6, 4500,
			 sa->data.inbound ? LEFT6 : PEER6, 4500);
}

static void encap_no_port(test_sa_t *sa)
{
	sa->data.encap = TRUE;
	sa_hosts(sa, sa->data.inbound ? PEER4 : LEFT4,
			 sa->data.inbound ? 0 : 4500,
			 sa->data.inbound ? LEFT4 : PEER4,
			 sa->data.inbound ? 4500 : 0);
}

static void no_lifetime(test_sa_t *sa)
{
	memset(&sa->lifetime, 0, sizeof(sa->lifetime));
}

static void byte_limits(test_sa_t *sa)
{
	sa->lifetime.bytes.rekey = 5000000000ULL;
	sa->lifetime.bytes.life = 6000000000ULL;
}

static void byte_life_only(test_sa_t *sa)
{
	sa->lifetime.bytes.life = 6000000000ULL;
}

static void packet_limits(test_sa_t *sa)
{
	sa->lifetime.packets.rekey = 1000;
	sa->lifetime.packets.life = 2000;
}

static void packet_rekey_only(test_sa_t *sa)
{
	sa->lifetime.packets.rekey = 1000;
}

static void tfc(test_sa_t *sa)
{
	sa->data.tfc = 1400;
}

/**
 * What charon makes of tfc_padding = mtu. A kernel that limits the padding
 * refuses it.
 */
static void tfc_mtu(test_sa_t *sa)
{
	sa->data.tfc = -1;
}

static void tfc_transport(test_sa_t *sa)
{
	transport(sa);
	sa->data.tfc = 1400;
}

static void tfc_ah(test_sa_t *sa)
{
	ah_tunnel(sa);
	sa->data.tfc = 1400;
}

static void mark(test_sa_t *sa)
{
	sa->id.mark = (mark_t){ 0x2a, 0xffffffff };
}

static void mark_mask(test_sa_t *sa)
{
	sa->id.mark = (mark_t){ 0x30, 0xf0 };
}

static void mark_without_mask(test_sa_t *sa)
{
	sa->id.mark = (mark_t){ 0x2a, 0 };
}

static void mark_zero(test_sa_t *sa)
{
	sa->id.mark = (mark_t){ 0, 0xff };
}

static void set_mark(test_sa_t *sa)
{
	sa->data.mark = (mark_t){ 0x17, 0xffffffff };
}

static void set_mark_mask(test_sa_t *sa)
{
	sa->data.mark = (mark_t){ 0x17, 0xff };
}

static void set_mark_zero(test_sa_t *sa)
{
	sa->data.mark = (mark_t){ 0, 0xff };
}

static void if_id(test_sa_t *sa)
{
	sa->id.if_id = 42;
}

static void if_id_and_mark(test_sa_t *sa)
{
	mark(sa);
	if_id(sa);
}

static void copy_df_no(test_sa_t *sa)
{
	sa->data.copy_df = FALSE;
}

static void copy_ecn_no(test_sa_t *sa)
{
	sa->data.copy_ecn = FALSE;
}

static void dscp_in(test_sa_t *sa)
{
	sa->data.copy_dscp = DSCP_COPY_IN_ONLY;
}

static void dscp_yes(test_sa_t *sa)
{
	sa->data.copy_dscp = DSCP_COPY_YES;
}

static void dscp_no(test_sa_t *sa)
{
	sa->data.copy_dscp = DSCP_COPY_NO;
}

#if HAVE_FORWARD_ICMP
static void forward_icmp(test_sa_t *sa)
{
	sa->data.forward_icmp = TRUE;
}
#endif

#if HAVE_CPU
static void cpu(test_sa_t *sa)
{
	sa->data.cpu = 1;
}

static void cpu_encap(test_sa_t *sa)
{
	cpu(sa);
	encap_no_port(sa);
}
#endif

#if HAVE_SEQ
static void seq(test_sa_t *sa)
{
	sa->data.seq = 0x5eed;
}
#endif

static void responder(test_sa_t *sa)
{
	sa->data.initiator = FALSE;
}

/*
 * Replay windows
 */

typedef struct {
	uint32_t window;
	bool esn;
} replay_t;

static void replay(const void *arg)
{
	const replay_t *replay = arg;
	test_sa_t *sa;
	int in;

	for (in = 1; in >= 0; in--)
	{
		sa = sa_create(in);
		sa->data.replay_window = replay->window;
		sa->data.esn = replay->esn;
		sa_add(sa);
	}
	state("added");
}

#define REPLAY(size, ...) \
	{ .name = "replay/" #size, .run = replay, \
	  .arg = &(const replay_t){ size, FALSE }, ##__VA_ARGS__ }, \
	{ .name = "replay/" #size "-esn", .run = replay, \
	  .arg = &(const replay_t){ size, TRUE }, ##__VA_ARGS__ }

/*
 * IPComp
 */

typedef struct {
	uint16_t transform;
	bool mark;
	bool if_id;
	ipsec_mode_t mode;
	bool set_mark;
} comp_t;

static void comp(const void *arg)
{
	const comp_t *comp = arg;
	test_sa_t *sas[2];
	int i;

	for (i = 0; i < 2; i++)
	{
		sas[i] = sa_create(i == 0);
		if (comp->mode == MODE_TRANSPORT)
		{
			transport(sas[i]);
		}
		sas[i]->data.ipcomp = comp->transform;
		sas[i]->data.cpi = htons(i ? 0x2222 : 0x1111);
		if (comp->mark)
		{
			mark(sas[i]);
		}
		if (comp->if_id)
		{
			if_id(sas[i]);
		}
		if (comp->set_mark)
		{
			set_mark(sas[i]);
		}
		sa_add(sas[i]);
	}
	state("added");
	sa_query(sas[0]);
	sa_del(sas[0]);
	sa_del(sas[1]);
	state("deleted");
}

#define COMP_FLAGS "kernel-netlink does not hand copy_df and copy_ecn to the " \
				   "IPComp SA, which is the one that makes the tunnel"
#if HAVE_CPU
#define COMP_UNSPEC ""
#define COMP_FAMILY
#else
#define COMP_UNSPEC "; before 6.0.2 it lets one address family only through the " \
					"ESP SA behind it"
#define COMP_FAMILY "added: sa esp *: sel*: * | none/0*", \
					"added: sa esp *: sel.family: 2 | 0", \
					"added: sa esp *: flags: none | af-unspec",
#endif

#define COMP(n, ...) { .name = "ipcomp/" n, .run = comp, \
	.arg = &(const comp_t){ __VA_ARGS__ }, \
	.why = COMP_FLAGS COMP_UNSPEC, \
	.differs = { \
		"added: sa comp *: flags: noecn* | af-unspec", \
		"added: sa 4 *: flags: noecn* | af-unspec", \
		COMP_FAMILY \
	} }

/**
 * A transform that the kernel does not have: what is asked is compared.
 */
static void comp_unknown(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.ipcomp = *(const uint16_t*)arg;
	sa->data.cpi = htons(0x1111);
	sa_add(sa);
	logged("COMP");
	state("added");
}

#define COMP_MESSAGE(n, transform) { .name = "ipcomp/" n, \
	.run = comp_unknown, .arg = &(const uint16_t){ transform }, \
	.messages = TRUE, \
	.why = "compared at the message, as this kernel has no such algorithm; " \
		   "kernel-netlink then goes on without the IPComp SA (B6)", \
	.differs = { \
		"message NEWSA sa comp *: flags: noecn af-unspec | af-unspec", \
		"message 3: message NEWSA sa esp * | -", \
		"message 4: answer to NEWSA | -", \
		"add_sa in: SUCCESS | FAILED", \
		"added: sa esp *: only with kernel-netlink", \
		"end: sa esp *: only with kernel-netlink", \
	} }

/*
 * SPIs
 */

static void spis(const void *arg)
{
	host_t *src = host(PEER4, 0), *dst = host(LEFT4, 0);
	uint32_t spi[2] = {}, ah = 0;
	test_sa_t *sa;
	status_t status;
	uint16_t cpi = 0;
	int i;

	for (i = 0; i < 2; i++)
	{
		status = charon->kernel->get_spi(charon->kernel, src, dst, IPPROTO_ESP,
										 &spi[i]);
		name_spi(spi[i], i ? "second" : "first");
		note("get_spi esp = %s, in range %s", status_name(status),
			 ntohl(spi[i]) >= KERNEL_SPI_MIN &&
			 ntohl(spi[i]) <= KERNEL_SPI_MAX ? "yes" : "no");
	}
	status = charon->kernel->get_spi(charon->kernel, src, dst, IPPROTO_AH, &ah);
	name_spi(ah, "third");
	note("get_spi ah = %s", status_name(status));
	status = charon->kernel->get_cpi(charon->kernel, src, dst, &cpi);
	name_spi(htonl(ntohs(cpi)), "cpi");
	note("get_cpi = %s, in range %s", status_name(status),
		 ntohs(cpi) >= 0x100 && ntohs(cpi) <= 0xEFFF ? "yes" : "no");
	state("allocated");

	sa = sa_create(TRUE);
	sa->id.spi = spi[0];
	sa->data.update = TRUE;
	sa_add(sa);
	state("one is an SA");
	sa_del(sa);
	/* an SPI that is not used is freed the same way */
	sa->id.spi = spi[1];
	sa_del(sa);
	state("freed");
}

static void spis6(const void *arg)
{
	host_t *src = host(PEER6, 0), *dst = host(LEFT6, 0);
	test_sa_t *sa = sa_create6(TRUE);
	uint32_t spi = 0;
	status_t status;

	status = charon->kernel->get_spi(charon->kernel, src, dst, IPPROTO_ESP,
									 &spi);
	name_spi(spi, "first");
	note("get_spi esp = %s", status_name(status));
	sa->id.spi = spi;
	sa->data.update = TRUE;
	sa->data.esn = TRUE;
	sa_add(sa);
	state("added");
}

static void spi_range(const void *arg)
{
	host_t *src = host(PEER4, 0), *dst = host(LEFT4, 0);
	uint32_t spi = 0;
	status_t status;

	status = charon->kernel->get_spi(charon->kernel, src, dst, IPPROTO_ESP,
									 &spi);
	name_spi(spi, "first");
	note("get_spi = %s, in range %s", status_name(status),
		 ntohl(spi) >= 0xc0000010 && ntohl(spi) <= 0xc0000013 ? "yes" : "no");
	state("allocated");
}

/**
 * The SPI has expired before the SA is there.
 */
static void update_missing(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.update = TRUE;
	sa_add(sa);
	state("added");
}

static void twice(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);

	sa_add(sa);
	sa_add(sa);
	state("added");
	sa_del(sa);
	sa_del(sa);
	sa_query(sa);
	state("deleted");
}

/**
 * A rekeyed CHILD_SA: two generations side by side.
 */
static void generations(const void *arg)
{
	test_sa_t *sas[4];
	int i;

	for (i = 0; i < 4; i++)
	{
		sas[i] = sa_create(i % 2 == 0);
		sas[i]->id.spi = i % 2 ? SPI_OUT(1 + i / 2) : SPI_IN(1 + i / 2);
		sa_add(sas[i]);
	}
	state("rekeyed");
	sa_del(sas[1]);
	sa_del(sas[0]);
	state("the older is gone");
}

static void flush(const void *arg)
{
	test_sa_t *ah = sa_create(TRUE), *comp = sa_create(FALSE);

	ah_tunnel(ah);
	sa_add(ah);
	comp->data.ipcomp = IPCOMP_DEFLATE;
	comp->data.cpi = htons(0x1111);
	sa_add(comp);
	sa_add(sa_create(TRUE));
	state("added");
	note("flush_sas = %s",
		 status_name(charon->kernel->flush_sas(charon->kernel)));
	state("flushed");
}

/**
 * charon ends, with nothing left or with all that there was.
 */
static void stop(const void *arg)
{
	test_sa_t *in = sa_create(TRUE), *out = sa_create(FALSE);
	test_policy_t *policy = policy_create(POLICY_OUT);

	sa_add(in);
	sa_add(out);
	policy_add(policy);
	if (!arg)
	{
		policy_del(policy);
		sa_del(in);
		sa_del(out);
	}
}

static void features(const void *arg)
{
	kernel_feature_t features = charon->kernel->get_features(charon->kernel);

	note("KERNEL_ESP_V3_TFC = %d", !!(features & KERNEL_ESP_V3_TFC));
	note("KERNEL_REQUIRE_EXCLUDE_ROUTE = %d",
		 !!(features & KERNEL_REQUIRE_EXCLUDE_ROUTE));
	note("KERNEL_REQUIRE_UDP_ENCAPSULATION = %d",
		 !!(features & KERNEL_REQUIRE_UDP_ENCAPSULATION));
	note("KERNEL_NO_POLICY_UPDATES = %d",
		 !!(features & KERNEL_NO_POLICY_UPDATES));
	note("KERNEL_POLICY_SPI = %d", !!(features & KERNEL_POLICY_SPI));
	note("KERNEL_SA_USE_TIME = %d", !!(features & KERNEL_SA_USE_TIME));
#if HAVE_SEQ
	note("KERNEL_ACQUIRE_SEQ = %d", !!(features & KERNEL_ACQUIRE_SEQ));
#endif
}

/**
 * Packets through an SA of the CPU, so that it has been used.
 */
static void use(const void *arg)
{
	test_sa_t *out = sa_create(FALSE);
	test_policy_t *policy = policy_create(POLICY_OUT);

	sa_add(out);
	sa_query(out);
	policy_add(policy);
	policy_query(policy);
	send_udp(INNER4, "10.2.0.1", 7);
	send_udp(INNER4, "10.2.0.1", 7);
	sa_query(out);
	policy_query(policy);
	state("used");
}

/*
 * Labels: no LSM of the guest takes them
 */

static void label(const void *arg)
{
	test_sa_t *sa;
	int in;

	for (in = 1; in >= 0; in--)
	{
		sa = sa_create(in);
		sa->data.label = sec_label_from_string(
									"system_u:object_r:ipsec_spd_t:s0");
		if (!sa->data.label)
		{
			note("this strongSwan has no labels");
		}
		sa_add(sa);
	}
	state("added");
}

#if HAVE_IPTFS
static void iptfs(const void *arg)
{
	test_sa_t *sa;
	int in;

	for (in = 1; in >= 0; in--)
	{
		sa = sa_create(in);
		sa->data.mode = MODE_IPTFS;
		sa->data.iptfs_dont_frag = arg != NULL;
		sa_add(sa);
	}
	state("added");
}
#define IPTFS .run = iptfs
#else
#define IPTFS .why = "needs strongSwan 6.0.2 or later"
#endif

const row_t rows_sas[] = {
	BOTH("tunnel", tunnel),
	BOTH("tunnel-ipv6", ipv6),
	BOTH("tunnel-ipv6-in-ipv4", inner_ipv6),
	BOTH("transport", transport),
	BOTH("transport-ipv6", ipv6_transport),
	BOTH("transport-ports", transport_ports),
	BOTH("transport-ports-kept", transport_ports,
		 .settings = { "plugins.kernel-netlink.set_proto_port_transport_sa=yes" }),
	BOTH("transport-interface", transport_interface),
	BOTH("transport-subnets", transport_subnets),
	BOTH("transport-two-selectors", transport_pairs),
	BOTH("beet", beet),
	BOTH("ah-tunnel", ah_tunnel),
	BOTH("ah-transport", ah_transport),
	BOTH("ah-ipv6", ah_ipv6),
	BOTH("encap", encap),
	BOTH("encap-other-port", encap_ports),
	BOTH("encap-transport", encap_transport),
	BOTH("encap-ipv6", encap_ipv6),
#if HAVE_CPU
	BOTH("encap-no-port", encap_no_port),
#else
	BOTH("encap-no-port", encap_no_port,
		 .why = "as kernel-netlink does since 6.0.2: no mapping change for each "
				"packet",
		 .differs = { "added: sa esp *: mtimer_thresh: - | 4294967295" }),
#endif
	BOTH("no-lifetime", no_lifetime),
	BOTH("byte-limits", byte_limits),
	BOTH("byte-life-only", byte_life_only),
	BOTH("packet-limits", packet_limits),
	BOTH("packet-rekey-only", packet_rekey_only),
	BOTH("tfc", tfc),
	BOTH("tfc-mtu", tfc_mtu,
		 .why = "kernel-netlink does not tell an SA that is not there from a failure "
				"when it is queried",
		 .differs = { "@7.3 query_sa *: FAILED, * | NOT_FOUND, *" }),
	BOTH("tfc-transport", tfc_transport),
	BOTH("tfc-ah", tfc_ah),
	BOTH("mark", mark),
	BOTH("mark-mask", mark_mask),
	BOTH("mark-without-mask", mark_without_mask),
	BOTH("mark-zero", mark_zero),
	BOTH("set-mark", set_mark),
	BOTH("set-mark-mask", set_mark_mask),
	BOTH("set-mark-zero", set_mark_zero),
	BOTH("if-id", if_id),
	BOTH("if-id-and-mark", if_id_and_mark),
	BOTH("copy-df-no", copy_df_no),
	BOTH("copy-ecn-no", copy_ecn_no),
	BOTH("copy-dscp-out", tunnel),
	BOTH("copy-dscp-in", dscp_in),
	BOTH("copy-dscp-yes", dscp_yes),
	BOTH("copy-dscp-no", dscp_no),
	BOTH("responder", responder),
#if HAVE_FORWARD_ICMP
	BOTH("forward-icmp", forward_icmp),
#else
	{ .name = "sa/forward-icmp", .why = "needs strongSwan 6.0.5 or later" },
#endif
#if HAVE_CPU
	BOTH("per-cpu", cpu),
	BOTH("per-cpu-encap", cpu_encap),
#else
	{ .name = "sa/per-cpu", .why = "needs strongSwan 6.0.2 or later" },
	{ .name = "sa/per-cpu-encap", .why = "needs strongSwan 6.0.2 or later" },
#endif
#if HAVE_SEQ
	BOTH("acquire-sequence", seq),
#else
	{ .name = "sa/acquire-sequence", .why = "needs strongSwan 6.0.2 or later" },
#endif
	REPLAY(0),
	REPLAY(1),
	REPLAY(32),
	REPLAY(33),
	REPLAY(64),
	REPLAY(128),
	REPLAY(1024),
	REPLAY(4096),
	COMP("deflate", IPCOMP_DEFLATE),
	{ .name = "ipcomp/deflate-transport", .run = comp,
	  .arg = &(const comp_t){ IPCOMP_DEFLATE, .mode = MODE_TRANSPORT },
	  .why = COMP_FLAGS,
	  .differs = { "added: sa comp *: flags: noecn* | none" } },
	COMP("deflate-mark", IPCOMP_DEFLATE, .mark = TRUE),
	COMP("deflate-set-mark", IPCOMP_DEFLATE, .set_mark = TRUE),
	COMP("deflate-if-id", IPCOMP_DEFLATE, .if_id = TRUE),
	COMP_MESSAGE("lzs", IPCOMP_LZS),
	COMP_MESSAGE("lzjh", IPCOMP_LZJH),
	{ .name = "sa/spi", .run = spis },
	{ .name = "sa/spi-ipv6", .run = spis6 },
	{ .name = "sa/spi-range", .run = spi_range,
	  .settings = { "spi_min=0xc0000010", "spi_max=0xc0000013" } },
	{ .name = "sa/update-without-spi", .run = update_missing },
	{ .name = "sa/twice", .run = twice,
	  .why = "kernel-netlink does not tell an SA that is gone from a failure "
			 "when it is queried",
	  .differs = { "query_sa out: FAILED, * | NOT_FOUND, *" } },
	{ .name = "sa/rekeyed", .run = generations },
	{ .name = "sa/flush", .run = flush,
	  .why = COMP_FLAGS COMP_UNSPEC,
	  .differs = {
		"added: sa comp *: flags: noecn* | af-unspec",
		"added: sa 4 *: flags: noecn* | af-unspec",
		COMP_FAMILY
	  } },
	{ .name = "stop/clean", .run = stop, .stop = TRUE },
	{ .name = "stop/left", .run = stop, .arg = "", .stop = TRUE,
	  .why = "what charon has not deleted is removed when it ends",
	  .differs = {
		"after charon: sa *: only with kernel-netlink",
		"after charon: policy *: only with kernel-netlink",
	  } },
	{ .name = "sa/use", .run = use },
	{ .name = "sa/features", .run = features,
	  .why = "a NIC picks the SA by reqid, so that policies with an SPI promise "
			 "what it does not keep",
	  .differs = { "KERNEL_POLICY_SPI: 1 | 0" } },
	{ .name = "sa/label", .run = label, .messages = TRUE,
	  .why = "Debian builds kernel-netlink without SELinux, and it drops labels",
	  .differs = {
		"message NEWSA *: sec_ctx: - | total * type 8 alg 1 doi 1 length 33 "
			"73797374656d5f753a6f626a6563745f723a69707365635f7370645f743a733000",
		"*: sa esp *: only with kernel-netlink",
		"*: sa esp * sec_ctx *: only with kernel-fastswan",
	  } },
	{ .name = "iptfs/defaults", IPTFS, .messages = TRUE },
	{ .name = "iptfs/dont-frag", IPTFS, .arg = "", .messages = TRUE },
	{ .name = "iptfs/settings", IPTFS, .messages = TRUE,
	  .settings = { "iptfs.drop_time=500000", "iptfs.reorder_window=7",
					"iptfs.init_delay=1000", "iptfs.max_queue_size=65536",
					"iptfs.packet_size=1200", "iptfs.dont_fragment=yes" } },
	{},
};
