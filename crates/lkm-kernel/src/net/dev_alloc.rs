//! Memory and names of network devices (net/core/dev.c, net/ethernet/eth.c): allocation, what every Ethernet
//! device begins with, and the choice of a free name.

use crate::abi::{Call, R, Stop, errno::*, neg};
use crate::layout::NONE;
use crate::mm::{self, guard};
use crate::net::dev::{init_net, loopback};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, data, util};
use lkm_machine::map;

pub(crate) const ROWS: &[Row] = &[
    behaves("alloc_netdev_mqs", alloc_netdev_mqs)
        .acquires("net_device", Key::Ret, When::Pointer)
        .named(1)
        .fails(Fails::Null)
        .sleeps(),
    behaves("alloc_etherdev_mqs", alloc_etherdev_mqs)
        .acquires("net_device", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("ether_setup", ether_setup_call),
    behaves("dev_alloc_name", dev_alloc_name),
    behaves("dev_valid_name", dev_valid_name),
];

/// Devices of one name's series at most.
const MAX_NUMBER: u32 = 32_768;
/// Bytes of a name with its end.
const IFNAMSIZ: usize = 16;
/// Bytes of a device's private part at most, and queues.
const MAX_PRIV: u64 = 1 << 20;
pub(super) const MAX_QUEUES: u64 = 4096;

/// The name of a device.
pub(crate) fn name(cx: &Cx, dev: u64) -> R<String> {
    let raw = cx.bytes(dev + cx.off.net_device_name, IFNAMSIZ as u64)?;
    let end = raw.iter().position(|&b| b == 0).unwrap_or(IFNAMSIZ);
    Ok(String::from_utf8_lossy(&raw[..end]).into_owned())
}

pub(super) fn set_name(cx: &mut Cx, dev: u64, name: &str) -> R<()> {
    let mut raw = [0u8; IFNAMSIZ];
    let bytes = name.as_bytes();
    let len = bytes.len().min(IFNAMSIZ - 1);
    raw[..len].copy_from_slice(&bytes[..len]);
    Ok(cx.write(dev + cx.off.net_device_name, &raw)?)
}

/// Memory for a device, initialised as alloc_netdev_mqs does before it calls the driver.
pub(super) fn allocate(cx: &mut Cx, private: u64, txqs: u64, rxqs: u64) -> R {
    let off = cx.off;
    let size = off.netdev_size.next_multiple_of(32);
    if private > MAX_PRIV {
        return Ok(0);
    }
    // Aligned as netdev_priv() has it; with the private part's end at the guard when that is so large.
    let total = (size + private).next_multiple_of(if private == 0 { 32 } else { 8 });
    let Some(dev) = guard::alloc(cx, total, 32, true) else {
        return Ok(0);
    };
    for list in [
        off.netdev_napi_list,
        off.netdev_unreg_list,
        off.netdev_close_list,
        off.netdev_link_watch_list,
        off.netdev_ptype_all,
        off.netdev_ptype_specific,
        off.netdev_adj_list,
        off.netdev_adj_list + 16,
        off.netdev_notifier_list,
        off.netdev_uc,
        off.netdev_mc,
        off.netdev_dev_addrs,
        off.netdev_dev_list,
    ] {
        if list < NONE - 16 {
            util::list_init(cx, dev + list)?;
        }
    }
    let address = mm::kernel_object(cx, 64)?;
    cx.w64(dev + off.netdev_dev_addr, address)?;
    let queues = mm::kernel_object(cx, txqs * off.netdev_queue_size)?;
    for index in 0..txqs {
        cx.w64(queues + index * off.netdev_queue_size, dev)?;
    }
    cx.w64(dev + off.netdev_tx, queues)?;
    cx.w32(dev + off.netdev_num_tx, txqs as u32)?;
    cx.w32(dev + off.netdev_real_num_tx, txqs as u32)?;
    cx.w32(dev + off.netdev_num_rx, rxqs as u32)?;
    cx.w32(dev + off.netdev_real_num_rx, rxqs as u32)?;
    if off.netdev_refcnt != NONE
        && let Some(count) = data::alloc_percpu(cx, 8, 8)
    {
        cx.w64(dev + off.netdev_refcnt, count)?;
        cx.w32(map::PERCPU.start + count, 1)?;
    }
    let net = init_net(cx)?;
    cx.w64(dev + off.netdev_net, net)?;
    Ok(dev)
}

/// `alloc_netdev_mqs(priv size, name, name type, setup, txqs, rxqs)`.
fn alloc_netdev_mqs(cx: &mut Cx, c: &Call) -> R {
    let [private, name_at, assign, setup, txqs, rxqs] = c.a;
    let (private, txqs, rxqs) = (
        u64::from(private as u32),
        u64::from(txqs as u32),
        u64::from(rxqs as u32),
    );
    let text = cx.text(name_at)?;
    if text.len() >= IFNAMSIZ {
        return Err(Stop::Bug("strlen(name) >= sizeof(dev->name)".into()));
    }
    if !(1..=MAX_QUEUES).contains(&txqs) || !(1..=MAX_QUEUES).contains(&rxqs) {
        crate::printk::log(
            cx,
            1,
            "alloc_netdev: Unable to allocate device with zero queues\n",
        );
        return Ok(0);
    }
    loopback(cx)?;
    let dev = allocate(cx, private, txqs, rxqs)?;
    if dev == 0 {
        return Ok(0);
    }
    cx.call_guest(setup, &[dev]);
    set_name(cx, dev, &text)?;
    cx.w8(dev + cx.off.netdev_assign, assign as u8)?;
    Ok(dev)
}

fn alloc_etherdev_mqs(cx: &mut Cx, c: &Call) -> R {
    let [private, txqs, rxqs, ..] = c.a;
    loopback(cx)?;
    let (txqs, rxqs) = (
        u64::from(txqs as u32).clamp(1, MAX_QUEUES),
        u64::from(rxqs as u32).clamp(1, MAX_QUEUES),
    );
    let dev = allocate(cx, u64::from(private as u32), txqs, rxqs)?;
    if dev != 0 {
        ether_setup(cx, dev)?;
        set_name(cx, dev, "eth%d")?;
    }
    Ok(dev)
}

pub(super) fn ether_setup(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    if cx.net.devices.header_ops == 0 {
        cx.net.devices.header_ops = mm::kernel_object(cx, 128)?;
    }
    let header_ops = cx.net.devices.header_ops;
    cx.w64(dev + off.netdev_header_ops, header_ops)?;
    cx.w16(dev + off.netdev_type, 1)?;
    cx.w16(dev + off.netdev_hard_header_len, 14)?;
    cx.w32(dev + off.netdev_mtu, 1500)?;
    cx.w32(dev + off.netdev_min_mtu, 68)?;
    cx.w32(dev + off.netdev_max_mtu, 1500)?;
    cx.w8(dev + off.netdev_addr_len, 6)?;
    cx.w32(dev + off.netdev_tx_queue_len, 1000)?;
    // IFF_BROADCAST and IFF_MULTICAST.
    cx.w32(dev + off.netdev_flags, 0x1002)?;
    Ok(cx.fill(dev + off.netdev_broadcast, 0xff, 6)?)
}

fn ether_setup_call(cx: &mut Cx, c: &Call) -> R {
    ether_setup(cx, c.a[0])?;
    Ok(0)
}

pub(super) fn by_name(cx: &Cx, wanted: &str) -> R<Option<u64>> {
    for &dev in &cx.net.devices.devices {
        if name(cx, dev)? == wanted {
            return Ok(Some(dev));
        }
    }
    Ok(None)
}

fn valid(text: &str) -> bool {
    !text.is_empty()
        && text.len() < IFNAMSIZ
        && text != "."
        && text != ".."
        && !text
            .bytes()
            .any(|b| b == b'/' || b == b':' || b.is_ascii_whitespace())
}

/// The name a device asks for, with its number; a negative errno when there is none.
pub(super) fn choose_name(cx: &mut Cx, dev: u64) -> R<Result<i32, i32>> {
    let wanted = name(cx, dev)?;
    if !valid(&wanted) {
        return Ok(Err(-EINVAL));
    }
    let Some((head, tail)) = wanted.split_once('%') else {
        return Ok(match by_name(cx, &wanted)? {
            Some(other) if other != dev => Err(-EEXIST),
            _ => Ok(0),
        });
    };
    let Some(tail) = tail.strip_prefix('d').filter(|t| !t.contains('%')) else {
        return Ok(Err(-EINVAL));
    };
    for number in 0..MAX_NUMBER {
        let text = format!("{head}{number}{tail}");
        if by_name(cx, &text)?.is_none() {
            set_name(cx, dev, &text)?;
            return Ok(Ok(number as i32));
        }
    }
    Ok(Err(-ENFILE))
}

fn dev_alloc_name(cx: &mut Cx, c: &Call) -> R {
    let text = cx.text(c.a[1])?;
    if text.len() >= IFNAMSIZ {
        return Ok(neg(EINVAL));
    }
    set_name(cx, c.a[0], &text)?;
    let answer = match choose_name(cx, c.a[0])? {
        Ok(number) => number,
        Err(errno) => errno,
    };
    Ok(i64::from(answer) as u64)
}

fn dev_valid_name(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(valid(&cx.text(c.a[0])?)))
}
