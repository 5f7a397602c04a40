//! `lkm-images DIRECTORY...`: puts every kernel module below the directories together twice, with lkm's own code and
//! with the `kmod-loader` crate, at the same addresses and with the same symbol values, and compares the bytes.
//!
//! The other loader knows nothing of per-CPU templates: a symbol in one is a plain address to it, and is made one for
//! lkm here. It leaves `.note*`, `.modinfo`, `__version*` and empty sections out: these have no address
//! here either, and no bytes of theirs are compared.

#![forbid(unsafe_code)]

use kmod_loader::{KernelModuleHelper, ModuleLoader, SectionMemOps, SectionPerm};
use lkm_object::check::{Keys, Rules, classify_symbol, load_checks};
use lkm_object::image::{Bases, Images};
use lkm_object::{DEFAULT_LIMIT, Layout, ModuleFile, decompress, layout, relocate};
use std::collections::VecDeque;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

const ARENA_SIZE: usize = 48 << 20;
/// Where the other loader writes: zero-initialised data of a program that is linked low.
static ARENA: [AtomicU8; ARENA_SIZE] = [const { AtomicU8::new(0) }; ARENA_SIZE];
/// Addresses for the sections that it asks memory for, in its order.
static WANTED: Mutex<VecDeque<u64>> = Mutex::new(VecDeque::new());

/// Sections that it does not load.
const LEFT_OUT: &[&str] = &[".note", ".modinfo", "__version"];

struct Kernel;

struct Memory(u64);

impl SectionMemOps for Memory {
    fn as_ptr(&self) -> *const u8 {
        self.0 as *const u8
    }
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0 as *mut u8
    }
    fn change_perms(&mut self, _: SectionPerm) -> bool {
        true
    }
}

impl KernelModuleHelper for Kernel {
    fn vmalloc(size: usize) -> Box<dyn SectionMemOps> {
        let next = WANTED.lock().expect("one thread").pop_front();
        let at = next.unwrap_or(0);
        let end = ARENA.as_ptr() as u64 + ARENA_SIZE as u64;
        // It refuses a null pointer: memory that was not foreseen is a difference, never a stray write.
        let fits = at != 0 && at + size as u64 <= end;
        Box::new(Memory(if fits { at } else { 0 }))
    }
    fn resolve_symbol(name: &str) -> Option<usize> {
        Some(value_of(name) as usize)
    }
}

/// A value for a symbol of the kernel's: any low one, different from name to name.
fn value_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    0x4000_0000 + (hash >> 8) % 0x2000_0000
}

/// What became of a module.
enum Outcome {
    Same,
    Different(String),
    /// lkm itself refused it or could not relocate it.
    Refused(String),
}

/// Its bytes by both.
fn compare(data: &[u8]) -> Result<Outcome, String> {
    let module = ModuleFile::parse(data).map_err(|e| e.to_string())?;
    let rules = Rules {
        keys: Keys::All,
        vermagic: Some(module.vermagic),
        module_struct_size: Some(module.this_module.size),
        ..Rules::default()
    };
    let accepted = match load_checks(data, &rules) {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(Outcome::Refused(refusal.to_string())),
    };
    let info = &accepted.info;
    let layout = Layout::new(info, &layout::Config::default()).map_err(|e| e.to_string())?;
    let page = |bytes: u64| bytes.next_multiple_of(4096);
    let core = page(ARENA.as_ptr() as u64);
    let init = core + page(layout.core.size) + 4096;
    let percpu = init + page(layout.init.size) + 4096;
    let bases = Bases {
        core,
        init,
        percpu,
        percpu_offset: percpu,
    };
    let mut ours = Images::new(info, &layout, &bases);
    let skipped = |name: &str| LEFT_OUT.iter().any(|left| name.starts_with(left));
    let mut loaded = Vec::new();
    for (number, section) in info.elf.sections.iter().enumerate() {
        if skipped(section.name) || section.size == 0 {
            ours.places[number] = None;
        } else if section.is_alloc() && section.size != 0 {
            let place = ours.places[number].ok_or(format!("{} is not placed", section.name))?;
            loaded.push((section.name, place, section.size as usize));
        }
    }
    let mut values = vec![0];
    for symbol in info.elf.symbols().skip(1) {
        let place = classify_symbol(info, &symbol).map_err(|r| format!("{r:?}"))?;
        let value = ours.value(&place, symbol.value);
        values.push(value.unwrap_or_else(|| value_of(symbol.name)));
    }
    if let Err(bad) = relocate::apply(&info.elf, info.mod_name, &mut ours, &values) {
        return Ok(Outcome::Refused(bad.messages.join("; ")));
    }
    *WANTED.lock().expect("one thread") = loaded
        .iter()
        .map(|(_, place, _)| place.base + place.offset)
        .collect();
    clear(core, percpu + layout.percpu.map_or(0, |p| p.size));
    let other = ModuleLoader::<Kernel>::new(data)
        .and_then(|loader| loader.load_module(CString::default()))
        .map_err(|e| format!("kmod-loader: {e:?}"))?;
    drop(other);
    for (name, place, size) in loaded {
        let at = place.offset as usize;
        let mine = &ours.buffers[place.which][at..at + size];
        let from = (place.base + place.offset - ARENA.as_ptr() as u64) as usize;
        let theirs = ARENA[from..from + size]
            .iter()
            .map(|b| b.load(Ordering::Relaxed));
        if let Some(byte) = mine.iter().zip(theirs).position(|(a, b)| *a != b) {
            return Ok(Outcome::Different(format!("{name}+{byte:#x}")));
        }
    }
    Ok(Outcome::Same)
}

/// Zeros the part of the arena that a module will have.
fn clear(start: u64, end: u64) {
    let base = ARENA.as_ptr() as u64;
    let last = ((end - base) as usize).min(ARENA_SIZE);
    for byte in &ARENA[(start - base) as usize..last] {
        byte.store(0, Ordering::Relaxed);
    }
}

fn modules(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            modules(&path, found);
        } else if [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
            .iter()
            .any(|e| name.ends_with(e))
        {
            found.push(path);
        }
    }
}

fn main() -> ExitCode {
    let mut found = Vec::new();
    for dir in std::env::args().skip(1) {
        modules(Path::new(&dir), &mut found);
    }
    found.sort();
    let (mut same, mut different, mut refused, mut failed) = (0, 0, 0, 0);
    for path in &found {
        let outcome = std::fs::read(path)
            .map_err(|e| e.to_string())
            .and_then(|raw| {
                let data = decompress(&raw, DEFAULT_LIMIT).map_err(|e| e.to_string())?;
                compare(&data)
            });
        let (count, why) = match outcome {
            Ok(Outcome::Same) => (&mut same, None),
            Ok(Outcome::Different(at)) => (&mut different, Some(format!("differs at {at}"))),
            Ok(Outcome::Refused(why)) => (&mut refused, Some(format!("refused by lkm: {why}"))),
            Err(why) => (&mut failed, Some(why)),
        };
        *count += 1;
        if let Some(why) = why {
            println!("{}: {why}", path.display());
        }
    }
    println!(
        "{} modules: {same} the same, {different} different, {refused} refused, {failed} not compared",
        found.len()
    );
    ExitCode::from(u8::from(same == 0 || different + refused + failed > 0))
}
