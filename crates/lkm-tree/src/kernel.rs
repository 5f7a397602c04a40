//! What the tools need of a kernel. The running kernel implements it in
//! `lkm-live`, the lab's kernel in `lkm-kernel`; so one modprobe serves both.

use crate::errno::Errno;
use crate::fs::OpenFile;

/// Flags of `finit_module(2)`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct InsertFlags(pub u32);

impl InsertFlags {
    /// `MODULE_INIT_IGNORE_MODVERSIONS`
    pub const IGNORE_MODVERSIONS: u32 = 1;
    /// `MODULE_INIT_IGNORE_VERMAGIC`
    pub const IGNORE_VERMAGIC: u32 = 2;
    /// `MODULE_INIT_COMPRESSED_FILE`
    pub const COMPRESSED_FILE: u32 = 4;
}

/// Flags of `delete_module(2)`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DeleteFlags(pub u32);

impl DeleteFlags {
    pub const NONBLOCK: u32 = libc::O_NONBLOCK as u32;
    pub const FORCE: u32 = libc::O_TRUNC as u32;
}

/// A module's state, as `/sys/module/NAME/initstate` has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Live,
    Coming,
    Going,
}

/// The compression that the kernel itself can undo.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Xz,
    Zstd,
}

/// A row of `/proc/modules`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    pub name: Vec<u8>,
    /// Bytes of memory.
    pub size: u64,
    /// None where the kernel cannot unload (`-`).
    pub refcnt: Option<i64>,
    /// Names of the modules that use this one, in the kernel's order.
    pub used_by: Vec<Vec<u8>>,
    /// `Live`, `Loading` or `Unloading`.
    pub state: Vec<u8>,
    /// Taint letters, without the brackets.
    pub taint: Vec<u8>,
}

/// A parameter of a loaded module, as `/sys/module/NAME/parameters` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// A kernel that modules can be put into.
///
/// Errors are the system calls' own; `ENOENT` of the questions means that no
/// such module is loaded.
pub trait Kernel {
    /// `uname -r`.
    fn release(&self) -> Result<Vec<u8>, Errno>;

    /// `finit_module(2)`: `ENOSYS` where a file cannot be handed over as such.
    fn insert_file(
        &self,
        file: &dyn OpenFile,
        params: &[u8],
        flags: InsertFlags,
    ) -> Result<(), Errno>;

    /// `init_module(2)`.
    fn insert_image(&self, image: &[u8], params: &[u8]) -> Result<(), Errno>;

    /// `delete_module(2)`.
    fn delete(&self, name: &[u8], flags: DeleteFlags) -> Result<(), Errno>;

    /// The loaded modules, newest first.
    fn loaded(&self) -> Result<Vec<Loaded>, Errno>;

    fn state(&self, name: &[u8]) -> Result<State, Errno>;

    fn refcnt(&self, name: &[u8]) -> Result<i64, Errno>;

    /// The modules that use this one.
    fn holders(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, Errno>;

    /// A file below `/sys/module/NAME`, such as `coresize` or
    /// `notes/.note.gnu.build-id`.
    fn attribute(&self, name: &[u8], attribute: &str) -> Result<Vec<u8>, Errno>;

    /// Names and values of the readable parameters, sorted by name.
    fn parameters(&self, name: &[u8]) -> Result<Vec<Parameter>, Errno>;

    /// `/proc/cmdline`.
    fn command_line(&self) -> Result<Vec<u8>, Errno>;

    /// `/sys/module/compression`; a word the kernel knows and this code does
    /// not comes back as the error.
    fn compression(&self) -> Result<Compression, Vec<u8>>;

    /// Sentences that say who keeps the module, where the kernel can be asked.
    fn why(&self, _name: &[u8]) -> Vec<String> {
        Vec::new()
    }

    /// What makes this kernel refuse modules with this error just now:
    /// lockdown, `module.sig_enforce`, `kernel.modules_disabled`, privilege.
    fn refusal(&self, _error: Errno) -> Option<String> {
        None
    }
}
