//! Plays the part of a driver around the state machine: its threads, its clock, its
//! server, and the events it would publish.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};
use weir::pool::state::{
    CheckOut, CloseReason, ConnId, Effect, FailedConnect, Lanes, Limits, Machine, Rejection, Slot,
    Ticket,
};
use weir::pool::{Lane, Want};

/// The thread of operations that name none.
const MAIN: &str = "main";

/// Between two looks of the pool's upkeep, in time that does not pass.
const UPKEEP: Duration = Duration::from_millis(10);

/// A fixture that waits longer waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

/// An operation in the queue.
struct Waiter {
    thread: String,
    label: Option<String>,
    ticket: Ticket,
    until: Duration,
}

/// How the fixture's fail point treats handshakes.
#[derive(Default)]
struct Handshake {
    takes: Duration,
    fails: bool,
}

pub(super) struct Driver {
    machine: Machine<u64, u64>,
    now: Duration,
    /// Virtual upkeep runs then.
    upkeep_at: Duration,
    handshake: Handshake,
    handshakes: Vec<(Duration, ConnId, u64)>,
    queue_timeout: Duration,
    waiters: BTreeMap<u64, Waiter>,
    last_waiter: u64,
    leased: HashMap<String, Slot<u64>>,
    unlabelled: Vec<Slot<u64>>,
    failed: HashMap<String, String>,
    ready: bool,
    closed: bool,
    events: Vec<Value>,
}

impl Driver {
    pub(super) fn new(fixture: &Value) -> Self {
        let options = &fixture["poolOptions"];
        let number = |name: &str| options[name].as_u64();
        let size = |name: &str| number(name).map(|n| usize::try_from(n).unwrap());
        let limits = Limits {
            slots: slots_for(size("maxPoolSize").unwrap_or(100)),
            depth: usize::MAX,
            min: size("minPoolSize").unwrap_or(0),
            max_connecting: size("maxConnecting").unwrap_or(2),
            idle_time: number("maxIdleTimeMS").map(Duration::from_millis),
            connect_spacing: Duration::ZERO,
            affinity: false,
        };
        let queue_timeout = number("waitQueueTimeoutMS").map_or(HOUR, Duration::from_millis);
        let data = &fixture["failPoint"]["data"];
        let blocks = data["blockTimeMS"].as_u64().unwrap_or(0);
        Self {
            machine: Machine::new(limits, 1),
            now: Duration::ZERO,
            upkeep_at: UPKEEP,
            handshake: Handshake {
                takes: Duration::from_millis(blocks),
                fails: data["closeConnection"] == true,
            },
            handshakes: Vec::new(),
            queue_timeout,
            waiters: BTreeMap::new(),
            last_waiter: 0,
            leased: HashMap::new(),
            unlabelled: Vec::new(),
            failed: HashMap::new(),
            ready: false,
            closed: false,
            events: vec![json!({ "type": "ConnectionPoolCreated", "options": {} })],
        }
    }

    pub(super) fn events(&self) -> &[Value] {
        &self.events
    }

    /// Carries one operation out. The error is the name of what a driver would raise.
    pub(super) fn run(&mut self, operation: &Value) -> Result<(), String> {
        let thread = operation["thread"].as_str().unwrap_or(MAIN);
        match operation["name"].as_str().unwrap() {
            "start" => Ok(()),
            "wait" => {
                let time = Duration::from_millis(operation["ms"].as_u64().unwrap());
                self.pass_until(self.now + time);
                Ok(())
            }
            "waitForEvent" => self.wait_for_event(operation),
            "waitForThread" => self.wait_for_thread(operation["target"].as_str().unwrap()),
            "ready" => {
                self.set_ready(true);
                Ok(())
            }
            "clear" => {
                let interrupts = operation["interruptInUseConnections"] == true;
                self.clear(interrupts);
                Ok(())
            }
            "close" => {
                self.close();
                Ok(())
            }
            "checkIn" => {
                self.check_in(operation["connection"].as_str().unwrap());
                Ok(())
            }
            "checkOut" => {
                self.check_out(thread, operation["label"].as_str());
                if thread == MAIN {
                    self.wait_for_thread(MAIN)
                } else {
                    Ok(())
                }
            }
            other => Err(format!("no such operation: {other}")),
        }
    }

    fn event(&mut self, kind: &str, mut fields: Value) {
        fields["type"] = kind.into();
        self.events.push(fields);
    }

    fn set_ready(&mut self, ready: bool) {
        let mut effects = Vec::new();
        // Events precede what follows from them.
        if ready && !self.ready {
            self.event("ConnectionPoolReady", json!({}));
        }
        let news = self.machine.set_available(ready, self.now, &mut effects);
        assert_eq!(news, ready && !self.ready);
        self.ready = ready;
        self.heed(effects);
    }

    /// As Weir's cluster does on an error: the generation rises, the node is unknown.
    fn clear(&mut self, interrupts: bool) {
        let mut effects = Vec::new();
        let to = self.machine.generation() + 1;
        if self.machine.clear(to, &mut effects) {
            let fields = json!({ "interruptInUseConnections": interrupts });
            self.event("ConnectionPoolCleared", fields);
        }
        // No connection is closed so soon that this would come later.
        self.set_ready(false);
        self.heed(effects);
    }

    /// As Weir's cluster does with a node that has left the deployment.
    fn close(&mut self) {
        self.closed = true;
        self.set_ready(false);
        let mut effects = Vec::new();
        self.machine.retire(&mut effects);
        self.heed(effects);
        self.event("ConnectionPoolClosed", json!({}));
    }

    fn check_out(&mut self, thread: &str, label: Option<&str>) {
        assert!(self.waiters.values().all(|w| w.thread != thread));
        self.event("ConnectionCheckOutStarted", json!({}));
        self.last_waiter += 1;
        let (id, want) = (self.last_waiter, Want::default());
        let label = label.map(str::to_owned);
        let mut effects = Vec::new();
        match self.machine.check_out(want, self.now, || id, &mut effects) {
            CheckOut::Leased(slot) => self.checked_out(label, slot),
            CheckOut::Queued(ticket) => {
                let until = self.now + self.queue_timeout;
                let thread = thread.to_owned();
                let waiter = Waiter {
                    thread,
                    label,
                    ticket,
                    until,
                };
                self.waiters.insert(id, waiter);
            }
            other => panic!("{other:?}"),
        }
        self.heed(effects);
    }

    fn checked_out(&mut self, label: Option<String>, slot: Slot<u64>) {
        self.event("ConnectionCheckedOut", json!({ "connectionId": slot.id.0 }));
        match label {
            Some(label) => drop(self.leased.insert(label, slot)),
            None => self.unlabelled.push(slot),
        }
    }

    fn check_in(&mut self, label: &str) {
        let slot = self.leased.remove(label).unwrap();
        self.event("ConnectionCheckedIn", json!({ "connectionId": slot.id.0 }));
        let mut effects = Vec::new();
        self.machine.check_in(slot, self.now, &mut effects);
        self.heed(effects);
    }

    fn check_out_failed(&mut self, id: u64, reason: &str, error: &str) {
        let waiter = self.waiters.remove(&id).unwrap();
        self.event("ConnectionCheckOutFailed", json!({ "reason": reason }));
        self.failed.insert(waiter.thread, error.to_owned());
    }

    fn heed(&mut self, effects: Vec<Effect<u64, u64>>) {
        for effect in effects {
            match effect {
                Effect::Connect(id, generation) => {
                    self.event("ConnectionCreated", json!({ "connectionId": id.0 }));
                    let done = self.now + self.handshake.takes;
                    self.handshakes.push((done, id, generation));
                }
                Effect::HandOver(id, slot) => {
                    let waiter = self.waiters.remove(&id).unwrap();
                    self.checked_out(waiter.label, slot);
                }
                Effect::Reject(id, why) => {
                    assert_eq!(why, Rejection::Cleared);
                    self.check_out_failed(id, "connectionError", "PoolClearedError");
                }
                Effect::Close(slot, why) => {
                    self.connection_closed(slot.id, why);
                    let mut effects = Vec::new();
                    self.machine.closed(self.now, &mut effects);
                    self.heed(effects);
                }
                // Virtual upkeep looks often enough.
                Effect::TickAt(_) => {}
            }
        }
        self.end_handshakes();
    }

    fn connection_closed(&mut self, id: ConnId, why: CloseReason) {
        let reason = match why {
            CloseReason::Stale if self.closed => "poolClosed",
            CloseReason::Stale => "stale",
            CloseReason::Idle => "idle",
            other => panic!("no fixture knows of {other:?}"),
        };
        let fields = json!({ "connectionId": id.0, "reason": reason });
        self.event("ConnectionClosed", fields);
    }

    /// Those whose time has come.
    fn end_handshakes(&mut self) {
        while let Some(at) = self
            .handshakes
            .iter()
            .position(|(done, ..)| *done <= self.now)
        {
            let (_, id, generation) = self.handshakes.remove(at);
            let mut effects = Vec::new();
            if self.handshake.fails {
                let fields = json!({ "connectionId": id.0, "reason": "error" });
                self.event("ConnectionClosed", fields);
                self.clear(false);
                let failed = FailedConnect {
                    retry_after: Duration::ZERO,
                    login_refused: false,
                    lingers: false,
                };
                self.machine
                    .connect_failed(generation, failed, self.now, &mut effects);
            } else {
                if generation == self.machine.generation() {
                    self.event("ConnectionReady", json!({ "connectionId": id.0 }));
                }
                self.machine
                    .connected(id, generation, id.0, HOUR, self.now, &mut effects);
            }
            self.heed(effects);
        }
    }

    /// Lets the clock go on to the next thing that happens, but not beyond `until`.
    fn pass(&mut self, until: Duration) {
        let handshakes = self.handshakes.iter().map(|(done, ..)| *done);
        let timeouts = self.waiters.values().map(|waiter| waiter.until);
        let next = handshakes.chain(timeouts).chain([self.upkeep_at]).min();
        self.now = next.unwrap_or(until).clamp(self.now, until);
        self.end_handshakes();
        while let Some((id, ticket)) = self
            .waiters
            .iter()
            .find(|(_, waiter)| waiter.until <= self.now)
            .map(|(id, waiter)| (*id, waiter.ticket))
        {
            assert_eq!(self.machine.cancel(ticket), Some(id));
            self.check_out_failed(id, "timeout", "WaitQueueTimeoutError");
        }
        if self.now >= self.upkeep_at {
            self.upkeep_at = self.now + UPKEEP;
            let mut effects = Vec::new();
            self.machine.tick(self.now, |_| false, &mut effects);
            self.heed(effects);
        }
    }

    fn pass_until(&mut self, until: Duration) {
        while self.now < until {
            self.pass(until);
        }
    }

    fn wait_for_event(&mut self, operation: &Value) -> Result<(), String> {
        let count = usize::try_from(operation["count"].as_u64().unwrap()).unwrap();
        let limit = operation["timeout"].as_u64();
        let until = self.now + limit.map_or(PATIENCE, Duration::from_millis);
        let seen = |driver: &Self| {
            let of_kind = |event: &&Value| event["type"] == operation["event"];
            driver.events.iter().filter(of_kind).count() >= count
        };
        while !seen(self) {
            if self.now >= until {
                return Err(format!("{count} × {} never came", operation["event"]));
            }
            self.pass(until);
        }
        Ok(())
    }

    fn wait_for_thread(&mut self, thread: &str) -> Result<(), String> {
        let until = self.now + PATIENCE;
        while self.waiters.values().any(|waiter| waiter.thread == thread) {
            if self.now >= until {
                return Err(format!("{thread} waits for ever"));
            }
            self.pass(until);
        }
        self.failed.remove(thread).map_or(Ok(()), Err)
    }
}

/// The smallest pool whose normal lane, which is all these fixtures use, has `size` slots.
fn slots_for(size: usize) -> usize {
    let normal = |slots: &usize| Lanes::new(*slots).room(Lane::Normal) == size;
    (2..).find(normal).unwrap()
}
