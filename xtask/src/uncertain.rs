//! What a script says is not certain of its log (`uncertain` in docs/lab-script.md): lines whose place, number or
//! step depends on timing are compared by what is certain of them.

use crate::record::Record;

/// What of a line is left to timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Its place in the step's log.
    Order,
    /// Also how often it comes: never, or at least once.
    Count,
    /// Also in which step.
    Step,
    /// Also whether it comes at all.
    Whether,
}

/// One `uncertain` line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    what: What,
    pattern: String,
}

/// Those of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// Whether `line` is `pattern`, in which a `*` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == line;
    };
    let Some(mut left) = line.strip_prefix(head) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    true
}

impl Rules {
    /// Reads the `uncertain` lines of a script.
    ///
    /// # Errors
    /// For one that is not `uncertain order|count|step|whether "PATTERN"`.
    pub fn of_script(script: &str) -> Result<Rules, String> {
        let mut rules = Vec::new();
        for line in script.lines() {
            let Some(rest) = line.strip_prefix("uncertain ") else {
                continue;
            };
            let (what, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let what = match what {
                "order" => What::Order,
                "count" => What::Count,
                "step" => What::Step,
                "whether" => What::Whether,
                _ => return Err(format!("{line}: uncertain order, count, step or whether")),
            };
            let text = text.trim().strip_prefix('"');
            let pattern = text.and_then(|t| t.strip_suffix('"'));
            let pattern = pattern.filter(|p| !p.is_empty() && !p.contains(['"', '\\']));
            let pattern = pattern.ok_or_else(|| format!("{line}: a pattern in quotes"))?;
            rules.push(Rule {
                what,
                pattern: pattern.to_owned(),
            });
        }
        Ok(Rules(rules))
    }

    /// Takes the lines that rules speak of out of the log, and notes what is certain of them. A record that has been
    /// through this already stays as it is.
    pub fn apply(&self, record: &mut Record) {
        for step in &mut record.steps {
            let mut anywhere: Vec<(Option<usize>, String)> = Vec::new();
            let log = std::mem::take(&mut step.log);
            for line in log {
                // Numbers of processes are masked before, so a pattern sees what a record has.
                let Some(rule) = self.0.iter().find(|r| matches(&r.pattern, &line)) else {
                    step.log.push(line);
                    continue;
                };
                match rule.what {
                    What::Whether => {}
                    What::Step => record.ever.push(rule.pattern.clone()),
                    What::Order | What::Count => {
                        let count = (rule.what == What::Order).then_some(1);
                        let known = anywhere.iter_mut().find(|(_, text)| *text == rule.pattern);
                        match known {
                            Some((count, _)) => *count = count.map(|n| n + 1),
                            None => anywhere.push((count, rule.pattern.clone())),
                        }
                    }
                }
            }
            let lines = anywhere.into_iter().map(|(count, text)| match count {
                Some(count) => format!("{count} {text}"),
                None => format!("+ {text}"),
            });
            step.anywhere.extend(lines);
            step.anywhere.sort();
        }
        record.ever.sort();
        record.ever.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn patterns_are_whole_lines() {
        assert!(matches("a * c", "a b c"));
        assert!(matches("a * c", "a  c"));
        assert!(matches("*c", "abc"));
        assert!(matches("a*b*", "a1b2b3"));
        assert!(matches("ab", "ab"));
        assert!(!matches("ab", "abc"));
        assert!(!matches("a * c", "a b c d"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn only_what_is_certain_is_kept() {
        let rules = Rules::of_script(
            "uncertain order \"thread * has 0\"\nuncertain count \"busy\"\nuncertain step \"* missed\"\n\
             uncertain whether \"late\"\n",
        )
        .unwrap();
        let read = |log: &[&str]| {
            let log: String = log.iter().map(|l| format!("log {l}\n")).collect();
            let mut record = record::parse(&format!("@1 x\nret 0\n{log}")).unwrap();
            rules.apply(&mut record);
            record
        };
        let one = read(&["thread 1 has 0", "first", "busy", "thread 2 has 0", "last"]);
        let two = read(&[
            "late",
            "first",
            "busy",
            "busy",
            "thread 7 has 0",
            "thread 1 has 0",
            "last",
        ]);
        assert_eq!(one, two);
        assert_eq!(one.steps[0].log, ["first", "last"]);
        assert_eq!(one.steps[0].anywhere, ["+ busy", "2 thread * has 0"]);
        // What is certain still differs: how many, whether at all, the order of the rest.
        assert_ne!(one, read(&["first", "busy", "thread 1 has 0", "last"]));
        assert_ne!(
            one,
            read(&["first", "thread 1 has 0", "thread 2 has 0", "last"])
        );
        let other = ["thread 1 has 0", "last", "busy", "thread 2 has 0", "first"];
        assert_ne!(one, read(&other));
        assert_ne!(read(&["3 missed"]), read(&[]));
        assert_eq!(read(&["3 missed"]), read(&["3 missed", "4 missed"]));
        // A record that is kept is one that has been through it.
        let mut again = record::parse(&record::show(&one)).unwrap();
        rules.apply(&mut again);
        assert_eq!(again, one);
    }

    #[test]
    fn a_wrong_line_is_told() {
        for line in [
            "uncertain",
            "uncertain often \"x\"",
            "uncertain step x",
            "uncertain step \"\"",
        ] {
            assert_eq!(
                Rules::of_script(line).is_err(),
                line != "uncertain",
                "{line}"
            );
        }
    }
}
