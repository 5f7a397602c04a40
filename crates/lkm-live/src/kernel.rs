//! The running kernel, as the tools of `lkm-tree` see it: the three module
//! system calls, `/proc/modules` and `/sys/module`.
//!
//! The calls go through the C library's own symbols and files are opened by
//! path through `std`, so that test harnesses which preload replacements see
//! them all.

use std::ffi::{CString, OsStr, c_char, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use lkm_tree::errno::Errno;
use lkm_tree::fs::OpenFile;
use lkm_tree::kernel::{Compression, DeleteFlags, InsertFlags, Kernel, Loaded, Parameter, State};

/// As much of a file of `/proc` or `/sys` as is read.
const READ_MAX: u64 = 16 << 20;

unsafe extern "C" {
    // glibc exports both without declaring them in a header.
    fn init_module(image: *const c_void, len: c_ulong, params: *const c_char) -> c_long;
    fn delete_module(name: *const c_char, flags: c_uint) -> c_long;
}

/// The kernel this process runs on.
#[derive(Clone, Copy, Default, Debug)]
pub struct LiveKernel;

fn last_errno() -> Errno {
    Errno::from(std::io::Error::last_os_error())
}

fn c_string(s: &[u8]) -> Result<CString, Errno> {
    CString::new(s).map_err(|_| Errno::EINVAL)
}

fn module_path(name: &[u8], attribute: &str) -> Result<PathBuf, Errno> {
    // A name is one component; anything else would lead out of /sys/module.
    if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
        return Err(Errno::ENOENT);
    }
    Ok(Path::new("/sys/module")
        .join(OsStr::from_bytes(name))
        .join(attribute))
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, Errno> {
    // These files do not tell their size; most are smaller than this.
    let mut out = Vec::with_capacity(1 << 10);
    File::open(path)?.take(READ_MAX).read_to_end(&mut out)?;
    Ok(out)
}

fn read_number(path: impl AsRef<Path>) -> Result<i64, Errno> {
    let text = read(path)?;
    let text = std::str::from_utf8(&text).map_err(|_| Errno::EINVAL)?;
    text.trim().parse().map_err(|_| Errno::EINVAL)
}

fn finit_module(fd: RawFd, params: &CString, flags: u32) -> Result<(), Errno> {
    // SAFETY: finit_module reads the NUL-terminated parameters, which outlive
    // the call, and nothing else of ours.
    let r = unsafe { libc::syscall(libc::SYS_finit_module, fd, params.as_ptr(), flags) };
    if r < 0 { Err(last_errno()) } else { Ok(()) }
}

impl Kernel for LiveKernel {
    fn release(&self) -> Result<Vec<u8>, Errno> {
        // SAFETY: utsname is plain bytes; uname fills it and keeps no pointer.
        let mut name: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: as above; the pointer is to a live utsname.
        if unsafe { libc::uname(&mut name) } < 0 {
            return Err(last_errno());
        }
        Ok(name
            .release
            .iter()
            .take_while(|&&c| c != 0)
            .map(|&c| c as u8)
            .collect())
    }

    fn insert_file(
        &self,
        file: &dyn OpenFile,
        params: &[u8],
        flags: InsertFlags,
    ) -> Result<(), Errno> {
        let fd = file.descriptor().ok_or(Errno::ENOSYS)?;
        finit_module(fd.as_raw_fd(), &c_string(params)?, flags.0)
    }

    fn insert_image(&self, image: &[u8], params: &[u8]) -> Result<(), Errno> {
        let params = c_string(params)?;
        // SAFETY: the kernel copies `len` bytes of the image and the
        // NUL-terminated parameters; both outlive the call.
        let r = unsafe {
            init_module(
                image.as_ptr().cast(),
                image.len() as c_ulong,
                params.as_ptr(),
            )
        };
        if r < 0 { Err(last_errno()) } else { Ok(()) }
    }

    fn delete(&self, name: &[u8], flags: DeleteFlags) -> Result<(), Errno> {
        let name = c_string(name)?;
        // SAFETY: the kernel reads the NUL-terminated name, which outlives the
        // call.
        let r = unsafe { delete_module(name.as_ptr(), flags.0) };
        if r != 0 { Err(last_errno()) } else { Ok(()) }
    }

    fn loaded(&self) -> Result<Vec<Loaded>, Errno> {
        let text = read("/proc/modules")?;
        Ok(text.split(|&c| c == b'\n').filter_map(parse_row).collect())
    }

    fn state(&self, name: &[u8]) -> Result<State, Errno> {
        match read(module_path(name, "initstate")?) {
            Ok(text) => match &text[..] {
                b"live\n" => Ok(State::Live),
                b"coming\n" => Ok(State::Coming),
                b"going\n" => Ok(State::Going),
                _ => Err(Errno::EINVAL),
            },
            // Early in a load there is the directory and nothing in it.
            Err(_) => match File::open(module_path(name, "")?) {
                Ok(f) if f.metadata().is_ok_and(|m| m.is_dir()) => Ok(State::Coming),
                Ok(_) => Err(Errno::ENOENT),
                Err(e) => Err(e.into()),
            },
        }
    }

    fn refcnt(&self, name: &[u8]) -> Result<i64, Errno> {
        read_number(module_path(name, "refcnt")?)
    }

    fn holders(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let entries = std::fs::read_dir(module_path(name, "holders")?)?;
        let mut out = Vec::new();
        for e in entries {
            out.push(e?.file_name().into_vec());
        }
        Ok(out)
    }

    fn attribute(&self, name: &[u8], attribute: &str) -> Result<Vec<u8>, Errno> {
        read(module_path(name, attribute)?)
    }

    fn parameters(&self, name: &[u8]) -> Result<Vec<Parameter>, Errno> {
        let dir = module_path(name, "parameters")?;
        let mut out = Vec::new();
        for e in std::fs::read_dir(&dir)? {
            let name = e?.file_name();
            // Some can only be written.
            let Ok(mut value) = read(dir.join(&name)) else {
                continue;
            };
            if value.last() == Some(&b'\n') {
                value.pop();
            }
            out.push(Parameter {
                name: name.into_vec(),
                value,
            });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn command_line(&self) -> Result<Vec<u8>, Errno> {
        read("/proc/cmdline")
    }

    fn compression(&self) -> Result<Compression, Vec<u8>> {
        match read("/sys/module/compression") {
            Err(_) => Ok(Compression::None),
            Ok(word) => match &word[..] {
                b"gzip\n" => Ok(Compression::Gzip),
                b"xz\n" => Ok(Compression::Xz),
                b"zstd\n" => Ok(Compression::Zstd),
                _ => Err(word),
            },
        }
    }

    fn refusal(&self, error: Errno) -> Option<String> {
        refusal(error)
    }
}

/// `name size refcnt used-by state address [(taint)]`
fn parse_row(line: &[u8]) -> Option<Loaded> {
    let mut words = line
        .split(|&c| c == b' ' || c == b'\t')
        .filter(|w| !w.is_empty());
    let name = words.next()?.to_vec();
    let number = |w: Option<&[u8]>| -> Option<i64> { std::str::from_utf8(w?).ok()?.parse().ok() };
    let size = number(words.next())
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0);
    let refcnt = number(words.next());
    let used_by = words.next().unwrap_or(b"-");
    let used_by = used_by
        .split(|&c| c == b',')
        .filter(|w| !w.is_empty() && *w != b"-" && *w != b"[permanent]")
        .map(<[u8]>::to_vec)
        .collect();
    let state = words.next().unwrap_or(b"Live").to_vec();
    let taint = words
        .find_map(|w| w.strip_prefix(b"(")?.strip_suffix(b")"))
        .unwrap_or(b"")
        .to_vec();
    Some(Loaded {
        name,
        size,
        refcnt,
        used_by,
        state,
        taint,
    })
}

/// Why this kernel refuses modules, as far as it tells.
fn refusal(error: Errno) -> Option<String> {
    let one = |path: &str| read(path).is_ok_and(|t| t.starts_with(b"1") || t.starts_with(b"Y"));
    if error == Errno::EPERM {
        if one("/proc/sys/kernel/modules_disabled") {
            return Some(
                "kernel.modules_disabled is 1: no module can be loaded or unloaded until reboot"
                    .into(),
            );
        }
        let lockdown = read("/sys/kernel/security/lockdown").unwrap_or_default();
        let lockdown = String::from_utf8_lossy(&lockdown).into_owned();
        if let Some(mode) = lockdown.split('[').nth(1).and_then(|r| r.split(']').next())
            && mode != "none"
        {
            return Some(format!(
                "the kernel is locked down ({mode}): it takes only modules signed with a key it trusts, and no forced load"
            ));
        }
        if !has_capability_sys_module() {
            return Some("this process lacks CAP_SYS_MODULE (not root, or in a container)".into());
        }
        if one("/sys/module/module/parameters/sig_enforce") {
            return Some("module.sig_enforce is set: unsigned modules are refused".into());
        }
    }
    if error == Errno::EKEYREJECTED || error.0 == libc::ENOKEY {
        let enforced = one("/sys/module/module/parameters/sig_enforce");
        let why = if enforced {
            "signatures are enforced"
        } else {
            "its signature was checked"
        };
        return Some(format!(
            "{why}, and the module is unsigned or signed with a key that the kernel does not trust (see /proc/keys, and modinfo -F signer)"
        ));
    }
    None
}

fn has_capability_sys_module() -> bool {
    const CAP_SYS_MODULE: u32 = 16;
    let status = read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status).into_owned();
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    match effective.and_then(|e| u64::from_str_radix(e.trim(), 16).ok()) {
        Some(set) => set >> CAP_SYS_MODULE & 1 == 1,
        // Unknown is not missing.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_proc_modules() {
        let row =
            parse_row(b"snd_pcm 151552 2 snd_hda_intel,snd_hda_codec, Live 0x0 (OE)").unwrap();
        assert_eq!(row.size, 151_552);
        assert_eq!(row.refcnt, Some(2));
        assert_eq!(
            row.used_by,
            [b"snd_hda_intel".to_vec(), b"snd_hda_codec".to_vec()]
        );
        assert_eq!(row.taint, b"OE");
        let row = parse_row(b"x 1 - - Unloading 0x0").unwrap();
        assert_eq!(
            (row.refcnt, row.used_by.len(), &row.state[..]),
            (None, 0, &b"Unloading"[..])
        );
        assert_eq!(parse_row(b""), None);
    }

    #[test]
    fn a_name_stays_below_sys_module() {
        for bad in ["", ".", "..", "a/b", "../x"] {
            assert_eq!(module_path(bad.as_bytes(), "refcnt"), Err(Errno::ENOENT));
        }
    }
}
