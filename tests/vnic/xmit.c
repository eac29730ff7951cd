// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The transmit pipeline: segmentation, policy and state lookup, ESP, fault
 * injection, the tap of the wire, and handing the frame to the other end.
 * Called by the network core (ndo_start_xmit) with BHs off. A frame that
 * matches nothing leaves as it is: that is the model, not a mistake (T1).
 */
#include <linux/if_vlan.h>
#include <net/dst.h>
#include <net/gso.h>

#include "vnic.h"

/* One frame onto the wire, to the tap, and into the peer's receive path. */
static void xmit_cross(struct vnic_dev *vd, struct vnic_dev *peer,
		       struct sk_buff *skb)
{
	unsigned int len = skb->len;

	vnic_wire_tap(vd->pair, skb);
	dev_sw_netstats_tx_add(vd->dev, 1, len);

	skb_orphan(skb);
	skb_scrub_packet(skb, true);
	skb_ext_reset(skb);
	skb->dev = peer->dev;
	vnic_rx(peer, skb);
}

static struct sk_buff *xmit_corrupt(struct sk_buff *skb)
{
	skb = skb_unshare(skb, GFP_ATOMIC);
	if (!skb)
		return NULL;
	if (skb_linearize(skb)) {
		kfree_skb(skb);
		return NULL;
	}
	skb->data[skb->len - 1] ^= 0x5a;	/* in the ICV */
	return skb;
}

/*
 * Onto the wire: counted if it is clear, and what the test asked to happen to
 * the next ESP frames. @own: the device made this ESP, whatever port it has.
 */
static void xmit_wire(struct vnic_dev *vd, struct vnic_dev *peer,
		      struct sk_buff *skb, bool own)
{
	enum vnic_kind kind = VNIC_KIND_ESP;

	if (skb->len > vd->dev->mtu + ETH_HLEN + VLAN_HLEN) {
		vnic_count(vd, tx_too_big);
		goto drop;
	}
	if (!own)
		kind = vnic_watch_frame(vd, skb, skb->protocol, true);
	if (kind != VNIC_KIND_ESP) {
		if (kind == VNIC_KIND_OTHER)
			vnic_count(vd, tx_other);
		else
			vnic_count(vd, tx_clear);
		return xmit_cross(vd, peer, skb);
	}

	if (vnic_knob_take(vd, &vd->knobs.drop_next)) {
		vnic_count(vd, injected_drop);
		goto drop;
	}
	if (vnic_knob_take(vd, &vd->knobs.corrupt_next)) {
		vnic_count(vd, injected_corrupt);
		skb = xmit_corrupt(skb);
		if (!skb)
			return;
	}
	if (vnic_knob_take(vd, &vd->knobs.duplicate_next)) {
		struct sk_buff *dup = skb_copy(skb, GFP_ATOMIC);

		if (dup) {
			vnic_count(vd, injected_dup);
			xmit_cross(vd, peer, dup);
		}
	}
	return xmit_cross(vd, peer, skb);
drop:
	kfree_skb(skb);
	dev_core_stats_tx_dropped_inc(vd->dev);
}

/*
 * T3 seen from a miss: the kernel's direct output leaves whatever was in the
 * headroom as L2 header. The frame goes out all the same; its EtherType is set
 * right, as it would be where the old header was of the same protocol, so
 * that it is seen on the wire for the clear packet it is.
 */
static struct sk_buff *xmit_fix_l2(struct vnic_dev *vd, struct sk_buff *skb)
{
	const struct ethhdr *eth = (void *)skb->data;

	if (skb_network_offset(skb) != ETH_HLEN ||
	    eth->h_proto == skb->protocol)
		return skb;
	if (skb_cow_head(skb, 0)) {
		kfree_skb(skb);
		return NULL;
	}
	((struct ethhdr *)skb->data)->h_proto = skb->protocol;
	vnic_count(vd, tx_direct);
	return skb;
}

static void xmit_frame(struct vnic_dev *vd, struct vnic_dev *peer,
		       struct sk_buff *skb)
{
	struct vnic_policy *pol;
	struct sk_buff *nskb;
	struct vnic_flow fl;
	struct vnic_sa *sa;

	if (!pskb_may_pull(skb, ETH_HLEN))
		goto drop;
	if (skb->protocol != htons(ETH_P_IP) &&
	    skb->protocol != htons(ETH_P_IPV6))
		goto clear;
	if (skb_network_offset(skb) < ETH_HLEN ||
	    !vnic_flow_parse(skb, skb_network_offset(skb), skb->protocol, &fl))
		goto clear;

	pol = vnic_policy_match(vd, XFRM_DEV_OFFLOAD_OUT, &fl);
	if (!pol) {
		vnic_count(vd, tx_policy_miss);
		goto clear;
	}
	vnic_count(vd, tx_policy_hit);
	if (pol->action == XFRM_POLICY_BLOCK) {
		vnic_count(vd, tx_block);
		goto drop;
	}
	if (!pol->reqid)
		goto clear;
	sa = vnic_sa_find_out(vd, pol, &fl);
	if (!sa) {
		vnic_count(vd, tx_sa_miss);
		goto clear;
	}
	if (READ_ONCE(sa->failed_closed)) {
		vnic_count(vd, tx_sa_drop);
		goto drop;
	}
	nskb = vnic_tx_packet(vd, sa, skb, &fl);
	if (!nskb)
		goto drop;
	consume_skb(skb);
	xmit_wire(vd, peer, nskb, true);
	return;

clear:
	skb = xmit_fix_l2(vd, skb);
	if (skb)
		xmit_wire(vd, peer, skb, false);
	return;
drop:
	kfree_skb(skb);
	dev_core_stats_tx_dropped_inc(vd->dev);
}

static bool xmit_is_crypto(const struct sk_buff *skb)
{
	struct xfrm_offload *xo = xfrm_offload((struct sk_buff *)skb);
	struct xfrm_state *x;

	if (!xo || !(xo->flags & XFRM_XMIT))
		return false;
	x = xfrm_input_state((struct sk_buff *)skb);
	return x && x->xso.type == XFRM_DEV_OFFLOAD_CRYPTO &&
	       x->xso.dir == XFRM_DEV_OFFLOAD_OUT;
}

/* T5 */
static struct sk_buff *xmit_segment(struct vnic_dev *vd, struct sk_buff *skb)
{
	struct sk_buff *segs;

	if (skb_is_gso(skb)) {
		segs = skb_gso_segment(skb, NETIF_F_SG);
		if (IS_ERR_OR_NULL(segs)) {
			kfree_skb(skb);
			return NULL;
		}
		consume_skb(skb);
		return segs;
	}
	if (skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb)) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

netdev_tx_t vnic_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);
	struct net_device *peer;
	struct sk_buff *next;

	rcu_read_lock();
	peer = rcu_dereference(vd->peer);
	if (!peer) {
		kfree_skb(skb);
		vnic_count(vd, tx_no_peer);
		dev_core_stats_tx_dropped_inc(dev);
		goto out;
	}

	if (xmit_is_crypto(skb)) {
		struct sk_buff *nskb = vnic_tx_crypto(vd, skb);

		if (nskb) {
			consume_skb(skb);
			xmit_wire(vd, netdev_priv(peer), nskb, true);
		} else {
			kfree_skb(skb);
			dev_core_stats_tx_dropped_inc(dev);
		}
		goto out;
	}

	skb = xmit_segment(vd, skb);
	if (!skb) {
		vnic_count(vd, tx_errors);
		dev_core_stats_tx_dropped_inc(dev);
		goto out;
	}
	skb_list_walk_safe(skb, skb, next) {
		skb_mark_not_on_list(skb);
		xmit_frame(vd, netdev_priv(peer), skb);
	}
out:
	rcu_read_unlock();
	return NETDEV_TX_OK;
}
