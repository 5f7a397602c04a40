//! Copies of module files in which every name of the module's own is another one of the same length: symbols, module
//! name, strings, parameters, and what other modules of the set import. What the lab says of such a copy may
//! differ from what it says of the original in those names only.

use lkm_object::elf::Elf;
use std::collections::{BTreeMap, BTreeSet};

/// Symbols whose names the kernel's build knows.
const KEPT: &[&str] = &["init_module", "cleanup_module", "__this_module", ""];
/// Keys of .modinfo whose values are the module's own words.
const WORDS: &[&str] = &[
    "name",
    "depends",
    "alias",
    "description",
    "author",
    "parm",
    "parmtype",
];
/// Parameter types, and other words of .modinfo that mean something to the kernel.
const MEANT: &[&str] = &[
    "charp", "bool", "invbool", "int", "uint", "long", "ulong", "short", "ushort", "byte", "array",
    "of",
];

/// What aliases begin with that the kernel makes itself.
const KINDS: &[&str] = &["fs-", "net-pf-", "char-major-"];

/// The new name of a word: each letter is another letter of the same case.
pub fn other(word: &str) -> String {
    let turn = |c: char, base: u8| char::from((c as u8 - base + 13) % 26 + base);
    word.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            other => other,
        })
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits a text into words and what stands between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut word = None;
    for (at, c) in text.char_indices() {
        if word.is_some_and(|w| w != is_word(c)) {
            out.push(&text[start..at]);
            start = at;
        }
        word = Some(is_word(c));
    }
    out.push(&text[start..]);
    out
}

/// A set of modules that are renamed together.
#[derive(Default)]
pub struct Renaming {
    /// Symbols that the set's modules export.
    exported: BTreeSet<String>,
    /// Every word that was changed.
    words: BTreeSet<String>,
}

impl Renaming {
    /// Reads which symbols the modules of the set export.
    pub fn new<'a>(files: impl Iterator<Item = &'a [u8]>) -> Renaming {
        let mut renaming = Renaming::default();
        for bytes in files {
            let Ok(elf) = Elf::parse(bytes) else { continue };
            let symbols = elf.symbols();
            let mut index = 0;
            while let Some(symbol) = symbols.get(index) {
                index += 1;
                if let Some(name) = symbol.name.strip_prefix("__ksymtab_") {
                    renaming.exported.insert(name.to_owned());
                }
            }
        }
        renaming
    }

    fn change(&mut self, word: &str) -> String {
        if word.chars().any(|c| c.is_ascii_alphabetic()) {
            self.words.insert(word.to_owned());
        }
        other(word)
    }

    /// A string of the module's, its conversions and the mark of a log level left alone.
    fn text(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'%' {
                at += conversion(&bytes[at..]);
                continue;
            }
            let len = bytes[at..]
                .iter()
                .take_while(|&&b| is_word(char::from(b)))
                .count();
            if len == 0 {
                at += 1;
                continue;
            }
            // Behind the mark of a level stands its digit.
            let skip = usize::from(at > 0 && bytes[at - 1] == 1);
            let word = String::from_utf8_lossy(&bytes[at + skip..at + len]).into_owned();
            // A number, or the mark of one in front of a conversion.
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                at += len;
                continue;
            }
            let new = self.change(&word);
            bytes[at + skip..at + len].copy_from_slice(new.as_bytes());
            at += len;
        }
    }

    /// The copy of a module file.
    pub fn copy(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let elf = Elf::parse(bytes).map_err(|e| e.to_string())?;
        let mut out = bytes.to_vec();
        let place = |name: &str| {
            let section = elf.section(name)?;
            Some(section.offset as usize..(section.offset + section.size) as usize)
        };
        for section in elf
            .sections
            .iter()
            .filter(|s| s.name.starts_with(".rodata.str") || s.name == "__ksymtab_strings")
        {
            let range = section.offset as usize..(section.offset + section.size) as usize;
            for string in out[range].split_mut(|&b| b == 0) {
                self.text(string);
            }
        }
        if let Some(range) = place(".modinfo") {
            for entry in out[range].split_mut(|&b| b == 0) {
                self.modinfo(entry);
            }
        }
        if let Some(range) = place("__versions") {
            // struct modversion_info: a CRC of eight bytes, a name of 56.
            for entry in out[range].chunks_exact_mut(64) {
                let len = entry[8..].iter().position(|&b| b == 0).unwrap_or(56);
                let name = String::from_utf8_lossy(&entry[8..8 + len]).into_owned();
                if self.exported.contains(&name) {
                    let new = self.change(&name);
                    entry[8..8 + len].copy_from_slice(new.as_bytes());
                }
            }
        }
        if let Some(range) = place(".gnu.linkonce.this_module") {
            self.this_module(&mut out[range]);
        }
        self.symbols(&elf, &mut out)?;
        Ok(out)
    }

    fn modinfo(&mut self, entry: &mut [u8]) {
        let Some(at) = entry.iter().position(|&b| b == b'=') else {
            return;
        };
        let key = String::from_utf8_lossy(&entry[..at]).into_owned();
        if !WORDS.contains(&key.as_str()) {
            return;
        }
        let value = &mut entry[at + 1..];
        let end = match key.as_str() {
            // The name; behind the colon stands the type.
            "parmtype" => value.iter().position(|&b| b == b':').unwrap_or(value.len()),
            _ => value.len(),
        };
        let text = String::from_utf8_lossy(&value[..end]).into_owned();
        // By its first words the kernel asks for a kind of module.
        let kind = KINDS.iter().find(|k| text.starts_with(**k));
        let kept = kind.filter(|_| key == "alias").map_or(0, |k| k.len());
        let mut new = text[..kept].to_owned();
        for piece in pieces(&text[kept..]) {
            if MEANT.contains(&piece) {
                new.push_str(piece);
            } else {
                new.push_str(&self.change(piece));
            }
        }
        if new.len() == end {
            value[..end].copy_from_slice(new.as_bytes());
        }
    }

    /// The name in struct module stands behind its state and list, at 24.
    fn this_module(&mut self, bytes: &mut [u8]) {
        const NAME: std::ops::Range<usize> = 24..80;
        if let Some(field) = bytes.get_mut(NAME) {
            let len = field.iter().position(|&b| b == 0).unwrap_or(0);
            let name = String::from_utf8_lossy(&field[..len]).into_owned();
            let new = self.change(&name);
            field[..len].copy_from_slice(new.as_bytes());
        }
    }

    /// A string table of its own for the symbols: in the old one names share their tails. The strings that stand in
    /// .rodata by themselves (parameter and function names) are found by their symbols.
    fn symbols(&mut self, elf: &Elf<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let symtab = elf.symtab().ok_or("no symbol table")?;
        let (start, count) = (symtab.offset as usize, symtab.size as usize / 24);
        let mut strings = vec![0u8];
        let mut starts = BTreeMap::<String, u32>::new();
        let symbols = elf.symbols();
        for index in 0..count {
            let symbol = symbols.get(index).ok_or("a symbol is missing")?;
            let name = symbol.name;
            let own = !symbol.is_undefined() || self.exported.contains(name);
            let new = if own && !KEPT.contains(&name) {
                self.change(name)
            } else {
                name.to_owned()
            };
            let at = if new.is_empty() {
                0
            } else {
                *starts.entry(new.clone()).or_insert_with(|| {
                    let at = strings.len() as u32;
                    strings.extend(new.as_bytes());
                    strings.push(0);
                    at
                })
            };
            let entry = start + index * 24;
            out[entry..entry + 4].copy_from_slice(&at.to_le_bytes());
            if (name.starts_with("__param_str_") || name.starts_with("__func__"))
                && let Some(section) = elf.sections.get(symbol.shndx as usize)
            {
                let from = (section.offset + symbol.value) as usize;
                if let Some(bytes) = out.get_mut(from..from + symbol.size as usize) {
                    for string in bytes.split_mut(|&b| b == 0) {
                        self.text(string);
                    }
                }
            }
        }
        // The old table's header tells of the new one, at the end of the file.
        let header = u64::from_le_bytes(out[40..48].try_into().map_err(|_| "no header")?) as usize;
        let size = usize::from(u16::from_le_bytes([out[58], out[59]]));
        let link = symtab.link as usize;
        let entry = header + link * size;
        let (at, len) = (out.len() as u64, strings.len() as u64);
        out.get_mut(entry + 24..entry + 32)
            .ok_or("no string table")?
            .copy_from_slice(&at.to_le_bytes());
        out[entry + 32..entry + 40].copy_from_slice(&len.to_le_bytes());
        out.extend(strings);
        Ok(())
    }

    /// A path below /sys/module: the module's name is its own, and a parameter's.
    fn attribute(&self, rest: &str) -> String {
        let mut names: Vec<String> = rest.split('/').map(str::to_owned).collect();
        let parameter = names.get(1).is_some_and(|n| n == "parameters");
        for at in if parameter { vec![0, 2] } else { vec![0] } {
            if let Some(name) = names.get_mut(at) {
                *name = self.known(name);
            }
        }
        format!("/sys/module/{}", names.join("/"))
    }

    /// A line of a script, in which the arguments have the new names.
    pub fn line(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        let named = matches!(
            first,
            "insmod"
                | "rmmod"
                | "modprobe"
                | "init_module"
                | "finit_module"
                | "delete_module"
                | "why"
                | "unload"
                | "tree"
                | "findings"
                | "open"
                | "write"
                | "mount"
        );
        let mut out = vec![first.to_owned()];
        let rest: Vec<&str> = words.collect();
        let (keep, rest) = match first {
            // The process's name, or how often, and the command.
            "start" | "proc" | "repeat" if rest.len() > 2 => {
                out.push(rest[0].to_owned());
                out.push(self.line(&rest[1..].join(" ")));
                return out.join(" ");
            }
            "lsof" | "kill" => (
                !rest.first().is_some_and(|w| w.starts_with("thread:")),
                rest,
            ),
            _ => (!named, rest),
        };
        for word in rest {
            // A system call's own word, where the tool's would be a parameter.
            let call = matches!(first, "delete_module" | "finit_module");
            let option = call && word.starts_with("flags=") || word.starts_with("--");
            if let Some(rest) = word.strip_prefix("/sys/module/") {
                out.push(self.attribute(rest));
                continue;
            }
            // The kernel's own files.
            let path = ["/sys/", "/proc/", "/dev/null"]
                .iter()
                .any(|p| word.starts_with(p));
            if keep || option || path {
                out.push(word.to_owned());
                continue;
            }
            let head = if word.starts_with("thread:") {
                "thread:"
            } else {
                ""
            };
            let tail = if word.ends_with(".ko") { ".ko" } else { "" };
            let middle = &word[head.len()..word.len() - tail.len()];
            let new: String = pieces(middle).into_iter().map(|p| self.known(p)).collect();
            out.push(format!("{head}{new}{tail}"));
        }
        out.join(" ")
    }

    /// The new name of a word that was changed; another word stays. A file's dashes are underscores in the module.
    fn known(&self, word: &str) -> String {
        if self.words.contains(word) {
            other(word)
        } else {
            word.to_owned()
        }
    }

    /// A text in which each changed word, old or new, is one and the same of the two: what differs then between the
    /// answers on originals and on copies differs in more than names. (Some words are the new name of another one.)
    pub fn neutral(&self, text: &str) -> String {
        let one = |piece: &str| {
            let new = other(piece);
            if self.words.contains(piece) || self.words.contains(&new) {
                new.min(piece.to_owned())
            } else {
                piece.to_owned()
            }
        };
        pieces(text).into_iter().map(one).collect()
    }

    /// Makes the words of a file's name known.
    pub fn file(&mut self, name: &str) -> String {
        let stem = name.trim_end_matches(".ko");
        let new: String = pieces(stem).into_iter().map(|p| self.change(p)).collect();
        format!("{new}.ko")
    }
}

/// Bytes of a printf conversion at the start of `bytes`.
fn conversion(bytes: &[u8]) -> usize {
    let mut at = 1;
    while bytes
        .get(at)
        .is_some_and(|b| b"-+ #0123456789.*hlzjt".contains(b))
    {
        at += 1;
    }
    let pointer = bytes.get(at) == Some(&b'p');
    at += 1;
    while pointer && bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        at += 1;
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_length_and_comes_back() {
        for name in ["vms_dev", "inherited", "X31", "a-b"] {
            assert_eq!(other(name).len(), name.len());
            assert_ne!(other(name), name);
            assert_eq!(other(&other(name)), name);
        }
    }

    #[test]
    fn conversions_and_levels_stay() {
        let mut renaming = Renaming::default();
        let mut text = *b"\x016vms: %d%% of 0x%-8lu, %px %pS %s!";
        renaming.text(&mut text);
        assert_eq!(
            String::from_utf8_lossy(&text),
            "\x016izf: %d%% bs 0x%-8lu, %px %pS %s!"
        );
        let copy = renaming.neutral("izf bs fine");
        assert_eq!(copy, renaming.neutral("vms of fine"));
        assert_ne!(copy, renaming.neutral("vms of mine"));
        // A word of the kernel's that is another one's new name.
        renaming.change("be");
        assert_eq!(renaming.neutral("or"), renaming.neutral("be"));
    }

    #[test]
    fn script_lines_have_the_new_names() {
        let mut renaming = Renaming::default();
        for word in ["inherited", "where", "init", "handoff"] {
            renaming.change(word);
        }
        assert_eq!(
            renaming.line("insmod inherited.ko where=init rounds=3"),
            format!(
                "insmod {}.ko {}={} rounds=3",
                other("inherited"),
                other("where"),
                other("init")
            )
        );
        assert_eq!(
            renaming.line("open /sys/module/inherited/parameters/where f"),
            format!(
                "open /sys/module/{}/parameters/{} f",
                other("inherited"),
                other("where")
            )
        );
        assert_eq!(
            renaming.line("cat /sys/module/inherited/init"),
            format!("cat /sys/module/{}/init", other("inherited"))
        );
        assert_eq!(
            renaming.line("lsof thread:handoff"),
            format!("lsof thread:{}", other("handoff"))
        );
        assert_eq!(
            renaming.line("proc init socket s netlink 31"),
            "proc init socket s netlink 31"
        );
    }
}
