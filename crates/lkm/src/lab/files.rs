//! The broker: the parent reads the module files that lines name, and hands them to the child.

use super::run::Files;
use super::script::{Command, Line};
use crate::tree::Tree;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Most bytes of module files that are read from a directory without being asked for.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Where files come from.
pub(super) struct Sources {
    directory: PathBuf,
    base: PathBuf,
    pub(super) tree: Option<Rc<Tree>>,
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
        self.tree = Some(Rc::new(Tree::open(&self.base, release)?));
        Ok(())
    }

    /// Takes the trees and directories that a line names: a directory with a modules.dep is a tree, of another the
    /// module files are taken.
    pub(super) fn take_directories(&mut self, command: &Command) -> Result<Files, String> {
        let mut files = Files::new();
        let Command::Tree(names) = command else {
            return Ok(files);
        };
        for name in names {
            let path = self.directory.join(name);
            let Some(path) = [path, PathBuf::from(name)].into_iter().find(|p| p.is_dir()) else {
                if self.read(name).is_none() {
                    return Err(format!("{name}: no such file or directory"));
                }
                continue;
            };
            if path.join("modules.dep").is_file() {
                self.tree = Some(Rc::new(Tree::at(path)?));
                continue;
            }
            let listed = listed(&path);
            if listed.is_empty() {
                return Err(format!("{name}: neither a modules.dep nor a module in it"));
            }
            files.extend(read_some(listed));
        }
        Ok(files)
    }

    /// The files that a script names; one that is not there is a bad descriptor in the step.
    pub(super) fn of_script(&mut self, lines: &[Line]) -> Result<Files, String> {
        let mut files = Files::new();
        for line in lines {
            let taken = self.take_directories(&line.command);
            files.extend(taken.map_err(|why| format!("line {}: {why}", line.number))?);
            for name in named(&line.command) {
                if !files.contains_key(name)
                    && let Some(bytes) = std::fs::read(self.directory.join(name))
                        .ok()
                        .map(Rc::new)
                        .or_else(|| self.of_tree(name))
                {
                    files.insert(name.to_owned(), bytes);
                }
            }
        }
        Ok(files)
    }

    /// NAME.ko of the tree.
    fn of_tree(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        let tree = self.tree.as_ref()?;
        let stem = name
            .strip_suffix(".ko")
            .filter(|stem| !stem.contains('/'))?;
        tree.image(&stem.replace('-', "_"), true).ok()
    }

    /// The file that a line at the prompt names: below the directory, then as it stands, then an example's.
    pub(super) fn read(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        [self.directory.join(name), PathBuf::from(name)]
            .iter()
            .find_map(|path| crate::rehearse::read(path).ok())
            .map(Rc::new)
            .or_else(|| example(name))
            .or_else(|| self.of_tree(name))
    }

    /// What is there from the start at a prompt: the examples, and the directory's module files.
    pub(super) fn at_start(&self) -> Files {
        let mut files: Files = crate::examples::all()
            .map(|(name, bytes)| (format!("{name}.ko"), Rc::new(bytes.to_vec())))
            .collect();
        files.extend(read_some(self.listed()));
        files
    }

    /// The directory's module files.
    fn listed(&self) -> Vec<(String, PathBuf)> {
        let directory = if self.directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.directory
        };
        listed(directory)
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
        let tree = self.tree.iter().flat_map(|tree| tree.names());
        tree.map(str::to_owned).collect()
    }
}

/// The module files of a directory.
fn listed(directory: &Path) -> Vec<(String, PathBuf)> {
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

/// As many of these files as there is room for.
fn read_some(listed: Vec<(String, PathBuf)>) -> Files {
    let mut files = Files::new();
    let mut room = MAX_DIRECTORY;
    for (name, path) in listed {
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
