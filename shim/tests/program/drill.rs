//! The move by percentage over many environments, each a process, and the way back.

use std::time::{Duration, Instant};

use super::{NEW, URI, shim, text};

const ENVIRONMENTS: usize = 300;
const STEPS: [usize; 5] = [0, 10, 25, 50, 100];
/// The way back must not take longer.
const WAY_BACK: Duration = Duration::from_secs(300);

/// As Lambda names them.
fn environment(n: usize) -> String {
    format!("2026/11/21/[$LATEST]{:032x}", n * 0x9e37_79b9)
}

/// Which environments a start with these settings sends to Weir.
fn moved(settings: &[(&str, &str)]) -> Vec<bool> {
    let start = |n| {
        let name = environment(n);
        let own = [("X", URI), ("AWS_LAMBDA_LOG_STREAM_NAME", name.as_str())];
        let output = shim(&["printenv", "X"], &[&own[..], settings].concat()).unwrap();
        match text(&output.stdout).trim_end() {
            NEW => true,
            URI => false,
            other => panic!("{other}"),
        }
    };
    (0..ENVIRONMENTS).map(start).collect()
}

fn count(moved: &[bool]) -> usize {
    moved.iter().filter(|moved| **moved).count()
}

#[test]
fn environments_move_over_step_by_step_and_back_at_once() {
    let mut before = vec![false; ENVIRONMENTS];
    println!("{ENVIRONMENTS} environments, each a start of the program");
    println!("percent  moved  observed");
    for step in STEPS {
        let percent = step.to_string();
        let now = moved(&[("WEIR_SHIM_PERCENT", &percent)]);
        let observed = count(&now) * 100 / ENVIRONMENTS;
        println!("{step:>5} %  {:>5}  {observed:>6} %", count(&now));
        assert!(observed.abs_diff(step) <= 5, "{observed} % at {step} %");
        let returned = before.iter().zip(&now).filter(|(old, new)| **old && !**new);
        assert_eq!(returned.count(), 0, "who had moved came back at {step} %");
        before = now;
    }
    assert_eq!(count(&before), ENVIRONMENTS);
    let start = Instant::now();
    let now = moved(&[("WEIR_SHIM_PERCENT", "100"), ("WEIR_SHIM_OFF", "1")]);
    let took = start.elapsed();
    println!("  off    {:>5}  the way back took {took:?}", count(&now));
    assert_eq!(count(&now), 0);
    assert!(took < WAY_BACK, "{took:?}");
}

#[test]
fn another_salt_moves_others() {
    let half = ("WEIR_SHIM_PERCENT", "50");
    let first = moved(&[half]);
    let second = moved(&[half, ("WEIR_SHIM_SALT", "second")]);
    let both = first.iter().zip(&second).filter(|(a, b)| **a && **b);
    let both = both.count() * 100 / ENVIRONMENTS;
    assert!((15..=35).contains(&both), "{both} % are in both halves");
}
