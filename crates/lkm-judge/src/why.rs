//! The answer to "who keeps this module loaded", and what became of an unload: plain
//! data with its text and JSON forms, the same from the running kernel and from the lab.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Version of the JSON form of [`Why`] and [`Unload`]. It grows when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// How deep the answer looked. Later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// State, count and holders, as /proc/modules and sysfs show them.
    State,
    /// What user space shows of files, mounts, sockets, devices and tables.
    Inventory,
    /// The kernel's own structures.
    Walk,
}

impl Depth {
    /// The word used in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Depth::State => "state",
            Depth::Inventory => "inventory",
            Depth::Walk => "walk",
        }
    }
}

/// Something that holds references to the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// What sort of user: `holder`, `file`, `mapping`, `in-flight`, `socket`, `mount`, …
    pub kind: String,
    /// The thing itself: a path, a device, a socket, an interface.
    pub object: String,
    /// Who has it: process, thread, namespace, or the part of the kernel.
    pub holder: String,
    /// References it accounts for.
    pub count: u64,
    /// How to give them back.
    pub release: String,
}

/// Something that does not pin the module but goes, or breaks, when it is unloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// `interface`, `irq`, `timer`, `notifier`, `thread`, `device`, `pointer`, …
    pub kind: String,
    /// Its name.
    pub object: String,
    /// What happens to it.
    pub effect: String,
    /// True when the kernel is expected to crash unless the module's exit takes it away.
    pub fatal: bool,
}

/// A depth, or a part of one, that could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// What was not looked at.
    pub what: String,
    /// Why not, and what would help.
    pub reason: String,
}

/// The whole answer about one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Version of this form.
    pub schema: u32,
    /// The module's name.
    pub module: String,
    /// `live`, `coming` or `going`, as /sys/module/NAME/initstate says.
    pub state: String,
    /// References as lsmod counts them; -1 while the module is going.
    pub refcount: i64,
    /// Of these, how many `refs` account for.
    pub explained: u64,
    /// Who holds them.
    pub refs: Vec<Reference>,
    /// References left without an owner (negative: more owners found than references).
    pub unexplained: i64,
    /// What would go or break with the module.
    pub not_pinned: Vec<Loss>,
    /// How deep this looked.
    pub depth: Depth,
    /// True when something prevents an ordinary unload now.
    pub pinned: bool,
    /// What the state means, the oops behind it, and the likely reason of the unexplained.
    pub notes: Vec<String>,
    /// What to do next.
    pub next: Vec<String>,
    /// What could not be seen.
    pub limits: Vec<Limit>,
}

impl Why {
    /// An answer with nothing found yet.
    pub fn new(module: &str, state: &str, refcount: i64) -> Why {
        Why {
            schema: SCHEMA,
            module: module.to_string(),
            state: state.to_string(),
            refcount,
            explained: 0,
            refs: Vec::new(),
            unexplained: refcount.max(0),
            not_pinned: Vec::new(),
            depth: Depth::State,
            pinned: refcount != 0 || state != "live",
            notes: Vec::new(),
            next: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Recomputes the budget from `refs`.
    pub fn settle(&mut self) {
        self.explained = self.refs.iter().map(|r| r.count).sum();
        let explained = i64::try_from(self.explained).unwrap_or(i64::MAX);
        self.unexplained = self.refcount.max(0).saturating_sub(explained);
    }

    /// The answer as one JSON object.
    pub fn json(&self) -> String {
        // Strings, numbers and lists only: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.refcount.max(0);
        let plural = if count == 1 {
            "reference"
        } else {
            "references"
        };
        writeln!(
            f,
            "{}: {}, {count} {plural}, {} explained (depth: {})",
            self.module,
            self.state,
            self.explained,
            self.depth.name()
        )?;
        for r in &self.refs {
            writeln!(f, "  {} × {}: {}", r.count, r.kind, r.object)?;
            if !r.holder.is_empty() {
                writeln!(f, "      held by {}", r.holder)?;
            }
            if !r.release.is_empty() {
                writeln!(f, "      release: {}", r.release)?;
            }
        }
        match self.unexplained {
            0 => {}
            n if n > 0 => writeln!(f, "  {n} × unexplained")?,
            n => writeln!(f, "  {} more users than references: the picture moved", -n)?,
        }
        section(f, "note", &self.notes)?;
        if !self.not_pinned.is_empty() {
            writeln!(f, "  not pinned, but unloading takes it away or breaks it:")?;
            for loss in &self.not_pinned {
                let mark = if loss.fatal { "  (!)" } else { "" };
                writeln!(
                    f,
                    "    {} {}: {}{mark}",
                    loss.kind, loss.object, loss.effect
                )?;
            }
        }
        section(f, "next", &self.next)?;
        for limit in &self.limits {
            writeln!(f, "  not seen: {}: {}", limit.what, limit.reason)?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    for line in lines {
        writeln!(f, "  {title}: {line}")?;
    }
    Ok(())
}

/// How an unload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnloadEnd {
    /// The module is gone.
    Gone,
    /// It is still there, for a stated reason.
    Refused,
    /// Nothing was tried: privilege, lockdown, unreadable structures.
    Cannot,
    /// A dry run: nothing stands in the way.
    Possible,
    /// The rescue module was written for another machine.
    Written,
}

/// What `unload` found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unload {
    /// Version of this form.
    pub schema: u32,
    /// The module's name.
    pub module: String,
    /// How it ended.
    pub end: UnloadEnd,
    /// Each step in the order it was made.
    pub steps: Vec<String>,
    /// Why it was refused, with the advice.
    pub refusals: Vec<String>,
    /// What is dangerous but does not forbid it.
    pub warnings: Vec<String>,
    /// Pointers into the module found in the kernel, and the call that usually removes each.
    pub leftovers: Vec<Loss>,
    /// Who holds the module, before anything was done.
    pub why: Option<Why>,
}

impl Unload {
    /// Nothing done yet.
    pub fn new(module: &str) -> Unload {
        Unload {
            schema: SCHEMA,
            module: module.to_string(),
            end: UnloadEnd::Cannot,
            steps: Vec::new(),
            refusals: Vec::new(),
            warnings: Vec::new(),
            leftovers: Vec::new(),
            why: None,
        }
    }

    /// The report as one JSON object.
    pub fn json(&self) -> String {
        // As above: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The exit status of the command: 0 gone (or possible), 1 refused, 2 cannot.
    pub fn status(&self) -> u8 {
        match self.end {
            UnloadEnd::Gone | UnloadEnd::Possible | UnloadEnd::Written => 0,
            UnloadEnd::Refused => 1,
            UnloadEnd::Cannot => 2,
        }
    }
}

impl fmt::Display for Unload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for step in &self.steps {
            writeln!(text, "  {step}")?;
        }
        for loss in &self.leftovers {
            writeln!(
                text,
                "  leftover: {} {}: {}",
                loss.kind, loss.object, loss.effect
            )?;
        }
        for warning in &self.warnings {
            writeln!(text, "  warning: {warning}")?;
        }
        for refusal in &self.refusals {
            writeln!(text, "  refused: {refusal}")?;
        }
        let end = match self.end {
            UnloadEnd::Gone => "gone",
            UnloadEnd::Refused => "not unloaded",
            UnloadEnd::Cannot => "could not be tried",
            UnloadEnd::Possible => "can be freed (dry run: nothing was changed)",
            UnloadEnd::Written => "rescue module written (nothing was changed here)",
        };
        write!(f, "{}: {end}\n{text}", self.module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(count: u64) -> Reference {
        Reference {
            kind: "file".into(),
            object: "/dev/x".into(),
            holder: "pid 7 (cat), fd 3".into(),
            count,
            release: "close it, or kill 7".into(),
        }
    }

    #[test]
    fn the_budget_is_what_the_references_say() {
        let mut why = Why::new("x", "live", 3);
        why.refs.push(reference(2));
        why.settle();
        assert_eq!((why.explained, why.unexplained, why.pinned), (2, 1, true));
        let text = why.to_string();
        assert!(
            text.contains("x: live, 3 references, 2 explained"),
            "{text}"
        );
        assert!(text.contains("1 × unexplained"), "{text}");
    }

    /// The fields of a table of docs/json.md, by its heading.
    fn documented(heading: &str) -> Vec<String> {
        let text = include_str!("../../../docs/json.md");
        let head = format!("\n## {heading}\n");
        let part = text.split(&head).nth(1).unwrap_or_default();
        let part = part.split("\n## ").next().unwrap_or_default();
        let mut fields: Vec<String> = part
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .map(str::to_string)
            .collect();
        fields.sort();
        fields
    }

    fn keys(value: &serde_json::Value) -> Vec<String> {
        let object = value.as_object().expect("an object");
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_documented_fields_are_those_of_the_json() {
        let mut why = Why::new("x", "live", 1);
        why.refs.push(reference(1));
        why.not_pinned.push(Loss {
            kind: "irq".into(),
            object: "7".into(),
            effect: "is handled".into(),
            fatal: true,
        });
        why.settle();
        let value: serde_json::Value = serde_json::from_str(&why.json()).expect("our own JSON");
        assert_eq!(keys(&value), documented("Why"));
        assert_eq!(keys(&value["refs"][0]), documented("Reference"));
        assert_eq!(keys(&value["not_pinned"][0]), documented("Loss"));
        assert_eq!(value["depth"], "state");
        let mut unload = Unload::new("x");
        unload.why = Some(why);
        let value: serde_json::Value = serde_json::from_str(&unload.json()).expect("ours");
        assert_eq!(keys(&value), documented("Unload"));
        assert_eq!(keys(&value["why"]), documented("Why"));
        for end in [UnloadEnd::Gone, UnloadEnd::Refused, UnloadEnd::Cannot] {
            unload.end = end;
            let text = unload.json();
            assert!(text.contains(r#""end":""#), "{text}");
        }
    }

    #[test]
    fn a_going_module_has_no_references_to_explain() {
        let mut why = Why::new("x", "going", -1);
        why.settle();
        assert_eq!((why.unexplained, why.pinned), (0, true));
    }
}
