//! A kernel module file: ELF, `.modinfo`, symbols, versions, parameters, exports, compression, signature, types.
//!
//! Everything here reads bytes and answers values; nothing opens, maps or runs
//! anything. All input is
//! treated as hostile: damage is an [`Error`], never a panic.

#![forbid(unsafe_code)]

pub mod btf;
pub mod builtin;
mod bytes;
pub mod check;
pub mod compress;
mod der;
pub mod dwarf;
pub mod elf;
mod error;
pub mod exports;
pub mod image;
pub mod kernel_types;
pub mod layout;
mod lz4;
pub mod modinfo;
pub mod module;
pub mod params;
pub mod relocate;
pub mod signature;
pub mod symvers;
pub mod types;
mod unjudged;
pub mod vmlinux;

pub use btf::Btf;
pub use builtin::builtin;
pub use check::{Refusal, Rules, load_checks};
pub use compress::{DEFAULT_LIMIT, decompress};
pub use dwarf::Dwarf;
pub use elf::{Elf, Rela, Section, Symbol};
pub use error::{Error, Result};
pub use exports::Export;
pub use kernel_types::KernelTypes;
pub use layout::Layout;
pub use modinfo::Modinfo;
pub use module::ModuleFile;
pub use params::Param;
pub use signature::Signature;
pub use symvers::{SymversEntry, symvers};
pub use types::Types;
pub use unjudged::unjudged;
