// SPDX-License-Identifier: GPL-2.0-or-later
//! The methods over the model of the kernel: a gateway with a NIC that does packet mode (p0), one
//! that does crypto only (c0) and one that does nothing (e0).

mod cost;
mod events;
mod fallback;
mod faults;
mod gate;
mod inherited;
mod leftovers;
mod links;
mod moves;
mod parallel;
mod paths;
mod policies;
mod routes;
mod sas;
mod sharing;
mod statistics;
mod takeover;
mod told;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::*;
use crate::host::{Acquire, HostRoute, Migrate, RouteResult};
use crate::model::{
    AlgorithmKind, Direction, DscpCopy, Key, Lifetime, Mark, Mode, Offload, Placement, PolicyKind,
    Prefix, PriorityClass, SaReference, TrafficSelector, UpdatedSa,
};
use crate::xfrm::fake::{FakeKernel, FakeLink, FakeRoute, FakeTimer, Knobs};

pub(super) const P0: u32 = 2;
const C0: u32 = 3;
const E0: u32 = 4;
/// Peers behind p0, c0 and e0.
pub(super) const PACKET_PEER: &str = "192.0.2.2";
const CRYPTO_PEER: &str = "198.51.100.2";
const PLAIN_PEER: &str = "203.0.113.2";

/// charon, as far as the core sees it.
#[derive(Default)]
pub(super) struct FakeHost {
    settings: Mutex<HashMap<String, i64>>,
    texts: Mutex<HashMap<String, String>>,
    watched: Mutex<HashMap<RawFd, Weak<dyn Readable>>>,
    acquires: Mutex<Vec<Acquire>>,
    expires: Mutex<Vec<(Spi, bool)>>,
    mappings: Mutex<Vec<Addr>>,
    /// Inbound SPIs of charon's CHILD_SAs, by their outbound ones.
    pairs: Mutex<HashMap<Spi, Spi>>,
    routes: Mutex<Vec<HostRoute>>,
}

impl FakeHost {
    fn set(&self, key: &str, value: i64) {
        self.settings.lock().unwrap().insert(key.into(), value);
    }

    /// What charon's watcher does: calls everybody whose socket may be readable.
    fn pump(&self) {
        let watched: Vec<_> = self.watched.lock().unwrap().values().cloned().collect();
        for target in watched {
            if let Some(target) = target.upgrade() {
                assert!(target.readable());
            }
        }
    }

    fn take_expires(&self) -> Vec<(Spi, bool)> {
        std::mem::take(&mut self.expires.lock().unwrap())
    }
}

impl Host for FakeHost {
    fn get_bool(&self, key: &str, fallback: bool) -> bool {
        let settings = self.settings.lock().unwrap();
        settings.get(key).map_or(fallback, |value| *value != 0)
    }
    fn get_int(&self, key: &str, fallback: i64) -> i64 {
        *self.settings.lock().unwrap().get(key).unwrap_or(&fallback)
    }
    fn get_str(&self, key: &str) -> Option<String> {
        self.texts.lock().unwrap().get(key).cloned()
    }
    fn acquire(&self, acquire: &Acquire) {
        self.acquires.lock().unwrap().push(acquire.clone());
    }
    fn expire(&self, _proto: Proto, spi: Spi, _dst: IpAddr, hard: bool) {
        self.expires.lock().unwrap().push((spi, hard));
    }
    fn mapping(&self, _proto: Proto, _spi: Spi, _dst: IpAddr, new_remote: Addr) {
        self.mappings.lock().unwrap().push(new_remote);
    }
    fn migrate(&self, _migrate: &Migrate) {}
    fn inbound_of(&self, outbound: Spi) -> Option<Spi> {
        self.pairs.lock().unwrap().get(&outbound).copied()
    }
    fn address_by_ts(&self, ts: &TrafficSelector) -> Option<(IpAddr, bool)> {
        let own: IpAddr = "10.1.0.1".parse().unwrap();
        ts.contains(own).then_some((own, false))
    }
    fn interface_of(&self, _ip: IpAddr) -> Option<String> {
        Some("p0".into())
    }
    fn nexthop(
        &self,
        _dest: IpAddr,
        _prefix: Option<u8>,
        _src: Option<IpAddr>,
    ) -> Option<(Option<IpAddr>, String)> {
        Some((Some("192.0.2.254".parse().unwrap()), "p0".into()))
    }
    fn add_route(&self, route: &HostRoute) -> RouteResult {
        let mut routes = self.routes.lock().unwrap();
        if routes.iter().any(|other| other.net == route.net) {
            return RouteResult::AlreadyDone;
        }
        routes.push(route.clone());
        RouteResult::Done
    }
    fn del_route(&self, route: &HostRoute) -> RouteResult {
        let mut routes = self.routes.lock().unwrap();
        let before = routes.len();
        routes.retain(|other| other != route);
        if routes.len() < before {
            RouteResult::Done
        } else {
            RouteResult::Failed
        }
    }
    fn lookup_algorithm(&self, _kind: AlgorithmKind, _number: u16) -> Option<String> {
        None
    }
    fn watch(&self, fd: RawFd, target: Weak<dyn Readable>) -> bool {
        self.watched.lock().unwrap().insert(fd, target);
        true
    }
    fn unwatch(&self, fd: RawFd) {
        self.watched.lock().unwrap().remove(&fd);
    }
}

/// A plugin over the model.
pub(super) struct Gateway {
    pub(super) kernel: Arc<FakeKernel>,
    pub(super) host: Arc<FakeHost>,
    pub(super) timer: Arc<FakeTimer>,
    pub(super) backend: Arc<Backend>,
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self::with_settings(&[])
    }

    fn with_settings(settings: &[(&str, i64)]) -> Self {
        Self::make(settings, &[], Knobs::default())
    }

    fn with_knobs(knobs: Knobs) -> Self {
        Self::make(&[], &[], knobs)
    }

    fn with_texts(settings: &[(&str, i64)], texts: &[(&str, &str)]) -> Self {
        Self::make(settings, texts, Knobs::default())
    }

    fn make(settings: &[(&str, i64)], texts: &[(&str, &str)], knobs: Knobs) -> Self {
        let kernel = FakeKernel::new();
        kernel.set_knobs(knobs);
        let link = |ifindex, name: &str, esp_offload, packet_offload| FakeLink {
            ifindex,
            name: name.into(),
            up: true,
            esp_offload,
            packet_offload,
            ..FakeLink::default()
        };
        kernel.put_link(link(P0, "p0", true, true));
        kernel.put_link(link(C0, "c0", true, false));
        kernel.put_link(link(E0, "e0", false, false));
        for (net, oif, peer) in [
            ("192.0.2.0", P0, PACKET_PEER),
            ("198.51.100.0", C0, CRYPTO_PEER),
            ("203.0.113.0", E0, PLAIN_PEER),
        ] {
            kernel.put_route(FakeRoute::new(
                Prefix::new(net.parse().unwrap(), 24),
                oif,
                None,
            ));
            kernel.put_neighbour(oif, peer.parse().unwrap(), [2, 0, 0, 0, 0, 1]);
        }
        let host = Arc::new(FakeHost::default());
        for (key, value) in settings {
            host.set(key, *value);
        }
        for (key, value) in texts {
            let mut texts = host.texts.lock().unwrap();
            texts.insert((*key).into(), (*value).into());
        }
        let timer = Arc::new(FakeTimer::default());
        let backend = Backend::with_parts(host.clone(), "6.0.1", kernel.clone(), timer.clone())
            .expect("it starts");
        kernel.clear_requests();
        Self {
            kernel,
            host,
            timer,
            backend,
        }
    }

    /// Moves the clock and calls what is due by then, as charon's watcher would.
    pub(super) fn advance(&self, by: Duration) {
        if self.timer.advance(by) {
            assert!(self.backend.core.ticker.readable());
        }
    }

    /// Installs both SAs and the three policies of a CHILD_SA.
    pub(super) fn add_child(&self, child: &Child) -> Result<()> {
        self.backend.add_sa(&child.sa_id(true), &child.sa(true))?;
        self.backend.add_sa(&child.sa_id(false), &child.sa(false))?;
        self.add_policies(child)
    }

    fn add_policies(&self, child: &Child) -> Result<()> {
        for dir in [Direction::In, Direction::Fwd, Direction::Out] {
            self.backend
                .add_policy(&child.policy_id(dir), &child.policy(dir))?;
        }
        Ok(())
    }

    /// Removes them in charon's order, also those that were never added.
    pub(super) fn delete_child(&self, child: &Child) {
        for dir in [Direction::Out, Direction::In, Direction::Fwd] {
            let _ = self
                .backend
                .del_policy(&child.policy_id(dir), &child.policy(dir));
        }
        for inbound in [true, false] {
            let _ = self.backend.del_sa(&child.sa_id(inbound), 0);
        }
    }

    /// Where the SAs and the policies in and out are, by the kernel's word.
    fn placements(&self) -> (Vec<Placement>, Vec<Option<u32>>) {
        let sas = self.kernel.sas().iter().map(|sa| sa.placement).collect();
        let policies = self.kernel.policies();
        let tunnels = policies
            .iter()
            .filter(|policy| policy.templates > 0 && policy.key.dir != Direction::Fwd);
        (sas, tunnels.map(|policy| policy.offload).collect())
    }

    pub(super) fn assert_empty(&self) {
        assert!(self.kernel.sas().is_empty(), "{:?}", self.kernel.sas());
        assert!(
            self.kernel.policies().is_empty(),
            "{:?}",
            self.kernel.policies()
        );
        assert!(self.host.routes.lock().unwrap().is_empty());
        assert_eq!(self.backend.core.units.len(), 0, "a unit is left");
        assert!(self.backend.core.sad.is_empty());
        assert!(self.backend.core.spd.is_empty());
    }
}

/// A CHILD_SA.
#[derive(Clone)]
pub(super) struct Child {
    pub(super) peer: &'static str,
    pub(super) reqid: u32,
    pub(super) spi: u32,
    pub(super) offload: Offload,
    class: PriorityClass,
    remote_net: u8,
    enc_alg: u16,
    esn: bool,
    replay_window: u32,
    mode: Mode,
    tfc: u32,
    ipcomp: u16,
    update: bool,
    if_id: u32,
}

impl Child {
    pub(super) fn new(peer: &'static str, offload: Offload) -> Self {
        Self {
            peer,
            reqid: 1,
            spi: 0x1000,
            offload,
            class: PriorityClass::Default,
            remote_net: 2,
            enc_alg: 20,
            esn: true,
            replay_window: 32,
            mode: Mode::Tunnel,
            tfc: 0,
            ipcomp: 0,
            update: false,
            if_id: 0,
        }
    }

    /// Another CHILD_SA with its own network, reqid and SPIs.
    pub(super) fn number(peer: &'static str, offload: Offload, number: u8) -> Self {
        Self {
            reqid: u32::from(number),
            spi: 0x1000 * u32::from(number),
            remote_net: number,
            ..Self::new(peer, offload)
        }
    }

    fn local() -> Addr {
        Addr::new("192.0.2.1".parse().unwrap())
    }

    fn peer(&self) -> Addr {
        Addr::new(self.peer.parse().unwrap())
    }

    pub(super) fn sa_id(&self, inbound: bool) -> SaId {
        let (src, dst) = if inbound {
            (self.peer(), Self::local())
        } else {
            (Self::local(), self.peer())
        };
        SaId {
            src,
            dst,
            spi: Spi(self.spi + u32::from(inbound)),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: self.if_id,
        }
    }

    fn nets(&self) -> (TrafficSelector, TrafficSelector) {
        let net = |number: u8| TrafficSelector {
            from: format!("10.{number}.0.0").parse().unwrap(),
            to: format!("10.{number}.255.255").parse().unwrap(),
            proto: 0,
            from_port: 0,
            to_port: u16::MAX,
        };
        (net(1), net(self.remote_net))
    }

    pub(super) fn sa(&self, inbound: bool) -> SaSpec {
        let (local, remote) = self.nets();
        let (src_ts, dst_ts) = if inbound {
            (remote, local)
        } else {
            (local, remote)
        };
        SaSpec {
            name: "net[1]".into(),
            reqid: self.reqid,
            seq: 0,
            mode: self.mode,
            src_ts: vec![src_ts],
            dst_ts: vec![dst_ts],
            interface: None,
            lifetime: Lifetime::default(),
            enc_alg: self.enc_alg,
            enc_key: Key::new(&[7; 36]),
            int_alg: if self.enc_alg == 20 { 1024 } else { 12 },
            int_key: Key::new(if self.enc_alg == 20 { &[] } else { &[9; 32] }),
            replay_window: self.replay_window,
            tfc: self.tfc,
            ipcomp: self.ipcomp,
            cpi: if self.ipcomp == 0 {
                0
            } else {
                0x1234 + u16::from(inbound)
            },
            cpu: None,
            encap: false,
            offload: self.offload,
            set_mark: Mark::default(),
            label: None,
            esn: self.esn,
            copy_df: true,
            copy_ecn: true,
            copy_dscp: DscpCopy::OutOnly,
            iptfs_dont_frag: false,
            forward_icmp: false,
            initiator: true,
            inbound,
            update: self.update,
        }
    }

    pub(super) fn policy_id(&self, dir: Direction) -> PolicyId {
        let (local, remote) = self.nets();
        let (src_ts, dst_ts) = match dir {
            Direction::Out => (local, remote),
            Direction::In | Direction::Fwd => (remote, local),
        };
        PolicyId {
            dir,
            src_ts,
            dst_ts,
            mark: Mark::default(),
            if_id: self.if_id,
            interface: None,
            label: None,
        }
    }

    pub(super) fn policy(&self, dir: Direction) -> PolicySpec {
        let outbound = dir == Direction::Out;
        let id = self.sa_id(!outbound);
        PolicySpec {
            name: "net[1]".into(),
            kind: PolicyKind::Ipsec,
            class: self.class,
            manual_prio: 0,
            offload: self.offload,
            pcpu_acquires: false,
            forward_icmp: false,
            src: Some(id.src),
            dst: Some(id.dst),
            sa: SaReference {
                mode: Some(self.mode),
                reqid: self.reqid,
                policy_count: 1,
                esp: Some(if self.class == PriorityClass::Routed {
                    Spi(0)
                } else {
                    id.spi
                }),
                ah: None,
                ipcomp: self.ipcomp,
                cpi: if self.ipcomp == 0 {
                    0
                } else {
                    0x1234 + u16::from(!outbound)
                },
            },
        }
    }
}

/// A refusal in one line, as the log has it.
fn line(result: Result<()>) -> String {
    result.expect_err("it must be refused").to_string()
}
