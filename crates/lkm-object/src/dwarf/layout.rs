//! Sizes and offsets out of DWARF, by name and member path.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{AttributeValue, DebugInfoOffset, DwTag, Unit, UnitOffset};

use super::{Dwarf, Slice, UnitIndex};
use crate::types::{Step, Types, real_name, steps};

/// Typedefs and structs followed before the data is taken to be cyclic.
const DEPTH: usize = 64;
/// Structs looked through for one member at most.
const STRUCTS: usize = 50_000;

/// One query's look at the debug information: units are opened once.
struct View<'a> {
    index: &'a [UnitIndex],
    dwarf: gimli::Dwarf<Slice<'a>>,
    open: RefCell<HashMap<usize, Rc<Unit<Slice<'a>>>>>,
}

/// A type, by the offset of its entry in `.debug_info`.
type Id = usize;

/// What matters of an entry that is a type.
struct Die {
    tag: DwTag,
    size: Option<u64>,
    refers: Option<Id>,
}

/// A member of a struct or union.
struct Member {
    /// Offset in the struct in bytes; `None` for a bit field.
    offset: Option<u64>,
    id: Id,
}

impl<'a> View<'a> {
    fn new(dwarf: &'a Dwarf<'_>) -> View<'a> {
        View {
            index: dwarf.units(),
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

    fn die(&self, id: Id) -> Option<Die> {
        let (unit, offset) = self.place(id)?;
        let entry = unit.entry(offset).ok()?;
        Some(Die {
            tag: entry.tag(),
            size: entry
                .attr_value(gimli::DW_AT_byte_size)
                .and_then(|v| v.udata_value()),
            refers: entry
                .attr_value(gimli::DW_AT_type)
                .and_then(|v| View::reference(&unit, v)),
        })
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, mut id: Id) -> Option<(Id, Die)> {
        for _ in 0..DEPTH {
            let die = self.die(id)?;
            match die.tag {
                gimli::DW_TAG_typedef
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type => id = die.refers?,
                _ => return Some((id, die)),
            }
        }
        None
    }

    fn size_of(&self, id: Id) -> Option<u64> {
        let (mut id, mut times) = (id, 1u64);
        for _ in 0..DEPTH {
            let (at, die) = self.strip(id)?;
            if die.tag != gimli::DW_TAG_array_type {
                let size = match die.size {
                    Some(size) => size,
                    None if die.tag == gimli::DW_TAG_pointer_type => {
                        u64::from(self.place(at)?.0.header.address_size())
                    }
                    None => return None,
                };
                return size.checked_mul(times);
            }
            let count = self.counts(at)?.into_iter().try_fold(1, u64::checked_mul)?;
            times = times.checked_mul(count)?;
            id = die.refers?;
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
            true
        })?;
        Some(out)
    }

    /// Calls `each` with the direct children of an entry until it answers false.
    fn children(
        &self,
        id: Id,
        mut each: impl FnMut(&Unit<Slice<'a>>, &gimli::DebuggingInformationEntry<Slice<'a>>) -> bool,
    ) -> Option<()> {
        let (unit, offset) = self.place(id)?;
        let mut cursor = unit.entries_at_offset(offset).ok()?;
        let parent = cursor.next_dfs().ok()??;
        if !parent.has_children() {
            return Some(());
        }
        let mut child = cursor.next_dfs().ok()?;
        while let Some(entry) = child {
            if !each(&unit, entry) {
                break;
            }
            child = cursor.next_sibling().ok()?;
        }
        Some(())
    }

    /// The member of that name, looking through anonymous ones.
    fn member(&self, id: Id, name: &str, depth: usize, budget: &mut usize) -> Option<Member> {
        let depth = depth.checked_sub(1)?;
        *budget = budget.checked_sub(1)?;
        let mut found = None;
        let mut anonymous = Vec::new();
        self.children(id, |unit, entry| {
            if entry.tag() != gimli::DW_TAG_member {
                return true;
            }
            let Some(id) = entry
                .attr_value(gimli::DW_AT_type)
                .and_then(|v| View::reference(unit, v))
            else {
                return true;
            };
            let bits = entry.has_attr(gimli::DW_AT_bit_size);
            let location = entry.attr_value(gimli::DW_AT_data_member_location);
            let offset = match location {
                _ if bits => None,
                // Members of unions have no location.
                None => Some(0),
                Some(v) => v.udata_value(),
            };
            let member = Member { offset, id };
            match entry.attr_value(gimli::DW_AT_name) {
                None => anonymous.push(member),
                Some(v) => {
                    let same = self
                        .dwarf
                        .attr_string(unit, v)
                        .is_ok_and(|s| s.slice() == name.as_bytes());
                    if same {
                        found = Some(member);
                        return false;
                    }
                }
            }
            true
        })?;
        found.or_else(|| {
            anonymous.into_iter().find_map(|outer| {
                let (inner, _) = self.strip(outer.id)?;
                let found = self.member(inner, name, depth, budget)?;
                let offset = match (found.offset, outer.offset) {
                    (Some(a), Some(b)) => Some(a.checked_add(b)?),
                    _ => None,
                };
                Some(Member { offset, ..found })
            })
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
            let (stripped, die) = self.strip(id)?;
            match step {
                Step::Member(name) => {
                    let member = self.member(stripped, name, DEPTH, &mut { STRUCTS })?;
                    at = match (at, member.offset) {
                        (Some(a), Some(b)) => Some(a.checked_add(b)?),
                        _ => None,
                    };
                    id = member.id;
                    dimensions.clear();
                }
                Step::Element(index) => {
                    if die.tag != gimli::DW_TAG_array_type {
                        return None;
                    }
                    if dimensions.is_empty() {
                        dimensions = self.counts(stripped)?;
                    }
                    if dimensions.is_empty() {
                        return None;
                    }
                    dimensions.remove(0);
                    let element = self.size_of(die.refers?)?;
                    let stride = dimensions
                        .iter()
                        .try_fold(element, |n, &d| n.checked_mul(d))?;
                    at = Some(at?.checked_add(stride.checked_mul(index)?)?);
                    if dimensions.is_empty() {
                        id = die.refers?;
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
