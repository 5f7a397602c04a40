//! Who needs whom, as numbers: the order that loading follows, and all that a
//! module needs, directly or not.

/// A list of modules for each module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deps {
    /// The lists one after the other, and where each ends.
    all: Vec<u32>,
    ends: Vec<u32>,
}

impl Deps {
    /// Makes room for so many modules, and numbers in all lists.
    pub fn reserve(&mut self, modules: usize, numbers: usize) {
        self.ends.reserve_exact(modules);
        self.all.reserve_exact(numbers);
    }

    /// Adds the next module's list.
    pub fn push(&mut self, list: impl IntoIterator<Item = u32>) {
        self.all.extend(list);
        self.ends.push(self.all.len() as u32);
    }

    /// The list of a module.
    pub fn of(&self, module: usize) -> &[u32] {
        let start = match module {
            0 => 0,
            n => self.ends[n - 1] as usize,
        };
        &self.all[start..self.ends[module] as usize]
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lists, one after the other.
    pub fn all(&self) -> &[u32] {
        &self.all
    }

    /// Places in the topological order: users before what they use. The order
    /// in which a module's needs are listed tells between several such orders.
    ///
    /// # Errors
    /// The number of users that remain for each module, where there are loops.
    pub fn ranks(&self) -> Result<Vec<u32>, Vec<u32>> {
        let mut users = vec![0u32; self.len()];
        for &d in &self.all {
            users[d as usize] += 1;
        }
        let mut roots: Vec<u32> = (0..users.len() as u32)
            .filter(|&i| users[i as usize] == 0)
            .collect();
        let mut ranks = vec![u32::MAX; self.len()];
        let mut rank = 0;
        while let Some(i) = roots.pop() {
            ranks[i as usize] = rank;
            rank += 1;
            for &d in self.of(i as usize) {
                users[d as usize] -= 1;
                if users[d as usize] == 0 {
                    roots.push(d);
                }
            }
        }
        match rank as usize == self.len() {
            true => Ok(ranks),
            false => Err(users),
        }
    }

    /// All modules that each one needs, directly or not, users first.
    pub fn closures(&self, ranks: &[u32]) -> Deps {
        let mut out = Deps::default();
        let mut stamp = vec![u32::MAX; self.len()];
        let mut todo = Vec::new();
        for i in 0..self.len() {
            let start = out.all.len();
            todo.extend_from_slice(self.of(i));
            while let Some(d) = todo.pop() {
                if std::mem::replace(&mut stamp[d as usize], i as u32) != i as u32 {
                    out.all.push(d);
                    todo.extend_from_slice(self.of(d as usize));
                }
            }
            out.all[start..].sort_unstable_by_key(|&d| ranks[d as usize]);
            out.ends.push(out.all.len() as u32);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deps(lists: &[&[u32]]) -> Deps {
        let mut d = Deps::default();
        for l in lists {
            d.push(l.iter().copied());
        }
        d
    }

    #[test]
    fn users_come_first() {
        let d = deps(&[&[2], &[0, 2], &[], &[1]]);
        let ranks = d.ranks().unwrap();
        let all = d.closures(&ranks);
        assert_eq!(all.of(3), [1, 0, 2]);
        assert_eq!(all.of(1), [0, 2]);
        assert_eq!(all.of(2), []);
    }

    #[test]
    fn a_loop_has_no_order() {
        assert_eq!(deps(&[&[1], &[0], &[]]).ranks(), Err(vec![1, 1, 0]));
    }
}
