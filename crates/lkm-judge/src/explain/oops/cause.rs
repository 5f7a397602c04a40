//! The catalogue of shapes: what the chain of calls, the address and the state say about the cause.

use super::State;
use super::left::{bare, runs_through};
use super::parse::{Access, Kind, Oops};

mod freed;

use freed::freed_module;

/// A cause, and how it was recognised.
pub struct Found {
    pub rule: Option<&'static str>,
    pub cause: String,
    pub evidence: Vec<String>,
}

fn found(rule: &'static str, cause: impl Into<String>, evidence: &[String]) -> Option<Found> {
    Some(Found {
        rule: Some(rule),
        cause: cause.into(),
        evidence: evidence.to_vec(),
    })
}

/// What is known when a cause is looked for.
struct Scene<'a> {
    oops: &'a Oops,
    text: &'a str,
    module: &'a str,
    state: Option<State>,
}

impl Scene<'_> {
    fn through(&self, names: &[&str]) -> bool {
        runs_through(self.oops, names)
    }

    fn at(&self) -> &str {
        self.oops.at.as_ref().map_or("", |f| bare(&f.symbol))
    }

    fn module_name(&self) -> &str {
        if self.module.is_empty() {
            "a module"
        } else {
            self.module
        }
    }

    /// The nearest function of the module, or words for it.
    fn culprit(&self) -> String {
        let own = self
            .oops
            .at
            .iter()
            .chain(self.oops.frames.iter().filter(|f| f.sure))
            .find(|f| !f.module.is_empty());
        match own {
            Some(f) => format!("{} of {}", f.symbol, f.module),
            None => match self.state {
                Some(State::Unloading) => format!("the exit of {}", self.module_name()),
                Some(State::Loading) => format!("the init of {}", self.module_name()),
                _ => self.module_name().to_owned(),
            },
        }
    }
}

type Shape = fn(&Scene<'_>) -> Option<Found>;

/// From the most telling shape to the least.
const SHAPES: &[Shape] = &[
    said_in_words,
    stopped_thread,
    error_pointer,
    freed_module,
    hung,
    poison,
    stack,
    null,
    bug,
    wild,
];

/// The first shape that fits.
pub fn find(oops: &Oops, text: &str, module: &str, state: Option<State>) -> Found {
    let scene = Scene {
        oops,
        text,
        module,
        state,
    };
    SHAPES
        .iter()
        .find_map(|shape| shape(&scene))
        .unwrap_or_else(|| Found {
            rule: (oops.kind != Kind::Warning && oops.kind != Kind::Hung).then_some("oops"),
            cause: format!(
                "it happened in {}; the trace has none of the known shapes",
                scene.culprit()
            ),
            evidence: Vec::new(),
        })
}

/// Reports that name their cause themselves: KASAN, lockdep, the scheduler's and the slab's checks.
fn said_in_words(s: &Scene<'_>) -> Option<Found> {
    const WORDS: &[(&str, &str, &str)] = &[
        (
            "KASAN: slab-use-after-free",
            "use-after-free",
            "freed memory was used",
        ),
        (
            "KASAN: use-after-free",
            "use-after-free",
            "freed memory was used",
        ),
        (
            "KASAN: slab-out-of-bounds",
            "out-of-bounds",
            "an access beyond an object",
        ),
        (
            "KASAN: global-out-of-bounds",
            "out-of-bounds",
            "an access beyond a variable",
        ),
        (
            "KASAN: stack-out-of-bounds",
            "out-of-bounds",
            "an access beyond a variable on the stack",
        ),
        (
            "KASAN: vmalloc-out-of-bounds",
            "out-of-bounds",
            "an access beyond a vmalloc area",
        ),
        (
            "KASAN: double-free",
            "double-free",
            "memory was freed twice",
        ),
        (
            "double-free or invalid-free",
            "double-free",
            "memory was freed twice, or was never allocated",
        ),
        (
            "BUG: sleeping function called from invalid context",
            "sleep-in-atomic",
            "a function that may sleep was called in atomic context",
        ),
        (
            "BUG: scheduling while atomic",
            "sleep-in-atomic",
            "a task slept in atomic context",
        ),
        (
            "possible circular locking dependency",
            "lock-order",
            "locks are taken in both orders",
        ),
        (
            "possible recursive locking",
            "mutex-misuse",
            "a lock is taken that the task holds already",
        ),
        (
            "bad unlock balance detected",
            "mutex-misuse",
            "a lock was released that the task does not hold",
        ),
        (
            "held lock freed",
            "mutex-misuse",
            "memory was freed with a held lock in it",
        ),
    ];
    let head = &s.oops.headline;
    let (_, rule, cause) = WORDS.iter().find(|(mark, ..)| head.contains(mark))?;
    found(
        rule,
        format!("{cause}, in {}", s.culprit()),
        &[format!("the kernel says so: \"{}\"", head.trim())],
    )
}

/// kthread_stop on a task that is no more: the release of a task structure that was released before.
fn stopped_thread(s: &Scene<'_>) -> Option<Found> {
    let stop = s.through(&["kthread_stop", "kthread_stop_put"]);
    if !stop || s.oops.kind == Kind::Hung {
        return None;
    }
    let address = s.oops.address;
    if address.is_some_and(|a| error_value(a).is_some()) && s.at() == "kthread_stop" {
        return None;
    }
    let released = s.through(&[
        "exit_creds",
        "__put_task_struct",
        "put_task_struct",
        "delayed_put_task_struct",
        "put_cred",
        "__put_cred",
    ]);
    let counted = s.through(&[
        "refcount_warn_saturate",
        "refcount_inc_checked",
        "refcount_add_checked",
    ]) || s.text.contains("refcount_t: addition on 0");
    let inside = s.at() == "kthread_stop"
        || s.at().starts_with("kthread")
        || s.through(&[
            "wake_up_process",
            "try_to_wake_up",
            "kthread_unpark",
            "wait_for_completion",
        ]);
    if !(released || counted || inside) {
        return None;
    }
    let mut evidence = vec!["kthread_stop() is in the chain".to_owned()];
    if released {
        evidence.push(format!(
            "it ended in {}: kthread_stop took a reference on a task structure whose count was already 0, and putting it released the structure a second time",
            s.at()
        ));
        if address.is_some_and(|a| a < 4096) {
            evidence.push(
                "the pointer that was followed is NULL because the first release had cleared it"
                    .to_owned(),
            );
        }
    }
    if counted {
        evidence.push(
            "\"refcount_t: addition on 0\": the task structure had been released before".to_owned(),
        );
    }
    if s.state == Some(State::Unloading) && !s.oops.frames.iter().any(|f| !f.module.is_empty()) {
        evidence.push(format!(
            "no function of {} stands between delete_module and kthread_stop: the call is the last thing its exit does, so the compiler made it a jump (tail call)",
            s.module_name()
        ));
    }
    found(
        "kthread-stop-after-exit",
        format!(
            "{} called kthread_stop() for a kernel thread that had already ended. A thread that returns by itself is reaped at once, and its task structure freed: the saved pointer no longer means anything",
            s.culprit()
        ),
        &evidence,
    )
}

/// The errno that an address near the top of memory stands for, 32 and 64 bit.
fn error_value(address: u64) -> Option<i64> {
    let wide = (address as i64).wrapping_neg();
    if (1..4096).contains(&wide) {
        return Some(-wide);
    }
    let narrow = i64::from((address as u32 as i32).wrapping_neg());
    (address <= u64::from(u32::MAX) && (1..4096).contains(&narrow)).then_some(-narrow)
}

fn error_pointer(s: &Scene<'_>) -> Option<Found> {
    let value = error_value(s.oops.address?)?;
    found(
        "err-ptr-unchecked",
        format!(
            "{} used an error pointer as a pointer: the address is {value}, or a field behind it. A function that answers ERR_PTR() failed, and its answer was tested for NULL or not at all",
            s.culprit()
        ),
        &[format!(
            "the address {:#x} lies in the last page, where only error values are",
            s.oops.address?
        )],
    )
}

fn hung(s: &Scene<'_>) -> Option<Found> {
    if s.oops.kind != Kind::Hung {
        return None;
    }
    if s.oops.headline.contains("soft lockup") {
        return found(
            "livelock",
            format!(
                "{} runs without ever giving the CPU away, in {}",
                s.oops.comm,
                s.culprit()
            ),
            &["the watchdog saw no other task run".to_owned()],
        );
    }
    let unloading = s.through(&["delete_module"]);
    let on_lock = s.through(&[
        "__mutex_lock",
        "mutex_lock",
        "__mutex_lock_slowpath",
        "rwsem_down_write_slowpath",
        "rwsem_down_read_slowpath",
        "down_write",
        "down_read",
    ]);
    let (rule, cause) = if unloading && s.through(&["kthread_stop"]) {
        (
            "unload-hangs",
            format!(
                "{} waits in kthread_stop for a thread that does not end: it never tests kthread_should_stop(), or waits for what {} holds",
                s.culprit(),
                s.oops.comm
            ),
        )
    } else if unloading
        && s.through(&[
            "flush_work",
            "__flush_work",
            "__cancel_work_timer",
            "cancel_work_sync",
            "drain_workqueue",
            "destroy_workqueue",
            "__flush_workqueue",
        ])
    {
        (
            "unload-hangs",
            format!(
                "{} waits for a work item that does not end, or that waits for a lock the unload holds",
                s.culprit()
            ),
        )
    } else if unloading {
        (
            "unload-hangs",
            format!("{} waits for something that does not come", s.culprit()),
        )
    } else if on_lock {
        (
            "deadlock",
            format!(
                "{} waits for a lock whose holder never releases it: it waits too, or has died with it",
                s.oops.comm
            ),
        )
    } else {
        return None;
    };
    found(rule, cause, &[])
}

/// Values that the kernel writes where nothing may be read any more.
fn poison(s: &Scene<'_>) -> Option<Found> {
    let a = s.oops.address?;
    let list = [
        0xdead_0000_0000_0100,
        0xdead_0000_0000_0122,
        0x100100,
        0x200200,
    ];
    if list.iter().any(|p| a.wrapping_sub(*p) < 0x40) {
        return found(
            "use-after-free",
            format!(
                "{} used a list entry that had been deleted before: list_del() twice, or a walk over a list whose entries are deleted on the way",
                s.culprit()
            ),
            &["the address is the value that list_del() leaves in an entry".to_owned()],
        );
    }
    let repeated = |byte: u8| {
        let bytes = a.to_be_bytes();
        bytes.iter().filter(|b| **b == byte).count() >= if a > u64::from(u32::MAX) { 6 } else { 3 }
    };
    if repeated(0x6b) {
        return found(
            "use-after-free",
            format!("{} followed a pointer out of freed memory", s.culprit()),
            &["the address is the slab's poison for freed objects (0x6b)".to_owned()],
        );
    }
    if repeated(0x5a) {
        return found(
            "wild-access",
            format!(
                "{} followed a pointer out of memory that was never written",
                s.culprit()
            ),
            &["the address is the slab's poison for new objects (0x5a)".to_owned()],
        );
    }
    None
}

fn stack(s: &Scene<'_>) -> Option<Found> {
    let head = &s.oops.headline;
    if !(head.contains("double fault") || head.contains("stack guard page")) {
        return None;
    }
    found(
        "stack-overflow",
        format!("the kernel stack was exhausted in {}", s.culprit()),
        &[],
    )
}

/// String and memory functions that follow the pointers they are given.
const PRIMITIVES: &[&str] = &[
    "strcpy",
    "strncpy",
    "strlcpy",
    "strscpy",
    "strlen",
    "strnlen",
    "strcmp",
    "strncmp",
    "strcat",
    "memcpy",
    "__memcpy",
    "memset",
    "__memset",
    "memmove",
    "memcmp",
    "vsnprintf",
    "sprintf",
    "kstrdup",
    "memcpy_erms",
];

fn null(s: &Scene<'_>) -> Option<Found> {
    let a = s
        .oops
        .address
        .filter(|a| *a < 4096 && s.oops.kind == Kind::Fault)?;
    let did = match s.oops.access {
        Some(Access::Write) => "wrote through",
        Some(Access::Fetch) => "called",
        _ => "read through",
    };
    let what = if s.oops.access == Some(Access::Fetch) {
        "a function pointer that is NULL (an operation that was never set, or a weak symbol that nobody defines)".to_owned()
    } else if a == 0 {
        "a NULL pointer".to_owned()
    } else {
        format!("a NULL pointer to a structure, at its field at offset {a:#x}")
    };
    let mut evidence = Vec::new();
    if PRIMITIVES.contains(&s.at()) {
        evidence.push(format!(
            "{}() followed a pointer that it was given: its caller gave NULL",
            s.at()
        ));
    }
    match s.state {
        Some(State::Loading) => evidence.push("it happened inside init".to_owned()),
        Some(State::Unloading) => evidence.push("it happened inside exit: something that init did not make, or that is gone already, is used".to_owned()),
        _ => {}
    }
    found("oops", format!("{} {did} {what}", s.culprit()), &evidence)
}

fn bug(s: &Scene<'_>) -> Option<Found> {
    if s.oops.kind != Kind::Bug {
        return None;
    }
    if s.through(&["kfree", "__slab_free", "kmem_cache_free", "slab_free"])
        || s.oops.headline.contains("mm/slub.c")
        || s.oops.headline.contains("mm/slab.c")
    {
        return found(
            "double-free",
            format!(
                "{} freed what the slab says is no object in use: freed twice, or never allocated",
                s.culprit()
            ),
            &[],
        );
    }
    if s.oops.headline.contains("kernel/module")
        && s.through(&["delete_module", "module_put", "try_to_force_load"])
    {
        return found(
            "module-ref-underflow",
            "more references on the module were put than taken",
            &[],
        );
    }
    found(
        "oops",
        format!(
            "{} ran into a BUG(): a condition that its author held to be impossible",
            s.culprit()
        ),
        &[],
    )
}

fn wild(s: &Scene<'_>) -> Option<Found> {
    if !matches!(s.oops.kind, Kind::Fault | Kind::Protection) {
        return None;
    }
    let a = s.oops.address;
    let shown = a.map_or(String::new(), |a| format!(" {a:#x}"));
    found(
        "wild-access",
        format!(
            "{} used the address{shown}, where nothing is: the pointer was freed and its memory reused, overwritten, or never set",
            s.culprit()
        ),
        &[],
    )
}
