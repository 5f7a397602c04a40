//! Replay tokens: a run's list of answers, bound to what it was a run of. A token repeats the run exactly, or says why
//! it cannot.

use lkm_kernel::rehearse::{Answers, Plan};
use lkm_object::module::ModuleFile;
use lkm_trace::{Event, Trace};
use std::fmt;

/// Form of the token itself.
const FORM: u8 = 1;
/// What every token begins with, so that a reader sees what it is.
const PREFIX: &str = "lkm1-";
/// Longest token that is read.
const MAX_TOKEN: usize = 1 << 20;
/// Crockford's base 32: no letter is taken for a digit, and upper and lower case are the same.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// lkm's version.
    version: String,
    /// Digest of the options that shape a run: profile, release, cycles, parameters.
    options: u32,
    /// Digest of the identities of all modules, and of the image whose types are used.
    modules: u32,
}

/// Why a token does not repeat a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Not a token, or a damaged one.
    Garbled,
    /// Another version of lkm made it.
    Version(String),
    /// It is of other module files, or another kernel image.
    Module,
    /// It is of other options.
    Options,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Garbled => write!(f, "the replay token is garbled"),
            Unfit::Version(theirs) => write!(
                f,
                "the replay token was made by lkm {theirs}, this is {}",
                env!("CARGO_PKG_VERSION")
            ),
            Unfit::Module => write!(
                f,
                "the replay token is of another build of the module, of those it was loaded with, or of the kernel's image"
            ),
            Unfit::Options => write!(
                f,
                "the replay token was made with other options (parameters, --profile, --cycles, --probe)"
            ),
        }
    }
}

/// FNV-1a, which tells builds and options apart; it is no protection against forgery, and need not be.
fn digest(bytes: &[u8], mut hash: u64) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

const fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

impl Bound {
    /// What a run of `plan` is bound to. `kernel` names the rules, the release and the types.
    pub(super) fn new(plan: &Plan, kernel: &str) -> Bound {
        let mut options = digest(kernel.as_bytes(), BASIS);
        let mut modules = BASIS;
        options = digest(&plan.cycles.to_le_bytes(), options);
        options = digest(&[u8::from(plan.probe)], options);
        for input in plan.with.iter().chain([&plan.module]) {
            options = digest(input.params.as_bytes(), digest(&[0], options));
            let file = ModuleFile::parse(&input.image).ok();
            modules = match file.and_then(|f| f.build_id) {
                Some(id) => digest(id, modules),
                None => digest(&input.image, modules),
            };
            modules = digest(input.name.as_bytes(), modules);
        }
        Bound {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: fold(options),
            modules: fold(modules),
        }
    }

    /// The token of a run that answered so.
    pub(super) fn token(&self, answers: &[(u64, u64)]) -> String {
        let mut bytes = vec![FORM, self.version.len() as u8];
        bytes.extend_from_slice(self.version.as_bytes());
        bytes.extend_from_slice(&self.options.to_le_bytes());
        bytes.extend_from_slice(&self.modules.to_le_bytes());
        let mut last = 0;
        for &(number, answer) in answers {
            number_to(&mut bytes, number - last);
            number_to(&mut bytes, answer);
            last = number;
        }
        bytes.extend_from_slice(&fold(digest(&bytes, BASIS)).to_le_bytes());
        format!("{PREFIX}{}", encode(&bytes))
    }

    /// The answers of a token that is bound to this.
    pub(super) fn answers(&self, token: &str) -> Result<Vec<(u64, u64)>, Unfit> {
        let bytes = token
            .trim()
            .strip_prefix(PREFIX)
            .filter(|t| t.len() <= MAX_TOKEN)
            .and_then(decode)
            .ok_or(Unfit::Garbled)?;
        let (body, check) = bytes.split_last_chunk::<4>().ok_or(Unfit::Garbled)?;
        if fold(digest(body, BASIS)).to_le_bytes() != *check {
            return Err(Unfit::Garbled);
        }
        let [FORM, len, rest @ ..] = body else {
            return Err(Unfit::Garbled);
        };
        let (version, rest) = rest
            .split_at_checked(usize::from(*len))
            .ok_or(Unfit::Garbled)?;
        if version != self.version.as_bytes() {
            return Err(Unfit::Version(String::from_utf8_lossy(version).into()));
        }
        let (options, rest) = rest.split_first_chunk::<4>().ok_or(Unfit::Garbled)?;
        let (modules, mut rest) = rest.split_first_chunk::<4>().ok_or(Unfit::Garbled)?;
        if *modules != self.modules.to_le_bytes() {
            return Err(Unfit::Module);
        }
        if *options != self.options.to_le_bytes() {
            return Err(Unfit::Options);
        }
        let mut answers = Vec::new();
        let mut number = 0u64;
        while !rest.is_empty() {
            let step = number_from(&mut rest).ok_or(Unfit::Garbled)?;
            let answer = number_from(&mut rest).ok_or(Unfit::Garbled)?;
            number = number.checked_add(step).ok_or(Unfit::Garbled)?;
            answers.push((number, answer));
        }
        Ok(answers)
    }
}

/// The answers that a run gave, as its trace has them.
pub(super) fn answers_of(trace: &Trace) -> Vec<(u64, u64)> {
    let mut answers: Vec<(u64, u64)> = Vec::new();
    for event in &trace.events {
        // A hostile child may have written anything: only rising numbers are an order of questions.
        if let Event::Choice { number, answer, .. } = event
            && answers.last().is_none_or(|last| last.0 < *number)
        {
            answers.push((*number, *answer));
        }
    }
    answers
}

/// The source that gives a list of answers again.
pub(super) fn source(answers: Vec<(u64, u64)>) -> Answers {
    if answers.is_empty() {
        Answers::Plain
    } else {
        Answers::List(answers)
    }
}

/// Seven bits a byte, the lowest first.
fn number_to(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number_from(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    let (mut word, mut bits) = (0u32, 0);
    for &byte in bytes {
        word = (word << 8 | u32::from(byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(DIGITS[(word >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        out.push(char::from(DIGITS[(word << (5 - bits) & 31) as usize]));
    }
    out
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut word, mut bits) = (0u32, 0);
    for byte in text.bytes() {
        let digit = DIGITS
            .iter()
            .position(|d| *d == byte.to_ascii_lowercase())? as u32;
        word = (word << 5 | digit) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    // What is left over is padding, and nothing else.
    (bits < 5 && word & ((1 << bits) - 1) == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Bound {
        Bound {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            options: 0x1234_5678,
            modules: 0x9abc_def0,
        }
    }

    const ANSWERS: &[(u64, u64)] = &[(0, 5), (7, 1), (1 << 40, u64::MAX), (u64::MAX, 3)];

    #[test]
    fn a_token_gives_its_answers_back() {
        for answers in [&[][..], ANSWERS] {
            let token = bound().token(answers);
            assert_eq!(bound().answers(&token).unwrap(), answers);
            assert_eq!(
                bound()
                    .answers(&token.to_uppercase().replace("LKM1", "lkm1"))
                    .unwrap(),
                answers
            );
        }
    }

    #[test]
    fn every_changed_letter_is_garbled() {
        let token = bound().token(ANSWERS);
        for at in PREFIX.len()..token.len() {
            for other in ["0", "z", "!", "é"] {
                let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                if changed != token {
                    assert_eq!(bound().answers(&changed), Err(Unfit::Garbled), "{changed}");
                }
            }
            assert_eq!(bound().answers(&token[..at]), Err(Unfit::Garbled));
        }
    }

    #[test]
    fn what_it_is_bound_to_is_told() {
        let token = bound().token(ANSWERS);
        let other = Bound {
            modules: 1,
            ..bound()
        };
        assert_eq!(other.answers(&token), Err(Unfit::Module));
        let other = Bound {
            options: 1,
            ..bound()
        };
        assert_eq!(other.answers(&token), Err(Unfit::Options));
        let other = Bound {
            version: "0.0.1".into(),
            ..bound()
        };
        assert_eq!(
            bound().answers(&other.token(ANSWERS)),
            Err(Unfit::Version("0.0.1".into()))
        );
    }
}
