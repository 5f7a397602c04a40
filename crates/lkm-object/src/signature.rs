//! The signature appended to a module: trailer, descriptor, PKCS#7 message.

use std::borrow::Cow;

use crate::bytes::Order;
use crate::der::{
    CONTEXT_0, CONTEXT_0_PRIMITIVE, CONTEXT_1, Der, INTEGER, OCTET_STRING, OID, SEQUENCE, SET,
};

/// The 28 bytes that end a signed module.
pub const MODULE_SIG_STRING: &[u8; 28] = b"~Module signature appended~\n";
/// Size of `struct module_signature`, the descriptor before the marker.
pub const MODULE_SIGNATURE_SIZE: usize = 12;
/// `id_type` of a PKCS#7 message, the only one kernels since 4.3 accept.
pub const PKEY_ID_PKCS7: u8 = 2;

/// `struct module_signature` (include/linux/module_signature.h) and the bytes it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer<'d> {
    /// Public-key algorithm; 0 with PKCS#7.
    pub algo: u8,
    /// Digest algorithm; 0 with PKCS#7.
    pub hash: u8,
    /// Kind of key identifier: 0 PGP, 1 X.509, 2 PKCS#7.
    pub id_type: u8,
    /// Length of the signer's name; 0 with PKCS#7.
    pub signer_len: u8,
    /// Length of the key identifier; 0 with PKCS#7.
    pub key_id_len: u8,
    /// Padding; zero.
    pub pad: [u8; 3],
    /// Length of the signature data, in bytes, as the descriptor says.
    pub sig_len: u32,
    /// Bytes of the module proper, before name, key identifier and signature.
    pub payload: usize,
    /// The signer's name (`signer_len` bytes; only in the form older than PKCS#7).
    pub signer: &'d [u8],
    /// The key identifier (`key_id_len` bytes; only in the form older than PKCS#7).
    pub key_id: &'d [u8],
    /// The signature data: with `id_type` 2, a PKCS#7 message.
    pub bytes: &'d [u8],
}

/// The trailer of a file that ends in the marker.
///
/// `None` when there is no marker, or when the lengths in the descriptor do
/// not fit the file (the kernel then says EBADMSG, see [`crate::check`]).
pub fn trailer(data: &[u8]) -> Option<Trailer<'_>> {
    let rest = data.strip_suffix(MODULE_SIG_STRING)?;
    let (rest, raw) = rest.split_at(rest.len().checked_sub(MODULE_SIGNATURE_SIZE)?);
    let sig_len = Order { big: true }.u32(raw, 8)?;
    let (rest, bytes) = split_tail(rest, sig_len as usize)?;
    let (rest, key_id) = split_tail(rest, raw[4] as usize)?;
    let (rest, signer) = split_tail(rest, raw[3] as usize)?;
    Some(Trailer {
        algo: raw[0],
        hash: raw[1],
        id_type: raw[2],
        signer_len: raw[3],
        key_id_len: raw[4],
        pad: [raw[5], raw[6], raw[7]],
        sig_len,
        payload: rest.len(),
        signer,
        key_id,
        bytes,
    })
}

/// Splits off the last `n` bytes.
fn split_tail(data: &[u8], n: usize) -> Option<(&[u8], &[u8])> {
    Some(data.split_at(data.len().checked_sub(n)?))
}

/// Why a signature cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not the PKCS#7 message it should be (the kernel: EBADMSG).
    #[error("malformed PKCS#7 message: {0}")]
    Malformed(&'static str),
    /// A kind of signature or a digest nobody here knows (the kernel: ENOPKG).
    #[error("unsupported kind of signature")]
    Unsupported,
}

/// A signature as `modinfo` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'d> {
    /// `PKCS#7`, `X509` or `PGP`.
    pub id_type: &'static str,
    /// Common name of the signing certificate's issuer, in whatever encoding the
    /// certificate has it; the last part of the issuer's name where there is no common one.
    pub signer: &'d [u8],
    /// Serial number of the signing certificate, without leading zero bytes, or
    /// its subject key identifier.
    pub key_id: &'d [u8],
    /// Whether `key_id` is a serial number.
    pub by_serial: bool,
    /// Digest: `sha256`..., or its object identifier in numbers.
    pub hash_algo: Cow<'static, str>,
    /// Whether the digest is one that kernels verify signatures with.
    pub hash_in_kernel: bool,
    /// The signature proper.
    pub bytes: &'d [u8],
}

/// `pkey_hash_algo_name`, the numbering of the form older than PKCS#7.
const HASHES: [&str; 9] = [
    "md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224", "sm3",
];

/// Object identifiers of digests, as DER contents.
const DIGESTS: [(&[u8], &str); 12] = [
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], "sha256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], "sha384"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], "sha512"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4], "sha224"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 8], "sha3-256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 9], "sha3-384"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 10], "sha3-512"),
    (&[0x2b, 0x0e, 3, 2, 0x1a], "sha1"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 4], "md4"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5], "md5"),
    (&[0x2b, 0x24, 3, 2, 1], "ripemd160"),
    (&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x11], "sm3"),
];

/// More digests by the names that OpenSSL prints: no kernel verifies with them.
const OTHER_DIGESTS: [(&[u8], &str); 7] = [
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 5], "sha512-224"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 6], "sha512-256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 7], "sha3-224"),
    (
        &[0x2a, 0x85, 3, 7, 1, 1, 2, 2],
        "GOST R 34.11-2012 with 256 bit hash",
    ),
    (
        &[0x2a, 0x85, 3, 7, 1, 1, 2, 3],
        "GOST R 34.11-2012 with 512 bit hash",
    ),
    (&[0x2a, 0x85, 3, 2, 2, 9], "GOST R 34.11-94"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 2], "md2"),
];

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

impl<'d> Signature<'d> {
    /// Reads what a trailer points to.
    ///
    /// # Errors
    /// [`SignatureError`] for a PKCS#7 message that is none, or an unknown `id_type`.
    pub fn from_trailer(trailer: &Trailer<'d>) -> Result<Signature<'d>, SignatureError> {
        let id_type = match trailer.id_type {
            0 => "PGP",
            1 => "X509",
            PKEY_ID_PKCS7 => return Signature::from_pkcs7(trailer.bytes),
            _ => return Err(SignatureError::Unsupported),
        };
        Ok(Signature {
            id_type,
            signer: trailer.signer,
            key_id: trailer.key_id,
            by_serial: false,
            hash_algo: HASHES
                .get(trailer.hash as usize)
                .map(|&name| name.into())
                .ok_or(SignatureError::Unsupported)?,
            hash_in_kernel: true,
            bytes: trailer.bytes,
        })
    }

    /// Reads a PKCS#7 (CMS) signed-data message with a detached content: its first signer.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn from_pkcs7(message: &'d [u8]) -> Result<Signature<'d>, SignatureError> {
        let bad = SignatureError::Malformed;
        let mut outer = Der::new(message)
            .enter(SEQUENCE)
            .ok_or(bad("no ContentInfo"))?;
        if outer.expect(OID) != Some(SIGNED_DATA) {
            return Err(bad("not signed data"));
        }
        let mut data = outer
            .enter(CONTEXT_0)
            .and_then(|mut c| c.enter(SEQUENCE))
            .ok_or(bad("no SignedData"))?;
        data.expect(INTEGER).ok_or(bad("no version"))?;
        data.expect(SET).ok_or(bad("no digest algorithms"))?;
        data.expect(SEQUENCE).ok_or(bad("no content"))?;
        data.skip(CONTEXT_0);
        data.skip(CONTEXT_1);
        let mut signer = data
            .enter(SET)
            .and_then(|mut s| s.enter(SEQUENCE))
            .ok_or(bad("no signer"))?;
        signer.expect(INTEGER).ok_or(bad("no signer version"))?;
        let id = signer.next().ok_or(bad("no signer identifier"))?;
        let (name, key_id, by_serial) = match id.tag {
            SEQUENCE => {
                let mut id = Der::new(id.body);
                let issuer = id.enter(SEQUENCE).ok_or(bad("no issuer"))?;
                let serial = id.expect(INTEGER).ok_or(bad("no serial number"))?;
                let zeros = serial.iter().take_while(|&&b| b == 0).count();
                (issuer_name(issuer), &serial[zeros..], true)
            }
            CONTEXT_0_PRIMITIVE => (&b""[..], id.body, false),
            _ => return Err(bad("no signer identifier")),
        };
        let digest = signer
            .enter(SEQUENCE)
            .and_then(|mut s| s.expect(OID))
            .ok_or(bad("no digest algorithm"))?;
        signer.skip(CONTEXT_0);
        signer
            .expect(SEQUENCE)
            .ok_or(bad("no signature algorithm"))?;
        let bytes = signer.expect(OCTET_STRING).ok_or(bad("no signature"))?;
        let named = |table: &[(&[u8], &'static str)]| {
            let found = table.iter().find(|(oid, _)| *oid == digest);
            found.map(|&(_, name)| Cow::Borrowed(name))
        };
        let in_kernel = named(&DIGESTS);
        let hash_in_kernel = in_kernel.is_some();
        let hash_algo = in_kernel
            .or_else(|| named(&OTHER_DIGESTS))
            .or_else(|| dotted(digest).map(Cow::Owned))
            .ok_or(bad("no digest algorithm"))?;
        Ok(Signature {
            id_type: "PKCS#7",
            signer: name,
            key_id,
            by_serial,
            hash_algo,
            hash_in_kernel,
            bytes,
        })
    }
}

/// The first common name of an X.501 name, SEQUENCE of SET of SEQUENCE {OID, string},
/// or else the last string, up to a zero byte.
fn issuer_name(mut name: Der<'_>) -> &[u8] {
    let mut found: &[u8] = b"";
    'name: while let Some(mut set) = name.enter(SET) {
        while let Some(mut pair) = set.enter(SEQUENCE) {
            let oid = pair.expect(OID);
            found = pair.next().map_or(&b""[..], |e| e.body);
            if oid == Some(COMMON_NAME) {
                break 'name;
            }
        }
    }
    found.split(|&b| b == 0).next().unwrap_or_default()
}

/// An object identifier in numbers, `1.2.840..`; none when it is cut off or has a number
/// that does not fit 64 bits.
fn dotted(oid: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut number = 0u64;
    for &b in oid {
        number = number.checked_mul(128)? | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        if out.is_empty() {
            // The first two numbers are one: 40 times the first, and the second.
            let first = (number / 40).min(2);
            out = format!("{first}.{}", number - first * 40);
        } else {
            out.push_str(&format!(".{number}"));
        }
        number = 0;
    }
    (!out.is_empty() && oid.last()? & 0x80 == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        match body.len() {
            n @ 0..=0x7f => [&[tag, n as u8], &body[..]].concat(),
            n => [&[tag, 0x82, (n >> 8) as u8, n as u8], &body[..]].concat(),
        }
    }

    /// The same, with an end mark in place of a length.
    fn open_element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat()
    }

    type Make = fn(u8, &[&[u8]]) -> Vec<u8>;

    fn message(digest: &[u8], issuer: &[(&[u8], &[u8])], outer: Make) -> Vec<u8> {
        let parts: Vec<Vec<u8>> = issuer
            .iter()
            .map(|(oid, text)| {
                let pair = [element(OID, &[oid]), element(0x0c, &[text])];
                element(SET, &[&element(SEQUENCE, &[&pair[0], &pair[1]])])
            })
            .collect();
        let issuer = element(SEQUENCE, &[&parts.concat()]);
        let digest = element(SEQUENCE, &[&element(OID, &[digest]), &[5, 0]]);
        let signer = element(
            SEQUENCE,
            &[
                &[INTEGER, 1, 1],
                &element(SEQUENCE, &[&issuer, &[INTEGER, 2, 0, 0x9a]]),
                &digest,
                &element(SEQUENCE, &[&[OID, 1, 1]]),
                &element(OCTET_STRING, &[b"bytes"]),
            ],
        );
        let content = outer(SEQUENCE, &[&element(OID, &[&[0x2a, 3]])]);
        let data = outer(
            SEQUENCE,
            &[
                &[INTEGER, 1, 1],
                &element(SET, &[&digest]),
                &content,
                &element(SET, &[&signer]),
            ],
        );
        let signed = element(OID, &[SIGNED_DATA]);
        outer(SEQUENCE, &[&signed, &outer(CONTEXT_0, &[&data])])
    }

    const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

    #[test]
    fn issuers() {
        for (issuer, expected) in [
            (
                &[(&[0x55, 4, 10][..], &b"Org"[..]), (COMMON_NAME, b"me")][..],
                &b"me"[..],
            ),
            (&[(COMMON_NAME, b"one"), (COMMON_NAME, b"two")], b"one"),
            (&[(&[0x55, 4, 6], b"FR"), (&[0x55, 4, 10], b"Org")], b"Org"),
            (&[(COMMON_NAME, b"caf\xe9\0x")], b"caf\xe9"),
            (&[], b""),
        ] {
            let message = message(SHA256, issuer, element);
            let s = Signature::from_pkcs7(&message).unwrap();
            assert_eq!(s.signer, expected);
            assert_eq!(
                (s.key_id, s.by_serial, s.bytes),
                (&[0x9a][..], true, &b"bytes"[..])
            );
        }
    }

    #[test]
    fn digests() {
        for (oid, name, in_kernel) in [
            (SHA256, "sha256", true),
            (&[0x2b, 0x24, 3, 2, 1], "ripemd160", true),
            (
                &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 6],
                "sha512-256",
                false,
            ),
            (
                &[0x2b, 6, 1, 4, 1, 0x8d, 0x3a, 0x0c],
                "1.3.6.1.4.1.1722.12",
                false,
            ),
            (&[0x88, 0x37], "2.999", false),
        ] {
            let message = message(oid, &[], element);
            let s = Signature::from_pkcs7(&message).unwrap();
            assert_eq!((&*s.hash_algo, s.hash_in_kernel), (name, in_kernel));
        }
        for cut in [&[0x88][..], &[], &[0x2b, 0x81], &[0xff; 12]] {
            let message = message(cut, &[], element);
            assert!(Signature::from_pkcs7(&message).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn indefinite_lengths() {
        let open = message(SHA256, &[(COMMON_NAME, b"me")], open_element);
        let s = Signature::from_pkcs7(&open).unwrap();
        assert_eq!((s.signer, s.bytes), (&b"me"[..], &b"bytes"[..]));
        for cut in 0..open.len() - 8 {
            let _ = Signature::from_pkcs7(&open[..cut]);
        }
        assert!(Signature::from_pkcs7(&open[..open.len() - 1]).is_err());
    }
}
