/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * charon's objects as the flat structs of fastswan.h, and back.
 *
 * Owns nothing: every result is a value or an object of the caller. Used by
 * kernel_fastswan_ipsec (to flat) and kernel_fastswan_host (both ways). Must
 * accept NULL wherever charon could have it.
 */

/**
 * @defgroup kernel_fastswan_convert kernel_fastswan_convert
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_CONVERT_H_
#define KERNEL_FASTSWAN_CONVERT_H_

#include <networking/host.h>
#include <selectors/traffic_selector.h>
#include <selectors/sec_label.h>
#include <ipsec/ipsec_types.h>

#include <fastswan.h>

/**
 * Convert a host.
 *
 * @param host			host, or NULL
 * @return				address, of family 0 if there is none
 */
struct fs_addr fastswan_from_host(host_t *host);

/**
 * Convert an address.
 *
 * @param addr			address, or NULL
 * @return				allocated host, NULL if there is no address
 */
host_t *fastswan_to_host(const struct fs_addr *addr);

/**
 * Convert a traffic selector.
 *
 * @param ts			traffic selector, or NULL
 * @return				traffic selector, of family 0 if there is none
 */
struct fs_ts fastswan_from_ts(traffic_selector_t *ts);

/**
 * Convert a traffic selector.
 *
 * @param ts			traffic selector, or NULL
 * @return				allocated traffic selector, NULL if there is none
 */
traffic_selector_t *fastswan_to_ts(const struct fs_ts *ts);

/**
 * Borrow the bytes of a chunk.
 *
 * @param chunk			chunk
 * @return				borrowed bytes
 */
struct fs_chunk fastswan_from_chunk(chunk_t chunk);

/**
 * Borrow the encoding of a security label.
 *
 * @param label			label, or NULL
 * @return				borrowed bytes, none if there is no label
 */
struct fs_chunk fastswan_from_label(sec_label_t *label);

/**
 * Convert a mode.
 *
 * @param mode			mode
 * @return				FS_MODE_*, UINT8_MAX for one that is not known
 */
uint8_t fastswan_from_mode(ipsec_mode_t mode);

/**
 * Convert what is asked for.
 *
 * @param offload		hw_offload of a CHILD_SA
 * @return				FS_OFFLOAD_*, UINT8_MAX for one that is not known
 */
uint8_t fastswan_from_offload(hw_offload_t offload);

#endif /** KERNEL_FASTSWAN_CONVERT_H_ @}*/
