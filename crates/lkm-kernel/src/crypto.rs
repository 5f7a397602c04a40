//! Transforms of the crypto API (crypto/api.c): which algorithms the stock kernel has built in, and handles for
//! them. What modules register is not looked up here, and no transform transforms: that is for stubs to say.

use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, util};

const TFM: &str = "crypto tfm";

const fn alloc(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires(TFM, Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps()
}

pub(crate) const ROWS: &[Row] = &[
    alloc("crypto_alloc_shash", alloc_shash),
    alloc("crypto_alloc_ahash", alloc_other),
    alloc("crypto_alloc_skcipher", alloc_other),
    alloc("crypto_alloc_sync_skcipher", alloc_other),
    alloc("crypto_alloc_aead", alloc_other),
    alloc("crypto_alloc_akcipher", alloc_other),
    alloc("crypto_alloc_rng", alloc_other),
    alloc("crypto_alloc_base", alloc_other),
    alloc("crypto_alloc_acomp", alloc_other),
    behaves("crypto_destroy_tfm", destroy),
    behaves("crypto_has_alg", has_alg).sleeps(),
    behaves("crypto_has_ahash", has_alg).sleeps(),
    behaves("crypto_has_shash", has_alg).sleeps(),
    behaves("crypto_has_skcipher", has_alg).sleeps(),
    behaves("crypto_init_queue", init_queue),
];

/// Hashes that the stock kernels have built in: name, digest, block and descriptor bytes.
const HASHES: &[(&str, u32, u32, u32)] = &[
    ("md5", 16, 64, 88),
    ("sha1", 20, 64, 96),
    ("sha224", 28, 64, 112),
    ("sha256", 32, 64, 112),
    ("sha384", 48, 128, 208),
    ("sha512", 64, 128, 208),
    ("hmac(sha1)", 20, 64, 104),
    ("hmac(sha256)", 32, 64, 120),
    ("hmac(sha512)", 64, 128, 216),
];

/// Other transforms that are built in.
const OTHERS: &[&str] = &[
    "aes",
    "cbc(aes)",
    "ctr(aes)",
    "gcm(aes)",
    "ecb(aes)",
    "rsa",
    "pkcs1pad(rsa,sha256)",
    "stdrng",
    "deflate",
    "lzo",
    "lzo-rle",
];

fn known(name: &str) -> bool {
    HASHES.iter().any(|h| h.0 == name) || OTHERS.contains(&name)
}

/// A handle: the front end's words and struct crypto_tfm, with room for what inline code reads.
fn alloc_shash(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    let Some(&(_, digest, block, desc)) = HASHES.iter().find(|h| h.0 == name) else {
        return missing(cx, &name);
    };
    let off = cx.off;
    let tfm = mm::kalloc(cx, 256)?;
    if off.shash_alg_digestsize != NONE {
        let alg = mm::kernel_object(cx, 1024)?;
        cx.w32(alg + off.shash_alg_digestsize, digest)?;
        cx.w32(alg + off.shash_alg_base + off.crypto_alg_blocksize, block)?;
        cx.w32(tfm + off.crypto_shash_descsize, desc)?;
        let base = alg + off.shash_alg_base;
        cx.w64(tfm + off.crypto_shash_base + off.crypto_tfm_alg, base)?;
    }
    Ok(tfm)
}

fn alloc_other(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    if !known(&name) {
        return missing(cx, &name);
    }
    let tfm = mm::kalloc(cx, 512)?;
    let alg = mm::kernel_object(cx, 1024)?;
    // Where the base stands differs by front end; each points to some algorithm.
    for at in (0..256).step_by(8) {
        cx.w64(tfm + at, alg)?;
    }
    Ok(tfm)
}

/// crypto_larval_lookup: a module is asked for once, then the answer is ENOENT.
fn missing(cx: &mut Cx, name: &str) -> R {
    crate::module::kmod::request(cx, &format!("crypto-{name}"), true)?;
    Ok(neg(ENOENT))
}

/// `crypto_destroy_tfm(mem, tfm)`: NULL and error pointers are ignored.
fn destroy(cx: &mut Cx, c: &Call) -> R {
    let mem = c.a[0];
    if mem == 0 || crate::abi::is_err(mem) {
        return Ok(0);
    }
    cx.r64(mem)?;
    crate::trace::released(cx, TFM, mem);
    mm::kfree(cx, mem);
    Ok(0)
}

fn has_alg(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    Ok(u64::from(known(&name)))
}

/// `crypto_init_queue(queue, max_qlen)`: list, backlog, qlen, max_qlen.
fn init_queue(cx: &mut Cx, c: &Call) -> R {
    let [queue, max, ..] = c.a;
    util::list_init(cx, queue)?;
    cx.w64(queue + 16, queue)?;
    cx.w32(queue + 24, 0)?;
    cx.w32(queue + 28, max as u32)?;
    Ok(0)
}
