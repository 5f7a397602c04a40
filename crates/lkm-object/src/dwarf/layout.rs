//! Sizes and offsets out of DWARF, by name and member path.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use gimli::{AttributeValue, DebugInfoOffset, Unit, UnitOffset};

use super::{Dwarf, Slice, UnitIndex};
use crate::types::{Step, Types, real_name, steps};

/// Typedefs and structs followed before the data is taken to be cyclic.
const DEPTH: usize = 64;
/// Structs looked through for one member at most.
const STRUCTS: usize = 50_000;

/// A type, by the offset of its entry in `.debug_info`.
type Id = usize;

/// Types that have been read: a lab asks for many members of few structs.
#[derive(Default)]
pub(super) struct Memo(Mutex<HashMap<Id, Arc<Def>>>);

/// A type without the typedefs and qualifiers around it.
struct Def {
    /// `DW_AT_byte_size`; a pointer's is that of an address.
    size: Option<u64>,
    what: What,
}

enum What {
    /// A struct or union.
    Members(Vec<Member>),
    /// An array: elements in each dimension, and their type.
    Array(Vec<u64>, Id),
    /// An integer, a pointer, an enum...
    Plain,
}

/// A member of a struct or union.
struct Member {
    /// Empty for an anonymous struct or union.
    name: Box<str>,
    /// Offset in the struct in bytes; `None` for a bit field.
    offset: Option<u64>,
    id: Id,
}

/// One query's look at the debug information: units are opened once, and only for what is not known yet.
struct View<'a> {
    index: &'a [UnitIndex],
    memo: &'a Memo,
    dwarf: gimli::Dwarf<Slice<'a>>,
    open: RefCell<HashMap<usize, Rc<Unit<Slice<'a>>>>>,
}

impl<'a> View<'a> {
    fn new(dwarf: &'a Dwarf<'_>) -> View<'a> {
        View {
            index: dwarf.units(),
            memo: &dwarf.memo,
            dwarf: dwarf.gimli(),
            open: RefCell::new(HashMap::new()),
        }
    }

    /// The unit with that place in the index.
    fn unit(&self, number: usize) -> Option<Rc<Unit<Slice<'a>>>> {
        if let Some(unit) = self.open.borrow().get(&number) {
            return Some(unit.clone());
        }
        let offset = DebugInfoOffset(self.index.get(number)?.offset);
        let header = self.dwarf.unit_header(offset).ok()?;
        let unit = Rc::new(self.dwarf.unit(header).ok()?);
        self.open.borrow_mut().insert(number, unit.clone());
        Some(unit)
    }

    /// The unit an entry lies in, and the entry's offset there.
    fn place(&self, id: Id) -> Option<(Rc<Unit<Slice<'a>>>, UnitOffset)> {
        let after = self.index.partition_point(|u| u.offset <= id);
        let number = after.checked_sub(1)?;
        let unit = self.unit(number)?;
        Some((unit, UnitOffset(id - self.index[number].offset)))
    }

    fn reference(unit: &Unit<Slice<'a>>, value: AttributeValue<Slice<'a>>) -> Option<Id> {
        match value {
            AttributeValue::UnitRef(offset) => {
                let base = unit.header.debug_info_offset()?.0;
                base.checked_add(offset.0)
            }
            AttributeValue::DebugInfoRef(offset) => Some(offset.0),
            _ => None,
        }
    }

    /// The type behind typedefs and qualifiers.
    fn def(&self, id: Id) -> Option<Arc<Def>> {
        let locked = || self.memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(def) = locked().get(&id) {
            return Some(def.clone());
        }
        let def = Arc::new(self.read(id)?);
        locked().insert(id, def.clone());
        Some(def)
    }

    fn read(&self, mut id: Id) -> Option<Def> {
        for _ in 0..DEPTH {
            let (unit, offset) = self.place(id)?;
            let entry = unit.entry(offset).ok()?;
            let refers = || View::reference(&unit, entry.attr_value(gimli::DW_AT_type)?);
            let size = entry
                .attr_value(gimli::DW_AT_byte_size)
                .and_then(|v| v.udata_value());
            let what = match entry.tag() {
                gimli::DW_TAG_typedef
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type => {
                    id = refers()?;
                    continue;
                }
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
                    What::Members(self.members(id)?)
                }
                gimli::DW_TAG_array_type => What::Array(self.counts(id)?, refers()?),
                _ => What::Plain,
            };
            let pointer = entry.tag() == gimli::DW_TAG_pointer_type;
            let address = pointer.then(|| u64::from(unit.header.address_size()));
            return Some(Def {
                size: size.or(address),
                what,
            });
        }
        None
    }

    /// Number of elements in each dimension of an array.
    fn counts(&self, id: Id) -> Option<Vec<u64>> {
        let mut out = Vec::new();
        self.children(id, |_, entry| {
            if entry.tag() == gimli::DW_TAG_subrange_type {
                let number = |name| entry.attr_value(name).and_then(|v| v.udata_value());
                let count = number(gimli::DW_AT_count)
                    .or_else(|| number(gimli::DW_AT_upper_bound)?.checked_add(1));
                // A flexible array has no bound.
                out.push(count.unwrap_or(0));
            }
        })?;
        Some(out)
    }

    fn members(&self, id: Id) -> Option<Vec<Member>> {
        let mut out = Vec::new();
        self.children(id, |unit, entry| {
            let refers = entry
                .attr_value(gimli::DW_AT_type)
                .and_then(|v| View::reference(unit, v));
            let (gimli::DW_TAG_member, Some(id)) = (entry.tag(), refers) else {
                return;
            };
            let offset = match entry.attr_value(gimli::DW_AT_data_member_location) {
                _ if entry.has_attr(gimli::DW_AT_bit_size) => None,
                // Members of unions have no location.
                None => Some(0),
                Some(v) => v.udata_value(),
            };
            let name = entry
                .attr_value(gimli::DW_AT_name)
                .and_then(|v| self.dwarf.attr_string(unit, v).ok());
            out.push(Member {
                name: name.map_or("".into(), |s| s.to_string_lossy().into()),
                offset,
                id,
            });
        })?;
        Some(out)
    }

    /// Calls `each` with the direct children of an entry.
    fn children(
        &self,
        id: Id,
        mut each: impl FnMut(&Unit<Slice<'a>>, &gimli::DebuggingInformationEntry<Slice<'a>>),
    ) -> Option<()> {
        let (unit, offset) = self.place(id)?;
        let mut cursor = unit.entries_at_offset(offset).ok()?;
        let parent = cursor.next_dfs().ok()??;
        if !parent.has_children() {
            return Some(());
        }
        let mut child = cursor.next_dfs().ok()?;
        while let Some(entry) = child {
            each(&unit, entry);
            child = cursor.next_sibling().ok()?;
        }
        Some(())
    }

    fn size_of(&self, id: Id) -> Option<u64> {
        let (mut id, mut times) = (id, 1u64);
        for _ in 0..DEPTH {
            let def = self.def(id)?;
            let What::Array(counts, element) = &def.what else {
                return def.size?.checked_mul(times);
            };
            times = counts.iter().try_fold(times, |n, &c| n.checked_mul(c))?;
            id = *element;
        }
        None
    }

    /// Offset and type of the member of that name, looking through anonymous ones.
    fn member(
        &self,
        id: Id,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Option<(Option<u64>, Id)> {
        let depth = depth.checked_sub(1)?;
        *budget = budget.checked_sub(1)?;
        let def = self.def(id)?;
        let What::Members(members) = &def.what else {
            return None;
        };
        if let Some(m) = members.iter().find(|m| *m.name == *name) {
            return Some((m.offset, m.id));
        }
        members.iter().filter(|m| m.name.is_empty()).find_map(|m| {
            let (inner, found) = self.member(m.id, name, depth, budget)?;
            let offset = match (inner, m.offset) {
                (Some(a), Some(b)) => Some(a.checked_add(b)?),
                _ => None,
            };
            Some((offset, found))
        })
    }

    /// Structs, unions and typedefs at the top level of a unit, by name.
    fn names(&self, number: usize) -> HashMap<String, Id> {
        let mut out = HashMap::new();
        let Some(unit) = self.unit(number) else {
            return out;
        };
        let base = self.index[number].offset;
        let mut typedefs = Vec::new();
        let mut cursor = unit.entries();
        if !matches!(cursor.next_dfs(), Ok(Some(_))) {
            return out;
        }
        let mut child = cursor.next_dfs();
        while let Ok(Some(entry)) = child {
            let tag = entry.tag();
            let known = matches!(
                tag,
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type | gimli::DW_TAG_typedef
            );
            if known
                && !entry.has_attr(gimli::DW_AT_declaration)
                && let Some(value) = entry.attr_value(gimli::DW_AT_name)
                && let Ok(name) = self.dwarf.attr_string(&unit, value)
            {
                let name = name.to_string_lossy().into_owned();
                let id = base + entry.offset().0;
                if tag == gimli::DW_TAG_typedef {
                    typedefs.push((name, id));
                } else {
                    out.entry(name).or_insert(id);
                }
            }
            child = cursor.next_sibling();
        }
        // A struct's own name goes before a typedef of the same name.
        for (name, id) in typedefs {
            out.entry(name).or_insert(id);
        }
        out
    }

    /// The struct, union or typedef of that name, in the first unit that has one.
    fn find(&self, name: &str) -> Option<Id> {
        let name = real_name(name);
        self.index.iter().enumerate().find_map(|(number, unit)| {
            unit.names
                .get_or_init(|| self.names(number))
                .get(name)
                .copied()
        })
    }

    /// Offset (`None` for a bit field) and type of what a path leads to.
    fn walk(&self, name: &str, path: &str) -> Option<(Option<u64>, Id)> {
        let mut id = self.find(name)?;
        let mut at = Some(0u64);
        // Dimensions of the current array that are still to be indexed.
        let mut dimensions: Vec<u64> = Vec::new();
        for step in steps(path)? {
            match step {
                Step::Member(name) => {
                    if !dimensions.is_empty() {
                        return None;
                    }
                    let (offset, found) = self.member(id, name, DEPTH, &mut { STRUCTS })?;
                    at = match (at, offset) {
                        (Some(a), Some(b)) => Some(a.checked_add(b)?),
                        _ => None,
                    };
                    id = found;
                }
                Step::Element(index) => {
                    let def = self.def(id)?;
                    let What::Array(counts, element) = &def.what else {
                        return None;
                    };
                    if dimensions.is_empty() {
                        dimensions.clone_from(counts);
                        if dimensions.is_empty() {
                            return None;
                        }
                    }
                    dimensions.remove(0);
                    let size = self.size_of(*element)?;
                    let stride = dimensions.iter().try_fold(size, |n, &d| n.checked_mul(d))?;
                    at = Some(at?.checked_add(stride.checked_mul(index)?)?);
                    if dimensions.is_empty() {
                        id = *element;
                    }
                }
            }
        }
        // Inside an array of arrays: the place is known, but no type has its size.
        dimensions.is_empty().then_some((at, id))
    }
}

impl Types for Dwarf<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        let view = View::new(self);
        view.size_of(view.find(name)?)
    }

    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        View::new(self).walk(name, path)?.0
    }

    fn size_of_member(&self, name: &str, path: &str) -> Option<u64> {
        let view = View::new(self);
        view.size_of(view.walk(name, path)?.1)
    }
}
