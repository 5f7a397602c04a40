//! How the tour looks: 80 columns, and colour on a terminal only.

/// Columns of a line.
const WIDTH: usize = 80;
/// In front of what a command says.
const MARGIN: usize = 4;

/// Escape sequences, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub colour: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A chapter's head.
    pub(super) fn title(self, number: &str, title: &str) -> String {
        let line = format!("{number}  {title}");
        let rule = "-".repeat(line.chars().count());
        format!("{}\n{}", self.with("1;36", &line), self.with("36", &rule))
    }

    /// A command, as it would be typed.
    pub(super) fn command(self, text: &str) -> String {
        format!("  {}", self.with("1", &format!("$ {text}")))
    }

    /// A remark of the tour's own.
    pub(super) fn remark(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A line that a command said; what is not the program's own output is dim.
    pub(super) fn output(self, line: &str) -> String {
        if line.trim_start().starts_with("[log]") {
            self.with("33", line)
        } else if line.trim_start().starts_with("[lab]") {
            self.with("2", line)
        } else {
            line.to_owned()
        }
    }
}

/// A line with the margin, broken at blanks where it is too long; what follows hangs below the text.
pub(super) fn wrap(line: &str) -> Vec<String> {
    // The marks of log and lab stand in the margin.
    let line = line
        .strip_prefix("  [")
        .map_or_else(|| line.to_owned(), |l| format!("[{l}"));
    let indent = line.len() - line.trim_start().len();
    let mut room = WIDTH - MARGIN - indent;
    let mut lead = " ".repeat(MARGIN + indent);
    let mut lines = Vec::new();
    let mut rest = line.trim_start();
    while rest.chars().count() > room {
        let end = rest
            .char_indices()
            .nth(room)
            .map_or(rest.len(), |(at, _)| at);
        let at = if rest[end..].starts_with(' ') {
            end
        } else {
            let blank = rest[..end].rfind(' ').filter(|&at| at > 0);
            blank.unwrap_or(end)
        };
        lines.push(format!("{lead}{}", rest[..at].trim_end()));
        rest = rest[at..].trim_start();
        if lines.len() == 1 {
            lead.push_str("      ");
            room -= 6;
        }
    }
    lines.push(format!("{lead}{rest}").trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_nothing_is_lost() {
        let text = "  so: a finding of many words that goes on and on, up to the end of a line and well beyond the end of the next one, too";
        let lines = wrap(text);
        assert!(lines.len() > 1);
        assert!(
            lines.iter().all(|l| l.chars().count() <= WIDTH),
            "{lines:?}"
        );
        let words = |t: &str| t.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines.join(" ")), words(text));
    }

    #[test]
    fn a_word_longer_than_a_line_is_cut_where_a_character_ends() {
        for text in [
            "x".repeat(300),
            "ü".repeat(300),
            format!("a {}", "ß".repeat(200)),
        ] {
            let lines = wrap(&text);
            assert!(lines.iter().all(|l| l.chars().count() <= WIDTH));
            let all: String = lines.concat().split_whitespace().collect();
            assert_eq!(all, text.split_whitespace().collect::<String>());
        }
        assert_eq!(wrap(""), [""]);
    }
}
