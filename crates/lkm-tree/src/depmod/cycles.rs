//! Dependency loops, named: `a -> b -> a`.

use std::collections::VecDeque;

use super::deps::Deps;
use super::order::Set;

/// A way through a loop, first module repeated at its end.
pub type Cycle = Vec<u32>;

/// Steps that are gone at most: a tangle of loops has exponentially many ways.
const STEPS_MAX: usize = 200_000;

/// A module on the way from a root.
struct Vertex {
    module: u32,
    parent: Option<usize>,
}

/// Modules still to start from. kmod keeps them in a ring, and taking one out
/// of the middle moves the beginning to what follows: the order of its
/// messages depends on that.
struct Ring(VecDeque<u32>);

impl Ring {
    fn remove(&mut self, module: u32) {
        if let Some(at) = self.0.iter().position(|&m| m == module) {
            self.0.rotate_left(at);
            self.0.pop_front();
        }
    }
}

/// Finds the loops among the modules that still have users after the
/// topological sort: from each module that no loop told so far contains, all
/// ways back to it. Also the number of modules in such loops.
pub fn find(deps: &Deps, users: &[u32]) -> (Vec<Cycle>, usize) {
    let mut cycles: Vec<Cycle> = Vec::new();
    let mut in_cycle: Set<u32> = Set::default();
    let mut roots = Ring(
        (0..users.len() as u32)
            .filter(|&i| users[i as usize] > 0)
            .collect(),
    );
    let mut steps = 0;
    while let Some(root) = roots.0.pop_front() {
        // The last dependency first, as kmod's stack has it.
        let mut vertices = vec![Vertex {
            module: root,
            parent: None,
        }];
        let mut stack = vec![0];
        while let Some(v) = stack.pop() {
            steps += 1;
            if steps > STEPS_MAX {
                return (cycles, in_cycle.len());
            }
            let Vertex { module, parent } = vertices[v];
            let above = || {
                std::iter::successors(parent, |&p| vertices[p].parent).map(|p| vertices[p].module)
            };
            if module == root && parent.is_some() {
                let mut cycle: Cycle = above().collect();
                in_cycle.extend(&cycle);
                cycle.reverse();
                for &m in &cycle {
                    roots.remove(m);
                }
                cycle.push(root);
                cycles.push(cycle);
                continue;
            }
            // A loop that does not lead to the root is told from another one.
            if above().any(|m| m == module) {
                continue;
            }
            let deps = deps.of(module as usize);
            if deps.is_empty() {
                roots.remove(module);
            }
            for &d in deps {
                stack.push(vertices.len());
                vertices.push(Vertex {
                    module: d,
                    parent: Some(v),
                });
            }
        }
    }
    let count = in_cycle.len();
    (cycles, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(lists: &[&[u32]]) -> (Vec<Cycle>, usize) {
        let mut deps = Deps::default();
        for l in lists {
            deps.push(l.iter().copied());
        }
        find(&deps, &deps.ranks().unwrap_err())
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
