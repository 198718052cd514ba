//! How long one operation may wait, and for what.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    error::{Class, Failure},
    relay::{RelaySettings, Request, host_deadline::HostDeadline},
};

/// Grace for a reply after the client's own limit: the server notices `maxTimeMS` at
/// its next check, and its answer is better than ours.
const REPLY_GRACE: Duration = Duration::from_secs(10);

/// The limits of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    /// From `maxTimeMS`.
    client: Option<Instant>,
    queue_timeout: Duration,
    hold_timeout: Duration,
    /// The end of the work it is part of, which may become known while it waits.
    host_deadline: Option<&'static HostDeadline>,
}

impl Deadline {
    /// The limits of `request`. On a getMore `maxTimeMS` is how long to wait for data, not
    /// a limit.
    #[must_use]
    pub fn of(request: &Request, settings: &RelaySettings) -> Self {
        let limit = request
            .facts
            .max_time
            .filter(|_| request.facts.class != Class::GetMore);
        let limit = limit
            .and_then(|max| u64::try_from(max.ms).ok())
            .filter(|ms| *ms > 0);
        // A server refuses limits above i32::MAX ms; so much is as good as none.
        let limit = limit.filter(|ms| *ms <= i32::MAX.unsigned_abs().into());
        Self {
            started: request.started,
            client: limit.map(|ms| request.started + Duration::from_millis(ms)),
            queue_timeout: settings.queue_timeout,
            hold_timeout: settings.hold_timeout,
            host_deadline: settings.host_deadline,
        }
    }

    /// The end of the work that the operation is part of.
    fn host_deadline(&self) -> Option<Instant> {
        self.host_deadline?.of(self.started)
    }

    /// The nearest of the ends that others have set.
    fn clients_or(&self, other: Instant) -> Instant {
        let ends = [self.client, self.host_deadline()].into_iter().flatten();
        ends.fold(other, Instant::min)
    }

    /// Waits for the end of the work to be set anew: what was computed from it no longer holds.
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

    /// The end of the wait for a node.
    #[must_use]
    pub fn hold_until(&self) -> Instant {
        self.clients_or(self.started + self.hold_timeout)
    }

    /// The same, but held for a node no longer than `most`.
    #[must_use]
    pub fn hold_at_most(self, most: Duration) -> Self {
        Self {
            hold_timeout: self.hold_timeout.min(most),
            ..self
        }
    }

    /// The same, from now on.
    #[must_use]
    pub fn hold_from_now(self, most: Duration) -> Self {
        Self {
            started: Instant::now(),
            ..self.hold_at_most(most)
        }
    }

    /// What to tell who waited in vain until `instant`: whose end that was. `own` is for
    /// Weir's own.
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

    /// Whether the hold is over, so that nothing unsent may be tried again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.hold_until()
    }

    /// Whether there is time for a pause and another try after it.
    #[must_use]
    pub fn allows(&self, pause: Duration) -> bool {
        self.hold_until().saturating_duration_since(Instant::now()) > pause
    }

    /// When to give up on a reply; `None`: only when the connection or the node dies.
    #[must_use]
    pub fn reply_until(&self) -> Option<Instant> {
        let ends = [
            self.client.map(|client| client + REPLY_GRACE),
            self.host_deadline(),
        ];
        ends.into_iter().flatten().min()
    }

    /// Waits until it is time to give up on a reply, and says why it is.
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

    /// `maxTimeMS` for the server: what is left after our own waiting and the way there.
    /// `None`: nothing is left after the waiting. The client's own number while nothing
    /// noticeable passed.
    ///
    /// The way is the least of late, by `client-side-operations-timeout.md`: an average, which a
    /// busy moment can raise, would end operations that a server had the time for. It takes at
    /// most half of what is left, and never the whole operation.
    #[must_use]
    pub fn remaining_ms(&self, client_ms: i64, round_trip: Duration) -> Option<i64> {
        let [waited, way] = [self.started.elapsed(), round_trip]
            .map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let left = client_ms.saturating_sub(waited);
        (left > 0).then(|| left - way.min(left / 2))
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
    async fn the_servers_limit_is_what_waiting_and_the_way_leave() {
        let deadline = deadline();
        let ms = Duration::from_millis;
        assert_eq!(deadline.remaining_ms(300, ms(0)), Some(300));
        tokio::time::advance(ms(100)).await;
        assert_eq!(deadline.remaining_ms(300, ms(20)), Some(180));
        assert_eq!(deadline.remaining_ms(100, ms(0)), None, "waited too long");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_work_ends_every_wait() {
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
    async fn a_slow_way_alone_refuses_nothing() {
        let way = Duration::from_secs(1);
        assert_eq!(deadline().remaining_ms(300, way), Some(150));
        assert_eq!(deadline().remaining_ms(1, way), Some(1));
    }
}
