//! The running kernel's own types (BTF): offsets by member path, each looked up once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use lkm_object::btf::Btf;
use lkm_object::types::Types as _;

/// A structure or a member that the kernel's types do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// The types of the kernel, or of the kernel and one of its modules.
pub struct Types {
    btf: Arc<Btf>,
    offsets: RefCell<HashMap<(&'static str, &'static str), Option<u64>>>,
    sizes: RefCell<HashMap<&'static str, Option<u64>>>,
}

impl Types {
    /// The running kernel's, from /sys/kernel/btf/vmlinux.
    ///
    /// # Errors
    /// In words: the kernel has none, or they cannot be read.
    pub fn running() -> Result<Types, String> {
        Ok(Types::new(
            Btf::parse(read("vmlinux")?).map_err(|e| e.to_string())?,
        ))
    }

    /// These types and those of a loaded module.
    ///
    /// # Errors
    /// In words: the module has none, or they cannot be read.
    pub fn module(&self, name: &str) -> Result<Types, String> {
        let btf = Btf::parse_split(read(name)?, Arc::clone(&self.btf));
        Ok(Types::new(btf.map_err(|e| e.to_string())?))
    }

    fn new(btf: Btf) -> Types {
        Types {
            btf: Arc::new(btf),
            offsets: RefCell::default(),
            sizes: RefCell::default(),
        }
    }

    /// The offset of a member in bytes; a path has dots between members.
    ///
    /// # Errors
    /// When there is no such structure or member.
    pub fn offset(&self, name: &'static str, path: &'static str) -> Result<u64, Missing> {
        let found = *self
            .offsets
            .borrow_mut()
            .entry((name, path))
            .or_insert_with(|| self.btf.offset_of(name, path));
        found.ok_or_else(|| Missing(format!("{name}.{path}")))
    }

    /// True when the structure has the member.
    pub fn has(&self, name: &'static str, path: &'static str) -> bool {
        self.offset(name, path).is_ok()
    }

    /// The size of a structure in bytes.
    ///
    /// # Errors
    /// When there is no such structure.
    pub fn size(&self, name: &'static str) -> Result<u64, Missing> {
        let found = *self
            .sizes
            .borrow_mut()
            .entry(name)
            .or_insert_with(|| self.btf.struct_size(name));
        found.ok_or_else(|| Missing(format!("struct {name}")))
    }

    /// The number of elements of a member that is an array.
    ///
    /// # Errors
    /// When there is no such array.
    pub fn elements(&self, name: &'static str, path: &'static str) -> Result<u64, Missing> {
        let all = self.btf.size_of_member(name, path);
        let one = self
            .btf
            .size_of_member(name, &format!("{path}[0]"))
            .filter(|n| *n > 0);
        match (all, one) {
            (Some(all), Some(one)) => Ok(all / one),
            _ => Err(Missing(format!("array {name}.{path}"))),
        }
    }
}

fn read(name: &str) -> Result<Vec<u8>, String> {
    let path = format!("/sys/kernel/btf/{name}");
    std::fs::read(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{path} is not there (CONFIG_DEBUG_INFO_BTF is off, or it has none)")
        }
        _ => format!("{path}: {e}"),
    })
}
