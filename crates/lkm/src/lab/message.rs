//! What the parent asks of the lab's child, as bytes. The child trusts the parent; a message that makes no sense is
//! nothing asked.

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

#[cfg(test)]
mod tests {
    use super::*;

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
