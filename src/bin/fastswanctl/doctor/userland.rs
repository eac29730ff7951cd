// SPDX-License-Identifier: GPL-2.0-or-later
//! charon, our plugin in it, and what may keep the two apart.
//!
//! Owns these checks. Works without a running charon: then what is installed is judged.

use fastswan::xfrm::NetlinkSettings;

use super::{Report, Verdict};
use crate::facts::{Answer, Charon, Facts};

const OURS: &str = "kernel-fastswan";
const STOCK: &str = "kernel-netlink";

pub(super) fn examine(facts: &Facts, report: &mut Report) {
    if facts.net_admin {
        report.good(
            "privileges",
            None,
            "this command may ask the kernel all it needs",
        );
    } else {
        report.add(
            "privileges",
            None,
            Verdict::Warn,
            "without CAP_NET_ADMIN the kernel does not show SAs, policies and eswitch",
            "run it as root.",
        );
    }
    installed(facts, report);
    apparmor(facts, report);
    process(facts, report);
    match &facts.charon {
        Answer::Known(charon) => running(charon, report),
        Answer::Unknown(why) => report.add(
            "charon",
            None,
            Verdict::Warn,
            format!("no answer from charon: {why}"),
            "start strongSwan to have its plugins and connections checked as well.",
        ),
    }
}

/// What charon may do, and whether it gets all that the kernel tells.
fn process(facts: &Facts, report: &mut Report) {
    let process = match &facts.process {
        Answer::Known(Some(process)) => process,
        // Whether it runs is another check.
        Answer::Known(None) => {
            report.skip("event-buffer", None, "charon does not run");
            return;
        }
        Answer::Unknown(why) => {
            report.skip("event-buffer", None, why.clone());
            return;
        }
    };
    let about = format!("{} (pid {})", process.name, process.pid);
    // What the plugin asks for without a setting.
    let wanted = NetlinkSettings::default().receive_buffer;
    if process.net_admin {
        report.good(
            "charon-capabilities",
            None,
            format!("{about} has CAP_NET_ADMIN"),
        );
    } else {
        report.add(
            "charon-capabilities",
            None,
            Verdict::Fail,
            format!("{about} has no CAP_NET_ADMIN: the kernel refuses it all SAs and policies"),
            "start it as root, or give its unit AmbientCapabilities=CAP_NET_ADMIN.",
        );
    }
    if process.events_lost > 0 {
        report.add(
            "event-buffer",
            None,
            Verdict::Warn,
            format!(
                "{} messages of the kernel did not fit into charon's buffers: what it missed it \
                 asks for, which costs a dump each time",
                process.events_lost
            ),
            "if it grows, find out what floods netlink (ip monitor, ip xfrm monitor).",
        );
    } else if process.net_admin || process.rmem_max >= u64::from(wanted) {
        report.good(
            "event-buffer",
            None,
            "charon may have the buffer for events that it asks for (SO_RCVBUFFORCE), and lost none",
        );
    } else {
        report.add(
            "event-buffer",
            None,
            Verdict::Warn,
            format!(
                "charon gets {} bytes for events instead of {wanted}: without CAP_NET_ADMIN \
                 net.core.rmem_max is the limit",
                process.rmem_max
            ),
            format!("sysctl net.core.rmem_max={wanted}, or give it CAP_NET_ADMIN."),
        );
    }
}

fn installed(facts: &Facts, report: &mut Report) {
    let installed = &facts.installed;
    match &installed.library {
        Some(file) => report.good("plugin-file", None, file.clone()),
        None => report.add(
            "plugin-file",
            None,
            Verdict::Fail,
            "libstrongswan-kernel-fastswan.so is in none of strongSwan's plugin folders",
            "install the one that was built for this strongSwan (cargo xtask dist).",
        ),
    }
    if let Some(load) = &installed.explicit_load {
        order("plugin-load", load, report);
    } else {
        match installed.load.as_deref() {
            None => report.add(
                "plugin-load",
                None,
                Verdict::Fail,
                "no setting loads it: charon.plugins.kernel-fastswan.load is not set",
                "copy kernel-fastswan.conf to /etc/strongswan.d/charon/.",
            ),
            Some("no" | "0" | "false" | "disabled") => report.add(
                "plugin-load",
                None,
                Verdict::Fail,
                "charon.plugins.kernel-fastswan.load = no",
                "set it to 2 in /etc/strongswan.d/charon/kernel-fastswan.conf.",
            ),
            Some(load) if load.parse::<i32>().is_ok_and(|load| load > 1) => {
                report.good("plugin-load", None, format!("load = {load}"));
            }
            Some(load) => report.add(
                "plugin-load",
                None,
                Verdict::Fail,
                format!("load = {load} puts it beside {STOCK} and not before it"),
                "set it to 2 in /etc/strongswan.d/charon/kernel-fastswan.conf.",
            ),
        }
    }
}

/// Our plugin has to come first, and the stock one has to be there for addresses and routes.
fn order(id: &'static str, plugins: &[String], report: &mut Report) {
    let place = |name: &str| {
        plugins
            .iter()
            .position(|plugin| plugin.trim_end_matches('!') == name)
    };
    if plugins
        .iter()
        .any(|plugin| plugin.ends_with('!') && plugin.trim_end_matches('!') == STOCK)
    {
        report.add(
            id,
            None,
            Verdict::Fail,
            format!("{STOCK}! is marked as critical: charon does not start when we provide IPsec"),
            "remove the exclamation mark from charon.load.",
        );
        return;
    }
    match (place(OURS), place(STOCK)) {
        (None, _) => report.add(
            id,
            None,
            Verdict::Fail,
            format!("{OURS} is not among the plugins"),
            "with an explicit charon.load, add it before kernel-netlink.",
        ),
        (Some(_), None) => report.add(
            id,
            None,
            Verdict::Fail,
            format!("{STOCK} is not among the plugins: nobody provides addresses and routes"),
            "keep kernel-netlink, after kernel-fastswan.",
        ),
        (Some(ours), Some(stock)) if ours > stock => report.add(
            id,
            None,
            Verdict::Fail,
            format!("{STOCK} comes first and provides IPsec"),
            "put kernel-fastswan before kernel-netlink (load = 2, or its place in charon.load).",
        ),
        _ => report.good(id, None, format!("{OURS} before {STOCK}")),
    }
}

fn running(charon: &Charon, report: &mut Report) {
    report.good(
        "charon",
        None,
        format!("strongSwan {} runs", charon.version),
    );
    order("plugin-order", &charon.plugins, report);
    match &charon.plugin {
        Answer::Known(plugin) if plugin.strongswan == charon.version => report.good(
            "plugin-version",
            None,
            format!("{} for strongSwan {}", plugin.version, plugin.strongswan),
        ),
        Answer::Known(plugin) => report.add(
            "plugin-version",
            None,
            Verdict::Fail,
            format!(
                "built for strongSwan {}, while {} runs",
                plugin.strongswan, charon.version
            ),
            "install the plugin that was built for this strongSwan.",
        ),
        Answer::Unknown(why) => report.add(
            "plugin-version",
            None,
            Verdict::Warn,
            format!("no answer from the plugin: {why}"),
            "look for kernel-fastswan in charon's log: it says why it is not active.",
        ),
    }
}

fn apparmor(facts: &Facts, report: &mut Report) {
    match &facts.apparmor {
        Answer::Known(None) => report.good("apparmor", None, "charon is not confined"),
        Answer::Known(Some(profile)) => {
            // abstractions/base lets charon map files of /usr/lib, and not those of /usr/local.
            let outside = facts
                .installed
                .library
                .as_ref()
                .is_some_and(|file| file.contains("/usr/local/"));
            if outside {
                report.add(
                    "apparmor",
                    None,
                    Verdict::Fail,
                    format!("{profile} does not allow plugins in /usr/local"),
                    "allow the folder in /etc/apparmor.d/local/usr.lib.ipsec.charon.",
                );
            } else {
                report.good("apparmor", None, format!("{profile} allows the plugin"));
            }
        }
        Answer::Unknown(why) => report.skip("apparmor", None, why.clone()),
    }
}
