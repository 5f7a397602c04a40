//! Named sections of a module file, without reading the rest of it.
//!
//! The section headers say where a section is; of a module of 25 MiB whose
//! code nobody asks for, that saves nearly all reading. A compressed module is
//! unpacked first. What counts as valid follows kmod's `libkmod-elf.c`: a
//! section that lies outside the file is not there.

use std::borrow::Cow;

use lkm_object::compress::{self, Compression};

use crate::errno::Errno;
use crate::fs::OpenFile;

/// Files up to this size are read at once.
const SMALL: u64 = 48 << 10;
/// Sections closer than this are read together.
const GAP: u64 = 2048;
/// A module larger than this, unpacked, is refused.
pub const MODULE_MAX: usize = lkm_object::DEFAULT_LIMIT;

/// Why nothing can be known of a module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseError {
    #[error("{0}")]
    Io(#[from] Errno),
    #[error("{0}")]
    Object(#[from] lkm_object::Error),
    #[error("damaged module: {0}")]
    Damaged(&'static str),
}

impl SparseError {
    /// The number that libkmod would answer.
    pub fn errno(&self) -> Errno {
        match self {
            SparseError::Io(Errno::ENODATA) => Errno::EINVAL,
            SparseError::Io(e) => *e,
            SparseError::Object(lkm_object::Error::TooLarge { .. }) => Errno::EFBIG,
            _ => Errno::EINVAL,
        }
    }
}

/// A module's bytes, as far as they were wanted.
pub struct Sparse<'a> {
    /// The file's beginning, or all of it.
    head: Cow<'a, [u8]>,
    file: Option<&'a dyn OpenFile>,
    size: u64,
    /// Parts read, with their offset.
    chunks: Vec<(u64, Vec<u8>)>,
}

/// Where a section is, inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    pub offset: u64,
    pub size: u64,
}

/// The ELF header, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// 64-bit.
    pub wide: bool,
    pub big: bool,
    pub machine: u16,
    table_at: u64,
    entry_size: usize,
    count: u16,
    names_at: u16,
}

impl Header {
    pub fn u16(self, b: &[u8], at: usize) -> Option<u16> {
        let v = b.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big {
            u16::from_be_bytes(v)
        } else {
            u16::from_le_bytes(v)
        })
    }

    pub fn u32(self, b: &[u8], at: usize) -> Option<u32> {
        let v = b.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(v)
        } else {
            u32::from_le_bytes(v)
        })
    }

    /// A word of the file's own width.
    pub fn word(self, b: &[u8], at: usize) -> Option<u64> {
        if !self.wide {
            return self.u32(b, at).map(u64::from);
        }
        let v = b.get(at..at + 8)?.try_into().ok()?;
        Some(if self.big {
            u64::from_be_bytes(v)
        } else {
            u64::from_le_bytes(v)
        })
    }

    fn table_size(self) -> u64 {
        self.entry_size as u64 * u64::from(self.count)
    }

    /// Name offset and place of a section.
    fn entry(self, table: &[u8], i: u16) -> Option<(u32, Section)> {
        let b = table.get(usize::from(i) * self.entry_size..)?;
        let (at, size) = if self.wide { (24, 32) } else { (16, 20) };
        let section = Section {
            offset: self.word(b, at)?,
            size: self.word(b, size)?,
        };
        Some((self.u32(b, 0)?, section))
    }
}

impl<'a> Sparse<'a> {
    /// Reads the beginning of a file, and all of a small or compressed one.
    pub fn open(file: &'a dyn OpenFile) -> Result<Sparse<'a>, SparseError> {
        let size = file.stat()?.size;
        // No magic is shorter, and kmod says as much.
        if size < 6 {
            return Err(SparseError::Io(Errno::EINVAL));
        }
        let mut head = vec![0; usize::try_from(size.min(SMALL)).unwrap_or(0)];
        file.read_exact_at(&mut head, 0)?;
        if Compression::detect(&head) != Compression::None {
            let rest = usize::try_from(size).map_err(|_| Errno::EFBIG)? - head.len();
            if rest > MODULE_MAX {
                return Err(Errno::EFBIG.into());
            }
            let start = head.len();
            head.resize(start + rest, 0);
            file.read_exact_at(&mut head[start..], start as u64)?;
            let image = compress::decompress(&head, MODULE_MAX)?.into_owned();
            return Ok(Sparse::of_cow(Cow::Owned(image)));
        }
        if head.len() as u64 == size {
            return Ok(Sparse::of_cow(Cow::Owned(head)));
        }
        Ok(Sparse {
            head: Cow::Owned(head),
            file: Some(file),
            size,
            chunks: Vec::new(),
        })
    }

    /// A module's uncompressed bytes.
    pub fn of_image(image: &'a [u8]) -> Sparse<'a> {
        Sparse::of_cow(Cow::Borrowed(image))
    }

    fn of_cow(image: Cow<'a, [u8]>) -> Sparse<'a> {
        Sparse {
            size: image.len() as u64,
            head: image,
            file: None,
            chunks: Vec::new(),
        }
    }

    fn contains(&self, s: Section) -> bool {
        s.offset
            .checked_add(s.size)
            .is_some_and(|end| end <= self.size)
    }

    /// Makes sure of a part of the file, which must lie in it.
    fn fetch(&mut self, s: Section) -> Result<(), SparseError> {
        if !self.contains(s) {
            return Err(SparseError::Damaged("a table lies outside the file"));
        }
        if self.peek(s).is_some() {
            return Ok(());
        }
        let file = self.file.ok_or(Errno::EIO)?;
        if s.size > MODULE_MAX as u64 {
            return Err(Errno::EFBIG.into());
        }
        let mut part = vec![0; s.size as usize];
        file.read_exact_at(&mut part, s.offset)?;
        self.chunks.push((s.offset, part));
        Ok(())
    }

    fn peek(&self, s: Section) -> Option<&[u8]> {
        let size = usize::try_from(s.size).ok()?;
        let parts = std::iter::once((0, &self.head[..]))
            .chain(self.chunks.iter().map(|(start, part)| (*start, &part[..])));
        for (start, part) in parts {
            if let Some(from) = s.offset.checked_sub(start)
                && let Ok(from) = usize::try_from(from)
                && let Some(to) = from.checked_add(size)
                && let Some(found) = part.get(from..to)
            {
                return Some(found);
            }
        }
        None
    }

    /// The bytes of a section that was found.
    pub fn get(&self, s: Section) -> &[u8] {
        self.peek(s).unwrap_or(&[])
    }

    /// Reads the ELF header and the section headers.
    ///
    /// # Errors
    /// `ENOEXEC` when it is no ELF file.
    pub fn header(&mut self) -> Result<Header, SparseError> {
        let damaged = SparseError::Damaged;
        let h = &self.head[..];
        if h.len() < 20 || !h.starts_with(b"\x7fELF") {
            return Err(Errno::ENOEXEC.into());
        }
        let (wide, big) = match (h[4], h[5]) {
            (class @ (1 | 2), order @ (1 | 2)) => (class == 2, order == 2),
            _ => return Err(damaged("unknown ELF class or byte order")),
        };
        let (header_size, entry_size) = if wide { (64, 64) } else { (52, 40) };
        if h.len() <= header_size {
            return Err(damaged("no ELF header"));
        }
        let zero = Header {
            wide,
            big,
            machine: 0,
            table_at: 0,
            entry_size,
            count: 0,
            names_at: 0,
        };
        let field = |at| zero.u16(h, at).unwrap_or(0);
        let tail = if wide { 48 } else { 36 };
        let header = Header {
            machine: field(18),
            table_at: zero.word(h, if wide { 40 } else { 32 }).unwrap_or(0),
            count: field(tail + 12),
            names_at: field(tail + 14),
            ..zero
        };
        if usize::from(field(tail + 10)) != entry_size || header.names_at >= header.count {
            return Err(damaged("bad section header table"));
        }
        self.fetch(Section {
            offset: header.table_at,
            size: header.table_size(),
        })?;
        Ok(header)
    }

    fn table(&self, h: Header) -> &[u8] {
        self.get(Section {
            offset: h.table_at,
            size: h.table_size(),
        })
    }

    /// Finds the first section of each name, and reads those there are.
    pub fn sections<const N: usize>(
        &mut self,
        h: Header,
        wanted: [&[u8]; N],
    ) -> Result<[Option<Section>; N], SparseError> {
        let damaged = SparseError::Damaged("bad section name table");
        let (_, names) = h.entry(self.table(h), h.names_at).ok_or(damaged.clone())?;
        self.fetch(names)?;
        let (table, names) = (self.table(h), self.get(names));
        if names.last() != Some(&0) {
            return Err(damaged);
        }
        let mut found = [None; N];
        for i in 1..h.count {
            let Some((name, section)) = h.entry(table, i) else {
                break;
            };
            let Some(name) = names.get(name as usize..) else {
                continue;
            };
            for (slot, want) in found.iter_mut().zip(wanted) {
                if slot.is_none() && name.starts_with(want) && name.get(want.len()) == Some(&0) {
                    // An offset of 0 means absent to kmod.
                    if section.offset != 0 && self.contains(section) {
                        *slot = Some(section);
                    }
                    break;
                }
            }
        }
        // One read for neighbours.
        let mut all: Vec<Section> = found.iter().flatten().copied().collect();
        all.sort_by_key(|s| s.offset);
        let mut at = 0;
        while at < all.len() {
            let start = all[at].offset;
            let mut end = start + all[at].size;
            at += 1;
            while at < all.len() && all[at].offset <= end + GAP {
                end = end.max(all[at].offset + all[at].size);
                at += 1;
            }
            self.fetch(Section {
                offset: start,
                size: end - start,
            })?;
        }
        Ok(found)
    }

    /// The 32-bit word at an offset of a section, by the section's index.
    pub fn word_in_section(&self, h: Header, section: u16, at: u64) -> Option<u32> {
        if section >= h.count {
            return None;
        }
        let (_, s) = h.entry(self.table(h), section)?;
        if !self.contains(s) || at > s.size.checked_sub(4)? {
            return None;
        }
        let word = Section {
            offset: s.offset + at,
            size: 4,
        };
        if let Some(b) = self.peek(word) {
            return h.u32(b, 0);
        }
        let mut b = [0; 4];
        self.file?.read_exact_at(&mut b, word.offset).ok()?;
        h.u32(&b, 0)
    }

    /// The last bytes of the file, as many as there are.
    pub fn tail(&mut self, size: u64) -> Result<&[u8], SparseError> {
        let size = size.min(self.size);
        let s = Section {
            offset: self.size - size,
            size,
        };
        self.fetch(s)?;
        Ok(self.get(s))
    }
}
