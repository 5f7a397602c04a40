//! modprobe.d(5): what is loaded under which name, with which options, and
//! what is not.

use super::directory::FileList;
use super::{Complaint, cmdline};
use crate::bytes;
use crate::fnmatch::fnmatch;
use crate::fs::Files;
use crate::text::{Lines, is_space, next_word, underscores};

/// `alias PATTERN MODULE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub pattern: Vec<u8>,
    pub module: Vec<u8>,
}

/// `options MODULE TEXT`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub module: Vec<u8>,
    pub text: Vec<u8>,
}

/// `install PATTERN COMMAND`, `remove PATTERN COMMAND`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub pattern: Vec<u8>,
    pub command: Vec<u8>,
}

/// `softdep PATTERN pre: NAME.. post: NAME..`
///
/// A system has many such lines, of which one run of a tool looks at a few:
/// they are taken apart when they are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Softdep {
    pub pattern: Vec<u8>,
    /// What follows the pattern.
    text: Vec<u8>,
}

impl Softdep {
    /// The names after `pre:`.
    pub fn pre(&self) -> impl Iterator<Item = &[u8]> {
        self.names(b"pre:")
    }

    /// The names after `post:`.
    pub fn post(&self) -> impl Iterator<Item = &[u8]> {
        self.names(b"post:")
    }

    fn names<'a>(&'a self, wanted: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        // Words before the first label mean nothing.
        let mut label: &[u8] = b"";
        words(&self.text).filter(move |&w| {
            let is_label = matches!(w, b"pre:" | b"post:");
            if is_label {
                label = w;
            }
            !is_label && label == wanted
        })
    }
}

/// `weakdep PATTERN NAME..`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakdep {
    pub pattern: Vec<u8>,
    /// What follows the pattern.
    text: Vec<u8>,
}

impl Weakdep {
    /// The names.
    pub fn weak(&self) -> impl Iterator<Item = &[u8]> {
        words(&self.text)
    }
}

/// `deny PATTERN [REASON]`: never loaded, by no way that modprobe knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deny {
    pub pattern: Vec<u8>,
    pub reason: Vec<u8>,
    /// Where it is written.
    pub file: Vec<u8>,
    pub line: u32,
}

/// All directives, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub aliases: Vec<Alias>,
    pub blacklists: Vec<Vec<u8>>,
    pub options: Vec<Options>,
    pub install: Vec<Command>,
    pub remove: Vec<Command>,
    pub softdeps: Vec<Softdep>,
    pub weakdeps: Vec<Weakdep>,
    pub deny: Vec<Deny>,
    /// `allow PATTERN..`: where there is one, nothing else may be loaded.
    pub allow: Vec<Vec<u8>>,
    /// `directory PATH`: where to look, below the kernel's version, for
    /// modules that `/lib/modules` does not have.
    pub directories: Vec<Vec<u8>>,
    pub complaints: Vec<Complaint>,
}

/// Where configuration is looked for, in order of precedence.
pub const DEFAULT_PATHS: [&[u8]; 5] = [
    b"/etc/modprobe.d",
    b"/run/modprobe.d",
    b"/usr/local/lib/modprobe.d",
    b"/usr/lib/modprobe.d",
    b"/lib/modprobe.d",
];

impl Config {
    /// Reads the configuration: the soft and weak dependencies that depmod
    /// found in `dirname`, the files of `paths`, and the kernel command line.
    pub fn load(
        fs: &dyn Files,
        dirname: &[u8],
        paths: &[&[u8]],
        command_line: Option<&[u8]>,
    ) -> Config {
        let mut config = Config::default();
        let mut list = FileList::default();
        for name in ["modules.softdep", "modules.weakdep"] {
            list.add(&bytes!(dirname, "/", name), name.as_bytes());
        }
        for path in paths {
            list.add_path(fs, path, &mut config.complaints);
        }
        for f in &list.files {
            // A file that cannot be opened is passed over, as kmod does.
            if let Ok(text) = f.read(fs) {
                config.parse(&f.path, &text);
            }
        }
        if let Some(line) = command_line {
            cmdline::parse(line, &mut config);
        }
        config
    }

    /// Parses one file; `path` is for messages.
    pub fn parse(&mut self, path: &[u8], text: &[u8]) {
        let mut lines = Lines::new(text);
        while let Some(line) = lines.next() {
            if line.starts_with(b"#") {
                continue;
            }
            let Some((word, rest)) = next_word(&line) else {
                continue;
            };
            let text = match word {
                b"include" | b"config" => {
                    bytes!(
                        path,
                        ": command ",
                        word,
                        " is deprecated and not parsed anymore"
                    )
                }
                _ if self.directive(word, rest, path, lines.number).is_some() => continue,
                _ => {
                    let number = lines.number.to_string();
                    bytes!(
                        path,
                        " line ",
                        number,
                        ": ignoring bad line starting with '",
                        word,
                        "'"
                    )
                }
            };
            self.complaints.push(Complaint {
                text,
                minor: false,
                from: "kmod_config_parse",
            });
        }
    }

    fn directive(&mut self, word: &[u8], rest: &[u8], path: &[u8], line: u32) -> Option<()> {
        if word == b"directory" {
            let (dir, _) = next_word(rest)?;
            self.directories.push(dir.to_vec());
            return Some(());
        }
        let (name, rest) = match word {
            b"alias" | b"blacklist" | b"options" | b"install" | b"remove" | b"softdep"
            | b"weakdep" | b"deny" | b"allow" => next_word(rest)?,
            _ => return None,
        };
        let name_ = underscores(name).ok()?;
        let argument = || (!rest.is_empty()).then(|| rest.to_vec());
        match word {
            b"alias" => {
                let (module, _) = next_word(rest)?;
                self.aliases.push(Alias {
                    pattern: name_,
                    module: underscores(module).ok()?,
                });
            }
            b"blacklist" => self.blacklists.push(name_),
            b"options" => self.add_options(name_, &argument()?),
            b"install" => {
                self.install.push(Command {
                    pattern: name_,
                    command: argument()?,
                });
            }
            b"remove" => self.remove.push(Command {
                pattern: name_,
                command: argument()?,
            }),
            b"softdep" => self.softdeps.push(Softdep {
                pattern: name_,
                text: argument()?,
            }),
            b"weakdep" => self.weakdeps.push(Weakdep {
                pattern: name_,
                text: argument()?,
            }),
            b"deny" => self.deny.push(Deny {
                pattern: name_,
                reason: rest.trim_ascii().to_vec(),
                file: path.to_vec(),
                line,
            }),
            _ => {
                let mut all = vec![name_];
                for w in words(rest) {
                    all.push(underscores(w).ok()?);
                }
                self.allow.append(&mut all);
            }
        }
        Some(())
    }

    /// Adds options; tabs become blanks.
    pub fn add_options(&mut self, module: Vec<u8>, text: &[u8]) {
        let text = text
            .iter()
            .map(|&c| if c == b'\t' { b' ' } else { c })
            .collect();
        self.options.push(Options { module, text });
    }

    /// The `deny` line that covers a module, if any.
    pub fn denied(&self, module: &[u8]) -> Option<&Deny> {
        self.deny.iter().find(|d| fnmatch(&d.pattern, module))
    }

    /// Whether an allow-list is in force.
    pub fn has_allow_list(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Whether the allow-list, if there is one, names the module.
    pub fn allowed(&self, module: &[u8]) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|p| fnmatch(p, module))
    }

    /// The first matching install command.
    pub fn install_command(&self, module: &[u8]) -> Option<&[u8]> {
        command(&self.install, module)
    }

    /// The first matching remove command.
    pub fn remove_command(&self, module: &[u8]) -> Option<&[u8]> {
        command(&self.remove, module)
    }

    /// Whether a `blacklist` line names the module.
    pub fn blacklisted(&self, module: &[u8]) -> bool {
        self.blacklists.iter().any(|b| b == module)
    }

    /// The options of a module that was reached by an alias, or not.
    pub fn options_of(&self, module: &[u8], alias: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        for o in &self.options {
            if (o.module == module || Some(&o.module[..]) == alias) && !o.text.is_empty() {
                if !out.is_empty() {
                    out.push(b' ');
                }
                out.extend_from_slice(&o.text);
            }
        }
        out
    }

    /// The soft dependencies of a module, of all lines that match it, each
    /// name once: before it, and after it.
    pub fn softdeps_of(&self, module: &[u8]) -> (Vec<&[u8]>, Vec<&[u8]>) {
        let (mut pre, mut post): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        fn add<'n>(to: &mut Vec<&'n [u8]>, n: &'n [u8]) {
            if !to.contains(&n) {
                to.push(n);
            }
        }
        for s in self.softdeps.iter().filter(|s| fnmatch(&s.pattern, module)) {
            s.pre().for_each(|n| add(&mut pre, n));
            s.post().for_each(|n| add(&mut post, n));
        }
        (pre, post)
    }

    /// The weak dependencies of a module.
    pub fn weakdeps_of(&self, module: &[u8]) -> Vec<&[u8]> {
        let lines = self.weakdeps.iter().filter(|w| fnmatch(&w.pattern, module));
        lines.flat_map(Weakdep::weak).collect()
    }
}

fn command<'a>(list: &'a [Command], module: &[u8]) -> Option<&'a [u8]> {
    list.iter()
        .find(|c| fnmatch(&c.pattern, module))
        .map(|c| &c.command[..])
}

fn words(s: &[u8]) -> impl Iterator<Item = &[u8]> {
    s.split(|&c| is_space(c)).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let mut c = Config::default();
        c.parse(b"f.conf", text.as_bytes());
        c
    }

    #[test]
    fn directives() {
        let c = config(
            "# comment\nalias a-b* c-d\nblacklist e-f\noptions g-h  x=1\ty\n\
             install i /bin/true $CMDLINE_OPTS\nremove j k l\nsoftdep m q pre: n o post: p\n\
             weakdep m a b\n\n \nfoo bar\nalias x\nalias x] y\ninclude z\noptions m\n",
        );
        assert_eq!(
            c.aliases,
            [Alias {
                pattern: b"a_b*".into(),
                module: b"c_d".into()
            }]
        );
        assert_eq!(c.blacklists, [b"e_f".to_vec()]);
        assert_eq!(c.options[0].text, b" x=1 y");
        assert_eq!(c.install_command(b"i").unwrap(), b"/bin/true $CMDLINE_OPTS");
        assert_eq!(c.remove_command(b"j").unwrap(), b"k l");
        let (pre, post) = c.softdeps_of(b"m");
        assert_eq!((pre, post), (vec![&b"n"[..], b"o"], vec![&b"p"[..]]));
        let said: Vec<_> = c
            .complaints
            .iter()
            .map(|c| String::from_utf8_lossy(&c.text))
            .collect();
        assert_eq!(
            said,
            [
                "f.conf line 11: ignoring bad line starting with 'foo'",
                "f.conf line 12: ignoring bad line starting with 'alias'",
                "f.conf line 13: ignoring bad line starting with 'alias'",
                "f.conf: command include is deprecated and not parsed anymore",
                "f.conf line 15: ignoring bad line starting with 'options'",
            ]
        );
    }

    #[test]
    fn options_add_up_and_commands_do_not() {
        let c = config("options a x\noptions b y\noptions al z\ninstall a* 1\ninstall a 2\n");
        assert_eq!(c.options_of(b"a", Some(b"al")), b"x z");
        assert_eq!(c.install_command(b"a").unwrap(), b"1");
    }

    #[test]
    fn deny_and_allow() {
        let c = config("deny pcspkr noisy thing\nallow ext4 snd-*\n");
        assert_eq!(c.denied(b"pcspkr").unwrap().reason, b"noisy thing");
        assert!(c.allowed(b"snd_pcm") && c.allowed(b"ext4") && !c.allowed(b"xfs"));
        assert!(config("").allowed(b"xfs"));
    }

    #[test]
    fn all_softdep_lines_count() {
        let c = config("softdep a pre: x\nsoftdep a pre: y x post: z\n");
        assert_eq!(
            c.softdeps_of(b"a"),
            (vec![&b"x"[..], b"y"], vec![&b"z"[..]])
        );
    }
}
