//! Module files made from nothing: enough of an ELF object for depmod and
//! modinfo, and too little for any kernel to load.

#![allow(dead_code, reason = "each test uses a part")]

/// Numbers that are the same on every run (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n.max(1))) as u32
    }
}

/// A module to be.
#[derive(Default, Clone)]
pub struct Module {
    /// Strings of `.modinfo`.
    pub info: Vec<String>,
    pub exports: Vec<String>,
    pub imports: Vec<String>,
}

impl Module {
    pub fn new(name: &str) -> Module {
        Module::default()
            .info(&format!("name={name}"))
            .info("license=GPL")
    }

    pub fn info(mut self, s: &str) -> Module {
        self.info.push(s.into());
        self
    }

    pub fn exports(mut self, s: &str) -> Module {
        self.exports.push(s.into());
        self
    }

    pub fn imports(mut self, s: &str) -> Module {
        self.imports.push(s.into());
        self
    }

    /// The file: little-endian, 64-bit.
    pub fn build(&self) -> Vec<u8> {
        let strings = |all: &[String]| {
            all.iter()
                .flat_map(|s| s.bytes().chain([0]))
                .collect::<Vec<u8>>()
        };
        let mut strtab = vec![0];
        let mut symtab = vec![0; 24];
        let mut symbol = |name: &str, section: u16, value: u64| {
            symtab.extend_from_slice(&(strtab.len() as u32).to_le_bytes());
            symtab.extend_from_slice(&[0x10, 0]);
            symtab.extend_from_slice(&section.to_le_bytes());
            symtab.extend_from_slice(&value.to_le_bytes());
            symtab.extend_from_slice(&[0; 8]);
            strtab.extend_from_slice(name.as_bytes());
            strtab.push(0);
        };
        let crc = |name: &str| {
            name.bytes()
                .fold(7u64, |h, c| (h * 31 + u64::from(c)) & 0xffff_ffff)
        };
        for e in &self.exports {
            symbol(&format!("__crc_{e}"), 0xfff1, crc(e));
            symbol(e, 1, 0);
        }
        let mut versions = Vec::new();
        for i in &self.imports {
            symbol(i, 0, 0);
            let mut entry = crc(i).to_le_bytes().to_vec();
            entry.extend_from_slice(i.as_bytes());
            entry.resize(64, 0);
            versions.extend(entry);
        }
        let note = [
            &[4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0][..],
            b"GNU\0",
            &[0xab; 20],
        ]
        .concat();
        let sections: [(&str, u32, Vec<u8>); 6] = [
            (".modinfo", 1, strings(&self.info)),
            ("__ksymtab_strings", 1, strings(&self.exports)),
            ("__versions", 1, versions),
            (".note.gnu.build-id", 7, note),
            (".symtab", 2, symtab),
            (".strtab", 3, strtab),
        ];
        let mut names = vec![0];
        let mut out = vec![0; 64];
        let mut headers = vec![0; 64];
        let mut header = |name: usize, kind: u32, at: usize, len: usize| {
            headers.extend_from_slice(&(name as u32).to_le_bytes());
            headers.extend_from_slice(&kind.to_le_bytes());
            headers.extend_from_slice(&[0; 16]);
            headers.extend_from_slice(&(at as u64).to_le_bytes());
            headers.extend_from_slice(&(len as u64).to_le_bytes());
            headers.extend_from_slice(&[0; 24]);
        };
        for (name, kind, content) in &sections {
            header(names.len(), *kind, out.len(), content.len());
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            out.extend_from_slice(content);
        }
        header(names.len(), 3, out.len(), names.len() + 10);
        names.extend_from_slice(b".shstrtab\0");
        out.extend_from_slice(&names);
        let table = out.len() as u64;
        out.extend_from_slice(&headers);
        let ident = [&b"\x7fELF"[..], &[2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        out[..16].copy_from_slice(&ident);
        out[16..20].copy_from_slice(&[1, 0, 62, 0]);
        out[20] = 1;
        out[40..48].copy_from_slice(&table.to_le_bytes());
        out[52] = 64;
        out[58] = 64;
        out[60] = (sections.len() + 2) as u8;
        out[62] = (sections.len() + 1) as u8;
        out
    }
}

/// A damaged copy: some bytes changed, telling numbers put in, pieces cut off,
/// repeated or taken from elsewhere.
pub fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    const WORDS: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let mut data = original.to_vec();
    for _ in 0..=random.below(5) {
        if data.is_empty() {
            break;
        }
        let at = random.below(data.len() as u32) as usize;
        match random.below(10) {
            0 => data.truncate(at),
            1 | 2 => {
                let word = WORDS[random.below(8) as usize];
                let word = match random.below(2) {
                    0 => word.to_le_bytes(),
                    _ => word.to_be_bytes(),
                };
                let end = (at + 4).min(data.len());
                data[at..end].copy_from_slice(&word[..end - at]);
            }
            3 => {
                let end = (at + random.below(64) as usize).min(data.len());
                let piece = data[at..end].to_vec();
                let to = random.below(data.len() as u32) as usize;
                data.splice(to..to, piece);
            }
            4 => {
                let end = (at + random.below(16) as usize).min(data.len());
                data.drain(at..end);
            }
            5 => data[at] = b"*?[]\\-_:.\n\0\" \t#"[random.below(15) as usize],
            _ => data[at] ^= 1 << random.below(8),
        }
    }
    data
}
