//! How long an operation may wait, and for what.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    error::{Class, Failure},
    relay::{HostDeadline, RelaySettings, Request},
};

/// How long Weir holds a getMore whose node is away, when the getMore waits for data or its node
/// is not known. Its driver can resume elsewhere and loses nothing, but only after an answer. A
/// node that lost nothing but its connections is back by then.
pub(super) const CURSOR_NODE_AWAY: Duration = Duration::from_secs(2);

/// How long killCursors waits for a node that is away. A node that lost nothing but its
/// connections is back by then, with its cursors. Any other node has lost the cursors or ends
/// them by itself. A driver passes this wait on before it resumes elsewhere.
pub(super) const KILL_NODE_AWAY: Duration = Duration::from_secs(1);

/// How long Weir waits for a reply after the client's own limit. The server notices `maxTimeMS`
/// at its next check, and its answer says more than Weir's.
const REPLY_GRACE: Duration = Duration::from_secs(10);

/// The limits of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    /// The client's own limit, from `maxTimeMS`.
    client: Option<Instant>,
    queue_timeout: Duration,
    hold_timeout: Duration,
    /// The end of a Lambda invocation. It may become known while the operation waits.
    host_deadline: Option<&'static HostDeadline>,
}

impl Deadline {
    /// The limits of `request`. On a getMore `maxTimeMS` is the wait for data and not a limit.
    #[must_use]
    pub fn of(request: &Request, settings: &RelaySettings) -> Self {
        let limit = request
            .facts
            .max_time
            .filter(|_| request.facts.class != Class::GetMore);
        let limit = limit
            .and_then(|max| u64::try_from(max.ms).ok())
            .filter(|ms| *ms > 0);
        // A server refuses limits above i32::MAX ms.
        let limit = limit.filter(|ms| *ms <= i32::MAX.unsigned_abs().into());
        Self {
            started: request.started,
            client: limit.map(|ms| request.started + Duration::from_millis(ms)),
            queue_timeout: settings.queue_timeout,
            hold_timeout: settings.hold_timeout,
            host_deadline: settings.host_deadline,
        }
    }

    /// The end of the invocation that the operation is part of.
    fn host_deadline(&self) -> Option<Instant> {
        self.host_deadline?.of(self.started)
    }

    /// The nearest of `other`, the client's limit and the host's deadline.
    fn clients_or(&self, other: Instant) -> Instant {
        let ends = [self.client, self.host_deadline()].into_iter().flatten();
        ends.fold(other, Instant::min)
    }

    /// Waits until the host changes its deadline. Ends computed before no longer hold then.
    pub async fn changed(&self) {
        match self.host_deadline {
            Some(host_deadline) => host_deadline.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The end of a wait for a connection that begins at `from`.
    #[must_use]
    pub fn queue_until(&self, from: Instant) -> Instant {
        self.clients_or(from + self.queue_timeout)
    }

    /// The end of the hold: the wait for a node.
    #[must_use]
    pub fn hold_until(&self) -> Instant {
        self.clients_or(self.started + self.hold_timeout)
    }

    /// The same, with a hold of at most `most`.
    #[must_use]
    pub fn hold_at_most(self, most: Duration) -> Self {
        Self {
            hold_timeout: self.hold_timeout.min(most),
            ..self
        }
    }

    /// The same, with a hold of at most `most` that starts now.
    #[must_use]
    pub fn hold_from_now(self, most: Duration) -> Self {
        Self {
            started: Instant::now(),
            ..self.hold_at_most(most)
        }
    }

    /// Why a wait that ended at `instant` ended: the host's deadline, the client's limit, or one
    /// of Weir's own settings, whose failure is `own`.
    #[must_use]
    pub fn failure(&self, instant: Instant, own: Failure) -> Failure {
        let is_past = |end: Option<Instant>| end.is_some_and(|end| end <= instant);
        if is_past(self.host_deadline()) {
            Failure::WorkEnds { sent: false }
        } else if is_past(self.client) {
            Failure::DeadlinePassed
        } else {
            own
        }
    }

    /// Whether the hold is over. Then an unsent operation is not tried again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.hold_until()
    }

    /// Whether there is time for a pause and another try after it.
    #[must_use]
    pub fn allows(&self, pause: Duration) -> bool {
        self.hold_until().saturating_duration_since(Instant::now()) > pause
    }

    /// When to give up on a reply. `None`: only when the connection or the node dies.
    #[must_use]
    pub fn reply_until(&self) -> Option<Instant> {
        let ends = [
            self.client.map(|client| client + REPLY_GRACE),
            self.host_deadline(),
        ];
        ends.into_iter().flatten().min()
    }

    /// Waits until it is time to give up on a reply. Returns why.
    pub async fn reply_over(&self) -> Failure {
        loop {
            let over = async {
                match self.reply_until() {
                    Some(until) => {
                        sleep_until(until).await;
                        until
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                until = over => return match self.host_deadline() {
                    Some(end) if end <= until => Failure::WorkEnds { sent: true },
                    _ => Failure::ReplyTimeout,
                },
                () = self.changed() => {}
            }
        }
    }

    /// `maxTimeMS` for the server, milliseconds: the client's limit without Weir's own waiting
    /// and the round trip. `None`: the waiting took all of it.
    ///
    /// `round_trip` is the least of the last samples, as `client-side-operations-timeout.md`
    /// demands. A busy moment can raise an average, which would end operations that a server had
    /// the time for. The round trip takes at most half of what is left.
    #[must_use]
    pub fn remaining_ms(&self, client_ms: i64, round_trip: Duration) -> Option<i64> {
        let [waited, round_trip] = [self.started.elapsed(), round_trip]
            .map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let left = client_ms.saturating_sub(waited);
        (left > 0).then(|| left - round_trip.min(left / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline() -> Deadline {
        Deadline {
            started: Instant::now(),
            client: None,
            queue_timeout: Duration::from_secs(4),
            hold_timeout: Duration::from_secs(30),
            host_deadline: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_limit_is_what_waiting_and_the_round_trip_leave() {
        let deadline = deadline();
        let ms = Duration::from_millis;
        assert_eq!(deadline.remaining_ms(300, ms(0)), Some(300));
        tokio::time::advance(ms(100)).await;
        assert_eq!(deadline.remaining_ms(300, ms(20)), Some(180));
        assert_eq!(deadline.remaining_ms(100, ms(0)), None, "waited too long");
    }

    #[tokio::test(start_paused = true)]
    async fn the_hosts_deadline_ends_every_wait() {
        let host_deadline: &'static HostDeadline = Box::leak(Box::default());
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let deadline = Deadline {
            host_deadline: Some(host_deadline),
            ..deadline()
        };
        assert_eq!(deadline.reply_until(), None);
        let waiting = async {
            assert_eq!(
                deadline.reply_over().await,
                Failure::WorkEnds { sent: true }
            );
            start.elapsed()
        };
        let setting = async {
            tokio::time::sleep(ms(10)).await;
            host_deadline.set(start + ms(1_000), ms(200));
        };
        let (waited, ()) = tokio::join!(waiting, setting);
        assert_eq!(
            waited,
            ms(800),
            "it became known while the operation waited"
        );
        assert_eq!(deadline.queue_until(start), start + ms(800));
        assert_eq!(deadline.hold_until(), start + ms(800));
        let failure = |at| deadline.failure(start + ms(at), Failure::NoNode);
        assert_eq!(failure(800), Failure::WorkEnds { sent: false });
        assert_eq!(failure(799), Failure::NoNode);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_round_trip_alone_refuses_nothing() {
        let round_trip = Duration::from_secs(1);
        assert_eq!(deadline().remaining_ms(300, round_trip), Some(150));
        assert_eq!(deadline().remaining_ms(1, round_trip), Some(1));
    }
}
