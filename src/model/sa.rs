// SPDX-License-Identifier: GPL-2.0-or-later
//! What charon wants to know of, and have done with, an SA.
//!
//! Owns the inputs of add_sa, update_sa, query_sa and del_sa in checked form. Made by `abi/`, used
//! by `backend/`. Must not print key bytes, not even through Debug.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{Addr, Mark, Mode, Offload, Proto, Spi, TrafficSelector};

/// Key bytes that are wiped when dropped and never printed.
#[derive(Clone, Default)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Copies the bytes; the caller wipes its own copy.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes, for the message that installs them and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// `kernel_ipsec_sa_id_t`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaId {
    /// Outer source.
    pub src: Addr,
    /// Outer destination.
    pub dst: Addr,
    /// SPI.
    pub spi: Spi,
    /// ESP, AH or IPCOMP.
    pub proto: Proto,
    /// Mark that a packet must carry.
    pub mark: Mark,
    /// XFRM interface ID, 0 = none.
    pub if_id: u32,
}

impl SaId {
    /// What the kernel keys an SA by (net/xfrm/xfrm_state.c: __xfrm_state_lookup).
    pub fn key(&self) -> SaKey {
        SaKey {
            dst: self.dst.ip,
            spi: self.spi,
            proto: self.proto,
            mark: self.mark,
            if_id: self.if_id,
        }
    }
}

impl fmt::Display for SaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} SA with SPI {} {} === {}",
            self.proto, self.spi, self.src, self.dst
        )
    }
}

/// The part of [`SaId`] that identifies the SA in the SAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaKey {
    /// Outer destination address.
    pub dst: std::net::IpAddr,
    /// SPI.
    pub spi: Spi,
    /// Protocol.
    pub proto: Proto,
    /// Mark.
    pub mark: Mark,
    /// XFRM interface ID.
    pub if_id: u32,
}

impl Hash for SaKey {
    /// In few pieces, each of which costs the hasher about the same.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.dst {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write(&ip.octets()),
        }
        state.write_u64(u64::from(self.spi.0) << 8 | u64::from(self.proto.number()));
        state.write_u64(u64::from(self.mark.value) << 32 | u64::from(self.mark.mask));
        state.write_u32(self.if_id);
    }
}

/// Soft and hard limit of one kind; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Hard limit: the SA is unusable.
    pub life: u64,
    /// Soft limit: time to rekey.
    pub rekey: u64,
}

/// Limits of an SA: seconds since it was added, bytes, packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Seconds.
    pub time: Limit,
    /// Bytes.
    pub bytes: Limit,
    /// Packets.
    pub packets: Limit,
}

/// `copy_dscp`: between which headers the DSCP field is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DscpCopy {
    /// To the outer header only.
    OutOnly,
    /// To the inner header only.
    InOnly,
    /// Both.
    Yes,
    /// Neither.
    No,
}

/// `kernel_ipsec_add_sa_t`
#[derive(Clone, Debug)]
pub struct SaSpec {
    /// CHILD_SA and connection, for messages; empty if not known.
    pub name: String,
    /// reqid that ties the SA to its policies.
    pub reqid: u32,
    /// Sequence number of the acquire that asked for this SA, 0 = none.
    pub seq: u32,
    /// Mode.
    pub mode: Mode,
    /// Traffic selectors at the source's end.
    pub src_ts: Vec<TrafficSelector>,
    /// Traffic selectors at the destination's end.
    pub dst_ts: Vec<TrafficSelector>,
    /// Interface that restricts the policies.
    pub interface: Option<String>,
    /// Limits.
    pub lifetime: Lifetime,
    /// IANA encryption transform, [`super::algorithm::UNDEFINED`] if none.
    pub enc_alg: u16,
    /// Encryption key, with salt or nonce.
    pub enc_key: Key,
    /// IANA integrity transform.
    pub int_alg: u16,
    /// Integrity key.
    pub int_key: Key,
    /// Anti-replay window in packets.
    pub replay_window: u32,
    /// Traffic flow confidentiality: pad packets to this size.
    pub tfc: u32,
    /// IPComp transform, 0 = none.
    pub ipcomp: u16,
    /// CPI in host order.
    pub cpi: u16,
    /// CPU the SA is for.
    pub cpu: Option<u32>,
    /// ESP in UDP with the ports of the SA's addresses.
    pub encap: bool,
    /// What is asked for.
    pub offload: Offload,
    /// Mark to set on packets after processing.
    pub set_mark: Mark,
    /// Security label.
    pub label: Option<Vec<u8>>,
    /// Extended sequence numbers (RFC 4303, 2.2.1).
    pub esn: bool,
    /// Copy the DF bit to the outer header.
    pub copy_df: bool,
    /// Copy the ECN field.
    pub copy_ecn: bool,
    /// Copy the DSCP field.
    pub copy_dscp: DscpCopy,
    /// IPTFS: do not fragment inner packets.
    pub iptfs_dont_frag: bool,
    /// Let ICMP errors about inner packets through.
    pub forward_icmp: bool,
    /// This host initiated the exchange.
    pub initiator: bool,
    /// Packets come in by this SA.
    pub inbound: bool,
    /// The SPI was allocated by get_spi: fill that entry.
    pub update: bool,
}

/// What `kernel_ipsec_update_sa_t` of 6.1.0 and later says about the SA as it shall be.
#[derive(Clone, Debug)]
pub struct UpdatedSa {
    /// Mode, of the IPComp SA if there is one.
    pub mode: Mode,
    /// What is asked for.
    pub offload: Offload,
    /// Traffic selectors at the source's end, with the new address.
    pub src_ts: Vec<TrafficSelector>,
    /// Traffic selectors at the destination's end, with the new address.
    pub dst_ts: Vec<TrafficSelector>,
    /// Interface that restricts the policies.
    pub interface: Option<String>,
    /// Packets come in by this SA.
    pub inbound: bool,
}

/// `kernel_ipsec_update_sa_t`
#[derive(Clone, Debug)]
pub struct SaUpdate {
    /// New outer source.
    pub new_src: Addr,
    /// New outer destination.
    pub new_dst: Addr,
    /// What charon says about the SA, from 6.1.0 on.
    pub sa: Option<UpdatedSa>,
    /// reqid so far, if charon says it.
    pub old_reqid: Option<u32>,
    /// New reqid, `None` if unchanged.
    pub new_reqid: Option<u32>,
    /// CPI in host order, 0 = no IPComp.
    pub cpi: u16,
    /// ESP in UDP so far.
    pub encap: bool,
    /// ESP in UDP from now on.
    pub new_encap: bool,
}

/// Answer of query_sa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes processed.
    pub bytes: u64,
    /// Packets processed.
    pub packets: u64,
    /// Seconds of the monotonic clock at the last use; 0 = never, or not known.
    pub use_time: i64,
}
