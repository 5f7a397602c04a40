//! kmod's binary index (`modules.*.bin`), version 2.1: a trie of 7-bit keys.
//!
//! ```text
//! file   magic u32, version u32, root offset u32      (all big-endian)
//! node   [prefix NUL]                     when the offset has PREFIX
//!        [first u8, last u8, offset u32 × (last-first+1)]     CHILDS
//!        [count u32, (priority u32, value NUL) × count]       VALUES
//! ```
//! The top four bits of an offset say which parts its node has; an offset of
//! 0 is no node.

mod nodes;
pub mod patch;
mod read;
mod shift;
mod write;

pub use read::{Index, IndexError, Value};
pub use write::{IndexBuilder, KeyError};

const MAGIC: u32 = 0xB007_F457;
const VERSION_MAJOR: u32 = 2;
const VERSION_MINOR: u32 = 1;
/// Keys are 7-bit.
const CHILD_MAX: u8 = 128;

const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDS: u32 = 0x2000_0000;
const OFFSET: u32 = 0x0FFF_FFFF;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_memory::MemoryFile;

    fn open(bytes: Vec<u8>) -> Result<Index, IndexError> {
        Index::open(Box::new(MemoryFile::new(bytes)))
    }

    fn sample() -> Vec<u8> {
        let mut b = IndexBuilder::new();
        b.insert(b"ask", b"one", 3).unwrap();
        b.insert(b"ate", b"two", 1).unwrap();
        b.insert(b"on", b"three", 2).unwrap();
        b.insert(b"once", b"four", 0).unwrap();
        b.insert(b"once", b"five", 0).unwrap();
        b.insert(b"one", b"six", 9).unwrap();
        b.insert(b"usb:v*d[0_9]*", b"seven", 4).unwrap();
        b.insert(b"usb:v1d*", b"eight", 4).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let i = open(sample()).unwrap();
        assert_eq!(i.search(b"ask").unwrap().unwrap(), b"one");
        assert_eq!(i.search(b"once").unwrap().unwrap(), b"five");
        assert_eq!(i.search(b"onc").unwrap(), None);
        assert_eq!(i.search(b"oncee").unwrap(), None);
        let found: Vec<_> = i
            .search_wild(b"usb:v1d9x")
            .unwrap()
            .into_iter()
            .map(|v| v.value)
            .collect();
        assert_eq!(found, [b"eight".to_vec(), b"seven".to_vec()]);
        let mut text = Vec::new();
        i.dump(&mut text, "alias ").unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "alias ask one\nalias ate two\nalias on three\nalias once five\n\
             alias once four\nalias one six\nalias usb:v*d[0_9]* seven\nalias usb:v1d* eight\n"
        );
    }

    #[test]
    fn the_empty_index_is_a_header() {
        let bytes = IndexBuilder::new().finish().unwrap();
        assert_eq!(bytes, [0xb0, 7, 0xf4, 0x57, 0, 2, 0, 1, 0, 0, 0, 12]);
        assert_eq!(open(bytes).unwrap().search(b"x"), Ok(None));
    }

    #[test]
    fn one_node_is_laid_out_as_the_format_says() {
        let mut b = IndexBuilder::new();
        b.insert(b"ab", b"v", 7).unwrap();
        let want = [
            &[0xb0, 7, 0xf4, 0x57, 0, 2, 0, 1, 0x20, 0, 0, 12][..],
            &[b'a', b'a', 0xc0, 0, 0, 18],
            &[b'b', 0, 0, 0, 0, 1, 0, 0, 0, 7, b'v', 0],
        ]
        .concat();
        assert_eq!(b.finish().unwrap(), want);
    }

    #[test]
    fn keys_are_seven_bit() {
        let mut b = IndexBuilder::new();
        assert_eq!(b.insert(b"\xe4", b"", 0), Err(KeyError::NotAscii(0xe4)));
    }

    /// Whatever is in the file, a search ends, soon, without a panic.
    #[test]
    fn damage_ends_in_an_error_or_an_answer() {
        let sound = sample();
        for at in 0..sound.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, sound[at] ^ 1, sound[at] ^ 0x20] {
                let mut bytes = sound.clone();
                bytes[at] = value;
                let Ok(i) = open(bytes) else { continue };
                let _ = i.search(b"once");
                let _ = i.search_wild(b"usb:v1d9x");
                let _ = i.dump(&mut Vec::new(), "");
            }
            if let Ok(i) = open(sound[..at].to_vec()) {
                let _ = i.search(b"once");
                let _ = i.dump(&mut Vec::new(), "");
            }
        }
    }

    #[test]
    fn a_circle_is_noticed() {
        // The root's child is the root.
        let bytes = [
            &[0xb0, 7, 0xf4, 0x57, 0, 2, 0, 1, 0x20, 0, 0, 12][..],
            &[b'*', b'*', 0x20, 0, 0, 12],
        ]
        .concat();
        let i = open(bytes).unwrap();
        assert_eq!(i.search_wild(b"x"), Err(IndexError::Corrupt));
        assert_eq!(i.dump(&mut Vec::new(), ""), Err(IndexError::Corrupt));
    }
}
