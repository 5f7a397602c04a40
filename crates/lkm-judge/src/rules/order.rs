//! Locks taken in both orders: a deadlock that waits for its moment.

use std::collections::{BTreeMap, BTreeSet};

use super::Case;
use crate::locks::{Edge, is_callback, is_shared};

/// Longest cycle that is looked for; longer ones do not occur in one module.
const MAX_CYCLE: usize = 6;
/// Most steps of the search, over all starting points.
const MAX_WORK: usize = 100_000;

pub(super) fn check(case: &mut Case<'_, '_>) {
    let edges = &case.ledger.locks.edges;
    let mut next: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for &(from, to) in edges.keys() {
        next.entry(from).or_default().push(to);
    }
    let mut told: BTreeSet<Vec<u64>> = BTreeSet::new();
    let mut work = 0;
    for &start in next.keys() {
        let mut path = vec![start];
        search(&next, &mut path, &mut work, &mut |cycle| {
            let mut key = cycle.to_vec();
            key.sort_unstable();
            told.insert(key).then(|| cycle.to_vec())
        })
        .into_iter()
        .for_each(|cycle| report(case, &cycle));
    }
}

/// Walks on from the end of the path; answers the cycles that come back to its start through greater classes only,
/// so that each is met once.
fn search(
    next: &BTreeMap<u64, Vec<u64>>,
    path: &mut Vec<u64>,
    work: &mut usize,
    fresh: &mut impl FnMut(&[u64]) -> Option<Vec<u64>>,
) -> Vec<Vec<u64>> {
    let mut found = Vec::new();
    let (start, last) = (path[0], path[path.len() - 1]);
    for &to in next.get(&last).map_or(&[][..], Vec::as_slice) {
        *work += 1;
        if *work > MAX_WORK {
            break;
        }
        if to == start {
            found.extend(fresh(path));
        } else if to > start && path.len() < MAX_CYCLE && !path.contains(&to) {
            path.push(to);
            found.extend(search(next, path, work, fresh));
            path.pop();
        }
    }
    found
}

fn report(case: &mut Case<'_, '_>, cycle: &[u64]) {
    let ledger = case.ledger;
    let edges: Vec<&Edge<'_>> = (0..cycle.len())
        .filter_map(|i| {
            ledger
                .locks
                .edges
                .get(&(cycle[i], cycle[(i + 1) % cycle.len()]))
        })
        .collect();
    if edges.len() != cycle.len() || case.full("lock-order") {
        return;
    }
    // Readers do not keep readers out; and a lock around all of it keeps the orders apart.
    if edges
        .iter()
        .all(|e| is_shared(e.held.kind) && is_shared(e.taken.kind))
    {
        return;
    }
    let gate = edges[0]
        .gates
        .iter()
        .any(|g| edges.iter().all(|e| e.gates.contains(g)));
    if gate {
        return;
    }
    if !edges.iter().any(|e| ledger.is_ours(&e.taken.at)) {
        return;
    }
    let latest = edges
        .iter()
        .max_by_key(|e| e.taken.at.step)
        .map_or(edges[0], |e| e);
    let mut draft = case.draft("lock-order", &latest.taken.at);
    draft.key = latest.taken.key;
    let orders: Vec<String> = edges
        .iter()
        .map(|e| format!("{} takes both in one order", case.inside(&e.taken.at)))
        .collect();
    let waits = edges.iter().find(|e| is_callback(e.taken.kind));
    draft.message = if let Some(wait) = waits {
        draft.detail = "waits-under-lock".to_owned();
        draft.fix = format!(
            "wait for the {} after the lock is released, or without it",
            wait.taken.kind
        );
        let runs = edges.iter().find(|e| is_callback(e.held.kind));
        format!(
            "{} waits for a {} with a {} held, and {} takes that lock: when the {} runs just then, neither goes on",
            case.inside(&wait.taken.at),
            wait.taken.kind,
            wait.held.kind,
            runs.map_or_else(|| "its function".to_owned(), |e| case.inside(&e.held.at)),
            wait.taken.kind,
        )
    } else if orders.len() == 2 {
        format!(
            "{} takes two locks ({}, {}) in one order, {} in the other: together they wait for each other",
            case.inside(&edges[0].taken.at),
            edges[0].held.kind,
            edges[0].taken.kind,
            case.inside(&edges[1].taken.at)
        )
    } else {
        format!("{} locks are taken in a circle of orders", edges.len())
    };
    for edge in edges {
        draft
            .history
            .push(case.step("locked", &edge.held.at, edge.held.kind));
        draft
            .history
            .push(case.step("then locked", &edge.taken.at, edge.taken.kind));
    }
    case.doubt(&mut draft);
    case.push(draft);
}
