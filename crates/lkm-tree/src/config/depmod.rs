//! depmod.d(5): which of several modules of one name counts.

use super::Complaint;
use super::directory::FileList;
use crate::bytes;
use crate::ere::Ere;
use crate::fs::Files;
use crate::text::{Lines, next_word};

/// Where configuration is looked for, in order of precedence.
pub const DEFAULT_PATHS: [&[u8]; 5] = [
    b"/etc/depmod.d",
    b"/run/depmod.d",
    b"/usr/local/lib/depmod.d",
    b"/usr/lib/depmod.d",
    b"/lib/depmod.d",
];

/// A place of the search order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// A directory below the module directory.
    Path(Vec<u8>),
    /// `built-in`: whatever no other place claims.
    Builtin,
    /// `external`: the directories of the `external` lines.
    External,
}

/// The directives of one kernel version. Each list has what was written last
/// first, as the lines weigh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepmodConfig {
    pub searches: Vec<Search>,
    /// `DIR/MODULE`, without extension.
    pub overrides: Vec<Vec<u8>>,
    pub externals: Vec<Vec<u8>>,
    /// Names of directories that are not entered.
    pub excludes: Vec<Vec<u8>>,
    pub complaints: Vec<Complaint>,
}

impl DepmodConfig {
    /// Reads the configuration that applies to a kernel version.
    pub fn load(fs: &dyn Files, paths: &[&[u8]], version: &[u8]) -> DepmodConfig {
        let mut config = DepmodConfig::default();
        let mut list = FileList::of_depmod();
        for path in paths {
            list.add_path(fs, path, &mut config.complaints);
        }
        for f in &list.files {
            match f.read(fs) {
                Ok(text) => config.parse(&f.path, &text, version),
                Err(e) => config.complain(bytes!("file parse ", f.path, ": ", e.text()), false),
            }
        }
        if config.searches.is_empty() {
            config.searches.push(Search::Path(b"updates".into()));
        }
        config
    }

    fn complain(&mut self, text: Vec<u8>, minor: bool) {
        self.complaints.push(Complaint {
            text,
            minor,
            from: "cfg_file_parse",
        });
    }

    /// Parses one file; `path` is for messages.
    pub fn parse(&mut self, path: &[u8], text: &[u8], version: &[u8]) {
        let mut lines = Lines::new(text);
        while let Some(line) = lines.next() {
            if line.starts_with(b"#") {
                continue;
            }
            let Some((word, mut rest)) = next_word(&line) else {
                continue;
            };
            let mut words = Vec::new();
            while let Some((w, r)) = next_word(rest) {
                words.push(w);
                rest = r;
            }
            let at = bytes!(path, ":", lines.number.to_string(), ": ");
            match (word, &words[..]) {
                (b"search", words) => {
                    for &w in words {
                        self.searches.insert(
                            0,
                            match w {
                                b"built-in" => Search::Builtin,
                                b"external" => Search::External,
                                dir => Search::Path(dir.to_vec()),
                            },
                        );
                    }
                }
                (b"override", [module, pattern, dir, ..]) => {
                    if version_matches(pattern, version) {
                        self.overrides.insert(0, bytes!(dir, "/", module));
                    } else {
                        let text = bytes!(at, "override kernel did not match ", pattern);
                        self.complain(text, true);
                    }
                }
                (b"external", [pattern, dir, ..]) => {
                    if version_matches(pattern, version) {
                        self.externals.insert(0, dir.to_vec());
                    } else {
                        let text = bytes!(at, "external directory did not match ", pattern);
                        self.complain(text, true);
                    }
                }
                (b"exclude", names) => {
                    for n in names {
                        self.excludes.insert(0, n.to_vec());
                    }
                }
                (b"include" | b"make_map_files", _) => {
                    self.complain(bytes!(at, "command ", word, " not implemented yet"), true);
                }
                _ => {
                    let text = bytes!(at, "ignoring bad line starting with '", word, "'");
                    self.complain(text, false);
                }
            }
        }
    }
}

/// `*`, or a POSIX extended regular expression found anywhere in the version.
fn version_matches(pattern: &[u8], version: &[u8]) -> bool {
    pattern == b"*" || Ere::compile(pattern).is_ok_and(|re| re.is_match(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives() {
        let mut c = DepmodConfig::default();
        c.parse(
            b"d.conf",
            b"search updates extra built-in\noverride m ^6\\. over\noverride m 5.* x\n\
              external * /ext\nexclude a b\ninclude z\nfoo\noverride m\n",
            b"6.1.0",
        );
        assert_eq!(
            c.searches,
            [
                Search::Builtin,
                Search::Path(b"extra".into()),
                Search::Path(b"updates".into())
            ]
        );
        assert_eq!(c.overrides, [b"over/m".to_vec()]);
        assert_eq!(c.externals, [b"/ext".to_vec()]);
        assert_eq!(c.excludes, [b"b".to_vec(), b"a".to_vec()]);
        let said: Vec<_> = c
            .complaints
            .iter()
            .filter(|c| !c.minor)
            .map(|c| String::from_utf8_lossy(&c.text).into_owned())
            .collect();
        assert_eq!(
            said,
            [
                "d.conf:7: ignoring bad line starting with 'foo'",
                "d.conf:8: ignoring bad line starting with 'override'"
            ]
        );
    }
}
