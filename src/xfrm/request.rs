// SPDX-License-Identifier: GPL-2.0-or-later
//! Netlink messages as bytes: a buffer to write one, a buffer that holds one received, and a walker
//! over attributes that checks every length.
//!
//! Owns these buffers and their wiping: SA messages carry keys both ways. Used by everything in
//! `xfrm/` and `nic/`. Must not know what a message means, and must not panic on any bytes.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::Emitable;
use zeroize::Zeroize;

use super::consts::{ADDRESS_LEN, NLA_ALIGN, NLA_HDRLEN, NLMSG_HDRLEN};
use crate::error::KernelError;

/// Longest request.
pub const REQUEST_MAX: usize = 8192;
/// Most requests are shorter, and an allocator has blocks of this size at hand.
const REQUEST_USUAL: usize = 1000;

/// Mask of the number of an attribute, without the nested and byte order bits.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// `NLA_F_NESTED`
const NLA_F_NESTED: u16 = 0x8000;

/// One whole request: `nlmsghdr`, payload, attributes. Wiped when dropped. What does not fit is
/// not written, and [`Request::check`], which every transport calls first, then fails.
pub struct Request {
    name: &'static str,
    bytes: Vec<u8>,
    overflow: bool,
}

impl Request {
    /// An empty message. `name` is what errors call it, such as `XFRM_MSG_NEWSA`.
    pub fn new(name: &'static str, kind: u16, flags: u16) -> Self {
        let mut request = Self {
            name,
            bytes: Vec::with_capacity(REQUEST_USUAL),
            overflow: false,
        };
        request.reset(name, kind, flags);
        request
    }

    /// Starts another message in the same buffer, which is wiped.
    pub fn reset(&mut self, name: &'static str, kind: u16, flags: u16) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
        self.overflow = false;
        self.name = name;
        self.put(&[0; 4]);
        self.put_u16(kind);
        self.put_u16(flags);
        self.put(&[0; 8]);
    }

    /// What errors call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `nlmsg_type`
    pub fn kind(&self) -> u16 {
        u16_at(&self.bytes, 4).unwrap_or(0)
    }

    /// `nlmsg_flags`
    pub fn flags(&self) -> u16 {
        u16_at(&self.bytes, 6).unwrap_or(0)
    }

    /// Adds flags (`nlmsg_flags`).
    pub fn add_flags(&mut self, flags: u16) {
        let flags = self.flags() | flags;
        self.patch(6, &flags.to_ne_bytes());
    }

    /// Changes the type, for sending the same content as another message.
    pub fn set_kind(&mut self, name: &'static str, kind: u16) {
        self.name = name;
        self.patch(4, &kind.to_ne_bytes());
    }

    /// The message with its header, in which length and sequence number are left to the transport.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(NLMSG_HDRLEN..).unwrap_or(&[])
    }

    /// Whether all that was written did fit.
    pub fn check(&self) -> Result<(), KernelError> {
        if self.overflow {
            return Err(KernelError {
                request: self.name,
                errno: libc::EMSGSIZE,
                text: Some(format!(
                    "request is longer than {REQUEST_MAX} bytes, nothing was sent"
                )),
                attribute: None,
            });
        }
        Ok(())
    }

    /// Makes room for more bytes; false if that would be too many. A buffer that is given up for a larger one is wiped:
    /// the allocator would leave a copy of a key behind.
    fn make_room(&mut self, more: usize) -> bool {
        let len = self.bytes.len() + more;
        if self.overflow || len > REQUEST_MAX {
            self.overflow = true;
            return false;
        }
        if len > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(REQUEST_MAX);
            larger.extend_from_slice(&self.bytes);
            self.bytes.as_mut_slice().zeroize();
            self.bytes = larger;
        }
        true
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.make_room(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Appends one byte.
    pub fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends a number in host order.
    pub fn put_u16(&mut self, value: u16) {
        self.put(&value.to_ne_bytes());
    }

    /// Appends a number in host order.
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_ne_bytes());
    }

    /// Appends a number in host order.
    pub fn put_u64(&mut self, value: u64) {
        self.put(&value.to_ne_bytes());
    }

    /// Appends `xfrm_address_t`: 16 bytes, an IPv4 address in the first four.
    pub fn put_address(&mut self, ip: IpAddr) {
        self.put(&address_bytes(ip));
    }

    /// Appends a structure that a rust-netlink crate encodes. Not for anything that holds keys: the
    /// crate keeps copies.
    pub fn put_message(&mut self, message: &impl Emitable) {
        let start = self.bytes.len();
        let len = message.buffer_len();
        if self.make_room(len) {
            self.bytes.resize(start + len, 0);
            message.emit(&mut self.bytes[start..]);
        }
    }

    /// Overwrites bytes of the message; an offset counts from the header. Outside of what was
    /// written it changes nothing.
    pub fn patch(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(target) = offset
            .checked_add(bytes.len())
            .and_then(|end| self.bytes.get_mut(offset..end))
        {
            target.copy_from_slice(bytes);
        }
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.attribute_parts(kind, &[value]);
    }

    /// Appends an attribute whose value comes in parts, so that a key needs no copy in between.
    pub fn attribute_parts(&mut self, kind: u16, parts: &[&[u8]]) {
        let len = NLA_HDRLEN + parts.iter().map(|part| part.len()).sum::<usize>();
        let padded = len.next_multiple_of(NLA_ALIGN);
        self.align();
        if !self.make_room(padded) {
            return;
        }
        // REQUEST_MAX is far below what the field can hold.
        self.put_u16(len as u16);
        self.put_u16(kind);
        for part in parts {
            self.put(part);
        }
        self.align();
    }

    /// Appends an attribute that holds one number.
    pub fn attribute_u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Opens a nested attribute; hand the result to [`Request::end_nest`].
    pub fn begin_nest(&mut self, kind: u16) -> usize {
        self.align();
        let start = self.bytes.len();
        self.put_u16(0);
        self.put_u16(kind | NLA_F_NESTED);
        start
    }

    /// Closes a nested attribute.
    pub fn end_nest(&mut self, start: usize) {
        self.align();
        let len = self.bytes.len().saturating_sub(start) as u16;
        self.patch(start, &len.to_ne_bytes());
    }

    fn align(&mut self) {
        let missing = self.bytes.len().next_multiple_of(NLA_ALIGN) - self.bytes.len();
        self.put(&[0; NLA_ALIGN][..missing]);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.bytes.as_mut_slice().zeroize();
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the content: it may be a key.
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// One received message without its header. Wiped when dropped.
#[derive(Default)]
pub struct Reply {
    kind: u16,
    bytes: Vec<u8>,
}

impl Reply {
    /// A message of a type with a payload.
    pub fn new(kind: u16, payload: &[u8]) -> Self {
        Self {
            kind,
            bytes: payload.to_vec(),
        }
    }

    /// Replaces the content, so that a dump needs one buffer. The old content is wiped; a buffer
    /// too small is wiped before it is given up.
    pub fn refill(&mut self, kind: u16, payload: &[u8]) {
        self.kind = kind;
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
        self.bytes.extend_from_slice(payload);
    }

    /// `nlmsg_type`
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// What followed the header.
    pub fn payload(&self) -> &[u8] {
        &self.bytes
    }

    /// The attributes behind a fixed part of `fixed` bytes.
    pub fn attributes(&self, fixed: usize) -> Attributes<'_> {
        Attributes::behind(&self.bytes, fixed)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.bytes.as_mut_slice().zeroize();
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message {} ({} bytes)", self.kind, self.bytes.len())
    }
}

/// Walks attributes. Ends at the first that does not fit into the bytes.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Over a sequence of attributes, such as the value of a nested one.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Behind a fixed part of `fixed` bytes (aligned as netlink does).
    pub fn behind(bytes: &'a [u8], fixed: usize) -> Self {
        Self {
            rest: bytes
                .get(fixed.next_multiple_of(NLA_ALIGN)..)
                .unwrap_or(&[]),
        }
    }

    /// Value of the first attribute of this number.
    pub fn value_of(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & NLA_TYPE_MASK;
        let Some(value) = self.rest.get(NLA_HDRLEN..len) else {
            self.rest = &[];
            return None;
        };
        self.rest = self
            .rest
            .get(len.next_multiple_of(NLA_ALIGN)..)
            .unwrap_or(&[]);
        Some((kind, value))
    }
}

/// Splits a datagram into messages: type, flags, sequence number, payload. Ends at the first that
/// does not fit into the bytes.
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

/// One message of a datagram.
pub(super) struct Raw<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::try_from(u32_at(self.rest, 0)?).ok()?;
        let payload = self.rest.get(NLMSG_HDRLEN..len)?;
        let raw = Raw {
            kind: u16_at(self.rest, 4)?,
            flags: u16_at(self.rest, 6)?,
            sequence: u32_at(self.rest, 8)?,
            payload,
        };
        self.rest = self
            .rest
            .get(len.next_multiple_of(NLA_ALIGN)..)
            .unwrap_or(&[]);
        Some(raw)
    }
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

/// Byte at an offset.
pub fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// Number in host order at an offset.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_ne_bytes)
}

/// Number in host order at an offset.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_ne_bytes)
}

/// Number in host order at an offset.
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_ne_bytes)
}

/// Number in network order at an offset.
pub fn be16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_be_bytes)
}

/// Number in network order at an offset.
pub fn be32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_be_bytes)
}

/// Address of a family (`AF_INET`, `AF_INET6`) at an offset; `None` for another family.
pub fn ip_at(bytes: &[u8], offset: usize, family: u16) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => {
            array_at::<4>(bytes, offset).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
        }
        libc::AF_INET6 => {
            array_at::<16>(bytes, offset).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => None,
    }
}

/// `xfrm_address_t` of an address.
pub fn address_bytes(ip: IpAddr) -> [u8; ADDRESS_LEN] {
    let mut bytes = [0; ADDRESS_LEN];
    match ip {
        IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes.copy_from_slice(&v6.octets()),
    }
    bytes
}

/// The bytes of an address as rtnetlink carries it: 4 or 16.
pub(crate) fn ip_octets(ip: IpAddr) -> ([u8; ADDRESS_LEN], usize) {
    (address_bytes(ip), if ip.is_ipv4() { 4 } else { 16 })
}

/// Text of an attribute up to its NUL, if it is UTF-8.
pub fn text_of(value: &[u8]) -> Option<&str> {
    let text = value.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()
}
