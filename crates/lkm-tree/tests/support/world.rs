//! A kernel and a process that are made up, to run the tools in.

#![allow(dead_code, reason = "each test uses a part")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use lkm_tree::errno::Errno;
use lkm_tree::fs::{Files, OpenFile};
use lkm_tree::host::{Ended, Host};
use lkm_tree::kernel::{Compression, DeleteFlags, InsertFlags, Kernel, Loaded, Parameter, State};
use lkm_tree::tools::{World, find};

/// Loads whatever it is given, by the `name=` it finds in the bytes.
#[derive(Default)]
pub struct FakeKernel {
    /// Names and reference counts, in the order of loading.
    pub modules: RefCell<Vec<(String, i64)>>,
    /// What was done, one line each.
    pub log: RefCell<Vec<String>>,
    pub cmdline: String,
    pub compression: Compression,
    /// What `finit_module` answers for compressed files.
    pub unpack_error: Option<Errno>,
    /// What loading this module answers.
    pub errors: BTreeMap<String, Errno>,
    pub holders: BTreeMap<String, Vec<String>>,
    pub build_ids: BTreeMap<String, Vec<u8>>,
}

impl FakeKernel {
    fn load(&self, how: &str, image: &[u8], params: &[u8]) -> Result<(), Errno> {
        let at = image
            .windows(5)
            .position(|w| w == b"name=")
            .ok_or(Errno::ENOEXEC)?;
        let name: Vec<u8> = image[at + 5..]
            .iter()
            .copied()
            .take_while(|&c| c != 0)
            .collect();
        let name = String::from_utf8(name).unwrap();
        if let Some(e) = self.errors.get(&name) {
            return Err(*e);
        }
        let params = String::from_utf8_lossy(params).into_owned();
        self.log
            .borrow_mut()
            .push(format!("{how} {name} {params}").trim_end().to_string());
        self.modules.borrow_mut().push((name, 0));
        Ok(())
    }

    pub fn has(&self, name: &str) {
        self.modules.borrow_mut().push((name.into(), 0));
    }

    fn count(&self, name: &[u8]) -> Result<i64, Errno> {
        let name = String::from_utf8_lossy(name).into_owned();
        let all = self.modules.borrow();
        all.iter()
            .find(|m| m.0 == name)
            .map(|m| m.1)
            .ok_or(Errno::ENOENT)
    }
}

impl Kernel for FakeKernel {
    fn release(&self) -> Result<Vec<u8>, Errno> {
        Ok(b"1.2.3".to_vec())
    }

    fn insert_file(&self, file: &dyn OpenFile, p: &[u8], flags: InsertFlags) -> Result<(), Errno> {
        let bytes = file.read_all(1 << 30)?;
        if flags.0 & InsertFlags::COMPRESSED_FILE != 0 {
            if let Some(e) = self.unpack_error {
                return Err(e);
            }
            let image = lkm_object::decompress(&bytes, 1 << 30).map_err(|_| Errno::EINVAL)?;
            return self.load("finit-compressed", &image, p);
        }
        self.load(
            if flags.0 == 0 {
                "finit"
            } else {
                "finit-forced"
            },
            &bytes,
            p,
        )
    }

    fn insert_image(&self, image: &[u8], params: &[u8]) -> Result<(), Errno> {
        self.load("init", image, params)
    }

    fn delete(&self, name: &[u8], flags: DeleteFlags) -> Result<(), Errno> {
        if self.count(name)? > 0 {
            return Err(Errno::EAGAIN);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let forced = if flags.0 & DeleteFlags::FORCE != 0 {
            " forced"
        } else {
            ""
        };
        self.log.borrow_mut().push(format!("delete {name}{forced}"));
        self.modules.borrow_mut().retain(|m| m.0 != name);
        Ok(())
    }

    fn loaded(&self) -> Result<Vec<Loaded>, Errno> {
        let row = |(name, refcnt): &(String, i64)| Loaded {
            name: name.clone().into(),
            size: 4096,
            refcnt: Some(*refcnt),
            used_by: self.holders(name.as_bytes()).unwrap_or_default(),
            state: b"Live".to_vec(),
            taint: Vec::new(),
        };
        Ok(self.modules.borrow().iter().rev().map(row).collect())
    }

    fn state(&self, name: &[u8]) -> Result<State, Errno> {
        self.count(name).map(|_| State::Live)
    }

    fn refcnt(&self, name: &[u8]) -> Result<i64, Errno> {
        self.count(name)
    }

    fn holders(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.count(name)?;
        let held = self
            .holders
            .get(&String::from_utf8_lossy(name).into_owned());
        Ok(held
            .into_iter()
            .flatten()
            .map(|h| h.clone().into_bytes())
            .collect())
    }

    fn attribute(&self, name: &[u8], attribute: &str) -> Result<Vec<u8>, Errno> {
        let name = String::from_utf8_lossy(name).into_owned();
        match (attribute, self.build_ids.get(&name)) {
            ("notes/.note.gnu.build-id", Some(id)) => Ok(id.clone()),
            _ => Err(Errno::ENOENT),
        }
    }

    fn parameters(&self, _name: &[u8]) -> Result<Vec<Parameter>, Errno> {
        Ok(Vec::new())
    }

    fn command_line(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.cmdline.clone().into_bytes())
    }

    fn compression(&self) -> Result<Compression, Vec<u8>> {
        Ok(self.compression)
    }

    fn why(&self, name: &[u8]) -> Vec<String> {
        vec![format!(
            "{}: held by the test",
            String::from_utf8_lossy(name)
        )]
    }

    fn refusal(&self, error: Errno) -> Option<String> {
        (error == Errno::EPERM).then(|| "the test forbids it".to_string())
    }
}

/// A process with an environment and a clock that only sleeping moves.
#[derive(Default)]
pub struct FakeHost {
    pub env: BTreeMap<String, String>,
    pub commands: RefCell<Vec<String>>,
    pub command_code: i32,
    pub time: RefCell<u64>,
    pub syslog: RefCell<Vec<String>>,
}

impl Host for FakeHost {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.env.get(name).map(|v| v.clone().into_bytes())
    }

    fn system(&self, command: &[u8], env: &[(&str, &[u8])]) -> Ended {
        let mut line = String::from_utf8_lossy(command).into_owned();
        for (name, value) in env {
            line = format!("{name}={} {line}", String::from_utf8_lossy(value));
        }
        self.commands.borrow_mut().push(line);
        Ended::Code(self.command_code)
    }

    fn now_msec(&self) -> u64 {
        *self.time.borrow()
    }

    fn sleep_msec(&self, msec: u64) {
        assert!(msec > 0, "a sleep of nothing would spin");
        *self.time.borrow_mut() += msec;
    }

    fn syslog(&self, ident: &str, priority: i32, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.syslog
            .borrow_mut()
            .push(format!("{ident} {priority} {text}"));
    }

    fn stderr_closed(&self) -> bool {
        false
    }
}

/// Standard output, standard error, exit code.
pub fn run(
    fs: &dyn Files,
    kernel: &FakeKernel,
    host: &FakeHost,
    line: &str,
) -> (String, String, i32) {
    let mut words = line.split_whitespace().map(|w| w.as_bytes().to_vec());
    let argv0 = words.next().unwrap();
    let args: Vec<Vec<u8>> = words.collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let applet = find(std::str::from_utf8(&argv0).unwrap()).unwrap();
    let mut world = World {
        fs,
        kernel,
        host,
        out: &mut out,
        err: &mut err,
        argv0,
    };
    let code = (applet.run)(&mut world, &args);
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    (text(out), text(err), code)
}
