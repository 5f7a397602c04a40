//! What a task gives back when it ends, and what is left when that faults (kernel/exit.c).

use crate::Cx;
use crate::abi::R;
use crate::sched::Tid;

/// KERN_ALERT.
const ALERT: u32 = 1;

/// The exit of `tid`, up to its last switch. When it faults it comes here again: the kernel gives up then
/// (make_task_dead), and what was not given back stays.
pub(super) fn leave(cx: &mut Cx, tid: Tid) {
    if !cx.sched.leaving.insert(tid) {
        let text = "Fixing recursive fault but reboot is needed!\n";
        crate::printk::log(cx, ALERT, text);
        // That locks stay held is told all the same.
        let _ = crate::locking::on_exit(cx, tid);
        return;
    }
    let hooks: [fn(&mut Cx, Tid) -> R<()>; 5] = [
        crate::umh::on_exit,
        crate::kthread::on_exit,
        crate::mm::mmap::on_exit,
        crate::fs::ops::on_exit,
        crate::locking::on_exit,
    ];
    for hook in hooks {
        let _ = hook(cx, tid);
    }
    cx.sched.leaving.remove(&tid);
}
