// SPDX-License-Identifier: GPL-2.0-or-later
//! The words of the field as types: addresses, SPIs, marks, modes, selectors, SAs and policies.
//!
//! Owns the values that every layer speaks in. `abi/` makes them from what charon hands over,
//! `xfrm/` turns them into messages, everything between only moves them. Must not do I/O and must
//! not know strongSwan's or the kernel's numbers beyond those that an RFC or the uapi fixes.
#![forbid(unsafe_code)]

pub mod algorithm;
mod policy;
mod sa;
mod selector;

pub use algorithm::{AlgorithmKind, Transforms, UnknownAlgorithm};
pub use policy::{PolicyId, PolicyKind, PolicySpec, PriorityClass, SaReference};
pub use sa::{DscpCopy, Key, Lifetime, Limit, SaId, SaKey, SaSpec, SaUpdate, UpdatedSa, Usage};
pub use selector::{PortMatch, Prefix, Selector, TrafficSelector};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An outer address with the UDP port that NAT traversal uses (0 = none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addr {
    /// The IP address.
    pub ip: IpAddr,
    /// UDP port in host order, 0 if none.
    pub port: u16,
}

impl Addr {
    /// An address without a port.
    pub fn new(ip: IpAddr) -> Self {
        Self { ip, port: 0 }
    }

    /// `0.0.0.0` or `::`, charon's `%any`.
    pub fn is_any(&self) -> bool {
        self.ip.is_unspecified()
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == 0 {
            write!(f, "{}", self.ip)
        } else {
            write!(f, "{}[{}]", self.ip, self.port)
        }
    }
}

/// Address family of an IP address as netlink writes it (`AF_INET`, `AF_INET6`).
pub fn family_of(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(_) => libc::AF_INET as u16,
        IpAddr::V6(_) => libc::AF_INET6 as u16,
    }
}

/// The unspecified address of the same family.
pub fn any_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Security Parameters Index (RFC 4301, 4.1), in host order; printed as charon prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(pub u32);

impl Spi {
    /// From the network order in which charon and XFRM carry it.
    pub fn from_be(value: u32) -> Self {
        Self(u32::from_be(value))
    }

    /// To network order.
    pub fn to_be(self) -> u32 {
        self.0.to_be()
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Protocol of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// Encapsulating Security Payload, RFC 4303.
    Esp,
    /// Authentication Header, RFC 4302.
    Ah,
    /// IP Payload Compression, RFC 3173.
    Comp,
}

impl Proto {
    /// IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Proto::Esp => 50,
            Proto::Ah => 51,
            Proto::Comp => 108,
        }
    }

    /// From the IP protocol number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            50 => Some(Proto::Esp),
            51 => Some(Proto::Ah),
            108 => Some(Proto::Comp),
            _ => None,
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Esp => "ESP",
            Proto::Ah => "AH",
            Proto::Comp => "IPCOMP",
        })
    }
}

/// IPsec mode of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Transport mode (RFC 4301, 4.1).
    Transport,
    /// Tunnel mode (RFC 4301, 4.1).
    Tunnel,
    /// Bound end-to-end tunnel (draft-nikander-esp-beet-mode).
    Beet,
    /// Aggregation and fragmentation mode (RFC 9347).
    Iptfs,
}

impl Mode {
    /// Number of the mode in XFRM messages (`XFRM_MODE_*`, include/uapi/linux/xfrm.h).
    pub fn xfrm(self) -> u8 {
        match self {
            Mode::Transport => 0,
            Mode::Tunnel => 1,
            Mode::Beet => 4,
            Mode::Iptfs => 5,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Transport => "TRANSPORT",
            Mode::Tunnel => "TUNNEL",
            Mode::Beet => "BEET",
            Mode::Iptfs => "IPTFS",
        })
    }
}

/// Direction of a policy (`XFRM_POLICY_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Packets for this host.
    In,
    /// Packets that leave this host.
    Out,
    /// Packets that are forwarded.
    Fwd,
}

impl Direction {
    /// Number of the direction in XFRM messages.
    pub fn xfrm(self) -> u8 {
        match self {
            Direction::In => 0,
            Direction::Out => 1,
            Direction::Fwd => 2,
        }
    }

    /// From the number of the direction in XFRM messages.
    pub fn from_xfrm(value: u8) -> Option<Self> {
        match value {
            0 => Some(Direction::In),
            1 => Some(Direction::Out),
            2 => Some(Direction::Fwd),
            _ => None,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::In => "in",
            Direction::Out => "out",
            Direction::Fwd => "fwd",
        })
    }
}

/// `XFRMA_MARK` or `XFRMA_SET_MARK`: value and mask; the default means no mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Value to match or to set.
    pub value: u32,
    /// Bits that count.
    pub mask: u32,
}

impl Mark {
    /// Whether there is anything to match.
    pub fn is_set(self) -> bool {
        self.value != 0 || self.mask != 0
    }
}

/// `hw_offload` as configured: what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offload {
    /// Software.
    No,
    /// The NIC encrypts and decrypts, the kernel does the rest.
    Crypto,
    /// The NIC does all of ESP; never less.
    Packet,
    /// Packet, else crypto, else software, decided once for a whole CHILD_SA.
    Auto,
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Offload::No => "no",
            Offload::Crypto => "crypto",
            Offload::Packet => "packet",
            Offload::Auto => "auto",
        })
    }
}

/// Where an SA or a policy is: what was decided, or read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// In the kernel only.
    Software,
    /// Keys in the NIC with this interface index, headers in the kernel.
    Crypto(u32),
    /// All in the NIC with this interface index.
    Packet(u32),
}

impl Placement {
    /// Interface index of the NIC, if one is involved.
    pub fn device(self) -> Option<u32> {
        match self {
            Placement::Software => None,
            Placement::Crypto(ifindex) | Placement::Packet(ifindex) => Some(ifindex),
        }
    }

    /// Whether the NIC does all of it.
    pub fn is_packet(self) -> bool {
        matches!(self, Placement::Packet(_))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Software => "software",
            Placement::Crypto(_) => "crypto",
            Placement::Packet(_) => "packet",
        })
    }
}
