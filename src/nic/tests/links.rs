// SPDX-License-Identifier: GPL-2.0-or-later
//! The device cache.

use std::sync::{Arc, Mutex};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::super::links::decode_link;
use super::super::{Link, LinkChange, Links};
use super::*;
use crate::xfrm::fake::Knobs;

#[test]
fn the_cache_starts_with_one_dump_and_asks_drivers_of_offloading_devices() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    fake.put_link(FakeLink {
        ifindex: 1,
        name: "lo".to_owned(),
        up: true,
        ..FakeLink::default()
    });
    fake.put_link(FakeLink {
        ifindex: 9,
        name: "nic4.100".to_owned(),
        kind: Some("vlan".to_owned()),
        lower: Some(4),
        master: Some(12),
        driver: Some("8021q".to_owned()),
        ..FakeLink::default()
    });
    let links = Links::new(fake.clone()).unwrap();
    assert_eq!(
        fake.request_names(),
        [
            "RTM_GETLINK",
            "CTRL_CMD_GETFAMILY",
            "ETHTOOL_MSG_FEATURES_GET",
            "CTRL_CMD_GETFAMILY",
            "DEVLINK_CMD_INFO_GET",
        ]
    );
    let lo = Link {
        ifindex: 1,
        name: "lo".to_owned(),
        esp_offload: false,
        driver: None,
        ..link(1)
    };
    let vlan = Link {
        ifindex: 9,
        name: "nic4.100".to_owned(),
        up: false,
        kind: Some("vlan".to_owned()),
        master: Some(12),
        lower: Some(4),
        if_id: None,
        esp_offload: false,
        driver: None,
    };
    assert_eq!(links.all(), [lo.clone(), link(4), vlan.clone()]);
    assert_eq!(links.get(4), Some(link(4)));
    assert_eq!(links.by_name("lo"), Some(lo));
    assert_eq!(links.by_name("nic4.100"), Some(vlan));
    assert_eq!((links.get(2), links.by_name("x")), (None, None));
    assert!(links.update().is_empty());
    fake.clear_requests();
    let _ = links.all();
    assert!(fake.requests().is_empty(), "answers come from the cache");
}

#[test]
fn changes_are_reported_once_and_in_words() {
    let fake = FakeKernel::new();
    let links = Links::new(fake.clone()).unwrap();
    fake.put_link(nic(4));
    assert_eq!(links.update(), [LinkChange::Up(link(4))]);
    fake.put_link(nic(4));
    assert_eq!(links.update(), []);
    fake.set_link_up(4, false);
    let down = Link {
        up: false,
        ..link(4)
    };
    assert_eq!(links.update(), [LinkChange::Down(down.clone())]);
    assert_eq!(links.get(4), Some(down));
    // Down and up again while nobody looked: both are seen.
    fake.set_link_up(4, true);
    fake.set_link_up(4, false);
    fake.set_link_up(4, true);
    let changes = links.update();
    assert!(
        matches!(
            changes[..],
            [LinkChange::Up(_), LinkChange::Down(_), LinkChange::Up(_)]
        ),
        "{changes:?}"
    );
    // Offload is switched off: reported as a change of the link that says nothing of it.
    fake.put_link(FakeLink {
        esp_offload: false,
        ..nic(4)
    });
    let off = Link {
        esp_offload: false,
        driver: None,
        ..link(4)
    };
    assert_eq!(links.update(), [LinkChange::Features(off.clone())]);
    fake.put_link(FakeLink {
        esp_offload: false,
        name: "wan".to_owned(),
        master: Some(7),
        ..nic(4)
    });
    let renamed = Link {
        name: "wan".to_owned(),
        master: Some(7),
        ..off
    };
    assert_eq!(links.update(), [LinkChange::Features(renamed.clone())]);
    assert_eq!(links.by_name("nic4"), None);
    fake.remove_link(4);
    assert_eq!(links.update(), [LinkChange::Gone(renamed)]);
    assert_eq!(links.get(4), None);
    fake.put_link(FakeLink {
        up: false,
        ..nic(5)
    });
    assert!(matches!(links.update()[..], [LinkChange::Features(_)]));
}

#[test]
fn lost_events_mean_that_everything_is_read_again() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    fake.put_link(nic(5));
    let links = Links::new(fake.clone()).unwrap();
    fake.overrun(Protocol::Route);
    fake.remove_link(5);
    fake.put_link(nic(6));
    fake.put_link(FakeLink {
        up: false,
        ..nic(4)
    });
    let changes = links.update();
    let down = Link {
        up: false,
        ..link(4)
    };
    // What was queued behind the overrun changes nothing any more.
    assert_eq!(
        changes,
        [
            LinkChange::Resynced,
            LinkChange::Gone(link(5)),
            LinkChange::Down(down),
            LinkChange::Up(link(6)),
        ]
    );
    // The kernel reports the loss first and then what was queued before it: "up" of long ago.
    fake.overrun(Protocol::Route);
    let mut stale = LinkMessage::default();
    stale.header.index = 4;
    stale.header.flags = LinkFlags::Up;
    stale.attributes = vec![LinkAttribute::IfName("nic4".to_owned())];
    fake.emit(
        Protocol::Route,
        libc::RTNLGRP_LINK,
        libc::RTM_NEWLINK,
        &emit(&stale),
    );
    links.update();
    assert!(!links.get(4).unwrap().up);
    // A device of the same index that is another one is gone and new.
    fake.overrun(Protocol::Route);
    fake.put_link(FakeLink {
        name: "other".to_owned(),
        driver: Some("netdevsim".to_owned()),
        ..nic(6)
    });
    let changes = links.update();
    assert!(changes.contains(&LinkChange::Gone(link(6))), "{changes:?}");
    // If the kernel cannot be asked, the cache stays.
    fake.overrun(Protocol::Route);
    fake.refuse_next(libc::RTM_GETLINK, libc::ENOMEM, None);
    assert!(links.update().is_empty());
    assert_eq!(links.all().len(), 2);
}

#[test]
fn one_link_can_be_read_again() {
    let fake = FakeKernel::new();
    let links = Links::new(fake.clone()).unwrap();
    fake.put_link(nic(4));
    assert_eq!(links.get(4), None);
    fake.clear_requests();
    assert_eq!(links.refresh(4), Some(link(4)));
    let RouteNetlinkMessage::GetLink(message) = decode_request(&fake.requests()[0]) else {
        panic!("no RTM_GETLINK");
    };
    assert_eq!(message.header.index, 4);
    assert_eq!(message.header.interface_family, AddressFamily::Unspec);
    assert_eq!(links.get(4), Some(link(4)));
    assert_eq!(links.refresh(99), None);
    fake.refuse_next(libc::RTM_GETLINK, libc::EPERM, None);
    assert_eq!(links.refresh(4), None);
}

#[test]
fn an_event_wins_over_an_older_read() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let links = Arc::new(Links::new(fake.clone()).unwrap());
    // While the read is under way, the device goes and the event is taken in.
    let armed = Mutex::new(Some((fake.clone(), links.clone())));
    fake.set_rule(Some(Arc::new(move |request: &Recorded| {
        let taken = (request.name == "ETHTOOL_MSG_FEATURES_GET")
            .then(|| armed.lock().unwrap().take())
            .flatten();
        if let Some((fake, links)) = taken {
            fake.remove_link(4);
            links.update();
        }
        Ok(())
    })));
    assert_eq!(links.refresh(4), None);
    assert_eq!(links.get(4), None);
    fake.set_rule(None);
}

#[test]
fn a_kernel_without_ethtool_netlink_has_no_offload() {
    let fake = FakeKernel::new();
    fake.set_knobs(Knobs {
        ethtool: false,
        ..Knobs::default()
    });
    fake.put_link(nic(4));
    let links = Links::new(fake.clone()).unwrap();
    assert!(!links.get(4).unwrap().esp_offload);
    fake.put_link(nic(5));
    links.update();
    assert!(!links.get(5).unwrap().esp_offload);
    let asked = fake
        .request_names()
        .iter()
        .filter(|name| **name == "CTRL_CMD_GETFAMILY")
        .count();
    assert_eq!(asked, 1, "the answer is remembered");
}

#[test]
fn a_failure_to_start_is_reported() {
    let fake = FakeKernel::new();
    fake.refuse_next(libc::RTM_GETLINK, libc::EPERM, None);
    let error = Links::new(fake).err().unwrap();
    assert_eq!((error.request, error.errno), ("RTM_GETLINK", libc::EPERM));
}

#[test]
fn link_messages_are_read_as_the_crate_writes_them() {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.flags = LinkFlags::Up | LinkFlags::Running;
    message.attributes = vec![
        LinkAttribute::IfName("eth0.5".to_owned()),
        LinkAttribute::Link(3),
        LinkAttribute::Controller(4),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan)]),
    ];
    let decode =
        |message: &LinkMessage| decode_link(&Reply::new(libc::RTM_NEWLINK, &emit(message)));
    let expected = Link {
        ifindex: 7,
        name: "eth0.5".to_owned(),
        up: true,
        kind: Some("vlan".to_owned()),
        master: Some(4),
        lower: Some(3),
        if_id: None,
        esp_offload: false,
        driver: None,
    };
    assert_eq!(decode(&message), Some(expected.clone()));
    // The lower device is in another network namespace.
    message.attributes.push(LinkAttribute::LinkNetNsId(0));
    assert_eq!(
        decode(&message),
        Some(Link {
            lower: None,
            ..expected
        })
    );
    // A bridge reports its ports by the same message.
    message.header.interface_family = AddressFamily::Bridge;
    assert_eq!(decode(&message), None);
    message.header.interface_family = AddressFamily::Unspec;
    message.attributes.clear();
    assert_eq!(decode(&message), None);
}

#[test]
fn a_removal_from_a_bridge_is_no_removal() {
    let fake = FakeKernel::new();
    fake.put_link(nic(4));
    let links = Links::new(fake.clone()).unwrap();
    let mut message = LinkMessage::default();
    message.header.index = 4;
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes = vec![LinkAttribute::IfName("nic4".to_owned())];
    fake.emit(
        Protocol::Route,
        libc::RTNLGRP_LINK,
        libc::RTM_DELLINK,
        &emit(&message),
    );
    assert!(links.update().is_empty());
    assert_eq!(links.get(4), Some(link(4)));
}
