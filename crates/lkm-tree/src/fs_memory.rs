//! A file system in memory: for the lab, whose modprobe sees the tree it was
//! given and nothing else, and for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::errno::Errno;
use crate::fs::{Entry, Files, Kind, OpenDir, OpenFile, Stat};

/// A file's bytes, opened.
pub struct MemoryFile {
    content: Arc<[u8]>,
    inode: u64,
}

impl MemoryFile {
    pub fn new(content: Vec<u8>) -> MemoryFile {
        MemoryFile {
            content: content.into(),
            inode: 0,
        }
    }
}

fn stat(kind: Kind, size: u64, inode: u64) -> Stat {
    let type_bits = if kind == Kind::Dir {
        libc::S_IFDIR
    } else {
        libc::S_IFREG
    };
    Stat {
        kind,
        type_bits,
        size,
        mtime_ns: 0,
        ctime_ns: 0,
        device: 0,
        inode,
    }
}

impl OpenFile for MemoryFile {
    fn stat(&self) -> Result<Stat, Errno> {
        Ok(stat(Kind::File, self.content.len() as u64, self.inode))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.content.len());
        let n = buf.len().min(self.content.len() - start);
        buf[..n].copy_from_slice(&self.content[start..start + n]);
        Ok(n)
    }
}

#[derive(Default)]
struct Tree {
    /// Absolute, normalised paths.
    files: BTreeMap<Vec<u8>, (Arc<[u8]>, u64)>,
    next: u64,
}

/// Files by absolute path; directories are where files are.
#[derive(Clone, Default)]
pub struct MemoryFiles {
    tree: Arc<Mutex<Tree>>,
}

fn normalise(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in path
        .split(|&c| c == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
    {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    out
}

impl MemoryFiles {
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file there.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.put_bytes(&normalise(path.as_bytes()), content.into());
    }

    /// Takes a file away.
    pub fn delete(&self, path: &str) {
        self.lock().files.remove(&normalise(path.as_bytes()));
    }

    fn put_bytes(&self, path: &[u8], content: Vec<u8>) {
        let mut t = self.lock();
        t.next += 1;
        let inode = t.next;
        t.files.insert(path.to_vec(), (content.into(), inode));
    }
}

struct MemoryDir {
    files: MemoryFiles,
    path: Vec<u8>,
}

impl MemoryDir {
    fn at(&self, name: &[u8]) -> Vec<u8> {
        [&self.path[..], b"/", name].concat()
    }
}

impl OpenDir for MemoryDir {
    fn on_disk(&self) -> bool {
        false
    }

    fn entries(&self) -> Result<Vec<Entry>, Errno> {
        let under = [&self.path[..], b"/"].concat();
        let mut out: Vec<Entry> = Vec::new();
        for path in self
            .files
            .lock()
            .files
            .range(under.clone()..)
            .map(|(p, _)| p)
        {
            let Some(rest) = path.strip_prefix(&under[..]) else {
                break;
            };
            let (name, kind) = match rest.iter().position(|&c| c == b'/') {
                Some(at) => (&rest[..at], Kind::Dir),
                None => (rest, Kind::File),
            };
            if out.last().is_none_or(|e| e.name != name) {
                out.push(Entry {
                    name: name.to_vec(),
                    kind: Some(kind),
                });
            }
        }
        Ok(out)
    }

    fn dir(&self, name: &[u8]) -> Result<Box<dyn OpenDir>, Errno> {
        self.files.open_dir(&self.at(name))
    }

    fn file(&self, name: &[u8]) -> Result<Box<dyn OpenFile>, Errno> {
        self.files.open(&self.at(name))
    }

    fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        self.files.stat(&self.at(name))
    }

    fn own_stat(&self) -> Result<Stat, Errno> {
        Ok(stat(Kind::Dir, 0, 0))
    }

    fn touch(&self, name: &[u8]) -> Result<(), Errno> {
        self.stat(name).map(drop)
    }

    fn sync_file(&self, name: &[u8]) -> Result<(), Errno> {
        self.stat(name).map(drop)
    }

    fn create_temporary(&self, content: &[&[u8]], _mode: u32) -> Result<Vec<u8>, Errno> {
        let name = format!(".tmp{}", self.files.lock().next).into_bytes();
        self.files.put_bytes(&self.at(&name), content.concat());
        Ok(name)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let mut t = self.files.lock();
        let f = t.files.remove(&self.at(from)).ok_or(Errno::ENOENT)?;
        t.files.insert(self.at(to), f);
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.files
            .lock()
            .files
            .remove(&self.at(name))
            .map(drop)
            .ok_or(Errno::ENOENT)
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl Files for MemoryFiles {
    fn open(&self, path: &[u8]) -> Result<Box<dyn OpenFile>, Errno> {
        let t = self.lock();
        let (content, inode) = t.files.get(&normalise(path)).ok_or(Errno::ENOENT)?;
        Ok(Box::new(MemoryFile {
            content: content.clone(),
            inode: *inode,
        }))
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn OpenDir>, Errno> {
        match self.stat(path)?.kind {
            Kind::Dir => Ok(Box::new(MemoryDir {
                files: self.clone(),
                path: normalise(path),
            })),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        let path = normalise(path);
        let t = self.lock();
        if let Some((content, inode)) = t.files.get(&path) {
            return Ok(stat(Kind::File, content.len() as u64, *inode));
        }
        let under = [&path[..], b"/"].concat();
        match t.files.range(under.clone()..).next() {
            Some((p, _)) if p.starts_with(&under) => Ok(stat(Kind::Dir, 0, 0)),
            _ if path.is_empty() => Ok(stat(Kind::Dir, 0, 0)),
            _ => Err(Errno::ENOENT),
        }
    }

    fn make_dirs(&self, _path: &[u8]) -> Result<(), Errno> {
        Ok(())
    }

    fn write(&self, path: &[u8], content: &[u8]) -> Result<(), Errno> {
        self.put_bytes(&normalise(path), content.to_vec());
        Ok(())
    }

    fn cwd(&self) -> Result<Vec<u8>, Errno> {
        Ok(b"/".to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_where_files_are() {
        let fs = MemoryFiles::new();
        fs.put("/a/b/c", "1");
        fs.put("/a/d", "22");
        let names: Vec<_> = fs
            .open_dir(b"/a")
            .unwrap()
            .entries()
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(names, [b"b".to_vec(), b"d".to_vec()]);
        assert_eq!(fs.read(b"//a/./d", 10).unwrap(), b"22");
        assert_eq!(fs.read(b"/a/d", 1).unwrap_err(), Errno::EFBIG);
        assert_eq!(fs.stat(b"/x").unwrap_err(), Errno::ENOENT);
    }
}
