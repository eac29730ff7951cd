// SPDX-License-Identifier: GPL-2.0-or-later
//! An apt of our own for suites the host does not follow.
//!
//! Owns the configuration, lists and downloads for trixie, trixie-security, trixie-backports and the sources of sid.
//! kernels, roots and sources call it. It takes the archive's address and apt's settings (proxy, date checks) from
//! the host's own apt and changes only the suite; it must not name a host, and it must not switch off a signature
//! check: packages come only with Debian's keys.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    cache::{Cache, write_whole},
    host,
    run::{command, logged, output},
    say,
};

/// Lists older than this are read again before something new is built from them.
const FRESH: Duration = Duration::from_secs(24 * 3600);
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The key file that a keyring knowing trixie has; older ones cannot verify it.
const TRIXIE_KEY: &str = "/usr/share/keyrings/debian-archive-trixie-automatic";

/// Our own apt, ready to answer.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    dir: PathBuf,
    cache: Cache,
}

/// Where the host gets its packages from.
struct Addresses {
    main: String,
    security: String,
}

impl Archive {
    /// Writes the configuration and reads the lists if they are older than a day (or `refresh`).
    ///
    /// The caller holds the cache's lock.
    pub(crate) fn open(cache: &Cache, refresh: bool) -> Result<Self> {
        let this = Self {
            dir: cache.path("apt"),
            cache: cache.clone(),
        };
        let stamp = this.dir.join("updated");
        let age = fs::metadata(&stamp)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        if !refresh && age.is_some_and(|age| age < FRESH) && this.sid_sources().exists() {
            return Ok(this);
        }
        ensure_keyring(cache)?;
        this.configure(&addresses(cache)?)?;
        say::step(
            "archive: reading the package lists of trixie, trixie-security, trixie-backports and sid (sources)",
        );
        let log = cache.log("apt-update");
        logged(
            &mut this.apt("apt-get", &["update", "-o", "APT::Update::Error-Mode=any"]),
            &log,
        )
        .context("the archive's package lists cannot be read")?;
        write_whole(&stamp, "")?;
        Ok(this)
    }

    /// `program` (apt-get, apt-cache) with our configuration.
    pub(crate) fn apt(&self, program: &str, args: &[&str]) -> Command {
        let mut command = command(program);
        command
            .args(args)
            .env("APT_CONFIG", self.dir.join("apt.conf"))
            .env("LC_ALL", "C");
        command
    }

    /// The sources list for a root of trixie, for mmdebstrap.
    pub(crate) fn trixie_sources(&self) -> PathBuf {
        self.dir.join("trixie.list")
    }

    /// The same for a root of sid.
    pub(crate) fn sid_sources(&self) -> PathBuf {
        self.dir.join("sid.list")
    }

    /// The host's `Acquire` settings as options for another apt.
    pub(crate) fn acquire_options(&self) -> Result<Vec<String>> {
        acquire_settings()
    }

    /// Versions of a binary package with the suite each comes from, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<(String, String)>> {
        let text = output(&mut self.apt("apt-cache", &["madison", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split('|').map(str::trim);
                let (name, version, origin) = (fields.next()?, fields.next()?, fields.next()?);
                let mut words = origin.split_whitespace();
                let suite = words.nth(1)?.split('/').next()?;
                (name == package && origin.ends_with("Packages"))
                    .then(|| (version.to_owned(), suite.to_owned()))
            })
            .collect())
    }

    /// Downloads binary packages into `into`; apt checks them against the signed lists.
    pub(crate) fn download(&self, packages: &[String], into: &Path, log: &str) -> Result<()> {
        fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
        let mut command = self.apt("apt-get", &["download"]);
        command.args(packages).current_dir(into);
        logged(&mut command, &self.cache.log(log))
    }

    fn configure(&self, from: &Addresses) -> Result<()> {
        for folder in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            let path = self.dir.join(folder);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let (main, security) = (&from.main, &from.security);
        let by = format!("[signed-by={KEYRING}]");
        write_whole(
            &self.dir.join("trixie.list"),
            format!("deb {by} {main} trixie main\ndeb {by} {security} trixie-security main\n"),
        )?;
        write_whole(
            &self.dir.join("sid.list"),
            format!("deb {by} {main} sid main\n"),
        )?;
        write_whole(
            &self.dir.join("etc/sources.list"),
            format!(
                "deb {by} {main} trixie main\n\
                 deb {by} {security} trixie-security main\n\
                 deb {by} {main} trixie-backports main\n\
                 deb-src {by} {security} trixie-security main\n\
                 deb-src {by} {main} sid main\n"
            ),
        )?;
        write_whole(&self.dir.join("state/status"), "")?;
        let mut conf = format!(
            "Dir \"{dir}\";\nDir::Etc \"{dir}/etc\";\nDir::Etc::parts \"{dir}/etc/apt.conf.d\";\n\
             Dir::State \"{dir}/state\";\nDir::State::status \"{dir}/state/status\";\nDir::Cache \"{dir}/cache\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n",
            dir = self.dir.display()
        );
        for setting in acquire_settings()? {
            if setting.contains("Check-Valid-Until") && setting.contains("false") {
                say::step(
                    "archive: this machine's apt does not check how old an archive's lists are; neither do we",
                );
            }
            conf.push_str(&setting);
            conf.push('\n');
        }
        write_whole(&self.dir.join("apt.conf"), conf)
    }
}

/// The host's settings that decide how and whether its archive can be reached.
fn acquire_settings() -> Result<Vec<String>> {
    let wanted = [
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
        "Acquire::Max-ValidTime",
    ];
    let dump = output(command("apt-config").arg("dump"))?;
    Ok(dump
        .lines()
        .filter(|line| {
            let key = line.split_whitespace().next().unwrap_or_default();
            wanted.contains(&key)
                || ((key.starts_with("Acquire::http") || key.starts_with("Acquire::ftp"))
                    && !line.ends_with(" \"\";")
                    && !key.ends_with("::"))
        })
        .map(str::to_owned)
        .collect())
}

/// Finds out which archive the host uses.
fn addresses(cache: &Cache) -> Result<Addresses> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned());
    let query = || {
        output(command("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(CODENAME) $(CREATED_BY) $(ORIGIN)",
        ]))
    };
    let find = |text: &str| {
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let pick = |accept: &dyn Fn(&str) -> bool| {
            rows.iter()
                .find(|row| {
                    row.len() == 4 && row[2] == "Packages" && row[3] == "Debian" && accept(row[1])
                })
                .map(|row| row[0].to_owned())
        };
        let main =
            pick(&|name| codename.as_deref().is_none_or(|own| own == name) && !name.contains('-'))?;
        let security = pick(&|name| name.ends_with("-security")).or_else(|| {
            // sid has no security suite of its own; the archives stand side by side.
            main.strip_suffix("/debian/")
                .map(|base| format!("{base}/debian-security/"))
        })?;
        Some(Addresses { main, security })
    };
    if let Some(found) = find(&query()?) {
        return Ok(found);
    }
    // A machine that never read its lists does not know code names yet.
    say::step(
        "host: reading the package lists (apt-get update) to learn which archive this machine uses",
    );
    host::update(cache)?;
    find(&query()?).ok_or_else(|| {
        anyhow!(
            "this machine's apt follows no Debian archive (asked: apt-get indextargets). \
             Add Debian's own suite to its sources, run apt-get update and start again"
        )
    })
}

/// Debian's keys must be new enough for trixie; anything else would mean to download unverified.
fn ensure_keyring(cache: &Cache) -> Result<()> {
    let known = || {
        ["gpg", "asc", "pgp"]
            .iter()
            .any(|end| Path::new(&format!("{TRIXIE_KEY}.{end}")).exists())
    };
    if known() {
        return Ok(());
    }
    say::step(
        "host: the archive keyring is too old for trixie, installing the newest one the host's apt offers",
    );
    host::update(cache)?;
    logged(
        command("apt-get")
            .args([
                "install",
                "-y",
                "-o",
                "DPkg::Lock::Timeout=600",
                "debian-archive-keyring",
            ])
            .env("DEBIAN_FRONTEND", "noninteractive"),
        &cache.log("host-keyring"),
    )?;
    if !known() {
        bail!(
            "debian-archive-keyring on this machine does not know trixie's keys and apt offers none that does. \
             Install a newer debian-archive-keyring package and start again; nothing is downloaded unverified"
        );
    }
    Ok(())
}
