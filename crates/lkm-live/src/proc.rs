//! What /proc and /sys show: modules, processes, mounts, namespaces.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A module as /proc/modules and sysfs show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Bytes of memory it occupies, as lsmod shows it.
    pub size: u64,
    /// lsmod's count; none when the kernel cannot unload modules.
    pub refcount: Option<i64>,
    /// Modules that use its symbols.
    pub holders: Vec<String>,
    /// `live`, `coming` or `going`.
    pub state: &'static str,
    /// It has an init and no exit.
    pub permanent: bool,
    /// Where its core memory starts; 0 when that is withheld.
    pub address: u64,
    /// Taint letters.
    pub taints: String,
}

/// All loaded modules.
///
/// # Errors
/// When /proc/modules cannot be read.
pub fn modules() -> io::Result<Vec<Module>> {
    Ok(fs::read_to_string("/proc/modules")?
        .lines()
        .filter_map(module_line)
        .collect())
}

/// A line of /proc/modules: `name size refs users state address (taints)`.
fn module_line(line: &str) -> Option<Module> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, size, count, users, state, address, ..] = words[..] else {
        return None;
    };
    let state = match state {
        "Live" => "live",
        "Loading" => "coming",
        "Unloading" => "going",
        _ => return None,
    };
    let users: Vec<&str> = users
        .split(',')
        .filter(|u| !u.is_empty() && *u != "-")
        .collect();
    Some(Module {
        name: name.to_string(),
        size: size.parse().ok()?,
        refcount: count.parse().ok(),
        permanent: users.contains(&"[permanent]"),
        holders: users
            .iter()
            .filter(|u| **u != "[permanent]")
            .map(ToString::to_string)
            .collect(),
        state,
        address: u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap_or(0),
        taints: words
            .get(6)
            .map_or("", |t| t.trim_matches(['(', ')']))
            .to_string(),
    })
}

/// A module by its name; `-` and `_` are the same.
///
/// # Errors
/// When /proc/modules cannot be read.
pub fn module(name: &str) -> io::Result<Option<Module>> {
    let name = name.replace('-', "_");
    Ok(modules()?.into_iter().find(|m| m.name == name))
}

/// A file's text without the last newline; none when it cannot be read.
pub fn line(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim_end().to_string())
}

/// The release of the running kernel.
pub fn release() -> String {
    line("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// The numbers of all processes, in order.
pub fn processes() -> Vec<i32> {
    let mut pids: Vec<i32> = names("/proc")
        .iter()
        .filter_map(|n| n.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// Names in a directory; nothing when it cannot be read.
pub fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// How a process is called in answers: `pid 7 (cat)`, with its namespace when it is not ours.
pub fn describe(pid: i32, namespace: &str) -> String {
    let name = line(format!("/proc/{pid}/comm")).unwrap_or_else(|| "?".into());
    let own = fs::read_link(format!("/proc/self/ns/{namespace}")).ok();
    let its = fs::read_link(format!("/proc/{pid}/ns/{namespace}")).ok();
    match (own, its) {
        (Some(own), Some(its)) if own != its => {
            format!("pid {pid} ({name}) in another {namespace} namespace")
        }
        _ => format!("pid {pid} ({name})"),
    }
}

/// A thread's kernel stack, with the thread it belongs to.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The thread.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// The state letter of /proc/PID/stat.
    pub state: char,
    /// The text of /proc/PID/stack.
    pub text: String,
}

/// The kernel stacks of threads, those that are `wanted`; none without privilege.
pub fn stacks(wanted: impl Fn(&str) -> bool) -> Option<Vec<Stack>> {
    let mut found = Vec::new();
    let mut readable = false;
    for pid in processes() {
        for tid in names(format!("/proc/{pid}/task"))
            .iter()
            .filter_map(|n| n.parse::<i32>().ok())
        {
            let base = format!("/proc/{pid}/task/{tid}");
            let Ok(text) = fs::read_to_string(format!("{base}/stack")) else {
                continue;
            };
            readable = true;
            if !wanted(&text) {
                continue;
            }
            let stat = line(format!("{base}/stat")).unwrap_or_default();
            let state = stat
                .rsplit_once(") ")
                .and_then(|(_, s)| s.chars().next())
                .unwrap_or('?');
            let name = line(format!("{base}/comm")).unwrap_or_default();
            found.push(Stack {
                tid,
                name,
                state,
                text,
            });
        }
    }
    readable.then_some(found)
}

/// A line of a mountinfo file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of the superblock.
    pub device: String,
    /// Where it is mounted, in its namespace.
    pub place: String,
    /// The type, without a subtype.
    pub kind: String,
    /// What was mounted.
    pub source: String,
    /// A process in that mount namespace, and the namespace's inode.
    pub pid: i32,
    /// The namespace's inode number.
    pub namespace: u64,
}

/// Every mount of every mount namespace that a process is in.
pub fn mounts() -> Vec<Mount> {
    let mut found = Vec::new();
    let own = namespace_of("self", "mnt");
    let mut seen: Vec<u64> = Vec::new();
    let mut look = |pid: i32, name: &str, namespace: u64| {
        if seen.contains(&namespace) {
            return;
        }
        if let Ok(text) = fs::read_to_string(format!("/proc/{name}/mountinfo")) {
            seen.push(namespace);
            found.extend(
                text.lines()
                    .filter_map(|line| mount_line(line, pid, namespace)),
            );
        }
    };
    if let Some(own) = own {
        look(i32::try_from(std::process::id()).unwrap_or(0), "self", own);
    }
    for pid in processes() {
        if let Some(namespace) = namespace_of(&pid.to_string(), "mnt") {
            look(pid, &pid.to_string(), namespace);
        }
    }
    found
}

/// The inode of a process's namespace.
pub fn namespace_of(pid: &str, kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/{kind}"))
        .ok()
        .map(|m| m.ino())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`.
fn mount_line(line: &str, pid: i32, namespace: u64) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut left = before.split(' ').skip(2);
    let device = left.next()?.to_string();
    let place = unescape(left.nth(1)?);
    let mut right = after.split(' ');
    let kind = right.next()?.split('.').next()?.to_string();
    let source = unescape(right.next().unwrap_or(""));
    Some(Mount {
        device,
        place,
        kind,
        source,
        pid,
        namespace,
    })
}

/// Undoes the octal escapes of mountinfo and swaps (`\040` for a space).
pub fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail
            .get(..3)
            .filter(|d| d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match digits {
            Some(d) if *first == b'\\' => {
                let value = d.iter().fold(0u32, |v, b| v * 8 + u32::from(b - b'0'));
                out.push((value & 0xff) as u8);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A network namespace that can be entered, by its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The namespace's inode number.
    pub inode: u64,
    /// A path to open it by.
    pub path: PathBuf,
    /// How answers call it; empty for our own.
    pub name: String,
}

impl Network {
    /// A command that does its work in this namespace.
    pub fn command(&self, command: &str) -> String {
        if self.name.is_empty() {
            return command.to_string();
        }
        let mut parts = self.path.components().rev();
        let last = parts.next().map(|c| c.as_os_str().to_string_lossy());
        let last = last.unwrap_or_default();
        if self.path.starts_with("/proc") {
            // /proc/PID/ns/net
            let pid = parts.nth(1).map(|c| c.as_os_str().to_string_lossy());
            return format!("nsenter -t {} -n {command}", pid.unwrap_or_default());
        }
        format!("ip netns exec {last} {command}")
    }

    /// A command that ends this namespace, as far as what names it here keeps it.
    pub fn end(&self) -> String {
        let mut parts = self.path.components().rev();
        let last = parts.next().map(|c| c.as_os_str().to_string_lossy());
        if self.path.starts_with("/proc") {
            let pid = parts.nth(1).map(|c| c.as_os_str().to_string_lossy());
            return format!("kill {}", pid.unwrap_or_default());
        }
        format!("ip netns del {}", last.unwrap_or_default())
    }
}

/// Every network namespace that a process is in or that `ip netns` has named; ours first.
pub fn networks() -> Vec<Network> {
    let mut found: Vec<Network> = Vec::new();
    let mut add = |path: PathBuf, name: String| {
        let Ok(data) = fs::metadata(&path) else {
            return;
        };
        if !found.iter().any(|n| n.inode == data.ino()) {
            found.push(Network {
                inode: data.ino(),
                path,
                name,
            });
        }
    };
    add("/proc/self/ns/net".into(), String::new());
    for directory in ["/run/netns", "/var/run/netns"] {
        for name in names(directory) {
            let text = format!("network namespace {name}");
            add(Path::new(directory).join(&name), text);
        }
    }
    for pid in processes() {
        let text = format!("the network namespace of pid {pid}");
        add(format!("/proc/{pid}/ns/net").into(), text);
    }
    found
}

/// The name a module gives for a character or block device number (`driver/module` in sysfs).
pub fn device_module(class: &str, major: u32, minor: u32) -> Option<String> {
    let base = format!("/sys/dev/{class}/{major}:{minor}");
    for link in ["device/driver/module", "driver/module"] {
        if let Ok(target) = fs::read_link(format!("{base}/{link}")) {
            return target.file_name().map(|n| n.to_string_lossy().into_owned());
        }
    }
    None
}

/// Splits a device number as Linux encodes it for user space.
pub fn device_numbers(device: u64) -> (u32, u32) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (major as u32, minor as u32)
}

/// Names of /proc/misc by minor number.
pub fn misc_names() -> HashMap<u32, String> {
    let text = fs::read_to_string("/proc/misc").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(minor, name)| Some((minor.parse().ok()?, name.trim().to_string())))
        .collect()
}

/// The kernel log, oldest first; empty when it may not be read.
pub fn kernel_log() -> Vec<String> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let Ok(mut log) = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let mut record = vec![0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                if let Some((_, message)) = text.split_once(';') {
                    lines.push(message.lines().next().unwrap_or("").to_string());
                }
            }
            // EPIPE: this record was overwritten while we read; the next one is there.
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_modules() {
        let m = module_line("vms 16384 1 - Loading 0xffffffffc0a00000 (OE+)").expect("a module");
        assert_eq!(
            (m.state, m.refcount, m.taints.as_str()),
            ("coming", Some(1), "OE+")
        );
        let m = module_line("a 1 2 b,c,[permanent], Live 0x0").expect("a module");
        assert_eq!((m.permanent, m.holders.len(), m.address), (true, 2, 0));
        let m = module_line("a 1 -1 - Unloading 0x0").expect("a module");
        assert_eq!((m.state, m.refcount), ("going", Some(-1)));
        assert_eq!(module_line("short"), None);
    }

    #[test]
    fn a_namespace_is_reached_by_its_name_or_by_a_process() {
        let network = |path: &str, name: &str| Network {
            inode: 1,
            path: path.into(),
            name: name.into(),
        };
        assert_eq!(network("/proc/self/ns/net", "").command("tc"), "tc");
        let named = network("/run/netns/n1", "network namespace n1");
        assert_eq!(named.command("tc"), "ip netns exec n1 tc");
        assert_eq!(named.end(), "ip netns del n1");
        let other = network("/proc/12/ns/net", "the network namespace of pid 12");
        assert_eq!(other.command("tc"), "nsenter -t 12 -n tc");
        assert_eq!(other.end(), "kill 12");
    }

    #[test]
    fn lines_of_mountinfo() {
        let text = "36 35 98:0 /a /mnt\\0402 rw,noatime master:1 - fuse.sshfs me@there rw";
        let mount = mount_line(text, 1, 2).expect("a mount");
        assert_eq!(
            (mount.device.as_str(), mount.place.as_str()),
            ("98:0", "/mnt 2")
        );
        assert_eq!(
            (mount.kind.as_str(), mount.source.as_str()),
            ("fuse", "me@there")
        );
        assert_eq!(mount_line("36 35", 1, 2), None);
        assert_eq!(unescape("a\\04"), "a\\04");
    }

    #[test]
    fn device_numbers_as_linux_encodes_them() {
        assert_eq!(device_numbers(0x0a37), (10, 55));
        assert_eq!(device_numbers(0x0010_0302), (3, 0x102));
    }
}
