// SPDX-License-Identifier: GPL-2.0-or-later
//! The wire format of vici: packets and the messages in them.
//!
//! Owns encoding and decoding, on bytes. The plugin's socket (`server`) and `fastswanctl`, which
//! speaks to charon's own vici socket as well, both stand on it. Source: strongSwan's
//! src/libcharon/plugins/vici/README.md. Must not do I/O, and must not believe a length: whatever
//! bytes arrive, the answer is an error and never a panic, and nothing is allocated that was not
//! received.
#![forbid(unsafe_code)]

use std::fmt;

/// Longest packet that libvici and charon accept, without the length in front.
pub const PACKET_MAX: usize = 512 * 1024;
/// Sections within sections that are followed.
const DEPTH_MAX: usize = 32;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// What is wrong with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a vici message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A named request.
    Request,
    /// The answer to a request.
    Response,
    /// There is no such command.
    UnknownCommand,
    /// Asks for a named event.
    Register,
    /// Asks for it no more.
    Unregister,
    /// Yes to one of the two.
    Confirm,
    /// There is no such event.
    UnknownEvent,
    /// A named event.
    Event,
}

const KINDS: [Kind; 8] = [
    Kind::Request,
    Kind::Response,
    Kind::UnknownCommand,
    Kind::Register,
    Kind::Unregister,
    Kind::Confirm,
    Kind::UnknownEvent,
    Kind::Event,
];

impl Kind {
    fn named(self) -> bool {
        matches!(
            self,
            Kind::Request | Kind::Register | Kind::Unregister | Kind::Event
        )
    }
}

/// A packet, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Name of the command or event; empty for kinds without one.
    pub name: &'a str,
    /// The message.
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// From what followed the length.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (first, rest) = bytes.split_first().ok_or(Malformed("empty packet"))?;
        let kind = *KINDS
            .get(usize::from(*first))
            .ok_or(Malformed("unknown type of packet"))?;
        if !kind.named() {
            return Ok(Self {
                kind,
                name: "",
                body: rest,
            });
        }
        let mut reader = Reader { rest };
        let name = std::str::from_utf8(reader.short()?)
            .map_err(|_| Malformed("name of the packet is no text"))?;
        Ok(Self {
            kind,
            name,
            body: reader.rest,
        })
    }

    /// With its length in front. A name longer than 255 bytes is cut: ours are short.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        let number = KINDS
            .iter()
            .position(|kind| *kind == self.kind)
            .unwrap_or_default();
        bytes.push(number as u8);
        if self.kind.named() {
            put_short(&mut bytes, self.name.as_bytes());
        }
        bytes.extend_from_slice(self.body);
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

/// The length in front of a packet, once its four bytes are there. 0 and more than `max` are
/// refused.
pub fn packet_length(bytes: &[u8], max: usize) -> Result<Option<usize>, Malformed> {
    let Some(length) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(Malformed("empty packet"));
    }
    if length > max {
        return Err(Malformed("packet is too long"));
    }
    Ok(Some(length))
}

fn put_short(bytes: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u8::MAX))];
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text);
}

fn put_long(bytes: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key and its value. A value longer than 65535 bytes is cut.
    pub fn value(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
        self.bytes.push(KEY_VALUE);
        put_short(&mut self.bytes, key.as_bytes());
        put_long(&mut self.bytes, value.to_string().as_bytes());
        self
    }

    /// `yes` or `no`, as vici writes truth.
    pub fn truth(&mut self, key: &str, value: bool) -> &mut Self {
        self.value(key, if value { "yes" } else { "no" })
    }

    /// A list.
    pub fn list<T: fmt::Display>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.bytes.push(LIST_START);
        put_short(&mut self.bytes, key.as_bytes());
        for item in items {
            self.bytes.push(LIST_ITEM);
            put_long(&mut self.bytes, item.to_string().as_bytes());
        }
        self.bytes.push(LIST_END);
        self
    }

    /// A section with what `inside` writes.
    pub fn section(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.bytes.push(SECTION_START);
        put_short(&mut self.bytes, name.as_bytes());
        inside(self);
        self.bytes.push(SECTION_END);
        self
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A value in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text; bytes that are none are replaced.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A section.
    Section(Section),
}

/// A message, or a section of one, in the order received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Names and values.
    pub entries: Vec<(String, Value)>,
}

impl Section {
    /// Decodes a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader { rest: bytes };
        let section = reader.section(0)?;
        if !reader.rest.is_empty() {
            return Err(Malformed("a section ends that did not begin"));
        }
        Ok(section)
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Text of a key.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.find(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Number of a key.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Items of a list; none if there is none.
    pub fn list(&self, name: &str) -> &[String] {
        match self.find(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// A section by name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        match self.find(name) {
            Some(Value::Section(section)) => Some(section),
            _ => None,
        }
    }

    /// All sections, with their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

const SHORT: Malformed = Malformed("it ends too early");

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.byte()?;
        self.take(usize::from(len))
    }

    fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([len[0], len[1]])))
    }

    fn name(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.short()?).into_owned())
    }

    fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.long()?).into_owned())
    }

    /// Up to the end of the section, or of the message at depth 0.
    fn section(&mut self, depth: usize) -> Result<Section, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed("too many sections within sections"));
        }
        let mut section = Section::default();
        while !self.rest.is_empty() {
            let entry = match self.byte()? {
                SECTION_START => {
                    let name = self.name()?;
                    (name, Value::Section(self.section(depth + 1)?))
                }
                SECTION_END if depth > 0 => return Ok(section),
                SECTION_END => return Err(Malformed("a section ends that did not begin")),
                KEY_VALUE => (self.name()?, Value::Text(self.text()?)),
                LIST_START => {
                    let name = self.name()?;
                    let mut items = Vec::new();
                    loop {
                        match self.byte()? {
                            LIST_ITEM => items.push(self.text()?),
                            LIST_END => break,
                            _ => return Err(Malformed("a list holds what is no item")),
                        }
                    }
                    (name, Value::List(items))
                }
                _ => return Err(Malformed("unknown type of element")),
            };
            section.entries.push(entry);
        }
        if depth > 0 {
            return Err(SHORT);
        }
        Ok(section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .value("name", "net")
            .truth("up", true)
            .list("reasons", ["one", "two"])
            .list::<&str>("none", [])
            .section("sa", |sa| {
                sa.value("packets", 42).section("inner", |_| {});
            });
        writer.bytes().to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let message = Section::decode(&sample()).unwrap();
        assert_eq!(message.text("name"), Some("net"));
        assert_eq!(message.text("up"), Some("yes"));
        assert_eq!(message.list("reasons"), ["one", "two"]);
        assert!(message.list("none").is_empty() && message.list("absent").is_empty());
        let sa = message.section("sa").unwrap();
        assert_eq!(sa.number("packets"), Some(42));
        assert_eq!(sa.sections().next().unwrap().0, "inner");
        assert_eq!(Section::decode(&[]).unwrap(), Section::default());
    }

    /// The example of strongSwan's description of the protocol, byte for byte.
    #[test]
    fn the_example_of_the_protocol_is_met() {
        let bytes = [
            &b"\x03\x04key1\x00\x06value1"[..],
            b"\x01\x08section1",
            b"\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02",
            b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06",
            b"\x02",
        ]
        .concat();
        let mut writer = Writer::new();
        writer
            .value("key1", "value1")
            .section("section1", |section| {
                section
                    .section("sub-section", |sub| {
                        sub.value("key2", "value2");
                    })
                    .list("list1", ["item1", "item2"]);
            });
        assert_eq!(writer.bytes(), bytes);
        let packet = Packet {
            kind: Kind::Request,
            name: "version",
            body: &[],
        };
        assert_eq!(packet.encode(), b"\x00\x00\x00\x09\x00\x07version");
    }

    #[test]
    fn packets_are_read_back() {
        let body = sample();
        for kind in KINDS {
            let name = if kind.named() { "unit" } else { "" };
            let packet = Packet {
                kind,
                name,
                body: &body,
            };
            let bytes = packet.encode();
            let length = packet_length(&bytes, PACKET_MAX).unwrap().unwrap();
            assert_eq!(length, bytes.len() - 4);
            assert_eq!(Packet::decode(&bytes[4..]).unwrap(), packet);
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_message() {
        let whole = sample();
        let full = Section::decode(&whole).unwrap().entries.len();
        for end in 0..whole.len() {
            if let Ok(part) = Section::decode(&whole[..end]) {
                assert!(part.entries.len() < full, "cut at {end}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_recurse_without_end() {
        let deep: Vec<u8> = [1, 0].repeat(100_000);
        assert!(Section::decode(&deep).is_err());
        assert!(Section::decode(&[2]).is_err());
        assert!(Section::decode(&[9]).is_err());
        assert!(Section::decode(b"\x04\x01l\x03").is_err());
        // A generator of its own: the same bytes in each run.
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..next() % 40).map(|_| (next() % 8) as u8).collect();
            let _ = Section::decode(&bytes);
            let _ = Packet::decode(&bytes);
            let _ = packet_length(&bytes, PACKET_MAX);
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        assert_eq!(packet_length(&[0, 0, 0], 100), Ok(None));
        assert!(packet_length(&[0, 0, 0, 0], 100).is_err());
        assert!(packet_length(&[0xff; 4], 100).is_err());
        assert_eq!(packet_length(&[0, 0, 0, 100, 1], 100), Ok(Some(100)));
    }

    #[test]
    fn what_is_too_long_for_its_length_field_is_cut() {
        let mut writer = Writer::new();
        writer.value(&"k".repeat(300), "v".repeat(70_000));
        let message = Section::decode(writer.bytes()).unwrap();
        let (key, value) = &message.entries[0];
        assert_eq!(key.len(), 255);
        assert!(matches!(value, Value::Text(text) if text.len() == 65_535));
    }
}
