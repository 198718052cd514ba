//! How much later a program starts because of the shim. Alone in its process, so that no other
//! test is measured with it. `$WEIR_SHIM_BINARY` names another build.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is a test"
)]

use std::env;
use std::ffi::OsString;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Until the program is executed.
const LIMIT: Duration = Duration::from_millis(2);
/// The quietest round counts: other work on the machine is not the shim's.
const ROUNDS: usize = 7;
const STARTS: usize = 40;

fn binary() -> OsString {
    let given = env::var_os("WEIR_SHIM_BINARY");
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_weir-shim").into())
}

/// A function's environment: Lambda's variables, two strings, a secret, all settings on.
fn variables(target: &str) -> Vec<(String, String)> {
    let uri = "mongodb+srv://u:s3cret@c.example.net/db?retryWrites=true&w=majority&appName=x";
    let mut variables: Vec<_> = (0..40)
        .map(|n| (format!("AWS_LAMBDA_VARIABLE_{n}"), "x".repeat(60)))
        .collect();
    let more = [
        ("MONGO_AUTH_CREDENTIALS", uri.to_owned()),
        ("MONGODB_URI", uri.to_owned()),
        ("SECRET", format!(r#"{{"user":"u","uri":"{uri}"}}"#)),
        (
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "2026/11/21/[$LATEST]1".to_owned(),
        ),
        ("WEIR_SHIM_PERCENT", "100".to_owned()),
        ("WEIR_SHIM_TARGET", target.to_owned()),
    ];
    variables.extend(more.map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// From start to end.
fn timed(arguments: &[OsString], variables: &[(String, String)]) -> Duration {
    let mut command = Command::new(binary());
    let pairs = variables.iter().map(|(name, value)| (name, value));
    command.args(arguments).env_clear().envs(pairs);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success());
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_program_starts_at_most_two_milliseconds_later() {
    let weir = TcpListener::bind("127.0.0.1:0").unwrap();
    let variables = variables(&weir.local_addr().unwrap().to_string());
    // The program is the shim's own version: it does nothing, and loads as the shim does.
    let plain = [OsString::from("--version")];
    let through = ["--".into(), binary(), "--version".into()];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let pairs = (0..STARTS).map(|_| (timed(&plain, &variables), timed(&through, &variables)));
        let (alone, shimmed): (Vec<_>, Vec<_>) = pairs.unzip();
        let (alone, shimmed) = (median(alone), median(shimmed));
        rounds.push((shimmed.saturating_sub(alone), alone, shimmed));
        // Weir would take them; here they only fill the listener's queue.
        weir.set_nonblocking(true).unwrap();
        while weir.accept().is_ok() {}
    }
    let (added, alone, shimmed) = *rounds.iter().min().unwrap();
    println!("program alone {alone:?}, through the shim {shimmed:?}: {added:?} until exec");
    assert!(added > Duration::ZERO, "nothing was measured");
    assert!(added <= LIMIT, "{added:?} until exec: {rounds:?}");
}
