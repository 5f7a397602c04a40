//! The installed kernel images: BTF and exports, against the kernel package's own tables.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use lkm_object::btf::{Kind, ValueKind};
use lkm_object::vmlinux::{self, Memory};
use lkm_object::{Btf, Elf, KernelTypes, ModuleFile, Types};

/// Image and release of each kernel that has image and modules installed.
fn kernels() -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir("/boot").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if let Some(release) = name.strip_prefix("vmlinuz-")
            && PathBuf::from(format!("/lib/modules/{release}/kernel")).is_dir()
        {
            out.push((entry.path(), release.to_owned()));
        }
    }
    if out.is_empty() {
        eprintln!("SKIPPED: no kernel image under /boot (install a linux-image package)");
    }
    out
}

#[test]
fn types_of_the_kernel_and_of_each_module() {
    for (image, release) in kernels() {
        let bytes = vmlinux::btf_bytes(&std::fs::read(&image).unwrap()).unwrap();
        let kernel = Arc::new(Btf::parse(bytes).unwrap());
        assert!(kernel.end_id() > 50_000);

        // Facts that hold in every 64-bit kernel of the last years, whatever the offsets.
        assert_eq!(kernel.struct_size("list_head"), Some(16));
        assert_eq!(kernel.offset_of("list_head", "prev"), Some(8));
        assert_eq!(kernel.struct_size("work_struct"), Some(32));
        assert_eq!(kernel.offset_of("work_struct", "func"), Some(24));
        assert_eq!(kernel.size_of_member("task_struct", "comm"), Some(16));
        assert_eq!(
            kernel.offset_of("device", "kobj.name"),
            kernel
                .offset_of("device", "kobj")
                .zip(kernel.offset_of("kobject", "name"))
                .map(|(a, b)| a + b)
        );
        // `name` of struct module is 24 in all of them, and the array is indexed by bytes.
        assert_eq!(kernel.offset_of("module", "name"), Some(24));
        assert_eq!(kernel.offset_of("module", "name[5]"), Some(29));
        // mm_struct is one anonymous struct; its members are found all the same.
        assert!(kernel.offset_of("mm_struct", "mmap_lock").is_some());
        assert_eq!(kernel.offset_of("task_struct", "no_such_member"), None);
        // Bit fields have no address.
        let task = kernel.layout("task_struct").unwrap();
        let bit = task.iter().find(|m| m.bits != 0).unwrap();
        assert_eq!(kernel.offset_of("task_struct", &bit.path), None);
        // Every flattened path leads back to its own offset.
        for m in task.iter().filter(|m| m.bits == 0) {
            let at = kernel.offset_of("task_struct", &m.path);
            assert_eq!(at, Some(m.bit_offset / 8), "{}", m.path);
        }

        let printk = kernel.func("_printk").unwrap();
        assert!(printk.variadic && printk.args.len() == 1);
        assert_eq!(
            printk.ret,
            ValueKind::Int {
                bytes: 4,
                signed: true
            }
        );
        let register = kernel.func("misc_register").unwrap();
        assert_eq!(kernel.base_name(register.args[0].type_id), "miscdevice");
        let states = kernel.enumerators("module_state").unwrap();
        assert!(states.contains(&("MODULE_STATE_GOING", 2)));

        // Every module's split table reads, and agrees with the size of its struct module.
        let size = kernel.struct_size("module").unwrap();
        let mut count = 0;
        walk(&format!("/lib/modules/{release}/kernel"), &mut |path| {
            let raw = std::fs::read(path).unwrap();
            let data = lkm_object::decompress(&raw, lkm_object::DEFAULT_LIMIT).unwrap();
            let module = ModuleFile::parse(&data).unwrap();
            assert_eq!(module.this_module.size, size, "{}", path.display());
            let init = kernel.offset_of("module", "init");
            assert!(
                module
                    .this_module
                    .init
                    .is_none_or(|h| Some(h.member) == init),
                "{}",
                path.display()
            );
            let exit = kernel.offset_of("module", "exit");
            assert!(
                module
                    .this_module
                    .exit
                    .is_none_or(|h| Some(h.member) == exit)
            );
            let own = module.elf.section(".BTF").unwrap().data;
            let split = Btf::parse_split(own, kernel.clone()).unwrap();
            for id in split.own_ids() {
                let t = split.get(id).unwrap();
                for m in t.members() {
                    assert!(split.get(m.type_id).is_some());
                }
                if t.kind == Kind::Func {
                    assert!(split.proto(t.size_or_type).is_some(), "{}", t.name);
                }
            }
            assert_eq!(split.struct_size("list_head"), Some(16));
            if count % 100 == 0 {
                let types = KernelTypes::for_module(&module, Some(kernel.clone()));
                assert!(types.describe().starts_with("BTF of the kernel"));
                assert_eq!(types.btf().unwrap().own_ids(), split.own_ids());
                // Without an image, a stock kernel's layouts are the built-in ones, or none.
                let types = KernelTypes::for_module(&module, None);
                assert_eq!(types.is_empty(), types.struct_size("module").is_none());
            }
            count += 1;
        });
        eprintln!("{release}: {} types, {count} modules", kernel.end_id());
    }
}

fn walk(dir: &str, each: &mut dyn FnMut(&std::path::Path)) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            walk(path.to_str().unwrap(), each);
        } else if path.to_str().unwrap().contains(".ko") {
            each(&path);
        }
    }
}

#[test]
fn exports_equal_module_symvers() {
    for (image, release) in kernels() {
        let path = format!("/usr/src/linux-headers-{release}/Module.symvers");
        let Ok(symvers) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: no Module.symvers (install the linux-headers package)");
            continue;
        };
        let theirs: HashMap<_, _> = lkm_object::symvers(&symvers)
            .filter(|e| e.module == "vmlinux")
            .map(|e| (e.name, e))
            .collect();
        assert_eq!(
            lkm_object::symvers(&symvers).count(),
            symvers.lines().count()
        );
        let raw = std::fs::read(&image).unwrap();
        let data = vmlinux::vmlinux(&raw).unwrap();
        let elf = Elf::parse(&data).unwrap();
        let ours = vmlinux::exports(&elf);
        assert_eq!(ours.len(), theirs.len());
        let btf = Btf::parse(elf.section(".BTF").unwrap().data).unwrap();
        for e in &ours {
            let their = theirs[e.name];
            assert_eq!(e.crc, Some(their.crc), "{}", e.name);
            assert_eq!((e.gpl, e.namespace), (their.gpl, their.namespace));
            // A function of the BTF is text, and nothing else is.
            if btf.find(e.name, &[Kind::Func]).is_some() {
                assert_eq!(e.memory, Memory::Text, "{}", e.name);
            }
        }
        assert!(ours.iter().filter(|e| e.memory == Memory::Percpu).count() > 5);
        assert!(ours.iter().all(|e| e.memory != Memory::Absolute));
    }
}

#[test]
fn the_built_in_table_is_what_the_kernel_says() {
    for (image, release) in kernels() {
        let Some(table) = lkm_object::builtin(&release).filter(|t| t.release() == release) else {
            eprintln!("SKIPPED: no built-in table was taken from {release}");
            continue;
        };
        let raw = std::fs::read(&image).unwrap();
        assert_eq!(vmlinux::release(&raw), Some(&*release));
        let btf = Btf::parse(vmlinux::btf_bytes(&raw).unwrap()).unwrap();
        let (mut structs, mut members) = (0, 0);
        for name in table.structs() {
            // Structs that have no name of their own are known by their member.
            if name.contains('.') {
                continue;
            }
            assert_eq!(table.struct_size(name), btf.struct_size(name), "{name}");
            structs += 1;
            for m in btf.layout(name).unwrap() {
                if m.bits != 0 {
                    continue;
                }
                let wanted = (Some(m.bit_offset / 8), Some(m.size));
                let path = &m.path;
                let found = (
                    table.offset_of(name, path),
                    table.size_of_member(name, path),
                );
                assert_eq!(found, wanted, "{name}.{path}");
                members += 1;
            }
        }
        eprintln!("{release}: {structs} structs, {members} members equal");
    }
}
