//! `depmod -A`: whether there is anything to do.

use crate::bytes;
use crate::fs::{Files, Kind, OpenDir};
use crate::log::Log;
use crate::text::has_module_extension;

/// Whether no module is newer than `modules.dep`. What cannot be told counts
/// as newer.
pub fn up_to_date(fs: &dyn Files, dirname: &[u8], log: &mut Log<'_>) -> bool {
    let dir = match fs.open_dir(dirname) {
        Ok(d) => d,
        Err(e) => {
            log.error(bytes!("could not open directory ", dirname, ": ", e.text()));
            return false;
        }
    };
    match dir.stat(b"modules.dep") {
        Ok(st) => !has_newer(&*dir, st.mtime_ns / 1000, 0),
        Err(e) => {
            let text = e.text();
            log.error(bytes!(
                "could not fstatat(",
                dirname,
                ", modules.dep): ",
                text
            ));
            false
        }
    }
}

fn has_newer(dir: &dyn OpenDir, than_usec: i128, depth: usize) -> bool {
    /// Deeper than a path can be long, only a loop of links goes.
    const DEPTH_MAX: usize = 64;
    for e in dir.entries().unwrap_or_default() {
        if e.name == b"build" || e.name == b"source" {
            continue;
        }
        let Ok(st) = dir.stat(&e.name) else { continue };
        let newer = match st.kind {
            Kind::Dir if depth < DEPTH_MAX => dir
                .dir(&e.name)
                .is_ok_and(|d| has_newer(&*d, than_usec, depth + 1)),
            Kind::File => has_module_extension(&e.name) && st.mtime_ns / 1000 > than_usec,
            _ => false,
        };
        if newer {
            return true;
        }
    }
    false
}
