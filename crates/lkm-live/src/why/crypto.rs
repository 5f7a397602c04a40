//! Cryptographic algorithms: how often each one of the module is in use.

use std::fs;

use lkm_judge::why::Reference;

use crate::target::Target;
use crate::walk::{Kernel, Trouble};

/// Uses of the module's algorithms, from the kernel's list. An algorithm that nobody uses
/// has a count of 1.
///
/// # Errors
/// When the list cannot be walked.
pub fn walk(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Reference>, Trouble> {
    let head = kernel.symbol("crypto_alg_list")?;
    let mut found = Vec::new();
    for address in kernel.list(head, "crypto_alg", "cra_list")? {
        if kernel.ptr(address, "crypto_alg", "cra_module")? != target.address {
            continue;
        }
        let record = kernel.record("crypto_alg", address)?;
        let uses = u64::from(record.u32("cra_refcnt")?).saturating_sub(1);
        if uses > 0 {
            found.push(reference(&record.text("cra_driver_name", 128)?, uses));
        }
    }
    Ok(found)
}

/// The same from /proc/crypto.
pub fn inventory(module: &str) -> Vec<Reference> {
    parse(
        &fs::read_to_string("/proc/crypto").unwrap_or_default(),
        module,
    )
}

fn parse(text: &str, module: &str) -> Vec<Reference> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| {
                block.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    (key.trim() == name).then(|| value.trim())
                })
            };
            if field("module")? != module {
                return None;
            }
            let uses = field("refcnt")?.parse::<u64>().ok()?.saturating_sub(1);
            (uses > 0).then(|| reference(field("driver").unwrap_or("?"), uses))
        })
        .collect()
}

fn reference(driver: &str, count: u64) -> Reference {
    Reference {
        kind: "crypto".into(),
        object: format!("algorithm {driver}"),
        holder: "whoever allocated it: an AF_ALG socket, dm-crypt, IPsec, a file system".into(),
        count,
        release: "close the sockets, mappings or mounts that use the algorithm".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_one_is_no_use() {
        let text = "name : a\ndriver : a-x\nmodule : m\nrefcnt : 1\n\n\
                    name : b\ndriver : b-x\nmodule : m\nrefcnt : 3\n\n\
                    name : c\ndriver : c-x\nmodule : kernel\nrefcnt : 9\n";
        let found = parse(text, "m");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].count, found[0].object.as_str()),
            (2, "algorithm b-x")
        );
    }
}
