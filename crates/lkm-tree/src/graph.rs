//! Pictures of dependencies: of some modules, of what is loaded, or of a tree.
//!
//! `modules.dep` lists all that a module needs, directly or not. An edge is
//! drawn only where no longer way leads to the same module, which is what
//! makes the picture of a graphics or wireless driver readable.

mod svg;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::catalog::Catalog;
use crate::errno::Errno;
use crate::kernel::Kernel;

pub use svg::svg;

/// How a module came into the picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// It was asked for.
    Asked,
    /// Something needs it.
    Needed,
    /// Only a soft dependency leads to it.
    Soft,
}

/// Modules and who needs whom.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Graph {
    pub modules: BTreeMap<String, Role>,
    /// From the user to what it uses; whether it is a soft dependency.
    pub edges: BTreeMap<(String, String), bool>,
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl Graph {
    fn role(&mut self, name: &str, role: Role) {
        let entry = self.modules.entry(name.into()).or_insert(role);
        *entry = (*entry).min(role);
    }

    /// The modules that these names mean, and all they need.
    ///
    /// # Errors
    /// The first name that no module has.
    pub fn of_names(catalog: &mut Catalog<'_>, names: &[Vec<u8>]) -> Result<Graph, Vec<u8>> {
        let mut graph = Graph::default();
        let mut todo = Vec::new();
        for n in names {
            match catalog.lookup(n) {
                Ok(found) if !found.is_empty() => {
                    todo.extend(found.into_iter().map(|id| (id, Role::Asked)));
                }
                _ => return Err(n.clone()),
            }
        }
        let mut closures: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let Some((id, role)) = todo.pop() {
            let name = text(catalog.name(id));
            graph.role(&name, role);
            if closures.contains_key(&name) {
                continue;
            }
            let deps = catalog.dependencies(id);
            let needs = deps.iter().map(|&d| text(catalog.name(d))).collect();
            closures.insert(name.clone(), needs);
            let below = if role == Role::Soft {
                Role::Soft
            } else {
                Role::Needed
            };
            todo.extend(deps.into_iter().map(|d| (d, below)));
            let (pre, post) = catalog.softdeps(id);
            for s in pre.into_iter().chain(post) {
                let soft = text(catalog.name(s));
                if soft != name {
                    graph.edges.insert((name.clone(), soft), true);
                    todo.push((s, Role::Soft));
                }
            }
        }
        for (name, needs) in &closures {
            for n in needs.iter().filter(|n| *n != name) {
                let by_another = needs
                    .iter()
                    .filter(|o| *o != n && *o != name)
                    .any(|o| closures.get(o).is_some_and(|c| c.contains(n)));
                if !by_another {
                    graph.edges.insert((name.clone(), n.clone()), false);
                }
            }
        }
        Ok(graph)
    }

    /// All modules of the catalog's directory.
    pub fn of_tree(catalog: &mut Catalog<'_>) -> Result<Graph, Vec<u8>> {
        let mut names = Vec::new();
        if let Some(index) = catalog.index(0, crate::catalog::IndexKind::Dep) {
            let read = index.for_each(|key, _| {
                names.push(key.to_vec());
                Ok(())
            });
            if read.is_err() {
                return Err(b"modules.dep.bin".to_vec());
            }
        }
        Graph::of_names(catalog, &names)
    }

    /// The loaded modules, as the kernel tells who uses whom.
    pub fn of_loaded(kernel: &dyn Kernel) -> Result<Graph, Errno> {
        let mut graph = Graph::default();
        for m in kernel.loaded()? {
            let name = text(&m.name);
            graph.role(
                &name,
                if m.used_by.is_empty() {
                    Role::Asked
                } else {
                    Role::Needed
                },
            );
            for user in m.used_by {
                graph.edges.insert((text(&user), name.clone()), false);
            }
        }
        Ok(graph)
    }

    /// The picture in the language of Graphviz.
    pub fn dot(&self) -> String {
        let quote = |s: &str| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\""));
        let mut out = String::from(
            "digraph modules {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
        );
        for (name, role) in &self.modules {
            let style = match role {
                Role::Asked => " [style=\"rounded,filled\", fillcolor=\"#d7e8ff\"]",
                Role::Needed => "",
                Role::Soft => " [style=\"rounded,dashed\"]",
            };
            let _ = writeln!(out, "  {}{style};", quote(name));
        }
        for ((from, to), soft) in &self.edges {
            let style = if *soft { " [style=dashed]" } else { "" };
            let _ = writeln!(out, "  {} -> {}{style};", quote(from), quote(to));
        }
        out.push_str("}\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn diamond() -> Graph {
        let mut g = Graph::default();
        g.role("top", Role::Asked);
        for n in ["left", "right", "bottom"] {
            g.role(n, Role::Needed);
        }
        g.role("maybe", Role::Soft);
        for (a, b, soft) in [
            ("top", "left", false),
            ("top", "right", false),
            ("left", "bottom", false),
            ("right", "bottom", false),
            ("top", "maybe", true),
        ] {
            g.edges.insert((a.into(), b.into()), soft);
        }
        g
    }

    #[test]
    fn dot_has_all_modules_and_edges() {
        let dot = diamond().dot();
        assert!(dot.contains("\"top\" -> \"maybe\" [style=dashed];"));
        assert!(dot.contains("\"left\" -> \"bottom\";"));
        assert!(dot.contains("\"maybe\" [style=\"rounded,dashed\"];"));
    }
}
