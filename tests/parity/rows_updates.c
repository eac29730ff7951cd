/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of SAs that move: update_sa.
 */

#include "parity.h"

typedef void (*change_t)(test_sa_t *sa);

typedef struct {
	/** what the SAs are before */
	change_t change;
	/** where ours goes */
	const char *local;
	/** where the peer goes */
	const char *remote;
	/** ports after */
	uint16_t local_port, remote_port;
	/** encapsulation after */
	bool encap;
	/** reqid after, 0 = the same */
	uint32_t reqid;
	/** packets before and after */
	bool traffic;
} move_t;

static void move(const void *arg)
{
	const move_t *move = arg;
	test_policy_t *policy = policy_create(POLICY_OUT);
	const char *local = move->local ?: LEFT4, *remote = move->remote ?: PEER4;
	test_sa_t *sas[2];
	int i;

	for (i = 0; i < 2; i++)
	{
		sas[i] = sa_create(i == 0);
		if (move->change)
		{
			move->change(sas[i]);
		}
		sa_add(sas[i]);
	}
	if (move->traffic)
	{
		policy_add(policy);
		send_udp(INNER4, "10.2.0.1", 7);
		send_udp(INNER4, "10.2.0.1", 7);
	}
	state("before");
	sa_update(sas[0], remote, move->remote_port, local, move->local_port,
			  move->encap, move->reqid);
	state("inbound moved");
	sa_update(sas[1], local, move->local_port, remote, move->remote_port,
			  move->encap, move->reqid);
	state("outbound moved");
	if (move->traffic)
	{
		sa_query(sas[1]);
	}
	sa_del(sas[0]);
	sa_del(sas[1]);
	state("deleted");
}

#define MOVE(n, ...) { .name = "update/" n, .run = move, \
					   .arg = &(const move_t){ __VA_ARGS__ } }

static void encap(test_sa_t *sa)
{
	sa->data.encap = TRUE;
	sa_hosts(sa, sa->data.inbound ? PEER4 : LEFT4, 4500,
			 sa->data.inbound ? LEFT4 : PEER4, 4500);
}

static void transport(test_sa_t *sa)
{
	sa->data.mode = MODE_TRANSPORT;
	sa_ts(sa, ts_any(sa->data.inbound ? PEER4 "/32" : LEFT4 "/32"),
		  ts_any(sa->data.inbound ? LEFT4 "/32" : PEER4 "/32"));
}

static void beet(test_sa_t *sa)
{
	sa->data.mode = MODE_BEET;
	sa_ts(sa, ts_any(sa->data.inbound ? "10.2.0.5/32" : "10.1.0.5/32"),
		  ts_any(sa->data.inbound ? "10.1.0.5/32" : "10.2.0.5/32"));
}

static void esn(test_sa_t *sa)
{
	sa->data.esn = TRUE;
}

static void wide(test_sa_t *sa)
{
	sa->data.replay_window = 1024;
}

static void widest(test_sa_t *sa)
{
	sa->data.replay_window = 4096;
	sa->data.esn = TRUE;
}

static void comp(test_sa_t *sa)
{
	sa->data.ipcomp = IPCOMP_DEFLATE;
	sa->data.cpi = htons(sa->data.inbound ? 0x1111 : 0x2222);
}

static void marked(test_sa_t *sa)
{
	sa->id.mark = (mark_t){ 0x2a, 0xff };
	sa->data.mark = (mark_t){ 0x17, 0xff };
}

static void interface_id(test_sa_t *sa)
{
	sa->id.if_id = 42;
}

static void cbc(test_sa_t *sa)
{
	sa_crypto(sa, ENCR_AES_CBC, 16, AUTH_HMAC_SHA2_256_128, 32);
}

static void dscp(test_sa_t *sa)
{
	sa->data.copy_dscp = DSCP_COPY_NO;
	sa->data.copy_df = FALSE;
	sa->data.tfc = 1000;
}

static void missing(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa_update(sa, PEER4_2, 0, LEFT4, 0, FALSE, 0);
	state("nothing there");
}

static void family(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);

	sa_add(sa);
	sa_update(sa, LEFT6, 0, PEER6, 0, FALSE, 0);
	state("moved to IPv6");
}

const row_t rows_updates[] = {
	MOVE("peer-address", .remote = PEER4_2),
	MOVE("own-address", .local = RIGHT4),
	MOVE("both-addresses", .local = RIGHT4, .remote = PEER4_2),
	MOVE("nothing", .local = LEFT4),
	MOVE("reqid", .remote = PEER4_2, .reqid = 9),
	MOVE("port", .change = encap, .local_port = 4500, .remote_port = 61234,
		 .encap = TRUE),
	MOVE("address-and-port", .change = encap, .remote = PEER4_2,
		 .local_port = 4500, .remote_port = 61234, .encap = TRUE),
	MOVE("encap-on", .remote = PEER4_2, .local_port = 4500,
		 .remote_port = 61234, .encap = TRUE),
	MOVE("encap-off", .change = encap, .remote = PEER4_2, .local_port = 500,
		 .remote_port = 500),
	MOVE("transport", .change = transport, .local = RIGHT4, .remote = PEER4_2),
	MOVE("beet", .change = beet, .local = RIGHT4, .remote = PEER4_2),
	MOVE("esn", .change = esn, .remote = PEER4_2),
	MOVE("window-1024", .change = wide, .remote = PEER4_2),
	MOVE("window-4096-esn", .change = widest, .remote = PEER4_2),
	{ .name = "update/ipcomp", .run = move,
	  .arg = &(const move_t){ .change = comp, .remote = PEER4_2 },
	  .why = "kernel-netlink does not hand copy_df and copy_ecn to the IPComp SA "
			 "when it is added"
#if !HAVE_CPU
			 "; before 6.0.2 it lets one address family only through the ESP SA "
			 "behind it"
#endif
			 ,
	  .differs = {
		"*: sa comp *: flags: noecn* | af-unspec",
		"*: sa 4 *: flags: noecn* | af-unspec",
#if !HAVE_CPU
		"*: sa esp *: sel*: * | none/0*",
		"*: sa esp *: sel.family: 2 | 0",
		"*: sa esp *: flags: none | af-unspec",
#endif
	  } },
	MOVE("marks", .change = marked, .remote = PEER4_2),
	MOVE("if-id", .change = interface_id, .remote = PEER4_2),
	MOVE("aes-cbc", .change = cbc, .remote = PEER4_2),
	MOVE("dscp-df-tfc", .change = dscp, .remote = PEER4_2),
#if HAVE_NEW_UPDATE
	MOVE("counters", .remote = PEER4_2, .traffic = TRUE),
#else
	{ .name = "update/counters", .run = move,
	  .arg = &(const move_t){ .remote = PEER4_2, .traffic = TRUE },
	  .why = "where the kernel can move an SA we have it do so, which keeps the "
			 "time of its last use (kernel-netlink does from 6.1.0 on), and "
			 "elsewhere we tell it from the counters",
	  .differs = {
		"query_sa out: SUCCESS, * used never | SUCCESS, * used now",
		"@7.2 outbound moved: sa esp *: lastused: - | set",
	  } },
#endif
	{ .name = "update/missing", .run = missing,
	  .why = "an SA that is gone cannot be moved; charon makes it anew if it "
			 "hears NOT_SUPPORTED",
	  .differs = { "update_sa in: FAILED | NOT_SUPPORTED" } },
	{ .name = "update/family", .run = family },
	{ .name = "update/lockdown", .why = "needs a kernel in lockdown, which does "
		"not hand out keys; a unit test plays its answer" },
	{},
};
