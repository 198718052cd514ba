//! `weir serve`: settings, log, runtime, and then the proxy until it ends.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{complain, current_thread, refuse};
use weir::Drain;
use weir::config::env::ProcessEnvironment;
use weir::config::{Config, Flags, LogFormat};
use weir::log::{LineFormat, LogWriter};
use weir::{Proxy, StartError};

/// How long the last log lines may take to be written. A reader that stalls must not keep the
/// process alive.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Runs the proxy to its end.
pub(crate) fn run(flags: &Flags) -> ExitCode {
    match try_run(flags) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("no runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn try_run(flags: &Flags) -> io::Result<ExitCode> {
    let terminal = io::stderr().is_terminal();
    let loading = Config::load(flags, &ProcessEnvironment, terminal);
    let config = match current_thread()?.block_on(loading) {
        Ok(config) => config,
        Err(problems) => return Ok(refuse(&problems)),
    };
    let log = start_log(&config)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(config.workers)?;
    let code = runtime.block_on(async {
        let signals = Signals::new()?;
        Ok(match serve(config, signals).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log.flush(LAST_LINES);
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        })
    });
    // A look-up of a name that nobody answers would be waited for.
    runtime.shutdown_background();
    log.flush(LAST_LINES);
    code
}

/// Runs the proxy until it is drained.
async fn serve(config: Config, signals: Signals) -> Result<(), StartError> {
    drop(weir::recorder());
    let open_files = weir::raise_open_files();
    tracing::info!(open_files, "limit of open files, raised as far as it goes");
    let proxy = Proxy::bind(config).await?;
    tokio::spawn(signals.pass_on(proxy.drain()));
    proxy.run().await
}

/// The signals that Weir handles. Made once and kept: a stream reports signals since its making,
/// so one made anew for each signal would miss the second if it comes right after the first.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// What a signal asks for.
enum Asked {
    /// To drain, and at the second time to end.
    Drain,
    /// Something that Weir does not do; the name is for the log.
    Nothing(&'static str),
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The first signal to end begins the drain, the second ends it.
    async fn pass_on(mut self, drain: Drain) {
        loop {
            match self.next().await {
                Asked::Drain => drain.begin(),
                Asked::Nothing(name) => tracing::warn!(
                    signal = name,
                    "the signal is ignored; SIGTERM ends Weir without a failed operation, and a \
                     change of settings or certificates needs a restart"
                ),
            }
        }
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Drain,
            _ = self.interrupt.recv() => Asked::Drain,
            _ = self.quit.recv() => Asked::Drain,
            _ = self.hang_up.recv() => Asked::Nothing("SIGHUP"),
            _ = self.user_1.recv() => Asked::Nothing("SIGUSR1"),
            _ = self.user_2.recv() => Asked::Nothing("SIGUSR2"),
        }
    }
}

/// Log lines go to standard error, through a queue of their own; standard output stays free.
fn start_log(config: &Config) -> io::Result<LogWriter> {
    let format = match config.log_format {
        LogFormat::Json => LineFormat::Json,
        LogFormat::Text => LineFormat::Text,
    };
    let writer = LogWriter::start(io::stderr(), format)?;
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The library would report a failed write on standard error, by a macro that panics there.
        .log_internal_errors(false)
        .with_writer(writer.clone());
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
    }
    // The standard hook writes to standard error itself, and would wait for a reader that stalls.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "a part of Weir failed; please report this");
    }));
    Ok(writer)
}

/// One worker needs no scheduler between threads: waking another thread for every reply costs
/// a third of an operation's CPU time.
fn runtime(workers: Option<usize>) -> io::Result<Runtime> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match workers.unwrap_or_else(|| workers_for(cores())) {
        0 | 1 => current_thread(),
        workers => Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build(),
    }
}

/// One worker carries some 60,000 operations a second: on a small machine the other core is
/// worth more to what stands beside Weir.
fn workers_for(cores: usize) -> usize {
    if cores <= 2 { 1 } else { cores }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_get_one_worker() {
        assert_eq!([1, 2, 3, 8].map(workers_for), [1, 1, 3, 8]);
    }
}
