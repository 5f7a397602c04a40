//! The `.modinfo` section: an ordered list of `key=value` strings, and the parameters it describes.

use crate::bytes::utf8;

/// What `.modinfo` says, in file order. Keys may repeat (`alias`, `firmware`, `import_ns`...).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modinfo<'d> {
    section: &'d [u8],
    entries: Vec<(&'d str, &'d str)>,
}

/// A parameter as `.modinfo` describes it (`parm` and `parmtype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parm<'d> {
    pub name: &'d str,
    /// The text of `MODULE_PARM_DESC`, if any.
    pub description: Option<&'d str>,
    /// The type `module_param` was given (`int`, `charp`, `array of int`...), if any.
    pub kind: Option<&'d str>,
}

impl<'d> Modinfo<'d> {
    /// Splits the section's bytes at NULs; empty strings are padding and are skipped.
    ///
    /// A string without `=` is kept with an empty value. The kernel finds the
    /// first string that begins with `KEY=`, and so does [`Modinfo::get`].
    pub fn parse(section: &'d [u8]) -> Modinfo<'d> {
        let entries = section
            .split(|&b| b == 0)
            .filter(|s| !s.is_empty())
            .map(|s| {
                let s = utf8(s);
                s.split_once('=').unwrap_or((s, ""))
            })
            .collect();
        Modinfo { section, entries }
    }

    /// The strings as the file has them, for tools that must not lose bytes that are no UTF-8.
    pub fn raw(&self) -> impl Iterator<Item = &'d [u8]> + use<'d> {
        self.section.split(|&b| b == 0).filter(|s| !s.is_empty())
    }

    /// The value of the first entry of that key.
    pub fn get(&self, key: &str) -> Option<&'d str> {
        self.entries.iter().find(|(k, _)| *k == key).map(|e| e.1)
    }

    /// The values of all entries of that key, in file order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'d str> + 'a {
        self.entries
            .iter()
            .filter(move |(k, _)| *k == key)
            .map(|e| e.1)
    }

    /// All entries, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'d str, &'d str)> + '_ {
        self.entries.iter().copied()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The parameters, in the order in which their names first appear.
    pub fn parms(&self) -> Vec<Parm<'d>> {
        let mut parms: Vec<Parm<'d>> = Vec::new();
        let mut index = std::collections::HashMap::new();
        for &(key, value) in &self.entries {
            if key != "parm" && key != "parmtype" {
                continue;
            }
            let (name, text) = value.split_once(':').unwrap_or((value, ""));
            let at = *index.entry(name).or_insert_with(|| {
                parms.push(Parm {
                    name,
                    description: None,
                    kind: None,
                });
                parms.len() - 1
            });
            let slot = match key {
                "parm" => &mut parms[at].description,
                _ => &mut parms[at].kind,
            };
            slot.get_or_insert(text);
        }
        parms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_repetition_and_padding() {
        let m = Modinfo::parse(b"\0license=GPL\0\0alias=a\0alias=b=c\0flag\0name=");
        assert_eq!(m.get("license"), Some("GPL"));
        assert_eq!(m.all("alias").collect::<Vec<_>>(), ["a", "b=c"]);
        assert_eq!(m.get("flag"), Some(""));
        assert_eq!(m.get("name"), Some(""));
        assert_eq!(m.get("nam"), None);
        assert_eq!(m.len(), 5);
    }

    #[test]
    fn parms_join_type_and_description() {
        let m = Modinfo::parse(b"parmtype=n:int\0parm=n:How many: really\0parm=lone:x\0");
        let parms = m.parms();
        assert_eq!(parms.len(), 2);
        assert_eq!(parms[0].kind, Some("int"));
        assert_eq!(parms[0].description, Some("How many: really"));
        assert_eq!((parms[1].name, parms[1].kind), ("lone", None));
    }

    #[test]
    fn bytes_that_are_no_text_are_cut_not_refused() {
        let m = Modinfo::parse(b"author=J\xf6rg\0license=GPL\0");
        assert_eq!(m.get("author"), Some("J"));
        assert_eq!(m.get("license"), Some("GPL"));
    }
}
