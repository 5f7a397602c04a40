//! The kernel's memory, read through /proc/kcore.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// An address that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub u64);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no memory at {:#x}", self.0)
    }
}

/// Kernel memory by virtual address. Values are the machine's own: 64 bits, native order.
pub trait Memory {
    /// Fills the buffer from this address on.
    ///
    /// # Errors
    /// When any byte of it is not there.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable>;

    /// A byte.
    fn u8(&self, address: u64) -> Result<u8, Unreadable> {
        let mut buffer = [0; 1];
        self.read(address, &mut buffer).map(|()| buffer[0])
    }

    /// A 16-bit word.
    fn u16(&self, address: u64) -> Result<u16, Unreadable> {
        let mut buffer = [0; 2];
        self.read(address, &mut buffer)
            .map(|()| u16::from_ne_bytes(buffer))
    }

    /// A 32-bit word.
    fn u32(&self, address: u64) -> Result<u32, Unreadable> {
        let mut buffer = [0; 4];
        self.read(address, &mut buffer)
            .map(|()| u32::from_ne_bytes(buffer))
    }

    /// A 64-bit word or a pointer.
    fn u64(&self, address: u64) -> Result<u64, Unreadable> {
        let mut buffer = [0; 8];
        self.read(address, &mut buffer)
            .map(|()| u64::from_ne_bytes(buffer))
    }

    /// A string in a field of `room` bytes, up to its terminator.
    fn text(&self, address: u64, room: usize) -> Result<String, Unreadable> {
        let mut buffer = vec![0; room.min(256)];
        self.read(address, &mut buffer)?;
        let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
        Ok(String::from_utf8_lossy(&buffer[..end]).into_owned())
    }
}

/// /proc/kcore, open.
pub struct Kcore {
    file: File,
    /// Virtual start, length, and offset in the file.
    segments: Vec<(u64, u64, u64)>,
}

/// A core file of this many segments is not one of a running kernel.
const MAX_SEGMENTS: u16 = 4096;

impl Kcore {
    /// Opens /proc/kcore and reads its table of segments.
    ///
    /// # Errors
    /// The kernel's (EPERM without CAP_SYS_RAWIO or under lockdown), or a file that is
    /// not a 64-bit ELF core.
    pub fn open() -> io::Result<Kcore> {
        let mut file = File::open("/proc/kcore")?;
        let mut header = [0; 64];
        file.read_exact(&mut header)?;
        if header[..5] != *b"\x7fELF\x02" {
            return Err(io::Error::other("/proc/kcore is not a 64-bit ELF file"));
        }
        let word = |bytes: &[u8], at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|b| b.try_into().ok())
                .map_or(0, u64::from_ne_bytes)
        };
        let table = word(&header, 32);
        let count = u16::from_ne_bytes([header[56], header[57]]).min(MAX_SEGMENTS);
        let mut entries = vec![0; usize::from(count) * 56];
        file.read_exact_at(&mut entries, table)?;
        let segments = entries
            .chunks_exact(56)
            .filter(|entry| entry[..4] == 1u32.to_ne_bytes())
            .map(|entry| (word(entry, 16), word(entry, 40), word(entry, 8)))
            .collect();
        Ok(Kcore { file, segments })
    }
}

impl Memory for Kcore {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let error = Unreadable(address);
        let length = buffer.len() as u64;
        let (start, _, offset) = self
            .segments
            .iter()
            .find(|(start, size, _)| {
                address >= *start && address - start <= size.saturating_sub(length)
            })
            .ok_or(error)?;
        self.file
            .read_exact_at(buffer, offset + (address - start))
            .map_err(|_| error)
    }
}

/// A made-up memory for tests.
#[cfg(test)]
pub mod fake {
    use super::{Memory, Unreadable};
    use std::collections::BTreeMap;

    /// Bytes by address; what was never written is not there.
    #[derive(Default)]
    pub struct Fake(pub BTreeMap<u64, u8>);

    impl Fake {
        /// Writes bytes.
        pub fn put(&mut self, address: u64, bytes: &[u8]) {
            for (n, byte) in bytes.iter().enumerate() {
                self.0.insert(address + n as u64, *byte);
            }
        }

        /// Writes a word.
        pub fn word(&mut self, address: u64, value: u64) {
            self.put(address, &value.to_ne_bytes());
        }
    }

    impl Memory for Fake {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            for (n, byte) in buffer.iter_mut().enumerate() {
                let at = address.wrapping_add(n as u64);
                *byte = *self.0.get(&at).ok_or(Unreadable(address))?;
            }
            Ok(())
        }
    }
}
