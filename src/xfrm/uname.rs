// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's name of itself.
//!
//! Owns uname(2). Called by `backend/` for rules that depend on the release. Must not read /proc, which a confined
//! charon may not.

use std::ffi::CStr;

/// `uname -r`; `None` if the kernel does not say or it is no text.
pub fn kernel_release() -> Option<String> {
    let mut name = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to a whole utsname, which the call fills.
    if unsafe { libc::uname(name.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: zeroed bytes are a valid utsname, and the call has filled it.
    let name = unsafe { name.assume_init() };
    // SAFETY: the kernel ends each field with a zero byte within its array.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    release.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::kernel_release;

    #[test]
    fn it_is_what_proc_says() {
        let proc = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(kernel_release().as_deref(), Some(proc.trim()));
    }
}
