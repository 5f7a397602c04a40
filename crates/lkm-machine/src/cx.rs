//! The hand that kernel code holds: access to its state, to guest memory, to tasks and calls.
//!
//! [`Cx`] is the only way to the state, and whatever could let other code run (a guest call, a switch)
//! takes it by `&mut`. So no borrow of the state can live across such a point: the compiler forbids it.

use crate::gate::{self, Context};
use crate::map::{self, Region};
use crate::mem::{self, Fault};
use crate::sys::{self, Failure, Prot};
use crate::trap::{self, Trap};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A task of the machine: a pair of stacks. Task 0 is the control program and has no guest stack.
pub type TaskId = u32;

/// What runs on the machine: the kernel.
pub trait World: Sized + 'static {
    /// Guest code called the kernel function of `slot`; `frame` is the guest address of its registers
    /// (see [`crate::gate`]). The result goes to rax.
    fn gate(cx: &mut Cx<Self>, slot: u32, frame: u64) -> u64;
    /// Guest code trapped. Returning resumes the guest with the record's registers.
    fn trap(cx: &mut Cx<Self>, trap: &mut Trap);
    /// The body of a task. When it returns the task is finished and control goes to task 0.
    fn task(cx: &mut Cx<Self>, task: TaskId);
}

/// Size of a guest kernel stack (THREAD_SIZE of x86-64).
pub const GUEST_STACK: u64 = 16 << 10;
/// Distance between two guest stacks: the stack and a guard of the same size below it.
const STACK_STEP: u64 = 2 * GUEST_STACK;
const HOST_STACK: usize = 256 << 10;

struct Stacks {
    context: Context,
    guest_top: u64,
    host_base: u64,
    free: bool,
}

/// The machine's own state beside the kernel's.
struct Machine {
    tasks: Vec<Stacks>,
    current: TaskId,
    free: Vec<TaskId>,
    slots: u32,
}

static STATE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static MACHINE: AtomicPtr<Machine> = AtomicPtr::new(std::ptr::null_mut());

/// The machine's state. Only one thread exists in a child, and no reference is kept across a switch.
fn machine() -> &'static mut Machine {
    // SAFETY: set once by `start` to a leaked box before any use; the process is single-threaded, and
    // every caller below ends its borrow before it switches, calls the guest or returns.
    unsafe { &mut *MACHINE.load(Ordering::Relaxed) }
}

/// Access to everything a kernel function may touch. Made by the machine at each entry of kernel code.
pub struct Cx<S> {
    _world: PhantomData<*mut S>,
}

impl<S> Deref for Cx<S> {
    type Target = S;
    fn deref(&self) -> &S {
        // SAFETY: STATE points to the one S of this process (`start` is generic over it and runs once).
        // A Cx exists only in kernel code that runs now; activations below it on the stack are
        // suspended in calls that hold their Cx by &mut, so none of them holds a borrow of the state.
        unsafe { &*STATE.load(Ordering::Relaxed).cast::<S>() }
    }
}

impl<S> DerefMut for Cx<S> {
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: as above; the exclusive borrow of the one active Cx makes it the only one.
        unsafe { &mut *STATE.load(Ordering::Relaxed).cast::<S>() }
    }
}

extern "sysv64" fn dispatch<S: World>(slot: u32, frame: u64) -> u64 {
    S::gate(
        &mut Cx {
            _world: PhantomData,
        },
        slot,
        frame,
    )
}

extern "sysv64" fn on_trap<S: World>(record: *mut Trap) {
    // SAFETY: the handler wrote the record to this host stack, where it stays until we return.
    let trap = unsafe { &mut *record };
    let stack = machine().tasks[machine().current as usize].guest_top;
    if trap.regs.rsp > stack - GUEST_STACK && trap.regs.rsp <= stack {
        // Calls made while the trap is handled go below what the guest uses (kernel code has no red zone).
        // SAFETY: a plain word that only this thread changes.
        unsafe { (&raw mut gate::lkm_guest_sp).write(trap.regs.rsp - 16) };
    }
    S::trap(
        &mut Cx {
            _world: PhantomData,
        },
        trap,
    );
}

extern "sysv64" fn task_main<S: World>() -> ! {
    let mut cx = Cx::<S> {
        _world: PhantomData,
    };
    let me = cx.current();
    S::task(&mut cx, me);
    loop {
        // The scheduler gives a finished task's stacks back; it is never switched to again.
        cx.switch_to(0);
    }
}

/// Makes the machine: reserves the address range, installs traps, writes the gates. Must be called at
/// most once in a process. `slots` is the number of kernel functions there can be.
pub fn start<S: World>(state: S, slots: u32) -> Result<Cx<S>, Failure> {
    assert!(
        STATE.load(Ordering::Relaxed).is_null(),
        "one machine per process"
    );
    assert!(u64::from(slots) * gate::SLOT <= map::GATES.size);
    map::reserve()?;
    trap::install()?;
    sys::set_gs(map::PERCPU.start)?;
    for index in 0..slots {
        let at = map::GATES.start + u64::from(index) * gate::SLOT;
        mem::write(at, &gate::slot_code(index)).map_err(|_| Failure {
            what: "writing the gates",
            errno: libc::EFAULT,
        })?;
    }
    let end = (u64::from(slots) * gate::SLOT).next_multiple_of(map::PAGE);
    sys::protect(map::GATES.start, end, Prot::ReadExec)?;
    STATE.store(Box::into_raw(Box::new(state)).cast(), Ordering::Relaxed);
    let control = Stacks {
        context: Context::default(),
        guest_top: 0,
        host_base: 0,
        free: false,
    };
    let machine = Machine {
        tasks: vec![control],
        current: 0,
        free: Vec::new(),
        slots,
    };
    MACHINE.store(Box::into_raw(Box::new(machine)), Ordering::Relaxed);
    // SAFETY: plain words read by the assembly, written before any guest code runs.
    unsafe {
        (&raw mut gate::lkm_dispatch).write(dispatch::<S> as *const () as u64);
        (&raw mut gate::lkm_on_trap).write(on_trap::<S> as *const () as u64);
    }
    Ok(Cx {
        _world: PhantomData,
    })
}

impl<S: World> Cx<S> {
    /// The task that runs now.
    pub fn current(&self) -> TaskId {
        machine().current
    }

    /// Address of the slot of a kernel function.
    pub fn slot_addr(&self, slot: u32) -> u64 {
        assert!(slot < machine().slots);
        map::GATES.start + u64::from(slot) * gate::SLOT
    }

    /// The slot that an address belongs to.
    pub fn slot_at(&self, addr: u64) -> Option<u32> {
        if !map::GATES.holds(addr) {
            return None;
        }
        let slot = ((addr - map::GATES.start) / gate::SLOT) as u32;
        (slot < machine().slots).then_some(slot)
    }

    /// Replaces the slots from `first` on by machine code of `code`'s length (a native leaf).
    pub fn write_leaf(&mut self, first: u32, code: &[u8]) -> Result<(), Failure> {
        let at = self.slot_addr(first);
        let from = at & !(map::PAGE - 1);
        let len = (at + code.len() as u64).next_multiple_of(map::PAGE) - from;
        sys::protect(from, len, Prot::ReadWrite)?;
        let wrote = mem::write(at, code);
        sys::protect(from, len, Prot::ReadExec)?;
        wrote.map_err(|_| Failure {
            what: "writing a leaf",
            errno: libc::EFAULT,
        })
    }

    /// Calls a guest function on the current task's stack; returns its rax.
    ///
    /// # Panics
    /// When task 0 runs: the control program has no guest stack.
    pub fn call_guest(&mut self, function: u64, args: &[u64]) -> u64 {
        assert!(
            self.current() != 0,
            "the control program cannot run guest code"
        );
        let mut regs = [0u64; 6];
        regs[..args.len()].copy_from_slice(args);
        // SAFETY: the current task has a guest stack (task != 0) whose unused part begins at
        // lkm_guest_sp. Whatever the guest does ends in a return, a gate or a trap.
        unsafe { gate::lkm_call_guest(function, &regs) }
    }

    /// Makes a task; it starts in [`World::task`] when first switched to.
    pub fn new_task(&mut self) -> Result<TaskId, Failure> {
        let m = machine();
        let id = match m.free.pop() {
            Some(id) => id,
            None => {
                let id = m.tasks.len() as TaskId;
                let base = map::STACKS.start + u64::from(id) * STACK_STEP;
                if base + STACK_STEP > map::STACKS.end() {
                    return Err(Failure {
                        what: "making a task: no stack left",
                        errno: libc::EAGAIN,
                    });
                }
                sys::protect(base + GUEST_STACK, GUEST_STACK, Prot::ReadWrite)?;
                let host_base = host_stack()?;
                m.tasks.push(Stacks {
                    context: Context::default(),
                    guest_top: base + STACK_STEP,
                    host_base,
                    free: true,
                });
                id
            }
        };
        let task = &mut m.tasks[id as usize];
        task.free = false;
        let top = task.host_base + HOST_STACK as u64;
        // The frame that lkm_switch pops: r15 r14 r13 r12 rbp rbx, then the return address.
        let frame: [u64; 7] = [
            0,
            0,
            0,
            task_main::<S> as *const () as u64,
            0,
            0,
            gate::lkm_task_start as *const () as u64,
        ];
        let rsp = top - 64 - 56;
        // SAFETY: the top of this task's own host stack, on which nothing runs.
        unsafe { (rsp as *mut [u64; 7]).write(frame) };
        // Gates that the task's guest code enters before any call_guest cannot happen: guest code runs
        // only under call_guest, which sets its own host_sp.
        task.context = Context {
            rsp,
            host_sp: rsp & !15,
            guest_sp: task.guest_top - 64,
        };
        Ok(id)
    }

    /// Gives a task's stacks back. What was on them is forgotten, never unwound.
    ///
    /// # Panics
    /// For the running task and for task 0.
    pub fn free_task(&mut self, task: TaskId) {
        let m = machine();
        assert!(task != 0 && task != m.current);
        let stacks = &mut m.tasks[task as usize];
        if !stacks.free {
            stacks.free = true;
            m.free.push(task);
        }
    }

    /// Suspends the current task and runs `to`; returns when something switches back.
    pub fn switch_to(&mut self, to: TaskId) {
        let m = machine();
        let from = m.current;
        if from == to {
            return;
        }
        assert!(!m.tasks[to as usize].free);
        m.current = to;
        let save = &raw mut m.tasks[from as usize].context;
        let load = &raw const m.tasks[to as usize].context;
        // SAFETY: both contexts live in the leaked machine's vector, which is not grown before
        // lkm_switch has read and written them; `load` was made by new_task or saved by lkm_switch.
        unsafe { gate::lkm_switch(save, load) };
    }

    /// The guest stack of a task: lowest address and one past the highest.
    pub fn guest_stack(&self, task: TaskId) -> (u64, u64) {
        let top = machine().tasks[task as usize].guest_top;
        (top.saturating_sub(GUEST_STACK), top)
    }

    /// Where the guest's stack pointer is below which nothing is used (the innermost frame's address).
    pub fn guest_sp(&self) -> u64 {
        // SAFETY: a plain word that only this thread changes.
        unsafe { (&raw const gate::lkm_guest_sp).read() }
    }

    /// Whether an address is the return point of a call that the kernel made into the guest.
    pub fn is_call_return(&self, addr: u64) -> bool {
        addr == gate::lkm_call_guest_return as *const () as u64
    }

    /// Changes the access of guest pages; both ends are page-aligned and inside `region`.
    pub fn protect(
        &mut self,
        region: Region,
        addr: u64,
        len: u64,
        prot: Prot,
    ) -> Result<(), Failure> {
        assert!(addr.is_multiple_of(map::PAGE) && len.is_multiple_of(map::PAGE));
        assert!(addr >= region.start && addr + len <= region.end());
        if len == 0 {
            return Ok(());
        }
        sys::protect(addr, len, prot)
    }

    /// Gives guest pages back; they read as zeros when used again.
    pub fn discard(&mut self, region: Region, addr: u64, len: u64) {
        assert!(
            addr.is_multiple_of(map::PAGE) && addr >= region.start && addr + len <= region.end()
        );
        if len != 0 {
            sys::discard(addr, len);
        }
    }

    /// Keeps guest pages whose access will change often a mapping of their own.
    pub fn set_apart(&mut self, region: Region, addr: u64, len: u64) {
        assert!(
            addr.is_multiple_of(map::PAGE) && addr >= region.start && addr + len <= region.end()
        );
        if len != 0 {
            sys::set_apart(addr, len);
        }
    }

    /// Reads a byte.
    #[inline]
    pub fn r8(&self, addr: u64) -> Result<u8, Fault> {
        mem::r8(addr)
    }
    /// Reads 16 bits.
    #[inline]
    pub fn r16(&self, addr: u64) -> Result<u16, Fault> {
        mem::r16(addr)
    }
    /// Reads 32 bits.
    #[inline]
    pub fn r32(&self, addr: u64) -> Result<u32, Fault> {
        mem::r32(addr)
    }
    /// Reads 64 bits.
    #[inline]
    pub fn r64(&self, addr: u64) -> Result<u64, Fault> {
        mem::r64(addr)
    }
    /// Writes a byte.
    #[inline]
    pub fn w8(&self, addr: u64, value: u8) -> Result<(), Fault> {
        mem::w8(addr, value)
    }
    /// Writes 16 bits.
    #[inline]
    pub fn w16(&self, addr: u64, value: u16) -> Result<(), Fault> {
        mem::w16(addr, value)
    }
    /// Writes 32 bits.
    #[inline]
    pub fn w32(&self, addr: u64, value: u32) -> Result<(), Fault> {
        mem::w32(addr, value)
    }
    /// Writes 64 bits.
    #[inline]
    pub fn w64(&self, addr: u64, value: u64) -> Result<(), Fault> {
        mem::w64(addr, value)
    }
    /// Copies guest bytes into `buf`.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        mem::read(addr, buf)
    }
    /// Copies bytes into guest memory.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        mem::write(addr, bytes)
    }
    /// Fills guest memory with a byte.
    pub fn fill(&self, addr: u64, byte: u8, len: u64) -> Result<(), Fault> {
        mem::fill(addr, byte, len)
    }
    /// Copies between guest ranges (see [`mem::copy`]).
    pub fn copy(&self, to: u64, from: u64, len: u64) -> Result<(), Fault> {
        mem::copy(to, from, len)
    }
    /// Reads `len` guest bytes; `len` is bounded by the guest's size.
    pub fn bytes(&self, addr: u64, len: u64) -> Result<Vec<u8>, Fault> {
        if len > map::GUEST_END {
            return Err(Fault { addr, write: false });
        }
        // The last byte is touched first, so that a wild length allocates nothing.
        if len > 0 {
            mem::r8(addr.wrapping_add(len - 1))?;
        }
        let mut buf = vec![0; len as usize];
        mem::read(addr, &mut buf)?;
        Ok(buf)
    }
    /// Reads a NUL-terminated string of at most `max` bytes.
    pub fn cstr(&self, addr: u64, max: usize) -> Result<Vec<u8>, Fault> {
        mem::cstr(addr, max)
    }
    /// The same as text; what is not UTF-8 is replaced.
    pub fn text(&self, addr: u64) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(&mem::cstr(addr, 1024)?).into_owned())
    }
}

/// Maps a host stack with a guard page below it.
fn host_stack() -> Result<u64, Failure> {
    let page = map::PAGE as usize;
    // SAFETY: a fresh mapping; its lowest page is made a guard.
    unsafe {
        let base = libc::mmap(
            std::ptr::null_mut(),
            HOST_STACK + page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if base == libc::MAP_FAILED {
            return Err(sys::failed("mapping a host stack"));
        }
        if libc::mprotect(base, page, libc::PROT_NONE) != 0 {
            return Err(sys::failed("guarding a host stack"));
        }
        Ok(base as u64 + page as u64)
    }
}
