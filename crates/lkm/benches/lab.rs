//! How fast the lab is: `cargo bench -p lkm --bench lab`.
//!
//! * One plain run of a small module, process start to report (`--once`), beside the start of a process that does
//!   nothing (`true`): medians, taken in turns, and their ratio. The bar is 5 ms.
//! * Cycles (load, init, exit, audit, memory restored) per second on one core: four allocations, a misc device and a
//!   thread. Measured as what 2,000 cycles take more than 200, in processor time of all processes, so that starting
//!   and other load do not count. The bar is 8,000 in a second.
//!
//! It ends with status 1 when a bar is missed.

#[path = "../../../benches/measure.rs"]
mod measure;

use measure::{child_seconds, median};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const LKM: &str = env!("CARGO_BIN_EXE_lkm");
const MODULE: &str = "bench-cycle";
const ROUNDS: usize = 101;
const FEW: u32 = 200;
const MANY: u32 = 2000;

/// Milliseconds that a command takes from its start to its end.
fn wall(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|s| s.success()), "{command:?} failed");
    start.elapsed().as_secs_f64() * 1000.0
}

fn once() -> Command {
    let mut command = Command::new(LKM);
    command.args(["rehearse", "--once", "--example", MODULE]);
    command
}

/// Processor seconds and wall-clock seconds of so many cycles.
fn cycles(count: u32) -> (f64, f64) {
    let before = child_seconds();
    let mut command = Command::new(LKM);
    command.args(["rehearse", "--no-faults", "--schedules", "0", "--json"]);
    command.args(["--cycles", &count.to_string(), "--example", MODULE]);
    let start = Instant::now();
    let output = command.stderr(Stdio::null()).output().expect("lkm starts");
    let wall = start.elapsed().as_secs_f64();
    // The figure is worth nothing unless every cycle was found empty.
    let told = format!("{count} cycles ended with nothing left");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && report.contains(&told),
        "{report}"
    );
    (child_seconds() - before, wall)
}

/// Ten rounds of many and few cycles in turns: what one cycle takes more, in seconds.
fn one_cycle() -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    const TURNS: u32 = 10;
    for _ in 0..TURNS {
        let (many, few) = (cycles(MANY), cycles(FEW));
        sums = (sums.0 + many.0 - few.0, sums.1 + many.1 - few.1);
    }
    let count = f64::from((MANY - FEW) * TURNS);
    (sums.0 / count, sums.1 / count)
}

fn main() -> ExitCode {
    // `cargo test` and `cargo bench` pass flags of the harness that this is not.
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return ExitCode::SUCCESS;
    }
    wall(&mut once());
    let (mut ours, mut nothing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        nothing.push(wall(&mut Command::new("true")));
        ours.push(wall(&mut once()));
    }
    let (ours, nothing) = (median(ours), median(nothing));
    println!(
        "one plain run, process start to report: {ours:.2} ms (bar 5), {:.1} times `true` ({nothing:.2} ms)",
        ours / nothing
    );
    let (cpu, wall) = one_cycle();
    println!(
        "cycles per second and core: {:.0} (bar 8000) of processor time, {:.0} of wall-clock time; {:.1} us each",
        1.0 / cpu,
        1.0 / wall,
        cpu * 1e6
    );
    ExitCode::from(u8::from(ours > 5.0 || 1.0 / cpu < 8000.0))
}
