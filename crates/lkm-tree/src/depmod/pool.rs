//! Many short texts in one piece of memory.

/// A part of a [`Pool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

/// Texts end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool(pub Vec<u8>);

impl Pool {
    /// A text of this pool.
    pub fn get(&self, s: Span) -> &[u8] {
        &self.0[s.at as usize..(s.at + s.len) as usize]
    }

    /// Adds a text.
    pub fn add(&mut self, s: &[u8]) -> Span {
        let at = self.0.len() as u32;
        self.0.extend_from_slice(s);
        Span {
            at,
            len: s.len() as u32,
        }
    }

    /// Whether [`Pool::get`] has it.
    pub fn holds(&self, s: Span) -> bool {
        u64::from(s.at) + u64::from(s.len) <= self.0.len() as u64
    }
}
