//! Example modules that are built into the program, so that its main job runs on a machine without kernel
//! headers. Their sources and recipe are in `modules/`.

/// A module: its name, its bytes, and what must be loaded before it.
type Example = (&'static str, &'static [u8], &'static [&'static str]);

/// The row of an embedded module, with what must be loaded before it.
macro_rules! embedded {
    ($name:literal $(, $need:literal)*) => {
        (
            $name,
            include_bytes!(concat!("../examples-ko/", $name, ".ko")).as_slice(),
            &[$($need),*],
        )
    };
}

const EXAMPLES: &[Example] = &[
    embedded!("hello"),
    embedded!("thread-gone"),
    embedded!("thread-gone-ref"),
    embedded!("thread-left"),
    embedded!("timer-left"),
    embedded!("kmalloc-leak"),
    embedded!("misc-left"),
    embedded!("pin-timer"),
    embedded!("free-then-use"),
    embedded!("lock-order"),
    embedded!("chain-base"),
    embedded!("chain-middle", "chain-base"),
    embedded!("chain-top", "chain-base", "chain-middle"),
    embedded!("inherited"),
    embedded!("vms"),
    embedded!("force_rmmod"),
    embedded!("steps"),
    embedded!("steps-user", "steps"),
    embedded!("asks"),
    embedded!("asked"),
    embedded!("asks-itself"),
    embedded!("mutexes"),
    embedded!("kstop"),
    embedded!("bench-cycle"),
];

/// All of them: names and bytes.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    EXAMPLES.iter().map(|e| (e.0, e.1))
}

/// What loads before an example: names and bytes.
type Needs = Vec<(&'static str, &'static [u8])>;

/// The example of that name, with what must be loaded before it.
pub(crate) fn find(name: &str) -> Result<(&'static [u8], Needs), String> {
    let get = |name: &str| EXAMPLES.iter().find(|e| e.0 == name);
    match get(name) {
        Some(&(_, bytes, needs)) => Ok((
            bytes,
            needs
                .iter()
                .filter_map(|n| get(n))
                .map(|e| (e.0, e.1))
                .collect(),
        )),
        None => {
            let names: Vec<&str> = EXAMPLES.iter().map(|e| e.0).collect();
            Err(format!(
                "no example {name}; there are: {}",
                names.join(", ")
            ))
        }
    }
}
