//! Changes an index that is in memory, without making it anew: the nodes on
//! the way to what changes are taken apart, all others are copied as they lie
//! in the file, where a node and all below it are one piece ([`super::write`]).
//!
//! Of a piece that moves, the offsets are counted anew, and where modules came
//! or went, its priorities. The result is what [`super::IndexBuilder`] makes
//! of the same entries, byte for byte. The copies are made where the pieces
//! are: memory that is used for the first time costs more than all else.

use std::ops::Range;

use super::nodes::{HEADER, Parts, Place, Result, root_of};
pub use super::nodes::{Unpatchable, lookup};
use super::shift::shift;
use super::{CHILD_MAX, CHILDS, MAGIC, OFFSET, PREFIX, VALUES, VERSION_MAJOR, VERSION_MINOR};

/// An entry to be added, or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub priority: u32,
}

/// Nodes on the way to a key that are taken apart at most.
const DEPTH_MAX: usize = 1000;

/// No priority: the module is gone.
pub const GONE: u32 = u32::MAX;

/// The new priority of each old one; none when all stay.
pub type Renumber<'a> = Option<&'a [u32]>;

/// A changed index: pieces of the old one, and nodes made anew.
#[derive(Debug)]
pub struct Patched {
    old: Vec<u8>,
    new: Vec<u8>,
    /// Where in which of both.
    parts: Vec<Part>,
}

impl Patched {
    /// The index, piece by piece.
    pub fn content(&self) -> Vec<&[u8]> {
        let part = |p: &Part| match p {
            Part::Old(range) => &self.old[range.clone()],
            Part::New(range) => &self.new[range.clone()],
        };
        self.parts.iter().map(part).collect()
    }
}

#[derive(Debug)]
enum Part {
    Old(Range<usize>),
    New(Range<usize>),
}

/// Takes entries away and adds others. Priorities of what is `removed` are old
/// ones, those of what is `added` new ones.
pub fn patch(
    mut old: Vec<u8>,
    removed: &[Edit<'_>],
    added: &[Edit<'_>],
    renumber: Renumber<'_>,
) -> Result<Patched> {
    let layout = lay_out(&old, removed, added, renumber)?;
    let mut todo = Vec::new();
    for &(piece, moved) in &layout.pieces {
        let bytes = old.get_mut(piece.at()..piece.end).ok_or(Unpatchable)?;
        shift(piece, moved, renumber, bytes, &mut todo)?;
    }
    let Layout { new, parts, .. } = layout;
    Ok(Patched { old, new, parts })
}

/// Finds what goes where.
fn lay_out(
    old: &[u8],
    removed: &[Edit<'_>],
    added: &[Edit<'_>],
    renumber: Renumber<'_>,
) -> Result<Layout> {
    let patcher = Patcher { old, renumber };
    let mut root = patcher.load(root_of(old)?)?;
    for e in removed {
        patcher.remove(&mut root, e)?;
    }
    for e in added {
        patcher.insert(&mut root, e)?;
    }
    patcher.tidy(&mut root)?;
    let size = HEADER + root.size;
    if size > OFFSET as usize {
        return Err(Unpatchable);
    }
    let mut out = Layout::default();
    put(&mut out.new, MAGIC);
    put(&mut out.new, VERSION_MAJOR << 16 | VERSION_MINOR);
    put(&mut out.new, HEADER as u32 | root.mask());
    patcher.write(&root, &mut out)?;
    out.end_new();
    match out.len() == size {
        true => Ok(out),
        false => Err(Unpatchable),
    }
}

/// A changed index before its pieces are counted anew.
#[derive(Default)]
struct Layout {
    new: Vec<u8>,
    parts: Vec<Part>,
    /// How much of what is new stands in the parts.
    noted: usize,
    /// How much of what is old does.
    copied: usize,
    /// Pieces to be counted anew where they are, and how far they move.
    pieces: Vec<(Place, u32)>,
    /// Room for [`shift`].
    todo: Vec<u32>,
}

impl Layout {
    fn len(&self) -> usize {
        self.copied + self.new.len()
    }

    /// Notes what is new and not noted yet.
    fn end_new(&mut self) {
        if self.noted < self.new.len() {
            self.parts.push(Part::New(self.noted..self.new.len()));
            self.noted = self.new.len();
        }
    }

    fn add_old(&mut self, piece: Range<usize>) {
        self.end_new();
        self.copied += piece.len();
        match self.parts.last_mut() {
            Some(Part::Old(last)) if last.end == piece.start => last.end = piece.end,
            _ => self.parts.push(Part::Old(piece)),
        }
    }
}

fn put(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// A node that was taken apart.
#[derive(Default)]
struct Node<'a> {
    prefix: Vec<u8>,
    /// By letter.
    children: Vec<(u8, Child<'a>)>,
    /// By priority, a new one.
    values: Vec<(u32, &'a [u8])>,
    /// Of this node and all below it; once tidy.
    size: usize,
}

enum Child<'a> {
    Old(Place),
    New(Box<Node<'a>>),
}

impl Node<'_> {
    fn mask(&self) -> u32 {
        let mut m = 0;
        if !self.children.is_empty() {
            m |= CHILDS;
        }
        if !self.prefix.is_empty() {
            m |= PREFIX;
        }
        if !self.values.is_empty() {
            m |= VALUES;
        }
        m
    }

    fn own_size(&self) -> usize {
        let mut size = 0;
        if !self.prefix.is_empty() {
            size += self.prefix.len() + 1;
        }
        if let (Some((first, _)), Some((last, _))) = (self.children.first(), self.children.last()) {
            size += 2 + 4 * (usize::from(last - first) + 1);
        }
        if !self.values.is_empty() {
            let values = self.values.iter().map(|(_, v)| 4 + v.len() + 1);
            size += 4 + values.sum::<usize>();
        }
        size
    }
}

impl Child<'_> {
    fn size(&self) -> usize {
        match self {
            Child::Old(place) => place.size(),
            Child::New(node) => node.size,
        }
    }

    fn mask(&self) -> u32 {
        match self {
            Child::Old(place) => place.word & !OFFSET,
            Child::New(node) => node.mask(),
        }
    }
}

struct Patcher<'a> {
    old: &'a [u8],
    renumber: Renumber<'a>,
}

impl<'a> Patcher<'a> {
    fn priority(&self, old: u32) -> Result<u32> {
        match self.renumber {
            None => Ok(old),
            Some(map) => map.get(old as usize).copied().ok_or(Unpatchable),
        }
    }

    /// Takes a node apart.
    fn load(&self, place: Place) -> Result<Node<'a>> {
        let parts = Parts::read(self.old, place)?;
        let child = |c: Result<(usize, Place)>| {
            c.map(|(slot, place)| (parts.first + slot as u8, Child::Old(place)))
        };
        let value = |v: Result<(u32, &'a [u8])>| v.and_then(|(p, v)| Ok((self.priority(p)?, v)));
        Ok(Node {
            prefix: parts.prefix.to_vec(),
            children: parts
                .children(place.end)
                .map(child)
                .collect::<Result<_>>()?,
            values: parts.values().map(value).collect::<Result<_>>()?,
            size: 0,
        })
    }

    fn opened<'n>(&self, child: &'n mut Child<'a>) -> Result<&'n mut Node<'a>> {
        if let Child::Old(place) = child {
            *child = Child::New(Box::new(self.load(*place)?));
        }
        match child {
            Child::New(node) => Ok(node),
            Child::Old(_) => Err(Unpatchable),
        }
    }

    fn remove(&self, root: &mut Node<'a>, e: &Edit<'_>) -> Result<()> {
        let (mut node, mut rest) = (root, e.key);
        let priority = self.priority(e.priority)?;
        for _ in 0..DEPTH_MAX {
            rest = rest.strip_prefix(&node.prefix[..]).ok_or(Unpatchable)?;
            let Some((letter, below)) = rest.split_first() else {
                let at = node.values.iter().position(|v| *v == (priority, e.value));
                node.values.remove(at.ok_or(Unpatchable)?);
                return Ok(());
            };
            rest = below;
            let at = node.children.binary_search_by_key(letter, |c| c.0);
            let at = at.map_err(|_| Unpatchable)?;
            node = self.opened(&mut node.children[at].1)?;
        }
        Err(Unpatchable)
    }

    fn insert(&self, root: &mut Node<'a>, e: &Edit<'a>) -> Result<()> {
        let bad = |s: &[u8]| s.iter().any(|&c| c >= CHILD_MAX || c == 0);
        if bad(e.key) || bad(e.value) {
            return Err(Unpatchable);
        }
        let value = (e.priority, e.value);
        let (mut node, mut rest) = (root, e.key);
        for _ in 0..DEPTH_MAX {
            let common = node.prefix.iter().zip(rest);
            let common = common.take_while(|(a, b)| a == b).count();
            if common < node.prefix.len() {
                let lower = Node {
                    prefix: node.prefix[common + 1..].to_vec(),
                    children: std::mem::take(&mut node.children),
                    values: std::mem::take(&mut node.values),
                    size: 0,
                };
                let letter = node.prefix[common];
                node.prefix.truncate(common);
                node.children = vec![(letter, Child::New(Box::new(lower)))];
            }
            let Some((letter, below)) = rest[common..].split_first() else {
                let at = node.values.partition_point(|v| v.0 < e.priority);
                node.values.insert(at, value);
                return Ok(());
            };
            rest = below;
            match node.children.binary_search_by_key(letter, |c| c.0) {
                Ok(at) => node = self.opened(&mut node.children[at].1)?,
                Err(at) => {
                    let leaf = Node {
                        prefix: rest.to_vec(),
                        values: vec![value],
                        ..Node::default()
                    };
                    let child = Child::New(Box::new(leaf));
                    node.children.insert(at, (*letter, child));
                    return Ok(());
                }
            }
        }
        Err(Unpatchable)
    }

    /// Drops nodes that nothing needs any more, and counts what is left.
    fn tidy(&self, node: &mut Node<'a>) -> Result<()> {
        for (_, child) in &mut node.children {
            let Child::New(below) = child else { continue };
            self.tidy(below)?;
            if below.values.is_empty()
                && let [(letter, only)] = &mut below.children[..]
            {
                let only = std::mem::take(self.opened(only)?);
                below.prefix.push(*letter);
                below.prefix.extend_from_slice(&only.prefix);
                below.values = only.values;
                below.children = only.children;
                below.measure();
            }
        }
        let empty = |n: &Node<'_>| n.children.is_empty() && n.values.is_empty();
        node.children
            .retain(|(_, c)| !matches!(c, Child::New(n) if empty(n)));
        node.measure();
        Ok(())
    }

    fn write(&self, node: &Node<'a>, out: &mut Layout) -> Result<()> {
        if !node.prefix.is_empty() {
            out.new.extend_from_slice(&node.prefix);
            out.new.push(0);
        }
        if let (Some(&(first, _)), Some(&(last, _))) = (node.children.first(), node.children.last())
        {
            let mut at = out.len();
            if !node.prefix.is_empty() {
                at -= node.prefix.len() + 1;
            }
            at += node.own_size();
            let out = &mut out.new;
            out.push(first);
            out.push(last);
            let table = out.len();
            out.resize(table + 4 * (usize::from(last - first) + 1), 0);
            for (letter, child) in &node.children {
                let slot = table + 4 * usize::from(letter - first);
                out[slot..slot + 4].copy_from_slice(&(at as u32 | child.mask()).to_be_bytes());
                at += child.size();
            }
        }
        if !node.values.is_empty() {
            put(&mut out.new, node.values.len() as u32);
            for (priority, value) in &node.values {
                if *priority == GONE {
                    return Err(Unpatchable);
                }
                put(&mut out.new, *priority);
                out.new.extend_from_slice(value);
                out.new.push(0);
            }
        }
        for (_, child) in &node.children {
            match child {
                Child::New(node) => self.write(node, out)?,
                Child::Old(place) => self.copy(*place, out)?,
            }
        }
        Ok(())
    }

    /// Takes over a node and all below it, as one piece.
    fn copy(&self, piece: Place, out: &mut Layout) -> Result<()> {
        /// What is smaller is less to copy than to have as a part. In tests,
        /// where all is small, some is a part nevertheless.
        const PART_MIN: usize = if cfg!(test) { 16 } else { 512 };
        let start = out.len();
        let bytes = self.old.get(piece.at()..piece.end).ok_or(Unpatchable)?;
        let moved = (start as u32).wrapping_sub(piece.at() as u32);
        let other = moved != 0 || self.renumber.is_some();
        if bytes.len() >= PART_MIN {
            if other {
                out.pieces.push((piece, moved));
            }
            out.add_old(piece.at()..piece.end);
            return Ok(());
        }
        let start = out.new.len();
        out.new.extend_from_slice(bytes);
        match other {
            true => {
                let copy = &mut out.new[start..];
                shift(piece, moved, self.renumber, copy, &mut out.todo)
            }
            false => Ok(()),
        }
    }
}

impl Node<'_> {
    fn measure(&mut self) {
        let below = self.children.iter().map(|(_, c)| c.size());
        self.size = self.own_size() + below.sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depmod::order::superfast;
    use crate::index::IndexBuilder;

    type Entry = (Vec<u8>, Vec<u8>, u32);

    fn patch(
        old: &[u8],
        removed: &[Edit<'_>],
        added: &[Edit<'_>],
        renumber: Renumber<'_>,
    ) -> Result<Vec<u8>> {
        let patched = super::patch(old.to_vec(), removed, added, renumber)?;
        Ok(patched.content().concat())
    }

    fn build(entries: &[Entry]) -> Vec<u8> {
        let mut b = IndexBuilder::new();
        for (key, value, priority) in entries {
            b.insert(key, value, *priority).unwrap();
        }
        b.finish().unwrap()
    }

    fn edits(entries: &[Entry]) -> Vec<Edit<'_>> {
        entries
            .iter()
            .map(|(key, value, priority)| Edit {
                key,
                value,
                priority: *priority,
            })
            .collect()
    }

    /// Few letters, so that keys share beginnings and contain each other.
    fn entry(seed: u32, modules: u32) -> Entry {
        let h = superfast(&seed.to_le_bytes());
        let len = h % 7;
        let key = (0..len).map(|i| b"ab*"[(h >> (4 + 2 * i)) as usize % 3]);
        let module = h.rotate_left(9) % modules;
        (key.collect(), format!("m{module}").into_bytes(), module)
    }

    #[test]
    fn a_patched_index_is_the_one_made_anew() {
        for seed in 0..400u32 {
            let size = seed % 60;
            let all: Vec<Entry> = (0..size + 12).map(|i| entry(seed * 1000 + i, 20)).collect();
            let (both, ends) = all.split_at(size as usize);
            let (go, come) = ends.split_at(seed as usize % 13);
            let old = [both, go].concat();
            let new = [both, come].concat();
            let patched = patch(&build(&old), &edits(go), &edits(come), None);
            assert_eq!(patched.as_ref(), Ok(&build(&new)), "seed {seed}");
            for (key, ..) in &new {
                let first = new.iter().filter(|e| e.0 == *key).map(|e| e.2).min();
                let found = lookup(patched.as_ref().unwrap(), key).unwrap();
                assert_eq!(found.map(|f| f.0), first);
            }
            assert_eq!(lookup(&build(&new), b"ab*c"), Ok(None));
        }
    }

    #[test]
    fn modules_are_numbered_anew() {
        for seed in 0..200u32 {
            let all: Vec<Entry> = (0..50).map(|i| entry(seed * 777 + i, 20)).collect();
            // One goes, and one comes before another.
            let (gone, before) = (seed % 20, seed / 20 + 1);
            let mut map: Vec<u32> = (0..20).collect();
            map[gone as usize] = GONE;
            let mut next = 0;
            for (i, m) in map.iter_mut().enumerate() {
                next += u32::from(i as u32 == before);
                if *m != GONE {
                    *m = next;
                    next += 1;
                }
            }
            let (go, stay): (Vec<Entry>, Vec<Entry>) =
                all.iter().cloned().partition(|e| e.2 == gone);
            let renumbered = stay
                .into_iter()
                .map(|(k, v, p)| (k, v, map[p as usize]))
                .collect::<Vec<_>>();
            let patched = patch(&build(&all), &edits(&go), &[], Some(&map));
            assert_eq!(patched, Ok(build(&renumbered)), "seed {seed}");
            if !go.is_empty() {
                assert_eq!(patch(&build(&all), &[], &[], Some(&map)), Err(Unpatchable));
            }
        }
    }

    #[test]
    fn what_is_not_there_cannot_go() {
        let old = build(&[(b"ab".to_vec(), b"v".to_vec(), 1)]);
        for (key, value, priority) in [
            (&b"ab"[..], &b"v"[..], 2),
            (b"ab", b"w", 1),
            (b"a", b"v", 1),
        ] {
            let e = Edit {
                key,
                value,
                priority,
            };
            assert_eq!(patch(&old, &[e], &[], None), Err(Unpatchable));
        }
        let not_ascii = Edit {
            key: b"\xe4",
            value: b"",
            priority: 1,
        };
        assert_eq!(patch(&old, &[], &[not_ascii], None), Err(Unpatchable));
    }

    #[test]
    fn damage_ends_without_a_panic() {
        let entries: Vec<Entry> = (0..30).map(|i| entry(i, 9)).collect();
        let (sound, map) = (build(&entries), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let edits = edits(&entries[..4]);
        for at in 0..sound.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, sound[at] ^ 1, sound[at] ^ 0x20] {
                let mut bytes = sound.clone();
                bytes[at] = value;
                let _ = patch(&bytes, &edits, &edits, None);
                let _ = patch(&bytes, &[], &edits, Some(&map));
                let _ = lookup(&bytes, &entries[3].0);
            }
            let _ = patch(&sound[..at], &edits, &[], None);
        }
    }
}
