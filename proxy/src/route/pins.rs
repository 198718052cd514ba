//! What ties later commands to a node: open cursors, and transactions behind routers.
//!
//! Entries are small and bounded in life: a cursor unused for as long as a session
//! lives is forgotten, as its server has forgotten it too.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use crate::topology::{Node, NodeAddress};

/// A server drops a session, and its cursors, after 30 idle minutes.
const CURSOR_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// A server aborts a transaction after 60 s; kept a little longer for commit retries.
const TRANSACTION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// An open cursor.
#[derive(Clone, Debug)]
pub struct CursorPin {
    /// Where it was opened.
    pub node: NodeAddress,
    /// The server process that opened it, where servers tell.
    pub process: Option<[u8; 12]>,
    /// How often the node had been given up for dead by then.
    pub deaths: u32,
    /// The connection it belongs to, behind a load balancer.
    pub connection: Option<u64>,
    /// Its getMores wait for data: change streams, tailable cursors.
    pub awaits: bool,
    /// Its namespace and the last resume token seen, to answer a getMore whose wait ended
    /// in the queue.
    pub position: Option<Arc<Position>>,
    /// The turn that its last getMore waited for in vain.
    pub turn: Option<Turn>,
    /// When it was opened.
    pub opened: Duration,
    /// When it was last used.
    pub last_used: Duration,
}

impl CursorPin {
    /// Whether it is a change stream: its driver resumes it when it is lost.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let token = self.position.as_ref().map(|at| !at.resume_token.is_empty());
        self.awaits && token.unwrap_or(false)
    }

    /// Whether it may still be on its node: not when that is another process by now.
    #[must_use]
    pub fn may_be_on(&self, node: &Node) -> bool {
        let now = node.topology_version.map(|version| version.process_id);
        match (self.process, now) {
            (Some(then), Some(now)) => then == now,
            _ => true,
        }
    }
}

/// A cursor's turn among those whose getMores wait for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place in the queue of its node.
    pub place: u64,
    /// Since when it has been waiting.
    pub since: Duration,
}

/// Where an awaiting cursor stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// `cursor.ns`.
    pub namespace: Vec<u8>,
    /// The whole `postBatchResumeToken` document, empty when there was none.
    pub resume_token: Vec<u8>,
}

/// An open transaction behind routers.
#[derive(Clone, Debug)]
pub struct TransactionPin {
    /// Its `txnNumber`.
    pub number: i64,
    /// The router that runs it.
    pub node: NodeAddress,
    /// The connection it belongs to, behind a load balancer.
    pub connection: Option<u64>,
    /// When it was last used.
    pub last_used: Duration,
}

/// Connections that are no longer tied to a cursor or a transaction.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// Once for each cursor.
    pub cursors: Vec<(NodeAddress, u64)>,
    /// Once for each transaction.
    pub transactions: Vec<(NodeAddress, u64)>,
}

/// All pins of one upstream.
#[derive(Debug, Default)]
pub struct Pins {
    cursors: DashMap<i64, CursorPin>,
    transactions: DashMap<u64, TransactionPin>,
}

impl Pins {
    /// The pin of a cursor.
    #[must_use]
    pub fn cursor(&self, id: i64) -> Option<CursorPin> {
        self.cursors.get(&id).map(|pin| pin.clone())
    }

    /// Remembers an open cursor, or what has become of it.
    pub fn set_cursor(&self, id: i64, pin: CursorPin) {
        self.cursors.insert(id, pin);
    }

    /// Notes that a cursor was used, and where it stands.
    pub fn touch_cursor(&self, id: i64, now: Duration, position: Option<Position>) {
        if let Some(mut pin) = self.cursors.get_mut(&id) {
            pin.last_used = now;
            pin.turn = None;
            if let Some(position) = position {
                pin.position = Some(Arc::new(position));
            }
        }
    }

    /// A cursor's turn has not come: its next getMore goes on waiting for the same one.
    pub fn keep_turn(&self, id: i64, turn: Turn) {
        if let Some(mut pin) = self.cursors.get_mut(&id) {
            pin.turn = Some(turn);
        }
    }

    /// Forgets a closed cursor.
    pub fn remove_cursor(&self, id: i64) -> Option<CursorPin> {
        self.cursors.remove(&id).map(|(_, pin)| pin)
    }

    /// The pin of a session's transaction.
    #[must_use]
    pub fn transaction(&self, session: u64) -> Option<TransactionPin> {
        self.transactions.get(&session).map(|pin| pin.clone())
    }

    /// Remembers an open transaction; returns the one it replaces.
    pub fn set_transaction(&self, session: u64, pin: TransactionPin) -> Option<TransactionPin> {
        self.transactions.insert(session, pin)
    }

    /// Forgets a transaction that ended.
    pub fn remove_transaction(&self, session: u64) -> Option<TransactionPin> {
        self.transactions.remove(&session).map(|(_, pin)| pin)
    }

    /// Forgets what has outlived its server's memory of it, and what `is_gone`. Returns the
    /// nodes and connections that what was forgotten was tied to.
    pub fn expire(&self, now: Duration, is_gone: impl Fn(&NodeAddress) -> bool) -> Forgotten {
        let young = |used: Duration, life| now.saturating_sub(used) < life;
        let mut forgotten = Forgotten::default();
        self.cursors.retain(|_, pin| {
            let keep = young(pin.last_used, CURSOR_LIFETIME) && !is_gone(&pin.node);
            if !keep && let Some(connection) = pin.connection {
                forgotten.cursors.push((pin.node.clone(), connection));
            }
            keep
        });
        self.transactions.retain(|_, pin| {
            let keep = young(pin.last_used, TRANSACTION_LIFETIME) && !is_gone(&pin.node);
            if !keep && let Some(connection) = pin.connection {
                forgotten.transactions.push((pin.node.clone(), connection));
            }
            keep
        });
        forgotten
    }

    /// Open cursors that Weir knows of.
    #[must_use]
    pub fn cursors(&self) -> usize {
        self.cursors.len()
    }

    /// Transactions that are tied to a router.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.transactions.len()
    }
}
