//! Everything that is chance in a run: who runs next, what fails, the random numbers, the time of the start and
//! where things are placed. A run asks one source of answers, in an order that depends on nothing else, so its list
//! of answers is the run.
//!
//! Each answer is a number below the question's bound, and 0 is the plain one: the task that waits longest goes
//! first, nothing fails, nothing is shifted. So a list of answers is short: those that are not 0, by their number.

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Which of the runnable tasks goes on, counted from the one that has waited longest.
    Next,
    /// 1: the running task gives way at the end of a call, although it need not.
    Preempt,
    /// The same at the end of a call by which a thread of the kernel's woke another task.
    Wakeup,
    /// 1: an RCU callback runs a grace period later than it could.
    Grace,
    /// 1: a function that can fail does.
    Fail,
    /// What the random numbers begin with.
    Seed,
    /// Milliseconds by which the clock starts later.
    Clock,
    /// Pages by which placed memory lies higher.
    Address,
}

impl What {
    /// The name used in records.
    pub const fn name(self) -> &'static str {
        match self {
            What::Next => "next",
            What::Preempt => "preempt",
            What::Wakeup => "wakeup",
            What::Grace => "grace",
            What::Fail => "fail",
            What::Seed => "seed",
            What::Clock => "clock",
            What::Address => "address",
        }
    }
}

/// A source of answers.
pub trait Choices {
    /// The answer to question `number` (counted from 0), below `of`.
    fn answer(&mut self, what: What, number: u64, of: u64) -> u64;
}

/// The plain run: every answer is 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Choices for Plain {
    fn answer(&mut self, _: What, _: u64, _: u64) -> u64 {
        0
    }
}

/// A run that has been before: its answers that are not 0.
#[derive(Debug, Clone, Default)]
pub struct Script {
    answers: Vec<(u64, u64)>,
    at: usize,
}

impl Script {
    /// From pairs of a question's number and its answer, in rising order of the numbers.
    pub fn new(answers: Vec<(u64, u64)>) -> Script {
        Script { answers, at: 0 }
    }
}

impl Choices for Script {
    fn answer(&mut self, _: What, number: u64, of: u64) -> u64 {
        while self.answers.get(self.at).is_some_and(|a| a.0 < number) {
            self.at += 1;
        }
        match self.answers.get(self.at) {
            Some(&(at, answer)) if at == number => answer.min(of.saturating_sub(1)),
            _ => 0,
        }
    }
}

/// A run of another order, by its number: in the first a task gives way whenever it may, in the second the newest
/// task goes first and a thread that wakes another gives way to it, in all others a generator's word decides. So often and no more.
#[derive(Debug, Clone)]
pub struct Explore {
    number: u64,
    word: u64,
    preempts: u32,
    answers: u32,
    /// The task that gives way stands last among those that wait.
    gave_way: bool,
}

/// Interruptions of one explored run: most faults of order need one or two.
const PREEMPTS: u32 = 24;
/// Answers other than 0 in one explored run: its token stays short.
const ANSWERS: u32 = 96;

impl Explore {
    /// The order that belongs to this number.
    pub fn new(number: u64) -> Explore {
        Explore {
            number,
            word: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            preempts: PREEMPTS,
            answers: ANSWERS,
            gave_way: false,
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.word = self.word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.word;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

impl Choices for Explore {
    fn answer(&mut self, what: What, _: u64, of: u64) -> u64 {
        if self.answers == 0 || of < 2 {
            return 0;
        }
        let answer = match (what, self.number) {
            (What::Fail, _) | (What::Next, 1) | (What::Preempt, 2) => 0,
            (What::Next, 2) => of - 1 - u64::from(self.gave_way),
            (What::Next, _) => self.next() % of,
            (What::Grace, number) => u64::from(number == 1 || number > 2 && self.next() & 1 == 0),
            (What::Preempt | What::Wakeup, number) => {
                let now = number <= 2 || self.next() & 3 == 0;
                let answer = u64::from(self.preempts > 0 && now);
                self.preempts -= answer as u32;
                answer
            }
            // What is not about order stays as it is in the runs that are only that.
            (_, 1 | 2) => 0,
            // Small, so that a token is short; the words made from it differ all the same.
            (What::Seed, _) => self.next() % of.min(1 << 16),
            (What::Clock | What::Address, _) => self.next() % of,
        };
        self.gave_way = matches!(what, What::Preempt | What::Wakeup) && answer == 1;
        if answer != 0 {
            self.answers -= 1;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_repeats_what_an_explored_run_answered() {
        let questions: Vec<(What, u64)> = (0..500u64)
            .map(|n| match n % 5 {
                0 => (What::Next, 2 + n % 3),
                1 => (What::Preempt, 2),
                2 => (What::Fail, 2),
                3 => (What::Seed, u64::MAX),
                _ => (What::Address, 256),
            })
            .collect();
        let mut explore = Explore::new(7);
        let first: Vec<u64> = (0u64..)
            .zip(&questions)
            .map(|(n, &(what, of))| explore.answer(what, n, of))
            .collect();
        assert!(questions.iter().zip(&first).all(|(q, &a)| a < q.1));
        let list: Vec<(u64, u64)> = (0u64..)
            .zip(&first)
            .filter(|(_, a)| **a != 0)
            .map(|(n, &a)| (n, a))
            .collect();
        assert!(!list.is_empty() && list.len() <= ANSWERS as usize);
        let mut script = Script::new(list);
        let again: Vec<u64> = (0u64..)
            .zip(&questions)
            .map(|(n, &(what, of))| script.answer(what, n, of))
            .collect();
        assert_eq!(first, again);
    }

    #[test]
    fn an_answer_out_of_bounds_is_cut() {
        let mut script = Script::new(vec![(3, u64::MAX)]);
        assert_eq!(script.answer(What::Next, 2, 4), 0);
        assert_eq!(script.answer(What::Next, 3, 4), 3);
        assert_eq!(script.answer(What::Next, 4, 4), 0);
    }
}
