//! The forms of a report: JSON as its document has it, text, merging, and the summary.

use serde_json::Value;

use lkm_trace::{Class, Event, Phase, Site};

use crate::finding::{Report, Verdict};
use crate::report::{json, summary::Summary, text::text};
use crate::testing::*;
use crate::verdict::merge;

fn oops() -> Report {
    Build::new()
        .load()
        .called("kmalloc_trace", Class::Behaves)
        .acquire("slab", 0x2000_0000, "kmalloc_trace", "demo_init")
        .fault(Phase::Init, 8, "null", 0, "demo_init")
        .judge()
}

fn leak(from: &str) -> Report {
    Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc_trace", from)
        .init_returns(0)
        .exit()
        .gone()
        .judge()
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn every_field_of_the_json_is_in_its_document() {
    let document = include_str!("../../../../docs/json.md");
    let report: Value = serde_json::from_str(&json::line(&oops())).unwrap();
    let mut names = keys(&report);
    names.extend(keys(&report["findings"][0]));
    names.extend(keys(&report["calls"]));
    names.extend(keys(&report["result"]));
    names.extend(keys(&report["refcount"][0]));
    for name in names {
        assert!(
            document.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
    }
}

#[test]
fn the_names_that_others_rely_on() {
    let report: Value = serde_json::from_str(&json::pretty(&oops())).unwrap();
    assert_eq!(report["verdict"], "findings");
    assert_eq!(report["profile"], "6.1");
    let finding = &report["findings"][0];
    assert_eq!(finding["rule"], "oops");
    assert_eq!(finding["phase"], "init");
    assert_eq!(finding["at"], "demo_init+0x18");
    assert_eq!(finding["root"], Value::Null);
    assert_eq!(report["findings"][1]["root"], 0);
    assert_eq!(report["result"]["init"], Value::Null);
    assert_eq!(report["calls"]["behaves"], 1);
    let leak: Value = serde_json::from_str(&json::line(&leak("demo_init"))).unwrap();
    assert_eq!(leak["findings"][0]["phase"], "after-exit");
    assert_eq!(leak["findings"][0]["history"][0]["what"], "created");
    assert_eq!(leak["findings"][0]["confidence"], "high");
}

#[test]
fn text_tells_the_cause_once_and_ends_with_its_worth() {
    let plain = text(&oops(), false);
    assert!(
        plain.starts_with("demo: 1 finding, and 1 that follows from it"),
        "{plain}"
    );
    assert_eq!(plain.matches("\noops [init]").count(), 1, "{plain}");
    assert!(plain.contains("so: wedged-module"), "{plain}");
    let last = plain.trim_end().lines().last().unwrap();
    assert!(last.contains("worth:") || last.starts_with("  "), "{plain}");
    assert!(!plain.contains('\x1b'));
    assert!(text(&oops(), true).contains("\x1b["));
}

#[test]
fn control_characters_of_a_module_do_not_reach_the_terminal() {
    let mut b = Build::new().load();
    b.push(Event::Misuse {
        what: "livelock".into(),
        detail: "\x1b]0;owned\x07".into(),
        key: 0,
        function: "f\x1b[2J".into(),
        tid: INSMOD,
        site: Site::default(),
    });
    let report = b.init_returns(0).judge();
    assert!(!text(&report, false).contains('\x1b'));
}

#[test]
fn runs_are_merged_by_what_they_found() {
    let mut all = leak("demo_init");
    merge(&mut all, leak("demo_init"));
    assert_eq!(
        (all.findings.len(), all.findings[0].count, all.runs),
        (1, 2, 2)
    );
    merge(&mut all, leak("demo_work"));
    assert_eq!(all.findings.len(), 2);
    // A consequence keeps pointing at its root under its new number.
    merge(&mut all, oops());
    let wedged = one(&all, "wedged-module");
    assert_eq!(wedged.root, Some(one(&all, "oops").id));
    assert!(all.findings.iter().enumerate().all(|(i, f)| f.id == i));
}

#[test]
fn a_clean_run_does_not_hide_what_another_could_not_judge() {
    let clean = || Build::new().load().init_returns(0).exit().gone();
    let mut all = clean().judge();
    merge(&mut all, clean().called("thing", Class::Stubbed).judge());
    assert_eq!(all.verdict, Verdict::Inconclusive);
}

#[test]
fn the_summary_counts_and_answers_one_over_two_over_zero() {
    let mut summary = Summary::new();
    summary.add(&Build::new().load().init_returns(0).exit().gone().judge());
    assert_eq!(summary.exit_code(), 0);
    summary.add(&Report::refused("kcfi", "6.1", "built with kCFI"));
    assert_eq!(summary.exit_code(), 2);
    summary.add(&leak("demo_init"));
    assert_eq!(summary.exit_code(), 1);
    summary.finish();
    let value: Value = serde_json::from_str(&summary.json()).unwrap();
    assert_eq!(value["modules"], 3);
    assert_eq!(value["rules"]["memory-leak"], 1);
    assert_eq!(value["summary"], true);
}
