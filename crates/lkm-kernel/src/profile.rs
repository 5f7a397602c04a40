//! Which kernel's rules: a value with a field for each thing that differs (KERNEL-SEMANTICS §11), never a
//! version test elsewhere. A profile changes what is shown, returned, ordered and exported, never layouts.

use crate::exports::Exports;

/// What happens when a module of the same name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateName {
    /// EEXIST at once (2.6.32, 3.0).
    Exists,
    /// Wait while COMING or UNFORMED, then look again and possibly load (4.1, 4.4).
    WaitThenRetry,
    /// Wait, then EEXIST if LIVE, else EBUSY (6.1, 6.12).
    WaitThenFail,
}

/// What request_module does when as many modprobes run as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// ENOMEM at once (up to 4.12).
    Refuse,
    /// Say so and wait, killable, then ETIME (up to 6.3).
    Throttle,
    /// Wait for a semaphore, not killable, then ETIME.
    Semaphore,
}

/// A kernel's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `--profile` takes it.
    pub name: &'static str,
    /// (major, minor) for "not newer than" comparisons of module versions with profiles.
    pub version: (u32, u32),
    /// Same-name loads.
    pub duplicate: DuplicateName,
    /// What lsmod shows for a GOING module's count: 0 in the old per-CPU counters, −1 later.
    pub going_count: i64,
    /// delete_module without O_NONBLOCK waits until the count is 0 (2.6.32, 3.0).
    pub delete_waits: bool,
    /// An unknown parameter fails the load with ENOENT (2.6.32, 3.0).
    pub unknown_param_fails: bool,
    /// A COMING notifier may veto (6.1 and later).
    pub notifier_veto: bool,
    /// COMING is notified before parameters are parsed (4.1 and later).
    pub coming_before_params: bool,
    /// finit_module exists.
    pub has_finit: bool,
    /// Unresolved symbols log `(err N)`: None not at all; Some(true) the errno even when simply absent
    /// (6.1), Some(false) 0 when absent (3.0 to 4.4).
    pub unknown_symbol_err: Option<bool>,
    /// Symbol namespaces, and inheriting the proprietary taint.
    pub namespaces: bool,
    /// delete_module rejects an empty or over-long name with ENOENT rather than truncating it.
    pub delete_checks_name: bool,
    /// `[last unloaded: NAME(TAINTS)]` and the list of unloaded tainted modules.
    pub unloaded_taints: bool,
    /// Per-module taint letters in the order of their bits (6.1), else `P O F C E`.
    pub taints_by_bit: bool,
    /// Taints of a load that fails later stay.
    pub taints_before_name: bool,
    /// The UNFORMED state exists.
    pub unformed: bool,
    /// request_module: over the limit.
    pub request_limit: RequestLimit,
    /// request_module with an empty modprobe path: the value it returns.
    pub empty_modprobe: i64,
    /// kthread data lives on the thread's stack and kthread_stop finds it through vfork_done.
    pub kthread_on_stack: bool,
    /// kernel_thread and daemonize are exported.
    pub kernel_thread_exported: bool,
    /// Modules may call sys_close (until 4.16).
    pub sys_close_exported: bool,
    /// kallsyms_lookup_name and find_module are exported (GPL).
    pub kallsyms_exported: bool,
    /// netlink_create succeeds without a registered protocol (2.6.32).
    pub netlink_without_protocol: bool,
    /// Refcounts are unsigned sums (2.6.32, 3.0): an over-put wraps instead of showing −1.
    pub unsigned_count: bool,
    /// The oops text is the 3.x/4.x form.
    pub old_oops: bool,
    /// 6.12's second symbol table and this_module size checks, and early name check.
    pub strict_elf: bool,
    /// What the kernel exports. Older kernels than those of a table have the oldest one's, less what came later
    /// (`legacy.rs`).
    pub exports: Exports,
}

const V6_1: Profile = Profile {
    name: "6.1",
    version: (6, 1),
    duplicate: DuplicateName::WaitThenFail,
    going_count: -1,
    delete_waits: false,
    unknown_param_fails: false,
    notifier_veto: true,
    coming_before_params: true,
    has_finit: true,
    unknown_symbol_err: Some(true),
    namespaces: true,
    delete_checks_name: true,
    unloaded_taints: true,
    taints_by_bit: true,
    taints_before_name: true,
    unformed: true,
    request_limit: RequestLimit::Throttle,
    empty_modprobe: -2,
    kthread_on_stack: false,
    sys_close_exported: false,
    kernel_thread_exported: false,
    kallsyms_exported: false,
    netlink_without_protocol: false,
    unsigned_count: false,
    old_oops: false,
    strict_elf: false,
    exports: Exports::V6_1,
};

const V6_12: Profile = Profile {
    name: "6.12",
    version: (6, 12),
    delete_checks_name: false,
    taints_before_name: false,
    strict_elf: true,
    request_limit: RequestLimit::Semaphore,
    exports: Exports::V6_12,
    ..V6_1
};

const V4_4: Profile = Profile {
    name: "4.4",
    version: (4, 4),
    duplicate: DuplicateName::WaitThenRetry,
    notifier_veto: false,
    unknown_symbol_err: Some(false),
    namespaces: false,
    delete_checks_name: false,
    unloaded_taints: false,
    taints_by_bit: false,
    request_limit: RequestLimit::Refuse,
    empty_modprobe: 0,
    kthread_on_stack: true,
    sys_close_exported: true,
    kallsyms_exported: true,
    old_oops: true,
    ..V6_1
};

const V4_1: Profile = Profile {
    name: "4.1",
    version: (4, 1),
    ..V4_4
};

const V3_0: Profile = Profile {
    name: "3.0",
    version: (3, 0),
    duplicate: DuplicateName::Exists,
    going_count: 0,
    delete_waits: true,
    unknown_param_fails: true,
    coming_before_params: false,
    has_finit: false,
    unformed: false,
    kernel_thread_exported: true,
    unsigned_count: true,
    ..V4_1
};

const V2_6_32: Profile = Profile {
    name: "2.6.32",
    version: (2, 632),
    unknown_symbol_err: None,
    kallsyms_exported: false,
    netlink_without_protocol: true,
    ..V3_0
};

/// All profiles, oldest first.
pub const ALL: &[Profile] = &[V2_6_32, V3_0, V4_1, V4_4, V6_1, V6_12];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<Profile> {
        ALL.iter().copied().find(|p| p.name == name)
    }

    /// The newest profile not newer than the release in a module's vermagic.
    pub fn for_release(release: &str) -> Profile {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse::<u32>().unwrap_or(0));
        let (major, minor) = (numbers.next().unwrap_or(6), numbers.next().unwrap_or(0));
        let version = if major == 2 {
            (2, minor * 100 + numbers.next().unwrap_or(0))
        } else {
            (major, minor)
        };
        ALL.iter()
            .rev()
            .copied()
            .find(|p| p.version <= version)
            .unwrap_or(V2_6_32)
    }
}

impl Default for Profile {
    fn default() -> Profile {
        V6_1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_not_newer_is_chosen() {
        for (release, name) in [
            ("6.1.0-56-amd64", "6.1"),
            ("6.8.12", "6.1"),
            ("6.12.107+deb12-amd64", "6.12"),
            ("5.10.0-30-amd64", "4.4"),
            ("3.16.0", "3.0"),
            ("2.6.32-5-amd64", "2.6.32"),
            ("4.1.15", "4.1"),
        ] {
            assert_eq!(Profile::for_release(release).name, name, "{release}");
        }
    }
}
