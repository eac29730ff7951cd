// SPDX-License-Identifier: GPL-2.0-or-later
//! What can go wrong, in words an operator can act on.
//!
//! Owns the error type of the core and its mapping to the result charon sees. Everybody below
//! `abi/` returns it. Must not log: the layer that knows the object does, once.
#![forbid(unsafe_code)]

use std::fmt;

use crate::model::UnknownAlgorithm;

/// The kernel's refusal of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// Message that was refused, such as `XFRM_MSG_NEWSA`.
    pub request: &'static str,
    /// Positive errno.
    pub errno: i32,
    /// Text of the extended ACK (`NLMSGERR_ATTR_MSG`).
    pub text: Option<String>,
    /// Attribute that the extended ACK points at (`NLMSGERR_ATTR_OFFS`), by its number.
    pub attribute: Option<u16>,
}

impl KernelError {
    /// A failure without an extended ACK, such as one of the socket itself.
    pub fn new(request: &'static str, errno: i32) -> Self {
        Self {
            request,
            errno,
            text: None,
            attribute: None,
        }
    }

    /// Text without the driver's name in front (`mlx5_core: `), for comparison.
    pub fn plain_text(&self) -> Option<&str> {
        let text = self.text.as_deref()?;
        Some(match text.split_once(": ") {
            Some((driver, rest)) if !driver.contains(' ') => rest,
            _ => text,
        })
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = std::io::Error::from_raw_os_error(self.errno);
        match &self.text {
            Some(text) => write!(f, "{text} ({reason}, {})", self.request)?,
            None => write!(f, "{reason} ({})", self.request)?,
        }
        if let Some(attribute) = self.attribute {
            write!(f, " at attribute {attribute}")?;
        }
        Ok(())
    }
}

/// Why a method failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The kernel or the driver refused.
    Kernel(KernelError),
    /// We refused before asking, with reason and remedy.
    Refused {
        /// What rule is broken.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// No such SA or policy.
    NotFound(String),
    /// It cannot be done this way; charon has another.
    NotSupported(String),
    /// An algorithm the kernel has no name for.
    Algorithm(UnknownAlgorithm),
    /// An argument that makes no sense.
    Invalid(String),
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        Error::Kernel(error)
    }
}

impl From<UnknownAlgorithm> for Error {
    fn from(error: UnknownAlgorithm) -> Self {
        Error::Algorithm(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Kernel(error) => error.fmt(f),
            Error::Refused { reason, remedy } if remedy.is_empty() => f.write_str(reason),
            Error::Refused { reason, remedy } => write!(f, "{reason}; {remedy}"),
            Error::Algorithm(unknown) => unknown.fmt(f),
            Error::NotFound(text) | Error::NotSupported(text) | Error::Invalid(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for Error {}

/// Result of the core's functions.
pub type Result<T> = std::result::Result<T, Error>;
