//! From a module to the steps that load it: what must be there before, what
//! should be, what is refused.

use crate::bytes;
use crate::catalog::{Catalog, ModuleId};
use crate::depmod::order::Set;

/// A step of loading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub module: ModuleId,
    /// The module asked for or something it depends on; otherwise a soft
    /// dependency, whose failure does not matter.
    pub required: bool,
    /// An `install` line replaces the loading of this module.
    pub command: Option<Vec<u8>>,
    /// Why it must not be loaded.
    pub refused: Option<Vec<u8>>,
}

/// What to leave out of account.
#[derive(Clone, Copy, Default, Debug)]
pub struct PlanOptions {
    /// The `install` line of the module asked for.
    pub ignore_commands: bool,
    /// `deny` lines and the allow-list.
    pub ignore_deny: bool,
}

struct Planner<'c, 'a> {
    catalog: &'c mut Catalog<'a>,
    visited: Set<ModuleId>,
    required: Set<ModuleId>,
    /// Modules somebody asked for, or a soft dependency did: on these the
    /// allow-list has a say. What they depend on comes with them.
    asked: Set<ModuleId>,
    order: Vec<ModuleId>,
}

/// The steps that load a module, in order. A step may name a module twice:
/// the second time it will be found loaded.
pub fn plan(catalog: &mut Catalog<'_>, module: ModuleId, options: PlanOptions) -> Vec<Step> {
    let mut p = Planner {
        catalog,
        visited: Set::default(),
        required: Set::default(),
        asked: Set::default(),
        order: Vec::new(),
    };
    p.probe(module, true, options.ignore_commands);
    let Planner {
        catalog,
        required,
        asked,
        order,
        ..
    } = p;
    let steps = order.into_iter().map(|m| {
        let name = catalog.name(m);
        let ignore = options.ignore_commands && m == module;
        let command = catalog.config.install_command(name).filter(|_| !ignore);
        Step {
            module: m,
            required: required.contains(&m),
            command: command.map(<[u8]>::to_vec),
            refused: match options.ignore_deny {
                true => None,
                false => refusal(catalog, m, asked.contains(&m)),
            },
        }
    });
    steps.collect()
}

/// Why configuration forbids a module.
fn refusal(catalog: &Catalog<'_>, m: ModuleId, asked: bool) -> Option<Vec<u8>> {
    let name = catalog.name(m);
    if let Some(deny) = catalog.config.denied(name) {
        let at = bytes!(deny.file, ":", deny.line.to_string());
        let mut text = bytes!("denied by ", at);
        if !deny.reason.is_empty() {
            text = bytes!(text, ": ", deny.reason);
        }
        return Some(text);
    }
    if asked && !catalog.config.allowed(name) {
        return Some(b"not on the allow-list of modprobe.d".into());
    }
    None
}

impl Planner<'_, '_> {
    fn probe(&mut self, m: ModuleId, required: bool, alone: bool) {
        if !self.visited.insert(m) {
            return;
        }
        self.asked.insert(m);
        let deps = self.catalog.dependencies(m);
        if required {
            // Before a soft dependency can come upon them.
            self.required.insert(m);
            self.required.extend(&deps);
        }
        for d in deps {
            self.with_softdeps(d);
        }
        if alone {
            self.order.push(m);
        } else {
            self.with_softdeps(m);
        }
    }

    fn with_softdeps(&mut self, m: ModuleId) {
        let (pre, post) = self.catalog.softdeps(m);
        for s in pre {
            self.probe(s, false, false);
        }
        self.order.push(m);
        for s in post {
            self.probe(s, false, false);
        }
    }
}
