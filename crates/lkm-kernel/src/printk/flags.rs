//! `%pG`: flag words by name, with the values and names of include/trace/events/mmflags.h.

use super::format::{Spec, number};
use super::pointer;
use crate::Cx;
use crate::abi::R;

/// Bits of page flags, lowest first.
const PAGE: [&str; 25] = [
    "locked",
    "referenced",
    "uptodate",
    "dirty",
    "lru",
    "active",
    "workingset",
    "waiters",
    "error",
    "slab",
    "owner_priv_1",
    "arch_1",
    "reserved",
    "private",
    "private_2",
    "writeback",
    "head",
    "mappedtodisk",
    "reclaim",
    "swapbacked",
    "unevictable",
    "mlocked",
    "uncached",
    "hwpoison",
    "arch_2",
];

/// Bits of page flags in the order they are printed in, where it is not that of their values.
const PAGE_ORDER: [u8; 25] = [
    0, 7, 8, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
];

/// The numbers in the upper bits: name, mask, shift, whether decimal. As configured with 1024 nodes, five
/// zones and 8192 CPUs.
const PAGE_NUMBERS: [(&str, u64, u32, bool); 3] = [
    ("node", 0x3ff, 54, true),
    ("zone", 7, 51, true),
    ("lastcpupid", 0x1f_ffff, 30, false),
];

#[rustfmt::skip]
const VMA: &[(u64, &str)] = &[
    (0x1, "read"), (0x2, "write"), (0x4, "exec"), (0x8, "shared"), (0x10, "mayread"), (0x20, "maywrite"),
    (0x40, "mayexec"), (0x80, "mayshare"), (0x100, "growsdown"), (0x200, "uffd_missing"), (1 << 37, "uffd_minor"),
    (0x400, "pfnmap"), (0x1000, "uffd_wp"), (0x2000, "locked"), (0x4000, "io"), (0x8000, "seqread"),
    (0x1_0000, "randread"), (0x2_0000, "dontcopy"), (0x4_0000, "dontexpand"), (0x8_0000, "lockonfault"),
    (0x10_0000, "account"), (0x20_0000, "noreserve"), (0x40_0000, "hugetlb"), (0x80_0000, "sync"),
    (0x100_0000, "pat"), (0x200_0000, "wipeonfork"), (0x400_0000, "dontdump"), (0x800_0000, "softdirty"),
    (0x1000_0000, "mixedmap"), (0x2000_0000, "hugepage"), (0x4000_0000, "nohugepage"), (0x8000_0000, "mergeable"),
];

#[rustfmt::skip]
const GFP: &[(u64, &str)] = &[
    (0x1c24ca, "GFP_TRANSHUGE"), (0x1c20ca, "GFP_TRANSHUGE_LIGHT"), (0x100cca, "GFP_HIGHUSER_MOVABLE"),
    (0x100cc2, "GFP_HIGHUSER"), (0x100cc0, "GFP_USER"), (0x400cc0, "GFP_KERNEL_ACCOUNT"), (0xcc0, "GFP_KERNEL"),
    (0xc40, "GFP_NOFS"), (0xa20, "GFP_ATOMIC"), (0xc00, "GFP_NOIO"), (0x800, "GFP_NOWAIT"), (0x1, "GFP_DMA"),
    (0x2, "__GFP_HIGHMEM"), (0x4, "GFP_DMA32"), (0x20, "__GFP_HIGH"), (0x200, "__GFP_ATOMIC"), (0x40, "__GFP_IO"),
    (0x80, "__GFP_FS"), (0x2000, "__GFP_NOWARN"), (0x4000, "__GFP_RETRY_MAYFAIL"), (0x8000, "__GFP_NOFAIL"),
    (0x1_0000, "__GFP_NORETRY"), (0x4_0000, "__GFP_COMP"), (0x100, "__GFP_ZERO"), (0x8_0000, "__GFP_NOMEMALLOC"),
    (0x2_0000, "__GFP_MEMALLOC"), (0x10_0000, "__GFP_HARDWALL"), (0x20_0000, "__GFP_THISNODE"),
    (0x10, "__GFP_RECLAIMABLE"), (0x8, "__GFP_MOVABLE"), (0x40_0000, "__GFP_ACCOUNT"), (0x1000, "__GFP_WRITE"),
    (0xc00, "__GFP_RECLAIM"), (0x400, "__GFP_DIRECT_RECLAIM"), (0x800, "__GFP_KSWAPD_RECLAIM"),
    (0x80_0000, "__GFP_ZEROTAGS"),
];

fn named<'a>(out: &mut Vec<u8>, mut flags: u64, names: impl Iterator<Item = (u64, &'a str)>) {
    for (mask, name) in names {
        if flags & mask != mask {
            continue;
        }
        out.extend(name.bytes());
        flags &= !mask;
        if flags == 0 {
            return;
        }
        out.push(b'|');
    }
    if flags != 0 {
        number(out, flags, Spec::hex(-1, true));
    }
}

/// Prints the flags that `ptr` points to: page (p), memory area (v) or allocation (g).
pub(super) fn print(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: u8) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    match kind {
        b'p' => {
            let flags = cx.r64(ptr)?;
            number(out, flags, Spec::hex(-1, true));
            out.push(b'(');
            let main = flags & ((1 << PAGE.len()) - 1);
            let mut first = main == 0;
            let order = PAGE_ORDER
                .iter()
                .map(|&bit| (1 << bit, PAGE[usize::from(bit)]));
            named(out, main, order);
            for (name, mask, shift, decimal) in PAGE_NUMBERS {
                if !std::mem::take(&mut first) {
                    out.push(b'|');
                }
                out.extend(name.bytes());
                out.push(b'=');
                let value = flags >> shift & mask;
                let how = if decimal {
                    Spec::PLAIN
                } else {
                    Spec::hex(-1, true)
                };
                number(out, value, how);
            }
            out.push(b')');
        }
        b'v' => named(out, cx.r64(ptr)?, VMA.iter().copied()),
        b'g' => named(out, cx.r32(ptr)?.into(), GFP.iter().copied()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_names_come_first_and_the_rest_stays_numeric() {
        let text = |flags| {
            let mut out = Vec::new();
            named(&mut out, flags, GFP.iter().copied());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0xcc0), "GFP_KERNEL");
        assert_eq!(text(0xdc0), "GFP_KERNEL|__GFP_ZERO");
        assert_eq!(text(0xa21), "GFP_ATOMIC|GFP_DMA");
        assert_eq!(text(0x200), "__GFP_ATOMIC");
        assert_eq!(text(0xf000_0200), "__GFP_ATOMIC|0xf0000000");
        assert_eq!(text(0), "");
    }
}
