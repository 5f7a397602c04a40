//! Random lines for the prompt of `lkm lab`: mostly sensible ones, on the modules at hand and on what earlier answers
//! named, with some nonsense between.

use lkm_object::module::ModuleFile;
use std::path::Path;

/// A small generator, so that a seed repeats a soak (xorshift64*).
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (bits as usize) % n.max(1)
    }

    /// One of a list.
    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A module file and its parameters' names.
struct Module {
    file: String,
    name: String,
    params: Vec<String>,
}

/// Where lines come from.
pub struct Lines {
    modules: Vec<Module>,
    loaded: Vec<String>,
    paths: Vec<String>,
    pids: Vec<String>,
}

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "16",
    "0x400",
    "4294967295",
    "y",
    "n",
    "recv",
    "init",
    "once",
    "loop",
    "signal",
    "ref",
    "kthread",
    "daemonize",
    "other",
    "twice",
    "held",
    "raw",
    "freed",
    "atomic",
    "unlocked",
    "none",
    "vms",
    "hello",
    "asked",
    "lkm-asked",
    "\"\"",
    "-5",
    "99999999999999999999",
];
const NAMES: &[&str] = &["a", "b", "c", "d"];
const PROFILES: &[&str] = &["2.6.32", "3.0", "4.1", "4.4", "6.1", "6.12"];
const PATHS: &[&str] = &[
    "/",
    "/proc",
    "/proc/modules",
    "/proc/kallsyms",
    "/proc/devices",
    "/proc/sys/kernel/tainted",
    "/proc/sys/kernel/modprobe",
    "/sys",
    "/sys/module",
    "/sys/kernel/debug",
    "/dev",
    "/dev/null",
    "/dev/zero",
    "/dev/kmsg",
    "/tmp/x",
    "x",
    "/sys/module/hello/refcnt",
    "/proc/../etc/passwd",
    "",
];
const NONSENSE: &[&str] = &[
    "\"",
    "\"\\q\"",
    "insmod",
    "start",
    "start a",
    "start a start b start c lsmod",
    "proc",
    "proc a",
    "proc a proc b close c",
    "echo x",
    "echo x >",
    "kill",
    "clock +99999999999999999999s",
    "clock -1s",
    "expect",
    "expect module a Live x",
    "unload",
    "unload --force",
    "boot x",
    "tree",
    "reap",
    "as",
    "\u{1f980}",
    "help nothing",
    "help help",
    "mmap a b c d e",
    "finit_module x \"\" fd=7",
    "init_module hello.ko \"\" len=-1",
    "sysctl",
    "sysctl =",
    "why --json",
    "findings a b",
    "socket a 16 3",
    "profile 9.9",
    "quit now",
    "exit",
    "poll",
    "lseek a b",
    "wait",
    "read a -5",
    "ioctl a b c",
    "peek",
    "peek a -1 99999999999999",
    "fork a",
    "fork a a",
    "repeat 99999999999999999999 lsmod",
    "repeat 3",
    "end",
    "mknod x c 999999999999 0",
    "cat ${nothing}",
    "${",
    "tree /nowhere",
];

impl Lines {
    /// Over a directory of module files.
    pub fn of(directory: &Path) -> Result<Lines, Box<dyn std::error::Error>> {
        let mut modules = Vec::new();
        for entry in std::fs::read_dir(directory)?.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if !file.ends_with(".ko") {
                continue;
            }
            let bytes = std::fs::read(entry.path())?;
            let params = ModuleFile::parse(&bytes)
                .map(|m| m.params.iter().map(|p| p.name.to_owned()).collect())
                .unwrap_or_default();
            let name = file.trim_end_matches(".ko").replace('-', "_");
            modules.push(Module { file, name, params });
        }
        if modules.is_empty() {
            return Err(format!("no modules in {}", directory.display()).into());
        }
        modules.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(Lines {
            modules,
            loaded: Vec::new(),
            paths: PATHS.iter().map(|&p| p.to_owned()).collect(),
            pids: vec!["1".into(), "1001".into()],
        })
    }

    /// A line that begins with a fresh kernel.
    pub fn fresh(&mut self, random: &mut Random) -> String {
        self.loaded.clear();
        match random.below(3) {
            0 => format!("profile {}", random.of(PROFILES)),
            1 => "boot module_blacklist=hello module.sig_enforce=0".to_owned(),
            _ => "reset".to_owned(),
        }
    }

    /// Keeps what an answer named: modules, paths, process numbers.
    pub fn learn(&mut self, answer: &[String]) {
        let Some(line) = answer.first().and_then(|l| l.strip_prefix("$ ")) else {
            return;
        };
        if let Some(directory) = line.strip_prefix("ls ").filter(|d| d.starts_with('/')) {
            let names = answer.iter().skip(1).filter(|n| !n.starts_with("  ["));
            let directory = directory.trim_end_matches('/');
            self.paths
                .extend(names.take(8).map(|n| format!("{directory}/{n}")));
            if self.paths.len() > 200 {
                self.paths.drain(PATHS.len()..PATHS.len() + 60);
            }
        }
        if line == "ps" {
            let pids = answer.iter().filter_map(|l| l.split_whitespace().next());
            self.pids = pids
                .filter(|p| p.parse::<u32>().is_ok())
                .map(str::to_owned)
                .collect();
            self.pids.push("1001".into());
        }
    }

    fn params(random: &mut Random, module: &Module) -> String {
        let mut words = Vec::new();
        while random.below(3) == 0 && words.len() < 4 {
            let name = match module.params.as_slice() {
                [] => "no_such",
                params => random.of(params),
            };
            words.push(format!("{name}={}", random.of(VALUES)));
        }
        words.join(" ")
    }

    fn loaded(&self, random: &mut Random) -> String {
        if self.loaded.is_empty() || random.below(8) == 0 {
            return random.of(&self.modules).name.clone();
        }
        random.of(&self.loaded).clone()
    }

    fn insert(&mut self, random: &mut Random) -> String {
        let module = &self.modules[random.below(self.modules.len())];
        let params = Lines::params(random, module);
        let line = match random.below(8) {
            0 => format!(
                "init_module {} \"{}\"",
                module.file,
                params.replace('"', "")
            ),
            1 => format!(
                "finit_module {} \"\" flags={}",
                module.file,
                random.below(5)
            ),
            2 => format!("modprobe {}", module.name),
            3 => format!(
                "init_module {} \"\" len={}",
                module.file,
                random.below(70_000)
            ),
            _ => format!("insmod {} {params}", module.file),
        };
        self.loaded.push(module.name.clone());
        if self.loaded.len() > 12 {
            self.loaded.remove(0);
        }
        line
    }

    fn remove(&self, random: &mut Random) -> String {
        let name = self.loaded(random);
        match random.below(8) {
            0 => format!("delete_module {name} flags=nonblock"),
            1 => format!("delete_module {name} flags=nonblock,trunc"),
            2 => format!("unload --force {name}"),
            3 => format!("modprobe -r {name}"),
            4 => format!("delete_module {name}"),
            _ => format!("rmmod {name}"),
        }
    }

    fn files(&self, random: &mut Random) -> String {
        let (one, two) = (*random.of(NAMES), *random.of(NAMES));
        let path = random.of(&self.paths);
        let act = match random.below(18) {
            0 | 1 => format!(
                "open {path} {one} {}",
                random.of(&["rdonly", "wronly", "rdwr"])
            ),
            2 => format!("read {one} {}", random.below(9000)),
            3 => format!("put {one} \"some text {}\"", random.below(100)),
            4 => format!(
                "ioctl {one} 0x{:x} {}",
                random.below(70_000),
                random.below(70_000)
            ),
            5 => format!("mmap {one} {two} {}", random.below(20_000)),
            6 => format!("munmap {one}"),
            7 => format!("dup {one} {two}"),
            8 => format!("close {one}"),
            9 => format!(
                "socket {one} netlink {}",
                random.of(&["0", "31", "30", "17", "99"])
            ),
            10 => format!("socket {one} {} {} 0", random.below(46), random.below(6)),
            11 => format!("send {one} \"hello {}\"", random.below(100)),
            12 => format!("recv {one}"),
            13 => format!("bind {one} {}", random.below(40)),
            14 => format!("exit {one}"),
            15 => format!("poll {one}"),
            16 => format!("lseek {one} {}", random.below(10_000)),
            _ => format!("open {path} {one}"),
        };
        if random.below(3) == 0 && !act.starts_with("exit") {
            format!("proc {} {act}", random.of(NAMES))
        } else {
            act
        }
    }

    /// Mappings, children, nodes, mounts, and the system calls of sockets.
    fn more(&self, random: &mut Random) -> String {
        let (one, two) = (*random.of(NAMES), *random.of(NAMES));
        let (place, count) = (random.below(20_000), random.below(9000));
        let act = match random.below(14) {
            0 => format!("mmap {one} {two} {place} {} {}", count / 4096 * 4096, {
                random.of(&["private", "ro", "rw"])
            }),
            1 | 2 => format!("peek {one} {place} {count}"),
            3 | 4 => format!("poke {one} {place} \"some {count}\""),
            5 => format!("munmap {one} {} 4096", place / 4096 * 4096),
            6 => format!("ioctl {one} {count} {two}"),
            7 => return format!("fork {one} {two}"),
            8 => format!("connect {one} {count}"),
            9 => format!("listen {one} {}", random.below(9)),
            10 => format!(
                "shutdown {one} {}",
                random.of(&["read", "write", "both", "none"])
            ),
            11 => format!(
                "mknod /dev/{one} c {} {}",
                random.below(300),
                random.below(260)
            ),
            12 => format!("mount {} /tmp/{one} none", {
                random.of(&["smallfs", "barefs", "proc", "nope"])
            }),
            _ => format!("umount /tmp/{one}"),
        };
        match random.below(4) {
            0 => format!("proc {} {act}", random.of(NAMES)),
            1 => format!("repeat {} {act}", random.below(30)),
            _ => act,
        }
    }

    fn look(&self, random: &mut Random) -> String {
        let path = random.of(&self.paths);
        match random.below(14) {
            0 | 1 => "ps".to_owned(),
            2 => format!("lsof {}", random.of(&self.pids)),
            3 | 4 => format!("why {}", self.loaded(random)),
            5 => "findings".to_owned(),
            6 => format!("findings {}", self.loaded(random)),
            7 | 8 => format!("ls {path}"),
            9 | 10 => format!("cat {path}"),
            11 => "dmesg".to_owned(),
            12 => format!("modinfo {}", random.of(&self.modules).file),
            _ => "lsmod".to_owned(),
        }
    }

    /// A line.
    pub fn next(&mut self, random: &mut Random) -> String {
        match random.below(44) {
            40..=43 => self.more(random),
            0..=9 => self.insert(random),
            10..=16 => self.remove(random),
            17..=24 => self.files(random),
            25..=30 => self.look(random),
            31 => format!(
                "clock +{}",
                random.of(&["1s", "10ms", "70s", "3600s", "0s"])
            ),
            32 => {
                let inner = self.insert(random);
                format!("start {} {inner}", random.of(NAMES))
            }
            33 => format!("{} {}", random.of(&["join", "stop"]), random.of(NAMES)),
            34 => format!(
                "kill {} {}",
                random.of(&self.pids),
                random.of(&["9", "15", "2", "0", "99"])
            ),
            35 => format!("echo {} > {}", random.of(VALUES), random.of(&self.paths)),
            36 => (*random.of(&[
                "trace on",
                "trace off",
                "reap delay",
                "reap soon",
                "reap now",
                "reap reuse",
                "as nobody",
                "as root",
                "as root",
                "sysctl kernel.modprobe=",
                "sysctl kernel.modprobe=/sbin/modprobe",
                "sysctl kernel.threads-max=20",
            ]))
            .to_owned(),
            37 => format!(
                "expect {}",
                random.of(&["errno 0", "output \"x\"", "finding oops", "log \"BUG\""])
            ),
            38 => self.garbage(random),
            _ => (*random.of(NONSENSE)).to_owned(),
        }
    }

    /// Random characters; never a line that leaves the prompt.
    fn garbage(&self, random: &mut Random) -> String {
        let length = random.below(60);
        let letters: Vec<char> = "abcdeinsmod lsof \"\\>#=-/0123456789\u{e9}\t."
            .chars()
            .collect();
        let text: String = (0..length).map(|_| *random.of(&letters)).collect();
        format!("x{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(3).iter().all(|&n| n < 1000));
    }
}
