//! Messages: `PROGRAM: LEVEL: text` on standard error, or to syslog.

use std::io::Write;

use crate::config::Complaint;
use crate::emit;
use crate::host::Host;

/// Severities, as syslog(3) numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(pub i32);

impl Level {
    pub const EMERG: Level = Level(0);
    /// kmod calls it FATAL, and stops.
    pub const FATAL: Level = Level(2);
    pub const ERROR: Level = Level(3);
    pub const WARNING: Level = Level(4);
    pub const NOTICE: Level = Level(5);
    pub const INFO: Level = Level(6);
    pub const DEBUG: Level = Level(7);

    fn name(self) -> String {
        match self.0 {
            2 => "FATAL".into(),
            3 => "ERROR".into(),
            4 => "WARNING".into(),
            5 => "NOTICE".into(),
            6 => "INFO".into(),
            7 => "DEBUG".into(),
            n => format!("LOG-{n:03}"),
        }
    }

    /// What `KMOD_LOG` says: a number, or `err`, `info`, `debug`.
    pub fn from_env(value: &[u8]) -> Level {
        let text = String::from_utf8_lossy(value);
        let digits = text.trim_start();
        let end = digits
            .char_indices()
            .find(|&(i, c)| !(c.is_ascii_digit() || i == 0 && (c == '-' || c == '+')))
            .map_or(digits.len(), |(i, _)| i);
        let rest = &digits[end..];
        if (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace()))
            && let Ok(n) = digits[..end].parse()
        {
            return Level(n);
        }
        match () {
            () if text.starts_with("err") => Level::ERROR,
            () if text.starts_with("info") => Level::INFO,
            () if text.starts_with("debug") => Level::DEBUG,
            () => Level(0),
        }
    }
}

/// Where a tool's messages go, and which.
pub struct Log<'a> {
    /// The program's name, as it was called.
    pub program: String,
    /// Messages above this are not given.
    pub limit: Level,
    pub syslog: bool,
    pub host: &'a dyn Host,
    pub err: &'a mut dyn Write,
}

impl Log<'_> {
    /// Gives a message, if the limit lets it; says whether it did.
    pub fn say(&mut self, level: Level, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        if level > self.limit {
            return false;
        }
        let name = level.name();
        if self.syslog {
            self.host
                .syslog(&self.program, level.0, &crate::bytes!(name, ": ", text));
        } else {
            // Nowhere is left to complain about standard error.
            let _ = emit!(self.err, self.program, ": ", name, ": ", text, "\n");
        }
        true
    }

    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.say(Level::ERROR, text);
    }

    pub fn warn(&mut self, text: impl AsRef<[u8]>) {
        self.say(Level::WARNING, text);
    }

    /// A line without a prefix, for continued explanations.
    pub fn hint(&mut self, text: impl AsRef<[u8]>) {
        if self.limit >= Level::ERROR && !self.syslog {
            let _ = emit!(self.err, self.program, ": ", text, "\n");
        } else if self.limit >= Level::ERROR {
            self.host
                .syslog(&self.program, Level::NOTICE.0, text.as_ref());
        }
    }

    /// What reading the configuration found, in libkmod's words: its messages
    /// do not name the program, for it logs before it knows it.
    pub fn complaints(&mut self, all: &[Complaint]) {
        let limit = match self.host.env("KMOD_LOG") {
            Some(v) => Level::from_env(&v),
            None => Level::ERROR,
        };
        for c in all {
            let (level, name) = if c.minor {
                (Level::INFO, "INFO")
            } else {
                (Level::ERROR, "ERROR")
            };
            if level > limit {
                continue;
            }
            let _ = emit!(
                self.err,
                "libkmod: ",
                name,
                ": ",
                c.from,
                ": ",
                c.text,
                "\n"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kmod_log_values() {
        for (text, level) in [
            ("7", 7),
            ("err", 3),
            ("info", 6),
            ("debugging", 7),
            ("x", 0),
            ("4 x", 4),
            ("4x", 0),
        ] {
            assert_eq!(Level::from_env(text.as_bytes()).0, level, "{text}");
        }
    }
}
