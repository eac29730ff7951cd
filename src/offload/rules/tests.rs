// SPDX-License-Identifier: GPL-2.0-or-later
//! One row for every rule.

use super::*;
use crate::model::{Limit, PortMatch, Prefix};
use crate::offload::fixes::SUBNETS;

fn mlx5() -> Device {
    Device {
        ifindex: 2,
        name: "p0".into(),
        up: true,
        kind: None,
        esp_offload: true,
        driver: Some("mlx5_core".into()),
        lacks: Vec::new(),
    }
}

fn other() -> Device {
    Device {
        driver: Some("other".into()),
        ..mlx5()
    }
}

fn sa() -> SaFacts {
    SaFacts {
        proto: Proto::Esp,
        mode: IpsecMode::Tunnel,
        inbound: true,
        icv_bits: Some(128),
        aes_gcm: true,
        key_bits: 256,
        esn: true,
        replay_window: 32,
        allow_no_replay: false,
        encap: false,
        tfc: false,
        ipcomp: false,
        if_id: 0,
        reqid: 1,
        reqid_taken: false,
        reqid_foreign: false,
        lifetime: Lifetime::default(),
        more: SaExtras::default(),
    }
}

fn policy() -> PolicyFacts {
    PolicyFacts {
        dir: Direction::Out,
        kind: PolicyKind::Ipsec,
        selector: selector("10.1.0.0", 16, "10.2.0.0", 16, 0),
        templates: 1,
        reqid: 1,
        priority: 383_615,
        more: PolicyExtras::default(),
    }
}

fn selector(src: &str, src_len: u8, dst: &str, dst_len: u8, proto: u8) -> Selector {
    Selector {
        src: Prefix::new(src.parse().unwrap(), src_len),
        dst: Prefix::new(dst.parse().unwrap(), dst_len),
        proto,
        sport: PortMatch::ANY,
        dport: PortMatch::ANY,
        ifindex: 0,
    }
}

fn reason(result: Result<(), Refusal>) -> String {
    match result {
        Ok(()) => String::new(),
        Err(refusal) => {
            assert!(
                !refusal.remedy.is_empty(),
                "{} has no remedy",
                refusal.reason
            );
            refusal.reason
        }
    }
}

#[test]
fn what_is_usual_passes() {
    for device in [mlx5(), other()] {
        for mode in [Mode::Packet, Mode::Crypto, Mode::Software] {
            assert_eq!(check_device(&device, mode), Ok(()));
            assert_eq!(check_sa(&device, mode, &sa()), Ok(()));
        }
        assert_eq!(check_policy(&device, &policy()), Ok(()));
    }
}

/// Each rule of a table has a case, and each case a rule.
fn assert_complete(rules: Vec<&str>, cases: Vec<&str>) {
    for rule in &rules {
        assert!(cases.contains(rule), "rule {rule} has no case");
        let twice = rules.iter().filter(|other| *other == rule).count() > 1;
        assert!(!twice, "two rules are called {rule}");
    }
    for case in cases {
        assert!(rules.contains(&case), "{case} is no rule");
    }
}

#[test]
fn every_rule_of_devices() {
    type Change = fn(&mut Device);
    let cases: &[(&str, Change, Mode, &str)] = &[
        (
            "feature",
            |d| d.esp_offload = false,
            Mode::Packet,
            "no IPsec offload",
        ),
        (
            "feature",
            |d| d.esp_offload = false,
            Mode::Crypto,
            "no IPsec offload",
        ),
        (
            "port",
            |d| d.kind = Some("vlan".into()),
            Mode::Packet,
            "device is a vlan",
        ),
        (
            "port",
            |d| d.kind = Some("bond".into()),
            Mode::Packet,
            "device is a bond",
        ),
        ("port", |d| d.kind = Some("bond".into()), Mode::Crypto, ""),
        ("up", |d| d.up = false, Mode::Packet, "device is down"),
        (
            "panic",
            |d| d.lacks = vec![SECPATH],
            Mode::Packet,
            "CVE-2025-21720",
        ),
        ("panic", |d| d.lacks = vec![SECPATH], Mode::Crypto, ""),
    ];
    for (name, change, mode, want) in cases {
        let mut device = mlx5();
        change(&mut device);
        let got = reason(check_device(&device, *mode));
        assert!(
            got.contains(want) && got.is_empty() == want.is_empty(),
            "{name}: {got} / {want}"
        );
        assert_eq!(check_device(&device, Mode::Software), Ok(()));
    }
    assert_complete(
        DEVICE_RULES.iter().map(|rule| rule.name).collect(),
        cases.iter().map(|case| case.0).collect(),
    );
}

#[test]
fn every_rule_of_sas() {
    type Change = fn(&mut SaFacts);
    let cases: &[(&str, Mode, Change, &str)] = &[
        (
            "if-id",
            Mode::Packet,
            |s| s.if_id = 7,
            "XFRM if_id is not supported in RX path",
        ),
        (
            "tfc",
            Mode::Packet,
            |s| s.tfc = true,
            "TFC padding can't be offloaded",
        ),
        (
            "esp",
            Mode::Packet,
            |s| s.proto = Proto::Ah,
            "Only ESP xfrm state may be offloaded",
        ),
        (
            "esp",
            Mode::Crypto,
            |s| s.proto = Proto::Comp,
            "Only ESP xfrm state may be offloaded",
        ),
        (
            "ipcomp",
            Mode::Packet,
            |s| s.ipcomp = true,
            "Cannot offload compressed xfrm states",
        ),
        (
            "reqid",
            Mode::Packet,
            |s| s.reqid = 0,
            "Cannot offload without reqid",
        ),
        (
            "reqid-foreign",
            Mode::Packet,
            |s| (s.reqid, s.reqid_foreign) = (77, true),
            "reqid 77 belongs to an SA in the device that is not ours",
        ),
        (
            "reqid-shared",
            Mode::Packet,
            |s| (s.reqid, s.reqid_taken) = (77, true),
            "reqid 77 belongs to a CHILD_SA with other traffic selectors",
        ),
        (
            "family",
            Mode::Packet,
            |s| s.more.cross_family = true,
            "the kernel cannot send packets of one family",
        ),
        (
            "per-cpu",
            Mode::Packet,
            |s| s.more.per_cpu = true,
            "packet offload cannot choose among SAs by CPU",
        ),
        (
            "label",
            Mode::Packet,
            |s| s.more.label = true,
            "packet offload cannot choose among SAs by security label",
        ),
        (
            "mark",
            Mode::Packet,
            |s| s.more.mark = true,
            "the device does not match marks",
        ),
        (
            "aead",
            Mode::Packet,
            |s| s.icv_bits = None,
            "Cannot offload authenticated xfrm states",
        ),
        (
            "gcm",
            Mode::Packet,
            |s| s.aes_gcm = false,
            "Only AES-GCM-ICV16 xfrm state may be offloaded",
        ),
        (
            "encap-transport",
            Mode::Packet,
            |s| s.encap = true,
            "Encapsulation is supported in transport mode only",
        ),
        (
            "encap-packet",
            Mode::Crypto,
            |s| s.encap = true,
            "Encapsulation is supported in packet offload mode only",
        ),
        (
            "icv",
            Mode::Packet,
            |s| s.icv_bits = Some(64),
            "Cannot offload xfrm states with AEAD ICV length other than 128bit",
        ),
        (
            "key",
            Mode::Packet,
            |s| s.key_bits = 192,
            "Cannot offload xfrm states with AEAD key length other than 128/256 bit",
        ),
        (
            "sa-protocol",
            Mode::Packet,
            |s| s.more.selector_proto = 1,
            "Device does not support upper protocol other than TCP/UDP",
        ),
        (
            "mode",
            Mode::Packet,
            |s| s.mode = IpsecMode::Beet,
            "Only transport and tunnel xfrm states may be offloaded",
        ),
        (
            "mode",
            Mode::Packet,
            |s| s.mode = IpsecMode::Iptfs,
            "Only transport and tunnel xfrm states may be offloaded",
        ),
        (
            "window",
            Mode::Packet,
            |s| s.replay_window = 0,
            "Unsupported replay window size",
        ),
        (
            "window",
            Mode::Packet,
            |s| s.replay_window = 1024,
            "Unsupported replay window size",
        ),
        (
            "replay",
            Mode::Packet,
            |s| s.esn = false,
            "the device arms anti-replay with extended sequence numbers only",
        ),
        (
            "byte-limits",
            Mode::Packet,
            |s| s.lifetime.bytes.life = 10,
            "Hard byte limit must be greater than soft one",
        ),
        (
            "packet-limits",
            Mode::Packet,
            |s| {
                s.lifetime.packets = Limit {
                    life: 10,
                    rekey: 10,
                }
            },
            "Hard packet limit must be greater than soft one",
        ),
    ];
    for (name, mode, change, want) in cases {
        let mut facts = sa();
        change(&mut facts);
        let rule = SA_RULES.iter().find(|rule| rule.name == *name);
        let rule = rule.unwrap_or_else(|| panic!("{name} is no rule"));
        let got = reason(check_sa(&mlx5(), *mode, &facts));
        assert!(got.starts_with(want), "{name}: {got}");
        let elsewhere = reason(check_sa(&other(), *mode, &facts));
        match rule.of {
            Of::Interface => assert_eq!(elsewhere, got, "{name}"),
            Of::Mlx5 => assert_eq!(elsewhere, "", "{name}: another driver answers for itself"),
        }
        assert_eq!(check_sa(&mlx5(), Mode::Software, &facts), Ok(()));
    }
    assert_complete(
        SA_RULES.iter().map(|rule| rule.name).collect(),
        cases.iter().map(|case| case.0).collect(),
    );
}

#[test]
fn every_rule_of_policies() {
    type Change = fn(&mut PolicyFacts);
    let cases: &[(&str, Change, &str)] = &[
        (
            "forward",
            |p| p.dir = Direction::Fwd,
            "Cannot offload forward policy",
        ),
        (
            "template",
            |p| p.templates = 2,
            "Cannot offload more than one template",
        ),
        (
            "reqid-0",
            |p| {
                p.reqid = 0;
                p.selector = selector("0.0.0.0", 0, "0.0.0.0", 0, 0);
            },
            "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) \
             different than 0",
        ),
        (
            "protocol",
            |p| p.selector.proto = 1,
            "Device does not support upper protocol other than TCP/UDP",
        ),
        (
            "priority",
            |p| p.priority = u32::MAX,
            "Device doesn't support requested policy priority",
        ),
        (
            "policy-mark",
            |p| p.more.mark = true,
            "the device does not match marks",
        ),
        (
            "policy-if-id",
            |p| p.more.if_id = 7,
            "the device does not know XFRM interfaces",
        ),
        (
            "policy-label",
            |p| p.more.label = true,
            "the device does not match security labels",
        ),
        (
            "wildcard",
            |p| p.selector = selector("0.0.0.0", 1, "10.2.0.0", 16, 0),
            "the device would match all addresses instead of 0.0.0.0/1",
        ),
        (
            "port-0",
            |p| {
                p.selector.proto = 17;
                p.selector.dport = PortMatch {
                    port: 0,
                    mask: 0xfc00,
                };
            },
            "the device would match all ports instead of those from 0 on",
        ),
    ];
    for (name, change, want) in cases {
        let mut facts = policy();
        change(&mut facts);
        let rule = POLICY_RULES.iter().find(|rule| rule.name == *name);
        let rule = rule.unwrap_or_else(|| panic!("{name} is no rule"));
        let got = reason(check_policy(&mlx5(), &facts));
        assert!(got.starts_with(want), "{name}: {got}");
        let elsewhere = reason(check_policy(&other(), &facts));
        match rule.of {
            Of::Interface => assert_eq!(elsewhere, got, "{name}"),
            Of::Mlx5 => assert_eq!(elsewhere, "", "{name}: another driver answers for itself"),
        }
    }
    // The one rule that the kernel's release decides.
    let old = Device {
        lacks: vec![SUBNETS],
        ..mlx5()
    };
    let got = reason(check_policy(&old, &policy()));
    assert!(
        got.contains("would match the first address instead of 10.1.0.0/16"),
        "{got}"
    );
    for (src, dst) in [
        (("10.1.0.1", 32), ("10.2.0.1", 32)),
        (("0.0.0.0", 0), ("10.2.0.1", 32)),
    ] {
        let mut facts = policy();
        facts.selector = selector(src.0, src.1, dst.0, dst.1, 0);
        assert_eq!(check_policy(&old, &facts), Ok(()));
    }
    let mut names: Vec<&str> = cases.iter().map(|case| case.0).collect();
    names.push("subnets");
    assert_complete(POLICY_RULES.iter().map(|rule| rule.name).collect(), names);
}

#[test]
fn what_is_close_to_a_rule_passes() {
    for proto in [6, 17] {
        let mut facts = policy();
        facts.selector.proto = proto;
        assert_eq!(check_policy(&mlx5(), &facts), Ok(()));
    }
    let mut facts = policy();
    facts.selector = selector("0.0.0.0", 0, "10.2.0.0", 16, 0);
    assert_eq!(check_policy(&mlx5(), &facts), Ok(()));
    let mut outbound = sa();
    (outbound.inbound, outbound.if_id, outbound.replay_window) = (false, 7, 0);
    assert_eq!(check_sa(&mlx5(), Mode::Packet, &outbound), Ok(()));
}

#[test]
fn a_reqid_is_shared_where_the_kernel_chooses_the_sa() {
    let mut facts = sa();
    (facts.reqid_taken, facts.reqid_foreign) = (true, true);
    assert_ne!(reason(check_sa(&other(), Mode::Packet, &facts)), "");
    assert_eq!(check_sa(&other(), Mode::Crypto, &facts), Ok(()));
}

#[test]
fn replay_without_esn_can_be_accepted_and_is_nothing_to_outbound_sas() {
    let mut facts = sa();
    facts.esn = false;
    facts.allow_no_replay = true;
    assert_eq!(check_sa(&mlx5(), Mode::Packet, &facts), Ok(()));
    facts.allow_no_replay = false;
    facts.inbound = false;
    assert_eq!(check_sa(&mlx5(), Mode::Packet, &facts), Ok(()));
}

#[test]
fn encapsulation_needs_packet_and_transport() {
    let mut facts = sa();
    facts.encap = true;
    facts.mode = IpsecMode::Transport;
    assert_eq!(check_sa(&mlx5(), Mode::Packet, &facts), Ok(()));
    assert_eq!(
        reason(check_sa(&mlx5(), Mode::Crypto, &facts)),
        "Encapsulation is supported in packet offload mode only"
    );
}
