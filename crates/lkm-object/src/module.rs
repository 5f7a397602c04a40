//! A kernel module file as a whole: what the loader and the tools want to know of it.

use crate::bytes::{str_at, utf8};
use crate::elf::{Elf, SHN_UNDEF, STB_WEAK, Section};
use crate::error::{Error, Result};
use crate::exports::{self, Export};
use crate::modinfo::Modinfo;
use crate::params::{self, Param};
use crate::signature::{self, Trailer};

/// The section that holds `struct module`.
pub const THIS_MODULE: &str = ".gnu.linkonce.this_module";

/// A parsed module. Everything borrows from the (uncompressed) bytes of the file.
#[derive(Debug, Clone)]
pub struct ModuleFile<'d> {
    /// The ELF file, without the signature appended to it.
    pub elf: Elf<'d>,
    pub modinfo: Modinfo<'d>,
    /// The module's name: `name=` of `.modinfo`, else the one in `struct module`.
    pub name: &'d str,
    /// `vermagic=` of `.modinfo`, empty when there is none.
    pub vermagic: &'d str,
    /// Imported symbols with the CRC they were built against, in file order
    /// (`__versions`, or the extended tables of 6.14 when only they are there).
    pub versions: Vec<(&'d str, u32)>,
    /// Whether the file has a table of versions at all, empty or not.
    pub has_versions: bool,
    /// Exported symbols: first `__ksymtab`, then `__ksymtab_gpl`.
    pub exports: Vec<Export<'d>>,
    /// `struct module` and what relocations put into it.
    pub this_module: ThisModule<'d>,
    /// Parameters of `__param`.
    pub params: Vec<Param<'d>>,
    /// Undefined symbols, in symbol table order.
    pub imports: Vec<Import<'d>>,
    /// Namespaces it imports (`import_ns`).
    pub namespaces: Vec<&'d str>,
    /// `NT_GNU_BUILD_ID` of `.note.gnu.build-id`.
    pub build_id: Option<&'d [u8]>,
    /// The appended signature, when the file ends in the marker.
    pub signature: Option<Trailer<'d>>,
}

/// `.gnu.linkonce.this_module`.
#[derive(Debug, Clone, Copy)]
pub struct ThisModule<'d> {
    /// Index of the section.
    pub section: usize,
    /// Its size: that of `struct module` in the kernel the module was built for.
    pub size: u64,
    /// The `init` member, when the module has an init function.
    pub init: Option<Hook<'d>>,
    /// The `exit` member, when the module has an exit function.
    pub exit: Option<Hook<'d>>,
}

/// A function pointer in `struct module`, by the relocation that fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook<'d> {
    /// `init_module` or `cleanup_module`.
    pub name: &'d str,
    /// Offset of the member in `struct module`.
    pub member: u64,
    /// Index of the symbol it points to.
    pub symbol: u32,
    /// Section of the function.
    pub section: u32,
    /// Offset of the function in that section.
    pub value: u64,
}

/// A symbol the module needs from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import<'d> {
    pub name: &'d str,
    /// Its index in the symbol table.
    pub symbol: u32,
    /// Weak: an absent one is 0, not an error.
    pub weak: bool,
}

impl<'d> ModuleFile<'d> {
    /// Reads a module from its uncompressed bytes (see [`crate::compress::decompress`]).
    ///
    /// # Errors
    /// [`Error`] when it is no ELF file, or has no symbol table or no
    /// `struct module`. The kernel's own, more exact list of refusals is
    /// [`crate::check::load_checks`].
    pub fn parse(data: &'d [u8]) -> Result<ModuleFile<'d>> {
        let signature = signature::trailer(data);
        let body = signature.as_ref().map_or(data, |t| &data[..t.payload]);
        ModuleFile::from_elf(Elf::parse(body)?, signature)
    }

    fn from_elf(elf: Elf<'d>, signature: Option<Trailer<'d>>) -> Result<ModuleFile<'d>> {
        if elf.symtab().is_none() {
            return Err(Error::NotAModule("no symbol table (stripped?)"));
        }
        let this = *elf
            .section(THIS_MODULE)
            .ok_or(Error::NotAModule("no .gnu.linkonce.this_module section"))?;
        let modinfo = Modinfo::parse(elf.section(".modinfo").map_or(&[], |s| s.data));
        let name = match modinfo.get("name") {
            Some(name) => name,
            None => embedded_name(&elf, &this),
        };
        let (versions, has_versions) = versions(&elf);
        let imports = elf
            .symbols()
            .enumerate()
            .skip(1)
            .filter(|(_, s)| s.shndx == SHN_UNDEF && !s.name.is_empty())
            .map(|(i, s)| Import {
                name: s.name,
                symbol: i as u32,
                weak: s.bind() == STB_WEAK,
            })
            .collect();
        Ok(ModuleFile {
            name,
            vermagic: modinfo.get("vermagic").unwrap_or(""),
            versions,
            has_versions,
            exports: exports::read(&elf),
            this_module: this_module(&elf, &this),
            params: params::read(&elf),
            imports,
            namespaces: modinfo.all("import_ns").collect(),
            build_id: elf
                .section(".note.gnu.build-id")
                .and_then(|s| build_id(&elf, s)),
            signature,
            modinfo,
            elf,
        })
    }

    /// `srcversion=` of `.modinfo`.
    pub fn srcversion(&self) -> Option<&'d str> {
        self.modinfo.get("srcversion")
    }

    /// The taint letters that loading it implies whatever the kernel, in the order of
    /// the taint flags: `P` licence, `C` staging, `O` out of tree, `K` live patch, `N` test.
    /// (`F` and `E` depend on the kernel, see [`crate::check`].)
    pub fn taints(&self) -> String {
        let info = |key| self.modinfo.get(key).is_some();
        let license = self.modinfo.get("license").unwrap_or("unspecified");
        [
            ('P', !crate::check::license_is_gpl_compatible(license)),
            ('C', info("staging")),
            ('O', !info("intree")),
            ('K', info("livepatch")),
            ('N', info("test")),
        ]
        .into_iter()
        .filter_map(|(letter, set)| set.then_some(letter))
        .collect()
    }

    /// The modules `depends=` names, in file order.
    pub fn depends(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.modinfo
            .get("depends")
            .unwrap_or("")
            .split(',')
            .filter(|s| !s.is_empty())
    }

    /// The CRC the module was built against for an imported symbol.
    pub fn version_of(&self, symbol: &str) -> Option<u32> {
        self.versions
            .iter()
            .find(|(name, _)| *name == symbol)
            .map(|v| v.1)
    }
}

/// `name` of `struct module`: after an int, padding and a list head, in all kernels since 2.6.
pub(crate) fn embedded_name<'d>(elf: &Elf<'d>, this: &Section<'d>) -> &'d str {
    let at = elf.word_size() * 3;
    let length = 64 - elf.word_size();
    let raw = this.data.get(at..).unwrap_or(&[]);
    let raw = &raw[..raw.len().min(length)];
    let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
    utf8(&raw[..end])
}

/// The init and exit members, found by the symbols their relocations name.
fn this_module<'d>(elf: &Elf<'d>, this: &Section<'d>) -> ThisModule<'d> {
    let mut out = ThisModule {
        section: this.index,
        size: this.size,
        init: None,
        exit: None,
    };
    for (member, target) in exports::targets(elf, this) {
        let hook = Hook {
            name: target.symbol.name,
            member,
            symbol: target.symbol_index,
            section: target.symbol.shndx,
            value: target.value(),
        };
        match target.symbol.name {
            "init_module" => out.init = Some(hook),
            "cleanup_module" => out.exit = Some(hook),
            _ => {}
        }
    }
    out
}

/// `__versions` (entries of 64 bytes: a long, then the name), else
/// `__version_ext_crcs` and `__version_ext_names`, which hold names of any length.
fn versions<'d>(elf: &Elf<'d>) -> (Vec<(&'d str, u32)>, bool) {
    let order = elf.order();
    if let Some(section) = elf.section("__versions") {
        let w = elf.word_size();
        let list = section
            .data
            .chunks_exact(64)
            .filter_map(|entry| {
                let crc = order.word(entry, 0, elf.class64)? as u32;
                let name = entry.get(w..)?;
                let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
                Some((utf8(&name[..end]), crc))
            })
            .collect();
        return (list, true);
    }
    let (Some(crcs), Some(names)) = (
        elf.section("__version_ext_crcs"),
        elf.section("__version_ext_names"),
    ) else {
        return (Vec::new(), false);
    };
    let mut list = Vec::new();
    let mut at = 0;
    for raw in crcs.data.chunks_exact(4) {
        let (Some(crc), Some(name)) = (order.u32(raw, 0), str_at(names.data, at)) else {
            break;
        };
        list.push((name, crc));
        at += name.len() + 1;
    }
    (list, true)
}

/// The description of the first NT_GNU_BUILD_ID note.
fn build_id<'d>(elf: &Elf<'d>, section: &Section<'d>) -> Option<&'d [u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let order = elf.order();
    let mut rest = section.data;
    loop {
        let name = order.u32(rest, 0)? as usize;
        let size = order.u32(rest, 4)? as usize;
        let kind = order.u32(rest, 8)?;
        let start = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(size)?;
        let description = rest.get(start..end)?;
        if kind == NT_GNU_BUILD_ID && rest.get(12..16) == Some(b"GNU\0") {
            return Some(description);
        }
        rest = rest.get(end.checked_next_multiple_of(4)?..)?;
    }
}
