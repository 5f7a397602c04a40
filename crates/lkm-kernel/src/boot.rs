//! Making a kernel: options, layouts, per-CPU area, symbols, the interrupt task.

use crate::layout::{Offsets, Types};
use crate::profile::Profile;
use crate::{Cx, Kernel, data, sched, symbols, time, trace};
use lkm_machine::fork::Record;
use lkm_trace::{Event, Site, TaskKind};
use std::rc::Rc;

/// What a kernel is asked to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// uname -r.
    pub release: String,
    /// The vermagic that modules must have; None takes any.
    pub vermagic: Option<String>,
    /// CRCs of the kernel's exports, when a Module.symvers is at hand.
    pub crcs: Option<Rc<std::collections::BTreeMap<String, u32>>>,
    /// module_blacklist= of the command line.
    pub blacklist: String,
    /// module.sig_enforce.
    pub sig_enforce: bool,
    /// Appended signatures count as good.
    pub trusted_signatures: bool,
    /// CONFIG_MODULE_FORCE_LOAD.
    pub force_load: bool,
    /// CONFIG_MODULE_FORCE_UNLOAD.
    pub force_unload: bool,
    /// Names that no list has are answered and counted as unknown, instead of failing the load.
    pub unknown_symbols: bool,
    /// A driver finds the device that its table names first.
    pub probe: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            release: "6.1.0".into(),
            vermagic: None,
            crcs: None,
            blacklist: String::new(),
            sig_enforce: false,
            trusted_signatures: true,
            force_load: true,
            force_unload: true,
            unknown_symbols: false,
            probe: false,
        }
    }
}

impl Options {
    /// The CRC of a kernel export, if known.
    pub fn crc_of(&self, name: &str) -> Option<u32> {
        self.crcs.as_ref()?.get(name).copied()
    }
}

/// Makes the kernel and its machine, before any module code exists. At most once in a process.
pub fn boot(profile: Profile, options: Options, types: &dyn Types) -> Result<Cx, String> {
    let off = Offsets::new(types)?;
    let state = Kernel {
        profile,
        options,
        off,
        recorder: trace::Recorder::default(),
        sched: sched::State::default(),
        identity: sched::identity::State::default(),
        sleepers: sched::wait::Sleepers::default(),
        clock: time::Clock::default(),
        printk: crate::printk::State::default(),
        symbols: symbols::State::default(),
        data: data::State::default(),
        guard: crate::mm::guard::State::default(),
        slab: crate::mm::slab::State::default(),
        swnode: crate::swnode::State::default(),
        pages: crate::mm::pages::State::default(),
        percpu: crate::mm::percpu::State::default(),
        mempool: crate::mm::mempool::State::default(),
        random: crate::lib::random::State::default(),
        xarray: crate::lib::xarray::State::default(),
        kthread: crate::kthread::State::default(),
        modules: crate::module::State::default(),
        traps: crate::traps::State::default(),
        uaccess: crate::mm::uaccess::State::default(),
        files: crate::fs::files::State::default(),
        open: crate::fs::open::State::default(),
        mmaps: crate::mm::page_table::State::default(),
        chrdev: crate::fs::chrdev::State::default(),
        sysfs: crate::fs::sysfs::State::default(),
        proc: crate::fs::proc::State::default(),
        seq: crate::fs::seq_file::State::default(),
        debugfs: crate::fs::debugfs::State::default(),
        superblocks: Default::default(),
        filesystems: crate::fs::filesystems::State::default(),
        kobject: crate::drivers::kobject::State::default(),
        devices: crate::drivers::core::State::default(),
        classes: crate::drivers::class::State::default(),
        buses: crate::drivers::bus::State::default(),
        devres: crate::drivers::devres::State::default(),
        platform: crate::drivers::platform::State::default(),
        fake: crate::drivers::fake::State::default(),
        pci: crate::drivers::pci::State::default(),
        i2c: crate::drivers::i2c::State::default(),
        dma: crate::mm::dma::State::default(),
        misc: crate::drivers::misc::State::default(),
        input: crate::drivers::input::State::default(),
        resources: crate::drivers::resource::State::default(),
        kmod: crate::module::kmod::State::default(),
        umh: crate::umh::State::default(),
        net: crate::net::State::default(),
        registered: Vec::new(),
        audit: crate::audit::State::default(),
        locks: crate::locking::State::default(),
        timers: crate::time::timer::State::default(),
        hrtimers: crate::time::hrtimer::State::default(),
        workqueues: crate::workqueue::State::default(),
        tasklets: crate::irq::tasklet::State::default(),
        irqs: crate::irq::State::default(),
        rcu: crate::rcu::State::default(),
        srcu: crate::rcu::srcu::State::default(),
        notifiers: crate::notifier::State::default(),
        bits: crate::sched::bitwait::State::default(),
        jobs: crate::workqueue::asynchronous::State::default(),
        foreign: crate::drivers::foreign::State::default(),
        tracepoints: crate::tracepoint::State::default(),
        sysctl: crate::fs::sysctl::State::default(),
        choices: crate::choice::State::default(),
    };
    let mut cx = lkm_machine::start(state, symbols::SLOTS).map_err(|e| e.to_string())?;
    data::boot(&mut cx)?;
    symbols::boot(&mut cx)?;
    sched::identity::boot(&mut cx).map_err(|_| "no room for what tasks share")?;
    Ok(cx)
}

/// Begins a run in the child: from now on events are recorded.
pub fn begin(cx: &mut Cx, record: Record, mode: &str) -> Result<(), String> {
    cx.recorder = trace::Recorder::new(record);
    let profile = cx.profile.name.to_owned();
    trace::emit(
        cx,
        Event::Start {
            profile,
            mode: mode.into(),
        },
    );
    crate::choice::begin(cx);
    // Tid 0 is the idle task, in whose place interrupts run.
    let body: sched::Body = Box::new(|cx| {
        loop {
            cx.sched.in_irq = true;
            while let Some((fire, a, b)) = time::pop_due(cx) {
                crate::context::add(cx, crate::context::SOFTIRQ as i32);
                if let Err(stop) = fire(cx, a, b) {
                    let tid = sched::current_tid(cx);
                    let slot = cx.sched.tasks[tid as usize].frames.last().map(|f| f.slot);
                    crate::traps::kernel_oops(cx, stop, slot);
                }
                crate::context::add(cx, -(crate::context::SOFTIRQ as i32));
            }
            cx.sched.in_irq = false;
            cx.switch_to(0);
        }
    });
    let made = sched::new_task(
        cx,
        "swapper/0",
        TaskKind::Interrupt,
        0,
        Site::default(),
        body,
    );
    match made {
        Ok(Some(tid)) => {
            cx.sched.irq = Some(tid);
            Ok(())
        }
        _ => Err("the interrupt task could not be made".into()),
    }
}
