//! `Module.symvers`, the table of exports that kbuild leaves beside a kernel: names, CRCs, namespaces.

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymversEntry<'t> {
    pub crc: u32,
    pub name: &'t str,
    /// `vmlinux`, or the path of the module without `.ko`.
    pub module: &'t str,
    /// `EXPORT_SYMBOL_GPL`.
    pub gpl: bool,
    /// The namespace, when it has one.
    pub namespace: Option<&'t str>,
}

/// The entries of a table, in file order. Lines that are none are passed over.
///
/// The fields stand between tabs: CRC, symbol, module, export, namespace. The
/// last came with Linux commit cb9b55d21fe0 ("modpost: add support for symbol
/// namespaces") (in v5.4), at first before the module, since commit 5190044c2965
/// ("modpost: move the namespace field in Module.symvers last") (in v5.6) at the end.
pub fn symvers(text: &str) -> impl Iterator<Item = SymversEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields: Vec<&str> = line.split('\t').collect();
        let crc = u32::from_str_radix(fields.first()?.strip_prefix("0x")?, 16).ok()?;
        let export = fields.iter().position(|f| f.starts_with("EXPORT_"))?;
        let namespace = if export == 4 {
            fields.remove(2)
        } else {
            fields.get(4).copied().unwrap_or("")
        };
        let kind = *fields.get(3)?;
        Some(SymversEntry {
            crc,
            name: fields[1],
            module: fields[2],
            gpl: kind.starts_with("EXPORT_SYMBOL_GPL")
                || kind.starts_with("EXPORT_UNUSED_SYMBOL_GPL"),
            namespace: Some(namespace).filter(|n| !n.is_empty()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_generations() {
        let text = "0x0000000a\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n\
                    0x0000000b\tdma_buf_get\tdrivers/x\tEXPORT_SYMBOL_GPL\tDMA_BUF\n\
                    0x0000000c\told_one\tNS\tvmlinux\tEXPORT_SYMBOL_GPL\n\
                    0x0000000d\tolder\tvmlinux\tEXPORT_SYMBOL\n\
                    no line\n0x\t\n0x12\tcut\n";
        let all: Vec<_> = symvers(text).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(
            all[1],
            SymversEntry {
                crc: 0xb,
                name: "dma_buf_get",
                module: "drivers/x",
                gpl: true,
                namespace: Some("DMA_BUF"),
            }
        );
        assert_eq!((all[0].gpl, all[0].namespace), (false, None));
        assert_eq!((all[2].module, all[2].namespace), ("vmlinux", Some("NS")));
        assert_eq!((all[3].module, all[3].crc), ("vmlinux", 0xd));
    }
}
