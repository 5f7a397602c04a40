//! Small things that several subsystems need: guest lists.

use crate::Cx;
use crate::abi::R;

/// INIT_LIST_HEAD.
pub fn list_init(cx: &Cx, head: u64) -> R<()> {
    cx.w64(head, head)?;
    Ok(cx.w64(head + 8, head)?)
}

/// list_add: `new` right behind `head`.
pub fn list_add(cx: &Cx, new: u64, head: u64) -> R<()> {
    let next = cx.r64(head)?;
    cx.w64(next + 8, new)?;
    cx.w64(new, next)?;
    cx.w64(new + 8, head)?;
    Ok(cx.w64(head, new)?)
}

/// list_add_tail: `new` right before `head`.
pub fn list_add_tail(cx: &Cx, new: u64, head: u64) -> R<()> {
    let prev = cx.r64(head + 8)?;
    list_add(cx, new, prev)
}

/// list_del, with the poison values that the kernel leaves.
pub fn list_del(cx: &Cx, entry: u64) -> R<()> {
    let (next, prev) = (cx.r64(entry)?, cx.r64(entry + 8)?);
    cx.w64(next + 8, prev)?;
    cx.w64(prev, next)?;
    cx.w64(entry, 0xdead_0000_0000_0100)?;
    Ok(cx.w64(entry + 8, 0xdead_0000_0000_0122)?)
}

/// list_del_init.
pub fn list_del_init(cx: &Cx, entry: u64) -> R<()> {
    let (next, prev) = (cx.r64(entry)?, cx.r64(entry + 8)?);
    cx.w64(next + 8, prev)?;
    cx.w64(prev, next)?;
    list_init(cx, entry)
}

/// The entries of a list, in order. Bounded: a broken list ends.
pub fn list_entries(cx: &Cx, head: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    let mut at = cx.r64(head)?;
    while at != head && out.len() < 100_000 {
        out.push(at);
        at = cx.r64(at)?;
    }
    Ok(out)
}
