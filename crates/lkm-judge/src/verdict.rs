//! From the books to the report: what was called, what was answered, and what follows from the findings.

use std::collections::VecDeque;

use lkm_trace::{Class, End, Event, Trace};

use crate::errno::errno_text;
use crate::finding::{Calls, Confidence, Finding, Outcome, RefStep, Report, SCHEMA, Verdict};
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
    /// Whose structure layouts were used.
    pub layouts: String,
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
    notes.extend(trace.events.iter().find_map(restored));
    notes.extend(trace.events.iter().filter_map(probed));
    if trace.events.iter().any(stands_for_hardware) {
        doubt(&mut findings);
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
    let mut reasons = doubts(trace, &ledger, about, &result, &findings);
    reasons.splice(0..0, unmodelled_reason(&unmodelled, &calls));
    Report {
        schema: SCHEMA,
        module: about.module.clone(),
        profile: if about.profile.is_empty() {
            ledger.profile.to_owned()
        } else {
            about.profile.clone()
        },
        layouts: about.layouts.clone(),
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

/// What a run of many cycles says of them.
fn restored(event: &Event) -> Option<String> {
    match event {
        Event::Restored { times } => Some(format!(
            "{times} cycles ended with nothing left, and the memory was restored"
        )),
        _ => None,
    }
}

/// Whether a driver was given a device that is none.
fn stands_for_hardware(event: &Event) -> bool {
    matches!(event, Event::Probed { device, .. } if !device.is_empty())
}

/// What may be the fault of a device that answers nothing: real hardware would have had the address, the pointer, the
/// status bit. What was taken and not given back is the driver's own.
const DEVICES_FAULT: &[&str] = &[
    "oops",
    "wedged-module",
    "wild-access",
    "out-of-bounds",
    "livelock",
    "deadlock",
    "unload-hangs",
];

fn doubt(findings: &mut [Finding]) {
    for finding in findings {
        if DEVICES_FAULT.contains(&finding.rule) {
            finding.confidence = Confidence::Low;
        }
    }
}

/// What came of a probe.
fn probed(event: &Event) -> Option<String> {
    let Event::Probed {
        driver,
        device,
        answer,
    } = event
    else {
        return None;
    };
    Some(match answer {
        _ if device.is_empty() => {
            "no driver of the platform, PCI or I2C bus came, so nothing was probed".to_owned()
        }
        0 => format!("{driver} was given the device {device}, which stands for hardware"),
        error => format!(
            "{driver} refused the device {device}, which stands for hardware: {}",
            errno_text(*error)
        ),
    })
}

/// The reason that lies in functions without a model.
fn unmodelled_reason(names: &[String], calls: &Calls) -> Option<String> {
    let count = names.len().max(calls.stubbed + calls.unknown);
    if count == 0 {
        return None;
    }
    let shown = &names[..names.len().min(5)];
    let more = match count - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "called {count} functions that are not modelled: {}{more}",
        shown.join(", ")
    ))
}

/// Everything else that forbids to say that a run without findings is clean.
fn doubts(
    trace: &Trace,
    ledger: &Ledger<'_>,
    about: &About,
    result: &Outcome,
    findings: &[Finding],
) -> Vec<String> {
    let mut reasons = Vec::new();
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

/// Most findings of a rehearsal of many runs.
const MAX_FINDINGS: usize = 512;

/// Adds what another run of the same rehearsal showed: new findings keep their run's replay, known ones are counted.
pub fn merge(into: &mut Report, other: Report) {
    let own = unmodelled_reason(&into.unmodelled, &into.calls);
    let others = unmodelled_reason(&other.unmodelled, &other.calls);
    into.reasons.retain(|r| own.as_ref() != Some(r));
    merge_findings(into, other.findings);
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
    let reasons = other
        .reasons
        .into_iter()
        .filter(|r| others.as_ref() != Some(r));
    add_lines(&mut into.reasons, reasons);
    into.reasons
        .splice(0..0, unmodelled_reason(&into.unmodelled, &into.calls));
    into.verdict = verdict(&into.findings, &into.reasons);
}

fn add_lines(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for line in more {
        if !list.contains(&line) && list.len() < MAX_NAMES {
            list.push(line);
        }
    }
}

/// The findings of another run: what is known is counted, what is new keeps its root.
fn merge_findings(into: &mut Report, findings: Vec<Finding>) {
    let mut number = Vec::with_capacity(findings.len());
    let mut new = Vec::new();
    for finding in findings {
        let known = into.findings.iter().position(|f| {
            f.rule == finding.rule && f.place.at == finding.place.at && f.detail == finding.detail
        });
        match known {
            Some(index) => {
                into.findings[index].count += finding.count;
                number.push(index);
            }
            None => {
                let id = into.findings.len() + new.len();
                number.push(id);
                new.push(Finding { id, ..finding });
            }
        }
    }
    for mut finding in new {
        // A root always names a root, also when the one that was found before is not one itself.
        let root = finding.root.and_then(|r| number.get(r).copied());
        finding.root = root.map(|r| into.findings.get(r).and_then(|f| f.root).unwrap_or(r));
        if into.findings.len() < MAX_FINDINGS {
            into.findings.push(finding);
        }
    }
}
