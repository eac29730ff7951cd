// SPDX-License-Identifier: GPL-2.0-or-later
//! One virtual machine: boots a kernel, lets it run a script from a shared folder, returns its exit status.
//!
//! Owns QEMU's command line, the choice of the accelerator, virtiofsd and the end of both. lab and vnic call it. It
//! must not know what the script does; everything the guest needs lies in the folder the caller prepared.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::{Cache, write_whole},
    host, initramfs,
    kernels::Kernel,
    roots::Guest,
    run::{command, tail},
    say,
};

/// How long a machine may take from its start to the first line of its init.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// Scenarios without packages know no profiles; the kernel's checks would only cost time.
const APPARMOR_OFF: &str = "apparmor=0";
/// How long the probe of KVM may take; a machine that works answers in two seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// What to boot and what to run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) guest: &'a Guest,
    /// Shared folder: the guest runs `run` in it, and writes `output` and `status`.
    pub(crate) share: &'a Path,
    /// The machine is stopped and the run failed after this long.
    pub(crate) limit: Duration,
    /// The kernel's AppArmor is on; profiles are the script's business.
    pub(crate) apparmor: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The script ended with this status.
    Status(i32),
    /// The machine ended before the script did; the text says what is known.
    Lost {
        /// What happened, with the end of the console.
        why: String,
        /// QEMU's translation mishandled the kernel's patching of its own code, which is no fault of what ran.
        emulator: bool,
    },
}

/// A processor that QEMU translates can still hit the breakpoint with which another one has just patched the
/// kernel's code; the kernel then finds no patch going on and dies with these words. It never happens on hardware.
const PATCH_RACE: &str = "Oops: int3";

/// A child that is killed, by its own id, when it goes out of scope.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The daemon that serves a folder to a machine, with its socket.
struct Files {
    _daemon: Guarded,
    socket: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        // One that stays behind is removed before the next machine with this folder starts.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Runs the script and gives each line it writes to `line` while it runs.
pub(crate) fn run(cache: &Cache, job: &Job<'_>, mut line: impl FnMut(&str)) -> Result<Outcome> {
    const ATTEMPTS: u32 = 4;
    for attempt in 1.. {
        let outcome = once(cache, job, &mut line)?;
        match &outcome {
            // Nothing of the script has run, so a second attempt hides nothing of it.
            Outcome::Lost { emulator: true, .. }
                if attempt < ATTEMPTS && !job.share.join("alive").exists() =>
            {
                say::step("vm: QEMU's translation broke the kernel while it booted, booting again");
            }
            _ => return Ok(outcome),
        }
    }
    bail!("the machine did not boot in {ATTEMPTS} attempts")
}

fn once(cache: &Cache, job: &Job<'_>, line: &mut impl FnMut(&str)) -> Result<Outcome> {
    let started = Instant::now();
    let console = job.share.join("console.log");
    for stale in ["output", "status", "alive"] {
        crate::cache::remove(&job.share.join(stale))?;
    }
    let _files = share(job.share)?;
    let mut qemu = machine(
        cache,
        job.kernel,
        job.guest,
        if job.apparmor {
            "apparmor=1"
        } else {
            APPARMOR_OFF
        },
    )?;
    attach_share(&mut qemu, job.share);
    qemu.arg("-serial")
        .arg(format!("file:{}", console.display()));
    let mut qemu = start(&mut qemu, &job.share.join("qemu.log"))?;
    let mut output = Tail::new(job.share.join("output"));
    let ended = loop {
        let over = qemu.0.try_wait().context("cannot wait for QEMU")?;
        output.poll(line);
        if over.is_some() {
            break "the machine stopped";
        }
        if started.elapsed() > BOOT_LIMIT && !job.share.join("alive").exists() {
            break "the machine did not reach its init";
        }
        if started.elapsed() > job.limit {
            break "the script did not end in time";
        }
        sleep(Duration::from_millis(40));
    };
    drop(qemu);
    output.finish(line);
    if let Some(status) = fs::read_to_string(job.share.join("status"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        return Ok(Outcome::Status(status));
    }
    let text = fs::read(&console)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    Ok(Outcome::Lost {
        emulator: text.contains(PATCH_RACE),
        why: format!(
            "kernel {}: {ended} after {:.0} s (limit {:.0} s) and left no exit status; QEMU said: {}\n\
             the console ({}) ends with:\n{}",
            job.kernel.release,
            started.elapsed().as_secs_f64(),
            job.limit.as_secs_f64(),
            tail(&job.share.join("qemu.log"), 5),
            console.display(),
            tail(&console, 30)
        ),
    })
}

/// A shell in the machine on this terminal; `share` as for `run`, the script is not run.
pub(crate) fn shell(cache: &Cache, kernel: &Kernel, guest: &Guest, share_dir: &Path) -> Result<()> {
    let _files = share(share_dir)?;
    let mut qemu = machine(
        cache,
        kernel,
        guest,
        &format!("{APPARMOR_OFF} fastswan.shell"),
    )?;
    attach_share(&mut qemu, share_dir);
    qemu.args(["-serial", "mon:stdio"]);
    let text = crate::run::display(&qemu);
    let mut child = Guarded(
        qemu.spawn()
            .with_context(|| format!("cannot start: {text}"))?,
    );
    child.0.wait().context("cannot wait for QEMU")?;
    Ok(())
}

/// QEMU with everything but its consoles and shared folder.
fn machine(cache: &Cache, kernel: &Kernel, guest: &Guest, extra: &str) -> Result<Command> {
    let accelerator = accelerator(cache, kernel, guest)?;
    let mut qemu = bare(
        kernel,
        &initramfs::ensure(cache, kernel, &guest.busybox)?,
        accelerator,
        extra,
    )?;
    qemu.arg("-drive").arg(format!(
        "file={},if=virtio,format=raw,snapshot=on",
        guest.image.display()
    ));
    Ok(qemu)
}

fn bare(kernel: &Kernel, initrd: &Path, accelerator: Accelerator, extra: &str) -> Result<Command> {
    let mut qemu = command("qemu-system-x86_64");
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        "pc",
        "-smp",
        "2",
    ])
    .args([
        "-m",
        "1536",
        "-object",
        "memory-backend-memfd,id=mem,size=1536M,share=on",
        "-numa",
        "node,memdev=mem",
    ]);
    match accelerator {
        Accelerator::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host"]),
        // With cx16 QEMU 7.2 injects double faults after cmpxchg16b; five-level tables only cost time.
        Accelerator::Tcg => qemu.args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max,la57=off,cx16=off",
        ]),
    };
    qemu.arg("-kernel").arg(kernel.vmlinuz()?).arg("-initrd").arg(initrd).arg("-append").arg(format!(
        "console=ttyS0 panic=-1 oops=panic quiet loglevel=5 mitigations=off nokaslr tsc=reliable no_timer_check \
         random.trust_cpu=on net.ifnames=0 {extra}"
    ));
    Ok(qemu)
}

fn attach_share(qemu: &mut Command, share: &Path) {
    qemu.arg("-chardev")
        .arg(format!("socket,id=share,path={}", socket(share).display()))
        .args([
            "-device",
            "vhost-user-fs-pci,queue-size=1024,chardev=share,tag=share",
        ]);
}

fn start(qemu: &mut Command, log: &Path) -> Result<Guarded> {
    let text = crate::run::display(qemu);
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let err = out.try_clone()?;
    let child = qemu
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .with_context(|| format!("cannot start: {text}"))?;
    Ok(Guarded(child))
}

fn socket(share: &Path) -> PathBuf {
    // A socket's path may have 107 bytes, a target folder may be deeper than that.
    let name = crate::cache::fingerprint(share);
    PathBuf::from(format!("/tmp/fastswan-{name}.sock"))
}

/// Starts virtiofsd for `share` and waits until it listens.
fn share(share: &Path) -> Result<Files> {
    let program = host::first_existing(&["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"])
        .context("virtiofsd is not installed")?;
    let socket = socket(share);
    crate::cache::remove(&socket)?;
    let mut daemon = command(program);
    daemon.arg(format!("--socket-path={}", socket.display()));
    if program.starts_with("/usr/libexec") {
        daemon
            .arg("--shared-dir")
            .arg(share)
            .args(["--cache=auto", "--sandbox=chroot"]);
    } else {
        daemon.arg("-o").arg(format!(
            "source={},cache=auto,sandbox=chroot",
            share.display()
        ));
    }
    let log = share.join("virtiofsd.log");
    let mut child = start(&mut daemon, &log)?;
    let began = Instant::now();
    while !socket.exists() {
        if let Some(status) = child.0.try_wait()? {
            bail!("virtiofsd ended with {status}: {}", tail(&log, 10));
        }
        if began.elapsed() > Duration::from_secs(10) {
            bail!(
                "virtiofsd does not listen on {}: {}",
                socket.display(),
                tail(&log, 10)
            );
        }
        sleep(Duration::from_millis(10));
    }
    Ok(Files {
        _daemon: child,
        socket,
    })
}

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accelerator {
    Kvm,
    Tcg,
}

/// KVM if it really boots a kernel, which a present /dev/kvm does not promise. Asked once per boot of this machine.
fn accelerator(cache: &Cache, kernel: &Kernel, guest: &Guest) -> Result<Accelerator> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let answer = cache.path("kvm");
    if let Ok(text) = fs::read_to_string(&answer)
        && let Some(found) = text.strip_prefix(boot.trim())
    {
        return Ok(if found.trim() == "kvm" {
            Accelerator::Kvm
        } else {
            Accelerator::Tcg
        });
    }
    say::step("vm: trying whether KVM boots a kernel here");
    let console = cache.log("kvm-probe");
    let initrd = initramfs::ensure(cache, kernel, &guest.busybox)?;
    let mut qemu = bare(
        kernel,
        &initrd,
        Accelerator::Kvm,
        &format!("{APPARMOR_OFF} fastswan.probe"),
    )?;
    qemu.arg("-serial")
        .arg(format!("file:{}", console.display()));
    let began = Instant::now();
    let mut child = start(&mut qemu, &cache.log("kvm-probe-qemu"))?;
    while child.0.try_wait()?.is_none() && began.elapsed() < PROBE_LIMIT {
        sleep(Duration::from_millis(50));
    }
    drop(child);
    let works = fs::read(&console)
        .is_ok_and(|text| String::from_utf8_lossy(&text).contains(initramfs::PROBE_ANSWER));
    let (word, chosen) = if works {
        ("kvm", Accelerator::Kvm)
    } else {
        ("tcg", Accelerator::Tcg)
    };
    write_whole(&answer, format!("{} {word}\n", boot.trim()))?;
    say::step(format_args!(
        "vm: {}",
        if works {
            "KVM works"
        } else {
            "KVM cannot boot a kernel here, using QEMU's own translation (slower)"
        }
    ));
    Ok(chosen)
}

/// Follows a file that another side is writing.
struct Tail {
    path: PathBuf,
    at: u64,
    rest: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            at: 0,
            rest: Vec::new(),
        }
    }

    fn poll(&mut self, line: &mut impl FnMut(&str)) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        let mut fresh = Vec::new();
        if file.seek(SeekFrom::Start(self.at)).is_err() || file.read_to_end(&mut fresh).is_err() {
            return;
        }
        self.at += fresh.len() as u64;
        self.rest.extend_from_slice(&fresh);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            line(String::from_utf8_lossy(&whole[..end]).as_ref());
        }
        let _ = std::io::stdout().flush();
    }

    fn finish(&mut self, line: &mut impl FnMut(&str)) {
        self.poll(line);
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            line(String::from_utf8_lossy(&rest).as_ref());
        }
    }
}
