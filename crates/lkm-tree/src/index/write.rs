//! Writes an index as the newest kmod does: nodes in pre-order.

use super::{CHILD_MAX, CHILDS, MAGIC, OFFSET, PREFIX, VALUES, VERSION_MAJOR, VERSION_MINOR};

/// A key or value that an index cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("bad character 0x{0:x} - only 7-bit ASCII is supported")]
    NotAscii(u8),
    #[error("the index would be larger than 256 MiB")]
    TooLarge,
}

/// Collects entries, and writes them.
#[derive(Default)]
pub struct IndexBuilder {
    /// Keys and values, end to end.
    text: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: usize,
    value: usize,
    end: usize,
    priority: u32,
}

struct Node {
    /// Range of `entries`.
    from: usize,
    /// Entries of the range that end at this node.
    values: usize,
    /// Where in its keys the node's prefix begins and ends.
    prefix: (usize, usize),
    first: u8,
    last: u8,
    /// Nodes of this node and all below it, in pre-order.
    nodes: usize,
    size: u32,
    offset: u32,
}

impl IndexBuilder {
    pub fn new() -> IndexBuilder {
        IndexBuilder::default()
    }

    /// Adds an entry. Of several values of one key, the lower priority comes
    /// first, and of equal ones the one added last.
    pub fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) -> Result<(), KeyError> {
        let bad = |s: &[u8]| s.iter().copied().find(|&c| c >= CHILD_MAX || c == 0);
        if let Some(c) = bad(key).or_else(|| bad(value)) {
            return Err(KeyError::NotAscii(c));
        }
        let start = self.text.len();
        self.text.extend_from_slice(key);
        self.text.extend_from_slice(value);
        let end = self.text.len();
        self.entries.push(Entry {
            key: start,
            value: start + key.len(),
            end,
            priority,
        });
        Ok(())
    }

    fn key(&self, e: usize) -> &[u8] {
        &self.text[self.entries[e].key..self.entries[e].value]
    }

    /// The file's bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, KeyError> {
        // Insertion order breaks ties, so that the sort need not be stable.
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        {
            let (text, entries) = (&self.text, &self.entries);
            let key = |i: u32| {
                let e = &entries[i as usize];
                (&text[e.key..e.value], e.priority, u32::MAX - i)
            };
            order.sort_unstable_by(|&a, &b| key(a).cmp(&key(b)));
        }
        self.entries = order.iter().map(|&i| self.entries[i as usize]).collect();

        let mut nodes = Vec::new();
        self.build(&mut nodes)?;
        let mut offset = 12u32;
        for n in &mut nodes {
            n.offset = offset;
            offset = offset
                .checked_add(n.size)
                .filter(|&o| o <= OFFSET)
                .ok_or(KeyError::TooLarge)?;
        }
        let mut out = Vec::with_capacity(offset as usize);
        put(&mut out, MAGIC);
        put(&mut out, VERSION_MAJOR << 16 | VERSION_MINOR);
        put(&mut out, nodes[0].offset | nodes[0].mask());
        for at in 0..nodes.len() {
            self.write_node(&nodes, at, &mut out);
        }
        debug_assert_eq!(out.len(), offset as usize);
        Ok(out)
    }

    /// Makes the nodes, in pre-order. Not recursive: keys may be thousands of
    /// characters long and share all but the last.
    fn build(&self, nodes: &mut Vec<Node>) -> Result<(), KeyError> {
        // Ranges still to be made, the next one on top: from, to, depth in the
        // key, whether the prefix stays empty (only the root's).
        let mut todo = vec![(0, self.entries.len(), 0, true)];
        // Nodes whose subtree may not be complete, with the `todo` length below
        // which it is.
        let mut open: Vec<(usize, usize)> = Vec::new();
        while let Some((from, to, depth, root)) = todo.pop() {
            while let Some(&(n, level)) = open.last() {
                if todo.len() >= level {
                    break;
                }
                nodes[n].nodes = nodes.len() - n;
                open.pop();
            }
            let mut end = depth;
            if !root {
                // The range is sorted: what its ends share, all share.
                let (a, b) = (self.key(from), self.key(to - 1));
                while end < a.len() && end < b.len() && a[end] == b[end] {
                    end += 1;
                }
            }
            let mut at = from;
            while at < to && self.key(at).len() == end {
                at += 1;
            }
            let values = at - from;
            let mut size = 0usize;
            if end > depth {
                size += end - depth + 1;
            }
            if values > 0 {
                size += 4;
                for e in &self.entries[from..at] {
                    size += 4 + (e.end - e.value) + 1;
                }
            }
            let (mut first, mut last) = (CHILD_MAX, 0);
            let level = todo.len();
            if at < to {
                first = self.key(at)[end];
                last = self.key(to - 1)[end];
                size += 2 + 4 * (usize::from(last - first) + 1);
                while at < to {
                    let c = self.key(at)[end];
                    let len = self.entries[at..to]
                        .partition_point(|e| self.text[e.key..e.value][end] <= c);
                    todo.push((at, at + len, end + 1, false));
                    at += len;
                }
                todo[level..].reverse();
            }
            open.push((nodes.len(), level));
            nodes.push(Node {
                from,
                values,
                prefix: (depth, end),
                first,
                last,
                nodes: 1,
                size: u32::try_from(size).map_err(|_| KeyError::TooLarge)?,
                offset: 0,
            });
        }
        for (n, _) in open {
            nodes[n].nodes = nodes.len() - n;
        }
        Ok(())
    }

    fn write_node(&self, nodes: &[Node], at: usize, out: &mut Vec<u8>) {
        let n = &nodes[at];
        if n.prefix.1 > n.prefix.0 {
            out.extend_from_slice(&self.key(n.from)[n.prefix.0..n.prefix.1]);
            out.push(0);
        }
        if n.first < CHILD_MAX {
            out.push(n.first);
            out.push(n.last);
            let table = out.len();
            out.resize(table + 4 * (usize::from(n.last - n.first) + 1), 0);
            let mut child = at + 1;
            while child < at + n.nodes {
                let c = &nodes[child];
                let letter = self.key(c.from)[n.prefix.1];
                let slot = table + 4 * usize::from(letter - n.first);
                out[slot..slot + 4].copy_from_slice(&(c.offset | c.mask()).to_be_bytes());
                child += c.nodes;
            }
        }
        if n.values > 0 {
            put(out, n.values as u32);
            for e in &self.entries[n.from..n.from + n.values] {
                put(out, e.priority);
                out.extend_from_slice(&self.text[e.value..e.end]);
                out.push(0);
            }
        }
    }
}

impl Node {
    fn mask(&self) -> u32 {
        let mut m = 0;
        if self.first < CHILD_MAX {
            m |= CHILDS;
        }
        if self.prefix.1 > self.prefix.0 {
            m |= PREFIX;
        }
        if self.values > 0 {
            m |= VALUES;
        }
        m
    }
}

fn put(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_be_bytes());
}
