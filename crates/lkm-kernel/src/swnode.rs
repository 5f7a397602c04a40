//! Software nodes (drivers/base/swnode.c): firmware nodes that a driver describes itself.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::hash::Map;
use crate::table::{Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("software_node_register", register)
        .acquires("software_node", Key::Arg(0), When::Zero)
        .sleeps(),
    behaves("software_node_unregister", unregister)
        .releases("software_node", Key::Arg(0))
        .sleeps(),
    behaves("software_node_register_nodes", register_nodes)
        .acquires("software_nodes", Key::Arg(0), When::Zero)
        .sleeps(),
    behaves("software_node_unregister_nodes", unregister_nodes)
        .releases("software_nodes", Key::Arg(0))
        .sleeps(),
    behaves("software_node_register_node_group", register_group)
        .acquires("software_node_group", Key::Arg(0), When::Zero)
        .sleeps(),
    behaves("software_node_unregister_node_group", unregister_group)
        .releases("software_node_group", Key::Arg(0))
        .sleeps(),
    behaves("software_node_fwnode", fwnode),
    behaves("is_software_node", is_software_node),
    behaves("to_software_node", to_software_node),
];

/// Nodes of a group that are looked at: bad input ends.
const MAX_NODES: u64 = 4096;
/// Size of struct fwnode_handle, and some.
const HANDLE: u64 = 128;

/// Registered nodes.
#[derive(Default)]
pub struct State {
    /// struct software_node to its fwnode_handle, and back.
    handles: Map<u64, u64>,
    nodes: Map<u64, u64>,
}

/// struct software_node: name, parent, properties.
fn name_and_parent(cx: &Cx, node: u64) -> R<(u64, u64)> {
    Ok((cx.r64(node)?, cx.r64(node + 8)?))
}

fn add(cx: &mut Cx, node: u64) -> R<i32> {
    if cx.swnode.handles.contains_key(&node) {
        return Ok(-errno::EEXIST);
    }
    let (_, parent) = name_and_parent(cx, node)?;
    if parent != 0 && !cx.swnode.handles.contains_key(&parent) {
        return Ok(-errno::EINVAL);
    }
    let handle = crate::mm::kernel_object(cx, HANDLE)?;
    cx.swnode.handles.insert(node, handle);
    cx.swnode.nodes.insert(handle, node);
    Ok(0)
}

fn remove(cx: &mut Cx, node: u64) {
    if let Some(handle) = cx.swnode.handles.remove(&node) {
        cx.swnode.nodes.remove(&handle);
    }
}

/// The names from the outermost parent to the node of this fwnode_handle; None when it is no software node.
pub(crate) fn names(cx: &Cx, handle: u64) -> R<Option<Vec<Vec<u8>>>> {
    let Some(&node) = cx.swnode.nodes.get(&handle) else {
        return Ok(None);
    };
    let mut names = Vec::new();
    let mut at = node;
    while at != 0 && names.len() < 64 {
        let (name, parent) = name_and_parent(cx, at)?;
        names.push(cx.cstr(name, 256)?);
        at = parent;
    }
    names.reverse();
    Ok(Some(names))
}

fn register(cx: &mut Cx, c: &Call) -> R {
    Ok(add(cx, c.a[0])? as u64)
}

fn unregister(cx: &mut Cx, c: &Call) -> R {
    remove(cx, c.a[0]);
    Ok(0)
}

/// An array of nodes that ends with one without a name.
fn array(cx: &Cx, start: u64) -> R<Vec<u64>> {
    // name, parent, properties: three pointers.
    let mut nodes = Vec::new();
    for index in 0..MAX_NODES {
        let node = start + index * 24;
        if cx.r64(node)? == 0 {
            break;
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// A NULL-terminated array of pointers to nodes.
fn group(cx: &Cx, start: u64) -> R<Vec<u64>> {
    let mut nodes = Vec::new();
    if start == 0 {
        return Ok(nodes);
    }
    for index in 0..MAX_NODES {
        match cx.r64(start + index * 8)? {
            0 => break,
            node => nodes.push(node),
        }
    }
    Ok(nodes)
}

fn add_all(cx: &mut Cx, nodes: &[u64]) -> R {
    for (index, &node) in nodes.iter().enumerate() {
        let error = add(cx, node)?;
        if error != 0 {
            for &done in nodes[..index].iter().rev() {
                remove(cx, done);
            }
            return Ok(neg(-error));
        }
    }
    Ok(0)
}

fn register_nodes(cx: &mut Cx, c: &Call) -> R {
    let nodes = array(cx, c.a[0])?;
    add_all(cx, &nodes)
}

fn unregister_nodes(cx: &mut Cx, c: &Call) -> R {
    for node in array(cx, c.a[0])?.into_iter().rev() {
        remove(cx, node);
    }
    Ok(0)
}

fn register_group(cx: &mut Cx, c: &Call) -> R {
    let nodes = group(cx, c.a[0])?;
    add_all(cx, &nodes)
}

fn unregister_group(cx: &mut Cx, c: &Call) -> R {
    for node in group(cx, c.a[0])?.into_iter().rev() {
        remove(cx, node);
    }
    Ok(0)
}

fn fwnode(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.swnode.handles.get(&c.a[0]).copied().unwrap_or(0))
}

fn is_software_node(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(cx.swnode.nodes.contains_key(&c.a[0])))
}

fn to_software_node(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.swnode.nodes.get(&c.a[0]).copied().unwrap_or(0))
}
