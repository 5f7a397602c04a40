//! The bytes of a trace: LEB128 numbers, length-prefixed text, and a decoder that trusts none of them.

/// Longest text a record may carry, in bytes. Longer text is cut by the writer and refused by the reader.
pub const MAX_TEXT: usize = 4096;
/// Most entries a list in a record may have.
pub const MAX_LIST: usize = 4096;

/// Why a record could not be decoded. The trace is good up to the record before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a record.
    Truncated,
    /// A number does not fit its field.
    Overflow,
    /// A text or list is longer than a writer may make it.
    TooLong,
    /// The first byte of a record names no event.
    UnknownEvent(u8),
    /// An enumeration holds a value that is not one of its own.
    BadValue,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the trace ends inside a record"),
            Malformed::Overflow => f.write_str("a number in the trace is out of range"),
            Malformed::TooLong => f.write_str("a text or list in the trace is too long"),
            Malformed::UnknownEvent(tag) => write!(f, "the trace names an unknown event {tag}"),
            Malformed::BadValue => f.write_str("the trace holds an unknown value"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A value that can be written to and read from a trace.
pub trait Wire: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes a value off the front of `bytes`.
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed>;
}

impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (&first, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        Ok(first)
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::take(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::BadValue),
        }
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut value = *self;
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = u8::take(bytes)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Malformed::Overflow);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Overflow)
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(*self).put(out);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        u32::try_from(u64::take(bytes)?).map_err(|_| Malformed::Overflow)
    }
}

impl Wire for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        (((*self << 1) ^ (*self >> 63)) as u64).put(out);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let raw = u64::take(bytes)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        let mut end = self.len().min(MAX_TEXT);
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        (end as u64).put(out);
        out.extend_from_slice(&self.as_bytes()[..end]);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let len = u64::take(bytes)?;
        if len > MAX_TEXT as u64 {
            return Err(Malformed::TooLong);
        }
        let len = len as usize;
        if bytes.len() < len {
            return Err(Malformed::Truncated);
        }
        let (text, rest) = bytes.split_at(len);
        *bytes = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        let len = self.len().min(MAX_LIST);
        (len as u64).put(out);
        for item in &self[..len] {
            item.put(out);
        }
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let len = u64::take(bytes)?;
        if len > MAX_LIST as u64 {
            return Err(Malformed::TooLong);
        }
        // Nothing is reserved from a claimed length: each item must be there.
        let mut list = Vec::new();
        for _ in 0..len {
            list.push(T::take(bytes)?);
        }
        Ok(list)
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::take(bytes)?, B::take(bytes)?, C::take(bytes)?))
    }
}
