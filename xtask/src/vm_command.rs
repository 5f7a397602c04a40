//! `cargo xtask vm [OPTION...] -- COMMAND...`: one command on a real kernel, by hand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::Outcome;
use crate::kernel::{Kernel, target_directory};
use crate::vm::{self, End, Source, VmSpec};

const HELP: &str = "cargo xtask vm [OPTION...] -- COMMAND...
  --kernel SERIES      the newest kernel of this series (6.1, 6.12); default: the newest under /boot
  --fetch SERIES       first unpack Debian's newest kernel package of this series beside the build
  --cpus N  --memory MIB  --timeout SECONDS  --append KERNEL-PARAMETERS
  --file HOST[=GUEST]  take a file along (default place: /x/NAME)
  --program HOST       take a program along, with its shared libraries, into /bin
  --module NAME        take a module of the kernel's tree along, with its dependencies
  --console            print what the kernel wrote on its console, too
The guest has busybox, kmod and, when it is built, this project's lkm.";

/// Runs the task; the exit status is the command's, 124 when the time was up, 125 when
/// the guest died.
pub fn run(args: &[String]) -> Outcome {
    let mut series = String::new();
    let mut fetch = false;
    let mut console = false;
    let mut settings: Vec<(&str, &str)> = Vec::new();
    let mut rest = args.iter();
    let mut command: Vec<&str> = Vec::new();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--" => command = rest.by_ref().map(String::as_str).collect(),
            "--console" => console = true,
            "--kernel" | "--fetch" => {
                fetch |= arg == "--fetch";
                series = rest.next().ok_or(HELP)?.clone();
            }
            "--cpus" | "--memory" | "--timeout" | "--append" | "--file" | "--program"
            | "--module" => settings.push((arg, rest.next().ok_or(HELP)?)),
            _ => return Err(HELP.into()),
        }
    }
    let kernel = if fetch {
        Kernel::fetch(&series)?
    } else {
        Kernel::find(&series)?
    };
    if command.is_empty() {
        if fetch {
            println!("{} {}", kernel.release, kernel.image.display());
            return Ok(ExitCode::SUCCESS);
        }
        return Err(HELP.into());
    }
    let mut spec = VmSpec::new(kernel);
    spec.kmod();
    if let Some(lkm) = built_lkm() {
        spec.program(lkm);
    }
    for (key, value) in settings {
        match key {
            "--cpus" => spec.cpus = value.parse()?,
            "--memory" => spec.memory = value.parse()?,
            "--timeout" => spec.timeout = Duration::from_secs(value.parse()?),
            "--append" => spec.append = value.into(),
            "--program" => spec.program(value),
            "--module" => spec.modules.push(value.into()),
            _ => spec.files.push(file(value)),
        }
    }
    spec.step("command", &command.join(" "));
    spec.steps[0].seconds = u32::try_from(spec.timeout.as_secs()).unwrap_or(u32::MAX);
    let result = vm::run(&spec)?;
    if console {
        print!("{}", result.console);
    }
    let step = result.steps.first();
    print!("{}", step.map_or("", |s| s.output.as_str()));
    Ok(match (step.and_then(|s| s.status), result.end) {
        (Some(status), _) => ExitCode::from(u8::try_from(status).unwrap_or(255)),
        (None, End::TimedOut) => {
            eprintln!("xtask vm: still running after {} s", spec.timeout.as_secs());
            ExitCode::from(124)
        }
        (None, _) => {
            eprintln!("xtask vm: the guest died; its console:\n{}", result.console);
            ExitCode::from(125)
        }
    })
}

/// `HOST[=GUEST]`.
fn file(text: &str) -> (String, Source) {
    let (host, guest) = text.split_once('=').unwrap_or((text, ""));
    let name = Path::new(host)
        .file_name()
        .map(|n| n.to_string_lossy())
        .unwrap_or_default();
    let guest = if guest.is_empty() {
        format!("/x/{name}")
    } else {
        guest.to_string()
    };
    (guest, Source::Host(PathBuf::from(host)))
}

/// The newer of the two builds of the program, if there is one.
pub fn built_lkm() -> Option<PathBuf> {
    ["debug", "release"]
        .iter()
        .map(|profile| target_directory().join(profile).join("lkm"))
        .filter(|path| path.exists())
        .max_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
}
