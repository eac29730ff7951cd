// SPDX-License-Identifier: GPL-2.0-or-later
//! The ways to the peers: through which device, by which next hop, with which link-layer address.
//!
//! Owns a cache of them, which events keep true, and what is done when one changes: a CHILD_SA whose
//! peer is reached through another device is rekeyed onto that, a trap moves at once, and a next hop
//! that got another link-layer address is made known to the NIC. Called by `device.rs` for every SA
//! and policy of a peer, which then costs no lookup; by charon's watcher; and by the ticker. Must not
//! hold its lock while it asks the kernel or charon.
//!
//! **Cost.** Only the distinct peers of what is installed are here. An event makes those suspect
//! whose address it covers; suspects are looked up on the ticker, a bounded number per round, never
//! by a dump. If events come faster than some tens at once, the socket is not watched for a round
//! ([`PAUSE`]); what it cannot hold meanwhile is an overrun, after which every peer is suspect.
//!
//! **Next hops.** A NIC writes the outer Ethernet header itself, with the address it found when the
//! SA was added (drivers/net/ethernet/mellanox/mlx5/core/en_accel/ipsec.c: mlx5e_ipsec_init_macs),
//! and listens to changes of the neighbour that has the *peer's* address, on whichever device. For a
//! peer on the link that is the neighbour itself. Behind a gateway there is no such neighbour; one is
//! written, with the peer's address, on the port, with the gateway's link-layer address, and the
//! driver rewrites its rules without a rekeying. Such an entry changes no route: neighbours are
//! looked at after a route has named the address as its next hop, which no route does as long as the
//! peer is not on the link; when it gets there, the entry is removed first, because it would send
//! the peer's packets to the gateway. It answers no ARP request, as only proxy entries do. It is
//! permanent, since the kernel would drop another one that nobody uses. An entry for the peer that
//! is there already is somebody else's and stays as it is: the SAs are rekeyed instead. Hardware
//! traffic confirms no neighbour, so the ones in use are used by us now and then, which makes the
//! kernel confirm them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::config::NextHopChange;
use crate::host::Readable;
use crate::ledger;
use crate::model::{Direction, Placement, Prefix};
use crate::nic::{
    PathChange, PathEvents, Route, drop_neighbour, neighbour_exists, resolve_neighbour,
    use_neighbour, write_neighbour,
};
use crate::offload::{Mode, check_device};
use crate::sad::SaRecord;

use super::Core;
use super::recovery::{Cause, ends};
use super::ticker::{Task, TaskId};

/// Events taken in at once; with more the socket is left alone for a round.
const STORM: usize = 64;
/// Length of a round after a storm.
const PAUSE: Duration = Duration::from_secs(1);
/// Time after an event until suspects are looked up: changes come in bursts.
const COALESCE: Duration = Duration::from_millis(50);
/// Peers looked up per round, and next hops used.
const LOOKUPS: usize = 256;
/// Pause between two portions of suspects.
const PORTION: Duration = Duration::from_millis(100);
/// For how long nobody waits again for a next hop that did not answer. If it does, there is an event.
const SILENCE: Duration = Duration::from_secs(10);
/// A way that nothing installed uses is forgotten after so many rounds of the keep-alive.
const IDLE_ROUNDS: u32 = 4;
/// What the NIC has of a next hop that was not resolved when the SA was added.
const UNRESOLVED: [u8; 6] = [0; 6];

/// Whose way it is. The local address counts for policy routing, and for the VRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PathKey {
    pub(super) peer: IpAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) mark: u32,
}

#[derive(Clone, Debug)]
struct Path {
    route: Route,
    /// No event since it was looked up.
    fresh: bool,
    /// Link-layer address of the next hop, if it is known and watched.
    address: Option<[u8; 6]>,
    /// What NICs were told, if any was.
    programmed: Option<[u8; 6]>,
    /// Device of the neighbour entry that we wrote for the peer.
    written: Option<u32>,
    /// Rounds of the keep-alive in which nothing used it.
    idle: u32,
}

impl Path {
    fn hop(&self, peer: IpAddr) -> IpAddr {
        self.route.gateway.unwrap_or(peer)
    }
}

#[derive(Debug, Default)]
struct State {
    paths: BTreeMap<PathKey, Path>,
    suspects: BTreeSet<PathKey>,
    /// Counts events, so that an answer that is older than one is not taken for fresh.
    generation: u64,
    keep_alive_at: Option<Duration>,
    /// Next hops still to be used in this round of the keep-alive.
    hops: BTreeSet<(u32, IpAddr)>,
    /// Next hops that did not answer, and when somebody waited for them.
    silent: BTreeMap<(u32, IpAddr), Duration>,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    state: Mutex<State>,
    task: OnceLock<TaskId>,
}

impl Paths {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Single changes of maps and fields only: there is no half-made one to fear after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way that is known and not suspect.
    fn fresh(&self, key: &PathKey) -> Result<Route, u64> {
        let state = self.lock();
        match state.paths.get(key) {
            Some(path) if path.fresh => Ok(path.route.clone()),
            _ => Err(state.generation),
        }
    }

    /// Keeps what was looked up at a generation. A way that changed is left to the round, which acts
    /// on the change.
    fn keep(&self, key: PathKey, route: &Route, generation: u64) {
        let mut state = self.lock();
        let current = state.generation == generation;
        match state.paths.get_mut(&key) {
            Some(path) if path.route == *route => path.fresh = current,
            Some(_) => {
                state.suspects.insert(key);
            }
            None => {
                state.paths.insert(
                    key,
                    Path {
                        route: route.clone(),
                        fresh: current,
                        address: None,
                        programmed: None,
                        written: None,
                        idle: 0,
                    },
                );
                if !current {
                    state.suspects.insert(key);
                }
            }
        }
    }

    /// Makes the ways to the peers in a network suspect, or all. With a full table there is an event
    /// every moment, and with our own routes one for each CHILD_SA: only those peers are visited.
    fn suspect(&self, net: Option<Prefix>) {
        let mut state = self.lock();
        state.generation += 1;
        let State {
            paths, suspects, ..
        } = &mut *state;
        let mut note = |key: &PathKey, path: &mut Path| {
            path.fresh = false;
            suspects.insert(*key);
        };
        let Some(net) = net else {
            paths.iter_mut().for_each(|(key, path)| note(key, path));
            return;
        };
        // Peers are in the order of their addresses.
        let first = PathKey {
            peer: net.first(),
            local: None,
            mark: 0,
        };
        for (key, path) in paths.range_mut(first..) {
            if !net.contains(key.peer) {
                break;
            }
            note(key, path);
        }
    }

    /// Makes all ways suspect, for a link that changed: the kernel removes the routes of a device
    /// that goes down without a word.
    pub(super) fn suspect_all(&self, core: &Core) {
        self.suspect(None);
        // Who was silent on a link that was down may answer now.
        self.lock().silent.clear();
        self.wake(core, COALESCE);
    }

    fn wake(&self, core: &Core, after: Duration) {
        if let Some(task) = self.task.get() {
            core.ticker.wake_in(*task, after);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().paths.len()
    }
}

/// Listens to the events and does the rounds.
pub(crate) struct PathWatch {
    core: Arc<Core>,
    this: Weak<Self>,
    events: PathEvents,
    /// The socket is not watched until then.
    paused: Mutex<Option<Duration>>,
    stopped: AtomicBool,
}

impl PathWatch {
    pub(super) fn new(core: &Arc<Core>) -> crate::error::Result<Arc<Self>> {
        let events = PathEvents::new(core.kernel.transport().as_ref())?;
        let watch = Arc::new_cyclic(|this| Self {
            core: Arc::clone(core),
            this: Weak::clone(this),
            events,
            paused: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let weak: Weak<Self> = Arc::downgrade(&watch);
        let _ = core.paths.task.set(core.ticker.register(weak));
        Ok(watch)
    }

    pub(super) fn fd(&self) -> std::os::fd::RawFd {
        self.events.fd()
    }

    /// Reacts to nothing any more, and takes back the neighbours that we wrote.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let written: Vec<(PathKey, u32)> = {
            let mut state = self.core.paths.lock();
            let paths = state.paths.iter_mut();
            paths
                .filter_map(|(key, path)| Some((*key, path.written.take()?)))
                .collect()
        };
        for (key, ifindex) in written {
            self.core.take_back(key.peer, ifindex);
        }
    }

    fn pause(&self, until: Duration) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether a pause ends now; if one goes on, until when.
    fn end_of_pause(&self, now: Duration) -> Result<bool, Duration> {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        match *paused {
            None => Ok(false),
            Some(until) if until > now => Err(until),
            Some(_) => {
                *paused = None;
                Ok(true)
            }
        }
    }

    /// Takes in events; true if there may be more.
    fn take_in(&self, limit: usize) -> bool {
        let mut changes = Vec::new();
        let more = self.events.read(limit, &mut changes);
        for change in changes {
            self.core.note(&change);
        }
        more
    }
}

impl Readable for PathWatch {
    fn readable(&self) -> bool {
        if self.stopped.load(Ordering::Acquire) {
            return false;
        }
        if !self.take_in(STORM) {
            return true;
        }
        self.pause(self.core.ticker.now() + PAUSE);
        self.core.paths.wake(&self.core, PAUSE);
        false
    }
}

impl Task for PathWatch {
    fn run(&self, now: Duration) -> Option<Duration> {
        if self.stopped.load(Ordering::Acquire) {
            return None;
        }
        let next = match self.end_of_pause(now) {
            Ok(false) => None,
            Err(until) => Some(until),
            // What is left is bounded by the buffer; what comes while we read is for the next round.
            Ok(true) if self.take_in(4 * STORM) => {
                self.core.note(&PathChange::Lost);
                self.pause(now + PAUSE);
                Some(now + PAUSE)
            }
            Ok(true) => {
                let this: Weak<Self> = Weak::clone(&self.this);
                if !self.core.host.watch(self.events.fd(), this) {
                    log::error!("charon refuses to watch the route event socket again");
                }
                None
            }
        };
        let core = &self.core;
        let suspects = core.look_up_suspects(now);
        let keep_alive = core.keep_alive(now);
        next.into_iter().chain(suspects).chain(keep_alive).min()
    }
}

impl Core {
    /// The way to a peer; from the cache if no event has made it suspect.
    pub(super) fn path_to(&self, peer: IpAddr, local: Option<IpAddr>, mark: u32) -> Option<Route> {
        let key = PathKey {
            peer,
            local: local.filter(|local| !local.is_unspecified()),
            mark,
        };
        match self.paths.fresh(&key) {
            Ok(route) => Some(route),
            Err(generation) => {
                let route = self.route_to(peer, local, mark)?;
                self.paths.keep(key, &route, generation);
                let delay = self.keep_alive_interval().unwrap_or(PAUSE);
                self.paths.wake(self, delay);
                Some(route)
            }
        }
    }

    fn keep_alive_interval(&self) -> Option<Duration> {
        match self.config().next_hop_keepalive {
            0 => None,
            seconds => Some(Duration::from_secs(seconds.into())),
        }
    }

    /// Takes in one event.
    fn note(&self, change: &PathChange) {
        match change {
            PathChange::Routes(net) => self.paths.suspect(Some(*net)),
            PathChange::Everything => self.paths.suspect(None),
            PathChange::Lost => {
                self.paths.suspect(None);
                // Asked again when it is needed, and by the round for those in use.
                for path in self.paths.lock().paths.values_mut() {
                    path.address = None;
                }
            }
            PathChange::Neighbour {
                ifindex,
                ip,
                address,
            } => {
                self.neighbour_changed(*ifindex, *ip, *address);
                return;
            }
        }
        if !self.paths.lock().suspects.is_empty() {
            self.paths.wake(self, COALESCE);
        }
    }

    /// Looks up some suspects and acts on what changed; says when there are more.
    fn look_up_suspects(&self, now: Duration) -> Option<Duration> {
        let (keys, generation) = {
            let mut state = self.paths.lock();
            let keys: Vec<PathKey> = state.suspects.iter().take(LOOKUPS).copied().collect();
            for key in &keys {
                state.suspects.remove(key);
            }
            (keys, state.generation)
        };
        let looked_up = !keys.is_empty();
        for key in keys {
            let found = self.route_to(key.peer, key.local, key.mark);
            let before = {
                let mut state = self.paths.lock();
                let current = state.generation == generation;
                let Some(path) = state.paths.get_mut(&key) else {
                    continue;
                };
                let before = path.clone();
                match &found {
                    Some(route) => {
                        path.route = route.clone();
                        path.fresh = current;
                        if route.oif != before.route.oif || route.gateway != before.route.gateway {
                            path.address = None;
                        }
                    }
                    // Its route is gone. There is an event when another one comes.
                    None => path.fresh = false,
                }
                before
            };
            if let Some(route) = found {
                self.path_changed(key, &before, &route);
            }
        }
        if looked_up && self.recovery.count() > 0 {
            // One that waits for a way may have it now.
            self.recovery.hurry();
        }
        let more = !self.paths.lock().suspects.is_empty();
        more.then_some(now + PORTION)
    }

    fn path_changed(&self, key: PathKey, before: &Path, route: &Route) {
        let old = &before.route;
        if old.oif != route.oif {
            if let Some(ifindex) = before.written {
                self.unwrite(key, ifindex);
            }
            self.device_changed(key, old.oif, route.oif);
        } else if old.gateway != route.gateway || before.address.is_none() {
            if let Some(ifindex) = before.written.filter(|_| route.gateway.is_none()) {
                // The peer is on the link now: it answers for itself.
                self.unwrite(key, ifindex);
            }
            if before.programmed.is_some() {
                self.resolve_and_follow(key, route);
            }
        }
    }

    /// The SAs in a NIC towards a peer.
    fn sas_towards(&self, key: PathKey, ifindex: u32) -> Vec<SaRecord> {
        self.sad.select(|record| {
            let (local, peer) = ends(record);
            peer == key.peer
                && key.local.is_none_or(|own| own == local)
                && record.placement.device() == Some(ifindex)
        })
    }

    fn device_changed(&self, key: PathKey, from: u32, to: u32) {
        let records = self.sas_towards(key, from);
        let moved = self.move_traps(key.peer, from, to);
        let outbound = records.iter().filter(|record| !record.inbound).count();
        if outbound + moved > 0 {
            log::warn!(
                "the route to {} leads through {} now, no longer through {}: {outbound} CHILD_SAs are \
                 to be rekeyed, {moved} traps moved",
                key.peer,
                self.device_name(to),
                self.device_name(from)
            );
        }
        if !records.is_empty() {
            self.recovery.replace(&records, Cause::Moved);
        }
    }

    /// Moves units that are nothing but traps. One with SAs follows with its next generation: until
    /// then its policies stay with the SAs, since moved ones would have the kernel ask charon for a
    /// second CHILD_SA.
    fn move_traps(&self, peer: IpAddr, from: u32, to: u32) -> usize {
        let mut reqids = BTreeSet::new();
        for key in self.spd.keys() {
            let Some(turn) = self.spd.existing(&key) else {
                continue;
            };
            let here = turn.entry.installed.as_ref();
            if here.is_none_or(|installed| installed.device() != Some(from)) {
                continue;
            }
            let first = turn.entry.users.first().filter(|user| user.in_unit);
            if let Some(spec) = first.map(|user| &user.spec) {
                let remote = if key.dir == Direction::Out {
                    spec.dst
                } else {
                    spec.src
                };
                if remote.is_some_and(|remote| remote.ip == peer) {
                    reqids.insert(spec.sa.reqid);
                }
            }
        }
        let mut moved = 0;
        for reqid in reqids {
            let turn = self.units.turn(reqid);
            let (alone, demanded) =
                turn.view(|unit| (unit.has_no_sas(), unit.packet_is_demanded()));
            if !alone || turn.view(|unit| unit.next) != Some(Placement::Packet(from)) {
                continue;
            }
            let fits = self
                .device_facts(to)
                .and_then(|device| check_device(&device, Mode::Packet));
            let next = match fits {
                Ok(()) => Placement::Packet(to),
                Err(refusal) if demanded => {
                    log::error!(
                        "the traps of reqid {reqid} stay on {}, where they catch nothing: no packet \
                         HW offload: {refusal}",
                        self.device_name(from)
                    );
                    continue;
                }
                Err(_) => Placement::Software,
            };
            turn.change(|unit| unit.next = Some(next));
            match self.settle(&turn) {
                Ok(()) => moved += 1,
                Err(error) => {
                    log::error!(
                        "the traps of reqid {reqid} stay on {}: {error}",
                        self.device_name(from)
                    );
                    turn.change(|unit| unit.next = Some(Placement::Packet(from)));
                    let _ = self.settle(&turn);
                }
            }
        }
        moved
    }

    /// Makes sure that the next hop's link-layer address is known: the NIC takes it once, when the
    /// SA is added (mlx5e_ipsec_init_macs), and sends to nobody if it is not there.
    pub(super) fn prepare_next_hop(&self, ifindex: u32, peer: IpAddr, local: IpAddr, mark: u32) {
        let Some(route) = self.path_to(peer, Some(local), mark) else {
            return;
        };
        let key = PathKey {
            peer,
            local: Some(local).filter(|local| !local.is_unspecified()),
            mark,
        };
        let hop = route.gateway.unwrap_or(peer);
        let now = self.ticker.now();
        let waited = {
            // Known and watched: whatever changes is noticed.
            let mut state = self.paths.lock();
            if let Some(path) = state.paths.get_mut(&key)
                && path.fresh
                && let Some(address) = path.address
            {
                path.programmed = Some(address);
                return;
            }
            let asked = state.silent.get(&(ifindex, hop));
            asked.is_some_and(|asked| now.saturating_sub(*asked) < SILENCE)
        };
        // Thousands of CHILD_SAs may be behind one gateway that is away.
        let wait = if waited {
            Duration::ZERO
        } else {
            Duration::from_millis(self.config().neighbour_timeout_ms)
        };
        let address = match resolve_neighbour(self.kernel.transport().as_ref(), ifindex, hop, wait)
        {
            Ok(address) => {
                if address.is_none() {
                    log::warn!(
                        "next hop {hop} towards {peer} has no link-layer address on {}: the NIC \
                         cannot send until it is resolved; check the gateway",
                        self.device_name(ifindex)
                    );
                }
                address
            }
            Err(error) => {
                log::warn!(
                    "unable to resolve next hop {hop} towards {peer} on {}: {error}",
                    self.device_name(ifindex)
                );
                None
            }
        };
        let mut state = self.paths.lock();
        if let Some(path) = state.paths.get_mut(&key) {
            // An answer that came behind the look is in an event, and may be here before this.
            path.address = address.or(path.address.filter(|_| path.fresh));
            path.programmed = Some(path.address.unwrap_or(UNRESOLVED));
        }
        match address {
            Some(_) => state.silent.remove(&(ifindex, hop)),
            None if waited => None,
            None => state.silent.insert((ifindex, hop), now),
        };
        let due = state.keep_alive_at;
        drop(state);
        if due.is_none()
            && let Some(interval) = self.keep_alive_interval()
        {
            self.paths.wake(self, interval);
        }
    }

    fn neighbour_changed(&self, ifindex: u32, ip: IpAddr, address: Option<[u8; 6]>) {
        let mut follow = Vec::new();
        {
            let mut state = self.paths.lock();
            if address.is_some() {
                state.silent.remove(&(ifindex, ip));
            }
            for (key, path) in &mut state.paths {
                if path.route.oif != ifindex || path.hop(key.peer) != ip {
                    continue;
                }
                path.address = address;
                let known = path.programmed;
                if let (Some(address), Some(programmed)) = (address, known)
                    && address != programmed
                {
                    follow.push((*key, path.route.clone(), address));
                }
            }
        }
        for (key, route, address) in follow {
            self.follow(key, &route, address);
        }
    }

    /// The next hop is another one, or events about it were lost.
    fn resolve_and_follow(&self, key: PathKey, route: &Route) {
        let hop = route.gateway.unwrap_or(key.peer);
        // Without a wait: an answer that comes later is an event.
        let found = resolve_neighbour(
            self.kernel.transport().as_ref(),
            route.oif,
            hop,
            Duration::ZERO,
        );
        if let Ok(Some(_)) = found {
            self.neighbour_changed(route.oif, hop, found.unwrap_or(None));
        }
    }

    /// Tells the NIC of a next hop's new link-layer address.
    fn follow(&self, key: PathKey, route: &Route, address: [u8; 6]) {
        let mut sas = self.sas_towards(key, route.oif);
        sas.retain(|record| record.placement.is_packet());
        let note = |written: Option<u32>| {
            let mut state = self.paths.lock();
            if let Some(path) = state.paths.get_mut(&key) {
                path.programmed = (!sas.is_empty()).then_some(address);
                path.written = written.or(path.written);
            }
        };
        let Some(gateway) = route.gateway else {
            // The driver sees it as we do.
            note(None);
            return;
        };
        if sas.is_empty() {
            note(None);
            return;
        }
        let what = format!(
            "next hop {gateway} towards {} has another link-layer address on {}",
            key.peer,
            self.device_name(route.oif)
        );
        match self.config().next_hop_change {
            NextHopChange::Ignore => {
                log::warn!("{what}: the NIC still sends to the old one (next_hop_change = no)");
                note(None);
                return;
            }
            NextHopChange::Rekey => log::warn!("{what}: its CHILD_SAs are rekeyed"),
            NextHopChange::Neighbour => match self.write_entry(key, route.oif, address) {
                Ok(()) => {
                    log::info!("{what}: the NIC is told by a neighbour entry for the peer");
                    note(Some(route.oif));
                    return;
                }
                Err(why) => log::warn!("{what}: its CHILD_SAs are rekeyed, since {why}"),
            },
        }
        note(None);
        self.recovery.replace(&sas, Cause::Stale);
    }

    fn write_entry(&self, key: PathKey, ifindex: u32, address: [u8; 6]) -> Result<(), String> {
        let transport = self.kernel.transport().as_ref();
        let ours = {
            let state = self.paths.lock();
            let mut paths = state.paths.iter();
            paths.any(|(other, path)| other.peer == key.peer && path.written == Some(ifindex))
        };
        if !ours && neighbour_exists(transport, ifindex, key.peer).map_err(|e| e.to_string())? {
            return Err("the peer has a neighbour entry that is not ours".to_owned());
        }
        let entry = ledger::neighbour(ifindex, key.peer, address);
        if let Some(ledger) = self.kernel.ledger() {
            ledger.add(&entry);
        }
        let result = write_neighbour(transport, ifindex, key.peer, address);
        if let Some(ledger) = self.kernel.ledger().filter(|_| result.is_err() && !ours) {
            ledger.remove(&entry.0);
        }
        result.map_err(|error| error.to_string())
    }

    /// Removes a neighbour entry of ours, unless another way to the peer still needs it.
    fn unwrite(&self, key: PathKey, ifindex: u32) {
        let still = {
            let mut state = self.paths.lock();
            if let Some(path) = state.paths.get_mut(&key) {
                path.written = None;
            }
            let mut paths = state.paths.iter();
            paths.any(|(other, path)| other.peer == key.peer && path.written == Some(ifindex))
        };
        if !still {
            self.take_back(key.peer, ifindex);
        }
    }

    fn take_back(&self, peer: IpAddr, ifindex: u32) {
        match drop_neighbour(self.kernel.transport().as_ref(), ifindex, peer) {
            Ok(()) => {}
            // Gone with its device, or removed by hand.
            Err(error) if matches!(error.errno, libc::ENOENT | libc::ENODEV | libc::ENXIO) => {}
            Err(error) => {
                log::warn!(
                    "unable to remove the neighbour entry for {peer} on {}: {error}",
                    self.device_name(ifindex)
                );
                return;
            }
        }
        if let Some(ledger) = self.kernel.ledger() {
            ledger.remove(&ledger::neighbour_key(ifindex, peer));
        }
    }

    /// Has the kernel confirm the next hops in use, and forgets the ways that nothing uses.
    fn keep_alive(&self, now: Duration) -> Option<Duration> {
        let interval = self.keep_alive_interval();
        let period = interval.unwrap_or(Duration::from_secs(60));
        {
            let mut state = self.paths.lock();
            if state.paths.is_empty() {
                state.keep_alive_at = None;
                return None;
            }
            match state.keep_alive_at {
                _ if !state.hops.is_empty() => {}
                Some(at) if at > now => return Some(at),
                None => {
                    state.keep_alive_at = Some(now + period);
                    return state.keep_alive_at;
                }
                Some(_) => state.keep_alive_at = Some(now + period),
            }
        }
        if self.paths.lock().hops.is_empty() {
            self.sort_out_paths();
        }
        let (hops, more) = {
            let mut state = self.paths.lock();
            let hops: Vec<_> = state.hops.iter().take(LOOKUPS).copied().collect();
            for hop in &hops {
                state.hops.remove(hop);
            }
            (hops, !state.hops.is_empty())
        };
        if interval.is_some() {
            let transport = self.kernel.transport().as_ref();
            for (ifindex, hop) in hops {
                if let Err(error) = use_neighbour(transport, ifindex, hop) {
                    log::debug!(
                        "unable to keep next hop {hop} on {} alive: {error}",
                        self.device_name(ifindex)
                    );
                }
            }
        }
        if more {
            return Some(now + PORTION);
        }
        self.paths.lock().keep_alive_at
    }

    /// Forgets the ways that nothing uses, takes back what was written for them, and notes the next
    /// hops in use.
    fn sort_out_paths(&self) {
        let now = self.ticker.now();
        let mut peers = HashSet::new();
        let mut offloaded = HashSet::new();
        self.sad.select(|record| {
            let (_, peer) = ends(record);
            peers.insert(peer);
            if record.placement.is_packet() {
                offloaded.insert(peer);
            }
            false
        });
        for key in self.spd.keys() {
            if let Some(turn) = self.spd.existing(&key) {
                let users = turn.entry.users.iter().filter(|user| user.in_unit);
                peers.extend(
                    users
                        .flat_map(|user| [user.spec.src, user.spec.dst])
                        .flatten()
                        .map(|address| address.ip),
                );
            }
        }
        let mut unneeded = Vec::new();
        {
            let mut state = self.paths.lock();
            let State {
                paths,
                suspects,
                hops,
                silent,
                ..
            } = &mut *state;
            silent.retain(|_, asked| now.saturating_sub(*asked) < SILENCE);
            paths.retain(|key, path| {
                if offloaded.contains(&key.peer) {
                    if path.programmed.is_some() {
                        hops.insert((path.route.oif, path.hop(key.peer)));
                    }
                } else {
                    path.programmed = None;
                    unneeded.extend(path.written.take().map(|ifindex| (key.peer, ifindex)));
                }
                path.idle = if peers.contains(&key.peer) {
                    0
                } else {
                    path.idle + 1
                };
                path.idle < IDLE_ROUNDS
            });
            suspects.retain(|key| paths.contains_key(key));
        }
        for (peer, ifindex) in unneeded {
            self.take_back(peer, ifindex);
        }
    }
}
