//! Text for people: what happened, what is wrong and what to do, and what the report is worth.

use std::fmt::Write as _;

use crate::errno::errno_text;
use crate::finding::{Confidence, Finding, Report, Verdict};

/// Escape sequences, or none.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }
    fn red(&self, text: &str) -> String {
        self.with("1;31", text)
    }
    fn yellow(&self, text: &str) -> String {
        self.with("33", text)
    }
    fn green(&self, text: &str) -> String {
        self.with("32", text)
    }
    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }
}

/// Control characters of a hostile module do not reach a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The report as text. `colour` says whether escape sequences are wanted.
pub fn text(report: &Report, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    head(&mut out, report, &paint);
    for finding in report.roots() {
        finding_text(&mut out, report, finding, &paint);
    }
    for note in &report.notes {
        let _ = writeln!(out, "\nnote: {}", plain(note));
    }
    worth(&mut out, report, &paint);
    out
}

/// The findings alone, without colour; empty when there is none.
pub fn findings(report: &Report) -> String {
    let mut out = String::new();
    for finding in report.roots() {
        finding_text(&mut out, report, finding, &Paint(false));
    }
    out.trim_start_matches('\n').to_owned()
}

fn head(out: &mut String, report: &Report, paint: &Paint) {
    let verdict = match report.verdict {
        Verdict::Clean => paint.green("clean"),
        Verdict::Findings => {
            let roots = report.roots().count();
            let follow = report.findings.len() - roots;
            let mut text = format!("{roots} finding{}", if roots == 1 { "" } else { "s" });
            if follow > 0 {
                let _ = write!(
                    text,
                    ", and {follow} that follow{} from {}",
                    if follow == 1 { "s" } else { "" },
                    if roots == 1 { "it" } else { "them" }
                );
            }
            paint.red(&text)
        }
        Verdict::Inconclusive => paint.yellow("inconclusive"),
        Verdict::Refused => paint.yellow("refused"),
    };
    let _ = writeln!(
        out,
        "{}: {verdict}   (kernel {}, {} run{})",
        paint.bold(&plain(&report.module)),
        plain(&report.profile),
        report.runs,
        if report.runs == 1 { "" } else { "s" }
    );
    let show = |v: Option<i64>| v.map_or("did not return".to_owned(), errno_text);
    if report.verdict != Verdict::Refused {
        let init = match report.result.init {
            None if report.result.load.is_some_and(|l| l < 0) => "not-run".to_owned(),
            other => show(other),
        };
        let _ = writeln!(
            out,
            "  load {}, init {init}, exit {}",
            show(report.result.load),
            report.result.exit
        );
    }
}

fn finding_text(out: &mut String, report: &Report, finding: &Finding, paint: &Paint) {
    let times = if finding.count > 1 {
        format!(" ({} times)", finding.count)
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        "\n{} [{}]{times} {}",
        paint.red(finding.rule),
        phase(finding),
        plain(&finding.message)
    );
    if !finding.place.at.is_empty() {
        let line = finding
            .place
            .file_line
            .as_ref()
            .map_or(String::new(), |l| format!(" ({l})"));
        let _ = writeln!(out, "  at {}{}", plain(&finding.place.at), plain(&line));
    }
    for frame in finding.trace.iter().skip(1).take(6) {
        let _ = writeln!(out, "  {}", paint.dim(&format!("   from {}", plain(frame))));
    }
    for step in &finding.history {
        let mut text = format!("  {:>10}", step.what);
        if !step.place.at.is_empty() {
            let _ = write!(text, " at {}", step.place.at);
        }
        if !step.function.is_empty() {
            let _ = write!(text, " by {}", step.function);
        }
        if !step.task.is_empty() {
            let _ = write!(text, " in {}", step.task);
        }
        let _ = writeln!(out, "{}", plain(&text));
    }
    if finding.confidence == Confidence::Low {
        let why = match &finding.through {
            Some(stub) => format!("not certain: {stub} is not modelled and was used before"),
            None => "not certain".to_owned(),
        };
        let _ = writeln!(out, "  {}", paint.yellow(&why));
    }
    let _ = writeln!(out, "  {} {}", paint.bold("fix:"), plain(&finding.fix));
    for follow in report
        .findings
        .iter()
        .filter(|f| f.root == Some(finding.id))
    {
        let _ = writeln!(
            out,
            "  {} {} {}",
            paint.dim("so:"),
            paint.yellow(follow.rule),
            plain(&follow.message)
        );
    }
    if let Some(token) = &finding.replay {
        let _ = writeln!(out, "  {}", paint.dim(&format!("again: --replay {token}")));
    }
}

fn phase(finding: &Finding) -> &'static str {
    match finding.phase {
        lkm_trace::Phase::AfterExit => "after exit",
        other => other.name(),
    }
}

/// What the report rests on.
fn worth(out: &mut String, report: &Report, paint: &Paint) {
    if report.verdict == Verdict::Refused {
        for reason in &report.reasons {
            let _ = writeln!(out, "  {}", plain(reason));
        }
        return;
    }
    let calls = &report.calls;
    let total = calls.behaves + calls.modelled + calls.ledger + calls.stubbed + calls.unknown;
    let _ = writeln!(
        out,
        "\n{} of {total} kernel functions called, {} behave as the kernel's, {} are modelled, {} are in the ledger only, {} were stubbed, {} are unknown",
        paint.bold("worth:"),
        calls.behaves,
        calls.modelled,
        calls.ledger,
        calls.stubbed,
        calls.unknown
    );
    if !report.layouts.is_empty() {
        let _ = writeln!(out, "  layouts: {}", plain(&report.layouts));
    }
    for reason in &report.reasons {
        let _ = writeln!(out, "  {}", paint.yellow(&plain(reason)));
    }
}
