//! Superblocks and block devices: mounted file systems (in every namespace, or none any
//! more), and who has a disk open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use lkm_judge::why::Reference;

use super::files::Files;
use crate::proc::{self, Mount};
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

/// A superblock.
#[derive(Clone, Debug)]
pub struct SuperBlock {
    /// Where it is.
    pub address: u64,
    /// Its type's owner.
    pub owner: u64,
    /// Its type's name.
    pub kind: String,
    /// What it calls itself (`s_id`).
    pub id: String,
    /// `major:minor`, as mountinfo shows it.
    pub device: String,
    /// The block device under it, 0 when there is none.
    pub block: u64,
}

/// All superblocks.
///
/// # Errors
/// When the list cannot be walked.
pub fn super_blocks(kernel: &Kernel<'_>) -> Result<Vec<SuperBlock>, Trouble> {
    let head = kernel.symbol("super_blocks")?;
    let mut found = Vec::new();
    for address in kernel.list(head, "super_block", "s_list")? {
        let record = kernel.record("super_block", address)?;
        let kind = record.ptr("s_type")?;
        let device = record.u32("s_dev")?;
        found.push(SuperBlock {
            address,
            owner: kernel.ptr(kind, "file_system_type", "owner")?,
            kind: kernel.string(kernel.ptr(kind, "file_system_type", "name")?)?,
            id: record.text("s_id", 32)?,
            device: numbers(device),
            block: record.ptr("s_bdev")?,
        });
    }
    Ok(found)
}

/// The kernel's own encoding of a device number, as user space writes it.
fn numbers(device: u32) -> String {
    format!("{}:{}", device >> 20, device & 0xf_ffff)
}

/// One reference for each superblock of a type that the module owns.
pub fn mounted(target: &Target, blocks: &[SuperBlock], mounts: &[Mount]) -> Vec<Reference> {
    blocks
        .iter()
        .filter(|s| s.owner == target.address)
        .map(|s| {
            let object = format!("{} file system on {} ({})", s.kind, s.id, s.device);
            reference(object, &s.device, mounts)
        })
        .collect()
}

/// Who has a superblock, by the mounts of its device or by who is still inside it.
pub fn reference(object: String, device: &str, mounts: &[Mount]) -> Reference {
    let own = proc::namespace_of("self", "mnt");
    let mut places = Vec::new();
    let mut commands = Vec::new();
    for mount in mounts.iter().filter(|m| m.device == device) {
        if Some(mount.namespace) == own {
            places.push(format!("mounted on {}", mount.place));
            commands.push(format!("umount {}", mount.place));
        } else {
            let who = proc::describe(mount.pid, "mnt");
            places.push(format!("mounted on {} for {who}", mount.place));
            commands.push(format!(
                "nsenter -t {} -m umount {}",
                mount.pid, mount.place
            ));
        }
    }
    if !places.is_empty() {
        commands.dedup();
        return Reference {
            kind: "mount".into(),
            object,
            holder: places.join(", "),
            count: 1,
            release: commands.join("; "),
        };
    }
    let inside = inside(device);
    if inside.is_empty() {
        return Reference {
            kind: "mount".into(),
            object,
            holder: "a mount of the kernel's own, or of a namespace without a process".into(),
            count: 1,
            release: "end what made it: no process can unmount it".into(),
        };
    }
    let pids: Vec<String> = inside.iter().map(|(pid, _)| pid.to_string()).collect();
    Reference {
        kind: "lazy-unmount".into(),
        object,
        holder: inside
            .iter()
            .map(|(pid, what)| format!("{} ({what})", proc::describe(*pid, "mnt")))
            .collect::<Vec<_>>()
            .join(", "),
        count: 1,
        release: format!(
            "it was unmounted lazily and goes with its last user: kill {}",
            pids.join(" ")
        ),
    }
}

/// Processes with a working directory, a root or a descriptor on a device.
fn inside(device: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for pid in proc::processes() {
        let base = format!("/proc/{pid}");
        let mut links = vec![("cwd".to_string(), "working directory".to_string())];
        links.push(("root".into(), "root directory".into()));
        links.extend(
            proc::names(format!("{base}/fd"))
                .into_iter()
                .map(|n| (format!("fd/{n}"), format!("descriptor {n}"))),
        );
        for (link, what) in links {
            let Ok(data) = fs::metadata(format!("{base}/{link}")) else {
                continue;
            };
            let (major, minor) = proc::device_numbers(data.dev());
            if format!("{major}:{minor}") == device {
                found.push((pid, what));
                break;
            }
        }
    }
    found
}

/// A block device: a disk or a partition.
#[derive(Clone, Debug)]
struct Block {
    address: u64,
    inode: u64,
    disk: u64,
    device: String,
    openers: u64,
    holder: u64,
}

/// Who has the disks open whose driver the module is.
///
/// # Errors
/// When the list cannot be walked.
pub fn disks(
    kernel: &Kernel<'_>,
    target: &Target,
    files: &Files,
    blocks: &[SuperBlock],
    mounts: impl FnOnce() -> Vec<Mount>,
) -> Result<Vec<Reference>, Trouble> {
    let mut disks: BTreeMap<u64, Vec<Block>> = BTreeMap::new();
    for block in devices(kernel, target)? {
        disks.entry(block.disk).or_default().push(block);
    }
    if disks.is_empty() {
        return Ok(Vec::new());
    }
    let mounts = &mounts();
    let swaps = swaps();
    let mut found = Vec::new();
    for (disk, parts) in disks {
        // Every open partition opens the whole disk once more, without a reference.
        let mut inner = u64::from(kernel.u32(disk, "gendisk", "open_partitions")?);
        for block in parts {
            let mut openers = block.openers;
            let whole = kernel.ptr(disk, "gendisk", "part0")? == block.address;
            if whole {
                openers = openers.saturating_sub(inner);
                inner = 0;
            }
            openers_of(
                kernel, &block, openers, files, blocks, mounts, &swaps, &mut found,
            );
        }
    }
    Ok(found)
}

#[allow(
    clippy::too_many_arguments,
    reason = "the places where an opener can be"
)]
fn openers_of(
    kernel: &Kernel<'_>,
    block: &Block,
    mut left: u64,
    files: &Files,
    blocks: &[SuperBlock],
    mounts: &[Mount],
    swaps: &BTreeMap<String, String>,
    found: &mut Vec<Reference>,
) {
    let name = block_name(&block.device);
    let mut add = |kind: &str, holder: String, count: u64, release: String| {
        let count = count.min(left);
        left -= count;
        if count > 0 {
            let object = format!("/dev/{name} ({})", block.device);
            found.push(Reference {
                kind: kind.into(),
                object,
                holder,
                count,
                release,
            });
        }
        left
    };
    for file in files.block.get(&block.inode).into_iter().flatten() {
        let pids = files
            .pids(*file)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let release = format!("close it, or end it: kill {}", pids.join(" "));
        add("block-device", files.who(*file), 1, release);
    }
    for super_block in blocks.iter().filter(|s| s.block == block.address) {
        let mount = reference(String::new(), &super_block.device, mounts);
        add(
            "block-device",
            format!("{} file system, {}", super_block.kind, mount.holder),
            1,
            mount.release,
        );
    }
    for above in proc::names(format!("/sys/dev/block/{}/holders", block.device)) {
        let holder = format!("/dev/{above}, built on it");
        let mapped = proc::line(format!("/sys/block/{above}/dm/name"));
        let release = match mapped {
            Some(name) => format!("dmsetup remove {name}"),
            None if above.starts_with("md") => format!("mdadm --stop /dev/{above}"),
            None => format!("take /dev/{above} apart"),
        };
        add("block-device", holder, 1, release);
    }
    if let Some(path) = swaps.get(&block.device) {
        // Swapping has the device open twice: as a file and for itself.
        add("swap", "swap space".into(), 2, format!("swapoff {path}"));
    }
    let rest = add("block-device", String::new(), 0, String::new());
    let holder = match block.holder {
        0 => "the kernel, for itself".to_string(),
        at => match owner_of_address(kernel, at) {
            Some(module) => format!("the kernel: {module}"),
            None => "the kernel, exclusively".to_string(),
        },
    };
    add(
        "block-device",
        holder,
        rest,
        "end what uses the device".into(),
    );
}

/// The module an address lies in, by /proc/modules.
pub fn owner_of_address(kernel: &Kernel<'_>, address: u64) -> Option<String> {
    let own = kernel.symbols.in_module(address);
    let modules = proc::modules().ok()?;
    let found = modules
        .iter()
        .find(|m| m.address != 0 && address >= m.address && address - m.address < m.size)?;
    Some(own.map_or_else(
        || found.name.clone(),
        |symbol| format!("{symbol} [{}]", found.name),
    ))
}

/// The block devices of disks that the module drives.
fn devices(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Block>, Trouble> {
    let super_block = kernel.memory.u64(kernel.symbol("blockdev_superblock")?)?;
    let head = kernel.at(super_block, "super_block", "s_inodes")?;
    let to_inode = kernel.types.offset("bdev_inode", "vfs_inode")?;
    let to_block = kernel.types.offset("bdev_inode", "bdev")?;
    let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for inode in kernel.list(head, "inode", "i_sb_list")? {
        let address = inode - to_inode + to_block;
        let disk = kernel.ptr(address, "block_device", "bd_disk")?;
        if disk == 0 {
            continue;
        }
        let owner = match owners.get(&disk) {
            Some(owner) => *owner,
            None => {
                let operations = kernel.ptr(disk, "gendisk", "fops")?;
                let owner = match operations {
                    0 => 0,
                    at => kernel.ptr(at, "block_device_operations", "owner")?,
                };
                owners.insert(disk, owner);
                owner
            }
        };
        if owner != target.address {
            continue;
        }
        found.push(Block {
            address,
            inode,
            disk,
            device: numbers(kernel.u32(address, "block_device", "bd_dev")?),
            openers: u64::from(kernel.u32(address, "block_device", "bd_openers")?),
            holder: kernel.ptr(address, "block_device", "bd_holder")?,
        });
    }
    Ok(found)
}

/// The name sysfs gives a block device number.
pub fn block_name(device: &str) -> String {
    fs::read_link(format!("/sys/dev/block/{device}"))
        .ok()
        .and_then(|link| link.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| device.to_string())
}

/// Devices that are swapped to: path by device number.
pub fn swaps() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|path| {
            let path = proc::unescape(path);
            let (major, minor) = proc::device_numbers(fs::metadata(&path).ok()?.rdev());
            Some((format!("{major}:{minor}"), path))
        })
        .collect()
}

/// A configured loop device pins the loop driver once by itself (`loop_configure`).
pub fn loops(module: &str) -> Vec<Reference> {
    if module != "loop" {
        return Vec::new();
    }
    proc::names("/sys/block")
        .iter()
        .filter_map(|name| {
            let file = proc::line(format!("/sys/block/{name}/loop/backing_file"))?;
            Some(Reference {
                kind: "loop".into(),
                object: format!("/dev/{name} on {file}"),
                holder: "the loop device itself".into(),
                count: 1,
                release: format!("losetup -d /dev/{name}"),
            })
        })
        .collect()
}
