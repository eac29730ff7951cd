// SPDX-License-Identifier: GPL-2.0-or-later
//! The initial file system of the lab's kernels.
//!
//! Owns what stands between the kernel and the root image: the driver of the disk (Debian's cloud kernels have the
//! rest built in), one static shell, and an `/init` of a few lines. vm calls it. It must not start anything of the
//! lab: that is the work of tests/lab/guest/init.sh, which comes with the shared folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::{Cache, fingerprint, write_whole},
    kernels::Kernel,
    run::command,
};

/// Modules needed before the root can be mounted; one that is built in is not looked for.
const MODULES: &[&str] = &["virtio_blk"];

/// The word the probe of an accelerator waits for on the console.
pub(crate) const PROBE_ANSWER: &str = "fastswan: this machine can boot";

const INIT: &str = r#"#!/bin/sh
# Written by xtask. Mounts the root image and the shared folder and hands over to the folder's init.
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
if /bin/busybox grep -q fastswan.probe /proc/cmdline; then
	echo "ANSWER"
	/bin/busybox poweroff -f
fi
n=0
while [ ! -b /dev/vda ] && [ $n -lt 200 ]; do /bin/busybox usleep 50000; n=$((n + 1)); done
/bin/busybox mount -t ext4 /dev/vda /root || { echo "fastswan: cannot mount the root image"; /bin/busybox poweroff -f; }
/bin/busybox mount -t virtiofs share /root/share || { echo "fastswan: cannot mount the shared folder"; /bin/busybox poweroff -f; }
/bin/busybox umount /proc /sys
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /bin/sh /share/guest/init.sh
echo "fastswan: cannot enter the root"
/bin/busybox poweroff -f
"#;

/// The initial file system for `kernel`, made once and kept beside it.
pub(crate) fn ensure(cache: &Cache, kernel: &Kernel, busybox: &Path) -> Result<PathBuf> {
    let init = INIT.replace("ANSWER", PROBE_ANSWER);
    let key = fingerprint((
        &init,
        MODULES,
        fs::metadata(busybox).map(|m| m.len()).unwrap_or(0),
    ));
    let path = cache.path(&format!("kernels/initrd-{}-{key}", kernel.release));
    if path.exists() {
        return Ok(path);
    }
    let mut archive = Cpio::default();
    archive.folder("bin");
    archive.folder("dev");
    archive.folder("modules");
    archive.file(
        "bin/busybox",
        0o755,
        &fs::read(busybox).context("cannot read busybox")?,
    );
    archive.link("bin/sh", "busybox");
    archive.file("init", 0o755, init.as_bytes());
    for (number, module) in load_order(kernel)?.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let plain = name.split(".ko").next().unwrap_or_default();
        archive.file(
            &format!("modules/{number:02}-{plain}.ko"),
            0o644,
            &read_module(module)?,
        );
    }
    write_whole(&path, archive.finish())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    Ok(path)
}

/// The files of `MODULES` with what they depend on, in the order they must be loaded.
///
/// The packages carry no modules.dep (it is made when they are installed), and these few modules depend on
/// nothing that is not built in, so the list is looked up by name and a dependency is a named failure at boot.
fn load_order(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let base = kernel.modules_in(&kernel.image_tree())?;
    let builtin = fs::read_to_string(base.join("modules.builtin")).unwrap_or_default();
    let mut order = Vec::new();
    for module in MODULES {
        let file = |name: &str| format!("{}.ko", name);
        if let Some(path) = find(&base, module) {
            order.push(path);
        } else if *module == "virtio_blk" && !builtin.contains(&file(module)) {
            bail!(
                "{} has no {module}, neither as a module nor built in",
                kernel.release
            );
        }
    }
    Ok(order)
}

/// Finds `<name>.ko` (also compressed, also spelled with dashes) below `base`.
fn find(base: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![base.join("kernel")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            let file = entry.file_name().to_string_lossy().replace('-', "_");
            if path.is_dir() {
                folders.push(path);
            } else if file
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(".ko"))
            {
                return Some(path);
            }
        }
    }
    None
}

/// A module's content, unpacked: busybox hands it to the kernel as it is.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|end| end == "xz") {
        let out = command("xz")
            .arg("-dc")
            .arg(path)
            .output()
            .context("cannot start xz")?;
        if !out.status.success() {
            bail!(
                "xz cannot unpack {}: {}",
                path.display(),
                String::from_utf8_lossy(&out.stderr)
            );
        }
        return Ok(out.stdout);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A writer of the "newc" archive that the kernel unpacks.
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | mode, content);
    }

    fn link(&mut self, name: &str, target: &str) {
        self.entry(name, 0o120_777, target.as_bytes());
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, mtime, size, 4 device numbers, length of name, checksum (unused).
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}
