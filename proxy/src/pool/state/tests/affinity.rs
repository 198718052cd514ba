//! Load-balanced upstreams: what belongs to one connection.

use super::*;

fn with_affinity(slots: usize) -> Pool {
    Pool::new(Limits {
        affinity: true,
        ..limits(slots)
    })
}

fn only(id: ConnId, lane: Lane) -> Want {
    Want {
        lane,
        only: Some(id),
        opens_transaction: false,
        place: None,
    }
}

const OPENS: Want = Want {
    lane: Lane::Normal,
    only: None,
    opens_transaction: true,
    place: None,
};

#[test]
fn who_needs_one_connection_waits_for_it() {
    let mut pool = with_affinity(6);
    let mine = pool.lease(Lane::Normal);
    let id = mine.id;
    assert!(matches!(
        pool.ask_for("again", only(id, Lane::Finishing)),
        CheckOut::Queued(_)
    ));
    let other = pool.lease(Lane::Normal);
    pool.give_back(other);
    assert!(pool.handed.is_empty(), "no other will do");
    pool.give_back(mine);
    assert_eq!(pool.got("again").id, id);
}

#[test]
fn who_waits_for_a_connection_that_is_closed_is_told() {
    let mut pool = with_affinity(6);
    let mine = pool.lease(Lane::Normal);
    let id = mine.id;
    pool.ask_for("again", only(id, Lane::Finishing));
    pool.discard(mine);
    assert_eq!(pool.rejected, [("again", Rejection::Gone)]);
    assert!(matches!(
        pool.ask_for("late", only(id, Lane::Finishing)),
        CheckOut::Gone
    ));
}

#[test]
fn who_waits_for_a_connection_of_a_cleared_pool_is_told_at_once() {
    let mut pool = with_affinity(6);
    let mine = pool.lease(Lane::Normal);
    let id = mine.id;
    pool.ask_for("again", only(id, Lane::Finishing));
    pool.clear(2);
    assert_eq!(pool.rejected, [("again", Rejection::Gone)]);
    assert!(matches!(
        pool.ask_for("late", only(id, Lane::Finishing)),
        CheckOut::Gone
    ));
    pool.give_back(mine);
    assert_eq!(pool.closed, [(id, CloseReason::Stale)]);
}

#[test]
fn one_without_room_does_not_block_the_next_at_the_same_connection() {
    let mut pool = with_affinity(3);
    let (mine, _busy) = (pool.lease(Lane::Finishing), pool.lease(Lane::Normal));
    let id = mine.id;
    let third = pool.lease(Lane::Normal);
    pool.ask_for("write", only(id, Lane::Normal));
    pool.ask_for("commit", only(id, Lane::Finishing));
    // Both normal slots are in use, so the write must wait, but the commit need not.
    pool.give_back(mine);
    let commit = pool.got("commit");
    pool.give_back(commit);
    assert!(pool.handed.is_empty());
    pool.give_back(third);
    assert_eq!(pool.got("write").id, id);
}

#[test]
fn pins_keep_a_connection_from_being_closed_for_idleness_and_age() {
    let idle_time = Some(ms(10));
    let mut pool = Pool::new(Limits {
        affinity: true,
        idle_time,
        ..limits(6)
    });
    pool.lifetime = ms(20);
    let slot = pool.lease(Lane::Normal);
    let id = slot.id;
    pool.set_pinned(id, PinReason::Cursor, true);
    pool.set_pinned(id, PinReason::Cursor, true);
    pool.pass(ms(30));
    pool.give_back(slot);
    pool.pass(ms(30));
    pool.tick();
    pool.set_pinned(id, PinReason::Cursor, false);
    pool.tick();
    assert_eq!(pool.closed, [], "one cursor is still open");
    pool.set_pinned(id, PinReason::Cursor, false);
    pool.tick();
    assert_eq!(pool.closed, [(id, CloseReason::Expired)]);
}

#[test]
fn a_connection_carries_one_transaction_at_a_time() {
    let mut pool = with_affinity(2);
    let first = pool.lease(Lane::Normal);
    let id = first.id;
    pool.set_pinned(id, PinReason::Transaction, true);
    pool.give_back(first);
    let CheckOut::Queued(_) = pool.ask_for("second", OPENS) else {
        panic!()
    };
    let second = pool.got("second");
    assert_ne!(second.id, id);
    pool.set_pinned(second.id, PinReason::Transaction, true);
    pool.give_back(second);
    // Both connections have one; a third transaction waits for the end of either.
    assert!(matches!(pool.ask_for("third", OPENS), CheckOut::Queued(_)));
    assert!(pool.handed.is_empty());
    pool.set_pinned(id, PinReason::Transaction, false);
    assert_eq!(pool.got("third").id, id, "at once");
}

#[test]
fn who_opens_a_transaction_holds_nobody_up() {
    let mut pool = with_affinity(2);
    let (a, b) = (pool.lease(Lane::Normal), pool.lease(Lane::Finishing));
    pool.set_pinned(a.id, PinReason::Transaction, true);
    pool.set_pinned(b.id, PinReason::Transaction, true);
    pool.ask_for("opens", OPENS);
    pool.ask("plain", Lane::Normal);
    pool.give_back(a);
    let plain = pool.got("plain");
    pool.give_back(plain);
    assert!(matches!(
        pool.ask("late", Lane::Normal),
        CheckOut::Leased(_)
    ));
}

#[test]
fn an_unbound_waiter_spares_the_connection_that_others_wait_for() {
    let mut pool = with_affinity(4);
    let (a, b, c) = (
        pool.lease(Lane::Normal),
        pool.lease(Lane::Normal),
        pool.lease(Lane::Normal),
    );
    let (a_id, b_id) = (a.id, b.id);
    pool.give_back(a);
    // Without room for normal work b stays idle although it is waited for.
    let d = pool.lease(Lane::Awaiting);
    assert_eq!(d.id, a_id);
    pool.ask_for("bound", only(b_id, Lane::Normal));
    pool.give_back(c);
    pool.give_back(b);
    assert_eq!(pool.got("bound").id, b_id);
}

#[test]
fn without_affinity_nothing_is_pinned() {
    let mut pool = Pool::new(limits(4));
    pool.lifetime = ms(10);
    let slot = pool.lease(Lane::Normal);
    let id = slot.id;
    pool.set_pinned(id, PinReason::Cursor, true);
    pool.pass(ms(10));
    pool.give_back(slot);
    assert_eq!(pool.closed, [(id, CloseReason::Expired)]);
}

/// Found under the Lambda extension: a plain write took the one trunk between two statements of
/// a transaction, waited there for the transaction's lock, and the commit waited behind it.
#[test]
fn plain_work_keeps_off_the_connection_of_a_transaction() {
    let mut pool = with_affinity(2);
    let mine = pool.lease(Lane::Normal);
    let id = mine.id;
    pool.set_pinned(id, PinReason::Transaction, true);
    pool.give_back(mine);
    assert!(matches!(
        pool.ask_for("plain", Want::default()),
        CheckOut::Queued(_)
    ));
    let plain = pool.got("plain");
    assert_ne!(plain.id, id, "it got a connection of its own");
    let CheckOut::Leased(commit) = pool.ask_for("commit", only(id, Lane::Finishing)) else {
        panic!("the commit waits");
    };
    pool.give_back(commit);
    pool.set_pinned(id, PinReason::Transaction, false);
    pool.give_back(plain);
}

/// Where every connection has a transaction, work that they may wait for goes on all the same.
#[test]
fn plain_work_goes_on_where_every_connection_has_a_transaction() {
    let mut pool = with_affinity(2);
    let one = pool.lease(Lane::Normal);
    pool.set_pinned(one.id, PinReason::Transaction, true);
    let other = pool.lease(Lane::Finishing);
    pool.give_back(one);
    assert!(matches!(
        pool.ask_for("plain", Want::default()),
        CheckOut::Queued(_)
    ));
    pool.set_pinned(other.id, PinReason::Transaction, true);
    let plain = pool.got("plain");
    pool.give_back(other);
    pool.give_back(plain);
}
