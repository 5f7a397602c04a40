//! modinfo(8): what a module says of itself.

use super::{Applet, MODULE_DIRECTORY, World};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::catalog::{Catalog, ModuleId};
use crate::config::Config;
use crate::emit;
use crate::errno::Errno;
use crate::fs::Kind;
use crate::json::Json;
use crate::log::Log;
use crate::modinfo::{Field, Info, build_id, field, hex, read};
use crate::text::has_module_extension;

pub static MODINFO: Applet = Applet {
    tool: Tool {
        name: "modinfo",
        summary: "show information about modules",
        usage: &["[options] MODULE|FILE..."],
        options: &[
            opt(b'a', "author", "Print only 'author'"),
            opt(b'd', "description", "Print only 'description'"),
            opt(b'l', "license", "Print only 'license'"),
            opt(b'p', "parameters", "Print only 'parm'"),
            opt(b'n', "filename", "Print only 'filename'"),
            opt(b'0', "null", "End lines with NUL instead of newline"),
            opt(
                b'm',
                "modname",
                "Take arguments for names, not aliases or files",
            ),
            opt(b'F', "field", "Print only this field").arg("FIELD"),
            opt(b'k', "set-version", "Use VERSION instead of $(uname -r)").arg("VERSION"),
            opt(
                b'b',
                "basedir",
                "Use DIR as file system root for /lib/modules",
            )
            .arg("DIR"),
            opt(0, "json", "Print JSON").ours(),
            opt(
                0,
                "extra-dir",
                "Look in DIR/VERSION for modules that are nowhere else",
            )
            .arg("DIR")
            .ours(),
            opt(
                0,
                "check",
                "Say whether the loaded module is the one in the file",
            )
            .ours(),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[
            (
                "Description",
                "Shows what modules say of themselves: of files, of names and aliases, and of \
                 modules that are part of the kernel. The signature is shown, not verified.",
            ),
            (
                "",
                "--check compares the build-id (or the srcversion) of the loaded module with its \
                 file's; the exit status is 0 when they are the same.",
            ),
        ],
        posix: false,
    },
    run,
};

struct Session<'s, 'a> {
    catalog: Catalog<'a>,
    out: &'s mut dyn std::io::Write,
    log: Log<'s>,
    field: Option<Vec<u8>>,
    separator: u8,
    by_name: bool,
    json: Option<Json>,
    check: bool,
}

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&MODINFO.tool, args);
    let (mut field, mut separator, mut by_name) = (None, b'\n', false);
    let (mut version, mut root) = (None, Vec::new());
    let (mut json, mut check) = (false, false);
    let mut extra = Vec::new();
    for event in &parsed.events {
        if let Some(code) = world.common_option(&MODINFO.tool, event) {
            return code;
        }
        let Event::Opt(name, value) = event else {
            continue;
        };
        let value = value.clone().unwrap_or_default();
        match *name {
            "author" | "description" | "license" | "filename" => field = Some((*name).into()),
            "parameters" => field = Some(b"parm".to_vec()),
            "null" => separator = 0,
            "modname" => by_name = true,
            "field" => field = Some(value),
            "set-version" => version = Some(value),
            "basedir" => root = value,
            "json" => json = true,
            "check" => check = true,
            "extra-dir" => extra.push(value),
            _ => {}
        }
    }
    if parsed.rest.is_empty() {
        world.log().error("missing module or filename.");
        return 1;
    }
    let version = match version.map_or_else(|| world.kernel.release(), Ok) {
        Ok(v) => v,
        Err(e) => {
            world.log().error(format!("uname() failed: {e}"));
            return 1;
        }
    };
    let dirname = bytes!(root, MODULE_DIRECTORY, "/", version);
    if dirname.len() >= crate::text::PATH_MAX {
        world
            .log()
            .error(bytes!("bad directory ", dirname, ": path too long"));
        return 1;
    }
    let Ok(dirname) = world.fs.absolute(&dirname) else {
        world.log().error("kmod_new() failed!");
        return 1;
    };
    let (fs, kernel, program) = (world.fs, world.kernel, world.program());
    let mut catalog = Catalog::new(fs, kernel, dirname, Config::default());
    for d in extra {
        catalog.add_directory(bytes!(d, "/", version));
    }
    let mut s = Session {
        catalog,
        out: &mut *world.out,
        log: Log {
            program,
            limit: crate::log::Level::WARNING,
            syslog: false,
            host: world.host,
            err: &mut *world.err,
        },
        field,
        separator,
        by_name,
        json: json.then(Json::new),
        check,
    };
    if let Some(j) = &mut s.json {
        j.open('[');
    }
    let mut code = 0;
    for given in &parsed.rest {
        let done = s.argument(given);
        for e in std::mem::take(&mut s.catalog.errors) {
            s.log.error(e);
        }
        if done.is_err() {
            code = 1;
        }
    }
    let mut written = Ok(());
    if let Some(mut j) = s.json.take() {
        j.close(']');
        written = emit!(s.out, j.finish());
    }
    code.max(world.finish(written))
}

impl Session<'_, '_> {
    fn argument(&mut self, given: &[u8]) -> Result<(), Errno> {
        if self.by_name {
            let Some(id) = self.catalog.lookup_name(given) else {
                self.log.error(bytes!("Module name ", given, " not found."));
                return Err(Errno::ENOENT);
            };
            return self.module(id);
        }
        let is_file = || {
            self.catalog
                .fs
                .stat(given)
                .is_ok_and(|st| st.kind == Kind::File)
        };
        if has_module_extension(given) && is_file() {
            let id = self.catalog.by_path(given).inspect_err(|_| {
                self.log.error(bytes!("Module file ", given, " not found."));
            })?;
            return self.module(id);
        }
        let found = self.catalog.lookup(given).inspect_err(|_| {
            self.log
                .error(bytes!("Module alias ", given, " not found."));
        })?;
        if found.is_empty() {
            self.log.error(bytes!("Module ", given, " not found."));
            return Err(Errno::ENOENT);
        }
        let mut result = Ok(());
        for id in found {
            if let Err(e) = self.module(id) {
                result = Err(e);
            }
        }
        result
    }

    fn line(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Errno> {
        let text = bytes!(format!("{key:<16}"), value, [self.separator]);
        Ok(emit!(self.out, text)?)
    }

    fn value(&mut self, value: impl AsRef<[u8]>) -> Result<(), Errno> {
        Ok(emit!(self.out, value, [self.separator])?)
    }

    fn info(&mut self, id: ModuleId, path: Option<&[u8]>) -> Result<Info, Errno> {
        match path {
            Some(path) => {
                let file = self.catalog.fs.open(path)?;
                read(&*file).map_err(|e| match e {
                    crate::sparse::SparseError::Io(e) => e,
                    e => e.errno(),
                })
            }
            None => {
                let strings = self.catalog.builtin_modinfo(id)?;
                let fields = strings.iter().map(|s| field(s)).collect();
                Ok(Info {
                    fields,
                    ..Info::default()
                })
            }
        }
    }

    fn module(&mut self, id: ModuleId) -> Result<(), Errno> {
        let name = self.catalog.name(id).to_vec();
        let path = self.catalog.path(id);
        if self.check {
            return self.compare(id, &name, path.as_deref());
        }
        let shown = path.clone().unwrap_or_else(|| b"(builtin)".into());
        let wanted = self.field.clone();
        if self.json.is_none() {
            match wanted.as_deref() {
                None => {
                    if path.is_none() {
                        self.line("name:", &name)?;
                    }
                    self.line("filename:", &shown)?;
                }
                Some(b"filename") => return self.value(&shown),
                Some(b"name") if path.is_none() => self.value(&name)?,
                Some(_) => {}
            }
        }
        let info = match self.info(id, path.as_deref()) {
            Ok(info) => info,
            // A kernel from before there was that file.
            Err(Errno::ENOENT) if path.is_none() => return Ok(()),
            Err(e) => {
                let text = bytes!("could not get modinfo from '", name, "': ", e.text());
                self.log.error(text);
                return Err(e);
            }
        };
        if let Some(j) = &mut self.json {
            describe(j, &name, path.as_deref(), &info, wanted.as_deref());
            return Ok(());
        }
        match wanted.as_deref() {
            Some(b"parm") => self.parameters_only(&info),
            Some(f) => {
                for (_, value) in info.lines().iter().filter(|(k, _)| k == f) {
                    self.value(value)?;
                }
                Ok(())
            }
            None => self.all(&info),
        }
    }

    fn all(&mut self, info: &Info) -> Result<(), Errno> {
        for (key, value) in info.lines() {
            if key == b"parm" || key == b"parmtype" {
                continue;
            }
            if self.separator == 0 {
                emit!(self.out, key, "=", value, "\0")?;
            } else {
                let pad = " ".repeat(15usize.saturating_sub(key.len()));
                emit!(self.out, key, ":", pad, value, "\n")?;
            }
        }
        for p in self.parameters(info) {
            let text = match (&p.text, &p.kind) {
                (None, kind) => bytes!(p.name, ":", kind.unwrap_or(b"")),
                (Some(text), Some(kind)) => bytes!(p.name, ":", text, " (", kind, ")"),
                (Some(text), None) => bytes!(p.name, ":", text),
            };
            self.line("parm:", text)?;
        }
        Ok(())
    }

    fn parameters_only(&mut self, info: &Info) -> Result<(), Errno> {
        for p in self.parameters(info) {
            let text = match (&p.text, &p.kind) {
                (None, kind) => bytes!(p.name, ": (", kind.unwrap_or(b""), ")"),
                (Some(text), Some(kind)) => bytes!(p.name, ":", text, " (", kind, ")"),
                (Some(text), None) => bytes!(p.name, ":", text),
            };
            self.value(text)?;
        }
        Ok(())
    }

    /// The parameters, the one named last first, as kmod has them.
    fn parameters<'i>(&mut self, info: &'i Info) -> Vec<Parm<'i>> {
        let (mut all, bad) = parameters(&info.fields);
        for (key, value) in bad {
            self.log.error(bytes!(
                "Found invalid \"",
                key,
                "=",
                value,
                "\": missing ':'"
            ));
        }
        all.reverse();
        all
    }

    fn compare(&mut self, id: ModuleId, name: &[u8], path: Option<&[u8]>) -> Result<(), Errno> {
        let kernel = self.catalog.kernel;
        let Some(path) = path else {
            emit!(self.out, name, ": builtin\n")?;
            return Ok(());
        };
        let file = self.info(id, Some(path)).inspect_err(|e| {
            let text = bytes!("could not get modinfo from '", name, "': ", e.text());
            self.log.error(text);
        })?;
        if let Err(e) = kernel.state(name) {
            emit!(self.out, name, ": not loaded\n")?;
            return Err(e);
        }
        let loaded_id = kernel
            .attribute(name, "notes/.note.gnu.build-id")
            .ok()
            .and_then(|n| build_id(&n, cfg!(target_endian = "big")).map(<[u8]>::to_vec));
        let (what, loaded, filed) = match (loaded_id, &file.build_id) {
            (Some(l), Some(f)) => ("build-id", hex(&l), hex(f)),
            _ => {
                let source = kernel.attribute(name, "srcversion").unwrap_or_default();
                let of_file = file.fields.iter().find(|(k, _)| k == b"srcversion");
                let of_file = of_file.map(|(_, v)| v.clone()).unwrap_or_default();
                ("srcversion", source.trim_ascii().to_vec(), of_file)
            }
        };
        if loaded.is_empty() || filed.is_empty() {
            emit!(
                self.out,
                name,
                ": cannot tell (no build-id and no srcversion)\n"
            )?;
            return Err(Errno::ENODATA);
        }
        if loaded == filed {
            emit!(
                self.out,
                name,
                ": loaded from ",
                path,
                " (same ",
                what,
                " ",
                loaded,
                ")\n"
            )?;
            return Ok(());
        }
        emit!(self.out, name, ": not the module in ", path, "\n")?;
        emit!(self.out, "  loaded ", what, ": ", loaded, "\n")?;
        emit!(self.out, "  file ", what, ":   ", filed, "\n")?;
        Err(Errno::EINVAL)
    }
}

/// A parameter, from `parm=` and `parmtype=`.
struct Parm<'i> {
    name: &'i [u8],
    text: Option<&'i [u8]>,
    kind: Option<&'i [u8]>,
}

/// In the order in which they are first named; and what is none.
fn parameters(fields: &[Field]) -> (Vec<Parm<'_>>, Vec<&Field>) {
    let mut all: Vec<Parm<'_>> = Vec::new();
    let mut bad = Vec::new();
    let mut places: crate::depmod::order::Map<&[u8], usize> = Default::default();
    for field in fields {
        let (key, value) = field;
        if key != b"parm" && key != b"parmtype" {
            continue;
        }
        let Some(colon) = value.iter().position(|&c| c == b':') else {
            bad.push(field);
            continue;
        };
        let (name, text) = (&value[..colon], &value[colon + 1..]);
        let at = *places.entry(name).or_insert_with(|| {
            all.push(Parm {
                name,
                text: None,
                kind: None,
            });
            all.len() - 1
        });
        match key == b"parm" {
            true => all[at].text = Some(text),
            false => all[at].kind = Some(text),
        }
    }
    (all, bad)
}

/// All of a module, or with `wanted` the one field, beside what says which module it is.
fn describe(j: &mut Json, name: &[u8], path: Option<&[u8]>, info: &Info, wanted: Option<&[u8]>) {
    let is_wanted = |field: &[u8]| wanted.is_none_or(|w| w == field);
    let plain_hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    j.open('{');
    j.pair("module", name);
    match path {
        Some(path) => j.pair("filename", path),
        None => j.raw("filename", "null"),
    }
    j.raw("builtin", path.is_none());
    j.begin("info", '[');
    for (key, value) in info
        .fields
        .iter()
        .filter(|(k, _)| k != b"parm" && k != b"parmtype" && is_wanted(k))
    {
        j.open('{');
        j.pair("key", key);
        j.pair("value", value);
        j.close('}');
    }
    j.end(']');
    j.begin("parameters", '[');
    let shown = is_wanted(b"parm") || is_wanted(b"parmtype");
    for p in parameters(&info.fields).0.iter().filter(|_| shown) {
        j.open('{');
        j.pair("name", p.name);
        if let Some(kind) = p.kind {
            j.pair("type", kind);
        }
        if let Some(text) = p.text {
            j.pair("description", text);
        }
        j.close('}');
    }
    j.end(']');
    if let Some(id) = info.build_id.as_ref().filter(|_| is_wanted(b"build-id")) {
        j.pair("build_id", plain_hex(id));
    }
    let of_signature = wanted.is_none_or(|w| w == b"signer" || w.starts_with(b"sig"));
    if let Some(s) = info.signature.as_ref().filter(|_| of_signature) {
        j.begin("signature", '{');
        j.pair("id", s.id);
        j.pair("signer", &s.signer);
        j.pair("key", plain_hex(&s.key));
        j.pair("hash", &*s.hash);
        j.pair("signature", plain_hex(&s.signature));
        j.end('}');
    }
    j.close('}');
}
