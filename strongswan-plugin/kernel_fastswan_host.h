/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the core may ask of charon.
 *
 * Owns the functions behind struct fs_host. Filled in by kernel_fastswan_ipsec,
 * called by the core on any thread. Must not keep anything of what it is given.
 */

/**
 * @defgroup kernel_fastswan_host kernel_fastswan_host
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_HOST_H_
#define KERNEL_FASTSWAN_HOST_H_

#include <fastswan.h>

/**
 * Fill in the functions.
 *
 * @param host			struct to fill
 * @param ops			the core's functions, valid for ever
 */
void fastswan_host_init(struct fs_host *host, const struct fs_ops *ops);

#endif /** KERNEL_FASTSWAN_HOST_H_ @}*/
