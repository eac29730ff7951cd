// SPDX-License-Identifier: GPL-2.0-or-later
//! What we have in the SAD.
//!
//! Owns a record per installed SA: where it is, whose it is, and when it was last seen working.
//! Called by `backend/` and `events/`. Must not do I/O, and must not keep keys.
#![forbid(unsafe_code)]

mod activity;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Lifetime, Offload, Placement, SaId, SaKey};

pub use activity::{Finding, Reading, Sample, What};

use activity::Activity;

/// An SA that we installed.
#[derive(Clone, Debug)]
pub struct SaRecord {
    /// Addresses, SPI, protocol, mark, interface ID.
    pub id: SaId,
    /// reqid.
    pub reqid: u32,
    /// CHILD_SA and connection, for messages.
    pub name: String,
    /// Packets come in by it.
    pub inbound: bool,
    /// What was asked for.
    pub wanted: Offload,
    /// What it is.
    pub placement: Placement,
    activity: Activity,
}

impl SaRecord {
    /// A record of an SA that was just installed.
    pub fn new(
        id: &SaId,
        reqid: u32,
        name: &str,
        inbound: bool,
        wanted: Offload,
        placement: Placement,
    ) -> Self {
        Self {
            id: *id,
            reqid,
            name: name.to_owned(),
            inbound,
            wanted,
            placement,
            activity: Activity::default(),
        }
    }

    /// With the limits in bytes and packets to be looked after; `own` if the device does not keep
    /// them.
    #[must_use]
    pub fn with_limits(mut self, limits: Lifetime, own: bool) -> Self {
        self.activity = Activity::new(limits, own);
        self
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Sad {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Apart, since a table has room for up to twice as many as are in it.
    records: HashMap<SaKey, Box<SaRecord>>,
    /// Those in packet mode.
    packet: HashSet<SaKey>,
}

impl Table {
    fn note_mode(&mut self, key: &SaKey) {
        let packet = self
            .records
            .get(key)
            .is_some_and(|record| record.placement.is_packet());
        if packet {
            self.packet.insert(*key);
        } else {
            self.packet.remove(key);
        }
    }
}

impl Sad {
    /// Remembers an SA; one with the same key is replaced, as the kernel did.
    pub fn insert(&self, record: SaRecord) {
        let (mut table, key) = (self.lock(), record.id.key());
        table.records.insert(key, Box::new(record));
        table.note_mode(&key);
    }

    /// A copy of the record.
    pub fn get(&self, key: &SaKey) -> Option<SaRecord> {
        let table = self.lock();
        table.records.get(key).map(|record| (**record).clone())
    }

    /// Forgets an SA.
    pub fn remove(&self, key: &SaKey) -> Option<SaRecord> {
        let mut table = self.lock();
        let record = table.records.remove(key);
        table.note_mode(key);
        record.map(|record| *record)
    }

    /// Forgets all.
    pub fn clear(&self) -> Vec<SaRecord> {
        let table = std::mem::take(&mut *self.lock());
        let records = table.records.into_values();
        records.map(|record| *record).collect()
    }

    /// Records that fulfil a condition, copied.
    pub fn select(&self, mut condition: impl FnMut(&SaRecord) -> bool) -> Vec<SaRecord> {
        let table = self.lock();
        let records = table.records.values();
        records
            .filter(|record| condition(record))
            .map(|record| (**record).clone())
            .collect()
    }

    /// Notes where an SA is now.
    pub fn place(&self, key: &SaKey, placement: Placement) {
        let mut table = self.lock();
        if let Some(record) = table.records.get_mut(key) {
            record.placement = placement;
        }
        table.note_mode(key);
    }

    /// Notes the packet counter at monotonic second `now`; returns when it was last seen to grow, 0
    /// if never.
    pub fn observe(&self, key: &SaKey, packets: u64, now: i64) -> i64 {
        let mut table = self.lock();
        let record = table.records.get_mut(key);
        record.map_or(0, |record| record.activity.observe(packets, now))
    }

    /// Keys and sources of the SAs in packet mode.
    pub fn in_packet_mode(&self) -> Vec<(SaKey, IpAddr)> {
        let table = self.lock();
        let records = table.packet.iter().filter_map(|key| table.records.get(key));
        records
            .map(|record| (record.id.key(), record.id.src.ip))
            .collect()
    }

    /// Notes readings at monotonic second `now`; returns what follows from them.
    pub fn sample(&self, samples: &[Sample], now: i64) -> Vec<Finding> {
        let mut table = self.lock();
        let mut findings = Vec::new();
        for sample in samples {
            let Some(record) = table.records.get_mut(&sample.key) else {
                continue;
            };
            for what in record.activity.sample(sample, now) {
                findings.push(Finding {
                    id: record.id,
                    name: record.name.clone(),
                    bytes: sample.bytes,
                    packets: sample.packets,
                    what,
                });
            }
        }
        findings
    }

    /// What was last read of an SA in packet mode, if that was not long before monotonic second `now`.
    pub fn reading(&self, key: &SaKey, now: i64) -> Option<Reading> {
        let table = self.lock();
        let record = table
            .records
            .get(key)
            .filter(|_| table.packet.contains(key));
        record?.activity.reading(now)
    }

    /// The kernel reported that an SA reached a limit.
    pub fn expired(&self, key: &SaKey, hard: bool) {
        if let Some(record) = self.lock().records.get_mut(key) {
            record.activity.told(hard);
        }
    }

    /// Number of SAs.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Nothing is installed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Single map operations only: there is no half-made change to fear after a panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Mark, Proto, Spi};

    fn id(spi: u32) -> SaId {
        SaId {
            src: Addr::new("192.0.2.1".parse().unwrap()),
            dst: Addr::new("192.0.2.2".parse().unwrap()),
            spi: Spi(spi),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: 0,
        }
    }

    #[test]
    fn only_packet_mode_is_looked_after_and_an_unknown_sa_was_never_used() {
        let sad = Sad::default();
        let record =
            |spi, placement| SaRecord::new(&id(spi), 1, "net", true, Offload::Auto, placement);
        assert_eq!(sad.observe(&id(1).key(), 5, 100), 0);
        sad.insert(record(1, Placement::Packet(2)));
        sad.insert(record(2, Placement::Software));
        assert_eq!(sad.observe(&id(1).key(), 5, 100), 100);
        let keys = || -> Vec<SaKey> { sad.in_packet_mode().iter().map(|sa| sa.0).collect() };
        assert_eq!(keys(), [id(1).key()]);
        sad.place(&id(1).key(), Placement::Crypto(2));
        assert!(keys().is_empty());
        sad.insert(record(3, Placement::Packet(2)));
        sad.remove(&id(3).key());
        assert!(keys().is_empty());
    }

    #[test]
    fn records_are_found_by_what_the_kernel_keys_them_by() {
        let sad = Sad::default();
        sad.insert(SaRecord::new(
            &id(1),
            7,
            "net",
            true,
            Offload::No,
            Placement::Software,
        ));
        let mut marked = id(1);
        marked.mark = Mark {
            value: 1,
            mask: u32::MAX,
        };
        assert!(sad.get(&marked.key()).is_none());
        assert_eq!(sad.get(&id(1).key()).unwrap().reqid, 7);
        assert_eq!(sad.select(|record| record.reqid == 7).len(), 1);
        assert!(sad.remove(&id(1).key()).is_some());
        assert!(sad.is_empty());
    }
}
