// SPDX-License-Identifier: GPL-2.0-or-later
//! fastswanctl: what can this machine do, and what is on the NIC.
//!
//! Owns the way from the command line to the exit status. It works with and without a running charon
//! and with and without root; what cannot be learned is said. Must not be linked into the plugin:
//! feature `ctl` is the only one that has its crates.
//!
//! * `cli`: commands and options; `out`: everything that is printed
//! * `facts`: what is known about a machine; `machine`: where that comes from
//! * `conf`: strongSwan's files; `vici`: its sockets
//! * `picture`: the README's pictures of the screen, made by tests
//! * `doctor`, `status`, `guard`, `watch`, `metrics`: the commands
#![forbid(unsafe_code)]

mod cli;
mod conf;
mod doctor;
mod facts;
mod guard;
mod machine;
mod metrics;
mod out;
#[cfg(test)]
mod picture;
mod status;
mod vici;
mod watch;

use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use facts::{Answer, Facts};
use machine::{Machine, Need, Recorded, Sockets, ThisMachine};
use out::{Out, complain};

/// A check failed, something is not there, or objects disagree.
const FOUND: u8 = 1;
/// It could not be done.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own codes: 0 for help, 2 for wrong usage. It prints to where it belongs; a
            // reader that has gone away does not matter.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(CANNOT));
        }
    };
    let json = wants_json(&cli.command);
    let mut out = Out::stdout(cli.color);
    let result = run(cli, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still buffered must not be tried again when it is dropped.
            std::mem::forget(out);
            ExitCode::SUCCESS
        }
        Err(error) if json => {
            let text = serde_json::json!({ "schema": 1, "error": with_remedy(&error) });
            complain_json(&text.to_string());
            ExitCode::from(CANNOT)
        }
        Err(error) => {
            complain(with_remedy(&error));
            ExitCode::from(CANNOT)
        }
    }
}

/// One line, and what to do where that is known.
fn with_remedy(error: &io::Error) -> String {
    let text = error.to_string().replace('\n', " ");
    // The kernel's refusal, whoever passed it on.
    if text.contains("(os error 1)") {
        return format!("{text}: run it as root");
    }
    text
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Doctor(options) => options.json,
        Command::Status(options) => options.json,
        Command::Version { json } => *json,
        Command::Guard { command } => match command {
            cli::Guard::List { json } => *json,
            cli::Guard::Open(options) => options.json,
        },
        _ => false,
    }
}

fn complain_json(text: &str) {
    use io::Write;
    // Nobody is left to tell if this fails.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn run(cli: Cli, out: &mut Out<'_>) -> io::Result<u8> {
    let sockets = cli.paths.sockets();
    match cli.command {
        Command::Doctor(options) => run_doctor(&options, sockets, out),
        Command::Status(options) => {
            let (facts, rows) = match options.from.as_deref() {
                Some(folder) => {
                    let facts = Recorded::new(folder).facts()?;
                    let rows = status::rows(&facts, now()).map_err(io::Error::other)?;
                    (facts, rows)
                }
                None => look(&sockets, Duration::from_secs(options.interval))?,
            };
            let filter = status::Filter {
                child: options.child,
                device: options.device,
                peer: options.peer,
                brief: options.brief,
            };
            let filtered =
                filter.child.is_some() || filter.device.is_some() || filter.peer.is_some();
            let show = if options.json {
                status::show_json
            } else {
                status::show
            };
            let (shown, trouble) = show(&facts, &rows, &filter, out)?;
            let nothing = filtered && shown == 0;
            Ok(if nothing || trouble > 0 { FOUND } else { 0 })
        }
        Command::Watch { interval, from } => {
            if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
                return Err(io::Error::other(
                    "watch needs a terminal; use status, or metrics",
                ));
            }
            if !out::can_draw() {
                return Err(io::Error::other(
                    "watch needs a terminal that can be drawn on (TERM); use status, or metrics",
                ));
            }
            // It has stdout for itself from here.
            out.flush()?;
            let mut before = Vec::new();
            let colored = cli.color.wanted();
            watch::run(colored, Duration::from_secs(interval), move || {
                let facts = facts(from.as_deref(), sockets.clone(), Need::Sas)
                    .map_err(|error| error.to_string())?;
                let found = status::rows(&facts, now())?;
                let mut rows = found.clone();
                status::keep_lasting(&mut rows, &before);
                before = found;
                Ok(rows)
            })?;
            Ok(0)
        }
        Command::Guard { command } => guard::run(&command, &sockets, out),
        Command::Metrics(options) => run_metrics(&options, &sockets, out),
        Command::Version { json } => version(json, &sockets, out),
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fastswanctl", &mut bytes);
            out.raw(&bytes)?;
            Ok(0)
        }
        Command::Man => {
            out.raw(&manual()?)?;
            Ok(0)
        }
    }
}

/// Facts of this machine, or of a recorded one.
fn facts(from: Option<&Path>, sockets: Sockets, need: Need) -> io::Result<Facts> {
    match from {
        Some(folder) => Recorded::new(folder).facts(),
        None => {
            let root = PathBuf::from("/");
            Ok(ThisMachine { root, sockets }.look(need))
        }
    }
}

/// How long after it a disagreement has to be there still.
const LASTING: Duration = Duration::from_millis(300);

/// This machine, with rates if there is to be a time between two looks. A disagreement is looked at
/// once more.
fn look(sockets: &Sockets, interval: Duration) -> io::Result<(Facts, Vec<status::Row>)> {
    let mut facts = facts(None, sockets.clone(), Need::Sas)?;
    if !interval.is_zero() {
        machine::look_again(&mut facts, interval);
    }
    let mut rows = status::rows(&facts, now()).map_err(io::Error::other)?;
    if rows.iter().any(|row| !row.disagreements.is_empty()) {
        std::thread::sleep(LASTING);
        let before = facts.before.take();
        let again = self::facts(None, sockets.clone(), Need::Sas)?;
        let second = status::rows(&again, now()).map_err(io::Error::other)?;
        status::keep_lasting(&mut rows, &second);
        facts.before = before;
    }
    Ok((facts, rows))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn run_doctor(options: &cli::Doctor, sockets: Sockets, out: &mut Out<'_>) -> io::Result<u8> {
    let mut facts = facts(options.from.as_deref(), sockets, Need::All)?;
    let name;
    let source = match &options.conf {
        Some(file) => {
            let children =
                conf::children(file).map_err(|error| io::Error::other(error.to_string()))?;
            if options.from.is_none() {
                let transport = fastswan::xfrm::NetlinkTransport::default();
                facts.peers = machine::ways(&transport, &children);
            }
            name = file.display().to_string();
            doctor::Source::File(&name, children)
        }
        None => doctor::Source::Loaded,
    };
    if let Some(folder) = &options.record {
        let file = machine::record(&facts, folder).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        })?;
        if !options.json {
            complain(format_args!("recorded as {}", file.display()));
        }
    }
    let mut report = doctor::examine(&facts, options.kernel_fixes.as_deref(), &source);
    if let Some(device) = &options.live {
        doctor::try_device(device, &mut report)?;
    }
    if options.json {
        doctor::show_json(&report, out)?;
    } else {
        doctor::show(&report, out)?;
    }
    Ok(if report.passed() { 0 } else { FOUND })
}

fn run_metrics(options: &cli::Metrics, sockets: &Sockets, out: &mut Out<'_>) -> io::Result<u8> {
    let make = || -> io::Result<String> {
        let facts = facts(options.from.as_deref(), sockets.clone(), Need::Counters)?;
        let mut rows = status::rows(&facts, now());
        if let Ok(rows) = &mut rows
            && options.from.is_none()
            && rows.iter().any(|row| !row.disagreements.is_empty())
            && let Ok((_, second)) = look(sockets, Duration::ZERO)
        {
            status::keep_lasting(rows, &second);
        }
        let rows = rows.as_deref().map_err(String::as_str);
        Ok(metrics::text(&facts, rows, options.per_child))
    };
    if let Some(address) = &options.listen {
        let listener = TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        // What could not be learned is in the text itself.
        metrics::serve(&listener, &|| {
            make().unwrap_or_else(|error| format!("# {}\n", error.to_string().replace('\n', " ")))
        })?;
        return Ok(0);
    }
    let text = make()?;
    match &options.textfile {
        Some(file) => metrics::write_file(file, &text).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?,
        None => out.raw(text.as_bytes())?,
    }
    Ok(0)
}

fn version(json: bool, sockets: &Sockets, out: &mut Out<'_>) -> io::Result<u8> {
    let own = env!("CARGO_PKG_VERSION");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim();
    let charon = Answer::from_result(machine::ask_charon(sockets));
    let strongswan = charon.known().map(|charon| charon.version.as_str());
    let plugin = charon
        .known()
        .and_then(|charon| charon.plugin.known())
        .map(|plugin| plugin.version.as_str());
    if json {
        let value = serde_json::json!({
            "schema": 1,
            "fastswanctl": own,
            "plugin": plugin,
            "strongswan": strongswan,
            "kernel": kernel,
        });
        out.raw(format!("{value:#}\n").as_bytes())?;
    } else {
        out.line(format_args!("fastswanctl {own}"))?;
        out.line(format_args!(
            "plugin      {}",
            plugin.unwrap_or("no answer")
        ))?;
        out.line(format_args!(
            "strongSwan  {}",
            strongswan.unwrap_or("no answer")
        ))?;
        out.line(format_args!("kernel      {kernel}"))?;
    }
    Ok(0)
}

/// What the page says before the options.
const DESCRIPTION: &str = "\
.SH DESCRIPTION
.B fastswanctl
shows whether this machine can put IPsec into its NIC (packet offload), what keeps it from doing so, and
what is in the NIC now under the names that charon gives it. It works with and without a running charon;
what cannot be learned without root is said. Only
.B doctor \\-\\-live
and
.B guard open
change anything.
";

/// The manual page: made from the options, with the parts that are written by hand.
fn manual() -> io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(Cli::command()).section("8");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    bytes.extend_from_slice(DESCRIPTION.as_bytes());
    man.render_options_section(&mut bytes)?;
    man.render_subcommands_section(&mut bytes)?;
    // The commands have no pages of their own.
    let text = String::from_utf8_lossy(&bytes)
        .replace("fastswanctl\\-", "fastswanctl ")
        .replace("(8)\n", "\n")
        .replace(".SH SUBCOMMANDS", ".SH COMMANDS");
    let mut bytes = text.into_bytes();
    for sub in Cli::command().get_subcommands() {
        options_of(sub, "", &mut bytes)?;
    }
    bytes.extend_from_slice(b".SH \"EXIT STATUS\"\n");
    for line in cli::EXIT_STATUS.lines().skip(1) {
        if let Some((code, meaning)) = line.trim().split_once(' ') {
            let item = format!(".TP\n{code}\n{}\n", meaning.trim());
            bytes.extend_from_slice(item.as_bytes());
        }
    }
    bytes.extend_from_slice(include_str!("manual.roff").as_bytes());
    Ok(bytes)
}

/// What a command takes, and those below it.
fn options_of(sub: &clap::Command, above: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
    if sub.is_hide_set() || sub.get_name() == "help" {
        return Ok(());
    }
    let name = format!("{above}{}", sub.get_name());
    let below: Vec<_> = sub.get_subcommands().collect();
    if below.is_empty() {
        let command = sub.clone().bin_name(format!("fastswanctl {name}"));
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render_options_section(&mut page)?;
        let about = sub.get_long_about().or(sub.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        // The first sentence has no full stop, as it stands in lists.
        let about = match about.split_once("\n\n") {
            Some((first, rest)) => format!("{first}. {rest}"),
            None => format!("{about}."),
        };
        let head = format!(
            ".SH \"OPTIONS OF {}\"\n{}\n",
            name.to_uppercase(),
            about.replace('-', "\\-")
        );
        bytes.extend_from_slice(head.as_bytes());
        let text = String::from_utf8_lossy(&page);
        for line in text.lines().filter(|line| !line.starts_with(".SH")) {
            bytes.extend_from_slice(format!("{line}\n").as_bytes());
        }
    }
    for sub in below {
        options_of(sub, &format!("{name} "), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    /// The files that are shipped are made of the command line's own description.
    /// `FASTSWAN_UPDATE=1 cargo test --features ctl` makes them anew.
    #[test]
    fn pages_and_completions_are_those_of_the_command_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let complete = |shell| {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fastswanctl", &mut bytes);
            bytes
        };
        for (name, bytes) in [
            ("contrib/fastswanctl.8", manual().unwrap()),
            (
                "contrib/completions/fastswanctl.bash",
                complete(Shell::Bash),
            ),
            ("contrib/completions/_fastswanctl", complete(Shell::Zsh)),
            (
                "contrib/completions/fastswanctl.fish",
                complete(Shell::Fish),
            ),
        ] {
            let file = root.join(name);
            if std::env::var_os("FASTSWAN_UPDATE").is_some() {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, &bytes).unwrap();
            }
            assert!(
                std::fs::read(&file).unwrap_or_default() == bytes,
                "{name} is older than the command line: FASTSWAN_UPDATE=1 cargo test --features ctl"
            );
        }
    }

    /// The unit of the timer runs what the command line takes, and may write where it writes.
    #[test]
    fn the_unit_of_the_timer_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
        let unit = std::fs::read_to_string(root.join("fastswanctl-metrics.service")).unwrap();
        let of = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap()
        };
        let cli = Cli::try_parse_from(of("ExecStart=").split(' ')).unwrap();
        let Command::Metrics(options) = cli.command else {
            panic!("{}", of("ExecStart="));
        };
        let file = options.textfile.unwrap();
        assert!(
            file.starts_with(of("ReadWritePaths=")),
            "{}",
            file.display()
        );
        assert!(file.extension().is_some_and(|end| end == "prom"));
        let timer = std::fs::read_to_string(root.join("fastswanctl-metrics.timer")).unwrap();
        assert!(timer.contains("\nOnUnitActiveSec="), "{timer}");
    }

    #[test]
    fn help_fits_a_terminal() {
        fn look(command: &mut clap::Command) {
            for line in command.render_long_help().to_string().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            for sub in command.get_subcommands_mut() {
                look(sub);
            }
        }
        let mut command = Cli::command();
        command.build();
        look(&mut command);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        for wrong in [
            &["fastswanctl"][..],
            &["fastswanctl", "doctor", "--live", "p0", "--from", "x"],
            &["fastswanctl", "watch", "--interval", "0"],
            &["fastswanctl", "metrics", "--textfile", "a", "--listen", "b"],
            &["fastswanctl", "guard", "open"],
            &["fastswanctl", "guard", "open", "--all", "a === b"],
            &["fastswanctl", "status", "--peer", "nonsense"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
