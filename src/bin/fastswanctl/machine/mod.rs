// SPDX-License-Identifier: GPL-2.0-or-later
//! Where facts come from: this machine, or a recorded one.
//!
//! Owns the trait and its two answers. Called by every command. Must not judge: that is `doctor`'s.
//! Nothing here changes the machine, but that the kernel loads a module when its socket is opened.

mod charon;
mod kernel;
mod log;
mod nic;
mod process;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fastswan::guard::admin;
use fastswan::nic::{Links, lookup_route, neighbour_is_valid};
use fastswan::xfrm::{Kernel, NetlinkTransport, PolicyState, SaState, Transport};

pub(crate) use charon::{Sockets, gate_holders, gather as ask_charon};
pub(crate) use log::is_fault;

use crate::conf;
use crate::facts::{
    Answer, Before, Child, Counters, Device, Facts, Gate, Peer, Policy, SCHEMA, Sa, Way,
};

/// File of a recorded machine, in its folder.
const FILE: &str = "facts.json";
/// Longest one: room for a million SAs.
const LONGEST: u64 = 512 << 20;

/// Something that facts can be had of.
pub(crate) trait Machine {
    /// All that can be learned. What cannot is in the facts with its reason.
    fn facts(&self) -> io::Result<Facts>;
}

/// A machine whose facts were written to a folder.
pub(crate) struct Recorded {
    folder: PathBuf,
}

impl Recorded {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }
}

impl Machine for Recorded {
    fn facts(&self) -> io::Result<Facts> {
        let file = self.folder.join(FILE);
        let name = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = conf::read_text(&file, LONGEST)
            .map_err(|error| io::Error::new(error.kind(), name(&error)))?;
        let facts: Facts = serde_json::from_str(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, name(&error)))?;
        if facts.schema != SCHEMA {
            let text = format!("schema {} is not {SCHEMA}, which is known", facts.schema);
            return Err(io::Error::new(io::ErrorKind::InvalidData, name(&text)));
        }
        Ok(facts)
    }
}

/// Writes facts to a folder, which is made.
pub(crate) fn record(facts: &Facts, folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let file = folder.join(FILE);
    let mut text = serde_json::to_string_pretty(facts)?;
    text.push('\n');
    fs::write(&file, text)?;
    Ok(file)
}

/// What of a machine is asked for. `watch` looks every second or two at what may be 10,000 CHILD_SAs:
/// nobody is to wait there for the kernel's log, or for the way to each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// All that can be learned.
    All,
    /// SAs and policies, under charon's names.
    Sas,
    /// The same, and what is counted elsewhere: devices, gates, drops.
    Counters,
}

/// This machine.
pub(crate) struct ThisMachine {
    /// Where files are: `/`.
    pub(crate) root: PathBuf,
    pub(crate) sockets: Sockets,
}

impl Machine for ThisMachine {
    fn facts(&self) -> io::Result<Facts> {
        Ok(self.look(Need::All))
    }
}

impl ThisMachine {
    /// What is needed; the rest is as if nobody knew it.
    pub(crate) fn look(&self, need: Need) -> Facts {
        let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::default());
        let files = kernel::Files::new(&self.root);
        let mut facts = Facts {
            schema: SCHEMA,
            origin: format!("recorded by fastswanctl {}", env!("CARGO_PKG_VERSION")),
            release: files.release(),
            devices: Answer::from_result(devices(&transport, &files, need)),
            ..Facts::default()
        };
        if need == Need::All {
            facts.distribution = files.distribution();
            facts.net_admin = files.net_admin();
            facts.config = files.config();
            facts.modules = files.modules();
            facts.forwarding = files.forwarding();
            facts.apparmor = files.apparmor();
            facts.kernel_log = log::kernel(&self.root);
            facts.process = process::charon(&self.root);
            facts.installed = conf::installed(&self.root);
            facts.swanctl = conf::swanctl(&self.root);
        }
        let xfrm = Kernel::new(Arc::clone(&transport));
        let mut sas = Vec::new();
        let result = xfrm.dump_sas(&mut |state| sas.push(sa(&state)));
        facts.sas = Answer::from_result(result.map(|()| sas));
        let mut policies = Vec::new();
        let result = xfrm.dump_policies(&mut |state| policies.push(policy(&state)));
        facts.policies = Answer::from_result(result.map(|()| policies));
        facts.charon = Answer::from_result(ask_charon(&self.sockets));
        if need != Need::Sas {
            facts.xfrm_stat = files.xfrm_stat();
            facts.gates = Answer::from_result(gates(transport.as_ref(), &self.sockets));
        }
        if need == Need::All {
            let loaded = facts.charon.known().map(|charon| &charon.children);
            let written = facts.swanctl.known().map(|swanctl| &swanctl.children);
            if let Some(children) = loaded.or(written) {
                facts.peers = ways(transport.as_ref(), children);
            }
        }
        facts
    }
}

fn devices(
    transport: &Arc<dyn Transport>,
    files: &kernel::Files,
    need: Need,
) -> Result<Vec<Device>, String> {
    let links = Links::new(Arc::clone(transport))
        .map_err(|error| format!("unable to list network devices: {error}"))?;
    let asker = nic::Nics::new(Arc::clone(transport));
    let mut devices = Vec::new();
    for link in links.all() {
        // The loopback device has nothing to say.
        if link.name == "lo" {
            continue;
        }
        let mut device = Device {
            ifindex: link.ifindex,
            name: link.name,
            up: link.up,
            kind: link.kind,
            master: link.master,
            lower: link.lower,
            esp_offload: link.esp_offload,
            driver: link.driver,
            ..Device::default()
        };
        let complete = match need {
            Need::All => true,
            Need::Counters => device.esp_offload,
            Need::Sas => false,
        };
        if complete {
            files.complete(&mut device);
            asker.complete(&mut device);
        }
        devices.push(device);
    }
    Ok(devices)
}

/// The gates that the kernel has, and who holds them if the plugin tells.
pub(crate) fn gates(
    transport: &dyn Transport,
    sockets: &Sockets,
) -> fastswan::error::Result<Vec<Gate>> {
    let found = admin::list(transport)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let holders = gate_holders(sockets).ok();
    Ok(found
        .into_iter()
        .map(|gate| {
            let selector = gate.pair.to_string();
            let holders = holders.as_ref().map(|all| {
                all.iter()
                    .find(|(known, _)| *known == selector)
                    .map_or_else(Vec::new, |(_, names)| names.clone())
            });
            Gate {
                selector,
                name: gate.name,
                opens_in: gate.left.map(|left| left.as_secs()),
                holders,
            }
        })
        .collect())
}

/// A second look at the SAs, so that there are rates: what was found becomes what was before.
pub(crate) fn look_again(facts: &mut Facts, wait: Duration) {
    let Answer::Known(sas) = &facts.sas else {
        return;
    };
    let began = Instant::now();
    thread::sleep(wait);
    let counters = sas
        .iter()
        .map(|sa| Counters {
            spi: sa.spi,
            dst: sa.dst.clone(),
            packets: sa.packets,
            bytes: sa.bytes,
        })
        .collect();
    let mut sas = Vec::new();
    let xfrm = Kernel::new(Arc::new(NetlinkTransport::default()));
    // The first look stands if there is no second one.
    if xfrm.dump_sas(&mut |state| sas.push(sa(&state))).is_ok() {
        facts.before = Some(Before {
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            counters,
        });
        facts.sas = Answer::Known(sas);
    }
}

/// The ways to the peers of connections; those named by a host name or a range are left out.
pub(crate) fn ways(transport: &dyn Transport, children: &[Child]) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for child in children {
        for address in &child.remote_addrs {
            let Ok(ip) = address.parse::<IpAddr>() else {
                continue;
            };
            if ip.is_unspecified() || peers.iter().any(|peer| peer.address == *address) {
                continue;
            }
            let route = lookup_route(transport, ip, None, 0).map(|route| Way {
                ifindex: route.oif,
                gateway: route.gateway.map(|gateway| gateway.to_string()),
                resolved: Answer::from_result(neighbour_is_valid(
                    transport,
                    route.oif,
                    route.gateway.unwrap_or(ip),
                )),
            });
            peers.push(Peer {
                address: address.clone(),
                connection: child.connection.clone(),
                route: Answer::from_result(route),
            });
        }
    }
    peers
}

pub(crate) fn sa(state: &SaState) -> Sa {
    Sa {
        spi: state.id.spi.0,
        src: state.id.src.ip.to_string(),
        dst: state.id.dst.ip.to_string(),
        reqid: state.reqid,
        mode: state.placement.to_string(),
        ifindex: state.placement.device(),
        inbound: state.inbound,
        larval: state.larval,
        packets: state.packets,
        bytes: state.bytes,
        added: state.add_time,
        errors: u64::from(state.integrity_failed) + u64::from(state.replay_errors),
    }
}

pub(crate) fn policy(state: &PolicyState) -> Policy {
    Policy {
        dir: state.key.dir.to_string(),
        src: state.key.selector.src.to_string(),
        dst: state.key.selector.dst.to_string(),
        proto: state.key.selector.proto,
        ifindex: state.offload,
        reqid: state.reqid,
        priority: state.priority,
        block: state.action == fastswan::xfrm::Action::Block,
        templates: state.templates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `watch` asks for every second or two is not what `doctor` asks for once.
    #[test]
    fn only_what_is_needed_is_asked_for() {
        let nowhere = PathBuf::from("/nonexistent");
        let machine = ThisMachine {
            root: PathBuf::from("/"),
            sockets: Sockets {
                charon: nowhere.clone(),
                plugin: nowhere,
            },
        };
        let asked = |need| {
            let facts = machine.look(need);
            [
                facts.distribution != Facts::default().distribution,
                !facts.modules.is_empty(),
                facts.process != Facts::default().process,
                facts.xfrm_stat != Facts::default().xfrm_stat,
                facts.gates != Facts::default().gates,
                facts.sas != Facts::default().sas,
                facts.charon != Facts::default().charon,
            ]
        };
        let (yes, no) = (true, false);
        assert_eq!(asked(Need::All), [yes, yes, yes, yes, yes, yes, yes]);
        assert_eq!(asked(Need::Counters), [no, no, no, yes, yes, yes, yes]);
        assert_eq!(asked(Need::Sas), [no, no, no, no, no, yes, yes]);
    }
}
