// SPDX-License-Identifier: GPL-2.0-or-later
//! The transport, `nic/` and as much of `xfrm/` as there is against the kernel of this machine, each
//! test in a network namespace of its own.
//!
//! Needs root and iproute2, so it is ignored by default and says so:
//! `cargo test --test netlink_host -- --ignored`. The machine's kernel may lack ESP; SAs are tested
//! in the lab's virtual machines, here only what needs no ESP. What needs no root is a search for keys
//! in all memory that is freed while SAs are written, sent, read and moved.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastswan::error::KernelError;
use fastswan::model::{
    Addr, Direction, DscpCopy, Key, Lifetime, Mark, Mode, Offload, Placement, PortMatch, Prefix,
    Proto, SaId, SaSpec, Selector, Spi, Transforms,
};
use fastswan::nic::{LinkChange, Links, lookup_route, resolve_neighbour};
use fastswan::xfrm::request::Request;
use fastswan::xfrm::{
    Action, Event, EventSocket, HashThresholds, Iptfs, Kernel, NetlinkTransport, PolicyKey,
    PolicyMessage, Protocol, Received, Replay, Reply, SaMessage, SaMove, Template, Transport,
    XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, decode_event, sockopt,
};

/// A key that nothing else in this process has.
const SECRET: [u8; 20] = *b"\x01kernel-fastswan-key";
static ARMED: AtomicBool = AtomicBool::new(false);
static LEAKS: AtomicUsize = AtomicUsize::new(0);

/// Looks for the key in every block that is given back. Growing a block counts as giving it back.
struct Searching;

// SAFETY: hands everything on to the system's allocator, only that blocks begin as zeroes: so all of
// a block may be read before it is given back.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by our caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ARMED.load(Ordering::Relaxed) {
            let mut matched = 0;
            for offset in 0..layout.size() {
                // SAFETY: within the block, which is ours until it is given back below.
                let byte = unsafe { block.add(offset).read_volatile() };
                matched = match byte {
                    _ if byte == SECRET[matched] => matched + 1,
                    _ if byte == SECRET[0] => 1,
                    _ => 0,
                };
                if matched == SECRET.len() {
                    LEAKS.fetch_add(1, Ordering::Relaxed);
                    matched = 0;
                }
            }
        }
        // SAFETY: as promised by our caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Searching = Searching;

/// Answers every question about an SA with the one that was added last.
#[derive(Default)]
struct Echo {
    last: Mutex<Key>,
}

impl Transport for Echo {
    fn batch(&self, _: Protocol, _: &[Request]) -> Result<(), KernelError> {
        Err(KernelError::new("batch", libc::EOPNOTSUPP))
    }

    fn ack(&self, _: Protocol, request: &Request) -> Result<(), KernelError> {
        if request.name() == "XFRM_MSG_NEWSA" {
            *self.last.lock().unwrap() = Key::new(request.payload());
        }
        Ok(())
    }

    fn get(&self, _: Protocol, _: &Request) -> Result<Reply, KernelError> {
        Ok(Reply::new(0x10, self.last.lock().unwrap().expose()))
    }

    fn dump(
        &self,
        protocol: Protocol,
        request: &Request,
        each: &mut dyn FnMut(&Reply),
    ) -> Result<(), KernelError> {
        let first = self.get(protocol, request)?;
        let mut reply = Reply::default();
        for _ in 0..2 {
            reply.refill(first.kind(), first.payload());
            each(&reply);
        }
        Ok(())
    }

    fn subscribe(&self, _: Protocol, _: &[u32]) -> Result<Box<dyn EventSocket>, KernelError> {
        Err(KernelError::new("subscribe", libc::EOPNOTSUPP))
    }
}

fn secret_sa() -> (SaId, SaSpec) {
    let id = SaId {
        src: Addr::new(addr("192.0.2.1")),
        dst: Addr::new(addr("192.0.2.2")),
        spi: Spi(0x1234),
        proto: Proto::Esp,
        mark: Mark::default(),
        if_id: 0,
    };
    let spec = SaSpec {
        name: String::new(),
        reqid: 1,
        seq: 0,
        mode: Mode::Tunnel,
        src_ts: Vec::new(),
        dst_ts: Vec::new(),
        interface: None,
        lifetime: Lifetime::default(),
        enc_alg: 20,
        enc_key: Key::new(&SECRET),
        int_alg: 12,
        int_key: Key::new(&SECRET),
        replay_window: 32,
        tfc: 0,
        ipcomp: 0,
        cpi: 0,
        cpu: None,
        encap: false,
        offload: Offload::No,
        set_mark: Mark::default(),
        label: None,
        esn: true,
        copy_df: true,
        copy_ecn: true,
        copy_dscp: DscpCopy::OutOnly,
        iptfs_dont_frag: false,
        forward_icmp: false,
        initiator: true,
        inbound: true,
        update: false,
    };
    (id, spec)
}

#[test]
fn no_key_is_left_in_memory_that_is_freed() {
    // The search itself works: a plain copy is found, whether it is dropped or has to grow.
    ARMED.store(true, Ordering::Relaxed);
    let mut copy = Vec::with_capacity(SECRET.len());
    copy.extend_from_slice(&SECRET);
    copy.reserve_exact(4096);
    drop(std::hint::black_box(copy));
    assert_eq!(LEAKS.swap(0, Ordering::Relaxed), 2);

    let (id, spec) = secret_sa();
    for transforms in [
        Transforms::Aead {
            name: "rfc4106(gcm(aes))".into(),
            icv_bits: 128,
        },
        Transforms::Separate {
            crypt: Some("aes".into()),
            auth: Some(("hmac(sha256)".into(), Some(128))),
        },
    ] {
        let message = SaMessage {
            id: &id,
            spec: &spec,
            transforms: &transforms,
            placement: Placement::Software,
            selector: None,
            any_family: false,
            replay: Replay::Esn {
                window: 64,
                esn: true,
            },
            iptfs: Iptfs::default(),
        };
        let echo = Arc::new(Echo::default());
        let kernel = Kernel::new(echo.clone());
        kernel.new_sa(&message, true).unwrap();
        kernel.new_sa(&message, false).unwrap();
        assert!(
            echo.last
                .lock()
                .unwrap()
                .expose()
                .windows(SECRET.len())
                .any(|window| window == SECRET),
            "the key was on its way"
        );
        let state = kernel.get_sa(&id.key(), id.src.ip).unwrap();
        assert_eq!(state.id, id);
        let mut count = 0;
        kernel.dump_sas(&mut |_| count += 1).unwrap();
        assert_eq!(count, 2);
        kernel
            .move_sa(&SaMove {
                key: &id.key(),
                src: id.src.ip,
                new_src: Addr::new(addr("2001:db8::1")),
                new_dst: Addr::new(addr("2001:db8::2")),
                new_encap: true,
                encap: false,
                new_reqid: Some(2),
                selector: None,
                inbound: false,
                placement: Placement::Software,
            })
            .unwrap();
        // And through a socket, whatever the kernel thinks of it.
        if let Ok(transport) = NetlinkTransport::new() {
            let kernel = Kernel::new(Arc::new(transport));
            for update in [true, false] {
                if kernel.new_sa(&message, update).is_ok() {
                    kernel.del_sa(&id.key(), id.src.ip).unwrap();
                }
            }
        }
    }
    drop(spec);
    ARMED.store(false, Ordering::Relaxed);
    assert_eq!(LEAKS.load(Ordering::Relaxed), 0);
}

/// Runs a test on a thread in a new network namespace with the loopback device up.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let result = thread::spawn(move || {
        // SAFETY: changes the namespace of this thread only, which ends with the test.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(
            unshared,
            0,
            "cannot make a network namespace: {} (run as root)",
            std::io::Error::last_os_error()
        );
        ip("link set lo up");
        test();
    })
    .join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("iproute2 is needed");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn transport() -> Arc<NetlinkTransport> {
    Arc::new(NetlinkTransport::new().unwrap())
}

fn selector(src: &str, dst: &str) -> Selector {
    let prefix = |text: &str| {
        let (ip, len) = text.split_once('/').unwrap();
        Prefix::new(ip.parse().unwrap(), len.parse().unwrap())
    };
    Selector {
        src: prefix(src),
        dst: prefix(dst),
        proto: 0,
        sport: PortMatch::ANY,
        dport: PortMatch::ANY,
        ifindex: 0,
    }
}

fn key(dir: Direction) -> PolicyKey {
    PolicyKey {
        dir,
        selector: selector("10.1.0.0/16", "10.2.0.0/16"),
        mark: Mark::default(),
        if_id: 0,
        label: None,
    }
}

fn template(reqid: u32) -> Template {
    Template {
        src: addr("192.0.2.1"),
        dst: addr("192.0.2.2"),
        spi: Spi(0),
        proto: Proto::Esp,
        mode: Mode::Tunnel,
        reqid,
        optional: false,
        with_addresses: true,
    }
}

fn policy<'a>(key: &'a PolicyKey, templates: &'a [Template]) -> PolicyMessage<'a> {
    PolicyMessage {
        key,
        priority: 1000,
        action: Action::Allow,
        templates,
        cpu_acquires: false,
        icmp: false,
        offload: None,
    }
}

/// The next event, which may take a moment.
fn wait_for(events: &dyn EventSocket) -> Received {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(received) = events.read().unwrap() {
            return received;
        }
        assert!(Instant::now() < deadline, "no event came");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs root"]
fn policies_live_in_the_kernel_as_they_were_written() {
    in_namespace(|| {
        let kernel = Kernel::new(transport());
        let mut keys = Vec::new();
        for dir in [Direction::In, Direction::Out, Direction::Fwd] {
            keys.push(key(dir));
        }
        let mut special = key(Direction::Out);
        special.selector = selector("2001:db8:1::/48", "2001:db8:2::/48");
        special.selector.proto = 17;
        special.selector.sport = PortMatch {
            port: 1024,
            mask: 0xfc00,
        };
        special.mark = Mark {
            value: 0x10,
            mask: 0xf0,
        };
        special.if_id = 7;
        keys.push(special);
        // Differs from an earlier one by its mark only.
        let mut marked = key(Direction::Out);
        marked.mark = Mark { value: 1, mask: 1 };
        keys.push(marked);
        for (reqid, key) in (1..).zip(&keys) {
            assert_eq!(kernel.get_policy(key).unwrap_err().errno, libc::ENOENT);
            assert_eq!(kernel.del_policy(key).unwrap_err().errno, libc::ENOENT);
            let templates = [template(reqid)];
            kernel.new_policy(&policy(key, &templates), false).unwrap();
            let error = kernel
                .new_policy(&policy(key, &templates), false)
                .unwrap_err();
            assert_eq!(
                (error.request, error.errno),
                ("XFRM_MSG_NEWPOLICY", libc::EEXIST)
            );
        }
        for (reqid, key) in (1..).zip(&keys) {
            let state = kernel.get_policy(key).unwrap();
            assert_eq!(state.key, *key);
            assert_eq!((state.reqid, state.templates), (Some(reqid), 1));
            assert_eq!((state.priority, state.action), (1000, Action::Allow));
            assert_eq!((state.offload, state.use_time), (None, 0));
        }
        let mut seen = Vec::new();
        kernel
            .dump_policies(&mut |state| seen.push(state.key))
            .unwrap();
        assert_eq!(seen.len(), keys.len());
        assert!(keys.iter().all(|key| seen.contains(key)));
        let block = PolicyMessage {
            action: Action::Block,
            ..policy(&keys[0], &[])
        };
        kernel.new_policy(&block, true).unwrap();
        let state = kernel.get_policy(&keys[0]).unwrap();
        assert_eq!((state.action, state.templates), (Action::Block, 0));
        kernel.del_policy(&keys[0]).unwrap();
        assert_eq!(kernel.get_policy(&keys[0]).unwrap_err().errno, libc::ENOENT);
        kernel.flush_policies().unwrap();
        kernel.flush_policies().unwrap();
        let mut left = 0;
        kernel.dump_policies(&mut |_| left += 1).unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
#[ignore = "needs root"]
fn refusals_come_with_the_kernels_own_words() {
    in_namespace(|| {
        let kernel = Kernel::new(transport());
        let key = key(Direction::Out);
        // XFRM_MAX_DEPTH is 6.
        let error = kernel
            .new_policy(&policy(&key, &[template(1); 7]), false)
            .unwrap_err();
        assert_eq!(
            (error.request, error.errno),
            ("XFRM_MSG_NEWPOLICY", libc::EINVAL)
        );
        let text = error.text.unwrap();
        assert!(text.starts_with("Template"), "{text}");
        // A number that no direction has, which the kernel's strict attribute policy refuses; the
        // extended ACK points at the attribute.
        let mut request = Request::new("XFRM_MSG_ALLOCSPI", 0x16, 0);
        request.put(&[0; 232]);
        request.attribute(33, &[9]);
        let error = kernel
            .transport()
            .get(Protocol::Xfrm, &request)
            .unwrap_err();
        assert_eq!((error.errno, error.attribute), (libc::ERANGE, Some(33)));
        assert!(error.text.is_some());
        // Loopback has no offload of policies, and 4711 does not exist. A kernel without
        // CONFIG_XFRM_OFFLOAD takes both and ignores the request, which only a look back shows.
        for (ifindex, text) in [(1, Some("Policy offload is not supported")), (4711, None)] {
            let message = PolicyMessage {
                offload: Some(ifindex),
                ..policy(&key, &[])
            };
            match kernel.new_policy(&message, false) {
                Err(error) => {
                    assert_eq!((error.errno, error.text.as_deref()), (libc::EINVAL, text));
                }
                Ok(()) => {
                    assert_eq!(kernel.get_policy(&key).unwrap().offload, None);
                    kernel.del_policy(&key).unwrap();
                }
            }
        }
        let id = SaId {
            src: Addr::new(addr("192.0.2.1")),
            dst: Addr::new(addr("192.0.2.2")),
            spi: Spi(0x1234),
            proto: Proto::Esp,
            mark: Mark::default(),
            if_id: 0,
        };
        for error in [
            kernel.get_sa(&id.key(), id.src.ip).map(drop).unwrap_err(),
            kernel.del_sa(&id.key(), id.src.ip).unwrap_err(),
        ] {
            assert_eq!(error.errno, libc::ESRCH);
        }
        for proto in [Proto::Esp, Proto::Ah, Proto::Comp] {
            kernel.flush_sas(proto).unwrap();
        }
    });
}

#[test]
#[ignore = "needs root"]
fn hash_thresholds_are_set() {
    in_namespace(|| {
        let kernel = Kernel::new(transport());
        assert_eq!(kernel.hash_thresholds(), Ok(HashThresholds::default()));
        let mut wanted = HashThresholds::default();
        wanted.ipv4.local = 16;
        wanted.ipv6.remote = 64;
        assert_eq!(kernel.set_hash_thresholds(&wanted), Ok(true));
        assert_eq!(kernel.set_hash_thresholds(&wanted), Ok(false));
        assert_eq!(kernel.hash_thresholds(), Ok(wanted));
        wanted.ipv4.remote = 33;
        let error = kernel.set_hash_thresholds(&wanted).unwrap_err();
        assert_eq!(error.errno, libc::EINVAL);
    });
}

#[test]
#[ignore = "needs root"]
fn allocated_spis_are_larval_and_expire() {
    in_namespace(|| {
        // Per network namespace, as is what this thread sees of it.
        std::fs::write(
            "/proc/thread-self/net/../../sys/net/core/xfrm_acq_expires",
            "1",
        )
        .or_else(|_| std::fs::write("/proc/sys/net/core/xfrm_acq_expires", "1"))
        .unwrap();
        let transport = transport();
        let kernel = Kernel::new(transport.clone());
        let events = transport
            .subscribe(Protocol::Xfrm, &[XFRMNLGRP_EXPIRE])
            .unwrap();
        let (src, dst) = (addr("2001:db8::1"), addr("2001:db8::2"));
        let spi = kernel
            .alloc_spi(src, dst, Proto::Esp, 0xc000_0000, 0xc000_00ff)
            .unwrap();
        assert!((0xc000_0000..=0xc000_00ff).contains(&spi));
        let other = kernel
            .alloc_spi(src, dst, Proto::Esp, 0xc000_0000, 0xc000_00ff)
            .unwrap();
        assert_ne!(spi, other);
        let error = kernel
            .alloc_spi(src, dst, Proto::Esp, spi, spi)
            .unwrap_err();
        assert_eq!(error.errno, libc::ENOENT);
        let mut seen = Vec::new();
        kernel.dump_sas(&mut |state| seen.push(state)).unwrap();
        // The request that failed has left an entry without SPI, which expires like the others.
        seen.retain(|state| state.id.spi != Spi(0));
        assert_eq!(seen.len(), 2);
        let state = seen.iter().find(|state| state.id.spi == Spi(spi)).unwrap();
        assert!(state.larval);
        assert_eq!((state.id.src.ip, state.id.dst.ip), (src, dst));
        assert_eq!(state.mode_xfrm, Mode::Tunnel.xfrm());
        assert_eq!(kernel.get_sa(&state.id.key(), src).unwrap().id, state.id);
        let mut expired = Vec::new();
        for _ in 0..3 {
            let Received::Message(reply) = wait_for(&*events) else {
                panic!("overrun");
            };
            let Some(Event::Expire { key, hard: true }) = decode_event(&reply) else {
                panic!("no hard expire: {reply:?}");
            };
            assert_eq!((key.dst, key.proto), (dst, Proto::Esp));
            expired.push(key.spi);
        }
        expired.sort();
        let mut expected = [Spi(0), Spi(spi), Spi(other)];
        expected.sort();
        assert_eq!(expired, expected);
    });
}

#[test]
#[ignore = "needs root"]
fn a_packet_without_an_sa_is_an_acquire() {
    in_namespace(|| {
        ip("addr add 10.1.0.1/32 dev lo");
        ip("route add 10.2.0.0/16 dev lo");
        let transport = transport();
        let kernel = Kernel::new(transport.clone());
        let events = transport
            .subscribe(Protocol::Xfrm, &[XFRMNLGRP_ACQUIRE])
            .unwrap();
        let key = key(Direction::Out);
        let templates = [template(4711)];
        // Loopback is exempt from policies unless told otherwise.
        std::fs::write("/proc/sys/net/ipv4/conf/lo/disable_policy", "0").unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/lo/disable_xfrm", "0").unwrap();
        kernel.new_policy(&policy(&key, &templates), false).unwrap();
        let socket = UdpSocket::bind("10.1.0.1:5000").unwrap();
        let _ = socket.send_to(b"x", "10.2.0.9:6000");
        let Received::Message(reply) = wait_for(&*events) else {
            panic!("overrun");
        };
        let Some(Event::Acquire(acquire)) = decode_event(&reply) else {
            panic!("no acquire: {reply:?}");
        };
        assert_eq!(acquire.reqid, 4711);
        assert_eq!((acquire.cpu, acquire.label), (None, None));
        assert_ne!(acquire.seq, 0);
        assert_eq!(acquire.src.to_string(), "10.1.0.1/32[17/5000]");
        assert_eq!(acquire.dst.to_string(), "10.2.0.9/32[17/6000]");
        // A socket with a bypass is exempt, and asks for nothing.
        let exempt = UdpSocket::bind("10.1.0.1:5001").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&exempt);
        sockopt::bypass(fd, libc::AF_INET).unwrap();
        exempt.send_to(b"x", "10.2.0.8:6000").unwrap();
        thread::sleep(Duration::from_millis(100));
        assert!(events.read().unwrap().is_none());
    });
}

#[test]
#[ignore = "needs root"]
fn parallel_callers_never_get_each_others_answers() {
    in_namespace(|| {
        let transport = transport();
        let kernel = Kernel::new(transport);
        // Threads start in the namespace of the one that starts them.
        let workers: Vec<_> = (0..24u8)
            .map(|worker| {
                let kernel = kernel.clone();
                thread::spawn(move || {
                    for round in 0..100u32 {
                        let mut key = key(Direction::Out);
                        key.selector = selector(&format!("10.{worker}.0.0/16"), "10.99.0.0/16");
                        let reqid = u32::from(worker) * 1000 + round + 1;
                        let templates = [template(reqid)];
                        kernel.new_policy(&policy(&key, &templates), true).unwrap();
                        let state = kernel.get_policy(&key).unwrap();
                        assert_eq!((state.key.clone(), state.reqid), (key.clone(), Some(reqid)));
                        if round % 10 == 0 {
                            let mut count = 0;
                            kernel.dump_policies(&mut |_| count += 1).unwrap();
                            assert!(count >= 1);
                        }
                        kernel.del_policy(&key).unwrap();
                        let error = kernel.get_policy(&key).unwrap_err();
                        assert_eq!(error.errno, libc::ENOENT);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_large_dump_is_complete() {
    in_namespace(|| {
        let kernel = Kernel::new(transport());
        let templates = [template(1), template(1)];
        for index in 0..3000u32 {
            let mut key = key(Direction::Out);
            key.selector = selector(
                &format!("10.{}.{}.0/24", index / 256, index % 256),
                "10.200.0.0/16",
            );
            kernel.new_policy(&policy(&key, &templates), false).unwrap();
        }
        let mut seen = std::collections::HashSet::new();
        kernel
            .dump_policies(&mut |state| assert!(seen.insert(state.key)))
            .unwrap();
        assert_eq!(seen.len(), 3000);
    });
}

#[test]
#[ignore = "needs root"]
fn links_are_followed() {
    in_namespace(|| {
        let links = Links::new(transport()).unwrap();
        assert!(links.by_name("lo").unwrap().up);
        ip("link add left type veth peer name right");
        let changes = links.update();
        let names: Vec<_> = changes
            .iter()
            .map(|change| match change {
                LinkChange::Features(link) => link.name.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(names.contains(&"left".to_owned()) && names.contains(&"right".to_owned()));
        let left = links.by_name("left").unwrap();
        let right = links.by_name("right").unwrap();
        assert_eq!(left.kind.as_deref(), Some("veth"));
        assert_eq!(left.lower, Some(right.ifindex));
        assert!(!left.up && !left.esp_offload && left.driver.is_none());
        ip("link add name bridge0 type bridge");
        ip("link set left master bridge0");
        ip("link set left up");
        let changes = links.update();
        assert!(
            changes
                .iter()
                .any(|change| matches!(change, LinkChange::Up(link) if link.name == "left")),
            "{changes:?}"
        );
        let bridge = links.by_name("bridge0").unwrap();
        assert_eq!(
            links.get(left.ifindex).unwrap().master,
            Some(bridge.ifindex)
        );
        // One end of the pair was reported before it had the other.
        assert_eq!(
            links.refresh(right.ifindex).unwrap().lower,
            Some(left.ifindex)
        );
        // What the kernel says of one link and of all is the same.
        let known = links.all();
        for link in &known {
            assert_eq!(links.refresh(link.ifindex).as_ref(), Some(link));
        }
        let fresh = Links::new(transport()).unwrap();
        assert_eq!(fresh.all(), known);
        // Out of the bridge, which is reported as if the device were gone.
        ip("link set left nomaster");
        let changes = links.update();
        assert!(
            !changes
                .iter()
                .any(|change| matches!(change, LinkChange::Gone(_))),
            "{changes:?}"
        );
        assert_eq!(links.get(left.ifindex).unwrap().master, None);
        ip("link set left down");
        let changes = links.update();
        assert!(
            changes
                .iter()
                .any(|change| matches!(change, LinkChange::Down(link) if link.name == "left")),
            "{changes:?}"
        );
        ip("link del left");
        let changes = links.update();
        let gone = changes
            .iter()
            .filter(|change| matches!(change, LinkChange::Gone(_)))
            .count();
        assert_eq!(gone, 2, "{changes:?}");
        assert_eq!(links.refresh(left.ifindex), None);
        assert_eq!(links.all().len(), known.len() - 2);
    });
}

#[test]
#[ignore = "needs root"]
fn lost_events_are_noticed_and_made_up_for() {
    in_namespace(|| {
        let transport = transport();
        ip("link add left type veth peer name right");
        // The alias of a device that is down is changed without an event.
        ip("link set left up");
        let links = Links::new(transport.clone()).unwrap();
        let left = links.by_name("left").unwrap().ifindex;
        // Each change of the alias is an event; nobody reads until the buffer has overflowed.
        let alias = |text: &str| {
            let mut request = Request::new("RTM_SETLINK", libc::RTM_SETLINK, 0);
            request.put(&[0; 4]);
            request.put_u32(left);
            request.put(&[0; 8]);
            request.attribute(libc::IFLA_IFALIAS, text.as_bytes());
            transport.ack(Protocol::Route, &request).unwrap();
        };
        for round in 0..20_000 {
            alias(&format!("alias{round}"));
        }
        ip("link set left down");
        ip("link add late type veth peer name later");
        let changes = links.update();
        assert!(
            changes.contains(&LinkChange::Resynced),
            "{} changes, none lost",
            changes.len()
        );
        assert!(links.by_name("late").is_some());
        assert!(!links.get(left).unwrap().up);
        assert!(links.update().is_empty());
    });
}

#[test]
#[ignore = "needs root"]
fn routes_are_what_the_kernel_says() {
    in_namespace(|| {
        ip("link add left type veth peer name right");
        ip("link set left up");
        ip("link set right up");
        ip("addr add 192.0.2.1/24 dev left");
        ip("-6 addr add 2001:db8::1/64 dev left nodad");
        ip("route add default via 192.0.2.254 src 192.0.2.1");
        ip("-6 route add default via 2001:db8::fe");
        ip("route add 198.51.100.0/24 dev right table 100");
        ip("rule add fwmark 0x2a lookup 100");
        ip("route add 203.0.113.0/24 nexthop via 192.0.2.253 nexthop via 192.0.2.252");
        ip("route add unreachable 10.0.0.0/8");
        ip("route add blackhole 10.1.0.0/16");
        let transport = transport();
        let links = Links::new(transport.clone()).unwrap();
        let left = links.by_name("left").unwrap().ifindex;
        let right = links.by_name("right").unwrap().ifindex;
        let look = |dst: &str, mark| lookup_route(&*transport, addr(dst), None, mark);
        let route = look("8.8.8.8", 0).unwrap();
        assert_eq!(
            (route.oif, route.gateway, route.prefsrc, route.local),
            (
                left,
                Some(addr("192.0.2.254")),
                Some(addr("192.0.2.1")),
                false
            )
        );
        assert_eq!(route.table, 254);
        let route = look("192.0.2.9", 0).unwrap();
        assert_eq!((route.oif, route.gateway), (left, None));
        let route = look("2001:4860::1", 0).unwrap();
        assert_eq!(
            (route.oif, route.gateway),
            (left, Some(addr("2001:db8::fe")))
        );
        let route = look("198.51.100.9", 0x2a).unwrap();
        assert_eq!((route.oif, route.table), (right, 100));
        assert_eq!(look("198.51.100.9", 0).unwrap().oif, left);
        let route = look("192.0.2.1", 0).unwrap();
        assert!(route.local);
        assert_eq!(route.table, 255);
        let route = look("203.0.113.1", 0).unwrap();
        assert_eq!(route.oif, left);
        assert!(
            [addr("192.0.2.253"), addr("192.0.2.252")]
                .map(Some)
                .contains(&route.gateway)
        );
        assert!(look("10.9.9.9", 0).is_err());
        assert!(look("10.1.9.9", 0).is_err());
        let with_source =
            lookup_route(&*transport, addr("8.8.8.8"), Some(addr("192.0.2.1")), 0).unwrap();
        assert_eq!(with_source.oif, left);
        ip("-6 route del default");
        assert_eq!(
            look("2001:4860::1", 0).unwrap_err().errno,
            libc::ENETUNREACH
        );
    });
}

#[test]
#[ignore = "needs root"]
fn neighbours_are_resolved_on_demand() {
    in_namespace(|| {
        // The peer answers from a namespace of its own, which lives as long as its process.
        let mut peer = Command::new("unshare")
            .args(["-n", "sleep", "60"])
            .spawn()
            .unwrap();
        let pid = peer.id();
        let inside = |arguments: &str| {
            let status = Command::new("nsenter")
                .args(["-t", &pid.to_string(), "-n", "ip"])
                .args(arguments.split(' '))
                .status()
                .unwrap();
            assert!(status.success(), "ip {arguments} in the peer's namespace");
        };
        ip(
            "link add left address 02:00:00:00:00:01 type veth peer name right address 02:00:00:00:00:02",
        );
        // The process needs a moment to get its namespace.
        let deadline = Instant::now() + Duration::from_secs(5);
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let main = std::fs::read_link("/proc/self/ns/net").unwrap();
        loop {
            let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
            if theirs != own && theirs != main {
                break;
            }
            assert!(Instant::now() < deadline, "unshare did not start");
            thread::sleep(Duration::from_millis(5));
        }
        ip(&format!("link set right netns {pid}"));
        ip("addr add 192.0.2.1/24 dev left");
        ip("-6 addr add 2001:db8::1/64 dev left nodad");
        ip("link set left up");
        inside("addr add 192.0.2.2/24 dev right");
        inside("-6 addr add 2001:db8::2/64 dev right nodad");
        inside("link set right up");
        let transport = transport();
        let links = Links::new(transport.clone()).unwrap();
        let left = links.by_name("left").unwrap();
        // The other end is in another namespace: its index means nothing here.
        assert_eq!(left.lower, None);
        let resolve =
            |hop: &str, wait| resolve_neighbour(&*transport, left.ifindex, addr(hop), wait);
        let mac = [2, 0, 0, 0, 0, 2];
        let long = Duration::from_secs(5);
        assert_eq!(resolve("192.0.2.2", long), Ok(Some(mac)));
        assert_eq!(resolve("2001:db8::2", long), Ok(Some(mac)));
        // Known now: no wait is needed.
        assert_eq!(resolve("192.0.2.2", Duration::ZERO), Ok(Some(mac)));
        let started = Instant::now();
        assert_eq!(resolve("192.0.2.77", Duration::from_millis(50)), Ok(None));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(2));
        let error = resolve_neighbour(&*transport, 4711, addr("192.0.2.2"), long).unwrap_err();
        assert_eq!(error.errno, libc::ENODEV);
        // Only ever the child that this test started.
        peer.kill().unwrap();
        peer.wait().unwrap();
    });
}
