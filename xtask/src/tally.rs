//! Counting what passed: one tally for each group of tests, and the closing line.
//!
//! `xtask/data/known-differences.tsv` lists what is known not to be right yet (group, test, reason). Such a
//! test still runs and is shown; it is counted apart from passed and failed, and one that passes is told, so
//! that it is taken off the list.

/// What became of a group of tests.
pub struct Tally {
    group: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    known: usize,
}

/// Whether a test of a group is known to fail.
pub fn is_known(group: &str, test: &str) -> bool {
    known(group, test).is_some()
}

/// Why a test of a group is known to fail.
fn known(group: &str, test: &str) -> Option<&'static str> {
    include_str!("../data/known-differences.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = line.split('\t');
            let here = fields.next() == Some(group) && fields.next() == Some(test);
            here.then(|| fields.next().unwrap_or("no reason given"))
        })
}

impl Tally {
    /// An empty one.
    pub fn new(group: &str) -> Tally {
        Tally {
            group: group.to_owned(),
            passed: 0,
            failed: 0,
            skipped: 0,
            known: 0,
        }
    }

    /// Counts a test, which failed when something is wrong with it; that is printed at once.
    pub fn add(&mut self, test: &str, wrong: &[String]) {
        let known = known(&self.group, test);
        if wrong.is_empty() {
            self.passed += 1;
            if known.is_some() {
                println!(
                    "PASSES NOW {} {test}: take it off the list of known differences",
                    self.group
                );
            }
            return;
        }
        if let Some(reason) = known {
            self.known += 1;
            println!("KNOWN {} {test}: {reason}", self.group);
            return;
        }
        self.failed += 1;
        println!("FAILED {} {test}", self.group);
        for line in wrong {
            println!("    {line}");
        }
    }

    /// Counts a test that could not be run, with the reason.
    #[allow(dead_code, reason = "used where a machine lacks something")]
    pub fn skip(&mut self, test: &str, why: &str) {
        self.skipped += 1;
        println!("SKIPPED {} {test}: {why}", self.group);
    }

    /// Counts what another program counted.
    pub fn add_counts(&mut self, passed: usize, failed: usize) {
        self.passed += passed;
        self.failed += failed;
    }

    /// Whether none failed.
    pub fn good(&self) -> bool {
        self.failed == 0
    }

    /// Prints the group's line.
    pub fn print(&self) {
        print!(
            "{:<20} {:>5} passed {:>4} failed",
            self.group, self.passed, self.failed
        );
        if self.skipped > 0 {
            print!(" {:>4} skipped", self.skipped);
        }
        if self.known > 0 {
            print!(" {:>4} known differences", self.known);
        }
        println!();
    }
}

/// Prints all groups and the closing line; whether nothing failed.
pub fn close(groups: &[Tally]) -> bool {
    println!();
    for group in groups {
        group.print();
    }
    let sum = |field: fn(&Tally) -> usize| groups.iter().map(field).sum::<usize>();
    println!("{} passed, {} failed", sum(|g| g.passed), sum(|g| g.failed));
    groups.iter().all(Tally::good)
}
