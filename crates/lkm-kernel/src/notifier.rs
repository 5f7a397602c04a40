//! Notifier chains (kernel/notifier.c): lists of blocks in guest memory, by falling priority. The kernel's own
//! chains (modules, reboot, network devices …) have their heads in kernel memory.

use crate::abi::{Call, R, errno, neg};
use crate::hash::Map;
use crate::module::{COMING, GOING};
use crate::table::{Key, Row, When, behaves};
use crate::{Cx, data, module, sched, trace};
use lkm_trace::{Class, Event};

/// The heads of the kernel's own chains, by name.
#[derive(Default)]
pub struct State {
    heads: Map<&'static str, u64>,
    srcu: Map<u64, u64>,
    info: u64,
}

const STOP: u32 = 0x8000;
const OK: u32 = 1;
/// Blocks on one chain at most; a ring ends.
const MAX_BLOCKS: u32 = 10_000;

macro_rules! chains {
    ($($reg:ident $unreg:ident $chain:literal;)*) => {
        $(
            fn $reg(cx: &mut Cx, c: &Call) -> R {
                let head = own_head(cx, $chain)?;
                register(cx, head, c.a[0])
            }
            fn $unreg(cx: &mut Cx, c: &Call) -> R {
                let head = own_head(cx, $chain)?;
                unregister(cx, head, c.a[0])
            }
        )*
        /// The functions of chains whose head a caller never sees.
        const OWN: &[Row] = &[
            $(
                behaves(stringify!($reg), $reg).acquires(concat!($chain, " notifier"), Key::Arg(0), When::Zero),
                behaves(stringify!($unreg), $unreg).releases(concat!($chain, " notifier"), Key::Arg(0)),
            )*
        ];
    };
}

chains! {
    register_module_notifier unregister_module_notifier "module";
    register_reboot_notifier unregister_reboot_notifier "reboot";
    register_restart_handler unregister_restart_handler "restart";
    register_inetaddr_notifier unregister_inetaddr_notifier "inetaddr";
    register_inetaddr_validator_notifier unregister_inetaddr_validator_notifier "inetaddr validator";
    register_inet6addr_notifier unregister_inet6addr_notifier "inet6addr";
    register_netevent_notifier unregister_netevent_notifier "netevent";
    register_switchdev_notifier unregister_switchdev_notifier "switchdev";
    register_switchdev_blocking_notifier unregister_switchdev_blocking_notifier "switchdev blocking";
    register_die_notifier unregister_die_notifier "die";
    register_keyboard_notifier unregister_keyboard_notifier "keyboard";
    register_vt_notifier unregister_vt_notifier "vt";
    register_oom_notifier unregister_oom_notifier "oom";
    register_pm_notifier unregister_pm_notifier "pm";
    register_memory_notifier unregister_memory_notifier "memory";
    register_acpi_notifier unregister_acpi_notifier "acpi";
    acpi_lid_notifier_register acpi_lid_notifier_unregister "acpi lid";
    usb_register_notify usb_unregister_notify "usb";
    fb_register_client fb_unregister_client "fb";
    crypto_register_notifier crypto_unregister_notifier "crypto";
    register_lsm_notifier unregister_lsm_notifier "lsm";
    mce_register_decode_chain mce_unregister_decode_chain "mce";
    register_vmap_purge_notifier unregister_vmap_purge_notifier "vmap purge";
    netlink_register_notifier netlink_unregister_notifier "netlink";
    register_dcbevent_notifier unregister_dcbevent_notifier "dcbevent";
    register_blocking_lsm_notifier unregister_blocking_lsm_notifier "lsm blocking";
    register_inet6addr_validator_notifier unregister_inet6addr_validator_notifier "inet6addr validator";
    register_random_vmfork_notifier unregister_random_vmfork_notifier "random vmfork";
    register_xenstore_notifier unregister_xenstore_notifier "xenstore";
    pvclock_gtod_register_notifier pvclock_gtod_unregister_notifier "pvclock gtod";
    cpufreq_register_notifier cpufreq_unregister_notifier "cpufreq";
    power_supply_reg_notifier power_supply_unreg_notifier "power supply";
}

const CHAINS: &[Row] = &[
    behaves("call_netdevice_notifiers", call_netdevice_notifiers),
    behaves("register_netdevice_notifier", register_netdevice_notifier)
        .acquires("netdevice notifier", Key::Arg(0), When::Zero)
        .sleeps(),
    behaves(
        "unregister_netdevice_notifier",
        unregister_netdevice_notifier,
    )
    .releases("netdevice notifier", Key::Arg(0))
    .sleeps(),
    behaves("atomic_notifier_chain_register", atomic_register),
    behaves(
        "atomic_notifier_chain_register_unique_prio",
        atomic_register_unique,
    ),
    behaves("atomic_notifier_chain_unregister", atomic_unregister),
    behaves("atomic_notifier_call_chain", atomic_call),
    behaves("blocking_notifier_chain_register", blocking_register).sleeps(),
    behaves(
        "blocking_notifier_chain_register_unique_prio",
        blocking_register_unique,
    )
    .sleeps(),
    behaves("blocking_notifier_chain_unregister", blocking_unregister).sleeps(),
    behaves("blocking_notifier_call_chain", blocking_call).sleeps(),
    behaves("blocking_notifier_call_chain_robust", blocking_call_robust).sleeps(),
    behaves("raw_notifier_chain_register", raw_register),
    behaves("raw_notifier_chain_unregister", raw_unregister),
    behaves("raw_notifier_call_chain", raw_call),
    behaves("raw_notifier_call_chain_robust", raw_call_robust),
    behaves("srcu_init_notifier_head", srcu_init),
    behaves("srcu_notifier_chain_register", srcu_register).sleeps(),
    behaves("srcu_notifier_chain_unregister", srcu_unregister).sleeps(),
    behaves("srcu_notifier_call_chain", srcu_call).sleeps(),
];

/// NETDEV_REGISTER.
const NETDEV_REGISTER: u64 = 5;
/// NETDEV_UNREGISTER.
const NETDEV_UNREGISTER: u64 = 6;

/// A netdev_notifier_info about a device, for one call.
fn about(cx: &mut Cx, dev: u64) -> R<u64> {
    if cx.notifiers.info == 0 {
        cx.notifiers.info = crate::mm::kernel_object(cx, 64)?;
    }
    // One at a time: who is told inside of a call finds the words of the inner one gone, as nobody keeps them.
    let info = cx.notifiers.info;
    cx.w64(info, dev)?;
    Ok(info)
}

/// Something happens to a network device: everybody on the chain is told. What the last one answered.
pub(crate) fn netdevice_event(cx: &mut Cx, event: u64, dev: u64) -> R<u32> {
    let head = own_head(cx, "netdevice")?;
    let info = about(cx, dev)?;
    Ok(call(cx, head, event, info)?.0 as u32)
}

fn call_netdevice_notifiers(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(netdevice_event(cx, c.a[0], c.a[1])?))
}

/// Registers, and tells the newcomer of the devices that are there; it may refuse.
fn register_netdevice_notifier(cx: &mut Cx, c: &Call) -> R {
    let head = own_head(cx, "netdevice")?;
    let result = register(cx, head, c.a[0])?;
    if result != 0 {
        return Ok(result);
    }
    let loopback = crate::net::dev::loopback(cx)?;
    let info = about(cx, loopback)?;
    let function = cx.r64(c.a[0] + cx.off.nb_call)?;
    let answer = cx.call_guest(function, &[c.a[0], NETDEV_REGISTER, info]) as u32;
    let errno = to_errno(answer);
    if errno != 0 {
        unregister(cx, head, c.a[0])?;
        return Ok(i64::from(errno) as u64);
    }
    Ok(0)
}

/// Unregisters, and tells the leaver that the devices go.
fn unregister_netdevice_notifier(cx: &mut Cx, c: &Call) -> R {
    let head = own_head(cx, "netdevice")?;
    let result = unregister(cx, head, c.a[0])?;
    if result == 0 {
        let loopback = crate::net::dev::loopback(cx)?;
        let info = about(cx, loopback)?;
        let function = cx.r64(c.a[0] + cx.off.nb_call)?;
        cx.call_guest(function, &[c.a[0], NETDEV_UNREGISTER, info]);
    }
    Ok(result)
}

/// Both tables.
pub(crate) const ROWS: &[Row] = CHAINS;
/// The registration functions of the kernel's chains.
pub(crate) const OWN_ROWS: &[Row] = OWN;

/// The word that points to the first block of a kernel chain.
fn own_head(cx: &mut Cx, chain: &'static str) -> R<u64> {
    if let Some(&head) = cx.notifiers.heads.get(chain) {
        return Ok(head);
    }
    // Large enough to be any of the head types, for variables such as panic_notifier_list.
    let head = data::alloc(cx, 512, 64)?;
    cx.notifiers.heads.insert(chain, head);
    Ok(head)
}

/// Exported heads: `panic_notifier_list` is an atomic chain.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    let at = match name {
        "panic_notifier_list" => own_head(cx, "panic")?,
        "x86_mce_decoder_chain" => own_head(cx, "mce decoder")?,
        _ => return Ok(None),
    };
    Ok(Some(at))
}

fn blocks(cx: &Cx, first: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    let mut at = cx.r64(first)?;
    while at != 0 && (out.len() as u32) < MAX_BLOCKS {
        out.push(at);
        at = cx.r64(at + cx.off.nb_next)?;
    }
    Ok(out)
}

/// notifier_chain_register on the chain whose first pointer is at `first`.
fn register(cx: &mut Cx, first: u64, nb: u64) -> R {
    add(cx, first, nb, false)
}

fn add(cx: &mut Cx, first: u64, nb: u64, unique: bool) -> R {
    let priority = cx.r32(nb + cx.off.nb_priority)? as i32;
    let mut link = first;
    for _ in 0..MAX_BLOCKS {
        let at = cx.r64(link)?;
        if at == 0 {
            break;
        }
        if at == nb {
            let call = cx.r64(nb + cx.off.nb_call)?;
            let name = module::kallsyms::describe(cx, call);
            trace::misuse(cx, "duplicate", &name, nb, "notifier_chain_register");
            let text = format!("notifier callback {name} already registered\n");
            crate::traps::warn(cx, &text, "notifier_chain_register")?;
            return Ok(neg(errno::EEXIST));
        }
        let other = cx.r32(at + cx.off.nb_priority)? as i32;
        if priority > other {
            break;
        }
        if priority == other && unique {
            return Ok(neg(errno::EBUSY));
        }
        link = at + cx.off.nb_next;
    }
    let next = cx.r64(link)?;
    cx.w64(nb + cx.off.nb_next, next)?;
    cx.w64(link, nb)?;
    Ok(0)
}

fn unregister(cx: &mut Cx, first: u64, nb: u64) -> R {
    let mut link = first;
    for _ in 0..MAX_BLOCKS {
        let at = cx.r64(link)?;
        if at == 0 {
            break;
        }
        if at == nb {
            let next = cx.r64(nb + cx.off.nb_next)?;
            cx.w64(link, next)?;
            return Ok(0);
        }
        link = at + cx.off.nb_next;
    }
    // Not on the chain: the answer says so, and nothing else comes of it.
    Ok(neg(errno::ENOENT))
}

/// notifier_call_chain: the last answer, and how many were called.
fn call(cx: &mut Cx, first: u64, event: u64, arg: u64) -> R<(u32, usize)> {
    let mut answer = 0;
    let mut called = 0;
    let mut at = cx.r64(first)?;
    sched::entered(cx, "notifier_call_chain");
    while at != 0 && called < MAX_BLOCKS as usize {
        // The block may take itself off while it runs.
        let next = cx.r64(at + cx.off.nb_next)?;
        let function = cx.r64(at + cx.off.nb_call)?;
        answer = cx.call_guest(function, &[at, event, arg]) as u32;
        called += 1;
        if answer & STOP != 0 {
            break;
        }
        at = next;
    }
    sched::left(cx);
    Ok((answer, called))
}

/// notifier_call_chain_robust: a veto takes the event back with those that were told of it.
fn call_robust(cx: &mut Cx, first: u64, up: u64, down: u64, arg: u64) -> R<u32> {
    let (answer, called) = call(cx, first, up, arg)?;
    if answer & STOP != 0 && called > 1 {
        for nb in blocks(cx, first)?.into_iter().take(called - 1) {
            let function = cx.r64(nb + cx.off.nb_call)?;
            if cx.call_guest(function, &[nb, down, arg]) as u32 & STOP != 0 {
                break;
            }
        }
    }
    Ok(answer)
}

/// notifier_to_errno, as a negative number.
pub(crate) fn to_errno(answer: u32) -> i32 {
    let answer = answer & !STOP;
    if answer > OK {
        OK as i32 - answer as i32
    } else {
        0
    }
}

/// Calls the module notifier chain; a veto of COMING is returned as a negative errno, after those that had
/// been told got GOING.
pub(crate) fn call_module_chain(cx: &mut Cx, state: u64, this: u64) -> R<i32> {
    let head = own_head(cx, "module")?;
    let answer = if state == u64::from(COMING) && cx.profile.notifier_veto {
        call_robust(cx, head, state, u64::from(GOING), this)?
    } else {
        call(cx, head, state, this)?.0
    };
    Ok(to_errno(answer))
}

/// A block put on a chain of somebody else's is a registration; on a chain of its own module it is not.
fn told(cx: &mut Cx, head: u64, nb: u64, taken: bool, function: &str) {
    let owner = module::find_by_addr(cx, nb);
    if owner.is_none() || owner == module::find_by_addr(cx, head) {
        return;
    }
    let (tid, site) = (sched::current_tid(cx), trace::site(cx));
    let event = if taken {
        Event::Acquire {
            kind: "notifier".into(),
            key: nb,
            size: 0,
            detail: String::new(),
            function: function.into(),
            class: Class::Behaves,
            tid,
            site,
        }
    } else {
        Event::Release {
            kind: "notifier".into(),
            key: nb,
            function: function.into(),
            tid,
            site,
        }
    };
    trace::emit(cx, event);
}

fn chain_register(cx: &mut Cx, c: &Call, offset: u64, unique: bool, function: &str) -> R {
    let [head, nb, ..] = c.a;
    let result = add(cx, head + offset, nb, unique)?;
    if result == 0 {
        told(cx, head, nb, true, function);
    }
    Ok(result)
}

fn chain_unregister(cx: &mut Cx, c: &Call, offset: u64, function: &str) -> R {
    let [head, nb, ..] = c.a;
    let result = unregister(cx, head + offset, nb)?;
    if result == 0 {
        told(cx, head, nb, false, function);
    }
    Ok(result)
}

fn chain_call(cx: &mut Cx, c: &Call, offset: u64) -> R {
    let [head, event, arg, ..] = c.a;
    Ok(u64::from(call(cx, head + offset, event, arg)?.0))
}

fn chain_call_robust(cx: &mut Cx, c: &Call, offset: u64) -> R {
    let [head, up, down, arg, ..] = c.a;
    Ok(u64::from(call_robust(cx, head + offset, up, down, arg)?))
}

fn atomic_register(cx: &mut Cx, c: &Call) -> R {
    chain_register(
        cx,
        c,
        cx.off.atomic_nh_head,
        false,
        "atomic_notifier_chain_register",
    )
}

fn atomic_register_unique(cx: &mut Cx, c: &Call) -> R {
    chain_register(
        cx,
        c,
        cx.off.atomic_nh_head,
        true,
        "atomic_notifier_chain_register",
    )
}

fn atomic_unregister(cx: &mut Cx, c: &Call) -> R {
    chain_unregister(
        cx,
        c,
        cx.off.atomic_nh_head,
        "atomic_notifier_chain_unregister",
    )
}

fn atomic_call(cx: &mut Cx, c: &Call) -> R {
    chain_call(cx, c, cx.off.atomic_nh_head)
}

fn blocking_register(cx: &mut Cx, c: &Call) -> R {
    chain_register(
        cx,
        c,
        cx.off.blocking_nh_head,
        false,
        "blocking_notifier_chain_register",
    )
}

fn blocking_register_unique(cx: &mut Cx, c: &Call) -> R {
    chain_register(
        cx,
        c,
        cx.off.blocking_nh_head,
        true,
        "blocking_notifier_chain_register",
    )
}

fn blocking_unregister(cx: &mut Cx, c: &Call) -> R {
    chain_unregister(
        cx,
        c,
        cx.off.blocking_nh_head,
        "blocking_notifier_chain_unregister",
    )
}

fn blocking_call(cx: &mut Cx, c: &Call) -> R {
    chain_call(cx, c, cx.off.blocking_nh_head)
}

fn blocking_call_robust(cx: &mut Cx, c: &Call) -> R {
    chain_call_robust(cx, c, cx.off.blocking_nh_head)
}

fn raw_register(cx: &mut Cx, c: &Call) -> R {
    chain_register(
        cx,
        c,
        cx.off.raw_nh_head,
        false,
        "raw_notifier_chain_register",
    )
}

fn raw_unregister(cx: &mut Cx, c: &Call) -> R {
    chain_unregister(cx, c, cx.off.raw_nh_head, "raw_notifier_chain_unregister")
}

fn raw_call(cx: &mut Cx, c: &Call) -> R {
    chain_call(cx, c, cx.off.raw_nh_head)
}

fn raw_call_robust(cx: &mut Cx, c: &Call) -> R {
    chain_call_robust(cx, c, cx.off.raw_nh_head)
}

/// The chain of a srcu_notifier_head is kept by its address: only these calls see its inside.
fn srcu_first(cx: &mut Cx, head: u64) -> R<u64> {
    cx.r64(head)?;
    if let Some(&first) = cx.notifiers.srcu.get(&head) {
        return Ok(first);
    }
    let first = data::alloc(cx, 8, 8)?;
    cx.notifiers.srcu.insert(head, first);
    Ok(first)
}

fn srcu_init(cx: &mut Cx, c: &Call) -> R {
    let first = srcu_first(cx, c.a[0])?;
    cx.w64(first, 0)?;
    Ok(0)
}

fn srcu_register(cx: &mut Cx, c: &Call) -> R {
    let first = srcu_first(cx, c.a[0])?;
    let result = register(cx, first, c.a[1])?;
    if result == 0 {
        told(cx, c.a[0], c.a[1], true, "srcu_notifier_chain_register");
    }
    Ok(result)
}

fn srcu_unregister(cx: &mut Cx, c: &Call) -> R {
    let first = srcu_first(cx, c.a[0])?;
    let result = unregister(cx, first, c.a[1])?;
    if result == 0 {
        told(cx, c.a[0], c.a[1], false, "srcu_notifier_chain_unregister");
    }
    Ok(result)
}

fn srcu_call(cx: &mut Cx, c: &Call) -> R {
    let first = srcu_first(cx, c.a[0])?;
    Ok(u64::from(call(cx, first, c.a[1], c.a[2])?.0))
}
