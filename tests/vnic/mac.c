// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The frozen MAC addresses of tunnel mode (rule S6). Called by sa.c when a
 * state is added and by the kernel's neighbour events. It must not be asked
 * per packet, and must not renew an address for any other reason: that the
 * card does not follow a gateway's new address is what it models.
 */
#include <linux/inetdevice.h>
#include <net/arp.h>
#include <net/dst.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/ndisc.h>
#include <net/neighbour.h>
#include <net/netevent.h>
#include <net/route.h>

#include "vnic.h"

static struct dst_entry *mac_route(struct vnic_sa *sa, struct xfrm_state *x,
				   struct net *net, const xfrm_address_t *remote,
				   const xfrm_address_t *local)
{
	if (sa->family == AF_INET) {
		struct flowi4 fl4 = {
			.daddr = remote->a4,
			.saddr = local->a4,
			.flowi4_proto = x->sel.proto,
		};
		struct rtable *rt = ip_route_output_key(net, &fl4);

		if (IS_ERR(rt))
			return NULL;
		if (rt->rt_type != RTN_UNICAST) {
			ip_rt_put(rt);
			return NULL;
		}
		return &rt->dst;
	} else {
		struct flowi6 fl6 = {
			.daddr = remote->in6,
			.saddr = local->in6,
			.flowi6_proto = x->sel.proto,
		};
		struct dst_entry *dst = NULL;

		if (ip6_dst_lookup(net, NULL, &dst, &fl6))
			return NULL;
		return dst;
	}
}

static void mac_set(struct vnic_sa *sa, const u8 *mac)
{
	spin_lock_bh(&sa->lock);
	ether_addr_copy(sa->peer_mac, mac);
	spin_unlock_bh(&sa->lock);
}

/*
 * Returns the neighbour whose resolution is to be started, with a reference,
 * or NULL. The caller does that once the state can be found by the update: the
 * answer comes at once here. (mlx5 asks before that, and can miss an answer
 * that is faster than its firmware; that race is not modelled.)
 */
struct neighbour *vnic_mac_resolve(struct vnic_sa *sa, struct xfrm_state *x,
				   struct net_device *dev)
{
	const xfrm_address_t *remote, *local;
	struct net *net = dev_net(dev);
	struct neighbour *n = NULL;
	struct dst_entry *dst;
	u8 mac[ETH_ALEN];

	ether_addr_copy(sa->own_mac, dev->dev_addr);
	if (sa->mode != XFRM_MODE_TUNNEL || sa->type != XFRM_DEV_OFFLOAD_PACKET)
		return NULL;

	if (sa->dir == XFRM_DEV_OFFLOAD_IN) {
		remote = &sa->saddr;
		local = &sa->daddr;
	} else {
		remote = &sa->daddr;
		local = &sa->saddr;
	}

	dst = mac_route(sa, x, net, remote, local);
	if (dst)
		n = dst_neigh_lookup(dst, remote);
	if (n) {
		memcpy(&sa->nexthop, n->primary_key,
		       sa->family == AF_INET ? 4 : sizeof(struct in6_addr));
		neigh_ha_snapshot(mac, n, dev);
		mac_set(sa, mac);
		dst_release(dst);
		if (sa->dir == XFRM_DEV_OFFLOAD_OUT && is_zero_ether_addr(mac))
			return n;
		neigh_release(n);
		return NULL;
	}
	dst_release(dst);

	/*
	 * No route: mlx5 falls back to the ARP table, also for IPv6, where
	 * the lookup can find nothing. The rule drops until an update comes.
	 */
	if (sa->family == AF_INET) {
		n = neigh_lookup(&arp_tbl, remote, dev);
		if (n) {
			neigh_ha_snapshot(mac, n, dev);
			mac_set(sa, mac);
			neigh_release(n);
			return NULL;
		}
		n = neigh_create(&arp_tbl, remote, dev);
		if (IS_ERR(n))
			return NULL;
	}
	sa->failed_closed = true;
	return n;
}

/*
 * The neighbour's device is not compared, only its key, as on the card. Its
 * namespace is, since on a real machine no other one could reach the port.
 */
static void mac_update(struct vnic_dev *vd, struct neighbour *n)
{
	struct vnic_sa *sa;
	u8 mac[ETH_ALEN];

	list_for_each_entry_rcu(sa, &vd->sas, all) {
		const xfrm_address_t *key = (const void *)n->primary_key;

		if (sa->mode != XFRM_MODE_TUNNEL || !READ_ONCE(sa->x) ||
		    sa->type != XFRM_DEV_OFFLOAD_PACKET ||
		    sa->family != n->tbl->family)
			continue;
		if (!vnic_addr_eq(key, &sa->saddr, sa->family) &&
		    !vnic_addr_eq(key, &sa->daddr, sa->family) &&
		    (vnic_knob(vd, freeze_mac) ||
		     !vnic_addr_eq(key, &sa->nexthop, sa->family)))
			continue;
		neigh_ha_snapshot(mac, n, vd->dev);
		mac_set(sa, mac);
		WRITE_ONCE(sa->failed_closed, false);
		vnic_count(vd, mac_updates);
	}
}

int vnic_netevent(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct neighbour *n = ptr;
	struct vnic_dev *vd;

	if (event != NETEVENT_NEIGH_UPDATE || !(n->nud_state & NUD_VALID))
		return NOTIFY_DONE;

	rcu_read_lock();
	list_for_each_entry_rcu(vd, &vnic_devs, list)
		if (net_eq(dev_net(vd->dev), dev_net(n->dev)))
			mac_update(vd, n);
	rcu_read_unlock();
	return NOTIFY_DONE;
}
