//! The lab's kernel: what modules call, laid out as Linux is. It is a model, in safe code: guest memory is reached
//! through checked accessors, and no borrow of its state can live across a call into a module (see [`Cx`]).

#![forbid(unsafe_code)]

pub mod abi;
mod audit;
mod boot;
mod choice;
pub mod context;
mod crypto;
mod data;
pub mod drivers;
pub mod exports;
mod fork;
pub mod fs;
pub mod hash;
mod irq;
mod jump_label;
pub mod kthread;
mod kthread_worker;
pub mod layout;
mod legacy;
#[path = "lib/mod.rs"]
mod lib;
pub mod locking;
pub mod mm;
pub mod module;
pub mod net;
mod notifier;
pub mod printk;
pub mod profile;
mod rcu;
pub mod rehearse;
mod restore;
pub mod sched;
mod stub;
mod swnode;
pub mod symbols;
mod table;
pub mod time;
pub mod trace;
mod tracepoint;
mod traps;
pub mod umh;
mod unwind;
mod util;
mod workqueue;

use abi::Call;
use layout::Offsets;
use lkm_machine::{TaskId, Trap, World};
use lkm_trace::{Class, Event};
use profile::Profile;

pub use boot::{Options, begin, boot};

/// What kernel code holds: the state, guest memory, calls into the guest.
pub type Cx = lkm_machine::Cx<Kernel>;

/// The state of the kernel: one field for each subsystem.
pub struct Kernel {
    /// Which kernel's rules.
    pub profile: Profile,
    /// What was asked for.
    pub options: Options,
    /// Offsets of members that both sides touch.
    pub off: Offsets,
    recorder: trace::Recorder,
    /// Tasks and the run queue.
    pub sched: sched::State,
    sleepers: sched::wait::Sleepers,
    /// Virtual time.
    pub clock: time::Clock,
    /// The log.
    pub printk: printk::State,
    symbols: symbols::State,
    data: data::State,
    guard: mm::guard::State,
    slab: mm::slab::State,
    swnode: swnode::State,
    pages: mm::pages::State,
    percpu: mm::percpu::State,
    mempool: mm::mempool::State,
    random: lib::random::State,
    xarray: lib::xarray::State,
    kthread: kthread::State,
    /// The module subsystem.
    pub modules: module::State,
    traps: traps::State,
    uaccess: mm::uaccess::State,
    files: fs::files::State,
    open: fs::open::State,
    mmaps: mm::page_table::State,
    chrdev: fs::chrdev::State,
    sysfs: fs::sysfs::State,
    proc: fs::proc::State,
    seq: fs::seq_file::State,
    debugfs: fs::debugfs::State,
    filesystems: fs::filesystems::State,
    superblocks: fs::superblock::State,
    kobject: drivers::kobject::State,
    devices: drivers::core::State,
    classes: drivers::class::State,
    buses: drivers::bus::State,
    devres: drivers::devres::State,
    platform: drivers::platform::State,
    identity: sched::identity::State,
    fake: drivers::fake::State,
    pci: drivers::pci::State,
    i2c: drivers::i2c::State,
    dma: mm::dma::State,
    misc: drivers::misc::State,
    input: drivers::input::State,
    resources: drivers::resource::State,
    /// request_module.
    pub kmod: module::kmod::State,
    /// Programs that the kernel starts.
    pub umh: umh::State,
    net: net::State,
    registered: Vec<trace::Registered>,
    audit: audit::State,
    locks: locking::State,
    timers: time::timer::State,
    hrtimers: time::hrtimer::State,
    workqueues: workqueue::State,
    tasklets: irq::tasklet::State,
    irqs: irq::State,
    rcu: rcu::State,
    srcu: rcu::srcu::State,
    notifiers: notifier::State,
    bits: sched::bitwait::State,
    jobs: workqueue::asynchronous::State,
    foreign: drivers::foreign::State,
    tracepoints: tracepoint::State,
    sysctl: fs::sysctl::State,
    choices: choice::State,
}

/// Calls of one function in a run after which it counts as an endless loop.
const MAX_CALLS: u64 = 50_000_000;
/// The same for a function that is only stubbed: nothing such a loop waits for will ever happen.
const MAX_STUB_CALLS: u64 = 100_000;

impl World for Kernel {
    fn gate(cx: &mut Cx, slot: u32, frame: u64) -> u64 {
        let call = match Call::read(cx, slot, frame) {
            Ok(call) => call,
            Err(fault) => traps::kernel_oops(cx, fault.into(), Some(slot)),
        };
        let Some(tid) = sched::current(cx) else {
            return 0;
        };
        // A tail call returns to the kernel: the instruction that made it is not known.
        let (ret, place) = if cx.is_call_return(call.ret) {
            (sched::TAIL_CALL, tail_caller(cx, frame + 64))
        } else {
            (call.ret, call.ret)
        };
        cx.sched.tasks[tid as usize].frames.push(sched::Frame {
            slot,
            frame,
            ret,
            place,
        });
        let wakes = cx.sched.wakes;
        let result = module::words::check(cx).and_then(|()| enter(cx, &call));
        match result {
            Ok(value) => {
                choice::preempt_point(cx, cx.sched.wakes != wakes);
                if let Some(tid) = sched::current(cx) {
                    cx.sched.tasks[tid as usize].frames.pop();
                }
                value
            }
            Err(stop) => traps::kernel_oops(cx, stop, Some(slot)),
        }
    }

    fn trap(cx: &mut Cx, trap: &mut Trap) {
        traps::handle(cx, trap);
    }

    fn task(cx: &mut Cx, task: TaskId) {
        sched::task_body(cx, task);
    }
}

/// The place of a call that returns to the kernel: behind the first byte of the function that the kernel had called,
/// which stands at `above` the return address.
fn tail_caller(cx: &Cx, above: u64) -> u64 {
    let function = cx.r64(above).unwrap_or(0);
    match module::find_by_addr(cx, function) {
        Some(index) if module::is_text(cx, index, function) => function + 1,
        _ => sched::TAIL_CALL,
    }
}

/// One call: counted, checked and recorded by its declaration, and answered.
fn enter(cx: &mut Cx, call: &Call) -> abi::R {
    let Some(slot) = cx.symbols.slots.get_mut(call.slot as usize) else {
        return Ok(0);
    };
    slot.calls += 1;
    let calls = slot.calls;
    let answer = slot.answer;
    if trace::full(cx) {
        // Nothing that happens from here on could be told: the run is over.
        loop {
            cx.switch_to(0);
        }
    }
    cx.traps.calls += 1;
    if calls == 1 {
        trace::emit(
            cx,
            Event::Called {
                function: answer.name().into(),
                class: answer.class(),
            },
        );
    }
    let endless = match answer {
        symbols::Answer::Row(_) | symbols::Answer::Leaf(_) => MAX_CALLS,
        _ => MAX_STUB_CALLS,
    };
    if calls > endless {
        traps::too_many_calls(cx, answer.name());
    }
    if cx.sched.eager != 0 {
        sched::eager::breathe(cx, call)?;
    }
    match answer {
        symbols::Answer::Row(row) => {
            let may_sleep = match row.sleeps {
                table::Sleeps::No => false,
                table::Sleeps::May => true,
                // __GFP_DIRECT_RECLAIM: the allocation may wait for memory.
                table::Sleeps::Gfp(arg) => call.arg(cx, arg as usize)? & 0x400 != 0,
            };
            if may_sleep {
                context::may_sleep(cx, row.name);
            }
            let value = match choice::fails(cx, row, call)? {
                Some(failure) => failure,
                None => (row.fun)(cx, call)?,
            };
            if row.acquires.is_some() || row.releases.is_some() {
                record(cx, row, call, value)?;
            }
            Ok(value)
        }
        symbols::Answer::Stub(name, proto) => stub::answer(cx, call, name, proto),
        symbols::Answer::Unknown(name) => stub::answer(
            cx,
            call,
            name,
            symbols::Proto {
                ret: symbols::Ret::Int,
                size: 0,
            },
        ),
        symbols::Answer::Leaf(_) => Ok(0),
    }
}

/// Records what a call acquired and released, as its declaration says.
fn record(cx: &mut Cx, row: &'static table::Row, call: &Call, value: u64) -> abi::R<()> {
    let key_of = |cx: &Cx, key: table::Key| match key {
        table::Key::Ret => Ok(value),
        table::Key::Arg(n) => call.arg(cx, n as usize),
    };
    if let Some(acquire) = row.acquires {
        let happened = match acquire.when {
            table::When::Always => true,
            table::When::Zero => value as i32 == 0,
            table::When::NotNegative => value as i32 >= 0,
            table::When::Pointer => value > 16 && !abi::is_err(value),
            table::When::NonZero => value != 0,
        };
        if happened {
            let key = key_of(cx, acquire.key)?;
            let detail = match acquire.name {
                255 => String::new(),
                arg => cx.text(call.arg(cx, arg as usize)?).unwrap_or_default(),
            };
            let size = mm::guard::block_at(cx, key).map_or(0, |b| b.size);
            let (tid, site) = (sched::current_tid(cx), trace::site(cx));
            let class: Class = row.class;
            let event = Event::Acquire {
                kind: acquire.kind.into(),
                key,
                size,
                detail,
                function: row.name.into(),
                class,
                tid,
                site,
            };
            trace::emit(cx, event);
        } else if abi::is_err(value) {
            let (tid, site) = (sched::current_tid(cx), trace::site(cx));
            trace::emit(
                cx,
                Event::ErrPtr {
                    function: row.name.into(),
                    value: value as i64,
                    tid,
                    site,
                },
            );
        }
    }
    if let Some((kind, key)) = row.releases {
        let key = key_of(cx, key)?;
        if key != 0 {
            let (tid, site) = (sched::current_tid(cx), trace::site(cx));
            trace::emit(
                cx,
                Event::Release {
                    kind: kind.into(),
                    key,
                    function: row.name.into(),
                    tid,
                    site,
                },
            );
        }
    }
    Ok(())
}

/// The table of kernel functions: name, how well it is answered, what it acquires or releases, and the test that
/// shows its behaviour; sorted by name.
pub fn coverage() -> String {
    // Where a name is declared twice the last row is the one that answers.
    let mut lines: std::collections::BTreeMap<&str, (Class, String)> = Default::default();
    for row in table::all().iter().flat_map(|rows| rows.iter()) {
        let class = table::conformed::class(row.name, row.class);
        let acquires = row
            .acquires
            .map_or(String::new(), |a| format!("\tacquires {}", a.kind));
        let releases = row
            .releases
            .map_or(String::new(), |(kind, _)| format!("\treleases {kind}"));
        lines.insert(row.name, (class, acquires + &releases));
    }
    for leaf in lkm_machine::leaf::all() {
        for name in leaf.names {
            let class = table::conformed::class(name, Class::Behaves);
            lines.insert(name, (class, "\tnative".into()));
        }
    }
    // What the models themselves hand out as callbacks is no export of any kernel.
    lines.retain(|name, _| !name.starts_with("__lkm_"));
    let (mut behave, mut modelled, mut ledger) = (0, 0, 0);
    let mut out = String::new();
    for (name, (class, rest)) in &lines {
        match class {
            Class::Behaves => behave += 1,
            Class::Ledger => ledger += 1,
            _ => modelled += 1,
        }
        let shown = match table::conformed::shown_by(name) {
            Some(test) if *class == Class::Behaves => format!("\tshown by {test}"),
            _ => String::new(),
        };
        out.push_str(&format!("{name}\t{}{rest}{shown}\n", class.name()));
    }
    out.push_str(&format!(
        "{} functions: {behave} behave, {modelled} are modelled, {ledger} are in the ledger\n",
        lines.len()
    ));
    out
}
