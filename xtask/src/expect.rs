//! What a test module says of itself: the directives at the head of each `modules/**/*.c`, and
//! the comparison of a rehearsal's report with them.
//!
//! A directive is a line that begins with `//#` before the first `#include`:
//!
//! | directive | meaning |
//! |---|---|
//! | `//#Args: a=1 b="two words"` | module parameters |
//! | `//#With: base.ko more.ko` | modules loaded before it, in this order |
//! | `//#Options: --profile 3.0` | more options of `lkm rehearse` |
//! | `//#Verdict: clean` | the report's verdict: `clean`, `findings`, `inconclusive`, `refused` |
//! | `//#Expect: RULE [PHASE] [at SYMBOL] ["TEXT"]` | at least one such finding |
//! | `//#May: RULE [PHASE] [at SYMBOL] ["TEXT"]` | such findings may be there or not |
//! | `//#Result: load=0 init=0 exit=done` | fields of the report's `result`; `null` is null |
//! | `//#Log: "TEXT"` | a line with this text was printed to the kernel log |
//! | `//#Real: load=0 unload=0 silent` | what a stock 6.1 kernel answers (see [`Real`]) |
//! | `//#Real: unsafe` | it would do harm there, so it is not tried |
//! | `//#Conforms: kmalloc kfree` | the kernel functions whose behaviour the module checks itself |
//! | `//#Hostile: told` | it attacks its host: the report comes in time from a live process, and is not clean |
//! | `//#Hostile: contained` | the same, but what it does is nothing to a kernel, and need not be told |
//! | `//#Build: blind` | built without telling modpost of licences and namespaces |
//! | `//#Numbers: 31 -> 27, HZ -> 2 * HZ` | what stands in the place of its numbers in a copy with other ones; `none` when it has none |
//! | `//#Fixed: 9 the number of SIGKILL` | a number that is the kernel's, and why |
//!
//! SYMBOL is a prefix of the finding's `at`, TEXT a part of its message, its history or its
//! `at`, in any case. A finding that no `Expect` or `May` describes is a failure unless it is
//! the consequence of another one; an `Expect` that no finding meets is a failure.

use crate::numbers::Numbers;
use serde_json::Value;

/// A finding that is described.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    pub rule: String,
    pub phase: Option<String>,
    pub at: Option<String>,
    pub text: Option<String>,
}

/// What a stock kernel answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Real {
    /// 0 or a negative errno of the load; 9 when the loading task was killed.
    pub load: i64,
    /// The same of the unload; none when there is nothing to unload.
    pub unload: Option<i64>,
    /// A text that the kernel log must have.
    pub log: Option<String>,
    /// Nothing in the kernel log tells of a fault.
    pub silent: bool,
    /// What it leaves behind breaks what comes after it: it gets a boot of its own.
    pub alone: bool,
    /// The unload comes some seconds after the load.
    pub wait: bool,
}

/// All directives of a module.
#[derive(Debug, Clone, Default)]
pub struct Directives {
    pub args: Vec<String>,
    pub with: Vec<String>,
    pub options: Vec<String>,
    pub verdict: Option<String>,
    pub expect: Vec<Pattern>,
    pub may: Vec<Pattern>,
    pub result: Vec<(String, Value)>,
    pub log: Vec<String>,
    pub real: Option<Real>,
    pub conforms: Vec<String>,
    /// It attacks its host: which findings there are is left open.
    pub hostile: bool,
    /// The report may still be clean.
    pub contained: bool,
    /// Which of its numbers may be others.
    pub numbers: Numbers,
}

/// The phases a report knows.
const PHASES: &[&str] = &["load", "init", "use", "exit", "after-exit"];

/// Splits at blanks outside of double quotes; the quotes stay, as the kernel's parameter parser
/// wants them.
pub fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if c.is_whitespace() && !quoted {
            if !word.is_empty() {
                found.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

fn unquote(word: &str) -> Option<&str> {
    word.strip_prefix('"')?.strip_suffix('"')
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let mut all = words(text).into_iter();
    let mut pattern = Pattern {
        rule: all.next().ok_or("no rule")?,
        ..Pattern::default()
    };
    while let Some(word) = all.next() {
        if word == "at" {
            pattern.at = Some(all.next().ok_or("nothing after `at`")?);
        } else if let Some(text) = unquote(&word) {
            pattern.text = Some(text.to_lowercase());
        } else if PHASES.contains(&word.as_str()) {
            pattern.phase = Some(word);
        } else {
            return Err(format!("`{word}` is neither a phase nor a text in quotes"));
        }
    }
    Ok(pattern)
}

fn number_or_text(word: &str) -> Value {
    match word {
        "null" => Value::Null,
        _ => word
            .parse::<i64>()
            .map_or_else(|_| Value::from(word), Value::from),
    }
}

fn real(text: &str) -> Result<Option<Real>, String> {
    let mut real = Real::default();
    let mut all = words(text).into_iter();
    while let Some(word) = all.next() {
        let errno = |n: &str| match n {
            "killed" => Ok(9),
            _ => n.parse::<i64>().map_err(|e| format!("{word}: {e}")),
        };
        if word == "unsafe" {
            return Ok(None);
        } else if let Some(n) = word.strip_prefix("load=") {
            real.load = errno(n)?;
        } else if let Some(n) = word.strip_prefix("unload=") {
            real.unload = Some(errno(n)?);
        } else if word == "silent" {
            real.silent = true;
        } else if word == "alone" {
            real.alone = true;
        } else if word == "wait" {
            real.wait = true;
        } else if word == "log" {
            let text = all.next().ok_or("nothing after `log`")?;
            real.log = Some(unquote(&text).ok_or("log without quotes")?.to_owned());
        } else {
            return Err(format!("`{word}` in //#Real"));
        }
    }
    Ok(Some(real))
}

/// Reads the directives of a module source. An unknown or malformed one is an error, so that a
/// typing mistake cannot switch a test off.
pub fn parse(source: &str) -> Result<Directives, String> {
    let mut found = Directives::default();
    for line in source.lines() {
        if line.starts_with("#include") {
            break;
        }
        let Some(directive) = line.strip_prefix("//#") else {
            continue;
        };
        let (key, value) = directive
            .split_once(':')
            .ok_or_else(|| format!("no colon in {line}"))?;
        let value = value.trim();
        let wrong = |e: String| format!("{line}: {e}");
        match key {
            "Args" => found.args = words(value),
            "With" => found.with = words(value),
            "Options" => found.options = words(value),
            "Verdict" => found.verdict = Some(value.to_owned()),
            "Expect" => found.expect.push(pattern(value).map_err(wrong)?),
            "May" => found.may.push(pattern(value).map_err(wrong)?),
            "Result" => {
                for word in words(value) {
                    let (field, want) = word
                        .split_once('=')
                        .ok_or_else(|| format!("{line}: {word}"))?;
                    found.result.push((field.to_owned(), number_or_text(want)));
                }
            }
            "Log" => {
                let text = unquote(value).ok_or_else(|| wrong("no quotes".into()))?;
                found.log.push(text.to_owned());
            }
            "Real" => found.real = real(value).map_err(wrong)?,
            "Conforms" => found.conforms.extend(words(value)),
            "Hostile" if value == "told" || value == "contained" => {
                found.hostile = true;
                found.contained = value == "contained";
            }
            "Build" if value == "blind" => {}
            "Numbers" => found.numbers.declare(value).map_err(wrong)?,
            "Fixed" => found.numbers.fix(value).map_err(wrong)?,
            _ => return Err(format!("unknown directive {line}")),
        }
    }
    Ok(found)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

impl Pattern {
    /// Whether a finding of a report is what this describes.
    pub fn meets(&self, finding: &Value) -> bool {
        let at = text(finding, "at");
        let all = || {
            let history = finding.get("history").map(Value::to_string);
            let message = text(finding, "message");
            format!("{message} {at} {}", history.unwrap_or_default()).to_lowercase()
        };
        text(finding, "rule") == self.rule
            && self
                .phase
                .as_ref()
                .is_none_or(|p| text(finding, "phase") == p)
            && self.at.as_ref().is_none_or(|a| at.starts_with(a.as_str()))
            && self.text.as_ref().is_none_or(|t| all().contains(t))
    }
}

/// What a report has that it should not have, or has not that it should; empty when all is well.
pub fn compare(want: &Directives, report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let none = Vec::new();
    let findings = report
        .get("findings")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    if let Some(verdict) = &want.verdict
        && text(report, "verdict") != verdict
    {
        wrong.push(format!("verdict {} not {verdict}", text(report, "verdict")));
    }
    if want.hostile && !want.contained && text(report, "verdict") == "clean" {
        wrong.push("a hostile module was called clean".into());
    }
    for pattern in &want.expect {
        if !findings.iter().any(|f| pattern.meets(f)) {
            wrong.push(format!("missing: {}", show(pattern)));
        }
    }
    for finding in findings {
        let told = want
            .expect
            .iter()
            .chain(&want.may)
            .any(|p| p.meets(finding));
        let consequence = finding.get("root").is_some_and(|r| !r.is_null());
        if !told && !consequence && !want.hostile {
            wrong.push(format!(
                "not expected: {} {} at {}: {}",
                text(finding, "rule"),
                text(finding, "phase"),
                text(finding, "at"),
                text(finding, "message")
            ));
        }
    }
    for (field, value) in &want.result {
        let got = report.get("result").and_then(|r| r.get(field));
        if got.unwrap_or(&Value::Null) != value {
            wrong.push(format!(
                "result.{field} {} not {value}",
                got.unwrap_or(&Value::Null)
            ));
        }
    }
    for line in &want.log {
        let printed = report.get("log").map(Value::to_string).unwrap_or_default();
        if !printed.contains(line.as_str()) {
            wrong.push(format!("log without \"{line}\""));
        }
    }
    wrong
}

fn show(pattern: &Pattern) -> String {
    let mut out = pattern.rule.clone();
    if let Some(phase) = &pattern.phase {
        out.push_str(&format!(" {phase}"));
    }
    if let Some(at) = &pattern.at {
        out.push_str(&format!(" at {at}"));
    }
    if let Some(text) = &pattern.text {
        out.push_str(&format!(" \"{text}\""));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HEAD: &str = "// SPDX\n//#Args: a=\"x y\" b=2\n//#Verdict: findings\n\
        //#Expect: left-running exit at my_init+ \"Timer\"\n//#Result: load=0 exit=done\n\
        //#Real: load=-16 silent\n#include <x>\n//#Expect: ignored\n";

    fn report(at: &str, message: &str) -> Value {
        json!({"verdict": "findings", "findings": [
            {"rule": "left-running", "phase": "exit", "at": at, "message": message, "root": null}
        ], "result": {"load": 0, "init": 0, "exit": "done"}})
    }

    #[test]
    fn a_head_is_read() {
        let d = parse(HEAD).unwrap();
        assert_eq!(d.args, ["a=\"x y\"", "b=2"]);
        assert_eq!(d.expect.len(), 1);
        assert_eq!(d.real.unwrap().load, -16);
        assert!(parse("//#Expcet: oops\n").is_err());
        assert!(parse("//#Expect: oops sometimes\n").is_err());
    }

    #[test]
    fn missing_and_surplus_findings_are_told() {
        let d = parse(HEAD).unwrap();
        assert!(compare(&d, &report("my_init+0x10", "a timer is pending")).is_empty());
        // The wrong place: one missing and one too many.
        assert_eq!(
            compare(&d, &report("other+0x1", "a timer is pending")).len(),
            2
        );
        let mut extra = report("my_init+0x10", "a timer is pending");
        let more = json!({"rule": "oops", "root": null});
        extra["findings"].as_array_mut().unwrap().push(more);
        assert_eq!(compare(&d, &extra).len(), 1);
        extra["findings"][1]["root"] = json!(0);
        assert!(compare(&d, &extra).is_empty());
        extra["result"]["load"] = json!(-1);
        extra["verdict"] = json!("clean");
        assert_eq!(compare(&d, &extra).len(), 2);
    }
}
