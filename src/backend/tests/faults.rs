// SPDX-License-Identifier: GPL-2.0-or-later
//! Every call to the kernel fails in turn, in each way, while a CHILD_SA is set up, rekeyed, moved
//! and deleted. Whatever fails: the kernel, the NIC, charon and the plugin agree afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::SaUpdate;
use crate::xfrm::Protocol;
use crate::xfrm::consts::XFRM_MSG_NEWPOLICY;

/// What the plugin believes of SAs is what the kernel has, and packet means packet.
fn assert_agreement(gateway: &Gateway, offload: Offload, when: &str) {
    let core = &gateway.backend.core;
    let kernel = gateway.kernel.sas();
    for sa in &kernel {
        let record = core.sad.get(&sa.id.key());
        let record = record.unwrap_or_else(|| panic!("{when}: nobody knows of {}", sa.id));
        assert_eq!(record.placement, sa.placement, "{when}: {}", sa.id);
    }
    assert_eq!(core.sad.len(), kernel.len(), "{when}: an SA is missing");
    let policies = gateway.kernel.policies();
    let tunnels = policies
        .iter()
        .filter(|policy| policy.templates > 0 && policy.key.dir != Direction::Fwd);
    for policy in tunnels {
        match offload {
            Offload::Packet => assert_eq!(policy.offload, Some(P0), "{when}: {policy:?}"),
            Offload::No | Offload::Crypto => assert_eq!(policy.offload, None, "{when}"),
            Offload::Auto => {}
        }
        // An outbound policy in the NIC leads to an SA in the NIC, one in software to one there.
        if let Some(spi) = policy.spi.filter(|_| policy.key.dir == Direction::Out)
            && let Some(sa) = kernel.iter().find(|sa| sa.id.spi == spi)
        {
            assert_eq!(
                policy.offload.is_some(),
                sa.placement.is_packet(),
                "{when}: {policy:?} {}",
                sa.placement
            );
        }
    }
    if offload == Offload::Packet {
        assert!(kernel.iter().all(|sa| sa.placement.is_packet()), "{when}");
    }
}

/// What charon does to a CHILD_SA in its life; one that cannot be set up is closed.
fn live(gateway: &Gateway, offload: Offload, when: &str) {
    let old = Child::number(PACKET_PEER, offload, 5);
    let new = Child {
        spi: 0x77_0000,
        ..old.clone()
    };
    if gateway.add_child(&old).is_err() {
        gateway.delete_child(&old);
    }
    assert_agreement(gateway, offload, &format!("{when}, set up"));
    let _ = gateway.backend.query_sa(&old.sa_id(true), 0);
    if gateway.add_child(&new).is_err() {
        gateway.delete_child(&new);
    }
    // An inbound SA stays so long for the peer, beside another that receives.
    gateway.advance(Duration::from_secs(2));
    assert_agreement(gateway, offload, &format!("{when}, rekeyed"));
    gateway.delete_child(&old);
    gateway.advance(Duration::from_secs(2));
    assert_agreement(gateway, offload, &format!("{when}, old one closed"));
    gateway.delete_child(&new);
    assert_agreement(gateway, offload, &format!("{when}, closed"));
}

#[test]
fn whichever_call_fails_in_whichever_way_all_agree() {
    let errnos = [
        libc::EINVAL,
        libc::ENOSPC,
        libc::EBUSY,
        libc::EPERM,
        libc::EOPNOTSUPP,
        libc::ENOMEM,
        libc::EEXIST,
    ];
    for offload in [Offload::Packet, Offload::Auto, Offload::Crypto, Offload::No] {
        for errno in errnos {
            for nth in 1.. {
                let gateway =
                    Gateway::with_settings(&[("plugins.kernel-fastswan.truth_interval", 0)]);
                let calls = Arc::new(AtomicUsize::new(0));
                let count = calls.clone();
                let name = Arc::new(Mutex::new(""));
                let failed = name.clone();
                gateway.kernel.set_rule(Some(Arc::new(move |request| {
                    if request.protocol == Protocol::Xfrm
                        && count.fetch_add(1, Ordering::Relaxed) + 1 == nth
                    {
                        *failed.lock().unwrap() = request.name;
                        return Err(KernelError::new(request.name, errno));
                    }
                    Ok(())
                })));
                let when = format!("hw_offload = {offload}, errno {errno}, call {nth}");
                live(&gateway, offload, &when);
                gateway.kernel.set_rule(None);
                let core = &gateway.backend.core;
                let left = format!(
                    "{when} ({}): {:?} {:?}",
                    name.lock().unwrap(),
                    gateway.kernel.sas(),
                    gateway.kernel.policies()
                );
                assert!(gateway.kernel.sas().is_empty(), "{left}");
                assert!(gateway.kernel.policies().is_empty(), "{left}");
                assert_eq!(core.units.len(), 0, "{left}");
                assert!(core.sad.is_empty() && core.spd.is_empty(), "{left}");
                if calls.load(Ordering::Relaxed) < nth {
                    assert!(nth > 15, "{when}: too few calls to mean anything");
                    break;
                }
            }
        }
    }
}

#[test]
fn an_answer_that_is_lost_leaves_nothing() {
    for offload in [Offload::Packet, Offload::Auto, Offload::No] {
        let gateway = Gateway::new();
        let child = Child::new(PACKET_PEER, offload);
        gateway.kernel.lose_next_answer(XFRM_MSG_NEWPOLICY);
        let _ = gateway.add_child(&child);
        gateway.delete_child(&child);
        gateway.assert_empty();
    }
}

#[test]
fn a_move_that_fails_leaves_the_sa_where_it_was() {
    for nth in 1..8 {
        let gateway = Gateway::new();
        let child = Child::new(PLAIN_PEER, Offload::No);
        gateway.add_child(&child).unwrap();
        let calls = AtomicUsize::new(0);
        gateway.kernel.set_rule(Some(Arc::new(move |request| {
            if request.protocol == Protocol::Xfrm
                && calls.fetch_add(1, Ordering::Relaxed) + 1 == nth
            {
                return Err(KernelError::new(request.name, libc::ENOMEM));
            }
            Ok(())
        })));
        let id = child.sa_id(false);
        let moved = Addr::new("203.0.113.77".parse().unwrap());
        let update = SaUpdate {
            new_src: id.src,
            new_dst: moved,
            sa: None,
            old_reqid: None,
            new_reqid: None,
            cpi: 0,
            encap: false,
            new_encap: false,
        };
        let result = gateway.backend.update_sa(&id, &update);
        gateway.kernel.set_rule(None);
        assert_agreement(&gateway, Offload::No, &format!("call {nth}: {result:?}"));
    }
}
