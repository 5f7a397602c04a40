//! The kernel's own symbols: `Module.symvers` and `System.map`.

use super::resolve::Tree;
use crate::bytes;

/// Names that no file lists: the loader supplies them.
fn add_fakes(tree: &mut Tree) {
    tree.add_kernel_symbol(b"__this_module", 0);
    // s390 has it too; PowerPC64 calls it .TOC., of which the dot is dropped.
    tree.add_kernel_symbol(b"_GLOBAL_OFFSET_TABLE_", 0);
    tree.symbols
        .entry((&b"TOC."[..]).into())
        .or_insert(super::resolve::Symbol {
            owner: None,
            crc: 0,
        });
}

fn strip(name: &[u8], prefix: Option<u8>) -> &[u8] {
    match prefix {
        Some(p) if name.first() == Some(&p) => &name[1..],
        _ => name,
    }
}

/// Enters the `vmlinux` lines of a `Module.symvers`:
/// `0xb352177e\tfind_first_bit\tvmlinux\tEXPORT_SYMBOL`. Returns complaints.
pub fn add_symvers(tree: &mut Tree, path: &[u8], text: &[u8], prefix: Option<u8>) -> Vec<Vec<u8>> {
    let mut errors = Vec::new();
    for (number, line) in text.split(|&c| c == b'\n').enumerate() {
        let mut words = line
            .split(|&c| c == b' ' || c == b'\t')
            .filter(|w| !w.is_empty());
        let (Some(crc), Some(name), Some(b"vmlinux")) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let digits = crc
            .strip_prefix(b"0x")
            .or(crc.strip_prefix(b"0X"))
            .unwrap_or(crc);
        let value = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| u64::from_str_radix(d, 16).ok());
        match value {
            Some(value) => tree.add_kernel_symbol(strip(name, prefix), value),
            None => {
                let at = (number + 1).to_string();
                errors.push(bytes!(path, ":", at, " Invalid symbol version ", crc));
            }
        }
    }
    add_fakes(tree);
    errors
}

/// Enters the `__ksymtab_` names of a `System.map`:
/// `c0294200 R __ksymtab_devfs_alloc_devnum`. Returns complaints.
pub fn add_system_map(
    tree: &mut Tree,
    path: &[u8],
    text: &[u8],
    prefix: Option<u8>,
) -> Vec<Vec<u8>> {
    let mut errors = Vec::new();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (number, line) in text.split(|&c| c == b'\n').enumerate() {
        let Some(name) = line.splitn(3, |&c| c == b' ').nth(2) else {
            if !text.is_empty() {
                let at = (number + 1).to_string();
                errors.push(bytes!(path, ":", at, ": invalid line: ", line));
            }
            continue;
        };
        if let Some(name) = strip(name, prefix).strip_prefix(b"__ksymtab_") {
            tree.add_kernel_symbol(name, 0);
        }
    }
    add_fakes(tree);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files() {
        let mut t = Tree::default();
        let text =
            b"0x0000000a\tone\tvmlinux\tEXPORT_SYMBOL\n0x1\ttwo\tdrivers/x\tE\nzz\tx\tvmlinux\n";
        let errors = add_symvers(&mut t, b"S", text, None);
        assert_eq!(errors, [b"S:3 Invalid symbol version zz".to_vec()]);
        assert_eq!(t.symbols[&b"one"[..]].crc, 10);
        assert!(!t.symbols.contains_key(&b"two"[..]));
        assert!(t.symbols.contains_key(&b"__this_module"[..]));

        let mut t = Tree::default();
        let errors = add_system_map(&mut t, b"M", b"c0 R __ksymtab_a\nc1 T b\nbad\n", None);
        assert_eq!(errors, [b"M:3: invalid line: bad".to_vec()]);
        assert!(t.symbols.contains_key(&b"a"[..]) && !t.symbols.contains_key(&b"b"[..]));
    }
}
