//! A module tree as the lab uses it: names to files, and what each needs loaded before it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
