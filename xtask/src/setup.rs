//! `cargo xtask setup`: what the tests need from the distribution: installed when we may, named
//! when we may not.

use std::path::Path;
use std::process::{Command, ExitCode};

/// A thing that must be there, and the Debian package that brings it.
struct Need {
    package: &'static str,
    what: &'static str,
    there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        package: "build-essential",
        what: "a C compiler and make",
        there: || on_path("gcc") && on_path("make"),
    },
    Need {
        package: "linux-headers-amd64",
        what: "kernel headers under /lib/modules/*/build",
        there: || crate::paths::headers().is_ok(),
    },
    Need {
        package: "linux-image-amd64",
        what: "a kernel image and its modules",
        there: || crate::kernel::Kernel::find("").is_ok(),
    },
    Need {
        package: "linux-source-6.1",
        what: "the kernel's source, for its own test modules",
        there: || crate::selftests::archive().is_some(),
    },
    Need {
        package: "qemu-system-x86",
        what: "qemu-system-x86_64",
        there: || on_path("qemu-system-x86_64"),
    },
    Need {
        package: "busybox-static",
        what: "a busybox for the guest",
        there: || on_path("busybox"),
    },
    Need {
        package: "kmod",
        what: "kmod, to compare with",
        there: || on_path("kmod"),
    },
    Need {
        package: "meson",
        what: "meson, to build the newest kmod",
        there: || on_path("meson") && on_path("ninja"),
    },
    Need {
        package: "git",
        what: "git, to have its source",
        there: || on_path("git"),
    },
    Need {
        package: "libzstd-dev",
        what: "zstd for that kmod",
        there: || Path::new("/usr/include/zstd.h").exists(),
    },
    Need {
        package: "liblzma-dev",
        what: "xz for that kmod",
        there: || Path::new("/usr/include/lzma.h").exists(),
    },
    Need {
        package: "zlib1g-dev",
        what: "gzip for that kmod",
        there: || Path::new("/usr/include/zlib.h").exists(),
    },
    Need {
        package: "libssl-dev",
        what: "signatures for that kmod",
        there: || Path::new("/usr/include/openssl/pkcs7.h").exists(),
    },
    Need {
        package: "zstd",
        what: "zstd, for trees of compressed modules",
        there: || on_path("zstd"),
    },
    Need {
        package: "mandoc",
        what: "mandoc, to judge the manual pages",
        there: || on_path("mandoc"),
    },
    Need {
        package: "zsh",
        what: "zsh, for its completion",
        there: || on_path("zsh"),
    },
    Need {
        package: "fish",
        what: "fish, for its completion",
        there: || on_path("fish"),
    },
    Need {
        package: "e2fsprogs",
        what: "mke2fs, for file systems in the guest",
        there: || anywhere("mke2fs"),
    },
    Need {
        package: "iproute2",
        what: "ip and tc, for the guest",
        there: || anywhere("ip") && anywhere("tc"),
    },
    Need {
        package: "nftables",
        what: "nft, for the guest",
        there: || anywhere("nft"),
    },
    Need {
        package: "iptables",
        what: "iptables in both forms, for the guest",
        there: || anywhere("xtables-legacy-multi") && anywhere("xtables-nft-multi"),
    },
    Need {
        package: "dmsetup",
        what: "dmsetup, for the guest",
        there: || anywhere("dmsetup"),
    },
    Need {
        package: "mdadm",
        what: "mdadm, for the guest",
        there: || anywhere("mdadm"),
    },
    Need {
        package: "strace",
        what: "strace, to see in the guest what is read",
        there: || anywhere("strace"),
    },
    Need {
        package: "bsdutils",
        what: "script, for a terminal in the guest",
        there: || anywhere("script"),
    },
    Need {
        package: "libelf-dev",
        what: "libelf's headers, for kbuild",
        there: || Path::new("/usr/include/gelf.h").exists(),
    },
];

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// True for a program of the system, whether or not its directory is in the path.
fn anywhere(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|d| Path::new(d).join(program).is_file())
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|l| l.strip_prefix("Uid:"))
            .and_then(|l| l.split_whitespace().nth(1))
            == Some("0")
    })
}

/// Installs what is missing when that is allowed; what is still missing afterwards, as
/// "package (what it brings)".
pub fn ensure() -> Vec<String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|n| !(n.there)()).collect();
    if !missing.is_empty() && is_root() && on_path("apt-get") {
        let packages: Vec<&str> = missing.iter().map(|n| n.package).collect();
        println!("installing {}", packages.join(" "));
        let apt = |args: &[&str]| {
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(args)
                .args(["-qq", "-y"])
                .stdout(std::process::Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        };
        apt(&["update"]);
        // One by one when together fails: one package that is not to be had must not keep out
        // the others.
        let mut together = vec!["install", "--no-install-recommends"];
        together.extend(&packages);
        if !apt(&together) {
            for package in packages {
                apt(&["install", "--no-install-recommends", package]);
            }
        }
    }
    NEEDS
        .iter()
        .filter(|n| !(n.there)())
        .map(|n| format!("{} ({})", n.package, n.what))
        .collect()
}

/// The task: exit code 1 when something is still missing.
pub fn task(_: &[String]) -> crate::Outcome {
    let missing = ensure();
    if missing.is_empty() {
        println!("everything the tests need is here");
        return Ok(ExitCode::SUCCESS);
    }
    for need in &missing {
        println!("missing: {need}");
    }
    println!("as root: apt-get install PACKAGE, or cargo xtask setup");
    Ok(ExitCode::from(1))
}
