// SPDX-License-Identifier: GPL-2.0-or-later
//! What charon and our plugin in it say, over vici.
//!
//! Owns the paths of the two sockets and the names in the messages. Called by `mod` and by `status`.
//! charon may be absent, our plugin may be; both are answers. Must not change anything in charon.

use std::path::PathBuf;

use fastswan::status::vici::Section;

use crate::facts::{Answer, Charon, Child, ChildSa, Plugin, PluginSa};
use crate::vici::{Error, Session};

/// Where charon and our plugin listen.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// charon's vici socket.
    pub(crate) charon: PathBuf,
    /// The plugin's.
    pub(crate) plugin: PathBuf,
}

/// Asks both.
pub(crate) fn gather(sockets: &Sockets) -> Result<Charon, Error> {
    let mut vici = Session::open(&sockets.charon)?;
    let mut charon = Charon {
        version: vici
            .request("version", &[])?
            .text("version")
            .unwrap_or_default()
            .to_owned(),
        plugins: vici.request("stats", &[])?.list("plugins").to_vec(),
        ..Charon::default()
    };
    vici.stream("list-conns", "list-conn", &mut |message| {
        for (name, connection) in message.sections() {
            charon.children.extend(children(name, connection));
        }
    })?;
    vici.stream("list-sas", "list-sa", &mut |message| {
        for (name, ike) in message.sections() {
            charon.child_sas.extend(child_sas(name, ike));
        }
    })?;
    charon.plugin = Answer::from_result(ask_plugin(sockets, &mut charon.children));
    Ok(charon)
}

/// Asks the plugin who it is and what vici does not tell: `hw_offload`.
fn ask_plugin(sockets: &Sockets, children: &mut [Child]) -> Result<Plugin, Error> {
    let mut session = Session::open(&sockets.plugin)?;
    let version = session.request("version", &[])?;
    let text = |name| version.text(name).unwrap_or_default().to_owned();
    let mut plugin = Plugin {
        version: text("version"),
        strongswan: text("strongswan"),
        kernel_fixes: text("kernel-fixes"),
        sas: Answer::default(),
    };
    session.stream("children", "list-child", &mut |message| {
        let named = |name| message.text(name).unwrap_or_default();
        for child in children
            .iter_mut()
            .filter(|child| child.connection == named("connection") && child.name == named("name"))
        {
            child.offload = message.text("hw-offload").map(str::to_owned);
        }
    })?;
    let mut sas = Vec::new();
    session.stream("units", "list-unit", &mut |message| {
        sas.extend(unit_sas(message));
    })?;
    plugin.sas = Answer::Known(sas);
    Ok(plugin)
}

/// The SAs of one unit of `units`.
fn unit_sas(unit: &Section) -> Vec<PluginSa> {
    let Some(sas) = unit.section("sas") else {
        return Vec::new();
    };
    sas.sections()
        .map(|(_, sa)| {
            let text = |name| sa.text(name).unwrap_or_default();
            PluginSa {
                spi: u32::from_str_radix(text("spi"), 16).unwrap_or(0),
                dst: text("dst").to_owned(),
                mode: text("mode").to_owned(),
                ifindex: sa
                    .number("ifindex")
                    .and_then(|index| u32::try_from(index).ok()),
                lost: text("lost") == "yes",
            }
        })
        .collect()
}

/// Who holds each gate, as our plugin has it in its books: selector and names.
pub(crate) fn gate_holders(sockets: &Sockets) -> Result<Vec<(String, Vec<String>)>, Error> {
    let mut session = Session::open(&sockets.plugin)?;
    let mut gates = Vec::new();
    session.stream("guard", "list-gate", &mut |message| {
        let text = |name| message.text(name).unwrap_or_default();
        let protocol = match text("protocol") {
            "" | "0" => String::new(),
            number => format!("[{number}]"),
        };
        let selector = format!("{} === {}{protocol}", text("local"), text("remote"));
        gates.push((selector, message.list("holders").to_vec()));
    })?;
    Ok(gates)
}

/// The children of one connection of `list-conns`.
fn children(connection: &str, section: &Section) -> Vec<Child> {
    let Some(children) = section.section("children") else {
        return Vec::new();
    };
    children
        .sections()
        .map(|(name, child)| Child {
            connection: connection.to_owned(),
            name: name.to_owned(),
            mode: child.text("mode").map(str::to_lowercase),
            local_ts: child.list("local-ts").to_vec(),
            remote_ts: child.list("remote-ts").to_vec(),
            local_addrs: section.list("local_addrs").to_vec(),
            remote_addrs: section.list("remote_addrs").to_vec(),
            rekey_bytes: child.number("rekey_bytes").unwrap_or(0),
            rekey_packets: child.number("rekey_packets").unwrap_or(0),
            ..Child::default()
        })
        .collect()
}

/// The CHILD_SAs of one IKE_SA of `list-sas`.
fn child_sas(connection: &str, ike: &Section) -> Vec<ChildSa> {
    let Some(children) = ike.section("child-sas") else {
        return Vec::new();
    };
    // The sections of children have names with a number; the IKE_SA's is the connection's.
    children
        .sections()
        .map(|(_, child)| {
            let text = |name| child.text(name).unwrap_or_default();
            let spi = |name| u32::from_str_radix(text(name), 16).unwrap_or(0);
            let number = |name| child.number(name).unwrap_or(0);
            let host = |name| ike.text(name).unwrap_or_default().to_owned();
            let size = match number("encr-keysize") {
                0 => String::new(),
                size => format!("-{size}"),
            };
            ChildSa {
                connection: connection.to_owned(),
                name: text("name").to_owned(),
                unique_id: number("uniqueid"),
                reqid: u32::try_from(number("reqid")).unwrap_or(0),
                state: text("state").to_owned(),
                spi_in: spi("spi-in"),
                spi_out: spi("spi-out"),
                local: host("local-host"),
                remote: host("remote-host"),
                local_ts: child.list("local-ts").to_vec(),
                remote_ts: child.list("remote-ts").to_vec(),
                esn: text("esn") == "1" || text("esn") == "yes",
                algorithm: format!("{}{size}", text("encr-alg")),
                age: number("install-time"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastswan::status::vici::Writer;

    #[test]
    fn what_charon_lists_is_read() {
        let mut writer = Writer::new();
        writer
            .value("local-host", "10.0.0.1")
            .value("remote-host", "10.0.0.2")
            .section("child-sas", |children| {
                children.section("net-7", |child| {
                    child
                        .value("name", "net")
                        .value("uniqueid", 7)
                        .value("reqid", 3)
                        .value("state", "INSTALLED")
                        .value("spi-in", "c0000001")
                        .value("spi-out", "c3c13d31")
                        .value("encr-alg", "AES_GCM_16")
                        .value("encr-keysize", 256)
                        .value("esn", 1)
                        .value("install-time", 12)
                        .list("local-ts", ["10.1.0.0/16"]);
                });
            });
        let found = child_sas("site", &Section::decode(writer.bytes()).unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].spi_out, 0xc3c1_3d31);
        assert_eq!(found[0].algorithm, "AES_GCM_16-256");
        assert_eq!((found[0].reqid, found[0].age, found[0].esn), (3, 12, true));
        assert_eq!(found[0].local_ts, ["10.1.0.0/16"]);

        let mut writer = Writer::new();
        writer
            .list("remote_addrs", ["192.0.2.1"])
            .section("children", |children| {
                children.section("net", |child| {
                    child.value("mode", "TUNNEL").value("rekey_bytes", 5);
                });
            });
        let found = children("site", &Section::decode(writer.bytes()).unwrap());
        assert_eq!(found[0].mode.as_deref(), Some("tunnel"));
        assert_eq!(found[0].remote_addrs, ["192.0.2.1"]);
        assert_eq!(found[0].rekey_bytes, 5);
        assert!(child_sas("site", &Section::default()).is_empty());
    }
}
