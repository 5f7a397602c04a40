//! The record of a run, as a hostile child may have left it: decoded, judged, and told in every form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_judge::report::{json, text};
use lkm_judge::{About, NoSymbols};
use lkm_trace::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let trace = decode(data);
    // What was understood is written the same way again.
    let mut bytes = Vec::new();
    for event in &trace.events {
        encode(event, &mut bytes);
    }
    assert_eq!(decode(&bytes).events, trace.events);
    let about = About {
        module: "m".into(),
        ..About::default()
    };
    let mut report = lkm_judge::judge(&trace, &NoSymbols, &about);
    for finding in &report.findings {
        let root = finding.root.map(|r| &report.findings[r]);
        assert!(root.is_none_or(|r| r.root.is_none()));
    }
    lkm_judge::merge(&mut report, lkm_judge::judge(&trace, &NoSymbols, &about));
    let _ = (json::line(&report), text::text(&report, true));
});
