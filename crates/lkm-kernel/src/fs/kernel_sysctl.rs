//! The sysctls of the module loader and the usermode helper (kernel/sysctl.c): /proc/sys/kernel/modprobe and its
//! neighbours, as files and by their dotted names.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use super::open::Found;
use crate::Cx;
use crate::abi::{R, errno::*};
use crate::mm::uaccess;

/// Bytes of the longest value: KMOD_PATH_LEN.
const MAX: usize = 256;

/// Names, in the order of their file numbers.
const NAMES: &[&str] = &[
    "kernel/modprobe",
    "kernel/modules_disabled",
    "kernel/threads-max",
    "kernel/usermodehelper/bset",
    "kernel/usermodehelper/inheritable",
];

/// Their files.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("/proc/sys/{name}"))
}

/// The value as its file shows it.
pub fn show(cx: &Cx, name: &str) -> Option<String> {
    Some(match name {
        "kernel/modprobe" => format!("{}\n", cx.kmod.path),
        "kernel/modules_disabled" => format!("{}\n", u32::from(cx.modules.disabled)),
        "kernel/threads-max" => format!("{}\n", cx.kmod.max_threads),
        "kernel/usermodehelper/bset" => format!("{}\t{}\n", cx.umh.caps[0][0], cx.umh.caps[0][1]),
        "kernel/usermodehelper/inheritable" => {
            format!("{}\t{}\n", cx.umh.caps[1][0], cx.umh.caps[1][1])
        }
        _ => return None,
    })
}

/// Writes a value: 0 or a positive errno.
pub fn store(cx: &mut Cx, name: &str, bytes: &[u8]) -> i32 {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let line = text.split(['\n', '\0']).next().unwrap_or("");
    match name {
        "kernel/modprobe" => {
            cx.kmod.path = line
                .char_indices()
                .take_while(|(at, c)| at + c.len_utf8() < MAX)
                .map(|(_, c)| c)
                .collect();
            0
        }
        "kernel/modules_disabled" => match line.trim() {
            "1" => {
                cx.modules.disabled = true;
                0
            }
            // One way only: it cannot be written back.
            _ => EINVAL,
        },
        "kernel/threads-max" => match line.trim().parse::<u32>() {
            Ok(n) if n >= 1 => {
                cx.kmod.max_threads = n;
                0
            }
            _ => EINVAL,
        },
        "kernel/usermodehelper/bset" | "kernel/usermodehelper/inheritable" => {
            let words: Vec<u32> = line
                .split_whitespace()
                .map_while(|w| w.parse().ok())
                .collect();
            let [low, high] = words.as_slice() else {
                return EINVAL;
            };
            let caps = &mut cx.umh.caps[usize::from(name.ends_with("inheritable"))];
            // Capabilities can only be dropped.
            *caps = [caps[0] & low, caps[1] & high];
            0
        }
        _ => ENOENT,
    }
}

static OPS: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: None,
};

/// open(2) of one of the files.
pub(super) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(number) = path
        .strip_prefix("/proc/sys/")
        .and_then(|name| NAMES.iter().position(|n| *n == name))
    else {
        return Ok(None);
    };
    let new = NewFile {
        what: path,
        mode: S_IFREG | 0o644,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&OPS),
        data: number as u64,
        inode: 0,
    };
    Ok(Some(Ok(files::new_file(cx, &new)?)))
}

fn name_of(cx: &Cx, file: u64) -> &'static str {
    let number = files::info(cx, file).map_or(0, |o| o.data);
    NAMES.get(number as usize).copied().unwrap_or("")
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let text = show(cx, name_of(cx, file)).unwrap_or_default();
    super::open::read_bytes(cx, file, text.as_bytes(), buf, len)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let Some(bytes) = uaccess::user_bytes(cx, buf, len.min(4096))? else {
        return Ok(i64::from(-EFAULT));
    };
    Ok(match store(cx, name_of(cx, file), &bytes) {
        0 => len as i64,
        errno => i64::from(-errno),
    })
}
