// SPDX-License-Identifier: GPL-2.0-or-later
//! Pages say what the program does: the manual page of the settings is made of the file that documents
//! them, and lines of the log that are explained are written by the code.
//!
//! Runs strongswan-plugin/opt2man.awk, which `cargo xtask dist` runs as well. Must not know an option
//! or a line by name, so that a new one is covered without a change here.

use std::fs;
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
    let options = fs::read_to_string(opt).expect("the options");
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

/// All that a folder's sources say, with lines that go on in the next one joined.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            // What a test says is said by nobody else.
            if !path.ends_with("tests") && !path.ends_with("bin") {
                sources(&path, text);
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "c")
        {
            let source = fs::read_to_string(&path).expect("text");
            for line in source.lines() {
                match line.strip_suffix('\\') {
                    Some(begin) => text.push_str(begin.trim_start()),
                    None => {
                        text.push_str(line.trim_start());
                        text.push('\n');
                    }
                }
            }
        }
    }
}

/// What differs from line to line is written in capitals on the page.
fn is_placeholder(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    !word.is_empty()
        && !matches!(word, "SAD" | "HW" | "CHILD_SA" | "SPI")
        && word.chars().all(|c| c.is_ascii_uppercase())
}

#[test]
fn lines_of_the_log_that_are_explained_are_written_by_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    let page = fs::read_to_string(root.join("docs/troubleshooting.md")).expect("the page");
    let table = page
        .split_once("## Lines of charon's log")
        .expect("the table")
        .1;
    let (mut count, mut unsaid) = (0, Vec::new());
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let line = row.split('`').nth(1).expect("a line");
        // The words between two that differ stand together in the code.
        let mut pieces = vec![String::new()];
        for word in line.split(' ') {
            if word == "..." || is_placeholder(word) || word.starts_with("...") {
                pieces.push(String::new());
            } else {
                let piece = pieces.last_mut().expect("one");
                if !piece.is_empty() {
                    piece.push(' ');
                }
                piece.push_str(word);
            }
        }
        let known = pieces.iter().filter(|piece| piece.split(' ').count() > 1);
        let mut long = 0;
        for piece in known {
            long += 1;
            if !code.contains(piece.as_str()) {
                unsaid.push(format!("{line}: nobody says {piece:?}"));
            }
        }
        assert!(long > 0, "{line}: nothing in it that the code could say");
        count += 1;
    }
    assert!(unsaid.is_empty(), "{unsaid:#?}");
    assert!(count >= 20, "{count}");
}

/// The README shows what `status` and `watch` look like.
#[test]
fn the_readme_shows_its_pictures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    for name in ["status", "watch"] {
        let picture = format!("docs/images/{name}.svg");
        assert!(readme.contains(&format!("]({picture})")), "{picture}");
        let svg = fs::read_to_string(root.join(&picture)).expect("the picture");
        assert!(
            svg.contains("<svg ") && svg.contains("CHILD_SA"),
            "{picture}"
        );
    }
}
