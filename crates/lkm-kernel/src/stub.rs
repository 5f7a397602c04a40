//! Functions that nobody modelled: answered by their prototype, recorded, and counted as stubbed.

use crate::abi::{Call, R};
use crate::symbols::Proto;
use crate::{Cx, trace};
use lkm_trace::Event;

/// Bytes of an object handed out where nothing is known of its type.
const UNKNOWN_SIZE: u64 = 4096;

/// Answers a call by its prototype: 0 for integers, NULL for finders, a zeroed object for the rest.
pub(crate) fn answer(cx: &mut Cx, c: &Call, name: &'static str, proto: Proto) -> R {
    let value = match proto.ret {
        crate::symbols::Ret::Pointer if is_finder(name) => 0,
        crate::symbols::Ret::Pointer => {
            let size = if proto.size == 0 {
                UNKNOWN_SIZE
            } else {
                u64::from(proto.size)
            };
            crate::mm::kernel_object(cx, size)?
        }
        crate::symbols::Ret::Bool if name.contains("capable") => 1,
        _ => 0,
    };
    let (tid, site) = (crate::sched::current_tid(cx), trace::site(cx));
    let event = Event::Stub {
        function: name.into(),
        answer: value,
        args: c.a.to_vec(),
        tid,
        site,
    };
    trace::stub(cx, event);
    Ok(value)
}

/// APIs that look something up answer NULL: "not there" is always a right answer, an invented object never.
fn is_finder(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "find",
        "lookup",
        "get_next",
        "_next",
        "next_",
        "_get_device",
        "get_slot",
        "get_class",
        "_get_by",
        "get_subsys",
        "first",
        "_iter",
        "dequeue",
        "filp_open",
        "name_to",
        "search",
        "_by_",
        "peek",
        "_get_drvdata",
        "match",
    ];
    WORDS.iter().any(|word| name.contains(word))
        || name.ends_with("_get")
        || name.starts_with("get_")
}

/// A fresh zeroed object: what a "register" row that returns a pointer answers.
pub(crate) fn fresh_object(cx: &mut Cx, _: &Call) -> R {
    crate::mm::kernel_object(cx, UNKNOWN_SIZE)
}
