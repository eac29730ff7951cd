// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tap: a netdev on which every frame that crosses a pair is seen, and on
 * which nothing can be sent. Created by main.c with the pair; called by xmit.c
 * for each frame. It must not disturb the frame, nor let the stack use it:
 * frames arrive as "for another host", the device has no address, no
 * neighbours, no carrier, and its queue is never activated.
 */
#include <linux/if_arp.h>

#include "vnic.h"

struct wire_priv {
	struct vnic_pair	*pair;
};

static netdev_tx_t wire_xmit(struct sk_buff *skb, struct net_device *dev)
{
	kfree_skb(skb);
	dev_core_stats_tx_dropped_inc(dev);
	return NETDEV_TX_OK;
}

static void wire_uninit(struct net_device *dev)
{
	struct wire_priv *wp = netdev_priv(dev);

	if (rcu_access_pointer(wp->pair->wire) == dev)
		RCU_INIT_POINTER(wp->pair->wire, NULL);
}

static void wire_free(struct net_device *dev)
{
	struct wire_priv *wp = netdev_priv(dev);

	vnic_pair_put(wp->pair);
}

static const struct net_device_ops wire_ops = {
	.ndo_start_xmit		= wire_xmit,
	.ndo_uninit		= wire_uninit,
	.ndo_get_stats64	= dev_get_tstats64,
};

static void wire_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &wire_ops;
	dev->flags |= IFF_NOARP;
	dev->flags &= ~IFF_MULTICAST;
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_NO_QUEUE | IFF_NO_ADDRCONF;
	dev->lltx = true;
	dev->mtu = ETH_MAX_MTU;
	dev->max_mtu = ETH_MAX_MTU;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->needs_free_netdev = true;
}

/* Under RTNL. @base: the first end's name; the tap is <base>wire or wireN. */
int vnic_wire_create(struct net *net, struct vnic_pair *pair, const char *base)
{
	struct net_device *dev;
	struct wire_priv *wp;
	char name[IFNAMSIZ];
	int err;

	if (snprintf(name, sizeof(name), "%swire", base) >= sizeof(name) ||
	    __dev_get_by_name(net, name))
		strscpy(name, "wire%d", sizeof(name));
	dev = alloc_netdev(sizeof(*wp), name, NET_NAME_ENUM, wire_setup);
	if (!dev)
		return -ENOMEM;
	dev_net_set(dev, net);
	eth_hw_addr_random(dev);
	wp = netdev_priv(dev);
	wp->pair = pair;
	refcount_inc(&pair->refs);
	err = register_netdevice(dev);
	if (err) {
		vnic_pair_put(pair);
		free_netdev(dev);
		return err;
	}
	dev->priv_destructor = wire_free;
	netif_carrier_off(dev);
	rcu_assign_pointer(pair->wire, dev);
	return 0;
}

/* Delivered at once, not by the backlog, so that no frame is lost or late. */
void vnic_wire_tap(struct vnic_pair *pair, const struct sk_buff *skb)
{
	struct net_device *wire = rcu_dereference(pair->wire);
	struct sk_buff *copy;

	if (!wire || !netif_running(wire))
		return;
	copy = skb_copy(skb, GFP_ATOMIC);
	if (!copy) {
		dev_core_stats_rx_dropped_inc(wire);
		return;
	}
	skb_orphan(copy);
	skb_scrub_packet(copy, true);
	skb_ext_reset(copy);
	copy->ip_summed = CHECKSUM_NONE;
	copy->protocol = eth_type_trans(copy, wire);
	copy->pkt_type = PACKET_OTHERHOST;
	dev_sw_netstats_rx_add(wire, skb->len);
	netif_receive_skb(copy);
}
