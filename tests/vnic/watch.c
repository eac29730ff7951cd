// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is on the wire, and whether it should be: every frame is classified,
 * and frames in clear are counted against the address pairs that the test
 * wrote. Called by the transmit and receive paths for each frame, and by
 * debugfs.c. It must know nothing of policies and states: the counts are there
 * to show a leak, also one that the tables themselves cause.
 */
#include <linux/ctype.h>
#include <linux/if_vlan.h>
#include <linux/inet.h>
#include <linux/udp.h>
#include <net/ipv6.h>

#include "vnic.h"

#define IKE_PORT	500
#define NATT_PORT	4500

static bool is_nd(const struct sk_buff *skb, int noff, const struct vnic_flow *fl)
{
	u8 type;

	if (fl->family != AF_INET6 || fl->proto != IPPROTO_ICMPV6 || fl->frag)
		return false;
	if (skb_copy_bits(skb, noff + fl->l4off, &type, 1))
		return false;
	/* RS, RA, NS, NA, redirect; MLD belongs to the link as well */
	return (type >= 133 && type <= 137) || (type >= 130 && type <= 132) ||
	       type == 143;
}

static bool is_igmp(const struct vnic_flow *fl)
{
	return fl->family == AF_INET && fl->proto == IPPROTO_IGMP;
}

static enum vnic_kind classify_udp(const struct sk_buff *skb, int noff,
				   const struct vnic_flow *fl)
{
	int off = noff + fl->l4off + sizeof(struct udphdr);
	__be32 marker;
	u8 first;

	if (fl->sport == htons(IKE_PORT) || fl->dport == htons(IKE_PORT))
		return VNIC_KIND_IKE;
	if (fl->sport != htons(NATT_PORT) && fl->dport != htons(NATT_PORT))
		return VNIC_KIND_CLEAR;
	if (skb_copy_bits(skb, off, &marker, sizeof(marker))) {
		/* a keepalive is a single 0xff */
		if (!skb_copy_bits(skb, off, &first, 1) && first == 0xff)
			return VNIC_KIND_IKE;
		return VNIC_KIND_CLEAR;
	}
	return marker ? VNIC_KIND_ESP : VNIC_KIND_IKE;
}

static enum vnic_kind classify(const struct sk_buff *skb, int noff,
			       const struct vnic_flow *fl)
{
	if (fl->proto == IPPROTO_ESP)
		return VNIC_KIND_ESP;
	if (is_nd(skb, noff, fl) || is_igmp(fl))
		return VNIC_KIND_OTHER;
	if (fl->proto == IPPROTO_UDP && fl->ports)
		return classify_udp(skb, noff, fl);
	return VNIC_KIND_CLEAR;
}

static bool in_prefix(const xfrm_address_t *addr, const xfrm_address_t *net,
		      u16 family, u8 plen)
{
	if (family == AF_INET)
		return !plen || !((addr->a4 ^ net->a4) &
				  htonl(~0U << (32 - plen)));
	return ipv6_prefix_equal(&addr->in6, &net->in6, plen);
}

/* A pair is matched in both orientations, since both are the same secret. */
static void watch_count(struct vnic_dev *vd, const struct vnic_flow *fl,
			bool ike, bool tx)
{
	struct vnic_watch *w;

	list_for_each_entry_rcu(w, &vd->watches, node) {
		if (w->family != fl->family)
			continue;
		if (!(in_prefix(&fl->saddr, &w->src, w->family, w->plen_s) &&
		      in_prefix(&fl->daddr, &w->dst, w->family, w->plen_d)) &&
		    !(in_prefix(&fl->daddr, &w->src, w->family, w->plen_s) &&
		      in_prefix(&fl->saddr, &w->dst, w->family, w->plen_d)))
			continue;
		if (ike)
			atomic64_inc(tx ? &w->ike_tx : &w->ike_rx);
		else
			atomic64_inc(tx ? &w->tx : &w->rx);
	}
}

/* @proto: the frame's EtherType (on transmit the skb's, see flow.c). */
enum vnic_kind vnic_watch_frame(struct vnic_dev *vd, const struct sk_buff *skb,
				__be16 proto, bool tx)
{
	struct vnic_flow fl, inner;
	enum vnic_kind kind;
	int off = ETH_HLEN;

	while (eth_type_vlan(proto)) {
		struct vlan_hdr vh;

		if (skb_copy_bits(skb, off, &vh, sizeof(vh)))
			return VNIC_KIND_OTHER;
		proto = vh.h_vlan_encapsulated_proto;
		off += VLAN_HLEN;
	}
	if (!vnic_flow_parse(skb, off, proto, &fl))
		return VNIC_KIND_OTHER;

	kind = classify(skb, off, &fl);
	if (kind != VNIC_KIND_CLEAR && kind != VNIC_KIND_IKE)
		return kind;
	watch_count(vd, &fl, kind == VNIC_KIND_IKE, tx);

	/* a packet in an unencrypted tunnel is as visible as outside of it */
	if (!fl.frag && (fl.proto == IPPROTO_IPIP || fl.proto == IPPROTO_IPV6) &&
	    vnic_flow_parse(skb, off + fl.l4off,
			    fl.proto == IPPROTO_IPIP ? htons(ETH_P_IP)
						     : htons(ETH_P_IPV6), &inner))
		watch_count(vd, &inner, false, tx);
	return kind;
}

static int parse_prefix(char *s, u16 *family, xfrm_address_t *addr, u8 *plen)
{
	char *slash = strchr(s, '/');
	int err;

	if (slash)
		*slash = '\0';
	memset(addr, 0, sizeof(*addr));
	if (strchr(s, ':')) {
		*family = AF_INET6;
		*plen = 128;
		if (!in6_pton(s, -1, addr->in6.s6_addr, -1, NULL))
			return -EINVAL;
	} else {
		*family = AF_INET;
		*plen = 32;
		if (!in4_pton(s, -1, (u8 *)&addr->a4, -1, NULL))
			return -EINVAL;
	}
	if (slash) {
		u8 max = *plen;

		err = kstrtou8(slash + 1, 10, plen);
		if (err)
			return err;
		if (*plen > max)
			return -EINVAL;
	}
	return 0;
}

void vnic_watch_clear(struct vnic_dev *vd)
{
	struct vnic_watch *w, *tmp;

	spin_lock_bh(&vd->watch_lock);
	list_for_each_entry_safe(w, tmp, &vd->watches, node) {
		list_del_rcu(&w->node);
		kfree_rcu(w, rcu);
	}
	vd->n_watch = 0;
	spin_unlock_bh(&vd->watch_lock);
}

static int watch_add(struct vnic_dev *vd, char *src, char *dst)
{
	struct vnic_watch *w;
	u16 family;
	int err;

	w = kzalloc(sizeof(*w), GFP_KERNEL);
	if (!w)
		return -ENOMEM;
	err = parse_prefix(src, &w->family, &w->src, &w->plen_s);
	if (!err)
		err = parse_prefix(dst, &family, &w->dst, &w->plen_d);
	if (!err && family != w->family)
		err = -EINVAL;
	if (!err) {
		spin_lock_bh(&vd->watch_lock);
		if (vd->n_watch >= VNIC_WATCH_MAX) {
			err = -ENOSPC;
		} else {
			vd->n_watch++;
			list_add_tail_rcu(&w->node, &vd->watches);
		}
		spin_unlock_bh(&vd->watch_lock);
	}
	if (err)
		kfree(w);
	return err;
}

/* "add SRC/LEN DST/LEN" or "clear" */
int vnic_watch_write(struct vnic_dev *vd, char *line)
{
	char *cmd = strsep(&line, " "), *src, *dst;

	if (!strcmp(cmd, "clear") && !line) {
		vnic_watch_clear(vd);
		return 0;
	}
	if (strcmp(cmd, "add") || !line)
		return -EINVAL;
	src = strsep(&line, " ");
	dst = strsep(&line, " ");
	if (!src || !dst || line)
		return -EINVAL;
	return watch_add(vd, src, dst);
}
