// SPDX-License-Identifier: GPL-2.0-or-later
//! One netlink socket: opening it, sending a request on it, receiving datagrams of the kernel.
//!
//! Owns the system calls of the transport. Called by `netlink/mod.rs` and `events.rs`. Must wipe what
//! it received, since SAs are reported with their keys, and must not copy what it sends.
#![allow(
    unsafe_code,
    reason = "sendmsg(2) with a header apart, so that keys are not copied, and membarrier(2)"
)]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols};
use zeroize::Zeroize;

use super::super::consts::{NLA_ALIGN, NLMSG_HDRLEN};
use super::super::request::Request;
use super::super::sockopt;
use super::super::transport::Protocol;
use super::NetlinkSettings;

/// How long an answer may take. Programming a NIC takes milliseconds, but all requests of a network
/// namespace queue up in the kernel.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Port ids that are tried before the kernel chooses one: sockets of ours that are open have some.
const TRIES: usize = 32;
/// Large enough for any datagram: the kernel fills at most 32 KiB per datagram of a dump.
const BUFFER_LEN: usize = 65536;

/// What tells the kernel's reports of our own changes from those of others', so that ours, of which
/// nobody here needs to hear, wake nobody. Requests have it as `nlmsg_pid`, which XFRM does not read
/// but repeats (net/xfrm/xfrm_user.c: `c.portid = nlh->nlmsg_pid`); sockets to nftables, which names
/// the port id of the socket, are bound to one that begins so. A number that no other program has: not
/// of a process, nor one of those that the kernel gives to sockets.
pub(super) fn mark() -> u32 {
    static MARK: OnceLock<u32> = OnceLock::new();
    *MARK.get_or_init(|| {
        let random = RandomState::new().build_hasher().finish() as u32;
        (1 << 30) | (random >> 2)
    })
}

/// Binds a socket to a port id that begins as the mark; false if that is impossible.
fn bind_marked(socket: &mut Socket) -> bool {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (0..TRIES).any(|_| {
        let last = NEXT.fetch_add(1, Ordering::Relaxed) & !sockopt::OWN_MASK;
        let port = mark() & sockopt::OWN_MASK | last;
        socket.bind(&SocketAddr::new(port, 0)).is_ok()
    })
}

pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// A receive buffer that remembers how much of it must be wiped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self::with_len(BUFFER_LEN)
    }

    /// At least as large as any datagram.
    fn with_len(len: usize) -> Self {
        Self {
            bytes: vec![0; len.max(BUFFER_LEN)],
            used: 0,
        }
    }

    /// One datagram of the kernel. `flags` are those of recv(2).
    pub(super) fn receive(&mut self, socket: &Socket, flags: i32) -> io::Result<&[u8]> {
        loop {
            self.wipe();
            let received = socket.recv_from(&mut &mut self.bytes[..], flags | libc::MSG_TRUNC);
            let (len, sender) = match received {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.used = len.min(self.bytes.len());
            // Any process may send to a netlink socket; port 0 is the kernel.
            if sender.port_number() != 0 {
                continue;
            }
            if len > self.bytes.len() {
                return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
            }
            return Ok(&self.bytes[..self.used]);
        }
    }

    pub(super) fn wipe(&mut self) {
        self.bytes[..self.used].zeroize();
        self.used = 0;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.wipe();
    }
}

pub(super) fn open(protocol: Protocol) -> io::Result<Socket> {
    let mut socket = unbound(protocol)?;
    socket.bind_auto()?;
    Ok(socket)
}

fn unbound(protocol: Protocol) -> io::Result<Socket> {
    let number = match protocol {
        Protocol::Xfrm => protocols::NETLINK_XFRM,
        Protocol::Route => protocols::NETLINK_ROUTE,
        Protocol::Generic => protocols::NETLINK_GENERIC,
        Protocol::Netfilter => protocols::NETLINK_NETFILTER,
    };
    Socket::new(number)
}

/// A socket for requests, used by one caller at a time.
pub(super) struct Channel {
    pub(super) socket: Socket,
    sequence: u32,
    pub(super) buffer: Buffer,
}

impl Channel {
    pub(super) fn open(protocol: Protocol, settings: &NetlinkSettings) -> io::Result<Self> {
        let mut socket = unbound(protocol)?;
        // Otherwise we hear of our own changes, and know them by the thread (`guard/watch.rs`).
        if protocol != Protocol::Netfilter || !bind_marked(&mut socket) {
            socket.bind_auto()?;
        }
        socket.connect(&SocketAddr::new(0, 0))?;
        // Kernels that lack these only give shorter errors.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        sockopt::set_timeouts(socket.as_raw_fd(), settings.timeout())?;
        if settings.receive_buffer != 0 {
            // Without it, a large dump takes more turns; nothing is lost.
            let _ =
                sockopt::force_receive_buffer(socket.as_raw_fd(), settings.receive_buffer as i32);
        }
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Buffer::with_len(settings.buffer_len as usize),
        })
    }

    /// A channel to a kernel of paper.
    #[cfg(test)]
    pub(super) fn over(end: std::os::unix::net::UnixDatagram, settings: &NetlinkSettings) -> Self {
        use std::os::fd::{FromRawFd, IntoRawFd};
        // SAFETY: the descriptor is open and nobody else's any more. All that is done with it is to
        // send, to receive, and to close it.
        let socket = unsafe { Socket::from_raw_fd(end.into_raw_fd()) };
        sockopt::set_timeouts(socket.as_raw_fd(), settings.timeout()).expect("it has timeouts");
        Self {
            socket,
            sequence: 0,
            buffer: Buffer::new(),
        }
    }

    /// Sends requests in one datagram, each with a sequence number of its own; the first is returned.
    /// Not for what holds keys: it makes a copy.
    pub(super) fn send_all(&mut self, requests: &[Request]) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.iter().map(|r| r.bytes().len()).sum());
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            let start = datagram.len();
            let bytes = request.bytes();
            datagram.extend_from_slice(bytes);
            let mut patch = |offset: usize, value: &[u8]| {
                datagram[start + offset..start + offset + value.len()].copy_from_slice(value);
            };
            patch(0, &(bytes.len() as u32).to_ne_bytes());
            let flags = request.flags() | libc::NLM_F_REQUEST as u16;
            patch(6, &flags.to_ne_bytes());
            patch(8, &self.sequence.to_ne_bytes());
            datagram.resize(datagram.len().next_multiple_of(NLA_ALIGN), 0);
        }
        loop {
            match self.socket.send(&datagram, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(first),
            }
        }
    }

    /// Sends a request with a sequence number of its own, which is returned.
    pub(super) fn send(&mut self, request: &Request, flags: u16) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send_again(request, flags)
    }

    /// Sends a request with the number of the last one: the same request.
    pub(super) fn send_again(&mut self, request: &Request, flags: u16) -> io::Result<u32> {
        let bytes = request.bytes();
        let mut header = [0; NLMSG_HDRLEN];
        header[..4].copy_from_slice(&(bytes.len() as u32).to_ne_bytes());
        header[4..6].copy_from_slice(&request.kind().to_ne_bytes());
        header[6..8].copy_from_slice(&(request.flags() | flags).to_ne_bytes());
        header[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        header[12..16].copy_from_slice(&mark().to_ne_bytes());
        let payload = request.payload();
        let mut parts = [
            libc::iovec {
                iov_base: header.as_mut_ptr().cast(),
                iov_len: header.len(),
            },
            libc::iovec {
                iov_base: payload.as_ptr().cast_mut().cast(),
                iov_len: payload.len(),
            },
        ];
        loop {
            // SAFETY: msghdr is a C struct for which all zeroes is valid (no address, no control
            // data).
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = parts.as_mut_ptr();
            message.msg_iovlen = parts.len() as _;
            // SAFETY: `message` points at two parts that describe `header` and `payload`, all of
            // which outlive the call; sendmsg(2) only reads them. The descriptor is ours.
            let sent = unsafe { libc::sendmsg(self.socket.as_raw_fd(), &message, 0) };
            if sent >= 0 {
                return Ok(self.sequence);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// How long packets may be on their way where the kernel does not tell.
const ON_THEIR_WAY: Duration = Duration::from_millis(10);

/// [`super::Transport::wait_for_packets`]: the stack handles packets within sections that RCU waits for.
pub(super) fn wait_for_packets() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call has no pointers; with this command it is synchronize_rcu() (kernel/sched/membarrier.c).
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    // On one CPU the call returns at once, as memory needs no barrier there; a thread that sends can have been preempted
    // all the same.
    // SAFETY: sysconf() has no pointers.
    let alone = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } == 1;
    if result != 0 || alone {
        // Without CONFIG_MEMBARRIER, or with nohz_full, the call fails.
        std::thread::sleep(ON_THEIR_WAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_to_nftables_are_known_by_their_port() {
        let ports: Vec<u32> = (0..3)
            .map(|_| {
                let mut socket = Socket::new(protocols::NETLINK_ROUTE).unwrap();
                assert!(bind_marked(&mut socket));
                let mut address = SocketAddr::new(0, 0);
                socket.get_address(&mut address).unwrap();
                address.port_number()
            })
            .collect();
        for port in &ports {
            assert_eq!(port & sockopt::OWN_MASK, mark() & sockopt::OWN_MASK);
        }
    }

    #[test]
    fn a_buffer_forgets_what_it_held() {
        let mut buffer = Buffer::new();
        buffer.bytes[..40].fill(0xee);
        buffer.used = 40;
        buffer.wipe();
        assert!(buffer.bytes.iter().all(|byte| *byte == 0));
        assert_eq!(buffer.used, 0);
    }
}
