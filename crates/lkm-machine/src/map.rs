//! The guest's address map. Everything lies below 2 GiB, because module code holds 32-bit
//! sign-extended addresses (R_X86_64_32S) of text, data, per-CPU offsets and kernel symbols.
//!
//! ```text
//! 0x1000_0000  gates      one 32-byte slot per kernel function, executable
//! 0x1100_0000  percpu     the one CPU's area; gs points here
//! 0x1200_0000  kdata      kernel data symbols and objects the kernel makes for itself
//! 0x1400_0000  stacks     kernel stacks, each with a guard below
//! 0x2000_0000  modules    module core and init images
//! 0x3000_0000  slots      guarded allocations: pages, then a guard, pages, then a guard …
//! 0x5000_0000  bulk       large or unguarded allocations
//! 0x7000_0000  user       the user address range
//! 0x7800_0000  vmemmap    one struct page per page below 2 GiB (virt_to_page is arithmetic)
//! 0x8000_0000  end
//! ```

use crate::sys;

/// Lowest address of the guest.
pub const GUEST_START: u64 = 0x1000_0000;
/// One past the highest address of the guest.
pub const GUEST_END: u64 = 0x8000_0000;

/// A range of guest addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Region {
    const fn new(start: u64, size: u64) -> Region {
        Region { start, size }
    }
    /// One past the last address.
    pub const fn end(self) -> u64 {
        self.start + self.size
    }
    /// Whether `addr` lies in it.
    pub const fn holds(self, addr: u64) -> bool {
        addr >= self.start && addr < self.start + self.size
    }
}

/// Gate slots.
pub const GATES: Region = Region::new(0x1000_0000, 8 << 20);
/// The per-CPU area.
pub const PERCPU: Region = Region::new(0x1100_0000, 8 << 20);
/// Kernel data.
pub const KDATA: Region = Region::new(0x1200_0000, 32 << 20);
/// Kernel stacks.
pub const STACKS: Region = Region::new(0x1400_0000, 128 << 20);
/// Module images.
pub const MODULES: Region = Region::new(0x2000_0000, 256 << 20);
/// Guarded allocations.
pub const SLOTS: Region = Region::new(0x3000_0000, 512 << 20);
/// Large or unguarded allocations.
pub const BULK: Region = Region::new(0x5000_0000, 512 << 20);
/// User memory.
pub const USER: Region = Region::new(0x7000_0000, 64 << 20);
/// struct page array: 64 bytes for each of 2^19 pages.
pub const VMEMMAP: Region = Region::new(0x7800_0000, 32 << 20);

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Reserves the whole map. Called once in a child.
pub(crate) fn reserve() -> Result<(), sys::Failure> {
    // One reservation without access, then the parts that are used as they are.
    sys::map_fixed(GUEST_START, GUEST_END - GUEST_START, sys::Prot::None)?;
    for region in [PERCPU, KDATA, BULK, VMEMMAP] {
        sys::protect(region.start, region.size, sys::Prot::ReadWrite)?;
    }
    sys::protect(USER.start, USER.size, sys::Prot::ReadWrite)?;
    sys::protect(GATES.start, GATES.size, sys::Prot::ReadWrite)?;
    Ok(())
}
