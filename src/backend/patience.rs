// SPDX-License-Identifier: GPL-2.0-or-later
//! A NIC that is busy or full, and how long it is worth waiting.
//!
//! Owns the memory of what each device refused and freed, and the bounded retries. EBUSY may pass
//! (the driver could not take a lock of the eswitch) or stay (a tc rule in hardware); ENOSPC passes
//! shortly after a delete, since drivers free lazily (net/xfrm/xfrm_state.c: xfrm_state_gc_task).
//! Called by `sa.rs`, `policy.rs` and `takeover.rs`. Must not wait unless it is likely to help, and
//! never for long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::KernelError;

use super::Core;

/// The pauses between tries.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];
/// A device that was busy for all of the tries is not waited for again for so long.
const GIVEN_UP: Duration = Duration::from_secs(5);
/// So long after a delete a device may still be freeing.
const FREEING: Duration = Duration::from_secs(1);
/// A unit that was asked to move may take so long for its rekey.
const REKEYING: Duration = Duration::from_secs(5);
/// A call into a NIC that takes so long is not waited for by those who only want to know something.
const SLOW: Duration = Duration::from_millis(100);
/// The longest time between two tries to take units over.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, Default)]
struct Device {
    /// Something was last deleted from it.
    freed: Option<Duration>,
    /// It last refused for want of room, or as busy.
    refused: Option<Duration>,
    /// It was busy for all of the tries.
    given_up: Option<Duration>,
    /// A unit was asked to move into it, and has not tried yet.
    asked: Option<Duration>,
    /// Wait this long after a refusal before a unit is taken over.
    wait: Duration,
}

/// What devices did lately.
#[derive(Debug, Default)]
pub(super) struct Patience {
    devices: Mutex<HashMap<u32, Device>>,
    /// When the calls that are under way began.
    calls: Mutex<Vec<Duration>>,
}

/// A call into a NIC that is under way.
struct Call<'a> {
    calls: &'a Mutex<Vec<Duration>>,
    begun: Duration,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = calls.iter().position(|begun| *begun == self.begun) {
            calls.swap_remove(at);
        }
    }
}

impl Patience {
    /// Something in packet mode was deleted from a device.
    pub(super) fn freed(&self, ifindex: u32, now: Duration) {
        self.lock().entry(ifindex).or_default().freed = Some(now);
    }

    fn call(&self, now: Duration) -> Call<'_> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(now);
        Call {
            calls: &self.calls,
            begun: now,
        }
    }

    /// A NIC takes its time. The kernel does one thing at a time for a network namespace
    /// (net/xfrm/xfrm_user.c: xfrm_netlink_rcv holds xfrm_cfg_mutex), so that whoever asks waits.
    pub(super) fn is_slow(&self, now: Duration) -> bool {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slow = calls
            .iter()
            .filter(|begun| now.saturating_sub(**begun) >= SLOW);
        slow.next().is_some()
    }

    /// A unit is about to move into a device: others wait for how that ends.
    pub(super) fn asked(&self, ifindex: u32, now: Duration) {
        self.lock().entry(ifindex).or_default().asked = Some(now);
    }

    /// Whether there may be room in a device that had none.
    pub(super) fn may_have_room(&self, ifindex: u32, now: Duration) -> bool {
        let devices = self.lock();
        let Some(device) = devices.get(&ifindex) else {
            return true;
        };
        if device
            .asked
            .is_some_and(|asked| now.saturating_sub(asked) < REKEYING)
        {
            return false;
        }
        let Some(refused) = device.refused else {
            return true;
        };
        let waited = now.saturating_sub(refused);
        // Without a delete of ours somebody else may have made room, or have stopped to block it.
        waited >= device.wait && device.freed.is_some_and(|freed| freed >= refused)
            || waited >= LONGEST
    }

    fn worth_another_try(&self, ifindex: u32, errno: i32, now: Duration) -> bool {
        let within =
            |time: Option<Duration>, span| time.is_some_and(|time| now.saturating_sub(time) < span);
        let devices = self.lock();
        let device = devices.get(&ifindex).copied().unwrap_or_default();
        match errno {
            libc::EBUSY => !within(device.given_up, GIVEN_UP),
            libc::ENOSPC | libc::ENOMEM => within(device.freed, FREEING),
            _ => false,
        }
    }

    fn note(&self, ifindex: u32, errno: Option<i32>, now: Duration) {
        let mut devices = self.lock();
        let device = devices.entry(ifindex).or_default();
        device.asked = None;
        match errno {
            None => (device.given_up, device.wait) = (None, Duration::ZERO),
            Some(errno @ (libc::EBUSY | libc::ENOSPC | libc::ENOMEM)) => {
                if errno == libc::EBUSY {
                    device.given_up = Some(now);
                }
                device.refused = Some(now);
                device.wait = (device.wait * 2).clamp(Duration::from_secs(1), LONGEST);
            }
            Some(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Makes a call that puts something into a NIC, again if it is busy or about to have room.
    pub(super) fn patiently(
        &self,
        ifindex: u32,
        mut call: impl FnMut() -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let mut call = || {
            let _call = self.patience.call(self.ticker.now());
            call()
        };
        let mut result = call();
        for pause in PAUSES {
            let Err(error) = &result else {
                break;
            };
            let now = self.ticker.now();
            if !self.patience.worth_another_try(ifindex, error.errno, now) {
                break;
            }
            self.ticker.pause(pause);
            result = call();
        }
        let errno = result.as_ref().err().map(|error| error.errno);
        self.patience.note(ifindex, errno, self.ticker.now());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_device_that_stays_busy_is_not_waited_for_by_everybody() {
        let patience = Patience::default();
        let worth = |now| patience.worth_another_try(2, libc::EBUSY, now);
        assert!(worth(SECOND));
        patience.note(2, Some(libc::EBUSY), SECOND);
        assert!(!worth(2 * SECOND));
        assert!(worth(6 * SECOND), "it may have changed");
        patience.note(2, Some(libc::EBUSY), SECOND);
        patience.note(2, None, 2 * SECOND);
        assert!(worth(2 * SECOND), "it works again");
    }

    #[test]
    fn a_full_device_is_waited_for_after_a_delete_only() {
        let patience = Patience::default();
        let worth = |now| patience.worth_another_try(2, libc::ENOSPC, now);
        assert!(!worth(SECOND));
        patience.freed(2, SECOND);
        assert!(worth(SECOND + SECOND / 2));
        assert!(!worth(3 * SECOND));
        assert!(!patience.worth_another_try(3, libc::ENOSPC, SECOND));
        assert!(!patience.worth_another_try(2, libc::EINVAL, SECOND));
    }

    #[test]
    fn vain_tries_to_take_over_become_rare() {
        let patience = Patience::default();
        assert!(patience.may_have_room(2, SECOND));
        let mut now = SECOND;
        for wait in [1, 2, 4, 8, 16] {
            patience.note(2, Some(libc::ENOSPC), now);
            assert!(!patience.may_have_room(2, now + wait * SECOND), "not freed");
            patience.freed(2, now);
            assert!(!patience.may_have_room(2, now + wait * SECOND - SECOND / 2));
            assert!(patience.may_have_room(2, now + wait * SECOND));
            now += wait * SECOND;
        }
        patience.note(2, Some(libc::ENOSPC), now);
        assert!(patience.may_have_room(2, now + LONGEST), "others free too");
    }
}
