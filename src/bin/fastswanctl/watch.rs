// SPDX-License-Identifier: GPL-2.0-or-later
//! `watch`: status, live, in a terminal.
//!
//! Owns the screen and the keys. A thread of its own asks the machine, so that a slow answer does not
//! freeze the keys; the screen draws the lines that fit and no more, so that it takes 10,000
//! CHILD_SAs as it takes ten. Called by `main`. Must not be started without a terminal.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Sparkline, Table};

use crate::status::{Row, fit, fit_end, short, span};

/// Columns of the graph: a minute and more at the default interval.
const HISTORY: usize = 64;
/// Columns of all but name and peer, with the gaps.
const REST: usize = 9 + 8 + 7 + 6 + 4 + 6;
/// The keys are looked at this often.
const KEYS: Duration = Duration::from_millis(100);

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Trouble,
    Rate,
    Packets,
    Name,
    Age,
}

const ORDERS: [(Order, char, &str); 5] = [
    (Order::Trouble, 't', "trouble"),
    (Order::Rate, 'r', "rate"),
    (Order::Packets, 'p', "packets"),
    (Order::Name, 'n', "name"),
    (Order::Age, 'a', "age"),
];

/// A row with what it did since the last time.
struct Live {
    row: Row,
    /// Bytes per second, both directions.
    rate: u64,
}

/// All that is shown.
struct View {
    rows: Vec<Live>,
    /// Indices into `rows`, in order, of those that the filter takes.
    shown: Vec<usize>,
    order: Order,
    filter: String,
    typing: bool,
    selected: usize,
    top: usize,
    /// Bytes by SPI and peer at the last answer, and when that was.
    before: HashMap<(String, String), u64>,
    asked: Option<Instant>,
    history: VecDeque<u64>,
    error: Option<String>,
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
enum After {
    Go,
    Quit,
}

impl View {
    fn new() -> Self {
        Self {
            rows: Vec::new(),
            shown: Vec::new(),
            order: Order::Trouble,
            filter: String::new(),
            typing: false,
            selected: 0,
            top: 0,
            before: HashMap::new(),
            asked: None,
            history: VecDeque::new(),
            error: None,
        }
    }

    /// Takes in an answer. A counter that is new, or smaller than before, has no rate.
    fn update(&mut self, rows: Result<Vec<Row>, String>, now: Instant) {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        self.error = None;
        let seconds = self.asked.map_or(0.0, |asked| (now - asked).as_secs_f64());
        let mut bytes = HashMap::with_capacity(self.before.len());
        let mut all = 0;
        self.rows = rows
            .into_iter()
            .map(|row| {
                let mut grown = 0;
                for half in row.inbound.iter().chain(&row.outbound) {
                    let key = (half.spi.clone(), row.peer.clone());
                    if let Some(before) = self.before.get(&key) {
                        grown += half.bytes.saturating_sub(*before);
                    }
                    bytes.insert(key, half.bytes);
                }
                let rate = if seconds > 0.0 {
                    (grown as f64 / seconds) as u64
                } else {
                    0
                };
                all += rate;
                Live { row, rate }
            })
            .collect();
        self.before = bytes;
        if self.asked.is_some() {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(all);
        }
        self.asked = Some(now);
        self.arrange();
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let takes = |row: &Row| {
            filter.is_empty()
                || [&row.connection, &row.child, &row.peer, &row.mode]
                    .into_iter()
                    .chain(&row.device)
                    .any(|text| text.to_lowercase().contains(&filter))
        };
        self.shown = (0..self.rows.len())
            .filter(|index| takes(&self.rows[*index].row))
            .collect();
        let packets = |live: &Live| {
            let halves = live.row.inbound.iter().chain(&live.row.outbound);
            halves.map(|half| half.packets).sum::<u64>()
        };
        let rows = &self.rows;
        let order = self.order;
        // Stable, and by name where the rest is equal, so that rows do not dance.
        self.shown.sort_by(|one, other| {
            let (one, other) = (&rows[*one], &rows[*other]);
            let name = |live: &Live| {
                let row = &live.row;
                (row.connection.clone(), row.child.clone(), row.unique_id)
            };
            let by = match order {
                Order::Trouble => (other.row.disagreements.len()).cmp(&one.row.disagreements.len()),
                Order::Rate => other.rate.cmp(&one.rate),
                Order::Packets => packets(other).cmp(&packets(one)),
                Order::Age => one.row.age.cmp(&other.row.age),
                Order::Name => std::cmp::Ordering::Equal,
            };
            by.then_with(|| name(one).cmp(&name(other)))
        });
        self.selected = self.selected.min(self.shown.len().saturating_sub(1));
    }

    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers, page: usize) -> After {
        if modifiers.contains(KeyModifiers::CONTROL) && code == KeyCode::Char('c') {
            return After::Quit;
        }
        if self.typing {
            match code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => {
                    self.typing = false;
                    self.filter.clear();
                }
                KeyCode::Backspace => {
                    self.filter.pop();
                }
                KeyCode::Char(c) if self.filter.len() < 64 => self.filter.push(c),
                _ => {}
            }
            self.arrange();
            return After::Go;
        }
        let last = self.shown.len().saturating_sub(1);
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return After::Quit,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(last),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(page),
            KeyCode::PageDown => self.selected = (self.selected + page).min(last),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Char(c) => {
                if let Some((order, ..)) = ORDERS.iter().find(|(_, key, _)| *key == c) {
                    self.order = *order;
                    self.arrange();
                }
            }
            _ => {}
        }
        After::Go
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, graph, table, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(3),
            Constraint::Min(2),
            Constraint::Length(3),
        ])
        .areas(frame.area());
        let rate: u64 = self.rows.iter().map(|live| live.rate).sum();
        let trouble = self
            .rows
            .iter()
            .filter(|live| !live.row.disagreements.is_empty())
            .count();
        let title = format!(
            "{} of {} CHILD_SAs, {}B/s, {trouble} in trouble",
            self.shown.len(),
            self.rows.len(),
            short(rate)
        );
        frame.render_widget(Paragraph::new(title).style(bold()), head);
        let history: Vec<u64> = self.history.iter().copied().collect();
        frame.render_widget(Sparkline::default().data(&history), graph);

        // Only what fits is made into lines.
        let height = usize::from(table.height.saturating_sub(1)).max(1);
        if self.selected < self.top {
            self.top = self.selected;
        }
        if self.selected >= self.top + height {
            self.top = self.selected + 1 - height;
        }
        // An address of IPv6 where there is room; otherwise its end, which is what differs.
        let peer = if table.width < 110 { 15 } else { 39 };
        let name = usize::from(table.width).saturating_sub(peer + REST);
        let lines = self
            .shown
            .iter()
            .enumerate()
            .skip(self.top)
            .take(height)
            .map(|(place, index)| line(&self.rows[*index], place == self.selected, (name, peer)));
        let widths = [
            Constraint::Length(name as u16),
            Constraint::Length(peer as u16),
            Constraint::Length(9),
            Constraint::Length(8),
            Constraint::Length(7),
            Constraint::Length(6),
            Constraint::Length(4),
        ];
        let names = [
            "CHILD_SA", "PEER", "MODE", "DEVICE", "PACKETS", "   B/s", " AGE",
        ];
        let listed = Table::new(lines, widths).header(TableRow::new(names).style(bold()));
        frame.render_widget(listed, table);

        let selected = self
            .shown
            .get(self.selected)
            .and_then(|index| self.rows[*index].row.disagreements.first());
        let notice = match (&self.error, selected) {
            (Some(error), _) => error.clone(),
            (None, Some(text)) => format!("!! {text}"),
            (None, None) => String::new(),
        };
        let filter = if self.typing {
            format!("filter: {}_", self.filter)
        } else if self.filter.is_empty() {
            String::new()
        } else {
            format!("filter: {}", self.filter)
        };
        let orders: Vec<String> = ORDERS
            .iter()
            .map(|(order, key, name)| {
                let mark = if *order == self.order { "*" } else { "" };
                format!("{key} {name}{mark}")
            })
            .collect();
        let keys = format!("q quit  / filter  order: {}", orders.join(", "));
        frame.render_widget(
            Paragraph::new(vec![
                Line::styled(notice, Style::default().fg(Color::Red)),
                Line::raw(filter),
                Line::styled(keys, Style::default().add_modifier(Modifier::DIM)),
            ]),
            foot,
        );
    }
}

fn bold() -> Style {
    Style::default().add_modifier(Modifier::BOLD)
}

fn line(live: &Live, selected: bool, (name, peer): (usize, usize)) -> TableRow<'static> {
    let row = &live.row;
    let name = fit(&row.name(), name);
    let packets: u64 = row
        .inbound
        .iter()
        .chain(&row.outbound)
        .map(|half| half.packets)
        .sum();
    let mode = match (row.disagreements.is_empty(), row.mode.as_str()) {
        (false, _) => Style::default().fg(Color::Red),
        (true, "packet") => Style::default().fg(Color::Green),
        _ => Style::default(),
    };
    let mark = if row.disagreements.is_empty() {
        ""
    } else {
        "!"
    };
    let line = TableRow::new([
        Cell::new(name),
        Cell::new(fit_end(&row.peer, peer)),
        Cell::new(format!("{}{mark}", row.mode)).style(mode),
        Cell::new(fit(row.device.as_deref().unwrap_or("-"), 8)),
        Cell::new(format!("{:>7}", short(packets))),
        Cell::new(format!("{:>6}", short(live.rate))),
        Cell::new(format!("{:>4}", span(row.age))),
    ]);
    if selected {
        line.style(Style::default().add_modifier(Modifier::REVERSED))
    } else {
        line
    }
}

/// Rows, or why there are none.
pub(crate) type Rows = Result<Vec<Row>, String>;

/// Shows what `ask` answers, every `interval`, until the user has seen enough.
pub(crate) fn run(
    interval: Duration,
    mut ask: impl FnMut() -> Rows + Send + 'static,
) -> io::Result<()> {
    let (sender, answers) = channel();
    // It ends with the process, or when nobody takes its answers any more.
    thread::spawn(move || {
        while sender.send(ask()).is_ok() {
            thread::sleep(interval);
        }
    });
    let mut terminal = ratatui::try_init()?;
    let result = turn(&mut terminal, &answers);
    ratatui::restore();
    result
}

fn turn(terminal: &mut ratatui::DefaultTerminal, answers: &Receiver<Rows>) -> io::Result<()> {
    let mut view = View::new();
    let mut dirty = true;
    loop {
        while let Ok(rows) = answers.try_recv() {
            view.update(rows, Instant::now());
            dirty = true;
        }
        if dirty {
            terminal.draw(|frame| view.draw(frame))?;
            dirty = false;
        }
        if event::poll(KEYS)? {
            dirty = true;
            let page = usize::from(terminal.size()?.height)
                .saturating_sub(8)
                .max(1);
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && view.key(key.code, key.modifiers, page) == After::Quit
            {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, Recorded};
    use crate::picture;
    use crate::status::Half;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

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
        terminal.draw(|frame| view.draw(frame)).unwrap();
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
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines/gateway");
        let facts = Recorded::new(&folder).facts().unwrap();
        let rows = crate::status::rows(&facts, 1_700_000_100).unwrap();
        let mut view = View::new();
        let began = Instant::now();
        for look in 0..=HISTORY as u64 {
            let mut rows = rows.clone();
            for (place, row) in rows.iter_mut().enumerate() {
                let wave = 20 + (look * (7 + place as u64) % 23) + look % 9;
                for half in row.inbound.iter_mut().chain(&mut row.outbound) {
                    if half.mode == "packet" {
                        half.bytes += look * 1_500_000 + wave * 90_000 * (8 - place as u64 % 8);
                    }
                }
            }
            view.update(Ok(rows), began + Duration::from_secs(2 * look));
        }
        view.key(KeyCode::Char('r'), KeyModifiers::NONE, 10);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
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
}
