//! The reference count and threads that are stopped.

use lkm_trace::{Event, Phase, Site, TaskEnd};

use crate::Report;
use crate::finding::Verdict;
use crate::testing::*;

fn refused(mut b: Build) -> Build {
    b.push(Event::UnloadResult {
        module: "demo".into(),
        errno: -11,
    });
    b
}

#[test]
fn a_reference_that_stays_is_named() {
    let mut b = Build::new().load().init_returns(0);
    b.reference(1, 1, "try_module_get", 0, "demo");
    b.reference(1, 2, "try_module_get", 0, "demo");
    b.reference(-1, 1, "module_put", 0, "demo");
    let report = refused(b).judge();
    let pinned = one(&report, "module-pinned");
    assert_eq!(pinned.detail, "try_module_get");
    assert!(pinned.message.contains("demo_work"), "{}", pinned.message);
}

#[test]
fn a_symbol_of_another_module_is_to_be_put() {
    let get = |put: bool| {
        let mut b = Build::new().load();
        for (delta, wanted) in [(1, true), (-1, put)] {
            if wanted {
                b.push(Event::Ref {
                    module: "base".into(),
                    delta,
                    value: 1,
                    why: "symbol_get".into(),
                    key: 0x77,
                    holder: "base_add".into(),
                    tid: INSMOD,
                    site: site("demo_init", 0x20),
                });
            }
        }
        b.init_returns(0).exit().gone().judge()
    };
    let report = get(false);
    let pinned = one(&report, "module-pinned");
    assert!(pinned.message.contains("base_add"), "{}", pinned.message);
    assert_eq!(pinned.place.at, "demo_init+0x20");
    assert_eq!(get(true).verdict, Verdict::Clean);
}

#[test]
fn references_that_are_put_pin_nothing() {
    let mut b = Build::new().load().init_returns(0);
    b.reference(1, 1, "open file", 0x77, "cat/9");
    b.reference(-1, 0, "close", 0x77, "cat/9");
    let report = b.exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}

#[test]
fn an_inherited_file_is_told_with_its_thread() {
    let mut b =
        Build::new()
            .load()
            .init_returns(0)
            .kthread(7, "handoff", "demo_thread", "demo_work");
    b.reference(1, 1, "socket", 0x77, "user/9");
    for (tid, how) in [(INSMOD, "opened"), (7, "inherited"), (INSMOD, "closed")] {
        b.push(Event::File {
            file: 0x77,
            fd: 3,
            tid,
            what: "sock".into(),
            module: "demo".into(),
            how: how.into(),
            site: site("demo_work", 0x10),
        });
    }
    let report = refused(b).judge();
    let pinned = one(&report, "module-pinned");
    assert_eq!(pinned.detail, "inherited-file");
    assert!(pinned.message.contains("handoff/107"), "{}", pinned.message);
    assert_eq!(pinned.history.len(), 4);
}

/// A process ends and a thread shares its table; the reference may go when the thread ends.
fn left_open(ends: bool) -> Report {
    let mut b =
        Build::new()
            .load()
            .init_returns(0)
            .kthread(7, "handoff", "demo_thread", "demo_work");
    b.reference(1, 1, "socket", 0x77, "user/9");
    for (tid, how) in [(INSMOD, "opened"), (7, "inherited"), (INSMOD, "left")] {
        b.push(Event::File {
            file: 0x77,
            fd: 3,
            tid,
            what: "sock".into(),
            module: "demo".into(),
            how: how.into(),
            site: site("demo_work", 0x10),
        });
    }
    if ends {
        b.reference(-1, 0, "socket", 0x77, "");
    }
    b.judge()
}

#[test]
fn a_table_that_a_thread_keeps_is_told_without_an_unload() {
    let report = left_open(false);
    let pinned = one(&report, "module-pinned");
    assert_eq!(pinned.detail, "shared-table");
    assert!(pinned.message.contains("handoff/107"), "{}", pinned.message);
    let ended = left_open(true);
    assert!(
        ended.findings.iter().all(|f| f.rule != "module-pinned"),
        "{ended:#?}"
    );
}

#[test]
fn more_puts_than_gets() {
    let report = Build::new()
        .load()
        .init_returns(0)
        .misuse("put-underflow", 0, "module_put", "demo_work")
        .exit()
        .gone()
        .judge();
    assert!(
        one(&report, "module-ref-underflow")
            .message
            .contains("demo_work")
    );
}

#[test]
fn a_reference_on_itself_counts_only_where_nobody_holds_it() {
    let take = |value: i64, phase: Phase| {
        let mut b = Build::new().load();
        if phase == Phase::Use {
            b = b.init_returns(0);
        }
        b = b.misuse("self-get", 0, "try_module_get", "demo_work");
        b.reference(1, value, "try_module_get", 0, "demo");
        b.reference(-1, value - 1, "module_put", 0, "demo");
        if phase != Phase::Use {
            b = b.init_returns(0);
        }
        b.exit().gone().judge()
    };
    assert_eq!(roots(&take(1, Phase::Use)), ["self-module-get"]);
    assert_eq!(take(2, Phase::Use).verdict, Verdict::Clean);
    assert_eq!(take(2, Phase::Init).verdict, Verdict::Clean);
}

#[test]
fn a_thread_that_puts_the_last_reference_and_returns_runs_on_alone() {
    let put = |value: i64, how: TaskEnd, stop: bool| {
        let mut b = Build::new()
            .load()
            .kthread(7, "porter", "demo_thread", "demo_init")
            .init_returns(0)
            .switch(7);
        b.reference(-1, value, "module_put", 0, "demo");
        if stop {
            b = b.called("kthread_stop", lkm_trace::Class::Behaves);
        }
        ended(b, how).switch(INSMOD).exit().gone().judge()
    };
    assert_eq!(
        roots(&put(0, TaskEnd::Returned, false)),
        ["self-module-get"]
    );
    assert!(roots(&put(1, TaskEnd::Returned, false)).is_empty());
    assert!(roots(&put(0, TaskEnd::Exited, false)).is_empty());
    assert!(roots(&put(0, TaskEnd::Returned, true)).is_empty());
}

fn ended(mut b: Build, how: TaskEnd) -> Build {
    b.push(Event::TaskEnd {
        tid: 7,
        how,
        value: 0,
        site: Site::default(),
    });
    b.push(Event::TaskFreed {
        tid: 7,
        site: Site::default(),
    });
    b
}

fn stop(mut b: Build) -> Build {
    b = b.switch(INSMOD).exit();
    b.push(Event::Misuse {
        what: "kthread-stop-exited".into(),
        detail: "gone/107".into(),
        key: 7,
        function: "kthread_stop".into(),
        tid: INSMOD,
        // A tail call: the return address is the kernel's.
        site: Site {
            pc: 0x100,
            stack: Vec::new(),
        },
    });
    b
}

#[test]
fn a_thread_that_ended_first_is_told_from_its_making() {
    let b = Build::new()
        .load()
        .kthread(7, "gone", "demo_thread", "demo_init")
        .init_returns(0);
    let report = stop(ended(b.switch(7), TaskEnd::Returned))
        .fault(Phase::Exit, 0, "null", 0, "demo_exit")
        .judge();
    let found = one(&report, "kthread-stop-after-exit");
    assert_eq!(found.place.at, "demo_exit (tail call)");
    assert_eq!(found.phase, Phase::Exit);
    let what: Vec<_> = found.history.iter().map(|s| s.what.as_str()).collect();
    assert_eq!(what, ["created", "ended with 0", "freed"]);
}

#[test]
fn stopping_a_thread_that_an_oops_killed_follows_from_the_oops() {
    let b = Build::new()
        .load()
        .kthread(7, "gone", "demo_thread", "demo_init")
        .init_returns(0)
        .switch(7)
        .fault(Phase::Use, 0, "null", 0, "demo_thread");
    let report = stop(ended(b, TaskEnd::Oops)).gone().judge();
    assert_eq!(roots(&report), ["oops"]);
}
