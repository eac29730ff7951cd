// SPDX-License-Identifier: GPL-2.0-or-later
//! A charon that crashed, and the next one.

use std::path::PathBuf;

use super::paths::{FAR_PEER, GATEWAY, NEW, OLD, ip};
use super::*;

/// The ledger's folder, removed at the end.
struct Run(PathBuf);

impl Run {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fastswan-run-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("state")
    }

    /// A charon over the kernel of `gateway`, with this ledger.
    fn start(&self, gateway: &Gateway) -> Gateway {
        let (host, timer) = (
            Arc::new(FakeHost::default()),
            Arc::new(FakeTimer::default()),
        );
        let kernel = gateway.kernel.clone();
        let backend = Backend::with_state(
            host.clone(),
            "6.0.1",
            kernel.clone(),
            timer.clone(),
            Some(&self.file()),
        )
        .expect("it starts");
        Gateway {
            kernel,
            host,
            timer,
            backend,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends a charon without its farewell. The lock goes with the process, here with a copy of the file.
fn crash(run: &Run, gateway: Gateway) {
    let file = run.file();
    let bytes = std::fs::read(&file).unwrap();
    std::mem::forget(gateway.backend);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn the_next_charon_removes_what_a_crashed_one_left_and_nothing_else() {
    let run = Run::new("crash");
    let machine = Gateway::new();
    let first = run.start(&machine);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    first.host.set("plugins.kernel-fastswan.port_bypass", 1);
    first.backend.reload();
    use std::os::fd::AsRawFd;
    first
        .backend
        .bypass_socket(socket.as_raw_fd(), libc::AF_INET)
        .unwrap();
    for (number, offload) in [(5, Offload::Packet), (6, Offload::No)] {
        first
            .add_child(&Child::number(PACKET_PEER, offload, number))
            .unwrap();
    }
    // Another daemon's, with the same reqid; charon adopts neither.
    let stranger = Child {
        spi: 0x9000,
        ..Child::number(PACKET_PEER, Offload::No, 7)
    };
    let foreign = Child {
        reqid: 6,
        ..stranger.clone()
    };
    machine.add_child(&foreign).unwrap();
    crash(&run, first);
    let next = run.start(&machine);
    let spis: Vec<u32> = next.kernel.sas().iter().map(|sa| sa.id.spi.0).collect();
    assert_eq!(spis.len(), 2, "{spis:x?}");
    assert!(spis.iter().all(|spi| spi & 0xf000 == 0x9000), "{spis:x?}");
    assert_eq!(next.kernel.policies().len(), 3, "the stranger's");
    next.backend.shutdown();
    assert!(
        !run.file().exists(),
        "after a clean stop the ledger is gone"
    );
    machine.delete_child(&foreign);
    machine.assert_empty();
}

#[test]
fn an_sa_that_was_replaced_under_the_same_spi_is_not_ours() {
    let run = Run::new("replaced");
    let machine = Gateway::new();
    let first = run.start(&machine);
    let child = Child::number(PACKET_PEER, Offload::Packet, 5);
    first.add_child(&child).unwrap();
    crash(&run, first);
    machine.kernel.wipe();
    let other = Child {
        reqid: 77,
        ..child.clone()
    };
    machine.add_child(&other).unwrap();
    let next = run.start(&machine);
    assert_eq!(next.kernel.sas().len(), 2);
    let tunnels = next.kernel.policies();
    assert_eq!(
        tunnels.iter().filter(|policy| policy.templates > 0).count(),
        3
    );
}

#[test]
fn what_was_moved_to_another_mode_is_still_ours() {
    let run = Run::new("moved");
    let machine = Gateway::new();
    let first = run.start(&machine);
    let child = Child::number(PACKET_PEER, Offload::Auto, 5);
    // The outbound policy is refused: both SAs and the inbound policy move.
    let seen = Mutex::new(0);
    machine.kernel.set_rule(Some(Arc::new(move |request| {
        let mut seen = seen.lock().unwrap();
        if request.name == "XFRM_MSG_NEWPOLICY" {
            *seen += 1;
            if *seen == 3 {
                return Err(KernelError::new("", libc::EINVAL));
            }
        }
        Ok(())
    })));
    first.add_child(&child).unwrap();
    machine.kernel.set_rule(None);
    assert_eq!(first.placements().0, [Placement::Crypto(P0); 2]);
    crash(&run, first);
    let next = run.start(&machine);
    assert!(next.kernel.sas().is_empty(), "{:?}", next.kernel.sas());
    assert!(next.kernel.policies().is_empty());
}

#[test]
fn a_flush_leaves_nothing_in_the_kernel_and_nothing_written_down() {
    let run = Run::new("flush");
    let machine = Gateway::new();
    let gateway = run.start(&machine);
    let child = Child::number(PACKET_PEER, Offload::Packet, 5);
    gateway.add_child(&child).unwrap();
    gateway.backend.flush_sas().unwrap();
    gateway.backend.flush_policies().unwrap();
    gateway.assert_empty();
    assert!(gateway.backend.core.kernel.ledger().unwrap().is_empty());
}

#[test]
fn a_neighbour_entry_of_a_crashed_charon_goes_unless_somebody_wrote_another_one() {
    for by_hand in [false, true] {
        let run = Run::new(if by_hand { "neigh-hand" } else { "neigh" });
        let machine = Gateway::new();
        machine.route_far_peer(GATEWAY);
        machine.kernel.put_neighbour(P0, ip(GATEWAY), OLD);
        let first = run.start(&machine);
        first
            .add_child(&Child::new(FAR_PEER, Offload::Packet))
            .unwrap();
        machine.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
        first.host.pump();
        let entry = || machine.kernel.neighbour(P0, ip(FAR_PEER));
        assert_eq!(entry(), Some((NEW, libc::NUD_PERMANENT)));
        crash(&run, first);
        if by_hand {
            machine.kernel.put_neighbour(P0, ip(FAR_PEER), OLD);
        }
        let next = run.start(&machine);
        assert_eq!(entry().is_some(), by_hand);
        assert!(next.kernel.sas().is_empty(), "{:?}", next.kernel.sas());
        next.backend.shutdown();
        assert!(!run.file().exists());
    }
}

#[test]
fn a_neighbour_entry_that_was_taken_back_is_crossed_out() {
    let run = Run::new("neigh-end");
    let machine = Gateway::new();
    machine.route_far_peer(GATEWAY);
    machine.kernel.put_neighbour(P0, ip(GATEWAY), OLD);
    let gateway = run.start(&machine);
    let child = Child::new(FAR_PEER, Offload::Packet);
    gateway.add_child(&child).unwrap();
    machine.kernel.put_neighbour(P0, ip(GATEWAY), NEW);
    gateway.host.pump();
    gateway.delete_child(&child);
    assert_eq!(gateway.backend.core.kernel.ledger().unwrap().len(), 1);
    for _ in 0..40 {
        gateway.advance(Duration::from_secs(1));
    }
    assert!(gateway.backend.core.kernel.ledger().unwrap().is_empty());
}

#[test]
fn leftovers_are_shut_before_they_are_removed() {
    let run = Run::new("shut");
    let machine = Gateway::new();
    let first = run.start(&machine);
    first
        .add_child(&Child::number(PACKET_PEER, Offload::Packet, 5))
        .unwrap();
    crash(&run, first);
    machine.kernel.clear_requests();
    let before = machine.kernel.waits();
    let next = run.start(&machine);
    let names = next.kernel.request_names();
    let at = |wanted: &str| {
        names
            .iter()
            .position(|name| *name == wanted)
            .unwrap_or(usize::MAX)
    };
    assert!(
        at("NFT_MSG_NEWSETELEM") < at("XFRM_MSG_DELSA").min(at("XFRM_MSG_DELPOLICY")),
        "{names:?}"
    );
    assert!(next.kernel.waits() > before);
}
