//! Broken copies of a good module, one for each check that a load makes on the file, for the
//! scripts of raw system calls. Offsets are found in the file itself, so any module serves.

use std::fs;
use std::path::Path;

type Error = Box<dyn std::error::Error>;

const ELF_HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
/// An entry of `__versions`: an 8-byte CRC and a name.
const VERSION: usize = 64;

/// A little-endian 64-bit object, to be damaged.
#[derive(Clone)]
struct Object {
    bytes: Vec<u8>,
}

impl Object {
    fn get(&self, at: usize, size: usize) -> Result<usize, Error> {
        let bytes = self
            .bytes
            .get(at..at + size)
            .ok_or("the file is too short")?;
        Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    fn put(&mut self, at: usize, size: usize, value: u64) -> Result<(), Error> {
        let place = self
            .bytes
            .get_mut(at..at + size)
            .ok_or("the file is too short")?;
        place.copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }

    fn sections(&self) -> Result<usize, Error> {
        self.get(0x3c, 2)
    }

    /// Where the header of a section is.
    fn header(&self, index: usize) -> Result<usize, Error> {
        Ok(self.get(0x28, 8)? + index * SECTION_HEADER)
    }

    /// Where a section's bytes are, and how many.
    fn extent(&self, index: usize) -> Result<(usize, usize), Error> {
        let header = self.header(index)?;
        Ok((self.get(header + 0x18, 8)?, self.get(header + 0x20, 8)?))
    }

    fn name(&self, index: usize) -> Result<&[u8], Error> {
        let (strings, _) = self.extent(self.get(0x3e, 2)?)?;
        let start = strings + self.get(self.header(index)?, 4)?;
        let rest = self.bytes.get(start..).ok_or("a name outside the file")?;
        Ok(rest.split(|b| *b == 0).next().unwrap_or(rest))
    }

    fn section(&self, name: &str) -> Result<usize, Error> {
        for index in 1..self.sections()? {
            if self.name(index)? == name.as_bytes() {
                return Ok(index);
            }
        }
        Err(format!("no section {name}").into())
    }

    fn of_type(&self, wanted: usize) -> Result<usize, Error> {
        for index in 1..self.sections()? {
            if self.get(self.header(index)? + 4, 4)? == wanted {
                return Ok(index);
            }
        }
        Err(format!("no section of type {wanted}").into())
    }

    /// Overwrites the first `old` inside a section by `new`, which has the same length.
    fn replace(&mut self, section: usize, old: &str, new: &str) -> Result<(), Error> {
        let (start, size) = self.extent(section)?;
        let bytes = &mut self.bytes[start..start + size];
        let at = bytes
            .windows(old.len())
            .position(|w| w == old.as_bytes())
            .ok_or_else(|| format!("no {old} in the section"))?;
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        Ok(())
    }

    /// The entry of `__versions` for a symbol.
    fn version(&self, symbol: &str) -> Result<usize, Error> {
        let (start, size) = self.extent(self.section("__versions")?)?;
        let wanted = [symbol.as_bytes(), &[0]].concat();
        (start..start + size)
            .step_by(VERSION)
            .find(|at| self.bytes[at + 8..].starts_with(&wanted))
            .ok_or_else(|| format!("no version of {symbol}").into())
    }
}

const SHT_SYMTAB: usize = 2;

/// A way to break a file.
type Damage = fn(&mut Object) -> Result<(), Error>;

/// Each broken file and how it is made.
const DAMAGES: &[(&str, Damage)] = &[
    ("empty", |o| {
        o.bytes.clear();
        Ok(())
    }),
    ("short", |o| {
        o.bytes.truncate(ELF_HEADER - 1);
        Ok(())
    }),
    ("half", |o| {
        o.bytes.truncate(o.bytes.len() / 2);
        Ok(())
    }),
    ("text-file", |o| {
        o.bytes =
            b"this is no module, but it is long enough to hold a header of sixty-four bytes\n"
                .to_vec();
        Ok(())
    }),
    ("bad-magic", |o| o.put(1, 1, 0x65)),
    ("class-32", |o| o.put(4, 1, 1)),
    ("big-endian", |o| o.put(5, 1, 2)),
    ("executable", |o| o.put(0x10, 2, 2)),
    ("other-machine", |o| o.put(0x12, 2, 183)),
    ("shentsize", |o| o.put(0x3a, 2, 40)),
    ("shoff-at-end", |o| o.put(0x28, 8, o.bytes.len() as u64)),
    ("shnum-huge", |o| o.put(0x3c, 2, 0xfff0)),
    ("shstrndx-none", |o| o.put(0x3e, 2, 0)),
    ("shstrndx-past", |o| o.put(0x3e, 2, o.sections()? as u64)),
    ("shstrtab-outside", |o| {
        let names = o.header(o.get(0x3e, 2)?)?;
        o.put(names + 0x18, 8, 1 << 40)
    }),
    ("shstrtab-empty", |o| {
        let names = o.header(o.get(0x3e, 2)?)?;
        o.put(names + 0x20, 8, 0)
    }),
    ("shstrtab-open", |o| {
        let (start, size) = o.extent(o.get(0x3e, 2)?)?;
        o.put(start + size - 1, 1, b'x'.into())
    }),
    ("section-zero", |o| o.put(o.header(0)? + 4, 4, 1)),
    ("section-outside", |o| {
        let text = o.header(o.section(".modinfo")?)?;
        o.put(text + 0x18, 8, 1 << 33)
    }),
    ("section-wraps", |o| {
        let text = o.header(o.section(".modinfo")?)?;
        o.put(text + 0x20, 8, u64::MAX - 16)
    }),
    ("section-name", |o| {
        let text = o.header(o.section(".modinfo")?)?;
        o.put(text, 4, 0xfff_ffff)
    }),
    ("symtab-link", |o| {
        let symbols = o.header(o.of_type(SHT_SYMTAB)?)?;
        o.put(symbols + 0x28, 4, 0xffff)
    }),
    ("no-symtab", |o| {
        let symbols = o.header(o.of_type(SHT_SYMTAB)?)?;
        o.put(symbols + 4, 4, 1)
    }),
    ("no-this-module", |o| {
        o.replace(
            o.get(0x3e, 2)?,
            ".gnu.linkonce.this_module",
            ".gnu.linkonce.that_module",
        )
    }),
    ("write-exec", |o| {
        // .text or .init.text: whichever code there is.
        let text = o.header(o.section(".text").or_else(|_| o.section(".init.text"))?)?;
        o.put(text + 8, 8, 7)
    }),
    ("vermagic-other", |o| {
        o.replace(o.section(".modinfo")?, " mod_unload ", " mod_reload ")
    }),
    ("vermagic-release", |o| {
        o.replace(o.section(".modinfo")?, "vermagic=6", "vermagic=7")
    }),
    ("vermagic-none", |o| {
        o.replace(o.section(".modinfo")?, "vermagic=", "vermagix=")
    }),
    ("license-none", |o| {
        o.replace(o.section(".modinfo")?, "license=", "licensf=")
    }),
    ("license-other", |o| {
        o.replace(o.section(".modinfo")?, "license=GPL", "license=BSD")
    }),
    ("not-retpoline", |o| {
        o.replace(o.section(".modinfo")?, "retpoline=", "retpolinf=")
    }),
    ("crc-other", |o| {
        let at = o.version("_printk")?;
        o.put(at, 8, 0x1234_5678)
    }),
    ("crc-none", |o| {
        let at = o.version("_printk")?;
        o.put(at + 8, 1, b'X'.into())
    }),
    ("layout-crc", |o| {
        let at = o.version("module_layout")?;
        o.put(at, 8, 0x1234_5678)
    }),
    ("unknown-symbol", |o| {
        let strings = o.get(o.header(o.of_type(SHT_SYMTAB)?)? + 0x28, 4)?;
        o.replace(strings, "\0_printk\0", "\0_prinXX\0")
    }),
    ("common-symbol", |o| undefined(o, 0xfff2)),
    ("symbol-section", |o| undefined(o, 0x7000)),
    ("relocation-type", |o| {
        let (start, _) = o.extent(
            o.section(".rela.init.text")
                .or_else(|_| o.section(".rela.text"))?,
        )?;
        o.put(start + 8, 4, 99)
    }),
    ("relocation-nonzero", |o| {
        // The place of the first relocation of the code is no longer zero.
        let (start, _) = o.extent(
            o.section(".rela.init.text")
                .or_else(|_| o.section(".rela.text"))?,
        )?;
        let (code, _) = o.extent(o.section(".init.text").or_else(|_| o.section(".text"))?)?;
        o.put(code + o.get(start, 8)?, 4, 0x1111)
    }),
    ("signature-mark", |o| {
        o.bytes.extend_from_slice(b"~Module signature appended~\n");
        Ok(())
    }),
    ("signature-garbage", |o| {
        // A descriptor that says PKCS#7 and eight bytes, which are none.
        o.bytes.extend_from_slice(b"\x30\x06garbage");
        o.bytes.truncate(o.bytes.len() - 1);
        o.bytes
            .extend_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
        o.bytes.extend_from_slice(b"~Module signature appended~\n");
        Ok(())
    }),
    ("signature-id", |o| {
        o.bytes.extend_from_slice(&[0; 8]);
        o.bytes
            .extend_from_slice(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
        o.bytes.extend_from_slice(b"~Module signature appended~\n");
        Ok(())
    }),
];

/// Gives the first undefined symbol another section index.
fn undefined(o: &mut Object, index: u64) -> Result<(), Error> {
    let (start, size) = o.extent(o.of_type(SHT_SYMTAB)?)?;
    for at in (start + SYMBOL..start + size).step_by(SYMBOL) {
        if o.get(at + 6, 2)? == 0 {
            return o.put(at + 6, 2, index);
        }
    }
    Err("no undefined symbol".into())
}

/// Writes a copy of `good` whose `struct module` is larger than it says elsewhere: one that
/// was built for a kernel with other structures.
pub fn other_struct(good: &Path, out: &Path) -> Result<(), Error> {
    let mut object = Object {
        bytes: fs::read(good).map_err(|e| format!("{}: {e}", good.display()))?,
    };
    let header = object.header(object.section(".gnu.linkonce.this_module")?)?;
    let size = object.get(header + 0x20, 8)? as u64;
    object.put(header + 0x20, 8, size + 64)?;
    fs::write(out, &object.bytes)?;
    Ok(())
}

/// Writes the broken copies of `good` into a directory, as `NAME.ko`.
pub fn write_all(good: &Path, dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir)?;
    let object = Object {
        bytes: fs::read(good).map_err(|e| format!("{}: {e}", good.display()))?,
    };
    for (name, damage) in DAMAGES {
        let mut copy = object.clone();
        damage(&mut copy).map_err(|e| format!("{name}: {e}"))?;
        fs::write(dir.join(format!("{name}.ko")), &copy.bytes)?;
    }
    Ok(())
}
