//! Reader/writer spin locks (kernel/locking/qrwlock.c): the guest's word is 0xff while a writer has it, and
//! counts readers in steps of 0x200.

use super::spinlock::{Mode, enter, exit, spin};
use super::{gave, took};
use crate::abi::{Call, R};
use crate::context;
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("_raw_read_lock", read_lock),
    behaves("_raw_read_lock_irq", read_lock_irq),
    behaves("_raw_read_lock_irqsave", read_lock_irqsave),
    behaves("_raw_read_lock_bh", read_lock_bh),
    behaves("_raw_read_trylock", read_trylock),
    behaves("_raw_read_unlock", read_unlock),
    behaves("_raw_read_unlock_irq", read_unlock_irq),
    behaves("_raw_read_unlock_irqrestore", read_unlock_irqrestore),
    behaves("_raw_read_unlock_bh", read_unlock_bh),
    behaves("_raw_write_lock", write_lock),
    behaves("_raw_write_lock_nested", write_lock),
    behaves("_raw_write_lock_irq", write_lock_irq),
    behaves("_raw_write_lock_irqsave", write_lock_irqsave),
    behaves("_raw_write_lock_bh", write_lock_bh),
    behaves("_raw_write_trylock", write_trylock),
    behaves("_raw_write_unlock", write_unlock),
    behaves("_raw_write_unlock_irq", write_unlock_irq),
    behaves("_raw_write_unlock_irqrestore", write_unlock_irqrestore),
    behaves("_raw_write_unlock_bh", write_unlock_bh),
];

const READ: &str = "rwlock-read";
const WRITE: &str = "rwlock-write";
const WRITER: u32 = 0xff;
const READER: u32 = 0x200;

fn acquire(cx: &mut Cx, key: u64, write: bool, function: &'static str) -> R<()> {
    let free = move |word: u32| {
        if write { word == 0 } else { word & WRITER == 0 }
    };
    let kind = if write { WRITE } else { READ };
    if !free(cx.r32(key)?) {
        spin(cx, key, kind, function, |cx| Ok(free(cx.r32(key)?)))?;
    }
    let word = cx.r32(key)?;
    cx.w32(
        key,
        if write {
            WRITER
        } else {
            word.wrapping_add(READER)
        },
    )?;
    took(cx, key, kind, LockOp::Acquire);
    Ok(())
}

fn release(cx: &mut Cx, key: u64, write: bool, function: &'static str) -> R<()> {
    let word = cx.r32(key)?;
    let kind = if write { WRITE } else { READ };
    let held = if write {
        word & WRITER == WRITER
    } else {
        word >= READER
    };
    if !held {
        trace::misuse(cx, "unlock-unlocked", kind, key, function);
        return Ok(());
    }
    cx.w32(key, if write { 0 } else { word - READER })?;
    gave(cx, key, kind);
    Ok(())
}

fn trylock(cx: &mut Cx, key: u64, write: bool) -> R {
    let word = cx.r32(key)?;
    let free = if write { word == 0 } else { word & WRITER == 0 };
    if !free {
        return Ok(0);
    }
    enter(cx, Mode::Plain);
    cx.w32(key, if write { WRITER } else { word + READER })?;
    took(
        cx,
        key,
        if write { WRITE } else { READ },
        LockOp::TryAcquire,
    );
    Ok(1)
}

fn restore(cx: &mut Cx, flags: u64) {
    context::set_irqs(cx, flags & 0x200 != 0);
    context::add(cx, -1);
}

macro_rules! lockers {
    ($($name:ident, $write:literal, $mode:ident, $said:literal;)*) => {$(
        fn $name(cx: &mut Cx, c: &Call) -> R {
            let flags = enter(cx, Mode::$mode);
            acquire(cx, c.a[0], $write, $said)?;
            Ok(flags)
        }
    )*};
}

macro_rules! unlockers {
    ($($name:ident, $write:literal, $mode:ident, $said:literal;)*) => {$(
        fn $name(cx: &mut Cx, c: &Call) -> R {
            release(cx, c.a[0], $write, $said)?;
            exit(cx, Mode::$mode);
            Ok(0)
        }
    )*};
}

lockers! {
    read_lock, false, Plain, "read_lock";
    read_lock_irq, false, Irq, "read_lock_irq";
    read_lock_irqsave, false, Irq, "read_lock_irqsave";
    read_lock_bh, false, Bh, "read_lock_bh";
    write_lock, true, Plain, "write_lock";
    write_lock_irq, true, Irq, "write_lock_irq";
    write_lock_irqsave, true, Irq, "write_lock_irqsave";
    write_lock_bh, true, Bh, "write_lock_bh";
}

unlockers! {
    read_unlock, false, Plain, "read_unlock";
    read_unlock_irq, false, Irq, "read_unlock_irq";
    read_unlock_bh, false, Bh, "read_unlock_bh";
    write_unlock, true, Plain, "write_unlock";
    write_unlock_irq, true, Irq, "write_unlock_irq";
    write_unlock_bh, true, Bh, "write_unlock_bh";
}

fn read_unlock_irqrestore(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], false, "read_unlock_irqrestore")?;
    restore(cx, c.a[1]);
    Ok(0)
}

fn write_unlock_irqrestore(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], true, "write_unlock_irqrestore")?;
    restore(cx, c.a[1]);
    Ok(0)
}

fn read_trylock(cx: &mut Cx, c: &Call) -> R {
    trylock(cx, c.a[0], false)
}

fn write_trylock(cx: &mut Cx, c: &Call) -> R {
    trylock(cx, c.a[0], true)
}
