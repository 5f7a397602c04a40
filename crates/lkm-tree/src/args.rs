//! Options as rows of a table, and their parsing as getopt_long(3) does it.
//!
//! Help, man pages and completions are printed from the same rows
//! ([`crate::docs`]).

/// An option of a tool.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub short: Option<u8>,
    /// Names it; empty where there is only the short form.
    pub long: &'static str,
    /// What its argument is called, if it takes one.
    pub arg: Option<&'static str>,
    /// One sentence; empty for names that are not shown.
    pub help: &'static str,
    /// Not kmod's. It cannot be abbreviated, so that no abbreviation of
    /// kmod's options becomes ambiguous.
    pub ours: bool,
}

/// An option with kmod's names.
pub const fn opt(short: u8, long: &'static str, help: &'static str) -> Opt {
    Opt {
        short: if short == 0 { None } else { Some(short) },
        long,
        arg: None,
        help,
        ours: false,
    }
}

impl Opt {
    /// With an argument.
    pub const fn arg(mut self, name: &'static str) -> Opt {
        self.arg = Some(name);
        self
    }

    /// Not kmod's.
    pub const fn ours(mut self) -> Opt {
        self.ours = true;
        self
    }
}

/// A tool, as its user sees it.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    /// What it does, in half a sentence.
    pub summary: &'static str,
    /// What follows the name, one line each.
    pub usage: &'static [&'static str],
    pub options: &'static [Opt],
    /// Paragraphs of the man page: a heading (empty for more of the same) and
    /// a text.
    pub manual: &'static [(&'static str, &'static str)],
    /// Options end at the first argument.
    pub posix: bool,
}

/// What parsing yields, in order. After an error nothing follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The long name (or the short one where there is no long), and argument.
    Opt(&'static str, Option<Vec<u8>>),
    /// Without the program's name.
    Error(Vec<u8>),
}

/// A command line, taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    pub events: Vec<Event>,
    /// What is not an option.
    pub rest: Vec<Vec<u8>>,
}

/// Parses arguments (without the program's name). With `posix`, or where the
/// tool says so, options end at the first other argument.
pub fn parse(tool: &Tool, args: &[Vec<u8>], posix: bool) -> Parsed {
    let mut out = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match &arg[..] {
            b"--" => {
                out.rest.extend(args.cloned());
                break;
            }
            [b'-', b'-', long @ ..] => match parse_long(tool, long, &mut args) {
                Ok(e) => out.events.push(e),
                Err(e) => {
                    out.events.push(Event::Error(e));
                    break;
                }
            },
            [b'-', short @ ..] if !short.is_empty() => {
                if let Err(e) = parse_short(tool, short, &mut args, &mut out.events) {
                    out.events.push(Event::Error(e));
                    break;
                }
            }
            _ => {
                out.rest.push(arg.clone());
                if posix || tool.posix {
                    out.rest.extend(args.cloned());
                    break;
                }
            }
        }
    }
    out
}

fn quote(before: &str, what: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), what, after.as_bytes()].concat()
}

fn parse_long(
    tool: &Tool,
    text: &[u8],
    args: &mut std::slice::Iter<'_, Vec<u8>>,
) -> Result<Event, Vec<u8>> {
    let (name, value) = match text.iter().position(|&c| c == b'=') {
        Some(at) => (&text[..at], Some(text[at + 1..].to_vec())),
        None => (text, None),
    };
    let rows = || tool.options.iter().filter(|o| !o.long.is_empty());
    let exact = rows().find(|o| o.long.as_bytes() == name);
    let found = match exact {
        Some(o) => o,
        None => {
            let near: Vec<&Opt> = rows()
                .filter(|o| !o.ours && o.long.as_bytes().starts_with(name))
                .collect();
            // Names that mean the same are not ambiguous.
            let same = |a: &Opt, b: &Opt| a.short.is_some() && a.short == b.short;
            match near.first().copied() {
                None => return Err(quote("unrecognized option '--", text, "'")),
                Some(first) if near.iter().skip(1).all(|o| same(first, o)) => first,
                Some(_) => {
                    let mut e = quote("option '--", text, "' is ambiguous; possibilities:");
                    for o in near {
                        e.extend_from_slice(format!(" '--{}'", o.long).as_bytes());
                    }
                    return Err(e);
                }
            }
        }
    };
    let long = found.long.as_bytes();
    match (found.arg, value) {
        (None, None) => Ok(Event::Opt(found.long, None)),
        (None, Some(_)) => Err(quote("option '--", long, "' doesn't allow an argument")),
        (Some(_), Some(v)) => Ok(Event::Opt(found.long, Some(v))),
        (Some(_), None) => match args.next() {
            Some(v) => Ok(Event::Opt(found.long, Some(v.clone()))),
            None => Err(quote("option '--", long, "' requires an argument")),
        },
    }
}

fn parse_short(
    tool: &Tool,
    mut text: &[u8],
    args: &mut std::slice::Iter<'_, Vec<u8>>,
    out: &mut Vec<Event>,
) -> Result<(), Vec<u8>> {
    while let [c, rest @ ..] = text {
        let Some(found) = tool.options.iter().find(|o| o.short == Some(*c)) else {
            return Err(quote("invalid option -- '", &[*c], "'"));
        };
        text = rest;
        let value = match found.arg {
            None => None,
            Some(_) if !rest.is_empty() => {
                text = &[];
                Some(rest.to_vec())
            }
            Some(_) => match args.next() {
                Some(v) => Some(v.clone()),
                None => return Err(quote("option requires an argument -- '", &[*c], "'")),
            },
        };
        out.push(Event::Opt(found.long, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool {
        name: "t",
        summary: "",
        usage: &[],
        options: &[
            opt(b'r', "remove", "x"),
            opt(0, "remove-holders", "x"),
            opt(b'i', "ignore-install", "x"),
            opt(b'i', "ignore-remove", "x"),
            opt(b'C', "config", "x").arg("PATH"),
            opt(0, "remote", "x").ours(),
        ],
        manual: &[],
        posix: false,
    };

    fn show(args: &[&str], posix: bool) -> String {
        let args: Vec<Vec<u8>> = args.iter().map(|a| a.as_bytes().to_vec()).collect();
        let p = parse(&TOOL, &args, posix);
        let mut out = Vec::new();
        for e in p.events {
            out.push(match e {
                Event::Opt(name, None) => name.to_string(),
                Event::Opt(name, Some(v)) => format!("{name}={}", String::from_utf8_lossy(&v)),
                Event::Error(e) => format!("!{}", String::from_utf8_lossy(&e)),
            });
        }
        out.push("|".into());
        out.extend(
            p.rest
                .iter()
                .map(|r| String::from_utf8_lossy(r).into_owned()),
        );
        out.join(" ")
    }

    #[test]
    fn as_getopt_long() {
        assert_eq!(
            show(&["a", "-rC", "x", "-Cy", "--conf=z", "b"], false),
            "remove config=x config=y config=z | a b"
        );
        assert_eq!(show(&["a", "-r"], true), "| a -r");
        assert_eq!(show(&["-r", "--", "-r"], false), "remove | -r");
        assert_eq!(show(&["--ignore", "-"], false), "ignore-install | -");
        assert_eq!(show(&["--remove"], false), "remove |");
        assert_eq!(
            show(&["--rem"], false),
            "!option '--rem' is ambiguous; possibilities: '--remove' '--remove-holders' |"
        );
        assert_eq!(
            show(&["--remot"], false),
            "!unrecognized option '--remot' |"
        );
        assert_eq!(show(&["--remote"], false), "remote |");
        assert_eq!(show(&["-x"], false), "!invalid option -- 'x' |");
        assert_eq!(
            show(&["-C"], false),
            "!option requires an argument -- 'C' |"
        );
        assert_eq!(
            show(&["--con"], false),
            "!option '--config' requires an argument |"
        );
        assert_eq!(
            show(&["--rem=1"], false),
            "!option '--rem=1' is ambiguous; possibilities: '--remove' '--remove-holders' |"
        );
        assert_eq!(
            show(&["--remove=1"], false),
            "!option '--remove' doesn't allow an argument |"
        );
    }
}
