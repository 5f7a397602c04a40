//! Reads an index: only the pages that a search touches, and never more than
//! a damaged file can make it worth.

use std::cell::{Cell, RefCell};
use std::io::Write;

use super::{CHILD_MAX, CHILDS, MAGIC, OFFSET, PREFIX, VALUES, VERSION_MAJOR};
use crate::errno::Errno;
use crate::fnmatch::fnmatch;
use crate::fs::OpenFile;
use crate::text::PATH_MAX;

/// Why an index cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("{0}")]
    Io(Errno),
    #[error("magic check fail: {0:x} instead of {MAGIC:x}")]
    Magic(u32),
    #[error("major version check fail: {0} instead of {VERSION_MAJOR}")]
    Version(u32),
    /// Nothing is in it: what depmod writes where the source is missing.
    #[error("index is empty")]
    Empty,
    /// The contents contradict themselves.
    #[error("index is corrupt")]
    Corrupt,
}

/// A value found, with its priority (the module's place in the tree).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub priority: u32,
    pub value: Vec<u8>,
}

/// What is read at once. A search touches a handful of places; small pieces
/// cost a short-lived process less memory than few calls save it.
const PAGE: usize = 1024;

/// An opened index.
pub struct Index {
    file: Box<dyn OpenFile>,
    size: u64,
    root: u32,
    /// What has been read, by number. A search reads a handful.
    pages: RefCell<Vec<(usize, Box<[u8]>)>>,
    /// The place in `pages` that was used last.
    last: Cell<usize>,
    /// Bytes that the running search may still look at. A sound index shows
    /// each byte at most once; only a damaged one runs in circles.
    budget: Cell<u64>,
}

struct Node {
    prefix: Vec<u8>,
    first: u8,
    last: u8,
    children: u64,
    values: u64,
    value_count: u32,
}

type Result<T> = std::result::Result<T, IndexError>;

impl Index {
    /// Checks the header. A file of no bytes is [`IndexError::Empty`].
    pub fn open(file: Box<dyn OpenFile>) -> Result<Index> {
        let size = file.stat().map_err(IndexError::Io)?.size;
        let mut header = [0; 12];
        if size == 0 {
            return Err(IndexError::Empty);
        }
        if size < header.len() as u64 {
            return Err(IndexError::Io(Errno::EINVAL));
        }
        let index = Index {
            file,
            size,
            root: 0,
            pages: RefCell::default(),
            last: Cell::default(),
            budget: Cell::new(size),
        };
        index.copy(0, &mut header)?;
        let word = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|k| header[4 * i + k]));
        if word(0) != MAGIC {
            return Err(IndexError::Magic(word(0)));
        }
        if word(1) >> 16 != VERSION_MAJOR {
            return Err(IndexError::Version(word(1) >> 16));
        }
        Ok(Index {
            root: word(2),
            ..index
        })
    }

    fn byte(&self, at: u64) -> Result<u8> {
        let mut b = [0];
        self.copy(at, &mut b)?;
        Ok(b[0])
    }

    fn word(&self, at: u64) -> Result<u32> {
        let mut b = [0; 4];
        self.copy(at, &mut b)?;
        Ok(u32::from_be_bytes(b))
    }

    fn spend(&self, bytes: u64) -> Result<()> {
        let left = self
            .budget
            .get()
            .checked_sub(bytes)
            .ok_or(IndexError::Corrupt)?;
        self.budget.set(left);
        Ok(())
    }

    fn copy(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = at + done as u64;
            let take = self.with_page(at, |p| {
                let n = p.len().min(buf.len() - done);
                buf[done..done + n].copy_from_slice(&p[..n]);
                n
            })?;
            done += take;
        }
        Ok(())
    }

    /// Calls with the bytes from `at` to the end of its page: never none.
    fn with_page<T>(&self, at: u64, f: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let number = usize::try_from(at / PAGE as u64).map_err(|_| IndexError::Corrupt)?;
        let mut pages = self.pages.borrow_mut();
        let mut slot = self.last.get();
        if pages.get(slot).is_none_or(|p| p.0 != number) {
            slot = match pages.binary_search_by_key(&number, |p| p.0) {
                Ok(found) => found,
                Err(slot) => {
                    let page = self.read_page((number * PAGE) as u64)?;
                    pages.insert(slot, (number, page));
                    slot
                }
            };
            self.last.set(slot);
        }
        match pages[slot].1.get((at % PAGE as u64) as usize..) {
            Some(rest) if !rest.is_empty() => Ok(f(rest)),
            _ => Err(IndexError::Corrupt),
        }
    }

    /// What the file has from `start` on, at most a page of it.
    fn read_page(&self, start: u64) -> Result<Box<[u8]>> {
        let end = self.size.min(u64::from(OFFSET) + 1);
        let left = end.checked_sub(start).ok_or(IndexError::Corrupt)?;
        let mut page = vec![0; usize::try_from(left).map_or(PAGE, |left| left.min(PAGE))];
        let mut len = 0;
        while len < page.len() {
            match self.file.read_at(&mut page[len..], start + len as u64) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) => return Err(IndexError::Io(e)),
            }
        }
        page.truncate(len);
        Ok(page.into_boxed_slice())
    }

    /// A string up to its NUL, and where the next thing is.
    fn string(&self, mut at: u64) -> Result<(Vec<u8>, u64)> {
        let mut out = Vec::new();
        loop {
            let (n, end) = self.with_page(at, |p| match p.iter().position(|&c| c == 0) {
                Some(n) => {
                    out.extend_from_slice(&p[..n]);
                    (n + 1, true)
                }
                None => {
                    out.extend_from_slice(p);
                    (p.len(), false)
                }
            })?;
            self.spend(n as u64)?;
            at += n as u64;
            if end {
                return Ok((out, at));
            }
        }
    }

    fn node(&self, offset: u32) -> Result<Option<Node>> {
        let mut at = u64::from(offset & OFFSET);
        if at == 0 {
            return Ok(None);
        }
        self.spend(1)?;
        let mut prefix = Vec::new();
        if offset & PREFIX != 0 {
            (prefix, at) = self.string(at)?;
        }
        let (mut first, mut last, mut children) = (CHILD_MAX, 0, 0);
        if offset & CHILDS != 0 {
            (first, last) = (self.byte(at)?, self.byte(at + 1)?);
            if first > last || last >= CHILD_MAX {
                return Err(IndexError::Corrupt);
            }
            children = at + 2;
            let table = 4 * (u64::from(last - first) + 1);
            self.spend(2 + table)?;
            at += 2 + table;
        }
        let (mut values, mut value_count) = (0, 0);
        if offset & VALUES != 0 {
            value_count = self.word(at)?;
            self.spend(4)?;
            values = at + 4;
            if u64::from(value_count) > self.size / 5 {
                return Err(IndexError::Corrupt);
            }
        }
        Ok(Some(Node {
            prefix,
            first,
            last,
            children,
            values,
            value_count,
        }))
    }

    fn child(&self, n: &Node, letter: u8) -> Result<Option<Node>> {
        if letter < n.first || letter > n.last || n.first >= CHILD_MAX {
            return Ok(None);
        }
        let offset = self.word(n.children + 4 * u64::from(letter - n.first))?;
        self.node(offset)
    }

    fn each_value(&self, n: &Node, f: &mut dyn FnMut(Value) -> Result<()>) -> Result<()> {
        let mut at = n.values;
        for _ in 0..n.value_count {
            let priority = self.word(at)?;
            self.spend(4)?;
            let (value, next) = self.string(at + 4)?;
            at = next;
            f(Value { priority, value })?;
        }
        Ok(())
    }

    fn start(&self) -> Result<Option<Node>> {
        // A search looks at some nodes twice (their wildcard children).
        self.budget.set(self.size * 4 + 4096);
        self.node(self.root)
    }

    /// The first value of a key.
    pub fn search(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut node = self.start()?;
        let mut key = key;
        while let Some(n) = node {
            let Some(rest) = key.strip_prefix(&n.prefix[..]) else {
                return Ok(None);
            };
            let Some((&letter, rest)) = rest.split_first() else {
                if n.value_count == 0 {
                    return Ok(None);
                }
                return Ok(Some(self.string(n.values + 4)?.0));
            };
            node = self.child(&n, letter)?;
            key = rest;
        }
        Ok(None)
    }

    /// The values of all keys that match, where the index's keys may be shell
    /// patterns. Lower priority first; of equal ones the one met last.
    pub fn search_wild(&self, key: &[u8]) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        let mut node = self.start()?;
        let mut key = key;
        while let Some(n) = node {
            for (j, &c) in n.prefix.iter().enumerate() {
                if is_wild(c) {
                    let mut pattern = Vec::new();
                    self.wild_all(&n, j, &mut pattern, &key[j..], &mut out)?;
                    return Ok(out);
                }
                if key.get(j) != Some(&c) {
                    return Ok(out);
                }
            }
            key = &key[n.prefix.len()..];
            for c in *b"*?[" {
                if let Some(child) = self.child(&n, c)? {
                    let mut pattern = vec![c];
                    self.wild_all(&child, 0, &mut pattern, key, &mut out)?;
                }
            }
            let Some((&letter, rest)) = key.split_first() else {
                self.each_value(&n, &mut |v| {
                    add_value(&mut out, v);
                    Ok(())
                })?;
                return Ok(out);
            };
            node = self.child(&n, letter)?;
            key = rest;
        }
        Ok(out)
    }

    /// All patterns below a node, of which the first `j` letters of its prefix
    /// are already known.
    fn wild_all(
        &self,
        n: &Node,
        j: usize,
        pattern: &mut Vec<u8>,
        key: &[u8],
        out: &mut Vec<Value>,
    ) -> Result<()> {
        self.walk(n, j, pattern, true, &mut |pattern, n| {
            if fnmatch(pattern, key) {
                self.each_value(n, &mut |v| {
                    add_value(out, v);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// Visits each node with values below `n` (and `n`) with its key.
    /// kmod's searches visit children first, its dumps the node first.
    fn walk(
        &self,
        n: &Node,
        j: usize,
        key: &mut Vec<u8>,
        children_first: bool,
        f: &mut dyn FnMut(&[u8], &Node) -> Result<()>,
    ) -> Result<()> {
        let before = key.len();
        key.extend_from_slice(&n.prefix[j..]);
        // Deeper than a key can be long, only a circle goes.
        if key.len() > PATH_MAX {
            return Err(IndexError::Corrupt);
        }
        if !children_first && n.value_count > 0 {
            f(key, n)?;
        }
        if n.first < CHILD_MAX {
            for letter in n.first..=n.last {
                if let Some(child) = self.child(n, letter)? {
                    key.push(letter);
                    self.walk(&child, 0, key, children_first, f)?;
                    key.pop();
                }
            }
        }
        if children_first && n.value_count > 0 {
            f(key, n)?;
        }
        key.truncate(before);
        Ok(())
    }

    /// Calls with every key and value, in the order of the keys.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8]) -> std::io::Result<()>) -> Result<()> {
        let Some(root) = self.start()? else {
            return Ok(());
        };
        self.walk(&root, 0, &mut Vec::new(), false, &mut |key, n| {
            self.each_value(n, &mut |v| {
                f(key, &v.value).map_err(|e| IndexError::Io(e.into()))
            })
        })
    }

    /// Writes `prefix key value` lines.
    pub fn dump(&self, out: &mut dyn Write, prefix: &str) -> Result<()> {
        self.for_each(|key, value| crate::emit!(out, prefix, key, " ", value, "\n"))
    }
}

fn is_wild(c: u8) -> bool {
    matches!(c, b'*' | b'?' | b'[')
}

fn add_value(out: &mut Vec<Value>, v: Value) {
    let at = out
        .iter()
        .position(|o| o.priority >= v.priority)
        .unwrap_or(out.len());
    out.insert(at, v);
}
