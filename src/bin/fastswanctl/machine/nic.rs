// SPDX-License-Identifier: GPL-2.0-or-later
//! What devlink, ethtool and tc say about a NIC.
//!
//! Owns these generic netlink and rtnetlink messages. Called by `mod`. Must not write to the device.

use std::sync::Arc;

use fastswan::error::KernelError;
use fastswan::xfrm::request::{Attributes, Reply, Request, text_of, u8_at, u16_at, u32_at};
use fastswan::xfrm::{Protocol, Transport, driver_stats};

use crate::facts::{Answer, Device, Eswitch};

/// `GENL_ID_CTRL`
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`
const GENL_HDRLEN: usize = 4;

const DEVLINK_CMD_PORT_GET: u8 = 5;
const DEVLINK_CMD_ESWITCH_GET: u8 = 29;
const DEVLINK_CMD_PARAM_GET: u8 = 38;
const DEVLINK_CMD_INFO_GET: u8 = 51;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_ESWITCH_MODE: u16 = 25;
const DEVLINK_ATTR_ESWITCH_ENCAP_MODE: u16 = 62;
const DEVLINK_ATTR_PARAM: u16 = 80;
const DEVLINK_ATTR_PARAM_NAME: u16 = 81;
const DEVLINK_ATTR_PARAM_VALUES_LIST: u16 = 84;
const DEVLINK_ATTR_PARAM_VALUE: u16 = 85;
const DEVLINK_ATTR_PARAM_VALUE_DATA: u16 = 86;
const DEVLINK_ATTR_INFO_DRIVER_NAME: u16 = 98;
const DEVLINK_ATTR_INFO_VERSION_FIXED: u16 = 100;
const DEVLINK_ATTR_INFO_VERSION_RUNNING: u16 = 101;
const DEVLINK_ATTR_INFO_VERSION_NAME: u16 = 103;
const DEVLINK_ATTR_INFO_VERSION_VALUE: u16 = 104;
const DEVLINK_ATTR_PORT_FUNCTION: u16 = 145;
/// `DEVLINK_PORT_FN_ATTR_CAPS`, a `struct nla_bitfield32`, and its bit for `ipsec_packet`.
const DEVLINK_PORT_FN_ATTR_CAPS: u16 = 4;
const CAP_IPSEC: u32 = 1 << 2 | 1 << 3;

/// `struct tcmsg`
const TCMSG_LEN: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_FLOWER_FLAGS: u16 = 22;
const TCA_CLS_FLAGS_IN_HW: u32 = 1 << 2;
/// clsact's two hooks.
const HOOKS: [u32; 2] = [0xffff_fff2, 0xffff_fff3];

const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;
const ETHTOOL_A_BITSET_NOMASK: u16 = 1;
/// Name of `NETIF_F_GSO_ESP_BIT`.
const SEGMENTATION: &str = "tx-esp-segmentation";

/// The questions.
pub(super) struct Nics {
    transport: Arc<dyn Transport>,
    devlink: Option<u16>,
    ethtool: Option<u16>,
}

/// Number of a family of generic netlink, with the zero at the end of its name.
fn family(transport: &dyn Transport, name: &[u8]) -> Option<u16> {
    let mut request = Request::new("CTRL_CMD_GETFAMILY", GENL_ID_CTRL, 0);
    request.put(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
    request.attribute_parts(CTRL_ATTR_FAMILY_NAME, &[name]);
    let reply = transport.get(Protocol::Generic, &request).ok()?;
    let id = reply
        .attributes(GENL_HDRLEN)
        .value_of(CTRL_ATTR_FAMILY_ID)?;
    u16_at(id, 0)
}

impl Nics {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        let devlink = family(transport.as_ref(), b"devlink\0");
        let ethtool = family(transport.as_ref(), b"ethtool\0");
        Self {
            transport,
            devlink,
            ethtool,
        }
    }

    /// Fills in what can be learned about a device.
    pub(super) fn complete(&self, device: &mut Device) {
        device.tc_in_hw = Answer::from_result(self.tc_in_hw(device.ifindex));
        if device.esp_offload {
            device.esp_segmentation = self.segmentation(device.ifindex);
            // A driver without counters has none to show, and one that cannot tell neither.
            device.counters = driver_stats(&device.name)
                .unwrap_or_default()
                .into_iter()
                .filter(|(name, _)| name.contains("ipsec") || name.contains("esp_"))
                .collect();
        }
        // Only devices of a bus have a devlink; most have no more to say.
        let Some(address) = device.address.clone().filter(|_| device.pci.is_some()) else {
            return;
        };
        if let Ok(reply) = self.devlink("DEVLINK_CMD_INFO_GET", DEVLINK_CMD_INFO_GET, &address) {
            read_info(&reply, device);
        }
        device.eswitch = Answer::from_result(
            self.devlink("DEVLINK_CMD_ESWITCH_GET", DEVLINK_CMD_ESWITCH_GET, &address)
                .map(|reply| eswitch(&reply)),
        );
        device.steering = self.parameter(&address, "flow_steering_mode");
        device.vfs_with_ipsec = self.vfs_with_ipsec(&address);
    }

    fn request(&self, name: &'static str, command: u8) -> Result<Request, KernelError> {
        let family = self
            .devlink
            .ok_or_else(|| KernelError::new(name, libc::EOPNOTSUPP))?;
        let mut request = Request::new(name, family, 0);
        request.put(&[command, 1, 0, 0]);
        Ok(request)
    }

    fn of(&self, name: &'static str, command: u8, address: &str) -> Result<Request, KernelError> {
        let mut request = self.request(name, command)?;
        request.attribute_parts(DEVLINK_ATTR_BUS_NAME, &[b"pci\0"]);
        request.attribute_parts(DEVLINK_ATTR_DEV_NAME, &[address.as_bytes(), &[0]]);
        Ok(request)
    }

    fn devlink(
        &self,
        name: &'static str,
        command: u8,
        address: &str,
    ) -> Result<Reply, KernelError> {
        self.transport
            .get(Protocol::Generic, &self.of(name, command, address)?)
    }

    fn segmentation(&self, ifindex: u32) -> Option<bool> {
        let mut request = Request::new("ETHTOOL_MSG_FEATURES_GET", self.ethtool?, 0);
        request.put(&[ETHTOOL_MSG_FEATURES_GET, 1, 0, 0]);
        let header = request.begin_nest(ETHTOOL_A_FEATURES_HEADER);
        request.attribute_u32(ETHTOOL_A_HEADER_DEV_INDEX, ifindex);
        request.end_nest(header);
        let reply = self.transport.get(Protocol::Generic, &request).ok()?;
        let active = reply
            .attributes(GENL_HDRLEN)
            .value_of(ETHTOOL_A_FEATURES_ACTIVE)?;
        Some(has_bit(active, SEGMENTATION))
    }

    fn parameter(&self, address: &str, name: &str) -> Option<String> {
        let mut request = self
            .of("DEVLINK_CMD_PARAM_GET", DEVLINK_CMD_PARAM_GET, address)
            .ok()?;
        request.attribute_parts(DEVLINK_ATTR_PARAM_NAME, &[name.as_bytes(), &[0]]);
        let reply = self.transport.get(Protocol::Generic, &request).ok()?;
        parameter(&reply)
    }

    fn vfs_with_ipsec(&self, address: &str) -> u32 {
        let Ok(request) = self.request("DEVLINK_CMD_PORT_GET", DEVLINK_CMD_PORT_GET) else {
            return 0;
        };
        let mut count = 0;
        // A count of what was seen before a failure is still a count.
        let _ = self
            .transport
            .dump(Protocol::Generic, &request, &mut |reply| {
                count += u32::from(port_has_ipsec(reply, address));
            });
        count
    }

    fn tc_in_hw(&self, ifindex: u32) -> Result<u32, KernelError> {
        let mut count = 0;
        for hook in HOOKS {
            let mut request = Request::new("RTM_GETTFILTER", libc::RTM_GETTFILTER, 0);
            request.put(&[0; 4]);
            request.put_u32(ifindex);
            request.put_u32(0);
            request.put_u32(hook);
            request.put_u32(0);
            match self
                .transport
                .dump(Protocol::Route, &request, &mut |reply| {
                    count += u32::from(in_hardware(reply));
                }) {
                // Without a qdisc there is nothing to ask.
                Err(error) if matches!(error.errno, libc::EINVAL | libc::ENODEV | libc::ENOENT) => {
                }
                other => other?,
            }
        }
        Ok(count)
    }
}

/// Whether a filter is in the hardware.
fn in_hardware(reply: &Reply) -> bool {
    let kind = reply
        .attributes(TCMSG_LEN)
        .value_of(TCA_KIND)
        .and_then(text_of);
    reply.kind() == libc::RTM_NEWTFILTER
        && kind == Some("flower")
        && reply
            .attributes(TCMSG_LEN)
            .value_of(TCA_OPTIONS)
            .and_then(|options| Attributes::new(options).value_of(TCA_FLOWER_FLAGS))
            .and_then(|flags| u32_at(flags, 0))
            .is_some_and(|flags| flags & TCA_CLS_FLAGS_IN_HW != 0)
}

/// Whether a bitset of ethtool holds a bit: one without mask lists those that are set.
fn has_bit(bitset: &[u8], name: &str) -> bool {
    let list = Attributes::new(bitset).any(|(kind, _)| kind == ETHTOOL_A_BITSET_NOMASK);
    Attributes::new(bitset)
        .filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS)
        .flat_map(|(_, bits)| Attributes::new(bits))
        .any(|(_, bit)| {
            let attribute = |kind| Attributes::new(bit).value_of(kind);
            attribute(ETHTOOL_A_BITSET_BIT_NAME).and_then(text_of) == Some(name)
                && (list || attribute(ETHTOOL_A_BITSET_BIT_VALUE).is_some())
        })
}

fn read_info(reply: &Reply, device: &mut Device) {
    for (kind, value) in reply.attributes(GENL_HDRLEN) {
        match kind {
            DEVLINK_ATTR_INFO_DRIVER_NAME => {
                device.driver = text_of(value).map(str::to_owned);
            }
            DEVLINK_ATTR_INFO_VERSION_FIXED | DEVLINK_ATTR_INFO_VERSION_RUNNING => {
                let text = |kind| {
                    Attributes::new(value)
                        .value_of(kind)
                        .and_then(text_of)
                        .unwrap_or_default()
                };
                let version = text(DEVLINK_ATTR_INFO_VERSION_VALUE).to_owned();
                match text(DEVLINK_ATTR_INFO_VERSION_NAME) {
                    "fw.version" | "fw" => device.firmware = Some(version),
                    "fw.psid" => device.board = Some(version),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn eswitch(reply: &Reply) -> Eswitch {
    let mut result = Eswitch {
        mode: "unknown".to_owned(),
        encap: false,
    };
    for (kind, value) in reply.attributes(GENL_HDRLEN) {
        match kind {
            DEVLINK_ATTR_ESWITCH_MODE => {
                result.mode = match u16_at(value, 0) {
                    Some(0) => "legacy".to_owned(),
                    Some(1) => "switchdev".to_owned(),
                    Some(other) => format!("mode {other}"),
                    None => continue,
                };
            }
            DEVLINK_ATTR_ESWITCH_ENCAP_MODE => {
                result.encap = u8_at(value, 0).is_some_and(|mode| mode != 0);
            }
            _ => {}
        }
    }
    result
}

/// The value of a parameter that is text, of the first of its configuration modes.
fn parameter(reply: &Reply) -> Option<String> {
    let parameter = reply.attributes(GENL_HDRLEN).value_of(DEVLINK_ATTR_PARAM)?;
    let values = Attributes::new(parameter).value_of(DEVLINK_ATTR_PARAM_VALUES_LIST)?;
    let value = Attributes::new(values).value_of(DEVLINK_ATTR_PARAM_VALUE)?;
    let data = Attributes::new(value).value_of(DEVLINK_ATTR_PARAM_VALUE_DATA)?;
    text_of(data).map(str::to_owned)
}

/// Whether a port is a function of this NIC with IPsec switched on.
fn port_has_ipsec(reply: &Reply, address: &str) -> bool {
    let attributes = || reply.attributes(GENL_HDRLEN);
    attributes()
        .value_of(DEVLINK_ATTR_DEV_NAME)
        .and_then(text_of)
        == Some(address)
        && attributes()
            .value_of(DEVLINK_ATTR_PORT_FUNCTION)
            .and_then(|function| Attributes::new(function).value_of(DEVLINK_PORT_FN_ATTR_CAPS))
            .and_then(|caps| u32_at(caps, 0))
            .is_some_and(|caps| caps & CAP_IPSEC != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with what `fill` puts behind `fixed` bytes.
    fn reply(kind: u16, fixed: usize, fill: impl FnOnce(&mut Request)) -> Reply {
        let mut request = Request::new("test", kind, 0);
        request.put(&vec![0; fixed]);
        fill(&mut request);
        Reply::new(kind, request.payload())
    }

    fn nested(request: &mut Request, kind: u16, fill: impl FnOnce(&mut Request)) {
        let nest = request.begin_nest(kind);
        fill(request);
        request.end_nest(nest);
    }

    #[test]
    fn filters_in_the_hardware_are_told_from_others() {
        let filter = |name: &[u8], flags: u32| {
            reply(libc::RTM_NEWTFILTER, TCMSG_LEN, |request| {
                request.attribute(TCA_KIND, name);
                nested(request, TCA_OPTIONS, |options| {
                    options.attribute_u32(TCA_FLOWER_FLAGS, flags);
                });
            })
        };
        assert!(in_hardware(&filter(b"flower\0", 0b100)));
        assert!(!in_hardware(&filter(b"flower\0", 0b1001)));
        assert!(!in_hardware(&filter(b"u32\0", 0b100)));
        assert!(!in_hardware(&reply(libc::RTM_NEWTFILTER, 2, |_| {})));
    }

    #[test]
    fn features_are_told_from_those_that_are_off() {
        let bits = |mask: bool, value: bool| {
            let reply = reply(20, GENL_HDRLEN, |request| {
                if !mask {
                    request.attribute(ETHTOOL_A_BITSET_NOMASK, &[]);
                }
                nested(request, ETHTOOL_A_BITSET_BITS, |bits| {
                    nested(bits, 1, |bit| {
                        bit.attribute(ETHTOOL_A_BITSET_BIT_NAME, b"tx-esp-segmentation\0");
                        if value {
                            bit.attribute(ETHTOOL_A_BITSET_BIT_VALUE, &[]);
                        }
                    });
                });
            });
            let bytes = reply.payload()[GENL_HDRLEN..].to_vec();
            (has_bit(&bytes, SEGMENTATION), has_bit(&bytes, "other"))
        };
        assert_eq!(bits(false, false), (true, false));
        assert_eq!(bits(true, true), (true, false));
        assert_eq!(bits(true, false), (false, false));
    }

    #[test]
    fn what_devlink_says_is_read() {
        let mut device = Device::default();
        let info = reply(20, GENL_HDRLEN, |request| {
            request.attribute(DEVLINK_ATTR_INFO_DRIVER_NAME, b"mlx5_core\0");
            for (kind, name, value) in [
                (
                    DEVLINK_ATTR_INFO_VERSION_FIXED,
                    "fw.psid\0",
                    "MT_0000000834\0",
                ),
                (
                    DEVLINK_ATTR_INFO_VERSION_RUNNING,
                    "fw.version\0",
                    "28.48.1000\0",
                ),
            ] {
                nested(request, kind, |version| {
                    version.attribute(DEVLINK_ATTR_INFO_VERSION_NAME, name.as_bytes());
                    version.attribute(DEVLINK_ATTR_INFO_VERSION_VALUE, value.as_bytes());
                });
            }
        });
        read_info(&info, &mut device);
        assert_eq!(device.driver.as_deref(), Some("mlx5_core"));
        assert_eq!(device.firmware.as_deref(), Some("28.48.1000"));
        assert_eq!(device.board.as_deref(), Some("MT_0000000834"));

        let mode = reply(20, GENL_HDRLEN, |request| {
            request.attribute(DEVLINK_ATTR_ESWITCH_MODE, &1_u16.to_ne_bytes());
            request.attribute(DEVLINK_ATTR_ESWITCH_ENCAP_MODE, &[1]);
        });
        let found = eswitch(&mode);
        assert_eq!((found.mode.as_str(), found.encap), ("switchdev", true));

        let steering = reply(20, GENL_HDRLEN, |request| {
            nested(request, DEVLINK_ATTR_PARAM, |parameter| {
                nested(parameter, DEVLINK_ATTR_PARAM_VALUES_LIST, |values| {
                    nested(values, DEVLINK_ATTR_PARAM_VALUE, |value| {
                        value.attribute(DEVLINK_ATTR_PARAM_VALUE_DATA, b"dmfs\0");
                    });
                });
            });
        });
        assert_eq!(parameter(&steering).as_deref(), Some("dmfs"));
        assert_eq!(parameter(&mode), None);

        let port = reply(20, GENL_HDRLEN, |request| {
            request.attribute(DEVLINK_ATTR_DEV_NAME, b"0000:03:00.0\0");
            nested(request, DEVLINK_ATTR_PORT_FUNCTION, |function| {
                function.attribute(DEVLINK_PORT_FN_ATTR_CAPS, &[8, 0, 0, 0, 15, 0, 0, 0]);
            });
        });
        assert!(port_has_ipsec(&port, "0000:03:00.0"));
        assert!(!port_has_ipsec(&port, "0000:03:00.1"));
    }
}
