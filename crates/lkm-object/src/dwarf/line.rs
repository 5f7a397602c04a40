//! Source lines by address: the line programs of all units in one sorted table.

use std::collections::HashMap;

use super::{Dwarf, Slice};

/// A place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// File name as the compiler was given it; relative ones begin at the kernel's build directory.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
}

/// The table: ranges of addresses that do not overlap, by start.
#[derive(Default)]
pub(super) struct Lines {
    rows: Vec<Row>,
    files: Vec<String>,
}

struct Row {
    start: u64,
    end: u64,
    file: u32,
    line: u32,
}

impl Dwarf<'_> {
    /// The source line of the instruction at an offset in a section.
    ///
    /// For a return address, ask for the byte before it: that one belongs to the call.
    pub fn line(&self, section: usize, offset: u64) -> Option<SourceLine<'_>> {
        let address = (*self.starts.get(section)?)?.checked_add(offset)?;
        let lines = self.lines.get_or_init(|| Lines::read(self));
        let after = lines.rows.partition_point(|r| r.start <= address);
        let row = lines.rows.get(after.checked_sub(1)?)?;
        if address >= row.end || row.line == 0 {
            return None;
        }
        Some(SourceLine {
            file: lines.files.get(row.file as usize)?,
            line: row.line,
        })
    }
}

impl Lines {
    /// Reads what can be read; a damaged line program ends where the damage begins.
    fn read(dwarf: &Dwarf<'_>) -> Lines {
        let mut lines = Lines::default();
        let gimli = dwarf.gimli();
        let mut headers = gimli.units();
        while let Ok(Some(header)) = headers.next() {
            if let Ok(unit) = gimli.unit(header) {
                lines.unit(&gimli, &unit);
            }
        }
        lines.rows.sort_by_key(|r| r.start);
        lines
    }

    fn unit(
        &mut self,
        dwarf: &gimli::Dwarf<Slice<'_>>,
        unit: &gimli::Unit<Slice<'_>>,
    ) -> Option<()> {
        let program = unit.line_program.clone()?;
        let mut files: HashMap<u64, u32> = HashMap::new();
        let mut rows = program.rows();
        let mut last: Option<Row> = None;
        while let Ok(Some((header, row))) = rows.next_row() {
            // A row reaches up to the next one; the end of a sequence is a row without a line.
            if let Some(mut open) = last.take() {
                open.end = row.address();
                if open.start < open.end {
                    self.rows.push(open);
                }
            }
            if row.end_sequence() {
                continue;
            }
            let file = *files.entry(row.file_index()).or_insert_with(|| {
                let name = row
                    .file(header)
                    .and_then(|file| file_name(dwarf, unit, header, file));
                self.files.push(name.unwrap_or_default());
                self.files.len() as u32 - 1
            });
            last = Some(Row {
                start: row.address(),
                end: 0,
                file,
                line: row
                    .line()
                    .and_then(|l| u32::try_from(l.get()).ok())
                    .unwrap_or(0),
            });
        }
        Some(())
    }
}

/// Directory and name of a file, without the build directory before a relative one.
fn file_name(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    header: &gimli::LineProgramHeader<Slice<'_>>,
    file: &gimli::FileEntry<Slice<'_>>,
) -> Option<String> {
    let text = |value| {
        let s: Slice<'_> = dwarf.attr_string(unit, value).ok()?;
        Some(s.to_string_lossy().into_owned())
    };
    let name = text(file.path_name())?;
    if name.starts_with('/') || file.directory_index() == 0 {
        return Some(name);
    }
    let directory = file.directory(header).and_then(text)?;
    Some(format!("{directory}/{name}"))
}
