//! The second depth: what user space shows, when the kernel's own structures are denied.
//! Counts are at least what is said here: one descriptor may pin a module twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use lkm_judge::why::{Limit, Loss, Reference, Why};

use super::{crypto, filters, mapped, storage, traffic};
use crate::proc;
use crate::sys;

/// Looks at everything of user space.
pub fn look(why: &mut Why) {
    let module = why.module.clone();
    if why.state == "live" {
        why.refs.extend(devices(&module));
        why.refs.extend(file_systems(&module));
        why.refs.extend(storage::loops(&module));
        why.refs.extend(swaps(&module));
        why.refs.extend(crypto::inventory(&module));
        why.refs.extend(protocols(&module));
        let networks = proc::networks();
        let kinds = traffic::Kinds::guess(&module);
        if !kinds.is_empty() {
            why.refs.extend(traffic::references(&kinds, &networks));
        }
        if ["nft_", "xt_", "ipt", "ip6t"]
            .iter()
            .any(|p| module.starts_with(p))
        {
            why.refs.extend(filters::references(
                &filters::Kinds::guess(&module),
                &module,
                &networks,
            ));
        }
        let types = mapped::guess_types(&module);
        why.refs
            .extend(mapped::device_mapper(&module, &types).unwrap_or_default());
        why.refs
            .extend(mapped::arrays(std::slice::from_ref(&module)));
        why.refs.extend(disciplines(&module));
    }
    why.not_pinned.extend(interfaces(&module));
    if !sys::is_root() {
        let reason = "only root sees their descriptors, mappings and namespaces".into();
        why.limits.push(Limit {
            what: "processes of other users".into(),
            reason,
        });
    }
    why.settle();
}

/// Which character devices belong to the module: by sysfs, or by the name it registered.
struct Devices {
    module: String,
    misc: Vec<u32>,
    majors: Vec<u32>,
}

impl Devices {
    fn of(module: &str) -> Devices {
        let same = |name: &str| name.replace('-', "_") == module;
        let misc = proc::misc_names()
            .into_iter()
            .filter(|(_, n)| same(n))
            .map(|(m, _)| m)
            .collect();
        let text = fs::read_to_string("/proc/devices").unwrap_or_default();
        let majors = text
            .lines()
            .take_while(|line| !line.starts_with("Block"))
            .filter_map(|line| line.trim().split_once(' '))
            .filter(|(_, name)| same(name))
            .filter_map(|(major, _)| major.parse().ok())
            .collect();
        Devices {
            module: module.into(),
            misc,
            majors,
        }
    }

    fn has(&self, class: &str, major: u32, minor: u32) -> bool {
        if let Some(owner) = proc::device_module(class, major, minor) {
            return owner == self.module;
        }
        class == "char"
            && (self.majors.contains(&major) || major == 10 && self.misc.contains(&minor))
    }
}

/// Open descriptors and mappings of the module's devices.
fn devices(module: &str) -> Vec<Reference> {
    let devices = Devices::of(module);
    let mut lines: BTreeMap<(String, String, String), (u64, i32)> = BTreeMap::new();
    for pid in proc::processes() {
        let base = format!("/proc/{pid}");
        for (directory, kind) in [("fd", "file"), ("map_files", "mapping")] {
            let mut seen = BTreeSet::new();
            for name in proc::names(format!("{base}/{directory}")) {
                let path = format!("{base}/{directory}/{name}");
                let Ok(data) = fs::metadata(&path) else {
                    continue;
                };
                let class = match data.file_type() {
                    t if t.is_char_device() => "char",
                    t if t.is_block_device() => "block",
                    _ => continue,
                };
                let (major, minor) = proc::device_numbers(data.rdev());
                if !devices.has(class, major, minor) {
                    continue;
                }
                // All mappings of a file are one reference, and so is an open descriptor of it.
                if kind == "mapping" && !seen.insert((major, minor)) {
                    continue;
                }
                let link = fs::read_link(&path).map(|l| l.display().to_string());
                let object = format!("{} ({class} {major}:{minor})", link.unwrap_or_default());
                let holder = proc::describe(pid, "pid");
                let line = lines
                    .entry((kind.into(), object, holder))
                    .or_insert((0, pid));
                line.0 += 1;
            }
        }
    }
    lines
        .into_iter()
        .map(|((kind, object, holder), (count, pid))| Reference {
            kind,
            object,
            holder,
            count,
            release: format!("close it, or end it: kill {pid}"),
        })
        .collect()
}

/// Mounted file systems of the module, one for each device.
fn file_systems(module: &str) -> Vec<Reference> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let kind = known
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .find(|kind| kind.replace('-', "_") == module);
    let Some(kind) = kind else { return Vec::new() };
    let mounts = proc::mounts();
    let devices: BTreeSet<&str> = mounts
        .iter()
        .filter(|m| m.kind == kind)
        .map(|m| m.device.as_str())
        .collect();
    devices
        .into_iter()
        .map(|device| storage::reference(format!("{kind} file system ({device})"), device, &mounts))
        .collect()
}

/// Swap space on the module's disks.
fn swaps(module: &str) -> Vec<Reference> {
    storage::swaps()
        .into_iter()
        .filter(|(device, _)| {
            let disk = storage::block_name(device);
            let disk = disk.trim_end_matches(|c: char| c.is_ascii_digit());
            disk == module
                || device.split_once(':').is_some_and(|(major, minor)| {
                    let numbers = (major.parse().unwrap_or(0), minor.parse().unwrap_or(0));
                    proc::device_module("block", numbers.0, numbers.1).as_deref() == Some(module)
                })
        })
        .map(|(device, path)| Reference {
            kind: "swap".into(),
            object: format!("{path} ({device})"),
            holder: "swap space".into(),
            count: 2,
            release: format!("swapoff {path}"),
        })
        .collect()
}

/// Sockets of protocols of the module, by /proc/net/protocols of our namespace.
fn protocols(module: &str) -> Vec<Reference> {
    let text = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    parse_protocols(&text, module)
}

fn parse_protocols(text: &str, module: &str) -> Vec<Reference> {
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
    let place = |name: &str| columns.iter().position(|c| *c == name);
    let (Some(sockets), Some(owner)) = (place("sockets"), place("module")) else {
        return Vec::new();
    };
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(owner) == Some(&module))
        .filter_map(|words| {
            let count = words.get(sockets)?.parse::<u64>().ok()?;
            (count > 0).then(|| Reference {
                kind: "socket".into(),
                object: format!("{count} {} sockets in this network namespace", words[0]),
                holder: "processes (ss -a, lsof), or the kernel itself".into(),
                count,
                release: "close the sockets".into(),
            })
        })
        .collect()
}

/// Terminals with a line discipline of the module, by asking a copy of each descriptor.
fn disciplines(module: &str) -> Vec<Reference> {
    let text = fs::read_to_string("/proc/tty/ldiscs").unwrap_or_default();
    let number = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| name.replace('-', "_") == module)
        .and_then(|(_, number)| number.trim().parse::<i32>().ok());
    let Some(number) = number else {
        return Vec::new();
    };
    let mut found = BTreeMap::new();
    for pid in proc::processes() {
        for name in proc::names(format!("/proc/{pid}/fd")) {
            let path = format!("/proc/{pid}/fd/{name}");
            let Ok(link) = fs::read_link(&path) else {
                continue;
            };
            let terminal = link.display().to_string();
            if !terminal.starts_with("/dev/tty") && !terminal.starts_with("/dev/pts/") {
                continue;
            }
            use std::os::fd::AsFd;
            let own = name
                .parse()
                .ok()
                .and_then(|fd| sys::borrow_descriptor(pid, fd).ok());
            let set = own.and_then(|fd| sys::line_discipline(fd.as_fd()).ok());
            if set == Some(number) {
                found.entry(terminal).or_insert(pid);
            }
        }
    }
    found
        .into_iter()
        .map(|(terminal, pid)| Reference {
            kind: "line-discipline".into(),
            object: format!("terminal {terminal}, line discipline {number}"),
            holder: proc::describe(pid, "pid"),
            count: 1,
            release: format!("end it: kill {pid}, or set the discipline back to 0 (N_TTY)"),
        })
        .collect()
}

/// Interfaces of the module's drivers in our namespace.
fn interfaces(module: &str) -> Vec<Loss> {
    proc::names("/sys/class/net")
        .into_iter()
        .filter(|name| {
            let link = fs::read_link(format!("/sys/class/net/{name}/device/driver/module"));
            let kind = proc::line(format!("/sys/class/net/{name}/uevent")).unwrap_or_default();
            link.is_ok_and(|l| l.ends_with(module)) || kind.contains(&format!("DEVTYPE={module}\n"))
        })
        .map(|name| Loss {
            kind: "interface".into(),
            object: name,
            effect: "disappears, with its addresses and routes".into(),
            fatal: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_by_their_module() {
        let text = "protocol  size sockets  memory press maxhdr  slab module     cl co\n\
                    SCTP      1888      2     -1   NI       0   yes  sctp        y y\n\
                    UDP       1344      5      1   NI       0   yes  kernel      y y\n";
        let found = parse_protocols(text, "sctp");
        assert_eq!((found.len(), found[0].count), (1, 2));
        assert!(parse_protocols("", "sctp").is_empty());
    }
}
