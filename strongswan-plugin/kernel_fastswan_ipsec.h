/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kernel_ipsec_t over the core.
 *
 * Owns the conversion of charon's objects to the structs of fastswan.h and of
 * results back. Registered by kernel_fastswan_plugin. Must not decide anything:
 * what charon hands over goes to the core as it is, NULL included.
 */

/**
 * @defgroup kernel_fastswan_ipsec kernel_fastswan_ipsec
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_IPSEC_H_
#define KERNEL_FASTSWAN_IPSEC_H_

#include <kernel/kernel_ipsec.h>

#include <fastswan.h>

typedef struct kernel_fastswan_ipsec_t kernel_fastswan_ipsec_t;

/**
 * Implementation of the kernel's IPsec interface that uses packet offload.
 */
struct kernel_fastswan_ipsec_t {

	/**
	 * Implements kernel_ipsec_t interface
	 */
	kernel_ipsec_t interface;
};

/**
 * Set the core's functions, before the first instance is created.
 *
 * @param ops			functions, valid for ever
 * @return				FALSE if the core is not the one this was compiled with
 */
bool kernel_fastswan_ipsec_init(const struct fs_ops *ops);

/**
 * Create an instance.
 *
 * The type is that of a kernel_ipsec_constructor_t.
 *
 * @return				instance, NULL if the core cannot work here
 */
kernel_ipsec_t *kernel_fastswan_ipsec_create();

/**
 * Get the number of times the constructor was called.
 *
 * @return				number of calls, successful or not
 */
u_int kernel_fastswan_ipsec_attempts();

/**
 * Let the active instance read its settings again.
 *
 * @return				TRUE if there is one and it did
 */
bool kernel_fastswan_ipsec_reload();

#endif /** KERNEL_FASTSWAN_IPSEC_H_ @}*/
