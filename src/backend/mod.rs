// SPDX-License-Identifier: GPL-2.0-or-later
//! The methods of charon's `kernel_ipsec_t`, over our own types.
//!
//! Owns the life of the plugin's state and the order in which things are done: decide, ask the
//! kernel, remember. Called by `abi/` on any thread of charon, also for the same object. Must not
//! hold a lock while it talks to the kernel or to charon; who needs an order for one policy takes a
//! turn (`spd/`).
#![forbid(unsafe_code)]

mod bypass;
mod device;
mod fallback;
mod foreign;
mod gate;
mod honoured;
mod leftovers;
mod lingering;
mod links;
mod moves;
mod paths;
mod patience;
mod place;
mod policy;
mod recorded;
mod recovery;
mod routes;
mod sa;
mod sharing;
mod shunts;
mod statistics;
mod takeover;
mod templates;
mod ticker;
mod told;
mod truth;
mod units;
mod xfrmi;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::Config;
use crate::error::{Error, KernelError, Result};
use crate::events::Events;
use crate::guard::Guard;
use crate::host::{Host, Readable};
use crate::ledger::{Ledger, Owner};
use crate::model::{Addr, PolicyId, PolicySpec, Proto, SaId, SaSpec, SaUpdate, Spi, Usage};
use crate::nic::Links;
use crate::offload::fixes::Release;
use crate::sad::Sad;
use crate::spd::Spd;
use crate::status::server::Server;
use crate::xfrm::{
    Kernel, NetlinkTransport, PolicyKey, Timer, TimerFd, Transport, kernel_release, sockopt,
};

use bypass::PortBypass;
use foreign::Foreign;
use gate::GateWatch;
use honoured::Honoured;
use lingering::{Cleaner, Lingering};
use links::LinkWatch;
use paths::{PathWatch, Paths};
use patience::Patience;
use recorded::Recorded;
use recovery::{Recovery, Repairs};
use statistics::Statistics;
use takeover::{Mover, Takeover};
use ticker::{Task, TaskId, Ticker};
use truth::Truth;
use units::Units;

/// Where it is written what we put into the kernel. AppArmor lets a confined charon have
/// `/run/charon.*`.
const STATE_FILE: &str = "/run/charon.fastswan.state";

/// `kernel_feature_t`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// TFC padding for ESPv3.
    pub esp_v3_tfc: bool,
    /// Policies carry SPIs, so that an outbound SA may be installed before it is used.
    pub policy_spi: bool,
    /// query_sa tells the time of last use.
    pub sa_use_time: bool,
    /// Acquires carry a sequence number.
    pub acquire_seq: bool,
}

/// What all parts share.
pub(crate) struct Core {
    host: Arc<dyn Host>,
    kernel: Recorded,
    config: Mutex<Arc<Config>>,
    sad: Arc<Sad>,
    spd: Spd,
    units: Units,
    links: Links,
    /// A matter of charon's version, see `routes`.
    peers_are_next_hops: bool,
    /// Of the running kernel.
    release: Option<Release>,
    bypass: PortBypass,
    honoured: Honoured,
    recovery: Arc<Recovery>,
    paths: Paths,
    guard: Arc<Guard>,
    /// What is done later, or again and again.
    pub(crate) ticker: Arc<Ticker>,
    /// The reading of counters, as the ticker knows it.
    statistics: OnceLock<TaskId>,
    patience: Patience,
    foreign: Foreign,
    lingering: Lingering,
    takeover: Takeover,
    /// Offloaded PASS and DROP policies: few, and to be kept in front of others.
    shunts: Mutex<Vec<PolicyKey>>,
}

/// An instance of the plugin.
pub struct Backend {
    core: Arc<Core>,
    events: Arc<Events>,
    link_watch: Arc<LinkWatch>,
    path_watch: Arc<PathWatch>,
    /// Kept for the ticker, which does not own its tasks.
    _repairs: Arc<Repairs>,
    _truth: Arc<Truth>,
    gate: OnceLock<(Arc<GateWatch>, TaskId)>,
    /// The plugin's socket, if it could be opened.
    server: Mutex<Option<Arc<Server>>>,
    /// The ticker does not keep them.
    _tasks: Vec<Arc<dyn Task>>,
    stopped: AtomicBool,
}

impl Backend {
    /// Opens the sockets and starts to listen. Fails if the kernel offers no XFRM, with the reason.
    pub fn create(host: Arc<dyn Host>, version: &str) -> Result<Arc<Self>> {
        let settings = Config::read(host.as_ref()).netlink;
        let transport = Arc::new(NetlinkTransport::with_settings(settings)?);
        let state = Some(Path::new(STATE_FILE));
        let backend = Self::with_state(host, version, transport, timer()?, state)?;
        let path = backend.core.config().socket.clone();
        if !path.is_empty() {
            backend.listen(version, Path::new(&path));
        }
        Ok(backend)
    }

    /// Opens the plugin's socket and has charon watch it.
    fn listen(&self, version: &str, path: &Path) {
        let Some(server) = told::listen(&self.core, version, path) else {
            return;
        };
        let target: Arc<dyn Readable> = server.clone();
        if !self.core.host.watch(server.fd(), Arc::downgrade(&target)) {
            log::warn!("charon refuses to watch {}", path.display());
            return;
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// As [`Backend::create`], over another way to the kernel.
    pub fn with_transport(
        host: Arc<dyn Host>,
        version: &str,
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Self>> {
        Self::with_parts(host, version, transport, timer()?)
    }

    /// As [`Backend::with_transport`], with another clock.
    pub fn with_parts(
        host: Arc<dyn Host>,
        version: &str,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
    ) -> Result<Arc<Self>> {
        Self::with_state(host, version, transport, timer, None)
    }

    /// As [`Backend::with_parts`], with a ledger in the file `state`. What an earlier charon left
    /// behind, by that file, is removed.
    pub fn with_state(
        host: Arc<dyn Host>,
        version: &str,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
        state: Option<&Path>,
    ) -> Result<Arc<Self>> {
        let config = Config::read(host.as_ref());
        let kernel = Kernel::new(Arc::clone(&transport));
        kernel.ask_abilities();
        let guard = Arc::new(Guard::new(Arc::clone(&transport), config.guard.clone()));
        if let Err(error) = kernel.set_hash_thresholds(&config.hash_thresholds) {
            log::error!("setting SPD hash threshold failed: {error}");
        }
        let (ledger, left) = state.and_then(open_ledger).unzip();
        let sad = Arc::new(Sad::default());
        let ticker = Arc::new(Ticker::new(timer));
        let recovery = Arc::new(Recovery::new(Arc::clone(&sad), Arc::clone(&ticker)));
        let events = Arc::new(Events::open(&kernel, Arc::clone(&host), recovery.clone())?);
        let links = Links::new(Arc::clone(&transport))?;
        let core = Arc::new(Core {
            host: Arc::clone(&host),
            kernel: Recorded::new(kernel, ledger),
            config: Mutex::new(Arc::new(config)),
            sad,
            spd: Spd::default(),
            units: Units::default(),
            links,
            peers_are_next_hops: routes::peers_are_next_hops(version),
            release: kernel_release().and_then(|text| Release::parse(&text)),
            bypass: PortBypass::default(),
            honoured: Honoured::default(),
            recovery,
            paths: Paths::default(),
            ticker,
            guard,
            statistics: OnceLock::new(),
            patience: Patience::default(),
            foreign: Foreign::default(),
            lingering: Lingering::default(),
            takeover: Takeover::default(),
            shunts: Mutex::default(),
        });
        let link_watch = Arc::new(LinkWatch::new(Arc::clone(&core)));
        let path_watch = PathWatch::new(&core)?;
        let repairs = Repairs::register(&core);
        let truth = Truth::register(&core);
        let (statistics, task) = Statistics::register(&core);
        let _ = core.statistics.set(task);
        let mover = Mover::register(&core);
        let cleaner = Cleaner::register(&core);
        let watched: [(RawFd, Arc<dyn Readable>, &str); 4] = [
            (events.fd(), events.clone(), "XFRM event socket"),
            (core.links.fd(), link_watch.clone(), "link event socket"),
            (path_watch.fd(), path_watch.clone(), "route event socket"),
            (core.ticker.fd(), core.ticker.clone(), "timer"),
        ];
        for (number, (fd, target, what)) in watched.iter().enumerate() {
            if !host.watch(*fd, Arc::downgrade(target)) {
                for (fd, _, _) in &watched[..number] {
                    host.unwatch(*fd);
                }
                return Err(Error::Invalid(format!(
                    "charon refuses to watch the {what}"
                )));
            }
        }
        let gate = OnceLock::new();
        if let Some(watch) = gate::watch(&core, host.as_ref()) {
            let _ = gate.set(watch);
        }
        if let Some(lines) = left {
            let leftovers = core.find_leftovers(&lines);
            // From here on nothing protects what they protected: whoever closes a gate does it now.
            core.remove_leftovers(&lines, &leftovers);
        }
        core.find_foreign();
        core.announce(version);
        Ok(Arc::new(Self {
            core,
            events,
            link_watch,
            path_watch,
            _repairs: repairs,
            _truth: truth,
            gate,
            server: Mutex::default(),
            _tasks: vec![statistics, mover, cleaner],
            stopped: AtomicBool::new(false),
        }))
    }

    /// Ends the watching and takes back what was installed for the daemon itself. SAs and policies
    /// of CHILD_SAs are charon's to remove; what it left is removed here and said.
    pub fn shutdown(&self) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            self.core.host.unwatch(server.fd());
        }
        self.core.host.unwatch(self.events.fd());
        self.core.host.unwatch(self.core.links.fd());
        self.core.host.unwatch(self.path_watch.fd());
        self.core.host.unwatch(self.core.ticker.fd());
        if let Some((watch, _)) = self.gate.get() {
            self.core.host.unwatch(watch.events().fd());
        }
        self.core.ticker.stop();
        self.link_watch.stop();
        let (sas, policies) = (self.core.sad.len(), self.core.spd.len());
        self.core.end_all_lingering();
        if sas + policies > 0 {
            log::warn!("charon left {sas} SAs and {policies} policies behind, removing them");
            let shut = self.core.shut_all();
            self.core.remove_all_sas();
            self.core.remove_all_policies();
            if let Some(shut) = shut {
                shut.keep();
            }
        }
        self.core.bypass.remove_all(&self.core.kernel);
        // The NIC used them until here.
        self.path_watch.stop();
        self.core.guard.stop();
        if let Some(ledger) = self.core.kernel.ledger() {
            ledger.close();
        }
    }

    /// Reads the settings again.
    pub fn reload(&self) -> bool {
        let config = Arc::new(Config::read(self.core.host.as_ref()));
        self.core.guard.configure(config.guard.clone());
        self.watch_gate();
        *self
            .core
            .config
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = config;
        true
    }

    /// What charon may rely on. The SPI feature is not reported: a NIC that picks the SA by reqid
    /// would use a responder's new outbound SA before the peer can decrypt with it.
    pub fn features(&self) -> Features {
        Features {
            esp_v3_tfc: true,
            policy_spi: false,
            sa_use_time: self.core.kernel.keeps_last_use(),
            acquire_seq: true,
        }
    }

    /// Has the kernel choose and reserve an SPI.
    pub fn get_spi(&self, src: Addr, dst: Addr, proto: Proto) -> Result<Spi> {
        let config = self.core.config();
        self.core
            .alloc_spi(src, dst, proto, config.spi_min, config.spi_max)
            .map(Spi)
    }

    /// Has the kernel choose and reserve a CPI, in host order. 256 to 61439 are the ones to be
    /// negotiated (RFC 3173, 3.3).
    pub fn get_cpi(&self, src: Addr, dst: Addr) -> Result<u16> {
        self.core
            .alloc_spi(src, dst, Proto::Comp, 0x100, 0xefff)
            .map(|cpi| cpi as u16)
    }

    /// Installs an SA.
    pub fn add_sa(&self, id: &SaId, spec: &SaSpec) -> Result<()> {
        self.gate_and_add_sa(id, spec)
    }

    /// Moves an SA to other addresses, [`Error::NotSupported`] if charon should rekey instead.
    pub fn update_sa(&self, id: &SaId, update: &SaUpdate) -> Result<()> {
        self.update_sa_and_gate(id, update)
    }

    /// Counters and last use.
    pub fn query_sa(&self, id: &SaId, _cpi: u16) -> Result<Usage> {
        self.core.query_sa(id)
    }

    /// Removes an SA, or frees an SPI.
    pub fn del_sa(&self, id: &SaId, cpi: u16) -> Result<()> {
        self.del_sa_and_gate(id, cpi)
    }

    /// Removes all SAs.
    pub fn flush_sas(&self) -> Result<()> {
        let result = self.core.flush_sas();
        self.core.guard.open_for_all_sas();
        result
    }

    /// Installs a policy for one more user.
    pub fn add_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        self.gate_and_add_policy(id, spec)
    }

    /// Monotonic second of the last use, 0 if there was none.
    pub fn query_policy(&self, id: &PolicyId) -> Result<i64> {
        self.core.query_policy(id)
    }

    /// Removes one user of a policy, and the policy with the last one.
    pub fn del_policy(&self, id: &PolicyId, spec: &PolicySpec) -> Result<()> {
        self.del_policy_and_gate(id, spec)
    }

    /// Removes all policies.
    pub fn flush_policies(&self) -> Result<()> {
        let result = self.core.flush_policies();
        self.core.guard.open_for_all_policies();
        result
    }

    /// Exempts an IKE socket from IPsec: by its own policy, or by one on its port.
    pub fn bypass_socket(&self, fd: RawFd, family: i32) -> Result<()> {
        self.core.bypass_socket(fd, family)?;
        if let Ok(port) = sockopt::local_port(fd)
            && port != 0
        {
            self.core.guard.use_ike_port(port);
        }
        Ok(())
    }

    /// Has the kernel take ESP in UDP (RFC 3948) out of a socket. Receive offload for it is an extra
    /// that may fail.
    pub fn enable_udp_decap(&self, fd: RawFd, family: i32, port: u16) -> Result<()> {
        sockopt::udp_decap(fd, family).map_err(|error| {
            log::error!("unable to set UDP_ENCAP on port {port}: {error}");
            Error::Kernel(KernelError::new(
                "UDP_ENCAP",
                error.raw_os_error().unwrap_or(0),
            ))
        })?;
        if let Err(error) = sockopt::udp_gro(fd) {
            log::debug!("no UDP_GRO on port {port}, goes without: {error}");
        }
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn timer() -> Result<Arc<dyn Timer>> {
    let timer = TimerFd::new().map_err(|error| {
        Error::Kernel(KernelError::new(
            "timerfd_create",
            error.raw_os_error().unwrap_or(libc::EIO),
        ))
    })?;
    Ok(Arc::new(timer))
}

/// A ledger that cannot be had is no reason not to start.
fn open_ledger(path: &Path) -> Option<(Ledger, HashSet<String>)> {
    Owner::current()
        .and_then(|owner| Ledger::open(path, owner))
        .inspect_err(|error| match error.kind() {
            ErrorKind::WouldBlock => log::warn!(
                "{} belongs to another charon that is alive in this network namespace: what a crash \
                 leaves behind will have to be removed by hand",
                path.display()
            ),
            _ => log::warn!(
                "unable to use {}: {error}; what a crash leaves behind will have to be removed by hand",
                path.display()
            ),
        })
        .ok()
}

impl Core {
    /// The settings of this moment.
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn announce(&self, version: &str) {
        let devices: Vec<String> = self
            .links
            .all()
            .iter()
            .filter(|link| link.esp_offload)
            .map(|link| match &link.driver {
                Some(driver) => format!("{} ({driver})", link.name),
                None => link.name.clone(),
            })
            .collect();
        let devices = if devices.is_empty() {
            "no device with IPsec offload".to_owned()
        } else {
            format!("IPsec offload on {}", devices.join(", "))
        };
        log::info!(
            "kernel-fastswan {} for strongSwan {version} is active: {devices}",
            env!("CARGO_PKG_VERSION")
        );
    }

    fn alloc_spi(&self, src: Addr, dst: Addr, proto: Proto, min: u32, max: u32) -> Result<u32> {
        let what = if proto == Proto::Comp { "CPI" } else { "SPI" };
        let value = self
            .kernel
            .alloc_spi(src.ip, dst.ip, proto, min, max)
            .inspect_err(|error| {
                log::error!("unable to get {what} for {src} === {dst}: {error}");
            })?;
        log::debug!("got {what} {value:08x}");
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
