//! Symbol tables of a module file, as `modprobe --show-...` prints them.

use lkm_object::compress;
use lkm_object::elf::Elf;

use crate::errno::Errno;
use crate::fs::Files;
use crate::sparse::MODULE_MAX;

/// A module's file, unpacked.
pub fn read_image(fs: &dyn Files, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let bytes = fs.read(path, MODULE_MAX as u64)?;
    if bytes.len() < 6 {
        return Err(Errno::EINVAL);
    }
    match compress::decompress(&bytes, MODULE_MAX) {
        Ok(std::borrow::Cow::Owned(image)) => Ok(image),
        Ok(std::borrow::Cow::Borrowed(_)) => Ok(bytes),
        Err(lkm_object::Error::TooLarge { .. }) => Err(Errno::EFBIG),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn parse(image: &[u8]) -> Result<Elf<'_>, Errno> {
    Elf::parse(image).map_err(|e| match e {
        lkm_object::Error::BadMagic | lkm_object::Error::TooShort(_) => Errno::ENOEXEC,
        _ => Errno::EINVAL,
    })
}

/// The symbols a module imports, with the CRC it was built against.
///
/// # Errors
/// `ENODATA` where there is no table of versions, `EINVAL` where it is damaged.
pub fn versions(image: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
    const ENTRY: usize = 64;
    let elf = parse(image)?;
    let Some(section) = elf.section("__versions") else {
        return extended_versions(&elf);
    };
    if !section.data.len().is_multiple_of(ENTRY) {
        return Err(Errno::EINVAL);
    }
    let word = elf.word_size();
    let number = |b: &[u8]| {
        let add = |n: u64, &c: &u8| n << 8 | u64::from(c);
        if elf.big_endian {
            b.iter().fold(0, add)
        } else {
            b.iter().rev().fold(0, add)
        }
    };
    let mut out = Vec::new();
    for v in section.data.chunks_exact(ENTRY) {
        let end = v[word..]
            .iter()
            .position(|&c| c == 0)
            .ok_or(Errno::EINVAL)?;
        let name = &v[word..word + end];
        // PowerPC64: .foo is foo.
        let name = name.strip_prefix(b".").unwrap_or(name);
        out.push((number(&v[..word]), name.to_vec()));
    }
    Ok(out)
}

/// The tables of Linux 6.14, whose names have no limit.
fn extended_versions(elf: &Elf<'_>) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
    let (Some(crcs), Some(names)) = (
        elf.section("__version_ext_crcs"),
        elf.section("__version_ext_names"),
    ) else {
        return Err(Errno::ENODATA);
    };
    let names = names.data.split(|&c| c == 0);
    let crcs = crcs.data.chunks_exact(4).map(|b| {
        let b = [b[0], b[1], b[2], b[3]];
        u64::from(if elf.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        })
    });
    Ok(crcs.zip(names.map(<[u8]>::to_vec)).collect())
}

/// Whether a module has a table of exported names at all.
pub fn may_export(image: &[u8]) -> bool {
    parse(image).is_ok_and(|elf| elf.section("__ksymtab_strings").is_some())
}
