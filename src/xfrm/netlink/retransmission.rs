// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of what is sent again, against a kernel that loses messages.
//!
//! Owns that kernel: the other end of a pair of sockets, answering as it is told. The real one loses
//! nothing on request.

use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

use super::{Channel, NLMSG_ERROR, NetlinkSettings, NetlinkTransport, Protocol, lock};
use crate::error::KernelError;
use crate::xfrm::request::Request;
use crate::xfrm::transport::Transport;

/// What the kernel does with a request that has arrived.
#[derive(Clone, Copy)]
enum Does {
    /// It, or its answer, is lost.
    Lose,
    /// It is answered; 0 is success.
    Answer(i32),
    /// An answer to the request before comes first.
    AnswerLate(i32),
}

const SETTINGS: NetlinkSettings = NetlinkSettings {
    buffer_len: 0,
    receive_buffer: 0,
    // More than a busy machine takes to switch to the other thread.
    timeout_ms: 1000,
    retries: 2,
    ignore_retransmit_errors: false,
};
/// XFRM_MSG_NEWSA
const NEWSA: u16 = 16;

/// An NLMSG_ERROR for the request that began with this header.
fn answer(sequence: u32, errno: i32, header: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend_from_slice(&36u32.to_ne_bytes());
    message.extend_from_slice(&NLMSG_ERROR.to_ne_bytes());
    message.extend_from_slice(&0u16.to_ne_bytes());
    message.extend_from_slice(&sequence.to_ne_bytes());
    message.extend_from_slice(&0u32.to_ne_bytes());
    message.extend_from_slice(&(-errno).to_ne_bytes());
    message.extend_from_slice(&header[..16]);
    message
}

/// Sends one request to a kernel that does as `script` says, one step per request that arrives.
/// Returns how it ended and what arrived.
fn converse(
    settings: NetlinkSettings,
    script: &'static [Does],
) -> (Result<(), KernelError>, Vec<Vec<u8>>) {
    let (ours, kernel) = UnixDatagram::pair().unwrap();
    kernel
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let arrived = thread::spawn(move || {
        let mut arrived = Vec::new();
        let mut buffer = [0; 512];
        // Ends with what is no request: such a socket does not say that the other end is closed.
        while let Ok(len @ 16..) = kernel.recv(&mut buffer) {
            let request = &buffer[..len];
            let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
            match script[arrived.len().min(script.len() - 1)] {
                Does::Lose => {}
                Does::Answer(errno) => {
                    kernel.send(&answer(sequence, errno, request)).unwrap();
                }
                Does::AnswerLate(errno) => {
                    kernel
                        .send(&answer(sequence.wrapping_sub(1), errno, request))
                        .unwrap();
                    kernel.send(&answer(sequence, 0, request)).unwrap();
                }
            }
            arrived.push(request.to_vec());
        }
        arrived
    });
    let transport = NetlinkTransport {
        settings,
        ..NetlinkTransport::default()
    };
    let end = ours.try_clone().unwrap();
    let channel = Channel::over(ours, &settings);
    lock(&transport.xfrm.idle).push(channel);
    let mut request = Request::new("XFRM_MSG_NEWSA", NEWSA, 0);
    request.put_u32(7);
    let ended = transport.ack(Protocol::Xfrm, &request);
    end.send(&[0]).unwrap();
    (ended, arrived.join().unwrap())
}

#[test]
fn what_is_lost_is_sent_again_as_it_was() {
    let (ended, arrived) = converse(SETTINGS, &[Does::Lose, Does::Lose, Does::Answer(0)]);
    assert_eq!(ended.map_err(|error| error.errno), Ok(()));
    assert_eq!(arrived.len(), 3);
    // The same number too: otherwise an answer to the first would be taken for none.
    assert!(arrived.iter().all(|request| *request == arrived[0]));
}

#[test]
fn there_is_an_end_to_it() {
    let (ended, arrived) = converse(SETTINGS, &[Does::Lose]);
    assert_eq!(ended.unwrap_err().errno, libc::ETIMEDOUT);
    assert_eq!(arrived.len(), 1 + SETTINGS.retries as usize);
}

#[test]
fn without_retries_it_is_sent_once() {
    let once = NetlinkSettings {
        retries: 0,
        ..SETTINGS
    };
    let (ended, arrived) = converse(once, &[Does::Lose]);
    assert_eq!(ended.unwrap_err().errno, libc::ETIMEDOUT);
    assert_eq!(arrived.len(), 1);
}

#[test]
fn what_was_executed_the_first_time_fails_the_second_unless_that_is_ignored() {
    const SCRIPT: &[Does] = &[Does::Lose, Does::Answer(libc::EEXIST)];
    let (strict, _) = converse(SETTINGS, SCRIPT);
    assert_eq!(strict.unwrap_err().errno, libc::EEXIST);
    let ignoring = NetlinkSettings {
        ignore_retransmit_errors: true,
        ..SETTINGS
    };
    let (ended, arrived) = converse(ignoring, SCRIPT);
    assert!(ended.is_ok());
    assert_eq!(arrived.len(), 2);
    // Sent once, it is a refusal like any other.
    let (ended, _) = converse(ignoring, &[Does::Answer(libc::EEXIST)]);
    assert_eq!(ended.unwrap_err().errno, libc::EEXIST);
    // And so is another error.
    let (ended, _) = converse(ignoring, &[Does::Lose, Does::Answer(libc::EINVAL)]);
    assert_eq!(ended.unwrap_err().errno, libc::EINVAL);
}

#[test]
fn a_late_answer_to_another_request_is_not_ours() {
    let (ended, arrived) = converse(SETTINGS, &[Does::AnswerLate(libc::EINVAL)]);
    assert!(ended.is_ok());
    assert_eq!(arrived.len(), 1);
}
