//! Which functions have earned the mark *behaves*: those whose behaviour a test shows that also runs on a real
//! kernel. A modelled function without one is *modelled*, and reports count it apart.
//!
//! The list is data (`data/conformed.tsv`: a name and the test, sorted). `cargo xtask marks` writes it from the heads of
//! `modules/conform/` and from `xtask/data/selftest-functions.tsv`; a test there fails when it is not what they say.

use lkm_trace::Class;

const LIST: &str = include_str!("../../data/conformed.tsv");

/// The test that shows how a function behaves.
pub fn shown_by(name: &str) -> Option<&'static str> {
    crate::exports::line(LIST, name)?.split('\t').nth(1)
}

/// What may be said of a function that its row declares to be of this class.
pub fn class(name: &str, declared: Class) -> Class {
    match declared {
        Class::Behaves if shown_by(name).is_none() => Class::Modelled,
        _ => declared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{self, ALIASES};
    use std::collections::BTreeSet;

    #[test]
    fn the_list_is_sorted_and_found() {
        let names: Vec<&str> = LIST.lines().filter_map(|l| l.split('\t').next()).collect();
        assert!(names.is_sorted(), "cargo xtask marks");
        for name in names {
            assert!(
                shown_by(name).is_some_and(|test| !test.is_empty()),
                "{name}"
            );
        }
        assert_eq!(shown_by("no_such_function"), None);
        assert_eq!(class("no_such_function", Class::Behaves), Class::Modelled);
        assert_eq!(class("no_such_function", Class::Ledger), Class::Ledger);
    }

    #[test]
    fn what_is_shown_is_declared() {
        let mut known: BTreeSet<&str> = table::all()
            .iter()
            .flat_map(|rows| rows.iter().map(|row| row.name))
            .collect();
        known.extend(
            lkm_machine::leaf::all()
                .iter()
                .flat_map(|l| l.names.iter().copied()),
        );
        known.extend(ALIASES.iter().map(|(alias, _)| *alias));
        let idle: Vec<&str> = LIST
            .lines()
            .filter_map(|l| l.split('\t').next())
            .filter(|name| !known.contains(name))
            .collect();
        assert!(idle.is_empty(), "shown, but answered by no row: {idle:?}");
    }
}
