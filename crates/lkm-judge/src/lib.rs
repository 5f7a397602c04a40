//! Judges what a run recorded: trace, ledger, rules, findings, report.
//!
//! The machine's child only records; here, in the parent and in safe code, the record is read as hostile
//! input and judged. A recorded trace can be judged again without running anything.

#![forbid(unsafe_code)]

mod errno;
pub mod explain;
mod finding;
mod kinds;
mod ledger;
mod locks;
pub mod picture;
pub mod report;
mod rules;
mod symbols;
mod verdict;
pub mod why;

pub use finding::{
    At, Calls, Confidence, Finding, Outcome, RefStep, Report, SCHEMA, Step, Verdict,
};
pub use kinds::{Nature, nature};
pub use rules::{RULES, Rule, rule};
pub use symbols::{NoSymbols, Place, RunSymbols, Symbols};
pub use verdict::{About, judge, merge};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
