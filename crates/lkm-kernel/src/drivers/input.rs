//! Input devices (drivers/input/input.c). The input core is part of the stock kernel, so that its reference on
//! itself is no module's.

use super::{class, core, devres, kobject};
use crate::abi::{Call, R, errno::*};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("input_allocate_device", input_allocate_device)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("devm_input_allocate_device", devm_input_allocate_device)
        .fails(Fails::Null)
        .sleeps(),
    behaves("input_free_device", input_free_device).sleeps(),
    behaves("input_register_device", input_register_device)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("input_unregister_device", input_unregister_device).sleeps(),
    behaves("input_register_handler", input_register_handler)
        .acquires("input handler", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("input_unregister_handler", nothing)
        .releases("input handler", Key::Arg(0))
        .sleeps(),
    behaves("input_set_capability", input_set_capability),
    behaves("input_set_abs_params", input_set_abs_params),
    behaves("input_alloc_absinfo", nothing),
    behaves("input_event", nothing),
    behaves("input_inject_event", nothing),
    behaves("__lkm_input_release", input_release),
];

const KIND: &str = "input device";

/// The state of this file.
#[derive(Default)]
pub struct State {
    class: u64,
    ktype: u64,
    next: u32,
    next_input: u32,
    registered: Vec<u64>,
    managed: Vec<u64>,
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn ready(cx: &mut Cx) -> R<()> {
    if cx.input.class == 0 {
        cx.input.class = class::create_kernel(cx, "input")?;
        // struct device_type: name, groups, uevent, devnode, release.
        let at = crate::data::alloc(cx, 64, 8)?;
        let release = crate::symbols::address(cx, "__lkm_input_release");
        cx.w64(at + 32, release)?;
        cx.input.ktype = at;
    }
    Ok(())
}

fn allocate(cx: &mut Cx) -> R<u64> {
    ready(cx)?;
    let off = cx.off;
    let input = mm::kalloc(cx, off.input_dev_size)?;
    let dev = input + off.input_dev;
    let (kind, class) = (cx.input.ktype, cx.input.class);
    cx.w64(dev + off.device_type, kind)?;
    cx.w64(dev + off.device_class, class)?;
    core::initialize(cx, dev)?;
    let text = format!("input{}", cx.input.next);
    cx.input.next += 1;
    kobject::set_name(cx, dev + off.device_kobj, text.as_bytes())?;
    // The core's two list heads lie behind the device.
    for at in [dev + off.device_size, dev + off.device_size + 16] {
        util::list_init(cx, at)?;
    }
    // EV_SYN is always there.
    cx.w64(input + off.input_evbit, 1)?;
    Ok(input)
}

fn input_allocate_device(cx: &mut Cx, _: &Call) -> R {
    allocate(cx)
}

fn managed_end(cx: &mut Cx, _: u64, input: u64) -> R<()> {
    if cx.input.registered.contains(&input) {
        unregister(cx, input)?;
    } else {
        core::put(cx, input + cx.off.input_dev)?;
    }
    Ok(())
}

fn devm_input_allocate_device(cx: &mut Cx, c: &Call) -> R {
    let input = allocate(cx)?;
    cx.w64(input + cx.off.input_dev + cx.off.device_parent, c.a[0])?;
    cx.input.managed.push(input);
    devres::add(cx, c.a[0], devres::Release::Kernel(managed_end), input);
    Ok(input)
}

fn input_release(cx: &mut Cx, c: &Call) -> R {
    let input = c.a[0] - cx.off.input_dev;
    if cx.input.managed.contains(&input) {
        cx.input.managed.retain(|&i| i != input);
    } else {
        trace::released(cx, "slab", input);
    }
    mm::kfree(cx, input);
    Ok(0)
}

fn input_free_device(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        core::put(cx, c.a[0] + cx.off.input_dev)?;
    }
    Ok(0)
}

fn input_register_device(cx: &mut Cx, c: &Call) -> R {
    let input = c.a[0];
    let off = cx.off;
    let name = cx.r64(input + off.input_name)?;
    let label = if name == 0 {
        "Unspecified device".to_owned()
    } else {
        cx.text(name)?
    };
    let bits = cx.r64(input + off.input_evbit)?;
    cx.w64(input + off.input_evbit, bits | 1)?;
    let dev = input + off.input_dev;
    let error = core::add(cx, dev)?;
    if error != 0 {
        return Ok(error as i64 as u64);
    }
    let path = crate::fs::sysfs::path_of(cx, dev + off.device_kobj)?;
    printk::log(cx, 6, &format!("input: {label} as {path}\n"));
    cx.input.registered.push(input);
    cx.input.next_input += 1;
    if !cx.input.managed.contains(&input) {
        trace::acquired(cx, KIND, input, &label);
    }
    Ok(0)
}

fn unregister(cx: &mut Cx, input: u64) -> R<()> {
    if !cx.input.registered.contains(&input) {
        // Never registered: device_del follows what device_add would have set.
        return core::unregister(cx, input + cx.off.input_dev);
    }
    cx.input.registered.retain(|&i| i != input);
    if !cx.input.managed.contains(&input) {
        trace::released(cx, KIND, input);
    }
    core::unregister(cx, input + cx.off.input_dev)
}

fn input_unregister_device(cx: &mut Cx, c: &Call) -> R {
    let input = c.a[0];
    let parent = cx.r64(input + cx.off.input_dev + cx.off.device_parent)?;
    devres::take(cx, parent, devres::Release::Kernel(managed_end), input);
    unregister(cx, input)?;
    Ok(0)
}

fn input_register_handler(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    Ok(0)
}

/// Bits of the event types' maps, from evbit on: the map of a type follows in its order.
fn input_set_capability(cx: &mut Cx, c: &Call) -> R {
    let (input, kind, code) = (c.a[0], c.a[1] as u32, c.a[2] as u32);
    let off = cx.off;
    // EV_KEY, EV_REL, EV_ABS, EV_MSC, EV_SW, EV_LED, EV_SND, EV_FF: words from evbit to their maps.
    let word = match kind {
        1 => 1,
        2 => 13,
        3 => 14,
        4 => 15,
        0x11 => 16,
        0x12 => 17,
        0x15 => 18,
        5 => 20,
        0x16 => 0,
        _ => {
            let text = format!("input_set_capability: unknown type {kind} (code {code})\n");
            printk::log(cx, 3, &text);
            super::kobject::dump_stack(cx)?;
            return Ok(0);
        }
    };
    if word != 0 && code < 0x300 {
        let at = input + off.input_evbit + word * 8 + u64::from(code / 64) * 8;
        let bits = cx.r64(at)?;
        cx.w64(at, bits | 1 << (code % 64))?;
    }
    let bits = cx.r64(input + off.input_evbit)?;
    cx.w64(input + off.input_evbit, bits | 1 << (kind % 64))?;
    Ok(0)
}

fn input_set_abs_params(cx: &mut Cx, c: &Call) -> R {
    let call = Call::internal([c.a[0], 3, c.a[1], 0, 0, 0]);
    input_set_capability(cx, &call)
}
