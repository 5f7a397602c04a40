//! What a module file says of itself, in kmod's words: the strings of
//! `.modinfo`, its build-id and its signature.

use lkm_object::signature::{self, MODULE_SIG_STRING, MODULE_SIGNATURE_SIZE, Signature};

use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::sparse::{Sparse, SparseError};

/// Key and value of one line.
pub type Field = (Vec<u8>, Vec<u8>);

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// The strings of `.modinfo`, in file order.
    pub fields: Vec<Field>,
    pub build_id: Option<Vec<u8>>,
    pub signature: Option<Signed>,
}

/// The signature at a module's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `PKCS#7`, `X509` or `PGP`.
    pub id: &'static str,
    pub signer: Vec<u8>,
    pub key: Vec<u8>,
    pub hash: std::borrow::Cow<'static, str>,
    pub signature: Vec<u8>,
}

/// Splits a string of `.modinfo`.
pub fn field(s: &[u8]) -> Field {
    match s.iter().position(|&c| c == b'=') {
        Some(at) => (s[..at].to_vec(), s[at + 1..].to_vec()),
        None => (s.to_vec(), Vec::new()),
    }
}

/// Reads a module's file.
///
/// # Errors
/// `ENODATA` when there is no `.modinfo`, and those of [`Sparse`].
pub fn read(file: &dyn OpenFile) -> Result<Info, SparseError> {
    let mut src = Sparse::open(file)?;
    let header = src.header()?;
    let [strings, note] = src.sections(header, [b".modinfo", b".note.gnu.build-id"])?;
    let Some(strings) = strings else {
        return Err(SparseError::Io(Errno(libc::ENODATA)));
    };
    let strings = src
        .get(strings)
        .split(|&c| c == 0)
        .filter(|s| !s.is_empty());
    let fields = strings.map(field).collect();
    let build_id = note
        .and_then(|n| build_id(src.get(n), header.big))
        .map(<[u8]>::to_vec);
    let signature = signed(&mut src)?;
    Ok(Info {
        fields,
        build_id,
        signature,
    })
}

/// The build-id in a note section.
pub fn build_id(note: &[u8], big: bool) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |at: usize| {
        let b = note.get(at..at + 4)?.try_into().ok()?;
        Some(if big {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        })
    };
    let (name, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let end = 12usize.checked_add(name)?;
    if kind != NT_GNU_BUILD_ID || !note.get(12..)?.starts_with(b"GNU\0") {
        return None;
    }
    note.get(end..end.checked_add(size)?)
}

fn signed(src: &mut Sparse<'_>) -> Result<Option<Signed>, SparseError> {
    let fixed = MODULE_SIG_STRING.len() + MODULE_SIGNATURE_SIZE;
    let end = src.tail(fixed as u64)?;
    if end.len() < fixed || !end.ends_with(MODULE_SIG_STRING) {
        return Ok(None);
    }
    // The descriptor says how much belongs to the signature.
    let size = u32::from_be_bytes([end[8], end[9], end[10], end[11]]);
    let all = fixed as u64 + u64::from(size) + u64::from(end[3]) + u64::from(end[4]);
    let tail = src.tail(all)?;
    let Some(t) = signature::trailer(tail) else {
        return Ok(None);
    };
    if t.algo > 1 || t.hash > 8 || t.id_type > 2 || t.sig_len == 0 {
        return Ok(None);
    }
    Ok(Some(match Signature::from_trailer(&t) {
        Ok(s) => Signed {
            id: s.id_type,
            signer: s.signer.to_vec(),
            key: s.key_id.to_vec(),
            hash: s.hash_algo,
            signature: s.bytes.to_vec(),
        },
        // There is one, but it cannot be read.
        Err(_) => Signed {
            id: "PKCS#7",
            signer: Vec::new(),
            key: Vec::new(),
            hash: "unknown".into(),
            signature: Vec::new(),
        },
    }))
}

/// `01:AB:..`, twenty bytes a line.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b':');
            if i % 20 == 0 {
                out.extend_from_slice(b"\n\t\t");
            }
        }
        out.push(DIGITS[usize::from(b >> 4)]);
        out.push(DIGITS[usize::from(b & 15)]);
    }
    out
}

impl Info {
    /// All lines, as kmod has them: the strings, then build-id and signature.
    pub fn lines(&self) -> Vec<Field> {
        let mut out = self.fields.clone();
        if let Some(id) = &self.build_id {
            out.push((b"build-id".into(), hex(id)));
        }
        if let Some(s) = &self.signature {
            out.push((b"sig_id".into(), s.id.into()));
            out.push((b"signer".into(), s.signer.clone()));
            out.push((b"sig_key".into(), hex(&s.key)));
            out.push((b"sig_hashalgo".into(), s.hash.as_bytes().into()));
            out.push((b"signature".into(), hex(&s.signature)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_broken_after_twenty() {
        assert_eq!(hex(&[1, 0xab]), b"01:AB");
        let long = hex(&[0; 21]);
        assert!(long.ends_with(b":00:\n\t\t00"));
    }

    #[test]
    fn notes() {
        let note = [&[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0", &[7, 8]].concat();
        assert_eq!(build_id(&note, false), Some(&[7, 8][..]));
        assert_eq!(build_id(&note[..17], false), None);
        assert_eq!(build_id(&note, true), None);
    }
}
