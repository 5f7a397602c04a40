//! Device mapper, software RAID and sound cards: users that only their own subsystem knows.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;

use lkm_judge::why::Reference;

use super::files::Files;
use crate::netlink;
use crate::proc;
use crate::sys;
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

/// Names of device-mapper target types that the module has, by dm_mod's list.
///
/// # Errors
/// When the list cannot be walked.
pub fn target_types(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<String>, Trouble> {
    let head = kernel.symbol("_targets")?;
    let mut found = Vec::new();
    for at in kernel.list(head, "target_type", "list")? {
        if kernel.ptr(at, "target_type", "module")? == target.address {
            found.push(kernel.string(kernel.ptr(at, "target_type", "name")?)?);
        }
    }
    Ok(found)
}

/// The same by the module's name (`dm_crypt` has `crypt`).
pub fn guess_types(module: &str) -> Vec<String> {
    let own = ["linear", "striped", "error"];
    match module.strip_prefix("dm_") {
        Some("mod") => own.iter().map(ToString::to_string).collect(),
        Some(rest) => vec![rest.replace('_', "-")],
        None => Vec::new(),
    }
}

/// Mapped devices whose tables have targets of these types; dm_mod itself is pinned once
/// more by each device.
///
/// # Errors
/// When the device mapper does not answer.
pub fn device_mapper(module: &str, types: &[String]) -> io::Result<Vec<Reference>> {
    let devices: Vec<(String, String)> = proc::names("/sys/block")
        .into_iter()
        .filter_map(|name| Some((proc::line(format!("/sys/block/{name}/dm/name"))?, name)))
        .collect();
    let mut found = Vec::new();
    if devices.is_empty() || (types.is_empty() && module != "dm_mod") {
        return Ok(found);
    }
    for (name, disk) in devices {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for flags in [STATUS_TABLE, STATUS_TABLE | QUERY_INACTIVE] {
            for kind in table(&name, flags)? {
                if types.contains(&kind) {
                    *counts.entry(kind).or_default() += 1;
                }
            }
        }
        let release = format!("dmsetup remove {name}");
        let mut add = |object: String, count: u64| {
            found.push(Reference {
                kind: "device-mapper".into(),
                object,
                holder: format!("mapped device {name} (/dev/{disk})"),
                count,
                release: release.clone(),
            });
        };
        if module == "dm_mod" {
            add("the device itself".into(), 1);
        }
        for (kind, count) in counts {
            add(format!("target {kind}"), count);
        }
    }
    Ok(found)
}

const STATUS_TABLE: u32 = 1 << 4;
const QUERY_INACTIVE: u32 = 1 << 12;
/// `struct dm_ioctl`.
const HEADER: usize = 312;
/// `_IOWR(0xfd, 12, struct dm_ioctl)`: DM_TABLE_STATUS.
const TABLE_STATUS: u64 = 3 << 30 | (HEADER as u64) << 16 | 0xfd << 8 | 12;

/// The target types of a mapped device's table.
fn table(name: &str, flags: u32) -> io::Result<Vec<String>> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")?;
    let mut buffer = vec![0; 1 << 16];
    let size = buffer.len() as u32;
    for (n, word) in [4u32, 0, 0, size, HEADER as u32, 0, 0, flags]
        .into_iter()
        .enumerate()
    {
        buffer[n * 4..n * 4 + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let bytes = name.as_bytes();
    let length = bytes.len().min(127);
    buffer[48..48 + length].copy_from_slice(&bytes[..length]);
    sys::device_mapper(&control, TABLE_STATUS, &mut buffer)?;
    let word = |at| netlink::number(&buffer, at).unwrap_or(0) as usize;
    let (start, count) = (word(16), word(20));
    let mut at = start;
    let mut found = Vec::new();
    for _ in 0..count {
        // struct dm_target_spec: start, length, status, next, type; next counts from the first.
        let Some(kind) = buffer.get(at + 24..at + 40) else {
            break;
        };
        let end = kind.iter().position(|b| *b == 0).unwrap_or(kind.len());
        found.push(String::from_utf8_lossy(&kind[..end]).into_owned());
        at = start + word(at + 20);
    }
    Ok(found)
}

/// Names of RAID personalities that the module has, by md_mod's list.
///
/// # Errors
/// When the list cannot be walked.
pub fn personalities(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<String>, Trouble> {
    let head = kernel.symbol("pers_list")?;
    let mut found = Vec::new();
    for at in kernel.list(head, "md_personality", "list")? {
        if kernel.ptr(at, "md_personality", "owner")? == target.address {
            found.push(kernel.string(kernel.ptr(at, "md_personality", "name")?)?);
        }
    }
    Ok(found)
}

/// Arrays of these personalities.
pub fn arrays(personalities: &[String]) -> Vec<Reference> {
    parse_arrays(
        &fs::read_to_string("/proc/mdstat").unwrap_or_default(),
        personalities,
    )
}

fn parse_arrays(text: &str, personalities: &[String]) -> Vec<Reference> {
    text.lines()
        .filter_map(|line| line.split_once(" : "))
        .filter_map(|(array, rest)| {
            let kind = rest
                .split(' ')
                .find(|w| personalities.iter().any(|p| p == w))?;
            Some(Reference {
                kind: "raid".into(),
                object: format!("array {array}, {kind}"),
                holder: "the array".into(),
                count: 1,
                release: format!("mdadm --stop /dev/{array}"),
            })
        })
        .collect()
}

/// Files open on the devices of sound cards that the module drives. The files' operations
/// belong to the core modules; the card's driver is pinned once by each.
pub fn sound(module: &str, files: &Files) -> Vec<Reference> {
    let text = fs::read_to_string("/proc/asound/modules").unwrap_or_default();
    let cards: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(_, driver)| driver.trim() == module)
        .map(|(card, _)| card)
        .collect();
    if cards.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (file, (major, minor)) in &files.devices {
        if *major != 116 {
            continue;
        }
        let link = fs::read_link(format!("/sys/dev/char/{major}:{minor}"));
        let Some(name) = link
            .ok()
            .and_then(|l| Some(l.file_name()?.to_str()?.to_string()))
        else {
            continue;
        };
        if !cards.iter().any(|card| belongs(&name, card)) {
            continue;
        }
        let pids = files
            .pids(*file)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        found.push(Reference {
            kind: "sound".into(),
            object: format!("/dev/snd/{name}"),
            holder: files.who(*file),
            count: 1,
            release: format!("close it, or end it: kill {}", pids.join(" ")),
        });
    }
    found
}

/// `pcmC0D0p` is of card 0.
fn belongs(device: &str, card: &str) -> bool {
    device.split_once('C').is_some_and(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits == card
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_found_by_their_personality() {
        let text = "Personalities : [raid1]\nmd0 : active raid1 loop0[0]\n      8 blocks\n\
                    md1 : active (auto-read-only) raid10 sda1[0]\nmd2 : inactive sdb[0]\n";
        let found = parse_arrays(text, &["raid1".into()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object, "array md0, raid1");
        assert_eq!(parse_arrays(text, &["raid10".into()]).len(), 1);
    }

    #[test]
    fn sound_devices_name_their_card() {
        assert!(belongs("pcmC0D0p", "0"));
        assert!(belongs("controlC10", "10"));
        assert!(!belongs("controlC10", "1"));
        assert!(!belongs("timer", "0"));
    }
}
