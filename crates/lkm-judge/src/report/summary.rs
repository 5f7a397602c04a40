//! What many rehearsals come to: the last object of `--all`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::{Report, SCHEMA, Verdict};

/// Counts over many reports.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Version of this form; the same as a report's.
    pub schema: u32,
    /// Always true: tells this object from a report.
    pub summary: bool,
    /// Reports counted.
    pub modules: usize,
    /// How many of them are clean.
    pub clean: usize,
    /// How many have findings.
    pub findings: usize,
    /// How many allow no verdict.
    pub inconclusive: usize,
    /// How many the lab does not take.
    pub refused: usize,
    /// Root findings by rule.
    pub rules: BTreeMap<String, usize>,
    /// How often each answer of init was seen; `none` where it did not return.
    pub init: BTreeMap<String, usize>,
    /// How often each outcome of exit was seen.
    pub exit: BTreeMap<String, usize>,
    /// The functions whose model is missing, with how many modules called them, most wanted first.
    pub unmodelled: Vec<(String, usize)>,
    #[serde(skip)]
    missing: BTreeMap<String, usize>,
}

/// Most names of missing functions in a summary.
const MAX_MISSING: usize = 100;

impl Summary {
    /// Counts nothing yet.
    pub fn new() -> Self {
        Summary {
            schema: SCHEMA,
            summary: true,
            ..Default::default()
        }
    }

    /// Counts one report.
    pub fn add(&mut self, report: &Report) {
        self.modules += 1;
        match report.verdict {
            Verdict::Clean => self.clean += 1,
            Verdict::Findings => self.findings += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Refused => self.refused += 1,
        }
        for finding in report.roots() {
            *self.rules.entry(finding.rule.to_string()).or_default() += 1;
        }
        let init = report
            .result
            .init
            .map_or("none".to_owned(), |v| v.to_string());
        *self.init.entry(init).or_default() += 1;
        *self.exit.entry(report.result.exit.clone()).or_default() += 1;
        for name in &report.unmodelled {
            *self.missing.entry(name.clone()).or_default() += 1;
        }
    }

    /// Counts a report from its JSON, as a worker printed it. What is not a report counts as inconclusive.
    pub fn add_line(&mut self, line: &str) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        self.modules += 1;
        match value["verdict"].as_str() {
            Some("clean") => self.clean += 1,
            Some("findings") => self.findings += 1,
            Some("refused") => self.refused += 1,
            _ => self.inconclusive += 1,
        }
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        for finding in list(&value["findings"])
            .iter()
            .filter(|f| f["root"].is_null())
        {
            let rule = finding["rule"].as_str().unwrap_or("?").to_owned();
            *self.rules.entry(rule).or_default() += 1;
        }
        let result = &value["result"];
        let init = result["init"]
            .as_i64()
            .map_or("none".to_owned(), |v| v.to_string());
        *self.init.entry(init).or_default() += 1;
        let exit = result["exit"].as_str().unwrap_or("not-run").to_owned();
        *self.exit.entry(exit).or_default() += 1;
        for name in list(&value["unmodelled"]).iter().filter_map(|n| n.as_str()) {
            *self.missing.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Puts the missing functions in order; call once, after the last report.
    pub fn finish(&mut self) {
        let mut missing: Vec<_> = std::mem::take(&mut self.missing).into_iter().collect();
        missing.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        missing.truncate(MAX_MISSING);
        self.unmodelled = missing;
    }

    /// The exit status of the whole: 1 over 2 over 0.
    pub fn exit_code(&self) -> u8 {
        if self.findings > 0 {
            1
        } else if self.inconclusive + self.refused > 0 {
            2
        } else {
            0
        }
    }

    /// The summary as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The summary as text.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} modules: {} clean, {} with findings, {} inconclusive, {} refused\n",
            self.modules, self.clean, self.findings, self.inconclusive, self.refused
        );
        for (rule, count) in &self.rules {
            out.push_str(&format!("  {count:6} {rule}\n"));
        }
        out
    }
}
