/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of events: what the kernel reports reaches charon's listeners.
 */

#include "parity.h"

#include <linux/xfrm.h>
#include <sys/socket.h>
#include <unistd.h>

/** Newer than the headers */
#ifndef XFRMA_KMADDRESS
#define XFRMA_KMADDRESS 19
#endif

static test_policy_t *trap()
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	policy->data.prio = POLICY_PRIORITY_ROUTED;
	policy->sa.esp.spi = 0;
	return policy;
}

static void acquire(const void *arg)
{
	test_policy_t *policy = trap();

	policy->sa.reqid = 7;
	policy_add(policy);
	send_udp(INNER4, "10.2.0.1", 7);
	events(1, 5);
	state("acquired");
}

static void acquire6(const void *arg)
{
	test_policy_t *policy = policy_create6(POLICY_OUT);

	policy->data.prio = POLICY_PRIORITY_ROUTED;
	policy->sa.esp.spi = 0;
	policy_add(policy);
	send_udp(INNER6, "fd02::1", 7);
	events(1, 5);
	state("acquired");
}

static void acquire_transport(const void *arg)
{
	test_policy_t *policy = trap();

	policy->sa.mode = MODE_TRANSPORT;
	policy_ts(policy, ts_any(LEFT4 "/32"), ts_any(PEER4 "/32"));
	policy_add(policy);
	send_udp(LEFT4, PEER4, 7);
	events(1, 5);
	state("acquired");
}

static void acquire_marked(const void *arg)
{
	test_policy_t *policy = trap();
	host_t *remote = host("10.2.0.1", 7);
	int fd = udp_socket(INNER4, 1000), mark = 0x2a;

	policy->id.mark = (mark_t){ 0x2a, 0xff };
	policy_add(policy);
	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	ignore_result(sendto(fd, "parity", 6, MSG_DONTWAIT,
						 remote->get_sockaddr(remote),
						 *remote->get_sockaddr_len(remote)));
	events(1, 5);
	state("acquired");
}

/**
 * IPComp stands in the first template, and the acquire is for that.
 */
static void acquire_comp(const void *arg)
{
	test_policy_t *policy = trap();

	policy->sa.ipcomp.transform = IPCOMP_DEFLATE;
	policy_add(policy);
	send_udp(INNER4, "10.2.0.1", 7);
	events(1, 2);
	state("acquired");
}

#if HAVE_CPU
static void acquire_cpu(const void *arg)
{
	test_policy_t *policy = trap();

	policy->data.pcpu_acquires = TRUE;
	policy_add(policy);
	send_udp(INNER4, "10.2.0.1", 7);
	events(1, 5);
	state("acquired");
}
#endif

/* apart by more than a machine may stand still: a timer that is late finds the
 * SA at its end, and sends no soft expire before the hard one */
#define SOFT 1
#define HARD 5

static void expire_time(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->lifetime.time.rekey = SOFT;
	sa->lifetime.time.life = HARD;
	sa_add(sa);
	events(2, 20);
	state("expired");
	sa_del(sa);
}

static void expire_packets(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);
	test_policy_t *policy = policy_create(POLICY_OUT);
	int i;

	sa->lifetime.packets.rekey = 2;
	sa->lifetime.packets.life = 4;
	sa_add(sa);
	policy_add(policy);
	for (i = 0; i < 3; i++)
	{
		send_udp(INNER4, "10.2.0.1", 7);
	}
	events(1, 5);
	sa_query(sa);
	/* the fourth is the last one, the fifth finds that; one more would ask for a
	 * new SA or not, as the kernel's timer has deleted this one or not */
	for (i = 0; i < 2; i++)
	{
		send_udp(INNER4, "10.2.0.1", 7);
	}
	events(1, 5);
}

static void expire_bytes(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);
	test_policy_t *policy = policy_create(POLICY_OUT);
	int i;

	sa->lifetime.bytes.rekey = 100;
	sa->lifetime.bytes.life = 1000000;
	sa_add(sa);
	policy_add(policy);
	for (i = 0; i < 5; i++)
	{
		send_udp(INNER4, "10.2.0.1", 7);
	}
	events(1, 5);
}

static void expire_ah(const void *arg)
{
	test_sa_t *sa = sa_create6(TRUE);

	sa->id.proto = IPPROTO_AH;
	sa_crypto(sa, ENCR_UNDEFINED, 0, AUTH_HMAC_SHA2_256_128, 32);
	sa->lifetime.time.rekey = SOFT;
	sa->lifetime.time.life = HARD;
	sa_add(sa);
	events(2, 20);
}

/**
 * The SA that get_spi has reserved is never completed.
 */
static void expire_spi(const void *arg)
{
	host_t *src = host(PEER4, 0), *dst = host(LEFT4, 0);
	uint32_t spi = 0;

	note("get_spi = %s", status_name(charon->kernel->get_spi(charon->kernel, src,
												dst, IPPROTO_ESP, &spi)));
	name_spi(spi, "first");
	record_change_links();
	if (system("echo 1 >/proc/sys/net/core/xfrm_acq_expires"))
	{
		note("cannot set xfrm_acq_expires");
	}
	note("get_spi = %s", status_name(charon->kernel->get_spi(charon->kernel, src,
												dst, IPPROTO_ESP, &spi)));
	name_spi(spi, "second");
	events(1, 5);
	state("expired");
}

/**
 * ESP in UDP from another port of the peer, as behind a NAT that forgot: no
 * encryption and no integrity, so that a packet can be made by hand.
 */
static void mapping(const void *arg)
{
	struct {
		uint32_t spi;
		uint32_t seq;
		u_char ip[20];
		u_char trailer[4];
	} __attribute__((packed)) packet = {
		.spi = SPI_IN(1),
		.seq = htonl(1),
		.ip = { 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 10, 2, 0, 1, 10, 1,
				0, 1 },
		.trailer = { 1, 2, 2, IPPROTO_IPIP },
	};
	test_sa_t *sa = sa_create(TRUE);
	int receiver, sender;
	host_t *local;

	ip("addr add 192.0.2.2/24 dev left");
	receiver = udp_socket(LEFT4, 4500);
	note("enable_udp_decap = %d",
		 charon->kernel->enable_udp_decap(charon->kernel, receiver, AF_INET,
										  4500));
	sa_crypto(sa, ENCR_NULL, 0, AUTH_UNDEFINED, 0);
	sa->data.encap = TRUE;
	sa_hosts(sa, "192.0.2.2", 4500, LEFT4, 4500);
	sa_add(sa);
	state("added");
	local = host(LEFT4, 4500);
	sender = udp_socket("192.0.2.2", 61234);
	ignore_result(sendto(sender, &packet, sizeof(packet), 0,
						 local->get_sockaddr(local),
						 *local->get_sockaddr_len(local)));
	events(1, 5);
	state("moved");
}

/*
 * Migration of a policy by another process (Mobile IPv6)
 */

static void put(struct nlmsghdr *hdr, uint16_t type, const void *data,
				size_t len)
{
	struct rtattr {
		uint16_t len;
		uint16_t type;
	} *attr = (void*)hdr + NLMSG_ALIGN(hdr->nlmsg_len);

	attr->len = sizeof(*attr) + len;
	attr->type = type;
	memcpy(attr + 1, data, len);
	hdr->nlmsg_len = NLMSG_ALIGN(hdr->nlmsg_len) + NLMSG_ALIGN(attr->len);
}

static void address(xfrm_address_t *to, const char *text)
{
	host_t *from = host(text, 0);
	chunk_t bytes = from->get_address(from);

	memcpy(to, bytes.ptr, bytes.len);
	from->destroy(from);
}

static void migrate(const void *arg)
{
	struct {
		struct nlmsghdr hdr;
		char body[1024];
	} request = {
		.hdr = {
			.nlmsg_len = NLMSG_LENGTH(sizeof(struct xfrm_userpolicy_id)),
			.nlmsg_type = XFRM_MSG_MIGRATE,
		},
	};
	struct xfrm_userpolicy_id *id = NLMSG_DATA(&request.hdr);
	struct xfrm_user_kmaddress km = { .family = AF_INET };
	struct xfrm_user_migrate move = {
		.proto = IPPROTO_ESP,
		.mode = XFRM_MODE_TUNNEL,
		.reqid = 1,
		.old_family = AF_INET,
		.new_family = AF_INET,
	};

	sa_add(sa_create(FALSE));
	policy_add(policy_create(POLICY_OUT));
	id->dir = XFRM_POLICY_OUT;
	id->sel.family = AF_INET;
	address(&id->sel.saddr, "10.1.0.0");
	address(&id->sel.daddr, "10.2.0.0");
	id->sel.prefixlen_s = id->sel.prefixlen_d = 16;
	address(&move.old_saddr, LEFT4);
	address(&move.old_daddr, PEER4);
	address(&move.new_saddr, RIGHT4);
	address(&move.new_daddr, PEER4_2);
	put(&request.hdr, XFRMA_MIGRATE, &move, sizeof(move));
	if (!arg)
	{
		address(&km.local, RIGHT4);
		address(&km.remote, PEER4_2);
		put(&request.hdr, XFRMA_KMADDRESS, &km, sizeof(km));
	}
	note("migrate = %d", netlink_request(NETLINK_XFRM, &request.hdr));
	events(arg ? 0 : 1, 5);
	state("migrated");
}

const row_t rows_events[] = {
	{ .name = "event/acquire", .run = acquire },
	{ .name = "event/acquire-ipv6", .run = acquire6 },
	{ .name = "event/acquire-transport", .run = acquire_transport },
	{ .name = "event/acquire-marked", .run = acquire_marked },
	{ .name = "event/acquire-ipcomp", .run = acquire_comp },
#if HAVE_CPU
	{ .name = "event/acquire-per-cpu", .run = acquire_cpu },
#else
	{ .name = "event/acquire-per-cpu", .why = "needs strongSwan 6.0.2 or later" },
#endif
	{ .name = "event/acquire-label", .why = "no LSM of the guest labels "
		"traffic; the label of an acquire is read by a unit test (xfrm::event)" },
	{ .name = "event/expire-time", .run = expire_time },
	{ .name = "event/expire-packets", .run = expire_packets },
	{ .name = "event/expire-bytes", .run = expire_bytes },
	{ .name = "event/expire-ah-ipv6", .run = expire_ah },
	{ .name = "event/expire-spi", .run = expire_spi },
	{ .name = "event/mapping", .run = mapping },
	{ .name = "event/migrate", .run = migrate },
	{ .name = "event/migrate-without-addresses", .run = migrate, .arg = "" },
	{},
};
