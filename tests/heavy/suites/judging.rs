//! How the driver's own tests are judged.

use weir_lab::suites::Endpoint;
use weir_lab::suites::judge::{Fate, Ran, compare, excuse, suite_of};
use weir_lab::suites::known::Known;
use weir_lab::suites::report;
use weir_lab::suites::verbose::{Verdict, read, words};

fn ran(lines: &[&str]) -> Ran {
    let text: Vec<String> = lines
        .iter()
        .map(|line| match line.split_once('|') {
            Some((verdict, name)) => format!("\u{16}--- {verdict}: {name} (0.01s)"),
            None => line.to_string(),
        })
        .collect();
    Ran {
        results: read(&text.join("\n")),
        whole: true,
    }
}

fn begins(name: &str) -> String {
    format!("\u{16}=== RUN   {name}")
}

#[test]
fn a_verbose_run_is_read_test_by_test() {
    let output = [
        &begins("TestA"),
        &begins("TestA/one"),
        "    a_test.go:7: why",
        "\u{16}--- SKIP: TestA/one (0.00s)",
        &begins("TestA/two"),
        // A test's last line may lack its end.
        "half a line\u{16}--- FAIL: TestA/two (1.25s)",
        "\u{16}--- FAIL: TestA (1.30s)",
        &begins("TestB"),
        "panic: gone",
    ];
    let results = read(&output.join("\n"));
    let verdicts: Vec<_> = results
        .iter()
        .map(|(n, e)| (n.as_str(), e.verdict))
        .collect();
    let expected = [
        ("TestA", Verdict::Fail),
        ("TestA/one", Verdict::Skip),
        ("TestA/two", Verdict::Fail),
        // It never ended.
        ("TestB", Verdict::Fail),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(words(&results["TestA/one"].said), "why");
    assert_eq!(results["TestA/two"].said, "half a line\n");
}

#[test]
fn what_fails_directly_is_broken_only_when_it_ran_on_both_roads() {
    let begun = begins("T");
    let direct = ran(&[&begun, "FAIL|T"]);
    let fate = |through: &[&str]| compare(&direct, &ran(through)).remove("T");
    assert_eq!(fate(&[&begun, "FAIL|T"]), Some(Fate::Broken));
    assert_eq!(fate(&[&begun, "SKIP|T"]), Some(Fate::Unseen));
    assert_eq!(fate(&[]), Some(Fate::Unseen));
    assert_eq!(fate(&[&begun, "PASS|T"]), Some(Fate::Gained));
}

#[test]
fn every_pair_of_verdicts_has_its_fate() {
    let names = [
        "T", "T/kept", "T/lost", "T/skips", "T/gains", "T/breaks", "T/file", "T/new",
    ];
    let begun: Vec<String> = names.iter().map(|name| begins(name)).collect();
    let mut direct: Vec<&str> = begun.iter().take(7).map(String::as_str).collect();
    direct.extend(["PASS|T/kept", "PASS|T/lost", "PASS|T/skips", "SKIP|T/gains"]);
    let inner = begins("T/file/dir/inner");
    direct.extend([
        "FAIL|T/breaks",
        &inner,
        "PASS|T/file/dir/inner",
        "PASS|T/file",
        "FAIL|T",
    ]);
    let mut through: Vec<&str> = begun.iter().map(String::as_str).collect();
    through.extend(["PASS|T/kept", "FAIL|T/lost", "SKIP|T/skips", "PASS|T/gains"]);
    through.extend(["FAIL|T/breaks", "SKIP|T/file", "FAIL|T/new", "FAIL|T"]);
    let fates = compare(&ran(&direct), &ran(&through));
    let fate = |name: &str| fates.get(name);
    assert_eq!(fate("T/kept"), Some(&Fate::Kept));
    assert!(matches!(fate("T/lost"), Some(Fate::Lost(_))));
    assert!(matches!(fate("T/skips"), Some(Fate::Skipped(_))));
    assert_eq!(fate("T/gains"), Some(&Fate::Gained));
    assert_eq!(fate("T/breaks"), Some(&Fate::Broken));
    // Skipped as a whole: its tests are, too.
    assert!(matches!(fate("T/file/dir/inner"), Some(Fate::Skipped(_))));
    assert_eq!(fate("T/file"), None);
    assert!(matches!(fate("T/new"), Some(Fate::Lost(_))));
    // A parent speaks for itself only when no child failed.
    assert_eq!(fate("T"), None);
}

#[test]
fn a_parent_that_fails_by_itself_is_judged() {
    let begun = [begins("T"), begins("T/a")];
    let direct = [begun[0].as_str(), &begun[1], "PASS|T/a", "PASS|T"];
    let through = [begun[0].as_str(), &begun[1], "PASS|T/a", "FAIL|T"];
    let fates = compare(&ran(&direct), &ran(&through));
    assert!(matches!(fates.get("T"), Some(Fate::Lost(_))));
}

#[test]
fn what_a_broken_program_did_not_run_is_lost() {
    let begun = begins("T");
    let direct = ran(&[&begun, "PASS|T"]);
    let broken = Ran::default();
    assert!(matches!(
        compare(&direct, &broken).get("T"),
        Some(Fate::Lost(_))
    ));
    let whole = Ran {
        whole: true,
        ..Ran::default()
    };
    assert!(matches!(
        compare(&direct, &whole).get("T"),
        Some(Fate::Skipped(_))
    ));
}

#[test]
fn a_reason_excuses_its_losses_and_must_fit_one() {
    let begun = [begins("T/a"), begins("T/b")];
    let lines = [begun[0].as_str(), &begun[1], "PASS|T/a", "PASS|T/b"];
    let through = [begun[0].as_str(), &begun[1], "FAIL|T/a", "PASS|T/b"];
    let mut fates = compare(&ran(&lines), &ran(&through));
    let known = |face: Option<&str>, test: &str| Known {
        face: face.map(str::to_owned),
        test: test.to_owned(),
        reason: "so".to_owned(),
    };
    let entries = [
        known(None, "T/a"),
        // No pattern: it would excuse what is lost later.
        known(None, "T/*"),
        known(Some("mongos"), "T/b"),
        known(Some("load-balanced"), "T/b"),
        known(None, "U"),
    ];
    let stale = excuse(&mut fates, &entries, Endpoint::Mongos, false);
    assert_eq!(fates.get("T/a"), Some(&Fate::Known("so".to_owned())));
    let stale: Vec<_> = stale.iter().map(|entry| entry.test.as_str()).collect();
    assert_eq!(stale, ["T/b"]);
    // In a whole run an entry that met nothing is stale too.
    let stale = excuse(&mut fates, &entries, Endpoint::Mongos, true);
    assert_eq!(stale.len(), 3);
}

#[test]
fn tests_are_counted_under_their_specification() {
    assert_eq!(suite_of("TestUnifiedSpec/crud/unified/a.json/b"), "crud");
    assert_eq!(
        suite_of("TestUnifiedSpecs/convenient-transactions/a.json/b"),
        "transactions-convenient-api"
    );
    assert_eq!(
        suite_of("TestRetryableWritesSpec/a.json"),
        "retryable-writes"
    );
    assert_eq!(suite_of("TestCollection/x"), "the driver's own");
}

#[test]
fn the_page_keeps_the_parts_of_editions_that_did_not_run() {
    let old = "# Head\n\n## m v1\n\nold one\n\n## m/v2 v2\n\nold two\n";
    let page = report::page("# New\n", old, &["\n## m v1\n\nnew one\n".to_owned()]);
    assert_eq!(
        page,
        "# New\n\n## m v1\n\nnew one\n\n## m/v2 v2\n\nold two\n"
    );
}
