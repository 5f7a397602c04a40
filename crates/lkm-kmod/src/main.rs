//! The six tools and `kmod` alone: what a distribution puts in an initramfs.
//!
//! `lkm-kmod` is called by a symbolic link that has a tool's name, or with the
//! tool's name as the first argument.

#![forbid(unsafe_code)]

fn main() {
    let code = lkm_tree::tools::main(&lkm_live::kernel::LiveKernel);
    std::process::exit(code.unwrap_or_else(|| {
        eprintln!("lkm-kmod: call it as insmod, rmmod, modprobe, lsmod, modinfo, depmod or kmod");
        1
    }));
}
