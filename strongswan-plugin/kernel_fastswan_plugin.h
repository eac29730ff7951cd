/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registration of the plugin.
 *
 * Owns the features and the life of plugin_t. Called by src/abi/plugin.rs,
 * which holds the symbols that charon looks for. Must not touch the kernel.
 */

/**
 * @defgroup kernel_fastswan kernel_fastswan
 * @ingroup cplugins
 *
 * @defgroup kernel_fastswan_plugin kernel_fastswan_plugin
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_PLUGIN_H_
#define KERNEL_FASTSWAN_PLUGIN_H_

#include <plugins/plugin.h>

#include <fastswan.h>

typedef struct kernel_fastswan_plugin_t kernel_fastswan_plugin_t;

/**
 * Plugin that keeps SAs and policies in the NIC.
 */
struct kernel_fastswan_plugin_t {

	/**
	 * Implements plugin_t interface
	 */
	plugin_t plugin;
};

/**
 * Create the plugin.
 *
 * @param ops			functions of the core, valid for ever
 * @return				plugin, NULL if it does not fit this strongSwan
 */
plugin_t *kernel_fastswan_plugin_new(const struct fs_ops *ops);

#endif /** KERNEL_FASTSWAN_PLUGIN_H_ @}*/
