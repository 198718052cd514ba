//! Runs a Weir inside another program.
//!
//! ```sh
//! WEIR_UPSTREAM='mongodb://127.0.0.1:27017/?replicaSet=rs0' cargo run -p weir --example embed
//! ```
//!
//! The host chooses every setting itself, watches the work, and ends Weir without failing an
//! operation. Press Enter to end it.

use std::{collections::BTreeMap, error::Error};

use tokio::io::AsyncReadExt;
use weir::{
    Proxy,
    config::{Config, Flags, Strings, env::ProcessEnvironment, settings::name},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = ProcessEnvironment
        .get("WEIR_UPSTREAM")?
        .ok_or("set WEIR_UPSTREAM to the connection string of your database")?;
    let settings = Flags::default()
        .with(name::UPSTREAM, upstream)
        .with(name::LISTEN, "127.0.0.1:0")
        .with(name::MAX_CONNECTIONS, "10");
    // No environment: what stands above is all that this Weir is told.
    let nothing: BTreeMap<String, String> = BTreeMap::new();
    let config = Config::load(&settings, &nothing, false).await?;

    let proxy = Proxy::embed(config).await?;
    let (controls, drain) = (proxy.controls(), proxy.drain());
    println!(
        "clients connect to mongodb://{}",
        proxy.addresses().join(",")
    );
    let running = tokio::spawn(proxy.run());

    let _ = tokio::io::stdin().read(&mut [0]).await;
    let tally = controls.tally();
    println!(
        "{} operations over {} upstream connections",
        tally.operations, tally.connections
    );
    drain.begin();
    running.await??;
    Ok(())
}
