//! What was not tested on this machine: said at once, and again at the end.
//!
//! The test runner has no hook for its end, and it swallows what passing tests
//! print. So a small shell waits on a pipe; when this process ends, the pipe
//! closes and the shell prints the count and every line.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};

/// Prints what it was told once its input ends.
const PRINTER: &str = r#"
trap '' HUP INT TERM
told=$(cat)
[ -z "$told" ] || printf '\n%s skipped on this machine:\n%s\n' "$(printf '%s\n' "$told" | wc -l)" "$told" >&2
"#;

static PRINTER_PROCESS: Mutex<Option<Child>> = Mutex::new(None);
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that `what` is not tested here because of `why`.
pub fn skip(what: &str, why: &str) {
    // One line per skip, or the count would be wrong.
    let line = format!("  {what}: {}", why.replace('\n', " "));
    // Straight to the handle: the runner captures only the print macros.
    let _ = writeln!(std::io::stderr(), "SKIPPED{line}");
    let mut printer = PRINTER_PROCESS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if printer.is_none() {
        *printer = Command::new("sh")
            .args(["-c", PRINTER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .ok();
    }
    if let Some(pipe) = printer.as_mut().and_then(|child| child.stdin.as_mut()) {
        let _ = writeln!(pipe, "{line}");
    }
    SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
}

/// As [`skip`], for a language that is not installed; in CI, where all are, an error.
///
/// # Errors
/// With `$CI` set.
pub fn skip_language(what: &str, why: &str) -> Result<()> {
    ensure!(
        !is_ci(env::var_os("CI").as_deref()),
        "{what}: {why}; in CI every language must be there"
    );
    skip(what, why);
    Ok(())
}

/// Whether this value of `$CI` says that this is one.
fn is_ci(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Whether the search path has such a program.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What has been skipped so far.
pub fn skipped() -> Vec<String> {
    SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_is_what_says_so() {
        let is = |value: &str| is_ci(Some(OsStr::new(value)));
        assert!(is("true") && is("1"));
        assert!(!is("") && !is("false") && !is("0") && !is_ci(None));
    }

    #[test]
    fn a_program_is_installed_or_not() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program-of-weir"));
    }
}
