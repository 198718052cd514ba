//! The rank of every module: nothing imports to its left, and no circles.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    assert_none, imports,
    sources::{self, Module, PACKAGES},
};

/// Each package's top-level modules from left to right. Modules in one group do not import each
/// other in a circle, which another test holds; a module imports only from its own group and
/// from groups to its right.
///
/// What a request meets first stands first: `listener → downstream → relay → {cluster, route, pool,
/// command, topology} → upstream → wire`, and what runs around it.
const RANKS: &[(&str, &[&[&str]])] = &[
    (
        "weir",
        &[
            &["check", "proxy"],
            &["admin"],
            &["listener"],
            &["downstream"],
            &["relay"],
            &["cluster", "route"],
            &["pool", "drain", "metrics"],
            &["command"],
            &["upstream", "error"],
            &[
                "topology", "config", "socket", "limits", "log", "random", "buffer",
            ],
            &["scram"],
            &["wire"],
        ],
    ),
    ("weir-program", &[&["cli"]]),
    (
        "weir-demo",
        &[
            &["show"],
            &["layer", "phase", "stage", "table", "verdict", "words"],
            &[
                "endpoint",
                "fleet",
                "functions",
                "observer",
                "report",
                "seed",
                "sidecar",
            ],
            &["error", "outage", "students"],
            &["driver", "monitor"],
            &["world"],
            &["args", "tally"],
            &["exam", "link"],
        ],
    ),
    (
        "weir-pressure",
        &[
            &["find_target", "text"],
            &["sweep"],
            &["load", "outcome"],
            &["cell", "plan", "workload"],
            &["dataset", "knee", "proxy"],
            &["args", "target"],
            &["connection"],
        ],
    ),
    (
        "weir-extension",
        &[
            &["environment"],
            &["emf", "failover", "lifecycle", "log", "start"],
            &["connection_budget", "post_invoke"],
            &["api", "settings", "telemetry", "upstream"],
            &["env", "fallback"],
        ],
    ),
    (
        "weir-shim",
        &[
            &["install", "plan", "probe"],
            &["rewrite", "strings"],
            &["json", "settings"],
            &["chosen", "target"],
            &["uri"],
        ],
    ),
    (
        "weir-benches",
        &[
            &["suite"],
            &["table"],
            &["targets"],
            &["cell", "text"],
            &["measure"],
            &["contender", "process"],
            &["args", "server"],
            &["generator"],
            &["connection"],
        ],
    ),
    (
        "weir-kit",
        &[
            &[
                "client",
                "emulator",
                "interrupts",
                "python",
                "random",
                "screen",
                "text",
            ],
            &["messages", "mongod", "numbers", "paint"],
            &["parts", "paths"],
            &["process"],
        ],
    ),
    (
        "weir-tests",
        &[
            &[
                "balancer", "cluster", "demo", "lambda", "python", "role", "sockets", "spec",
            ],
            &[
                "certificates",
                "drivers",
                "memory",
                "relay",
                "scripted",
                "skip",
                "weir",
            ],
            &["background", "paths", "random", "raw"],
            &["message", "wait"],
        ],
    ),
    (
        "weir-lab",
        &[
            &["lambda", "reliability", "rolling", "suites"],
            &["matrix", "soak"],
        ],
    ),
];

/// Imports to the left that are plain data.
const PLAIN_DATA: [&str; 1] = ["topology::NodeAddress"];

#[test]
fn every_module_has_a_rank() {
    let modules = sources::all();
    let mut wrong = Vec::new();
    for package in &PACKAGES {
        let root = modules
            .iter()
            .find(|m| m.package == package.name && m.path.is_empty());
        let declared: BTreeSet<_> = root.unwrap().children.iter().map(String::as_str).collect();
        let groups = ranks(package.name).iter().flat_map(|group| group.iter());
        let ranked: Vec<_> = groups.copied().collect();
        let unique: BTreeSet<_> = ranked.iter().copied().collect();
        if unique.len() != ranked.len() {
            wrong.push(format!("{}: a module is ranked twice", package.name));
        }
        for name in declared.symmetric_difference(&unique) {
            wrong.push(format!(
                "{}: `{name}` is ranked or declared, not both",
                package.name
            ));
        }
    }
    assert_none("RANKS and the `mod` lines differ", &wrong);
}

#[test]
fn nothing_imports_to_its_left() {
    let mut wrong = Vec::new();
    for module in &sources::all() {
        let Some(mine) = module
            .path
            .first()
            .and_then(|top| rank(module.package, top))
        else {
            continue;
        };
        for import in imports::of(module) {
            let Some(top) = import.path.first() else {
                continue;
            };
            let written = import.path.join("::");
            let allowed = PLAIN_DATA.iter().any(|name| written.starts_with(name));
            if rank(module.package, top).is_some_and(|theirs| theirs < mine) && !allowed {
                wrong.push(format!("{} imports crate::{written}", module.file));
            }
        }
    }
    assert_none("imports to the left", &wrong);
}

#[test]
fn both_sides_of_the_proxy_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for module in sources::all().iter().filter(|m| m.package == "weir") {
        for (side, other) in [("downstream", "upstream"), ("upstream", "downstream")] {
            let names = |path: &[String], top: &str| path.first().is_some_and(|first| first == top);
            if names(&module.path, side) {
                let named = imports::of(module);
                let named = named.iter().filter(|import| names(&import.path, other));
                wrong.extend(named.map(|i| format!("{} imports {:?}", module.file, i.path)));
            }
        }
    }
    assert_none("downstream and upstream meet only in relay", &wrong);
}

/// Folders of the laboratory whose modules are one scene: an event happens to the stage, and the
/// stage is built for an event.
const ONE_SCENE: [(&str, &str); 1] = [("weir-lab", "reliability")];

/// Among the modules of one folder, imports form no circle. A name that a parent re-exports
/// counts as an import of the child that defines it.
#[test]
fn no_modules_import_each_other_in_a_circle() {
    let modules = sources::all();
    let mut wrong = Vec::new();
    let is_scene = |m: &Module| ONE_SCENE.contains(&(m.package, m.name().as_str()));
    for parent in modules
        .iter()
        .filter(|m| m.children.len() > 1 && !is_scene(m))
    {
        let graph = siblings(parent, &modules);
        for circle in circles(&graph) {
            wrong.push(format!(
                "{} {}: {}",
                parent.package,
                parent.name(),
                circle.join(", ")
            ));
        }
    }
    assert_none("circles of imports", &wrong);
}

/// For each child of `parent`, the other children that it or its own children import.
fn siblings(parent: &Module, modules: &[Module]) -> BTreeMap<String, BTreeSet<String>> {
    let depth = parent.path.len();
    let re_exports = imports::re_exports(parent);
    let child_of = |path: &[String]| -> Option<String> {
        if path.get(..depth)? != parent.path.as_slice() {
            return None;
        }
        let name = path.get(depth)?;
        if parent.children.contains(name) {
            return Some(name.clone());
        }
        re_exports.get(name)?.get(depth).cloned()
    };
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules.iter().filter(|m| m.package == parent.package) {
        if module.path.len() <= depth {
            continue;
        }
        let Some(from) = child_of(&module.path) else {
            continue;
        };
        let edges = graph.entry(from.clone()).or_default();
        for import in imports::of(module) {
            edges.extend(child_of(&import.path).filter(|to| *to != from));
        }
    }
    graph
}

/// Groups of two or more nodes that reach each other.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| -> BTreeSet<String> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = open.pop() {
            for next in graph.get(&node).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|node| (node.clone(), reach(node)))
        .collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (node, to) in &reached {
        let mut circle: Vec<_> = to
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(node)))
            .cloned()
            .collect();
        if circle.len() > 1 {
            circle.sort();
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn ranks(package: &str) -> &'static [&'static [&'static str]] {
    let found = RANKS.iter().find(|(name, _)| *name == package);
    found.map(|(_, groups)| *groups).unwrap_or_default()
}

fn rank(package: &str, module: &str) -> Option<usize> {
    ranks(package)
        .iter()
        .position(|group| group.contains(&module))
}

#[test]
fn a_circle_is_found() {
    let graph = [("a", "b"), ("b", "c"), ("c", "b")];
    let graph = graph.map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])));
    assert_eq!(circles(&BTreeMap::from(graph)), [["b", "c"]]);
}
