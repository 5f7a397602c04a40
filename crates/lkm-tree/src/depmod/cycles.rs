//! Dependency loops, named: `a -> b -> a`.

use super::order::Set;
use super::resolve::Tree;

/// A way through a loop, first module repeated at its end.
pub type Cycle = Vec<u32>;

/// Finds loops among the modules that still have users after the topological
/// sort: for each module that no loop told yet contains, the first way back to
/// it. Also the number of modules in such loops.
pub fn find(tree: &Tree, users: &[u32]) -> (Vec<Cycle>, usize) {
    let mut cycles: Vec<Cycle> = Vec::new();
    let mut in_cycle: Set<usize> = Set::default();
    for root in (0..users.len()).filter(|&i| users[i] > 0) {
        if in_cycle.contains(&root) {
            continue;
        }
        // Depth first, the last dependency first, each module once.
        let mut parent = vec![u32::MAX; users.len()];
        let mut visited = vec![false; users.len()];
        let mut todo: Vec<(u32, u32)> = tree.modules[root]
            .deps
            .iter()
            .map(|&d| (d, root as u32))
            .collect();
        while let Some((m, from)) = todo.pop() {
            if m as usize == root {
                let mut cycle = vec![root as u32];
                let mut at = from;
                while at as usize != root {
                    cycle.push(at);
                    at = parent[at as usize];
                }
                cycle.push(root as u32);
                cycle.reverse();
                in_cycle.extend(cycle.iter().map(|&m| m as usize));
                cycles.push(cycle);
                continue;
            }
            if std::mem::replace(&mut visited[m as usize], true) {
                continue;
            }
            parent[m as usize] = from;
            todo.extend(tree.modules[m as usize].deps.iter().map(|&d| (d, m)));
        }
    }
    let count = in_cycle.len();
    (cycles, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depmod::facts::Facts;
    use crate::depmod::resolve::Module;
    use crate::depmod::scan::Found;

    fn tree(deps: &[&[u32]]) -> Tree {
        let modules = deps
            .iter()
            .enumerate()
            .map(|(i, d)| Module {
                found: Found::named(format!("/m/{i}.ko").as_bytes(), b"/m").unwrap(),
                facts: Facts::default(),
                deps: d.to_vec(),
                rank: 0,
            })
            .collect();
        Tree {
            modules,
            ..Tree::default()
        }
    }

    fn cycles(deps: &[&[u32]]) -> (Vec<Cycle>, usize) {
        let mut t = tree(deps);
        let users = t.sort().unwrap_err();
        find(&t, &users)
    }

    #[test]
    fn simple_loops() {
        assert_eq!(cycles(&[&[1], &[0]]), (vec![vec![0, 1, 0]], 2));
        assert_eq!(cycles(&[&[0]]), (vec![vec![0, 0]], 1));
        assert_eq!(cycles(&[&[1], &[2], &[1, 3], &[]]).1, 2);
    }

    #[test]
    fn two_loops_joined_end() {
        let (found, count) = cycles(&[&[1], &[0, 2], &[3], &[4], &[3]]);
        assert_eq!((found.len(), count), (2, 4));
    }

    #[test]
    fn a_thick_tangle_ends_soon() {
        let all: Vec<u32> = (0..200).collect();
        let deps: Vec<&[u32]> = (0..200).map(|_| &all[..]).collect();
        let (found, count) = cycles(&deps);
        assert!(!found.is_empty() && count > 0);
    }
}
