//! A strict little DER reader: tag, length, contents. Enough for PKCS#7. As the kernel's
//! decoder it takes BER's indefinite lengths, too.

/// One element: its tag byte and its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'d> {
    pub tag: u8,
    pub body: &'d [u8],
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// Context-specific, constructed, number 0; the next numbers follow.
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_1: u8 = 0xa1;
/// Context-specific, primitive, number 0.
pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Der<'d> {
    rest: &'d [u8],
}

impl<'d> Der<'d> {
    pub fn new(data: &'d [u8]) -> Der<'d> {
        Der { rest: data }
    }

    /// The next element; `None` at the end or when it does not fit.
    pub fn next(&mut self) -> Option<Element<'d>> {
        let start = self.rest;
        let (tag, length) = self.head()?;
        let Some(length) = length else {
            let body = self.rest;
            if self.skip_to_end_mark().is_none() {
                self.rest = start;
                return None;
            }
            // The mark is two bytes.
            let length = body.len() - self.rest.len() - 2;
            return Some(Element {
                tag,
                body: &body[..length],
            });
        };
        let Some((body, rest)) = self.rest.split_at_checked(length) else {
            self.rest = start;
            return None;
        };
        self.rest = rest;
        Some(Element { tag, body })
    }

    /// Steps behind the end mark that belongs here, over elements and marks of theirs.
    fn skip_to_end_mark(&mut self) -> Option<()> {
        let mut open = 1usize;
        while open > 0 {
            match self.head()? {
                (0, Some(0)) => open -= 1,
                (_, None) => open += 1,
                (_, Some(length)) => self.rest = self.rest.split_at_checked(length)?.1,
            }
        }
        Some(())
    }

    /// A tag and a length, none for the indefinite one.
    fn head(&mut self) -> Option<(u8, Option<usize>)> {
        let (&tag, rest) = self.rest.split_first()?;
        // Tags of more than one byte do not occur in PKCS#7.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => Some(first as usize),
            // Only what has elements inside can be of indefinite length.
            0x80 if tag & 0x20 != 0 => None,
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked((first & 0x7f) as usize)?;
                rest = after;
                Some(
                    bytes
                        .iter()
                        .fold(0usize, |n, &b| n.wrapping_shl(8) | b as usize),
                )
            }
            _ => return None,
        };
        self.rest = rest;
        Some((tag, length))
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|e| e.tag == tag).map(|e| e.body)
    }

    /// The contents of the next element as a reader, if it has this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Der<'d>> {
        self.expect(tag).map(Der::new)
    }

    /// Steps over the next element if it has this tag.
    pub fn skip(&mut self, tag: u8) {
        let before = *self;
        if self.expect(tag).is_none() {
            *self = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let mut long = vec![OCTET_STRING, 0x82, 1, 0];
        long.extend([7; 256]);
        assert_eq!(
            Der::new(&long).expect(OCTET_STRING).map(<[u8]>::len),
            Some(256)
        );
        for bad in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x84, 255, 255, 255, 255, 0],
            &[4, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[0x1f, 1, 1],
            &[0x30, 0x80],
            &[0x30, 0x80, 0],
            &[0x30, 0x80, 0x30, 0x80, 0, 0],
            &[0x30, 0x80, 4, 9, 0, 0],
        ] {
            assert_eq!(Der::new(bad).next(), None, "{bad:?}");
        }
    }

    #[test]
    fn skip_steps_only_over_its_tag() {
        let data = [INTEGER, 1, 9, OID, 1, 3];
        let mut der = Der::new(&data);
        der.skip(OID);
        assert_eq!(der.expect(INTEGER), Some(&[9][..]));
        der.skip(OID);
        assert_eq!(der.next(), None);
    }
}
