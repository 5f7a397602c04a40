//! Red-black trees in guest memory (lib/rbtree.c), plain and augmented, and interval trees (lib/interval_tree.c).
//!
//! A struct rb_node is three words, the same in all kernels: the parent with the colour in bit 0 (1 is black),
//! the right child, the left child. A struct rb_root is the pointer to the topmost node; rb_root_cached has
//! the leftmost behind it.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("rb_insert_color", rb_insert_color),
    behaves("rb_erase", rb_erase),
    behaves("__rb_insert_augmented", rb_insert_augmented),
    behaves("__rb_erase_color", rb_erase_color),
    behaves("rb_first", rb_first),
    behaves("rb_last", rb_last),
    behaves("rb_next", rb_next),
    behaves("rb_prev", rb_prev),
    behaves("rb_first_postorder", rb_first_postorder),
    behaves("rb_next_postorder", rb_next_postorder),
    behaves("rb_replace_node", rb_replace_node),
    behaves("rb_replace_node_rcu", rb_replace_node),
    behaves("interval_tree_insert", interval_insert),
    behaves("interval_tree_remove", interval_remove),
    behaves("interval_tree_iter_first", interval_first),
    behaves("interval_tree_iter_next", interval_next),
];

const RIGHT: u64 = 8;
const LEFT: u64 = 16;
const BLACK: u64 = 1;
/// A step down or up a tree that is longer belongs to a damaged one.
const DEPTH: u32 = 4096;

/// struct interval_tree_node: the rb_node, start, last, and the highest last below.
const START: u64 = 24;
const LAST: u64 = 32;
const SUBTREE: u64 = 40;

/// What is kept up to date along the tree.
#[derive(Clone, Copy)]
enum Augment {
    None,
    /// A guest's rotate(old, new).
    Guest(u64),
    Interval,
}

fn other(side: u64) -> u64 {
    if side == LEFT { RIGHT } else { LEFT }
}

fn parent(cx: &Cx, node: u64) -> R {
    Ok(cx.r64(node)? & !3)
}

fn is_black(cx: &Cx, node: u64) -> R<bool> {
    Ok(node == 0 || cx.r64(node)? & 1 == BLACK)
}

fn set_parent(cx: &Cx, node: u64, parent: u64) -> R<()> {
    let colour = cx.r64(node)? & 1;
    Ok(cx.w64(node, parent | colour)?)
}

fn set(cx: &Cx, node: u64, parent: u64, colour: u64) -> R<()> {
    Ok(cx.w64(node, parent | colour)?)
}

/// Makes `new` what `old` was to its parent.
fn change_child(cx: &Cx, root: u64, parent: u64, old: u64, new: u64) -> R<()> {
    if parent == 0 {
        return Ok(cx.w64(root, new)?);
    }
    let side = if cx.r64(parent + LEFT)? == old {
        LEFT
    } else {
        RIGHT
    };
    Ok(cx.w64(parent + side, new)?)
}

fn highest(cx: &Cx, node: u64) -> R {
    let mut most = cx.r64(node + LAST)?;
    for side in [LEFT, RIGHT] {
        let child = cx.r64(node + side)?;
        if child != 0 {
            most = most.max(cx.r64(child + SUBTREE)?);
        }
    }
    Ok(most)
}

fn rotated(cx: &mut Cx, how: Augment, old: u64, new: u64) -> R<()> {
    match how {
        Augment::None => {}
        Augment::Guest(fun) => {
            cx.call_guest(fun, &[old, new]);
        }
        Augment::Interval => {
            let value = cx.r64(old + SUBTREE)?;
            cx.w64(new + SUBTREE, value)?;
            let value = highest(cx, old)?;
            cx.w64(old + SUBTREE, value)?;
        }
    }
    Ok(())
}

/// Puts the child on `side` of `node` in its place; `node` becomes that child's child. Colours are the caller's.
fn rotate(cx: &Cx, root: u64, node: u64, side: u64) -> R {
    let child = cx.r64(node + side)?;
    let inner = cx.r64(child + other(side))?;
    cx.w64(node + side, inner)?;
    if inner != 0 {
        set_parent(cx, inner, node)?;
    }
    let above = parent(cx, node)?;
    cx.w64(child + other(side), node)?;
    set_parent(cx, child, above)?;
    set_parent(cx, node, child)?;
    change_child(cx, root, above, node, child)?;
    Ok(child)
}

fn paint(cx: &Cx, node: u64, colour: u64) -> R<()> {
    let word = cx.r64(node)?;
    Ok(cx.w64(node, word & !1 | colour)?)
}

fn insert_fixup(cx: &mut Cx, node: u64, root: u64, how: Augment) -> R<()> {
    let mut node = node;
    // A new node's word is its parent alone: it is red.
    for _ in 0..DEPTH {
        let up = parent(cx, node)?;
        if up == 0 {
            return set(cx, node, 0, BLACK);
        }
        if is_black(cx, up)? {
            return Ok(());
        }
        let top = parent(cx, up)?;
        let side = if cx.r64(top + RIGHT)? == up {
            RIGHT
        } else {
            LEFT
        };
        let uncle = cx.r64(top + other(side))?;
        if !is_black(cx, uncle)? {
            paint(cx, uncle, BLACK)?;
            paint(cx, up, BLACK)?;
            paint(cx, top, 0)?;
            node = top;
            continue;
        }
        let mut middle = up;
        if cx.r64(up + other(side))? == node {
            rotate(cx, root, up, other(side))?;
            rotated(cx, how, up, node)?;
            middle = node;
        }
        rotate(cx, root, top, side)?;
        paint(cx, middle, BLACK)?;
        paint(cx, top, 0)?;
        return rotated(cx, how, top, middle);
    }
    Ok(())
}

/// The tree below `up` lost a black node on the side where its child is empty (or black and short).
fn erase_fixup(cx: &mut Cx, up: u64, root: u64, how: Augment) -> R<()> {
    let (mut up, mut node) = (up, 0u64);
    for _ in 0..DEPTH {
        let side = if cx.r64(up + LEFT)? == node {
            LEFT
        } else {
            RIGHT
        };
        let mut sibling = cx.r64(up + other(side))?;
        if !is_black(cx, sibling)? {
            rotate(cx, root, up, other(side))?;
            paint(cx, sibling, BLACK)?;
            paint(cx, up, 0)?;
            rotated(cx, how, up, sibling)?;
            sibling = cx.r64(up + other(side))?;
        }
        let far = cx.r64(sibling + other(side))?;
        if is_black(cx, far)? {
            let near = cx.r64(sibling + side)?;
            if is_black(cx, near)? {
                paint(cx, sibling, 0)?;
                if !is_black(cx, up)? {
                    return paint(cx, up, BLACK);
                }
                node = up;
                up = parent(cx, node)?;
                if up == 0 {
                    return Ok(());
                }
                continue;
            }
            rotate(cx, root, sibling, side)?;
            rotated(cx, how, sibling, near)?;
            sibling = near;
        }
        let colour = cx.r64(up)? & 1;
        rotate(cx, root, up, other(side))?;
        let far = cx.r64(sibling + other(side))?;
        paint(cx, sibling, colour)?;
        paint(cx, up, BLACK)?;
        if far != 0 {
            paint(cx, far, BLACK)?;
        }
        return rotated(cx, how, up, sibling);
    }
    Ok(())
}

/// Brings the interval ends up to date from `node` to the top.
fn propagate(cx: &Cx, node: u64) -> R<()> {
    let mut at = node;
    for _ in 0..DEPTH {
        if at == 0 {
            break;
        }
        let most = highest(cx, at)?;
        if cx.r64(at + SUBTREE)? == most {
            break;
        }
        cx.w64(at + SUBTREE, most)?;
        at = parent(cx, at)?;
    }
    Ok(())
}

fn erase(cx: &mut Cx, node: u64, root: u64, how: Augment) -> R<()> {
    let (left, right) = (cx.r64(node + LEFT)?, cx.r64(node + RIGHT)?);
    let word = cx.r64(node)?;
    let up = word & !3;
    let interval = matches!(how, Augment::Interval);
    if left == 0 || right == 0 {
        let child = left | right;
        change_child(cx, root, up, node, child)?;
        if child != 0 {
            cx.w64(child, word)?;
        }
        if interval {
            propagate(cx, up)?;
        }
        if child == 0 && word & 1 == BLACK && up != 0 {
            erase_fixup(cx, up, root, how)?;
        }
        return Ok(());
    }
    // The next node in order takes this one's place.
    let mut next = right;
    for _ in 0..DEPTH {
        match cx.r64(next + LEFT)? {
            0 => break,
            lower => next = lower,
        }
    }
    let orphan = cx.r64(next + RIGHT)?;
    let next_word = cx.r64(next)?;
    let hole = if next == right {
        next
    } else {
        let above = next_word & !3;
        cx.w64(above + LEFT, orphan)?;
        cx.w64(next + RIGHT, right)?;
        set_parent(cx, right, next)?;
        above
    };
    cx.w64(next + LEFT, left)?;
    set_parent(cx, left, next)?;
    change_child(cx, root, up, node, next)?;
    cx.w64(next, word)?;
    if orphan != 0 {
        set(cx, orphan, hole, BLACK)?;
    }
    if interval {
        let value = cx.r64(node + SUBTREE)?;
        cx.w64(next + SUBTREE, value)?;
        propagate(cx, hole)?;
        propagate(cx, next)?;
    }
    if orphan == 0 && next_word & 1 == BLACK {
        erase_fixup(cx, hole, root, how)?;
    }
    Ok(())
}

fn rb_insert_color(cx: &mut Cx, c: &Call) -> R {
    insert_fixup(cx, c.a[0], c.a[1], Augment::None)?;
    Ok(0)
}

fn rb_insert_augmented(cx: &mut Cx, c: &Call) -> R {
    insert_fixup(cx, c.a[0], c.a[1], Augment::Guest(c.a[2]))?;
    Ok(0)
}

fn rb_erase(cx: &mut Cx, c: &Call) -> R {
    erase(cx, c.a[0], c.a[1], Augment::None)?;
    Ok(0)
}

fn rb_erase_color(cx: &mut Cx, c: &Call) -> R {
    erase_fixup(cx, c.a[0], c.a[1], Augment::Guest(c.a[2]))?;
    Ok(0)
}

/// The end of a tree on one side.
fn outermost(cx: &Cx, node: u64, side: u64) -> R {
    let mut at = node;
    for _ in 0..DEPTH {
        match cx.r64(at + side)? {
            0 => break,
            next => at = next,
        }
    }
    Ok(at)
}

fn rb_first(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[0])? {
        0 => Ok(0),
        top => outermost(cx, top, LEFT),
    }
}

fn rb_last(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[0])? {
        0 => Ok(0),
        top => outermost(cx, top, RIGHT),
    }
}

fn neighbour(cx: &Cx, node: u64, side: u64) -> R {
    // RB_EMPTY_NODE: its own parent.
    if cx.r64(node)? == node {
        return Ok(0);
    }
    let child = cx.r64(node + side)?;
    if child != 0 {
        return outermost(cx, child, other(side));
    }
    let mut at = node;
    for _ in 0..DEPTH {
        let up = parent(cx, at)?;
        if up == 0 || cx.r64(up + side)? != at {
            return Ok(up);
        }
        at = up;
    }
    Ok(0)
}

fn rb_next(cx: &mut Cx, c: &Call) -> R {
    neighbour(cx, c.a[0], RIGHT)
}

fn rb_prev(cx: &mut Cx, c: &Call) -> R {
    neighbour(cx, c.a[0], LEFT)
}

/// The deepest node on the left: where a walk of children before parents begins.
fn deepest(cx: &Cx, node: u64) -> R {
    let mut at = node;
    for _ in 0..DEPTH {
        let left = cx.r64(at + LEFT)?;
        let next = if left != 0 { left } else { cx.r64(at + RIGHT)? };
        if next == 0 {
            break;
        }
        at = next;
    }
    Ok(at)
}

fn rb_first_postorder(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[0])? {
        0 => Ok(0),
        top => deepest(cx, top),
    }
}

fn rb_next_postorder(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    let up = parent(cx, c.a[0])?;
    if up != 0 && cx.r64(up + LEFT)? == c.a[0] {
        let right = cx.r64(up + RIGHT)?;
        if right != 0 {
            return deepest(cx, right);
        }
    }
    Ok(up)
}

/// rb_replace_node(victim, new, root).
fn rb_replace_node(cx: &mut Cx, c: &Call) -> R {
    let [victim, new, root, ..] = c.a;
    cx.copy(new, victim, 24)?;
    for side in [LEFT, RIGHT] {
        let child = cx.r64(victim + side)?;
        if child != 0 {
            set_parent(cx, child, new)?;
        }
    }
    let up = parent(cx, victim)?;
    change_child(cx, root, up, victim, new)?;
    Ok(0)
}

fn interval_insert(cx: &mut Cx, c: &Call) -> R {
    let [node, root, ..] = c.a;
    let (start, last) = (cx.r64(node + START)?, cx.r64(node + LAST)?);
    let (mut link, mut up, mut leftmost) = (root, 0, true);
    for _ in 0..DEPTH {
        let at = cx.r64(link)?;
        if at == 0 {
            break;
        }
        up = at;
        if cx.r64(at + SUBTREE)? < last {
            cx.w64(at + SUBTREE, last)?;
        }
        if start < cx.r64(at + START)? {
            link = at + LEFT;
        } else {
            link = at + RIGHT;
            leftmost = false;
        }
    }
    cx.w64(node + SUBTREE, last)?;
    cx.w64(node, up)?;
    cx.w64(node + LEFT, 0)?;
    cx.w64(node + RIGHT, 0)?;
    cx.w64(link, node)?;
    if leftmost {
        cx.w64(root + 8, node)?;
    }
    insert_fixup(cx, node, root, Augment::Interval)?;
    Ok(0)
}

fn interval_remove(cx: &mut Cx, c: &Call) -> R {
    let [node, root, ..] = c.a;
    if cx.r64(root + 8)? == node {
        let next = neighbour(cx, node, RIGHT)?;
        cx.w64(root + 8, next)?;
    }
    erase(cx, node, root, Augment::Interval)?;
    Ok(0)
}

/// The leftmost node at or below `node` that meets start..=last; `node`'s subtree reaches `start`.
fn subtree_search(cx: &Cx, node: u64, start: u64, last: u64) -> R {
    let mut at = node;
    for _ in 0..DEPTH {
        let left = cx.r64(at + LEFT)?;
        if left != 0 && start <= cx.r64(left + SUBTREE)? {
            at = left;
            continue;
        }
        if cx.r64(at + START)? > last {
            return Ok(0);
        }
        if start <= cx.r64(at + LAST)? {
            return Ok(at);
        }
        let right = cx.r64(at + RIGHT)?;
        if right == 0 || start > cx.r64(right + SUBTREE)? {
            return Ok(0);
        }
        at = right;
    }
    Ok(0)
}

fn interval_first(cx: &mut Cx, c: &Call) -> R {
    let [root, start, last, ..] = c.a;
    let top = cx.r64(root)?;
    if top == 0 || cx.r64(top + SUBTREE)? < start {
        return Ok(0);
    }
    let leftmost = cx.r64(root + 8)?;
    if cx.r64(leftmost + START)? > last {
        return Ok(0);
    }
    subtree_search(cx, top, start, last)
}

fn interval_next(cx: &mut Cx, c: &Call) -> R {
    let [node, start, last, ..] = c.a;
    let mut at = node;
    for _ in 0..DEPTH {
        let right = cx.r64(at + RIGHT)?;
        if right != 0 && start <= cx.r64(right + SUBTREE)? {
            return subtree_search(cx, right, start, last);
        }
        // Up, until we come from the left.
        loop {
            let up = parent(cx, at)?;
            if up == 0 {
                return Ok(0);
            }
            let from_right = cx.r64(up + RIGHT)? == at;
            at = up;
            if !from_right {
                break;
            }
        }
        if last < cx.r64(at + START)? {
            return Ok(0);
        }
        if start <= cx.r64(at + LAST)? {
            return Ok(at);
        }
    }
    Ok(0)
}
