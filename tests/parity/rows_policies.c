/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of policies, the routes that come with them, and XFRM interfaces.
 */

#include "parity.h"

#include <sys/socket.h>
#include <unistd.h>

typedef void (*change_t)(test_policy_t *policy);

static const policy_dir_t dirs[] = { POLICY_IN, POLICY_FWD, POLICY_OUT };

/**
 * The policies of a CHILD_SA after a change by the row.
 */
static void three(const void *arg)
{
	change_t change = *(const change_t*)arg;
	test_policy_t *policies[countof(dirs)];
	int i;

	for (i = 0; i < countof(dirs); i++)
	{
		policies[i] = policy_create(dirs[i]);
		change(policies[i]);
		policy_add(policies[i]);
	}
	state("added");
	for (i = 0; i < countof(dirs); i++)
	{
		policy_query(policies[i]);
	}
	for (i = 0; i < countof(dirs); i++)
	{
		policy_del(policies[i]);
	}
	state("deleted");
	policy_del(policies[0]);
}

#define THREE(n, fn, ...) { .name = "policy/" n, .run = three, \
							.arg = &(const change_t){ fn }, ##__VA_ARGS__ }

static void tunnel(test_policy_t *policy)
{
}

static bool is_out(test_policy_t *policy)
{
	return policy->id.dir == POLICY_OUT;
}

static void ipv6(test_policy_t *policy)
{
	test_policy_t *other = policy_create6(policy->id.dir);

	*policy = *other;
	policy->data.sa = &policy->sa;
}

static void inner_ipv6(test_policy_t *policy)
{
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL6 : REMOTE6),
			  ts_any(is_out(policy) ? REMOTE6 : LOCAL6));
}

static void outer_ipv6(test_policy_t *policy)
{
	ipv6(policy);
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL4 : REMOTE4),
			  ts_any(is_out(policy) ? REMOTE4 : LOCAL4));
}

static void everything(test_policy_t *policy)
{
	policy_ts(policy, ts_any("0.0.0.0/0"), ts_any("0.0.0.0/0"));
}

static void everything6(test_policy_t *policy)
{
	ipv6(policy);
	policy_ts(policy, ts_any("::/0"), ts_any("::/0"));
}

static void transport(test_policy_t *policy)
{
	policy->sa.mode = MODE_TRANSPORT;
	policy_ts(policy, ts_any(is_out(policy) ? LEFT4 "/32" : PEER4 "/32"),
			  ts_any(is_out(policy) ? PEER4 "/32" : LEFT4 "/32"));
}

static void beet(test_policy_t *policy)
{
	policy->sa.mode = MODE_BEET;
	policy_ts(policy, ts_any(is_out(policy) ? "10.1.0.1/32" : "10.2.0.5/32"),
			  ts_any(is_out(policy) ? "10.2.0.5/32" : "10.1.0.1/32"));
}

static void udp_port(test_policy_t *policy)
{
	policy_ts(policy,
			  ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_UDP,
				 is_out(policy) ? 0 : 53, is_out(policy) ? 65535 : 53),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_UDP,
				 is_out(policy) ? 53 : 0, is_out(policy) ? 53 : 65535));
}

static void port_range(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_TCP, 1024,
						 2047),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_TCP, 1024, 1500));
}

static void proto_one_side(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_TCP, 0,
						 65535),
			  ts_any(is_out(policy) ? REMOTE4 : LOCAL4));
}

static void icmp(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_ICMP, 2048,
						 2048),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_ICMP, 2048, 2048));
}

/**
 * A type with any code.
 */
static void icmp_type(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_ICMP, 0x0300,
						 0x03ff),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_ICMP, 0x0300,
				 0x03ff));
}

static void icmp_code(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_ICMP, 0x0304,
						 0x0304),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_ICMP, 0x0304,
				 0x0304));
}

static void icmp6(test_policy_t *policy)
{
	ipv6(policy);
	policy_ts(policy, ts(is_out(policy) ? LOCAL6 : REMOTE6, IPPROTO_ICMPV6,
						 0x8700, 0x8700),
			  ts(is_out(policy) ? REMOTE6 : LOCAL6, IPPROTO_ICMPV6, 0x8700,
				 0x8700));
}

static void opaque_ports(test_policy_t *policy)
{
	policy_ts(policy, ts(is_out(policy) ? LOCAL4 : REMOTE4, IPPROTO_UDP, 65535,
						 0),
			  ts(is_out(policy) ? REMOTE4 : LOCAL4, IPPROTO_UDP, 65535, 0));
}

static void interface(test_policy_t *policy)
{
	policy->id.interface = "left";
}

static void mark(test_policy_t *policy)
{
	policy->id.mark = (mark_t){ 0x2a, 0xffffffff };
}

static void mark_mask(test_policy_t *policy)
{
	policy->id.mark = (mark_t){ 0x30, 0xf0 };
}

static void if_id(test_policy_t *policy)
{
	policy->id.if_id = 42;
}

static void ah(test_policy_t *policy)
{
	policy->sa.ah = policy->sa.esp;
	policy->sa.esp.use = FALSE;
	policy->sa.esp.spi = 0;
}

static void esp_and_ah(test_policy_t *policy)
{
	policy->sa.ah = policy->sa.esp;
	policy->sa.ah.spi ^= htonl(0x100);
}

static void comp(test_policy_t *policy)
{
	policy->sa.ipcomp.transform = IPCOMP_DEFLATE;
	policy->sa.ipcomp.cpi = htons(is_out(policy) ? 0x2222 : 0x1111);
}

static void comp_transport(test_policy_t *policy)
{
	transport(policy);
	comp(policy);
}

static void trap(test_policy_t *policy)
{
	policy->data.prio = POLICY_PRIORITY_ROUTED;
	policy->sa.esp.spi = 0;
}

static void fallback_drop(test_policy_t *policy)
{
	policy->data.type = POLICY_DROP;
	policy->data.prio = POLICY_PRIORITY_FALLBACK;
	policy->sa.reqid = 0;
	policy->sa.esp.use = FALSE;
}

static void no_reqid(test_policy_t *policy)
{
	policy->sa.reqid = 0;
}

static void pass(test_policy_t *policy)
{
	policy_shunt(policy, POLICY_PASS);
}

static void drop(test_policy_t *policy)
{
	policy_shunt(policy, POLICY_DROP);
}

static void pass_local(test_policy_t *policy)
{
	policy_shunt(policy, POLICY_PASS);
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL4 : "10.1.7.0/24"),
			  ts_any(is_out(policy) ? "10.1.7.0/24" : LOCAL4));
}

static void manual_prio(test_policy_t *policy)
{
	policy->data.manual_prio = 4711;
}

static void custom_prio(test_policy_t *policy)
{
	custom_priority = 815;
}

static void label(test_policy_t *policy)
{
	policy->id.label = sec_label_from_string("system_u:object_r:ipsec_spd_t:s0");
}

#if HAVE_FORWARD_ICMP
static void forward_icmp(test_policy_t *policy)
{
	policy->data.forward_icmp = TRUE;
}
#endif

#if HAVE_CPU
static void pcpu(test_policy_t *policy)
{
	policy->data.pcpu_acquires = TRUE;
}

static void pcpu_trap(test_policy_t *policy)
{
	trap(policy);
	pcpu(policy);
}
#endif

#if HAVE_IPTFS
static void iptfs(test_policy_t *policy)
{
	policy->sa.mode = MODE_IPTFS;
}
#endif

/*
 * Several users of one policy
 */

/**
 * A second generation takes over and the first goes, as in a rekeying.
 */
static void rekeyed(const void *arg)
{
	test_policy_t *first[countof(dirs)], *second[countof(dirs)];
	int i;

	for (i = 0; i < countof(dirs); i++)
	{
		first[i] = policy_create(dirs[i]);
		policy_add(first[i]);
		second[i] = policy_create(dirs[i]);
		second[i]->sa.esp.spi = dirs[i] == POLICY_OUT ? SPI_OUT(2) : SPI_IN(2);
	}
	state("first generation");
	for (i = 0; i < countof(dirs); i++)
	{
		policy_add(second[i]);
	}
	state("both");
	for (i = 0; i < countof(dirs); i++)
	{
		policy_del(first[i]);
	}
	state("second generation");
	for (i = 0; i < countof(dirs); i++)
	{
		policy_del(second[i]);
	}
	state("gone");
}

/**
 * The newer one goes first: back to the older.
 */
static void rekey_failed(const void *arg)
{
	test_policy_t *first = policy_create(POLICY_OUT);
	test_policy_t *second = policy_create(POLICY_OUT);

	second->sa.esp.spi = SPI_OUT(2);
	policy_add(first);
	policy_add(second);
	policy_del(second);
	state("the first again");
	policy_del(first);
	state("gone");
}

/**
 * Two CHILD_SAs with equal selectors, and so equal SAs: counted.
 */
static void duplicate(const void *arg)
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	policy_add(policy);
	policy_add(policy);
	state("twice");
	policy_del(policy);
	state("once");
	policy_del(policy);
	state("gone");
	policy_del(policy);
}

/**
 * A trap stays below what was negotiated for it.
 */
static void trap_and_child(const void *arg)
{
	test_policy_t *routed = policy_create(POLICY_OUT);
	test_policy_t *child = policy_create(POLICY_OUT);

	trap(routed);
	policy_add(routed);
	state("trap");
	policy_add(child);
	state("child");
	policy_del(child);
	state("trap again");
	policy_del(routed);
	state("gone");
}

/**
 * A policy of lower priority does not take over.
 */
static void lower_priority(const void *arg)
{
	test_policy_t *child = policy_create(POLICY_OUT);
	test_policy_t *drop = policy_create(POLICY_OUT);

	fallback_drop(drop);
	policy_add(child);
	policy_add(drop);
	state("the drop waits");
	policy_del(child);
	state("the drop");
	policy_del(drop);
	state("gone");
}

/**
 * Around a move of addresses: a drop in front, old away, new in, drop away.
 */
static void move(const void *arg)
{
	test_policy_t *old = policy_create(POLICY_OUT);
	test_policy_t *drop = policy_create(POLICY_OUT);
	test_policy_t *new = policy_create(POLICY_OUT);

	drop->data.type = POLICY_DROP;
	new->data.src = host(RIGHT4, 0);
	new->data.dst = host(PEER4_2, 0);
	policy_add(old);
	policy_add(drop);
	state("closed");
	policy_del(old);
	state("old away");
	policy_add(new);
	state("new there");
	policy_del(drop);
	state("open");
	policy_del(new);
	state("gone");
}

/**
 * Equal manual priorities are ordered by the automatic ones, and those without
 * a reqid stand behind.
 */
static void equal_priorities(const void *arg)
{
	test_policy_t *with = policy_create(POLICY_OUT);
	test_policy_t *without = policy_create(POLICY_OUT);
	test_policy_t *routed = policy_create(POLICY_OUT);

	with->data.manual_prio = 1000;
	without->data.manual_prio = 1000;
	without->sa.reqid = 0;
	routed->data.manual_prio = 1000;
	trap(routed);
	policy_add(with);
	policy_add(without);
	state("without a reqid");
	policy_add(routed);
	state("trap");
	policy_del(with);
	state("first gone");
	policy_del(routed);
	state("second gone");
	policy_del(without);
	state("gone");
}

static void manual_order(const void *arg)
{
	test_policy_t *policies[3];
	uint32_t prios[] = { 300, 100, 200 };
	int i;

	for (i = 0; i < 3; i++)
	{
		policies[i] = policy_create(POLICY_OUT);
		policies[i]->data.manual_prio = prios[i];
		policies[i]->sa.esp.spi = SPI_OUT(i + 1);
		policy_add(policies[i]);
	}
	state("all");
	policy_del(policies[1]);
	state("best gone");
	policy_del(policies[0]);
	policy_del(policies[2]);
	state("gone");
}

/**
 * Another reqid for the same selectors: the log says that it takes over, and
 * that it gives back.
 */
static void other_reqid(const void *arg)
{
	test_policy_t *first = policy_create(POLICY_OUT);
	test_policy_t *second = policy_create(POLICY_OUT);
	test_policy_t *third = policy_create(POLICY_OUT);

	second->sa.reqid = 2;
	second->sa.esp.spi = SPI_OUT(2);
	third->sa.reqid = 3;
	third->sa.esp.spi = SPI_OUT(3);
	policy_add(first);
	logged("updating reqid for policy");
	policy_add(second);
	logged("updating reqid for policy 10.1.0.0/16 === 10.2.0.0/16 out");
	logged("from 1 to 2");
	state("second");
	policy_del(first);
	state("second only");
	policy_add(third);
	logged("from 2 to 3");
	policy_del(third);
	logged("from 3 to 2");
	state("second again");
	policy_del(second);
	state("gone");
}

/**
 * FWD policies for what we send, without a reqid.
 */
static void fwd_out(const void *arg)
{
	test_policy_t *out = policy_create(POLICY_OUT);
	test_policy_t *fwd = policy_create(POLICY_OUT);

	fwd->id.dir = POLICY_FWD;
	fwd->sa.reqid = 0;
	policy_add(out);
	policy_add(fwd);
	state("added");
	policy_del(out);
	policy_del(fwd);
	state("deleted");
}

/**
 * What another process has left is taken over.
 */
static void stale(const void *arg)
{
	ip("xfrm policy add dir out src 10.1.0.0/16 dst 10.2.0.0/16 action block "
	   "priority 1");
	state("stale");
	policy_add(policy_create(POLICY_OUT));
	state("taken over");
}

static void delete_unknown(const void *arg)
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	policy_query(policy);
	policy_del(policy);
	ip("xfrm policy add dir out src 10.1.0.0/16 dst 10.2.0.0/16 priority 1");
	policy_query(policy);
	policy_del(policy);
	state("a foreign one stays");
}

static void flush(const void *arg)
{
	int i;

	for (i = 0; i < countof(dirs); i++)
	{
		policy_add(policy_create(dirs[i]));
	}
	note("flush_policies = %s",
		 status_name(charon->kernel->flush_policies(charon->kernel)));
	state("flushed");
}

/**
 * The kernel tells masks apart, and so must the plugin.
 */
static void masks(const void *arg)
{
	test_policy_t *wide = policy_create(POLICY_IN);
	test_policy_t *narrow = policy_create(POLICY_IN);

	wide->id.mark = (mark_t){ 0x10, 0xff };
	narrow->id.mark = (mark_t){ 0x10, 0xf0 };
	policy_add(wide);
	policy_add(narrow);
	state("two");
	policy_del(wide);
	state("one");
	policy_del(narrow);
	state("gone");
}

static void if_ids(const void *arg)
{
	test_policy_t *first = policy_create(POLICY_OUT);
	test_policy_t *second = policy_create(POLICY_OUT);

	first->id.if_id = 1;
	second->id.if_id = 2;
	policy_add(first);
	policy_add(second);
	state("two");
	policy_del(first);
	state("one");
	policy_del(second);
	state("gone");
}

/*
 * Routes
 */

/**
 * Two policies want the same route.
 */
static void shared_route(const void *arg)
{
	test_policy_t *first = policy_create(POLICY_OUT);
	test_policy_t *second = policy_create(POLICY_OUT);

	policy_ts(second, ts_any("10.1.1.0/24"), ts_any(REMOTE4));
	policy_add(first);
	policy_add(second);
	state("both");
	policy_del(first);
	state("one");
	policy_del(second);
	state("gone");
}

/**
 * Our inner address is none of ours: there is no route to make.
 */
static void no_local_address(test_policy_t *policy)
{
	policy_ts(policy, ts_any(is_out(policy) ? "10.77.0.0/16" : REMOTE4),
			  ts_any(is_out(policy) ? REMOTE4 : "10.77.0.0/16"));
}

/**
 * The peer is in the network that is protected.
 */
static void peer_inside(test_policy_t *policy)
{
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL4 : "203.0.113.0/24"),
			  ts_any(is_out(policy) ? "203.0.113.0/24" : LOCAL4));
}

/**
 * The peer is on a link of ours.
 */
static void peer_on_link(test_policy_t *policy)
{
	bool out = is_out(policy);

	policy->data.src = host(out ? LEFT4 : "192.0.2.7", 0);
	policy->data.dst = host(out ? "192.0.2.7" : LEFT4, 0);
}

/**
 * The same, and what is protected is the peer itself.
 */
static void peer_itself(test_policy_t *policy)
{
	peer_on_link(policy);
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL4 : "192.0.2.7/32"),
			  ts_any(is_out(policy) ? "192.0.2.7/32" : LOCAL4));
}

/**
 * The destination is on a link of ours.
 */
static void on_link(test_policy_t *policy)
{
	policy_ts(policy, ts_any(is_out(policy) ? LOCAL4 : "192.0.2.0/24"),
			  ts_any(is_out(policy) ? "192.0.2.0/24" : LOCAL4));
}

/**
 * The route is replaced when the next user has another peer.
 */
static void route_moves(const void *arg)
{
	test_policy_t *first = policy_create(POLICY_OUT);
	test_policy_t *second = policy_create(POLICY_OUT);

	ip("route add " PEER4_2 "/32 via 198.51.100.254");
	second->data.src = host(RIGHT4, 0);
	second->data.dst = host(PEER4_2, 0);
	second->sa.esp.spi = SPI_OUT(2);
	policy_add(first);
	state("first");
	policy_add(second);
	state("second");
	policy_del(first);
	state("second only");
	policy_del(second);
	state("gone");
}

static void route_xfrmi(const void *arg)
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	ip("link add xfrm42 type xfrm dev left if_id 42");
	ip("link set xfrm42 up");
	/* the plugin hears of it in its own time */
	usleep(300000);
	policy->id.if_id = 42;
	policy_add(policy);
	state("added");
	policy_del(policy);
	state("deleted");
}

/**
 * The plugin's manager of XFRM interfaces: laid out as in
 * kernel_netlink_xfrmi.h, which charon-nm includes from the plugin's folder.
 */
typedef struct manager_t manager_t;

struct manager_t {
	bool (*create)(manager_t *this, char *name, uint32_t if_id, char *phys,
				   uint32_t mtu);
	enumerator_t *(*create_enumerator)(manager_t *this);
	bool (*delete)(manager_t *this, char *name);
};

static void list(manager_t *manager)
{
	enumerator_t *enumerator = manager->create_enumerator(manager);
	char *name, *phys;
	uint32_t id;
	u_int mtu;

	while (enumerator->enumerate(enumerator, &name, &id, &phys, &mtu))
	{
		note("interface %s, ID %u, on %s, MTU %u", name, id,
			 phys ?: "nothing", mtu);
	}
	enumerator->destroy(enumerator);
}

static void xfrmi(const void *arg)
{
	manager_t *manager = lib->get(lib, "kernel-netlink-xfrmi");

	note("manager = %s", manager ? "there" : "none");
	if (!manager)
	{
		return;
	}
	note("create ipsec1 = %d", manager->create(manager, "ipsec1", 5, NULL, 0));
	note("create ipsec2 = %d", manager->create(manager, "ipsec2", 6, "left",
											   1300));
	note("create again = %d", manager->create(manager, "ipsec2", 7, NULL, 0));
	note("create without link = %d", manager->create(manager, "ipsec3", 8,
													 "nosuch", 0));
	state("created");
	list(manager);
	note("delete ipsec1 = %d", manager->delete(manager, "ipsec1"));
	note("delete again = %d", manager->delete(manager, "ipsec1"));
	list(manager);
	state("deleted");
}

/*
 * Bypass
 */

static void bypass(const void *arg)
{
	int families[] = { AF_INET, AF_INET6 }, i, fd;

	for (i = 0; i < countof(families); i++)
	{
		fd = socket(families[i], SOCK_DGRAM, IPPROTO_UDP);
		if (families[i] == AF_INET6)
		{
			int on = 1;

			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		}
		host_t *any = host_create_any(families[i]);
		any->set_port(any, arg ? 4500 : 500);
		ignore_result(bind(fd, any->get_sockaddr(any),
						   *any->get_sockaddr_len(any)));
		note("bypass_socket family %d = %d", families[i],
			 charon->kernel->bypass_socket(charon->kernel, fd, families[i]));
	}
	state("bypassed");
}

static void bypass_bad(const void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	note("bypass_socket of no IP socket = %d",
		 charon->kernel->bypass_socket(charon->kernel, fd, AF_INET));
	note("bypass_socket without family = %d",
		 charon->kernel->bypass_socket(charon->kernel, fd, AF_UNIX));
	state("nothing");
}

static void udp_decap(const void *arg)
{
	int families[] = { AF_INET, AF_INET6 }, i, fd, value;
	socklen_t len;

	for (i = 0; i < countof(families); i++)
	{
		fd = socket(families[i], SOCK_DGRAM, IPPROTO_UDP);
		note("enable_udp_decap family %d = %d", families[i],
			 charon->kernel->enable_udp_decap(charon->kernel, fd, families[i],
											  4500));
		value = 0;
		len = sizeof(value);
		getsockopt(fd, IPPROTO_UDP, 100 /* UDP_ENCAP */, &value, &len);
		note("UDP_ENCAP = %d", value);
		value = 0;
		len = sizeof(value);
		getsockopt(fd, IPPROTO_UDP, 104 /* UDP_GRO */, &value, &len);
		note("UDP_GRO = %d", value);
	}
}

static void udp_decap_bad(const void *arg)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	note("enable_udp_decap of a TCP socket = %d",
		 charon->kernel->enable_udp_decap(charon->kernel, fd, AF_INET, 4500));
}

/** What differs where the code of an ICMP message is 0 */
#define ICMP_CODE_0(proto, type) \
	.why = "code 0 was negotiated, and kernel-netlink takes it for any code", \
	.differs = { \
		"added: policy * proto " proto " ports " type "/ffff > 0/0000: only " \
			"with kernel-netlink", \
		"added: policy * proto " proto " ports " type "/ffff > 0/ffff: only " \
			"with kernel-fastswan", \
	}

#define ROW(n, fn, ...) { .name = n, .run = fn, ##__VA_ARGS__ }

const row_t rows_policies[] = {
	THREE("tunnel", tunnel),
	THREE("ipv6", ipv6),
	THREE("ipv6-in-ipv4", inner_ipv6),
	THREE("ipv4-in-ipv6", outer_ipv6),
	THREE("everything", everything),
	THREE("everything-ipv6", everything6),
	THREE("transport", transport),
	THREE("beet", beet),
	THREE("udp-port", udp_port),
	THREE("port-range", port_range),
	THREE("protocol-of-one-side", proto_one_side),
	THREE("icmp", icmp, ICMP_CODE_0("1", "8")),
	THREE("icmp-type", icmp_type),
	THREE("icmp-code", icmp_code),
	THREE("icmpv6", icmp6, ICMP_CODE_0("58", "135")),
	THREE("opaque-ports", opaque_ports),
	THREE("interface", interface),
	THREE("mark", mark),
	THREE("mark-mask", mark_mask),
	THREE("if-id", if_id),
	THREE("ah", ah),
	THREE("esp-and-ah", esp_and_ah),
	THREE("ipcomp", comp),
	THREE("ipcomp-transport", comp_transport),
	THREE("trap", trap),
	THREE("fallback-drop", fallback_drop),
	THREE("no-reqid", no_reqid),
	THREE("pass", pass),
	THREE("pass-local-subnet", pass_local),
	THREE("drop", drop),
	THREE("manual-priority", manual_prio),
	THREE("priority-hook", custom_prio),
	THREE("label", label, .messages = TRUE,
		  .why = "Debian builds kernel-netlink without SELinux, and it drops "
				 "labels",
		  .differs = {
			"message NEWPOLICY *: sec_ctx: - | total * type 8 alg 1 doi 1 length "
				"33 73797374656d5f753a6f626a6563745f723a69707365635f7370645f743a7"
				"33000",
			"message DELPOLICY *: sec_ctx: - | total * type 8 alg 1 doi 1 length "
				"33 73797374656d5f753a6f626a6563745f723a69707365635f7370645f743a7"
				"33000",
			"added: policy *: only with kernel-netlink",
			"added: policy * sec_ctx *: only with kernel-fastswan",
		  }),
#if HAVE_FORWARD_ICMP
	THREE("forward-icmp", forward_icmp),
#else
	ROW("policy/forward-icmp", NULL, .why = "needs strongSwan 6.0.5 or later"),
#endif
#if HAVE_CPU
	THREE("per-cpu", pcpu),
	THREE("per-cpu-trap", pcpu_trap),
#else
	ROW("policy/per-cpu", NULL, .why = "needs strongSwan 6.0.2 or later"),
	ROW("policy/per-cpu-trap", NULL, .why = "needs strongSwan 6.0.2 or later"),
#endif
#if HAVE_IPTFS
	THREE("iptfs", iptfs, .messages = TRUE),
#else
	ROW("policy/iptfs", NULL, .why = "needs strongSwan 6.0.2 or later"),
#endif
	ROW("policy/rekeyed", rekeyed),
	ROW("policy/rekey-failed", rekey_failed),
	ROW("policy/duplicate", duplicate),
	ROW("policy/trap-and-child", trap_and_child),
	ROW("policy/lower-priority", lower_priority),
	ROW("policy/move", move),
	ROW("policy/equal-priorities", equal_priorities),
	ROW("policy/manual-order", manual_order),
	ROW("policy/other-reqid", other_reqid),
	ROW("policy/fwd-out", fwd_out),
	ROW("policy/stale", stale),
	ROW("policy/delete-unknown", delete_unknown,
		.why = "kernel-netlink does not tell a policy that is gone from a "
			   "failure when it is queried",
		.differs = { "query_policy out: FAILED, * | NOT_FOUND, *" }),
	ROW("policy/flush", flush,
		.why = "kernel-netlink leaves the routes of the policies behind",
		.differs = {
			"flushed: route 10.2.0.0/16 *: only with kernel-netlink",
			"end: route 10.2.0.0/16 *: only with kernel-netlink",
		}),
	ROW("policy/mark-masks", masks,
		.why = "kernel-netlink takes two policies for one that differ in their "
			   "mask only (B4)",
		.differs = { "*: policy in * mark 0x10/0xff: only with "
					 "kernel-netlink" }),
	ROW("policy/if-ids", if_ids),
	ROW("route/shared", shared_route),
	THREE("no-local-address", no_local_address),
	THREE("peer-inside", peer_inside),
	THREE("on-link", on_link),
	THREE("peer-on-link", peer_on_link),
	THREE("peer-itself", peer_itself),
	ROW("route/moves", route_moves),
	THREE("if-id-route", if_id,
		  .settings = { "plugins.kernel-netlink.install_routes_xfrmi=yes" }),
	ROW("route/xfrm-interface", route_xfrmi,
		.settings = { "plugins.kernel-netlink.install_routes_xfrmi=yes" }),
	ROW("route/xfrm-interface-off", route_xfrmi),
	THREE("no-routes", tunnel, .settings = { "install_routes=no" }),
	THREE("other-table", tunnel, .settings = { "routing_table=77" }),
	ROW("xfrmi/manager", xfrmi),
	ROW("bypass/socket-500", bypass),
	ROW("bypass/socket-4500", bypass, .arg = ""),
	ROW("bypass/ports", bypass,
		.settings = { "plugins.kernel-netlink.port_bypass=yes" }),
	ROW("bypass/ports-4500", bypass, .arg = "",
		.settings = { "plugins.kernel-netlink.port_bypass=yes" }),
	ROW("bypass/wrong-socket", bypass_bad),
#if HAVE_NEW_UPDATE
	ROW("udp-decap/sockets", udp_decap),
#else
	ROW("udp-decap/sockets", udp_decap,
		.why = "as kernel-netlink does in 6.1.0",
		.differs = { "UDP_GRO: 0 | 1" }),
#endif
	ROW("udp-decap/wrong-socket", udp_decap_bad),
	{},
};
