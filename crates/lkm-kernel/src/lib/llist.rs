//! Lock-free lists (lib/llist.c). A struct llist_node is the pointer to the
//! next; a head is the pointer to the first.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("llist_add_batch", add_batch),
    behaves("llist_del_first", del_first),
    behaves("llist_reverse_order", reverse_order),
];

/// Entries of a chain that are followed: a broken one ends.
const MOST: u32 = 10_000_000;

/// llist_add_batch(first, last, head): whether the list was empty.
fn add_batch(cx: &mut Cx, c: &Call) -> R {
    let [first, last, head, ..] = c.a;
    let old = cx.r64(head)?;
    cx.w64(last, old)?;
    cx.w64(head, first)?;
    Ok(u64::from(old == 0))
}

fn del_first(cx: &mut Cx, c: &Call) -> R {
    let first = cx.r64(c.a[0])?;
    if first != 0 {
        let next = cx.r64(first)?;
        cx.w64(c.a[0], next)?;
    }
    Ok(first)
}

fn reverse_order(cx: &mut Cx, c: &Call) -> R {
    let (mut at, mut turned) = (c.a[0], 0);
    for _ in 0..MOST {
        if at == 0 {
            break;
        }
        let next = cx.r64(at)?;
        cx.w64(at, turned)?;
        turned = at;
        at = next;
    }
    Ok(turned)
}
