//! Locks and contexts.

use lkm_trace::{LockOp, Phase};

use crate::finding::Verdict;
use crate::testing::*;

const A: u64 = 0x4000;
const B: u64 = 0x5000;

fn loaded() -> Build {
    Build::new()
        .load()
        .kthread(7, "one", "demo_thread", "demo_init")
        .kthread(8, "two", "demo_work", "demo_init")
        .init_returns(0)
}

#[test]
fn both_orders_are_found_and_one_is_not() {
    let take = |b: Build, tid, first, second, from: &str| {
        b.switch(tid)
            .lock(LockOp::Acquire, "mutex", first, from)
            .lock(LockOp::Acquire, "mutex", second, from)
            .lock(LockOp::Release, "mutex", second, from)
            .lock(LockOp::Release, "mutex", first, from)
    };
    let b = take(loaded(), 7, A, B, "demo_thread");
    let b = take(b, 8, A, B, "demo_work");
    let report = b.switch(INSMOD).exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");

    let b = take(loaded(), 7, A, B, "demo_thread");
    let b = take(b, 8, B, A, "demo_work");
    let report = b.switch(INSMOD).exit().gone().judge();
    let order = one(&report, "lock-order");
    assert!(order.message.contains("demo_thread"), "{}", order.message);
    assert!(order.message.contains("demo_work"), "{}", order.message);
    assert_eq!(order.history.len(), 4);
}

#[test]
fn a_lock_around_both_orders_keeps_them_apart() {
    const GATE: u64 = 0x6000;
    let mut b = loaded();
    for (tid, first, second, from) in [(7, A, B, "demo_thread"), (8, B, A, "demo_work")] {
        b = b
            .switch(tid)
            .lock(LockOp::Acquire, "mutex", GATE, from)
            .lock(LockOp::Acquire, "mutex", first, from)
            .lock(LockOp::Acquire, "mutex", second, from)
            .lock(LockOp::Release, "mutex", second, from)
            .lock(LockOp::Release, "mutex", first, from)
            .lock(LockOp::Release, "mutex", GATE, from);
    }
    let report = b.switch(INSMOD).exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}

#[test]
fn a_trylock_makes_no_order() {
    let mut b = loaded();
    for (tid, first, second, from) in [(7, A, B, "demo_thread"), (8, B, A, "demo_work")] {
        b = b
            .switch(tid)
            .lock(LockOp::Acquire, "mutex", first, from)
            .lock(LockOp::TryAcquire, "mutex", second, from)
            .lock(LockOp::Release, "mutex", second, from)
            .lock(LockOp::Release, "mutex", first, from);
    }
    let report = b.switch(INSMOD).exit().gone().judge();
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}

#[test]
fn each_misuse_of_a_mutex_has_its_detail() {
    for (what, detail) in [
        ("unlock-by-other", "unlock-by-other"),
        ("recursive", "recursive"),
        ("in-atomic", "in-atomic"),
        ("freed-held", "freed-held"),
        ("lock-held", "held-at-exit"),
        ("uninitialised", "uninitialised"),
        ("unlock-unlocked", "unlock-unlocked"),
    ] {
        let report = loaded()
            .switch(7)
            .lock(LockOp::Acquire, "mutex", A, "demo_thread")
            .misuse(what, A, "mutex_lock", "demo_thread")
            .lock(LockOp::Release, "mutex", A, "demo_thread")
            .switch(INSMOD)
            .exit()
            .gone()
            .judge();
        let misuse = one(&report, "mutex-misuse");
        assert_eq!(misuse.detail, detail);
        assert!(misuse.message.contains(detail), "{}", misuse.message);
        assert_eq!(misuse.history[0].what, "locked");
    }
}

#[test]
fn a_mutex_handed_to_another_task_is_one_mistake() {
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "mutex", A, "demo_init")
        .misuse("lock-held", A, "exit to user mode", "demo_init")
        .kthread(7, "one", "demo_thread", "demo_init")
        .init_returns(0)
        .switch(7)
        .misuse("unlock-by-other", A, "mutex_unlock", "demo_thread")
        .lock(LockOp::Release, "mutex", A, "demo_thread")
        .switch(INSMOD)
        .exit()
        .gone()
        .judge();
    assert_eq!(roots(&report), ["mutex-misuse"]);
    assert_eq!(report.findings.len(), 2);
    assert_eq!(report.findings[0].detail, "unlock-by-other");
}

#[test]
fn a_lock_of_the_kernels_own_is_not_the_modules_to_initialise() {
    let with = |address: u64| {
        Build::new()
            .with(lkm_trace::Event::Data {
                name: "pernet_ops_rwsem".into(),
                address,
                size: 64,
            })
            .load()
            .misuse("uninitialised", A + 8, "down_write", "demo_init")
            .init_returns(0)
            .exit()
            .gone()
            .judge()
    };
    assert_eq!(with(A).verdict, Verdict::Clean);
    assert_eq!(roots(&with(B)), ["mutex-misuse"]);
}

#[test]
fn sleeping_names_the_lock_that_forbids_it() {
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "spinlock", A, "demo_init")
        .misuse("sleep-in-atomic", 0, "msleep", "demo_init")
        .misuse("schedule-in-atomic", 0, "msleep", "demo_init")
        .lock(LockOp::Release, "spinlock", A, "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .judge();
    assert_eq!(roots(&report), ["sleep-in-atomic"]);
    let sleep = one(&report, "sleep-in-atomic");
    assert!(sleep.message.contains("spinlock"), "{}", sleep.message);
    assert_eq!(sleep.phase, Phase::Init);
}

#[test]
fn a_spinlock_kept_is_one_imbalance() {
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "spinlock", A, "demo_init")
        .misuse("preempt-imbalance", 0, "", "demo_init")
        .misuse("lock-held", A, "", "demo_init")
        .init_returns(0)
        .exit()
        .gone()
        .judge();
    let found = one(&report, "context-imbalance");
    assert!(found.message.contains("spinlock"), "{}", found.message);
    assert_eq!(report.findings.len(), 1);
}
