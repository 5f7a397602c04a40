//! depmod: from the modules of a tree to its indexes.
//!
//! [`scan`] finds the files and decides between modules of one name, [`facts`]
//! reads what matters from each, [`resolve`] finds who needs whom and puts
//! them in order, [`output`] makes the eleven files, [`publish`] writes them.
//! [`cache`] remembers all of it from one run to the next, [`rerun`] finds out
//! what has changed since, and [`patch`] makes the new files from the old ones.
//!
//! The order of everything follows kmod's `tools/depmod.c`, whose files these
//! equal byte for byte: modules in the order of `modules.order`, the others in
//! the order of kmod's hash table ([`order`]).

pub mod ask;
pub mod cache;
pub mod cycles;
pub mod deps;
pub mod facts;
pub mod facts_codec;
pub mod imports;
pub mod order;
pub mod output;
pub mod patch;
pub mod patch_symbols;
pub mod pool;
pub mod publish;
pub mod rerun;
pub mod resolve;
pub mod scan;
pub mod symbols;

/// As many modules as kmod can number.
pub const MODULES_MAX: usize = 65_535;
