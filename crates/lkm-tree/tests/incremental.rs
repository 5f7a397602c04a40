//! An incremental depmod writes what a full one would, whatever happened to
//! the tree in between.

#[path = "support/mod.rs"]
mod support;
#[path = "support/world.rs"]
mod world;

use lkm_tree::depmod::output::NAMES;
use lkm_tree::fs::Files;
use lkm_tree::fs_memory::MemoryFiles;
use support::{Module, Random};
use world::{FakeHost, FakeKernel, run};

const BASE: &str = "/lib/modules/1.2.3";

fn depmod(fs: &MemoryFiles, args: &str) -> (String, String, i32) {
    run(
        fs,
        &FakeKernel::default(),
        &FakeHost::default(),
        &format!("depmod {args}"),
    )
}

fn read(fs: &MemoryFiles, name: &str) -> Option<Vec<u8>> {
    fs.read(format!("{BASE}/{name}").as_bytes(), 1 << 30).ok()
}

/// What a module of the tree says; its number is its name.
#[derive(Clone, Default)]
struct Said {
    alias: Vec<u32>,
    /// It has a device node.
    node: bool,
    /// Its directory, and what its file's name ends in.
    place: u32,
    /// It exports what others of these do, too.
    shared: bool,
    softdep: Option<u32>,
    weakdep: Option<u32>,
    exports: u32,
    imports: Vec<(usize, u32)>,
    /// Changes the file, and nothing that is indexed.
    version: u32,
}

/// A tree of modules that is changed at random.
struct Tree {
    fs: MemoryFiles,
    random: Random,
    modules: Vec<Option<Said>>,
}

impl Tree {
    fn new(seed: u64) -> Tree {
        let fs = MemoryFiles::new();
        // Without these every run has something to say. Every third module is
        // in the order, so that some come and go before others.
        let order: String = (0..90)
            .rev()
            .step_by(3)
            .map(|i| format!("kernel/d{}/m{i}.ko\n", i % 7))
            .collect();
        fs.put(&format!("{BASE}/modules.order"), order);
        fs.put(&format!("{BASE}/modules.builtin"), "kernel/in.ko\n");
        fs.put(
            &format!("{BASE}/modules.builtin.modinfo"),
            "in.alias=fs-in\0",
        );
        let mut tree = Tree {
            fs,
            random: Random::new(seed),
            modules: Vec::new(),
        };
        for _ in 0..40 {
            tree.add();
        }
        tree
    }

    fn path(i: usize, place: u32) -> String {
        let dir = match place {
            0 | 1 => format!("kernel/d{}", i % 7),
            2 => format!("updates/new{i}/below"),
            _ => "extra".into(),
        };
        // What a file is shows in its content.
        let end = if place == 1 { ".xz" } else { "" };
        format!("{BASE}/{dir}/m{i}.ko{end}")
    }

    fn put(&self, i: usize) {
        for place in 0..4 {
            self.fs.delete(&Tree::path(i, place));
        }
        let Some(said) = &self.modules[i] else {
            return;
        };
        let mut m = Module::new(&format!("m{i}")).info(&format!("version={}", said.version));
        for alias in &said.alias {
            m = m.info(&format!("alias=pci:v{alias}d*"));
        }
        if said.node {
            m = m
                .info(&format!("alias=devname:m{i}"))
                .info(&format!("alias=char-major-9-{i}"));
        }
        if said.shared {
            m = m.exports("shared");
        }
        if let Some(s) = said.softdep {
            m = m.info(&format!("softdep=pre: m{s}"));
        }
        if let Some(w) = said.weakdep {
            m = m.info(&format!("weakdep=m{w}"));
        }
        for e in 0..said.exports {
            m = m.exports(&format!("s{i}_{e}"));
        }
        for (of, e) in &said.imports {
            m = m.imports(&format!("s{of}_{e}"));
        }
        self.fs.put(&Tree::path(i, said.place), m.build());
    }

    fn add(&mut self) {
        self.modules.push(Some(Said::default()));
        self.change(self.modules.len() - 1);
    }

    fn change(&mut self, i: usize) {
        let r = &mut self.random;
        let kind = r.below(10);
        if let Some(said) = &mut self.modules[i] {
            match kind {
                0 => said.alias = (0..r.below(5)).map(|_| r.below(40)).collect(),
                6 => said.node = !said.node,
                7 => said.place = r.below(4),
                // Another module's, which that may have or not.
                8 if i > 0 => said.imports.push((r.below(i as u32) as usize, r.below(4))),
                9 => said.shared = r.below(8) == 0,
                1 => said.softdep = Some(r.below(40)),
                2 => said.weakdep = Some(r.below(40)),
                3 => said.exports = r.below(4),
                // Only of those before it: no loops here.
                4 if i > 0 => said.imports = vec![(r.below(i as u32) as usize, r.below(4))],
                _ => said.version += 1,
            }
        }
        self.put(i);
    }

    /// Changes the tree; whether the short way must be gone then.
    fn step(&mut self) -> bool {
        match self.random.below(16) {
            0 | 1 => self.add(),
            2 | 3 => {
                let i = self.random.below(self.modules.len() as u32) as usize;
                self.modules[i] = None;
                self.put(i);
            }
            4 => {
                // Another order of the indexes.
                let mut order = String::new();
                for i in 0..self.random.below(40) as usize {
                    order += &(Tree::path(i, 0)[BASE.len() + 1..].to_string() + "\n");
                }
                self.fs.put(&format!("{BASE}/modules.order"), order);
                return false;
            }
            5 => {
                // Somebody else writes an index.
                let name = NAMES[self.random.below(NAMES.len() as u32) as usize];
                self.fs.put(&format!("{BASE}/{name}"), "not ours");
                return false;
            }
            6 => {
                // The cache is damaged, or lost in part.
                for name in ["modules.lkm-cache", "modules.lkm-facts"] {
                    if let Some(mut bytes) = read(&self.fs, name)
                        && !bytes.is_empty()
                        && self.random.below(2) == 0
                    {
                        let at = self.random.below(bytes.len() as u32) as usize;
                        bytes[at] ^= 1;
                        self.fs.put(&format!("{BASE}/{name}"), bytes);
                    }
                }
                return false;
            }
            _ => {
                for _ in 0..self.random.below(4) {
                    let i = self.random.below(self.modules.len() as u32) as usize;
                    self.change(i);
                }
            }
        }
        // Which of several modules counts that export one symbol is for the
        // long way.
        let shared = self.modules.iter().flatten().filter(|m| m.shared);
        shared.count() < 2
    }

    fn outputs(&self) -> Vec<Option<Vec<u8>>> {
        NAMES.iter().map(|n| read(&self.fs, n)).collect()
    }
}

/// Only the long way writes this one anew.
fn builtin_inode(fs: &MemoryFiles) -> u64 {
    let path = format!("{BASE}/modules.builtin.bin");
    fs.stat(path.as_bytes()).unwrap().inode
}

#[test]
fn an_incremental_run_writes_what_a_full_one_does() {
    let mut short = [0, 0];
    for seed in 0..30 {
        let mut tree = Tree::new(seed);
        assert_eq!(depmod(&tree.fs, "--incremental").2, 0);
        for step in 0..40 {
            let must = tree.step();
            let before = builtin_inode(&tree.fs);
            // A run that looks the same later must also write the same.
            let cache = read(&tree.fs, "modules.lkm-cache");
            let facts = read(&tree.fs, "modules.lkm-facts");
            let (_, err, code) = depmod(&tree.fs, "--incremental");
            assert_eq!((&err[..], code), ("", 0), "seed {seed}, step {step}");
            short[usize::from(builtin_inode(&tree.fs) == before)] += usize::from(must);
            let incremental = tree.outputs();
            assert!(cache.is_some() || step == 0);
            let remembered = read(&tree.fs, "modules.lkm-cache").unwrap();
            let remembered_facts = read(&tree.fs, "modules.lkm-facts").or(facts);
            assert_eq!(depmod(&tree.fs, "--no-incremental").2, 0);
            let full = tree.outputs();
            for ((name, a), b) in NAMES.iter().zip(&incremental).zip(&full) {
                assert_eq!(a, b, "{name}: seed {seed}, step {step}");
            }
            // On with the cache as it was, whose keys of the outputs no longer
            // fit now and then.
            if tree.random.below(2) == 0 {
                let put = |n: &str, b| tree.fs.put(&format!("{BASE}/{n}"), b);
                put("modules.lkm-cache", remembered);
                if let Some(f) = remembered_facts {
                    put("modules.lkm-facts", f);
                }
            }
            assert_eq!(depmod(&tree.fs, "--incremental").2, 0);
        }
    }
    // Rarely is there a reason to go the long way.
    let [long, short] = short;
    assert!(
        short > 600 && long * 8 < short,
        "{long} long, {short} short"
    );
}

/// The short way is gone: what need not change is not written.
#[test]
fn only_what_changed_is_written() {
    let mut tree = Tree::new(99);
    let inodes = |t: &Tree| {
        NAMES.map(|n| {
            let path = format!("{BASE}/{n}");
            t.fs.stat(path.as_bytes()).unwrap().inode
        })
    };
    assert_eq!(depmod(&tree.fs, "--incremental").2, 0);
    let first = inodes(&tree);
    assert_eq!(depmod(&tree.fs, "").2, 0);
    assert_eq!(inodes(&tree), first, "nothing changed");
    let said = tree.modules[5].as_mut().unwrap();
    said.version += 1;
    tree.put(5);
    assert_eq!(depmod(&tree.fs, "").2, 0);
    assert_eq!(inodes(&tree), first, "the module says the same");
    tree.modules[5].as_mut().unwrap().alias = vec![4711];
    tree.put(5);
    assert_eq!(depmod(&tree.fs, "").2, 0);
    let now = inodes(&tree);
    for ((name, old), new) in NAMES.iter().zip(first).zip(now) {
        let of_aliases = ["modules.alias", "modules.alias.bin"];
        assert_eq!(old != new, of_aliases.contains(name), "{name}");
    }
    assert!(
        String::from_utf8_lossy(&read(&tree.fs, "modules.alias").unwrap()).contains("v4711d* m5")
    );
}
