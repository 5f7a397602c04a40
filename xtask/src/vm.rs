//! The VM: a stock kernel under QEMU's software emulation, an initramfs made on the
//! spot, and a list of steps whose output and exit status come back over a serial
//! line of their own.
//!
//! The clock of a guest with one processor counts its instructions, one a nanosecond, and jumps to the next timer when
//! there are none to run. So what happens there before what does not depend on how fast this machine is, or what else
//! it does, and time that is slept through costs none. (With two processors QEMU 7.2 does not get through the boot so.)
//!
//! The first serial port is the kernel's console and goes to [`VmResult::console`]. The
//! second carries the steps: `@NONCE begin N`, the step's output as it comes, and
//! `@NONCE end N STATUS`. The nonce is drawn for each run, so that nothing a step prints
//! can be taken for a result.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::closure;
use crate::cpio::Archive;
use crate::kernel::Kernel;

/// Where an initramfs file comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of this machine, with its permission bits.
    Host(PathBuf),
    /// A program of this machine, with the shared libraries it needs.
    Program(PathBuf),
    /// This text, executable or not.
    Text(String, bool),
    /// A symbolic link with this target.
    Link(String),
}

/// A piece of shell that runs in the guest, in a shell of its own, as root, in `/`.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the results call it.
    pub name: String,
    /// busybox shell text.
    pub script: String,
    /// It is killed after so many seconds of the guest's clock, and its status is then 137.
    pub seconds: u32,
}

/// What to boot and what to run there.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// The kernel.
    pub kernel: Kernel,
    /// Guest path and content of each extra file.
    pub files: Vec<(String, Source)>,
    /// Names of modules of the kernel's tree to take along, with their dependencies.
    /// The tree's indexes come along when there is at least one.
    pub modules: Vec<String>,
    /// Directories to search for shared libraries before the usual ones.
    pub library_path: Vec<PathBuf>,
    /// What to run, in order.
    pub steps: Vec<Step>,
    /// Processors of the guest.
    pub cpus: u32,
    /// Memory of the guest in MiB.
    pub memory: u32,
    /// More of the kernel's command line.
    pub append: String,
    /// The whole run is ended after so much time of this machine; what the guest's clock does meanwhile depends on
    /// how fast it is, so this is for a guest that hangs and not for one that is slow.
    pub timeout: Duration,
}

impl VmSpec {
    /// One processor, 768 MiB, twenty minutes, no steps.
    pub fn new(kernel: Kernel) -> VmSpec {
        VmSpec {
            kernel,
            files: Vec::new(),
            modules: Vec::new(),
            library_path: Vec::new(),
            steps: Vec::new(),
            cpus: 1,
            memory: 768,
            append: String::new(),
            timeout: Duration::from_secs(1200),
        }
    }

    /// Adds a step that may take a minute.
    pub fn step(&mut self, name: &str, script: &str) {
        self.steps.push(Step {
            name: name.into(),
            script: script.into(),
            seconds: 60,
        });
    }

    /// Adds a program of this machine under its own name in `/bin`.
    pub fn program(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        self.files
            .push((format!("/bin/{name}"), Source::Program(path.to_path_buf())));
    }

    /// Adds kmod with its six names.
    pub fn kmod(&mut self) {
        let kmod = ["/usr/bin/kmod", "/bin/kmod"]
            .iter()
            .find(|p| Path::new(p).exists());
        self.program(kmod.unwrap_or(&"/bin/kmod"));
        for name in ["insmod", "rmmod", "modprobe", "lsmod", "modinfo", "depmod"] {
            self.files
                .push((format!("/sbin/{name}"), Source::Link("/bin/kmod".into())));
        }
    }
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct StepResult {
    /// The step's name.
    pub name: String,
    /// Standard output and error, as they came.
    pub output: String,
    /// The exit status; none when the guest ended or hung before the step did.
    pub status: Option<i32>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps ran and the guest switched itself off.
    Done,
    /// The guest went away before that: a panic, or a step that rebooted it.
    Died,
    /// It was still running when the time was up.
    TimedOut,
}

/// What came back from the guest.
#[derive(Clone, Debug)]
pub struct VmResult {
    /// One for each step that was begun, in order.
    pub steps: Vec<StepResult>,
    /// What the kernel printed on its console.
    pub console: String,
    /// How the run ended.
    pub end: End,
    /// Wall-clock time of the whole run.
    pub elapsed: Duration,
}

/// What is missing here to run a VM at all; none when nothing is.
#[allow(dead_code, reason = "used by the test task")]
pub fn missing() -> Option<String> {
    if find_program("qemu-system-x86_64").is_none() {
        return Some("qemu-system-x86_64 (Debian package qemu-system-x86)".into());
    }
    if static_busybox().is_none() {
        return Some("a static busybox (Debian package busybox-static)".into());
    }
    Kernel::find("")
        .err()
        .map(|e| format!("{e} (Debian package linux-image-amd64)"))
}

/// Boots the kernel, runs the steps, and waits for the end.
///
/// # Errors
/// When a file is missing or QEMU cannot be started; what the guest does is never an
/// error but a result.
pub fn run(spec: &VmSpec) -> io::Result<VmResult> {
    let nonce = nonce()?;
    let directory = crate::kernel::target_directory()
        .join("vm")
        .join(format!("run-{nonce}"));
    fs::create_dir_all(&directory)?;
    let result = run_in(spec, &nonce, &directory);
    let _ = fs::remove_dir_all(&directory);
    result
}

fn run_in(spec: &VmSpec, nonce: &str, directory: &Path) -> io::Result<VmResult> {
    let initramfs = directory.join("initramfs");
    fs::write(&initramfs, archive(spec, nonce)?)?;
    let console = directory.join("console");
    let results = directory.join("results");
    let started = Instant::now();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-M",
            "q35",
            "-net",
            "none",
            "-no-reboot",
        ])
        .args(clock(spec.cpus))
        .args(["-display", "none", "-monitor", "none"])
        .args([
            "-m",
            &spec.memory.to_string(),
            "-smp",
            &spec.cpus.to_string(),
        ])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", results.display()))
        .arg("-kernel")
        .arg(&spec.kernel.image)
        .arg("-initrd")
        .arg(&initramfs)
        .arg("-append")
        .arg(format!("console=ttyS0 quiet panic=-1 {}", spec.append))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("qemu-system-x86_64: {e}")))?;
    let mut in_time = true;
    let status = loop {
        if let Some(status) = qemu.try_wait()? {
            break status;
        }
        if started.elapsed() > spec.timeout {
            in_time = false;
            qemu.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut complaint = String::new();
    if let Some(mut stderr) = qemu.stderr.take() {
        stderr.read_to_string(&mut complaint)?;
    }
    if in_time && !status.success() {
        return Err(io::Error::other(format!(
            "qemu-system-x86_64: {status}: {}",
            complaint.trim()
        )));
    }
    let read = |path: &Path| fs::read(path).map(|b| String::from_utf8_lossy(&b).replace('\r', ""));
    let (steps, done) = split(&read(&results)?, nonce, &spec.steps);
    let end = match (in_time, done) {
        (false, _) => End::TimedOut,
        (true, true) => End::Done,
        (true, false) => End::Died,
    };
    Ok(VmResult {
        steps,
        console: read(&console)?,
        end,
        elapsed: started.elapsed(),
    })
}

/// What the guest's clock goes by.
fn clock(cpus: u32) -> &'static [&'static str] {
    match cpus {
        1 => &["-icount", "shift=0,sleep=off", "-rtc", "clock=vm"],
        _ => &[],
    }
}

/// Takes the second serial line apart; also whether the guest reached its end.
fn split(text: &str, nonce: &str, steps: &[Step]) -> (Vec<StepResult>, bool) {
    let mark = format!("\n@{nonce} ");
    let text = format!("\n{text}");
    let mut results: Vec<StepResult> = Vec::new();
    let mut done = false;
    // What comes before the first mark belongs to no step.
    for part in text.split(mark.as_str()).skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let mut words = head.split(' ');
        let kind = words.next().unwrap_or("");
        let number = words.next().and_then(|n| n.parse::<usize>().ok());
        match (kind, number.and_then(|n| steps.get(n))) {
            ("begin", Some(step)) => results.push(StepResult {
                name: step.name.clone(),
                output: body.to_string(),
                status: None,
            }),
            ("end", Some(_)) => {
                if let Some(last) = results.last_mut() {
                    last.status = words.next().and_then(|n| n.parse().ok());
                }
            }
            ("done", _) => done = true,
            _ => {}
        }
    }
    (results, done)
}

/// The initramfs: busybox, the files, the modules, the steps and the init script.
fn archive(spec: &VmSpec, nonce: &str) -> io::Result<Vec<u8>> {
    let busybox = static_busybox()
        .ok_or_else(|| io::Error::other("no static busybox (Debian package busybox-static)"))?;
    let mut archive = Archive::new();
    for directory in [
        "proc", "sys", "dev", "tmp", "run", "mnt", "root", "bin", "sbin", "busybox", "etc", "var",
    ] {
        archive.directory(directory);
    }
    archive.character_device("/dev/console", 5, 1);
    archive.file("/bin/busybox", 0o755, &read(&busybox)?);
    archive.file("/init", 0o755, init(spec, nonce).as_bytes());
    let prelude = prelude(spec, &busybox)?;
    for (number, step) in spec.steps.iter().enumerate() {
        let script = format!("{prelude}{}", step.script);
        archive.file(&format!("/steps/{number}"), 0o644, script.as_bytes());
    }
    let mut libraries = BTreeSet::new();
    for (path, source) in &spec.files {
        match source {
            Source::Host(host) => archive.file(path, mode(host)?, &read(host)?),
            Source::Program(host) => {
                archive.file(path, 0o755, &read(host)?);
                libraries.extend(closure::libraries(host, &spec.library_path)?);
            }
            Source::Text(text, executable) => {
                archive.file(
                    path,
                    if *executable { 0o755 } else { 0o644 },
                    text.as_bytes(),
                );
            }
            Source::Link(target) => archive.symlink(path, target),
        }
    }
    // All libraries go where the loader looks by itself; the loader keeps its place.
    let mut names = BTreeSet::new();
    for library in &libraries {
        let Some(name) = library.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        if !names.insert(name.to_string()) {
            continue;
        }
        let place = if name.starts_with("ld-linux") {
            library.display().to_string()
        } else {
            format!("/lib/{name}")
        };
        archive.file(&place, 0o755, &read(library)?);
    }
    if !spec.modules.is_empty() {
        add_modules(&mut archive, spec)?;
    }
    Ok(archive.finish())
}

fn add_modules(archive: &mut Archive, spec: &VmSpec) -> io::Result<()> {
    let tree = format!("/lib/modules/{}", spec.kernel.release);
    for file in spec.kernel.module_files(&spec.modules)? {
        let content = read(&spec.kernel.modules.join(&file))?;
        archive.file(&format!("{tree}/{}", file.display()), 0o644, &content);
    }
    for entry in fs::read_dir(&spec.kernel.modules)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("modules.") {
            archive.file(&format!("{tree}/{name}"), 0o644, &read(&entry.path())?);
        }
    }
    Ok(())
}

/// Shell functions for those programs taken along that busybox has as well: its shell
/// prefers its own, whatever PATH says.
fn prelude(spec: &VmSpec, busybox: &Path) -> io::Result<String> {
    let output = Command::new(busybox).arg("--list").output()?;
    let own = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut text = String::new();
    for (path, source) in &spec.files {
        let name = path.rsplit('/').next().unwrap_or(path);
        let program = matches!(source, Source::Program(_) | Source::Link(_));
        if program && path != "/bin/busybox" && own.lines().any(|applet| applet == name) {
            text.push_str(&format!("{name}() {{ {path} \"$@\"; }}\n"));
        }
    }
    Ok(text)
}

/// The guest's first process.
fn init(spec: &VmSpec, nonce: &str) -> String {
    let mut text = String::from(
        "#!/bin/busybox sh\n\
         /bin/busybox mount -t proc proc /proc\n\
         /bin/busybox mount -t sysfs sysfs /sys\n\
         /bin/busybox mount -t devtmpfs devtmpfs /dev\n\
         /bin/busybox --install -s /busybox\n\
         export PATH=/sbin:/bin:/busybox HOME=/root\n\
         mkdir -p /dev/pts\n\
         mount -t devpts devpts /dev/pts\n\
         mount -t tmpfs tmpfs /tmp\n\
         mount -t securityfs securityfs /sys/kernel/security\n\
         mount -t debugfs debugfs /sys/kernel/debug\n\
         mount -t tracefs tracefs /sys/kernel/tracing\n\
         ln -s /proc/self/fd /dev/fd\n\
         hostname guest\n\
         stty -F /dev/ttyS1 raw -echo\n\
         exec </dev/null >/dev/ttyS1 2>&1\n",
    );
    for (number, step) in spec.steps.iter().enumerate() {
        // The first newline of the end mark ends an unfinished last line; it is not
        // part of the step's output.
        text.push_str(&format!(
            "printf '\\n@{nonce} begin {number}\\n'\n\
             timeout -s KILL {} sh /steps/{number}\n\
             printf '\\n@{nonce} end {number} %d\\n' $?\n",
            step.seconds
        ));
    }
    // The port is drained before the power goes: stty waits for that.
    text.push_str(&format!(
        "printf '\\n@{nonce} done\\n'\nsync\nstty -F /dev/ttyS1 raw -echo\nsleep 0.2\npoweroff -f\n"
    ));
    text
}

fn static_busybox() -> Option<PathBuf> {
    let path = find_program("busybox")?;
    // A dynamic one would not start: nothing in the guest resolves its libraries yet.
    closure::libraries(&path, &[])
        .ok()?
        .is_empty()
        .then_some(path)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|d| d.join(name))
        .find(|p| p.exists())
}

fn nonce() -> io::Result<String> {
    let mut bytes = [0; 12];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    let data = fs::metadata(path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    Ok(data.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(n: usize) -> Vec<Step> {
        (0..n)
            .map(|i| Step {
                name: i.to_string(),
                script: String::new(),
                seconds: 1,
            })
            .collect()
    }

    #[test]
    fn only_marks_with_the_nonce_count() {
        let text = "\n@ab begin 0\nhello\n@cd end 0 0\n\n@ab end 0 3\n\n@ab begin 1\nx";
        let (results, done) = split(text, "ab", &steps(2));
        assert_eq!(results[0].output, "hello\n@cd end 0 0\n");
        assert_eq!(results[0].status, Some(3));
        assert_eq!((results[1].output.as_str(), results[1].status), ("x", None));
        assert!(!done);
    }

    #[test]
    fn an_empty_step_has_no_output() {
        let text = "\n@ab begin 0\n\n@ab end 0 0\n\n@ab done\n";
        let (results, done) = split(text, "ab", &steps(1));
        assert_eq!((results[0].output.as_str(), done), ("", true));
    }
}
