//! What the administrator and the distribution say about modules:
//! modprobe.d(5) and the kernel's command line ([`modprobe`], [`cmdline`]),
//! and depmod.d(5) ([`depmod`]).

pub mod cmdline;
pub mod depmod;
pub mod directory;
pub mod modprobe;

pub use modprobe::Config;

/// Something in a configuration that could not be used. The text is complete
/// and without a line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub text: Vec<u8>,
    /// kmod only says it with `KMOD_LOG=info` or more `-v`.
    pub minor: bool,
    /// The libkmod function that says the same, which its messages name.
    pub from: &'static str,
}

/// The largest configuration file that is read.
pub const FILE_MAX: u64 = 64 << 20;
