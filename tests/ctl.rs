// SPDX-License-Identifier: GPL-2.0-or-later
//! fastswanctl as people run it: bad input, readers that go away, terminals, and what is not there.
//!
//! Owns the runs of the program itself; what it prints is compared in its own tests. Called by
//! `cargo test --features ctl --test ctl`. Must not need root, a NIC or a charon.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

fn ctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastswanctl"));
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = ctl(arguments).output().expect("it runs");
    (
        status.code().expect("no signal ended it"),
        String::from_utf8(stdout).expect("text"),
        String::from_utf8(stderr).expect("text"),
    )
}

fn machine(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines");
    folder.join(name).to_str().expect("a path").to_owned()
}

/// A folder of one test's own, which goes with it however it ends. It is in the build folder, and has
/// the same name each time, so that the next run takes away what one left that was killed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self::below(
            Path::new(env!("CARGO_TARGET_TMPDIR")),
            &format!("ctl-{name}"),
        )
    }

    fn below(place: &Path, name: &str) -> Self {
        let folder = place.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes it otherwise.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn exit_statuses_are_those_of_the_manual() {
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["--version"]).0, 0);
    for wrong in [
        &[][..],
        &["nonsense"],
        &["doctor", "--live"],
        &["status", "--peer", "nonsense"],
        &["status", "--brief", "--json"],
        &["guard"],
        &["guard", "open"],
        &["metrics", "--listen", "a", "--textfile", "b"],
        &["completions", "tcsh"],
    ] {
        let (code, out, err) = run(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}: {err}");
        assert!(!err.is_empty(), "{wrong:?}");
    }
    assert_eq!(run(&["doctor", "--from", &machine("connectx-6-dx")]).0, 0);
    assert_eq!(run(&["doctor", "--from", &machine("no-nic")]).0, 1);
    assert_eq!(run(&["status", "--from", &machine("connectx-6-dx")]).0, 0);
    assert_eq!(run(&["status", "--from", &machine("mixed")]).0, 1);
    let nobody = ["--from", &machine("connectx-6-dx"), "--child", "nobody"];
    let (code, out, _) = run(&[&["status"], &nobody[..]].concat());
    assert_eq!((code, out.as_str()), (1, "no SAs\n"));
    // Not root: the kernel does not show its SAs.
    let (code, _, err) = run(&["status", "--from", &machine("no-nic")]);
    assert_eq!(code, 2);
    assert!(err.contains("does not show its SAs"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_file_that_is_none_is_one_line_with_its_name() {
    let folder = Scratch::new("files");
    let garbage = folder.join("swanctl.conf");
    fs::write(&garbage, b"connections { a { children { \xff\0 }").expect("written");
    let deep = folder.join("deep.conf");
    fs::write(&deep, "a {".repeat(1_000_000)).expect("written");
    let endless = folder.join("facts.json");
    std::os::unix::fs::symlink("/dev/zero", endless).expect("a link");
    for arguments in [
        &["doctor", "--conf", "/nonexistent/swanctl.conf"][..],
        &["doctor", "--conf", garbage.to_str().expect("a path")],
        &["doctor", "--conf", deep.to_str().expect("a path")],
        &["doctor", "--conf", "/dev/zero"],
        &["doctor", "--from", "/nonexistent"],
        &["status", "--from", folder.text()],
        &["status", "--from", "/nonexistent"],
        &["metrics", "--from", "/nonexistent"],
        &[
            "metrics",
            "--textfile",
            "/nonexistent/f.prom",
            "--from",
            &machine("no-nic"),
        ],
        &["metrics", "--listen", "nonsense"],
        &["guard", "open", "nonsense"],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.starts_with("fastswanctl: "), "{err}");
    }
    // With --json the error is JSON as well.
    let (code, _, err) = run(&["status", "--json", "--from", "/nonexistent"]);
    assert_eq!(code, 2);
    let value: serde_json::Value = serde_json::from_str(&err).expect("JSON");
    assert!(
        value["error"]
            .as_str()
            .expect("text")
            .contains("facts.json")
    );
}

#[test]
fn json_has_a_schema_and_is_what_a_parser_reads() {
    for arguments in [
        &["doctor", "--json", "--from", &machine("mixed")][..],
        &["status", "--json", "--from", &machine("mixed")],
        &["version", "--json"],
    ] {
        let (_, out, err) = run(arguments);
        let value: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        assert_eq!(value["schema"], 1, "{arguments:?}");
    }
}

/// A reader that stops after the first bytes, as `head` does, and one that is gone before.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let big = many(3_000);
    let from = big.text();
    for arguments in [
        &["status", "--from", from][..],
        &["status", "--json", "--from", from],
        &["metrics", "--per-child", "--from", from],
        &["doctor", "--from", from],
        &["completions", "bash"],
        &["--help"],
    ] {
        for take in [0, 100] {
            let mut child = ctl(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it runs");
            let mut out = child.stdout.take().expect("a pipe");
            out.read_exact(&mut vec![0; take]).expect("as much");
            drop(out);
            let output = child.wait_with_output().expect("it ends");
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(err, "", "{arguments:?}");
            let code = output.status.code().expect("no signal ended it");
            assert!(
                code == 0 || (code == 1 && take > 0),
                "{arguments:?}: {code}"
            );
        }
    }
}

/// A machine with so many CHILD_SAs, made of the first of a modelled one.
fn many(count: u32) -> Scratch {
    let text = fs::read_to_string(Path::new(&machine("connectx-6-dx")).join("facts.json"));
    let mut facts: serde_json::Value = serde_json::from_str(&text.expect("facts")).expect("JSON");
    let (mut sas, mut child_sas) = (Vec::new(), Vec::new());
    for number in 0..count {
        let mut pair = facts["sas"]["known"].as_array().expect("SAs").clone();
        let mut child = facts["charon"]["known"]["child_sas"][0].clone();
        for (sa, name, spi) in [(0, "spi_in", 0x1000_0000), (1, "spi_out", 0x2000_0000)] {
            pair[sa]["spi"] = (spi + number).into();
            pair[sa]["reqid"] = (number + 1).into();
            child[name] = (spi + number).into();
        }
        child["unique_id"] = number.into();
        child["reqid"] = (number + 1).into();
        sas.extend(pair);
        child_sas.push(child);
    }
    facts["sas"]["known"] = sas.into();
    facts["charon"]["known"]["child_sas"] = child_sas.into();
    facts["charon"]["known"]["plugin"]["known"]["sas"] =
        serde_json::json!({ "unknown": "not asked" });
    let folder = Scratch::new(&format!("many-{count}"));
    fs::write(folder.join("facts.json"), facts.to_string()).expect("written");
    folder
}

/// A dump of 60,000 SAs: it takes memory in proportion to it, and no more than some time.
#[test]
fn a_huge_dump_is_shown() {
    let big = many(30_000);
    let from = big.text();
    let began = Instant::now();
    let (code, out, err) = run(&["status", "--from", from, "--child", "site/net#29999"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("site/net#29999  INSTALLED"), "{out}");
    assert!(out.lines().count() < 24, "{out}");
    // Without a limit on the number of series, they are the same for one CHILD_SA.
    let (_, out, _) = run(&["metrics", "--from", from]);
    assert!(out.lines().count() < 100, "{}", out.lines().count());
    assert!(out.contains("mode=\"packet\"} 30000\n"), "{out}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// Something else listens at the paths: each answers with garbage, with half a message, with a
/// length beyond all bounds, with nothing at all, or ends the connection.
#[test]
fn garbage_on_the_sockets_is_told_and_ends() {
    let folder = Scratch::new("garbage");
    for (number, answer) in [
        &b"\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x05\x01",
        b"\0\0\0\x09\x01\x03\x03key\xff",
        b"",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.join(format!("socket-{number}"));
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            // It may be gone already.
            let _ = client.write_all(answer);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest);
        });
        let began = Instant::now();
        let path = path.to_str().expect("a path");
        let (code, out, err) = run(&["version", "--vici", path, "--socket", path]);
        assert_eq!((code, err.as_str()), (0, ""), "{answer:?}");
        assert!(out.contains("strongSwan  no answer"), "{out}");
        assert!(began.elapsed() < PATIENCE);
        server.join().expect("it ends");
    }
}

#[test]
fn without_charon_doctor_works_and_says_so() {
    let nobody = ["--vici", "/nonexistent/a", "--socket", "/nonexistent/b"];
    let (code, out, err) = run(&[&["doctor"], &nobody[..]].concat());
    // Whether this machine has a NIC is not for us to say, nor whether we are root.
    assert!(code == 0 || code == 1, "{code}: {err}");
    assert!(
        out.contains("no answer from charon: nobody listens on /nonexistent/a"),
        "{out}"
    );
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (code, out, _) = run(&[&["version"], &nobody[..]].concat());
    assert_eq!(code, 0);
    assert!(out.contains("plugin      no answer"), "{out}");
}

/// The facts of a modelled machine with something changed, in a folder of their own.
fn changed(name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Scratch {
    let text = fs::read_to_string(Path::new(&machine("connectx-6-dx")).join("facts.json"));
    let mut facts: serde_json::Value = serde_json::from_str(&text.expect("facts")).expect("JSON");
    change(&mut facts);
    let folder = Scratch::new(name);
    fs::write(folder.join("facts.json"), facts.to_string()).expect("written");
    folder
}

/// Kernels without packet mode, and one with its mode but without the fixes.
#[test]
fn an_old_kernel_fails_with_the_release_that_would_do() {
    for (release, text) in [
        ("5.10.0-30-amd64", "6.2"),
        ("6.1.0-25-amd64", "6.2"),
        ("6.12.48+deb13-amd64", "6.15"),
    ] {
        let old = changed(&format!("old-{release}"), |facts| {
            facts["release"] = release.into();
        });
        let (code, out, err) = run(&["doctor", "--from", old.text()]);
        assert_eq!((code, err.as_str()), (1, ""), "{release}");
        let failed = out
            .lines()
            .find(|line| line.starts_with("FAIL ") && line.contains("kernel-"));
        assert!(failed.is_some() && out.contains(text), "{release}: {out}");
    }
}

/// Nobody in particular asks: what the kernel refuses is said in one line, and what can be learned
/// all the same is shown.
#[test]
fn without_root_each_command_says_so() {
    // Where anybody can read.
    let folder = Scratch::below(
        &std::env::temp_dir(),
        &format!("fastswan-ctl-{}", std::process::id()),
    );
    let program = folder.join("fastswanctl");
    fs::copy(env!("CARGO_BIN_EXE_fastswanctl"), &program).expect("copied");
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null());
        // SAFETY: No memory is involved.
        if unsafe { libc::geteuid() } == 0 {
            use std::os::unix::process::CommandExt;
            command.uid(65534).gid(65534);
        }
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code().expect("no signal ended it"),
            text(output.stdout),
            text(output.stderr),
        )
    };
    for arguments in [
        &["status"][..],
        &["guard", "list"],
        &["guard", "open", "--all"],
        &["doctor", "--live", "lo"],
    ] {
        let (code, out, err) = nobody(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.starts_with("fastswanctl: "), "{err}");
    }
    let (code, out, err) = nobody(&["doctor"]);
    assert!(code == 0 || code == 1, "{code}: {err}");
    assert!(out.contains("warn  privileges: "), "{out}");
    let (code, out, err) = nobody(&["metrics"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("fastswan_up{source=\"kernel\"} 0\n"), "{out}");
}

/// The script that is shipped, in the shell that it is for.
#[test]
fn bash_completes_commands_options_and_values() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/completions/fastswanctl.bash");
    for (words, wanted, unwanted) in [
        (&["st"][..], "status", "doctor"),
        (&["status", "--p"], "--peer", "--textfile"),
        (&["guard", "o"], "open", "list"),
        (&["completions", ""], "zsh", "tcsh"),
    ] {
        let output = Command::new("bash")
            .args(["--norc", "-c"])
            .arg(
                "set -eu; . \"$1\"; shift; COMP_WORDS=(fastswanctl \"$@\"); COMP_CWORD=$#; \
                 _fastswanctl fastswanctl \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\" || :; \
                 printf '%s\\n' \"${COMPREPLY[@]}\"",
            )
            .arg("bash")
            .arg(&script)
            .args(words)
            .output()
            .expect("bash runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        let has = |word| text.lines().any(|line| line == word);
        assert!(has(wanted) && !has(unwanted), "{words:?}: {text}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let from = machine("mixed");
    let plain = run(&["status", "--from", &from]).1;
    assert!(!plain.contains('\x1b'));
    let painted = run(&["--color", "always", "status", "--from", &from]).1;
    assert!(painted.contains("\x1b["));
    for (name, value, expected) in [
        ("TERM", "xterm", true),
        ("TERM", "dumb", false),
        ("NO_COLOR", "1", false),
    ] {
        let mut terminal = Terminal::open(80, 24);
        let mut command = ctl(&["status", "--from", &from]);
        command.env("TERM", "xterm").env(name, value);
        let child = terminal.start(command);
        let text = terminal.until_end(child);
        assert_eq!(text.contains("\x1b["), expected, "{name}={value}: {text}");
    }
}

#[test]
fn metrics_are_served_until_they_are_not_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    // A port that is taken is an error with its name.
    let (code, _, err) = run(&["metrics", "--listen", &address]);
    assert_eq!(code, 2);
    assert!(err.contains(&address), "{err}");
    drop(listener);
    let mut server = Ends(
        ctl(&["metrics", "--listen", &address])
            .spawn()
            .expect("it runs"),
    );
    let end = Instant::now() + PATIENCE;
    let ask = |request: &[u8]| {
        let mut client = loop {
            match TcpStream::connect(&address) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            thread::sleep(Duration::from_millis(50));
        };
        client.write_all(request).expect("sent");
        let mut text = String::new();
        client.read_to_string(&mut text).expect("text");
        text
    };
    // One that says nothing must not keep the next waiting for ever.
    let silent = TcpStream::connect(&address);
    let text = ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(silent);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\nfastswan_up{source=\"kernel\"} "), "{text}");
    assert!(ask(b"GET /etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(server.0.try_wait().expect("it is ours").is_none());
}

/// A program that is ended with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A terminal, as seen by whoever looks at it.
struct Terminal {
    master: fs::File,
    slave: OwnedFd,
}

impl Terminal {
    fn open(columns: u16, lines: u16) -> Self {
        let (mut master, mut slave) = (-1, -1);
        let size = libc::winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: Both numbers and the size outlive the call; no name and no settings are given.
        let result = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: The kernel just gave us both, and nobody else has them.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        // SAFETY: A number and flags.
        let flags = unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(flags, 0);
        Self {
            master: master.into(),
            slave,
        }
    }

    fn start(&mut self, mut command: Command) -> Ends {
        let end = || Stdio::from(self.slave.try_clone().expect("a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        Ends(command.spawn().expect("it runs"))
    }

    /// What was written meanwhile.
    fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut room = [0; 65536];
        while let Ok(count @ 1..) = self.master.read(&mut room) {
            bytes.extend_from_slice(&room[..count]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn until_end(&mut self, mut child: Ends) -> String {
        let end = Instant::now() + PATIENCE;
        let mut text = String::new();
        loop {
            let ended = child.0.try_wait().expect("it is ours").is_some();
            text += &self.read();
            if ended {
                return text;
            }
            assert!(Instant::now() < end, "it does not end: {text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn until(&mut self, text: &mut String, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        while !text.contains(wanted) {
            assert!(Instant::now() < end, "no {wanted:?} in {text:?}");
            thread::sleep(Duration::from_millis(20));
            *text += &self.read();
        }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("pressed");
    }
}

#[test]
fn watch_needs_a_terminal() {
    let (code, out, err) = run(&["watch"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("watch needs a terminal"), "{err}");
    // One that knows characters only.
    let from = machine("mixed");
    let mut terminal = Terminal::open(80, 24);
    let mut command = ctl(&["watch", "--from", &from]);
    command.env("TERM", "dumb");
    let child = terminal.start(command);
    let text = terminal.until_end(child);
    assert!(text.contains("that can be drawn on"), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn watch_has_the_colours_that_are_wanted() {
    let from = machine("mixed");
    for (arguments, no_color, expected) in [
        (&["watch"][..], "", true),
        (&["watch"], "1", false),
        (&["--color", "never", "watch"], "", false),
        (&["--color", "always", "watch"], "1", true),
    ] {
        let mut terminal = Terminal::open(80, 24);
        let mut command = ctl(&[arguments, &["--from", &from]].concat());
        command
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", no_color);
        let child = terminal.start(command);
        let mut text = String::new();
        terminal.until(&mut text, "in trouble");
        // The graph, and whatever is in trouble, stand behind that.
        terminal.until(&mut text, "site/net#1");
        terminal.press("q");
        text += &terminal.until_end(child);
        let colored = text
            .split("\x1b[")
            .any(|rest| rest.starts_with("38;") || rest.starts_with("31m"));
        assert_eq!(colored, expected, "{arguments:?} {no_color}: {text:?}");
    }
}

/// The whole program on a terminal with 10,000 CHILD_SAs. What would flicker: the screen is cleared
/// once, at the start, and a look that finds nothing new writes nothing.
#[test]
fn watch_draws_ten_thousand_without_a_flicker() {
    let big = many(10_000);
    let mut terminal = Terminal::open(80, 24);
    let mut command = ctl(&["watch", "--interval", "1", "--from"]);
    command.arg(big.text()).env("TERM", "xterm-256color");
    let child = terminal.start(command);
    let mut text = String::new();
    terminal.until(&mut text, "10000 of 10000 CHILD_SAs");
    // Several looks at the same machine.
    thread::sleep(Duration::from_millis(3500));
    text += &terminal.read();
    let clears = text.matches("\x1b[2J").count();
    assert!(clears <= 1, "cleared {clears} times");
    let before = text.len();
    thread::sleep(Duration::from_millis(2500));
    let idle = terminal.read();
    assert!(
        idle.len() < before / 4 && !idle.contains("\x1b[2J"),
        "{} bytes were written though nothing changed: {idle:?}",
        idle.len()
    );
    terminal.press("n");
    terminal.press("/#9999");
    let mut text = String::new();
    // Only what changed is written: behind the number that is now shorter, that is the rest of the line.
    terminal.until(&mut text, "CHILD_SAs, 0 in trouble");
    terminal.press("\r");
    terminal.press("q");
    let mut child = child;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.0.try_wait().expect("it is ours") {
            Some(status) => break status,
            None => assert!(Instant::now() < end, "q does not end it"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    let rest = terminal.read();
    // The terminal is as it was: the other screen is left, the cursor is back.
    assert!(
        rest.contains("\x1b[?1049l") && rest.contains("\x1b[?25h"),
        "{rest:?}"
    );
}
