//! Facts about the running kernel that a module must match: taken from a module file
//! built for it, and checked against the kernel's own types. Any mismatch is a refusal.

use lkm_object::ModuleFile;

use super::Error;

/// Offsets in `struct module` by the kernel's own types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// `list`.
    pub list: u64,
    /// `name`.
    pub name: u64,
    /// `state`.
    pub state: u64,
    /// `refcnt.counter`.
    pub refcnt: u64,
    /// `source_list`.
    pub source_list: u64,
    /// `init`.
    pub init: u64,
    /// `exit`.
    pub exit: u64,
    /// The size of the whole.
    pub size: u64,
}

/// What a rescue module must say to be taken by this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's vermagic.
    pub vermagic: String,
    /// CRC of `module_layout`; none without modversions.
    pub layout_crc: Option<u32>,
    /// Size of `struct module`.
    pub size: u64,
    /// Offset of `init` in it.
    pub init: u64,
    /// Offset of `exit` in it.
    pub exit: u64,
    /// The other offsets.
    pub offsets: Offsets,
}

/// Takes the facts from a module of this kernel and compares them with the kernel's types.
///
/// # Errors
/// [`Error::Mismatch`] when they disagree in anything, or the module is for another release.
pub fn gather(module: &ModuleFile<'_>, types: Offsets, release: &str) -> Result<Facts, Error> {
    let mismatch = |what: &str| Err(Error::Mismatch(format!("{}: {what}", module.name)));
    if module.elf.machine != lkm_object::elf::EM_X86_64 || !module.elf.class64 {
        return mismatch("not an x86-64 module");
    }
    if module.vermagic.split(' ').next() != Some(release) {
        return mismatch(&format!(
            "built for {:?}, running {release}",
            module.vermagic
        ));
    }
    let this = &module.this_module;
    if this.size != types.size {
        return mismatch(&format!(
            "struct module has {} bytes in the module and {} in the kernel's types",
            this.size, types.size
        ));
    }
    let Some(init) = this.init else {
        return mismatch("it has no init to take the offset from");
    };
    if init.member != types.init {
        return mismatch(&format!(
            "init is at {} in the module and at {} in the kernel's types",
            init.member, types.init
        ));
    }
    let Some(exit) = this.exit else {
        return mismatch("it has no exit to take the offset from");
    };
    if exit.member != types.exit {
        return mismatch(&format!(
            "exit is at {} in the module and at {} in the kernel's types",
            exit.member, types.exit
        ));
    }
    Ok(Facts {
        vermagic: module.vermagic.to_string(),
        layout_crc: module.version_of("module_layout"),
        size: types.size,
        init: types.init,
        exit: types.exit,
        offsets: types,
    })
}
