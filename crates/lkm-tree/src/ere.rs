//! POSIX extended regular expressions, as far as kernel versions need them:
//! `depmod.d` matches versions with `regcomp(3)`.
//!
//! Compiled to a small machine whose states run side by side, so that no
//! pattern takes more than its own length times the text's.

/// The most states a pattern may need.
const STATES_MAX: usize = 10_000;
/// The deepest nesting of groups.
const DEPTH_MAX: usize = 50;

/// A pattern that `regcomp` would refuse too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

#[derive(Clone, Debug)]
enum Op {
    Class(Box<[bool; 256]>),
    Start,
    End,
    /// To both.
    Split(usize, usize),
    Jump(usize),
    Match,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Ere {
    ops: Vec<Op>,
}

#[derive(Clone)]
enum Ast {
    Empty,
    Class(Box<[bool; 256]>),
    Start,
    End,
    Cat(Vec<Ast>),
    Alt(Vec<Ast>),
    Repeat(Box<Ast>, usize, Option<usize>),
}

impl Ere {
    pub fn compile(pattern: &[u8]) -> Result<Ere, BadPattern> {
        let mut p = Parser {
            text: pattern,
            at: 0,
            depth: 0,
        };
        let ast = p.alternatives()?;
        if p.at != pattern.len() {
            return Err(BadPattern);
        }
        let mut ops = Vec::new();
        emit(&ast, &mut ops)?;
        ops.push(Op::Match);
        Ok(Ere { ops })
    }

    /// Whether the expression matches anywhere in the text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        let mut now: Vec<usize> = Vec::new();
        let mut seen = vec![usize::MAX; self.ops.len()];
        for at in 0..=text.len() {
            // A match may begin at every place.
            if self.follow(0, at, text.len(), &mut now, &mut seen) {
                return true;
            }
            let Some(&c) = text.get(at) else { return false };
            let mut next = Vec::new();
            for &s in &now {
                if let Op::Class(set) = &self.ops[s]
                    && set[usize::from(c)]
                    && self.follow(s + 1, at + 1, text.len(), &mut next, &mut seen)
                {
                    return true;
                }
            }
            now = next;
        }
        false
    }

    /// Adds the states reachable without a character; true when matched.
    fn follow(
        &self,
        from: usize,
        at: usize,
        len: usize,
        states: &mut Vec<usize>,
        seen: &mut [usize],
    ) -> bool {
        let mut todo = vec![from];
        while let Some(s) = todo.pop() {
            if std::mem::replace(&mut seen[s], at) == at {
                continue;
            }
            match self.ops[s] {
                Op::Match => return true,
                Op::Class(_) => states.push(s),
                Op::Start if at == 0 => todo.push(s + 1),
                Op::End if at == len => todo.push(s + 1),
                Op::Start | Op::End => {}
                Op::Split(a, b) => todo.extend([b, a]),
                Op::Jump(a) => todo.push(a),
            }
        }
        false
    }
}

fn emit(ast: &Ast, ops: &mut Vec<Op>) -> Result<(), BadPattern> {
    if ops.len() > STATES_MAX {
        return Err(BadPattern);
    }
    match ast {
        Ast::Empty => {}
        Ast::Class(set) => ops.push(Op::Class(set.clone())),
        Ast::Start => ops.push(Op::Start),
        Ast::End => ops.push(Op::End),
        Ast::Cat(parts) => {
            for p in parts {
                emit(p, ops)?;
            }
        }
        Ast::Alt(parts) => {
            let mut ends = Vec::new();
            for (i, p) in parts.iter().enumerate() {
                if i + 1 < parts.len() {
                    let split = ops.len();
                    ops.push(Op::Match);
                    emit(p, ops)?;
                    ends.push(ops.len());
                    ops.push(Op::Match);
                    ops[split] = Op::Split(split + 1, ops.len());
                } else {
                    emit(p, ops)?;
                }
            }
            for e in ends {
                ops[e] = Op::Jump(ops.len());
            }
        }
        Ast::Repeat(inner, min, max) => {
            for _ in 0..*min {
                emit(inner, ops)?;
            }
            match max {
                None => {
                    let split = ops.len();
                    ops.push(Op::Match);
                    emit(inner, ops)?;
                    ops.push(Op::Jump(split));
                    ops[split] = Op::Split(split + 1, ops.len());
                }
                Some(max) => {
                    let mut splits = Vec::new();
                    for _ in *min..*max {
                        splits.push(ops.len());
                        ops.push(Op::Match);
                        emit(inner, ops)?;
                    }
                    for s in splits {
                        ops[s] = Op::Split(s + 1, ops.len());
                    }
                }
            }
        }
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

fn single(c: u8) -> Ast {
    let mut set = Box::new([false; 256]);
    set[usize::from(c)] = true;
    Ast::Class(set)
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn alternatives(&mut self) -> Result<Ast, BadPattern> {
        let mut all = vec![self.sequence()?];
        while self.peek() == Some(b'|') {
            self.at += 1;
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Ast::Alt(all)
        })
    }

    fn sequence(&mut self) -> Result<Ast, BadPattern> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            if c == b'|' || (c == b')' && self.depth > 0) {
                break;
            }
            let atom = self.atom()?;
            parts.push(self.repeats(atom)?);
        }
        Ok(if parts.is_empty() {
            Ast::Empty
        } else {
            Ast::Cat(parts)
        })
    }

    fn atom(&mut self) -> Result<Ast, BadPattern> {
        let c = self.peek().ok_or(BadPattern)?;
        self.at += 1;
        Ok(match c {
            b'^' => Ast::Start,
            b'$' => Ast::End,
            b'.' => Ast::Class(Box::new([true; 256])),
            b'[' => Ast::Class(self.bracket()?),
            b'(' => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(BadPattern);
                }
                let inner = self.alternatives()?;
                if self.peek() != Some(b')') {
                    return Err(BadPattern);
                }
                self.at += 1;
                self.depth -= 1;
                inner
            }
            b'*' | b'+' | b'?' | b'{' => return Err(BadPattern),
            b'\\' => {
                let e = self.peek().ok_or(BadPattern)?;
                self.at += 1;
                single(e)
            }
            c => single(c),
        })
    }

    fn repeats(&mut self, mut atom: Ast) -> Result<Ast, BadPattern> {
        loop {
            let (min, max) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => {
                    self.at += 1;
                    let min = self.number()?;
                    let max = match self.peek() {
                        Some(b',') => {
                            self.at += 1;
                            if self.peek() == Some(b'}') {
                                None
                            } else {
                                Some(self.number()?)
                            }
                        }
                        _ => Some(min),
                    };
                    if self.peek() != Some(b'}') || max.is_some_and(|m| m < min) {
                        return Err(BadPattern);
                    }
                    (min, max)
                }
                _ => return Ok(atom),
            };
            self.at += 1;
            atom = Ast::Repeat(Box::new(atom), min, max);
        }
    }

    fn number(&mut self) -> Result<usize, BadPattern> {
        let mut n = None;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            n = Some(n.unwrap_or(0) * 10 + usize::from(c - b'0'));
            // RE_DUP_MAX is 32767; nothing here needs as much.
            if n > Some(255) {
                return Err(BadPattern);
            }
        }
        n.ok_or(BadPattern)
    }

    fn bracket(&mut self) -> Result<Box<[bool; 256]>, BadPattern> {
        let negate = self.peek() == Some(b'^');
        if negate {
            self.at += 1;
        }
        let mut set = Box::new([false; 256]);
        let mut first = true;
        loop {
            let c = self.peek().ok_or(BadPattern)?;
            self.at += 1;
            match c {
                b']' if !first => break,
                b'[' if self.peek() == Some(b':') => {
                    let rest = &self.text[self.at + 1..];
                    let end = rest.windows(2).position(|w| w == b":]").ok_or(BadPattern)?;
                    for v in 0..=255u8 {
                        let pattern = [b"[[:", &rest[..end], b":]]"].concat();
                        set[usize::from(v)] |= crate::fnmatch::fnmatch(&pattern, &[v]);
                    }
                    self.at += 1 + end + 2;
                }
                lo => {
                    let range = self.peek() == Some(b'-')
                        && !matches!(self.text.get(self.at + 1), None | Some(b']'));
                    let hi = if range {
                        self.at += 2;
                        self.text[self.at - 1]
                    } else {
                        lo
                    };
                    if hi < lo {
                        return Err(BadPattern);
                    }
                    for v in lo..=hi {
                        set[usize::from(v)] = true;
                    }
                }
            }
            first = false;
        }
        if negate {
            for v in set.iter_mut() {
                *v = !*v;
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(p: &str, t: &str) -> bool {
        Ere::compile(p.as_bytes()).unwrap().is_match(t.as_bytes())
    }

    #[test]
    fn versions() {
        assert!(m("6.1", "6.1.0-56-amd64"));
        assert!(m("^6\\.1\\.[0-9]+-", "6.1.0-56-amd64"));
        assert!(!m("^6\\.1$", "6.1.0"));
        assert!(m("(5|6)\\.(1|12)(\\..*)?$", "6.12"));
        assert!(m("^[[:digit:]]{1,2}\\.", "12.3"));
        assert!(!m("^[^6]", "6.1"));
        assert!(m("a|", "zzz"));
        assert!(m("amd64$", "6.1.0-56-amd64"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for p in [
            "*",
            "a(",
            "[a",
            "a{2",
            "a{3,1}",
            "\\",
            "((((a){250}){250}){250}){250}",
        ] {
            assert!(Ere::compile(p.as_bytes()).is_err(), "{p}");
        }
        assert!(Ere::compile(&b"(".repeat(100_000)).is_err());
    }

    #[test]
    fn nothing_is_exponential() {
        assert!(!m(
            &format!("{}{}$", "a?".repeat(100), "a".repeat(101)),
            &"a".repeat(100)
        ));
    }
}
