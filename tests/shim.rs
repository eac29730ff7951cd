// SPDX-License-Identifier: GPL-2.0-or-later
//! The shim, between a charon of paper and a core of paper.
//!
//! Builds the shim as the plugin's build does, but with AddressSanitizer and
//! UndefinedBehaviorSanitizer, against the real headers of each strongSwan whose source is there,
//! and runs the C program in `tests/boundary/shim/`, each case in a process of its own. Needs a
//! source of strongSwan, which `cargo xtask test` provides; therefore ignored by a plain
//! `cargo test`. Must not pass if there is none.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a case ends with if a sanitizer found something; the program itself uses 1 and 2.
const SANITIZER: i32 = 99;
/// The kernel's own file must not be written by a test.
const SANITIZE: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all -g \
                        -DACQ_EXPIRES_FILE=\"xfrm_acq_expires\"";

/// A source to build for.
struct Source {
    folder: PathBuf,
    version: String,
    /// Class of its ABI: 1 for A to 4 for D, from the version number. build.rs finds it by the
    /// members of structs, so that each checks the other.
    abi: u32,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source named in the environment, else those `cargo xtask` keeps.
fn sources() -> Vec<Source> {
    let folders = match env::var_os("FASTSWAN_STRONGSWAN_SRC") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => cached(),
    };
    let sources: Vec<_> = folders.into_iter().map(source).collect();
    assert!(
        !sources.is_empty(),
        "no source of strongSwan: run `cargo xtask setup`, or set FASTSWAN_STRONGSWAN_SRC"
    );
    sources
}

fn cached() -> Vec<PathBuf> {
    let home =
        |name: &str, below: &str| env::var_os(name).map(|dir| PathBuf::from(dir).join(below));
    let cache = env::var_os("FASTSWAN_CACHE")
        .map(PathBuf::from)
        .or_else(|| home("XDG_CACHE_HOME", "fastswan"))
        .or_else(|| home("HOME", ".cache/fastswan"))
        .expect("a home");
    let Ok(entries) = std::fs::read_dir(cache.join("strongswan")) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<_> = folders
        .filter(|folder| folder.join("configure.ac").is_file())
        .collect();
    folders.sort();
    folders
}

fn source(folder: PathBuf) -> Source {
    let text = std::fs::read_to_string(folder.join("configure.ac")).expect("configure.ac");
    let line = text.lines().find(|line| line.starts_with("AC_INIT("));
    let version = line.and_then(|line| line.split(['[', ']']).nth(3));
    let version = version.expect("a version in configure.ac").to_owned();
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    let abi = match (number(), number(), number()) {
        (6, 0, 0 | 1) => 1,
        (6, 0, 2..=4) => 2,
        (6, 0, _) => 3,
        _ => 4,
    };
    Source {
        folder,
        version,
        abi,
    }
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The shim for one strongSwan, in the static library that the plugin's build makes of it.
fn shim(source: &Source, folder: &Path) -> PathBuf {
    // Where this test was built: all but the library itself is there already.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .current_dir(root())
        .args(["rustc", "--quiet", "--lib", "--crate-type", "staticlib"])
        .args(["--features", "plugin"])
        .arg("--target-dir")
        .arg(&target)
        .env("FASTSWAN_STRONGSWAN_SRC", &source.folder)
        .env("CC", "gcc")
        .env("CFLAGS", SANITIZE));
    let library = folder.join("libfastswan.a");
    std::fs::copy(target.join("debug/libfastswan.a"), &library).expect("the library");
    library
}

/// config.h of the source, or what it takes.
fn config(source: &Source, folder: &Path) -> PathBuf {
    let own = source.folder.join("config.h");
    if own.is_file() {
        return own;
    }
    let file = folder.join("config.h");
    let text = format!(
        "#define CONFIG_H_INCLUDED\n#define VERSION \"{}\"\n#define ME 1\n\
         #define HAVE_STDBOOL_H 1\n#define HAVE_SIGWAITINFO 1\n#define HAVE_PRINTF_SPECIFIER 1\n",
        source.version
    );
    std::fs::write(&file, text).expect("a config.h");
    file
}

/// The program for one strongSwan, pretending that another class is running.
fn program(source: &Source, folder: &Path, library: &Path, running: u32) -> PathBuf {
    let program = folder.join(format!("shim-{running}"));
    let files = root().join("tests/boundary/shim");
    let include = |below: &str| source.folder.join("src").join(below);
    run(Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Werror", "-Wno-unused-function"])
        .args(SANITIZE.split(' '))
        // The shim looks for functions by name in the process.
        .arg("-rdynamic")
        .arg("-include")
        .arg(config(source, folder))
        .arg("-D_GNU_SOURCE")
        .args([
            format!("-DTEST_ABI={}", source.abi),
            format!("-DTEST_RUNNING={running}"),
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-isystem")
        .arg(include("libstrongswan"))
        .arg("-isystem")
        .arg(include("libcharon"))
        .args([files.join("main.c"), files.join("charon.c")])
        .arg(library)
        .args(["-lpthread", "-ldl", "-lm", "-lgcc_s"])
        .arg("-o")
        .arg(&program));
    program
}

fn case(program: &Path, name: &str) -> Result<(), String> {
    let output = Command::new(program)
        .current_dir(program.parent().expect("a folder"))
        .arg(name)
        .env(
            "ASAN_OPTIONS",
            format!("detect_leaks=1:exitcode={SANITIZER}"),
        )
        .env("UBSAN_OPTIONS", "print_stacktrace=1")
        .output()
        .map_err(|error| error.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && stdout.trim_end() == format!("passed {name}") {
        return Ok(());
    }
    Err(format!(
        "{} {name}: {}\n{stdout}\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

#[test]
#[ignore = "needs a source of strongSwan; cargo xtask test provides it"]
fn the_shim_for_each_strongswan() {
    let mut failures = Vec::new();
    for source in sources() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("shim")
            .join(&source.version);
        std::fs::create_dir_all(&folder).expect("a folder for the program");
        let library = shim(&source, &folder);
        let own = program(&source, &folder, &library, source.abi);
        let symbols = run(Command::new("nm").arg(&own)).stdout;
        let symbols = String::from_utf8_lossy(&symbols).into_owned();
        for needed in [
            "__asan_init",
            "__ubsan_handle",
            " t kernel_fastswan_ipsec_create",
        ] {
            assert!(symbols.contains(needed), "no {needed} in {}", own.display());
        }
        let listed = Command::new(&own)
            .output()
            .expect("the program runs")
            .stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        assert!(listed.lines().count() >= 13, "{listed}");
        failures.extend(listed.lines().filter_map(|name| case(&own, name).err()));
        // Built for one class, loaded by another: what 6.0.0 to 6.0.2 do not check themselves.
        for running in (1..=4).filter(|running| *running != source.abi) {
            let program = program(&source, &folder, &library, running);
            failures.extend(case(&program, "version").err());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
