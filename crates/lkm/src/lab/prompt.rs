//! `lkm lab` without a script: a prompt on a terminal, or commands through a pipe. The kernel lives in a child and
//! keeps its state from command to command; when the child is gone, `reset` boots another.

use super::complete::Terminal;
use super::done::plain;
use super::files::{Sources, named};
use super::script::{self, Command, Step};
use super::session::{self, Gone, Session, Setup};
use super::{Done, Options, help, symvers};
use crate::out::out;
use lkm_kernel::profile::Profile;
use std::cell::RefCell;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::rc::Rc;

/// Longest line that is read from a pipe.
const MAX_LINE: u64 = 64 << 10;

/// A kernel and what the prompt knows of it.
pub(super) struct Prompt {
    setup: Setup,
    /// The user named a profile or a release: the first module does not choose it.
    chosen: bool,
    session: Option<Session>,
    pub(super) sources: Sources,
    last: Done,
    fresh: bool,
    colour: bool,
    /// An expectation was not met.
    unmet: bool,
}

/// What goes on after a line.
enum Next {
    Line,
    Quit,
}

/// Runs the prompt; status 1 when an expectation was not met.
pub(super) fn run(options: &Options) -> Result<ExitCode, String> {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut prompt = Prompt::new(options)?;
    prompt.colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    prompt.start()?;
    let prompt = Rc::new(RefCell::new(prompt));
    if terminal {
        lkm_machine::session::catch_interrupts();
        out!("{}\n", prompt.borrow().greeting());
        let mut input = Terminal::new(Rc::clone(&prompt))?;
        loop {
            let sign = format!("lkm {}> ", prompt.borrow().setup.profile.name);
            let Some(line) = input.line(&sign)? else {
                break;
            };
            if let Next::Quit = prompt.borrow_mut().line(&line) {
                break;
            }
        }
    } else {
        piped(&mut prompt.borrow_mut())?;
    }
    let unmet = prompt.borrow().unmet;
    Ok(ExitCode::from(u8::from(unmet)))
}

/// Commands from a pipe or file: each is shown before what it says.
fn piped(prompt: &mut Prompt) -> Result<(), String> {
    let mut input = std::io::stdin().lock();
    loop {
        let mut bytes = Vec::new();
        let mut limited = input.by_ref().take(MAX_LINE);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|e| e.to_string())?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() as u64 == MAX_LINE {
            return Err("a line is too long".into());
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        out!("$ {}\n", plain(line));
        let next = prompt.line(line);
        // What reads this may want it before the next command.
        std::io::stdout().flush().map_err(|e| e.to_string())?;
        if let Next::Quit = next {
            return Ok(());
        }
    }
}

impl Prompt {
    fn new(options: &Options) -> Result<Prompt, String> {
        let directory = options.modules.clone().unwrap_or_default();
        let mut sources = Sources::new(directory, options.base.clone());
        if let Some(release) = &options.kernel {
            sources.open_tree(release)?;
        }
        let files = sources.at_start();
        let common = session::common_vermagic(&files);
        let built_for = common.as_deref().and_then(|v| v.split(' ').next());
        let release = options
            .kernel
            .as_deref()
            .or(built_for)
            .unwrap_or("6.1.0")
            .to_owned();
        let profile = match &options.profile {
            Some(name) => Profile::named(name).ok_or_else(|| format!("no profile {name}"))?,
            None => Profile::for_release(&release),
        };
        Ok(Prompt {
            setup: Setup {
                profile,
                crcs: symvers(&release).map(Rc::new),
                release,
                vermagic: options.vermagic.clone(),
                boot: Vec::new(),
                files,
                tree: sources.tree.clone(),
                prompt: true,
            },
            chosen: options.profile.is_some() || options.kernel.is_some(),
            session: None,
            sources,
            last: Done::default(),
            fresh: true,
            colour: false,
            unmet: false,
        })
    }

    /// Boots a fresh kernel.
    fn start(&mut self) -> Result<(), String> {
        self.session = None;
        self.last = Done::default();
        self.fresh = true;
        self.session = Some(Session::start(&self.setup)?);
        Ok(())
    }

    fn greeting(&self) -> String {
        format!(
            "A kernel of your own, with the rules of Linux {}: no root, nothing to break. `help` lists the commands.\n\
             Try: insmod hello.ko, lsmod, why hello, rmmod hello, dmesg; `lkm tour` tells five stories.",
            self.setup.profile.name
        )
    }

    /// Modules in /proc/modules after the last step.
    pub(super) fn loaded(&self) -> Vec<String> {
        let rows = self.last.of("mod");
        rows.filter_map(|row| row.split(' ').next())
            .map(str::to_owned)
            .collect()
    }

    /// The names in a directory of the lab.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        self.session
            .as_mut()
            .map(|session| session.names(path))
            .unwrap_or_default()
    }

    /// One line, whatever it is; what it says is printed.
    fn line(&mut self, line: &str) -> Next {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["quit"] => return Next::Quit,
            ["help"] => out!("{}", help::list()),
            ["help", name] => match help::find(name) {
                Some(entry) => out!("{}", help::page(entry)),
                None => out!("lkm: {}: no such command; `help` lists them\n", plain(name)),
            },
            ["reset"] => self.restart(),
            _ => match script::parse_line(line) {
                Ok(Some((text, command))) => self.command(&text, &command),
                Ok(None) => {}
                Err(why) => out!("lkm: {}\n", plain(&why)),
            },
        }
        Next::Line
    }

    fn restart(&mut self) {
        match self.start() {
            Ok(()) => out!(
                "a fresh kernel, with the rules of Linux {}\n",
                self.setup.profile.name
            ),
            Err(why) => out!("lkm: {why}\n"),
        }
    }

    fn command(&mut self, text: &str, command: &Command) {
        match command {
            Command::Profile(name) => {
                match Profile::named(name) {
                    Some(profile) => {
                        self.setup.profile = profile;
                        self.chosen = true;
                        self.restart();
                    }
                    None => out!("lkm: no profile {name}; `help profile` lists them\n"),
                }
                return;
            }
            Command::Boot(words) => {
                self.setup.boot.clone_from(words);
                self.restart();
                return;
            }
            _ => {}
        }
        if self.session.is_none() {
            out!("lkm: there is no kernel: `reset` boots one\n");
            return;
        }
        if let Err(gone) = self.act(text, command) {
            self.session = None;
            out!("lkm: {gone}; `reset` boots a fresh kernel\n");
        }
    }

    fn act(&mut self, text: &str, command: &Command) -> Result<(), Gone> {
        self.give_files(command)?;
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        if let Command::Expect(expect) = command {
            match session.unmet(&self.last, expect)? {
                None => out!("met\n"),
                Some(why) => {
                    out!("not met: {why}\n");
                    self.unmet = true;
                }
            }
            return Ok(());
        }
        let Some(done) = session.run(text, command)? else {
            return Ok(());
        };
        self.show(&done);
        if matches!(command, Command::Step(Step::Findings(_))) {
            return Ok(());
        }
        if done.of("mod").next().is_some() {
            self.fresh = false;
        }
        self.last = done;
        Ok(())
    }

    /// Hands the child the files that the line names and that it does not have yet.
    fn give_files(&mut self, command: &Command) -> Result<(), Gone> {
        let mut wanted: Vec<(String, Rc<Vec<u8>>)> = Vec::new();
        for name in named(command) {
            if let Some(bytes) = self.sources.read(name) {
                wanted.push((name.to_owned(), bytes));
            }
        }
        match self.sources.take_directories(command) {
            Ok(files) => wanted.extend(files),
            Err(why) => out!("lkm: {why}\n"),
        }
        if let Some(tree) = &self.sources.tree
            && !self
                .setup
                .tree
                .as_ref()
                .is_some_and(|known| Rc::ptr_eq(known, tree))
        {
            self.setup.tree = Some(Rc::clone(tree));
            out!("  [lab] a fresh kernel, whose modprobe has that tree\n");
            if let Err(why) = self.start() {
                out!("lkm: {why}\n");
            }
        }
        self.adapt(&wanted);
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        for (name, bytes) in wanted {
            session.put(&name, bytes)?;
        }
        Ok(())
    }

    /// A kernel that has loaded nothing yet becomes that of the first module file.
    fn adapt(&mut self, files: &[(String, Rc<Vec<u8>>)]) {
        let Some((_, bytes)) = files.first().filter(|_| self.fresh && !self.chosen) else {
            return;
        };
        if lkm_object::module::ModuleFile::parse(bytes).is_err() {
            return;
        }
        let release = session::release_of(bytes);
        if release == self.setup.release {
            return;
        }
        self.setup.profile = Profile::for_release(&release);
        self.setup.crcs = symvers(&release).map(Rc::new);
        out!("  [lab] {release} is what it was built for: the kernel takes that release\n");
        self.setup.release = release;
        if let Err(why) = self.start() {
            out!("lkm: {why}\n");
        }
    }

    fn show(&self, done: &Done) {
        for line in done.shown() {
            if self.colour && line.starts_with("  [") {
                out!("\x1b[2m{line}\x1b[0m\n");
            } else {
                out!("{line}\n");
            }
        }
        if done.ret == "panic" {
            out!("  [lab] `reset` boots a fresh kernel\n");
        } else if done.ret.starts_with("signal") && done.of("log").any(|l| l.contains("Oops")) {
            out!(
                "  [lab] killed by an oops; the kernel goes on as a real one would, and `reset` boots a fresh one\n"
            );
        } else if done.ret.starts_with("blocked") {
            out!(
                "  [lab] it stays in the background: `ps` shows it, `kill` ends it where it can be ended\n"
            );
        }
    }
}
