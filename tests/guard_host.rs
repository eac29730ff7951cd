// SPDX-License-Identifier: GPL-2.0-or-later
//! The gate against the nftables of this machine's kernel, each test in a network namespace of its
//! own: that every message is accepted, and what it costs to change one gate among many.
//!
//! Needs root and iproute2, so it is ignored by default and says so:
//! `cargo test --test guard_host -- --ignored`. With FASTSWAN_NFT naming the program `nft`, what it
//! prints is checked as well. Whether the rules do what they should is shown in the lab.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastswan::guard::{Cover, Guard, Hold, OnStop, Pair, Settings, admin};
use fastswan::model::{
    Addr, DscpCopy, Key, Lifetime, Mark, Mode, Offload, Proto, SaId, SaSpec, Spi, TrafficSelector,
};
use fastswan::xfrm::{NetlinkTransport, Transport};

/// Moves this thread, and so its sockets and children, into a fresh network namespace.
fn own_namespace() {
    // SAFETY: takes no pointers; only this thread is moved.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "needs root: {}", std::io::Error::last_os_error());
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    text
}

fn nft(arguments: &[&str]) -> Option<String> {
    let program = std::env::var("FASTSWAN_NFT").ok()?;
    Some(run(&program, arguments))
}

fn settings() -> Settings {
    Settings {
        cover: Cover::Units,
        hold: Hold::For(Duration::from_secs(10)),
        on_stop: OnStop::Hold,
        mark: 0x1000_0000,
        exempt: vec![],
    }
}

fn ts(from: &str, to: &str, proto: u8) -> TrafficSelector {
    TrafficSelector {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        proto,
        from_port: 0,
        to_port: u16::MAX,
    }
}

fn sa(
    number: u32,
    inbound: bool,
    local: TrafficSelector,
    remote: TrafficSelector,
) -> (SaId, SaSpec) {
    let ip = |text: &str| Addr::new(text.parse::<IpAddr>().unwrap());
    let (here, there) = (ip("192.168.0.1"), ip("192.168.0.2"));
    let (src, dst) = if inbound {
        (there, here)
    } else {
        (here, there)
    };
    let (src_ts, dst_ts) = if inbound {
        (remote, local)
    } else {
        (local, remote)
    };
    let id = SaId {
        src,
        dst,
        spi: Spi(0x1000 + number),
        proto: Proto::Esp,
        mark: Mark::default(),
        if_id: 0,
    };
    let spec = SaSpec {
        name: format!("child-{number}"),
        reqid: number,
        seq: 0,
        mode: Mode::Tunnel,
        src_ts: vec![src_ts],
        dst_ts: vec![dst_ts],
        interface: None,
        lifetime: Lifetime::default(),
        enc_alg: 20,
        enc_key: Key::default(),
        int_alg: 1024,
        int_key: Key::default(),
        replay_window: 32,
        tfc: 0,
        ipcomp: 0,
        cpi: 0,
        cpu: None,
        encap: false,
        offload: Offload::Packet,
        set_mark: Mark::default(),
        label: None,
        esn: true,
        copy_df: true,
        copy_ecn: true,
        copy_dscp: DscpCopy::OutOnly,
        iptfs_dont_frag: false,
        forward_icmp: false,
        initiator: true,
        inbound,
        update: false,
    };
    (id, spec)
}

fn v4(number: u32, inbound: bool) -> (SaId, SaSpec) {
    let [_, _, high, low] = number.to_be_bytes();
    let net = |first: u8| {
        let (from, to) = (
            format!("{first}.{high}.{low}.0"),
            format!("{first}.{high}.{low}.255"),
        );
        ts(&from, &to, 0)
    };
    sa(number, inbound, net(10), net(20))
}

#[test]
#[ignore = "needs root and iproute2"]
fn the_kernel_takes_every_message_and_keeps_what_it_should() {
    own_namespace();
    run("ip", &["link", "set", "lo", "up"]);
    run(
        "ip",
        &["link", "add", "p0", "type", "veth", "peer", "name", "p1"],
    );
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
    let mut settings = settings();
    settings.exempt = vec![
        fastswan::model::Prefix::new("192.168.7.0".parse().unwrap(), 24),
        fastswan::model::Prefix::new("fd07::".parse().unwrap(), 16),
    ];
    let guard = Guard::new(Arc::clone(&transport), settings.clone());
    guard.adopt().unwrap();
    guard.use_ike_port(500);
    guard.use_ike_port(4500);
    assert!(admin::list(transport.as_ref()).unwrap().is_empty());

    let (id, spec) = v4(1, true);
    guard.close_for_sa(&id, &spec).unwrap();
    guard.use_device(2, "p0").unwrap();
    let any6 = ts("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 47);
    let six = sa(2, true, ts("fd00::", "fd00::ffff", 47), any6);
    guard.close_for_sa(&six.0, &six.1).unwrap();
    let host = ts("192.168.0.1", "192.168.0.1", 0);
    let peer = ts("192.168.0.2", "192.168.0.2", 0);
    let transport_mode = sa(3, false, host, peer);
    guard
        .close_for_sa(&transport_mode.0, &transport_mode.1)
        .unwrap();

    let gates = |guard: &dyn Transport| -> Vec<(String, bool)> {
        let list = admin::list(guard).unwrap();
        list.into_iter()
            .map(|gate| (gate.pair.to_string(), gate.left.is_some()))
            .collect()
    };
    let all = [
        ("10.0.1.0/24 === 20.0.1.0/24".to_owned(), false),
        ("192.168.0.1/32 === 192.168.0.2/32".to_owned(), false),
        ("fd00::/112 === ::/0[47]".to_owned(), false),
    ];
    assert_eq!(gates(transport.as_ref()), all);
    if let Some(text) = nft(&["list", "ruleset"]) {
        for expected in [
            "kernel-fastswan: what CHILD_SAs protect neither leaves nor enters in clear",
            "10.0.1.0 . 20.0.1.0 comment \"child-1\"",
            "ip saddr & 255.255.255.0 . ip daddr & 255.255.255.0 @gate4_24_24 goto forwarded",
            "rt ipsec exists",
            "comment \"would leave in clear\"",
            "type filter hook egress device \"p0\"",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let json = nft(&["-j", "list", "set", "inet", "fastswan", "sa4_24_24"]).unwrap();
        let element = r#"{"concat": [1, "10.0.1.0", "20.0.1.0"]}"#;
        assert!(json.contains(element), "{json}");
        if std::env::var_os("FASTSWAN_SHOW").is_some() {
            std::fs::write("/tmp/fastswan-ruleset.txt", text).unwrap();
        }
    }

    // A release leaves the gate closed for its time; a new holder takes it back. So it is with the reqid.
    guard.shut([7, 8]).expect("there is a table").keep();
    guard.open_for_sa(&id.key());
    assert!(gates(transport.as_ref())[0].1, "has a timeout");
    let shut = || nft(&["list", "set", "inet", "fastswan", "shut_reqids"]);
    if let Some(text) = shut() {
        assert_eq!(text.matches("expires").count(), 2, "{text}");
    }
    guard.open_shut(7);
    if let Some(text) = shut() {
        assert!(!text.contains("0x00000007"), "{text}");
    }
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(!gates(transport.as_ref())[0].1, "has none");

    // Somebody opens what is held, and what is not.
    guard.open_for_sa(&six.0.key());
    for gate in admin::list(transport.as_ref()).unwrap() {
        admin::open(transport.as_ref(), &gate.pair).unwrap();
    }
    assert!(gates(transport.as_ref()).is_empty());

    // A crash: another daemon finds what this one closed.
    drop(guard);
    let guard = Guard::new(Arc::clone(&transport), settings.clone());
    guard.close_for_sa(&id, &spec).unwrap();
    drop(guard);
    let guard = Guard::new(Arc::clone(&transport), settings.clone());
    guard.adopt().unwrap();
    let adopted = guard.gates();
    assert_eq!(adopted.len(), 1);
    assert_eq!(
        (adopted[0].last_holder.as_str(), adopted[0].left),
        ("child-1", None)
    );
    guard.stop();
    assert_eq!(gates(transport.as_ref()).len(), 1, "guard_on_stop = hold");
    settings.on_stop = OnStop::Open;
    let guard = Guard::new(Arc::clone(&transport), settings);
    guard.adopt().unwrap();
    guard.stop();
    assert!(gates(transport.as_ref()).is_empty());
    if let Some(text) = nft(&["list", "ruleset"]) {
        assert_eq!(text, "", "both tables are gone");
    }
}

#[test]
#[ignore = "needs root"]
fn a_gate_opens_by_itself_after_its_time() {
    own_namespace();
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
    let mut settings = settings();
    settings.hold = Hold::For(Duration::from_secs(1));
    let guard = Guard::new(Arc::clone(&transport), settings);
    let (id, spec) = v4(1, false);
    guard.close_for_sa(&id, &spec).unwrap();
    guard.open_for_sa(&id.key());
    let pair: Pair = admin::parse_pair("10.0.1.0/24 === 20.0.1.0/24").unwrap();
    assert_eq!(admin::list(transport.as_ref()).unwrap()[0].pair, pair);
    let start = Instant::now();
    while !admin::list(transport.as_ref()).unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(start.elapsed() > Duration::from_millis(500));
    guard.close_for_sa(&id, &spec).unwrap();
    assert_eq!(admin::list(transport.as_ref()).unwrap().len(), 1);
}

/// A UDP packet from one thread's namespace to the other's: whether it arrives.
struct Wire {
    to_peer: std::sync::mpsc::Sender<(String, String)>,
    from_peer: std::sync::mpsc::Receiver<bool>,
}

/// Sends from `source` to `target`, perhaps with a mark; a refusal of the stack counts as not sent.
fn send(source: &str, target: &str, mark: Option<u32>) {
    let socket = UdpSocket::bind(source).unwrap();
    if let Some(mark) = mark {
        // SAFETY: the option's value is four bytes that outlive the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MARK,
                (&raw const mark).cast(),
                4,
            )
        };
        assert_eq!(result, 0);
    }
    let _ = socket.send_to(b"in clear", target);
}

fn arrives(socket: &UdpSocket) -> bool {
    socket
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    socket.recv_from(&mut [0; 16]).is_ok()
}

impl Wire {
    /// A namespace of its own behind `g0`, in which a thread sends and receives for us.
    fn new() -> Self {
        let (to_peer, commands) = std::sync::mpsc::channel::<(String, String)>();
        let (answers, from_peer) = std::sync::mpsc::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            own_namespace();
            // SAFETY: gettid(2) takes nothing and always succeeds.
            ready.send(unsafe { libc::gettid() }).unwrap();
            wait.recv().unwrap();
            for arguments in [
                "link set lo up",
                "addr add 10.2.0.1/16 dev p0",
                "addr add 192.168.0.2/24 dev p0",
                "link set p0 up",
                "route add 10.1.0.0/16 dev p0",
            ] {
                run("ip", &arguments.split(' ').collect::<Vec<_>>());
            }
            ready.send(0).unwrap();
            for (source, target) in commands {
                if target.is_empty() {
                    let socket = UdpSocket::bind(source).unwrap();
                    answers.send(true).unwrap();
                    answers.send(arrives(&socket)).unwrap();
                } else {
                    send(&source, &target, None);
                }
            }
        });
        let peer = started.recv().unwrap().to_string();
        run(
            "ip",
            &["link", "add", "g0", "type", "veth", "peer", "name", "p0"],
        );
        run("ip", &["link", "set", "p0", "netns", &peer]);
        for arguments in [
            "link set lo up",
            "addr add 10.1.0.1/16 dev g0",
            "addr add 192.168.0.1/24 dev g0",
            "link set g0 up",
            "route add 10.2.0.0/16 dev g0",
        ] {
            run("ip", &arguments.split(' ').collect::<Vec<_>>());
        }
        go.send(()).unwrap();
        started.recv().unwrap();
        Self { to_peer, from_peer }
    }

    fn leaves(&self, source: &str, target: &str, mark: Option<u32>) -> bool {
        let listen = (target.to_owned(), String::new());
        self.to_peer.send(listen).unwrap();
        self.from_peer.recv().unwrap();
        send(source, target, mark);
        self.from_peer.recv().unwrap()
    }

    fn enters(&self, source: &str, target: &str) -> bool {
        let socket = UdpSocket::bind(target).unwrap();
        let command = (source.to_owned(), target.to_owned());
        self.to_peer.send(command).unwrap();
        arrives(&socket)
    }
}

#[test]
#[ignore = "needs root and iproute2"]
fn nothing_passes_a_closed_gate_in_clear_but_what_is_exempt() {
    own_namespace();
    let wire = Wire::new();
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
    let mut settings = settings();
    settings.hold = Hold::For(Duration::ZERO);
    let mark = settings.mark;
    let guard = Guard::new(Arc::clone(&transport), settings);
    guard.use_ike_port(500);
    let (here, there) = ("10.1.0.1:7000", "10.2.0.1:7000");
    let open = |when: &str| {
        assert!(wire.leaves(here, there, None), "leaves {when}");
        assert!(wire.enters(there, here), "enters {when}");
    };
    // The devices take their time to come up.
    let up = (0..20).any(|_| wire.leaves(here, there, None));
    assert!(up, "there is no way to the peer");
    open("before there is a gate");
    let local = ts("10.1.0.0", "10.1.255.255", 0);
    let (id, spec) = sa(1, true, local, ts("10.2.0.0", "10.2.255.255", 0));
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(!wire.leaves(here, there, None));
    assert!(
        !wire.leaves(here, there, Some(mark)),
        "the bit is not the application's"
    );
    assert!(!wire.enters(there, here));
    for (here, there, why) in [
        ("10.1.0.1:500", "10.2.0.1:500", "IKE"),
        ("192.168.0.1:7000", "192.168.0.2:7000", "not guarded"),
        ("192.168.0.1:7000", "10.2.0.1:7000", "only one side is"),
    ] {
        assert!(wire.leaves(here, there, None), "{why}");
        assert!(wire.enters(there, here), "{why}");
    }
    // Not every packet from port 500 is IKE of ours.
    assert!(!wire.enters("10.2.0.1:500", here));
    assert!(!wire.leaves(here, "10.2.0.1:500", None));
    guard.open_for_sa(&id.key());
    open("after the SA");

    // With a mark it is about the packets that have it.
    let local = ts("10.1.0.0", "10.1.255.255", 0);
    let (mut id, spec) = sa(2, false, local, ts("10.2.0.0", "10.2.255.255", 0));
    id.mark = Mark {
        value: 42,
        mask: u32::MAX,
    };
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(!wire.leaves(here, there, Some(42)), "its mark");
    assert!(
        !wire.leaves(here, there, Some(42 | mark)),
        "its mark, and a forged bit"
    );
    assert!(wire.leaves(here, there, Some(41)), "another mark");
    assert!(wire.leaves(here, there, None), "none");
    assert!(wire.enters(there, here), "none");
    guard.open_for_sa(&id.key());
    assert!(wire.leaves(here, there, Some(42)), "after that SA");

    // A CHILD_SA of which a policy is removed.
    let (id, spec) = sa(
        2,
        false,
        ts("10.8.0.0", "10.8.0.0", 0),
        ts("10.9.0.0", "10.9.0.0", 0),
    );
    guard.close_for_sa(&id, &spec).unwrap();
    let shut = guard.shut([7, 0x0102_0304]).expect("there is a table");
    if let Some(text) = nft(&["list", "set", "inet", "fastswan", "shut_reqids"]) {
        assert!(
            text.contains("0x00000007") && text.contains("0x01020304"),
            "{text}"
        );
        let chain = nft(&["list", "chain", "inet", "fastswan", "postrouting"]).unwrap();
        assert!(
            chain.contains("ipsec out reqid @shut_reqids counter"),
            "{chain}"
        );
    }
    assert!(wire.leaves(here, there, None), "nothing else is shut");
    drop(shut);
    guard.open_for_sa(&id.key());

    // Behind an XFRM interface only what went through it once is looked up: nothing of this host.
    let all = || ts("0.0.0.0", "255.255.255.255", 0);
    let (mut id, spec) = sa(3, false, all(), all());
    id.if_id = 42;
    guard.close_for_sa(&id, &spec).unwrap();
    assert!(
        wire.leaves(here, there, None),
        "not sent into the interface"
    );
    guard.open_for_sa(&id.key());
}

#[test]
#[ignore = "needs root; prints a measurement"]
fn one_more_costs_the_same_among_ten_thousand() {
    own_namespace();
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
    let guard = Guard::new(Arc::clone(&transport), settings());
    let mut done = 0;
    let mut costs = Vec::new();
    for among in [100, 1_000, 10_000] {
        while done < among {
            done += 1;
            let (id, spec) = v4(done, true);
            guard.close_for_sa(&id, &spec).unwrap();
        }
        let rounds = 200;
        let start = Instant::now();
        for _ in 0..rounds {
            let (id, spec) = v4(done + 1, true);
            guard.close_for_sa(&id, &spec).unwrap();
            guard.open_for_sa(&id.key());
        }
        let cost = start.elapsed() / rounds;
        costs.push(cost);
        #[allow(clippy::print_stdout, reason = "a measurement for a person")]
        {
            println!("closing and releasing one gate among {among}: {cost:?}");
        }
    }
    assert_eq!(admin::list(transport.as_ref()).unwrap().len(), 10_001);
    // Flat within what a shared machine's noise allows.
    assert!(costs[2] < costs[0] * 5, "{costs:?}");
}

/// Time this thread spent on the CPU.
fn cpu_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec that the kernel may write for the length of the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    assert_eq!(result, 0);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
#[ignore = "needs root and iproute2; prints a measurement"]
fn a_packet_costs_the_same_among_ten_thousand_gates() {
    own_namespace();
    let _wire = Wire::new();
    let transport: Arc<dyn Transport> = Arc::new(NetlinkTransport::new().unwrap());
    let guard = Guard::new(Arc::clone(&transport), settings());
    // One that no gate names: it passes every rule, and the peer has no socket for it.
    let socket = UdpSocket::bind("192.168.0.1:7000").unwrap();
    let cost = || {
        let rounds = 20_000;
        let best = (0..5).map(|_| {
            let start = cpu_time();
            for _ in 0..rounds {
                let _ = socket.send_to(b"in clear", "192.168.0.255:9");
            }
            (cpu_time() - start) / rounds
        });
        best.min().unwrap()
    };
    socket.set_broadcast(true).unwrap();
    let mut costs = vec![(0, cost())];
    let mut done = 0;
    for among in [1, 100, 10_000] {
        while done < among {
            done += 1;
            let (id, spec) = v4(done, true);
            guard.close_for_sa(&id, &spec).unwrap();
        }
        costs.push((among, cost()));
    }
    for (among, cost) in &costs {
        #[allow(clippy::print_stdout, reason = "a measurement for a person")]
        {
            let rate = 1.0 / cost.as_secs_f64();
            println!("a packet sent past {among} gates: {cost:?}, {rate:.0} packets a second");
        }
    }
    assert!(costs[3].1 < costs[1].1 * 2, "{costs:?}");
}
