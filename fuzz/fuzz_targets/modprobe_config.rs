//! modprobe.d and the kernel command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::config::{Config, cmdline};

fuzz_target!(|data: &[u8]| {
    let mut config = Config::default();
    config.parse(b"f", data);
    cmdline::parse(data, &mut config);
    let name = &data[..data.len().min(16)];
    let _ = config.softdeps_of(name);
    let _ = config.install_command(name);
    let _ = config.options_of(name, Some(b"alias"));
    let _ = (config.denied(name), config.allowed(name));
});
