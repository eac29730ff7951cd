// SPDX-License-Identifier: GPL-2.0-or-later
//! One client of the plugin's socket: what it sent so far, and what waits to be sent to it.
//!
//! Owns the room that a client gets. Called by `server`, which knows when and for how long. Must not
//! wait, nor read or keep more than its limits.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::{INPUT_MAX, Items, OUT_LOW, REQUEST_MAX};
use crate::status::vici::{Kind, Packet, packet_length};

/// Whoever connected.
pub(super) struct Client {
    pub(super) stream: UnixStream,
    pub(super) input: Vec<u8>,
    pub(super) output: VecDeque<u8>,
    pub(super) registered: Vec<String>,
    pub(super) stream_of: Option<(&'static str, Items)>,
    /// The last time that it sent or took something.
    pub(super) active: Instant,
    /// What we asked to be told of: to be read, to be written.
    pub(super) wanted: (bool, bool),
}

impl Client {
    /// Since when we wait for it; `None` if we do not.
    pub(super) fn owes_since(&self) -> Option<Instant> {
        let owes = !self.input.is_empty() || !self.output.is_empty() || self.stream_of.is_some();
        owes.then_some(self.active)
    }

    pub(super) fn receive(&mut self) -> io::Result<()> {
        let mut room = [0; 4096];
        // What is beyond one request waits in the kernel.
        while self.input.len() < INPUT_MAX {
            let want = room.len().min(INPUT_MAX - self.input.len());
            match self.stream.read(&mut room[..want]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    if self.owes_since().is_none() {
                        self.active = Instant::now();
                    }
                    self.input.extend_from_slice(&room[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, kind: Kind, name: &str, body: &[u8]) {
        self.output.extend(Packet { kind, name, body }.encode());
    }

    pub(super) fn has_whole_packet(&self) -> bool {
        matches!(
            packet_length(&self.input, REQUEST_MAX),
            Ok(Some(length)) if self.input.len() >= 4 + length
        )
    }

    /// Makes more of a stream while there is room; its end is the empty answer.
    pub(super) fn produce(&mut self) {
        while self.output.len() < OUT_LOW {
            let Some((event, items)) = &mut self.stream_of else {
                return;
            };
            let event = *event;
            match items.next() {
                // As in charon, those who did not register get none of it.
                Some(message) if self.registered.iter().any(|name| name == event) => {
                    self.put(Kind::Event, event, message.bytes());
                }
                Some(_) => {}
                None => {
                    self.stream_of = None;
                    self.put(Kind::Response, "", &[]);
                    return;
                }
            }
        }
    }
}
