//! The program as it is used: it ends by becoming another one. `$WEIR_SHIM_BINARY` names another
//! build of it, that of the layer for example.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use std::env;
use std::ffi::OsString;
use std::io::Result;
use std::net::TcpListener;
use std::process::{Command, Output};

mod drill;
mod exec;
mod install;
mod probe;

const URI: &str = "mongodb+srv://u:s3cret@c.example.net/db?w=1";
const NEW: &str = "mongodb://u:s3cret@127.0.0.1:27017/db?w=1&authSource=admin";
/// Weir's presence is taken for granted.
const UNASKED: (&str, &str) = ("WEIR_SHIM_PROBE", "off");

fn binary() -> OsString {
    let given = env::var_os("WEIR_SHIM_BINARY");
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_weir-shim").into())
}

/// The shim with these variables and no others.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied());
    command
}

/// Runs it, where nobody asks whether Weir is there.
fn shim(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    command(arguments, &[variables, &[UNASKED]].concat()).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Somebody who listens, and his address.
fn listener() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}
