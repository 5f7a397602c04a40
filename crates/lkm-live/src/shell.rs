//! The commands of `install` and `remove` lines, by `system(3)`, as kmod runs them.
//!
//! `std::process` would do, too, but brings in forty functions of the C
//! library, and the dynamic linker looks all of them up at each start of a
//! program that hardly ever runs a command.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use lkm_tree::errno::Errno;
use lkm_tree::host::Ended;

/// Runs a command with these variables in its environment, and puts the
/// environment back.
pub fn system(command: &[u8], env: &[(&str, &[u8])]) -> Ended {
    let Ok(command) = CString::new(command) else {
        return Ended::NotStarted(Errno::EINVAL);
    };
    let is_variable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    if env.iter().any(|(n, v)| !is_variable(n) || v.contains(&0)) {
        return Ended::NotStarted(Errno::EINVAL);
    }
    let before: Vec<_> = env.iter().map(|(n, _)| std::env::var_os(n)).collect();
    for (name, value) in env {
        // SAFETY: what other threads the programs make (depmod's, the live
        // tool's) reads the environment through `std::env` alone, if at all,
        // and that waits for this.
        unsafe { std::env::set_var(name, OsStr::from_bytes(value)) };
    }
    // Rust's runtime ignores SIGPIPE, and a command would inherit that.
    // SAFETY: the default action and what was there before are no functions of ours.
    let pipe = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: a string that ends.
    let ended = match unsafe { libc::system(command.as_ptr()) } {
        -1 => Ended::NotStarted(std::io::Error::last_os_error().into()),
        status => Ended::Code((status >> 8) & 0xff),
    };
    if pipe != libc::SIG_ERR {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, pipe) };
    }
    for ((name, _), value) in env.iter().zip(before) {
        // SAFETY: as above.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_see_the_variables_and_nobody_after_them() {
        let run = |text: &str| system(text.as_bytes(), &[("LKM_SHELL_TEST", b"a b")]);
        assert_eq!(run("test \"$LKM_SHELL_TEST\" = 'a b'"), Ended::Code(0));
        assert_eq!(std::env::var_os("LKM_SHELL_TEST"), None);
        assert_eq!(run("exit 3"), Ended::Code(3));
        assert_eq!(run("kill -9 $$"), Ended::Code(0));
        // The signal ends it: no failed write that it could tell of.
        assert_eq!(run("kill -PIPE $$; exit 1"), Ended::Code(0));
        assert_eq!(
            run("exec 2>/dev/null; no-such-command-anywhere"),
            Ended::Code(127)
        );
        assert_eq!(run("a\0b"), Ended::NotStarted(Errno::EINVAL));
        let odd = system(b"true", &[("a=b", b"")]);
        assert_eq!(odd, Ended::NotStarted(Errno::EINVAL));
    }
}
