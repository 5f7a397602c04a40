//! Queries: the configuration, and the symbols of a module.

use super::{Done, Fail, Session};
use crate::bytes;
use crate::catalog::{IndexKind, ModuleId};
use crate::config::modprobe::Softdep;
use crate::depmod::facts;
use crate::emit;
use crate::errno::Errno;
use crate::json::Json;
use crate::symbols;

/// `-c`
pub fn config(s: &mut Session<'_, '_>) -> Done {
    if s.r.json {
        return config_json(s);
    }
    let mut text = Vec::new();
    let c = &s.catalog.config;
    let mut line = |parts: &[&[u8]]| {
        text.extend_from_slice(&parts.join(&b' '));
        text.push(b'\n');
    };
    for b in &c.blacklists {
        line(&[b"blacklist", b]);
    }
    for (word, list) in [(&b"install"[..], &c.install), (b"remove", &c.remove)] {
        for i in list {
            line(&[word, &i.pattern, &i.command]);
        }
    }
    for a in &c.aliases {
        line(&[b"alias", &a.pattern, &a.module]);
    }
    for o in &c.options {
        line(&[b"options", &o.module, &o.text]);
    }
    for d in &c.softdeps {
        line(&[b"softdep", &d.pattern, &softdep_text(d)]);
    }
    for w in &c.weakdeps {
        let weak: Vec<&[u8]> = w.weak().collect();
        line(&[b"weakdep", &w.pattern, &weak.join(&b' ')]);
    }
    for d in &c.deny {
        if d.reason.is_empty() {
            line(&[b"deny", &d.pattern]);
        } else {
            line(&[b"deny", &d.pattern, &d.reason]);
        }
    }
    for a in &c.allow {
        line(&[b"allow", a]);
    }
    for d in &c.directories {
        line(&[b"directory", d]);
    }
    text.extend_from_slice(b"\n# End of configuration files. Dumping indexes now:\n\n");
    s.print(text)?;
    for kind in [IndexKind::Alias, IndexKind::Symbols] {
        if let Some(index) = s.catalog.index(0, kind)
            && let Err(e) = index.dump(s.out, "alias ")
        {
            s.log.error(e.to_string());
            return Err(Fail::Error(Errno::EIO));
        }
    }
    Ok(())
}

fn softdep_text(d: &Softdep) -> Vec<u8> {
    let mut words: Vec<&[u8]> = Vec::new();
    for (label, names) in [
        (&b"pre:"[..], d.pre().collect::<Vec<_>>()),
        (b"post:", d.post().collect()),
    ] {
        if !names.is_empty() {
            words.push(label);
            words.extend(names);
        }
    }
    words.join(&b' ')
}

fn config_json(s: &mut Session<'_, '_>) -> Done {
    let c = &s.catalog.config;
    let mut j = Json::new();
    j.open('{');
    j.list("blacklist", &c.blacklists);
    for (name, list) in [("install", &c.install), ("remove", &c.remove)] {
        j.begin(name, '[');
        for i in list {
            j.open('{');
            j.pair("module", &i.pattern);
            j.pair("command", &i.command);
            j.close('}');
        }
        j.end(']');
    }
    j.begin("alias", '[');
    for a in &c.aliases {
        j.open('{');
        j.pair("pattern", &a.pattern);
        j.pair("module", &a.module);
        j.close('}');
    }
    j.end(']');
    j.begin("options", '[');
    for o in &c.options {
        j.open('{');
        j.pair("module", &o.module);
        j.pair("options", o.text.trim_ascii());
        j.close('}');
    }
    j.end(']');
    j.begin("softdep", '[');
    for d in &c.softdeps {
        j.open('{');
        j.pair("module", &d.pattern);
        j.list("pre", d.pre());
        j.list("post", d.post());
        j.close('}');
    }
    j.end(']');
    j.begin("weakdep", '[');
    for w in &c.weakdeps {
        j.open('{');
        j.pair("module", &w.pattern);
        j.list("weak", w.weak());
        j.close('}');
    }
    j.end(']');
    j.begin("deny", '[');
    for d in &c.deny {
        j.open('{');
        j.pair("module", &d.pattern);
        j.pair("reason", &d.reason);
        j.pair("file", &d.file);
        j.raw("line", d.line);
        j.close('}');
    }
    j.end(']');
    j.list("allow", &c.allow);
    j.list("directory", &c.directories);
    j.close('}');
    let text = j.finish();
    s.print(text)
}

/// `--show-modversions`: the imported symbols.
pub fn modversions(s: &mut Session<'_, '_>, given: &[u8]) -> Done {
    each(s, given, "modversions", &|image| symbols::versions(image))
}

/// `--show-exports`
pub fn exports(s: &mut Session<'_, '_>, given: &[u8]) -> Done {
    each(s, given, "symbols", &|image| {
        let facts = facts::from_image(image, false).map_err(|_| Errno::EINVAL)?;
        if facts.exports.is_empty() && !symbols::may_export(image) {
            return Err(Errno::ENODATA);
        }
        Ok(facts
            .exports
            .iter()
            .map(|e| (e.crc, facts.get(e.name).to_vec()))
            .collect())
    })
}

type Symbols = Vec<(u64, Vec<u8>)>;

fn each(
    s: &mut Session<'_, '_>,
    given: &[u8],
    what: &str,
    read: &dyn Fn(&[u8]) -> Result<Symbols, Errno>,
) -> Done {
    let mut result = Ok(());
    for m in s.modules(given)? {
        result = match image(s, m).and_then(|image| read(&image)) {
            Ok(all) => {
                let mut text = Vec::new();
                for (crc, name) in all {
                    let _ = emit!(text, format!("0x{crc:08x}\t"), name, "\n");
                }
                s.print(text)
            }
            Err(e) => {
                let name = s.catalog.name(m).to_vec();
                let text = bytes!("could not get ", what, " of ", name, ": ", e.text());
                Err(s.fatal(text, e))
            }
        };
        if matches!(result, Err(Fail::Exit)) {
            return result;
        }
    }
    result
}

fn image(s: &mut Session<'_, '_>, m: ModuleId) -> Result<Vec<u8>, Errno> {
    let path = s.catalog.path(m).ok_or(Errno::ENOENT)?;
    symbols::read_image(s.catalog.fs, &path)
}
