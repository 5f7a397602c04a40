//! User memory and the copies between it and the kernel (lib/usercopy.c, mm/maccess.c, mm/usercopy.c). User
//! addresses are a range of their own; a kernel address where a user address belongs is EFAULT.

use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm};
use lkm_machine::{Prot, map};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("_copy_from_user", copy_from_user).sleeps(),
    behaves("_copy_to_user", copy_to_user).sleeps(),
    behaves("__copy_user_flushcache", copy_user_flushcache).sleeps(),
    behaves("copy_from_user_nofault", copy_from_user_nofault),
    behaves("copy_to_user_nofault", copy_to_user_nofault),
    behaves("strncpy_from_user_nofault", strncpy_from_user_nofault),
    behaves("copy_from_kernel_nofault", copy_from_kernel_nofault),
    behaves("__check_object_size", check_object_size),
    behaves("strncpy_from_user", strncpy_from_user).sleeps(),
    behaves("strnlen_user", strnlen_user).sleeps(),
    behaves("clear_user", clear_user).sleeps(),
    behaves("__clear_user", clear_user).sleeps(),
    behaves("check_zeroed_user", check_zeroed_user).sleeps(),
    dup("memdup_user", memdup_user),
    dup("vmemdup_user", memdup_user),
    dup("memdup_user_nul", memdup_user_nul),
    dup("strndup_user", strndup_user),
    behaves("vm_mmap", vm_mmap).sleeps(),
    behaves("vm_munmap", vm_munmap).sleeps(),
    behaves("fault_in_readable", no_fault_left),
    behaves("fault_in_writeable", no_fault_left),
    behaves("fault_in_safe_writeable", no_fault_left),
];

const fn dup(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps()
}

/// The user range's mappings: start to length.
#[derive(Default)]
pub struct State {
    maps: BTreeMap<u64, u64>,
    /// Ranges of file mappings: start to length and how many processes have it there. Their pages are looked up,
    /// never touched in place.
    files: BTreeMap<u64, (u64, u32)>,
}

const GFP_KERNEL: u64 = 0xcc0;
/// Most bytes of one copy to or from a file mapping.
const MAX_COPY: u64 = map::USER.size;

/// Whether `len` bytes at `addr` lie in the user range (access_ok, as the lab has it).
pub fn is_user(addr: u64, len: u64) -> bool {
    addr >= map::USER.start
        && addr
            .checked_add(len)
            .is_some_and(|end| end <= map::USER.end())
}

/// The lowest free range of `len` bytes.
fn free_range(cx: &Cx, len: u64) -> Option<u64> {
    let mut at = map::USER.start + map::PAGE;
    if len > map::USER.size {
        return None;
    }
    let files = cx.uaccess.files.iter().map(|(&at, &(len, _))| (at, len));
    let mut taken: Vec<(u64, u64)> = cx.uaccess.maps.iter().map(|(&a, &l)| (a, l)).collect();
    taken.extend(files);
    taken.sort_unstable();
    for (start, size) in taken {
        if at + len < start {
            break;
        }
        // One page stays unmapped between two mappings.
        at = start + size + map::PAGE;
    }
    (at + len <= map::USER.end()).then_some(at)
}

/// Reserves `len` bytes of user addresses for a file mapping; None when the range is full.
pub(crate) fn reserve(cx: &mut Cx, len: u64) -> Option<u64> {
    let at = free_range(cx, len)?;
    cx.protect(map::USER, at, len, Prot::None).ok()?;
    cx.uaccess.files.insert(at, (len, 1));
    Some(at)
}

/// One more process has a file mapping at that address.
pub(crate) fn share(cx: &mut Cx, at: u64) {
    if let Some((_, users)) = cx.uaccess.files.get_mut(&at) {
        *users += 1;
    }
}

/// One less does; the last gives the range back.
pub(crate) fn give_back(cx: &mut Cx, at: u64) {
    if let Some((_, users)) = cx.uaccess.files.get_mut(&at) {
        *users -= 1;
        if *users == 0 {
            cx.uaccess.files.remove(&at);
        }
    }
}

/// Maps `len` bytes of zeroed user memory; its address, or None when the range is full.
pub fn map_pages(cx: &mut Cx, len: u64) -> Option<u64> {
    let len = len.max(1).checked_next_multiple_of(map::PAGE)?;
    let at = free_range(cx, len)?;
    cx.protect(map::USER, at, len, Prot::ReadWrite).ok()?;
    cx.uaccess.maps.insert(at, len);
    Some(at)
}

/// Unmaps what [`map_pages`] gave, or the part of a mapping that [addr, addr + len) covers.
pub fn unmap_pages(cx: &mut Cx, addr: u64, len: u64) -> bool {
    let Some((&start, &size)) = cx.uaccess.maps.range(..=addr).next_back() else {
        return false;
    };
    let end = addr.saturating_add(len.next_multiple_of(map::PAGE));
    if addr >= start + size || !addr.is_multiple_of(map::PAGE) {
        return false;
    }
    let end = end.min(start + size);
    if cx.protect(map::USER, addr, end - addr, Prot::None).is_err() {
        return false;
    }
    cx.discard(map::USER, addr, end - addr);
    cx.uaccess.maps.remove(&start);
    if addr > start {
        cx.uaccess.maps.insert(start, addr - start);
    }
    if end < start + size {
        cx.uaccess.maps.insert(end, start + size - end);
    }
    true
}

/// How many of `len` bytes from `addr` are mapped user memory.
fn reachable(cx: &Cx, addr: u64, len: u64) -> u64 {
    if !is_user(addr, len) {
        return 0;
    }
    match cx.uaccess.maps.range(..=addr).next_back() {
        Some((&start, &size)) if addr < start + size => len.min(start + size - addr),
        _ => 0,
    }
}

/// copy_from_user: the number of bytes that could not be copied. The rest of `to` is zeroed.
pub fn from_user(cx: &mut Cx, to: u64, from: u64, len: u64) -> R {
    if mm::memory::is_mapping(cx, from) {
        let got = mm::memory::load(cx, from, len.min(MAX_COPY))?.0;
        cx.write(to, &got)?;
        let can = got.len() as u64;
        cx.fill(to + can, 0, len - can)?;
        return Ok(len - can);
    }
    let can = reachable(cx, from, len);
    cx.copy(to, from, can)?;
    if can < len {
        cx.fill(to + can, 0, len - can)?;
    }
    Ok(len - can)
}

/// copy_to_user: the number of bytes that could not be copied.
pub fn to_user(cx: &mut Cx, to: u64, from: u64, len: u64) -> R {
    if mm::memory::is_mapping(cx, to) {
        let bytes = cx.bytes(from, len.min(MAX_COPY))?;
        let done = mm::memory::store(cx, to, &bytes)?.0;
        return Ok(len - done as u64);
    }
    let can = reachable(cx, to, len);
    cx.copy(to, from, can)?;
    Ok(len - can)
}

/// Bytes of the lab's own to user memory; the number that could not be copied.
pub fn bytes_to_user(cx: &mut Cx, to: u64, bytes: &[u8]) -> R {
    if mm::memory::is_mapping(cx, to) {
        let done = mm::memory::store(cx, to, bytes)?.0;
        return Ok((bytes.len() - done) as u64);
    }
    let can = reachable(cx, to, bytes.len() as u64);
    cx.write(to, &bytes[..can as usize])?;
    Ok(bytes.len() as u64 - can)
}

/// Bytes of user memory, or None (EFAULT).
pub fn user_bytes(cx: &Cx, from: u64, len: u64) -> R<Option<Vec<u8>>> {
    if reachable(cx, from, len) < len {
        return Ok(None);
    }
    Ok(Some(cx.bytes(from, len)?))
}

fn copy_from_user(cx: &mut Cx, c: &Call) -> R {
    from_user(cx, c.a[0], c.a[1], c.a[2])
}

fn copy_to_user(cx: &mut Cx, c: &Call) -> R {
    to_user(cx, c.a[0], c.a[1], c.a[2])
}

fn copy_user_flushcache(cx: &mut Cx, c: &Call) -> R {
    from_user(cx, c.a[0], c.a[1], c.a[2])
}

fn copy_from_user_nofault(cx: &mut Cx, c: &Call) -> R {
    let left = from_user(cx, c.a[0], c.a[1], c.a[2])?;
    Ok(if left == 0 { 0 } else { neg(EFAULT) })
}

fn copy_to_user_nofault(cx: &mut Cx, c: &Call) -> R {
    let left = to_user(cx, c.a[0], c.a[1], c.a[2])?;
    Ok(if left == 0 { 0 } else { neg(EFAULT) })
}

fn copy_from_kernel_nofault(cx: &mut Cx, c: &Call) -> R {
    let [to, from, len, ..] = c.a;
    if is_user(from, len) || from < map::GUEST_START {
        return Ok(neg(ERANGE));
    }
    match cx.bytes(from, len.min(1 << 20)) {
        Ok(bytes) => {
            cx.write(to, &bytes)?;
            Ok(0)
        }
        Err(_) => Ok(neg(EFAULT)),
    }
}

/// Hardened usercopy: a copy that crosses the end of a slab object is a BUG.
fn check_object_size(cx: &mut Cx, c: &Call) -> R {
    let [ptr, len, to_user, ..] = c.a;
    if len == 0 {
        return Ok(0);
    }
    let Some(block) = mm::guard::block_of(cx, ptr) else {
        return Ok(0);
    };
    let offset = ptr.wrapping_sub(block.addr);
    if !block.freed && ptr >= block.addr && offset < block.size && offset + len > block.size {
        let (what, way) = if to_user & 1 != 0 {
            ("exposure", "from")
        } else {
            ("overwrite", "to")
        };
        crate::printk::log(
            cx,
            0,
            &format!(
                "usercopy: Kernel memory {what} attempt detected {way} SLUB object (offset {offset}, size {len})!\n"
            ),
        );
        return Err(crate::abi::Stop::Bug("kernel BUG in usercopy_abort".into()));
    }
    Ok(0)
}

/// The bytes of a user string before its NUL, at most `max`; None when it leaves user memory.
fn string(cx: &Cx, at: u64, max: u64) -> R<Option<(Vec<u8>, bool)>> {
    let can = reachable(cx, at, max.min(map::USER.end().saturating_sub(at)));
    let bytes = cx.bytes(at, can)?;
    match bytes.iter().position(|&b| b == 0) {
        Some(end) => Ok(Some((bytes[..end].to_vec(), true))),
        None if can == max => Ok(Some((bytes, false))),
        None => Ok(None),
    }
}

fn strncpy_from_user(cx: &mut Cx, c: &Call) -> R {
    let [to, from, max, ..] = c.a;
    if (max as i64) <= 0 {
        return Ok(0);
    }
    match string(cx, from, max)? {
        Some((bytes, whole)) => {
            cx.write(to, &bytes)?;
            if whole {
                cx.w8(to + bytes.len() as u64, 0)?;
            }
            Ok(bytes.len() as u64)
        }
        None => Ok(neg(EFAULT)),
    }
}

fn strncpy_from_user_nofault(cx: &mut Cx, c: &Call) -> R {
    let [to, from, max, ..] = c.a;
    if (max as i64) <= 0 {
        return Ok(0);
    }
    match string(cx, from, max)? {
        Some((mut bytes, whole)) => {
            if !whole {
                bytes.pop();
            }
            cx.write(to, &bytes)?;
            cx.w8(to + bytes.len() as u64, 0)?;
            Ok(bytes.len() as u64 + 1)
        }
        None => Ok(neg(EFAULT)),
    }
}

fn strnlen_user(cx: &mut Cx, c: &Call) -> R {
    let [at, max, ..] = c.a;
    if (max as i64) <= 0 {
        return Ok(0);
    }
    Ok(match string(cx, at, max)? {
        Some((bytes, _)) => bytes.len() as u64 + 1,
        None => 0,
    })
}

fn clear_user(cx: &mut Cx, c: &Call) -> R {
    let can = reachable(cx, c.a[0], c.a[1]);
    cx.fill(c.a[0], 0, can)?;
    Ok(c.a[1] - can)
}

fn check_zeroed_user(cx: &mut Cx, c: &Call) -> R {
    Ok(match user_bytes(cx, c.a[0], c.a[1])? {
        Some(bytes) => u64::from(bytes.iter().all(|&b| b == 0)),
        None => neg(EFAULT),
    })
}

fn dup_bytes(cx: &mut Cx, from: u64, len: u64, nul: bool) -> R {
    // The kernel allocates first; the answer to a bad address is the same.
    if reachable(cx, from, len) < len {
        return Ok(neg(EFAULT));
    }
    let to = mm::slab::alloc(cx, len.saturating_add(u64::from(nul)), GFP_KERNEL)?;
    if to == 0 {
        return Ok(neg(ENOMEM));
    }
    cx.copy(to, from, len)?;
    if nul {
        cx.w8(to + len, 0)?;
    }
    Ok(to)
}

fn memdup_user(cx: &mut Cx, c: &Call) -> R {
    dup_bytes(cx, c.a[0], c.a[1], false)
}

fn memdup_user_nul(cx: &mut Cx, c: &Call) -> R {
    dup_bytes(cx, c.a[0], c.a[1], true)
}

fn strndup_user(cx: &mut Cx, c: &Call) -> R {
    match string(cx, c.a[0], c.a[1])? {
        None => Ok(neg(EFAULT)),
        Some((_, false)) => Ok(neg(EINVAL)),
        Some((bytes, true)) => dup_bytes(cx, c.a[0], bytes.len() as u64, true),
    }
}

/// vm_mmap(file, addr, len, prot, flag, offset): of a file, or anonymous memory.
fn vm_mmap(cx: &mut Cx, c: &Call) -> R {
    let [file, _, len, prot, flag, offset] = c.a;
    if len == 0 || !offset.is_multiple_of(map::PAGE) {
        return Ok(neg(EINVAL));
    }
    if file == 0 {
        return Ok(map_pages(cx, len).unwrap_or(neg(ENOMEM)));
    }
    let wish = mm::mmap::Wish {
        len,
        offset,
        // MAP_PRIVATE, PROT_WRITE.
        private: flag & 2 != 0,
        write: Some(prot & 2 != 0),
    };
    let tid = crate::sched::current_tid(cx);
    Ok(mm::mmap::map_file(cx, tid, file, &wish)? as u64)
}

fn vm_munmap(cx: &mut Cx, c: &Call) -> R {
    let [addr, len, ..] = c.a;
    if len == 0 || !addr.is_multiple_of(map::PAGE) {
        return Ok(neg(EINVAL));
    }
    if cx
        .uaccess
        .maps
        .range(..=addr)
        .next_back()
        .is_some_and(|(&start, &size)| addr < start + size)
    {
        unmap_pages(cx, addr, len);
        return Ok(0);
    }
    let tid = crate::sched::current_tid(cx);
    Ok(mm::mmap::unmap_in_call(cx, tid, addr, len)? as u64)
}

fn no_fault_left(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}
