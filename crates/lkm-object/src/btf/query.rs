//! Questions to a BTF table: sizes, offsets by path, prototypes, enumerators, flattened layouts.

use super::{Btf, Kind, Member, Type};
use crate::types::{Step, Types, real_name, steps};

/// Typedefs and qualifiers in a row, or structs in structs, that are followed
/// before a table is taken to be cyclic. Real kernels stay below 20.
const DEPTH: usize = 64;

/// Structs that one question visits at most: anonymous structs may share each
/// other, so that their number grows without bound in a table made for it.
const STRUCTS: usize = 50_000;

/// Members that a flattened layout lists at most (task_struct has some 600).
const FLAT: usize = 20_000;

/// A member of a flattened layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatMember {
    /// Dotted path from the outermost struct; anonymous levels leave no trace.
    pub path: String,
    pub type_id: u32,
    /// Offset from the start of the outermost struct, in bits.
    pub bit_offset: u64,
    /// Width of a bit field in bits, else 0.
    pub bits: u8,
    /// Size of the member in bytes, 0 for a flexible array.
    pub size: u64,
}

/// What a value is, as far as a caller without a compiler must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Void,
    Bool,
    /// An integer or enum of so many bytes.
    Int {
        bytes: u64,
        signed: bool,
    },
    /// A pointer to a type of that id.
    Pointer {
        to: u32,
    },
    /// A struct, union or array by value, of so many bytes.
    Aggregate {
        bytes: u64,
    },
    Float {
        bytes: u64,
    },
}

/// One parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub name: String,
    pub type_id: u32,
    pub kind: ValueKind,
}

/// The type of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proto {
    pub ret: ValueKind,
    /// Type id of what it returns.
    pub ret_type: u32,
    pub args: Vec<Arg>,
    /// Whether `...` follows the parameters.
    pub variadic: bool,
}

impl Btf {
    /// The type behind typedefs and qualifiers; `None` when there is none, or the chain has no end.
    pub fn strip(&self, mut id: u32) -> Option<Type<'_>> {
        for _ in 0..DEPTH {
            let t = self.get(id)?;
            match t.kind {
                Kind::Typedef
                | Kind::Volatile
                | Kind::Const
                | Kind::Restrict
                | Kind::TypeTag
                | Kind::Var => id = t.size_or_type,
                _ => return Some(t),
            }
        }
        None
    }

    /// `sizeof`; `None` for what has no size.
    pub fn size_of(&self, id: u32) -> Option<u64> {
        let mut id = id;
        let mut times = 1u64;
        for _ in 0..DEPTH {
            let t = self.strip(id)?;
            let size = match t.kind {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => u64::from(t.size_or_type),
                Kind::Ptr => self.pointer,
                Kind::Array => {
                    let (element, count) = t.array()?;
                    times = times.checked_mul(u64::from(count))?;
                    id = element;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(times);
        }
        None
    }

    /// The struct, union or typedef of that name, stripped.
    pub fn composite(&self, name: &str) -> Option<Type<'_>> {
        let name = real_name(name);
        self.find(name, &[Kind::Struct])
            .or_else(|| self.find(name, &[Kind::Union]))
            .or_else(|| self.strip(self.find(name, &[Kind::Typedef])?.id))
    }

    /// The member of that name, looking through anonymous members; its bit offset is from `t`'s start.
    pub fn member<'b>(&'b self, t: &Type<'b>, name: &str) -> Option<Member<'b>> {
        self.member_at(t, name, DEPTH, &mut { STRUCTS })
    }

    fn member_at<'b>(
        &'b self,
        t: &Type<'b>,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Option<Member<'b>> {
        let depth = depth.checked_sub(1)?;
        *budget = budget.checked_sub(1)?;
        if let Some(found) = t.members().find(|m| m.name == name) {
            return Some(found);
        }
        t.members().filter(|m| m.name.is_empty()).find_map(|m| {
            let inner = self.strip(m.type_id)?;
            let mut found = self.member_at(&inner, name, depth, budget)?;
            found.bit_offset = found.bit_offset.checked_add(m.bit_offset)?;
            Some(found)
        })
    }

    /// Walks a path; answers bit offset, width of a bit field, and type id.
    fn walk(&self, name: &str, path: &str) -> Option<(u64, u8, u32)> {
        let mut current = self.composite(name)?.id;
        let (mut at, mut bits) = (0u64, 0u8);
        for step in steps(path)? {
            let t = self.strip(current)?;
            match step {
                Step::Member(name) => {
                    let m = self.member(&t, name)?;
                    at = at.checked_add(u64::from(m.bit_offset))?;
                    bits = m.bits;
                    current = m.type_id;
                }
                Step::Element(index) => {
                    let (element, _) = t.array()?;
                    let size = self.size_of(element)?.checked_mul(8)?;
                    at = at.checked_add(size.checked_mul(index)?)?;
                    current = element;
                }
            }
        }
        Some((at, bits, current))
    }

    /// The type id of a member.
    pub fn type_of_member(&self, name: &str, path: &str) -> Option<u32> {
        self.walk(name, path).map(|w| w.2)
    }

    /// Every member of a struct, nested ones too, by dotted path in order of declaration.
    ///
    /// `None` when there is no such struct, or it is not one that a compiler
    /// could have laid out (cyclic, or larger than any real one).
    pub fn layout(&self, name: &str) -> Option<Vec<FlatMember>> {
        let t = self.composite(name)?;
        let mut out = Vec::new();
        self.flatten(&t, "", 0, (DEPTH, &mut { STRUCTS }), &mut out)?;
        Some(out)
    }

    fn flatten(
        &self,
        t: &Type<'_>,
        prefix: &str,
        base: u64,
        (depth, budget): (usize, &mut usize),
        out: &mut Vec<FlatMember>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        *budget = budget.checked_sub(1)?;
        for m in t.members() {
            let at = base + u64::from(m.bit_offset);
            let dot = if prefix.is_empty() || m.name.is_empty() {
                ""
            } else {
                "."
            };
            let path = format!("{prefix}{dot}{}", m.name);
            if !m.name.is_empty() {
                if out.len() >= FLAT || path.len() > 1024 {
                    return None;
                }
                out.push(FlatMember {
                    path: path.clone(),
                    type_id: m.type_id,
                    bit_offset: at,
                    bits: m.bits,
                    size: self.size_of(m.type_id).unwrap_or(0),
                });
            }
            if let Some(inner) = self.strip(m.type_id)
                && matches!(inner.kind, Kind::Struct | Kind::Union)
            {
                self.flatten(&inner, &path, at, (depth, budget), out)?;
            }
        }
        Some(())
    }

    /// What a value of that type is.
    pub fn value_kind(&self, id: u32) -> Option<ValueKind> {
        let t = self.strip(id)?;
        Some(match t.kind {
            Kind::Void => ValueKind::Void,
            Kind::Int if t.int_encoding() & 4 != 0 => ValueKind::Bool,
            Kind::Int => ValueKind::Int {
                bytes: u64::from(t.size_or_type),
                signed: t.int_encoding() & 1 != 0,
            },
            Kind::Enum | Kind::Enum64 => ValueKind::Int {
                bytes: u64::from(t.size_or_type),
                signed: t.flag,
            },
            Kind::Ptr => ValueKind::Pointer { to: t.size_or_type },
            Kind::Float => ValueKind::Float {
                bytes: u64::from(t.size_or_type),
            },
            Kind::Struct | Kind::Union | Kind::Array => ValueKind::Aggregate {
                bytes: self.size_of(t.id)?,
            },
            _ => return None,
        })
    }

    /// The prototype of a function of the kernel or the module.
    pub fn func(&self, name: &str) -> Option<Proto> {
        self.proto(self.find(name, &[Kind::Func])?.size_or_type)
    }

    /// The prototype behind a type id: a function type or a pointer to one.
    pub fn proto(&self, id: u32) -> Option<Proto> {
        let mut t = self.strip(id)?;
        if t.kind == Kind::Ptr {
            t = self.strip(t.size_or_type)?;
        }
        if t.kind != Kind::FuncProto {
            return None;
        }
        let mut proto = Proto {
            ret: self.value_kind(t.size_or_type)?,
            ret_type: t.size_or_type,
            args: Vec::with_capacity(t.vlen as usize),
            variadic: false,
        };
        for (name, type_id) in t.params() {
            if type_id == 0 && name.is_empty() {
                proto.variadic = true;
                break;
            }
            proto.args.push(Arg {
                name: name.to_owned(),
                type_id,
                kind: self.value_kind(type_id)?,
            });
        }
        Some(proto)
    }

    /// The enumerators of `enum name`.
    pub fn enumerators(&self, name: &str) -> Option<Vec<(&str, i64)>> {
        Some(
            self.find(name, &[Kind::Enum, Kind::Enum64])?
                .enumerators()
                .collect(),
        )
    }

    /// Name of the struct, union or other named type behind pointers, arrays, typedefs and
    /// qualifiers: what `struct file *` points to. Empty when it has none.
    pub fn base_name(&self, mut id: u32) -> &str {
        for _ in 0..DEPTH {
            let Some(t) = self.strip(id) else { break };
            match t.kind {
                Kind::Ptr => id = t.size_or_type,
                Kind::Array => match t.array() {
                    Some((element, _)) => id = element,
                    None => break,
                },
                _ => return t.name,
            }
        }
        ""
    }
}

impl Types for Btf {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.size_of(self.composite(name)?.id)
    }

    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        let (at, bits, _) = self.walk(name, path)?;
        (bits == 0 && at.is_multiple_of(8)).then_some(at / 8)
    }

    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        self.size_of(self.walk(name, path)?.2)
    }
}
