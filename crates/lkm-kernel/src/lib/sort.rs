//! Sorting and searching (lib/sort.c, lib/list_sort.c, lib/bsearch.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::util;

pub(crate) const ROWS: &[Row] = &[
    behaves("sort", sort),
    behaves("sort_r", sort_r),
    behaves("list_sort", list_sort),
    behaves("bsearch", bsearch),
];

/// What sort() and sort_r() were asked for.
struct Job {
    base: u64,
    size: u64,
    cmp: u64,
    swap: u64,
    private: Option<u64>,
}

impl Job {
    fn after(&self, cx: &mut Cx, a: u64, b: u64) -> bool {
        let (a, b) = (self.base + a * self.size, self.base + b * self.size);
        let order = match self.private {
            Some(private) => cx.call_guest(self.cmp, &[a, b, private]),
            None => cx.call_guest(self.cmp, &[a, b]),
        };
        order as i32 > 0
    }

    fn swap(&self, cx: &mut Cx, a: u64, b: u64) -> R<()> {
        let (a, b) = (self.base + a * self.size, self.base + b * self.size);
        // Small values stand for the kernel's own swaps (SWAP_WORDS_64 and so on).
        if self.swap > 4096 {
            match self.private {
                Some(private) => cx.call_guest(self.swap, &[a, b, self.size, private]),
                None => cx.call_guest(self.swap, &[a, b, self.size]),
            };
            return Ok(());
        }
        let (first, second) = (cx.bytes(a, self.size)?, cx.bytes(b, self.size)?);
        cx.write(a, &second)?;
        Ok(cx.write(b, &first)?)
    }

    /// Heap sort in place.
    fn run(&self, cx: &mut Cx, count: u64) -> R<()> {
        for start in (0..count / 2).rev() {
            self.sift(cx, start, count)?;
        }
        for end in (1..count).rev() {
            self.swap(cx, 0, end)?;
            self.sift(cx, 0, end)?;
        }
        Ok(())
    }

    fn sift(&self, cx: &mut Cx, start: u64, end: u64) -> R<()> {
        let mut root = start;
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return Ok(());
            }
            if child + 1 < end && self.after(cx, child + 1, child) {
                child += 1;
            }
            if !self.after(cx, child, root) {
                return Ok(());
            }
            self.swap(cx, root, child)?;
            root = child;
        }
    }
}

fn checked(cx: &mut Cx, c: &Call, private: Option<u64>) -> R {
    let [base, count, size, cmp, swap, _] = c.a;
    if count < 2 || size == 0 {
        return Ok(0);
    }
    // A wild count faults at once instead of after a long while.
    cx.r8(base.wrapping_add(count.wrapping_mul(size)).wrapping_sub(1))?;
    Job {
        base,
        size,
        cmp,
        swap,
        private,
    }
    .run(cx, count)?;
    Ok(0)
}

fn sort(cx: &mut Cx, c: &Call) -> R {
    checked(cx, c, None)
}

fn sort_r(cx: &mut Cx, c: &Call) -> R {
    checked(cx, c, Some(c.a[5]))
}

/// Merges two sorted lists of entries; equal entries keep their order.
fn merge(cx: &mut Cx, c: &Call, a: Vec<u64>, b: Vec<u64>) -> Vec<u64> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(&first), Some(&second)) = (a.peek(), b.peek()) {
        if cx.call_guest(c.a[2], &[c.a[0], first, second]) as i32 <= 0 {
            out.push(first);
            a.next();
        } else {
            out.push(second);
            b.next();
        }
    }
    out.extend(a);
    out.extend(b);
    out
}

fn merge_sort(cx: &mut Cx, c: &Call, mut entries: Vec<u64>) -> Vec<u64> {
    if entries.len() < 2 {
        return entries;
    }
    let right = entries.split_off(entries.len() / 2);
    let (left, right) = (merge_sort(cx, c, entries), merge_sort(cx, c, right));
    merge(cx, c, left, right)
}

fn list_sort(cx: &mut Cx, c: &Call) -> R {
    let head = c.a[1];
    let entries = util::list_entries(cx, head)?;
    if entries.len() < 2 {
        return Ok(0);
    }
    let sorted = merge_sort(cx, c, entries);
    let mut last = head;
    for entry in sorted {
        cx.w64(last, entry)?;
        cx.w64(entry + 8, last)?;
        last = entry;
    }
    cx.w64(last, head)?;
    cx.w64(head + 8, last)?;
    Ok(0)
}

fn bsearch(cx: &mut Cx, c: &Call) -> R {
    let [key, mut base, mut count, size, cmp, _] = c.a;
    while count > 0 {
        let middle = base + (count >> 1) * size;
        let order = cx.call_guest(cmp, &[key, middle]) as i32;
        if order == 0 {
            return Ok(middle);
        }
        if order > 0 {
            base = middle + size;
            count -= 1;
        }
        count >>= 1;
    }
    Ok(0)
}
