//! request_module: too many at once, and modules that request what needs them.

use super::Case;
use crate::ledger::Autoload;

const ENOMEM: i64 = -12;
const ETIME: i64 = -62;

pub(super) fn check(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let refused: Vec<&Autoload<'_>> = ledger
        .autoloads
        .iter()
        .filter(|a| matches!(a.result, ENOMEM | ETIME) && ledger.is_ours(&a.at))
        .collect();
    let Some(first) = refused.first() else {
        return;
    };
    let mut draft = case.draft("autoload-runaway", &first.at);
    draft.message = format!(
        "request_module(\"{}\") was refused with {} because too many requests were under way ({} refused){}",
        first.name,
        if first.result == ENOMEM {
            "-ENOMEM"
        } else {
            "-ETIME"
        },
        refused.len(),
        if first.wait {
            ""
        } else {
            "; nobody waits for them"
        }
    );
    case.doubt(&mut draft);
    case.push(draft);
}
