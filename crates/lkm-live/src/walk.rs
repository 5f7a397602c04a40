//! The kernel's own structures: memory, symbols and types put together. Every walk is
//! bounded and meant to be done again when the kernel moved under it: nothing is stopped.

use std::fmt;

use crate::memory::{Memory, Unreadable};
use crate::symbols::Symbols;
use crate::types::{Missing, Types};

/// Why a walk could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel's types lack this.
    Type(String),
    /// /proc/kallsyms has no such symbol.
    Symbol(String),
    /// An address that is not there: the structure changed meanwhile.
    Moved(u64),
    /// A list that does not end.
    Endless(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Type(what) => write!(f, "the kernel's types have no {what}"),
            Trouble::Symbol(name) => write!(f, "/proc/kallsyms has no {name}"),
            Trouble::Moved(at) => write!(f, "changed while it was read (at {at:#x})"),
            Trouble::Endless(what) => write!(f, "the list of {what} does not end"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<Unreadable> for Trouble {
    fn from(e: Unreadable) -> Trouble {
        Trouble::Moved(e.0)
    }
}

impl From<Missing> for Trouble {
    fn from(e: Missing) -> Trouble {
        Trouble::Type(e.0)
    }
}

/// No list of the kernel that is walked here is longer than this.
const MAX_LIST: usize = 200_000;

/// A kernel to walk.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    /// Its memory.
    pub memory: &'a dyn Memory,
    /// Its symbols.
    pub symbols: &'a Symbols,
    /// Its types.
    pub types: &'a Types,
}

/// A structure, copied out of the kernel.
pub struct Record<'a> {
    types: &'a Types,
    name: &'static str,
    /// Where it is.
    pub address: u64,
    /// The offset of the first byte that was copied.
    first: u64,
    bytes: Vec<u8>,
}

impl Record<'_> {
    /// `N` bytes of a member.
    fn get<const N: usize>(&self, member: &'static str) -> Result<[u8; N], Trouble> {
        let at = self.place(member)?;
        self.bytes
            .get(at..at.saturating_add(N))
            .and_then(|b| b.try_into().ok())
            .ok_or_else(|| Trouble::Type(format!("{}.{member} inside it", self.name)))
    }

    /// Where a member is in the copy; nowhere when it was not copied.
    fn place(&self, member: &'static str) -> Result<usize, Trouble> {
        let offset = self.types.offset(self.name, member)?;
        let at = offset.checked_sub(self.first);
        Ok(at
            .and_then(|at| usize::try_from(at).ok())
            .unwrap_or(usize::MAX))
    }

    /// A pointer, or another word of 64 bits.
    pub fn ptr(&self, member: &'static str) -> Result<u64, Trouble> {
        self.get(member).map(u64::from_ne_bytes)
    }

    /// An integer of 32 bits.
    pub fn u32(&self, member: &'static str) -> Result<u32, Trouble> {
        self.get(member).map(u32::from_ne_bytes)
    }

    /// An integer of 16 bits.
    pub fn u16(&self, member: &'static str) -> Result<u16, Trouble> {
        self.get(member).map(u16::from_ne_bytes)
    }

    /// An array of characters, up to its terminator.
    pub fn text(&self, member: &'static str, room: usize) -> Result<String, Trouble> {
        let at = self.place(member)?;
        let bytes = self.bytes.get(at..).unwrap_or(&[]);
        let bytes = &bytes[..bytes.len().min(room)];
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// The address of a member.
    pub fn at(&self, member: &'static str) -> Result<u64, Trouble> {
        Ok(self.address + self.types.offset(self.name, member)?)
    }
}

impl<'a> Kernel<'a> {
    /// The same kernel with the types of a module (its split BTF).
    pub fn with(self, types: &'a Types) -> Kernel<'a> {
        Kernel { types, ..self }
    }

    /// The address of a symbol of the kernel or of a loaded module.
    pub fn symbol(&self, name: &str) -> Result<u64, Trouble> {
        self.symbols
            .anywhere(name)
            .ok_or_else(|| Trouble::Symbol(name.to_string()))
    }

    /// Copies a structure.
    pub fn record(&self, name: &'static str, address: u64) -> Result<Record<'a>, Trouble> {
        let size = usize::try_from(self.types.size(name)?).unwrap_or(0);
        // No structure that is looked at is larger than a page or three.
        let mut bytes = vec![0; size.min(1 << 16)];
        self.memory.read(address, &mut bytes)?;
        Ok(Record {
            types: self.types,
            name,
            address,
            first: 0,
            bytes,
        })
    }

    /// Copies the part of a large structure that has these members, each a word at most.
    pub fn part(
        &self,
        name: &'static str,
        address: u64,
        members: &[&'static str],
    ) -> Result<Record<'a>, Trouble> {
        let mut first = u64::MAX;
        let mut last = 0;
        for member in members {
            let offset = self.types.offset(name, member)?;
            (first, last) = (first.min(offset), last.max(offset));
        }
        let first = first.min(last);
        let size = usize::try_from(last - first + 8).unwrap_or(0);
        let mut bytes = vec![0; size.min(1 << 16)];
        self.memory.read(address.wrapping_add(first), &mut bytes)?;
        Ok(Record {
            types: self.types,
            name,
            address,
            first,
            bytes,
        })
    }

    /// The address of a member of a structure.
    pub fn at(
        &self,
        address: u64,
        name: &'static str,
        member: &'static str,
    ) -> Result<u64, Trouble> {
        Ok(address.wrapping_add(self.types.offset(name, member)?))
    }

    /// A pointer in a structure.
    pub fn ptr(
        &self,
        address: u64,
        name: &'static str,
        member: &'static str,
    ) -> Result<u64, Trouble> {
        Ok(self.memory.u64(self.at(address, name, member)?)?)
    }

    /// A 32-bit integer in a structure.
    pub fn u32(
        &self,
        address: u64,
        name: &'static str,
        member: &'static str,
    ) -> Result<u32, Trouble> {
        Ok(self.memory.u32(self.at(address, name, member)?)?)
    }

    /// What hangs on a doubly linked list: the addresses of the structures, by the member
    /// that links them. A list that changes under the walk is walked again.
    pub fn list(
        &self,
        head: u64,
        name: &'static str,
        member: &'static str,
    ) -> Result<Vec<u64>, Trouble> {
        let offset = self.types.offset(name, member)?;
        let mut last = Trouble::Endless(name.to_string());
        for _ in 0..3 {
            match self.links(head, name) {
                Ok(found) => return Ok(found.iter().map(|at| at.wrapping_sub(offset)).collect()),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    fn links(&self, head: u64, name: &str) -> Result<Vec<u64>, Trouble> {
        let mut found = Vec::new();
        let mut at = self.memory.u64(head)?;
        while at != head {
            if found.len() >= MAX_LIST {
                return Err(Trouble::Endless(name.to_string()));
            }
            found.push(at);
            at = self.memory.u64(at)?;
        }
        Ok(found)
    }

    /// What hangs on a chain that ends with a null pointer: `head` is the address of the
    /// pointer to the first structure, `next` the member that points to the following one.
    pub fn chain(
        &self,
        head: u64,
        name: &'static str,
        next: &'static str,
    ) -> Result<Vec<u64>, Trouble> {
        let mut found = Vec::new();
        let mut at = self.memory.u64(head)?;
        while at != 0 {
            if found.len() >= MAX_LIST {
                return Err(Trouble::Endless(name.to_string()));
            }
            found.push(at);
            at = self.ptr(at, name, next)?;
        }
        Ok(found)
    }

    /// A string that a pointer points to.
    pub fn string(&self, address: u64) -> Result<String, Trouble> {
        // Read in small pieces: the string may end just before the end of a page.
        let mut bytes = Vec::new();
        while bytes.len() < 128 {
            let byte = self.memory.u8(address.wrapping_add(bytes.len() as u64))?;
            if byte == 0 {
                break;
            }
            bytes.push(byte);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// True for an address in the kernel's half, with five levels of page tables, too.
pub fn is_kernel_pointer(value: u64) -> bool {
    (0xff00_0000_0000_0000..0xffff_ffff_ffff_f000).contains(&value)
}
