//! What follows from what: one cause is one root, and what a stub brought about is nobody's fault.

use lkm_trace::{Event, LockOp, Phase};

use crate::finding::Verdict;
use crate::testing::*;

const OBJECT: u64 = 0x2000_0000;

/// The function at the root of a rule's only finding; none when it is a root itself.
fn root_of(report: &crate::finding::Report, rule: &str) -> Option<&'static str> {
    let root = report.findings.iter().find(|f| f.rule == rule)?.root?;
    Some(report.findings[root].rule)
}

#[test]
fn a_fault_after_a_stub_in_the_same_function_is_not_judged() {
    let stub = Event::Stub {
        function: "sock_create_kern".into(),
        answer: 0,
        args: Vec::new(),
        tid: INSMOD,
        site: site("demo_init", 0x10),
    };
    let report = Build::new()
        .load()
        .called("sock_create_kern", lkm_trace::Class::Stubbed)
        .with(stub)
        .fault(Phase::Init, 0x18, "null page", 0, "demo_init")
        .judge();
    assert!(report.findings.is_empty(), "{report:#?}");
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.notes.iter().any(|n| n.contains("sock_create_kern")));
}

#[test]
fn a_fault_without_a_stub_is() {
    let report = Build::new()
        .load()
        .fault(Phase::Init, 0x18, "null page", 0, "demo_init")
        .judge();
    assert!(roots(&report).contains(&"oops"), "{report:#?}");
}

#[test]
fn memory_with_something_registered_in_it_is_in_use() {
    let report = Build::new()
        .load()
        .acquire("slab", OBJECT, "kmalloc_trace", "demo_init")
        .acquire("misc device", OBJECT + 16, "misc_register", "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .judge();
    assert_eq!(roots(&report), ["left-registered"], "{report:#?}");
    assert_eq!(root_of(&report, "memory-leak"), Some("left-registered"));
}

#[test]
fn an_object_of_a_cache_is_told_with_the_cache() {
    let report = Build::new()
        .load()
        .acquire("slab", OBJECT, "kmem_cache_alloc", "demo_init")
        .init_returns(0)
        .exit()
        .misuse("cache-not-empty", 0x1000, "kmem_cache_destroy", "demo_exit")
        .gone()
        .judge();
    assert_eq!(roots(&report), ["cache-not-empty"], "{report:#?}");
}

#[test]
fn what_was_given_to_the_wrong_free_is_lost_by_that() {
    let report = Build::new()
        .load()
        .acquire("vmalloc", OBJECT, "vmalloc", "demo_init")
        .init_returns(0)
        .exit()
        .misuse("invalid-free", OBJECT, "kfree", "demo_exit")
        .gone()
        .judge();
    assert_eq!(roots(&report), ["invalid-free"], "{report:#?}");
}

#[test]
fn waiting_for_a_work_under_its_lock_is_an_order() {
    let work = 0x7000;
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "work", work, "demo_work")
        .lock(LockOp::Acquire, "mutex", 0x8000, "demo_work")
        .lock(LockOp::Release, "mutex", 0x8000, "demo_work")
        .lock(LockOp::Release, "work", work, "demo_work")
        .init_returns(0)
        .exit()
        .lock(LockOp::Acquire, "mutex", 0x8000, "demo_exit")
        .lock(LockOp::Acquire, "work", work, "demo_exit")
        .lock(LockOp::Release, "work", work, "demo_exit")
        .lock(LockOp::Release, "mutex", 0x8000, "demo_exit")
        .gone()
        .judge();
    let order = one(&report, "lock-order");
    assert!(
        order.message.contains("waits for a work with a mutex held"),
        "{}",
        order.message
    );
    assert_eq!(order.detail, "waits-under-lock");
}

#[test]
fn waiting_for_a_work_after_its_lock_is_none() {
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "work", 0x7000, "demo_work")
        .lock(LockOp::Acquire, "mutex", 0x8000, "demo_work")
        .lock(LockOp::Release, "mutex", 0x8000, "demo_work")
        .lock(LockOp::Release, "work", 0x7000, "demo_work")
        .init_returns(0)
        .exit()
        .lock(LockOp::Acquire, "mutex", 0x8000, "demo_exit")
        .lock(LockOp::Release, "mutex", 0x8000, "demo_exit")
        .lock(LockOp::Acquire, "work", 0x7000, "demo_exit")
        .lock(LockOp::Release, "work", 0x7000, "demo_exit")
        .gone()
        .judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}
