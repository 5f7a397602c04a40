//! What the parent asks of the lab's child, as bytes. The child trusts the parent; a message that makes no sense is
//! nothing asked.

use std::rc::Rc;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// A line of a script or of the prompt.
    Line(&'a str),
    /// A module file that later lines may name.
    File { name: &'a str, bytes: &'a [u8] },
    /// The names in a directory, for completion: no step, and no time passes.
    Names(&'a str),
    /// Tell which tasks wait.
    Blocked,
}

impl<'a> Message<'a> {
    /// The bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Message::Line(text) => [b"L", text.as_bytes()].concat(),
            Message::File { name, bytes } => {
                [b"F".as_slice(), name.as_bytes(), b"\0", bytes].concat()
            }
            Message::Names(path) => [b"N", path.as_bytes()].concat(),
            Message::Blocked => b"B".to_vec(),
        }
    }

    /// The message that bytes are.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            b'L' => Some(Message::Line(std::str::from_utf8(rest).ok()?)),
            b'N' => Some(Message::Names(std::str::from_utf8(rest).ok()?)),
            b'B' => Some(Message::Blocked),
            b'F' => {
                let at = rest.iter().position(|&b| b == 0)?;
                let name = std::str::from_utf8(&rest[..at]).ok()?;
                let bytes = &rest[at + 1..];
                Some(Message::File { name, bytes })
            }
            _ => None,
        }
    }
}

/// Files as an answer to a question: each with its name and its length.
pub(super) fn with_files(all: &[(String, Rc<Vec<u8>>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in all {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

/// The files of such an answer, as far as it is whole.
pub(super) fn files(mut answer: &[u8]) -> Vec<(String, &[u8])> {
    let mut all = Vec::new();
    while let Some(at) = answer.iter().position(|&b| b == 0) {
        let Some(length) = answer.get(at + 1..at + 9) else {
            break;
        };
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let rest = &answer[at + 9..];
        if length > rest.len() as u64 {
            break;
        }
        let name = String::from_utf8_lossy(&answer[..at]).into_owned();
        let (bytes, after) = rest.split_at(length as usize);
        all.push((name, bytes));
        answer = after;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_survive_the_pipe() {
        let all = [
            ("a.ko".to_owned(), Rc::new(b"\0\x7fELF".to_vec())),
            ("b.ko".to_owned(), Rc::default()),
        ];
        let bytes = with_files(&all);
        let back = files(&bytes);
        assert_eq!(
            back,
            [("a.ko".into(), &b"\0\x7fELF"[..]), ("b.ko".into(), b"")]
        );
        assert_eq!(files(&bytes[..bytes.len() - 3]).len(), 1);
        assert!(files(b"name\0\xff\xff\xff\xff\xff\xff\xff\xff").is_empty());
        assert!(files(b"").is_empty());
    }

    #[test]
    fn messages_survive_the_pipe() {
        for message in [
            Message::Line("rmmod a \"ü\""),
            Message::File {
                name: "a.ko",
                bytes: b"\0\x7fELF\0",
            },
            Message::Names("/proc/"),
            Message::Blocked,
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        assert_eq!(Message::decode(b""), None);
        assert_eq!(Message::decode(b"Fname-without-end"), None);
        assert_eq!(Message::decode(b"L\xff"), None);
    }
}
