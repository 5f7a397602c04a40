//! Structure layouts by name, wherever they come from: BTF, DWARF, or the built-in tables.

/// Layouts of C types: sizes and offsets in bytes.
///
/// A name is that of a struct, a union or a typedef (`task_struct`,
/// `spinlock_t`). A path names a member, members of members with a dot between
/// (`dev.kobj`), elements of arrays with brackets (`wq[1]`); anonymous structs
/// and unions are looked through, as in C. The empty path is the whole.
///
/// Absence is an answer: "test for members, not for versions".
pub trait Types {
    /// `sizeof(struct name)`.
    fn struct_size(&self, name: &str) -> Option<u64>;
    /// `offsetof(struct name, path)`; `None` for bit fields, which have no address.
    fn offset_of(&self, name: &str, path: &str) -> Option<u64>;
    /// `sizeof` of the member.
    fn size_of_member(&self, name: &str, path: &str) -> Option<u64>;
}

/// Several sources of types; the first that knows an answer gives it.
#[derive(Default)]
pub struct Chain<'a> {
    sources: Vec<&'a (dyn Types + Sync)>,
}

impl<'a> Chain<'a> {
    /// No source yet: nothing is known.
    pub fn new() -> Chain<'a> {
        Chain::default()
    }

    /// Adds a source that is asked after the ones before it.
    #[must_use]
    pub fn then(mut self, source: &'a (dyn Types + Sync)) -> Chain<'a> {
        self.sources.push(source);
        self
    }

    /// The first source that has the type decides about all its members: offsets
    /// of two different kernels are never mixed within one struct.
    fn source(&self, name: &str) -> Option<&'a (dyn Types + Sync)> {
        self.sources
            .iter()
            .copied()
            .find(|s| s.struct_size(name).is_some())
    }
}

impl Types for Chain<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.source(name)?.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.source(name)?.offset_of(name, path)
    }
    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.source(name)?.size_of_member(name, path)
    }
}

/// The struct a name stands for where headers make it with `#define`, so that no
/// type information knows it.
pub(crate) fn real_name(name: &str) -> &str {
    match name {
        "rcu_head" => "callback_head",
        "radix_tree_node" => "xa_node",
        "radix_tree_root" => "xarray",
        "sockaddr_storage" => "__kernel_sockaddr_storage",
        other => other,
    }
}

/// One step of a member path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'p> {
    /// A member of a struct or union.
    Member(&'p str),
    /// An element of an array.
    Element(u64),
}

/// Splits `a.b[2].c` into steps; `None` for what is no path.
pub(crate) fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut out = Vec::new();
    if path.is_empty() {
        return Some(out);
    }
    for part in path.split('.') {
        let (name, mut rest) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        if name.is_empty() {
            return None;
        }
        out.push(Step::Member(name));
        while !rest.is_empty() {
            let (number, after) = rest.strip_prefix('[')?.split_once(']')?;
            out.push(Step::Element(number.parse().ok()?));
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Step::{Element, Member};
        assert_eq!(steps(""), Some(vec![]));
        assert_eq!(
            steps("a.b[2][0].c"),
            Some(vec![
                Member("a"),
                Member("b"),
                Element(2),
                Element(0),
                Member("c")
            ])
        );
        for bad in [".", "a.", ".a", "[1]", "a[", "a[x]", "a[1]b", "a]1["] {
            assert_eq!(steps(bad), None, "{bad}");
        }
    }
}
