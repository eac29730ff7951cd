// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin's socket tells about the backend.
//!
//! Owns the commands and the names in their answers, which are an interface: `fastswanctl` and
//! people's scripts read them. Called by `status::server` on a worker of charon. No command changes
//! anything; none asks the kernel, so that an answer takes no longer than to write it down. Must
//! not tell a key: nothing it reads has one.

use std::path::Path;
use std::sync::Arc;

use crate::guard::GateState;
use crate::host::ConfiguredChild;
use crate::model::Placement;
use crate::status::server::{Answer, Server, Source};
use crate::status::vici::{Section, Writer};

use super::Core;
use super::units::UnitView;

/// The event that tells of a unit.
pub(super) const UNIT_EVENT: &str = "unit";
/// Events of the streams.
const STREAMS: [&str; 4] = ["list-unit", "list-device", "list-child", "list-gate"];
/// More children than a machine can have are somebody's mistake.
const CHILDREN_MAX: usize = 200_000;

/// Opens the socket. The plugin works without one, so a failure is a line and no more.
pub(super) fn listen(core: &Arc<Core>, version: &str, path: &Path) -> Option<Arc<Server>> {
    let source = source(core, version);
    let server = match Server::open(path, core.host.socket_owner(), source) {
        Ok(server) => Arc::new(server),
        Err(error) => {
            log::warn!(
                "unable to listen on {}: {error}; fastswanctl will show what the kernel tells",
                path.display()
            );
            return None;
        }
    };
    core.units.tell(server.events());
    Some(server)
}

/// What the socket answers with.
pub(super) fn source(core: &Arc<Core>, version: &str) -> Arc<dyn Source> {
    Arc::new(Told {
        core: Arc::clone(core),
        strongswan: version.to_owned(),
    })
}

struct Told {
    core: Arc<Core>,
    /// Version of the strongSwan that this was built for.
    strongswan: String,
}

impl Source for Told {
    fn answer(&self, command: &str, _request: &Section) -> Option<Answer> {
        Some(match command {
            "version" => Answer::Message(self.version()),
            "status" => Answer::Message(self.status()),
            "units" => {
                let units = self.core.units.views();
                Answer::Stream(
                    "list-unit",
                    Box::new(units.into_iter().map(|view| unit(&view))),
                )
            }
            "devices" => {
                let links = self.core.links.all();
                Answer::Stream(
                    "list-device",
                    Box::new(links.into_iter().map(|link| {
                        let mut message = Writer::new();
                        message
                            .value("name", &link.name)
                            .value("ifindex", link.ifindex)
                            .truth("up", link.up)
                            .truth("esp-offload", link.esp_offload)
                            .value("driver", link.driver.as_deref().unwrap_or_default())
                            .value("kind", link.kind.as_deref().unwrap_or_default());
                        message
                    })),
                )
            }
            "children" => {
                let children = self.children();
                Answer::Stream("list-child", Box::new(children.into_iter().map(child)))
            }
            "guard" => {
                let gates = self.core.guard.gates();
                Answer::Stream(
                    "list-gate",
                    Box::new(gates.into_iter().map(|state| gate(&state))),
                )
            }
            _ => return None,
        })
    }

    fn has_event(&self, name: &str) -> bool {
        name == UNIT_EVENT || STREAMS.contains(&name)
    }
}

impl Told {
    fn version(&self) -> Writer {
        let mut message = Writer::new();
        message
            .value("plugin", "kernel-fastswan")
            .value("version", env!("CARGO_PKG_VERSION"))
            .value("strongswan", &self.strongswan)
            .value("kernel-fixes", &self.core.config().kernel_fixes)
            // Commands to come may change something; all of these only tell.
            .list(
                "read-only",
                ["version", "status", "units", "devices", "children", "guard"],
            );
        message
    }

    fn status(&self) -> Writer {
        let (mut packet, mut crypto, mut software, mut lost) = (0, 0, 0, 0);
        let units = self.core.units.views();
        for sa in units.iter().flat_map(|unit| &unit.sas) {
            match sa.placement {
                _ if sa.gone => lost += 1,
                Placement::Packet(_) => packet += 1,
                Placement::Crypto(_) => crypto += 1,
                Placement::Software => software += 1,
            }
        }
        let mut message = Writer::new();
        message
            .value("units", units.len())
            .value("policies", self.core.spd.len())
            .section("sas", |sas| {
                sas.value("packet", packet)
                    .value("crypto", crypto)
                    .value("software", software)
                    .value("lost", lost);
            });
        message
    }

    fn children(&self) -> Vec<ConfiguredChild> {
        let mut children = Vec::new();
        self.core.host.children(&mut |child| {
            children.push(child);
            children.len() < CHILDREN_MAX
        });
        children
    }
}

/// Where a unit or an SA is.
fn place(message: &mut Writer, placement: Option<Placement>) {
    match placement {
        Some(placement) => message.value("mode", placement),
        None => message.value("mode", "undecided"),
    };
    if let Some(ifindex) = placement.and_then(Placement::device) {
        message.value("ifindex", ifindex);
    }
}

fn unit(view: &UnitView) -> Writer {
    let mut message = Writer::new();
    message.value("reqid", view.reqid);
    place(&mut message, view.next);
    message
        .value("policies", view.policies)
        .truth("demands-packet", view.packet_is_demanded)
        .section("sas", |sas| {
            for sa in &view.sas {
                // Two peers may choose the same SPI.
                sas.section(&format!("{}-{}", sa.spi, sa.dst), |section| {
                    section
                        .value("name", &sa.name)
                        .value("spi", sa.spi)
                        .value("src", sa.src)
                        .value("dst", sa.dst)
                        .value("direction", if sa.inbound { "in" } else { "out" })
                        .value("asked-for", sa.wanted);
                    place(section, Some(sa.placement));
                    section.truth("lost", sa.gone);
                });
            }
        });
    message
}

fn gate(state: &GateState) -> Writer {
    let mut message = Writer::new();
    message
        .value("local", state.pair.local)
        .value("remote", state.pair.remote)
        .value("protocol", state.pair.proto)
        .list("holders", &state.holders)
        .value("last-holder", &state.last_holder);
    // Without, it stays closed until it is released or opened.
    if let Some(left) = state.left {
        message.value("opens-in", left.as_secs());
    }
    message
}

fn child(child: ConfiguredChild) -> Writer {
    let mut message = Writer::new();
    message
        .value("connection", &child.connection)
        .value("name", &child.name)
        .value("reqid", child.reqid);
    // One that we have no word for is left out.
    if let Some(offload) = child.offload {
        message.value("hw-offload", offload);
    }
    if let Some(mode) = child.mode {
        message.value("mode", mode);
    }
    message
}
