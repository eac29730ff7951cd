// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel: release, fixes, configuration, modules.
//!
//! Owns these checks. The table of fixes is `offload::fixes`, which the plugin goes by as well.

use fastswan::offload::fixes::{
    FIXES, Fix, KernelFixes, LIMITS, PACKET_MODE, RECOMMENDED, SECPATH, Weight,
};

use super::{Report, Verdict};
use crate::facts::{Answer, Facts, Module};
use crate::machine::is_fault;

/// What is needed, and what happens without it.
const OPTIONS: &[(&str, Verdict, &str)] = &[
    ("XFRM_USER", Verdict::Fail, "nobody can install SAs"),
    ("XFRM_OFFLOAD", Verdict::Fail, "no device can offload IPsec"),
    ("INET_ESP", Verdict::Fail, "there is no ESP over IPv4"),
    (
        "INET_ESP_OFFLOAD",
        Verdict::Fail,
        "SAs over IPv4 are refused with \"Type doesn't support offload\"",
    ),
    ("INET6_ESP", Verdict::Warn, "there is no ESP over IPv6"),
    (
        "INET6_ESP_OFFLOAD",
        Verdict::Warn,
        "SAs over IPv6 are refused with \"Type doesn't support offload\"",
    ),
    (
        "XFRM_STATISTICS",
        Verdict::Warn,
        "dropped packets are not counted",
    ),
    (
        "XFRM_MIGRATE",
        Verdict::Warn,
        "policies of a peer that moves (MOBIKE) cannot be moved with it",
    ),
];

/// What the gate against traffic in clear is made of.
const GATE_OPTIONS: &[&str] = &[
    "NF_TABLES",
    "NFT_XFRM",
    "NFT_FIB_INET",
    "NFT_SOCKET",
    "NETFILTER_EGRESS",
];

/// What mlx5 needs beyond.
const MLX5_OPTIONS: &[(&str, Verdict, &str)] = &[
    (
        "MLX5_EN_IPSEC",
        Verdict::Fail,
        "the driver of ConnectX is built without IPsec",
    ),
    (
        "MLX5_CLS_ACT",
        Verdict::Fail,
        "the driver refuses policies with a priority, which all of strongSwan's have",
    ),
];

const MODULES: &[(&str, Verdict)] = &[
    ("xfrm_user", Verdict::Fail),
    ("esp4", Verdict::Fail),
    ("esp4_offload", Verdict::Fail),
    ("esp6", Verdict::Warn),
    ("esp6_offload", Verdict::Warn),
];

/// Whether mlx5 is what this machine has, or has to get, for packet offload.
fn mlx5_matters(facts: &Facts) -> bool {
    let Some(devices) = facts.devices.known() else {
        return true;
    };
    let is_mlx5 = |driver: &Option<String>| driver.as_deref() == Some(super::nic::MLX5);
    devices.iter().any(|device| is_mlx5(&device.driver))
        || !devices.iter().any(|device| device.esp_offload)
}

pub(super) fn examine(facts: &Facts, fixes: &KernelFixes, report: &mut Report) {
    release(facts, fixes, report);
    let mlx5 = mlx5_matters(facts);
    for fix in FIXES {
        examine_fix(facts, fixes, fix, mlx5, report);
    }
    config(facts, mlx5, report);
    log(facts, report);
    for (name, worst) in MODULES {
        match facts.modules.get(*name) {
            None => report.skip("kernel-module", (*name).to_owned(), "it was not looked for"),
            Some(Module::Loaded) => report.good("kernel-module", (*name).to_owned(), "loaded"),
            Some(Module::Builtin) => {
                report.good("kernel-module", (*name).to_owned(), "built into the kernel");
            }
            Some(Module::Loadable) => report.good(
                "kernel-module",
                (*name).to_owned(),
                "not loaded yet; the kernel loads it when it is needed",
            ),
            // A kernel without modules has no list of what is built in.
            Some(Module::Missing) if built_in(facts, name) => {
                report.good("kernel-module", (*name).to_owned(), "built into the kernel");
            }
            Some(Module::Missing) => report.add(
                "kernel-module",
                (*name).to_owned(),
                *worst,
                "neither loaded nor to be found for this kernel",
                format!(
                    "install the modules of kernel {}, or in a container load {name} on the host.",
                    facts.release
                ),
            ),
        }
    }
}

/// Faults of the kernel with IPsec or the driver in their trace.
fn log(facts: &Facts, report: &mut Report) {
    let lines = match &facts.kernel_log {
        Answer::Known(lines) => lines,
        Answer::Unknown(why) => {
            report.skip("kernel-log", None, why.clone());
            return;
        }
    };
    let mut clean = true;
    for line in lines.iter().filter(|line| is_fault(line)) {
        clean = false;
        let fatal = !line.contains("WARNING: ");
        report.add(
            "kernel-log",
            None,
            if fatal { Verdict::Fail } else { Verdict::Warn },
            format!("a fault in IPsec or its driver: {line}"),
            if fatal {
                "the kernel cannot be trusted any more: keep the whole trace (dmesg), reboot, and \
                 see kernel-fix for what is missing."
            } else {
                "keep the whole trace (dmesg), and see kernel-fix for what is missing."
            },
        );
    }
    if clean {
        report.good("kernel-log", None, "no fault with IPsec in its trace");
    }
}

/// Whether the configuration says that a module is part of the kernel.
fn built_in(facts: &Facts, module: &str) -> bool {
    let option = match module {
        "xfrm_user" => "XFRM_USER",
        "esp4" => "INET_ESP",
        "esp6" => "INET6_ESP",
        "esp4_offload" => "INET_ESP_OFFLOAD",
        "esp6_offload" => "INET6_ESP_OFFLOAD",
        _ => return false,
    };
    facts
        .config
        .known()
        .and_then(|options| options.get(option))
        .is_some_and(|value| value == "y")
}

fn release(facts: &Facts, fixes: &KernelFixes, report: &mut Report) {
    let found = &facts.release;
    let Some(release) = fixes.release else {
        report.add(
            "kernel-release",
            None,
            Verdict::Warn,
            format!("\"{found}\" is no release that can be compared"),
            "if the vendor brought the fixes to it, say so with kernel_fixes.",
        );
        return;
    };
    if release < PACKET_MODE {
        report.add(
            "kernel-release",
            None,
            Verdict::Fail,
            format!("{found} has no packet offload, which came with {PACKET_MODE}"),
            format!("use a kernel of {RECOMMENDED} or later."),
        );
    } else if release < RECOMMENDED {
        let limits = if release < LIMITS {
            ", and without limits by bytes and packets"
        } else {
            ""
        };
        report.add(
            "kernel-release",
            None,
            Verdict::Warn,
            format!("{found} has packet offload without all of its fixes{limits}"),
            format!(
                "use a kernel of {RECOMMENDED} or later, or declare what a vendor brought to this \
                 one with kernel_fixes."
            ),
        );
    } else {
        report.good("kernel-release", None, found.clone());
    }
}

fn examine_fix(facts: &Facts, fixes: &KernelFixes, fix: &Fix, mlx5: bool, report: &mut Report) {
    let id = "kernel-fix";
    let object = fix.id.to_owned();
    if fixes.has_fix(fix) {
        // The later ones are worth a line only where they are missing.
        if fix.one_of_eleven {
            let from = match fixes.release {
                Some(release) if fix.in_release(release) => format!("since {}", fix.since),
                _ => "declared by kernel_fixes".to_owned(),
            };
            report.good(id, object, format!("\"{}\" ({from})", fix.subject));
        }
        return;
    }
    let text = format!("\"{}\" is missing: {}", fix.subject, fix.without);
    if !mlx5 && fix.subject.starts_with("net/mlx5e:") {
        report.skip(
            id,
            object,
            format!("\"{}\" concerns ConnectX only", fix.subject),
        );
        return;
    }
    let verdict = match fix.weight {
        Weight::Slight => Verdict::Warn,
        Weight::Loss => Verdict::Warn,
        // Without forwarding there is no packet that it could happen to.
        Weight::Severe if fix.id == SECPATH && !facts.forwarding => Verdict::Warn,
        Weight::Severe => Verdict::Fail,
    };
    report.add(
        id,
        object,
        verdict,
        text,
        format!(
            "use {} or later, or a kernel that has it and kernel_fixes = {}.",
            fix.since, fix.id
        ),
    );
}

fn config(facts: &Facts, mlx5: bool, report: &mut Report) {
    let options = match &facts.config {
        Answer::Known(options) => options,
        Answer::Unknown(why) => {
            report.skip("kernel-config", None, why.clone());
            return;
        }
    };
    let is_set = |name: &str| options.get(name).is_some_and(|value| value != "n");
    for (name, worst, without) in OPTIONS {
        option(facts, name, is_set(name), *worst, without, report);
    }
    for name in GATE_OPTIONS {
        option(
            facts,
            name,
            is_set(name),
            Verdict::Warn,
            "the gate cannot be built, and packet mode is refused unless guard = no",
            report,
        );
    }
    for (name, worst, without) in MLX5_OPTIONS {
        if mlx5 {
            option(facts, name, is_set(name), *worst, without, report);
        } else {
            report.skip(
                "kernel-config",
                (*name).to_owned(),
                "concerns ConnectX only",
            );
        }
    }
    // The reason for the one above, where there is none.
    if mlx5 && !is_set("MLX5_CLS_ACT") && !is_set("NET_TC_SKB_EXT") {
        option(
            facts,
            "NET_TC_SKB_EXT",
            false,
            Verdict::Fail,
            "MLX5_CLS_ACT depends on it",
            report,
        );
    }
}

fn option(
    facts: &Facts,
    name: &str,
    set: bool,
    worst: Verdict,
    without: &str,
    report: &mut Report,
) {
    if set {
        report.good("kernel-config", name.to_owned(), "set");
        return;
    }
    let remedy = if facts.distribution == "debian" && name.contains("MLX5") {
        format!(
            "Debian's own kernels are built without CONFIG_{name}: build one with it, or use the \
             vendor's driver."
        )
    } else {
        format!("use a kernel that is built with CONFIG_{name}.")
    };
    report.add(
        "kernel-config",
        name.to_owned(),
        worst,
        format!("not set: {without}"),
        remedy,
    );
}
