//! What the stock kernel exports: name, licence, namespace, whether it is code, data or per-CPU data, and a
//! function's return kind. Generated from the kernel's own export tables and BTF (`cargo xtask exports`);
//! facts about an interface, no code.

use crate::symbols::{Proto, Ret};

/// The tables, by the series of the kernel. The first line of each names the release it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exports {
    /// Debian's 6.1.
    V6_1,
    /// Debian's 6.12.
    V6_12,
}

impl Exports {
    const fn text(self) -> &'static str {
        match self {
            Exports::V6_1 => include_str!("../data/exports-6.1.tsv"),
            Exports::V6_12 => include_str!("../data/exports-6.12.tsv"),
        }
    }

    /// Looks a name up.
    pub fn find(self, name: &str) -> Option<Known> {
        parse(line(self.text(), name)?)
    }
}

/// What kind of thing an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Code.
    Function,
    /// A variable.
    Data,
    /// A per-CPU variable: its value is an offset.
    PerCpu,
}

/// What is known of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it is.
    pub kind: Kind,
    /// EXPORT_SYMBOL_GPL.
    pub gpl: bool,
    /// Its namespace, or empty.
    pub namespace: &'static str,
    /// Its prototype, for functions that the types tell of.
    pub proto: Option<Proto>,
}

impl Known {
    /// A function of which nothing else is known.
    pub fn function() -> Known {
        Known {
            kind: Kind::Function,
            gpl: false,
            namespace: "",
            proto: None,
        }
    }
}

/// The line of a sorted table that begins with a name and a tab. The search reads some fourteen lines.
pub(crate) fn line(table: &'static str, name: &str) -> Option<&'static str> {
    let bytes = table.as_bytes();
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = bytes[..middle]
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        let end = bytes[middle..]
            .iter()
            .position(|&b| b == b'\n')
            .map_or(bytes.len(), |at| middle + at);
        let line = &table[start..end];
        let here = line.split('\t').next().unwrap_or("");
        match here.cmp(name) {
            std::cmp::Ordering::Equal => return Some(line),
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    None
}

fn parse(line: &'static str) -> Option<Known> {
    let mut fields = line.split('\t');
    let (_, kind, namespace, ret, size) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let ret = match ret {
        "v" => Some(Ret::Void),
        "i" => Some(Ret::Int),
        "b" => Some(Ret::Bool),
        "p" => Some(Ret::Pointer),
        _ => None,
    };
    Some(Known {
        kind: match kind.as_bytes().first()? {
            b'F' => Kind::Function,
            b'P' => Kind::PerCpu,
            _ => Kind::Data,
        },
        gpl: kind.ends_with('G'),
        namespace: if namespace == "-" { "" } else { namespace },
        proto: ret.map(|ret| Proto {
            ret,
            size: size.parse().unwrap_or(0),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_by_its_name() {
        for table in [Exports::V6_1, Exports::V6_12] {
            let mut lines = table.text().lines();
            assert!(lines.next().is_some_and(|first| first.starts_with("# ")));
            for line in lines {
                let name = line.split('\t').next().unwrap();
                let known = table.find(name);
                assert!(known.is_some() && known == parse(line), "{name}");
            }
            assert_eq!(table.find(""), None);
            assert_eq!(table.find("zzzzzz"), None);
            assert_eq!(table.find("kfre"), None);
            let stop = table.find("kthread_stop");
            assert!(stop.is_some_and(|k| !k.gpl && k.kind == Kind::Function));
        }
        assert!(Exports::V6_1.find("kmalloc_trace").is_some());
        assert!(Exports::V6_12.find("kmalloc_trace").is_none());
        assert!(Exports::V6_12.find("__kmalloc_noprof").is_some());
    }
}
