//! The line editor of the prompt: history, and completion of commands, module files, modules and the lab's paths.

use super::help;
use super::prompt::Prompt;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// What completes a line.
pub(super) struct Completion {
    prompt: Rc<RefCell<Prompt>>,
}

/// What a line's word may be.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Command,
    File,
    Module,
    TreeModule,
    Path,
    Words(&'static [&'static str]),
    Nothing,
}

/// What the word after these may be.
fn wanted(before: &[&str], word: &str) -> Wanted {
    match before {
        [] => Wanted::Command,
        ["start" | "proc", _, rest @ ..] => wanted(rest, word),
        ["start" | "proc"] => Wanted::Nothing,
        ["insmod" | "modinfo" | "init_module" | "finit_module"] | ["tree", ..] => Wanted::File,
        ["modprobe", ..] => Wanted::TreeModule,
        ["rmmod", ..] | ["delete_module" | "why" | "findings"] => Wanted::Module,
        ["unload"] => Wanted::Words(&["--force"]),
        ["unload", "--force"] => Wanted::Module,
        ["cat" | "ls" | "open" | "write"] => Wanted::Path,
        ["echo", .., ">"] => Wanted::Path,
        ["help"] => Wanted::Command,
        ["trace"] => Wanted::Words(&["off", "on"]),
        ["as"] => Wanted::Words(&["nobody", "root"]),
        ["helpers"] => Wanted::Words(&["off", "on"]),
        ["reap"] => Wanted::Words(&["delay", "now", "reuse", "soon"]),
        ["profile"] => Wanted::Words(&["2.6.32", "3.0", "4.1", "4.4", "6.1", "6.12"]),
        ["expect"] => Wanted::Words(&["errno", "finding", "log", "module", "notes", "output"]),
        ["expect", "module"] => Wanted::Module,
        ["sysctl"] => Wanted::Words(&[
            "kernel.modprobe",
            "kernel.modules_disabled",
            "kernel.threads-max",
        ]),
        _ if word.starts_with('/') => Wanted::Path,
        _ => Wanted::Nothing,
    }
}

/// Everything that may stand where `line` ends, and where its last word begins.
pub(super) fn candidates(prompt: &mut Prompt, line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = line.split_at(start);
    let before: Vec<&str> = before.split_whitespace().collect();
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let all = match wanted(&before, word) {
        Wanted::Command => help::entries().map(|e| e.name.to_owned()).collect(),
        Wanted::File => prompt.sources.names(),
        Wanted::Module => prompt.loaded(),
        Wanted::TreeModule => {
            let files = prompt.sources.names();
            let mut names: Vec<String> = files
                .iter()
                .map(|f| f.trim_end_matches(".ko").to_owned())
                .collect();
            names.extend(prompt.sources.tree_names());
            names
        }
        Wanted::Path => {
            let directory = &word[..word.rfind('/').map_or(0, |at| at + 1)];
            let names = prompt.names(if directory.is_empty() { "/" } else { directory });
            names
                .iter()
                .map(|name| format!("{directory}{name}"))
                .collect()
        }
        Wanted::Words(words) => owned(words),
        Wanted::Nothing => Vec::new(),
    };
    let mut fitting: Vec<String> = all.into_iter().filter(|c| c.starts_with(word)).collect();
    fitting.sort();
    fitting.dedup();
    (start, fitting)
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Ok(mut prompt) = self.prompt.try_borrow_mut() else {
            return Ok((pos, Vec::new()));
        };
        let (start, words) = candidates(&mut prompt, &line[..pos]);
        let pairs = words.into_iter().map(|word| Pair {
            display: word.clone(),
            replacement: word,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// The editor on a terminal.
pub(super) struct Terminal {
    editor: Editor<Completion, FileHistory>,
    history: Option<PathBuf>,
}

/// Where history is kept: $XDG_STATE_HOME/lkm/history.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    Some(state.or_else(home)?.join("lkm/history"))
}

impl Terminal {
    pub(super) fn new(prompt: Rc<RefCell<Prompt>>) -> Result<Terminal, String> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .auto_add_history(true)
            .max_history_size(1000)
            .map_err(|e| e.to_string())?
            .build();
        let mut editor = Editor::with_config(config).map_err(|e| e.to_string())?;
        editor.set_helper(Some(Completion { prompt }));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        Ok(Terminal { editor, history })
    }

    /// A line; None at Ctrl-D. Ctrl-C gives an empty one.
    pub(super) fn line(&mut self, prompt: &str) -> Result<Option<String>, String> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(path) = &self.history {
            // History is a comfort: where it cannot be kept it is not.
            if let Some(directory) = path.parent() {
                let _ = std::fs::create_dir_all(directory);
            }
            let _ = self.editor.save_history(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_follows_from_the_words_before() {
        assert_eq!(wanted(&[], "ins"), Wanted::Command);
        assert_eq!(wanted(&["insmod"], ""), Wanted::File);
        assert_eq!(wanted(&["start", "a", "rmmod"], ""), Wanted::Module);
        assert_eq!(wanted(&["echo", "1", ">"], "/pr"), Wanted::Path);
        assert_eq!(wanted(&["insmod", "a.ko"], "x="), Wanted::Nothing);
        assert_eq!(wanted(&["unload", "--force"], ""), Wanted::Module);
    }
}
