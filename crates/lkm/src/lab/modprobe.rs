//! The programs of the lab's user space: /sbin/modprobe is the modprobe of lkm-tree, over a tree of the script's
//! module files that its depmod has indexed.

use super::kernel::{LabHost, LabKernel};
use super::message;
use lkm_kernel::Cx;
use lkm_kernel::umh::Helper;
use lkm_machine::session::Broker;
use lkm_tree::fs_memory::MemoryFiles;
use lkm_tree::tools::{self, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Programs that do nothing, and their exit codes.
const OTHERS: &[(&str, i32)] = &[("/bin/true", 0), ("/bin/false", 1)];

/// The files that programs of the lab see; the module tree is indexed when it is first needed.
pub(crate) struct Disk {
    modules: RefCell<Vec<(String, Rc<Vec<u8>>)>>,
    files: RefCell<Option<Rc<MemoryFiles>>>,
    indexed: Cell<bool>,
    /// Who is asked for modules of a tree that the parent has, and what has been asked for.
    broker: Cell<Option<Broker>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Disk {
    /// Files under the names a script uses, and all of them as a module tree.
    pub(crate) fn new(modules: impl Iterator<Item = (String, Rc<Vec<u8>>)>) -> Rc<Disk> {
        Rc::new(Disk {
            modules: RefCell::new(modules.collect()),
            files: RefCell::default(),
            indexed: Cell::new(false),
            broker: Cell::new(None),
            asked: RefCell::default(),
        })
    }

    /// The parent has a module tree: what a modprobe asks for is looked up there as well.
    pub(super) fn ask_of(&self, broker: Broker) {
        self.broker.set(Some(broker));
    }

    /// Fetches what a modprobe with these arguments may need of the parent's tree, once for each name.
    fn want(&self, args: &[String]) {
        let Some(broker) = self.broker.get() else {
            return;
        };
        for name in args
            .iter()
            .filter(|a| !a.starts_with('-') && !a.contains('='))
        {
            if !self.asked.borrow_mut().insert(name.clone()) {
                continue;
            }
            let answer = broker.ask(name.as_bytes()).unwrap_or_default();
            for (name, bytes) in message::files(&answer) {
                let known = self.modules.borrow().iter().any(|(n, _)| *n == name);
                if !known {
                    self.add(&name, Rc::new(bytes.to_vec()));
                }
            }
        }
    }

    /// One more file; modprobe finds it from now on.
    pub(super) fn add(&self, name: &str, bytes: Rc<Vec<u8>>) {
        let mut modules = self.modules.borrow_mut();
        modules.retain(|(known, _)| known != name);
        modules.push((name.to_owned(), bytes));
        // Made anew when they are next needed.
        self.files.borrow_mut().take();
        self.indexed.set(false);
    }

    /// The files where the script has them, and as /lib/modules/RELEASE; `indexed` with what depmod makes of that.
    pub(super) fn files(&self, cx: &mut Cx, indexed: bool) -> Rc<MemoryFiles> {
        let release = cx.options.release.clone();
        let made = self.files.borrow().clone();
        let disk = made.unwrap_or_else(|| {
            let disk = Rc::new(MemoryFiles::new());
            for (name, bytes) in self.modules.borrow().iter() {
                let base = name.rsplit('/').next().unwrap_or(name);
                // What depmod is told by the kernel's build, not by a module.
                if base.starts_with("modules.builtin") {
                    disk.put(
                        &format!("/lib/modules/{release}/{base}"),
                        bytes.as_ref().clone(),
                    );
                    continue;
                }
                let module = format!("/lib/modules/{release}/kernel/{base}");
                disk.put(name, bytes.as_ref().clone());
                disk.put(&module, bytes.as_ref().clone());
            }
            *self.files.borrow_mut() = Some(Rc::clone(&disk));
            disk
        });
        if indexed && !self.indexed.replace(true) {
            run(cx, &disk, "depmod", &[release]);
        }
        disk
    }
}

/// A tool of a step: its exit code and output.
pub(super) fn tool_of_step(cx: &mut Cx, disk: &Disk, name: &str, args: &[String]) -> (i32, String) {
    if matches!(name, "modprobe" | "modinfo") {
        disk.want(args);
    }
    let files = disk.files(cx, name == "modprobe");
    run(cx, &files, name, args)
}

/// The helper that the kernel starts programs with.
pub(crate) fn helper(disk: Rc<Disk>) -> Helper {
    Helper {
        find: Rc::new(|_, path| {
            let there = tool(path).is_some() || OTHERS.iter().any(|(name, _)| *name == path);
            if there {
                0
            } else {
                lkm_kernel::abi::errno::ENOENT
            }
        }),
        run: Rc::new(move |cx, path, argv, _| {
            if let Some((_, code)) = OTHERS.iter().find(|(name, _)| *name == path) {
                return Ok(*code);
            }
            let name = tool(path).unwrap_or("modprobe");
            let args = argv.get(1..).unwrap_or(&[]);
            if name == "modprobe" {
                disk.want(args);
            }
            let files = disk.files(cx, name == "modprobe");
            Ok(run(cx, &files, name, args).0)
        }),
    }
}

/// The tool that a path names.
fn tool(path: &str) -> Option<&'static str> {
    let (directory, name) = path.rsplit_once('/')?;
    if !matches!(directory, "/sbin" | "/usr/sbin" | "/bin" | "/usr/bin") {
        return None;
    }
    tools::find(name).map(|applet| applet.tool.name)
}

/// Runs a tool in the current process: its exit code and output.
pub(super) fn run(cx: &mut Cx, disk: &MemoryFiles, name: &str, args: &[String]) -> (i32, String) {
    let Some(applet) = tools::find(name) else {
        return (127, String::new());
    };
    let kernel = LabKernel::new(cx);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut world = World {
        fs: disk,
        kernel: &kernel,
        host: &LabHost,
        out: &mut out,
        err: &mut err,
        argv0: name.as_bytes().to_vec(),
    };
    let args: Vec<Vec<u8>> = args.iter().map(|a| a.as_bytes().to_vec()).collect();
    let code = (applet.run)(&mut world, &args);
    out.extend(err);
    (code, String::from_utf8_lossy(&out).into_owned())
}
