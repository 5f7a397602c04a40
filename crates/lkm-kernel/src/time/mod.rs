//! Virtual time: a clock that moves only when nothing can run, and what happens at which moment.
//! Timers, hrtimers, delayed work and sleeping tasks all wait here (kernel/time/).

pub(crate) mod convert;
pub(crate) mod delay;
pub(crate) mod hrtimer;
pub(crate) mod timekeeping;
pub(crate) mod timer;

use crate::Cx;
use crate::abi::R;
use crate::sched::JIFFY;
use std::collections::BTreeMap;

/// What to run when a moment has come; it runs in interrupt context.
pub type Fire = fn(&mut Cx, u64, u64) -> R<()>;

/// Identity of a pending event.
pub type EventId = (u64, u64);

/// The clock.
pub struct Clock {
    /// Virtual nanoseconds since boot.
    pub now: u64,
    /// Sequence of events, so that equal moments keep their order.
    seq: u64,
    events: BTreeMap<EventId, (Fire, u64, u64)>,
}

impl Default for Clock {
    fn default() -> Clock {
        // Some time has passed since boot, so that "jiffies - 1" and the like are not negative.
        Clock {
            now: 10_000_000_000,
            seq: 0,
            events: BTreeMap::new(),
        }
    }
}

/// Runs `fire(a, b)` at `when`.
pub fn at(cx: &mut Cx, when: u64, fire: Fire, a: u64, b: u64) -> EventId {
    cx.clock.seq += 1;
    let id = (when, cx.clock.seq);
    cx.clock.events.insert(id, (fire, a, b));
    id
}

/// Removes a pending event; whether it was pending.
pub fn cancel(cx: &mut Cx, id: EventId) -> bool {
    cx.clock.events.remove(&id).is_some()
}

/// Whether something should have run by now.
pub fn due(cx: &Cx) -> bool {
    cx.clock
        .events
        .first_key_value()
        .is_some_and(|(id, _)| id.0 <= cx.clock.now)
}

/// When the next event is.
pub fn next_event(cx: &Cx) -> Option<u64> {
    cx.clock.events.first_key_value().map(|(id, _)| id.0)
}

/// Moves the clock; `jiffies` follows.
pub fn advance(cx: &mut Cx, to: u64) {
    if to > cx.clock.now {
        cx.clock.now = to;
        update_jiffies(cx);
    }
}

/// A moment passes while code runs; jiffies follows only when it changes.
pub fn pass(cx: &mut Cx, ns: u64) {
    let before = cx.clock.now / JIFFY;
    cx.clock.now += ns;
    if cx.clock.now / JIFFY != before {
        update_jiffies(cx);
    }
}

/// Writes `jiffies` for the current time (it starts at INITIAL_JIFFIES, five minutes before the wrap of
/// its low 32 bits).
pub fn update_jiffies(cx: &mut Cx) {
    let jiffies = jiffies(cx);
    let at = cx.data.jiffies;
    if at != 0 {
        let _ = cx.w64(at, jiffies);
    }
}

/// The value of `jiffies`.
pub fn jiffies(cx: &Cx) -> u64 {
    u64::from((-300i32 * 250) as u32) + cx.clock.now / JIFFY
}

/// Takes the next due event off the queue.
pub(crate) fn pop_due(cx: &mut Cx) -> Option<(Fire, u64, u64)> {
    if !due(cx) {
        return None;
    }
    cx.clock.events.pop_first().map(|(_, what)| what)
}
