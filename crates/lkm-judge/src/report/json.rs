//! JSON: the report's own shape, documented in docs/json.md.

use crate::finding::Report;

/// The report as one line of JSON, without a newline.
pub fn line(report: &Report) -> String {
    // Every field is a number, a string, a list or a plain structure: nothing here can fail to serialise.
    serde_json::to_string(report).unwrap_or_default()
}

/// The report as indented JSON, without a final newline.
pub fn pretty(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default()
}
