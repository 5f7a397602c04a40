//! Layouts of the stock Debian kernels 6.1 and 6.12 on x86-64, for use where neither BTF nor DWARF is at hand.
//!
//! A table is text, written by `examples/layouts.rs` and read where it lies:
//!
//! ```text
//! # 6.1.0-1-amd64                 the release it was taken from
//! =spinlock_t spinlock            a typedef, and the struct it stands for
//! kref 4                          a struct, and its size
//!  refcount 0 4 refcount_struct   a member, its offset and size, and its struct if it is one
//!  data 32 16 x2 list_head        an array of two
//! ```
//!
//! Members of anonymous structs stand in the outer one; bit fields are left out.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::types::{Step, Types, real_name, steps};

static V6_1: Source = Source::new(include_str!("x86_64-6.1.txt"));
static V6_12: Source = Source::new(include_str!("x86_64-6.12.txt"));

struct Source {
    text: &'static str,
    table: OnceLock<Builtin>,
}

impl Source {
    const fn new(text: &'static str) -> Source {
        Source {
            text,
            table: OnceLock::new(),
        }
    }

    fn get(&self) -> &Builtin {
        self.table.get_or_init(|| Builtin::read(self.text))
    }
}

/// A built-in table.
#[derive(Debug)]
pub struct Builtin {
    release: &'static str,
    /// The lines of each struct, its own first.
    structs: HashMap<&'static str, &'static str>,
    aliases: HashMap<&'static str, &'static str>,
}

/// The table for a kernel release or vermagic on x86-64: that of the same
/// `major.minor`, or `None`. Layouts also depend on the configuration; whoever
/// has a module compares its `struct module` size with the table's.
pub fn builtin(release: &str) -> Option<&'static Builtin> {
    let mut numbers = release.split(['.', '-', ' ', '+', '~']);
    match (numbers.next()?, numbers.next()?) {
        ("6", "1") => Some(V6_1.get()),
        ("6", "12") => Some(V6_12.get()),
        _ => None,
    }
}

/// A member line.
struct Entry<'t> {
    name: &'t str,
    offset: u64,
    size: u64,
    /// Number of elements, 1 for what is no array.
    count: u64,
    array: bool,
    strukt: Option<&'t str>,
}

impl<'t> Entry<'t> {
    fn read(line: &'t str) -> Option<Entry<'t>> {
        let mut words = line.strip_prefix(' ')?.split(' ');
        let name = words.next()?;
        let offset = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        let mut next = words.next();
        let mut count = None;
        // A struct may be called x1, but then there is no number after it to take it for.
        if let Some(n) = next.and_then(|w| w.strip_prefix('x')?.parse().ok()) {
            count = Some(n);
            next = words.next();
        }
        Some(Entry {
            name,
            offset,
            size,
            count: count.unwrap_or(1),
            array: count.is_some(),
            strukt: next,
        })
    }
}

/// The line of a member. Only the one that is found is taken apart: a lab asks for
/// hundreds of members before it runs anything.
fn find<'t>(block: &'t str, member: &str) -> Option<Entry<'t>> {
    let mut rest = block;
    loop {
        let at = rest.find('\n')?;
        rest = &rest[at + 1..];
        let after = rest.strip_prefix(' ').and_then(|l| l.strip_prefix(member));
        if after.is_some_and(|a| a.starts_with(' ')) {
            return Entry::read(rest.lines().next()?);
        }
    }
}

impl Builtin {
    fn read(text: &'static str) -> Builtin {
        let mut structs = HashMap::with_capacity(1024);
        let mut aliases = HashMap::new();
        let mut rest = text;
        let mut release = "";
        while !rest.is_empty() {
            // A block runs up to the next line that does not begin with a blank.
            let mut end = rest.find('\n').map_or(rest.len(), |n| n + 1);
            while rest[end..].starts_with(' ') {
                end += rest[end..].find('\n').map_or(rest.len() - end, |n| n + 1);
            }
            let (block, after) = rest.split_at(end);
            rest = after;
            let (head, _) = block.split_once('\n').unwrap_or((block, ""));
            if let Some(comment) = head.strip_prefix("# ") {
                if release.is_empty() {
                    release = comment;
                }
            } else if let Some((alias, name)) =
                head.strip_prefix('=').and_then(|l| l.split_once(' '))
            {
                aliases.insert(alias, name);
            } else if let Some((name, _)) = head.split_once(' ') {
                structs.insert(name, block);
            }
        }
        Builtin {
            release,
            structs,
            aliases,
        }
    }

    /// The release the table was taken from.
    pub fn release(&self) -> &'static str {
        self.release
    }

    /// Names of all structs in the table.
    pub fn structs(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.structs.keys().copied()
    }

    /// Name, offset and size in bytes of each member of a struct, in order of declaration.
    pub fn members(&self, name: &str) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.block(name)
            .unwrap_or("")
            .lines()
            .filter_map(Entry::read)
            .map(|e| (e.name, e.offset, e.size))
    }

    fn block(&self, name: &str) -> Option<&'static str> {
        let name = real_name(name);
        self.structs
            .get(name)
            .or_else(|| self.structs.get(self.aliases.get(name)?))
            .copied()
    }

    /// Offset and size of what a path leads to.
    fn walk(&self, name: &str, path: &str) -> Option<(u64, u64)> {
        let mut block = Some(self.block(name)?);
        let (mut at, mut size) = (0, self.struct_size(name)?);
        // How often the current place still can be indexed: elements, and whether it is an array.
        let mut elements = None;
        for step in steps(path)? {
            match step {
                Step::Member(member) => {
                    if elements.is_some() {
                        return None;
                    }
                    let entry = find(block?, member)?;
                    at += entry.offset;
                    size = entry.size;
                    elements = entry.array.then_some(entry.count);
                    block = entry.strukt.and_then(|s| self.block(s));
                }
                Step::Element(index) => {
                    // Arrays of arrays are one long array here; no struct a lab looks into has one.
                    size = size.checked_div(elements.take()?)?;
                    at += size.checked_mul(index)?;
                }
            }
        }
        Some((at, size))
    }
}

impl Types for Builtin {
    fn struct_size(&self, name: &str) -> Option<u64> {
        let head = self.block(name)?.lines().next()?;
        head.split_once(' ')?.1.parse().ok()
    }

    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.walk(name, path).map(|w| w.0)
    }

    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.walk(name, path).map(|w| w.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_know_what_a_lab_needs() {
        for release in ["6.1.0-56-amd64 SMP preempt mod_unload", "6.12.1-amd64"] {
            let t = builtin(release).unwrap();
            assert!(release.starts_with(&t.release()[..t.release().find('.').unwrap() + 2]));
            assert_eq!(t.struct_size("list_head"), Some(16));
            assert_eq!(t.struct_size("rcu_head"), Some(16));
            assert_eq!(t.offset_of("work_struct", "func"), Some(24));
            assert_eq!(t.offset_of("module", "name[3]"), Some(27));
            assert_eq!(t.size_of_member("module", "name[3]"), Some(1));
            assert_eq!(t.size_of_member("task_struct", "comm"), Some(16));
            assert_eq!(
                t.offset_of("delayed_work", "timer.function"),
                t.offset_of("delayed_work", "timer")
                    .map(|o| o + t.offset_of("timer_list", "function").unwrap())
            );
            assert!(
                t.offset_of("device", "kobj.kref.refcount.refs.counter")
                    .is_some()
            );
            assert!(t.struct_size("spinlock_t").is_some());
            for bad in ["nothing", "comm.x", "pid[0]", "comm[0][0]", "flags."] {
                assert_eq!(t.offset_of("task_struct", bad), None, "{bad}");
            }
            assert!(t.structs().count() > 400);
        }
        assert!(builtin("5.10.0-1-amd64").is_none());
        assert!(builtin("").is_none());
    }

    #[test]
    fn members_lie_inside_their_structs() {
        for t in [V6_1.get(), V6_12.get()] {
            for name in t.structs() {
                let size = t.struct_size(name).unwrap();
                for (member, offset, bytes) in t.members(name) {
                    assert!(offset + bytes <= size, "{name}.{member}");
                }
            }
        }
    }
}
