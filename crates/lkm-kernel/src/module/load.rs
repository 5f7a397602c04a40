//! load_module and do_init_module (kernel/module/main.c), step by step in the kernel's order. The numbers L1…
//! are those of the specification that the tests cite.

use super::{
    COMING, Exported, GOING, LIVE, MODULE_WQ, Module, NAME_LEN, Section, UNFORMED, kallsyms, orc,
    params, refs, relocate, resolve, steps, taint,
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

/// A place of a section in an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    which: usize,
    pub base: u64,
    pub offset: u64,
}

/// The images of a module while they are put together: core, init, per-CPU template.
pub(super) struct Images {
    buffers: [Vec<u8>; 3],
    /// By section index.
    pub places: Vec<Option<Placed>>,
}

impl Images {
    pub fn buffer(&mut self, place: Placed) -> &mut [u8] {
        &mut self.buffers[place.which]
    }
}

/// Ends a load: the kernel's message is logged, the errno goes back negative.
fn refuse(cx: &mut Cx, refusal: Refusal) -> i32 {
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
    let result = formed(cx, index, &info, &rules, &layout, args, image.len())?;
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
    file_size: usize,
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
    let result = build(cx, index, info, rules, layout, file_size)?;
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
    do_init_module(cx, index)
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
    file_size: usize,
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
    let mut images = images(cx, index, info, layout, file_size);
    let values = match simplify_symbols(cx, index, info, &images)? {
        Ok(values) => values,
        Err(errno) => return Ok(-errno),
    };
    if let Err(refusal) = check::check_relocations(info) {
        return Ok(refuse(cx, refusal));
    }
    if let Err(bad) = relocate::apply(&info.elf, info.mod_name, &mut images, &values) {
        for message in bad.messages {
            printk::log(cx, 3, &format!("{message}\n"));
        }
        return Ok(-bad.errno);
    }
    tables(cx, index, info, &images, &values);
    write_images(cx, index, images)?;
    finish_struct(cx, index)?;
    Ok(0)
}

/// Copies the loaded sections into host buffers.
fn images(cx: &Cx, index: usize, info: &LoadInfo<'_>, layout: &Layout, _: usize) -> Images {
    let m = &cx.modules.list[index];
    let mut buffers = [
        vec![0u8; layout.core.size as usize],
        vec![0u8; layout.init.size as usize],
        vec![0u8; layout.percpu.map_or(0, |p| p.size) as usize],
    ];
    let mut places = vec![None; info.elf.sections.len()];
    let mut copy = |section: usize, place: Placed| {
        let data = info.elf.sections[section].data;
        let at = place.offset as usize;
        if let Some(slot) = buffers[place.which].get_mut(at..at + data.len()) {
            slot.copy_from_slice(data);
        }
        places[section] = Some(place);
    };
    for p in &layout.places {
        let (which, base) = match p.image {
            Image::Core => (0, m.core_base),
            Image::Init => (1, m.init_base),
        };
        copy(
            p.section,
            Placed {
                which,
                base,
                offset: p.offset,
            },
        );
    }
    if let Some(percpu) = layout.percpu {
        // Its symbols are offsets from the per-CPU base; what the template points to itself is relocated
        // at the CPU's copy.
        copy(
            percpu.section,
            Placed {
                which: 2,
                base: map::PERCPU.start + m.percpu.0,
                offset: 0,
            },
        );
    }
    Images { buffers, places }
}

/// simplify_symbols: a value for each symbol, or the last errno after all were tried.
fn simplify_symbols(
    cx: &mut Cx,
    index: usize,
    info: &LoadInfo<'_>,
    images: &Images,
) -> R<Result<Vec<u64>, i32>> {
    let mut values = vec![0u64];
    let mut last = None;
    let user = cx.modules.list[index].name.clone();
    for symbol in info.elf.symbols().skip(1) {
        let value = match check::classify_symbol(info, &symbol) {
            Ok(check::Place::Absolute) => symbol.value,
            Ok(check::Place::Section(section)) => {
                match images.places.get(section).copied().flatten() {
                    Some(place) => place.base + place.offset + symbol.value,
                    None => symbol.value,
                }
            }
            Ok(check::Place::Percpu) => cx.modules.list[index].percpu.0 + symbol.value,
            Ok(check::Place::Undefined) => {
                let weak = symbol.bind() == lkm_object::elf::STB_WEAK;
                match resolve::wait_for(cx, index, info, symbol.name)? {
                    Ok(Some(value)) => value,
                    Ok(None)
                        if weak
                            || symbol.name == "_GLOBAL_OFFSET_TABLE_"
                            || symbol.name.is_empty() =>
                    {
                        0
                    }
                    failed => {
                        let errno = failed.err().unwrap_or(ENOENT);
                        let text = match cx.profile.unknown_symbol_err {
                            None => format!("{user}: Unknown symbol {}\n", symbol.name),
                            Some(told) => {
                                let shown = if errno == ENOENT && !told { 0 } else { errno };
                                format!("{user}: Unknown symbol {} (err {})\n", symbol.name, -shown)
                            }
                        };
                        printk::log(cx, 4, &text);
                        last = Some(errno);
                        0
                    }
                }
            }
            Err(refusal) => {
                last = Some(refusal.errno);
                refuse(cx, refusal);
                0
            }
        };
        values.push(value);
    }
    Ok(match last {
        Some(errno) => Err(errno),
        None => Ok(values),
    })
}

/// Takes what the kernel keeps beside the images: symbols, exports, unwind, exception and bug tables.
fn tables(cx: &mut Cx, index: usize, info: &LoadInfo<'_>, images: &Images, values: &[u64]) {
    let section = |name: &str| -> Option<(u64, &[u8])> {
        let at = info.find_sec(name);
        let place = images
            .places
            .get(at)
            .copied()
            .flatten()
            .filter(|_| at != 0)?;
        let size = info.elf.sections[at].size as usize;
        let bytes =
            images.buffers[place.which].get(place.offset as usize..place.offset as usize + size)?;
        Some((place.base + place.offset, bytes))
    };
    let word = |bytes: &[u8], at: usize| {
        i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
    };
    let mut extable = Vec::new();
    if let Some((base, bytes)) = section("__ex_table") {
        for (n, entry) in bytes.chunks_exact(12).enumerate() {
            let at = base + n as u64 * 12;
            let insn = at.wrapping_add(word(entry, 0) as i64 as u64);
            extable.push((insn, (at + 4).wrapping_add(word(entry, 4) as i64 as u64)));
        }
        extable.sort_unstable();
    }
    let mut bugs = Vec::new();
    if let Some((base, bytes)) = section("__bug_table") {
        for (n, entry) in bytes.chunks_exact(12).enumerate() {
            let at = base + n as u64 * 12;
            let insn = at.wrapping_add(word(entry, 0) as i64 as u64);
            let file = (at + 4).wrapping_add(word(entry, 4) as i64 as u64);
            let line = u16::from_le_bytes([entry[8], entry[9]]);
            let flags = u16::from_le_bytes([entry[10], entry[11]]);
            let file = string_at(info, images, file);
            bugs.push((insn, file, u32::from(line), flags));
        }
    }
    let orc = match (section(".orc_unwind_ip"), section(".orc_unwind")) {
        (Some((base, ips)), Some((_, entries))) => orc::Orc::new(ips, base, entries),
        _ => orc::Orc::default(),
    };
    let mut exports = Vec::new();
    if let Ok(file) = lkm_object::module::ModuleFile::parse(info.elf.data) {
        for export in &file.exports {
            exports.push(Exported {
                name: export.name.to_owned(),
                addr: values.get(export.symbol as usize).copied().unwrap_or(0),
                gpl: export.gpl,
                crc: export.crc,
                namespace: export.namespace.map(str::to_owned),
            });
        }
    }
    let syms = symbols(info, images, values, &exports);
    let params = params::read(info, images_word(images), values);
    let m = &mut cx.modules.list[index];
    m.extable = extable;
    m.bugs = bugs;
    m.orc = orc;
    m.exports = exports;
    m.syms = syms;
    m.params = params;
}

/// Reads a relocated 64-bit word of a section, for tables of pointers.
fn images_word(images: &Images) -> impl Fn(usize, u64) -> Option<(u64, u64)> + '_ {
    |section, offset| {
        let place = images.places.get(section).copied().flatten()?;
        let at = (place.offset + offset) as usize;
        let bytes = images.buffers[place.which].get(at..at + 8)?;
        Some((
            place.base + place.offset + offset,
            u64::from_le_bytes(bytes.try_into().ok()?),
        ))
    }
}

/// A string in one of the images, by its future address.
fn string_at(info: &LoadInfo<'_>, images: &Images, addr: u64) -> String {
    for (index, place) in images.places.iter().enumerate() {
        let Some(place) = place else { continue };
        let start = place.base + place.offset;
        let size = info.elf.sections[index].size;
        if addr >= start && addr < start + size {
            let at = (place.offset + addr - start) as usize;
            let bytes = images.buffers[place.which].get(at..).unwrap_or(&[]);
            let end = bytes.iter().take(512).position(|&b| b == 0).unwrap_or(0);
            return String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
    }
    String::new()
}

/// The module's symbol table as kallsyms shows it, sorted by address.
fn symbols(
    info: &LoadInfo<'_>,
    images: &Images,
    values: &[u64],
    exports: &[Exported],
) -> Vec<kallsyms::Sym> {
    let exported: crate::hash::Set<&str> = exports.iter().map(|e| e.name.as_str()).collect();
    let mut syms = Vec::new();
    for (index, symbol) in info.elf.symbols().enumerate().skip(1) {
        const STT_SECTION: u8 = 3;
        const STT_FILE: u8 = 4;
        if symbol.name.is_empty() || matches!(symbol.kind(), STT_SECTION | STT_FILE) {
            continue;
        }
        let Some(place) = images.places.get(symbol.shndx as usize).copied().flatten() else {
            continue;
        };
        let section = &info.elf.sections[symbol.shndx as usize];
        let letter = if section.is_exec() {
            't'
        } else if section.sh_type == 8 {
            'b'
        } else if section.is_write() {
            'd'
        } else {
            'r'
        };
        let letter = if exported.contains(symbol.name) {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        syms.push(kallsyms::Sym {
            addr: values[index],
            size: symbol.size,
            name: symbol.name.to_owned(),
            letter,
            init: place.which == 1,
        });
    }
    syms.sort_by_key(|s| s.addr);
    syms
}

/// Writes the images into the guest; busy-wait hints in text become traps.
fn write_images(cx: &mut Cx, index: usize, mut images: Images) -> R<()> {
    crate::traps::patch_pauses(cx, index, &mut images.buffers);
    let m = &cx.modules.list[index];
    let (core, init, percpu) = (m.core_base, m.init_base, m.percpu);
    // The list links are in struct module already; they are written again by finish_struct.
    let links = cx.bytes(m.addr + cx.off.module_list, 16)?;
    cx.write(core, &images.buffers[0])?;
    cx.write(init, &images.buffers[1])?;
    if percpu.1 != 0 {
        cx.write(map::PERCPU.start + percpu.0, &images.buffers[2])?;
    }
    cx.write(cx.modules.list[index].addr + cx.off.module_list, &links)?;
    Ok(())
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
    let exit = cx.r64(this + off.module_exit)?;
    cx.modules.list[index].exit = exit;
    Ok(())
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
            None if crate::exports::find(&export.name).is_some() => "kernel".to_owned(),
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

/// do_init_module.
fn do_init_module(cx: &mut Cx, index: usize) -> R<i32> {
    let this = cx.modules.list[index].addr;
    let name = cx.modules.list[index].name.clone();
    super::enter_phase(cx, index, Phase::Init);
    let init = cx.r64(this + cx.off.module_init)?;
    let mut ret = 0;
    steps::step(cx, "do_mod_ctors");
    steps::step(cx, "init");
    if init != 0 {
        let before = crate::context::save(cx);
        ret = cx.call_guest(init, &[]) as i32;
        super::callback_balance(cx, before, "init")?;
        trace::emit(
            cx,
            Event::InitResult {
                module: name.clone(),
                value: i64::from(ret),
            },
        );
        if ret == -1 || ret > 0 {
            trace::misuse(cx, "init-return", &ret.to_string(), init, "do_init_module");
        }
    } else {
        trace::emit(
            cx,
            Event::InitResult {
                module: name.clone(),
                value: 0,
            },
        );
    }
    if ret < 0 {
        steps::step(cx, &format!("init answered {ret}"));
        steps::step(cx, "state MODULE_STATE_GOING");
        super::set_state(cx, index, GOING)?;
        steps::old(cx, "synchronize_sched");
        steps::new(cx, "synchronize_rcu");
        steps::step(cx, "module_put: the loader's reference");
        refs::put(cx, this, "init")?;
        steps::step(cx, "notifier MODULE_STATE_GOING");
        super::notify(cx, index, GOING)?;
        steps::old(cx, "module_mutex: lock");
        steps::step(cx, "free_module");
        steps::old(cx, "module_mutex: unlock");
        steps::step(cx, "wake_up(&module_wq)");
        steps::step(cx, &format!("load_module answers {ret}"));
        super::enter_phase(cx, index, Phase::AfterExit);
        super::free_module(cx, index)?;
        wake_at(cx, MODULE_WQ, usize::MAX)?;
        return Ok(ret);
    }
    if ret > 0 {
        let text = format!(
            "do_init_module: '{name}'->init suspiciously returned {ret}, it should follow 0/-E convention\ndo_init_module: loading module anyway...\n"
        );
        printk::log(cx, 4, &text);
    }
    if ret > 0 {
        steps::step(
            cx,
            &format!("init suspiciously answered {ret}: a warning, and the load goes on"),
        );
    }
    steps::step(cx, "state MODULE_STATE_LIVE");
    super::set_state(cx, index, LIVE)?;
    steps::old(cx, "wake_up(&module_wq)");
    steps::step(cx, "notifier MODULE_STATE_LIVE");
    super::notify(cx, index, LIVE)?;
    steps::step(cx, "async_synchronize_full");
    crate::workqueue::asynchronous::synchronize_full(cx)?;
    steps::step(cx, "module_mutex: lock");
    steps::step(cx, "module_put: the loader's reference, 1 to 0");
    refs::put(cx, this, "init")?;
    steps::step(cx, "trim_init_extable");
    steps::step(cx, "kallsyms: core symbols only");
    steps::old(cx, "module_free(module_init): init_size = 0");
    steps::new(cx, "init memory queued to be freed after a grace period");
    steps::step(cx, "module_mutex: unlock");
    steps::new(cx, "wake_up_all(&module_wq)");
    steps::step(cx, "load_module answers 0");
    cx.modules.list[index].syms.retain(|s| !s.init);
    super::drop_init(cx, index);
    // The init memory goes after a grace period: a call that races with the end of init does not fault yet.
    let when = cx.clock.now + 10_000_000;
    crate::time::at(cx, when, free_init_later, index as u64, 0);
    super::enter_phase(cx, index, Phase::Use);
    wake_at(cx, MODULE_WQ, usize::MAX)?;
    Ok(0)
}

fn free_init_later(cx: &mut Cx, index: u64, _: u64) -> R<()> {
    super::free_init(cx, index as usize);
    Ok(())
}
