// SPDX-License-Identifier: GPL-2.0-or-later
//! The manager of XFRM interfaces that kernel-netlink offers to other plugins of charon.
//!
//! Owns what `kernel_netlink_xfrmi_t` does, and its lines in the log. Called by `abi/` for the
//! object that the shim publishes. Must not keep a list of its own: interfaces come and go by
//! anybody's hand.

use crate::error::{Error, Result};
use crate::nic::{Xfrmi, xfrmi};

use super::Backend;

impl Backend {
    /// Whether the kernel has XFRM interfaces and lets us make them.
    pub fn xfrmi_supported(&self) -> bool {
        let supported = xfrmi::supported(self.core.kernel.transport().as_ref());
        log::debug!(
            "XFRM interfaces {}supported by kernel",
            if supported { "" } else { "not " }
        );
        supported
    }

    /// Makes an XFRM interface and sets it up; `phys` is the interface below, `mtu` 0 the default.
    pub fn xfrmi_create(&self, name: &str, if_id: u32, phys: Option<&str>, mtu: u32) -> Result<()> {
        let failed = |reason: String| {
            log::error!("failed to create XFRM interface '{name}': {reason}");
            Error::Invalid(reason)
        };
        let lower = match phys {
            None => None,
            Some(phys) => {
                let link = self.core.links.by_name(phys);
                let link =
                    link.ok_or_else(|| failed(format!("physical interface '{phys}' not found")))?;
                Some(link.ifindex)
            }
        };
        let transport = self.core.kernel.transport().as_ref();
        xfrmi::create(transport, name, if_id, lower, mtu).map_err(|error| match error.errno {
            libc::EEXIST => {
                log::error!("XFRM interface '{name}' or one with ID {if_id} already exists");
                Error::Kernel(error)
            }
            _ => failed(error.to_string()),
        })
    }

    /// Deletes the interface of this name, of whatever type it is.
    pub fn xfrmi_delete(&self, name: &str) -> Result<()> {
        let transport = self.core.kernel.transport().as_ref();
        xfrmi::delete(transport, name).map_err(|error| match error.errno {
            libc::ENODEV => {
                let text = format!("XFRM interface '{name}' not found to delete");
                log::error!("{text}");
                Error::NotFound(text)
            }
            _ => {
                log::error!("failed to delete XFRM interface '{name}': {error}");
                Error::Kernel(error)
            }
        })
    }

    /// The XFRM interfaces there are.
    pub fn xfrmi_list(&self) -> Result<Vec<Xfrmi>> {
        let mut all = xfrmi::list(self.core.kernel.transport().as_ref()).inspect_err(|error| {
            log::info!("enumerating XFRM interfaces failed: {error}");
        })?;
        for interface in &mut all {
            interface.phys = interface
                .lower
                .and_then(|lower| self.core.links.get(lower))
                .map(|link| link.name);
        }
        Ok(all)
    }
}
