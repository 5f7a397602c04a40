//! Writes an initramfs archive in the `newc` format
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).

use std::collections::BTreeSet;

const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
const S_IFLNK: u32 = 0o120000;
const S_IFCHR: u32 = 0o020000;

/// An archive under construction. Parent directories are made as needed.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// A directory, and those above it.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.directories.insert(path.to_string());
        self.entry(path, S_IFDIR | 0o755, &[], (0, 0));
    }

    /// A regular file with these permission bits.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parent(path);
        self.entry(path.trim_matches('/'), S_IFREG | mode, content, (0, 0));
    }

    /// A symbolic link at `path` that says `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entry(
            path.trim_matches('/'),
            S_IFLNK | 0o777,
            target.as_bytes(),
            (0, 0),
        );
    }

    /// A character device. The kernel opens /dev/console before anything is mounted.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.parent(path);
        self.entry(path.trim_matches('/'), S_IFCHR | 0o600, &[], (major, minor));
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, &[], (0, 0));
        while !self.bytes.len().is_multiple_of(512) {
            self.bytes.push(0);
        }
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.trim_matches('/').rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8], device: (u32, u32)) {
        self.inode += 1;
        let fields = [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // modification time
            content.len() as u32,
            0, // device of the archive
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0, // checksum: newc has none
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_their_children_and_only_once() {
        let mut archive = Archive::new();
        archive.file("/a/b/c", 0o644, b"xyz");
        archive.file("/a/b/d", 0o644, b"");
        let bytes = archive.finish();
        let names: Vec<String> = list(&bytes);
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
    }

    fn list(mut bytes: &[u8]) -> Vec<String> {
        let field = |bytes: &[u8], n: usize| {
            let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let mut names = Vec::new();
        while bytes.len() >= 110 && &bytes[..6] == b"070701" {
            let (size, name_size) = (field(bytes, 6), field(bytes, 11));
            names.push(String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap());
            let content = (110 + name_size).next_multiple_of(4);
            bytes = &bytes[(content + size).next_multiple_of(4)..];
        }
        names
    }
}
