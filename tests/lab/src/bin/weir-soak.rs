//! The soak in its long form: `--operations N`, `--clients N`, `--seed N`; and, with
//! `--disasters N`, the chaos test.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use weir_lab::soak::{self, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let violations = async { soak::run(options()?).await };
    match violations.await {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            println!("FAILED, the first violations:");
            violations
                .iter()
                .for_each(|violation| println!("  {violation}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        operations: 1_000_000,
        clients: 300,
        seed: seed_of_now(),
        hurt_every: Duration::from_millis(500),
        disasters: 0,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{name} wants a number"))?;
        match name.as_str() {
            "--operations" => options.operations = value.parse()?,
            "--clients" => options.clients = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            "--disasters" => options.disasters = value.parse()?,
            _ => bail!("unknown: {name}; known: --operations, --clients, --seed, --disasters"),
        }
    }
    Ok(options)
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs())
}
