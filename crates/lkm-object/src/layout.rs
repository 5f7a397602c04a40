//! Where each section goes: the kernel's `layout_sections` and `layout_symtab` (kernel/module/main.c, kallsyms.c; Linux 6.1).

use crate::check::LoadInfo;
use crate::elf::{
    SHF_ALLOC, SHF_EXECINSTR, SHF_RO_AFTER_INIT, SHF_WRITE, SHN_UNDEF, Section, Symbol,
};

/// The two allocations of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Kept until the module is unloaded.
    Core,
    /// Freed after a successful init.
    Init,
}

/// The mask pass that places a section, and so what protects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Executable.
    Text,
    /// Allocated and not writable.
    Rodata,
    /// Writable until init has run.
    RoAfterInit,
    /// Writable.
    Data,
}

/// The place of one section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the section.
    pub section: usize,
    pub image: Image,
    pub pass: Pass,
    /// Offset in the image, in bytes.
    pub offset: u64,
    /// Size of the section, in bytes.
    pub size: u64,
}

/// Boundaries of an image. All of them are page-aligned under `strict_rwx`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// End of the executable part.
    pub text: u64,
    /// End of the read-only part.
    pub ro: u64,
    /// End of what becomes read-only after init.
    pub ro_after_init: u64,
    /// Size of the whole, symbol tables included: what `/proc/modules` adds up.
    pub size: u64,
}

/// The symbol tables the kernel keeps of a module (CONFIG_KALLSYMS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kallsyms {
    /// Offset of the whole symbol table in the init image.
    pub init_symtab: u64,
    /// Offset of the whole string table in the init image.
    pub init_strtab: u64,
    /// Offset of `struct mod_kallsyms` in the init image.
    pub init_struct: u64,
    /// Offset of the array of type letters in the init image.
    pub init_types: u64,
    /// Offset of the reduced symbol table in the core image.
    pub core_symtab: u64,
    /// Offset of its strings in the core image.
    pub core_strtab: u64,
    /// Offset of its type letters in the core image.
    pub core_types: u64,
    /// Number of symbols in the reduced table, the null symbol included.
    pub core_symbols: u64,
}

/// The per-CPU section, which has an allocation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percpu {
    pub section: usize,
    pub size: u64,
    pub align: u64,
}

/// The layout of a module in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Sections in the order in which they are placed: core, then init.
    pub places: Vec<Place>,
    pub core: Extent,
    pub init: Extent,
    pub percpu: Option<Percpu>,
    pub kallsyms: Option<Kallsyms>,
}

/// What of the kernel's configuration decides a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// PAGE_SIZE.
    pub page: u64,
    /// CONFIG_STRICT_MODULE_RWX: parts begin at page boundaries.
    pub strict_rwx: bool,
    /// CONFIG_MODULE_UNLOAD; without it `.exit*` goes with the init image.
    pub unload: bool,
    /// CONFIG_KALLSYMS.
    pub kallsyms: bool,
    /// CONFIG_KALLSYMS_ALL: data symbols are kept, too.
    pub kallsyms_all: bool,
    /// Memory by type, as since Linux commit ac3b43283923 ("module: replace
    /// module_layout with module_memory") (in v6.4): the symbol tables then follow
    /// the data directly, not at the next page.
    pub typed_memory: bool,
}

impl Default for Config {
    /// As Debian configures x86-64 kernels.
    fn default() -> Self {
        Config {
            page: 4096,
            strict_rwx: true,
            unload: true,
            kallsyms: true,
            kallsyms_all: true,
            typed_memory: false,
        }
    }
}

/// The images would exceed what the kernel's `unsigned int` sizes and its module area hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("module is too large to be placed (ENOMEM)")]
pub struct TooLarge;

/// x86-64 has 1 GiB for all modules (MODULES_LEN with KASLR); no other architecture has more than 2 GiB.
const MODULES_LEN: u64 = 1 << 30;

impl Layout {
    /// The size `/proc/modules` shows: core and init while init runs, core alone afterwards.
    pub fn shown_size(&self, init_done: bool) -> u64 {
        self.core.size + if init_done { 0 } else { self.init.size }
    }

    /// The place of a section, if it has one.
    pub fn place(&self, section: usize) -> Option<&Place> {
        self.places.iter().find(|p| p.section == section)
    }

    /// Places the sections of a module.
    ///
    /// # Errors
    /// [`TooLarge`], for which the kernel answers ENOMEM.
    pub fn new(info: &LoadInfo<'_>, config: &Config) -> Result<Layout, TooLarge> {
        let mut sections: Vec<Candidate<'_>> = info
            .elf
            .sections
            .iter()
            .filter(|s| info.is_loaded(s.index))
            .map(|s| Candidate::new(info, s, config))
            .collect();
        let mut places = Vec::with_capacity(sections.len());
        let mut core = sections_of(&mut sections, Image::Core, config, &mut places)?;
        let mut init = sections_of(&mut sections, Image::Init, config, &mut places)?;
        let kallsyms = match config.kallsyms {
            true => Some(layout_symtab(info, config, &mut core, &mut init)?),
            false => None,
        };
        if config.typed_memory {
            // Each kind of memory is a whole number of pages, whatever else is configured.
            core.size = align(core.size, config.page)?;
            init.size = align(init.size, config.page)?;
        }
        let percpu = (info.index.pcpu != 0).then(|| {
            let s = &info.elf.sections[info.index.pcpu];
            Percpu {
                section: s.index,
                size: s.size,
                align: s.align.max(1),
            }
        });
        Ok(Layout {
            places,
            core,
            init,
            percpu,
            kallsyms,
        })
    }
}

/// A section to be placed, its flags as the loader changes them.
struct Candidate<'a> {
    section: &'a Section<'a>,
    flags: u64,
    image: Image,
    placed: bool,
}

impl<'a> Candidate<'a> {
    fn new(info: &LoadInfo<'_>, section: &'a Section<'a>, config: &Config) -> Candidate<'a> {
        let mut flags = section.flags;
        // Only the first section of each name is marked, because the kernel looks them up by name.
        if matches!(section.name, ".data..ro_after_init" | "__jump_table")
            && info.find_sec(section.name) == section.index
        {
            flags |= SHF_RO_AFTER_INIT;
        }
        Candidate {
            section,
            flags,
            image: image_of(section.name, config),
            placed: false,
        }
    }
}

/// `module_init_layout_section`.
fn image_of(name: &str, config: &Config) -> Image {
    if name.starts_with(".init") || (!config.unload && name.starts_with(".exit")) {
        Image::Init
    } else {
        Image::Core
    }
}

/// Each pass: the flags a section must have, and those it must not have.
const PASSES: [(Pass, u64, u64); 4] = [
    (Pass::Text, SHF_EXECINSTR | SHF_ALLOC, 0),
    (Pass::Rodata, SHF_ALLOC, SHF_WRITE),
    (Pass::RoAfterInit, SHF_RO_AFTER_INIT | SHF_ALLOC, 0),
    (Pass::Data, SHF_WRITE | SHF_ALLOC, 0),
];

fn sections_of(
    sections: &mut [Candidate<'_>],
    image: Image,
    config: &Config,
    places: &mut Vec<Place>,
) -> Result<Extent, TooLarge> {
    let mut size = 0u64;
    let mut extent = Extent::default();
    for (pass, must, must_not) in PASSES {
        // An earlier pass may have taken a section: executable code is "not writable", too.
        for c in sections.iter_mut().filter(|c| {
            !c.placed && c.image == image && c.flags & must == must && c.flags & must_not == 0
        }) {
            c.placed = true;
            let offset = module_get_offset(&mut size, c.section)?;
            places.push(Place {
                section: c.section.index,
                image,
                pass,
                offset,
                size: c.section.size,
            });
        }
        match pass {
            Pass::Text => {
                size = strict_align(size, config)?;
                extent.text = size;
            }
            Pass::Rodata => {
                size = strict_align(size, config)?;
                extent.ro = size;
                extent.ro_after_init = size;
            }
            // In the init image there is nothing to protect later.
            Pass::RoAfterInit if image == Image::Core => {
                size = strict_align(size, config)?;
                extent.ro_after_init = size;
            }
            Pass::RoAfterInit => {}
            Pass::Data if config.typed_memory => {}
            Pass::Data => size = strict_align(size, config)?,
        }
    }
    extent.size = size;
    Ok(extent)
}

/// `layout_symtab`: the whole table at the end of init, the core symbols at the end of core.
fn layout_symtab(
    info: &LoadInfo<'_>,
    config: &Config,
    core: &mut Extent,
    init: &mut Extent,
) -> Result<Kallsyms, TooLarge> {
    let word = info.elf.word_size() as u64;
    let entry = if info.elf.class64 { 24 } else { 16 };
    let empty = Section::default();
    let symtab = &info.elf.sections[info.index.sym];
    let strtab = info.elf.sections.get(info.index.str_).unwrap_or(&empty);
    let livepatch = info.modinfo.get("livepatch").is_some();

    let init_symtab = module_get_offset(&mut init.size, symtab)?;
    let symbols = info.elf.symbols();
    let total = symbols.len() as u64;
    let (mut count, mut strings) = (0u64, 0u64);
    for (i, symbol) in symbols.enumerate() {
        if i == 0 || livepatch || is_core_symbol(info, &symbol, config) {
            count += 1;
            strings += symbol.name.len() as u64 + 1;
        }
    }
    let core_symtab = align(core.size, symtab.align)?;
    let core_strtab = core_symtab + count * entry;
    let core_types = core_strtab + strings;
    core.size = strict_align(bounded(core_types + count)?, config)?;

    let init_strtab = module_get_offset(&mut init.size, strtab)?;
    // struct mod_kallsyms: symtab, an int, strtab, typetab.
    let init_struct = align(init.size, word)?;
    let init_types = init_struct + 4 * word;
    init.size = strict_align(bounded(init_types + total)?, config)?;
    Ok(Kallsyms {
        init_symtab,
        init_strtab,
        init_struct,
        init_types,
        core_symtab,
        core_strtab,
        core_types,
        core_symbols: count,
    })
}

/// `is_core_symbol`: whether a symbol is still known after init.
pub fn is_core_symbol(info: &LoadInfo<'_>, symbol: &Symbol<'_>, config: &Config) -> bool {
    let index = symbol.shndx as usize;
    if symbol.shndx == SHN_UNDEF || index >= info.elf.sections.len() || symbol.name.is_empty() {
        return false;
    }
    if config.kallsyms_all && index == info.index.pcpu {
        return true;
    }
    let section = &info.elf.sections[index];
    info.is_loaded(index)
        && (config.kallsyms_all || section.is_exec())
        && image_of(section.name, config) == Image::Core
}

/// `module_get_offset`: the next place for a section; `size` grows past it.
fn module_get_offset(size: &mut u64, section: &Section<'_>) -> Result<u64, TooLarge> {
    let offset = align(*size, section.align)?;
    *size = bounded(offset.checked_add(section.size).ok_or(TooLarge)?)?;
    Ok(offset)
}

fn strict_align(size: u64, config: &Config) -> Result<u64, TooLarge> {
    if config.strict_rwx {
        align(size, config.page)
    } else {
        Ok(size)
    }
}

/// Rounds up. The kernel's ALIGN takes powers of two; a file may say anything.
fn align(size: u64, to: u64) -> Result<u64, TooLarge> {
    bounded(size.checked_next_multiple_of(to.max(1)).ok_or(TooLarge)?)
}

fn bounded(size: u64) -> Result<u64, TooLarge> {
    if size > MODULES_LEN {
        Err(TooLarge)
    } else {
        Ok(size)
    }
}
