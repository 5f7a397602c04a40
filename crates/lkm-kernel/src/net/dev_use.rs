//! What drivers do with network devices that are there (net/core/dev.c, net/sched/sch_generic.c): find them, say that
//! they have a carrier, stop and wake their queues, add their pollers. Nothing is polled, and what is received is
//! dropped.

use super::dev::{PRESENT, hold, loopback, set_bits};
use super::dev_alloc::{MAX_QUEUES, by_name};
use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Row, behaves};
use crate::{Cx, context, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("dev_addr_mod", dev_addr_mod),
    behaves("__dev_get_by_name", find_by_name),
    behaves("dev_get_by_name_rcu", find_by_name),
    behaves("dev_get_by_name", get_by_name),
    behaves("__dev_get_by_index", find_by_index),
    behaves("dev_get_by_index_rcu", find_by_index),
    behaves("dev_get_by_index", get_by_index),
    behaves("netif_carrier_on", carrier_on),
    behaves("netif_carrier_off", carrier_off),
    behaves("netif_device_detach", device_detach),
    behaves("netif_device_attach", device_attach),
    behaves("netif_tx_stop_all_queues", stop_all_queues),
    behaves("netif_tx_wake_queue", wake_queue),
    behaves("eth_validate_addr", eth_validate_addr),
    behaves("netif_rx", netif_rx),
    behaves("netif_receive_skb", netif_rx),
    behaves("netif_napi_add_weight", napi_add),
    behaves("__netif_napi_del", napi_del),
    behaves("napi_enable", napi_enable),
    behaves("napi_disable", napi_disable).sleeps(),
];

/// __LINK_STATE_NOCARRIER, as a bit.
const NOCARRIER: u64 = 4;
/// DRV_XOFF of a transmit queue.
const DRV_XOFF: u64 = 1;

fn find_by_name(cx: &mut Cx, c: &Call) -> R {
    loopback(cx)?;
    let text = cx.text(c.a[1])?;
    Ok(by_name(cx, &text)?.unwrap_or(0))
}

fn get_by_name(cx: &mut Cx, c: &Call) -> R {
    let dev = find_by_name(cx, c)?;
    hold(cx, dev)?;
    Ok(dev)
}

fn find_by_index(cx: &mut Cx, c: &Call) -> R {
    loopback(cx)?;
    for dev in cx.net.devices.devices.clone() {
        if cx.r32(dev + cx.off.netdev_ifindex)? == c.a[1] as u32 {
            return Ok(dev);
        }
    }
    Ok(0)
}

fn get_by_index(cx: &mut Cx, c: &Call) -> R {
    let dev = find_by_index(cx, c)?;
    hold(cx, dev)?;
    Ok(dev)
}

fn carrier_on(cx: &mut Cx, c: &Call) -> R {
    set_bits(cx, c.a[0] + cx.off.netdev_state, NOCARRIER, false)?;
    Ok(0)
}

fn carrier_off(cx: &mut Cx, c: &Call) -> R {
    set_bits(cx, c.a[0] + cx.off.netdev_state, NOCARRIER, true)?;
    Ok(0)
}

fn device_detach(cx: &mut Cx, c: &Call) -> R {
    set_bits(cx, c.a[0] + cx.off.netdev_state, PRESENT, false)?;
    Ok(0)
}

fn device_attach(cx: &mut Cx, c: &Call) -> R {
    set_bits(cx, c.a[0] + cx.off.netdev_state, PRESENT, true)?;
    Ok(0)
}

fn stop_all_queues(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let queues = cx.r64(c.a[0] + off.netdev_tx)?;
    let count = u64::from(cx.r32(c.a[0] + off.netdev_num_tx)?).min(MAX_QUEUES);
    for index in 0..count {
        let at = queues + index * off.netdev_queue_size + off.netdev_queue_state;
        set_bits(cx, at, DRV_XOFF, true)?;
    }
    Ok(0)
}

fn wake_queue(cx: &mut Cx, c: &Call) -> R {
    set_bits(cx, c.a[0] + cx.off.netdev_queue_state, DRV_XOFF, false)?;
    Ok(0)
}

fn eth_validate_addr(cx: &mut Cx, c: &Call) -> R {
    let at = cx.r64(c.a[0] + cx.off.netdev_dev_addr)?;
    let address = cx.bytes(at, 6)?;
    let fine = address[0] & 1 == 0 && address.iter().any(|&b| b != 0);
    Ok(if fine { 0 } else { neg(EADDRNOTAVAIL) })
}

/// Nobody listens: the packet is dropped.
fn netif_rx(cx: &mut Cx, c: &Call) -> R {
    super::skb::free(cx, c.a[0])?;
    Ok(1)
}

/// `netif_napi_add_weight(dev, napi, poll, weight)`: known to its device, disabled.
fn napi_add(cx: &mut Cx, c: &Call) -> R {
    let [dev, napi, poll, weight, ..] = c.a;
    let off = cx.off;
    if off.napi_poll != NONE {
        cx.w64(napi + off.napi_poll, poll)?;
        cx.w32(napi + off.napi_weight, weight as u32)?;
        cx.w64(napi + off.napi_dev, dev)?;
        cx.w64(napi + off.napi_state, 1)?;
        util::list_init(cx, napi + off.napi_poll_list)?;
        util::list_add(cx, napi + off.napi_dev_list, dev + off.netdev_napi_list)?;
    }
    Ok(0)
}

fn napi_del(cx: &mut Cx, c: &Call) -> R {
    if cx.off.napi_poll != NONE {
        util::list_del_init(cx, c.a[0] + cx.off.napi_dev_list)?;
    }
    Ok(0)
}

fn napi_enable(cx: &mut Cx, c: &Call) -> R {
    if cx.off.napi_poll != NONE {
        set_bits(cx, c.a[0] + cx.off.napi_state, 1, false)?;
    }
    Ok(0)
}

fn napi_disable(cx: &mut Cx, c: &Call) -> R {
    context::may_sleep(cx, "napi_disable");
    if cx.off.napi_poll != NONE {
        set_bits(cx, c.a[0] + cx.off.napi_state, 1, true)?;
    }
    Ok(0)
}

/// `dev_addr_mod(dev, offset, address, length)`.
fn dev_addr_mod(cx: &mut Cx, c: &Call) -> R {
    let [dev, offset, from, len, ..] = c.a;
    let at = cx.r64(dev + cx.off.netdev_dev_addr)?;
    let offset = u64::from(offset as u32);
    if offset + len <= 32 {
        cx.copy(at + offset, from, len)?;
    }
    Ok(0)
}
