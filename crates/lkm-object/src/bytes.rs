//! Bounds-checked integers and strings out of borrowed bytes; every parser here is built on it.

/// Reads integers in one of the two byte orders; `None` past the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub big: bool,
}

/// Little endian, for what is never in another order (x86 boot images, descriptors).
pub(crate) const LITTLE: Order = Order { big: false };

macro_rules! reader {
    ($name:ident, $t:ty) => {
        #[inline]
        pub fn $name(self, data: &[u8], at: usize) -> Option<$t> {
            const N: usize = size_of::<$t>();
            let raw: [u8; N] = data.get(at..at.checked_add(N)?)?.try_into().ok()?;
            Some(if self.big {
                <$t>::from_be_bytes(raw)
            } else {
                <$t>::from_le_bytes(raw)
            })
        }
    };
}

impl Order {
    reader!(u16, u16);
    reader!(u32, u32);
    reader!(i32, i32);
    reader!(u64, u64);
    reader!(i64, i64);

    /// A word of the file's class: 8 bytes when `wide`, else 4, zero-extended.
    #[inline]
    pub fn word(self, data: &[u8], at: usize, wide: bool) -> Option<u64> {
        if wide {
            self.u64(data, at)
        } else {
            self.u32(data, at).map(u64::from)
        }
    }
}

/// The NUL-terminated bytes at `at`; `None` when outside or unterminated.
#[inline]
pub(crate) fn bytes_at(data: &[u8], at: usize) -> Option<&[u8]> {
    std::ffi::CStr::from_bytes_until_nul(data.get(at..)?)
        .ok()
        .map(std::ffi::CStr::to_bytes)
}

/// The NUL-terminated string at `at`, cut at the first byte that is not UTF-8.
#[inline]
pub(crate) fn str_at(data: &[u8], at: usize) -> Option<&str> {
    bytes_at(data, at).map(utf8)
}

/// `bytes` as far as they are UTF-8. Names in modules are ASCII; anything else is damage.
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(s) => s,
        Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or(""),
    }
}
