/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * charon's objects as the flat structs of fastswan.h, and back.
 */

#include "kernel_fastswan_convert.h"

/**
 * Length of an address of a family, 0 if it is not IP.
 */
static size_t address_len(int family)
{
	switch (family)
	{
		case AF_INET:
			return 4;
		case AF_INET6:
			return 16;
		default:
			return 0;
	}
}

/*
 * see header file
 */
struct fs_addr fastswan_from_host(host_t *host)
{
	struct fs_addr addr = {};
	chunk_t bytes;
	int family;

	if (!host)
	{
		return addr;
	}
	family = host->get_family(host);
	bytes = host->get_address(host);
	if (bytes.len && bytes.len == address_len(family))
	{
		addr.family = family;
		addr.port = host->get_port(host);
		memcpy(addr.bytes, bytes.ptr, bytes.len);
	}
	return addr;
}

/*
 * see header file
 */
host_t *fastswan_to_host(const struct fs_addr *addr)
{
	size_t len;

	len = addr ? address_len(addr->family) : 0;
	if (!len)
	{
		return NULL;
	}
	return host_create_from_chunk(addr->family,
								  chunk_create((u_char*)addr->bytes, len),
								  addr->port);
}

/*
 * see header file
 */
struct fs_ts fastswan_from_ts(traffic_selector_t *ts)
{
	struct fs_ts flat = {};
	chunk_t from, to;
	int family;

	if (!ts)
	{
		return flat;
	}
	family = ts->get_type(ts) == TS_IPV6_ADDR_RANGE ? AF_INET6 : AF_INET;
	from = ts->get_from_address(ts);
	to = ts->get_to_address(ts);
	if (from.len == address_len(family) && to.len == address_len(family))
	{
		flat.family = family;
		flat.proto = ts->get_protocol(ts);
		flat.from_port = ts->get_from_port(ts);
		flat.to_port = ts->get_to_port(ts);
		memcpy(flat.from, from.ptr, from.len);
		memcpy(flat.to, to.ptr, to.len);
	}
	return flat;
}

/*
 * see header file
 */
traffic_selector_t *fastswan_to_ts(const struct fs_ts *ts)
{
	size_t len;

	len = ts ? address_len(ts->family) : 0;
	if (!len)
	{
		return NULL;
	}
	return traffic_selector_create_from_bytes(ts->proto,
				ts->family == AF_INET ? TS_IPV4_ADDR_RANGE : TS_IPV6_ADDR_RANGE,
				chunk_create((u_char*)ts->from, len), ts->from_port,
				chunk_create((u_char*)ts->to, len), ts->to_port);
}

/*
 * see header file
 */
struct fs_chunk fastswan_from_chunk(chunk_t chunk)
{
	return (struct fs_chunk){
		.ptr = chunk.ptr,
		.len = chunk.len,
	};
}

/*
 * see header file
 */
struct fs_chunk fastswan_from_label(sec_label_t *label)
{
	if (!label)
	{
		return (struct fs_chunk){};
	}
	return fastswan_from_chunk(label->get_encoding(label));
}

/*
 * see header file
 */
uint8_t fastswan_from_mode(ipsec_mode_t mode)
{
	switch (mode)
	{
		case MODE_NONE:
			return FS_MODE_NONE;
		case MODE_TRANSPORT:
			return FS_MODE_TRANSPORT;
		case MODE_TUNNEL:
			return FS_MODE_TUNNEL;
		case MODE_BEET:
			return FS_MODE_BEET;
		case MODE_PASS:
			return FS_MODE_PASS;
		case MODE_DROP:
			return FS_MODE_DROP;
#ifdef FASTSWAN_HAVE_MODE_IPTFS
		case MODE_IPTFS:
			return FS_MODE_IPTFS;
#endif
	}
	/* refused by the core */
	return UINT8_MAX;
}

/*
 * see header file
 */
uint8_t fastswan_from_offload(hw_offload_t offload)
{
	switch (offload)
	{
		case HW_OFFLOAD_NO:
			return FS_OFFLOAD_NO;
		case HW_OFFLOAD_CRYPTO:
			return FS_OFFLOAD_CRYPTO;
		case HW_OFFLOAD_PACKET:
			return FS_OFFLOAD_PACKET;
		case HW_OFFLOAD_AUTO:
			return FS_OFFLOAD_AUTO;
	}
	return UINT8_MAX;
}
