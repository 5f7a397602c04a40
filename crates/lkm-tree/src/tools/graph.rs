//! `lkm graph`: the dependency picture.

use super::{MODULE_DIRECTORY, World};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::catalog::Catalog;
use crate::config::{Config, modprobe::DEFAULT_PATHS};
use crate::emit;
use crate::graph::{Graph, svg};

/// `lkm graph`, which is no tool of kmod's.
pub static GRAPH: Tool = Tool {
    name: "graph",
    summary: "draw what modules depend on",
    usage: &["[options] NAME...", "[options] --loaded", "[options] --all"],
    options: &[
        opt(0, "svg", "Print SVG instead of DOT"),
        opt(0, "loaded", "The modules in the kernel"),
        opt(0, "all", "All modules of the tree"),
        opt(b'o', "output", "Write to FILE (SVG when it ends in .svg)").arg("FILE"),
        opt(
            b'b',
            "basedir",
            "Use DIR as file system root for /lib/modules",
        )
        .arg("DIR"),
        opt(b'k', "set-version", "Use VERSION instead of $(uname -r)").arg("VERSION"),
        opt(b'h', "help", "Show this help"),
    ],
    manual: &[(
        "Description",
        "Draws modules above what they depend on; dashed are soft dependencies. What something \
         else in the picture brings along anyway gets no line of its own.",
    )],
    posix: false,
};

/// Runs it; the exit code.
pub fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&GRAPH, args);
    let (mut as_svg, mut loaded, mut all) = (false, false, false);
    let (mut output, mut root, mut version) = (None, Vec::new(), None);
    for event in &parsed.events {
        if let Some(code) = world.common_option(&GRAPH, event) {
            return code;
        }
        let Event::Opt(name, value) = event else {
            continue;
        };
        match *name {
            "svg" => as_svg = true,
            "loaded" => loaded = true,
            "all" => all = true,
            "output" => output = value.clone(),
            "basedir" => root = value.clone().unwrap_or_default(),
            "set-version" => version = value.clone(),
            _ => {}
        }
    }
    if !loaded && !all && parsed.rest.is_empty() {
        world.log().error("missing module names. See -h.");
        return 1;
    }
    let graph = match draw(world, loaded, all, root, version, &parsed.rest) {
        Ok(graph) => graph,
        Err(text) => {
            world.log().error(text);
            return 1;
        }
    };
    as_svg |= output
        .as_ref()
        .is_some_and(|o: &Vec<u8>| o.ends_with(b".svg"));
    let text = if as_svg { svg(&graph) } else { graph.dot() };
    let written = match output {
        Some(path) => world
            .fs
            .write(&path, text.as_bytes())
            .map_err(|e| bytes!(path, ": ", e.text())),
        None => {
            let written = emit!(world.out, text);
            return world.finish(written);
        }
    };
    match written {
        Ok(()) => 0,
        Err(text) => {
            world.log().error(text);
            1
        }
    }
}

fn draw(
    world: &mut World<'_>,
    loaded: bool,
    all: bool,
    root: Vec<u8>,
    version: Option<Vec<u8>>,
    names: &[Vec<u8>],
) -> Result<Graph, Vec<u8>> {
    if loaded {
        return Graph::of_loaded(world.kernel)
            .map_err(|e| format!("could not get list of modules: {e}").into_bytes());
    }
    let version = match version {
        Some(v) => v,
        None => world.kernel.release().map_err(|e| e.text().into_bytes())?,
    };
    let dirname = bytes!(root, MODULE_DIRECTORY, "/", version);
    let dirname = world
        .fs
        .absolute(&dirname)
        .map_err(|e| e.text().into_bytes())?;
    let config = Config::load(world.fs, &dirname, &DEFAULT_PATHS, None);
    let mut catalog = Catalog::new(world.fs, world.kernel, dirname, config);
    let graph = match all {
        true => Graph::of_tree(&mut catalog),
        false => Graph::of_names(&mut catalog, names),
    };
    graph.map_err(|n| bytes!("Module ", n, " not found in directory ", catalog.dirname()))
}
