//! What the kinds of acquired things are: which rule a thing left behind falls under.

/// The nature of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Memory or address space: left behind, it is a leak.
    Memory,
    /// A counted reference on an object: left behind, the object is a leak.
    Reference,
    /// A hold on another module.
    Pin,
    /// Something reachable by name or by event: left behind, it is called.
    Registration,
    /// A thread of the kernel's that runs what the module gives it.
    Thread,
    /// Counted by a rule of its own (the module's own reference count).
    Own,
}

const MEMORY: &[&str] = &[
    "slab",
    "kmalloc",
    "kvmalloc",
    "vmalloc",
    "vmap",
    "percpu",
    "pages",
    "page",
    "kmem_cache",
    "cache object",
    "mempool",
    "dma",
    "dma pool",
    "ioremap",
    "idr",
    "ida",
    "xarray",
    "radix tree",
    "bitmap",
    "skb",
    "net_device",
    "string",
    "firmware",
    "bio set",
    "crypto tfm",
    "cpumask",
    "sg table",
    "kfifo",
    "percpu_counter",
    "srcu_struct",
    "seq_operations",
];

/// Whether something that will call a function is found by its registration: it runs nothing until then.
pub fn is_registered(kind: &str) -> bool {
    matches!(kind, "cpu hotplug state")
}

/// The nature of a kind, by its name. A kind nobody has classified counts as a registration: its danger is
/// told then, at worst in too strong a word.
pub fn nature(kind: &str) -> Nature {
    if MEMORY.contains(&kind) {
        return Nature::Memory;
    }
    match kind {
        "symbol" | "module" => Nature::Pin,
        "module-ref" => Nature::Own,
        _ if kind.ends_with("-ref") || kind.ends_with(" reference") => Nature::Reference,
        "file" => Nature::Reference,
        "kthread worker" => Nature::Thread,
        _ => Nature::Registration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_fall_where_they_belong() {
        assert_eq!(nature("slab"), Nature::Memory);
        assert_eq!(nature("task-ref"), Nature::Reference);
        assert_eq!(nature("symbol"), Nature::Pin);
        assert_eq!(nature("misc device"), Nature::Registration);
        assert_eq!(nature("never heard of"), Nature::Registration);
    }
}
