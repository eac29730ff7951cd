// SPDX-License-Identifier: GPL-2.0-or-later
//! SAs: where they go, what they need, what is read back, how they end.

use super::*;

#[test]
fn packet_goes_to_the_nic_behind_the_route_and_leaves_nothing() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Packet(P0); 2], vec![Some(P0); 2])
    );
    let sas = gateway.kernel.sas();
    let inbound = sas.iter().find(|sa| sa.inbound == Some(true)).unwrap();
    assert!(
        inbound.replay.bitmap,
        "a NIC arms anti-replay for the long form only"
    );
    assert_eq!(inbound.replay.window, 32);
    let outbound = sas.iter().find(|sa| sa.inbound == Some(false)).unwrap();
    assert_eq!(outbound.replay.window, 0);
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn inbound_packet_sas_have_the_long_window_without_esn_too() {
    let gateway = Gateway::new();
    let child = Child {
        esn: false,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    gateway.add_child(&child).unwrap();
    let sas = gateway.kernel.sas();
    let inbound = sas.iter().find(|sa| sa.inbound == Some(true)).unwrap();
    assert!(inbound.replay.bitmap && !inbound.replay.esn);
    let outbound = sas.iter().find(|sa| sa.inbound == Some(false)).unwrap();
    assert!(
        outbound.lifetime.packets.life < 1 << 32,
        "32 bits of sequence numbers must not wrap: {:?}",
        outbound.lifetime.packets
    );
}

#[test]
fn packet_is_refused_where_there_is_none_and_says_what_to_do() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::Packet);
    let text = line(gateway.add_child(&child));
    assert!(
        text.contains("HW offload is not supported by device e0"),
        "{text}"
    );
    assert!(text.contains("ConnectX"), "no remedy: {text}");
    gateway.delete_child(&child);
    gateway.assert_empty();
    assert!(
        !gateway.kernel.request_names().contains(&"XFRM_MSG_NEWSA"),
        "the kernel was asked for what cannot be"
    );
}

#[test]
fn a_refusal_of_the_driver_is_told_in_its_words_with_a_remedy() {
    let gateway = Gateway::new();
    let child = Child {
        enc_alg: 12,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    gateway.kernel.refuse_next(
        crate::xfrm::consts::XFRM_MSG_NEWSA,
        libc::EINVAL,
        Some("other: Only AES-GCM-ICV16 xfrm state may be offloaded"),
    );
    let text = line(gateway.add_child(&child));
    for part in ["packet", "p0", "Only AES-GCM-ICV16", "esp_proposals"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn a_kernel_that_ignores_offload_is_found_out() {
    let gateway = Gateway::new();
    gateway.kernel.set_knobs(crate::xfrm::fake::Knobs {
        xfrm_offload: false,
        ..Default::default()
    });
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let text = line(gateway.add_child(&child));
    assert!(text.contains("CONFIG_XFRM_OFFLOAD"), "{text}");
    gateway.delete_child(&child);
    gateway.assert_empty();
    let trap = line(gateway.add_policies(&child));
    assert!(trap.contains("CONFIG_XFRM_OFFLOAD"), "{trap}");
    gateway.delete_child(&child);
    gateway.assert_empty();
    let auto = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&auto).unwrap();
    assert_eq!(
        gateway.placements(),
        (vec![Placement::Software; 2], vec![None; 2])
    );
    gateway.delete_child(&auto);
    gateway.assert_empty();
}

#[test]
fn rules_of_the_interface_are_checked_before_the_kernel_is_asked() {
    let gateway = Gateway::new();
    for (child, want) in [
        (
            Child {
                tfc: 1400,
                ..Child::new(PACKET_PEER, Offload::Packet)
            },
            "tfc_padding = 0",
        ),
        (
            Child {
                ipcomp: 2,
                ..Child::new(PACKET_PEER, Offload::Packet)
            },
            "ipcomp = no",
        ),
    ] {
        let text = line(gateway.add_child(&child));
        assert!(text.contains(want), "{want} is missing: {text}");
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn software_and_crypto_are_what_they_say() {
    let gateway = Gateway::new();
    let software = Child::number(PACKET_PEER, Offload::No, 5);
    gateway.add_child(&software).unwrap();
    let crypto = Child::number(CRYPTO_PEER, Offload::Crypto, 6);
    gateway.add_child(&crypto).unwrap();
    let (sas, policies) = gateway.placements();
    assert_eq!(
        policies, [None; 4],
        "policies are offloaded in packet mode only"
    );
    let count = |placement| sas.iter().filter(|sa| **sa == placement).count();
    assert_eq!(
        (count(Placement::Software), count(Placement::Crypto(C0))),
        (2, 2)
    );
    gateway.delete_child(&software);
    gateway.delete_child(&crypto);
    gateway.assert_empty();
}

#[test]
fn crypto_fails_on_a_device_without_offload() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::Crypto);
    assert!(line(gateway.add_child(&child)).contains("not supported by device e0"));
    gateway.delete_child(&child);
    gateway.assert_empty();
}

#[test]
fn an_spi_from_get_spi_is_filled_and_one_that_expired_is_added_anew() {
    let gateway = Gateway::new();
    let mut child = Child::new(PACKET_PEER, Offload::Packet);
    child.update = true;
    let id = child.sa_id(true);
    let spi = gateway.backend.get_spi(id.src, id.dst, Proto::Esp).unwrap();
    assert!((0xc000_0000..=0xcfff_ffff).contains(&spi.0));
    let allocated = SaId { spi, ..id };
    gateway.backend.add_sa(&allocated, &child.sa(true)).unwrap();
    assert_eq!(gateway.kernel.sas().len(), 1, "filled, not doubled");
    // Nobody allocated this one, or it was too long ago.
    gateway.backend.add_sa(&id, &child.sa(true)).unwrap();
    assert_eq!(gateway.kernel.sas().len(), 2);
    for id in [allocated, id] {
        gateway.backend.del_sa(&id, 0).unwrap();
    }
    gateway.assert_empty();
}

#[test]
fn an_unused_spi_is_freed_by_del_sa() {
    let gateway = Gateway::new();
    let id = Child::new(PACKET_PEER, Offload::No).sa_id(true);
    let spi = gateway.backend.get_spi(id.src, id.dst, Proto::Esp).unwrap();
    gateway.backend.del_sa(&SaId { spi, ..id }, 0).unwrap();
    gateway.assert_empty();
    assert!(matches!(
        gateway.backend.del_sa(&SaId { spi, ..id }, 0),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn cpis_are_in_the_range_to_be_negotiated() {
    let gateway = Gateway::new();
    let id = Child::new(PACKET_PEER, Offload::No).sa_id(true);
    let cpi = gateway.backend.get_cpi(id.src, id.dst).unwrap();
    assert!((0x100..=0xefff).contains(&cpi));
}

#[test]
fn compression_has_an_sa_of_its_own_that_goes_with_the_other() {
    let gateway = Gateway::new();
    let child = Child {
        ipcomp: 2,
        ..Child::new(PLAIN_PEER, Offload::No)
    };
    gateway.add_child(&child).unwrap();
    let sas = gateway.kernel.sas();
    assert_eq!(sas.len(), 4);
    for sa in &sas {
        let mode = if sa.id.proto == Proto::Comp {
            Mode::Tunnel
        } else {
            Mode::Transport
        };
        assert_eq!(sa.mode_xfrm, mode.xfrm(), "{:?}", sa.id);
    }
    for dir in [Direction::Out, Direction::In, Direction::Fwd] {
        gateway
            .backend
            .del_policy(&child.policy_id(dir), &child.policy(dir))
            .unwrap();
    }
    for inbound in [true, false] {
        let cpi = child.sa(inbound).cpi;
        gateway.backend.del_sa(&child.sa_id(inbound), cpi).unwrap();
    }
    gateway.assert_empty();
}

#[test]
fn compression_is_taken_back_when_the_sa_itself_is_refused() {
    let gateway = Gateway::new();
    let child = Child {
        ipcomp: 2,
        enc_alg: 4711,
        ..Child::new(PLAIN_PEER, Offload::No)
    };
    let text = line(gateway.backend.add_sa(&child.sa_id(true), &child.sa(true)));
    assert!(text.contains("4711"), "the algorithm is not named: {text}");
    gateway.assert_empty();
}

#[test]
fn counters_tell_the_last_use_where_the_kernel_does_not() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(true);
    assert_eq!(gateway.backend.query_sa(&id, 0).unwrap(), Usage::default());
    assert!(gateway.kernel.set_counters(&id.key(), 1500, 10, None));
    let before = gateway.backend.core.seconds();
    let usage = gateway.backend.query_sa(&id, 0).unwrap();
    assert_eq!((usage.bytes, usage.packets), (1500, 10));
    assert!(usage.use_time >= before, "it was used just now");
    let again = gateway.backend.query_sa(&id, 0).unwrap();
    assert_eq!(again.use_time, usage.use_time, "no packet since");
}

#[test]
fn the_kernels_last_use_is_taken_where_there_is_one() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(true);
    let used = crate::xfrm::unix_now() - 100;
    gateway
        .kernel
        .set_counters(&id.key(), 1500, 10, Some(used as u64));
    let usage = gateway.backend.query_sa(&id, 0).unwrap();
    let age = gateway.backend.core.seconds() - usage.use_time;
    assert!(
        (99..=101).contains(&age) || usage.use_time == 1,
        "{age} s ago"
    );
}

#[test]
fn keys_are_in_no_message_for_people() {
    let spec = Child::new(PACKET_PEER, Offload::Packet).sa(true);
    let text = format!("{spec:?}");
    assert!(text.contains("Key(36 bytes)"), "{text}");
    assert!(!text.contains("7, 7"), "{text}");
}

#[test]
fn flush_leaves_an_empty_table() {
    let gateway = Gateway::new();
    gateway
        .add_child(&Child::number(PACKET_PEER, Offload::Packet, 3))
        .unwrap();
    gateway
        .add_child(&Child::number(PLAIN_PEER, Offload::No, 4))
        .unwrap();
    gateway.backend.flush_policies().unwrap();
    gateway.backend.flush_sas().unwrap();
    gateway.assert_empty();
}

#[test]
fn what_charon_leaves_is_removed_at_the_end() {
    let gateway = Gateway::new();
    gateway
        .add_child(&Child::number(PACKET_PEER, Offload::Packet, 3))
        .unwrap();
    gateway.backend.shutdown();
    assert!(gateway.kernel.sas().is_empty());
    assert!(gateway.kernel.policies().is_empty());
    assert!(gateway.host.watched.lock().unwrap().is_empty());
    gateway.backend.shutdown();
}

#[test]
fn an_outbound_sa_outlives_the_policy_that_named_it_by_as_long_as_a_lookup_takes() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&old).unwrap();
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    gateway.add_child(&new).unwrap();
    let now = || gateway.backend.core.ticker.now();
    let begun = now();
    gateway.backend.del_sa(&old.sa_id(true), 0).unwrap();
    assert_eq!(now(), begun, "an inbound one is named by none");
    gateway.timer.advance(Duration::from_millis(20));
    gateway.backend.del_sa(&old.sa_id(false), 0).unwrap();
    assert_eq!(now() - begun, Duration::from_millis(50));
    gateway.delete_child(&old);
    gateway.delete_child(&new);
    assert_eq!(
        now() - begun,
        Duration::from_millis(50),
        "no policy left it"
    );
    gateway.assert_empty();
    // Some time after the rekey nobody waits.
    gateway.add_child(&old).unwrap();
    gateway.add_child(&new).unwrap();
    gateway.timer.advance(Duration::from_secs(1));
    let begun = now();
    gateway.delete_child(&old);
    assert_eq!(now(), begun);
}

#[test]
fn an_inbound_sa_stays_for_a_peer_that_still_sends_with_it() {
    let gateway = Gateway::new();
    let old = Child::new(PACKET_PEER, Offload::Packet);
    let new = Child {
        spi: 0x2000,
        ..old.clone()
    };
    let there = |child: &Child| {
        let key = child.sa_id(true).key();
        gateway.kernel.sas().iter().any(|sa| sa.id.key() == key)
    };
    gateway.add_child(&old).unwrap();
    gateway.add_child(&new).unwrap();
    // The whole generation at once, as after a reauthentication. Its counter says 0: the NIC has not
    // counted yet what the peer sends since a moment ago.
    gateway.delete_child(&old);
    assert!(there(&old));
    assert_eq!(gateway.kernel.sas().len(), 3, "the outbound one is gone");
    gateway.advance(Duration::from_secs(1));
    assert!(there(&old));
    gateway.advance(Duration::from_secs(1));
    assert!(!there(&old));
    assert!(gateway.host.take_expires().is_empty(), "nobody missed it");
    gateway.delete_child(&new);
    gateway.assert_empty();
    // With the last one of the unit it goes at once, and so does one whose outbound SA went before.
    for rekeyed in [false, true] {
        gateway.add_child(&old).unwrap();
        gateway.add_child(&new).unwrap();
        if rekeyed {
            gateway.backend.del_sa(&old.sa_id(false), 0).unwrap();
        }
        gateway.delete_child(&old);
        assert_eq!(there(&old), !rekeyed);
        gateway.delete_child(&new);
        gateway.assert_empty();
    }
    // One that the kernel has lost has nothing that could stay.
    gateway.add_child(&old).unwrap();
    gateway.add_child(&new).unwrap();
    assert!(gateway.kernel.remove_sa(&old.sa_id(true).key()));
    assert!(matches!(
        gateway.backend.del_sa(&old.sa_id(true), 0),
        Err(Error::NotFound(_))
    ));
    gateway.delete_child(&old);
    gateway.delete_child(&new);
    gateway.assert_empty();
}

#[test]
fn a_collision_of_rekeys_does_not_mix_up_the_generations() {
    let gateway = Gateway::new();
    let generation = |number: u32| Child {
        spi: 0x1000 * number,
        ..Child::new(PACKET_PEER, Offload::Packet)
    };
    let [old, won, lost] = [1, 2, 3].map(generation);
    gateway.add_child(&old).unwrap();
    // Inbound ones of both sides' rekeys, the loser's last; the winner's outbound one when the old
    // CHILD_SA is deleted, by when charon knows whose it is.
    for child in [&won, &lost] {
        let id = child.sa_id(true);
        gateway.backend.add_sa(&id, &child.sa(true)).unwrap();
    }
    let [inbound, outbound] = [true, false].map(|inbound| won.sa_id(inbound));
    let pair = (outbound.spi, inbound.spi);
    gateway.host.pairs.lock().unwrap().extend([pair]);
    gateway.backend.add_sa(&outbound, &won.sa(false)).unwrap();
    let spis = |of: &SaId| {
        let mut spis = gateway.backend.core.units.look(won.reqid, |unit| {
            let sas = unit.generation((of.dst.ip, of.spi));
            sas.iter().map(|sa| sa.key.spi.0).collect::<Vec<_>>()
        });
        spis.as_mut().unwrap().sort_unstable();
        spis.unwrap()
    };
    assert_eq!(spis(&outbound), [0x2000, 0x2001]);
    assert_eq!(spis(&inbound), [0x2000, 0x2001]);
    assert_eq!(spis(&lost.sa_id(true)), [0x3001]);
    for child in [&old, &lost, &won] {
        gateway.delete_child(child);
    }
    gateway.assert_empty();
}
