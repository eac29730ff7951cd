// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel, with a ledger of what we put into it.
//!
//! Owns the order: written down, then installed; deleted, then crossed out. Everything in `backend/`
//! that changes the SAD or the SPD does it here, so that nothing is forgotten; reading goes to the
//! kernel itself. Must not decide anything.

use std::net::IpAddr;
use std::ops::Deref;

use crate::error::KernelError;
use crate::ledger::{self, Ledger};
use crate::model::{Proto, SaKey};
use crate::xfrm::{Kernel, PolicyKey, PolicyMessage, SaMessage, SaMove};

/// See the [module](self).
pub(super) struct Recorded {
    kernel: Kernel,
    ledger: Option<Ledger>,
}

impl Deref for Recorded {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        &self.kernel
    }
}

type Result<T = ()> = std::result::Result<T, KernelError>;

impl Recorded {
    pub(super) fn new(kernel: Kernel, ledger: Option<Ledger>) -> Self {
        Self { kernel, ledger }
    }

    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// As [`Kernel::new_sa`].
    pub(super) fn new_sa(&self, message: &SaMessage<'_>, update: bool) -> Result {
        let key = message.id.key();
        let Some(ledger) = &self.ledger else {
            return self.kernel.new_sa(message, update);
        };
        let (reqid, src) = (message.spec.reqid, message.id.src.ip);
        let entry = ledger::sa(&key, src, reqid, message.placement);
        let known = ledger.add(&entry);
        let result = self.kernel.new_sa(message, update);
        if !known && result.is_err() {
            ledger.remove(&entry.0);
        }
        result
    }

    /// As [`Kernel::del_sa`].
    pub(super) fn del_sa(&self, key: &SaKey, src: IpAddr) -> Result {
        let result = again(libc::ESRCH, || self.kernel.del_sa(key, src));
        self.cross_out(&result, libc::ESRCH, || ledger::sa_key(key));
        result
    }

    /// As [`Kernel::move_sa`].
    pub(super) fn move_sa(&self, change: &SaMove<'_>) -> Result {
        let Some(ledger) = &self.ledger else {
            return self.kernel.move_sa(change);
        };
        let old = ledger::sa_key(change.key);
        let reqid = change.new_reqid.or_else(|| {
            let rest = ledger.rest_of(&old)?;
            ledger::reqid_of(&rest)
        });
        let key = SaKey {
            dst: change.new_dst.ip,
            ..*change.key
        };
        let src = change.new_src.ip;
        let entry = ledger::sa(&key, src, reqid.unwrap_or(0), change.placement);
        ledger.add(&entry);
        let result = self.kernel.move_sa(change);
        // After a failure the SA may be there or not: del_sa crosses it out.
        match &result {
            Ok(()) if old != entry.0 => ledger.remove(&old),
            Err(_) if old != entry.0 => ledger.remove(&entry.0),
            _ => {}
        }
        result
    }

    /// As [`Kernel::flush_sas`].
    pub(super) fn flush_sas(&self, proto: Proto) -> Result {
        self.kernel.flush_sas(proto)
    }

    /// As [`Kernel::new_policy`].
    pub(super) fn new_policy(&self, message: &PolicyMessage<'_>, update: bool) -> Result {
        let Some(ledger) = &self.ledger else {
            return self.send_policy(message, update);
        };
        let entry = ledger::policy(message);
        let known = ledger.add(&entry);
        let result = self.send_policy(message, update);
        if !known && result.is_err() {
            ledger.remove(&entry.0);
        }
        result
    }

    /// A new policy of which nobody knows whether it was installed is taken back.
    fn send_policy(&self, message: &PolicyMessage<'_>, update: bool) -> Result {
        let result = self.kernel.new_policy(message, update);
        if let Err(error) = &result
            && !update
            && matches!(
                error.errno,
                libc::ENOBUFS | libc::ETIMEDOUT | libc::EINTR | libc::EAGAIN
            )
        {
            let _ = self.kernel.del_policy(message.key);
        }
        result
    }

    /// As [`Kernel::del_policy`].
    pub(super) fn del_policy(&self, key: &PolicyKey) -> Result {
        let result = again(libc::ENOENT, || self.kernel.del_policy(key));
        self.cross_out(&result, libc::ENOENT, || ledger::policy_key(key));
        result
    }

    /// As [`Kernel::flush_policies`].
    pub(super) fn flush_policies(&self) -> Result {
        self.kernel.flush_policies()
    }

    fn cross_out(&self, result: &Result, absent: i32, key: impl FnOnce() -> String) {
        let gone = match result {
            Ok(()) => true,
            Err(error) => error.errno == absent,
        };
        if let Some(ledger) = self.ledger.as_ref().filter(|_| gone) {
            ledger.remove(&key());
        }
    }
}

/// What is to go has to go: a refusal that is not "there is none" is not taken for an answer at once.
fn again(absent: i32, call: impl Fn() -> Result) -> Result {
    match call() {
        Err(error) if error.errno != absent => match call() {
            // The first one was carried out, and its answer was lost.
            Err(second) if second.errno == absent => Ok(()),
            second => second,
        },
        first => first,
    }
}
