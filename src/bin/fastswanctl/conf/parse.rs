// SPDX-License-Identifier: GPL-2.0-or-later
//! The reader of strongSwan's file format: sections, key = value, comments, quotes, includes, references.
//!
//! Owns the grammar and its limits. Called by `conf`. Must not know what a setting means. What cannot
//! be read is an error with file and line, never a guess.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Includes within includes.
const DEPTH_MAX: usize = 10;
/// Sections within sections: three or four are in use, and each takes room on the stack.
const NESTED_MAX: usize = 64;
/// Longest file.
const LONGEST: u64 = 16 << 20;

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) struct Error {
    file: PathBuf,
    line: usize,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

impl Error {
    /// Where it is, without a word of the file: that may be one of a secret.
    pub(super) fn place(&self) -> String {
        match self.line {
            0 => self.to_string(),
            line => format!("{}:{line} is not understood", self.file.display()),
        }
    }
}

/// A section: what it holds, and sections by reference whose content it has as well.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) values: Vec<(String, String)>,
    pub(super) sections: Vec<(String, Node)>,
    pub(super) references: Vec<String>,
}

impl Node {
    fn child_mut(&mut self, name: &str) -> &mut Node {
        let index = match self.sections.iter().position(|(found, _)| found == name) {
            Some(index) => index,
            None => {
                self.sections.push((name.to_owned(), Node::default()));
                self.sections.len() - 1
            }
        };
        &mut self.sections[index].1
    }

    pub(super) fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, name| {
            node.sections
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, node)| node)
        })
    }
}

/// One file on the way in.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    file: &'a Path,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, text: impl Into<String>) -> Error {
        Error {
            file: self.file.to_owned(),
            line: 1 + self.text[..self.at].matches('\n').count(),
            text: text.into(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '#' => self.skip_line(),
                c if c.is_whitespace() => {
                    self.bump();
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        while let Some(c) = self.peek() {
            if c == '\n' {
                return;
            }
            self.bump();
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.bump();
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while let Some(c) = self.peek() {
            if c.is_whitespace() || "#{}:,=\"".contains(c) {
                break;
            }
            self.bump();
        }
        self.text[start..self.at].to_owned()
    }

    fn quoted(&mut self) -> Result<String, Error> {
        self.bump();
        let mut value = String::new();
        loop {
            match self.bump() {
                None => return Err(self.error("a quote is not closed")),
                Some('"') => return Ok(value),
                Some('\\') => match self.bump() {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some('\n') | None => {}
                    Some(c) => value.push(c),
                },
                Some(c) => value.push(c),
            }
        }
    }

    /// Up to the end of the line, of the section, or a comment.
    fn value(&mut self) -> Result<String, Error> {
        let mut value = String::new();
        loop {
            self.blanks();
            match self.peek() {
                None | Some('\n' | '}' | '#') => return Ok(value),
                Some('"') => {
                    let text = self.quoted()?;
                    append(&mut value, &text);
                }
                Some(_) => {
                    let start = self.at;
                    while let Some(c) = self.peek() {
                        if "\n}#\" \t\r".contains(c) {
                            break;
                        }
                        self.bump();
                    }
                    let text = self.text[start..self.at].to_owned();
                    append(&mut value, &text);
                    if self.peek() == Some('\r') {
                        self.bump();
                    }
                }
            }
        }
    }

    fn section(&mut self, node: &mut Node, nested: usize) -> Result<(), Error> {
        if nested > NESTED_MAX {
            return Err(self.error("too many sections within sections"));
        }
        loop {
            self.skip();
            match self.peek() {
                None if nested > 0 => return Err(self.error("a section is not closed")),
                None => return Ok(()),
                Some('}') if nested > 0 => {
                    self.bump();
                    return Ok(());
                }
                Some('}') => return Err(self.error("a section ends that did not begin")),
                Some(_) => {}
            }
            let name = self.name();
            if name.is_empty() {
                return Err(self.error("a name is missing"));
            }
            if name == "include" && matches!(self.peek(), Some(' ' | '\t')) {
                let pattern = self.value()?;
                self.include(&pattern, node)?;
                continue;
            }
            self.skip();
            match self.peek() {
                Some('=') => {
                    self.bump();
                    let value = self.value()?;
                    node.values.push((name, value));
                }
                Some('{') => {
                    self.bump();
                    self.section(node.child_mut(&name), nested + 1)?;
                }
                Some(':') => {
                    self.bump();
                    self.references(node.child_mut(&name), nested)?;
                }
                _ => {
                    return Err(self.error(format!(
                        "\"{name}\" is followed by neither \"=\" nor \"{{\""
                    )));
                }
            }
        }
    }

    fn references(&mut self, node: &mut Node, nested: usize) -> Result<(), Error> {
        loop {
            self.skip();
            let reference = self.name();
            if reference.is_empty() {
                return Err(self.error("the name of a section to refer to is missing"));
            }
            node.references.push(reference);
            self.skip();
            match self.bump() {
                Some(',') => {}
                Some('{') => return self.section(node, nested + 1),
                _ => return Err(self.error("a reference is followed by neither \",\" nor \"{\"")),
            }
        }
    }

    fn include(&mut self, pattern: &str, node: &mut Node) -> Result<(), Error> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error("too many includes within includes"));
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let files = matching(&folder.join(pattern))
            .map_err(|error| self.error(format!("include {pattern}: {error}")))?;
        for file in files {
            parse_into(&file, node, self.depth + 1)?;
        }
        Ok(())
    }
}

fn append(value: &mut String, text: &str) {
    if !value.is_empty() {
        value.push(' ');
    }
    value.push_str(text);
}

/// The files that a path with `*` in its last part names. A path without one may be missing, as in
/// strongSwan.
fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some((start, end)) = name.split_once('*') else {
        return Ok(if pattern.exists() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        });
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.len() >= start.len() + end.len()
            && found.starts_with(start)
            && found.ends_with(end)
        {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file that may be anything, a device without an end included: its size says nothing.
pub(crate) fn read_text(file: &Path, longest: u64) -> io::Result<String> {
    let refuse = |text| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut bytes = Vec::new();
    fs::File::open(file)?
        .take(longest + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(refuse(format!("it is longer than {longest} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refuse("this is no text".to_owned()))
}

/// Adds what a file says to a section.
pub(super) fn parse_into(file: &Path, node: &mut Node, depth: usize) -> Result<(), Error> {
    let refuse = |text: String| Error {
        file: file.to_owned(),
        line: 0,
        text,
    };
    let text = read_text(file, LONGEST).map_err(|error| refuse(error.to_string()))?;
    let mut parser = Parser {
        text: &text,
        at: 0,
        file,
        depth,
    };
    parser.section(node, 0)
}
