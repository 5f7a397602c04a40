//! Tells the steps of a load and an unload under their names in the kernel, for `trace on` of the lab. The kernels up
//! to 3.7 held module_mutex for a whole load and stopped the machine for an unload; later ones lock for moments.

use crate::Cx;
use lkm_trace::Event;

/// A step that every kernel takes.
pub(super) fn step(cx: &mut Cx, text: &str) {
    if cx.modules.tell_steps {
        let event = Event::Output {
            kind: "note".into(),
            text: text.into(),
        };
        crate::trace::emit(cx, event);
    }
}

/// A step of the kernels before the UNFORMED state.
pub(super) fn old(cx: &mut Cx, text: &str) {
    if !cx.profile.unformed {
        step(cx, text);
    }
}

/// A step of the kernels since.
pub(super) fn new(cx: &mut Cx, text: &str) {
    if cx.profile.unformed {
        step(cx, text);
    }
}
