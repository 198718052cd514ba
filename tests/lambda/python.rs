//! What happens to a function, under AWS's own emulator: it is cut off, it crashes, it ends,
//! somebody else's extension fails, there is hardly any CPU time, or no extension at all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use weir_tests::cluster::{shared, unique};
use weir_tests::lambda::{Emulator, Function, Language, parts, quota};
use weir_tests::paths::paths;
use weir_tests::relay::{Fault, Side};
use weir_tests::wait::{LIMIT, until, until_true};

use crate::stage::Stage;

/// The database does not answer: the function is told before it is cut off.
#[tokio::test]
async fn a_function_is_told_before_it_is_cut_off() -> Result<()> {
    let Some(stage) = Stage::of(Language::Python, |f| f.cut_off_after(2)).await? else {
        return Ok(());
    };
    let (emulator, service) = (&stage.emulator, &stage.service);
    emulator.succeed(json!({})).await?;
    service.relay.set(Side::Replies, &Fault::Stall);
    let began = Instant::now();
    let answer = emulator.invoke(json!({})).await?;
    let took = began.elapsed();
    println!("cut off after 2 s, answered after {took:?}: {answer}");
    ensure!(took < Duration::from_millis(1_900), "{took:?} {answer}");
    let error = answer["errorMessage"].as_str().unwrap_or_default();
    ensure!(error.contains("may have been carried out"), "{answer}");
    service.relay.heal();
    emulator.succeed(json!({})).await?;
    Ok(())
}

/// Lambda starts both anew.
#[tokio::test]
async fn after_a_timeout_and_after_a_crash_the_function_works_again() -> Result<()> {
    let Some(stage) = Stage::of(Language::Python, |f| f.cut_off_after(2)).await? else {
        return Ok(());
    };
    let (emulator, service) = (&stage.emulator, &stage.service);
    let first = emulator.succeed(json!({})).await?;
    let sleep = json!({ "do": "sleep", "ms": 5_000 });
    let answer = emulator.invoke(sleep).await?;
    ensure!(answer.to_string().contains("timed out"), "{answer}");
    let second = emulator.succeed(json!({})).await?;
    ensure!(
        second["pid"] != first["pid"],
        "the runtime was not started anew"
    );
    let answer = emulator.invoke(json!({ "do": "crash" })).await?;
    ensure!(answer.to_string().contains("Runtime"), "{answer}");
    emulator.succeed(json!({})).await?;
    let ends = || {
        let lines = emulator.extension_log();
        let ends = lines
            .iter()
            .filter(|line| line["message"] == "the environment ends");
        ends.count()
    };
    until_true("both ends to be logged", LIMIT, || ends() == 2).await?;
    emulator.terminate(LIMIT).await?;
    until_true("the trunks to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// Lambda sends the function a SIGTERM because an extension is there; it reaches the function
/// itself, through the shim, and what the function does then is still served.
#[tokio::test]
async fn a_function_that_ends_is_served_to_its_last_write() -> Result<()> {
    let mark = unique("last");
    let Some(stage) = Stage::of(Language::Python, |f| f.with("MARK_OF_THE_END", &mark)).await?
    else {
        return Ok(());
    };
    stage.emulator.succeed(json!({})).await?;
    stage.emulator.terminate(LIMIT).await?;
    stage.emulator.says("the environment ends").await?;
    let client = shared::login().await?.client().await?;
    let things = client.database("lambda_functions").collection("python");
    let written: Option<bson::Document> = things.find_one(bson::doc! { "mark": mark }).await?;
    let log = stage.emulator.log().join("\n");
    written.with_context(|| format!("the function's last write is not there\n{log}"))?;
    Ok(())
}

/// Without a service the extension goes to the database itself.
#[tokio::test]
async fn directly_to_the_database() -> Result<()> {
    let Some((emulator, listen)) = alone(|function| function).await? else {
        return Ok(());
    };
    for _ in 0..3 {
        let answer = emulator.succeed(json!({})).await?;
        let uri = answer["uri"].as_str().unwrap_or_default();
        ensure!(uri.contains(&listen), "{answer}");
    }
    emulator.terminate(LIMIT).await
}

/// The shim finds nobody, and the function keeps its own string and works: no layer, and a
/// layer that is switched off.
#[tokio::test]
async fn without_an_extension_the_function_works_as_it_did_before() -> Result<()> {
    for layer in [false, true] {
        let change = |mut function: Function| {
            function.layer = layer;
            function.with("WEIR_EXTENSION_OFF", "1")
        };
        let Some((emulator, _)) = alone(change).await? else {
            return Ok(());
        };
        let answer = emulator.succeed(json!({})).await?;
        let own = shared::login().await?.uri();
        ensure!(answer["uri"] == own.as_str(), "{answer}");
        emulator.says("nobody listens at").await?;
        if layer {
            emulator.says("nobody is served").await?;
        }
        emulator.terminate(LIMIT).await?;
    }
    Ok(())
}

/// A Python function that has only its own string.
async fn alone(change: impl FnOnce(Function) -> Function) -> Result<Option<(Emulator, String)>> {
    let uri = shared::login().await?.uri();
    let Some(function) = Language::Python.function(&uri).await? else {
        return Ok(None);
    };
    let function = change(function);
    let listen = function.listen().to_owned();
    let emulator = Emulator::start(function).await?;
    Ok(emulator.map(|emulator| (emulator, listen)))
}

/// An extension of somebody else's that fails takes the function with it; ours ends with it,
/// and leaves nothing behind.
#[tokio::test]
async fn when_another_extension_fails_ours_leaves_nothing_behind() -> Result<()> {
    let fails = |mut function: Function| {
        function.other_extension = Some("/bin/false".into());
        function
    };
    let Some(stage) = Stage::of(Language::Python, fails).await? else {
        return Ok(());
    };
    let answer = stage.emulator.invoke(json!({})).await?;
    ensure!(answer.get("ms").is_none(), "{answer}");
    until_true("the trunk to be closed", LIMIT, || {
        stage.service.counts().open == 0
    })
    .await
}

/// The same in the middle of its life: Lambda starts everything anew.
#[tokio::test]
async fn after_another_extension_has_died_the_function_works_again() -> Result<()> {
    let died = paths().temporary.join(unique("other-died"));
    let dies = |mut function: Function| {
        function.other_extension = Some(parts::source("python").join("other.py"));
        function.with("OTHER_DIED", &died.display().to_string())
    };
    let Some(stage) = Stage::of(Language::Python, dies).await? else {
        return Ok(());
    };
    let (emulator, service) = (&stage.emulator, &stage.service);
    let first = emulator.succeed(json!({})).await?;
    // It dies beside the function, which may be quicker.
    emulator.invoke(json!({})).await?;
    until_true("the other extension to die", LIMIT, || died.exists()).await?;
    let again = until("the function to be started anew", LIMIT, || async {
        let answer = emulator.invoke(json!({})).await.ok()?;
        (answer.get("ms").is_some() && answer["pid"] != first["pid"]).then_some(answer)
    })
    .await;
    again.with_context(|| emulator.log().join("\n"))?;
    emulator.succeed(json!({})).await?;
    std::fs::remove_file(&died)?;
    until_true("the old trunk to be closed", LIMIT, || {
        service.counts().open == 1
    })
    .await
}

/// All of an environment, with the share of one CPU that a function with 128 MB gets. On Lambda
/// init has more.
#[tokio::test]
async fn a_small_function_works_with_little_cpu_time() -> Result<()> {
    let small = |mut function: Function| {
        function.cpu = Some(quota::OF_128_MB);
        function.cut_off_after(60)
    };
    let Some(stage) = Stage::of(Language::Python, small).await? else {
        return Ok(());
    };
    let emulator = &stage.emulator;
    let began = Instant::now();
    emulator.succeed(json!({})).await?;
    let cold = began.elapsed();
    let mut warm = Vec::new();
    for _ in 0..10 {
        let answer = emulator.succeed(json!({})).await?;
        warm.push(answer["ms"].as_f64().context("no time")?);
    }
    let many = json!({ "do": "many", "times": 20, "mark": unique("small") });
    let many = emulator.succeed(many).await?;
    ensure!(many["count"] == 20, "{many}");
    let quota = emulator.quota().context("no quota")?;
    let throttled = quota.throttled()?;
    let slowest = warm.iter().copied().fold(0.0, f64::max);
    println!(
        "7.2 % of a CPU: cold start {cold:?}, slowest of 10 operations {slowest:.0} ms, 20 at \
         once {} ms, throttled {throttled} times",
        many["ms"]
    );
    ensure!(throttled > 10, "there was CPU time enough: {throttled}");
    ensure!(slowest < 2_000.0, "{warm:?}");
    ensure!(stage.service.counts().most_open <= 2);
    Ok(())
}
