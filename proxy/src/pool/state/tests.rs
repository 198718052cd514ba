//! Each rule on a small example. `model` checks all of them on random sequences.

use std::time::Duration;

use super::*;

mod affinity;
mod handshakes;
mod harness;
mod lanes;
mod model;
mod queue_rate;

use harness::{HOUR, Pool, limits, ms};

#[test]
fn the_oldest_waiter_is_served_first() {
    let mut pool = Pool::new(limits(2));
    let slot = pool.lease(Lane::Normal);
    for who in ["first", "second", "third"] {
        assert!(matches!(pool.ask(who, Lane::Normal), CheckOut::Queued(_)));
    }
    pool.give_back(slot);
    let slot = pool.got("first");
    pool.give_back(slot);
    let slot = pool.got("second");
    pool.give_back(slot);
    pool.got("third");
}

#[test]
fn the_warmest_connection_is_used_first() {
    let mut pool = Pool::new(limits(4));
    let (a, b, c) = (
        pool.lease(Lane::Normal),
        pool.lease(Lane::Normal),
        pool.lease(Lane::Normal),
    );
    let warmest = b.id;
    pool.give_back(a);
    pool.give_back(c);
    pool.pass(ms(1));
    pool.give_back(b);
    assert_eq!(pool.lease(Lane::Normal).id, warmest);
}

/// A connection that was checked out and carried nothing does not become more recently used: its
/// flow is as old as before.
#[test]
fn what_carried_nothing_is_as_cold_as_before() {
    let mut pool = Pool::new(limits(4));
    let (cold, warm) = (pool.lease(Lane::Normal), pool.lease(Lane::Normal));
    let (cold_id, warm_id) = (cold.id, warm.id);
    pool.give_back(cold);
    pool.pass(ms(50));
    pool.give_back(warm);
    pool.pass(ms(50));
    let taken = pool.machine.take_idle(pool.now, ms(60));
    assert_eq!(taken.len(), 1, "only what is cold");
    for slot in taken {
        assert_eq!(slot.id, cold_id);
        pool.put_back(slot);
    }
    assert_eq!(pool.machine.take_idle(pool.now, ms(101)).len(), 0);
    let again = pool.machine.take_idle(pool.now, ms(100));
    assert_eq!(
        again.iter().map(|slot| slot.id).collect::<Vec<_>>(),
        [cold_id]
    );
    again.into_iter().for_each(|slot| pool.put_back(slot));
    assert_eq!(
        pool.lease(Lane::Normal).id,
        warm_id,
        "the warmest is the other one"
    );
}

#[test]
fn who_gives_up_leaves_the_queue() {
    let mut pool = Pool::new(limits(2));
    let slot = pool.lease(Lane::Normal);
    let CheckOut::Queued(ticket) = pool.ask("gone", Lane::Normal) else {
        panic!()
    };
    pool.ask("stays", Lane::Normal);
    assert_eq!(pool.machine.cancel(ticket), Some("gone"));
    assert_eq!(pool.machine.cancel(ticket), None, "only once");
    pool.give_back(slot);
    pool.got("stays");
    assert_eq!(pool.counts().queued, 0);
}

#[test]
fn a_full_queue_sheds_all_but_finishing_work() {
    let mut pool = Pool::by_hand(Limits {
        depth: 2,
        ..limits(2)
    });
    pool.ask("a", Lane::Normal);
    pool.ask("b", Lane::Normal);
    assert!(matches!(pool.ask("c", Lane::Normal), CheckOut::Shed));
    assert!(matches!(pool.ask("d", Lane::Awaiting), CheckOut::Shed));
    assert!(matches!(
        pool.ask("commit", Lane::Finishing),
        CheckOut::Queued(_)
    ));
    assert_eq!(pool.counts().queued, 3);
}

#[test]
fn a_slot_is_free_only_when_the_server_has_let_go() {
    let mut pool = Pool::by_hand(limits(2));
    let both = [Lane::Normal, Lane::Finishing].map(|lane| {
        pool.ask("first", lane);
        pool.connected(ConnId(pool.machine.last_id));
        pool.got("first")
    });
    both.into_iter().for_each(|slot| pool.discard(slot));
    pool.ask("next", Lane::Normal);
    assert_eq!((pool.counts().closing, pool.connects.len()), (2, 0));
    pool.let_go();
    assert_eq!((pool.counts().closing, pool.connects.len()), (1, 1));
}

#[test]
fn the_minimum_is_kept_warm_while_the_node_is_available() {
    let mut pool = Pool::new(Limits {
        min: 3,
        ..limits(6)
    });
    pool.tick();
    assert_eq!(pool.counts().idle, 0, "not before the node can be used");
    pool.available(true);
    assert_eq!(pool.counts().idle, 3);
    let slot = pool.lease(Lane::Normal);
    pool.discard(slot);
    assert_eq!(pool.counts().idle, 3, "refilled");
    pool.available(false);
    pool.clear(2);
    pool.tick();
    assert_eq!(pool.counts().sockets(), 0);
}

#[test]
fn idle_time_closes_the_coldest_but_never_below_the_minimum() {
    let idle_time = Some(ms(1000));
    let mut pool = Pool::new(Limits {
        min: 2,
        idle_time,
        ..limits(8)
    });
    pool.available(true);
    let slots = [(); 4].map(|()| pool.lease(Lane::Normal));
    let coldest = [slots[0].id, slots[1].id];
    slots.into_iter().for_each(|slot| pool.give_back(slot));
    pool.pass(ms(1000));
    pool.tick();
    assert_eq!(pool.closed, [], "not yet");
    pool.pass(ms(1));
    pool.tick();
    assert_eq!(pool.closed, coldest.map(|id| (id, CloseReason::Idle)));
    assert_eq!(pool.counts().idle, 2);
}

#[test]
fn idle_time_counts_what_dies_at_the_same_moment() {
    let idle_time = Some(ms(1000));
    let mut pool = Pool::new(Limits {
        min: 2,
        idle_time,
        ..limits(8)
    });
    let slots = [(); 3].map(|()| pool.lease(Lane::Normal));
    let broken = slots[2].id.0;
    slots.into_iter().for_each(|slot| pool.give_back(slot));
    pool.pass(ms(1001));
    pool.machine
        .tick(pool.now, |conn| *conn == broken, &mut pool.effects);
    pool.settle();
    assert_eq!(pool.closed, [(ConnId(broken), CloseReason::Broken)]);
    assert_eq!(pool.counts().idle, 2);
}

#[test]
fn a_lifetime_ends_at_check_in_or_while_idle() {
    let mut pool = Pool::new(limits(4));
    pool.lifetime = ms(900);
    let busy = pool.lease(Lane::Normal);
    pool.lifetime = ms(1000);
    let idle = pool.lease(Lane::Normal);
    let (busy_id, idle_id) = (busy.id, idle.id);
    pool.give_back(idle);
    pool.pass(ms(950));
    pool.tick();
    pool.give_back(busy);
    assert_eq!(pool.closed, [(busy_id, CloseReason::Expired)]);
    pool.pass(ms(50));
    pool.tick();
    assert_eq!(pool.closed.last(), Some(&(idle_id, CloseReason::Expired)));
}

#[test]
fn clearing_makes_connections_stale_and_sends_waiters_back() {
    let mut pool = Pool::new(limits(3));
    let busy = pool.lease(Lane::Normal);
    let idle = pool.lease(Lane::Normal);
    let (busy_id, idle_id) = (busy.id, idle.id);
    pool.give_back(idle);
    let other = pool.lease(Lane::Normal);
    pool.ask("waits", Lane::Normal);
    pool.give_back(other);
    let other = pool.got("waits");
    pool.ask("waits", Lane::Normal);
    assert!(pool.clear(2));
    assert!(!pool.clear(2), "the same generation");
    assert_eq!(pool.rejected, [("waits", Rejection::Cleared)]);
    pool.give_back(busy);
    pool.give_back(other);
    let stale = |id| (id, CloseReason::Stale);
    assert_eq!(pool.closed, [stale(busy_id), stale(idle_id)]);
    assert_eq!(pool.lease(Lane::Normal).generation, 2);
}

#[test]
fn a_handshake_of_an_older_generation_is_of_no_use() {
    let mut pool = Pool::by_hand(limits(4));
    pool.ask("early", Lane::Normal);
    pool.clear(2);
    pool.ask("late", Lane::Normal);
    assert_eq!(
        pool.connects,
        [(ConnId(1), 1), (ConnId(2), 2)],
        "does not wait for the old one"
    );
    pool.connected(ConnId(1));
    assert_eq!(pool.closed, [(ConnId(1), CloseReason::Stale)]);
    pool.connected(ConnId(2));
    assert_eq!(pool.got("late").generation, 2);
}
