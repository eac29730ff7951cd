// SPDX-License-Identifier: GPL-2.0-or-later
//! `--live`: what a device says when it is asked to take an SA and a policy.
//!
//! Owns the only test of `doctor` that changes something. Every object uses addresses of TEST-NET
//! (RFC 5737, RFC 3849), so that no packet can match; SAs have a random key and delete themselves
//! after some seconds should this process not get to it. Must not be run where the first SA would
//! disturb: it makes the driver build its IPsec tables, which blocks tc offload and mode changes
//! for that moment.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;

use fastswan::error::KernelError;
use fastswan::model::algorithm::{ENCR_AES_GCM_ICV16, UNDEFINED};
use fastswan::model::{
    Addr, Direction, DscpCopy, Key, Lifetime, Limit, Mark, Mode, Offload, Placement, PortMatch,
    Prefix, Proto, SaId, SaSpec, Selector, Spi, Transforms,
};
use fastswan::nic::Links;
use fastswan::offload::explain;
use fastswan::xfrm::{
    Action, Iptfs, Kernel, NetlinkTransport, PolicyKey, PolicyMessage, Replay, SaMessage, Transport,
};

use super::{Report, Verdict};

/// What a kernel without packet offload does: it takes the object and forgets the device.
const FORGOTTEN: &str = "the kernel took it without an error, but not into the device";
/// What to do about that.
const FORGOTTEN_REMEDY: &str =
    "use a kernel of 6.2 or later that is built with CONFIG_XFRM_OFFLOAD.";
/// An SA or a policy that was left behind is gone after this many seconds.
const EXPIRES: u64 = 5;

/// One capability that is tried.
struct Trial {
    id: &'static str,
    mode: Mode,
    v6: bool,
    inbound: bool,
    key_bits: usize,
    replay: Replay,
    encap: bool,
    lifetime: Lifetime,
    /// What it means if the device refuses.
    worst: Verdict,
}

const ESN: Replay = Replay::Esn {
    window: 32,
    esn: true,
};

fn trial(id: &'static str, worst: Verdict) -> Trial {
    Trial {
        id,
        mode: Mode::Tunnel,
        v6: false,
        inbound: true,
        key_bits: 256,
        replay: ESN,
        encap: false,
        lifetime: Lifetime::default(),
        worst,
    }
}

fn trials() -> Vec<Trial> {
    let window = |id, window| Trial {
        replay: Replay::Esn { window, esn: true },
        ..trial(id, Verdict::Warn)
    };
    let limited = |id, bytes: bool| {
        let limit = Limit {
            life: 2_000_000,
            rekey: 1_000_000,
        };
        let mut lifetime = Lifetime::default();
        if bytes {
            lifetime.bytes = limit;
        } else {
            lifetime.packets = limit;
        }
        Trial {
            lifetime,
            ..trial(id, Verdict::Warn)
        }
    };
    vec![
        trial("live-tunnel", Verdict::Fail),
        Trial {
            inbound: false,
            ..trial("live-tunnel-out", Verdict::Fail)
        },
        Trial {
            v6: true,
            ..trial("live-tunnel-ipv6", Verdict::Warn)
        },
        Trial {
            mode: Mode::Transport,
            ..trial("live-transport", Verdict::Warn)
        },
        Trial {
            key_bits: 128,
            ..trial("live-aes128", Verdict::Warn)
        },
        Trial {
            replay: Replay::Esn {
                window: 32,
                esn: false,
            },
            ..trial("live-no-esn", Verdict::Warn)
        },
        window("live-window-64", 64),
        window("live-window-128", 128),
        window("live-window-256", 256),
        Trial {
            mode: Mode::Transport,
            encap: true,
            ..trial("live-udp-transport", Verdict::Warn)
        },
        limited("live-limit-bytes", true),
        limited("live-limit-packets", false),
    ]
}

/// The ids of all trials.
#[cfg(test)]
pub(super) fn ids() -> Vec<&'static str> {
    let policies = ["live-policy-out", "live-policy-in"];
    policies
        .into_iter()
        .chain(trials().iter().map(|trial| trial.id))
        .collect()
}

/// Tries a device and adds what it said. An error is one of this process, such as no such device.
pub(crate) fn try_device(name: &str, report: &mut Report) -> io::Result<()> {
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().map_err(other)?);
    let link = Links::new(Arc::clone(&transport))
        .map_err(other)?
        .by_name(name)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no device {name} in this network namespace"),
            )
        })?;
    let kernel = Kernel::new(transport);
    for (id, dir) in [
        ("live-policy-out", Direction::Out),
        ("live-policy-in", Direction::In),
    ] {
        let key = policy_key(dir);
        let result = try_policy(&kernel, &key, link.ifindex);
        if let Err(error) = &result
            && error.errno == libc::EPERM
        {
            // All else would be refused for the same reason, which says nothing of the device.
            let text = format!("the trial on {name} was not made: {error}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        told(report, id, name, Verdict::Fail, &result);
    }
    for trial in trials() {
        let result = try_sa(&kernel, &trial, link.ifindex)?;
        told(report, trial.id, name, trial.worst, &result);
    }
    Ok(())
}

/// Whether the device has it, by the kernel's word.
type Tried = Result<bool, KernelError>;

fn told(report: &mut Report, id: &'static str, device: &str, worst: Verdict, result: &Tried) {
    let device = Some(device.to_owned());
    match result {
        Ok(true) => report.good(id, device, "taken"),
        Ok(false) => report.add(id, device, worst, FORGOTTEN, FORGOTTEN_REMEDY),
        Err(error) => refusal(report, id, device, worst, error),
    }
}

fn other(error: KernelError) -> io::Error {
    io::Error::other(error.to_string())
}

/// The device's own words in front, our remedy behind.
fn refusal(
    report: &mut Report,
    id: &'static str,
    object: Option<String>,
    worst: Verdict,
    error: &KernelError,
) {
    if error.errno == libc::EPERM {
        report.add(
            id,
            object,
            Verdict::Skip,
            error.to_string(),
            "run it as root.",
        );
        return;
    }
    let explained = explain(error);
    let remedy = match explained.remedy {
        "" => String::new(),
        text => format!("{text}."),
    };
    report.add(id, object, worst, explained.reason, remedy);
}

fn address(v6: bool, last: u8) -> IpAddr {
    if v6 {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])
    } else {
        IpAddr::from([192, 0, 2, last])
    }
}

/// Never the selector of anything real, and with a protocol, so that no template is needed.
fn policy_key(dir: Direction) -> PolicyKey {
    let port = PortMatch {
        port: 1,
        mask: u16::MAX,
    };
    PolicyKey {
        dir,
        selector: Selector {
            src: Prefix::new(address(false, 1), 32),
            dst: Prefix::new(address(false, 2), 32),
            proto: 17,
            sport: port,
            dport: port,
            ifindex: 0,
        },
        mark: Mark::default(),
        if_id: 0,
        label: None,
    }
}

fn try_policy(kernel: &Kernel, key: &PolicyKey, ifindex: u32) -> Tried {
    kernel.new_policy_for(
        &PolicyMessage {
            key,
            priority: 4_000_000,
            action: Action::Allow,
            templates: &[],
            cpu_acquires: false,
            icmp: false,
            offload: Some(ifindex),
        },
        EXPIRES,
    )?;
    let found = kernel.get_policy(key);
    // It expires by itself if this fails.
    kernel.del_policy(key)?;
    Ok(found?.offload == Some(ifindex))
}

fn random(len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn try_sa(kernel: &Kernel, trial: &Trial, ifindex: u32) -> io::Result<Tried> {
    let numbers = random(8)?;
    let number = |at: usize| {
        u32::from_be_bytes([
            numbers[at],
            numbers[at + 1],
            numbers[at + 2],
            numbers[at + 3],
        ])
    };
    let port = if trial.encap { 4500 } else { 0 };
    let end = |last| Addr {
        ip: address(trial.v6, last),
        port,
    };
    let id = SaId {
        src: end(1),
        dst: end(2),
        // 1 to 255 are reserved.
        spi: Spi(number(0) | 0x0100_0000),
        proto: Proto::Esp,
        mark: Mark::default(),
        if_id: 0,
    };
    let (window, esn) = match trial.replay {
        Replay::Esn { window, esn } => (window, esn),
        Replay::Legacy(window) => (window, false),
        Replay::None => (0, false),
    };
    let mut lifetime = trial.lifetime;
    lifetime.time.life = EXPIRES;
    let spec = SaSpec {
        name: "doctor --live".to_owned(),
        reqid: number(4) | 0x4000_0000,
        seq: 0,
        mode: trial.mode,
        src_ts: Vec::new(),
        dst_ts: Vec::new(),
        interface: None,
        lifetime,
        enc_alg: ENCR_AES_GCM_ICV16,
        // Key and 4 bytes of salt (RFC 4106, 8.1).
        enc_key: Key::new(&random(trial.key_bits / 8 + 4)?),
        int_alg: UNDEFINED,
        int_key: Key::default(),
        replay_window: window,
        tfc: 0,
        ipcomp: 0,
        cpi: 0,
        cpu: None,
        encap: trial.encap,
        offload: Offload::Packet,
        set_mark: Mark::default(),
        label: None,
        esn,
        copy_df: false,
        copy_ecn: false,
        copy_dscp: DscpCopy::No,
        iptfs_dont_frag: false,
        forward_icmp: false,
        initiator: true,
        inbound: trial.inbound,
        update: false,
    };
    let message = SaMessage {
        id: &id,
        spec: &spec,
        transforms: &Transforms::Aead {
            name: "rfc4106(gcm(aes))".into(),
            icv_bits: 128,
        },
        placement: Placement::Packet(ifindex),
        selector: None,
        any_family: false,
        replay: trial.replay,
        iptfs: Iptfs::default(),
    };
    Ok(tried_sa(kernel, &message, ifindex))
}

fn tried_sa(kernel: &Kernel, message: &SaMessage<'_>, ifindex: u32) -> Tried {
    kernel.new_sa(message, false)?;
    let (key, src) = (message.id.key(), message.id.src.ip);
    let found = kernel.get_sa(&key, src);
    // It expires by itself if this fails.
    kernel.del_sa(&key, src)?;
    Ok(found?.placement == Placement::Packet(ifindex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_does_not_have_is_no_success() {
        let mut report = Report::default();
        told(&mut report, "live-tunnel", "p0", Verdict::Fail, &Ok(true));
        assert!(report.passed());
        told(&mut report, "live-tunnel", "p0", Verdict::Fail, &Ok(false));
        assert!(!report.passed());
        assert!(report.findings[1].text.contains("not into the device"));
        // Without permission nothing was tried, which says nothing of the device.
        let refused = Err(KernelError::new("XFRM_MSG_NEWSA", libc::EPERM));
        told(&mut report, "live-tunnel", "p0", Verdict::Fail, &refused);
        assert_eq!(report.findings[2].verdict, Verdict::Skip);
        let refused = Err(KernelError::new("XFRM_MSG_NEWSA", libc::EBUSY));
        told(&mut report, "live-transport", "p0", Verdict::Warn, &refused);
        assert_eq!(report.findings[3].verdict, Verdict::Warn);
    }
}
