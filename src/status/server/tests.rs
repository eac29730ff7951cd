// SPDX-License-Identifier: GPL-2.0-or-later
//! The socket against well-behaved, slow and hostile clients. The test plays charon's watcher: it
//! calls the server whenever its descriptor would be readable.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Answers "echo", streams "many", knows the event "unit" and "item".
struct Told;

impl Source for Told {
    fn answer(&self, command: &str, request: &Section) -> Option<Answer> {
        match command {
            "echo" => {
                let mut message = Writer::new();
                message.value("text", request.text("text").unwrap_or("nothing"));
                Some(Answer::Message(message))
            }
            "many" => {
                let count = request.number("count").unwrap_or(0);
                Some(Answer::Stream(
                    "item",
                    Box::new((0..count).map(|number| {
                        let mut message = Writer::new();
                        message
                            .value("number", number)
                            .value("padding", "x".repeat(1000));
                        message
                    })),
                ))
            }
            _ => None,
        }
    }

    fn has_event(&self, name: &str) -> bool {
        matches!(name, "unit" | "item")
    }
}

fn path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("fastswan-{}-{count}.socket", std::process::id()))
}

fn server() -> Server {
    Server::open(&path(), None, Arc::new(Told)).unwrap()
}

fn connect(server: &Server) -> UnixStream {
    let client = UnixStream::connect(&server.path).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert!(server.readable());
    client
}

fn clients(server: &Server) -> usize {
    server.lock().as_ref().unwrap().clients.len()
}

fn packet(kind: Kind, name: &str, body: &[u8]) -> Vec<u8> {
    Packet { kind, name, body }.encode()
}

fn text(key: &str, value: &str) -> Vec<u8> {
    let mut message = Writer::new();
    message.value(key, value);
    message.bytes().to_vec()
}

/// The next packet for a client; the server gets to run while it is not there.
fn next(server: &Server, client: &mut UnixStream) -> (Kind, String, Section) {
    let mut head = [0; 4];
    fill(server, client, &mut head);
    let mut bytes = vec![0; packet_length(&head, usize::MAX).unwrap().unwrap()];
    fill(server, client, &mut bytes);
    let packet = Packet::decode(&bytes).unwrap();
    let body = Section::decode(packet.body).unwrap();
    (packet.kind, packet.name.to_owned(), body)
}

fn fill(server: &Server, client: &mut UnixStream, mut room: &mut [u8]) {
    client.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !room.is_empty() {
        match client.read(room) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(count) => room = &mut room[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(Instant::now() < deadline, "no answer");
                assert!(server.readable());
            }
            Err(error) => panic!("{error}"),
        }
    }
    client.set_nonblocking(false).unwrap();
}

/// Whether the server has closed the connection.
fn is_closed(client: &mut UnixStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let mut room = [0; 65536];
    loop {
        match client.read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_command_gets_its_answer() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(&packet(Kind::Request, "echo", &text("text", "hello")))
        .unwrap();
    let (kind, _, body) = next(&server, &mut client);
    assert_eq!(kind, Kind::Response);
    assert_eq!(body.text("text"), Some("hello"));
    client
        .write_all(&packet(Kind::Request, "keys", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut client).0, Kind::UnknownCommand);
}

#[test]
fn a_request_may_come_byte_by_byte_and_several_at_once() {
    let server = server();
    let mut client = connect(&server);
    for byte in packet(Kind::Request, "echo", &text("text", "slow")) {
        client.write_all(&[byte]).unwrap();
        assert!(server.readable());
    }
    assert_eq!(next(&server, &mut client).2.text("text"), Some("slow"));
    let many: Vec<u8> = (0..50)
        .flat_map(|number| packet(Kind::Request, "echo", &text("text", &number.to_string())))
        .collect();
    client.write_all(&many).unwrap();
    for number in 0..50 {
        let answer = next(&server, &mut client).2;
        assert_eq!(answer.text("text"), Some(number.to_string().as_str()));
    }
}

#[test]
fn a_stream_is_made_as_it_is_taken() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(&packet(Kind::Register, "item", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut client).0, Kind::Confirm);
    client
        .write_all(&packet(Kind::Request, "many", &text("count", "5000")))
        .unwrap();
    for _ in 0..20 {
        assert!(server.readable());
    }
    // 5 MB were asked for, but nobody takes them.
    let waiting = server
        .lock()
        .as_ref()
        .unwrap()
        .clients
        .values()
        .map(|client| client.output.len())
        .sum::<usize>();
    assert!(waiting <= OUT_LOW + 2000, "{waiting} bytes wait");
    for number in 0..5000_u64 {
        let (kind, name, body) = next(&server, &mut client);
        assert_eq!((kind, name.as_str()), (Kind::Event, "item"));
        assert_eq!(body.number("number"), Some(number));
    }
    assert_eq!(next(&server, &mut client).0, Kind::Response);
}

#[test]
fn a_stream_that_nobody_registered_for_is_its_end_alone() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(&packet(Kind::Request, "many", &text("count", "3")))
        .unwrap();
    assert_eq!(next(&server, &mut client).0, Kind::Response);
}

#[test]
fn events_reach_those_who_registered() {
    let server = server();
    let events = server.events();
    let (mut one, mut other) = (connect(&server), connect(&server));
    let mut message = Writer::new();
    message.value("reqid", 7);
    events.raise("unit", &message);
    one.write_all(&packet(Kind::Register, "unit", &[])).unwrap();
    assert_eq!(next(&server, &mut one).0, Kind::Confirm);
    one.write_all(&packet(Kind::Register, "secrets", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut one).0, Kind::UnknownEvent);
    let teller = std::thread::spawn(move || events.raise("unit", &message));
    let (kind, name, body) = next(&server, &mut one);
    assert_eq!((kind, name.as_str()), (Kind::Event, "unit"));
    assert_eq!(body.number("reqid"), Some(7));
    teller.join().unwrap();
    other
        .write_all(&packet(Kind::Request, "echo", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut other).0, Kind::Response);
    one.write_all(&packet(Kind::Unregister, "unit", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut one).0, Kind::Confirm);
    one.write_all(&packet(Kind::Unregister, "unit", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut one).0, Kind::UnknownEvent);
}

#[test]
fn events_that_nobody_takes_do_not_pile_up() {
    let server = server();
    let events = server.events();
    let mut client = connect(&server);
    client
        .write_all(&packet(Kind::Register, "unit", &[]))
        .unwrap();
    assert_eq!(next(&server, &mut client).0, Kind::Confirm);
    let mut message = Writer::new();
    message.value("padding", "x".repeat(1000));
    for _ in 0..PENDING_MAX * 3 {
        events.raise("unit", &message);
    }
    assert_eq!(events.queue.lock().events.len(), PENDING_MAX);
    for _ in 0..3 {
        assert!(server.readable());
        for _ in 0..PENDING_MAX {
            events.raise("unit", &message);
        }
    }
    let state = server.lock();
    for client in state.as_ref().unwrap().clients.values() {
        assert!(client.output.len() <= OUT_MAX + 2000);
    }
}

#[test]
fn hostile_bytes_end_their_own_connection_and_no_other() {
    let server = server();
    let mut good = connect(&server);
    let long = [&[0, 0, 0x10, 1, 0][..], &[0; 100]].concat();
    let hostile: [&[u8]; 8] = [
        &[0xff; 64],
        &[0, 0, 0, 0],
        &[0, 0, 0, 1, 99],
        &[0, 0, 0, 2, 0, 200],
        &[0, 0, 0, 1, 1],
        &[0, 0, 0, 4, 0, 1, b'x', 9],
        &packet(Kind::Event, "unit", &[]),
        &long,
    ];
    for bytes in hostile {
        let mut client = connect(&server);
        client.write_all(bytes).unwrap();
        assert!(server.readable());
        assert!(is_closed(&mut client), "{bytes:?}");
    }
    // A generator of its own: the same bytes in each run.
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..300 {
        let mut client = connect(&server);
        let bytes: Vec<u8> = (0..64)
            .map(|place| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                if place < 3 { 0 } else { (state % 12) as u8 }
            })
            .collect();
        // It may be closed while we write.
        let _ = client.write_all(&bytes);
        assert!(server.readable());
    }
    assert!(server.readable());
    good.write_all(&packet(Kind::Request, "echo", &[])).unwrap();
    assert_eq!(next(&server, &mut good).0, Kind::Response);
    drop(good);
    assert!(server.readable());
    assert_eq!(clients(&server), 0, "closed ones are forgotten");
}

#[test]
fn a_crowd_does_not_keep_others_out() {
    let server = server();
    let mut crowd: Vec<UnixStream> = (0..CLIENTS_MAX * 2).map(|_| connect(&server)).collect();
    assert_eq!(clients(&server), CLIENTS_MAX);
    assert!(is_closed(&mut crowd[0]), "the one that did nothing longest");
    let mut late = connect(&server);
    late.write_all(&packet(Kind::Request, "echo", &[])).unwrap();
    assert_eq!(next(&server, &mut late).0, Kind::Response);
    assert_eq!(clients(&server), CLIENTS_MAX);
}

#[test]
fn a_client_that_keeps_us_waiting_is_given_up() {
    let server = server();
    let mut half = connect(&server);
    half.write_all(&[0, 0, 0, 20, 0]).unwrap();
    let mut idle = connect(&server);
    assert!(server.readable());
    // As if it had begun that long ago.
    for client in server.lock().as_mut().unwrap().clients.values_mut() {
        client.active = Instant::now()
            .checked_sub(PATIENCE + Duration::from_secs(1))
            .unwrap();
    }
    assert!(server.readable());
    assert!(is_closed(&mut half));
    assert!(!is_closed(&mut idle), "one that asks nothing may stay");
}

#[test]
fn the_clock_calls_us_for_a_client_that_says_no_more() {
    let server = server();
    let mut half = connect(&server);
    half.write_all(&[0, 0, 0, 20, 0]).unwrap();
    assert!(server.readable());
    let began = Instant::now();
    let state = server.lock();
    let owes = state.as_ref().unwrap().clients.values().next().unwrap();
    assert!(owes.owes_since().is_some_and(|since| since <= began));
    drop(state);
    // The timer is set: nothing is ready now, and it is what will be.
    assert_eq!(server.poll.ready().unwrap(), []);
    server.poll.set_timer(Some(Duration::ZERO)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(server.poll.ready().unwrap()[0].token, TIMER);
}

#[test]
fn the_socket_is_for_its_owner_and_group_and_goes_with_us() {
    let server = server();
    let path = server.path.clone();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o770);
    // A second one is refused while the first listens.
    let second = Server::open(&path, None, Arc::new(Told));
    assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn what_is_left_over_is_replaced_and_what_is_no_socket_is_not() {
    let place = path();
    drop(UnixListener::bind(&place).unwrap());
    assert!(place.exists());
    let server = Server::open(&place, None, Arc::new(Told)).unwrap();
    // Somebody put another one there: it is not ours to remove.
    fs::remove_file(&place).unwrap();
    let other = UnixListener::bind(&place).unwrap();
    drop(server);
    assert!(place.exists());
    drop(other);
    fs::remove_file(&place).unwrap();
    fs::write(&place, "a file").unwrap();
    let refused = Server::open(&place, None, Arc::new(Told));
    assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&place).unwrap(), "a file");
    fs::remove_file(&place).unwrap();
}

#[test]
fn a_client_that_sends_and_never_reads_does_not_keep_us_busy() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(&packet(Kind::Register, "item", &[]))
        .unwrap();
    client
        .write_all(&packet(Kind::Request, "many", &text("count", "100000")))
        .unwrap();
    client.set_nonblocking(true).unwrap();
    let echo = packet(Kind::Request, "echo", &[]);
    for _ in 0..200 {
        // Until nothing more fits into the socket.
        while client.write(&echo).is_ok() {}
        assert!(server.readable());
    }
    // There is plenty to read and nothing to be done about it.
    assert_eq!(server.poll.ready().unwrap(), []);
    assert_eq!(clients(&server), 1);
    // When it goes, that is noticed.
    drop(client);
    assert!(server.readable());
    assert_eq!(clients(&server), 0);
    assert_eq!(server.poll.ready().unwrap(), []);
}

#[test]
fn after_a_panic_of_a_command_the_socket_ends() {
    struct Broken;
    impl Source for Broken {
        fn answer(&self, _command: &str, _request: &Section) -> Option<Answer> {
            panic!("a bug");
        }
        fn has_event(&self, _name: &str) -> bool {
            false
        }
    }
    let server = Server::open(&path(), None, Arc::new(Broken)).unwrap();
    let mut client = connect(&server);
    client.write_all(&packet(Kind::Request, "x", &[])).unwrap();
    let call = std::panic::AssertUnwindSafe(|| server.readable());
    assert!(std::panic::catch_unwind(call).is_err());
    assert!(!server.readable(), "it must not be called for ever");
}
