// SPDX-License-Identifier: GPL-2.0-or-later
//! `guard`: the gates against traffic in clear, listed and opened by the operator.
//!
//! Owns how they are shown. Called by `main`. The kernel is asked and told directly, so that a gate
//! that a dead charon left behind can be opened; who holds one is the plugin's to say. `open` is the
//! only command beside `doctor --live` that changes something.

use std::io;
use std::time::{Duration, Instant};

use fastswan::error::Error;
use fastswan::guard::{Pair, admin};
use fastswan::xfrm::{NetlinkTransport, Transport};

use crate::FOUND;
use crate::cli::Guard;
use crate::facts::Gate;
use crate::machine::{self, Sockets};
use crate::out::{Out, Paint, wrap};

/// Version of the form of `--json`.
const SCHEMA: u32 = 1;
/// A charon that runs closes a gate that is held within this time, going by the kernel's event.
const CLOSED_AGAIN: Duration = Duration::from_millis(1500);

/// Runs a command of it.
pub(crate) fn run(command: &Guard, sockets: &Sockets, out: &mut Out<'_>) -> io::Result<u8> {
    let transport = NetlinkTransport::default();
    match command {
        Guard::List { json } => {
            let gates = machine::gates(&transport, sockets).map_err(other)?;
            if *json {
                show_json(&gates, out)?;
            } else {
                show(&gates, out)?;
            }
            Ok(0)
        }
        Guard::Open(options) => {
            let pair = options.selector.as_deref().map(read).transpose()?;
            let opened = match &pair {
                Some(pair) => {
                    let there = admin::list(&transport).map_err(other)?;
                    if !there.iter().any(|gate| gate.pair == *pair) {
                        return nothing(pair, options.json, out);
                    }
                    match admin::open(&transport, pair) {
                        // It opened by itself meanwhile.
                        Err(Error::NotFound(_)) => return nothing(pair, options.json, out),
                        other => other.map_err(self::other)?,
                    }
                    vec![*pair]
                }
                None => {
                    let there = admin::list(&transport).map_err(other)?;
                    admin::open_all(&transport).map_err(other)?;
                    there.into_iter().map(|gate| gate.pair).collect()
                }
            };
            let closed = closed_again(&transport, &opened, sockets)?;
            tell(&opened, &closed, options.json, out)
        }
    }
}

fn other(error: Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn read(text: &str) -> io::Result<Pair> {
    admin::parse_pair(text).ok_or_else(|| {
        io::Error::other(format!(
            "\"{text}\" is no gate: LOCAL/LENGTH === REMOTE/LENGTH, with [PROTOCOL] behind it if it \
             has one, as fastswanctl guard list shows it"
        ))
    })
}

fn nothing(pair: &Pair, json: bool, out: &mut Out<'_>) -> io::Result<u8> {
    if json {
        let value = serde_json::json!({ "schema": SCHEMA, "opened": [], "closed_again": [] });
        out.raw(format!("{value:#}\n").as_bytes())?;
    } else {
        out.line(format_args!(
            "there is no gate for {pair}; nothing was changed"
        ))?;
    }
    Ok(FOUND)
}

/// Those of the opened gates that charon closed again, since somebody holds them. Without charon
/// nobody does, and there is nothing to wait for.
fn closed_again(
    transport: &dyn Transport,
    opened: &[Pair],
    sockets: &Sockets,
) -> io::Result<Vec<Pair>> {
    if opened.is_empty() || machine::gate_holders(sockets).is_err() {
        return Ok(Vec::new());
    }
    let end = Instant::now() + CLOSED_AGAIN;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let there = admin::list(transport).map_err(other)?;
        let closed: Vec<Pair> = opened
            .iter()
            .filter(|pair| there.iter().any(|gate| gate.pair == **pair))
            .copied()
            .collect();
        if closed.len() == opened.len() || Instant::now() > end {
            return Ok(closed);
        }
    }
}

fn tell(opened: &[Pair], closed: &[Pair], json: bool, out: &mut Out<'_>) -> io::Result<u8> {
    if json {
        let texts = |pairs: &[Pair]| pairs.iter().map(Pair::to_string).collect::<Vec<_>>();
        let value = serde_json::json!({
            "schema": SCHEMA,
            "opened": texts(opened),
            "closed_again": texts(closed),
        });
        out.raw(format!("{value:#}\n").as_bytes())?;
    } else if opened.is_empty() {
        out.line("there was no gate")?;
    } else {
        for pair in opened {
            if closed.contains(pair) {
                let text = out.paint(
                    Paint::Doubtful,
                    format_args!("{pair}: charon closed it again, since it is held"),
                );
                out.line(text)?;
            } else {
                out.line(format_args!("{pair}: open"))?;
            }
        }
    }
    Ok(if closed.is_empty() { 0 } else { FOUND })
}

fn show(gates: &[Gate], out: &mut Out<'_>) -> io::Result<()> {
    if gates.is_empty() {
        return out.line("no gate is closed");
    }
    for gate in gates {
        let selector = out.paint(Paint::Strong, &gate.selector);
        out.line(selector)?;
        for line in wrap(&about(gate), 75) {
            out.line(format_args!("    {line}"))?;
        }
    }
    Ok(())
}

/// Whose it is and how long it stays.
fn about(gate: &Gate) -> String {
    let held = match &gate.holders {
        None if gate.name.is_empty() => "closed".to_owned(),
        None => format!("closed for {}", gate.name),
        Some(holders) if holders.is_empty() => format!("nobody holds it; it was of {}", gate.name),
        Some(holders) => format!("held by {}", holders.join(", ")),
    };
    match (gate.opens_in, &gate.holders) {
        (Some(seconds), _) => format!("{held}; opens by itself in {seconds} s"),
        (None, Some(holders)) if holders.is_empty() => {
            format!("{held}; stays until a CHILD_SA takes it over, or guard open")
        }
        (None, None) => format!("{held}; whether it is held is not known without the plugin"),
        (None, Some(_)) => held,
    }
}

fn show_json(gates: &[Gate], out: &mut Out<'_>) -> io::Result<()> {
    let value = serde_json::json!({ "schema": SCHEMA, "gates": gates });
    out.raw(format!("{value:#}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(holders: Option<&[&str]>, opens_in: Option<u64>) -> Gate {
        Gate {
            selector: "10.1.0.0/16 === 10.2.0.0/16".to_owned(),
            name: "net".to_owned(),
            opens_in,
            holders: holders.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    fn printed(print: impl FnOnce(&mut Out<'_>) -> io::Result<u8>) -> (String, u8) {
        let mut bytes = Vec::new();
        let mut out = Out::new(Box::new(&mut bytes), false);
        let code = print(&mut out).unwrap();
        out.flush().unwrap();
        drop(out);
        (String::from_utf8(bytes).unwrap(), code)
    }

    #[test]
    fn each_gate_says_whose_it_is_and_how_long_it_stays() {
        for (holders, opens_in, expected) in [
            (
                Some(&["site/net", "site/net (trap)"][..]),
                None,
                "held by site/net, site/net (trap)",
            ),
            (
                Some(&[][..]),
                Some(7),
                "nobody holds it; it was of net; opens by itself in 7 s",
            ),
            (
                Some(&[][..]),
                None,
                "nobody holds it; it was of net; stays until a CHILD_SA takes it over, or guard open",
            ),
            (None, Some(7), "closed for net; opens by itself in 7 s"),
            (
                None,
                None,
                "closed for net; whether it is held is not known without the plugin",
            ),
        ] {
            assert_eq!(about(&gate(holders, opens_in)), expected);
        }
        let (text, _) = printed(|out| show(&[gate(Some(&["a"]), None)], out).map(|()| 0));
        assert_eq!(text, "10.1.0.0/16 === 10.2.0.0/16\n    held by a\n");
        let (text, _) = printed(|out| show(&[], out).map(|()| 0));
        assert_eq!(text, "no gate is closed\n");
        let (text, _) = printed(|out| show_json(&[gate(None, Some(7))], out).map(|()| 0));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["gates"][0]["opens_in"], 7);
    }

    #[test]
    fn what_was_closed_again_is_told_and_counts() {
        let pair = read("10.1.0.0/16 === 10.2.0.0/16").unwrap();
        let (text, code) = printed(|out| tell(&[pair], &[], false, out));
        assert_eq!(
            (text.as_str(), code),
            ("10.1.0.0/16 === 10.2.0.0/16: open\n", 0)
        );
        let (text, code) = printed(|out| tell(&[pair], &[pair], false, out));
        assert!(text.contains("closed it again") && code == FOUND, "{text}");
        let (text, code) = printed(|out| tell(&[], &[], false, out));
        assert_eq!((text.as_str(), code), ("there was no gate\n", 0));
        let (text, code) = printed(|out| nothing(&pair, false, out));
        assert!(
            text.contains("nothing was changed") && code == FOUND,
            "{text}"
        );
        let (text, _) = printed(|out| tell(&[pair], &[pair], true, out));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["closed_again"][0], "10.1.0.0/16 === 10.2.0.0/16");
        assert!(
            read("10.1.0.0/16")
                .unwrap_err()
                .to_string()
                .contains("=== REMOTE")
        );
    }
}
