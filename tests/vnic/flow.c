// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading a frame's IP headers as the card's parser does. Called by the
 * transmit and receive paths and by the watch; it must not change the frame
 * and must accept any bytes.
 */
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/ipv6.h>

#include "vnic.h"

static bool flow_parse4(const struct sk_buff *skb, int noff,
			struct vnic_flow *fl)
{
	const struct iphdr *ip;
	struct iphdr buf;

	ip = skb_header_pointer(skb, noff, sizeof(buf), &buf);
	if (!ip || ip->version != 4 || ip->ihl < 5)
		return false;

	fl->family = AF_INET;
	fl->proto = ip->protocol;
	fl->first_proto = ip->protocol;
	fl->frag = ip_is_fragment(ip);
	fl->saddr.a4 = ip->saddr;
	fl->daddr.a4 = ip->daddr;
	fl->l3hlen = ip->ihl * 4;
	fl->l3len = ntohs(ip->tot_len);
	fl->l4off = fl->l3hlen;
	/* ports only where the first fragment or a whole packet has them */
	fl->ports = !(ip->frag_off & htons(IP_OFFSET));
	return fl->l3len >= fl->l3hlen;
}

static bool flow_parse6(const struct sk_buff *skb, int noff,
			struct vnic_flow *fl)
{
	const struct ipv6hdr *ip6;
	struct ipv6hdr buf;
	__be16 frag_off = 0;
	u8 nexthdr;
	int off;

	ip6 = skb_header_pointer(skb, noff, sizeof(buf), &buf);
	if (!ip6 || ip6->version != 6)
		return false;

	fl->family = AF_INET6;
	fl->first_proto = ip6->nexthdr;
	fl->saddr.in6 = ip6->saddr;
	fl->daddr.in6 = ip6->daddr;
	fl->l3hlen = sizeof(*ip6);
	fl->l3len = ntohs(ip6->payload_len) + sizeof(*ip6);
	fl->ports = true;

	nexthdr = ip6->nexthdr;
	off = noff + sizeof(*ip6);
	while (ipv6_ext_hdr(nexthdr) && nexthdr != NEXTHDR_NONE) {
		struct ipv6_opt_hdr hdrbuf;
		const struct ipv6_opt_hdr *hdr;

		hdr = skb_header_pointer(skb, off, sizeof(hdrbuf), &hdrbuf);
		if (!hdr)
			break;
		if (nexthdr == NEXTHDR_FRAGMENT) {
			const struct frag_hdr *fh;
			struct frag_hdr fbuf;

			fh = skb_header_pointer(skb, off, sizeof(fbuf), &fbuf);
			if (!fh)
				break;
			fl->frag = true;
			frag_off = fh->frag_off & htons(~0x7);
			nexthdr = fh->nexthdr;
			off += sizeof(fbuf);
			if (frag_off)
				break;
			continue;
		}
		if (nexthdr == NEXTHDR_AUTH)
			off += ipv6_authlen(hdr);
		else
			off += ipv6_optlen(hdr);
		nexthdr = hdr->nexthdr;
	}
	fl->proto = nexthdr;
	fl->l4off = off - noff;
	if (frag_off)
		fl->ports = false;
	return true;
}

/*
 * @proto is the frame's EtherType. For transmitted frames it comes from the
 * skb, since the 14 bytes in front may be anything (T3).
 */
bool vnic_flow_parse(const struct sk_buff *skb, int noff, __be16 proto,
		     struct vnic_flow *fl)
{
	bool ok;

	memset(fl, 0, sizeof(*fl));
	if (proto == htons(ETH_P_IP))
		ok = flow_parse4(skb, noff, fl);
	else if (proto == htons(ETH_P_IPV6))
		ok = flow_parse6(skb, noff, fl);
	else
		return false;
	if (!ok || fl->l3len > skb->len - noff)
		return false;

	if (fl->ports && (fl->proto == IPPROTO_TCP || fl->proto == IPPROTO_UDP)) {
		const __be16 *p;
		__be16 buf[2];

		p = skb_header_pointer(skb, noff + fl->l4off, sizeof(buf), buf);
		if (p) {
			fl->sport = p[0];
			fl->dport = p[1];
		} else {
			fl->ports = false;
		}
	} else {
		fl->ports = false;
	}
	return true;
}

void vnic_upspec_set(struct vnic_upspec *up, const struct xfrm_selector *sel)
{
	up->proto = sel->proto;
	up->sport = sel->sport;
	up->sport_mask = sel->sport_mask;
	up->dport = sel->dport;
	up->dport_mask = sel->dport_mask;
}

/* P4: protocol 0 is any, otherwise TCP or UDP; a port of 0 is any port. */
bool vnic_upspec_match(const struct vnic_upspec *up, const struct vnic_flow *fl)
{
	if (up->proto != IPPROTO_TCP && up->proto != IPPROTO_UDP)
		return true;
	if (fl->proto != up->proto)
		return false;
	if (up->sport && (!fl->ports ||
			  (fl->sport ^ up->sport) & up->sport_mask))
		return false;
	if (up->dport && (!fl->ports ||
			  (fl->dport ^ up->dport) & up->dport_mask))
		return false;
	return true;
}
