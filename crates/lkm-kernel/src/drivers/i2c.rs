//! The I2C bus (drivers/i2c/i2c-core-base.c): drivers, and the clients that a rehearsal with probes makes for them. A
//! client has 256 registers of a byte, zeros at first.

use super::{bus, core, fake, foreign, kobject};
use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("i2c_register_driver", register_driver)
        .acquires("driver", Key::Arg(1), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("i2c_del_driver", del_driver)
        .releases("driver", Key::Arg(0))
        .sleeps(),
    behaves("i2c_match_id", i2c_match_id),
    behaves("i2c_smbus_read_byte_data", read_byte).sleeps(),
    behaves("i2c_smbus_read_word_data", read_word).sleeps(),
    behaves("i2c_smbus_write_byte_data", write_byte).sleeps(),
    behaves("i2c_smbus_write_word_data", write_word).sleeps(),
    behaves("__lkm_i2c_match", i2c_device_match),
    behaves("__lkm_i2c_probe", i2c_device_probe),
    behaves("__lkm_i2c_remove", i2c_device_remove),
    behaves("__lkm_i2c_functionality", functionality),
];

/// Bytes of struct i2c_device_id: a name of 20, padding, a word.
const ID_SIZE: u64 = 32;
const MAX_IDS: u64 = 1024;
/// I2C_FUNC_I2C and all of I2C_FUNC_SMBUS_EMUL.
const FUNCTIONS: u64 = 0x0eff_0009;
/// Bytes that hold any kernel's struct i2c_client, i2c_adapter, i2c_algorithm.
const STRUCTURE: u64 = 2048;

/// The state of this file.
#[derive(Default)]
pub struct State {
    bus_type: u64,
    adapter: u64,
    /// Registers of each client.
    clients: BTreeMap<u64, Vec<u8>>,
}

fn bus_type(cx: &mut Cx) -> R<u64> {
    if cx.i2c.bus_type == 0 {
        cx.i2c.bus_type = bus::kernel_bus(
            cx,
            "i2c",
            "__lkm_i2c_match",
            "__lkm_i2c_probe",
            "__lkm_i2c_remove",
        )?;
    }
    Ok(cx.i2c.bus_type)
}

/// The bus's variables.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    Ok(match name {
        "i2c_bus_type" => Some(bus_type(cx)?),
        _ => None,
    })
}

/// Whether the types at hand describe I2C.
fn known(cx: &Cx) -> bool {
    cx.off.i2c_drv_driver != NONE && cx.off.i2c_client_dev != NONE
}

/// i2c_register_driver(owner, driver).
fn register_driver(cx: &mut Cx, c: &Call) -> R {
    if !known(cx) {
        return foreign::register_second(cx, c);
    }
    let off = cx.off;
    let [owner, drv, ..] = c.a;
    let driver = drv + off.i2c_drv_driver;
    let bus = bus_type(cx)?;
    cx.w64(driver + off.driver_bus, bus)?;
    cx.w64(driver + off.driver_owner, owner)?;
    if cx.options.probe {
        appear(cx, drv)?;
    }
    Ok(bus::register(cx, driver)? as i64 as u64)
}

fn del_driver(cx: &mut Cx, c: &Call) -> R {
    if known(cx) {
        bus::unregister(cx, c.a[0] + cx.off.i2c_drv_driver)?;
    } else {
        foreign::forget(cx, c.a[0]);
    }
    Ok(0)
}

/// The entry of a table with a client's name; 0 for none.
fn matching(cx: &Cx, table: u64, client: u64) -> R<u64> {
    if table == 0 || client == 0 {
        return Ok(0);
    }
    let name = cx.cstr(client + cx.off.i2c_client_name, 20)?;
    for index in 0..MAX_IDS {
        let at = table + index * ID_SIZE;
        let entry = cx.cstr(at, 20)?;
        if entry.is_empty() {
            break;
        }
        if entry == name {
            return Ok(at);
        }
    }
    Ok(0)
}

fn i2c_match_id(cx: &mut Cx, c: &Call) -> R {
    if !known(cx) {
        return Ok(0);
    }
    matching(cx, c.a[0], c.a[1])
}

/// The adapter 0, which can do everything and has what this file makes.
fn adapter(cx: &mut Cx) -> R<u64> {
    if cx.i2c.adapter == 0 {
        let off = cx.off;
        let at = crate::data::alloc(cx, STRUCTURE, 64)?;
        let algo = crate::data::alloc(cx, 64, 8)?;
        if off.i2c_algo_functionality != NONE {
            let function = crate::symbols::address(cx, "__lkm_i2c_functionality");
            cx.w64(algo + off.i2c_algo_functionality, function)?;
        }
        if off.i2c_adapter_algo != NONE {
            cx.w64(at + off.i2c_adapter_algo, algo)?;
        }
        if off.i2c_adapter_name != NONE {
            cx.write(at + off.i2c_adapter_name, b"lkm\0")?;
        }
        cx.i2c.adapter = at;
    }
    Ok(cx.i2c.adapter)
}

/// The client that the driver's table names first, unless one is there that it takes.
fn appear(cx: &mut Cx, drv: u64) -> R<()> {
    let off = cx.off;
    let table = cx.r64(drv + off.i2c_drv_id_table)?;
    if table == 0 || cx.r8(table)? == 0 {
        return Ok(());
    }
    let present: Vec<u64> = cx.i2c.clients.keys().copied().collect();
    for client in present {
        if matching(cx, table, client)? != 0 {
            return Ok(());
        }
    }
    let name = cx.cstr(table, 20)?;
    let (bus, adapter) = (bus_type(cx)?, adapter(cx)?);
    let client = mm::kernel_object(cx, STRUCTURE)?;
    let dev = client + off.i2c_client_dev;
    core::initialize(cx, dev)?;
    let release = crate::symbols::address(cx, "__lkm_no_device_release");
    cx.w64(dev + off.device_release, release)?;
    cx.w64(dev + off.device_bus, bus)?;
    // Addresses from 0x10 on; below are reserved ones.
    let address = 0x10 + cx.i2c.clients.len() as u16 % 0x60;
    cx.w16(client + off.i2c_client_addr, address)?;
    cx.write(client + off.i2c_client_name, &name)?;
    cx.w64(client + off.i2c_client_adapter, adapter)?;
    let irq = fake::irq(cx) as u32;
    cx.w32(client + off.i2c_client_irq, irq)?;
    let label = format!("0-{address:04x}");
    kobject::set_name(cx, dev + off.device_kobj, label.as_bytes())?;
    cx.i2c.clients.insert(client, vec![0; 256]);
    fake::made(cx, dev);
    core::add(cx, dev)?;
    Ok(())
}

fn functionality(_: &mut Cx, _: &Call) -> R {
    Ok(FUNCTIONS)
}

/// i2c_device_match.
fn i2c_device_match(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let (client, drv) = (c.a[0] - off.i2c_client_dev, c.a[1] - off.i2c_drv_driver);
    let table = cx.r64(drv + off.i2c_drv_id_table)?;
    Ok(u64::from(matching(cx, table, client)? != 0))
}

/// i2c_device_probe: probe_new where the kernel has it and the driver fills it in, else probe.
fn i2c_device_probe(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let client = c.a[0] - off.i2c_client_dev;
    let drv = cx.r64(c.a[0] + off.device_driver)? - off.i2c_drv_driver;
    let new = match off.i2c_drv_probe_new {
        NONE => 0,
        member => cx.r64(drv + member)?,
    };
    let probe = cx.r64(drv + off.i2c_drv_probe)?;
    let answer = if new != 0 {
        cx.call_guest(new, &[client])
    } else if probe != 0 {
        let table = cx.r64(drv + off.i2c_drv_id_table)?;
        let id = matching(cx, table, client)?;
        cx.call_guest(probe, &[client, id])
    } else {
        neg(EINVAL)
    };
    Ok(answer as i32 as i64 as u64)
}

fn i2c_device_remove(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let drv = cx.r64(c.a[0] + off.device_driver)? - off.i2c_drv_driver;
    let remove = cx.r64(drv + off.i2c_drv_remove)?;
    if remove != 0 {
        cx.call_guest(remove, &[c.a[0] - off.i2c_client_dev]);
    }
    Ok(0)
}

/// The bytes of a client's register; a client that is not ours does not answer.
fn registers<'c>(cx: &'c mut Cx, c: &Call, len: usize) -> Option<&'c mut [u8]> {
    let place = usize::from(c.a[1] as u8);
    let bytes = cx.i2c.clients.get_mut(&c.a[0])?;
    bytes.get_mut(place..(place + len).min(256))
}

fn read_byte(cx: &mut Cx, c: &Call) -> R {
    Ok(registers(cx, c, 1).map_or(neg(ENXIO), |b| u64::from(b[0])))
}

fn read_word(cx: &mut Cx, c: &Call) -> R {
    Ok(registers(cx, c, 2).map_or(neg(ENXIO), |b| {
        b.iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    }))
}

fn write_byte(cx: &mut Cx, c: &Call) -> R {
    let value = c.a[2] as u8;
    Ok(registers(cx, c, 1).map_or(neg(ENXIO), |b| {
        b[0] = value;
        0
    }))
}

fn write_word(cx: &mut Cx, c: &Call) -> R {
    let value = (c.a[2] as u16).to_le_bytes();
    Ok(registers(cx, c, 2).map_or(neg(ENXIO), |b| {
        let len = b.len();
        b.copy_from_slice(&value[..len]);
        0
    }))
}
