//! How fast the tools are, measured against the installed kmod in one run:
//! `cargo bench -p lkm-kmod [-- ROOT...]`.
//!
//! Each ROOT holds a tree `lib/modules/VERSION` (default: `/`); give it trees
//! with compressed modules to measure those. Rounds of both programs take
//! turns, so that other load on the machine hits both; the ratios are of
//! medians, ours to kmod's, and below 1 ours is faster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const OURS: &str = env!("CARGO_BIN_EXE_lkm-kmod");

/// Processor seconds that ended children have used.
fn child_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: f64 = fields
        .iter()
        .skip(13)
        .take(2)
        .filter_map(|f| f.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Peak memory in KiB, where GNU time is there to tell.
fn memory(program: &Path, args: &[&str]) -> Option<f64> {
    let mut time = Command::new("/usr/bin/time");
    let out = time
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

impl Pair {
    fn measure(&self, what: &str, rounds: usize, args: &[&str]) {
        let mut wall = [Vec::new(), Vec::new()];
        let mut cpu = [0.0; 2];
        for _ in 0..rounds {
            for (i, program) in [&self.kmod, &self.ours].into_iter().enumerate() {
                let (before, start) = (child_seconds(), Instant::now());
                let mut command = Command::new(program);
                let status = command
                    .args(args)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                if !status.is_ok_and(|s| s.success()) {
                    println!("{what:<40} does not run: {} {args:?}", program.display());
                    return;
                }
                wall[i].push(start.elapsed().as_secs_f64() * 1000.0);
                cpu[i] += child_seconds() - before;
            }
        }
        let [theirs, ours] = wall.map(median);
        print!(
            "{what:<40} {theirs:9.2} {ours:9.2} ms  wall {:.2}",
            ours / theirs
        );
        // Ticks of 10 ms: only long runs have a figure.
        if cpu[0] > 0.2 {
            print!("  cpu {:.2}", cpu[1] / cpu[0]);
        }
        if let (Some(t), Some(o)) = (memory(&self.kmod, args), memory(&self.ours, args)) {
            print!("  memory {:.2}", o / t);
        }
        println!();
    }
}

fn tools(dir: &Path, program: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for tool in ["depmod", "modprobe", "modinfo"] {
        std::os::unix::fs::symlink(program, dir.join(tool))?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
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
    let temp = tempfile::tempdir()?;
    let (theirs, ours) = (temp.path().join("kmod"), temp.path().join("lkm"));
    tools(&theirs, kmod)?;
    tools(&ours, Path::new(OURS))?;
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
        pair("depmod").measure(&format!("depmod {root}"), 5, &["-b", &base, &version]);
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
        let root_args = ["-d", &root[..], "-S", &version];
        pair("modprobe").measure(
            &format!("modprobe -D {widest}"),
            60,
            &[&root_args[..], &["-D", &widest]].concat(),
        );
        pair("modprobe").measure(
            "modprobe -R pci:...",
            60,
            &[
                &root_args[..],
                &["-R", "pci:v00008086d00001533sv0sd0bc02sc00i00"],
            ]
            .concat(),
        );
        pair("modprobe").measure("modprobe -c", 15, &[&root_args[..], &["-c"]].concat());
        let info_args = ["-b", &root[..], "-k", &version];
        pair("modinfo").measure(
            &format!("modinfo {widest}"),
            40,
            &[&info_args[..], &[&widest]].concat(),
        );
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        pair("modinfo").measure(
            &format!("modinfo of {} modules", names.len()),
            3,
            &[&info_args[..], &names].concat(),
        );
    }
    Ok(())
}
