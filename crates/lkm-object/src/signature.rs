//! The signature appended to a module: trailer, descriptor, PKCS#7 message.

use crate::bytes::Order;

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
