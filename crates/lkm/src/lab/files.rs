//! The broker: the parent reads the module files that lines name, and hands them to the child.

use super::run::Files;
use super::script::{Command, Line, Step};
use crate::tree::Tree;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Most bytes of module files that are read from a directory without being asked for.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Where files come from.
pub(super) struct Sources {
    directory: PathBuf,
    base: PathBuf,
    tree: Option<Tree>,
}

impl Sources {
    /// Files of a directory, and of the module trees below `base`.
    pub(super) fn new(directory: PathBuf, base: Option<PathBuf>) -> Sources {
        Sources {
            directory,
            base: base.unwrap_or_else(|| "/".into()),
            tree: None,
        }
    }

    /// Opens the module tree of a kernel release.
    pub(super) fn open_tree(&mut self, release: &str) -> Result<(), String> {
        self.tree = Some(Tree::open(&self.base, release)?);
        Ok(())
    }

    /// The files that a script names; one that is not there is a bad descriptor in the step.
    pub(super) fn of_script(&self, lines: &[Line]) -> Files {
        let mut files = Files::new();
        for line in lines {
            for name in named(&line.command) {
                if !files.contains_key(name)
                    && let Ok(bytes) = std::fs::read(self.directory.join(name))
                {
                    files.insert(name.to_owned(), Rc::new(bytes));
                }
            }
        }
        files
    }

    /// The file that a line at the prompt names: below the directory, then as it stands, then an example's.
    pub(super) fn read(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        [self.directory.join(name), PathBuf::from(name)]
            .iter()
            .find_map(|path| crate::rehearse::read(path).ok())
            .map(Rc::new)
            .or_else(|| example(name))
    }

    /// What a line's modprobe may need of the tree: files by name, what a module depends on among them.
    pub(super) fn of_modprobe(&self, command: &Command) -> Vec<(String, Rc<Vec<u8>>)> {
        let Some(tree) = &self.tree else {
            return Vec::new();
        };
        let mut files = Vec::new();
        for name in modprobed(command) {
            let mut all = tree.dependencies(name);
            all.push(name.replace('-', "_"));
            for name in all {
                if let Ok(image) = tree.image(&name, true) {
                    files.push((format!("{name}.ko"), image));
                }
            }
        }
        files
    }

    /// What is there from the start at a prompt: the examples, and the directory's module files.
    pub(super) fn at_start(&self) -> Files {
        let mut files: Files = crate::examples::all()
            .map(|(name, bytes)| (format!("{name}.ko"), Rc::new(bytes.to_vec())))
            .collect();
        let mut room = MAX_DIRECTORY;
        for (name, path) in self.listed() {
            let len = std::fs::metadata(&path).map_or(u64::MAX, |m| m.len());
            if len > room {
                continue;
            }
            if let Ok(bytes) = crate::rehearse::read(&path) {
                room -= len;
                files.insert(name, Rc::new(bytes));
            }
        }
        files
    }

    /// The directory's module files.
    fn listed(&self) -> Vec<(String, PathBuf)> {
        let directory = if self.directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.directory
        };
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        let mut files: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .filter(|(name, path)| name.ends_with(".ko") && path.is_file())
            .collect();
        files.sort();
        files
    }

    /// Names of module files, for completion.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.listed().into_iter().map(|(name, _)| name).collect();
        names.extend(crate::examples::all().map(|(name, _)| format!("{name}.ko")));
        names.sort();
        names.dedup();
        names
    }

    /// Names of the tree's modules, for completion.
    pub(super) fn tree_names(&self) -> Vec<String> {
        let tree = self.tree.iter().flat_map(Tree::names);
        tree.map(str::to_owned).collect()
    }
}

/// An example by its file's name.
fn example(name: &str) -> Option<Rc<Vec<u8>>> {
    let stem = name.strip_suffix(".ko").unwrap_or(name);
    let (bytes, _) = crate::examples::find(stem).ok()?;
    Some(Rc::new(bytes.to_vec()))
}

/// The module files that a line names.
pub(super) fn named(command: &Command) -> Vec<&str> {
    match command {
        Command::Step(step) => step.files(),
        Command::Tree(names) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The modules that a line asks modprobe for.
fn modprobed(command: &Command) -> Vec<&str> {
    let mut step = match command {
        Command::Step(step) => step,
        Command::Tree(names) => return names.iter().map(String::as_str).collect(),
        _ => return Vec::new(),
    };
    while let Step::Start { step: inner, .. } = step {
        step = inner;
    }
    match step {
        Step::Tool { name, args } if matches!(name.as_str(), "modprobe" | "modinfo") => args
            .iter()
            .map(String::as_str)
            .filter(|a| !a.starts_with('-') && !a.contains('='))
            .collect(),
        _ => Vec::new(),
    }
}
