// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads the kernel's verdict on a request: `NLMSG_ERROR`, `NLMSG_DONE` and the extended ACK.
//!
//! Owns the decoding of errors. Called by `netlink.rs`. Must not decide what to do about one.
#![forbid(unsafe_code)]

use super::consts::NLMSG_HDRLEN;
use super::request::{Attributes, Request, text_of, u16_at, u32_at};
use crate::error::KernelError;

/// `NLM_F_CAPPED`: the refused request is not repeated beyond its header.
const NLM_F_CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes of an extended ACK follow.
const NLM_F_ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`
const ATTR_MSG: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`
const ATTR_OFFS: u16 = 2;
/// `NLMSGERR_ATTR_MISS_TYPE`
const ATTR_MISS_TYPE: u16 = 5;

/// The verdict of an `NLMSG_ERROR` message, whose code 0 means success.
pub(super) fn read_error(flags: u16, payload: &[u8], request: &Request) -> Result<(), KernelError> {
    let code = u32_at(payload, 0).map_or(-libc::EBADMSG, |code| code as i32);
    if code == 0 {
        return Ok(());
    }
    let mut attributes = Attributes::new(&[]);
    if flags & NLM_F_ACK_TLVS != 0 {
        let repeated = if flags & NLM_F_CAPPED != 0 {
            NLMSG_HDRLEN
        } else {
            u32_at(payload, 4).map_or(NLMSG_HDRLEN, |len| len as usize)
        };
        attributes =
            Attributes::behind(payload, 4usize.saturating_add(repeated.min(payload.len())));
    }
    Err(refusal(code, attributes, request))
}

/// The verdict at the end of a dump: a code, then attributes.
pub(super) fn read_done(payload: &[u8], request: &Request) -> Result<(), KernelError> {
    // Some families end a dump without a code.
    let code = u32_at(payload, 0).map_or(0, |code| code as i32);
    if code >= 0 {
        return Ok(());
    }
    Err(refusal(code, Attributes::behind(payload, 4), request))
}

fn refusal(code: i32, attributes: Attributes<'_>, request: &Request) -> KernelError {
    let mut error = KernelError::new(request.name(), code.checked_neg().unwrap_or(libc::EBADMSG));
    for (kind, value) in attributes {
        match kind {
            ATTR_MSG => error.text = text_of(value).map(str::to_owned),
            ATTR_OFFS => {
                error.attribute = u32_at(value, 0)
                    .and_then(|offset| usize::try_from(offset).ok())
                    .filter(|offset| *offset >= NLMSG_HDRLEN)
                    .and_then(|offset| u16_at(request.bytes(), offset + 2))
                    .map(|kind| kind & 0x3fff);
            }
            ATTR_MISS_TYPE => {
                error.attribute = u32_at(value, 0).and_then(|kind| u16::try_from(kind).ok());
            }
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let mut request = Request::new("XFRM_MSG_NEWSA", 16, 0);
        request.put(&[0; 8]);
        request.attribute_u32(33, 7);
        request
    }

    fn verdict(code: i32, flags: u16, repeated: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut tail = Request::new("", 0, flags);
        for (kind, value) in attributes {
            tail.attribute(*kind, value);
        }
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend_from_slice(repeated);
        payload.extend_from_slice(tail.payload());
        payload
    }

    #[test]
    fn the_extended_ack_is_read_whether_capped_or_not() {
        let request = request();
        let mut whole = request.bytes().to_vec();
        whole[..4].copy_from_slice(&(request.bytes().len() as u32).to_ne_bytes());
        for (flags, repeated) in [(0x300, &whole[..16]), (0x200, &whole[..])] {
            let payload = verdict(
                -22,
                flags,
                repeated,
                &[
                    (1, b"Mismatched SA and offload direction\0"),
                    (2, &24u32.to_ne_bytes()),
                ],
            );
            let error = read_error(flags, &payload, &request).unwrap_err();
            assert_eq!(error.errno, libc::EINVAL);
            assert_eq!(
                error.text.as_deref(),
                Some("Mismatched SA and offload direction")
            );
            assert_eq!(error.attribute, Some(33));
            assert_eq!(error.request, "XFRM_MSG_NEWSA");
        }
    }

    #[test]
    fn an_ack_without_attributes_is_just_a_code() {
        let request = request();
        let payload = verdict(
            -3,
            0x100,
            &request.bytes()[..16],
            &[(1, b"not announced\0")],
        );
        let error = read_error(0x100, &payload, &request).unwrap_err();
        assert_eq!((error.errno, error.text), (libc::ESRCH, None));
        assert_eq!(read_error(0, &0u32.to_ne_bytes(), &request), Ok(()));
    }

    #[test]
    fn garbage_is_a_failure_and_never_a_success() {
        let request = request();
        assert_eq!(
            read_error(0, &[1], &request).unwrap_err().errno,
            libc::EBADMSG
        );
        assert_eq!(
            read_error(0, &i32::MIN.to_ne_bytes(), &request)
                .unwrap_err()
                .errno,
            libc::EBADMSG
        );
        assert_eq!(
            read_done(&(-libc::EINTR).to_ne_bytes(), &request)
                .unwrap_err()
                .errno,
            libc::EINTR
        );
        assert_eq!(read_done(&[], &request), Ok(()));
    }
}
