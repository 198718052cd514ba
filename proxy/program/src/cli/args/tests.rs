//! What the command line accepts.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap()
}

fn refuse(line: &str) -> String {
    Cli::try_parse_from(line.split(' '))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_the_default_and_takes_the_same_flags() {
    let alone = parse("weir --listen a:1 --listen b:2 --allow-anonymous --queue-timeout 5s");
    assert!(alone.command.is_none());
    let named = parse("weir serve --listen a:1 --listen b:2 --allow-anonymous --queue-timeout 5s");
    let Some(Command::Serve(flags)) = named.command else {
        panic!("not serve");
    };
    let shown = format!("{:?}", flags.0);
    assert_eq!(shown, format!("{:?}", alone.serve.0));
    assert_eq!(shown, r#"{"allow-anonymous", "listen", "queue-timeout"}"#);
}

#[test]
fn every_setting_is_a_flag_of_serve_and_check() {
    for subcommand in ["", "serve ", "check "] {
        for setting in SETTINGS {
            parse(&format!("weir {subcommand}--{}=x", setting.flag));
        }
    }
}

#[test]
fn switches_need_no_value_and_take_none_behind_a_space() {
    for line in ["--no-probe", "--no-probe=false", "--no-probe --workers 1"] {
        parse(&format!("weir {line}"));
    }
    assert!(refuse("weir --no-probe false").contains("false"));
}

#[test]
fn the_other_subcommands_read_their_flags() {
    let Some(Command::Healthcheck(args)) =
        parse("weir healthcheck --live --admin 1.2.3.4:5").command
    else {
        panic!("not healthcheck");
    };
    assert!(args.live);
    assert_eq!(args.timeout, Duration::from_secs(2));
    assert_eq!(format!("{:?}", args.settings.0), r#"{"admin"}"#);

    let Some(Command::Status(args)) = parse("weir status --json --timeout 250ms").command else {
        panic!("not status");
    };
    assert_eq!(
        (args.json, args.timeout),
        (true, Duration::from_millis(250))
    );

    let Some(Command::Check(args)) =
        parse("weir check --json --show-secrets --behind list").command
    else {
        panic!("not check");
    };
    assert!(args.json && args.show_secrets);
}

#[test]
fn names_kept_for_later_take_anything_and_are_not_in_the_help() {
    parse("weir plan");
    parse("weir plan --students 20000 --over 2m");
    let help = Cli::command().render_long_help().to_string();
    assert!(!help.contains("  plan"), "{help}");
    assert!(help.contains("  check"), "{help}");
}

#[test]
fn pressure_takes_lists_and_shows_no_password() {
    let line = "weir bench pressure --target mongodb://u:hunter2@h --pools 5,10 --clients 1,2";
    let cli = parse(line);
    assert!(!format!("{cli:?}").contains("hunter2"));
    let Some(Command::Bench(bench)) = cli.command else {
        panic!("not a bench");
    };
    let BenchCommand::Pressure(args) = bench.command;
    assert_eq!((args.pools, args.clients), (vec![5, 10], vec![1, 2]));
    for wrong in [
        "--pools 2",
        "--clients 0",
        "--scenario fast",
        "--duration 0s",
    ] {
        refuse(&format!("weir bench pressure --target mongodb://h {wrong}"));
    }
}

#[test]
fn a_duration_without_unit_says_what_to_add() {
    let error = refuse("weir status --timeout 5");
    assert!(error.contains("write 5s, 5ms or 5m"), "{error}");
    assert!(refuse("weir status --queue-depth 5").contains("--queue-depth"));
    assert!(refuse("weir --queue-dept 5").contains("--queue-depth"));
}
