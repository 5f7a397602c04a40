//! SARIF 2.1.0, for code review systems: one result per finding, with its place and what led to it.
//!
//! Made from the JSON form of reports, so that the lines of a whole tree's run can be put together without
//! judging again.

use serde_json::{Value, json};

use crate::explain::page;
use crate::rules::RULES;

/// Letters that a URI's path carries as they are (RFC 3986, section 3.3, and the separator).
const PLAIN: &[u8] = b"-._~!$&'()*+,;=@/";

/// A SARIF log of one run of lkm.
#[derive(Debug, Default)]
pub struct Sarif {
    results: Vec<Value>,
    notifications: Vec<Value>,
}

impl Sarif {
    /// An empty log.
    pub fn new() -> Sarif {
        Sarif::default()
    }

    /// Adds a report in its JSON form; `file` is the module file it is about, where one is known. What is
    /// no report (the summary of a tree) is left out.
    pub fn add(&mut self, report: &Value, file: Option<&str>) {
        let (Some(module), Some(findings)) =
            (text(report, "module"), report["findings"].as_array())
        else {
            return;
        };
        let file = file.map_or_else(|| format!("{module}.ko"), str::to_owned);
        for finding in findings {
            self.results.push(result(report, module, &file, finding));
        }
        for reason in report["reasons"].as_array().into_iter().flatten() {
            let reason = reason.as_str().unwrap_or_default();
            self.notifications.push(json!({
                "level": "warning",
                "message": { "text": format!("{module}: {reason}") },
                "locations": [ { "physicalLocation": { "artifactLocation": { "uri": uri(&file) } } } ],
            }));
        }
    }

    /// The log as indented JSON, without a final newline.
    pub fn finish(self) -> String {
        let rules: Vec<Value> = RULES
            .iter()
            .map(|rule| {
                let page = page(rule.id).unwrap_or(rule.title);
                json!({
                    "id": rule.id,
                    "shortDescription": { "text": rule.title },
                    "help": { "text": rule.fix, "markdown": page },
                    "defaultConfiguration": { "level": "error" },
                })
            })
            .collect();
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [ {
                "tool": { "driver": {
                    "name": "lkm",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "invocations": [ {
                    "executionSuccessful": true,
                    "toolExecutionNotifications": self.notifications,
                } ],
                "results": self.results,
                "columnKind": "utf16CodeUnits",
            } ],
        });
        serde_json::to_string_pretty(&log).unwrap_or_default()
    }
}

fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value[field].as_str().filter(|t| !t.is_empty())
}

fn result(report: &Value, module: &str, file: &str, finding: &Value) -> Value {
    let rule = text(finding, "rule").unwrap_or_default();
    let follows = !finding["root"].is_null();
    // A consequence goes away with its root: it is told, and asks for nothing itself.
    let level = if follows {
        "note"
    } else if finding["confidence"] == "low" {
        "warning"
    } else {
        "error"
    };
    let message = [text(finding, "message"), text(finding, "fix")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(". Fix: ");
    let mut steps: Vec<Value> = finding["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            let by = text(step, "function").map_or(String::new(), |f| format!(" by {f}"));
            let within = text(step, "task").map_or(String::new(), |t| format!(" in {t}"));
            let what = text(step, "what").unwrap_or_default();
            json!({ "location": location(module, file, step, Some(&format!("{what}{by}{within}"))) })
        })
        .collect();
    let mut result = json!({
        "ruleId": rule,
        "level": level,
        "message": { "text": message },
        "locations": [ location(module, file, finding, None) ],
        "partialFingerprints": {
            "lkm/v1": format!(
                "{module}:{rule}:{}:{}",
                text(finding, "detail").unwrap_or_default(),
                text(finding, "at").unwrap_or_default()
            ),
        },
        "occurrenceCount": finding["count"],
        "properties": {
            "phase": finding["phase"],
            "detail": finding["detail"],
            "confidence": finding["confidence"],
            "through": finding["through"],
            "profile": report["profile"],
            "replay": finding["replay"],
            "root": finding["root"],
        },
    });
    if let Some(index) = RULES.iter().position(|r| r.id == rule) {
        result["ruleIndex"] = json!(index);
    }
    if !steps.is_empty() {
        steps.push(json!({ "location": location(module, file, finding, Some(rule)) }));
        result["codeFlows"] = json!([ { "threadFlows": [ { "locations": steps } ] } ]);
    }
    result
}

/// A place: the source line where debug information has one, else the module file; and the function.
fn location(module: &str, file: &str, at: &Value, message: Option<&str>) -> Value {
    let source = text(at, "file_line").and_then(|l| l.rsplit_once(':'));
    let line = source.and_then(|(path, line)| Some((path, line.parse::<u32>().ok()?)));
    let physical = match line {
        Some((path, line)) if line > 0 => json!({
            "artifactLocation": { "uri": uri(path) },
            "region": { "startLine": line },
        }),
        _ => json!({ "artifactLocation": { "uri": uri(file) } }),
    };
    let mut location = json!({ "physicalLocation": physical });
    if let Some(place) = text(at, "at") {
        let name = place.split(['+', ' ']).next().unwrap_or(place);
        location["logicalLocations"] = json!([ {
            "name": name,
            "fullyQualifiedName": format!("{module}::{place}"),
            "kind": "function",
        } ]);
    }
    if let Some(message) = message {
        location["message"] = json!({ "text": message });
    }
    location
}

/// A path as a relative or absolute URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
