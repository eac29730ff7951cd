// SPDX-License-Identifier: GPL-2.0-or-later
//! The packages on a gateway: installed, enabled, upgraded, paired wrongly, removed.
//!
//! Owns what must hold of a machine in each of these. The packages are those of debian; the machine is a clean root with
//! the distribution's charon-systemd, with a network of its own. `package` calls it. It must not build anything. What
//! needs real tunnels is in the virtual machine (`package --lab`), since a root shares this machine's kernel.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, Check, check, debian,
    roots::{Clean, Kind, ensure_root},
    says,
};
use crate::{
    cache::remove,
    kernels::Series,
    lab::{self, Plugin},
    results::Ended,
    roots::Release,
    run::{command, logged},
};

/// Shell functions for the scripts below: a charon with a log of its own, a connection whose trap policies can be seen.
const HELPERS: &str = r#"
conf=/etc/strongswan.d/charon/kernel-fastswan.conf
ip addr add 10.9.0.1/32 dev lo
cat >/etc/swanctl/conf.d/trap.conf <<-CONF
	connections {
		site {
			local_addrs = 10.9.0.1
			remote_addrs = 10.9.0.2
			local {
				auth = psk
				id = moon
			}
			remote {
				auth = psk
				id = sun
			}
			children {
				net {
					local_ts = 10.1.0.0/16
					remote_ts = 10.2.0.0/16
					start_action = trap
				}
			}
		}
	}
	secrets {
		ike {
			secret = only-for-this-test
		}
	}
CONF
# start NAME: charon-systemd with the settings that are installed, its log in /tmp/NAME.log
start() {
	log=/tmp/$1.log
	cat >/tmp/strongswan.conf <<-CONF
		include /etc/strongswan.conf
		charon-systemd {
			filelog {
				test {
					path = $log
					flush_line = yes
				}
			}
		}
	CONF
	rm -f /run/charon.vici
	STRONGSWAN_CONF=/tmp/strongswan.conf /usr/sbin/charon-systemd &
	charon=$!
	for _ in $(seq 300); do
		! [ -S /run/charon.vici ] || ! grep -qs 'spawning' "$log" || break
		sleep 0.2
	done
	cat "$log"
	swanctl --load-all
	# an upgrade, a removal or a foreign plugin must not have cost the tunnel
	policies
}
stop() {
	kill "$charon"
	wait "$charon" || true
}
policies() { ip xfrm policy | grep -q '^src 10.1.0.0/16 dst 10.2.0.0/16'; }
same_charon() { kill -0 "$charon"; policies; }
"#;

/// Everything that is done with packages on a machine.
pub(super) fn proof(bench: &Bench<'_>, release: Release) -> Result<Vec<Check>> {
    let other = match release {
        Release::Trixie => Release::Sid,
        Release::Sid => Release::Trixie,
    };
    let own = debian::debs(bench, release)?;
    let root = ensure_root(bench.cache, Kind::Gateway, release)?;
    let fresh = |name: &str| -> Result<Clean> {
        let clean = Clean::new(&root, &bench.dir.join(format!("gateway-{release}/{name}")))?;
        let folder = clean.share().join("own");
        fs::create_dir_all(&folder).context("cannot create a folder for the packages")?;
        for deb in &own {
            copy(deb, &folder)?;
        }
        Ok(clean)
    };
    let install = "apt-get install -y --no-install-recommends /mnt/own/*.deb";
    let mut checks = Vec::new();

    let clean = fresh("life")?;
    checks.push(check("installs beside charon-systemd, loads nothing, says so", || {
        let text = clean.run(
            "install",
            &format!(
                "{install}\ngrep -q '^    load = no$' /etc/strongswan.d/charon/kernel-fastswan.conf\n\
                 cmp /etc/strongswan.d/charon/kernel-fastswan.conf \
                 /usr/share/strongswan/templates/config/plugins/kernel-fastswan.conf\n\
                 fastswanctl --version\n{HELPERS}\nstart as-installed\n! grep kernel-fastswan /tmp/as-installed.log\nstop"
            ),
        )?;
        says(&text, "kernel-fastswan is installed but not loaded")
    }));
    checks.push(check("load = 2 is all it takes", || {
        let text = clean.run(
            "enable",
            &format!("{HELPERS}\nsed -i 's/load = no/load = 2/' $conf\nstart enabled\nstop"),
        )?;
        says(
            &text,
            &format!(
                "kernel-fastswan {} for strongSwan {} is active",
                bench.version,
                release.strongswan()
            ),
        )
    }));
    checks.push(check("an upgrade of the plugin restarts no charon, keeps settings and policies", || {
        let text = clean.run(
            "upgrade",
            &format!(
                "{HELPERS}\nstart before\n\
                 dpkg-deb -R /mnt/own/strongswan-kernel-fastswan_*.deb /tmp/next\n\
                 sed -i 's/^Version: .*/&+next/' /tmp/next/DEBIAN/control\ndpkg-deb -b /tmp/next /tmp/next.deb\n\
                 apt-get install -y /tmp/next.deb\nsame_charon\ngrep -q '^    load = 2$' $conf\nstop\n\
                 start after\nstop\ndpkg-query -W strongswan-kernel-fastswan | grep next"
            ),
        )?;
        says(&text, "A running charon uses the kernel-fastswan it was started with")?;
        says(&text, "is active")
    }));
    checks.push(check("strongSwan is not upgraded from under the plugin", || {
        // A package of nothing but the name and a newer version stands for the next upload.
        let text = clean.refused(
            "strongswan first",
            "mkdir -p /tmp/n/DEBIAN && printf 'Package: libstrongswan\\nVersion: 99-1\\nArchitecture: amd64\\n\
             Maintainer: test <test@localhost>\\nDescription: next upload\\n' >/tmp/n/DEBIAN/control\n\
             dpkg-deb -b /tmp/n /tmp/n.deb\napt-get install -y --no-remove /tmp/n.deb",
        )?;
        says(&text, "strongswan-kernel-fastswan")
    }));
    checks.push(check("removed under a running charon, the next one uses kernel-netlink and says why", || {
        let text = clean.run(
            "remove",
            &format!(
                "{HELPERS}\nstart running\napt-get remove -y strongswan-kernel-fastswan\nsame_charon\nstop\n\
                 start gone\nstop"
            ),
        )?;
        says(&text, "A running charon goes on with kernel-fastswan")?;
        says(&text, "plugin 'kernel-fastswan': failed to load")
    }));
    checks.push(check("purged, nothing is behind", || {
        let text = clean.run(
            "purge",
            "apt-get purge -y strongswan-kernel-fastswan fastswanctl\n\
             find / -xdev -iname '*fastswan*' ! -path '/mnt/*' ! -path '/proc/*' ! -path '/var/log/*' | tee /tmp/left\n\
             test ! -s /tmp/left",
        )?;
        ensure!(text.contains("Purging"), "nothing was purged:\n{text}");
        Ok(())
    }));
    drop(clean);

    checks.push(check("autopkgtest", || {
        let clean = fresh("autopkgtest")?;
        logged(
            command("cp")
                .arg("-a")
                .arg(bench.repo.root.join("debian"))
                .arg(clean.share()),
            &bench.dir.join("autopkgtest.log"),
        )?;
        let text = clean.run(
            "autopkgtest",
            &format!(
                "{install}\nmkdir -p /tmp/tree && cp -a /mnt/debian /tmp/tree\n\
                 cd /tmp/tree && autopkgtest --no-built-binaries --ignore-restrictions=isolation-container \
                 --user=root /tmp/tree -- null"
            ),
        )?;
        says(&text, "loads                PASS")?;
        says(&text, "doctor               PASS")
    }));

    checks.push(check(format!("the plugin of {other} is refused by apt"), || {
        let clean = fresh("relation")?;
        foreign(bench, &clean, other)?;
        let text = clean.refused(
            "relation",
            "apt-get install -y --no-install-recommends /mnt/other/strongswan-kernel-fastswan_*.deb",
        )?;
        says(&text, "Depends: libstrongswan (= ")
    }));
    checks.push(check(format!("the plugin of {other}, put in place by force, is refused by name and charon runs on"), || {
        let clean = fresh("forced")?;
        foreign(bench, &clean, other)?;
        let text = clean.run(
            "forced",
            &format!(
                "{install}\ndpkg-deb -x /mnt/other/strongswan-kernel-fastswan_*.deb /tmp/x\n\
                 cp /tmp/x/usr/lib/ipsec/plugins/*.so /usr/lib/ipsec/plugins/\n{HELPERS}\n\
                 sed -i 's/load = no/load = 2/' $conf\nstart forced\n! grep 'is active' /tmp/forced.log\nstop"
            ),
        )?;
        match release {
            // Before 6.0.3 charon compares nothing; this is the plugin's own line.
            Release::Trixie => says(&text, "kernel-fastswan was built for strongSwan 6.1.0, but this is one of 6.0.0 and 6.0.1"),
            Release::Sid => says(&text, "plugin version 6.0.1 doesn't match version 6.1.0"),
        }
    }));
    Ok(checks)
}

/// Adds the packages of the other suite.
fn foreign(bench: &Bench<'_>, clean: &Clean, other: Release) -> Result<()> {
    let folder = clean.share().join("other");
    fs::create_dir_all(&folder).context("cannot create a folder for the other packages")?;
    for deb in debian::debs(bench, other)? {
        copy(&deb, &folder)?;
    }
    Ok(())
}

fn copy(deb: &Path, into: &Path) -> Result<()> {
    let name = deb.file_name().context("a package without a name")?;
    fs::copy(deb, into.join(name)).with_context(|| format!("cannot copy {}", deb.display()))?;
    Ok(())
}

/// One scenario of each main kind; all of them are run with the plugin as built by `test`.
const SCENARIOS: &[&str] = &[
    "tunnel-v4",
    "tunnel-v6",
    "transport",
    "crypto",
    "trap",
    "rekey-child",
    "refused-by-nic",
    "restart",
];

/// What AppArmor's profiles are made of, in a root that has the package.
const APPARMOR: &[&str] = &[
    "usr/sbin/apparmor_parser",
    "usr/share/apparmor-features",
    "etc/apparmor",
    "etc/apparmor.d/abi",
    "etc/apparmor.d/abstractions",
    "etc/apparmor.d/tunables",
];

/// The lab's main scenarios from the installed packages, with the distribution's profile of charon enforced.
pub(super) fn lab(bench: &Bench<'_>, release: Release) -> Result<Vec<Check>> {
    let root = ensure_root(bench.cache, Kind::Gateway, release)?;
    let folder = bench.dir.join(format!("lab-{release}/packages"));
    remove(&folder)?;
    let debs = folder.join("debs");
    fs::create_dir_all(&debs).with_context(|| format!("cannot create {}", debs.display()))?;
    for deb in debian::debs(bench, release)? {
        copy(&deb, &debs)?;
    }
    for path in APPARMOR {
        let to = folder.join("apparmor").join(path);
        let above = to.parent().context("a path without a folder")?;
        fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
        logged(
            command("cp")
                .arg("-a")
                .arg(root.tree().join(path))
                .arg(above),
            &bench.dir.join("apparmor.log"),
        )?;
    }
    let verdicts = lab::run(
        bench.repo,
        bench.cache,
        &lab::Run {
            names: SCENARIOS.iter().map(|&name| name.to_owned()).collect(),
            lane: 0,
            kernel: Series::New,
            plugin: Plugin::KernelFastswan,
            release,
            verbose: false,
            keep: false,
            packages: Some(folder),
        },
    )?;
    Ok(verdicts
        .into_iter()
        .map(|verdict| {
            check(verdict.name.clone(), || {
                ensure!(verdict.ended == Ended::Passed, "{}", verdict.why);
                Ok(())
            })
        })
        .collect())
}
