//! From the books to the report: what was called, what was answered, and what follows from the findings.

use std::collections::VecDeque;

use lkm_trace::{Class, End, Event, Trace};

use crate::errno::errno_text;
use crate::finding::{Calls, Finding, Outcome, RefStep, Report, SCHEMA, Verdict};
use crate::ledger::Ledger;
use crate::rules;
use crate::symbols::Symbols;

/// Most steps of a reference count in a report.
const MAX_REF_STEPS: usize = 4096;
/// A symbol that nobody exports: what it needs was not given.
const ENOENT: i64 = -2;
/// Not a module of this kernel.
const ENOEXEC: i64 = -8;
/// The level of error messages (include/linux/kern_levels.h).
const KERN_ERR: u32 = 3;
/// Most names and notes in a report.
const MAX_NAMES: usize = 256;

/// What is known of a rehearsal beside its trace.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Name of the judged module.
    pub module: String,
    /// The profile; empty: the trace's own word.
    pub profile: String,
    /// How many runs this one stands for; 0 counts as one.
    pub runs: u64,
    /// What repeats this run.
    pub replay: Option<String>,
    /// Why the run was cut short from outside: the child died, or was killed for its time.
    pub cut_short: Option<String>,
}

/// Judges one run.
pub fn judge(trace: &Trace, symbols: &dyn Symbols, about: &About) -> Report {
    let ledger = Ledger::read(trace, &about.module);
    let (mut findings, mut notes) = rules::run(&ledger, symbols);
    for finding in &mut findings {
        finding.replay.clone_from(&about.replay);
    }
    notes.sort();
    notes.dedup();
    notes.truncate(MAX_NAMES);
    let (calls, unmodelled) = calls(&ledger);
    let result = outcome(&ledger);
    if let (Some(errno @ ..=-1), None) = (result.load, result.init)
        && !matches!(errno, ENOENT | ENOEXEC)
    {
        notes.push(format!(
            "the load was refused with {}: init did not run",
            errno_text(errno)
        ));
    }
    let reasons = doubts(
        trace,
        &ledger,
        about,
        &calls,
        &unmodelled,
        &result,
        &findings,
    );
    Report {
        schema: SCHEMA,
        module: about.module.clone(),
        profile: if about.profile.is_empty() {
            ledger.profile.to_owned()
        } else {
            about.profile.clone()
        },
        verdict: verdict(&findings, &reasons),
        reasons,
        runs: about.runs.max(1),
        findings,
        calls,
        unmodelled,
        refcount: refcount(&ledger, symbols),
        result,
        notes,
        log: log(trace),
    }
}

fn verdict(findings: &[Finding], reasons: &[String]) -> Verdict {
    if !findings.is_empty() {
        Verdict::Findings
    } else if !reasons.is_empty() {
        Verdict::Inconclusive
    } else {
        Verdict::Clean
    }
}

fn calls(ledger: &Ledger<'_>) -> (Calls, Vec<String>) {
    let mut calls = Calls::default();
    let mut names = Vec::new();
    for (name, class) in &ledger.called {
        match class {
            Class::Behaves => calls.behaves += 1,
            Class::Modelled => calls.modelled += 1,
            Class::Ledger => calls.ledger += 1,
            Class::Stubbed => calls.stubbed += 1,
            Class::Unknown => calls.unknown += 1,
        }
        if matches!(class, Class::Stubbed | Class::Unknown) && names.len() < MAX_NAMES {
            names.push((*name).to_owned());
        }
    }
    (calls, names)
}

fn outcome(ledger: &Ledger<'_>) -> Outcome {
    let Some((_, life)) = ledger.judged().next() else {
        return Outcome {
            load: ledger.refused,
            init: None,
            exit: "not-run".to_owned(),
        };
    };
    let init = match life.init {
        Some((_, value)) => Some(value),
        // A load that succeeded without a word from init: there is none.
        None if life.load == Some(0) => Some(0),
        None => None,
    };
    Outcome {
        load: life.load,
        init,
        exit: life.exit.unwrap_or("not-run").to_owned(),
    }
}

/// Everything that forbids to say that a run without findings is clean.
fn doubts(
    trace: &Trace,
    ledger: &Ledger<'_>,
    about: &About,
    calls: &Calls,
    unmodelled: &[String],
    result: &Outcome,
    findings: &[Finding],
) -> Vec<String> {
    let mut reasons = Vec::new();
    if calls.stubbed + calls.unknown > 0 {
        let shown = unmodelled.iter().take(5).cloned().collect::<Vec<_>>();
        let more = (calls.stubbed + calls.unknown).saturating_sub(shown.len());
        reasons.push(format!(
            "called {} functions that are not modelled: {}{}",
            calls.stubbed + calls.unknown,
            shown.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ));
    }
    if let Some(fault) = ledger.faults.iter().find(|f| f.is_labs_own()) {
        reasons.push(format!("the lab could not go on: {}", fault.about));
    }
    if let Some(why) = &about.cut_short {
        reasons.push(why.clone());
    }
    if let Some(why) = trace.malformed {
        reasons.push(why.to_string());
    }
    match ledger.end {
        None => reasons.push("the record has no end: the run was cut short".to_owned()),
        Some((End::Complete, _)) => {}
        // A panic that a finding explains is the end that belongs to it.
        Some((End::Panic, _)) if !findings.is_empty() => {}
        Some((how, detail)) => reasons.push(
            format!("the run was cut short ({}) {detail}", how.name())
                .trim_end()
                .to_owned(),
        ),
    }
    if result.load.is_none() && ledger.judged().next().is_none() {
        reasons.push("the module was never placed".to_owned());
    } else if result.init.is_none() && findings.is_empty() {
        reasons.push(match result.load {
            Some(errno @ (ENOENT | ENOEXEC)) => {
                let said = last_error(trace).map_or(String::new(), |l| format!(": {l}"));
                format!(
                    "it did not come to run: the load was refused with {}{said}",
                    errno_text(errno)
                )
            }
            // Any other refusal is the kernel's answer to what was asked, and left nothing to judge.
            Some(errno) if errno < 0 => return reasons,
            _ => "init did not return".to_owned(),
        });
    } else if matches!(result.exit.as_str(), "fault" | "hang") && findings.is_empty() {
        reasons.push(format!("exit did not return ({})", result.exit));
    }
    reasons
}

/// What the kernel last said at the level of errors or above, without its newline.
fn last_error(trace: &Trace) -> Option<&str> {
    trace.events.iter().rev().find_map(|event| match event {
        Event::Printk {
            level: 0..=KERN_ERR,
            text,
            ..
        } => Some(text.trim_end()),
        _ => None,
    })
}

/// The last lines that were printed; a record without a newline is continued by the next.
fn log(trace: &Trace) -> Vec<String> {
    let mut lines: VecDeque<String> = VecDeque::new();
    let mut open = false;
    for event in &trace.events {
        let Event::Printk { text, .. } = event else {
            continue;
        };
        for piece in text.split_inclusive('\n') {
            let line = piece.trim_end_matches('\n');
            match lines.back_mut() {
                Some(last) if open => last.push_str(line),
                _ => lines.push_back(line.to_owned()),
            }
            open = !piece.ends_with('\n');
            if lines.len() > MAX_NAMES {
                lines.pop_front();
            }
        }
    }
    lines.into()
}

fn refcount(ledger: &Ledger<'_>, symbols: &dyn Symbols) -> Vec<RefStep> {
    ledger
        .refs
        .iter()
        .filter(|r| r.module == ledger.judged_name())
        .take(MAX_REF_STEPS)
        .map(|r| RefStep {
            step: r.at.step,
            value: r.value,
            why: if r.holder.is_empty() {
                r.why.to_owned()
            } else {
                format!("{} ({})", r.why, r.holder)
            },
            place: crate::finding::At {
                at: (r.at.site.pc != 0)
                    .then(|| symbols.return_name(r.at.site.pc))
                    .flatten()
                    .unwrap_or_default(),
                file_line: None,
            },
        })
        .collect()
}

/// Adds what another run of the same rehearsal showed: new findings keep their run's replay, known ones are counted.
pub fn merge(into: &mut Report, other: Report) {
    let mut number = Vec::with_capacity(other.findings.len());
    for mut finding in other.findings {
        finding.root = finding.root.and_then(|r| number.get(r).copied());
        let known = into.findings.iter().position(|f| {
            f.rule == finding.rule && f.place.at == finding.place.at && f.detail == finding.detail
        });
        match known {
            Some(index) => {
                into.findings[index].count += finding.count;
                number.push(index);
            }
            None => {
                finding.id = into.findings.len();
                number.push(finding.id);
                into.findings.push(finding);
            }
        }
    }
    into.runs += other.runs;
    for name in other.unmodelled {
        if !into.unmodelled.contains(&name) && into.unmodelled.len() < MAX_NAMES {
            into.unmodelled.push(name);
        }
    }
    into.calls.behaves = into.calls.behaves.max(other.calls.behaves);
    into.calls.modelled = into.calls.modelled.max(other.calls.modelled);
    into.calls.ledger = into.calls.ledger.max(other.calls.ledger);
    into.calls.stubbed = into.calls.stubbed.max(other.calls.stubbed);
    into.calls.unknown = into.calls.unknown.max(other.calls.unknown);
    for (list, more) in [
        (&mut into.reasons, other.reasons),
        (&mut into.notes, other.notes),
    ] {
        for line in more {
            if !list.contains(&line) && list.len() < MAX_NAMES {
                list.push(line);
            }
        }
    }
    into.verdict = verdict(&into.findings, &into.reasons);
}
