//! The parent's side of a lab: a child with a kernel in it that does one line after another, the record of all it did,
//! and what the judge says of that record.

use super::done::Done;
use super::message::{self, Message};
use super::run;
use super::script::{Command, Expect, Step};
use crate::rehearse::run::{self as rehearse, Lab};
use crate::tree::Tree;
use lkm_judge::{About, Report, RunSymbols};
use lkm_kernel::profile::Profile;
use lkm_machine::fork::{Ended, Limits};
use lkm_machine::session;
use lkm_object::elf::Elf;
use lkm_object::module::ModuleFile;
use lkm_trace::{Event, Trace};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Wall-clock time a line may take.
const WALL: Duration = Duration::from_secs(60);
/// Memory the child may map beside the guest's.
const MEMORY: u64 = 2 << 30;
/// Most events that are kept for the judge. A lab that has done more is judged by its beginning.
const MAX_EVENTS: usize = 4_000_000;

/// What kernel to start, and with which files.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The rules.
    pub profile: Profile,
    /// uname -r.
    pub release: String,
    /// The vermagic that modules must have; None takes any.
    pub vermagic: Option<String>,
    /// CRCs of the kernel's exports, where they are known.
    pub crcs: Option<Rc<std::collections::BTreeMap<String, u32>>>,
    /// The kernel's command line.
    pub boot: Vec<String>,
    /// Files that are there from the start.
    pub files: run::Files,
    /// Where the lab's modprobe finds what the files have not.
    pub tree: Option<Rc<Tree>>,
    /// At a prompt what happens in the background is told, and time that passes is a step.
    pub prompt: bool,
}

/// A lab that runs.
pub(crate) struct Session {
    child: session::Session,
    files: run::Files,
    /// Files that the child has asked for and that are not in `files` yet.
    asked: Rc<RefCell<Vec<(String, Rc<Vec<u8>>)>>>,
    profile: Profile,
    events: Vec<Event>,
}

/// Why a line has no record: the child is gone.
#[derive(Debug)]
pub(crate) struct Gone(pub Ended);

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ended::Normally => f.write_str("the lab's kernel has ended"),
            Ended::LabFailure(why) => write!(f, "the lab failed: {why}"),
            Ended::Signal(2) => f.write_str("interrupted"),
            Ended::Signal(signal) => write!(f, "the lab was killed by signal {signal}"),
            Ended::TimedOut => {
                write!(f, "no end of it after {} seconds", WALL.as_secs())
            }
        }
    }
}

impl Session {
    /// Boots a kernel in a child. The caller has one thread.
    pub(crate) fn start(setup: &Setup) -> Result<Session, String> {
        let limits = Limits {
            wall: WALL,
            record: lkm_trace::MAX_TRACE,
            memory: MEMORY,
        };
        let boot = || {
            Lab::with(setup.profile, &setup.release, |o| {
                o.vermagic.clone_from(&setup.vermagic);
                o.trusted_signatures = false;
                o.crcs.clone_from(&setup.crcs);
                for word in &setup.boot {
                    match word.split_once('=') {
                        Some(("module_blacklist", names)) => names.clone_into(&mut o.blacklist),
                        Some(("module.sig_enforce", value)) => o.sig_enforce = value == "1",
                        _ => {}
                    }
                }
            })
        };
        let mut files = setup.files.clone();
        if let Some(tree) = &setup.tree {
            let lists = tree.builtin_lists().into_iter();
            files.extend(lists.map(|(name, text)| (name, Rc::new(text))));
        }
        let there = run::There {
            files: files.clone(),
            tree: setup.tree.is_some(),
            prompt: setup.prompt,
        };
        let mut child = session::start(limits, boot, |mut lab: Lab, record, inbox| {
            run::serve(lab.kernel(), record, inbox, there);
        })
        .map_err(|e| e.to_string())?;
        let asked = Rc::new(RefCell::new(Vec::new()));
        if let Some(tree) = setup.tree.clone() {
            let given = Rc::clone(&asked);
            child.answer_with(move |what| {
                let all = of_tree(&tree, &String::from_utf8_lossy(what));
                given.borrow_mut().extend(all.iter().cloned());
                message::with_files(&all)
            });
        }
        let mut session = Session {
            child,
            files,
            asked,
            profile: setup.profile,
            events: Vec::new(),
        };
        let answer = session.child.ready(WALL);
        session.keep(&answer);
        match answer.ended {
            None => Ok(session),
            Some(ended) => Err(Gone(ended).to_string()),
        }
    }

    /// Adds an answer's events to the record; where they begin.
    fn keep(&mut self, answer: &session::Answer) -> usize {
        let at = self.events.len();
        let trace = lkm_trace::decode(&answer.record);
        if std::env::var_os("LKM_TRACE").is_some() {
            for event in &trace.events {
                eprintln!("{event:?}");
            }
        }
        self.events.extend(trace.events);
        at
    }

    fn ask(&mut self, message: &Message<'_>) -> Result<Vec<Event>, Gone> {
        let answer = self.child.ask(&message.encode(), WALL);
        self.files.extend(self.asked.borrow_mut().drain(..));
        let at = self.keep(&answer);
        let news = self.events[at..].to_vec();
        self.events.truncate(MAX_EVENTS);
        match answer.ended {
            None => Ok(news),
            Some(ended) => Err(Gone(ended)),
        }
    }

    /// Gives the child a module file; nothing happens when it has that very one.
    pub(crate) fn put(&mut self, name: &str, bytes: Rc<Vec<u8>>) -> Result<(), Gone> {
        if self.files.get(name).is_some_and(|known| *known == bytes) {
            return Ok(());
        }
        self.ask(&Message::File {
            name,
            bytes: &bytes,
        })?;
        self.files.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// Does a line; None when it is no step.
    pub(crate) fn run(&mut self, text: &str, command: &Command) -> Result<Option<Done>, Gone> {
        if let Command::Step(Step::Findings(module)) = command {
            return self.findings(text, module.as_deref()).map(Some);
        }
        let events = self.ask(&Message::Line(text))?;
        let mut done = Done::from_events(&events);
        if let (
            Some(done),
            Command::Step(Step::Why {
                module,
                json: false,
            }),
        ) = (&mut done, command)
            && done.ret == "0"
        {
            let standing = super::standing::of(&self.events, &module.replace('-', "_"));
            done.lines
                .extend(standing.into_iter().map(|l| ("out".to_owned(), l)));
        }
        Ok(done)
    }

    /// The names in a directory of the lab.
    pub(crate) fn names(&mut self, path: &str) -> Vec<String> {
        let Ok(events) = self.ask(&Message::Names(path)) else {
            return Vec::new();
        };
        let names = events.into_iter().filter_map(|event| match event {
            Event::Output { kind, text } if kind == "name" => Some(text),
            _ => None,
        });
        names.collect()
    }

    /// Modules that were ever placed, in the order they first were.
    pub(crate) fn modules(&self) -> Vec<String> {
        let mut names = Vec::new();
        for event in &self.events {
            if let Event::Module { name, .. } = event
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }

    /// Judges a module by the record so far, as a rehearsal would at its end.
    pub(crate) fn judge(&mut self, module: &str) -> Result<Report, Gone> {
        // Which tasks wait is asked now; in the record it would be said of every later time as well.
        let kept = self.events.len();
        self.ask(&Message::Blocked)?;
        let trace = Trace {
            events: std::mem::take(&mut self.events),
            malformed: None,
        };
        let images: Vec<(String, &[u8])> = self
            .files
            .values()
            .filter_map(|bytes| {
                let file = ModuleFile::parse(bytes).ok()?;
                Some((file.name.to_owned(), bytes.as_slice()))
            })
            .collect();
        let elves: Vec<(&str, Elf<'_>)> = images
            .iter()
            .filter_map(|(name, bytes)| Some((name.as_str(), Elf::parse(bytes).ok()?)))
            .collect();
        let symbols = RunSymbols::from_trace(&trace, |name| {
            elves.iter().find(|(n, _)| *n == name).map(|(_, elf)| elf)
        });
        let about = About {
            module: module.to_owned(),
            profile: self.profile.name.to_owned(),
            runs: 1,
            ..About::default()
        };
        let report = lkm_judge::judge(&trace, &symbols, &about);
        self.events = trace.events;
        self.events.truncate(kept);
        Ok(report)
    }

    fn findings(&mut self, text: &str, module: Option<&str>) -> Result<Done, Gone> {
        let modules = match module {
            Some(name) => vec![name.replace('-', "_")],
            None => self.modules(),
        };
        let mut done = Done {
            text: text.to_owned(),
            ret: "0".into(),
            lines: Vec::new(),
        };
        for name in modules {
            let report = self.judge(&name)?;
            let findings = lkm_judge::report::text::findings(&report);
            done.lines
                .extend(findings.lines().map(|l| ("out".to_owned(), l.to_owned())));
        }
        if done.lines.is_empty() {
            let seen = self.modules();
            let text = match module {
                Some(name) if !seen.contains(&name.replace('-', "_")) => {
                    format!("no finding: {name} was never loaded here")
                }
                _ => "no finding".into(),
            };
            done.lines.push(("out".into(), text));
        }
        Ok(done)
    }

    /// Why an expectation about the last step, or about the record, is not met.
    pub(crate) fn unmet(&mut self, done: &Done, expect: &Expect) -> Result<Option<String>, Gone> {
        let Expect::Finding { rule, text } = expect else {
            return Ok(done.unmet(expect));
        };
        let mut seen = Vec::new();
        for name in self.modules() {
            for finding in self.judge(&name)?.findings {
                let shown = format!("{} {}", finding.rule, finding.message);
                if finding.rule == *rule && text.as_ref().is_none_or(|t| shown.contains(t)) {
                    return Ok(None);
                }
                seen.push(shown);
            }
        }
        Ok(Some(if seen.is_empty() {
            "there is no finding".into()
        } else {
            format!("the findings are {}", seen.join(" | "))
        }))
    }
}

/// What modprobe would need of a tree for a name or an alias; a file that cannot be read is not there.
fn of_tree(tree: &Tree, asked: &str) -> Vec<(String, Rc<Vec<u8>>)> {
    let mut all = Vec::new();
    for name in tree.planned(asked) {
        if let Ok(image) = tree.image(&name, true) {
            all.push((format!("{name}.ko"), image));
        }
    }
    all
}

/// The kernel release that most of the files were built for, and their vermagic; a broken file says nothing of it.
pub(crate) fn common_vermagic(files: &run::Files) -> Option<String> {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for file in files.values() {
        if let Ok(module) = ModuleFile::parse(file)
            && !module.vermagic.is_empty()
        {
            *seen.entry(module.vermagic.to_owned()).or_default() += 1;
        }
    }
    seen.into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(vermagic, _)| vermagic)
}

/// The release that a file was built for.
pub(crate) fn release_of(bytes: &[u8]) -> String {
    rehearse::release_of(bytes)
}
