// SPDX-License-Identifier: GPL-2.0-or-later
//! From which prefix length on the kernel finds a policy by hash instead of by searching.
//!
//! Owns `XFRM_MSG_GETSPDINFO` and `XFRM_MSG_NEWSPDINFO`. Called by `backend/` when it starts, with
//! the settings `spdh_thresh`. Must not touch anything if nothing changes: setting thresholds makes
//! the kernel sort all policies again.
#![forbid(unsafe_code)]

use netlink_packet_xfrm::XfrmMessage;
use netlink_packet_xfrm::constants::{
    XFRM_MSG_NEWSPDINFO, XFRMA_SPD_IPV4_HTHRESH, XFRMA_SPD_IPV6_HTHRESH,
};
use netlink_packet_xfrm::policy::{GetSpdInfoMessage, NewSpdInfoMessage, SpdHThresh, SpdInfoAttrs};

use super::super::Kernel;
use super::super::request::{Reply, u8_at};
use super::super::sa::malformed;
use super::super::transport::Protocol;
use super::request;
use crate::error::KernelError;

/// Shortest prefixes that are hashed: of the local and of the remote network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// `lbits`
    pub local: u8,
    /// `rbits`
    pub remote: u8,
}

/// The thresholds of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashThresholds {
    /// Up to 32.
    pub ipv4: Threshold,
    /// Up to 128.
    pub ipv6: Threshold,
}

impl Default for HashThresholds {
    /// The kernel's own: single hosts only.
    fn default() -> Self {
        let both = |bits| Threshold {
            local: bits,
            remote: bits,
        };
        Self {
            ipv4: both(32),
            ipv6: both(128),
        }
    }
}

impl HashThresholds {
    /// From `XFRM_MSG_NEWSPDINFO`.
    pub fn decode(reply: &Reply) -> Option<Self> {
        if reply.kind() != XFRM_MSG_NEWSPDINFO {
            return None;
        }
        let threshold = |kind| {
            let value = reply.attributes(size_of::<u32>()).value_of(kind)?;
            Some(Threshold {
                local: u8_at(value, 0)?,
                remote: u8_at(value, 1)?,
            })
        };
        Some(Self {
            ipv4: threshold(XFRMA_SPD_IPV4_HTHRESH)?,
            ipv6: threshold(XFRMA_SPD_IPV6_HTHRESH)?,
        })
    }
}

impl Kernel {
    /// The thresholds in force.
    pub fn hash_thresholds(&self) -> Result<HashThresholds, KernelError> {
        let message = XfrmMessage::GetSpdInfo(GetSpdInfoMessage::default());
        let request = request("XFRM_MSG_GETSPDINFO", &message)?;
        let reply = self.transport.get(Protocol::Xfrm, &request)?;
        HashThresholds::decode(&reply).ok_or_else(|| malformed(&request))
    }

    /// Sets the thresholds of both families; true if they were others before.
    pub fn set_hash_thresholds(&self, wanted: &HashThresholds) -> Result<bool, KernelError> {
        if self.hash_thresholds()? == *wanted {
            return Ok(false);
        }
        let attribute = |threshold: Threshold| SpdHThresh {
            lbits: threshold.local,
            rbits: threshold.remote,
        };
        let message = XfrmMessage::NewSpdInfo(NewSpdInfoMessage {
            flags: 0,
            nlas: vec![
                SpdInfoAttrs::SpdIpv4HThresh(attribute(wanted.ipv4)),
                SpdInfoAttrs::SpdIpv6HThresh(attribute(wanted.ipv6)),
            ],
        });
        let request = request("XFRM_MSG_NEWSPDINFO", &message)?;
        self.transport.ack(Protocol::Xfrm, &request)?;
        Ok(true)
    }
}
