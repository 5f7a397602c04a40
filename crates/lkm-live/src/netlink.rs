//! Questions to the kernel over netlink: dumps, and the attributes of their answers.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::proc::Network;
use crate::sys;

const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// NETLINK_ROUTE.
pub const ROUTE: i32 = 0;
/// NETLINK_NETFILTER.
pub const NETFILTER: i32 = 12;

/// An answer never has more messages than this.
const MAX_MESSAGES: usize = 1_000_000;

/// A message: its type and what follows the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `nlmsg_type`.
    pub kind: u16,
    /// The rest.
    pub payload: Vec<u8>,
}

/// A netlink socket.
pub struct Netlink {
    file: File,
}

impl Netlink {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(protocol: i32) -> io::Result<Netlink> {
        Ok(Netlink {
            file: sys::netlink(protocol)?,
        })
    }

    /// Asks for a dump and reads it to its end.
    ///
    /// # Errors
    /// The kernel's, also the one it answers with.
    pub fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut request = Vec::new();
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        request.extend(1u32.to_ne_bytes());
        request.extend(0u32.to_ne_bytes());
        request.extend(body);
        self.file.write_all(&request)?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = self.file.read(&mut buffer)?;
            if length == 0 || found.len() > MAX_MESSAGES {
                return Err(io::Error::other("a netlink answer without an end"));
            }
            for message in messages(&buffer[..length]) {
                match message.kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => {
                        let code = number(&message.payload, 0).unwrap_or(0) as i32;
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    _ => found.push(message),
                }
            }
        }
    }
}

/// The messages of a datagram.
fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some(length) = number(bytes, 0).map(|n| n as usize) {
        let Some(payload) = bytes.get(16..length) else {
            break;
        };
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        found.push(Message {
            kind,
            payload: payload.to_vec(),
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

/// A 32-bit number of the machine's byte order.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_ne_bytes)
}

/// The attributes in a piece of a message: type without its flags, and content.
pub fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(head) = bytes.get(..4) {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let Some(content) = bytes.get(4..length) else {
            break;
        };
        found.push((kind, content));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

/// The first attribute of a type.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .into_iter()
        .find(|(k, _)| *k == kind)
        .map(|(_, content)| content)
}

/// The first attribute of a type, as a string.
pub fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let content = attribute(bytes, kind)?;
    let end = content
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(content.len());
    Some(String::from_utf8_lossy(&content[..end]).into_owned())
}

/// An attribute to send.
pub fn put(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + content.len()).unwrap_or(u16::MAX);
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Runs something in a network namespace, on a thread of its own, because a thread
/// cannot be sure to get back.
///
/// # Errors
/// When the namespace cannot be entered, or what the work answered.
pub fn inside<T: Send>(
    network: &Network,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    use std::os::fd::AsFd;
    if network.name.is_empty() {
        return work();
    }
    let file = File::open(&network.path)?;
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                sys::enter_network(file.as_fd())?;
                work()
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_round_trip_and_stop_at_damage() {
        let mut bytes = put(1, b"htb\0");
        bytes.extend(put(7, b"x"));
        assert_eq!(text(&bytes, 1).as_deref(), Some("htb"));
        assert_eq!(attribute(&bytes, 7), Some(&b"x"[..]));
        bytes.extend([200, 0, 1, 0]);
        assert_eq!(attributes(&bytes).len(), 2);
        assert_eq!(attributes(&[0, 0, 0, 0]), vec![]);
    }
}
