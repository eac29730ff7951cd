// SPDX-License-Identifier: GPL-2.0-or-later
//! Two CHILD_SAs with one reqid of the configuration's, or of another daemon's: a device serves one.

use super::*;

const REQID: u32 = 77;

/// One CHILD_SA of a pair that differs in selectors.
fn child(remote_net: u8, spi: u32, offload: Offload) -> Child {
    Child {
        reqid: REQID,
        spi,
        remote_net,
        ..Child::new(PACKET_PEER, offload)
    }
}

#[test]
fn packet_is_refused_while_the_reqid_serves_other_selectors() {
    let gateway = Gateway::new();
    let first = child(2, 0x1000, Offload::Packet);
    let second = child(3, 0x2000, Offload::Packet);
    gateway.add_child(&first).unwrap();
    let text = line(gateway.add_child(&second));
    assert!(
        text.contains("reqid 77 belongs to a CHILD_SA with other traffic selectors"),
        "{text}"
    );
    assert!(text.contains("a reqid of its own"), "{text}");
    assert_eq!(gateway.kernel.sas().len(), 2);
    // Its own next generation is no other.
    let next = child(2, 0x3000, Offload::Packet);
    gateway.add_child(&next).unwrap();
    gateway.delete_child(&first);
    gateway.delete_child(&next);
    gateway.add_child(&second).unwrap();
    let (sas, policies) = gateway.placements();
    assert_eq!(sas, [Placement::Packet(P0); 2]);
    assert_eq!(policies, [Some(P0); 2]);
    gateway.delete_child(&second);
    gateway.assert_empty();
}

#[test]
fn auto_is_refused_beside_it_since_the_kernel_would_lose_the_one_in_the_nic() {
    let gateway = Gateway::new();
    let first = child(2, 0x1000, Offload::Packet);
    gateway.add_child(&first).unwrap();
    for offload in [Offload::Auto, Offload::No, Offload::Crypto] {
        let second = child(3, 0x2000, offload);
        let text = line(gateway.add_child(&second));
        assert!(text.contains("reqid 77 belongs to a CHILD_SA"), "{text}");
        assert!(text.contains("a reqid of its own"), "{text}");
        assert_eq!(gateway.kernel.sas().len(), 2);
    }
    // The one in the NIC is rekeyed there.
    let next = child(2, 0x3000, Offload::Packet);
    gateway.add_child(&next).unwrap();
    assert_eq!(gateway.placements().0, [Placement::Packet(P0); 4]);
    for child in [&first, &next] {
        gateway.delete_child(child);
    }
    gateway.assert_empty();
}

#[test]
fn a_reqid_that_a_stranger_has_in_the_nic_is_left_to_him() {
    let machine = Gateway::new();
    let foreign = child(3, 0x9000, Offload::Packet);
    machine.add_child(&foreign).unwrap();
    let (host, timer) = (
        Arc::new(FakeHost::default()),
        Arc::new(FakeTimer::default()),
    );
    let kernel = machine.kernel.clone();
    let backend =
        Backend::with_parts(host.clone(), "6.0.1", kernel.clone(), timer.clone()).unwrap();
    let gateway = Gateway {
        kernel,
        host,
        timer,
        backend,
    };
    let packet = child(2, 0x1000, Offload::Packet);
    let text = line(gateway.add_child(&packet));
    assert!(
        text.contains("reqid 77 belongs to an SA in the device that is not ours"),
        "{text}"
    );
    assert!(text.contains("charon.reqid_base"), "{text}");
    let auto = child(2, 0x2000, Offload::Auto);
    gateway.add_child(&auto).unwrap();
    let of = |spi: u32| {
        let sas = gateway.kernel.sas();
        let mut of: Vec<_> = sas
            .iter()
            .filter(|sa| sa.id.spi.0 & 0xf000 == spi)
            .collect();
        of.dedup_by_key(|sa| sa.placement);
        of.iter().map(|sa| sa.placement).collect::<Vec<_>>()
    };
    assert_eq!(of(0x2000), [Placement::Crypto(P0)]);
    assert_eq!(of(0x9000), [Placement::Packet(P0)]);
    gateway.delete_child(&auto);
    // Another reqid is free, and this one as soon as he is gone.
    let other = Child {
        reqid: 78,
        ..packet.clone()
    };
    gateway.add_child(&other).unwrap();
    gateway.delete_child(&other);
    machine.delete_child(&foreign);
    gateway.add_child(&packet).unwrap();
    assert_eq!(of(0x1000), [Placement::Packet(P0)]);
    gateway.delete_child(&packet);
    gateway.assert_empty();
}
