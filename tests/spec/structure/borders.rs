//! What only one module, or no module, may use.

use super::{
    assert_none,
    sources::{self, Module},
};

/// Modules of the library that do no I/O and read no clock.
const PURE: [&str; 14] = [
    "wire",
    "command",
    "route",
    "scram",
    "pool::state",
    "topology::sdam",
    "topology::verdict",
    "relay::scrub",
    "relay::decide",
    "drain::away",
    "error",
    "check::judge",
    "check::advice",
    "config::units",
];

/// Whole packages and modules of other packages that do no I/O and read no clock.
const PURE_ELSEWHERE: &[(&str, &str)] = &[
    ("weir-demo", "verdict"),
    ("weir-pressure", "knee"),
    ("weir-pressure", "plan"),
    ("weir-extension", "fallback"),
    ("weir-extension", "lifecycle"),
    ("weir-extension", "connection_budget"),
    ("weir-extension", "upstream"),
    ("weir-shim", "chosen"),
    ("weir-shim", "json"),
    ("weir-shim", "plan"),
    ("weir-shim", "rewrite"),
    ("weir-shim", "settings"),
    ("weir-shim", "strings"),
    ("weir-shim", "target"),
    ("weir-shim", "uri"),
    ("weir-lab", "reliability::goals"),
];

/// Production code of one package's modules, without comments, that contains one of `words`.
fn forbid(words: &[&str], modules: impl Fn(&Module) -> bool, why: &str) {
    let mut wrong = Vec::new();
    let mut read = 0;
    for module in sources::all().iter().filter(|module| modules(module)) {
        read += 1;
        for (number, line) in module.production_lines() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{number}: {}", module.file, line.trim()));
            }
        }
    }
    assert!(read > 0, "{why}: no module was read");
    assert_none(why, &wrong);
}

fn is_weir(module: &Module) -> bool {
    module.package == "weir"
}

/// Whether a module is `name` or below it.
fn is_in(module: &Module, name: &str) -> bool {
    let path = module.name();
    path == name
        || path
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let words = [
        "tokio::",
        "tracing::",
        "use metrics",
        "Instant::now",
        "SystemTime::now",
        "std::fs",
        "std::net::Tcp",
    ];
    let modules = sources::all();
    for name in PURE {
        let found = modules.iter().any(|m| is_weir(m) && is_in(m, name));
        assert!(found, "PURE names `{name}`, which is no module");
    }
    let pure = |module: &Module| {
        (is_weir(module) && PURE.iter().any(|name| is_in(module, name)))
            || PURE_ELSEWHERE
                .iter()
                .any(|(package, name)| module.package == *package && is_in(module, name))
    };
    forbid(&words, pure, "pure modules must stay pure");
}

#[test]
fn a_module_that_says_pure_is_held_to_it() {
    let mut wrong = Vec::new();
    for module in sources::all() {
        let says = module
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"));
        let says = says
            .into_iter()
            .any(|line| line.contains("Pure.") || line.contains("pure:"));
        let listed = PURE
            .iter()
            .any(|name| is_weir(&module) && is_in(&module, name))
            || PURE_ELSEWHERE
                .iter()
                .any(|(package, name)| module.package == *package && is_in(&module, name));
        if says && !listed {
            wrong.push(module.file.clone());
        }
    }
    assert_none(
        "modules that call themselves pure and stand in no list",
        &wrong,
    );
}

#[test]
fn the_driver_is_used_by_two_modules() {
    let allowed =
        |module: &Module| is_in(module, "config::uri") || is_in(module, "topology::monitor");
    forbid(
        &["mongodb::"],
        |module| is_weir(module) && !allowed(module),
        "the driver's types stop at two modules",
    );
}

#[test]
fn the_environment_is_read_in_one_place() {
    let words = [
        "std::env::var",
        "std::env::args",
        "env::vars",
        "env::set_var",
        "env::var(",
    ];
    forbid(
        &words,
        |module| is_weir(module) && module.name() != "config::env",
        "only config/env.rs reads the environment",
    );
}

#[test]
fn metrics_are_made_in_one_place() {
    forbid(
        &["use metrics::", "counter!(", "gauge!(", "histogram!("],
        |module| is_weir(module) && !is_in(module, "metrics"),
        "only metrics makes metrics",
    );
}

#[test]
fn the_library_starts_no_process_and_parses_no_command_line() {
    forbid(
        &[
            "process::Command",
            "Command::new",
            "clap::",
            "std::process::exit",
        ],
        is_weir,
        "the library is embedded by others",
    );
}

#[test]
fn the_proxy_does_not_know_lambda() {
    forbid(
        &["lambda_extension", "lambda_runtime"],
        |module| matches!(module.package, "weir" | "weir-program" | "weir-shim"),
        "Lambda belongs to the extension and to tests",
    );
}
