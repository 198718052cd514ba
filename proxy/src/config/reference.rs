//! `docs/configuration.md`, generated from the tables so that it cannot lag behind the code.
//!
//! A test compares the file with [`markdown`]; `WEIR_BLESS=1 cargo test` rewrites it.

use std::fmt::Write as _;

use crate::config::file::example;
use crate::config::settings::{SETTINGS, Scope, Setting};
use crate::config::uri::table::{InClient, OPTIONS, Treatment, in_client};

const HEAD: &str = "\
# Configuration

<!-- Generated from proxy/src/config. `WEIR_BLESS=1 cargo test -p weir` rewrites this file. -->

Every setting can be given as a flag, as an environment variable, or as a key of a TOML file. A flag
beats the environment, the environment beats the file, the file beats the default. An empty variable
counts as unset.

- Durations carry a unit: `250ms`, `5s`, `2m`, `1h`, also added up as in `1m30s`. A bare number is
  refused.
- Sizes carry a unit: `512B`, `64KiB`, `64MiB`, `1GiB`.
- Switches are `true` or `false` (`on`, `off`, `yes`, `no`, `1` and `0` are understood); as a flag,
  the name alone means `true`.
- Lists are a repeated flag, a comma-separated variable, or an array in the file.

All mistakes are reported together, each with the flag, variable or key and what to write instead,
before any socket opens. The exit code is then 2. `weir check` prints what every setting ended up as,
and where that came from. A variable that nearly has the name of a setting is pointed out in the log.
";

const FILE: &str = "\
## The file

`--config` (`WEIR_CONFIG`) names a TOML file. Keys of one listener stand in a `[[listener]]` table; at
the top of the file they hold for every listener that has none of its own. Without a `[[listener]]`
the keys at the top describe the only one. Each listener may have a `name` (letters, digits, `-`, `_`),
which appears in logs, metrics and status.

With several listeners, settings marked *one listener* must stand in their tables: neither a flag nor
a variable could say which is meant.

```toml
behind = \"balancer\"
max_connections = 40

[[listener]]
name = \"orders\"
listen = [\"0.0.0.0:27017\"]
upstream = \"mongodb+srv://weir:password@orders.example.mongodb.net/\"

[[listener]]
name = \"users\"
listen = [\"0.0.0.0:27018\", \"unix:/run/weir/users.sock\"]
upstream = \"mongodb+srv://weir:password@users.example.mongodb.net/\"
max_connections = 20
queue_timeout = \"2s\"
```
";

const URI: &str = "\
## The upstream's connection string

Weir reads the string a driver would get. What describes the connection is honoured. What says how one
application wants its commands stays with that application: Weir never applies it to other people's
commands, names it at start, and leaves it in the string it prints for the client. A repeated option
(but `readPreferenceTags`) and contradicting options are mistakes. Special characters in user name and
password are percent-encoded.

`maxPoolSize` may lower `--max-connections` and never raises it. `minPoolSize`, `waitQueueTimeoutMS`,
`serverSelectionTimeoutMS`, `maxConnecting` and `maxIdleTimeMS` set `--min-connections`,
`--queue-timeout`, `--hold-timeout`, `--max-connecting` and `--max-idle-time` when nothing else does.
Of `--max-connections`, two sockets per node watch it (one with `serverMonitoringMode=poll`, none with
`loadBalanced=true`); at least two must be left for operations.

Login is by SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509 or MONGODB-AWS. The last takes the keys of the
string (`id:secret@`, with `authMechanismProperties=AWS_SESSION_TOKEN:…` where they have one), of
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, of the container
(`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `AWS_CONTAINER_CREDENTIALS_FULL_URI`: ECS, EKS Pod
Identity) or of the EC2 machine, the first that there are; a connection that is opened when those of a
container or a machine have less than five minutes left fetches new ones. Web identity tokens
(`AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`, where there is no `AWS_ACCESS_KEY_ID`) are not
exchanged. Where it is certain that there are no keys Weir does not start; while a container or a
machine does not say them, operations wait as for a database that cannot be reached.
Clients log in with a name and a password, so that X.509 and MONGODB-AWS upstream are for listeners
whose clients need not log in. An option that is not in this table is named
in a warning and ignored; it stays in the client's string unless it begins with `tls` or `ssl`, as many
of older drivers do.

| option | in the upstream string | in the client's string |
|---|---|---|
";

const EXIT: &str = "\
## Exit codes

| code | meaning |
|---|---|
| 0 | done; for `healthcheck`: healthy |
| 1 | it failed; for `healthcheck`: not healthy |
| 2 | the command line or the configuration is wrong |
";

/// The whole reference.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    section(&mut text, "Listeners", |scope| scope != Scope::Process);
    section(&mut text, "The process", |scope| scope == Scope::Process);
    text.push('\n');
    text.push_str(FILE);
    text.push('\n');
    text.push_str(URI);
    for option in OPTIONS {
        let upstream = match option.treatment {
            Treatment::Honoured => "honoured".to_owned(),
            Treatment::Client => "keep it in the client's string".to_owned(),
            Treatment::Ignored(why) => format!("ignored: {why}"),
            Treatment::Refused(hint) => format!("refused: {hint}"),
        };
        let client = match in_client(option.name) {
            InClient::Kept => "kept".to_owned(),
            InClient::Dropped(why) => format!("left out: {why}"),
        };
        let _ = writeln!(text, "| `{}` | {upstream} | {client} |", option.name);
    }
    text.push('\n');
    text.push_str(EXIT);
    text
}

fn section(text: &mut String, title: &str, wanted: impl Fn(Scope) -> bool) {
    let _ = writeln!(text, "\n## {title}\n");
    text.push_str("| flag | variable | file | default | meaning |\n|---|---|---|---|---|\n");
    for setting in SETTINGS.iter().filter(|setting| wanted(setting.scope)) {
        row(text, setting);
    }
}

fn row(text: &mut String, setting: &Setting) {
    let file = match setting.key {
        Some(_) => format!("`{}`", example(setting)),
        None => "–".to_owned(),
    };
    let scope = match setting.scope {
        Scope::OneListener => " *One listener.*",
        Scope::Listener | Scope::Process => "",
    };
    let _ = writeln!(
        text,
        "| `--{}` | `{}` | {file} | {} | {}{scope} |",
        setting.flag,
        setting.variable,
        setting.default.show(),
        setting.help,
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::env::{ProcessEnvironment, Strings};
    use crate::config::file::File;

    #[test]
    fn the_file_in_docs_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let generated = markdown();
        if ProcessEnvironment
            .get("WEIR_BLESS")
            .is_ok_and(|set| set.is_some())
        {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &generated).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "docs/configuration.md is not what the code says; run WEIR_BLESS=1 cargo test -p weir"
        );
    }

    #[test]
    fn every_setting_and_option_is_in_it_once() {
        let text = markdown();
        for setting in SETTINGS {
            let cell = format!("| `--{}` | `{}` |", setting.flag, setting.variable);
            assert_eq!(text.matches(&cell).count(), 1, "{cell}");
        }
        for option in OPTIONS {
            assert_eq!(text.matches(&format!("\n| `{}` |", option.name)).count(), 1);
        }
        let names: Vec<String> = OPTIONS.iter().map(|o| o.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "the table is alphabetical");
    }

    #[test]
    fn its_examples_are_right() {
        let (_, rest) = FILE.split_once("```toml\n").unwrap();
        let (toml, _) = rest.split_once("```").unwrap();
        let mut problems = Vec::new();
        let file = File::parse("weir.toml", toml, &mut problems);
        assert_eq!(
            (problems.len(), file.listeners.len()),
            (0, 2),
            "{problems:?}"
        );
        for setting in SETTINGS.iter().filter(|setting| setting.key.is_some()) {
            let file = File::parse("weir.toml", &example(setting), &mut problems);
            assert_eq!(problems, [], "{}", setting.flag);
            assert!(file.top.contains_key(setting.flag));
        }
    }
}
