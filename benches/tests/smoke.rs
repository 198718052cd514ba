//! A short run from end to end: every load works on every endpoint that is here, and
//! the report says what was measured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_short_run_measures_every_load_and_writes_the_report() {
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("benchmarks.md");
    let output = Command::new(env!("CARGO_BIN_EXE_weir-benches"))
        .args(["find", "connect", "idle", "large"])
        .args(["--clients", "1,8", "--seconds", "0.3", "--rounds", "1"])
        .args(["--crowd", "50", "--write"])
        .arg(&report)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let skipped = said.contains("SKIPPED: HAProxy");
    if skipped {
        eprintln!(
            "{}",
            said.lines()
                .find(|line| line.starts_with("SKIPPED"))
                .unwrap()
        );
    }
    let text = fs::read_to_string(&report).unwrap();
    for part in ["find by `_id`", "connect at once", "Idle clients", "16 MB"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let endpoints: &[&str] = if skipped {
        &["direct", "Weir"]
    } else {
        &["direct", "HAProxy", "Weir"]
    };
    for endpoint in endpoints {
        let row = text
            .lines()
            .find(|line| line.starts_with("| 8 |") && line.contains(endpoint))
            .unwrap_or_else(|| panic!("no row for {endpoint} in:\n{text}"));
        let rate: f64 = row.split('|').nth(4).unwrap().trim().parse().unwrap();
        assert!(rate > 10.0, "{row}");
    }
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(!errors.contains("errors, the first"), "{errors}");
}
