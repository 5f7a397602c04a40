//! Kernel variables that modules read inline: each is guest memory, made when a module asks for it, with
//! the value that boot would have given it. A variable that nobody initialises here reads as zeros.

use crate::Cx;
use crate::abi::R;
use crate::exports::{Kind, Known};
use lkm_machine::{leaf, map};

/// What is made once and found again.
#[derive(Default)]
pub struct State {
    /// Guest address of `jiffies`; 0 until it is made.
    pub jiffies: u64,
    /// `boot_cpu_data`; 0 until it is made.
    pub(crate) boot_cpu: u64,
    kdata_used: u64,
    percpu_used: u64,
}

/// Bytes given to a variable whose size is unknown.
const DEFAULT_SIZE: u64 = 4096;

/// Space for kernel data.
pub fn alloc(cx: &mut Cx, size: u64, align: u64) -> R<u64> {
    let at = (map::KDATA.start + cx.data.kdata_used).next_multiple_of(align.max(8));
    if at + size > map::KDATA.end() {
        return Err(crate::abi::Stop::Bug(
            "lab: kernel data is exhausted".into(),
        ));
    }
    cx.data.kdata_used = at + size - map::KDATA.start;
    Ok(at)
}

/// Space in the per-CPU area, as an offset.
pub fn alloc_percpu(cx: &mut Cx, size: u64, align: u64) -> Option<u64> {
    let at = cx.data.percpu_used.next_multiple_of(align.max(8));
    if at + size > leaf::IRQ_FLAG {
        return None;
    }
    cx.data.percpu_used = at + size;
    Some(at)
}

/// Lays the fixed part of the per-CPU area out: the stack canary's page, then the words that headers read.
pub(crate) fn boot(cx: &mut Cx) -> Result<(), String> {
    let failed = |_| "the per-CPU area is not there".to_owned();
    // fixed_percpu_data: 40 bytes, then the canary at gs:0x28.
    cx.w64(map::PERCPU.start + 0x28, 0x5aa5_1bad_c0de_d00d)
        .map_err(failed)?;
    cx.w64(map::PERCPU.start + leaf::IRQ_FLAG, 0x200)
        .map_err(failed)?;
    cx.data.percpu_used = 0x1000;
    // 6.2 and later put these words into one structure, pcpu_hot: current_task 0, preempt_count 8, cpu 12.
    let hot = alloc_percpu(cx, 64, 64).unwrap_or(0x1000);
    cx.off.current_task = hot;
    cx.off.preempt_count = hot + 8;
    cx.w32(map::PERCPU.start + hot + 8, crate::context::NEED_RESCHED)
        .map_err(failed)?;
    Ok(())
}

/// Makes the variable `name`; None when it is not one.
pub(crate) fn make(cx: &mut Cx, name: &str, known: Option<Known>) -> R<Option<u64>> {
    if let Some(offset) = percpu_word(cx, name) {
        return Ok(Some(offset));
    }
    if known.is_some_and(|k| k.kind == Kind::PerCpu) {
        let offset = alloc_percpu(cx, 512, 64);
        uninitialised(cx, name, offset.unwrap_or(0), 512);
        return Ok(offset);
    }
    if let Some(value) = special(cx, name)? {
        return Ok(Some(value));
    }
    if known.is_some_and(|k| k.kind == Kind::Data) {
        let at = alloc(cx, DEFAULT_SIZE, 64)?;
        uninitialised(cx, name, at, DEFAULT_SIZE);
        return Ok(Some(at));
    }
    Ok(None)
}

/// Records that a module was given a variable without the value that boot would have left in it: what follows from
/// its zeros is not the module's fault.
fn uninitialised(cx: &mut Cx, name: &str, address: u64, size: u64) {
    let event = lkm_trace::Event::Data {
        name: name.to_owned(),
        address,
        size,
    };
    crate::trace::emit(cx, event);
}

fn percpu_word(cx: &mut Cx, name: &str) -> Option<u64> {
    Some(match name {
        "current_task" | "pcpu_hot" | "const_pcpu_hot" => cx.off.current_task,
        "__preempt_count" => cx.off.preempt_count,
        "cpu_number" => cx.off.current_task + 12,
        "fixed_percpu_data" => 0,
        // cpumask_var_t: a pointer to the mask of the one processor.
        "cpu_sibling_map" | "cpu_core_map" | "cpu_die_map" | "cpu_llc_shared_map"
        | "cpu_l2c_shared_map" => {
            let mask = alloc(cx, 1024, 64).ok()?;
            cx.w64(mask, 1).ok()?;
            let offset = alloc_percpu(cx, 8, 8)?;
            cx.w64(map::PERCPU.start + offset, mask).ok()?;
            offset
        }
        "this_cpu_off" => {
            let offset = alloc_percpu(cx, 8, 8)?;
            cx.w64(map::PERCPU.start + offset, map::PERCPU.start).ok()?;
            offset
        }
        _ => return None,
    })
}

fn special(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    let word = |cx: &mut Cx, size: u64, value: u64| -> R<Option<u64>> {
        let at = alloc(cx, size.max(8), size.max(8))?;
        cx.w64(at, value)?;
        Ok(Some(at))
    };
    match name {
        "jiffies" | "jiffies_64" => {
            if cx.data.jiffies == 0 {
                cx.data.jiffies = alloc(cx, 8, 8)?;
                crate::time::update_jiffies(cx);
            }
            Ok(Some(cx.data.jiffies))
        }
        "page_offset_base" | "phys_base" => word(cx, 8, 0),
        "vmemmap_base" => word(cx, 8, map::VMEMMAP.start),
        "vmalloc_base" => word(cx, 8, map::BULK.start),
        "nr_cpu_ids" | "__num_online_cpus" | "nr_node_ids" => word(cx, 4, 1),
        "__cpu_online_mask"
        | "__cpu_possible_mask"
        | "__cpu_present_mask"
        | "__cpu_active_mask"
        | "cpu_all_bits"
        | "node_states" => {
            let at = alloc(cx, 1024, 64)?;
            cx.w64(at, 1)?;
            if name == "node_states" {
                // One mask of MAX_NUMNODES (1024) bits for each of the states: node 0 is in all of them.
                let at = alloc(cx, 1024, 64)?;
                for state in 0..6 {
                    cx.w64(at + state * 128, 1)?;
                }
                return Ok(Some(at));
            }
            Ok(Some(at))
        }
        "__per_cpu_offset" => {
            let at = alloc(cx, 8 * 8192, 64)?;
            cx.w64(at, map::PERCPU.start)?;
            Ok(Some(at))
        }
        // Twice the CPUs, and at least this.
        "percpu_counter_batch" => word(cx, 4, 32),
        "loops_per_jiffy" => word(cx, 8, 4_000_000),
        "hrtimer_resolution" => word(cx, 4, 1),
        "tsc_khz" | "cpu_khz" => word(cx, 4, 1_000_000),
        "system_state" => word(cx, 4, 2),
        "HYPERVISOR_shared_info" => word(cx, 8, 0),
        "pv_ops" => Ok(Some(pv_ops(cx)?)),
        // A static key that is off.
        "hugetlb_optimize_vmemmap_key" => Ok(Some(alloc(cx, 16, 8)?)),
        "empty_zero_page" | "zero_page" => Ok(Some(alloc(cx, 4096, 4096)?)),
        "_ctype" => Ok(Some(ctype(cx)?)),
        _ => {
            for make in [
                crate::sched::identity::variable,
                crate::mm::slab::variable,
                crate::mm::cpu::variable,
                crate::module::param_ops::variable,
                crate::drivers::kobject::variable,
                crate::drivers::platform::variable,
                crate::drivers::pci::variable,
                crate::drivers::i2c::variable,
                crate::drivers::resource::variable,
                crate::fs::sysfs::variable,
                crate::fs::sysctl::variable,
                crate::net::variable,
                crate::workqueue::variable,
                crate::notifier::variable,
            ] {
                if let Some(at) = make(cx, name)? {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        }
    }
}

/// The paravirt operations: every slot does nothing, but for the interrupt flag and identities.
fn pv_ops(cx: &mut Cx) -> R<u64> {
    let at = alloc(cx, 1024, 64)?;
    let nop = crate::symbols::address(cx, "__lkm_pv_nop");
    for slot in 0..128 {
        cx.w64(at + slot * 8, nop)?;
    }
    // struct paravirt_patch_template: irq.save_fl, irq_disable, irq_enable at 240, 248, 256; the page table
    // value conversions (callee-save identities) among mmu at 280.
    for (offset, name) in [
        (240, "__lkm_save_fl"),
        (248, "__lkm_irq_disable"),
        (256, "__lkm_irq_enable"),
    ] {
        let value = crate::symbols::address(cx, name);
        cx.w64(at + offset, value)?;
    }
    Ok(at)
}

/// The table of character classes.
fn ctype(cx: &mut Cx) -> R<u64> {
    let at = alloc(cx, 256, 64)?;
    for byte in 0..=255u8 {
        cx.w8(at + u64::from(byte), crate::lib::ctype::class(byte))?;
    }
    Ok(at)
}
