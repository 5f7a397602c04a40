//! Writes the rescue module for another machine, or another boot, of the same kernel: no
//! address of this boot is in it. A shell script beside it looks the addresses up there,
//! checks what can be checked without this program, and loads it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use lkm_judge::why::{Unload, UnloadEnd, Why};

use super::Options;
use super::cleanup::{Cleanup, Written};
use super::reference;
use crate::proc;
use crate::rescue::image::{self, Addresses, Argument, Call, Job, Tasks, place};
use crate::symbols::{Symbols, Wanted};
use crate::types::Types;

/// A word of the parameter block that is the address of a symbol there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// Bytes from the beginning of the parameter block.
    at: usize,
    /// The symbol.
    name: String,
    /// It must be code: of the kernel or of the module, and of one of them only. Data is
    /// the module's first.
    code: bool,
    /// Added to the address.
    addend: u64,
    /// Left 0 where the kernel has no such symbol.
    optional: bool,
}

/// The symbols that the machine code needs, besides those of the clean-up calls.
fn own_slots() -> Vec<Slot> {
    let slot = |at, name: &str, code, optional| Slot {
        at,
        name: name.into(),
        code,
        addend: 0,
        optional,
    };
    vec![
        slot(place::ADDRESSES, "modules", false, false),
        slot(place::ADDRESSES + 8, "module_mutex", false, false),
        slot(place::ADDRESSES + 16, "mutex_trylock", true, false),
        slot(place::ADDRESSES + 24, "mutex_lock", true, false),
        slot(place::ADDRESSES + 32, "mutex_unlock", true, false),
        slot(place::IDEM_HASH, "idem_hash", false, true),
        slot(place::INIT_TASK, "init_task", false, false),
        slot(place::RCU_LOCK, "__rcu_read_lock", true, true),
        slot(place::RCU_UNLOCK, "__rcu_read_unlock", true, true),
    ]
}

/// The call without addresses, and the slots that stand for them.
fn blank(number: usize, cleanup: &Cleanup) -> (Call, Vec<Slot>) {
    let mut slots = vec![Slot {
        at: place::function(number),
        name: cleanup.function.clone(),
        code: true,
        addend: 0,
        optional: false,
    }];
    let mut call = Call::default();
    for (n, (argument, written)) in call
        .arguments
        .iter_mut()
        .zip(&cleanup.arguments)
        .enumerate()
    {
        match written {
            Written::Number(value) => argument.base = *value,
            Written::Symbol {
                indirect,
                name,
                offset,
            } => {
                *argument = Argument {
                    indirect: *indirect,
                    base: 0,
                    addend: if *indirect { *offset } else { 0 },
                };
                slots.push(Slot {
                    at: place::argument(number, n),
                    name: name.clone(),
                    code: false,
                    addend: if *indirect { 0 } else { *offset },
                    optional: false,
                });
            }
        }
    }
    (call, slots)
}

/// Writes the module, the script and a README into a directory. Nothing in this kernel is
/// looked at but its types and symbols, and nothing is changed; the module need not be
/// loaded here.
pub fn emit(
    name: &str,
    directory: &Path,
    found: Option<&Why>,
    options: &Options,
    report: &mut Unload,
) {
    match write(name, directory, found, options, report) {
        Ok(()) => report.end = UnloadEnd::Written,
        Err(reason) => {
            report.end = UnloadEnd::Refused;
            report.refusals.push(reason);
        }
    }
}

fn write(
    name: &str,
    directory: &Path,
    found: Option<&Why>,
    options: &Options,
    report: &mut Unload,
) -> Result<(), String> {
    let word = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    if name.is_empty() || !name.bytes().all(word) {
        return Err(format!("{name:?} is no module's name"));
    }
    let cleanups = options
        .cleanup
        .iter()
        .map(|text| Cleanup::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let types = Types::running()?;
    let (facts, source) = reference::facts(&types, options.like.as_deref())?;
    report.steps.push(format!(
        "facts from {}: vermagic {:?}, struct module {} bytes; the kernel's types agree",
        source.display(),
        facts.vermagic,
        facts.size
    ));
    let mut slots = own_slots();
    let mut calls = Vec::new();
    for (number, cleanup) in cleanups.iter().enumerate() {
        let (call, more) = blank(number, cleanup);
        calls.push(call);
        slots.extend(more);
    }
    known(&slots, report)?;
    let job = Job {
        addresses: Addresses {
            modules: 0,
            module_mutex: 0,
            trylock: 0,
            lock: 0,
            unlock: 0,
        },
        target: 0,
        state: 0,
        refcnt: 0,
        heal: false,
        drop_exit: false,
        calls,
        repairs: Vec::new(),
        tasks: tasks(&types).map_err(|e| format!("the kernel's types have no {}", e.0))?,
    };
    let (bytes, begins) = image::template(&job, &facts).map_err(|e| e.to_string())?;
    let script = script(name, &slots, begins);
    let readme = readme(name, &cleanups, &facts.vermagic);
    let say = |e: io::Error| format!("{}: {e}", directory.display());
    fs::create_dir_all(directory).map_err(say)?;
    fs::write(directory.join("lkm_rescue.ko"), &bytes).map_err(say)?;
    fs::write(directory.join("rescue.sh"), script).map_err(say)?;
    executable(&directory.join("rescue.sh")).map_err(say)?;
    fs::write(directory.join("README"), readme).map_err(say)?;
    report.steps.push(format!(
        "wrote lkm_rescue.ko ({} bytes, no address of this boot in it), rescue.sh and README into {}",
        bytes.len(),
        directory.display()
    ));
    if let Some(why) = found {
        let text = format!("{}\n", why.json());
        fs::write(directory.join("why.json"), text).map_err(say)?;
        report
            .steps
            .push("wrote why.json: what holds the module on this machine".into());
    }
    report
        .warnings
        .push("users, leftovers and stuck locks were not looked at: only the machine that it is for can show them".into());
    Ok(())
}

fn executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn tasks(types: &Types) -> Result<Tasks, crate::types::Missing> {
    Ok(Tasks {
        tasks: types.offset("task_struct", "tasks")?,
        stack: types.offset("task_struct", "stack")?,
        signal: types.offset("task_struct", "signal")?,
        thread_head: types.offset("signal_struct", "thread_head")?,
        thread_node: types.offset("task_struct", "thread_node")?,
    })
}

/// Checks the names against this kernel's symbols, whose names everybody may read. A name
/// that is not here may still be the module's own.
fn known(slots: &[Slot], report: &mut Unload) -> Result<(), String> {
    let names: Vec<&str> = slots.iter().map(|s| s.name.as_str()).collect();
    let wanted = Wanted {
        names: &names,
        module: "",
        everything: false,
    };
    let symbols = Symbols::load(&wanted).map_err(|e| format!("/proc/kallsyms: {e}"))?;
    let own: Vec<String> = own_slots().into_iter().map(|s| s.name).collect();
    for slot in slots {
        let here = symbols.kernel_all(&slot.name);
        let here = here
            .iter()
            .filter(|(_, kind)| !slot.code || matches!(kind, b't' | b'T' | b'w' | b'W'))
            .count();
        match here {
            0 if slot.optional => {}
            0 if own.contains(&slot.name) => {
                return Err(format!("/proc/kallsyms has no {}", slot.name));
            }
            0 if slot.code => report.warnings.push(format!(
                "there is no function {} in this kernel: it must be the module's own, or rescue.sh will refuse",
                slot.name
            )),
            0 | 1 => {}
            n => {
                return Err(format!(
                    "there are {n} symbols {}: it is not clear which is meant",
                    slot.name
                ));
            }
        }
    }
    Ok(())
}

/// A word in single quotes for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The script: its fixed part, with what is particular to this module put in.
fn script(name: &str, slots: &[Slot], begins: usize) -> String {
    let mut symbols: Vec<(&str, bool)> = slots.iter().map(|s| (s.name.as_str(), s.code)).collect();
    symbols.push(("__this_module", false));
    symbols.sort_unstable();
    symbols.dedup();
    // Function and data of one name are looked up by different rules.
    let variable = |name: &str, code: bool| {
        let n = symbols.iter().position(|s| *s == (name, code));
        n.unwrap_or_default()
    };
    let mut names: Vec<&str> = symbols.iter().map(|s| s.0).collect();
    names.dedup();
    let mut looks = String::new();
    for name in &names {
        let _ = writeln!(looks, "\t{name})");
        for (n, (_, code)) in symbols.iter().enumerate().filter(|(_, s)| s.0 == *name) {
            let kinds = if *code { "[tTwW]" } else { "?" };
            let _ = writeln!(looks, "\t\tcase $kind in {kinds}) found {n} ;; esac");
        }
        let _ = writeln!(looks, "\t\t;;");
    }
    let mut puts = String::new();
    for slot in slots {
        let rule = match (slot.code, slot.optional) {
            (_, true) => "optional",
            (true, false) => "code",
            (false, false) => "data",
        };
        let _ = writeln!(
            puts,
            "{rule} {} {} {} {}",
            variable(&slot.name, slot.code),
            slot.name,
            begins + slot.at,
            slot.addend
        );
    }
    let number = |at: usize| (begins + at).to_string();
    include_str!("rescue.sh")
        .replace("@NAME@", name)
        .replace("@RELEASE@", &quoted(&proc::release()))
        .replace(
            "@VERSION@",
            &quoted(&proc::line("/proc/sys/kernel/version").unwrap_or_default()),
        )
        .replace("@PATTERN@", &names.join("|"))
        .replace("@LOOKS@\n", &looks)
        .replace("@PUTS@\n", &puts)
        .replace("@THIS@", &variable("__this_module", false).to_string())
        .replace("@TARGET@", &number(place::TARGET))
        .replace("@STATE@", &number(place::STATE))
        .replace("@REFCNT@", &number(place::REFCNT))
        .replace("@FLAGS@", &number(place::FLAGS))
}

fn readme(name: &str, cleanups: &[Cleanup], vermagic: &str) -> String {
    let calls = match cleanups {
        [] => "No clean-up call was given.".to_string(),
        calls => calls.iter().fold(
            "It makes these clean-up calls, in this order:\n".to_string(),
            |text, call| format!("{text}\n    {call}"),
        ),
    };
    include_str!("rescue-readme.txt")
        .replace("@NAME@", name)
        .replace("@RELEASE@", &proc::release())
        .replace("@VERMAGIC@", vermagic)
        .replace("@CALLS@", &calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (Call, Vec<Slot>) {
        let cleanup = Cleanup::parse("f(*a+8, b+16, 7)").expect("a call");
        blank(1, &cleanup)
    }

    #[test]
    fn a_blank_call_has_numbers_and_no_addresses() {
        let (call, slots) = slots();
        assert_eq!(call.function, 0);
        let [first, second, third, _] = call.arguments;
        assert_eq!((first.indirect, first.base, first.addend), (true, 0, 8));
        assert_eq!((second.indirect, second.base, second.addend), (false, 0, 0));
        assert_eq!(third.base, 7);
        let places: Vec<(usize, &str, u64)> = slots
            .iter()
            .map(|s| (s.at, s.name.as_str(), s.addend))
            .collect();
        assert_eq!(places, [(248, "f", 0), (264, "a", 0), (288, "b", 16)]);
    }

    #[test]
    fn nothing_of_the_pattern_is_left_in_the_script() {
        let mut all = own_slots();
        all.extend(slots().1);
        let text = script("vms", &all, 1000);
        // A version of the kernel may have an @ of its own.
        let mark = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase());
        assert!(!text.split('@').any(mark), "{text}");
        assert!(text.contains("NAME=vms\n"));
        assert!(text.lines().any(|l| l.ends_with(" f 1248 0")), "{text}");
        assert!(
            text.lines()
                .any(|l| l.starts_with("data") && l.ends_with(" b 1288 16"))
        );
        assert!(
            text.lines()
                .any(|l| l.starts_with("optional") && l.contains("idem_hash"))
        );
    }

    #[test]
    fn the_script_is_one_for_the_shell_that_is_here() {
        let file = std::env::temp_dir().join(format!("lkm-script-{}", std::process::id()));
        fs::write(&file, script("vms", &own_slots(), 1000)).expect("a file");
        let status = std::process::Command::new("sh")
            .arg("-n")
            .arg(&file)
            .status();
        let said = std::process::Command::new("sh")
            .arg(&file)
            .arg("--unknown")
            .output()
            .expect("a shell");
        let _ = fs::remove_file(&file);
        assert!(status.expect("a shell").success());
        assert_eq!(said.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&said.stdout).starts_with("usage: "));
    }

    /// The script's own arithmetic and byte order, by the shell that is here.
    #[test]
    fn the_script_writes_words_as_the_kernel_reads_them() {
        let all = own_slots();
        let text = script("vms", &all, 0);
        let start = text.find("# words: begin").expect("the part with put");
        let end = text.find("# words: end").expect("its end");
        let directory = std::env::temp_dir().join(format!("lkm-words-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("lkm_rescue.ko"), [0xff; 24]).expect("a file");
        let test = format!(
            "work={}\n{}\nput 8 \"$(plus ffffffff81ffff10 496)\"\nput 0 00000000000000ab\n",
            directory.display(),
            &text[start..end]
        );
        let status = std::process::Command::new("sh")
            .args(["-c", &test])
            .status()
            .expect("a shell");
        let bytes = fs::read(directory.join("lkm_rescue.ko")).expect("it");
        let _ = fs::remove_dir_all(&directory);
        assert!(status.success());
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8"));
        assert_eq!(
            (word(0), word(8), word(16)),
            (0xab, 0xffff_ffff_8200_0100, u64::MAX)
        );
    }
}
