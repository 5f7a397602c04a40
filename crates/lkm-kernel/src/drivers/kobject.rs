//! kobjects, ksets and their life (lib/kobject.c): the reference count, names and links are in guest memory; the
//! directory of each is in sysfs.

pub use super::kset::{create_kset, register_kset};
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::sysfs;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("kobject_init", kobject_init),
    behaves("kobject_set_name", kobject_set_name)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("kobject_add", kobject_add)
        .acquires("kobject", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("kobject_init_and_add", kobject_init_and_add)
        .acquires("kobject", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .before(initialized)
        .sleeps(),
    behaves("kobject_create_and_add", kobject_create_and_add)
        .acquires("kobject", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::Null)
        .sleeps(),
    behaves("kobject_get", kobject_get),
    behaves("kobject_get_unless_zero", kobject_get_unless_zero),
    behaves("kobject_put", kobject_put),
    behaves("kobject_del", kobject_del).sleeps(),
    behaves("kobject_rename", kobject_rename).sleeps(),
    behaves("kobject_get_path", kobject_get_path)
        .acquires("slab", Key::Ret, When::Pointer)
        .sleeps(),
    behaves("kobject_uevent", kobject_uevent).sleeps(),
    behaves("kobject_uevent_env", kobject_uevent).sleeps(),
    behaves("add_uevent_var", add_uevent_var),
    behaves("__lkm_kobj_release", free_object),
    behaves("__lkm_kset_release", free_object),
    behaves("__lkm_no_release", no_release),
];

/// Objects above each other that are looked at.
const DEPTH: u32 = 256;
pub(super) const INITIALIZED: u32 = 1;
const IN_SYSFS: u32 = 2;

/// The state of this file.
#[derive(Default)]
pub struct State {
    ktype: u64,
    pub(super) kset_ktype: u64,
    /// Objects that a row told of, so that their end is told as well: address to kind.
    told: crate::hash::Map<u64, &'static str>,
    /// Objects with a name in memory of its own, which goes with their last reference: address to name.
    named: std::collections::BTreeMap<u64, u64>,
}

/// A kobj_type of the kernel's own: its release, and its sysfs_ops (an address, or 0).
pub fn kernel_ktype(cx: &mut Cx, release: &'static str, sysfs_ops: u64) -> R<u64> {
    let at = crate::data::alloc(cx, 64, 8)?;
    let release = crate::symbols::address(cx, release);
    cx.w64(at + cx.off.ktype_release, release)?;
    cx.w64(at + cx.off.ktype_sysfs_ops, sysfs_ops)?;
    Ok(at)
}

pub(super) fn flags_at(cx: &Cx, kobj: u64) -> u64 {
    // The state bits follow the reference count in one word.
    kobj + cx.off.kobject_kref + 4
}

/// The name, or what the kernel prints for none.
pub fn name(cx: &Cx, kobj: u64) -> R<String> {
    let at = cx.r64(kobj + cx.off.kobject_name)?;
    if at == 0 {
        return Ok("(null)".into());
    }
    Ok(cx.text(at)?)
}

/// Gives an object its name; '/' becomes '!'.
pub fn set_name(cx: &mut Cx, kobj: u64, text: &[u8]) -> R<()> {
    let bytes: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'/' { b'!' } else { b })
        .collect();
    let old = cx.r64(kobj + cx.off.kobject_name)?;
    let new = mm::kstrdup(cx, &bytes)?;
    cx.w64(kobj + cx.off.kobject_name, new)?;
    free_name(cx, old);
    cx.kobject.named.insert(kobj, new);
    Ok(())
}

/// An object's end, where its own code knows of no release function: the name is freed.
pub(crate) fn forget_name(cx: &mut Cx, kobj: u64) -> R<()> {
    if let Some(name) = cx.kobject.named.remove(&kobj)
        && cx.r64(kobj + cx.off.kobject_name)? == name
    {
        free_name(cx, name);
    }
    Ok(())
}

/// Memory goes that an object lies in whose last reference was not put: nobody frees its name any more.
pub(crate) fn on_free(cx: &mut Cx, addr: u64, size: u64, by: &str) -> R<()> {
    let inside = addr..addr.saturating_add(size.max(1));
    let found: Vec<(u64, u64)> = cx
        .kobject
        .named
        .range(inside)
        .map(|(&k, &n)| (k, n))
        .collect();
    for (kobj, at) in found {
        cx.kobject.named.remove(&kobj);
        // The name may have been given away, or another object lie here by now.
        if cx.r64(kobj + cx.off.kobject_name)? != at
            || mm::guard::block_at(cx, at).is_none_or(|b| b.freed)
        {
            continue;
        }
        let detail = format!(
            "\"{}\", the name of an object at offset {} of it",
            cx.text(at)?,
            kobj - addr
        );
        trace::misuse(cx, "name-lost", &detail, addr, by);
    }
    Ok(())
}

/// kfree_const: names that are no allocation of ours stay.
fn free_name(cx: &mut Cx, name: u64) {
    if mm::guard::block_at(cx, name).is_some_and(|b| !b.freed) {
        mm::kfree(cx, name);
    }
}

/// kobject_init.
pub fn init(cx: &mut Cx, kobj: u64, ktype: u64) -> R<()> {
    let flags = flags_at(cx, kobj);
    if ktype == 0 {
        let text =
            format!("kobject ({kobj:016x}): must have a ktype to be initialized properly!\n");
        printk::log(cx, 3, &text);
        return dump_stack(cx);
    }
    if cx.r32(flags)? & INITIALIZED != 0 {
        let text = format!(
            "kobject ({kobj:016x}): tried to init an initialized object, something is seriously wrong.\n"
        );
        printk::log(cx, 3, &text);
        trace::misuse(cx, "double-init", "a kobject", kobj, "kobject_init");
        dump_stack(cx)?;
    }
    cx.w32(kobj + cx.off.kobject_kref, 1)?;
    util::list_init(cx, kobj + cx.off.kobject_entry)?;
    cx.w32(flags, INITIALIZED)?;
    Ok(cx.w64(kobj + cx.off.kobject_ktype, ktype)?)
}

/// dump_stack: who called.
pub fn dump_stack(cx: &mut Cx) -> R<()> {
    let (pid, comm) = crate::sched::current(cx).map_or((0, String::new()), |tid| {
        let task = &cx.sched.tasks[tid as usize];
        (task.pid, task.comm.clone())
    });
    let release = cx.options.release.clone();
    printk::log(
        cx,
        4,
        &format!("CPU: 0 PID: {pid} Comm: {comm} {release}\n"),
    );
    printk::log(cx, 4, "Call Trace:\n <TASK>\n");
    let site = trace::site(cx);
    for pc in std::iter::once(site.pc).chain(site.stack).take(32) {
        if pc != 0 {
            let text = format!(" {}\n", crate::module::kallsyms::describe(cx, pc));
            printk::log(cx, 4, &text);
        }
    }
    printk::log(cx, 4, " </TASK>\n");
    Ok(())
}

/// kobject_add_internal, with the object's name and parent set. 0 or a negative errno.
pub fn add_internal(cx: &mut Cx, kobj: u64) -> R<i32> {
    let off = cx.off;
    let name_at = cx.r64(kobj + off.kobject_name)?;
    let label = name(cx, kobj)?;
    if name_at == 0 || label.is_empty() {
        crate::traps::warn(
            cx,
            &format!("kobject: ({kobj:016x}): attempted to be registered with empty name!\n"),
            "kobject_add_internal",
        )?;
        return Ok(-EINVAL);
    }
    let mut parent = cx.r64(kobj + off.kobject_parent)?;
    let kset = cx.r64(kobj + off.kobject_kset)?;
    if parent != 0 {
        get(cx, parent)?;
    }
    if kset != 0 {
        if parent == 0 {
            parent = kset + off.kset_kobj;
            get(cx, parent)?;
        }
        get(cx, kset + off.kset_kobj)?;
        util::list_add_tail(cx, kobj + off.kobject_entry, kset + off.kset_list)?;
        cx.w64(kobj + off.kobject_parent, parent)?;
    }
    let error = sysfs::create_dir(cx, kobj, parent, &label)?;
    if error == 0 {
        let flags = flags_at(cx, kobj);
        let word = cx.r32(flags)?;
        cx.w32(flags, word | IN_SYSFS)?;
        let ktype = cx.r64(kobj + off.kobject_ktype)?;
        if ktype != 0 {
            let groups = cx.r64(ktype + off.ktype_default_groups)?;
            sysfs::create_groups(cx, kobj, groups, false)?;
        }
        return Ok(0);
    }
    leave_kset(cx, kobj)?;
    put(cx, parent)?;
    cx.w64(kobj + off.kobject_parent, 0)?;
    let text = if error == -EEXIST {
        format!(
            "kobject_add_internal failed for {label} with -EEXIST, don't try to register things with the same name in the same directory.\n"
        )
    } else {
        let above = if parent == 0 {
            "'none'".to_owned()
        } else {
            name(cx, parent)?
        };
        format!("kobject_add_internal failed for {label} (error: {error} parent: {above})\n")
    };
    printk::log(cx, 3, &text);
    Ok(error)
}

fn leave_kset(cx: &mut Cx, kobj: u64) -> R<()> {
    let kset = cx.r64(kobj + cx.off.kobject_kset)?;
    if kset != 0 {
        util::list_del_init(cx, kobj + cx.off.kobject_entry)?;
        put(cx, kset + cx.off.kset_kobj)?;
    }
    Ok(())
}

/// kobject_add with a formatted name.
pub fn add(cx: &mut Cx, kobj: u64, parent: u64, text: &[u8]) -> R<i32> {
    set_name(cx, kobj, text)?;
    cx.w64(kobj + cx.off.kobject_parent, parent)?;
    add_internal(cx, kobj)
}

/// kobject_get; NULL is nothing.
pub fn get(cx: &mut Cx, kobj: u64) -> R<()> {
    if kobj == 0 {
        return Ok(());
    }
    let flags = flags_at(cx, kobj);
    if cx.r32(flags)? & INITIALIZED == 0 {
        let text = format!(
            "kobject: '{}' ({kobj:016x}): is not initialized, yet kobject_get() is being called.\n",
            name(cx, kobj)?
        );
        crate::traps::warn(cx, &text, "kobject_get")?;
    }
    let at = kobj + cx.off.kobject_kref;
    let count = cx.r32(at)?;
    if count == 0 {
        trace::misuse(
            cx,
            "refcount",
            "addition on 0; use-after-free",
            kobj,
            "kobject_get",
        );
        crate::traps::warn(
            cx,
            "refcount_t: addition on 0; use-after-free.\n",
            "refcount_warn_saturate",
        )?;
    }
    Ok(cx.w32(at, count.wrapping_add(1))?)
}

/// kobject_put; the last one removes and releases the object.
pub fn put(cx: &mut Cx, kobj: u64) -> R<()> {
    if kobj == 0 {
        return Ok(());
    }
    let flags = flags_at(cx, kobj);
    if cx.r32(flags)? & INITIALIZED == 0 {
        let text = format!(
            "kobject: '{}' ({kobj:016x}): is not initialized, yet kobject_put() is being called.\n",
            name(cx, kobj)?
        );
        crate::traps::warn(cx, &text, "kobject_put")?;
    }
    let at = kobj + cx.off.kobject_kref;
    let count = cx.r32(at)?;
    if count == 0 || count >= 0xc000_0000 {
        trace::misuse(
            cx,
            "refcount",
            "underflow; use-after-free",
            kobj,
            "kobject_put",
        );
        return crate::traps::warn(
            cx,
            "refcount_t: underflow; use-after-free.\n",
            "refcount_warn_saturate",
        );
    }
    cx.w32(at, count - 1)?;
    if count == 1 {
        cleanup(cx, kobj)?;
    }
    Ok(())
}

/// __kobject_del without the put of the parent: what is in sysfs goes.
fn unlink(cx: &mut Cx, kobj: u64) -> R<()> {
    let off = cx.off;
    let flags = flags_at(cx, kobj);
    let word = cx.r32(flags)?;
    if word & IN_SYSFS == 0 && cx.r64(kobj + off.kobject_sd)? == 0 {
        return Ok(());
    }
    sysfs::remove_dir(cx, kobj)?;
    let word = cx.r32(flags)?;
    cx.w32(flags, word & !IN_SYSFS)?;
    leave_kset(cx, kobj)?;
    cx.w64(kobj + off.kobject_parent, 0)?;
    Ok(())
}

/// kobject_del.
pub fn del(cx: &mut Cx, kobj: u64) -> R<()> {
    if kobj == 0 {
        return Ok(());
    }
    let parent = cx.r64(kobj + cx.off.kobject_parent)?;
    unlink(cx, kobj)?;
    put(cx, parent)
}

fn cleanup(cx: &mut Cx, kobj: u64) -> R<()> {
    let off = cx.off;
    let ktype = cx.r64(kobj + off.kobject_ktype)?;
    let label_at = cx.r64(kobj + off.kobject_name)?;
    cx.kobject.named.remove(&kobj);
    let release = if ktype == 0 {
        0
    } else {
        cx.r64(ktype + off.ktype_release)?
    };
    if release == 0 {
        let text = format!(
            "kobject: '{}' ({kobj:016x}): does not have a release() function, it is broken and must be fixed. See Documentation/core-api/kobject.rst.\n",
            name(cx, kobj)?
        );
        printk::log(cx, 7, &text);
    }
    let in_sysfs = cx.r32(flags_at(cx, kobj))? & IN_SYSFS != 0;
    let parent = if in_sysfs {
        cx.r64(kobj + off.kobject_parent)?
    } else {
        0
    };
    if in_sysfs {
        unlink(cx, kobj)?;
    }
    if let Some(kind) = cx.kobject.told.remove(&kobj) {
        trace::released(cx, kind, kobj);
    }
    if release != 0 {
        cx.call_guest(release, &[kobj]);
    }
    free_name(cx, label_at);
    put(cx, parent)
}

fn dynamic_ktype(cx: &mut Cx) -> R<u64> {
    if cx.kobject.ktype == 0 {
        let ops = sysfs::kobj_sysfs_ops(cx)?;
        cx.kobject.ktype = kernel_ktype(cx, "__lkm_kobj_release", ops)?;
    }
    Ok(cx.kobject.ktype)
}

/// An object of the kernel's own with a directory, as /sys/kernel has.
pub fn create(cx: &mut Cx, label: &str, parent: u64) -> R<u64> {
    let ktype = dynamic_ktype(cx)?;
    let kobj = mm::kalloc(cx, cx.off.kobject_size)?;
    init(cx, kobj, ktype)?;
    let error = add(cx, kobj, parent, label.as_bytes())?;
    if error != 0 {
        let text = format!("kobject: kobject_add failed: {error}\n");
        printk::log(cx, 4, &text);
        put(cx, kobj)?;
        return Ok(0);
    }
    Ok(kobj)
}

fn kobject_init(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn formatted(cx: &mut Cx, c: &Call, fmt: usize) -> R<Vec<u8>> {
    let mut args = c.va(fmt as u64 + 1);
    let fmt = c.arg(cx, fmt)?;
    printk::format::vsnprintf(cx, fmt, &mut args, 512)
}

fn kobject_set_name(cx: &mut Cx, c: &Call) -> R {
    let text = formatted(cx, c, 1)?;
    set_name(cx, c.a[0], &text)?;
    Ok(0)
}

fn kobject_add(cx: &mut Cx, c: &Call) -> R {
    let kobj = c.a[0];
    if kobj == 0 {
        return Ok(neg(EINVAL));
    }
    if cx.r32(flags_at(cx, kobj))? & INITIALIZED == 0 {
        let text = format!(
            "kobject '{}' ({kobj:016x}): tried to add an uninitialized object, something is seriously wrong.\n",
            name(cx, kobj)?
        );
        printk::log(cx, 3, &text);
        dump_stack(cx)?;
        return Ok(neg(EINVAL));
    }
    let text = formatted(cx, c, 2)?;
    let error = add(cx, kobj, c.a[1], &text)?;
    if error == 0 {
        cx.kobject.told.insert(kobj, "kobject");
    }
    Ok(error as i64 as u64)
}

fn kobject_init_and_add(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0], c.a[1])?;
    let text = formatted(cx, c, 3)?;
    let error = add(cx, c.a[0], c.a[2], &text)?;
    if error == 0 {
        cx.kobject.told.insert(c.a[0], "kobject");
    }
    Ok(error as i64 as u64)
}

/// What kobject_init_and_add could not add is initialized and has its name: its owner puts it.
fn initialized(cx: &mut Cx, c: &Call) -> R<bool> {
    init(cx, c.a[0], c.a[1])?;
    let text = formatted(cx, c, 3)?;
    set_name(cx, c.a[0], &text)?;
    Ok(true)
}

fn kobject_create_and_add(cx: &mut Cx, c: &Call) -> R {
    let label = cx.text(c.a[0])?;
    let kobj = create(cx, &label, c.a[1])?;
    if kobj != 0 {
        cx.kobject.told.insert(kobj, "kobject");
    }
    Ok(kobj)
}

fn kobject_get(cx: &mut Cx, c: &Call) -> R {
    get(cx, c.a[0])?;
    Ok(c.a[0])
}

fn kobject_get_unless_zero(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 || cx.r32(c.a[0] + cx.off.kobject_kref)? == 0 {
        return Ok(0);
    }
    get(cx, c.a[0])?;
    Ok(c.a[0])
}

fn kobject_put(cx: &mut Cx, c: &Call) -> R {
    put(cx, c.a[0])?;
    Ok(0)
}

fn kobject_del(cx: &mut Cx, c: &Call) -> R {
    del(cx, c.a[0])?;
    Ok(0)
}

fn kobject_rename(cx: &mut Cx, c: &Call) -> R {
    let label = cx.text(c.a[1])?;
    let error = sysfs::rename_dir(cx, c.a[0], &label)?;
    if error == 0 {
        set_name(cx, c.a[0], label.as_bytes())?;
    }
    Ok(error as i64 as u64)
}

fn kobject_get_path(cx: &mut Cx, c: &Call) -> R {
    let path = sysfs::path_of(cx, c.a[0])?;
    let at = mm::slab::alloc(cx, path.len() as u64 + 1, 0xcc0)?;
    if at != 0 {
        cx.write(at, path.as_bytes())?;
        cx.w8(at + path.len() as u64, 0)?;
    }
    Ok(at)
}

/// Nobody listens for uevents here; an object outside a kset has none to send.
/// kobject_uevent: an event is of the object's set, or of the first above it that is in one. Nobody listens.
fn kobject_uevent(cx: &mut Cx, c: &Call) -> R {
    let mut kobj = c.a[0];
    for _ in 0..DEPTH {
        if cx.r64(kobj + cx.off.kobject_kset)? != 0 {
            return Ok(0);
        }
        kobj = cx.r64(kobj + cx.off.kobject_parent)?;
        if kobj == 0 {
            break;
        }
    }
    Ok(neg(EINVAL))
}

fn add_uevent_var(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// Frees the block that holds the object (a kobject, or a kset around one).
fn free_object(cx: &mut Cx, c: &Call) -> R {
    let at = if mm::guard::block_at(cx, c.a[0]).is_some() {
        c.a[0]
    } else {
        c.a[0] - cx.off.kset_kobj
    };
    mm::kfree(cx, at);
    Ok(0)
}

fn no_release(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// `kernel_kobj` and its like: pointers to the objects of the top directories.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    let label = match name {
        "kernel_kobj" => "kernel",
        "fs_kobj" => "fs",
        "hypervisor_kobj" => "hypervisor",
        "firmware_kobj" => "firmware",
        "power_kobj" => "power",
        _ => return Ok(None),
    };
    let kobj = create(cx, label, 0)?;
    let at = crate::data::alloc(cx, 8, 8)?;
    cx.w64(at, kobj)?;
    Ok(Some(at))
}
