//! Whole lives: clean ones, failed ones, what is left, and faults.

use lkm_trace::{Class, Event, Phase, Site};

use crate::finding::{Confidence, Verdict};
use crate::testing::*;

#[test]
fn a_correct_life_is_clean() {
    let report = Build::new()
        .load()
        .called("kmalloc_trace", Class::Behaves)
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .init_returns(0)
        .exit()
        .release("slab", 0x2000_0000, "kfree", "demo_exit")
        .gone()
        .judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
    assert_eq!(report.result.load, Some(0));
    assert_eq!(report.result.init, Some(0));
    assert_eq!(report.result.exit, "done");
    assert_eq!(report.calls.behaves, 1);
    assert_eq!(
        report.refcount.iter().map(|r| r.value).collect::<Vec<_>>(),
        [1, 0]
    );
}

#[test]
fn an_init_that_declines_and_leaves_nothing_is_clean() {
    let report = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .release("slab", 0x2000_0000, "kfree", "demo_init")
        .init_returns(-19)
        .judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
    assert_eq!(report.result.init, Some(-19));
    assert_eq!(report.result.exit, "not-run");
}

#[test]
fn memory_that_is_not_freed_is_a_leak_at_its_allocation() {
    let report = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .judge();
    let leak = one(&report, "memory-leak");
    assert_eq!(leak.place.at, "demo_init+0x30");
    assert_eq!(leak.phase, Phase::AfterExit);
    assert_eq!(leak.confidence, Confidence::High);
    assert_eq!(leak.history[0].what, "created");
}

#[test]
fn a_failed_init_must_undo_what_it_did() {
    let report = Build::new()
        .load()
        .acquire(
            "platform device",
            0x2000_0000,
            "platform_device_register",
            "demo_init",
        )
        .init_returns(-12)
        .judge();
    let left = one(&report, "left-registered");
    assert!(left.message.contains("platform device"), "{}", left.message);
    assert!(left.fix.contains("error path"), "{}", left.fix);
}

#[test]
fn what_a_dependency_took_is_not_ours() {
    let other = 0x3000_0000u64;
    let mut build = Build::new();
    build.push(Event::Module {
        name: "dep".into(),
        generation: 1,
        this_module: 1,
        sections: vec![(".text".into(), other, 0x1000)],
    });
    let mut build = build.load();
    build.push(Event::Acquire {
        kind: "slab".into(),
        key: 0x2000_0000,
        size: 8,
        detail: String::new(),
        function: "kmalloc".into(),
        class: Class::Behaves,
        tid: INSMOD,
        site: Site {
            pc: other + 8,
            stack: vec![pc("demo_init", 8)],
        },
    });
    let report = build.init_returns(0).exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}

#[test]
fn what_was_handed_to_a_stub_is_not_judged() {
    let mut build = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .called("register_thing", Class::Stubbed);
    build.push(Event::Stub {
        function: "register_thing".into(),
        answer: 0,
        args: vec![0x2000_0010, 3],
        tid: INSMOD,
        site: site("demo_init", 0x38),
    });
    let report = build.init_returns(0).exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report:#?}");
    assert_eq!(report.calls.stubbed, 1);
}

#[test]
fn a_leak_past_a_stub_says_so() {
    let mut build = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .called("register_thing", Class::Stubbed);
    build.push(Event::Stub {
        function: "register_thing".into(),
        answer: 0,
        args: vec![],
        tid: INSMOD,
        site: site("demo_init", 0x38),
    });
    let report = build.init_returns(0).exit().gone().judge();
    let leak = one(&report, "memory-leak");
    assert_eq!(leak.confidence, Confidence::Low);
    assert_eq!(leak.through.as_deref(), Some("register_thing"));
}

#[test]
fn an_oops_in_init_wedges_and_explains_what_is_left() {
    let report = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .fault(Phase::Init, 0, "null", 0, "demo_init")
        .judge();
    assert_eq!(roots(&report), ["oops"]);
    let oops = one(&report, "oops");
    assert_eq!(oops.phase, Phase::Init);
    assert_eq!(oops.place.at, "demo_init+0x18");
    let wedged = one(&report, "wedged-module");
    assert_eq!(wedged.root, Some(oops.id));
    assert_eq!(wedged.detail, "COMING");
    assert_eq!(report.result.init, None);
    assert_eq!(report.verdict.exit_code(), 1);
}

#[test]
fn a_thread_that_dies_does_not_wedge() {
    let report = Build::new()
        .load()
        .kthread(7, "demo", "demo_thread", "demo_init")
        .init_returns(0)
        .switch(7)
        .fault(Phase::Use, 0, "null", 0, "demo_thread")
        .switch(INSMOD)
        .exit()
        .gone()
        .judge();
    assert_eq!(roots(&report), ["oops"]);
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn freed_memory_names_its_life() {
    let report = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .release("slab", 0x2000_0000, "kfree", "demo_work")
        .fault(
            Phase::Init,
            0x2000_0008,
            "freed slab object",
            0x2000_0000,
            "demo_init",
        )
        .judge();
    assert_eq!(roots(&report), ["use-after-free"]);
    let uaf = one(&report, "use-after-free");
    let what: Vec<_> = uaf.history.iter().map(|s| s.what.as_str()).collect();
    assert_eq!(what, ["created", "freed"]);
    assert_eq!(one(&report, "oops").root, Some(uaf.id));
}

#[test]
fn minus_one_and_positive_answers_of_init() {
    let report = Build::new().load().init_returns(-1).judge();
    assert!(one(&report, "init-return-value").message.contains("-1"));
    let report = Build::new().load().init_returns(3).exit().gone().judge();
    assert_eq!(one(&report, "init-return-value").detail, "3");
    let report = Build::new().load().init_returns(-12).judge();
    assert!(report.findings.is_empty());
}

#[test]
fn a_thread_left_running_is_named_by_its_function() {
    let report = Build::new()
        .load()
        .kthread(7, "demo", "demo_thread", "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .with(Event::Leftover {
            kind: "kthread".into(),
            key: 0x5000,
            function: pc("demo_thread", 0),
            detail: "demo".into(),
            site: site("demo_init", 0x10),
        })
        .judge();
    let left = one(&report, "left-running");
    assert!(left.message.contains("thread"), "{}", left.message);
    assert!(left.message.contains("demo_thread"), "{}", left.message);
    assert_eq!(left.place.at, "demo_init+0x10");
}

#[test]
fn a_variable_without_its_value_casts_doubt() {
    let report = Build::new()
        .with(Event::Data {
            name: "vc_cons".into(),
            address: 0x9000_0000,
            size: 64,
        })
        .load()
        .fault(Phase::Init, 0x1a4, "null", 0, "demo_init")
        .judge();
    let oops = one(&report, "oops");
    assert_eq!(oops.confidence, Confidence::Low);
    assert_eq!(oops.through.as_deref(), Some("the variable vc_cons"));
}

#[test]
fn waiting_for_a_stub_is_not_the_modules_fault() {
    let report = Build::new()
        .load()
        .called("ktime_get", Class::Stubbed)
        .misuse("livelock", 0, "ktime_get", "demo_init")
        .judge();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report:#?}");
    let report = Build::new()
        .load()
        .called("ktime_get", Class::Behaves)
        .misuse("livelock", 0, "ktime_get", "demo_init")
        .judge();
    assert_eq!(roots(&report), ["livelock"]);
}

#[test]
fn a_limit_of_the_lab_is_told_as_one() {
    let mut b = Build::new().load();
    b.push(Event::Fault {
        kind: "bug".into(),
        module: "demo".into(),
        phase: Phase::Init,
        tid: INSMOD,
        pc: 0,
        address: 0,
        write: false,
        exec: false,
        about: "lab: kernel data is exhausted".into(),
        object: 0,
        function: "strsep".into(),
        fatal: true,
        site: site("demo_init", 8),
    });
    let report = b.judge();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report:#?}");
}

#[test]
fn a_refused_load_before_placement_keeps_its_errno() {
    let refused = |errno| {
        Build::new()
            .with(Event::LoadResult {
                module: "demo".into(),
                errno,
            })
            .judge()
    };
    let missing = refused(-2);
    assert_eq!(missing.result.load, Some(-2));
    assert_eq!(missing.verdict, Verdict::Inconclusive);
    let range = refused(-34);
    assert_eq!(range.result.load, Some(-34));
    assert_eq!(range.verdict, Verdict::Clean);
    assert_eq!(range.notes.len(), 1);
}

#[test]
fn a_second_load_of_a_loaded_name_changes_nothing() {
    let mut b = Build::new()
        .load()
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .init_returns(0);
    b.push(Event::LoadResult {
        module: "demo".into(),
        errno: -17,
    });
    assert!(b.judge().findings.is_empty());
}

#[test]
fn code_of_a_module_that_has_gone_is_what_was_left_running() {
    let mut b = Build::new()
        .load()
        .kthread(7, "demo", "demo_thread", "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .switch(7);
    b.push(Event::Fault {
        kind: "page-fault".into(),
        module: "demo".into(),
        phase: Phase::AfterExit,
        tid: 7,
        pc: pc("demo_thread", 0x20),
        address: pc("demo_thread", 0x20),
        write: false,
        exec: true,
        about: "memory of unloaded module demo".into(),
        object: 0,
        function: String::new(),
        fatal: true,
        site: site("demo_thread", 0x20),
    });
    let report = b.judge();
    assert_eq!(roots(&report), ["left-running"]);
    let left = one(&report, "left-running");
    assert_eq!(left.place.at, "demo_init+0x10");
    assert_eq!(one(&report, "oops").root, Some(left.id));
}

#[test]
fn an_unregister_that_hits_nothing_goes_with_what_it_left() {
    let report = Build::new()
        .load()
        .acquire(
            "character device",
            0x2000_0000,
            "__register_chrdev",
            "demo_init",
        )
        .init_returns(0)
        .exit()
        .misuse("release-unheld", 9, "unregister_chrdev", "demo_exit")
        .gone()
        .judge();
    assert_eq!(roots(&report), ["left-registered"]);
    let report = Build::new()
        .load()
        .acquire("misc device", 0x2000_0000, "misc_register", "demo_init")
        .init_returns(0)
        .exit()
        .misuse("release-unheld", 9, "unregister_chrdev", "demo_exit")
        .gone()
        .judge();
    assert_eq!(roots(&report).len(), 2);
}

#[test]
fn a_run_without_an_end_is_inconclusive() {
    let mut trace = Build::new().load().init_returns(0).exit().gone().end();
    trace.events.pop();
    assert_eq!(judged(&trace).verdict, Verdict::Inconclusive);
}
