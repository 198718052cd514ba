//! Whether Weir is there decides before the program starts.

use std::time::{Duration, Instant};

use super::{URI, command, listener, text};

const SCRIPT: [&str; 3] = ["sh", "-c", "printf %s \"$X\""];

#[test]
fn a_program_is_sent_to_a_weir_that_is_there() {
    let (_listener, address) = listener().unwrap();
    let variables = [("X", URI), ("WEIR_SHIM_TARGET", address.as_str())];
    let output = command(&SCRIPT, &variables).output().unwrap();
    let expected = format!("mongodb://u:s3cret@{address}/db?w=1&authSource=admin");
    assert_eq!(text(&output.stdout), expected);
    // The extension is told its port, and the shim hears it.
    let variables = [("X", URI), ("WEIR_LISTEN", address.as_str())];
    let output = command(&SCRIPT, &variables).output().unwrap();
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn without_a_weir_the_program_gets_its_own_string_in_time() {
    let (listener, address) = listener().unwrap();
    drop(listener);
    let variables = [("X", URI), ("WEIR_SHIM_TARGET", address.as_str())];
    let start = Instant::now();
    let output = command(&SCRIPT, &variables).output().unwrap();
    let took = start.elapsed();
    assert_eq!(text(&output.stdout), URI);
    let said = text(&output.stderr);
    let expected = format!("weir-shim: nothing is changed: nobody listens at {address} (150 ms");
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    // It used its time, and no more than a busy machine explains.
    let times = Duration::from_millis(150)..Duration::from_secs(10);
    assert!(times.contains(&took), "{took:?}");
    // Said beforehand by the preview.
    let output = command(&["print"], &variables).output().unwrap();
    assert!(text(&output.stdout).starts_with("nothing is changed: nobody listens"));
}

#[test]
fn who_wants_weir_come_what_may_gets_its_string() {
    let (listener, address) = listener().unwrap();
    drop(listener);
    let variables = [
        ("X", URI),
        ("WEIR_SHIM_TARGET", address.as_str()),
        ("WEIR_SHIM_PROBE", "off"),
    ];
    let output = command(&SCRIPT, &variables).output().unwrap();
    assert!(text(&output.stdout).contains(&address));
}
