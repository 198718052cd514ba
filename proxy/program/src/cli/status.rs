//! `weir status`: the live state of a running Weir, for people or as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::cli::args::StatusArgs;
use crate::cli::{http, refuse};
use weir::config::Config;
use weir::config::env::ProcessEnvironment;
use weir::{NodeStatus, ServiceStatus, Status};

/// Fetches `/status` and prints it.
pub(crate) async fn run(args: StatusArgs) -> ExitCode {
    let admin = match Config::load_admin(&args.settings.0, &ProcessEnvironment) {
        Ok(admin) => admin,
        Err(problems) => return refuse(&problems),
    };
    let answer = match http::get(admin, "/status", args.timeout).await {
        Ok(answer) if answer.code == 200 => answer,
        Ok(answer) => {
            eprintln!(
                "weir: {admin} answers {}: {}",
                answer.code,
                answer.body.trim()
            );
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("weir: {error}; is Weir running, and is --admin its address?");
            return ExitCode::FAILURE;
        }
    };
    if args.json {
        println!("{}", answer.body.trim_end());
        return ExitCode::SUCCESS;
    }
    match serde_json::from_str::<Status>(&answer.body) {
        Ok(status) => {
            print!("{}", render(&status));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(
                "weir: the answer of {admin} is not that of a Weir of this version ({error}); \
                 --json prints it as it is"
            );
            ExitCode::FAILURE
        }
    }
}

/// A status as a person reads it: a few lines for each listener, a table of its nodes.
pub(crate) fn render(status: &Status) -> String {
    let mut text = format!(
        "weir {}, up {}, {}\n",
        status.version,
        age(status.uptime_seconds),
        count(status.clients, "client"),
    );
    if status.draining {
        text.push_str("leaving: the drain has begun\n");
    }
    for listener in &status.listeners {
        write_listener(listener, &mut text);
    }
    text
}

fn write_listener(listener: &ServiceStatus, text: &mut String) {
    let ServiceStatus {
        name,
        upstream,
        topology,
        ..
    } = listener;
    let _ = writeln!(text, "\nlistener {name}: {upstream}");
    let _ = writeln!(
        text,
        "  {}; {}, {} held, {} in flight; {}, {} open",
        words(topology),
        count(listener.operations, "operation"),
        listener.held,
        bytes(listener.bytes_in_flight),
        count(listener.cursors, "cursor"),
        count(listener.transactions, "transaction"),
    );
    let refused = listener.refused.iter().filter(|(_, n)| **n > 0);
    let causes: Vec<String> = refused
        .map(|(cause, n)| format!("{} {n}", cause.replace('_', " ")))
        .collect();
    if !causes.is_empty() {
        let _ = writeln!(text, "  errors of Weir's own: {}", causes.join(", "));
    }
    let nodes = listener.nodes.iter();
    let rows = nodes.map(|node| row(node, listener)).collect::<Vec<_>>();
    write_table(&rows, text);
    for node in &listener.nodes {
        if node.login_refused {
            let _ = writeln!(text, "  {}: it refused Weir's last login", node.address);
        }
        if node.avoided {
            let _ = writeln!(
                text,
                "  {}: it fails again and again and is avoided",
                node.address
            );
        }
        if let Some(error) = &node.error {
            let _ = writeln!(text, "  {}: {error}", node.address);
        }
    }
}

const COLUMNS: [&str; 9] = [
    "node", "role", "sockets", "in use", "idle", "opening", "closing", "queued", "away",
];

/// Columns from here on hold numbers.
const FIRST_NUMBER: usize = 2;

fn row(node: &NodeStatus, listener: &ServiceStatus) -> [String; 9] {
    let sockets = node.sockets + listener.monitor_sockets;
    let in_use = node.normal + node.finishing + node.awaiting;
    let away = node.round_trip_ms;
    [
        node.address.clone(),
        words(&node.kind),
        format!("{sockets}/{}", listener.max_connections),
        in_use.to_string(),
        node.idle.to_string(),
        node.connecting.to_string(),
        node.closing.to_string(),
        node.queued.to_string(),
        away.map_or_else(|| "-".to_owned(), |away| format!("{away:.1} ms")),
    ]
}

fn write_table(rows: &[[String; 9]], text: &mut String) {
    if rows.is_empty() {
        text.push_str("  no node is known\n");
        return;
    }
    let head = COLUMNS.map(str::to_owned);
    let lines: Vec<&[String; 9]> = std::iter::once(&head).chain(rows).collect();
    for line in &lines {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            match column < FIRST_NUMBER {
                true => format!("{cell:width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
}

/// `1 client`, `2 clients`.
fn count(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

/// The two largest units: `3d 4h`, `12m 5s`.
fn age(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let worth_saying = parts.iter().skip_while(|(n, _)| *n == 0).take(2);
    let said: Vec<String> = worth_saying.map(|(n, unit)| format!("{n}{unit}")).collect();
    match said.is_empty() {
        true => "0s".to_owned(),
        false => said.join(" "),
    }
}

fn bytes(n: usize) -> String {
    match n {
        0..=9_999 => format!("{n} bytes"),
        10_000..=10_239_999 => format!("{} KiB", n >> 10),
        _ => format!("{} MiB", n >> 20),
    }
}

/// `ReplicaSetWithPrimary` → `replica set with primary`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(address: &str, kind: &str) -> NodeStatus {
        NodeStatus {
            address: address.to_owned(),
            kind: kind.to_owned(),
            error: None,
            round_trip_ms: None,
            idle: 0,
            normal: 0,
            finishing: 0,
            awaiting: 0,
            connecting: 0,
            closing: 0,
            sockets: 0,
            queued: 0,
            login_refused: false,
            avoided: false,
        }
    }

    fn status() -> Status {
        let primary = NodeStatus {
            round_trip_ms: Some(0.42),
            idle: 5,
            normal: 9,
            finishing: 1,
            awaiting: 2,
            connecting: 1,
            sockets: 18,
            queued: 120,
            ..node("db1.example.net:27017", "Primary")
        };
        let down = NodeStatus {
            error: Some("Connection refused".to_owned()),
            login_refused: true,
            ..node("db2.example.net:27017", "Unknown")
        };
        Status {
            version: "0.1.0".to_owned(),
            uptime_seconds: 3_725,
            clients: 1,
            draining: false,
            listeners: vec![ServiceStatus {
                name: "default".to_owned(),
                upstream: "mongodb://app:***@db1.example.net/".to_owned(),
                topology: "ReplicaSetWithPrimary".to_owned(),
                max_connections: 20,
                monitor_sockets: 2,
                held: 4,
                cursors: 1,
                transactions: 2,
                bytes_in_flight: 40_960,
                operations: 812_345,
                refused: BTreeMap::from([("deadline".to_owned(), 0), ("overloaded".to_owned(), 3)]),
                nodes: vec![primary, down],
            }],
        }
    }

    #[test]
    fn a_status_is_a_few_lines_and_a_table() {
        let expected = "\
weir 0.1.0, up 1h 2m, 1 client

listener default: mongodb://app:***@db1.example.net/
  replica set with primary; 812345 operations, 4 held, 40 KiB in flight; 1 cursor, 2 transactions open
  errors of Weir's own: overloaded 3
  node                   role     sockets  in use  idle  opening  closing  queued    away
  db1.example.net:27017  primary    20/20      12     5        1        0     120  0.4 ms
  db2.example.net:27017  unknown     2/20       0     0        0        0       0       -
  db2.example.net:27017: it refused Weir's last login
  db2.example.net:27017: Connection refused
";
        assert_eq!(render(&status()), expected);
    }

    #[test]
    fn the_json_of_a_running_weir_is_understood() {
        let json = serde_json::to_string(&status()).unwrap();
        let read: Status = serde_json::from_str(&json).unwrap();
        assert_eq!(render(&read), render(&status()));
    }

    #[test]
    fn leaving_and_emptiness_are_said() {
        let mut status = status();
        status.draining = true;
        status.listeners[0].nodes.clear();
        let text = render(&status);
        assert!(text.contains("\nleaving: "), "{text}");
        assert!(text.contains("\n  no node is known\n"), "{text}");
    }

    #[test]
    fn ages_and_sizes_are_short() {
        let ages = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (90_061, "1d 1h"),
            (86_400, "1d 0h"),
        ];
        for (seconds, shown) in ages {
            assert_eq!(age(seconds), shown);
        }
        assert_eq!(bytes(9_999), "9999 bytes");
        assert_eq!(bytes(20 << 20), "20 MiB");
    }
}
