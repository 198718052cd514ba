//! A Node function under AWS's own emulator.

use anyhow::{Result, ensure};
use serde_json::json;
use weir_tests::cluster::{shared, unique};
use weir_tests::lambda::{Emulator, Function, parts};
use weir_tests::skip::skip;
use weir_tests::surroundings::blocking;
use weir_tests::wait::LIMIT;

use crate::python::folder;
use crate::support::Service;

#[tokio::test]
async fn a_node_function_works_unchanged() -> Result<()> {
    let modules = match blocking(parts::node_modules).await? {
        Ok(modules) => modules.display().to_string(),
        Err(error) => {
            skip("Node functions", &error.to_string());
            return Ok(());
        }
    };
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let listen = format!("127.0.0.1:{}", weir::demo::mongod::free_port()?);
    let function = Function::new(&["node", "runtime.js"], &folder("node"))
        .with("MONGO_AUTH_CREDENTIALS", &cluster.uri())
        .with("WEIR_SERVICE", &service.name())
        .with("WEIR_LISTEN", &listen)
        .with("WEIR_SHIM_TARGET", &listen)
        .with("NODE_PATH", &modules);
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    let first = emulator.succeed(json!({})).await?;
    let uri = first["uri"].as_str().unwrap_or_default();
    ensure!(uri.contains(&listen), "{first}");
    for _ in 0..5 {
        emulator.succeed(json!({})).await?;
    }
    ensure!(service.counts().accepted == 1, "{:?}", service.counts());
    let mark = unique("many");
    let many = emulator
        .succeed(json!({ "do": "many", "times": 200, "mark": mark }))
        .await?;
    println!("200 inserts at once: {} ms", many["ms"]);
    ensure!(many["count"] == 200, "{many}");
    ensure!(service.counts().most_open <= 2, "{:?}", service.counts());
    emulator.terminate(LIMIT).await
}
