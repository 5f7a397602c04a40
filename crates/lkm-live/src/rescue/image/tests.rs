//! The written module is read back with the parser that reads every other module.

use lkm_object::ModuleFile;

use super::*;
use crate::rescue::facts::Offsets;

fn facts() -> Facts {
    let offsets = Offsets {
        list: 8,
        name: 24,
        state: 0,
        refcnt: 856,
        source_list: 816,
        init: 312,
        exit: 848,
        size: 896,
    };
    Facts {
        vermagic: "1.2.3 SMP mod_unload".into(),
        layout_crc: Some(0x1234_5678),
        size: 896,
        init: 312,
        exit: 848,
        offsets,
    }
}

fn job() -> Job {
    let addresses = Addresses {
        modules: 1,
        module_mutex: 2,
        trylock: 3,
        lock: 4,
        unlock: 5,
    };
    Job {
        addresses,
        target: 0x1000,
        state: 1,
        refcnt: 2,
        heal: true,
        drop_exit: true,
        calls: vec![Call {
            function: 0xabc,
            ..Call::default()
        }],
        repairs: vec![Repair {
            address: 7,
            old: 8,
            new: 9,
        }],
        tasks: Tasks {
            tasks: 21,
            stack: 22,
            signal: 23,
            thread_head: 24,
            thread_node: 25,
        },
    }
}

#[test]
fn is_a_module_with_the_facts_in_it() {
    let bytes = write(&job(), &facts()).expect("fits");
    let module = ModuleFile::parse(&bytes).expect("our own file");
    assert_eq!(module.name, NAME);
    assert_eq!(module.vermagic, "1.2.3 SMP mod_unload");
    assert_eq!(module.version_of("module_layout"), Some(0x1234_5678));
    assert_eq!(module.this_module.size, 896);
    assert_eq!(module.this_module.init.map(|hook| hook.member), Some(312));
    assert!(module.this_module.exit.is_none());
    assert!(module.imports.is_empty());
}

#[test]
fn the_parameters_stand_where_the_code_reads_them() {
    let block = params(&job(), &facts()).expect("fits");
    let word = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!((word(40), word(64), word(80)), (0x1000, 856, 848));
    assert_eq!((word(96), word(104), word(112)), (1, 2, 3));
    assert_eq!((word(120), word(144)), (1, 0xabc));
    assert_eq!(
        (word(128), word(1808), word(1816), word(1824)),
        (1, 7, 8, 9)
    );
}

#[test]
fn the_loader_fills_in_a_displacement_that_is_zero() {
    let (code, at) = code();
    assert_eq!(&code[..4], [0xf3, 0x0f, 0x1e, 0xfa], "endbr64 first");
    let at = usize::try_from(at).expect("small");
    assert_eq!(&code[at - 3..at + 4], [0x48, 0x8d, 0x1d, 0, 0, 0, 0]);
}

#[test]
fn too_many_calls_are_refused() {
    let mut job = job();
    job.calls = vec![Call::default(); MOST + 1];
    assert_eq!(write(&job, &facts()), Err(Error::TooMuch));
}

#[test]
fn the_places_to_fill_in_are_those_the_code_reads() {
    let (file, at) = template(&job(), &facts()).expect("fits");
    let word = |place: usize| {
        u64::from_le_bytes(
            file[at + place..at + place + 8]
                .try_into()
                .expect("8 bytes"),
        )
    };
    assert_eq!((word(place::ADDRESSES), word(place::TARGET)), (1, 0x1000));
    assert_eq!((word(place::STATE), word(place::REFCNT)), (1, 2));
    assert_eq!((word(place::FLAGS), word(place::function(0))), (3, 0xabc));
    // The numbers that stand in rescue.S.
    assert_eq!((place::IDEM_HASH, place::INIT_TASK), (2192, 2200));
    assert_eq!((word(2208), word(2216), word(2224)), (21, 22, 23));
    assert_eq!((word(2232), word(2240)), (24, 25));
    assert_eq!((place::RCU_LOCK, place::RCU_UNLOCK), (2248, 2256));
    assert_eq!((place::function(1), place::argument(0, 1)), (248, 184));
}
