//! Network devices (net/core/dev.c, net/ethernet/eth.c): `struct net_device` is guest memory with the driver's
//! private part behind it; registering, names, numbers, references and the notifiers are here. Nothing is sent.

use super::dev_alloc::{allocate, choose_name, name, set_name};
use crate::abi::{Call, R, Stop, errno::*, neg};
use crate::drivers::core;
use crate::layout::NONE;
use crate::mm::{self, guard};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, locking, notifier, sched, trace, util};
use lkm_machine::map;

pub(crate) const ROWS: &[Row] = &[
    behaves("free_netdev", free_netdev).sleeps(),
    behaves("register_netdev", register_netdev)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("register_netdevice", register_netdevice)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("unregister_netdev", unregister_netdev).sleeps(),
    behaves("unregister_netdevice_queue", unregister_netdevice_queue).sleeps(),
    behaves("unregister_netdevice_many", unregister_netdevice_many).sleeps(),
    behaves("dev_open", dev_open).sleeps(),
    behaves("dev_close", dev_close).sleeps(),
];

/// Registered devices, in order, and what rtnl_unlock has still to do.
#[derive(Default)]
pub(crate) struct State {
    pub(super) devices: Vec<u64>,
    todo: Vec<u64>,
    last_index: u32,
    loopback: u64,
    pub(super) header_ops: u64,
}

/// reg_state of a device.
const UNINITIALIZED: u8 = 0;
const REGISTERED: u8 = 1;
const UNREGISTERING: u8 = 2;
const UNREGISTERED: u8 = 3;
const RELEASED: u8 = 4;
/// Bits of its state.
const START: u64 = 1;
pub(super) const PRESENT: u64 = 2;
/// Its flags.
const UP: u32 = 1;
/// Events.
const NETDEV_UP: u64 = 1;
const NETDEV_DOWN: u64 = 2;
const NETDEV_REGISTER: u64 = 5;
const NETDEV_UNREGISTER: u64 = 6;
const NETDEV_GOING_DOWN: u64 = 9;
const NETDEV_PRE_UP: u64 = 13;
/// How often the wait for a device's references says that it waits.
const COMPLAIN: u64 = 10_000_000_000;
const KIND: &str = "netdevice";

pub(super) fn init_net(cx: &mut Cx) -> R {
    Ok(super::variable(cx, "init_net")?.unwrap_or(0))
}

fn state(cx: &Cx, dev: u64) -> R<u8> {
    Ok(cx.r8(dev + cx.off.netdev_reg_state)?)
}

pub(super) fn set_bits(cx: &Cx, at: u64, bits: u64, on: bool) -> R<()> {
    let old = cx.r64(at)?;
    Ok(cx.w64(at, if on { old | bits } else { old & !bits })?)
}

/// References on a device beside its own.
fn references(cx: &Cx, dev: u64) -> R<i32> {
    if cx.off.netdev_refcnt == NONE {
        return Ok(0);
    }
    let count = cx.r64(dev + cx.off.netdev_refcnt)?;
    Ok(cx.r32(map::PERCPU.start.wrapping_add(count))? as i32 - 1)
}

pub(super) fn hold(cx: &Cx, dev: u64) -> R<()> {
    if dev != 0 && cx.off.netdev_refcnt != NONE {
        let at = map::PERCPU
            .start
            .wrapping_add(cx.r64(dev + cx.off.netdev_refcnt)?);
        cx.w32(at, cx.r32(at)?.wrapping_add(1))?;
    }
    Ok(())
}

/// The one device of an unconfigured machine: the loopback, down.
pub(crate) fn loopback(cx: &mut Cx) -> R {
    if cx.net.devices.loopback == 0 {
        let off = cx.off;
        let dev = allocate(cx, 0, 1, 1)?;
        cx.net.devices.loopback = dev;
        set_name(cx, dev, "lo")?;
        cx.w32(dev + off.netdev_flags, 8)?;
        cx.w32(dev + off.netdev_mtu, 65_536)?;
        cx.w16(dev + off.netdev_type, 772)?;
        cx.w8(dev + off.netdev_addr_len, 6)?;
        let ops = mm::kernel_object(cx, 1024)?;
        cx.w64(dev + off.netdev_ops, ops)?;
        cx.w64(dev + off.netdev_ethtool_ops, ops)?;
        cx.w32(dev + off.netdev_ifindex, 1)?;
        cx.w8(dev + off.netdev_reg_state, REGISTERED)?;
        cx.w64(dev + off.netdev_state, PRESENT)?;
        core::initialize(cx, dev + off.netdev_dev)?;
        cx.net.devices.last_index = 1;
        cx.net.devices.devices.insert(0, dev);
        let net = init_net(cx)?;
        util::list_add_tail(cx, dev + off.netdev_dev_list, net + off.net_dev_base)?;
        if off.net_loopback != NONE {
            cx.w64(net + off.net_loopback, dev)?;
        }
    }
    Ok(cx.net.devices.loopback)
}

/// Makes `init_net` what a booted kernel has: its lists are lists.
pub(crate) fn init_namespace(cx: &mut Cx, net: u64) -> R<()> {
    let off = cx.off;
    for list in [off.net_dev_base, off.net_list, off.net_exit_list] {
        util::list_init(cx, net + list)?;
    }
    Ok(())
}

/// An operation of the driver's, by the offset of its member; 0 when there is none.
fn operation(cx: &Cx, dev: u64, member: u64) -> R {
    let ops = cx.r64(dev + cx.off.netdev_ops)?;
    Ok(cx.r64(ops + member)?)
}

fn tell(cx: &mut Cx, event: u64, dev: u64) -> R<u32> {
    notifier::netdevice_event(cx, event, dev)
}

fn register(cx: &mut Cx, dev: u64) -> R<i32> {
    let off = cx.off;
    loopback(cx)?;
    if state(cx, dev)? != UNINITIALIZED {
        let what = name(cx, dev)?;
        trace::misuse(cx, "duplicate", &what, dev, "register_netdevice");
        return Err(Stop::Bug("dev->reg_state != NETREG_UNINITIALIZED".into()));
    }
    if let Err(errno) = choose_name(cx, dev)? {
        return Ok(errno);
    }
    let init = operation(cx, dev, off.ndo_init)?;
    if init != 0 {
        let answer = cx.call_guest(init, &[dev]) as i32;
        if answer != 0 {
            return Ok(if answer > 0 { -EIO } else { answer });
        }
    }
    if cx.r32(dev + off.netdev_ifindex)? == 0 {
        cx.net.devices.last_index += 1;
        let index = cx.net.devices.last_index;
        cx.w32(dev + off.netdev_ifindex, index)?;
    }
    let device = dev + off.netdev_dev;
    let text = name(cx, dev)?;
    core::initialize(cx, device)?;
    crate::drivers::kobject::set_name(cx, device + off.device_kobj, text.as_bytes())?;
    let error = core::add(cx, device)?;
    if error != 0 {
        undo_init(cx, dev)?;
        return Ok(error);
    }
    set_bits(cx, dev + off.netdev_state, PRESENT, true)?;
    cx.w8(dev + off.netdev_reg_state, REGISTERED)?;
    let net = init_net(cx)?;
    util::list_add_tail(cx, dev + off.netdev_dev_list, net + off.net_dev_base)?;
    cx.net.devices.devices.push(dev);
    trace::acquired(cx, KIND, dev, &text);
    let answer = tell(cx, NETDEV_REGISTER, dev)?;
    let errno = notifier::to_errno(answer);
    if errno != 0 {
        roll_back(cx, dev)?;
        return Ok(errno);
    }
    Ok(0)
}

fn undo_init(cx: &mut Cx, dev: u64) -> R<()> {
    let uninit = operation(cx, dev, cx.off.ndo_uninit)?;
    if uninit != 0 {
        cx.call_guest(uninit, &[dev]);
    }
    Ok(())
}

fn close(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    let flags = cx.r32(dev + off.netdev_flags)?;
    if flags & UP == 0 {
        return Ok(());
    }
    tell(cx, NETDEV_GOING_DOWN, dev)?;
    set_bits(cx, dev + off.netdev_state, START, false)?;
    let stop = operation(cx, dev, off.ndo_stop)?;
    if stop != 0 {
        cx.call_guest(stop, &[dev]);
    }
    cx.w32(dev + off.netdev_flags, flags & !UP)?;
    tell(cx, NETDEV_DOWN, dev)?;
    Ok(())
}

/// unregister_netdevice_many for one device: it is gone for everybody; rtnl_unlock does the rest.
fn roll_back(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    if state(cx, dev)? == UNINITIALIZED {
        let text = format!(
            "unregister_netdevice: device {}/{dev:016x} never was registered\n",
            name(cx, dev)?
        );
        crate::printk::log(cx, 7, &text);
        let what = name(cx, dev)?;
        trace::misuse(cx, "release-unheld", &what, dev, "unregister_netdevice");
        return crate::traps::warn(cx, "", "unregister_netdevice_many");
    }
    if state(cx, dev)? != REGISTERED {
        let what = name(cx, dev)?;
        trace::misuse(cx, "release-unheld", &what, dev, "unregister_netdevice");
        return Err(Stop::Bug("dev->reg_state != NETREG_REGISTERED".into()));
    }
    close(cx, dev)?;
    util::list_del(cx, dev + off.netdev_dev_list)?;
    cx.net.devices.devices.retain(|&d| d != dev);
    cx.w8(dev + off.netdev_reg_state, UNREGISTERING)?;
    tell(cx, NETDEV_UNREGISTER, dev)?;
    undo_init(cx, dev)?;
    core::del(cx, dev + off.netdev_dev)?;
    trace::released(cx, KIND, dev);
    cx.net.devices.todo.push(dev);
    Ok(())
}

/// netdev_run_todo: what unregistering leaves for the moment when rtnl is released.
pub(crate) fn run_todo(cx: &mut Cx) -> R<()> {
    let off = cx.off;
    while !cx.net.devices.todo.is_empty() {
        let dev = cx.net.devices.todo.remove(0);
        let mut told = 0;
        while references(cx, dev)? > 0 {
            if cx.clock.now >= told {
                let text = format!(
                    "unregister_netdevice: waiting for {} to become free. Usage count = {}\n",
                    name(cx, dev)?,
                    references(cx, dev)? + 1
                );
                crate::printk::log(cx, 0, &text);
                told = cx.clock.now + COMPLAIN;
            }
            sched::sleep(cx, sched::UNINTERRUPTIBLE, COMPLAIN / 40, "netdev_run_todo")?;
        }
        cx.w8(dev + off.netdev_reg_state, UNREGISTERED)?;
        let destructor = cx.r64(dev + off.netdev_priv_destructor)?;
        let free = cx.r8(dev + off.netdev_needs_free)? & 1 != 0;
        if destructor != 0 {
            cx.call_guest(destructor, &[dev]);
        }
        if free {
            release(cx, dev)?;
        }
    }
    Ok(())
}

fn release(cx: &mut Cx, dev: u64) -> R<()> {
    cx.w8(dev + cx.off.netdev_reg_state, RELEASED)?;
    // The device's last reference is put: its name goes with it.
    crate::drivers::kobject::forget_name(cx, dev + cx.off.netdev_dev + cx.off.device_kobj)?;
    locking::on_free(cx, dev, "free_netdev")?;
    trace::released(cx, "net_device", dev);
    guard::free(cx, dev);
    Ok(())
}

fn free_netdev(cx: &mut Cx, c: &Call) -> R {
    let dev = c.a[0];
    match state(cx, dev)? {
        UNINITIALIZED | UNREGISTERED => release(cx, dev)?,
        // Within the lock: freed when it is released.
        UNREGISTERING => cx.w8(dev + cx.off.netdev_needs_free, 1)?,
        _ => {
            return Err(Stop::Bug("dev->reg_state != NETREG_UNREGISTERED".into()));
        }
    }
    Ok(0)
}

fn register_netdev(cx: &mut Cx, c: &Call) -> R {
    locking::dec::lock_rtnl(cx)?;
    let answer = register(cx, c.a[0])?;
    locking::dec::unlock_rtnl(cx)?;
    Ok(i64::from(answer) as u64)
}

fn register_netdevice(cx: &mut Cx, c: &Call) -> R {
    Ok(i64::from(register(cx, c.a[0])?) as u64)
}

fn unregister_netdev(cx: &mut Cx, c: &Call) -> R {
    locking::dec::lock_rtnl(cx)?;
    roll_back(cx, c.a[0])?;
    locking::dec::unlock_rtnl(cx)?;
    Ok(0)
}

/// The registered devices.
pub(crate) fn all(cx: &Cx) -> Vec<u64> {
    cx.net.devices.devices.clone()
}

/// Puts a device on a list of those that will go together.
pub(crate) fn queue(cx: &mut Cx, dev: u64, head: u64) -> R<()> {
    let link = dev + cx.off.netdev_unreg_list;
    util::list_del(cx, link)?;
    util::list_add_tail(cx, link, head)
}

/// Unregisters the devices of such a list.
pub(crate) fn unregister_list(cx: &mut Cx, head: u64) -> R<()> {
    for link in util::list_entries(cx, head)? {
        roll_back(cx, link - cx.off.netdev_unreg_list)?;
    }
    util::list_init(cx, head)
}

/// With a list, the device waits there for unregister_netdevice_many.
fn unregister_netdevice_queue(cx: &mut Cx, c: &Call) -> R {
    let [dev, head, ..] = c.a;
    if head != 0 {
        queue(cx, dev, head)?;
    } else {
        roll_back(cx, dev)?;
    }
    Ok(0)
}

fn unregister_netdevice_many(cx: &mut Cx, c: &Call) -> R {
    unregister_list(cx, c.a[0])?;
    Ok(0)
}

fn dev_open(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let dev = c.a[0];
    let flags = cx.r32(dev + off.netdev_flags)?;
    if flags & UP != 0 {
        return Ok(0);
    }
    if cx.r64(dev + off.netdev_state)? & PRESENT == 0 {
        return Ok(neg(ENODEV));
    }
    let refused = notifier::to_errno(tell(cx, NETDEV_PRE_UP, dev)?);
    if refused != 0 {
        return Ok(i64::from(refused) as u64);
    }
    set_bits(cx, dev + off.netdev_state, START, true)?;
    let open = operation(cx, dev, off.ndo_open)?;
    if open != 0 {
        let answer = cx.call_guest(open, &[dev]) as i32;
        if answer != 0 {
            set_bits(cx, dev + off.netdev_state, START, false)?;
            return Ok(i64::from(answer) as u64);
        }
    }
    cx.w32(dev + off.netdev_flags, flags | UP)?;
    tell(cx, NETDEV_UP, dev)?;
    Ok(0)
}

fn dev_close(cx: &mut Cx, c: &Call) -> R {
    close(cx, c.a[0])?;
    Ok(0)
}
