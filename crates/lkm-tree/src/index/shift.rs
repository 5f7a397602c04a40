//! A piece of an index that moves: its offsets and priorities counted anew.

use super::nodes::{Place, Result, Unpatchable, word as word_at};
use super::patch::{GONE, Renumber};
use super::{CHILDS, OFFSET, PREFIX, VALUES};

/// Counts a piece's offsets anew, and its priorities.
///
/// Nodes lie in the order in which they are come to here, so that this goes
/// through the piece once, from its beginning to its end. `todo` is room for
/// the nodes still to come, empty before and after.
pub(super) fn shift(
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
            let count = word_at(copy, at)?;
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
