//! The record of a lab run: what the child writes, bounded, and what the parent reads back, as hostile input.

#![forbid(unsafe_code)]

pub mod errno;
mod event;
pub mod misuse;
mod wire;

pub use event::{Class, End, Event, LockOp, Phase, Site, TaskEnd, TaskKind};
pub use wire::{MAX_LIST, MAX_TEXT, Malformed, Wire};

/// Most bytes that a run may record. A run that reaches it is cut short and says so.
pub const MAX_TRACE: usize = 64 << 20;

/// A decoded trace: the events up to the first malformed or missing byte.
#[derive(Debug, Default)]
pub struct Trace {
    /// The events in the order they happened.
    pub events: Vec<Event>,
    /// Why decoding stopped early; None when every byte was understood.
    pub malformed: Option<Malformed>,
}

/// Decodes what a child wrote. Never fails: what is readable is kept, what stopped it is told.
pub fn decode(mut bytes: &[u8]) -> Trace {
    let mut trace = Trace::default();
    while !bytes.is_empty() {
        match Event::take(&mut bytes) {
            Ok(event) => trace.events.push(event),
            Err(why) => {
                trace.malformed = Some(why);
                break;
            }
        }
    }
    trace
}

/// Appends an event's encoding to `out`.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    event.put(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_wire() {
        let events = [
            Event::Printk {
                level: 6,
                text: "hello\n".into(),
                tid: 3,
            },
            Event::Ref {
                module: "m".into(),
                delta: -1,
                value: -1,
                why: "module_put".into(),
                key: u64::MAX,
                holder: String::new(),
                tid: 0,
                site: Site {
                    pc: 0x2000_0000,
                    stack: vec![1, 2, u64::MAX],
                },
            },
            Event::Module {
                name: "m".into(),
                generation: 1,
                this_module: 5,
                sections: vec![(".text".into(), 1, 2)],
            },
        ];
        let mut bytes = Vec::new();
        for event in &events {
            encode(event, &mut bytes);
        }
        let trace = decode(&bytes);
        assert_eq!(trace.events, events);
        assert_eq!(trace.malformed, None);
    }

    #[test]
    fn every_cut_is_told_and_none_panics() {
        let mut bytes = Vec::new();
        encode(
            &Event::LoadResult {
                module: "abc".into(),
                errno: -22,
            },
            &mut bytes,
        );
        for cut in 1..bytes.len() {
            let trace = decode(&bytes[..cut]);
            assert!(trace.events.is_empty());
            assert_eq!(trace.malformed, Some(Malformed::Truncated));
        }
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        // A Module event whose section list claims 2^60 entries.
        let mut bytes = vec![2, 1, b'm', 0, 0];
        (1u64 << 60).put(&mut bytes);
        assert_eq!(decode(&bytes).malformed, Some(Malformed::TooLong));
    }
}
