//! What is read, what is said, and that the document says the same.

use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = variables.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(variables: &[(&str, &str)]) -> (Result<Settings, String>, Vec<String>) {
    let mut lines = Vec::new();
    let settings = Settings::read(&environment(variables), "nobody", &mut lines);
    (settings, lines)
}

#[test]
fn without_a_word_the_defaults_stand() {
    let (settings, lines) = read(&[("PATH", "/bin")]);
    let settings = settings.unwrap();
    assert_eq!(settings.target.hosts(), DEFAULT_TARGET);
    assert_eq!(settings.named, None);
    assert_eq!(settings.probe, Some(DEFAULT_PROBE));
    assert!(lines.is_empty());
}

#[test]
fn the_target_follows_the_listener_unless_it_is_given() {
    let target = |variables: &[(&str, &str)]| read(variables).0.unwrap().target.hosts().to_owned();
    let listen = ("WEIR_LISTEN", "127.0.0.1:27018");
    assert_eq!(target(&[listen]), "127.0.0.1:27018");
    assert_eq!(target(&[listen, ("WEIR_SHIM_TARGET", "weir:1")]), "weir:1");
    assert_eq!(target(&[("WEIR_LISTEN", "10.0.0.1:1")]), DEFAULT_TARGET);
}

#[test]
fn the_time_for_the_probe_is_read_and_a_wrong_one_is_told() {
    let ms = |ms| Some(Duration::from_millis(ms));
    for (text, probe, told) in [
        ("20ms", ms(20), false),
        (" 2 s ", ms(2_000), false),
        ("60s", ms(60_000), false),
        ("0", None, false),
        ("0ms", None, false),
        ("Off", None, false),
        ("", ms(150), false),
        ("61s", ms(150), true),
        ("20", ms(150), true),
        ("1.5s", ms(150), true),
        ("on", ms(150), true),
        ("s", ms(150), true),
    ] {
        let (settings, lines) = read(&[("WEIR_SHIM_PROBE", text)]);
        assert_eq!(settings.unwrap().probe, probe, "{text:?}");
        assert_eq!(!lines.is_empty(), told, "{text:?}");
    }
}

#[test]
fn what_looks_like_a_setting_and_is_none_is_named() {
    let (settings, lines) = read(&[
        ("WEIR_SHIM_PERCENTAGE", "10"),
        ("WEIR_SHIM_ORIGINAL_X", "mongodb://h"),
        ("WEIR_UPSTREAM", "mongodb://h"),
    ]);
    assert!(settings.is_ok());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("weir-shim has no setting WEIR_SHIM_PERCENTAGE; its settings are ")
    );
    assert!(lines[0].contains("WEIR_SHIM_PERCENT,"));
}

/// The rows of the table in the document: name and default.
fn documented() -> Vec<(String, String)> {
    let document = include_str!("../../../docs/shim.md");
    let (_, table) = document.split_once("## Settings").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| (cells[1].replace('`', ""), cells[2].replace('`', "")))
        .collect()
}

#[test]
fn the_document_lists_every_setting_with_its_default() {
    let rows = documented();
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let original = format!("{ORIGINAL}<NAME>");
    let known: Vec<&str> = NAMES
        .into_iter()
        .chain([NEXT_WRAPPER, original.as_str()])
        .collect();
    assert_eq!(names, known);
    let default = |name: &str| {
        let row = rows.iter().find(|(known, _)| known == name);
        row.map(|(_, default)| default.clone()).unwrap_or_default()
    };
    // Whatever the document calls the default, given as a value, must change nothing.
    assert_eq!(default(OFF), "off");
    for name in [TARGET, PERCENT, SALT, PROBE, OFF] {
        let shown = default(name);
        let (settings, lines) = read(&[(name, &shown), (ID, "any")]);
        let settings = settings.unwrap_or_else(|why| panic!("{name}={shown}: {why}"));
        assert_eq!(settings.target.hosts(), DEFAULT_TARGET, "{name}");
        assert_eq!(settings.probe, Some(DEFAULT_PROBE), "{name}");
        assert!(lines.is_empty(), "{name}: {lines:?}");
    }
    assert_eq!(default(SALT), DEFAULT_SALT);
}
