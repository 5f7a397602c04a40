//! Answers of request_module, and edits of struct module by hand.

use lkm_trace::{Event, Phase};

use crate::finding::{Confidence, Verdict};
use crate::testing::*;

fn request(b: &mut Build, result: i64, from: &str) {
    b.push(Event::Autoload {
        name: "helper".into(),
        wait: true,
        result,
        tid: INSMOD,
        site: site(from, 0x10),
    });
}

#[test]
fn a_null_pointer_behind_a_failed_request_is_its_consequence() {
    let mut b = Build::new().load();
    request(&mut b, 256, "demo_init");
    let report = b.fault(Phase::Init, 0x8, "null", 0, "demo_init").judge();
    let finding = one(&report, "autoload-result-ignored");
    assert!(
        finding.message.contains("exit status 1"),
        "{}",
        finding.message
    );
    assert_eq!(finding.confidence, Confidence::High);
    assert_eq!(roots(&report), ["autoload-result-ignored"]);
}

#[test]
fn zero_says_less_than_a_failure() {
    let mut b = Build::new().load();
    request(&mut b, 0, "demo_init");
    let report = b.fault(Phase::Init, 0x8, "null", 0, "demo_init").judge();
    let finding = one(&report, "autoload-result-ignored");
    assert_eq!(finding.confidence, Confidence::Low);
}

#[test]
fn a_fault_elsewhere_has_another_cause() {
    for (address, from) in [(0x8, "demo_work"), (0xffff_8000_0000_0000, "demo_init")] {
        let mut b = Build::new().load();
        request(&mut b, 256, "demo_init");
        let report = b.fault(Phase::Init, address, "wild", 0, from).judge();
        assert!(!roots(&report).contains(&"autoload-result-ignored"));
    }
}

#[test]
fn the_status_of_modprobe_is_no_errno() {
    let mut b = Build::new().load();
    request(&mut b, 256, "demo_init");
    let report = b.init_returns(256).exit().gone().judge();
    assert_eq!(roots(&report), ["autoload-result-ignored"]);
    // A module that does without what did not come is clean.
    let mut b = Build::new().load();
    request(&mut b, 256, "demo_init");
    assert_eq!(
        b.init_returns(0).exit().gone().judge().verdict,
        Verdict::Clean
    );
}

#[test]
fn what_each_load_does_once_is_counted_once() {
    let life = |b: Build| {
        b.load()
            .misuse("state-edited", 0x40, "", "demo_init")
            .init_returns(0)
            .exit()
            .gone()
    };
    let report = life(life(Build::new())).judge();
    assert_eq!(one(&report, "forced-unload").count, 1);
    let twice = Build::new()
        .load()
        .misuse("state-edited", 0x40, "", "demo_init")
        .misuse("state-edited", 0x40, "", "demo_init");
    let report = twice.init_returns(0).exit().gone().judge();
    assert_eq!(one(&report, "forced-unload").count, 2);
}
