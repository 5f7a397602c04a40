//! ChaCha's block function and HChaCha (lib/crypto/chacha.c; RFC 8439, 2.3), and the comparing and combining of
//! bytes that the ciphers of modules lean on (lib/crypto/memneq.c, lib/crypto/utils.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("chacha_block_generic", block),
    behaves("hchacha_block_generic", hblock),
    behaves("__crypto_memneq", memneq),
    behaves("__crypto_xor", xor),
];

/// Rounds at most; the kernel has 20 and 12.
const MAX_ROUNDS: u32 = 64;

fn quarter(x: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(16);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(12);
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(8);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(7);
}

fn permute(x: &mut [u32; 16], rounds: u32) {
    for _ in 0..rounds.min(MAX_ROUNDS) / 2 {
        quarter(x, 0, 4, 8, 12);
        quarter(x, 1, 5, 9, 13);
        quarter(x, 2, 6, 10, 14);
        quarter(x, 3, 7, 11, 15);
        quarter(x, 0, 5, 10, 15);
        quarter(x, 1, 6, 11, 12);
        quarter(x, 2, 7, 8, 13);
        quarter(x, 3, 4, 9, 14);
    }
}

fn state(cx: &Cx, at: u64) -> R<[u32; 16]> {
    let mut x = [0u32; 16];
    for (word, place) in x.iter_mut().zip((at..).step_by(4)) {
        *word = cx.r32(place)?;
    }
    Ok(x)
}

/// `chacha_block_generic(state, stream, rounds)`: 64 bytes of stream; the counter goes on.
fn block(cx: &mut Cx, c: &Call) -> R {
    let [at, stream, rounds, ..] = c.a;
    let start = state(cx, at)?;
    let mut x = start;
    permute(&mut x, rounds as u32);
    for (index, (word, first)) in x.iter().zip(start).enumerate() {
        cx.w32(stream + 4 * index as u64, word.wrapping_add(first))?;
    }
    cx.w32(at + 48, start[12].wrapping_add(1))?;
    Ok(0)
}

/// `hchacha_block_generic(state, out, rounds)`: the first and the last four words.
fn hblock(cx: &mut Cx, c: &Call) -> R {
    let [at, out, rounds, ..] = c.a;
    let mut x = state(cx, at)?;
    permute(&mut x, rounds as u32);
    for (index, word) in x[..4].iter().chain(&x[12..]).enumerate() {
        cx.w32(out + 4 * index as u64, *word)?;
    }
    Ok(0)
}

/// Bytes of one call at most.
const MAX: u64 = 16 << 20;

fn memneq(cx: &mut Cx, c: &Call) -> R {
    let [a, b, len, ..] = c.a;
    let len = len.min(MAX);
    Ok(u64::from(cx.bytes(a, len)? != cx.bytes(b, len)?))
}

/// `__crypto_xor(to, a, b, bytes)`.
fn xor(cx: &mut Cx, c: &Call) -> R {
    let [to, a, b, len, ..] = c.a;
    let len = u64::from(len as u32).min(MAX);
    let mixed: Vec<u8> = cx
        .bytes(a, len)?
        .iter()
        .zip(cx.bytes(b, len)?)
        .map(|(x, y)| x ^ y)
        .collect();
    cx.write(to, &mixed)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_that_of_the_rfc() {
        // RFC 8439, 2.3.2.
        let mut x = [0u32; 16];
        x[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        for (index, word) in x[4..12].iter_mut().enumerate() {
            let first = 4 * index as u8;
            *word = u32::from_le_bytes([first, first + 1, first + 2, first + 3]);
        }
        x[12..].copy_from_slice(&[1, 0x0900_0000, 0x4a00_0000, 0]);
        let start = x;
        permute(&mut x, 20);
        assert_eq!(x[0].wrapping_add(start[0]), 0xe4e7_f110);
        assert_eq!(x[15].wrapping_add(start[15]), 0x4e3c_50a2);
    }
}
