// SPDX-License-Identifier: GPL-2.0-or-later
//! What a kernel can do is asked of it: kernels of each kind, and kernels that do not answer.

use super::super::Kernel;
use super::super::consts::{XFRM_MSG_GETSA, XFRM_MSG_MIGRATE_STATE, XFRM_MSG_NEWSA};
use super::super::fake::{FakeKernel, Knobs};
use super::*;

fn kernel(knobs: Knobs) -> (Arc<FakeKernel>, Kernel) {
    let fake = FakeKernel::new();
    fake.set_knobs(knobs);
    let kernel = Kernel::new(fake.clone());
    kernel.ask_abilities();
    (fake, kernel)
}

/// B14: kernel-netlink believes uname, which says nothing on a kernel with backports.
#[test]
fn each_ability_is_asked_for_and_nothing_is_left_behind() {
    for (no_direction, no_migrate_state, no_migrate) in [
        (false, false, false),
        (false, true, false),
        (true, true, false),
        (false, false, true),
    ] {
        let (fake, kernel) = kernel(Knobs {
            no_direction,
            no_migrate_state,
            no_migrate,
            ..Knobs::default()
        });
        assert_eq!(
            fake.request_names(),
            ["XFRM_MSG_GETSA", "XFRM_MSG_MIGRATE_STATE"]
        );
        assert_eq!(kernel.abilities.direction(), !no_direction);
        assert_eq!(kernel.can_migrate_state(), !no_migrate_state && !no_migrate);
        assert!(fake.sas().is_empty());
    }
}

#[test]
fn an_answer_that_says_nothing_is_none() {
    let fake = FakeKernel::new();
    let kernel = Kernel::new(fake.clone());
    for kind in [XFRM_MSG_GETSA, XFRM_MSG_MIGRATE_STATE] {
        fake.refuse_next(kind, libc::EPERM, None);
    }
    kernel.ask_abilities();
    // What a kernel of today would have said, but for what needs a yes.
    assert!(kernel.abilities.direction());
    assert!(!kernel.can_migrate_state());
    fake.refuse_next(XFRM_MSG_NEWSA, libc::EPERM, None);
    assert!(!kernel.can_any_family());
    assert!(
        kernel.can_any_family(),
        "asked again, since nobody answered"
    );
}

#[test]
fn direction_and_window_follow_the_kernel() {
    for old in [false, true] {
        let (fake, kernel) = kernel(Knobs {
            no_direction: old,
            ..Knobs::default()
        });
        let sample = sample(false);
        kernel.new_sa(&sample.message(), false).unwrap();
        let sa = &fake.sas()[0];
        assert!(sa.replay.esn);
        // Kernels that know directions refuse a window outbound, those before want one with ESN.
        assert_eq!(sa.replay.window, u32::from(old));
        assert_eq!(sa.inbound, (!old).then_some(false));
        let sent = fake.requests().pop().unwrap().payload;
        let said = super::super::request::Attributes::behind(&sent, 224)
            .any(|(kind, _)| kind == super::super::consts::XFRMA_SA_DIR);
        assert_eq!(said, !old);
    }
}

#[test]
fn transport_mode_for_any_family_is_asked_for_once_and_only_if_needed() {
    for old in [false, true] {
        let (fake, kernel) = kernel(Knobs {
            no_any_family: old,
            ..Knobs::default()
        });
        fake.clear_requests();
        assert_eq!(kernel.can_any_family(), !old);
        assert_eq!(kernel.clone().can_any_family(), !old);
        assert_eq!(fake.request_names(), ["XFRM_MSG_NEWSA"]);
        assert!(fake.sas().is_empty());
    }
}

#[test]
fn the_time_of_last_use_is_learned_from_an_sa_that_was_used() {
    for old in [false, true] {
        let (fake, kernel) = kernel(Knobs {
            no_last_used: old,
            ..Knobs::default()
        });
        let sample = sample(true);
        kernel.new_sa(&sample.message(), false).unwrap();
        let key = sample.id.key();
        let src = sample.id.src.ip;
        kernel.get_sa(&key, src).unwrap();
        assert!(kernel.keeps_last_use(), "an unused SA tells nothing");
        fake.set_counters(&key, 100, 1, Some(1_000_000));
        kernel.get_sa(&key, src).unwrap();
        assert_eq!(kernel.keeps_last_use(), !old);
        // Once seen, it is there.
        fake.set_counters(&key, 200, 2, None);
        kernel.get_sa(&key, src).unwrap();
        assert_eq!(kernel.keeps_last_use(), !old);
    }
}
