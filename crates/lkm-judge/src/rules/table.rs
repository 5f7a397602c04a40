//! The rules' stable ids, with one line of what each means and what to do in general.

/// A rule as the command line knows it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The stable id.
    pub id: &'static str,
    /// What it means, in one line.
    pub title: &'static str,
    /// What to do, in one sentence, where a finding has nothing better.
    pub fix: &'static str,
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule {
        id: "oops",
        title: "module code faulted, and the kernel killed the task",
        fix: "repair the access at this place; no cleanup runs after an oops",
    },
    Rule {
        id: "wedged-module",
        title: "the module can never be unloaded: a dead task is inside its init or exit",
        fix: "repair the fault that killed the task; the running kernel needs a reboot or a forced unload",
    },
    Rule {
        id: "module-pinned",
        title: "after use, something still holds a reference on the module",
        fix: "give back the reference where its holder ends",
    },
    Rule {
        id: "module-ref-underflow",
        title: "more references were put than taken",
        fix: "put a reference only where this code took it",
    },
    Rule {
        id: "left-registered",
        title: "an object is still registered after the module has gone",
        fix: "unregister it in exit, and on every error path of init behind its registration",
    },
    Rule {
        id: "left-running",
        title: "something can still run code of the module after it has gone",
        fix: "stop it and wait for it before exit returns",
    },
    Rule {
        id: "missing-owner",
        title: "an open file or a mount does not hold the module",
        fix: "set .owner = THIS_MODULE",
    },
    Rule {
        id: "self-module-get",
        title: "the module takes a reference on itself where nothing protects it",
        fix: "let the caller take the reference: set .owner, or end the thread with module_put_and_kthread_exit",
    },
    Rule {
        id: "kthread-stop-after-exit",
        title: "kthread_stop on a thread that has ended, without a reference on its task",
        fix: "kthread_create, get_task_struct, wake_up_process; in exit kthread_stop, then put_task_struct; or let the thread run until kthread_should_stop()",
    },
    Rule {
        id: "kthread-stop-twice",
        title: "kthread_stop on a thread that was stopped already",
        fix: "clear the pointer when the thread is stopped, and let one owner stop it",
    },
    Rule {
        id: "unload-hangs",
        title: "rmmod never returns",
        fix: "make what exit waits for come to an end: the thread must test kthread_should_stop() at every wait",
    },
    Rule {
        id: "err-ptr-unchecked",
        title: "an error pointer was used as a pointer",
        fix: "test the answer with IS_ERR(), and take the error from PTR_ERR()",
    },
    Rule {
        id: "init-return-value",
        title: "init returned -1 or a positive value",
        fix: "return 0 or a negative errno",
    },
    Rule {
        id: "init-section-use",
        title: "__init code or data was used after init",
        fix: "take __init or __initdata away from what is used later",
    },
    Rule {
        id: "memory-leak",
        title: "memory is not freed when the module has gone",
        fix: "free it in exit, and on every error path of init behind its allocation",
    },
    Rule {
        id: "double-free",
        title: "memory was freed that was freed before",
        fix: "let one owner free it, and clear the pointer then",
    },
    Rule {
        id: "invalid-free",
        title: "a pointer was freed that no allocator gave",
        fix: "free the pointer that was allocated, with the function that belongs to its allocator",
    },
    Rule {
        id: "use-after-free",
        title: "freed memory was used",
        fix: "end every user of the memory before it is freed, or count its references",
    },
    Rule {
        id: "out-of-bounds",
        title: "an access outside an object",
        fix: "check the index or the length against the object's size",
    },
    Rule {
        id: "wild-access",
        title: "an access to an address that never was an object's",
        fix: "find where the pointer comes from: it is not initialised, or was overwritten",
    },
    Rule {
        id: "stack-overflow",
        title: "the kernel stack was exhausted",
        fix: "move large variables to the heap, and bound the recursion",
    },
    Rule {
        id: "cache-not-empty",
        title: "a slab cache was destroyed with live objects",
        fix: "free every object of the cache before kmem_cache_destroy",
    },
    Rule {
        id: "mutex-misuse",
        title: "a mutex was used against its rules",
        fix: "lock and unlock in the same task, in process context, once",
    },
    Rule {
        id: "lock-order",
        title: "two locks are taken in both orders",
        fix: "take them in one order everywhere",
    },
    Rule {
        id: "sleep-in-atomic",
        title: "a function that may sleep was called where sleeping is not allowed",
        fix: "use the atomic variant (GFP_ATOMIC, trylock), or do it outside of the lock",
    },
    Rule {
        id: "context-imbalance",
        title: "a callback returned with another preemption or interrupt state than it was called with",
        fix: "release on every path what the function takes",
    },
    Rule {
        id: "autoload-runaway",
        title: "request_module is called from what it loads, over and over",
        fix: "do not request a module from the initialisation of what answers the request",
    },
    Rule {
        id: "autoload-deadlock",
        title: "a module's init waits for a module that waits for it",
        fix: "request the module after init, or without waiting",
    },
    Rule {
        id: "autoload-result-ignored",
        title: "what was requested is used although it was not loaded",
        fix: "look again whether the thing is there: 0 does not say so, and a positive result is modprobe's exit status",
    },
    Rule {
        id: "forced-unload",
        title: "another module's state or count was edited, or it was unloaded by force",
        fix: "only as a last rescue, and followed by a reboot",
    },
    Rule {
        id: "dangling-exit",
        title: "a module's exit points into another module that has gone",
        fix: "unload the rescued module before its rescuer",
    },
    Rule {
        id: "livelock",
        title: "one call repeats without end",
        fix: "bound the loop, and let it sleep",
    },
    Rule {
        id: "deadlock",
        title: "tasks wait for each other for ever",
        fix: "take the locks in one order, and do not wait under a lock for what needs it",
    },
    Rule {
        id: "irq-unsafe-lock",
        title: "a spinlock is taken in interrupts, and elsewhere with interrupts on",
        fix: "take it with spin_lock_bh() (a timer or tasklet takes it) or spin_lock_irqsave() (an interrupt handler does) everywhere else",
    },
    Rule {
        id: "list-corruption",
        title: "the neighbours of a list entry do not point to it",
        fix: "delete an entry before its memory is freed or it goes to another list, and guard the list with one lock",
    },
    Rule {
        id: "no-release",
        title: "a device without a release function went",
        fix: "give the device (or its type or class) a release function that frees what the device is in",
    },
    Rule {
        id: "release-unheld",
        title: "something was unregistered that was not registered",
        fix: "undo exactly what succeeded",
    },
    Rule {
        id: "double-register",
        title: "something was registered that is registered already",
        fix: "register it once, or unregister it before",
    },
    Rule {
        id: "refcount-misuse",
        title: "a reference count went below zero or up from zero",
        fix: "pair every get with one put, and never get what may be gone",
    },
    Rule {
        id: "not-initialised",
        title: "an object was used before it was initialised",
        fix: "initialise it before anything can reach it",
    },
    Rule {
        id: "raw-syscall",
        title: "the module executed a system call instruction",
        fix: "kernel code calls kernel functions; a system call from kernel mode is not defined",
    },
];

/// The rule with this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|r| r.id == id)
}

pub(crate) fn fix(id: &str) -> &'static str {
    rule(id).map_or("", |r| r.fix)
}
