//! The modules of one kernel: what a name or an alias means, where its file
//! is, and what it depends on.
//!
//! A module is entered once per name, and once per alias that it was reached
//! by, as libkmod does: options and the blacklist distinguish them.

use std::cell::OnceCell;

use crate::bytes;
use crate::config::Config;
use crate::depmod::order::Map;
use crate::errno::Errno;
use crate::fnmatch::fnmatch;
use crate::fs::Files;
use crate::index::{Index, IndexError};
use crate::kernel::{Kernel, State};
use crate::text::{alias_normalize, dep_line, modname_normalize, path_to_modname};

/// A module of a [`Catalog`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ModuleId(usize);

/// What is known of a module.
#[derive(Clone, Debug, Default)]
pub struct Module {
    pub name: Vec<u8>,
    /// The alias it was reached by.
    pub alias: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    deps: Option<Vec<ModuleId>>,
    builtin: Option<bool>,
}

/// What a kernel is to a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Builtin,
    Loaded(State),
}

/// The binary indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexKind {
    Dep,
    Alias,
    Symbols,
    BuiltinAlias,
    Builtin,
}

impl IndexKind {
    fn file(self) -> &'static str {
        match self {
            IndexKind::Dep => "modules.dep.bin",
            IndexKind::Alias => "modules.alias.bin",
            IndexKind::Symbols => "modules.symbols.bin",
            IndexKind::BuiltinAlias => "modules.builtin.alias.bin",
            IndexKind::Builtin => "modules.builtin.bin",
        }
    }
}

/// A module directory with its indexes, opened when first needed.
struct Directory {
    path: Vec<u8>,
    indexes: [OnceCell<Option<Index>>; 5],
}

/// See the module's text.
pub struct Catalog<'a> {
    pub fs: &'a dyn Files,
    pub kernel: &'a dyn Kernel,
    pub config: Config,
    /// The module directory, then those that are tried when it has nothing.
    directories: Vec<Directory>,
    modules: Vec<Module>,
    by_key: Map<Vec<u8>, ModuleId>,
    /// Errors met on the way, for whoever prints them.
    pub errors: Vec<Vec<u8>>,
}

impl<'a> Catalog<'a> {
    /// A catalog of the modules in `dirname` (`/lib/modules/VERSION`).
    pub fn new(
        fs: &'a dyn Files,
        kernel: &'a dyn Kernel,
        dirname: Vec<u8>,
        config: Config,
    ) -> Catalog<'a> {
        let mut catalog = Catalog {
            fs,
            kernel,
            config,
            directories: Vec::new(),
            modules: Vec::new(),
            by_key: Map::default(),
            errors: Vec::new(),
        };
        catalog.add_directory(dirname);
        catalog
    }

    /// Looks in a further directory for what the others do not have.
    pub fn add_directory(&mut self, path: Vec<u8>) {
        self.directories.push(Directory {
            path,
            indexes: Default::default(),
        });
    }

    /// The module directory.
    pub fn dirname(&self) -> &[u8] {
        &self.directories[0].path
    }

    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    pub fn name(&self, id: ModuleId) -> &[u8] {
        &self.modules[id.0].name
    }

    /// The index of that kind, if there is one that can be used.
    pub fn index(&mut self, directory: usize, kind: IndexKind) -> Option<&Index> {
        let fs = self.fs;
        let errors = &mut self.errors;
        let d = &self.directories[directory];
        let open = || {
            let path = bytes!(d.path, "/", kind.file());
            // One that is not there is not worth a word.
            let file = fs.open(&path).ok()?;
            match Index::open(file) {
                Ok(index) => Some(index),
                // Nor is an empty one, which depmod writes where the source is missing.
                Err(IndexError::Empty) => None,
                Err(e) => {
                    errors.push(bytes!(path, ": ", e.to_string()));
                    None
                }
            }
        };
        self.directories[directory].indexes[kind as usize]
            .get_or_init(open)
            .as_ref()
    }

    fn search<T>(
        &mut self,
        directory: usize,
        kind: IndexKind,
        search: impl Fn(&Index) -> Result<T, IndexError>,
    ) -> Option<T> {
        match search(self.index(directory, kind)?) {
            Ok(found) => Some(found),
            Err(e) => {
                let path = bytes!(self.directories[directory].path, "/", kind.file());
                self.errors
                    .push(bytes!(path, ": ", e.to_string(), " (run depmod)"));
                None
            }
        }
    }

    fn enter(&mut self, key: Vec<u8>, module: Module) -> ModuleId {
        let id = ModuleId(self.modules.len());
        match self.by_key.entry(key) {
            std::collections::hash_map::Entry::Occupied(e) => *e.get(),
            std::collections::hash_map::Entry::Vacant(e) => {
                self.modules.push(module);
                *e.insert(id)
            }
        }
    }

    /// The module of that name, whether it exists or not.
    pub fn by_name(&mut self, name: &[u8]) -> ModuleId {
        let name = modname_normalize(name);
        self.enter(
            name.clone(),
            Module {
                name,
                ..Module::default()
            },
        )
    }

    fn by_alias(&mut self, alias: &[u8], name: &[u8]) -> ModuleId {
        let key = bytes!(name, "\\", alias);
        let module = Module {
            name: name.to_vec(),
            alias: Some(alias.to_vec()),
            ..Module::default()
        };
        self.enter(key, module)
    }

    /// The module in that file.
    ///
    /// # Errors
    /// Those of `stat(2)`; `EEXIST` when another file has been taken for that
    /// name already.
    pub fn by_path(&mut self, path: &[u8]) -> Result<ModuleId, Errno> {
        let path = self.fs.absolute(path)?;
        self.fs.stat(&path)?;
        let name = path_to_modname(&path).ok_or(Errno::ENOENT)?;
        let id = self.enter(
            name.clone(),
            Module {
                name,
                ..Module::default()
            },
        );
        let module = &mut self.modules[id.0];
        match &module.path {
            Some(old) if *old != path => {
                self.errors.push(bytes!(
                    "kmod_module '",
                    module.name,
                    "' already exists with different path: new-path='",
                    path,
                    "' old-path='",
                    old,
                    "'"
                ));
                return Err(Errno::EEXIST);
            }
            _ => module.path = Some(path),
        }
        module.builtin = Some(false);
        Ok(id)
    }

    /// Takes a line of `modules.dep`: `PATH: PATH..`, the last one first to be
    /// loaded.
    fn take_dep_line(&mut self, id: ModuleId, directory: usize, line: &[u8]) {
        if self.modules[id.0].deps.is_some() {
            return;
        }
        let Some((path, words)) = dep_line(line) else {
            self.modules[id.0].deps = Some(Vec::new());
            return;
        };
        let base = self.directories[directory].path.clone();
        let join = |p: &[u8]| match p.starts_with(b"/") {
            true => p.to_vec(),
            false => bytes!(base, "/", p),
        };
        if self.modules[id.0].path.is_none() {
            self.modules[id.0].path = Some(join(path));
        }
        let mut deps = Vec::new();
        for word in words {
            let path = join(word);
            match self.by_path(&path) {
                Ok(dep) => deps.push(dep),
                Err(e) => {
                    let name = self.name(id).to_vec();
                    self.errors.push(bytes!(
                        "dependency of '",
                        name,
                        "': path=",
                        path,
                        " error=",
                        e.text()
                    ));
                    return;
                }
            }
        }
        deps.reverse();
        self.modules[id.0].deps = Some(deps);
    }

    fn dep_line(&mut self, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        for d in 0..self.directories.len() {
            if let Some(Some(line)) = self.search(d, IndexKind::Dep, |i| i.search(name)) {
                return Some((d, line));
            }
        }
        None
    }

    fn know_dependencies(&mut self, id: ModuleId) {
        if self.modules[id.0].deps.is_none() {
            let name = self.name(id).to_vec();
            if let Some((d, line)) = self.dep_line(&name) {
                self.take_dep_line(id, d, &line);
            }
        }
    }

    /// All modules that must be there before this one, in the order in which
    /// they are loaded.
    pub fn dependencies(&mut self, id: ModuleId) -> Vec<ModuleId> {
        self.know_dependencies(id);
        self.modules[id.0].deps.clone().unwrap_or_default()
    }

    /// The module's file, if it has one.
    pub fn path(&mut self, id: ModuleId) -> Option<Vec<u8>> {
        if self.modules[id.0].path.is_none() {
            self.know_dependencies(id);
        }
        self.modules[id.0].path.clone()
    }

    /// Whether the module is part of the kernel.
    pub fn is_builtin(&mut self, id: ModuleId) -> bool {
        if let Some(known) = self.modules[id.0].builtin {
            return known;
        }
        let name = self.name(id).to_vec();
        let found = (0..self.directories.len()).any(|d| {
            let found = self.search(d, IndexKind::Builtin, |i| i.search(&name));
            matches!(found, Some(Some(_)))
        });
        self.modules[id.0].builtin = Some(found);
        found
    }

    /// Whether and how the kernel has the module.
    pub fn standing(&mut self, id: ModuleId) -> Result<Standing, Errno> {
        if self.is_builtin(id) {
            return Ok(Standing::Builtin);
        }
        Ok(Standing::Loaded(self.kernel.state(self.name(id))?))
    }

    /// Whether there is nothing to load.
    pub fn is_in_kernel(&mut self, id: ModuleId) -> bool {
        matches!(
            self.standing(id),
            Ok(Standing::Builtin | Standing::Loaded(State::Live))
        )
    }

    /// The options of a module.
    pub fn options(&self, id: ModuleId) -> Vec<u8> {
        let m = self.module(id);
        self.config.options_of(&m.name, m.alias.as_deref())
    }

    /// The modules that a name or an alias means: those of the first source
    /// that knows it. Empty when none does.
    ///
    /// # Errors
    /// `EINVAL` when a bracket does not match.
    pub fn lookup(&mut self, given: &[u8]) -> Result<Vec<ModuleId>, Errno> {
        let name = alias_normalize(given).map_err(|_| Errno::EINVAL)?;

        let mut found = Vec::new();
        for i in 0..self.config.aliases.len() {
            let a = &self.config.aliases[i];
            if fnmatch(&a.pattern, &name) {
                let (pattern, module) = (a.pattern.clone(), a.module.clone());
                found.push(self.by_alias(&pattern, &module));
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        for d in 0..self.directories.len() {
            let found = self.lookup_in(d, &name);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn lookup_in(&mut self, d: usize, name: &[u8]) -> Vec<ModuleId> {
        if let Some(id) = self.lookup_dep(d, name) {
            return vec![id];
        }
        if name.starts_with(b"symbol:") {
            let found = self.lookup_alias(d, IndexKind::Symbols, name);
            if !found.is_empty() {
                return found;
            }
        }
        let commands = || self.config.install.iter().chain(&self.config.remove);
        if commands().any(|c| c.pattern == name) {
            return vec![self.by_name(name)];
        }
        let found = self.lookup_alias(d, IndexKind::Alias, name);
        if !found.is_empty() {
            return found;
        }
        self.lookup_builtin(d, name)
    }

    fn lookup_dep(&mut self, d: usize, name: &[u8]) -> Option<ModuleId> {
        // A module's name has no colon.
        if name.contains(&b':') {
            return None;
        }
        let line = self.search(d, IndexKind::Dep, |i| i.search(name))??;
        let id = self.by_name(name);
        self.take_dep_line(id, d, &line);
        Some(id)
    }

    fn lookup_alias(&mut self, d: usize, kind: IndexKind, name: &[u8]) -> Vec<ModuleId> {
        let found = self
            .search(d, kind, |i| i.search_wild(name))
            .unwrap_or_default();
        found
            .into_iter()
            .map(|v| self.by_alias(name, &v.value))
            .collect()
    }

    fn lookup_builtin(&mut self, d: usize, name: &[u8]) -> Vec<ModuleId> {
        let builtin = self.search(d, IndexKind::Builtin, |i| i.search(name));
        let found = match builtin {
            Some(Some(_)) => vec![self.by_name(name)],
            _ => self.lookup_alias(d, IndexKind::BuiltinAlias, name),
        };
        for &id in &found {
            self.modules[id.0].builtin = Some(true);
        }
        found
    }

    /// The module of that name, if a module directory or the kernel has it.
    pub fn lookup_name(&mut self, given: &[u8]) -> Option<ModuleId> {
        let name = modname_normalize(given);
        for d in 0..self.directories.len() {
            if let Some(id) = self.lookup_dep(d, &name) {
                return Some(id);
            }
            if let Some(&id) = self.lookup_builtin(d, &name).first() {
                return Some(id);
            }
        }
        None
    }

    /// The modules of soft dependencies that were configured for a module,
    /// before and after it.
    pub fn softdeps(&mut self, id: ModuleId) -> (Vec<ModuleId>, Vec<ModuleId>) {
        let owned = |names: Vec<&[u8]>| names.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (pre, post) = self.config.softdeps_of(self.name(id));
        let (pre, post) = (owned(pre), owned(post));
        (self.lookup_all(&pre), self.lookup_all(&post))
    }

    fn lookup_all(&mut self, names: &[Vec<u8>]) -> Vec<ModuleId> {
        let mut out = Vec::new();
        for n in names {
            match self.lookup(n) {
                Ok(found) => out.extend(found),
                Err(_) => {
                    let text = bytes!("failed to lookup dependency '", n, "', continuing anyway.");
                    self.errors.push(text);
                }
            }
        }
        out
    }

    /// The strings that `modules.builtin.modinfo` has for a module.
    ///
    /// # Errors
    /// `ENOENT` when there is no such file; `EINVAL` when it is damaged.
    pub fn builtin_modinfo(&mut self, id: ModuleId) -> Result<Vec<Vec<u8>>, Errno> {
        let path = bytes!(self.dirname(), "/modules.builtin.modinfo");
        let text = self.fs.read(&path, crate::config::FILE_MAX)?;
        let prefix = bytes!(self.name(id), ".");
        let mut out = Vec::new();
        for s in text.split_inclusive(|&c| c == 0) {
            let s = s.strip_suffix(&[0]).unwrap_or(s);
            let Some(dot) = s.iter().position(|&c| c == b'.') else {
                self.errors
                    .push(b"get_strings: unexpected string without modname prefix".into());
                return Err(Errno::EINVAL);
            };
            if s.starts_with(&prefix) {
                out.push(s[dot + 1..].to_vec());
            } else if !out.is_empty() {
                // The strings of a module stand together.
                break;
            }
        }
        Ok(out)
    }
}
