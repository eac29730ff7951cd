// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of the SAD: allocate an SPI, add, update, query, move, delete, flush, dump.
//!
//! Owns what an SA looks like to the kernel: `encode` writes one, `decode` reads one, `migrate` and
//! `relocate` move one to other addresses. Called by `backend/` and `sad/` through [`Kernel`]. Must not leave
//! a key in memory, nor decide where an SA belongs.
#![forbid(unsafe_code)]

mod decode;
mod encode;
mod migrate;
mod relocate;

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_xfrm::nlas::XfrmAttrs;
use netlink_packet_xfrm::state::{AllocSpiMessage, DelGetMessage, FlushMessage, GetDumpMessage};
use netlink_packet_xfrm::{Address, UserSaId, XfrmMessage};

use super::consts::{XFRM_MSG_GETSA, XFRM_SA_DIR_IN, XFRMA_PROTO, XFRMA_SA_DIR, usersa};
use super::request::{Reply, Request, be32_at};
use super::transport::Protocol;
use super::{Kernel, lookup_attributes};
use crate::error::KernelError;
use crate::model::{Lifetime, Mode, Placement, Proto, SaId, SaKey, SaSpec, Selector, Transforms};

pub(super) use decode::{mark as decode_mark, selector as decode_selector};
pub use relocate::SaMove;

/// How the replay window of an SA is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// No window.
    None,
    /// In `struct xfrm_usersa_info`, up to 32 packets. Drivers do not see this one.
    Legacy(u32),
    /// In `XFRMA_REPLAY_ESN_VAL`, with or without extended sequence numbers.
    Esn {
        /// Packets.
        window: u32,
        /// Extended sequence numbers.
        esn: bool,
    },
}

/// Settings of IPTFS, `charon.iptfs.*`; the default values are charon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iptfs {
    /// Inbound: microseconds to wait for a missing packet.
    pub drop_time: u32,
    /// Inbound: packets that may be out of order.
    pub reorder_window: u16,
    /// Outbound: microseconds to wait for more packets.
    pub init_delay: u32,
    /// Outbound: bytes that may wait.
    pub max_queue_size: u32,
    /// Outbound: size of the outer packet, 0 = path MTU.
    pub packet_size: u32,
    /// Outbound: no fragments, for all SAs.
    pub dont_fragment: bool,
}

impl Default for Iptfs {
    fn default() -> Self {
        Self {
            drop_time: 1_000_000,
            reorder_window: 3,
            init_delay: 0,
            max_queue_size: 1 << 20,
            packet_size: 0,
            dont_fragment: false,
        }
    }
}

/// An SA to add or to fill.
#[derive(Debug)]
pub struct SaMessage<'a> {
    /// Addresses, SPI, protocol, mark, interface ID.
    pub id: &'a SaId,
    /// What charon wants. Of an IPComp SA only what an IPComp SA has is written: no replay window,
    /// no mark to set, no padding, no offload.
    pub spec: &'a SaSpec,
    /// Kernel's names of the algorithms; for IPComp, `Separate` with nothing.
    pub transforms: &'a Transforms,
    /// Where it goes.
    pub placement: Placement,
    /// Which packets may use it; only transport and BEET mode have one.
    pub selector: Option<Selector>,
    /// Any family may use a transport mode SA without selector (kernel 6.3): ESP behind IPComp in
    /// tunnel mode. Tunnel and IPTFS SAs always may.
    pub any_family: bool,
    /// How the window is written.
    pub replay: Replay,
    /// Settings used in IPTFS mode.
    pub iptfs: Iptfs,
}

/// Replay protection of an SA as the kernel reports it. For an SA in packet mode the sequence
/// numbers are those of the beginning: the NIC does not report its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayState {
    /// Window in packets.
    pub window: u32,
    /// Written as `XFRMA_REPLAY_ESN_VAL`, the only form drivers see.
    pub bitmap: bool,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Last number sent.
    pub oseq: u64,
    /// Highest number received.
    pub seq: u64,
}

/// An SA as the kernel reports it, without keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaState {
    /// Addresses (with the ports of ESP in UDP), SPI, protocol, mark, interface ID.
    pub id: SaId,
    /// reqid.
    pub reqid: u32,
    /// `XFRM_MODE_*`
    pub mode_xfrm: u8,
    /// Where it is.
    pub placement: Placement,
    /// Direction, if the kernel knows it.
    pub inbound: Option<bool>,
    /// Only an SPI was allocated so far.
    pub larval: bool,
    /// ESP in UDP.
    pub encap: bool,
    /// Bytes processed.
    pub bytes: u64,
    /// Packets processed.
    pub packets: u64,
    /// Seconds since 1970.
    pub add_time: u64,
    /// First use, seconds since 1970, 0 = unused.
    pub use_time: u64,
    /// Last use, seconds since 1970; never set for packet mode.
    pub last_used: Option<u64>,
    /// Sequence number of the acquire.
    pub seq: u32,
    /// CPU it is for.
    pub cpu: Option<u32>,
    /// `XFRM_STATE_*`
    pub flags: u8,
    /// Limits; 0 = none.
    pub lifetime: Lifetime,
    /// Selector; `None` if its family is any.
    pub selector: Option<Selector>,
    /// Replay protection.
    pub replay: ReplayState,
    /// Packets that failed the integrity check.
    pub integrity_failed: u32,
    /// Packets dropped as replayed.
    pub replay_errors: u32,
}

impl SaState {
    /// From `XFRM_MSG_NEWSA`; `None` if it is no SA or its protocol is none of ours.
    pub fn decode(reply: &Reply) -> Option<Self> {
        decode::state(reply)
    }
}

fn select(key: &SaKey, src: Option<IpAddr>) -> DelGetMessage {
    let mut nlas = lookup_attributes(key.mark, key.if_id);
    if let Some(src) = src {
        // The kernel looks at it for protocols without SPI only, monitors show it.
        nlas.push(XfrmAttrs::SrcAddr(Address::from_ip(&src)));
    }
    DelGetMessage {
        user_sa_id: UserSaId {
            daddr: Address::from_ip(&key.dst),
            spi: key.spi.0,
            family: crate::model::family_of(key.dst),
            proto: key.proto.number(),
        },
        nlas,
    }
}

fn request(name: &'static str, message: &XfrmMessage) -> Request {
    let mut request = Request::new(name, message.message_type(), 0);
    match message {
        XfrmMessage::AllocSpi(body) => request.put_message(body),
        XfrmMessage::DeleteSa(body) | XfrmMessage::GetSa(body) => request.put_message(body),
        XfrmMessage::FlushSa(body) => request.put_message(body),
        // A dump has no body.
        _ => {}
    }
    request
}

impl Kernel {
    /// Reserves an SPI from a range for an inbound SA (`XFRM_MSG_ALLOCSPI`); all numbers in host
    /// order.
    pub fn alloc_spi(
        &self,
        src: IpAddr,
        dst: IpAddr,
        proto: Proto,
        min: u32,
        max: u32,
    ) -> Result<u32, KernelError> {
        let mut body = AllocSpiMessage::default();
        let info = &mut body.spi_info.info;
        info.saddr = Address::from_ip(&src);
        info.id.daddr = Address::from_ip(&dst);
        info.id.proto = proto.number();
        info.mode = Mode::Tunnel.xfrm();
        info.family = crate::model::family_of(dst);
        body.spi_info.min = min;
        body.spi_info.max = max;
        if self.abilities.direction() {
            body.nlas.push(XfrmAttrs::Other(DefaultNla::new(
                XFRMA_SA_DIR,
                vec![XFRM_SA_DIR_IN],
            )));
        }
        let request = request("XFRM_MSG_ALLOCSPI", &XfrmMessage::AllocSpi(body));
        let reply = self.transport.get(Protocol::Xfrm, &request)?;
        match be32_at(reply.payload(), usersa::SPI) {
            Some(spi) if spi != 0 => Ok(spi),
            _ => Err(malformed(&request)),
        }
    }

    /// Adds an SA, or fills the entry of an allocated SPI (`update`).
    pub fn new_sa(&self, message: &SaMessage<'_>, update: bool) -> Result<(), KernelError> {
        let request = encode::new_sa(message, update, self.abilities.direction())?;
        self.transport.ack(Protocol::Xfrm, &request)
    }

    /// One SA. This makes a driver refresh the counters.
    pub fn get_sa(&self, key: &SaKey, src: IpAddr) -> Result<SaState, KernelError> {
        let request = request(
            "XFRM_MSG_GETSA",
            &XfrmMessage::GetSa(select(key, Some(src))),
        );
        let reply = self.transport.get(Protocol::Xfrm, &request)?;
        let state = SaState::decode(&reply).ok_or_else(|| malformed(&request))?;
        self.learn_last_use(&state);
        Ok(state)
    }

    /// Deletes one SA; `ESRCH` if there is none.
    pub fn del_sa(&self, key: &SaKey, src: IpAddr) -> Result<(), KernelError> {
        let request = request(
            "XFRM_MSG_DELSA",
            &XfrmMessage::DeleteSa(select(key, Some(src))),
        );
        self.transport.ack(Protocol::Xfrm, &request)
    }

    /// Deletes all SAs of a protocol.
    pub fn flush_sas(&self, proto: Proto) -> Result<(), KernelError> {
        let body = FlushMessage {
            protocol: proto.number(),
        };
        let request = request("XFRM_MSG_FLUSHSA", &XfrmMessage::FlushSa(body));
        none_is_fine(self.transport.ack(Protocol::Xfrm, &request))
    }

    /// All SAs of ESP (`XFRMA_PROTO` behind the bare header: net/xfrm/xfrm_user.c: xfrm_dump_sa). An
    /// error may come after some of them.
    pub fn dump_esp(&self, each: &mut dyn FnMut(SaState)) -> Result<(), KernelError> {
        let mut request = Request::new("XFRM_MSG_GETSA", XFRM_MSG_GETSA, 0);
        request.attribute(XFRMA_PROTO, &[Proto::Esp.number()]);
        self.transport.dump(Protocol::Xfrm, &request, &mut |reply| {
            if let Some(state) = SaState::decode(reply) {
                each(state);
            }
        })
    }

    /// All SAs of our protocols. An error may come after some of them.
    pub fn dump_sas(&self, each: &mut dyn FnMut(SaState)) -> Result<(), KernelError> {
        let request = request(
            "XFRM_MSG_GETSA",
            &XfrmMessage::GetDumpSa(GetDumpMessage::default()),
        );
        self.transport.dump(Protocol::Xfrm, &request, &mut |reply| {
            if let Some(state) = SaState::decode(reply) {
                each(state);
            }
        })
    }
}

/// Flushing nothing is no failure.
pub(super) fn none_is_fine(result: Result<(), KernelError>) -> Result<(), KernelError> {
    match result {
        Err(error) if error.errno == libc::ESRCH => Ok(()),
        other => other,
    }
}

/// The kernel's reply makes no sense.
pub(super) fn malformed(request: &Request) -> KernelError {
    KernelError {
        request: request.name(),
        errno: libc::EBADMSG,
        text: Some("the kernel's reply cannot be read".to_owned()),
        attribute: None,
    }
}
