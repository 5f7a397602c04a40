//! Functions that only some kernels export: a profile decides whether a module finds them.

use crate::profile::Profile;

/// Whether the profile's kernel exports `name`; true for names that no profile treats specially.
pub(crate) fn exported(profile: &Profile, name: &str) -> bool {
    match name {
        "kernel_thread" | "daemonize" => profile.kernel_thread_exported,
        "sys_close" => profile.sys_close_exported,
        "kallsyms_lookup_name" | "find_module" => profile.kallsyms_exported,
        _ => true,
    }
}
