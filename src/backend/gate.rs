// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the backend tells the gate what is about to be installed and what is gone.
//!
//! Owns the order: gate closed, then SAs, then policies, and the reverse on the way out; and the
//! refusal of packet mode without a gate. Called by the methods in `mod.rs`. What is guarded and how
//! is the business of `guard/`.

use std::sync::Arc;
use std::time::Duration;

use super::ticker::{Task, TaskId, Ticker};
use super::{Backend, Core};
use crate::error::{Error, KernelError, Result};
use crate::guard::{Cover, GuardWatch, Shut};
use crate::host::Host;
use crate::model::{Direction, Offload, PolicyId, PolicyKind, PolicySpec, SaId, SaSpec, SaUpdate};
use crate::spd::Turn;

/// When a gate that was just closed is compared with the kernel's for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(60);

/// Watches over the gate while it exists.
pub(super) struct GateWatch {
    watch: GuardWatch,
    ticker: Arc<Ticker>,
}

impl GateWatch {
    /// Takes over what a former daemon left, and subscribes to foreign changes; `None` if the gate is
    /// switched off, or if the kernel has none.
    pub(super) fn open(core: &Core) -> Option<Arc<Self>> {
        if core.guard.settings().cover == Cover::No {
            core.guard.leave_what_is_left();
            return None;
        }
        if let Err(error) = core.guard.adopt() {
            log::error!("unable to take over the gate of a former daemon: {error}");
        }
        match GuardWatch::open(&core.guard) {
            Ok(watch) => Some(Arc::new(Self {
                watch,
                ticker: Arc::clone(&core.ticker),
            })),
            Err(error) => {
                log::warn!("unable to watch the gate: {error}");
                None
            }
        }
    }

    /// The socket to be watched for readability, by itself.
    pub(super) fn events(&self) -> &GuardWatch {
        &self.watch
    }

    /// From now on the tables are compared now and then.
    pub(super) fn begin(&self, task: TaskId) {
        self.ticker.wake_in(task, FIRST_LOOK);
    }
}

impl Task for GateWatch {
    fn run(&self, now: Duration) -> Option<Duration> {
        self.watch.tick().map(|after| now + after)
    }
}

impl crate::host::Readable for GateWatch {
    fn readable(&self) -> bool {
        crate::host::Readable::readable(self.events())
    }
}

/// Without a gate there is no packet mode; in other modes the kernel's own policies hold.
fn or_refuse(result: Result<()>, wanted: Offload, name: &str) -> Result<()> {
    result.or_else(|error| match wanted {
        Offload::Packet => {
            log::error!("packet mode is refused for CHILD_SA {name}: {error}");
            Err(error)
        }
        _ => {
            log::warn!("CHILD_SA {name} has no gate: {error}");
            Ok(())
        }
    })
}

impl Backend {
    pub(super) fn gate_and_add_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        let guard = &self.core.guard;
        or_refuse(guard.close_for_sa(id, spec), spec.offload, &spec.name)?;
        self.look_after_gate();
        self.core.add_sa(id, spec).inspect_err(|_| {
            guard.open_for_sa(&id.key());
        })?;
        // In packet mode its policy opens what was shut; others may have none of ours (`policies = no`).
        if !spec.inbound && spec.offload != Offload::Packet {
            guard.open_shut(spec.reqid);
        }
        Ok(())
    }

    pub(super) fn del_sa_and_gate(&self, id: &SaId, cpi: u16) -> Result<()> {
        let result = self.core.del_sa(id, cpi);
        self.core.guard.open_for_sa(&id.key());
        result
    }

    pub(super) fn update_sa_and_gate(&self, id: &SaId, update: &SaUpdate) -> Result<()> {
        self.core.update_sa(id, update)?;
        let moved = SaId {
            src: update.new_src,
            dst: update.new_dst,
            ..*id
        };
        self.core.guard.move_sa(&id.key(), &moved, update.new_reqid);
        Ok(())
    }

    pub(super) fn gate_and_add_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        // Without a key there is nothing to install, and the method says why.
        let Ok(key) = self.core.policy_key(id) else {
            return self.core.add_policy(id, spec);
        };
        let guard = &self.core.guard;
        or_refuse(
            guard.close_for_policy(id, spec, &key),
            spec.offload,
            &spec.name,
        )
        .inspect_err(|_| {
            // charon does not remove what it could not install.
            if spec.kind == PolicyKind::Pass {
                guard.open_for_policy(spec, &key);
            }
        })?;
        self.look_after_gate();
        self.core.add_policy(id, spec).inspect_err(|_| {
            guard.open_for_policy(spec, &key);
        })
    }

    pub(super) fn del_policy_and_gate(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        // Before it is gone: an interface may be, and then only the SPD knows the key.
        let key = self.core.key_for_removal(id);
        let result = self.core.del_policy(id, spec);
        // charon also removes what it never added (the policies of a rekey whose SAs were refused).
        if let Some(key) = key.filter(|_| !matches!(result, Err(Error::NotFound(_)))) {
            self.core.guard.open_for_policy(spec, &key);
        }
        result
    }

    /// The settings were read again: a gate that was switched off before is watched from now on.
    pub(super) fn watch_gate(&self) {
        if self.gate.get().is_some() || self.core.guard.settings().cover == Cover::No {
            return;
        }
        if let Some(watch) = watch(&self.core, self.core.host.as_ref())
            && let Err((watch, _)) = self.gate.set(watch)
        {
            // Another thread read them at the same time.
            self.core.host.unwatch(watch.events().fd());
        }
    }

    fn look_after_gate(&self) {
        if let Some((watch, task)) = self.gate.get()
            && self.core.guard.is_active()
        {
            watch.begin(*task);
        }
    }
}

impl Core {
    /// Before an installed policy leaves a device: keeps packets that it leads there away, until the result is dropped.
    pub(super) fn shut(&self, turn: &Turn<'_>) -> Option<Shut<'_>> {
        self.guard.shut(reqid_in_device(turn))
    }

    /// The same for all policies.
    pub(super) fn shut_all(&self) -> Option<Shut<'_>> {
        let keys = self.spd.keys();
        let turns = keys.iter().filter_map(|key| self.spd.existing(key));
        self.guard
            .shut(turns.filter_map(|turn| reqid_in_device(&turn)))
    }

    /// Before an offloaded policy goes to a device.
    pub(super) fn gate_device(&self, ifindex: u32) -> std::result::Result<(), KernelError> {
        let name = self.device_name(ifindex);
        if self.guard.uses_device(ifindex, &name) {
            return Ok(());
        }
        self.guard
            .use_device(ifindex, &name)
            .map_err(|error| KernelError {
                request: "the gate",
                errno: libc::EOPNOTSUPP,
                text: Some(error.to_string()),
                attribute: None,
            })
    }
}

/// Whose packets an installed policy leads into a device.
fn reqid_in_device(turn: &Turn<'_>) -> Option<u32> {
    let installed = turn.entry.installed.as_ref()?;
    let leads = turn.key().dir == Direction::Out && installed.offload.is_some();
    // A shunt has no reqid, and leads no packet to an SA.
    (leads && installed.reqid != 0).then_some(installed.reqid)
}

/// Registers the watch with charon and the ticker.
pub(super) fn watch(core: &Core, host: &dyn Host) -> Option<(Arc<GateWatch>, TaskId)> {
    let watch = GateWatch::open(core)?;
    let readable: Arc<dyn crate::host::Readable> = watch.clone();
    if !host.watch(watch.events().fd(), Arc::downgrade(&readable)) {
        log::warn!("charon refuses to watch the gate's socket: foreign changes are found later");
    }
    let task: Arc<dyn Task> = watch.clone();
    let task = core.ticker.register(Arc::downgrade(&task));
    if core.guard.is_active() {
        watch.begin(task);
    }
    Some((watch, task))
}
