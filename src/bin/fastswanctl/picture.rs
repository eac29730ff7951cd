// SPDX-License-Identifier: GPL-2.0-or-later
//! Pictures of the screen for the README, as SVG.
//!
//! Owns their form. Called by the tests of `status` and `watch`, which fail when a picture under
//! docs/images/ is not what the code draws now; `cargo xtask screens` writes them. Part of no
//! program. What is shown is the modelled machine tests/machines/gateway, not a real one.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How a character looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// 31 red, 32 green, 33 yellow, 36 cyan, as on terminals.
    pub(crate) color: Option<u8>,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) reversed: bool,
}

/// A line of a screen.
pub(crate) type Line = Vec<(char, Style)>;

/// Width and height of a character.
const CELL: (f64, f64) = (8.4, 18.0);
const COLUMNS: usize = 80;
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#1e2127";
const FOREGROUND: &str = "#d5d8de";

/// A line with our own colours in it.
pub(crate) fn painted(text: &str) -> Line {
    let mut line = Vec::new();
    let mut style = Style::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((codes, behind)) = rest
            .strip_prefix("\x1b[")
            .and_then(|rest| rest.split_once('m'))
        {
            for code in codes.split(';') {
                match code {
                    "0" => style = Style::default(),
                    "1" => style.bold = true,
                    "2" => style.dim = true,
                    code => style.color = code.parse().ok(),
                }
            }
            rest = behind;
            continue;
        }
        line.push((c, style));
        rest = &rest[c.len_utf8()..];
    }
    line
}

fn color(style: Style) -> &'static str {
    match style.color {
        Some(31) => "#ef6b73",
        Some(32) => "#8fce6a",
        Some(33) => "#e6c07a",
        Some(36) => "#62b5c9",
        _ if style.dim => "#858b97",
        _ => FOREGROUND,
    }
}

fn svg(title: &str, lines: &[Line]) -> String {
    let (width, height) = (
        2.0 * MARGIN + COLUMNS as f64 * CELL.0,
        2.0 * MARGIN + (lines.len() + 1) as f64 * CELL.1,
    );
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n\
         <!-- Of the modelled machine tests/machines/gateway; written by cargo xtask screens. -->\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         width=\"{width:.0}\" role=\"img\" font-family=\"DejaVu Sans Mono, Consolas, monospace\" \
         font-size=\"14\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>"
    );
    let prompt = painted(&format!("\x1b[2m$\x1b[0m \x1b[1m{title}\x1b[0m"));
    for (row, line) in std::iter::once(&prompt).chain(lines).enumerate() {
        assert!(line.len() <= COLUMNS, "{line:?}");
        let top = MARGIN + row as f64 * CELL.1;
        let mut column = 0;
        for run in line.chunk_by(|one, other| one.1 == other.1 && is_bar(one.0) == is_bar(other.0))
        {
            let text: String = run.iter().map(|(c, _)| *c).collect();
            let style = run[0].1;
            let left = MARGIN + column as f64 * CELL.0;
            let wide = run.len() as f64 * CELL.0;
            column += run.len();
            let mut fill = color(style);
            if style.reversed {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" \
                     fill=\"{fill}\" shape-rendering=\"crispEdges\"/>",
                    CELL.1
                );
                fill = BACKGROUND;
            }
            if bars(&mut svg, &text, fill, (left, top)) {
                continue;
            }
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            let wide = text.chars().count() as f64 * CELL.0;
            let weight = if style.bold {
                " font-weight=\"bold\""
            } else {
                ""
            };
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            let _ = writeln!(
                svg,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" fill=\"{fill}\"{weight} \
                 xml:space=\"preserve\">{escaped}</text>",
                top + CELL.1 - 4.5
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// One of the eight that fill an eighth of a cell to the whole of it.
fn is_bar(c: char) -> bool {
    ('\u{2581}'..='\u{2588}').contains(&c)
}

/// Draws the bars of a graph; whether the text is one. Fonts do not fill the line with them, and a graph
/// of several lines would fall apart.
fn bars(svg: &mut String, text: &str, fill: &str, (left, top): (f64, f64)) -> bool {
    if !text.chars().all(is_bar) {
        return false;
    }
    for (place, bar) in text.chars().enumerate() {
        let high = f64::from(bar as u32 - 0x2580) * CELL.1 / 8.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.2}\" width=\"{:.1}\" height=\"{high:.2}\" fill=\"{fill}\" \
             shape-rendering=\"crispEdges\"/>",
            left + place as f64 * CELL.0,
            top + CELL.1 - high,
            CELL.0
        );
    }
    true
}

/// Compares a picture with the file of that name, or writes it.
pub(crate) fn compare(name: &str, title: &str, lines: Vec<Line>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    let file = folder.join(format!("{name}.svg"));
    let svg = svg(title, &lines);
    if std::env::var_os("FASTSWAN_UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, &svg).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == svg,
        "{} is not what {title} draws now: cargo xtask screens",
        file.display()
    );
}
