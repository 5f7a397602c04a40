//! Open files: of every task's table, in flight over unix sockets, mapped. Each distinct
//! `struct file` counts once, whoever shares it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lkm_judge::why::Reference;

use crate::proc;
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

/// Who has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A descriptor of a process.
    Descriptor(i32, u64),
    /// A mapping of a process.
    Mapping(i32),
    /// The receive queue of a socket of a process (none: of no process's socket).
    Flight(Option<i32>),
}

/// A task that has files or memory.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// The process.
    pub pid: i32,
    /// Its `struct files_struct`, 0 when it has none.
    pub files: u64,
    /// Its `struct mm_struct`, 0 for kernel threads.
    pub mm: u64,
    /// Its `struct task_struct`.
    pub address: u64,
}

/// The open files of the kernel, as far as they have been looked at.
#[derive(Default)]
pub struct Files {
    /// Each distinct file with who has it.
    pub holders: BTreeMap<u64, Vec<Holder>>,
    /// Sockets by the address of their `struct socket`, with their file.
    pub sockets: HashMap<u64, u64>,
    /// Files on block devices, by the address of the device's inode.
    pub block: HashMap<u64, Vec<u64>>,
    /// Terminals that a file is open on.
    pub terminals: BTreeSet<u64>,
    /// Files with character devices: device number by file.
    pub devices: HashMap<u64, (u32, u32)>,
    /// Files that are no device but say what they are for, by what to add to their name.
    pub contexts: HashMap<u64, String>,
    /// References to the module by file.
    pub pinning: BTreeMap<u64, u64>,
    /// owner by operations table or device, each read once.
    owners: HashMap<u64, u64>,
}

/// What is read of a task.
const TASK: &[&str] = &["pid", "files", "mm", "signal", "thread_node"];

/// All tasks: the leaders of thread groups, and threads that have a file table of their own.
///
/// # Errors
/// When the list cannot be walked.
pub fn tasks(kernel: &Kernel<'_>) -> Result<Vec<Task>, Trouble> {
    let first = kernel.symbol("init_task")?;
    let mut found = Vec::new();
    let head = kernel.at(first, "task_struct", "tasks")?;
    for leader in kernel.list(head, "task_struct", "tasks")? {
        let record = kernel.part("task_struct", leader, TASK)?;
        let task = Task {
            pid: record.u32("pid")? as i32,
            files: record.ptr("files")?,
            mm: record.ptr("mm")?,
            address: leader,
        };
        found.push(task);
        let signal = record.ptr("signal")?;
        let threads = kernel.at(signal, "signal_struct", "thread_head")?;
        // A process of one thread links to itself: nothing more to read.
        if record.ptr("thread_node")? == threads {
            continue;
        }
        for thread in kernel.list(threads, "task_struct", "thread_node")? {
            if thread != leader {
                found.push(Task {
                    pid: kernel.u32(thread, "task_struct", "pid")? as i32,
                    files: kernel.ptr(thread, "task_struct", "files")?,
                    mm: task.mm,
                    address: thread,
                });
            }
        }
    }
    Ok(found)
}

const S_IFMT: u16 = 0o170000;
const S_IFCHR: u16 = 0o020000;

impl Files {
    /// Looks at the file tables of all tasks.
    ///
    /// # Errors
    /// When a structure has changed its shape; a table that went away meanwhile is skipped.
    pub fn tables(
        &mut self,
        kernel: &Kernel<'_>,
        target: &Target,
        tasks: &[Task],
    ) -> Result<(), Trouble> {
        let mut seen = BTreeSet::new();
        for task in tasks.iter().filter(|t| t.files != 0) {
            if !seen.insert(task.files) {
                continue;
            }
            let table = match table(kernel, task.files) {
                Ok(table) => table,
                // The task has ended since.
                Err(Trouble::Moved(_)) => continue,
                Err(other) => return Err(other),
            };
            for (descriptor, file) in table {
                let holder = Holder::Descriptor(task.pid, descriptor);
                self.add(kernel, target, file, holder)?;
            }
        }
        Ok(())
    }

    /// Takes a file in and sees what it pins.
    ///
    /// # Errors
    /// As [`Files::tables`].
    pub fn add(
        &mut self,
        kernel: &Kernel<'_>,
        target: &Target,
        file: u64,
        holder: Holder,
    ) -> Result<(), Trouble> {
        let known = self.holders.entry(file).or_default();
        known.push(holder);
        if known.len() > 1 {
            return Ok(());
        }
        match self.classify(kernel, target, file) {
            Err(Trouble::Moved(_)) => {
                self.holders.remove(&file);
                Ok(())
            }
            other => other,
        }
    }

    fn classify(&mut self, kernel: &Kernel<'_>, target: &Target, file: u64) -> Result<(), Trouble> {
        let record = kernel.record("file", file)?;
        let operations = record.ptr("f_op")?;
        if operations == 0 {
            return Ok(());
        }
        let private = record.ptr("private_data")?;
        let mut count =
            u64::from(self.owner(kernel, "file_operations", operations)? == target.address);
        if Some(operations) == kernel.symbols.kernel("socket_file_ops") {
            self.sockets.insert(private, file);
        } else if Some(operations) == kernel.symbols.kernel("def_blk_fops") {
            let mapping = record.ptr("f_mapping")?;
            let inode = kernel.ptr(mapping, "address_space", "host")?;
            self.block.entry(inode).or_default().push(file);
        } else if Some(operations) == kernel.symbols.kernel("tty_fops")
            || Some(operations) == kernel.symbols.kernel("console_fops")
        {
            if private != 0 {
                self.terminals
                    .insert(kernel.ptr(private, "tty_file_private", "tty")?);
            }
        } else if Some(operations) == kernel.symbols.kernel("fscontext_fops") && private != 0 {
            // An open file system context (fsopen) has its type.
            let kind = kernel.ptr(private, "fs_context", "fs_type")?;
            if kernel.ptr(kind, "file_system_type", "owner")? == target.address {
                let name = kernel.string(kernel.ptr(kind, "file_system_type", "name")?)?;
                self.contexts
                    .insert(file, format!("fsopen of a {name} file system"));
                count += 1;
            }
        }
        let inode = record.ptr("f_inode")?;
        if inode != 0 {
            count += self.device(kernel, target, file, inode)?;
        }
        if count > 0 {
            self.pinning.insert(file, count);
        }
        Ok(())
    }

    /// A character device opened through a `struct cdev` counts a second time, for its owner.
    fn device(
        &mut self,
        kernel: &Kernel<'_>,
        target: &Target,
        file: u64,
        inode: u64,
    ) -> Result<u64, Trouble> {
        let mode = kernel.memory.u16(kernel.at(inode, "inode", "i_mode")?)?;
        if mode & S_IFMT != S_IFCHR {
            return Ok(0);
        }
        let number = kernel.u32(inode, "inode", "i_rdev")?;
        self.devices.insert(file, (number >> 20, number & 0xf_ffff));
        let device = kernel.ptr(inode, "inode", "i_cdev")?;
        if device == 0 {
            return Ok(0);
        }
        Ok(u64::from(
            self.owner(kernel, "cdev", device)? == target.address,
        ))
    }

    /// The `owner` of a table of operations or a device.
    fn owner(
        &mut self,
        kernel: &Kernel<'_>,
        kind: &'static str,
        address: u64,
    ) -> Result<u64, Trouble> {
        if let Some(owner) = self.owners.get(&address) {
            return Ok(*owner);
        }
        let owner = kernel.ptr(address, kind, "owner")?;
        self.owners.insert(address, owner);
        Ok(owner)
    }

    /// The files that pin the module, as references.
    pub fn references(&self) -> Vec<Reference> {
        self.pinning
            .iter()
            .map(|(file, count)| {
                let holders = self.others(*file);
                let mut found = reference(&holders, *count, self.devices.get(file).copied());
                if let Some(context) = self.contexts.get(file) {
                    found.object = format!("{} ({context})", found.object);
                }
                found
            })
            .collect()
    }

    /// Who has a file, in words.
    pub fn who(&self, file: u64) -> String {
        who(&self.others(file))
    }

    /// The processes that have a file.
    pub fn pids(&self, file: u64) -> Vec<i32> {
        pids(&self.others(file))
    }

    /// Who has a file besides this process: what it has inherited goes with it.
    fn others(&self, file: u64) -> Vec<Holder> {
        let all = self.holders.get(&file).map_or(&[][..], Vec::as_slice);
        others(all, std::process::id())
    }
}

/// The descriptors of a file table.
fn table(kernel: &Kernel<'_>, files: u64) -> Result<Vec<(u64, u64)>, Trouble> {
    let fdt = kernel.ptr(files, "files_struct", "fdt")?;
    let room = kernel.u32(fdt, "fdtable", "max_fds")?.min(1 << 20);
    let array = kernel.ptr(fdt, "fdtable", "fd")?;
    let mut bytes = vec![0; room as usize * 8];
    kernel.memory.read(array, &mut bytes)?;
    let words = bytes
        .chunks_exact(8)
        .map(|b| b.try_into().map_or(0, u64::from_ne_bytes));
    Ok((0..).zip(words).filter(|(_, file)| *file != 0).collect())
}

/// Holders without a process, unless there is no other.
fn others(all: &[Holder], pid: u32) -> Vec<Holder> {
    let own = i32::try_from(pid).unwrap_or(0);
    let rest: Vec<Holder> = all
        .iter()
        .filter(|h| !matches!(h, Holder::Descriptor(pid, _) if *pid == own))
        .cloned()
        .collect();
    if rest.is_empty() { all.to_vec() } else { rest }
}

fn pids(holders: &[Holder]) -> Vec<i32> {
    let mut pids: Vec<i32> = holders
        .iter()
        .filter_map(|h| match h {
            Holder::Descriptor(pid, _) | Holder::Mapping(pid) => Some(*pid),
            Holder::Flight(pid) => *pid,
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn who(holders: &[Holder]) -> String {
    let mut words = Vec::new();
    for holder in holders.iter().take(4) {
        words.push(match holder {
            Holder::Descriptor(pid, fd) => {
                format!("{}, descriptor {fd}", proc::describe(*pid, "pid"))
            }
            Holder::Mapping(pid) => format!("{}, mapped", proc::describe(*pid, "pid")),
            Holder::Flight(Some(pid)) => {
                format!(
                    "a message waiting in a unix socket of {}",
                    proc::describe(*pid, "pid")
                )
            }
            Holder::Flight(None) => "a message waiting in a unix socket of no process".into(),
        });
    }
    if holders.len() > words.len() {
        words.push(format!("and {} more", holders.len() - words.len()));
    }
    words.join("; ")
}

fn reference(holders: &[Holder], count: u64, device: Option<(u32, u32)>) -> Reference {
    let (kind, mut path) = match holders.first() {
        Some(Holder::Descriptor(pid, fd)) => {
            let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
            (
                "file",
                link.map(|l| l.display().to_string()).unwrap_or_default(),
            )
        }
        Some(Holder::Mapping(_)) => ("mapping", String::new()),
        _ => ("in-flight", String::new()),
    };
    if let Some((major, minor)) = device {
        let name = if path.is_empty() {
            device_name(major, minor)
        } else {
            path
        };
        path = format!("{name} (character device {major}:{minor})");
    }
    let pids = pids(holders)
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let release = match kind {
        _ if pids.is_empty() => String::new(),
        "file" => format!("close it, or end it: kill {pids}"),
        "mapping" => format!("unmap it, or end it: kill {pids}"),
        _ => format!("let the socket's owner receive the message, or end it: kill {pids}"),
    };
    Reference {
        kind: kind.into(),
        object: path,
        holder: who(holders),
        count,
        release,
    }
}

/// The name devtmpfs gives a character device.
fn device_name(major: u32, minor: u32) -> String {
    proc::line(format!("/sys/dev/char/{major}:{minor}/uevent"))
        .and_then(|text| {
            let name = text.lines().find_map(|l| l.strip_prefix("DEVNAME="))?;
            Some(format!("/dev/{name}"))
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_named_only_when_it_is_the_only_one() {
        let own = Holder::Descriptor(7, 3);
        let other = Holder::Descriptor(8, 3);
        assert_eq!(others(&[own.clone(), other.clone()], 7), vec![other]);
        assert_eq!(others(std::slice::from_ref(&own), 7), vec![own]);
    }
}
