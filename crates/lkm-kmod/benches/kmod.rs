//! How fast the tools are, measured against the installed kmod in one run:
//! `cargo bench --profile dist -p lkm-kmod [-- ROOT...]`.
//!
//! Each ROOT (default: `/`; else from the workspace's directory) holds a tree
//! `lib/modules/VERSION`; give it trees with compressed modules to measure
//! those. With `--incremental`, only depmod is measured. Rounds of both programs take turns, so that other load on the machine hits both; wall ratios are of
//! medians, CPU ratios of sums, ours to kmod's, and below 1 ours is faster.
//! Short commands run in rows of one program, where each finds the processor's
//! caches as the one before it left them; how much of such a run is the start
//! of any process, `/bin/true` shows.
//!
//! Ours is measured as it is when it is installed: a copy of what the linker
//! made, for the linker leaves its output in the page cache in single pages,
//! which costs a tenth of a short run; and without the library path that cargo
//! sets, in which the dynamic linker looks first.
//!
//! The wall time of depmod, which uses all processors, means something only
//! when they are free: on a busy machine put `chrt -r 5` in front.

#[path = "incremental/mod.rs"]
mod incremental;
#[path = "../../../benches/measure.rs"]
mod measure;

use measure::{child_seconds, median};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const OURS: &str = env!("CARGO_BIN_EXE_lkm-kmod");

/// Starts this program again without the library path that cargo sets, where
/// it is set. To leave it out at each command would make each take longer.
fn without_library_path() -> std::io::Result<()> {
    const PATH: &str = "LD_LIBRARY_PATH";
    if std::env::var_os(PATH).is_none() {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    Err(again
        .args(std::env::args_os().skip(1))
        .env_remove(PATH)
        .exec())
}

/// Peak memory in KiB, where GNU time is there to tell.
fn memory(program: &Path, args: &[&str]) -> Option<f64> {
    let out = Command::new("/usr/bin/time")
        .args(["-f", "%M"])
        .arg(program)
        .args(args)
        .stdout(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8_lossy(&out.stderr)
        .trim()
        .lines()
        .last()?
        .parse()
        .ok()
}

struct Pair {
    kmod: PathBuf,
    ours: PathBuf,
}

/// Runs quietly; how long it took in milliseconds, or none when it failed.
fn run(program: &Path, args: &[&str]) -> Option<f64> {
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|s| s.success()) {
        println!("does not run: {} {args:?}", program.display());
        return None;
    }
    Some(start.elapsed().as_secs_f64() * 1000.0)
}

/// Wall times of `rounds` turns of `batch` runs each, and the CPU seconds of
/// all, for each command. CPU time is counted in ticks of 10 ms: batches make
/// that fine enough.
fn turns(
    commands: &[(&Path, Vec<&str>)],
    rounds: usize,
    batch: usize,
) -> Option<Vec<(Vec<f64>, f64)>> {
    let mut out = vec![(Vec::new(), 0.0); commands.len()];
    for _ in 0..rounds {
        for ((program, args), (wall, cpu)) in commands.iter().zip(&mut out) {
            let before = child_seconds();
            for _ in 0..batch {
                wall.push(run(program, args)?);
            }
            *cpu += child_seconds() - before;
        }
    }
    Some(out)
}

impl Pair {
    fn measure(&self, what: &str, rounds: usize, batch: usize, args: &[&str]) {
        let commands = [&self.kmod, &self.ours].map(|p| (p.as_path(), args.to_vec()));
        let Some(done) = turns(&commands, rounds, batch) else {
            return;
        };
        let [(theirs, their_cpu), (ours, our_cpu)] = &done[..] else {
            return;
        };
        let (theirs, ours) = (median(theirs.clone()), median(ours.clone()));
        print!(
            "{what:<40} {theirs:9.2} {ours:9.2} ms  wall {:.2}",
            ours / theirs
        );
        if *their_cpu > 0.2 {
            print!("  cpu {:.2}", our_cpu / their_cpu);
        }
        if let (Some(t), Some(o)) = (memory(&self.kmod, args), memory(&self.ours, args)) {
            print!("  memory {:.2}", o / t);
        }
        println!();
    }
}

/// Links, or copies, the files of a module directory.
fn copy_tree(from: &Path, to: &Path, modules: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for e in std::fs::read_dir(from)?.flatten() {
        let (name, target) = (e.file_name(), to.join(e.file_name()));
        if e.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_tree(&e.path(), &target, modules)?;
        } else if e.file_type()?.is_file() {
            if std::fs::hard_link(e.path(), &target).is_err() {
                std::fs::copy(e.path(), &target)?;
            }
            if name.to_string_lossy().contains(".ko") {
                modules.push(target);
            }
        }
    }
    Ok(())
}

/// The names that a program is called by.
fn tools(dir: &Path, program: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for tool in ["depmod", "modprobe", "modinfo"] {
        std::os::unix::fs::symlink(program, dir.join(tool))?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    without_library_path()?;
    let Some(kmod) = ["/usr/bin/kmod", "/bin/kmod"]
        .iter()
        .map(Path::new)
        .find(|p| p.exists())
    else {
        println!("no kmod is installed to compare with");
        return Ok(());
    };
    let mut roots: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    if roots.is_empty() {
        roots.push("/".into());
    }
    // Cargo runs this in the package's directory, and is called in the workspace's.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for root in &mut roots {
        *root = workspace.join(&*root).to_string_lossy().into_owned();
    }
    let only_incremental = std::env::args().any(|a| a == "--incremental");
    let temp = tempfile::tempdir()?;
    let (theirs, ours) = (temp.path().join("kmod"), temp.path().join("lkm"));
    tools(&theirs, kmod)?;
    let installed = temp.path().join("lkm-kmod");
    std::fs::write(&installed, std::fs::read(OURS)?)?;
    std::fs::set_permissions(&installed, std::fs::metadata(OURS)?.permissions())?;
    tools(&ours, &installed)?;
    println!("{:<40} {:>9} {:>9}", "", "kmod", "lkm");
    for root in roots {
        let modules = Path::new(&root).join("lib/modules");
        let version = std::fs::read_dir(&modules)?
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .find(|v| modules.join(v).join("kernel").exists());
        let Some(version) = version else {
            println!("{root}: no modules");
            continue;
        };
        let pair = |tool: &str| Pair {
            kmod: theirs.join(tool),
            ours: ours.join(tool),
        };
        // Both write where nothing is lost: beside links to the modules.
        let base = temp.path().join(format!("base{}", root.replace('/', "_")));
        let beside = base.join("lib/modules").join(&version);
        std::fs::create_dir_all(&beside)?;
        let sources = [
            "modules.order",
            "modules.builtin",
            "modules.builtin.modinfo",
        ];
        for e in std::fs::read_dir(modules.join(&version))?.flatten() {
            let name = e.file_name();
            if e.path().is_dir() || sources.iter().any(|s| name == *s) {
                std::os::unix::fs::symlink(e.path(), beside.join(name))?;
            }
        }
        let base = base.to_string_lossy().into_owned();
        pair("depmod").measure(&format!("depmod {root}"), 5, 1, &["-b", &base, &version]);
        incremental::measure(&ours.join("depmod"), &root, &modules, &version)?;
        if only_incremental {
            continue;
        }
        let dep = std::fs::read_to_string(modules.join(&version).join("modules.dep"));
        let Ok(dep) = dep else { continue };
        let name = |line: &str| {
            let path = line.split(':').next().unwrap_or("");
            let file = path.rsplit('/').next().unwrap_or("");
            file.split(".ko").next().unwrap_or("").to_string()
        };
        // The module with the most dependencies stands for the slow ones.
        let widest = dep
            .lines()
            .max_by_key(|l| l.split_whitespace().count())
            .map(name);
        let all: Vec<String> = dep.lines().map(name).collect();
        let widest = widest.unwrap_or_default();
        let gpu = all.iter().find(|n| *n == "amdgpu");
        let root_args = ["-d", &root[..], "-S", &version];
        let mut shown: Vec<&String> = gpu.into_iter().chain([&widest]).collect();
        shown.dedup();
        for name in shown {
            let args = [&root_args[..], &["-D", name]].concat();
            pair("modprobe").measure(&format!("modprobe -D {name}"), 12, 40, &args);
            let nothing = Pair {
                ours: "/bin/true".into(),
                ..pair("modprobe")
            };
            nothing.measure("    /bin/true instead of ours", 12, 40, &args);
        }
        pair("modprobe").measure(
            "modprobe -R pci:...",
            12,
            40,
            &[
                &root_args[..],
                &["-R", "pci:v00008086d00001533sv0sd0bc02sc00i00"],
            ]
            .concat(),
        );
        pair("modprobe").measure("modprobe -c", 5, 3, &[&root_args[..], &["-c"]].concat());
        let info_args = ["-b", &root[..], "-k", &version];
        pair("modinfo").measure(
            &format!("modinfo {widest}"),
            8,
            10,
            &[&info_args[..], &[&widest]].concat(),
        );
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        pair("modinfo").measure(
            &format!("modinfo of {} modules", names.len()),
            3,
            1,
            &[&info_args[..], &names].concat(),
        );
    }
    Ok(())
}
