//! Random damage, the same on every run: whatever is in a module, an index, a
//! configuration file, a signature or the cache, each tool comes back with an
//! answer or an error.
//!
//! `LKM_MUTATIONS` says how many of each kind (`cargo xtask test --long`:
//! 100,000, with bounded memory and time).

#[path = "support/mod.rs"]
mod support;
#[path = "support/world.rs"]
mod world;

use lkm_tree::config::depmod::DepmodConfig;
use lkm_tree::config::{Config, cmdline};
use lkm_tree::depmod::facts;
use lkm_tree::fs::Files;
use lkm_tree::fs_memory::{MemoryFile, MemoryFiles};
use lkm_tree::{modinfo, symbols};
use support::{Module, Random, mutate};
use world::{FakeHost, FakeKernel, run};

const BASE: &str = "/lib/modules/1.2.3";

fn count() -> u32 {
    let asked = std::env::var("LKM_MUTATIONS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1500)
}

fn tool(fs: &MemoryFiles, command: &str) -> i32 {
    let (_, _, code) = run(fs, &FakeKernel::default(), &FakeHost::default(), command);
    assert!(code == 0 || code == 1, "{command}: {code}");
    code
}

/// A tree with something in every index.
fn sample() -> MemoryFiles {
    let fs = MemoryFiles::new();
    let put = |name: &str, m: Module| fs.put(&format!("{BASE}/kernel/{name}.ko"), m.build());
    let base = Module::new("base").exports("base_sym").exports("base_two");
    put(
        "base",
        base.info("alias=char-major-10-1")
            .info("alias=devname:base"),
    );
    put(
        "user",
        Module::new("user")
            .imports("base_sym")
            .exports("user_sym")
            .info("softdep=pre: other post: base")
            .info("alias=pci:v00001234d*sv*sd*bc03sc*i*")
            .info("alias=usb:v1D6Bp000[1-3]d*dc*"),
    );
    put(
        "other",
        Module::new("other")
            .imports("user_sym")
            .imports("base_two")
            .info("weakdep=base")
            .info("parm=n:how many")
            .info("parmtype=n:int")
            .info("alias=pci:v00001234d*sv*sd*bc03sc*i*"),
    );
    fs.put(&format!("{BASE}/modules.order"), "kernel/base.ko\n");
    fs.put(&format!("{BASE}/modules.builtin"), "kernel/in.ko\n");
    fs.put(
        &format!("{BASE}/modules.builtin.modinfo"),
        "in.alias=fs-in\0in.license=GPL\0",
    );
    fs.put(
        "/etc/modprobe.d/a.conf",
        "alias al-* user\noptions user a=1\nblacklist other\ninstall in /bin/true $CMDLINE_OPTS\n\
         softdep base pre: in\ndeny nothing* because\nallow user base other in\ndirectory /run/m\n",
    );
    assert_eq!(tool(&fs, "depmod --incremental"), 0);
    fs
}

/// Some must get through, and some must not, or the damage tests nothing.
struct Outcomes([u32; 2]);

impl Outcomes {
    fn note(&mut self, good: bool) {
        self.0[usize::from(good)] += 1;
    }

    fn both(&self) {
        assert!(self.0.iter().all(|&n| n > 0), "bad and good: {:?}", self.0);
    }
}

#[test]
fn modules() {
    let original = Module::new("m")
        .exports("e")
        .imports("printk")
        .info("alias=x*")
        .info("softdep=pre: y")
        .info("parm=p:q")
        .build();
    let mut random = Random::new(1);
    let mut seen = Outcomes([0; 2]);
    for _ in 0..count() {
        let data = mutate(&original, &mut random);
        let whole = facts::from_image(&data, true);
        let parts = facts::read(&MemoryFile::new(data.clone()), true);
        seen.note(whole.is_ok());
        assert_eq!(whole.is_ok(), parts.is_ok());
        if let Ok(f) = &whole {
            let all = f.aliases.iter().chain(&f.softdeps).chain(&f.weakdeps);
            let _ = all.map(|&s| f.get(s).len()).sum::<usize>();
        }
        if let Ok(info) = modinfo::read(&MemoryFile::new(data.clone())) {
            let _ = info.lines();
        }
        let _ = symbols::versions(&data);
    }
    seen.both();
}

#[test]
fn modules_of_a_tree() {
    let fs = sample();
    let path = format!("{BASE}/kernel/user.ko");
    let original = fs.read(path.as_bytes(), 1 << 20).unwrap();
    let mut random = Random::new(2);
    let mut seen = Outcomes([0; 2]);
    for i in 0..count() {
        fs.put(&path, mutate(&original, &mut random));
        // With the cache of the run before, and without.
        let how = if i % 2 == 0 {
            "--incremental"
        } else {
            "--no-incremental"
        };
        seen.note(tool(&fs, &format!("depmod {how}")) == 0);
        for command in [
            "modinfo user",
            "modprobe -D other",
            "modprobe --show-exports user",
        ] {
            tool(&fs, command);
        }
    }
    seen.both();
}

#[test]
fn indexes() {
    for (seed, index) in [
        "modules.dep.bin",
        "modules.alias.bin",
        "modules.symbols.bin",
        "modules.builtin.bin",
        "modules.builtin.alias.bin",
    ]
    .iter()
    .enumerate()
    {
        let fs = sample();
        let path = format!("{BASE}/{index}");
        let original = fs.read(path.as_bytes(), 1 << 20).unwrap();
        let mut random = Random::new(10 + seed as u64);
        for _ in 0..count() {
            fs.put(&path, mutate(&original, &mut random));
            for command in [
                "modprobe -D other",
                "modprobe -R pci:v00001234d0sv0sd0bc03sc0i0",
                "modprobe -R symbol:base_sym",
                "modprobe -R fs-in",
                "modprobe -D in",
                "modprobe -c",
                "modinfo user",
            ] {
                tool(&fs, command);
            }
        }
    }
}

#[test]
fn configuration() {
    let text = "alias a-[0-9]* b\noptions c d=\"e f\" g\\\n h\ninstall i j $CMDLINE_OPTS\nremove k l\n\
                softdep m pre: n o post: p\nweakdep q r\nblacklist s\ndeny t* u v\nallow w x-*\n\
                directory /y\ninclude z\n# comment\nsearch updates built-in external\n\
                override a * b\nexternal 1.* /c\nexclude d\n";
    let line = "ro a.b=\"c d\" \"e.f=g h\" modprobe.blacklist=i,j k.l m.n=o.p=q quiet";
    let mut random = Random::new(3);
    let mut complaints = Outcomes([0; 2]);
    for _ in 0..count() {
        let data = mutate(text.as_bytes(), &mut random);
        let mut config = Config::default();
        config.parse(b"f", &data);
        cmdline::parse(&mutate(line.as_bytes(), &mut random), &mut config);
        complaints.note(config.complaints.len() > 5);
        for name in [&b"m"[..], b"a_1", b"c", b""] {
            let _ = (config.softdeps_of(name), config.weakdeps_of(name));
            let _ = (config.install_command(name), config.remove_command(name));
            let _ = (config.denied(name), config.allowed(name));
            let _ = config.options_of(name, Some(b"a"));
        }
        DepmodConfig::default().parse(b"f", &data, b"1.2.3");
    }
    complaints.both();
    // And through the tools, with the indexes that are configuration as well.
    let fs = sample();
    let files = [
        "/etc/modprobe.d/a.conf".to_string(),
        format!("{BASE}/modules.softdep"),
    ];
    let originals = files
        .clone()
        .map(|f| fs.read(f.as_bytes(), 1 << 20).unwrap());
    for i in 0..count() {
        let which = (i % 2) as usize;
        fs.put(&files[which], mutate(&originals[which], &mut random));
        for command in [
            "modprobe -D other",
            "modprobe -n al-1",
            "modprobe -c",
            "modprobe -nr user",
        ] {
            tool(&fs, command);
        }
    }
}

/// DER: a tag, the length, the contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        n if n < 0x80 => out.push(n as u8),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(body);
    out
}

/// A module with a signature that names its signer, as sign-file makes it.
fn signed() -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const OID: u8 = 6;
    let sha256 = der(
        SEQUENCE,
        &[&der(OID, &[b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"])],
    );
    let rsa = der(
        SEQUENCE,
        &[&der(OID, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"])],
    );
    let common_name = der(
        SEQUENCE,
        &[
            &der(OID, &[b"\x55\x04\x03"]),
            &der(12, &[b"Somebody's key"]),
        ],
    );
    let issuer = der(SEQUENCE, &[&der(SET, &[&common_name])]);
    let serial = der(2, &[b"\x12\x34\x56\x78\x9a"]);
    let one = der(2, &[b"\x01"]);
    let who = der(SEQUENCE, &[&issuer, &serial]);
    let info = der(
        SEQUENCE,
        &[&one, &who, &sha256, &rsa, &der(4, &[&[0xab; 256]])],
    );
    let data = der(
        SEQUENCE,
        &[&der(OID, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"])],
    );
    let signed_data = der(
        SEQUENCE,
        &[&one, &der(SET, &[&sha256]), &data, &der(SET, &[&info])],
    );
    let kind = der(OID, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"]);
    let message = der(SEQUENCE, &[&kind, &der(0xa0, &[&signed_data])]);
    let mut out = Module::new("signed").build();
    out.extend(&message);
    out.extend([0, 0, 2, 0, 0, 0, 0, 0]);
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(b"~Module signature appended~\n");
    out
}

#[test]
fn signatures() {
    let original = signed();
    let fs = MemoryFiles::new();
    let said = |fs: &MemoryFiles| {
        run(
            fs,
            &FakeKernel::default(),
            &FakeHost::default(),
            "modinfo /m.ko",
        )
    };
    fs.put("/m.ko", original.clone());
    let (text, _, code) = said(&fs);
    assert_eq!(code, 0);
    assert!(text.contains("signer:         Somebody's key\n"), "{text}");
    assert!(text.contains("sig_key:        12:34:56:78:9A\n"), "{text}");
    assert!(text.contains("sig_hashalgo:   sha256\n"), "{text}");
    let module = Module::new("signed").build().len();
    let mut random = Random::new(4);
    let mut seen = Outcomes([0; 2]);
    for _ in 0..count() {
        let mut data = original[..module].to_vec();
        data.extend(mutate(&original[module..], &mut random));
        fs.put("/m.ko", data);
        let (text, _, code) = said(&fs);
        assert!(code == 0 || code == 1);
        seen.note(text.contains("signer:         Somebody's key\n"));
    }
    seen.both();
}

#[test]
fn caches() {
    let fs = sample();
    let path = format!("{BASE}/modules.lkm-cache");
    let original = fs.read(path.as_bytes(), 1 << 20).unwrap();
    let dep = fs.read(format!("{BASE}/modules.dep").as_bytes(), 1 << 20);
    let mut random = Random::new(5);
    for _ in 0..count() {
        let mut data = mutate(&original, &mut random);
        // Past the checksum.
        if data.len() > 16 {
            let sum = lkm_tree::depmod::cache::checksum(&data[16..]);
            data[8..16].copy_from_slice(&sum.to_le_bytes());
        }
        fs.put(&path, data);
        tool(&fs, "depmod");
    }
    fs.put(&path, original);
    assert_eq!(tool(&fs, "depmod --no-incremental"), 0);
    assert_eq!(
        fs.read(format!("{BASE}/modules.dep").as_bytes(), 1 << 20),
        dep
    );
}
