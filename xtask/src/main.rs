//! Project tasks: set-up, module builds, the VM, comparisons.

fn main() {}
