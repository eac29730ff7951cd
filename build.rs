// SPDX-License-Identifier: GPL-2.0-or-later
//! Build of what is not Rust.
//!
//! Owns two things: the Rust view of `include/fastswan.h`, which every build needs and which needs
//! neither strongSwan nor root; and, with feature `plugin`, the C shim, which is compiled against
//! the source of the strongSwan that is to load it. Must not download anything.
//!
//! Environment, for feature `plugin`:
//!
//! * `FASTSWAN_STRONGSWAN_SRC`: an unpacked source of strongSwan (6.0.0 or later). It need not be
//!   configured or built: libcharon's headers are never installed, and of the result of a
//!   configure run they need no more than a few lines.
//! * `FASTSWAN_STRONGSWAN_CONFIG`: the config.h to use, if it is not `config.h` in that folder.
//!   Without either, one is written here, with the settings of Debian's package.
//! * `FASTSWAN_STRONGSWAN_HEADERS`: instead of the source, its headers in one tree with their
//!   config.h (packaging/strongswan-headers.sh makes one).
//!
//! Which version's structs the shim meets is asked of the compiler, member by member, and not
//! derived from the version number: distributions backport.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// What differs between the supported versions: name of the macro, and a C expression that
/// compiles where it is there. See strongswan-plugin/kernel_fastswan_version.h.
const PROBES: &[(&str, &str)] = &[
    (
        "FASTSWAN_HAVE_SA_SEQ",
        "offsetof(kernel_ipsec_add_sa_t, seq)",
    ),
    (
        "FASTSWAN_HAVE_SA_CPU",
        "offsetof(kernel_ipsec_add_sa_t, cpu)",
    ),
    (
        "FASTSWAN_HAVE_SA_IPTFS_DONT_FRAG",
        "offsetof(kernel_ipsec_add_sa_t, iptfs_dont_frag)",
    ),
    (
        "FASTSWAN_HAVE_SA_FORWARD_ICMP",
        "offsetof(kernel_ipsec_add_sa_t, forward_icmp)",
    ),
    (
        "FASTSWAN_HAVE_UPDATE_OLD_REQID",
        "offsetof(kernel_ipsec_update_sa_t, old_reqid)",
    ),
    (
        "FASTSWAN_HAVE_POLICY_PCPU_ACQUIRES",
        "offsetof(kernel_ipsec_manage_policy_t, pcpu_acquires)",
    ),
    (
        "FASTSWAN_HAVE_POLICY_FORWARD_ICMP",
        "offsetof(kernel_ipsec_manage_policy_t, forward_icmp)",
    ),
    (
        "FASTSWAN_HAVE_ACQUIRE_CPU",
        "offsetof(kernel_acquire_data_t, cpu)",
    ),
    (
        "FASTSWAN_HAVE_ACQUIRE_SEQ",
        "offsetof(kernel_acquire_data_t, seq)",
    ),
    ("FASTSWAN_HAVE_FEATURE_ACQUIRE_SEQ", "KERNEL_ACQUIRE_SEQ"),
    ("FASTSWAN_HAVE_MODE_IPTFS", "MODE_IPTFS"),
    ("FASTSWAN_HAVE_DBG_WCH", "DBG_WCH"),
];

/// Expressions that must compile in every version: if one does not, the source is not one this
/// shim can be built for, and the probes above would mean nothing.
const REQUIRED: &str = "offsetof(kernel_ipsec_add_sa_t, hw_offload) + \
                        offsetof(kernel_ipsec_policy_id_t, label) + KERNEL_SA_USE_TIME";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=include");
    contract(&root, &out);
    // charon dlopens with RTLD_NODELETE; for a host that does not: thread-local destructors of the
    // Rust runtime must not outlive the code.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    if env::var_os("CARGO_FEATURE_PLUGIN").is_some() {
        println!("cargo:rerun-if-changed=strongswan-plugin");
        println!("cargo:rerun-if-env-changed=FASTSWAN_STRONGSWAN_SRC");
        println!("cargo:rerun-if-env-changed=FASTSWAN_STRONGSWAN_HEADERS");
        println!("cargo:rerun-if-env-changed=FASTSWAN_STRONGSWAN_CONFIG");
        shim(&root, &out);
    }
}

/// Ends the build with one line that says what is wrong and what to do. For cargo the line alone is
/// the failure; a status other than 0 would bury it under all that this script has printed.
fn fail(text: &str) -> ! {
    println!("cargo::error={}", text.replace('\n', " "));
    exit(0)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

/// Rust view of include/fastswan.h, with the layout of each struct asserted at compile time.
fn contract(root: &Path, out: &Path) {
    let header = root.join("include/fastswan.h");
    let file = out.join("fastswan.rs");
    if let Err(error) = bindings(root, &header, &file) {
        fail(&error);
    }
}

#[cfg(feature = "bindgen")]
fn bindings(_root: &Path, header: &Path, file: &Path) -> Result<(), String> {
    bindgen::Builder::default()
        .header(header.display().to_string())
        .clang_arg("-std=gnu11")
        .allowlist_type("fs_.*")
        .allowlist_var("FS_.*|FASTSWAN_.*")
        .prepend_enum_name(false)
        .derive_default(true)
        .layout_tests(true)
        .use_core()
        .generate()
        .map_err(|error| format!("bindgen cannot read {}: {error}", header.display()))?
        .write_to_file(file)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// What bindgen made of it when the release was packed, on a 64-bit machine. The layout of each struct is asserted in
/// it, so a machine it does not fit fails to build.
#[cfg(not(feature = "bindgen"))]
fn bindings(root: &Path, _header: &Path, file: &Path) -> Result<(), String> {
    let made = root.join("include/bindings.rs");
    fs::copy(&made, file).map(drop).map_err(|error| {
        format!(
            "cannot copy {}: {error}; only a release has it, elsewhere build with feature bindgen",
            made.display()
        )
    })
}

/// The C shim, compiled for one strongSwan.
fn shim(root: &Path, out: &Path) {
    let strongswan = Strongswan::find(out);
    println!(
        "cargo:rustc-env=FASTSWAN_STRONGSWAN_VERSION={}",
        strongswan.version
    );
    let folder = root.join("strongswan-plugin");
    let mut build = strongswan.compiler(root);
    build
        .file(folder.join("kernel_fastswan_plugin.c"))
        .file(folder.join("kernel_fastswan_ipsec.c"))
        .file(folder.join("kernel_fastswan_host.c"))
        .file(folder.join("kernel_fastswan_convert.c"))
        .file(folder.join("kernel_fastswan_version.c"))
        .file(folder.join("kernel_fastswan_xfrmi.c"))
        .warnings_into_errors(true)
        .extra_warnings(true)
        // What strongSwan's METHOD and INIT make of any object.
        .flag("-Wno-unused-parameter")
        .flag("-Wno-missing-field-initializers")
        .flag("-Wno-sign-compare")
        .flag("-fvisibility=hidden");
    for name in strongswan.probe(root, out) {
        build.define(name, None);
    }
    build.compile("fastswan_shim");
}

/// A strongSwan to build for.
struct Strongswan {
    /// Folders of libstrongswan's and of libcharon's headers.
    include: Vec<PathBuf>,
    config: PathBuf,
    version: String,
}

impl Strongswan {
    fn find(out: &Path) -> Self {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let config = set("FASTSWAN_STRONGSWAN_CONFIG");
        let found = match (
            set("FASTSWAN_STRONGSWAN_SRC"),
            set("FASTSWAN_STRONGSWAN_HEADERS"),
        ) {
            (Some(source), _) => Self::source(&source, config, out),
            (None, Some(headers)) => Self::headers(headers, config),
            (None, None) => fail(
                "feature plugin needs FASTSWAN_STRONGSWAN_SRC=DIR, an unpacked source of the \
                 strongSwan that is to load the plugin (`apt-get source strongswan`)",
            ),
        };
        println!("cargo:rerun-if-changed={}", found.config.display());
        // One that is not there would count as changed, and everything be built anew each time.
        for folder in found.include.iter().map(|folder| folder.join("kernel")) {
            if folder.is_dir() {
                println!("cargo:rerun-if-changed={}", folder.display());
            }
        }
        let text = fs::read_to_string(&found.config).unwrap_or_else(|error| {
            fail(&format!("cannot read {}: {error}", found.config.display()))
        });
        // What charon compares with is VERSION of its own config.h.
        match defined_version(&text) {
            Some(configured) if configured == found.version => {}
            Some(configured) => fail(&format!(
                "{} is of strongSwan {configured}, but the headers are of {}",
                found.config.display(),
                found.version
            )),
            None => fail(&format!(
                "{} does not define VERSION",
                found.config.display()
            )),
        }
        found
    }

    /// An unpacked source, configured or not.
    fn source(source: &Path, config: Option<PathBuf>, out: &Path) -> Self {
        let shown = source.display();
        for file in [
            "configure.ac",
            "src/libstrongswan/library.h",
            "src/libcharon/kernel/kernel_ipsec.h",
        ] {
            if !source.join(file).is_file() {
                fail(&format!(
                    "FASTSWAN_STRONGSWAN_SRC={shown} is not an unpacked source of strongSwan: it \
                     has no {file}"
                ));
            }
        }
        let Some(version) = version_of_source(&source.join("configure.ac")) else {
            fail(&format!(
                "{shown}/configure.ac does not name strongSwan's version"
            ));
        };
        println!("cargo:rerun-if-changed={shown}/configure.ac");
        let config = match config {
            Some(config) => config,
            None if source.join("config.h").is_file() => source.join("config.h"),
            None => generated_config(out, &version),
        };
        Self {
            include: vec![
                source.join("src/libstrongswan"),
                source.join("src/libcharon"),
            ],
            config,
            version,
        }
    }

    /// Both libraries' headers in one tree; their version is only in config.h.
    fn headers(headers: PathBuf, config: Option<PathBuf>) -> Self {
        for file in ["library.h", "daemon.h", "kernel/kernel_ipsec.h"] {
            if !headers.join(file).is_file() {
                fail(&format!(
                    "FASTSWAN_STRONGSWAN_HEADERS={} has no {file}: it needs the headers of \
                     libstrongswan and of libcharon in one tree",
                    headers.display()
                ));
            }
        }
        let config = config.unwrap_or_else(|| headers.join("config.h"));
        let text = fs::read_to_string(&config).unwrap_or_default();
        let Some(version) = defined_version(&text) else {
            fail(&format!(
                "{} is not there or does not define VERSION",
                config.display()
            ));
        };
        Self {
            version: version.to_owned(),
            include: vec![headers],
            config,
        }
    }

    fn compiler(&self, root: &Path) -> cc::Build {
        let mut build = cc::Build::new();
        build.std("gnu11").include(root.join("include"));
        for folder in &self.include {
            // Not our code: its warnings are not ours either.
            build.flag("-isystem").flag(folder);
        }
        build.flag("-include").flag(&self.config);
        build
    }

    /// Names of the macros of [`PROBES`] that hold for this source.
    fn probe(&self, root: &Path, out: &Path) -> Vec<&'static str> {
        let compiler = self.compiler(root).get_compiler();
        let compiles = |expression: &str| {
            let file = out.join("probe.c");
            let text = format!(
                "#include <stddef.h>\n#include <daemon.h>\n#include <kernel/kernel_ipsec.h>\n\
                 #include <kernel/kernel_listener.h>\nunsigned long probe = {expression};\n"
            );
            if let Err(error) = fs::write(&file, text) {
                fail(&format!("cannot write {}: {error}", file.display()));
            }
            let mut command: Command = compiler.to_command();
            command.arg("-fsyntax-only").arg(&file);
            match command.output() {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => fail(&format!("cannot run the C compiler: {error}")),
            }
        };
        if let Err(text) = compiles(REQUIRED) {
            let reason = text
                .lines()
                .find(|line| line.contains("error"))
                .unwrap_or("");
            fail(&format!(
                "the headers of strongSwan {} in {} do not compile or are of a version before \
                 6.0.0: {reason}",
                self.version,
                self.include[0].display()
            ));
        }
        let holds = |(_, expression): &&(&str, &str)| compiles(expression).is_ok();
        PROBES.iter().filter(holds).map(|(name, _)| *name).collect()
    }
}

/// `AC_INIT([strongSwan],[6.0.1])`
fn version_of_source(configure: &Path) -> Option<String> {
    let text = fs::read_to_string(configure).ok()?;
    let line = text.lines().find(|line| line.starts_with("AC_INIT("))?;
    let version = line.split(['[', ']']).nth(3)?;
    let sane = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    (!version.is_empty() && version.chars().all(sane)).then(|| version.to_owned())
}

/// `#define VERSION "6.0.1"`
fn defined_version(config: &str) -> Option<&str> {
    let value = config
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("#define VERSION "))?;
    value.trim().strip_prefix('"')?.strip_suffix('"')
}

/// A config.h with what the headers refuse to do without. `ME` is the one option that changes a
/// struct in our reach (`daemon_t`, behind the members that the shim uses); Debian sets it.
fn generated_config(out: &Path, version: &str) -> PathBuf {
    let file = out.join("config.h");
    let text = format!(
        "#ifndef CONFIG_H_INCLUDED\n#define CONFIG_H_INCLUDED\n#define VERSION \"{version}\"\n\
         #define PACKAGE_VERSION \"{version}\"\n#define ME 1\n#define HAVE_STDBOOL_H 1\n\
         #define HAVE_SIGWAITINFO 1\n#define HAVE_GCC_ATOMIC_OPERATIONS 1\n\
         #define HAVE_PRINTF_SPECIFIER 1\n#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n#endif\n"
    );
    if let Err(error) = fs::write(&file, text) {
        fail(&format!("cannot write {}: {error}", file.display()));
    }
    file
}
