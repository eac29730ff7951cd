// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ESP on transmit: the packet-mode transform (whole encapsulation by the
 * device) and the crypto-mode transform (the kernel built the ESP packet, the
 * device encrypts it). Called by xmit.c with BHs off. Both return a linear
 * frame of their own, so that whatever the stack shares with others is never
 * written to; neither decides whether a packet is to be encrypted.
 */
#include <linux/udp.h>
#include <net/esp.h>
#include <net/ip6_checksum.h>

#include "vnic.h"

/* Sequence number, counters and limits of one packet to be sent. */
static int tx_take_seq(struct vnic_dev *vd, struct vnic_sa *sa,
		       unsigned int wire_len, u64 *seq, u8 *own, u8 *peer)
{
	int err = 0;

	spin_lock(&sa->lock);
	if (sa->live.packets >= sa->hard_packets) {
		vnic_count(vd, tx_limit_drops);
		err = -EDQUOT;
	} else if (sa->oseq == (sa->esn ? U64_MAX : U32_MAX)) {
		vnic_count(vd, tx_seq_overflow);
		err = -EOVERFLOW;
	} else {
		*seq = ++sa->oseq;
		vnic_sa_account(sa, wire_len);
		ether_addr_copy(own, sa->own_mac);
		ether_addr_copy(peer, sa->peer_mac);
	}
	spin_unlock(&sa->lock);
	return err;
}

static void tx_outer4(struct iphdr *ip, const struct vnic_sa *sa, int len)
{
	memset(ip, 0, sizeof(*ip));	/* T4: no DF, no DSCP, identification 0 */
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->saddr = sa->saddr.a4;
	ip->daddr = sa->daddr.a4;
	ip->protocol = IPPROTO_ESP;
	ip->tot_len = htons(len);
	ip_send_check(ip);
}

static void tx_outer6(struct ipv6hdr *ip6, const struct vnic_sa *sa, int len)
{
	memset(ip6, 0, sizeof(*ip6));
	ip6->version = 6;
	ip6->hop_limit = 64;
	ip6->saddr = sa->saddr.in6;
	ip6->daddr = sa->daddr.in6;
	ip6->nexthdr = IPPROTO_ESP;
	ip6->payload_len = htons(len - sizeof(*ip6));
}

/* Transport mode keeps the packet's own header and its L2 header. */
static void tx_transport_hdr(void *l3, const struct vnic_flow *fl, int len,
			     u8 proto)
{
	if (fl->family == AF_INET) {
		struct iphdr *ip = l3;

		ip->protocol = proto;
		ip->tot_len = htons(len);
		ip_send_check(ip);
	} else {
		struct ipv6hdr *ip6 = l3;

		ip6->nexthdr = proto;
		ip6->payload_len = htons(len - sizeof(*ip6));
	}
}

static void tx_udp(struct udphdr *uh, const struct vnic_sa *sa, int len)
{
	uh->source = sa->encap_sport;
	uh->dest = sa->encap_dport;
	uh->len = htons(len);
	uh->check = 0;
}

/* RFC 3948 wants 0 over IPv4; over IPv6 a receiver in software wants a sum. */
static void tx_udp_check6(struct udphdr *uh, const struct ipv6hdr *ip6, int len)
{
	__wsum sum = csum_partial(uh, len, 0);

	uh->check = csum_ipv6_magic(&ip6->saddr, &ip6->daddr, len, IPPROTO_UDP,
				    sum);
	if (!uh->check)
		uh->check = CSUM_MANGLED_0;
}

struct sk_buff *vnic_tx_packet(struct vnic_dev *vd, struct vnic_sa *sa,
			       struct sk_buff *skb, const struct vnic_flow *fl)
{
	bool tunnel = sa->mode == XFRM_MODE_TUNNEL;
	unsigned int l3, plen, clen, pad, udp, total, i;
	int noff = skb_network_offset(skb);
	u8 own[ETH_ALEN], peer[ETH_ALEN];
	struct ip_esp_hdr *esph;
	struct sk_buff *nskb;
	u8 *p, *payload;
	__be64 iv;
	u64 seq;
	u8 nh;

	if (tunnel) {
		l3 = sa->family == AF_INET ? sizeof(struct iphdr)
					   : sizeof(struct ipv6hdr);
		plen = fl->l3len;
		nh = fl->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
	} else {
		if (fl->family != sa->family) {
			vnic_count(vd, tx_family_drops);
			return NULL;
		}
		l3 = fl->l3hlen;
		plen = fl->l3len - l3;
		nh = fl->first_proto;
	}
	udp = sa->has_encap ? sizeof(struct udphdr) : 0;
	clen = ALIGN(plen + 2, 4);
	pad = clen - plen - 2;
	total = ETH_HLEN + l3 + udp + VNIC_ESP_LEN + VNIC_IV_LEN + clen +
		VNIC_ICV_LEN;

	nskb = alloc_skb(NET_SKB_PAD + NET_IP_ALIGN + total, GFP_ATOMIC);
	if (!nskb)
		goto error;
	skb_reserve(nskb, NET_SKB_PAD + NET_IP_ALIGN);
	p = skb_put(nskb, total);
	esph = (void *)(p + ETH_HLEN + l3 + udp);
	payload = (u8 *)esph + VNIC_ESP_LEN + VNIC_IV_LEN;
	if (skb_copy_bits(skb, noff + (tunnel ? 0 : l3), payload, plen))
		goto error;
	for (i = 0; i < pad; i++)
		payload[plen + i] = i + 1;
	payload[plen + pad] = pad;
	payload[plen + pad + 1] = nh;

	if (tx_take_seq(vd, sa, total, &seq, own, peer)) {
		kfree_skb(nskb);
		return NULL;
	}
	esph->spi = sa->spi;
	esph->seq_no = htonl(lower_32_bits(seq));
	iv = cpu_to_be64(seq ^ sa->iv_salt);
	memcpy(esph + 1, &iv, sizeof(iv));
	if (vnic_crypt(sa, true, seq, (u8 *)esph, clen))
		goto error;

	if (tunnel) {	/* T3 */
		struct ethhdr *eth = (void *)p;

		ether_addr_copy(eth->h_dest, peer);
		ether_addr_copy(eth->h_source, own);
		eth->h_proto = sa->family == AF_INET ? htons(ETH_P_IP)
						     : htons(ETH_P_IPV6);
		if (is_zero_ether_addr(peer))
			vnic_count(vd, tx_zero_mac);
		if (sa->family == AF_INET)
			tx_outer4((void *)(p + ETH_HLEN), sa, total - ETH_HLEN);
		else
			tx_outer6((void *)(p + ETH_HLEN), sa, total - ETH_HLEN);
	} else {
		if (skb_copy_bits(skb, 0, p, ETH_HLEN) ||
		    skb_copy_bits(skb, noff, p + ETH_HLEN, l3))
			goto error;
		tx_transport_hdr(p + ETH_HLEN, fl, total - ETH_HLEN,
				 udp ? IPPROTO_UDP : IPPROTO_ESP);
	}
	if (udp) {
		struct udphdr *uh = (void *)(p + ETH_HLEN + l3);
		int len = total - ETH_HLEN - l3;

		tx_udp(uh, sa, len);
		if (sa->family == AF_INET6)
			tx_udp_check6(uh, (void *)(p + ETH_HLEN), len);
	}

	nskb->protocol = ((struct ethhdr *)p)->h_proto;
	nskb->dev = vd->dev;
	skb_reset_mac_header(nskb);
	skb_set_network_header(nskb, ETH_HLEN);
	skb_set_transport_header(nskb, ETH_HLEN + l3);
	vnic_count(vd, tx_esp);
	vnic_add(vd, tx_esp_bytes, total);
	return nskb;

error:
	kfree_skb(nskb);
	vnic_count(vd, tx_errors);
	return NULL;
}

/*
 * T6. The kernel left the header, room for the IV, the padded payload with its
 * trailer and room for the ICV; IV and ICV are the device's. The sequence
 * number's high half is the kernel's count, which for segments of a GSO packet
 * has already moved past this one.
 */
struct sk_buff *vnic_tx_crypto(struct vnic_dev *vd, struct sk_buff *skb)
{
	struct xfrm_state *x = xfrm_input_state(skb);
	struct vnic_sa *sa = (void *)READ_ONCE(x->xso.offload_handle);
	struct xfrm_offload *xo = xfrm_offload(skb);
	struct ip_esp_hdr *esph;
	struct sk_buff *nskb;
	int eoff, clen;
	__be64 iv;
	u32 hi;

	if (!sa || sa->acq || sa->vd != vd ||
	    sa->type != XFRM_DEV_OFFLOAD_CRYPTO ||
	    sa->dir != XFRM_DEV_OFFLOAD_OUT) {
		vnic_count(vd, tx_bad_offload);
		return NULL;
	}

	nskb = skb_copy(skb, GFP_ATOMIC);
	if (!nskb)
		goto error;
	eoff = skb_transport_offset(nskb);
	clen = (int)nskb->len - eoff - VNIC_ESP_LEN - VNIC_IV_LEN - VNIC_ICV_LEN;
	if (eoff < ETH_HLEN || clen < 4 || clen % 4)
		goto error;
	esph = (void *)(nskb->data + eoff);
	if (esph->spi != sa->spi)
		goto error;

	hi = xo->seq.hi;
	if (xo->seq.low < ntohl(esph->seq_no))
		hi--;
	iv = cpu_to_be64((((u64)hi << 32) | ntohl(esph->seq_no)) ^ sa->iv_salt);
	memcpy(esph + 1, &iv, sizeof(iv));
	if (vnic_crypt(sa, true, ((u64)hi << 32) | ntohl(esph->seq_no),
		       (u8 *)esph, clen))
		goto error;
	spin_lock(&sa->lock);
	vnic_sa_account(sa, nskb->len);
	spin_unlock(&sa->lock);
	secpath_reset(nskb);
	vnic_count(vd, tx_crypto);
	return nskb;

error:
	kfree_skb(nskb);
	vnic_count(vd, tx_errors);
	return NULL;
}
