// SPDX-License-Identifier: GPL-2.0-or-later
//! update_sa: SAs that move to other addresses, or say that they cannot.

use super::*;

/// What charon up to 6.0.6 says.
fn to(new_src: Addr, new_dst: Addr) -> SaUpdate {
    SaUpdate {
        new_src,
        new_dst,
        sa: None,
        old_reqid: None,
        new_reqid: None,
        cpi: 0,
        encap: false,
        new_encap: false,
    }
}

#[test]
fn an_sa_in_the_nic_is_not_moved_but_rekeyed() {
    let gateway = Gateway::new();
    let child = Child::new(PACKET_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(false);
    let update = to(id.src, Addr::new("192.0.2.77".parse().unwrap()));
    assert!(matches!(
        gateway.backend.update_sa(&id, &update),
        Err(Error::NotSupported(_))
    ));
    assert_eq!(gateway.kernel.sas().len(), 2, "nothing was deleted");
}

#[test]
fn an_sa_in_software_moves_with_its_counters_of_sequence() {
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_child(&child).unwrap();
    let id = child.sa_id(false);
    gateway.kernel.set_sequence(&id.key(), 4711, 0);
    let new_dst = Addr::new("203.0.113.77".parse().unwrap());
    let update = to(id.src, new_dst);
    gateway.backend.update_sa(&id, &update).unwrap();
    let sas = gateway.kernel.sas();
    assert_eq!(sas.len(), 2);
    let moved = sas.iter().find(|sa| sa.id.dst.ip == new_dst.ip).unwrap();
    assert_eq!(moved.replay.oseq, 4711);
    gateway
        .backend
        .del_sa(&SaId { dst: new_dst, ..id }, 0)
        .unwrap();
}

const NEW_PEER: &str = "203.0.113.77";

fn compressed() -> Child {
    Child {
        ipcomp: 2,
        ..Child::new(PLAIN_PEER, Offload::No)
    }
}

fn destinations(gateway: &Gateway, inbound: bool) -> Vec<(Proto, String, u32)> {
    let sas = gateway.kernel.sas().into_iter();
    let mut all: Vec<_> = sas
        .filter(|sa| sa.inbound == Some(inbound))
        .map(|sa| (sa.id.proto, sa.id.dst.ip.to_string(), sa.reqid))
        .collect();
    all.sort_by_key(|(proto, _, _)| proto.number());
    all
}

/// A kernel that moves SAs itself, and one where they are copied.
fn gateways() -> [(Gateway, u16); 2] {
    let old = Gateway::with_knobs(Knobs {
        no_migrate_state: true,
        ..Knobs::default()
    });
    [
        (Gateway::new(), crate::xfrm::consts::XFRM_MSG_MIGRATE_STATE),
        (old, crate::xfrm::consts::XFRM_MSG_NEWSA),
    ]
}

/// B6: kernel-netlink does not look at what became of the IPComp SA.
#[test]
fn an_ipcomp_sa_moves_with_its_esp_sa() {
    for (gateway, _) in gateways() {
        let child = compressed();
        gateway.add_child(&child).unwrap();
        let id = child.sa_id(false);
        let update = SaUpdate {
            cpi: child.sa(false).cpi,
            new_reqid: Some(9),
            ..to(id.src, Addr::new(NEW_PEER.parse().unwrap()))
        };
        gateway.backend.update_sa(&id, &update).unwrap();
        assert_eq!(
            destinations(&gateway, false),
            [
                (Proto::Esp, NEW_PEER.to_owned(), 9),
                (Proto::Comp, NEW_PEER.to_owned(), 9)
            ]
        );
    }
}

#[test]
fn both_stay_if_the_ipcomp_sa_cannot_move() {
    for (gateway, kind) in gateways() {
        let child = compressed();
        gateway.add_child(&child).unwrap();
        let before = destinations(&gateway, false);
        let id = child.sa_id(false);
        let update = SaUpdate {
            cpi: child.sa(false).cpi,
            ..to(id.src, Addr::new(NEW_PEER.parse().unwrap()))
        };
        // The copy that takes its place is refused too, where there is another way.
        gateway.kernel.refuse_next(kind, libc::ENOMEM, None);
        if kind != crate::xfrm::consts::XFRM_MSG_NEWSA {
            gateway
                .kernel
                .refuse_next(crate::xfrm::consts::XFRM_MSG_NEWSA, libc::ENOMEM, None);
        }
        let error = gateway.backend.update_sa(&id, &update).unwrap_err();
        assert!(matches!(&error, Error::NotSupported(text) if text.starts_with("CPI ")));
        assert_eq!(destinations(&gateway, false), before);
    }
}

#[test]
fn both_stay_if_the_esp_sa_cannot_move() {
    for (gateway, _) in gateways() {
        let child = compressed();
        gateway.add_child(&child).unwrap();
        let before = destinations(&gateway, false);
        let id = child.sa_id(false);
        let update = SaUpdate {
            cpi: child.sa(false).cpi,
            new_reqid: Some(9),
            ..to(id.src, Addr::new(NEW_PEER.parse().unwrap()))
        };
        // The kernel never takes the ESP SA at the new address.
        let new_peer: IpAddr = NEW_PEER.parse().unwrap();
        gateway.kernel.set_rule(Some(Arc::new(move |request| {
            use crate::xfrm::consts::{
                XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWSA, migrate_state, usersa,
            };
            let (at, proto) = match request.kind {
                XFRM_MSG_MIGRATE_STATE => (migrate_state::NEW_DADDR, 22),
                XFRM_MSG_NEWSA => (usersa::DADDR, usersa::PROTO),
                _ => return Ok(()),
            };
            let payload = &request.payload;
            let there = crate::xfrm::request::ip_at(payload, at, 2) == Some(new_peer);
            if there && payload[proto] == 50 {
                return Err(KernelError::new(request.name, libc::EINVAL));
            }
            Ok(())
        })));
        assert!(matches!(
            gateway.backend.update_sa(&id, &update),
            Err(Error::NotSupported(_))
        ));
        assert_eq!(destinations(&gateway, false), before);
    }
}

/// What charon says from 6.1.0 on is used: selectors of transport mode, and the direction of an SA
/// that is not ours.
#[test]
fn selectors_follow_what_charon_says() {
    for (gateway, _) in gateways() {
        let child = Child {
            mode: Mode::Transport,
            ..Child::new(PLAIN_PEER, Offload::No)
        };
        gateway.add_child(&child).unwrap();
        let id = child.sa_id(false);
        let host = |ip: &str| TrafficSelector {
            from: ip.parse().unwrap(),
            to: ip.parse().unwrap(),
            proto: 17,
            from_port: 5000,
            to_port: 5000,
        };
        let update = SaUpdate {
            sa: Some(UpdatedSa {
                mode: Mode::Transport,
                offload: Offload::No,
                src_ts: vec![host("192.0.2.1")],
                dst_ts: vec![host(NEW_PEER)],
                interface: None,
                inbound: false,
            }),
            old_reqid: Some(1),
            ..to(id.src, Addr::new(NEW_PEER.parse().unwrap()))
        };
        gateway.backend.update_sa(&id, &update).unwrap();
        let sas = gateway.kernel.sas();
        let moved = sas.iter().find(|sa| sa.inbound == Some(false)).unwrap();
        let selector = moved.selector.unwrap();
        assert_eq!(
            selector.to_string(),
            format!("192.0.2.1/32 === {NEW_PEER}/32")
        );
        // An interface that is not there leaves the SA where it is.
        let id = SaId {
            dst: update.new_dst,
            ..id
        };
        let mut refused = update.clone();
        refused.sa.as_mut().unwrap().interface = Some("nosuch".into());
        refused.new_dst = child.sa_id(false).dst;
        let error = gateway.backend.update_sa(&id, &refused).unwrap_err();
        assert!(error.to_string().contains("there is no interface 'nosuch'"));
        assert_eq!(gateway.kernel.sas().len(), 2);
    }
}

#[test]
fn in_lockdown_nothing_is_copied() {
    let gateway = Gateway::with_knobs(Knobs {
        no_migrate_state: true,
        ..Knobs::default()
    });
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_child(&child).unwrap();
    gateway.kernel.set_knobs(Knobs {
        no_migrate_state: true,
        lockdown: true,
        ..Knobs::default()
    });
    let id = child.sa_id(false);
    let update = to(id.src, Addr::new(NEW_PEER.parse().unwrap()));
    let error = gateway.backend.update_sa(&id, &update).unwrap_err();
    assert!(matches!(&error, Error::NotSupported(text) if text.contains("lockdown")));
    assert_eq!(gateway.kernel.sas().len(), 2);
}
