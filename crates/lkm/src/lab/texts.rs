//! What the lab shows of its kernel as text: errnos, lines of /proc/modules, files and directories.

use super::language::User;
use lkm_kernel::Cx;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::{files, kernel_sysctl, open, ops};
use lkm_kernel::module::sysfs::{self, Node};
use lkm_kernel::module::{show, state, taint};
use lkm_kernel::sched;
use std::cell::RefCell;
use std::rc::Rc;

/// O_WRONLY.
const WRITE_ONLY: u32 = 1;
/// Most bytes that cat shows.
const MAX_CAT: usize = 1 << 20;

/// A text's lines.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The result of a system call as the record has it.
pub(super) fn errno_name(value: i64) -> String {
    if value >= 0 {
        return value.to_string();
    }
    let errno = value.unsigned_abs();
    match errno {
        11 => "EWOULDBLOCK".into(),
        // What the kernel's restart code reaches user space as.
        512 => "EINTR".into(),
        _ => u32::try_from(errno)
            .ok()
            .and_then(lkm_trace::errno::name)
            .map_or_else(|| format!("errno {errno}"), str::to_owned),
    }
}

/// A `mod` line; None for a module that /proc/modules does not show.
pub(super) fn module_line(cx: &Cx, index: usize) -> R<Option<String>> {
    let m = &cx.modules.list[index];
    let word = match state(cx, index) {
        _ if !m.listed => return Ok(None),
        lkm_kernel::module::LIVE => "Live",
        lkm_kernel::module::COMING => "Loading",
        lkm_kernel::module::GOING => "Unloading",
        _ => return Ok(None),
    };
    let text = show::proc_modules(cx, true)?;
    let row = text
        .lines()
        .find(|l| l.split(' ').next() == Some(&m.name))
        .unwrap_or_default();
    let users = row.split(' ').nth(3).unwrap_or("-");
    let letters = if m.taints == 0 {
        "-".to_owned()
    } else {
        taint::letters(cx, index, Some(state(cx, index)))
    };
    Ok(Some(format!(
        "{} {} {users} {word} {letters}",
        m.name,
        show::shown_count(cx, index)?
    )))
}

/// cat and ls.
pub(super) fn read_path(
    cx: &mut Cx,
    path: &str,
    user: User,
    want_directory: bool,
    out: &Rc<RefCell<Vec<String>>>,
) -> R<i64> {
    let sysctl = path.strip_prefix("/proc/sys/");
    if let Some(text) = sysctl.and_then(|name| kernel_sysctl::show(cx, name)) {
        out.borrow_mut().extend(lines(&text));
        return Ok(0);
    }
    let answer = match sysfs::read(cx, path, user == User::Root)? {
        Some(answer) => answer,
        None if want_directory => match open::names(cx, path) {
            Some(names) => Ok(Node::Directory(names)),
            None => Err(errno::ENOENT),
        },
        None => return cat(cx, path, out),
    };
    Ok(match answer {
        Err(errno) => i64::from(-errno),
        Ok(Node::Text(_)) if want_directory => i64::from(-errno::ENOTDIR),
        // The files of sections have mode 0400.
        Ok(Node::Text(_)) if path.contains("/sections/") && !user.root() => {
            i64::from(-errno::EACCES)
        }
        Ok(Node::Directory(_)) if !want_directory => i64::from(-errno::EISDIR),
        Ok(Node::Text(text)) => {
            out.borrow_mut().extend(lines(&text));
            0
        }
        Ok(Node::Directory(names)) => {
            out.borrow_mut().extend(names);
            0
        }
    })
}

/// A file that a module made: open, read to the end, close.
fn cat(cx: &mut Cx, path: &str, out: &Rc<RefCell<Vec<String>>>) -> R<i64> {
    let tid = sched::current_tid(cx);
    let fd = match open::open_path(cx, tid, path, 0)? {
        Ok(fd) => fd,
        Err(errno) => return Ok(errno),
    };
    let read = ops::read_all(cx, fd, MAX_CAT)?;
    ops::close(cx, fd)?;
    Ok(match read {
        Ok(bytes) => {
            out.borrow_mut()
                .extend(lines(&String::from_utf8_lossy(&bytes)));
            0
        }
        Err(errno) => errno,
    })
}

/// echo TEXT > PATH: one write(2).
pub(super) fn write_path(cx: &mut Cx, path: &str, text: &str, root: bool) -> R<i64> {
    if !root {
        // All of these files are root's to write.
        return Ok(i64::from(-errno::EACCES));
    }
    let sysctl = path.strip_prefix("/proc/sys/");
    if let Some(name) = sysctl.filter(|n| kernel_sysctl::show(cx, n).is_some()) {
        return Ok(i64::from(-kernel_sysctl::store(cx, name, text.as_bytes())));
    }
    if let Some(errno) = sysfs::write(cx, path, text.as_bytes())? {
        return Ok(i64::from(-errno));
    }
    let tid = sched::current_tid(cx);
    let flags = WRITE_ONLY | open::O_CREAT | open::O_TRUNC;
    let fd = match open::open_path(cx, tid, path, flags)? {
        Ok(fd) => fd,
        Err(errno) => return Ok(errno),
    };
    let wrote = ops::write(cx, fd, text.as_bytes())?;
    ops::close(cx, fd)?;
    files::end_of_call(cx)?;
    Ok(wrote.min(0))
}
