// SPDX-License-Identifier: GPL-2.0-or-later
//! What files say about the kernel and its devices.
//!
//! Owns the reading of /proc, /sys, /boot and /usr/lib/modules. Called by `mod`. Every file is
//! optional: one that is missing or unreadable is an answer of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::facts::{Answer, Device, Module};

/// Options whose values are kept.
const OPTIONS: &[&str] = &[
    "XFRM_USER",
    "XFRM_OFFLOAD",
    "XFRM_STATISTICS",
    "XFRM_MIGRATE",
    "INET_ESP",
    "INET6_ESP",
    "INET_ESP_OFFLOAD",
    "INET6_ESP_OFFLOAD",
    "MLX5_CORE",
    "MLX5_CORE_EN",
    "MLX5_EN_IPSEC",
    "MLX5_CLS_ACT",
    "NET_TC_SKB_EXT",
    "NF_TABLES",
    "NFT_XFRM",
    "NFT_FIB_INET",
    "NFT_SOCKET",
    "NETFILTER_EGRESS",
];
/// Modules whose state is kept.
const MODULES: &[&str] = &[
    "xfrm_user",
    "esp4",
    "esp6",
    "esp4_offload",
    "esp6_offload",
    "mlx5_core",
];
/// Nothing that is read here is longer.
const LONGEST: u64 = 16 << 20;
/// What a board calls itself is at the start of its vital product data.
const VPD_MAX: u64 = 512;

/// The files below a root.
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn read(&self, name: &str) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.root.join(name))?
            .take(LONGEST)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One line, without its end.
    fn line(&self, name: &str) -> Option<String> {
        let text = self.read(name).ok()?;
        let line = text.lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// Name of what a link points at.
    fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.root.join(name)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    pub(super) fn release(&self) -> String {
        self.line("proc/sys/kernel/osrelease").unwrap_or_default()
    }

    pub(super) fn distribution(&self) -> String {
        let text = self.read("etc/os-release").unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("ID="))
            .map(|id| id.trim_matches('"').to_owned())
            .unwrap_or_default()
    }

    /// Whether this process has CAP_NET_ADMIN (bit 12 of the effective set).
    pub(super) fn net_admin(&self) -> bool {
        let text = self.read("proc/self/status").unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
            .is_some_and(|set| set & (1 << 12) != 0)
    }

    pub(super) fn config(&self) -> Answer<BTreeMap<String, String>> {
        let release = self.release();
        let mut places = vec![
            format!("boot/config-{release}"),
            format!("usr/lib/modules/{release}/config"),
            format!("lib/modules/{release}/config"),
        ];
        if release.is_empty() {
            places.clear();
        }
        for place in &places {
            if let Ok(text) = self.read(place) {
                return Answer::Known(options(&text));
            }
        }
        let packed = self.root.join("proc/config.gz");
        if packed.exists() {
            // gzip is part of every base system; a library for one file is not worth its weight.
            let unpacked = std::process::Command::new("gzip")
                .arg("-dc")
                .arg(&packed)
                .output();
            if let Ok(output) = unpacked
                && output.status.success()
            {
                return Answer::Known(options(&String::from_utf8_lossy(&output.stdout)));
            }
        }
        Answer::Unknown(format!(
            "there is no configuration of kernel {release}: neither /proc/config.gz nor /{}",
            places.join(" nor /")
        ))
    }

    pub(super) fn modules(&self) -> BTreeMap<String, Module> {
        let release = self.release();
        let loaded = self.read("proc/modules").unwrap_or_default();
        let folder = format!("lib/modules/{release}");
        let builtin = self
            .read(&format!("{folder}/modules.builtin"))
            .unwrap_or_default();
        let loadable = self
            .read(&format!("{folder}/modules.dep"))
            .unwrap_or_default();
        let listed = |text: &str, name: &str| {
            text.lines().any(|line| {
                let path = line.split(':').next().unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or_default();
                file.strip_prefix(name)
                    .is_some_and(|end| end.starts_with(".ko"))
            })
        };
        MODULES
            .iter()
            .map(|name| {
                let state = if loaded
                    .lines()
                    .any(|line| line.split(' ').next() == Some(name))
                {
                    Module::Loaded
                } else if listed(&builtin, name) {
                    Module::Builtin
                } else if listed(&loadable, name) {
                    Module::Loadable
                } else {
                    Module::Missing
                };
                ((*name).to_owned(), state)
            })
            .collect()
    }

    pub(super) fn forwarding(&self) -> bool {
        [
            "proc/sys/net/ipv4/ip_forward",
            "proc/sys/net/ipv6/conf/all/forwarding",
        ]
        .iter()
        .any(|name| self.line(name).is_some_and(|value| value != "0"))
    }

    pub(super) fn xfrm_stat(&self) -> Answer<BTreeMap<String, u64>> {
        Answer::from_result(
            self.read("proc/net/xfrm_stat")
                .map(|text| numbers(&text))
                .map_err(|error| format!("/proc/net/xfrm_stat: {error}")),
        )
    }

    pub(super) fn apparmor(&self) -> Answer<Option<String>> {
        if self
            .line("sys/module/apparmor/parameters/enabled")
            .is_none_or(|enabled| enabled != "Y")
        {
            return Answer::Known(None);
        }
        match self.read("sys/kernel/security/apparmor/profiles") {
            Ok(text) => Answer::Known(
                text.lines()
                    .find(|line| line.contains("ipsec/charon") || line.contains("charon-systemd"))
                    .map(str::to_owned),
            ),
            Err(error) => Answer::Unknown(format!("the list of profiles: {error}")),
        }
    }

    /// Its name and part number from the vital product data (PCI 2.2, appendix I). Root only; it is
    /// read through a register, so that no more is asked for than these two are in.
    fn product(&self, name: &str) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.root.join(name))
            .ok()?
            .take(VPD_MAX)
            .read_to_end(&mut bytes)
            .ok()?;
        product(&bytes)
    }

    /// Fills in what sysfs knows about a device.
    pub(super) fn complete(&self, device: &mut Device) {
        // The name came from the kernel; one with a slash would be another file.
        if device.name.contains('/') {
            return;
        }
        let base = format!("sys/class/net/{}/device", device.name);
        if device.driver.is_none() {
            device.driver = self.link(&format!("{base}/driver"));
        }
        let id = |name: &str| {
            self.line(&format!("{base}/{name}"))
                .map(|value| value.trim_start_matches("0x").to_owned())
        };
        device.pci = id("vendor").zip(id("device"));
        device.address = self.link(&base);
        if device.driver.as_deref() == Some("mlx5_core") {
            device.product = self.product(&format!("{base}/vpd"));
        }
        device.is_vf = self.root.join(&base).join("physfn").exists();
        device.vfs = self
            .line(&format!("{base}/sriov_numvfs"))
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
    }
}

/// The identifier string of vital product data, and the part number behind it.
fn product(mut vpd: &[u8]) -> Option<String> {
    /// Large resources: identifier string, and read-only data.
    const IDENTIFIER: u8 = 0x82;
    const READ_ONLY: u8 = 0x90;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_matches(['\0', ' ']).to_owned()
    };
    let mut found = Vec::new();
    while let [tag @ (IDENTIFIER | READ_ONLY), low, high, rest @ ..] = vpd {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (data, behind) = rest.split_at(length);
        vpd = behind;
        if *tag == IDENTIFIER {
            found.push(text(data));
            continue;
        }
        let mut fields = data;
        while let [one, two, length, rest @ ..] = fields {
            let (value, behind) = rest.split_at(usize::from(*length).min(rest.len()));
            if [*one, *two] == *b"PN" {
                found.push(text(value));
            }
            fields = behind;
        }
    }
    found.retain(|text| !text.is_empty());
    (!found.is_empty()).then(|| found.join(", "))
}

/// The options of interest in a configuration file.
fn options(text: &str) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for line in text.lines() {
        let set = line
            .strip_prefix("CONFIG_")
            .and_then(|line| line.split_once('='));
        let unset = line
            .strip_prefix("# CONFIG_")
            .and_then(|line| line.strip_suffix(" is not set"))
            .map(|name| (name, "n"));
        if let Some((name, value)) = set.or(unset)
            && OPTIONS.contains(&name)
        {
            options.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    options
}

/// Lines of a name and a number.
fn numbers(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(char::is_whitespace)?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_named_by_its_vital_product_data() {
        let name = b"ConnectX-6 Dx EN adapter card, Crypto and Secure Boot";
        let mut vpd = vec![0x82, name.len() as u8, 0];
        vpd.extend(name);
        let fields = b"PN\x0fMCX623106AC-CDAEC\x02A5RV\x01\0";
        vpd.extend([0x90, fields.len() as u8, 0]);
        vpd.extend(fields);
        vpd.push(0x78);
        assert_eq!(
            product(&vpd).as_deref(),
            Some("ConnectX-6 Dx EN adapter card, Crypto and Secure Boot, MCX623106AC-CDA")
        );
        // Cut off anywhere it is less, and nothing worse.
        for end in 0..vpd.len() {
            let _ = product(&vpd[..end]);
        }
        assert_eq!(product(&[0x82, 255, 255]), None);
        assert_eq!(product(&[0xff; 64]), None);
    }

    #[test]
    fn configurations_are_read() {
        let found = options(
            "CONFIG_XFRM_OFFLOAD=y\n# CONFIG_MLX5_EN_IPSEC is not set\nCONFIG_FOO=y\n\
             CONFIG_INET_ESP_OFFLOAD=m\n# CONFIG_NET_TC_SKB_EXT is not sets\n",
        );
        let value = |name: &str| found.get(name).map(String::as_str);
        assert_eq!(value("XFRM_OFFLOAD"), Some("y"));
        assert_eq!(value("MLX5_EN_IPSEC"), Some("n"));
        assert_eq!(value("INET_ESP_OFFLOAD"), Some("m"));
        assert_eq!(value("FOO"), None);
        assert_eq!(value("NET_TC_SKB_EXT"), None);
    }

    #[test]
    fn counters_are_read() {
        let found = numbers("XfrmInError             \t0\nXfrmOutError   12\ngarbage\nX y\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found["XfrmOutError"], 12);
    }

    #[test]
    fn a_machine_without_files_is_a_machine() {
        let files = Files::new(Path::new("/nonexistent"));
        assert!(files.config().known().is_none());
        assert!(files.xfrm_stat().known().is_none());
        assert_eq!(files.apparmor(), Answer::Known(None));
        assert_eq!(files.modules()["xfrm_user"], Module::Missing);
        assert!(!files.net_admin() && !files.forwarding());
        let mut device = Device {
            name: "../../etc".to_owned(),
            ..Device::default()
        };
        files.complete(&mut device);
        assert!(device.pci.is_none());
    }
}
