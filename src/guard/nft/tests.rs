// SPDX-License-Identifier: GPL-2.0-or-later
//! Messages as bytes, and what is made of bytes that are no messages. That the kernel accepts them is
//! shown by tests/guard_host.rs.

use super::expr::{Base, Expr, Meta, Op, REG};
use super::*;
use crate::xfrm::Reply;
use crate::xfrm::request::Attributes;

fn attributes(request: &Request) -> Attributes<'_> {
    Attributes::behind(request.payload(), HEADER_LEN)
}

#[test]
fn numbers_are_in_network_order_and_texts_end_in_nul() {
    let hook = Hook {
        number: 4,
        priority: -350,
        device: None,
    };
    let request = new_chain(INET, "fastswan", "postrouting", Some(hook), "about");
    assert_eq!(request.payload()[..4], [INET, 0, 0, 0]);
    let value = |kind| attributes(&request).value_of(kind).unwrap();
    assert_eq!(value(1), b"fastswan\0");
    assert_eq!(value(3), b"postrouting\0");
    let hook = |kind| Attributes::new(value(4)).value_of(kind).unwrap();
    assert_eq!(hook(1), 4u32.to_be_bytes());
    assert_eq!(hook(2), (-350i32).to_be_bytes());
    assert_eq!(value(12), b"\0\x06about\0");
}

#[test]
fn the_type_of_a_concatenation_is_put_together_as_nft_does() {
    let set = Set {
        name: "s".to_owned(),
        fields: vec![Field::Mark, Field::Ip4, Field::Proto],
        timeout: true,
        comment: "c".to_owned(),
    };
    let request = new_set(INET, "t", &set, 9);
    let value = |kind| attributes(&request).value_of(kind).unwrap();
    assert_eq!(value(3), SET_TIMEOUT.to_be_bytes());
    assert_eq!(value(4), ((19u32 << 12) | (7 << 6) | 12).to_be_bytes());
    assert_eq!(value(5), 12u32.to_be_bytes(), "each field fills registers");
    assert_eq!(value(13), b"\x07\x02c\0");
    let single = |field| {
        let set = Set {
            fields: vec![field],
            ..set.clone()
        };
        let request = new_set(INET, "t", &set, 9);
        attributes(&request).value_of(5).unwrap().to_vec()
    };
    assert_eq!(single(Field::Port), 2u32.to_be_bytes());
    assert_eq!(single(Field::Proto), 1u32.to_be_bytes());
}

#[test]
fn an_expression_is_a_name_and_its_attributes() {
    let rule = [
        Expr::Payload {
            base: Base::Network,
            offset: 12,
            len: 4,
            reg: REG,
        },
        Expr::Cmp(REG, Op::Ne, vec![1, 2, 3, 4]),
        Expr::InReqid { spnum: 1, reg: REG },
        Expr::Meta(Meta::Secpath, REG),
        Expr::Goto("there"),
    ];
    let request = new_rule(INET, "t", "c", &rule, "");
    assert!(
        attributes(&request).value_of(7).is_none(),
        "no empty comment"
    );
    let expressions = attributes(&request).value_of(4).unwrap();
    let read: Vec<(&[u8], &[u8])> = Attributes::new(expressions)
        .map(|(_, element)| {
            let part = |kind| Attributes::new(element).value_of(kind).unwrap();
            (part(1), part(2))
        })
        .collect();
    let names: Vec<&[u8]> = read.iter().map(|(name, _)| *name).collect();
    let expected: [&[u8]; 5] = [b"payload\0", b"cmp\0", b"xfrm\0", b"meta\0", b"immediate\0"];
    assert_eq!(names, expected);
    let of = |index: usize, kind| Attributes::new(read[index].1).value_of(kind).unwrap();
    assert_eq!(of(0, 3), 12u32.to_be_bytes());
    assert_eq!(of(1, 2), 1u32.to_be_bytes());
    assert_eq!(of(2, 3), [0], "the direction is one octet");
    assert_eq!(of(2, 4), 1u32.to_be_bytes());
    let verdict = Attributes::new(of(4, 2)).value_of(2).unwrap();
    let part = |kind| Attributes::new(verdict).value_of(kind).unwrap();
    assert_eq!(part(1), (-3i32 - 1).to_be_bytes());
    assert_eq!(part(2), b"there\0");
}

fn element(number: u32, comment: &str) -> Element {
    Element {
        key: number.to_be_bytes().into_iter().collect(),
        timeout: Some(Duration::from_millis(10_500)),
        comment: comment.into(),
    }
}

#[test]
fn many_elements_take_several_messages_of_which_none_overflows() {
    let long = "x".repeat(300);
    let elements: Vec<Element> = (0..1000).map(|number| element(number, &long)).collect();
    let elements: Vec<&Element> = elements.iter().collect();
    let mut messages = Vec::new();
    add_elements(INET, "t", "s", &elements, &mut messages);
    let mut read = Vec::new();
    for message in &messages {
        message.check().unwrap();
        let reply = Reply::new(message.kind(), message.payload());
        decode_element(&reply, &mut |element| read.push(element));
    }
    assert_eq!(read.len(), 1000);
    for (number, element) in read.iter().enumerate() {
        assert_eq!(element.key, (number as u32).to_be_bytes());
        assert_eq!(element.left, Some(Duration::from_millis(10_500)));
        assert_eq!(element.comment, long[..COMMENT_MAX]);
    }
    messages.clear();
    destroy_elements(INET, "t", "s", &elements[..2], &mut messages);
    assert_eq!(messages.len(), 1);
    let list = attributes(&messages[0]).value_of(3).unwrap();
    for (_, element) in Attributes::new(list) {
        assert!(Attributes::new(element).value_of(4).is_none(), "a key only");
    }
}

#[test]
fn a_long_comment_is_cut_between_characters() {
    let mut userdata = Vec::new();
    put_comment(&mut userdata, COMMENT, &"\u{e9}".repeat(100));
    assert_eq!(userdata[1], 127, "63 of two octets, and the NUL");
    assert_eq!(userdata.len(), 129);
}

#[test]
fn events_name_the_table_and_the_process() {
    let mut change = Request::new("", NEWSETELEM, 0);
    change.put(&[0; 4]);
    text(&mut change, 1, "fastswan");
    let reply = Reply::new(change.kind(), change.payload());
    assert_eq!(
        decode_change(&reply),
        Some(Change::Table("fastswan".to_owned()))
    );
    let mut generation = Request::new("", NEWGEN, 0);
    generation.put(&[0; 4]);
    be32(&mut generation, 2, 4711);
    let reply = Reply::new(generation.kind(), generation.payload());
    assert_eq!(decode_change(&reply), Some(Change::Generation(4711)));
    assert_eq!(decode_change(&Reply::new(0x10, &[])), None);
}

/// Cut off, and with each byte changed: nothing panics, whatever is made of it.
#[test]
fn garbage_is_left_out() {
    let mut messages = Vec::new();
    add_elements(INET, "t", "s", &[&element(1, "name")], &mut messages);
    messages.push(new_rule(INET, "t", "c", &[Expr::Counter], "about"));
    let set = Set {
        name: "s".to_owned(),
        fields: vec![Field::Ip4],
        timeout: false,
        comment: String::new(),
    };
    messages.push(new_set(INET, "t", &set, 1));
    let read = |kind: u16, payload: &[u8]| {
        let reply = Reply::new(kind, payload);
        decode_element(&reply, &mut |_| {});
        decode_rule(&reply);
        decode_set(&reply);
        decode_change(&reply);
    };
    for message in &messages {
        let payload = message.payload();
        for kind in [message.kind(), NEWGEN, NEWRULE, NEWSET, NEWSETELEM, 0] {
            for end in 0..payload.len() {
                read(kind, &payload[..end]);
            }
            for at in 0..payload.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = payload.to_vec();
                    changed[at] = value;
                    read(kind, &changed);
                }
            }
        }
    }
}
