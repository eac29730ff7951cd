// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin's socket answers: each command, and that no answer has a key.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::super::told;
use super::links::rekeyed;
use super::*;
use crate::host::Readable;
use crate::status::server::{Answer, Source};
use crate::status::vici::{Kind, Packet, Section, Writer, packet_length};
use crate::xfrm::consts::XFRM_MSG_NEWSA;

fn source(gateway: &Gateway) -> Arc<dyn Source> {
    told::source(&gateway.backend.core, "6.0.1")
}

/// The bytes of an answer's messages; `None` if there is no such command.
fn ask(source: &dyn Source, command: &str) -> Option<Vec<Vec<u8>>> {
    let nothing = Section::decode(Writer::new().bytes()).unwrap();
    Some(match source.answer(command, &nothing)? {
        Answer::Message(message) => vec![message.bytes().to_vec()],
        Answer::Stream(event, items) => {
            assert!(source.has_event(event), "{event}");
            items.map(|item| item.bytes().to_vec()).collect()
        }
    })
}

fn sections(source: &dyn Source, command: &str) -> Vec<Section> {
    let messages = ask(source, command).unwrap();
    messages
        .iter()
        .map(|bytes| Section::decode(bytes).unwrap())
        .collect()
}

#[test]
fn each_command_answers() {
    let texts = [
        ("plugins.kernel-fastswan.guard", "units"),
        ("plugins.kernel-fastswan.kernel_fixes", "subnets,pmtu"),
    ];
    let gateway = Gateway::with_texts(&[], &texts);
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let source = source(&gateway);
    let version = &sections(source.as_ref(), "version")[0];
    assert_eq!(version.text("kernel-fixes"), Some("subnets,pmtu"));
    // Every command that is named as one that only tells is one.
    for command in version.list("read-only") {
        assert!(ask(source.as_ref(), command).is_some(), "{command}");
    }
    let status = &sections(source.as_ref(), "status")[0];
    let sas = status.section("sas").unwrap();
    assert_eq!(
        (sas.number("packet"), sas.number("lost")),
        (Some(2), Some(0))
    );
    let gates = sections(source.as_ref(), "guard");
    assert_eq!(gates.len(), 1);
    assert_eq!(gates[0].list("holders").len(), 1);
    assert_eq!(gates[0].text("opens-in"), None);
    assert_eq!(sections(source.as_ref(), "devices").len(), 3);
    gateway.delete_child(&child);
    let gates = sections(source.as_ref(), "guard");
    assert!(gates[0].list("holders").is_empty());
    assert!(gates[0].number("opens-in").is_some(), "nobody holds it");
}

/// Neither the bytes nor a text of them are in any answer, and no command is there that sounds as if
/// it had one.
#[test]
fn no_answer_has_a_key() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let key = child.sa(true).enc_key;
    let key = key.expose();
    assert!(key.len() >= 16);
    // What a part of it would look like: four bytes are enough to be sure.
    let part = &key[..4];
    let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
    let source = source(&gateway);
    for command in ["version", "status", "units", "devices", "children", "guard"] {
        let bytes = ask(source.as_ref(), command).unwrap().concat();
        assert!(!bytes.windows(4).any(|four| four == part), "{command}");
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(!text.contains(&hex), "{command}: {text}");
        assert!(!text.contains("key"), "{command}: {text}");
    }
    for command in ["keys", "key", "sas", "dump", "export", "list-sas", ""] {
        assert!(ask(source.as_ref(), command).is_none(), "{command}");
    }
}

/// What a client of the socket hears of units: change, mode and SAs that are lost.
struct Listener {
    server: Arc<crate::status::server::Server>,
    client: UnixStream,
}

impl Listener {
    fn new(gateway: &Gateway) -> Self {
        let path = std::env::temp_dir().join(format!("fastswan-told-{}", std::process::id()));
        let server = told::listen(&gateway.backend.core, "6.0.1", &path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_nonblocking(true).unwrap();
        let register = Packet {
            kind: Kind::Register,
            name: told::UNIT_EVENT,
            body: &[],
        };
        client.write_all(&register.encode()).unwrap();
        let listener = Self { server, client };
        // The confirmation is no event.
        assert_eq!(listener.heard(), []);
        listener
    }

    fn heard(&self) -> Vec<(String, String, String)> {
        // Once for who is there, and once for what waits.
        assert!(self.server.readable() && self.server.readable());
        let mut bytes = Vec::new();
        let mut room = [0; 65536];
        while let Ok(count @ 1..) = (&self.client).read(&mut room) {
            bytes.extend_from_slice(&room[..count]);
        }
        let mut rest = bytes.as_slice();
        let mut heard = Vec::new();
        while let Some(length) = packet_length(rest, usize::MAX).unwrap() {
            let packet = Packet::decode(&rest[4..4 + length]).unwrap();
            if packet.kind == Kind::Event {
                let body = Section::decode(packet.body).unwrap();
                let text = |name| body.text(name).unwrap_or("-").to_owned();
                assert_eq!(body.number("reqid"), Some(1));
                heard.push((text("change"), text("mode"), text("lost")));
            }
            rest = &rest[4 + length..];
        }
        heard
    }
}

/// The event `unit` for each change that there is.
#[test]
fn a_unit_is_told_when_it_comes_changes_is_lost_is_repaired_and_ends() {
    let gateway = Gateway::new();
    let listener = Listener::new(&gateway);
    let heard = |expected: &[(&str, &str, &str)]| {
        let heard = listener.heard();
        let heard: Vec<_> = heard
            .iter()
            .map(|(change, mode, lost)| (change.as_str(), mode.as_str(), lost.as_str()))
            .collect();
        assert_eq!(heard, expected);
    };
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&child).unwrap();
    heard(&[("new", "packet", "0")]);
    gateway.kernel.set_link_up(P0, false);
    gateway.host.pump();
    heard(&[("lost", "packet", "2")]);
    gateway.kernel.set_link_up(P0, true);
    gateway.host.pump();
    gateway.advance(Duration::ZERO);
    heard(&[]);
    let second = rekeyed(&child);
    gateway.add_child(&second).unwrap();
    gateway.delete_child(&child);
    let repaired = listener.heard();
    let last = repaired.last().unwrap();
    assert_eq!((last.0.as_str(), last.2.as_str()), ("repaired", "0"));
    // The NIC takes no more: the next generation is in software.
    gateway.kernel.set_rule(Some(Arc::new(|request| {
        // struct nlattr of XFRMA_OFFLOAD_DEV: length 12, type 28.
        let header = [12u16.to_ne_bytes(), 28u16.to_ne_bytes()].concat();
        if request.kind == XFRM_MSG_NEWSA && request.payload.windows(4).any(|bytes| bytes == header)
        {
            return Err(KernelError::new("", libc::ENOSPC));
        }
        Ok(())
    })));
    let third = rekeyed(&second);
    gateway.add_child(&third).unwrap();
    gateway.kernel.set_rule(None);
    heard(&[("mode", "software", "0")]);
    gateway.delete_child(&second);
    heard(&[]);
    gateway.delete_child(&third);
    heard(&[("ended", "-", "0")]);
    gateway.assert_empty();
}
