// SPDX-License-Identifier: GPL-2.0-or-later
//! What connections ask for, and what about them cannot be offloaded.
//!
//! Owns the translation of settings into the facts that the plugin's own rules judge
//! (`offload::check_sa`, `offload::check_policy`): what is refused here is refused there, in the
//! same words. Judged as for mlx5, since that is the driver with known rules.

use std::net::IpAddr;

use fastswan::model::{
    Direction, Lifetime, Limit, Mode as IpsecMode, PolicyKind, PortMatch, Prefix, Proto, Selector,
};
use fastswan::offload::fixes::KernelFixes;
use fastswan::offload::{
    Device, Mode, PolicyExtras, PolicyFacts, Refusal, SaExtras, SaFacts, check_policy, check_sa,
    fit_lifetime,
};

use super::{Report, Source, Verdict};
use crate::facts::{Answer, Child, ChildSa, Facts, Swanctl};

pub(super) fn examine(
    facts: &Facts,
    fixes: &KernelFixes,
    source: &Source<'_>,
    report: &mut Report,
) {
    let written = facts.swanctl.known();
    let (children, from): (Vec<(Child, String)>, String) = match (source, &facts.charon) {
        (Source::File(name, children), _) => all(children, format!("from {name}")),
        (Source::Loaded, Answer::Known(charon)) => (
            charon
                .children
                .iter()
                .map(|child| completed(child, written, &charon.child_sas))
                .collect(),
            "as loaded".to_owned(),
        ),
        (Source::Loaded, Answer::Unknown(_)) => match &facts.swanctl {
            Answer::Known(Swanctl { file, children }) => {
                all(children, format!("from {file}, without charon"))
            }
            Answer::Unknown(why) => {
                let text = format!("no connections are known ({why}); check a file with --conf");
                report.skip("child", None, text);
                return;
            }
        },
    };
    if children.is_empty() {
        report.skip("child", None, format!("no connections ({from})"));
    }
    for (child, from) in children {
        judge(facts, fixes, &child, &from, report);
    }
}

fn all(children: &[Child], from: String) -> (Vec<(Child, String)>, String) {
    let children = children
        .iter()
        .map(|child| (child.clone(), from.clone()))
        .collect();
    (children, from)
}

/// A loaded child with what only the file tells: vici has neither proposals nor what decides beside
/// them, and our plugin is asked for `hw_offload` only. The file may be newer than what is loaded, so
/// that what is from it is said. Without one, the cipher that its CHILD_SA has is a proposal as well.
fn completed(child: &Child, written: Option<&Swanctl>, established: &[ChildSa]) -> (Child, String) {
    let mut child = child.clone();
    let found = written.and_then(|swanctl| {
        let same =
            |other: &&Child| other.connection == child.connection && other.name == child.name;
        Some((&swanctl.file, swanctl.children.iter().find(same)?))
    });
    let Some((file, found)) = found else {
        let has = established
            .iter()
            .find(|sa| sa.connection == child.connection && sa.name == child.name)
            .and_then(negotiated);
        let from = match (&child.esp_proposals, has) {
            (Some(_), _) => "as loaded",
            (None, Some(proposal)) => {
                child.esp_proposals = Some(vec![proposal]);
                "as loaded, cipher as negotiated"
            }
            (None, None) => "as loaded, proposals not known",
        };
        return (child, from.to_owned());
    };
    let mut taken = Vec::new();
    if child.offload.is_none() {
        child.offload.clone_from(&found.offload);
        taken.push("hw_offload");
    }
    if child.esp_proposals.is_none() {
        child.esp_proposals.clone_from(&found.esp_proposals);
        child.ah_proposals.clone_from(&found.ah_proposals);
        taken.push("proposals");
    }
    child.replay_window = child.replay_window.or(found.replay_window);
    child.encap = child.encap.or(found.encap);
    child.tfc = child.tfc.or(found.tfc);
    child.ipcomp = child.ipcomp.or(found.ipcomp);
    child.if_id_in = child.if_id_in.or(found.if_id_in);
    for (limit, written) in [
        (&mut child.life_bytes, found.life_bytes),
        (&mut child.rekey_bytes, found.rekey_bytes),
        (&mut child.life_packets, found.life_packets),
        (&mut child.rekey_packets, found.rekey_packets),
    ] {
        if *limit == 0 {
            *limit = written;
        }
    }
    let from = match taken.as_slice() {
        [] => "as loaded".to_owned(),
        taken => format!("as loaded, {} from {file}", taken.join(" and ")),
    };
    (child, from)
}

/// What was negotiated, as swanctl.conf has it: AES_GCM_16-256 is aes256gcm16.
fn negotiated(sa: &ChildSa) -> Option<String> {
    let (name, bits) = match sa.algorithm.rsplit_once('-') {
        Some((name, bits)) if bits.parse::<u32>().is_ok() => (name, bits),
        _ => (sa.algorithm.as_str(), ""),
    };
    let cipher = match name.split('_').collect::<Vec<_>>()[..] {
        [""] => return None,
        ["AES", mode @ ("GCM" | "CCM"), icv] => format!("aes{bits}{}{icv}", mode.to_lowercase()),
        ["AES", ..] => format!("aes{bits}"),
        _ => name.replace('_', "").to_lowercase(),
    };
    Some(format!("{cipher}{}", if sa.esn { "-esn" } else { "" }))
}

fn judge(facts: &Facts, fixes: &KernelFixes, child: &Child, from: &str, report: &mut Report) {
    let object = format!("{}/{}", child.connection, child.name);
    let Some(offload) = child.offload.as_deref() else {
        report.skip(
            "child",
            object,
            "what it asks for is not known: neither our plugin nor swanctl.conf tells; use --conf",
        );
        return;
    };
    let mode = match offload {
        "packet" | "auto" => Mode::Packet,
        "crypto" => Mode::Crypto,
        "no" => {
            report.skip("child", object, format!("hw_offload = no ({from})"));
            return;
        }
        other => {
            report.add(
                "child",
                object,
                Verdict::Fail,
                format!("hw_offload = {other} is none of no, crypto, packet and auto ({from})"),
                "correct the setting.",
            );
            return;
        }
    };
    let refusals = refusals(facts, fixes, child, mode);
    // auto falls back, which works but is not what was hoped for.
    let verdict = if offload == "auto" {
        Verdict::Warn
    } else {
        Verdict::Fail
    };
    if refusals.is_empty() {
        report.good("child", object, format!("hw_offload = {offload} ({from})"));
        return;
    }
    for refusal in refusals {
        report.add(
            "child",
            object.clone(),
            verdict,
            format!("hw_offload = {offload}: {} ({from})", refusal.reason),
            format!("{}.", refusal.remedy.trim_end_matches('.')),
        );
    }
}

fn mlx5(lacks: Vec<&'static str>) -> Device {
    Device {
        ifindex: 1,
        name: "port".to_owned(),
        up: true,
        kind: None,
        esp_offload: true,
        driver: Some(super::nic::MLX5.to_owned()),
        lacks,
    }
}

fn refusals(facts: &Facts, fixes: &KernelFixes, child: &Child, mode: Mode) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = Vec::new();
    let mut note = |result: Result<(), Refusal>| {
        if let Err(refusal) = result
            && !found.iter().any(|other| other.reason == refusal.reason)
        {
            found.push(refusal);
        }
    };
    if matches!(child.mode.as_deref(), Some("pass" | "drop")) {
        return found;
    }
    // What the plugin itself goes by: src/backend/device.rs.
    let lacks: Vec<&str> = fixes.missing().map(|fix| fix.id).collect();
    let device = mlx5(lacks.clone());
    for proposal in proposals(child) {
        for inbound in [true, false] {
            note(check_sa(
                &device,
                mode,
                &sa_facts(child, &proposal, inbound),
            ));
        }
    }
    if mode == Mode::Packet {
        for (local, remote) in pairs(child) {
            for (dir, src, dst) in [
                (Direction::Out, &local, &remote),
                (Direction::In, &remote, &local),
            ] {
                let Some(selector) = selector(src, dst) else {
                    continue;
                };
                note(check_policy(
                    &device,
                    &PolicyFacts {
                        dir,
                        kind: PolicyKind::Ipsec,
                        selector,
                        templates: 1,
                        reqid: 1,
                        priority: 1,
                        more: PolicyExtras::default(),
                    },
                ));
            }
        }
    }
    for peer in facts
        .peers
        .iter()
        .filter(|peer| child.remote_addrs.contains(&peer.address))
    {
        if let Answer::Known(way) = &peer.route
            && let Some(device) = facts.device(way.ifindex)
        {
            let device = Device {
                ifindex: device.ifindex,
                name: device.name.clone(),
                // An interface that is down now may be up by then.
                up: true,
                kind: device.kind.clone(),
                esp_offload: device.esp_offload,
                driver: device.driver.clone(),
                lacks: if device.driver.as_deref() == Some(super::nic::MLX5) {
                    lacks.clone()
                } else {
                    Vec::new()
                },
            };
            note(fastswan::offload::check_device(&device, mode));
        }
    }
    found
}

/// What a proposal comes to: whether it is AES-GCM with a 16 byte ICV, and its key size.
struct Proposal {
    icv_bits: Option<u32>,
    aes_gcm: bool,
    key_bits: usize,
    esn: bool,
}

/// The proposals of a child; one that passes all rules if they are not known.
fn proposals(child: &Child) -> Vec<Proposal> {
    let good = Proposal {
        icv_bits: Some(128),
        aes_gcm: true,
        key_bits: 256,
        esn: true,
    };
    let Some(texts) = &child.esp_proposals else {
        return vec![good];
    };
    texts.iter().map(|text| proposal(text)).collect()
}

fn proposal(text: &str) -> Proposal {
    let words: Vec<&str> = text.split('-').collect();
    // charon's default proposals begin with AES-GCM, without and with ESN.
    if text == "default" {
        return Proposal {
            icv_bits: Some(128),
            aes_gcm: true,
            key_bits: 128,
            esn: false,
        };
    }
    let cipher = words.first().copied().unwrap_or_default();
    let aes_gcm = cipher.starts_with("aes") && cipher.contains("gcm");
    let key_bits = match cipher {
        _ if cipher.starts_with("aes192") => 192,
        _ if cipher.starts_with("aes256") => 256,
        _ if cipher.starts_with("aes") => 128,
        _ => 256,
    };
    // aes256gcm16 = aes256gcm128: 16 bytes or 128 bits.
    let icv = cipher.split("gcm").nth(1).unwrap_or_default();
    let icv_bits = match icv {
        _ if !aes_gcm => None,
        "8" | "64" => Some(64),
        "12" | "96" => Some(96),
        _ => Some(128),
    };
    Proposal {
        icv_bits: icv_bits
            .or_else(|| (cipher.contains("ccm") || cipher.contains("chacha20")).then_some(128)),
        aes_gcm: aes_gcm && icv_bits == Some(128),
        key_bits,
        esn: words.contains(&"esn"),
    }
}

fn sa_facts(child: &Child, proposal: &Proposal, inbound: bool) -> SaFacts {
    SaFacts {
        proto: if child.ah_proposals.is_empty() {
            Proto::Esp
        } else {
            Proto::Ah
        },
        mode: match child.mode.as_deref() {
            Some("transport") => IpsecMode::Transport,
            Some("beet") => IpsecMode::Beet,
            Some("iptfs") => IpsecMode::Iptfs,
            _ => IpsecMode::Tunnel,
        },
        inbound,
        icv_bits: proposal.icv_bits,
        aes_gcm: proposal.aes_gcm,
        key_bits: proposal.key_bits,
        esn: proposal.esn,
        replay_window: child.replay_window.unwrap_or(32),
        allow_no_replay: false,
        encap: child.encap.unwrap_or(false),
        tfc: child.tfc.unwrap_or(false),
        ipcomp: child.ipcomp.unwrap_or(false),
        if_id: u32::from(child.if_id_in.unwrap_or(false)),
        reqid: 1,
        reqid_taken: false,
        reqid_foreign: false,
        // As the plugin does before it asks.
        lifetime: fit_lifetime(
            Lifetime {
                time: Limit::default(),
                bytes: limit(child.life_bytes, child.rekey_bytes),
                packets: limit(child.life_packets, child.rekey_packets),
            },
            inbound,
            proposal.esn,
        ),
        more: SaExtras::default(),
    }
}

fn limit(life: u64, rekey: u64) -> Limit {
    Limit { life, rekey }
}

/// The selectors that are an address or a network; `dynamic` is the address that IKE finds.
fn pairs(child: &Child) -> Vec<(String, String)> {
    let of = |list: &[String]| -> Vec<String> {
        if list.is_empty() {
            vec!["dynamic".to_owned()]
        } else {
            list.to_vec()
        }
    };
    let (local, remote) = (of(&child.local_ts), of(&child.remote_ts));
    local
        .iter()
        .flat_map(|local| {
            remote
                .iter()
                .map(move |remote| (local.clone(), remote.clone()))
        })
        .collect()
}

/// As the kernel would get it; `None` if the two are of different families, or one is not plain.
fn selector(src: &str, dst: &str) -> Option<Selector> {
    let (src, src_proto) = network(src)?;
    let (dst, dst_proto) = network(dst)?;
    // A dynamic end takes the family of the other.
    let any = |other: Option<Prefix>| match other.map(|prefix| prefix.first()) {
        Some(IpAddr::V6(_)) => Some(Prefix::new("2001:db8::1".parse().ok()?, 128)),
        _ => Some(Prefix::new("192.0.2.1".parse().ok()?, 32)),
    };
    let src_prefix = src.or_else(|| any(dst))?;
    let dst_prefix = dst.or_else(|| any(src))?;
    if src_prefix.first().is_ipv4() != dst_prefix.first().is_ipv4() {
        return None;
    }
    Some(Selector {
        src: src_prefix,
        dst: dst_prefix,
        proto: src_proto.max(dst_proto),
        sport: PortMatch::ANY,
        dport: PortMatch::ANY,
        ifindex: 0,
    })
}

/// `10.1.0.0/16[tcp/80]`: network, `None` for `dynamic`, and protocol, 0 = any.
fn network(text: &str) -> Option<(Option<Prefix>, u8)> {
    let (address, rest) = match text.split_once('[') {
        Some((address, rest)) => (address, rest.trim_end_matches(']')),
        None => (text, ""),
    };
    let proto = match rest.split('/').next().unwrap_or_default() {
        "" | "any" => 0,
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "gre" => 47,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        other => other.parse().unwrap_or(255),
    };
    if address == "dynamic" || address.is_empty() {
        return Some((None, proto));
    }
    let (ip, length) = match address.split_once('/') {
        Some((ip, length)) => (ip, Some(length.parse().ok()?)),
        None => (address, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let length = length.unwrap_or(if ip.is_ipv4() { 32 } else { 128 });
    Some((Some(Prefix::new(ip, length)), proto))
}
