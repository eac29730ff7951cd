// SPDX-License-Identifier: GPL-2.0-or-later
//! What the kernel no longer has although charon believes in it, and getting it back.
//!
//! Owns the list of suspects (to be looked for), of lost SAs (to be rekeyed), and the pace. A device
//! that goes down takes its SAs and policies with it without a word (net/xfrm/xfrm_device.c:
//! xfrm_dev_down), anybody may flush, and an event may be lost. Policies are put back. An SA cannot
//! be: only the NIC knew its sequence number, and a key is not used from the start twice. So charon
//! is told that it expires and rekeys it; until then its policies block (see
//! [`Core::is_held`]).
//!
//! charon ignores a soft expiry at times: of a CHILD_SA that it does not know yet (between the two
//! SAs of its set-up), that it is setting up or rekeying, or whose rekeying fails and is given up.
//! It is told again, with growing pauses, as long as it has not deleted the SA; at last that it
//! expired hard, whereupon it closes the CHILD_SA and makes a new one (child_delete.c). While the
//! way to the peer has no device that could take the new SA, it is told nothing: a rekeying that
//! must fail costs the CHILD_SA (child_rekey.c: handle_local_failure).
//!
//! Filled by `links.rs`, `paths.rs`, `truth.rs`, `sa.rs` and `events/`; works on the ticker. Must
//! not hold its lock while it asks the kernel or tells charon.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::events::Repair;
use crate::model::{Offload, Placement, Proto, SaKey};
use crate::offload::{Mode, check_device};
use crate::sad::{SaRecord, Sad};
use crate::spd::{Turn, User};
use crate::xfrm::PolicyKey;

use super::Core;
use super::ticker::{Task, TaskId, Ticker};
use super::units::SaName;

/// With more SAs than this to be looked for, the kernel is asked for all it has at once.
const SINGLE: usize = 64;
/// Policies looked for in one round.
const POLICIES: usize = 64;
/// Soft expiries after which charon is told that an SA expired hard.
const SOFT: u32 = 5;
/// All expiries after which an SA is left alone; what it protected stays blocked.
const ALL: u32 = SOFT + 3;
/// Time in which charon deletes an SA that expired: as long as it repeats a request.
const CLOSING: Duration = Duration::from_secs(180);
/// Pause between two complaints about one that was left alone.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Pause before the second expiry; it doubles with each up to the longest.
const RETRY: Duration = Duration::from_secs(4);
const LONGEST_RETRY: Duration = Duration::from_secs(64);
/// Pause before an SA is looked at again that waits for a device or for its other half.
const WAIT: Duration = Duration::from_secs(1);
/// Expiries that may come in one burst before the pace counts.
const BURST: u32 = 16;

/// Why an SA is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The kernel does not have it.
    Gone,
    /// It is there, but packets to its peer take another device.
    Moved,
    /// It is there, but not as it should be: somebody replaced it, or it sends to a next hop that
    /// is none any more.
    Stale,
    /// It is there, but charon's CHILD_SA has no outbound SA beside it: that one was refused.
    Half,
}

#[derive(Clone, Debug)]
struct Pending {
    cause: Cause,
    inbound: bool,
    reqid: u32,
    local: IpAddr,
    peer: IpAddr,
    attempts: u32,
    due: Duration,
}

#[derive(Debug, Default)]
struct State {
    sas: HashSet<SaKey>,
    /// All SAs are suspect, and why.
    all_sas: Option<&'static str>,
    policies: HashSet<PolicyKey>,
    /// SAs that expired, and until when charon is given time to delete them.
    expired: HashMap<SaKey, Duration>,
    /// SAs that we are deleting or moving at the moment, and in how many calls.
    in_hand: HashMap<SaKey, usize>,
    /// All policies are suspect, and why.
    all_policies: Option<&'static str>,
    pending: HashMap<SaKey, Pending>,
    /// The pace: when the next expiry would come if all came evenly.
    next_slot: Duration,
    /// It was said that they wait, and for what.
    waiting: Option<String>,
}

/// The lists.
pub(crate) struct Recovery {
    sad: Arc<Sad>,
    ticker: Arc<Ticker>,
    repairs: OnceLock<TaskId>,
    truth: OnceLock<TaskId>,
    /// Counts events that may have removed SAs.
    flaps: AtomicU64,
    /// Number of pending entries, so that nobody takes the lock while all is well.
    lost: AtomicUsize,
    state: Mutex<State>,
}

/// Own and the peer's outer address of an SA.
pub(super) fn ends(record: &SaRecord) -> (IpAddr, IpAddr) {
    if record.inbound {
        (record.id.dst.ip, record.id.src.ip)
    } else {
        (record.id.src.ip, record.id.dst.ip)
    }
}

impl Recovery {
    pub(super) fn new(sad: Arc<Sad>, ticker: Arc<Ticker>) -> Self {
        Self {
            sad,
            ticker,
            repairs: OnceLock::new(),
            truth: OnceLock::new(),
            flaps: AtomicU64::new(0),
            lost: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// Names the task that compares everything with the kernel.
    pub(super) fn set_truth(&self, task: TaskId) {
        let _ = self.truth.set(task);
    }

    /// To be read before an SA is installed and handed to [`Recovery::installed`] after.
    pub(super) fn flaps(&self) -> u64 {
        self.flaps.load(Ordering::Acquire)
    }

    /// SAs are about to be looked through because some may be gone. One that is installed but not
    /// in `sad/` yet is not among them; its thread sees the number and asks itself.
    pub(super) fn flapped(&self) {
        self.flaps.fetch_add(1, Ordering::AcqRel);
    }

    /// An SA is installed and remembered.
    pub(super) fn installed(&self, key: &SaKey, flaps: u64) {
        if self.flaps() != flaps {
            self.suspect([*key]);
        }
        self.watch_over();
    }

    /// There is something to be compared with the kernel.
    pub(super) fn watch_over(&self) {
        if let Some(task) = self.truth.get() {
            self.ticker.wake_in(*task, super::truth::STEP);
        }
    }

    /// SAs to be looked for.
    pub(super) fn suspect(&self, keys: impl IntoIterator<Item = SaKey>) {
        self.lock().sas.extend(keys);
        self.wake();
    }

    /// Policies to be looked for.
    pub(super) fn suspect_policies(&self, keys: impl IntoIterator<Item = PolicyKey>) {
        self.lock().policies.extend(keys);
        self.wake();
    }

    /// SAs that charon has to replace. One that is on the list already keeps its turn, unless it is
    /// worse than known.
    pub(super) fn replace(&self, records: &[SaRecord], cause: Cause) {
        let now = self.ticker.now();
        let mut state = self.lock();
        for record in records {
            // charon has no SA of IPComp: it goes with that of ESP.
            if record.id.proto == Proto::Comp {
                continue;
            }
            let (local, peer) = ends(record);
            let pending = Pending {
                cause,
                inbound: record.inbound,
                reqid: record.reqid,
                local,
                peer,
                attempts: 0,
                due: now,
            };
            let known = state
                .pending
                .entry(record.id.key())
                .or_insert_with(|| pending.clone());
            if cause == Cause::Gone && known.cause != Cause::Gone {
                *known = pending;
            }
        }
        self.lost.store(state.pending.len(), Ordering::Release);
        drop(state);
        self.wake();
    }

    /// An inbound SA whose outbound one was refused, the `times`-th in a row.
    pub(super) fn replace_half(&self, record: &SaRecord, times: u32) {
        self.replace(std::slice::from_ref(record), Cause::Half);
        let pause = WAIT * 2u32.pow(times.saturating_sub(1).min(8));
        let due = self.ticker.now() + pause.min(LONGEST_RETRY);
        if let Some(pending) = self.lock().pending.get_mut(&record.id.key())
            && pending.cause == Cause::Half
        {
            pending.due = due;
        }
    }

    /// We take an SA out of the kernel, for good or to put it back at once with other addresses or in
    /// another mode: it is not missed as long as the answer lives. It has to live until `sad/` says what
    /// became of the SA.
    pub(super) fn take_in_hand(&self, key: &SaKey) -> InHand<'_> {
        *self.lock().in_hand.entry(*key).or_default() += 1;
        InHand {
            recovery: self,
            key: *key,
        }
    }

    fn is_in_hand(&self, key: &SaKey) -> bool {
        self.lock().in_hand.contains_key(key)
    }

    /// Whether an SA is known to be gone from the kernel, and not replaced yet.
    pub(super) fn is_gone(&self, key: &SaKey) -> bool {
        self.lost.load(Ordering::Acquire) > 0
            && self
                .lock()
                .pending
                .get(key)
                .is_some_and(|pending| pending.cause == Cause::Gone)
    }

    /// Whether charon is closing an SA because it expired.
    fn is_closing(&self, key: &SaKey) -> bool {
        let now = self.ticker.now();
        let mut state = self.lock();
        state.expired.retain(|_, until| *until > now);
        state.expired.contains_key(key)
    }

    /// Number of outbound SAs that charon has to replace.
    pub(super) fn count(&self) -> usize {
        let state = self.lock();
        let outbound = state.pending.values().filter(|pending| !pending.inbound);
        outbound.count()
    }

    /// What waits is looked at again at once.
    pub(super) fn hurry(&self) {
        let now = self.ticker.now();
        let mut state = self.lock();
        for pending in state.pending.values_mut() {
            if pending.attempts == 0 {
                pending.due = now;
            }
        }
        drop(state);
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.repairs.get() {
            self.ticker.wake_in(*task, Duration::ZERO);
        }
    }

    /// Takes one expiry out of the pace, or says when there is one.
    fn take_slot(&self, now: Duration, pace: u32) -> Result<(), Duration> {
        let interval = Duration::from_secs(1) / pace.max(1);
        let mut state = self.lock();
        let slot = state.next_slot.max(now);
        let earliest = slot.saturating_sub(interval * (BURST - 1));
        if earliest > now {
            return Err(earliest);
        }
        state.next_slot = slot + interval;
        Ok(())
    }

    fn forget(&self, keys: &[SaKey]) {
        if keys.is_empty() {
            return;
        }
        let mut state = self.lock();
        for key in keys {
            state.pending.remove(key);
        }
        self.lost.store(state.pending.len(), Ordering::Release);
        if state.pending.is_empty() {
            state.waiting = None;
            drop(state);
            log::info!("all CHILD_SAs that were lost or moved are replaced");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Single changes of sets and maps only: there is no half-made one to fear after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An SA that is not missed, see [`Recovery::take_in_hand`].
#[must_use]
pub(super) struct InHand<'a> {
    recovery: &'a Recovery,
    key: SaKey,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut state = self.recovery.lock();
        if let Some(calls) = state.in_hand.get_mut(&self.key) {
            *calls -= 1;
            if *calls == 0 {
                state.in_hand.remove(&self.key);
            }
        }
    }
}

impl Repair for Recovery {
    fn sa_deleted(&self, key: &SaKey) {
        // One that we deleted is not in `sad/` any more.
        if self.sad.get(key).is_some() {
            self.suspect([*key]);
        }
    }

    fn sa_expired(&self, key: &SaKey, hard: bool) {
        self.sad.expired(key, hard);
        if !hard || self.sad.get(key).is_none() {
            return;
        }
        let until = self.ticker.now() + CLOSING;
        self.lock().expired.insert(*key, until);
    }

    fn policy_deleted(&self, key: &PolicyKey) {
        self.suspect_policies([key.clone()]);
    }

    fn sas_flushed(&self) {
        self.flapped();
        self.lock().all_sas = Some("the SAD was flushed");
        self.wake();
    }

    fn policies_flushed(&self) {
        self.lock().all_policies = Some("the SPD was flushed");
        self.wake();
    }

    fn events_lost(&self) {
        self.flapped();
        let mut state = self.lock();
        state.all_sas = Some("XFRM events were lost");
        state.all_policies = Some("XFRM events were lost");
        drop(state);
        self.wake();
    }
}

/// The work on the lists.
pub(crate) struct Repairs {
    core: Arc<Core>,
}

impl Repairs {
    pub(super) fn register(core: &Arc<Core>) -> Arc<Self> {
        let repairs = Arc::new(Self {
            core: Arc::clone(core),
        });
        let weak: Weak<Self> = Arc::downgrade(&repairs);
        let task = core.ticker.register(weak);
        let _ = core.recovery.repairs.set(task);
        repairs
    }
}

impl Task for Repairs {
    fn run(&self, now: Duration) -> Option<Duration> {
        self.core.look_for_sas();
        let policies = self.core.look_for_policies(now);
        let sas = self.core.rekey_pending(now);
        policies.into_iter().chain(sas).min()
    }
}

/// What became of SAs that were looked for.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Not in the kernel.
    pub(super) gone: Vec<SaRecord>,
    /// In the kernel, but not in the NIC where they should be.
    pub(super) misplaced: Vec<SaRecord>,
}

impl Core {
    /// Whether the kernel gets a block instead of a user's policy: the NIC is down or gone, or the
    /// SA it leads to is, so that nothing could be sent but an acquire, which would make charon set
    /// up a second CHILD_SA beside the one that is being rekeyed.
    ///
    /// A block in software is no breach of "packet means packet": it protects nothing, it keeps what
    /// should be protected from leaving in clear by another way. The gate covers what no policy can:
    /// fragments, and the moment between the flush and the block.
    pub(super) fn is_held(&self, turn: &Turn<'_>, ifindex: u32) -> bool {
        if !self.links.is_up(ifindex) {
            return true;
        }
        turn.entry.users.first().is_some_and(|user| {
            user.in_unit && sa_of(user).is_some_and(|key| self.recovery.is_gone(&key))
        })
    }

    /// Which of these SAs the kernel does not have as it should.
    pub(super) fn missing(&self, records: Vec<SaRecord>) -> Missing {
        let mut missing = Missing::default();
        let mut all: Option<HashMap<SaKey, Placement>> = None;
        if records.len() > SINGLE {
            let mut found = HashMap::new();
            match self.kernel.dump_sas(&mut |state| {
                // A larval one was made by a packet that found none.
                if !state.larval {
                    found.insert(state.id.key(), state.placement);
                }
            }) {
                Ok(()) => all = Some(found),
                Err(error) => log::warn!("unable to read the SAD, asking for each SA: {error}"),
            }
        }
        for record in records {
            let key = record.id.key();
            let found = match &all {
                Some(all) => all.get(&key).copied(),
                None => match self.kernel.get_sa(&key, record.id.src.ip) {
                    Ok(state) => (!state.larval).then_some(state.placement),
                    Err(error) if error.errno == libc::ESRCH => None,
                    Err(error) => {
                        log::warn!("unable to look for {}: {error}", record.id);
                        continue;
                    }
                },
            };
            // What charon deleted in the meantime is not missing.
            // In this order: what ends its deletion in between is not in `sad/` any more.
            if self.recovery.is_in_hand(&key) || self.sad.get(&key).is_none() {
                continue;
            }
            match found {
                // It was being moved when the kernel was asked, and is not any more.
                None if self.is_there(&record) => {}
                None if self.recovery.is_closing(&key) => {}
                None => missing.gone.push(record),
                // In crypto mode the kernel may have put it into software, which was said then.
                Some(placement)
                    if record.placement.is_packet() && placement != record.placement =>
                {
                    missing.misplaced.push(record);
                }
                Some(_) => {}
            }
        }
        missing
    }

    fn is_there(&self, record: &SaRecord) -> bool {
        let state = self.kernel.get_sa(&record.id.key(), record.id.src.ip);
        state.is_ok_and(|state| !state.larval)
    }

    /// Puts SAs that are missing on the list. Policies that are installed from now on block what
    /// they protected.
    pub(super) fn lose(&self, missing: &Missing) {
        for record in &missing.misplaced {
            log::warn!(
                "{} of {} is not in {} mode in the kernel any more, somebody replaced it: it is \
                 rekeyed",
                record.id,
                record.name,
                record.placement
            );
        }
        self.recovery.replace(&missing.misplaced, Cause::Stale);
        self.recovery.replace(&missing.gone, Cause::Gone);
    }

    fn look_for_sas(&self) {
        let (why, keys) = {
            let mut state = self.recovery.lock();
            (state.all_sas.take(), std::mem::take(&mut state.sas))
        };
        if why.is_none() && keys.is_empty() {
            return;
        }
        let records = match why {
            Some(_) => self.sad.select(|_| true),
            None => keys.iter().filter_map(|key| self.sad.get(key)).collect(),
        };
        let looked = records.len();
        let missing = self.missing(records);
        match why {
            Some(why) => log::warn!(
                "{why}: {} of {looked} SAs are gone from the kernel",
                missing.gone.len()
            ),
            None if missing.gone.is_empty() => {}
            None => log::warn!(
                "{} of {looked} SAs are gone from the kernel, not by us: {}",
                missing.gone.len(),
                first_of(&missing.gone)
            ),
        }
        self.lose(&missing);
        // What the lost ones protect must not leave in clear while the policies are there without
        // them: in the NIC a policy without an SA lets through.
        let gone: HashSet<u32> = missing.gone.iter().map(|record| record.reqid).collect();
        if !gone.is_empty() {
            self.reinstall_where(|turn| {
                turn.entry
                    .installed
                    .as_ref()
                    .is_some_and(|installed| installed.offload.is_some())
                    && turn
                        .entry
                        .users
                        .first()
                        .is_some_and(|user| user.in_unit && gone.contains(&user.spec.sa.reqid))
            });
        }
    }

    /// Installs again each policy that fulfils a condition; returns how many were installed, are
    /// blocked, and failed.
    pub(super) fn reinstall_where(&self, mut wanted: impl FnMut(&Turn<'_>) -> bool) -> Counts {
        let mut counts = Counts::default();
        let mut again = Vec::new();
        for key in self.spd.keys() {
            let Some(mut turn) = self.spd.existing(&key) else {
                continue;
            };
            if turn.entry.users.is_empty() || !wanted(&turn) {
                continue;
            }
            match self.install_or_soften(&mut turn) {
                Ok(()) => match &turn.entry.installed {
                    Some(installed) if installed.away.is_some() => counts.blocked += 1,
                    _ => counts.restored += 1,
                },
                Err(error) => {
                    counts.failed += 1;
                    log::error!(
                        "unable to restore policy {} {}: {error}",
                        key.selector,
                        key.dir
                    );
                    drop(turn);
                    again.push(key);
                }
            }
        }
        if !again.is_empty() {
            self.recovery.lock().policies.extend(again);
            if let Some(task) = self.recovery.repairs.get() {
                self.ticker.wake_in(*task, WAIT);
            }
        }
        counts
    }

    /// Compares policies with the kernel, some per round; says when there are more.
    fn look_for_policies(&self, now: Duration) -> Option<Duration> {
        let (why, keys) = {
            let mut state = self.recovery.lock();
            let why = state.all_policies.take();
            if why.is_some() {
                state.policies = self.spd.keys().into_iter().collect();
            }
            let keys: Vec<_> = state.policies.iter().take(POLICIES).cloned().collect();
            for key in &keys {
                state.policies.remove(key);
            }
            (why, keys)
        };
        if let Some(why) = why {
            log::warn!(
                "{why}: comparing {} policies with the kernel",
                self.spd.len()
            );
            self.bypass.repair(self);
        }
        let mut failed = Vec::new();
        let mut repaired = 0;
        for key in keys {
            match self.repair_policy(&key) {
                Ok(true) => repaired += 1,
                Ok(false) => {}
                Err(error) => {
                    log::error!(
                        "unable to restore policy {} {}: {error}",
                        key.selector,
                        key.dir
                    );
                    failed.push(key);
                }
            }
        }
        if repaired > 0 {
            log::warn!("restored {repaired} policies that somebody removed or changed");
        }
        let mut state = self.recovery.lock();
        let more = !state.policies.is_empty();
        let again = !failed.is_empty();
        state.policies.extend(failed);
        match (more, again) {
            (true, _) => Some(now),
            (false, true) => Some(now + WAIT),
            (false, false) => None,
        }
    }

    /// Looks whether the kernel has a policy as it should, and puts it back if not. True if that
    /// was needed.
    pub(super) fn repair_policy(
        &self,
        key: &PolicyKey,
    ) -> std::result::Result<bool, crate::error::KernelError> {
        let Some(mut turn) = self.spd.existing(key) else {
            return Ok(false);
        };
        if turn.entry.users.is_empty() {
            return Ok(false);
        }
        let Some(installed) = turn.entry.installed.clone() else {
            // An earlier try to put it back failed.
            self.install_or_soften(&mut turn)?;
            return Ok(true);
        };
        match self.kernel.get_policy(key) {
            Ok(state) if state.offload == installed.offload => return Ok(false),
            Ok(_) => {}
            Err(error) if error.errno == libc::ENOENT => turn.entry.installed = None,
            Err(error) => return Err(error),
        }
        if let Some(ifindex) = installed.offload {
            // It is counted anew by install.
            self.bypass.leave(&self.kernel, ifindex);
            turn.entry.installed =
                turn.entry
                    .installed
                    .take()
                    .map(|installed| crate::spd::Installed {
                        offload: None,
                        ..installed
                    });
        }
        self.install_or_soften(&mut turn)?;
        Ok(true)
    }

    /// Tells charon of what is due, as fast as the pace allows; says when to go on.
    fn rekey_pending(&self, now: Duration) -> Option<Duration> {
        let (mut due, outbound, names) = {
            let state = self.recovery.lock();
            let due: Vec<(SaKey, Pending)> = state
                .pending
                .iter()
                .filter(|(_, pending)| pending.due <= now)
                .map(|(key, pending)| (*key, pending.clone()))
                .collect();
            let outbound: HashSet<(u32, IpAddr)> = state
                .pending
                .values()
                .filter(|pending| !pending.inbound)
                .map(|pending| (pending.reqid, pending.peer))
                .collect();
            let names: HashSet<SaName> = state
                .pending
                .iter()
                .filter(|(_, pending)| !pending.inbound)
                .map(|(key, _)| (key.dst, key.spi))
                .collect();
            (due, outbound, names)
        };
        // Who was told least often comes first, and who waits longest among those.
        due.sort_by_key(|(_, pending)| (pending.attempts, pending.due));
        let pace = self.config().rekey_pace;
        let mut ready: HashMap<(IpAddr, IpAddr, Offload), Result<u32, String>> = HashMap::new();
        let (mut done, mut waiting) = (Vec::new(), 0);
        let mut updates: Vec<(SaKey, Duration, u32)> = Vec::new();
        let mut reason = None;
        let mut slot = None;
        for (key, pending) in due {
            let Some(record) = self.sad.get(&key) else {
                done.push(key);
                continue;
            };
            // A CHILD_SA is rekeyed once, by its outbound SA. Its inbound SA stays for a while after
            // that (charon.delete_rekeyed_delay).
            let partner = self
                .units
                .look(pending.reqid, |unit| unit.sa((key.dst, key.spi))?.partner)
                .flatten();
            if pending.cause == Cause::Half && partner.is_some() {
                done.push(key);
                continue;
            }
            let waits = match partner {
                Some(partner) => names.contains(&partner),
                None if pending.cause == Cause::Half => false,
                None => outbound.contains(&(pending.reqid, pending.peer)),
            };
            if pending.inbound && waits {
                updates.push((key, now + 2 * RETRY, pending.attempts));
                continue;
            }
            let way = ready
                .entry((pending.local, pending.peer, record.wanted))
                .or_insert_with(|| self.way_for(&record, pending.local, pending.peer));
            let device = match way {
                Ok(device) => *device,
                Err(why) => {
                    waiting += 1;
                    reason.get_or_insert_with(|| why.clone());
                    updates.push((key, now + WAIT, pending.attempts));
                    continue;
                }
            };
            if pending.cause == Cause::Moved && record.placement.device() == Some(device) {
                // The way came back.
                done.push(key);
                continue;
            }
            if pending.cause == Cause::Gone
                && matches!(self.kernel.get_sa(&key, record.id.src.ip), Ok(state) if !state.larval)
            {
                // Moved by ourselves while somebody looked for it.
                done.push(key);
                continue;
            }
            if pending.attempts >= ALL {
                log::error!(
                    "charon does not replace {} of {}: close it (swanctl --terminate) and set it \
                     up again",
                    record.id,
                    record.name
                );
                updates.push((key, now + ABANDONED, pending.attempts));
                continue;
            }
            if let Err(at) = self.recovery.take_slot(now, pace) {
                slot = Some(at);
                break;
            }
            // One that still works is never closed for the sake of a better place.
            let hard = pending.attempts >= SOFT && pending.cause == Cause::Gone;
            self.host
                .expire(record.id.proto, record.id.spi, record.id.dst.ip, hard);
            let pause = RETRY * 2u32.pow(pending.attempts.min(8));
            updates.push((key, now + pause.min(LONGEST_RETRY), pending.attempts + 1));
        }
        self.recovery.forget(&done);
        if !done.is_empty() {
            self.release(&done);
        }
        let mut state = self.recovery.lock();
        for (key, due, attempts) in updates {
            if let Some(pending) = state.pending.get_mut(&key) {
                pending.due = due;
                pending.attempts = attempts;
            }
        }
        let say = match &reason {
            Some(why) if state.waiting.as_ref() != Some(why) => {
                state.waiting = Some(why.clone());
                true
            }
            Some(_) => false,
            None => {
                state.waiting = None;
                false
            }
        };
        let next = state.pending.values().map(|pending| pending.due).min();
        drop(state);
        if let (true, Some(why)) = (say, reason) {
            log::warn!("{waiting} SAs cannot be rekeyed yet, they are as soon as possible: {why}");
        }
        // What was due and did not get a slot is due when there is one.
        next.map(|next| slot.map_or(next.max(now), |slot| slot.max(now)))
    }

    /// The device that a successor of an SA would go to, or why there is none.
    fn way_for(&self, record: &SaRecord, local: IpAddr, peer: IpAddr) -> Result<u32, String> {
        let device = self
            .device_to(peer, Some(local), 0)
            .map_err(|refusal| refusal.reason)?;
        let mode = match record.wanted {
            Offload::Packet => Mode::Packet,
            _ if !device.up => {
                return Err(format!("{} is down", device.name));
            }
            _ => Mode::Software,
        };
        check_device(&device, mode).map_err(|refusal| refusal.to_string())?;
        Ok(device.ifindex)
    }

    /// SAs are on the list no more: policies that blocked because of them need not any longer.
    fn release(&self, keys: &[SaKey]) {
        self.reinstall_where(|turn| {
            turn.entry
                .installed
                .as_ref()
                .is_some_and(|installed| installed.away.is_some())
                && turn
                    .entry
                    .users
                    .first()
                    .and_then(sa_of)
                    .is_some_and(|key| keys.contains(&key))
        });
    }
}

/// What [`Core::reinstall_where`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Installed as they should be.
    pub(super) restored: usize,
    /// A block stands in for them.
    pub(super) blocked: usize,
    /// Refused.
    pub(super) failed: usize,
}

/// The SA that a policy leads to; `None` for a trap.
fn sa_of(user: &User) -> Option<SaKey> {
    let sa = &user.spec.sa;
    let (proto, spi) = match (sa.esp, sa.ah) {
        (Some(spi), _) => (Proto::Esp, spi),
        (None, Some(spi)) => (Proto::Ah, spi),
        (None, None) => return None,
    };
    (spi.0 != 0).then_some(SaKey {
        dst: user.spec.dst?.ip,
        spi,
        proto,
        mark: user.id.mark,
        if_id: user.id.if_id,
    })
}

fn first_of(records: &[SaRecord]) -> String {
    match records {
        [] => String::new(),
        [one] => format!("{} of {}", one.id, one.name),
        [one, ..] => format!("{} of {}, …", one.id, one.name),
    }
}
