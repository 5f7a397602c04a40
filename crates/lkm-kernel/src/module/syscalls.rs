//! The prologues of init_module, finit_module and delete_module: credentials, pointers, descriptors, in the
//! kernel's order, before the module itself is looked at.

use super::{NAME_LEN, delete, load};
use crate::abi::{R, errno::*};
use crate::{Cx, sched};
use std::rc::Rc;

/// A pointer argument of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// It points to the bytes that come with it.
    Good,
    /// NULL, or an address that user space does not have.
    Bad,
}

/// What a file descriptor of finit_module is.
#[derive(Debug, Clone)]
pub enum Descriptor {
    /// Not an open descriptor, or one not open for reading.
    Bad,
    /// Something else than a regular file.
    Irregular,
    /// A regular file.
    File {
        /// Its contents.
        bytes: Rc<Vec<u8>>,
        /// Whether it is open for writing somewhere.
        written: bool,
    },
}

/// Size of an ELF64 header: what is shorter is no module.
const EHDR: u64 = 64;
const FINIT_FLAGS: u32 = 7;
const COMPRESSED: u32 = 4;

fn may_load(cx: &mut Cx) -> bool {
    super::steps::step(
        cx,
        "capable(CAP_SYS_MODULE) and modules not disabled, or EPERM",
    );
    let tid = sched::current_tid(cx);
    cx.sched.tasks[tid as usize].capable && !cx.modules.disabled
}

/// init_module(2). `len` is what the caller claims, `bytes` what is there.
pub fn init_module(
    cx: &mut Cx,
    bytes: &Rc<Vec<u8>>,
    len: u64,
    pointer: Pointer,
    args: load::Args,
) -> R<i32> {
    if !may_load(cx) {
        return Ok(-EPERM);
    }
    if len < EHDR {
        return Ok(-ENOEXEC);
    }
    if pointer == Pointer::Bad || len > bytes.len() as u64 {
        return Ok(-EFAULT);
    }
    if len == bytes.len() as u64 {
        return load::load_module(cx, bytes, args, 0);
    }
    let cut = Rc::new(bytes[..len as usize].to_vec());
    load::load_module(cx, &cut, args, 0)
}

/// finit_module(2).
pub fn finit_module(cx: &mut Cx, fd: Descriptor, args: load::Args, flags: u32) -> R<i32> {
    if !cx.profile.has_finit {
        return Ok(-ENOSYS);
    }
    if !may_load(cx) {
        return Ok(-EPERM);
    }
    if flags & !FINIT_FLAGS != 0 {
        return Ok(-EINVAL);
    }
    match fd {
        Descriptor::Bad => Ok(-EBADF),
        Descriptor::Irregular => Ok(-EINVAL),
        Descriptor::File { written: true, .. } => Ok(-ETXTBSY),
        Descriptor::File { bytes, .. } if bytes.is_empty() => Ok(-EINVAL),
        Descriptor::File { .. } if flags & COMPRESSED != 0 => Ok(-EOPNOTSUPP),
        Descriptor::File { bytes, .. } => load::load_module(cx, &bytes, args, flags),
    }
}

/// delete_module(2); `name` is None when the pointer is bad.
pub fn delete_module(cx: &mut Cx, name: Option<&str>, flags: u32) -> R<i32> {
    if !may_load(cx) {
        return Ok(-EPERM);
    }
    super::steps::step(cx, "strncpy_from_user: the name, or EFAULT");
    let Some(name) = name else { return Ok(-EFAULT) };
    let mut name = name.to_owned();
    if name.is_empty() || name.len() >= NAME_LEN {
        if cx.profile.delete_checks_name {
            return Ok(-ENOENT);
        }
        let end = (0..NAME_LEN.min(name.len() + 1))
            .rev()
            .find(|&at| name.is_char_boundary(at))
            .unwrap_or(0);
        name.truncate(end);
    }
    delete::delete_module(cx, &name, flags)
}
