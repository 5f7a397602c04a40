//! Names for addresses of a run: the modules that were placed, and the kernel functions' gates.

use std::collections::BTreeMap;

use lkm_object::Elf;
use lkm_object::elf::{STT_FILE, STT_SECTION};
use lkm_trace::{Event, Phase};

/// Where an address lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The symbol that covers it.
    pub symbol: String,
    /// Bytes from the start of the symbol.
    pub offset: u64,
    /// The module it belongs to; empty for the kernel.
    pub module: String,
}

/// Tells what an address is. Addresses are the guest's.
pub trait Symbols {
    /// The symbol that covers an address.
    fn find(&self, addr: u64) -> Option<Place>;

    /// Source file and line of an instruction, where debug information has it.
    fn line(&self, _addr: u64) -> Option<(String, u32)> {
        None
    }

    /// The name of a module's init or exit function.
    fn entry(&self, _module: &str, _phase: Phase) -> Option<String> {
        None
    }

    /// `symbol+0x1c`, as the kernel prints a place.
    fn name(&self, addr: u64) -> Option<String> {
        self.find(addr)
            .map(|p| format!("{}+{:#x}", p.symbol, p.offset))
    }

    /// The same for a return address, which may lie just behind the function that made the call.
    fn return_name(&self, addr: u64) -> Option<String> {
        self.find(addr.checked_sub(1)?)
            .map(|p| format!("{}+{:#x}", p.symbol, p.offset + 1))
    }
}

/// Knows no address.
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn find(&self, _addr: u64) -> Option<Place> {
        None
    }
}

struct Entry {
    end: u64,
    name: String,
    /// Index into the module names; functions and objects only.
    module: usize,
}

type LineReader<'l> = Box<dyn Fn(&str, u64) -> Option<(String, u32)> + 'l>;

/// One placed section: start, end, name, and the module it is of.
struct Range {
    start: u64,
    end: u64,
    section: String,
    module: usize,
}

/// The symbols of one run, gathered from the files that were placed and the trace's own events.
#[derive(Default)]
pub struct RunSymbols<'l> {
    modules: Vec<String>,
    entries: BTreeMap<u64, Entry>,
    ranges: Vec<Range>,
    lines: BTreeMap<String, LineReader<'l>>,
    /// Init and exit function of each module, under the names their author gave them.
    entries_of: BTreeMap<String, [Option<String>; 2]>,
}

impl<'l> RunSymbols<'l> {
    /// Nothing known yet.
    pub fn new() -> Self {
        RunSymbols {
            modules: vec![String::new()],
            ..Default::default()
        }
    }

    /// Reads a trace: the gates of kernel functions, and each module where it was placed, with the symbols
    /// of the file that `file` has for its name. A module without a file is told by its sections.
    pub fn from_trace<'f>(
        trace: &lkm_trace::Trace,
        file: impl Fn(&str) -> Option<&'f Elf<'f>>,
    ) -> Self {
        let mut all = Self::new();
        for event in &trace.events {
            match event {
                Event::Symbol { address, name } => all.add(*address, 1, name, 0),
                Event::Module { name, sections, .. } => match file(name) {
                    Some(elf) => all.add_module(name, sections, elf),
                    None => {
                        all.module(name, sections);
                    }
                },
                _ => {}
            }
        }
        all
    }

    /// Adds the symbols of a module's file, placed where the trace says its sections lie. The newest placement of an address wins.
    pub fn add_module(&mut self, name: &str, sections: &[(String, u64, u64)], elf: &Elf<'_>) {
        let module = self.module(name, sections);
        // A section's name may occur more than once in a file; placements come in the file's order.
        let mut left: Vec<&(String, u64, u64)> = sections.iter().collect();
        let mut base = BTreeMap::new();
        for section in &elf.sections {
            if let Some(at) = left
                .iter()
                .position(|p| p.0 == section.name && p.2 >= section.size)
            {
                base.insert(section.index, left.remove(at).1);
            }
        }
        let mut found: Vec<(u64, u64, &str)> = Vec::new();
        for symbol in elf.symbols() {
            if symbol.name.is_empty()
                || symbol.kind() == STT_SECTION
                || symbol.kind() == STT_FILE
                || symbol.name.starts_with("__UNIQUE_ID")
                || symbol.name.starts_with(".L")
                || !symbol.in_section()
            {
                continue;
            }
            if let Some(&start) = base.get(&(symbol.shndx as usize)) {
                found.push((start.wrapping_add(symbol.value), symbol.size, symbol.name));
            }
        }
        // init_module and cleanup_module are aliases of the functions that the author named: the named one is kept.
        found.sort_by_key(|&(at, size, name)| {
            (
                at,
                size == 0,
                matches!(name, "init_module" | "cleanup_module"),
            )
        });
        let mut entries = [None, None];
        for pair in found.chunk_by(|a, b| a.0 == b.0) {
            for (slot, alias) in entries.iter_mut().zip(["init_module", "cleanup_module"]) {
                if pair.iter().any(|&(.., name)| name == alias) {
                    *slot = Some(pair[0].2.to_owned());
                }
            }
        }
        self.entries_of.insert(name.to_owned(), entries);
        found.dedup_by_key(|&mut (at, ..)| at);
        for (at, size, name) in found {
            self.add(at, size, name, module);
        }
    }

    /// Adds a reader of debug information for a module: section name and offset to file and line.
    pub fn add_lines(
        &mut self,
        name: &str,
        reader: impl Fn(&str, u64) -> Option<(String, u32)> + 'l,
    ) {
        self.lines.insert(name.to_owned(), Box::new(reader));
    }

    fn module(&mut self, name: &str, sections: &[(String, u64, u64)]) -> usize {
        let module = self.modules.len();
        self.modules.push(name.to_owned());
        for (section, start, size) in sections {
            let end = start.saturating_add(*size);
            // What was here before has gone.
            self.ranges.retain(|r| r.end <= *start || r.start >= end);
            let stale: Vec<u64> = self.entries.range(*start..end).map(|(&at, _)| at).collect();
            for at in stale {
                self.entries.remove(&at);
            }
            self.ranges.push(Range {
                start: *start,
                end,
                section: section.clone(),
                module,
            });
        }
        module
    }

    fn add(&mut self, at: u64, size: u64, name: &str, module: usize) {
        self.entries.insert(
            at,
            Entry {
                end: at.saturating_add(size),
                name: name.to_owned(),
                module,
            },
        );
    }

    fn range(&self, addr: u64) -> Option<&Range> {
        self.ranges.iter().find(|r| r.start <= addr && addr < r.end)
    }
}

impl Symbols for RunSymbols<'_> {
    fn find(&self, addr: u64) -> Option<Place> {
        let range = self.range(addr);
        // A symbol without a size, or the padding behind one, belongs to the symbol as long as the section lasts.
        let entry = self
            .entries
            .range(..=addr)
            .next_back()
            .filter(|(start, e)| {
                addr < e.end || range.is_some_and(|r| r.start <= **start && r.module == e.module)
            });
        let (symbol, start, module) = match (entry, range) {
            (Some((&start, entry)), _) => (&entry.name, start, entry.module),
            (None, Some(range)) => (&range.section, range.start, range.module),
            (None, None) => return None,
        };
        Some(Place {
            symbol: symbol.clone(),
            offset: addr - start,
            module: self.modules[module].clone(),
        })
    }

    fn entry(&self, module: &str, phase: Phase) -> Option<String> {
        let [init, exit] = self.entries_of.get(module)?;
        match phase {
            Phase::Init => init.clone(),
            Phase::Exit => exit.clone(),
            _ => None,
        }
    }

    fn line(&self, addr: u64) -> Option<(String, u32)> {
        let range = self.range(addr)?;
        self.lines.get(&self.modules[range.module])?(&range.section, addr - range.start)
    }
}
