//! Taint flags (kernel/panic.c, kernel/module/main.c).

use crate::Cx;

/// P.
pub const PROPRIETARY: u32 = 0;
/// F.
pub const FORCED_MODULE: u32 = 1;
/// R.
pub const FORCED_RMMOD: u32 = 3;
/// U.
pub const USER: u32 = 6;
/// D.
pub const DIE: u32 = 7;
/// W.
pub const WARN: u32 = 9;
/// C.
pub const CRAP: u32 = 10;
/// O.
pub const OOT: u32 = 12;
/// E.
pub const UNSIGNED: u32 = 13;
/// K.
pub const LIVEPATCH: u32 = 15;
/// N.
pub const TEST: u32 = 18;

const LETTERS: &[u8; 19] = b"PFSRMBUDAWCIOELKXTN";
/// The taints that a module carries itself.
const MODULE: &[u32] = &[
    PROPRIETARY,
    FORCED_MODULE,
    CRAP,
    OOT,
    UNSIGNED,
    LIVEPATCH,
    16,
    17,
    TEST,
];
/// Their order before 4.10.
const OLD: &[u32] = &[PROPRIETARY, OOT, FORCED_MODULE, CRAP, UNSIGNED];

/// The letters of a module's taints, followed by `+` or `-` for its state when given.
pub fn letters(cx: &Cx, index: usize, state: Option<u32>) -> String {
    let taints = cx.modules.list[index].taints;
    let order = if cx.profile.taints_by_bit {
        MODULE
    } else {
        OLD
    };
    let mut out: String = order
        .iter()
        .filter(|&&bit| taints & (1 << bit) != 0)
        .map(|&bit| LETTERS[bit as usize] as char)
        .collect();
    match state {
        Some(super::GOING) => out.push('-'),
        Some(super::COMING) => out.push('+'),
        _ => {}
    }
    out
}

/// print_tainted: `Tainted: G …` at its fixed width, or `Not tainted`.
pub fn kernel_text(cx: &Cx) -> String {
    let taints = cx.modules.taints;
    if taints == 0 {
        return "Not tainted".into();
    }
    let width = if cx.profile.old_oops { 16 } else { 19 };
    let mut out = String::from("Tainted: ");
    for (bit, letter) in LETTERS.iter().enumerate().take(width) {
        let set = taints & (1 << bit) != 0;
        out.push(match (bit, set) {
            (0, false) => 'G',
            (_, true) => *letter as char,
            _ => ' ',
        });
    }
    out
}
