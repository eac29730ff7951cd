/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The differences between the kernels this module is built for (Debian's
 * 6.12 and 7.3 cloud kernels), and nothing else. Included by vnic.h only.
 * A rule of the model must never depend on the kernel's release: what differs
 * here is how the kernel calls us, not what the device does.
 */
#ifndef VNIC_COMPAT_H
#define VNIC_COMPAT_H

#include <linux/version.h>
#include <linux/netdevice.h>
#include <linux/debugfs.h>
#include <net/rtnetlink.h>
#include <net/xfrm.h>

/*
 * Since 6.16 the kernel names the device in state_add/delete/free, so that a
 * bond can pass its slave; before, the slave is found in xso.real_dev.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define VNIC_STATE_OPS_NAME_DEV	1
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define VNIC_NEWLINK_PARAMS	1
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define VNIC_LINK_PEER_TYPE	1
#endif

static inline void vnic_debugfs_name(struct dentry *parent, struct dentry *d,
				     const char *name)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	debugfs_change_name(d, "%s", name);
#else
	debugfs_rename(parent, d, parent, name);
#endif
}

static inline void vnic_unregister_queue(struct net *net,
					 struct net_device *dev,
					 struct list_head *head)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	unregister_netdevice_queue_net(net, dev, head);
#else
	unregister_netdevice_queue(dev, head);
#endif
}

#endif /* VNIC_COMPAT_H */
