//! Breaks connections between Weir and the server, again and again.

use std::time::Duration;

use super::Options;
use super::client::LATE;
use super::report::Report;
use weir_tests::random::Random;
use weir_tests::relay::{Fault, Relay, Side, Trigger};

/// Longer than the ten seconds that Weir waits beyond `maxTimeMS`.
const TOO_LATE: Duration = Duration::from_secs(13);

/// Holds the replies to marked requests back.
pub(super) fn hold_back(relay: &Relay) {
    let needle = LATE.as_bytes();
    relay.add(Trigger {
        matches: Box::new(move |bytes| bytes.windows(needle.len()).any(|part| part == needle)),
        side: Side::Replies,
        fault: Fault::Delay {
            by: TOO_LATE,
            jitter: Duration::ZERO,
        },
        times: usize::MAX,
    });
}

/// Works until it is dropped.
pub(super) async fn sabotage(relay: &Relay, options: &Options, report: &Report) {
    let mut random = Random::new(options.seed, 0);
    let twice = u64::try_from(options.hurt_every.as_millis() * 2).unwrap_or(u64::MAX);
    loop {
        tokio::time::sleep(Duration::from_millis(random.below(twice))).await;
        let some = |random: &mut Random| usize::try_from(random.below(3_000)).unwrap_or(0);
        let (side, fault, name) = match random.below(10) {
            0..5 => (Side::Replies, Fault::ResetNow, "upstream resets"),
            5..7 => {
                let fault = Fault::Reset(some(&mut random));
                (Side::Replies, fault, "upstream resets in a reply")
            }
            7..8 => {
                let fault = Fault::Reset(some(&mut random));
                (Side::Requests, fault, "upstream resets in a request")
            }
            _ => {
                let fault = Fault::Truncate(some(&mut random));
                (Side::Replies, fault, "upstream replies cut short")
            }
        };
        let victim = usize::try_from(random.below(1_000)).unwrap_or(0);
        if relay.hurt(victim, side, fault) {
            report.count(name);
        }
    }
}
