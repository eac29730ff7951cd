// SPDX-License-Identifier: GPL-2.0-or-later
//! One CHILD_SA is one unit: all of its SAs and policies are in one place.
//!
//! Owns, per reqid, which SAs and policies there are, where they are, and where the next generation
//! goes. charon gives all generations and traps of a CHILD_SA one reqid. Called by `sa.rs`,
//! `policy.rs`, `place.rs` and `fallback.rs`. Must not do I/O.
//!
//! Calls for one unit take turns: who holds a [`UnitTurn`] may talk to the kernel and to charon while
//! no lock is held, and other units go on. A turn of a unit comes before the turn of a policy
//! (`spd/`), never after it, and nobody holds two of either kind. docs/units.md tells the whole story.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::few::Few;
use crate::model::{Direction, Offload, Placement, SaKey, Spi};
use crate::offload::Cause;
use crate::status::server::Events;
use crate::status::vici::Writer;
use crate::xfrm::PolicyKey;

use super::sharing::{Receivers, Selectors};

/// By what a policy names an SA: its destination and SPI.
pub(crate) type SaName = (IpAddr, Spi);

/// An SA of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its key in the SAD.
    pub(crate) key: SaKey,
    /// Source address, which the kernel wants to be told with the key.
    pub(crate) src: IpAddr,
    /// CHILD_SA and connection.
    pub(crate) name: String,
    /// Packets come in by it.
    pub(crate) inbound: bool,
    /// What was asked for.
    pub(crate) wanted: Offload,
    /// Where it is.
    pub(crate) placement: Placement,
    /// The SA of the other direction, once both are there.
    pub(crate) partner: Option<SaName>,
    /// An outbound policy named it: it may have sent packets, whatever its counters say.
    pub(crate) pointed_at: bool,
    /// When a policy that might have named it was last changed to another SA.
    left: Option<Duration>,
    /// What it is for, unless its addresses were changed since.
    selectors: Option<Arc<Selectors>>,
    /// The kernel removed it with its device.
    gone: bool,
}

impl Member {
    /// An SA that was just installed.
    pub(crate) fn new(
        key: SaKey,
        src: IpAddr,
        name: &str,
        inbound: bool,
        wanted: Offload,
        placement: Placement,
    ) -> Self {
        Self {
            key,
            src,
            name: name.to_owned(),
            inbound,
            wanted,
            placement,
            partner: None,
            pointed_at: false,
            left: None,
            selectors: None,
            gone: false,
        }
    }

    /// With what it is for.
    #[must_use]
    pub(crate) fn with_selectors(mut self, selectors: Option<Arc<Selectors>>) -> Self {
        self.selectors = selectors;
        self
    }

    fn sa_name(&self) -> SaName {
        (self.key.dst, self.key.spi)
    }

    fn view(&self) -> SaView {
        SaView {
            name: self.name.clone(),
            spi: self.key.spi,
            src: self.src,
            dst: self.key.dst,
            inbound: self.inbound,
            wanted: self.wanted,
            placement: self.placement,
            gone: self.gone,
        }
    }
}

/// All about one unit.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// Where the next generation goes; `None` until that was decided.
    pub(crate) next: Option<Placement>,
    /// Why that is not packet mode, if `auto` had to go lower.
    pub(crate) cause: Option<Cause>,
    /// The device that refused packet mode, if one was asked.
    pub(crate) refused_by: Option<u32>,
    sas: Few<SaName, Member>,
    /// Inbound SAs whose outbound one is still to come, with the names of their CHILD_SAs; of one name the one that is
    /// meant is the last. charon adds them in this order; where both sides rekey at the same moment there are two for
    /// a while.
    open: Vec<(String, SaName)>,
    /// Policies in and out, with the number of their users in this unit.
    policies: Few<PolicyKey, usize>,
    /// Objects of CHILD_SAs with `hw_offload = packet`.
    packet: usize,
    /// Objects of CHILD_SAs with `hw_offload = no` or `crypto`.
    plain: usize,
    /// A generation had both of its SAs: the next ones are rekeys.
    complete: bool,
    /// Outbound SAs in a row that were refused after that.
    refusals: u32,
    /// Inbound SAs in packet mode that are there.
    receivers: Receivers,
}

impl Unit {
    /// Nothing is installed.
    pub(crate) fn is_empty(&self) -> bool {
        self.sas.is_empty() && self.policies.is_empty()
    }

    /// It has policies at most: a trap, whose place can be chosen anew.
    pub(crate) fn has_no_sas(&self) -> bool {
        self.sas.is_empty()
    }

    /// Somebody demands packet mode of it.
    pub(crate) fn packet_is_demanded(&self) -> bool {
        self.packet > 0
    }

    /// Somebody wants it out of packet mode.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain > 0
    }

    /// An SA.
    pub(crate) fn sa(&self, name: SaName) -> Option<&Member> {
        self.sas.get(&name)
    }

    /// All SAs.
    pub(crate) fn sas(&self) -> impl Iterator<Item = &Member> {
        self.sas.values()
    }

    /// The keys of its policies in and out.
    pub(crate) fn policies(&self) -> Vec<PolicyKey> {
        self.policies.keys().cloned().collect()
    }

    /// The SAs that were added with `name`, which is one of them: itself and its partner.
    pub(crate) fn generation(&self, name: SaName) -> Vec<Member> {
        let Some(one) = self.sas.get(&name) else {
            return Vec::new();
        };
        let other = one.partner.and_then(|partner| self.sas.get(&partner));
        std::iter::once(one).chain(other).cloned().collect()
    }

    /// The inbound SA that a new outbound one of this CHILD_SA belongs to.
    pub(crate) fn awaits_outbound(&self, child: &str) -> Option<SaName> {
        let mut open = self.open.iter().rev();
        open.find(|(one, _)| one == child).map(|(_, name)| *name)
    }

    /// Whether more than one inbound SA of that name waits for its outbound one.
    pub(crate) fn several_await(&self, child: &str) -> bool {
        self.open.iter().filter(|(one, _)| one == child).count() > 1
    }

    /// The next outbound SA of that name belongs to the inbound one with this SPI.
    pub(crate) fn expect_partner(&mut self, child: &str, inbound: Spi) {
        let mut open = self.open.iter();
        if let Some(at) = open.position(|(one, (_, spi))| one == child && *spi == inbound) {
            let last = self.open.remove(at);
            self.open.push(last);
        }
    }

    /// It waits no more.
    fn close(&mut self, child: &str, name: SaName) {
        self.open.retain(|open| open.1 != name || open.0 != child);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// An outbound SA of a rekey could not be installed: the inbound one that charon is left with,
    /// and how many in a row that makes. `None` for the first generation, which charon gives up.
    pub(crate) fn outbound_refused(&mut self, child: &str) -> Option<(SaKey, u32)> {
        let inbound = self.sas.get(&self.awaits_outbound(child)?)?.key;
        if !self.complete {
            return None;
        }
        self.refusals = self.refusals.saturating_add(1);
        Some((inbound, self.refusals))
    }

    /// Adds an SA, and finds its partner.
    pub(crate) fn add_sa(&mut self, mut member: Member) {
        let name = member.sa_name();
        self.remove_sa(name);
        if member.inbound {
            self.open.reserve_exact(1);
            self.open.push((member.name.clone(), name));
        } else if let Some(partner) = self.awaits_outbound(&member.name) {
            self.close(&member.name, partner);
            member.partner = Some(partner);
            (self.complete, self.refusals) = (true, 0);
            if let Some(inbound) = self.sas.get_mut(&partner) {
                inbound.partner = Some(name);
            }
        }
        self.count(member.wanted, true);
        self.count_inbound(&member, true);
        self.sas.insert(name, member);
    }

    /// Removes an SA.
    pub(crate) fn remove_sa(&mut self, name: SaName) -> Option<Member> {
        let member = self.sas.remove(&name)?;
        self.close(&member.name, name);
        if let Some(partner) = member.partner.and_then(|name| self.sas.get_mut(&name)) {
            partner.partner = None;
        }
        self.count(member.wanted, false);
        self.count_inbound(&member, false);
        Some(member)
    }

    /// Notes where an SA is now.
    pub(crate) fn place_sa(&mut self, name: SaName, placement: Placement) {
        let Some(mut member) = self.sas.remove(&name) else {
            return;
        };
        self.count_inbound(&member, false);
        member.placement = placement;
        self.count_inbound(&member, true);
        self.sas.insert(name, member);
    }

    /// Adds a user of a policy.
    pub(crate) fn add_policy(&mut self, key: &PolicyKey, wanted: Offload) {
        match self.policies.get_mut(key) {
            Some(users) => *users += 1,
            None => {
                self.policies.insert(key.clone(), 1);
            }
        }
        self.count(wanted, true);
    }

    /// Removes a user of a policy.
    pub(crate) fn remove_policy(&mut self, key: &PolicyKey, wanted: Offload) {
        let Some(users) = self.policies.get_mut(key) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.policies.remove(key);
        }
        self.count(wanted, false);
    }

    /// The device that a policy belongs on. It follows the SA it names; a trap goes where the next
    /// generation goes. An inbound one stays in the NIC as long as any inbound SA of its CHILD_SA is
    /// there: without it the kernel refuses what the NIC decrypted for local sockets (net/xfrm/xfrm_policy.c:
    /// __xfrm_policy_check), while what software decrypted passes either way.
    pub(crate) fn policy_device(&self, dir: Direction, sa: Option<SaName>) -> Option<u32> {
        let named = sa.and_then(|name| self.sas.get(&name));
        let placement = named.map(|sa| sa.placement).or(self.next);
        let device = placement
            .filter(|placement| placement.is_packet())
            .and_then(Placement::device);
        match dir {
            Direction::In => {
                let selectors = named.and_then(|sa| sa.selectors.as_ref());
                device.or_else(|| self.receivers.device(selectors))
            }
            Direction::Out | Direction::Fwd => device,
        }
    }

    /// Whether it has an outbound policy besides this one.
    pub(crate) fn leads_beside(&self, key: &PolicyKey) -> bool {
        self.policies
            .keys()
            .any(|other| other.dir == Direction::Out && other != key)
    }

    fn count(&mut self, wanted: Offload, add: bool) {
        let counter = match wanted {
            Offload::Packet => &mut self.packet,
            Offload::No | Offload::Crypto => &mut self.plain,
            Offload::Auto => return,
        };
        *counter = if add {
            *counter + 1
        } else {
            counter.saturating_sub(1)
        };
    }

    fn count_inbound(&mut self, member: &Member, add: bool) {
        let Placement::Packet(ifindex) = member.placement else {
            return;
        };
        if !member.inbound || member.gone {
            return;
        }
        if add {
            self.receivers.add(&member.selectors, ifindex);
        } else {
            self.receivers.remove(&member.selectors, ifindex);
        }
    }

    /// An inbound SA is in packet mode.
    pub(crate) fn receives_in_nic(&self) -> bool {
        self.receivers.device(None).is_some()
    }

    /// Whether another generation than that of an SA receives in packet mode.
    pub(crate) fn another_receives(&self, name: SaName) -> bool {
        let others = self.sas.iter().filter(|(other, _)| **other != name);
        others
            .map(|(_, sa)| sa)
            .any(|sa| sa.inbound && !sa.gone && sa.placement.is_packet())
    }

    /// The devices where its reqid belongs to SAs with other selectors than these.
    pub(crate) fn taken_by_others(&self, selectors: &Selectors) -> Vec<u32> {
        self.receivers.of_others(selectors)
    }

    /// An SA stands beside those with other selectors that have the reqid in a NIC: where it goes
    /// decides nothing for them.
    pub(crate) fn stands_apart(&self, name: SaName) -> bool {
        let selectors = self.sas.get(&name).and_then(|sa| sa.selectors.as_deref());
        selectors.is_some_and(|selectors| !self.taken_by_others(selectors).is_empty())
    }

    /// The kernel flushed a device.
    pub(crate) fn device_flushed(&mut self, ifindex: u32) {
        self.receivers.device_flushed(ifindex);
        for member in self.sas.values_mut() {
            if member.placement == Placement::Packet(ifindex) {
                member.gone = true;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    unit: Unit,
    busy: bool,
    waiting: usize,
    /// What was last told of it.
    told: Option<Summary>,
}

/// What is told of a unit when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    next: Option<Placement>,
    lost: usize,
}

/// A unit, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct UnitView {
    /// reqid.
    pub(crate) reqid: u32,
    /// Where the next generation goes.
    pub(crate) next: Option<Placement>,
    /// Number of its policies in and out.
    pub(crate) policies: usize,
    /// Somebody demands packet mode of it.
    pub(crate) packet_is_demanded: bool,
    /// Its SAs.
    pub(crate) sas: Vec<SaView>,
}

/// An SA of a unit, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct SaView {
    /// CHILD_SA and connection.
    pub(crate) name: String,
    pub(crate) spi: Spi,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) inbound: bool,
    /// What was asked for.
    pub(crate) wanted: Offload,
    /// Where it is.
    pub(crate) placement: Placement,
    /// The kernel removed it with its device.
    pub(crate) gone: bool,
}

impl Slot {
    /// What there is to tell, before and now; none if that is the same.
    fn change(&mut self) -> Option<(Option<Summary>, Option<Summary>)> {
        let now = (!self.unit.is_empty()).then(|| Summary {
            next: self.unit.next,
            lost: self.unit.sas.values().filter(|sa| sa.gone).count(),
        });
        let before = std::mem::replace(&mut self.told, now);
        (before != now).then_some((before, now))
    }
}

/// The event of a change: `new`, `ended`, `lost`, `repaired` or `mode`.
fn news(reqid: u32, before: Option<Summary>, now: Option<Summary>) -> Writer {
    let lost = |summary: Option<Summary>| summary.map_or(0, |summary| summary.lost);
    let what = match (before, now) {
        (None, _) => "new",
        (_, None) => "ended",
        _ if lost(now) > lost(before) => "lost",
        _ if lost(now) < lost(before) => "repaired",
        _ => "mode",
    };
    let mut message = Writer::new();
    message.value("reqid", reqid).value("change", what);
    if let Some(placement) = now.and_then(|summary| summary.next) {
        message.value("mode", placement);
        if let Some(ifindex) = placement.device() {
            message.value("ifindex", ifindex);
        }
    }
    message.value("lost", lost(now));
    message
}

/// The table of units.
#[derive(Debug, Default)]
pub(crate) struct Units {
    /// Apart, since a table has room for up to twice as many as are in it.
    slots: Mutex<HashMap<u32, Box<Slot>>>,
    turn_over: Condvar,
    /// Who wants to know of changes, once somebody does.
    events: OnceLock<Events>,
}

impl Units {
    /// Waits until nobody works on a unit and takes it, a new one if there is none. The wait is as
    /// long as the system calls of those in front of us, which are bounded.
    pub(crate) fn turn(&self, reqid: u32) -> UnitTurn<'_> {
        let mut slots = self.lock();
        slots.entry(reqid).or_default().waiting += 1;
        loop {
            // A slot with somebody waiting is never removed.
            let slot = slots.entry(reqid).or_default();
            if !slot.busy {
                slot.busy = true;
                slot.waiting -= 1;
                return UnitTurn { units: self, reqid };
            }
            slots = self
                .turn_over
                .wait(slots)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has changes told from now on.
    pub(crate) fn tell(&self, events: Events) {
        // The first one stays: there is one socket.
        let _ = self.events.set(events);
    }

    /// All units, by reqid.
    pub(crate) fn views(&self) -> Vec<UnitView> {
        let mut views: Vec<UnitView> = self
            .lock()
            .iter()
            .map(|(reqid, slot)| UnitView {
                reqid: *reqid,
                next: slot.unit.next,
                policies: slot.unit.policies.len(),
                packet_is_demanded: slot.unit.packet_is_demanded(),
                sas: slot.unit.sas.values().map(Member::view).collect(),
            })
            .collect();
        views.sort_by_key(|view| view.reqid);
        for view in &mut views {
            view.sas.sort_by_key(|sa| (sa.spi, sa.dst));
        }
        views
    }

    /// Tells what changed about a unit since the last time. No lock is held.
    fn told(&self, reqid: u32, change: Option<(Option<Summary>, Option<Summary>)>) {
        let (Some(events), Some((before, now))) = (self.events.get(), change) else {
            return;
        };
        events.raise(super::told::UNIT_EVENT, &news(reqid, before, now));
    }

    /// The device a policy belongs on at this moment; see [`Unit::policy_device`].
    pub(crate) fn policy_device(
        &self,
        reqid: u32,
        dir: Direction,
        sa: Option<SaName>,
    ) -> Option<u32> {
        self.lock().get(&reqid)?.unit.policy_device(dir, sa)
    }

    /// Looks at a unit without a turn; `None` if there is none.
    pub(crate) fn look<T>(&self, reqid: u32, look: impl FnOnce(&Unit) -> T) -> Option<T> {
        self.lock().get(&reqid).map(|slot| look(&slot.unit))
    }

    /// An outbound policy in the kernel names this SA from `now` on.
    pub(crate) fn point_at(&self, reqid: u32, sa: SaName, now: Duration) {
        if let Some(slot) = self.lock().get_mut(&reqid) {
            for (name, member) in slot.unit.sas.iter_mut() {
                if *name == sa {
                    member.pointed_at = true;
                } else if member.pointed_at {
                    member.left = Some(now);
                }
            }
        }
    }

    /// When an outbound SA of a unit was last left by a policy.
    pub(crate) fn left(&self, reqid: u32, sa: SaName) -> Option<Duration> {
        self.lock().get(&reqid)?.unit.sas.get(&sa)?.left
    }

    /// Changes a unit without a turn: only for what was done to the kernel as a whole, such as a
    /// flush, or is true whatever anybody does.
    pub(crate) fn change(&self, reqid: u32, change: impl FnOnce(&mut Unit)) {
        let mut slots = self.lock();
        if let Some(slot) = slots.get_mut(&reqid) {
            change(&mut slot.unit);
            if slot.unit.is_empty() && !slot.busy && slot.waiting == 0 {
                slots.remove(&reqid);
            }
        }
    }

    /// An SA got other addresses, and maybe another reqid (update_sa).
    pub(crate) fn rename_sa(&self, from: (u32, SaName), to: (u32, SaKey, IpAddr)) {
        let mut member = None;
        self.change(from.0, |unit| member = unit.remove_sa(from.1));
        let Some(mut member) = member else {
            return;
        };
        (member.key, member.src, member.selectors) = (to.1, to.2, None);
        let mut slots = self.lock();
        let unit = &mut slots.entry(to.0).or_default().unit;
        unit.next.get_or_insert(member.placement);
        unit.add_sa(member);
    }

    /// The kernel flushed a device.
    pub(crate) fn device_flushed(&self, ifindex: u32) {
        let mut changes = Vec::new();
        for (reqid, slot) in self.lock().iter_mut() {
            slot.unit.device_flushed(ifindex);
            changes.push((*reqid, slot.change()));
        }
        for (reqid, change) in changes {
            self.told(reqid, change);
        }
    }

    /// Number of units.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Box<Slot>>> {
        // Nothing that runs under the lock can panic halfway through a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on one unit; ends when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct UnitTurn<'a> {
    units: &'a Units,
    reqid: u32,
}

impl UnitTurn<'_> {
    /// Whose turn it is.
    pub(crate) fn reqid(&self) -> u32 {
        self.reqid
    }

    /// Looks at the unit, under the lock of the table: no I/O.
    pub(crate) fn view<T>(&self, view: impl FnOnce(&Unit) -> T) -> T {
        self.change(|unit| view(unit))
    }

    /// Changes the unit, under the lock of the table: no I/O.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Unit) -> T) -> T {
        let mut slots = self.units.lock();
        change(&mut slots.entry(self.reqid).or_default().unit)
    }
}

impl Drop for UnitTurn<'_> {
    fn drop(&mut self) {
        let mut change = None;
        let mut slots = self.units.lock();
        if let Some(slot) = slots.get_mut(&self.reqid) {
            change = slot.change();
            slot.busy = false;
            if slot.waiting > 0 {
                self.units.turn_over.notify_all();
            } else if slot.unit.is_empty() {
                slots.remove(&self.reqid);
            }
        }
        drop(slots);
        self.units.told(self.reqid, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mark, PortMatch, Prefix, Proto, Selector};
    use std::sync::atomic::{AtomicU32, Ordering};

    fn member(spi: u32, inbound: bool, placement: Placement) -> Member {
        let key = SaKey {
            dst: "192.0.2.2".parse().unwrap(),
            spi: Spi(spi),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: 0,
        };
        let src = "192.0.2.1".parse().unwrap();
        Member::new(key, src, "net[1]", inbound, Offload::Auto, placement)
    }

    fn name(spi: u32) -> SaName {
        ("192.0.2.2".parse().unwrap(), Spi(spi))
    }

    fn policy() -> PolicyKey {
        let any = Prefix::new("0.0.0.0".parse().unwrap(), 0);
        PolicyKey {
            dir: Direction::Out,
            selector: Selector {
                src: any,
                dst: any,
                proto: 0,
                sport: PortMatch::ANY,
                dport: PortMatch::ANY,
                ifindex: 0,
            },
            mark: Mark::default(),
            if_id: 0,
            label: None,
        }
    }

    #[test]
    fn a_unit_ends_with_its_last_object() {
        let units = Units::default();
        let turn = units.turn(1);
        turn.change(|unit| {
            unit.next = Some(Placement::Packet(2));
            unit.add_sa(member(1, true, Placement::Packet(2)));
            unit.add_policy(&policy(), Offload::Auto);
            unit.add_policy(&policy(), Offload::Auto);
        });
        drop(turn);
        let turn = units.turn(1);
        turn.change(|unit| {
            assert_eq!(unit.next, Some(Placement::Packet(2)));
            unit.remove_sa(name(1));
            unit.remove_policy(&policy(), Offload::Auto);
        });
        drop(turn);
        assert_eq!(units.len(), 1, "a policy is left");
        units
            .turn(1)
            .change(|unit| unit.remove_policy(&policy(), Offload::Auto));
        assert_eq!(units.len(), 0);
        drop(units.turn(2));
        assert_eq!(units.len(), 0, "a turn alone makes no unit");
    }

    #[test]
    fn generations_are_told_apart() {
        let mut unit = Unit::default();
        for spi in [0x10, 0x20] {
            unit.add_sa(member(spi, true, Placement::Packet(2)));
            assert_eq!(unit.awaits_outbound("net[1]"), Some(name(spi)));
            unit.add_sa(member(spi + 1, false, Placement::Packet(2)));
            assert_eq!(unit.awaits_outbound("net[1]"), None);
        }
        let spis = |of| {
            let mut spis: Vec<u32> = unit
                .generation(name(of))
                .iter()
                .map(|member| member.key.spi.0)
                .collect();
            spis.sort_unstable();
            spis
        };
        assert_eq!(spis(0x10), [0x10, 0x11]);
        assert_eq!(spis(0x21), [0x20, 0x21]);
        assert_eq!(spis(0x30), [] as [u32; 0]);
    }

    #[test]
    fn a_policy_follows_its_sa_and_a_trap_the_next_generation() {
        let mut unit = Unit::default();
        unit.add_sa(member(0x10, true, Placement::Packet(2)));
        unit.add_sa(member(0x11, false, Placement::Packet(2)));
        unit.next = Some(Placement::Software);
        unit.add_sa(member(0x20, true, Placement::Software));
        unit.add_sa(member(0x21, false, Placement::Software));
        let device = |dir, spi: u32| unit.policy_device(dir, Some(name(spi)));
        assert_eq!(device(Direction::Out, 0x11), Some(2));
        assert_eq!(device(Direction::Out, 0x21), None);
        assert_eq!(unit.policy_device(Direction::Out, None), None);
        assert_eq!(
            device(Direction::In, 0x20),
            Some(2),
            "the old generation still receives in the NIC"
        );
        unit.device_flushed(2);
        assert_eq!(unit.policy_device(Direction::In, Some(name(0x20))), None);
        assert_eq!(
            unit.policy_device(Direction::Out, Some(name(0x11))),
            Some(2),
            "it waits for its device"
        );
        unit.remove_sa(name(0x10));
        assert_eq!(unit.policy_device(Direction::In, Some(name(0x20))), None);
    }

    #[test]
    fn only_one_thread_works_on_a_unit_and_others_go_on() {
        let units = Units::default();
        let inside = AtomicU32::new(0);
        let stranger = units.turn(99);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = units.turn(7);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        drop(stranger);
        assert_eq!(units.len(), 0);
    }
}
