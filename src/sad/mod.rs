// SPDX-License-Identifier: GPL-2.0-or-later
//! What we have in the SAD.
//!
//! Owns a record per installed SA: where it is, whose it is, and when it was last seen working.
//! Called by `backend/` and `events/`. Must not do I/O, and must not keep keys.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Offload, Placement, SaId, SaKey};

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
}

/// When the packet counter was last seen to grow. The kernel keeps no time of last use for SAs that
/// are wholly in a NIC (net/xfrm/xfrm_input.c and xfrm_output.c set it, and neither is passed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Activity {
    packets: u64,
    since: i64,
}

/// The table.
#[derive(Debug, Default)]
pub struct Sad {
    records: Mutex<HashMap<SaKey, SaRecord>>,
}

impl Sad {
    /// Remembers an SA; one with the same key is replaced, as the kernel did.
    pub fn insert(&self, record: SaRecord) {
        self.lock().insert(record.id.key(), record);
    }

    /// A copy of the record.
    pub fn get(&self, key: &SaKey) -> Option<SaRecord> {
        self.lock().get(key).cloned()
    }

    /// Forgets an SA.
    pub fn remove(&self, key: &SaKey) -> Option<SaRecord> {
        self.lock().remove(key)
    }

    /// Forgets all.
    pub fn clear(&self) -> Vec<SaRecord> {
        self.lock().drain().map(|(_, record)| record).collect()
    }

    /// Records that fulfil a condition, copied.
    pub fn select(&self, mut condition: impl FnMut(&SaRecord) -> bool) -> Vec<SaRecord> {
        let records = self.lock();
        records
            .values()
            .filter(|record| condition(record))
            .cloned()
            .collect()
    }

    /// Notes where an SA is now.
    pub fn place(&self, key: &SaKey, placement: Placement) {
        if let Some(record) = self.lock().get_mut(key) {
            record.placement = placement;
        }
    }

    /// Notes the packet counter at monotonic second `now`; returns when it was last seen to grow, 0
    /// if never.
    pub fn observe(&self, key: &SaKey, packets: u64, now: i64) -> i64 {
        let mut records = self.lock();
        let Some(record) = records.get_mut(key) else {
            return 0;
        };
        // A counter that fell belongs to another SA under the same key: start over.
        if packets != record.activity.packets {
            record.activity = Activity {
                packets,
                since: if packets == 0 { 0 } else { now },
            };
        }
        record.activity.since
    }

    /// Number of SAs.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Nothing is installed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SaKey, SaRecord>> {
        // Single map operations only: there is no half-made change to fear after a panic.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn last_use_follows_the_packet_counter() {
        let sad = Sad::default();
        let key = id(1).key();
        assert_eq!(sad.observe(&key, 5, 100), 0, "an unknown SA was never used");
        sad.insert(SaRecord::new(
            &id(1),
            1,
            "net",
            true,
            Offload::Packet,
            Placement::Packet(2),
        ));
        assert_eq!(sad.observe(&key, 0, 100), 0);
        assert_eq!(sad.observe(&key, 3, 110), 110);
        assert_eq!(sad.observe(&key, 3, 120), 110, "no growth, no use");
        assert_eq!(sad.observe(&key, 4, 130), 130);
        assert_eq!(sad.observe(&key, 0, 140), 0, "another SA under this key");
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
