// SPDX-License-Identifier: GPL-2.0-or-later
//! A model of the kernel for tests: answers the messages that [`Kernel`](super::Kernel) and `nic/`
//! send, keeps an SAD, an SPD, links, routes and neighbours, and refuses what the kernel refuses.
//!
//! Owns that model and its knobs (faults, lost events, a device that goes down). Used by tests of
//! every layer; compiled under `cfg(test)` or with feature `fake`, never into the plugin. Must not
//! know how a message was encoded: it reads bytes with the same walker, but interprets them by
//! itself. It does not model packets: nothing is encrypted, no notification of group SA or POLICY is
//! sent.
#![forbid(unsafe_code)]

mod link;
mod nft;
mod sad;
mod spd;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::request::{Reply, Request};
use super::transport::{EventSocket, Protocol, Received, Subscription, Transport};
use super::{PolicyState, SaState};
use crate::error::KernelError;

pub use super::timer::fake::FakeTimer;
pub use link::{FakeLink, FakeRoute};
pub use nft::{FakeElement, FakeTable};

/// One request as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Netlink family.
    pub protocol: Protocol,
    /// Name, such as `XFRM_MSG_NEWSA`.
    pub name: &'static str,
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags` as far as the request sets them.
    pub flags: u16,
    /// Everything was asked for.
    pub dump: bool,
    /// What follows the header, keys included: this is for tests.
    pub payload: Vec<u8>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.payload.len())
    }
}

/// Called before each request with no lock held, so it may block; an error is the answer.
pub type Rule = Arc<dyn Fn(&Recorded) -> Result<(), KernelError> + Send + Sync>;

/// How old or strict the modelled kernel is.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// Before 6.10: ignores `XFRMA_SA_DIR`, wants a replay window with ESN in any direction.
    pub no_direction: bool,
    /// Reports `XFRMA_REPLAY_VAL` by `XFRM_MSG_GETAE` only.
    pub replay_by_aevent: bool,
    /// Reports keys as zeroes.
    pub lockdown: bool,
    /// Has ethtool by generic netlink.
    pub ethtool: bool,
    /// Has nftables.
    pub nftables: bool,
    /// Built with `CONFIG_XFRM_OFFLOAD`. Without it, requests for offload are accepted, packet mode
    /// included, and what they ask for is ignored.
    pub xfrm_offload: bool,
    /// Has no XFRM interfaces.
    pub no_xfrmi: bool,
    /// Before 7.2: does not know `XFRM_MSG_MIGRATE_STATE`.
    pub no_migrate_state: bool,
    /// Built without `CONFIG_XFRM_MIGRATE`, without which that message is refused.
    pub no_migrate: bool,
    /// Before 6.3: an SA in transport mode cannot be for any family.
    pub no_any_family: bool,
    /// Before 6.2: keeps no time of last use.
    pub no_last_used: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            no_direction: false,
            replay_by_aevent: false,
            lockdown: false,
            ethtool: true,
            nftables: true,
            xfrm_offload: true,
            no_xfrmi: false,
            no_migrate_state: false,
            no_migrate: false,
            no_any_family: false,
            no_last_used: false,
        }
    }
}

enum Fault {
    /// Refused without being executed.
    Refuse(KernelError),
    /// Executed, but the answer is lost.
    Lose,
}

struct Subscriber {
    protocol: Protocol,
    groups: Vec<u32>,
    /// Empty: all.
    kinds: Vec<u16>,
    queue: Weak<Queue>,
}

#[derive(Default)]
struct State {
    waits: usize,
    transactions: usize,
    knobs: Knobs,
    sad: sad::Sad,
    spd: spd::Spd,
    nft: nft::Nft,
    links: BTreeMap<u32, FakeLink>,
    routes: Vec<FakeRoute>,
    neighbours: HashMap<(u32, IpAddr), link::Neighbour>,
    faults: Vec<(u16, Fault)>,
    rule: Option<Rule>,
    recorded: Vec<Recorded>,
    subscribers: Vec<Subscriber>,
}

/// The model. Share it in an [`Arc`]; it is a [`Transport`].
#[derive(Default)]
pub struct FakeKernel {
    state: Mutex<State>,
}

impl FakeKernel {
    /// An empty kernel without devices.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often somebody waited for packets on their way.
    pub fn waits(&self) -> usize {
        self.state().waits
    }

    /// Changes how old or strict it is.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.state().knobs = knobs;
    }

    /// Refuses the next request of a type.
    pub fn refuse_next(&self, kind: u16, errno: i32, text: Option<&str>) {
        let error = KernelError {
            request: "",
            errno,
            text: text.map(str::to_owned),
            attribute: None,
        };
        self.state().faults.push((kind, Fault::Refuse(error)));
    }

    /// Executes the next request of a type, but loses the answer (`ENOBUFS`).
    pub fn lose_next_answer(&self, kind: u16) {
        self.state().faults.push((kind, Fault::Lose));
    }

    /// Asks `rule` before each request, instead of any earlier rule.
    pub fn set_rule(&self, rule: Option<Rule>) {
        self.state().rule = rule;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state().recorded.clone()
    }

    /// Names of all requests so far.
    pub fn request_names(&self) -> Vec<&'static str> {
        let state = self.state();
        state.recorded.iter().map(|request| request.name).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state().recorded.clear();
    }

    /// The SAD, read through the product's own decoder.
    pub fn sas(&self) -> Vec<SaState> {
        let state = self.state();
        let reports = state.sad.report_all(&state.knobs);
        reports.iter().filter_map(SaState::decode).collect()
    }

    /// The SPD, read through the product's own decoder.
    pub fn policies(&self) -> Vec<PolicyState> {
        let state = self.state();
        let reports = state.spd.report_all();
        reports.iter().filter_map(PolicyState::decode).collect()
    }

    /// Deletes all SAs and policies without a word, as another process with a flush would (whose
    /// notifications go to groups nobody here listens to).
    pub fn wipe(&self) {
        let mut state = self.state();
        state.sad = sad::Sad::default();
        state.spd = spd::Spd::default();
    }

    /// Sends a message to the subscribers of a group.
    pub fn emit(&self, protocol: Protocol, group: u32, kind: u16, payload: &[u8]) {
        self.state().emit(protocol, group, kind, payload);
    }

    /// Throws away what was sent to subscribers and not read yet.
    pub fn drop_events(&self) {
        for subscriber in &self.state().subscribers {
            if let Some(queue) = subscriber.queue.upgrade() {
                while queue.pop().is_some() {}
            }
        }
    }

    /// Tells all subscribers of a protocol that messages were lost.
    pub fn overrun(&self, protocol: Protocol) {
        for subscriber in self
            .state()
            .subscribers
            .iter()
            .filter(|subscriber| subscriber.protocol == protocol)
        {
            if let Some(queue) = subscriber.queue.upgrade() {
                queue.push(Received::Overrun);
            }
        }
    }

    /// Notes a request of a batch, and lets the rule and the faults have their say.
    fn record(&self, protocol: Protocol, request: &Request) -> Result<(), KernelError> {
        request.check()?;
        let recorded = Recorded {
            protocol,
            name: request.name(),
            kind: request.kind(),
            flags: request.flags(),
            dump: false,
            payload: request.payload().to_vec(),
        };
        let (rule, fault) = {
            let mut state = self.state();
            state.recorded.push(recorded.clone());
            let fault = state
                .faults
                .iter()
                .position(|(kind, _)| *kind == recorded.kind);
            let fault = fault.map(|index| state.faults.remove(index).1);
            (state.rule.clone(), fault)
        };
        if let Some(rule) = rule {
            rule(&recorded)?;
        }
        match fault {
            Some(Fault::Refuse(error)) => Err(KernelError {
                request: recorded.name,
                ..error
            }),
            Some(Fault::Lose) => Err(KernelError::new(recorded.name, libc::ENOBUFS)),
            None => Ok(()),
        }
    }

    fn handle(
        &self,
        protocol: Protocol,
        request: &Request,
        dump: bool,
    ) -> Result<Vec<Reply>, KernelError> {
        request.check()?;
        let recorded = Recorded {
            protocol,
            name: request.name(),
            kind: request.kind(),
            flags: request.flags(),
            dump,
            payload: request.payload().to_vec(),
        };
        let (rule, fault) = {
            let mut state = self.state();
            state.recorded.push(recorded.clone());
            let fault = state
                .faults
                .iter()
                .position(|(kind, _)| *kind == recorded.kind);
            let fault = fault.map(|index| state.faults.remove(index).1);
            (state.rule.clone(), fault)
        };
        if let Some(rule) = rule {
            rule(&recorded)?;
        }
        let lost = match fault {
            Some(Fault::Refuse(error)) => {
                return Err(KernelError {
                    request: recorded.name,
                    ..error
                });
            }
            Some(Fault::Lose) => true,
            None => false,
        };
        let result = self.state().execute(&recorded);
        if lost {
            return Err(KernelError::new(recorded.name, libc::ENOBUFS));
        }
        result.map_err(|refusal| KernelError {
            request: recorded.name,
            errno: refusal.errno,
            text: refusal.text.map(str::to_owned),
            attribute: None,
        })
    }
}

/// errno and, if the kernel says more, the text of the extended ACK.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    errno: i32,
    text: Option<&'static str>,
}

impl Refusal {
    fn silent(errno: i32) -> Self {
        Self { errno, text: None }
    }

    fn invalid(text: &'static str) -> Self {
        Self {
            errno: libc::EINVAL,
            text: Some(text),
        }
    }
}

impl State {
    fn execute(&mut self, request: &Recorded) -> Result<Vec<Reply>, Refusal> {
        match request.protocol {
            Protocol::Xfrm => self.execute_xfrm(request),
            Protocol::Route => self.execute_route(request),
            Protocol::Generic => self.execute_generic(request),
            Protocol::Netfilter => self.execute_netfilter(request),
        }
    }

    fn execute_xfrm(&mut self, request: &Recorded) -> Result<Vec<Reply>, Refusal> {
        use netlink_packet_xfrm::constants::{XFRM_MSG_GETSPDINFO, XFRM_MSG_NEWSPDINFO};

        use super::consts::{
            XFRM_MSG_ALLOCSPI, XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA, XFRM_MSG_FLUSHPOLICY,
            XFRM_MSG_FLUSHSA, XFRM_MSG_GETAE, XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA,
            XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA, XFRM_MSG_UPDPOLICY,
            XFRM_MSG_UPDSA,
        };
        let payload = &request.payload[..];
        let knobs = self.knobs;
        let none = Vec::new();
        match request.kind {
            XFRM_MSG_GETSA if request.dump => Ok(self.sad.report_all(&knobs)),
            XFRM_MSG_GETPOLICY if request.dump => Ok(self.spd.report_all()),
            XFRM_MSG_ALLOCSPI => self.sad.allocate(payload).map(|reply| vec![reply]),
            XFRM_MSG_NEWSA | XFRM_MSG_UPDSA => {
                let update = request.kind == XFRM_MSG_UPDSA;
                self.sad
                    .install(payload, update, &knobs, &self.links)
                    .map(|()| none)
            }
            XFRM_MSG_GETSA => self.sad.get(payload, &knobs).map(|reply| vec![reply]),
            XFRM_MSG_GETAE => self.sad.get_aevent(payload).map(|reply| vec![reply]),
            XFRM_MSG_MIGRATE_STATE => self
                .sad
                .migrate_state(payload, &knobs, &self.links)
                .map(|()| none),
            XFRM_MSG_DELSA => self.sad.delete(payload).map(|()| none),
            XFRM_MSG_FLUSHSA => self.sad.flush(payload).map(|()| none),
            XFRM_MSG_NEWPOLICY | XFRM_MSG_UPDPOLICY => {
                let update = request.kind == XFRM_MSG_UPDPOLICY;
                self.spd
                    .install(payload, update, &knobs, &self.links)
                    .map(|()| none)
            }
            XFRM_MSG_GETPOLICY => self.spd.get(payload).map(|reply| vec![reply]),
            XFRM_MSG_DELPOLICY => self.spd.delete(payload).map(|()| none),
            XFRM_MSG_GETSPDINFO => Ok(vec![self.spd.report_thresholds()]),
            XFRM_MSG_NEWSPDINFO => self.spd.set_thresholds(payload).map(|()| none),
            XFRM_MSG_FLUSHPOLICY => {
                self.spd.flush();
                Ok(none)
            }
            _ => Err(Refusal::silent(libc::EINVAL)),
        }
    }

    fn emit(&mut self, protocol: Protocol, group: u32, kind: u16, payload: &[u8]) {
        self.subscribers
            .retain(|subscriber| subscriber.queue.strong_count() > 0);
        for subscriber in &self.subscribers {
            if subscriber.protocol == protocol
                && subscriber.groups.contains(&group)
                && (subscriber.kinds.is_empty() || subscriber.kinds.contains(&kind))
                && let Some(queue) = subscriber.queue.upgrade()
            {
                queue.push(Received::Message(Reply::new(kind, payload)));
            }
        }
    }
}

impl Transport for FakeKernel {
    fn wait_for_packets(&self) {
        self.state().waits += 1;
    }

    fn ack(&self, protocol: Protocol, request: &Request) -> Result<(), KernelError> {
        #[cfg(test)]
        let _outside = crate::counted::Outside::begin();
        self.handle(protocol, request, false).map(|_| ())
    }

    fn batch(&self, protocol: Protocol, requests: &[Request]) -> Result<(), KernelError> {
        #[cfg(test)]
        let _outside = crate::counted::Outside::begin();
        match protocol {
            Protocol::Netfilter => self.transact(requests),
            _ => Err(KernelError::new("batch", libc::EOPNOTSUPP)),
        }
    }

    fn get(&self, protocol: Protocol, request: &Request) -> Result<Reply, KernelError> {
        #[cfg(test)]
        let _outside = crate::counted::Outside::begin();
        let replies = self.handle(protocol, request, false)?;
        replies
            .into_iter()
            .next()
            .ok_or_else(|| KernelError::new(request.name(), libc::ENODATA))
    }

    fn dump(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError> {
        let replies = self.handle(protocol, request, true)?;
        replies.iter().for_each(each);
        Ok(())
    }

    fn subscribe(
        &self,
        protocol: Protocol,
        groups: &[u32],
    ) -> Result<Box<dyn EventSocket>, KernelError> {
        self.subscribe_to(&Subscription {
            protocol,
            groups,
            kinds: &[],
            buffer: None,
        })
    }

    fn subscribe_to(
        &self,
        subscription: &Subscription<'_>,
    ) -> Result<Box<dyn EventSocket>, KernelError> {
        let queue = Arc::new(Queue::new().map_err(|error| {
            KernelError::new("subscribe", error.raw_os_error().unwrap_or(libc::EIO))
        })?);
        self.state().subscribers.push(Subscriber {
            protocol: subscription.protocol,
            groups: subscription.groups.to_vec(),
            kinds: subscription.kinds.to_vec(),
            queue: Arc::downgrade(&queue),
        });
        Ok(Box::new(FakeEvents(queue)))
    }
}

/// Events of one subscriber. One byte per event goes through a pair of sockets, so that the
/// descriptor is readable exactly while there are events.
struct Queue {
    events: Mutex<VecDeque<Received>>,
    sender: UnixStream,
    receiver: UnixStream,
}

impl Queue {
    fn new() -> std::io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self {
            events: Mutex::default(),
            sender,
            receiver,
        })
    }

    fn push(&self, event: Received) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push_back(event);
        // A full pair of sockets is readable anyway.
        let _ = (&self.sender).write(&[0]);
    }

    fn pop(&self) -> Option<Received> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let event = events.pop_front()?;
        let _ = (&self.receiver).read(&mut [0]);
        Some(event)
    }
}

struct FakeEvents(Arc<Queue>);

impl EventSocket for FakeEvents {
    fn fd(&self) -> RawFd {
        self.0.receiver.as_raw_fd()
    }

    fn read(&self) -> Result<Option<Received>, KernelError> {
        Ok(self.0.pop())
    }
}
