//! Waiting for ever.

use lkm_trace::{Event, LockOp};

use crate::testing::*;

const LOCK: u64 = 0x4000;

fn blocked(tid: u32, function: &str, detail: &str, on: u64, from: &str) -> Event {
    Event::Blocked {
        tid,
        function: function.into(),
        detail: detail.into(),
        on,
        interruptible: false,
        killable: false,
        site: site(from, 0x70),
    }
}

fn hang() -> Event {
    Event::ExitResult {
        module: "demo".into(),
        how: "hang".into(),
    }
}

fn threaded() -> Build {
    Build::new()
        .load()
        .kthread(7, "deaf", "demo_thread", "demo_init")
        .init_returns(0)
}

#[test]
fn a_thread_that_does_not_listen_hangs_the_unload() {
    let report = threaded()
        .exit()
        .with(blocked(INSMOD, "kthread_stop", "deaf/107", 0, "demo_exit"))
        .with(hang())
        .judge();
    assert_eq!(roots(&report), ["unload-hangs"]);
    let found = one(&report, "unload-hangs");
    assert!(
        found.message.contains("kthread_should_stop"),
        "{}",
        found.message
    );
    assert_eq!(found.place.at, "demo_exit+0x70");
}

#[test]
fn a_lock_that_the_thread_wants_closes_the_circle() {
    let report = threaded()
        .exit()
        .lock(LockOp::Acquire, "mutex", LOCK, "demo_exit")
        .with(blocked(7, "mutex_lock", "", LOCK, "demo_thread"))
        .with(blocked(INSMOD, "kthread_stop", "deaf/107", 0, "demo_exit"))
        .with(hang())
        .judge();
    assert_eq!(roots(&report), ["unload-hangs"]);
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert_eq!(one(&report, "unload-hangs").detail, "deadlock");
}

#[test]
fn an_exit_that_hangs_without_a_word_is_still_told() {
    let report = threaded().exit().with(hang()).judge();
    assert_eq!(roots(&report), ["unload-hangs"]);
}

#[test]
fn an_init_that_waits_for_ever_is_a_deadlock() {
    let report = Build::new()
        .load()
        .with(blocked(INSMOD, "wait_for_completion", "", 0, "demo_init"))
        .judge();
    assert_eq!(roots(&report), ["deadlock"]);
    assert_eq!(report.result.init, None);
}

#[test]
fn a_mutex_locked_twice_explains_the_wait() {
    let report = Build::new()
        .load()
        .lock(LockOp::Acquire, "mutex", LOCK, "demo_init")
        .misuse("recursive", LOCK, "mutex_lock", "demo_init")
        .with(blocked(INSMOD, "mutex_lock", "", LOCK, "demo_init"))
        .judge();
    assert_eq!(roots(&report), ["mutex-misuse"]);
    let misuse = one(&report, "mutex-misuse").id;
    assert_eq!(one(&report, "deadlock").root, Some(misuse));
}

#[test]
fn a_thread_that_waits_for_work_is_no_deadlock() {
    let report = threaded()
        .with(blocked(7, "schedule", "wait queue", 0x99, "demo_thread"))
        .exit()
        .gone()
        .judge();
    assert!(report.findings.is_empty(), "{report:#?}");
}

#[test]
fn two_threads_in_a_circle_are_told_once() {
    let report = threaded()
        .kthread(8, "two", "demo_work", "demo_init")
        .switch(7)
        .lock(LockOp::Acquire, "mutex", LOCK, "demo_thread")
        .switch(8)
        .lock(LockOp::Acquire, "mutex", LOCK + 8, "demo_work")
        .with(blocked(7, "mutex_lock", "", LOCK + 8, "demo_thread"))
        .with(blocked(8, "mutex_lock", "", LOCK, "demo_work"))
        .switch(INSMOD)
        .exit()
        .gone()
        .judge();
    assert_eq!(roots(&report), ["deadlock"]);
}
