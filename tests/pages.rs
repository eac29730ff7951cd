// SPDX-License-Identifier: GPL-2.0-or-later
//! The manual page of the settings is made of the file that documents them.
//!
//! Runs strongswan-plugin/opt2man.awk, which `cargo xtask dist` runs as well. Must not know an option
//! by name, so that a new one is covered without a change here.

use std::path::Path;
use std::process::Command;

#[test]
fn the_page_has_every_option_with_its_default_and_text() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("strongswan-plugin");
    let opt = plugin.join("kernel-fastswan.opt");
    let output = Command::new("awk")
        .arg("-f")
        .arg(plugin.join("opt2man.awk"))
        .arg(&opt)
        .output()
        .expect("awk runs");
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout).expect("text");
    let options = std::fs::read_to_string(opt).expect("the options");
    let mut count = 0;
    for line in options.lines().filter(|line| line.starts_with("charon.")) {
        // A section has none.
        let (name, value) = line
            .split_once('=')
            .unwrap_or_else(|| (line.trim_end_matches(['{', '}', ' ']), ""));
        let name = name.trim_end_matches(':').trim().replace('-', "\\-");
        let value = value.trim().replace('-', "\\-");
        let head = if value.is_empty() {
            format!(".BR {name}\n")
        } else {
            format!(".BR {name} \" [{value}]\"\n")
        };
        let rest = page
            .split_once(&head)
            .unwrap_or_else(|| panic!("no {head}"))
            .1;
        let text = rest.lines().next().unwrap_or_default();
        assert!(text.len() > 20 && !text.starts_with('.'), "{head}{text}");
        count += 1;
    }
    assert!(count >= 8, "{count} options");
    // Marks of the format that were not understood would show.
    for line in page.lines() {
        assert!(!line.contains("**") && !line.contains(" _"), "{line}");
    }
}
