// SPDX-License-Identifier: GPL-2.0-or-later
//! Compares the recordings of a row and says what to think of it.
//!
//! Owns the verdicts. Called by the runner in `parity`. Differences are texts, `place: theirs | ours`, because rows
//! declare those they want as texts as well.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    decode::{Attributes, Object},
    record::{Declared, Recording},
};

/// What stands where one side has nothing.
const NOTHING: &str = "-";

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is equal.
    Same,
    /// Everything is equal, and the kernel here executes it no further than the message.
    Message,
    /// It differs as it is meant to.
    OnPurpose,
    /// It differs otherwise.
    Differs(Vec<String>),
    /// It is not in the test.
    NotRun,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) row: String,
    pub(crate) verdict: Verdict,
    /// The reason of a difference on purpose, or of a row that is not run.
    pub(crate) why: Option<String>,
    /// Attributes, calls and events that were compared.
    pub(crate) compared: usize,
    /// What differs on purpose.
    pub(crate) meant: Vec<String>,
}

impl Compared {
    /// Whether the row holds: a row that is not run proves nothing and breaks nothing.
    pub(crate) fn passed(&self) -> bool {
        !matches!(self.verdict, Verdict::Differs(_))
    }
}

/// Theirs first, then ours.
pub(super) fn judge(
    row: &str,
    declared: &Declared,
    theirs: &Recording,
    ours: &Recording,
) -> Compared {
    let mut compared = Compared {
        row: row.to_owned(),
        verdict: Verdict::NotRun,
        why: declared.why.clone(),
        compared: 0,
        meant: Vec::new(),
    };
    if declared.not_run {
        if declared.why.is_none() {
            let text = "it is not run, and does not say why".to_owned();
            compared.verdict = Verdict::Differs(vec![text]);
        }
        return compared;
    }
    let mut diff = Diff::default();
    diff.pair(
        "the row's process ended",
        theirs.died.as_deref(),
        ours.died.as_deref(),
    );
    diff.notes(&theirs.notes, &ours.notes);
    diff.states(theirs, ours);
    if declared.messages {
        diff.messages(&theirs.messages, &ours.messages);
    }
    compared.compared = diff.compared;
    let mut found = diff.found;
    if theirs.died.is_some() && ours.died.is_some() {
        found.push("neither plugin came to the end of the row".to_owned());
    }
    if diff.compared == 0 || theirs.notes.is_empty() {
        found.push("the row recorded nothing".to_owned());
    }
    let wanted = |text: &String| declared.differs.iter().any(|glob| matches(glob, text));
    let missing = declared
        .differs
        .iter()
        .filter(|glob| !found.iter().any(|text| matches(glob, text)))
        .map(|glob| format!("no longer differs on purpose: {glob}"))
        .collect::<Vec<_>>();
    let (meant, mut unwanted): (Vec<_>, Vec<_>) = found.into_iter().partition(wanted);
    unwanted.extend(missing);
    compared.meant = meant;
    compared.verdict = if !unwanted.is_empty() {
        Verdict::Differs(unwanted)
    } else if !compared.meant.is_empty() {
        Verdict::OnPurpose
    } else if declared.messages && theirs.refused {
        Verdict::Message
    } else {
        Verdict::Same
    };
    compared
}

#[derive(Default)]
struct Diff {
    found: Vec<String>,
    compared: usize,
}

impl Diff {
    fn pair(&mut self, place: &str, theirs: Option<&str>, ours: Option<&str>) {
        self.compared += usize::from(theirs.is_some() || ours.is_some());
        if theirs != ours {
            self.found.push(format!(
                "{place}: {} | {}",
                theirs.unwrap_or(NOTHING),
                ours.unwrap_or(NOTHING)
            ));
        }
    }

    /// One by one; of a call, what it is and what it returned.
    fn notes(&mut self, theirs: &[String], ours: &[String]) {
        for number in 0..theirs.len().max(ours.len()) {
            let (theirs, ours) = (theirs.get(number), ours.get(number));
            let split = |note: Option<&String>| {
                note.and_then(|note| {
                    note.split_once(" = ")
                        .map(|(call, result)| (call.to_owned(), result.to_owned()))
                })
            };
            match (split(theirs), split(ours)) {
                (Some((call, theirs)), Some((same, ours))) if call == same => {
                    self.pair(&call, Some(&theirs), Some(&ours));
                }
                _ => {
                    let place = format!("step {}", number + 1);
                    self.pair(&place, theirs.map(String::as_str), ours.map(String::as_str));
                }
            }
        }
    }

    fn states(&mut self, theirs: &Recording, ours: &Recording) {
        for number in 0..theirs.states.len().max(ours.states.len()) {
            let (Some(theirs), Some(ours)) = (theirs.states.get(number), ours.states.get(number))
            else {
                self.found
                    .push(format!("state {} was recorded by one only", number + 1));
                continue;
            };
            if theirs.label != ours.label {
                self.found.push(format!(
                    "state {}: {} | {}",
                    number + 1,
                    theirs.label,
                    ours.label
                ));
                continue;
            }
            self.objects(&theirs.label, &theirs.objects, &ours.objects);
        }
    }

    fn objects(
        &mut self,
        label: &str,
        theirs: &BTreeMap<String, Attributes>,
        ours: &BTreeMap<String, Attributes>,
    ) {
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for name in names {
            match (theirs.get(name), ours.get(name)) {
                (Some(theirs), Some(ours)) => {
                    self.attributes(&format!("{label}: {name}"), theirs, ours);
                }
                (theirs, _) => {
                    self.compared += 1;
                    let who = if theirs.is_some() {
                        "kernel-netlink"
                    } else {
                        "kernel-fastswan"
                    };
                    self.found.push(format!("{label}: {name}: only with {who}"));
                }
            }
        }
    }

    fn attributes(&mut self, place: &str, theirs: &Attributes, ours: &Attributes) {
        let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for key in keys {
            self.pair(
                &format!("{place}: {key}"),
                theirs.get(key).map(String::as_str),
                ours.get(key).map(String::as_str),
            );
        }
    }

    fn messages(&mut self, theirs: &[Object], ours: &[Object]) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for number in 0..theirs.len().max(ours.len()) {
            match (theirs.get(number), ours.get(number)) {
                (Some(theirs), Some(ours)) if theirs.name == ours.name => {
                    let count = seen.entry(&theirs.name).or_default();
                    *count += 1;
                    let place = if *count == 1 {
                        theirs.name.clone()
                    } else {
                        format!("{} #{count}", theirs.name)
                    };
                    self.attributes(&place, &theirs.attributes, &ours.attributes);
                }
                (theirs, ours) => {
                    let place = format!("message {}", number + 1);
                    self.pair(
                        &place,
                        theirs.map(|object| object.name.as_str()),
                        ours.map(|object| object.name.as_str()),
                    );
                }
            }
        }
    }
}

/// Whether `text` is `glob`, in which each * stands for anything.
fn matches(glob: &str, text: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else {
        return glob == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge, matches};
    use crate::parity::record::{Declared, Recording, read};

    fn recording(text: &str) -> Recording {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        read(&lines).1
    }

    fn declared(differs: &[&str]) -> Declared {
        Declared {
            differs: differs.iter().map(|text| (*text).to_owned()).collect(),
            ..Declared::default()
        }
    }

    fn verdict(differs: &[&str], theirs: &str, ours: &str) -> Verdict {
        judge(
            "row",
            &declared(differs),
            &recording(theirs),
            &recording(ours),
        )
        .verdict
    }

    const BASE: &str = "note add = SUCCESS\nstate a\nsysctl x 1\nendstate";

    #[test]
    fn equal_recordings_are_the_same() {
        assert_eq!(verdict(&[], BASE, BASE), Verdict::Same);
    }

    #[test]
    fn one_attribute_makes_a_difference() {
        let other = BASE.replace("x 1", "x 2");
        assert_eq!(
            verdict(&[], BASE, &other),
            Verdict::Differs(vec!["a: sysctl x: value: 1 | 2".to_owned()])
        );
    }

    #[test]
    fn a_status_an_event_and_an_object_make_one_too() {
        for other in [
            BASE.replace("SUCCESS", "FAILED"),
            format!("{BASE}\nnote event expire"),
            BASE.replace("sysctl x 1\n", ""),
            format!("{BASE}\ndied signal 11"),
        ] {
            assert!(
                matches!(verdict(&[], BASE, &other), Verdict::Differs(found) if found.len() == 1)
            );
        }
    }

    #[test]
    fn a_difference_on_purpose_must_be_there_and_alone() {
        let wanted = ["add: SUCCESS | FAILED"];
        let other = BASE.replace("SUCCESS", "FAILED");
        assert_eq!(verdict(&wanted, BASE, &other), Verdict::OnPurpose);
        assert!(matches!(verdict(&wanted, BASE, BASE), Verdict::Differs(_)));
        let more = other.replace("x 1", "x 2");
        assert!(matches!(verdict(&wanted, BASE, &more), Verdict::Differs(_)));
    }

    #[test]
    fn a_row_without_a_recording_does_not_pass() {
        assert!(matches!(verdict(&[], "", ""), Verdict::Differs(_)));
        let died = format!("{BASE}\ndied signal 14");
        assert!(matches!(verdict(&[], &died, &died), Verdict::Differs(_)));
    }

    #[test]
    fn a_row_that_is_not_run_says_why() {
        let mut declared = Declared {
            not_run: true,
            ..Declared::default()
        };
        let none = Recording::default();
        assert!(!judge("row", &declared, &none, &none).passed());
        declared.why = Some("a reason".to_owned());
        assert_eq!(
            judge("row", &declared, &none, &none).verdict,
            Verdict::NotRun
        );
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("a*c", "abc") && matches("a*c*", "abcd") && matches("a", "a"));
        assert!(!matches("a*c", "abd") && !matches("a", "ab") && !matches("*x*", "abc"));
    }
}
