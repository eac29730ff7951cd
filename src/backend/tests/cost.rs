// SPDX-License-Identifier: GPL-2.0-or-later
//! What a CHILD_SA costs in messages to the kernel. Each is two system calls (sendmsg, recvmsg), so
//! that the goals of the bench can be held here exactly, whatever else the machine does.

use super::*;

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
