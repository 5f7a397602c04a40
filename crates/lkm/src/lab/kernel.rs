//! The lab's kernel as the tools see it: lkm-tree's trait, so that the modprobe of the tree runs in the lab.

use lkm_kernel::Cx;
use lkm_kernel::abi::R;
use lkm_kernel::module::load::Args;
use lkm_kernel::module::syscalls::{self, Descriptor, Pointer};
use lkm_kernel::module::sysfs::{self, Node};
use lkm_kernel::module::{self, show, taint};
use lkm_tree::errno::Errno;
use lkm_tree::fs::OpenFile;
use lkm_tree::host::{Ended, Host};
use lkm_tree::kernel::{Compression, DeleteFlags, InsertFlags, Kernel, Loaded, Parameter, State};
use std::cell::RefCell;
use std::rc::Rc;

/// A process's view of the kernel. The tools ask through `&self`; only one of them runs in a process.
pub(super) struct LabKernel<'c> {
    cx: RefCell<&'c mut Cx>,
}

impl<'c> LabKernel<'c> {
    pub(super) fn new(cx: &'c mut Cx) -> LabKernel<'c> {
        LabKernel {
            cx: RefCell::new(cx),
        }
    }

    /// Runs a system call; an oops in it would have ended the process, what is left is a bad answer.
    fn call<T>(&self, f: impl FnOnce(&mut Cx) -> R<T>) -> Result<T, Errno> {
        f(&mut self.cx.borrow_mut()).map_err(|_| errno(lkm_kernel::abi::errno::EFAULT))
    }

    fn result(&self, f: impl FnOnce(&mut Cx) -> R<i32>) -> Result<(), Errno> {
        match self.call(f)? {
            0.. => Ok(()),
            // What the kernel's restart code reaches user space as.
            -512 => Err(errno(lkm_kernel::abi::errno::EINTR)),
            negative => Err(errno(-negative)),
        }
    }

    fn text(&self, path: &str) -> Result<String, Errno> {
        match self.call(|cx| sysfs::read(cx, path, true))? {
            Some(Ok(Node::Text(text))) => Ok(text),
            Some(Err(e)) => Err(errno(e)),
            _ => Err(errno(lkm_kernel::abi::errno::ENOENT)),
        }
    }

    fn index(&self, name: &[u8]) -> Result<usize, Errno> {
        let name = String::from_utf8_lossy(name).into_owned();
        self.call(|cx| Ok(module::find(cx, &name)))?
            .ok_or(errno(lkm_kernel::abi::errno::ENOENT))
    }
}

fn errno(number: i32) -> Errno {
    Errno(number)
}

impl Kernel for LabKernel<'_> {
    fn release(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.cx.borrow().options.release.clone().into_bytes())
    }

    fn insert_file(
        &self,
        file: &dyn OpenFile,
        params: &[u8],
        flags: InsertFlags,
    ) -> Result<(), Errno> {
        let bytes = Rc::new(file.read_all(512 << 20)?);
        let args = Args::Text(String::from_utf8_lossy(params).into_owned());
        self.result(|cx| {
            syscalls::finit_module(
                cx,
                Descriptor::File {
                    bytes,
                    written: false,
                },
                args,
                flags.0,
            )
        })
    }

    fn insert_image(&self, image: &[u8], params: &[u8]) -> Result<(), Errno> {
        let bytes = Rc::new(image.to_vec());
        let args = Args::Text(String::from_utf8_lossy(params).into_owned());
        self.result(|cx| syscalls::init_module(cx, &bytes, bytes.len() as u64, Pointer::Good, args))
    }

    fn delete(&self, name: &[u8], flags: DeleteFlags) -> Result<(), Errno> {
        let name = String::from_utf8_lossy(name).into_owned();
        self.result(|cx| syscalls::delete_module(cx, Some(&name), flags.0))
    }

    fn loaded(&self) -> Result<Vec<Loaded>, Errno> {
        let mut rows = Vec::new();
        let text = self.text("/proc/modules")?;
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [name, size, refcnt, users, state, ..] = fields.as_slice() else {
                continue;
            };
            let index = self.index(name.as_bytes())?;
            rows.push(Loaded {
                name: name.as_bytes().to_vec(),
                size: size.parse().unwrap_or(0),
                refcnt: refcnt.parse().ok(),
                used_by: users
                    .split(',')
                    .filter(|u| !u.is_empty() && *u != "-")
                    .map(|u| u.as_bytes().to_vec())
                    .collect(),
                state: state.as_bytes().to_vec(),
                taint: taint::letters(&self.cx.borrow(), index, None).into_bytes(),
            });
        }
        Ok(rows)
    }

    fn state(&self, name: &[u8]) -> Result<State, Errno> {
        let index = self.index(name)?;
        Ok(match module::state(&self.cx.borrow(), index) {
            module::COMING => State::Coming,
            module::GOING => State::Going,
            _ => State::Live,
        })
    }

    fn refcnt(&self, name: &[u8]) -> Result<i64, Errno> {
        let index = self.index(name)?;
        self.call(|cx| show::shown_count(cx, index))
    }

    fn holders(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let index = self.index(name)?;
        let users = self.call(|cx| module::users(cx, index))?;
        Ok(users
            .into_iter()
            .map(|u| self.cx.borrow().modules.list[u].name.clone().into_bytes())
            .collect())
    }

    fn attribute(&self, name: &[u8], attribute: &str) -> Result<Vec<u8>, Errno> {
        let path = format!("/sys/module/{}/{attribute}", String::from_utf8_lossy(name));
        Ok(self.text(&path)?.into_bytes())
    }

    fn parameters(&self, name: &[u8]) -> Result<Vec<Parameter>, Errno> {
        let index = self.index(name)?;
        let names: Vec<String> = {
            let cx = self.cx.borrow();
            cx.modules.list[index]
                .params
                .iter()
                .filter(|p| p.perm & 0o444 != 0)
                .map(|p| p.name.clone())
                .collect()
        };
        let mut parameters = Vec::new();
        for param in names {
            let value = self.attribute(name, &format!("parameters/{param}"))?;
            parameters.push(Parameter {
                name: param.into_bytes(),
                value,
            });
        }
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parameters)
    }

    fn command_line(&self) -> Result<Vec<u8>, Errno> {
        Ok(Vec::new())
    }

    fn compression(&self) -> Result<Compression, Vec<u8>> {
        Ok(Compression::None)
    }
}

/// A lab process's surroundings: no environment, no shell, virtual time.
pub(super) struct LabHost;

impl Host for LabHost {
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn system(&self, _: &[u8], _: &[(&str, &[u8])]) -> Ended {
        Ended::NotStarted(errno(lkm_kernel::abi::errno::ENOENT))
    }
    fn now_msec(&self) -> u64 {
        0
    }
    fn sleep_msec(&self, _: u64) {}
    fn syslog(&self, _: &str, _: i32, _: &[u8]) {}
    fn stderr_closed(&self) -> bool {
        false
    }
}
