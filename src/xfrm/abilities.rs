// SPDX-License-Identifier: GPL-2.0-or-later
//! What this kernel can do, found by asking it: a version number says nothing on a distribution's
//! kernel.
//!
//! Owns the questions and the answers. Each question is a request that every kernel refuses, and the
//! way in which it does tells; nothing is changed by it. Asked once per process, by `backend/` at the
//! start and, where it takes a module that nobody else may need, before its first use. Must not read
//! uname.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::Kernel;
use super::consts::{
    ALG_NAME_LEN, XFRM_MSG_GETSA, XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWSA, XFRM_STATE_AF_UNSPEC,
    XFRMA_ALG_COMP, XFRMA_ENCAP, XFRMA_SA_DIR, encap, migrate_state, usersa, usersa_id,
};
use super::request::Request;
use super::sa::SaState;
use super::transport::Protocol;
use crate::error::KernelError;
use crate::model::{Mode, Placement, Proto};

/// An SPI that nobody has: 1 to 255 are reserved (RFC 4303, 2.1).
const NOBODYS_SPI: u32 = 1;
/// The request goes nowhere: no SA has this destination and that SPI.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

/// The answers. As long as nothing was asked, those of a kernel of today without
/// `XFRM_MSG_MIGRATE_STATE`.
#[derive(Debug)]
pub(super) struct Abilities {
    direction: AtomicBool,
    migrate_state: AtomicBool,
    any_family: AtomicU8,
    last_used: AtomicU8,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            direction: AtomicBool::new(true),
            migrate_state: AtomicBool::new(false),
            any_family: AtomicU8::new(UNKNOWN),
            last_used: AtomicU8::new(UNKNOWN),
        }
    }
}

impl Abilities {
    /// SAs have a direction (6.10): it is said with each, and an outbound one has no replay window.
    /// Kernels before that ignore the attribute and want a window with ESN in any direction.
    pub(super) fn direction(&self) -> bool {
        self.direction.load(Ordering::Relaxed)
    }

    /// `XFRM_MSG_MIGRATE_STATE` (7.2).
    pub(super) fn migrate_state(&self) -> bool {
        self.migrate_state.load(Ordering::Relaxed)
    }
}

impl Kernel {
    /// Asks what can be asked at the start; says it in one line.
    pub fn ask_abilities(&self) {
        let direction = self.asked("the direction of SAs", self.ask_direction());
        let migrate = self.asked("XFRM_MSG_MIGRATE_STATE", self.ask_migrate_state());
        let abilities = &self.abilities;
        if let Some(direction) = direction {
            abilities.direction.store(direction, Ordering::Relaxed);
        }
        if let Some(migrate) = migrate {
            abilities.migrate_state.store(migrate, Ordering::Relaxed);
        }
        let can = |ability: bool| if ability { "" } else { "no " };
        log::debug!(
            "the kernel has {}direction of SAs, {}XFRM_MSG_MIGRATE_STATE",
            can(abilities.direction()),
            can(abilities.migrate_state())
        );
    }

    /// Whether SAs can be moved by `XFRM_MSG_MIGRATE_STATE`.
    pub fn can_migrate_state(&self) -> bool {
        self.abilities.migrate_state()
    }

    /// Whether an SA in transport mode may be for any family (6.3): ESP behind IPComp in tunnel mode.
    /// Asked before the first use, since the question loads the kernel's IPComp.
    pub fn can_any_family(&self) -> bool {
        let known = &self.abilities.any_family;
        match known.load(Ordering::Relaxed) {
            UNKNOWN => {
                let Some(answer) =
                    self.asked("transport mode for any family", self.ask_any_family())
                else {
                    return false;
                };
                known.store(if answer { YES } else { NO }, Ordering::Relaxed);
                answer
            }
            known => known == YES,
        }
    }

    /// Whether the kernel tells when an SA was last used (6.2). There is nothing to ask: the
    /// attribute is older than its being kept. It is learned from the first SA in software that has
    /// carried packets; until then it is believed.
    pub fn keeps_last_use(&self) -> bool {
        self.abilities.last_used.load(Ordering::Relaxed) != NO
    }

    /// Learns from an SA that was read.
    pub(super) fn learn_last_use(&self, state: &SaState) {
        let known = &self.abilities.last_used;
        if state.last_used.is_some() {
            known.store(YES, Ordering::Relaxed);
        } else if state.packets > 0 && state.placement == Placement::Software {
            // One answer with it outweighs any without: an SA that was moved may have lost it.
            let _ = known.compare_exchange(UNKNOWN, NO, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn asked(&self, what: &str, answer: Result<bool, KernelError>) -> Option<bool> {
        answer
            .inspect_err(|error| {
                log::warn!("unable to find out whether the kernel knows {what}: {error}");
            })
            .ok()
    }

    fn ask_direction(&self) -> Result<bool, KernelError> {
        let mut request = Request::new("XFRM_MSG_GETSA", XFRM_MSG_GETSA, 0);
        put_nobody(&mut request);
        // No direction has this number. Who knows the attribute refuses it, others look for the SA.
        request.attribute(XFRMA_SA_DIR, &[u8::MAX]);
        verdict(
            self.transport.get(Protocol::Xfrm, &request).map(|_| ()),
            &[libc::EINVAL, libc::ERANGE],
            &[libc::ESRCH],
        )
    }

    fn ask_migrate_state(&self) -> Result<bool, KernelError> {
        let name = "XFRM_MSG_MIGRATE_STATE";
        let mut request = Request::new(name, XFRM_MSG_MIGRATE_STATE, 0);
        request.put(&[0; migrate_state::LEN]);
        let mut id = Request::new(name, XFRM_MSG_MIGRATE_STATE, 0);
        put_nobody(&mut id);
        let at = |offset: usize| super::consts::NLMSG_HDRLEN + offset;
        request.patch(at(migrate_state::ID), id.payload());
        let octets = super::request::address_bytes(NOBODY);
        request.patch(at(migrate_state::NEW_DADDR), &octets);
        request.patch(at(migrate_state::NEW_SADDR), &octets);
        let family = crate::model::family_of(NOBODY).to_ne_bytes();
        request.patch(at(migrate_state::NEW_FAMILY), &family);
        // Documentation/networking/xfrm/xfrm_migrate_state.rst, "Feature Detection"
        verdict(
            self.transport.ack(Protocol::Xfrm, &request),
            &[libc::ESRCH],
            &[libc::EINVAL, libc::ENOPROTOOPT],
        )
    }

    fn ask_any_family(&self) -> Result<bool, KernelError> {
        let mut request = Request::new("XFRM_MSG_NEWSA", XFRM_MSG_NEWSA, 0);
        request.put(&[0; usersa::LEN]);
        let at = |offset: usize| super::consts::NLMSG_HDRLEN + offset;
        let octets = super::request::address_bytes(NOBODY);
        request.patch(at(usersa::DADDR), &octets);
        request.patch(at(usersa::SADDR), &octets);
        request.patch(at(usersa::SPI), &NOBODYS_SPI.to_be_bytes());
        request.patch(at(usersa::PROTO), &[Proto::Comp.number()]);
        let family = crate::model::family_of(NOBODY).to_ne_bytes();
        request.patch(at(usersa::FAMILY), &family);
        request.patch(at(usersa::MODE), &[Mode::Transport.xfrm()]);
        request.patch(at(usersa::FLAGS), &[XFRM_STATE_AF_UNSPEC]);
        let mut deflate = [0; ALG_NAME_LEN + 4];
        deflate[..7].copy_from_slice(b"deflate");
        request.attribute(XFRMA_ALG_COMP, &deflate);
        // IPComp has no encapsulation: who gets past the mode and the family refuses that (EINVAL,
        // net/ipv4/ipcomp.c: ipcomp4_init_state); others say EPROTONOSUPPORT before
        // (net/xfrm/xfrm_state.c: __xfrm_init_state).
        let mut template = [0; encap::LEN];
        template[..2].copy_from_slice(&super::consts::UDP_ENCAP_ESPINUDP.to_ne_bytes());
        request.attribute(XFRMA_ENCAP, &template);
        verdict(
            self.transport.ack(Protocol::Xfrm, &request),
            &[libc::EINVAL],
            &[libc::EPROTONOSUPPORT],
        )
    }
}

/// `struct xfrm_usersa_id` of an SA that is not there.
fn put_nobody(request: &mut Request) {
    request.put_address(NOBODY);
    request.put(&NOBODYS_SPI.to_be_bytes());
    request.put_u16(crate::model::family_of(NOBODY));
    request.put(&[Proto::Esp.number(), 0]);
    debug_assert_eq!(request.payload().len(), usersa_id::LEN);
}

/// What a refusal says; a refusal for another reason, such as a missing privilege, says nothing.
fn verdict(answer: Result<(), KernelError>, yes: &[i32], no: &[i32]) -> Result<bool, KernelError> {
    match answer {
        Err(error) if yes.contains(&error.errno) => Ok(true),
        Err(error) if no.contains(&error.errno) => Ok(false),
        Err(error) => Err(error),
        // Not refused at all: it did not look at what it does not know.
        Ok(()) => Ok(false),
    }
}
