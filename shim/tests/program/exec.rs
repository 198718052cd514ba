//! What the program finds, and that nothing holds it up.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{NEW, UNASKED, URI, binary, command, shim, text};

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
    let mut command = Command::new(binary());
    command.args(["sh", "-c", "echo $$"]).arg0("weir-shim");
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
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
    let mixed = ("Y", "mongodb://elsewhere");
    for variables in [
        &[("X", URI), ("WEIR_SHIM_OFF", "1")][..],
        &[("X", URI), ("WEIR_SHIM_PERCENT", "0")],
        &[("X", URI), ("WEIR_SHIM_PERCENT", "half")],
        &[("X", URI), ("WEIR_SHIM_TARGET", "mongodb://here")],
        &[("X", URI), mixed],
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
    assert!(text(&output.stderr).contains("the program starts without it"));
}

#[test]
fn twice_is_once() {
    let binary = binary();
    let shim_itself = binary.to_str().unwrap();
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

#[test]
fn everything_else_in_the_environment_stays_byte_for_byte() {
    let secret = format!(r#"{{ "user":"u", "uri" :"{URI}"}}"#);
    let odd = OsStr::from_bytes(b"mongodb://\xff\n=");
    let run = |with_shim: bool| {
        let mut command = if with_shim {
            command(&["env", "-0"], &[UNASKED])
        } else {
            let mut plain = Command::new("env");
            plain.arg("-0").env_clear().env("PATH", "/usr/bin:/bin");
            plain.env(UNASKED.0, UNASKED.1);
            plain
        };
        command
            .env("ODD", odd)
            .env("EMPTY", "")
            .env("SECRET", &secret);
        let out = command.env("X", URI).output().unwrap().stdout;
        let mut entries: Vec<_> = out.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        entries.sort();
        entries
    };
    let mut expected = run(false);
    assert!(expected.len() > 5, "env says nothing");
    expected.retain(|entry| !entry.starts_with(b"X=") && !entry.starts_with(b"SECRET="));
    for (name, value) in [
        ("X", NEW),
        ("SECRET", &secret.replace(URI, NEW)),
        ("WEIR_SHIM_ORIGINAL_X", URI),
        ("WEIR_SHIM_ORIGINAL_SECRET", &secret),
    ] {
        expected.push(format!("{name}={value}").into_bytes());
    }
    expected.sort();
    assert_eq!(run(true), expected);
}

#[test]
fn arguments_and_streams_are_the_program_s() {
    let mut command = command(&["--", "printf", "%s|", "", "a b", "--"], &[UNASKED]);
    let out = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(out.stdout, b"|a b|--|\xff|");
    // A program may be called as one of the shim's own words.
    let out = shim(&["--", "print"], &[]).unwrap();
    assert_eq!(out.status.code(), Some(127));
    // Nobody reads what the shim says.
    let script = r#"exec "$0" sh -c 'echo "$X"' 2>&-"#;
    let mut closed = Command::new("sh");
    closed.args(["-c", script]).arg(binary());
    let out = closed.env("X", URI).env(UNASKED.0, UNASKED.1).output();
    assert!(text(&out.unwrap().stdout).starts_with("mongodb"));
}
