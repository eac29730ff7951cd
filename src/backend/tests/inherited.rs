// SPDX-License-Identifier: GPL-2.0-or-later
//! Bugs of kernel-netlink's IPsec half that we must not have, as far as they have no better place.
//!
//! By the numbers of the study: B1 (two threads, one policy) `parallel.rs`; B2 (route lost by a waiter)
//! `routes.rs`; B3 and B5 and B7 here; B4 (marks by mask) `policies.rs`; B6 (IPComp results) `moves.rs`
//! and `sas.rs`; B8 (keys in memory) `tests/netlink_host.rs`; B9 (a debug line) has no counterpart;
//! B10 (lost events) `events.rs`; B11 (attributes dropped) `xfrm/tests/movement.rs`; B12 (stale
//! policies are replaced without a complaint only if told so) `policies.rs`; B13 (UDP_GRO may fail)
//! below; B14 (uname) `xfrm/tests/abilities.rs`; B15 (an unset length) cannot be written in Rust.

use super::*;
use crate::xfrm::consts::{XFRM_MSG_DELSA, XFRM_MSG_NEWPOLICY, XFRMA_IF_ID, XFRMA_MARK, usersa_id};
use crate::xfrm::request::Attributes;

/// B3: `if_nametoindex()` is 0 for an interface that is not there, and 0 means any.
#[test]
fn an_unknown_interface_is_refused_by_name() {
    let gateway = Gateway::new();
    let child = Child {
        mode: Mode::Transport,
        ..Child::new(PLAIN_PEER, Offload::No)
    };
    let mut sa = child.sa(true);
    sa.interface = Some("nosuch0".into());
    let text = line(gateway.backend.add_sa(&child.sa_id(true), &sa));
    assert!(text.contains("there is no interface 'nosuch0'"), "{text}");
    for dir in [Direction::In, Direction::Fwd, Direction::Out] {
        let mut id = child.policy_id(dir);
        id.interface = Some("nosuch0".into());
        let text = line(gateway.backend.add_policy(&id, &child.policy(dir)));
        assert!(text.contains("there is no interface 'nosuch0'"), "{text}");
        // charon deletes what it could not add.
        assert!(matches!(
            gateway.backend.del_policy(&id, &child.policy(dir)),
            Err(Error::NotFound(_))
        ));
    }
    gateway.assert_empty();
}

/// B5: the IPComp SA is deleted by its whole key.
#[test]
fn an_ipcomp_sa_is_deleted_with_mark_and_interface_id() {
    let gateway = Gateway::new();
    let child = Child {
        ipcomp: 2,
        if_id: 7,
        ..Child::new(PLAIN_PEER, Offload::No)
    };
    let mut id = child.sa_id(false);
    id.mark = Mark {
        value: 1,
        mask: 0xff,
    };
    gateway.backend.add_sa(&id, &child.sa(false)).unwrap();
    gateway.kernel.clear_requests();
    gateway.backend.del_sa(&id, child.sa(false).cpi).unwrap();
    let requests = gateway.kernel.requests();
    let deletions: Vec<_> = requests
        .iter()
        .filter(|request| request.kind == XFRM_MSG_DELSA)
        .collect();
    assert_eq!(deletions.len(), 2);
    for deletion in deletions {
        let attributes = Attributes::behind(&deletion.payload, usersa_id::LEN);
        assert_eq!(
            attributes.clone().value_of(XFRMA_IF_ID),
            Some(&7_u32.to_ne_bytes()[..])
        );
        assert_eq!(attributes.value_of(XFRMA_MARK).map(|mark| mark[0]), Some(1));
    }
    assert!(gateway.kernel.sas().is_empty());
}

/// B7: a policy that could not be added is not there, and can be added later.
#[test]
fn a_policy_that_was_refused_leaves_nothing() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    let dir = Direction::In;
    gateway
        .kernel
        .refuse_next(XFRM_MSG_NEWPOLICY, libc::ENOMEM, None);
    gateway
        .backend
        .add_policy(&child.policy_id(dir), &child.policy(dir))
        .unwrap_err();
    assert!(gateway.backend.core.spd.is_empty());
    gateway.kernel.clear_requests();
    assert!(matches!(
        gateway
            .backend
            .del_policy(&child.policy_id(dir), &child.policy(dir)),
        Err(Error::NotFound(_))
    ));
    assert!(gateway.kernel.requests().is_empty());
    gateway.add_policies(&child).unwrap();
    gateway.delete_child(&child);
    gateway.assert_empty();
}

/// B13: what the kernel must do (UDP_ENCAP) decides; UDP_GRO is an extra. A socket that is none
/// cannot have the first.
#[test]
fn decapsulation_decides_and_not_receive_offload() {
    use std::os::fd::AsRawFd;

    let gateway = Gateway::new();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let wanted = crate::xfrm::sockopt::udp_decap(udp.as_raw_fd(), libc::AF_INET).is_ok();
    let again = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let result = gateway
        .backend
        .enable_udp_decap(again.as_raw_fd(), libc::AF_INET, 4500);
    assert_eq!(result.is_ok(), wanted);
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(
        gateway
            .backend
            .enable_udp_decap(file.as_raw_fd(), libc::AF_INET, 4500)
            .is_err()
    );
}
