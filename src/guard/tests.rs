// SPDX-License-Identifier: GPL-2.0-or-later
//! The gate over the model of the kernel.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::host::Readable;
use crate::model::{
    Addr, Direction, DscpCopy, Key as SaSecret, Lifetime, Mark, Mode, PolicyId, PolicyKind,
    PolicySpec, PortMatch, Prefix, PriorityClass, Proto, SaId, SaReference, SaSpec, Selector, Spi,
    TrafficSelector,
};
use crate::xfrm::PolicyKey;
use crate::xfrm::fake::{FakeKernel, FakeTable, Knobs};

fn settings() -> Settings {
    Settings {
        cover: Cover::Units,
        ..Settings::default()
    }
}

fn guard(kernel: &Arc<FakeKernel>) -> Arc<Guard> {
    Arc::new(Guard::new(kernel.clone(), settings()))
}

fn ts(net: &str) -> TrafficSelector {
    let (ip, len) = net.split_once('/').unwrap();
    let prefix = Prefix::new(ip.parse().unwrap(), len.parse().unwrap());
    TrafficSelector {
        from: prefix.first(),
        to: prefix.last(),
        proto: 0,
        from_port: 0,
        to_port: u16::MAX,
    }
}

fn sa(spi: u32, inbound: bool, local: &str, remote: &str) -> (SaId, SaSpec) {
    let ip = |text: &str| Addr::new(text.parse().unwrap());
    let (here, there) = (ip("192.168.0.1"), ip("192.168.0.2"));
    let id = SaId {
        src: if inbound { there } else { here },
        dst: if inbound { here } else { there },
        spi: Spi(spi),
        proto: Proto::Esp,
        mark: Mark::default(),
        if_id: 0,
    };
    let (local, remote) = (vec![ts(local)], vec![ts(remote)]);
    let spec = SaSpec {
        name: "net".to_owned(),
        reqid: 7,
        seq: 0,
        mode: Mode::Tunnel,
        src_ts: if inbound {
            remote.clone()
        } else {
            local.clone()
        },
        dst_ts: if inbound { local } else { remote },
        interface: None,
        lifetime: Lifetime::default(),
        enc_alg: 20,
        enc_key: SaSecret::default(),
        int_alg: 1024,
        int_key: SaSecret::default(),
        replay_window: 32,
        tfc: 0,
        ipcomp: 0,
        cpi: 0,
        cpu: None,
        encap: false,
        offload: Offload::Packet,
        set_mark: Mark::default(),
        label: None,
        esn: true,
        copy_df: true,
        copy_ecn: true,
        copy_dscp: DscpCopy::OutOnly,
        iptfs_dont_frag: false,
        forward_icmp: false,
        initiator: true,
        inbound,
        update: false,
    };
    (id, spec)
}

const LOCAL: &str = "10.1.0.0/16";
const REMOTE: &str = "10.2.0.0/16";
const GATES: &str = "gate4_16_16";

fn table(kernel: &FakeKernel) -> FakeTable {
    kernel.nft_table(ruleset::TABLE).expect("there is a table")
}

fn count(kernel: &FakeKernel, set: &str) -> usize {
    table(kernel).sets.get(set).map_or(0, |set| set.len())
}

fn policy(
    dir: Direction,
    kind: PolicyKind,
    class: PriorityClass,
) -> (PolicyId, PolicySpec, PolicyKey) {
    let (local, remote) = (ts(LOCAL), ts(REMOTE));
    let (src_ts, dst_ts) = match dir {
        Direction::Out => (local, remote),
        _ => (remote, local),
    };
    let id = PolicyId {
        dir,
        src_ts,
        dst_ts,
        mark: Mark::default(),
        if_id: 0,
        interface: None,
        label: None,
    };
    let spec = PolicySpec {
        name: "net".to_owned(),
        kind,
        class,
        manual_prio: 0,
        offload: Offload::Packet,
        pcpu_acquires: false,
        forward_icmp: false,
        src: None,
        dst: None,
        sa: SaReference {
            mode: Some(Mode::Tunnel),
            reqid: 7,
            policy_count: 1,
            esp: None,
            ah: None,
            ipcomp: 0,
            cpi: 0,
        },
    };
    let key = PolicyKey {
        dir,
        selector: Selector::from_ts(&src_ts, &dst_ts, 0),
        mark: Mark::default(),
        if_id: 0,
        label: None,
    };
    (id, spec, key)
}

#[test]
fn an_inbound_sa_closes_the_gate_and_says_what_it_may_deliver() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    assert!(
        kernel.nft_table(ruleset::TABLE).is_none(),
        "nothing to guard, no table"
    );
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    for (set, elements) in [(GATES, 1), ("sa4_16_16", 1), ("reqids", 1), ("peers4", 1)] {
        assert_eq!(count(&kernel, set), elements, "{set}");
    }
    let gates = &table(&kernel).sets[GATES];
    assert_eq!(gates[&vec![10, 1, 0, 0, 10, 2, 0, 0]].comment, "net");
    guard.open_for_sa(&id.key());
    for (set, elements) in [(GATES, 1), ("sa4_16_16", 0), ("reqids", 0), ("peers4", 0)] {
        assert_eq!(count(&kernel, set), elements, "{set} after the SA");
    }
    let timeout = table(&kernel).sets[GATES].values().next().unwrap().timeout;
    assert!(
        timeout.is_some_and(|timeout| (9_000..=10_000).contains(&timeout)),
        "{timeout:?}"
    );
}

#[test]
fn a_pair_of_sas_costs_two_transactions_and_a_rekey_one_each_way() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let first = [sa(1, true, LOCAL, REMOTE), sa(2, false, LOCAL, REMOTE)];
    for (id, spec) in &first {
        guard.close_for_sa(id, spec).unwrap();
    }
    kernel.clear_requests();
    let second = [sa(3, true, LOCAL, REMOTE), sa(4, false, LOCAL, REMOTE)];
    for (id, spec) in &second {
        guard.close_for_sa(id, spec).unwrap();
    }
    for (id, _) in &first {
        guard.open_for_sa(&id.key());
    }
    assert_eq!(
        kernel.request_names(),
        Vec::<&str>::new(),
        "a rekey changes nothing"
    );
    assert_eq!(count(&kernel, GATES), 1);
}

#[test]
fn what_an_sa_delivers_has_its_set_before_any_gate_has_these_prefix_lengths() {
    let [narrow, other] = ["10.3.0.0/24", "10.4.0.0/24"];
    let inbound = || {
        let (id, mut spec) = sa(2, true, narrow, other);
        spec.offload = Offload::Auto;
        spec.reqid = 8;
        (id, spec)
    };
    // While there is a table, and while there is none.
    for packet_first in [true, false] {
        let kernel = FakeKernel::new();
        let guard = guard(&kernel);
        let mut sas = vec![sa(1, true, LOCAL, REMOTE), inbound()];
        if !packet_first {
            sas.reverse();
        }
        for (id, spec) in sas {
            let result = guard.close_for_sa(&id, &spec);
            assert!(result.is_ok(), "{packet_first}: {result:?}");
        }
        assert_eq!(count(&kernel, "sa4_24_24"), 1, "{packet_first}");
        assert_eq!(count(&kernel, GATES), 1, "{packet_first}");
        assert!(!table(&kernel).sets.contains_key("gate4_24_24"));
        assert!(!guard.verify(false), "{packet_first}");
    }
}

#[test]
fn what_is_not_covered_has_no_gate() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, mut spec) = sa(1, true, LOCAL, REMOTE);
    spec.offload = Offload::No;
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(kernel.nft_table(ruleset::TABLE).is_none());
    // Its outer addresses are exempt as soon as there is a gate.
    let (other, packet) = sa(2, true, "192.168.0.1/32", "192.168.0.2/32");
    guard.close_for_sa(&other, &packet).unwrap();
    assert_eq!(count(&kernel, "peers4"), 1);
    assert_eq!(guard.gates().len(), 1);
}

const MARK: Mark = Mark {
    value: 0x2a,
    mask: u32::MAX,
};

/// The set of gates whose packets have such a mark: the gate's own bit does not count.
const MARKED: &str = "gate4_16_16_markoutefffffff";
const MARKED_IN: &str = "gate4_16_16_markinefffffff";

#[test]
fn a_mark_is_part_of_what_is_guarded() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, mut spec) = sa(1, true, LOCAL, REMOTE);
    spec.offload = Offload::Auto;
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(
        kernel.nft_table(ruleset::TABLE).is_none(),
        "an inbound SA does not tell the mark of its policies"
    );
    let (mut out, mut out_spec) = sa(2, false, LOCAL, REMOTE);
    out.mark = MARK;
    out_spec.offload = Offload::Auto;
    guard.close_for_sa(&out, &out_spec).unwrap();
    assert_eq!(count(&kernel, MARKED), 1);
    assert!(!table(&kernel).sets.contains_key(GATES));
    assert_eq!(
        count(&kernel, "sa4_16_16"),
        1,
        "what the SA delivers has no mark"
    );
    assert_eq!(
        guard.gates()[0].pair.to_string(),
        "10.1.0.0/16 === 10.2.0.0/16 mark_out 0x2a/0xefffffff"
    );
    let (policy_id, mut policy_spec, mut key) =
        policy(Direction::In, PolicyKind::Ipsec, PriorityClass::Default);
    policy_spec.offload = Offload::Auto;
    key.mark = MARK;
    guard
        .close_for_policy(&policy_id, &policy_spec, &key)
        .unwrap();
    assert_eq!(count(&kernel, MARKED_IN), 1);
    let chains = |set: &str| -> Vec<String> {
        let mut chains: Vec<String> = table(&kernel)
            .rules
            .iter()
            .filter(|rule| rule.2.windows(set.len()).any(|part| part == set.as_bytes()))
            .map(|rule| rule.0.clone())
            .collect();
        chains.sort_unstable();
        chains
    };
    // Of `mark_out = 42` and `mark_in = 41` each has its own direction.
    assert_eq!(chains(MARKED), ["forward", "output", "postrouting"]);
    assert_eq!(chains(MARKED_IN), ["forward", "input"]);
    guard.open_for_policy(&policy_spec, &key);
    // Another mark with the same mask is another element of the same set; with none, of another.
    let (policy_id, mut policy_spec, mut key) =
        policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    policy_spec.offload = Offload::Crypto;
    key.mark = Mark { value: 7, ..MARK };
    guard
        .close_for_policy(&policy_id, &policy_spec, &key)
        .unwrap();
    assert_eq!(count(&kernel, MARKED), 2);
    key.mark = Mark::default();
    guard
        .close_for_policy(&policy_id, &policy_spec, &key)
        .unwrap();
    assert_eq!((count(&kernel, MARKED), count(&kernel, GATES)), (2, 1));
    // A new daemon takes them over.
    let next = self::guard(&kernel);
    next.adopt().unwrap();
    assert_eq!(next.gates().len(), 4);
    guard.open_for_sa(&out.key());
    let timed = table(&kernel).sets[MARKED]
        .values()
        .filter(|element| element.timeout.is_some())
        .count();
    assert_eq!(timed, 1, "held by nobody any more");
}

#[test]
fn what_was_closed_is_released_whatever_guard_mark_is_by_then() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, mut spec, mut key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    spec.offload = Offload::Crypto;
    key.mark = MARK;
    guard.close_for_policy(&id, &spec, &key).unwrap();
    guard.configure(Settings {
        mark: 0x2000_0000,
        ..settings()
    });
    // A second user of the same policy holds the same gate.
    guard.close_for_policy(&id, &spec, &key).unwrap();
    assert_eq!(guard.gates().len(), 1);
    guard.open_for_policy(&spec, &key);
    assert_eq!(guard.gates()[0].left, None);
    guard.open_for_policy(&spec, &key);
    assert!(guard.gates()[0].left.is_some());
}

#[test]
fn a_mark_with_the_gates_own_bit_is_guarded_without_it() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (mut id, spec) = sa(1, false, LOCAL, REMOTE);
    id.mark = Mark {
        value: 0x1000_0000,
        mask: 0x1000_0000,
    };
    guard.close_for_sa(&id, &spec).unwrap();
    assert_eq!(count(&kernel, GATES), 1, "more is guarded, never less");
}

#[test]
fn behind_an_xfrm_interface_the_second_pass_is_guarded() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    for (spi, inbound) in [(1, true), (2, false)] {
        let (mut id, spec) = sa(spi, inbound, "0.0.0.0/0", "0.0.0.0/0");
        id.if_id = 42;
        guard.close_for_sa(&id, &spec).unwrap();
    }
    let written = table(&kernel);
    assert_eq!(count(&kernel, "gate4_0_0_xfrmi"), 1);
    assert_eq!(count(&kernel, "sa4_0_0"), 1);
    let name = b"gate4_0_0_xfrmi";
    let chains: Vec<&str> = written
        .rules
        .iter()
        .filter(|rule| rule.2.windows(name.len()).any(|part| part == name))
        .map(|rule| &rule.0[..])
        .collect();
    assert_eq!(
        chains,
        ["output", "postrouting"],
        "nothing else of the host is touched"
    );
}

#[test]
fn a_trap_holds_the_gate_by_itself() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Routed);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    assert_eq!(guard.gates()[0].holders, ["net (trap)"]);
    let (sa_id, sa_spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&sa_id, &sa_spec).unwrap();
    guard.open_for_sa(&sa_id.key());
    assert_eq!(guard.gates()[0].left, None, "the trap is still there");
    guard.open_for_policy(&spec, &key);
    guard.open_for_policy(&spec, &key);
    assert!(guard.gates()[0].left.is_some());
}

#[test]
fn a_child_sa_is_shut_once_for_all_who_remove_its_policies() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let shut = || count(&kernel, ruleset::SHUT);
    assert!(guard.shut([7]).is_none(), "nothing is guarded");
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    assert!(guard.shut([]).is_none());
    assert_eq!((shut(), kernel.waits()), (0, 0));
    let first = guard.shut([7, 7, 8]).unwrap();
    assert_eq!((shut(), kernel.waits()), (2, 1));
    let second = guard.shut([7]).unwrap();
    drop(first);
    assert_eq!(shut(), 1, "another thread is at it yet");
    assert_eq!(kernel.waits(), 3, "again before it is opened");
    // Whatever becomes of the gate meanwhile.
    guard.open_for_all_policies();
    drop(second);
    assert_eq!(shut(), 0);
    assert!(guard.gates()[0].left.is_some(), "and the gate has its time");
}

#[test]
fn what_is_gone_stays_shut_until_its_reqid_is_taken_again() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    let shut = || count(&kernel, ruleset::SHUT);
    guard.shut([7, 8, 9]).unwrap().keep();
    guard.open_for_policy(&spec, &key);
    let timed = table(&kernel).sets[ruleset::SHUT]
        .values()
        .filter(|element| element.timeout.is_some())
        .count();
    assert_eq!((shut(), timed), (3, 3), "as long as the gate");
    guard.open_shut(7);
    guard.open_shut(6);
    assert_eq!(shut(), 2);
    // It is taken while another thread still removes its former policy.
    let other = guard.shut([8]).unwrap();
    guard.open_shut(8);
    assert_eq!(shut(), 2, "not before that is done");
    other.keep();
    assert_eq!(shut(), 1);
    drop(guard.shut([9]).unwrap());
    assert_eq!(shut(), 0);
}

#[test]
fn a_shut_that_fails_is_said_and_leaves_nothing() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    for _ in 0..2 {
        kernel.refuse_next(nft::NEWSETELEM, libc::ENOMEM, None);
    }
    assert!(guard.shut([7]).is_none());
    assert_eq!((count(&kernel, ruleset::SHUT), kernel.waits()), (0, 0));
    assert!(guard.shut([7]).is_some());
}

#[test]
fn waiting_for_packets_takes_a_part_of_the_time_only() {
    let second = Duration::from_secs(1);
    let mut waits = Waits::default();
    assert!(waits.may(second));
    waits.took(second * 2);
    assert!(!waits.may(second));
    assert!(waits.may(second * 3));
    waits.took(second / 2);
    assert!(!waits.may(second * 3));
    assert!(waits.may(second * 1000));
    waits.took(second * 2);
    assert!(!waits.may(second * 1000), "it is not saved up");
}

#[test]
fn pass_policies_are_exempt_exactly_as_the_kernel_matches_them() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    let rules = |kernel: &FakeKernel, chain: &str| {
        let table = table(kernel);
        table.rules.iter().filter(|rule| rule.0 == chain).count()
    };
    assert_eq!(
        (rules(&kernel, "exempt_in"), rules(&kernel, "exempt_out")),
        (0, 0)
    );
    let policies = [Direction::In, Direction::Fwd, Direction::Out]
        .map(|dir| policy(dir, PolicyKind::Pass, PriorityClass::Pass));
    for (id, spec, mut key) in policies.clone() {
        key.selector.proto = 17;
        key.selector.dport = PortMatch {
            port: 53,
            mask: u16::MAX,
        };
        guard.close_for_policy(&id, &spec, &key).unwrap();
    }
    assert_eq!(
        (rules(&kernel, "exempt_in"), rules(&kernel, "exempt_out")),
        (1, 1)
    );
    for (_, spec, mut key) in policies {
        key.selector.proto = 17;
        key.selector.dport = PortMatch {
            port: 53,
            mask: u16::MAX,
        };
        guard.open_for_policy(&spec, &key);
    }
    assert_eq!(
        (rules(&kernel, "exempt_in"), rules(&kernel, "exempt_out")),
        (0, 0)
    );
}

#[test]
fn without_nftables_the_gate_refuses_and_says_what_to_do() {
    let kernel = FakeKernel::new();
    kernel.set_knobs(Knobs {
        nftables: false,
        ..Knobs::default()
    });
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    let error = guard.close_for_sa(&id, &spec).unwrap_err().to_string();
    assert!(error.contains("unable to close the gate"), "{error}");
    assert!(error.contains("guard = no"), "{error}");
    assert!(guard.gates().iter().all(|gate| gate.holders.is_empty()));
    guard.stop();
}

#[test]
fn a_failed_transaction_is_tried_once_more() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    kernel.refuse_next(nft::NEWSETELEM, libc::ENOBUFS, None);
    let (other, spec) = sa(2, true, LOCAL, "10.3.0.0/16");
    guard.close_for_sa(&other, &spec).unwrap();
    assert_eq!(count(&kernel, GATES), 2);
}

#[test]
fn a_table_that_somebody_removed_comes_back_whole() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let watch = GuardWatch::open(&guard).unwrap();
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    guard.use_device(2, "p0").unwrap();
    let rules = table(&kernel).rules.len();
    assert!(watch.readable());
    // Found by the event.
    kernel.nft_change(ruleset::TABLE, None);
    assert!(watch.readable());
    assert_eq!(
        (count(&kernel, GATES), table(&kernel).rules.len()),
        (1, rules)
    );
    assert_eq!(kernel.nft_egress(ruleset::TABLE), ["egress_p0"]);
    // Found by the next change of our own.
    kernel.nft_change(ruleset::TABLE, None);
    let (other, spec) = sa(2, true, LOCAL, "10.3.0.0/16");
    guard.close_for_sa(&other, &spec).unwrap();
    assert_eq!(
        (count(&kernel, GATES), table(&kernel).rules.len()),
        (2, rules)
    );
    // Found by looking.
    kernel.nft_change(ruleset::TABLE, None);
    assert!(watch.tick().is_some());
    assert_eq!(
        (count(&kernel, GATES), table(&kernel).rules.len()),
        (2, rules)
    );
}

#[test]
fn a_change_by_any_thread_of_ours_is_not_foreign() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let watch = GuardWatch::open(&guard).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (id, spec) = sa(1, true, LOCAL, REMOTE);
            guard.close_for_sa(&id, &spec).unwrap();
        });
    });
    let written = table(&kernel).rules;
    assert!(watch.readable());
    assert_eq!(table(&kernel).rules, written, "nothing was written anew");
}

#[test]
fn a_look_while_gates_come_and_go_finds_nothing_foreign() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200 {
                // Each prefix length needs rules of its own.
                let (id, spec) = sa(2, true, &format!("10.1.0.0/{}", 8 + round % 20), REMOTE);
                guard.close_for_sa(&id, &spec).unwrap();
                guard.open_for_sa(&id.key());
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            assert!(!guard.verify(false));
        }
    });
}

#[test]
fn what_a_driver_marked_and_xfrm_has_not_taken_yet_is_not_judged() {
    let mut layout = Layout::default();
    layout
        .categories
        .insert(ruleset::Category::of_gates(GATES).unwrap());
    let rules = ruleset::rules(&layout);
    let place = |about: &str| {
        rules
            .iter()
            .position(|rule| rule.chain == "decrypted" && rule.about == about)
            .unwrap_or_else(|| panic!("no rule: {about}"))
    };
    let judged = place("outside the selectors of the SA that decrypted it");
    assert!(place("ESP, AH, IPComp of known SAs") < judged);
    assert!(place("IKE and ESP in UDP to charon") < judged);
}

#[test]
fn foreign_rules_and_elements_are_found_by_looking() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(!guard.verify(false));
    let rules = table(&kernel).rules.len();
    kernel.nft_change(
        ruleset::TABLE,
        Some(&mut |table| {
            let accept = ("forward".to_owned(), 4711, Vec::new());
            table.rules.insert(0, accept);
            table.sets.get_mut(GATES).unwrap().clear();
            let peers = table.sets.get_mut("peers4").unwrap();
            peers.insert(vec![1; 8], Default::default());
        }),
    );
    assert!(guard.verify(false));
    assert_eq!(table(&kernel).rules.len(), rules);
    assert_eq!((count(&kernel, GATES), count(&kernel, "peers4")), (1, 1));
    assert!(!guard.verify(false), "all is as it should be");
}

#[test]
fn a_gate_that_nobody_holds_may_be_opened_by_anybody() {
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.hold = Hold::Forever;
    let guard = Guard::new(kernel.clone(), settings);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    let pair = admin::list(kernel.as_ref()).unwrap()[0].pair;
    assert!(guard.open(&pair).is_err(), "it is held");
    admin::open(kernel.as_ref(), &pair).unwrap();
    guard.verify(true);
    assert_eq!(count(&kernel, GATES), 1, "closed again");
    guard.open_for_sa(&id.key());
    assert_eq!(count(&kernel, GATES), 1, "for ever");
    admin::open(kernel.as_ref(), &pair).unwrap();
    guard.verify(true);
    assert_eq!(count(&kernel, GATES), 0);
    assert!(guard.gates().is_empty());
    assert!(admin::open(kernel.as_ref(), &pair).is_err());
    assert_eq!(admin::open_all(kernel.as_ref()).unwrap(), 0);
}

#[test]
fn a_crash_leaves_the_gates_to_the_next_daemon() {
    let kernel = FakeKernel::new();
    let first = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    first.close_for_sa(&id, &spec).unwrap();
    drop(first);
    let second = guard(&kernel);
    second.adopt().unwrap();
    let gates = second.gates();
    assert_eq!((gates.len(), gates[0].last_holder.as_str()), (1, "net"));
    assert_eq!(gates[0].left, None);
    assert_eq!(count(&kernel, "reqids"), 0, "its SAs are not known here");
    second.close_for_sa(&id, &spec).unwrap();
    assert_eq!(count(&kernel, GATES), 1);
    second.open_for_sa(&id.key());
    assert!(second.gates()[0].left.is_some(), "claimed and released");
}

#[test]
fn a_clean_stop_does_as_told() {
    for (on_stop, timeout, left) in [
        (OnStop::Open, None, 0),
        (OnStop::Hold, Some(false), 1),
        (OnStop::HoldTime, Some(true), 1),
    ] {
        let kernel = FakeKernel::new();
        let mut settings = settings();
        settings.on_stop = on_stop;
        let guard = Guard::new(kernel.clone(), settings);
        let (id, spec) = sa(1, true, LOCAL, REMOTE);
        guard.close_for_sa(&id, &spec).unwrap();
        // charon deletes its CHILD_SAs first.
        guard.open_for_sa(&id.key());
        guard.stop();
        let gates = admin::list(kernel.as_ref()).unwrap();
        assert_eq!(gates.len(), left, "{on_stop:?}");
        let found = gates.first().map(|gate| gate.left.is_some());
        assert_eq!(found, timeout, "{on_stop:?}");
    }
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.hold = Hold::For(Duration::ZERO);
    let guard = Guard::new(kernel.clone(), settings);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    guard.open_for_sa(&id.key());
    guard.stop();
    assert!(
        kernel.nft_table(ruleset::TABLE).is_none(),
        "nothing is left"
    );
}

#[test]
fn threads_share_transactions_and_none_returns_before_its_gate_is_closed() {
    let kernel = FakeKernel::new();
    let transactions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&transactions);
    kernel.set_rule(Some(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::thread::yield_now();
        Ok(())
    })));
    let guard = guard(&kernel);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (guard, kernel) = (&guard, &kernel);
            scope.spawn(move || {
                for round in 0..30 {
                    let number = thread * 30 + round;
                    let remote = format!("10.{number}.0.0/16");
                    let (id, spec) = sa(number, true, "172.16.0.0/16", &remote);
                    guard.close_for_sa(&id, &spec).unwrap();
                    let key = vec![172, 16, 0, 0, 10, number as u8, 0, 0];
                    assert!(table(kernel).sets[GATES].contains_key(&key));
                    if round % 2 == 0 {
                        guard.open_for_sa(&id.key());
                    }
                }
            });
        }
    });
    assert_eq!(count(&kernel, GATES), 240);
    assert_eq!(count(&kernel, "sa4_16_16"), 120);
    assert!(!guard.verify(false));
}

#[test]
fn an_sa_that_moves_takes_its_exemption_along() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    let moved = SaId {
        dst: Addr::new("192.168.9.9".parse().unwrap()),
        ..id
    };
    guard.move_sa(&id.key(), &moved, Some(9));
    let delivers = table(&kernel).sets["sa4_16_16"].clone();
    assert_eq!(delivers.len(), 1);
    assert!(delivers.keys().all(|key| key[..4] == 9u32.to_ne_bytes()));
    assert!(table(&kernel).sets["reqids"].contains_key(9u32.to_ne_bytes().as_slice()));
    let peers = &table(&kernel).sets["peers4"];
    assert_eq!(
        peers.keys().collect::<Vec<_>>(),
        [&vec![192, 168, 9, 9, 192, 168, 0, 2]]
    );
    guard.open_for_sa(&moved.key());
    assert_eq!(count(&kernel, "peers4"), 0);
}

#[test]
fn without_a_gate_the_tables_go_and_the_next_one_brings_all_of_them_back() {
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.hold = Hold::For(Duration::ZERO);
    let guard = Arc::new(Guard::new(kernel.clone(), settings));
    let watch = GuardWatch::open(&guard).unwrap();
    guard.use_ike_port(500);
    let (first, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&first, &spec).unwrap();
    let (plain, mut unguarded) = sa(2, true, LOCAL, REMOTE);
    unguarded.offload = Offload::No;
    guard.close_for_sa(&plain, &unguarded).unwrap();
    assert!(watch.tick().is_some(), "there is something to look after");
    guard.open_for_sa(&first.key());
    assert_eq!(count(&kernel, GATES), 0);
    assert_eq!(watch.tick(), None);
    assert!(kernel.nft_table(ruleset::TABLE).is_none());
    guard.close_for_sa(&first, &spec).unwrap();
    for (set, elements) in [
        (GATES, 1),
        ("sa4_16_16", 1),
        ("peers4", 1),
        ("ike_ports", 1),
    ] {
        assert_eq!(count(&kernel, set), elements, "{set}");
    }
    assert!(watch.tick().is_some());
}

#[test]
fn what_came_while_it_was_switched_off_is_exempt_once_it_is_on() {
    let kernel = FakeKernel::new();
    let mut off = settings();
    off.cover = Cover::No;
    let guard = Guard::new(kernel.clone(), off);
    let (id, spec, key) = policy(Direction::In, PolicyKind::Pass, PriorityClass::Pass);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    let (old, spec) = sa(1, true, "10.8.0.0/16", REMOTE);
    guard.close_for_sa(&old, &spec).unwrap();
    assert!(kernel.nft_table(ruleset::TABLE).is_none(), "off is off");
    guard.configure(settings());
    assert!(
        kernel.nft_table(ruleset::TABLE).is_none(),
        "nothing to guard yet"
    );
    let (id, spec) = sa(2, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    assert_eq!(count(&kernel, GATES), 1);
    let rules = table(&kernel).rules;
    let exempt = rules.iter().filter(|(chain, ..)| chain == "exempt_in");
    assert_eq!(exempt.count(), 1);
}

#[test]
fn all_gates_are_opened_but_those_that_are_held_and_lost_tables_come_back_whole() {
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.hold = Hold::Forever;
    let guard = Arc::new(Guard::new(kernel.clone(), settings));
    let watch = GuardWatch::open(&guard).unwrap();
    for (number, remote) in [(1, REMOTE), (2, "10.3.0.0/16")] {
        let (id, spec) = sa(number, true, LOCAL, remote);
        guard.close_for_sa(&id, &spec).unwrap();
    }
    let (second, _) = sa(2, true, LOCAL, "10.3.0.0/16");
    guard.open_for_sa(&second.key());
    kernel.nft_change(ruleset::TABLE, None);
    Readable::readable(&watch);
    assert_eq!(
        count(&kernel, GATES),
        2,
        "also the one that is only kept closed"
    );
    assert_eq!(admin::open_all(kernel.as_ref()).unwrap(), 2);
    guard.verify(false);
    assert_eq!(count(&kernel, GATES), 1, "one is held");
    assert_eq!(guard.gates()[0].holders, ["net"]);
}

/// Somebody touches the tables, or events are lost (`foreign_change`), while transactions of ours follow one another: a
/// thread is executing one from now until `ended`.
fn disturbed_look(kernel: &Arc<FakeKernel>, guard: &Arc<Guard>) {
    let weak = Arc::downgrade(guard);
    kernel.set_rule(Some(Arc::new(move |request| {
        if request.kind == nft::GETSET
            && let Some(guard) = weak.upgrade()
        {
            guard.lock().begin();
        }
        Ok(())
    })));
    assert!(guard.verify(true));
    kernel.set_rule(None);
}

fn ended(guard: &Guard) {
    guard.lock().end();
    guard.finish();
}

#[test]
fn a_shut_child_sa_is_opened_though_a_look_was_disturbed_meanwhile() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    let shut = guard.shut([7]).unwrap();
    disturbed_look(&kernel, &guard);
    drop(shut);
    ended(&guard);
    assert_eq!(
        count(&kernel, ruleset::SHUT),
        0,
        "reqid 7 is shut until somebody looks"
    );
}

#[test]
fn a_gate_is_released_though_a_look_was_disturbed_meanwhile() {
    for hold in [
        Hold::For(Duration::ZERO),
        Hold::For(Duration::from_secs(10)),
    ] {
        let kernel = FakeKernel::new();
        let mut settings = settings();
        settings.hold = hold;
        let guard = Arc::new(Guard::new(kernel.clone(), settings));
        let (keep, keep_spec) = sa(2, true, LOCAL, "10.3.0.0/16");
        guard.close_for_sa(&keep, &keep_spec).unwrap();
        let (id, spec) = sa(1, true, LOCAL, REMOTE);
        guard.close_for_sa(&id, &spec).unwrap();
        disturbed_look(&kernel, &guard);
        guard.open_for_sa(&id.key());
        ended(&guard);
        guard.verify(false);
        guard.verify(false);
        let gates = table(&kernel).sets[GATES].clone();
        let stuck = gates
            .iter()
            .filter(|(key, element)| key[5] == 2 && element.timeout.is_none())
            .count();
        assert_eq!(stuck, 0, "{hold:?}: closed for ever, held by nobody");
    }
}

#[test]
fn an_errno_of_part_of_the_tables_forgets_nothing_that_is_there() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    let shut = guard.shut([7]).unwrap();
    kernel.refuse_next(nft::DESTROYSETELEM, libc::ENOENT, None);
    drop(shut);
    assert_eq!(count(&kernel, ruleset::SHUT), 0);
}

#[test]
fn what_may_be_in_the_kernel_is_removed_though_the_answer_was_lost() {
    let mut model = Model::default();
    let key = Key::of(Place::Reqids).put(&[7, 0, 0, 0]);
    let holder = Arc::from("net");
    model.hold(&key, &holder);
    let plan = model.plan(Duration::ZERO);
    // The kernel executed it; the acknowledgement timed out, or a later one of several transactions failed.
    model.failed(&plan.outcome);
    model.release(&key, &holder, Hold::For(Duration::ZERO), Duration::ZERO);
    let destroyed = model.plan(Duration::ZERO).destroy;
    assert_eq!(destroyed.len(), 1, "it may be in the kernel");
}

#[test]
fn a_device_that_is_gone_does_not_keep_the_gate_of_others_from_closing() {
    let kernel = FakeKernel::new();
    let guard = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    guard.close_for_sa(&id, &spec).unwrap();
    guard.use_device(2, "p0").unwrap();
    // p0 is unplugged or renamed. Linux 6.3 to 6.15: nft_netdev_hook_alloc() says ENOENT.
    kernel.set_rule(Some(Arc::new(|request| {
        let device = b"egress_p0";
        let names = request
            .payload
            .windows(device.len())
            .any(|part| part == device);
        if request.kind == nft::NEWCHAIN && names {
            return Err(KernelError::new("NFT_MSG_NEWCHAIN", libc::ENOENT));
        }
        Ok(())
    })));
    let (other, spec) = sa(2, true, "10.5.0.0/24", "10.6.0.0/24");
    guard.close_for_sa(&other, &spec).unwrap();
}

#[test]
fn without_a_gate_nothing_of_a_crashed_daemon_stands_in_the_way_of_new_child_sas() {
    let kernel = FakeKernel::new();
    let first = guard(&kernel);
    let (id, spec) = sa(1, true, LOCAL, REMOTE);
    first.close_for_sa(&id, &spec).unwrap();
    // It crashes while it removes a policy.
    std::mem::forget(first.shut([7]).unwrap());
    let count = |set| count(&kernel, set);
    assert_eq!((count(ruleset::SHUT), count(ruleset::REQIDS)), (1, 1));
    let mut off = settings();
    off.cover = Cover::No;
    Guard::new(kernel.clone(), off).leave_what_is_left();
    let reqids = [ruleset::SHUT, ruleset::REQIDS, "sa4_16_16"].map(count);
    assert_eq!((reqids, count(GATES)), ([0, 0, 0], 1));
}

fn closed(kernel: &Arc<FakeKernel>, hold: Hold) -> Arc<Guard> {
    let settings = Settings { hold, ..settings() };
    let guard = Arc::new(Guard::new(kernel.clone(), settings));
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    guard
}

#[test]
fn a_shut_that_failed_does_not_shut_a_reqid_that_is_in_use_later() {
    for hold in [Hold::For(Duration::from_secs(10)), Hold::Forever] {
        let kernel = FakeKernel::new();
        let guard = closed(&kernel, hold);
        for _ in 0..2 {
            kernel.refuse_next(nft::NEWSETELEM, libc::ENOMEM, None);
        }
        assert!(guard.shut([7]).is_none());
        // The policy went to software, the CHILD_SA is up; any other CHILD_SA comes.
        let (other, spec) = sa(2, true, LOCAL, "10.3.0.0/16");
        guard.close_for_sa(&other, &spec).unwrap();
        assert_eq!(count(&kernel, ruleset::SHUT), 0, "{hold:?}");
    }
}

#[test]
fn who_comes_second_waits_for_the_egress_of_a_device_too() {
    let kernel = FakeKernel::new();
    let guard = closed(&kernel, Hold::Forever);
    let weak = Arc::downgrade(&guard);
    static EARLY: AtomicUsize = AtomicUsize::new(0);
    kernel.set_rule(Some(Arc::new(move |request| {
        let name = b"egress_p0";
        if request.kind == nft::NEWCHAIN
            && request.payload.windows(name.len()).any(|part| part == name)
        {
            if weak
                .upgrade()
                .is_some_and(|guard| guard.uses_device(2, "p0"))
            {
                EARLY.fetch_add(1, Ordering::Relaxed);
            }
            // No CONFIG_NETFILTER_EGRESS.
            return Err(KernelError::new("NFT_MSG_NEWCHAIN", libc::EOPNOTSUPP));
        }
        Ok(())
    })));
    assert!(guard.use_device(2, "p0").is_err());
    kernel.set_rule(None);
    assert_eq!(
        EARLY.load(Ordering::Relaxed),
        0,
        "another thread's policy goes to a device without a guard"
    );
}

#[test]
fn a_reqid_that_is_taken_while_there_is_no_table_is_not_shut_by_the_next_table() {
    let kernel = FakeKernel::new();
    let guard = closed(&kernel, Hold::Forever);
    let watch = GuardWatch::open(&guard).unwrap();
    guard.shut([7]).unwrap().keep();
    let (_, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.open_for_policy(&spec, &key);
    let pair = guard.gates()[0].pair;
    guard.open(&pair).unwrap();
    assert_eq!(watch.tick(), None, "the tables are gone");
    // A CHILD_SA without offload, and so without a gate, gets the reqid.
    guard.open_shut(7);
    let (other, mut spec) = sa(2, true, LOCAL, "10.3.0.0/16");
    spec.reqid = 9;
    guard.close_for_sa(&other, &spec).unwrap();
    assert_eq!(count(&kernel, ruleset::SHUT), 0, "it can send nothing");
}

#[test]
fn at_a_stop_what_is_shut_stays_as_long_as_its_gate() {
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.on_stop = OnStop::Hold;
    let guard = Arc::new(Guard::new(kernel.clone(), settings));
    let (id, spec, key) = policy(Direction::Out, PolicyKind::Ipsec, PriorityClass::Default);
    guard.close_for_policy(&id, &spec, &key).unwrap();
    guard.shut([7]).unwrap().keep();
    guard.stop();
    let timed = |set: &str| {
        table(&kernel).sets[set]
            .values()
            .filter(|element| element.timeout.is_some())
            .count()
    };
    assert_eq!((timed(GATES), timed(ruleset::SHUT)), (0, 0));
}

#[test]
fn a_restart_opens_nothing_that_is_shut_before_its_reqid_is_taken() {
    let kernel = FakeKernel::new();
    let first = closed(&kernel, Hold::For(Duration::from_secs(10)));
    first.shut([7]).unwrap().keep();
    first.stop();
    assert_eq!(
        (count(&kernel, ruleset::SHUT), count(&kernel, GATES)),
        (1, 1)
    );
    let next = guard(&kernel);
    next.adopt().unwrap();
    assert_eq!(
        (count(&kernel, ruleset::SHUT), count(&kernel, GATES)),
        (1, 1)
    );
    next.open_shut(7);
    assert_eq!(count(&kernel, ruleset::SHUT), 0);
}

#[test]
fn all_who_shut_a_reqid_hear_that_it_was_taken_meanwhile() {
    let kernel = FakeKernel::new();
    let guard = closed(&kernel, Hold::Forever);
    let first = guard.shut([8]).unwrap();
    let second = guard.shut([8]).unwrap();
    guard.open_shut(8);
    first.keep();
    second.keep();
    guard.finish();
    assert_eq!(count(&kernel, ruleset::SHUT), 0);
}

#[test]
fn what_runs_out_a_little_later_in_the_kernel_is_no_stray() {
    let now = Duration::from_secs(1000);
    let ten = Duration::from_secs(10);
    let mut model = Model::default();
    let key = Key::of(Place::Shut).put(&[7, 0, 0, 0]);
    let holder: Arc<str> = Arc::from("removal");
    model.hold(&key, &holder);
    let plan = model.plan(now);
    model.applied(&plan.outcome);
    model.release(&key, &holder, Hold::For(ten), now);
    // The kernel executes it three milliseconds later.
    let plan = model.plan(now);
    model.applied(&plan.outcome);
    let end = now + ten;
    model.expire(end);
    let found = [ReadElement {
        key: vec![7, 0, 0, 0],
        left: Some(Duration::from_millis(3)),
        comment: String::new(),
    }];
    assert_eq!(
        model.remove_strays(Place::Shut, &found),
        0,
        "'somebody changed table inet fastswan', though nobody did"
    );
}

#[test]
fn a_renamed_device_still_encrypts_what_its_policies_lead_there() {
    let kernel = FakeKernel::new();
    let guard = closed(&kernel, Hold::Forever);
    guard.use_device(2, "p0").unwrap();
    // ip link set p0 name p9. Linux 6.3 to 6.15: ENOENT for the old name, while the hook stays at the device.
    kernel.set_rule(Some(Arc::new(|request| {
        let name = b"egress_p0";
        if request.kind == nft::NEWCHAIN
            && request.payload.windows(name.len()).any(|part| part == name)
        {
            return Err(KernelError::new("NFT_MSG_NEWCHAIN", libc::ENOENT));
        }
        Ok(())
    })));
    // Somebody touches the rules.
    guard.verify(true);
    assert_eq!(
        count(&kernel, ruleset::NICS),
        1,
        "'second pass, to a device that does not encrypt': all CHILD_SAs of the device stand still"
    );
}

#[test]
fn nothing_to_hold_is_nothing_to_keep() {
    let kernel = FakeKernel::new();
    let guard = closed(&kernel, Hold::For(Duration::ZERO));
    guard.shut([7]).unwrap().keep();
    assert_eq!((count(&kernel, ruleset::SHUT), kernel.waits()), (0, 2));
}

#[test]
fn a_table_that_could_not_be_taken_away_is_not_taken_for_gone() {
    let kernel = FakeKernel::new();
    let mut settings = settings();
    settings.hold = Hold::For(Duration::ZERO);
    let guard = Arc::new(Guard::new(kernel.clone(), settings));
    let watch = GuardWatch::open(&guard).unwrap();
    let (id, mut spec) = sa(1, true, LOCAL, REMOTE);
    spec.offload = Offload::Auto;
    let (out, out_spec) = sa(3, false, LOCAL, REMOTE);
    guard.close_for_sa(&out, &out_spec).unwrap();
    guard.close_for_sa(&id, &spec).unwrap();
    guard.open_for_sa(&out.key());
    assert_eq!(
        (count(&kernel, GATES), count(&kernel, ruleset::REQIDS)),
        (0, 1)
    );
    kernel.refuse_next(nft::DESTROYTABLE, libc::ENOMEM, None);
    assert_eq!(watch.tick(), None);
    guard.open_for_sa(&id.key());
    let (other, mut spec) = sa(2, true, LOCAL, "10.3.0.0/16");
    spec.reqid = 9;
    guard.close_for_sa(&other, &spec).unwrap();
    assert_eq!(count(&kernel, ruleset::REQIDS), 1, "that of reqid 9");
}

#[test]
fn what_is_doubted_while_it_is_under_way_is_written_again() {
    let mut model = Model::default();
    let (gate, name) = (Key::of(Place::Reqids).put(&[7, 0, 0, 0]), Arc::from("net"));
    model.hold(&gate, &name);
    let plan = model.plan(Duration::ZERO);
    // The kernel has executed it, somebody removed it again, and three looks were disturbed.
    model.doubt();
    model.applied(&plan.outcome);
    assert!(model.is_dirty(), "nobody knows whether it is there");
}
