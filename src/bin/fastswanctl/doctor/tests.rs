// SPDX-License-Identifier: GPL-2.0-or-later
//! Machines whose facts were written down, and what is said about them.
//!
//! Owns the comparison with tests/machines/: per machine its facts and, beside them, what `doctor`
//! and `status` print. The machines are modelled, from the driver's source and documentation; real
//! ones are made by `doctor --record`. `FASTSWAN_UPDATE=1 cargo test --features ctl` writes the
//! texts anew, to be read before they are committed.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::facts::Answer;
use crate::machine::{Machine, Recorded};
use crate::{conf, status};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines")
}

fn machines() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    assert!(found.len() >= 7, "{found:?}");
    found
}

fn printed(print: impl FnOnce(&mut Out<'_>) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::new(Box::new(&mut bytes), false);
    print(&mut out).unwrap();
    out.flush().unwrap();
    drop(out);
    String::from_utf8(bytes).unwrap()
}

fn compare(file: &Path, text: &str) {
    if std::env::var_os("FASTSWAN_UPDATE").is_some() {
        fs::write(file, text).unwrap();
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert!(
        text == expected,
        "{} differs; it is now:\n{text}",
        file.display()
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{}: {line}", file.display());
    }
}

#[test]
fn every_machine_is_told_what_it_lacks() {
    for machine in machines() {
        let facts = Recorded::new(&machine).facts().unwrap();
        let report = examine(&facts, None, &Source::Loaded);
        compare(
            &machine.join("doctor.txt"),
            &printed(|out| show(&report, out)),
        );
        let rows = status::rows(&facts, 1_700_000_100);
        compare(
            &machine.join("status.txt"),
            &printed(|out| match &rows {
                Ok(rows) => status::show(&facts, rows, &status::Filter::default(), out).map(|_| ()),
                Err(why) => wrap(why, WIDTH).iter().try_for_each(|line| out.line(line)),
            }),
        );
    }
}

/// The picture in the README, of the modelled gateway.
#[test]
fn the_picture_of_status_is_up_to_date() {
    let facts = Recorded::new(&folder().join("gateway")).facts().unwrap();
    let rows = status::rows(&facts, 1_700_000_100).unwrap();
    let mut bytes = Vec::new();
    let mut out = Out::new(Box::new(&mut bytes), true);
    status::show(&facts, &rows, &status::Filter::default(), &mut out).unwrap();
    out.flush().unwrap();
    drop(out);
    let text = String::from_utf8(bytes).unwrap();
    let lines = text.lines().map(crate::picture::painted).collect();
    crate::picture::compare("status", "fastswanctl status", lines);
}

fn report_of(machine: &str, declared: Option<&str>) -> Report {
    let facts = Recorded::new(&folder().join(machine)).facts().unwrap();
    examine(&facts, declared, &Source::Loaded)
}

fn verdicts(report: &Report, id: &str) -> Vec<Verdict> {
    report
        .findings
        .iter()
        .filter(|finding| finding.id == id)
        .map(|finding| finding.verdict)
        .collect()
}

/// All names have the word in them; it is the rest that tells.
#[test]
fn a_board_sold_without_cryptography_is_none_however_it_says_so() {
    let text = fs::read_to_string(folder().join("debian-6.12/facts.json")).unwrap();
    for (name, verdict) in [
        ("No Crypto", Verdict::Fail),
        ("Crypto Disabled", Verdict::Fail),
        ("without Crypto", Verdict::Fail),
        ("Crypto and Secure Boot", Verdict::Good),
        ("Dual-port", Verdict::Skip),
    ] {
        let facts = serde_json::from_str(&text.replace("No Crypto", name)).unwrap();
        let report = examine(&facts, None, &Source::Loaded);
        assert_eq!(verdicts(&report, "nic-crypto"), [verdict], "{name}");
    }
}

/// The verdicts that matter, beside the texts, which may be reworded.
#[test]
fn what_must_fail_fails_and_what_works_does_not() {
    let all = |machine: &str, id: &str| verdicts(&report_of(machine, None), id);
    assert!(report_of("connectx-6-dx", None).passed());
    for machine in [
        "connectx-7",
        "vf",
        "bond",
        "debian-7.3",
        "debian-6.12",
        "no-nic",
        "mixed",
    ] {
        assert!(!report_of(machine, None).passed(), "{machine}");
    }
    assert_eq!(all("connectx-7", "nic-tc"), [Verdict::Fail]);
    assert_eq!(all("connectx-7", "nic-steering"), [Verdict::Fail]);
    assert_eq!(all("connectx-6-dx", "nic-crypto"), [Verdict::Good; 2]);
    assert_eq!(all("debian-6.12", "nic-crypto"), [Verdict::Fail]);
    assert_eq!(all("connectx-7", "nic-crypto"), [Verdict::Skip]);
    assert_eq!(all("vf", "nic-vf"), [Verdict::Fail, Verdict::Good]);
    assert_eq!(all("bond", "nic-bond"), [Verdict::Fail, Verdict::Fail]);
    assert_eq!(all("no-nic", "kernel-release"), [Verdict::Fail]);
    assert_eq!(all("no-nic", "nic-found"), [Verdict::Fail]);
    assert_eq!(all("no-nic", "privileges"), [Verdict::Warn]);
    assert_eq!(all("debian-6.12", "plugin-load"), [Verdict::Fail]);
    assert!(all("mixed", "offload-pairs").contains(&Verdict::Fail));
    assert!(all("mixed", "offload-reqid").contains(&Verdict::Fail));
    assert_eq!(all("mixed", "offload-direction"), [Verdict::Fail]);
    assert_eq!(all("mixed", "guard-gates"), [Verdict::Warn]);
    assert_eq!(all("mixed", "event-buffer"), [Verdict::Warn]);
    assert_eq!(all("debian-6.12", "charon-capabilities"), [Verdict::Fail]);
    assert_eq!(all("debian-6.12", "event-buffer"), [Verdict::Warn]);
    assert_eq!(all("debian-6.12", "kernel-log"), [Verdict::Fail]);
    assert!(all("vf", "nic-counters").contains(&Verdict::Skip));
    assert_eq!(all("connectx-7", "kernel-log"), [Verdict::Warn]);
    assert_eq!(all("connectx-7", "nic-log"), [Verdict::Warn]);
    assert_eq!(all("connectx-7", "nic-counters"), [Verdict::Warn; 4]);
    assert_eq!(
        all("connectx-6-dx", "nic-log"),
        [Verdict::Good, Verdict::Skip]
    );
    assert_eq!(all("connectx-6-dx", "nic-counters"), [Verdict::Good; 2]);
    assert_eq!(all("no-nic", "kernel-log"), [Verdict::Skip]);
}

#[test]
fn declared_backports_count() {
    let failed = |declared| {
        report_of("connectx-7", declared)
            .findings
            .iter()
            .any(|finding| finding.id == "kernel-fix" && finding.verdict == Verdict::Fail)
    };
    assert!(failed(None) && failed(Some("pmtu")));
    assert!(!failed(Some("all")));
    let unknown = report_of("connectx-7", Some("bogus"));
    assert_eq!(verdicts(&unknown, "kernel-fixes-setting"), [Verdict::Warn]);
}

/// The plugin's own rule judges prefixes, with the fixes that the plugin goes by.
#[test]
fn prefixes_are_judged_by_the_plugins_rule() {
    let told = |declared| {
        report_of("connectx-7", declared)
            .findings
            .iter()
            .any(|finding| {
                finding
                    .text
                    .contains("would match the first address instead of")
            })
    };
    assert!(told(None) && told(Some("pmtu")));
    assert!(!told(Some("subnets")) && !told(Some("all")));
}

/// A check that was not made says so: no id of the page is silent on any machine, but those of a
/// device where there is none, of a setting that is right, and of charon where it does not run.
#[test]
fn every_check_has_a_line() {
    const KERNEL: [&str; 5] = [
        "kernel-release",
        "kernel-fix",
        "kernel-config",
        "kernel-log",
        "kernel-module",
    ];
    const NIC: [&str; 11] = [
        "nic-model",
        "nic-crypto",
        "nic-feature",
        "nic-log",
        "nic-up",
        "nic-vf",
        "nic-eswitch",
        "nic-steering",
        "nic-tc",
        "nic-bond",
        "nic-vlan",
    ];
    const TRAFFIC: [&str; 8] = [
        "peer-route",
        "peer-next-hop",
        "xfrm-counters",
        "guard-gates",
        "offload-pairs",
        "offload-reqid",
        "offload-shadow",
        "offload-direction",
    ];
    const USERLAND: [&str; 8] = [
        "privileges",
        "plugin-file",
        "plugin-load",
        "apparmor",
        "event-buffer",
        "charon",
        "child",
        "nic-found",
    ];
    for machine in machines() {
        let facts = Recorded::new(&machine).facts().unwrap();
        let report = examine(&facts, None, &Source::Loaded);
        let has = |id: &&str| !verdicts(&report, id).is_empty();
        for id in KERNEL.iter().chain(&TRAFFIC).chain(&USERLAND) {
            assert!(has(id), "{}: {id}", machine.display());
        }
        if verdicts(&report, "nic-found") == [Verdict::Good] {
            for id in &NIC {
                assert!(has(id), "{}: {id}", machine.display());
            }
        }
    }
}

/// Without a file the cipher of the CHILD_SA is what tells.
#[test]
fn a_cipher_that_was_negotiated_is_judged() {
    let judged = |algorithm: &str, esn| {
        let mut facts = Recorded::new(&folder().join("gateway")).facts().unwrap();
        let Answer::Known(charon) = &mut facts.charon else {
            unreachable!("the gateway has a charon");
        };
        charon.child_sas[0].algorithm = algorithm.to_owned();
        charon.child_sas[0].esn = esn;
        let report = examine(&facts, None, &Source::Loaded);
        let found = report
            .findings
            .into_iter()
            .find(|finding| finding.object.as_deref() == Some("paris/lan"))
            .unwrap();
        (found.verdict, found.text)
    };
    assert_eq!(judged("AES_GCM_16-128", true).0, Verdict::Good);
    assert_eq!(judged("", true).0, Verdict::Good);
    for (algorithm, esn) in [
        ("AES_GCM_16-256", false),
        ("AES_GCM_16-192", true),
        ("AES_GCM_8-256", true),
        ("AES_CCM_16-256", true),
        ("AES_CBC-256", true),
        ("CHACHA20_POLY1305", true),
        ("3DES_CBC", true),
    ] {
        let (verdict, text) = judged(algorithm, esn);
        assert_eq!(verdict, Verdict::Fail, "{algorithm}: {text}");
        assert!(
            text.ends_with("(as loaded, cipher as negotiated)"),
            "{text}"
        );
    }
}

/// Ids are an interface, so that one that is renamed or new has to be written down.
#[test]
fn every_id_is_on_the_troubleshooting_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = fs::read_to_string(page).unwrap();
    let mut ids: Vec<&str> = Vec::new();
    for machine in machines() {
        let facts = Recorded::new(&machine).facts().unwrap();
        let report = examine(&facts, Some("bogus"), &Source::Loaded);
        ids.extend(report.findings.iter().map(|finding| finding.id));
    }
    ids.extend(live_ids());
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        assert!(page.contains(&format!("`{id}`")), "{id} is missing");
    }
}

fn live_ids() -> Vec<&'static str> {
    live::ids()
}

#[test]
fn a_file_is_judged_by_the_plugins_own_rules() {
    let folder = std::env::temp_dir().join(format!("fastswan-doctor-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("swanctl.conf");
    let judge = |settings: &str| {
        let text = format!("connections {{ c {{ children {{ x {{ {settings}\n }} }} }} }}");
        fs::write(&file, text).unwrap();
        let children = conf::children(&file).unwrap();
        let facts = Recorded::new(&self::folder().join("connectx-6-dx"))
            .facts()
            .unwrap();
        let source = Source::File("swanctl.conf", children);
        let report = examine(&facts, None, &source);
        let child: Vec<_> = report
            .findings
            .into_iter()
            .filter(|finding| finding.id == "child")
            .collect();
        assert!(!child.is_empty());
        let text = child
            .iter()
            .map(|finding| format!("{} {}", finding.text, finding.remedy))
            .collect::<Vec<_>>()
            .join("\n");
        (child[0].verdict, text)
    };
    let good = "hw_offload = packet\nesp_proposals = aes256gcm16-esn\nlocal_ts = 10.1.0.0/16\n\
                remote_ts = 10.2.0.0/16\n";
    assert_eq!(judge(good).0, Verdict::Good);
    for (more, expected) in [
        (
            "esp_proposals = aes256-sha256",
            "Cannot offload authenticated xfrm states",
        ),
        (
            "esp_proposals = aes192gcm16-esn",
            "key length other than 128/256 bit",
        ),
        ("esp_proposals = aes256gcm8-esn", "Only AES-GCM-ICV16"),
        ("esp_proposals = aes256gcm16", "extended sequence numbers"),
        ("replay_window = 1024", "Unsupported replay window size"),
        ("mode = beet", "Only transport and tunnel xfrm states"),
        ("tfc_padding = 100", "TFC padding can't be offloaded"),
        ("ipcomp = yes", "Cannot offload compressed xfrm states"),
        ("if_id_in = 4", "XFRM if_id is not supported in RX path"),
        (
            "remote_ts = 10.2.0.0/16[icmp]",
            "upper protocol other than TCP/UDP",
        ),
        ("remote_ts = 0.0.0.0/1", "would match all addresses"),
        (
            "hw_offload = paket",
            "is none of no, crypto, packet and auto",
        ),
    ] {
        let (verdict, text) = judge(&format!("{good}{more}"));
        assert_eq!(verdict, Verdict::Fail, "{more}");
        assert!(text.contains(expected), "{more}: {text}");
    }
    let auto = format!("{good}hw_offload = auto\nmode = beet");
    assert_eq!(judge(&auto).0, Verdict::Warn);
    assert_eq!(judge("hw_offload = no").0, Verdict::Skip);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_recorded_machine_that_is_none_is_an_error() {
    let folder = std::env::temp_dir().join(format!("fastswan-recorded-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let read = |text: &str| {
        fs::write(folder.join("facts.json"), text).unwrap();
        Recorded::new(&folder).facts().unwrap_err().to_string()
    };
    assert!(read("garbage").contains("facts.json"));
    assert!(read("{\"schema\": 99}").contains("schema 99"));
    assert!(read("{\"schema\": 1, \"keys\": []}").contains("unknown field"));
    fs::remove_dir_all(&folder).unwrap();
    assert!(Recorded::new(&folder).facts().is_err());
}

#[test]
fn a_port_with_a_kind_of_its_own_is_a_nic_and_a_bond_is_none() {
    let machine = machines()
        .into_iter()
        .find(|machine| {
            let facts = Recorded::new(machine).facts().unwrap();
            facts
                .devices
                .known()
                .is_some_and(|devices| devices.iter().any(|device| device.esp_offload))
        })
        .unwrap();
    for (kind, found) in [("some-port", true), ("bond", false), ("vlan", false)] {
        let mut facts = Recorded::new(&machine).facts().unwrap();
        let Answer::Known(devices) = &mut facts.devices else {
            unreachable!("it was known a moment ago");
        };
        devices.retain(|device| device.esp_offload);
        for device in devices {
            device.kind = Some(kind.to_owned());
        }
        let report = examine(&facts, None, &Source::Loaded);
        let text = printed(|out| show(&report, out));
        assert_eq!(text.contains("ok    nic-found"), found, "{kind}: {text}");
    }
}
