// SPDX-License-Identifier: GPL-2.0-or-later
//! Ways to the peers, the kernel's counters, and whether what is installed fits together.
//!
//! Owns these checks. What fits together: a policy in packet mode needs an SA in packet mode on the
//! same device (net/xfrm/xfrm_state.c: xfrm_state_find), and on a device a reqid names one unit
//! (mlx5 picks the SA by it).

use std::collections::BTreeMap;

use fastswan::offload::is_stacked;

use super::{Report, Verdict};
use crate::facts::{Answer, Facts, Peer, Policy, Sa};

/// Counters that betray trouble with offload, and what it is.
const COUNTERS: &[(&str, &str)] = &[
    (
        "XfrmOutError",
        "packets too large for the tunnel, or sent by another device than the SA's",
    ),
    (
        "XfrmOutNoStates",
        "policies without an SA, as when one is in the NIC and the other is not",
    ),
    (
        "XfrmOutBundleGenError",
        "an inner and an outer address of different families",
    ),
    (
        "XfrmInTmplMismatch",
        "packets in clear that should have been encrypted, or an SA and a policy apart",
    ),
    ("XfrmInNoPols", "packets that no policy allows"),
    ("XfrmInNoStates", "packets for SAs that are gone"),
    (
        "XfrmInStateProtoError",
        "packets that failed the integrity check",
    ),
    (
        "XfrmInHdrError",
        "packets with a damaged ESP header or trailer",
    ),
    ("XfrmInStateSeqError", "replayed packets"),
    (
        "XfrmOutPolBlock",
        "packets that a blocking policy stopped, as while a device is away",
    ),
    ("XfrmInStateDirError", "an SA used in the wrong direction"),
];

pub(super) fn examine(facts: &Facts, report: &mut Report) {
    if facts.peers.is_empty() {
        let why = "the way to no peer is known";
        report.skip("peer-route", None, why);
        report.skip("peer-next-hop", None, why);
    }
    for peer in &facts.peers {
        way(facts, peer, report);
    }
    counters(facts, report);
    gates(facts, report);
    match (&facts.sas, &facts.policies) {
        (Answer::Known(sas), Answer::Known(policies)) => {
            let in_nic = policies.iter().any(|policy| policy.ifindex.is_some());
            if in_nic || sas.iter().any(|sa| sa.mode == "packet" && !sa.larval) {
                pairs(facts, sas, policies, report);
                reqids(facts, sas, report);
                shadows(facts, policies, report);
                directions(sas, report);
            } else {
                untold("nothing is in a NIC", report);
            }
        }
        (Answer::Unknown(why), _) | (_, Answer::Unknown(why)) => untold(why, report),
    }
}

/// Nothing to be judged of what is installed.
fn untold(why: &str, report: &mut Report) {
    for id in [
        "offload-pairs",
        "offload-reqid",
        "offload-shadow",
        "offload-direction",
    ] {
        report.skip(id, None, why);
    }
}

fn way(facts: &Facts, peer: &Peer, report: &mut Report) {
    let object = peer.address.clone();
    let way = match &peer.route {
        Answer::Known(way) => way,
        Answer::Unknown(why) => {
            report.add(
                "peer-route",
                object.clone(),
                Verdict::Warn,
                format!("no route: {why}"),
                "without a route to the peer there is no device to offload to.",
            );
            report.skip("peer-next-hop", object, "there is no route");
            return;
        }
    };
    let name = facts.device_name(way.ifindex);
    let hop = way
        .gateway
        .as_ref()
        .map_or_else(String::new, |gateway| format!(" via {gateway}"));
    match facts.device(way.ifindex) {
        Some(device) if device.esp_offload && !is_stacked(device.kind.as_deref()) => {
            report.good("peer-route", object.clone(), format!("{name}{hop}"));
        }
        Some(device) => {
            let what = device
                .kind
                .as_ref()
                .map_or_else(String::new, |kind| format!(", which is a {kind}"));
            report.add(
                "peer-route",
                object.clone(),
                Verdict::Warn,
                format!("leaves through {name}{what}: no packet offload"),
                "route to the peer directly through a port of the NIC.",
            );
        }
        None => report.skip(
            "peer-route",
            object.clone(),
            format!("leaves through {name}, which nothing is known about"),
        ),
    }
    match &way.resolved {
        Answer::Known(true) => report.good("peer-next-hop", object, "its address is resolved"),
        Answer::Known(false) => report.add(
            "peer-next-hop",
            object,
            Verdict::Warn,
            "its link-layer address is not known at the moment",
            "the plugin resolves it before it adds an SA; if it cannot, check the gateway.",
        ),
        Answer::Unknown(why) => report.skip("peer-next-hop", object, why.clone()),
    }
}

fn counters(facts: &Facts, report: &mut Report) {
    let stat = match &facts.xfrm_stat {
        Answer::Known(stat) => stat,
        Answer::Unknown(why) => {
            report.skip("xfrm-counters", None, why.clone());
            return;
        }
    };
    let mut clean = true;
    for (name, meaning) in COUNTERS {
        let value = stat.get(*name).copied().unwrap_or(0);
        if value > 0 {
            clean = false;
            report.add(
                "xfrm-counters",
                (*name).to_owned(),
                Verdict::Warn,
                format!("{value}: {meaning}"),
                "if it grows, find the CHILD_SA with fastswanctl status.",
            );
        }
    }
    if clean {
        report.good("xfrm-counters", None, "none that betrays trouble");
    }
}

fn pairs(facts: &Facts, sas: &[Sa], policies: &[Policy], report: &mut Report) {
    let in_nic: Vec<&Policy> = policies
        .iter()
        .filter(|policy| policy.ifindex.is_some() && policy.templates > 0)
        .collect();
    // Inbound either works: what software decrypted passes an offloaded policy as well.
    let outbound = || {
        sas.iter()
            .filter(|sa| sa.inbound != Some(true) && !sa.larval)
    };
    let mut apart = false;
    for policy in in_nic.iter().filter(|policy| policy.dir == "out") {
        let of_reqid: Vec<&Sa> = outbound()
            .filter(|sa| Some(sa.reqid) == policy.reqid)
            .collect();
        // A trap waits for its SA; that is no disagreement.
        let paired = of_reqid.is_empty()
            || of_reqid
                .iter()
                .any(|sa| sa.mode == "packet" && sa.ifindex == policy.ifindex);
        if !paired {
            apart = true;
            let modes: Vec<&str> = of_reqid.iter().map(|sa| sa.mode.as_str()).collect();
            report.add(
                "offload-pairs",
                format!("{} {} === {}", policy.dir, policy.src, policy.dst),
                Verdict::Fail,
                format!(
                    "the policy is in {}, but its SAs (reqid {}) are in {}: its packets are dropped",
                    policy.ifindex.map_or_else(String::new, |index| facts.device_name(index)),
                    policy.reqid.unwrap_or(0),
                    modes.join(" and ")
                ),
                "swanctl --terminate and --initiate the CHILD_SA; with this plugin it cannot happen.",
            );
        }
    }
    for sa in outbound().filter(|sa| sa.mode == "packet") {
        let software = policies.iter().any(|policy| {
            policy.reqid == Some(sa.reqid) && policy.dir == "out" && policy.ifindex.is_none()
        });
        let offloaded = in_nic.iter().any(|policy| {
            policy.dir == "out" && policy.reqid == Some(sa.reqid) && policy.ifindex == sa.ifindex
        });
        if software && !offloaded {
            apart = true;
            report.add(
                "offload-pairs",
                format!("SPI {:08x}", sa.spi),
                Verdict::Fail,
                format!(
                    "the SA is in {}, but its policies (reqid {}) are not: it carries nothing",
                    sa.ifindex.map_or_else(String::new, |index| facts.device_name(index)),
                    sa.reqid
                ),
                "swanctl --terminate and --initiate the CHILD_SA; with this plugin it cannot happen.",
            );
        }
    }
    if !apart {
        report.good(
            "offload-pairs",
            None,
            match in_nic.len() {
                1 => "1 policy in a NIC, with its SA".to_owned(),
                count => format!("{count} policies in NICs, each with its SA"),
            },
        );
    }
}

/// Without a direction the kernel takes an SA for either, and refuses it to the device.
fn directions(sas: &[Sa], report: &mut Report) {
    let offloaded = || sas.iter().filter(|sa| sa.mode == "packet" && !sa.larval);
    let without: Vec<String> = offloaded()
        .filter(|sa| sa.inbound.is_none())
        .map(|sa| format!("{:08x}", sa.spi))
        .collect();
    if !without.is_empty() {
        let shown = without.iter().take(5).cloned().collect::<Vec<_>>();
        let more = match without.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        report.add(
            "offload-direction",
            None,
            Verdict::Fail,
            format!(
                "SAs in a NIC without a direction (XFRMA_SA_DIR): {}{more}",
                shown.join(", ")
            ),
            "whoever added them has to say whether they are inbound or outbound.",
        );
    } else {
        report.good("offload-direction", None, "each SA in a NIC has one");
    }
}

/// Gates that stay closed though nobody needs them any more.
fn gates(facts: &Facts, report: &mut Report) {
    let gates = match &facts.gates {
        Answer::Known(gates) => gates,
        Answer::Unknown(why) => {
            report.skip("guard-gates", None, why.clone());
            return;
        }
    };
    let mut left = 0;
    for gate in gates {
        let unclaimed = gate.holders.as_ref().is_some_and(Vec::is_empty);
        if unclaimed && gate.opens_in.is_none() {
            left += 1;
            report.add(
                "guard-gates",
                gate.selector.clone(),
                Verdict::Warn,
                format!(
                    "closed for {} and held by nobody any more: nothing of it passes in clear",
                    gate.name
                ),
                format!(
                    "fastswanctl guard open \"{}\", if that is wanted.",
                    gate.selector
                ),
            );
        }
    }
    if left == 0 {
        let text = match gates.len() {
            0 => "no gate is closed".to_owned(),
            count => format!("{count} closed, none left over"),
        };
        report.good("guard-gates", None, text);
    }
}

/// On a device a reqid must lead to one peer only.
fn reqids(facts: &Facts, sas: &[Sa], report: &mut Report) {
    let mut peers: BTreeMap<(u32, u32), Vec<&str>> = BTreeMap::new();
    for sa in sas.iter().filter(|sa| sa.mode == "packet" && !sa.larval) {
        let Some(ifindex) = sa.ifindex else {
            continue;
        };
        // The pair of addresses, whichever way.
        let peer = if sa.src < sa.dst { &sa.dst } else { &sa.src };
        let list = peers.entry((ifindex, sa.reqid)).or_default();
        if !list.contains(&peer.as_str()) {
            list.push(peer);
        }
    }
    let shared: Vec<_> = peers.iter().filter(|(_, list)| list.len() > 1).collect();
    for ((ifindex, reqid), list) in &shared {
        report.add(
            "offload-reqid",
            format!("{} reqid {reqid}", facts.device_name(*ifindex)),
            Verdict::Fail,
            format!(
                "{} tunnels share it: the NIC picks an SA by it and encrypts for the wrong peer",
                list.len()
            ),
            "give each CHILD_SA a reqid of its own, or leave the choice to charon.",
        );
    }
    if shared.is_empty() {
        report.good("offload-reqid", None, "each reqid leads to one peer");
    }
}

/// The kernel looks among the policies of the device first.
fn shadows(facts: &Facts, policies: &[Policy], report: &mut Report) {
    let mut clean = true;
    for policy in policies {
        let Some(ifindex) = policy.ifindex else {
            continue;
        };
        let shadowed = policies.iter().any(|other| {
            other.ifindex.is_none()
                && other.dir == policy.dir
                && other.src == policy.src
                && other.dst == policy.dst
                && other.proto == policy.proto
                && other.priority < policy.priority
        });
        if shadowed {
            clean = false;
            report.add(
                "offload-shadow",
                format!("{} {} === {}", policy.dir, policy.src, policy.dst),
                Verdict::Warn,
                format!(
                    "a policy in software has the better priority, but the one in {} is found first",
                    facts.device_name(ifindex)
                ),
                "do not mix hw_offload = packet and software for the same selectors.",
            );
        }
    }
    if clean {
        report.good(
            "offload-shadow",
            None,
            "no policy in software for the selectors of one in a NIC",
        );
    }
}
