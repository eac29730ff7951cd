// SPDX-License-Identifier: GPL-2.0-or-later
//! C structs to values of `model/`, each one checked.
//!
//! Owns the rules of what may come in: no NULL where something is needed, lengths within what the
//! protocols know, numbers that name something, families that fit together. Called by `entry` and
//! `host`. Must not decide what is possible in the kernel or on a NIC, and copies keys into
//! [`Key`] only.
//!
//! A pointer that is neither NULL nor valid cannot be told from a good one; everything else can.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::c;
use crate::error::{Error, Result};
use crate::model::{
    Addr, Direction, DscpCopy, Key, Lifetime, Limit, Mark, Mode, Offload, PolicyId, PolicyKind,
    PolicySpec, PriorityClass, Proto, SaId, SaReference, SaSpec, SaUpdate, Spi, TrafficSelector,
    UpdatedSa,
};
use crate::nic::Xfrmi;

/// The longest key of any transform, with its salt, is well below.
const MAX_KEY: usize = 1024;
/// A TS payload counts its selectors in one byte (RFC 7296, 3.13).
const MAX_SELECTORS: usize = 256;
/// More answers than there can be interfaces.
const MAX_ANSWERS: usize = 1 << 20;
/// Longest text without its NUL.
const MAX_TEXT: usize = 255;
/// An SELinux context in XFRM has a 16-bit length; the kernel takes up to a page.
const MAX_LABEL: usize = 4096;
/// `XFRMA_REPLAY_ESN_MAX` (include/uapi/linux/xfrm.h): the bitmap holds at most so many packets.
const MAX_REPLAY_WINDOW: u32 = 4096;
/// `IPCOMP_DEFLATE` to `IPCOMP_LZJH` (RFC 7296, 3.10.1).
const IPCOMP: std::ops::RangeInclusive<u16> = 2..=4;

fn invalid(text: impl Into<String>) -> Error {
    Error::Invalid(text.into())
}

/// Borrows what a pointer of C points to.
///
/// # Safety
/// `pointer` is NULL or points to an initialised `T` that nobody changes for as long as `'a`.
pub(super) unsafe fn reference<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    if !pointer.is_aligned() {
        return Err(invalid(format!("the pointer to the {what} is misaligned")));
    }
    // SAFETY: The caller promises that it is valid unless NULL; the alignment was checked.
    unsafe { pointer.as_ref() }.ok_or_else(|| invalid(format!("no {what} (NULL)")))
}

/// Room for an answer; asked for before the work is done, so that nothing is done for nobody.
///
/// # Safety
/// `pointer` is NULL or may be written as a `T` by nobody else for as long as `'a`.
pub(super) unsafe fn room<'a, T>(pointer: *mut T, what: &str) -> Result<&'a mut MaybeUninit<T>> {
    if !pointer.is_aligned() {
        return Err(invalid(format!("the pointer to the {what} is misaligned")));
    }
    // SAFETY: The caller promises that it may be written unless NULL; nothing is read, so that C
    // need not have initialised it.
    let room = unsafe { pointer.cast::<MaybeUninit<T>>().as_mut() };
    room.ok_or_else(|| invalid(format!("no room for the {what} (NULL)")))
}

/// Room for several answers.
///
/// # Safety
/// `pointer` is NULL or may be written as `len` values by nobody else for as long as `'a`.
pub(super) unsafe fn rooms<'a, T>(
    pointer: *mut T,
    len: usize,
    what: &str,
) -> Result<&'a mut [MaybeUninit<T>]> {
    if len == 0 {
        return Ok(&mut []);
    }
    if pointer.is_null() || !pointer.is_aligned() || len > MAX_ANSWERS {
        return Err(invalid(format!("no room for {len} {what}")));
    }
    // SAFETY: The caller promises room for len values; NULL, alignment and a sane length were
    // checked. Nothing is read.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast::<MaybeUninit<T>>(), len) })
}

/// Borrows an array of C.
///
/// # Safety
/// `pointer` is NULL or points to `len` initialised values that nobody changes for as long as `'a`.
unsafe fn slice<'a, T>(pointer: *const T, len: usize, max: usize, what: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if len > max {
        return Err(invalid(format!("{what} has length {len}, more than {max}")));
    }
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(invalid(format!("{what} has length {len} but no data")));
    }
    // SAFETY: The caller promises len values; NULL, alignment and a sane length were checked.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Text of C; `None` for NULL and for the empty text.
///
/// # Safety
/// `pointer` is NULL or points to text that ends with a NUL or has more than [`MAX_TEXT`] bytes.
unsafe fn text(pointer: *const c_char, what: &str) -> Result<Option<String>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: Reads up to the NUL or MAX_TEXT + 1 bytes, which the caller promises exist.
    let len = unsafe { libc::strnlen(pointer, MAX_TEXT + 1) };
    if len > MAX_TEXT {
        return Err(invalid(format!("{what} is longer than {MAX_TEXT} bytes")));
    }
    // SAFETY: strnlen found the NUL right behind these bytes.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), len + 1) };
    let text = CStr::from_bytes_with_nul(bytes).map_err(|_| invalid(what))?;
    let text = text.to_string_lossy();
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

/// Name of an interface, `None` for NULL and for the empty text.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn interface(pointer: *const c_char, what: &str) -> Result<Option<String>> {
    // SAFETY: As promised by the caller.
    let name = unsafe { text(pointer, what)? };
    match name {
        Some(name) if name.len() >= c::FS_INTERFACE_SIZE as usize => {
            Err(invalid(format!("{what} is longer than a name can be")))
        }
        name => Ok(name),
    }
}

/// An XFRM interface as C wants it.
pub(super) fn xfrmi(interface: &Xfrmi) -> c::fs_xfrmi {
    let name = |text: &str| {
        let mut name = [0; c::FS_INTERFACE_SIZE as usize];
        // The kernel has no longer ones; the last byte stays NUL.
        for (to, from) in name[..c::FS_INTERFACE_SIZE as usize - 1]
            .iter_mut()
            .zip(text.bytes())
        {
            *to = from.cast_signed();
        }
        name
    };
    c::fs_xfrmi {
        name: name(&interface.name),
        phys: name(interface.phys.as_deref().unwrap_or_default()),
        if_id: interface.if_id,
        mtu: interface.mtu,
    }
}

fn ip(family: u16, bytes: [u8; 16], what: &str) -> Result<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Ok(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        libc::AF_INET6 => Ok(Ipv6Addr::from(bytes).into()),
        _ => Err(invalid(format!("{what} is of address family {family}"))),
    }
}

fn same_family(a: IpAddr, b: IpAddr, what: &str) -> Result<()> {
    if a.is_ipv4() != b.is_ipv4() {
        return Err(invalid(format!("{what} mix IPv4 and IPv6 ({a}, {b})")));
    }
    Ok(())
}

/// An address; `None` if there is none (family 0).
pub(super) fn addr(raw: &c::fs_addr) -> Result<Option<Addr>> {
    if raw.family == 0 {
        return Ok(None);
    }
    Ok(Some(Addr {
        ip: ip(raw.family, raw.bytes, "address")?,
        port: raw.port,
    }))
}

fn needed_addr(raw: &c::fs_addr, what: &str) -> Result<Addr> {
    addr(raw)?.ok_or_else(|| invalid(format!("no {what} address")))
}

/// Source and destination of get_spi and get_cpi.
///
/// # Safety
/// Each pointer is NULL or points to an address for the time of the call.
pub(super) unsafe fn addr_pair(
    src: *const c::fs_addr,
    dst: *const c::fs_addr,
) -> Result<(Addr, Addr)> {
    // SAFETY: As promised by the caller.
    let (src, dst) = unsafe { (reference(src, "source")?, reference(dst, "destination")?) };
    let (src, dst) = (
        needed_addr(src, "source")?,
        needed_addr(dst, "destination")?,
    );
    same_family(src.ip, dst.ip, "source and destination")?;
    Ok((src, dst))
}

/// Protocol of an SA.
pub(super) fn proto(number: u8) -> Result<Proto> {
    Proto::from_number(number).ok_or_else(|| invalid(format!("protocol {number} is no IPsec")))
}

fn selector(raw: &c::fs_ts, what: &str) -> Result<TrafficSelector> {
    let ts = TrafficSelector {
        from: ip(raw.family, raw.from, what)?,
        to: ip(raw.family, raw.to, what)?,
        proto: raw.proto,
        from_port: raw.from_port,
        to_port: raw.to_port,
    };
    if ts.from > ts.to {
        return Err(invalid(format!("{what} is an empty range ({ts})")));
    }
    // 65535 to 0 is OPAQUE (RFC 7296, 3.13.1); any other range that is upside down is none.
    let opaque = (ts.from_port, ts.to_port) == (u16::MAX, 0);
    if ts.from_port > ts.to_port && !opaque {
        return Err(invalid(format!("{what} is an empty range of ports ({ts})")));
    }
    Ok(ts)
}

/// # Safety
/// As for [`slice`].
unsafe fn selectors(raw: &c::fs_ts_list, what: &str) -> Result<Vec<TrafficSelector>> {
    // SAFETY: As promised by the caller.
    let items = unsafe { slice(raw.items, raw.len, MAX_SELECTORS, what)? };
    if items.is_empty() {
        return Err(invalid(format!("{what} is empty")));
    }
    items.iter().map(|item| selector(item, what)).collect()
}

/// # Safety
/// As for [`slice`].
unsafe fn bytes<'a>(raw: &c::fs_chunk, max: usize, what: &str) -> Result<&'a [u8]> {
    // SAFETY: As promised by the caller.
    unsafe { slice(raw.ptr, raw.len, max, what) }
}

/// # Safety
/// As for [`slice`].
unsafe fn label(raw: &c::fs_chunk) -> Result<Option<Vec<u8>>> {
    // SAFETY: As promised by the caller.
    let bytes = unsafe { bytes(raw, MAX_LABEL, "security label")? };
    Ok((!bytes.is_empty()).then(|| bytes.to_vec()))
}

fn mark(raw: c::fs_mark) -> Mark {
    Mark {
        value: raw.value,
        mask: raw.mask,
    }
}

fn limit(raw: c::fs_limit) -> Limit {
    Limit {
        life: raw.life,
        rekey: raw.rekey,
    }
}

fn lifetime(raw: &c::fs_lifetime) -> Lifetime {
    Lifetime {
        time: limit(raw.time),
        bytes: limit(raw.bytes),
        packets: limit(raw.packets),
    }
}

/// Mode of an SA; `None` for "no mode".
pub(super) fn mode(number: u8) -> Result<Option<Mode>> {
    match u32::from(number) {
        c::FS_MODE_NONE | c::FS_MODE_PASS | c::FS_MODE_DROP => Ok(None),
        c::FS_MODE_TRANSPORT => Ok(Some(Mode::Transport)),
        c::FS_MODE_TUNNEL => Ok(Some(Mode::Tunnel)),
        c::FS_MODE_BEET => Ok(Some(Mode::Beet)),
        c::FS_MODE_IPTFS => Ok(Some(Mode::Iptfs)),
        _ => Err(invalid(format!("unknown mode {number}"))),
    }
}

pub(super) fn offload(number: u8) -> Result<Offload> {
    match u32::from(number) {
        c::FS_OFFLOAD_NO => Ok(Offload::No),
        c::FS_OFFLOAD_CRYPTO => Ok(Offload::Crypto),
        c::FS_OFFLOAD_PACKET => Ok(Offload::Packet),
        c::FS_OFFLOAD_AUTO => Ok(Offload::Auto),
        _ => Err(invalid(format!("unknown hw_offload {number}"))),
    }
}

fn dscp_copy(number: u8) -> Result<DscpCopy> {
    match u32::from(number) {
        c::FS_DSCP_OUT_ONLY => Ok(DscpCopy::OutOnly),
        c::FS_DSCP_IN_ONLY => Ok(DscpCopy::InOnly),
        c::FS_DSCP_YES => Ok(DscpCopy::Yes),
        c::FS_DSCP_NO => Ok(DscpCopy::No),
        _ => Err(invalid(format!("unknown copy_dscp {number}"))),
    }
}

fn ipcomp(number: u16) -> Result<u16> {
    if number != 0 && !IPCOMP.contains(&number) {
        return Err(invalid(format!("unknown IPComp transform {number}")));
    }
    Ok(number)
}

/// Which SA.
///
/// # Safety
/// `raw` is NULL or points to a struct for the time of the call.
pub(super) unsafe fn sa_id(raw: *const c::fs_sa_id) -> Result<SaId> {
    // SAFETY: As promised by the caller.
    let raw = unsafe { reference(raw, "SA")? };
    let src = needed_addr(&raw.src, "source")?;
    let dst = needed_addr(&raw.dst, "destination")?;
    same_family(src.ip, dst.ip, "source and destination")?;
    Ok(SaId {
        src,
        dst,
        spi: Spi::from_be(raw.spi),
        proto: proto(raw.proto)?,
        mark: mark(raw.mark),
        if_id: raw.if_id,
    })
}

/// What the SA is to be.
///
/// # Safety
/// `raw` is NULL or points to a struct that, with everything it points to, is valid for the time
/// of the call.
pub(super) unsafe fn sa_spec(raw: *const c::fs_sa) -> Result<SaSpec> {
    // SAFETY: As promised by the caller.
    let raw = unsafe { reference(raw, "data of the SA")? };
    let Some(mode) = mode(raw.mode)? else {
        return Err(invalid(format!("mode {} is none of an SA", raw.mode)));
    };
    if raw.replay_window > MAX_REPLAY_WINDOW {
        return Err(invalid(format!(
            "a replay window of {} packets is more than the kernel's {MAX_REPLAY_WINDOW}; lower \
             charon.replay_window or the connection's replay_window",
            raw.replay_window
        )));
    }
    // SAFETY: As promised by the caller; the keys are copied into buffers that are wiped.
    unsafe {
        Ok(SaSpec {
            name: text(raw.name, "connection name")?.unwrap_or_default(),
            reqid: raw.reqid,
            seq: raw.seq,
            mode,
            src_ts: selectors(&raw.src_ts, "list of source traffic selectors")?,
            dst_ts: selectors(&raw.dst_ts, "list of destination traffic selectors")?,
            interface: text(raw.interface, "interface name")?,
            lifetime: lifetime(&raw.lifetime),
            enc_alg: raw.enc_alg,
            enc_key: Key::new(bytes(&raw.enc_key, MAX_KEY, "encryption key")?),
            int_alg: raw.int_alg,
            int_key: Key::new(bytes(&raw.int_key, MAX_KEY, "integrity key")?),
            replay_window: raw.replay_window,
            tfc: raw.tfc,
            ipcomp: ipcomp(raw.ipcomp)?,
            cpi: raw.cpi,
            cpu: (raw.cpu != c::FS_CPU_NONE).then_some(raw.cpu),
            encap: raw.encap != 0,
            offload: offload(raw.hw_offload)?,
            set_mark: mark(raw.set_mark),
            label: label(&raw.label)?,
            esn: raw.esn != 0,
            copy_df: raw.copy_df != 0,
            copy_ecn: raw.copy_ecn != 0,
            copy_dscp: dscp_copy(raw.copy_dscp)?,
            iptfs_dont_frag: raw.iptfs_dont_frag != 0,
            forward_icmp: raw.forward_icmp != 0,
            initiator: raw.initiator != 0,
            inbound: raw.inbound != 0,
            update: raw.update != 0,
        })
    }
}

/// Where an SA is to move.
///
/// # Safety
/// As for [`sa_spec`].
pub(super) unsafe fn sa_update(raw: *const c::fs_update_sa) -> Result<SaUpdate> {
    // SAFETY: As promised by the caller.
    let raw = unsafe { reference(raw, "data of the update")? };
    let new_src = needed_addr(&raw.new_src, "new source")?;
    let new_dst = needed_addr(&raw.new_dst, "new destination")?;
    same_family(new_src.ip, new_dst.ip, "new source and destination")?;
    let sa = match raw.known {
        0 => None,
        _ => {
            let Some(mode) = mode(raw.mode)? else {
                return Err(invalid(format!("mode {} is none of an SA", raw.mode)));
            };
            // SAFETY: As promised by the caller.
            unsafe {
                Some(UpdatedSa {
                    mode,
                    offload: offload(raw.hw_offload)?,
                    src_ts: selectors(&raw.src_ts, "list of source traffic selectors")?,
                    dst_ts: selectors(&raw.dst_ts, "list of destination traffic selectors")?,
                    interface: text(raw.interface, "interface name")?,
                    inbound: raw.inbound != 0,
                })
            }
        }
    };
    Ok(SaUpdate {
        sa,
        old_reqid: (raw.old_reqid != 0).then_some(raw.old_reqid),
        new_src,
        new_dst,
        new_reqid: (raw.new_reqid != 0).then_some(raw.new_reqid),
        cpi: raw.cpi,
        encap: raw.encap != 0,
        new_encap: raw.new_encap != 0,
    })
}

/// Which policy.
///
/// # Safety
/// As for [`sa_spec`].
pub(super) unsafe fn policy_id(raw: *const c::fs_policy_id) -> Result<PolicyId> {
    // SAFETY: As promised by the caller.
    let raw = unsafe { reference(raw, "policy")? };
    let src_ts = selector(&raw.src_ts, "source traffic selector")?;
    let dst_ts = selector(&raw.dst_ts, "destination traffic selector")?;
    same_family(src_ts.from, dst_ts.from, "traffic selectors")?;
    // FS_DIR_* are the kernel's numbers; see the test.
    let dir = Direction::from_xfrm(raw.dir)
        .ok_or_else(|| invalid(format!("unknown policy direction {}", raw.dir)))?;
    // SAFETY: As promised by the caller.
    let (interface, label) =
        unsafe { (text(raw.interface, "interface name")?, label(&raw.label)?) };
    Ok(PolicyId {
        dir,
        src_ts,
        dst_ts,
        mark: mark(raw.mark),
        if_id: raw.if_id,
        interface,
        label,
    })
}

/// What the policy is to be.
///
/// # Safety
/// As for [`sa_spec`].
pub(super) unsafe fn policy_spec(raw: *const c::fs_policy) -> Result<PolicySpec> {
    // SAFETY: As promised by the caller.
    let raw = unsafe { reference(raw, "data of the policy")? };
    let kind = match u32::from(raw.type_) {
        c::FS_POLICY_IPSEC => PolicyKind::Ipsec,
        c::FS_POLICY_PASS => PolicyKind::Pass,
        c::FS_POLICY_DROP => PolicyKind::Drop,
        other => return Err(invalid(format!("unknown policy type {other}"))),
    };
    let class = match u32::from(raw.prio) {
        c::FS_PRIO_PASS => PriorityClass::Pass,
        c::FS_PRIO_DEFAULT => PriorityClass::Default,
        c::FS_PRIO_ROUTED => PriorityClass::Routed,
        c::FS_PRIO_FALLBACK => PriorityClass::Fallback,
        other => return Err(invalid(format!("unknown policy priority {other}"))),
    };
    let mode = mode(raw.mode)?;
    if kind == PolicyKind::Ipsec && mode.is_none() {
        return Err(invalid("an IPsec policy without the SA it demands"));
    }
    let (src, dst) = (addr(&raw.src)?, addr(&raw.dst)?);
    if let (Some(src), Some(dst)) = (src, dst) {
        same_family(src.ip, dst.ip, "source and destination")?;
    }
    // SAFETY: As promised by the caller.
    let name = unsafe { text(raw.name, "connection name")?.unwrap_or_default() };
    Ok(PolicySpec {
        name,
        kind,
        class,
        manual_prio: raw.manual_prio,
        offload: offload(raw.hw_offload)?,
        pcpu_acquires: raw.pcpu_acquires != 0,
        forward_icmp: raw.forward_icmp != 0,
        src,
        dst,
        sa: SaReference {
            mode,
            reqid: raw.reqid,
            policy_count: raw.policy_count,
            esp: (raw.esp != 0).then(|| Spi::from_be(raw.esp_spi)),
            ah: (raw.ah != 0).then(|| Spi::from_be(raw.ah_spi)),
            ipcomp: ipcomp(raw.ipcomp)?,
            cpi: raw.cpi,
        },
    })
}

/// Descriptor and family of a socket.
pub(super) fn socket(fd: i32, family: i32) -> Result<()> {
    if fd < 0 {
        return Err(invalid(format!("{fd} is no socket")));
    }
    if family != libc::AF_INET && family != libc::AF_INET6 {
        return Err(invalid(format!(
            "socket {fd} is of address family {family}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
