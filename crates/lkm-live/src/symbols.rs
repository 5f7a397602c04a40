//! /proc/kallsyms, read once from front to end, keeping only what was asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// A symbol of the kernel or of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its address.
    pub address: u64,
    /// nm's letter: `t`/`T` text, `d`/`D` data, `b`/`B` bss, `r`/`R` read-only.
    pub kind: u8,
    /// Its name.
    pub name: String,
}

/// The symbols that were asked for.
#[derive(Debug, Default)]
pub struct Symbols {
    /// The kernel's own, by name; a name that occurs twice keeps all its addresses.
    kernel: HashMap<String, Vec<(u64, u8)>>,
    /// One module's, by address.
    module: Vec<Symbol>,
    /// Other modules' that were named, with the module's name.
    others: HashMap<String, (String, u64)>,
    /// All there are, by address, when that was asked for.
    all: Vec<Symbol>,
    /// True when every address was zero.
    hidden: bool,
}

/// What to keep.
pub struct Wanted<'a> {
    /// Names, of the kernel or of any module.
    pub names: &'a [&'a str],
    /// A module of which all symbols are kept.
    pub module: &'a str,
    /// Keep all symbols, those of modules as `name [module]`.
    pub everything: bool,
}

impl Symbols {
    /// Reads /proc/kallsyms.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(wanted: &Wanted<'_>) -> io::Result<Symbols> {
        Symbols::read(
            BufReader::with_capacity(1 << 16, File::open("/proc/kallsyms")?),
            wanted,
        )
    }

    /// Reads text in the form of /proc/kallsyms.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(mut text: impl BufRead, wanted: &Wanted<'_>) -> io::Result<Symbols> {
        let names: std::collections::HashSet<&[u8]> =
            wanted.names.iter().map(|n| n.as_bytes()).collect();
        // Almost no line is wanted: first letter and length tell that without hashing.
        let mut lengths = [0u128; 256];
        for name in names.iter().filter(|n| !n.is_empty()) {
            lengths[usize::from(name[0])] |= 1 << name.len().min(127);
        }
        let named = |name: &[u8]| {
            let first = name.first().map_or(0, |b| lengths[usize::from(*b)]);
            first >> name.len().min(127) & 1 == 1 && names.contains(name)
        };
        let mut found = Symbols {
            hidden: true,
            ..Symbols::default()
        };
        let mut line = Vec::with_capacity(256);
        loop {
            line.clear();
            if text.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some((address, kind, name, module)) = parse(&line) else {
                continue;
            };
            found.hidden &= address == 0;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if !module.is_empty() {
                if module == wanted.module.as_bytes() {
                    found.module.push(Symbol {
                        address,
                        kind,
                        name: text(name),
                    });
                }
                if named(name) {
                    found.others.insert(text(name), (text(module), address));
                }
                if wanted.everything {
                    let name = format!("{} [{}]", text(name), text(module));
                    found.all.push(Symbol {
                        address,
                        kind,
                        name,
                    });
                }
                continue;
            }
            if named(name) {
                found
                    .kernel
                    .entry(text(name))
                    .or_default()
                    .push((address, kind));
            }
            if wanted.everything {
                found.all.push(Symbol {
                    address,
                    kind,
                    name: text(name),
                });
            }
        }
        found.module.sort_by_key(|s| s.address);
        found.all.sort_by_key(|s| s.address);
        Ok(found)
    }

    /// True when the addresses are withheld (kptr_restrict, or no privilege).
    pub fn hidden(&self) -> bool {
        self.hidden
    }

    /// The address of a symbol of the kernel proper.
    pub fn kernel(&self, name: &str) -> Option<u64> {
        self.kernel
            .get(name)
            .and_then(|found| found.first())
            .map(|(address, _)| *address)
    }

    /// All symbols of this name in the kernel proper: address and kind.
    pub fn kernel_all(&self, name: &str) -> &[(u64, u8)] {
        self.kernel.get(name).map_or(&[], Vec::as_slice)
    }

    /// The address of a symbol of the kernel or of any module.
    pub fn anywhere(&self, name: &str) -> Option<u64> {
        self.kernel(name)
            .or_else(|| self.others.get(name).map(|(_, address)| *address))
    }

    /// All symbols of the module, by address.
    pub fn of_module(&self) -> &[Symbol] {
        &self.module
    }

    /// The module's symbol that covers an address, as `name+0x10`.
    pub fn in_module(&self, address: u64) -> Option<String> {
        cover(&self.module, address)
    }

    /// The symbol that covers an address, when all were kept: `name+0x10`, in a module
    /// `name+0x10 [module]`.
    pub fn in_kernel(&self, address: u64) -> Option<String> {
        cover(&self.all, address)
    }

    /// All the kernel's symbols, by address, when they were kept.
    pub fn everything(&self) -> &[Symbol] {
        &self.all
    }
}

fn cover(sorted: &[Symbol], address: u64) -> Option<String> {
    let after = sorted.partition_point(|s| s.address <= address);
    let last = sorted.get(after.checked_sub(1)?)?;
    // Of several names for one place, one that a person has given.
    let twins = sorted[..after]
        .iter()
        .rev()
        .take_while(|s| s.address == last.address);
    let symbol = twins
        .min_by_key(|s| s.name.starts_with("__"))
        .unwrap_or(last);
    let offset = address - symbol.address;
    if offset == 0 {
        return Some(symbol.name.clone());
    }
    Some(match symbol.name.split_once(' ') {
        Some((name, module)) => format!("{name}+{offset:#x} {module}"),
        None => format!("{}+{offset:#x}", symbol.name),
    })
}

/// `ffffffff81000000 T name\t[module]`.
fn parse(line: &[u8]) -> Option<(u64, u8, &[u8], &[u8])> {
    let mut address: u64 = 0;
    let mut at = 0;
    while let Some(digit) = line.get(at).and_then(|b| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    }) {
        address = address.checked_mul(16)? | u64::from(digit);
        at += 1;
    }
    if at == 0 || line.get(at) != Some(&b' ') || line.get(at + 2) != Some(&b' ') {
        return None;
    }
    let kind = line[at + 1];
    let rest = line.get(at + 3..)?.trim_ascii_end();
    match rest.iter().position(|b| *b == b'\t') {
        None => Some((address, kind, rest, b"")),
        Some(tab) => {
            let module = rest[tab + 1..].strip_prefix(b"[")?.strip_suffix(b"]")?;
            Some((address, kind, &rest[..tab], module))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000000 T _text\n\
        ffffffff81000100 t twin\nffffffff81000200 t twin\n\
        ffffffff82000000 D modules\nnonsense\n\
        ffffffffc0000010 t work\t[mine]\nffffffffc0000000 t start\t[mine]\n\
        ffffffffc1000000 d _targets\t[dm_mod]\n";

    fn load(names: &[&str], everything: bool) -> Symbols {
        let wanted = Wanted {
            names,
            module: "mine",
            everything,
        };
        Symbols::read(TEXT.as_bytes(), &wanted).expect("reads from memory")
    }

    #[test]
    fn keeps_what_was_asked_for() {
        let symbols = load(&["modules", "twin", "_targets"], false);
        assert_eq!(symbols.kernel("modules"), Some(0xffff_ffff_8200_0000));
        assert_eq!(symbols.kernel("_text"), None);
        assert_eq!(symbols.kernel_all("twin").len(), 2);
        assert_eq!(symbols.anywhere("_targets"), Some(0xffff_ffff_c100_0000));
        assert_eq!(
            symbols.in_module(0xffff_ffff_c000_0014).as_deref(),
            Some("work+0x4")
        );
        assert_eq!(symbols.in_module(0), None);
        assert!(!symbols.hidden());
    }

    #[test]
    fn names_an_address_of_the_kernel() {
        let symbols = load(&[], true);
        assert_eq!(
            symbols.in_kernel(0xffff_ffff_8100_0208).as_deref(),
            Some("twin+0x8")
        );
        let inside = symbols.in_kernel(0xffff_ffff_c000_0014);
        assert_eq!(inside.as_deref(), Some("work+0x4 [mine]"));
    }

    #[test]
    fn withheld_addresses_are_noticed() {
        let wanted = Wanted {
            names: &[],
            module: "",
            everything: false,
        };
        let symbols = Symbols::read(&b"0000000000000000 T _text\n"[..], &wanted).expect("reads");
        assert!(symbols.hidden());
    }
}
