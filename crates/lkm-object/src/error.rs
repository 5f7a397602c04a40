//! The one error type of this crate: what is wrong with the bytes, and where.

/// Why bytes could not be read as what they were given as.
///
/// Every parser of this crate answers one of these for input it cannot read;
/// none panics, and none allocates more than a small multiple of its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file ends before its ELF header does.
    #[error("file is too short for an ELF header ({0} bytes)")]
    TooShort(usize),
    /// The first four bytes are not `\x7fELF`.
    #[error("not an ELF file")]
    BadMagic,
    /// `e_ident[EI_CLASS]` is neither 32 nor 64 bit.
    #[error("unknown ELF class {0}")]
    BadClass(u8),
    /// `e_ident[EI_DATA]` names no byte order.
    #[error("unknown ELF byte order {0}")]
    BadByteOrder(u8),
    /// The section header table is absent, outside the file or of a wrong entry size.
    #[error("section header table: {0}")]
    SectionTable(&'static str),
    /// A section says it lies where the file does not reach.
    #[error("section {index} lies outside the file (offset {offset:#x}, size {size:#x})")]
    SectionRange {
        /// Index in the section header table.
        index: usize,
        /// `sh_offset`.
        offset: u64,
        /// `sh_size`.
        size: u64,
    },
    /// It is an ELF file, but not a kernel module.
    #[error("not a kernel module: {0}")]
    NotAModule(&'static str),
    /// A table inside the file contradicts itself.
    #[error("{what}: {why}")]
    Malformed {
        /// Which table.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("cannot decompress ({format}): {why}")]
    Decompress {
        /// The compression format, as its tool is called.
        format: &'static str,
        /// What the decompressor said.
        why: String,
    },
    /// Decompressed data would exceed the caller's limit.
    #[error("decompressed data is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The wanted part (a section, a payload) is not in the file.
    #[error("{0} not found")]
    Missing(&'static str),
}

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
