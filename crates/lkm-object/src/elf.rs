//! ELF of both classes and byte orders, borrowed from the file's bytes, every access checked.

use crate::bytes::{Order, str_at};
use crate::error::{Error, Result};

/// `e_type` of a relocatable object, which every module is.
pub const ET_REL: u16 = 1;
/// `e_machine` of x86-64.
pub const EM_X86_64: u16 = 62;

pub const SHT_NULL: u32 = 0;
pub const SHT_PROGBITS: u32 = 1;
pub const SHT_SYMTAB: u32 = 2;
pub const SHT_STRTAB: u32 = 3;
pub const SHT_RELA: u32 = 4;
pub const SHT_NOTE: u32 = 7;
pub const SHT_NOBITS: u32 = 8;
pub const SHT_REL: u32 = 9;

pub const SHF_WRITE: u64 = 1;
pub const SHF_ALLOC: u64 = 2;
pub const SHF_EXECINSTR: u64 = 4;
/// The kernel's own flag for sections that become read-only after init (`include/linux/module.h`).
pub const SHF_RO_AFTER_INIT: u64 = 0x0020_0000;
/// Relocation and symbol sections of live patches.
pub const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;

pub const SHN_UNDEF: u32 = 0;
pub const SHN_LORESERVE: u32 = 0xff00;
pub const SHN_LIVEPATCH: u32 = 0xff20;
pub const SHN_ABS: u32 = 0xfff1;
pub const SHN_COMMON: u32 = 0xfff2;

pub const STB_LOCAL: u8 = 0;
pub const STB_GLOBAL: u8 = 1;
pub const STB_WEAK: u8 = 2;
pub const STT_NOTYPE: u8 = 0;
pub const STT_OBJECT: u8 = 1;
pub const STT_FUNC: u8 = 2;
pub const STT_SECTION: u8 = 3;
pub const STT_FILE: u8 = 4;

/// An ELF file. Sections and names borrow from the bytes it was parsed from.
#[derive(Debug, Clone)]
pub struct Elf<'d> {
    /// The whole file.
    pub data: &'d [u8],
    /// ELFCLASS64, else ELFCLASS32.
    pub class64: bool,
    /// ELFDATA2MSB, else ELFDATA2LSB.
    pub big_endian: bool,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`.
    pub e_type: u16,
    /// `e_flags`.
    pub flags: u32,
    /// `e_shstrndx`.
    pub shstrndx: usize,
    /// All section headers, index 0 included.
    pub sections: Vec<Section<'d>>,
    symtab: Option<usize>,
}

/// One section header and its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Section<'d> {
    /// Index in the section header table.
    pub index: usize,
    /// Its name; empty when the header names none or one outside the string table.
    pub name: &'d str,
    pub sh_type: u32,
    pub flags: u64,
    pub addr: u64,
    pub offset: u64,
    /// `sh_size`, also for NOBITS.
    pub size: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entsize: u64,
    /// The bytes in the file; empty for NOBITS and NULL.
    pub data: &'d [u8],
}

impl Section<'_> {
    /// Whether the section has a place in memory (`SHF_ALLOC`).
    pub fn is_alloc(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }
    /// Whether the section holds instructions (`SHF_EXECINSTR`).
    pub fn is_exec(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }
    /// Whether the section is writable (`SHF_WRITE`).
    pub fn is_write(&self) -> bool {
        self.flags & SHF_WRITE != 0
    }
}

/// One entry of the symbol table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'d> {
    pub name: &'d str,
    /// In a module, the offset in the section `shndx` names (or the value of an absolute symbol).
    pub value: u64,
    pub size: u64,
    pub info: u8,
    pub other: u8,
    /// Section index, or one of the reserved `SHN_` values.
    pub shndx: u32,
}

impl Symbol<'_> {
    /// `STB_`: local, global or weak.
    pub fn bind(&self) -> u8 {
        self.info >> 4
    }
    /// `STT_`: function, object, section...
    pub fn kind(&self) -> u8 {
        self.info & 15
    }
    /// Whether another module or the kernel must supply it.
    pub fn is_undefined(&self) -> bool {
        self.shndx == SHN_UNDEF
    }
    /// Whether `shndx` is the index of a section of the file.
    pub fn in_section(&self) -> bool {
        self.shndx != SHN_UNDEF && self.shndx < SHN_LORESERVE
    }
}

/// One relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rela {
    /// Offset in the section the relocations apply to (`sh_info` of theirs).
    pub offset: u64,
    /// Index in the symbol table.
    pub sym: u32,
    /// The architecture's relocation type.
    pub kind: u32,
    /// The explicit addend; 0 for SHT_REL, whose addend is in the relocated place.
    pub addend: i64,
}

impl<'d> Elf<'d> {
    /// Reads the header and the section header table.
    ///
    /// Any class, byte order, machine and type is accepted; whether the kernel
    /// would take the file is for [`crate::check::load_checks`] to say.
    ///
    /// # Errors
    /// When the file is no ELF file, or its section headers or a section's
    /// bytes lie outside it.
    pub fn parse(data: &'d [u8]) -> Result<Elf<'d>> {
        if data.len() < 20 {
            return Err(match data.get(..4) {
                Some(m) if m != b"\x7fELF" => Error::BadMagic,
                _ => Error::TooShort(data.len()),
            });
        }
        if &data[..4] != b"\x7fELF" {
            return Err(Error::BadMagic);
        }
        let class64 = match data[4] {
            1 => false,
            2 => true,
            other => return Err(Error::BadClass(other)),
        };
        let big_endian = match data[5] {
            1 => false,
            2 => true,
            other => return Err(Error::BadByteOrder(other)),
        };
        Elf::parse_as(data, class64, big_endian)
    }

    /// As [`Elf::parse`], with class and byte order given: the kernel reads a
    /// file in its own, whatever `e_ident` says.
    ///
    /// # Errors
    /// As [`Elf::parse`]; the magic is not looked at.
    pub fn parse_as(data: &'d [u8], class64: bool, big_endian: bool) -> Result<Elf<'d>> {
        let header = Header::read(data, class64, big_endian).ok_or(Error::TooShort(data.len()))?;
        if header.shoff == 0 || header.shnum == 0 {
            return Err(Error::SectionTable("the file has none"));
        }
        let entry = Header::shentsize(class64);
        if header.shentsize as usize != entry {
            return Err(Error::SectionTable("wrong entry size"));
        }
        let start = usize::try_from(header.shoff)
            .map_err(|_| Error::SectionTable("lies outside the file"))?;
        let table = start
            .checked_add(entry * header.shnum as usize)
            .and_then(|end| data.get(start..end))
            .ok_or(Error::SectionTable("lies outside the file"))?;

        let order = Order { big: big_endian };
        let mut sections = Vec::with_capacity(header.shnum as usize);
        let mut symtab = None;
        for (index, raw) in table.chunks_exact(entry).enumerate() {
            let section = Section::read(data, index, raw, order, class64)?;
            if section.sh_type == SHT_SYMTAB && symtab.is_none() {
                symtab = Some(index);
            }
            sections.push(section);
        }
        let names = sections
            .get(header.shstrndx as usize)
            .map_or(&[][..], |s: &Section| s.data);
        for (section, raw) in sections.iter_mut().zip(table.chunks_exact(entry)) {
            let at = order.u32(raw, 0).unwrap_or(0) as usize;
            section.name = str_at(names, at).unwrap_or("");
        }
        Ok(Elf {
            data,
            class64,
            big_endian,
            machine: header.machine,
            e_type: header.e_type,
            flags: header.flags,
            shstrndx: header.shstrndx as usize,
            sections,
            symtab,
        })
    }

    pub(crate) fn order(&self) -> Order {
        Order {
            big: self.big_endian,
        }
    }

    /// Bytes in a pointer of the file's architecture.
    pub fn word_size(&self) -> usize {
        if self.class64 { 8 } else { 4 }
    }

    /// The first section of that name.
    pub fn section(&self, name: &str) -> Option<&Section<'d>> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The first section of type SHT_SYMTAB, the one the kernel uses.
    pub fn symtab(&self) -> Option<&Section<'d>> {
        self.symtab.and_then(|i| self.sections.get(i))
    }

    /// The symbol table, index 0 included, so that [`Rela::sym`] indexes it.
    pub fn symbols(&self) -> Symbols<'d> {
        let (table, strings) = match self.symtab() {
            Some(s) => (
                s.data,
                self.sections
                    .get(s.link as usize)
                    .map_or(&[][..], |strings| strings.data),
            ),
            None => (&[][..], &[][..]),
        };
        let entry = if self.class64 { 24 } else { 16 };
        Symbols {
            table,
            strings,
            order: self.order(),
            class64: self.class64,
            next: 0,
            end: table.len() / entry,
        }
    }

    /// The symbol at an index, as relocations name it.
    pub fn symbol(&self, index: u32) -> Option<Symbol<'d>> {
        self.symbols().get(index as usize)
    }

    /// The relocations held by `section`; none when it is not SHT_RELA or SHT_REL.
    pub fn relas(&self, section: &Section<'d>) -> Relas<'d> {
        let explicit = section.sh_type == SHT_RELA;
        let entry = match (self.class64, explicit) {
            (true, true) => 24,
            (true, false) => 16,
            (false, true) => 12,
            (false, false) => 8,
        };
        let holds = explicit || section.sh_type == SHT_REL;
        Relas {
            chunks: if holds { section.data } else { &[] }.chunks_exact(entry),
            order: self.order(),
            class64: self.class64,
            explicit,
        }
    }

    /// The section that holds the relocations for section `index`, if any.
    pub fn relocations_of(&self, index: usize) -> Option<&Section<'d>> {
        self.sections
            .iter()
            .find(|s| (s.sh_type == SHT_RELA || s.sh_type == SHT_REL) && s.info as usize == index)
    }
}

/// The fields of the ELF header that matter here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub e_type: u16,
    pub machine: u16,
    pub shoff: u64,
    pub flags: u32,
    pub shentsize: u16,
    pub shnum: u16,
    pub shstrndx: u16,
}

impl Header {
    /// Size of the ELF header of a class, in bytes.
    pub const fn size(class64: bool) -> usize {
        if class64 { 64 } else { 52 }
    }

    /// Size of a section header of a class, in bytes.
    pub const fn shentsize(class64: bool) -> usize {
        if class64 { 64 } else { 40 }
    }

    pub fn read(data: &[u8], class64: bool, big: bool) -> Option<Header> {
        let o = Order { big };
        if data.len() < Header::size(class64) {
            return None;
        }
        let (shoff, tail) = if class64 { (40, 48) } else { (32, 36) };
        Some(Header {
            e_type: o.u16(data, 16)?,
            machine: o.u16(data, 18)?,
            shoff: o.word(data, shoff, class64)?,
            flags: o.u32(data, tail)?,
            shentsize: o.u16(data, tail + 10)?,
            shnum: o.u16(data, tail + 12)?,
            shstrndx: o.u16(data, tail + 14)?,
        })
    }
}

impl<'d> Section<'d> {
    /// Decodes a raw header without looking at the bytes it points to.
    pub(crate) fn header(
        index: usize,
        raw: &[u8],
        order: Order,
        class64: bool,
    ) -> Option<Section<'d>> {
        let w = if class64 { 8 } else { 4 };
        Some(Section {
            index,
            name: "",
            sh_type: order.u32(raw, 4)?,
            flags: order.word(raw, 8, class64)?,
            addr: order.word(raw, 8 + w, class64)?,
            offset: order.word(raw, 8 + 2 * w, class64)?,
            size: order.word(raw, 8 + 3 * w, class64)?,
            link: order.u32(raw, 8 + 4 * w)?,
            info: order.u32(raw, 12 + 4 * w)?,
            align: order.word(raw, 16 + 4 * w, class64)?,
            entsize: order.word(raw, 16 + 5 * w, class64)?,
            data: &[],
        })
    }

    fn read(
        data: &'d [u8],
        index: usize,
        raw: &[u8],
        order: Order,
        class64: bool,
    ) -> Result<Section<'d>> {
        let mut section = Section::header(index, raw, order, class64)
            .ok_or(Error::SectionTable("lies outside the file"))?;
        if section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL {
            section.data = range(data, section.offset, section.size).ok_or({
                Error::SectionRange {
                    index,
                    offset: section.offset,
                    size: section.size,
                }
            })?;
        }
        Ok(section)
    }
}

/// `size` bytes of `data` from `offset`.
pub(crate) fn range(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    data.get(start..end)
}

/// The symbols of a file, in table order. See [`Elf::symbols`].
#[derive(Debug, Clone)]
pub struct Symbols<'d> {
    table: &'d [u8],
    strings: &'d [u8],
    order: Order,
    class64: bool,
    next: usize,
    end: usize,
}

impl<'d> Symbols<'d> {
    /// The symbol at an index of the table, wherever the iteration stands.
    pub fn get(&self, index: usize) -> Option<Symbol<'d>> {
        let o = self.order;
        let entry = if self.class64 { 24 } else { 16 };
        let raw = self.table.get(index.checked_mul(entry)?..)?.get(..entry)?;
        let name = str_at(self.strings, o.u32(raw, 0)? as usize).unwrap_or("");
        Some(if self.class64 {
            Symbol {
                name,
                info: raw[4],
                other: raw[5],
                shndx: u32::from(o.u16(raw, 6)?),
                value: o.u64(raw, 8)?,
                size: o.u64(raw, 16)?,
            }
        } else {
            Symbol {
                name,
                value: u64::from(o.u32(raw, 4)?),
                size: u64::from(o.u32(raw, 8)?),
                info: raw[12],
                other: raw[13],
                shndx: u32::from(o.u16(raw, 14)?),
            }
        })
    }
}

impl<'d> Iterator for Symbols<'d> {
    type Item = Symbol<'d>;

    fn next(&mut self) -> Option<Symbol<'d>> {
        if self.next >= self.end {
            return None;
        }
        let symbol = self.get(self.next);
        self.next += 1;
        symbol
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Symbols<'_> {}

/// The relocations of one section. See [`Elf::relas`].
#[derive(Debug, Clone)]
pub struct Relas<'d> {
    chunks: std::slice::ChunksExact<'d, u8>,
    order: Order,
    class64: bool,
    explicit: bool,
}

impl Iterator for Relas<'_> {
    type Item = Rela;

    #[inline]
    fn next(&mut self) -> Option<Rela> {
        let raw = self.chunks.next()?;
        let o = self.order;
        Some(if self.class64 {
            let info = o.u64(raw, 8)?;
            Rela {
                offset: o.u64(raw, 0)?,
                sym: (info >> 32) as u32,
                kind: info as u32,
                addend: if self.explicit { o.i64(raw, 16)? } else { 0 },
            }
        } else {
            let info = o.u32(raw, 4)?;
            Rela {
                offset: u64::from(o.u32(raw, 0)?),
                sym: info >> 8,
                kind: info & 0xff,
                addend: if self.explicit {
                    i64::from(o.i32(raw, 8)?)
                } else {
                    0
                },
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.chunks.size_hint()
    }
}

impl ExactSizeIterator for Relas<'_> {}
