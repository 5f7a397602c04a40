//! Interrupt lines that go with the device they were requested for (kernel/irq/devres.c).

use super::{free_irq, request_any_context_irq, request_threaded_irq};
use crate::abi::{Call, R, errno};
use crate::drivers::devres;
use crate::table::{Fails, Row, behaves};
use crate::{Cx, mm};

pub(crate) const ROWS: &[Row] = &[
    behaves("devm_request_threaded_irq", devm_request_threaded_irq)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps(),
    behaves("devm_request_any_context_irq", devm_request_any_context_irq)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps(),
    behaves("devm_free_irq", devm_free_irq).sleeps(),
];

/// struct irq_devres: the line, and whose it is.
const SIZE: u64 = 16;

fn drop_irq(cx: &mut Cx, _: u64, at: u64) -> R<()> {
    let (irq, id) = (cx.r64(at)?, cx.r64(at + 8)?);
    mm::kfree(cx, at);
    free_irq(cx, &Call::internal([irq, id, 0, 0, 0, 0]))?;
    Ok(())
}

fn keep(cx: &mut Cx, dev: u64, irq: u64, id: u64) -> R<()> {
    let at = mm::kalloc(cx, SIZE)?;
    cx.w64(at, irq & 0xffff_ffff)?;
    cx.w64(at + 8, id)?;
    devres::add(cx, dev, devres::Release::Kernel(drop_irq), at);
    Ok(())
}

/// devm_request_threaded_irq(dev, irq, handler, thread, flags, name, id); without a name it is the device's.
fn devm_request_threaded_irq(cx: &mut Cx, c: &Call) -> R {
    let [dev, irq, handler, thread, flags, name] = c.a;
    let id = c.arg(cx, 6)?;
    let call = Call::internal([irq, handler, thread, flags, name, id]);
    let answer = request_threaded_irq(cx, &call)?;
    if answer as i32 == 0 {
        keep(cx, dev, irq, id)?;
    }
    Ok(answer)
}

/// devm_request_any_context_irq(dev, irq, handler, flags, name, id).
fn devm_request_any_context_irq(cx: &mut Cx, c: &Call) -> R {
    let [dev, irq, handler, flags, name, id] = c.a;
    let call = Call::internal([irq, handler, flags, name, id, 0]);
    let answer = request_any_context_irq(cx, &call)?;
    if answer as i32 >= 0 {
        keep(cx, dev, irq, id)?;
    }
    Ok(answer)
}

/// devm_free_irq(dev, irq, id).
fn devm_free_irq(cx: &mut Cx, c: &Call) -> R {
    let [dev, irq, id, ..] = c.a;
    let release = devres::Release::Kernel(drop_irq);
    for at in devres::data_of(cx, dev, release) {
        if cx.r64(at)? == irq & 0xffff_ffff && cx.r64(at + 8)? == id {
            devres::take(cx, dev, release, at);
            return drop_irq(cx, dev, at).map(|()| 0);
        }
    }
    crate::traps::warn(cx, "", "devm_free_irq")?;
    Ok(0)
}
