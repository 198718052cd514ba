//! The pause that is suggested to clients that are turned away.

use super::*;

/// Serves one waiter each `each`, with `waiting` in the queue all the time.
fn busy(pool: &mut Pool, each: Duration, times: u32, waiting: usize) -> Slot<u64> {
    let mut slot = pool.lease(Lane::Normal);
    for _ in 0..waiting {
        pool.ask("queued", Lane::Normal);
    }
    for _ in 0..times {
        pool.pass(each);
        pool.give_back(slot);
        slot = pool.got("queued");
        pool.ask("queued", Lane::Normal);
    }
    slot
}

fn suggested(pool: &Pool) -> Option<Duration> {
    pool.machine.drain_time(pool.now)
}

#[test]
fn the_time_that_the_queue_takes_at_its_rate() {
    let mut pool = Pool::new(limits(2));
    assert_eq!(suggested(&pool), None, "nobody waits");
    let _slot = busy(&mut pool, ms(2), 1_000, 49);
    assert_eq!(suggested(&pool), Some(ms(100)));
}

#[test]
fn a_slow_rate_and_a_standstill_ask_for_longer() {
    let mut pool = Pool::new(limits(2));
    let _slot = busy(&mut pool, ms(20), 100, 49);
    assert_eq!(suggested(&pool), Some(ms(1_000)));
    pool.pass(ms(3_000));
    assert_eq!(suggested(&pool), Some(ms(5_000)), "nobody was served since");
}

#[test]
fn a_free_connection_asks_for_nothing() {
    let mut pool = Pool::new(limits(2));
    let slot = pool.lease(Lane::Normal);
    pool.give_back(slot);
    assert_eq!(suggested(&pool), None);
}

#[test]
fn time_without_a_queue_is_not_counted() {
    let mut pool = Pool::new(limits(2));
    let mut slot = busy(&mut pool, ms(2), 1_000, 4);
    for _ in 0..4 {
        pool.give_back(slot);
        slot = pool.got("queued");
    }
    pool.pass(ms(60_000));
    pool.pass(ms(60_000));
    pool.ask("late", Lane::Normal);
    assert_eq!(suggested(&pool), Some(ms(10)), "as it last was");
}
