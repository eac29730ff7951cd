// SPDX-License-Identifier: GPL-2.0-or-later
//! What charon wants to have in the SPD.
//!
//! Owns the inputs of add_policy, query_policy and del_policy in checked form. Made by `abi/`, used
//! by `backend/` and `spd/`. Must not hold what the kernel made of it.

use super::{Addr, Direction, Mark, Mode, Offload, Spi, TrafficSelector};

/// `kernel_ipsec_policy_id_t`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId {
    /// Direction.
    pub dir: Direction,
    /// Source traffic selector.
    pub src_ts: TrafficSelector,
    /// Destination traffic selector.
    pub dst_ts: TrafficSelector,
    /// Mark a packet must carry.
    pub mark: Mark,
    /// XFRM interface ID, 0 = none.
    pub if_id: u32,
    /// Interface a packet must use.
    pub interface: Option<String>,
    /// Security label.
    pub label: Option<Vec<u8>>,
}

/// What a policy does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Requires the transforms of the templates.
    Ipsec,
    /// Lets it pass in clear.
    Pass,
    /// Drops it.
    Drop,
}

/// `policy_priority_t`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriorityClass {
    /// Passthrough policies.
    Pass,
    /// Policies of CHILD_SAs.
    Default,
    /// Traps.
    Routed,
    /// Fallback drop policies.
    Fallback,
}

/// `ipsec_sa_cfg_t`: the SAs that a policy's templates name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaReference {
    /// Mode of the SAs; `None` for policies without SAs.
    pub mode: Option<Mode>,
    /// reqid, 0 = none.
    pub reqid: u32,
    /// Number of policies of this direction that use the SAs.
    pub policy_count: u32,
    /// SPI of the ESP SA if ESP is used; `Some(Spi(0))` if not known yet (traps).
    pub esp: Option<Spi>,
    /// SPI of the AH SA if AH is used.
    pub ah: Option<Spi>,
    /// IPComp transform, 0 = none.
    pub ipcomp: u16,
    /// CPI in host order.
    pub cpi: u16,
}

/// `kernel_ipsec_manage_policy_t`
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// CHILD_SA and connection, for messages; empty if not known.
    pub name: String,
    /// What it does.
    pub kind: PolicyKind,
    /// Priority class.
    pub class: PriorityClass,
    /// Priority set by hand, 0 = automatic.
    pub manual_prio: u32,
    /// What is asked for.
    pub offload: Offload,
    /// Acquires per CPU.
    pub pcpu_acquires: bool,
    /// Let ICMP errors about inner packets through.
    pub forward_icmp: bool,
    /// Outer source of the SAs; `None` for policies without hosts.
    pub src: Option<Addr>,
    /// Outer destination of the SAs.
    pub dst: Option<Addr>,
    /// The SAs.
    pub sa: SaReference,
}
