// SPDX-License-Identifier: GPL-2.0-or-later
//! add_sa, query_sa, del_sa, flush_sas.
//!
//! Owns the steps from charon's wish to an SA in the kernel and the NIC, and the line that says why
//! one failed. Called by the methods in `mod.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, KernelError, Result};
use crate::model::algorithm;
use crate::model::{
    Direction, Lifetime, Limit, Mode as IpsecMode, Offload, Placement, PolicyKind, Proto, SaId,
    SaSpec, Selector, Spi, TrafficSelector, Transforms, Usage,
};
use crate::offload::{
    Cause, Device, Mode, PolicyExtras, PolicyFacts, Refusal, SaExtras, SaFacts, check_policy,
    check_sa, explain, fit_lifetime,
};
use crate::sad::SaRecord;
use crate::xfrm::{Replay, SaMessage, unix_now};

use super::Core;
use super::device::Question;
use super::fallback::Newcomer;
use super::recovery;
use super::sharing::Selectors;
use super::statistics;
use super::units::{Member, UnitTurn};

/// Outbound SAs in a row that may be refused before charon is not asked for another rekey.
const REFUSALS: u32 = 8;
/// So long the kernel may take from finding a policy to finding the SA that it names, on a machine that
/// has much else to do.
const LOOKUP: Duration = Duration::from_millis(50);

impl Core {
    pub(super) fn add_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        if !spec.inbound {
            self.find_partner(id, spec);
        }
        self.try_add_sa(id, spec).inspect_err(|error| {
            log::error!(
                "unable to add SAD entry with SPI {}{} ({} {} === {}, reqid {}, {}): {error}",
                id.spi,
                for_name(&spec.name),
                id.proto,
                id.src,
                id.dst,
                spec.reqid,
                algorithm::describe(
                    (spec.enc_alg, spec.enc_key.len() * 8),
                    (spec.int_alg, spec.int_key.len() * 8)
                )
            );
            if !spec.inbound {
                self.rekey_half(spec);
            }
        })
    }

    /// Where both sides rekey a CHILD_SA at the same moment, two inbound SAs are there before an outbound
    /// one is: only charon knows whose it is (child_rekey.c). Nobody else looks for these meanwhile: the
    /// name has the unique ID of the IKE_SA, and one thread at a time works on it.
    fn find_partner(&self, id: &SaId, spec: &SaSpec) {
        let several = self
            .units
            .look(spec.reqid, |unit| unit.several_await(&spec.name));
        if several == Some(true)
            && let Some(inbound) = self.host.inbound_of(id.spi)
        {
            self.units
                .change(spec.reqid, |unit| unit.expect_partner(&spec.name, inbound));
        }
    }

    /// charon keeps a CHILD_SA whose outbound SA was refused after a rekey, and deletes the one
    /// before it (child_rekey.c, child_delete.c): without another rekey nothing is sent until its
    /// lifetime is over. A NIC that refuses again and again is asked ever more seldom.
    fn rekey_half(&self, spec: &SaSpec) {
        let mut half = None;
        self.units.change(spec.reqid, |unit| {
            half = unit.outbound_refused(&spec.name);
        });
        let Some((key, times)) = half else {
            return;
        };
        if times > REFUSALS {
            log::error!(
                "{times} outbound SAs of {} were refused in a row: it sends nothing until charon \
                 rekeys it, see the refusals above for what to do",
                spec.name
            );
        } else if let Some(record) = self.sad.get(&key) {
            self.recovery.replace_half(&record, times);
        }
    }

    /// Its generation may have been bound to a device that the peer was behind a moment ago; who
    /// looks after ways did not see this SA then.
    fn follow_way(&self, id: &SaId, placement: Placement, mark: u32) {
        let Some(ifindex) = placement.device() else {
            return;
        };
        let (peer, local) = (id.dst.ip, Some(id.src.ip));
        let elsewhere = self
            .path_to(peer, local, mark)
            .filter(|route| route.oif != ifindex)
            .and_then(|route| self.device_facts(route.oif).ok())
            .filter(|device| device.ifindex != ifindex);
        if let (Some(device), Some(record)) = (elsewhere, self.sad.get(&id.key())) {
            log::info!(
                "{} of {} was installed on {}, but the route to {peer} leads through {} by now: it \
                 is to be rekeyed",
                record.id,
                record.name,
                self.device_name(ifindex),
                device.name
            );
            self.recovery.replace(&[record], recovery::Cause::Moved);
        }
    }

    fn try_add_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        if keeps_selector(spec.mode)
            && let Some(name) = &spec.interface
        {
            // Before anything else: no other mode of offload would mend it.
            self.ifindex_of(name)?;
        }
        let Some((comp, comp_spec)) = ipcomp_of(id, spec) else {
            return self.add_one_sa(id, spec);
        };
        // Compression comes first on the way out: it has the mode, and ESP wraps what it made.
        let nothing = Transforms::Separate {
            crypt: None,
            auth: None,
        };
        self.install_sa(&comp, &comp_spec, &nothing, Placement::Software)?;
        let mut inner = SaSpec {
            mode: IpsecMode::Transport,
            ..spec.clone()
        };
        if !keeps_selector(spec.mode) {
            // What comes out of the compression has other addresses, and may be of either family.
            inner.src_ts.clear();
            inner.dst_ts.clear();
        }
        let result = self.add_one_sa(id, &inner);
        if result.is_err()
            && let Err(error) = self.kernel.del_sa(&comp.key(), comp.src.ip)
        {
            log::error!("unable to delete SAD entry with CPI {}: {error}", comp.spi);
        }
        result
    }

    fn add_one_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        let transforms = algorithm::resolve(spec.enc_alg, spec.int_alg, |kind, number| {
            self.host.lookup_algorithm(kind, number)
        })?;
        let facts = {
            let config = self.config();
            let settings = (config.allow_no_replay, config.set_proto_port_transport_sa);
            facts_of(id, spec, &transforms, settings)
        };
        let selectors = Selectors::of(spec);
        let turn = self.units.turn(spec.reqid);
        let taken = selectors.as_ref().map_or_else(Vec::new, |selectors| {
            turn.view(|unit| unit.taken_by_others(selectors))
        });
        let foreign = self.foreign_devices(spec.reqid);
        let check = |device: &Device, mode| {
            let facts = SaFacts {
                reqid_taken: taken.contains(&device.ifindex),
                reqid_foreign: foreign.contains(&device.ifindex),
                ..facts.clone()
            };
            check_sa(device, mode, &facts)?;
            check_policies_to_come(device, mode, spec)
        };
        let (local, peer) = if spec.inbound {
            (id.dst.ip, id.src.ip)
        } else {
            (id.src.ip, id.dst.ip)
        };
        let question = Question {
            name: &spec.name,
            reqid: spec.reqid,
            wanted: spec.offload,
            local: Some(local),
            peer: Some(peer),
            mark: spec.set_mark.value,
            apart: !taken.is_empty(),
            check: &check,
        };
        let newcomer = if spec.inbound {
            Newcomer::Inbound
        } else {
            Newcomer::Outbound(&spec.name)
        };
        let mut placement = self.place(&turn, &question, &newcomer)?;
        // Each round is a mode lower than the one before.
        loop {
            if spec.offload == Offload::No {
                // It may join a unit in crypto mode: the kernel's SPD does not tell them apart.
                placement = Placement::Software;
            }
            if let Placement::Packet(ifindex) = placement {
                self.prepare_next_hop(ifindex, peer, local, question.mark);
            }
            let flaps = self.recovery.flaps();
            let refusal = match self.install_sa(id, spec, &transforms, placement) {
                Ok(limits) => match self.crypto_that_is_software(id, placement) {
                    None => {
                        self.join(&turn, (id, spec), &selectors, placement, limits);
                        self.recovery.installed(&id.key(), flaps);
                        if !spec.inbound {
                            self.follow_way(id, placement, question.mark);
                        }
                        self.note_full(&turn, spec, placement);
                        return Ok(());
                    }
                    Some(refusal) if spec.offload == Offload::Auto => {
                        // Back to what get_spi left, so that the next try finds its SPI.
                        self.kernel.del_sa(&id.key(), id.src.ip)?;
                        refusal
                    }
                    Some(refusal) => {
                        log::info!(
                            "SAD entry with SPI {}{} is in software: {refusal}",
                            id.spi,
                            for_name(&spec.name)
                        );
                        self.join(&turn, (id, spec), &selectors, Placement::Software, limits);
                        return Ok(());
                    }
                },
                Err(error) if placement == Placement::Software => return Err(error.into()),
                Err(error) if spec.offload == Offload::Auto && blames_offload(&error) => {
                    explain(&error)
                }
                Err(error) => {
                    let refusal = explain(&error);
                    let device = placement.device().unwrap_or_default();
                    return Err(Error::Refused {
                        reason: format!(
                            "failed to install SA with {placement} HW offload on {}: {}",
                            self.device_name(device),
                            refusal.reason
                        ),
                        remedy: refusal.remedy.to_owned(),
                    });
                }
            };
            placement = self.lower(&turn, &question, placement, &refusal, &newcomer)?;
        }
    }

    /// A unit that was refused for want of room waits for it; its outbound SA is the last to come.
    fn note_full(&self, turn: &UnitTurn<'_>, spec: &SaSpec, placement: Placement) {
        let refused = turn.view(|unit| match unit.cause {
            Some(Cause::Room | Cause::Busy) => unit.refused_by,
            _ => None,
        });
        if let Some(ifindex) = refused
            && spec.offload == Offload::Auto
            && !placement.is_packet()
            && !spec.inbound
        {
            self.wait_for_room(spec.reqid, ifindex);
        }
    }

    /// The SA is in the kernel: it belongs to its unit from now on.
    fn join(
        &self,
        turn: &UnitTurn<'_>,
        (id, spec): (&SaId, &SaSpec),
        selectors: &Option<Arc<Selectors>>,
        placement: Placement,
        limits: Limits,
    ) {
        let (key, src) = (id.key(), id.src.ip);
        let record = SaRecord::new(
            id,
            spec.reqid,
            &spec.name,
            spec.inbound,
            spec.offload,
            placement,
        );
        self.sad
            .insert(record.with_limits(limits.wanted, limits.own));
        if placement.is_packet()
            && let Some(task) = self.statistics.get()
        {
            self.ticker.wake_in(*task, statistics::INTERVAL);
        }
        turn.change(|unit| {
            let (name, wanted) = (&spec.name, spec.offload);
            let member = Member::new(key, src, name, spec.inbound, wanted, placement);
            unit.add_sa(member.with_selectors(selectors.clone()));
        });
    }

    /// Sends the message, and again without limits that the device does not keep: the plugin counts
    /// then (`statistics.rs`).
    fn install_sa(
        &self,
        id: &SaId,
        spec: &SaSpec,
        transforms: &Transforms,
        placement: Placement,
    ) -> std::result::Result<Limits, KernelError> {
        let wanted = if placement.is_packet() {
            fit_lifetime(spec.lifetime, spec.inbound, spec.esn)
        } else {
            spec.lifetime
        };
        let mut kept = wanted;
        loop {
            let fitted;
            let spec = if kept == spec.lifetime {
                spec
            } else {
                fitted = SaSpec {
                    lifetime: kept,
                    ..spec.clone()
                };
                &fitted
            };
            match self.send_sa(id, spec, transforms, placement) {
                Ok(()) => {
                    let own = kept != wanted;
                    return Ok(Limits { wanted, own });
                }
                Err(error) if placement.is_packet() => {
                    let Some(fewer) = without_limits(kept, &error) else {
                        return Err(error);
                    };
                    log::info!(
                        "SAD entry with SPI {}{}: the device keeps no such limits, the plugin counts: \
                         {error}",
                        id.spi,
                        for_name(&spec.name)
                    );
                    kept = fewer;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// An SPI that get_spi reserved may have expired: then it is a new SA.
    fn send_sa(
        &self,
        id: &SaId,
        spec: &SaSpec,
        transforms: &Transforms,
        placement: Placement,
    ) -> std::result::Result<(), KernelError> {
        let ts = (spec.src_ts.as_slice(), spec.dst_ts.as_slice());
        let selector = self
            .sa_selector(spec.mode, ts, spec.interface.as_deref())
            .map_err(|error| KernelError {
                text: Some(error.to_string()),
                ..KernelError::new("XFRM_MSG_NEWSA", libc::ENODEV)
            })?;
        let behind_ipcomp = spec.ipcomp != 0 && id.proto != Proto::Comp;
        let message = SaMessage {
            id,
            spec,
            transforms,
            placement,
            selector,
            any_family: behind_ipcomp && spec.src_ts.is_empty() && self.kernel.can_any_family(),
            replay: replay_of(spec, placement),
            iptfs: self.config().iptfs,
        };
        log::debug!(
            "adding SAD entry with SPI {} and reqid {} in {placement} mode{}",
            id.spi,
            spec.reqid,
            for_name(&spec.name)
        );
        let add = || match self.kernel.new_sa(&message, spec.update) {
            Err(error) if spec.update && error.errno == libc::ESRCH => {
                log::debug!("allocated SPI {} not found anymore, adding it anew", id.spi);
                self.kernel.new_sa(&message, false)
            }
            result => result,
        };
        let Placement::Packet(ifindex) = placement else {
            return add();
        };
        self.patiently(ifindex, add)?;
        let (key, src) = (id.key(), id.src.ip);
        self.honoured.check(
            "XFRM_MSG_NEWSA",
            || Ok(self.kernel.get_sa(&key, src)?.placement.is_packet()),
            || self.kernel.del_sa(&key, src),
        )
    }

    /// XFRM puts an SA into software without a word if the driver says EOPNOTSUPP in crypto mode
    /// (net/xfrm/xfrm_device.c: xfrm_dev_state_add).
    fn crypto_that_is_software(&self, id: &SaId, placement: Placement) -> Option<Refusal> {
        let Placement::Crypto(ifindex) = placement else {
            return None;
        };
        let state = self.kernel.get_sa(&id.key(), id.src.ip).ok()?;
        if state.placement != Placement::Software {
            return None;
        }
        Some(Refusal::new(format!(
            "HW offload is not supported by device {}: no IPsec offload for this SA",
            self.device_name(ifindex)
        )))
    }

    /// Selector on the SA itself, for modes that keep the addresses (kernel_netlink_ipsec.c:
    /// add_sa): the packet's addresses are checked against it after decryption. 0 as interface would
    /// mean any, so that one that is not there is refused.
    pub(super) fn sa_selector(
        &self,
        mode: IpsecMode,
        ts: (&[TrafficSelector], &[TrafficSelector]),
        interface: Option<&str>,
    ) -> Result<Option<Selector>> {
        if !matches!(mode, IpsecMode::Transport | IpsecMode::Beet) {
            return Ok(None);
        }
        let (Some(src), Some(dst)) = (ts.0.first(), ts.1.first()) else {
            return Ok(None);
        };
        let ifindex = interface.map_or(Ok(0), |name| self.ifindex_of(name))?;
        let mut selector = Selector::from_ts(src, dst, ifindex);
        if !self.config().set_proto_port_transport_sa {
            // One SA may serve policies that differ in protocol and ports.
            selector.proto = 0;
            selector.sport = crate::model::PortMatch::ANY;
            selector.dport = crate::model::PortMatch::ANY;
        }
        Ok(Some(selector))
    }

    pub(super) fn query_sa(&self, id: &SaId) -> Result<Usage> {
        let key = id.key();
        // The NIC's own counters are no younger, and the kernel would have list-sas wait for the NIC.
        if self.patience.is_slow(self.ticker.now())
            && let Some(reading) = self.sad.reading(&key, self.seconds())
        {
            return Ok(Usage {
                bytes: reading.bytes,
                packets: reading.packets,
                use_time: reading.used,
            });
        }
        let state = match self.kernel.get_sa(&key, id.src.ip) {
            Ok(state) => state,
            Err(error) if error.errno == libc::ESRCH => {
                let text = format!("querying SAD entry with SPI {} failed: {error}", id.spi);
                log::info!("{text}");
                return Err(Error::NotFound(text));
            }
            Err(error) => {
                log::error!("querying SAD entry with SPI {} failed: {error}", id.spi);
                return Err(error.into());
            }
        };
        let now = self.seconds();
        let observed = self.sad.observe(&key, state.packets, now);
        let use_time = match state.last_used {
            // From the clock on the wall to the one that does not jump.
            Some(used) if used > 0 => (now - (unix_now() - used as i64)).max(1),
            _ => observed,
        };
        Ok(Usage {
            bytes: state.bytes,
            packets: state.packets,
            use_time,
        })
    }

    pub(super) fn del_sa(&self, id: &SaId, cpi: u16) -> Result<()> {
        let key = id.key();
        if let Some(comp) = comp_id(id, cpi)
            && let Err(error) = self.kernel.del_sa(&comp.key(), comp.src.ip)
            && error.errno != libc::ESRCH
        {
            log::error!("unable to delete SAD entry with CPI {}: {error}", comp.spi);
        }
        let record = self.sad.get(&key);
        if let Some(record) = &record {
            self.let_packets_pass(record);
        }
        // Nobody moves it, or re-creates it in another mode, while its unit is ours.
        let turn = record.map(|record| self.units.turn(record.reqid));
        let in_hand = self.recovery.take_in_hand(&key);
        let lingers = turn.as_ref().is_some_and(|turn| self.lingers(turn, &key));
        let result = if lingers {
            Ok(())
        } else {
            self.kernel.del_sa(&key, id.src.ip)
        };
        self.sad.remove(&key);
        drop(in_hand);
        if let Some(turn) = turn {
            let left = turn.change(|unit| unit.remove_sa((key.dst, key.spi)));
            if turn.view(|unit| !unit.receives_in_nic()) {
                self.end_lingering_of(turn.reqid());
            }
            if let Some(Placement::Packet(ifindex)) = left.as_ref().map(|sa| sa.placement) {
                self.patience.freed(ifindex, self.ticker.now());
            }
            if left.is_some_and(|sa| sa.inbound && sa.placement.is_packet())
                && let Err(error) = self.settle(&turn)
            {
                log::error!("policies of reqid {} stay behind: {error}", turn.reqid());
            }
        }
        match result {
            Ok(()) => {
                if !lingers {
                    log::debug!("deleted SAD entry with SPI {}", id.spi);
                }
                Ok(())
            }
            // Expired, or flushed with its device.
            Err(error) if error.errno == libc::ESRCH => {
                Err(Error::NotFound(format!("no SAD entry with SPI {}", id.spi)))
            }
            Err(error) => {
                log::error!("unable to delete SAD entry with SPI {}: {error}", id.spi);
                Err(error.into())
            }
        }
    }

    /// A packet that found the policy of before a rekey looks for the SA that it named: it is not
    /// deleted under its hands (docs/units.md).
    fn let_packets_pass(&self, record: &SaRecord) {
        let name = (record.id.dst.ip, record.id.spi);
        if let Some(left) = self.units.left(record.reqid, name) {
            let passed = self.ticker.now().saturating_sub(left);
            if let Some(rest) = LOOKUP.checked_sub(passed) {
                self.ticker.pause(rest);
            }
        }
    }

    pub(super) fn flush_sas(&self) -> Result<()> {
        // A device sends in clear what its policy finds no SA for.
        let shut = self.shut_all();
        self.lingering.clear();
        // Forgotten first: who finds that the kernel has none any more must find that none is
        // wanted, and tell charon of no loss.
        let forgotten = self.sad.clear();
        let mut failure = None;
        for proto in [Proto::Ah, Proto::Esp, Proto::Comp] {
            if let Err(error) = self.kernel.flush_sas(proto) {
                log::error!("unable to flush {proto} SAD entries: {error}");
                failure.get_or_insert(error);
            }
        }
        if let Some(shut) = shut {
            shut.keep();
        }
        if let Some(ledger) = self.kernel.ledger().filter(|_| failure.is_none()) {
            ledger.clear_kind("sa ");
        }
        for record in forgotten {
            let key = record.id.key();
            self.units.change(record.reqid, |unit| {
                unit.remove_sa((key.dst, key.spi));
            });
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Removes the SAs we know, and only those.
    pub(super) fn remove_all_sas(&self) {
        for record in self.sad.select(|_| true) {
            // Each failure has its own line.
            let _ = self.del_sa(&record.id, 0);
        }
        self.end_all_lingering();
    }
}

/// Limits in bytes and packets of an SA that was installed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    wanted: Lifetime,
    /// The device does not keep all of them.
    own: bool,
}

/// What is left of limits after the device refused one kind; `None` if that was not the reason.
fn without_limits(limits: Lifetime, error: &KernelError) -> Option<Lifetime> {
    let text = error.plain_text()?.to_ascii_lowercase();
    if !text.contains("limit") {
        return None;
    }
    let mut fewer = limits;
    if !text.contains("packet") {
        fewer.bytes = Limit::default();
    }
    if !text.contains("byte") {
        fewer.packets = Limit::default();
    }
    (fewer != limits).then_some(fewer)
}

/// ` for NAME`, or nothing, where it is shown.
pub(super) fn for_name(name: &str) -> ForName<'_> {
    ForName(name)
}

/// See [`for_name`].
pub(super) struct ForName<'a>(&'a str);

impl fmt::Display for ForName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(" for ")?;
        f.write_str(self.0)
    }
}

/// Whether an SA behind one of IPComp has a selector: not if that one changes the addresses.
pub(super) fn keeps_selector(mode: IpsecMode) -> bool {
    matches!(mode, IpsecMode::Transport | IpsecMode::Beet)
}

/// The IPComp SA that goes with an ESP or AH SA.
pub(super) fn comp_id(id: &SaId, cpi: u16) -> Option<SaId> {
    (cpi != 0).then_some(SaId {
        spi: Spi(u32::from(cpi)),
        proto: Proto::Comp,
        ..*id
    })
}

/// What is added for compression beside the SA itself.
fn ipcomp_of(id: &SaId, spec: &SaSpec) -> Option<(SaId, SaSpec)> {
    if spec.ipcomp == 0 {
        return None;
    }
    let comp = comp_id(id, spec.cpi)?;
    let comp_spec = SaSpec {
        lifetime: Default::default(),
        enc_alg: algorithm::UNDEFINED,
        enc_key: Default::default(),
        int_alg: algorithm::UNDEFINED,
        int_key: Default::default(),
        replay_window: 0,
        tfc: 0,
        encap: false,
        offload: Offload::No,
        esn: false,
        ..spec.clone()
    };
    Some((comp, comp_spec))
}

/// Errors that a lower mode does not mend.
pub(super) fn blames_offload(error: &KernelError) -> bool {
    !matches!(
        error.errno,
        libc::EEXIST | libc::ESRCH | libc::EPERM | libc::ETIMEDOUT | libc::EAGAIN | libc::ENOBUFS
    )
}

/// How the anti-replay window is written. Outbound SAs have none (the kernel refuses one on SAs that
/// say their direction). An inbound SA in packet mode always gets the long form: a NIC arms
/// anti-replay for that form only (drivers/net/ethernet/mellanox/mlx5/core/en_accel/ipsec.c).
fn replay_of(spec: &SaSpec, placement: Placement) -> Replay {
    let window = if spec.inbound { spec.replay_window } else { 0 };
    let long = spec.esn || window > 32 || (placement.is_packet() && spec.inbound);
    match (long, window) {
        (true, window) => Replay::Esn {
            window,
            esn: spec.esn,
        },
        (false, 0) => Replay::None,
        (false, window) => Replay::Legacy(window),
    }
}

fn facts_of(
    id: &SaId,
    spec: &SaSpec,
    transforms: &Transforms,
    (allow_no_replay, with_proto): (bool, bool),
) -> SaFacts {
    let (icv_bits, aes_gcm) = match transforms {
        Transforms::Aead { name, icv_bits } => (Some(*icv_bits), name == "rfc4106(gcm(aes))"),
        Transforms::Separate { .. } => (None, false),
    };
    // The salt of four octets is part of the key material (RFC 4106, 8.1).
    let salt = if aes_gcm { 4 } else { 0 };
    SaFacts {
        proto: id.proto,
        mode: spec.mode,
        inbound: spec.inbound,
        icv_bits,
        aes_gcm,
        key_bits: spec.enc_key.len().saturating_sub(salt) * 8,
        esn: spec.esn,
        replay_window: spec.replay_window,
        allow_no_replay,
        encap: spec.encap,
        tfc: spec.tfc != 0,
        ipcomp: spec.ipcomp != 0,
        if_id: id.if_id,
        reqid: spec.reqid,
        reqid_taken: false,
        reqid_foreign: false,
        lifetime: fit_lifetime(spec.lifetime, spec.inbound, spec.esn),
        more: SaExtras {
            cross_family: spec
                .src_ts
                .iter()
                .any(|ts| ts.from.is_ipv4() != id.dst.ip.is_ipv4()),
            per_cpu: spec.cpu.is_some(),
            label: spec.label.is_some(),
            mark: id.mark.is_set(),
            // Only transport mode has a selector on the SA, and only with this setting a protocol.
            selector_proto: match (keeps_selector(spec.mode) && with_proto, spec.src_ts.first()) {
                (true, Some(ts)) => ts.proto,
                _ => 0,
            },
        },
    }
}

/// The policies follow the SAs: what they will be is known now, and it is better to find out before
/// the NIC has anything.
fn check_policies_to_come(
    device: &Device,
    mode: Mode,
    spec: &SaSpec,
) -> std::result::Result<(), Refusal> {
    if mode != Mode::Packet {
        return Ok(());
    }
    let pairs = |src: &TrafficSelector, dst: &TrafficSelector| PolicyFacts {
        dir: if spec.inbound {
            Direction::In
        } else {
            Direction::Out
        },
        kind: PolicyKind::Ipsec,
        selector: Selector::from_ts(src, dst, 0),
        templates: 1,
        reqid: spec.reqid,
        priority: 0,
        more: PolicyExtras::default(),
    };
    for src in &spec.src_ts {
        for dst in &spec.dst_ts {
            if src.from.is_ipv4() == dst.from.is_ipv4() {
                check_policy(device, &pairs(src, dst))?;
            }
        }
    }
    Ok(())
}
