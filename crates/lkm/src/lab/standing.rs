//! What stands in a module's name by the running record, without pinning it: the ledger's half of `why`.

use lkm_judge::{Nature, nature};
use lkm_trace::Event;
use std::collections::BTreeMap;

/// Most things that are listed one by one.
const MAX_SHOWN: usize = 12;
/// Lines for the end of `why`: what the module's code registered and has not taken back.
pub(super) fn of(events: &[Event], module: &str) -> Vec<String> {
    let mut text: Vec<(u64, u64)> = Vec::new();
    let mut standing: BTreeMap<(String, u64), (String, String)> = BTreeMap::new();
    for event in events {
        match event {
            // A second load of the name begins anew: what the first left is the judge's to tell.
            Event::Module { name, sections, .. } if name == module => {
                text = sections
                    .iter()
                    .map(|(_, at, len)| (*at, at.saturating_add(*len)))
                    .collect();
                standing.clear();
            }
            Event::Acquire {
                kind,
                key,
                detail,
                function,
                site,
                ..
            } => {
                let ours = |pc: u64| text.iter().any(|(from, to)| (*from..=*to).contains(&pc));
                if ours(site.pc) {
                    let entry = (detail.clone(), function.clone());
                    standing.insert((kind.clone(), *key), entry);
                }
            }
            Event::Release { kind, key, .. } => {
                standing.remove(&(kind.clone(), *key));
            }
            _ => {}
        }
    }
    let allocations = standing
        .keys()
        .filter(|(kind, _)| nature(kind) == Nature::Memory)
        .count();
    let things: Vec<String> = standing
        .iter()
        .filter(|((kind, _), _)| nature(kind) == Nature::Registration)
        .map(|((kind, _), (detail, function))| {
            let name = if detail.is_empty() {
                String::new()
            } else {
                format!(" {detail}")
            };
            format!("    {kind}{name}: by {function}")
        })
        .collect();
    let mut lines = Vec::new();
    if !things.is_empty() {
        lines.push("  not pinned, but its exit must take it away:".to_owned());
        lines.extend(things.iter().take(MAX_SHOWN).cloned());
        if things.len() > MAX_SHOWN {
            lines.push(format!("    and {} more", things.len() - MAX_SHOWN));
        }
    }
    if allocations > 0 {
        let plural = if allocations == 1 { "" } else { "s" };
        lines.push(format!(
            "  memory it has allocated: {allocations} block{plural}"
        ));
    }
    lines
}
