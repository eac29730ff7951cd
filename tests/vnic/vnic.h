/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnic: a pair of virtual Ethernet devices that behave as mlx5 does in XFRM
 * packet offload. This header owns the types and the contract between the
 * module's files; it is included by all of them and by nobody else. It must
 * not grow helpers that hide a rule: each rule lives in one .c file, and the
 * list below says which mlx5 behaviour it stands for.
 *
 * What the model does, and what of mlx5 it stands for
 *
 *  sa.c
 *   S1 A state is refused in mlx5's order and with mlx5's texts
 *      (mlx5e_xfrm_validate_state), prefixed "vnic: " where mlx5 has
 *      "mlx5_core: ". The capability bits of the card are knobs.
 *   S2 A temporary state of an acquire (flag ACQ) only costs memory: it is
 *      added in atomic context, without key and without extack.
 *   S3 An RX rule matches source, destination and SPI; a TX rule in packet
 *      mode matches nothing but the reqid that the policy wrote, plus the
 *      ports of the state's own selector.
 *   S4 Two states with one reqid are two identical rules. Which one is hit is
 *      not decided by the kernel but by the card: the older (knob prefer).
 *   S5 DELSA takes the state out of the software's view at once (packets that
 *      still arrive carry no secpath, rx_sadb_miss), but the rule stays, and
 *      its table slot is taken, until the kernel's collector frees the state
 *      (knob late_free).
 *   S6 Tunnel mode: both MAC addresses are resolved once, when the state is
 *      added, and frozen: FIB, next hop, neighbour; an unresolved next hop
 *      gives 00:00:00:00:00:00 and only asks for resolution. Later only a
 *      neighbour update whose key is the state's own source or destination
 *      address renews it. A route that cannot be found makes the rule drop
 *      until such an update arrives. (Knob freeze_mac 0: an update of the
 *      next hop itself renews it too.)
 *   S7 Replay protection is armed by REPLAY_ESN_VAL only: a legacy window arms
 *      nothing (knob replay_long_only). With the knob replay_needs_esn it takes the ESN flag as well,
 *      as mlx5's code reads (attrs.replay_esn.trigger). Windows: 32, 64, 128,
 *      256.
 *   S8 The sequence number lives in the device; nothing is written back
 *      (knob sync_replay). It starts at 1, with ESN at the given oseq plus 1.
 *   S9 One offloaded tc rule, or the knob tc_busy, makes every add -EBUSY,
 *      and while a state or a policy exists no tc rule can be offloaded (knob
 *      tc_blocks).
 *  policy.c
 *   P1 Refusals as mlx5e_xfrm_validate_policy, same order and texts.
 *   P2 Priorities are honoured among the device's own policies (a chain of
 *      tables), whatever the software SPD makes of them.
 *   P3 Fragments never match. A selector address that is all-zero under its
 *      mask is a wildcard; if both are, the IP version is not compared
 *      either, so that an IPv4 any-any policy takes IPv6 as well (knob
 *      wildcard_zero).
 *   P4 Protocol 0, TCP or UDP; port 0 is any port.
 *   P5 Inbound: only BLOCK acts, and only on decrypted packets, since only ESP
 *      is steered to the IPsec tables. An allowing policy enforces nothing.
 *  tx.c
 *   T1 The card never learns which state the kernel chose: policy -> reqid ->
 *      state. Policy miss and state miss leave in clear (fail open).
 *   T2 Whatever leaves through the port passes the tables, also frames of
 *      AF_PACKET, tc and XDP.
 *   T3 The whole L2 header is written by the device in tunnel mode; the kernel
 *      hands over 14 bytes of whatever was in the headroom.
 *   T4 Outer header: TTL 64, no DSCP, ECN, DF or flow label taken over.
 *   T5 TSO first, checksums next, ESP last.
 *   T6 Crypto mode: the kernel encapsulates, the device only encrypts.
 *  rx.c
 *   R1 Unknown SPI and fragmented ESP go to the stack as they are.
 *   R2 Bad ICV, bad trailer, replay, and a mismatch of the state's ports are
 *      dropped by the card and reach the kernel only as counters.
 *   R3 Inbound address selectors are not enforced.
 *   R4 A decapsulated packet carries a secpath with CRYPTO_DONE and
 *      CRYPTO_SUCCESS, and a frozen source and destination MAC.
 *   R5 Packets of one SA stay in order: a card keeps them on one queue, here
 *      each device has one ring and one NAPI.
 *  limits.c
 *   L1 update_stats is additive and reports flow counters sampled once a
 *      second; bytes are wire bytes less Ethernet and the outer IP header
 *      (knobs sample_ms, wire_bytes).
 *   L2 Byte limits are polled once a second; packet limits raise an event, and
 *      at the hard limit the rule drops.
 *   L3 ICV, trailer and replay drops are added to XfrmInStateProtoError,
 *      XfrmInHdrError and XfrmInStateSeqError when statistics are read.
 *
 * Locks. table_lock (device) protects membership of the SA and policy tables;
 * the data path reads them under RCU. sa->lock protects what a packet changes
 * in an SA (sequence number, window, counters). Order: the kernel's x->lock or
 * xfrm_state_lock, then table_lock, then sa->lock. Nothing in here takes RTNL,
 * since the devices' files are removed under it.
 */
#ifndef VNIC_H
#define VNIC_H

#include <linux/bitmap.h>
#include <linux/etherdevice.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <net/flow_offload.h>
#include <net/ip.h>
#include <net/xfrm.h>

#include "compat.h"

#define VNIC_NAME	"vnic"
#define VNIC_ICV_LEN	16
#define VNIC_IV_LEN	8
#define VNIC_SALT_LEN	4
#define VNIC_ESP_LEN	((int)sizeof(struct ip_esp_hdr))
#define VNIC_SA_HASH	12	/* bits */
#define VNIC_WIN_MAX	256
#define VNIC_WATCH_MAX	1024
#define VNIC_RING	4096	/* frames waiting to be received */

/* mlx5: NUM_IPSEC_FTE rules in a table; three status rules per inbound SA */
#define VNIC_FTE		32768
#define VNIC_IN_SAS_PER_FAMILY	(VNIC_FTE / 3)

/* Attributes of IFLA_INFO_DATA; the same number as veth's peer. */
enum {
	VNIC_INFO_UNSPEC,
	VNIC_INFO_PEER,
	__VNIC_INFO_MAX
};
#define VNIC_INFO_MAX (__VNIC_INFO_MAX - 1)

/* Device counters, in debugfs `stats` under these names. */
#define VNIC_STATS(X)							\
	X(tx_esp) X(tx_esp_bytes) X(tx_crypto) X(tx_clear) X(tx_other)	\
	X(tx_policy_hit) X(tx_policy_miss) X(tx_sa_miss) X(tx_block)	\
	X(tx_frag_clear) X(tx_sa_drop) X(tx_seq_overflow)		\
	X(tx_limit_drops) X(tx_family_drops) X(tx_zero_mac)		\
	X(tx_too_big) X(tx_errors) X(tx_no_peer)			\
	X(tx_bad_offload) X(tx_direct)					\
	X(rx_esp) X(rx_esp_bytes) X(rx_crypto) X(rx_clear) X(rx_other)	\
	X(rx_no_sa) X(rx_sadb_miss) X(rx_esp_frag) X(rx_wrong_mac)	\
	X(rx_block) X(rx_sa_drop) X(rx_limit_drops) X(rx_too_big)	\
	X(rx_errors) X(rx_ring_full)					\
	X(replay_drops) X(auth_drops) X(trailer_drops) X(sel_drops)	\
	X(sa_adds) X(sa_deletes) X(sa_frees) X(sa_acq) X(sa_refused)	\
	X(policy_adds) X(policy_deletes) X(policy_refused)		\
	X(mac_updates) X(injected_drop) X(injected_dup)			\
	X(injected_corrupt) X(injected_fail)

enum vnic_stat {
#define VNIC_STAT_ENUM(n) VNIC_ST_##n,
	VNIC_STATS(VNIC_STAT_ENUM)
#undef VNIC_STAT_ENUM
	VNIC_ST_MAX
};

/* Numeric knobs: name, default. */
#define VNIC_KNOBS(X)							\
	X(ipsec_supported, 1)						\
	X(packet_supported, 1)						\
	X(crypto_supported, 1)						\
	X(tunnel_supported, 1)						\
	X(esn_supported, 1)						\
	X(encap_supported, 1)						\
	X(prio_supported, 1)						\
	X(encap_blocked, 0)						\
	X(replay_needs_esn, 0)						\
	X(replay_long_only, 1)						\
	X(freeze_mac, 1)						\
	X(wildcard_zero, 1)						\
	X(late_free, 1)							\
	X(wire_bytes, 1)						\
	X(byte_limits, 1)						\
	X(tc_blocks, 1)							\
	X(tc_busy, 0)							\
	X(sync_replay, 0)						\
	X(sample_ms, 1000)						\
	X(max_sas, 0)							\
	X(max_policies, 0)						\
	X(add_delay_ms, 0)						\
	X(delete_delay_ms, 0)						\
	X(corrupt_next, 0)						\
	X(duplicate_next, 0)						\
	X(drop_next, 0)

struct vnic_knobs {
#define VNIC_KNOB_FIELD(n, d) u32 n;
	VNIC_KNOBS(VNIC_KNOB_FIELD)
#undef VNIC_KNOB_FIELD
	u32 match_spi;		/* match=reqid|spi */
	u32 prefer_newer;	/* prefer=older|newer */
};

/* fail_sa_add, fail_policy_add: "N ERRNO [in|out]", the next N;
 * fail_call: "N ERRNO", the Nth add from now, of a state or a policy */
struct vnic_fail {
	u32	n;
	int	err;
	u8	dir;		/* 0 = both, else XFRM_DEV_OFFLOAD_IN/OUT */
};

struct vnic_flow {
	u8		family;
	u8		proto;		/* of the payload; ext. headers skipped */
	u8		first_proto;	/* as in the base header */
	bool		frag;
	bool		ports;
	__be16		sport, dport;
	xfrm_address_t	saddr, daddr;
	unsigned int	l3hlen;		/* base header, IPv4 options included */
	unsigned int	l3len;		/* as the header says */
	unsigned int	l4off;		/* from the start of the IP header */
};

/* What a frame on the wire is; see watch.c. */
enum vnic_kind {
	VNIC_KIND_OTHER,	/* ARP, neighbour discovery, not IP */
	VNIC_KIND_ESP,		/* also ESP in UDP, also fragments of ESP */
	VNIC_KIND_IKE,		/* UDP 500, UDP 4500 with non-ESP marker */
	VNIC_KIND_CLEAR,
};

/* Ports and protocol of a selector, as the card matches them (P4). */
struct vnic_upspec {
	u8	proto;
	__be16	sport, sport_mask, dport, dport_mask;
};

struct vnic_counters {
	u64	packets, bytes;
	u64	auth, trailer, replay;
};

struct vnic_key {
	struct crypto_aead	*tfm;
	u8			salt[VNIC_SALT_LEN];
};

struct vnic_dev;

struct vnic_sa {
	struct list_head	node;	/* hash bucket: SPI (in), reqid (out) */
	struct list_head	all;
	struct vnic_dev		*vd;
	struct xfrm_state	*x;	/* NULL once deleted (S5) */
	u64			id;
	u8			dir, type, mode;
	bool			acq, esn, replay_on, has_encap, limited;
	bool			unlinked;	/* late_free 0; table_lock */
	bool			failed_closed;	/* rule drops (S6, L2) */
	u16			family;
	u32			reqid;
	__be32			spi;
	__be16			encap_sport, encap_dport;
	xfrm_address_t		saddr, daddr;
	xfrm_address_t		nexthop;	/* for freeze_mac 0 */
	struct vnic_upspec	up;
	u64			soft_packets, hard_packets;
	u64			iv_salt;
	struct vnic_key		key;

	spinlock_t		lock;	/* everything below */
	u8			own_mac[ETH_ALEN], peer_mac[ETH_ALEN];
	u64			oseq;
	u64			top;
	u32			window;
	DECLARE_BITMAP(seen, VNIC_WIN_MAX);
	struct vnic_counters	live, cached, told;
	bool			soft_hit, event;

	struct rcu_work		rwork;
};

struct vnic_policy {
	struct list_head	node;
	struct vnic_prio	*prio;
	struct rcu_head		rcu;
	u64			id;
	u8			dir, action;
	u16			family;
	bool			any;	/* both addresses wild (P3) */
	bool			any_s, any_d;
	u8			plen_s, plen_d;
	xfrm_address_t		saddr, daddr, smask, dmask;
	struct vnic_upspec	up;
	u32			priority, reqid;
	__be32			spi;	/* template's, for match=spi */
	atomic64_t		hits;
};

/* One table of the priority chain. */
struct vnic_prio {
	struct list_head	node;
	struct list_head	policies;
	struct rcu_head		rcu;
	u32			priority;
};

struct vnic_watch {
	struct list_head	node;
	struct rcu_head		rcu;
	u16			family;
	u8			plen_s, plen_d;
	xfrm_address_t		src, dst;
	atomic64_t		tx, rx, ike_tx, ike_rx;
};

/* What the two ends and their tap share; freed with the last of the three. */
struct vnic_pair {
	refcount_t		refs;
	struct rcu_head		rcu;
	u32			id;
	struct net_device __rcu	*wire;
};

struct vnic_dev {
	struct net_device	*dev;
	struct net_device __rcu	*peer;
	struct vnic_pair	*pair;
	struct sk_buff_head	ring;
	struct napi_struct	napi;
	struct list_head	list;		/* vnic_devs */
	u32			id;
	u8			end;		/* 0 or 1 */

	spinlock_t		table_lock;
	struct list_head	*sa_in, *sa_out;	/* hash tables */
	struct list_head	sas;
	struct list_head	policies[2];	/* vnic_prio, by direction */
	u32			n_in[2];	/* by family */
	u32			n_out;
	u32			n_pol[2];
	u32			n_tc;
	u64			next_id;

	spinlock_t		watch_lock;
	struct list_head	watches;
	u32			n_watch;

	spinlock_t		knob_lock;
	struct vnic_knobs	knobs;
	struct vnic_fail	fail_sa, fail_policy, fail_call;

	atomic64_t		stats[VNIC_ST_MAX];
	struct delayed_work	sample;
	struct work_struct	event;
	struct dentry		*dir;
};

#define vnic_count(vd, name)		atomic64_inc(&(vd)->stats[VNIC_ST_##name])
#define vnic_add(vd, name, v)		atomic64_add(v, &(vd)->stats[VNIC_ST_##name])
#define vnic_knob(vd, name)		READ_ONCE((vd)->knobs.name)
#define vnic_dir_text(d)		((d) == XFRM_DEV_OFFLOAD_IN ? "in" : \
					 (d) == XFRM_DEV_OFFLOAD_OUT ? "out" : "fwd")
/* Index of a direction in the policy tables. */
#define vnic_dir_ix(d)			((d) == XFRM_DEV_OFFLOAD_IN ? 0 : 1)

static inline bool vnic_addr_eq(const xfrm_address_t *a,
				const xfrm_address_t *b, u16 family)
{
	return family == AF_INET ? a->a4 == b->a4
				 : ipv6_addr_equal(&a->in6, &b->in6);
}

/* main.c */
extern struct workqueue_struct *vnic_wq;
extern struct list_head vnic_devs;	/* RCU; written under RTNL */
void vnic_pair_put(struct vnic_pair *pair);

/* wire.c */
int vnic_wire_create(struct net *net, struct vnic_pair *pair, const char *base);
void vnic_wire_tap(struct vnic_pair *pair, const struct sk_buff *skb);

/* ethtool.c */
extern const struct ethtool_ops vnic_ethtool_ops;

/* tc.c */
int vnic_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data);
bool vnic_tc_is_busy(struct vnic_dev *vd);

/* flow.c */
bool vnic_flow_parse(const struct sk_buff *skb, int noff, __be16 proto,
		     struct vnic_flow *fl);
bool vnic_upspec_match(const struct vnic_upspec *up, const struct vnic_flow *fl);
void vnic_upspec_set(struct vnic_upspec *up, const struct xfrm_selector *sel);

/* sa.c */
int vnic_state_add(struct net_device *dev, struct xfrm_state *x,
		   struct netlink_ext_ack *extack);
void vnic_state_delete(struct xfrm_state *x);
void vnic_state_free(struct xfrm_state *x);
struct vnic_sa *vnic_sa_find_in(struct vnic_dev *vd, u16 family,
				const xfrm_address_t *saddr,
				const xfrm_address_t *daddr, __be32 spi,
				bool encap, __be16 dport);
struct vnic_sa *vnic_sa_find_out(struct vnic_dev *vd,
				 const struct vnic_policy *pol,
				 const struct vnic_flow *fl);
int vnic_sa_set_seq(struct vnic_dev *vd, __be32 spi, u64 seq);

/* mac.c */
struct neighbour *vnic_mac_resolve(struct vnic_sa *sa, struct xfrm_state *x,
				   struct net_device *dev);
int vnic_netevent(struct notifier_block *nb, unsigned long event, void *ptr);

/* policy.c */
int vnic_policy_add(struct xfrm_policy *xp, struct netlink_ext_ack *extack);
void vnic_policy_delete(struct xfrm_policy *xp);
void vnic_policy_free(struct xfrm_policy *xp);
struct vnic_policy *vnic_policy_match(struct vnic_dev *vd, u8 dir,
				      const struct vnic_flow *fl);

/* crypt.c */
int vnic_key_init(struct vnic_key *key, const struct xfrm_algo_aead *alg);
void vnic_key_free(struct vnic_key *key);
int vnic_crypt(const struct vnic_sa *sa, bool encrypt, u64 seq, u8 *esph,
	       unsigned int clen);

/* tx.c, rx.c */
netdev_tx_t vnic_xmit(struct sk_buff *skb, struct net_device *dev);
struct sk_buff *vnic_tx_crypto(struct vnic_dev *vd, struct sk_buff *skb);
struct sk_buff *vnic_tx_packet(struct vnic_dev *vd, struct vnic_sa *sa,
			       struct sk_buff *skb, const struct vnic_flow *fl);
void vnic_rx(struct vnic_dev *vd, struct sk_buff *skb);
void vnic_rx_open(struct vnic_dev *vd);
void vnic_rx_stop(struct vnic_dev *vd);

/* replay.c */
u64 vnic_replay_seq(const struct vnic_sa *sa, u32 low);
bool vnic_replay_ok(const struct vnic_sa *sa, u64 seq);
void vnic_replay_advance(struct vnic_sa *sa, u64 seq);

/* limits.c */
void vnic_limits_init(struct vnic_dev *vd);
void vnic_limits_start(struct vnic_dev *vd);
void vnic_limits_stop(struct vnic_dev *vd);
void vnic_sa_account(struct vnic_sa *sa, unsigned int wire_len);
void vnic_state_update_stats(struct xfrm_state *x);
void vnic_state_advance_esn(struct xfrm_state *x);

/* watch.c */
enum vnic_kind vnic_watch_frame(struct vnic_dev *vd, const struct sk_buff *skb,
				__be16 proto, bool tx);
int vnic_watch_write(struct vnic_dev *vd, char *line);
void vnic_watch_clear(struct vnic_dev *vd);

/* log.c */
struct seq_file;
__printf(2, 3) void vnic_log(struct vnic_dev *vd, const char *fmt, ...);
void vnic_log_show(struct seq_file *m, struct vnic_dev *vd);
int vnic_log_init(void);
void vnic_log_exit(void);

/* debugfs.c, knobs.c */
void vnic_debugfs_init(void);
void vnic_debugfs_exit(void);
void vnic_debugfs_add(struct vnic_dev *vd);
void vnic_debugfs_rename(struct vnic_dev *vd);
void vnic_debugfs_del(struct vnic_dev *vd);
void vnic_knobs_init(struct vnic_dev *vd);
void vnic_knobs_debugfs(struct vnic_dev *vd, struct dentry *parent);
int vnic_inject(struct vnic_dev *vd, struct vnic_fail *f, u8 dir);
bool vnic_knob_take(struct vnic_dev *vd, u32 *knob);

#endif /* VNIC_H */
