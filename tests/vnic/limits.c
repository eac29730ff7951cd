// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Flow counters and lifetimes (rules L1 to L3): what the card counts, when the
 * driver sees it, and when it tells the kernel that a limit is reached. Called
 * by the data path (account), by the kernel (update_stats) and by this
 * device's own work items. It must not read the live counters into the
 * kernel's state except through a sample.
 */
#include <linux/udp.h>

#include "vnic.h"

/* Called with sa->lock held, for each packet that passed. */
void vnic_sa_account(struct vnic_sa *sa, unsigned int wire_len)
{
	sa->live.packets++;
	sa->live.bytes += wire_len;
	if (!sa->limited)
		return;
	/* L2: the card's own packet counter raises an event */
	if (sa->live.packets == sa->soft_packets ||
	    sa->live.packets == sa->hard_packets) {
		sa->event = true;
		queue_work(vnic_wq, &sa->vd->event);
	}
}

static void sa_sample(struct vnic_sa *sa)
{
	spin_lock_bh(&sa->lock);
	sa->cached = sa->live;
	spin_unlock_bh(&sa->lock);
}

static struct xfrm_state *sa_hold(struct vnic_sa *sa)
{
	struct xfrm_state *x = READ_ONCE(sa->x);

	return x && refcount_inc_not_zero(&x->refcnt) ? x : NULL;
}

/*
 * Knob sync_replay: a driver that writes the numbers back. Not mlx5; there to
 * show what a plugin gains by it.
 */
static void sa_sync_replay(struct vnic_sa *sa, struct xfrm_state *x)
{
	u64 oseq, top;

	spin_lock_bh(&sa->lock);
	oseq = sa->oseq;
	top = sa->top;
	spin_unlock_bh(&sa->lock);

	if (x->replay_esn) {
		if (sa->dir == XFRM_DEV_OFFLOAD_OUT) {
			x->replay_esn->oseq = lower_32_bits(oseq);
			x->replay_esn->oseq_hi = upper_32_bits(oseq);
		} else {
			x->replay_esn->seq = lower_32_bits(top);
			x->replay_esn->seq_hi = upper_32_bits(top);
		}
	} else if (sa->dir == XFRM_DEV_OFFLOAD_OUT) {
		x->replay.oseq = lower_32_bits(oseq);
	} else {
		x->replay.seq = lower_32_bits(top);
	}
}

static void sa_check(struct vnic_sa *sa)
{
	bool sync = vnic_knob(sa->vd, sync_replay) &&
		    sa->type == XFRM_DEV_OFFLOAD_PACKET;
	struct xfrm_state *x;

	if (!sa->limited && !sync)
		return;
	x = sa_hold(sa);
	if (!x)
		return;
	spin_lock_bh(&x->lock);
	if (sync && READ_ONCE(sa->x) && x->km.state == XFRM_STATE_VALID)
		sa_sync_replay(sa, x);
	if (sa->limited) {
		if (READ_ONCE(sa->x) && x->km.state == XFRM_STATE_VALID)
			xfrm_state_check_expire(x);
		if (x->km.state == XFRM_STATE_EXPIRED)
			WRITE_ONCE(sa->failed_closed, true);
	}
	spin_unlock_bh(&x->lock);
	xfrm_state_put(x);
}

static void vnic_sample(struct work_struct *work)
{
	struct vnic_dev *vd = container_of(to_delayed_work(work),
					   struct vnic_dev, sample);
	u32 ms = max_t(u32, vnic_knob(vd, sample_ms), 1);
	struct vnic_sa *sa;

	rcu_read_lock();
	list_for_each_entry_rcu(sa, &vd->sas, all) {
		sa_sample(sa);
		sa_check(sa);
	}
	rcu_read_unlock();
	queue_delayed_work(vnic_wq, &vd->sample, msecs_to_jiffies(ms));
}

static void vnic_event(struct work_struct *work)
{
	struct vnic_dev *vd = container_of(work, struct vnic_dev, event);
	struct vnic_sa *sa;

	rcu_read_lock();
	list_for_each_entry_rcu(sa, &vd->sas, all) {
		bool event;

		spin_lock_bh(&sa->lock);
		event = sa->event;
		sa->event = false;
		spin_unlock_bh(&sa->lock);
		if (!event)
			continue;
		sa_sample(sa);
		sa_check(sa);
	}
	rcu_read_unlock();
}

void vnic_limits_init(struct vnic_dev *vd)
{
	INIT_DELAYED_WORK(&vd->sample, vnic_sample);
	INIT_WORK(&vd->event, vnic_event);
}

void vnic_limits_start(struct vnic_dev *vd)
{
	queue_delayed_work(vnic_wq, &vd->sample,
			   msecs_to_jiffies(vnic_knob(vd, sample_ms)));
}

/* After the kernel flushed the device's states; nothing is queued again. */
void vnic_limits_stop(struct vnic_dev *vd)
{
	disable_delayed_work_sync(&vd->sample);
	disable_work_sync(&vd->event);
}

/*
 * L1, L3. The kernel holds x->lock, xfrm_state_lock or xfrm_cfg_mutex, none of
 * which a flush at link down holds: RCU keeps the entry.
 */
void vnic_state_update_stats(struct xfrm_state *x)
{
	struct net *net = xs_net(x);
	struct vnic_counters d;
	struct vnic_sa *sa;
	u64 headers;
	u8 dir, type;

	rcu_read_lock();
	sa = (void *)READ_ONCE(x->xso.offload_handle);
	if (!sa || sa->acq) {
		rcu_read_unlock();
		return;
	}
	dir = sa->dir;
	type = sa->type;
	headers = ETH_HLEN + (sa->family == AF_INET ? sizeof(struct iphdr)
						    : sizeof(struct ipv6hdr));
	/* knob: about what software counts, the padded inner packet */
	if (!vnic_knob(sa->vd, wire_bytes))
		headers += VNIC_ESP_LEN + VNIC_IV_LEN + VNIC_ICV_LEN +
			   (sa->has_encap ? sizeof(struct udphdr) : 0);
	spin_lock_bh(&sa->lock);
	d.packets = sa->cached.packets - sa->told.packets;
	d.bytes = sa->cached.bytes - sa->told.bytes;
	d.auth = sa->cached.auth - sa->told.auth;
	d.trailer = sa->cached.trailer - sa->told.trailer;
	d.replay = sa->cached.replay - sa->told.replay;
	sa->told = sa->cached;
	spin_unlock_bh(&sa->lock);
	rcu_read_unlock();

	if (dir == XFRM_DEV_OFFLOAD_IN) {
		x->stats.integrity_failed += d.auth;
		XFRM_ADD_STATS(net, LINUX_MIB_XFRMINSTATEPROTOERROR, d.auth);
		XFRM_ADD_STATS(net, LINUX_MIB_XFRMINHDRERROR, d.trailer);
	}
	if (type != XFRM_DEV_OFFLOAD_PACKET)
		return;
	if (dir == XFRM_DEV_OFFLOAD_IN) {
		x->stats.replay += d.replay;
		XFRM_ADD_STATS(net, LINUX_MIB_XFRMINSTATESEQERROR, d.replay);
	}
	x->curlft.packets += d.packets;
	x->curlft.bytes += d.bytes - headers * d.packets;
}

/* Crypto mode only: the kernel numbers, and tx.c takes its number per packet. */
void vnic_state_advance_esn(struct xfrm_state *x)
{
}
