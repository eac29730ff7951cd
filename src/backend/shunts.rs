// SPDX-License-Identifier: GPL-2.0-or-later
//! PASS and DROP policies in a NIC, and their place in front of others.
//!
//! Owns which device a shunt goes to, what happens if the device refuses it, and the list of those
//! that are offloaded. Called by `policy.rs`.

use std::sync::PoisonError;

use crate::error::KernelError;
use crate::model::{Direction, Offload, PolicyKind, Prefix, PriorityClass, Selector};
use crate::offload::{Mode, Refusal, check_device, check_policy, explain};
use crate::spd::{Turn, User};
use crate::xfrm::PolicyKey;

use super::Core;
use super::sa::{blames_offload, for_name};
use super::templates::facts_of;

impl Core {
    /// PASS and DROP belong to no unit. A NIC that has offloaded policies needs the exceptions too,
    /// but one that cannot take them is no reason to fail: they stay in software then, and it is
    /// said.
    pub(super) fn device_for_shunt(&self, key: &PolicyKey, user: &User) -> Option<u32> {
        let spec = &user.spec;
        if key.dir == Direction::Fwd || !matches!(spec.offload, Offload::Packet | Offload::Auto) {
            return None;
        }
        if spec.kind == PolicyKind::Drop && spec.class == PriorityClass::Fallback {
            // What it takes never gets to the NIC. In the NIC it would win over better ones: the
            // kernel puts offloaded policies in front of all others, whatever their priority.
            return None;
        }
        let remote = match key.dir {
            Direction::Out => key.selector.dst,
            _ => key.selector.src,
        };
        let device = match key.selector.ifindex {
            0 => spec
                .dst
                .filter(|peer| key.dir == Direction::Out && !peer.is_any())
                .map(|peer| peer.ip)
                .or(Some(remote.first()).filter(|ip| !ip.is_unspecified()))
                .and_then(|ip| self.route_to(ip, None, 0))
                .map(|route| route.oif),
            ifindex => Some(ifindex),
        };
        let result = device
            .ok_or_else(|| Refusal::new("no route tells which device it is for"))
            .and_then(|ifindex| {
                let device = self.device_facts(ifindex)?;
                check_device(&device, Mode::Packet)?;
                check_policy(&device, &facts_of(key, user))?;
                Ok(ifindex)
            });
        match result {
            Ok(ifindex) => Some(ifindex),
            Err(refusal) => {
                log::info!(
                    "policy {} {}{} stays in software: {refusal}",
                    key.selector,
                    key.dir,
                    for_name(&spec.name)
                );
                None
            }
        }
    }

    /// Among offloaded policies the kernel takes the one that was installed last, whatever their
    /// priorities (net/xfrm/xfrm_policy.c: xfrm_policy_insert_list). Shunts that are better than a
    /// policy that was just installed, and overlap it, are therefore installed once more.
    pub(super) fn raise_shunts(&self, key: &PolicyKey, device: Option<u32>, priority: u32) {
        if device.is_some() {
            let mut shunts = self.shunts.lock().unwrap_or_else(PoisonError::into_inner);
            if !shunts.contains(key) {
                shunts.push(key.clone());
            }
        }
        let better: Vec<PolicyKey> = {
            let shunts = self.shunts.lock().unwrap_or_else(PoisonError::into_inner);
            let overlapping = shunts
                .iter()
                .filter(|shunt| *shunt != key && shunt.dir == key.dir)
                .filter(|shunt| overlap(&shunt.selector, &key.selector));
            overlapping.cloned().collect()
        };
        for shunt in better {
            let Some(mut turn) = self.spd.existing(&shunt) else {
                continue;
            };
            let first = turn.entry.users.first();
            if first.is_none_or(|first| first.device.is_none() || first.priority >= priority) {
                continue;
            }
            if let Err(error) = self.install(&mut turn) {
                log::error!(
                    "unable to put policy {} {} in front of {}: {error}",
                    shunt.selector,
                    shunt.dir,
                    key.selector
                );
            }
        }
    }

    /// As [`Core::install`], but a PASS or DROP that the NIC refuses goes to software.
    pub(super) fn install_or_soften(
        &self,
        turn: &mut Turn<'_>,
    ) -> std::result::Result<(), KernelError> {
        let result = self.install(turn);
        let Err(error) = &result else {
            return result;
        };
        let first = turn.entry.users.first();
        if !blames_offload(error) || first.is_none_or(|first| first.device.is_none()) {
            return result;
        }
        log::info!(
            "policy {} {}{} stays in software: {}",
            turn.key().selector,
            turn.key().dir,
            for_name(&turn.entry.users[0].spec.name),
            explain(error)
        );
        turn.entry.users[0].device = None;
        self.install(turn)
    }

    /// A shunt is gone.
    pub(super) fn forget_shunt(&self, key: &PolicyKey) {
        let mut shunts = self.shunts.lock().unwrap_or_else(PoisonError::into_inner);
        shunts.retain(|shunt| shunt != key);
    }
}

/// Whether a packet can match both.
fn overlap(a: &Selector, b: &Selector) -> bool {
    let nets = |a: &Prefix, b: &Prefix| a.contains(b.first()) || b.contains(a.first());
    nets(&a.src, &b.src)
        && nets(&a.dst, &b.dst)
        && (a.proto == b.proto || a.proto == 0 || b.proto == 0)
}
