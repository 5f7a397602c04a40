//! kmod(8) itself: `list`, `static-nodes`, `help`, and its version.

use super::{Applet, MODULE_DIRECTORY, TOOLS, VERSION, World, lsmod};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::emit;
use crate::errno::Errno;
use crate::text::is_space;

pub static KMOD: Applet = Applet {
    tool: Tool {
        name: "kmod",
        summary: "manage kernel modules: list, load, unload, and more",
        usage: &["[options] COMMAND [command options]"],
        options: &[
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[(
            "Description",
            "list shows the loaded modules, static-nodes the device nodes that modules want \
             before they are loaded. Called by another tool's name, it is that tool.",
        )],
        posix: true,
    },
    run,
};

static STATIC_NODES: Tool = Tool {
    name: "static-nodes",
    summary: "output the static device nodes of the running kernel's modules",
    usage: &["static-nodes [options]"],
    options: &[
        opt(b'f', "format", "human (default), tmpfiles or devname").arg("FORMAT"),
        opt(b'o', "output", "Write to FILE").arg("FILE"),
        opt(b'h', "help", "Show this help"),
    ],
    manual: &[],
    posix: false,
};

const COMMANDS: [(&str, &str); 3] = [
    ("help", "show help message"),
    ("list", "list currently loaded modules"),
    (
        "static-nodes",
        "output the static-node information installed with the currently running kernel",
    ),
];

fn help(world: &mut World<'_>) -> i32 {
    let mut text = format!(
        "kmod - Manage kernel modules: list, load, unload, etc\n\
         Usage:\n\t{} [options] command [command_options]\n\n\
         Options:\n\t-V, --version     show version\n\t-h, --help        show this help\n\n\
         Commands:\n",
        world.program()
    );
    for (name, what) in COMMANDS {
        text.push_str(&format!("  {name:<12} {what}\n"));
    }
    text.push_str("\nkmod also handles gracefully if called from following symlinks:\n");
    for a in TOOLS.iter().filter(|a| a.tool.name != "kmod") {
        text.push_str(&format!(
            "  {:<12} compat {} command\n",
            a.tool.name, a.tool.name
        ));
    }
    let written = emit!(world.out, text);
    world.finish(written)
}

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&KMOD.tool, args);
    match parsed.events.first() {
        Some(Event::Error(e)) => return world.usage_error(e),
        Some(Event::Opt("help", _)) => return help(world),
        Some(Event::Opt(..)) => {
            let written = emit!(world.out, VERSION);
            return world.finish(written);
        }
        None => {}
    }
    let Some((command, rest)) = parsed.rest.split_first() else {
        let _ = emit!(world.err, "missing command\n");
        help(world);
        return 1;
    };
    match &command[..] {
        b"help" => help(world),
        b"list" => lsmod::run(world, rest),
        b"static-nodes" => static_nodes(world, rest),
        _ => {
            let _ = emit!(world.err, "invalid command '", command, "'\n");
            help(world);
            1
        }
    }
}

/// A device node that a module wants to exist before it is loaded.
struct Node<'a> {
    module: &'a [u8],
    name: &'a [u8],
    kind: u8,
    numbers: (u32, u32),
}

fn parse_node(line: &[u8]) -> Option<Node<'_>> {
    let mut words = line.split(|&c| is_space(c)).filter(|w| !w.is_empty());
    let (module, name, device) = (words.next()?, words.next()?, words.next()?);
    let (&kind, numbers) = device.split_first()?;
    let (major, minor) = std::str::from_utf8(numbers).ok()?.split_once(':')?;
    let numbers = (major.parse().ok()?, minor.parse().ok()?);
    matches!(kind, b'c' | b'b').then_some(Node {
        module,
        name,
        kind,
        numbers,
    })
}

fn write_node(out: &mut Vec<u8>, format: &[u8], n: &Node<'_>) {
    let (major, minor) = n.numbers;
    let _ = match format {
        b"tmpfiles" => {
            if let Some(at) = n.name.iter().rposition(|&c| c == b'/') {
                let _ = emit!(out, "d /dev/", n.name[..at], " 0755 - - -\n");
            }
            let numbers = format!(" 0600 - - - {major}:{minor}\n");
            emit!(out, [n.kind], "! /dev/", n.name, numbers)
        }
        b"devname" => {
            let device = format!(" {}{major}:{minor}\n", n.kind as char);
            emit!(out, n.module, " ", n.name, device)
        }
        _ => {
            let kind = if n.kind == b'c' { "character" } else { "block" };
            let text = format!("\t\tType: {kind} device\n\t\tMajor: {major}\n\t\tMinor: {minor}\n");
            emit!(
                out,
                "Module: ",
                n.module,
                "\n\tDevice node: /dev/",
                n.name,
                "\n",
                text
            )
        }
    };
}

fn static_nodes(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&STATIC_NODES, args);
    let (mut format, mut output) = (b"human".to_vec(), None);
    for event in &parsed.events {
        match event {
            Event::Error(e) => return world.usage_error(e),
            Event::Opt("format", Some(f)) => {
                if ![&b"human"[..], b"tmpfiles", b"devname"].contains(&&f[..]) {
                    let _ = emit!(world.err, "Unknown format: '", f, "'.\n");
                    let text = crate::docs::help(&STATIC_NODES, &world.program());
                    let _ = emit!(world.out, text);
                    return 1;
                }
                format = f.clone();
            }
            Event::Opt("output", value) => output = value.clone(),
            Event::Opt(..) => {
                let text = crate::docs::help(&STATIC_NODES, &world.program());
                let written = emit!(world.out, text);
                return world.finish(written);
            }
        }
    }
    let release = world.kernel.release().unwrap_or_default();
    let path = bytes!(MODULE_DIRECTORY, "/", release, "/modules.devname");
    let text = match world.fs.read(&path, crate::config::FILE_MAX) {
        Ok(text) => text,
        Err(Errno::ENOENT) => {
            let _ = emit!(world.err, "Warning: ", path, " not found - ignoring\n");
            return 0;
        }
        Err(e) => {
            let _ = emit!(
                world.err,
                "Error: could not open ",
                path,
                " - ",
                e.text(),
                "\n"
            );
            return 1;
        }
    };
    let mut out = Vec::new();
    let mut code = 0;
    for line in text
        .split_inclusive(|&c| c == b'\n')
        .filter(|l| !l.starts_with(b"#"))
    {
        match parse_node(line) {
            Some(node) => write_node(&mut out, &format, &node),
            None => {
                let _ = emit!(world.err, "Error: invalid devname entry: ", line);
                code = 1;
            }
        }
    }
    let Some(path) = output else {
        let written = emit!(world.out, out);
        return code.max(world.finish(written));
    };
    if let Some(at) = path.iter().rposition(|&c| c == b'/')
        && at > 0
        && let Err(e) = world.fs.make_dirs(&path[..at])
    {
        let text = bytes!(
            "could not create parent directory for ",
            path,
            " - ",
            e.text()
        );
        let _ = emit!(world.err, "Error: ", text, ".\n");
        return 1;
    }
    if let Err(e) = world.fs.write(&path, &out) {
        let _ = emit!(
            world.err,
            "Error: could not create ",
            path,
            " - ",
            e.text(),
            "\n"
        );
        return 1;
    }
    code
}
