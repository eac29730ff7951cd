// SPDX-License-Identifier: GPL-2.0-or-later
//! A client of vici: charon's socket and our plugin's.
//!
//! Owns the connection. Called by `machine` and `status`. Every wait has an end, and every length
//! a limit: the other side may be anything that was found at the path.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use fastswan::status::vici::{Kind, Malformed, PACKET_MAX, Packet, Section, packet_length};

/// An answer that takes longer is none. charon answers `list-sas` while it installs SAs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Messages of one stream; more is not a list but a flood.
const STREAM_MAX: usize = 1_000_000;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// Nobody listens, or it broke off; with the path.
    Io(String, io::Error),
    /// What came is no vici.
    Malformed(Malformed),
    /// It answered, but with no.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(path, error) => match error.kind() {
                io::ErrorKind::NotFound => write!(f, "nobody listens on {path}: it is not there"),
                io::ErrorKind::ConnectionRefused => {
                    write!(f, "nobody listens on {path}, it was left behind")
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "{path} may be used by root and its group only")
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    write!(f, "no answer on {path} within {} s", TIMEOUT.as_secs())
                }
                _ => write!(f, "{path}: {error}"),
            },
            Error::Malformed(error) => error.fmt(f),
            Error::Refused(text) => f.write_str(text),
        }
    }
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Error::Malformed(error)
    }
}

/// A connection.
pub(crate) struct Session {
    stream: UnixStream,
    path: String,
    deadline: Instant,
}

impl Session {
    /// Connects.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let stream = UnixStream::connect(path).map_err(|error| Error::Io(name.clone(), error))?;
        let session = Self {
            stream,
            path: name,
            deadline: Instant::now() + TIMEOUT,
        };
        let set = session
            .stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| session.stream.set_write_timeout(Some(TIMEOUT)));
        set.map_err(|error| session.io(error))?;
        Ok(session)
    }

    fn io(&self, error: io::Error) -> Error {
        Error::Io(self.path.clone(), error)
    }

    fn send(&mut self, kind: Kind, name: &str, body: &[u8]) -> Result<(), Error> {
        self.deadline = Instant::now() + TIMEOUT;
        let bytes = Packet { kind, name, body }.encode();
        let result = self.stream.write_all(&bytes);
        result.map_err(|error| self.io(error))
    }

    /// The bytes of the next packet.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Error> {
        let mut head = [0; 4];
        self.fill(&mut head)?;
        let length = packet_length(&head, PACKET_MAX)?.unwrap_or(0);
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A read timeout alone is no limit: one byte now and then would keep us for ever.
    fn fill(&mut self, mut room: &mut [u8]) -> Result<(), Error> {
        while !room.is_empty() {
            if Instant::now() > self.deadline {
                return Err(self.io(io::ErrorKind::TimedOut.into()));
            }
            match self.stream.read(room) {
                Ok(0) => return Err(self.io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => room = &mut room[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        Ok(())
    }

    /// A command with the arguments in `body`, and its answer. An answer with `success = no` is an
    /// error with its text.
    pub(crate) fn request(&mut self, name: &str, body: &[u8]) -> Result<Section, Error> {
        self.send(Kind::Request, name, body)?;
        loop {
            let bytes = self.receive()?;
            let packet = Packet::decode(&bytes)?;
            match packet.kind {
                Kind::Response => return self.answer(Section::decode(packet.body)?),
                Kind::UnknownCommand => {
                    return Err(Error::Refused(format!(
                        "{} knows no command \"{name}\"",
                        self.path
                    )));
                }
                Kind::Event => {}
                _ => return Err(Malformed("an answer of another kind was due").into()),
            }
        }
    }

    fn answer(&self, message: Section) -> Result<Section, Error> {
        if message.text("success") == Some("no") {
            let why = message.text("errmsg").unwrap_or("it gives no reason");
            return Err(Error::Refused(why.to_owned()));
        }
        Ok(message)
    }

    /// A command that answers by a stream of events.
    pub(crate) fn stream(
        &mut self,
        command: &str,
        event: &str,
        each: &mut dyn FnMut(&Section),
    ) -> Result<(), Error> {
        self.register(event)?;
        self.send(Kind::Request, command, &[])?;
        for _ in 0..STREAM_MAX {
            let bytes = self.receive()?;
            self.deadline = Instant::now() + TIMEOUT;
            let packet = Packet::decode(&bytes)?;
            match packet.kind {
                Kind::Event if packet.name == event => each(&Section::decode(packet.body)?),
                Kind::Event => {}
                Kind::Response => {
                    self.answer(Section::decode(packet.body)?)?;
                    self.send(Kind::Unregister, event, &[])?;
                    return self.confirmed(event);
                }
                Kind::UnknownCommand => {
                    return Err(Error::Refused(format!(
                        "{} knows no command \"{command}\"",
                        self.path
                    )));
                }
                _ => return Err(Malformed("an event was due").into()),
            }
        }
        Err(Malformed("the stream does not end").into())
    }

    /// Asks for an event.
    fn register(&mut self, event: &str) -> Result<(), Error> {
        self.send(Kind::Register, event, &[])?;
        self.confirmed(event)
    }

    fn confirmed(&mut self, event: &str) -> Result<(), Error> {
        loop {
            let bytes = self.receive()?;
            match Packet::decode(&bytes)?.kind {
                Kind::Confirm => return Ok(()),
                Kind::Event => {}
                Kind::UnknownEvent => {
                    return Err(Error::Refused(format!(
                        "{} knows no event \"{event}\"",
                        self.path
                    )));
                }
                _ => return Err(Malformed("a confirmation was due").into()),
            }
        }
    }
}
