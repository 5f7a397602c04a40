//! L2-L14: is it an ELF file whose headers can be trusted, and where are the loader's sections.

use super::errno::ENOEXEC;
use super::{ElfChecks, Index, LoadInfo, MODULE_INIT_IGNORE_MODVERSIONS, Refusal, Rules, find_sec};
use crate::bytes::Order;
use crate::elf::{
    ET_REL, Elf, Header, SHF_ALLOC, SHN_UNDEF, SHT_NOBITS, SHT_NULL, SHT_STRTAB, SHT_SYMTAB,
    Section, range,
};
use crate::modinfo::Modinfo;
use crate::module::{THIS_MODULE, embedded_name};

fn refuse<T>(step: &'static str, message: String) -> Result<T, Refusal> {
    Err(Refusal {
        errno: ENOEXEC,
        message: Some(message),
        step,
    })
}

/// The raw headers, before their names can be trusted.
struct Raw<'d> {
    data: &'d [u8],
    header: Header,
    table: &'d [u8],
    order: Order,
    class64: bool,
}

impl<'d> Raw<'d> {
    /// Header `index`, and its `sh_name`.
    fn section(&self, index: usize) -> Option<(Section<'d>, u32)> {
        let entry = Header::shentsize(self.class64);
        let raw = self.table.get(index * entry..(index + 1) * entry)?;
        let section = Section::header(index, raw, self.order, self.class64)?;
        Some((section, self.order.u32(raw, 0)?))
    }

    fn sections(&self) -> impl Iterator<Item = (Section<'d>, u32)> + '_ {
        (0..self.header.shnum as usize).filter_map(|i| self.section(i))
    }

    /// `validate_section_offset`.
    fn inside(&self, s: &Section<'_>) -> bool {
        s.offset
            .checked_add(s.size)
            .is_some_and(|end| end <= self.data.len() as u64)
    }

    fn number(&self) -> u16 {
        self.header.shnum
    }
}

/// `elf_validity_check`: L2-L12, on the file without its signature.
///
/// # Errors
/// ENOEXEC, with the kernel's message.
pub fn elf_validity_check(data: &[u8], rules: &Rules<'_>) -> Result<(), Refusal> {
    let raw = headers(data, rules)?;
    match rules.elf_checks {
        ElfChecks::V6_1 => {
            let strhdr = string_table(&raw, ElfChecks::V6_1)?;
            section_zero(&raw)?;
            for (s, name) in raw.sections().skip(1) {
                if s.sh_type == SHT_NULL || s.sh_type == SHT_NOBITS {
                    continue;
                }
                if s.sh_type == SHT_SYMTAB {
                    check_link(s.link, &raw)?;
                }
                contents_inside(&raw, &s)?;
                if s.flags & SHF_ALLOC != 0 && u64::from(name) >= strhdr.size {
                    return bad_name(&s);
                }
            }
        }
        ElfChecks::V6_12 => {
            section_zero(&raw)?;
            for (s, _) in raw.sections().skip(1) {
                if s.sh_type != SHT_NULL && s.sh_type != SHT_NOBITS {
                    contents_inside(&raw, &s)?;
                }
            }
            let strhdr = string_table(&raw, ElfChecks::V6_12)?;
            for (s, name) in raw.sections() {
                if s.sh_type != SHT_NULL && u64::from(name) >= strhdr.size {
                    return bad_name(&s);
                }
            }
        }
    }
    Ok(())
}

/// L2-L7: the ELF header and the extent of the section header table.
fn headers<'d>(data: &'d [u8], rules: &Rules<'_>) -> Result<Raw<'d>, Refusal> {
    // The kernel takes class and byte order to be its own; it never looks at e_ident[4..].
    let Some(header) = Header::read(data, rules.class64, rules.big_endian) else {
        return refuse("L2", format!("Invalid ELF header len {}", data.len()));
    };
    if &data[..4] != b"\x7fELF" {
        return refuse("L3", "Invalid ELF header magic: != \x7fELF".into());
    }
    if header.e_type != ET_REL {
        return refuse(
            "L4",
            format!("Invalid ELF header type: {} != {ET_REL}", header.e_type),
        );
    }
    if header.machine != rules.machine {
        return refuse(
            "L5",
            format!("Invalid architecture in ELF header: {}", header.machine),
        );
    }
    let entry = Header::shentsize(rules.class64);
    if header.shentsize as usize != entry {
        return refuse("L6", "Invalid ELF section header size".into());
    }
    let size = u64::from(header.shnum) * entry as u64;
    let table = if header.shoff >= data.len() as u64 {
        None
    } else {
        range(data, header.shoff, size)
    };
    let Some(table) = table else {
        return refuse("L7", "Invalid ELF section header overflow".into());
    };
    Ok(Raw {
        data,
        header,
        table,
        order: Order {
            big: rules.big_endian,
        },
        class64: rules.class64,
    })
}

/// L8-L10: the section name table.
fn string_table<'d>(raw: &Raw<'d>, checks: ElfChecks) -> Result<Section<'d>, Refusal> {
    let index = raw.header.shstrndx;
    let found = raw
        .section(index as usize)
        .filter(|_| u32::from(index) != SHN_UNDEF && index < raw.number());
    let Some((strhdr, _)) = found else {
        return refuse(
            "L8",
            format!(
                "Invalid ELF section name index: {index} || e_shstrndx ({index}) >= e_shnum ({})",
                raw.number()
            ),
        );
    };
    match checks {
        ElfChecks::V6_1 if !raw.inside(&strhdr) => {
            return refuse(
                "L9",
                format!("Invalid ELF section hdr(type {})", strhdr.sh_type),
            );
        }
        ElfChecks::V6_12 if strhdr.sh_type != SHT_STRTAB => {
            return refuse(
                "L9",
                format!("Invalid ELF section name table type: {}", strhdr.sh_type),
            );
        }
        _ => {}
    }
    match range(raw.data, strhdr.offset, strhdr.size).map(<[u8]>::last) {
        Some(Some(0)) => Ok(strhdr),
        Some(None) => refuse("L10", "empty section name table".into()),
        _ => refuse(
            "L10",
            "ELF Spec violation: section name table isn't null terminated".into(),
        ),
    }
}

/// L11.
fn section_zero(raw: &Raw<'_>) -> Result<(), Refusal> {
    // A file without any header reads as one whose first header is not null.
    let zero = raw.section(0).map(|s| s.0);
    match zero {
        Some(s) if s.sh_type == SHT_NULL && s.size == 0 && s.addr == 0 => Ok(()),
        other => refuse(
            "L11",
            format!(
                "ELF Spec violation: section 0 type({})!=SH_NULL or non-zero len or addr",
                other.map_or(0, |s| s.sh_type)
            ),
        ),
    }
}

/// L12.
fn contents_inside(raw: &Raw<'_>, s: &Section<'_>) -> Result<(), Refusal> {
    if raw.inside(s) {
        return Ok(());
    }
    refuse(
        "L12",
        format!(
            "Invalid ELF section in module (section {} type {})",
            s.index, s.sh_type
        ),
    )
}

fn bad_name<T>(s: &Section<'_>) -> Result<T, Refusal> {
    refuse(
        "L12",
        format!(
            "Invalid ELF section name in module (section {} type {})",
            s.index, s.sh_type
        ),
    )
}

fn check_link(link: u32, raw: &Raw<'_>) -> Result<(), Refusal> {
    if link != SHN_UNDEF && link < u32::from(raw.number()) {
        return Ok(());
    }
    refuse(
        "L12",
        format!(
            "Invalid ELF sh_link!=SHN_UNDEF({link}) or (sh_link({link}) >= hdr->e_shnum({})",
            raw.number()
        ),
    )
}

/// `setup_load_info`: finds the sections the loader works with (L13, L14).
///
/// # Errors
/// ENOEXEC when there is no symbol table or no `struct module`; under
/// [`ElfChecks::V6_12`], also when they are not unique or not what they should be.
pub fn setup_load_info<'d>(data: &'d [u8], rules: &Rules<'_>) -> Result<LoadInfo<'d>, Refusal> {
    // Cannot fail after `elf_validity_check`; if it does, the file is not loadable either.
    let elf = Elf::parse_as(data, rules.class64, rules.big_endian).map_err(|e| Refusal {
        errno: ENOEXEC,
        message: Some(e.to_string()),
        step: "L12",
    })?;
    let mut index = Index {
        info: find_sec(&elf, ".modinfo"),
        ..Index::default()
    };
    if rules.elf_checks == ElfChecks::V6_12 {
        // The unique one, allocated or not.
        index.info = unique(&elf, ".modinfo").map_err(|()| Refusal {
            errno: ENOEXEC,
            message: Some("Only one .modinfo section must exist.".into()),
            step: "L12",
        })?;
    }
    let modinfo = Modinfo::parse(match index.info {
        0 => &[],
        i => elf.sections[i].data,
    });
    let name = modinfo.get("name");
    let shown = name.unwrap_or("(missing .modinfo section or name field)");
    if rules.elf_checks == ElfChecks::V6_12 {
        index.module = this_module(&elf, shown, rules)?;
    }
    let symtabs = elf
        .sections
        .iter()
        .filter(|s| s.sh_type == SHT_SYMTAB)
        .count();
    index.sym = elf.symtab().map_or(0, |s| s.index);
    if symtabs == 0 || (symtabs > 1 && rules.elf_checks == ElfChecks::V6_12) {
        return refuse("L13", format!("{shown}: module has no symbols (stripped?)"));
    }
    let link = elf.sections[index.sym].link;
    index.str_ = link as usize;
    if rules.elf_checks == ElfChecks::V6_12 {
        let Some(strings) = elf.sections.get(link as usize).filter(|_| link != 0) else {
            return refuse(
                "L13",
                format!(
                    "Invalid ELF sh_link!=SHN_UNDEF({link}) or (sh_link({link}) >= hdr->e_shnum({})",
                    elf.sections.len()
                ),
            );
        };
        if strings.sh_type != SHT_STRTAB {
            return refuse(
                "L13",
                format!("Invalid ELF symbol string table type: {}", strings.sh_type),
            );
        }
    } else {
        index.module = find_sec(&elf, THIS_MODULE);
        if index.module == 0 {
            return refuse("L14", format!("{shown}: No module found in object"));
        }
    }
    let mod_name = embedded_name(&elf, &elf.sections[index.module]);
    if rules.flags & MODULE_INIT_IGNORE_MODVERSIONS == 0 {
        index.vers = find_sec(&elf, "__versions");
    }
    index.pcpu = find_sec(&elf, ".data..percpu");
    Ok(LoadInfo {
        name: name.unwrap_or(mod_name),
        mod_name,
        modinfo,
        sig_ok: false,
        index,
        elf,
    })
}

/// `find_any_unique_sec`: 0 for none, an error for several.
fn unique(elf: &Elf<'_>, name: &str) -> Result<usize, ()> {
    let mut found = elf.sections.iter().skip(1).filter(|s| s.name == name);
    match (found.next(), found.next()) {
        (None, _) => Ok(0),
        (Some(s), None) => Ok(s.index),
        _ => Err(()),
    }
}

/// `elf_validity_cache_index_mod`.
fn this_module(elf: &Elf<'_>, name: &str, rules: &Rules<'_>) -> Result<usize, Refusal> {
    let index = unique(elf, THIS_MODULE).unwrap_or(0);
    let fail = |why: &str| refuse("L14", format!("module {name}: {why}"));
    if index == 0 {
        return fail("Exactly one .gnu.linkonce.this_module section must exist.");
    }
    let section = &elf.sections[index];
    if section.sh_type == SHT_NOBITS {
        return fail(".gnu.linkonce.this_module section must have a size set");
    }
    if section.flags & SHF_ALLOC == 0 {
        return fail(".gnu.linkonce.this_module must occupy memory during process execution");
    }
    if rules.module_struct_size.is_some_and(|n| n != section.size) {
        return fail(
            ".gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        );
    }
    Ok(index)
}
