//! `trace`: who takes and puts a module's references from now on, by call site, through
//! a tracing instance of our own, which is taken away on every way out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

/// A reference taken or put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Seconds since the kernel started, as the trace writes them.
    pub time: String,
    /// The task: name and number.
    pub task: String,
    /// `get` or `put`; `load`, `free`, `request` as well.
    pub action: String,
    /// The function that did it, of which module.
    pub site: String,
    /// References afterwards, as lsmod counts them.
    pub refcount: Option<i64>,
    /// The call trace, innermost first.
    pub stack: Vec<String>,
}

impl Event {
    /// A task that the trace has no name for yet (`<...>-12`) still has one itself.
    fn name_task(&mut self, name: impl FnOnce(&str) -> Option<String>) {
        if let Some(pid) = self.task.strip_prefix("<...>-")
            && let Some(name) = name(pid)
        {
            self.task = format!("{name}-{pid}");
        }
    }
}

impl std::fmt::Display for Event {
    /// One line, without the stack.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.time, self.task, self.action)?;
        if let Some(count) = self.refcount {
            write!(f, " → {count}")?;
        }
        if !self.site.is_empty() {
            write!(f, " at {}", self.site)?;
        }
        Ok(())
    }
}

/// What happened at a call site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// References taken there.
    pub gets: u64,
    /// References put there.
    pub puts: u64,
}

/// Sums by call site.
pub type Table = BTreeMap<String, Sum>;

/// Adds an event to the table.
pub fn count(table: &mut Table, event: &Event) {
    match event.action.as_str() {
        "get" => table.entry(event.site.clone()).or_default().gets += 1,
        "put" => table.entry(event.site.clone()).or_default().puts += 1,
        _ => {}
    }
}

/// The table in words.
pub fn describe(table: &Table) -> String {
    let mut text = format!("{:>8} {:>8}  call site\n", "taken", "put");
    for (site, sum) in table {
        text.push_str(&format!("{:>8} {:>8}  {site}\n", sum.gets, sum.puts));
    }
    text
}

/// The prefix of our instances' names; the process's number follows.
const PREFIX: &str = "lkm-";

/// Events that have a module's name.
const EVENTS: [&str; 4] = ["module_get", "module_put", "module_load", "module_free"];

/// A tracing instance of our own. Dropping it removes it; should this process be killed
/// outright, its guard does.
pub struct Instance {
    path: PathBuf,
    guard: Option<(Child, ChildStdin)>,
    pipe: Option<File>,
    pending: Vec<u8>,
    parser: Parser,
}

/// Where tracefs is mounted.
fn tracefs() -> io::Result<&'static Path> {
    for place in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let place = Path::new(place);
        match fs::metadata(place.join("instances")) {
            Ok(_) => return Ok(place),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                let hint = match e.kind() {
                    io::ErrorKind::PermissionDenied => ": tracing needs root",
                    _ => "",
                };
                return Err(io::Error::new(
                    e.kind(),
                    format!("{}: {e}{hint}", place.display()),
                ));
            }
        }
    }
    Err(io::Error::other(
        "tracefs is not mounted or is locked down (mount -t tracefs tracefs /sys/kernel/tracing)",
    ))
}

impl Instance {
    /// Makes an instance that sees this module only. Instances of processes that have
    /// gone (killed outright, and their guards with them) are removed first. `guard` is a
    /// program that calls [`guard`] with the path it gets as its last argument.
    ///
    /// # Errors
    /// Without privilege, under lockdown, or on a kernel without the events.
    pub fn new(module: &str, guard: Option<Command>) -> io::Result<Instance> {
        let instances = tracefs()?.join("instances");
        for name in crate::proc::names(&instances) {
            let pid = name
                .strip_prefix(PREFIX)
                .and_then(|n| n.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                remove(&instances.join(name));
            }
        }
        let path = instances.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        // From here on, leaving by an error removes it again.
        let mut instance = Instance {
            path,
            guard: None,
            pipe: None,
            pending: Vec::new(),
            parser: Parser::default(),
        };
        if let Some(mut command) = guard {
            // A group of its own: what the terminal sends to us is not for it.
            let mut child = command
                .arg(&instance.path)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            instance.guard = child.stdin.take().map(|input| (child, input));
        }
        instance.set_up(module)?;
        Ok(instance)
    }

    fn set_up(&mut self, module: &str) -> io::Result<()> {
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
        };
        for event in EVENTS {
            let place = self.path.join("events/module").join(event);
            write(place.join("filter"), &format!("name==\"{module}\""))?;
            if event == "module_get" || event == "module_put" {
                write(place.join("trigger"), "stacktrace")?;
            }
            write(place.join("enable"), "1")?;
        }
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path.join("trace_pipe"))?;
        self.pipe = Some(pipe);
        Ok(())
    }

    /// The instance's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The events that have come since the last call. An event is complete when the next
    /// one begins or nothing follows it.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Event>> {
        let mut buffer = vec![0; 1 << 16];
        let mut events = Vec::new();
        let Some(pipe) = &mut self.pipe else {
            return Ok(events);
        };
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            events.extend(self.parser.line(String::from_utf8_lossy(&line).trim_end()));
        }
        // Nothing more has come for now: the last event has its stack.
        events.extend(self.parser.finish());
        for event in &mut events {
            event.name_task(|pid| crate::proc::line(format!("/proc/{pid}/comm")));
        }
        Ok(events)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // An open pipe would keep the instance busy.
        self.pipe = None;
        remove(&self.path);
        if let Some((mut child, input)) = self.guard.take() {
            drop(input);
            let _ = child.wait();
        }
    }
}

/// Waits until whoever writes to standard input has gone, and removes the instance if it
/// is still there: what the kernel cannot do for a process that is killed.
pub fn guard(path: &Path) {
    let ours = path
        .file_name()
        .and_then(|n| n.to_str())
        .and_then(|n| n.strip_prefix(PREFIX))
        .is_some_and(|n| n.parse::<u32>().is_ok());
    if !ours || path.parent().and_then(Path::file_name) != Some("instances".as_ref()) {
        return;
    }
    let mut rest = Vec::new();
    let _ = io::stdin().read_to_end(&mut rest);
    // The pipe of a process that is dying may be open for a moment longer than ours.
    for _ in 0..50 {
        if !path.exists() {
            return;
        }
        remove(path);
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn remove(path: &Path) {
    // Events and triggers of the instance go with it; a failure leaves nothing to do.
    let _ = fs::write(path.join("events/enable"), "0");
    for event in EVENTS {
        let _ = fs::write(
            path.join("events/module").join(event).join("trigger"),
            "!stacktrace",
        );
    }
    let _ = fs::remove_dir(path);
}

/// Reads the text of trace_pipe.
#[derive(Default)]
struct Parser {
    current: Option<Event>,
}

impl Parser {
    /// A line; an event that it completes.
    fn line(&mut self, line: &str) -> Option<Event> {
        if let Some(frame) = line.trim_start().strip_prefix("=> ") {
            if let Some(event) = &mut self.current {
                // The first frames are those of the tracing itself.
                if !frame.starts_with("trace_event_") {
                    event.stack.push(frame.trim().to_string());
                }
            }
            return None;
        }
        if line.contains("<stack trace>") {
            return None;
        }
        let event = event(line)?;
        self.current.replace(event)
    }

    fn finish(&mut self) -> Option<Event> {
        self.current.take()
    }
}

/// `insmod-97  [000] .....  12.345678: module_get: wchr call_site=f refcnt=2`.
fn event(line: &str) -> Option<Event> {
    let (before, after) = line.split_once(": module_")?;
    let (task, time) = (
        before.split('[').next()?.trim(),
        before.split_whitespace().next_back()?,
    );
    let (action, rest) = after.split_once(": ")?;
    let field = |name: &str| {
        let (_, value) = rest.split_once(&format!("{name}="))?;
        Some(value.split(" refcnt=").next().unwrap_or(value).trim())
    };
    let raw = field("refcnt").and_then(|n| n.parse::<i64>().ok());
    Some(Event {
        time: time.to_string(),
        task: task.to_string(),
        action: action.to_string(),
        site: field("call_site").unwrap_or("").to_string(),
        // The event shows the raw count, which has one for the module itself.
        refcount: raw.map(|n| n - 1),
        stack: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "            hold-98      [000] .....    12.345678: module_get: wchr call_site=misc_open+0x10/0x20 refcnt=2\n\
           hold-98      [000] .....    12.345680: <stack trace>\n \
        => misc_open\n => chrdev_open\n\
        kworker/0:1-9 [000] d.h..    13.5: module_put: wchr call_site=__fput refcnt=1\n";

    #[test]
    fn events_have_their_stacks() {
        let mut parser = Parser::default();
        let mut events: Vec<Event> = TEXT.lines().filter_map(|l| parser.line(l)).collect();
        events.extend(parser.finish());
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].task, "hold-98");
        assert_eq!(events[0].time, "12.345678");
        assert_eq!(events[0].site, "misc_open+0x10/0x20");
        assert_eq!(events[0].stack, ["misc_open", "chrdev_open"]);
        assert_eq!((events[0].refcount, events[1].refcount), (Some(1), Some(0)));
        assert_eq!(events[1].action, "put");
        let mut table = Table::new();
        events.iter().for_each(|e| count(&mut table, e));
        assert_eq!(table["__fput"], Sum { gets: 0, puts: 1 });
        assert!(describe(&table).contains("misc_open"));
    }

    #[test]
    fn a_task_without_a_name_is_named_by_itself() {
        let line = "   <...>-98   [000] .....  1.5: module_get: wchr call_site=misc_open refcnt=2";
        let mut named = event(line).expect("an event");
        let mut unnamed = named.clone();
        named.name_task(|pid| (pid == "98").then(|| "hold".into()));
        unnamed.name_task(|_| None);
        assert_eq!(named.task, "hold-98");
        assert_eq!(unnamed.task, "<...>-98");
        named.name_task(|_| panic!("it has a name"));
    }

    #[test]
    fn what_is_no_event_is_skipped() {
        let mut parser = Parser::default();
        for line in ["", "CPU:0 [LOST 3 EVENTS]", " => stray", "a: module_get"] {
            assert_eq!(parser.line(line), None);
        }
    }
}
