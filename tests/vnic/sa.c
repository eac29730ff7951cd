// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's table of states (rules S1 to S9): validation, programming,
 * deletion, late freeing, and lookup by the data path. Called by the kernel's
 * XFRM code through xfrmdev_ops, and under RCU by tx.c and rx.c. The key is
 * copied here; a state that the kernel deleted must not be touched again.
 *
 * Life of an entry: added (x set, found by the data path) -> deleted (x NULL,
 * rule still there) -> freed (unlinked; memory and key go after a grace
 * period, in process context).
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/pfkeyv2.h>
#include <linux/random.h>
#include <linux/udp.h>
#include <net/neighbour.h>

#include "vnic.h"

#define REFUSE(extack, text) ({				\
	NL_SET_ERR_MSG_MOD(extack, text);		\
	-EINVAL; })

static struct list_head *sa_bucket(struct vnic_dev *vd, u8 dir, u32 key)
{
	return (dir == XFRM_DEV_OFFLOAD_IN ? vd->sa_in : vd->sa_out) +
	       hash_32(key, VNIC_SA_HASH);
}

static u32 sa_hash_key(const struct vnic_sa *sa)
{
	/* TX packet mode finds by reqid; crypto mode needs no lookup on TX */
	return sa->dir == XFRM_DEV_OFFLOAD_IN ? (__force u32)sa->spi : sa->reqid;
}

/* S1: limits, for packet mode only */
static int sa_validate_packet(struct vnic_dev *vd, const struct xfrm_state *x,
			      struct netlink_ext_ack *extack)
{
	if (!vnic_knob(vd, packet_supported))
		return REFUSE(extack, "Packet offload is not supported");
	if (x->props.mode == XFRM_MODE_TUNNEL && !vnic_knob(vd, tunnel_supported))
		return REFUSE(extack, "Packet offload is not supported for tunnel mode");
	if (x->replay_esn && x->xso.dir == XFRM_DEV_OFFLOAD_IN) {
		u32 win = x->replay_esn->replay_window;

		if (win != 32 && win != 64 && win != 128 && win != 256)
			return REFUSE(extack, "Unsupported replay window size");
	}
	if (!x->props.reqid)
		return REFUSE(extack, "Cannot offload without reqid");
	/* another driver's rule, not mlx5's */
	if (!vnic_knob(vd, byte_limits) &&
	    (x->lft.soft_byte_limit != XFRM_INF ||
	     x->lft.hard_byte_limit != XFRM_INF))
		return REFUSE(extack, "Byte limits are not supported");
	if (x->lft.hard_byte_limit != XFRM_INF &&
	    x->lft.soft_byte_limit >= x->lft.hard_byte_limit)
		return REFUSE(extack, "Hard byte limit must be greater than soft one");
	if (!x->lft.soft_byte_limit || !x->lft.hard_byte_limit)
		return REFUSE(extack, "Soft/hard byte limits can't be 0");
	if (x->lft.hard_packet_limit != XFRM_INF &&
	    x->lft.soft_packet_limit >= x->lft.hard_packet_limit)
		return REFUSE(extack, "Hard packet limit must be greater than soft one");
	if (!x->lft.soft_packet_limit || !x->lft.hard_packet_limit)
		return REFUSE(extack, "Soft/hard packet limits can't be 0");
	return 0;
}

static int sa_validate_encap(struct vnic_dev *vd, const struct xfrm_state *x,
			     struct netlink_ext_ack *extack)
{
	if (!vnic_knob(vd, encap_supported))
		return REFUSE(extack, "Encapsulation is not supported");
	if (x->encap->encap_type != UDP_ENCAP_ESPINUDP)
		return REFUSE(extack, "Encapsulation other than UDP is not supported");
	if (x->xso.type != XFRM_DEV_OFFLOAD_PACKET)
		return REFUSE(extack, "Encapsulation is supported in packet offload mode only");
	if (x->props.mode != XFRM_MODE_TRANSPORT)
		return REFUSE(extack, "Encapsulation is supported in transport mode only");
	return 0;
}

/* S1: one check after the other, in the card's order */
static int sa_validate(struct vnic_dev *vd, const struct xfrm_state *x,
		       struct netlink_ext_ack *extack)
{
	int err;

	if (x->props.aalgo != SADB_AALG_NONE)
		return REFUSE(extack, "Cannot offload authenticated xfrm states");
	if (x->props.ealgo != SADB_X_EALG_AES_GCM_ICV16)
		return REFUSE(extack, "Only AES-GCM-ICV16 xfrm state may be offloaded");
	if (x->props.calgo != SADB_X_CALG_NONE)
		return REFUSE(extack, "Cannot offload compressed xfrm states");
	if (x->props.flags & XFRM_STATE_ESN && !vnic_knob(vd, esn_supported))
		return REFUSE(extack, "Cannot offload ESN xfrm states");
	if (x->props.family != AF_INET && x->props.family != AF_INET6)
		return REFUSE(extack, "Only IPv4/6 xfrm states may be offloaded");
	if (x->id.proto != IPPROTO_ESP)
		return REFUSE(extack, "Only ESP xfrm state may be offloaded");
	if (x->encap) {
		err = sa_validate_encap(vd, x, extack);
		if (err)
			return err;
	}
	if (!x->aead)
		return REFUSE(extack, "Cannot offload xfrm states without aead");
	if (x->aead->alg_icv_len != VNIC_ICV_LEN * 8)
		return REFUSE(extack, "Cannot offload xfrm states with AEAD ICV length other than 128bit");
	if (x->aead->alg_key_len != 128 + VNIC_SALT_LEN * 8 &&
	    x->aead->alg_key_len != 256 + VNIC_SALT_LEN * 8)
		return REFUSE(extack, "Cannot offload xfrm states with AEAD key length other than 128/256 bit");
	if (x->tfcpad)
		return REFUSE(extack, "Cannot offload xfrm states with tfc padding");
	if (!x->geniv)
		return REFUSE(extack, "Cannot offload xfrm states without geniv");
	if (strcmp(x->geniv, "seqiv"))
		return REFUSE(extack, "Cannot offload xfrm states with geniv other than seqiv");
	if (x->sel.proto != IPPROTO_IP && x->sel.proto != IPPROTO_UDP &&
	    x->sel.proto != IPPROTO_TCP)
		return REFUSE(extack, "Device does not support upper protocol other than TCP/UDP");
	if (x->props.mode != XFRM_MODE_TRANSPORT &&
	    x->props.mode != XFRM_MODE_TUNNEL)
		return REFUSE(extack, "Only transport and tunnel xfrm states may be offloaded");

	switch (x->xso.type) {
	case XFRM_DEV_OFFLOAD_CRYPTO:
		if (!vnic_knob(vd, crypto_supported))
			return REFUSE(extack, "Crypto offload is not supported");
		return 0;
	case XFRM_DEV_OFFLOAD_PACKET:
		return sa_validate_packet(vd, x, extack);
	default:
		return REFUSE(extack, "Unsupported xfrm offload type");
	}
}

/* S7, S8 */
static void sa_init_seq(struct vnic_dev *vd, struct vnic_sa *sa,
			const struct xfrm_state *x)
{
	const struct xfrm_replay_state_esn *r = x->replay_esn;

	u32 window = r ? r->replay_window : 0;

	if (!r && !vnic_knob(vd, replay_long_only))
		window = x->props.replay_window;
	sa->esn = x->props.flags & XFRM_STATE_ESN;
	sa->replay_on = sa->dir == XFRM_DEV_OFFLOAD_IN &&
			sa->type == XFRM_DEV_OFFLOAD_PACKET && (r || window) &&
			(sa->esn || !vnic_knob(vd, replay_needs_esn));
	/* a window of 1 keeps the arithmetic of ESN right when there is none */
	sa->window = window ? min_t(u32, window, VNIC_WIN_MAX) : 1;
	if (!sa->esn || !r)
		return;
	sa->oseq = ((u64)r->oseq_hi << 32) | r->oseq;
	sa->top = ((u64)r->seq_hi << 32) | r->seq;
}

static void sa_fill(struct vnic_dev *vd, struct vnic_sa *sa,
		    const struct xfrm_state *x)
{
	sa->dir = x->xso.dir;
	sa->type = x->xso.type;
	sa->mode = x->props.mode;
	sa->family = x->props.family;
	sa->reqid = x->props.reqid;
	sa->spi = x->id.spi;
	sa->saddr = x->props.saddr;
	sa->daddr = x->id.daddr;
	sa->soft_packets = x->lft.soft_packet_limit;
	sa->hard_packets = x->lft.hard_packet_limit;
	sa->limited = sa->type == XFRM_DEV_OFFLOAD_PACKET &&
		      (x->lft.soft_packet_limit != XFRM_INF ||
		       x->lft.hard_packet_limit != XFRM_INF ||
		       x->lft.soft_byte_limit != XFRM_INF ||
		       x->lft.hard_byte_limit != XFRM_INF);
	if (x->encap) {
		sa->has_encap = true;
		sa->encap_sport = x->encap->encap_sport;
		sa->encap_dport = x->encap->encap_dport;
	}
	vnic_upspec_set(&sa->up, &x->sel);
	get_random_bytes(&sa->iv_salt, sizeof(sa->iv_salt));
	sa_init_seq(vd, sa, x);
}

static bool sa_full(struct vnic_dev *vd, const struct vnic_sa *sa)
{
	u32 max = vnic_knob(vd, max_sas);

	if (max)
		return vd->n_in[0] + vd->n_in[1] + vd->n_out >= max;
	if (sa->dir == XFRM_DEV_OFFLOAD_IN)
		return vd->n_in[sa->family == AF_INET6] >= VNIC_IN_SAS_PER_FAMILY;
	return vd->n_out >= VNIC_FTE;
}

static u32 *sa_slot(struct vnic_dev *vd, const struct vnic_sa *sa)
{
	if (sa->dir == XFRM_DEV_OFFLOAD_IN)
		return &vd->n_in[sa->family == AF_INET6];
	return &vd->n_out;
}

static void sa_log(struct vnic_dev *vd, const char *op, int result,
		   const struct xfrm_state *x, const char *text)
{
	const char *dir = vnic_dir_text(x->xso.dir);
	const char *type = x->xso.type == XFRM_DEV_OFFLOAD_PACKET ?
			   "packet" : "crypto";
	const char *acq = x->xso.flags & XFRM_DEV_OFFLOAD_FLAG_ACQ ?
			  " acq=1" : "";

	if (x->props.family == AF_INET6)
		vnic_log(vd, "op=%s result=%d dir=%s type=%s spi=0x%08x reqid=%u mode=%u src=%pI6c dst=%pI6c%s text=\"%s\"",
			 op, result, dir, type, ntohl(x->id.spi), x->props.reqid,
			 x->props.mode, &x->props.saddr.in6, &x->id.daddr.in6,
			 acq, text);
	else
		vnic_log(vd, "op=%s result=%d dir=%s type=%s spi=0x%08x reqid=%u mode=%u src=%pI4 dst=%pI4%s text=\"%s\"",
			 op, result, dir, type, ntohl(x->id.spi), x->props.reqid,
			 x->props.mode, &x->props.saddr.a4, &x->id.daddr.a4,
			 acq, text);
}

static void sa_destroy(struct vnic_sa *sa)
{
	vnic_key_free(&sa->key);
	kfree_sensitive(sa);
}

static void sa_destroy_work(struct work_struct *work)
{
	sa_destroy(container_of(to_rcu_work(work), struct vnic_sa, rwork));
}

/* Everything that costs the card something, once the state is acceptable. */
static int sa_program(struct vnic_dev *vd, struct vnic_sa *sa,
		      struct xfrm_state *x, struct netlink_ext_ack *extack)
{
	struct neighbour *ask;
	int err;

	err = vnic_inject(vd, &vd->fail_sa, sa->dir);
	if (err)
		return err;
	if (vnic_tc_is_busy(vd))
		return -EBUSY;
	if (sa->mode == XFRM_MODE_TUNNEL &&
	    sa->type == XFRM_DEV_OFFLOAD_PACKET && vnic_knob(vd, encap_blocked))
		return REFUSE(extack, "Packet offload tunnel mode is disabled due to encap settings");

	err = vnic_key_init(&sa->key, x->aead);
	if (err)
		return err;
	ask = vnic_mac_resolve(sa, x, vd->dev);

	spin_lock_bh(&vd->table_lock);
	if (sa_full(vd, sa)) {
		err = -ENOSPC;
	} else {
		sa->id = ++vd->next_id;
		sa->x = x;
		(*sa_slot(vd, sa))++;
		list_add_tail_rcu(&sa->all, &vd->sas);
		list_add_tail_rcu(&sa->node, sa_bucket(vd, sa->dir,
						       sa_hash_key(sa)));
	}
	spin_unlock_bh(&vd->table_lock);
	if (ask) {
		if (!err)
			neigh_event_send(ask, NULL);
		neigh_release(ask);
	}
	return err;
}

int vnic_state_add(struct net_device *dev, struct xfrm_state *x,
		   struct netlink_ext_ack *extack)
{
	bool acq = x->xso.flags & XFRM_DEV_OFFLOAD_FLAG_ACQ;
	struct vnic_dev *vd = netdev_priv(dev);
	struct vnic_sa *sa;
	int err;

	if (!vnic_knob(vd, ipsec_supported))
		return -EOPNOTSUPP;
	if (!acq && vnic_knob(vd, add_delay_ms))
		msleep(vnic_knob(vd, add_delay_ms));

	sa = kzalloc(sizeof(*sa), acq ? GFP_ATOMIC : GFP_KERNEL);
	if (!sa)
		return -ENOMEM;
	spin_lock_init(&sa->lock);
	sa->vd = vd;
	sa->acq = acq;
	if (acq) {	/* S2 */
		x->xso.offload_handle = (unsigned long)sa;
		vnic_count(vd, sa_acq);
		sa_log(vd, "sa_add", 0, x, "-");
		return 0;
	}

	err = sa_validate(vd, x, extack);
	if (!err) {
		sa_fill(vd, sa, x);
		err = sa_program(vd, sa, x, extack);
	}
	if (err) {
		NL_SET_ERR_MSG_WEAK_MOD(extack, "Device failed to offload this state");
		vnic_count(vd, sa_refused);
		sa_log(vd, "sa_add", err, x,
		       extack && extack->_msg ? extack->_msg : "-");
		sa_destroy(sa);
		return err;
	}
	x->xso.offload_handle = (unsigned long)sa;
	vnic_count(vd, sa_adds);
	sa_log(vd, "sa_add", 0, x, "-");
	return 0;
}

/* Takes the rule away and gives its slot back, once. */
static void sa_unlink(struct vnic_dev *vd, struct vnic_sa *sa)
{
	spin_lock_bh(&vd->table_lock);
	if (!sa->unlinked) {
		list_del_rcu(&sa->node);
		list_del_rcu(&sa->all);
		(*sa_slot(vd, sa))--;
		sa->unlinked = true;
	}
	spin_unlock_bh(&vd->table_lock);
}

/* S5, first half. Called with x->lock held: must not sleep. */
void vnic_state_delete(struct xfrm_state *x)
{
	struct vnic_sa *sa = (void *)x->xso.offload_handle;

	if (!sa)
		return;
	if (!sa->acq)
		vnic_count(sa->vd, sa_deletes);
	WRITE_ONCE(sa->x, NULL);
	if (!sa->acq && !vnic_knob(sa->vd, late_free))
		sa_unlink(sa->vd, sa);
	sa_log(sa->vd, "sa_delete", 0, x, "-");
}

/* In slices, so that setting the knob back lets go of what waits. */
static void sa_free_delay(struct vnic_dev *vd)
{
	unsigned long start = jiffies;

	while (time_before(jiffies, start +
			   msecs_to_jiffies(vnic_knob(vd, delete_delay_ms))))
		msleep(10);
}

/* S5, second half: from the kernel's collector, or a flush of the device. */
void vnic_state_free(struct xfrm_state *x)
{
	struct vnic_sa *sa = (void *)x->xso.offload_handle;
	struct vnic_dev *vd;

	if (!sa)
		return;
	WRITE_ONCE(x->xso.offload_handle, 0);
	vd = sa->vd;
	if (sa->acq) {
		kfree(sa);	/* never was in a table */
		return;
	}
	WRITE_ONCE(sa->x, NULL);
	sa_free_delay(vd);

	sa_unlink(vd, sa);
	vnic_count(vd, sa_frees);
	sa_log(vd, "sa_free", 0, x, "-");

	/* the key's transform wants process context to go */
	INIT_RCU_WORK(&sa->rwork, sa_destroy_work);
	queue_rcu_work(vnic_wq, &sa->rwork);
}

/* S3, receive. */
struct vnic_sa *vnic_sa_find_in(struct vnic_dev *vd, u16 family,
				const xfrm_address_t *saddr,
				const xfrm_address_t *daddr, __be32 spi,
				bool encap, __be16 dport)
{
	struct vnic_sa *sa;

	list_for_each_entry_rcu(sa, sa_bucket(vd, XFRM_DEV_OFFLOAD_IN,
					      (__force u32)spi), node) {
		if (sa->spi != spi || sa->family != family ||
		    sa->has_encap != encap ||
		    !vnic_addr_eq(&sa->daddr, daddr, family))
			continue;
		/* mlx5's address match is left out where the state has none */
		if ((family == AF_INET ? sa->saddr.a4 != 0 :
		     !ipv6_addr_any(&sa->saddr.in6)) &&
		    !vnic_addr_eq(&sa->saddr, saddr, family))
			continue;
		if (encap && sa->encap_dport != dport)
			continue;
		return sa;
	}
	return NULL;
}

/* S3 and S4, transmit. */
struct vnic_sa *vnic_sa_find_out(struct vnic_dev *vd,
				 const struct vnic_policy *pol,
				 const struct vnic_flow *fl)
{
	bool newer = vnic_knob(vd, prefer_newer);
	bool by_spi = vnic_knob(vd, match_spi) && pol->spi;
	struct vnic_sa *sa, *found = NULL;

	list_for_each_entry_rcu(sa, sa_bucket(vd, XFRM_DEV_OFFLOAD_OUT,
					      pol->reqid), node) {
		if (sa->reqid != pol->reqid ||
		    sa->type != XFRM_DEV_OFFLOAD_PACKET ||
		    !vnic_upspec_match(&sa->up, fl))
			continue;
		if (by_spi && sa->spi == pol->spi)
			return sa;
		if (!found || newer)
			found = sa;
	}
	return found;
}

/* Knob set_seq: the next packet sent, or the top of the window received. */
int vnic_sa_set_seq(struct vnic_dev *vd, __be32 spi, u64 seq)
{
	struct vnic_sa *sa;
	int err = -ENOENT;

	rcu_read_lock();
	list_for_each_entry_rcu(sa, &vd->sas, all) {
		if (sa->spi != spi)
			continue;
		spin_lock_bh(&sa->lock);
		if (sa->dir == XFRM_DEV_OFFLOAD_OUT) {
			sa->oseq = seq;
		} else {
			sa->top = seq;
			bitmap_zero(sa->seen, VNIC_WIN_MAX);
		}
		spin_unlock_bh(&sa->lock);
		err = 0;
	}
	rcu_read_unlock();
	return err;
}
