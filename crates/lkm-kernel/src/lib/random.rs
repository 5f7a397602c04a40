//! Random numbers (drivers/char/random.c, lib/random32.c). All come from one generator with a fixed seed, so
//! that a run repeats exactly.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("get_random_bytes", get_random_bytes),
    behaves("get_random_bytes_wait", get_random_bytes_wait),
    behaves("get_random_u8", get_u8),
    behaves("get_random_u16", get_u16),
    behaves("get_random_u32", get_u32),
    behaves("get_random_u64", get_u64),
    behaves("__get_random_u32_below", get_below),
    behaves("rng_is_initialized", yes),
    behaves("wait_for_random_bytes", zero),
    behaves("add_device_randomness", zero),
    behaves("add_input_randomness", zero),
    behaves("add_interrupt_randomness", zero),
    behaves("add_hwgenerator_randomness", zero),
    behaves("prandom_u32", get_u32),
    behaves("prandom_u32_state", prandom_u32_state),
    behaves("prandom_bytes", get_random_bytes),
    behaves("prandom_bytes_state", prandom_bytes_state),
    behaves("prandom_seed_full_state", prandom_seed_full),
];

/// The generator: SplitMix64.
pub struct State {
    word: u64,
}

impl Default for State {
    fn default() -> State {
        State {
            word: 0x6c6b_6d20_7261_6e64,
        }
    }
}

/// The run's choice of where the words begin; 0 leaves them as they are.
pub(crate) fn seed(cx: &mut Cx, seed: u64) {
    cx.random.word ^= seed;
}

/// The next 64 bits.
pub(crate) fn next(cx: &mut Cx) -> u64 {
    cx.random.word = cx.random.word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = cx.random.word;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Fills a buffer of the kernel's own.
pub(crate) fn fill(cx: &mut Cx, bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let word = next(cx).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

fn put(cx: &mut Cx, at: u64, len: u64) -> R<()> {
    if len == 0 {
        return Ok(());
    }
    // The last byte is tried first: a wild length faults before anything is allocated.
    cx.r8(at.wrapping_add(len - 1))?;
    let mut done = 0;
    while done < len {
        let mut chunk = [0u8; 4096];
        let part = (len - done).min(4096) as usize;
        fill(cx, &mut chunk[..part]);
        cx.write(at + done, &chunk[..part])?;
        done += part as u64;
    }
    Ok(())
}

fn get_random_bytes(cx: &mut Cx, c: &Call) -> R {
    put(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn get_random_bytes_wait(cx: &mut Cx, c: &Call) -> R {
    put(cx, c.a[0], u64::from(c.a[1] as u32))?;
    Ok(0)
}

fn get_u8(cx: &mut Cx, _: &Call) -> R {
    Ok(next(cx) & 0xff)
}

fn get_u16(cx: &mut Cx, _: &Call) -> R {
    Ok(next(cx) & 0xffff)
}

fn get_u32(cx: &mut Cx, _: &Call) -> R {
    Ok(next(cx) >> 32)
}

fn get_u64(cx: &mut Cx, _: &Call) -> R {
    Ok(next(cx))
}

fn get_below(cx: &mut Cx, c: &Call) -> R {
    let limit = c.a[0] & 0xffff_ffff;
    let word = next(cx) >> 32;
    // A ceiling of 0 means the whole range.
    Ok(if limit == 0 {
        word
    } else {
        (word * limit) >> 32
    })
}

fn yes(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// taus113: the state is four words s1 to s4, as modules seed them inline.
fn taus(cx: &Cx, at: u64) -> R<u32> {
    let step = |s: u32, a: u32, b: u32, keep: u32, d: u32| -> u32 {
        ((s & keep) << d) ^ (((s << a) ^ s) >> b)
    };
    let s = [
        step(cx.r32(at)?, 6, 13, 0xffff_fffe, 18),
        step(cx.r32(at + 4)?, 2, 27, 0xffff_fff8, 2),
        step(cx.r32(at + 8)?, 13, 21, 0xffff_fff0, 7),
        step(cx.r32(at + 12)?, 3, 12, 0xffff_ff80, 13),
    ];
    for (i, word) in s.iter().enumerate() {
        cx.w32(at + 4 * i as u64, *word)?;
    }
    Ok(s[0] ^ s[1] ^ s[2] ^ s[3])
}

fn prandom_u32_state(cx: &mut Cx, c: &Call) -> R {
    Ok(taus(cx, c.a[0])?.into())
}

fn prandom_bytes_state(cx: &mut Cx, c: &Call) -> R {
    let [state, at, len, ..] = c.a;
    let mut done = 0;
    while done < len {
        let word = taus(cx, state)?.to_le_bytes();
        let part = (len - done).min(4);
        cx.write(at + done, &word[..part as usize])?;
        done += part;
    }
    Ok(0)
}

/// A state for each CPU; there is one.
fn prandom_seed_full(cx: &mut Cx, c: &Call) -> R {
    let at = lkm_machine::map::PERCPU.start.wrapping_add(c.a[0]);
    for (index, least) in [2u32, 8, 16, 128].into_iter().enumerate() {
        let word = (next(cx) as u32).max(least);
        cx.w32(at + 4 * index as u64, word)?;
    }
    for _ in 0..10 {
        taus(cx, at)?;
    }
    Ok(0)
}
