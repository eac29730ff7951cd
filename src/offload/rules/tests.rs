// SPDX-License-Identifier: GPL-2.0-or-later
//! One row for every rule.

use super::*;
use crate::model::{PortMatch, Prefix};

fn mlx5() -> Device {
    Device {
        ifindex: 2,
        name: "p0".into(),
        up: true,
        kind: None,
        esp_offload: true,
        driver: Some("mlx5_core".into()),
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
        lifetime: Lifetime::default(),
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
                !refusal.remedy.is_empty() || refusal.reason.contains("would match all"),
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

#[test]
fn rules_of_devices() {
    type Change = fn(&mut Device);
    let table: &[(Change, Mode, &str)] = &[
        (|d| d.esp_offload = false, Mode::Packet, "no IPsec offload"),
        (|d| d.esp_offload = false, Mode::Crypto, "no IPsec offload"),
        (|d| d.esp_offload = false, Mode::Software, ""),
        (
            |d| d.kind = Some("vlan".into()),
            Mode::Packet,
            "device is a vlan",
        ),
        (
            |d| d.kind = Some("bond".into()),
            Mode::Packet,
            "device is a bond",
        ),
        (|d| d.kind = Some("bond".into()), Mode::Crypto, ""),
        (|d| d.up = false, Mode::Packet, "device is down"),
    ];
    for (change, mode, want) in table {
        let mut device = mlx5();
        change(&mut device);
        let got = reason(check_device(&device, *mode));
        assert!(
            got.contains(want) && got.is_empty() == want.is_empty(),
            "{got} / {want}"
        );
    }
}

#[test]
fn rules_of_the_interface_hold_for_every_driver() {
    type Change = fn(&mut SaFacts);
    let table: &[(Change, &str)] = &[
        (|s| s.if_id = 7, "XFRM if_id is not supported in RX path"),
        (
            |s| {
                s.if_id = 7;
                s.inbound = false;
            },
            "",
        ),
        (|s| s.tfc = true, "TFC padding can't be offloaded"),
        (
            |s| s.proto = Proto::Ah,
            "Only ESP xfrm state may be offloaded",
        ),
        (
            |s| s.proto = Proto::Comp,
            "Only ESP xfrm state may be offloaded",
        ),
        (|s| s.reqid = 0, "Cannot offload without reqid"),
        (|s| s.ipcomp = true, "Cannot offload compressed xfrm states"),
    ];
    for (change, want) in table {
        let mut facts = sa();
        change(&mut facts);
        for device in [mlx5(), other()] {
            assert_eq!(reason(check_sa(&device, Mode::Packet, &facts)), *want);
            assert_eq!(check_sa(&device, Mode::Software, &facts), Ok(()));
        }
    }
}

#[test]
fn rules_of_mlx5_hold_for_mlx5_only() {
    type Change = fn(&mut SaFacts);
    let table: &[(Change, &str)] = &[
        (
            |s| s.icv_bits = None,
            "Cannot offload authenticated xfrm states",
        ),
        (
            |s| s.aes_gcm = false,
            "Only AES-GCM-ICV16 xfrm state may be offloaded",
        ),
        (
            |s| s.encap = true,
            "Encapsulation is supported in transport mode only",
        ),
        (
            |s| s.icv_bits = Some(64),
            "Cannot offload xfrm states with AEAD ICV length other than 128bit",
        ),
        (
            |s| s.key_bits = 192,
            "Cannot offload xfrm states with AEAD key length other than 128/256 bit",
        ),
        (
            |s| s.mode = IpsecMode::Beet,
            "Only transport and tunnel xfrm states may be offloaded",
        ),
        (
            |s| s.mode = IpsecMode::Iptfs,
            "Only transport and tunnel xfrm states may be offloaded",
        ),
        (|s| s.replay_window = 0, "Unsupported replay window size"),
        (|s| s.replay_window = 1024, "Unsupported replay window size"),
        (
            |s| s.esn = false,
            "the device arms anti-replay with extended sequence numbers only",
        ),
        (
            |s| s.lifetime.bytes.life = 10,
            "Hard byte limit must be greater than soft one",
        ),
        (
            |s| {
                s.lifetime.packets = Limit {
                    life: 10,
                    rekey: 10,
                }
            },
            "Hard packet limit must be greater than soft one",
        ),
    ];
    for (change, want) in table {
        let mut facts = sa();
        change(&mut facts);
        assert_eq!(reason(check_sa(&mlx5(), Mode::Packet, &facts)), *want);
        assert_eq!(check_sa(&other(), Mode::Packet, &facts), Ok(()), "{want}");
    }
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

#[test]
fn rules_of_policies() {
    type Change = fn(&mut PolicyFacts);
    let table: &[(Change, &str)] = &[
        (
            |p| {
                p.reqid = 0;
                p.selector = selector("0.0.0.0", 0, "0.0.0.0", 0, 0);
            },
            "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) \
             different than 0",
        ),
        (
            |p| p.selector.proto = 1,
            "Device does not support upper protocol other than TCP/UDP",
        ),
        (|p| p.selector.proto = 6, ""),
        (|p| p.selector.proto = 17, ""),
        (
            |p| p.priority = u32::MAX,
            "Device doesn't support requested policy priority",
        ),
        (
            |p| p.selector = selector("0.0.0.0", 1, "10.2.0.0", 16, 0),
            "the device would match all addresses instead of 0.0.0.0/1",
        ),
        (
            |p| p.selector = selector("0.0.0.0", 0, "10.2.0.0", 16, 0),
            "",
        ),
    ];
    for (change, want) in table {
        let mut facts = policy();
        change(&mut facts);
        assert_eq!(reason(check_policy(&mlx5(), &facts)), *want);
        assert_eq!(check_policy(&other(), &facts), Ok(()), "{want}");
    }
    let compressed = PolicyFacts {
        templates: 2,
        ..policy()
    };
    for device in [mlx5(), other()] {
        let got = reason(check_policy(&device, &compressed));
        assert_eq!(got, "Cannot offload more than one template");
    }
    let forward = PolicyFacts {
        dir: Direction::Fwd,
        ..policy()
    };
    assert_eq!(
        reason(check_policy(&other(), &forward)),
        "Cannot offload forward policy"
    );
}
