// SPDX-License-Identifier: GPL-2.0-or-later
//! The boundary to C, called the way the shim never should.
//!
//! Builds the library as a static one with feature `boundary` (the core stands on a model of the
//! kernel), links the C program in `tests/boundary/` to it with AddressSanitizer,
//! UndefinedBehaviorSanitizer and LeakSanitizer, and runs each of its cases in a process of its
//! own. Must not be able to pass without the sanitizers: their presence in the program is checked.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What a case ends with if a sanitizer found something; the program itself uses 1 and 2.
const SANITIZER: i32 = 99;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of our own in the target folder.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boundary");
    std::fs::create_dir_all(&folder).expect("a folder for the boundary program");
    folder
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The library with feature `boundary`. It is built where this test was built, so that nothing but
/// the library itself is compiled once more.
fn library() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .current_dir(root())
        .args(["rustc", "--quiet", "--lib", "--crate-type", "staticlib"])
        .args(["--features", "boundary"])
        .arg("--target-dir")
        .arg(&target))?;
    let library = folder().join("libfastswan.a");
    std::fs::copy(target.join("debug/libfastswan.a"), &library)
        .map_err(|error| format!("no library in {}: {error}", target.display()))?;
    Ok(library)
}

/// The program, built once per run of the tests; what failed, also only once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAM.get_or_init(build) {
        Ok(program) => program,
        Err(error) => panic!("{error}"),
    }
}

fn build() -> Result<PathBuf, String> {
    let program = folder().join("boundary");
    let sources = root().join("tests/boundary");
    let files = [
        "main.c",
        "samples.c",
        "host.c",
        "valid.c",
        "hostile.c",
        "garbage.c",
        "behaviour.c",
    ];
    run(Command::new("gcc")
        .args(["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg("-fno-omit-frame-pointer")
        .arg("-I")
        .arg(root().join("include"))
        .args(files.map(|file| sources.join(file)))
        .arg(library()?)
        .args(["-lpthread", "-ldl", "-lm", "-lgcc_s"])
        .arg("-o")
        .arg(&program))?;
    Ok(program)
}

fn symbols(of: &Path, flags: &[&str]) -> String {
    let output = run(Command::new("nm").args(flags).arg(of)).expect("nm");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn case(name: &str) {
    let options = format!(
        "detect_leaks=1:exitcode={SANITIZER}:abort_on_error=0:detect_stack_use_after_return=1"
    );
    let output = Command::new(program())
        .arg(name)
        .env("ASAN_OPTIONS", options)
        .env("UBSAN_OPTIONS", "print_stacktrace=1")
        .output()
        .expect("the boundary program runs");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && stdout.trim_end() == format!("passed {name}"),
        "{name}: {}\n{stdout}\n{stderr}",
        output.status
    );
}

#[test]
fn the_program_is_sanitized() {
    let symbols = symbols(program(), &[]);
    for needed in ["__asan_init", "__asan_report_load", "__ubsan_handle"] {
        assert!(symbols.contains(needed), "no {needed} in the program");
    }
}

#[test]
fn the_sanitizer_ends_a_case_that_leaks() {
    // Not a case of the program: proof that a leak would be seen on this machine at all, which it
    // is not where a debugger or seccomp keeps LeakSanitizer from stopping threads.
    let source = folder().join("leak.c");
    let program = folder().join("leak");
    let text = "#include <stdlib.h>\nvoid *volatile keep;\n\
                int main(void) { keep = malloc(7); keep = 0; return 0; }\n";
    std::fs::write(&source, text).expect("a source file");
    run(Command::new("gcc")
        .args(["-g", "-O0", "-fsanitize=address"])
        .arg(&source)
        .arg("-o")
        .arg(&program))
    .expect("a program that leaks");
    let output = Command::new(&program)
        .env(
            "ASAN_OPTIONS",
            format!("detect_leaks=1:exitcode={SANITIZER}"),
        )
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(SANITIZER), "{output:?}");
}

#[test]
fn every_case_of_the_program_is_run() {
    let output = Command::new(program()).output().expect("the program runs");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let this = include_str!("boundary.rs");
    let mut count = 0;
    for name in listed.lines() {
        assert!(
            this.contains(&format!("case(\"{name}\")")),
            "case {name} of the program is not run"
        );
        count += 1;
    }
    assert!(count >= 11, "{listed}");
}

#[test]
fn what_charon_does_on_a_good_day() {
    case("valid");
}

#[test]
fn a_shim_of_another_contract_gets_no_instance() {
    case("create");
}

#[test]
fn null_for_each_pointer_in_turn() {
    case("null");
}

#[test]
fn numbers_that_name_nothing() {
    case("enums");
}

#[test]
fn lengths_that_cannot_be() {
    case("lengths");
}

#[test]
fn families_that_do_not_fit() {
    case("families");
}

#[test]
fn structs_of_random_bytes() {
    case("garbage");
}

#[test]
fn all_methods_from_several_threads() {
    case("threads");
}

#[test]
fn a_bug_in_an_entry() {
    case("panic");
}

#[test]
fn no_key_in_the_log() {
    case("keys");
}

#[test]
fn sockets_that_charon_watches() {
    case("watch");
}
