// SPDX-License-Identifier: GPL-2.0-or-later
//! Routes of policies with an XFRM interface ID, and the manager of these interfaces.

use super::*;
use crate::nic::Xfrmi;

const IF_ID: u32 = 42;

fn routed(gateway: &Gateway) -> Vec<(String, Option<IpAddr>, String)> {
    let routes = gateway.host.routes.lock().unwrap();
    let route = |route: &HostRoute| {
        (
            route.net.to_string(),
            route.gateway,
            route.interface.clone(),
        )
    };
    routes.iter().map(route).collect()
}

fn child() -> Child {
    Child {
        if_id: IF_ID,
        ..Child::new(PLAIN_PEER, Offload::No)
    }
}

fn xfrmi(ifindex: u32, name: &str, if_id: u32) -> FakeLink {
    FakeLink {
        ifindex,
        name: name.into(),
        up: true,
        kind: Some("xfrm".into()),
        if_id: Some(if_id),
        ..FakeLink::default()
    }
}

#[test]
fn without_the_setting_a_policy_with_an_interface_id_gets_no_route() {
    let gateway = Gateway::new();
    gateway.kernel.put_link(xfrmi(9, "ipsec0", IF_ID));
    gateway.host.pump();
    gateway.add_child(&child()).unwrap();
    assert!(routed(&gateway).is_empty());
    gateway.delete_child(&child());
    gateway.assert_empty();
}

#[test]
fn with_the_setting_the_route_leads_through_the_xfrm_interface() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.install_routes_xfrmi", 1)]);
    gateway.kernel.put_link(xfrmi(9, "ipsec0", IF_ID + 1));
    gateway.kernel.put_link(xfrmi(11, "ipsec2", IF_ID));
    gateway.kernel.put_link(xfrmi(10, "ipsec1", IF_ID));
    gateway.host.pump();
    gateway.kernel.clear_requests();
    gateway.add_child(&child()).unwrap();
    // The first of two with this ID, no gateway: the interface knows the peer.
    let want = [("10.2.0.0/16".to_owned(), None, "ipsec1".to_owned())];
    assert_eq!(routed(&gateway), want);
    // From the cache: no dump of links, whatever their number.
    let dumps = gateway.kernel.requests();
    assert!(!dumps.iter().any(|request| request.dump), "{dumps:?}");
    gateway.delete_child(&child());
    gateway.assert_empty();
}

#[test]
fn an_interface_made_a_moment_ago_is_found_before_its_event_was_read() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.install_routes_xfrmi", 1)]);
    gateway.kernel.put_link(xfrmi(9, "ipsec0", IF_ID));
    gateway.add_child(&child()).unwrap();
    assert_eq!(routed(&gateway)[0].2, "ipsec0");
    gateway.delete_child(&child());
    gateway.assert_empty();
}

#[test]
fn without_such_an_interface_the_route_leads_to_the_peer() {
    let gateway = Gateway::with_settings(&[("plugins.kernel-fastswan.install_routes_xfrmi", 1)]);
    gateway.add_child(&child()).unwrap();
    assert_eq!(routed(&gateway)[0].2, "e0");
    // It goes as soon as the policy is updated with the interface there.
    gateway.kernel.put_link(xfrmi(9, "ipsec0", IF_ID));
    gateway.host.pump();
    let rekeyed = Child {
        spi: 0x2000,
        ..child()
    };
    gateway.add_child(&rekeyed).unwrap();
    let want = [("10.2.0.0/16".to_owned(), None, "ipsec0".to_owned())];
    assert_eq!(routed(&gateway), want);
    gateway.delete_child(&child());
    gateway.delete_child(&rekeyed);
    gateway.assert_empty();
}

#[test]
fn a_peer_on_the_link_is_the_gateway_where_charon_thinks_so() {
    for (version, gateway) in [
        ("6.0.1", Some(PLAIN_PEER)),
        ("6.0.6", Some(PLAIN_PEER)),
        ("6.1.0", None),
        ("6.10.2", None),
        ("7.0.0", None),
    ] {
        let named = crate::backend::routes::peers_are_next_hops(version);
        assert_eq!(named, gateway.is_some(), "{version}");
    }
    let gateway = Gateway::new();
    let child = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_child(&child).unwrap();
    let want = [(
        "10.2.0.0/16".to_owned(),
        Some(PLAIN_PEER.parse().unwrap()),
        "e0".to_owned(),
    )];
    assert_eq!(routed(&gateway), want);
    gateway.delete_child(&child);
    gateway.assert_empty();
    let host = gateway.host.clone();
    let newer = Backend::with_transport(host, "6.1.0", gateway.kernel.clone()).unwrap();
    let out = (
        child.policy_id(Direction::Out),
        child.policy(Direction::Out),
    );
    newer.add_policy(&out.0, &out.1).unwrap();
    assert_eq!(routed(&gateway)[0].1, None);
    newer.del_policy(&out.0, &out.1).unwrap();
    gateway.assert_empty();
}

/// What B2 would break: one user goes, another one still needs the route (kernel_netlink_ipsec.c:
/// del_policy keeps a pointer to a route it has removed).
#[test]
fn a_route_stays_while_anybody_has_the_policy() {
    let gateway = Gateway::new();
    let first = Child::new(PLAIN_PEER, Offload::No);
    gateway.add_child(&first).unwrap();
    let before = routed(&gateway);
    assert_eq!(before.len(), 1);
    gateway.delete_child(&first);
    assert!(routed(&gateway).is_empty());
    gateway.add_child(&first).unwrap();
    assert_eq!(
        routed(&gateway),
        before,
        "installed again, not taken for there"
    );
    // A DROP in front, as charon has during MOBIKE, leaves it alone.
    let dir = Direction::Out;
    let drop = PolicySpec {
        kind: PolicyKind::Drop,
        sa: SaReference {
            reqid: 0,
            ..first.policy(dir).sa
        },
        ..first.policy(dir)
    };
    gateway
        .backend
        .add_policy(&first.policy_id(dir), &drop)
        .unwrap();
    gateway
        .backend
        .del_policy(&first.policy_id(dir), &first.policy(dir))
        .unwrap();
    assert_eq!(routed(&gateway), before);
    gateway
        .backend
        .add_policy(&first.policy_id(dir), &first.policy(dir))
        .unwrap();
    gateway
        .backend
        .del_policy(&first.policy_id(dir), &drop)
        .unwrap();
    assert_eq!(routed(&gateway), before);
    gateway.delete_child(&first);
    gateway.assert_empty();
}

#[test]
fn the_manager_makes_lists_and_deletes_interfaces() {
    let gateway = Gateway::new();
    let backend = &gateway.backend;
    assert!(backend.xfrmi_supported());
    assert_eq!(
        backend.xfrmi_list(),
        Ok(Vec::new()),
        "the probe leaves none"
    );
    backend
        .xfrmi_create("ipsec0", IF_ID, Some("p0"), 0)
        .unwrap();
    gateway.host.pump();
    let links = gateway.backend.core.links.all();
    let made = links.iter().find(|link| link.name == "ipsec0").unwrap();
    assert!(made.up && made.if_id == Some(IF_ID) && made.lower == Some(P0));
    let want = Xfrmi {
        ifindex: made.ifindex,
        name: "ipsec0".into(),
        if_id: IF_ID,
        lower: Some(P0),
        phys: Some("p0".into()),
        mtu: 1500,
    };
    assert_eq!(backend.xfrmi_list(), Ok(vec![want]));
    let refused = backend.xfrmi_create("ipsec0", 43, None, 0);
    assert!(matches!(refused, Err(Error::Kernel(error)) if error.errno == libc::EEXIST));
    assert_eq!(
        line(backend.xfrmi_create("ipsec1", 43, Some("nosuch"), 0)),
        "physical interface 'nosuch' not found"
    );
    backend.xfrmi_delete("ipsec0").unwrap();
    assert!(matches!(
        backend.xfrmi_delete("ipsec0"),
        Err(Error::NotFound(_))
    ));
    assert_eq!(backend.xfrmi_list(), Ok(Vec::new()));
}

#[test]
fn a_kernel_without_xfrm_interfaces_is_found_out() {
    let gateway = Gateway::new();
    gateway.kernel.set_knobs(Knobs {
        no_xfrmi: true,
        ..Knobs::default()
    });
    assert!(!gateway.backend.xfrmi_supported());
    gateway.kernel.set_knobs(Knobs::default());
    // Without CAP_NET_ADMIN there is nothing to publish either.
    gateway
        .kernel
        .refuse_next(libc::RTM_NEWLINK, libc::EPERM, None);
    assert!(!gateway.backend.xfrmi_supported());
}
