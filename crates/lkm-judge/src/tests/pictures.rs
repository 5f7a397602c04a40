//! The picture of a life, the page that shows it, and SARIF.

use serde_json::Value;

use lkm_trace::{Event, Phase, TaskEnd};

use crate::picture::Picture;
use crate::report::{html::html, sarif::Sarif};
use crate::testing::*;
use crate::verdict::{About, judge};

/// A thread that ends by itself, a leak, and something given back.
fn life() -> lkm_trace::Trace {
    let mut build = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc_trace", "demo_init")
        .acquire("timer", 0x2000_1000, "add_timer", "demo_init")
        .kthread(7, "worker", "demo_thread", "demo_init")
        .init_returns(0)
        .switch(7);
    build.push(Event::TaskEnd {
        tid: 7,
        how: TaskEnd::Returned,
        value: 0,
        site: site("demo_thread", 0x20),
    });
    build
        .switch(INSMOD)
        .exit()
        .release("timer", 0x2000_1000, "del_timer_sync", "demo_exit")
        .gone()
        .end()
}

fn about() -> About {
    About {
        module: "demo".into(),
        ..About::default()
    }
}

#[test]
fn a_picture_shows_phases_threads_and_what_was_held() {
    let picture = Picture::of(&life(), &Names, &about());
    let phases: Vec<Phase> = picture.bands.iter().map(|b| b.phase).collect();
    assert_eq!(
        phases,
        [
            Phase::Load,
            Phase::Init,
            Phase::Use,
            Phase::Exit,
            Phase::AfterExit
        ]
    );
    assert!(picture.bands.windows(2).all(|w| w[0].to == w[1].from));
    let names: Vec<&str> = picture.lanes.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["insmod/101", "worker/107"]);
    let worker = &picture.lanes[1];
    assert_eq!(worker.runs.len(), 1);
    assert!(matches!(worker.ended, Some((_, TaskEnd::Returned))));
    let held: Vec<(&str, bool)> = picture
        .bars
        .iter()
        .map(|b| (b.kind.as_str(), b.to.is_some()))
        .collect();
    assert_eq!(held, [("slab", false), ("timer", true)]);
    assert!(picture.marks.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn a_page_names_each_root_once_and_is_well_formed() {
    let trace = life();
    let report = judge(&trace, &Names, &about());
    let page = html(&report, &Picture::of(&trace, &Names, &about()));
    assert_eq!(page.matches("<section id=").count(), report.roots().count());
    for tag in [
        "html", "body", "svg", "section", "table", "figure", "style", "ul", "text", "title",
    ] {
        assert_eq!(
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count(),
            page.matches(&format!("</{tag}>")).count(),
            "{tag}"
        );
    }
    assert!(page.contains("class=\"held left\""), "{page}");
}

#[test]
fn a_hostile_name_does_not_become_markup() {
    let mut build = Build::new().load();
    build.push(Event::Acquire {
        kind: "<script>alert(1)</script>".into(),
        key: 5,
        size: 1,
        detail: "\"><img src=x>\x1b".into(),
        function: "f<b>".into(),
        class: lkm_trace::Class::Behaves,
        tid: INSMOD,
        site: site("demo_init", 0x30),
    });
    let trace = build.init_returns(0).exit().gone().end();
    let report = judge(&trace, &Names, &about());
    let page = html(&report, &Picture::of(&trace, &Names, &about()));
    assert!(page.contains("&lt;script&gt;"));
    for bad in ["<script>", "<img", "\x1b", "f<b>"] {
        assert!(!page.contains(bad), "{bad}");
    }
}

#[test]
fn sarif_has_a_result_per_finding_and_knows_its_rule() {
    let trace = life();
    let report = judge(&trace, &Names, &about());
    let mut log = Sarif::new();
    log.add(
        &serde_json::to_value(&report).unwrap(),
        Some("drivers/my demo.ko"),
    );
    // The summary line of a tree is no report.
    log.add(&serde_json::json!({ "summary": true, "modules": 3 }), None);
    let log: Value = serde_json::from_str(&log.finish()).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), report.findings.len());
    for (result, finding) in results.iter().zip(&report.findings) {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], finding.rule);
        assert_eq!(
            result["level"],
            if finding.root.is_some() {
                "note"
            } else {
                "error"
            }
        );
    }
    let first = &results[0]["locations"][0];
    assert_eq!(
        first["physicalLocation"]["artifactLocation"]["uri"],
        "drivers/my%20demo.ko"
    );
    assert_eq!(first["logicalLocations"][0]["name"], "demo_init");
    assert!(results[0]["codeFlows"][0]["threadFlows"][0]["locations"].is_array());
}
