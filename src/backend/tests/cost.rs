// SPDX-License-Identifier: GPL-2.0-or-later
//! What a CHILD_SA costs in messages to the kernel, each of which is two system calls (sendmsg, recvmsg), and in memory:
//! so that the goals of the bench can be held here exactly, whatever else the machine does.

use super::*;
use crate::counted;

/// What was asked of the kernel since the last time.
fn asked(gateway: &Gateway) -> Vec<&'static str> {
    let names = gateway.kernel.request_names();
    gateway.kernel.clear_requests();
    names
}

/// charon's calls for a new CHILD_SA: an SPI, two SAs, three policies.
fn set_up(gateway: &Gateway, child: &Child) {
    let (src, dst) = (child.peer(), Child::local());
    let spi = gateway
        .backend
        .get_spi(src, dst, Proto::Esp)
        .expect("an SPI");
    let mut id = child.sa_id(true);
    id.spi = spi;
    let mut spec = child.sa(true);
    spec.update = true;
    gateway.backend.add_sa(&id, &spec).expect("inbound SA");
    gateway
        .backend
        .add_sa(&child.sa_id(false), &child.sa(false))
        .expect("outbound SA");
    gateway.add_policies(child).expect("policies");
}

fn packet(number: u8) -> Child {
    Child::number(PACKET_PEER, Offload::Packet, number)
}

const BARE: [&str; 6] = [
    "XFRM_MSG_ALLOCSPI",
    "XFRM_MSG_UPDSA",
    "XFRM_MSG_NEWSA",
    "XFRM_MSG_NEWPOLICY",
    "XFRM_MSG_NEWPOLICY",
    "XFRM_MSG_NEWPOLICY",
];

#[test]
fn a_child_sa_costs_one_message_for_each_call() {
    let gateway = Gateway::with_texts(&[], &[("plugins.kernel-fastswan.guard", "no")]);
    set_up(&gateway, &packet(10));
    asked(&gateway);
    for number in 11..20 {
        set_up(&gateway, &packet(number));
        assert_eq!(asked(&gateway), BARE, "the {number}th");
    }
}

#[test]
fn the_gate_costs_one_transaction_more() {
    let gateway = Gateway::new();
    set_up(&gateway, &packet(10));
    asked(&gateway);
    for number in 11..20 {
        set_up(&gateway, &packet(number));
        let names = asked(&gateway);
        // Messages of one transaction follow each other, and are sent in one datagram.
        let nft = |name: &&str| name.starts_with("NFT");
        let runs = names.chunk_by(|one, other| nft(one) && nft(other));
        assert_eq!(runs.filter(|run| nft(&run[0])).count(), 1, "{names:?}");
        let mut rest = names.clone();
        rest.retain(|name| name.starts_with("XFRM"));
        assert_eq!(rest, BARE, "{names:?}");
    }
}

#[test]
fn a_new_peer_costs_a_route_and_a_neighbour_more() {
    let gateway = Gateway::with_texts(&[], &[("plugins.kernel-fastswan.guard", "no")]);
    set_up(&gateway, &packet(10));
    asked(&gateway);
    for number in 11..20_u8 {
        let peer: &'static str = Box::leak(format!("192.0.2.{number}").into_boxed_str());
        let hop = peer.parse().unwrap();
        gateway
            .kernel
            .put_neighbour(P0, hop, [2, 0, 0, 0, 0, number]);
        set_up(&gateway, &Child::number(peer, Offload::Packet, number));
        let mut names = asked(&gateway);
        names.retain(|name| !name.starts_with("XFRM"));
        assert_eq!(names, ["RTM_GETROUTE", "RTM_GETNEIGH"]);
    }
}

#[test]
fn the_end_costs_one_message_for_each_object() {
    let gateway = Gateway::with_texts(&[], &[("plugins.kernel-fastswan.guard", "no")]);
    let children: Vec<Child> = (10..20).map(packet).collect();
    for child in &children {
        gateway.add_child(child).unwrap();
    }
    asked(&gateway);
    for child in &children {
        gateway.delete_child(child);
        let mut names = asked(&gateway);
        names.sort_unstable();
        let [policy, sa] = ["XFRM_MSG_DELPOLICY", "XFRM_MSG_DELSA"];
        assert_eq!(names, [policy, policy, policy, sa, sa]);
    }
    gateway.assert_empty();
}

/// With the gate: shut and opened around the outbound policy, then what the SAs may deliver and the gate itself.
#[test]
fn the_gate_costs_four_transactions_at_the_end_and_one_wait() {
    let gateway = Gateway::new();
    let children: Vec<Child> = (10..20).map(packet).collect();
    for child in &children {
        gateway.add_child(child).unwrap();
    }
    asked(&gateway);
    for (done, child) in children.iter().enumerate() {
        let before = gateway.kernel.nft_transactions();
        gateway.delete_child(child);
        assert_eq!(gateway.kernel.nft_transactions() - before, 4);
        let mut rest = asked(&gateway);
        rest.retain(|name| !name.starts_with("NFT"));
        rest.sort_unstable();
        let [policy, sa] = ["XFRM_MSG_DELPOLICY", "XFRM_MSG_DELSA"];
        assert_eq!(rest, [policy, policy, policy, sa, sa]);
        assert_eq!(gateway.kernel.waits(), done + 1);
    }
    gateway.assert_empty();
}

#[test]
fn software_costs_no_more_than_packet_mode() {
    let gateway = Gateway::new();
    let child = |number| Child::number(PLAIN_PEER, Offload::No, number);
    set_up(&gateway, &child(10));
    asked(&gateway);
    for number in 11..20 {
        set_up(&gateway, &child(number));
        assert_eq!(asked(&gateway), BARE);
    }
}

/// A gateway with a ledger, as the plugin has one. The caller removes the file.
fn with_ledger(guard: &str) -> (Gateway, std::path::PathBuf) {
    let mut gateway = Gateway::with_texts(&[], &[("plugins.kernel-fastswan.guard", guard)]);
    gateway.backend.shutdown();
    let name = format!("fastswan-cost-{guard}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let (host, kernel, timer) = (
        gateway.host.clone(),
        gateway.kernel.clone(),
        gateway.timer.clone(),
    );
    gateway.backend =
        Backend::with_state(host, "6.0.1", kernel, timer, Some(&path)).expect("it starts");
    (gateway, path)
}

/// Allocations of a call of ours.
fn allocations(call: impl FnOnce()) -> u64 {
    let before = counted::calls();
    call();
    counted::calls() - before
}

#[test]
fn a_child_sa_takes_few_allocations_and_little_memory() {
    // What the test itself makes of names and addresses is counted too: some 30.
    for (cover, set_up_max, delete_max, bytes_max) in
        [("no", 130, 48, 2200), ("packet", 182, 84, 2450)]
    {
        let (gateway, path) = with_ledger(cover);
        let children: Vec<Child> = (10..110).map(packet).collect();
        let (last, all) = children.split_last().expect("there are some");
        for child in all {
            set_up(&gateway, child);
        }
        let count = allocations(|| set_up(&gateway, last));
        assert!(count <= set_up_max, "{cover}: {count} to set one up");
        let (some, rest) = all.split_at(50);
        let before = counted::live();
        some.iter().for_each(|child| gateway.delete_child(child));
        // Tables keep their size.
        let bytes = (before - counted::live()) / some.len() as i64;
        assert!(bytes <= bytes_max, "{cover}: {bytes} bytes for each");
        let count = allocations(|| gateway.delete_child(&rest[0]));
        assert!(count <= delete_max, "{cover}: {count} to delete one");
        drop(gateway);
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_policys_key_is_hashed_in_one_piece_with_all_of_its_parts() {
    let key = |number| {
        let id = packet(number).policy_id(Direction::Out);
        PolicyKey {
            dir: id.dir,
            selector: crate::model::Selector::from_ts(&id.src_ts, &id.dst_ts, 0),
            mark: id.mark,
            if_id: id.if_id,
            label: None,
        }
    };
    let hash = |key: &PolicyKey| {
        use std::hash::{Hash, Hasher};
        let mut writes = Writes::default();
        key.hash(&mut writes);
        (writes.finish(), writes.0)
    };
    let (plain, count) = hash(&key(10));
    assert_eq!(count, 1, "the hasher is called once");
    let mut others = vec![key(11)];
    let mut change = |change: &dyn Fn(&mut PolicyKey)| {
        let mut other = key(10);
        change(&mut other);
        others.push(other);
    };
    change(&|key| key.dir = Direction::In);
    change(&|key| key.selector.proto = 6);
    change(&|key| key.selector.sport.port = 1);
    change(&|key| key.selector.sport.mask = 1);
    change(&|key| key.selector.dport.port = 1);
    change(&|key| key.selector.dport.mask = 1);
    change(&|key| key.selector.ifindex = 1);
    change(&|key| key.mark.value = 1);
    change(&|key| key.mark.mask = 1);
    change(&|key| key.if_id = 1);
    change(&|key| key.label = Some(vec![1]));
    change(&|key| key.selector.src = Prefix::new(key.selector.src.first(), 24));
    change(&|key| key.selector.dst = Prefix::new(key.selector.dst.first(), 24));
    for other in others {
        assert_ne!(hash(&other).0, plain, "{other:?}");
    }
}

/// A hasher that counts how often it is called.
#[derive(Default)]
struct Writes(usize, std::hash::DefaultHasher);

impl std::hash::Hasher for Writes {
    fn write(&mut self, bytes: &[u8]) {
        self.0 += 1;
        self.1.write(bytes);
    }
    fn finish(&self) -> u64 {
        self.1.finish()
    }
}
