//! The declaration table: each kernel function once, with what it acquires or releases, how it can fail and
//! whether it may sleep. Binding, trace, ledger, sleep check and the coverage list all come from here.

pub(crate) mod conformed;
mod devices;
mod ledger;

use crate::Cx;
use crate::abi::{Call, Fun, R};
use lkm_trace::Class;

/// Where the key of an acquired or released object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The returned pointer or number.
    Ret,
    /// Argument n (0 is the first).
    Arg(u8),
}

/// When an acquisition has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always (void functions).
    Always,
    /// When the `int` result is 0.
    Zero,
    /// When the `int` result is not negative.
    NotNegative,
    /// When the returned pointer is neither NULL nor an error pointer.
    Pointer,
    /// When the returned `bool` or count is not 0.
    NonZero,
}

/// Something a function takes that must be given back.
#[derive(Debug, Clone, Copy)]
pub struct Acquire {
    /// Kind of object, as reports name it.
    pub kind: &'static str,
    /// Its key.
    pub key: Key,
    /// When it counts.
    pub when: When,
    /// Argument that holds a NUL-terminated name for reports; 255: none.
    pub name: u8,
}

/// How a function fails when the fault sweep makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// It cannot.
    No,
    /// It returns NULL.
    Null,
    /// It returns this errno, negative.
    Errno(i32),
    /// It returns this errno as an error pointer.
    ErrPtr(i32),
    /// It returns false or 0.
    False,
}

/// Whether a function may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleeps {
    /// Never.
    No,
    /// It may: calling it in atomic context is a bug.
    May,
    /// It may if the GFP flags in argument n allow direct reclaim.
    Gfp(u8),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Exported name.
    pub name: &'static str,
    /// What answers a call.
    pub fun: Fun,
    /// How well.
    pub class: Class,
    /// What it takes.
    pub acquires: Option<Acquire>,
    /// What it gives back: kind and key.
    pub releases: Option<(&'static str, Key)>,
    /// How it can fail.
    pub fails: Fails,
    /// What it has done before it can fail, when its callers rely on that; false: this call cannot fail.
    pub before: Option<fn(&mut Cx, &Call) -> R<bool>>,
    /// Whether it may sleep.
    pub sleeps: Sleeps,
}

/// A modelled function. Whether a report may say that it behaves is not for the row to say: see [`conformed`].
pub const fn behaves(name: &'static str, fun: Fun) -> Row {
    Row {
        name,
        fun,
        class: Class::Behaves,
        acquires: None,
        releases: None,
        fails: Fails::No,
        before: None,
        sleeps: Sleeps::No,
    }
}

/// A function that registers something: recorded, answered with success.
pub const fn registers(name: &'static str, kind: &'static str, key: Key, when: When) -> Row {
    let fun: Fun = match (key, when) {
        (Key::Ret, _) => crate::stub::fresh_object,
        (_, When::NonZero) => answer_one,
        _ => answer_zero,
    };
    Row {
        name,
        fun,
        class: Class::Ledger,
        acquires: Some(Acquire {
            kind,
            key,
            when,
            name: 255,
        }),
        releases: None,
        fails: match when {
            When::Zero => Fails::Errno(crate::abi::errno::ENOMEM),
            _ => Fails::No,
        },
        before: None,
        sleeps: Sleeps::No,
    }
}

/// Its counterpart.
pub const fn unregisters(name: &'static str, kind: &'static str, key: Key) -> Row {
    Row {
        name,
        fun: answer_zero,
        class: Class::Ledger,
        acquires: None,
        releases: Some((kind, key)),
        fails: Fails::No,
        before: None,
        sleeps: Sleeps::No,
    }
}

impl Row {
    /// It takes an object of this kind.
    pub const fn acquires(mut self, kind: &'static str, key: Key, when: When) -> Row {
        self.acquires = Some(Acquire {
            kind,
            key,
            when,
            name: 255,
        });
        self
    }
    /// The acquired object's name is the string in argument n.
    pub const fn named(mut self, arg: u8) -> Row {
        if let Some(mut acquire) = self.acquires {
            acquire.name = arg;
            self.acquires = Some(acquire);
        }
        self
    }
    /// It gives an object of this kind back.
    pub const fn releases(mut self, kind: &'static str, key: Key) -> Row {
        self.releases = Some((kind, key));
        self
    }
    /// How it fails.
    pub const fn fails(mut self, how: Fails) -> Row {
        self.fails = how;
        self
    }
    /// What it has done before it fails; false: this call cannot fail.
    pub const fn before(mut self, first: fn(&mut Cx, &Call) -> R<bool>) -> Row {
        self.before = Some(first);
        self
    }
    /// It may sleep.
    pub const fn sleeps(mut self) -> Row {
        self.sleeps = Sleeps::May;
        self
    }
    /// It may sleep if the GFP flags in argument n say so.
    pub const fn sleeps_gfp(mut self, arg: u8) -> Row {
        self.sleeps = Sleeps::Gfp(arg);
        self
    }
}

fn answer_zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn answer_one(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

/// The tables of all subsystems. A subsystem's file declares its functions; this list is all that knows it.
pub(crate) fn all() -> Vec<&'static [Row]> {
    // Where a name stands in several, the last counts: what is modelled comes behind the bare ledger.
    let mut all = vec![
        ledger::ROWS,
        devices::ROWS,
        crate::printk::ROWS,
        crate::mm::slab::ROWS,
        crate::kthread::ROWS,
        crate::sched::ROWS,
        crate::sched::completion::ROWS,
        crate::module::ROWS,
        crate::module::kmod::ROWS,
        crate::umh::ROWS,
        crate::fork::ROWS,
        crate::net::skb::ROWS,
        crate::net::dev::ROWS,
        crate::net::dev_alloc::ROWS,
        crate::net::dev_use::ROWS,
        crate::net::nla::ROWS,
        crate::net::link::ROWS,
        crate::net::queue::ROWS,
        crate::tracepoint::ROWS,
        crate::net::print::ROWS,
        crate::net::genetlink::ROWS,
        crate::net::pernet::ROWS,
        crate::crypto::ROWS,
        crate::drivers::bare::ROWS,
        crate::net::netlink::ROWS,
        crate::net::family::ROWS,
        crate::module::param_ops::ROWS,
        crate::context::ROWS,
        crate::mm::uaccess::ROWS,
        crate::fs::file_calls::ROWS,
        crate::fs::chrdev::ROWS,
        crate::fs::sysfs_calls::ROWS,
        crate::fs::proc::ROWS,
        crate::fs::seq_file::ROWS,
        crate::fs::debugfs::ROWS,
        crate::fs::filesystems::ROWS,
        crate::fs::superblock::ROWS,
        crate::drivers::kobject::ROWS,
        crate::drivers::KSET_ROWS,
        crate::drivers::PLATFORM_RESOURCE_ROWS,
        crate::drivers::calls::ROWS,
        crate::drivers::class::ROWS,
        crate::drivers::bus::ROWS,
        crate::drivers::devres::ROWS,
        crate::drivers::platform::ROWS,
        crate::drivers::pci::ROWS,
        crate::drivers::pci_calls::ROWS,
        crate::drivers::i2c::ROWS,
        crate::mm::dma::ROWS,
        crate::drivers::misc::ROWS,
        crate::drivers::input::ROWS,
        crate::drivers::resource::ROWS,
        crate::locking::mutex::ROWS,
        crate::locking::ww::ROWS,
        crate::locking::rtmutex::ROWS,
        crate::locking::semaphore::ROWS,
        crate::locking::rwsem::ROWS,
        crate::locking::spinlock::ROWS,
        crate::locking::rwlock::ROWS,
        crate::locking::percpu::ROWS,
        crate::locking::dec::ROWS,
        crate::irq::more::ROWS,
        crate::sched::waitqueue::ROWS,
        crate::sched::bitwait::ROWS,
        crate::sched::swait::ROWS,
        crate::sched::extra::ROWS,
        crate::sched::identity::ROWS,
        crate::time::timer::ROWS,
        crate::time::hrtimer::ROWS,
        crate::time::timekeeping::ROWS,
        crate::time::convert::ROWS,
        crate::time::delay::ROWS,
        crate::workqueue::ROWS,
        crate::workqueue::asynchronous::ROWS,
        crate::irq::ROWS,
        crate::irq::managed::ROWS,
        crate::irq::tasklet::ROWS,
        crate::rcu::ROWS,
        crate::rcu::srcu::ROWS,
        crate::kthread_worker::ROWS,
        crate::notifier::ROWS,
        crate::notifier::OWN_ROWS,
        crate::drivers::foreign::ROWS,
        crate::drivers::REFCOUNT_ROWS,
        crate::fs::sysctl::ROWS,
        crate::printk::dev::ROWS,
        crate::printk::sprintf::ROWS,
        crate::swnode::ROWS,
        crate::mm::pages::ROWS,
        crate::net::socket::ROWS,
        crate::mm::remap::ROWS,
        crate::mm::memory::ROWS,
        crate::mm::percpu::ROWS,
        crate::mm::mempool::ROWS,
        crate::jump_label::ROWS,
    ];
    all.extend(crate::lib::ROWS);
    all
}

/// Other names of a function: later kernels' names, and inline-only aliases. (alias, declared name)
pub(crate) const ALIASES: &[(&str, &str)] = &[
    ("__kmalloc_noprof", "__kmalloc"),
    ("__kmalloc_node_noprof", "__kmalloc_node"),
    ("__kmalloc_cache_noprof", "kmalloc_trace"),
    ("__kmalloc_cache_node_noprof", "kmalloc_node_trace"),
    ("__kmalloc_large_noprof", "kmalloc_large"),
    ("kmem_cache_alloc_noprof", "kmem_cache_alloc"),
    ("printk", "_printk"),
    ("debugfs_remove_recursive", "debugfs_remove"),
];
