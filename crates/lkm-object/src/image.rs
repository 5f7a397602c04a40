//! The images of a module while they are put together: its sections at their places in buffers, and the values that
//! the places give its symbols.

use crate::check::{LoadInfo, Place};
use crate::layout::{Image, Layout};

/// Where a section lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Which buffer: 0 core, 1 init, 2 the per-CPU template.
    pub which: usize,
    /// Address that the buffer will have.
    pub base: u64,
    /// Bytes from there.
    pub offset: u64,
}

/// The addresses that the images of a module will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bases {
    /// The core image.
    pub core: u64,
    /// The init image.
    pub init: u64,
    /// The CPU's own copy of the per-CPU template.
    pub percpu: u64,
    /// What symbols in the per-CPU template count from: its offset in the per-CPU area.
    pub percpu_offset: u64,
}

/// Core image, init image and per-CPU template of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Their bytes.
    pub buffers: [Vec<u8>; 3],
    /// Where each section is, by its number; None for one that is not loaded.
    pub places: Vec<Option<Placed>>,
    percpu_offset: u64,
}

impl Images {
    /// Copies the loaded sections of a file to their places.
    pub fn new(info: &LoadInfo<'_>, layout: &Layout, bases: &Bases) -> Images {
        let mut images = Images {
            buffers: [
                vec![0u8; layout.core.size as usize],
                vec![0u8; layout.init.size as usize],
                vec![0u8; layout.percpu.map_or(0, |p| p.size) as usize],
            ],
            places: vec![None; info.elf.sections.len()],
            percpu_offset: bases.percpu_offset,
        };
        for place in &layout.places {
            let (which, base) = match place.image {
                Image::Core => (0, bases.core),
                Image::Init => (1, bases.init),
            };
            let offset = place.offset;
            images.copy(
                info,
                place.section,
                Placed {
                    which,
                    base,
                    offset,
                },
            );
        }
        if let Some(percpu) = layout.percpu {
            // What the template itself points to is relocated at the CPU's copy.
            let base = bases.percpu;
            let place = Placed {
                which: 2,
                base,
                offset: 0,
            };
            images.copy(info, percpu.section, place);
        }
        images
    }

    fn copy(&mut self, info: &LoadInfo<'_>, section: usize, place: Placed) {
        let data = info.elf.sections[section].data;
        let at = place.offset as usize;
        if let Some(slot) = self.buffers[place.which].get_mut(at..at + data.len()) {
            slot.copy_from_slice(data);
        }
        self.places[section] = Some(place);
    }

    /// The value of a symbol that the module defines; None for one that others must.
    pub fn value(&self, place: &Place, value: u64) -> Option<u64> {
        match *place {
            Place::Absolute => Some(value),
            Place::Section(section) => Some(match self.places.get(section).copied().flatten() {
                Some(at) => at.base.wrapping_add(at.offset).wrapping_add(value),
                None => value,
            }),
            Place::Percpu => Some(self.percpu_offset.wrapping_add(value)),
            Place::Undefined => None,
        }
    }
}
