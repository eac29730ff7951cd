// SPDX-License-Identifier: GPL-2.0-or-later
//! Settings, typed, with their defaults.
//!
//! Owns every key that is read from strongswan.conf; `kernel-fastswan.opt` documents the same keys
//! and a test compares the two. A key below `plugins.kernel-fastswan` that is not set falls back to
//! the one of the same name below `plugins.kernel-netlink` (the shim does that). Must not be read
//! in a hot path: [`Config::read`] runs at start and on reload.
#![forbid(unsafe_code)]

use crate::host::Host;
use crate::offload::fixes::Declared;
use crate::xfrm::{HashThresholds, Iptfs, NetlinkSettings, Threshold};

/// Where our own settings live.
pub const PREFIX: &str = "plugins.kernel-fastswan.";

/// What is done when a next hop has another link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopChange {
    /// Write a neighbour entry for the peer, which the driver listens to; rekey if that fails.
    Neighbour,
    /// Rekey.
    Rekey,
    /// Warn.
    Ignore,
}

impl NextHopChange {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "neighbour" => Some(Self::Neighbour),
            "rekey" => Some(Self::Rekey),
            "no" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `charon.install_routes`: install source routes for outbound policies.
    pub install_routes: bool,
    /// `charon.routing_table`: where charon's network half puts those routes.
    pub routing_table: u32,
    /// `charon.spi_min`, host order.
    pub spi_min: u32,
    /// `charon.spi_max`, host order.
    pub spi_max: u32,
    /// `port_bypass`: exempt IKE by policies on its ports rather than on its sockets.
    pub port_bypass: bool,
    /// `policy_update`: always send `XFRM_MSG_UPDPOLICY`, so that policies found in the SPD are
    /// replaced without a complaint.
    pub policy_update: bool,
    /// `install_routes_xfrmi`: routes also for policies with an XFRM interface ID.
    pub install_routes_xfrmi: bool,
    /// `set_proto_port_transport_sa`: keep protocol and ports in the selector on transport SAs.
    pub set_proto_port_transport_sa: bool,
    /// `allow_no_replay`: take SAs in packet mode although the device arms no anti-replay for them.
    pub allow_no_replay: bool,
    /// `neighbour_timeout`: how long to wait for the next hop's link-layer address before an SA goes
    /// to the NIC, in milliseconds.
    pub neighbour_timeout_ms: u64,
    /// `rekey_pace`: how many CHILD_SAs per second charon is told to rekey after a device lost them
    /// or their route moved.
    pub rekey_pace: u32,
    /// `next_hop_change`: how a NIC is told that the next hop has another link-layer address.
    pub next_hop_change: NextHopChange,
    /// `next_hop_keepalive`: seconds between two uses of each next hop, 0 = never.
    pub next_hop_keepalive: u32,
    /// `truth_interval`: seconds within which everything installed is compared with the kernel once,
    /// 0 = never.
    pub truth_interval: u32,
    /// `guard*`: the gate against traffic in clear.
    pub guard: crate::guard::Settings,
    /// `spdh_thresh.*`: from which prefix lengths on the kernel finds policies by hash.
    pub hash_thresholds: HashThresholds,
    /// `buflen`, `receive_buffer_size`, `timeout`, `retries`, `ignore_retransmit_errors`: for the
    /// netlink sockets, at the start only.
    pub netlink: NetlinkSettings,
    /// `socket`: where `fastswanctl` and others ask what is offloaded; empty for none.
    pub socket: String,
    /// `takeover_interval`: time between two units of `auto` that are rekeyed because a NIC has room
    /// for them again, in milliseconds; 0 = never.
    pub takeover_interval_ms: u64,
    /// `kernel_fixes`: fixes that the kernel has beyond those of its release.
    pub kernel_fixes: Declared,
    /// `charon.iptfs.*`: what charon offers for RFC 9347.
    pub iptfs: Iptfs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            install_routes: true,
            routing_table: 220,
            spi_min: 0xc000_0000,
            spi_max: 0xcfff_ffff,
            port_bypass: false,
            policy_update: false,
            install_routes_xfrmi: false,
            set_proto_port_transport_sa: false,
            allow_no_replay: false,
            neighbour_timeout_ms: 500,
            rekey_pace: 100,
            next_hop_change: NextHopChange::Neighbour,
            next_hop_keepalive: 15,
            truth_interval: 300,
            guard: crate::guard::Settings::default(),
            hash_thresholds: HashThresholds::default(),
            netlink: NetlinkSettings::default(),
            socket: "/run/charon.fastswan".to_owned(),
            takeover_interval_ms: 1_000,
            kernel_fixes: Declared::Auto,
            iptfs: Iptfs::default(),
        }
    }
}

impl Config {
    /// Reads all settings. A number out of range is replaced by the default, with a line.
    pub fn read(host: &dyn Host) -> Self {
        let default = Self::default();
        let own = |key: &str, fallback: bool| host.get_bool(&format!("{PREFIX}{key}"), fallback);
        let bounded = |key: &str, fallback: u32, min: i64, max: i64| {
            let value = host.get_int(&format!("{PREFIX}{key}"), i64::from(fallback));
            value.clamp(min, max) as u32
        };
        let number = |key: &str, fallback: u32| {
            let value = host.get_int(key, i64::from(fallback));
            // settings_t hands out a signed 32-bit integer: 0xc0000000 comes back negative.
            let value = if value < 0 {
                value & 0xffff_ffff
            } else {
                value
            };
            u32::try_from(value).unwrap_or_else(|_| {
                log::warn!("charon.{key} = {value} is out of range, using {fallback:#x}");
                fallback
            })
        };
        let (mut spi_min, mut spi_max) = (
            number("spi_min", default.spi_min),
            number("spi_max", default.spi_max),
        );
        // In whichever order, as with kernel-netlink.
        (spi_min, spi_max) = (spi_min.min(spi_max), spi_min.max(spi_max));
        // 0 is no SPI and 1 to 255 are reserved (RFC 4303, 2.1).
        if spi_min < 256 {
            log::warn!(
                "charon.spi_min = {spi_min:#x} and spi_max = {spi_max:#x} are no range above 255, \
                 using {:#x} to {:#x}",
                default.spi_min,
                default.spi_max
            );
            (spi_min, spi_max) = (default.spi_min, default.spi_max);
        }
        say_what_has_no_effect(host);
        let hash = &default.hash_thresholds;
        let threshold = |family: &str, fallback: Threshold, max: i64| Threshold {
            local: bounded(
                &format!("spdh_thresh.{family}.lbits"),
                u32::from(fallback.local),
                0,
                max,
            ) as u8,
            remote: bounded(
                &format!("spdh_thresh.{family}.rbits"),
                u32::from(fallback.remote),
                0,
                max,
            ) as u8,
        };
        let timeout = host.get_int(
            &format!("{PREFIX}neighbour_timeout"),
            default.neighbour_timeout_ms as i64,
        );
        let takeover = host.get_int(
            &format!("{PREFIX}takeover_interval"),
            default.takeover_interval_ms as i64,
        );
        let fixes = host.get_str(&format!("{PREFIX}kernel_fixes"));
        let (kernel_fixes, unknown) = Declared::parse(fixes.as_deref().unwrap_or("auto"));
        if !unknown.is_empty() {
            log::warn!("kernel_fixes names unknown fixes: {}", unknown.join(", "));
        }
        Self {
            install_routes: host.get_bool("install_routes", default.install_routes),
            routing_table: number("routing_table", default.routing_table),
            spi_min,
            spi_max,
            port_bypass: own("port_bypass", default.port_bypass),
            policy_update: own("policy_update", default.policy_update),
            install_routes_xfrmi: own("install_routes_xfrmi", default.install_routes_xfrmi),
            set_proto_port_transport_sa: own(
                "set_proto_port_transport_sa",
                default.set_proto_port_transport_sa,
            ),
            allow_no_replay: own("allow_no_replay", default.allow_no_replay),
            // Bounded, since a worker of charon waits for it.
            neighbour_timeout_ms: timeout.clamp(0, 5_000) as u64,
            rekey_pace: bounded("rekey_pace", default.rekey_pace, 1, 10_000),
            next_hop_change: match host.get_str(&format!("{PREFIX}next_hop_change")) {
                None => default.next_hop_change,
                Some(text) => NextHopChange::parse(&text).unwrap_or_else(|| {
                    log::warn!("next_hop_change = {text} is none of neighbour, rekey and no");
                    default.next_hop_change
                }),
            },
            next_hop_keepalive: bounded("next_hop_keepalive", default.next_hop_keepalive, 0, 600),
            truth_interval: bounded("truth_interval", default.truth_interval, 0, 86_400),
            guard: crate::guard::Settings::read(host, PREFIX),
            hash_thresholds: HashThresholds {
                ipv4: threshold("ipv4", hash.ipv4, 32),
                ipv6: threshold("ipv6", hash.ipv6, 128),
            },
            netlink: NetlinkSettings {
                buffer_len: bounded("buflen", 0, 0, 1 << 24),
                receive_buffer: bounded(
                    "receive_buffer_size",
                    default.netlink.receive_buffer,
                    0,
                    i64::from(i32::MAX / 2),
                ),
                timeout_ms: bounded("timeout", 0, 0, 60_000),
                retries: bounded("retries", 0, 0, 100),
                ignore_retransmit_errors: own("ignore_retransmit_errors", false),
            },
            socket: host
                .get_str(&format!("{PREFIX}socket"))
                .unwrap_or(default.socket),
            takeover_interval_ms: takeover.clamp(0, 3_600_000) as u64,
            kernel_fixes,
            iptfs: Iptfs {
                drop_time: number("iptfs.drop_time", default.iptfs.drop_time),
                reorder_window: u16::try_from(number(
                    "iptfs.reorder_window",
                    u32::from(default.iptfs.reorder_window),
                ))
                .unwrap_or(u16::MAX),
                init_delay: number("iptfs.init_delay", default.iptfs.init_delay),
                max_queue_size: number("iptfs.max_queue_size", default.iptfs.max_queue_size),
                packet_size: number("iptfs.packet_size", default.iptfs.packet_size),
                dont_fragment: host.get_bool("iptfs.dont_fragment", default.iptfs.dont_fragment),
            },
        }
    }
}

/// Settings of kernel-netlink that are accepted and need nothing: requests always run side by side,
/// and features are found by name on each device.
fn say_what_has_no_effect(host: &dyn Host) {
    if host.get_bool(&format!("{PREFIX}parallel_xfrm"), false) {
        log::debug!("parallel_xfrm has no effect: no request waits for another");
    }
    let key = "hw_offload_feature_interface";
    if let Some(interface) = host.get_str(&format!("{PREFIX}{key}")) {
        log::debug!("{key} = {interface} has no effect: features are found by name");
    }
}
