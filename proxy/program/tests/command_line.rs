//! The program as a stranger meets it. Its presence also makes `cargo test` build the
//! program with the very features the other tests use, once.

use std::process::{Command, Output};

fn weir(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let output = command.args(arguments).env_clear().output();
    output.unwrap_or_else(|error| unreachable!("cargo has built the program: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_tells_its_version() {
    let output = weir(&["--version"]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout).trim(),
        concat!("weir ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn all_mistakes_are_told_together_before_anything_opens() {
    let output = weir(&["serve", "--queue-timeout", "5", "--max-connections", "many"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for named in ["upstream", "queue-timeout", "max-connections"] {
        assert!(said.contains(named), "{named} is not named in: {said}");
    }
}

#[test]
fn a_pool_too_small_for_its_monitors_is_refused() {
    let upstream = "mongodb://127.0.0.1:1/?replicaSet=rs0";
    let output = weir(&["serve", "--upstream", upstream, "--max-connections", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("max-connections"),
        "{}",
        text(&output.stderr)
    );
}
