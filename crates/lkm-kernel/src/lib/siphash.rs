//! SipHash and HalfSipHash (lib/siphash.c), after the description by Aumasson and Bernstein. On 64-bit
//! kernels `hsiphash` is SipHash-1-3.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("__siphash_unaligned", bytes_2_4),
    behaves("__siphash_aligned", bytes_2_4),
    behaves("siphash_1u64", words_2_4::<1>),
    behaves("siphash_2u64", words_2_4::<2>),
    behaves("siphash_3u64", words_2_4::<3>),
    behaves("siphash_4u64", words_2_4::<4>),
    behaves("siphash_1u32", one_u32),
    behaves("siphash_3u32", three_u32),
    behaves("__hsiphash_unaligned", bytes_1_3),
    behaves("__hsiphash_aligned", bytes_1_3),
    behaves("hsiphash_1u32", halves::<1>),
    behaves("hsiphash_2u32", halves::<2>),
    behaves("hsiphash_3u32", halves::<3>),
    behaves("hsiphash_4u32", halves::<4>),
];

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

fn hash(data: &[u8], key: (u64, u64), per_word: u32, at_end: u32) -> u64 {
    let mut v = [
        0x736f_6d65_7073_6575 ^ key.0,
        0x646f_7261_6e64_6f6d ^ key.1,
        0x6c79_6765_6e65_7261 ^ key.0,
        0x7465_6462_7974_6573 ^ key.1,
    ];
    let mut take = |word: u64| {
        v[3] ^= word;
        for _ in 0..per_word {
            round(&mut v);
        }
        v[0] ^= word;
    };
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = data.len() as u8;
    take(u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..at_end {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// SipHash-2-4.
pub(crate) fn siphash(data: &[u8], key: (u64, u64)) -> u64 {
    hash(data, key, 2, 4)
}

fn key(cx: &Cx, at: u64) -> R<(u64, u64)> {
    Ok((cx.r64(at)?, cx.r64(at + 8)?))
}

fn bytes_2_4(cx: &mut Cx, c: &Call) -> R {
    let data = cx.bytes(c.a[0], c.a[1])?;
    Ok(siphash(&data, key(cx, c.a[2])?))
}

fn words_2_4<const N: usize>(cx: &mut Cx, c: &Call) -> R {
    let mut data = Vec::with_capacity(8 * N);
    for &word in &c.a[..N] {
        data.extend(word.to_le_bytes());
    }
    Ok(siphash(&data, key(cx, c.a[N])?))
}

fn one_u32(cx: &mut Cx, c: &Call) -> R {
    Ok(siphash(&(c.a[0] as u32).to_le_bytes(), key(cx, c.a[1])?))
}

fn three_u32(cx: &mut Cx, c: &Call) -> R {
    let mut data = Vec::with_capacity(12);
    for &word in &c.a[..3] {
        data.extend((word as u32).to_le_bytes());
    }
    Ok(siphash(&data, key(cx, c.a[3])?))
}

fn bytes_1_3(cx: &mut Cx, c: &Call) -> R {
    let data = cx.bytes(c.a[0], c.a[1])?;
    Ok(hash(&data, key(cx, c.a[2])?, 1, 3) & 0xffff_ffff)
}

fn halves<const N: usize>(cx: &mut Cx, c: &Call) -> R {
    let mut data = Vec::with_capacity(4 * N);
    for &word in &c.a[..N] {
        data.extend((word as u32).to_le_bytes());
    }
    Ok(hash(&data, key(cx, c.a[N])?, 1, 3) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the paper: key 00..0f, data 00, 01, ….
    #[test]
    fn the_published_vectors() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(&[], key), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(&data, key), 0xa129_ca61_49be_45e5);
    }
}
