// SPDX-License-Identifier: GPL-2.0-or-later
//! The plugin's socket: vici's protocol on `/run/charon.fastswan`.
//!
//! Owns the socket and its clients. charon's watcher calls [`Server::readable`] on a worker when
//! something is to be done; that never waits, and does a bounded amount. A client gets so much room
//! and so much time and no more: what it does can end its own connection and nothing else. Called by
//! `backend/`. charon ignores SIGPIPE, so that a client that is gone is an error and no signal. Must
//! not know what a command means: that is [`Source`]'s.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod client;

use client::Client;

use super::poll::{Poll, Ready};
use super::vici::{Kind, Packet, Section, Writer, packet_length};
use crate::host::Readable;

/// Clients at a time. One more takes the place of the one that did nothing for longest.
const CLIENTS_MAX: usize = 16;
/// Events a client may be registered for.
const REGISTERED_MAX: usize = 16;
/// Longest request: commands have a few short arguments.
const REQUEST_MAX: usize = 4 * 1024;
/// With its length.
const INPUT_MAX: usize = REQUEST_MAX + 4;
/// A stream is produced no faster than it is taken: so much waits to be sent.
const OUT_LOW: usize = 32 * 1024;
/// A client that has so much waiting misses further events.
const OUT_MAX: usize = 256 * 1024;
/// Events that wait for the next call. More are dropped, and counted.
const PENDING_MAX: usize = 1024;
/// A request that is begun has to be complete, and an answer taken, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets of one client that are answered in one call, so that one client does not keep a worker.
const TURN: usize = 8;
/// Bytes of one client that are sent in one call.
const SEND_TURN: usize = 256 * 1024;

const LISTENER: u64 = 0;
const TIMER: u64 = 1;
const WAKE: u64 = 2;
const FIRST_CLIENT: u64 = 16;

/// The messages of a stream, made one by one.
pub type Items = Box<dyn Iterator<Item = Writer> + Send>;

/// The answer to a command.
pub enum Answer {
    /// One message.
    Message(Writer),
    /// Messages of this event, then an empty answer.
    Stream(&'static str, Items),
}

/// Who knows the answers.
pub trait Source: Send + Sync {
    /// The answer to a command; `None` if there is no such command.
    fn answer(&self, command: &str, request: &Section) -> Option<Answer>;
    /// Whether there is an event of this name.
    fn has_event(&self, name: &str) -> bool;
}

/// Tells clients what happened. It may be called from any thread and never waits.
#[derive(Clone)]
pub struct Events {
    queue: Arc<Queue>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

struct Queue {
    pending: Mutex<Pending>,
    /// A byte in it calls the server.
    wake: UnixStream,
}

#[derive(Default)]
struct Pending {
    events: VecDeque<(&'static str, Vec<u8>)>,
    dropped: u64,
    /// Somebody listens; without, nothing is kept.
    wanted: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A queue is whole between any two changes.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// Tells it to those who registered for it.
    pub fn raise(&self, name: &'static str, message: &Writer) {
        let first = {
            let mut pending = self.queue.lock();
            if !pending.wanted {
                return;
            }
            if pending.events.len() >= PENDING_MAX {
                pending.dropped += 1;
                return;
            }
            pending.events.push_back((name, message.bytes().to_vec()));
            pending.events.len() == 1
        };
        if first {
            // A full pipe means that it is awake already.
            let _ = (&self.queue.wake).write(&[0]);
        }
    }
}

struct State {
    clients: BTreeMap<u64, Client>,
    next: u64,
}

/// The socket and its clients.
pub struct Server {
    path: PathBuf,
    /// Device and inode of our socket: only that one is removed.
    identity: Option<(u64, u64)>,
    listener: UnixListener,
    poll: Poll,
    woken: UnixStream,
    events: Events,
    source: Arc<dyn Source>,
    /// Taken out while a call works with it, so that no lock is held meanwhile.
    state: Mutex<Option<State>>,
}

impl Server {
    /// Listens on a path. One that is left over from a process that is gone is replaced; one that
    /// somebody listens on, or that is no socket, is not.
    pub fn open(
        path: &Path,
        owner: Option<(u32, u32)>,
        source: Arc<dyn Source>,
    ) -> io::Result<Self> {
        remove_left_over(path)?;
        // Its mode is set before anybody is told of it, under a name that nobody else uses.
        let temporary = temporary(path);
        let listener = UnixListener::bind(&temporary)?;
        let placed = restrict(&temporary, owner).and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = placed {
            // The error is what counts.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let poll = Poll::new(TIMER)?;
        poll.add(listener.as_raw_fd(), LISTENER)?;
        poll.add(woken.as_raw_fd(), WAKE)?;
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path),
            listener,
            poll,
            woken,
            events: Events {
                queue: Arc::new(Queue {
                    pending: Mutex::default(),
                    wake,
                }),
            },
            source,
            state: Mutex::new(Some(State {
                clients: BTreeMap::new(),
                next: FIRST_CLIENT,
            })),
        })
    }

    /// To be watched for readability.
    pub fn fd(&self) -> RawFd {
        self.poll.fd()
    }

    /// For those who have something to tell.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // It holds a whole state or none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, state: &mut State) -> io::Result<()> {
        for ready in self.poll.ready()? {
            match ready.token {
                LISTENER => self.accept(state)?,
                TIMER => {}
                WAKE => self.drain_wake(),
                _ => self.serve(state, ready),
            }
        }
        self.tell(state);
        self.give_up(state);
        let wanted = state
            .clients
            .values()
            .any(|client| !client.registered.is_empty());
        self.events.queue.lock().wanted = wanted;
        self.arm(state)
    }

    fn drain_wake(&self) {
        let mut room = [0; 64];
        while matches!((&self.woken).read(&mut room), Ok(count) if count == room.len()) {}
    }

    fn accept(&self, state: &mut State) -> io::Result<()> {
        for _ in 0..CLIENTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) =>
                {
                    continue;
                }
                // Out of descriptors: make one free, so that this does not come again and again.
                Err(error) => {
                    log::warn!("unable to accept on {}: {error}", self.path.display());
                    evict(state);
                    return Ok(());
                }
            };
            if state.clients.len() >= CLIENTS_MAX {
                evict(state);
            }
            let token = state.next;
            state.next += 1;
            let taken = stream
                .set_nonblocking(true)
                .and_then(|()| self.poll.add(stream.as_raw_fd(), token));
            if let Err(error) = taken {
                log::warn!(
                    "a client of {} is turned away: {error}",
                    self.path.display()
                );
                continue;
            }
            state.clients.insert(
                token,
                Client {
                    stream,
                    input: Vec::new(),
                    output: VecDeque::new(),
                    registered: Vec::new(),
                    stream_of: None,
                    active: Instant::now(),
                    wanted: (true, false),
                },
            );
        }
        Ok(())
    }

    fn serve(&self, state: &mut State, ready: Ready) {
        let Some(client) = state.clients.get_mut(&ready.token) else {
            return;
        };
        if self.converse(client, ready).is_err() {
            // Dropping it closes it, and closing takes it out of the poll.
            state.clients.remove(&ready.token);
        }
    }

    /// An error ends the connection.
    fn converse(&self, client: &mut Client, ready: Ready) -> io::Result<()> {
        if ready.read {
            client.receive()?;
        }
        for _ in 0..TURN {
            // One command at a time, as in charon: a client that sends many waits for its answers.
            if client.stream_of.is_some() || client.output.len() > OUT_LOW {
                break;
            }
            if !self.one_packet(client)? {
                break;
            }
        }
        self.send(client, ready.token)
    }

    /// Answers the next packet, if there is a whole one.
    fn one_packet(&self, client: &mut Client) -> io::Result<bool> {
        let bad = |error: super::vici::Malformed| {
            log::debug!("a client of {} sent {error}", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, error)
        };
        let Some(length) = packet_length(&client.input, REQUEST_MAX).map_err(bad)? else {
            return Ok(false);
        };
        if client.input.len() < 4 + length {
            return Ok(false);
        }
        let bytes: Vec<u8> = client.input.drain(..4 + length).skip(4).collect();
        let packet = Packet::decode(&bytes).map_err(bad)?;
        match packet.kind {
            Kind::Request => {
                let request = Section::decode(packet.body).map_err(bad)?;
                match self.source.answer(packet.name, &request) {
                    None => client.put(Kind::UnknownCommand, "", &[]),
                    Some(Answer::Message(message)) => {
                        client.put(Kind::Response, "", message.bytes());
                    }
                    Some(Answer::Stream(event, items)) => client.stream_of = Some((event, items)),
                }
            }
            Kind::Register => {
                let known =
                    self.source.has_event(packet.name) && client.registered.len() < REGISTERED_MAX;
                if known {
                    client.registered.push(packet.name.to_owned());
                    client.put(Kind::Confirm, "", &[]);
                } else {
                    client.put(Kind::UnknownEvent, "", &[]);
                }
            }
            Kind::Unregister => {
                let place = client
                    .registered
                    .iter()
                    .position(|name| name == packet.name);
                match place {
                    Some(place) => {
                        client.registered.remove(place);
                        client.put(Kind::Confirm, "", &[]);
                    }
                    None => client.put(Kind::UnknownEvent, "", &[]),
                }
            }
            _ => return Err(bad(super::vici::Malformed("what only a server sends"))),
        }
        Ok(true)
    }

    /// Sends what is there, and makes more of a stream as it goes.
    fn send(&self, client: &mut Client, token: u64) -> io::Result<()> {
        let mut sent = 0;
        loop {
            client.produce();
            if client.output.is_empty() || sent >= SEND_TURN {
                break;
            }
            let (front, _) = client.output.as_slices();
            match client.stream.write(front) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    client.output.drain(..count);
                    client.active = Instant::now();
                    sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if client.output.is_empty() {
            // The room of a long answer is not kept.
            client.output = VecDeque::new();
        }
        // Requests that wait behind an answer are looked at when it is gone; no more are read
        // meanwhile than there is room for.
        let wanted = (
            client.input.len() < INPUT_MAX,
            !client.output.is_empty() || client.has_whole_packet(),
        );
        if wanted != client.wanted {
            self.poll.want(client.stream.as_raw_fd(), token, wanted)?;
            client.wanted = wanted;
        }
        Ok(())
    }

    /// Hands out the events that wait.
    fn tell(&self, state: &mut State) {
        let (events, dropped) = {
            let mut pending = self.events.queue.lock();
            (
                std::mem::take(&mut pending.events),
                std::mem::take(&mut pending.dropped),
            )
        };
        if dropped > 0 {
            log::warn!(
                "{dropped} events were not told on {}: too many at once",
                self.path.display()
            );
        }
        if events.is_empty() {
            return;
        }
        let mut broken = Vec::new();
        for (token, client) in &mut state.clients {
            for (name, body) in &events {
                if client.registered.iter().any(|wanted| wanted == name)
                    && client.output.len() + body.len() <= OUT_MAX
                {
                    if client.output.is_empty() {
                        client.active = Instant::now();
                    }
                    client.put(Kind::Event, name, body);
                }
            }
            if self.send(client, *token).is_err() {
                broken.push(*token);
            }
        }
        for token in broken {
            state.clients.remove(&token);
        }
    }

    /// Ends the connections of those who take too long.
    fn give_up(&self, state: &mut State) {
        state.clients.retain(|_, client| {
            let patient = client
                .owes_since()
                .is_none_or(|since| since.elapsed() < PATIENCE);
            if !patient {
                log::debug!(
                    "a client of {} took longer than {} s, its connection is closed",
                    self.path.display(),
                    PATIENCE.as_secs()
                );
            }
            patient
        });
    }

    /// Has us called when the next one has taken too long.
    fn arm(&self, state: &State) -> io::Result<()> {
        let next = state
            .clients
            .values()
            .filter_map(Client::owes_since)
            .min()
            .map(|since| PATIENCE.saturating_sub(since.elapsed()));
        self.poll.set_timer(next)
    }
}

impl Readable for Server {
    fn readable(&self) -> bool {
        // charon does not call again while a call is under way. If it is not there, a call before
        // this one did not come to its end, and what it left cannot be trusted.
        let Some(mut state) = self.lock().take() else {
            return false;
        };
        let result = self.work(&mut state);
        *self.lock() = Some(state);
        if let Err(error) = result {
            log::error!("the socket {} ends: {error}", self.path.display());
            return false;
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Another process may have put its own there meanwhile.
        if self.identity.is_some()
            && identity(&self.path) == self.identity
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("unable to remove {}: {error}", self.path.display());
        }
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

/// Root, and the group that may use charon's own sockets.
fn restrict(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o770))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let data = fs::symlink_metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

fn remove_left_over(path: &Path) -> io::Result<()> {
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !data.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something that is no socket",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Err(_) => fs::remove_file(path),
    }
}

/// Takes the one that did nothing for longest; one that only listens for events comes last.
fn evict(state: &mut State) {
    let oldest = state
        .clients
        .iter()
        .min_by_key(|(_, client)| (!client.registered.is_empty(), client.active))
        .map(|(token, _)| *token);
    if let Some(token) = oldest {
        state.clients.remove(&token);
    }
}

#[cfg(test)]
mod tests;
