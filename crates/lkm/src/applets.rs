//! The kmod tools, by symbolic link or as `lkm modprobe ...`, and what comes
//! with them: `lkm graph`, `lkm man`, `lkm completions`.

use crate::out::out;
use crate::pages;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use lkm_live::kernel::LiveKernel;
use lkm_live::shell::system;
use lkm_tree::args::Tool;
use lkm_tree::errno::Errno;
use lkm_tree::fs::OpenFile;
use lkm_tree::kernel::{Compression, DeleteFlags, InsertFlags, Kernel, Loaded, Parameter, State};
use lkm_tree::{docs, tools};

/// The running kernel, which also says who keeps a module.
struct Telling(LiveKernel);

type Done<T> = Result<T, Errno>;

impl Kernel for Telling {
    fn release(&self) -> Done<Vec<u8>> {
        self.0.release()
    }

    fn insert_file(&self, file: &dyn OpenFile, params: &[u8], flags: InsertFlags) -> Done<()> {
        self.0.insert_file(file, params, flags)
    }

    fn insert_image(&self, image: &[u8], params: &[u8]) -> Done<()> {
        self.0.insert_image(image, params)
    }

    fn delete(&self, name: &[u8], flags: DeleteFlags) -> Done<()> {
        self.0.delete(name, flags)
    }

    fn loaded(&self) -> Done<Vec<Loaded>> {
        self.0.loaded()
    }

    fn state(&self, name: &[u8]) -> Done<State> {
        self.0.state(name)
    }

    fn refcnt(&self, name: &[u8]) -> Done<i64> {
        self.0.refcnt(name)
    }

    fn holders(&self, name: &[u8]) -> Done<Vec<Vec<u8>>> {
        self.0.holders(name)
    }

    fn attribute(&self, name: &[u8], attribute: &str) -> Done<Vec<u8>> {
        self.0.attribute(name, attribute)
    }

    fn parameters(&self, name: &[u8]) -> Done<Vec<Parameter>> {
        self.0.parameters(name)
    }

    fn command_line(&self) -> Done<Vec<u8>> {
        self.0.command_line()
    }

    fn compression(&self) -> Result<Compression, Vec<u8>> {
        self.0.compression()
    }

    fn refusal(&self, error: Errno) -> Option<String> {
        self.0.refusal(error)
    }

    fn why(&self, name: &[u8]) -> Vec<String> {
        match lkm_live::why(&String::from_utf8_lossy(name)) {
            Ok(Some(why)) => why.to_string().lines().map(str::to_string).collect(),
            // What cannot be seen was no part of the question.
            Ok(None) | Err(_) => Vec::new(),
        }
    }
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Runs the tool that this process was called as, if it was.
pub fn run() -> Option<ExitCode> {
    tools::main(&Telling(LiveKernel), system).map(code)
}

/// `lkm graph`
pub fn graph(args: Vec<OsString>) -> ExitCode {
    let args: Vec<Vec<u8>> = args.into_iter().map(OsStringExt::into_vec).collect();
    code(tools::with_world(
        &LiveKernel,
        system,
        b"lkm graph".into(),
        |world| tools::graph::run(world, &args),
    ))
}

/// What `lkm graph --help` prints.
pub fn graph_help() -> String {
    docs::help(&tools::graph::GRAPH, "lkm graph")
}

pub(crate) const MAN: &str = "\
usage: lkm man COMMAND

Prints the source of the manual page of one of lkm's commands, or of a kmod tool as lkm has it; for instance
lkm man modprobe | man -l -

  -h, --help   this text

exit status: 0 printed, 2 no such command
";

/// `lkm man COMMAND`: the page's source.
pub fn man(args: Vec<OsString>) -> ExitCode {
    let name = args.first().and_then(|a| a.to_str()).unwrap_or("");
    if let Some(tool) = tools::find(name).map(|a| &a.tool) {
        out!("{}", docs::man(tool));
    } else if name == "graph" {
        out!("{}", docs::man(&tools::graph::GRAPH));
    } else if let Some(command) = crate::COMMANDS.iter().find(|c| c.name == name) {
        let text = (command.text)();
        out!("{}", pages::man(command.name, command.help, &text));
    } else {
        eprintln!("lkm man: whose page? `lkm help` lists the commands");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

pub(crate) const COMPLETIONS: &str = "\
usage: lkm completions bash|zsh|fish

Prints a completion script for lkm's commands and the kmod tools; for instance
lkm completions bash > /etc/bash_completion.d/lkm

  -h, --help   this text

exit status: 0 printed, 2 no such shell
";

/// `lkm completions SHELL`
pub fn completions(args: Vec<OsString>) -> ExitCode {
    let all: Vec<&Tool> = tools::TOOLS.iter().map(|a| &a.tool).collect();
    let texts: Vec<_> = crate::COMMANDS.iter().map(|c| (c.text)()).collect();
    let rows: Vec<pages::Row<'_>> = crate::COMMANDS
        .iter()
        .zip(&texts)
        .map(|(c, text)| (c.name, c.help, text.as_ref()))
        .collect();
    let shell = args.first().and_then(|a| a.to_str()).unwrap_or("");
    let (Some(tools), Some(own)) = (
        docs::completions(&all, shell),
        pages::completions(&rows, shell),
    ) else {
        eprintln!("lkm completions: for which shell? bash, zsh or fish");
        return ExitCode::from(2);
    };
    match tools.strip_suffix("esac\n") {
        // zsh has one file, which looks at the name it is called for.
        Some(cases) => {
            let cases = cases.replacen("#compdef ", "#compdef lkm ", 1);
            out!("{cases}{own}esac\n");
        }
        None => out!("{tools}{own}"),
    }
    ExitCode::SUCCESS
}
