// SPDX-License-Identifier: GPL-2.0-or-later
//! The options: documented, shipped and read are the same.
//!
//! `strongswan-plugin/kernel-fastswan.opt` is the source of the snippet that is installed;
//! `src/config.rs` is what reads them. Neither may drift from the other. Must not know an option by
//! name, so that a new one is covered without a change here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, Weak};

use fastswan::config::{Config, PREFIX};
use fastswan::host::{Acquire, Host, HostRoute, Migrate, Readable, RouteResult};
use fastswan::model::{Addr, AlgorithmKind, Proto, Spi, TrafficSelector};

fn plugin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("strongswan-plugin")
}

fn generate(opt: &Path) -> Output {
    Command::new("awk")
        .arg("-f")
        .arg(plugin().join("opt2conf.awk"))
        .arg(opt)
        .output()
        .expect("awk runs")
}

/// Runs the generator over a text of a test's own.
fn generate_from(name: &str, text: &str) -> Output {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).expect("a file for the options");
    generate(&file)
}

#[test]
fn the_snippet_is_what_the_generator_makes() {
    let output = generate(&plugin().join("kernel-fastswan.opt"));
    assert!(output.status.success(), "{output:?}");
    let shipped = std::fs::read(plugin().join("kernel-fastswan.conf")).expect("the snippet");
    assert!(
        output.stdout == shipped,
        "kernel-fastswan.conf is older than kernel-fastswan.opt; in strongswan-plugin/ run:\n\
         awk -f opt2conf.awk kernel-fastswan.opt > kernel-fastswan.conf"
    );
}

#[test]
fn the_generator_makes_strongswans_format() {
    let options = "# comment\n\
        charon.plugins.x.sub.key = \n\tIn a _section_ below, with a text that is long enough to \
        be wrapped **somewhere** before its end.\n\n\
        charon.plugins.x.b = 5 # five\n\
        charon.plugins.x.a := yes\n\tShort\n\ttext.\n\n\tLong text.\n\n\tAnd more.\n\n\
        charon.plugins.x.sub {}\n\tA section.\n";
    let output = generate_from("format.opt", options);
    let want = "x {\n\n    # Short text.\n    a = yes\n\n    # b = 5 # five\n\n    # A section.\n    \
        sub {\n\n        # In a section below, with a text that is long enough to be wrapped\n        \
        # somewhere before its end.\n        # key =\n\n    }\n\n}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), want);
}

#[test]
fn the_generator_refuses_what_it_does_not_understand() {
    for (text, reason) in [
        (
            "charon.plugins.x.a : yes\n",
            "neither an option nor a section",
        ),
        ("\tA description.\n", "a description of nothing"),
        ("option = 1\n", "an option outside of any section"),
        (
            "charon.plugins.x.a = 1\ncharon.plugins.x.a = 2\n",
            "is there twice",
        ),
        (
            "charon.plugins.x.a = 1\nswanctl.plugins.x.a = 2\n",
            "more than one program",
        ),
    ] {
        let output = generate_from("bad.opt", text);
        assert!(!output.status.success(), "{text}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason), "{text}: {said}");
    }
}

/// Options of the .opt file with their defaults, without the one the plugin loader reads.
fn documented() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(plugin().join("kernel-fastswan.opt")).expect("options");
    let mut options = BTreeMap::new();
    for line in text.lines() {
        let Some((name, default)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim_end_matches([':', ' ']);
        let Some(name) = name.strip_prefix("charon.plugins.kernel-fastswan.") else {
            continue;
        };
        if name != "load" {
            options.insert(name.to_owned(), default.trim().to_owned());
        }
    }
    options
}

/// Options that the shim reads itself, since they are charon's business and not the core's.
fn read_by_the_shim() -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(plugin().join("kernel_fastswan_plugin.c")).expect("the shim");
    let names = text
        .split("\"%s.plugins.kernel-fastswan.")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    names.collect()
}

/// A host where nothing is set, which writes down what is asked.
#[derive(Default)]
struct Recorder {
    asked: Mutex<BTreeMap<String, String>>,
    /// Answers for options that are text, by their name below ours.
    texts: BTreeMap<String, String>,
}

/// What is recorded for an option that is text: its reader knows the default, and does not tell.
const TEXT: &str = "a text";

impl Recorder {
    fn asked(&self, key: &str, fallback: String) {
        self.asked
            .lock()
            .expect("not poisoned")
            .insert(key.to_owned(), fallback);
    }
}

impl Host for Recorder {
    fn get_bool(&self, key: &str, fallback: bool) -> bool {
        self.asked(key, if fallback { "yes" } else { "no" }.to_owned());
        fallback
    }
    fn get_int(&self, key: &str, fallback: i64) -> i64 {
        self.asked(key, fallback.to_string());
        fallback
    }
    fn get_str(&self, key: &str) -> Option<String> {
        self.asked(key, TEXT.to_owned());
        self.texts.get(key.strip_prefix(PREFIX)?).cloned()
    }
    fn acquire(&self, _: &Acquire) {}
    fn expire(&self, _: Proto, _: Spi, _: IpAddr, _: bool) {}
    fn mapping(&self, _: Proto, _: Spi, _: IpAddr, _: Addr) {}
    fn migrate(&self, _: &Migrate) {}
    fn inbound_of(&self, _: Spi) -> Option<Spi> {
        None
    }
    fn address_by_ts(&self, _: &TrafficSelector) -> Option<(IpAddr, bool)> {
        None
    }
    fn interface_of(&self, _: IpAddr) -> Option<String> {
        None
    }
    fn nexthop(
        &self,
        _: IpAddr,
        _: Option<u8>,
        _: Option<IpAddr>,
    ) -> Option<(Option<IpAddr>, String)> {
        None
    }
    fn add_route(&self, _: &HostRoute) -> RouteResult {
        RouteResult::Failed
    }
    fn del_route(&self, _: &HostRoute) -> RouteResult {
        RouteResult::Failed
    }
    fn lookup_algorithm(&self, _: AlgorithmKind, _: u16) -> Option<String> {
        None
    }
    fn watch(&self, _: RawFd, _: Weak<dyn Readable>) -> bool {
        false
    }
    fn unwatch(&self, _: RawFd) {}
}

#[test]
fn what_is_read_is_documented_with_its_default_and_nothing_else() {
    let host = Recorder::default();
    assert_eq!(Config::read(&host), Config::default());
    let asked = host.asked.into_inner().expect("not poisoned");
    let ours = asked
        .into_iter()
        .filter_map(|(key, default)| Some((key.strip_prefix(PREFIX)?.to_owned(), default)));
    let mut read: BTreeMap<_, _> = ours.collect();
    assert!(!read.is_empty());
    let mut documented = documented();
    for name in read_by_the_shim() {
        assert!(
            documented.remove(&name).is_some(),
            "{name} is not documented"
        );
    }
    // The default of a text is not seen when it is asked for: what is documented must mean the same.
    let mut texts = BTreeMap::new();
    for (name, default) in read.iter_mut().filter(|(_, default)| *default == TEXT) {
        let value = documented.get(name).cloned().unwrap_or_default();
        if !value.is_empty() {
            texts.insert(name.clone(), value.clone());
        }
        *default = value;
    }
    assert_eq!(read, documented);
    assert!(!texts.is_empty());
    let host = Recorder {
        texts,
        ..Recorder::default()
    };
    assert_eq!(Config::read(&host), Config::default());
}
