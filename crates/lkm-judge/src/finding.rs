//! What a judgement consists of: findings, and the report that holds them.

use serde::Serialize;
use serde::ser::Serializer;

use lkm_trace::Phase;

/// Version of the JSON form. It counts up when a field changes its meaning or goes; new fields do not change it.
pub const SCHEMA: u32 = 1;

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Seen to happen, with modelled functions only on the way.
    High,
    /// A function answered by its prototype was called before it, or the observation has another reading.
    Low,
}

/// A place in the run, told as a reader finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct At {
    /// `symbol+offset`, or a bare address where nothing is known.
    pub at: String,
    /// `file:line`, where debug information has it.
    pub file_line: Option<String>,
}

/// One step of what led to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What happened: `created`, `freed`, `taken`, `put`, `started`…
    pub what: String,
    /// Where.
    #[serde(flatten)]
    pub place: At,
    /// The kernel function that did it; may be empty.
    pub function: String,
    /// The task that did it, as `comm/pid`; may be empty.
    pub task: String,
    /// When in the module's life.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its number in the report, counted from 0: what `root` of others refers to.
    pub id: usize,
    /// The rule's stable id.
    pub rule: &'static str,
    /// A finer name within the rule; may be empty.
    pub detail: String,
    /// When it happened.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// Number of the event in the run's trace at which it was seen, as in `refcount`.
    pub step: usize,
    /// The sentence a reader is given.
    pub message: String,
    /// Where it happened, or where what is left was made.
    #[serde(flatten)]
    pub place: At,
    /// The call chain at that place, innermost first.
    pub trace: Vec<String>,
    /// What led to it.
    pub history: Vec<Step>,
    /// What to do.
    pub fix: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// The stubbed function it passed through, where one is known.
    pub through: Option<String>,
    /// How often the same was seen.
    pub count: u64,
    /// What repeats the run it was seen in.
    pub replay: Option<String>,
    /// The finding of which this one is a consequence.
    pub root: Option<usize>,
}

fn phase_name<S: Serializer>(phase: &Phase, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(phase.name())
}

/// What a rehearsal concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing found, and everything that was called is modelled.
    Clean,
    /// At least one finding.
    Findings,
    /// Nothing found, but the run does not allow to say that nothing is there.
    Inconclusive,
    /// The lab does not judge such a module.
    Refused,
}

impl Verdict {
    /// The exit status of a command that ends with this verdict.
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::Findings => 1,
            Verdict::Inconclusive | Verdict::Refused => 2,
        }
    }

    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::Findings => "findings",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Refused => "refused",
        }
    }
}

/// How many of the kernel functions that were called are answered how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Modelled, with a conformance test.
    pub behaves: usize,
    /// Modelled, without a conformance test.
    pub modelled: usize,
    /// Recorded in the ledger only.
    pub ledger: usize,
    /// Answered by prototype.
    pub stubbed: usize,
    /// Not even the prototype is known.
    pub unknown: usize,
}

/// One step of the module's reference count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefStep {
    /// Number of the event in the trace.
    pub step: usize,
    /// What lsmod would show after it.
    pub value: i64,
    /// What took or gave the reference.
    pub why: String,
    /// Where.
    #[serde(flatten)]
    pub place: At,
}

/// What the system calls and the module's own functions answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// 0 or a negative errno; None when the call never returned.
    pub load: Option<i64>,
    /// What init returned; 0 when there is none; None when it did not return.
    pub init: Option<i64>,
    /// `done`, `not-run`, `fault`, `hang`.
    pub exit: String,
}

/// A judged rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// The judged module.
    pub module: String,
    /// Whose kernel's rules were followed.
    pub profile: String,
    /// Whose structure layouts were used; empty where it was not told.
    pub layouts: String,
    /// What follows from the findings.
    pub verdict: Verdict,
    /// Why the verdict is not a plain one: what was stubbed, what cut the run short, why it was refused.
    pub reasons: Vec<String>,
    /// How many runs were judged.
    pub runs: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What the report is worth.
    pub calls: Calls,
    /// Names of the functions that were stubbed or unknown.
    pub unmodelled: Vec<String>,
    /// The module's reference count over its life (the first run's).
    pub refcount: Vec<RefStep>,
    /// What was answered (the first run's).
    pub result: Outcome,
    /// What is worth knowing and is not wrong.
    pub notes: Vec<String>,
    /// The last lines of the kernel log (the first run's), without levels and time stamps.
    pub log: Vec<String>,
}

impl Report {
    /// The report of a module that the lab does not take.
    pub fn refused(module: &str, profile: &str, reason: &str) -> Report {
        Report {
            schema: SCHEMA,
            module: module.to_owned(),
            profile: profile.to_owned(),
            layouts: String::new(),
            verdict: Verdict::Refused,
            reasons: vec![reason.to_owned()],
            runs: 0,
            findings: Vec::new(),
            calls: Calls::default(),
            unmodelled: Vec::new(),
            refcount: Vec::new(),
            result: Outcome {
                load: None,
                init: None,
                exit: "not-run".to_owned(),
            },
            notes: Vec::new(),
            log: Vec::new(),
        }
    }

    /// The findings that no other one explains.
    pub fn roots(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.root.is_none())
    }
}
