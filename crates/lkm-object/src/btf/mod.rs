//! BTF, the kernel's compact type information: types by id and by name, split BTF on a base.
//!
//! The format is that of Documentation/bpf/btf.rst. A table is read in one pass
//! that finds where each type begins; names are indexed when first asked for.

mod query;

use std::sync::{Arc, OnceLock};

use crate::bytes::{Order, str_at};
use crate::error::{Error, Result};

pub use query::{Arg, FlatMember, Proto, ValueKind};

/// The first two bytes, in the byte order of the table.
pub const BTF_MAGIC: u16 = 0xeb9f;

/// What a type is (`BTF_KIND_`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    const ALL: [Kind; 20] = [
        Kind::Void,
        Kind::Int,
        Kind::Ptr,
        Kind::Array,
        Kind::Struct,
        Kind::Union,
        Kind::Enum,
        Kind::Fwd,
        Kind::Typedef,
        Kind::Volatile,
        Kind::Const,
        Kind::Restrict,
        Kind::Func,
        Kind::FuncProto,
        Kind::Var,
        Kind::Datasec,
        Kind::Float,
        Kind::DeclTag,
        Kind::TypeTag,
        Kind::Enum64,
    ];

    /// Bytes that follow the common part, for `vlen` entries.
    fn extra(self, vlen: usize) -> usize {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            _ => 0,
        }
    }
}

/// A table of types; with split BTF, on top of a base.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    order: Order,
    /// Extent of the strings in `data`.
    strings: std::ops::Range<usize>,
    /// Where each own type begins in `data`; the first has id `first_id`.
    offsets: Vec<u32>,
    first_id: u32,
    first_string: u32,
    base: Option<Arc<Btf>>,
    pointer: u64,
    names: OnceLock<Names>,
}

/// One type.
#[derive(Debug, Clone, Copy)]
pub struct Type<'b> {
    /// Its id.
    pub id: u32,
    /// Its name, empty for none.
    pub name: &'b str,
    pub kind: Kind,
    /// Number of members, enumerators or parameters.
    pub vlen: u16,
    /// The kind flag: bit-field offsets in structs, signedness of enums, union of forwards.
    pub flag: bool,
    /// Size in bytes, or the id of the type referred to.
    pub size_or_type: u32,
    /// What follows the common part.
    extra: &'b [u8],
    owner: &'b Btf,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'b> {
    /// Its name; empty for an anonymous struct or union.
    pub name: &'b str,
    /// Id of its type.
    pub type_id: u32,
    /// Offset in the struct, in bits.
    pub bit_offset: u32,
    /// Width of a bit field in bits, else 0.
    pub bits: u8,
}

impl Btf {
    /// Reads a whole table, such as a kernel's.
    ///
    /// # Errors
    /// [`Error::Malformed`] when header, types or strings contradict each other.
    pub fn parse(data: impl Into<Vec<u8>>) -> Result<Btf> {
        Btf::read(data.into(), None)
    }

    /// Reads a module's table, whose ids and strings go on where the base's end.
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn parse_split(data: impl Into<Vec<u8>>, base: Arc<Btf>) -> Result<Btf> {
        Btf::read(data.into(), Some(base))
    }

    fn read(data: Vec<u8>, base: Option<Arc<Btf>>) -> Result<Btf> {
        let bad = |why| Error::Malformed { what: "BTF", why };
        let order = match data.get(..2) {
            Some([0x9f, 0xeb]) => Order { big: false },
            Some([0xeb, 0x9f]) => Order { big: true },
            _ => return Err(bad("wrong magic")),
        };
        if data.get(2) != Some(&1) {
            return Err(bad("unknown version"));
        }
        let field = |at| order.u32(&data, at).map(|v| v as usize);
        let header = || Some([field(4)?, field(8)?, field(12)?, field(16)?, field(20)?]);
        let [hdr_len, type_off, type_len, str_off, str_len] =
            header().ok_or(bad("header is cut off"))?;
        let extent = |off: usize, len: usize| {
            let start = hdr_len.checked_add(off)?;
            let end = start.checked_add(len)?;
            (hdr_len >= 24 && end <= data.len()).then_some(start..end)
        };
        let types = extent(type_off, type_len).ok_or(bad("types lie outside"))?;
        let strings = extent(str_off, str_len).ok_or(bad("strings lie outside"))?;
        if data.len() > u32::MAX as usize {
            return Err(bad("too large"));
        }

        let mut offsets = Vec::with_capacity(type_len / 24);
        let mut at = types.start;
        while at < types.end {
            offsets.push(at as u32);
            let info = order.u32(&data, at + 4).ok_or(bad("type is cut off"))?;
            let kind = kind_of(info).ok_or(bad("unknown kind of type"))?;
            at += 12 + kind.extra((info & 0xffff) as usize);
            if at > types.end {
                return Err(bad("type is cut off"));
            }
        }
        let (first_id, first_string) = match &base {
            Some(base) => (
                base.end_id(),
                base.first_string.saturating_add(base.strings.len() as u32),
            ),
            None => (1, 0),
        };
        if first_id.checked_add(offsets.len() as u32).is_none() {
            return Err(bad("too many types"));
        }
        Ok(Btf {
            pointer: base.as_ref().map_or(8, |b| b.pointer),
            data,
            order,
            strings,
            offsets,
            first_id,
            first_string,
            base,
            names: OnceLock::new(),
        })
    }

    /// Sets the size of a pointer in bytes (BTF does not say; 8 unless told).
    #[must_use]
    pub fn with_pointer_size(mut self, bytes: u64) -> Btf {
        self.pointer = bytes;
        self
    }

    /// The table this one is split from.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// One past the last id, the base's included.
    pub fn end_id(&self) -> u32 {
        self.first_id + self.offsets.len() as u32
    }

    /// The ids of the table's own types, without the base's.
    pub fn own_ids(&self) -> std::ops::Range<u32> {
        self.first_id..self.end_id()
    }

    /// The type of that id; 0 is `void`.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        if id == 0 {
            return Some(Type {
                id: 0,
                name: "void",
                kind: Kind::Void,
                vlen: 0,
                flag: false,
                size_or_type: 0,
                extra: &[],
                owner: self,
            });
        }
        if id < self.first_id {
            return self.base.as_deref()?.get(id);
        }
        let at = *self.offsets.get((id - self.first_id) as usize)? as usize;
        let info = self.order.u32(&self.data, at + 4)?;
        let kind = kind_of(info)?;
        let vlen = (info & 0xffff) as u16;
        let extra = at + 12;
        Some(Type {
            id,
            name: self.string(self.order.u32(&self.data, at)?),
            kind,
            vlen,
            flag: info >> 31 != 0,
            size_or_type: self.order.u32(&self.data, at + 8)?,
            extra: self.data.get(extra..extra + kind.extra(vlen as usize))?,
            owner: self,
        })
    }

    fn string(&self, offset: u32) -> &str {
        str_at(self.rest_of_strings(offset), 0).unwrap_or("")
    }

    /// The string section from an offset on: the string, a NUL, and others.
    fn rest_of_strings(&self, offset: u32) -> &[u8] {
        if offset < self.first_string {
            return match &self.base {
                Some(base) => base.rest_of_strings(offset),
                None => &[],
            };
        }
        self.data[self.strings.clone()]
            .get((offset - self.first_string) as usize..)
            .unwrap_or(&[])
    }

    /// The first type of that name and of one of those kinds: own types first, then the base's.
    pub fn find(&self, name: &str, kinds: &[Kind]) -> Option<Type<'_>> {
        if name.is_empty() {
            return None;
        }
        let names = self.names.get_or_init(|| Names::build(self));
        names
            .candidates(name)
            .filter_map(|id| self.get(id))
            .find(|t| t.name == name && kinds.contains(&t.kind))
            .or_else(|| self.base.as_deref()?.find(name, kinds))
    }
}

fn kind_of(info: u32) -> Option<Kind> {
    let kind = *Kind::ALL.get((info >> 24 & 0x1f) as usize)?;
    (kind != Kind::Void).then_some(kind)
}

impl<'b> Type<'b> {
    /// The members of a struct or union; none for other kinds.
    pub fn members(&self) -> impl Iterator<Item = Member<'b>> + use<'b> {
        let holds = matches!(self.kind, Kind::Struct | Kind::Union);
        let (owner, flag) = (self.owner, self.flag);
        let extra = if holds { self.extra } else { &[] };
        extra.chunks_exact(12).filter_map(move |raw| {
            let o = owner.order;
            let offset = o.u32(raw, 8)?;
            Some(Member {
                name: owner.string(o.u32(raw, 0)?),
                type_id: o.u32(raw, 4)?,
                bit_offset: if flag { offset & 0xff_ffff } else { offset },
                bits: if flag { (offset >> 24) as u8 } else { 0 },
            })
        })
    }

    /// Element type and number of elements of an array.
    pub fn array(&self) -> Option<(u32, u32)> {
        let o = self.owner.order;
        (self.kind == Kind::Array)
            .then(|| Some((o.u32(self.extra, 0)?, o.u32(self.extra, 8)?)))
            .flatten()
    }

    /// Name and type id of each parameter of a function type.
    /// A last parameter of type 0 without a name stands for `...`.
    pub fn params(&self) -> impl Iterator<Item = (&'b str, u32)> + use<'b> {
        let holds = self.kind == Kind::FuncProto;
        let owner = self.owner;
        let extra = if holds { self.extra } else { &[] };
        extra.chunks_exact(8).filter_map(move |raw| {
            let o = owner.order;
            Some((owner.string(o.u32(raw, 0)?), o.u32(raw, 4)?))
        })
    }

    /// Name and value of each enumerator.
    pub fn enumerators(&self) -> impl Iterator<Item = (&'b str, i64)> + use<'b> {
        let (entry, wide) = match self.kind {
            Kind::Enum => (8, false),
            Kind::Enum64 => (12, true),
            _ => (8, false),
        };
        let holds = matches!(self.kind, Kind::Enum | Kind::Enum64);
        let (owner, signed) = (self.owner, self.flag);
        let extra = if holds { self.extra } else { &[] };
        extra.chunks_exact(entry).filter_map(move |raw| {
            let o = owner.order;
            let low = o.u32(raw, 4)?;
            let value = if wide {
                (u64::from(o.u32(raw, 8)?) << 32 | u64::from(low)) as i64
            } else if signed {
                i64::from(low as i32)
            } else {
                i64::from(low)
            };
            Some((owner.string(o.u32(raw, 0)?), value))
        })
    }

    /// Encoding bits of an integer: 1 signed, 2 char, 4 bool.
    pub fn int_encoding(&self) -> u8 {
        let raw = match self.kind {
            Kind::Int => self.owner.order.u32(self.extra, 0).unwrap_or(0),
            _ => 0,
        };
        (raw >> 24 & 0xf) as u8
    }
}

/// Type ids by hash of the name, own types only: chains through one array, no strings copied.
#[derive(Debug)]
struct Names {
    /// First entry of each bucket, as index into `next` plus one.
    heads: Vec<u32>,
    /// Next entry of the same bucket, as index plus one; entry i is type `first_id + i`.
    next: Vec<u32>,
    first_id: u32,
}

impl Names {
    fn build(btf: &Btf) -> Names {
        let count = btf.offsets.len();
        let mut heads = vec![0u32; count.next_power_of_two().max(1)];
        let mut next = vec![0u32; count];
        let mask = heads.len() - 1;
        // Backwards, so that each chain runs from the lowest id up.
        for i in (0..count).rev() {
            let offset = btf.order.u32(&btf.data, btf.offsets[i] as usize);
            let name = btf.rest_of_strings(offset.unwrap_or(0));
            if name.first().is_none_or(|&b| b == 0) {
                continue;
            }
            let head = &mut heads[hash(name) as usize & mask];
            next[i] = *head;
            *head = i as u32 + 1;
        }
        Names {
            heads,
            next,
            first_id: btf.first_id,
        }
    }

    fn candidates(&self, name: &str) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.heads[hash(name.as_bytes()) as usize & (self.heads.len() - 1)];
        std::iter::from_fn(move || {
            let index = at.checked_sub(1)?;
            at = self.next[index as usize];
            Some(self.first_id + index)
        })
    }
}

/// FNV-1a, up to the first NUL. A file may collide on purpose: chains then get long,
/// lookups slow, never wrong.
fn hash(name: &[u8]) -> u64 {
    name.iter()
        .take_while(|&&b| b != 0)
        .fold(0xcbf2_9ce4_8422_2325, |h, &b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        })
}
