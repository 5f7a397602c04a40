//! Registrations that are recorded and nothing more: which functions take and give back what, by which argument.
//!
//! Data, one row each, in pairs. The key is the argument that names the same object in both functions of a
//! pair: `__spi_register_driver(owner, driver)` has it second. Only functions that the stock kernel itself
//! exports stand here; what other modules export is their own code, loaded as a dependency.

use super::{Key, Row, When, registers, unregisters};
use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::drivers::foreign;

pub(super) const RET: Key = Key::Ret;
pub(super) const A0: Key = Key::Arg(0);
pub(super) const A1: Key = Key::Arg(1);
pub(super) const A2: Key = Key::Arg(2);

/// A bus driver's registration: some are given back by driver_unregister on the driver inside.
const fn driver(name: &'static str, key: Key, when: When) -> Row {
    let mut row = registers(name, "driver", key, when);
    row.fun = match key {
        Key::Arg(1) => foreign::register_second,
        _ => foreign::register_first,
    };
    row.sleeps()
}

/// led_trigger_register_simple(name, &trigger): a trigger of the core's making, stored where the caller says.
fn led_trigger(cx: &mut Cx, c: &Call) -> R {
    let trigger = crate::mm::kernel_object(cx, 256)?;
    cx.w64(c.a[1], trigger)?;
    // Void in C; the row takes its key from here.
    Ok(trigger)
}

/// No processor has frequencies to choose from: the driver finds none, and is refused as on such a machine.
fn no_frequencies(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    Ok(neg(errno::ENODEV))
}

const fn cpufreq_driver() -> Row {
    let mut row = registers("cpufreq_register_driver", "driver", A0, When::Zero);
    row.fun = no_frequencies;
    row
}

const fn simple_led_trigger() -> Row {
    let mut row = registers(
        "led_trigger_register_simple",
        "led trigger",
        RET,
        When::Pointer,
    )
    .named(0);
    row.fun = led_trigger;
    row
}

pub(crate) const ROWS: &[Row] = &[
    simple_led_trigger(),
    unregisters("led_trigger_unregister_simple", "led trigger", A0),
    registers("bus_register_notifier", "bus notifier", A1, When::Zero),
    unregisters("bus_unregister_notifier", "bus notifier", A1),
    driver("__spi_register_driver", A1, When::Zero),
    driver("__serdev_device_driver_register", A0, When::Zero),
    driver("acpi_bus_register_driver", A0, When::Zero),
    unregisters("acpi_bus_unregister_driver", "driver", A0),
    driver("__serio_register_driver", A0, When::Zero),
    unregisters("serio_unregister_driver", "driver", A0),
    driver("pnp_register_driver", A0, When::Zero),
    unregisters("pnp_unregister_driver", "driver", A0),
    driver("__auxiliary_driver_register", A0, When::Zero),
    unregisters("auxiliary_driver_unregister", "driver", A0),
    driver("__xenbus_register_frontend", A0, When::Zero),
    driver("__xenbus_register_backend", A0, When::Zero),
    unregisters("xenbus_unregister_driver", "driver", A0),
    driver("mipi_dsi_driver_register_full", A0, When::Zero),
    unregisters("mipi_dsi_driver_unregister", "driver", A0),
    driver("coreboot_driver_register", A0, When::Zero),
    unregisters("coreboot_driver_unregister", "driver", A0),
    driver("uart_register_driver", A0, When::Zero),
    unregisters("uart_unregister_driver", "driver", A0),
    driver("tty_register_driver", A0, When::Zero),
    unregisters("tty_unregister_driver", "driver", A0),
    driver("__dax_driver_register", A0, When::Zero),
    unregisters("dax_driver_unregister", "driver", A0),
    driver("__cxl_driver_register", A0, When::Zero),
    unregisters("cxl_driver_unregister", "driver", A0),
    driver("spi_mem_driver_register_with_owner", A0, When::Zero),
    unregisters("spi_mem_driver_unregister", "driver", A0),
    cpufreq_driver(),
    unregisters("cpufreq_unregister_driver", "driver", A0),
    driver("zpool_register_driver", A0, When::Always),
    unregisters("zpool_unregister_driver", "driver", A0),
    driver("pcie_port_service_register", A0, When::Zero),
    unregisters("pcie_port_service_unregister", "driver", A0),
    registers("__register_nls", "nls", A0, When::Zero),
    unregisters("unregister_nls", "nls", A0),
    registers("register_qdisc", "qdisc", A0, When::Zero),
    unregisters("unregister_qdisc", "qdisc", A0),
    registers("tcf_register_action", "traffic action", A0, When::Zero),
    unregisters("tcf_unregister_action", "traffic action", A0),
    registers(
        "register_tcf_proto_ops",
        "traffic classifier",
        A0,
        When::Zero,
    ),
    unregisters("unregister_tcf_proto_ops", "traffic classifier", A0),
    registers("tcf_em_register", "traffic match", A0, When::Zero),
    unregisters("tcf_em_unregister", "traffic match", A0),
    registers(
        "crypto_register_template",
        "crypto template",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_template", "crypto template", A0),
    registers(
        "crypto_register_templates",
        "crypto template",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_templates", "crypto template", A0),
    registers("crypto_register_alg", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_alg", "crypto algorithm", A0),
    registers("crypto_register_algs", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_algs", "crypto algorithm", A0),
    registers("crypto_register_shash", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_shash", "crypto algorithm", A0),
    registers(
        "crypto_register_shashes",
        "crypto algorithm",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_shashes", "crypto algorithm", A0),
    registers("crypto_register_ahash", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_ahash", "crypto algorithm", A0),
    registers(
        "crypto_register_ahashes",
        "crypto algorithm",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_ahashes", "crypto algorithm", A0),
    registers(
        "crypto_register_skcipher",
        "crypto algorithm",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_skcipher", "crypto algorithm", A0),
    registers(
        "crypto_register_skciphers",
        "crypto algorithm",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_skciphers", "crypto algorithm", A0),
    registers("crypto_register_aead", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_aead", "crypto algorithm", A0),
    registers("crypto_register_aeads", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_aeads", "crypto algorithm", A0),
    registers("crypto_register_rng", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_rng", "crypto algorithm", A0),
    registers("crypto_register_rngs", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_rngs", "crypto algorithm", A0),
    registers(
        "crypto_register_akcipher",
        "crypto algorithm",
        A0,
        When::Zero,
    ),
    unregisters("crypto_unregister_akcipher", "crypto algorithm", A0),
    registers("crypto_register_kpp", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_kpp", "crypto algorithm", A0),
    registers("crypto_register_scomp", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_scomp", "crypto algorithm", A0),
    registers("crypto_register_scomps", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_scomps", "crypto algorithm", A0),
    registers("crypto_register_acomp", "crypto algorithm", A0, When::Zero),
    unregisters("crypto_unregister_acomp", "crypto algorithm", A0),
    registers(
        "tcp_register_congestion_control",
        "congestion control",
        A0,
        When::Zero,
    ),
    unregisters(
        "tcp_unregister_congestion_control",
        "congestion control",
        A0,
    ),
    registers("tcp_register_ulp", "upper layer protocol", A0, When::Zero),
    unregisters("tcp_unregister_ulp", "upper layer protocol", A0),
    registers("led_trigger_register", "led trigger", A0, When::Zero),
    unregisters("led_trigger_unregister", "led trigger", A0),
    registers("led_classdev_register_ext", "led", A1, When::Zero),
    unregisters("led_classdev_unregister", "led", A0),
    registers("rtnl_af_register", "address family ops", A0, When::Always),
    unregisters("rtnl_af_unregister", "address family ops", A0),
    registers("tty_register_ldisc", "line discipline", A0, When::Zero),
    unregisters("tty_unregister_ldisc", "line discipline", A0),
    registers(
        "transport_class_register",
        "transport class",
        A0,
        When::Zero,
    ),
    unregisters("transport_class_unregister", "transport class", A0),
    registers(
        "anon_transport_class_register",
        "transport class",
        A0,
        When::Zero,
    ),
    unregisters("anon_transport_class_unregister", "transport class", A0),
    registers(
        "attribute_container_register",
        "attribute container",
        A0,
        When::Zero,
    ),
    unregisters("attribute_container_unregister", "attribute container", A0),
    registers("nf_register_sockopt", "netfilter sockopt", A0, When::Zero),
    unregisters("nf_unregister_sockopt", "netfilter sockopt", A0),
    registers("nf_register_net_hook", "netfilter hook", A1, When::Zero),
    unregisters("nf_unregister_net_hook", "netfilter hook", A1),
    registers("nf_register_net_hooks", "netfilter hook", A1, When::Zero),
    unregisters("nf_unregister_net_hooks", "netfilter hook", A1),
    registers("nf_log_register", "netfilter log", A1, When::Zero),
    unregisters("nf_log_unregister", "netfilter log", A0),
    registers(
        "cpufreq_register_governor",
        "cpufreq governor",
        A0,
        When::Zero,
    ),
    unregisters("cpufreq_unregister_governor", "cpufreq governor", A0),
    registers("devfreq_add_governor", "devfreq governor", A0, When::Zero),
    unregisters("devfreq_remove_governor", "devfreq governor", A0),
    registers("textsearch_register", "textsearch", A0, When::Zero),
    unregisters("textsearch_unregister", "textsearch", A0),
    registers("dev_add_pack", "packet type", A0, When::Always),
    unregisters("dev_remove_pack", "packet type", A0),
    unregisters("__dev_remove_pack", "packet type", A0),
    registers("dev_add_offload", "offload", A0, When::Always),
    unregisters("dev_remove_offload", "offload", A0),
    registers("inet_add_offload", "offload", A0, When::Zero),
    unregisters("inet_del_offload", "offload", A0),
    registers("inet6_add_offload", "offload", A0, When::Zero),
    unregisters("inet6_del_offload", "offload", A0),
    registers(
        "class_interface_register",
        "class interface",
        A0,
        When::Zero,
    ),
    unregisters("class_interface_unregister", "class interface", A0),
    registers("class_compat_register", "compat class", RET, When::Pointer),
    unregisters("class_compat_unregister", "compat class", A0),
    registers("register_quota_format", "quota format", A0, When::Zero),
    unregisters("unregister_quota_format", "quota format", A0),
    registers(
        "lwtunnel_encap_add_ops",
        "lightweight tunnel",
        A0,
        When::Zero,
    ),
    unregisters("lwtunnel_encap_del_ops", "lightweight tunnel", A0),
    registers("i2c_add_adapter", "i2c adapter", A0, When::Zero),
    registers("i2c_add_numbered_adapter", "i2c adapter", A0, When::Zero),
    unregisters("i2c_del_adapter", "i2c adapter", A0),
    registers("xfrm_register_km", "key manager", A0, When::Always),
    unregisters("xfrm_unregister_km", "key manager", A0),
    registers("xfrm_register_type", "xfrm type", A0, When::Zero),
    unregisters("xfrm_unregister_type", "xfrm type", A0),
    registers("xfrm_register_type_offload", "xfrm type", A0, When::Zero),
    unregisters("xfrm_unregister_type_offload", "xfrm type", A0),
    registers("xfrm4_protocol_register", "xfrm protocol", A0, When::Zero),
    unregisters("xfrm4_protocol_deregister", "xfrm protocol", A0),
    registers("xfrm6_protocol_register", "xfrm protocol", A0, When::Zero),
    unregisters("xfrm6_protocol_deregister", "xfrm protocol", A0),
    registers("xfrm_input_register_afinfo", "xfrm input", A0, When::Zero),
    unregisters("xfrm_input_unregister_afinfo", "xfrm input", A0),
    registers("inet_add_protocol", "protocol", A0, When::Zero),
    unregisters("inet_del_protocol", "protocol", A0),
    registers("inet6_add_protocol", "protocol", A0, When::Zero),
    unregisters("inet6_del_protocol", "protocol", A0),
    registers("inet_register_protosw", "protocol switch", A0, When::Always),
    unregisters("inet_unregister_protosw", "protocol switch", A0),
    registers("inet6_register_protosw", "protocol switch", A0, When::Zero),
    unregisters("inet6_unregister_protosw", "protocol switch", A0),
    registers("register_key_type", "key type", A0, When::Zero),
    unregisters("unregister_key_type", "key type", A0),
    registers(
        "register_asymmetric_key_parser",
        "key parser",
        A0,
        When::Zero,
    ),
    unregisters("unregister_asymmetric_key_parser", "key parser", A0),
    registers("perf_pmu_register", "perf pmu", A0, When::Zero),
    unregisters("perf_pmu_unregister", "perf pmu", A0),
    registers(
        "perf_register_guest_info_callbacks",
        "perf callbacks",
        A0,
        When::Always,
    ),
    unregisters("perf_unregister_guest_info_callbacks", "perf callbacks", A0),
    registers(
        "preempt_notifier_register",
        "preempt notifier",
        A0,
        When::Always,
    ),
    unregisters("preempt_notifier_unregister", "preempt notifier", A0),
    registers(
        "mce_register_decode_chain",
        "decode chain",
        A0,
        When::Always,
    ),
    unregisters("mce_unregister_decode_chain", "decode chain", A0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::Exports;

    #[test]
    fn every_row_names_an_export_once() {
        let mut seen = std::collections::BTreeSet::new();
        for row in ROWS.iter().chain(super::super::devices::ROWS) {
            assert!(
                [Exports::V6_1, Exports::V6_12]
                    .iter()
                    .any(|kernel| kernel.find(row.name).is_some()),
                "{} is no export",
                row.name
            );
            assert!(seen.insert(row.name), "{} stands twice", row.name);
        }
    }

    #[test]
    fn every_release_has_an_acquisition() {
        for row in ROWS.iter().chain(super::super::devices::ROWS) {
            if let Some((kind, _)) = row.releases {
                assert!(
                    ROWS.iter()
                        .chain(super::super::devices::ROWS)
                        .any(|r| r.acquires.is_some_and(|a| a.kind == kind)),
                    "{} gives back a {kind} that nothing takes",
                    row.name
                );
            }
        }
    }
}
