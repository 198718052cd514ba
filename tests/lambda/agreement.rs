//! What the shim points at the extension, the extension serves: they find the function's string
//! by one rule. Each is the real program, and each has the same variables.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use bson::doc;
use serde_json::json;
use weir_tests::cluster::{PASSWORD_IN_URI, USER, shared};
use weir_tests::lambda::{Extension, ScriptedApi};
use weir_tests::paths::blocking;
use weir_tests::raw::Raw;
use weir_tests::role::lets_in;
use weir_tests::scripted::{Face, Scripted};
use weir_tests::weir::program_called;

use crate::support::{ends_well, works};

/// Variables, and whether both take them up.
type Case = (Vec<(&'static str, String)>, bool);

fn cases(uri: &str, ldap: &str) -> Vec<Case> {
    let (other, text) = ("mongodb://other.example/".to_owned(), str::to_owned);
    let plain = || ("DB", uri.to_owned());
    vec![
        (vec![plain()], true),
        (vec![("DB", format!("see {uri}"))], false),
        (vec![("DB", json!({ "uri": uri }).to_string())], true),
        (
            vec![("DB", json!({ "a": [{ "b": { "c": uri } }] }).to_string())],
            true,
        ),
        (vec![("DB", json!([uri]).to_string())], false),
        (
            vec![("DB", json!({ "uri": uri, "two": other }).to_string())],
            false,
        ),
        (vec![plain(), ("SAME", format!("{uri}&appName=x"))], true),
        (vec![plain(), ("OTHER", other.clone())], false),
        (
            vec![plain(), ("OTHER", other), ("WEIR_SHIM_VARS", text("DB"))],
            true,
        ),
        (vec![plain(), ("LDAP", ldap.to_owned())], true),
        (vec![("WEIR_DB", uri.to_owned())], false),
        // A comma too many; blank settings, which are none.
        (vec![("DB", format!(r#"{{"uri": "{uri}",}}"#))], true),
        (vec![plain(), ("WEIR_SHIM_VARS", text(" "))], true),
        (vec![plain(), ("WEIR_SHIM_OFF", text(" "))], true),
        (vec![plain(), ("WEIR_SHIM_PERCENT", text(" "))], true),
    ]
}

#[tokio::test]
async fn shim_and_extension_find_the_same_strings() -> Result<()> {
    let uri = shared::single().await?.uri();
    let ldap = "mongodb://u:p@ldap.example/?authMechanism=PLAIN&authSource=%24external";
    for (variables, expected) in cases(&uri, ldap) {
        let (api, extension) = started(&variables).await?;
        let serves = Raw::connect(extension.address()).await.is_ok();
        ensure!(serves == expected, "the extension: {variables:?}");
        // Without a probe: what the shim itself thinks.
        let moves = moved(&variables, &extension, "off").await?;
        ensure!(moves == expected, "the shim: {variables:?}");
        ends_well(&api, &extension).await?;
    }
    Ok(())
}

/// The shim takes a role of AWS out of the function's string, so the extension must log in by
/// itself: by that role at the database, by another user at a shared Weir. Where it cannot, the
/// function keeps its role.
#[tokio::test]
async fn a_role_is_moved_where_the_extension_logs_in_by_itself() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    server.answer_with(lets_in("ASIAEXAMPLE"));
    let cluster = shared::login().await?;
    let service = crate::support::Service::before(cluster).await?;
    let (address, with_user) = (
        service.name(),
        format!("mongodb://{USER}:{PASSWORD_IN_URI}@{}", service.name()),
    );
    let of_function = [
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    for login in ["", "ASIAEXAMPLE:secret@"] {
        let role = || {
            let place = server.address();
            let text = format!("mongodb://{login}{place}/?authMechanism=MONGODB-AWS");
            ("DB", text)
        };
        for (mut variables, expected) in [
            (vec![role()], true),
            (vec![role(), ("WEIR_SERVICE", address.clone())], false),
            (vec![role(), ("WEIR_SERVICE", with_user.clone())], true),
        ] {
            variables.extend(of_function.map(|(name, value)| (name, value.to_owned())));
            let (api, extension) = started(&variables).await?;
            let moves = moved(&variables, &extension, "150ms").await?;
            ensure!(moves == expected, "{variables:?}");
            if expected {
                let mut function = Raw::connect(extension.address()).await?;
                works(&mut function, doc! { "insert": "roles", "documents": [{}] }).await?;
            }
            ends_well(&api, &extension).await?;
        }
    }
    // Half of a key is none: the extension serves nobody, and the function keeps its role.
    let half = vec![
        (
            "DB",
            format!("mongodb://{}/?authMechanism=MONGODB-AWS", server.address()),
        ),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE".to_owned()),
    ];
    let (api, extension) = started(&half).await?;
    ensure!(!moved(&half, &extension, "150ms").await?);
    extension.says("set both or neither").await?;
    ends_well(&api, &extension).await?;
    Ok(())
}

async fn started(variables: &[(&'static str, String)]) -> Result<(ScriptedApi, Extension)> {
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    crate::support::extension(&variables).await
}

/// Whether a program that the shim starts has another string than its own.
async fn moved(
    variables: &[(&'static str, String)],
    extension: &Extension,
    probe: &str,
) -> Result<bool> {
    let mut command = Command::new(program_called("weir-shim").await?);
    command
        .args(["/usr/bin/env", "-0"])
        .env_clear()
        .env("WEIR_SHIM_TARGET", extension.address().to_string())
        .env("WEIR_SHIM_PROBE", probe)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    let output = blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    let seen = String::from_utf8(output.stdout)?;
    let value = |name: &str| {
        let lines = seen.split('\0').filter_map(|line| line.split_once('='));
        lines.clone().find(|(known, _)| *known == name)
    };
    let (name, own) = variables.first().context("no variable")?;
    let (_, now) = value(name).context("the variable is gone")?;
    Ok(now != own)
}
