// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin's socket answers: each command, and that no answer has a key.

use super::super::told;
use super::*;
use crate::status::server::{Answer, Source};
use crate::status::vici::{Section, Writer};

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
