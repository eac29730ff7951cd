// SPDX-License-Identifier: GPL-2.0-or-later
//! The join, the filters and what is shown, on facts made for each test.

use super::*;
use crate::facts::{
    Answer, Before, Charon, Child, ChildSa, Counters, Device, Facts, Plugin, PluginSa, Policy, Sa,
};
use crate::out::Out;

fn sa(spi: u32, dst: &str, mode: &str) -> Sa {
    Sa {
        spi,
        src: if dst == "10.0.0.2" {
            "10.0.0.1"
        } else {
            "10.0.0.2"
        }
        .to_owned(),
        dst: dst.to_owned(),
        reqid: 1,
        mode: mode.to_owned(),
        ifindex: (mode != "software").then_some(4),
        packets: 12_345,
        ..Sa::default()
    }
}

fn facts(inbound: &str, outbound: &str) -> Facts {
    let policy = |dir: &str| Policy {
        dir: dir.to_owned(),
        reqid: Some(1),
        ifindex: (dir != "fwd").then_some(4),
        templates: 1,
        ..Policy::default()
    };
    Facts {
        devices: Answer::Known(vec![Device {
            ifindex: 4,
            name: "p0".to_owned(),
            ..Device::default()
        }]),
        sas: Answer::Known(vec![
            sa(1, "10.0.0.1", inbound),
            sa(2, "10.0.0.2", outbound),
        ]),
        policies: Answer::Known(vec![policy("in"), policy("out"), policy("fwd")]),
        charon: Answer::Known(Charon {
            children: vec![Child {
                connection: "site".to_owned(),
                name: "net".to_owned(),
                offload: Some("packet".to_owned()),
                ..Child::default()
            }],
            child_sas: vec![ChildSa {
                connection: "site".to_owned(),
                name: "net".to_owned(),
                unique_id: 7,
                reqid: 1,
                state: "INSTALLED".to_owned(),
                spi_in: 1,
                spi_out: 2,
                local: "10.0.0.1".to_owned(),
                remote: "10.0.0.2".to_owned(),
                age: 61,
                ..ChildSa::default()
            }],
            ..Charon::default()
        }),
        ..Facts::default()
    }
}

fn text(facts: &Facts, filter: &Filter) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::new(Box::new(&mut bytes), false);
    show(facts, &rows(facts, 0).unwrap(), filter, &mut out).unwrap();
    out.flush().unwrap();
    drop(out);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_child_sa_in_the_nic_has_nothing_to_complain_about() {
    let facts = facts("packet", "packet");
    let rows = rows(&facts, 0).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].disagreements, Vec::<String>::new());
    assert_eq!(
        (rows[0].policies_in_nic, rows[0].policies_in_software),
        (2, 0)
    );
    assert_eq!(
        text(&facts, &Filter::default()),
        "CHILD_SA            PEER            MODE     DEVICE   PKT IN    OUT    B/s  AGE\n\
         site/net#7          10.0.0.2        packet   p0          12k    12k      -  61s\n   \
         asked packet, reqid 1, in 00000001 0B, out 00000002 0B, 0 errors\n"
    );
    let brief = Filter {
        brief: true,
        ..Filter::default()
    };
    assert_eq!(
        text(&facts, &brief),
        "CHILD_SA            PEER            MODE     DEVICE   PKT IN    OUT    B/s  AGE\n\
         site/net#7          10.0.0.2        packet   p0          12k    12k      -  61s\n"
    );
}

#[test]
fn every_disagreement_is_told() {
    let told = |facts: &Facts| rows(facts, 0).unwrap()[0].disagreements.join("; ");
    assert_eq!(
        told(&facts("software", "packet")),
        "its two SAs are in different modes; hw_offload = packet, but it is in mixed mode"
    );
    assert_eq!(
        told(&facts("software", "software")),
        "hw_offload = packet, but it is in software mode; \
         it is in software mode, but 2 of its policies are in a NIC"
    );
    let mut lost = facts("packet", "packet");
    lost.sas = Answer::Known(vec![sa(1, "10.0.0.1", "packet")]);
    assert_eq!(
        told(&lost),
        "charon has it as INSTALLED, but the kernel has no outbound SA with SPI 00000002"
    );
    let mut apart = facts("packet", "packet");
    if let Answer::Known(sas) = &mut apart.sas {
        sas[1].ifindex = Some(9);
    }
    assert_eq!(told(&apart), "its two SAs are on different devices");
    let mut software = facts("packet", "packet");
    if let Answer::Known(policies) = &mut software.policies {
        policies[0].ifindex = None;
    }
    assert_eq!(
        told(&software),
        "it is in packet mode, but 1 of its policies are in software"
    );
}

#[test]
fn an_sa_of_nobody_is_shown() {
    let mut facts = facts("packet", "packet");
    if let Answer::Known(sas) = &mut facts.sas {
        sas.push(Sa {
            spi: 9,
            reqid: 5,
            added: 40,
            ..sa(9, "10.0.0.9", "packet")
        });
    }
    let found = rows(&facts, 100).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[1].age, found[1].child.as_str()), (60, ""));
    assert_eq!(found[1].disagreements.len(), 1);
    // Without charon nobody can say that it is nobody's.
    facts.charon = Answer::Unknown("no charon".to_owned());
    let found = rows(&facts, 100).unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|row| row.disagreements.is_empty()));
    assert!(text(&facts, &Filter::default()).ends_with("no charon\n"));
}

#[test]
fn filters_take_what_they_name() {
    let facts = facts("packet", "packet");
    let shown = |filter: Filter| text(&facts, &filter);
    let none = "no SAs\n";
    let some = |text: &str| Some(text.to_owned());
    let with = Filter::default;
    assert_ne!(
        shown(Filter {
            peer: Some("10.0.0.2".parse().unwrap()),
            ..with()
        }),
        none
    );
    assert_eq!(
        shown(Filter {
            peer: Some("10.0.0.3".parse().unwrap()),
            ..with()
        }),
        none
    );
    assert_ne!(
        shown(Filter {
            device: some("p0"),
            ..with()
        }),
        none
    );
    assert_eq!(
        shown(Filter {
            device: some("p1"),
            ..with()
        }),
        none
    );
    assert_eq!(
        shown(Filter {
            child: some("other"),
            ..with()
        }),
        none
    );
    let detail = shown(Filter {
        child: some("net"),
        ..with()
    });
    assert!(
        detail.contains("asked for packet, has packet on p0"),
        "{detail}"
    );
}

fn with_books(books: Vec<PluginSa>) -> Facts {
    let mut facts = facts("packet", "packet");
    if let Answer::Known(charon) = &mut facts.charon {
        charon.plugin = Answer::Known(Plugin {
            sas: Answer::Known(books),
            ..Plugin::default()
        });
    }
    facts
}

fn entry(spi: u32, dst: &str, mode: &str) -> PluginSa {
    PluginSa {
        spi,
        dst: dst.to_owned(),
        mode: mode.to_owned(),
        ifindex: (mode != "software").then_some(4),
        lost: false,
    }
}

#[test]
fn the_plugins_books_are_compared_with_the_kernel() {
    let both = |mode| vec![entry(1, "10.0.0.1", "packet"), entry(2, "10.0.0.2", mode)];
    let told = |facts: &Facts| rows(facts, 0).unwrap()[0].disagreements.join("; ");
    assert_eq!(told(&with_books(both("packet"))), "");
    assert_eq!(
        told(&with_books(both("software"))),
        "the plugin has SPI 00000002 in its books as software, but the kernel has it as packet \
         on p0"
    );
    assert_eq!(
        told(&with_books(vec![entry(1, "10.0.0.1", "packet")])),
        "the plugin does not have SPI 00000002 in its books, but the kernel has it as packet \
         on p0"
    );
    // One of the same SPI to another peer is another SA, which nobody else knows.
    let mut strange = both("packet");
    strange.push(entry(2, "10.0.0.9", "packet"));
    let found = rows(&with_books(strange), 0).unwrap();
    assert_eq!((found.len(), found[0].disagreements.len()), (2, 0));
    assert!(found[1].disagreements[0].contains("neither charon nor the kernel knows"));
    // The kernel lost it: the plugin may know that, or not.
    for (lost, expected) in [(true, 1), (false, 2)] {
        let mut books = both("packet");
        books[1].lost = lost;
        let mut facts = with_books(books);
        if let Answer::Known(sas) = &mut facts.sas {
            sas.pop();
        }
        assert_eq!(rows(&facts, 0).unwrap()[0].disagreements.len(), expected);
    }
}

#[test]
fn rates_need_an_earlier_look_at_the_same_sa() {
    let mut facts = facts("packet", "packet");
    let counters = |spi, dst: &str, packets, bytes| Counters {
        spi,
        dst: dst.to_owned(),
        packets,
        bytes,
    };
    if let Answer::Known(sas) = &mut facts.sas {
        sas[0].bytes = 5000;
        sas[1].bytes = 100;
    }
    facts.before = Some(Before {
        millis: 500,
        counters: vec![
            counters(1, "10.0.0.1", 12_335, 1000),
            // Smaller now than it was: another SA, or one that began anew.
            counters(2, "10.0.0.2", 12_345, 900),
        ],
    });
    let found = rows(&facts, 0).unwrap();
    let inbound = found[0].inbound.as_ref().unwrap();
    assert_eq!(inbound.packets_per_second, Some(20));
    assert_eq!(inbound.bytes_per_second, Some(8000));
    assert_eq!(found[0].outbound.as_ref().unwrap().bytes_per_second, None);
    assert_eq!(found[0].rate(), Some(8000));
    assert!(text(&facts, &Filter::default()).contains("   8000  61s"));
    assert!(text(&facts, &Filter::default()).contains(", in 00000001 5000B, "));
    // No time between the two is no rate, and no division by zero.
    facts.before.as_mut().unwrap().millis = 0;
    assert_eq!(rows(&facts, 0).unwrap()[0].rate(), None);
}

#[test]
fn what_passes_by_is_no_disagreement() {
    let mut now = rows(&facts("software", "packet"), 0).unwrap();
    let before = rows(&facts("packet", "packet"), 0).unwrap();
    assert!(!now[0].disagreements.is_empty());
    let mut lasting = now.clone();
    keep_lasting(&mut lasting, &now);
    assert_eq!(lasting, now);
    keep_lasting(&mut now, &before);
    assert!(now[0].disagreements.is_empty());
}

#[test]
fn one_child_is_named_in_three_ways_and_fits_a_screen() {
    let facts = facts("packet", "packet");
    for (name, found) in [
        ("net", true),
        ("site/net", true),
        ("site/net#7", true),
        ("other/net", false),
        ("site/net#8", false),
    ] {
        let filter = Filter {
            child: Some(name.to_owned()),
            ..Filter::default()
        };
        let text = text(&facts, &filter);
        assert_eq!(text != "no SAs\n", found, "{name}: {text}");
        assert!(text.lines().count() < 24);
    }
}

#[test]
fn a_kernel_that_does_not_tell_is_an_error() {
    let facts = Facts::default();
    assert!(rows(&facts, 0).is_err());
}

#[test]
fn nothing_is_wider_than_a_terminal() {
    let mut facts = facts("software", "packet");
    if let Answer::Known(charon) = &mut facts.charon {
        charon.children[0].offload = Some("crypto".to_owned());
        charon.child_sas[0].name = "a-very-long-name-of-a-child-sa".to_owned();
        charon.child_sas[0].remote = "2001:db8:1234:5678:9abc:def0:1234:5678".to_owned();
        charon.child_sas[0].age = u64::MAX;
        charon.child_sas[0].reqid = u32::MAX;
        charon.child_sas[0].local_ts =
            vec!["2001:db8:1234:5678:9abc:def0:1234::/112".to_owned(); 3];
        charon.child_sas[0].remote_ts = charon.child_sas[0].local_ts.clone();
    }
    for line in text(&facts, &Filter::default()).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(fit_end("2001:db8::5678", 6), "~:5678");
    let name = rows(&facts, 0).unwrap()[0].name();
    let detail = text(
        &facts,
        &Filter {
            child: Some(name),
            ..Filter::default()
        },
    );
    for line in detail.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(short(9_999), "9999");
    assert_eq!(short(10_000), "10k");
    assert_eq!(short(123_456_789), "123M");
    assert!(short(u64::MAX).len() <= 5);
    assert_eq!(span(7_200), "2h");
}
