// SPDX-License-Identifier: GPL-2.0-or-later
//! `watch`: status, live, in a terminal.
//!
//! Owns the terminal while it runs. A thread of its own asks the machine, so that a slow answer does
//! not freeze the keys. Called by `main`. Must not be started without a terminal.
//!
//! * `view`: what is known, its rates, order and filter, and what keys do
//! * `draw`: the lines that fit, and no more, so that it takes 10,000 CHILD_SAs as it takes ten

mod draw;
#[cfg(test)]
mod tests;
mod view;

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::style::force_color_output;

use crate::status::Row;
use view::{After, View};

/// The keys are looked at this often.
const KEYS: Duration = Duration::from_millis(100);

/// Rows, or why there are none.
pub(crate) type Rows = Result<Vec<Row>, String>;

/// Shows what `ask` answers, every `interval`, until the user has seen enough.
pub(crate) fn run(
    colored: bool,
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
    force_color_output(colored);
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
            terminal.draw(|frame| draw::all(&mut view, frame))?;
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
