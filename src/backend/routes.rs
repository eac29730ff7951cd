// SPDX-License-Identifier: GPL-2.0-or-later
//! Routes that belong to outbound policies.
//!
//! Owns the choice of source address, next hop and interface, and the route of each policy. charon's
//! network half installs them in its own table. Called by `policy.rs` within a turn. A route that
//! cannot be had does not fail the policy.

use std::net::IpAddr;

use crate::host::{HostRoute, RouteResult};
use crate::model::{Direction, Mode, PolicyKind};
use crate::spd::{Turn, User};

use super::Core;

/// Whether charon's network half takes a peer on the link for the next hop to itself: before 6.1.0
/// (kernel_netlink_net.c: get_route). What a PASS policy exempts from the tunnel then goes to the
/// peer too, and not to a neighbour that nobody is.
pub(super) fn peers_are_next_hops(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    (parts.next(), parts.next()) < (Some(6u32), Some(1))
}

impl Core {
    /// Installs or replaces the route of a policy, by its first user.
    pub(super) fn update_route(&self, turn: &mut Turn<'_>) {
        // What is there stays until something else takes its place, or the policy goes.
        let Some(route) = turn
            .entry
            .users
            .first()
            .filter(|user| self.wants_route(turn, user))
            .and_then(|user| self.route_for(turn, user))
        else {
            return;
        };
        if turn.entry.route.as_deref() == Some(&route) {
            return;
        }
        self.remove_route(turn);
        log::debug!(
            "installing route: {} dev {}{}",
            route.net,
            route.interface,
            if route.pass { " pass" } else { "" }
        );
        match self.host.add_route(&route) {
            RouteResult::Done => turn.entry.route = Some(Box::new(route)),
            // Somebody else's, who will remove it.
            RouteResult::AlreadyDone => {}
            RouteResult::Failed => log::error!(
                "unable to install route to {} dev {} for policy {}",
                route.net,
                route.interface,
                turn.key().selector
            ),
        }
    }

    /// Takes the route of a policy back.
    pub(super) fn remove_route(&self, turn: &mut Turn<'_>) {
        let Some(route) = turn.entry.route.take() else {
            return;
        };
        if self.host.del_route(&route) == RouteResult::Failed {
            log::error!(
                "error uninstalling route to {} installed with policy {}",
                route.net,
                turn.key().selector
            );
        }
    }

    /// Once per CHILD_SA (outbound), only where addresses alone decide, and not in transport mode,
    /// which has the routes it needs.
    fn wants_route(&self, turn: &Turn<'_>, user: &User) -> bool {
        let config = self.config();
        let key = turn.key();
        let selector = &key.selector;
        key.dir == Direction::Out
            && config.install_routes
            && selector.proto == 0
            && selector.sport.port == 0
            && selector.dport.port == 0
            // With an interface ID the way leads through the XFRM interface, which usually the
            // operator's own routes name.
            && (key.if_id == 0 || config.install_routes_xfrmi)
            && match user.spec.kind {
                PolicyKind::Pass => true,
                PolicyKind::Drop => false,
                PolicyKind::Ipsec => !matches!(user.spec.sa.mode, None | Some(Mode::Transport)),
            }
    }

    fn route_for(&self, turn: &Turn<'_>, user: &User) -> Option<HostRoute> {
        let pass = user.spec.kind == PolicyKind::Pass;
        let src = match self.host.address_by_ts(&user.id.src_ts) {
            Some((ip, _is_vip)) => Some(ip),
            None if pass => None,
            None => return None,
        };
        let net = turn.key().selector.dst;
        let local = user
            .spec
            .src
            .map(|addr| addr.ip)
            .filter(|ip| !ip.is_unspecified());
        let peer = user.spec.dst.filter(|dst| !dst.is_any());
        let xfrmi = match turn.key().if_id {
            0 => None,
            if_id => peer.and_then(|_| self.links.xfrmi(if_id)),
        };
        let (gateway, interface) = match peer {
            _ if xfrmi.is_some() => (None, xfrmi.unwrap_or_default()),
            Some(peer) => {
                let in_nic = turn
                    .entry
                    .installed
                    .as_ref()
                    .is_some_and(|installed| installed.offload.is_some());
                let same_family = peer.ip.is_ipv4() == net.first().is_ipv4();
                let named = self.peers_are_next_hops || in_nic && !net.contains(peer.ip);
                self.towards_peer(peer.ip, local, same_family && named)
            }
            None => self
                .host
                .nexthop(net.first(), Some(net.len()), src)
                .unwrap_or((None, String::new())),
        };
        let interface = if interface.is_empty() {
            match local.or(src).and_then(|ip| self.host.interface_of(ip)) {
                Some(name) => name,
                None if pass => String::new(),
                None => return None,
            }
        } else {
            interface
        };
        Some(HostRoute {
            net,
            gateway,
            src,
            interface,
            pass,
        })
    }

    /// Next hop and interface towards a peer. Where the NIC does the tunnel, packets of this host
    /// leave with the neighbour of the inner destination (net/xfrm/xfrm_output.c sends them down the
    /// ordinary path), so that a peer on the link has to be named as the gateway: nobody would
    /// answer for an address behind it.
    fn towards_peer(
        &self,
        peer: IpAddr,
        local: Option<IpAddr>,
        via_peer: bool,
    ) -> (Option<IpAddr>, String) {
        let own_table = self.config().routing_table;
        let (gateway, interface) = match self.path_to(peer, local, 0) {
            // A route of ours hides the one below it: charon's network half looks past it.
            Some(route) if route.table != own_table => (
                route.gateway,
                self.links
                    .get(route.oif)
                    .map(|link| link.name)
                    .unwrap_or_default(),
            ),
            _ => self
                .host
                .nexthop(peer, None, local)
                .unwrap_or((None, String::new())),
        };
        (gateway.or(via_peer.then_some(peer)), interface)
    }
}
