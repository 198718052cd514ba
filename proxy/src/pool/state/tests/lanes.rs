//! How the slots are shared.

use super::*;

#[test]
fn shares_follow_the_sizes() {
    let shares = |slots| {
        let lanes = Lanes::new(slots);
        (lanes.reserve(), lanes.awaiting_share())
    };
    assert_eq!(shares(2), (1, 1));
    assert_eq!(shares(7), (1, 1));
    assert_eq!(shares(8), (2, 1));
    assert_eq!(shares(14), (2, 2));
    assert_eq!(shares(20), (4, 4));
    assert_eq!(shares(100), (20, 20));
}

#[test]
fn plain_writes_cannot_starve_a_commit_in_the_smallest_pool() {
    let mut pool = Pool::new(limits(2));
    let write = pool.lease(Lane::Normal);
    for who in ["w1", "w2", "w3"] {
        pool.ask(who, Lane::Normal);
    }
    // The writes wait for the transaction's locks; its commit gets through.
    let commit = pool.lease(Lane::Finishing);
    assert_eq!(pool.counts().leased, [1, 1, 0]);
    pool.give_back(commit);
    assert!(pool.handed.is_empty(), "the reserve is not for writes");
    pool.give_back(write);
    pool.got("w1");
}

#[test]
fn finishing_work_goes_first_while_its_reserve_is_unused() {
    let mut pool = Pool::by_hand(limits(3));
    let [a, b] = [1, 2].map(|id| {
        pool.ask("me", Lane::Normal);
        pool.connected(ConnId(id));
        pool.got("me")
    });
    pool.ask("write", Lane::Normal);
    pool.ask("commit", Lane::Finishing);
    pool.ask("second commit", Lane::Finishing);
    // The third connection is on its way; two come back before it is there.
    pool.give_back(a);
    pool.got("commit");
    pool.give_back(b);
    pool.got("write");
    pool.connected(ConnId(3));
    pool.got("second commit");
}

#[test]
fn finishing_work_may_use_every_slot() {
    let mut pool = Pool::new(limits(5));
    let all = [(); 5].map(|()| pool.lease(Lane::Finishing));
    assert_eq!(pool.counts().leased, [0, 5, 0]);
    assert!(matches!(
        pool.ask("sixth", Lane::Finishing),
        CheckOut::Queued(_)
    ));
    all.into_iter().for_each(|slot| pool.give_back(slot));
    pool.got("sixth");
}

#[test]
fn waiting_get_mores_share_their_slots() {
    let mut pool = Pool::new(limits(10));
    assert_eq!(pool.machine.lanes().awaiting_share(), 2);
    let first = pool.lease(Lane::Awaiting);
    let _second = pool.lease(Lane::Awaiting);
    pool.ask("third", Lane::Awaiting);
    assert!(pool.handed.is_empty());
    // Normal work passes them: its lane has room.
    let _normal = pool.lease(Lane::Normal);
    pool.give_back(first);
    pool.got("third");
}

/// Three streams and time for one of them in each of their clients' waits.
#[test]
fn who_asks_again_keeps_its_place() {
    let mut pool = Pool::new(limits(5));
    let wait_at = |place| Want {
        lane: Lane::Awaiting,
        place: Some(place),
        ..Want::default()
    };
    let slot = pool.lease(Lane::Awaiting);
    let [second, third] = ["second", "third"].map(|who| {
        let place = pool.machine.next_place();
        let CheckOut::Queued(ticket) = pool.ask_for(who, wait_at(place)) else {
            panic!("there is one slot for them")
        };
        (place, ticket)
    });
    // Their clients' waits end, and they are asked about again after the first one.
    for (_, ticket) in [third, second] {
        assert!(pool.machine.cancel(ticket).is_some());
    }
    let newest = pool.machine.next_place();
    pool.ask_for("first", wait_at(newest));
    pool.ask_for("third", wait_at(third.0));
    pool.ask_for("second", wait_at(second.0));
    pool.give_back(slot);
    let slot = pool.got("second");
    pool.give_back(slot);
    let slot = pool.got("third");
    pool.give_back(slot);
    pool.got("first");
}

#[test]
fn a_place_from_elsewhere_is_not_beyond_the_end() {
    let mut pool = Pool::new(limits(5));
    let slot = pool.lease(Lane::Awaiting);
    let beyond = Want {
        lane: Lane::Awaiting,
        place: Some(Place(u64::MAX)),
        ..Want::default()
    };
    pool.ask_for("of a pool that is gone", beyond);
    pool.ask("newer", Lane::Awaiting);
    pool.give_back(slot);
    pool.got("of a pool that is gone");
}

#[test]
fn awaiting_and_normal_work_leave_the_reserve_alone() {
    let mut pool = Pool::new(limits(10));
    let _awaiting = [(); 2].map(|()| pool.lease(Lane::Awaiting));
    let _normal = [(); 6].map(|()| pool.lease(Lane::Normal));
    assert!(matches!(
        pool.ask("ninth", Lane::Normal),
        CheckOut::Queued(_)
    ));
    assert_eq!(
        pool.counts().sockets(),
        8,
        "nor is a connection opened for it"
    );
    let _finishing = [(); 2].map(|()| pool.lease(Lane::Finishing));
    assert_eq!(pool.counts().sockets(), 10);
}
