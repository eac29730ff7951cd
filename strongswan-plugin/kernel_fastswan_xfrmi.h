/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Manager of XFRM interfaces.
 *
 * Owns the object that other plugins of charon (charon-nm's) get by the name
 * "kernel-netlink-xfrmi". Used by kernel_fastswan_ipsec.c, which publishes it
 * and takes it back. Must not talk to the kernel: the core does.
 */

/**
 * @defgroup kernel_fastswan_xfrmi kernel_fastswan_xfrmi
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_XFRMI_H_
#define KERNEL_FASTSWAN_XFRMI_H_

#include <fastswan.h>

#include <plugins/kernel_netlink/kernel_netlink_xfrmi.h>

/**
 * Create the manager.
 *
 * @param ops			functions of the core
 * @param backend		instance of the core, which has to outlive the manager
 * @return				manager, NULL if the kernel has no XFRM interfaces
 */
kernel_netlink_xfrmi_t *kernel_fastswan_xfrmi_create(const struct fs_ops *ops,
													 struct fs_backend *backend);

/**
 * Destroy the manager.
 *
 * @param xfrmi			manager
 */
void kernel_fastswan_xfrmi_destroy(kernel_netlink_xfrmi_t *xfrmi);

#endif /** KERNEL_FASTSWAN_XFRMI_H_ @}*/
