// SPDX-License-Identifier: GPL-2.0-or-later
//! When the gate is closed and opened in the course of a CHILD_SA. What is in it is tested in
//! `guard/`.

use super::*;
use crate::guard::admin;
use crate::xfrm::consts::XFRM_MSG_NEWSA;

const GUARD: &str = "plugins.kernel-fastswan.guard";

fn guarded(texts: &[(&str, &str)], knobs: Knobs) -> Gateway {
    let mut all = vec![(GUARD, "units")];
    all.extend(texts);
    Gateway::make(&[], &all, knobs)
}

fn first(names: &[&str], wanted: &[&str]) -> usize {
    names
        .iter()
        .position(|name| wanted.contains(name))
        .unwrap_or_else(|| panic!("none of {wanted:?} in {names:?}"))
}

fn last(names: &[&str], wanted: &[&str]) -> usize {
    names
        .iter()
        .rposition(|name| wanted.contains(name))
        .unwrap_or_else(|| panic!("none of {wanted:?} in {names:?}"))
}

/// Selectors of the closed gates, and whether they open by themselves.
fn gates(gateway: &Gateway) -> Vec<(String, bool)> {
    let list = admin::list(gateway.kernel.as_ref()).unwrap();
    list.into_iter()
        .map(|gate| (gate.pair.to_string(), gate.left.is_some()))
        .collect()
}

#[test]
fn the_gate_is_closed_before_the_first_sa_and_released_behind_the_last() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let names = gateway.kernel.request_names();
    let gate = first(&names, &["NFT_MSG_NEWSETELEM"]);
    let sa = first(&names, &["XFRM_MSG_NEWSA", "XFRM_MSG_UPDSA"]);
    let policy = first(&names, &["XFRM_MSG_NEWPOLICY", "XFRM_MSG_UPDPOLICY"]);
    assert!(gate < sa && sa < policy, "{names:?}");
    assert_eq!(gateway.kernel.nft_egress("fastswan"), ["egress_p0"]);
    let closed = gates(&gateway);
    assert_eq!(closed.len(), 1);
    assert!(!closed[0].1);
    gateway.kernel.clear_requests();
    gateway.delete_child(&child);
    let names = gateway.kernel.request_names();
    let gate = last(&names, &["NFT_MSG_NEWSETELEM"]);
    assert!(
        last(&names, &["XFRM_MSG_DELPOLICY", "XFRM_MSG_DELSA"]) < gate,
        "{names:?}"
    );
    assert!(gates(&gateway)[0].1, "it opens by itself");
}

#[test]
fn switched_off_it_costs_nothing() {
    let gateway = Gateway::make(&[], &[(GUARD, "no")], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.delete_child(&child);
    let names = gateway.kernel.request_names();
    assert!(
        !names.iter().any(|name| name.starts_with("NFT_")),
        "{names:?}"
    );
}

#[test]
fn without_nftables_there_is_no_packet_mode() {
    let knobs = Knobs {
        nftables: false,
        ..Knobs::default()
    };
    let gateway = guarded(&[], knobs);
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let error = gateway.add_child(&child).unwrap_err().to_string();
    assert!(error.contains("gate"), "{error}");
    assert!(error.contains("guard = no"), "{error}");
    assert!(gateway.kernel.sas().is_empty());
    let auto = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&auto).unwrap();
    let (_, policies) = gateway.placements();
    assert!(policies.iter().all(Option::is_none), "{policies:?}");
}

#[test]
fn an_sa_that_is_refused_leaves_its_gate_to_its_time() {
    let gateway = guarded(&[], Knobs::default());
    let mut child = Child::new(PACKET_PEER, Offload::Packet);
    // TFC padding, which no device does.
    child.tfc = 100;
    gateway.add_child(&child).unwrap_err();
    assert!(gateway.kernel.sas().is_empty());
    assert!(gates(&gateway).iter().all(|(_, timed)| *timed));
}

#[test]
fn a_flush_of_the_kernel_does_not_open_it() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.wipe();
    gateway.host.pump();
    assert_eq!(gates(&gateway).len(), 1);
    assert!(!gates(&gateway)[0].1);
}

#[test]
fn a_removed_table_is_written_anew_by_the_event() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.nft_change("fastswan", None);
    assert!(gates(&gateway).is_empty());
    gateway.host.pump();
    assert_eq!(gates(&gateway).len(), 1);
}

#[test]
fn a_clean_stop_gives_the_gates_their_time_and_a_crash_does_not() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    assert!(!gates(&gateway)[0].1, "as a crash would leave it");
    gateway.backend.shutdown();
    assert!(gates(&gateway)[0].1);
    let gateway = guarded(
        &[("plugins.kernel-fastswan.guard_on_stop", "open")],
        Knobs::default(),
    );
    gateway.add_child(&child).unwrap();
    gateway.backend.shutdown();
    assert!(gateway.kernel.nft_table("fastswan").is_none());
}

#[test]
fn switched_on_by_a_reload_it_is_watched() {
    let gateway = Gateway::make(&[], &[(GUARD, "no")], Knobs::default());
    gateway
        .host
        .texts
        .lock()
        .unwrap()
        .insert(GUARD.into(), "units".into());
    gateway.backend.reload();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    assert_eq!(gates(&gateway).len(), 1);
    gateway.kernel.nft_change("fastswan", None);
    assert!(gates(&gateway).is_empty());
    gateway.host.pump();
    assert_eq!(gates(&gateway).len(), 1, "the event was heard");
}

/// CHILD_SAs whose packets are kept away at this moment, and how often packets were waited for.
fn shut(gateway: &Gateway) -> (usize, usize) {
    let table = gateway.kernel.nft_table("fastswan");
    let shut = table.map_or(0, |table| table.sets["shut_reqids"].len());
    (shut, gateway.kernel.waits())
}

#[test]
fn no_packet_is_on_its_way_to_a_device_when_its_policy_leaves() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.clear_requests();
    gateway.delete_child(&child);
    let names = gateway.kernel.request_names();
    let removed = first(&names, &["XFRM_MSG_DELPOLICY"]);
    assert!(
        first(&names, &["NFT_MSG_NEWSETELEM"]) < removed,
        "{names:?}"
    );
    assert!(
        first(&names, &["NFT_MSG_DESTROYSETELEM"]) > removed,
        "{names:?}"
    );
    assert_eq!(shut(&gateway), (1, 1), "and stays so as long as the gate");
}

#[test]
fn nothing_waits_for_a_policy_that_is_in_no_device() {
    let gateway = guarded(&[], Knobs::default());
    for (number, offload) in [(10, Offload::No), (11, Offload::Crypto)] {
        let child = Child::number(CRYPTO_PEER, offload, number);
        let packet = Child::number(PACKET_PEER, Offload::Packet, 12);
        gateway.add_child(&packet).unwrap();
        gateway.add_child(&child).unwrap();
        let before = shut(&gateway);
        gateway.delete_child(&child);
        assert_eq!(shut(&gateway), before, "{offload:?}");
        gateway.delete_child(&packet);
    }
}

#[test]
fn policies_of_the_same_networks_are_waited_for_one_by_one() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let ids = [80, 443].map(|port| {
        let mut id = child.policy_id(Direction::Out);
        for ts in [&mut id.src_ts, &mut id.dst_ts] {
            ts.proto = 6;
        }
        (id.dst_ts.from_port, id.dst_ts.to_port) = (port, port);
        id
    });
    let spec = child.policy(Direction::Out);
    for id in &ids {
        gateway.backend.add_policy(id, &spec).unwrap();
    }
    for (done, id) in ids.iter().enumerate() {
        gateway.backend.del_policy(id, &spec).unwrap();
        // The CHILD_SA has another one, so it is opened again, behind a second wait.
        assert_eq!(shut(&gateway), (0, 2 * (done + 1)));
    }
}

#[test]
fn a_policy_that_moves_to_software_is_waited_for() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Auto);
    gateway.add_child(&child).unwrap();
    let packet = |gateway: &Gateway| gateway.placements().1.iter().flatten().count();
    assert_eq!((packet(&gateway), shut(&gateway)), (2, (0, 0)));
    gateway.kernel.refuse_next(
        XFRM_MSG_NEWSA,
        libc::EINVAL,
        Some("Device failed to offload this state"),
    );
    let rekeyed = Child {
        spi: child.spi + 2,
        ..child
    };
    gateway.add_child(&rekeyed).unwrap();
    // The inbound one stays for the older generation. The wait behind it is for who holds an old route.
    assert_eq!((packet(&gateway), shut(&gateway)), (1, (0, 2)));
}

#[test]
fn all_policies_are_waited_for_together() {
    let gateway = guarded(&[], Knobs::default());
    let children: Vec<Child> = (10..15)
        .map(|number| Child::number(PACKET_PEER, Offload::Packet, number))
        .collect();
    for child in &children {
        gateway.add_child(child).unwrap();
    }
    gateway.backend.flush_policies().unwrap();
    assert_eq!(shut(&gateway), (5, 1), "as long as the gates");
    for child in &children {
        gateway.add_policies(child).unwrap();
    }
    gateway.backend.shutdown();
    assert_eq!(shut(&gateway), (5, 3));
}

#[test]
fn removing_a_policy_that_was_never_installed_releases_no_gate() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Crypto);
    gateway.add_policies(&child).unwrap();
    assert_eq!(gates(&gateway), [(gates(&gateway)[0].0.clone(), false)]);
    // The SAs of a rekey are refused: charon destroys that CHILD_SA, and deletes its inbound policies.
    let rekeyed = Child {
        spi: child.spi + 2,
        ..child.clone()
    };
    for _ in 0..2 {
        for dir in [Direction::Out, Direction::In] {
            assert!(
                gateway
                    .backend
                    .del_policy(&rekeyed.policy_id(dir), &rekeyed.policy(dir))
                    .is_err()
            );
        }
    }
    assert!(
        !gates(&gateway)[0].1,
        "the policies of the first generation hold it"
    );
}

#[test]
fn what_is_left_at_a_shutdown_is_shut_before_its_sas_go() {
    let gateway = guarded(&[], Knobs::default());
    gateway
        .add_child(&Child::new(PACKET_PEER, Offload::Packet))
        .unwrap();
    gateway.kernel.clear_requests();
    gateway.backend.shutdown();
    let names = gateway.kernel.request_names();
    assert!(
        first(&names, &["NFT_MSG_NEWSETELEM"]) < first(&names, &["XFRM_MSG_DELSA"]),
        "{names:?}"
    );
}

#[test]
fn switched_on_by_a_reload_the_next_rekey_guards_the_device_too() {
    let gateway = Gateway::make(&[], &[(GUARD, "no")], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway
        .host
        .texts
        .lock()
        .unwrap()
        .insert(GUARD.into(), "units".into());
    gateway.backend.reload();
    let rekeyed = Child {
        spi: child.spi + 2,
        ..child.clone()
    };
    gateway.add_child(&rekeyed).unwrap();
    gateway.delete_child(&child);
    let table = gateway.kernel.nft_table("fastswan").unwrap();
    assert_eq!(gates(&gateway).len(), 1);
    assert_eq!(
        table.sets["nics"].len(),
        1,
        "the second pass is dropped: 'a device that does not encrypt'"
    );
    assert_eq!(
        gateway.kernel.nft_egress("fastswan"),
        ["egress_p0"],
        "fragments leave in clear"
    );
}

#[test]
fn a_pass_policy_that_is_refused_exempts_nothing() {
    let gateway = guarded(&[], Knobs::default());
    gateway
        .add_child(&Child::new(PACKET_PEER, Offload::Packet))
        .unwrap();
    let child = Child::number(PACKET_PEER, Offload::Packet, 20);
    let id = child.policy_id(Direction::Out);
    let mut spec = child.policy(Direction::Out);
    spec.kind = PolicyKind::Pass;
    for _ in 0..2 {
        gateway
            .kernel
            .refuse_next(crate::guard::NEWRULE, libc::ENOMEM, None);
    }
    gateway.backend.add_policy(&id, &spec).unwrap_err();
    // charon does not remove it. The next change writes the rules.
    gateway
        .add_child(&Child::number(PACKET_PEER, Offload::Packet, 21))
        .unwrap();
    let table = gateway.kernel.nft_table("fastswan").unwrap();
    let exempt = table.rules.iter().filter(|rule| rule.0 == "exempt_out");
    assert_eq!(exempt.count(), 0, "a hole without a policy");
}

#[test]
fn a_reqid_that_is_taken_again_is_open() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.delete_child(&child);
    assert_eq!(shut(&gateway), (1, 1), "as long as the gate");
    gateway.add_child(&child).unwrap();
    assert_eq!(shut(&gateway), (0, 1));
}

#[test]
fn a_renamed_device_is_guarded_under_its_new_name() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.kernel.put_link(crate::xfrm::fake::FakeLink {
        ifindex: P0,
        name: "p9".into(),
        up: true,
        esp_offload: true,
        packet_offload: true,
        ..Default::default()
    });
    gateway.host.pump();
    // charon rekeys, and another CHILD_SA comes.
    let rekeyed = Child {
        spi: child.spi + 2,
        ..child.clone()
    };
    gateway.add_child(&rekeyed).unwrap();
    gateway.delete_child(&child);
    gateway
        .add_child(&Child::number(PACKET_PEER, Offload::Packet, 20))
        .unwrap();
    assert!(
        gateway
            .kernel
            .nft_egress("fastswan")
            .contains(&"egress_p9".into()),
        "Linux 6.16 binds hooks by name: fragments leave in clear"
    );
}

#[test]
fn below_a_trap_that_stays_in_the_device_nothing_of_the_child_sa_passes() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    let trap = Child {
        class: crate::model::PriorityClass::Routed,
        ..child.clone()
    };
    gateway.add_policies(&trap).unwrap();
    gateway.add_child(&child).unwrap();
    gateway.delete_child(&child);
    assert_eq!(
        shut(&gateway).0,
        1,
        "a device sends in clear what its policy finds no SA for"
    );
    gateway.add_child(&child).unwrap();
    assert_eq!(shut(&gateway).0, 0);
}

#[test]
fn a_reqid_is_opened_behind_its_policy_and_not_for_one_that_is_refused() {
    let gateway = guarded(&[], Knobs::default());
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.delete_child(&child);
    assert_eq!(shut(&gateway).0, 1);
    for inbound in [true, false] {
        gateway
            .backend
            .add_sa(&child.sa_id(inbound), &child.sa(inbound))
            .unwrap();
    }
    let add = || {
        gateway.backend.add_policy(
            &child.policy_id(Direction::Out),
            &child.policy(Direction::Out),
        )
    };
    gateway.kernel.refuse_next(
        crate::xfrm::consts::XFRM_MSG_NEWPOLICY,
        libc::EINVAL,
        Some("Device failed to offload this policy"),
    );
    add().unwrap_err();
    assert_eq!(
        shut(&gateway).0,
        1,
        "a socket may hold a packet of the former one"
    );
    gateway.kernel.clear_requests();
    add().unwrap();
    let names = gateway.kernel.request_names();
    assert!(
        first(&names, &["XFRM_MSG_NEWPOLICY", "XFRM_MSG_UPDPOLICY"])
            < first(&names, &["NFT_MSG_DESTROYSETELEM"]),
        "{names:?}"
    );
}

#[test]
fn a_reqid_whose_policies_are_not_ours_is_opened_too() {
    let gateway = guarded(
        &[("plugins.kernel-fastswan.guard_hold", "forever")],
        Knobs::default(),
    );
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    gateway.delete_child(&child);
    assert_eq!(shut(&gateway).0, 1);
    // `policies = no`: charon gives out the reqid again, somebody else installs the policies.
    let plain = Child {
        offload: Offload::No,
        spi: child.spi + 2,
        ..child
    };
    for inbound in [true, false] {
        gateway
            .backend
            .add_sa(&plain.sa_id(inbound), &plain.sa(inbound))
            .unwrap();
    }
    assert_eq!(shut(&gateway).0, 0, "it can send nothing, for ever");
}
