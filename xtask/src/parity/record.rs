// SPDX-License-Identifier: GPL-2.0-or-later
//! What the harness in the guest wrote about one row with one plugin.
//!
//! Owns the lines of that protocol (tests/parity/main.c and record.c write them). Called by the runner in `parity`. It
//! must not judge: `compare` does.

use std::collections::BTreeMap;

use super::decode::{self, Attributes, Names, Object};

/// The kernel at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) label: String,
    pub(super) objects: BTreeMap<String, Attributes>,
}

/// A row, played with one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recording {
    /// Calls with their status, events, findings of the row, in order.
    pub(super) notes: Vec<String>,
    pub(super) states: Vec<State>,
    /// What was asked of the kernel, and what it answered, in order.
    pub(super) messages: Vec<Object>,
    /// Whether the kernel refused one of them.
    pub(super) refused: bool,
    /// For a person who looks for the reason.
    pub(super) comments: Vec<String>,
    /// How the process ended, if not well.
    pub(super) died: Option<String>,
}

/// What the row itself says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) messages: bool,
    pub(super) not_run: bool,
    pub(super) why: Option<String>,
    pub(super) differs: Vec<String>,
}

/// Reads the lines between `row` and `endrow`.
pub(super) fn read(lines: &[String]) -> (Declared, Recording) {
    let mut declared = Declared::default();
    let mut recording = Recording::default();
    let mut names = Names::default();
    let mut state: Option<State> = None;
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "messages" => declared.messages = rest == "yes",
            "notrun" => declared.not_run = true,
            "why" => declared.why = Some(rest.to_owned()),
            "differs" => declared.differs.push(rest.to_owned()),
            "note" => recording.notes.push(named(rest, &names)),
            "comment" => recording.comments.push(rest.to_owned()),
            "died" => recording.died = Some(rest.to_owned()),
            "spi" => {
                if let Some((spi, name)) = rest.split_once(' ')
                    && let Ok(spi) = u32::from_str_radix(spi, 16)
                {
                    names.spis.insert(spi, name.to_owned());
                }
            }
            "ifname" => {
                if let Some((index, name)) = rest.split_once(' ')
                    && let Ok(index) = index.parse()
                {
                    names.links.insert(index, name.to_owned());
                }
            }
            "state" => {
                state = Some(State {
                    label: rest.to_owned(),
                    objects: BTreeMap::new(),
                });
            }
            "endstate" => recording.states.extend(state.take()),
            "sysctl" => {
                if let (Some(state), Some((name, value))) = (&mut state, rest.split_once(' ')) {
                    let attributes = Attributes::from([("value".to_owned(), value.to_owned())]);
                    state.objects.insert(format!("sysctl {name}"), attributes);
                }
            }
            "sa" | "policy" | "route" | "link" | "spdinfo" => {
                let bytes = unhex(rest);
                let object = match word {
                    "route" => decode::route(&bytes, &names),
                    "link" => decode::link(&bytes, &names),
                    _ => decode::xfrm(&bytes, &names),
                };
                if let Some(state) = &mut state {
                    place(state, word, object, rest);
                }
            }
            "sent" => sent(&mut recording, &unhex(rest), &names),
            "answer" => {
                if let Some((name, error, text)) = decode::answer(&unhex(rest)) {
                    recording.refused |= error != 0;
                    recording.messages.push(Object {
                        name: format!("answer to {name}"),
                        attributes: Attributes::from([("answer".to_owned(), text)]),
                    });
                }
            }
            // A line that is not understood must not be lost.
            _ => recording.notes.push(line.clone()),
        }
    }
    recording.states.extend(state);
    (declared, recording)
}

/// Puts an object under a name of its own: the marks, interface ID and label are part of what the kernel keys by.
fn place(state: &mut State, word: &str, object: Option<Object>, raw: &str) {
    let Some(object) = object else {
        let attributes = Attributes::from([("bytes".to_owned(), raw.to_owned())]);
        state
            .objects
            .insert(format!("{word} unreadable"), attributes);
        return;
    };
    let mut name = object.name;
    for key in ["mark", "if_id", "sec_ctx"] {
        if let Some(value) = object.attributes.get(key) {
            name += &format!(" {key} {value}");
        }
    }
    let mut unique = name.clone();
    let mut count = 1;
    while state.objects.contains_key(&unique) {
        count += 1;
        unique = format!("{name} #{count}");
    }
    state.objects.insert(unique, object.attributes);
}

/// A datagram may carry several messages.
fn sent(recording: &mut Recording, mut datagram: &[u8], names: &Names) {
    while let Some(length) = datagram.first_chunk::<4>() {
        let length = (u32::from_ne_bytes(*length) as usize).clamp(16, datagram.len().max(16));
        let Some(message) = datagram.get(..length) else {
            return;
        };
        if let Some(name) = decode::kind(message).and_then(decode::changes)
            && let Some(mut object) = decode::xfrm(message, names)
        {
            let flags = u16::from_ne_bytes([message[6], message[7]]);
            object
                .attributes
                .insert("netlink flags".to_owned(), format!("{flags:#x}"));
            object.name = format!("message {name} {}", object.name);
            recording.messages.push(object);
        }
        let next = length.next_multiple_of(4).min(datagram.len());
        datagram = &datagram[next..];
    }
}

/// A note with the SPIs that the kernel chose called by their names.
fn named(text: &str, names: &Names) -> String {
    names
        .spis
        .iter()
        .fold(text.to_owned(), |text, (spi, name)| {
            text.replace(&format!("{spi:08x}"), name)
        })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_block_is_read() {
        let (declared, recording) = read(&lines(
            "messages yes\nwhy a reason\ndiffers x\nnote add_sa in = SUCCESS\nspi c0000001 first\n\
             note got c0000001\nstate added\nifname 2 left\nsysctl a.b 165\nendstate\ndied signal 11",
        ));
        assert!(declared.messages && !declared.not_run);
        assert_eq!(declared.differs, ["x"]);
        assert_eq!(recording.notes, ["add_sa in = SUCCESS", "got first"]);
        assert_eq!(recording.states[0].objects["sysctl a.b"]["value"], "165");
        assert_eq!(recording.died.as_deref(), Some("signal 11"));
    }

    #[test]
    fn what_is_not_understood_is_compared_as_it_is() {
        let (_, recording) = read(&lines("nonsense 1"));
        assert_eq!(recording.notes, ["nonsense 1"]);
    }

    #[test]
    fn objects_of_one_name_are_all_kept() {
        let header = "d8000000100000000000000000000000";
        let sa = format!("sa {header}{}", "00".repeat(224));
        let (_, recording) = read(&lines(&format!("state x\n{sa}\n{sa}\nendstate")));
        assert_eq!(recording.states[0].objects.len(), 2);
    }
}
