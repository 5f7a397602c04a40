//! `cargo xtask live [GROUP|STEP]...`: the commands about the running kernel, on real kernels.
//!
//! Every `guest/live/GROUP/*.sh` is a step, run in the order of the names; a group is one
//! boot. A step passes when its status is 0. Its first lines may say `# modules: NAME...`
//! (of the kernel's tree, taken along; `x*` for all that begin so) and `# programs: PATH...`
//! (of this machine); a step whose program is missing is skipped, and said to be. Lines that
//! begin with `figure: ` are printed. A line `carry: HEX` is a file that the steps of later
//! boots find as `/carried.tar.gz`.

use crate::Outcome;
use crate::kbuild;
use crate::kernel::{Kernel, workspace};
use crate::paths::Headers;
use crate::tally::{self, Tally};
use crate::vm::{self, End, Source, VmSpec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

type Error = Box<dyn std::error::Error>;

/// A boot: the directory of its steps, processors, and what the kernel is told.
struct Group {
    name: &'static str,
    cpus: u32,
    append: &'static str,
}

const GROUPS: &[Group] = &[
    Group {
        name: "why",
        cpus: 1,
        append: "",
    },
    Group {
        name: "unload",
        cpus: 2,
        append: "",
    },
    Group {
        name: "tools",
        cpus: 1,
        append: "",
    },
    Group {
        name: "denied",
        cpus: 1,
        append: "trace_event=module:module_get,module:module_put",
    },
];

/// A step's script and what it needs.
struct Script {
    name: String,
    text: String,
    modules: Vec<String>,
    programs: Vec<String>,
}

/// The task.
pub fn task(args: &[String]) -> Outcome {
    let mut series = String::new();
    let mut only = Vec::new();
    let mut verbose = false;
    let mut built = false;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--kernel" => series = rest.next().ok_or("--kernel SERIES")?.clone(),
            "--verbose" => verbose = true,
            // Whatever build there is, for work on the steps themselves.
            "--built" => built = true,
            name => only.push(name.to_string()),
        }
    }
    let lkm = match built {
        true => crate::vm_command::built_lkm().ok_or("lkm is not built")?,
        false => crate::test::release_binary()?,
    };
    let kernel = Kernel::find(&series)?;
    let tallies = all(&lkm, &kernel, &only, verbose)?;
    let good = tally::close(&tallies);
    Ok(ExitCode::from(u8::from(!good)))
}

/// Runs all groups, or those steps whose group or name is asked for.
pub fn all(
    lkm: &Path,
    kernel: &Kernel,
    only: &[String],
    verbose: bool,
) -> Result<Vec<Tally>, Error> {
    let build = kernel
        .headers()
        .ok_or("no headers of that kernel to build the test modules")?;
    let headers = Headers {
        release: kernel.release.clone(),
        build,
    };
    let modules = modules(&headers)?;
    let hold = hold()?;
    let mut tallies = Vec::new();
    let mut carried = None;
    for group in GROUPS {
        let mut scripts = scripts(group.name)?;
        if !only.is_empty() {
            scripts.retain(|s| only.iter().any(|o| *o == s.name || *o == group.name));
        }
        if !scripts.is_empty() {
            let bench = Bench {
                lkm,
                kernel,
                modules: &modules,
                hold: &hold,
                verbose,
            };
            tallies.push(boot(group, &scripts, &bench, &mut carried)?);
        }
    }
    Ok(tallies)
}

/// What every boot gets.
struct Bench<'a> {
    lkm: &'a Path,
    kernel: &'a Kernel,
    modules: &'a Path,
    hold: &'a Path,
    verbose: bool,
}

fn boot(
    group: &Group,
    scripts: &[Script],
    bench: &Bench<'_>,
    carried: &mut Option<PathBuf>,
) -> Result<Tally, Error> {
    let kernel = bench.kernel;
    let mut tally = Tally::new(&format!("live {} {}", group.name, short(&kernel.release)));
    let mut spec = VmSpec::new(kernel.clone());
    spec.cpus = group.cpus;
    spec.append = group.append.into();
    // A minute or two on an idle machine; a busy one must not make a failure of it.
    spec.timeout = Duration::from_secs(1200);
    spec.kmod();
    spec.program(bench.lkm);
    spec.program(bench.hold);
    let library = std::fs::read_to_string(directory().join("lib.sh"))?;
    spec.files
        .push(("/lib.sh".into(), Source::Text(library, false)));
    let mut known = BTreeSet::new();
    for entry in std::fs::read_dir(bench.modules)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "ko") {
            let name = entry.file_name().to_string_lossy().into_owned();
            spec.files.push((format!("/x/{name}"), Source::Host(path)));
        }
    }
    if let Some(file) = &*carried {
        let place = "/carried.tar.gz".to_string();
        spec.files.push((place, Source::Host(file.clone())));
    }
    for script in scripts {
        if script.text.contains("/carried.tar.gz") && carried.is_none() {
            tally.skip(
                &script.name,
                "no step of an earlier boot has handed anything over",
            );
            continue;
        }
        let missing = script.programs.iter().find(|p| find(p).is_none());
        let absent = script
            .modules
            .iter()
            .find(|m| !m.ends_with('*') && kernel.module_files(std::slice::from_ref(m)).is_err());
        if let Some(what) = missing.or(absent) {
            tally.skip(&script.name, &format!("{what} is not here"));
            continue;
        }
        let modules = script
            .modules
            .iter()
            .flat_map(|m| match m.strip_suffix('*') {
                Some(prefix) => kernel.module_names(prefix),
                None => vec![m.clone()],
            });
        for module in &modules.collect::<Vec<_>>() {
            if !spec.modules.contains(module) {
                spec.modules.push(module.clone());
            }
        }
        for program in script.programs.iter().filter_map(|p| find(p)) {
            if known.insert(program.clone()) {
                spec.program(program);
            }
        }
        spec.step(&script.name, &format!(". /lib.sh\n{}", script.text));
        if let Some(step) = spec.steps.last_mut() {
            step.seconds = 300;
        }
    }
    add_xtables(&mut spec);
    let result = vm::run(&spec)?;
    for step in &spec.steps {
        let answer = result.steps.iter().find(|r| r.name == step.name);
        let mut wrong = match answer.map(|r| (r.status, r.output.as_str())) {
            Some((Some(0), output)) => {
                if bench.verbose {
                    println!("--- {}\n{output}", step.name);
                }
                for line in output.lines() {
                    if let Some(figure) = line.strip_prefix("figure: ") {
                        println!("{} {}: {figure}", short(&kernel.release), step.name);
                    }
                    if let Some(text) = line.strip_prefix("carry: ") {
                        *carried = Some(hand_over(text, &kernel.release)?);
                    }
                }
                Vec::new()
            }
            Some((Some(status), output)) => lines(&format!("status {status}"), output),
            Some((None, output)) => lines("the guest ended in it", output),
            None => vec!["not reached".to_string()],
        };
        if let Some(answer) = answer {
            wrong.extend(answer.output.lines().filter_map(shape));
        }
        tally.add(&step.name, &wrong);
    }
    if result.end != End::Done {
        let tail: Vec<&str> = result.console.lines().rev().take(30).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        tally.add(
            "the guest's end",
            &lines(&format!("{:?}", result.end), &tail.join("\n")),
        );
    }
    println!(
        "{} on {}: {} s",
        group.name,
        kernel.release,
        result.elapsed.as_secs()
    );
    Ok(tally)
}

/// What is wrong with a line `shape NAME: OBJECT`: fields that docs/json.md does not list under
/// that heading, or lists and that are missing; so for the objects in its lists.
fn shape(line: &str) -> Option<String> {
    let (name, text) = line.strip_prefix("shape ")?.split_once(": ")?;
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return Some(format!("no JSON: {line}"));
    };
    differs(name, &value)
}

fn differs(heading: &str, value: &serde_json::Value) -> Option<String> {
    let page = include_str!("../../docs/json.md");
    let part = page.split(&format!("\n## {heading}\n")).nth(1)?;
    let part = part.split("\n## ").next()?;
    let listed: BTreeSet<&str> = part
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let Some(object) = value.as_object() else {
        return Some(format!("{heading} is no object"));
    };
    let fields: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    if fields != listed {
        return Some(format!(
            "{heading} has {fields:?}, docs/json.md lists {listed:?}"
        ));
    }
    let inner = [
        ("refs", "Reference"),
        ("not_pinned", "Loss"),
        ("leftovers", "Loss"),
    ];
    let lists = inner.iter().flat_map(|(field, heading)| {
        let list = object.get(*field).and_then(|l| l.as_array());
        list.into_iter()
            .flatten()
            .filter_map(|v| differs(heading, v))
    });
    let why = object.get("why").filter(|w| !w.is_null());
    lists.chain(why.and_then(|w| differs("Why", w))).next()
}

/// Keeps what a step hands over to later boots.
fn hand_over(hex: &str, release: &str) -> Result<PathBuf, Error> {
    let digits = hex.trim().as_bytes();
    let bytes = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).map_err(Error::from))
        .collect::<Result<Vec<u8>, Error>>()?;
    let file = crate::kernel::target_directory()
        .join("vm")
        .join(format!("carried-{release}.tar.gz"));
    std::fs::write(&file, bytes)?;
    Ok(file)
}

fn lines(head: &str, output: &str) -> Vec<String> {
    std::iter::once(head)
        .chain(output.lines())
        .map(str::to_string)
        .collect()
}

fn short(release: &str) -> &str {
    release.split(['-', '+']).next().unwrap_or(release)
}

fn directory() -> PathBuf {
    workspace().join("xtask/guest/live")
}

/// The steps of a group.
fn scripts(group: &str) -> Result<Vec<Script>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory().join(group))?.flatten() {
        let path = entry.path();
        let Some(name) = path.file_stem().map(|n| n.to_string_lossy().into_owned()) else {
            continue;
        };
        let text = std::fs::read_to_string(&path)?;
        let list = |key: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(key))
                .flat_map(str::split_whitespace)
                .map(str::to_string)
                .collect()
        };
        found.push(Script {
            modules: list("# modules:"),
            programs: list("# programs:"),
            name,
            text,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A program by its path, or by the same name in the other usual places.
fn find(path: &str) -> Option<PathBuf> {
    let name = Path::new(path).file_name()?;
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|d| Path::new(d).join(name))
        .find(|p| p.exists())
}

/// The extensions that iptables loads at run time.
fn add_xtables(spec: &mut VmSpec) {
    let place = "/usr/lib/x86_64-linux-gnu/xtables";
    for name in ["libxt_mark.so", "libxt_MARK.so", "libxt_standard.so"] {
        let path = Path::new(place).join(name);
        if path.exists() {
            spec.files
                .push((path.display().to_string(), Source::Host(path)));
        }
    }
}

/// Builds the modules of these steps, and only these: the others need not compile for
/// every kernel.
fn modules(headers: &Headers) -> Result<PathBuf, Error> {
    let out = crate::kernel::target_directory()
        .join("vm/modules")
        .join(&headers.release);
    std::fs::create_dir_all(&out)?;
    let mut kbuild = String::new();
    for source in kbuild::sources()? {
        let name = source.name;
        if name.starts_with("live-")
            || ["chain-base", "chain-middle", "pin-symbol"].contains(&name.as_str())
        {
            kbuild.push_str(&format!("obj-m += {name}.o\n"));
            let text = std::fs::read(&source.path)?;
            kbuild::write_if_changed(&out.join(format!("{name}.c")), &text)?;
        }
    }
    kbuild::write_if_changed(&out.join("Kbuild"), kbuild.as_bytes())?;
    kbuild::make(headers, &out, &[], true)?;
    crate::corrupt::other_struct(&out.join("live-misc.ko"), &out.join("other-struct.ko"))?;
    Ok(out)
}

/// Builds the program that holds references.
fn hold() -> Result<PathBuf, Error> {
    let source = workspace().join("xtask/guest/hold.c");
    let out = crate::kernel::target_directory().join("vm/hold");
    std::fs::create_dir_all(out.parent().unwrap_or(Path::new(".")))?;
    let status = Command::new("gcc")
        .args(["-static", "-O1", "-Wall", "-o"])
        .arg(&out)
        .arg(source)
        .status()?;
    if status.success() {
        Ok(out)
    } else {
        Err(format!("gcc: {status}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_the_documented_fields_and_no_others() {
        let good = r#"{"kind":"a","object":"b","effect":"c","fatal":true}"#;
        assert_eq!(shape(&format!("shape Loss: {good}")), None);
        assert_eq!(shape("other line"), None);
        for bad in [
            r#"{"kind":"a","object":"b","effect":"c"}"#,
            r#"{"kind":"a","object":"b","effect":"c","fatal":true,"more":1}"#,
            "[]",
            "text",
        ] {
            assert!(shape(&format!("shape Loss: {bad}")).is_some(), "{bad}");
        }
    }
}
