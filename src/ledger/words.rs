// SPDX-License-Identifier: GPL-2.0-or-later
//! Text of the ledger's lines.
//!
//! Owns how numbers and addresses are written in them. Five lines are written for each CHILD_SA, with some forty numbers:
//! by the formatter of the standard library that was a quarter of what the plugin computed to install one. Called by
//! `describe` and by `mod.rs` for its checksums.

use std::fmt::{Display, Write};
use std::net::IpAddr;

/// Most lines are shorter, so that they need no more room than this.
const USUAL: usize = 160;

/// A line that grows by what it is told.
pub(super) struct Words(String);

impl Words {
    pub(super) fn new() -> Self {
        Self::for_len(USUAL)
    }

    /// With room for so many bytes.
    pub(super) fn for_len(len: usize) -> Self {
        Self(String::with_capacity(len))
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// In decimal.
    pub(super) fn number(&mut self, number: u32) -> &mut Self {
        let mut digits = [0; 10];
        let (mut rest, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.ascii(&digits[at..])
    }

    /// In hexadecimal, without leading zeroes.
    pub(super) fn hex(&mut self, number: u32) -> &mut Self {
        let leading = number.leading_zeros() as usize / 4;
        self.ascii(&hex(number)[leading.min(7)..])
    }

    /// Eight digits.
    pub(super) fn spi(&mut self, number: u32) -> &mut Self {
        self.ascii(&hex(number))
    }

    /// Two digits.
    pub(super) fn octet(&mut self, octet: u8) -> &mut Self {
        self.ascii(&hex(octet.into())[6..])
    }

    pub(super) fn ip(&mut self, ip: IpAddr) -> &mut Self {
        let IpAddr::V4(ip) = ip else {
            return self.shown(&ip);
        };
        for (place, octet) in ip.octets().into_iter().enumerate() {
            if place > 0 {
                self.text(".");
            }
            self.number(octet.into());
        }
        self
    }

    /// As the type has itself shown.
    pub(super) fn shown(&mut self, what: &impl Display) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{what}");
        self
    }

    pub(super) fn so_far(&self) -> &str {
        &self.0
    }

    pub(super) fn done(self) -> String {
        self.0
    }

    fn ascii(&mut self, digits: &[u8]) -> &mut Self {
        self.text(str::from_utf8(digits).unwrap_or_default())
    }
}

fn hex(number: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_look_as_they_do_elsewhere() {
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            255,
            256,
            4095,
            1 << 28,
            1 << 31,
            u32::MAX,
        ] {
            let mut words = Words::new();
            words.number(number).text(" ").hex(number);
            words.text(" ").spi(number).text(" ").octet(number as u8);
            let expected = format!("{number} {number:x} {number:08x} {:02x}", number as u8);
            assert_eq!(words.done(), expected);
        }
        for ip in [
            "0.0.0.0",
            "192.0.2.10",
            "255.255.255.255",
            "::",
            "2001:db8::1",
        ] {
            let mut words = Words::new();
            words.ip(ip.parse().unwrap());
            assert_eq!(words.done(), ip);
        }
    }
}
