//! load_module and do_init_module (kernel/module/main.c), step by step in the kernel's order. The numbers L1…
//! are those of the specification that the tests cite.

use super::{
    COMING, GOING, LIVE, MODULE_WQ, Module, NAME_LEN, Section, UNFORMED, images, init, params,
    refs, steps, taint,
};
use crate::abi::{R, errno::*};
use crate::profile::DuplicateName;
use crate::sched::wait::{Woken, wait_at, wake_at};
use crate::{Cx, printk, sched, trace};
use lkm_machine::{Prot, map};
use lkm_object::check::{self, LoadInfo, Once, Refusal, Rules};
use lkm_object::layout::{Config, Image, Layout};
use lkm_trace::{Event, Phase};
use std::rc::Rc;

/// Rules of the kernel at hand, owned so that they can be borrowed where they are needed.
pub struct KernelRules {
    vermagic: Option<String>,
    blacklist: String,
    flags: u32,
    strict: bool,
    module_size: u64,
    sig_enforce: bool,
    keys: bool,
    force_load: bool,
    layout_crc: Option<u32>,
}

impl KernelRules {
    /// The rules as the checks take them.
    pub fn borrow(&self) -> Rules<'_> {
        Rules {
            vermagic: self.vermagic.as_deref(),
            blacklist: &self.blacklist,
            flags: self.flags,
            elf_checks: if self.strict {
                check::ElfChecks::V6_12
            } else {
                check::ElfChecks::V6_1
            },
            module_struct_size: Some(self.module_size),
            sig_enforce: self.sig_enforce,
            force_load: self.force_load,
            layout_crc: self.layout_crc,
            keys: if self.keys {
                check::Keys::All
            } else {
                check::Keys::Empty
            },
            ..Rules::default()
        }
    }
}

/// The rules for a load without flags.
pub(super) fn rules(cx: &Cx) -> KernelRules {
    KernelRules {
        vermagic: cx.options.vermagic.clone(),
        blacklist: cx.options.blacklist.clone(),
        flags: 0,
        strict: cx.profile.strict_elf,
        module_size: cx.off.module_size,
        sig_enforce: cx.options.sig_enforce,
        keys: cx.options.trusted_signatures,
        force_load: cx.options.force_load,
        layout_crc: cx.options.crc_of("module_layout"),
    }
}

/// Where the parameter string comes from.
#[derive(Debug, Clone)]
pub enum Args {
    /// A readable user string.
    Text(String),
    /// A bad user pointer: EFAULT when it is copied.
    Fault,
}

/// Ends a load: the kernel's message is logged, the errno goes back negative.
pub(super) fn refuse(cx: &mut Cx, refusal: Refusal) -> i32 {
    if let Some(message) = refusal.message {
        for line in message.lines() {
            printk::log(cx, 3, &format!("{line}\n"));
        }
    }
    -refusal.errno
}

/// What checks logged and tainted on their way.
fn apply_events(cx: &mut Cx, events: Vec<check::Event>, module_taints: &mut u32) {
    for event in events {
        let bit = event
            .taint
            .and_then(|letter| "PFSRMBUDAWCIOELKXTN".find(letter))
            .map(|bit| bit as u32);
        let say = match event.once {
            Once::Always => true,
            Once::FirstTaint => bit.is_none_or(|bit| cx.modules.taints & (1 << bit) == 0),
            Once::Boot => !cx.modules.printed_once.contains(&event.step),
        };
        if event.once == Once::Boot && say {
            cx.modules.printed_once.push(event.step);
        }
        if say && let Some(message) = event.message {
            if event.step == "L19" {
                // The architecture's own words come first (retpoline_module_ok).
                printk::log(
                    cx,
                    3,
                    "Spectre V2 : System may be vulnerable to spectre v2\n",
                );
            }
            printk::log(cx, 4, &format!("{message}\n"));
        }
        if let Some(bit) = bit {
            super::taint_kernel(cx, bit);
            if event.taints_module {
                *module_taints |= 1 << bit;
            }
        }
    }
}

/// load_module: 0 or a negative errno. `flags` are those of finit_module.
pub fn load_module(cx: &mut Cx, image: &Rc<Vec<u8>>, args: Args, flags: u32) -> R<i32> {
    steps::old(cx, "module_mutex: lock, or EINTR");
    steps::step(cx, "load_module: the file is copied and checked");
    let image = Rc::clone(image);
    let kernel = KernelRules { flags, ..rules(cx) };
    let rules = kernel.borrow();
    let mut events = Vec::new();
    let mut taints = 0;
    // L1 to L14: the file as such.
    let checked = check::module_sig_check(&image, &rules, &mut events).and_then(|signed| {
        check::elf_validity_check(&image[..signed.len], &rules)?;
        let mut info = check::setup_load_info(&image[..signed.len], &rules)?;
        info.sig_ok = signed.ok;
        check::early_mod_check(&info, &rules)?;
        check::check_modstruct_version(&info, &rules, &mut events)?;
        check::check_modinfo(&info, &rules, &mut events)?;
        check::module_enforce_rwx_sections(&info, &rules)?;
        Ok(info)
    });
    apply_events(cx, std::mem::take(&mut events), &mut taints);
    let info = match checked {
        Ok(info) => info,
        Err(refusal) => return Ok(refuse(cx, refusal)),
    };
    // L25: layout and memory.
    let Ok(layout) = Layout::new(&info, &Config::default()) else {
        return Ok(-ENOMEM);
    };
    let Some(index) = place(cx, &info, &layout, taints)? else {
        return Ok(-ENOMEM);
    };
    let result = formed(cx, index, &info, &rules, &layout, args)?;
    let name = cx.modules.list[index].name.clone();
    trace::emit(
        cx,
        Event::LoadResult {
            module: name,
            errno: i64::from(result),
        },
    );
    Ok(result)
}

/// Reserves addresses for both images and makes the entry.
fn place(cx: &mut Cx, info: &LoadInfo<'_>, layout: &Layout, taints: u32) -> R<Option<usize>> {
    let (core, init) = (
        layout.core.size.next_multiple_of(map::PAGE),
        layout.init.size.next_multiple_of(map::PAGE),
    );
    let start = cx.modules.next_addr.max(map::MODULES.start);
    // A page without access before, between and after the images.
    let end = start + core + init + 3 * map::PAGE;
    if end > map::MODULES.end() {
        return Ok(None);
    }
    cx.modules.next_addr = end;
    let core_base = start + map::PAGE;
    let init_base = core_base + core + map::PAGE;
    let mut name = info.mod_name.to_owned();
    name.truncate(
        (0..=name.len().min(NAME_LEN - 1))
            .rev()
            .find(|&at| name.is_char_boundary(at))
            .unwrap_or(0),
    );
    let generation = cx.modules.list.iter().filter(|m| m.name == name).count() as u32;
    let this = layout
        .place(info.index.module)
        .map_or(0, |p| core_base + p.offset);
    let sections = layout
        .places
        .iter()
        .map(|p| {
            let section = &info.elf.sections[p.section];
            let init = p.image == Image::Init;
            Section {
                name: section.name.to_owned(),
                addr: if init { init_base } else { core_base } + p.offset,
                size: p.size,
                exec: section.is_exec(),
                init,
            }
        })
        .collect();
    let get = |key: &str| info.modinfo.get(key).map(str::to_owned);
    cx.modules.list.push(Module {
        name,
        generation,
        addr: this,
        core_base,
        core_size: layout.core.size,
        init_base: if layout.init.size == 0 { 0 } else { init_base },
        init_size: layout.init.size,
        taints,
        sections,
        namespaces: info.modinfo.all("import_ns").map(str::to_owned).collect(),
        version: (get("version"), get("srcversion")),
        ..Module::default()
    });
    Ok(Some(cx.modules.list.len() - 1))
}

/// The load from the reserved memory on; undoes itself on failure.
fn formed(
    cx: &mut Cx,
    index: usize,
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    layout: &Layout,
    args: Args,
) -> R<i32> {
    // The plain struct module must be there before the list links go into it.
    let m = &cx.modules.list[index];
    let (core_base, init_base) = (m.core_base, m.init_base);
    let (core_len, init_len) = (
        layout.core.size.next_multiple_of(map::PAGE),
        layout.init.size.next_multiple_of(map::PAGE),
    );
    let mapped = cx
        .protect(map::MODULES, core_base, core_len, Prot::ReadWrite)
        .and_then(|()| {
            if init_len == 0 {
                Ok(())
            } else {
                cx.protect(map::MODULES, init_base, init_len, Prot::ReadWrite)
            }
        });
    if mapped.is_err() {
        return Ok(-ENOMEM);
    }
    let this = cx.modules.list[index].addr;
    if this == 0 {
        super::free_memory(cx, index);
        return Ok(-ENOEXEC);
    }
    // L27: the name.
    cx.w32(this + cx.off.module_state, UNFORMED)?;
    steps::new(
        cx,
        "add_unformed_module: state MODULE_STATE_UNFORMED, on the list",
    );
    if let Some(errno) = reserve_name(cx, index)? {
        super::free_memory(cx, index);
        return Ok(-errno);
    }
    steps::step(cx, "simplify_symbols, apply_relocations");
    let result = build(cx, index, info, rules, layout)?;
    if result != 0 {
        undo(cx, index)?;
        return Ok(result);
    }
    // L38: the parameter string, looked at only now.
    let Args::Text(args) = args else {
        undo(cx, index)?;
        return Ok(-EFAULT);
    };
    // L40: exported symbols must be new.
    if let Some(text) = duplicate_export(cx, index) {
        printk::log(cx, 3, &text);
        undo(cx, index)?;
        return Ok(-ENOEXEC);
    }
    register_exports(cx, index);
    protect_images(cx, index, layout);
    steps::new(cx, "complete_formation: state MODULE_STATE_COMING");
    steps::old(cx, "list_add: state MODULE_STATE_COMING");
    super::set_state(cx, index, COMING)?;
    crate::jump_label::module_coming(cx, index)?;
    announce(cx, index);
    super::enter_phase(cx, index, Phase::Load);
    refs::tell_init_hold(cx, index)?;
    if cx.profile.coming_before_params {
        // L42.
        steps::step(cx, "notifier MODULE_STATE_COMING");
        let veto = super::notify(cx, index, COMING)?;
        if veto < 0 {
            super::set_state(cx, index, GOING)?;
            undo(cx, index)?;
            return Ok(veto);
        }
    }
    // L43 to L46.
    steps::step(cx, "parse_args");
    let mut errno = params::parse_args(cx, index, &args)?;
    if errno == 0 && sysfs_taken(cx, index) {
        let name = cx.modules.list[index].name.clone();
        printk::log(cx, 3, &format!("{name}: module is already loaded\n"));
        errno = -EINVAL;
    }
    if errno < 0 {
        super::set_state(cx, index, GOING)?;
        params::destroy(cx, index)?;
        super::notify(cx, index, GOING)?;
        undo(cx, index)?;
        return Ok(errno);
    }
    cx.modules.list[index].in_sysfs = true;
    steps::step(cx, "mod_sysfs_setup");
    steps::old(cx, "module_mutex: unlock");
    if !cx.profile.coming_before_params {
        steps::step(cx, "notifier MODULE_STATE_COMING");
        super::notify(cx, index, COMING)?;
    }
    init::do_init_module(cx, index)
}

/// Unlinks and frees a module that never became COMING, or whose load failed.
fn undo(cx: &mut Cx, index: usize) -> R<()> {
    let this = cx.modules.list[index].addr;
    for used in std::mem::take(&mut cx.modules.list[index].uses) {
        let target = cx.modules.list[used].addr;
        refs::put_key(cx, target, "symbol", this)?;
    }
    super::unlink(cx, index)?;
    super::free_memory(cx, index);
    let name = cx.modules.list[index].name.clone();
    trace::emit(
        cx,
        Event::State {
            module: name,
            state: 255,
        },
    );
    wake_at(cx, MODULE_WQ, usize::MAX)?;
    Ok(())
}

/// add_unformed_module: waits for a module of that name that is on its way; Some(errno) refuses.
fn reserve_name(cx: &mut Cx, index: usize) -> R<Option<i32>> {
    let name = cx.modules.list[index].name.clone();
    loop {
        let Some(old) = super::find(cx, &name) else {
            super::link(cx, index)?;
            return Ok(None);
        };
        let state = super::state(cx, old);
        let coming = state == COMING || state == UNFORMED;
        if cx.profile.duplicate == DuplicateName::Exists || !coming && state == LIVE {
            return Ok(Some(EEXIST));
        }
        if !coming {
            return Ok(Some(
                if cx.profile.duplicate == DuplicateName::WaitThenRetry {
                    EEXIST
                } else {
                    EBUSY
                },
            ));
        }
        while super::find(cx, &name)
            .is_some_and(|m| matches!(super::state(cx, m), COMING | UNFORMED))
        {
            if wait_at(
                cx,
                MODULE_WQ,
                sched::INTERRUPTIBLE,
                None,
                "add_unformed_module",
            )? == Woken::Signal
            {
                return Ok(Some(ERESTARTSYS));
            }
        }
        if cx.profile.duplicate == DuplicateName::WaitThenFail {
            let live = super::find(cx, &name).is_some_and(|m| super::state(cx, m) == LIVE);
            return Ok(Some(if live { EEXIST } else { EBUSY }));
        }
    }
}

/// L28 to L37: per-CPU area, sections, symbols, relocations; the images are written.
fn build(
    cx: &mut Cx,
    index: usize,
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    layout: &Layout,
) -> R<i32> {
    let mut events = Vec::new();
    let mut taints = cx.modules.list[index].taints;
    if rules.module_sig && !info.sig_ok {
        let name = info.mod_name;
        if !cx.modules.printed_once.contains(&"L28") {
            cx.modules.printed_once.push("L28");
            let text = format!(
                "{name}: module verification failed: signature and/or required key missing - tainting kernel\n"
            );
            printk::log(cx, 5, &text);
        }
        taints |= 1 << taint::UNSIGNED;
        super::taint_kernel(cx, taint::UNSIGNED);
    }
    if let Some(percpu) = layout.percpu {
        let Some(offset) = crate::data::alloc_percpu(cx, percpu.size, percpu.align.min(map::PAGE))
        else {
            let text = format!(
                "{}: Could not allocate {} bytes percpu data\n",
                info.mod_name, percpu.size
            );
            printk::log(cx, 4, &text);
            return Ok(-ENOMEM);
        };
        cx.modules.list[index].percpu = (offset, percpu.size);
    }
    let sections = check::find_module_sections(info, rules, &mut events)
        .and_then(|()| check::check_module_license_and_versions(info, rules, &mut events));
    apply_events(cx, events, &mut taints);
    cx.modules.list[index].taints = taints;
    if let Err(refusal) = sections {
        return Ok(refuse(cx, refusal));
    }
    let mut images = images::images(cx, index, info, layout);
    let values = match images::simplify_symbols(cx, index, info, &images)? {
        Ok(values) => values,
        Err(errno) => return Ok(-errno),
    };
    if let Err(refusal) = check::check_relocations(info) {
        return Ok(refuse(cx, refusal));
    }
    if let Err(bad) = lkm_object::relocate::apply(&info.elf, info.mod_name, &mut images, &values) {
        for message in bad.messages {
            printk::log(cx, 3, &format!("{message}\n"));
        }
        return Ok(-bad.errno);
    }
    images::tables(cx, index, info, &images, &values);
    images::write_images(cx, index, images)?;
    finish_struct(cx, index)?;
    Ok(0)
}

/// The members of struct module that the loader sets.
fn finish_struct(cx: &mut Cx, index: usize) -> R<()> {
    let m = &cx.modules.list[index];
    let (this, name, taints) = (m.addr, m.name.clone(), m.taints);
    let (core, core_size, init, init_size) = (m.core_base, m.core_size, m.init_base, m.init_size);
    let off = cx.off;
    cx.w32(this + off.module_state, UNFORMED)?;
    let mut bytes = [0u8; NAME_LEN];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    cx.write(this + off.module_name, &bytes)?;
    // Base 1, and 1 for the time of init.
    cx.w32(this + off.module_refcnt, (refs::BASE + 1) as u32)?;
    crate::util::list_init(cx, this + off.module_source_list)?;
    crate::util::list_init(cx, this + off.module_target_list)?;
    cx.w64(this + off.module_taints, u64::from(taints))?;
    for (offset, value) in [(off.module_core_base, core), (off.module_init_base, init)] {
        if offset != crate::layout::NONE {
            cx.w64(this + offset, value)?;
        }
    }
    for (offset, value) in [
        (off.module_core_size, core_size),
        (off.module_init_size, init_size),
    ] {
        if offset != crate::layout::NONE {
            cx.w32(this + offset, value as u32)?;
        }
    }
    super::words::watch(cx, index)
}

fn duplicate_export(cx: &Cx, index: usize) -> Option<String> {
    for export in &cx.modules.list[index].exports {
        let owner = match cx
            .modules
            .exported
            .get(&export.name)
            .and_then(|owners| owners.last())
        {
            Some(&(owner, _)) => cx.modules.list[owner].name.clone(),
            None if cx.profile.exports.find(&export.name).is_some() => "kernel".to_owned(),
            None => continue,
        };
        let name = &cx.modules.list[index].name;
        return Some(format!(
            "{name}: exports duplicate symbol {} (owned by {owner})\n",
            export.name
        ));
    }
    None
}

fn register_exports(cx: &mut Cx, index: usize) {
    let names: Vec<String> = cx.modules.list[index]
        .exports
        .iter()
        .map(|e| e.name.clone())
        .collect();
    for (n, name) in names.into_iter().enumerate() {
        cx.modules
            .exported
            .entry(name)
            .or_default()
            .push((index, n));
    }
}

/// Text executable, read-only data read-only, the rest writable (module_enable_ro/nx/x).
fn protect_images(cx: &mut Cx, index: usize, layout: &Layout) {
    let m = &cx.modules.list[index];
    let (core, init) = (m.core_base, m.init_base);
    for (base, extent) in [(core, layout.core), (init, layout.init)] {
        if base == 0 || extent.size == 0 {
            continue;
        }
        let _ = cx.protect(
            map::MODULES,
            base,
            extent.text.next_multiple_of(map::PAGE),
            Prot::ReadExec,
        );
        let ro = extent.ro.next_multiple_of(map::PAGE);
        let text = extent.text.next_multiple_of(map::PAGE);
        if ro > text {
            let _ = cx.protect(map::MODULES, base + text, ro - text, Prot::Read);
        }
    }
}

/// Tells the parent where everything is.
fn announce(cx: &mut Cx, index: usize) {
    let m = &cx.modules.list[index];
    let event = Event::Module {
        name: m.name.clone(),
        generation: m.generation,
        this_module: m.addr,
        sections: m
            .sections
            .iter()
            .map(|s| (s.name.clone(), s.addr, s.size))
            .collect(),
    };
    trace::emit(cx, event);
}

fn sysfs_taken(cx: &Cx, index: usize) -> bool {
    let name = &cx.modules.list[index].name;
    cx.modules
        .list
        .iter()
        .enumerate()
        .any(|(i, m)| i != index && m.in_sysfs && m.name == *name)
}
