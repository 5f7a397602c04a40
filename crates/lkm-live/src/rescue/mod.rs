//! The rescue module: made at run time, loaded once, never stays.

pub mod facts;
#[cfg(target_arch = "x86_64")]
pub mod image;

/// Why a rescue module could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// More clean-up calls or repairs than it has room for, or a fact out of range.
    TooMuch,
    /// The facts disagree; making a module from them would corrupt the kernel.
    Mismatch(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::TooMuch => write!(f, "more calls or repairs than fit into a rescue module"),
            Error::Mismatch(what) => write!(f, "the facts about this kernel disagree: {what}"),
        }
    }
}

impl std::error::Error for Error {}
