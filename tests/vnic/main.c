// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module and its devices: link type "vnic", pairs like veth's, their tap,
 * and what the kernel tells us about names and neighbours. Called by rtnetlink
 * and the notifier chains. It must not know of ESP.
 */
#include <linux/module.h>
#include <net/netevent.h>
#include <net/rtnetlink.h>

#include "vnic.h"

/* What an mlx5 port offers that bears on this model; no HW_ESP in hw_features,
 * so that ethtool cannot switch it off.
 */
#define VNIC_HW_FEATURES	(NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA | \
				 NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN | \
				 NETIF_F_GSO_UDP_L4)

struct workqueue_struct *vnic_wq;
LIST_HEAD(vnic_devs);
static u32 vnic_next_id;
static u32 vnic_next_pair;

static const struct net_device_ops vnic_ops;

static bool is_vnic(const struct net_device *dev)
{
	return dev->netdev_ops == &vnic_ops;
}

#ifdef VNIC_STATE_OPS_NAME_DEV
static void ops_state_delete(struct net_device *dev, struct xfrm_state *x)
{
	vnic_state_delete(x);
}

static void ops_state_free(struct net_device *dev, struct xfrm_state *x)
{
	vnic_state_free(x);
}

#define ops_state_add	vnic_state_add
#else
/*
 * A bond of 6.12 sets real_dev only after the slave has accepted the state, so
 * that a slave's driver finds the bond there. Nothing sensible can be done with
 * such a call; the kernel then keeps a crypto-mode state in software.
 */
static int ops_state_add(struct xfrm_state *x, struct netlink_ext_ack *extack)
{
	struct net_device *dev = x->xso.real_dev ?: x->xso.dev;

	if (!is_vnic(dev))
		return -EOPNOTSUPP;
	return vnic_state_add(dev, x, extack);
}

#define ops_state_delete	vnic_state_delete
#define ops_state_free		vnic_state_free
#endif

static const struct xfrmdev_ops vnic_xfrmdev_ops = {
	.xdo_dev_state_add		= ops_state_add,
	.xdo_dev_state_delete		= ops_state_delete,
	.xdo_dev_state_free		= ops_state_free,
	.xdo_dev_state_advance_esn	= vnic_state_advance_esn,
	.xdo_dev_state_update_stats	= vnic_state_update_stats,
	.xdo_dev_policy_add		= vnic_policy_add,
	.xdo_dev_policy_delete		= vnic_policy_delete,
	.xdo_dev_policy_free		= vnic_policy_free,
};

void vnic_pair_put(struct vnic_pair *pair)
{
	if (refcount_dec_and_test(&pair->refs))
		kfree_rcu(pair, rcu);
}

static struct list_head *table_alloc(void)
{
	struct list_head *t;
	int i;

	t = kvmalloc_array(1 << VNIC_SA_HASH, sizeof(*t), GFP_KERNEL);
	for (i = 0; t && i < 1 << VNIC_SA_HASH; i++)
		INIT_LIST_HEAD(&t[i]);
	return t;
}

static int vnic_dev_init(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);

	vd->dev = dev;
	vd->id = ++vnic_next_id;
	skb_queue_head_init(&vd->ring);
	spin_lock_init(&vd->table_lock);
	spin_lock_init(&vd->watch_lock);
	INIT_LIST_HEAD(&vd->sas);
	INIT_LIST_HEAD(&vd->policies[0]);
	INIT_LIST_HEAD(&vd->policies[1]);
	INIT_LIST_HEAD(&vd->watches);
	vnic_knobs_init(vd);
	vnic_limits_init(vd);
	vd->sa_in = table_alloc();
	vd->sa_out = table_alloc();
	if (!vd->sa_in || !vd->sa_out) {
		kvfree(vd->sa_in);
		kvfree(vd->sa_out);
		vd->sa_in = NULL;
		vd->sa_out = NULL;
		return -ENOMEM;
	}
	vnic_debugfs_add(vd);
	list_add_tail_rcu(&vd->list, &vnic_devs);
	vnic_limits_start(vd);
	return 0;
}

/* The kernel has flushed the device's states and policies by now. */
static void vnic_dev_uninit(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);

	list_del_rcu(&vd->list);
	skb_queue_purge(&vd->ring);
	vnic_debugfs_del(vd);
	vnic_limits_stop(vd);
	vnic_watch_clear(vd);
	WARN_ON(!list_empty(&vd->policies[0]) || !list_empty(&vd->policies[1]));
}

static void untie(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);

	if (vd->pair)
		vnic_pair_put(vd->pair);
	vd->pair = NULL;
}

/* Also called where register_netdevice() fails half way. */
static void vnic_dev_free(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);

	WARN_ON(!list_empty(&vd->sas));
	kvfree(vd->sa_in);
	kvfree(vd->sa_out);
	untie(dev);
}

static int vnic_open(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);
	struct net_device *peer = rtnl_dereference(vd->peer);

	if (!peer)
		return -ENOTCONN;
	vnic_rx_open(vd);
	if (peer->flags & IFF_UP) {
		netif_carrier_on(dev);
		netif_carrier_on(peer);
	}
	return 0;
}

static int vnic_stop(struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);
	struct net_device *peer = rtnl_dereference(vd->peer);

	netif_carrier_off(dev);
	if (peer)
		netif_carrier_off(peer);
	vnic_rx_stop(vd);
	return 0;
}

static int vnic_iflink(const struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);
	struct net_device *peer;
	int iflink;

	rcu_read_lock();
	peer = rcu_dereference(vd->peer);
	iflink = peer ? READ_ONCE(peer->ifindex) : 0;
	rcu_read_unlock();
	return iflink;
}

/* Bonds and macvlans ask for it; every frame is received as it is. */
static void vnic_rx_mode(struct net_device *dev)
{
}

static const struct net_device_ops vnic_ops = {
	.ndo_init		= vnic_dev_init,
	.ndo_uninit		= vnic_dev_uninit,
	.ndo_open		= vnic_open,
	.ndo_stop		= vnic_stop,
	.ndo_start_xmit		= vnic_xmit,
	.ndo_get_stats64	= dev_get_tstats64,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_validate_addr	= eth_validate_addr,
	.ndo_set_rx_mode	= vnic_rx_mode,
	.ndo_get_iflink		= vnic_iflink,
	.ndo_setup_tc		= vnic_setup_tc,
};

static void vnic_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &vnic_ops;
	dev->ethtool_ops = &vnic_ethtool_ops;
	dev->xfrmdev_ops = &vnic_xfrmdev_ops;
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE | IFF_NO_QUEUE;
	/* Not lockless: a port sends in the order in which it numbers. Two CPUs
	 * that overtake each other would fall out of the replay window.
	 */
	dev->hw_features = VNIC_HW_FEATURES | NETIF_F_HW_TC;
	dev->features = VNIC_HW_FEATURES | NETIF_F_HW_TC | NETIF_F_HW_ESP;
	dev->hw_enc_features = VNIC_HW_FEATURES | NETIF_F_HW_ESP;
	dev->vlan_features = VNIC_HW_FEATURES;
	dev->max_mtu = ETH_MAX_MTU;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->needs_free_netdev = true;
	dev->priv_destructor = vnic_dev_free;
}

static int vnic_validate(struct nlattr *tb[], struct nlattr *data[],
			 struct netlink_ext_ack *extack)
{
	if (tb[IFLA_ADDRESS]) {
		if (nla_len(tb[IFLA_ADDRESS]) != ETH_ALEN)
			return -EINVAL;
		if (!is_valid_ether_addr(nla_data(tb[IFLA_ADDRESS])))
			return -EADDRNOTAVAIL;
	}
	return 0;
}

/*
 * The peer's name: from the peer attribute as with veth; else from the alias
 * attribute, which iproute2 can send for a link type it does not know
 * (`ip link add p0 alias p1 type vnic`); else vnicN.
 */
static void peer_name(char *name, struct nlattr *ptb[], struct nlattr *tb[])
{
	strscpy(name, VNIC_NAME "%d", IFNAMSIZ);
	if (ptb)
		nla_strscpy(name, ptb[IFLA_IFNAME], IFNAMSIZ);
	else if (tb[IFLA_IFALIAS] && nla_len(tb[IFLA_IFALIAS]) &&
		 nla_len(tb[IFLA_IFALIAS]) < IFNAMSIZ)
		nla_strscpy(name, tb[IFLA_IFALIAS], IFNAMSIZ);
}

static void tie(struct net_device *dev, struct net_device *peer,
		struct vnic_pair *pair, u8 end)
{
	struct vnic_dev *vd = netdev_priv(dev);

	vd->pair = pair;
	vd->end = end;
	refcount_inc(&pair->refs);
	rcu_assign_pointer(vd->peer, peer);
}

static int vnic_link_new(struct net *net, struct net *peer_net,
			 struct net_device *dev, struct nlattr *tb[],
			 struct nlattr *data[], struct netlink_ext_ack *extack)
{
	struct nlattr *ptb[IFLA_MAX + 1], **pattrs = NULL;
	struct ifinfomsg *ifmp = NULL;
	struct net_device *peer;
	struct vnic_pair *pair;
	char name[IFNAMSIZ];
	int err;

	if (data && data[VNIC_INFO_PEER]) {
		ifmp = nla_data(data[VNIC_INFO_PEER]);
		err = rtnl_nla_parse_ifinfomsg(ptb, data[VNIC_INFO_PEER],
					       extack);
		if (err < 0)
			return err;
		err = vnic_validate(ptb, NULL, extack);
		if (err)
			return err;
		if (ptb[IFLA_IFNAME])
			pattrs = ptb;
	}
	peer_name(name, pattrs, tb);

	pair = kzalloc(sizeof(*pair), GFP_KERNEL);
	if (!pair)
		return -ENOMEM;
	refcount_set(&pair->refs, 1);
	pair->id = ++vnic_next_pair;

	peer = rtnl_create_link(peer_net, name,
				pattrs ? NET_NAME_USER : NET_NAME_ENUM,
				dev->rtnl_link_ops, ifmp ? ptb : tb, extack);
	if (IS_ERR(peer)) {
		err = PTR_ERR(peer);
		goto put_pair;
	}
	if (!ifmp || !ptb[IFLA_ADDRESS])
		eth_hw_addr_random(peer);
	if (!tb[IFLA_ADDRESS])
		eth_hw_addr_random(dev);
	tie(peer, dev, pair, 1);
	tie(dev, peer, pair, 0);

	err = register_netdevice(peer);
	if (err) {
		untie(peer);
		free_netdev(peer);
		goto put_tie;
	}
	netif_carrier_off(peer);
	err = rtnl_configure_link(peer, ifmp, 0, NULL);
	if (err < 0)
		goto unregister_peer;

	err = register_netdevice(dev);
	if (err)
		goto unregister_peer;
	netif_carrier_off(dev);

	err = vnic_wire_create(net, pair, dev->name);
	if (err)
		goto unregister_dev;
	vnic_pair_put(pair);
	return 0;

unregister_dev:
	RCU_INIT_POINTER(((struct vnic_dev *)netdev_priv(dev))->peer, NULL);
	RCU_INIT_POINTER(((struct vnic_dev *)netdev_priv(peer))->peer, NULL);
	unregister_netdevice(dev);
	unregister_netdevice(peer);
	vnic_pair_put(pair);
	return err;
unregister_peer:
	RCU_INIT_POINTER(((struct vnic_dev *)netdev_priv(peer))->peer, NULL);
	unregister_netdevice(peer);
put_tie:
	untie(dev);
put_pair:
	vnic_pair_put(pair);
	return err;
}

#ifdef VNIC_NEWLINK_PARAMS
static int vnic_newlink(struct net_device *dev, struct rtnl_newlink_params *p,
			struct netlink_ext_ack *extack)
{
	return vnic_link_new(dev_net(dev), rtnl_newlink_peer_net(p), dev, p->tb,
			     p->data, extack);
}
#else
static int vnic_newlink(struct net *src_net, struct net_device *dev,
			struct nlattr *tb[], struct nlattr *data[],
			struct netlink_ext_ack *extack)
{
	struct nlattr *ptb[IFLA_MAX + 1];
	struct net *net;
	int err;

	if (data && data[VNIC_INFO_PEER]) {
		err = rtnl_nla_parse_ifinfomsg(ptb, data[VNIC_INFO_PEER],
					       extack);
		if (err < 0)
			return err;
		net = rtnl_link_get_net(src_net, ptb);
	} else {
		net = rtnl_link_get_net(src_net, tb);
	}
	if (IS_ERR(net))
		return PTR_ERR(net);
	err = vnic_link_new(dev_net(dev), net, dev, tb, data, extack);
	put_net(net);
	return err;
}
#endif

static void vnic_dellink(struct net_device *dev, struct list_head *head)
{
	struct vnic_dev *vd = netdev_priv(dev), *pd;
	struct net *net = dev_net(dev);
	struct net_device *peer, *wire;

	/* both ends go together, and each of them only once */
	peer = rtnl_dereference(vd->peer);
	RCU_INIT_POINTER(vd->peer, NULL);
	unregister_netdevice_queue(dev, head);
	if (!peer)
		return;
	pd = netdev_priv(peer);
	RCU_INIT_POINTER(pd->peer, NULL);
	vnic_unregister_queue(net, peer, head);

	wire = rtnl_dereference(vd->pair->wire);
	if (wire) {
		RCU_INIT_POINTER(vd->pair->wire, NULL);
		vnic_unregister_queue(net, wire, head);
	}
}

static struct net *vnic_link_net(const struct net_device *dev)
{
	struct vnic_dev *vd = netdev_priv(dev);
	struct net_device *peer = rtnl_dereference(vd->peer);

	return peer ? dev_net(peer) : dev_net(dev);
}

static const struct nla_policy vnic_nla_policy[VNIC_INFO_MAX + 1] = {
	[VNIC_INFO_PEER] = { .len = sizeof(struct ifinfomsg) },
};

static struct rtnl_link_ops vnic_link_ops = {
	.kind		= VNIC_NAME,
	.priv_size	= sizeof(struct vnic_dev),
	.setup		= vnic_setup,
	.validate	= vnic_validate,
	.newlink	= vnic_newlink,
	.dellink	= vnic_dellink,
	.policy		= vnic_nla_policy,
#ifdef VNIC_LINK_PEER_TYPE
	.peer_type	= VNIC_INFO_PEER,
#endif
	.maxtype	= VNIC_INFO_MAX,
	.get_link_net	= vnic_link_net,
};

/* A move to another namespace may rename too; REGISTER comes after it. */
static int vnic_netdev_event(struct notifier_block *nb, unsigned long event,
			     void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);

	if (is_vnic(dev) &&
	    (event == NETDEV_CHANGENAME || event == NETDEV_REGISTER))
		vnic_debugfs_rename(netdev_priv(dev));
	return NOTIFY_DONE;
}

static struct notifier_block vnic_netdev_nb = {
	.notifier_call = vnic_netdev_event,
};

static struct notifier_block vnic_netevent_nb = {
	.notifier_call = vnic_netevent,
};

static int __init vnic_init(void)
{
	int err;

	vnic_wq = alloc_workqueue("vnic", WQ_UNBOUND, 0);
	if (!vnic_wq)
		return -ENOMEM;
	err = vnic_log_init();
	if (err)
		goto wq;
	vnic_debugfs_init();
	err = register_netdevice_notifier(&vnic_netdev_nb);
	if (err)
		goto log;
	err = register_netevent_notifier(&vnic_netevent_nb);
	if (err)
		goto netdev;
	err = rtnl_link_register(&vnic_link_ops);
	if (err)
		goto netevent;
	return 0;

netevent:
	unregister_netevent_notifier(&vnic_netevent_nb);
netdev:
	unregister_netdevice_notifier(&vnic_netdev_nb);
log:
	vnic_debugfs_exit();
	vnic_log_exit();
wq:
	destroy_workqueue(vnic_wq);
	return err;
}

static void __exit vnic_exit(void)
{
	rtnl_link_unregister(&vnic_link_ops);
	unregister_netevent_notifier(&vnic_netevent_nb);
	unregister_netdevice_notifier(&vnic_netdev_nb);
	/* freed states wait for a grace period and then for the workqueue */
	rcu_barrier();
	destroy_workqueue(vnic_wq);
	vnic_debugfs_exit();
	vnic_log_exit();
}

module_init(vnic_init);
module_exit(vnic_exit);

MODULE_DESCRIPTION("Virtual NIC with XFRM packet offload as mlx5 does it");
MODULE_LICENSE("GPL");
MODULE_ALIAS_RTNL_LINK(VNIC_NAME);
MODULE_SOFTDEP("pre: esp4_offload esp6_offload");
