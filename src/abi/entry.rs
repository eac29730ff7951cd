// SPDX-License-Identifier: GPL-2.0-or-later
//! The functions of the table, one per method of `kernel_ipsec_t`.
//!
//! Owns the instance that C holds a pointer to. Called by the shim on any thread of charon. Each
//! function checks its arguments, calls the method of the same name in `backend/`, and writes an
//! answer only if that succeeded. Must not log what `backend/` has logged already: only what is
//! refused here gets a line here.
//!
//! # Safety
//!
//! The contract of every function here, from `include/fastswan.h`: a pointer is NULL or valid for
//! the call; an instance is one that [`create`] returned and [`destroy`] was not called with, and
//! no other call is under way when `destroy` is made (charon has stopped its workers by then).
#![allow(
    clippy::missing_safety_doc,
    reason = "one contract for all, above and in include/fastswan.h"
)]

use std::ffi::{CStr, c_char};
use std::fmt;
use std::sync::Arc;

use super::c;
use super::convert::{self, room};
use super::guard::{self, Access, Failure, guarded};
use super::host::CharonHost;
use super::{hostlog, watch};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{PolicyId, Proto};

/// What `struct fs_backend *` points to.
struct Instance {
    backend: Arc<Backend>,
    host: Arc<CharonHost>,
}

/// The result that charon sees.
fn code(error: &Error) -> u32 {
    match error {
        Error::NotFound(_) => c::FS_NOT_FOUND,
        Error::NotSupported(_) => c::FS_NOT_SUPPORTED,
        Error::Kernel(_) | Error::Refused { .. } | Error::Algorithm(_) | Error::Invalid(_) => {
            c::FS_FAILED
        }
    }
}

/// The result of the core, which has logged it.
fn outcome(result: Result<()>) -> i32 {
    match result {
        Ok(()) => c::FS_SUCCESS as i32,
        Err(error) => code(&error) as i32,
    }
}

/// Says which object an argument that makes no sense belongs to.
fn of<T>(what: &impl fmt::Display, result: Result<T>) -> Result<T> {
    result.map_err(|error| Error::Invalid(format!("{what}: {error}")))
}

/// A policy, for a message.
struct Named<'a>(&'a PolicyId);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PolicyId {
            dir,
            src_ts,
            dst_ts,
            ..
        } = self.0;
        write!(f, "policy {src_ts} === {dst_ts} {dir}")
    }
}

/// Guards a call with an instance. `body` fails only before it has called the core: with an
/// argument that makes no sense, which gets its line here.
///
/// # Safety
/// `backend` is NULL or an instance as promised in the contract.
unsafe fn method<R: Failure>(
    name: &'static str,
    backend: *mut c::fs_backend,
    access: Access,
    body: impl FnOnce(&Backend) -> Result<R>,
) -> R {
    // SAFETY: NULL is checked by the call; any other instance was made by create.
    let instance = unsafe { convert::reference(backend.cast::<Instance>(), "instance") };
    let poison = instance
        .as_ref()
        .ok()
        .map(|instance| instance.host.poison());
    guarded(name, poison, || {
        let result = instance.and_then(|instance| {
            if guard::refused(name, instance.host.poison(), access) {
                return Ok(R::FAILED);
            }
            body(&instance.backend)
        });
        result.unwrap_or_else(|error| {
            log::warn!("{name} refused: {error}");
            R::FAILED
        })
    })
}

pub(super) unsafe extern "C" fn create(
    host: *const c::fs_host,
    version: *const c_char,
) -> *mut c::fs_backend {
    guarded("create", None, || {
        // SAFETY: Contract of the module. The size is compared before anything else is read.
        let Some(host) = (unsafe { host_of(host) }) else {
            return std::ptr::null_mut();
        };
        hostlog::install(host.log_function());
        guard::install_hook();
        let version = if version.is_null() {
            "unknown".into()
        } else {
            // SAFETY: Contract of the module: NUL terminated.
            unsafe { CStr::from_ptr(version) }.to_string_lossy()
        };
        let host = Arc::new(host);
        match backend(host.clone(), &version) {
            Ok(backend) => Box::into_raw(Box::new(Instance { backend, host })).cast(),
            Err(error) => {
                log::error!(
                    "kernel-fastswan is not active, leaving IPsec to the next plugin that \
                     provides it: {error}"
                );
                std::ptr::null_mut()
            }
        }
    })
}

#[cfg(not(feature = "boundary"))]
fn backend(host: Arc<dyn Host>, version: &str) -> Result<Arc<Backend>> {
    Backend::create(host, version)
}

#[cfg(feature = "boundary")]
fn backend(host: Arc<dyn Host>, version: &str) -> Result<Arc<Backend>> {
    super::boundary::backend(host, version)
}

/// Checks that the shim speaks the same contract.
///
/// # Safety
/// `host` is NULL or points to a struct that is as long as it says.
unsafe fn host_of(host: *const c::fs_host) -> Option<CharonHost> {
    // SAFETY: As promised by the caller; only the first two fields are read before they are
    // compared, and they are the same in every contract.
    let (contract, size) = unsafe {
        let contract = host.cast::<u32>();
        if contract.is_null() || !host.is_aligned() {
            return None;
        }
        (contract.read(), contract.add(1).read())
    };
    if contract != c::FASTSWAN_CONTRACT || size as usize != size_of::<c::fs_host>() {
        // There is no function that could be trusted to log this; the shim does.
        return None;
    }
    // SAFETY: It is of the size and of the contract that this was compiled for.
    let host = unsafe { &*host };
    match CharonHost::new(host) {
        Ok(host) => Some(host),
        Err(missing) => {
            if let Some(function) = host.log {
                hostlog::install(function);
                log::error!("kernel-fastswan: the shim has no function {missing}");
            }
            None
        }
    }
}

pub(super) unsafe extern "C" fn destroy(backend: *mut c::fs_backend) {
    guarded("destroy", None, || {
        if backend.is_null() {
            return;
        }
        // SAFETY: Contract of the module: made by create, and this is the last call with it.
        let instance = unsafe { Box::from_raw(backend.cast::<Instance>()) };
        instance.backend.shutdown();
    });
}

pub(super) unsafe extern "C" fn reload(backend: *mut c::fs_backend) -> bool {
    // SAFETY: Contract of the module.
    unsafe { method("reload", backend, Access::Extends, |core| Ok(core.reload())) }
}

pub(super) unsafe extern "C" fn get_features(backend: *mut c::fs_backend) -> u32 {
    let features = |core: &Backend| {
        let features = core.features();
        let bits = [
            (features.esp_v3_tfc, c::FS_FEATURE_ESP_V3_TFC),
            (features.policy_spi, c::FS_FEATURE_POLICY_SPI),
            (features.sa_use_time, c::FS_FEATURE_SA_USE_TIME),
            (features.acquire_seq, c::FS_FEATURE_ACQUIRE_SEQ),
        ];
        let set = bits.iter().filter(|(has, _)| *has);
        Ok(set.fold(0, |all, (_, bit)| all | bit))
    };
    // SAFETY: Contract of the module.
    unsafe { method("get_features", backend, Access::Any, features) }
}

pub(super) unsafe extern "C" fn get_spi(
    backend: *mut c::fs_backend,
    src: *const c::fs_addr,
    dst: *const c::fs_addr,
    proto: u8,
    spi_be: *mut u32,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("get_spi", backend, Access::Extends, |core| {
            let (src, dst) = convert::addr_pair(src, dst)?;
            let proto = convert::proto(proto)?;
            if proto == Proto::Comp {
                return Err(Error::Invalid("IPComp has CPIs, not SPIs".into()));
            }
            let room = room(spi_be, "SPI")?;
            let result = core.get_spi(src, dst, proto);
            Ok(outcome(result.map(|spi| {
                room.write(spi.to_be());
            })))
        })
    }
}

pub(super) unsafe extern "C" fn get_cpi(
    backend: *mut c::fs_backend,
    src: *const c::fs_addr,
    dst: *const c::fs_addr,
    cpi_be: *mut u16,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("get_cpi", backend, Access::Extends, |core| {
            let (src, dst) = convert::addr_pair(src, dst)?;
            let room = room(cpi_be, "CPI")?;
            let result = core.get_cpi(src, dst);
            Ok(outcome(result.map(|cpi| {
                room.write(cpi.to_be());
            })))
        })
    }
}

pub(super) unsafe extern "C" fn add_sa(
    backend: *mut c::fs_backend,
    id: *const c::fs_sa_id,
    data: *const c::fs_sa,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("add_sa", backend, Access::Extends, |core| {
            let id = convert::sa_id(id)?;
            let spec = of(&id, convert::sa_spec(data))?;
            #[cfg(feature = "boundary")]
            super::boundary::provoke(&spec.name);
            Ok(outcome(core.add_sa(&id, &spec)))
        })
    }
}

pub(super) unsafe extern "C" fn update_sa(
    backend: *mut c::fs_backend,
    id: *const c::fs_sa_id,
    data: *const c::fs_update_sa,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("update_sa", backend, Access::Extends, |core| {
            let id = convert::sa_id(id)?;
            let update = of(&id, convert::sa_update(data))?;
            Ok(outcome(core.update_sa(&id, &update)))
        })
    }
}

pub(super) unsafe extern "C" fn query_sa(
    backend: *mut c::fs_backend,
    id: *const c::fs_sa_id,
    cpi: u16,
    usage: *mut c::fs_usage,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("query_sa", backend, Access::Any, |core| {
            let id = convert::sa_id(id)?;
            let room = room(usage, "usage")?;
            let result = core.query_sa(&id, cpi);
            Ok(outcome(result.map(|usage| {
                room.write(c::fs_usage {
                    bytes: usage.bytes,
                    packets: usage.packets,
                    use_time: usage.use_time,
                });
            })))
        })
    }
}

pub(super) unsafe extern "C" fn del_sa(
    backend: *mut c::fs_backend,
    id: *const c::fs_sa_id,
    cpi: u16,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("del_sa", backend, Access::Any, |core| {
            let id = convert::sa_id(id)?;
            Ok(outcome(core.del_sa(&id, cpi)))
        })
    }
}

pub(super) unsafe extern "C" fn flush_sas(backend: *mut c::fs_backend) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("flush_sas", backend, Access::Any, |core| {
            Ok(outcome(core.flush_sas()))
        })
    }
}

pub(super) unsafe extern "C" fn add_policy(
    backend: *mut c::fs_backend,
    id: *const c::fs_policy_id,
    data: *const c::fs_policy,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("add_policy", backend, Access::Extends, |core| {
            let id = convert::policy_id(id)?;
            let spec = of(&Named(&id), convert::policy_spec(data))?;
            #[cfg(feature = "boundary")]
            super::boundary::provoke(&spec.name);
            Ok(outcome(core.add_policy(&id, &spec)))
        })
    }
}

pub(super) unsafe extern "C" fn query_policy(
    backend: *mut c::fs_backend,
    id: *const c::fs_policy_id,
    use_time: *mut i64,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("query_policy", backend, Access::Any, |core| {
            let id = convert::policy_id(id)?;
            let room = room(use_time, "use time")?;
            let result = core.query_policy(&id);
            Ok(outcome(result.map(|time| {
                room.write(time);
            })))
        })
    }
}

pub(super) unsafe extern "C" fn del_policy(
    backend: *mut c::fs_backend,
    id: *const c::fs_policy_id,
    data: *const c::fs_policy,
) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("del_policy", backend, Access::Any, |core| {
            let id = convert::policy_id(id)?;
            let spec = of(&Named(&id), convert::policy_spec(data))?;
            Ok(outcome(core.del_policy(&id, &spec)))
        })
    }
}

pub(super) unsafe extern "C" fn flush_policies(backend: *mut c::fs_backend) -> i32 {
    // SAFETY: Contract of the module.
    unsafe {
        method("flush_policies", backend, Access::Any, |core| {
            Ok(outcome(core.flush_policies()))
        })
    }
}

pub(super) unsafe extern "C" fn bypass_socket(
    backend: *mut c::fs_backend,
    fd: i32,
    family: i32,
) -> bool {
    // SAFETY: Contract of the module.
    unsafe {
        method("bypass_socket", backend, Access::Any, |core| {
            convert::socket(fd, family)?;
            Ok(core.bypass_socket(fd, family).is_ok())
        })
    }
}

pub(super) unsafe extern "C" fn enable_udp_decap(
    backend: *mut c::fs_backend,
    fd: i32,
    family: i32,
    port: u16,
) -> bool {
    // SAFETY: Contract of the module.
    unsafe {
        method("enable_udp_decap", backend, Access::Any, |core| {
            convert::socket(fd, family)?;
            Ok(core.enable_udp_decap(fd, family, port).is_ok())
        })
    }
}

pub(super) unsafe extern "C" fn xfrmi_supported(backend: *mut c::fs_backend) -> bool {
    // SAFETY: Contract of the module.
    unsafe {
        method("xfrmi_supported", backend, Access::Any, |core| {
            Ok(core.xfrmi_supported())
        })
    }
}

pub(super) unsafe extern "C" fn xfrmi_create(
    backend: *mut c::fs_backend,
    name: *const c_char,
    if_id: u32,
    phys: *const c_char,
    mtu: u32,
) -> bool {
    // SAFETY: Contract of the module.
    unsafe {
        method("xfrmi_create", backend, Access::Extends, |core| {
            let name = convert::interface(name, "name of the XFRM interface")?
                .ok_or_else(|| Error::Invalid("an XFRM interface without a name".into()))?;
            let phys = convert::interface(phys, "name of the interface below")?;
            let result = core.xfrmi_create(&name, if_id, phys.as_deref(), mtu);
            Ok(result.is_ok())
        })
    }
}

pub(super) unsafe extern "C" fn xfrmi_delete(
    backend: *mut c::fs_backend,
    name: *const c_char,
) -> bool {
    // SAFETY: Contract of the module.
    unsafe {
        method("xfrmi_delete", backend, Access::Any, |core| {
            let name = convert::interface(name, "name of the XFRM interface")?
                .ok_or_else(|| Error::Invalid("an XFRM interface without a name".into()))?;
            Ok(core.xfrmi_delete(&name).is_ok())
        })
    }
}

pub(super) unsafe extern "C" fn xfrmi_list(
    backend: *mut c::fs_backend,
    items: *mut c::fs_xfrmi,
    room: usize,
) -> i64 {
    // SAFETY: Contract of the module.
    unsafe {
        method("xfrmi_list", backend, Access::Any, |core| {
            let rooms = convert::rooms(items, room, "XFRM interfaces")?;
            let Ok(interfaces) = core.xfrmi_list() else {
                return Ok(i64::FAILED);
            };
            for (room, interface) in rooms.iter_mut().zip(&interfaces) {
                room.write(convert::xfrmi(interface));
            }
            Ok(i64::try_from(interfaces.len()).unwrap_or(i64::MAX))
        })
    }
}

pub(super) extern "C" fn readable(token: u64, fd: i32) -> bool {
    let poison = watch::poison_of(token);
    let mut panicked = true;
    let more = guarded("readable", poison.as_deref(), || {
        let more = watch::call(token, fd);
        panicked = false;
        more
    });
    // One message that we cannot take must not end the events of all others.
    more || (panicked && watch::after_panic(token))
}
