//! Sockets: those that a file is open on, and those that the kernel keeps for itself, which
//! are in no list but in the counters of their protocol.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lkm_judge::why::Reference;

use super::files::{Files, Holder};
use crate::proc::{self, Network};
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
/// The family of sockets for algorithms.
pub const AF_ALG: u16 = 38;
const AF_VSOCK: u16 = 40;
const IPPROTO_TCP: u16 = 6;

/// A socket.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    /// Its `struct socket`.
    pub socket: u64,
    /// Its `struct sock`, 0 when it has none any more.
    pub sock: u64,
    /// Its protocol operations.
    pub operations: u64,
    /// Its address family.
    pub family: u16,
    /// Its protocol number.
    pub protocol: u16,
    /// Its network namespace.
    pub namespace: u64,
    /// The protocol that allocated it.
    pub creator: u64,
}

/// Every socket that a file is open on.
///
/// # Errors
/// When a structure has not the expected shape; a socket that went away is skipped.
pub fn all(kernel: &Kernel<'_>, files: &Files) -> Result<Vec<Socket>, Trouble> {
    let mut found = Vec::new();
    for address in files.sockets.keys() {
        match socket(kernel, *address) {
            Ok(socket) => found.push(socket),
            Err(Trouble::Moved(_)) => {}
            Err(other) => return Err(other),
        }
    }
    found.sort_by_key(|s| s.socket);
    Ok(found)
}

fn socket(kernel: &Kernel<'_>, socket: u64) -> Result<Socket, Trouble> {
    let record = kernel.record("socket", socket)?;
    let sock = record.ptr("sk")?;
    let mut found = Socket {
        socket,
        sock,
        operations: record.ptr("ops")?,
        family: 0,
        protocol: 0,
        namespace: 0,
        creator: 0,
    };
    if sock != 0 {
        let record = kernel.record("sock", sock)?;
        found.family = record.u16("__sk_common.skc_family")?;
        found.protocol = record.u16("sk_protocol")?;
        found.namespace = record.ptr("__sk_common.skc_net.net")?;
        found.creator = record.ptr("sk_prot_creator")?;
    }
    Ok(found)
}

/// Sockets that no file is open on, by the counters of the module's protocols in every
/// network namespace: control sockets, which the kernel makes for itself.
///
/// # Errors
/// When a list cannot be walked.
pub fn kernel_sockets(
    kernel: &Kernel<'_>,
    target: &Target,
    sockets: &[Socket],
) -> Result<Vec<Reference>, Trouble> {
    let mut protocols = Vec::new();
    for at in kernel.list(kernel.symbol("proto_list")?, "proto", "node")? {
        if kernel.ptr(at, "proto", "owner")? == target.address {
            protocols.push(at);
        }
    }
    if protocols.is_empty() {
        return Ok(Vec::new());
    }
    let places = Places::new(kernel);
    let mut found = Vec::new();
    for namespace in kernel.list(kernel.symbol("net_namespace_list")?, "net", "list")? {
        for protocol in &protocols {
            let open = sockets
                .iter()
                .filter(|s| s.namespace == namespace && s.creator == *protocol)
                .count() as u64;
            let rest = in_use(kernel, namespace, *protocol)?.saturating_sub(open);
            if rest == 0 {
                continue;
            }
            let name = kernel
                .memory
                .text(kernel.at(*protocol, "proto", "name")?, 32)?;
            let (place, end) = places.of(kernel, namespace);
            let object = format!("{rest} {name} socket{place}");
            let each = 1 + u64::from(operations_too(kernel, target, *protocol)?);
            found.push(Reference {
                kind: "socket".into(),
                release: kept(&end),
                object,
                holder: "the kernel itself (no process has it)".into(),
                count: rest * each,
            });
        }
    }
    Ok(found)
}

/// Sockets of a protocol in a namespace: the sum of the counters of all processors.
fn in_use(kernel: &Kernel<'_>, namespace: u64, protocol: u64) -> Result<u64, Trouble> {
    let counters = kernel.ptr(namespace, "net", "core.prot_inuse")?;
    let index = u64::from(kernel.u32(protocol, "proto", "inuse_idx")?);
    let place = kernel.types.offset("prot_inuse", "val")? + index * 4;
    let mut sum = 0i64;
    for cpu in super::losses::each_cpu(kernel, counters)? {
        // A socket may be counted on one processor and uncounted on another.
        sum += i64::from(kernel.memory.u32(cpu + place)? as i32);
    }
    Ok(u64::try_from(sum).unwrap_or(0))
}

/// True when sockets of an internet protocol have operations of the module's as well.
fn operations_too(kernel: &Kernel<'_>, target: &Target, protocol: u64) -> Result<bool, Trouble> {
    for table in ["inetsw", "inetsw6"] {
        let Some(table) = kernel.symbols.anywhere(table) else {
            continue;
        };
        // SOCK_MAX lists, by the type of socket.
        for kind in 0..11 {
            for at in kernel.list(table + kind * 16, "inet_protosw", "list")? {
                if kernel.ptr(at, "inet_protosw", "prot")? == protocol {
                    let operations = kernel.ptr(at, "inet_protosw", "ops")?;
                    return Ok(kernel.ptr(operations, "proto_ops", "owner")? == target.address);
                }
            }
        }
    }
    Ok(false)
}

/// The types of modules that sockets of their families need.
#[derive(Default)]
pub struct Extra<'a> {
    /// af_alg.
    pub alg: Option<Kernel<'a>>,
    /// vsock.
    pub vsock: Option<Kernel<'a>>,
}

/// What the sockets pin of the module.
///
/// # Errors
/// When a structure has not the expected shape.
pub fn references(
    kernel: &Kernel<'_>,
    target: &Target,
    files: &Files,
    sockets: &[Socket],
    extra: &Extra<'_>,
) -> Result<Vec<Reference>, Trouble> {
    let mut counter = Counter {
        kernel,
        target,
        extra,
        owners: HashMap::new(),
    };
    // One line for sockets of the same sort and the same holder.
    let mut lines: BTreeMap<(String, String, Vec<i32>), u64> = BTreeMap::new();
    let mut parents = BTreeSet::new();
    let known: BTreeSet<u64> = sockets.iter().map(|s| s.sock).collect();
    let places = Places::new(kernel);
    for socket in sockets {
        let count = match counter.count(socket, &mut parents) {
            Ok(count) => count,
            Err(Trouble::Moved(_)) => continue,
            Err(other) => return Err(other),
        };
        if count == 0 {
            continue;
        }
        let name = counter.name(socket).unwrap_or_default();
        let (place, _) = places.of(kernel, socket.namespace);
        let object = format!("{name}{place}");
        let (holder, pids) = match files.sockets.get(&socket.socket) {
            Some(file) => (files.who(*file), files.pids(*file)),
            None => ("the kernel itself (no process has it)".into(), Vec::new()),
        };
        *lines.entry((object, holder, pids)).or_default() += count;
    }
    // A parent of AF_ALG sockets lives as long as its children do, closed or not.
    for parent in parents.iter().filter(|p| !known.contains(p)) {
        let count = counter.alg_type(*parent)? + counter.protocol(*parent)?;
        if count > 0 {
            let holder = "sockets accepted from it".to_string();
            *lines
                .entry(("AF_ALG socket, closed".into(), holder, vec![]))
                .or_default() += count;
        }
    }
    Ok(lines
        .into_iter()
        .map(|((object, holder, pids), count)| Reference {
            kind: "socket".into(),
            release: if pids.is_empty() {
                kept("")
            } else {
                release(&pids)
            },
            object,
            holder,
            count,
        })
        .collect())
}

/// How a socket of the kernel's own goes: with its namespace, by this command, or never.
fn kept(end: &str) -> String {
    if end.is_empty() {
        "none: the kernel keeps it as long as the module is loaded".into()
    } else {
        format!("the kernel keeps it as long as the namespace exists: {end}")
    }
}

fn release(pids: &[i32]) -> String {
    let pids = pids
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    format!("close it, or end it: kill {pids}")
}

/// Network namespaces as user space knows them.
struct Places {
    own: Option<u64>,
    networks: std::cell::OnceCell<Vec<Network>>,
}

impl Places {
    /// The namespace of the kernel's first process is almost always ours.
    fn new(kernel: &Kernel<'_>) -> Places {
        Places {
            own: kernel.symbols.kernel("init_net"),
            networks: std::cell::OnceCell::new(),
        }
    }

    /// What to add to a name for a thing in a `struct net`, and the command that ends it.
    fn of(&self, kernel: &Kernel<'_>, namespace: u64) -> (String, String) {
        if Some(namespace) == self.own {
            return (String::new(), String::new());
        }
        let number = kernel.u32(namespace, "net", "ns.inum").unwrap_or(0);
        // Looked for only when there is a namespace to name.
        let networks = self.networks.get_or_init(proc::networks);
        match networks.iter().find(|n| n.inode == u64::from(number)) {
            Some(network) if !network.name.is_empty() => {
                (format!(" in {}", network.name), network.end())
            }
            _ => (
                " in another network namespace".into(),
                "end what keeps the namespace".into(),
            ),
        }
    }
}

/// The congestion control that new TCP sockets get is pinned by each network namespace.
///
/// # Errors
/// When a list cannot be walked.
pub fn default_congestion(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Reference>, Trouble> {
    let places = Places::new(kernel);
    let mut found = Vec::new();
    for namespace in kernel.list(kernel.symbol("net_namespace_list")?, "net", "list")? {
        let operations = kernel.ptr(namespace, "net", "ipv4.tcp_congestion_control")?;
        if operations == 0
            || kernel.ptr(operations, "tcp_congestion_ops", "owner")? != target.address
        {
            continue;
        }
        let (place, _) = places.of(kernel, namespace);
        found.push(Reference {
            kind: "tcp".into(),
            object: format!("sysctl net.ipv4.tcp_congestion_control{place}"),
            holder: "new TCP sockets".into(),
            count: 1,
            release: "choose another one: echo cubic >/proc/sys/net/ipv4/tcp_congestion_control"
                .into(),
        });
    }
    Ok(found)
}

/// Counts what one socket pins.
struct Counter<'a> {
    kernel: &'a Kernel<'a>,
    target: &'a Target,
    extra: &'a Extra<'a>,
    owners: HashMap<u64, u64>,
}

impl Counter<'_> {
    fn count(&mut self, socket: &Socket, parents: &mut BTreeSet<u64>) -> Result<u64, Trouble> {
        let mut count = 0;
        if socket.operations != 0 {
            count += u64::from(self.owner("proto_ops", socket.operations)? == self.target.address);
        }
        if socket.sock == 0 {
            return Ok(count);
        }
        count += self.protocol(socket.sock)?;
        match socket.family {
            AF_NETLINK => {
                let module = self.kernel.ptr(socket.sock, "netlink_sock", "module")?;
                count += u64::from(module == self.target.address);
            }
            AF_INET | AF_INET6 if socket.protocol == IPPROTO_TCP => {
                count += self.tcp(socket.sock)?
            }
            AF_ALG => {
                count += self.alg_type(socket.sock)?;
                if let Some(kernel) = self.extra.alg {
                    let parent = kernel.ptr(socket.sock, "alg_sock", "parent")?;
                    if parent != 0 {
                        parents.insert(parent);
                    }
                }
            }
            AF_VSOCK => {
                if let Some(kernel) = self.extra.vsock {
                    let transport = kernel.ptr(socket.sock, "vsock_sock", "transport")?;
                    if transport != 0 {
                        let module = kernel.ptr(transport, "vsock_transport", "module")?;
                        count += u64::from(module == self.target.address);
                    }
                }
            }
            _ => {}
        }
        Ok(count)
    }

    /// The protocol, which a `struct sock` pins from its allocation on.
    fn protocol(&mut self, sock: u64) -> Result<u64, Trouble> {
        let creator = self.kernel.ptr(sock, "sock", "sk_prot_creator")?;
        if creator == 0 {
            return Ok(0);
        }
        Ok(u64::from(
            self.owner("proto", creator)? == self.target.address,
        ))
    }

    /// Congestion control and upper layer protocol of a TCP socket.
    fn tcp(&mut self, sock: u64) -> Result<u64, Trouble> {
        let mut count = 0;
        for (member, kind) in [
            ("icsk_ca_ops", "tcp_congestion_ops"),
            ("icsk_ulp_ops", "tcp_ulp_ops"),
        ] {
            let operations = self.kernel.ptr(sock, "inet_connection_sock", member)?;
            if operations != 0 {
                count += u64::from(self.owner(kind, operations)? == self.target.address);
            }
        }
        Ok(count)
    }

    /// The algorithm type that a bound AF_ALG socket pins; its children share it.
    fn alg_type(&self, sock: u64) -> Result<u64, Trouble> {
        let Some(kernel) = self.extra.alg else {
            return Ok(0);
        };
        if kernel.ptr(sock, "alg_sock", "parent")? != 0 {
            return Ok(0);
        }
        let kind = kernel.ptr(sock, "alg_sock", "type")?;
        if kind == 0 {
            return Ok(0);
        }
        Ok(u64::from(
            kernel.ptr(kind, "af_alg_type", "owner")? == self.target.address,
        ))
    }

    fn owner(&mut self, kind: &'static str, address: u64) -> Result<u64, Trouble> {
        if let Some(owner) = self.owners.get(&address) {
            return Ok(*owner);
        }
        let owner = self.kernel.ptr(address, kind, "owner")?;
        self.owners.insert(address, owner);
        Ok(owner)
    }

    /// `netlink socket, protocol 27`, or the protocol's own name.
    fn name(&self, socket: &Socket) -> Result<String, Trouble> {
        if socket.family == AF_NETLINK {
            return Ok(format!("netlink socket, protocol {}", socket.protocol));
        }
        if socket.sock == 0 {
            return Ok("socket".into());
        }
        let creator = self.kernel.ptr(socket.sock, "sock", "sk_prot_creator")?;
        let name = if creator == 0 {
            String::new()
        } else {
            self.kernel
                .memory
                .text(self.kernel.at(creator, "proto", "name")?, 32)?
        };
        Ok(format!(
            "{name} socket, family {} ({})",
            socket.family,
            family(socket.family)
        ))
    }
}

/// What people call an address family.
pub fn family(number: u16) -> &'static str {
    match number {
        1 => "unix",
        2 => "inet",
        10 => "inet6",
        15 => "key",
        16 => "netlink",
        17 => "packet",
        21 => "rds",
        24 => "pppox",
        26 => "llc",
        29 => "can",
        30 => "tipc",
        31 => "bluetooth",
        33 => "rxrpc",
        38 => "alg",
        40 => "vsock",
        44 => "xdp",
        _ => "other",
    }
}

/// Takes in the files that wait in the queues of unix sockets, and those that wait in the
/// queues of unix sockets that wait there.
///
/// # Errors
/// When a structure has not the expected shape.
pub fn in_flight(kernel: &Kernel<'_>, target: &Target, files: &mut Files) -> Result<(), Trouble> {
    let mut done = BTreeSet::new();
    loop {
        let fresh: Vec<u64> = files
            .sockets
            .keys()
            .filter(|s| !done.contains(*s))
            .copied()
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        for address in fresh {
            done.insert(address);
            let file = files.sockets.get(&address).copied();
            let pid = file.and_then(|f| files.pids(f).first().copied());
            let found = socket(kernel, address).and_then(|s| match s.family {
                AF_UNIX if s.sock != 0 => queue(kernel, s.sock, true),
                _ => Ok(Vec::new()),
            });
            match found {
                Ok(found) => {
                    for file in found {
                        files.add(kernel, target, file, Holder::Flight(pid))?;
                    }
                }
                Err(Trouble::Moved(_)) => {}
                Err(other) => return Err(other),
            }
        }
    }
}

/// The files in the receive queue of a unix socket. In that of a listening one wait the
/// sockets that connected and were not accepted yet: each has a queue of its own.
fn queue(kernel: &Kernel<'_>, sock: u64, children: bool) -> Result<Vec<u64>, Trouble> {
    let head = kernel.at(sock, "sock", "sk_receive_queue")?;
    let mut found = Vec::new();
    // A queue of buffers is a ring through the head, linked by the first member of both.
    for buffer in kernel.list(head, "sk_buff", "next")? {
        let block = kernel.at(buffer, "sk_buff", "cb")?;
        let list = kernel.ptr(block, "unix_skb_parms", "fp")?;
        if list != 0 {
            let count = kernel
                .memory
                .u16(kernel.at(list, "scm_fp_list", "count")?)?;
            let array = kernel.at(list, "scm_fp_list", "fp")?;
            // SCM_MAX_FD is 253.
            for n in 0..u64::from(count.min(253)) {
                found.push(kernel.memory.u64(array + 8 * n)?);
            }
        }
        let owner = kernel.ptr(buffer, "sk_buff", "sk")?;
        if children && owner != 0 && owner != sock {
            found.extend(queue(kernel, owner, false)?);
        }
    }
    Ok(found)
}
