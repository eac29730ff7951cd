// SPDX-License-Identifier: GPL-2.0-or-later
//! Asks ethtool whether a device offloads ESP, and devlink for the name of its driver.
//!
//! Owns these generic netlink messages and the numbers of their families, which the kernel hands out
//! at run time. Called by `links.rs`. Must not cache what it learns about a device.
#![forbid(unsafe_code)]

use std::sync::Arc;

use once_cell::sync::OnceCell;

use crate::error::KernelError;
use crate::xfrm::request::{Attributes, Reply, Request, text_of, u16_at, u32_at};
use crate::xfrm::{Protocol, Transport};

/// `GENL_ID_CTRL`
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// `struct genlmsghdr`
const GENL_HDRLEN: usize = 4;

const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_NOMASK: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;

/// Name of `NETIF_F_HW_ESP_BIT`.
const ESP_FEATURE: &str = "esp-hw-offload";

const DEVLINK_CMD_INFO_GET: u8 = 51;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_INFO_DRIVER_NAME: u16 = 98;

/// A family of generic netlink; `None` inside if this kernel does not have it.
struct Family {
    name: &'static str,
    version: u8,
    id: OnceCell<Option<u16>>,
}

impl Family {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            version: 1,
            id: OnceCell::new(),
        }
    }

    /// Asked once. A failure other than "there is none" is asked again the next time.
    fn id(&self, transport: &dyn Transport) -> Result<Option<u16>, KernelError> {
        // Two threads may ask at once; both get the same answer, and no lock is held meanwhile.
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let mut request = Request::new("CTRL_CMD_GETFAMILY", GENL_ID_CTRL, 0);
        request.put(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
        request.attribute_parts(CTRL_ATTR_FAMILY_NAME, &[self.name.as_bytes(), &[0]]);
        let id = match transport.get(Protocol::Generic, &request) {
            Ok(reply) => reply
                .attributes(GENL_HDRLEN)
                .value_of(CTRL_ATTR_FAMILY_ID)
                .and_then(|value| u16_at(value, 0)),
            Err(error) if error.errno == libc::ENOENT => None,
            Err(error) => return Err(error),
        };
        Ok(*self.id.get_or_init(|| id))
    }

    fn request(&self, name: &'static str, id: u16, command: u8) -> Request {
        let mut request = Request::new(name, id, 0);
        request.put(&[command, self.version, 0, 0]);
        request
    }
}

/// The questions to ethtool and devlink.
pub(super) struct Features {
    transport: Arc<dyn Transport>,
    ethtool: Family,
    devlink: Family,
}

impl Features {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            ethtool: Family::new("ethtool"),
            devlink: Family::new("devlink"),
        }
    }

    /// Whether ESP offload is active on a device: crypto at least. A device that is gone, or a
    /// kernel without ethtool netlink (before 5.7), has none.
    pub(super) fn esp_offload(&self, ifindex: u32) -> Result<bool, KernelError> {
        let Some(id) = self.ethtool.id(&*self.transport)? else {
            return Ok(false);
        };
        let mut request =
            self.ethtool
                .request("ETHTOOL_MSG_FEATURES_GET", id, ETHTOOL_MSG_FEATURES_GET);
        let header = request.begin_nest(ETHTOOL_A_FEATURES_HEADER);
        request.attribute_u32(ETHTOOL_A_HEADER_DEV_INDEX, ifindex);
        request.end_nest(header);
        match self.transport.get(Protocol::Generic, &request) {
            Ok(reply) => Ok(decode(&reply).is_some_and(|(_, active)| active)),
            Err(error) if matches!(error.errno, libc::ENODEV | libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The same for all devices at once, as pairs of index and answer.
    pub(super) fn all_esp_offload(&self) -> Result<Vec<(u32, bool)>, KernelError> {
        let mut answers = Vec::new();
        let Some(id) = self.ethtool.id(&*self.transport)? else {
            log::warn!(
                "the kernel has no ethtool netlink (CONFIG_ETHTOOL_NETLINK), no device is known to \
                 offload ESP"
            );
            return Ok(answers);
        };
        let request =
            self.ethtool
                .request("ETHTOOL_MSG_FEATURES_GET", id, ETHTOOL_MSG_FEATURES_GET);
        self.transport
            .dump(Protocol::Generic, &request, &mut |reply| {
                answers.extend(decode(reply));
            })?;
        Ok(answers)
    }

    /// Name of the driver of a device behind a bus; `None` if the driver has no devlink.
    pub(super) fn driver(&self, bus: &str, device: &str) -> Option<String> {
        let id = self.devlink.id(&*self.transport).ok()??;
        let mut request = self
            .devlink
            .request("DEVLINK_CMD_INFO_GET", id, DEVLINK_CMD_INFO_GET);
        request.attribute_parts(DEVLINK_ATTR_BUS_NAME, &[bus.as_bytes(), &[0]]);
        request.attribute_parts(DEVLINK_ATTR_DEV_NAME, &[device.as_bytes(), &[0]]);
        let reply = self.transport.get(Protocol::Generic, &request).ok()?;
        reply
            .attributes(GENL_HDRLEN)
            .value_of(DEVLINK_ATTR_INFO_DRIVER_NAME)
            .and_then(text_of)
            .map(str::to_owned)
    }
}

/// Index of the device and whether ESP offload is active, from `ETHTOOL_MSG_FEATURES_GET_REPLY`.
pub(super) fn decode(reply: &Reply) -> Option<(u32, bool)> {
    let mut ifindex = None;
    let mut active = false;
    for (kind, value) in reply.attributes(GENL_HDRLEN) {
        match kind {
            ETHTOOL_A_FEATURES_HEADER => {
                ifindex = Attributes::new(value)
                    .value_of(ETHTOOL_A_HEADER_DEV_INDEX)
                    .and_then(|value| u32_at(value, 0));
            }
            ETHTOOL_A_FEATURES_ACTIVE => active = has_bit(value, ESP_FEATURE),
            _ => {}
        }
    }
    Some((ifindex?, active))
}

/// Whether a bitset holds a bit. One without mask lists the bits that are set, one with a mask also
/// those that are not.
fn has_bit(bitset: &[u8], name: &str) -> bool {
    let list = Attributes::new(bitset).any(|(kind, _)| kind == ETHTOOL_A_BITSET_NOMASK);
    Attributes::new(bitset)
        .filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS)
        .flat_map(|(_, bits)| Attributes::new(bits))
        .filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS_BIT)
        .any(|(_, bit)| {
            let named = Attributes::new(bit)
                .value_of(ETHTOOL_A_BITSET_BIT_NAME)
                .and_then(text_of)
                == Some(name);
            let set = list
                || Attributes::new(bit)
                    .value_of(ETHTOOL_A_BITSET_BIT_VALUE)
                    .is_some();
            named && set
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xfrm::NetlinkTransport;

    /// The list of a real kernel: the loopback device has a feature of that name, always on, and
    /// offloads no ESP.
    #[test]
    #[ignore = "asks the kernel of this machine: cargo test -- --ignored"]
    fn the_list_of_a_real_kernel_is_understood() {
        let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
        let features = Features::new(transport.clone());
        let id = features.ethtool.id(&*transport).unwrap().unwrap();
        let mut request = features
            .ethtool
            .request("features", id, ETHTOOL_MSG_FEATURES_GET);
        let header = request.begin_nest(ETHTOOL_A_FEATURES_HEADER);
        request.attribute_u32(ETHTOOL_A_HEADER_DEV_INDEX, 1);
        request.end_nest(header);
        let reply = transport.get(Protocol::Generic, &request).unwrap();
        let active = reply
            .attributes(GENL_HDRLEN)
            .value_of(ETHTOOL_A_FEATURES_ACTIVE)
            .unwrap();
        assert!(has_bit(active, "loopback"));
        assert!(!has_bit(active, ESP_FEATURE));
        // In the set of what can be changed every feature is named, but only some are set.
        let changeable = reply.attributes(GENL_HDRLEN).value_of(2).unwrap();
        assert!(!has_bit(changeable, "loopback"));
        assert_eq!(decode(&reply), Some((1, false)));
        assert!(features.all_esp_offload().unwrap().contains(&(1, false)));
        assert_eq!(features.esp_offload(u32::MAX >> 1), Ok(false));
    }
}
