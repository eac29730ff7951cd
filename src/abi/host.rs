// SPDX-License-Identifier: GPL-2.0-or-later
//! The real [`Host`]: questions to charon through the functions that the shim gave us.
//!
//! Owns the copy of `fs_host` and the conversion of `model/` values to C. Created by
//! `entry::create`, called by everything below. Must not hold a lock across a call, and must not
//! believe what comes back: names are searched for their NUL within their buffer, families checked.

use std::ffi::{CStr, CString, c_char, c_void};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use super::c;
use super::convert;
use super::guard::{Poison, guarded};
use super::hostlog::LogFunction;
use super::watch::{self, Removed};
use crate::host::{Acquire, ConfiguredChild, Host, HostRoute, Migrate, Readable, RouteResult};
use crate::model::{Addr, AlgorithmKind, Proto, Spi, TrafficSelector, any_of, family_of};

/// Longest setting that is read; interface lists are the longest there are.
const MAX_SETTING: usize = 64 * 1024;

type RouteFunction = unsafe extern "C" fn(
    *const u8,
    usize,
    u8,
    *const c::fs_addr,
    *const c::fs_addr,
    *const c_char,
    bool,
) -> i32;

/// `fs_host` with every function present.
struct Functions {
    log: LogFunction,
    get_bool: unsafe extern "C" fn(*const c_char, bool) -> bool,
    get_int: unsafe extern "C" fn(*const c_char, i64) -> i64,
    get_str: unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> i64,
    acquire: unsafe extern "C" fn(*const c::fs_acquire),
    expire: unsafe extern "C" fn(u8, u32, *const c::fs_addr, bool),
    mapping: unsafe extern "C" fn(u8, u32, *const c::fs_addr, *const c::fs_addr),
    migrate: unsafe extern "C" fn(*const c::fs_migrate),
    inbound_of: unsafe extern "C" fn(u32, *mut u32) -> bool,
    address_by_ts: unsafe extern "C" fn(*const c::fs_ts, *mut c::fs_addr, *mut u8) -> bool,
    interface_of: unsafe extern "C" fn(*const c::fs_addr, *mut c_char) -> bool,
    nexthop: unsafe extern "C" fn(
        *const c::fs_addr,
        i32,
        *const c::fs_addr,
        *mut c::fs_addr,
        *mut c_char,
    ) -> bool,
    add_route: RouteFunction,
    del_route: RouteFunction,
    lookup_algorithm: unsafe extern "C" fn(u16, u16, *mut u16, *mut c_char) -> bool,
    watch: unsafe extern "C" fn(i32, u64) -> bool,
    unwatch: unsafe extern "C" fn(i32),
    children: unsafe extern "C" fn(
        Option<unsafe extern "C" fn(*mut c_void, *const c::fs_child) -> bool>,
        *mut c_void,
    ),
    socket_owner: unsafe extern "C" fn(*mut u32, *mut u32),
}

/// charon, as one instance of the core sees it.
pub(super) struct CharonHost {
    functions: Functions,
    poison: Arc<Poison>,
}

impl CharonHost {
    /// Takes the functions out of the shim's struct; the name of what is missing if one is.
    pub(super) fn new(host: &c::fs_host) -> Result<Self, &'static str> {
        Ok(Self {
            functions: Functions {
                log: host.log.ok_or("log")?,
                get_bool: host.get_bool.ok_or("get_bool")?,
                get_int: host.get_int.ok_or("get_int")?,
                get_str: host.get_str.ok_or("get_str")?,
                acquire: host.acquire.ok_or("acquire")?,
                expire: host.expire.ok_or("expire")?,
                mapping: host.mapping.ok_or("mapping")?,
                migrate: host.migrate.ok_or("migrate")?,
                inbound_of: host.inbound_of.ok_or("inbound_of")?,
                address_by_ts: host.address_by_ts.ok_or("address_by_ts")?,
                interface_of: host.interface_of.ok_or("interface_of")?,
                nexthop: host.nexthop.ok_or("nexthop")?,
                add_route: host.add_route.ok_or("add_route")?,
                del_route: host.del_route.ok_or("del_route")?,
                lookup_algorithm: host.lookup_algorithm.ok_or("lookup_algorithm")?,
                watch: host.watch.ok_or("watch")?,
                unwatch: host.unwatch.ok_or("unwatch")?,
                children: host.children.ok_or("children")?,
                socket_owner: host.socket_owner.ok_or("socket_owner")?,
            },
            poison: Arc::default(),
        })
    }

    /// For the logger.
    pub(super) fn log_function(&self) -> LogFunction {
        self.functions.log
    }

    /// The flag that a panic sets.
    pub(super) fn poison(&self) -> &Poison {
        &self.poison
    }

    fn route(&self, function: RouteFunction, route: &HostRoute) -> RouteResult {
        let Ok(interface) = CString::new(route.interface.as_str()) else {
            return RouteResult::Failed;
        };
        let interface = (!route.interface.is_empty()).then_some(interface);
        let net = c_addr(Addr::new(route.net.first()));
        let net_len = match route.net.first() {
            IpAddr::V4(_) => 4,
            IpAddr::V6(_) => 16,
        };
        let gateway = route.gateway.map(|ip| c_addr(Addr::new(ip)));
        // charon's network half looks at the source of any route (kernel_netlink_net.c: add_route,
        // is_known_vip): "none" is the unspecified address there.
        let src = route.src.unwrap_or_else(|| any_of(route.net.first()));
        let src = c_addr(Addr::new(src));
        // SAFETY: All pointers are to locals that outlive the call or NULL, which the contract
        // allows for gateway and interface; net holds at least net_len bytes.
        let result = unsafe {
            function(
                net.bytes.as_ptr(),
                net_len,
                route.net.len(),
                pointer(gateway.as_ref()),
                &raw const src,
                interface
                    .as_ref()
                    .map_or(std::ptr::null(), |name| name.as_ptr()),
                route.pass,
            )
        };
        match u32::try_from(result) {
            Ok(c::FS_SUCCESS) => RouteResult::Done,
            Ok(c::FS_ALREADY_DONE) => RouteResult::AlreadyDone,
            _ => RouteResult::Failed,
        }
    }
}

impl Drop for CharonHost {
    /// By now everything is unwatched. If the core forgot one, charon would call us for ever.
    fn drop(&mut self) {
        for fd in watch::left_over(&self.poison) {
            log::debug!("socket {fd} was still watched");
            self.unwatch(fd);
        }
    }
}

impl Host for CharonHost {
    fn get_bool(&self, key: &str, fallback: bool) -> bool {
        let Ok(key) = CString::new(key) else {
            return fallback;
        };
        // SAFETY: The key is NUL terminated and only read during the call.
        unsafe { (self.functions.get_bool)(key.as_ptr(), fallback) }
    }

    fn get_int(&self, key: &str, fallback: i64) -> i64 {
        let Ok(key) = CString::new(key) else {
            return fallback;
        };
        // SAFETY: The key is NUL terminated and only read during the call.
        unsafe { (self.functions.get_int)(key.as_ptr(), fallback) }
    }

    fn get_str(&self, key: &str) -> Option<String> {
        let name = CString::new(key).ok()?;
        let mut buffer = vec![0_u8; 256];
        loop {
            // SAFETY: The key is NUL terminated; the buffer has the size that is passed.
            let length = unsafe {
                let size = buffer.len();
                (self.functions.get_str)(name.as_ptr(), buffer.as_mut_ptr().cast(), size)
            };
            let Ok(length) = usize::try_from(length) else {
                return None;
            };
            if length < buffer.len() {
                buffer.truncate(length);
                return Some(String::from_utf8_lossy(&buffer).into_owned());
            }
            if length >= MAX_SETTING {
                log::warn!("setting charon.{key} has {length} characters; it is ignored");
                return None;
            }
            // It may have grown between two calls by a reload; the loop ends at MAX_SETTING.
            buffer = vec![0; length + 1];
        }
    }

    fn acquire(&self, acquire: &Acquire) {
        let label = acquire.label.as_deref().unwrap_or_default();
        let data = c::fs_acquire {
            reqid: acquire.reqid,
            cpu: acquire.cpu.unwrap_or(c::FS_CPU_NONE),
            seq: acquire.seq,
            reserved: 0,
            src: c_ts(&acquire.src),
            dst: c_ts(&acquire.dst),
            label: c::fs_chunk {
                ptr: if label.is_empty() {
                    std::ptr::null()
                } else {
                    label.as_ptr()
                },
                len: label.len(),
            },
        };
        // SAFETY: The struct and the label outlive the call, which only borrows them.
        unsafe { (self.functions.acquire)(&raw const data) }
    }

    fn expire(&self, proto: Proto, spi: Spi, dst: IpAddr, hard: bool) {
        let dst = c_addr(Addr::new(dst));
        // SAFETY: The address outlives the call, which only borrows it.
        unsafe { (self.functions.expire)(proto.number(), spi.to_be(), &raw const dst, hard) }
    }

    fn mapping(&self, proto: Proto, spi: Spi, dst: IpAddr, new_remote: Addr) {
        let dst = c_addr(Addr::new(dst));
        let remote = c_addr(new_remote);
        let (dst, remote) = (&raw const dst, &raw const remote);
        // SAFETY: Both addresses outlive the call, which only borrows them.
        unsafe { (self.functions.mapping)(proto.number(), spi.to_be(), dst, remote) }
    }

    fn migrate(&self, migrate: &Migrate) {
        let data = c::fs_migrate {
            reqid: migrate.reqid,
            dir: migrate.dir.xfrm(),
            reserved: [0; 3],
            src_ts: c_ts(&migrate.src_ts),
            dst_ts: c_ts(&migrate.dst_ts),
            local: c_addr(migrate.local),
            remote: c_addr(migrate.remote),
        };
        // SAFETY: The struct outlives the call, which only borrows it.
        unsafe { (self.functions.migrate)(&raw const data) }
    }

    fn inbound_of(&self, outbound: Spi) -> Option<Spi> {
        let mut inbound = 0;
        // SAFETY: The pointer is to a local that outlives the call.
        let found = unsafe { (self.functions.inbound_of)(outbound.0.to_be(), &raw mut inbound) };
        found.then(|| Spi(u32::from_be(inbound)))
    }

    fn address_by_ts(&self, ts: &TrafficSelector) -> Option<(IpAddr, bool)> {
        let ts = c_ts(ts);
        let mut addr = c::fs_addr::default();
        let mut virtual_ip = 0;
        // SAFETY: All three outlive the call; the last two may be written.
        let found = unsafe {
            let (ts, addr) = (&raw const ts, &raw mut addr);
            (self.functions.address_by_ts)(ts, addr, &raw mut virtual_ip)
        };
        let ip = convert::addr(&addr).ok().flatten()?.ip;
        found.then_some((ip, virtual_ip != 0))
    }

    fn interface_of(&self, ip: IpAddr) -> Option<String> {
        let addr = c_addr(Addr::new(ip));
        let mut name = [0; c::FS_INTERFACE_SIZE as usize];
        // SAFETY: The name has the size that the contract demands.
        let found =
            unsafe { (self.functions.interface_of)(&raw const addr, name.as_mut_ptr().cast()) };
        found.then(|| text(&name)).flatten()
    }

    fn nexthop(
        &self,
        dest: IpAddr,
        prefix: Option<u8>,
        src: Option<IpAddr>,
    ) -> Option<(Option<IpAddr>, String)> {
        let dest = c_addr(Addr::new(dest));
        let src = src.map(|ip| c_addr(Addr::new(ip)));
        let mut hop = c::fs_addr::default();
        let mut name = [0; c::FS_INTERFACE_SIZE as usize];
        // SAFETY: All pointers are to locals that outlive the call, or NULL for an unknown source;
        // the name has the size that the contract demands.
        let found = unsafe {
            (self.functions.nexthop)(
                &raw const dest,
                prefix.map_or(-1, i32::from),
                pointer(src.as_ref()),
                &raw mut hop,
                name.as_mut_ptr().cast(),
            )
        };
        if !found {
            return None;
        }
        let hop = convert::addr(&hop).ok().flatten().map(|addr| addr.ip);
        let interface = text(&name).unwrap_or_default();
        Some((hop.filter(|ip| !ip.is_unspecified()), interface))
    }

    fn add_route(&self, route: &HostRoute) -> RouteResult {
        self.route(self.functions.add_route, route)
    }

    fn del_route(&self, route: &HostRoute) -> RouteResult {
        self.route(self.functions.del_route, route)
    }

    fn lookup_algorithm(&self, kind: AlgorithmKind, number: u16) -> Option<String> {
        let mut name = [0; c::FS_ALGORITHM_SIZE as usize];
        let mut kernel_id = 0;
        // SAFETY: The name has the size that the contract demands; both may be written.
        let found = unsafe {
            let name = name.as_mut_ptr().cast();
            (self.functions.lookup_algorithm)(number, kind as u16, &raw mut kernel_id, name)
        };
        found.then(|| text(&name)).flatten()
    }

    fn watch(&self, fd: RawFd, target: Weak<dyn Readable>) -> bool {
        let token = watch::add(fd, target, self.poison.clone());
        // SAFETY: Takes two numbers.
        let watching = unsafe { (self.functions.watch)(fd, token) };
        if !watching {
            watch::remove(token);
        }
        watching
    }

    fn unwatch(&self, fd: RawFd) {
        if watch::remove_fd(fd, &self.poison) == Removed::TellCharon {
            // SAFETY: Takes a number; it is not called from within the target of this descriptor.
            unsafe { (self.functions.unwatch)(fd) }
        }
    }

    fn children(&self, mut each: &mut dyn FnMut(ConfiguredChild) -> bool) {
        let context: *mut &mut dyn FnMut(ConfiguredChild) -> bool = &raw mut each;
        // SAFETY: take_child is what the context is for; both are used during the call only.
        unsafe { (self.functions.children)(Some(take_child), context.cast()) }
    }

    fn socket_owner(&self) -> Option<(u32, u32)> {
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: Both may be written and outlive the call.
        unsafe { (self.functions.socket_owner)(&raw mut uid, &raw mut gid) }
        Some((uid, gid))
    }
}

/// Takes in one configured CHILD_SA. A panic ends the enumeration, and does not reach charon, which
/// holds a lock.
unsafe extern "C" fn take_child(context: *mut c_void, child: *const c::fs_child) -> bool {
    guarded("children", None, || {
        // SAFETY: The context is the one that Host::children below passed, which waits for this
        // call, and nobody else has it.
        let each = unsafe { &mut *context.cast::<&mut dyn FnMut(ConfiguredChild) -> bool>() };
        // SAFETY: The shim hands over one child that it keeps for the call, or NULL.
        let Some(child) = (unsafe { child.as_ref() }) else {
            return false;
        };
        let name = |text: *const c_char| {
            if text.is_null() {
                return String::new();
            }
            // SAFETY: It is terminated, and borrowed for the call.
            unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned()
        };
        each(ConfiguredChild {
            connection: name(child.connection),
            name: name(child.name),
            offload: convert::offload(child.hw_offload).ok(),
            mode: convert::mode(child.mode).ok().flatten(),
            reqid: child.reqid,
        })
    })
}

fn pointer(addr: Option<&c::fs_addr>) -> *const c::fs_addr {
    addr.map_or(std::ptr::null(), std::ptr::from_ref)
}

/// The text up to its NUL; `None` if it is empty, not terminated or no UTF-8.
fn text(buffer: &[u8]) -> Option<String> {
    let text = std::ffi::CStr::from_bytes_until_nul(buffer).ok()?;
    let text = text.to_str().ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn bytes_of(ip: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match ip {
        IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes = v6.octets(),
    }
    bytes
}

fn c_addr(addr: Addr) -> c::fs_addr {
    c::fs_addr {
        family: family_of(addr.ip),
        port: addr.port,
        bytes: bytes_of(addr.ip),
    }
}

fn c_ts(ts: &TrafficSelector) -> c::fs_ts {
    c::fs_ts {
        family: family_of(ts.from),
        proto: ts.proto,
        reserved: 0,
        from_port: ts.from_port,
        to_port: ts.to_port,
        from: bytes_of(ts.from),
        to: bytes_of(ts.to),
    }
}
