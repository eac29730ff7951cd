// SPDX-License-Identifier: GPL-2.0-or-later
//! The priority of a policy by how narrow its selector is.
//!
//! Owns the formula. It is the one of kernel-netlink (kernel_netlink_ipsec.c: get_priority), so that
//! policies of both, and priorities set by hand, keep their order when the plugin is changed.

use crate::model::{PriorityClass, Selector};

const BASE: u32 = 200_000;

/// A smaller number counts more. Bits, from the right: not a trap (1), bound to an interface (1),
/// port mask bits (6), bound to a protocol (1), prefix lengths (9); all subtracted from the base of
/// the class.
pub fn priority(selector: &Selector, class: PriorityClass, bound_to_interface: bool) -> u32 {
    let base = match class {
        PriorityClass::Pass => BASE,
        PriorityClass::Default | PriorityClass::Routed => 2 * BASE,
        PriorityClass::Fallback => 3 * BASE,
    };
    let prefixes = u32::from(selector.src.len()) + u32::from(selector.dst.len());
    let ports = selector.sport.mask.leading_ones() + selector.dport.mask.leading_ones();
    base - prefixes * 512
        - u32::from(selector.proto != 0) * 256
        - ports * 4
        - u32::from(bound_to_interface) * 2
        - u32::from(class != PriorityClass::Routed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PortMatch, Prefix};

    fn selector(src: (&str, u8), dst: (&str, u8), proto: u8, port: u16) -> Selector {
        let exact = PortMatch {
            port,
            mask: if port == 0 { 0 } else { u16::MAX },
        };
        Selector {
            src: Prefix::new(src.0.parse().unwrap(), src.1),
            dst: Prefix::new(dst.0.parse().unwrap(), dst.1),
            proto,
            sport: PortMatch::ANY,
            dport: exact,
            ifindex: 0,
        }
    }

    #[test]
    fn the_formula_gives_kernel_netlinks_numbers() {
        let nets = selector(("10.1.0.0", 16), ("10.2.0.0", 16), 0, 0);
        // 400000 - 32 * 512 - 1: what `ip xfrm policy` shows for such a tunnel with kernel-netlink.
        assert_eq!(priority(&nets, PriorityClass::Default, false), 383_615);
        assert_eq!(priority(&nets, PriorityClass::Routed, false), 383_616);
        assert_eq!(priority(&nets, PriorityClass::Pass, false), 183_615);
        assert_eq!(priority(&nets, PriorityClass::Fallback, false), 583_615);
        assert_eq!(priority(&nets, PriorityClass::Default, true), 383_613);
        let hosts = selector(("10.0.0.1", 32), ("10.0.0.2", 32), 6, 80);
        assert_eq!(
            priority(&hosts, PriorityClass::Default, false),
            400_000 - 64 * 512 - 256 - 64 - 1
        );
    }

    #[test]
    fn the_narrowest_selector_stays_above_zero() {
        let mut narrow = selector(("fec0::1", 128), ("fec0::2", 128), 17, 500);
        narrow.sport = PortMatch {
            port: 500,
            mask: u16::MAX,
        };
        assert_eq!(priority(&narrow, PriorityClass::Pass, true), 68_541);
    }
}
