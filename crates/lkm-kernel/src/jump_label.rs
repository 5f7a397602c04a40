//! Static keys (kernel/jump_label.c): a branch in module text that is a jump or a no-op, as its key says.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use lkm_machine::{Prot, map};

pub(crate) const ROWS: &[Row] = &[
    behaves("static_key_count", count),
    behaves("static_key_enable", enable).sleeps(),
    behaves("static_key_enable_cpuslocked", enable).sleeps(),
    behaves("static_key_disable", disable).sleeps(),
    behaves("static_key_disable_cpuslocked", disable).sleeps(),
    behaves("static_key_slow_inc", slow_inc).sleeps(),
    behaves("static_key_slow_inc_cpuslocked", slow_inc).sleeps(),
    behaves("static_key_fast_inc_not_disabled", fast_inc),
    behaves("static_key_slow_dec", slow_dec).sleeps(),
    behaves("static_key_slow_dec_cpuslocked", slow_dec).sleeps(),
    behaves("__static_key_slow_dec_deferred", slow_dec),
    behaves("__static_key_deferred_flush", nothing).sleeps(),
    behaves("jump_label_rate_limit", nothing).sleeps(),
];

/// Bytes of a struct jump_entry with relative members: code, target, key.
const ENTRY: u64 = 16;

/// A struct static_key begins with its counter.
fn enabled(cx: &Cx, key: u64) -> R<i32> {
    Ok(cx.r32(key)? as i32)
}

/// A place that can jump.
struct Site {
    code: u64,
    target: u64,
    key: u64,
    /// The branch is taken when the key is off.
    inverted: bool,
}

/// The places of one module.
fn sites(cx: &Cx, module: usize) -> R<Vec<Site>> {
    let Some((base, size)) = cx.modules.list[module]
        .sections
        .iter()
        .find(|s| s.name == "__jump_table")
        .map(|s| (s.addr, s.size))
    else {
        return Ok(Vec::new());
    };
    let relative = |at: u64| -> R { Ok(at.wrapping_add(cx.r32(at)? as i32 as u64)) };
    let mut out = Vec::new();
    for index in 0..size / ENTRY {
        let at = base + index * ENTRY;
        let key = cx.r64(at + 8)?;
        out.push(Site {
            code: relative(at)?,
            target: relative(at + 4)?,
            key: (at + 8).wrapping_add(key & !3),
            inverted: key & 1 != 0,
        });
    }
    Ok(out)
}

/// Makes the instruction at a place what the key's state wants.
fn patch(cx: &mut Cx, site: &Site, on: bool) -> R<()> {
    let mut old = [0u8; 2];
    cx.read(site.code, &mut old)?;
    let distance = |len: u64| site.target.wrapping_sub(site.code.wrapping_add(len)) as i64;
    let code: Vec<u8> = match (old, on != site.inverted) {
        ([0xeb, _] | [0x66, 0x90], true) => vec![0xeb, distance(2) as u8],
        ([0xeb, _] | [0x66, 0x90], false) => vec![0x66, 0x90],
        (_, true) => {
            let mut code = vec![0xe9];
            code.extend((distance(5) as i32).to_le_bytes());
            code
        }
        (_, false) => vec![0x0f, 0x1f, 0x44, 0x00, 0x00],
    };
    let mut have = vec![0u8; code.len()];
    cx.read(site.code, &mut have)?;
    if have == code {
        return Ok(());
    }
    // Only what is a jump or a no-op already is a place: anything else is a damaged table.
    if !matches!(old, [0xeb | 0xe9, _] | [0x66, 0x90] | [0x0f, 0x1f]) {
        return Err(crate::abi::Stop::Bug(format!(
            "jump_label: Fatal kernel bug, unexpected op at {}",
            crate::module::kallsyms::describe(cx, site.code)
        )));
    }
    if !map::MODULES.holds(site.code) || !map::MODULES.holds(site.code + 5) {
        return Ok(());
    }
    let from = site.code & !(map::PAGE - 1);
    let len = (site.code + code.len() as u64).next_multiple_of(map::PAGE) - from;
    let failed = |_| crate::abi::Stop::Bug("module text cannot be changed".into());
    cx.protect(map::MODULES, from, len, Prot::ReadWrite)
        .map_err(failed)?;
    let written = cx.write(site.code, &code);
    cx.protect(map::MODULES, from, len, Prot::ReadExec)
        .map_err(failed)?;
    Ok(written?)
}

/// Brings all places of a key up to date. Init sections that were freed are skipped.
fn update(cx: &mut Cx, key: u64) -> R<()> {
    let on = enabled(cx, key)? > 0;
    for module in 0..cx.modules.list.len() {
        if cx.modules.list[module].gone {
            continue;
        }
        for site in sites(cx, module)? {
            let there = crate::module::is_text(cx, module, site.code) && cx.r8(site.code).is_ok();
            if site.key == key && there {
                patch(cx, &site, on)?;
            }
        }
    }
    Ok(())
}

/// A module's places are made what their keys say now (jump_label_add_module).
pub(crate) fn module_coming(cx: &mut Cx, module: usize) -> R<()> {
    for site in sites(cx, module)? {
        let on = cx.r32(site.key).is_ok_and(|count| count as i32 > 0);
        if crate::module::is_text(cx, module, site.code) {
            patch(cx, &site, on)?;
        }
    }
    Ok(())
}

fn count(cx: &mut Cx, c: &Call) -> R {
    let count = enabled(cx, c.a[0])?;
    // -1: the first enabling is under way.
    Ok(if count >= 0 { count as u64 } else { 1 })
}

fn set(cx: &mut Cx, key: u64, count: i32) -> R<()> {
    cx.w32(key, count as u32)?;
    update(cx, key)
}

fn enable(cx: &mut Cx, c: &Call) -> R {
    match enabled(cx, c.a[0])? {
        0 => set(cx, c.a[0], 1)?,
        1 => {}
        _ => crate::traps::warn(cx, "", "static_key_enable_cpuslocked")?,
    }
    Ok(0)
}

fn disable(cx: &mut Cx, c: &Call) -> R {
    match enabled(cx, c.a[0])? {
        1 => set(cx, c.a[0], 0)?,
        0 => {}
        _ => crate::traps::warn(cx, "", "static_key_disable_cpuslocked")?,
    }
    Ok(0)
}

fn slow_inc(cx: &mut Cx, c: &Call) -> R {
    match enabled(cx, c.a[0])? {
        0 => set(cx, c.a[0], 1)?,
        n => cx.w32(c.a[0], n.wrapping_add(1) as u32)?,
    }
    // bool since 6.3; void before.
    Ok(1)
}

fn fast_inc(cx: &mut Cx, c: &Call) -> R {
    let count = enabled(cx, c.a[0])?;
    if count <= 0 {
        return Ok(0);
    }
    cx.w32(c.a[0], count.wrapping_add(1) as u32)?;
    Ok(1)
}

fn slow_dec(cx: &mut Cx, c: &Call) -> R {
    match enabled(cx, c.a[0])? {
        1 => set(cx, c.a[0], 0)?,
        n if n > 1 => cx.w32(c.a[0], (n - 1) as u32)?,
        _ => crate::traps::warn(cx, "jump label: negative count!\n", "static_key_slow_dec")?,
    }
    Ok(0)
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}
