//! The life of an environment as a state machine: what to do after each event of Lambda. Pure.
//!
//! ```text
//! init ── register ── next ─┬─ INVOKE ── (a thaw?) ── next ─┬─ ...
//!                           │                               │
//!                           └─ SHUTDOWN ── close ── exit    └─ SHUTDOWN ── close ── exit
//! ```

use std::time::Duration;

use crate::api::News;
use crate::env::Kind;

/// Pause between two attempts: the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Shortest time between two reports of the counters. An invocation that begins later writes one.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// One step that `environment` carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// From now on log lines carry the id of this invocation.
    Log(String),
    /// The environment is a copy. Replace all its connections.
    Renew,
    /// Open the connections that were not opened in init.
    Wake,
    /// Lambda ends the invocation after this time. `None`: the deadline is not known.
    Deadline(Option<Duration>),
    /// Check the connections: some may have died while the environment was frozen. The next step
    /// does not wait for this.
    Verify,
    /// Write the counters.
    Report,
    /// Keep the environment awake until this invocation is over. The time is what is left until its
    /// deadline.
    Stay(String, Option<Duration>),
    /// Ask for the next event. Always the last step, except at the end of the environment.
    Next,
    /// Try again after a pause.
    Pause(Duration),
    /// Log this text as a warning.
    Warn(String),
    /// End sessions, close connections, write the counters.
    Close(String),
    /// End, successfully.
    Exit,
}

/// The life of one environment.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    kind: Kind,
    /// The extension watches each invocation until its end.
    stays: bool,
    invocations: u64,
    reported: Option<Duration>,
    failures: u32,
    ended: bool,
}

impl Lifecycle {
    pub(crate) const fn new(kind: Kind, stays: bool) -> Self {
        Self {
            kind,
            stays,
            invocations: 0,
            reported: None,
            failures: 0,
            ended: false,
        }
    }

    /// The events to register for.
    pub(crate) const fn events(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Managed => &["SHUTDOWN"],
            _ => &["INVOKE", "SHUTDOWN"],
        }
    }

    /// Lambda refused the registration for invocations: it does not report them here. Returns `true`
    /// if that is new.
    pub(crate) const fn is_managed_after_all(&mut self) -> bool {
        let news = !matches!(self.kind, Kind::Managed);
        self.kind = Kind::Managed;
        news
    }

    /// Whether the extension watches each invocation until its end.
    pub(crate) const fn stays(&self) -> bool {
        self.stays && !self.passes_time()
    }

    /// Whether time passes without events: this environment is never frozen.
    pub(crate) const fn passes_time(&self) -> bool {
        matches!(self.kind, Kind::Managed)
    }

    /// A call failed. Returns the pause before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }

    /// A call succeeded. The next pause is the shortest again.
    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// The steps after an event of Lambda. `now` is the time since the Unix epoch.
    pub(crate) fn on(&mut self, news: News, now: Duration) -> Vec<Step> {
        if self.ended {
            return vec![Step::Exit];
        }
        match news {
            News::Invoke {
                request_id,
                deadline_ms,
            } => self.on_invoke(request_id, deadline_ms, now),
            News::Shutdown { reason } => self.on_end(&reason),
            News::Unknown(text) => vec![
                Step::Warn(format!(
                    "Lambda sent an event that this version does not know: {text}"
                )),
                Step::Next,
            ],
        }
    }

    /// The steps at the end of the environment, after SHUTDOWN or a signal.
    pub(crate) fn on_end(&mut self, reason: &str) -> Vec<Step> {
        self.ended = true;
        vec![Step::Close(reason.to_owned()), Step::Exit]
    }

    fn on_invoke(&mut self, request_id: String, deadline_ms: u64, now: Duration) -> Vec<Step> {
        self.invocations += 1;
        let mut steps = vec![Step::Log(request_id.clone())];
        if self.kind == Kind::SnapStart && self.invocations == 1 {
            steps.extend([Step::Renew, Step::Wake]);
        }
        let deadline = Some(Duration::from_millis(deadline_ms)).filter(|at| !at.is_zero());
        let left = deadline.map(|at| at.saturating_sub(now));
        steps.push(Step::Deadline(left));
        steps.push(Step::Verify);
        let last = *self.reported.get_or_insert(now);
        if now.saturating_sub(last) >= REPORT_EVERY {
            self.reported = Some(now);
            steps.push(Step::Report);
        }
        if self.stays {
            steps.push(Step::Stay(request_id, left));
        }
        steps.push(Step::Next);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn invoke(id: &str, after: u64) -> News {
        News::Invoke {
            request_id: id.to_owned(),
            deadline_ms: u64::try_from(NOW.as_millis()).unwrap() + after,
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_invocation_sets_its_deadline_and_asks_for_the_next_event() {
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        assert_eq!(life.events(), ["INVOKE", "SHUTDOWN"]);
        let expected = [
            Step::Log("r-1".to_owned()),
            Step::Deadline(Some(ms(3_000))),
            Step::Verify,
            Step::Next,
        ];
        assert_eq!(life.on(invoke("r-1", 3_000), NOW), expected);
    }

    #[test]
    fn an_unknown_deadline_is_none() {
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        let news = News::Invoke {
            request_id: "r".to_owned(),
            deadline_ms: 0,
        };
        assert!(life.on(news, NOW).contains(&Step::Deadline(None)));
    }

    #[test]
    fn the_first_invocation_of_a_copy_renews_everything_before_it_is_served() {
        let mut life = Lifecycle::new(Kind::SnapStart, false);
        let first = life.on(invoke("r-1", 3_000), NOW);
        let at = |step: &Step| first.iter().position(|other| other == step).unwrap();
        assert!(at(&Step::Renew) < at(&Step::Wake) && at(&Step::Wake) < at(&Step::Next));
        let second = life.on(invoke("r-2", 3_000), NOW);
        assert!(!second.contains(&Step::Renew) && !second.contains(&Step::Wake));
    }

    #[test]
    fn managed_instances_are_asked_for_their_end_only() {
        let life = Lifecycle::new(Kind::Managed, false);
        assert_eq!(life.events(), ["SHUTDOWN"]);
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        assert!(life.is_managed_after_all());
        assert_eq!(life.events(), ["SHUTDOWN"]);
        assert!(!life.is_managed_after_all(), "it was tried already");
    }

    #[test]
    fn the_end_closes_and_exits_whatever_its_reason() {
        for reason in ["SPINDOWN", "SandboxTerminated", ""] {
            let mut life = Lifecycle::new(Kind::OnDemand, true);
            let news = News::Shutdown {
                reason: reason.to_owned(),
            };
            let expected = [Step::Close(reason.to_owned()), Step::Exit];
            assert_eq!(life.on(news, NOW), expected);
            assert_eq!(life.on(invoke("late", 1), NOW), [Step::Exit]);
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_passed_over() {
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        let steps = life.on(News::Unknown("{}".to_owned()), NOW);
        assert!(matches!(steps.as_slice(), [Step::Warn(_), Step::Next]));
    }

    #[test]
    fn counters_are_written_once_a_minute_of_wall_time() {
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        let reports = |life: &mut Lifecycle, at: u64| {
            let steps = life.on(invoke("r", 3_000), NOW + Duration::from_secs(at));
            steps.contains(&Step::Report)
        };
        let seen: Vec<bool> = [0, 30, 59, 60, 61, 300]
            .into_iter()
            .map(|at| reports(&mut life, at))
            .collect();
        assert_eq!(seen, [false, false, false, true, false, true]);
    }

    #[test]
    fn pauses_grow_and_an_answer_ends_them() {
        let mut life = Lifecycle::new(Kind::OnDemand, false);
        let pauses: Vec<_> = (0..8).map(|_| life.failed()).collect();
        assert_eq!(pauses.first(), Some(&ms(25)));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        life.answered();
        assert_eq!(life.failed(), ms(25));
    }

    #[test]
    fn who_stays_does_so_before_the_next_event() {
        let mut life = Lifecycle::new(Kind::OnDemand, true);
        let steps = life.on(invoke("r", 3_000), NOW);
        let stay = Step::Stay("r".to_owned(), Some(ms(3_000)));
        assert!(steps.ends_with(&[stay, Step::Next]));
    }
}
