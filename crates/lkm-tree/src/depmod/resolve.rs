//! Who needs whom: modules with their facts, in the order of the indexes, and
//! the topological order that loading follows.

use super::deps::Deps;
use super::facts::Facts;
use super::imports::plain;
use super::order::{Map, bucket};
use super::scan::Found;
use crate::text::PATH_MAX;

/// Buckets of kmod's table of modules.
const MODULE_BUCKETS: u32 = 512;
/// Buckets of kmod's table of symbols.
pub const SYMBOL_BUCKETS: u32 = 2048;

/// A module that the indexes will have.
pub struct Module {
    pub found: Found,
    pub facts: Facts,
}

impl Module {
    pub fn name(&self) -> &[u8] {
        &self.found.name
    }
}

/// An exported symbol; of several of one name, the last module's.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// None for the kernel's own.
    pub owner: Option<u32>,
    pub crc: u64,
}

/// Something to warn about, with `-e`.
pub enum Unresolved {
    /// The module needs a symbol nobody has.
    Unknown { module: usize, symbol: Vec<u8> },
    /// The module was built against another version of it.
    Version { module: usize, symbol: Vec<u8> },
}

/// The first symbol for which a module needs another.
pub struct Need {
    pub module: usize,
    pub symbol: Vec<u8>,
    pub owner: usize,
}

/// What [`Tree::resolve`] found besides the dependencies.
pub struct Resolution {
    pub unresolved: Vec<Unresolved>,
    /// Empty unless asked for.
    pub needs: Vec<Need>,
}

/// What was asked of the resolver beyond dependencies.
#[derive(Clone, Copy, Default)]
pub struct Checks {
    /// The character that symbols of this architecture begin with.
    pub prefix: Option<u8>,
    /// Report unknown symbols.
    pub unknown: bool,
    /// Compare CRCs.
    pub versions: bool,
    /// List [`Resolution::needs`].
    pub needs: bool,
}

/// The modules of a tree.
#[derive(Default)]
pub struct Tree {
    /// In the order of the indexes: a module's place is its priority.
    pub modules: Vec<Module>,
    /// Whose symbols each needs, in the order in which it names them; once
    /// [`Tree::resolve`] has found them.
    pub deps: Deps,
    pub symbols: Map<Box<[u8]>, Symbol>,
}

/// The place of a module that `modules.order` does not list.
pub const UNLISTED: u32 = u32::MAX;

/// The lines of `modules.order`, each path at its first, up to a broken one,
/// whose number comes with them.
pub fn places(modules_order: &[u8]) -> (Map<&[u8], u32>, Option<usize>) {
    let mut places: Map<&[u8], u32> = Map::default();
    for (number, line) in modules_order.split_inclusive(|&c| c == b'\n').enumerate() {
        match line.strip_suffix(b"\n") {
            Some(line) if line.len() < PATH_MAX - 1 => {
                let end = line.iter().position(|&c| c == 0).unwrap_or(line.len());
                let next = places.len() as u32;
                places.entry(&line[..end]).or_insert(next);
            }
            _ => return (places, Some(number + 1)),
        }
    }
    (places, None)
}

/// Where a module stands among others: by its place, and without one as kmod's
/// hash table has it.
pub fn standing(place: u32, name: &[u8]) -> impl Ord + '_ {
    (place, bucket(name, MODULE_BUCKETS), name)
}

/// Puts modules in kmod's order: those of `modules.order` as it lists them,
/// then the others as kmod's hash table has them. The list counts for nothing
/// when one of its lines is broken, whose number is returned.
pub fn order(found: &mut [Found], modules_order: Option<&[u8]>) -> Option<usize> {
    let (places, broken) = places(modules_order.unwrap_or_default());
    if broken.is_none() && !places.is_empty() {
        for f in found.iter_mut() {
            let place = f.uncompressed().and_then(|p| places.get(&p[..]).copied());
            f.place = place.unwrap_or(UNLISTED);
        }
    }
    found.sort_by_cached_key(|f| (f.place, bucket(&f.name, MODULE_BUCKETS), f.name.clone()));
    broken
}

impl Tree {
    /// Enters a symbol that is the kernel's own.
    pub fn add_kernel_symbol(&mut self, name: &[u8], crc: u64) {
        self.symbols
            .insert(name.into(), Symbol { owner: None, crc });
    }

    /// Takes the modules, in order, and enters what they export.
    pub fn add_modules(&mut self, modules: Vec<(Found, Facts)>, checks: Checks) {
        self.modules = modules
            .into_iter()
            .map(|(found, facts)| Module { found, facts })
            .collect();
        for (i, m) in self.modules.iter().enumerate() {
            for e in &m.facts.exports {
                let name = strip(m.facts.get(e.name), checks.prefix);
                let symbol = Symbol {
                    owner: Some(i as u32),
                    crc: e.crc,
                };
                match self.symbols.get_mut(name) {
                    Some(old) => *old = symbol,
                    None => {
                        self.symbols.insert(name.into(), symbol);
                    }
                }
            }
        }
    }

    /// Finds the dependencies.
    pub fn resolve(&mut self, checks: Checks) -> Resolution {
        let mut unresolved = Vec::new();
        let mut needs = Vec::new();
        let mut stamp = vec![u32::MAX; self.modules.len()];
        self.deps = Deps::default();
        let mut deps = Vec::new();
        for (i, module) in self.modules.iter().enumerate() {
            let facts = &module.facts;
            for (n, import) in facts.imports.iter().enumerate() {
                let full = facts.get(import.name);
                let name = strip(plain(full), checks.prefix);
                let Some(symbol) = self.symbols.get(name) else {
                    if checks.unknown && !import.weak {
                        unresolved.push(Unresolved::Unknown {
                            module: i,
                            symbol: full.to_vec(),
                        });
                    }
                    continue;
                };
                if checks.versions
                    && checks.unknown
                    && !import.weak
                    && facts.import_crcs.get(n).is_some_and(|&c| c != symbol.crc)
                {
                    unresolved.push(Unresolved::Version {
                        module: i,
                        symbol: full.to_vec(),
                    });
                }
                if let Some(owner) = symbol.owner
                    && stamp[owner as usize] != i as u32
                {
                    stamp[owner as usize] = i as u32;
                    deps.push(owner);
                    if checks.needs {
                        let owner = owner as usize;
                        needs.push(Need {
                            module: i,
                            symbol: name.to_vec(),
                            owner,
                        });
                    }
                }
            }
            self.deps.push(deps.drain(..));
        }
        Resolution { unresolved, needs }
    }
}

fn strip(name: &[u8], prefix: Option<u8>) -> &[u8] {
    match (name, prefix) {
        ([first, rest @ ..], Some(p)) if *first == p => rest,
        _ => name,
    }
}
