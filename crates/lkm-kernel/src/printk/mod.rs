//! The kernel log (kernel/printk/printk.c): levels, continuation, and the formatted text of format.rs.

mod address;
pub(crate) mod dev;
mod flags;
pub mod format;
mod pointer;
mod scanf;
pub(crate) mod sprintf;
mod stamp;
mod store;

use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::Event;

pub(crate) const ROWS: &[Row] = &[
    behaves("_printk", printk),
    behaves("vprintk", vprintk),
    behaves("_printk_deferred", printk),
];

/// A line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// 0 (emergency) to 7 (debug).
    pub level: u32,
    /// Virtual nanoseconds since boot.
    pub time: u64,
    /// The text, without its newline.
    pub text: String,
}

/// The log.
#[derive(Default)]
pub struct State {
    /// All lines, oldest first.
    pub lines: Vec<Line>,
    /// Whether the last line waits for a continuation.
    open: bool,
    /// The limit of printk_ratelimit().
    limit: dev::Limit,
}

impl State {
    /// How many lines readers of the log see: one without a newline is not among them until it is continued with one,
    /// or another comes.
    pub fn complete(&self) -> usize {
        self.lines.len() - usize::from(self.open)
    }
}

/// KERN_WARNING: the level of a message without one (MESSAGE_LOGLEVEL_DEFAULT).
const DEFAULT_LEVEL: u32 = 4;
/// Longest record (LOG_LINE_MAX is near it).
const LINE_MAX: usize = 1024;

/// Logs a text at a level. A text without a newline may be continued by one with KERN_CONT.
pub fn log(cx: &mut Cx, level: u32, text: &str) {
    append(cx, Some(level), false, text);
}

fn append(cx: &mut Cx, level: Option<u32>, cont: bool, text: &str) {
    let mut text = text;
    if text.len() > LINE_MAX {
        let mut end = LINE_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text = &text[..end];
    }
    let tid = crate::sched::current_tid(cx);
    let level = level.unwrap_or(DEFAULT_LEVEL);
    if cx.printk.open && !cont {
        // A record that is not a continuation ends the unfinished line before it.
        let end = Event::Printk {
            level,
            text: "\n".into(),
            tid,
        };
        trace::emit(cx, end);
    }
    trace::emit(
        cx,
        Event::Printk {
            level,
            text: text.into(),
            tid,
        },
    );
    let complete = text.ends_with('\n');
    let time = cx.clock.now;
    let state = &mut cx.printk;
    // A newline inside of a message stays in its record.
    let record = text.strip_suffix('\n').unwrap_or(text);
    match state.lines.last_mut() {
        Some(last) if cont && state.open => last.text.push_str(record),
        _ => state.lines.push(Line {
            level,
            time,
            text: record.to_owned(),
        }),
    }
    state.open = !complete;
}

/// Logs formatted bytes as printk does: a KERN_SOH prefix gives the level.
pub(crate) fn log_bytes(cx: &mut Cx, bytes: &[u8]) {
    let mut rest = bytes;
    let mut level = None;
    let mut cont = false;
    while let [1, kind, tail @ ..] = rest {
        match kind {
            b'0'..=b'7' => level = Some(u32::from(kind - b'0')),
            b'c' => cont = true,
            _ => break,
        }
        rest = tail;
    }
    let text = String::from_utf8_lossy(rest).into_owned();
    append(cx, level, cont, &text);
}

fn printk(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(1);
    let text = format::vsnprintf(cx, c.a[0], &mut args, LINE_MAX)?;
    log_bytes(cx, &text);
    Ok(stored(&text))
}

/// What the log stores of a text, in bytes: neither its level nor the newline at its end.
pub(crate) fn stored(text: &[u8]) -> u64 {
    let text = match text {
        [1, b'0'..=b'7' | b'c', rest @ ..] => rest,
        _ => text,
    };
    (text.len() - usize::from(text.ends_with(b"\n"))) as u64
}

fn vprintk(cx: &mut Cx, c: &Call) -> R {
    dev::vlog(cx, c.a[0], c.a[1])
}
