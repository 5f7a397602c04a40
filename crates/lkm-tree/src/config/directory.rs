//! Which configuration files count: `*.conf` of several directories, by name,
//! a name in an earlier directory hiding the same name in later ones.

use super::Complaint;
use crate::bytes;
use crate::fs::{Files, Kind};
use crate::text::basename;

/// A configuration file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    pub name: Vec<u8>,
    pub path: Vec<u8>,
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
        if let Err(at) = self.files.binary_search_by(|f| f.name[..].cmp(name)) {
            self.files.insert(
                at,
                ConfigFile {
                    name: name.to_vec(),
                    path: path.to_vec(),
                },
            );
        }
    }

    /// Adds a file, or what a directory holds. Paths that do not exist are
    /// passed over.
    pub fn add_path(&mut self, fs: &dyn Files, path: &[u8], complaints: &mut Vec<Complaint>) {
        let Ok(st) = fs.stat(path) else { return };
        if st.kind != Kind::Dir {
            self.add(path, basename(path));
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
            let kind = match e.kind {
                Some(k) => k,
                None => match dir.stat(name) {
                    Ok(st) => st.kind,
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
