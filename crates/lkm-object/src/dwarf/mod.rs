//! DWARF of a module built with debug information: structure layouts, and source lines by address.
//!
//! A module is relocatable, and so is its debug information: the relocations of
//! the `.debug_*` sections are applied to a copy first. Every loaded section is
//! given a range of pretended addresses of its own, so that an address in the
//! debug information means one section and one offset.

mod layout;
mod line;
mod section;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use gimli::{DwarfSections, EndianSlice, RunTimeEndian};

use crate::elf::Elf;
use crate::error::{Error, Result};

pub use line::SourceLine;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// The debug information of one module.
pub struct Dwarf<'d> {
    sections: DwarfSections<Cow<'d, [u8]>>,
    endian: RunTimeEndian,
    /// Pretended address of each section, by index; `None` for those that are not loaded.
    starts: Vec<Option<u64>>,
    units: OnceLock<Vec<UnitIndex>>,
    lines: OnceLock<line::Lines>,
    memo: layout::Memo,
}

/// A compilation unit, and its structs by name once they have been asked for.
struct UnitIndex {
    /// Offset of its header in `.debug_info`.
    offset: usize,
    names: OnceLock<HashMap<String, usize>>,
}

impl std::fmt::Debug for Dwarf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dwarf")
            .field("units", &self.units.get().map(Vec::len))
            .finish_non_exhaustive()
    }
}

impl<'d> Dwarf<'d> {
    /// Takes the debug information out of a module; `None` when it has none.
    ///
    /// # Errors
    /// When a `.debug_*` section cannot be decompressed, or its relocations lie outside it.
    /// Other damage shows as absence of answers.
    pub fn new(elf: &Elf<'d>) -> Result<Option<Dwarf<'d>>> {
        if elf.section(".debug_info").is_none() {
            return Ok(None);
        }
        let starts = section::starts(elf);
        let sections = DwarfSections::load(|id| {
            if section::WANTED.contains(&id) {
                section::load(elf, id.name(), &starts)
            } else {
                Ok::<_, Error>(Cow::Borrowed(&[][..]))
            }
        })?;
        Ok(Some(Dwarf {
            sections,
            endian: if elf.big_endian {
                RunTimeEndian::Big
            } else {
                RunTimeEndian::Little
            },
            starts,
            units: OnceLock::new(),
            lines: OnceLock::new(),
            memo: layout::Memo::default(),
        }))
    }

    fn gimli(&self) -> gimli::Dwarf<Slice<'_>> {
        self.sections
            .borrow(|bytes| EndianSlice::new(bytes, self.endian))
    }

    fn units(&self) -> &[UnitIndex] {
        self.units.get_or_init(|| {
            let dwarf = self.gimli();
            let mut headers = dwarf.units();
            let mut out = Vec::new();
            // The list ends at the first header that cannot be read.
            while let Ok(Some(header)) = headers.next() {
                if let Some(offset) = header.debug_info_offset() {
                    out.push(UnitIndex {
                        offset: offset.0,
                        names: OnceLock::new(),
                    });
                }
            }
            out
        })
    }
}
