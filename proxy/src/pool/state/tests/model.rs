//! Random sequences of steps, watched from outside. The watcher records which operation holds which
//! connection, which operations wait, and which sockets exist. After each step every invariant is
//! checked against these records, not against what the machine says about itself.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

mod check;
mod watch;

use watch::Watch;

/// One thing that happens to the pool. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    CheckOut {
        lane: Lane,
        only: Option<u8>,
        opens: bool,
    },
    Cancel(u8),
    CheckIn(u8),
    Discard(u8),
    Closed,
    Connected {
        which: u8,
        lifetime: u16,
    },
    ConnectFailed {
        which: u8,
        pause: u16,
        login_refused: bool,
        lingers: bool,
    },
    Clear,
    NodeDied,
    FirstUsed,
    Retire,
    SetAvailable(bool),
    Tick {
        dead: Option<u8>,
    },
    Probe,
    SetPinned {
        which: u8,
        reason: PinReason,
        pinned: bool,
    },
    RejectAll,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let lane = || {
        prop_oneof![
            Just(Lane::Normal),
            Just(Lane::Finishing),
            Just(Lane::Awaiting)
        ]
    };
    let reason = prop_oneof![Just(PinReason::Cursor), Just(PinReason::Transaction)];
    // A retired pool does nothing more, so it is made seldom.
    let seldom =
        prop_oneof![12 => Just(Step::Probe), 2 => Just(Step::FirstUsed), 1 => Just(Step::Retire)];
    prop_oneof![
        14 => (lane(), prop::option::weighted(0.3, any::<u8>()), prop::bool::weighted(0.3))
            .prop_map(|(lane, only, opens)| Step::CheckOut { lane, only, opens }),
        2 => any::<u8>().prop_map(Step::Cancel),
        8 => any::<u8>().prop_map(Step::CheckIn),
        2 => any::<u8>().prop_map(Step::Discard),
        4 => Just(Step::Closed),
        10 => (any::<u8>(), 0..8000_u16)
            .prop_map(|(which, lifetime)| Step::Connected { which, lifetime }),
        3 => (any::<u8>(), 0..3000_u16, any::<bool>(), any::<bool>()).prop_map(
            |(which, pause, login_refused, lingers)| Step::ConnectFailed {
                which,
                pause,
                login_refused,
                lingers,
            }
        ),
        1 => Just(Step::Clear),
        1 => Just(Step::NodeDied),
        2 => any::<bool>().prop_map(Step::SetAvailable),
        3 => prop::option::weighted(0.3, any::<u8>()).prop_map(|dead| Step::Tick { dead }),
        1 => seldom,
        4 => (any::<u8>(), reason, any::<bool>())
            .prop_map(|(which, reason, pinned)| Step::SetPinned { which, reason, pinned }),
        1 => Just(Step::RejectAll),
        4 => (0..2000_u16).prop_map(Step::Pass),
    ]
}

fn sizes() -> impl Strategy<Value = Limits> {
    let idle_time = prop::option::of((500..3000_u64).prop_map(ms));
    let spacing = prop_oneof![3 => Just(Duration::ZERO), 1 => Just(ms(66))];
    let depth = prop_oneof![Just(0_usize), 1..6_usize, Just(1000_usize)];
    (
        2..=25_usize,
        depth,
        0..5_usize,
        1..4_usize,
        idle_time,
        spacing,
        any::<bool>(),
    )
        .prop_map(
            |(slots, depth, min, max_connecting, idle_time, connect_spacing, affinity)| Limits {
                slots,
                depth,
                min,
                max_connecting,
                idle_time,
                connect_spacing,
                affinity,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_step_and_the_queue_drains(
        limits in sizes(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut watch = Watch::new(limits);
        for step in steps {
            watch.take(step);
            watch.check();
        }
        watch.drain();
    }

    /// Without affinity and trouble: pure traffic, whose order must be exact.
    #[test]
    fn traffic_is_served_in_order(
        slots in 2..=25_usize,
        steps in prop::collection::vec(
            (any::<bool>(), any::<bool>(), any::<u8>(), 0..3_usize), 1..400
        ),
    ) {
        let mut watch = Watch::new(limits(slots));
        for (come, connect, which, lane) in steps {
            if come {
                watch.take(Step::CheckOut { lane: Lane::ALL[lane], only: None, opens: false });
            } else {
                watch.take(Step::CheckIn(which));
            }
            if connect {
                watch.take(Step::Connected { which, lifetime: u16::MAX });
            }
            watch.check();
        }
        watch.drain();
    }
}
