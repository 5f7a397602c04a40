//! Error numbers as reports show them.

/// A result with the name of its errno.
pub(crate) fn errno_text(value: i64) -> String {
    let number = u32::try_from(value.unsigned_abs())
        .ok()
        .filter(|_| value < 0);
    match number.and_then(lkm_trace::errno::name) {
        Some(name) => format!("{value} ({name})"),
        None => value.to_string(),
    }
}
