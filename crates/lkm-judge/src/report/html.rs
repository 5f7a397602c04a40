//! A page for a browser: the picture of the life, the findings, what the report is worth. One file, no script, nothing fetched.

use std::fmt::Write as _;

use super::svg::{escape, svg};
use crate::finding::{Confidence, Finding, Report};
use crate::picture::Picture;

const STYLE: &str = include_str!("page.css");

/// The report as a page.
pub fn html(report: &Report, picture: &Picture) -> String {
    let mut out = String::new();
    let title = format!("{}: {}", report.module, report.verdict.name());
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&title)
    );
    let _ = writeln!(
        out,
        "<h1>{} <span class=\"verdict {v}\">{v}</span></h1>",
        escape(&report.module),
        v = report.verdict.name()
    );
    let shown = |v: Option<i64>| v.map_or("did not return".to_owned(), |v| v.to_string());
    let _ = writeln!(
        out,
        "<p>Rules of kernel {}; {} run{}; load {}, init {}, exit {}.</p>",
        escape(&report.profile),
        report.runs,
        if report.runs == 1 { "" } else { "s" },
        shown(report.result.load),
        shown(report.result.init),
        escape(&report.result.exit)
    );
    list(&mut out, "reasons", &report.reasons);
    let _ = write!(out, "<figure>\n{}</figure>\n", svg(report, picture));
    for finding in report.roots() {
        write_finding(&mut out, report, finding);
    }
    list(&mut out, "notes", &report.notes);
    worth(&mut out, report);
    if !report.log.is_empty() {
        let _ = writeln!(
            out,
            "<details><summary>Kernel log</summary><pre>{}</pre></details>",
            escape(&report.log.join("\n"))
        );
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn list(out: &mut String, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "<ul class=\"{class}\">");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul>\n");
}

fn write_finding(out: &mut String, report: &Report, finding: &Finding) {
    let _ = writeln!(
        out,
        "<section id=\"finding-{id}\">\n<h2><span class=\"number\">{id}</span> {} <small>{}</small></h2>\n<p>{}</p>",
        escape(finding.rule),
        finding.phase.name(),
        escape(&finding.message),
        id = finding.id
    );
    if !finding.place.at.is_empty() {
        let line = finding
            .place
            .file_line
            .as_ref()
            .map_or(String::new(), |l| format!(" ({})", escape(l)));
        let _ = writeln!(
            out,
            "<p>at <code>{}</code>{line}</p>",
            escape(&finding.place.at)
        );
    }
    if finding.trace.len() > 1 {
        let _ = writeln!(
            out,
            "<details><summary>call chain</summary><pre>{}</pre></details>",
            escape(&finding.trace.join("\n"))
        );
    }
    if !finding.history.is_empty() {
        out.push_str("<table><tr><th>what</th><th>where</th><th>by</th><th>in</th></tr>\n");
        for step in &finding.history {
            let place = match &step.place.file_line {
                Some(line) => format!("{} ({line})", step.place.at),
                None => step.place.at.clone(),
            };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td><code>{}</code></td><td><code>{}</code></td><td>{}</td></tr>",
                escape(&step.what),
                escape(&place),
                escape(&step.function),
                escape(&step.task)
            );
        }
        out.push_str("</table>\n");
    }
    if finding.confidence == Confidence::Low {
        let why = match &finding.through {
            Some(stub) => format!("Not certain: {stub} is not modelled and was used before."),
            None => "Not certain.".to_owned(),
        };
        let _ = writeln!(out, "<p class=\"doubt\">{}</p>", escape(&why));
    }
    let _ = writeln!(
        out,
        "<p class=\"fix\"><b>Fix:</b> {}</p>",
        escape(&finding.fix)
    );
    let follows: Vec<String> = report
        .findings
        .iter()
        .filter(|f| f.root == Some(finding.id))
        .map(|f| format!("so: {}: {}", f.rule, f.message))
        .collect();
    list(out, "follows", &follows);
    if let Some(token) = &finding.replay {
        let _ = writeln!(out, "<p>Again: <code>--replay {}</code></p>", escape(token));
    }
    out.push_str("</section>\n");
}

fn worth(out: &mut String, report: &Report) {
    let calls = &report.calls;
    let _ = writeln!(
        out,
        "<p class=\"worth\">Of {} kernel functions called, {} behave as the kernel's, {} are in the ledger only, {} were stubbed, {} are unknown.</p>",
        calls.behaves + calls.ledger + calls.stubbed + calls.unknown,
        calls.behaves,
        calls.ledger,
        calls.stubbed,
        calls.unknown
    );
}
