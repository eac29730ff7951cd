// SPDX-License-Identifier: GPL-2.0-or-later
//! Network devices as far as IPsec cares: which there are, which can offload ESP, over which a peer
//! is reached, and with which link-layer address.
//!
//! Owns the questions to rtnetlink, ethtool and devlink. Called by `backend/` and `offload/`'s
//! caller. Must not decide whether a device is used, must not read sysfs nor use ioctls (both show
//! another network namespace than the socket's in some containers).
//!
//! * `links`: a cache of devices, fed by the kernel's events
//! * `features`: what ethtool and devlink say about one
//! * `xfrmi`: XFRM interfaces: made, listed, deleted
//! * `route`, `neighbour`: asked anew each time, never cached, never dumped
//! * `watch`: what may have changed the answers
#![forbid(unsafe_code)]

mod features;
mod links;
mod neighbour;
mod route;
mod watch;
pub mod xfrmi;

#[cfg(test)]
mod tests;

pub use links::{Link, LinkChange, Links};
pub use neighbour::{
    drop_neighbour, neighbour_exists, neighbour_is_valid, permanent_neighbour, resolve_neighbour,
    use_neighbour, write_neighbour,
};
pub use route::{Route, lookup_route, lookup_route_from};
pub use watch::{PathChange, PathEvents};
pub use xfrmi::Xfrmi;
