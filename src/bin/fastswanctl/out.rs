// SPDX-License-Identifier: GPL-2.0-or-later
//! Everything that is printed.
//!
//! Owns stdout and stderr, colours and their conditions. A reader that has gone away, as in
//! `fastswanctl status | head`, ends the program without a word. Nobody else prints.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// If stdout is a terminal that can, and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    pub(crate) fn wanted(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stdout().is_terminal() && set("NO_COLOR").is_none() && can_draw(),
        }
    }
}

/// A variable of the environment that is there and not empty.
fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether the terminal knows more than characters.
pub(crate) fn can_draw() -> bool {
    set("TERM").is_some_and(|term| term != "dumb")
}

/// A colour with a meaning. The meaning is always in the text as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Doubtful,
    Bad,
    Faint,
    Strong,
}

/// Where output goes.
pub(crate) struct Out<'a> {
    to: BufWriter<Box<dyn Write + 'a>>,
    color: bool,
}

impl<'a> Out<'a> {
    /// To stdout.
    pub(crate) fn stdout(color: Color) -> Self {
        Self::new(Box::new(io::stdout().lock()), color.wanted())
    }

    /// To anything.
    pub(crate) fn new(to: Box<dyn Write + 'a>, color: bool) -> Self {
        Self {
            to: BufWriter::new(to),
            color,
        }
    }

    /// A line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.to, "{}", clean(&text.to_string(), self.color))
    }

    /// Text in a colour, if there are colours.
    pub(crate) fn paint(&self, paint: Paint, text: impl fmt::Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "1;31",
            Paint::Faint => "2",
            Paint::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// Everything out.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Names come from peers, firmware and files: no control character of theirs reaches the terminal.
/// Our own colours begin with ESC [ and end with m.
fn clean(text: &str, color: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if color && c == '\x1b' {
            let end = rest.find('m');
            if let Some(end) = end
                && rest[1..end].starts_with('[')
                && rest[2..end]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b';')
            {
                result.push_str(&rest[..=end]);
                rest = &rest[end + 1..];
                continue;
            }
        }
        if c.is_control() && c != '\n' {
            result.extend(c.escape_default());
        } else {
            result.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    result
}

/// A message for the operator, to stderr.
pub(crate) fn complain(text: impl fmt::Display) {
    let text = clean(&format!("fastswanctl: {text}\n"), false);
    // Nobody is left to tell if this fails.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Breaks text into lines of at most `width` columns, at blanks. A longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_control_characters_stay_out() {
        assert_eq!(clean("a\x1b[2Jb\tc", false), "a\\u{1b}[2Jb\\tc");
        assert_eq!(clean("a\x1b[2Jb", true), "a\\u{1b}[2Jb");
        assert_eq!(clean("\x1b[1;31mred\x1b[0m", true), "\x1b[1;31mred\x1b[0m");
        assert_eq!(clean("\x1b", true), "\\u{1b}");
        assert_eq!(clean("\x1bm", true), "\\u{1b}m");
    }

    #[test]
    fn long_text_is_broken_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("averylongword x", 4), ["averylongword", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
