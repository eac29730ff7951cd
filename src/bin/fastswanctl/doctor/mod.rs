// SPDX-License-Identifier: GPL-2.0-or-later
//! `doctor`: whether this machine can do packet offload, and what is in the way.
//!
//! Owns the verdicts and how they are shown. The rooms below judge facts; `live` makes the one test
//! that changes something. Called by `main`. An id is an interface: the troubleshooting page and
//! people's monitoring name it, so that it is never reused for another check.
//!
//! * `kernel`: release, fixes, configuration, modules
//! * `nic`: devices
//! * `traffic`: routes, counters, what is installed
//! * `userland`: charon, our plugin, what is in between
//! * `children`: what connections ask for
//! * `live`: a trial on a device

mod children;
mod kernel;
mod live;
mod nic;
mod traffic;
mod userland;

#[cfg(test)]
mod tests;

use std::io;

use fastswan::offload::fixes::{Declared, KernelFixes};
use serde::Serialize;

use crate::facts::{Child, Facts};
use crate::out::{Out, Paint, wrap};

pub(crate) use live::try_device;

/// Version of the form of `--json`.
const SCHEMA: u32 = 1;
/// Width of the text.
const WIDTH: usize = 79;
/// Columns in front of the text: verdict, id and object.
const INDENT: usize = 7;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// As it should be.
    #[serde(rename = "ok")]
    Good,
    /// It works, with a restriction or a risk.
    #[serde(rename = "warn")]
    Warn,
    /// Packet offload does not work, or not safely.
    #[serde(rename = "FAIL")]
    Fail,
    /// It could not be checked, or does not matter here.
    #[serde(rename = "skip")]
    Skip,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Good => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "skip",
        }
    }

    fn paint(self) -> Paint {
        match self {
            Verdict::Good => Paint::Good,
            Verdict::Warn => Paint::Doubtful,
            Verdict::Fail => Paint::Bad,
            Verdict::Skip => Paint::Faint,
        }
    }
}

/// One check of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable name of the check.
    pub(crate) id: &'static str,
    /// Device, option, connection, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) text: String,
    /// What to do, in one sentence; empty if nothing.
    pub(crate) remedy: String,
}

/// All findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        id: &'static str,
        object: impl Into<Option<String>>,
        verdict: Verdict,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.push(Finding {
            id,
            object: object.into(),
            verdict,
            text: text.into(),
            remedy: remedy.into(),
        });
    }

    pub(crate) fn good(
        &mut self,
        id: &'static str,
        object: impl Into<Option<String>>,
        text: impl Into<String>,
    ) {
        self.add(id, object, Verdict::Good, text, "");
    }

    pub(crate) fn skip(
        &mut self,
        id: &'static str,
        object: impl Into<Option<String>>,
        text: impl Into<String>,
    ) {
        self.add(id, object, Verdict::Skip, text, "");
    }

    /// Number of findings with a verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }

    /// Whether nothing failed.
    pub(crate) fn passed(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }
}

/// Where the children came from that `children` judges.
pub(crate) enum Source<'a> {
    /// The loaded connections.
    Loaded,
    /// A file, with its name.
    File(&'a str, Vec<Child>),
}

/// All checks of the facts. `declared` is what the command line says about backports; the setting of
/// the plugin counts otherwise.
pub(crate) fn examine(facts: &Facts, declared: Option<&str>, source: &Source<'_>) -> Report {
    let mut report = Report::default();
    let fixes = fixes(facts, declared, &mut report);
    kernel::examine(facts, &fixes, &mut report);
    nic::examine(facts, &mut report);
    traffic::examine(facts, &mut report);
    userland::examine(facts, &mut report);
    children::examine(facts, &fixes, source, &mut report);
    report
}

/// The same fixes that the plugin goes by.
fn fixes(facts: &Facts, declared: Option<&str>, report: &mut Report) -> KernelFixes {
    let plugin = facts
        .charon
        .known()
        .and_then(|charon| charon.plugin.known())
        .map(|plugin| plugin.kernel_fixes.as_str())
        .filter(|value| !value.is_empty());
    let value = declared
        .or(plugin)
        .or(facts.installed.kernel_fixes.as_deref())
        .unwrap_or("auto");
    let (declared, unknown) = Declared::parse(value);
    for word in unknown {
        report.add(
            "kernel-fixes-setting",
            word.clone(),
            Verdict::Warn,
            format!("kernel_fixes names \"{word}\", which is no fix"),
            "use auto, all, or the names that this command lists as kernel-fix.",
        );
    }
    KernelFixes::new(&facts.release, declared)
}

/// Shows a report.
pub(crate) fn show(report: &Report, out: &mut Out<'_>) -> io::Result<()> {
    for finding in &report.findings {
        let verdict = out.paint(
            finding.verdict.paint(),
            format_args!("{:<5}", finding.verdict.word()),
        );
        let object = finding
            .object
            .as_ref()
            .map_or_else(String::new, |object| format!(" {object}"));
        let name = format!("{}{object}", finding.id);
        let mut lines = wrap(&format!("{name}: {}", finding.text), WIDTH - INDENT + 1);
        let first = lines.remove(0);
        out.line(format_args!("{verdict} {first}"))?;
        for line in lines {
            out.line(format_args!("{:INDENT$}{line}", ""))?;
        }
        if !finding.remedy.is_empty() {
            let text = format!("-> {}", finding.remedy);
            for line in wrap(&text, WIDTH - INDENT) {
                out.line(format_args!("{:INDENT$}{line}", ""))?;
            }
        }
    }
    let count = |verdict| report.count(verdict);
    out.line("")?;
    let summary = format!(
        "{} ok, {} warn, {} FAIL, {} skip",
        count(Verdict::Good),
        count(Verdict::Warn),
        count(Verdict::Fail),
        count(Verdict::Skip)
    );
    let verdict = if report.passed() {
        out.paint(
            Paint::Strong,
            "nothing found that keeps packet offload from working",
        )
    } else {
        out.paint(Paint::Bad, "packet offload will not work, or not safely")
    };
    out.line(verdict)?;
    out.line(summary)
}

/// Shows a report as JSON.
pub(crate) fn show_json(report: &Report, out: &mut Out<'_>) -> io::Result<()> {
    let value = serde_json::json!({
        "schema": SCHEMA,
        "passed": report.passed(),
        "ok": report.count(Verdict::Good),
        "warn": report.count(Verdict::Warn),
        "fail": report.count(Verdict::Fail),
        "skip": report.count(Verdict::Skip),
        "findings": report.findings,
    });
    out.raw(format!("{value:#}\n").as_bytes())
}
