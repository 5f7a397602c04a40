//! An ELF writer for tests: a small, valid module whose every header can be bent afterwards.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub const SHT_PROGBITS: u32 = 1;
pub const SHT_SYMTAB: u32 = 2;
pub const SHT_STRTAB: u32 = 3;
pub const SHT_RELA: u32 = 4;
pub const SHT_NOBITS: u32 = 8;
pub const WRITE: u64 = 1;
pub const ALLOC: u64 = 2;
pub const EXEC: u64 = 4;
pub const VERMAGIC: &str = "6.1.0-test SMP preempt mod_unload modversions ";

#[derive(Clone)]
pub struct Section {
    pub name: &'static str,
    pub kind: u32,
    pub flags: u64,
    pub data: Vec<u8>,
    pub link: u32,
    pub info: u32,
    pub align: u64,
}

pub fn section(name: &'static str, kind: u32, flags: u64, data: &[u8]) -> Section {
    Section {
        name,
        kind,
        flags,
        data: data.to_vec(),
        link: 0,
        info: 0,
        align: 8,
    }
}

/// One symbol table entry.
pub fn symbol(name: u32, info: u8, shndx: u16, value: u64) -> Vec<u8> {
    let mut v = name.to_le_bytes().to_vec();
    v.extend([info, 0]);
    v.extend(shndx.to_le_bytes());
    v.extend(value.to_le_bytes());
    v.extend(0u64.to_le_bytes());
    v
}

/// One relocation.
pub fn rela(offset: u64, sym: u32, kind: u32, addend: i64) -> Vec<u8> {
    let mut v = offset.to_le_bytes().to_vec();
    v.extend((u64::from(sym) << 32 | u64::from(kind)).to_le_bytes());
    v.extend(addend.to_le_bytes());
    v
}

/// One entry of `__versions`.
pub fn version(name: &str, crc: u32) -> Vec<u8> {
    let mut v = u64::from(crc).to_le_bytes().to_vec();
    v.extend(name.as_bytes());
    v.resize(64, 0);
    v
}

/// Section numbers in [`module`].
pub const TEXT: usize = 1;
pub const RELA_TEXT: usize = 2;
pub const INIT: usize = 3;
pub const MODINFO: usize = 4;
pub const VERSIONS: usize = 5;
pub const THIS: usize = 6;
pub const RELA_THIS: usize = 7;
pub const BSS: usize = 8;
pub const SYMTAB: usize = 9;
pub const STRTAB: usize = 10;
pub const SHSTRTAB: usize = 11;

/// The sections of a module called `small`, that imports `_printk` and has an init function.
pub fn module() -> Vec<Section> {
    let mut this = vec![0u8; 896];
    this[24..29].copy_from_slice(b"small");
    let strings = b"\0_printk\0init_module\0helper\0";
    let mut symbols = symbol(0, 0, 0, 0);
    symbols.extend(symbol(1, 0x10, 0, 0));
    symbols.extend(symbol(9, 0x12, INIT as u16, 0));
    symbols.extend(symbol(21, 2, TEXT as u16, 0));
    let info = format!(
        "license=GPL\0name=small\0intree=Y\0retpoline=Y\0vermagic={VERMAGIC}\0parm=n:number\0parmtype=n:int\0"
    );
    let mut versions = version("module_layout", 0x1111_2222);
    versions.extend(version("_printk", 0x3333_4444));
    let mut all = vec![
        section("", 0, 0, &[]),
        section(".text", SHT_PROGBITS, ALLOC | EXEC, &[0; 32]),
        section(".rela.text", SHT_RELA, 0x40, &rela(8, 1, 4, -4)),
        section(".init.text", SHT_PROGBITS, ALLOC | EXEC, &[0xc3; 16]),
        section(".modinfo", SHT_PROGBITS, ALLOC, info.as_bytes()),
        section("__versions", SHT_PROGBITS, ALLOC, &versions),
        section(
            ".gnu.linkonce.this_module",
            SHT_PROGBITS,
            ALLOC | WRITE,
            &this,
        ),
        section(
            ".rela.gnu.linkonce.this_module",
            SHT_RELA,
            0x40,
            &rela(0x138, 2, 1, 0),
        ),
        section(".bss", SHT_NOBITS, ALLOC | WRITE, &[]),
        section(".symtab", SHT_SYMTAB, 0, &symbols),
        section(".strtab", SHT_STRTAB, 0, strings),
        section(".shstrtab", SHT_STRTAB, 0, &[]),
    ];
    all[RELA_TEXT].link = SYMTAB as u32;
    all[RELA_TEXT].info = TEXT as u32;
    all[RELA_THIS].link = SYMTAB as u32;
    all[RELA_THIS].info = THIS as u32;
    all[SYMTAB].link = STRTAB as u32;
    all
}

/// A written file, whose headers can be changed in place.
#[derive(Clone)]
pub struct File {
    pub data: Vec<u8>,
    pub shoff: usize,
}

/// Writes ELF64, little endian, x86-64. The last section receives the section names.
pub fn write(sections: &[Section]) -> File {
    let mut names = vec![0u8];
    let offsets: Vec<u32> = sections
        .iter()
        .map(|s| {
            if s.name.is_empty() {
                return 0;
            }
            let at = names.len() as u32;
            names.extend(s.name.as_bytes());
            names.push(0);
            at
        })
        .collect();
    let mut sections = sections.to_vec();
    sections.last_mut().unwrap().data = names;
    let mut data = vec![0u8; 64];
    let mut headers = Vec::new();
    for (s, name) in sections.iter().zip(offsets) {
        data.resize(data.len().next_multiple_of(8), 0);
        headers.extend(name.to_le_bytes());
        headers.extend(s.kind.to_le_bytes());
        headers.extend(s.flags.to_le_bytes());
        headers.extend(0u64.to_le_bytes());
        let offset = if s.kind == 0 { 0 } else { data.len() as u64 };
        headers.extend(offset.to_le_bytes());
        headers.extend((s.data.len() as u64).to_le_bytes());
        headers.extend(s.link.to_le_bytes());
        headers.extend(s.info.to_le_bytes());
        headers.extend(s.align.to_le_bytes());
        headers.extend(0u64.to_le_bytes());
        data.extend(&s.data);
    }
    data.resize(data.len().next_multiple_of(8), 0);
    let shoff = data.len();
    data.extend(&headers);
    data[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    data[16..18].copy_from_slice(&1u16.to_le_bytes());
    data[18..20].copy_from_slice(&62u16.to_le_bytes());
    data[20..24].copy_from_slice(&1u32.to_le_bytes());
    data[40..48].copy_from_slice(&(shoff as u64).to_le_bytes());
    data[52..54].copy_from_slice(&64u16.to_le_bytes());
    data[58..60].copy_from_slice(&64u16.to_le_bytes());
    data[60..62].copy_from_slice(&(sections.len() as u16).to_le_bytes());
    data[62..64].copy_from_slice(&(sections.len() as u16 - 1).to_le_bytes());
    File { data, shoff }
}

impl File {
    /// Overwrites bytes.
    pub fn put(mut self, at: usize, bytes: &[u8]) -> File {
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Overwrites a field of a section header: 0 name, 4 type, 8 flags, 16 addr, 24 offset, 32 size, 40 link, 44 info.
    pub fn header(self, section: usize, field: usize, bytes: &[u8]) -> File {
        let at = self.shoff + section * 64 + field;
        self.put(at, bytes)
    }
}

/// A small deterministic generator (xorshift64*), so that a failure can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A damaged copy: some bytes changed, words replaced by telling values, or a piece cut off or moved.
pub fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    const WORDS: [u64; 10] = [
        0,
        1,
        0x7f,
        0xff00,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        0x7fff_ffff_ffff_ffff,
        u64::MAX - 7,
        u64::MAX,
    ];
    let mut data = original.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len());
        match random.below(8) {
            0 => data.truncate(at.max(1)),
            1 => {
                let word = WORDS[random.below(WORDS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                let end = (at + width).min(data.len());
                data[at..end].copy_from_slice(&word[..end - at]);
            }
            2 => {
                let from = random.below(data.len());
                let n = random.below(64).min(data.len() - at).min(data.len() - from);
                data.copy_within(from..from + n, at);
            }
            3 => data[at] ^= 1 << random.below(8),
            _ => data[at] = random.next() as u8,
        }
    }
    data
}
