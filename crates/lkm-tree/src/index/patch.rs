//! Changes an index that is in memory, without making it anew: the nodes on
//! the way to what changes are taken apart, all others are copied as they lie
//! in the file, where a node and all below it are one piece ([`super::write`]).
//!
//! Of a piece that moves, the offsets are counted anew, and where modules came
//! or went, its priorities. The result is what [`super::IndexBuilder`] makes
//! of the same entries, byte for byte.

use super::nodes::{HEADER, Parts, Place, Result, root_of, word};
pub use super::nodes::{Unpatchable, lookup};
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

/// Takes entries away and adds others. Priorities of what is `removed` are old
/// ones, those of what is `added` new ones.
pub fn patch(
    old: &[u8],
    removed: &[Edit<'_>],
    added: &[Edit<'_>],
    renumber: Renumber<'_>,
) -> Result<Vec<u8>> {
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
    let mut out = Vec::with_capacity(size);
    put(&mut out, MAGIC);
    put(&mut out, VERSION_MAJOR << 16 | VERSION_MINOR);
    put(&mut out, HEADER as u32 | root.mask());
    patcher.write(&root, &mut out, &mut Vec::new())?;
    match out.len() == size {
        true => Ok(out),
        false => Err(Unpatchable),
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

    fn write(&self, node: &Node<'a>, out: &mut Vec<u8>, todo: &mut Vec<u32>) -> Result<()> {
        if !node.prefix.is_empty() {
            out.extend_from_slice(&node.prefix);
            out.push(0);
        }
        if let (Some(&(first, _)), Some(&(last, _))) = (node.children.first(), node.children.last())
        {
            let mut at = out.len();
            if !node.prefix.is_empty() {
                at -= node.prefix.len() + 1;
            }
            at += node.own_size();
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
            put(out, node.values.len() as u32);
            for (priority, value) in &node.values {
                if *priority == GONE {
                    return Err(Unpatchable);
                }
                put(out, *priority);
                out.extend_from_slice(value);
                out.push(0);
            }
        }
        for (_, child) in &node.children {
            match child {
                Child::New(node) => self.write(node, out, todo)?,
                Child::Old(place) => self.copy(*place, out, todo)?,
            }
        }
        Ok(())
    }

    /// Copies a node and all below it, as one piece.
    fn copy(&self, piece: Place, out: &mut Vec<u8>, todo: &mut Vec<u32>) -> Result<()> {
        let start = out.len();
        let bytes = self.old.get(piece.at()..piece.end).ok_or(Unpatchable)?;
        out.extend_from_slice(bytes);
        let copy = &mut out[start..];
        let moved = (start as u32).wrapping_sub(piece.at() as u32);
        match moved != 0 || self.renumber.is_some() {
            true => shift(piece, moved, self.renumber, copy, todo),
            false => Ok(()),
        }
    }
}

/// Counts a piece's offsets anew, and its priorities.
///
/// Nodes lie in the order in which they are come to here, so that this goes
/// through the piece once, from its beginning to its end. `todo` is room for
/// the nodes still to come, empty before and after.
fn shift(
    piece: Place,
    moved: u32,
    renumber: Renumber<'_>,
    copy: &mut [u8],
    todo: &mut Vec<u32>,
) -> Result<()> {
    let (start, end) = (piece.at() as u32, piece.end as u32);
    // Without new priorities, nodes without children are looked at by nobody.
    let matter = match renumber {
        Some(_) => CHILDS | VALUES,
        None => CHILDS,
    };
    todo.clear();
    todo.push(piece.word);
    let mut behind = 0;
    while let Some(word) = todo.pop() {
        let mut at = (word & OFFSET).wrapping_sub(start) as usize;
        // Whoever never goes back comes to an end.
        if at < behind {
            return Err(Unpatchable);
        }
        if word & PREFIX != 0 {
            at = text_end(copy, at)? + 1;
        }
        if word & CHILDS != 0 {
            let (first, last) = match copy.get(at..at + 2) {
                Some(&[first, last]) if first <= last => (first, last),
                _ => return Err(Unpatchable),
            };
            let size = 4 * (usize::from(last - first) + 1);
            let table = copy.get_mut(at + 2..at + 2 + size).ok_or(Unpatchable)?;
            let (slots, _) = table.as_chunks_mut::<4>();
            // The first child last: it is taken from the end.
            for slot in slots.iter_mut().rev() {
                let child = u32::from_be_bytes(*slot);
                if child == 0 {
                    continue;
                }
                let at = child & OFFSET;
                if at < start || at > end {
                    return Err(Unpatchable);
                }
                *slot = (at.wrapping_add(moved) | child & !OFFSET).to_be_bytes();
                if child & matter != 0 {
                    todo.push(child);
                }
            }
            at += 2 + size;
        }
        if let Some(map) = renumber
            && word & VALUES != 0
        {
            let count = self::word(copy, at)?;
            at += 4;
            for _ in 0..count {
                let old = copy.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
                let old = old.ok_or(Unpatchable)?;
                let new = map.get(u32::from_be_bytes(*old) as usize);
                let new = new.copied().filter(|&n| n != GONE).ok_or(Unpatchable)?;
                *old = new.to_be_bytes();
                at = text_end(copy, at + 4)? + 1;
            }
        }
        behind = at;
    }
    Ok(())
}

/// Where the NUL is of a text that begins at `at`; eight bytes at a time, for
/// most texts are as short as that.
fn text_end(bytes: &[u8], mut at: usize) -> Result<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut rest = bytes.get(at..).ok_or(Unpatchable)?;
    while let Some((eight, more)) = rest.split_first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let zeros = eight.wrapping_sub(LOW) & !eight & LOW << 7;
        if zeros != 0 {
            return Ok(at + zeros.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = more;
    }
    let nul = rest.iter().position(|&c| c == 0);
    Ok(at + nul.ok_or(Unpatchable)?)
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
