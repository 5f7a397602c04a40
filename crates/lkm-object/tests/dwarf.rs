//! DWARF of a module built on the spot: layouts against the kernel's BTF, lines against binutils' addr2line.

use std::path::{Path, PathBuf};
use std::process::Command;

mod common;

use common::{Random, mutate};
use lkm_object::{Btf, Dwarf, Elf, KernelTypes, ModuleFile, Types, vmlinux};

const SOURCE: &str = r#"// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

struct probe_inner { u8 pad; union { u32 word; struct { u16 low, high; }; }; };
struct probe_outer {
	struct list_head list;
	struct probe_inner grid[3][4];
	unsigned int bits : 3, more : 5;
	struct { int deep; } named;
	char tail[];
};
static struct probe_outer *probe;
static struct platform_device *pdev;
static struct miscdevice misc;

static noinline int probe_helper(int n)
{
	int sum = 0;
	while (n--)
		sum += current->pid ^ n;
	return sum;
}

static int __init probe_init(void)
{
	probe = kzalloc(sizeof(*probe) + 8, GFP_KERNEL);
	if (!probe)
		return -ENOMEM;
	INIT_LIST_HEAD(&probe->list);
	probe->grid[1][2].high = probe_helper(3);
	misc.minor = pdev ? pdev->id : 1;
	probe->bits = misc.minor;
	return 0;
}

static void __exit probe_exit(void)
{
	kfree(probe);
}
module_init(probe_init);
module_exit(probe_exit);
MODULE_LICENSE("GPL");
"#;

/// The build directory of an installed kernel-headers package, and its release.
fn headers() -> Option<(PathBuf, String)> {
    for entry in std::fs::read_dir("/lib/modules").ok()?.flatten() {
        let build = entry.path().join("build");
        if build.join("Makefile").is_file() {
            return Some((build, entry.file_name().into_string().ok()?));
        }
    }
    eprintln!("SKIPPED: no kernel headers (install linux-headers-amd64)");
    None
}

fn build(build: &Path, extra: &str) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("probe.c"), SOURCE).unwrap();
    std::fs::write(
        dir.path().join("Makefile"),
        format!("obj-m := probe.o\nccflags-y := -g {extra}\n"),
    )
    .unwrap();
    let out = Command::new("make")
        .arg("-C")
        .arg(build)
        .arg(format!("M={}", dir.path().display()))
        .arg("modules")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let data = std::fs::read(dir.path().join("probe.ko")).unwrap();
    (dir, data)
}

/// Line of the source that contains `text`, from 1.
fn line_of(text: &str) -> u32 {
    SOURCE.lines().position(|l| l.contains(text)).unwrap() as u32 + 1
}

fn check_layouts(dwarf: &Dwarf<'_>) {
    assert_eq!(dwarf.struct_size("probe_inner"), Some(8));
    assert_eq!(dwarf.offset_of("probe_inner", "high"), Some(6));
    assert_eq!(
        dwarf.offset_of("probe_outer", "grid[1][2].high"),
        Some(16 + 6 * 8 + 6)
    );
    assert_eq!(dwarf.offset_of("probe_outer", "grid[2]"), None);
    assert_eq!(dwarf.size_of_member("probe_outer", "grid"), Some(96));
    assert_eq!(dwarf.offset_of("probe_outer", "more"), None);
    assert_eq!(dwarf.offset_of("probe_outer", "named.deep"), Some(116));
    assert_eq!(dwarf.offset_of("probe_outer", "tail"), Some(120));
    assert_eq!(dwarf.size_of_member("probe_outer", "tail"), Some(0));
    assert_eq!(dwarf.struct_size("probe_nothing"), None);
    assert_eq!(dwarf.size_of_member("task_struct", "comm"), Some(16));
    assert!(dwarf.struct_size("spinlock_t").is_some());
}

#[test]
fn layouts_and_lines() {
    let Some((headers, release)) = headers() else {
        return;
    };
    let (dir, data) = build(&headers, "");
    let elf = Elf::parse(&data).unwrap();
    let dwarf = Dwarf::new(&elf).unwrap().expect("built with -g");
    check_layouts(&dwarf);

    // The struct module that the compiler laid out is the one in the file.
    let this = elf.section(".gnu.linkonce.this_module").unwrap();
    assert_eq!(dwarf.struct_size("module"), Some(this.size));

    // The function's first instruction belongs to the line of its name or brace.
    let symbol = |name: &str| elf.symbols().find(|s| s.name.starts_with(name)).unwrap();
    let helper = symbol("probe_helper");
    let at = dwarf.line(helper.shndx as usize, helper.value).unwrap();
    assert!(at.file.ends_with("probe.c"), "{}", at.file);
    assert_eq!(at.line, line_of("int probe_helper"));
    let init = symbol("init_module");
    let at = dwarf.line(init.shndx as usize, init.value).unwrap();
    assert!(at.file.ends_with("probe.c"));
    assert_eq!(at.line, line_of("probe_init(void)") + 1);
    assert_eq!(dwarf.line(0, 0), None);
    assert_eq!(dwarf.line(helper.shndx as usize, 1 << 40), None);

    // All code of the module, against binutils.
    for name in [".text", ".init.text", ".exit.text"] {
        let section = elf.section(name).unwrap();
        let addresses: Vec<String> = (0..section.size).map(|a| format!("{a:#x}")).collect();
        let out = Command::new("addr2line")
            .arg("-e")
            .arg(dir.path().join("probe.ko"))
            .args(["-j", name])
            .args(&addresses)
            .output();
        let Ok(out) = out else {
            eprintln!("SKIPPED: addr2line is not installed");
            break;
        };
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(text.lines().count() as u64, section.size);
        for (address, theirs) in text.lines().enumerate() {
            let theirs = theirs.split(" (").next().unwrap();
            match dwarf.line(section.index, address as u64) {
                Some(ours) => {
                    let (file, line) = theirs.rsplit_once(':').unwrap();
                    assert_eq!(line, ours.line.to_string(), "{name}+{address:#x}");
                    let (file, ours) = (Path::new(file), Path::new(ours.file));
                    assert_eq!(file.file_name(), ours.file_name());
                }
                None => assert!(theirs.contains('?'), "{name}+{address:#x}: {theirs}"),
            }
        }
    }

    // The module's own structs are known along with the kernel's.
    let module = ModuleFile::parse(&data).unwrap();
    let types = KernelTypes::for_module(&module, None);
    assert!(types.describe().contains("debug information"));
    assert_eq!(types.struct_size("probe_inner"), Some(8));
    assert_eq!(types.struct_size("module"), Some(this.size));
    // A table that has another struct module is not used.
    let mut other = module.clone();
    other.this_module.size += 64;
    assert!(KernelTypes::for_module(&other, None).builtin().is_none());

    // Every layout the kernel's BTF has, too, is the same there.
    let image = format!("/boot/vmlinuz-{release}");
    let Ok(raw) = std::fs::read(&image) else {
        eprintln!("SKIPPED: no {image}");
        return;
    };
    let btf = Btf::parse(vmlinux::btf_bytes(&raw).unwrap()).unwrap();
    let mut compared = 0;
    for name in [
        "module",
        "task_struct",
        "device",
        "miscdevice",
        "mm_struct",
        "platform_device",
    ] {
        assert_eq!(dwarf.struct_size(name), btf.struct_size(name), "{name}");
        for m in btf.layout(name).unwrap().iter().step_by(7) {
            // DWARF knows only declarations of what the module does not use.
            if let Some(offset) = dwarf.offset_of(name, &m.path) {
                assert_eq!(
                    Some(offset),
                    btf.offset_of(name, &m.path),
                    "{name}.{}",
                    m.path
                );
                assert_eq!(dwarf.size_of_member(name, &m.path), Some(m.size));
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared}");
}

#[test]
fn older_and_compressed_forms() {
    let Some((headers, _)) = headers() else {
        return;
    };
    for flags in ["-gdwarf-4", "-gz=zlib"] {
        let (_dir, data) = build(&headers, flags);
        let elf = Elf::parse(&data).unwrap();
        let dwarf = Dwarf::new(&elf).unwrap().unwrap();
        check_layouts(&dwarf);
        let helper = elf
            .symbols()
            .find(|s| s.name.starts_with("probe_helper"))
            .unwrap();
        let at = dwarf.line(helper.shndx as usize, helper.value).unwrap();
        assert_eq!(at.line, line_of("int probe_helper"), "{flags}");
    }
}

#[test]
fn damaged_debug_information() {
    let Some((headers, _)) = headers() else {
        return;
    };
    let (_dir, data) = build(&headers, "");
    let elf = Elf::parse(&data).unwrap();
    let sections: Vec<_> = elf
        .sections
        .iter()
        .filter(|s| s.name.contains(".debug_"))
        .map(|s| s.offset as usize..(s.offset + s.size) as usize)
        .collect();
    assert!(sections.len() > 5);
    let mut random = Random(0xdead_beef);
    let mut answers = 0;
    for _ in 0..400 {
        // Only one debug section is damaged, so that the rest leads there.
        let mut damaged = data.clone();
        let range = sections[random.below(sections.len())].clone();
        let part = mutate(&data[range.clone()], &mut random);
        damaged[range.start..range.start + part.len()].copy_from_slice(&part);
        let elf = Elf::parse(&damaged).unwrap();
        let Ok(Some(dwarf)) = Dwarf::new(&elf) else {
            continue;
        };
        for name in ["module", "probe_outer", "task_struct", "spinlock_t"] {
            answers += usize::from(dwarf.struct_size(name).is_some());
            for path in ["grid[1][2].high", "named.deep", "comm", "mkobj.kobj.name"] {
                let _ = (
                    dwarf.offset_of(name, path),
                    dwarf.size_of_member(name, path),
                );
            }
        }
        for section in 0..elf.sections.len() {
            let _ = dwarf.line(section, 3);
        }
    }
    assert!(answers > 100, "{answers}");
}
