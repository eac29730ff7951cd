// SPDX-License-Identifier: GPL-2.0-or-later
//! What the core asks of charon, as a trait.
//!
//! Owns the list of those questions. The real one (in `abi/`) calls back into the shim; tests use a
//! fake. No function may be called while a lock of ours is held: charon takes locks of its own in
//! most of them.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Weak;

use crate::model::{
    Addr, AlgorithmKind, Direction, Mode, Offload, Prefix, Proto, Spi, TrafficSelector,
};

/// An acquire: the kernel wants an SA for a packet (`XFRM_MSG_ACQUIRE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// reqid of the policy that asked.
    pub reqid: u32,
    /// CPU that asked, with per-CPU acquires.
    pub cpu: Option<u32>,
    /// Sequence number to hand back with the SA.
    pub seq: u32,
    /// Source of the packet.
    pub src: TrafficSelector,
    /// Destination of the packet.
    pub dst: TrafficSelector,
    /// Security label of the packet.
    pub label: Option<Vec<u8>>,
}

/// An address pair of a migrate (`XFRM_MSG_MIGRATE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrate {
    /// reqid.
    pub reqid: u32,
    /// Direction of the policy.
    pub dir: Direction,
    /// Source selector of the policy.
    pub src_ts: TrafficSelector,
    /// Destination selector of the policy.
    pub dst_ts: TrafficSelector,
    /// New local address.
    pub local: Addr,
    /// New remote address.
    pub remote: Addr,
}

/// A route that charon's network half installs for a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoute {
    /// Destination network.
    pub net: Prefix,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Preferred source address.
    pub src: Option<IpAddr>,
    /// Interface name.
    pub interface: String,
    /// For a PASS policy: it goes to the table of exceptions.
    pub pass: bool,
}

/// Result of [`Host::add_route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteResult {
    /// Installed, or removed.
    Done,
    /// It was there already.
    AlreadyDone,
    /// Refused.
    Failed,
}

/// A CHILD_SA of a loaded connection, as configured. vici does not report `hw_offload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredChild {
    /// Connection.
    pub connection: String,
    /// CHILD_SA.
    pub name: String,
    /// What is asked for; `None` if charon knows a mode that we do not.
    pub offload: Option<Offload>,
    /// Mode; `None` for shunts.
    pub mode: Option<Mode>,
    /// reqid that the user set, 0 = none.
    pub reqid: u32,
}

/// Something that wants to be called when a file descriptor is readable.
pub trait Readable: Send + Sync {
    /// Reads what is there and returns; `false` ends the watching.
    fn readable(&self) -> bool;
}

/// What the core asks of charon.
pub trait Host: Send + Sync {
    /// A setting below `charon.`.
    fn get_bool(&self, key: &str, fallback: bool) -> bool;
    /// A setting below `charon.`.
    fn get_int(&self, key: &str, fallback: i64) -> i64;
    /// A setting below `charon.`; `None` if it is not set.
    fn get_str(&self, key: &str) -> Option<String>;

    /// Reports an acquire.
    fn acquire(&self, acquire: &Acquire);
    /// Reports that an SA expired, softly or hard.
    fn expire(&self, proto: Proto, spi: Spi, dst: IpAddr, hard: bool);
    /// Reports a new source address or port of ESP in UDP.
    fn mapping(&self, proto: Proto, spi: Spi, dst: IpAddr, new_remote: Addr);
    /// Reports a migration.
    fn migrate(&self, migrate: &Migrate);

    /// The inbound SPI of the CHILD_SA whose outbound SA has this SPI, among those of the IKE_SA that
    /// the calling thread works on; `None` if it is none of them, or not yet.
    fn inbound_of(&self, outbound: Spi) -> Option<Spi>;

    /// An own address within `ts`, and whether it is a virtual one.
    fn address_by_ts(&self, ts: &TrafficSelector) -> Option<(IpAddr, bool)>;
    /// Name of the interface that holds an own address.
    fn interface_of(&self, ip: IpAddr) -> Option<String>;
    /// Next hop and interface towards `dest`, or towards a network if `prefix` is given, as charon's
    /// network half sees them: routes that charon installed itself are left out.
    fn nexthop(
        &self,
        dest: IpAddr,
        prefix: Option<u8>,
        src: Option<IpAddr>,
    ) -> Option<(Option<IpAddr>, String)>;
    /// Installs a route.
    fn add_route(&self, route: &HostRoute) -> RouteResult;
    /// Removes a route.
    fn del_route(&self, route: &HostRoute) -> RouteResult;

    /// Kernel's name for an algorithm that another plugin registered.
    fn lookup_algorithm(&self, kind: AlgorithmKind, number: u16) -> Option<String>;

    /// Calls `target` on a thread of charon whenever `fd` is readable, until it is gone or says so.
    fn watch(&self, fd: RawFd, target: Weak<dyn Readable>) -> bool;
    /// Ends the watching; waits for a call that is under way, so it must not be made from one.
    fn unwatch(&self, fd: RawFd);

    /// Hands over the CHILD_SAs of all loaded connections until `each` returns false. charon holds a
    /// lock meanwhile, so `each` must do no more than take them in.
    fn children(&self, each: &mut dyn FnMut(ConfiguredChild) -> bool) {
        // For fakes that have no connections.
        let _ = each;
    }
    /// User and group that charon gives its own sockets to.
    fn socket_owner(&self) -> Option<(u32, u32)> {
        None
    }
}
