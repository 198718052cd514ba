//! Points a program at Weir by its environment alone, and becomes that program.
//!
//! ```text
//! weir-shim [--] PROGRAM ARGUMENT...   change the environment, then exec
//! weir-shim print                      say what would be changed
//! ```
//!
//! It serves as `AWS_LAMBDA_EXEC_WRAPPER`, and as the entry point of a container. Whatever goes
//! wrong is said on standard error, and the program runs unchanged: being in the way of a
//! function is worse than not pooling its connections.
//!
//! | variable | meaning |
//! |---|---|
//! | `WEIR_SHIM_VARS` | the variables to change; without it, all that hold a connection string, or a JSON object with one in its `uri` |
//! | `WEIR_SHIM_TARGET` | where Weir listens; `127.0.0.1:27017` |
//! | `WEIR_SHIM_OFF` | set to anything but `0`, `false`, `no`, `off`: change nothing |
//! | `WEIR_SHIM_PERCENT` | change this share of all environments only; who was chosen stays chosen when it grows |
//! | `WEIR_SHIM_SALT` | another salt chooses others |
//! | `WEIR_SHIM_ID` | names this environment, where neither Lambda nor ECS does |
//! | `WEIR_SHIM_ORIGINAL_<NAME>` | set by the shim: what `<NAME>` was |
//! | `NEXT_WRAPPER` | another exec wrapper, which is started with the program |
//!
//! | file | its part |
//! |---|---|
//! | `plan` | which variables, and what to say |
//! | `rewrite` | one connection string; pure |
//! | `json` | a connection string inside a secret; pure |
//! | `chosen` | the percentage; pure |

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::plan::Plan;

mod chosen;
mod json;
mod plan;
mod rewrite;

const USAGE: &str = "\
usage: weir-shim [--] PROGRAM ARGUMENT...
       weir-shim print

Points the connection strings in the environment at Weir and becomes PROGRAM.
`print` says what it would change. WEIR_SHIM_OFF=1 switches it off.
";

/// As a shell says that there is no such program.
const NOT_FOUND: u8 = 127;
/// As a shell says that it cannot be run.
const NOT_EXECUTABLE: u8 = 126;
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next();
    let rest: Vec<OsString> = arguments.collect();
    match first.as_ref().and_then(|first| first.to_str()) {
        Some("print") if rest.is_empty() => {
            print(&planned());
            ExitCode::SUCCESS
        }
        Some("--help" | "-h") if rest.is_empty() => say(io::stdout(), USAGE, ExitCode::SUCCESS),
        Some("--version") if rest.is_empty() => {
            let version = concat!("weir-shim ", env!("CARGO_PKG_VERSION"), "\n");
            say(io::stdout(), version, ExitCode::SUCCESS)
        }
        Some("--") => run(&rest),
        _ => match first {
            Some(program) => run(&[vec![program], rest].concat()),
            None => run(&[]),
        },
    }
}

fn run(line: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = line.split_first() else {
        return say(io::stderr(), USAGE, ExitCode::from(USAGE_ERROR));
    };
    let plan = planned();
    tell(&plan.lines);
    // Another wrapper must not find itself named and start itself.
    let next = env::var_os("NEXT_WRAPPER").filter(|next| !next.is_empty());
    let prepared = |program: &OsString| {
        let mut command = Command::new(program);
        let changes = plan.changes.iter().map(|(name, value)| (name, value));
        command.env_remove("NEXT_WRAPPER").envs(changes);
        command
    };
    if let Some(wrapper) = next {
        let error = become_it(prepared(&wrapper).arg(program).args(arguments));
        tell(&[format!(
            "NEXT_WRAPPER {} cannot be run ({error}); the program is run without it",
            wrapper.display()
        )]);
    }
    let error = become_it(prepared(program).args(arguments));
    tell(&[format!("{} cannot be run: {error}", program.display())]);
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// Comes back only when that failed.
fn become_it(command: &mut Command) -> io::Error {
    command.exec()
}

/// The plan for this process's environment. Variables that are not text are none of ours.
fn planned() -> Plan {
    let variables = env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string(), value.into_string());
        name.ok().zip(value.ok())
    });
    let environment: Vec<_> = variables.collect();
    let moment = SystemTime::now().duration_since(UNIX_EPOCH);
    let moment = moment.unwrap_or_default().as_nanos();
    plan::plan(&environment, &format!("{} {moment}", std::process::id()))
}

fn print(plan: &Plan) {
    let mut lines = plan.lines.join("\n");
    lines.push('\n');
    say(io::stdout(), &lines, ExitCode::SUCCESS);
}

/// A closed standard error is no reason not to run the program.
fn tell(lines: &[String]) {
    let lines: String = lines
        .iter()
        .map(|line| format!("weir-shim: {line}\n"))
        .collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn say(mut to: impl Write, text: &str, code: ExitCode) -> ExitCode {
    match to.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
