// SPDX-License-Identifier: GPL-2.0-or-later
//! The screen of `watch`.
//!
//! Owns the layout, the columns and the graphs. Called by the loop in `watch`. Only what fits is made
//! into lines, and ratatui writes only the cells that changed. Must not change what is known, but for
//! how far the list is scrolled.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, RenderDirection, Row as TableRow, Sparkline, Table};

use super::view::{Live, ORDERS, ROW_HISTORY, View};
use crate::status::{fit, fit_end, short, span};

/// Columns of all but name, peer and graph, with the gaps.
const REST: usize = 9 + 7 + 7 + 6 + 4 + 7;
/// The bars of one CHILD_SA's graph, lowest first. A full cell would touch the graph of the line above.
const STEPS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
const GRAPH: Color = Color::Cyan;

/// Widths of the columns that depend on that of the screen.
#[derive(Clone, Copy)]
struct Widths {
    name: usize,
    peer: usize,
    graph: usize,
}

impl Widths {
    fn new(screen: u16) -> Self {
        // An address of IPv6 where there is room; otherwise its end, which is what differs.
        let (peer, graph) = if screen < 110 {
            (15, ROW_HISTORY / 2)
        } else {
            (39, ROW_HISTORY)
        };
        Self {
            name: usize::from(screen).saturating_sub(peer + graph + REST),
            peer,
            graph,
        }
    }
}

pub(super) fn all(view: &mut View, frame: &mut Frame<'_>) {
    let [head, graph, table, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Min(2),
        Constraint::Length(3),
    ])
    .areas(frame.area());
    let rate = view
        .rows
        .iter()
        .fold(0, |sum: u64, live| sum.saturating_add(live.rate));
    let trouble = view
        .rows
        .iter()
        .filter(|live| !live.row.disagreements.is_empty())
        .count();
    // What fits, with the newest at the right.
    let history: Vec<u64> = view
        .history
        .iter()
        .rev()
        .take(usize::from(graph.width))
        .copied()
        .collect();
    let title = format!(
        "{} of {} CHILD_SAs, {trouble} in trouble, {}B/s (graph up to {}B/s)",
        view.shown.len(),
        view.rows.len(),
        short(rate),
        short(history.iter().copied().max().unwrap_or_default())
    );
    frame.render_widget(Paragraph::new(title).style(bold()), head);
    let graph_of_all = Sparkline::default()
        .data(&history)
        .direction(RenderDirection::RightToLeft)
        .style(Style::default().fg(GRAPH));
    frame.render_widget(graph_of_all, graph);
    list(view, frame, table);
    feet(view, frame, foot);
}

fn list(view: &mut View, frame: &mut Frame<'_>, table: Rect) {
    let height = usize::from(table.height.saturating_sub(1)).max(1);
    if view.selected < view.top {
        view.top = view.selected;
    }
    if view.selected >= view.top + height {
        view.top = view.selected + 1 - height;
    }
    let wide = Widths::new(table.width);
    let lines = view
        .shown
        .iter()
        .enumerate()
        .skip(view.top)
        .take(height)
        .map(|(place, index)| line(&view.rows[*index], place == view.selected, wide));
    let widths = [
        Constraint::Length(wide.name as u16),
        Constraint::Length(wide.peer as u16),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(wide.graph as u16),
        Constraint::Length(4),
    ];
    let names = [
        "CHILD_SA", "PEER", "MODE", "DEVICE", "PACKETS", "   B/s", "TREND", " AGE",
    ];
    let listed = Table::new(lines, widths).header(TableRow::new(names).style(bold()));
    frame.render_widget(listed, table);
}

fn feet(view: &View, frame: &mut Frame<'_>, foot: Rect) {
    let selected = view
        .shown
        .get(view.selected)
        .and_then(|index| view.rows[*index].row.disagreements.first());
    let notice = match (&view.error, selected) {
        (Some(error), _) => error.clone(),
        (None, Some(text)) => format!("!! {text}"),
        (None, None) => String::new(),
    };
    let filter = if view.typing {
        format!("filter: {}_", view.filter)
    } else if view.filter.is_empty() {
        String::new()
    } else {
        format!("filter: {}", view.filter)
    };
    let orders: Vec<String> = ORDERS
        .iter()
        .map(|(order, key, name)| {
            let mark = if *order == view.order { "*" } else { "" };
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

fn bold() -> Style {
    Style::default().add_modifier(Modifier::BOLD)
}

fn line(live: &Live, selected: bool, wide: Widths) -> TableRow<'static> {
    let row = &live.row;
    let mode = match (row.disagreements.is_empty(), row.mode.as_str()) {
        (false, _) => Style::default().fg(Color::Red),
        (true, "packet") if !selected => Style::default().fg(Color::Green),
        _ => Style::default(),
    };
    let mark = if row.disagreements.is_empty() {
        ""
    } else {
        "!"
    };
    // A coloured cell of the selected line would be a coloured block.
    let graph = if selected {
        Style::default()
    } else {
        Style::default().fg(GRAPH)
    };
    let line = TableRow::new([
        Cell::new(fit(&row.name(), wide.name)),
        Cell::new(fit_end(&row.peer, wide.peer)),
        Cell::new(format!("{}{mark}", row.mode)).style(mode),
        Cell::new(fit(row.device.as_deref().unwrap_or("-"), 7)),
        Cell::new(format!("{:>7}", short(live.packets))),
        Cell::new(format!("{:>6}", short(live.rate))),
        Cell::new(bars(&live.history, wide.graph)).style(graph),
        Cell::new(format!("{:>4}", span(row.age))),
    ]);
    if selected {
        line.style(Style::default().add_modifier(Modifier::REVERSED))
    } else {
        line
    }
}

/// The last rates as bars, the newest at the right. The highest of them is the highest bar: the graph
/// shows how the rate went, the column before it how much it is. Nothing at all is the lowest bar alone.
pub(super) fn bars(history: &VecDeque<u64>, width: usize) -> String {
    let last = history.len().min(width);
    let rates = history.iter().skip(history.len() - last);
    let most = rates.clone().copied().max().unwrap_or_default();
    let bars = rates.map(|rate| {
        let steps = STEPS.len() as u128 - 1;
        // Rounded up: whatever passed at all stands out from nothing.
        let step = (u128::from(*rate) * steps).div_ceil(u128::from(most).max(1));
        STEPS[usize::try_from(step).unwrap_or_default()]
    });
    std::iter::repeat_n(' ', width - last).chain(bars).collect()
}
