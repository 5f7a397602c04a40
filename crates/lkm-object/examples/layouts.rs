//! Writes a built-in layout table from a kernel image: `cargo run -p lkm-object --example layouts -- IMAGE`.
//!
//! Output goes to standard output; the table's place is
//! `crates/lkm-object/src/builtin/`. Only sizes and offsets are taken from the
//! image: facts, no code. The format is described in `src/builtin/mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use lkm_object::btf::{Kind, Type};
use lkm_object::{Btf, vmlinux};

/// The structs a life of a module touches; what they hold by value comes along.
const WANTED: &str = include_str!("layouts.list");

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: layouts IMAGE");
        return ExitCode::from(2);
    };
    let read = || -> Result<(Btf, String), Box<dyn std::error::Error>> {
        let raw = std::fs::read(&path)?;
        let release = vmlinux::release(&raw).ok_or("no release in the image")?;
        Ok((Btf::parse(vmlinux::btf_bytes(&raw)?)?, release.to_owned()))
    };
    match read() {
        Ok((btf, release)) => {
            print!("{}", Table::new(&btf).text(&release));
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("layouts: {path}: {e}");
            ExitCode::FAILURE
        }
    }
}

struct Table<'b> {
    btf: &'b Btf,
    /// Struct name to its lines.
    structs: BTreeMap<String, String>,
    /// Typedef to the struct it stands for.
    aliases: BTreeMap<String, String>,
    todo: Vec<(String, u32)>,
    seen: BTreeSet<String>,
}

impl<'b> Table<'b> {
    fn new(btf: &'b Btf) -> Table<'b> {
        let mut table = Table {
            btf,
            structs: BTreeMap::new(),
            aliases: BTreeMap::new(),
            todo: Vec::new(),
            seen: BTreeSet::new(),
        };
        for name in WANTED.lines().filter(|l| !l.starts_with('#')) {
            match btf.composite(name) {
                Some(t) => {
                    let inner = table.want(name, &t);
                    if inner != name {
                        table.aliases.insert(name.to_owned(), inner);
                    }
                }
                None => eprintln!("layouts: this kernel has no {name}"),
            }
        }
        while let Some((name, id)) = table.todo.pop() {
            table.describe(&name, id);
        }
        table
    }

    /// Asks for a struct, and answers the name it goes by: its own, or `fallback`.
    fn want(&mut self, fallback: &str, t: &Type<'_>) -> String {
        let name = if t.name.is_empty() { fallback } else { t.name };
        if self.seen.insert(name.to_owned()) {
            self.todo.push((name.to_owned(), t.id));
        }
        name.to_owned()
    }

    fn describe(&mut self, name: &str, id: u32) {
        let Some(t) = self.btf.get(id) else { return };
        let mut lines = format!("{name} {}\n", self.btf.size_of(id).unwrap_or(0));
        self.members(name, &t, 0, &mut lines);
        self.structs.insert(name.to_owned(), lines);
    }

    fn members(&mut self, outer: &str, t: &Type<'_>, base: u32, lines: &mut String) {
        for m in t.members() {
            let at = base + m.bit_offset;
            let Some(inner) = self.btf.strip(m.type_id) else {
                continue;
            };
            if m.name.is_empty() {
                self.members(outer, &inner, at, lines);
                continue;
            }
            if m.bits != 0 || !at.is_multiple_of(8) {
                continue;
            }
            let size = self.btf.size_of(m.type_id).unwrap_or(0);
            let _ = write!(lines, " {} {} {size}", m.name, at / 8);
            let (mut element, mut count) = (inner, 1u64);
            while let Some((of, n)) = element.array() {
                count *= u64::from(n);
                let Some(of) = self.btf.strip(of) else { break };
                element = of;
            }
            if inner.kind == Kind::Array {
                let _ = write!(lines, " x{count}");
            }
            if matches!(element.kind, Kind::Struct | Kind::Union) {
                // A typedef of an anonymous struct is known by the typedef's name.
                let fallback = self
                    .typedef_name(m.type_id)
                    .unwrap_or_else(|| format!("{outer}.{}", m.name));
                let _ = write!(lines, " {}", self.want(&fallback, &element));
            }
            lines.push('\n');
        }
    }

    /// Name of the last typedef before the struct itself.
    fn typedef_name(&self, mut id: u32) -> Option<String> {
        let mut name = None;
        loop {
            let t = self.btf.get(id)?;
            match t.kind {
                Kind::Typedef => {
                    name = Some(t.name.to_owned());
                    id = t.size_or_type;
                }
                Kind::Array => id = t.array()?.0,
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    id = t.size_or_type;
                }
                _ => return name,
            }
        }
    }

    fn text(&self, release: &str) -> String {
        let mut out = format!(
            "# {release}\n# Written by: cargo run -p lkm-object --example layouts -- IMAGE. Do not edit.\n"
        );
        for (alias, name) in &self.aliases {
            let _ = writeln!(out, "={alias} {name}");
        }
        for lines in self.structs.values() {
            out.push_str(lines);
        }
        out
    }
}
