//! Clean-up calls: `function(argument, …)`, names resolved in the running kernel. A name
//! that cannot be resolved refuses the whole: a skipped call would leave a pointer behind.

use std::fmt;

use crate::rescue::image::{Argument, Call};
use crate::symbols::Symbols;

/// An argument as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A number.
    Number(u64),
    /// `[*]symbol[+offset]`: the symbol's address, or with `*` what is found there.
    Symbol {
        /// Take the word that is found at the symbol.
        indirect: bool,
        /// The symbol.
        name: String,
        /// Added to the result.
        offset: u64,
    },
}

/// A call as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// The function.
    pub function: String,
    /// Up to four arguments.
    pub arguments: Vec<Written>,
}

impl fmt::Display for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function, arguments.join(", "))
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Written::Number(n) => write!(f, "{n}"),
            Written::Symbol {
                indirect,
                name,
                offset,
            } => {
                let star = if *indirect { "*" } else { "" };
                match offset {
                    0 => write!(f, "{star}{name}"),
                    n => write!(f, "{star}{name}+{n}"),
                }
            }
        }
    }
}

impl Cleanup {
    /// Reads `function(argument, …)`.
    ///
    /// # Errors
    /// In words: what cannot be understood.
    pub fn parse(text: &str) -> Result<Cleanup, String> {
        let bad = || format!("{text:?} is no call: write function(symbol), function(*symbol)");
        let (function, rest) = text.trim().split_once('(').ok_or_else(bad)?;
        let inner = rest.trim_end().strip_suffix(')').ok_or_else(bad)?;
        if !is_name(function.trim()) {
            return Err(bad());
        }
        let arguments = inner
            .split(',')
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(|a| argument(a).ok_or_else(bad))
            .collect::<Result<Vec<_>, _>>()?;
        if arguments.len() > 4 {
            return Err(format!("{text:?} has more than four arguments"));
        }
        Ok(Cleanup {
            function: function.trim().into(),
            arguments,
        })
    }

    /// The names that must be resolved.
    pub fn names(&self) -> Vec<&str> {
        let mut names = vec![self.function.as_str()];
        for argument in &self.arguments {
            if let Written::Symbol { name, .. } = argument {
                names.push(name);
            }
        }
        names
    }

    /// Finds the addresses. Functions are the kernel's own or the module's; data is looked
    /// for in the module first.
    ///
    /// # Errors
    /// In words: which name is unknown, ambiguous, or not what it is used as.
    pub fn resolve(&self, symbols: &Symbols, module: &str) -> Result<Call, String> {
        let mut call = Call {
            function: function(symbols, &self.function, module)?,
            ..Call::default()
        };
        for (slot, written) in call.arguments.iter_mut().zip(&self.arguments) {
            *slot = match written {
                Written::Number(n) => Argument {
                    base: *n,
                    ..Argument::default()
                },
                Written::Symbol {
                    indirect,
                    name,
                    offset,
                } => {
                    let base = data(symbols, name, module)?;
                    if *indirect {
                        Argument {
                            indirect: true,
                            base,
                            addend: *offset,
                        }
                    } else {
                        Argument {
                            base: base.wrapping_add(*offset),
                            ..Argument::default()
                        }
                    }
                }
            };
        }
        Ok(call)
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b == b'.' || b.is_ascii_alphanumeric())
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn argument(text: &str) -> Option<Written> {
    if let Some(number) = number(text) {
        return Some(Written::Number(number));
    }
    let (indirect, rest) = match text.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('&').unwrap_or(text)),
    };
    let (name, offset) = match rest.split_once('+') {
        Some((name, offset)) => (name.trim(), number(offset.trim())?),
        None => (rest.trim(), 0),
    };
    is_name(name).then(|| Written::Symbol {
        indirect,
        name: name.into(),
        offset,
    })
}

fn is_text(kind: u8) -> bool {
    matches!(kind, b't' | b'T' | b'w' | b'W')
}

fn function(symbols: &Symbols, name: &str, module: &str) -> Result<u64, String> {
    let own = of_module(symbols, name, is_text);
    let kernel: Vec<u64> = symbols
        .kernel_all(name)
        .iter()
        .filter(|(_, k)| is_text(*k))
        .map(|(a, _)| *a)
        .collect();
    match (kernel.as_slice(), own.as_slice()) {
        ([one], []) | ([], [one]) => Ok(*one),
        ([], []) => Err(format!(
            "there is no function {name} in the kernel or in {module}: inline here, or \
             renamed? Nothing is done, since a call left out would leave a pointer behind"
        )),
        _ => Err(format!(
            "there is more than one function {name}: it is not clear which is meant"
        )),
    }
}

fn data(symbols: &Symbols, name: &str, module: &str) -> Result<u64, String> {
    let own = of_module(symbols, name, |_| true);
    let kernel: Vec<u64> = symbols.kernel_all(name).iter().map(|(a, _)| *a).collect();
    match (own.as_slice(), kernel.as_slice()) {
        ([one], _) | ([], [one]) => Ok(*one),
        ([], []) => Err(format!(
            "there is no symbol {name} in {module} or in the kernel"
        )),
        _ => Err(format!(
            "there is more than one symbol {name}: it is not clear which is meant"
        )),
    }
}

fn of_module(symbols: &Symbols, name: &str, kind: impl Fn(u8) -> bool) -> Vec<u64> {
    symbols
        .of_module()
        .iter()
        .filter(|s| s.name == name && kind(s.kind))
        .map(|s| s.address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::Wanted;

    const TEXT: &str = "ffffffff81000000 T platform_device_unregister\n\
        ffffffff81000100 t twin\nffffffff81000200 t twin\n\
        ffffffffc0000000 b vms_dev\t[vms]\nffffffffc0000100 t helper\t[vms]\n";

    fn symbols() -> Symbols {
        let names = ["platform_device_unregister", "twin", "vms_dev"];
        let wanted = Wanted {
            names: &names,
            module: "vms",
            everything: false,
        };
        Symbols::read(TEXT.as_bytes(), &wanted).expect("reads")
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in [
            "platform_device_unregister(*vms_dev)",
            "f(a, *b+16, 7)",
            "f()",
        ] {
            assert_eq!(Cleanup::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Cleanup::parse("f(&a)"), Cleanup::parse("f(a)"));
        for text in [
            "",
            "f",
            "f(",
            "f(a",
            "1f(a)",
            "f(a b)",
            "f(*)",
            "f(1,2,3,4,5)",
            "f(a+b)",
        ] {
            assert!(Cleanup::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_resolved_or_the_call_is_refused() {
        let resolve = |text| Cleanup::parse(text).and_then(|c| c.resolve(&symbols(), "vms"));
        let call = resolve("platform_device_unregister(*vms_dev)").expect("known");
        assert_eq!(call.function, 0xffff_ffff_8100_0000);
        let first = Argument {
            indirect: true,
            base: 0xffff_ffff_c000_0000,
            addend: 0,
        };
        assert_eq!(call.arguments[0], first);
        assert_eq!(resolve("helper(3)").expect("own").arguments[0].base, 3);
        assert!(resolve("twin()").is_err());
        assert!(resolve("missing(*vms_dev)").is_err());
        assert!(resolve("helper(*missing)").is_err());
        assert!(resolve("vms_dev()").is_err(), "data is no function");
    }
}
