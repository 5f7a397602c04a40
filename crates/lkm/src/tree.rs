//! A module tree as the lab uses it: names to files, and what each needs loaded before it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lkm_tree::catalog::Catalog;
use lkm_tree::config::Config;
use lkm_tree::fs::RealFiles;
use lkm_tree::plan::{PlanOptions, plan};
use lkm_tree::text;

/// A module directory (`BASE/lib/modules/KVER`), through its modules.dep.
pub(crate) struct Tree {
    root: PathBuf,
    /// Module name to its path and its dependencies' paths, in modules.dep's order (nearest first).
    entries: BTreeMap<String, (String, Vec<String>)>,
    cache: RefCell<BTreeMap<String, Rc<Vec<u8>>>>,
}

/// The name a file's module has: without directory and suffixes, dashes as underscores.
pub(crate) fn module_name(path: &str) -> String {
    let name = text::path_to_modname(path.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}

impl Tree {
    /// Reads modules.dep of `base`'s modules for kernel `release`.
    pub(crate) fn open(base: &Path, release: &str) -> Result<Tree, String> {
        let candidates = [
            base.join("lib/modules").join(release),
            base.join("usr/lib/modules").join(release),
        ];
        let root = candidates
            .iter()
            .find(|dir| dir.is_dir())
            .ok_or_else(|| format!("{}: no such directory", candidates[0].display()))?
            .clone();
        Tree::at(root)
    }

    /// The same for the directory that modules.dep is in.
    pub(crate) fn at(root: PathBuf) -> Result<Tree, String> {
        let dep = root.join("modules.dep");
        let lines = std::fs::read(&dep)
            .map_err(|e| format!("{}: {e}; run lkm depmod first", dep.display()))?;
        let mut entries = BTreeMap::new();
        let owned = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        for line in lines.split(|&c| c == b'\n') {
            let Some((path, needs)) = text::dep_line(line) else {
                continue;
            };
            let path = owned(path);
            entries.insert(module_name(&path), (path, needs.map(owned).collect()));
        }
        Ok(Tree {
            root,
            entries,
            cache: RefCell::default(),
        })
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The file of a name.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let (path, _) = self.entries.get(&name.replace('-', "_"))?;
        Some(self.root.join(path))
    }

    /// Names that must be loaded before `name`, deepest first.
    pub(crate) fn dependencies(&self, name: &str) -> Vec<String> {
        match self.entries.get(&name.replace('-', "_")) {
            Some((_, needs)) => needs.iter().rev().map(|path| module_name(path)).collect(),
            None => Vec::new(),
        }
    }

    /// The modules that modprobe would load for a name or an alias, in that order, as names; none when nothing has it
    /// or it is built in. What modprobe.d of this machine says has no say.
    pub(crate) fn planned(&self, asked: &str) -> Vec<String> {
        let dirname = self.root.as_os_str().as_encoded_bytes().to_vec();
        // A plan asks no kernel.
        let kernel = lkm_live::kernel::LiveKernel;
        let config = Config::load(&RealFiles, &dirname, &[], None);
        let mut catalog = Catalog::new(&RealFiles, &kernel, dirname, config);
        let mut names = Vec::new();
        for module in catalog.lookup(asked.as_bytes()).unwrap_or_default() {
            for step in plan(&mut catalog, module, PlanOptions::default()) {
                let name = String::from_utf8_lossy(catalog.name(step.module)).into_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// What depmod cannot find out from the modules: the lists of what is built into the kernel, by name.
    pub(crate) fn builtin_lists(&self) -> Vec<(String, Vec<u8>)> {
        ["modules.builtin", "modules.builtin.modinfo"]
            .iter()
            .filter_map(|name| {
                Some((
                    (*name).to_owned(),
                    std::fs::read(self.root.join(name)).ok()?,
                ))
            })
            .collect()
    }

    /// The bytes of a module of the tree; a dependency of many is read once.
    pub(crate) fn image(&self, name: &str, keep: bool) -> Result<Rc<Vec<u8>>, String> {
        if let Some(image) = self.cache.borrow().get(name) {
            return Ok(Rc::clone(image));
        }
        let path = self
            .path(name)
            .ok_or_else(|| format!("no module {name} in {}", self.root.display()))?;
        let image = Rc::new(crate::rehearse::read(&path)?);
        if keep {
            self.cache
                .borrow_mut()
                .insert(name.to_owned(), Rc::clone(&image));
        }
        Ok(image)
    }
}
