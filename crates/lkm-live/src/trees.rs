//! The kernel's trees, walked from outside: radix trees (xarrays), maple trees, red-black trees.

use crate::walk::{Kernel, Trouble, is_kernel_pointer};

/// Nodes of a tree that are looked at before it is held to be damaged.
const MAX_NODES: usize = 100_000;

/// What an xarray or radix tree holds. `head` is the address of its `xa_head`.
///
/// Entries whose two lowest bits are 10 are inner nodes (include/linux/xarray.h).
///
/// # Errors
/// When a node cannot be read.
pub fn xarray(kernel: &Kernel<'_>, head: u64) -> Result<Vec<u64>, Trouble> {
    let slots_at = kernel.types.offset("xa_node", "slots")?;
    let slots = kernel.types.elements("xa_node", "slots")?.min(256);
    let mut open = vec![kernel.memory.u64(head)?];
    let mut found = Vec::new();
    let mut nodes = 0;
    while let Some(entry) = open.pop() {
        match entry & 3 {
            0 if is_kernel_pointer(entry) => found.push(entry),
            2 if is_kernel_pointer(entry) => {
                nodes += 1;
                if nodes > MAX_NODES {
                    return Err(Trouble::Endless("xa_node".into()));
                }
                open.extend(words(kernel, entry - 2 + slots_at, slots)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What a maple tree holds. `root` is the address of its `ma_root`.
///
/// A pointer to a node carries the node's type in bits 3 to 6 and, at the root, says in bit
/// 1 that it is a node (include/linux/maple_tree.h). Entries of leaves are what is stored.
///
/// # Errors
/// When a node cannot be read.
pub fn maple(kernel: &Kernel<'_>, root: u64) -> Result<Vec<u64>, Trouble> {
    let root = kernel.memory.u64(root)?;
    if root & 3 != 2 || root < 4096 {
        return Ok(if is_kernel_pointer(root) && root & 3 == 0 {
            vec![root]
        } else {
            Vec::new()
        });
    }
    let mut open = vec![root];
    let mut found = Vec::new();
    let mut nodes = 0;
    while let Some(entry) = open.pop() {
        nodes += 1;
        if nodes > MAX_NODES {
            return Err(Trouble::Endless("maple_node".into()));
        }
        // enum maple_type: dense, leaf_64, range_64, arange_64.
        let (node, kind) = (entry & !0xff, entry >> 3 & 15);
        let (member, count) = match kind {
            1 | 2 => (
                "mr64.slot",
                kernel.types.elements("maple_node", "mr64.slot")?,
            ),
            3 => (
                "ma64.slot",
                kernel.types.elements("maple_node", "ma64.slot")?,
            ),
            _ => ("slot", kernel.types.elements("maple_node", "slot")?),
        };
        let at = kernel.at(node, "maple_node", member)?;
        let slots = words(kernel, at, count.min(64))?;
        if kind <= 1 {
            found.extend(
                slots
                    .iter()
                    .filter(|s| is_kernel_pointer(**s) && **s & 3 == 0),
            );
        } else {
            // The last slot of a range node may hold its metadata instead of a child.
            let children = slots
                .iter()
                .filter(|s| is_kernel_pointer(**s) && **s >> 3 & 15 <= 3);
            open.extend(children.filter(|s| **s & 0x80 == 0 && **s & 4 == 4));
        }
    }
    Ok(found)
}

/// The nodes of a red-black tree. `root` is the address of its `rb_node`.
///
/// # Errors
/// When a node cannot be read.
pub fn red_black(kernel: &Kernel<'_>, root: u64) -> Result<Vec<u64>, Trouble> {
    let left = kernel.types.offset("rb_node", "rb_left")?;
    let right = kernel.types.offset("rb_node", "rb_right")?;
    let mut open = vec![kernel.memory.u64(root)?];
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        if node == 0 {
            continue;
        }
        if found.len() > MAX_NODES {
            return Err(Trouble::Endless("rb_node".into()));
        }
        found.push(node);
        open.push(kernel.memory.u64(node + left)?);
        open.push(kernel.memory.u64(node + right)?);
    }
    Ok(found)
}

/// Consecutive words.
pub fn words(kernel: &Kernel<'_>, at: u64, count: u64) -> Result<Vec<u64>, Trouble> {
    let mut bytes = vec![0; usize::try_from(count.min(1 << 16)).unwrap_or(0) * 8];
    kernel.memory.read(at, &mut bytes)?;
    Ok(bytes
        .chunks_exact(8)
        .map(|b| b.try_into().map_or(0, u64::from_ne_bytes))
        .collect())
}
