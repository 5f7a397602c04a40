//! The module subsystem (kernel/module/): states, lists, lookup, sysfs text, teardown. Loading is in `load`,
//! unloading in `delete`, reference counts in `refs`, symbols in `resolve`.
//!
//! `struct module` of the guest is the truth for state, count, init, exit and the list links, because module
//! code may read and write them; [`Module`] keeps what calls alone can reach.

pub mod delete;
pub(crate) mod files;
mod images;
mod init;
pub mod kallsyms;
pub mod kmod;
pub mod load;
pub mod orc;
pub(crate) mod owner;
pub mod param_ops;
pub mod params;
pub mod refs;
pub mod rescue;
mod resolve;
mod rows;
pub mod show;
mod steps;
pub mod syscalls;
pub mod sysfs;
pub mod taint;
pub mod words;

use crate::abi::R;
use crate::hash::Map;
use crate::{Cx, trace, util};
use lkm_machine::{Prot, map};
use lkm_trace::{Event, Phase};

pub(crate) use rows::ROWS;

/// MODULE_STATE_LIVE.
pub const LIVE: u32 = 0;
/// MODULE_STATE_COMING.
pub const COMING: u32 = 1;
/// MODULE_STATE_GOING.
pub const GOING: u32 = 2;
/// MODULE_STATE_UNFORMED.
pub const UNFORMED: u32 = 3;
/// Where waiters for a change of any module's state sleep (`module_wq`).
pub const MODULE_WQ: u64 = 1;
/// MODULE_NAME_LEN.
pub const NAME_LEN: usize = 56;

/// An exported symbol of a module.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its name.
    pub name: String,
    /// Its value.
    pub addr: u64,
    /// EXPORT_SYMBOL_GPL.
    pub gpl: bool,
    /// Its CRC.
    pub crc: Option<u32>,
    /// Its namespace.
    pub namespace: Option<String>,
}

/// A loaded section.
#[derive(Debug, Clone)]
pub struct Section {
    /// Name.
    pub name: String,
    /// Address.
    pub addr: u64,
    /// Size in bytes.
    pub size: u64,
    /// Executable.
    pub exec: bool,
    /// In init memory.
    pub init: bool,
}

/// What the kernel keeps of a module beside its `struct module`.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// How many modules of this name were loaded before it.
    pub generation: u32,
    /// Address of its `struct module`.
    pub addr: u64,
    /// Core image.
    pub core_base: u64,
    /// Size of the core image, as /proc/modules counts it.
    pub core_size: u64,
    /// Init image; 0 when freed or absent.
    pub init_base: u64,
    /// Its size.
    pub init_size: u64,
    /// Where the init image was, after it has been freed.
    pub freed_init: (u64, u64),
    /// Whether it was taken away already.
    init_unmapped: bool,
    /// Symbols sorted by address.
    pub syms: Vec<kallsyms::Sym>,
    /// Unwind tables.
    pub orc: orc::Orc,
    /// Taint bits.
    pub taints: u32,
    /// Freed: the entry stays for late addresses.
    pub gone: bool,
    /// On the module list (its name is taken).
    pub listed: bool,
    /// Exported symbols.
    pub exports: Vec<Exported>,
    /// Sections in memory.
    pub sections: Vec<Section>,
    /// Modules it uses: indexes.
    pub uses: Vec<usize>,
    /// Whether it used a GPL-only symbol.
    pub using_gplonly: bool,
    /// Namespaces it imports.
    pub namespaces: Vec<String>,
    /// version= and srcversion= of .modinfo.
    pub version: (Option<String>, Option<String>),
    /// Exception table: (instruction, landing point).
    pub extable: Vec<(u64, u64)>,
    /// Bug table: (instruction, file, line, flags).
    pub bugs: Vec<(u64, String, u32, u16)>,
    /// Per-CPU area: offset and size.
    pub percpu: (u64, u64),
    /// Parameters.
    pub params: Vec<params::Param>,
    /// /sys/module/NAME exists.
    pub in_sysfs: bool,
    /// The phase of its life.
    pub phase: Option<Phase>,
    /// Whether exit had been called when it faulted, for reports.
    pub static_keys: Vec<(u64, u64, u64)>,
}

/// The subsystem's state.
#[derive(Default)]
pub struct State {
    /// All modules of the run, oldest first; freed ones are marked.
    pub list: Vec<Module>,
    by_struct: Map<u64, usize>,
    /// `modules`: head of the guest's list; 0 until first used.
    pub head: u64,
    /// Next free address in the module area.
    pub next_addr: u64,
    /// Small images keep their contents when they are unmapped: their addresses are used again.
    pub(crate) keep: bool,
    /// kernel.modules_disabled.
    pub disabled: bool,
    /// Loads and unloads tell their steps.
    pub tell_steps: bool,
    /// References held now, oldest first.
    pub held: Vec<refs::Held>,
    /// Whether the message about lock debugging was printed, or an oops switched it off before.
    pub lock_debugging_off: bool,
    /// Where the text of the parameter set last is, as its type left it.
    pub last_param: u64,
    /// The kernel's taint mask.
    pub taints: u32,
    /// Name and taints of the module unloaded last.
    pub last_unloaded: Option<(String, String)>,
    /// Unloaded tainted modules: name, letters, count.
    pub unloaded_tainted: Vec<(String, String, u32)>,
    /// The "once since boot" messages that were printed.
    pub printed_once: Vec<&'static str>,
    /// Strings that charp parameters allocated.
    pub charps: crate::hash::Set<u64>,
    /// Names of exported symbols to (module, index in its exports), newest owner last.
    pub exported: Map<String, Vec<(usize, usize)>>,
    /// Words of `struct module` that others may write.
    words: words::State,
    owners: owner::State,
}

/// The module of that name that is on the list.
pub fn find(cx: &Cx, name: &str) -> Option<usize> {
    cx.modules
        .list
        .iter()
        .rposition(|m| m.listed && m.name == name)
}

/// The module whose `struct module` is at `addr`.
pub fn by_struct(cx: &Cx, addr: u64) -> Option<usize> {
    cx.modules.by_struct.get(&addr).copied()
}

/// The module whose memory holds `addr`; a freed one when no other does.
pub fn find_by_addr(cx: &Cx, addr: u64) -> Option<usize> {
    if !map::MODULES.holds(addr) {
        return None;
    }
    let holds = |m: &Module| {
        (addr >= m.core_base && addr < m.core_base + m.core_size)
            || (m.init_base != 0 && addr >= m.init_base && addr < m.init_base + m.init_size)
            || (addr >= m.freed_init.0 && addr < m.freed_init.0 + m.freed_init.1)
    };
    cx.modules.list.iter().rposition(holds)
}

/// Whether `addr` is in an executable section of the module.
pub fn is_text(cx: &Cx, module: usize, addr: u64) -> bool {
    cx.modules.list[module]
        .sections
        .iter()
        .any(|s| s.exec && addr >= s.addr && addr < s.addr + s.size)
}

/// The state word.
pub fn state(cx: &Cx, module: usize) -> u32 {
    let m = &cx.modules.list[module];
    if m.gone {
        255
    } else {
        cx.r32(m.addr + cx.off.module_state).unwrap_or(255)
    }
}

/// Writes the state word and records the change.
pub fn set_state(cx: &mut Cx, module: usize, state: u32) -> R<()> {
    let (addr, name) = (
        cx.modules.list[module].addr,
        cx.modules.list[module].name.clone(),
    );
    cx.w32(addr + cx.off.module_state, state)?;
    words::note(cx)?;
    trace::emit(
        cx,
        Event::State {
            module: name,
            state,
        },
    );
    Ok(())
}

/// The modules that use `module`, newest first (its source_list).
pub fn users(cx: &Cx, module: usize) -> R<Vec<usize>> {
    Ok((0..cx.modules.list.len())
        .rev()
        .filter(|&m| !cx.modules.list[m].gone && cx.modules.list[m].uses.contains(&module))
        .collect())
}

/// Enters a phase of a module's life and records it.
pub fn enter_phase(cx: &mut Cx, module: usize, phase: Phase) {
    cx.modules.list[module].phase = Some(phase);
    let name = cx.modules.list[module].name.clone();
    trace::emit(
        cx,
        Event::Phase {
            module: name,
            phase,
        },
    );
}

/// add_taint: the bit is never cleared; some say that lock debugging ends.
pub fn taint_kernel(cx: &mut Cx, bit: u32) {
    cx.modules.taints |= 1 << bit;
    let unreliable = [
        taint::PROPRIETARY,
        taint::FORCED_MODULE,
        taint::FORCED_RMMOD,
    ];
    if bit == taint::DIE {
        // The oops switched lock debugging off by itself, without a word.
        cx.modules.lock_debugging_off = true;
    } else if unreliable.contains(&bit) && !cx.modules.lock_debugging_off {
        cx.modules.lock_debugging_off = true;
        crate::printk::log(cx, 4, "Disabling lock debugging due to kernel taint\n");
    }
}

/// Head of the guest's module list.
fn list_head(cx: &mut Cx) -> R<u64> {
    if cx.modules.head == 0 {
        let head = crate::data::alloc(cx, 16, 16)?;
        util::list_init(cx, head)?;
        cx.modules.head = head;
    }
    Ok(cx.modules.head)
}

/// Links a module that was just placed: it is found by its name from now on.
fn link(cx: &mut Cx, module: usize) -> R<()> {
    let head = list_head(cx)?;
    let addr = cx.modules.list[module].addr;
    util::list_add(cx, addr + cx.off.module_list, head)?;
    cx.modules.list[module].listed = true;
    cx.modules.by_struct.insert(addr, module);
    words::note(cx)
}

/// Calls the module notifiers in order; the first veto, when the profile honours it.
fn notify(cx: &mut Cx, module: usize, state: u32) -> R<i32> {
    let this = cx.modules.list[module].addr;
    let result = crate::notifier::call_module_chain(cx, u64::from(state), this)?;
    Ok(if state == COMING && cx.profile.notifier_veto {
        result
    } else {
        0
    })
}

/// Tells preempt_count and interrupts left changed by a callback, and puts them back (do_one_initcall).
fn callback_balance(cx: &mut Cx, before: (u32, u64), which: &str, function: u64) -> R<()> {
    let after = crate::context::save(cx);
    if before.0 != after.0 {
        trace::misuse_at(
            cx,
            "preempt-imbalance",
            &format!(
                "{which} returned with preempt_count {:#x}",
                after.0 & 0x7fff_ffff
            ),
            0,
            which,
            trace::place(function),
        );
    }
    if before.1 != after.1 {
        trace::misuse_at(
            cx,
            "irq-imbalance",
            &format!("{which} returned with interrupts off"),
            0,
            which,
            trace::place(function),
        );
    }
    crate::rcu::balance(cx, 0, which, function);
    if before != after {
        crate::context::add(cx, before.0.wrapping_sub(after.0) as i32);
        crate::context::set_irqs(cx, before.1 & 0x200 != 0);
    }
    Ok(())
}

/// Tells of other modules whose exit points into one that goes now.
fn check_dangling(cx: &mut Cx, module: usize) -> R<()> {
    for other in 0..cx.modules.list.len() {
        let m = &cx.modules.list[other];
        if other == module || m.gone || !m.listed {
            continue;
        }
        let (this, name) = (m.addr, m.name.clone());
        let exit = cx.r64(this + cx.off.module_exit)?;
        if exit != 0 && find_by_addr(cx, exit) == Some(module) {
            let into = &cx.modules.list[module].name;
            let detail = format!("the exit of {name} is in {into}, which is unloaded");
            trace::misuse(cx, "dangling-exit", &detail, this, "delete_module");
        }
    }
    Ok(())
}

/// free_module: sysfs, uses, list, memory, in the kernel's order.
pub fn free_module(cx: &mut Cx, module: usize) -> R<()> {
    check_dangling(cx, module)?;
    cx.modules.list[module].in_sysfs = false;
    crate::locking::on_module_free(cx, module)?;
    if cx.profile.unformed {
        set_state(cx, module, UNFORMED)?;
    }
    for used in std::mem::take(&mut cx.modules.list[module].uses) {
        let (target, name) = (
            cx.modules.list[used].addr,
            cx.modules.list[module].name.clone(),
        );
        let _ = name;
        refs::put_key(cx, target, "symbol", cx.modules.list[module].addr)?;
    }
    params::destroy(cx, module)?;
    unlink(cx, module)?;
    let m = &cx.modules.list[module];
    let (taints, name) = (m.taints, m.name.clone());
    if taints != 0 && cx.profile.unloaded_taints {
        let letters = taint::letters(cx, module, None);
        match cx
            .modules
            .unloaded_tainted
            .iter_mut()
            .find(|u| u.0 == name && u.1 == letters)
        {
            Some(entry) => entry.2 += 1,
            None => cx.modules.unloaded_tainted.push((name.clone(), letters, 1)),
        }
    }
    free_memory(cx, module);
    trace::emit(
        cx,
        Event::State {
            module: name,
            state: 255,
        },
    );
    Ok(())
}

/// Takes a module off the list: its name is free, its exports are gone.
fn unlink(cx: &mut Cx, module: usize) -> R<()> {
    if !cx.modules.list[module].listed {
        return Ok(());
    }
    let addr = cx.modules.list[module].addr;
    util::list_del(cx, addr + cx.off.module_list)?;
    words::forget(cx, module);
    words::note(cx)?;
    cx.modules.list[module].listed = false;
    for owners in cx.modules.exported.values_mut() {
        owners.retain(|&(owner, _)| owner != module);
    }
    Ok(())
}

/// Forgets the modules from index `from` on, all of which have gone; their addresses from `next` on are used again.
pub(crate) fn forget(cx: &mut Cx, from: usize, next: u64) {
    cx.modules.list.truncate(from);
    cx.modules.next_addr = next;
    cx.modules.exported.retain(|_, owners| {
        owners.retain(|&(owner, _)| owner < from);
        !owners.is_empty()
    });
}

/// Bytes of an image that keep their contents when it is unmapped: the next one writes all of them.
const KEPT: u64 = 256 << 10;

/// Unmaps both images. Addresses are not used again soon, so a late call faults.
fn free_memory(cx: &mut Cx, module: usize) {
    words::forget(cx, module);
    owner::forget(cx, module);
    free_init(cx, module);
    let addr = cx.modules.list[module].addr;
    cx.modules.held.retain(|h| h.module != addr);
    let m = &mut cx.modules.list[module];
    m.gone = true;
    let (base, size, addr) = (m.core_base, m.core_size.next_multiple_of(map::PAGE), m.addr);
    cx.modules.by_struct.remove(&addr);
    unmap(cx, base, size);
}

/// Takes the access to an image away, and gives its pages back unless the next one will write them all.
fn unmap(cx: &mut Cx, base: u64, size: u64) {
    if base == 0 || size == 0 {
        return;
    }
    let _ = cx.protect(map::MODULES, base, size, Prot::None);
    if !cx.modules.keep || size > KEPT {
        cx.discard(map::MODULES, base, size);
    }
}

/// The init image is no longer the module's; it is unmapped by [`free_init`].
fn drop_init(cx: &mut Cx, module: usize) {
    let m = &mut cx.modules.list[module];
    if m.init_base != 0 && m.init_size != 0 {
        m.freed_init = (m.init_base, m.init_size);
    }
    m.init_base = 0;
    m.init_size = 0;
}

/// Unmaps the init image (do_free_init): code and data in it trap from now on.
fn free_init(cx: &mut Cx, module: usize) {
    drop_init(cx, module);
    let m = &mut cx.modules.list[module];
    if m.init_unmapped {
        return;
    }
    let (base, size) = m.freed_init;
    m.init_unmapped = base != 0;
    unmap(cx, base, size.next_multiple_of(map::PAGE));
}
