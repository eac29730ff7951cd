// SPDX-License-Identifier: GPL-2.0-or-later
//! Limits of an SA in the form a NIC takes.
//!
//! Owns their normalisation for packet mode. A device refuses a hard limit without a soft one below
//! it, and a sequence number of 32 bits must not wrap (RFC 4303, 3.3.3) where nobody in the kernel
//! counts.

use crate::model::{Lifetime, Limit};

/// Soft limit in packets of an outbound SA without extended sequence numbers: three quarters of the
/// sequence space, so that a rekey has the last quarter to finish in.
const SOFT_PACKETS: u64 = 3 << 30;
/// Hard limit: the last number is never used.
const HARD_PACKETS: u64 = u32::MAX as u64 - 1;

/// Fits limits to packet mode: a hard limit gets a soft one a tenth below it, and the packets of an
/// outbound SA without extended sequence numbers are limited to its sequence space.
pub fn fit_lifetime(lifetime: Lifetime, inbound: bool, esn: bool) -> Lifetime {
    let mut fitted = Lifetime {
        bytes: fit(lifetime.bytes),
        packets: fit(lifetime.packets),
        time: lifetime.time,
    };
    let packets = &mut fitted.packets;
    if !inbound && !esn && (packets.life == 0 || packets.life > HARD_PACKETS) {
        *packets = Limit {
            life: HARD_PACKETS,
            rekey: match packets.rekey {
                0 => SOFT_PACKETS,
                rekey => rekey.min(SOFT_PACKETS),
            },
        };
    }
    fitted
}

fn fit(limit: Limit) -> Limit {
    if limit.life == 0 || (limit.rekey != 0 && limit.rekey < limit.life) {
        return limit;
    }
    // A hard limit of 1 leaves no room below; it becomes the smallest pair there is.
    let life = limit.life.max(2);
    Limit {
        life,
        rekey: life - (life / 10).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_gets_a_soft_one_below_it() {
        for ((life, rekey), want) in [
            ((0, 0), (0, 0)),
            ((0, 5), (0, 5)),
            ((1000, 500), (1000, 500)),
            ((1000, 0), (1000, 900)),
            ((1000, 1000), (1000, 900)),
            ((5, 9), (5, 4)),
            ((1, 0), (2, 1)),
        ] {
            let lifetime = Lifetime {
                bytes: Limit { life, rekey },
                ..Lifetime::default()
            };
            let bytes = fit_lifetime(lifetime, true, true).bytes;
            assert_eq!((bytes.life, bytes.rekey), want);
        }
    }

    #[test]
    fn thirty_two_bits_of_sequence_numbers_do_not_wrap() {
        let packets = |life, rekey, inbound, esn| {
            let lifetime = Lifetime {
                packets: Limit { life, rekey },
                ..Lifetime::default()
            };
            let fitted = fit_lifetime(lifetime, inbound, esn).packets;
            (fitted.life, fitted.rekey)
        };
        assert_eq!(packets(0, 0, false, false), (HARD_PACKETS, SOFT_PACKETS));
        assert_eq!(packets(0, 100, false, false), (HARD_PACKETS, 100));
        assert_eq!(packets(1000, 0, false, false), (1000, 900));
        assert_eq!(packets(0, 0, true, false), (0, 0), "the peer counts");
        assert_eq!(packets(0, 0, false, true), (0, 0), "64 bits do not wrap");
    }
}
