// SPDX-License-Identifier: GPL-2.0-or-later
//! add_policy, query_policy, del_policy, flush_policies.
//!
//! Owns the steps from charon's wish to a policy in the SPD and the NIC. The kernel has what the
//! first user of a key wants; the others wait in `spd/`. Called by the methods in `mod.rs`, and by
//! `fallback.rs` and `links.rs` to install a policy again.

use crate::error::{Error, KernelError, Result};
use crate::model::{Direction, Offload, Placement, PolicyId, PolicyKind, PolicySpec, Selector};
use crate::offload::{Device, Mode, check_policy, explain};
use crate::spd::{Installed, Turn, User};
use crate::xfrm::{Action, PolicyKey, PolicyMessage, monotonic_now, unix_now};

use super::Core;
use super::device::Question;
use super::fallback::Newcomer;
use super::sa::{blames_offload, for_name};
use super::templates::{facts_of, sa_name, templates_of};
use super::units::UnitTurn;

impl Core {
    /// Index of an interface that a connection names.
    pub(super) fn ifindex_of(&self, name: &str) -> Result<u32> {
        let link = self.links.by_name(name).ok_or_else(|| Error::Refused {
            reason: format!("there is no interface '{name}'"),
            remedy: "create it first, or correct the interface of the connection".to_owned(),
        })?;
        Ok(link.ifindex)
    }

    /// What the kernel keys the policy by. An unknown interface is refused: 0 would mean "any".
    pub(super) fn policy_key(&self, id: &PolicyId) -> Result<PolicyKey> {
        let ifindex = match &id.interface {
            None => 0,
            Some(name) => self.ifindex_of(name)?,
        };
        Ok(PolicyKey {
            dir: id.dir,
            selector: Selector::from_ts(&id.src_ts, &id.dst_ts, ifindex),
            mark: id.mark,
            if_id: id.if_id,
            label: id.label.clone(),
        })
    }

    pub(super) fn add_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        self.try_add_policy(id, spec).inspect_err(|error| {
            log::error!(
                "unable to add policy {} === {} {}{}: {error}",
                id.src_ts,
                id.dst_ts,
                id.dir,
                for_name(&spec.name)
            );
        })
    }

    fn try_add_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        let key = self.policy_key(id)?;
        let mut user = User::new(id, spec, &key);
        if spec.kind != PolicyKind::Ipsec || spec.sa.reqid == 0 {
            user.device = self.device_for_shunt(&key, &user);
            return self
                .add_user(&key, user)
                .map_err(|failure| failure.into_error(self));
        }
        // FWD policies are software by nature, whatever the unit's mode is.
        if id.dir == Direction::Fwd {
            return self
                .add_user(&key, user)
                .map_err(|failure| failure.into_error(self));
        }
        user.in_unit = true;
        let facts = facts_of(&key, &user);
        let check = |device: &Device, mode: Mode| match mode {
            Mode::Packet => check_policy(device, &facts),
            Mode::Crypto | Mode::Software => Ok(()),
        };
        let (local, peer) = if id.dir == Direction::Out {
            (spec.src, spec.dst)
        } else {
            (spec.dst, spec.src)
        };
        let named = sa_name(&user);
        let turn = self.units.turn(spec.sa.reqid);
        let question = Question {
            name: &spec.name,
            reqid: spec.sa.reqid,
            wanted: spec.offload,
            local: local.map(|addr| addr.ip),
            peer: peer.map(|addr| addr.ip),
            mark: 0,
            apart: named.is_some_and(|sa| turn.view(|unit| unit.stands_apart(sa))),
            check: &check,
        };
        let newcomer = Newcomer::Policy(named);
        let mut placement = match self.place_policy(&turn, &question, &newcomer) {
            Ok(placement) => placement,
            Err(error) => self.place_away(&turn).ok_or(error)?,
        };
        // Each round is a mode lower than the one before.
        loop {
            match self.add_user(&key, user) {
                Ok(()) => {
                    turn.change(|unit| unit.add_policy(&key, spec.offload));
                    return Ok(());
                }
                Err(failure)
                    if spec.offload == Offload::Auto
                        && failure.offload.is_some()
                        && blames_offload(&failure.error) =>
                {
                    if let Some(ifindex) = failure.offload.filter(|_| !placement.is_packet()) {
                        // It was to stay in the NIC for an older generation, which the NIC cannot
                        // have kept.
                        turn.change(|unit| unit.device_flushed(ifindex));
                        user = *failure.user;
                        continue;
                    }
                    let why = explain(&failure.error);
                    placement = self.lower(&turn, &question, placement, &why, &newcomer)?;
                    user = *failure.user;
                }
                Err(failure) => return Err(failure.into_error(self)),
            }
        }
    }

    /// The place of a policy: that of the SA it names, or, for a trap, of the next generation.
    fn place_policy(
        &self,
        turn: &UnitTurn<'_>,
        question: &Question<'_>,
        newcomer: &Newcomer<'_>,
    ) -> Result<Placement> {
        // The SPD is the kernel's own then: neither device nor peer need to be known.
        if matches!(question.wanted, Offload::No | Offload::Crypto)
            && *newcomer == Newcomer::Policy(None)
            && !turn.view(|unit| unit.next.is_some_and(Placement::is_packet))
        {
            return Ok(Placement::Software);
        }
        self.place(turn, question, newcomer)
    }

    /// Adds a user to a key, and tells the kernel if it is the first now. After a failure the entry
    /// is as it was.
    fn add_user(&self, key: &PolicyKey, user: User) -> std::result::Result<(), Failure> {
        let mut turn = self.spd.turn(key);
        if !turn.entry.insert(user) {
            log::debug!(
                "not updating policy {} {} [priority {}, refcount {}]",
                key.selector,
                key.dir,
                turn.entry.users[0].priority,
                turn.entry.users.len()
            );
            return Ok(());
        }
        let user = &turn.entry.users[0];
        let (device, priority) = (user.device, user.priority);
        tell_of_reqid(&turn);
        log::debug!(
            "{} policy {} {}{} [priority {priority}, refcount {}]",
            if turn.entry.installed.is_some() {
                "updating"
            } else {
                "adding"
            },
            key.selector,
            key.dir,
            for_name(&user.spec.name),
            turn.entry.users.len()
        );
        let result = self.install_or_soften(&mut turn);
        if let Err(error) = result {
            let offload = self.offload_of(&turn);
            let user = Box::new(turn.entry.users.remove(0));
            return Err(Failure {
                error,
                offload,
                user,
            });
        }
        self.update_route(&mut turn);
        let offloaded = self.offload_of(&turn).is_some();
        drop(turn);
        self.recovery.watch_over();
        if offloaded {
            self.raise_shunts(key, device, priority);
        }
        Ok(())
    }

    /// The device that the first user's policy goes to, if any.
    pub(super) fn offload_of(&self, turn: &Turn<'_>) -> Option<u32> {
        let user = turn.entry.users.first()?;
        if user.device.is_some() {
            return user.device;
        }
        if !user.in_unit || matches!(user.spec.offload, Offload::No | Offload::Crypto) {
            return None;
        }
        self.units
            .policy_device(user.spec.sa.reqid, user.id.dir, sa_name(user))
    }

    /// Makes the kernel have what the first user wants. There must be one.
    pub(super) fn install(&self, turn: &mut Turn<'_>) -> std::result::Result<(), KernelError> {
        let wanted = self.offload_of(turn);
        let away = wanted.filter(|ifindex| self.is_held(turn, *ifindex));
        let offload = wanted.filter(|_| away.is_none());
        let before = turn
            .entry
            .installed
            .as_ref()
            .and_then(|installed| installed.offload);
        let Some(user) = turn.entry.users.first() else {
            return Ok(());
        };
        let (reqid, named) = (user.spec.sa.reqid, sa_name(user));
        let kind = match user.spec.kind {
            // An IPsec policy of packet mode is never in software, and nothing may pass meanwhile.
            PolicyKind::Ipsec if away.is_some() => PolicyKind::Drop,
            kind => kind,
        };
        let ipsec = kind == PolicyKind::Ipsec;
        let templates = if ipsec {
            templates_of(user)
        } else {
            Vec::new()
        };
        let message = PolicyMessage {
            key: turn.key(),
            priority: user.priority,
            action: match kind {
                PolicyKind::Drop => Action::Block,
                PolicyKind::Ipsec | PolicyKind::Pass => Action::Allow,
            },
            templates: &templates,
            cpu_acquires: user.spec.pcpu_acquires && ipsec,
            icmp: user.spec.forward_icmp && ipsec && turn.key().dir != Direction::In,
            offload,
        };
        if let Some(ifindex) = offload {
            self.gate_device(ifindex)?;
        }
        if let Some(ifindex) = offload.filter(|_| offload != before) {
            self.bypass.enter(self, ifindex)?;
        }
        let _shut = before
            .filter(|_| offload != before)
            .and_then(|_| self.shut(turn));
        let update = turn.entry.installed.is_some() || self.config().policy_update;
        let add = || match self.kernel.new_policy(&message, update) {
            Err(error) if error.errno == libc::EEXIST && !update => {
                log::info!(
                    "policy {} {} already exists, try to update it",
                    turn.key().selector,
                    turn.key().dir
                );
                self.kernel.new_policy(&message, true)
            }
            result => result,
        };
        let result = match offload {
            None => add(),
            Some(ifindex) => self
                .patiently(ifindex, add)
                .and_then(|()| self.check_honoured(turn.key())),
        };
        let released = match &result {
            Ok(()) => {
                if let Some(name) = named.filter(|_| ipsec && turn.key().dir == Direction::Out) {
                    self.units.point_at(reqid, name, self.ticker.now());
                    self.guard.open_shut(reqid);
                }
                turn.entry.installed = Some(Installed {
                    offload,
                    reqid,
                    away,
                });
                before
            }
            Err(_) => offload,
        };
        if let Some(ifindex) = released.filter(|_| offload != before) {
            self.bypass.leave(&self.kernel, ifindex);
        }
        result
    }

    /// For a policy that was just sent to a NIC.
    pub(super) fn check_honoured(&self, key: &PolicyKey) -> std::result::Result<(), KernelError> {
        self.honoured.check(
            "XFRM_MSG_NEWPOLICY",
            || Ok(self.kernel.get_policy(key)?.offload.is_some()),
            || self.kernel.del_policy(key),
        )
    }

    pub(super) fn query_policy(&self, id: &PolicyId) -> Result<i64> {
        let key = self.policy_key(id)?;
        match self.kernel.get_policy(&key) {
            Ok(state) if state.use_time == 0 => Ok(0),
            Ok(state) => Ok((monotonic_now() - (unix_now() - state.use_time as i64)).max(1)),
            Err(error) => {
                log::info!(
                    "querying policy {} {} failed: {error}",
                    key.selector,
                    key.dir
                );
                Err(match error.errno {
                    libc::ENOENT => Error::NotFound(error.to_string()),
                    _ => error.into(),
                })
            }
        }
    }

    pub(super) fn del_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        let not_found = |key: Option<&PolicyKey>| {
            let text = match key {
                Some(key) => format!("policy {} {} not found", key.selector, key.dir),
                None => format!(
                    "policy {} === {} {} not found",
                    id.src_ts, id.dst_ts, id.dir
                ),
            };
            // charon deletes all policies of a CHILD_SA after the first one failed.
            log::debug!("deleting {text}");
            Err(Error::NotFound(text))
        };
        let Some(key) = self.key_for_removal(id) else {
            return not_found(None);
        };
        let in_unit =
            spec.kind == PolicyKind::Ipsec && spec.sa.reqid != 0 && id.dir != Direction::Fwd;
        let unit = in_unit.then(|| self.units.turn(spec.sa.reqid));
        let Some(mut turn) = self.spd.existing(&key) else {
            return not_found(Some(&key));
        };
        log::debug!("deleting policy {} {}", key.selector, key.dir);
        let Some((removed, was_first)) = turn.entry.remove(&User::new(id, spec, &key)) else {
            return not_found(Some(&key));
        };
        let result = if !was_first {
            Ok(())
        } else if turn.entry.users.is_empty() {
            self.uninstall(&mut turn)
        } else {
            tell_of_reqid(&turn);
            log::debug!(
                "updating policy {} {} [refcount {}]",
                key.selector,
                key.dir,
                turn.entry.users.len()
            );
            // A trap stays in the device, which sends in clear what it then finds no SA for.
            let to_trap =
                sa_name(&removed).is_some() && turn.entry.users.first().and_then(sa_name).is_none();
            let shut = to_trap.then(|| self.shut(&turn)).flatten();
            let result = self.install_next(&mut turn);
            if let Some(shut) = shut {
                shut.keep();
            }
            self.update_route(&mut turn);
            result
        };
        drop(turn);
        if removed.device.is_some() {
            self.forget_shunt(&key);
        }
        if let Some(unit) = unit.filter(|_| removed.in_unit) {
            unit.change(|unit| unit.remove_policy(&key, removed.spec.offload));
        }
        match result {
            Ok(()) => Ok(()),
            // Flushed with its device, or by hand: what charon wants is so.
            Err(error) if error.errno == libc::ENOENT => {
                log::info!("policy {} {} was gone already", key.selector, key.dir);
                Ok(())
            }
            Err(error) => {
                log::error!(
                    "unable to delete policy {} {}: {error}",
                    key.selector,
                    key.dir
                );
                Err(error.into())
            }
        }
    }

    /// The next user's turn has come. A trap of `auto` that the NIC does not take back goes to
    /// software, and the next generation with it.
    fn install_next(&self, turn: &mut Turn<'_>) -> std::result::Result<(), KernelError> {
        let result = self.install_or_soften(turn);
        let (Err(error), Some(user)) = (&result, turn.entry.users.first()) else {
            return result;
        };
        let trap = user.in_unit && sa_name(user).is_none() && user.spec.offload == Offload::Auto;
        if !trap || self.offload_of(turn).is_none() || !blames_offload(error) {
            return result;
        }
        let why = explain(error);
        log::info!(
            "HW offload auto for {}: no packet offload: {why}",
            user.spec.name
        );
        self.units.change(user.spec.sa.reqid, |unit| {
            (unit.next, unit.cause) = (Some(Placement::Software), Some(why.cause));
        });
        self.install_or_soften(turn)
    }

    /// The key of a policy that is installed, also if its interface is gone by now.
    pub(super) fn key_for_removal(&self, id: &PolicyId) -> Option<PolicyKey> {
        match self.policy_key(id) {
            // An interface that was made anew has another index than the policy.
            Ok(key) if id.interface.is_none() || self.spd.existing(&key).is_some() => {
                return Some(key);
            }
            _ => {}
        }
        let any = Selector::from_ts(&id.src_ts, &id.dst_ts, 0);
        self.spd.keys().into_iter().find(|key| {
            key.dir == id.dir
                && key.mark == id.mark
                && key.if_id == id.if_id
                && key.label == id.label
                && Selector {
                    ifindex: 0,
                    ..key.selector
                } == any
                && self
                    .spd
                    .existing(key)
                    .is_some_and(|turn| turn.entry.users.iter().any(|user| user.id == *id))
        })
    }

    /// Takes the policy and its route out of the kernel.
    fn uninstall(&self, turn: &mut Turn<'_>) -> std::result::Result<(), KernelError> {
        let shut = self.shut(turn);
        let reqid = turn.entry.installed.as_ref().map(|there| there.reqid);
        let result = self.uninstall_shut(turn);
        // Another policy leads packets to the same SAs if the CHILD_SA has several, or several of them one reqid.
        let others =
            reqid.and_then(|reqid| self.units.look(reqid, |unit| unit.leads_beside(turn.key())));
        if let Some(shut) = shut.filter(|_| others != Some(true)) {
            shut.keep();
        }
        result
    }

    /// As [`Core::uninstall`], if no packet gets to its device any more.
    fn uninstall_shut(&self, turn: &mut Turn<'_>) -> std::result::Result<(), KernelError> {
        self.remove_route(turn);
        let Some(installed) = turn.entry.installed.take() else {
            return Ok(());
        };
        let result = self.kernel.del_policy(turn.key());
        if let Some(ifindex) = installed.offload {
            self.patience.freed(ifindex, self.ticker.now());
            self.bypass.leave(&self.kernel, ifindex);
        }
        result
    }

    pub(super) fn flush_policies(&self) -> Result<()> {
        let shut = self.shut_all();
        for key in self.spd.keys() {
            if let Some(mut turn) = self.spd.existing(&key) {
                self.remove_route(&mut turn);
                let users = std::mem::take(&mut turn.entry.users);
                let installed = turn.entry.installed.take();
                drop(turn);
                if let Some(ifindex) = installed.and_then(|installed| installed.offload) {
                    self.bypass.leave(&self.kernel, ifindex);
                }
                for user in users.iter().filter(|user| user.in_unit) {
                    self.units.change(user.spec.sa.reqid, |unit| {
                        unit.remove_policy(&key, user.spec.offload);
                    });
                }
            }
        }
        self.kernel.flush_policies().map_err(|error| {
            log::error!("unable to flush SPD entries: {error}");
            error
        })?;
        if let Some(shut) = shut {
            shut.keep();
        }
        if let Some(ledger) = self.kernel.ledger() {
            ledger.clear_kind("policy ");
        }
        Ok(())
    }

    /// Removes the policies we know, and only those.
    pub(super) fn remove_all_policies(&self) {
        let shut = self.shut_all();
        for key in self.spd.keys() {
            if let Some(mut turn) = self.spd.existing(&key) {
                for user in std::mem::take(&mut turn.entry.users) {
                    self.units.change(user.spec.sa.reqid, |unit| {
                        unit.remove_policy(&key, user.spec.offload);
                    });
                }
                if let Err(error) = self.uninstall_shut(&mut turn) {
                    log::error!(
                        "unable to delete policy {} {}: {error}",
                        key.selector,
                        key.dir
                    );
                }
            }
        }
        if let Some(shut) = shut {
            shut.keep();
        }
    }
}

/// Says, as kernel-netlink does, that the SAs of another CHILD_SA configuration take over a policy:
/// two of them have the same selectors.
fn tell_of_reqid(turn: &Turn<'_>) {
    let (Some(installed), Some(user)) = (&turn.entry.installed, turn.entry.users.first()) else {
        return;
    };
    let reqid = user.spec.sa.reqid;
    if installed.reqid != reqid {
        log::info!(
            "updating reqid for policy {} {} from {} to {reqid}",
            turn.key().selector,
            turn.key().dir,
            installed.reqid
        );
    }
}

/// A policy that the kernel refused, and the device it was meant for.
struct Failure {
    error: KernelError,
    offload: Option<u32>,
    /// Who wanted it.
    user: Box<User>,
}

impl Failure {
    fn into_error(self, core: &Core) -> Error {
        match self.offload {
            None => self.error.into(),
            Some(ifindex) => {
                let refusal = explain(&self.error);
                Error::Refused {
                    reason: format!(
                        "failed to install policy with packet HW offload on {}: {}",
                        core.device_name(ifindex),
                        refusal.reason
                    ),
                    remedy: refusal.remedy.to_owned(),
                }
            }
        }
    }
}
