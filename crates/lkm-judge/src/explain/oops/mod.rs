//! Reads an oops text and says what it means: which task, which module and in what state, and by the shape of the
//! call trace what the cause was.

mod cause;
mod left;
mod parse;
mod text;

use std::fmt::Write as _;

use serde::Serialize;

pub use parse::{Access, Frame, Kind, Listed, Machine, Oops};

/// Where in its life the module was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Inside init: COMING.
    Loading,
    /// Inside exit: GOING.
    Unloading,
    /// In use.
    Live,
    /// It is not there any more.
    Gone,
}

impl State {
    /// The kernel's word and /proc/modules' word.
    pub fn name(self) -> &'static str {
        match self {
            State::Loading => "COMING (Loading)",
            State::Unloading => "GOING (Unloading)",
            State::Live => "LIVE",
            State::Gone => "gone",
        }
    }
}

/// What the text means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The facts as read.
    pub oops: Oops,
    /// The task, as `comm/pid`.
    pub task: String,
    /// The module it is about; empty when none can be told.
    pub module: String,
    /// That module's state.
    pub state: Option<State>,
    /// The rule that the cause falls under; None when no known shape fits.
    pub rule: Option<&'static str>,
    /// The cause, in sentences.
    pub cause: String,
    /// How it can be told from the text.
    pub evidence: Vec<String>,
    /// What the kernel is left with, and what can be done now.
    pub left: Vec<String>,
    /// What to change in the source.
    pub fix: String,
}

/// Explains the first bad report in a text. None when there is none in it.
pub fn explain_text(input: &str) -> Option<Explanation> {
    let text = text::normalise(input);
    let oops = parse::parse(&text)?;
    let (module, state) = left::module_and_state(&oops);
    let found = cause::find(&oops, &text, &module, state);
    let left = left::consequences(&oops, &module, state);
    let task = match oops.pid {
        Some(pid) => format!("{}/{pid}", oops.comm),
        None => oops.comm.clone(),
    };
    Some(Explanation {
        task,
        module,
        state,
        rule: found.rule,
        cause: found.cause,
        evidence: found.evidence,
        left,
        fix: found.rule.map_or("", crate::rules::fix_of).to_owned(),
        oops,
    })
}

impl Explanation {
    /// The explanation as text for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}", self.oops.headline.trim_end());
        if !self.task.is_empty() {
            let _ = writeln!(out, "  task    {}", self.task);
        }
        if !self.module.is_empty() {
            let state = self.state.map_or("", State::name);
            let _ = writeln!(out, "  module  {}, {state}", self.module);
        }
        if !self.oops.release.is_empty() {
            let _ = writeln!(out, "  kernel  {}", self.oops.release);
        }
        let chain: Vec<&str> = self
            .oops
            .at
            .iter()
            .chain(self.oops.frames.iter().filter(|f| f.sure))
            .map(|f| f.symbol.as_str())
            .filter(|s| !s.is_empty())
            .take(12)
            .collect();
        if !chain.is_empty() {
            let _ = writeln!(out, "  chain   {}", chain.join(" <- "));
        }
        let rule = self.rule.map_or(String::new(), |r| format!(" [{r}]"));
        let _ = writeln!(out, "\nCause{rule}: {}", self.cause);
        for line in &self.evidence {
            let _ = writeln!(out, "  - {line}");
        }
        if !self.left.is_empty() {
            out.push_str("\nWhat the kernel is left with:\n");
            for line in &self.left {
                let _ = writeln!(out, "  - {line}");
            }
        }
        if !self.fix.is_empty() {
            let _ = writeln!(out, "\nFix: {}", self.fix);
        }
        if let Some(rule) = self.rule {
            let _ = writeln!(out, "More: lkm explain {rule}");
        }
        out
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_machines;
