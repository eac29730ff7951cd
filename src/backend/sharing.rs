// SPDX-License-Identifier: GPL-2.0-or-later
//! Two CHILD_SAs with one reqid that the configuration set: which of them a device serves.
//!
//! Owns what tells them apart, their traffic selectors, and the count of inbound SAs in packet mode
//! by selectors and device. Called by `units.rs`. Must not do I/O.
//!
//! A device finds the outbound SA by reqid alone, so one with other selectors would have its packets
//! sent by the first one's SA. charon itself gives one reqid to equal selectors only; with `reqid` in
//! swanctl.conf it does as it is told.

use std::sync::Arc;

use crate::few::Few;
use crate::model::{SaSpec, TrafficSelector};

/// What the SAs of a CHILD_SA are for, in the order of charon's lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selectors {
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
}

impl Selectors {
    /// Those of an SA that is to be installed; `None` if it was told none.
    pub(crate) fn of(spec: &SaSpec) -> Option<Arc<Self>> {
        if spec.src_ts.is_empty() && spec.dst_ts.is_empty() {
            return None;
        }
        let (src, dst) = (spec.src_ts.clone(), spec.dst_ts.clone());
        let (local, remote) = if spec.inbound { (dst, src) } else { (src, dst) };
        Some(Arc::new(Self { local, remote }))
    }
}

/// Inbound SAs in packet mode that are there, by selectors and device.
#[derive(Debug, Default)]
pub(crate) struct Receivers(Few<(Option<Arc<Selectors>>, u32), usize>);

impl Receivers {
    /// One more.
    pub(crate) fn add(&mut self, selectors: &Option<Arc<Selectors>>, ifindex: u32) {
        let key = (selectors.clone(), ifindex);
        match self.0.get_mut(&key) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(key, 1);
            }
        }
    }

    /// One less.
    pub(crate) fn remove(&mut self, selectors: &Option<Arc<Selectors>>, ifindex: u32) {
        let key = (selectors.clone(), ifindex);
        match self.0.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.0.remove(&key);
            }
        }
    }

    /// The kernel flushed a device.
    pub(crate) fn device_flushed(&mut self, ifindex: u32) {
        let there = self.0.keys().filter(|(_, device)| *device == ifindex);
        for key in there.cloned().collect::<Vec<_>>() {
            self.0.remove(&key);
        }
    }

    /// A device that receives for these selectors; for any if they are not known.
    pub(crate) fn device(&self, selectors: Option<&Arc<Selectors>>) -> Option<u32> {
        let serving = |of: &Option<Arc<Selectors>>| match (of, selectors) {
            (Some(of), Some(selectors)) => of == selectors,
            // Those of an SA whose addresses were changed are not known.
            _ => true,
        };
        let mut groups = self.0.keys().filter(|(of, _)| serving(of));
        groups.next().map(|(_, device)| *device)
    }

    /// The devices that receive for other selectors than these.
    pub(crate) fn of_others(&self, selectors: &Selectors) -> Vec<u32> {
        let others = self
            .0
            .keys()
            .filter(|(of, _)| of.as_deref().is_some_and(|of| of != selectors));
        others.map(|(_, device)| *device).collect()
    }
}
