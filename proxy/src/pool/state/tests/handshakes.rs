//! When a connection is opened.

use super::*;

#[test]
fn few_handshakes_at_a_time() {
    let mut pool = Pool::by_hand(limits(20));
    for who in ["a", "b", "c", "d"] {
        pool.ask(who, Lane::Normal);
    }
    assert_eq!(pool.connects.len(), 2);
    pool.connected(ConnId(1));
    assert_eq!(pool.connects, [(ConnId(2), 1), (ConnId(3), 1)]);
}

#[test]
fn nothing_is_opened_for_who_has_no_room() {
    let mut pool = Pool::new(limits(2));
    let _busy = pool.lease(Lane::Normal);
    pool.ask("waits", Lane::Normal);
    assert_eq!(pool.counts().sockets(), 1);
}

#[test]
fn a_failed_handshake_is_repeated_when_its_pause_is_over() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("waits", Lane::Normal);
    pool.connect_failed(ms(70));
    assert_eq!(pool.connects, []);
    assert_eq!(
        pool.machine.tick_at(),
        Some(ms(70)),
        "not only at the next second"
    );
    pool.pass(ms(70));
    pool.tick();
    assert_eq!(pool.connects.len(), 1);
    assert_eq!(pool.machine.tick_at(), None);
}

#[test]
fn a_node_that_is_back_is_not_made_to_wait() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("waits", Lane::Normal);
    pool.connect_failed(HOUR);
    pool.available(true);
    assert_eq!(pool.connects.len(), 1);
}

#[test]
fn handshakes_keep_their_distance() {
    let spacing = Limits {
        connect_spacing: ms(100),
        max_connecting: 9,
        ..limits(20)
    };
    let mut pool = Pool::by_hand(spacing);
    for who in ["a", "b", "c"] {
        pool.ask(who, Lane::Normal);
    }
    assert_eq!(pool.connects.len(), 1);
    assert_eq!(pool.machine.tick_at(), Some(ms(100)));
    pool.pass(ms(99));
    pool.tick();
    assert_eq!(pool.connects.len(), 1);
    pool.pass(ms(1));
    // A node that comes and goes does not shorten the distance.
    pool.available(true);
    assert_eq!(pool.connects.len(), 2);
    pool.available(false);
    pool.available(true);
    assert_eq!(pool.connects.len(), 2);
}

#[test]
fn a_probe_stays_inside_the_cap() {
    let mut pool = Pool::by_hand(limits(2));
    let both = [Lane::Normal, Lane::Finishing].map(|lane| {
        pool.ask("me", lane);
        pool.connected(ConnId(pool.machine.last_id));
        pool.got("me")
    });
    pool.machine.probe(pool.now, &mut pool.effects);
    pool.settle();
    assert_eq!(pool.connects, [], "no slot is free");
    // The connection whose error asked for the probe frees it.
    let [broken, _busy] = both;
    pool.discard(broken);
    assert_eq!(pool.connects, [], "not yet");
    pool.let_go();
    assert_eq!(pool.connects.len(), 1);
    pool.connected(ConnId(3));
    assert_eq!(pool.connects, [], "once");
}

#[test]
fn a_probe_does_not_wait_out_a_failure() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("waits", Lane::Normal);
    pool.connect_failed(HOUR);
    pool.machine.probe(pool.now, &mut pool.effects);
    pool.settle();
    assert_eq!(pool.connects.len(), 1);
}

#[test]
fn the_coldest_idle_connection_yields_to_a_probe() {
    let mut pool = Pool::new(limits(2));
    let (cold, warm) = (pool.lease(Lane::Normal), pool.lease(Lane::Finishing));
    let cold_id = cold.id;
    pool.give_back(cold);
    pool.give_back(warm);
    pool.machine.probe(pool.now, &mut pool.effects);
    pool.settle();
    assert_eq!(pool.closed, [(cold_id, CloseReason::Yielded)]);
    assert_eq!(pool.counts().idle, 2);
}

#[test]
fn what_is_left_of_a_failed_handshake_counts() {
    let mut pool = Pool::by_hand(limits(2));
    pool.available(true);
    pool.ask("waits", Lane::Normal);
    let (_, generation) = pool.connects.remove(0);
    let failed = FailedConnect {
        lingers: true,
        ..harness::failed(ms(1))
    };
    pool.machine
        .connect_failed(generation, failed, pool.now, &mut pool.effects);
    assert_eq!((pool.counts().connecting, pool.counts().closing), (0, 1));
    assert_eq!(pool.counts().sockets(), 1);
    pool.let_go();
    assert_eq!(pool.counts().sockets(), 0);
}

#[test]
fn a_refused_login_sends_everybody_away() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("a", Lane::Normal);
    pool.ask("b", Lane::Finishing);
    pool.refuse_login(ms(1));
    let refused = |who| (who, Rejection::LoginRefused);
    assert_eq!(pool.rejected, [refused("a"), refused("b")]);
    assert_eq!(pool.counts().queued, 0);
}

/// An operation is refused instead of queued, but it has the login tried again.
#[test]
fn after_a_refused_login_nobody_waits_until_one_succeeds() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("a", Lane::Normal);
    pool.refuse_login(ms(50));
    assert!(matches!(
        pool.ask("early", Lane::Normal),
        CheckOut::LoginRefused
    ));
    assert_eq!((pool.connects.len(), pool.counts().queued), (0, 0));
    pool.pass(ms(50));
    assert!(matches!(
        pool.ask("again", Lane::Normal),
        CheckOut::LoginRefused
    ));
    let (id, _) = pool.connects[0];
    pool.connected(id);
    assert_eq!(pool.machine.state(), PoolState::Paused);
    pool.lease(Lane::Normal);
}
