/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The flat contract between the C shim (strongswan-plugin/) and the Rust core (src/).
 *
 * It owns: every type and function that crosses the language boundary. The shim turns charon's
 * objects (host_t, chunk_t, traffic_selector_t, ...) into these plain structs and decides nothing;
 * src/abi/ turns these structs into checked Rust values. bindgen reads this header and nothing
 * else, so the core builds and tests without strongSwan.
 *
 * It must not: include a header of strongSwan, depend on the layout of one of its structs, or hold
 * pointers that outlive the call they are passed to (each exception is named where it stands).
 *
 * Numbers are in host byte order unless a comment says otherwise. Truth values in structs are bytes
 * (0 = no, anything else = yes), so that no bit pattern is invalid in either language. The size of
 * each struct is asserted at the end of the file, and its layout again by bindgen's output.
 */
#ifndef FASTSWAN_H_
#define FASTSWAN_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Changed whenever a struct or a function below changes; the core refuses another number. */
#define FASTSWAN_CONTRACT 4

/** Results of the methods; the shim maps them to status_t. */
enum {
	FS_SUCCESS = 0,
	FS_FAILED = 1,
	FS_NOT_FOUND = 2,
	FS_NOT_SUPPORTED = 3,
	FS_ALREADY_DONE = 4,
};

/** ipsec_mode_t, renumbered so that no version's enum order matters. */
enum {
	FS_MODE_NONE = 0,
	FS_MODE_TRANSPORT = 1,
	FS_MODE_TUNNEL = 2,
	FS_MODE_BEET = 3,
	FS_MODE_PASS = 4,
	FS_MODE_DROP = 5,
	FS_MODE_IPTFS = 6,
};

/** policy_dir_t */
enum {
	FS_DIR_IN = 0,
	FS_DIR_OUT = 1,
	FS_DIR_FWD = 2,
};

/** policy_type_t */
enum {
	FS_POLICY_IPSEC = 1,
	FS_POLICY_PASS = 2,
	FS_POLICY_DROP = 3,
};

/** policy_priority_t */
enum {
	FS_PRIO_PASS = 0,
	FS_PRIO_DEFAULT = 1,
	FS_PRIO_ROUTED = 2,
	FS_PRIO_FALLBACK = 3,
};

/** hw_offload_t */
enum {
	FS_OFFLOAD_NO = 0,
	FS_OFFLOAD_CRYPTO = 1,
	FS_OFFLOAD_PACKET = 2,
	FS_OFFLOAD_AUTO = 3,
};

/** dscp_copy_t */
enum {
	FS_DSCP_OUT_ONLY = 0,
	FS_DSCP_IN_ONLY = 1,
	FS_DSCP_YES = 2,
	FS_DSCP_NO = 3,
};

/** Bits of kernel_feature_t, mapped by the shim to what the version at hand knows. */
enum {
	FS_FEATURE_ESP_V3_TFC = 1 << 0,
	FS_FEATURE_POLICY_SPI = 1 << 1,
	FS_FEATURE_SA_USE_TIME = 1 << 2,
	FS_FEATURE_ACQUIRE_SEQ = 1 << 3,
};

/** Log groups: the shim maps them to debug_t, whose numbers differ by version. */
enum {
	FS_LOG_KNL = 0,
	FS_LOG_LIB = 1,
};

/** kernel_ipsec_add_sa_t.cpu when no CPU is meant */
#define FS_CPU_NONE UINT32_MAX

/** Room for the name of an interface with its NUL (IFNAMSIZ). */
#define FS_INTERFACE_SIZE 16
/** Room for the kernel's name of an algorithm with its NUL. */
#define FS_ALGORITHM_SIZE 64

/** host_t: an address and, for NAT-T, a UDP port. family is AF_INET, AF_INET6 or 0 (none). */
struct fs_addr {
	uint16_t family;
	uint16_t port;
	/** network order; an IPv4 address uses the first four bytes */
	uint8_t bytes[16];
};

/** chunk_t: borrowed bytes; ptr may be NULL only if len is 0 */
struct fs_chunk {
	const uint8_t *ptr;
	size_t len;
};

/** traffic_selector_t: an address range, a protocol (0 = any) and a port range.
 *  For ICMP, type and code sit in the high and low byte of each port, as in RFC 7296, 3.13.1. */
struct fs_ts {
	uint16_t family;
	uint8_t proto;
	uint8_t reserved;
	uint16_t from_port;
	uint16_t to_port;
	uint8_t from[16];
	uint8_t to[16];
};

/** a borrowed list of traffic selectors */
struct fs_ts_list {
	const struct fs_ts *items;
	size_t len;
};

struct fs_mark {
	uint32_t value;
	uint32_t mask;
};

/** one row of lifetime_cfg_t; 0 means no limit */
struct fs_limit {
	uint64_t life;
	uint64_t rekey;
	uint64_t jitter;
};

/** lifetime_cfg_t: seconds, bytes, packets */
struct fs_lifetime {
	struct fs_limit time;
	struct fs_limit bytes;
	struct fs_limit packets;
};

/** kernel_ipsec_sa_id_t */
struct fs_sa_id {
	struct fs_addr src;
	struct fs_addr dst;
	/** network byte order, as charon holds it */
	uint32_t spi;
	uint32_t if_id;
	struct fs_mark mark;
	uint8_t proto;
	uint8_t reserved[7];
};

/** kernel_ipsec_add_sa_t. A field that the version at hand does not have is set by the shim to the
 *  value that means "not used". */
struct fs_sa {
	struct fs_ts_list src_ts;
	struct fs_ts_list dst_ts;
	/** NUL terminated or NULL */
	const char *interface;
	/** connection and unique ID of the calling thread's IKE_SA ("gw-gw[3]"), NUL terminated or
	 *  NULL: for messages */
	const char *name;
	struct fs_chunk enc_key;
	struct fs_chunk int_key;
	/** security label in its encoding (with the terminating NUL, if any), or empty */
	struct fs_chunk label;
	struct fs_lifetime lifetime;
	uint32_t reqid;
	uint32_t seq;
	uint32_t replay_window;
	uint32_t tfc;
	uint32_t cpu;
	struct fs_mark set_mark;
	uint16_t enc_alg;
	uint16_t int_alg;
	uint16_t ipcomp;
	/** host order, unlike charon's */
	uint16_t cpi;
	uint8_t mode;
	uint8_t hw_offload;
	uint8_t copy_dscp;
	uint8_t encap;
	uint8_t esn;
	uint8_t copy_df;
	uint8_t copy_ecn;
	uint8_t iptfs_dont_frag;
	uint8_t forward_icmp;
	uint8_t initiator;
	uint8_t inbound;
	uint8_t update;
};

/** kernel_ipsec_update_sa_t. Up to 6.0.6 charon says no more than the addresses, the encapsulation and
 *  a reqid that changes; the rest is there if known is set. */
struct fs_update_sa {
	struct fs_addr new_src;
	struct fs_addr new_dst;
	/** selectors with the new addresses, as in struct fs_sa */
	struct fs_ts_list src_ts;
	struct fs_ts_list dst_ts;
	/** NUL terminated or NULL */
	const char *interface;
	/** 0 if not known */
	uint32_t old_reqid;
	/** 0 if unchanged, in every version */
	uint32_t new_reqid;
	/** host order */
	uint16_t cpi;
	uint8_t encap;
	uint8_t new_encap;
	/** the selectors, the interface and the fields below are what charon says */
	uint8_t known;
	uint8_t mode;
	uint8_t hw_offload;
	uint8_t inbound;
};

/** kernel_ipsec_policy_id_t */
struct fs_policy_id {
	struct fs_ts src_ts;
	struct fs_ts dst_ts;
	const char *interface;
	struct fs_chunk label;
	struct fs_mark mark;
	uint32_t if_id;
	uint8_t dir;
	uint8_t reserved[3];
};

/** kernel_ipsec_manage_policy_t with its ipsec_sa_cfg_t; mode is FS_MODE_NONE if there is none */
struct fs_policy {
	/** connection and unique ID, as in struct fs_sa */
	const char *name;
	struct fs_addr src;
	struct fs_addr dst;
	/** 0 if automatic; what kernel_netlink_get_priority_custom() says, if the process has it */
	uint32_t manual_prio;
	uint32_t reqid;
	uint32_t policy_count;
	/** network byte order; 0 if none */
	uint32_t esp_spi;
	uint32_t ah_spi;
	uint16_t ipcomp;
	/** host order */
	uint16_t cpi;
	uint8_t type;
	uint8_t prio;
	uint8_t hw_offload;
	uint8_t mode;
	uint8_t esp;
	uint8_t ah;
	uint8_t pcpu_acquires;
	uint8_t forward_icmp;
};

/** query_sa's and query_policy's answer */
struct fs_usage {
	uint64_t bytes;
	uint64_t packets;
	/** seconds of the monotonic clock; 0 = never used or not known */
	int64_t use_time;
};

/** an XFRM interface, as kernel_netlink_xfrmi_t reports it */
struct fs_xfrmi {
	char name[FS_INTERFACE_SIZE];
	/** interface below, empty if none */
	char phys[FS_INTERFACE_SIZE];
	uint32_t if_id;
	uint32_t mtu;
};

/** an acquire, as kernel_acquire_data_t wants it; everything is borrowed for the call */
struct fs_acquire {
	uint32_t reqid;
	uint32_t cpu;
	uint32_t seq;
	uint32_t reserved;
	struct fs_ts src;
	struct fs_ts dst;
	struct fs_chunk label;
};

/** one address pair of a migrate */
struct fs_migrate {
	uint32_t reqid;
	uint8_t dir;
	uint8_t reserved[3];
	struct fs_ts src_ts;
	struct fs_ts dst_ts;
	struct fs_addr local;
	struct fs_addr remote;
};

/** one CHILD_SA of a loaded connection; everything is borrowed for the call */
struct fs_child {
	const char *connection;
	const char *name;
	/** set by the user; 0 if charon chooses one */
	uint32_t reqid;
	uint8_t hw_offload;
	uint8_t mode;
	uint8_t reserved[2];
};

/**
 * What the core asks of charon. The shim fills it once; all functions may be called from any
 * thread, but none while the core holds a lock of its own.
 */
struct fs_host {
	/** FASTSWAN_CONTRACT */
	uint32_t contract;
	/** size of this struct as the shim was compiled */
	uint32_t size;

	/** level 0 (audit) to 4 (private); text is NUL terminated and not a format */
	void (*log)(uint32_t group, int32_t level, const char *text);

	/** settings below charon.: "plugins.kernel-fastswan.x", "install_routes" */
	bool (*get_bool)(const char *key, bool fallback);
	int64_t (*get_int)(const char *key, int64_t fallback);
	/** copies at most size - 1 bytes and a NUL; returns the length of the whole value, or -1 if
	 *  unset */
	int64_t (*get_str)(const char *key, char *buf, size_t size);

	/** charon->kernel events; see kernel_interface.h */
	void (*acquire)(const struct fs_acquire *data);
	void (*expire)(uint8_t proto, uint32_t spi_be, const struct fs_addr *dst, bool hard);
	void (*mapping)(uint8_t proto, uint32_t spi_be, const struct fs_addr *dst,
					const struct fs_addr *new_remote);
	void (*migrate)(const struct fs_migrate *data);

	/** the inbound SPI of the CHILD_SA whose outbound SA has this SPI, among those of the IKE_SA that
	 *  the calling thread works on; false if it is none of them, or not yet. child_sa.h: get_spi */
	bool (*inbound_of)(uint32_t spi_be, uint32_t *inbound_be);

	/** an own address that lies in ts, for use as the source of a route; false if there is none.
	 *  is_vip tells whether it is a virtual address. kernel_interface.h: get_address_by_ts */
	bool (*address_by_ts)(const struct fs_ts *ts, struct fs_addr *addr, uint8_t *is_vip);
	/** the interface that holds an own, usable address; false if none. name has
	 *  FS_INTERFACE_SIZE bytes */
	bool (*interface_of)(const struct fs_addr *addr, char *name);
	/** next hop towards dest, as charon's network half sees it; false if none. The hop is the
	 *  unspecified address if dest is on the link. iface has FS_INTERFACE_SIZE bytes and is empty
	 *  if it is not known. prefix is -1 for a single address */
	bool (*nexthop)(const struct fs_addr *dest, int32_t prefix, const struct fs_addr *src,
					struct fs_addr *hop, char *iface);
	/** FS_SUCCESS, FS_ALREADY_DONE, FS_FAILED; gateway and iface may be NULL, src may be the
	 *  unspecified address */
	int32_t (*add_route)(const uint8_t *net, size_t net_len, uint8_t prefix,
						 const struct fs_addr *gateway, const struct fs_addr *src,
						 const char *iface, bool pass);
	int32_t (*del_route)(const uint8_t *net, size_t net_len, uint8_t prefix,
						 const struct fs_addr *gateway, const struct fs_addr *src,
						 const char *iface, bool pass);

	/** charon->kernel->lookup_algorithm: kernel's name for an algorithm that another plugin
	 *  registered. kind: 1 = encryption, 3 = integrity (transform_type_t). name has
	 *  FS_ALGORITHM_SIZE bytes */
	bool (*lookup_algorithm)(uint16_t alg, uint16_t kind, uint16_t *kernel_id, char *name);

	/** lib->watcher: call fs_ops.readable(token, fd) when fd is readable. The token is a number and
	 *  not a pointer, so that a late call finds nothing instead of freed memory */
	bool (*watch)(int fd, uint64_t token);
	/** waits for a call of readable that is under way; must not be made from one */
	void (*unwatch)(int fd);

	/** charon->backends: calls each, on this thread, for every CHILD_SA of every loaded connection
	 *  until it returns false. charon holds a lock of its own meanwhile. context is each's */
	void (*children)(bool (*each)(void *context, const struct fs_child *child), void *context);
	/** the user and group that charon gives its own sockets to (charon.user, charon.group) */
	void (*socket_owner)(uint32_t *uid, uint32_t *gid);
};

/** One instance of the core. */
struct fs_backend;

/**
 * What the shim asks of the core: kernel_ipsec_t, flat. Every function takes any pointer to be
 * NULL and any number to be wrong, answers FS_FAILED then, and never unwinds.
 */
struct fs_ops {
	/** FASTSWAN_CONTRACT */
	uint32_t contract;
	uint32_t size;

	/** NULL if it cannot work, with the reason in the log. version: strongSwan's, for the log.
	 *  host is copied. */
	struct fs_backend *(*create)(const struct fs_host *host, const char *version);
	void (*destroy)(struct fs_backend *backend);
	/** settings may have changed */
	bool (*reload)(struct fs_backend *backend);

	uint32_t (*get_features)(struct fs_backend *backend);
	int32_t (*get_spi)(struct fs_backend *backend, const struct fs_addr *src,
					   const struct fs_addr *dst, uint8_t proto, uint32_t *spi_be);
	int32_t (*get_cpi)(struct fs_backend *backend, const struct fs_addr *src,
					   const struct fs_addr *dst, uint16_t *cpi_be);
	int32_t (*add_sa)(struct fs_backend *backend, const struct fs_sa_id *id,
					  const struct fs_sa *data);
	int32_t (*update_sa)(struct fs_backend *backend, const struct fs_sa_id *id,
						 const struct fs_update_sa *data);
	int32_t (*query_sa)(struct fs_backend *backend, const struct fs_sa_id *id, uint16_t cpi,
						struct fs_usage *usage);
	int32_t (*del_sa)(struct fs_backend *backend, const struct fs_sa_id *id, uint16_t cpi);
	int32_t (*flush_sas)(struct fs_backend *backend);
	int32_t (*add_policy)(struct fs_backend *backend, const struct fs_policy_id *id,
						  const struct fs_policy *data);
	int32_t (*query_policy)(struct fs_backend *backend, const struct fs_policy_id *id,
							int64_t *use_time);
	int32_t (*del_policy)(struct fs_backend *backend, const struct fs_policy_id *id,
						  const struct fs_policy *data);
	int32_t (*flush_policies)(struct fs_backend *backend);
	bool (*bypass_socket)(struct fs_backend *backend, int fd, int family);
	bool (*enable_udp_decap)(struct fs_backend *backend, int fd, int family, uint16_t port);

	/** kernel_netlink_xfrmi_t: whether the kernel has XFRM interfaces and lets us make them */
	bool (*xfrmi_supported)(struct fs_backend *backend);
	/** makes one and sets it up; phys may be NULL, mtu 0 for the default */
	bool (*xfrmi_create)(struct fs_backend *backend, const char *name, uint32_t if_id,
						 const char *phys, uint32_t mtu);
	/** deletes the interface of this name, of whatever type it is */
	bool (*xfrmi_delete)(struct fs_backend *backend, const char *name);
	/** copies at most room of those there are; returns how many there are, or -1. items may be NULL
	 *  if room is 0 */
	int64_t (*xfrmi_list)(struct fs_backend *backend, struct fs_xfrmi *items, size_t room);

	/** on a thread of charon: a descriptor given to fs_host.watch is readable; false ends the
	 *  watching */
	bool (*readable)(uint64_t token, int fd);
};

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(struct fs_addr) == 20, "fs_addr");
_Static_assert(sizeof(struct fs_ts) == 40, "fs_ts");
_Static_assert(sizeof(struct fs_lifetime) == 72, "fs_lifetime");
_Static_assert(sizeof(struct fs_sa_id) == 64, "fs_sa_id");
_Static_assert(sizeof(struct fs_sa) == 216, "fs_sa");
_Static_assert(sizeof(struct fs_update_sa) == 96, "fs_update_sa");
_Static_assert(sizeof(struct fs_policy_id) == 120, "fs_policy_id");
_Static_assert(sizeof(struct fs_policy) == 80, "fs_policy");
_Static_assert(sizeof(struct fs_usage) == 24, "fs_usage");
_Static_assert(sizeof(struct fs_xfrmi) == 40, "fs_xfrmi");
_Static_assert(sizeof(struct fs_acquire) == 112, "fs_acquire");
_Static_assert(sizeof(struct fs_migrate) == 128, "fs_migrate");
_Static_assert(sizeof(struct fs_child) == 24, "fs_child");
_Static_assert(sizeof(struct fs_host) == 160, "fs_host");
_Static_assert(sizeof(struct fs_ops) == 184, "fs_ops");
#endif

#endif /* FASTSWAN_H_ */
