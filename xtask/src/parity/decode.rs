// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads netlink messages of XFRM and routing into named attributes.
//!
//! Owns the meaning of every byte the differential test compares, and what of it is left out because two runs can
//! never have it in common: sequence numbers, indexes and times of the kernel. Called by `record`. It is written from
//! the kernel's headers and knows nothing of how the plugins write the same messages. A byte it has no name for is
//! shown in hexadecimal, never dropped.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, String>;

/// What numbers of one run are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Links by their index.
    pub(crate) links: BTreeMap<u32, String>,
    /// SPIs that the kernel chose.
    pub(crate) spis: BTreeMap<u32, String>,
}

/// An object or message: what it is called, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const HEADER: usize = 16;

const NEWSA: u16 = 0x10;
const DELSA: u16 = 0x11;
const GETSA: u16 = 0x12;
const NEWPOLICY: u16 = 0x13;
const DELPOLICY: u16 = 0x14;
const GETPOLICY: u16 = 0x15;
const ALLOCSPI: u16 = 0x16;
const UPDPOLICY: u16 = 0x19;
const UPDSA: u16 = 0x1a;
const FLUSHSA: u16 = 0x1c;
const FLUSHPOLICY: u16 = 0x1d;
const NEWAE: u16 = 0x1e;
const GETAE: u16 = 0x1f;
const NEWSPDINFO: u16 = 0x24;
const GETSPDINFO: u16 = 0x25;
const MIGRATE_STATE: u16 = 0x29;

/// Name of a message that changes something; those that only ask are free to differ.
pub(crate) fn changes(kind: u16) -> Option<&'static str> {
    Some(match kind {
        NEWSA => "NEWSA",
        DELSA => "DELSA",
        NEWPOLICY => "NEWPOLICY",
        DELPOLICY => "DELPOLICY",
        ALLOCSPI => "ALLOCSPI",
        UPDPOLICY => "UPDPOLICY",
        UPDSA => "UPDSA",
        FLUSHSA => "FLUSHSA",
        FLUSHPOLICY => "FLUSHPOLICY",
        NEWAE => "NEWAE",
        NEWSPDINFO => "NEWSPDINFO",
        MIGRATE_STATE => "MIGRATE_STATE",
        _ => return None,
    })
}

/// Type of a netlink message.
pub(crate) fn kind(message: &[u8]) -> Option<u16> {
    let mut bytes = Bytes::new(message);
    bytes.skip(4);
    (message.len() >= HEADER).then(|| bytes.u16())
}

/// An SA, policy or other message of XFRM.
pub(crate) fn xfrm(message: &[u8], names: &Names) -> Option<Object> {
    let kind = kind(message)?;
    let mut reader = Reader {
        bytes: Bytes::new(message.get(HEADER..)?),
        names,
        attributes: Attributes::new(),
    };
    let name = match kind {
        NEWSA | UPDSA => reader.sa_info(""),
        ALLOCSPI => {
            let name = reader.sa_info("");
            let (min, max) = (reader.bytes.u32(), reader.bytes.u32());
            reader.set("min", format!("{min:#x}"));
            reader.set("max", format!("{max:#x}"));
            name
        }
        DELSA | GETSA => reader.sa_id(),
        NEWAE | GETAE => {
            let name = reader.sa_id();
            let family = reader.family();
            let saddr = reader.bytes.address(family);
            let (flags, reqid) = (reader.bytes.u32(), reader.bytes.u32());
            reader.set("saddr", saddr);
            reader.set("flags", format!("{flags:#x}"));
            reader.set("reqid", reqid.to_string());
            name
        }
        NEWPOLICY | UPDPOLICY => reader.policy_info(),
        DELPOLICY | GETPOLICY => {
            let selector = reader.selector("sel");
            let index = reader.bytes.u32();
            let dir = reader.bytes.u8();
            reader.padding(3);
            reader.set("index", index.to_string());
            format!("policy {} {selector}", direction(dir))
        }
        FLUSHSA => {
            let proto = reader.bytes.u8();
            reader.set("proto", proto.to_string());
            "flush".to_owned()
        }
        FLUSHPOLICY => "flush".to_owned(),
        NEWSPDINFO | GETSPDINFO => {
            reader.bytes.skip(4);
            "spd settings".to_owned()
        }
        MIGRATE_STATE => reader.migrate_state(),
        _ => return None,
    };
    reader.bytes.align();
    if matches!(kind, NEWSPDINFO | GETSPDINFO) {
        reader.spd_attributes();
    } else {
        reader.xfrm_attributes();
    }
    Some(reader.finish(name))
}

/// A route; the key is what the kernel tells routes apart by.
pub(crate) fn route(message: &[u8], names: &Names) -> Option<Object> {
    let mut bytes = Bytes::new(message.get(HEADER..)?);
    let family = u16::from(bytes.u8());
    let (dst_len, src_len, tos) = (bytes.u8(), bytes.u8(), bytes.u8());
    let (table, protocol, scope, kind) = (bytes.u8(), bytes.u8(), bytes.u8(), bytes.u8());
    let flags = bytes.u32();
    let mut attributes = Attributes::new();
    let mut set = |name: &str, value: String| {
        attributes.insert(name.to_owned(), value);
    };
    set("protocol", protocol.to_string());
    set("scope", scope.to_string());
    set("type", kind.to_string());
    set("flags", format!("{flags:#x}"));
    let mut destination = "default".to_owned();
    let mut table = u32::from(table);
    let mut metric = 0;
    while let Some((number, value)) = bytes.attribute() {
        let mut value = Bytes::new(value);
        match number {
            1 => destination = value.address(family),
            2 => set("from", format!("{}/{src_len}", value.address(family))),
            4 => set("dev", names.link(value.u32())),
            5 => set("via", value.address(family)),
            6 => metric = value.u32(),
            7 => set("prefsrc", value.address(family)),
            15 => table = value.u32(),
            // Times and use counts, and the preference that only says "medium".
            12 | 20 => {}
            _ => set(&format!("attribute {number}"), value.rest()),
        }
    }
    Some(Object {
        name: format!("route {destination}/{dst_len} tos {tos} table {table} metric {metric}"),
        attributes,
    })
}

/// A link that a plugin created.
pub(crate) fn link(message: &[u8], names: &Names) -> Option<Object> {
    let mut bytes = Bytes::new(message.get(HEADER..)?);
    bytes.skip(2);
    let kind = bytes.u16();
    let _index = bytes.u32();
    let flags = bytes.u32();
    bytes.skip(4);
    let mut attributes = Attributes::new();
    let mut name = String::new();
    let mut set = |name: &str, value: String| {
        attributes.insert(name.to_owned(), value);
    };
    set("hardware type", kind.to_string());
    set("up", (flags & 1 != 0).to_string());
    while let Some((number, value)) = bytes.attribute() {
        let mut value = Bytes::new(value);
        match number {
            3 => name = value.text(),
            4 => set("mtu", value.u32().to_string()),
            5 => set("link", names.link(value.u32())),
            18 => {
                while let Some((inner, value)) = value.attribute() {
                    let mut value = Bytes::new(value);
                    match inner {
                        1 => set("kind", value.text()),
                        2 => {
                            while let Some((number, value)) = value.attribute() {
                                let mut value = Bytes::new(value);
                                let (key, text) = match number {
                                    1 => ("lower".to_owned(), names.link(value.u32())),
                                    2 => ("if_id".to_owned(), value.u32().to_string()),
                                    _ => (format!("data {number}"), value.rest()),
                                };
                                set(&key, text);
                            }
                        }
                        // Statistics.
                        _ => {}
                    }
                }
            }
            // The rest is the kernel's for any link: queues, statistics, per-family settings.
            _ => {}
        }
    }
    Some(Object {
        name: format!("link {name}"),
        attributes,
    })
}

/// An answer to a request that changes something: the request's type, and the kernel's words.
pub(crate) fn answer(message: &[u8]) -> Option<(&'static str, i32, String)> {
    /// NLM_F_CAPPED and NLM_F_ACK_TLVS
    const CAPPED: u16 = 0x100;
    const TLVS: u16 = 0x200;
    let mut bytes = Bytes::new(message);
    bytes.skip(6);
    let flags = bytes.u16();
    bytes.skip(8);
    let error = bytes.u32() as i32;
    let length = bytes.u32() as usize;
    let name = changes(bytes.u16())?;
    let mut text = if error == 0 {
        "success".to_owned()
    } else {
        std::io::Error::from_raw_os_error(-error).to_string()
    };
    if flags & TLVS != 0 {
        let start = HEADER + 4 + if flags & CAPPED != 0 { HEADER } else { length };
        let mut bytes = Bytes::new(message.get(start.next_multiple_of(4)..).unwrap_or(&[]));
        while let Some((number, value)) = bytes.attribute() {
            if number == 1 {
                text += &format!(": {}", Bytes::new(value).text());
            }
        }
    }
    Some((name, error, text))
}

impl Names {
    fn link(&self, index: u32) -> String {
        match self.links.get(&index) {
            _ if index == 0 => "none".to_owned(),
            Some(name) => name.clone(),
            None => format!("unknown link {index}"),
        }
    }

    fn spi(&self, spi: u32) -> String {
        self.spis
            .get(&spi)
            .cloned()
            .unwrap_or_else(|| format!("{spi:08x}"))
    }
}

/// Bytes from the front; what is missing reads as 0, which then differs from what should be there.
struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let found = self.data.get(self.at..).unwrap_or(&[]);
        let count = found.len().min(N);
        taken[..count].copy_from_slice(&found[..count]);
        self.at += N;
        taken
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn be16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn be32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    /// xfrm_address_t or a route's address: bytes behind an IPv4 address are shown if there are any.
    fn address(&mut self, family: u16) -> String {
        let all: [u8; 16] = self.take();
        match family {
            AF_INET => {
                let address = Ipv4Addr::new(all[0], all[1], all[2], all[3]);
                if all[4..].iter().all(|byte| *byte == 0) {
                    address.to_string()
                } else {
                    format!("{address} and {}", hex(&all[4..]))
                }
            }
            AF_INET6 => Ipv6Addr::from(all).to_string(),
            _ if all == [0; 16] => "none".to_owned(),
            _ => hex(&all),
        }
    }

    fn rest(&mut self) -> String {
        let rest = self.data.get(self.at..).unwrap_or(&[]);
        self.at = self.data.len();
        hex(rest)
    }

    fn text(&mut self) -> String {
        let rest = self.data.get(self.at..).unwrap_or(&[]);
        self.at = self.data.len();
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(rest.len());
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }

    /// The next attribute: its number without flags, and its value.
    fn attribute(&mut self) -> Option<(u16, &'a [u8])> {
        let rest = self.data.get(self.at..)?;
        let len = usize::from(u16::from_ne_bytes([*rest.first()?, *rest.get(1)?]));
        let number = u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]) & 0x3fff;
        let value = rest.get(4..len)?;
        self.at += len.next_multiple_of(4);
        Some((number, value))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn direction(dir: u8) -> String {
    match dir {
        0 => "in".to_owned(),
        1 => "out".to_owned(),
        2 => "fwd".to_owned(),
        3 => "socket in".to_owned(),
        4 => "socket out".to_owned(),
        _ => format!("direction {dir}"),
    }
}

fn protocol(proto: u8) -> String {
    match proto {
        50 => "esp".to_owned(),
        51 => "ah".to_owned(),
        108 => "comp".to_owned(),
        _ => proto.to_string(),
    }
}

fn mode(mode: u8) -> String {
    match mode {
        0 => "transport".to_owned(),
        1 => "tunnel".to_owned(),
        4 => "beet".to_owned(),
        5 => "iptfs".to_owned(),
        _ => mode.to_string(),
    }
}

/// Names of the bits that are set.
fn bits(value: u32, names: &[&str]) -> String {
    let known: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| value & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    let unknown = value & !((1_u32 << names.len()) - 1);
    match (known.is_empty(), unknown) {
        (true, 0) => "none".to_owned(),
        (_, 0) => known.join(" "),
        _ => format!("{} {unknown:#x}", known.join(" ")),
    }
}

const SA_FLAGS: &[&str] = &[
    "noecn",
    "decap-dscp",
    "nopmtudisc",
    "wildrecv",
    "icmp",
    "af-unspec",
    "align4",
    "esn",
];

struct Reader<'a> {
    bytes: Bytes<'a>,
    names: &'a Names,
    attributes: Attributes,
}

impl Reader<'_> {
    fn set(&mut self, name: &str, value: String) {
        self.attributes.insert(name.to_owned(), value);
    }

    fn finish(mut self, name: String) -> Object {
        if self.bytes.at < self.bytes.data.len() {
            let rest = self.bytes.rest();
            self.set("behind the attributes", rest);
        }
        Object {
            name,
            attributes: self.attributes,
        }
    }

    /// Bytes that mean nothing, which everybody leaves zero; what somebody did not is shown.
    fn padding(&mut self, count: usize) {
        let at = self.bytes.at;
        self.bytes.skip(count);
        let found = self.bytes.data.get(at..at + count).unwrap_or(&[]);
        if found.iter().any(|byte| *byte != 0) {
            let text = hex(found);
            self.set(&format!("padding at {at}"), text);
        }
    }

    /// The family that `sa_id` has read.
    fn family(&self) -> u16 {
        self.attributes
            .get("family")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// struct xfrm_selector
    fn selector(&mut self, name: &str) -> String {
        let start = self.bytes.at;
        self.bytes.skip(40);
        let family = self.bytes.u16();
        let (dst_len, src_len, proto) = (self.bytes.u8(), self.bytes.u8(), self.bytes.u8());
        self.padding(3);
        let (ifindex, user) = (self.bytes.u32(), self.bytes.u32());
        let end = self.bytes.at;
        self.bytes.at = start;
        let dst = format!("{}/{dst_len}", self.bytes.address(family));
        let src = format!("{}/{src_len}", self.bytes.address(family));
        let ports: Vec<String> = (0..2)
            .map(|_| format!("{}/{:04x}", self.bytes.be16(), self.bytes.be16()))
            .collect();
        self.bytes.at = end;
        let link = self.names.link(ifindex);
        for (key, value) in [
            ("dst", dst.clone()),
            ("src", src.clone()),
            ("dport", ports[0].clone()),
            ("sport", ports[1].clone()),
            ("family", family.to_string()),
            ("proto", proto.to_string()),
            ("dev", link.clone()),
            ("user", user.to_string()),
        ] {
            self.set(&format!("{name}.{key}"), value);
        }
        let mut text = format!("{src} > {dst}");
        if proto != 0 {
            text += &format!(" proto {proto}");
        }
        if ports.iter().any(|port| port != "0/0000") {
            text += &format!(" ports {} > {}", ports[1], ports[0]);
        }
        if ifindex != 0 {
            text += &format!(" dev {link}");
        }
        text
    }

    /// struct xfrm_lifetime_cfg
    fn lifetime(&mut self) {
        for name in [
            "bytes.soft",
            "bytes.hard",
            "packets.soft",
            "packets.hard",
            "added.soft",
            "added.hard",
            "used.soft",
            "used.hard",
        ] {
            let value = self.bytes.u64();
            let text = if value == u64::MAX {
                "unlimited".to_owned()
            } else {
                value.to_string()
            };
            self.set(&format!("limit.{name}"), text);
        }
    }

    /// struct xfrm_lifetime_cur
    fn current(&mut self) {
        for name in ["bytes", "packets"] {
            let value = self.bytes.u64();
            self.set(&format!("current.{name}"), value.to_string());
        }
        for name in ["added", "used"] {
            let value = self.bytes.u64();
            self.set(&format!("current.{name}"), time(value));
        }
    }

    /// struct xfrm_usersa_info
    fn sa_info(&mut self, prefix: &str) -> String {
        let start = self.bytes.at;
        // The family that the addresses are of stands behind them.
        self.bytes.skip(56 + 24 + 16 + 64 + 32 + 12 + 8);
        let family = self.bytes.u16();
        self.bytes.at = start;
        let selector = self.selector("sel");
        self.set("sel", selector);
        let daddr = self.bytes.address(family);
        let spi = self.bytes.be32();
        let proto = self.bytes.u8();
        self.padding(3);
        let saddr = self.bytes.address(family);
        self.lifetime();
        self.current();
        for name in ["replay_window", "replay", "integrity_failed"] {
            let value = self.bytes.u32();
            self.set(&format!("stats.{name}"), value.to_string());
        }
        let seq = self.bytes.u32();
        let reqid = self.bytes.u32();
        let _family = self.bytes.u16();
        let (sa_mode, window, flags) = (self.bytes.u8(), self.bytes.u8(), self.bytes.u8());
        self.padding(7);
        let spi = self.names.spi(spi);
        self.set("saddr", saddr);
        // Of an acquire; how many there were before is nobody's choice.
        self.set(
            "seq",
            match seq {
                0 => "0".to_owned(),
                0x5eed => "as given".to_owned(),
                _ => "some".to_owned(),
            },
        );
        self.set("reqid", reqid.to_string());
        self.set("family", family.to_string());
        self.set("mode", mode(sa_mode));
        self.set("replay_window", window.to_string());
        self.set("flags", bits(u32::from(flags), SA_FLAGS));
        format!("{prefix}sa {} {daddr} {spi}", protocol(proto))
    }

    /// struct xfrm_usersa_id
    fn sa_id(&mut self) -> String {
        let start = self.bytes.at;
        self.bytes.skip(20);
        let family = self.bytes.u16();
        self.bytes.at = start;
        let daddr = self.bytes.address(family);
        let spi = self.bytes.be32();
        self.bytes.skip(2);
        let proto = self.bytes.u8();
        self.padding(1);
        self.set("family", family.to_string());
        format!("sa {} {daddr} {}", protocol(proto), self.names.spi(spi))
    }

    /// struct xfrm_userpolicy_info
    fn policy_info(&mut self) -> String {
        let selector = self.selector("sel");
        self.lifetime();
        self.current();
        let (priority, index) = (self.bytes.u32(), self.bytes.u32());
        let (dir, action, flags, share) = (
            self.bytes.u8(),
            self.bytes.u8(),
            self.bytes.u8(),
            self.bytes.u8(),
        );
        self.padding(4);
        // The lower bits of an index are the direction, the others are counted by the kernel.
        self.set("index & 7", (index & 7).to_string());
        self.set("index", if index == 0 { "none" } else { "some" }.to_owned());
        self.set("priority", priority.to_string());
        self.set(
            "action",
            if action == 0 {
                "allow".to_owned()
            } else {
                format!("block {action}")
            },
        );
        self.set(
            "flags",
            bits(u32::from(flags), &["localok", "icmp", "cpu-acquire"]),
        );
        self.set("share", share.to_string());
        format!("policy {} {selector}", direction(dir))
    }

    /// struct xfrm_user_migrate_state
    fn migrate_state(&mut self) -> String {
        let name = self.sa_id();
        let start = self.bytes.at;
        self.bytes.skip(16 + 16 + 8 + 56 + 8);
        let family = self.bytes.u16();
        self.bytes.at = start;
        let (daddr, saddr) = (self.bytes.address(family), self.bytes.address(family));
        let (value, mask) = (self.bytes.u32(), self.bytes.u32());
        let selector = self.selector("new.sel");
        let (reqid, flags) = (self.bytes.u32(), self.bytes.u32());
        self.padding(4);
        for (key, text) in [
            ("new.daddr", daddr),
            ("new.saddr", saddr),
            ("old mark", format!("{value:#x}/{mask:#x}")),
            ("new.selector", selector),
            ("new.reqid", reqid.to_string()),
            ("new.family", family.to_string()),
            ("flags", bits(flags, &["clear-offload", "update-h2h-sel"])),
        ] {
            self.set(key, text);
        }
        name
    }

    fn xfrm_attributes(&mut self) {
        let mut start = self.bytes.at;
        while let Some((number, value)) = self.bytes.attribute() {
            self.xfrm_attribute(number, value);
            let (end, next) = (start + 4 + value.len(), self.bytes.at);
            let padding = self.bytes.data.get(end..next).unwrap_or(&[]);
            if padding.iter().any(|byte| *byte != 0) {
                let text = hex(padding);
                self.set(&format!("padding behind attribute {number}"), text);
            }
            start = next;
        }
    }

    fn xfrm_attribute(&mut self, number: u16, value: &[u8]) {
        let mut bytes = Bytes::new(value);
        let mut algorithm = |extra: Option<&str>| {
            let name = String::from_utf8_lossy(&bytes.take::<64>())
                .trim_end_matches('\0')
                .to_owned();
            let bits = bytes.u32();
            let extra = extra.map(|extra| format!(" {extra} {}", bytes.u32()));
            format!(
                "{name}{} {bits} bits {}",
                extra.unwrap_or_default(),
                bytes.rest()
            )
        };
        let (name, text) = match number {
            1 => ("alg_auth", algorithm(None)),
            2 => ("alg_crypt", algorithm(None)),
            3 => ("alg_comp", algorithm(None)),
            18 => ("alg_aead", algorithm(Some("icv"))),
            20 => ("alg_auth_trunc", algorithm(Some("trunc"))),
            4 => {
                let kind = bytes.u16();
                let (sport, dport) = (bytes.be16(), bytes.be16());
                bytes.skip(2);
                let original = bytes.rest();
                let text = format!("type {kind} sport {sport} dport {dport} oa {original}");
                ("encap", text)
            }
            5 => {
                for (count, one) in value.chunks(64).enumerate() {
                    self.template(count, one);
                }
                return;
            }
            8 => {
                let (_len, exttype) = (bytes.u16(), bytes.u16());
                let (alg, doi, len) = (bytes.u8(), bytes.u8(), bytes.u16());
                let text = format!(
                    "total {} type {exttype} alg {alg} doi {doi} length {len} {}",
                    value.len(),
                    bytes.rest()
                );
                ("sec_ctx", text)
            }
            9 => {
                let (octets, packets) = (bytes.u64(), bytes.u64());
                let (added, used) = (time(bytes.u64()), time(bytes.u64()));
                let text = format!("bytes {octets} packets {packets} added {added} used {used}");
                ("ltime_val", text)
            }
            10 => {
                let text = format!(
                    "oseq {} seq {} bitmap {:08x}",
                    bytes.u32(),
                    bytes.u32(),
                    bytes.u32()
                );
                ("replay_val", text)
            }
            13 => {
                // Its family is the one that stands in the header.
                let family = self.family();
                ("srcaddr", bytes.address(family))
            }
            15 => ("lastused", time(bytes.u64())),
            16 => ("policy_type", bytes.u8().to_string()),
            21 => ("mark", format!("{:#x}/{:#x}", bytes.u32(), bytes.u32())),
            22 => ("tfcpad", bytes.u32().to_string()),
            23 => {
                let words = bytes.u32();
                let text = format!(
                    "words {words} oseq {} seq {} oseq_hi {} seq_hi {} window {} bitmap {}",
                    bytes.u32(),
                    bytes.u32(),
                    bytes.u32(),
                    bytes.u32(),
                    bytes.u32(),
                    bytes.rest().trim_end_matches('0')
                );
                ("replay_esn_val", text)
            }
            24 => {
                let flags = bits(bytes.u32(), &["dont-encap-dscp", "oseq-may-wrap"]);
                ("extra_flags", flags)
            }
            25 => ("proto", bytes.u8().to_string()),
            28 => {
                let link = self.names.link(bytes.u32());
                let flags = bits(u32::from(bytes.u8()), &["ipv6", "inbound", "packet"]);
                ("offload_dev", format!("{link} {flags}"))
            }
            29 => ("set_mark", format!("{:#x}", bytes.u32())),
            30 => ("set_mark_mask", format!("{:#x}", bytes.u32())),
            31 => ("if_id", bytes.u32().to_string()),
            32 => ("mtimer_thresh", bytes.u32().to_string()),
            33 => ("sa_dir", bytes.u8().to_string()),
            34 => ("nat_keepalive_interval", bytes.u32().to_string()),
            35 => ("sa_pcpu", bytes.u32().to_string()),
            36 => ("iptfs_drop_time", bytes.u32().to_string()),
            37 => ("iptfs_reorder_window", bytes.u16().to_string()),
            38 => ("iptfs_dont_frag", "set".to_owned()),
            39 => ("iptfs_init_delay", bytes.u32().to_string()),
            40 => ("iptfs_max_qsize", bytes.u32().to_string()),
            41 => ("iptfs_pkt_size", bytes.u32().to_string()),
            // Aligns the one behind it.
            27 => return,
            _ => {
                self.set(&format!("attribute {number}"), hex(value));
                return;
            }
        };
        // Its length is compared as well.
        let missing = bytes.at.saturating_sub(value.len());
        let text = match (bytes.rest().as_str(), missing) {
            ("", 0) => text,
            ("", missing) => format!("{text}, {missing} bytes too short"),
            (behind, _) => format!("{text} and behind it {behind}"),
        };
        // One that is there twice is two.
        let mut name = name.to_owned();
        while self.attributes.contains_key(&name) {
            name += " again";
        }
        self.set(&name, text);
    }

    /// struct xfrm_user_tmpl
    fn template(&mut self, count: usize, data: &[u8]) {
        let mut bytes = Bytes::new(data);
        bytes.skip(24);
        let family = bytes.u16();
        bytes.at = 0;
        let daddr = bytes.address(family);
        let spi = bytes.be32();
        let proto = bytes.u8();
        let mut padding = hex(&bytes.take::<3>());
        bytes.skip(2);
        padding += &hex(&bytes.take::<2>());
        let saddr = bytes.address(family);
        let reqid = bytes.u32();
        let (tmpl_mode, share, optional) = (bytes.u8(), bytes.u8(), bytes.u8());
        padding += &hex(&bytes.take::<1>());
        let algorithms = format!(
            "{:08x} {:08x} {:08x}",
            bytes.u32(),
            bytes.u32(),
            bytes.u32()
        );
        let spi = self.names.spi(spi);
        for (key, text) in [
            ("daddr", daddr),
            ("saddr", saddr),
            ("spi", spi),
            ("proto", protocol(proto)),
            ("family", family.to_string()),
            ("reqid", reqid.to_string()),
            ("mode", mode(tmpl_mode)),
            ("share", share.to_string()),
            ("optional", optional.to_string()),
            ("algorithms", algorithms),
            ("padding", padding),
        ] {
            self.set(&format!("tmpl{count}.{key}"), text);
        }
    }

    fn spd_attributes(&mut self) {
        while let Some((number, value)) = self.bytes.attribute() {
            let mut bytes = Bytes::new(value);
            match number {
                3 => {
                    let text = format!("{}/{}", bytes.u8(), bytes.u8());
                    self.set("ipv4 thresholds", text);
                }
                4 => {
                    let text = format!("{}/{}", bytes.u8(), bytes.u8());
                    self.set("ipv6 thresholds", text);
                }
                // Counts of what is dumped anyway, and sizes of hash tables.
                1 | 2 => {}
                _ => self.set(&format!("attribute {number}"), hex(value)),
            }
        }
    }
}

/// A time of the kernel: whether there is one.
fn time(value: u64) -> String {
    if value == 0 { "never" } else { "set" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Names, answer, route, xfrm};

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend((16 + body.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_sa_is_read_to_its_last_attribute() {
        let mut body = vec![0; 224];
        body[56..60].copy_from_slice(&[192, 0, 2, 1]);
        body[72..76].copy_from_slice(&[0xc1, 0, 0, 1]);
        body[76] = 50;
        body[212..214].copy_from_slice(&2_u16.to_ne_bytes());
        body[214] = 1;
        body[216] = 0x21;
        body.extend(attribute(31, &7_u32.to_ne_bytes()));
        body.extend(attribute(99, &[1, 2]));
        let sa = xfrm(&message(0x10, &body), &Names::default()).expect("an SA");
        assert_eq!(sa.name, "sa esp 192.0.2.1 c1000001");
        assert_eq!(sa.attributes["mode"], "tunnel");
        assert_eq!(sa.attributes["flags"], "noecn af-unspec");
        assert_eq!(sa.attributes["if_id"], "7");
        assert_eq!(sa.attributes["attribute 99"], "0102");
    }

    /// They go to the kernel as well, and an uninitialised one may be a piece of a key.
    #[test]
    fn bytes_without_a_meaning_are_shown_if_they_are_not_zero() {
        let sa = |at: usize| {
            let mut body = vec![0; 224];
            body[212..214].copy_from_slice(&2_u16.to_ne_bytes());
            body[at] = 7;
            xfrm(&message(0x10, &body), &Names::default()).expect("an SA")
        };
        let clean = sa(214).attributes;
        assert!(!clean.keys().any(|key| key.starts_with("padding")));
        assert_eq!(sa(46).attributes["padding at 45"], "000700");
        assert_eq!(sa(78).attributes["padding at 77"], "000700");
        assert_eq!(sa(223).attributes["padding at 217"], "00000000000007");
        let mut body = vec![0; 224];
        body.extend(attribute(31, &[7, 0, 0, 0, 0, 5]));
        body.extend(attribute(31, &[8, 0, 0, 0]));
        body.extend(attribute(22, &[9, 0]));
        body.extend(attribute(33, &[1]));
        *body.last_mut().expect("a byte") = 6;
        let sa = xfrm(&message(0x10, &body), &Names::default()).expect("an SA");
        assert_eq!(sa.attributes["if_id"], "7 and behind it 0005");
        assert_eq!(sa.attributes["if_id again"], "8");
        assert_eq!(sa.attributes["tfcpad"], "9, 2 bytes too short");
        assert_eq!(sa.attributes["padding behind attribute 33"], "000006");
        let mut body = vec![0; 168];
        assert_eq!(
            xfrm(&message(0x13, &body), &Names::default())
                .expect("a policy")
                .attributes["index"],
            "none"
        );
        body[159] = 1;
        body[167] = 9;
        let policy = xfrm(&message(0x13, &body), &Names::default()).expect("a policy");
        assert_eq!(policy.attributes["index"], "some");
        assert_eq!(policy.attributes["padding at 164"], "00000009");
    }

    #[test]
    fn bytes_that_no_attribute_explains_are_shown() {
        let mut body = vec![0; 224];
        body.extend([9, 0, 0]);
        let sa = xfrm(&message(0x10, &body), &Names::default()).expect("an SA");
        assert_eq!(sa.attributes["behind the attributes"], "090000");
    }

    #[test]
    fn an_spi_of_the_kernel_is_called_by_its_name() {
        let mut body = vec![0; 24];
        body[16..20].copy_from_slice(&[0xca, 0xfe, 0, 1]);
        body[20..22].copy_from_slice(&2_u16.to_ne_bytes());
        body[22] = 50;
        let mut names = Names::default();
        names.spis.insert(0xcafe_0001, "first".to_owned());
        let sa = xfrm(&message(0x11, &body), &names).expect("an SA");
        assert_eq!(sa.name, "sa esp 0.0.0.0 first");
    }

    #[test]
    fn the_kernels_words_are_read() {
        let mut body = (-22_i32).to_ne_bytes().to_vec();
        body.extend(16_u32.to_ne_bytes());
        body.extend(0x10_u16.to_ne_bytes());
        body.extend([0; 10]);
        body.extend(attribute(1, b"no\0"));
        let mut message = message(2, &body);
        message[6..8].copy_from_slice(&0x300_u16.to_ne_bytes());
        let (name, error, text) = answer(&message).expect("an answer");
        assert_eq!((name, error), ("NEWSA", -22));
        assert!(text.ends_with(": no"), "{text}");
    }

    #[test]
    fn a_route_is_named_by_what_the_kernel_keys_it() {
        let mut body = vec![2, 16, 0, 0, 220, 4, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(1, &[10, 2, 0, 0]));
        body.extend(attribute(5, &[192, 0, 2, 254]));
        let found = route(&message(24, &body), &Names::default()).expect("a route");
        assert_eq!(found.name, "route 10.2.0.0/16 tos 0 table 220 metric 0");
        assert_eq!(found.attributes["via"], "192.0.2.254");
    }
}
