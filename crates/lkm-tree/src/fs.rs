//! The files that the tools read and write, behind a small trait: the real
//! file system, or a tree in memory ([`crate::fs_memory`]).
//!
//! A directory is opened once and its entries are reached relative to it, so
//! that a rename in between cannot make one run look at two trees, and so that
//! preloaded shims which redirect `open`, `opendir` and `stat` see every path.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};

use crate::errno::Errno;

/// What a directory entry is, links followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    File,
    Dir,
    Other,
}

/// The part of `stat(2)` that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    pub kind: Kind,
    /// The file type bits, as in `st_mode & S_IFMT`.
    pub type_bits: u32,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of contents, in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Time of the last change of the inode, in nanoseconds since the epoch.
    pub ctime_ns: i128,
    pub device: u64,
    pub inode: u64,
}

/// One name in a directory. The kind is unknown where the directory does not
/// tell, and for links.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: Option<Kind>,
}

/// An opened file.
pub trait OpenFile: Send {
    fn stat(&self) -> Result<Stat, Errno>;
    /// Reads at an offset; 0 bytes at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno>;
    /// The descriptor, where there is one, for `finit_module(2)`.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Fills the buffer, or fails with `ENODATA` at the end of the file.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<(), Errno> {
        while !buf.is_empty() {
            match self.read_at(buf, offset)? {
                0 => return Err(Errno::ENODATA),
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Reads what comes next of a file that has no offsets, such as a pipe.
    fn read_next(&self, _buf: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::ESPIPE)
    }

    /// All that comes, up to `limit` bytes (else `EFBIG`), of a file that is none on a disk.
    fn read_stream(&self, limit: u64) -> Result<Vec<u8>, Errno> {
        let mut out = Vec::new();
        let mut part = vec![0; 1 << 16];
        loop {
            match self.read_next(&mut part)? {
                0 => return Ok(out),
                n => out.extend_from_slice(&part[..n]),
            }
            if out.len() as u64 > limit {
                return Err(Errno::EFBIG);
            }
        }
    }

    /// All that is in it, up to `limit` bytes (else `EFBIG`).
    fn read_all(&self, limit: u64) -> Result<Vec<u8>, Errno> {
        let Stat { kind, size, .. } = self.stat()?;
        if kind == Kind::Other {
            return self.read_stream(limit);
        }
        if size > limit {
            return Err(Errno::EFBIG);
        }
        // Files of /proc and /sys say 0 or a page, and hold something else.
        let mut out = Vec::new();
        let mut room = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
        loop {
            out.reserve_exact(room);
            while room > 0 {
                match self.append_at(&mut out)? {
                    0 => return Ok(out),
                    n => room = room.saturating_sub(n),
                }
            }
            // What filled the size that was told is complete.
            if !out.is_empty() && out.len() as u64 == size {
                return Ok(out);
            }
            let mut probe = [0u8; 512];
            let n = self.read_at(&mut probe, out.len() as u64)?;
            if n == 0 {
                return Ok(out);
            }
            out.extend_from_slice(&probe[..n]);
            if out.len() as u64 > limit {
                return Err(Errno::EFBIG);
            }
            room = out.len().min(limit as usize - out.len());
        }
    }

    /// Appends what comes behind as many bytes, where there is room for it.
    fn append_at(&self, out: &mut Vec<u8>) -> Result<usize, Errno> {
        let len = out.len();
        out.resize(out.capacity(), 0);
        let read = self.read_at(&mut out[len..], len as u64);
        out.truncate(len + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// An opened directory.
pub trait OpenDir: Send + Sync {
    /// All names but `.` and `..`, in the directory's own order.
    fn entries(&self) -> Result<Vec<Entry>, Errno>;
    fn dir(&self, name: &[u8]) -> Result<Box<dyn OpenDir>, Errno>;
    /// As [`Files::open`], it does not wait.
    fn file(&self, name: &[u8]) -> Result<Box<dyn OpenFile>, Errno>;
    /// Follows links.
    fn stat(&self, name: &[u8]) -> Result<Stat, Errno>;
    /// The directory's own.
    fn own_stat(&self) -> Result<Stat, Errno>;
    /// Writes a new file with that content, piece by piece, under a name of its
    /// own: the temporary name.
    fn create_temporary(&self, content: &[&[u8]], mode: u32) -> Result<Vec<u8>, Errno>;
    /// Returns when the file is safe on the disk.
    fn sync_file(&self, name: &[u8]) -> Result<(), Errno>;
    /// Whether [`OpenDir::sync_file`] may wait for a disk, so that threads are worth their while. In memory, as in the
    /// lab's confined child, there is no disk and no thread may be made.
    fn on_disk(&self) -> bool {
        true
    }
    /// Sets a file's times to now.
    fn touch(&self, name: &[u8]) -> Result<(), Errno>;
    /// Gives a file its final name, replacing what had it.
    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno>;
    fn remove(&self, name: &[u8]) -> Result<(), Errno>;
    /// Makes the renames last.
    fn sync(&self) -> Result<(), Errno>;
}

/// A file system.
pub trait Files: Sync {
    /// A file of a tree. One that is a pipe by mistake or malice is not waited for.
    fn open(&self, path: &[u8]) -> Result<Box<dyn OpenFile>, Errno>;
    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn OpenDir>, Errno>;
    /// Follows links.
    fn stat(&self, path: &[u8]) -> Result<Stat, Errno>;
    /// `mkdir -p`.
    fn make_dirs(&self, path: &[u8]) -> Result<(), Errno>;
    /// Creates or truncates a file.
    fn write(&self, path: &[u8], content: &[u8]) -> Result<(), Errno>;
    /// The working directory.
    fn cwd(&self) -> Result<Vec<u8>, Errno>;

    /// The whole content of a file, up to `limit` bytes. It is opened as by [`Files::open`].
    fn read(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, Errno> {
        self.open(path)?.read_all(limit)
    }

    /// The same of a file that the user named, which may be a pipe that another
    /// process still writes to.
    fn read_named(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, Errno> {
        self.read(path, limit)
    }

    /// The path from the root.
    fn absolute(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        if path.starts_with(b"/") {
            return Ok(path.to_vec());
        }
        let mut cwd = self.cwd()?;
        cwd.push(b'/');
        cwd.extend_from_slice(path);
        Ok(cwd)
    }
}

/// The file system of the machine.
#[derive(Clone, Copy, Default, Debug)]
pub struct RealFiles;

struct RealFile(OwnedFd);
struct RealDir {
    fd: OwnedFd,
    /// Temporary files made so far, which gives the next one its name.
    made: AtomicU32,
    /// Its entries have been read before.
    read: AtomicBool,
}

impl RealDir {
    fn new(fd: OwnedFd) -> Box<RealDir> {
        Box::new(RealDir {
            fd,
            made: AtomicU32::new(0),
            read: AtomicBool::new(false),
        })
    }
}

fn stat_of(st: &sys::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(st.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        _ => Kind::Other,
    };
    let ns = |s: i128, n: i128| s * 1_000_000_000 + n;
    Stat {
        kind,
        type_bits: st.st_mode & libc::S_IFMT,
        size: u64::try_from(st.st_size).unwrap_or(0),
        mtime_ns: ns(i128::from(st.st_mtime), i128::from(st.st_mtime_nsec)),
        ctime_ns: ns(i128::from(st.st_ctime), i128::from(st.st_ctime_nsec)),
        device: st.st_dev,
        inode: st.st_ino,
    }
}

impl OpenFile for RealFile {
    fn stat(&self) -> Result<Stat, Errno> {
        Ok(stat_of(&sys::fstat(&self.0)?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        loop {
            match rustix::io::pread(&self.0, &mut *buf, offset) {
                Err(rustix::io::Errno::INTR) => continue,
                r => return Ok(r?),
            }
        }
    }

    fn read_next(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match rustix::io::read(&self.0, &mut *buf) {
                Err(rustix::io::Errno::INTR) => continue,
                r => return Ok(r?),
            }
        }
    }

    fn append_at(&self, out: &mut Vec<u8>) -> Result<usize, Errno> {
        let offset = out.len() as u64;
        loop {
            // Memory that is about to be written need not be cleared first.
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(out), offset) {
                Err(rustix::io::Errno::INTR) => continue,
                r => return Ok(r?),
            }
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Without waiting for a pipe's writer, or a line of a terminal.
const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const NAMED_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

impl OpenDir for RealDir {
    fn entries(&self) -> Result<Vec<Entry>, Errno> {
        let mut out = Vec::new();
        // By the C library's own function: preloaded shims know no other way.
        let mut dir = sys::Dir::new(self.fd.try_clone()?)?;
        if self.read.swap(true, Ordering::Relaxed) {
            // From the start: the copy shares the place.
            dir.rewind();
        }
        for e in dir {
            let e = e?;
            let name = e.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match e.file_type() {
                FileType::RegularFile => Some(Kind::File),
                FileType::Directory => Some(Kind::Dir),
                _ => None,
            };
            out.push(Entry {
                name: name.to_vec(),
                kind,
            });
        }
        Ok(out)
    }

    fn dir(&self, name: &[u8]) -> Result<Box<dyn OpenDir>, Errno> {
        Ok(RealDir::new(sys::openat(
            &self.fd,
            name,
            DIR_FLAGS,
            Mode::empty(),
        )?))
    }

    fn file(&self, name: &[u8]) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(Box::new(RealFile(sys::openat(
            &self.fd,
            name,
            FILE_FLAGS,
            Mode::empty(),
        )?)))
    }

    fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        Ok(stat_of(&sys::statat(&self.fd, name, AtFlags::empty())?))
    }

    fn own_stat(&self) -> Result<Stat, Errno> {
        Ok(stat_of(&sys::fstat(&self.fd)?))
    }

    fn touch(&self, name: &[u8]) -> Result<(), Errno> {
        let now = sys::Timespec {
            tv_sec: 0,
            tv_nsec: sys::UTIME_NOW,
        };
        let times = sys::Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(sys::utimensat(&self.fd, name, &times, AtFlags::empty())?)
    }

    fn sync_file(&self, name: &[u8]) -> Result<(), Errno> {
        let fd = sys::openat(&self.fd, name, FILE_FLAGS, Mode::empty())?;
        Ok(sys::fsync(&fd)?)
    }

    fn create_temporary(&self, content: &[&[u8]], mode: u32) -> Result<Vec<u8>, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let pid = rustix::process::getpid().as_raw_nonzero();
        for _ in 0..1000 {
            let n = self.made.fetch_add(1, Ordering::Relaxed);
            let name = format!(".lkm-depmod.{pid}.{n}").into_bytes();
            let fd = match sys::openat(&self.fd, &name, flags, Mode::from(0o600)) {
                Err(rustix::io::Errno::EXIST) => continue,
                r => r?,
            };
            let written = write_all(fd.as_fd(), content)
                .and_then(|()| Ok(sys::fchmod(&fd, Mode::from(mode))?));
            if let Err(e) = written {
                // What could not be written whole must not stay.
                let _ = self.remove(&name);
                return Err(e);
            }
            return Ok(name);
        }
        Err(Errno::EEXIST)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        Ok(sys::renameat(&self.fd, from, &self.fd, to)?)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        Ok(sys::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn sync(&self) -> Result<(), Errno> {
        match sys::fsync(&self.fd) {
            // Some file systems have nothing to sync for a directory.
            Err(rustix::io::Errno::INVAL) => Ok(()),
            r => Ok(r?),
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, content: &[&[u8]]) -> Result<(), Errno> {
    /// As many as one call takes.
    const PIECES_MAX: usize = 1024;
    let mut pieces: Vec<IoSlice<'_>> = content
        .iter()
        .filter(|p| !p.is_empty())
        .map(|p| IoSlice::new(p))
        .collect();
    let mut rest = &mut pieces[..];
    while !rest.is_empty() {
        match rustix::io::writev(fd, &rest[..rest.len().min(PIECES_MAX)]) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) => return Err(Errno::ENOSPC),
            r => IoSlice::advance_slices(&mut rest, r?),
        }
    }
    Ok(())
}

impl Files for RealFiles {
    fn open(&self, path: &[u8]) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(Box::new(RealFile(sys::open(
            path,
            FILE_FLAGS,
            Mode::empty(),
        )?)))
    }

    fn read_named(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, Errno> {
        RealFile(sys::open(path, NAMED_FLAGS, Mode::empty())?).read_all(limit)
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn OpenDir>, Errno> {
        Ok(RealDir::new(sys::open(path, DIR_FLAGS, Mode::empty())?))
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        Ok(stat_of(&sys::stat(path)?))
    }

    fn make_dirs(&self, path: &[u8]) -> Result<(), Errno> {
        match self.stat(path) {
            Ok(st) if st.kind == Kind::Dir => return Ok(()),
            Ok(_) => return Err(Errno::ENOTDIR),
            Err(_) => {}
        }
        if let Some(at) = path.iter().rposition(|&c| c == b'/')
            && at > 0
        {
            self.make_dirs(&path[..at])?;
        }
        match sys::mkdir(path, Mode::from(0o755)) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            r => Ok(r?),
        }
    }

    fn write(&self, path: &[u8], content: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = sys::open(path, flags, Mode::from(0o666))?;
        write_all(fd.as_fd(), &[content])
    }

    fn cwd(&self) -> Result<Vec<u8>, Errno> {
        Ok(rustix::process::getcwd(Vec::new())?.into_bytes())
    }
}
