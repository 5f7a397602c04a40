//! Traffic control: queueing disciplines, filters and actions, in every network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lkm_judge::why::Reference;

use crate::netlink::{self, Netlink};
use crate::proc::Network;
use crate::target::Target;
use crate::walk::{Kernel, Trouble};

const RTM_GETQDISC: u16 = 38;
const RTM_GETTCLASS: u16 = 42;
const RTM_GETTFILTER: u16 = 46;
const RTM_GETACTION: u16 = 50;
const TCA_KIND: u16 = 1;
const TCA_DUMP_INVISIBLE: u16 = 10;
const TCA_CHAIN: u16 = 11;
const TCA_ACT_TAB: u16 = 1;
const TCA_ACT_KIND: u16 = 1;
const TC_H_INGRESS: u32 = 0xffff_fff1;

/// The kinds that belong to the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Queueing disciplines.
    pub qdiscs: Vec<String>,
    /// Classifiers.
    pub filters: Vec<String>,
    /// Actions.
    pub actions: Vec<String>,
    /// The default queueing discipline of new interfaces is one of them.
    pub default: bool,
}

impl Kinds {
    /// True when the module has none.
    pub fn is_empty(&self) -> bool {
        self.qdiscs.is_empty() && self.filters.is_empty() && self.actions.is_empty()
    }

    /// By the kernel's lists.
    ///
    /// # Errors
    /// When a list cannot be walked.
    pub fn walk(kernel: &Kernel<'_>, target: &Target) -> Result<Kinds, Trouble> {
        let mut kinds = Kinds::default();
        for at in kernel.chain(kernel.symbol("qdisc_base")?, "Qdisc_ops", "next")? {
            if kernel.ptr(at, "Qdisc_ops", "owner")? == target.address {
                kinds
                    .qdiscs
                    .push(kernel.memory.text(kernel.at(at, "Qdisc_ops", "id")?, 16)?);
                let default = kernel.memory.u64(kernel.symbol("default_qdisc_ops")?)?;
                kinds.default |= default == at;
            }
        }
        let lists = [
            ("tcf_proto_base", "tcf_proto_ops", &mut kinds.filters),
            ("act_base", "tc_action_ops", &mut kinds.actions),
        ];
        for (symbol, name, kinds) in lists {
            for at in kernel.list(kernel.symbol(symbol)?, name, "head")? {
                if kernel.ptr(at, name, "owner")? == target.address {
                    kinds.push(kernel.memory.text(kernel.at(at, name, "kind")?, 16)?);
                }
            }
        }
        Ok(kinds)
    }

    /// By the module's name, as the kernel itself looks for the module of a kind.
    pub fn guess(module: &str) -> Kinds {
        let kind = |prefix: &str| module.strip_prefix(prefix).map(str::to_string).into_iter();
        Kinds {
            qdiscs: kind("sch_").collect(),
            filters: kind("cls_").collect(),
            actions: kind("act_").collect(),
            default: false,
        }
    }
}

/// What is in use of these kinds.
pub fn references(kinds: &Kinds, networks: &[Network]) -> Vec<Reference> {
    let mut found = Vec::new();
    if kinds.default {
        found.push(Reference {
            kind: "qdisc".into(),
            object: "sysctl net.core.default_qdisc".into(),
            holder: "the kernel, for new interfaces".into(),
            count: 1,
            release: "sysctl net.core.default_qdisc=pfifo_fast".into(),
        });
    }
    for network in networks {
        // A namespace that cannot be entered shows nothing; that is said elsewhere.
        if let Ok(more) = netlink::inside(network, || dump(kinds, network)) {
            found.extend(more);
        }
    }
    found
}

/// `struct tcmsg`.
fn message(interface: u32, parent: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(interface.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body.extend(parent.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body
}

fn dump(kinds: &Kinds, network: &Network) -> io::Result<Vec<Reference>> {
    let place = network.name.as_str();
    let mut socket = Netlink::open(netlink::ROUTE)?;
    let names = interfaces(&mut socket)?;
    let name = |index: u32| {
        names
            .get(&index)
            .cloned()
            .unwrap_or_else(|| index.to_string())
    };
    let holder = |interface: u32| match place {
        "" => format!("interface {}", name(interface)),
        _ => format!("interface {} in {place}", name(interface)),
    };
    let mut found = Vec::new();
    let mut body = message(0, 0);
    body.extend(netlink::put(TCA_DUMP_INVISIBLE, &[]));
    let mut parents: BTreeSet<(u32, u32)> = BTreeSet::new();
    for m in socket.dump(RTM_GETQDISC, &body)? {
        let (Some(interface), Some(handle), Some(parent)) = words(&m.payload) else {
            continue;
        };
        let kind = netlink::text(m.payload.get(20..).unwrap_or(&[]), TCA_KIND).unwrap_or_default();
        if handle != 0 {
            parents.insert((interface, handle));
        }
        if parent == TC_H_INGRESS {
            parents.insert((interface, 0xffff_fff2));
            parents.insert((interface, 0xffff_fff3));
        }
        if kinds.qdiscs.contains(&kind) {
            let device = name(interface);
            let object = format!("qdisc {kind} {:x}:", handle >> 16);
            let release = match parent {
                TC_H_INGRESS => format!("tc qdisc del dev {device} {kind}"),
                0xffff_ffff => format!("tc qdisc del dev {device} root"),
                _ => format!(
                    "tc qdisc del dev {device} parent {:x}:{:x}",
                    parent >> 16,
                    parent & 0xffff
                ),
            };
            let release = network.command(&release);
            found.push(reference("qdisc", object, holder(interface), release));
        }
    }
    // The filters that use an action of the module, by the command that deletes each.
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    if !kinds.filters.is_empty() || !kinds.actions.is_empty() {
        let interfaces: BTreeSet<u32> = parents.iter().map(|(i, _)| *i).collect();
        for interface in interfaces {
            for m in socket
                .dump(RTM_GETTCLASS, &message(interface, 0))
                .unwrap_or_default()
            {
                if let (_, Some(handle), _) = words(&m.payload) {
                    parents.insert((interface, handle));
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (interface, parent) in parents {
            // A parent that takes no filters answers with an error.
            for m in socket
                .dump(RTM_GETTFILTER, &message(interface, parent))
                .unwrap_or_default()
            {
                let rest = m.payload.get(20..).unwrap_or(&[]);
                let kind = netlink::text(rest, TCA_KIND).unwrap_or_default();
                let info = netlink::number(&m.payload, 16).unwrap_or(0);
                let real = netlink::number(&m.payload, 12).unwrap_or(0);
                let chain = netlink::attribute(rest, TCA_CHAIN).and_then(|b| netlink::number(b, 0));
                let preference = info >> 16;
                let release = network.command(&format!(
                    "tc filter del dev {} parent {:x}:{:x} prio {preference}",
                    name(interface),
                    real >> 16,
                    real & 0xffff
                ));
                for action in kinds.actions.iter().filter(|a| uses(rest, a)) {
                    let known = users.entry(action).or_default();
                    if !known.contains(&release) {
                        known.push(release.clone());
                    }
                }
                if kinds.filters.contains(&kind) && seen.insert((interface, real, info, chain)) {
                    let object = format!("filter {kind}, preference {preference}");
                    found.push(reference("filter", object, holder(interface), release));
                }
            }
        }
    }
    for kind in &kinds.actions {
        let inner = netlink::put(TCA_ACT_KIND, format!("{kind}\0").as_bytes());
        let mut body = vec![0; 4];
        body.extend(netlink::put(TCA_ACT_TAB, &netlink::put(1, &inner)));
        let mut count = 0;
        for m in socket.dump(RTM_GETACTION, &body)? {
            let table = netlink::attribute(m.payload.get(4..).unwrap_or(&[]), TCA_ACT_TAB);
            count += netlink::attributes(table.unwrap_or(&[])).len() as u64;
        }
        if count > 0 {
            let holder = if place.is_empty() {
                "filters".into()
            } else {
                format!("filters in {place}")
            };
            let release = match users.get(kind.as_str()) {
                Some(filters) => format!("delete what uses it: {}", filters.join("; ")),
                None => network.command(&format!("tc actions flush action {kind}")),
            };
            found.push(Reference {
                count,
                ..reference("action", format!("action {kind}"), holder, release)
            });
        }
    }
    Ok(found)
}

fn reference(kind: &str, object: String, holder: String, release: String) -> Reference {
    Reference {
        kind: kind.into(),
        object,
        holder,
        count: 1,
        release,
    }
}

/// True when a filter has this action: every classifier nests its actions at a place of its
/// own, but an action's kind always is an attribute with that text.
fn uses(filter: &[u8], action: &str) -> bool {
    let wanted = netlink::put(TCA_ACT_KIND, format!("{action}\0").as_bytes());
    filter.windows(wanted.len()).any(|piece| piece == wanted)
}

/// Interface, handle and parent of a `struct tcmsg`.
fn words(payload: &[u8]) -> (Option<u32>, Option<u32>, Option<u32>) {
    let word = |at| netlink::number(payload, at);
    (word(4), word(8), word(12))
}

const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;

/// Names of the namespace's interfaces by their index.
pub fn interfaces(socket: &mut Netlink) -> io::Result<BTreeMap<u32, String>> {
    let messages = socket.dump(RTM_GETLINK, &[0; 16])?;
    Ok(messages
        .iter()
        .filter_map(|m| {
            let name = netlink::text(m.payload.get(16..)?, IFLA_IFNAME)?;
            Some((netlink::number(&m.payload, 4)?, name))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_uses_the_actions_that_it_nests() {
        let action = netlink::put(1, &netlink::put(TCA_ACT_KIND, b"mirred\0"));
        let mut filter = netlink::put(TCA_KIND, b"u32\0");
        filter.extend(netlink::put(2, &netlink::put(7, &action)));
        assert!(uses(&filter, "mirred"));
        assert!(!uses(&filter, "gact"));
        assert!(!uses(&filter, "mirre"));
        assert!(!uses(&[], "mirred"));
    }
}
