//! Finds the module files of a tree, and decides which of several modules of
//! one name counts.

use std::hash::Hasher;
use std::sync::Arc;

use super::order::{Map, Quick, Set};
use super::resolve::UNLISTED;
use crate::bytes;
use crate::config::depmod::{DepmodConfig, Search};
use crate::errno::Errno;
use crate::fs::{Entry, Files, Kind, OpenDir, OpenFile, Stat};
use crate::text::{PATH_MAX, has_module_extension, path_to_modname};

/// A module file.
#[derive(Clone)]
pub struct Found {
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    /// Where in `path` the part relative to the module directory begins; none
    /// for a module outside of it.
    pub relative: Option<usize>,
    /// Its line in `modules.order`, once [`super::resolve::order`] has looked.
    pub place: u32,
    /// The directory that was searched, and where in `path` the part relative
    /// to that begins.
    root: Option<(Arc<dyn OpenDir>, usize)>,
}

impl Found {
    /// What the indexes call it.
    pub fn shown(&self) -> &[u8] {
        &self.path[self.relative.unwrap_or(0)..]
    }

    /// The part of the path before the last slash.
    fn base_len(&self) -> usize {
        self.path.iter().rposition(|&c| c == b'/').unwrap_or(0)
    }

    /// The relative path, as if the file were not compressed: what
    /// `modules.order` has.
    pub fn uncompressed(&self) -> Option<Vec<u8>> {
        let end = self.base_len() + 1 + self.name.len() + b".ko".len();
        Some(self.path.get(self.relative?..end)?.to_vec())
    }

    /// The file's own data.
    pub fn stat(&self, fs: &dyn Files) -> Result<Stat, Errno> {
        match &self.root {
            Some((dir, at)) => dir.stat(&self.path[*at..]),
            None => fs.stat(&self.path),
        }
    }

    /// Opens the file, relative to the directory that was searched.
    pub fn open(&self, fs: &dyn Files) -> Result<Box<dyn OpenFile>, Errno> {
        match &self.root {
            Some((dir, at)) => dir.file(&self.path[*at..]),
            None => fs.open(&self.path),
        }
    }

    /// A file named by hand.
    pub fn named(path: &[u8], dirname: &[u8]) -> Option<Found> {
        let relative = path
            .strip_prefix(dirname)
            .and_then(|r| r.strip_prefix(b"/"))
            .map(|r| path.len() - r.len());
        Some(Found {
            name: path_to_modname(path)?,
            path: path.to_vec(),
            relative,
            place: UNLISTED,
            root: None,
        })
    }
}

/// What a directory holds that matters: the same sum, the same modules and
/// directories, in whatever order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Listing(pub u64);

impl Listing {
    fn add(&mut self, name: &[u8], kind: Kind, link: Option<(u64, u64)>) {
        let mut h = Quick::default();
        h.write(name);
        h.write_u8(u8::from(kind == Kind::Dir));
        // A link may lead elsewhere next time, under the same name.
        if let (Kind::Dir, Some((device, inode))) = (kind, link) {
            h.write_usize(device as usize);
            h.write_usize(inode as usize);
        }
        self.0 = self.0.wrapping_add(h.finish());
    }
}

/// A directory that was searched, as it was before that.
pub struct Searched {
    pub path: Vec<u8>,
    pub stat: Option<Stat>,
    pub listing: Listing,
}

/// All modules of a tree, by name.
pub struct Scan<'a> {
    pub fs: &'a dyn Files,
    pub dirname: &'a [u8],
    config: &'a DepmodConfig,
    pub found: Vec<Found>,
    by_name: Map<Vec<u8>, usize>,
    /// What could not be searched.
    pub errors: Vec<Vec<u8>>,
    /// A directory could not be read: its modules are in no index.
    pub incomplete: bool,
    /// The directories, when they are to be remembered.
    pub searched: Option<Vec<Searched>>,
    /// Several modules had one name.
    pub ambiguous: bool,
}

impl<'a> Scan<'a> {
    pub fn new(fs: &'a dyn Files, dirname: &'a [u8], config: &'a DepmodConfig) -> Scan<'a> {
        Scan {
            fs,
            dirname,
            config,
            found: Vec::new(),
            by_name: Map::default(),
            errors: Vec::new(),
            incomplete: false,
            searched: None,
            ambiguous: false,
        }
    }

    /// Searches the module directory and the external ones.
    ///
    /// # Errors
    /// When the module directory itself cannot be read; the message is in
    /// [`Scan::errors`].
    pub fn search(&mut self) -> Result<(), Errno> {
        self.search_root(self.dirname)?;
        for dir in &self.config.externals {
            // One that is not there, is not there.
            let _ = self.search_root(dir);
        }
        Ok(())
    }

    /// Searches one more directory, as an `external` line would have it.
    pub fn search_root(&mut self, path: &[u8]) -> Result<(), Errno> {
        let opened = self.fs.open_dir(path).and_then(|d| {
            let place = self.remember(path, &*d);
            Ok((d.entries()?, d, place))
        });
        let (entries, dir, place) = opened.inspect_err(|e| {
            self.errors
                .push(bytes!("could not open directory ", path, ": ", e.text()));
        })?;
        let root: Arc<dyn OpenDir> = dir.into();
        let mut walk = Walk {
            scan: self,
            root: root.clone(),
            root_len: path.len() + 1,
        };
        let mut path = path.to_vec();
        walk.dir(&*root, entries, place, &mut path, &mut Vec::new());
        Ok(())
    }

    /// Notes a directory before it is read; its place in the notes.
    fn remember(&mut self, path: &[u8], dir: &dyn OpenDir) -> usize {
        let Some(searched) = &mut self.searched else {
            return 0;
        };
        searched.push(Searched {
            path: path.to_vec(),
            stat: dir.own_stat().ok(),
            listing: Listing::default(),
        });
        searched.len() - 1
    }

    fn file(&mut self, found: Found) {
        if let Some(&at) = self.by_name.get(&found.name) {
            self.ambiguous = true;
            if self.keeps(&self.found[at], &found) {
                return;
            }
            self.found[at] = found;
            return;
        }
        self.by_name.insert(found.name.clone(), self.found.len());
        self.found.push(found);
    }

    /// Whether the module known already is to stay.
    fn keeps(&self, old: &Found, new: &Found) -> bool {
        // Paths without what follows the module's name.
        let stem = |f: &Found| f.base_len() + 1 + f.name.len();
        let (new_stem, old_stem) = (&new.path[..stem(new)], &old.path[..stem(old)]);
        let below = |p: &'_ [u8]| -> Option<Vec<u8>> {
            Some(p.strip_prefix(self.dirname)?.get(1..)?.to_vec())
        };
        let (new_rel, old_rel) = (below(new_stem), below(old_stem));
        for o in &self.config.overrides {
            if new_rel.as_ref() == Some(o) {
                return false;
            }
            if old_rel.as_ref() == Some(o) {
                return true;
            }
        }
        let (mut builtin, mut old_rank, mut new_rank) = (-1, -1, -1);
        let mut i = 0;
        let inside = |p: &[u8], dir: &[u8]| p.starts_with(dir) && p.get(dir.len()) == Some(&b'/');
        for s in &self.config.searches {
            match s {
                Search::Builtin => builtin = i,
                Search::External => {
                    for dir in &self.config.externals {
                        if inside(new_stem, dir) {
                            new_rank = i;
                        }
                        if inside(old_stem, dir) {
                            old_rank = i;
                        }
                        i += 1;
                    }
                }
                Search::Path(dir) => {
                    // As kmod does: when both are there, only the new one's
                    // rank is set, and it replaces the old.
                    if new_rel.as_ref().is_some_and(|p| inside(p, dir)) {
                        new_rank = i;
                    } else if old_rel.as_ref().is_some_and(|p| inside(p, dir)) {
                        old_rank = i;
                    }
                }
            }
            i += 1;
        }
        let or_builtin = |rank: i64| if rank < 0 { builtin } else { rank };
        or_builtin(new_rank) <= or_builtin(old_rank)
    }

    /// Adds a file named by hand; false when one of that name is there.
    pub fn add_named(&mut self, found: Found) -> bool {
        let new = !self.by_name.contains_key(&found.name);
        if new {
            self.file(found);
        }
        new
    }
}

fn is_passed_over(name: &[u8], config: &DepmodConfig) -> bool {
    name == b"build" || name == b"source" || config.excludes.iter().any(|x| x == name)
}

fn matters(name: &[u8], kind: Kind) -> bool {
    kind == Kind::Dir || kind == Kind::File && has_module_extension(name)
}

enum KindError {
    /// Neither file nor directory, but of these type bits.
    Other(u32),
    Stat(Errno),
}

/// What an entry is, and where it leads when it is a link.
fn kind_of(dir: &dyn OpenDir, e: &Entry) -> Result<(Kind, Option<(u64, u64)>), KindError> {
    if let Some(kind) = e.kind {
        return Ok((kind, None));
    }
    match dir.stat(&e.name) {
        Ok(st) if st.kind == Kind::Other => Err(KindError::Other(st.type_bits)),
        Ok(st) => Ok((st.kind, Some((st.device, st.inode)))),
        Err(e) => Err(KindError::Stat(e)),
    }
}

/// What is in a directory now.
#[derive(Default)]
pub struct Contents {
    pub listing: Listing,
    pub modules: Set<Vec<u8>>,
    pub dirs: Set<Vec<u8>>,
    /// Some of the directories are links.
    pub links: bool,
}

/// Lists a directory; none when something in it cannot be known.
pub fn contents(dir: &dyn OpenDir, config: &DepmodConfig) -> Option<Contents> {
    let mut all = Contents::default();
    for e in dir.entries().ok()? {
        if is_passed_over(&e.name, config) {
            continue;
        }
        let (kind, link) = kind_of(dir, &e).ok()?;
        if !matters(&e.name, kind) {
            continue;
        }
        all.listing.add(&e.name, kind, link);
        match kind {
            Kind::Dir => {
                all.links |= link.is_some();
                all.dirs.insert(e.name)
            }
            _ => all.modules.insert(e.name),
        };
    }
    Some(all)
}

struct Walk<'s, 'a> {
    scan: &'s mut Scan<'a>,
    root: Arc<dyn OpenDir>,
    root_len: usize,
}

impl Walk<'_, '_> {
    /// Goes through a directory whose `path` has no slash at its end.
    /// `above` are the directories on the way that links led to.
    fn dir(
        &mut self,
        dir: &dyn OpenDir,
        entries: Vec<Entry>,
        place: usize,
        path: &mut Vec<u8>,
        above: &mut Vec<(u64, u64)>,
    ) {
        let base = path.len();
        for e in entries {
            let name = &e.name[..];
            if is_passed_over(name, self.scan.config) {
                continue;
            }
            path.truncate(base);
            path.push(b'/');
            path.extend_from_slice(name);
            if path.len() >= PATH_MAX {
                self.scan.errors.push(bytes!("path is too long ", path));
                continue;
            }
            let (kind, link) = match kind_of(dir, &e) {
                Ok(known) => known,
                Err(KindError::Other(bits)) => {
                    let bits = format!("{bits:o}");
                    let text = bytes!("unsupported file type ", path, ": ", bits);
                    self.scan.errors.push(text);
                    continue;
                }
                Err(KindError::Stat(err)) => {
                    let text = bytes!("could not stat ", path, ": ", err.text());
                    self.scan.errors.push(text);
                    continue;
                }
            };
            if let Some(searched) = &mut self.scan.searched
                && matters(name, kind)
            {
                searched[place].listing.add(name, kind, link);
            }
            match kind {
                Kind::File if has_module_extension(name) => {
                    if let Some(module) = path_to_modname(path) {
                        let inside = path.starts_with(self.scan.dirname)
                            && path.get(self.scan.dirname.len()) == Some(&b'/');
                        self.scan.file(Found {
                            name: module,
                            path: path.clone(),
                            relative: inside.then(|| self.scan.dirname.len() + 1),
                            place: UNLISTED,
                            root: Some((self.root.clone(), self.root_len)),
                        });
                    }
                }
                Kind::Dir => {
                    // Only a link can lead back up, and then it does so again.
                    if let Some(id) = link {
                        if above.contains(&id) {
                            self.scan.errors.push(bytes!("directory loop at ", path));
                            continue;
                        }
                        above.push(id);
                    }
                    let opened = dir.dir(name).and_then(|d| {
                        let place = self.scan.remember(path, &*d);
                        Ok((d.entries()?, d, place))
                    });
                    match opened {
                        Ok((entries, sub, place)) => self.dir(&*sub, entries, place, path, above),
                        Err(err) => {
                            let text = bytes!("could not open directory ", path, ": ", err.text());
                            self.scan.errors.push(text);
                            self.scan.incomplete = true;
                        }
                    }
                    if link.is_some() {
                        above.pop();
                    }
                }
                _ => {}
            }
        }
        path.truncate(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_memory::MemoryFiles;

    fn paths(config: &str, files: &[&str]) -> Vec<String> {
        let fs = MemoryFiles::new();
        for f in files {
            fs.put(f, "");
        }
        let mut c = DepmodConfig::default();
        c.parse(b"c", config.as_bytes(), b"1.2");
        if c.searches.is_empty() {
            c.searches.push(Search::Path(b"updates".into()));
        }
        let mut scan = Scan::new(&fs, b"/m/1.2", &c);
        scan.search().unwrap();
        scan.found
            .iter()
            .map(|f| String::from_utf8_lossy(f.shown()).into_owned())
            .collect()
    }

    #[test]
    fn updates_win_by_default() {
        let files = [
            "/m/1.2/kernel/a-b.ko",
            "/m/1.2/updates/a_b.ko.xz",
            "/m/1.2/build/c.ko",
        ];
        assert_eq!(paths("", &files), ["updates/a_b.ko.xz"]);
    }

    #[test]
    fn search_order_and_overrides() {
        let files = [
            "/m/1.2/extra/a.ko",
            "/m/1.2/kernel/a.ko",
            "/m/1.2/updates/a.ko",
            "/x/a.ko",
        ];
        assert_eq!(
            paths("search extra updates built-in", &files),
            ["extra/a.ko"]
        );
        assert_eq!(
            paths("search updates extra built-in", &files),
            ["updates/a.ko"]
        );
        assert_eq!(
            paths("search built-in updates extra", &files),
            ["kernel/a.ko"]
        );
        assert_eq!(paths("override a * kernel", &files), ["kernel/a.ko"]);
        assert_eq!(paths("override a 9.* kernel", &files), ["updates/a.ko"]);
        assert_eq!(
            paths("external * /x\nsearch external built-in", &files),
            ["/x/a.ko"]
        );
        assert_eq!(paths("exclude updates", &files), ["extra/a.ko"]);
    }
}
