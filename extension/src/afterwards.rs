//! What is done when an invocation is over: work that it leaves behind is finished before the
//! environment freezes, and its connections are closed if they are to live no longer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use weir::proxy::Controls;

use crate::api::{Api, Registered};
use crate::settings::{Release, Settings};
use crate::telemetry::Telemetry;

/// For the farewells of connections that end with their invocation.
pub(crate) const RELEASE_TIME: Duration = Duration::from_millis(50);

/// Where Lambda does not tell that an invocation is over, so much time without an operation is
/// taken for it.
const QUIET: Duration = Duration::from_millis(250);

/// Nothing keeps an environment awake for longer than an invocation may take.
const LONGEST_STAY: Duration = Duration::from_secs(900);

/// Between two looks whether there is work left.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is to be done when an invocation is over.
pub(crate) struct Afterwards {
    release: Release,
    drain: Option<Duration>,
    port: u16,
    /// So long before an invocation is cut off, its end is not waited for any more.
    notice: Duration,
    /// Tells when that is, where Lambda tells us.
    telemetry: Option<Telemetry>,
}

impl Afterwards {
    pub(crate) const fn new(settings: &Settings) -> Self {
        Self {
            release: settings.release,
            drain: settings.drain,
            port: settings.telemetry_port,
            notice: settings.notice,
            telemetry: None,
        }
    }

    /// Asks Lambda to tell when an invocation is over.
    pub(crate) async fn subscribe(&mut self, api: &Api, registered: &Registered) {
        self.telemetry = subscribe(api, registered, self.port).await;
    }

    /// Waits until the invocation is over, which is cut off in `left`, and does it.
    pub(crate) async fn wait(
        &mut self,
        controls: &Controls,
        request: &str,
        left: Option<Duration>,
    ) {
        // Word of the end may be lost. Who waits for it to the deadline itself asks for the next
        // event too late, and Lambda takes that for a failure of the environment.
        let end = Instant::now() + left.unwrap_or(LONGEST_STAY).saturating_sub(self.notice);
        let over = async {
            match &mut self.telemetry {
                Some(telemetry) => telemetry.over(request).await,
                None => is_quiet(controls, QUIET).await,
            }
        };
        drop(timeout_at(end, over).await);
        let drained = is_quiet(controls, Duration::ZERO);
        let drain = Instant::now() + self.drain.unwrap_or_default();
        drop(timeout_at(drain.min(end), drained).await);
        if self.release == Release::Invoke {
            controls.release(RELEASE_TIME).await;
        }
    }
}

/// Asks Lambda to tell when an invocation is over. `None`: it does not.
async fn subscribe(api: &Api, registered: &Registered, port: u16) -> Option<Telemetry> {
    let telemetry = match Telemetry::listen(port).await {
        Ok(telemetry) => telemetry,
        Err(error) => {
            tracing::warn!(
                "port {port} cannot be had ({error}); set WEIR_TELEMETRY_PORT to a free one"
            );
            return None;
        }
    };
    match api.subscribe(registered, port).await {
        Ok(true) => Some(telemetry),
        Ok(false) => {
            tracing::info!(
                "Lambda does not tell when an invocation is over; quiet is taken for it"
            );
            None
        }
        Err(error) => {
            tracing::warn!(%error, "Lambda does not tell when an invocation is over; quiet is taken for it");
            None
        }
    }
}

/// Waits until no operation waits for anything, for so long.
async fn is_quiet(controls: &Controls, quiet: Duration) {
    let mut since = Instant::now();
    let mut operations = controls.tally().operations;
    loop {
        let now = controls.tally().operations;
        if controls.in_flight() > 0 || now != operations {
            since = Instant::now();
            operations = now;
        } else if since.elapsed() >= quiet {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}
