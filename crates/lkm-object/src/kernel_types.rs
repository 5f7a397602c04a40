//! The layouts of the kernel a module was built for, from the best source at hand.

use std::sync::Arc;

use crate::btf::Btf;
use crate::builtin::{Builtin, builtin};
use crate::dwarf::Dwarf;
use crate::module::ModuleFile;
use crate::types::Types;

/// Structs whose size a built-in table must share with a module's own debug
/// information before it is believed: large ones, that each configuration changes.
const PROBES: [&str; 10] = [
    "task_struct",
    "device",
    "mutex",
    "spinlock",
    "file",
    "inode",
    "net_device",
    "sk_buff",
    "work_struct",
    "timer_list",
];

/// Layouts for one module, each source asked in turn: the kernel's BTF, the
/// built-in table, the module's DWARF. A source is used only when it has the
/// module's own `struct module`, by size and by the places of init and exit.
///
/// The built-in table comes before DWARF where both agree, because it answers
/// faster and knows structs that a module only points to.
#[derive(Debug)]
pub struct KernelTypes<'d> {
    kernel: Option<Arc<Btf>>,
    builtin: Option<&'static Builtin>,
    dwarf: Option<Dwarf<'d>>,
}

impl<'d> KernelTypes<'d> {
    /// Chooses the sources for a module. `kernel` is the BTF of the kernel it is
    /// for, when there is an image; with the module's own types, a split table on it.
    pub fn for_module(module: &ModuleFile<'d>, kernel: Option<Arc<Btf>>) -> KernelTypes<'d> {
        // Damaged debug information is as good as none.
        let dwarf = Dwarf::new(&module.elf).ok().flatten();
        let kernel = kernel.filter(|k| fits(module, &**k)).map(|base| {
            // The module's own structs, where it brings BTF.
            module
                .elf
                .section(".BTF")
                .and_then(|s| Btf::parse_split(s.data, base.clone()).ok())
                .map_or(base, Arc::new)
        });
        let builtin = builtin(module.vermagic)
            .filter(|_| module.elf.machine == crate::elf::EM_X86_64)
            .filter(|b| fits(module, *b))
            .filter(|b| dwarf.as_ref().is_none_or(|d| agree(*b, d)));
        KernelTypes {
            kernel,
            builtin,
            dwarf,
        }
    }

    /// Whether there is any source at all.
    pub fn is_empty(&self) -> bool {
        self.kernel.is_none() && self.builtin.is_none() && self.dwarf.is_none()
    }

    /// The module's debug information, for source lines.
    pub fn dwarf(&self) -> Option<&Dwarf<'d>> {
        self.dwarf.as_ref()
    }

    /// The kernel's BTF, for prototypes.
    pub fn btf(&self) -> Option<&Arc<Btf>> {
        self.kernel.as_ref()
    }

    /// The built-in table, when it fits.
    pub fn builtin(&self) -> Option<&'static Builtin> {
        self.builtin
    }

    /// What a report says of where the layouts come from.
    pub fn describe(&self) -> String {
        let mut names = Vec::new();
        if self.kernel.is_some() {
            names.push("BTF of the kernel".to_owned());
        }
        if let Some(b) = self.builtin {
            names.push(format!("built-in layouts of {}", b.release()));
        }
        if self.dwarf.is_some() {
            names.push("debug information of the module".to_owned());
        }
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// The first source that has the struct answers for all its members.
    fn source(&self, name: &str) -> Option<&dyn Types> {
        let sources: [Option<&dyn Types>; 3] = [
            self.kernel.as_deref().map(|b| b as &dyn Types),
            self.builtin.map(|b| b as &dyn Types),
            self.dwarf.as_ref().map(|d| d as &dyn Types),
        ];
        sources
            .into_iter()
            .flatten()
            .find(|s| s.struct_size(name).is_some())
    }
}

/// Whether these types have the `struct module` that is in the file.
fn fits(module: &ModuleFile<'_>, types: &dyn Types) -> bool {
    let this = &module.this_module;
    let hook = |name, hook: &Option<crate::module::Hook<'_>>| {
        hook.is_none_or(|h| types.offset_of("module", name) == Some(h.member))
    };
    types.struct_size("module") == Some(this.size)
        && hook("init", &this.init)
        && hook("exit", &this.exit)
}

/// Whether all probes that both know have one size.
fn agree(table: &dyn Types, own: &dyn Types) -> bool {
    PROBES.iter().all(
        |name| match (table.struct_size(name), own.struct_size(name)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        },
    )
}

impl Types for KernelTypes<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.source(name)?.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.source(name)?.offset_of(name, path)
    }
    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.source(name)?.size_of_member(name, path)
    }
}
