//! Which configuration files count: `*.conf` of several directories, by name,
//! a name in an earlier directory hiding the same name in later ones.

use super::{Complaint, FILE_MAX};
use crate::bytes;
use crate::errno::Errno;
use crate::fs::{Files, Kind};
use crate::text::basename;

/// A configuration file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    /// Not found in a directory: the user's, and perhaps a pipe.
    named: bool,
}

impl ConfigFile {
    /// The file's text.
    ///
    /// # Errors
    /// Those of `open(2)` and `read(2)`; `EFBIG`.
    pub fn read(&self, fs: &dyn Files) -> Result<Vec<u8>, Errno> {
        match self.named {
            true => fs.read_named(&self.path, FILE_MAX),
            false => fs.read(&self.path, FILE_MAX),
        }
    }
}

/// A list of files, in the order in which they are read.
#[derive(Default)]
pub struct FileList {
    pub files: Vec<ConfigFile>,
    /// Device and inode of the directories read: on merged-/usr systems two
    /// of the default paths are one directory.
    seen: Vec<(u64, u64)>,
    /// depmod says otherwise than the others that it cannot open a directory.
    of_depmod: bool,
}

impl FileList {
    /// A list for depmod.
    pub fn of_depmod() -> FileList {
        FileList {
            of_depmod: true,
            ..FileList::default()
        }
    }

    /// Adds a file unless one of that name is there.
    pub fn add(&mut self, path: &[u8], name: &[u8]) {
        self.insert(path, name, false);
    }

    fn insert(&mut self, path: &[u8], name: &[u8], named: bool) {
        if let Err(at) = self.files.binary_search_by(|f| f.name[..].cmp(name)) {
            self.files.insert(
                at,
                ConfigFile {
                    name: name.to_vec(),
                    path: path.to_vec(),
                    named,
                },
            );
        }
    }

    /// Adds a file, or what a directory holds. Paths that do not exist are
    /// passed over.
    pub fn add_path(&mut self, fs: &dyn Files, path: &[u8], complaints: &mut Vec<Complaint>) {
        let Ok(st) = fs.stat(path) else { return };
        if st.kind != Kind::Dir {
            self.insert(path, basename(path), true);
            return;
        }
        if st.inode != 0 {
            if self.seen.contains(&(st.device, st.inode)) {
                return;
            }
            self.seen.push((st.device, st.inode));
        }
        let mut complain = |text| {
            complaints.push(Complaint {
                text,
                minor: false,
                from: "conf_files_filter_out",
            });
        };
        let (dir, entries) = match fs.open_dir(path).and_then(|d| Ok((d.entries()?, d))) {
            Ok((entries, dir)) => (dir, entries),
            Err(e) => {
                let text = match self.of_depmod {
                    true => bytes!("files list ", path, ": ", e.text()),
                    false => bytes!("opendir(", path, "): ", e.text()),
                };
                complaints.push(Complaint {
                    text,
                    minor: false,
                    from: "conf_files_list",
                });
                return;
            }
        };
        for e in entries {
            let name = &e.name[..];
            if name.starts_with(b".") || name.len() < 6 || !name.ends_with(b".conf") {
                continue;
            }
            let (kind, bits) = match e.kind {
                Some(k) => (k, 0),
                None => match dir.stat(name) {
                    Ok(st) => (st.kind, st.type_bits),
                    Err(_) => {
                        complain(bytes!("Cannot stat directory entry: ", path, "/", name));
                        continue;
                    }
                },
            };
            if kind == Kind::Dir {
                complain(bytes!(
                    "Directories inside directories are not supported: ",
                    path,
                    "/",
                    name
                ));
                continue;
            }
            // A link to /dev/null hides a file of later directories.
            if kind == Kind::Other && bits != libc::S_IFCHR {
                complain(bytes!("Not a file: ", path, "/", name));
                continue;
            }
            self.add(&bytes!(path, "/", name), name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_memory::MemoryFiles;

    #[test]
    fn earlier_directories_hide_later_ones() {
        let fs = MemoryFiles::new();
        for f in [
            "/etc/m/b.conf",
            "/run/m/b.conf",
            "/run/m/a.conf",
            "/run/m/c.txt",
            "/x/sub.conf/f",
        ] {
            fs.put(f, "");
        }
        let mut list = FileList::default();
        let mut complaints = Vec::new();
        for p in ["/etc/m", "/run/m", "/none", "/x"] {
            list.add_path(&fs, p.as_bytes(), &mut complaints);
        }
        let paths: Vec<_> = list
            .files
            .iter()
            .map(|f| String::from_utf8_lossy(&f.path).into_owned())
            .collect();
        assert_eq!(paths, ["/run/m/a.conf", "/etc/m/b.conf"]);
        assert_eq!(
            complaints[0].text,
            b"Directories inside directories are not supported: /x/sub.conf"
        );
    }
}
