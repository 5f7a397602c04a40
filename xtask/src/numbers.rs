//! Copies of modules and of scripts in which the numbers are others: units, delays, sizes, counts, parameters, modes.
//!
//! By default nothing is passed over: each number of the text but 0 and 1 has to be declared in its head, with the new
//! one, or as fixed with the reason (`//#Numbers:`, `//#Fixed:` in a module, `# Numbers:`, `# Fixed:` in a script). Modes
//! (octal numbers) change by themselves. What is declared and does not occur is an error, so that the heads stay true.

use std::collections::BTreeSet;

/// What a head says of the numbers of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Texts and what stands in their place: a number, or words with it where the number alone means several things.
    pairs: Vec<(String, String)>,
    /// Numbers that are the kernel's.
    fixed: BTreeSet<String>,
    /// It is declared that there is none to change.
    none: bool,
}

impl Numbers {
    /// The value of `Numbers:`: `31 -> 27, rounds 3 -> rounds 5`, or `none`.
    pub fn declare(&mut self, value: &str) -> Result<(), String> {
        if value == "none" {
            self.none = true;
            return Ok(());
        }
        for pair in value.split(',') {
            let (old, new) = pair.split_once("->").ok_or("no `OLD -> NEW`")?;
            let (old, new) = (old.trim().to_owned(), new.trim().to_owned());
            if old.is_empty() || new.is_empty() || old == new {
                return Err(format!("`{pair}` changes nothing"));
            }
            self.pairs.push((old, new));
        }
        Ok(())
    }

    /// The value of `Fixed:`: a number, and why it is not the text's own.
    pub fn fix(&mut self, value: &str) -> Result<(), String> {
        let (number, reason) = value.split_once(' ').ok_or("no reason")?;
        if !number_like(number) || reason.trim().is_empty() {
            return Err(format!("`{number}` is no number"));
        }
        self.fixed.insert(number.to_owned());
        Ok(())
    }

    /// What the comments at the head of a script say.
    pub fn of_script(text: &str) -> Result<Numbers, String> {
        let mut numbers = Numbers::default();
        for line in text.lines().take_while(|l| l.starts_with('#')) {
            let line = line.trim_start_matches('#').trim();
            if let Some(value) = line.strip_prefix("Numbers:") {
                numbers.declare(value.trim())?;
            } else if let Some(value) = line.strip_prefix("Fixed:") {
                numbers.fix(value.trim())?;
            }
        }
        Ok(numbers)
    }

    /// Words that stand for numbers, old and new: names of errors, say.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.pairs
            .iter()
            .flat_map(|(old, new)| [old.as_str(), new.as_str()])
            .filter(|w| w.chars().all(is_word) && !number_like(w))
    }

    /// A module source with other numbers.
    pub fn module(&self, source: &str) -> Result<String, String> {
        let head = source.find("#include").unwrap_or(0);
        let mut change = Change::new(self);
        let mut out = source[..head].to_owned();
        let mut at = head;
        while at < source.len() {
            let rest = &source[at..];
            let skipped = passed_over(rest);
            if skipped > 0 {
                out.push_str(&rest[..skipped]);
                at += skipped;
            } else {
                at += change.step(source, at, true, &mut out);
            }
        }
        change.close()?;
        if out == source && !self.none {
            return Err("its numbers are as they were; is it `//#Numbers: none`?".into());
        }
        if out != source && self.none {
            return Err("declared to have no numbers".into());
        }
        Ok(out)
    }

    /// A script with other numbers; those that only expectations have need not be declared.
    pub fn script(&self, text: &str) -> Result<String, String> {
        let mut change = Change::new(self);
        let mut out = String::new();
        for line in text.split_inclusive('\n') {
            if line.starts_with('#') || line.starts_with("profile ") {
                out.push_str(line);
                continue;
            }
            let must = !line.starts_with("expect ");
            let mut at = 0;
            while at < line.len() {
                at += change.step(line, at, must, &mut out);
            }
        }
        change.undeclared()?;
        Ok(out)
    }

    /// A line of what was answered, told in the new numbers.
    pub fn line(&self, line: &str) -> String {
        let mut change = Change::new(self);
        let mut out = String::new();
        let mut at = 0;
        while at < line.len() {
            at += change.step(line, at, false, &mut out);
        }
        out
    }

    /// What is declared, and neither in a script nor in its answers.
    pub fn idle(&self, script: &str, answers: &[String]) -> Vec<String> {
        let is = |old: &str| {
            let lines = script.lines().filter(|l| !l.starts_with('#'));
            let mut lines = lines.chain(answers.iter().map(String::as_str));
            lines.any(|l| l.contains(old))
        };
        let declared = self.pairs.iter().map(|(old, _)| old).chain(&self.fixed);
        declared
            .filter(|old| !is(old))
            .map(|old| format!("declared, and not there: {old}"))
            .collect()
    }
}

/// A pass over a text.
struct Change<'a> {
    numbers: &'a Numbers,
    used: BTreeSet<&'a str>,
    left: BTreeSet<String>,
}

impl<'a> Change<'a> {
    fn new(numbers: &'a Numbers) -> Change<'a> {
        Change {
            numbers,
            used: BTreeSet::new(),
            left: BTreeSet::new(),
        }
    }

    /// Copies what stands at `at`, changed if it is to be; its length in the old text.
    fn step(&mut self, text: &str, at: usize, must: bool, out: &mut String) -> usize {
        let rest = &text[at..];
        let begins = !text[..at].ends_with(is_word);
        let numbers = self.numbers;
        if begins
            && let Some((old, new)) = numbers.pairs.iter().find(|(old, _)| {
                let end = rest.strip_prefix(old.as_str());
                end.is_some_and(|e| !e.starts_with(is_word) || !old.ends_with(is_word))
            })
        {
            self.used.insert(old);
            out.push_str(new);
            return old.len();
        }
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if len == 0 {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..len]);
            return len;
        }
        let word = &rest[..len];
        if let Some(mode) = other_mode(word).filter(|_| must) {
            out.push_str(&mode);
            return len;
        }
        if numbers.fixed.contains(word) {
            if let Some(fixed) = numbers.fixed.get(word) {
                self.used.insert(fixed);
            }
        } else if must && begins && number_like(word) && !matches!(word, "0" | "1") {
            self.left.insert(word.to_owned());
        }
        out.push_str(word);
        len
    }

    /// Whether everything was declared.
    fn undeclared(&self) -> Result<(), String> {
        if self.left.is_empty() {
            return Ok(());
        }
        let left: Vec<&str> = self.left.iter().map(String::as_str).collect();
        Err(format!(
            "numbers that are neither changed nor fixed: {}",
            left.join(" ")
        ))
    }

    /// Whether everything was declared, and everything declared was there.
    fn close(self) -> Result<(), String> {
        self.undeclared()?;
        let declared = self.numbers.pairs.iter().map(|(old, _)| old.as_str());
        let declared = declared.chain(self.numbers.fixed.iter().map(String::as_str));
        let idle: Vec<&str> = declared.filter(|d| !self.used.contains(d)).collect();
        if idle.is_empty() {
            Ok(())
        } else {
            Err(format!("declared, and not there: {}", idle.join(", ")))
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn number_like(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// A mode that gives others what this one does not, when the word is a mode.
fn other_mode(word: &str) -> Option<String> {
    let mode = u32::from_str_radix(word.strip_prefix('0')?, 8).ok()?;
    (word.len() == 4).then(|| match mode & 0o7 {
        0 => format!("{:04o}", mode ^ 0o040),
        _ => format!("{:04o}", mode & !0o7),
    })
}

/// Bytes at the start of a piece of C that hold no code: a comment, a string, a character, an #include.
fn passed_over(rest: &str) -> usize {
    let to = |end: Option<usize>, more: usize| end.map_or(rest.len(), |at| at + more);
    if rest.starts_with("//") || rest.starts_with("#include") {
        to(rest.find('\n'), 0)
    } else if let Some(comment) = rest.strip_prefix("/*") {
        to(comment.find("*/"), 4)
    } else if rest.starts_with(['"', '\'']) {
        let quote = rest.as_bytes()[0];
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|b| {
            let ends = b == quote && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        });
        to(end, 2)
    } else {
        0
    }
}

/// A line in which every number is N but 0 and 1, and the words that stand for numbers, too: a state, a count that
/// says held or not held, an answer that says good or bad stay.
pub fn masked(line: &str, words: &BTreeSet<String>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if len == 0 {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..len]);
            rest = &rest[len..];
            continue;
        }
        let word = &rest[..len];
        // The kernel has names for the numbers of protocol families.
        let number =
            number_like(word) && !matches!(word, "0" | "1" | "0x0") || word.starts_with("PF_");
        out.push_str(if number || words.contains(word) {
            "N"
        } else {
            word
        });
        rest = &rest[len..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pairs: &str, fixed: &[&str]) -> Numbers {
        let mut numbers = Numbers::default();
        numbers.declare(pairs).unwrap();
        for value in fixed {
            numbers.fix(value).unwrap();
        }
        numbers
    }

    const SOURCE: &str = "/* 31 */\n#include <linux/u31.h>\n#define UNIT 31\n\
        static char c = '3';\nint x31 = UNIT + 2; /* 31 */ char *s = \"31 \\\" 31\"; // 31\n\
        module_param(x31, int, 0644);\n";

    #[test]
    fn only_the_numbers_of_the_code_change() {
        let made = numbers("31 -> 27", &["2 a count of the kernel's"]);
        let copy = made.module(SOURCE).unwrap();
        assert!(copy.contains("#define UNIT 27\n"));
        assert!(copy.contains("0640"));
        assert_eq!(copy.matches("31").count(), SOURCE.matches("31").count() - 1);
    }

    #[test]
    fn nothing_is_forgotten_and_nothing_declared_in_vain() {
        let e = numbers("31 -> 27", &[]).module(SOURCE).unwrap_err();
        assert!(e.contains("neither changed nor fixed: 2"), "{e}");
        let e = numbers("31 -> 27, 5 -> 6", &["2 why"])
            .module(SOURCE)
            .unwrap_err();
        assert!(e.contains("not there: 5"), "{e}");
        assert!(Numbers::default().module("#include <x>\n").is_err());
        assert!(numbers("none", &[]).module("#include <x>\n").is_ok());
        assert!(Numbers::default().declare("5 -> 5").is_err());
        assert!(Numbers::default().fix("5").is_err());
    }

    #[test]
    fn scripts_say_their_numbers_at_the_head() {
        let text = "# Two.\n# Numbers: 31 -> 27, answered 0 -> answered 7, 5s -> 9s\nprofile 2.6.32\n\
            socket s netlink 31\nclock +5s\nexpect errno 0\nexpect log \"answered 0 31 12\"\n";
        let made = Numbers::of_script(text).unwrap();
        let copy = made.script(text).unwrap();
        assert!(copy.ends_with(
            "profile 2.6.32\nsocket s netlink 27\nclock +9s\nexpect errno 0\nexpect log \"answered 7 27 12\"\n"
        ));
        let e = made.script(&text.replace("clock", "clock +4s\nclock"));
        assert!(e.unwrap_err().contains("4s"));
    }

    #[test]
    fn masked_lines_keep_what_is_held() {
        let words = BTreeSet::from(["EIO".to_owned()]);
        assert_eq!(
            masked("m 1 - Live, EIO -12 at f+0x1f 0 PF_IB", &words),
            "m 1 - Live, N -N at f+N 0 N"
        );
    }
}
