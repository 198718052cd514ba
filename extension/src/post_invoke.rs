//! The work at the end of an invocation. Operations that the invocation left behind finish before
//! the environment freezes. With `WEIR_RELEASE=invoke` the upstream connections are closed too.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use weir::Controls;

use crate::api::{Api, Registered};
use crate::settings::{Release, Settings};
use crate::telemetry::Telemetry;

/// Longest time for closing the connections that end with their invocation.
pub(crate) const RELEASE_TIME: Duration = Duration::from_millis(50);

/// Where Lambda does not report the end of an invocation, the extension assumes it after this time
/// without an operation.
const QUIET: Duration = Duration::from_millis(250);

/// Longest time that the extension keeps an environment awake: Lambda's longest invocation.
const LONGEST_STAY: Duration = Duration::from_secs(900);

/// Time between two checks for operations that still run.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits for the end of each invocation and does the work that is due then.
pub(crate) struct PostInvoke {
    release: Release,
    drain: Option<Duration>,
    port: u16,
    /// The extension stops waiting for the end of an invocation this long before its deadline.
    notice: Duration,
    /// Reports the end of invocations. `None`: Lambda does not report it here.
    telemetry: Option<Telemetry>,
}

impl PostInvoke {
    pub(crate) const fn new(settings: &Settings) -> Self {
        Self {
            release: settings.release,
            drain: settings.drain,
            port: settings.telemetry_port,
            notice: settings.notice,
            telemetry: None,
        }
    }

    /// Asks Lambda to report the end of each invocation.
    pub(crate) async fn subscribe(&mut self, api: &Api, registered: &Registered) {
        self.telemetry = subscribe(api, registered, self.port).await;
    }

    /// Waits until the invocation is over and does the work that is due then. `left` is the time
    /// until Lambda's deadline; `None`: the deadline is not known.
    pub(crate) async fn wait(
        &mut self,
        controls: &Controls,
        request: &str,
        left: Option<Duration>,
    ) {
        // Lambda's report of the end may get lost. An extension that waits for it until the deadline
        // asks for the next event too late. Lambda treats that as a failure of the environment.
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

/// Asks Lambda to report the end of each invocation. `None`: Lambda does not report it here.
async fn subscribe(api: &Api, registered: &Registered, port: u16) -> Option<Telemetry> {
    let telemetry = match Telemetry::listen(port).await {
        Ok(telemetry) => telemetry,
        Err(error) => {
            tracing::warn!(
                "cannot listen on port {port} ({error}); set WEIR_TELEMETRY_PORT to a free port"
            );
            return None;
        }
    };
    match api.subscribe(registered, port).await {
        Ok(true) => Some(telemetry),
        Ok(false) => {
            tracing::info!(
                "Lambda does not report the end of an invocation here; a pause without operations \
                 counts as the end"
            );
            None
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "Lambda does not report the end of an invocation here; a pause without operations \
                 counts as the end"
            );
            None
        }
    }
}

/// Waits until no operation has run for the time `quiet`.
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
