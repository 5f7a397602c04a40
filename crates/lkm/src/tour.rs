//! `lkm tour`: the five stories, each told from a real run. A chapter is a lab script (modules/tour) whose comments are
//! the text between its steps; its expectations are what the text says, and a run that does not show it fails.

mod chapter;
mod paint;

use crate::lab::Done;
use crate::lab::script::{self, Command};
use crate::lab::session::{self, Session, Setup};
use crate::out::out;
use chapter::{CHAPTERS, Chapter, Piece};
use lkm_kernel::profile::Profile;
use paint::Paint;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::rc::Rc;

pub(crate) const HELP: &str = "\
usage: lkm tour [--list] [CHAPTER]...

Tells five stories of kernel modules that went wrong, from real runs of modules that are built into this program.

  CHAPTER       000 the inherited socket, 001 the oops and the rescue, 002 load and unload, 003 request_module
                and the mutex, 004 the thread that ended first (default: all of them)
  -l, --list    names the chapters
  -h, --help    this text

exit status: 0 done, 1 a run did not show what its chapter says, 2 no such chapter, or the lab cannot run here
";

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match options(args).and_then(|chapters| tell(&chapters)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("lkm tour: {message}");
            ExitCode::from(2)
        }
    }
}

/// The chapters that were asked for.
fn options(args: Vec<OsString>) -> Result<Vec<&'static Chapter>, String> {
    use lexopt::prelude::*;
    let mut chapters = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("list") | Short('l') => {
                for chapter in CHAPTERS {
                    out!("{}  {}\n", chapter.number, chapter.title());
                }
                std::process::exit(0);
            }
            Long("help") | Short('h') => {
                out!("{HELP}");
                std::process::exit(0);
            }
            Value(value) => {
                let name = value.to_string_lossy();
                let chapter = chapter::find(&name)
                    .ok_or_else(|| format!("no chapter {name}; `lkm tour --list` names them"))?;
                chapters.push(chapter);
            }
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    if chapters.is_empty() {
        chapters.extend(CHAPTERS);
    }
    Ok(chapters)
}

/// Tells chapters; whether all runs showed what the text says.
fn tell(chapters: &[&Chapter]) -> Result<bool, String> {
    let paint = Paint {
        colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let files: std::collections::BTreeMap<String, Rc<Vec<u8>>> = crate::examples::all()
        .map(|(name, bytes)| (format!("{name}.ko"), Rc::new(bytes.to_vec())))
        .collect();
    let vermagic = session::common_vermagic(&files);
    let release = vermagic.as_deref().and_then(|v| v.split(' ').next());
    let release = release.unwrap_or("6.1.0").to_owned();
    let setup = Setup {
        profile: Profile::for_release(&release),
        release,
        vermagic,
        crcs: None,
        boot: Vec::new(),
        files,
        tree: None,
        prompt: false,
    };
    let mut good = true;
    for (index, chapter) in chapters.iter().enumerate() {
        if index > 0 {
            out!("\n\n");
        }
        out!("{}\n\n", paint.title(chapter.number, chapter.title()));
        good &= Telling {
            paint,
            setup: setup.clone(),
            session: None,
            last: Done::default(),
            good: true,
        }
        .chapter(chapter)?;
    }
    Ok(good)
}

/// A chapter that is being told.
struct Telling {
    paint: Paint,
    setup: Setup,
    session: Option<Session>,
    last: Done,
    good: bool,
}

impl Telling {
    fn chapter(mut self, chapter: &Chapter) -> Result<bool, String> {
        let mut keep = Vec::new();
        let mut ran = false;
        for piece in chapter.pieces() {
            match piece {
                Piece::Text(text) => {
                    if ran {
                        ran = false;
                        out!("\n");
                    }
                    if !text.is_empty() {
                        out!("{text}\n");
                    }
                }
                Piece::Keep(texts) => keep = texts,
                Piece::Line(number, line) => {
                    let wrong = |why: String| format!("{} line {number}: {why}", chapter.number);
                    let Some((text, command)) = script::parse_line(line).map_err(wrong)? else {
                        continue;
                    };
                    if self.line(&text, &command, &keep, !ran).map_err(wrong)? {
                        ran = true;
                    }
                    if !matches!(command, Command::Expect(_)) {
                        keep.clear();
                    }
                }
            }
        }
        Ok(self.good)
    }

    /// Does a line; whether it was shown. `first`: it is the first behind a text.
    fn line(
        &mut self,
        text: &str,
        command: &Command,
        keep: &[&str],
        first: bool,
    ) -> Result<bool, String> {
        match command {
            Command::Profile(name) => {
                self.setup.profile =
                    Profile::named(name).ok_or_else(|| format!("no profile {name}"))?;
                self.session = None;
                if first {
                    out!("\n");
                }
                out!("{}\n", self.paint.remark(&format!("  (Linux {name})")));
                return Ok(true);
            }
            Command::Boot(_) | Command::Tree(_) => return Ok(false),
            _ => {}
        }
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(Session::start(&self.setup)?),
        };
        if let Command::Expect(expect) = command {
            let unmet = session
                .unmet(&self.last, expect)
                .map_err(|gone| gone.to_string())?;
            if let Some(why) = unmet {
                eprintln!("lkm tour: {text}: not met: {why}");
                self.good = false;
            }
            return Ok(false);
        }
        if first {
            out!("\n");
        }
        out!("{}\n", self.paint.command(text));
        let done = session
            .run(text, command)
            .map_err(|gone| format!("{text}: {gone}"))?;
        if let Some(done) = done {
            for line in shown(&done, keep) {
                for part in paint::wrap(&line) {
                    out!("{}\n", self.paint.output(&part));
                }
            }
            self.last = done;
        }
        Ok(true)
    }
}

/// The step's lines; where only some are wanted, dots stand for the others.
fn shown(done: &Done, keep: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left_out = false;
    for line in done.shown() {
        let boring = line.contains("loading out-of-tree module taints kernel")
            || line.contains("module verification failed");
        if boring {
            continue;
        }
        let lab = line.starts_with("  [lab]");
        if keep.is_empty() || lab || keep.iter().any(|text| line.contains(text)) {
            lines.push(line);
            left_out = false;
        } else if !left_out {
            lines.push("  [log] ...".to_owned());
            left_out = true;
        }
    }
    lines
}
