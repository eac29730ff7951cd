// SPDX-License-Identifier: GPL-2.0-or-later
//! The file: what is written, what a crash leaves of it, and whose it is.

use super::*;

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("fastswan-ledger-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn owner(netns: u64) -> Owner {
    Owner {
        boot: "b00t".into(),
        netns,
    }
}

fn open_at(folder: &Folder, netns: u64) -> (Ledger, Vec<String>) {
    let (ledger, left) = Ledger::open(&folder.file(), owner(netns)).unwrap();
    let mut left: Vec<String> = left.into_iter().collect();
    left.sort();
    (ledger, left)
}

impl Ledger {
    fn note(&self, key: &str) {
        self.add(&(key.to_owned(), "x".to_owned()));
    }
}

#[test]
fn what_was_not_taken_back_is_found_by_the_next() {
    let folder = Folder::new("next");
    let (ledger, left) = open_at(&folder, 1);
    assert!(left.is_empty());
    for entry in ["sa a", "sa b", "policy c"] {
        ledger.note(entry);
    }
    ledger.remove("sa a");
    drop(ledger);
    let (ledger, left) = open_at(&folder, 1);
    assert_eq!(left, ["policy c | x", "sa b | x"]);
    ledger.remove("sa b");
    drop(ledger);
    let (ledger, left) = open_at(&folder, 1);
    assert_eq!(left, ["policy c | x"], "it is kept until it is taken back");
    ledger.clear();
    ledger.close();
    assert!(!folder.file().exists(), "a clean end leaves no file");
}

#[test]
fn a_torn_or_spoiled_line_counts_as_not_written() {
    let folder = Folder::new("torn");
    let (ledger, _) = open_at(&folder, 1);
    ledger.note("sa a");
    ledger.note("sa b");
    drop(ledger);
    let mut whole = std::fs::read(folder.file()).unwrap();
    // Without the room for more.
    let end = whole.iter().rposition(|byte| *byte != b'\n').unwrap() + 2;
    whole.truncate(end);
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for len in header..whole.len() {
        std::fs::write(folder.file(), &whole[..len]).unwrap();
        let (_, left) = open_at(&folder, 1);
        // Without its newline a line is whole if its checksum is.
        assert!(left.len() <= 2, "{left:?}");
        assert!(
            left.iter()
                .all(|entry| entry == "sa a | x" || entry == "sa b | x")
        );
        std::fs::write(folder.file(), &whole).unwrap();
    }
    let mut spoiled = whole.clone();
    spoiled[header + 4] ^= 1;
    spoiled.extend_from_slice(&[0xff, 0xfe, b'\n']);
    std::fs::write(folder.file(), &spoiled).unwrap();
    let (_, left) = open_at(&folder, 1);
    assert_eq!(left.len(), 1);
}

#[test]
fn another_boot_makes_it_void_and_another_namespace_is_somebody_else() {
    let folder = Folder::new("owner");
    let (ledger, _) = open_at(&folder, 1);
    ledger.note("sa a");
    // Alive, in another namespace, with the same /run.
    let (other, left) = open_at(&folder, 2);
    assert!(left.is_empty());
    other.note("sa z");
    assert!(folder.0.join("state.2").exists());
    drop((ledger, other));
    assert_eq!(open_at(&folder, 1).1, ["sa a | x"]);
    assert_eq!(open_at(&folder, 2).1, ["sa z | x"]);
    let later = Owner {
        boot: "an0ther".into(),
        netns: 1,
    };
    let (_, left) = Ledger::open(&folder.file(), later).unwrap();
    assert!(left.is_empty());
}

#[test]
fn a_charon_that_is_alive_keeps_its_ledger() {
    let folder = Folder::new("alive");
    let (ledger, _) = open_at(&folder, 1);
    ledger.note("sa a");
    let error = Ledger::open(&folder.file(), owner(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    // Also after the file was written anew.
    ledger.rewrite().unwrap();
    let error = Ledger::open(&folder.file(), owner(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    ledger.remove("sa a");
    drop(ledger);
    assert!(open_at(&folder, 1).1.is_empty());
}

#[test]
fn where_locks_are_denied_the_process_id_tells() {
    let folder = Folder::new("denied");
    let open_denied =
        || Ledger::open_by(&folder.file(), owner(1), &|_: &File| Ok(FileLock::Denied));
    let (ledger, _) = open_denied().unwrap();
    ledger.note("sa a");
    drop(ledger);
    // Its own process id is that of a charon before it, in a container where ids begin anew.
    assert_eq!(open_denied().unwrap().1.len(), 1);
    let write_as = |pid: u32| {
        let text =
            line('=', &format!("fastswan 1 b00t 1 {pid}"), None) + &line('+', "sa a", Some("x"));
        std::fs::write(folder.file(), text).unwrap();
    };
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    write_as(child.id());
    let error = open_denied().unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(open_denied().unwrap().1.len(), 1);
}

#[test]
fn the_file_stays_as_small_as_what_is_live() {
    let folder = Folder::new("small");
    let (ledger, _) = open_at(&folder, 1);
    for round in 0..3 * SLACK {
        ledger.note(&format!("sa {round}"));
        if round >= 10 {
            ledger.remove(&format!("sa {}", round - 10));
        }
    }
    let text = std::fs::read_to_string(folder.file()).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= SLACK + 40, "{lines}");
    assert_eq!(ledger.len(), 10);
    drop(ledger);
    assert_eq!(open_at(&folder, 1).1.len(), 10);
}

#[test]
fn threads_that_write_while_it_is_written_anew_lose_nothing() {
    let folder = Folder::new("threads");
    let (ledger, _) = open_at(&folder, 1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for round in 0..400 {
                    let entry = format!("sa {thread} {round}");
                    ledger.note(&entry);
                    if round % 2 == 0 {
                        ledger.remove(&entry);
                    }
                    if round % 50 == 0 {
                        ledger.rewrite().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(ledger.len(), 800);
    drop(ledger);
    // An object that was written down and taken back while the file changed over may be in it still;
    // it is in no kernel. None may be missing.
    let left = open_at(&folder, 1).1;
    for thread in 0..4 {
        for round in (1..400).step_by(2) {
            let entry = format!("sa {thread} {round} | x");
            assert!(left.contains(&entry), "{entry}");
        }
    }
}

/// System calls that this thread has made to write, by the kernel's count.
fn writes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("syscw: "));
    count.unwrap().parse().unwrap()
}

#[test]
fn a_line_takes_no_system_call_and_is_in_the_file_at_once() {
    let folder = Folder::new("room");
    let (ledger, _) = open_at(&folder, 1);
    let before = writes();
    for number in 0..100 {
        ledger.note(&format!("sa {number}"));
    }
    assert_eq!(writes(), before, "there was room");
    // As after a crash: nothing was flushed, closed or unmapped.
    let content = std::fs::read_to_string(folder.file()).unwrap();
    assert_eq!(entries(&content).len(), 100);
}

#[test]
fn lines_without_room_are_appended_in_their_order() {
    let folder = Folder::new("full");
    let (ledger, _) = open_at(&folder, 1);
    let long = "x".repeat(ROOM / 3);
    // Room for some, none for the next, and room again behind it.
    for round in 0..20 {
        ledger.add(&("sa a".to_owned(), format!("{long}{round}")));
        ledger.remove("sa a");
        ledger.add(&("sa b".to_owned(), format!("{round}")));
    }
    let content = std::fs::read_to_string(folder.file()).unwrap();
    let left = entries(&content);
    assert!(!left.iter().any(|entry| entry.starts_with("sa a")));
    assert!(left.contains("sa b | 19"));
    // Without any.
    let mut state = ledger.lock();
    (state.room, state.adding) = (None, Adding::Refused);
    drop(state);
    let before = writes();
    ledger.note("sa c");
    assert_eq!(writes(), before + 1);
    let content = std::fs::read_to_string(folder.file()).unwrap();
    assert!(entries(&content).contains("sa c | x"));
}
