//! The TOML file, as raw strings: top-level keys, and any number of `[[listener]]` tables.
//!
//! Values keep the form they have in the other layers, so that one set of parsers serves all:
//! `queue_timeout = "4s"`, `max_connections = 20`, `listen = ["127.0.0.1:27017"]`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::config::settings::{self, DefaultValue, Form, Setting};
use crate::config::{Origin, Problem};

/// What one table of the file says: setting (by its flag) → its values.
pub type Values = BTreeMap<&'static str, (Vec<String>, Origin)>;

/// A configuration file, not yet judged beyond its keys.
#[derive(Default)]
pub struct File {
    /// Top-level keys.
    pub top: Values,
    /// The `[[listener]]` tables in their order.
    pub listeners: Vec<FileListener>,
}

/// One `[[listener]]`.
pub struct FileListener {
    /// Its `name`.
    pub name: Option<String>,
    /// Its other keys.
    pub values: Values,
}

impl File {
    /// Reads `text`, which came from the file named `path`. Mistakes go to `problems`.
    pub fn parse(path: &str, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut file = Self::default();
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                problems.push(syntax_problem(path, text, &error));
                return file;
            }
        };
        for (key, value) in table {
            if key == "listener" {
                file.read_listeners(path, value, problems);
            } else {
                read_key(path, "", &key, value, &mut file.top, problems);
            }
        }
        file
    }

    fn read_listeners(&mut self, path: &str, value: Value, problems: &mut Vec<Problem>) {
        let tables: Option<Vec<Table>> = match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| match value {
                    Value::Table(table) => Some(table),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        match tables {
            Some(tables) => {
                for (index, table) in tables.into_iter().enumerate() {
                    let listener = read_listener(path, index, table, problems);
                    self.listeners.push(listener);
                }
            }
            None => problems.push(Problem::new(
                format!("{path}: listener"),
                "is not a list of tables",
                "begin each listener with a line [[listener]]",
            )),
        }
    }
}

fn read_listener(
    path: &str,
    index: usize,
    mut table: Table,
    problems: &mut Vec<Problem>,
) -> FileListener {
    let name = match table.remove("name") {
        Some(Value::String(name)) => Some(name),
        None => None,
        Some(_) => {
            problems.push(Problem::new(
                format!("{path}: listener {}: name", index + 1),
                "is not a text",
                "write name = \"orders\"",
            ));
            None
        }
    };
    let label = match &name {
        Some(name) => format!("listener \"{}\": ", name.escape_debug()),
        None => format!("listener {}: ", index + 1),
    };
    let mut values = Values::new();
    for (key, value) in table {
        let foreign = settings::by_key(&key).is_some_and(|setting| !setting.is_per_listener());
        if foreign {
            problems.push(Problem::new(
                format!("{path}: {label}{key}"),
                "is a setting of the whole process",
                "move it above the first [[listener]]",
            ));
            continue;
        }
        read_key(path, &label, &key, value, &mut values, problems);
    }
    FileListener { name, values }
}

/// Reads one key into `values`; `label` names the listener it stands in.
fn read_key(
    path: &str,
    label: &str,
    key: &str,
    value: Value,
    values: &mut Values,
    problems: &mut Vec<Problem>,
) {
    let place = Origin::File {
        path: path.to_owned(),
        key: format!("{label}{}", key.escape_debug()),
    };
    let Some(setting) = settings::by_key(key) else {
        problems.push(Problem::new(place, "is no setting", suggestion(key)));
        return;
    };
    match strings(value) {
        Some(texts) => {
            values.insert(setting.flag, (texts, place));
        }
        None => problems.push(Problem::new(
            place,
            "has a value of the wrong kind",
            format!("write {}", example(setting)),
        )),
    }
}

/// A value as the texts it would be in a variable.
fn strings(value: Value) -> Option<Vec<String>> {
    let scalar = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    };
    match value {
        Value::Array(values) => values.into_iter().map(scalar).collect(),
        value => scalar(value).map(|text| vec![text]),
    }
}

/// A line of the file that sets `setting`, to its default where that is a plain value.
pub(crate) fn example(setting: &Setting) -> String {
    let key = setting.key.unwrap_or_default();
    let default = match setting.default {
        DefaultValue::Required | DefaultValue::Depends(_) | DefaultValue::Off => None,
        _ => Some(setting.default.show()),
    };
    let or = |text: &str| default.clone().unwrap_or_else(|| text.to_owned());
    match setting.form {
        Form::Secret(_) => {
            format!("{key} = \"mongodb://user:password@host:27017/?replicaSet=rs0\"")
        }
        Form::List(_) => format!("{key} = [\"127.0.0.1:27017\", \"unix:/run/weir.sock\"]"),
        Form::Text(_) => format!("{key} = \"{}\"", or("/etc/weir/file.pem")),
        Form::Duration => format!("{key} = \"{}\"", or("1m")),
        Form::Size => format!("{key} = \"{}\"", or("64MiB")),
        Form::Count => format!("{key} = {}", or("2")),
        Form::Rate => format!("{key} = {}", or("10")),
        Form::Switch => format!("{key} = true"),
        Form::Choice(words, _) => {
            format!(
                "{key} = \"{}\"",
                or(words.first().copied().unwrap_or_default())
            )
        }
    }
}

/// Where the syntax breaks. The parser's own rendering quotes the line, which may hold a password.
fn syntax_problem(path: &str, text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(0, |span| span.start);
    let line = text
        .bytes()
        .take(start)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1;
    let message = error.message().lines().next().unwrap_or_default();
    // Messages about duplicates and types may quote keys; strings are never quoted.
    Problem::new(
        path,
        format!("line {line} is not TOML: {message}"),
        "correct that line; texts stand in double quotes",
    )
}

fn suggestion(key: &str) -> String {
    let keys = settings::SETTINGS.iter().filter_map(|setting| setting.key);
    match crate::config::spelling::nearest(key, keys) {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it; docs/configuration.md lists all settings".to_owned(),
    }
}
