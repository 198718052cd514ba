//! The command line: what was asked for, the runtime it needs, and the exit code.
//!
//! | module | its part |
//! |---|---|
//! | [`args`] | subcommands and flags |
//! | [`serve`] | `weir serve`, and `weir` alone |
//! | [`check`] | `weir check`: settings, upstream, client strings |
//! | [`healthcheck`] | for containers: exit 0 or 1 |
//! | [`status`] | live state of a running Weir |
//! | [`http`] | one small GET for the two above |
//! | [`demo`] | the quick start |
//! | [`mod@bench`] | pool pressure on one's own deployment |
//! | [`plan`] | a name kept for a later version |
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use weir::config::Problems;

pub(crate) mod args;
#[cfg(feature = "pressure")]
pub(crate) mod bench;
pub(crate) mod check;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod healthcheck;
pub(crate) mod http;
pub(crate) mod plan;
pub(crate) mod serve;
pub(crate) mod status;

/// The command line or the configuration is wrong.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Runs what the command line asks for, to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => serve::run(&flags.0),
        Command::Healthcheck(args) => once(healthcheck::run(args)),
        Command::Status(args) => once(status::run(args)),
        Command::Check(args) => once(check::run(args)),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
        #[cfg(not(feature = "demo"))]
        Command::Demo(_) => not_in_this_build("demo"),
        Command::Plan(_) => plan::run(),
        #[cfg(feature = "pressure")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(not(feature = "pressure"))]
        Command::Bench(_) => not_in_this_build("bench"),
    }
}

/// Writes an error to standard error. Nobody may be reading any more, and that is no error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "weir: {text}");
}

/// Prints all problems of a configuration.
pub(crate) fn refuse(problems: &Problems) -> ExitCode {
    complain(&problems.to_string());
    ExitCode::from(EXIT_USAGE)
}

/// The answer of a subcommand whose name is kept for later.
pub(crate) fn not_in_this_version(name: &str, what: &str) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    eprintln!("weir: `weir {name}`, {what}, is not in this version ({version})");
    ExitCode::from(EXIT_USAGE)
}

/// The answer of a subcommand that production builds leave out.
#[cfg(not(all(feature = "demo", feature = "pressure")))]
fn not_in_this_build(name: &str) -> ExitCode {
    eprintln!(
        "weir: this build is without `weir {name}`; the default features have it \
         (cargo build --release -p weir-program)"
    );
    ExitCode::from(EXIT_USAGE)
}

/// Runs a command that ends by itself on a small runtime.
fn once(command: impl Future<Output = ExitCode>) -> ExitCode {
    match current_thread() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            complain(&format!("no runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A runtime on this thread alone.
fn current_thread() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Help and version go to standard output; mistakes to standard error, passwords masked.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        eprint!("{}", mask_logins(&text));
        ExitCode::from(EXIT_USAGE)
    } else {
        print!("{text}");
        ExitCode::SUCCESS
    }
}

/// Replaces what stands between `://` and the last `@` of a word by `***`: a connection string
/// in the wrong place is quoted back by the parser, and may end in a log.
fn mask_logins(text: &str) -> String {
    let mask = |word: &str| match word.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}://***@{place}"),
            None => word.to_owned(),
        },
        None => word.to_owned(),
    };
    text.split_inclusive([' ', '\n']).map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misplaced_connection_string_is_masked() {
        let line = ["weir", "mongodb://user:sword@fish@host/db"].map(OsString::from);
        let error = Cli::try_parse_from(line).unwrap_err();
        let shown = mask_logins(&error.render().to_string());
        assert!(shown.contains("mongodb://***@host/db"), "{shown}");
        assert!(
            !shown.contains("sword") && !shown.contains("fish"),
            "{shown}"
        );
    }
}
