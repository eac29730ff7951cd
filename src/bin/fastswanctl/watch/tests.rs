// SPDX-License-Identifier: GPL-2.0-or-later
//! Rates, order, filter and what is drawn, on rows made for each test; and the picture of the README.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::draw::{all, bars};
use super::view::{After, HISTORY, ROW_HISTORY, View};
use crate::machine::{Machine, Recorded};
use crate::picture;
use crate::status::{Half, Row};

fn row(number: u64, bytes: u64) -> Row {
    Row {
        connection: "site".to_owned(),
        child: format!("net{number:05}"),
        unique_id: number,
        peer: format!("10.0.{}.{}", number / 256, number % 256),
        mode: if number.is_multiple_of(2) {
            "packet"
        } else {
            "software"
        }
        .to_owned(),
        outbound: Some(Half {
            spi: format!("{number:08x}"),
            bytes,
            packets: bytes / 100,
            ..Half::default()
        }),
        age: number,
        ..Row::default()
    }
}

fn screen(view: &mut View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| all(view, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    buffer
        .content()
        .chunks(usize::from(width))
        .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
        .collect()
}

#[test]
fn rates_come_from_two_answers() {
    let mut view = View::new();
    let began = Instant::now();
    view.update(Ok(vec![row(1, 1000), row(2, 500)]), began);
    assert!(view.rows.iter().all(|live| live.rate == 0));
    let later = began + Duration::from_secs(2);
    // The second was rekeyed: its counter began anew.
    view.update(Ok(vec![row(1, 5000), row(2, 100), row(3, 9)]), later);
    let rates: Vec<u64> = view.rows.iter().map(|live| live.rate).collect();
    assert_eq!(rates, [2000, 0, 0]);
    assert_eq!(view.history, [2000]);
    // Only what was seen twice has a graph, and it goes on from there.
    let graphs = |view: &View| -> Vec<Vec<u64>> {
        let histories = view.rows.iter().map(|live| &live.history);
        histories
            .map(|rates| rates.iter().copied().collect())
            .collect()
    };
    assert_eq!(graphs(&view), [vec![2000], vec![0], vec![]]);
    let later = later + Duration::from_secs(2);
    view.update(Ok(vec![row(3, 2009), row(1, 6000)]), later);
    assert_eq!(graphs(&view), [vec![1000], vec![2000, 500]]);
    for look in 1..=HISTORY as u64 {
        let later = later + Duration::from_secs(look);
        view.update(Ok(vec![row(1, 6000 + look * 100)]), later);
    }
    assert_eq!(graphs(&view), [vec![100; ROW_HISTORY]]);
    assert_eq!(view.history.len(), HISTORY);
}

#[test]
fn a_graph_shows_how_a_rate_went() {
    let graph = |rates: &[u64]| bars(&rates.iter().copied().collect(), 4);
    assert_eq!(graph(&[]), "    ");
    assert_eq!(graph(&[0, 0]), "  ▁▁");
    assert_eq!(graph(&[0, 7, 4, 1]), "▁▇▅▂");
    // A little is not nothing, and what is older than the columns is gone.
    assert_eq!(graph(&[5, 0, 1, 1_000_000, u64::MAX]), "▁▂▂▇");
}

#[test]
fn ten_thousand_are_drawn_as_ten() {
    let mut view = View::new();
    let rows: Vec<Row> = (0..10_000).map(|number| row(number, 0)).collect();
    view.update(Ok(rows), Instant::now());
    view.key(KeyCode::Char('n'), KeyModifiers::NONE, 10);
    let text = screen(&mut view, 80, 24);
    assert!(text.contains("10000 of 10000 CHILD_SAs"), "{text}");
    assert!(
        text.contains("net00000") && !text.contains("net00020"),
        "{text}"
    );
    view.key(KeyCode::End, KeyModifiers::NONE, 10);
    let text = screen(&mut view, 80, 24);
    assert!(
        text.contains("net09999") && !text.contains("net00000"),
        "{text}"
    );
    view.key(KeyCode::Home, KeyModifiers::NONE, 10);
    assert!(screen(&mut view, 80, 24).contains("net00000"));
}

/// Where a terminal writes to, for a test that reads it.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Written {
    fn take(&self) -> String {
        String::from_utf8(self.0.take()).unwrap()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A screen flickers when it is cleared, or written anew though it stays as it is. With 10,000
/// CHILD_SAs that all carry traffic, a look rewrites rates, graphs and ages of the lines that are
/// seen; names, peers and modes are left alone.
#[test]
fn a_look_at_ten_thousand_rewrites_what_changed_alone() {
    /// Until the graphs of 80 columns are full, and one more.
    const LOOKS: u64 = ROW_HISTORY as u64 / 2 + 1;
    let (width, height) = (80, 24);
    let screen = Viewport::Fixed(Rect::new(0, 0, width, height));
    let options = TerminalOptions { viewport: screen };
    let written = Written::default();
    let backend = CrosstermBackend::new(written.clone());
    let mut terminal = Terminal::with_options(backend, options).unwrap();
    let mut view = View::new();
    view.key(KeyCode::Char('n'), KeyModifiers::NONE, 10);
    let began = Instant::now();
    let answer = |look: u64| {
        let bytes = |number| look * 1_000_000 + (look * 7919 + number * 104_729) % 900_000;
        Ok((0..10_000)
            .map(|number| Row {
                age: look * 2,
                ..row(number, bytes(number))
            })
            .collect())
    };
    view.update(answer(0), began);
    terminal.draw(|frame| all(&mut view, frame)).unwrap();
    let whole = written.take();
    assert!(whole.contains("net00000"), "{whole}");
    for look in 1..=LOOKS {
        view.update(answer(look), began + Duration::from_secs(2 * look));
        terminal.draw(|frame| all(&mut view, frame)).unwrap();
        let text = written.take();
        assert!(
            !text.contains("\x1b[2J") && !text.contains("\x1b[J"),
            "{text:?}"
        );
        assert!(
            !text.contains("site/") && !text.contains("10.0."),
            "{text:?}"
        );
        assert!(
            !text.contains("software") && !text.contains("q quit"),
            "{text:?}"
        );
        // Again without an answer: nothing at all but the cursor and the colours reset.
        terminal.draw(|frame| all(&mut view, frame)).unwrap();
        let again = written.take();
        assert!(again.len() < 32, "{again:?}");
    }
    // Cells, for what a look costs: with the graph of all, less than half of the screen.
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| all(&mut view, frame)).unwrap();
    let before = terminal.backend().buffer().clone();
    let look = LOOKS + 1;
    view.update(answer(look), began + Duration::from_secs(2 * look));
    terminal.draw(|frame| all(&mut view, frame)).unwrap();
    let changed = before.diff(terminal.backend().buffer()).len();
    let cells = usize::from(width) * usize::from(height);
    assert!(changed > 0 && changed < cells / 2, "{changed} of {cells}");
}

#[test]
fn keys_filter_and_order() {
    let mut view = View::new();
    let mut rows: Vec<Row> = (0..10).map(|number| row(number, number * 100)).collect();
    rows[3].disagreements.push("apart".to_owned());
    view.update(Ok(rows), Instant::now());
    let first = |view: &View| view.rows[view.shown[0]].row.unique_id;
    assert_eq!(first(&view), 3, "trouble comes first");
    assert!(screen(&mut view, 80, 24).contains("!! apart"));
    let press = |view: &mut View, c| view.key(KeyCode::Char(c), KeyModifiers::NONE, 5);
    press(&mut view, 'p');
    assert_eq!(first(&view), 9);
    press(&mut view, 'a');
    assert_eq!(first(&view), 0);
    press(&mut view, '/');
    for c in "packet".chars() {
        press(&mut view, c);
    }
    assert_eq!(view.shown.len(), 5);
    assert!(screen(&mut view, 80, 24).contains("filter: packet_"));
    view.key(KeyCode::Enter, KeyModifiers::NONE, 5);
    assert_eq!(press(&mut view, 'q'), After::Quit);
    press(&mut view, '/');
    assert_eq!(press(&mut view, 'q'), After::Go, "it is a letter now");
    assert!(view.shown.is_empty());
    view.key(KeyCode::Esc, KeyModifiers::NONE, 5);
    assert_eq!(view.shown.len(), 10);
    assert_eq!(
        view.key(KeyCode::Char('c'), KeyModifiers::CONTROL, 5),
        After::Quit
    );
}

/// The picture in the README: the modelled gateway after some looks, with rates that are made up.
#[test]
fn the_picture_of_watch_is_up_to_date() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines/gateway");
    let facts = Recorded::new(&folder).facts().unwrap();
    let rows = crate::status::rows(&facts, 1_700_000_100).unwrap();
    let mut view = View::new();
    let began = Instant::now();
    // One hump after the other, each CHILD_SA at a pace and a height of its own.
    let rate = |look: u64, place: u64| {
        let at = (look * (3 + place % 3) + place * 17) % 48;
        let hump = at.min(48 - at);
        90_000 * (9 - place)
            + hump * hump * (2_600 + 900 * (place % 4))
            + (look * 7 + place) % 5 * 90_000
    };
    let mut sums = vec![0; rows.len()];
    for look in 0..=90 {
        let mut rows = rows.clone();
        for (place, row) in rows.iter_mut().enumerate() {
            if row.mode == "packet" {
                sums[place] += 2 * rate(look, place as u64);
            }
            if let Some(half) = &mut row.outbound {
                half.bytes += sums[place];
            }
        }
        view.update(Ok(rows), began + Duration::from_secs(2 * look));
    }
    view.key(KeyCode::Char('r'), KeyModifiers::NONE, 10);
    let mut terminal = Terminal::new(TestBackend::new(80, 18)).unwrap();
    terminal.draw(|frame| all(&mut view, frame)).unwrap();
    let lines = terminal
        .backend()
        .buffer()
        .content()
        .chunks(80)
        .map(|line| {
            line.iter()
                .map(|cell| {
                    let style = picture::Style {
                        color: match cell.fg {
                            Color::Red => Some(31),
                            Color::Green => Some(32),
                            Color::Cyan => Some(36),
                            _ => None,
                        },
                        bold: cell.modifier.contains(Modifier::BOLD),
                        dim: cell.modifier.contains(Modifier::DIM),
                        reversed: cell.modifier.contains(Modifier::REVERSED),
                    };
                    (cell.symbol().chars().next().unwrap_or(' '), style)
                })
                .collect()
        })
        .collect();
    picture::compare("watch", "fastswanctl watch", lines);
}

#[test]
fn a_small_screen_and_an_error_are_drawn() {
    let mut view = View::new();
    view.update(Err("no permission".to_owned()), Instant::now());
    assert!(screen(&mut view, 80, 24).contains("no permission"));
    view.update(Ok(vec![row(1, 1)]), Instant::now());
    assert!(!screen(&mut view, 80, 24).contains("no permission"));
    for (width, height) in [(1, 1), (10, 3), (300, 100)] {
        screen(&mut view, width, height);
    }
}
