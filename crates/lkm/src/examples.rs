//! Example modules that are built into the program, so that its main job runs on a machine without kernel
//! headers. Their sources and recipe are in `modules/`.

/// A module: its name, its bytes, and what must be loaded before it.
type Example = (&'static str, &'static [u8], &'static [&'static str]);

const EXAMPLES: &[Example] = &[];

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
