//! The names a `Misuse` event may carry in `what`. The child records under these; the judge's rules read them.

/// Every name, with what it means.
pub const NAMES: &[(&str, &str)] = &[
    (
        "double-free",
        "freed memory was freed again; key is the object",
    ),
    (
        "invalid-free",
        "a pointer that was never allocated was freed",
    ),
    (
        "redzone",
        "bytes outside an object were overwritten; key is the object",
    ),
    (
        "cache-not-empty",
        "a slab cache with live objects was destroyed",
    ),
    (
        "sleep-in-atomic",
        "a function that may sleep was called in atomic context",
    ),
    ("schedule-in-atomic", "the task blocked in atomic context"),
    (
        "preempt-imbalance",
        "preempt_count differs after a callback",
    ),
    (
        "rcu-imbalance",
        "a callback returned inside of an RCU read-side critical section",
    ),
    ("irq-imbalance", "interrupts are off after a callback"),
    (
        "lock-held",
        "a callback returned, or a task ended, with a lock held; key is the lock",
    ),
    (
        "unlock-by-other",
        "a mutex was unlocked by a task that is not its owner",
    ),
    ("unlock-unlocked", "a lock that nobody holds was released"),
    ("recursive", "a task locked what it holds already"),
    (
        "uninitialised",
        "a lock, list or object was used before it was initialised",
    ),
    ("freed-held", "memory was freed while a lock in it is held"),
    ("in-atomic", "a mutex was locked in atomic context"),
    (
        "kthread-stop-exited",
        "kthread_stop on a thread whose task structure is gone",
    ),
    (
        "kthread-stop-twice",
        "kthread_stop on a thread already stopped, whose task structure is gone",
    ),
    ("put-underflow", "module_put without a reference"),
    (
        "self-get",
        "a module took a reference on itself; detail says how",
    ),
    (
        "err-ptr-used",
        "an ERR_PTR was passed where a pointer is wanted",
    ),
    (
        "release-unheld",
        "something was unregistered or released that was not held",
    ),
    (
        "overflow",
        "a string function was asked for more bytes than the object has (fortify_panic)",
    ),
    (
        "irq-unsafe",
        "a spinlock is taken in interrupts, and elsewhere with these interrupts on; key is the lock",
    ),
    (
        "list-deleted",
        "a list entry was deleted that was deleted before",
    ),
    (
        "list-corruption",
        "the neighbours of a list entry do not point to it",
    ),
    (
        "no-release",
        "the last reference on an object without a release function was put",
    ),
    (
        "duplicate",
        "something was registered that is registered already",
    ),
    (
        "init-return",
        "init returned -1 or a positive value; detail is the value",
    ),
    ("syscall", "guest code executed a system call instruction"),
    (
        "unrepeatable",
        "guest code executed cpuid, rdrand or the like",
    ),
    ("livelock", "the same code ran for too long without an end"),
    (
        "state-edited",
        "a module's state, count, init, exit or list links were written by hand; key is its struct module",
    ),
    (
        "unload-forced",
        "a module was unloaded with references on it; key is its struct module",
    ),
    ("stack-overflow", "the kernel stack was exhausted"),
    (
        "refcount",
        "a reference count over- or underflowed; detail is the kernel's text",
    ),
    ("double-init", "a live object was initialised again"),
    (
        "active-free",
        "a live timer, work or thread was in freed memory",
    ),
    (
        "name-lost",
        "memory was freed with a live kobject in it, whose name nobody frees now; key is the memory",
    ),
    (
        "mapped-free",
        "memory was freed that a process has mapped by page frame number; detail says who",
    ),
    ("symbol-put", "symbol_put of a symbol that was not got"),
    (
        "missing-owner",
        "a file or mount of a module is open and holds no reference on it",
    ),
    (
        "dangling-exit",
        "a module's exit points into a module that has gone",
    ),
];
