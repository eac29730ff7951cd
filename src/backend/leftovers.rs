// SPDX-License-Identifier: GPL-2.0-or-later
//! What an earlier charon left in the kernel and the NIC.
//!
//! Owns finding it by the ledger and removing it at start. Only what is there word for word as it was
//! written down is ours; SAs and policies of others stay, whatever their reqids. Called once, before
//! charon uses the plugin.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::ledger;
use crate::model::{Direction, Proto, SaKey};
use crate::nic::{drop_neighbour, permanent_neighbour};
use crate::xfrm::PolicyKey;

use super::Core;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    sas: Vec<(SaKey, IpAddr)>,
    policies: Vec<PolicyKey>,
    /// Of policies that lead packets into a device.
    reqids: Vec<u32>,
    /// Device and address of neighbour entries.
    neighbours: Vec<(u32, IpAddr)>,
}

impl Leftovers {
    /// What there was, of which some could not be removed; `None` if there was nothing.
    fn told(&self, failed: usize) -> Option<String> {
        if self.sas.is_empty() && self.policies.is_empty() && self.neighbours.is_empty() {
            return None;
        }
        let neighbours = match self.neighbours.len() {
            0 => String::new(),
            count => format!(" and {count} neighbour entries"),
        };
        let failed = match failed {
            0 => String::new(),
            failed => format!(" but for {failed}"),
        };
        Some(format!(
            "an earlier charon left {} SAs and {} policies{neighbours} behind, removed them{failed}",
            self.sas.len(),
            self.policies.len(),
        ))
    }
}

impl Core {
    /// Compares the lines of an earlier charon with what the kernel has.
    pub(super) fn find_leftovers(&self, lines: &HashSet<String>) -> Leftovers {
        let mut left = Leftovers::default();
        if lines.is_empty() {
            return left;
        }
        let ours = |(key, rest): ledger::Entry| lines.contains(&ledger::join(&key, &rest));
        let sas = self.kernel.dump_sas(&mut |state| {
            if ours(ledger::sa_state(&state)) {
                left.sas.push((state.id.key(), state.id.src.ip));
            }
        });
        let policies = self.kernel.dump_policies(&mut |state| {
            if ours(ledger::policy_state(&state)) {
                if state.key.dir == Direction::Out && state.offload.is_some() {
                    left.reqids.extend(state.reqid);
                }
                left.policies.push(state.key);
            }
        });
        let transport = self.kernel.transport().as_ref();
        let written: HashSet<_> = lines
            .iter()
            .filter_map(|line| ledger::neighbour_of(line))
            .collect();
        let mut neighbours = Ok(());
        for (ifindex, ip) in written {
            match permanent_neighbour(transport, ifindex, ip) {
                Ok(Some(address)) if ours(ledger::neighbour(ifindex, ip, address)) => {
                    left.neighbours.push((ifindex, ip));
                }
                Ok(_) => {}
                Err(error) => neighbours = Err(error),
            }
        }
        for error in [sas, policies, neighbours]
            .into_iter()
            .filter_map(Result::err)
        {
            log::error!("unable to look for what an earlier charon left behind: {error}");
        }
        left
    }

    /// Removes it, SAs first: a policy without its SA lets nothing of the kernel's own out. A device has neither to
    /// wait for, so packets are kept away from it before.
    pub(super) fn remove_leftovers(&self, lines: &HashSet<String>, left: &Leftovers) {
        if lines.is_empty() {
            return;
        }
        let shut = self.guard.shut(left.reqids.iter().copied());
        let mut failed = 0;
        for (key, src) in &left.sas {
            if let Err(error) = self.kernel.del_sa(key, *src) {
                failed += 1;
                let (proto, spi): (Proto, _) = (key.proto, key.spi);
                log::error!(
                    "unable to remove {proto} SA with SPI {spi} of an earlier charon: {error}"
                );
            }
        }
        for key in &left.policies {
            if let Err(error) = self.kernel.del_policy(key) {
                failed += 1;
                log::error!(
                    "unable to remove policy {} {} of an earlier charon: {error}",
                    key.selector,
                    key.dir
                );
            }
        }
        if let Some(shut) = shut {
            shut.keep();
        }
        for (ifindex, ip) in &left.neighbours {
            if let Err(error) = drop_neighbour(self.kernel.transport().as_ref(), *ifindex, *ip) {
                failed += 1;
                log::error!(
                    "unable to remove the neighbour entry for {ip} on {} of an earlier charon: {error}",
                    self.device_name(*ifindex)
                );
            }
        }
        match left.told(failed) {
            Some(text) => log::warn!("{text}"),
            None => log::info!("an earlier charon did not end cleanly, but left nothing behind"),
        }
        if failed == 0
            && let Some(ledger) = self.kernel.ledger()
        {
            // The others expired, or went with their device.
            ledger.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Leftovers;

    #[test]
    fn nothing_is_not_told_as_something() {
        assert_eq!(Leftovers::default().told(0), None);
        let left = Leftovers {
            neighbours: vec![(2, [192, 0, 2, 1].into())],
            ..Leftovers::default()
        };
        assert_eq!(
            left.told(1).unwrap(),
            "an earlier charon left 0 SAs and 0 policies and 1 neighbour entries behind, removed them but for 1"
        );
    }
}
