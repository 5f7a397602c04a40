//! Names, aliases and lines as kmod treats them: bytes, not text.
//!
//! The rules are those of kmod's `shared/util.c`.

use std::borrow::Cow;
use std::io::BufRead;

/// Writes the given pieces, one after the other, to a `Write` or a `Vec<u8>`.
///
/// kmod prints names and paths byte for byte; `write!` could only print them
/// as UTF-8.
#[macro_export]
macro_rules! emit {
    ($w:expr, $($piece:expr),+ $(,)?) => {{
        #[allow(unused_imports, reason = "the caller may have it already")]
        use std::io::Write as _;
        let mut done: std::io::Result<()> = Ok(());
        $( if done.is_ok() { done = $w.write_all(::core::convert::AsRef::<[u8]>::as_ref(&$piece)); } )+
        done
    }};
}

/// Joins pieces into one byte string.
#[macro_export]
macro_rules! bytes {
    ($($piece:expr),+ $(,)?) => {
        [$( ::core::convert::AsRef::<[u8]>::as_ref(&$piece) ),+].concat()
    };
}

/// The longest path and name that is accepted, as `PATH_MAX`.
pub const PATH_MAX: usize = 4096;

/// An alias or pattern whose bracket does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmatchedBracket;

/// `-` becomes `_`, except inside `[...]`.
pub fn underscores(s: &[u8]) -> Result<Vec<u8>, UnmatchedBracket> {
    // Most names are as they should be.
    let plain = s.iter().position(|&c| matches!(c, b'-' | b'[' | b']'));
    let mut i = plain.unwrap_or(s.len());
    let mut out = Vec::with_capacity(s.len());
    out.extend_from_slice(&s[..i]);
    while i < s.len() {
        match s[i] {
            b'-' => out.push(b'_'),
            b']' => return Err(UnmatchedBracket),
            b'[' => {
                let end = s[i..]
                    .iter()
                    .position(|&c| c == b']')
                    .ok_or(UnmatchedBracket)?;
                out.extend_from_slice(&s[i..=i + end]);
                i += end;
            }
            c => out.push(c),
        }
        i += 1;
    }
    Ok(out)
}

/// As [`underscores`], for an alias of unknown length: what is beyond
/// [`PATH_MAX`] is cut off.
pub fn alias_normalize(s: &[u8]) -> Result<Vec<u8>, UnmatchedBracket> {
    let mut out = underscores(s)?;
    if out.len() >= PATH_MAX {
        if s.contains(&b'[') {
            return Err(UnmatchedBracket);
        }
        out.truncate(PATH_MAX - 1);
    }
    Ok(out)
}

/// A module's name: `-` becomes `_`, and all from the first dot on is dropped.
pub fn modname_normalize(s: &[u8]) -> Vec<u8> {
    s.iter()
        .take(PATH_MAX - 1)
        .take_while(|&&c| c != b'.' && c != 0)
        .map(|&c| if c == b'-' { b'_' } else { c })
        .collect()
}

/// The last component of a path.
pub fn basename(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&c| c == b'/') {
        Some(at) => &path[at + 1..],
        None => path,
    }
}

/// The module's name that a path implies, or none for a directory.
pub fn path_to_modname(path: &[u8]) -> Option<Vec<u8>> {
    let base = basename(path);
    (!base.is_empty()).then(|| modname_normalize(base))
}

/// The file names that are modules.
pub const EXTENSIONS: [&[u8]; 4] = [b".ko", b".ko.gz", b".ko.xz", b".ko.zst"];

/// Whether a file name ends as a module's does.
pub fn has_module_extension(name: &[u8]) -> bool {
    EXTENSIONS
        .iter()
        .any(|e| name.len() > e.len() && name.ends_with(e))
}

/// `isspace(3)` in the C locale.
pub fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The next word of a line, as `strtok_r(3)` with blanks and tabs, and what
/// follows the one separator after it.
pub fn next_word(s: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = s.iter().position(|&c| c != b' ' && c != b'\t')?;
    let s = &s[start..];
    match s.iter().position(|&c| c == b' ' || c == b'\t') {
        Some(end) => Some((&s[..end], &s[end + 1..])),
        None => Some((s, b"")),
    }
}

/// A line of `modules.dep`, `PATH: PATH..`: the module, and what it needs, the
/// last one first to be loaded.
pub fn dep_line(line: &[u8]) -> Option<(&[u8], impl DoubleEndedIterator<Item = &[u8]>)> {
    let colon = line.iter().position(|&c| c == b':')?;
    let words = line[colon + 1..].split(|&c| c == b' ' || c == b'\t');
    Some((&line[..colon], words.filter(|w| !w.is_empty())))
}

/// Logical lines of a configuration file: a backslash joins lines, or is
/// dropped before any other character.
pub struct Lines<'a> {
    rest: &'a [u8],
    /// No backslash is there, and no NUL: lines are what they look like.
    plain: bool,
    /// Physical lines read so far.
    pub number: u32,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a [u8]) -> Lines<'a> {
        Lines {
            rest: text,
            plain: !text.contains(&b'\\') && !text.contains(&0),
            number: 0,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.rest.is_empty() {
            return None;
        }
        if !self.plain {
            return self.joined().map(Cow::Owned);
        }
        // Which is quicker than a loop; a slice can always be read.
        let len = (&mut &*self.rest).skip_until(b'\n').unwrap_or(0);
        let (line, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.number += 1;
        Some(Cow::Borrowed(line.strip_suffix(b"\n").unwrap_or(line)))
    }
}

impl Lines<'_> {
    /// The next line of a text with backslashes or NULs.
    fn joined(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.rest {
                [] => {
                    if line.is_empty() {
                        return None;
                    }
                    self.number += 1;
                    break;
                }
                [b'\n', rest @ ..] => {
                    self.rest = rest;
                    self.number += 1;
                    break;
                }
                [b'\\', b'\n', rest @ ..] => {
                    self.rest = rest;
                    self.number += 1;
                }
                [b'\\'] => self.rest = &[],
                [b'\\', c, rest @ ..] | [c, rest @ ..] => {
                    line.push(*c);
                    self.rest = rest;
                }
            }
        }
        // A C string ends at its first NUL.
        if let Some(end) = line.iter().position(|&c| c == 0) {
            line.truncate(end);
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_inside_brackets_stay() {
        assert_eq!(underscores(b"a-b[0-9]-c").unwrap(), b"a_b[0-9]_c");
        assert_eq!(underscores(b"a]b"), Err(UnmatchedBracket));
        assert_eq!(underscores(b"a[b"), Err(UnmatchedBracket));
    }

    #[test]
    fn names_end_at_the_first_dot() {
        assert_eq!(path_to_modname(b"/a/b/snd-pcm.ko.xz").unwrap(), b"snd_pcm");
        assert_eq!(path_to_modname(b"/a/b/"), None);
        assert!(has_module_extension(b"x.ko.zst"));
        assert!(!has_module_extension(b".ko"));
    }

    #[test]
    fn backslashes_join_lines() {
        let mut l = Lines::new(b"a\\\nb\n\nc\\d\\");
        assert_eq!(l.next().unwrap(), &b"ab"[..]);
        assert_eq!(l.number, 2);
        assert_eq!(l.next().unwrap(), &b""[..]);
        assert_eq!(l.next().unwrap(), &b"cd"[..]);
        assert_eq!(l.next(), None);
    }

    #[test]
    fn lines_of_modules_dep() {
        let (module, needs) = dep_line(b"a/b.ko: c.ko  d.ko").unwrap();
        assert_eq!(module, b"a/b.ko");
        assert_eq!(needs.collect::<Vec<_>>(), [b"c.ko", b"d.ko"]);
        assert!(dep_line(b"no colon").is_none());
    }

    #[test]
    fn words_are_split_as_strtok_does() {
        let (w, r) = next_word(b" \t options \t x y").unwrap();
        assert_eq!((w, r), (&b"options"[..], &b"\t x y"[..]));
        assert_eq!(next_word(b"  "), None);
    }
}
