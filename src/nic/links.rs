// SPDX-License-Identifier: GPL-2.0-or-later
//! The devices of this network namespace: a cache that the kernel's own events keep true.
//!
//! Owns the cache and the event socket. `events/` calls [`Links::update`] when the socket is
//! readable, `backend/` asks. Must not hold its lock across a system call, nor act on a change: that
//! is the caller's, since the kernel deletes what was offloaded to a device that goes down without
//! a word.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::features::Features;
use super::xfrmi;
use crate::error::KernelError;
use crate::xfrm::request::{Attributes, Reply, Request, text_of, u8_at, u32_at};
use crate::xfrm::{EventSocket, Protocol, Received, Transport, sockopt};

/// `struct ifinfomsg`
const IFINFO_LEN: usize = 16;
const IFINFO_INDEX: usize = 4;
const IFINFO_FLAGS: usize = 8;
/// `IFLA_PARENT_DEV_NAME` and `IFLA_PARENT_DEV_BUS_NAME` (kernel 5.14), which libc lacks.
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
/// How often a re-read is repeated because an event changed the cache meanwhile.
const REFRESH_TRIES: usize = 3;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Administratively up (`IFF_UP`). Going down flushes what is offloaded; losing the carrier
    /// does not.
    pub up: bool,
    /// Kind of a virtual device: "vlan", "bond", "bridge", ….
    pub kind: Option<String>,
    /// Bond, bridge or VRF it is a member of.
    pub master: Option<u32>,
    /// Device below a VLAN or another stacked device, in this network namespace.
    pub lower: Option<u32>,
    /// ID of an XFRM interface, which SAs and policies name.
    pub if_id: Option<u32>,
    /// ESP offload is active, for crypto at least.
    pub esp_offload: bool,
    /// Driver, if it offloads ESP and says its name by devlink.
    pub driver: Option<String>,
}

/// What [`Links::update`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// It is up: it was not, or is new, or (after [`LinkChange::Resynced`]) nobody knows what it
    /// was.
    Up(Link),
    /// It is down.
    Down(Link),
    /// It is gone from this network namespace.
    Gone(Link),
    /// Name, membership or offload changed.
    Features(Link),
    /// Events were lost; what follows until the end names every device. One that was down and up
    /// again meanwhile cannot be told from one that was not.
    Resynced,
}

#[derive(Default)]
struct Cache {
    links: HashMap<u32, Link>,
    /// Counts changes, so that an older read does not overwrite a newer event.
    generation: u64,
}

/// The cache.
pub struct Links {
    transport: Arc<dyn Transport>,
    events: Box<dyn EventSocket>,
    features: Features,
    cache: Mutex<Cache>,
}

impl Links {
    /// Subscribes first and reads everything then, so that nothing falls in between.
    pub fn new(kernel: Arc<dyn Transport>) -> Result<Self, KernelError> {
        let events = kernel.subscribe(Protocol::Route, &[libc::RTNLGRP_LINK])?;
        let links = Self {
            features: Features::new(kernel.clone()),
            transport: kernel,
            events,
            cache: Mutex::default(),
        };
        let all = links.read_all()?;
        links.cache().links = all;
        Ok(links)
    }

    /// The event socket, to be watched for readability.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// Takes in what the kernel reported, without waiting, and says what changed.
    pub fn update(&self) -> Vec<LinkChange> {
        let mut changes = Vec::new();
        loop {
            match self.events.read() {
                Ok(Some(Received::Message(reply))) => self.event(&reply, &mut changes),
                Ok(Some(Received::Overrun)) => self.resync(&mut changes),
                Ok(None) => return changes,
                Err(error) => {
                    log::error!("unable to read link events: {error}");
                    return changes;
                }
            }
        }
    }

    /// A device by index.
    pub fn get(&self, ifindex: u32) -> Option<Link> {
        self.cache().links.get(&ifindex).cloned()
    }

    /// Whether a device is there and administratively up.
    pub fn is_up(&self, ifindex: u32) -> bool {
        self.cache().links.get(&ifindex).is_some_and(|link| link.up)
    }

    /// Whether there is any VRF.
    pub fn any_vrf(&self) -> bool {
        let cache = self.cache();
        let mut links = cache.links.values();
        links.any(|link| link.kind.as_deref() == Some("vrf"))
    }

    /// A device by name.
    pub fn by_name(&self, name: &str) -> Option<Link> {
        self.cache()
            .links
            .values()
            .find(|link| link.name == name)
            .cloned()
    }

    /// The XFRM interface of an ID, the first one if there are several. An interface that was made a
    /// moment ago may still be on its way to the cache: then, and only then, the kernel is asked.
    pub fn xfrmi(&self, if_id: u32) -> Option<String> {
        let known = {
            let cache = self.cache();
            let links = cache.links.values();
            links
                .filter(|link| link.if_id == Some(if_id))
                .min_by_key(|link| link.ifindex)
                .map(|link| link.name.clone())
        };
        if known.is_some() || !sockopt::is_readable(self.events.fd()) {
            return known;
        }
        let all = xfrmi::list(self.transport.as_ref())
            .inspect_err(|error| log::warn!("unable to list XFRM interfaces: {error}"))
            .unwrap_or_default();
        all.into_iter()
            .find(|interface| interface.if_id == if_id)
            .map(|interface| interface.name)
    }

    /// All devices, by index.
    pub fn all(&self) -> Vec<Link> {
        let mut all: Vec<_> = self.cache().links.values().cloned().collect();
        all.sort_by_key(|link| link.ifindex);
        all
    }

    /// Reads one device from the kernel, for when the cache has none.
    pub fn refresh(&self, ifindex: u32) -> Option<Link> {
        for _ in 0..REFRESH_TRIES {
            let generation = self.cache().generation;
            let link = self.read_one(ifindex);
            let mut cache = self.cache();
            if cache.generation != generation {
                continue;
            }
            return match link {
                Ok(Some(link)) => {
                    cache.links.insert(ifindex, link.clone());
                    Some(link)
                }
                Ok(None) => None,
                Err(error) => {
                    drop(cache);
                    log::warn!("unable to read interface {ifindex}: {error}");
                    None
                }
            };
        }
        // Events keep coming: they tell, too.
        self.get(ifindex)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, reply: &Reply, changes: &mut Vec<LinkChange>) {
        let Some(mut seen) = Seen::decode(reply) else {
            return;
        };
        let ifindex = seen.link.ifindex;
        if reply.kind() == libc::RTM_DELLINK {
            let mut cache = self.cache();
            cache.generation += 1;
            changes.extend(cache.links.remove(&ifindex).map(LinkChange::Gone));
            return;
        }
        // A change of features is reported as a change of the link, without saying so.
        let old = self.get(ifindex);
        match self.features.esp_offload(ifindex) {
            Ok(active) => seen.link.esp_offload = active,
            Err(error) => {
                log::warn!("unable to read features of {}: {error}", seen.link.name);
                seen.link.esp_offload = old.as_ref().is_some_and(|old| old.esp_offload);
            }
        }
        let link = self.with_driver(seen, old.as_ref());
        let mut cache = self.cache();
        cache.generation += 1;
        cache.links.insert(ifindex, link.clone());
        drop(cache);
        changes.extend(compare(old.as_ref(), link));
    }

    /// The kernel reports the loss before the older events that are still queued. Those would undo
    /// what is read now, so they go first.
    fn drain(&self) {
        while let Ok(Some(_)) = self.events.read() {}
    }

    fn resync(&self, changes: &mut Vec<LinkChange>) {
        self.drain();
        let all = match self.read_all() {
            Ok(all) => all,
            Err(error) => {
                log::error!("unable to read all interfaces after events were lost: {error}");
                return;
            }
        };
        changes.push(LinkChange::Resynced);
        let mut now: Vec<_> = all.values().cloned().collect();
        now.sort_by_key(|link| link.ifindex);
        let mut cache = self.cache();
        cache.generation += 1;
        let before = std::mem::replace(&mut cache.links, all);
        let mut gone: Vec<_> = before
            .into_values()
            .filter(|old| {
                cache
                    .links
                    .get(&old.ifindex)
                    .is_none_or(|new| new.name != old.name && new.driver != old.driver)
            })
            .collect();
        drop(cache);
        gone.sort_by_key(|link| link.ifindex);
        changes.extend(gone.into_iter().map(LinkChange::Gone));
        changes.extend(now.into_iter().map(|link| {
            if link.up {
                LinkChange::Up(link)
            } else {
                LinkChange::Down(link)
            }
        }));
    }

    fn read_all(&self) -> Result<HashMap<u32, Link>, KernelError> {
        let mut request = Request::new("RTM_GETLINK", libc::RTM_GETLINK, 0);
        request.put(&[0; IFINFO_LEN]);
        let mut seen = Vec::new();
        self.transport
            .dump(Protocol::Route, &request, &mut |reply| {
                seen.extend(Seen::decode(reply));
            })?;
        let offload: HashMap<u32, bool> = self.features.all_esp_offload()?.into_iter().collect();
        Ok(seen
            .into_iter()
            .map(|mut seen| {
                let ifindex = seen.link.ifindex;
                seen.link.esp_offload = offload.get(&ifindex).copied().unwrap_or(false);
                (ifindex, self.with_driver(seen, None))
            })
            .collect())
    }

    fn read_one(&self, ifindex: u32) -> Result<Option<Link>, KernelError> {
        let mut request = Request::new("RTM_GETLINK", libc::RTM_GETLINK, 0);
        request.put(&[0; IFINFO_INDEX]);
        request.put_u32(ifindex);
        request.put(&[0; IFINFO_LEN - IFINFO_INDEX - 4]);
        let reply = match self.transport.get(Protocol::Route, &request) {
            Err(error) if error.errno == libc::ENODEV => return Ok(None),
            other => other?,
        };
        let Some(mut seen) = Seen::decode(&reply) else {
            return Ok(None);
        };
        seen.link.esp_offload = self.features.esp_offload(ifindex)?;
        Ok(Some(self.with_driver(seen, None)))
    }

    /// Asks for the driver where it matters; a known answer is kept, as a device does not change
    /// its driver without being gone in between.
    fn with_driver(&self, seen: Seen, old: Option<&Link>) -> Link {
        let mut link = seen.link;
        if link.esp_offload {
            link.driver = old.and_then(|old| old.driver.clone()).or_else(|| {
                let (bus, device) = seen.parent.as_ref()?;
                self.features.driver(bus, device)
            });
        }
        link
    }
}

/// What a change means, if anything.
fn compare(old: Option<&Link>, new: Link) -> Option<LinkChange> {
    match old {
        Some(old) if *old == new => None,
        Some(old) if old.up == new.up => Some(LinkChange::Features(new)),
        None if !new.up => Some(LinkChange::Features(new)),
        _ if new.up => Some(LinkChange::Up(new)),
        _ => Some(LinkChange::Down(new)),
    }
}

/// What `RTM_NEWLINK` says.
struct Seen {
    link: Link,
    /// Bus and device behind it.
    parent: Option<(String, String)>,
}

impl Seen {
    /// `None` for what is no link, such as the reports of a bridge about its ports, which come as
    /// `RTM_NEWLINK` and even `RTM_DELLINK` of another family.
    fn decode(reply: &Reply) -> Option<Self> {
        if !matches!(reply.kind(), libc::RTM_NEWLINK | libc::RTM_DELLINK) {
            return None;
        }
        let body = reply.payload().get(..IFINFO_LEN)?;
        if u8_at(body, 0)? != libc::AF_UNSPEC as u8 {
            return None;
        }
        let flags = u32_at(body, IFINFO_FLAGS)?;
        let mut link = Link {
            ifindex: u32_at(body, IFINFO_INDEX)?,
            name: String::new(),
            up: flags & libc::IFF_UP as u32 != 0,
            kind: None,
            master: None,
            lower: None,
            if_id: None,
            esp_offload: false,
            driver: None,
        };
        let (mut bus, mut device) = (None, None);
        let mut lower_elsewhere = false;
        for (kind, value) in reply.attributes(IFINFO_LEN) {
            match kind {
                libc::IFLA_IFNAME => link.name = text_of(value)?.to_owned(),
                libc::IFLA_MASTER => link.master = u32_at(value, 0).filter(|index| *index != 0),
                // A device names itself when there is nothing below.
                libc::IFLA_LINK => {
                    link.lower =
                        u32_at(value, 0).filter(|index| *index != 0 && *index != link.ifindex);
                }
                libc::IFLA_LINK_NETNSID => lower_elsewhere = true,
                libc::IFLA_LINKINFO => {
                    link.kind = Attributes::new(value)
                        .value_of(libc::IFLA_INFO_KIND)
                        .and_then(text_of)
                        .map(str::to_owned);
                    link.if_id = xfrmi::if_id(value);
                }
                IFLA_PARENT_DEV_NAME => device = text_of(value).map(str::to_owned),
                IFLA_PARENT_DEV_BUS_NAME => bus = text_of(value).map(str::to_owned),
                _ => {}
            }
        }
        if lower_elsewhere {
            // The index counts in another network namespace.
            link.lower = None;
        }
        if link.ifindex == 0 || link.name.is_empty() {
            return None;
        }
        Some(Self {
            link,
            parent: bus.zip(device),
        })
    }
}

/// For the tests of garbage: decoding without a cache.
#[cfg(test)]
pub(super) fn decode_link(reply: &Reply) -> Option<Link> {
    Seen::decode(reply).map(|seen| seen.link)
}
