// SPDX-License-Identifier: GPL-2.0-or-later
//! Configuration files of strongSwan: swanctl.conf, and what is installed for charon.
//!
//! Owns a reader of strongSwan's file format (sections, key = value, comments, quotes, includes,
//! references) that takes what is needed here. Called by `doctor --conf` and by `machine`. Must not
//! load anything into charon. What cannot be read is an error with file and line, never a guess.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::facts::{Child, Installed};

/// Includes within includes.
const DEPTH_MAX: usize = 10;
/// Longest file.
const LONGEST: u64 = 16 << 20;

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) struct Error {
    file: PathBuf,
    line: usize,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

/// A section: what it holds, and sections by reference whose content it has as well.
#[derive(Clone, Debug, Default)]
struct Node {
    values: Vec<(String, String)>,
    sections: Vec<(String, Node)>,
    references: Vec<String>,
}

impl Node {
    fn child_mut(&mut self, name: &str) -> &mut Node {
        let index = match self.sections.iter().position(|(found, _)| found == name) {
            Some(index) => index,
            None => {
                self.sections.push((name.to_owned(), Node::default()));
                self.sections.len() - 1
            }
        };
        &mut self.sections[index].1
    }

    fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, name| {
            node.sections
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, node)| node)
        })
    }
}

/// A section seen through its references.
#[derive(Clone, Copy)]
struct View<'a> {
    root: &'a Node,
    node: &'a Node,
}

impl<'a> View<'a> {
    /// The section itself and those it refers to, nearest first.
    fn layers(self) -> Vec<&'a Node> {
        let mut layers = vec![self.node];
        let mut next = 0;
        while let Some(node) = layers.get(next).copied() {
            next += 1;
            for reference in &node.references {
                // A circle ends here: what is in the list already is not added again.
                if let Some(node) = self.root.at(reference)
                    && !layers.iter().any(|seen| std::ptr::eq(*seen, node))
                {
                    layers.push(node);
                }
            }
        }
        layers
    }

    fn value(self, name: &str) -> Option<&'a str> {
        self.layers().into_iter().find_map(|node| {
            // The last one of a name holds.
            node.values
                .iter()
                .rev()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.as_str())
        })
    }

    fn sections(self) -> Vec<(&'a str, View<'a>)> {
        let mut found: Vec<(&str, View<'_>)> = Vec::new();
        for layer in self.layers() {
            for (name, node) in &layer.sections {
                if !found.iter().any(|(other, _)| other == name) {
                    found.push((
                        name,
                        View {
                            root: self.root,
                            node,
                        },
                    ));
                }
            }
        }
        found
    }

    fn section(self, name: &str) -> Option<View<'a>> {
        self.sections()
            .into_iter()
            .find(|(found, _)| *found == name)
            .map(|(_, view)| view)
    }

    fn truth(self, name: &str) -> Option<bool> {
        self.value(name)
            .map(|value| matches!(value, "1" | "yes" | "true" | "enabled"))
    }

    fn list(self, name: &str) -> Option<Vec<String>> {
        self.value(name).map(|value| {
            value
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()
        })
    }

    fn number(self, name: &str) -> u64 {
        // 1000000, 10k, 5m, 1g
        let Some(value) = self.value(name) else {
            return 0;
        };
        let (digits, factor) = match value.char_indices().last() {
            Some((at, 'k' | 'K')) => (&value[..at], 1 << 10),
            Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
            Some((at, 'g' | 'G')) => (&value[..at], 1 << 30),
            _ => (value, 1),
        };
        digits
            .trim()
            .parse::<u64>()
            .unwrap_or(0)
            .saturating_mul(factor)
    }
}

/// One file on the way in.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    file: &'a Path,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, text: impl Into<String>) -> Error {
        Error {
            file: self.file.to_owned(),
            line: 1 + self.text[..self.at].matches('\n').count(),
            text: text.into(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '#' => self.skip_line(),
                c if c.is_whitespace() => {
                    self.bump();
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        while let Some(c) = self.peek() {
            if c == '\n' {
                return;
            }
            self.bump();
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.bump();
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while let Some(c) = self.peek() {
            if c.is_whitespace() || "#{}:,=\"".contains(c) {
                break;
            }
            self.bump();
        }
        self.text[start..self.at].to_owned()
    }

    fn quoted(&mut self) -> Result<String, Error> {
        self.bump();
        let mut value = String::new();
        loop {
            match self.bump() {
                None => return Err(self.error("a quote is not closed")),
                Some('"') => return Ok(value),
                Some('\\') => match self.bump() {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some('\n') | None => {}
                    Some(c) => value.push(c),
                },
                Some(c) => value.push(c),
            }
        }
    }

    /// Up to the end of the line, of the section, or a comment.
    fn value(&mut self) -> Result<String, Error> {
        let mut value = String::new();
        loop {
            self.blanks();
            match self.peek() {
                None | Some('\n' | '}' | '#') => return Ok(value),
                Some('"') => {
                    let text = self.quoted()?;
                    append(&mut value, &text);
                }
                Some(_) => {
                    let start = self.at;
                    while let Some(c) = self.peek() {
                        if "\n}#\" \t\r".contains(c) {
                            break;
                        }
                        self.bump();
                    }
                    let text = self.text[start..self.at].to_owned();
                    append(&mut value, &text);
                    if self.peek() == Some('\r') {
                        self.bump();
                    }
                }
            }
        }
    }

    fn section(&mut self, node: &mut Node, nested: bool) -> Result<(), Error> {
        loop {
            self.skip();
            match self.peek() {
                None if nested => return Err(self.error("a section is not closed")),
                None => return Ok(()),
                Some('}') if nested => {
                    self.bump();
                    return Ok(());
                }
                Some('}') => return Err(self.error("a section ends that did not begin")),
                Some(_) => {}
            }
            let name = self.name();
            if name.is_empty() {
                return Err(self.error("a name is missing"));
            }
            if name == "include" && matches!(self.peek(), Some(' ' | '\t')) {
                let pattern = self.value()?;
                self.include(&pattern, node)?;
                continue;
            }
            self.skip();
            match self.peek() {
                Some('=') => {
                    self.bump();
                    let value = self.value()?;
                    node.values.push((name, value));
                }
                Some('{') => {
                    self.bump();
                    self.section(node.child_mut(&name), true)?;
                }
                Some(':') => {
                    self.bump();
                    self.references(node.child_mut(&name))?;
                }
                _ => {
                    return Err(self.error(format!(
                        "\"{name}\" is followed by neither \"=\" nor \"{{\""
                    )));
                }
            }
        }
    }

    fn references(&mut self, node: &mut Node) -> Result<(), Error> {
        loop {
            self.skip();
            let reference = self.name();
            if reference.is_empty() {
                return Err(self.error("the name of a section to refer to is missing"));
            }
            node.references.push(reference);
            self.skip();
            match self.bump() {
                Some(',') => {}
                Some('{') => return self.section(node, true),
                _ => return Err(self.error("a reference is followed by neither \",\" nor \"{\"")),
            }
        }
    }

    fn include(&mut self, pattern: &str, node: &mut Node) -> Result<(), Error> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error("too many includes within includes"));
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let files = matching(&folder.join(pattern))
            .map_err(|error| self.error(format!("include {pattern}: {error}")))?;
        for file in files {
            parse_into(&file, node, self.depth + 1)?;
        }
        Ok(())
    }
}

fn append(value: &mut String, text: &str) {
    if !value.is_empty() {
        value.push(' ');
    }
    value.push_str(text);
}

/// The files that a path with `*` in its last part names. A path without one may be missing, as in
/// strongSwan.
fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some((start, end)) = name.split_once('*') else {
        return Ok(if pattern.exists() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        });
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.len() >= start.len() + end.len()
            && found.starts_with(start)
            && found.ends_with(end)
        {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn parse_into(file: &Path, node: &mut Node, depth: usize) -> Result<(), Error> {
    let refuse = |text: String| Error {
        file: file.to_owned(),
        line: 0,
        text,
    };
    let size = fs::metadata(file)
        .map_err(|error| refuse(error.to_string()))?
        .len();
    if size > LONGEST {
        return Err(refuse(format!("{size} bytes are too long for settings")));
    }
    let bytes = fs::read(file).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("this is no text".to_owned()))?;
    let mut parser = Parser {
        text: &text,
        at: 0,
        file,
        depth,
    };
    parser.section(node, false)
}

/// The children in a swanctl.conf.
pub(crate) fn children(file: &Path) -> Result<Vec<Child>, Error> {
    let mut root = Node::default();
    parse_into(file, &mut root, 0)?;
    let view = View {
        root: &root,
        node: &root,
    };
    let mut children = Vec::new();
    let Some(connections) = view.section("connections") else {
        return Ok(children);
    };
    for (connection, settings) in connections.sections() {
        let Some(section) = settings.section("children") else {
            continue;
        };
        for (name, child) in section.sections() {
            let list = |name| child.list(name).unwrap_or_default();
            let addresses = |name| settings.list(name).unwrap_or_default();
            children.push(Child {
                connection: connection.to_owned(),
                name: name.to_owned(),
                offload: Some(child.value("hw_offload").unwrap_or("no").to_owned()),
                mode: Some(child.value("mode").unwrap_or("tunnel").to_owned()),
                local_ts: list("local_ts"),
                remote_ts: list("remote_ts"),
                local_addrs: addresses("local_addrs"),
                remote_addrs: addresses("remote_addrs"),
                esp_proposals: Some(
                    child
                        .list("esp_proposals")
                        .unwrap_or_else(|| vec!["default".to_owned()]),
                ),
                ah_proposals: list("ah_proposals"),
                replay_window: Some(
                    child
                        .value("replay_window")
                        .map_or(32, |value| value.parse().unwrap_or(u32::MAX)),
                ),
                encap: Some(settings.truth("encap").unwrap_or(false)),
                tfc: Some(child.value("tfc_padding").is_some_and(|value| value != "0")),
                ipcomp: Some(child.truth("ipcomp").unwrap_or(false)),
                if_id_in: Some(
                    [child.value("if_id_in"), settings.value("if_id_in")]
                        .into_iter()
                        .flatten()
                        .any(|value| value != "0"),
                ),
                life_bytes: child.number("life_bytes"),
                rekey_bytes: child.number("rekey_bytes"),
                life_packets: child.number("life_packets"),
                rekey_packets: child.number("rekey_packets"),
            });
        }
    }
    Ok(children)
}

/// What is installed for charon below a root.
pub(crate) fn installed(root: &Path) -> Installed {
    let library = [
        "usr/lib/ipsec/plugins",
        "usr/lib64/strongswan/plugins",
        "usr/libexec/ipsec/plugins",
        "usr/local/lib/ipsec/plugins",
    ]
    .iter()
    .map(|folder| root.join(folder).join("libstrongswan-kernel-fastswan.so"))
    .find(|file| file.exists())
    .map(|file| file.display().to_string());
    let mut settings = Node::default();
    // What cannot be read is as good as absent here: charon itself complains about it.
    let _ = parse_into(&root.join("etc/strongswan.conf"), &mut settings, 0);
    let view = View {
        root: &settings,
        node: &settings,
    };
    let charon = view.section("charon");
    let own = charon
        .and_then(|charon| charon.section("plugins"))
        .and_then(|plugins| plugins.section("kernel-fastswan"));
    Installed {
        library,
        load: own.and_then(|own| own.value("load")).map(str::to_owned),
        explicit_load: charon
            .and_then(|charon| charon.value("load"))
            .map(|load| load.split_whitespace().map(str::to_owned).collect()),
        kernel_fixes: own
            .and_then(|own| own.value("kernel_fixes"))
            .map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Child>, Error> {
        let folder = tempfolder();
        let file = folder.join("swanctl.conf");
        fs::write(&file, text).unwrap();
        let result = children(&file);
        fs::remove_dir_all(folder).unwrap();
        result
    }

    fn tempfolder() -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("fastswanctl-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_configuration_is_read() {
        let found = read(
            "# a comment\nconnections {\n  site {\n    remote_addrs = 192.0.2.1, peer.example\n\
             encap = yes\n    children {\n      net {\n        local_ts = 10.1.0.0/16 # here\n\
             esp_proposals = \"aes256gcm16-x25519-esn\"\n  hw_offload = packet\n\
             replay_window = 0\n rekey_bytes = 10k\n      }\n      plain { }\n    }\n  }\n}\n",
        )
        .unwrap();
        assert_eq!(found.len(), 2);
        let net = &found[0];
        assert_eq!(net.offload.as_deref(), Some("packet"));
        assert_eq!(net.remote_addrs, ["192.0.2.1", "peer.example"]);
        assert_eq!(net.local_ts, ["10.1.0.0/16"]);
        assert_eq!(
            net.esp_proposals.as_deref(),
            Some(&["aes256gcm16-x25519-esn".to_owned()][..])
        );
        assert_eq!((net.replay_window, net.rekey_bytes), (Some(0), 10240));
        assert_eq!(net.encap, Some(true));
        assert_eq!(found[1].offload.as_deref(), Some("no"));
    }

    #[test]
    fn references_give_what_is_not_set() {
        let found = read(
            "base { children { defaults { hw_offload = auto\n mode = transport } } }\n\
             connections { a { children { x : base.children.defaults { mode = tunnel } } }\n\
             b : connections.a { } }\n loop : loop { }\n",
        )
        .unwrap();
        let settings: Vec<_> = found
            .iter()
            .map(|child| {
                (
                    child.connection.as_str(),
                    child.offload.as_deref(),
                    child.mode.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            settings,
            [
                ("a", Some("auto"), Some("tunnel")),
                ("b", Some("auto"), Some("tunnel"))
            ]
        );
    }

    #[test]
    fn includes_are_followed_and_a_circle_ends() {
        let folder = tempfolder();
        let main = folder.join("main.conf");
        fs::write(&main, "include parts/*.conf\ninclude missing.conf\n").unwrap();
        fs::create_dir(folder.join("parts")).unwrap();
        fs::write(
            folder.join("parts/a.conf"),
            "connections { a { children { x { hw_offload = packet } } } }",
        )
        .unwrap();
        fs::write(folder.join("parts/b.txt"), "}").unwrap();
        assert_eq!(children(&main).unwrap().len(), 1);
        fs::write(&main, "include main.conf\n").unwrap();
        let error = children(&main).unwrap_err().to_string();
        assert!(error.contains("too many includes"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        for (text, expected) in [
            ("a {\n b = c\n", ":3: a section is not closed"),
            ("a {\n}\n}\n", ":3: a section ends that did not begin"),
            ("\nword\n", "is followed by neither"),
            ("a = \"open\n", "a quote is not closed"),
            ("= x", ":1: a name is missing"),
            ("a : { }", "to refer to is missing"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(children(Path::new("/nonexistent/x")).is_err());
        assert!(read("").unwrap().is_empty());
    }
}
