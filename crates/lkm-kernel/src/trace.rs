//! Recording: every observation of the kernel goes through here, with the place it was made at.

use crate::hash::Set;
use crate::{Cx, sched};
use lkm_machine::fork::Record;
use lkm_trace::{Event, Site};

/// Where events go.
#[derive(Default)]
pub struct Recorder {
    record: Option<Record>,
    scratch: Vec<u8>,
    /// Bytes recorded.
    used: usize,
    full: bool,
    told: Set<(&'static str, u64)>,
    stubs: u32,
}

impl Recorder {
    /// A recorder that writes to the record shared with the parent.
    pub fn new(record: Record) -> Recorder {
        Recorder {
            record: Some(record),
            ..Recorder::default()
        }
    }
}

/// A registration that stands: the kernel's own short list, for a rescue.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Kind, as the table has it.
    pub kind: String,
    /// Key.
    pub key: u64,
    /// The function that made it.
    pub function: String,
    /// Where in the guest.
    pub pc: u64,
}

/// Keeps the list of registrations that a rescue can take back.
fn keep(cx: &mut Cx, event: &Event) {
    match event {
        Event::Acquire {
            kind,
            key,
            function,
            site,
            ..
        } if crate::module::rescue::undo(kind).is_some() => {
            let entry = Registered {
                kind: kind.clone(),
                key: *key,
                function: function.clone(),
                pc: site.pc,
            };
            cx.registered.push(entry);
        }
        Event::Release { kind, key, .. } => {
            cx.registered.retain(|r| r.key != *key || r.kind != *kind);
        }
        _ => {}
    }
}

/// Bytes of a record that are kept for its end.
const END: usize = 4096;

/// Records an event.
pub fn emit(cx: &mut Cx, event: Event) {
    keep(cx, &event);
    let recorder = &mut cx.recorder;
    if recorder.full && !matches!(event, Event::End { .. } | Event::Asked { .. }) {
        return;
    }
    recorder.scratch.clear();
    lkm_trace::encode(&event, &mut recorder.scratch);
    let used = recorder.used + recorder.scratch.len();
    // What tells of the end has its room.
    let limit = match event {
        Event::End { .. } | Event::Asked { .. } => lkm_trace::MAX_TRACE,
        _ => lkm_trace::MAX_TRACE - END,
    };
    if let Some(record) = &mut recorder.record
        && (used > limit || !record.append(&recorder.scratch))
    {
        recorder.full = true;
        return;
    }
    recorder.used = used;
}

/// The parent has taken what was recorded: there is room again, for events and for task switches.
pub fn taken(cx: &mut Cx) {
    cx.recorder.full = false;
    cx.recorder.stubs = 0;
    cx.sched.switches = 0;
}

/// Whether the record is full: the run is cut short.
pub fn full(cx: &Cx) -> bool {
    cx.recorder.full
}

/// The place in the guest where the running task called into the kernel.
pub fn site(cx: &Cx) -> Site {
    let Some(tid) = sched::current(cx) else {
        return Site::default();
    };
    // A frame of the kernel's own inside a call has no return address in the guest.
    let frames = &cx.sched.tasks[tid as usize].frames;
    let Some(frame) = frames.iter().rev().find(|f| f.ret != 0) else {
        return Site::default();
    };
    Site {
        pc: frame.place,
        stack: crate::unwind::callers(cx, tid),
    }
}

/// Where in the guest the running task called into the kernel, without its callers; 0 for nowhere.
pub(crate) fn call_place(cx: &Cx) -> u64 {
    let frames = sched::current(cx).map(|tid| &cx.sched.tasks[tid as usize].frames);
    let frame = frames.and_then(|f| f.iter().rev().find(|f| f.ret != 0));
    frame.map_or(0, |f| f.place)
}

/// A function of the module's as a place. Places are return addresses: this one is behind its first byte.
pub(crate) fn place(function: u64) -> Site {
    Site {
        pc: function.wrapping_add(1),
        stack: Vec::new(),
    }
}

/// Records that a rule of the kernel's was broken at the current place.
pub fn misuse(cx: &mut Cx, what: &'static str, detail: &str, key: u64, function: &str) {
    let site = site(cx);
    misuse_at(cx, what, detail, key, function, site);
}

/// The same at a place that is no call: a callback that has returned, or who armed what is found.
pub(crate) fn misuse_at(
    cx: &mut Cx,
    what: &'static str,
    detail: &str,
    key: u64,
    function: &str,
    site: Site,
) {
    debug_assert!(
        lkm_trace::misuse::NAMES
            .iter()
            .any(|(name, _)| *name == what),
        "{what} is not in the table"
    );
    let tid = sched::current_tid(cx);
    emit(
        cx,
        Event::Misuse {
            what: what.into(),
            detail: detail.into(),
            key,
            function: function.into(),
            tid,
            site,
        },
    );
}

/// Whether this was told for the running task's current place before; tells it now.
pub fn told(cx: &mut Cx, what: &'static str) -> bool {
    let pc = site(cx).pc;
    !cx.recorder.told.insert((what, pc))
}

/// Records a stub's answer; only so many, since a loop may call one for ever.
pub fn stub(cx: &mut Cx, event: Event) {
    if cx.recorder.stubs < 2000 {
        cx.recorder.stubs += 1;
        emit(cx, event);
    }
}

/// The exported function that the running task called last, or nothing.
pub fn function(cx: &Cx) -> &'static str {
    sched::current(cx)
        .and_then(|tid| cx.sched.tasks[tid as usize].frames.last())
        .and_then(|frame| cx.symbols.slots.get(frame.slot as usize))
        .map_or("", |slot| slot.answer.name())
}

/// Records an acquisition that a row cannot declare: its key is made inside the call.
pub fn acquired(cx: &mut Cx, kind: &str, key: u64, detail: &str) {
    let (tid, site, function) = (sched::current_tid(cx), site(cx), function(cx));
    let event = Event::Acquire {
        kind: kind.into(),
        key,
        size: 0,
        detail: detail.into(),
        function: function.into(),
        class: lkm_trace::Class::Behaves,
        tid,
        site,
    };
    emit(cx, event);
}

/// Records a release that no row declares: an implied one.
pub fn released(cx: &mut Cx, kind: &str, key: u64) {
    let (tid, site, function) = (sched::current_tid(cx), site(cx), function(cx));
    let event = Event::Release {
        kind: kind.into(),
        key,
        function: function.into(),
        tid,
        site,
    };
    emit(cx, event);
}
