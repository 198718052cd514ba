//! `weir status`: the live state of a running Weir, for people or as JSON.

use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::cli::args::StatusArgs;
use crate::cli::{http, refuse};
use crate::config::Config;
use crate::config::env::ProcessEnvironment;

/// Fetches `/status` and prints it.
pub async fn run(args: StatusArgs) -> ExitCode {
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
    match serde_json::from_str(&answer.body) {
        _ if args.json => println!("{}", answer.body.trim_end()),
        Ok(status) => print!("{}", render(&status)),
        Err(error) => {
            eprintln!("weir: the answer of {admin} is no JSON: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// JSON as a person reads it: fields in columns, lists of objects as tables.
pub fn render(status: &Value) -> String {
    let mut text = String::new();
    match status {
        Value::Object(fields) => object(fields, "", &mut text),
        other => text.push_str(&format!("{}\n", cell(other))),
    }
    text
}

/// Plain fields first, aligned; then each nested part under its name.
fn object(fields: &Map<String, Value>, indent: &str, text: &mut String) {
    let width = fields
        .iter()
        .filter(|(_, value)| is_plain(value))
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    for (name, value) in fields.iter().filter(|(_, value)| is_plain(value)) {
        text.push_str(&format!(
            "{indent}{:width$}  {}\n",
            words(name),
            cell(value)
        ));
    }
    let deeper = format!("{indent}  ");
    for (name, value) in fields.iter().filter(|(_, value)| !is_plain(value)) {
        text.push_str(&format!("{indent}{}\n", words(name)));
        nested(value, &deeper, text);
    }
}

fn nested(value: &Value, indent: &str, text: &mut String) {
    match value {
        Value::Object(fields) => object(fields, indent, text),
        Value::Array(items) => {
            let rows: Vec<&Map<String, Value>> =
                items.iter().filter_map(Value::as_object).collect();
            let flat = rows.iter().all(|row| row.values().all(is_plain));
            match flat {
                true => table(&rows, indent, text),
                false => rows.iter().for_each(|row| object(row, indent, text)),
            }
        }
        plain => text.push_str(&format!("{indent}{}\n", cell(plain))),
    }
}

/// Rows under the union of their columns.
fn table(rows: &[&Map<String, Value>], indent: &str, text: &mut String) {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let mut lines = vec![columns.iter().map(|name| words(name)).collect::<Vec<_>>()];
    for row in rows {
        let cells = columns.iter().map(|name| row.get(*name).map(cell));
        lines.push(cells.map(Option::unwrap_or_default).collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(&format!("{indent}{}\n", cells.join("  ").trim_end()));
    }
}

/// Whether a value fits one cell.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => !items.iter().any(|item| item.is_object() || item.is_array()),
        _ => true,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_align_and_lists_become_tables() {
        let status = json!({
            "version": "0.1.0",
            "ready": true,
            "listeners": [{
                "name": "default",
                "primary": null,
                "nodes": [
                    {"address": "a:27017", "kind": "Primary", "in_use": 3},
                    {"address": "b:27017", "kind": "Secondary", "in_use": 12, "error": "no route"},
                ],
            }],
            "client_addresses": ["127.0.0.1:27017", "unix:/run/weir.sock"],
        });
        let expected = "\
client addresses  127.0.0.1:27017, unix:/run/weir.sock
ready             yes
version           0.1.0
listeners
  name     default
  primary  -
  nodes
    address  in use  kind       error
    a:27017  3       Primary
    b:27017  12      Secondary  no route
";
        assert_eq!(render(&status), expected);
        assert_eq!(render(&json!([1, 2])), "1, 2\n");
    }
}
