//! What init returned.

use lkm_trace::Phase;

use super::Case;
use crate::finding::{At, Confidence};
use crate::rules::table;

/// The largest errno the kernel has.
const MAX_ERRNO: i64 = 4095;

pub(super) fn check(case: &mut Case<'_, '_>) {
    for (index, life) in case.ledger.judged() {
        let Some((step, value)) = life.init else {
            continue;
        };
        if value == 0 || (-MAX_ERRNO..-1).contains(&value) {
            continue;
        }
        let init = case
            .symbols
            .entry(life.name, Phase::Init)
            .unwrap_or_default();
        let (message, confidence) = match value {
            // Nothing tells a bare -1 from an -EPERM that is meant.
            -1 => (
                "init returned -1, which is -EPERM: insmod says \"Operation not permitted\""
                    .to_owned(),
                Confidence::Low,
            ),
            1.. => (
                format!(
                    "init returned {value}: the kernel warns that this is suspicious, and loads the module as if it were 0"
                ),
                Confidence::High,
            ),
            _ => (
                format!("init returned {value}, which is no errno"),
                Confidence::High,
            ),
        };
        let draft = super::Draft {
            rule: "init-return-value",
            detail: value.to_string(),
            phase: Phase::Init,
            message,
            place: At {
                at: init,
                file_line: None,
            },
            trace: Vec::new(),
            history: Vec::new(),
            fix: table::fix("init-return-value").to_owned(),
            confidence,
            through: None,
            step,
            tid: 0,
            life: Some(index),
            key: 0,
            subject: None,
            pc: 0,
            root: None,
        };
        case.drafts.push(draft);
    }
}
