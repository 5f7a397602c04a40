//! A small builder of traces for tests: a module with known functions, and short forms of events.

use lkm_trace::{Class, End, Event, LockOp, Phase, Site, TaskEnd, TaskKind, Trace};

use crate::finding::{Finding, Report};
use crate::symbols::{Place, Symbols};
use crate::verdict::{About, judge};

/// Start of the test module's text; each function takes 0x100 bytes.
pub const TEXT: u64 = 0x1000_0000;
/// Start of its init text.
pub const INIT: u64 = 0x1100_0000;
/// The task in the system calls.
pub const INSMOD: u32 = 1;

/// Functions of the test module, in order from [`TEXT`].
const FUNCTIONS: &[&str] = &["demo_work", "demo_thread", "demo_exit", "demo_timer"];

pub struct Names;

impl Symbols for Names {
    fn find(&self, addr: u64) -> Option<Place> {
        let (symbol, offset) = if (INIT..INIT + 0x100).contains(&addr) {
            ("demo_init", addr - INIT)
        } else {
            let at = addr.checked_sub(TEXT)?;
            (
                *FUNCTIONS.get(usize::try_from(at / 0x100).ok()?)?,
                at % 0x100,
            )
        };
        Some(Place {
            symbol: symbol.to_owned(),
            offset,
            module: "demo".to_owned(),
        })
    }
    fn entry(&self, _module: &str, phase: Phase) -> Option<String> {
        match phase {
            Phase::Init => Some("demo_init".to_owned()),
            Phase::Exit => Some("demo_exit".to_owned()),
            _ => None,
        }
    }
}

/// An address in a function of the test module.
pub fn pc(function: &str, offset: u64) -> u64 {
    if function == "demo_init" {
        return INIT + offset;
    }
    let index = FUNCTIONS
        .iter()
        .position(|f| *f == function)
        .expect("a function of the module");
    TEXT + index as u64 * 0x100 + offset
}

pub fn site(function: &str, offset: u64) -> Site {
    Site {
        pc: pc(function, offset),
        stack: Vec::new(),
    }
}

/// A trace in the making.
pub struct Build {
    pub events: Vec<Event>,
    generation: u32,
    tid: u32,
}

impl Build {
    pub fn new() -> Self {
        let mut b = Build {
            events: Vec::new(),
            generation: 0,
            tid: INSMOD,
        };
        b.push(Event::Start {
            profile: "6.1".into(),
            mode: "rehearse".into(),
        });
        b.task(INSMOD, "insmod", TaskKind::User, 0);
        b.switch(INSMOD)
    }

    pub fn push(&mut self, event: Event) -> &mut Self {
        self.events.push(event);
        self
    }

    fn task(&mut self, tid: u32, comm: &str, kind: TaskKind, function: u64) {
        self.push(Event::Task {
            tid,
            pid: 100 + tid,
            comm: comm.into(),
            kind,
            function,
            site: Site::default(),
        });
    }

    pub fn switch(mut self, tid: u32) -> Self {
        self.tid = tid;
        self.push(Event::Switch { tid });
        self
    }

    pub fn kthread(mut self, tid: u32, comm: &str, function: &str, from: &str) -> Self {
        self.push(Event::Task {
            tid,
            pid: 100 + tid,
            comm: comm.into(),
            kind: TaskKind::Kthread,
            function: pc(function, 0),
            site: site(from, 0x10),
        });
        self
    }

    pub fn with(mut self, event: Event) -> Self {
        self.push(event);
        self
    }

    /// Placement and the start of init.
    pub fn load(mut self) -> Self {
        self.generation += 1;
        let generation = self.generation;
        self.push(Event::Module {
            name: "demo".into(),
            generation,
            this_module: 0x1200_0000,
            sections: vec![
                (".text".into(), TEXT, 0x1000),
                (".init.text".into(), INIT, 0x100),
            ],
        });
        self.state(1);
        self.reference(1, 1, "init", 0, "");
        self.phase(Phase::Init)
    }

    pub fn state(&mut self, state: u32) -> &mut Self {
        self.push(Event::State {
            module: "demo".into(),
            state,
        })
    }

    pub fn phase(mut self, phase: Phase) -> Self {
        self.push(Event::Phase {
            module: "demo".into(),
            phase,
        });
        self
    }

    pub fn reference(
        &mut self,
        delta: i64,
        value: i64,
        why: &str,
        key: u64,
        holder: &str,
    ) -> &mut Self {
        let tid = self.tid;
        self.push(Event::Ref {
            module: "demo".into(),
            delta,
            value,
            why: why.into(),
            key,
            holder: holder.into(),
            tid,
            site: site("demo_work", 0x20),
        })
    }

    /// Init returned; on success the module is live and in use.
    pub fn init_returns(mut self, value: i64) -> Self {
        self.push(Event::InitResult {
            module: "demo".into(),
            value,
        });
        if value >= 0 {
            self.state(0);
            self.reference(-1, 0, "init", 0, "");
            self.push(Event::LoadResult {
                module: "demo".into(),
                errno: 0,
            });
            return self.phase(Phase::Use);
        }
        self.state(2);
        self.state(255);
        self.push(Event::LoadResult {
            module: "demo".into(),
            errno: value,
        });
        self.push(Event::ExitResult {
            module: "demo".into(),
            how: "not-run".into(),
        });
        self.phase(Phase::AfterExit)
    }

    pub fn exit(mut self) -> Self {
        self.state(2);
        self.phase(Phase::Exit)
    }

    pub fn gone(mut self) -> Self {
        self.push(Event::ExitResult {
            module: "demo".into(),
            how: "done".into(),
        });
        self.state(255);
        self.push(Event::UnloadResult {
            module: "demo".into(),
            errno: 0,
        });
        self.phase(Phase::AfterExit)
    }

    pub fn acquire(mut self, kind: &str, key: u64, function: &str, from: &str) -> Self {
        let tid = self.tid;
        self.push(Event::Acquire {
            kind: kind.into(),
            key,
            size: 64,
            detail: String::new(),
            function: function.into(),
            class: Class::Behaves,
            tid,
            site: site(from, 0x30),
        });
        self
    }

    pub fn release(mut self, kind: &str, key: u64, function: &str, from: &str) -> Self {
        let tid = self.tid;
        self.push(Event::Release {
            kind: kind.into(),
            key,
            function: function.into(),
            tid,
            site: site(from, 0x40),
        });
        self
    }

    pub fn misuse(mut self, what: &str, key: u64, function: &str, from: &str) -> Self {
        let tid = self.tid;
        self.push(Event::Misuse {
            what: what.into(),
            detail: String::new(),
            key,
            function: function.into(),
            tid,
            site: site(from, 0x50),
        });
        self
    }

    pub fn lock(mut self, op: LockOp, kind: &str, key: u64, from: &str) -> Self {
        let tid = self.tid;
        self.push(Event::Lock {
            op,
            kind: kind.into(),
            key,
            class: key,
            tid,
            site: site(from, 0x60),
        });
        self
    }

    pub fn fault(
        mut self,
        phase: Phase,
        address: u64,
        about: &str,
        object: u64,
        from: &str,
    ) -> Self {
        let tid = self.tid;
        self.push(Event::Fault {
            kind: "page-fault".into(),
            module: "demo".into(),
            phase,
            tid,
            pc: pc(from, 0x18),
            address,
            write: true,
            exec: false,
            about: about.into(),
            object,
            function: String::new(),
            fatal: true,
            site: site(from, 0x18),
        });
        self.push(Event::TaskEnd {
            tid,
            how: TaskEnd::Oops,
            value: 0,
            site: Site::default(),
        });
        self
    }

    pub fn called(mut self, function: &str, class: Class) -> Self {
        self.push(Event::Called {
            function: function.into(),
            class,
        });
        self
    }

    pub fn end(mut self) -> Trace {
        self.push(Event::End {
            how: End::Complete,
            time: 0,
            detail: String::new(),
        });
        Trace {
            events: self.events,
            malformed: None,
        }
    }

    /// Ends the trace and judges it.
    pub fn judge(self) -> Report {
        judged(&self.end())
    }
}

pub fn judged(trace: &Trace) -> Report {
    let about = About {
        module: "demo".into(),
        ..Default::default()
    };
    judge(trace, &Names, &about)
}

/// The rules of a report's root findings.
pub fn roots(report: &Report) -> Vec<&'static str> {
    report.roots().map(|f| f.rule).collect()
}

/// The only finding of a rule.
pub fn one<'r>(report: &'r Report, rule: &str) -> &'r Finding {
    let mut found = report.findings.iter().filter(|f| f.rule == rule);
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {rule} in {:#?}", report.findings));
    assert!(found.next().is_none(), "{rule} more than once");
    first
}
