// SPDX-License-Identifier: GPL-2.0-or-later
//! Socket options: those that charon's IKE sockets need from a `kernel_ipsec_t`, and two for our own
//! netlink sockets that netlink-sys does not have.
//!
//! Owns the calls to setsockopt(2). Called by `backend/` with descriptors that charon owns, and by
//! `netlink.rs`. Must not keep or close a descriptor.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::consts::{UDP_ENCAP_ESPINUDP, selector, userpolicy};
use crate::model::Direction;

/// `IP_XFRM_POLICY` of linux/in.h
const IP_XFRM_POLICY: i32 = 17;
/// `IPV6_XFRM_POLICY` of linux/in6.h
const IPV6_XFRM_POLICY: i32 = 35;
/// `UDP_ENCAP` of linux/udp.h
const UDP_ENCAP: i32 = 100;
/// `UDP_GRO` of linux/udp.h
const UDP_GRO: i32 = 104;

fn set(fd: RawFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only
    // reads it. A descriptor that is not open gives EBADF.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct xfrm_userpolicy_info` that lets everything pass.
fn bypass_policy(family: i32, dir: Direction) -> [u8; userpolicy::LEN] {
    let mut policy = [0; userpolicy::LEN];
    policy[userpolicy::SEL + selector::FAMILY..][..2]
        .copy_from_slice(&(family as u16).to_ne_bytes());
    policy[userpolicy::DIR] = dir.xfrm();
    policy
}

/// Port ids that begin as ours does belong to us.
pub const OWN_MASK: u32 = !0xff;

/// Has the kernel drop what arrives on a netlink socket unless its first message has one of the
/// types (none: any), and if its port id begins as `own` (see [`OWN_MASK`]). A classic BPF program,
/// which sees `nlmsghdr` from its beginning.
pub fn accept_kinds(fd: RawFd, kinds: &[u16], own: u32) -> io::Result<()> {
    const NLMSG_TYPE: u32 = 4;
    const NLMSG_PID: u32 = 12;
    let code = |parts: [u32; 3]| parts.iter().fold(0, |code, part| code | *part as u16);
    let load = code([libc::BPF_LD, libc::BPF_H, libc::BPF_ABS]);
    let load_word = code([libc::BPF_LD, libc::BPF_W, libc::BPF_ABS]);
    let and = code([libc::BPF_ALU, libc::BPF_AND, libc::BPF_K]);
    let equal = code([libc::BPF_JMP, libc::BPF_JEQ, libc::BPF_K]);
    let give = code([libc::BPF_RET, libc::BPF_K, 0]);
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let count = u8::try_from(kinds.len())
        .ok()
        .filter(|count| *count < u8::MAX)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // The loads are in network order, the fields in the host's.
    let network = |value: u32| u32::from_be_bytes(value.to_ne_bytes());
    let mut program = vec![
        instruction(load_word, 0, 0, NLMSG_PID),
        instruction(and, 0, 0, network(OWN_MASK)),
    ];
    // The two ends are behind the types.
    if kinds.is_empty() {
        program.push(instruction(equal, 0, 1, network(own & OWN_MASK)));
    } else {
        program.push(instruction(equal, count + 1, 0, network(own & OWN_MASK)));
        program.push(instruction(load, 0, 0, NLMSG_TYPE));
    }
    for (number, kind) in (0..count).zip(kinds) {
        let kind = u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
        program.push(instruction(equal, count - number, 0, kind));
    }
    program.push(instruction(give, 0, 0, 0));
    program.push(instruction(give, 0, 0, u32::MAX));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the structure and the program it points to outlive the call, in which the kernel
    // copies both; the lengths are theirs.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Exempts a socket (of IKE) from all policies, in both directions.
pub fn bypass(fd: RawFd, family: i32) -> io::Result<()> {
    let (level, option) = match family {
        libc::AF_INET => (libc::IPPROTO_IP, IP_XFRM_POLICY),
        libc::AF_INET6 => (libc::IPPROTO_IPV6, IPV6_XFRM_POLICY),
        _ => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    };
    set(fd, level, option, &bypass_policy(family, Direction::Out))?;
    set(fd, level, option, &bypass_policy(family, Direction::In))
}

/// Lets the kernel take ESP in UDP (RFC 3948) out of what arrives on a UDP socket. The family makes
/// no difference to the kernel.
pub fn udp_decap(fd: RawFd, family: i32) -> io::Result<()> {
    if !matches!(family, libc::AF_INET | libc::AF_INET6) {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    let kind = i32::from(UDP_ENCAP_ESPINUDP);
    set(fd, libc::IPPROTO_UDP, UDP_ENCAP, &kind.to_ne_bytes())
}

/// Lets ESP in UDP be merged before it is decrypted; only a matter of speed.
pub fn udp_gro(fd: RawFd) -> io::Result<()> {
    set(fd, libc::IPPROTO_UDP, UDP_GRO, &1i32.to_ne_bytes())
}

/// The UDP port a socket is bound to, 0 if it is not bound.
pub fn local_port(fd: RawFd) -> io::Result<u16> {
    let mut address = [0_u8; size_of::<libc::sockaddr_storage>()];
    let mut len = address.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `address`, which outlives the call; bytes
    // have no invalid values. A descriptor that is not open gives EBADF.
    let result = unsafe { libc::getsockname(fd, address.as_mut_ptr().cast(), &raw mut len) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let family = i32::from(u16::from_ne_bytes([address[0], address[1]]));
    match family {
        // Both families have the port behind the family, in network order.
        libc::AF_INET | libc::AF_INET6 => Ok(u16::from_be_bytes([address[2], address[3]])),
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// Whether something can be read from a descriptor, without waiting.
pub fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: One entry, which outlives the call; with a timeout of 0 it does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLIN != 0
}

/// Bounds each wait for an answer, and each for room to send.
pub(super) fn set_timeouts(fd: RawFd, timeout: Duration) -> io::Result<()> {
    let mut value = Vec::with_capacity(2 * size_of::<libc::time_t>());
    // struct timeval: on every Linux target both fields have the size of long.
    value.extend_from_slice(&(timeout.as_secs() as libc::c_long).to_ne_bytes());
    value.extend_from_slice(&libc::c_long::from(timeout.subsec_micros() as i32).to_ne_bytes());
    set(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)?;
    set(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &value)
}

/// A receive buffer beyond the system's limit, if we may; else up to the limit.
pub(super) fn force_receive_buffer(fd: RawFd, bytes: i32) -> io::Result<()> {
    set(
        fd,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        &bytes.to_ne_bytes(),
    )
    .or_else(|_| set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use netlink_packet_xfrm::UserPolicyInfo;

    use super::*;

    #[test]
    fn the_bypass_policy_is_allow_for_the_family() {
        let bytes = bypass_policy(libc::AF_INET6, Direction::Out);
        let policy = UserPolicyInfo::parse(&bytes).unwrap();
        // The crate's default has limits without end; the kernel does not look at them here.
        let mut expected = UserPolicyInfo {
            lifetime_cfg: policy.lifetime_cfg,
            ..UserPolicyInfo::default()
        };
        expected.selector.family = libc::AF_INET6 as u16;
        expected.direction = 1;
        assert_eq!(policy, expected);
    }

    #[test]
    fn the_kernel_accepts_the_udp_options() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp_gro(socket.as_raw_fd()).unwrap();
        let timeout = Duration::from_millis(2500);
        set_timeouts(socket.as_raw_fd(), timeout).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), Some(timeout));
        assert_eq!(socket.write_timeout().unwrap(), Some(timeout));
        force_receive_buffer(socket.as_raw_fd(), 65536).unwrap();
    }

    #[test]
    fn a_filter_lets_only_the_wanted_types_through() {
        let (sender, receiver) = std::os::unix::net::UnixDatagram::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let own = 0x4123_4567_u32;
        accept_kinds(receiver.as_raw_fd(), &[0x11, 0x1d, 0x1234], own).unwrap();
        for kind in [0x10u16, 0x11, 0x13, 0x1d, 0x1100, 0x1234, 0x3412] {
            for from in [own, own ^ 0x55, 0, own.swap_bytes(), own + 0x100] {
                let mut message = [0u8; 20];
                message[4..6].copy_from_slice(&kind.to_ne_bytes());
                message[12..16].copy_from_slice(&from.to_ne_bytes());
                // Whoever sends on such a socket is told that it was dropped; netlink is not.
                let _ = sender.send(&message);
            }
        }
        let _ = sender.send(&[0x11, 0]);
        let mut seen = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(len) = receiver.recv(&mut buffer) {
            assert_eq!(len, 20, "nothing is cut off");
            let from = u32::from_ne_bytes([buffer[12], buffer[13], buffer[14], buffer[15]]);
            assert_ne!(from & OWN_MASK, own & OWN_MASK);
            seen.push(u16::from_ne_bytes([buffer[4], buffer[5]]));
        }
        assert_eq!(seen, [[0x11; 3], [0x1d; 3], [0x1234; 3]].concat());
        for count in [255, 256] {
            let kinds = vec![1; count];
            let error = accept_kinds(receiver.as_raw_fd(), &kinds, own).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        accept_kinds(receiver.as_raw_fd(), &[1; 254], own).unwrap();
        accept_kinds(receiver.as_raw_fd(), &[], own).unwrap();
        for from in [own, own + 0x100] {
            let mut message = [0u8; 20];
            message[12..16].copy_from_slice(&from.to_ne_bytes());
            let _ = sender.send(&message);
        }
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 20);
        assert_eq!(buffer[12..16], (own + 0x100).to_ne_bytes());
        assert!(receiver.recv(&mut buffer).is_err());
    }

    #[test]
    fn the_local_port_is_told_for_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            let port = socket.local_addr().unwrap().port();
            assert_eq!(local_port(socket.as_raw_fd()).unwrap(), port);
        }
        assert_eq!(
            local_port(-1).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    }

    #[test]
    fn what_is_no_socket_or_no_family_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(
            udp_gro(file.as_raw_fd()).unwrap_err().raw_os_error(),
            Some(libc::ENOTSOCK)
        );
        for result in [bypass(0, 99), udp_decap(0, 99)] {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EAFNOSUPPORT));
        }
    }
}
