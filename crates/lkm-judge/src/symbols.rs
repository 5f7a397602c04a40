//! Names for addresses of a run: the modules that were placed, and the kernel functions' gates.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, VecDeque};

use lkm_object::Elf;
use lkm_object::dwarf::Dwarf;
use lkm_object::elf::{STT_FILE, STT_SECTION};
use lkm_trace::{Event, Phase, Trace};

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

    /// The same for a return address, which may lie just behind the function that made the call. Behind the first byte
    /// of a function no call returns: so a record names a function of which only the end of a tail call was seen.
    fn return_name(&self, addr: u64) -> Option<String> {
        self.find(addr.checked_sub(1)?).map(|p| match p.offset {
            0 => format!("{} (tail call)", p.symbol),
            offset => format!("{}+{:#x}", p.symbol, offset + 1),
        })
    }
}

/// Knows no address.
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn find(&self, _addr: u64) -> Option<Place> {
        None
    }
}

/// The symbols of one placed file, by address.
struct Table<'l> {
    /// Start, size and name; one per address.
    symbols: Vec<(u64, u64, &'l str)>,
    /// Init and exit function, under the names their author gave them.
    entries: [Option<&'l str>; 2],
}

/// A module where it was placed.
struct Placed<'l> {
    name: &'l str,
    sections: &'l [(String, u64, u64)],
    elf: Option<&'l Elf<'l>>,
    /// Read when the first address of it is asked for: a clean run asks for none.
    table: OnceCell<Table<'l>>,
    /// Its debug information, by the same rule; None when it has none that can be read.
    dwarf: OnceCell<Option<Dwarf<'l>>>,
}

/// Where a module's section lies.
#[derive(Clone, Copy)]
struct Range {
    end: u64,
    placed: usize,
    section: usize,
}

/// The symbols of one run, gathered from the trace and the files of the modules that were placed.
#[derive(Default)]
pub struct RunSymbols<'l> {
    /// Gates of kernel functions.
    gates: HashMap<u64, &'l str>,
    placed: Vec<Placed<'l>>,
    /// Placed sections by start; the newest placement of an address wins.
    map: BTreeMap<u64, Range>,
}

impl<'l> RunSymbols<'l> {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a trace: the gates of kernel functions, and each module where it was placed, with the symbols
    /// of the file that `file` has for its name. A module without a file is told by its sections.
    pub fn from_trace(trace: &'l Trace, file: impl Fn(&str) -> Option<&'l Elf<'l>>) -> Self {
        let mut all = Self::new();
        for event in &trace.events {
            match event {
                Event::Symbol { address, name } => {
                    all.gates.insert(*address, name);
                }
                Event::Module { name, sections, .. } => all.add_module(name, sections, file(name)),
                _ => {}
            }
        }
        all
    }

    /// Adds a module where the trace says its sections lie.
    pub fn add_module(
        &mut self,
        name: &'l str,
        sections: &'l [(String, u64, u64)],
        elf: Option<&'l Elf<'l>>,
    ) {
        let placed = self.placed.len();
        for (section, (_, start, size)) in sections.iter().enumerate() {
            if *size == 0 {
                continue;
            }
            let end = start.saturating_add(*size);
            // What was here before has gone.
            let stale: Vec<u64> = self
                .map
                .range(..end)
                .rev()
                .take_while(|(at, range)| **at >= *start || range.end > *start)
                .map(|(&at, _)| at)
                .collect();
            for at in stale {
                self.map.remove(&at);
            }
            self.map.insert(
                *start,
                Range {
                    end,
                    placed,
                    section,
                },
            );
        }
        self.placed.push(Placed {
            name,
            sections,
            elf,
            table: OnceCell::new(),
            dwarf: OnceCell::new(),
        });
    }

    fn range(&self, addr: u64) -> Option<(u64, Range)> {
        let (&start, &range) = self.map.range(..=addr).next_back()?;
        (addr < range.end).then_some((start, range))
    }
}

impl<'l> Placed<'l> {
    fn table(&self) -> &Table<'l> {
        self.table.get_or_init(|| {
            self.elf
                .map_or_else(Table::empty, |e| Table::read(e, self.sections))
        })
    }
}

impl<'l> Table<'l> {
    fn empty() -> Self {
        Table {
            symbols: Vec::new(),
            entries: [None, None],
        }
    }

    fn read(elf: &'l Elf<'l>, sections: &[(String, u64, u64)]) -> Self {
        // A section's name may occur more than once in a file; placements come in the file's order.
        let mut places: HashMap<&str, VecDeque<u64>> = HashMap::new();
        for (name, start, _) in sections {
            places.entry(name).or_default().push_back(*start);
        }
        let mut base: Vec<Option<u64>> = vec![None; elf.sections.len()];
        for section in elf.sections.iter().filter(|s| s.is_alloc()) {
            if let Some(slot) = base.get_mut(section.index) {
                *slot = places.get_mut(section.name).and_then(VecDeque::pop_front);
            }
        }
        let mut symbols: Vec<(u64, u64, &'l str)> = Vec::new();
        for symbol in elf.symbols() {
            if symbol.name.is_empty()
                || matches!(symbol.kind(), STT_SECTION | STT_FILE)
                || symbol.name.starts_with("__UNIQUE_ID")
                || symbol.name.starts_with(".L")
                || !symbol.in_section()
            {
                continue;
            }
            if let Some(Some(start)) = base.get(symbol.shndx as usize) {
                symbols.push((start.wrapping_add(symbol.value), symbol.size, symbol.name));
            }
        }
        // init_module and cleanup_module are aliases of the functions that the author named: those are kept.
        let aliases = ["init_module", "cleanup_module"];
        symbols.sort_by_key(|&(at, size, name)| (at, size == 0, aliases.contains(&name)));
        let mut entries = [None, None];
        for same in symbols.chunk_by(|a, b| a.0 == b.0) {
            for (slot, alias) in entries.iter_mut().zip(aliases) {
                if same.iter().any(|&(.., name)| name == alias) {
                    *slot = Some(same[0].2);
                }
            }
        }
        symbols.dedup_by_key(|&mut (at, ..)| at);
        Table { symbols, entries }
    }
}

impl Symbols for RunSymbols<'_> {
    fn find(&self, addr: u64) -> Option<Place> {
        if let Some(name) = self.gates.get(&addr) {
            return Some(Place {
                symbol: (*name).to_owned(),
                offset: 0,
                module: String::new(),
            });
        }
        let (start, range) = self.range(addr)?;
        let placed = &self.placed[range.placed];
        let symbols = &placed.table().symbols;
        let after = symbols.partition_point(|s| s.0 <= addr);
        // A symbol without a size, or the padding behind one, belongs to the symbol as long as the section lasts.
        let (symbol, from) = match after.checked_sub(1).map(|i| symbols[i]) {
            Some((at, _, name)) if at >= start => (name, at),
            _ => (placed.sections[range.section].0.as_str(), start),
        };
        Some(Place {
            symbol: symbol.to_owned(),
            offset: addr - from,
            module: placed.name.to_owned(),
        })
    }

    fn entry(&self, module: &str, phase: Phase) -> Option<String> {
        let placed = self.placed.iter().rev().find(|p| p.name == module)?;
        let [init, exit] = placed.table().entries;
        match phase {
            Phase::Init => init.map(str::to_owned),
            Phase::Exit => exit.map(str::to_owned),
            _ => None,
        }
    }

    fn line(&self, addr: u64) -> Option<(String, u32)> {
        let (start, range) = self.range(addr)?;
        let placed = &self.placed[range.placed];
        let elf = placed.elf?;
        let dwarf = placed
            .dwarf
            .get_or_init(|| Dwarf::new(elf).ok().flatten())
            .as_ref()?;
        let section = elf.section(&placed.sections[range.section].0)?;
        let line = dwarf.line(section.index, addr - start)?;
        Some((line.file.to_owned(), line.line))
    }
}

#[cfg(test)]
mod tests;
