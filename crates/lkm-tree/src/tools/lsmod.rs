//! lsmod(8): the loaded modules.

use std::cmp::Reverse;

use super::{Applet, World};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::depmod::order::Set;
use crate::emit;
use crate::json::Json;
use crate::kernel::{Kernel, Loaded};

pub static LSMOD: Applet = Applet {
    tool: Tool {
        name: "lsmod",
        summary: "show the modules in the kernel",
        usage: &["[options]"],
        options: &[
            opt(
                b's',
                "syslog",
                "Print messages to syslog, not standard error",
            ),
            opt(b'v', "verbose", "Also show each module's state and taints"),
            opt(
                0,
                "sort",
                "Sort by name, size or used, instead of the kernel's order",
            )
            .arg("KEY")
            .ours(),
            opt(0, "tree", "Show modules below those that use them").ours(),
            opt(0, "json", "Print JSON").ours(),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[(
            "Description",
            "Shows the loaded modules, the memory they take, how many references they have \
                 and which modules use them.",
        )],
        posix: false,
    },
    run,
};

pub(super) fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&LSMOD.tool, args);
    let (mut syslog, mut verbose, mut tree, mut json) = (false, false, false, false);
    let mut sort = None;
    for event in &parsed.events {
        if let Some(code) = world.common_option(&LSMOD.tool, event) {
            return code;
        }
        match event {
            Event::Opt("syslog", _) => syslog = true,
            Event::Opt("verbose", _) => verbose = true,
            Event::Opt("tree", _) => tree = true,
            Event::Opt("json", _) => json = true,
            Event::Opt("sort", Some(key)) => match &key[..] {
                b"name" | b"size" | b"used" => sort = Some(key.clone()),
                _ => {
                    let text = bytes!("cannot sort by '", key, "': name, size or used");
                    world.log().error(text);
                    return 1;
                }
            },
            _ => {}
        }
    }
    let kernel = world.kernel;
    let mut log = world.log();
    log.syslog = syslog;
    if !parsed.rest.is_empty() {
        log.error("too many arguments provided.");
        return 1;
    }
    let mut modules = match kernel.loaded() {
        Ok(m) => m,
        Err(e) => {
            log.error(format!("could not open /proc/modules: {e}"));
            log.error(format!("could not get list of modules: {e}"));
            return 1;
        }
    };
    for m in &mut modules {
        refresh(kernel, m);
    }
    match sort.as_deref() {
        Some(b"name") => modules.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(b"size") => modules.sort_by_key(|m| Reverse(m.size)),
        Some(_) => modules.sort_by_key(|m| Reverse(m.refcnt)),
        None => {}
    }
    let text = match (json, tree) {
        (true, _) => to_json(kernel, &modules).into_bytes(),
        (false, true) => to_tree(&modules),
        (false, false) => to_table(&modules, verbose),
    };
    let written = emit!(world.out, text);
    world.finish(written)
}

/// Takes the figures of /sys, which are kmod's; a module that is gone by now
/// keeps those of /proc/modules.
fn refresh(kernel: &dyn Kernel, m: &mut Loaded) {
    let number = |text: Vec<u8>| std::str::from_utf8(&text).ok()?.trim().parse().ok();
    if let Some(size) = kernel.attribute(&m.name, "coresize").ok().and_then(number) {
        m.size = size;
    }
    if let Ok(n) = kernel.refcnt(&m.name) {
        m.refcnt = Some(n);
    }
    if let Ok(holders) = kernel.holders(&m.name) {
        m.used_by = holders;
    }
}

fn to_table(modules: &[Loaded], verbose: bool) -> Vec<u8> {
    let mut out = b"Module                  Size  Used by\n".to_vec();
    for m in modules {
        out.extend_from_slice(&m.name);
        // kmod shows what it could not read as -2, the error's number.
        let (size, count) = (m.size, m.refcnt.unwrap_or(-2));
        let pad = 19usize.saturating_sub(m.name.len());
        let _ = emit!(out, " ".repeat(pad), format!(" {size:>8}  {count}"));
        if !m.used_by.is_empty() {
            let _ = emit!(out, " ", m.used_by.join(&b','));
        }
        if verbose {
            let _ = emit!(out, "  [", m.state);
            if !m.taint.is_empty() {
                let _ = emit!(out, " ", m.taint);
            }
            out.push(b']');
        }
        out.push(b'\n');
    }
    out
}

fn to_tree(modules: &[Loaded]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut told = Set::default();
    for m in modules.iter().filter(|m| m.used_by.is_empty()) {
        branch(modules, m, 0, &mut told, &mut out);
    }
    out
}

/// A module, and below it those that it uses.
fn branch<'m>(
    modules: &'m [Loaded],
    m: &'m Loaded,
    depth: usize,
    told: &mut Set<&'m [u8]>,
    out: &mut Vec<u8>,
) {
    let used = m.refcnt.map_or("-".into(), |n| n.to_string());
    let again = !told.insert(&m.name);
    let uses: Vec<&Loaded> = modules
        .iter()
        .filter(|d| d.used_by.contains(&m.name))
        .collect();
    let end = if again && !uses.is_empty() {
        " (see above)\n"
    } else {
        "\n"
    };
    let figures = format!(" {} {used}", m.size);
    let _ = emit!(out, "  ".repeat(depth), m.name, figures, end);
    // Told once: a loop cannot go round, and no subtree comes twice.
    if again {
        return;
    }
    for d in uses {
        branch(modules, d, depth + 1, told, out);
    }
}

fn to_json(kernel: &dyn Kernel, modules: &[Loaded]) -> String {
    let mut j = Json::new();
    j.open('[');
    for m in modules {
        j.open('{');
        j.pair("module", &m.name);
        j.raw("size", m.size);
        match m.refcnt {
            Some(n) => j.raw("refcount", n),
            None => j.raw("refcount", "null"),
        }
        j.list("used_by", &m.used_by);
        j.pair("state", m.state.to_ascii_lowercase());
        j.pair("taint", &m.taint);
        j.begin("parameters", '{');
        for p in kernel.parameters(&m.name).unwrap_or_default() {
            j.pair(&String::from_utf8_lossy(&p.name), &p.value);
        }
        j.end('}');
        j.close('}');
    }
    j.close(']');
    j.finish()
}
