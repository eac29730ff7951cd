// SPDX-License-Identifier: GPL-2.0-or-later
//! `metrics`: counters in the text format of Prometheus (version 0.0.4).
//!
//! Owns names and labels, and the file for the textfile collector; `http` is the other way out.
//! Called by `main`. The number of series does not grow with the number of CHILD_SAs unless asked
//! for. Must not ask the machine anything.

mod http;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::facts::{Answer, Facts};
use crate::status::{Half, Row};

pub(crate) use http::serve;

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP fastswan_{name} {help}");
        let _ = writeln!(self.0, "# TYPE fastswan_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str("fastswan_");
        self.0.push_str(name);
        for (index, (key, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{key}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All metrics of a machine. `rows` is the reason if the kernel did not tell.
pub(crate) fn text(facts: &Facts, rows: Result<&[Row], &str>, per_child: bool) -> String {
    let mut text = Text(String::new());
    text.family("info", "gauge", "Versions, as labels; always 1.");
    let charon = facts.charon.known();
    let plugin = charon
        .and_then(|charon| charon.plugin.known())
        .map_or("", |plugin| plugin.version.as_str());
    text.sample(
        "info",
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("plugin", plugin),
            (
                "strongswan",
                charon.map_or("", |charon| charon.version.as_str()),
            ),
            ("kernel", &facts.release),
        ],
        1,
    );
    text.family("up", "gauge", "Whether a source answered: 1 or 0.");
    for (source, up) in [
        ("kernel", rows.is_ok()),
        ("charon", charon.is_some()),
        (
            "plugin",
            charon.is_some_and(|charon| charon.plugin.known().is_some()),
        ),
    ] {
        text.sample("up", &[("source", source)], u64::from(up));
    }
    devices(facts, &mut text);
    gates(facts, &mut text);
    if let Ok(rows) = rows {
        sums(rows, &mut text);
        if per_child {
            children(rows, &mut text);
        }
    }
    if let Answer::Known(stat) = &facts.xfrm_stat {
        text.family(
            "xfrm_errors_total",
            "counter",
            "Packets dropped by the kernel's IPsec, by the counter in /proc/net/xfrm_stat.",
        );
        for (name, value) in stat {
            text.sample("xfrm_errors_total", &[("counter", name)], *value);
        }
    }
    text.0
}

fn devices(facts: &Facts, text: &mut Text) {
    let Answer::Known(devices) = &facts.devices else {
        return;
    };
    let nics: Vec<_> = devices.iter().filter(|device| device.esp_offload).collect();
    text.family(
        "device_up",
        "gauge",
        "Devices with IPsec offload, and whether they are up: 1 or 0.",
    );
    for device in &nics {
        text.sample(
            "device_up",
            &[
                ("device", &device.name),
                ("driver", device.driver.as_deref().unwrap_or("")),
            ],
            u64::from(device.up),
        );
    }
    text.family(
        "device_counters_total",
        "counter",
        "The driver's own counters about IPsec, by their names in ethtool -S.",
    );
    for device in &nics {
        for (counter, value) in &device.counters {
            text.sample(
                "device_counters_total",
                &[("device", &device.name), ("counter", counter)],
                *value,
            );
        }
    }
    text.family(
        "policies",
        "gauge",
        "Policies in the kernel, by the device that has them; none is software.",
    );
    let mut policies: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for policy in facts.policies.known().into_iter().flatten() {
        let device = policy
            .ifindex
            .map_or_else(String::new, |index| facts.device_name(index));
        *policies.entry((device, &policy.dir)).or_default() += 1;
    }
    for ((device, direction), count) in &policies {
        text.sample(
            "policies",
            &[("device", device), ("direction", direction)],
            *count,
        );
    }
}

/// Gates by whether somebody holds them; those of which that is not known count as held.
fn gates(facts: &Facts, text: &mut Text) {
    let Answer::Known(gates) = &facts.gates else {
        return;
    };
    text.family(
        "gates",
        "gauge",
        "Gates against traffic in clear that are closed, by whether a CHILD_SA or trap holds them.",
    );
    for (held, name) in [(true, "yes"), (false, "no")] {
        let count = gates
            .iter()
            .filter(|gate| gate.holders.as_ref().is_none_or(|names| !names.is_empty()) == held)
            .count();
        text.sample("gates", &[("held", name)], count as u64);
    }
}

#[derive(Default)]
struct Sum {
    sas: u64,
    packets: u64,
    bytes: u64,
    errors: u64,
}

/// Sums by device, mode and direction. They fall when an SA ends, so they are no counters.
fn sums(rows: &[Row], text: &mut Text) {
    let mut sums: BTreeMap<(&str, &str, &str), Sum> = BTreeMap::new();
    let mut disagreements = 0;
    for row in rows {
        disagreements += row.disagreements.len() as u64;
        for (direction, half) in [("in", &row.inbound), ("out", &row.outbound)] {
            let Some(half) = half else {
                continue;
            };
            let device = half.device.as_deref().unwrap_or("");
            let sum = sums.entry((device, &half.mode, direction)).or_default();
            sum.sas += 1;
            sum.packets += half.packets;
            sum.bytes += half.bytes;
            sum.errors += half.errors;
        }
    }
    text.family(
        "disagreements",
        "gauge",
        "Places where charon, kernel and NIC are not of one mind; see fastswanctl status.",
    );
    text.sample("disagreements", &[], disagreements);
    type Value = fn(&Sum) -> u64;
    let families: [(&str, &str, Value); 4] = [
        ("sas", "SAs that are there now.", |sum| sum.sas),
        (
            "sa_packets",
            "Packets of the SAs that are there now.",
            |sum| sum.packets,
        ),
        ("sa_bytes", "Bytes of the SAs that are there now.", |sum| {
            sum.bytes
        }),
        (
            "sa_errors",
            "Packets that failed the integrity check or were replayed, of the SAs that are there \
             now.",
            |sum| sum.errors,
        ),
    ];
    for (name, help, value) in families {
        text.family(name, "gauge", help);
        for ((device, mode, direction), sum) in &sums {
            text.sample(
                name,
                &[("device", device), ("direction", direction), ("mode", mode)],
                value(sum),
            );
        }
    }
}

/// One series per SA and direction: with the SPI they never fall.
fn children(rows: &[Row], text: &mut Text) {
    type Value = fn(&Half) -> u64;
    let families: [(&str, &str, Value); 3] = [
        ("child_sa_packets_total", "Packets of an SA.", |half| {
            half.packets
        }),
        ("child_sa_bytes_total", "Bytes of an SA.", |half| half.bytes),
        (
            "child_sa_errors_total",
            "Packets of an SA that failed the integrity check or were replayed.",
            |half| half.errors,
        ),
    ];
    for (name, help, value) in families {
        text.family(name, "counter", help);
        for row in rows {
            for (direction, half) in [("in", &row.inbound), ("out", &row.outbound)] {
                let Some(half) = half.as_ref().filter(|half| half.mode != "gone") else {
                    continue;
                };
                text.sample(
                    name,
                    &[
                        ("connection", &row.connection),
                        ("child", &row.child),
                        ("peer", &row.peer),
                        ("spi", &half.spi),
                        ("direction", direction),
                        ("mode", &half.mode),
                        ("device", half.device.as_deref().unwrap_or("")),
                    ],
                    value(half),
                );
            }
        }
    }
}

/// Writes a file in one step, so that the collector never reads half of one.
pub(crate) fn write_file(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    // The collector reads what ends in .prom only.
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = file.with_file_name(name);
    let result = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, file));
    if result.is_err() {
        // What is left behind helps nobody; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, Recorded};

    fn row(name: &str, mode: &str) -> Row {
        let half = |spi: &str| Half {
            spi: spi.to_owned(),
            mode: mode.to_owned(),
            device: (mode == "packet").then(|| "p0".to_owned()),
            packets: 10,
            bytes: 1000,
            errors: 1,
            ..Half::default()
        };
        Row {
            connection: "site".to_owned(),
            child: name.to_owned(),
            inbound: Some(half("c0000001")),
            outbound: Some(half("c0000002")),
            ..Row::default()
        }
    }

    #[test]
    fn series_do_not_grow_with_child_sas() {
        let facts = Facts::default();
        let one = [row("a", "packet")];
        let many: Vec<_> = (0..100).map(|n| row(&n.to_string(), "packet")).collect();
        let lines = |rows: &[Row], per| text(&facts, Ok(rows), per).lines().count();
        assert_eq!(lines(&one, false), lines(&many, false));
        assert!(lines(&many, true) > lines(&many, false) + 300);
        let sums = text(&facts, Ok(&many), false);
        assert!(
            sums.contains(
                "fastswan_sa_packets{device=\"p0\",direction=\"in\",mode=\"packet\"} 1000\n"
            ),
            "{sums}"
        );
    }

    /// Everything that there can be, of a modelled machine.
    fn everything() -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines/mixed");
        let mut facts = Recorded::new(&folder).facts().unwrap();
        facts.release = "7.3\"\\\n".to_owned();
        let mut rows = crate::status::rows(&facts, 1_700_000_100).unwrap();
        rows.push(row("a\"b", "software"));
        text(&facts, Ok(&rows), true)
    }

    /// What `promtool check metrics` looks at, and the format's own rules: HELP and TYPE once per
    /// family and in front of its samples, which stand together; names of the right form; `_total`
    /// for counters and for nothing else; no abbreviated or scaled units; labels in the right form,
    /// and no series twice.
    #[test]
    fn the_text_keeps_to_the_format_and_the_conventions() {
        let text = everything();
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !name.contains("__")
        };
        let mut types: BTreeMap<&str, &str> = BTreeMap::new();
        let mut helps: BTreeMap<&str, &str> = BTreeMap::new();
        let mut series_seen = std::collections::BTreeSet::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.len() > 10 && help.ends_with('.'), "{line}");
                assert!(helps.insert(name, help).is_none(), "{name} twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(types.insert(name, kind).is_none(), "{name} twice");
                assert!(matches!(kind, "counter" | "gauge"), "{line}");
                assert!(helps.contains_key(name), "{name} has no help");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(is_name(name) && name.starts_with("fastswan_"), "{name}");
                for part in name.split('_') {
                    let bad = [
                        "count",
                        "sum",
                        "bucket",
                        "gauge",
                        "counter",
                        "ms",
                        "kb",
                        "kib",
                        "mb",
                        "sec",
                        "milliseconds",
                        "kilobytes",
                        "bits",
                        "percent",
                    ];
                    assert!(!bad.contains(&part), "{name}");
                }
                current = name;
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                value.parse::<u64>().unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                assert_eq!(name, current, "its family stands elsewhere");
                assert!(series_seen.insert(series), "{series} twice");
                let labels = labels.strip_suffix('}').unwrap();
                for label in labels.split("\",").filter(|label| !label.is_empty()) {
                    let (key, _) = label.split_once("=\"").unwrap();
                    assert!(is_name(key) && key != "le" && key != "quantile", "{line}");
                }
            }
        }
        assert!(types.len() > 12, "{types:?}");
        assert!(text.ends_with('\n') && !text.contains('\r'));
        assert!(text.contains("kernel=\"7.3\\\"\\\\\\n\""), "{text}");
        assert!(text.contains("child=\"a\\\"b\""), "{text}");
    }

    /// Panels show what is there: each metric, and each label that is asked for.
    #[test]
    fn the_dashboard_asks_for_metrics_that_exist() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/grafana-dashboard.json");
        let dashboard: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let mut asked = Vec::new();
        expressions(&dashboard, &mut asked);
        assert!(asked.len() >= 5, "{asked:?}");
        let text = everything();
        for expression in &asked {
            let mut names = 0;
            for word in expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                if word.starts_with("fastswan_") {
                    names += 1;
                    assert!(text.contains(&format!("# TYPE {word} ")), "{expression}");
                }
            }
            assert!(names > 0, "{expression}");
            // by (a, b) and {a="b"}
            for list in expression.split("by (").skip(1) {
                for label in list.split(')').next().unwrap_or_default().split(',') {
                    let label = format!("{}=\"", label.trim());
                    assert!(text.contains(&label), "{expression}: {label}");
                }
            }
        }
    }

    fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(text) if name == "expr" => found.push(text.to_owned()),
                        _ => expressions(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => {
                items.iter().for_each(|item| expressions(item, found));
            }
            _ => {}
        }
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_down() {
        let text = text(&Facts::default(), Err("no"), true);
        assert!(text.contains("fastswan_up{source=\"kernel\"} 0\n"));
        assert!(!text.contains("fastswan_sas"));
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("fastswan-prom-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("fastswan.prom");
        write_file(&file, "one\n").unwrap();
        write_file(&file, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        // A folder in its place cannot be replaced, and nothing is left behind.
        let taken = folder.join("taken.prom");
        fs::create_dir(&taken).unwrap();
        assert!(write_file(&taken, "x").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
