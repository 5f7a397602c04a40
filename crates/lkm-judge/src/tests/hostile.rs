//! A trace is what a hostile module's process wrote: whatever it says, judging ends, and in bounds.

use lkm_trace::{LockOp, Phase, decode, encode};

use crate::report::{json, text};
use crate::testing::*;

/// A trace with most kinds of events in it.
fn rich() -> Vec<u8> {
    let trace = Build::new()
        .load()
        .kthread(7, "one", "demo_thread", "demo_init")
        .acquire("slab", 0x2000_0000, "kmalloc", "demo_init")
        .acquire("misc device", 0x2000_1000, "misc_register", "demo_init")
        .init_returns(0)
        .switch(7)
        .lock(LockOp::Acquire, "mutex", 0x4000, "demo_thread")
        .misuse("recursive", 0x4000, "mutex_lock", "demo_thread")
        .misuse("kthread-stop-exited", 0x4000, "kthread_stop", "demo_exit")
        .misuse("double-free", 0x2000_0000, "kfree", "demo_exit")
        .fault(
            Phase::Use,
            0x2000_0040,
            "guard after",
            0x2000_0000,
            "demo_work",
        )
        .switch(INSMOD)
        .exit()
        .release("slab", 0x2000_0000, "kfree", "demo_exit")
        .gone()
        .load()
        .init_returns(-1)
        .end();
    let mut bytes = Vec::new();
    for event in &trace.events {
        encode(event, &mut bytes);
    }
    bytes
}

/// A small generator: the same bytes every time.
struct Rng(u64);

impl Rng {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn a_damaged_trace_is_judged_without_a_panic() {
    let good = rich();
    assert!(!judged(&decode(&good)).findings.is_empty());
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    for round in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..1 + round % 7 {
            let at = rng.next(bytes.len());
            match rng.next(4) {
                0 => bytes[at] = rng.next(256) as u8,
                1 => bytes[at] ^= 1 << rng.next(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.next(256) as u8),
            }
        }
        let report = judged(&decode(&bytes));
        for finding in &report.findings {
            assert!(finding.root.is_none_or(|r| r < report.findings.len()));
        }
        assert!(json::line(&report).starts_with('{'));
        assert!(!text::text(&report, false).contains('\x1b'));
    }
}

#[test]
fn events_in_any_order_are_judged() {
    let good = decode(&rich());
    let mut rng = Rng(7);
    for _ in 0..500 {
        let mut events = good.events.clone();
        for i in (1..events.len()).rev() {
            events.swap(i, rng.next(i + 1));
        }
        judged(&lkm_trace::Trace {
            events,
            malformed: None,
        });
    }
}

#[test]
fn roots_are_roots() {
    let report = judged(&decode(&rich()));
    for finding in &report.findings {
        if let Some(root) = finding.root {
            assert_eq!(report.findings[root].root, None);
            assert_ne!(root, finding.id);
        }
    }
}

#[test]
fn a_million_locks_do_not_take_for_ever() {
    let mut b = Build::new().load();
    for key in 0..200_000u64 {
        b = b.lock(LockOp::Acquire, "mutex", 0x10_0000 + key, "demo_init");
    }
    let report = b.init_returns(0).judge();
    assert!(report.findings.is_empty());
}
