// SPDX-License-Identifier: GPL-2.0-or-later
//! Configuration files of strongSwan: swanctl.conf, and what is installed for charon.
//!
//! Owns what is taken from them: children with what decides about offload, and whether the plugin is
//! loaded. `parse` reads the format. Called by `doctor --conf` and by `machine`. Must not load anything
//! into charon.

mod parse;

use std::path::Path;

use crate::facts::{Answer, Child, Installed, Swanctl};
pub(crate) use parse::read_text;
use parse::{Error, Node, parse_into};

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

/// The swanctl.conf below a root that `swanctl --load-all` reads.
pub(crate) fn swanctl(root: &Path) -> Answer<Swanctl> {
    let folders = [
        "etc/swanctl",
        "etc/strongswan/swanctl",
        "usr/local/etc/swanctl",
    ];
    let found = folders
        .iter()
        .map(|folder| root.join(folder).join("swanctl.conf"))
        .find(|file| file.exists());
    let Some(file) = found else {
        return Answer::Unknown("there is no swanctl.conf".to_owned());
    };
    // It may be recorded, and the file has secrets.
    let found = children(&file).map_err(|error| error.place());
    Answer::from_result(found.map(|children| Swanctl {
        file: file.display().to_string(),
        children,
    }))
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
    use std::fs;
    use std::path::PathBuf;

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
    fn the_file_of_the_machine_is_found() {
        let root = tempfolder();
        assert_eq!(
            swanctl(&root),
            Answer::Unknown("there is no swanctl.conf".to_owned())
        );
        let folder = root.join("etc/strongswan/swanctl");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("swanctl.conf");
        fs::write(
            &file,
            "connections { a { children { x { hw_offload = auto } } } }",
        )
        .unwrap();
        let found = swanctl(&root);
        let found = found.known().unwrap();
        assert_eq!(found.file, file.display().to_string());
        assert_eq!(found.children[0].offload.as_deref(), Some("auto"));
        fs::write(&file, "secrets { ike { secret = \"a\" } }\nhunter2 }").unwrap();
        let Answer::Unknown(why) = swanctl(&root) else {
            panic!("it is no configuration");
        };
        assert!(why.ends_with("swanctl.conf:2 is not understood"), "{why}");
        fs::remove_dir_all(root).unwrap();
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
            (&"a {".repeat(1_000_000), "too many sections within"),
            (&"a : b {".repeat(500_000), "too many sections within"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        // A device has no size to be judged by, and no end.
        let error = children(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
        assert!(children(Path::new("/nonexistent/x")).is_err());
        assert!(read("").unwrap().is_empty());
    }
}
