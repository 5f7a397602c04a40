//! Building netlink messages (lib/nlattr.c, net/netlink/af_netlink.c, net/netlink/genetlink.c): headers and
//! attributes go to the end of a buffer; what does not fit is refused.

use super::skb;
use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("__nlmsg_put", nlmsg_put),
    behaves("genlmsg_put", genlmsg_put),
    behaves("nla_put", put),
    behaves("nla_put_64bit", put_64bit),
    behaves("nla_put_nohdr", put_nohdr),
    behaves("nla_append", append),
    behaves("nla_reserve", reserve),
    behaves("nla_memcpy", memcpy),
    behaves("nla_strscpy", strscpy),
];

/// Bytes of struct nlmsghdr, struct genlmsghdr and struct nlattr.
const NLMSG: u64 = 16;
const GENL: u64 = 4;
const NLA: u64 = 4;
/// NLA_TYPE_MASK's complement has the flags.
const MAX: u64 = 1 << 20;

fn align(len: u64) -> u64 {
    len.next_multiple_of(4)
}

/// Room for `len` bytes at the end of a buffer, zeroed; None when there is none.
fn room(cx: &mut Cx, buffer: u64, len: u64) -> R<Option<u64>> {
    let off = cx.off;
    let (tail, end) = (
        u64::from(cx.r32(buffer + off.skb_tail)?),
        u64::from(cx.r32(buffer + off.skb_end)?),
    );
    if len > MAX || tail + len > end {
        return Ok(None);
    }
    let at = cx.r64(buffer + off.skb_head)? + tail;
    skb::append(cx, buffer, &vec![0; len as usize])?;
    Ok(Some(at))
}

fn header(cx: &mut Cx, buffer: u64, portid: u32, seq: u32, kind: u16, len: u64, flags: u16) -> R {
    let size = NLMSG + len;
    let Some(at) = room(cx, buffer, align(size))? else {
        return Ok(0);
    };
    cx.w32(at, size as u32)?;
    cx.w16(at + 4, kind)?;
    cx.w16(at + 6, flags)?;
    cx.w32(at + 8, seq)?;
    cx.w32(at + 12, portid)?;
    Ok(at)
}

/// `__nlmsg_put(skb, portid, seq, type, len, flags)`.
fn nlmsg_put(cx: &mut Cx, c: &Call) -> R {
    let [buffer, portid, seq, kind, len, flags] = c.a;
    header(
        cx,
        buffer,
        portid as u32,
        seq as u32,
        kind as u16,
        u64::from(len as u32),
        flags as u16,
    )
}

/// `genlmsg_put(skb, portid, seq, family, flags, cmd)`: the family's own header, or NULL.
fn genlmsg_put(cx: &mut Cx, c: &Call) -> R {
    let [buffer, portid, seq, family, flags, cmd] = c.a;
    let id = cx.r32(family)?;
    let own = u64::from(cx.r32(family + 4)?);
    // id, hdrsize, name, version: the start of struct genl_family is the same everywhere.
    let version = cx.r32(family + 24)?;
    let at = header(
        cx,
        buffer,
        portid as u32,
        seq as u32,
        id as u16,
        GENL + own,
        flags as u16,
    )?;
    if at == 0 {
        return Ok(0);
    }
    cx.w8(at + NLMSG, cmd as u8)?;
    cx.w8(at + NLMSG + 1, version as u8)?;
    Ok(at + NLMSG + GENL)
}

/// An attribute's header with room for its data; the place of the header.
fn attribute(cx: &mut Cx, buffer: u64, kind: u64, len: u64) -> R<Option<u64>> {
    let size = NLA + len;
    let Some(at) = room(cx, buffer, align(size))? else {
        return Ok(None);
    };
    cx.w16(at, size as u16)?;
    cx.w16(at + 2, kind as u16)?;
    Ok(Some(at))
}

fn with_data(cx: &mut Cx, buffer: u64, kind: u64, len: u64, data: u64) -> R {
    let len = u64::from(len as u32);
    if len > u64::from(u16::MAX) - NLA {
        return Ok(neg(EMSGSIZE));
    }
    let Some(at) = attribute(cx, buffer, kind, len)? else {
        return Ok(neg(EMSGSIZE));
    };
    cx.copy(at + NLA, data, len)?;
    Ok(0)
}

/// `nla_put(skb, type, len, data)`.
fn put(cx: &mut Cx, c: &Call) -> R {
    with_data(cx, c.a[0], c.a[1], c.a[2], c.a[3])
}

/// The same; this machine needs no padding.
fn put_64bit(cx: &mut Cx, c: &Call) -> R {
    with_data(cx, c.a[0], c.a[1], c.a[2], c.a[3])
}

fn put_nohdr(cx: &mut Cx, c: &Call) -> R {
    let [buffer, len, data, ..] = c.a;
    let len = u64::from(len as u32);
    let Some(at) = room(cx, buffer, align(len))? else {
        return Ok(neg(EMSGSIZE));
    };
    cx.copy(at, data, len)?;
    Ok(0)
}

fn append(cx: &mut Cx, c: &Call) -> R {
    let [buffer, len, data, ..] = c.a;
    let len = u64::from(len as u32);
    let Some(at) = room(cx, buffer, len)? else {
        return Ok(neg(EMSGSIZE));
    };
    cx.copy(at, data, len)?;
    Ok(0)
}

fn reserve(cx: &mut Cx, c: &Call) -> R {
    let len = u64::from(c.a[2] as u32);
    Ok(attribute(cx, c.a[0], c.a[1], len)?.unwrap_or(0))
}

/// `nla_memcpy(to, attribute, count)`: what was copied; the rest is zeroed.
fn memcpy(cx: &mut Cx, c: &Call) -> R {
    let [to, from, count, ..] = c.a;
    let count = u64::from(count as u32).min(MAX);
    let len = u64::from(cx.r16(from)?).saturating_sub(NLA).min(count);
    cx.copy(to, from + NLA, len)?;
    cx.fill(to + len, 0, count - len)?;
    Ok(len)
}

/// `nla_strscpy(to, attribute, size)`.
fn strscpy(cx: &mut Cx, c: &Call) -> R {
    let [to, from, size, ..] = c.a;
    if size == 0 {
        return Ok(neg(E2BIG));
    }
    let len = u64::from(cx.r16(from)?).saturating_sub(NLA);
    let raw = cx.bytes(from + NLA, len)?;
    let text = raw.split(|&b| b == 0).next().unwrap_or(&[]).to_vec();
    crate::lib::put_string(cx, to, &text, size)?;
    Ok(if text.len() as u64 >= size {
        neg(E2BIG)
    } else {
        text.len() as u64
    })
}
