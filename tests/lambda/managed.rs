//! A Managed Instance, by AWS's own emulator: several invocations at a time in one environment,
//! of which Lambda tells the extension nothing. Function and emulator are what Lambda has there:
//! a Rust function under `lambda_runtime`, started by a bootstrap.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use weir_tests::cluster::unique;
use weir_tests::lambda::{Emulator, Function, Language};
use weir_tests::wait::{LIMIT, until, until_true};

use crate::stage::Stage;

/// Invocations at a time.
const AT_ONCE: u32 = 4;

#[tokio::test]
async fn invocations_at_a_time_share_a_few_connections() -> Result<()> {
    let managed = |mut function: Function| {
        function.at_once = Some(AT_ONCE);
        function
    };
    let Some(stage) = Stage::of(Language::Rust, managed).await? else {
        return Ok(());
    };
    let (emulator, service) = (&stage.emulator, &stage.service);
    let first = emulator.succeed(json!({})).await?;
    for _ in 0..3 {
        let invocations = (0..AT_ONCE).map(|_| {
            accepted(
                emulator,
                json!({ "do": "many", "times": 50, "mark": unique("at-once") }),
            )
        });
        for answer in try_join_all(invocations).await? {
            ensure!(answer["count"] == 50, "{answer}");
            ensure!(answer["pid"] == first["pid"], "{answer}");
        }
    }
    let counts = service.counts();
    println!("{AT_ONCE} invocations of 50 inserts at a time: {counts:?}");
    ensure!(counts.most_open <= AT_ONCE as usize, "{counts:?}");
    let lines = emulator.extension_log();
    let serving = lines.iter().find(|line| line.get("kind").is_some());
    ensure!(
        serving.is_some_and(|line| line["kind"] == "Managed"),
        "{lines:?}"
    );
    emulator.terminate(LIMIT).await?;
    until_true("the trunks to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// Invokes as soon as one of the environment's workers is idle: Lambda sends no more there.
async fn accepted(emulator: &Emulator, event: Value) -> Result<Value> {
    let answer = until("an idle worker", LIMIT, || async {
        let answer = emulator.invoke(event.clone()).await;
        let is_busy = |answer: &Value| answer["errorType"] == "Runtime.Unavailable";
        (!answer.as_ref().is_ok_and(is_busy)).then_some(answer)
    })
    .await??;
    ensure!(answer.get("ms").is_some(), "{answer}");
    Ok(answer)
}
