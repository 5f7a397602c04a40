//! Standard output: a reader that has seen enough (`| head`) ends the program, as it ends every other.

use std::fmt::Arguments;
use std::io::Write;

/// What a shell shows of a process that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

/// Writes formatted text.
pub(crate) fn print(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    done(out.write_fmt(text).and_then(|()| out.flush()));
}

/// The result of writing to standard output: when it cannot be written to, nothing is left to do.
pub(crate) fn done(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(BROKEN_PIPE),
        Err(e) => {
            eprintln!("lkm: standard output: {e}");
            std::process::exit(2);
        }
    }
}

/// [`std::print!`] without its panic.
macro_rules! out {
    ($($arg:tt)*) => { $crate::out::print(format_args!($($arg)*)) };
}
pub(crate) use out;
