// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the messages: against netlink-packet-xfrm, which encodes and decodes independently of
//! us, against fixed bytes where the crate lacks an attribute, and against the modelled kernel.
//!
//! Owns the samples that these tests share.

mod abilities;
mod event;
mod fake;
mod layout;
mod movement;
mod policy;
mod sa;
mod sa_read;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use netlink_packet_core::ParseableParametrized;
use netlink_packet_xfrm::XfrmMessage;

use super::transport::{EventSocket, Protocol, Transport};
use super::{Iptfs, Kernel, Replay, Reply, Request, SaMessage};
use crate::error::KernelError;
use crate::model::{
    Addr, DscpCopy, Key, Lifetime, Limit, Mark, Mode, Offload, Placement, PortMatch, Prefix, Proto,
    SaId, SaSpec, Selector, Spi, Transforms,
};

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn prefix(text: &str) -> Prefix {
    let (ip, len) = text.split_once('/').unwrap();
    Prefix::new(ip.parse().unwrap(), len.parse().unwrap())
}

pub(super) fn selector(src: &str, dst: &str) -> Selector {
    Selector {
        src: prefix(src),
        dst: prefix(dst),
        proto: 0,
        sport: PortMatch::ANY,
        dport: PortMatch::ANY,
        ifindex: 0,
    }
}

/// Twenty bytes, none of them zero or equal.
pub(super) const KEY: [u8; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0xf1, 0xf2, 0xf3, 0xf4,
];

pub(super) fn gcm() -> Transforms {
    Transforms::Aead {
        name: "rfc4106(gcm(aes))".into(),
        icv_bits: 128,
    }
}

/// An SA with the parts that a test changes.
pub(super) struct Sample {
    pub(super) id: SaId,
    pub(super) spec: SaSpec,
    pub(super) transforms: Transforms,
    pub(super) placement: Placement,
    pub(super) selector: Option<Selector>,
    pub(super) any_family: bool,
    pub(super) replay: Replay,
    pub(super) iptfs: Iptfs,
}

impl Sample {
    pub(super) fn message(&self) -> SaMessage<'_> {
        SaMessage {
            id: &self.id,
            spec: &self.spec,
            transforms: &self.transforms,
            placement: self.placement,
            selector: self.selector,
            any_family: self.any_family,
            replay: self.replay,
            iptfs: self.iptfs,
        }
    }

    /// The message as it is sent.
    pub(super) fn encode(&self) -> Recorded {
        let wire = Wire::new(None);
        let kernel = Kernel::new(wire.clone());
        kernel.new_sa(&self.message(), self.spec.update).unwrap();
        wire.take().remove(0)
    }
}

/// AES-GCM in tunnel mode with everything else at its simplest.
pub(super) fn sample(inbound: bool) -> Sample {
    Sample {
        id: SaId {
            src: Addr::new(ip("192.0.2.1")),
            dst: Addr::new(ip("192.0.2.2")),
            spi: Spi(0xc123_4567),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: 0,
        },
        spec: SaSpec {
            name: String::new(),
            reqid: 7,
            seq: 0,
            mode: Mode::Tunnel,
            src_ts: Vec::new(),
            dst_ts: Vec::new(),
            interface: None,
            lifetime: Lifetime {
                time: Limit {
                    life: 3960,
                    rekey: 3600,
                },
                ..Lifetime::default()
            },
            enc_alg: 20,
            enc_key: Key::new(&KEY),
            int_alg: 1024,
            int_key: Key::default(),
            replay_window: 32,
            tfc: 0,
            ipcomp: 0,
            cpi: 0,
            cpu: None,
            encap: false,
            offload: Offload::No,
            set_mark: Mark::default(),
            label: None,
            esn: true,
            copy_df: true,
            copy_ecn: true,
            copy_dscp: DscpCopy::OutOnly,
            iptfs_dont_frag: false,
            forward_icmp: false,
            initiator: true,
            inbound,
            update: false,
        },
        transforms: gcm(),
        placement: Placement::Software,
        selector: None,
        any_family: false,
        replay: Replay::Esn {
            window: 64,
            esn: true,
        },
        iptfs: Iptfs::default(),
    }
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) kind: u16,
    pub(super) payload: Vec<u8>,
}

impl Recorded {
    /// As netlink-packet-xfrm reads it.
    pub(super) fn decode(&self) -> XfrmMessage {
        XfrmMessage::parse_with_param(&self.payload, self.kind).unwrap()
    }
}

/// A transport that writes down what is sent and gives one and the same answer.
pub(super) struct Wire {
    sent: Mutex<Vec<Recorded>>,
    reply: Option<(u16, Vec<u8>)>,
}

impl Wire {
    pub(super) fn new(reply: Option<(u16, Vec<u8>)>) -> Arc<Self> {
        Arc::new(Self {
            sent: Mutex::default(),
            reply,
        })
    }

    pub(super) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    fn record(&self, request: &Request) -> Result<(), KernelError> {
        request.check()?;
        self.sent.lock().unwrap().push(Recorded {
            kind: request.kind(),
            payload: request.payload().to_vec(),
        });
        Ok(())
    }
}

impl Transport for Wire {
    fn batch(&self, _: Protocol, _: &[Request]) -> Result<(), KernelError> {
        Err(KernelError::new("batch", libc::EOPNOTSUPP))
    }

    fn ack(&self, protocol: Protocol, request: &Request) -> Result<(), KernelError> {
        assert_eq!(protocol, Protocol::Xfrm);
        self.record(request)
    }

    fn get(&self, protocol: Protocol, request: &Request) -> Result<Reply, KernelError> {
        assert_eq!(protocol, Protocol::Xfrm);
        self.record(request)?;
        match &self.reply {
            Some((kind, payload)) => Ok(Reply::new(*kind, payload)),
            None => Err(KernelError::new(request.name(), libc::ENODATA)),
        }
    }

    fn dump(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError> {
        each(&self.get(protocol, request)?);
        Ok(())
    }

    fn subscribe(&self, _: Protocol, _: &[u32]) -> Result<Box<dyn EventSocket>, KernelError> {
        Err(KernelError::new("subscribe", libc::EOPNOTSUPP))
    }
}
