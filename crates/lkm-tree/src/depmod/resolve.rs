//! Who needs whom: modules with their facts, in the order of the indexes, and
//! the topological order that loading follows.

use super::facts::Facts;
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
    /// Modules whose symbols it needs; once [`Tree::sort`] has succeeded, in
    /// topological order.
    pub deps: Vec<u32>,
    /// Place in the topological order: users before what they use.
    pub rank: u32,
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
    pub symbols: Map<Box<[u8]>, Symbol>,
}

/// Puts modules in kmod's order: those of `modules.order` as it lists them,
/// then the others as kmod's hash table has them. The order is left alone
/// from a broken line on, whose number is returned.
pub fn order(found: &mut [Found], modules_order: Option<&[u8]>) -> Option<usize> {
    found.sort_by_cached_key(|f| (bucket(&f.name, MODULE_BUCKETS), f.name.clone()));
    let text = modules_order?;
    let mut places: Map<Vec<u8>, usize> = Map::default();
    for (number, line) in text.split_inclusive(|&c| c == b'\n').enumerate() {
        match line.strip_suffix(b"\n") {
            Some(line) if line.len() < PATH_MAX - 1 => {
                let end = line.iter().position(|&c| c == 0).unwrap_or(line.len());
                let next = places.len();
                places.entry(line[..end].to_vec()).or_insert(next);
            }
            _ => return Some(number + 1),
        }
    }
    found.sort_by_cached_key(|f| {
        f.uncompressed()
            .and_then(|p| places.get(&p).copied())
            .unwrap_or(usize::MAX)
    });
    None
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
            .map(|(found, facts)| Module {
                found,
                facts,
                deps: Vec::new(),
                rank: u32::MAX,
            })
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
        for i in 0..self.modules.len() {
            let mut deps = Vec::new();
            let facts = &self.modules[i].facts;
            for (n, import) in facts.imports.iter().enumerate() {
                let full = facts.get(import.name);
                // On 64-bit PowerPC, .foo is foo.
                let name = strip(full.strip_prefix(b".").unwrap_or(full), checks.prefix);
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
            self.modules[i].deps = deps;
        }
        Resolution { unresolved, needs }
    }

    /// Orders the modules so that each comes before what it uses.
    ///
    /// # Errors
    /// The number of users that remain for each module, where there are loops.
    pub fn sort(&mut self) -> Result<(), Vec<u32>> {
        let mut users = vec![0u32; self.modules.len()];
        for m in &self.modules {
            for &d in &m.deps {
                users[d as usize] += 1;
            }
        }
        let mut roots: Vec<u32> = (0..users.len() as u32)
            .filter(|&i| users[i as usize] == 0)
            .collect();
        let mut rank = 0;
        while let Some(i) = roots.pop() {
            self.modules[i as usize].rank = rank;
            rank += 1;
            for &d in &self.modules[i as usize].deps {
                users[d as usize] -= 1;
                if users[d as usize] == 0 {
                    roots.push(d);
                }
            }
        }
        if (rank as usize) < self.modules.len() {
            return Err(users);
        }
        let ranks: Vec<u32> = self.modules.iter().map(|m| m.rank).collect();
        for m in &mut self.modules {
            m.deps.sort_unstable_by_key(|&d| ranks[d as usize]);
        }
        Ok(())
    }

    /// All modules that each one needs, directly or not, users first: the
    /// lists one after the other, and where each ends.
    pub fn closures(&self) -> Closures {
        let mut all = Vec::new();
        let mut ends = Vec::with_capacity(self.modules.len());
        let mut stamp = vec![u32::MAX; self.modules.len()];
        let mut todo = Vec::new();
        for (i, m) in self.modules.iter().enumerate() {
            let start = all.len();
            todo.extend_from_slice(&m.deps);
            while let Some(d) = todo.pop() {
                if std::mem::replace(&mut stamp[d as usize], i as u32) != i as u32 {
                    all.push(d);
                    todo.extend_from_slice(&self.modules[d as usize].deps);
                }
            }
            all[start..].sort_unstable_by_key(|&d| self.modules[d as usize].rank);
            ends.push(all.len());
        }
        Closures { all, ends }
    }
}

/// See [`Tree::closures`].
pub struct Closures {
    all: Vec<u32>,
    ends: Vec<usize>,
}

impl Closures {
    pub fn of(&self, module: usize) -> &[u32] {
        let start = if module == 0 {
            0
        } else {
            self.ends[module - 1]
        };
        &self.all[start..self.ends[module]]
    }
}

fn strip(name: &[u8], prefix: Option<u8>) -> &[u8] {
    match (name, prefix) {
        ([first, rest @ ..], Some(p)) if *first == p => rest,
        _ => name,
    }
}
