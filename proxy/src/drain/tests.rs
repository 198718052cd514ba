use super::*;
use crate::error::Class;

const WORK: Work = Work {
    class: Class::RetryableWrite,
    starts_transaction: false,
    retried_read: false,
    load_balanced: false,
    pinned: false,
    backpressure: false,
};

const READ: Work = Work {
    class: Class::Read,
    retried_read: true,
    ..WORK
};

#[test]
fn the_timetable_leaves_each_side_its_time() {
    let seconds = Duration::from_secs;
    let none = Timetable::of(Behind::None, seconds(55));
    assert_eq!((none.close_monitors, none.last), (None, seconds(53)));
    let list = Timetable::of(Behind::List, seconds(25));
    assert!(
        list.resume_streams >= seconds(11),
        "a heartbeat of a driver, and a hello"
    );
    assert!(
        list.close_monitors > Some(list.resume_streams + seconds(1)),
        "a stream's wait"
    );
    let balancer = Timetable::of(Behind::Balancer, seconds(110));
    assert!(
        balancer.close_monitors >= Some(seconds(40)),
        "until a balancer notices"
    );
    for table in [list, balancer] {
        assert_eq!(
            table.close_monitors.unwrap() + seconds(1),
            table.redirect_writers
        );
        assert!(
            table.redirect_writers < table.redirect_readers
                && table.redirect_readers < table.last
                && table.last < table.end
        );
    }
}

#[test]
fn who_is_sent_away_and_when() {
    use Phase as P;
    let at = |work| P::ALL.map(|phase| sends_away(phase, work));
    let from = |first: P| P::ALL.map(|phase| phase >= first);
    let never = [false; 7];
    let of = |class| Work { class, ..WORK };
    assert_eq!(at(WORK), from(P::RedirectWriters));
    assert_eq!(at(READ), from(P::RedirectReaders));
    assert_eq!(
        at(of(Class::Read)),
        from(P::Final),
        "drivers do not retry it"
    );
    assert_eq!(at(of(Class::Write)), from(P::Final));
    for class in [
        Class::InTransaction,
        Class::Commit,
        Class::Abort,
        Class::GetMore,
    ] {
        assert_eq!(at(of(class)), never, "{class:?}");
    }
    let opening = Work {
        starts_transaction: true,
        ..of(Class::InTransaction)
    };
    assert_eq!(at(opening), from(P::Final));
}

#[test]
fn without_monitors_clients_are_told_at_once_unless_they_hold_something() {
    use Phase as P;
    let at = |work| P::ALL.map(|phase| sends_away(phase, work));
    let from = |first: P| P::ALL.map(|phase| phase >= first);
    let balanced = |work| Work {
        load_balanced: true,
        ..work
    };
    assert_eq!(at(balanced(WORK)), from(P::CloseMonitors));
    assert_eq!(
        at(balanced(READ)),
        from(P::RedirectReaders),
        "writers first"
    );
    let write = Work {
        class: Class::Write,
        ..balanced(WORK)
    };
    assert_eq!(at(write), from(P::Final));
    let newer = Work {
        backpressure: true,
        ..write
    };
    assert_eq!(at(newer), from(P::CloseMonitors));
    let pinned = Work {
        pinned: true,
        ..balanced(READ)
    };
    assert_eq!(at(pinned), from(P::Final));
}

#[test]
fn a_second_try_that_comes_back_is_served() {
    let drain = Drain::new(Behind::Balancer, Duration::from_secs(10));
    assert!(!drain.sends_away(WORK, Some(7), Some(1)));
    drain.enter(Phase::RedirectReaders);
    assert!(drain.sends_away(WORK, Some(7), Some(1)));
    assert!(!drain.sends_away(WORK, Some(7), Some(1)), "the second try");
    assert!(drain.sends_away(WORK, Some(7), Some(2)), "a new write");
    assert!(drain.sends_away(READ, Some(8), None));
    assert!(!drain.sends_away(READ, Some(8), None));
    assert!(!drain.sends_away(READ, None, None), "it has no session");
    drain.enter(Phase::Final);
    assert!(!drain.sends_away(READ, Some(8), None));
    assert!(drain.sends_away(READ, None, None));
    let plain = Work {
        class: Class::Write,
        ..WORK
    };
    assert!(drain.sends_away(plain, Some(9), None));
    assert!(drain.sends_away(plain, Some(9), None), "a new write, too");
}

/// The phases that a drain with one client goes through, by the paused clock.
async fn phases(behind: Behind, seconds: &[u64]) -> Vec<Phase> {
    let drain = Drain::new(behind, Duration::from_secs(100));
    let clients = TaskTracker::new();
    let _client = clients.token();
    drain.begin();
    let done = {
        let (drain, clients) = (drain.clone(), clients.clone());
        tokio::spawn(async move { drain.done(&clients, || true).await })
    };
    let begun = Instant::now();
    let mut seen = Vec::new();
    for second in seconds {
        sleep_until(begun + Duration::from_secs(*second)).await;
        seen.push(drain.phase());
    }
    sleep_until(begun + Duration::from_millis(100_100)).await;
    assert!(done.is_finished(), "the time is up");
    seen
}

#[tokio::test(start_paused = true)]
async fn each_drain_goes_through_its_phases() {
    use Phase as P;
    let seconds = [1, 49, 52, 61, 64, 97, 99];
    let [e, m, r, l] = [P::Unready, P::RedirectWriters, P::RedirectReaders, P::Final];
    assert_eq!(phases(Behind::None, &seconds).await, [e, e, e, e, e, e, l]);
    let u = P::ResumeStreams;
    assert_eq!(phases(Behind::List, &seconds).await, [e, u, m, m, r, r, l]);
    assert_eq!(
        phases(Behind::Balancer, &seconds).await,
        [e, e, m, m, r, r, l]
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_balancer_is_waited_for_when_nobody_is_here() {
    for (behind, seconds) in [(Behind::None, 0), (Behind::List, 0), (Behind::Balancer, 50)] {
        let drain = Drain::new(behind, Duration::from_secs(100));
        drain.begin();
        let begun = Instant::now();
        drain.done(&TaskTracker::new(), || false).await;
        assert_eq!(begun.elapsed().as_secs(), seconds, "{behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_closes_its_listeners_before_its_monitors() {
    let drain = Drain::new(Behind::List, Duration::from_secs(10));
    let clients = TaskTracker::new();
    let _client = clients.token();
    let seen = Arc::new(Mutex::new(None));
    drain.listen(|stop| {
        let (drain, seen) = (drain.clone(), Arc::clone(&seen));
        async move {
            stop.cancelled().await;
            // Closing takes its time.
            sleep(Duration::from_millis(100)).await;
            *seen.lock() = Some(drain.phase());
        }
    });
    drain.begin();
    tokio::select! {
        () = drain.done(&clients, || false) => panic!("a client is left"),
        () = drain.monitors_closing() => {}
    }
    assert_eq!(*seen.lock(), Some(Phase::ResumeStreams));
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_lets_what_runs_end() {
    let drain = Drain::new(Behind::None, Duration::from_secs(100));
    let clients = TaskTracker::new();
    let _client = clients.token();
    drain.begin();
    drain.begin();
    let begun = Instant::now();
    let busy = || begun.elapsed() < Duration::from_secs(1);
    drain.done(&clients, busy).await;
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(drain.phase(), Phase::Final);
}
