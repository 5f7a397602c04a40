//! What user space reads of modules: /proc/modules, print_modules, /sys/module attributes.

use super::{COMING, GOING, LIVE, UNFORMED, refs, taint};
use crate::Cx;
use crate::abi::R;

/// /proc/modules, newest first.
pub fn proc_modules(cx: &Cx, privileged: bool) -> R<String> {
    let mut out = String::new();
    for index in (0..cx.modules.list.len()).rev() {
        let m = &cx.modules.list[index];
        let state = super::state(cx, index);
        if !m.listed || state == UNFORMED {
            continue;
        }
        let users: String = super::users(cx, index)?
            .iter()
            .map(|&u| format!("{},", cx.modules.list[u].name))
            .collect();
        let permanent =
            cx.r64(m.addr + cx.off.module_init)? != 0 && cx.r64(m.addr + cx.off.module_exit)? == 0;
        let users = match (users.is_empty(), permanent) {
            (true, false) => "-".to_owned(),
            (_, true) => format!("{users}[permanent],"),
            _ => users,
        };
        let word = match state {
            LIVE => "Live",
            COMING => "Loading",
            _ => "Unloading",
        };
        let addr = if privileged { m.core_base } else { 0 };
        let mut line = format!(
            "{} {} {} {users} {word} 0x{addr:016x}",
            m.name,
            m.core_size + m.init_size,
            shown_count(cx, index)?
        );
        if m.taints != 0 {
            line.push_str(&format!(" ({})", taint::letters(cx, index, Some(state))));
        }
        out.push_str(&line);
        out.push('\n');
    }
    Ok(out)
}

/// The reference count as user space sees it in this profile.
pub fn shown_count(cx: &Cx, index: usize) -> R<i64> {
    let m = &cx.modules.list[index];
    let count = i64::from(refs::count(cx, m.addr)?);
    if super::state(cx, index) == GOING && count == -1 && cx.profile.going_count == 0 {
        return Ok(0);
    }
    Ok(if cx.profile.unsigned_count && count < 0 {
        i64::from(count as u32)
    } else {
        count
    })
}

/// initstate of /sys/module/NAME.
pub fn initstate(state: u32) -> &'static str {
    match state {
        LIVE => "live",
        COMING => "coming",
        GOING => "going",
        _ => "unformed",
    }
}

/// print_modules: the line of an oops.
pub fn linked_in(cx: &Cx) -> String {
    let mut out = String::from("Modules linked in:");
    for index in (0..cx.modules.list.len()).rev() {
        let m = &cx.modules.list[index];
        let state = super::state(cx, index);
        if !m.listed || state == UNFORMED {
            continue;
        }
        let letters = taint::letters(cx, index, Some(state));
        out.push(' ');
        out.push_str(&m.name);
        if !letters.is_empty() {
            out.push_str(&format!("({letters})"));
        }
    }
    if !cx.modules.unloaded_tainted.is_empty() {
        out.push_str(" Unloaded tainted modules:");
        for (name, letters, count) in cx.modules.unloaded_tainted.iter().rev() {
            out.push_str(&format!(" {name}({letters}):{count}"));
        }
    }
    if let Some((name, letters)) = &cx.modules.last_unloaded {
        let taints = if letters.is_empty() || !cx.profile.unloaded_taints {
            String::new()
        } else {
            format!("({letters})")
        };
        out.push_str(&format!(" [last unloaded: {name}{taints}]"));
    }
    out
}
