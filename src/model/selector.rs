// SPDX-License-Identifier: GPL-2.0-or-later
//! Traffic selectors (RFC 7296, 3.13.1) and the narrower form that XFRM and NICs can match.
//!
//! Owns the conversion of a range to the prefix and port mask that cover it. Called by `abi/` and
//! `spd/`. Must not decide whether a device can match a selector: that is `offload/`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::any_of;

/// An address range, a protocol (0 = any) and a port range, as IKE negotiated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrafficSelector {
    /// First address.
    pub from: IpAddr,
    /// Last address, of the same family.
    pub to: IpAddr,
    /// IP protocol, 0 = any.
    pub proto: u8,
    /// First port; for ICMP type in the high byte and code in the low byte.
    pub from_port: u16,
    /// Last port.
    pub to_port: u16,
}

impl TrafficSelector {
    /// The smallest prefix that holds the whole range. XFRM matches prefixes only, so a range that
    /// is no prefix is widened, as kernel-netlink does (`ts->to_subnet`).
    pub fn prefix(&self) -> Prefix {
        let (from, to, width) = (bits(self.from), bits(self.to), width(self.from));
        let differing = from ^ to;
        let len = width - (128 - differing.leading_zeros()).min(width);
        Prefix::new(self.from, len as u8)
    }

    /// The smallest mask that covers the port range. XFRM matches nothing else, so a range that is no
    /// mask is widened, as kernel-netlink does (ts2ports).
    pub fn ports(&self) -> PortMatch {
        let differing = self.from_port ^ self.to_port;
        let free = 16 - differing.leading_zeros();
        let mask = if free >= 16 { 0 } else { u16::MAX << free };
        PortMatch {
            port: self.from_port & mask,
            mask,
        }
    }

    /// All ports.
    pub fn is_any_port(&self) -> bool {
        self.from_port == 0 && self.to_port == u16::MAX
    }

    /// Whether `ip` lies in the range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        width(ip) == width(self.from) && (bits(self.from)..=bits(self.to)).contains(&bits(ip))
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix();
        if prefix.first() == self.from && prefix.last() == self.to {
            write!(f, "{prefix}")?;
        } else {
            write!(f, "{}..{}", self.from, self.to)?;
        }
        if self.proto != 0 || !self.is_any_port() {
            write!(f, "[{}", self.proto)?;
            if !self.is_any_port() {
                write!(f, "/{}", self.from_port)?;
                if self.to_port != self.from_port {
                    write!(f, "-{}", self.to_port)?;
                }
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

/// A network: address with the host bits cleared, and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    ip: IpAddr,
    len: u8,
}

impl Prefix {
    /// Clears the host bits of `ip`; a length beyond the family's width is cut to it.
    pub fn new(ip: IpAddr, len: u8) -> Self {
        let width = width(ip);
        let len = u32::from(len).min(width);
        let mask = if len == 0 {
            0
        } else {
            u128::MAX << (width - len)
        };
        Self {
            ip: from_bits(bits(ip) & mask, ip),
            len: len as u8,
        }
    }

    /// First address.
    pub fn first(&self) -> IpAddr {
        self.ip
    }

    /// Last address.
    pub fn last(&self) -> IpAddr {
        let host = width(self.ip) - u32::from(self.len);
        let ones = if host == 0 {
            0
        } else {
            u128::MAX >> (128 - host)
        };
        from_bits(bits(self.ip) | ones, self.ip)
    }

    /// Prefix length in bits.
    pub fn len(&self) -> u8 {
        self.len
    }

    /// A single address.
    pub fn is_host(&self) -> bool {
        u32::from(self.len) == width(self.ip)
    }

    /// The whole address space (`/0`).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `ip` lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        width(ip) == width(self.ip) && Prefix::new(ip, self.len) == *self
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.len)
    }
}

/// A port and the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortMatch {
    /// Port in host order.
    pub port: u16,
    /// Bits that count; 0 = any port.
    pub mask: u16,
}

impl PortMatch {
    /// Any port.
    pub const ANY: PortMatch = PortMatch { port: 0, mask: 0 };
}

/// `struct xfrm_selector`: what the kernel matches a packet against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Source network.
    pub src: Prefix,
    /// Destination network.
    pub dst: Prefix,
    /// IP protocol, 0 = any.
    pub proto: u8,
    /// Source port.
    pub sport: PortMatch,
    /// Destination port.
    pub dport: PortMatch,
    /// Interface the packet must use, 0 = any.
    pub ifindex: u32,
}

impl Selector {
    /// From a pair of traffic selectors (kernel_netlink_ipsec.c: ts2selector). The protocol is the
    /// one that either side names. For ICMP the kernel takes the type as source port and the code
    /// as destination port, while IKE carries both in one range.
    pub fn from_ts(src: &TrafficSelector, dst: &TrafficSelector, ifindex: u32) -> Self {
        let proto = src.proto.max(dst.proto);
        let (mut sport, mut dport) = (src.ports(), dst.ports());
        if matches!(proto, 1 | 58) && (sport.mask != 0 || dport.mask != 0) {
            let port = if (sport.port, sport.mask) > (dport.port, dport.mask) {
                sport
            } else {
                dport
            };
            // A mask that covers the high byte only means a type with any code.
            sport = PortMatch {
                port: port.port >> 8,
                mask: if port.mask >> 8 == 0xff { u16::MAX } else { 0 },
            };
            dport = PortMatch {
                port: port.port & 0xff,
                mask: if port.mask & 0xff == 0xff {
                    u16::MAX
                } else {
                    0
                },
            };
            for port in [&mut sport, &mut dport] {
                port.port &= port.mask;
            }
        }
        Self {
            src: src.prefix(),
            dst: dst.prefix(),
            proto,
            sport,
            dport,
            ifindex,
        }
    }

    /// The unspecified address of the selector's family.
    pub fn any(&self) -> IpAddr {
        any_of(self.src.first())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |f: &mut fmt::Formatter<'_>, p: PortMatch| match (self.proto, p.mask) {
            (0, 0) => Ok(()),
            (proto, 0) => write!(f, "[{proto}]"),
            (proto, u16::MAX) => write!(f, "[{proto}/{}]", p.port),
            (proto, mask) => write!(f, "[{proto}/{}&{mask:#x}]", p.port),
        };
        write!(f, "{}", self.src)?;
        port(f, self.sport)?;
        write!(f, " === {}", self.dst)?;
        port(f, self.dport)
    }
}

fn width(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        // A v4 value never has more than 32 significant bits here.
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(from: &str, to: &str, proto: u8, ports: (u16, u16)) -> TrafficSelector {
        TrafficSelector {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            proto,
            from_port: ports.0,
            to_port: ports.1,
        }
    }

    #[test]
    fn a_range_becomes_the_smallest_prefix_that_holds_it() {
        for (from, to, want) in [
            ("10.1.0.0", "10.1.255.255", "10.1.0.0/16"),
            ("10.1.0.5", "10.1.0.5", "10.1.0.5/32"),
            ("0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
            ("10.1.0.1", "10.1.0.2", "10.1.0.0/30"),
            ("fec1::", "fec1::ffff", "fec1::/112"),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
            ("fec1::1", "fec1::1", "fec1::1/128"),
        ] {
            assert_eq!(ts(from, to, 0, (0, 65535)).prefix().to_string(), want);
        }
    }

    #[test]
    fn a_port_range_becomes_a_mask_or_any() {
        for (range, port, mask) in [
            ((0, 65535), 0, 0),
            ((80, 80), 80, 0xffff),
            ((1024, 2047), 1024, 0xfc00),
            ((32768, 65535), 32768, 0x8000),
            // No mask fits exactly: the next wider one.
            ((80, 90), 80, 0xfff0),
            ((81, 90), 80, 0xfff0),
            ((80, 200), 0, 0xff00),
            ((32767, 32768), 0, 0),
            ((0, 0), 0, 0xffff),
            // OPAQUE (RFC 7296, 3.13.1)
            ((65535, 0), 0, 0),
        ] {
            let got = ts("::1", "::1", 6, range).ports();
            assert_eq!((got.port, got.mask), (port, mask), "{range:?}");
        }
    }

    #[test]
    fn icmp_type_and_code_are_split_over_the_ports() {
        let any = ts("10.0.0.1", "10.0.0.1", 1, (0, 65535));
        let echo = ts("10.0.0.2", "10.0.0.2", 1, (0x0800, 0x08ff));
        let selector = Selector::from_ts(&any, &echo, 0);
        assert_eq!((selector.sport.port, selector.sport.mask), (8, 0xffff));
        assert_eq!((selector.dport.port, selector.dport.mask), (0, 0));
        // Type 0 (echo reply) is a type like any other, wherever it is named.
        let reply = ts("10.0.0.2", "10.0.0.2", 1, (0x0000, 0x00ff));
        for selector in [
            Selector::from_ts(&any, &reply, 0),
            Selector::from_ts(&reply, &any, 0),
        ] {
            assert_eq!((selector.sport.port, selector.sport.mask), (0, 0xffff));
            assert_eq!((selector.dport.port, selector.dport.mask), (0, 0));
        }
        let exact = ts("10.0.0.2", "10.0.0.2", 1, (0x0301, 0x0301));
        let selector = Selector::from_ts(&any, &exact, 0);
        assert_eq!((selector.sport.port, selector.sport.mask), (3, 0xffff));
        assert_eq!((selector.dport.port, selector.dport.mask), (1, 0xffff));
    }

    #[test]
    fn prefixes_know_their_ends() {
        let net = Prefix::new("10.1.2.3".parse().unwrap(), 16);
        assert_eq!(net.to_string(), "10.1.0.0/16");
        assert_eq!(net.last(), "10.1.255.255".parse::<IpAddr>().unwrap());
        assert!(net.contains("10.1.9.9".parse().unwrap()));
        assert!(!net.contains("10.2.0.0".parse().unwrap()));
        let all = Prefix::new("::1".parse().unwrap(), 0);
        assert_eq!(all.to_string(), "::/0");
        assert!(!all.contains("1.2.3.4".parse().unwrap()));
    }
}
