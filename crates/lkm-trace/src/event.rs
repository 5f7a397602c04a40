//! What a run records: one enum of plain observations. Nothing here judges; the rules are lkm-judge's.

use crate::wire::{Malformed, Wire};

/// A place in guest code: the address after the call (or of the fault), and its callers, innermost first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Site {
    /// Address in the guest; 0 when the kernel itself acted.
    pub pc: u64,
    /// Return addresses of the callers, as far as the unwinder could tell; may be empty.
    pub stack: Vec<u64>,
}

impl Wire for Site {
    fn put(&self, out: &mut Vec<u8>) {
        self.pc.put(out);
        self.stack.put(out);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(Site {
            pc: u64::take(bytes)?,
            stack: Vec::take(bytes)?,
        })
    }
}

/// An enumeration stored as one byte, with the names its values have in reports.
macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $var:ident = $num:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $var = $num),+ }
        impl $name {
            /// The name used in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$var => $text),+ }
            }
        }
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) { out.push(*self as u8); }
            fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
                match u8::take(bytes)? { $($num => Ok(Self::$var),)+ _ => Err(Malformed::BadValue) }
            }
        }
    };
}

byte_enum!(
    /// Where in its life a module is when something happens.
    Phase {
        /// From the system call to the start of init.
        Load = 0 "load",
        /// Inside init.
        Init = 1 "init",
        /// Loaded: callbacks, threads, timers.
        Use = 2 "use",
        /// Inside exit.
        Exit = 3 "exit",
        /// After exit has returned, or after a failed load.
        AfterExit = 4 "after-exit",
    }
);

byte_enum!(
    /// How well a kernel function is answered.
    Class {
        /// Modelled, and a conformance test shows it.
        Behaves = 0 "behaves",
        /// A register/unregister row: recorded in the ledger, nothing else.
        Ledger = 1 "ledger",
        /// Answered by its prototype.
        Stubbed = 2 "stubbed",
        /// Not even the prototype is known.
        Unknown = 3 "unknown",
        /// Modelled, but no conformance test shows it yet.
        Modelled = 4 "modelled",
    }
);

byte_enum!(
    /// What a task is.
    TaskKind {
        /// A process in a system call.
        User = 0 "user",
        /// A kernel thread.
        Kthread = 1 "kthread",
        /// A workqueue worker.
        Worker = 2 "worker",
        /// Timer, tasklet, RCU and interrupt context.
        Interrupt = 3 "interrupt",
    }
);

byte_enum!(
    /// What a lock operation was.
    LockOp {
        /// The lock was taken.
        Acquire = 0 "acquire",
        /// The lock was released.
        Release = 1 "release",
        /// A trylock took it (no ordering follows from it).
        TryAcquire = 2 "try-acquire",
        /// The lock was initialised.
        Init = 3 "init",
        /// The memory it is in went away, or it was destroyed.
        Destroy = 4 "destroy",
    }
);

byte_enum!(
    /// How a task ended.
    TaskEnd {
        /// Its function returned.
        Returned = 0 "returned",
        /// It called an exit function of the kernel's.
        Exited = 1 "exited",
        /// An oops killed it.
        Oops = 2 "oops",
        /// A fatal signal killed it.
        Killed = 3 "killed",
    }
);

byte_enum!(
    /// Why a run ended.
    End {
        /// The scenario ran to its end.
        Complete = 0 "complete",
        /// Virtual time or the number of steps ran out.
        Budget = 1 "budget",
        /// The record reached its bound.
        TraceFull = 2 "trace-full",
        /// The lab kernel cannot go on (a panic of the modelled kernel).
        Panic = 3 "panic",
    }
);

/// Declares the events: a tag, a name, typed fields, and their encoding.
macro_rules! events {
    ($($(#[$doc:meta])* $tag:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? })+) => {
        /// One observation of a run.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $name { $($(#[$fdoc])* $field: $ty),* }),+ }
        impl Wire for Event {
            fn put(&self, out: &mut Vec<u8>) {
                match self { $(Event::$name { $($field),* } => { out.push($tag); $($field.put(out);)* })+ }
            }
            fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
                match u8::take(bytes)? {
                    $($tag => Ok(Event::$name { $($field: <$ty as Wire>::take(bytes)?),* }),)+
                    other => Err(Malformed::UnknownEvent(other)),
                }
            }
        }
    };
}

events! {
    /// A run starts.
    1 Start { /** Profile name, as `6.1`. */ profile: String, /** What was run first: `rehearse`, `lab`. */ mode: String }
    /// A module has been placed in memory.
    2 Module { /** Its name. */ name: String, /** Generation: a second load of the name counts up. */ generation: u32,
        /** Address of its struct module. */ this_module: u64,
        /** Every loaded section: name, address, size; init sections as well. */ sections: Vec<(String, u64, u64)> }
    /// A module changed state (0 LIVE, 1 COMING, 2 GOING, 3 UNFORMED), or 255: it is gone.
    3 State { module: String, state: u32 }
    /// The judged module enters a phase of its life.
    4 Phase { module: String, phase: Phase }
    /// A task was made.
    5 Task { tid: u32, pid: u32, comm: String, kind: TaskKind, /** Address of its function, 0 for a process. */ function: u64, site: Site }
    /// Another task runs from now on.
    6 Switch { tid: u32 }
    /// A task has ended.
    7 TaskEnd { tid: u32, how: TaskEnd, /** Its return value. */ value: i64, site: Site }
    /// The last reference to a task structure went.
    8 TaskFreed { tid: u32, site: Site }
    /// A line of the kernel log, without its level prefix; may lack its newline when continued.
    9 Printk { level: u32, text: String, tid: u32 }
    /// Something that must be given back was taken or registered.
    10 Acquire { kind: String, key: u64, size: u64, /** What a reader calls it: a name, a path. */ detail: String, function: String, class: Class, tid: u32, site: Site }
    /// It was given back. A release of what is not held is a `Misuse` as well.
    11 Release { kind: String, key: u64, function: String, tid: u32, site: Site }
    /// The reference count of a module changed; `value` is what lsmod would show after it.
    12 Ref { module: String, delta: i64, value: i64, /** What took or gave it: `init`, `symbol`, `open file`, `symbol_get`, `try_module_get`… */ why: String,
        /** Identity of the reference where it has one (file address, user module), else 0. */ key: u64, holder: String, tid: u32, site: Site }
    /// Code of the guest trapped and the task was killed, or a warning was printed.
    13 Fault { /** `page-fault`, `bug`, `warn`, `general-protection`, `divide`, `invalid-opcode`, `double-fault`, `syscall`. */ kind: String, module: String, phase: Phase, tid: u32,
        /** Faulting instruction. */ pc: u64, /** Faulting address (page faults). */ address: u64, write: bool, exec: bool,
        /** What is known of the address: `null`, `freed slab …`, `guard after …`, `init section of …`. */ about: String,
        /** Key of the object the address belongs or belonged to; 0 when none. */ object: u64,
        /** The kernel function the fault happened in, when not in module text. */ function: String, fatal: bool, site: Site }
    /// A kernel rule was broken; `what` is one of the names in the table of lkm-trace's `misuse` module.
    14 Misuse { what: String, detail: String, key: u64, function: String, tid: u32, site: Site }
    /// A lock was used.
    15 Lock { op: LockOp, /** `mutex`, `spinlock`, `rwlock-read`, `rwlock-write`, `rwsem-read`, `rwsem-write`, `rcu`, `irq`… */ kind: String, key: u64, /** Identity of the lock's class (init site or static address). */ class: u64, tid: u32, site: Site }
    /// A kernel function was called for the first time in this run.
    16 Called { function: String, class: Class }
    /// A stub answered a call (each call, bounded by the writer).
    17 Stub { function: String, answer: u64, /** The argument registers it was called with: an object handed to it may have been given away. */ args: Vec<u64>, tid: u32, site: Site }
    /// The load system call of a module returned (0 or a negative errno).
    18 LoadResult { module: String, errno: i64 }
    /// Init returned.
    19 InitResult { module: String, value: i64 }
    /// `done`, `not-run`, `fault`, `hang`.
    20 ExitResult { module: String, how: String }
    /// delete_module returned (0 or a negative errno).
    21 UnloadResult { module: String, errno: i64 }
    /// Found by the audit after unload or a failed load: something that can still run module code.
    22 Leftover { /** `kthread`, `timer`, `hrtimer`, `work`, `delayed work`, `tasklet`, `irq`, `rcu callback`… */ kind: String, key: u64, /** The function in the module. */ function: u64, detail: String, site: Site }
    /// Nothing can run: a task that waits for ever, and for what.
    23 Blocked { tid: u32, /** Kernel function it sleeps in. */ function: String, detail: String, /** The lock, task or object it waits for; 0 when none. */ on: u64, /** Any signal ends the wait. */ interruptible: bool, /** A fatal signal does. */ killable: bool, site: Site }
    /// A file descriptor table holds a file; recorded when it matters for who pins a module.
    24 File { /** Address of the struct file. */ file: u64, fd: u32, tid: u32, what: String, /** Module pinned by it, or empty. */ module: String, /** `opened`, `inherited`, `closed`. */ how: String, site: Site }
    /// The run ended.
    25 End { how: End, /** Virtual nanoseconds since the start. */ time: u64, detail: String }
    /// Two values were compared where an error pointer matters: an ERR_PTR was returned to a site.
    26 ErrPtr { function: String, value: i64, tid: u32, site: Site }
    /// The symbol name of a kernel function's gate, so that addresses can be told.
    27 Symbol { address: u64, name: String }
    /// A choice was made: what was asked, and the answer (for replay).
    28 Choice { what: String, /** Number of the question, from 0. */ number: u64, answer: u64 }
    /// The judged module called what can fail (each call, bounded by the writer); whether it was made to.
    31 Point { /** Number of the question. */ number: u64, function: String, failed: bool, tid: u32, site: Site }
    /// How many choices the run made, and how many of them were between tasks; at the end.
    32 Asked { asked: u64, switches: u64 }
    /// How many of the cycles of a run of many were found empty by the audit, and the machine's memory restored.
    33 Restored { times: u64 }
    /// A driver was offered a device that stands for hardware: what its probe answered. Both names empty: no driver came for
    /// which the lab could make one.
    34 Probed { driver: String, device: String, answer: i64 }
    /// A variable of the kernel's was bound that nobody initialises here: it reads as zeros.
    30 Data { name: String, address: u64, size: u64 }
    /// request_module was called, and what came of it.
    29 Autoload { name: String, wait: bool, /** Raw result. */ result: i64, tid: u32, site: Site }
    /// A step of a script begins.
    60 Step { /** From 1. */ number: u32, /** The command, as the script has it. */ text: String }
    /// A line that a step leaves in the record.
    61 Output { /** `ret`, `mod`, `log`, `out` or `note` (what only the lab says). */ kind: String, text: String }
}
