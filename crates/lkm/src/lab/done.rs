//! What a step left: its result, the modules, the log, its output; and whether that meets an expectation.

use super::script::Expect;
use crate::out::out;
use lkm_trace::Event;

/// A step's record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// The line.
    pub text: String,
    /// `0`, an errno's name, `exit N`, `signal N`, `blocked in F`.
    pub ret: String,
    /// Kind (`mod`, `log`, `out`, `note`) and text, in the order they came.
    pub lines: Vec<(String, String)>,
}

impl Done {
    /// What the child's events of one message say; None when it began no step.
    pub(super) fn from_events(events: &[Event]) -> Option<Done> {
        let mut done = None::<Done>;
        for event in events {
            match (event, &mut done) {
                (Event::Step { text, .. }, _) => {
                    done = Some(Done {
                        text: text.clone(),
                        ..Done::default()
                    });
                }
                (Event::Output { kind, text }, Some(done)) if kind == "ret" => {
                    done.ret.clone_from(text);
                }
                (Event::Output { kind, text }, Some(done)) => {
                    done.lines.push((kind.clone(), text.clone()));
                }
                _ => {}
            }
        }
        done
    }

    /// Lines of one kind.
    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter(move |(k, _)| k == kind)
            .map(|(_, text)| text.as_str())
    }

    /// Why an expectation is not met.
    pub(crate) fn unmet(&self, expect: &Expect) -> Option<String> {
        let list = |lines: Vec<&str>| {
            if lines.is_empty() {
                "nothing".to_owned()
            } else {
                lines.join(" | ")
            }
        };
        match expect {
            Expect::Errno(name) => {
                let name = if name == "EAGAIN" {
                    "EWOULDBLOCK"
                } else {
                    name
                };
                // A tool that ended well has no errno either.
                let met = self.ret == name || name == "0" && self.ret == "exit 0";
                (!met).then(|| format!("got {}", self.ret))
            }
            Expect::Output(text) => (!self.of("out").any(|l| l.contains(text)))
                .then(|| format!("the output is {}", list(self.of("out").collect()))),
            Expect::Log(text) => (!self.of("log").any(|l| l.contains(text)))
                .then(|| format!("the log has {}", list(self.of("log").collect()))),
            Expect::LogTimes(count, text) => {
                let found = self.of("log").filter(|l| l.contains(text)).count();
                (found != *count).then(|| format!("{found} lines of the log have it"))
            }
            Expect::Notes(texts) => {
                let mut notes = self.of("note");
                let missing = texts.iter().find(|text| !notes.any(|n| n.contains(*text)));
                missing.map(|text| {
                    let notes: Vec<&str> = self.of("note").collect();
                    format!("no \"{text}\" in its place among {}", list(notes))
                })
            }
            Expect::Module { name, state, count } => {
                let line = self.of("mod").find(|l| l.split(' ').next() == Some(name));
                let got = line.map(|l| l.split(' ').collect::<Vec<_>>());
                let met = match (&got, count) {
                    (None, None) => true,
                    (Some(fields), Some(count)) => {
                        fields.get(3) == Some(&state.as_str())
                            && fields.get(1) == Some(&count.to_string().as_str())
                    }
                    _ => false,
                };
                (!met).then(|| line.map_or("it is absent".to_owned(), |l| format!("it is {l}")))
            }
            // The judge's, not this step's: see Session::unmet.
            Expect::Finding { .. } => None,
        }
    }

    /// Prints the step: as `cargo xtask compare` reads it, under its number, or for people.
    pub(super) fn print(&self, number: Option<usize>) {
        if let Some(number) = number {
            out!("@{number} {}\n", self.text);
            out!("ret {}\n", self.ret);
            for kind in ["mod", "log", "out"] {
                for text in self.of(kind) {
                    out!("{kind} {text}\n");
                }
            }
            return;
        }
        out!("$ {}\n", plain(&self.text));
        for line in self.shown() {
            out!("{line}\n");
        }
    }

    /// The step's lines for people: output as it is, what lkm adds and what the kernel logged marked.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.of("out").map(plain).collect();
        lines.extend(
            self.of("note")
                .map(|text| format!("  [lab] {}", plain(text))),
        );
        lines.extend(
            self.of("log")
                .map(|text| format!("  [log] {}", plain(text))),
        );
        if !matches!(self.ret.as_str(), "" | "0" | "exit 0") {
            lines.push(format!("  [lab] {}", self.ret));
        }
        lines
    }
}

/// Control characters of a hostile module do not reach a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
