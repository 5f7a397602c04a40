//! What the kernel refuses about a module file, in its order, with its errno and its words.
//!
//! The functions carry the names they have in `kernel/module/main.c` (Linux
//! 6.1); step names (`L1`...`L36`) number the checks of `load_module` in the
//! order in which they happen. Checks that need the running kernel (symbol
//! lookup, same-name loads, memory) are not here; those that need only a value
//! of it (vermagic, a CRC, the blacklist) take it from [`Rules`].
//!
//! [`load_checks`] runs them all; a kernel that has steps of its own between
//! them calls the stages one by one.

mod modinfo;
mod signature;
mod symbols;
mod validity;

use crate::elf::Elf;
use crate::modinfo::Modinfo;

pub use modinfo::{
    check_modinfo, check_modstruct_version, check_version, early_mod_check,
    license_is_gpl_compatible, module_enforce_rwx_sections, same_magic,
};
pub use signature::{Signed, module_sig_check};
pub use symbols::{
    Place, check_module_license_and_versions, check_relocations, classify_symbol,
    find_module_sections,
};
pub use validity::{elf_validity_check, setup_load_info};

/// Error numbers the checks answer with (asm-generic/errno-base.h, errno.h).
pub mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ENOEXEC: i32 = 8;
    pub const EINVAL: i32 = 22;
    pub const ENODATA: i32 = 61;
    pub const ENOPKG: i32 = 65;
    pub const EBADMSG: i32 = 74;
    pub const ENOKEY: i32 = 126;
    pub const EKEYREJECTED: i32 = 129;
}

/// `finit_module` flag: pretend there is no `__versions` section.
pub const MODULE_INIT_IGNORE_MODVERSIONS: u32 = 1;
/// `finit_module` flag: pretend there is no vermagic.
pub const MODULE_INIT_IGNORE_VERMAGIC: u32 = 2;
/// `finit_module` flag: the file is compressed.
pub const MODULE_INIT_COMPRESSED_FILE: u32 = 4;

/// Which kernel's ELF checks apply: they were rewritten once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfChecks {
    /// One pass, as until 6.2: the first symbol table counts.
    V6_1,
    /// `elf_validity_cache_*`: unique `.modinfo`, `this_module` and symbol table, exact struct size.
    V6_12,
}

/// What the checks must know of the kernel that loads.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The kernel's own `e_machine`.
    pub machine: u16,
    /// A 64-bit kernel.
    pub class64: bool,
    /// A big-endian kernel.
    pub big_endian: bool,
    pub elf_checks: ElfChecks,
    /// `sizeof(struct module)`; compared by [`ElfChecks::V6_12`] when known.
    pub module_struct_size: Option<u64>,
    /// The kernel's vermagic; `None` takes any module's.
    pub vermagic: Option<&'a str>,
    /// Flags of `finit_module`.
    pub flags: u32,
    /// `module_blacklist=` of the command line: names, comma between.
    pub blacklist: &'a str,
    /// CRC of `module_layout`, when known.
    pub layout_crc: Option<u32>,
    /// CONFIG_MODVERSIONS.
    pub modversions: bool,
    /// CONFIG_MODULE_FORCE_LOAD.
    pub force_load: bool,
    /// CONFIG_MODULE_SIG.
    pub module_sig: bool,
    /// `module.sig_enforce` or CONFIG_MODULE_SIG_FORCE.
    pub sig_enforce: bool,
    /// Lockdown at `integrity` or more.
    pub lockdown: bool,
    /// `comm` of the loading task, which lockdown's message names.
    pub comm: &'a str,
    /// Whose signatures the kernel has keys for.
    pub keys: Keys<'a>,
    /// A kernel built with retpolines that mitigates Spectre v2.
    pub retpoline: bool,
    /// CONFIG_LIVEPATCH.
    pub livepatch: bool,
    /// CONFIG_STRICT_MODULE_RWX.
    pub strict_rwx: bool,
    /// CONFIG_CONSTRUCTORS.
    pub constructors: bool,
}

/// The kernel's keyring, as far as a file can be judged without its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys<'a> {
    /// No key fits: each well-formed signature ends in ENOKEY.
    Empty,
    /// Signatures that name one of these key ids (serial number or subject key id) hold.
    /// The mathematics of the signature is not repeated here.
    Ids(&'a [&'a [u8]]),
    /// Each well-formed signature holds: the module comes from where the kernel comes from.
    All,
}

impl Default for Rules<'_> {
    /// A Debian 6.1 kernel on x86-64.
    fn default() -> Self {
        Rules {
            machine: crate::elf::EM_X86_64,
            class64: true,
            big_endian: false,
            elf_checks: ElfChecks::V6_1,
            module_struct_size: None,
            vermagic: None,
            flags: 0,
            blacklist: "",
            layout_crc: None,
            modversions: true,
            force_load: true,
            module_sig: true,
            sig_enforce: false,
            lockdown: false,
            comm: "insmod",
            keys: Keys::Empty,
            retpoline: true,
            livepatch: true,
            strict_rwx: true,
            constructors: false,
        }
    }
}

/// The load fails here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The errno the system call returns, as a positive number.
    pub errno: i32,
    /// What the kernel logs (without level and newline); `None` when it says nothing.
    pub message: Option<String>,
    /// The step of `load_module`: `L1`...
    pub step: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(m) => write!(f, "{m} (errno {}, {})", self.errno, self.step),
            None => write!(f, "errno {} at {}", self.errno, self.step),
        }
    }
}

impl std::error::Error for Refusal {}

/// When an event's message is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// Each time.
    Always,
    /// Only while the kernel does not have the taint yet.
    FirstTaint,
    /// Once since boot (`pr_notice_once`).
    Boot,
}

/// Something a check logs or taints without failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub step: &'static str,
    /// Letter of the taint flag it sets on the kernel.
    pub taint: Option<char>,
    /// Whether the module gets the taint as well.
    pub taints_module: bool,
    /// What is logged (without level and newline).
    pub message: Option<String>,
    pub once: Once,
}

impl Event {
    fn log(step: &'static str, message: String) -> Event {
        Event {
            step,
            taint: None,
            taints_module: false,
            message: Some(message),
            once: Once::Always,
        }
    }

    fn taint(step: &'static str, letter: char, message: Option<String>, once: Once) -> Event {
        Event {
            step,
            taint: Some(letter),
            taints_module: true,
            message,
            once,
        }
    }
}

/// The kernel's `struct load_info`: the file and the sections the loader needs.
#[derive(Debug, Clone)]
pub struct LoadInfo<'d> {
    /// The file as the kernel reads it: with its own class and byte order.
    pub elf: Elf<'d>,
    /// Name in messages: `name=` of `.modinfo`, else that of `struct module`.
    pub name: &'d str,
    /// Name in `struct module`, which the loaded module bears.
    pub mod_name: &'d str,
    pub modinfo: Modinfo<'d>,
    /// Whether the signature was found good.
    pub sig_ok: bool,
    pub index: Index,
}

/// Section indexes; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Index {
    pub info: usize,
    pub sym: usize,
    pub str_: usize,
    pub module: usize,
    pub vers: usize,
    pub pcpu: usize,
}

impl<'d> LoadInfo<'d> {
    /// `find_sec`: the first *allocated* section of that name; 0 when there is none.
    pub fn find_sec(&self, name: &str) -> usize {
        find_sec(&self.elf, name)
    }

    /// Whether the section is copied into the module's memory: allocated, and not
    /// `.modinfo`, `__versions` or the per-CPU template, which lose the flag on the way.
    pub fn is_loaded(&self, index: usize) -> bool {
        let Index {
            info, vers, pcpu, ..
        } = self.index;
        self.elf.sections.get(index).is_some_and(|s| s.is_alloc())
            && ![0, info, vers, pcpu].contains(&index)
    }
}

fn find_sec(elf: &Elf<'_>, name: &str) -> usize {
    elf.sections
        .iter()
        .skip(1)
        .find(|s| s.is_alloc() && s.name == name)
        .map_or(0, |s| s.index)
}

/// What passed, and what was logged and tainted on the way.
#[derive(Debug, Clone)]
pub struct Accepted<'d> {
    pub info: LoadInfo<'d>,
    /// In the kernel's order.
    pub events: Vec<Event>,
}

/// Every check of `load_module` that the file and [`Rules`] decide, in order.
///
/// `data` is the file as given to `init_module` (uncompressed). Undefined
/// symbols are taken to resolve.
///
/// # Errors
/// The first [`Refusal`]; for bad symbols, the errno and message of the last
/// one, as in the kernel, which goes through all of them.
pub fn load_checks<'d>(data: &'d [u8], rules: &Rules<'_>) -> Result<Accepted<'d>, Refusal> {
    let mut events = Vec::new();
    let signed = module_sig_check(data, rules, &mut events)?;
    let body = &data[..signed.len];
    elf_validity_check(body, rules)?;
    let mut info = setup_load_info(body, rules)?;
    info.sig_ok = signed.ok;
    early_mod_check(&info, rules)?;
    check_modstruct_version(&info, rules, &mut events)?;
    check_modinfo(&info, rules, &mut events)?;
    module_enforce_rwx_sections(&info, rules)?;
    if rules.module_sig && !info.sig_ok {
        let text = format!(
            "{}: module verification failed: signature and/or required key missing - tainting kernel",
            info.mod_name
        );
        events.push(Event::taint("L28", 'E', Some(text), Once::Boot));
    }
    find_module_sections(&info, rules, &mut events)?;
    check_module_license_and_versions(&info, rules, &mut events)?;
    simplify_symbols(&info, &mut events)?;
    check_relocations(&info)?;
    Ok(Accepted { info, events })
}

/// The part of `simplify_symbols` that needs no lookup.
fn simplify_symbols(info: &LoadInfo<'_>, events: &mut Vec<Event>) -> Result<(), Refusal> {
    let mut last = None;
    for symbol in info.elf.symbols().skip(1) {
        if let Err(refusal) = classify_symbol(info, &symbol)
            && let Some(Refusal {
                message: Some(before),
                step,
                ..
            }) = last.replace(refusal)
        {
            events.push(Event::log(step, before));
        }
    }
    last.map_or(Ok(()), Err)
}
