//! Points a program at Weir by changing its environment only, and becomes that program.
//!
//! ```text
//! weir-shim [--] PROGRAM ARGUMENT...   change the environment, then exec
//! weir-shim print                      print what it would change
//! weir-shim install FOLDER             copy itself into FOLDER
//! ```
//!
//! It serves as `AWS_LAMBDA_EXEC_WRAPPER`, and as the entry point of a container. After any failure
//! it writes one line to standard error and runs the program unchanged. A function that does not
//! start is worse than a function without pooled connections. `docs/shim.md` describes the variables.
//!
//! The library decides what changes. This file reads the environment and starts the program.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use weir_shim::plan::{self, Plan};
use weir_shim::settings::NEXT_WRAPPER;
use weir_shim::{install, probe};

const USAGE: &str = "\
usage: weir-shim [--] PROGRAM ARGUMENT...
       weir-shim print
       weir-shim install FOLDER

Points the connection strings in the environment at Weir and becomes PROGRAM.
`print` prints what it would change. `install` copies the shim into FOLDER, for
the other containers of a task. WEIR_SHIM_OFF=1 switches the shim off.
";

/// The exit code of a shell for a program that does not exist.
const NOT_FOUND: u8 = 127;
/// The exit code of a shell for a file that it cannot run.
const NOT_EXECUTABLE: u8 = 126;
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let line: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Vec<&str> = line.iter().map_while(|word| word.to_str()).collect();
    match (words.as_slice(), line.as_slice()) {
        (["print"], [_]) => print(),
        (["install", folder], [_, _]) => put_into(folder),
        (["--help" | "-h"], [_]) => say(io::stdout(), USAGE, ExitCode::SUCCESS),
        (["--version"], [_]) => {
            let version = concat!("weir-shim ", env!("CARGO_PKG_VERSION"), "\n");
            say(io::stdout(), version, ExitCode::SUCCESS)
        }
        (["--", ..], [_, program @ ..]) | (_, program) => run(program),
    }
}

fn run(line: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = line.split_first() else {
        return say(io::stderr(), USAGE, ExitCode::from(USAGE_ERROR));
    };
    let plan = planned();
    tell(plan.said());
    // The next wrapper must not find its own name in the environment and start itself.
    let next = env::var_os(NEXT_WRAPPER).filter(|next| !next.is_empty());
    let prepared = |program: &OsString| {
        let mut command = Command::new(program);
        let changes = plan.changes.iter().map(|(name, value)| (name, value));
        command.env_remove(NEXT_WRAPPER).envs(changes);
        command
    };
    if let Some(wrapper) = next {
        let error = become_it(prepared(&wrapper).arg(program).args(arguments));
        tell([format!(
            "{NEXT_WRAPPER} {} does not start ({error}); the program starts without it",
            wrapper.display()
        )]);
    }
    let error = become_it(prepared(program).args(arguments));
    tell([format!("{} does not start: {error}", program.display())]);
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// Replaces this process by the command. Returns only if that failed.
fn become_it(command: &mut Command) -> io::Error {
    command.exec()
}

/// The plan for this process's environment. It leaves out variables that are not valid UTF-8.
fn planned() -> Plan {
    let variables = env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string(), value.into_string());
        name.ok().zip(value.ok())
    });
    let environment: Vec<_> = variables.collect();
    let moment = SystemTime::now().duration_since(UNIX_EPOCH);
    let moment = moment.unwrap_or_default().as_nanos();
    let mut plan = plan::plan(&environment, &format!("{} {moment}", std::process::id()));
    if let Some((target, limit)) = plan.probe.take()
        && !probe::is_there(&target, limit)
    {
        plan.give_up(&target, limit);
    }
    plan
}

fn print() -> ExitCode {
    let plan = planned();
    let lines: String = plan.said().map(|line| format!("{line}\n")).collect();
    say(io::stdout(), &lines, ExitCode::SUCCESS)
}

/// `install`: the only command that fails, so that a task without the copy does not start.
fn put_into(folder: &str) -> ExitCode {
    match install::copy_into(folder.as_ref()) {
        Ok(copy) => say(
            io::stdout(),
            &format!("{}\n", copy.display()),
            ExitCode::SUCCESS,
        ),
        Err(error) => {
            tell([format!("cannot copy weir-shim into {folder}: {error}")]);
            ExitCode::FAILURE
        }
    }
}

/// Writes lines to standard error. If it is closed, the program still runs.
fn tell(lines: impl IntoIterator<Item = impl AsRef<str>>) {
    let lines = lines.into_iter();
    let lines: String = lines
        .map(|line| format!("weir-shim: {}\n", line.as_ref()))
        .collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}

fn say(mut to: impl Write, text: &str, code: ExitCode) -> ExitCode {
    match to.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
