// SPDX-License-Identifier: GPL-2.0-or-later
//! The order of users, and turns under contention.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::model::{
    Direction, Mark, Mode, Offload, PolicyKind, PriorityClass, Selector, Spi, TrafficSelector,
};

fn ts(net: &str) -> TrafficSelector {
    TrafficSelector {
        from: format!("{net}.0").parse().unwrap(),
        to: format!("{net}.255").parse().unwrap(),
        proto: 0,
        from_port: 0,
        to_port: u16::MAX,
    }
}

fn key(net: &str) -> PolicyKey {
    PolicyKey {
        dir: Direction::Out,
        selector: Selector::from_ts(&ts("10.1.0"), &ts(net), 0),
        mark: Mark::default(),
        if_id: 0,
        label: None,
    }
}

fn user(class: PriorityClass, manual_prio: u32, reqid: u32, spi: u32) -> User {
    let id = PolicyId {
        dir: Direction::Out,
        src_ts: ts("10.1.0"),
        dst_ts: ts("10.2.0"),
        mark: Mark::default(),
        if_id: 0,
        interface: None,
        label: None,
    };
    let spec = PolicySpec {
        name: "net".into(),
        kind: PolicyKind::Ipsec,
        class,
        manual_prio,
        offload: Offload::No,
        pcpu_acquires: false,
        forward_icmp: false,
        src: None,
        dst: None,
        sa: SaReference {
            mode: Some(Mode::Tunnel),
            reqid,
            policy_count: 1,
            esp: Some(Spi(spi)),
            ah: None,
            ipcomp: 0,
            cpi: 0,
        },
    };
    User::new(&id, &spec, &key("10.2.0"))
}

fn spis(entry: &Entry) -> Vec<u32> {
    entry
        .users
        .iter()
        .map(|user| user.spec.sa.esp.map_or(0, |spi| spi.0))
        .collect()
}

#[test]
fn the_newest_of_equals_is_first_and_traps_are_last() {
    let mut entry = Entry::default();
    assert!(entry.insert(user(PriorityClass::Routed, 0, 1, 1)));
    assert!(entry.insert(user(PriorityClass::Default, 0, 1, 2)));
    assert!(entry.insert(user(PriorityClass::Default, 0, 1, 3)));
    assert!(!entry.insert(user(PriorityClass::Fallback, 0, 1, 4)));
    assert_eq!(spis(&entry), [3, 2, 1, 4]);
}

#[test]
fn a_user_without_reqid_waits_behind_one_with() {
    let mut entry = Entry::default();
    assert!(entry.insert(user(PriorityClass::Default, 0, 1, 1)));
    assert!(!entry.insert(user(PriorityClass::Default, 0, 0, 2)));
    assert!(entry.insert(user(PriorityClass::Default, 0, 1, 3)));
    assert_eq!(spis(&entry), [3, 1, 2]);
}

#[test]
fn equal_priorities_set_by_hand_are_ordered_by_the_automatic_one() {
    let mut entry = Entry::default();
    entry.insert(user(PriorityClass::Routed, 100, 1, 1));
    entry.insert(user(PriorityClass::Default, 100, 1, 2));
    entry.insert(user(PriorityClass::Routed, 100, 1, 3));
    assert_eq!(spis(&entry), [2, 3, 1]);
}

#[test]
fn a_user_is_removed_by_what_it_was_added_with() {
    let mut entry = Entry::default();
    entry.insert(user(PriorityClass::Default, 0, 1, 1));
    entry.insert(user(PriorityClass::Default, 0, 1, 2));
    assert!(
        entry
            .remove(&user(PriorityClass::Default, 0, 1, 9))
            .is_none()
    );
    assert!(
        entry
            .remove(&user(PriorityClass::Routed, 0, 1, 2))
            .is_none()
    );
    let (removed, first) = entry
        .remove(&user(PriorityClass::Default, 0, 1, 1))
        .unwrap();
    assert_eq!((removed.spec.sa.esp, first), (Some(Spi(1)), false));
    let (_, first) = entry
        .remove(&user(PriorityClass::Default, 0, 1, 2))
        .unwrap();
    assert!(first);
}

#[test]
fn one_at_a_time_per_key_and_nothing_is_left() {
    let spd = Spd::default();
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for round in 0..8 {
            let (spd, inside) = (&spd, &inside);
            scope.spawn(move || {
                for _ in 0..500 {
                    let mut turn = spd.turn(&key("10.2.0"));
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two in one turn");
                    turn.entry.insert(user(PriorityClass::Default, 0, 1, round));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                    // Another key never waits for this one.
                    drop(spd.turn(&key("10.3.0")));
                    let mut turn = spd.existing(&key("10.2.0")).expect("it is ours");
                    turn.entry
                        .remove(&user(PriorityClass::Default, 0, 1, round))
                        .expect("nobody else removed it");
                }
            });
        }
    });
    assert!(spd.is_empty());
}

#[test]
fn a_turn_ends_with_a_panic_and_the_entry_survives() {
    let spd = Spd::default();
    let result = thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut turn = spd.turn(&key("10.2.0"));
                turn.entry.insert(user(PriorityClass::Default, 0, 1, 1));
                panic!("on purpose");
            })
            .join()
    });
    assert!(result.is_err());
    assert_eq!(spd.turn(&key("10.2.0")).entry.users.len(), 1);
}

#[test]
fn another_key_goes_on_while_one_is_held() {
    let spd = Spd::default();
    let _held = spd.turn(&key("10.2.0"));
    thread::scope(|scope| {
        scope
            .spawn(|| drop(spd.turn(&key("10.3.0"))))
            .join()
            .unwrap();
    });
    assert!(spd.existing(&key("10.4.0")).is_none());
    assert_eq!(spd.keys().len(), 1, "only the held one is left");
}

#[test]
fn a_place_in_the_table_is_small() {
    // A table has room for up to twice as many as are in it, and a CHILD_SA has three.
    let size = size_of::<(PolicyKey, Slot)>();
    assert!(size <= 184, "{size} bytes");
}
