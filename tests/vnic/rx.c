// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The receive path: ESP for which the device has a state is checked, decrypted
 * and, in packet mode, decapsulated; everything else goes to the stack as it
 * came (R1). The other end's xmit.c puts frames into the ring, with skb->data
 * at the Ethernet header; the device's one NAPI takes them out. It must not
 * enforce address selectors (R3), and must not let packets overtake each other:
 * a card keeps an SA's packets on one queue, and in crypto mode the kernel's
 * ESN window breaks for good if one comes later than the window is wide.
 */
#include <linux/if_vlan.h>
#include <linux/udp.h>
#include <net/esp.h>
#include <net/ip6_checksum.h>

#include "vnic.h"

/* Where ESP begins in the frame, and what selects its state. */
struct rx_esp {
	struct vnic_flow	fl;
	unsigned int		off;	/* of the ESP header, from data */
	unsigned int		clen;	/* payload with trailer */
	__be32			spi;
	u32			low;
	bool			encap;
};

static void rx_deliver(struct vnic_dev *vd, struct sk_buff *skb)
{
	unsigned int len = skb->len;

	skb->protocol = eth_type_trans(skb, vd->dev);
	skb->ip_summed = CHECKSUM_NONE;
	dev_sw_netstats_rx_add(vd->dev, len);
	netif_receive_skb(skb);
}

static void rx_drop(struct vnic_dev *vd, struct sk_buff *skb)
{
	kfree_skb(skb);
	dev_core_stats_rx_dropped_inc(vd->dev);
}

/* ESP, or ESP in UDP: anything else is not the IPsec tables' business. */
static bool rx_parse(struct vnic_dev *vd, const struct sk_buff *skb,
		     struct rx_esp *e)
{
	const struct ethhdr *eth = (void *)skb->data;
	const struct ip_esp_hdr *esph;
	struct ip_esp_hdr buf;
	unsigned int min = VNIC_ESP_LEN + VNIC_IV_LEN + 4 + VNIC_ICV_LEN;

	if (!vnic_flow_parse(skb, ETH_HLEN, eth->h_proto, &e->fl))
		return false;
	if (e->fl.proto == IPPROTO_UDP && e->fl.ports && !e->fl.frag) {
		e->encap = true;
		e->off = ETH_HLEN + e->fl.l4off + sizeof(struct udphdr);
	} else if (e->fl.proto == IPPROTO_ESP) {
		e->encap = false;
		e->off = ETH_HLEN + e->fl.l4off;
		if (e->fl.frag) {
			vnic_count(vd, rx_esp_frag);
			return false;
		}
	} else {
		return false;
	}
	if (ETH_HLEN + e->fl.l3len < e->off + min)
		return false;
	esph = skb_header_pointer(skb, e->off, sizeof(buf), &buf);
	if (!esph || !esph->spi)
		return false;
	e->spi = esph->spi;
	e->low = ntohl(esph->seq_no);
	e->clen = ETH_HLEN + e->fl.l3len - e->off - VNIC_ESP_LEN -
		  VNIC_IV_LEN - VNIC_ICV_LEN;
	return true;
}

static struct sk_buff *rx_own(struct sk_buff *skb, unsigned int len)
{
	skb = skb_unshare(skb, GFP_ATOMIC);
	if (!skb)
		return NULL;
	if (skb_linearize(skb) || skb_cow_head(skb, 0) ||
	    pskb_trim(skb, len)) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

/* R4; @x is NULL for a state the kernel has already deleted (S5). */
static bool rx_secpath(struct vnic_dev *vd, struct sk_buff *skb,
		       struct xfrm_state *x)
{
	struct xfrm_offload *xo;
	struct sec_path *sp;

	if (!x) {
		vnic_count(vd, rx_sadb_miss);
		return true;
	}
	sp = secpath_set(skb);
	if (!sp) {
		xfrm_state_put(x);
		return false;
	}
	sp->xvec[sp->len++] = x;
	sp->olen++;
	xo = xfrm_offload(skb);
	xo->flags = CRYPTO_DONE;
	xo->status = CRYPTO_SUCCESS;
	return true;
}

/* A reference to the state, unless it is deleted or on its way out. */
static struct xfrm_state *rx_state(struct vnic_sa *sa)
{
	struct xfrm_state *x = READ_ONCE(sa->x);

	if (x && !refcount_inc_not_zero(&x->refcnt))
		x = NULL;
	return x;
}

/*
 * Window, ICV, window again (another CPU may have had the same packet), then
 * the counters. Returns false where the card drops (R2).
 */
static bool rx_verify_packet(struct vnic_dev *vd, struct vnic_sa *sa,
			     u8 *esph, const struct rx_esp *e)
{
	unsigned int wire_len = ETH_HLEN + e->fl.l3len;
	bool ok;
	u64 seq;
	int err;

	spin_lock(&sa->lock);
	seq = vnic_replay_seq(sa, e->low);
	ok = vnic_replay_ok(sa, seq);
	if (!ok)
		sa->live.replay++;
	spin_unlock(&sa->lock);
	if (!ok) {
		vnic_count(vd, replay_drops);
		return false;
	}

	err = vnic_crypt(sa, false, seq, esph, e->clen);
	spin_lock(&sa->lock);
	if (err == -EBADMSG) {
		sa->live.auth++;
		vnic_count(vd, auth_drops);
	} else if (err) {
		vnic_count(vd, rx_errors);
	} else if (!vnic_replay_ok(sa, seq)) {
		sa->live.replay++;
		vnic_count(vd, replay_drops);
		err = -EALREADY;
	} else if (sa->live.packets >= sa->hard_packets) {
		vnic_count(vd, rx_limit_drops);
		err = -EDQUOT;
	} else {
		vnic_replay_advance(sa, seq);
		vnic_sa_account(sa, wire_len);
	}
	spin_unlock(&sa->lock);
	return !err;
}

static bool rx_trailer(struct vnic_dev *vd, struct vnic_sa *sa, const u8 *payload,
		       unsigned int clen, unsigned int *plen, u8 *nh)
{
	unsigned int pad = payload[clen - 2];

	*nh = payload[clen - 1];
	if (pad + 2 > clen)
		goto bad;
	*plen = clen - 2 - pad;
	if (sa->mode == XFRM_MODE_TUNNEL &&
	    !(*nh == IPPROTO_IPIP && *plen >= sizeof(struct iphdr)) &&
	    !(*nh == IPPROTO_IPV6 && *plen >= sizeof(struct ipv6hdr)))
		goto bad;
	return true;
bad:
	spin_lock(&sa->lock);
	sa->live.trailer++;
	spin_unlock(&sa->lock);
	vnic_count(vd, trailer_drops);
	return false;
}

/* Tunnel mode: a new Ethernet header with the frozen addresses. */
static void rx_strip_tunnel(struct vnic_sa *sa, struct sk_buff *skb,
			    unsigned int off, unsigned int plen, u8 nh)
{
	struct ethhdr *eth;

	skb_trim(skb, off + plen);
	skb_pull(skb, off);
	eth = skb_push(skb, ETH_HLEN);
	spin_lock(&sa->lock);
	ether_addr_copy(eth->h_dest, sa->own_mac);
	ether_addr_copy(eth->h_source, sa->peer_mac);
	spin_unlock(&sa->lock);
	eth->h_proto = nh == IPPROTO_IPIP ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
}

/* Transport mode: the headers move up to the payload. */
static void rx_strip_transport(struct sk_buff *skb, const struct rx_esp *e,
			       unsigned int off, unsigned int plen, u8 nh)
{
	unsigned int hlen = ETH_HLEN + e->fl.l4off;
	u8 *p;

	skb_trim(skb, off + plen);
	memmove(skb->data + off - hlen, skb->data, hlen);
	p = skb_pull(skb, off - hlen) + ETH_HLEN;
	if (e->fl.family == AF_INET) {
		struct iphdr *ip = (void *)p;

		ip->protocol = nh;
		ip->tot_len = htons(skb->len - ETH_HLEN);
		ip_send_check(ip);
	} else {
		struct ipv6hdr *ip6 = (void *)p;

		ip6->nexthdr = nh;
		ip6->payload_len = htons(skb->len - ETH_HLEN - sizeof(*ip6));
	}
}

/* After decryption: the state's own ports, then policies, of which only BLOCK acts. */
static bool rx_policy(struct vnic_dev *vd, struct vnic_sa *sa,
		      const struct sk_buff *skb)
{
	const struct ethhdr *eth = (void *)skb->data;
	const struct vnic_policy *pol;
	struct vnic_flow fl;

	if (!vnic_flow_parse(skb, ETH_HLEN, eth->h_proto, &fl))
		return true;
	if (!vnic_upspec_match(&sa->up, &fl)) {
		vnic_count(vd, sel_drops);
		return false;
	}
	pol = vnic_policy_match(vd, XFRM_DEV_OFFLOAD_IN, &fl);
	if (pol && pol->action == XFRM_POLICY_BLOCK) {
		vnic_count(vd, rx_block);
		return false;
	}
	return true;
}

static void rx_packet(struct vnic_dev *vd, struct vnic_sa *sa,
		      struct sk_buff *skb, const struct rx_esp *e)
{
	unsigned int plen, wire_len = skb->len;
	u8 *esph, *payload, nh;

	if (READ_ONCE(sa->failed_closed)) {
		vnic_count(vd, rx_sa_drop);
		goto drop;
	}
	esph = skb->data + e->off;
	payload = esph + VNIC_ESP_LEN + VNIC_IV_LEN;
	if (!rx_verify_packet(vd, sa, esph, e) ||
	    !rx_trailer(vd, sa, payload, e->clen, &plen, &nh))
		goto drop;

	if (sa->mode == XFRM_MODE_TUNNEL)
		rx_strip_tunnel(sa, skb, payload - skb->data, plen, nh);
	else
		rx_strip_transport(skb, e, payload - skb->data, plen, nh);
	vnic_count(vd, rx_esp);
	vnic_add(vd, rx_esp_bytes, wire_len);

	if (!rx_policy(vd, sa, skb) || !rx_secpath(vd, skb, rx_state(sa)))
		goto drop;
	rx_deliver(vd, skb);
	return;
drop:
	rx_drop(vd, skb);
}

/*
 * Crypto mode: decrypted in place, headers left to the kernel, which also
 * keeps the window; the high half of the number is therefore the kernel's.
 */
static void rx_crypto(struct vnic_dev *vd, struct vnic_sa *sa,
		      struct sk_buff *skb, const struct rx_esp *e)
{
	struct xfrm_state *x = rx_state(sa);
	u8 *esph = skb->data + e->off;
	u64 seq = e->low;
	int err;

	if (!x) {
		rx_deliver(vd, skb);	/* S5: the stack finds no state either */
		vnic_count(vd, rx_sadb_miss);
		return;
	}
	if (sa->esn)
		seq |= (u64)xfrm_replay_seqhi(x, htonl(e->low)) << 32;
	err = vnic_crypt(sa, false, seq, esph, e->clen);
	spin_lock(&sa->lock);
	if (err == -EBADMSG)
		sa->live.auth++;
	else if (!err)
		vnic_sa_account(sa, skb->len);
	spin_unlock(&sa->lock);
	if (err) {
		if (err == -EBADMSG)
			vnic_count(vd, auth_drops);
		else
			vnic_count(vd, rx_errors);
		xfrm_state_put(x);
		rx_drop(vd, skb);
		return;
	}
	vnic_count(vd, rx_crypto);
	if (rx_secpath(vd, skb, x))
		rx_deliver(vd, skb);
	else
		rx_drop(vd, skb);
}

/*
 * The state a frame is for, if it is ESP for this station. ESP in UDP is known
 * by its SPI and destination port, whatever the port is.
 */
static struct vnic_sa *rx_find(struct vnic_dev *vd, const struct sk_buff *skb,
			       struct rx_esp *e)
{
	const struct ethhdr *eth = (void *)skb->data;
	struct vnic_sa *sa;

	if (!rx_parse(vd, skb, e))
		return NULL;
	/* a frame for another station never reaches the card's tables */
	if (!ether_addr_equal(eth->h_dest, vd->dev->dev_addr)) {
		if (!e->encap)
			vnic_count(vd, rx_wrong_mac);
		return NULL;
	}
	sa = vnic_sa_find_in(vd, e->fl.family, &e->fl.saddr, &e->fl.daddr,
			     e->spi, e->encap, e->fl.dport);
	if (!sa && !e->encap)
		vnic_count(vd, rx_no_sa);
	return sa;
}

static void rx_frame(struct vnic_dev *vd, struct sk_buff *skb)
{
	struct rx_esp e = {};
	struct vnic_sa *sa;

	if (!pskb_may_pull(skb, ETH_HLEN))
		return rx_drop(vd, skb);
	if (skb->len > vd->dev->mtu + ETH_HLEN + VLAN_HLEN) {
		vnic_count(vd, rx_too_big);
		return rx_drop(vd, skb);
	}

	sa = rx_find(vd, skb, &e);
	if (!sa) {
		const struct ethhdr *eth = (void *)skb->data;

		switch (vnic_watch_frame(vd, skb, eth->h_proto, false)) {
		case VNIC_KIND_ESP:
			if (e.encap)
				vnic_count(vd, rx_no_sa);
			break;
		case VNIC_KIND_OTHER:
			vnic_count(vd, rx_other);
			break;
		default:
			vnic_count(vd, rx_clear);
			break;
		}
		return rx_deliver(vd, skb);
	}

	skb = rx_own(skb, ETH_HLEN + e.fl.l3len);
	if (!skb) {
		vnic_count(vd, rx_errors);
		dev_core_stats_rx_dropped_inc(vd->dev);
		return;
	}
	if (sa->type == XFRM_DEV_OFFLOAD_PACKET)
		rx_packet(vd, sa, skb, &e);
	else
		rx_crypto(vd, sa, skb, &e);
}

static int rx_poll(struct napi_struct *napi, int budget)
{
	struct vnic_dev *vd = container_of(napi, struct vnic_dev, napi);
	struct sk_buff *skb;
	int work = 0;

	rcu_read_lock();
	while (work < budget && (skb = skb_dequeue(&vd->ring))) {
		rx_frame(vd, skb);
		work++;
	}
	rcu_read_unlock();
	if (work < budget && napi_complete_done(napi, work) &&
	    !skb_queue_empty(&vd->ring))
		napi_schedule(napi);
	return work;
}

/* From the other end, with BHs off. */
void vnic_rx(struct vnic_dev *vd, struct sk_buff *skb)
{
	if (!netif_running(vd->dev))
		return rx_drop(vd, skb);
	if (skb_queue_len_lockless(&vd->ring) >= VNIC_RING) {
		vnic_count(vd, rx_ring_full);
		return rx_drop(vd, skb);
	}
	skb_queue_tail(&vd->ring, skb);
	napi_schedule(&vd->napi);
}

void vnic_rx_open(struct vnic_dev *vd)
{
	skb_queue_purge(&vd->ring);	/* what raced with the last stop */
	netif_napi_add(vd->dev, &vd->napi, rx_poll);
	napi_enable(&vd->napi);
}

void vnic_rx_stop(struct vnic_dev *vd)
{
	napi_disable(&vd->napi);
	netif_napi_del(&vd->napi);
	skb_queue_purge(&vd->ring);
}
