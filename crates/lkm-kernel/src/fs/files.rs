//! File tables of tasks (fs/file.c).

use crate::Cx;
use crate::abi::R;
use crate::sched::Tid;

/// A task ends: its file table goes (exit_files).
pub(crate) fn on_exit(_: &mut Cx, _: Tid) -> R<()> {
    Ok(())
}
