//! Whose structure layouts a rehearsal uses, and whose symbol versions: those of a kernel image, of the built-in tables
//! where the module is of that stock kernel, or of the module's own debug information.
//!
//! An image takes long to unpack, so what the lab asked of it is kept in the user's cache directory, by the identity of
//! the file.

use lkm_kernel::layout::Types;
use lkm_object::builtin::builtin;
use lkm_object::elf::Elf;
use lkm_object::kernel_types::KernelTypes;
use lkm_object::module::ModuleFile;
use lkm_object::{Btf, symvers, vmlinux};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// CRCs of a kernel's exports.
pub(crate) type Crcs = Rc<BTreeMap<String, u32>>;

/// Answers about C types, and where they are from.
pub(crate) struct Layouts {
    types: Box<dyn Types>,
    /// What a report says of them.
    pub told: String,
    /// What distinguishes them in a replay token.
    pub identity: String,
    /// CRCs of the same kernel.
    pub crcs: Option<Crcs>,
    /// The kernel's release, where an image was asked for.
    pub release: Option<String>,
}

impl Types for Layouts {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.types.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.types.offset_of(name, path)
    }
}

/// Types of lkm-object as the kernel asks for them; what the first does not know, the second tells.
struct Pair<A, B>(A, B);

impl<A: lkm_object::Types, B: lkm_object::Types> Types for Pair<A, B> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.0
            .struct_size(name)
            .or_else(|| self.1.struct_size(name))
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        // Offsets of two kernels are never mixed within one structure.
        match self.0.struct_size(name) {
            Some(_) => self.0.offset_of(name, path),
            None => self.1.offset_of(name, path),
        }
    }
}

/// Nothing is known.
struct Nothing;

impl lkm_object::Types for Nothing {
    fn struct_size(&self, _: &str) -> Option<u64> {
        None
    }
    fn offset_of(&self, _: &str, _: &str) -> Option<u64> {
        None
    }
    fn size_of_member(&self, _: &str, _: &str) -> Option<u64> {
        None
    }
}

/// A table's types by reference.
struct Table(&'static lkm_object::builtin::Builtin);

impl lkm_object::Types for Table {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.0.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.0.offset_of(name, path)
    }
    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.0.size_of_member(name, path)
    }
}

/// The built-in layouts that come nearest to a release.
pub(crate) fn nearest(release: &str, profile: &str) -> Result<Layouts, String> {
    let table = builtin(release)
        .or_else(|| builtin(profile))
        .or_else(|| builtin("6.1"))
        .ok_or_else(|| format!("no layouts for kernel {release}"))?;
    Ok(Layouts {
        types: Box::new(Pair(Table(table), Nothing)),
        told: format!("built-in, of {}", table.release()),
        identity: format!("builtin {}", table.release()),
        crcs: None,
        release: None,
    })
}

/// Layouts for a module: of `image` when one is given, otherwise the best that is at hand.
pub(crate) fn choose(
    file: &[u8],
    release: &str,
    profile: &str,
    image: Option<&Path>,
) -> Result<Layouts, String> {
    if let Some(image) = image {
        return of_image(image);
    }
    let Ok(module) = ModuleFile::parse(file) else {
        // The kernel refuses it in its own words.
        return nearest(release, profile);
    };
    let fits = |types: &dyn lkm_object::Types| {
        types.struct_size("module") == Some(module.this_module.size)
    };
    if is_stock(release) && builtin(release).is_some_and(|b| fits(b)) {
        return nearest(release, profile);
    }
    if let Some(image) = images(release).into_iter().find(|p| p.exists()) {
        // One that cannot be read is as good as none: it was not asked for.
        if let Ok(found) = of_image(&image)
            && found.types.struct_size("module") == Some(module.this_module.size)
        {
            return Ok(Layouts {
                // Only an image that was asked for decides about versions.
                crcs: None,
                release: None,
                ..found
            });
        }
    }
    let own = KernelTypes::for_module(&module, None);
    if own.builtin().is_some() {
        return nearest(release, profile);
    }
    if own.dwarf().is_some_and(|d| fits(d)) {
        return Ok(of_module(&module, file, release, profile));
    }
    if builtin(release).is_some() {
        // Of a kernel like the table's: its check of struct module tells what is wrong.
        return nearest(release, profile);
    }
    Err(format!(
        "no layouts for kernel {release}: the module has no debug information, and no image of the kernel was found; give --vmlinux IMAGE"
    ))
}

/// The module's own debug information, asked now for what the lab asks; what the module knows nothing of it cannot
/// touch, and a built-in table answers.
fn of_module(module: &ModuleFile<'_>, file: &[u8], release: &str, profile: &str) -> Layouts {
    let own = KernelTypes::for_module(module, None);
    let table = builtin(release)
        .or_else(|| builtin(profile))
        .or_else(|| builtin("6.1"));
    let answers = match table {
        Some(table) => answers_of(&Pair(own, Table(table))),
        None => answers_of(&Pair(own, Nothing)),
    };
    Layouts {
        types: Box::new(answers),
        told: "debug information of the module".to_owned(),
        identity: format!("module {:x}", digest(file)),
        crcs: None,
        release: None,
    }
}

/// A stock Debian kernel's release (`6.1.0-1-amd64`): its layouts are the table's. Other flavours have others.
fn is_stock(release: &str) -> bool {
    let mut parts = release.split('-');
    let version = parts.next().unwrap_or("");
    let rest: Vec<&str> = parts.collect();
    let Some((flavour, abi)) = rest.split_last() else {
        return false;
    };
    version.starts_with(|c: char| c.is_ascii_digit())
        && *flavour == "amd64"
        && abi
            .iter()
            .all(|p| p.starts_with(|c: char| c.is_ascii_digit()))
}

/// Where an image of a release may be.
fn images(release: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if running.trim() == release {
        paths.push("/sys/kernel/btf/vmlinux".into());
    }
    for (dir, name) in [("/boot/vmlinuz-", ""), ("/lib/modules/", "/vmlinuz")] {
        paths.push(format!("{dir}{release}{name}").into());
    }
    paths
}

/// Answers that were asked for once, in an order that repeats.
#[derive(Default)]
struct Answers {
    sizes: HashMap<String, Option<u64>>,
    offsets: HashMap<String, Option<u64>>,
}

impl Types for Answers {
    fn struct_size(&self, name: &str) -> Option<u64> {
        *self.sizes.get(name)?
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        *self.offsets.get(&format!("{name} {path}"))?
    }
}

/// Notes what is asked.
struct Asking<'a> {
    of: &'a dyn Types,
    heard: RefCell<Answers>,
}

impl Types for Asking<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        let answer = self.of.struct_size(name);
        self.heard.borrow_mut().sizes.insert(name.into(), answer);
        answer
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        let answer = self.of.offset_of(name, path);
        let key = format!("{name} {path}");
        self.heard.borrow_mut().offsets.insert(key, answer);
        answer
    }
}

/// Everything that the lab asks of types, asked now.
fn answers_of(types: &dyn Types) -> Answers {
    let asking = Asking {
        of: types,
        heard: RefCell::default(),
    };
    // What is missing is told when the lab boots.
    let _ = lkm_kernel::layout::Offsets::new(&asking);
    let _ = asking.struct_size("module");
    asking.heard.into_inner()
}

/// What is kept of an image.
struct Kept {
    release: String,
    answers: Answers,
    crcs: BTreeMap<String, u32>,
}

fn of_image(path: &Path) -> Result<Layouts, String> {
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let about = std::fs::metadata(path).map_err(|e| told(&e))?;
    if !about.is_file() {
        return Err(told(&"is no kernel image"));
    }
    let changed = about
        .modified()
        .ok()
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_nanos());
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let identity = format!(
        "{} {} {changed} {}",
        whole.display(),
        about.len(),
        env!("CARGO_PKG_VERSION")
    );
    let cache =
        cache_dir().map(|dir| dir.join(format!("image-{:016x}", digest(identity.as_bytes()))));
    let kept = cache
        .as_deref()
        .and_then(|file| std::fs::read_to_string(file).ok())
        .and_then(|text| read_kept(&text, &identity));
    let kept = match kept {
        Some(kept) => kept,
        None => {
            const MAX: u64 = 2 << 30;
            if about.len() > MAX {
                return Err(told(&"is too large for a kernel image"));
            }
            let bytes = std::fs::read(path).map_err(|e| told(&e))?;
            let kept = unpack(&bytes).map_err(|e| told(&e))?;
            if let Some(file) = &cache {
                keep(file, &write_kept(&kept, &identity));
            }
            kept
        }
    };
    Ok(Layouts {
        types: Box::new(kept.answers),
        told: format!("BTF of {}", path.display()),
        identity,
        crcs: (!kept.crcs.is_empty()).then(|| Rc::new(kept.crcs)),
        release: Some(kept.release).filter(|r| !r.is_empty()),
    })
}

/// Takes everything that the lab wants out of an image.
fn unpack(bytes: &[u8]) -> Result<Kept, String> {
    let release = vmlinux::release(bytes).unwrap_or("").to_owned();
    let mut crcs = BTreeMap::new();
    let btf = if bytes.starts_with(&[0x9f, 0xeb]) {
        Btf::parse(bytes)
    } else {
        let image = vmlinux::vmlinux(bytes).map_err(|e| e.to_string())?;
        let elf = Elf::parse(&image).map_err(|e| e.to_string())?;
        for export in vmlinux::exports(&elf) {
            if let Some(crc) = export.crc {
                crcs.insert(export.name.to_owned(), crc);
            }
        }
        let section = elf.section(".BTF").ok_or("has no BTF")?;
        Btf::parse(section.data)
    };
    let btf = Arc::new(btf.map_err(|e| e.to_string())?);
    Ok(Kept {
        release,
        answers: answers_of(&Pair(Shared(btf), Nothing)),
        crcs,
    })
}

/// BTF that is held.
struct Shared(Arc<Btf>);

impl lkm_object::Types for Shared {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.0.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        lkm_object::Types::offset_of(&*self.0, name, path)
    }
    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.0.size_of_member(name, path)
    }
}

/// FNV-1a: tells files apart.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("lkm"))
}

/// Writes a cache file, or does without: another process sees the old file or the new one.
fn keep(file: &Path, text: &str) {
    let Some(dir) = file.parent() else { return };
    if std::fs::create_dir_all(dir).is_ok() {
        let _ = super::save(file, text);
    }
}

/// The first line says what it is of and the last that it is whole; between them a line for each answer.
fn write_kept(kept: &Kept, identity: &str) -> String {
    let mut out = format!("layouts {identity}\n");
    let number = |n: &Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let _ = writeln!(out, "r {}", kept.release);
    for (name, size) in &kept.answers.sizes {
        let _ = writeln!(out, "s {} {name}", number(size));
    }
    for (key, offset) in &kept.answers.offsets {
        let _ = writeln!(out, "o {} {key}", number(offset));
    }
    for (name, crc) in &kept.crcs {
        let _ = writeln!(out, "c {crc} {name}");
    }
    out.push_str("end\n");
    out
}

/// Reads it back; None for another image's, a damaged one, or one of a lkm that asked for less.
fn read_kept(text: &str, identity: &str) -> Option<Kept> {
    let rest = text
        .strip_prefix("layouts ")?
        .strip_prefix(identity)?
        .strip_prefix('\n')?
        .strip_suffix("end\n")?;
    let mut kept = Kept {
        release: String::new(),
        answers: Answers::default(),
        crcs: BTreeMap::new(),
    };
    for line in rest.lines() {
        let (kind, line) = line.split_once(' ')?;
        if kind == "r" {
            kept.release = line.to_owned();
            continue;
        }
        let (number, name) = line.split_once(' ')?;
        let value = match number {
            "-" => None,
            digits => Some(digits.parse::<u64>().ok()?),
        };
        match kind {
            "s" => drop(kept.answers.sizes.insert(name.into(), value)),
            "o" => drop(kept.answers.offsets.insert(name.into(), value)),
            "c" => drop(kept.crcs.insert(name.into(), u32::try_from(value?).ok()?)),
            _ => return None,
        }
    }
    let now = answers_of(&kept.answers);
    let known = now.sizes.keys().all(|k| kept.answers.sizes.contains_key(k))
        && now
            .offsets
            .keys()
            .all(|k| kept.answers.offsets.contains_key(k));
    known.then_some(kept)
}

/// CRCs from a Module.symvers.
pub(crate) fn read_symvers(path: &Path) -> Result<Crcs, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows = symvers::symvers(&text).filter(|e| e.module == "vmlinux");
    Ok(Rc::new(rows.map(|e| (e.name.to_owned(), e.crc)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_kernels_by_their_release() {
        for stock in ["6.1.0-1-amd64", "6.1.0-amd64", "6.12.1+deb12-amd64"] {
            assert!(is_stock(stock), "{stock}");
        }
        for other in [
            "6.1.0",
            "6.1.0-1-rt-amd64",
            "6.1.0-1-cloud-amd64",
            "6.1.0-1-generic",
            "amd64",
            "",
        ] {
            assert!(!is_stock(other), "{other}");
        }
    }

    #[test]
    fn what_is_kept_of_an_image_is_read_back() {
        let nearest = nearest("6.1.0-1-amd64", "6.1").unwrap();
        let kept = Kept {
            release: "6.1.0-1-amd64".into(),
            answers: answers_of(&nearest),
            crcs: BTreeMap::from([("kfree".to_owned(), 7)]),
        };
        let text = write_kept(&kept, "image 1 2");
        let back = read_kept(&text, "image 1 2").unwrap();
        assert_eq!(back.crcs, kept.crcs);
        assert_eq!(back.release, kept.release);
        assert!(back.answers.struct_size("module").is_some());
        assert_eq!(
            back.answers.offset_of("module", "init"),
            nearest.offset_of("module", "init")
        );
        assert!(read_kept(&text, "image 1 3").is_none());
        assert!(read_kept(&text[..text.len() - 5], "image 1 2").is_none());
        // An older lkm asked for one member less.
        let line = text.lines().find(|l| l.contains("module init")).unwrap();
        let less = text.replace(&format!("{line}\n"), "");
        assert!(read_kept(&less, "image 1 2").is_none());
    }
}
