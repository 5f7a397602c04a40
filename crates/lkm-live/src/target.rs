//! The module in question as the kernel has it: its `struct module` and its memory.

use crate::walk::{Kernel, Trouble};

/// `MODULE_STATE_LIVE` and the rest, in the kernel's order (include/linux/module.h).
pub const STATES: [&str; 4] = ["live", "coming", "going", "unformed"];

/// A loaded module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where its `struct module` is.
    pub address: u64,
    /// `enum module_state`.
    pub state: u32,
    /// The raw count: lsmod's plus one (`MODULE_REF_BASE`), 0 when going.
    pub refcnt: u32,
    /// Address of init; 0 when there is none.
    pub init: u64,
    /// Address of exit; 0 when there is none.
    pub exit: u64,
    /// Start and length of each piece of its memory.
    pub ranges: Vec<(u64, u64)>,
    /// The writable one: its data.
    pub data: Vec<(u64, u64)>,
}

impl Target {
    /// True when an address lies in the module's memory.
    pub fn covers(&self, address: u64) -> bool {
        self.ranges
            .iter()
            .any(|(start, size)| address >= *start && address - start < *size)
    }

    /// True when it can only be unloaded by force: an init and no exit.
    pub fn permanent(&self) -> bool {
        self.init != 0 && self.exit == 0
    }
}

/// Finds a module in the kernel's list.
///
/// # Errors
/// When the list cannot be walked.
pub fn find(kernel: &Kernel<'_>, name: &str) -> Result<Option<Target>, Trouble> {
    for address in all(kernel)? {
        let own = kernel
            .memory
            .text(kernel.at(address, "module", "name")?, 56)?;
        if own == name {
            return read(kernel, address).map(Some);
        }
    }
    Ok(None)
}

/// The addresses of every `struct module`.
///
/// # Errors
/// When the list cannot be walked.
pub fn all(kernel: &Kernel<'_>) -> Result<Vec<u64>, Trouble> {
    kernel.list(kernel.symbol("modules")?, "module", "list")
}

/// Reads a `struct module`.
///
/// # Errors
/// When it cannot be read, or the kernel's types do not describe it.
pub fn read(kernel: &Kernel<'_>, address: u64) -> Result<Target, Trouble> {
    let record = kernel.record("module", address)?;
    Ok(Target {
        name: record.text("name", 56)?,
        address,
        state: record.u32("state")?,
        refcnt: record.u32("refcnt.counter")?,
        init: record.ptr("init")?,
        exit: record.ptr("exit")?,
        ranges: ranges(kernel, address)?,
        data: data(kernel, address)?,
    })
}

/// The pieces of a module's memory. Linux kernel commit ac3b43283923 ("module: replace
/// module_layout with module_memory") (in v6.4) made an array of what were two layouts.
fn ranges(kernel: &Kernel<'_>, module: u64) -> Result<Vec<(u64, u64)>, Trouble> {
    let mut found = Vec::new();
    let mut add = |base: u64, size: u32| {
        if base != 0 && size != 0 {
            found.push((base, u64::from(size)));
        }
    };
    if kernel.types.has("module", "core_layout") {
        let record = kernel.record("module", module)?;
        add(
            record.ptr("core_layout.base")?,
            record.u32("core_layout.size")?,
        );
        add(
            record.ptr("init_layout.base")?,
            record.u32("init_layout.size")?,
        );
        return Ok(found);
    }
    let start = kernel.at(module, "module", "mem")?;
    let step = kernel.types.size("module_memory")?;
    for n in 0..kernel.types.elements("module", "mem")?.min(16) {
        let at = start + n * step;
        add(
            kernel.ptr(at, "module_memory", "base")?,
            kernel.u32(at, "module_memory", "size")?,
        );
    }
    Ok(found)
}

/// The module's writable data, without what is read-only after init.
fn data(kernel: &Kernel<'_>, module: u64) -> Result<Vec<(u64, u64)>, Trouble> {
    if kernel.types.has("module", "core_layout") {
        let record = kernel.record("module", module)?;
        let (base, size) = (
            record.ptr("core_layout.base")?,
            record.u32("core_layout.size")?,
        );
        let fixed = record.u32("core_layout.ro_after_init_size")?;
        return Ok(vec![(
            base + u64::from(fixed),
            u64::from(size.saturating_sub(fixed)),
        )]);
    }
    /// `MOD_DATA` of `enum mod_mem_type`.
    const MOD_DATA: u64 = 1;
    let step = kernel.types.size("module_memory")?;
    let at = kernel.at(module, "module", "mem")? + MOD_DATA * step;
    let base = kernel.ptr(at, "module_memory", "base")?;
    Ok(vec![(
        base,
        u64::from(kernel.u32(at, "module_memory", "size")?),
    )])
}
