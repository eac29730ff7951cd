// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers of the netlink interface: what `libc` and `netlink-packet-xfrm` do not have, and the
//! offsets of the fixed structures that this directory reads and writes by itself.
//!
//! Owns the numbers and nothing else. Used all over `xfrm/` and `nic/`. Must not hold a number that
//! the kernel's uapi headers (linux/xfrm.h, linux/netlink.h, linux/ethtool_netlink.h,
//! linux/devlink.h) do not fix; the offsets are compared with the crate in `tests.rs`.
#![forbid(unsafe_code)]

pub use netlink_packet_xfrm::constants::{
    XFRM_INF, XFRM_MSG_ACQUIRE, XFRM_MSG_ALLOCSPI, XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA,
    XFRM_MSG_EXPIRE, XFRM_MSG_FLUSHPOLICY, XFRM_MSG_FLUSHSA, XFRM_MSG_GETAE, XFRM_MSG_GETPOLICY,
    XFRM_MSG_GETSA, XFRM_MSG_MAPPING, XFRM_MSG_MIGRATE, XFRM_MSG_NEWAE, XFRM_MSG_NEWPOLICY,
    XFRM_MSG_NEWSA, XFRM_MSG_UPDPOLICY, XFRM_MSG_UPDSA, XFRMA_ALG_AEAD, XFRMA_ALG_AUTH,
    XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_COMP, XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_IF_ID,
    XFRMA_KMADDRESS, XFRMA_LASTUSED, XFRMA_LTIME_VAL, XFRMA_MARK, XFRMA_MIGRATE,
    XFRMA_MTIMER_THRESH, XFRMA_OFFLOAD_DEV, XFRMA_PAD, XFRMA_POLICY, XFRMA_POLICY_TYPE,
    XFRMA_REPLAY_ESN_VAL, XFRMA_REPLAY_VAL, XFRMA_SA_EXTRA_FLAGS, XFRMA_SEC_CTX, XFRMA_SET_MARK,
    XFRMA_SET_MARK_MASK, XFRMA_SRCADDR, XFRMA_TFCPAD, XFRMA_TMPL, XFRMNLGRP_ACQUIRE,
    XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING, XFRMNLGRP_MIGRATE, XFRMNLGRP_POLICY, XFRMNLGRP_SA,
};

/// Protocol of the SAs that are asked for, one byte.
pub const XFRMA_PROTO: u16 = 25;
/// Direction of an SA (kernel 6.10), one byte.
pub const XFRMA_SA_DIR: u16 = 33;
/// Seconds between NAT keepalives (kernel 6.11).
pub const XFRMA_NAT_KEEPALIVE_INTERVAL: u16 = 34;
/// CPU of an SA (kernel 6.12).
pub const XFRMA_SA_PCPU: u16 = 35;
/// IPTFS, inbound: microseconds to wait for a missing packet (kernel 6.14, as the next five).
pub const XFRMA_IPTFS_DROP_TIME: u16 = 36;
/// IPTFS, inbound: packets that may be out of order.
pub const XFRMA_IPTFS_REORDER_WINDOW: u16 = 37;
/// IPTFS, outbound: no fragments of inner packets; a flag without value.
pub const XFRMA_IPTFS_DONT_FRAG: u16 = 38;
/// IPTFS, outbound: microseconds to wait for more packets.
pub const XFRMA_IPTFS_INIT_DELAY: u16 = 39;
/// IPTFS, outbound: bytes that may wait.
pub const XFRMA_IPTFS_MAX_QSIZE: u16 = 40;
/// IPTFS, outbound: size of the outer packet, 0 = path MTU.
pub const XFRMA_IPTFS_PKT_SIZE: u16 = 41;

/// Moves one SA (kernel 7.2).
pub const XFRM_MSG_MIGRATE_STATE: u16 = 41;
/// Flag of that message: the offload of the SA is not taken over.
pub const XFRM_MIGRATE_STATE_CLEAR_OFFLOAD: u32 = 1;

/// Value of `XFRMA_SA_DIR`: packets come in by the SA.
pub const XFRM_SA_DIR_IN: u8 = 1;
/// Value of `XFRMA_SA_DIR`: packets go out by the SA.
pub const XFRM_SA_DIR_OUT: u8 = 2;

/// The SA is inbound; only for SAs.
pub const XFRM_OFFLOAD_INBOUND: u8 = 2;
/// The NIC does all of ESP; without it, crypto only.
pub const XFRM_OFFLOAD_PACKET: u8 = 4;

/// Let ICMP errors through that concern the packets of a policy.
pub const XFRM_POLICY_ICMP: u8 = 2;
/// Acquires of a policy name the CPU (kernel 6.12).
pub const XFRM_POLICY_CPU_ACQUIRE: u8 = 4;

/// Do not copy ECN.
pub const XFRM_STATE_NOECN: u8 = 1;
/// Copy DSCP to the inner header.
pub const XFRM_STATE_DECAP_DSCP: u8 = 2;
/// Do not copy DF.
pub const XFRM_STATE_NOPMTUDISC: u8 = 4;
/// Accept ICMP errors about inner packets.
pub const XFRM_STATE_ICMP: u8 = 16;
/// The selector's family is any.
pub const XFRM_STATE_AF_UNSPEC: u8 = 32;
/// AH aligned to 4 bytes (RFC 4302 for IPv4).
pub const XFRM_STATE_ALIGN4: u8 = 64;
/// Extended sequence numbers.
pub const XFRM_STATE_ESN: u8 = 128;
/// `XFRMA_SA_EXTRA_FLAGS`: do not copy DSCP to the outer header.
pub const XFRM_SA_XFLAG_DONT_ENCAP_DSCP: u32 = 1;

/// `XFRM_MSG_GETAE`: the replay state is wanted.
pub const XFRM_AE_RVAL: u32 = 2;
/// `XFRMA_ENCAP`: RFC 3948.
pub const UDP_ENCAP_ESPINUDP: u16 = 2;
/// Longest bitmap of `XFRMA_REPLAY_ESN_VAL` in packets.
pub const REPLAY_WINDOW_MAX: u32 = 4096;
/// Room for the name of an algorithm, with its NUL.
pub const ALG_NAME_LEN: usize = 64;

/// `struct nlmsghdr`
pub const NLMSG_HDRLEN: usize = 16;
/// Netlink aligns messages and attributes to this.
pub const NLA_ALIGN: usize = 4;
/// `struct nlattr`
pub const NLA_HDRLEN: usize = 4;

/// Offsets in `struct xfrm_usersa_info` and its size.
pub mod usersa {
    /// `struct xfrm_selector sel`
    pub const SEL: usize = 0;
    /// `xfrm_address_t id.daddr`
    pub const DADDR: usize = 56;
    /// `__be32 id.spi`
    pub const SPI: usize = 72;
    /// `__u8 id.proto`
    pub const PROTO: usize = 76;
    /// `xfrm_address_t saddr`
    pub const SADDR: usize = 80;
    /// `struct xfrm_lifetime_cfg lft`
    pub const LFT: usize = 96;
    /// `struct xfrm_lifetime_cur curlft`
    pub const CURLFT: usize = 160;
    /// `struct xfrm_stats stats`
    pub const STATS: usize = 192;
    /// `__u32 seq`
    pub const SEQ: usize = 204;
    /// `__u32 reqid`
    pub const REQID: usize = 208;
    /// `__u16 family`
    pub const FAMILY: usize = 212;
    /// `__u8 mode`
    pub const MODE: usize = 214;
    /// `__u8 replay_window`
    pub const REPLAY_WINDOW: usize = 215;
    /// `__u8 flags`
    pub const FLAGS: usize = 216;
    /// Size with padding.
    pub const LEN: usize = 224;
}

/// Offsets in `struct xfrm_selector` and its size.
pub mod selector {
    /// `xfrm_address_t daddr`
    pub const DADDR: usize = 0;
    /// `xfrm_address_t saddr`
    pub const SADDR: usize = 16;
    /// `__be16 dport`
    pub const DPORT: usize = 32;
    /// `__be16 dport_mask`
    pub const DPORT_MASK: usize = 34;
    /// `__be16 sport`
    pub const SPORT: usize = 36;
    /// `__be16 sport_mask`
    pub const SPORT_MASK: usize = 38;
    /// `__u16 family`
    pub const FAMILY: usize = 40;
    /// `__u8 prefixlen_d`
    pub const PREFIXLEN_D: usize = 42;
    /// `__u8 prefixlen_s`
    pub const PREFIXLEN_S: usize = 43;
    /// `__u8 proto`
    pub const PROTO: usize = 44;
    /// `int ifindex`
    pub const IFINDEX: usize = 48;
    /// Size.
    pub const LEN: usize = 56;
}

/// Offsets in `struct xfrm_userpolicy_info` and its size.
pub mod userpolicy {
    /// `struct xfrm_selector sel`
    pub const SEL: usize = 0;
    /// `struct xfrm_lifetime_cur curlft`
    pub const CURLFT: usize = 120;
    /// `__u32 priority`
    pub const PRIORITY: usize = 152;
    /// `__u8 dir`
    pub const DIR: usize = 160;
    /// `__u8 action`
    pub const ACTION: usize = 161;
    /// Size with padding.
    pub const LEN: usize = 168;
}

/// Offsets in `struct xfrm_userpolicy_id` and its size.
pub mod policy_id {
    /// `struct xfrm_selector sel`
    pub const SEL: usize = 0;
    /// `__u8 dir`
    pub const DIR: usize = 60;
    /// Size with padding.
    pub const LEN: usize = 64;
}

/// Offsets in `struct xfrm_usersa_id` and its size.
pub mod usersa_id {
    /// `xfrm_address_t daddr`
    pub const DADDR: usize = 0;
    /// `__be32 spi`
    pub const SPI: usize = 16;
    /// `__u16 family`
    pub const FAMILY: usize = 20;
    /// `__u8 proto`
    pub const PROTO: usize = 22;
    /// Size with padding.
    pub const LEN: usize = 24;
}

/// Offsets in `struct xfrm_user_tmpl` and its size.
pub mod template {
    /// `__be32 id.spi`
    pub const SPI: usize = 16;
    /// `__u8 id.proto`
    pub const PROTO: usize = 20;
    /// `__u32 reqid`
    pub const REQID: usize = 44;
    /// Size.
    pub const LEN: usize = 64;
}

/// Offsets in `struct xfrm_user_acquire` and its size.
pub mod acquire {
    /// `__u8 id.proto`
    pub const PROTO: usize = 20;
    /// `struct xfrm_selector sel`
    pub const SEL: usize = 40;
    /// `__u32 seq`
    pub const SEQ: usize = 276;
    /// Size.
    pub const LEN: usize = 280;
}

/// Offsets in `struct xfrm_user_expire` and its size.
pub mod expire {
    /// `__u8 hard`, behind the SA
    pub const HARD: usize = super::usersa::LEN;
    /// Size with padding.
    pub const LEN: usize = 232;
}

/// Offsets in `struct xfrm_user_mapping` and its size.
pub mod mapping {
    /// `xfrm_address_t new_saddr`
    pub const NEW_SADDR: usize = 44;
    /// `__be16 old_sport`
    pub const OLD_SPORT: usize = 60;
    /// `__be16 new_sport`
    pub const NEW_SPORT: usize = 62;
    /// Size.
    pub const LEN: usize = 64;
}

/// Offsets in `struct xfrm_user_kmaddress` and its size.
pub mod kmaddress {
    /// `xfrm_address_t local`
    pub const LOCAL: usize = 0;
    /// `xfrm_address_t remote`
    pub const REMOTE: usize = 16;
    /// `__u16 family`
    pub const FAMILY: usize = 36;
    /// Size with padding.
    pub const LEN: usize = 40;
}

/// Offsets in `struct xfrm_user_migrate` and its size.
pub mod migrate {
    /// `__u32 reqid`
    pub const REQID: usize = 68;
    /// Size.
    pub const LEN: usize = 76;
}

/// Offsets in `struct xfrm_user_migrate_state` and its size.
pub mod migrate_state {
    /// `struct xfrm_usersa_id id`
    pub const ID: usize = 0;
    /// `xfrm_address_t new_daddr`
    pub const NEW_DADDR: usize = 24;
    /// `xfrm_address_t new_saddr`
    pub const NEW_SADDR: usize = 40;
    /// `struct xfrm_mark old_mark`
    pub const OLD_MARK: usize = 56;
    /// `struct xfrm_selector new_sel`
    pub const NEW_SEL: usize = 64;
    /// `__u32 new_reqid`
    pub const NEW_REQID: usize = 120;
    /// `__u32 flags`
    pub const FLAGS: usize = 124;
    /// `__u16 new_family`
    pub const NEW_FAMILY: usize = 128;
    /// Size.
    pub const LEN: usize = 132;
}

/// Offsets in `struct xfrm_replay_state_esn` and the size of its fixed part.
pub mod replay_esn {
    /// `unsigned int bmp_len`
    pub const BMP_LEN: usize = 0;
    /// `__u32 oseq`
    pub const OSEQ: usize = 4;
    /// `__u32 seq`
    pub const SEQ: usize = 8;
    /// `__u32 oseq_hi`
    pub const OSEQ_HI: usize = 12;
    /// `__u32 seq_hi`
    pub const SEQ_HI: usize = 16;
    /// `__u32 replay_window`
    pub const WINDOW: usize = 20;
    /// Size without the bitmap.
    pub const LEN: usize = 24;
}

/// Offsets in `struct xfrm_lifetime_cur` and its size.
pub mod lifetime_cur {
    /// `__u64 bytes`
    pub const BYTES: usize = 0;
    /// `__u64 packets`
    pub const PACKETS: usize = 8;
    /// `__u64 add_time`
    pub const ADD_TIME: usize = 16;
    /// `__u64 use_time`
    pub const USE_TIME: usize = 24;
    /// Size.
    pub const LEN: usize = 32;
}

/// Offsets in `struct xfrm_encap_tmpl` and its size.
pub mod encap {
    /// `__be16 encap_sport`
    pub const SPORT: usize = 2;
    /// `__be16 encap_dport`
    pub const DPORT: usize = 4;
    /// Size with padding.
    pub const LEN: usize = 24;
}

/// `struct xfrm_aevent_id`
pub mod aevent_id {
    /// `__u32 flags`
    pub const FLAGS: usize = 40;
    /// Size.
    pub const LEN: usize = 48;
}

/// Size of `struct xfrm_user_offload` with padding; the kernel refuses fewer bytes.
pub const OFFLOAD_LEN: usize = 8;
/// Size of `struct xfrm_user_sec_ctx` without the label.
pub const SEC_CTX_LEN: usize = 8;
/// `XFRM_SC_DOI_LSM`
pub const SC_DOI_LSM: u8 = 1;
/// `XFRM_SC_ALG_SELINUX`
pub const SC_ALG_SELINUX: u8 = 1;
/// Size of `xfrm_address_t`.
pub const ADDRESS_LEN: usize = 16;
