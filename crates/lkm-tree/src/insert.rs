//! Puts a module file into a kernel: as a file where the kernel can take it
//! so, else unpacked and as bytes.

use lkm_object::compress::{self, Compression as Packed};
use lkm_object::elf::{Elf, SHF_ALLOC};

use crate::errno::Errno;
use crate::fs::{Files, OpenFile};
use crate::kernel::{Compression, InsertFlags, Kernel};
use crate::sparse::MODULE_MAX;

/// Which checks to have the kernel leave out.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Force {
    /// Symbol versions.
    pub modversion: bool,
    /// The version magic.
    pub vermagic: bool,
}

/// Errors with which a kernel says that it cannot unpack the file itself.
const CANNOT_UNPACK: [Errno; 4] = [
    Errno::ENOSYS,
    Errno::EOPNOTSUPP,
    Errno::EINVAL,
    Errno::ENOMEM,
];

/// Loads the file with these parameters.
///
/// The kernel is handed the file when it is not compressed or the kernel
/// knows the compression; when it then cannot unpack it, it is handed the
/// unpacked bytes.
pub fn insert(
    fs: &dyn Files,
    kernel: &dyn Kernel,
    path: &[u8],
    params: &[u8],
    force: Force,
) -> Result<(), Errno> {
    let file = fs.open(path)?;
    let mut magic = [0; 6];
    file.read_exact_at(&mut magic, 0).map_err(|e| match e {
        Errno::ENODATA => Errno::EINVAL,
        e => e,
    })?;
    let packed = Packed::detect(&magic);
    let kernel_knows = match packed {
        Packed::None => true,
        Packed::Gzip => kernel.compression() == Ok(Compression::Gzip),
        Packed::Xz => kernel.compression() == Ok(Compression::Xz),
        Packed::Zstd => kernel.compression() == Ok(Compression::Zstd),
    };
    if kernel_knows {
        let mut flags = 0;
        if packed != Packed::None {
            flags |= InsertFlags::COMPRESSED_FILE;
        }
        if force.modversion {
            flags |= InsertFlags::IGNORE_MODVERSIONS;
        }
        if force.vermagic {
            flags |= InsertFlags::IGNORE_VERMAGIC;
        }
        match kernel.insert_file(&*file, params, InsertFlags(flags)) {
            Err(Errno::ENOSYS) => {}
            Err(e) if packed != Packed::None && CANNOT_UNPACK.contains(&e) => {}
            done => return done,
        }
    }
    insert_bytes(&*file, kernel, params, force)
}

fn insert_bytes(
    file: &dyn OpenFile,
    kernel: &dyn Kernel,
    params: &[u8],
    force: Force,
) -> Result<(), Errno> {
    let bytes = file.read_all(MODULE_MAX as u64)?;
    let mut image = compress::decompress(&bytes, MODULE_MAX).map_err(|e| match e {
        lkm_object::Error::TooLarge { .. } => Errno::EFBIG,
        _ => Errno::EINVAL,
    })?;
    if force != Force::default() {
        strip(image.to_mut(), force).ok_or(Errno::EINVAL)?;
    }
    kernel.insert_image(&image, params)
}

/// Takes out of a module what `init_module` would compare: the versions
/// section is no longer loaded, the version magic is blank.
fn strip(image: &mut [u8], force: Force) -> Option<()> {
    let elf = Elf::parse(image).ok()?;
    let mut blank = None;
    if force.vermagic
        && let Some(info) = elf.section(".modinfo")
    {
        let at = info
            .data
            .split_inclusive(|&c| c == 0)
            .scan(0, |at, s| {
                let start = *at;
                *at += s.len();
                Some((start, s))
            })
            .find(|(_, s)| s.starts_with(b"vermagic="));
        let (at, s) = at?;
        let start = usize::try_from(info.offset).ok()? + at;
        blank = Some(start..start + s.len());
    }
    let mut flags_at = None;
    if force.modversion
        && let Some(versions) = elf.section("__versions")
    {
        let (shoff, entry, width) = if elf.class64 {
            (40, 64, 8)
        } else {
            (32, 40, 4)
        };
        let field = image.get(shoff..shoff + width)?;
        let table = number(field, elf.big_endian);
        let at = usize::try_from(table).ok()? + versions.index * entry + 8;
        flags_at = Some((at, width, versions.flags & !SHF_ALLOC, elf.big_endian));
    }
    if let Some(range) = blank {
        image.get_mut(range)?.fill(0);
    }
    if let Some((at, width, flags, big)) = flags_at {
        let bytes = if big {
            flags.to_be_bytes()
        } else {
            flags.to_le_bytes()
        };
        let part = if big {
            &bytes[8 - width..]
        } else {
            &bytes[..width]
        };
        image.get_mut(at..at + width)?.copy_from_slice(part);
    }
    Some(())
}

fn number(b: &[u8], big: bool) -> u64 {
    let add = |n: u64, &c: &u8| n << 8 | u64::from(c);
    if big {
        b.iter().fold(0, add)
    } else {
        b.iter().rev().fold(0, add)
    }
}
