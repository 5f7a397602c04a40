//! Nodes of an index that is in memory, as they lie there one behind the other.

use std::ffi::CStr;

use super::{CHILD_MAX, CHILDS, MAGIC, OFFSET, PREFIX, VALUES, VERSION_MAJOR, VERSION_MINOR};

/// The index is not one that our writer wrote, lacks what is to be taken away,
/// or cannot hold what is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index cannot be patched")]
pub struct Unpatchable;

pub(super) type Result<T> = std::result::Result<T, Unpatchable>;

pub(super) const HEADER: usize = 12;

/// A node of the file, and where what is below it ends.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its offset, and what it has.
    pub(super) word: u32,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn at(self) -> usize {
        (self.word & OFFSET) as usize
    }

    pub(super) fn size(self) -> usize {
        self.end - self.at()
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let b = bytes.get(at..at + 4).ok_or(Unpatchable)?;
    Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

pub(super) fn text(bytes: &[u8], at: usize) -> Result<&[u8]> {
    let rest = bytes.get(at..).ok_or(Unpatchable)?;
    let text = CStr::from_bytes_until_nul(rest).map_err(|_| Unpatchable)?;
    Ok(text.to_bytes())
}

pub(super) fn root_of(bytes: &[u8]) -> Result<Place> {
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
pub(super) struct Parts<'a> {
    pub(super) prefix: &'a [u8],
    pub(super) first: u8,
    /// Offsets of children, from the first letter to the last.
    pub(super) table: &'a [u8],
    pub(super) table_at: usize,
    /// How many values, and what is behind their number.
    pub(super) count: u32,
    pub(super) rest: &'a [u8],
    pub(super) rest_at: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn read(bytes: &'a [u8], place: Place) -> Result<Parts<'a>> {
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

    pub(super) fn child(&self, slot: usize) -> Option<u32> {
        let b = self.table.get(4 * slot..4 * slot + 4)?;
        let word = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        (word != 0).then_some(word)
    }

    /// The children by slot, in the order in which they lie. Each ends where
    /// the next begins, and the last at the node's own end: checked, so that
    /// whoever follows them comes to each byte once.
    pub(super) fn children(&self, end: usize) -> impl Iterator<Item = Result<(usize, Place)>> {
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

    pub(super) fn values(&self) -> impl Iterator<Item = Result<(u32, &'a [u8])>> {
        let mut rest = self.rest;
        (0..self.count).map(move |_| {
            let priority = word(rest, 0)?;
            let value = text(rest, 4)?;
            rest = &rest[4 + value.len() + 1..];
            Ok((priority, value))
        })
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
