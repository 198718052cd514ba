//! The program as it is used: it ends by becoming another one.

use std::io::Result;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

const URI: &str = "mongodb+srv://u:s3cret@c.example.net/db?w=1";
const NEW: &str = "mongodb://u:s3cret@127.0.0.1:27017/db?w=1&authSource=admin";

/// Runs the shim with these variables and no others.
fn shim(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_weir-shim"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_program_finds_the_new_string_and_the_old_one() {
    let script = r#"echo "$0 $1 $X $WEIR_SHIM_ORIGINAL_X""#;
    for separator in [&["--"][..], &[]] {
        let line = [separator, &["sh", "-c", script, "a", "b c"]].concat();
        let output = shim(&line, &[("X", URI)]).unwrap();
        assert_eq!(text(&output.stdout), format!("a b c {NEW} {URI}\n"));
        let said = text(&output.stderr);
        assert!(
            said.starts_with("weir-shim: X is now mongodb://***@"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn it_is_the_same_process() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-shim"));
    command.args(["sh", "-c", "echo $$"]).arg0("weir-shim");
    let child = command.stdout(std::process::Stdio::piped()).spawn();
    let child = child.unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), format!("{pid}\n"));
}

#[test]
fn exit_codes_are_the_program_s_or_a_shell_s() {
    let code = |line: &[&str]| shim(line, &[]).unwrap().status.code();
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["/no/such/program"]), Some(127));
    assert_eq!(code(&["--", "/etc/passwd"]), Some(126));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--"]), Some(2));
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn what_goes_wrong_leaves_the_program_its_own_string() {
    let script = r#"printf %s "$X""#;
    let x509 = "mongodb://h/?authMechanism=MONGODB-X509&tls=true";
    for variables in [
        &[("X", URI), ("WEIR_SHIM_OFF", "1")][..],
        &[("X", URI), ("WEIR_SHIM_PERCENT", "0")],
        &[("X", URI), ("WEIR_SHIM_PERCENT", "half")],
        &[("X", x509)],
    ] {
        let output = shim(&["sh", "-c", script], variables).unwrap();
        assert_eq!(text(&output.stdout), variables[0].1);
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn another_wrapper_is_started_with_the_program() {
    let script = r#"echo "$X $# ${NEXT_WRAPPER-unset}""#;
    let line = ["echo", "program", "argument"];
    let output = shim(&line, &[("X", URI), ("NEXT_WRAPPER", "/bin/echo")]).unwrap();
    assert_eq!(text(&output.stdout), "echo program argument\n");
    // `env` runs what it is given, as a wrapper does.
    let line = ["sh", "-c", script, "sh", "1"];
    let output = shim(&line, &[("X", URI), ("NEXT_WRAPPER", "env")]).unwrap();
    assert_eq!(text(&output.stdout), format!("{NEW} 1 unset\n"));
    let output = shim(&line, &[("X", URI), ("NEXT_WRAPPER", "/no/such")]).unwrap();
    assert_eq!(text(&output.stdout), format!("{NEW} 1 unset\n"));
    assert!(text(&output.stderr).contains("the program is run without it"));
}

#[test]
fn twice_is_once() {
    let shim_itself = env!("CARGO_BIN_EXE_weir-shim");
    let script = r#"echo "$X $WEIR_SHIM_ORIGINAL_X""#;
    let output = shim(&[shim_itself, "sh", "-c", script], &[("X", URI)]).unwrap();
    assert_eq!(text(&output.stdout), format!("{NEW} {URI}\n"));
}

#[test]
fn print_shows_and_hides() {
    let output = shim(&["print"], &[("X", URI)]).unwrap();
    let expected = "X is now mongodb://***@127.0.0.1:27017/db (with w, authSource)\n";
    assert_eq!(text(&output.stdout), expected);
    assert!(output.status.success() && output.stderr.is_empty());
}
