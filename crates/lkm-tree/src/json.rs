//! JSON, as much as the tools' `--json` needs. Bytes that are no text are
//! replaced.

use std::fmt::Write;

/// Writes one document.
#[derive(Default)]
pub struct Json {
    out: String,
    /// Whether the container being written has something in it already.
    filled: Vec<bool>,
}

impl Json {
    pub fn new() -> Json {
        Json::default()
    }

    fn item(&mut self) {
        if let Some(filled) = self.filled.last_mut() {
            if *filled {
                self.out.push(',');
            }
            *filled = true;
        }
    }

    fn text(&mut self, s: &[u8]) {
        self.out.push('"');
        for c in String::from_utf8_lossy(s).chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    pub fn open(&mut self, bracket: char) {
        self.item();
        self.out.push(bracket);
        self.filled.push(false);
    }

    pub fn close(&mut self, bracket: char) {
        self.filled.pop();
        self.out.push(bracket);
    }

    /// The name of the next value, in an object.
    pub fn key(&mut self, name: impl AsRef<[u8]>) -> &mut Json {
        self.item();
        self.text(name.as_ref());
        self.out.push(':');
        // The value is not a further item.
        self.filled.push(false);
        self
    }

    fn value_done(&mut self, was_key: bool) {
        if was_key {
            self.filled.pop();
        }
    }

    /// A string in a list.
    pub fn string(&mut self, s: impl AsRef<[u8]>) {
        self.item();
        self.text(s.as_ref());
    }

    /// `"name": "value"`
    pub fn pair(&mut self, name: &str, s: impl AsRef<[u8]>) {
        self.key(name).text(s.as_ref());
        self.value_done(true);
    }

    /// `"name": value`, where the value is a number, `true`, `false` or `null`.
    pub fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.key(name).out, "{value}");
        self.value_done(true);
    }

    /// `"name": [..]` or `{..}`, until [`Json::end`].
    pub fn begin(&mut self, name: &str, bracket: char) {
        self.key(name).out.push(bracket);
        self.filled.push(false);
    }

    /// Ends what [`Json::begin`] began.
    pub fn end(&mut self, bracket: char) {
        self.close(bracket);
        self.value_done(true);
    }

    /// A list of strings.
    pub fn list<S: AsRef<[u8]>>(&mut self, name: &str, all: impl IntoIterator<Item = S>) {
        self.begin(name, '[');
        for s in all {
            self.string(s);
        }
        self.end(']');
    }

    /// The document, with a line end.
    pub fn finish(mut self) -> String {
        self.out.push('\n');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_and_escapes() {
        let mut j = Json::new();
        j.open('{');
        j.pair("a", "x\"\n\x01");
        j.raw("b", 3);
        j.list("c", ["1", "2"]);
        j.begin("d", '[');
        j.open('{');
        j.pair("e", b"\xff");
        j.close('}');
        j.open('{');
        j.close('}');
        j.end(']');
        j.close('}');
        assert_eq!(
            j.finish(),
            "{\"a\":\"x\\\"\\n\\u0001\",\"b\":3,\"c\":[\"1\",\"2\"],\"d\":[{\"e\":\"\u{fffd}\"},{}]}\n"
        );
    }
}
