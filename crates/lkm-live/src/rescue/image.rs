//! Writes the rescue module: an ELF file of a few KiB made of the machine code of
//! rescue.S and of facts about one kernel. No compiler, no headers.

use super::Error;
use super::facts::Facts;

core::arch::global_asm!(
    ".pushsection .rodata.lkm_rescue, \"a\"",
    include_str!("rescue.S"),
    ".popsection",
    options(raw)
);

unsafe extern "C" {
    static lkm_rescue_start: u8;
    static lkm_rescue_params_at: u8;
    static lkm_rescue_end: u8;
}

/// Most clean-up calls, and most repaired words, that one rescue module makes.
pub const MOST: usize = 16;

/// Bytes of the parameter block.
const PARAMS: usize = LOADS_AT + 9 * 8;
const CALLS_AT: usize = 144;
const CALL: usize = 104;
const WORD: usize = 24;
const LOADS_AT: usize = CALLS_AT + MOST * CALL + MOST * WORD;

/// Places in the parameter block of what only the running kernel can say, for whoever
/// fills them in later: bytes from its beginning.
pub mod place {
    /// The list head `modules`; the other four [`super::Addresses`] follow in their order.
    pub const ADDRESSES: usize = 0;
    /// The `struct module`.
    pub const TARGET: usize = 40;
    /// The state it was seen with.
    pub const STATE: usize = 96;
    /// The raw count it was seen with.
    pub const REFCNT: usize = 104;
    /// 1 to make it live and unused, 3 to take its init and exit away as well.
    pub const FLAGS: usize = 112;
    /// `idem_hash`.
    pub const IDEM_HASH: usize = super::LOADS_AT;
    /// `init_task`.
    pub const INIT_TASK: usize = super::LOADS_AT + 8;
    /// `__rcu_read_lock`, or nothing.
    pub const RCU_LOCK: usize = super::LOADS_AT + 56;
    /// `__rcu_read_unlock`, or nothing.
    pub const RCU_UNLOCK: usize = super::LOADS_AT + 64;

    /// The function of a clean-up call.
    pub fn function(call: usize) -> usize {
        super::CALLS_AT + call * super::CALL
    }

    /// The value or address of an argument of a clean-up call.
    pub fn argument(call: usize, argument: usize) -> usize {
        function(call) + 16 + argument * 24
    }
}

/// Offsets by which the tasks of the kernel are walked, to tell dead loads from live ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// `task_struct.tasks`.
    pub tasks: u64,
    /// `task_struct.stack`.
    pub stack: u64,
    /// `task_struct.signal`.
    pub signal: u64,
    /// `signal_struct.thread_head`.
    pub thread_head: u64,
    /// `task_struct.thread_node`.
    pub thread_node: u64,
}

/// An argument of a clean-up call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// The value is what is found at `base`, plus `addend`; else it is `base`.
    pub indirect: bool,
    /// A value or an address.
    pub base: u64,
    /// Added to what is found at `base`.
    pub addend: u64,
}

/// A clean-up call: a function of the kernel with up to four arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The function's address.
    pub function: u64,
    /// Its arguments.
    pub arguments: [Argument; 4],
}

/// A word to change, if it still is what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Where.
    pub address: u64,
    /// What must be there.
    pub old: u64,
    /// What is to be there.
    pub new: u64,
}

/// Addresses of the running kernel that the machine code calls or reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The list head `modules`.
    pub modules: u64,
    /// `module_mutex`.
    pub module_mutex: u64,
    /// `mutex_trylock`.
    pub trylock: u64,
    /// `mutex_lock`.
    pub lock: u64,
    /// `mutex_unlock`.
    pub unlock: u64,
}

/// What the module is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The kernel's addresses.
    pub addresses: Addresses,
    /// The `struct module` to work on, and the state and raw count it was seen with.
    pub target: u64,
    /// `enum module_state` as it was seen.
    pub state: u32,
    /// `refcnt.counter` as it was seen.
    pub refcnt: u32,
    /// Make it LIVE without users.
    pub heal: bool,
    /// Take its init and exit away, too: neither may run any more.
    pub drop_exit: bool,
    /// Clean-up calls, made first and in order.
    pub calls: Vec<Call>,
    /// Words to repair, after the calls.
    pub repairs: Vec<Repair>,
    /// For a module that looks for dead loads itself, once [`place::IDEM_HASH`] is filled in.
    pub tasks: Tasks,
}

/// The machine code, and where in it the displacement of the parameters stands.
fn code() -> (&'static [u8], u64) {
    let start = &raw const lkm_rescue_start;
    let end = &raw const lkm_rescue_end;
    let params = &raw const lkm_rescue_params_at;
    // SAFETY: the three symbols are defined by the one piece of assembly above, in this
    // order and in one section, so start..end is one read-only object of that length.
    unsafe {
        let length = usize::try_from(end.offset_from(start)).unwrap_or(0);
        let at = u64::try_from(params.offset_from(start)).unwrap_or(0);
        (core::slice::from_raw_parts(start, length), at)
    }
}

/// The parameter block that rescue.S reads.
fn params(job: &Job, facts: &Facts) -> Result<Vec<u8>, Error> {
    if job.calls.len() > MOST || job.repairs.len() > MOST {
        return Err(Error::TooMuch);
    }
    let mut block = vec![0; PARAMS];
    let mut put = |at: usize, value: u64| block[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let a = &job.addresses;
    let o = &facts.offsets;
    let words = [
        a.modules,
        a.module_mutex,
        a.trylock,
        a.lock,
        a.unlock,
        job.target,
        o.list,
        o.state,
        o.refcnt,
        facts.init,
        facts.exit,
        o.source_list,
        job.state.into(),
        job.refcnt.into(),
        u64::from(job.heal) | u64::from(job.drop_exit) << 1,
        job.calls.len() as u64,
        job.repairs.len() as u64,
    ];
    for (n, word) in words.into_iter().enumerate() {
        put(n * 8, word);
    }
    for (n, call) in job.calls.iter().enumerate() {
        let at = CALLS_AT + n * CALL;
        put(at, call.function);
        for (k, argument) in call.arguments.iter().enumerate() {
            put(at + 8 + k * 24, u64::from(argument.indirect));
            put(at + 16 + k * 24, argument.base);
            put(at + 24 + k * 24, argument.addend);
        }
    }
    for (n, repair) in job.repairs.iter().enumerate() {
        let at = CALLS_AT + MOST * CALL + n * WORD;
        put(at, repair.address);
        put(at + 8, repair.old);
        put(at + 16, repair.new);
    }
    let t = &job.tasks;
    let offsets = [t.tasks, t.stack, t.signal, t.thread_head, t.thread_node];
    for (n, word) in offsets.into_iter().enumerate() {
        put(LOADS_AT + 16 + n * 8, word);
    }
    Ok(block)
}

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_RELA: u32 = 4;
const WRITE: u64 = 1;
const ALLOC: u64 = 2;
const EXECUTE: u64 = 4;
const INFO_LINK: u64 = 0x40;
const R_X86_64_64: u64 = 1;
const R_X86_64_PC32: u64 = 2;

/// A section to be: header fields and content.
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
    content: Vec<u8>,
}

impl Section {
    fn new(name: &'static str, kind: u32, flags: u64, align: u64, content: Vec<u8>) -> Section {
        Section {
            name,
            kind,
            flags,
            link: 0,
            info: 0,
            align,
            entry: 0,
            content,
        }
    }

    fn linked(mut self, link: u32, info: u32, entry: u64) -> Section {
        (self.link, self.info, self.entry) = (link, info, entry);
        self
    }
}

/// The name the rescue module has while its init runs.
pub const NAME: &str = "lkm_rescue";

/// The module file for this job on the kernel that these facts are about.
///
/// # Errors
/// When the job has more calls or repairs than fit, or `struct module` has no room for
/// what goes into it.
pub fn write(job: &Job, facts: &Facts) -> Result<Vec<u8>, Error> {
    template(job, facts).map(|(file, _)| file)
}

/// The same, and where in the file the parameter block begins.
///
/// # Errors
/// As [`write`].
pub fn template(job: &Job, facts: &Facts) -> Result<(Vec<u8>, usize), Error> {
    let (code, params_at) = code();
    let mut this_module = vec![0; usize::try_from(facts.size).map_err(|_| Error::TooMuch)?];
    let name_at = usize::try_from(facts.offsets.name).map_err(|_| Error::TooMuch)?;
    this_module
        .get_mut(name_at..name_at + NAME.len())
        .ok_or(Error::TooMuch)?
        .copy_from_slice(NAME.as_bytes());
    let modinfo: String = [
        format!("name={NAME}"),
        format!("vermagic={}", facts.vermagic),
        "license=Dual MIT/GPL".into(),
        "description=frees a stuck module once, and never stays".into(),
        "depends=".into(),
        "retpoline=Y".into(),
    ]
    .iter()
    .map(|line| format!("{line}\0"))
    .collect();
    let mut versions = vec![0; 64];
    versions[..8].copy_from_slice(&u64::from(facts.layout_crc.unwrap_or(0)).to_le_bytes());
    versions[8..21].copy_from_slice(b"module_layout");

    // Symbol 1 is the .data section, symbol 2 is init_module at the start of .text.
    let mut symbols = vec![0; 24];
    symbols.extend(symbol(0, 3, 3, 0));
    symbols.extend(symbol(1, 0x12, 1, code.len() as u64));
    let mut sections = vec![
        Section::new("", 0, 0, 0, Vec::new()),
        Section::new(".text", SHT_PROGBITS, ALLOC | EXECUTE, 64, code.to_vec()),
        Section::new(
            ".rela.text",
            SHT_RELA,
            INFO_LINK,
            8,
            rela(params_at, 1, R_X86_64_PC32, -4),
        )
        .linked(8, 1, 24),
        Section::new(
            ".data",
            SHT_PROGBITS,
            ALLOC | WRITE,
            64,
            params(job, facts)?,
        ),
        Section::new(".modinfo", SHT_PROGBITS, ALLOC, 1, modinfo.into_bytes()),
        Section::new("__versions", SHT_PROGBITS, ALLOC, 32, versions),
        Section::new(
            ".gnu.linkonce.this_module",
            SHT_PROGBITS,
            ALLOC | WRITE,
            64,
            this_module,
        ),
        Section::new(
            ".rela.gnu.linkonce.this_module",
            SHT_RELA,
            INFO_LINK,
            8,
            rela(facts.init, 2, R_X86_64_64, 0),
        )
        .linked(8, 6, 24),
        Section::new(".symtab", SHT_SYMTAB, 0, 8, symbols).linked(9, 2, 24),
        Section::new(".strtab", SHT_STRTAB, 0, 1, b"\0init_module\0".to_vec()),
    ];
    if facts.layout_crc.is_none() {
        // A kernel without modversions: an empty table, so that the indexes above stay.
        sections[5].content.clear();
    }
    Ok(elf(sections, DATA))
}

/// The section that has the parameter block, in the order above.
const DATA: usize = 3;

fn symbol(name: u32, info: u8, section: u16, size: u64) -> Vec<u8> {
    let mut out = name.to_le_bytes().to_vec();
    out.extend([info, 0]);
    out.extend(section.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.extend(size.to_le_bytes());
    out
}

fn rela(offset: u64, symbol: u64, kind: u64, addend: i64) -> Vec<u8> {
    let mut out = offset.to_le_bytes().to_vec();
    out.extend((symbol << 32 | kind).to_le_bytes());
    out.extend(addend.to_le_bytes());
    out
}

/// Header, sections, names and section headers, in this order; and where the content of
/// section `wanted` begins.
fn elf(mut sections: Vec<Section>, wanted: usize) -> (Vec<u8>, usize) {
    sections.push(Section::new(".shstrtab", SHT_STRTAB, 0, 1, Vec::new()));
    let mut names = Vec::new();
    let mut name_offsets = Vec::new();
    for section in &sections {
        name_offsets.push(names.len() as u32);
        names.extend_from_slice(section.name.as_bytes());
        names.push(0);
    }
    if let Some(last) = sections.last_mut() {
        last.content = names;
    }
    let mut file = vec![0; 64];
    let mut headers = Vec::new();
    let mut begins = 0;
    for (n, (section, name)) in sections.iter().zip(name_offsets).enumerate() {
        let align = section.align.max(1) as usize;
        file.resize(file.len().next_multiple_of(align), 0);
        if n == wanted {
            begins = file.len();
        }
        headers.extend(name.to_le_bytes());
        headers.extend(section.kind.to_le_bytes());
        for word in [
            section.flags,
            0,
            file.len() as u64,
            section.content.len() as u64,
        ] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend(section.link.to_le_bytes());
        headers.extend(section.info.to_le_bytes());
        headers.extend(section.align.to_le_bytes());
        headers.extend(section.entry.to_le_bytes());
        file.extend_from_slice(&section.content);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let table = file.len() as u64;
    file.extend(headers);
    let count = sections.len() as u16;
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16..18].copy_from_slice(&1u16.to_le_bytes()); // ET_REL
    file[18..20].copy_from_slice(&62u16.to_le_bytes()); // EM_X86_64
    file[20..24].copy_from_slice(&1u32.to_le_bytes());
    file[40..48].copy_from_slice(&table.to_le_bytes());
    file[52..54].copy_from_slice(&64u16.to_le_bytes());
    file[58..60].copy_from_slice(&64u16.to_le_bytes());
    file[60..62].copy_from_slice(&count.to_le_bytes());
    file[62..64].copy_from_slice(&(count - 1).to_le_bytes());
    (file, begins)
}

#[cfg(test)]
mod tests;
