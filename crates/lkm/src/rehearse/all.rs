//! `lkm rehearse --all`: a whole tree, on all cores, one JSON object per line in the order of the names.

use super::run::Lab;
use super::{Options, running_release};
use crate::out::done;
use crate::tree::Tree;
use lkm_judge::report::{json, sarif::Sarif, summary::Summary};
use lkm_judge::{About, NoSymbols};
use lkm_kernel::profile::Profile;
use lkm_kernel::rehearse::{Answers, Input, Plan};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

pub(super) fn all(options: &Options) -> Result<ExitCode, String> {
    match options.shard {
        Some((index, of)) => shard(options, index, of),
        None => lead(options),
    }
}

fn tree(options: &Options) -> Result<(Tree, String), String> {
    let release = options
        .kernel
        .clone()
        .or_else(running_release)
        .ok_or("which kernel? give -k KVER")?;
    let base = options.base.clone().unwrap_or_else(|| "/".into());
    Ok((Tree::open(&base, &release)?, release))
}

/// Rehearses each module whose place in the order is `index` modulo `of`, and prints its report.
fn shard(options: &Options, index: usize, of: usize) -> Result<ExitCode, String> {
    let (tree, release) = tree(options)?;
    let profile = match &options.profile {
        Some(name) => Profile::named(name).ok_or_else(|| format!("no profile {name}"))?,
        None => Profile::for_release(&release),
    };
    let mut lab = Lab::new(profile, &release)?;
    let mut out = std::io::stdout().lock();
    for name in tree.names().skip(index).step_by(of) {
        let report = one(&mut lab, &tree, name, options).unwrap_or_else(|why| {
            let about = About {
                module: name.to_owned(),
                cut_short: Some(why),
                ..About::default()
            };
            lkm_judge::judge(&lkm_trace::Trace::default(), &NoSymbols, &about)
        });
        done(writeln!(out, "{}", json::line(&report)));
    }
    Ok(ExitCode::SUCCESS)
}

fn one(
    lab: &mut Lab,
    tree: &Tree,
    name: &str,
    options: &Options,
) -> Result<lkm_judge::Report, String> {
    let image = tree.image(name, false)?;
    let mut with = Vec::new();
    for need in tree.dependencies(name) {
        with.push(Input {
            image: tree.image(&need, true)?,
            name: need,
            params: String::new(),
        });
    }
    let module = Input {
        name: name.to_owned(),
        image,
        params: String::new(),
    };
    lab.run(
        &Plan {
            with,
            module,
            cycles: options.cycles.unwrap_or(1),
            answers: Answers::Plain,
            probe: options.probe,
        },
        false,
    )
}

/// Starts a worker for each core and puts their lines together in order.
fn lead(options: &Options) -> Result<ExitCode, String> {
    let (tree, _) = tree(options)?;
    let total = tree.names().count();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut children: Vec<(Child, BufReader<ChildStdout>)> = Vec::new();
    for index in 0..workers {
        children.push(start(index, workers)?);
    }
    let mut summary = Summary::new();
    let mut sarif = options.sarif.as_ref().map(|path| (path, Sarif::new()));
    let mut out = std::io::stdout().lock();
    let progress = std::io::stderr().is_terminal();
    for number in 0..total {
        let mut line = String::new();
        let reader = &mut children[number % workers].1;
        reader.read_line(&mut line).map_err(|e| e.to_string())?;
        if line.is_empty() {
            return Err("a worker ended early".into());
        }
        summary.add_line(&line);
        if let Some((_, log)) = &mut sarif {
            log.add(
                &serde_json::from_str(&line).map_err(|e| e.to_string())?,
                None,
            );
        }
        done(out.write_all(line.as_bytes()));
        if progress && number % 16 == 0 {
            eprint!("\r{number}/{total}");
        }
    }
    if progress {
        eprintln!("\r{total}/{total}");
    }
    for (mut child, _) in children {
        let _ = child.wait();
    }
    if let Some((path, log)) = sarif {
        super::save(path, &log.finish())?;
    }
    summary.finish();
    done(writeln!(out, "{}", summary.json()));
    Ok(ExitCode::from(summary.exit_code()))
}

/// This program again, with the same arguments, for one share of the tree.
fn start(index: usize, of: usize) -> Result<(Child, BufReader<ChildStdout>), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--shard", &format!("{index}/{of}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("starting a worker: {e}"))?;
    let reader = BufReader::with_capacity(
        1 << 20,
        child.stdout.take().ok_or("a worker has no output")?,
    );
    Ok((child, reader))
}
