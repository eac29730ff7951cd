// SPDX-License-Identifier: GPL-2.0-or-later
//! IKE must not be caught by IPsec policies.
//!
//! Owns the exemptions of the daemon's own ports: a policy on each socket, or policies on the ports,
//! and, on each NIC that holds offloaded policies, offloaded policies on the ports. A NIC knows
//! nothing of the policies on sockets and would encrypt IKE of a peer whose selectors include it.
//! Called by `policy.rs` before the first and after the last offloaded policy of a device.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, KernelError, Result};
use crate::model::{Direction, Mark, PortMatch, Prefix, Selector};
use crate::xfrm::{Action, PolicyKey, PolicyMessage, sockopt};

use super::Core;
use super::recorded::Recorded;

/// Above every other priority (kernel_netlink_ipsec.c uses the same).
const PRIORITY: u32 = 32;
const UDP: u8 = 17;

/// An IKE port of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    v6: bool,
    port: u16,
}

impl Port {
    /// What exempts it: own port outbound as source, inbound as destination.
    fn keys(self, ifindex: u32) -> [PolicyKey; 2] {
        let any: IpAddr = if self.v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let port = PortMatch {
            port: self.port,
            mask: u16::MAX,
        };
        [Direction::In, Direction::Out].map(|dir| {
            let (sport, dport) = match dir {
                Direction::Out => (port, PortMatch::ANY),
                _ => (PortMatch::ANY, port),
            };
            PolicyKey {
                dir,
                selector: Selector {
                    src: Prefix::new(any, 0),
                    dst: Prefix::new(any, 0),
                    proto: UDP,
                    sport,
                    dport,
                    ifindex,
                },
                mark: Mark::default(),
                if_id: 0,
                label: None,
            }
        })
    }
}

/// A NIC that has offloaded policies.
#[derive(Debug, Default)]
struct DeviceState {
    /// Offloaded policies, those under way included.
    users: usize,
    /// Somebody installs or removes the exemptions.
    busy: bool,
    installed: Vec<PolicyKey>,
    ready: bool,
}

#[derive(Debug, Default)]
struct State {
    ports: BTreeSet<Port>,
    /// Exemptions by port in software (`port_bypass`).
    global: Vec<PolicyKey>,
    devices: HashMap<u32, DeviceState>,
}

/// The exemptions that are installed.
#[derive(Debug, Default)]
pub(crate) struct PortBypass {
    state: Mutex<State>,
    changed: Condvar,
}

impl PortBypass {
    /// One more offloaded policy is about to go to a device. Returns when the exemptions are there;
    /// a device that refuses them cannot have the policy.
    pub(super) fn enter(&self, core: &Core, ifindex: u32) -> std::result::Result<(), KernelError> {
        let ports: Vec<Port> = {
            let mut state = self.lock();
            state.devices.entry(ifindex).or_default().users += 1;
            loop {
                let device = state.devices.entry(ifindex).or_default();
                if device.ready {
                    return Ok(());
                }
                if !device.busy {
                    device.busy = true;
                    break;
                }
                // The wait is as long as the bounded system calls of the thread in front.
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.ports.iter().copied().collect()
        };
        let mut installed = Vec::new();
        let result = ports
            .iter()
            .flat_map(|port| port.keys(ifindex))
            .try_for_each(|key| {
                add(&core.kernel, &key, Some(ifindex))?;
                core.check_honoured(&key)?;
                installed.push(key);
                Ok(())
            });
        if let Err(error) = &result {
            log::error!(
                "unable to exempt IKE on {} by an offloaded policy: {error}",
                core.device_name(ifindex)
            );
            remove(&core.kernel, &std::mem::take(&mut installed));
        } else {
            log::debug!(
                "IKE is exempt on {} by {} offloaded policies",
                core.device_name(ifindex),
                installed.len()
            );
        }
        let mut state = self.lock();
        if let Some(device) = state.devices.get_mut(&ifindex) {
            device.busy = false;
            device.ready = result.is_ok();
            device.installed = installed;
            if result.is_err() {
                device.users -= 1;
            }
        }
        drop(state);
        self.changed.notify_all();
        result
    }

    /// A port that came up after devices had their exemptions (socket-dynamic opens them on demand).
    fn extend(&self, core: &Core, port: Port) -> Result<()> {
        let ready: Vec<u32> = {
            let state = self.lock();
            let ready = state.devices.iter().filter(|(_, device)| device.ready);
            ready.map(|(ifindex, _)| *ifindex).collect()
        };
        for ifindex in ready {
            for key in port.keys(ifindex) {
                add(&core.kernel, &key, Some(ifindex)).inspect_err(|error| {
                    log::error!(
                        "unable to exempt IKE on {} by an offloaded policy: {error}",
                        core.device_name(ifindex)
                    );
                })?;
                let mut state = self.lock();
                match state
                    .devices
                    .get_mut(&ifindex)
                    .filter(|device| device.ready)
                {
                    Some(device) => device.installed.push(key),
                    None => {
                        // The last offloaded policy went in the meantime.
                        drop(state);
                        remove(&core.kernel, &[key]);
                    }
                }
            }
        }
        Ok(())
    }

    /// One offloaded policy less on a device; the exemptions go with the last one.
    pub(super) fn leave(&self, kernel: &Recorded, ifindex: u32) {
        let installed = {
            let mut state = self.lock();
            let Some(device) = state.devices.get_mut(&ifindex) else {
                return;
            };
            device.users = device.users.saturating_sub(1);
            if device.users > 0 || device.busy {
                return;
            }
            device.busy = true;
            device.ready = false;
            std::mem::take(&mut device.installed)
        };
        remove(kernel, &installed);
        let mut state = self.lock();
        if let Some(device) = state.devices.get_mut(&ifindex) {
            device.busy = false;
            if device.users == 0 {
                state.devices.remove(&ifindex);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The kernel flushed a device: its exemptions are gone, and are installed again for those who
    /// still need them.
    pub(super) fn forget(&self, ifindex: u32) {
        let mut state = self.lock();
        if let Some(device) = state.devices.get_mut(&ifindex) {
            device.ready = false;
            device.installed.clear();
        }
    }

    /// Puts back the exemptions that somebody else removed.
    pub(super) fn repair(&self, core: &Core) {
        let keys: Vec<(PolicyKey, Option<u32>)> = {
            let state = self.lock();
            let global = state.global.iter().map(|key| (key.clone(), None));
            let devices = state.devices.iter().filter(|(_, device)| device.ready);
            let offloaded = devices.flat_map(|(ifindex, device)| {
                let keys = device.installed.iter();
                keys.map(|key| (key.clone(), Some(*ifindex)))
            });
            global.chain(offloaded).collect()
        };
        for (key, offload) in keys {
            match core.kernel.get_policy(&key) {
                Err(error) if error.errno == libc::ENOENT => {}
                _ => continue,
            }
            if let Err(error) = add(&core.kernel, &key, offload) {
                log::error!(
                    "unable to restore the exemption of IKE {} {}: {error}",
                    key.selector,
                    key.dir
                );
            }
        }
    }

    /// Removes all exemptions, at the end.
    pub(super) fn remove_all(&self, kernel: &Recorded) {
        let state = std::mem::take(&mut *self.lock());
        remove(kernel, &state.global);
        for device in state.devices.values() {
            remove(kernel, &device.installed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters and flags only, each set in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    pub(super) fn bypass_socket(&self, fd: RawFd, family: i32) -> Result<()> {
        let failed = |what: &str, error: &std::io::Error| {
            log::error!("unable to exempt IKE socket {fd} from IPsec: {what}: {error}");
            Error::Invalid(format!("{what}: {error}"))
        };
        // A socket that is not bound yet has no port to exempt on a NIC.
        let port = sockopt::local_port(fd)
            .map_err(|error| failed("getsockname", &error))
            .map(|port| Port {
                v6: family == libc::AF_INET6,
                port,
            })?;
        if self.config().port_bypass {
            for key in port.keys(0) {
                add(&self.kernel, &key, None)?;
                self.bypass.lock().global.push(key);
            }
        } else {
            sockopt::bypass(fd, family).map_err(|error| failed("IP_XFRM_POLICY", &error))?;
        }
        if port.port != 0 && self.bypass.lock().ports.insert(port) {
            self.bypass.extend(self, port)?;
        }
        Ok(())
    }
}

/// Installs one exemption. One that is there already was left by a daemon that crashed.
fn add(
    kernel: &Recorded,
    key: &PolicyKey,
    offload: Option<u32>,
) -> std::result::Result<(), KernelError> {
    let message = PolicyMessage {
        key,
        priority: PRIORITY,
        action: Action::Allow,
        templates: &[],
        cpu_acquires: false,
        icmp: false,
        offload,
    };
    match kernel.new_policy(&message, false) {
        Err(error) if error.errno == libc::EEXIST => kernel.new_policy(&message, true),
        result => result,
    }
}

fn remove(kernel: &Recorded, keys: &[PolicyKey]) {
    for key in keys {
        match kernel.del_policy(key) {
            Ok(()) => {}
            // Flushed with its device.
            Err(error) if error.errno == libc::ENOENT => {}
            Err(error) => log::error!(
                "unable to remove the exemption of IKE {} {}: {error}",
                key.selector,
                key.dir
            ),
        }
    }
}
