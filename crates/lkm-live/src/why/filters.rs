//! Packet filters: expressions of nftables, matches and targets of iptables, in every
//! network namespace.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use lkm_judge::why::Reference;

use crate::netlink::{self, Netlink};
use crate::proc::{self, Network};
use crate::sys;
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

const NFNL_SUBSYS_NFTABLES: u16 = 10 << 8;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_GETOBJ: u16 = 19;
const NFTA_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// What the module offers to packet filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// nftables expressions.
    pub expressions: Vec<String>,
    /// nftables object types, by number.
    pub objects: Vec<u32>,
    /// nftables chain types.
    pub chains: Vec<String>,
    /// iptables matches.
    pub matches: Vec<String>,
    /// iptables targets.
    pub targets: Vec<String>,
}

impl Kinds {
    /// By the lists of nf_tables and x_tables, with the types of these modules.
    ///
    /// # Errors
    /// When a list cannot be walked.
    pub fn walk(
        target: &Target,
        nftables: Option<&Kernel<'_>>,
        xtables: Option<&Kernel<'_>>,
    ) -> Result<Kinds, Trouble> {
        let mut kinds = Kinds::default();
        if let Some(kernel) = nftables {
            let name = "nft_expr_type";
            for at in kernel.list(kernel.symbol("nf_tables_expressions")?, name, "list")? {
                if kernel.ptr(at, name, "owner")? == target.address {
                    kinds
                        .expressions
                        .push(kernel.string(kernel.ptr(at, name, "name")?)?);
                }
            }
            let name = "nft_object_type";
            for at in kernel.list(kernel.symbol("nf_tables_objects")?, name, "list")? {
                if kernel.ptr(at, name, "owner")? == target.address {
                    kinds.objects.push(kernel.u32(at, name, "type")?);
                }
            }
        }
        if let Some(kernel) = xtables {
            let array = kernel.memory.u64(kernel.symbol("xt")?)?;
            let step = kernel.types.size("xt_af")?;
            // NFPROTO_UNSPEC, INET, IPV4, ARP, BRIDGE, IPV6.
            for family in [0, 1, 2, 3, 7, 10] {
                let at = array + family * step;
                let lists = [
                    ("match", "xt_match", &mut kinds.matches),
                    ("target", "xt_target", &mut kinds.targets),
                ];
                for (member, name, kinds) in lists {
                    let head = kernel.at(at, "xt_af", member)?;
                    for at in kernel.list(head, name, "list")? {
                        if kernel.ptr(at, name, "me")? == target.address {
                            let text = kernel.memory.text(kernel.at(at, name, "name")?, 29)?;
                            if !kinds.contains(&text) {
                                kinds.push(text);
                            }
                        }
                    }
                }
            }
        }
        kinds.chains = chains(&target.name);
        Ok(kinds)
    }

    /// By the module's name, as the kernel itself looks for the module of a name.
    pub fn guess(module: &str) -> Kinds {
        let mut kinds = Kinds {
            chains: chains(module),
            ..Kinds::default()
        };
        kinds
            .expressions
            .extend(module.strip_prefix("nft_").map(str::to_string));
        for prefix in ["xt_", "ipt_", "ip6t_"] {
            if let Some(name) = module.strip_prefix(prefix) {
                kinds.matches.push(name.to_string());
                kinds.targets.push(name.to_uppercase());
            }
        }
        kinds
    }

    /// True when a rule of nftables could use something of it.
    fn nftables(&self) -> bool {
        let names = [
            &self.expressions,
            &self.chains,
            &self.matches,
            &self.targets,
        ];
        !self.objects.is_empty() || names.iter().any(|list| !list.is_empty())
    }
}

/// The chain type of a module: `nft_chain_nat` has `nat`.
fn chains(module: &str) -> Vec<String> {
    module
        .strip_prefix("nft_chain_")
        .map(str::to_string)
        .into_iter()
        .collect()
}

/// What of it is in use.
pub fn references(kinds: &Kinds, module: &str, networks: &[Network]) -> Vec<Reference> {
    let nftables = kinds.nftables() && proc::module("nf_tables").ok().flatten().is_some();
    let mut found = Vec::new();
    for network in networks {
        let work = || {
            let mut found = Vec::new();
            if nftables {
                found.extend(rules(kinds, network)?);
            }
            for (family, level, names) in [
                (libc::AF_INET, libc::IPPROTO_IP, "ip_tables_names"),
                (libc::AF_INET6, libc::IPPROTO_IPV6, "ip6_tables_names"),
            ] {
                // Only tables that exist: asking for another would load its module.
                let path = format!("/proc/thread-self/net/{names}");
                for table in proc::line(path).unwrap_or_default().lines() {
                    found.extend(entries(kinds, module, family, level, table, network)?);
                }
            }
            Ok(found)
        };
        if let Ok(more) = netlink::inside(network, work) {
            found.extend(more);
        }
    }
    found
}

fn place(object: String, network: &str) -> String {
    if network.is_empty() {
        object
    } else {
        format!("{object} in {network}")
    }
}

/// References of one sort and one holder: how many, and the commands that release them.
#[derive(Default)]
struct Line {
    count: u64,
    commands: Vec<String>,
}

type Lines = BTreeMap<(&'static str, String, String), Line>;

impl Line {
    fn add(&mut self, command: String) {
        self.count += 1;
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }
}

/// The name that nft gives a family (NFPROTO_*).
fn family_name(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "",
    }
}

/// The name that nft gives a type of object (NFT_OBJECT_*).
fn object_name(number: u32) -> &'static str {
    const NAMES: &[&str] = &[
        "",
        "counter",
        "quota",
        "ct helper",
        "limit",
        "connlimit",
        "tunnel",
        "ct timeout",
        "secmark",
        "ct expectation",
        "synproxy",
    ];
    let name = usize::try_from(number).ok().and_then(|n| NAMES.get(n));
    name.copied().unwrap_or("object")
}

fn rules(kinds: &Kinds, network: &Network) -> io::Result<Vec<Reference>> {
    let mut socket = Netlink::open(netlink::NETFILTER)?;
    let mut lines = Lines::new();
    let family = |m: &netlink::Message| family_name(m.payload.first().copied().unwrap_or(0));
    for m in socket.dump(NFNL_SUBSYS_NFTABLES | NFT_MSG_GETRULE, &[0; 4])? {
        let rest = m.payload.get(4..).unwrap_or(&[]);
        let table = netlink::text(rest, NFTA_TABLE).unwrap_or_default();
        let chain = netlink::text(rest, NFTA_RULE_CHAIN).unwrap_or_default();
        let handle = netlink::attribute(rest, NFTA_RULE_HANDLE)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u64::from_be_bytes);
        let command = network.command(&format!(
            "nft delete rule {} {table} {chain} handle {handle}",
            family(&m)
        ));
        let list = netlink::attribute(rest, NFTA_RULE_EXPRESSIONS).unwrap_or(&[]);
        for (_, expression) in netlink::attributes(list) {
            let name = netlink::text(expression, NFTA_EXPR_NAME).unwrap_or_default();
            let what = if kinds.expressions.contains(&name) {
                format!("expression {name}")
            } else if let Some(inner) = compat(kinds, &name, expression) {
                inner
            } else {
                continue;
            };
            let holder = place(
                format!("a rule in table {table}, chain {chain}"),
                &network.name,
            );
            let line = lines.entry(("nft", what, holder)).or_default();
            line.add(command.clone());
        }
    }
    if !kinds.objects.is_empty() {
        for m in socket.dump(NFNL_SUBSYS_NFTABLES | NFT_MSG_GETOBJ, &[0; 4])? {
            let rest = m.payload.get(4..).unwrap_or(&[]);
            let kind = netlink::attribute(rest, NFTA_OBJ_TYPE)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_be_bytes);
            if let Some(kind) = kind.filter(|k| kinds.objects.contains(k)) {
                let table = netlink::text(rest, NFTA_TABLE).unwrap_or_default();
                let name = netlink::text(rest, 2).unwrap_or_default();
                let kind = object_name(kind);
                let holder = place(format!("table {table}"), &network.name);
                let line = lines
                    .entry(("nft", format!("{kind} {name}"), holder))
                    .or_default();
                line.add(
                    network.command(&format!("nft delete {kind} {} {table} {name}", family(&m))),
                );
            }
        }
    }
    if !kinds.chains.is_empty() {
        for m in socket.dump(NFNL_SUBSYS_NFTABLES | NFT_MSG_GETCHAIN, &[0; 4])? {
            let rest = m.payload.get(4..).unwrap_or(&[]);
            let kind = netlink::text(rest, NFTA_CHAIN_TYPE).unwrap_or_default();
            if kinds.chains.contains(&kind) {
                let table = netlink::text(rest, NFTA_TABLE).unwrap_or_default();
                let name = netlink::text(rest, 3).unwrap_or_default();
                let holder = place(format!("table {table}"), &network.name);
                let line = lines
                    .entry(("nft", format!("chain {name} of type {kind}"), holder))
                    .or_default();
                let chain = format!("{} {table} {name}", family(&m));
                line.add(network.command(&format!("nft flush chain {chain}")));
                line.commands
                    .push(network.command(&format!("nft delete chain {chain}")));
            }
        }
    }
    Ok(collect(lines))
}

/// iptables-nft keeps matches and targets of x_tables inside expressions of nftables.
fn compat(kinds: &Kinds, name: &str, expression: &[u8]) -> Option<String> {
    let data = netlink::attribute(expression, NFTA_EXPR_DATA)?;
    let inner = netlink::text(data, 1)?;
    let known = match name {
        "match" => kinds.matches.contains(&inner),
        "target" => kinds.targets.contains(&inner),
        _ => false,
    };
    known.then(|| format!("{name} {inner} (iptables-nft)"))
}

fn collect(lines: Lines) -> Vec<Reference> {
    lines
        .into_iter()
        .map(|((kind, object, holder), line)| Reference {
            kind: kind.into(),
            object,
            holder,
            count: line.count,
            release: line.commands.join("; "),
        })
        .collect()
}

const IPT_SO_GET_INFO: i32 = 64;
const IPT_SO_GET_ENTRIES: i32 = 65;
/// `struct ipt_getinfo`: name, valid hooks, two arrays of five, entries, size.
const INFO: usize = 84;
/// `struct ipt_get_entries` before its table.
const HEAD: usize = 40;
/// No table is larger than this here.
const MAX_TABLE: u32 = 64 << 20;

fn entries(
    kinds: &Kinds,
    module: &str,
    family: i32,
    level: i32,
    table: &str,
    network: &Network,
) -> io::Result<Vec<Reference>> {
    let socket = sys::raw_socket(family)?;
    let mut info = vec![0; INFO];
    let name = table.as_bytes();
    info.get_mut(..name.len().min(31))
        .unwrap_or(&mut [])
        .copy_from_slice(&name[..name.len().min(31)]);
    sys::socket_option(socket.as_fd(), level, IPT_SO_GET_INFO, &mut info)?;
    let word = |at| netlink::number(&info, at).unwrap_or(0);
    let (hooks, count, size) = (word(32), word(76), word(80).min(MAX_TABLE));
    let tool = if family == libc::AF_INET {
        "iptables"
    } else {
        "ip6tables"
    };
    let mut found = Vec::new();
    // A table with more than its policies and its end pins its own module once.
    let own = format!("{}table_{table}", tool.trim_end_matches("tables"));
    if own == module && count > hooks.count_ones() + 1 {
        found.push(Reference {
            kind: "xtables".into(),
            object: format!("{tool} table {table} with rules"),
            holder: place(format!("{tool} rules"), &network.name),
            count: 1,
            release: [
                network.command(&format!("{tool}-legacy -t {table} -F")),
                network.command(&format!("{tool}-legacy -t {table} -X")),
            ]
            .join("; "),
        });
    }
    if kinds.matches.is_empty() && kinds.targets.is_empty() {
        return Ok(found);
    }
    let mut data = vec![0; HEAD + size as usize];
    data[..32].copy_from_slice(&info[..32]);
    data[32..36].copy_from_slice(&size.to_ne_bytes());
    sys::socket_option(socket.as_fd(), level, IPT_SO_GET_ENTRIES, &mut data)?;
    let starts: Vec<(usize, &str)> = HOOKS
        .iter()
        .enumerate()
        .filter(|(n, _)| hooks >> n & 1 == 1)
        .map(|(n, hook)| (word(36 + n * 4) as usize, *hook))
        .collect();
    let mut lines = Lines::new();
    // From the last rule on, so that the numbers of the others stay.
    let all = extensions(&data[HEAD..], family == libc::AF_INET, &starts);
    for extension in all.iter().rev() {
        let known = if extension.what == "match" {
            &kinds.matches
        } else {
            &kinds.targets
        };
        if known.contains(&extension.name) {
            let holder = place(
                format!("{tool} table {table}, chain {}", extension.chain),
                &network.name,
            );
            let object = format!("{} {}", extension.what, extension.name);
            let line = lines.entry(("xtables", object, holder)).or_default();
            line.add(network.command(&format!(
                "{tool}-legacy -t {table} -D {} {}",
                extension.chain, extension.rule
            )));
        }
    }
    found.extend(collect(lines));
    Ok(found)
}

/// The chains that begin at the hooks, in the order of the hooks' numbers.
const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// A match or a target in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extension {
    what: &'static str,
    name: String,
    chain: String,
    /// Its number in the chain, from 1.
    rule: u64,
}

/// The matches and targets of a table, in order. `starts` says where the chains of the
/// hooks begin; a chain of the user's begins behind an entry whose target is ERROR.
fn extensions(table: &[u8], ipv4: bool, starts: &[(usize, &str)]) -> Vec<Extension> {
    // Offsets in struct ipt_entry and struct ip6t_entry, which user space shares.
    let (at, first) = if ipv4 { (88, 112) } else { (140, 168) };
    let half = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 2)
            .map(|b| usize::from(u16::from_ne_bytes([b[0], b[1]])))
    };
    let text = |bytes: &[u8], at: usize| {
        let text = bytes.get(at..at + 29).unwrap_or(&[]);
        let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    };
    let mut found = Vec::new();
    let (mut chain, mut rule) = (String::new(), 0);
    let mut begin = 0;
    while let Some(entry) = table.get(begin..)
        && let (Some(target), Some(next)) = (half(entry, at), half(entry, at + 2))
    {
        if let Some((_, hook)) = starts.iter().find(|(start, _)| *start == begin) {
            (chain, rule) = ((*hook).to_string(), 0);
        }
        rule += 1;
        let mut add = |what, name| {
            found.push(Extension {
                what,
                name,
                chain: chain.clone(),
                rule,
            });
        };
        let mut place = first;
        while place < target
            && let Some(size) = half(entry, place).filter(|size| *size >= 32)
        {
            add("match", text(entry, place + 2));
            place += size;
        }
        let name = text(entry, target + 2);
        if name == "ERROR" {
            (chain, rule) = (text(entry, target + 32), 0);
        } else {
            add("target", name);
        }
        if next < first {
            break;
        }
        begin += next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry with a match of 40 bytes, and a target of 64 with more text behind its head.
    fn entry(matched: &str, target: &str, more: &str) -> Vec<u8> {
        let mut rule = vec![0; 112 + 40 + 64];
        rule[88..90].copy_from_slice(&152u16.to_ne_bytes());
        rule[90..92].copy_from_slice(&216u16.to_ne_bytes());
        rule[112..114].copy_from_slice(&40u16.to_ne_bytes());
        rule[114..114 + matched.len()].copy_from_slice(matched.as_bytes());
        rule[154..154 + target.len()].copy_from_slice(target.as_bytes());
        rule[184..184 + more.len()].copy_from_slice(more.as_bytes());
        rule
    }

    #[test]
    fn every_rule_is_numbered_in_its_chain() {
        let table = [
            entry("mark", "MARK", ""),
            entry("comment", "", ""),
            entry("x", "ERROR", "mine"),
            entry("mark", "ACCEPT", ""),
        ]
        .concat();
        let found = extensions(&table, true, &[(0, "INPUT"), (216, "OUTPUT")]);
        let said: Vec<String> = found
            .iter()
            .map(|e| format!("{} {} {} {}", e.what, e.name, e.chain, e.rule))
            .collect();
        assert_eq!(
            said,
            [
                "match mark INPUT 1",
                "target MARK INPUT 1",
                "match comment OUTPUT 1",
                "target  OUTPUT 1",
                "match x OUTPUT 2",
                "match mark mine 1",
                "target ACCEPT mine 1",
            ]
        );
        assert!(extensions(&table[..50], true, &[]).is_empty());
    }

    #[test]
    fn a_table_that_leads_nowhere_ends() {
        assert_eq!(extensions(&[0; 300], true, &[]).len(), 1);
    }
}
