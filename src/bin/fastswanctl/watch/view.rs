// SPDX-License-Identifier: GPL-2.0-or-later
//! What `watch` knows: the rows of the last answer, what they did since the ones before, which of
//! them are shown and in what order.
//!
//! Owns rates, order, filter and the meaning of keys. Called by the loop in `watch` and by `draw`.
//! Must not touch the terminal.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::Rows;
use crate::status::Row;

/// Looks that the graph of all holds, for wide terminals: eight minutes at the default interval.
pub(super) const HISTORY: usize = 240;
/// Looks that the graph of one CHILD_SA holds.
pub(super) const ROW_HISTORY: usize = 16;

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Trouble,
    Rate,
    Packets,
    Name,
    Age,
}

pub(super) const ORDERS: [(Order, char, &str); 5] = [
    (Order::Trouble, 't', "trouble"),
    (Order::Rate, 'r', "rate"),
    (Order::Packets, 'p', "packets"),
    (Order::Name, 'n', "name"),
    (Order::Age, 'a', "age"),
];

/// A row with what it did since the last time.
pub(super) struct Live {
    pub(super) row: Row,
    /// Bytes per second, both directions.
    pub(super) rate: u64,
    /// The rates of the last looks, the newest last.
    pub(super) history: VecDeque<u64>,
    pub(super) packets: u64,
}

impl Live {
    fn name(&self) -> (&str, &str, u64) {
        let row = &self.row;
        (&row.connection, &row.child, row.unique_id)
    }
}

/// An SA as long as it lives: its SPI and the peer.
type Key = (String, String);

/// All that is shown.
pub(super) struct View {
    pub(super) rows: Vec<Live>,
    /// Indices into `rows`, in order, of those that the filter takes.
    pub(super) shown: Vec<usize>,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) selected: usize,
    pub(super) top: usize,
    /// Bytes at the last answer, and when that was.
    before: HashMap<Key, u64>,
    asked: Option<Instant>,
    pub(super) history: VecDeque<u64>,
    pub(super) error: Option<String>,
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    Go,
    Quit,
}

impl View {
    pub(super) fn new() -> Self {
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

    /// Takes in an answer. A counter that is new, or smaller than before, has no rate; the graph of
    /// a CHILD_SA that was rekeyed begins anew.
    pub(super) fn update(&mut self, rows: Rows, now: Instant) {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        self.error = None;
        let seconds = self.asked.map_or(0.0, |asked| (now - asked).as_secs_f64());
        let mut graphs: HashMap<Key, VecDeque<u64>> = self
            .rows
            .drain(..)
            .filter_map(|live| Some((first(&live.row)?, live.history)))
            .collect();
        let mut bytes = HashMap::with_capacity(self.before.len());
        let mut all: u64 = 0;
        self.rows = rows
            .into_iter()
            .map(|row| {
                let (mut grown, mut known, mut packets) = (0_u64, false, 0_u64);
                for half in row.halves() {
                    packets = packets.saturating_add(half.packets);
                    let key = (half.spi.clone(), row.peer.clone());
                    if let Some(before) = self.before.get(&key) {
                        known = true;
                        grown = grown.saturating_add(half.bytes.saturating_sub(*before));
                    }
                    bytes.insert(key, half.bytes);
                }
                let rate = if seconds > 0.0 {
                    (grown as f64 / seconds) as u64
                } else {
                    0
                };
                all = all.saturating_add(rate);
                let mut history = first(&row)
                    .and_then(|key| graphs.remove(&key))
                    .unwrap_or_default();
                if known {
                    push(&mut history, rate, ROW_HISTORY);
                }
                Live {
                    row,
                    rate,
                    history,
                    packets,
                }
            })
            .collect();
        self.before = bytes;
        if self.asked.is_some() {
            push(&mut self.history, all, HISTORY);
        }
        self.asked = Some(now);
        self.arrange();
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let takes = |row: &Row| {
            filter.is_empty()
                || [&row.name(), &row.peer, &row.mode]
                    .into_iter()
                    .chain(&row.device)
                    .any(|text| text.to_lowercase().contains(&filter))
        };
        self.shown = (0..self.rows.len())
            .filter(|index| takes(&self.rows[*index].row))
            .collect();
        let rows = &self.rows;
        let order = self.order;
        // Stable, and by name where the rest is equal, so that rows do not dance.
        self.shown.sort_by(|one, other| {
            let (one, other) = (&rows[*one], &rows[*other]);
            let by = match order {
                Order::Trouble => (other.row.disagreements.len()).cmp(&one.row.disagreements.len()),
                Order::Rate => other.rate.cmp(&one.rate),
                Order::Packets => other.packets.cmp(&one.packets),
                Order::Age => one.row.age.cmp(&other.row.age),
                Order::Name => Ordering::Equal,
            };
            by.then_with(|| one.name().cmp(&other.name()))
        });
        self.selected = self.selected.min(self.shown.len().saturating_sub(1));
    }

    pub(super) fn key(&mut self, code: KeyCode, modifiers: KeyModifiers, page: usize) -> After {
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
}

/// What a row is known by from one answer to the next.
fn first(row: &Row) -> Option<Key> {
    Some((row.halves().next()?.spi.clone(), row.peer.clone()))
}

fn push(history: &mut VecDeque<u64>, rate: u64, limit: usize) {
    if history.len() == limit {
        history.pop_front();
    }
    history.push_back(rate);
}
