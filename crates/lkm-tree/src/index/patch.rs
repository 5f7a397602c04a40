//! Changes an index that is in memory, without making it anew: the nodes on
//! the way to what changes are taken apart, all others are copied as they lie
//! in the file, where a node and all below it are one piece ([`super::write`]).
//!
//! Of a piece that moves, the offsets are counted anew, and where modules came
//! or went, its priorities. The result is what [`super::IndexBuilder`] makes
//! of the same entries, byte for byte.

use std::ffi::CStr;

use super::{CHILD_MAX, CHILDS, MAGIC, OFFSET, PREFIX, VALUES, VERSION_MAJOR, VERSION_MINOR};

/// An entry to be added, or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub priority: u32,
}

/// The index is not one that our writer wrote, lacks what is to be taken away,
/// or cannot hold what is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index cannot be patched")]
pub struct Unpatchable;

type Result<T> = std::result::Result<T, Unpatchable>;

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
    patcher.write(&root, &mut out)?;
    match out.len() == size {
        true => Ok(out),
        false => Err(Unpatchable),
    }
}

/// The first value of a key.
pub fn lookup<'a>(index: &'a [u8], key: &[u8]) -> Result<Option<(u32, &'a [u8])>> {
    let mut place = root_of(index)?;
    let mut rest = key;
    loop {
        let parts = Parts::read(index, place)?;
        let Some(below) = rest.strip_prefix(parts.prefix) else {
            return Ok(None);
        };
        let Some((&letter, below)) = below.split_first() else {
            return parts.values().next().transpose();
        };
        rest = below;
        let slot = letter.checked_sub(parts.first).map(usize::from);
        let Some(child) = slot.and_then(|s| parts.child(s)) else {
            return Ok(None);
        };
        // Where its piece ends does not matter here; that it lies behind its
        // parent means that this ends.
        if child & OFFSET <= place.word & OFFSET {
            return Err(Unpatchable);
        }
        place.word = child;
    }
}

const HEADER: usize = 12;

/// A node of the file, and where what is below it ends.
#[derive(Clone, Copy)]
struct Place {
    /// Its offset, and what it has.
    word: u32,
    end: usize,
}

impl Place {
    fn at(self) -> usize {
        (self.word & OFFSET) as usize
    }

    fn size(self) -> usize {
        self.end - self.at()
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let b = bytes.get(at..at + 4).ok_or(Unpatchable)?;
    Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn put(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_be_bytes());
}

fn text(bytes: &[u8], at: usize) -> Result<&[u8]> {
    let rest = bytes.get(at..).ok_or(Unpatchable)?;
    let text = CStr::from_bytes_until_nul(rest).map_err(|_| Unpatchable)?;
    Ok(text.to_bytes())
}

fn root_of(bytes: &[u8]) -> Result<Place> {
    let sound = word(bytes, 0)? == MAGIC && word(bytes, 4)? == VERSION_MAJOR << 16 | VERSION_MINOR;
    let place = Place {
        word: word(bytes, 8)?,
        end: bytes.len(),
    };
    match sound && place.at() == HEADER {
        true => Ok(place),
        false => Err(Unpatchable),
    }
}

/// A node as it lies in the file.
struct Parts<'a> {
    prefix: &'a [u8],
    first: u8,
    /// Offsets of children, from the first letter to the last.
    table: &'a [u8],
    table_at: usize,
    /// How many values, and what is behind their number.
    count: u32,
    rest: &'a [u8],
    rest_at: usize,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8], place: Place) -> Result<Parts<'a>> {
        let bytes = bytes.get(..place.end).ok_or(Unpatchable)?;
        let mut at = place.at();
        let mut parts = Parts {
            prefix: b"",
            first: 0,
            table: b"",
            table_at: 0,
            count: 0,
            rest: b"",
            rest_at: 0,
        };
        if place.word & PREFIX != 0 {
            parts.prefix = text(bytes, at)?;
            at += parts.prefix.len() + 1;
        }
        if place.word & CHILDS != 0 {
            let (first, last) = match bytes.get(at..at + 2) {
                Some(&[first, last]) if first <= last && last < CHILD_MAX => (first, last),
                _ => return Err(Unpatchable),
            };
            let size = 4 * (usize::from(last - first) + 1);
            parts.first = first;
            parts.table_at = at + 2;
            parts.table = bytes.get(at + 2..at + 2 + size).ok_or(Unpatchable)?;
            at += 2 + size;
        }
        if place.word & VALUES != 0 {
            parts.count = word(bytes, at)?;
            at += 4;
        }
        parts.rest = bytes.get(at..).ok_or(Unpatchable)?;
        parts.rest_at = at;
        Ok(parts)
    }

    fn child(&self, slot: usize) -> Option<u32> {
        let b = self.table.get(4 * slot..4 * slot + 4)?;
        let word = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        (word != 0).then_some(word)
    }

    /// The children by slot, in the order in which they lie. Each ends where
    /// the next begins, and the last at the node's own end: checked, so that
    /// whoever follows them comes to each byte once.
    fn children(&self, end: usize) -> impl Iterator<Item = Result<(usize, Place)>> {
        let slots = self.table.len() / 4;
        let mut slot = 0;
        let mut least = self.rest_at;
        let mut next = move |this: &Self| {
            while slot < slots {
                slot += 1;
                if let Some(word) = this.child(slot - 1) {
                    return Some((slot - 1, word));
                }
            }
            None
        };
        let mut held = next(self);
        std::iter::from_fn(move || {
            let (slot, word) = held?;
            held = next(self);
            let end = held.map_or(end, |(_, w)| (w & OFFSET) as usize);
            let place = Place { word, end };
            if place.at() < least || end < place.at() {
                return Some(Err(Unpatchable));
            }
            least = end;
            Some(Ok((slot, place)))
        })
    }

    fn values(&self) -> impl Iterator<Item = Result<(u32, &'a [u8])>> {
        let mut rest = self.rest;
        (0..self.count).map(move |_| {
            let priority = word(rest, 0)?;
            let value = text(rest, 4)?;
            rest = &rest[4 + value.len() + 1..];
            Ok((priority, value))
        })
    }
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

    fn write(&self, node: &Node<'a>, out: &mut Vec<u8>) -> Result<()> {
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
                Child::New(node) => self.write(node, out)?,
                Child::Old(place) => self.copy(*place, out)?,
            }
        }
        Ok(())
    }

    /// Copies a node and all below it, as one piece.
    fn copy(&self, piece: Place, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let bytes = self.old.get(piece.at()..piece.end).ok_or(Unpatchable)?;
        out.extend_from_slice(bytes);
        let copy = &mut out[start..];
        let moved = (start as u32).wrapping_sub(piece.at() as u32);
        if moved == 0 && self.renumber.is_none() {
            return Ok(());
        }
        let mut todo = vec![piece];
        while let Some(place) = todo.pop() {
            let parts = Parts::read(self.old, place)?;
            let table = parts.table_at.wrapping_sub(piece.at());
            for child in parts.children(place.end) {
                let (slot, child) = child?;
                let at = (child.at() as u32).wrapping_add(moved);
                copy[table + 4 * slot..][..4]
                    .copy_from_slice(&(at | child.word & !OFFSET).to_be_bytes());
                if child.word & CHILDS != 0 || self.renumber.is_some() {
                    todo.push(child);
                }
            }
            if let Some(map) = self.renumber {
                let mut at = parts.rest_at - piece.at();
                for value in parts.values() {
                    let (old, value) = value?;
                    let new = map.get(old as usize).copied().filter(|&n| n != GONE);
                    copy[at..at + 4].copy_from_slice(&new.ok_or(Unpatchable)?.to_be_bytes());
                    at += 4 + value.len() + 1;
                }
            }
        }
        Ok(())
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
