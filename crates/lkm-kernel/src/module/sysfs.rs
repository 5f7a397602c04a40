//! /sys/module and the module files of /proc, as text (kernel/module/sysfs.c, procfs.c).

use super::{kallsyms, params, refs, show, taint};
use crate::Cx;
use crate::abi::{R, errno::*};

/// What a path of ours holds: a file's text, a directory's entries, or an errno (positive).
pub type Answer = Result<Node, i32>;

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file's contents.
    Text(String),
    /// A directory's entries, sorted.
    Directory(Vec<String>),
}

/// Reads a path; None when it is none of the module subsystem's.
pub fn read(cx: &mut Cx, path: &str, privileged: bool) -> R<Option<Answer>> {
    Ok(Some(match path {
        "/proc/modules" => Ok(Node::Text(show::proc_modules(cx, privileged)?)),
        "/proc/sys/kernel/tainted" => Ok(Node::Text(format!("{}\n", cx.modules.taints))),
        "/proc/sys/kernel/modules_disabled" => {
            Ok(Node::Text(format!("{}\n", u8::from(cx.modules.disabled))))
        }
        "/sys/module/module/parameters/sig_enforce" => {
            let letter = if cx.options.sig_enforce { "Y" } else { "N" };
            Ok(Node::Text(format!("{letter}\n")))
        }
        "/proc/kallsyms" => Ok(Node::Text(all_symbols(cx, privileged))),
        "/sys/module" | "/sys/module/" => {
            let mut names: Vec<String> = cx
                .modules
                .list
                .iter()
                .filter(|m| m.in_sysfs)
                .map(|m| m.name.clone())
                .collect();
            names.sort();
            Ok(Node::Directory(names))
        }
        _ => match path.strip_prefix("/sys/module/") {
            Some(rest) => of_module(cx, rest.trim_end_matches('/'), privileged)?,
            None => return Ok(None),
        },
    }))
}

pub(super) fn find(cx: &Cx, name: &str) -> Option<usize> {
    cx.modules
        .list
        .iter()
        .rposition(|m| m.in_sysfs && m.name == name)
}

fn of_module(cx: &mut Cx, rest: &str, privileged: bool) -> R<Answer> {
    let (name, attribute) = rest.split_once('/').unwrap_or((rest, ""));
    let Some(index) = find(cx, name) else {
        return Ok(Err(ENOENT));
    };
    let m = &cx.modules.list[index];
    let text = |text: String| Ok(Ok(Node::Text(text)));
    match attribute {
        "" => {
            let mut entries: Vec<&str> = vec![
                "coresize",
                "holders",
                "initsize",
                "initstate",
                "notes",
                "refcnt",
                "sections",
                "taint",
                "uevent",
            ];
            if m.params.iter().any(|p| p.perm != 0) {
                entries.push("parameters");
            }
            if m.version.0.is_some() {
                entries.push("version");
            }
            if m.version.1.is_some() {
                entries.push("srcversion");
            }
            entries.sort_unstable();
            Ok(Ok(Node::Directory(
                entries.into_iter().map(str::to_owned).collect(),
            )))
        }
        "initstate" => text(format!("{}\n", show::initstate(super::state(cx, index)))),
        "refcnt" => text(format!("{}\n", refs::count(cx, m.addr)?)),
        "coresize" => text(format!("{}\n", m.core_size)),
        "initsize" => text(format!("{}\n", m.init_size)),
        "taint" => text(format!("{}\n", taint::letters(cx, index, None))),
        "version" => Ok(m
            .version
            .0
            .clone()
            .map(|v| Node::Text(format!("{v}\n")))
            .ok_or(ENOENT)),
        "srcversion" => Ok(m
            .version
            .1
            .clone()
            .map(|v| Node::Text(format!("{v}\n")))
            .ok_or(ENOENT)),
        "uevent" => Ok(Err(EACCES)),
        "holders" => {
            let mut names: Vec<String> = super::users(cx, index)?
                .into_iter()
                .map(|u| cx.modules.list[u].name.clone())
                .collect();
            names.sort();
            Ok(Ok(Node::Directory(names)))
        }
        "parameters" => {
            let mut names: Vec<String> = m
                .params
                .iter()
                .filter(|p| p.perm != 0)
                .map(|p| p.name.clone())
                .collect();
            names.sort();
            Ok(if names.is_empty() {
                Err(ENOENT)
            } else {
                Ok(Node::Directory(names))
            })
        }
        "sections" => {
            let mut names: Vec<String> = m
                .sections
                .iter()
                .filter(|s| s.size != 0)
                .map(|s| s.name.clone())
                .chain([".symtab".to_owned(), ".strtab".to_owned()])
                .collect();
            names.sort();
            Ok(Ok(Node::Directory(names)))
        }
        _ => match attribute.split_once('/') {
            Some(("parameters", name)) => parameter(cx, index, name),
            Some(("sections", name)) => Ok(m
                .sections
                .iter()
                .find(|s| s.name == name && s.size != 0)
                .map(|s| if privileged { s.addr } else { 0 })
                .map(|addr| Node::Text(format!("0x{addr:016x}\n")))
                .ok_or(ENOENT)),
            _ => Ok(Err(ENOENT)),
        },
    }
}

fn parameter(cx: &mut Cx, index: usize, name: &str) -> R<Answer> {
    let Some(param) = cx.modules.list[index]
        .params
        .iter()
        .find(|p| p.name == name && p.perm != 0)
        .cloned()
    else {
        return Ok(Err(ENOENT));
    };
    if param.perm & 0o444 == 0 {
        return Ok(Err(EPERM));
    }
    let get = cx.r64(param.ops + 16)?;
    if get == 0 {
        return Ok(Err(EPERM));
    }
    let page = crate::data::alloc(cx, 4096, 4096)?;
    let len = cx.call_guest(get, &[page, param.addr]) as i32;
    if len < 0 {
        return Ok(Err(-len));
    }
    let bytes = cx.bytes(page, (len as u64).min(4096))?;
    Ok(Ok(Node::Text(String::from_utf8_lossy(&bytes).into_owned())))
}

/// Writes a file of ours; None when the path is none of the module subsystem's.
pub fn write(cx: &mut Cx, path: &str, text: &[u8]) -> R<Option<i32>> {
    if path == "/proc/sys/kernel/modules_disabled" {
        let on = text.first() == Some(&b'1');
        let ok = on || text.first() == Some(&b'0') && !cx.modules.disabled;
        cx.modules.disabled |= on;
        return Ok(Some(if ok { 0 } else { EINVAL }));
    }
    let Some(rest) = path.strip_prefix("/sys/module/") else {
        return Ok(None);
    };
    let mut parts = rest.splitn(3, '/');
    let (Some(name), Some("parameters"), Some(param)) = (parts.next(), parts.next(), parts.next())
    else {
        return Ok(Some(EACCES));
    };
    let Some(index) = find(cx, name) else {
        return Ok(Some(ENOENT));
    };
    let Some(param) = cx.modules.list[index]
        .params
        .iter()
        .find(|p| p.name == param && p.perm != 0)
        .cloned()
    else {
        return Ok(Some(ENOENT));
    };
    if param.perm & 0o222 == 0 {
        return Ok(Some(EACCES));
    }
    Ok(Some(-params::set(cx, index, &param, Some(text))?))
}

/// /proc/kallsyms of the modules, oldest first.
fn all_symbols(cx: &Cx, privileged: bool) -> String {
    let mut out = String::new();
    for m in cx.modules.list.iter().filter(|m| m.listed) {
        for kallsyms::Sym {
            addr, name, letter, ..
        } in &m.syms
        {
            let addr = if privileged { *addr } else { 0 };
            out.push_str(&format!("{addr:016x} {letter} {name}\t[{}]\n", m.name));
        }
    }
    out
}
