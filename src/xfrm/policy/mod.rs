// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages of the SPD: add, update, query, delete, flush, dump.
//!
//! Owns what a policy looks like to the kernel. Written with `netlink-packet-xfrm`, as policies have
//! no keys; read by `decode`, as the crate's parser trusts lengths. Called by `backend/` and `spd/`
//! through [`Kernel`]. Must not choose priorities or templates.
#![forbid(unsafe_code)]

mod decode;
mod thresholds;

pub(super) use decode::{deleted as deleted_policy, label as decode_label, template_reqid};
pub use thresholds::{HashThresholds, Threshold};

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use netlink_packet_xfrm::nlas::{SecurityCtx, UserOffloadDev, UserTemplate, XfrmAttrs};
use netlink_packet_xfrm::policy::{DelGetMessage, FlushMessage, ModifyMessage};
use netlink_packet_xfrm::{Address, Id, LifetimeConfig, UserPolicyId, UserPolicyInfo, XfrmMessage};

use super::consts::{
    SC_ALG_SELINUX, SC_DOI_LSM, SEC_CTX_LEN, XFRM_INF, XFRM_OFFLOAD_PACKET,
    XFRM_POLICY_CPU_ACQUIRE, XFRM_POLICY_ICMP, XFRMA_SEC_CTX,
};
use super::request::{Reply, Request, address_bytes};
use super::sa::{malformed, none_is_fine};
use super::transport::Protocol;
use super::{Kernel, lookup_attributes};
use crate::error::KernelError;
use crate::model::{Direction, Mark, Mode, Proto, Selector, Spi, family_of};

/// One transform that a policy requires (`struct xfrm_user_tmpl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// Outer source.
    pub src: IpAddr,
    /// Outer destination.
    pub dst: IpAddr,
    /// SPI, 0 = any.
    pub spi: Spi,
    /// Protocol.
    pub proto: Proto,
    /// Mode.
    pub mode: Mode,
    /// reqid of the SAs.
    pub reqid: u32,
    /// A packet may come without it.
    pub optional: bool,
    /// The addresses are part of the template; else only their family is.
    pub with_addresses: bool,
}

/// What happens to a packet that matches and, with templates, has been transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It passes.
    Allow,
    /// It is dropped.
    Block,
}

/// What the kernel keys a policy by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyKey {
    /// Direction.
    pub dir: Direction,
    /// Selector.
    pub selector: Selector,
    /// Mark.
    pub mark: Mark,
    /// XFRM interface ID, 0 = none.
    pub if_id: u32,
    /// Security label.
    pub label: Option<Vec<u8>>,
}

impl Hash for PolicyKey {
    /// In one piece: each of two dozen fields by itself would cost the hasher more than all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let selector = &self.selector;
        let ports = [
            selector.sport.port,
            selector.sport.mask,
            selector.dport.port,
            selector.dport.mask,
        ];
        let numbers = [
            selector.ifindex,
            self.mark.value,
            self.mark.mask,
            self.if_id,
        ];
        let mut bytes = [0; 60];
        let (src, rest) = bytes.split_at_mut(16);
        let (dst, rest) = rest.split_at_mut(16);
        let (small, rest) = rest.split_at_mut(4);
        let (halves, words) = rest.split_at_mut(8);
        src.copy_from_slice(&address_bytes(selector.src.first()));
        dst.copy_from_slice(&address_bytes(selector.dst.first()));
        small.copy_from_slice(&[
            self.dir.xfrm(),
            selector.proto,
            selector.src.len(),
            selector.dst.len(),
        ]);
        for (to, port) in halves.chunks_exact_mut(2).zip(ports) {
            to.copy_from_slice(&port.to_ne_bytes());
        }
        for (to, number) in words.chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        state.write(&bytes);
        if let Some(label) = &self.label {
            state.write(label);
        }
    }
}

/// A policy to add or to replace.
#[derive(Clone, Copy, Debug)]
pub struct PolicyMessage<'a> {
    /// Its key.
    pub key: &'a PolicyKey,
    /// Lower wins.
    pub priority: u32,
    /// What it does.
    pub action: Action,
    /// Transforms it requires, in the order in which they apply to an outbound packet.
    pub templates: &'a [Template],
    /// Acquires name the CPU.
    pub cpu_acquires: bool,
    /// ICMP errors about its packets match too.
    pub icmp: bool,
    /// Interface index of the NIC that gets it, in packet mode: there is no other for policies.
    pub offload: Option<u32>,
}

/// A policy as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyState {
    /// Its key.
    pub key: PolicyKey,
    /// Priority.
    pub priority: u32,
    /// What it does.
    pub action: Action,
    /// reqid of the first template that has one.
    pub reqid: Option<u32>,
    /// SPI of the first template, if it names one.
    pub spi: Option<Spi>,
    /// Interface index of the NIC that has it.
    pub offload: Option<u32>,
    /// Last use, seconds since 1970, 0 = unused. Packets that a NIC handles do not count.
    pub use_time: u64,
    /// Number of templates.
    pub templates: usize,
}

impl PolicyState {
    /// From `XFRM_MSG_NEWPOLICY`; `None` if it is no policy, one of a socket, or not of type main.
    pub fn decode(reply: &Reply) -> Option<Self> {
        decode::state(reply)
    }
}

/// `struct xfrm_selector` in the words of the crate. Not by its own constructors, which make /0 of
/// any prefix whose address is unspecified.
fn selector(selector: &Selector) -> netlink_packet_xfrm::Selector {
    netlink_packet_xfrm::Selector {
        daddr: Address::from_ip(&selector.dst.first()),
        saddr: Address::from_ip(&selector.src.first()),
        dport: selector.dport.port,
        dport_mask: selector.dport.mask,
        sport: selector.sport.port,
        sport_mask: selector.sport.mask,
        family: family_of(selector.src.first()),
        prefixlen_d: selector.dst.len(),
        prefixlen_s: selector.src.len(),
        proto: selector.proto,
        // The field is an int; an index is never negative.
        ifindex: selector.ifindex.cast_signed(),
        user: 0,
    }
}

fn template(template: &Template) -> UserTemplate {
    let address = |ip: &IpAddr| {
        if template.with_addresses {
            Address::from_ip(ip)
        } else {
            Address::default()
        }
    };
    UserTemplate {
        id: Id {
            daddr: address(&template.dst),
            spi: template.spi.0,
            proto: template.proto.number(),
        },
        family: family_of(template.src),
        saddr: address(&template.src),
        reqid: template.reqid,
        mode: template.mode.xfrm(),
        share: 0,
        optional: u8::from(template.optional),
        // Any algorithm: the SA says which.
        aalgos: u32::MAX,
        ealgos: u32::MAX,
        calgos: u32::MAX,
    }
}

fn label(name: &'static str, label: &[u8]) -> Result<XfrmAttrs, KernelError> {
    let too_long = || KernelError {
        request: name,
        errno: libc::EINVAL,
        text: Some(format!(
            "security label of {} bytes is too long",
            label.len()
        )),
        attribute: None,
    };
    let ctx_len = u16::try_from(label.len()).map_err(|_| too_long())?;
    Ok(XfrmAttrs::SecurityContext(SecurityCtx {
        len: ctx_len
            .checked_add(SEC_CTX_LEN as u16)
            .ok_or_else(too_long)?,
        exttype: XFRMA_SEC_CTX,
        ctx_alg: SC_ALG_SELINUX,
        ctx_doi: SC_DOI_LSM,
        ctx_len,
        ctx_str: label.to_vec(),
    }))
}

fn attributes(name: &'static str, key: &PolicyKey) -> Result<Vec<XfrmAttrs>, KernelError> {
    let mut attributes = lookup_attributes(key.mark, key.if_id);
    if let Some(bytes) = key.label.as_deref() {
        attributes.push(label(name, bytes)?);
    }
    Ok(attributes)
}

fn modify(name: &'static str, message: &PolicyMessage<'_>) -> Result<ModifyMessage, KernelError> {
    let mut nlas = Vec::with_capacity(5);
    if !message.templates.is_empty() {
        nlas.push(XfrmAttrs::Template(
            message.templates.iter().map(template).collect(),
        ));
    }
    nlas.append(&mut attributes(name, message.key)?);
    if let Some(ifindex) = message.offload {
        nlas.push(XfrmAttrs::OffloadDevice(UserOffloadDev {
            ifindex: ifindex.cast_signed(),
            flags: XFRM_OFFLOAD_PACKET,
        }));
    }
    let mut flags = 0;
    if message.cpu_acquires {
        flags |= XFRM_POLICY_CPU_ACQUIRE;
    }
    if message.icmp {
        flags |= XFRM_POLICY_ICMP;
    }
    Ok(ModifyMessage {
        user_policy_info: UserPolicyInfo {
            selector: selector(&message.key.selector),
            // Policies do not expire: charon deletes them.
            lifetime_cfg: LifetimeConfig {
                soft_byte_limit: XFRM_INF,
                hard_byte_limit: XFRM_INF,
                soft_packet_limit: XFRM_INF,
                hard_packet_limit: XFRM_INF,
                ..LifetimeConfig::default()
            },
            priority: message.priority,
            direction: message.key.dir.xfrm(),
            action: match message.action {
                Action::Allow => 0,
                Action::Block => 1,
            },
            flags,
            ..UserPolicyInfo::default()
        },
        nlas,
    })
}

fn select(name: &'static str, key: &PolicyKey) -> Result<DelGetMessage, KernelError> {
    Ok(DelGetMessage {
        user_policy_id: UserPolicyId {
            selector: selector(&key.selector),
            index: 0,
            direction: key.dir.xfrm(),
        },
        nlas: attributes(name, key)?,
    })
}

fn request(name: &'static str, message: &XfrmMessage) -> Result<Request, KernelError> {
    let mut request = Request::new(name, message.message_type(), 0);
    match message {
        XfrmMessage::AddPolicy(body) | XfrmMessage::UpdatePolicy(body) => request.put_message(body),
        XfrmMessage::DeletePolicy(body) | XfrmMessage::GetPolicy(body) => request.put_message(body),
        XfrmMessage::GetSpdInfo(body) => request.put_message(body),
        XfrmMessage::NewSpdInfo(body) => request.put_message(body),
        // A flush without a type is one of type main.
        _ => {}
    }
    request.check()?;
    Ok(request)
}

impl Kernel {
    /// Adds a policy, `EEXIST` if there is one of this key; or replaces it (`update`), which also
    /// adds it if there is none. When replacing, the new one is in place before the old one goes.
    pub fn new_policy(&self, message: &PolicyMessage<'_>, update: bool) -> Result<(), KernelError> {
        let request = if update {
            let name = "XFRM_MSG_UPDPOLICY";
            request(name, &XfrmMessage::UpdatePolicy(modify(name, message)?))?
        } else {
            let name = "XFRM_MSG_NEWPOLICY";
            request(name, &XfrmMessage::AddPolicy(modify(name, message)?))?
        };
        self.transport.ack(Protocol::Xfrm, &request)
    }

    /// Adds a policy that the kernel deletes by itself after some seconds (rounded up by it).
    pub fn new_policy_for(
        &self,
        message: &PolicyMessage<'_>,
        seconds: u64,
    ) -> Result<(), KernelError> {
        let name = "XFRM_MSG_NEWPOLICY";
        let mut message = modify(name, message)?;
        message
            .user_policy_info
            .lifetime_cfg
            .hard_add_expires_seconds = seconds;
        let request = request(name, &XfrmMessage::AddPolicy(message))?;
        self.transport.ack(Protocol::Xfrm, &request)
    }

    /// One policy; `ENOENT` if there is none.
    pub fn get_policy(&self, key: &PolicyKey) -> Result<PolicyState, KernelError> {
        let name = "XFRM_MSG_GETPOLICY";
        let request = request(name, &XfrmMessage::GetPolicy(select(name, key)?))?;
        let reply = self.transport.get(Protocol::Xfrm, &request)?;
        PolicyState::decode(&reply).ok_or_else(|| malformed(&request))
    }

    /// Deletes one policy; `ENOENT` if there is none.
    pub fn del_policy(&self, key: &PolicyKey) -> Result<(), KernelError> {
        let name = "XFRM_MSG_DELPOLICY";
        let request = request(name, &XfrmMessage::DeletePolicy(select(name, key)?))?;
        self.transport.ack(Protocol::Xfrm, &request)
    }

    /// Deletes all policies of type main, but not those of sockets.
    pub fn flush_policies(&self) -> Result<(), KernelError> {
        let request = request(
            "XFRM_MSG_FLUSHPOLICY",
            &XfrmMessage::FlushPolicy(FlushMessage::default()),
        )?;
        none_is_fine(self.transport.ack(Protocol::Xfrm, &request))
    }

    /// All policies of type main, but not those of sockets. An error may come after some of them.
    pub fn dump_policies(&self, each: &mut dyn FnMut(PolicyState)) -> Result<(), KernelError> {
        // The body of a dump request is not looked at.
        let request = request(
            "XFRM_MSG_GETPOLICY",
            &XfrmMessage::GetPolicy(DelGetMessage::default()),
        )?;
        self.transport.dump(Protocol::Xfrm, &request, &mut |reply| {
            if let Some(state) = PolicyState::decode(reply) {
                each(state);
            }
        })
    }
}
