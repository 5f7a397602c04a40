//! `unload --force` of the lab: frees a module that its own unload cannot, without a helper module. The answer has the
//! shape of the live tool's.

use super::tell;
use lkm_judge::why::{Unload, UnloadEnd};
use lkm_kernel::Cx;
use lkm_kernel::abi::R;
use lkm_kernel::module::{self, delete, rescue};

/// Forges the module's state and count where they are in the way, replaces an exit that cannot run, takes back what
/// the module registered, and unloads it.
pub(super) fn unload(cx: &mut Cx, name: &str) -> R<Unload> {
    let name = name.replace('-', "_");
    let mut answer = Unload::new(&name);
    let Some(index) = module::find(cx, &name) else {
        answer.refusals.push("no such module".into());
        return Ok(answer);
    };
    answer.why = tell::why(cx, &name)?;
    let users = module::users(cx, index)?;
    if !users.is_empty() {
        let names: Vec<String> = users
            .iter()
            .map(|&u| cx.modules.list[u].name.clone())
            .collect();
        answer
            .refusals
            .push(format!("{} use it: unload them first", names.join(", ")));
        answer.end = UnloadEnd::Refused;
        return Ok(answer);
    }
    if rescue::busy(cx, index) {
        answer
            .refusals
            .push("a task runs in its code now: it would run freed memory".into());
        answer.end = UnloadEnd::Refused;
        return Ok(answer);
    }
    answer.steps = rescue::forge(cx, index)?;
    let errno = delete::delete_module(cx, &name, delete::O_NONBLOCK)?;
    answer.end = if errno == 0 {
        answer.steps.push("delete_module answered 0".into());
        UnloadEnd::Gone
    } else {
        answer
            .refusals
            .push(format!("delete_module answered {errno}"));
        UnloadEnd::Refused
    };
    Ok(answer)
}
