//! Names of the error numbers that reports show (include/uapi/asm-generic/errno*.h).

/// A result with the name of its errno.
pub(crate) fn errno_text(value: i64) -> String {
    match errno_name(value) {
        Some(name) => format!("{value} ({name})"),
        None => value.to_string(),
    }
}

fn errno_name(value: i64) -> Option<&'static str> {
    Some(match -value {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        8 => "ENOEXEC",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        22 => "EINVAL",
        28 => "ENOSPC",
        34 => "ERANGE",
        38 => "ENOSYS",
        62 => "ETIME",
        95 => "EOPNOTSUPP",
        110 => "ETIMEDOUT",
        517 => "EPROBE_DEFER",
        _ => return None,
    })
}
