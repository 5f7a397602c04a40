//! Chapters as their files have them: a lab script in which `#!` is the title, `#` a line of the text, and `#| "A" "B"`
//! says that of the next step's log only lines with one of these are shown.

/// A chapter.
pub(super) struct Chapter {
    /// Its number: three digits.
    pub number: &'static str,
    text: &'static str,
}

/// All of them, in order.
pub(super) const CHAPTERS: &[Chapter] = &[
    Chapter {
        number: "000",
        text: include_str!("../../../../modules/tour/000.lab"),
    },
    Chapter {
        number: "001",
        text: include_str!("../../../../modules/tour/001.lab"),
    },
    Chapter {
        number: "002",
        text: include_str!("../../../../modules/tour/002.lab"),
    },
    Chapter {
        number: "003",
        text: include_str!("../../../../modules/tour/003.lab"),
    },
    Chapter {
        number: "004",
        text: include_str!("../../../../modules/tour/004.lab"),
    },
];

/// The chapter of a number, with or without its leading zeros.
pub(super) fn find(name: &str) -> Option<&'static Chapter> {
    let number: usize = name.parse().ok()?;
    CHAPTERS.get(number)
}

/// A part of a chapter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line of the text; empty between paragraphs.
    Text(&'a str),
    /// What to show of the next step's lines.
    Keep(Vec<&'a str>),
    /// A line of the script, and its number.
    Line(usize, &'a str),
}

impl Chapter {
    /// Its title.
    pub(super) fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("#!").trim()
    }

    /// Its parts, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'static>> {
        self.text
            .lines()
            .enumerate()
            .filter_map(|(index, line)| piece(index + 1, line))
    }
}

fn piece(number: usize, line: &str) -> Option<Piece<'_>> {
    if line.is_empty() || line.starts_with("#!") {
        return None;
    }
    if let Some(texts) = line.strip_prefix("#|") {
        let texts = texts.split('"').skip(1).step_by(2);
        return Some(Piece::Keep(texts.collect()));
    }
    Some(match line.strip_prefix('#') {
        Some(text) => Piece::Text(text.strip_prefix(' ').unwrap_or(text)),
        None => Piece::Line(number, line),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::script;

    #[test]
    fn chapters_are_scripts_with_titles_text_and_expectations() {
        for (index, chapter) in CHAPTERS.iter().enumerate() {
            assert_eq!(chapter.number, format!("{index:03}"));
            assert!(!chapter.title().is_empty());
            let mut expects = 0;
            for piece in chapter.pieces() {
                match piece {
                    Piece::Text(text) => assert!(text.chars().count() <= 80, "{text}"),
                    Piece::Keep(texts) => assert!(!texts.is_empty()),
                    Piece::Line(number, line) => {
                        let parsed = script::parse_line(line);
                        assert!(matches!(parsed, Ok(Some(_))), "{number}: {parsed:?}");
                        expects += usize::from(line.starts_with("expect "));
                    }
                }
            }
            assert!(
                expects >= 8,
                "{} expects {expects} things only",
                chapter.number
            );
            let last = chapter.pieces().last();
            assert!(
                matches!(last, Some(Piece::Text(_))),
                "{} ends with what to do next",
                chapter.number
            );
        }
        assert_eq!(find("4").map(|c| c.number), Some("004"));
        assert_eq!(find("001").map(|c| c.number), Some("001"));
        assert!(find("005").is_none() && find("x").is_none());
    }

    #[test]
    fn directives_are_told_from_text() {
        assert_eq!(
            piece(1, "#| \"a b\" \"c\""),
            Some(Piece::Keep(vec!["a b", "c"]))
        );
        assert_eq!(piece(1, "#"), Some(Piece::Text("")));
        assert_eq!(piece(1, "#  x"), Some(Piece::Text(" x")));
        assert_eq!(piece(7, "lsmod"), Some(Piece::Line(7, "lsmod")));
    }
}
