// SPDX-License-Identifier: GPL-2.0-or-later
//! Moving an SA, on the modelled kernel.

use super::super::consts::{
    XFRM_MSG_DELSA, XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWSA, XFRMA_LTIME_VAL, XFRMA_MTIMER_THRESH,
    usersa,
};
use super::super::fake::{FakeKernel, FakeLink, Knobs};
use super::super::request::Attributes;
use super::super::{Kernel, Replay, SaMove, SaState};
use super::*;

struct Bench {
    fake: Arc<FakeKernel>,
    kernel: Kernel,
    sample: Sample,
}

fn bench(sample: Sample) -> Bench {
    let fake = FakeKernel::new();
    fake.put_link(FakeLink {
        ifindex: 4,
        name: "nic".to_owned(),
        up: true,
        esp_offload: true,
        ..FakeLink::default()
    });
    let kernel = Kernel::new(fake.clone());
    kernel.new_sa(&sample.message(), false).unwrap();
    fake.clear_requests();
    Bench {
        fake,
        kernel,
        sample,
    }
}

impl Bench {
    fn change<'a>(&self, key: &'a SaKey) -> SaMove<'a> {
        SaMove {
            key,
            src: self.sample.id.src.ip,
            new_src: Addr {
                ip: ip("198.51.100.1"),
                port: 4500,
            },
            new_dst: Addr {
                ip: ip("198.51.100.2"),
                port: 4501,
            },
            new_encap: false,
            encap: self.sample.spec.encap,
            new_reqid: None,
            selector: None,
            inbound: self.sample.spec.inbound,
            placement: self.sample.placement,
        }
    }

    fn state(&self) -> SaState {
        let sas = self.fake.sas();
        assert_eq!(sas.len(), 1);
        sas[0].clone()
    }

    /// The payload of the last NEWSA.
    fn last(&self) -> Vec<u8> {
        let requests = self.fake.requests();
        let last = requests.last().unwrap();
        assert_eq!(last.kind, XFRM_MSG_NEWSA);
        last.payload.clone()
    }
}

use crate::model::SaKey;

#[test]
fn everything_but_the_addresses_stays() {
    let mut sample = sample(true);
    sample.id.mark = Mark { value: 1, mask: 3 };
    sample.id.if_id = 9;
    sample.spec.cpu = Some(2);
    sample.spec.set_mark = Mark { value: 4, mask: 4 };
    let bench = bench(sample);
    let key = bench.sample.id.key();
    assert!(bench.fake.set_counters(&key, 1000, 10, None));
    let before = bench.state();
    bench.kernel.move_sa(&bench.change(&key)).unwrap();
    assert_eq!(
        bench.fake.request_names(),
        ["XFRM_MSG_GETSA", "XFRM_MSG_DELSA", "XFRM_MSG_NEWSA"]
    );
    let expected = SaState {
        id: SaId {
            src: Addr::new(ip("198.51.100.1")),
            dst: Addr::new(ip("198.51.100.2")),
            ..before.id
        },
        ..before
    };
    assert_eq!(bench.state(), expected);
    // The key went along.
    let sent = bench.last();
    let aead = Attributes::behind(&sent, usersa::LEN).value_of(18).unwrap();
    assert_eq!(aead[72..], KEY);
}

#[test]
fn encapsulation_is_turned_on_changed_and_off() {
    let mut sample = sample(true);
    sample.spec.encap = true;
    sample.id.dst.port = 4500;
    // An SA of one CPU: threshold instead of a port.
    let bench = bench(sample);
    let mut key = bench.sample.id.key();
    let on = SaMove {
        new_encap: true,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&on).unwrap();
    let state = bench.state();
    assert_eq!((state.id.src.port, state.id.dst.port), (4500, 4501));
    assert!(
        Attributes::behind(&bench.last(), usersa::LEN).any(|(kind, _)| kind == XFRMA_MTIMER_THRESH)
    );
    key = state.id.key();
    let off = SaMove {
        src: state.id.src.ip,
        encap: true,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&off).unwrap();
    let state = bench.state();
    assert!(!state.encap);
    assert!(
        !Attributes::behind(&bench.last(), usersa::LEN)
            .any(|(kind, _)| kind == XFRMA_MTIMER_THRESH)
    );
    let on = SaMove {
        new_encap: true,
        new_reqid: Some(12),
        ..off
    };
    bench.kernel.move_sa(&on).unwrap();
    let state = bench.state();
    assert!(state.encap);
    assert_eq!((state.id.src.port, state.reqid), (4500, 12));
}

#[test]
fn a_transport_selector_moves_with_its_hosts_only() {
    let mut host = sample(true);
    host.spec.mode = Mode::Transport;
    host.selector = Some(selector("192.0.2.1/32", "192.0.2.2/32"));
    let bench1 = bench(host);
    let key = bench1.sample.id.key();
    bench1.kernel.move_sa(&bench1.change(&key)).unwrap();
    assert_eq!(
        bench1.state().selector,
        Some(selector("198.51.100.1/32", "198.51.100.2/32"))
    );

    let mut other = sample(true);
    other.spec.mode = Mode::Transport;
    other.selector = Some(selector("10.9.0.1/32", "10.0.0.0/8"));
    let bench2 = bench(other);
    bench2.kernel.move_sa(&bench2.change(&key)).unwrap();
    assert_eq!(
        bench2.state().selector,
        Some(selector("10.9.0.1/32", "10.0.0.0/8"))
    );
}

#[test]
fn the_family_may_change() {
    let mut host = sample(false);
    host.spec.mode = Mode::Transport;
    host.selector = Some(selector("192.0.2.1/32", "192.0.2.2/32"));
    let bench = bench(host);
    let key = bench.sample.id.key();
    let change = SaMove {
        new_src: Addr::new(ip("2001:db8::1")),
        new_dst: Addr::new(ip("2001:db8::2")),
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&change).unwrap();
    let state = bench.state();
    assert_eq!(state.id.dst.ip, ip("2001:db8::2"));
    assert_eq!(
        state.selector,
        Some(selector("2001:db8::1/128", "2001:db8::2/128"))
    );
}

#[test]
fn offload_goes_where_it_is_told() {
    let mut crypto = sample(true);
    crypto.placement = Placement::Crypto(4);
    let bench = bench(crypto);
    assert_eq!(bench.state().placement, Placement::Crypto(4));
    let key = bench.sample.id.key();
    let software = SaMove {
        placement: Placement::Software,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&software).unwrap();
    assert_eq!(bench.state().placement, Placement::Software);
    let key = bench.state().id.key();
    let back = SaMove {
        src: ip("198.51.100.1"),
        placement: Placement::Crypto(4),
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&back).unwrap();
    assert_eq!(bench.state().placement, Placement::Crypto(4));
}

#[test]
fn replay_state_is_fetched_where_the_kernel_keeps_it_apart() {
    let mut legacy = sample(true);
    legacy.spec.esn = false;
    legacy.replay = Replay::Legacy(32);
    let bench = bench(legacy);
    let key = bench.sample.id.key();
    assert!(bench.fake.set_sequence(&key, 0, 4711));
    bench.fake.set_knobs(Knobs {
        replay_by_aevent: true,
        ..Knobs::default()
    });
    bench.kernel.move_sa(&bench.change(&key)).unwrap();
    assert_eq!(
        bench.fake.request_names(),
        [
            "XFRM_MSG_GETSA",
            "XFRM_MSG_GETAE",
            "XFRM_MSG_DELSA",
            "XFRM_MSG_NEWSA"
        ]
    );
    bench.fake.set_knobs(Knobs::default());
    assert_eq!(bench.state().replay.seq, 4711);
    assert_eq!(bench.state().replay.window, 32);
}

#[test]
fn a_refused_move_puts_the_old_sa_back() {
    let bench = bench(sample(false));
    let key = bench.sample.id.key();
    bench.fake.set_counters(&key, 5, 6, None);
    let before = bench.state();
    bench
        .fake
        .refuse_next(XFRM_MSG_NEWSA, libc::EINVAL, Some("no way"));
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    assert_eq!(error.text.as_deref(), Some("no way"));
    assert_eq!(bench.state(), before);
    assert!(
        Attributes::behind(&bench.last(), usersa::LEN).any(|(kind, _)| kind == XFRMA_LTIME_VAL)
    );
    // And if that fails too, it is said.
    for text in ["first", "second"] {
        bench
            .fake
            .refuse_next(XFRM_MSG_NEWSA, libc::ENOMEM, Some(text));
    }
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    let text = error.text.unwrap();
    assert!(text.starts_with("first; ") && text.contains("second") && text.ends_with("is gone"));
    assert!(bench.fake.sas().is_empty());
}

#[test]
fn nothing_is_deleted_that_cannot_be_put_back() {
    let bench = bench(sample(true));
    let key = bench.sample.id.key();
    bench.fake.set_knobs(Knobs {
        lockdown: true,
        ..Knobs::default()
    });
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    assert_eq!(error.errno, libc::EPERM);
    assert_eq!(bench.fake.request_names(), ["XFRM_MSG_GETSA"]);
    bench.fake.set_knobs(Knobs::default());
    bench.fake.refuse_next(XFRM_MSG_DELSA, libc::EPERM, None);
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    assert_eq!(error.errno, libc::EPERM);
    assert_eq!(bench.state().id.dst.ip, ip("192.0.2.2"));
    assert!(bench.fake.remove_sa(&key));
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    assert_eq!(error.errno, libc::ESRCH);
}

/// A bench on a kernel that can move SAs itself.
fn migrating(sample: Sample) -> Bench {
    let bench = bench(sample);
    bench.kernel.ask_abilities();
    bench.fake.clear_requests();
    bench
}

#[test]
fn where_the_kernel_can_it_moves_the_sa_itself() {
    let mut sample = sample(true);
    sample.id.mark = Mark { value: 1, mask: 3 };
    sample.id.if_id = 9;
    sample.spec.set_mark = Mark { value: 4, mask: 4 };
    let bench = migrating(sample);
    let key = bench.sample.id.key();
    assert!(bench.fake.set_counters(&key, 1000, 10, None));
    let before = bench.state();
    let change = SaMove {
        new_reqid: Some(12),
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&change).unwrap();
    // No key was read out and nothing deleted.
    assert_eq!(
        bench.fake.request_names(),
        ["XFRM_MSG_GETSA", "XFRM_MSG_MIGRATE_STATE"]
    );
    let expected = SaState {
        id: SaId {
            src: Addr::new(ip("198.51.100.1")),
            dst: Addr::new(ip("198.51.100.2")),
            ..before.id
        },
        reqid: 12,
        ..before
    };
    assert_eq!(bench.state(), expected);
}

#[test]
fn the_kernel_takes_encapsulation_selector_and_offload_as_they_shall_be() {
    let mut crypto = sample(true);
    crypto.spec.mode = Mode::Transport;
    crypto.selector = Some(selector("192.0.2.1/32", "192.0.2.2/32"));
    crypto.placement = Placement::Crypto(4);
    let bench = migrating(crypto);
    let key = bench.sample.id.key();
    let on = SaMove {
        new_encap: true,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&on).unwrap();
    let state = bench.state();
    assert_eq!(state.placement, Placement::Crypto(4));
    assert_eq!((state.id.src.port, state.id.dst.port), (4500, 4501));
    assert_eq!(
        state.selector,
        Some(selector("198.51.100.1/32", "198.51.100.2/32"))
    );
    let key = state.id.key();
    let off = SaMove {
        src: state.id.src.ip,
        encap: true,
        selector: Some(selector("10.1.0.0/16", "10.2.0.0/16")),
        placement: Placement::Software,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&off).unwrap();
    let state = bench.state();
    assert!(!state.encap);
    assert_eq!(state.placement, Placement::Software);
    assert_eq!(state.selector, Some(selector("10.1.0.0/16", "10.2.0.0/16")));
    let names = bench.fake.request_names();
    assert!(!names.contains(&"XFRM_MSG_DELSA"), "{names:?}");
}

#[test]
fn a_migration_that_is_refused_becomes_a_copy() {
    let bench = migrating(sample(false));
    let key = bench.sample.id.key();
    bench
        .fake
        .refuse_next(XFRM_MSG_MIGRATE_STATE, libc::EINVAL, Some("no way"));
    bench.kernel.move_sa(&bench.change(&key)).unwrap();
    assert_eq!(
        bench.fake.request_names(),
        [
            "XFRM_MSG_GETSA",
            "XFRM_MSG_MIGRATE_STATE",
            "XFRM_MSG_GETSA",
            "XFRM_MSG_DELSA",
            "XFRM_MSG_NEWSA"
        ]
    );
    assert_eq!(bench.state().id.dst.ip, ip("198.51.100.2"));
    // One that is gone is gone.
    bench.fake.clear_requests();
    let error = bench.kernel.move_sa(&bench.change(&key)).unwrap_err();
    assert_eq!(error.errno, libc::ESRCH);
    assert_eq!(bench.fake.request_names(), ["XFRM_MSG_GETSA"]);
}

#[test]
fn only_another_place_is_no_migration() {
    let mut crypto = sample(true);
    crypto.placement = Placement::Crypto(4);
    let bench = migrating(crypto);
    let key = bench.sample.id.key();
    let software = SaMove {
        new_src: bench.sample.id.src,
        new_dst: bench.sample.id.dst,
        placement: Placement::Software,
        ..bench.change(&key)
    };
    bench.kernel.move_sa(&software).unwrap();
    assert_eq!(bench.state().placement, Placement::Software);
    let names = bench.fake.request_names();
    assert!(!names.contains(&"XFRM_MSG_MIGRATE_STATE"), "{names:?}");
}

/// B11: kernel-netlink copies into 1 KiB and drops what does not fit, the replay state of a large
/// window for one.
#[test]
fn a_copy_drops_no_attribute_however_large() {
    let mut large = sample(true);
    large.replay = Replay::Esn {
        window: 4096,
        esn: true,
    };
    large.spec.label = Some(vec![b'l'; 1000]);
    large.id.mark = Mark { value: 1, mask: 3 };
    large.spec.set_mark = Mark { value: 4, mask: 4 };
    let bench = bench(large);
    let key = bench.sample.id.key();
    let attributes = |payload: &[u8]| {
        Attributes::behind(payload, usersa::LEN)
            .map(|(kind, value)| (kind, value.to_vec()))
            .filter(|(kind, _)| *kind != XFRMA_LTIME_VAL)
            .collect::<Vec<_>>()
    };
    let before = attributes(&bench.sample.encode().payload);
    assert!(bench.sample.encode().payload.len() > 1024);
    bench.kernel.move_sa(&bench.change(&key)).unwrap();
    assert_eq!(attributes(&bench.last()), before);
}
