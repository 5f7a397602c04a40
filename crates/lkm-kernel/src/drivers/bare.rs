//! What a machine without the hardware answers: no devices of a bus, no tables of the firmware, no features to
//! speak of. These are the answers of the real functions on such a machine, not guesses.

use crate::abi::{Call, R};
use crate::table::{Key, Row, When, behaves, registers, unregisters};
use crate::{Cx, mm};

const RET: Key = Key::Ret;
const A0: Key = Key::Arg(0);

pub(crate) const ROWS: &[Row] = &[
    // DMI: no table.
    behaves("dmi_check_system", zero),
    behaves("dmi_first_match", zero),
    behaves("dmi_get_system_info", zero),
    behaves("dmi_find_device", zero),
    behaves("dmi_match", dmi_match),
    behaves("dmi_name_in_vendors", zero),
    behaves("dmi_get_bios_year", absent),
    behaves("dmi_walk", absent),
    // PCI: the bus is empty.
    behaves("pci_get_device", zero),
    behaves("pci_get_subsys", zero),
    behaves("pci_get_class", zero),
    behaves("pci_get_domain_bus_and_slot", zero),
    behaves("pci_dev_present", zero),
    // ACPI: no devices, no tables.
    behaves("acpi_get_devices", zero),
    behaves("acpi_walk_namespace", zero),
    behaves("acpi_osi_is_win8", zero),
    behaves("acpi_quirk_skip_acpi_ac_and_battery", zero),
    behaves("acpi_dev_found", zero),
    behaves("acpi_dev_present", zero),
    behaves("acpi_resources_are_enforced", one),
    behaves("acpi_get_table", not_found),
    // Power: everything is on, and stays so.
    behaves("pm_runtime_enable", zero),
    behaves("__pm_runtime_disable", zero).sleeps(),
    behaves("__pm_runtime_idle", zero),
    behaves("__pm_runtime_suspend", zero),
    behaves("__pm_runtime_resume", zero),
    behaves("__pm_runtime_set_status", zero),
    behaves("pm_runtime_forbid", zero).sleeps(),
    behaves("pm_runtime_allow", zero).sleeps(),
    behaves("pm_runtime_irq_safe", zero),
    behaves("pm_runtime_barrier", zero).sleeps(),
    behaves("pm_runtime_set_autosuspend_delay", zero),
    behaves("__pm_runtime_use_autosuspend", zero),
    behaves("devm_pm_runtime_enable", zero),
    behaves("device_set_wakeup_capable", zero),
    behaves("device_wakeup_enable", zero),
    behaves("device_init_wakeup", zero),
    // TTY ports: nobody is on the line.
    behaves("tty_port_init", zero),
    behaves("tty_port_destroy", zero),
    behaves("tty_port_link_device", zero),
    // Others that are not there.
    behaves("hv_is_hyperv_initialized", zero),
    behaves("drm_firmware_drivers_only", zero),
    behaves("edac_get_owner", zero),
    behaves("dev_get_regmap", zero),
    behaves("regmap_get_val_bytes", absent),
    behaves("load_nls", zero),
    behaves("unload_nls", zero),
    behaves("fb_get_options", fb_get_options),
    behaves("ipv6_mod_enabled", one),
    behaves("cpufreq_get_current_driver", zero),
    behaves("led_trigger_event", zero),
    behaves("clean_acked_data_flush", zero),
    behaves("sock_diag_register_inet_compat", zero),
    behaves("sock_diag_unregister_inet_compat", zero),
    behaves("brioctl_set", zero),
    behaves("vlan_ioctl_set", zero),
    behaves("ethtool_set_ethtool_phy_ops", zero),
    behaves("register_btf_kfunc_id_set", zero),
    behaves("dmaengine_get", zero),
    behaves("dmaengine_put", zero),
    behaves("kernel_fpu_begin_mask", fpu_begin),
    behaves("kernel_fpu_end", fpu_end),
    behaves("cpu_has_xfeatures", cpu_has_xfeatures),
    behaves("x86_match_cpu", x86_match_cpu),
    // Counted objects with a counterpart.
    behaves("keyring_alloc", crate::stub::fresh_object).sleeps(),
    behaves("key_create_or_update", crate::stub::fresh_object).sleeps(),
    behaves("key_put", zero),
    behaves("key_revoke", zero),
    registers("inet_frags_init", "fragment queues", A0, When::Zero),
    unregisters("inet_frags_fini", "fragment queues", A0),
    registers(
        "__tty_alloc_driver",
        "tty driver reference",
        RET,
        When::Pointer,
    ),
    unregisters("tty_driver_kref_put", "tty driver reference", A0),
    registers("bioset_init", "bio set", A0, When::Zero),
    unregisters("bioset_exit", "bio set", A0),
    behaves("rtnl_register_module", zero).sleeps(),
    behaves("rtnl_unregister", zero).sleeps(),
    behaves("rtnl_unregister_all", zero).sleeps(),
    behaves("mmu_notifier_synchronize", zero).sleeps(),
    behaves("make_kuid", second),
    behaves("make_kgid", second),
    behaves("from_kuid", second),
    behaves("from_kgid", second),
    behaves("from_kuid_munged", second),
    behaves("from_kgid_munged", second),
    behaves("dma_set_mask", dma_set_mask),
    behaves("dma_set_coherent_mask", dma_set_coherent_mask),
    registers("bdi_alloc", "bdi reference", RET, When::Pointer),
    unregisters("bdi_put", "bdi reference", A0),
    behaves("bdi_register", zero).sleeps(),
    behaves("bdi_unregister", zero).sleeps(),
    registers("__list_lru_init", "list_lru", A0, When::Zero),
    unregisters("list_lru_destroy", "list_lru", A0),
    behaves("prepare_kernel_cred", prepare_kernel_cred).sleeps(),
    behaves("__put_cred", zero),
    behaves("fqdir_init", fqdir_init).sleeps(),
    behaves("fqdir_exit", fqdir_exit).sleeps(),
    behaves("zlib_inflate_workspacesize", inflate_size),
    behaves("acpi_dev_get_first_match_dev", zero),
    behaves("acpi_check_resource_conflict", zero),
    behaves("acpi_check_region", zero),
    behaves("efivar_supports_writes", zero),
];

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// `cpu_has_xfeatures(needed, &name)`: the x87, SSE and AVX states are saved.
fn cpu_has_xfeatures(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from(c.a[0] & !7 == 0))
}

fn one(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn absent(_: &mut Cx, _: &Call) -> R {
    Ok(crate::abi::neg(crate::abi::errno::ENXIO))
}

/// A user number in the first user namespace is itself.
fn second(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from(c.a[1] as u32))
}

fn dma_set_mask(cx: &mut Cx, c: &Call) -> R {
    let mask = cx.r64(c.a[0] + cx.off.device_dma_mask)?;
    if mask == 0 {
        return Ok(crate::abi::neg(crate::abi::errno::EIO));
    }
    cx.w64(mask, c.a[1])?;
    Ok(0)
}

fn dma_set_coherent_mask(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0] + cx.off.device_coherent_dma_mask, c.a[1])?;
    Ok(0)
}

/// What a section of vector code takes, about.
const FPU_SECTION: u64 = 100_000;

/// Preemption is off while the kernel uses the vector registers.
fn fpu_begin(cx: &mut Cx, _: &Call) -> R {
    crate::context::add(cx, 1);
    crate::time::pass(cx, FPU_SECTION);
    Ok(0)
}

fn fpu_end(cx: &mut Cx, _: &Call) -> R {
    crate::context::add(cx, -1);
    Ok(0)
}

/// A cred with one reference, which counts at its beginning.
fn prepare_kernel_cred(cx: &mut Cx, _: &Call) -> R {
    let cred = mm::kernel_object(cx, 512)?;
    cx.w32(cred, 1)?;
    Ok(cred)
}

/// `fqdir_init(&fqdir, fragment queues, net)`: the limits come first in the structure, f and net behind them.
fn fqdir_init(cx: &mut Cx, c: &Call) -> R {
    let fqdir = mm::kalloc(cx, 512)?;
    cx.w64(fqdir + 24, c.a[1])?;
    cx.w64(fqdir + 32, c.a[2])?;
    cx.w64(c.a[0], fqdir)?;
    Ok(0)
}

fn fqdir_exit(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    mm::kfree(cx, c.a[0]);
    Ok(0)
}

/// Bytes of struct inflate_workspace on a 64-bit machine, with its window.
fn inflate_size(_: &mut Cx, _: &Call) -> R {
    Ok(42_312)
}

/// AE_NOT_FOUND.
fn not_found(_: &mut Cx, _: &Call) -> R {
    Ok(5)
}

/// `dmi_match(field, text)`: only no text equals a field that is not there.
fn dmi_match(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from(c.a[1] == 0))
}

/// `fb_get_options(name, &option)`: none on the command line.
fn fb_get_options(cx: &mut Cx, c: &Call) -> R {
    if c.a[1] != 0 {
        cx.w64(c.a[1], 0)?;
    }
    Ok(0)
}

/// Entries of a table of processors that are looked at, at most.
const MAX_ENTRIES: u64 = 4096;
/// Bytes of struct x86_cpu_id: vendor, family, model, steppings, feature, driver_data.
const ENTRY: u64 = 24;
/// X86_VENDOR_ANY; for the other members, 0 is "any".
const VENDOR_ANY: u16 = 0xffff;

/// The first entry of a table that this machine's processor fits.
fn x86_match_cpu(cx: &mut Cx, c: &Call) -> R {
    let cpu = mm::cpu::boot_cpu_data(cx)?;
    for index in 0..MAX_ENTRIES {
        let at = c.a[0] + index * ENTRY;
        let words: Vec<u16> = (0..5)
            .map(|i| cx.r16(at + 2 * i))
            .collect::<Result<_, _>>()?;
        if words.iter().all(|&w| w == 0) {
            return Ok(0);
        }
        let model = mm::cpu::id(cx, cpu)?;
        let fits = (words[0] == VENDOR_ANY || words[0] == model.vendor)
            && (words[1] == 0 || words[1] == model.family)
            && (words[2] == 0 || words[2] == model.model)
            && (words[3] == 0 || words[3] & (1 << model.stepping) != 0)
            && (words[4] == 0 || mm::cpu::has(cx, cpu, words[4])?);
        if fits {
            return Ok(at);
        }
    }
    Ok(0)
}
