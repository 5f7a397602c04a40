//! Counting what passed: one tally for each group of tests, and the closing line.

/// What became of a group of tests.
pub struct Tally {
    group: String,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// An empty one.
    pub fn new(group: &str) -> Tally {
        Tally {
            group: group.to_owned(),
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    /// Counts a test, which failed when something is wrong with it; that is printed at once.
    pub fn add(&mut self, test: &str, wrong: &[String]) {
        if wrong.is_empty() {
            self.passed += 1;
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
