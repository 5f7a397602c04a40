//! The rules: each looks at the books and says what is wrong. The order is that of causes before consequences.

mod access;
mod autoload;
mod blocked;
mod held;
mod locks;
mod misuse;
mod order;
mod refs;
mod roots;
mod table;
mod values;

use lkm_trace::{Phase, Site};

use crate::finding::{At, Confidence, Finding, Step};
use crate::ledger::{Ledger, Moment};
use crate::symbols::Symbols;

pub(crate) use table::fix as fix_of;
pub use table::{RULES, Rule, rule};

/// Most findings of one rule before grouping; a run that breaks one rule more often than this is told by the first ones.
const MAX_PER_RULE: usize = 512;
/// Most frames of a call chain in a report.
const MAX_FRAMES: usize = 16;

/// A finding in the making, with what is needed to relate it to others.
#[derive(Debug)]
pub(crate) struct Draft {
    pub rule: &'static str,
    pub detail: String,
    pub phase: Phase,
    pub message: String,
    pub place: At,
    pub trace: Vec<String>,
    pub history: Vec<Step>,
    pub fix: String,
    pub confidence: Confidence,
    pub through: Option<String>,
    /// When it was seen: number of the event.
    pub step: usize,
    pub tid: u32,
    pub life: Option<usize>,
    /// The object it is about; 0 when none.
    pub key: u64,
    /// The task it is about, when that is not the one that acted.
    pub subject: Option<u32>,
    /// Where it was seen: the address behind the call, or of the fault.
    pub pc: u64,
    /// Index of the draft that explains this one.
    pub root: Option<usize>,
}

/// One run under judgement.
pub(crate) struct Case<'a, 't> {
    pub ledger: &'a Ledger<'t>,
    pub symbols: &'a dyn Symbols,
    pub drafts: Vec<Draft>,
    pub notes: Vec<String>,
    /// Tasks that died of what a stub answered, and when: nothing they did from then on is judged.
    pub excused: Vec<(u32, usize)>,
}

impl<'a, 't> Case<'a, 't> {
    /// A draft about something that happened at a moment. What it says is still to be filled in.
    pub fn draft(&self, rule: &'static str, at: &Moment<'_>) -> Draft {
        Draft {
            rule,
            detail: String::new(),
            phase: at.phase,
            message: String::new(),
            place: self.at(at),
            trace: self.chain(at.site),
            history: Vec::new(),
            fix: table::fix(rule).to_owned(),
            confidence: Confidence::High,
            through: None,
            step: at.step,
            tid: at.tid,
            life: at.life,
            key: 0,
            subject: None,
            pc: at.site.pc,
            root: None,
        }
    }

    /// Takes a draft; answers its index.
    pub fn push(&mut self, draft: Draft) -> usize {
        self.drafts.push(draft);
        self.drafts.len() - 1
    }

    /// Whether a rule has had its fill.
    pub fn full(&self, rule: &str) -> bool {
        self.drafts.iter().filter(|d| d.rule == rule).count() >= MAX_PER_RULE
    }

    /// Lowers a draft's confidence when its module had been answered by a stub before.
    pub fn doubt(&self, draft: &mut Draft) {
        if let Some(stub) = self.ledger.stub_before(draft.step, draft.life) {
            draft.confidence = Confidence::Low;
            draft.through = Some(stub.to_owned());
        }
    }

    /// The place of a call: the module's frame nearest to it.
    pub fn at(&self, at: &Moment<'_>) -> At {
        let frames = std::iter::once(&at.site.pc).chain(&at.site.stack);
        for &pc in frames.filter(|&&pc| pc != 0) {
            if self.ledger.at_address(pc).is_some() || self.ledger.at_address(pc - 1).is_some() {
                return self.call_place(pc);
            }
        }
        // No frame of a module's: a tail call. The function is known, the instruction is not.
        if let Some(name) = self.tail_caller(at) {
            return At {
                at: format!("{name} (tail call)"),
                file_line: None,
            };
        }
        if at.site.pc == 0 {
            return At::default();
        }
        self.call_place(at.site.pc)
    }

    fn tail_caller(&self, at: &Moment<'_>) -> Option<String> {
        let life = &self.ledger.lives[at.life?];
        // The moment has this life without a frame in it: its task was inside init or exit, or runs its function.
        let function = self.ledger.tasks.get(&at.tid).map_or(0, |t| t.function);
        if function != 0 && life.contains(function) {
            return self.symbols.find(function).map(|p| p.symbol);
        }
        self.symbols.entry(life.name, at.phase)
    }

    /// A return address as a place.
    pub fn call_place(&self, pc: u64) -> At {
        At {
            at: self
                .symbols
                .return_name(pc)
                .unwrap_or_else(|| format!("{pc:#x}")),
            file_line: line(self.symbols, pc.wrapping_sub(1)),
        }
    }

    /// An instruction as a place.
    pub fn code_place(&self, pc: u64) -> At {
        At {
            at: self.symbols.name(pc).unwrap_or_else(|| format!("{pc:#x}")),
            file_line: line(self.symbols, pc),
        }
    }

    /// The name of a function by its address.
    pub fn function(&self, addr: u64) -> String {
        match self.symbols.find(addr) {
            Some(p) if p.offset == 0 => p.symbol,
            Some(p) => format!("{}+{:#x}", p.symbol, p.offset),
            None => format!("{addr:#x}"),
        }
    }

    fn chain(&self, site: &Site) -> Vec<String> {
        std::iter::once(&site.pc)
            .chain(&site.stack)
            .filter(|&&pc| pc != 0)
            .filter_map(|&pc| self.symbols.return_name(pc))
            .take(MAX_FRAMES)
            .collect()
    }

    /// The function a moment is in, without the offset; empty when unknown.
    pub fn inside(&self, at: &Moment<'_>) -> String {
        symbol(&self.at(at).at)
    }

    /// One step of a history.
    pub fn step(&self, what: &str, at: &Moment<'_>, function: &str) -> Step {
        Step {
            what: what.to_owned(),
            place: self.at(at),
            function: function.to_owned(),
            task: self.ledger.task_name(at.tid),
            phase: at.phase,
        }
    }
}

/// The symbol of a place.
pub(crate) fn symbol(place: &str) -> String {
    let end = place.find(['+', ' ']).unwrap_or(place.len());
    place[..end].to_owned()
}

fn line(symbols: &dyn Symbols, pc: u64) -> Option<String> {
    symbols
        .line(pc)
        .map(|(file, line)| format!("{file}:{line}"))
}

/// What the rules say about one run: findings, roots before what follows from them, and notes.
pub(crate) fn run(ledger: &Ledger<'_>, symbols: &dyn Symbols) -> (Vec<Finding>, Vec<String>) {
    let mut case = Case {
        ledger,
        symbols,
        drafts: Vec::new(),
        notes: Vec::new(),
        excused: Vec::new(),
    };
    case.excused = access::excused(&case);
    misuse::check(&mut case);
    locks::check(&mut case);
    order::check(&mut case);
    access::check(&mut case);
    values::check(&mut case);
    autoload::check(&mut case);
    refs::check(&mut case);
    held::check(&mut case);
    blocked::check(&mut case);
    roots::link(&mut case);
    let loads: Vec<usize> = ledger.judged().map(|(_, l)| l.placed).collect();
    let mut findings = roots::gather(std::mem::take(&mut case.drafts), &loads);
    // What was made to fail before is where the run left its plain course.
    for (function, at) in ledger.failures.iter().rev() {
        let step = case.step("made to fail", at, function);
        for finding in &mut findings {
            finding.history.insert(0, step.clone());
        }
    }
    (findings, case.notes)
}
