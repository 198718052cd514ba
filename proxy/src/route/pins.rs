//! Open cursors, and transactions behind routers: their later commands must use the same node.
//!
//! Entries are small and do not live forever. A cursor that was unused for the life of a session is
//! forgotten, because its server has forgotten it too.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use crate::topology::{Node, NodeAddress};

/// A server drops a session and its cursors after 30 idle minutes.
const CURSOR_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// A server aborts a transaction after 60 s. The pin lives longer, for retries of the commit.
const TRANSACTION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// An open cursor.
#[derive(Clone, Debug)]
pub struct CursorPin {
    /// The node on which it was opened.
    pub node: NodeAddress,
    /// The server process that opened it; `None`: the server reports no `topologyVersion`.
    pub process: Option<[u8; 12]>,
    /// How often the node had been declared dead when the cursor was opened.
    pub deaths: u32,
    /// The connection that it is pinned to, behind a load balancer.
    pub connection: Option<u64>,
    /// Its getMores wait for data: change streams, tailable cursors.
    pub awaits: bool,
    /// Its namespace and the last resume token, for the reply to a getMore whose wait ended in the
    /// queue.
    pub position: Option<Arc<Position>>,
    /// The turn that its last getMore waited for without getting it.
    pub turn: Option<Turn>,
    /// When it was opened, on the relay's clock.
    pub opened: Duration,
    /// When it was last used.
    pub last_used: Duration,
}

impl CursorPin {
    /// Whether it is a change stream, which its driver resumes after a loss.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let token = self.position.as_ref().map(|at| !at.resume_token.is_empty());
        self.awaits && token.unwrap_or(false)
    }

    /// Whether it may still exist on its node. `false`: the node is another process now.
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
    /// When it began to wait.
    pub since: Duration,
}

/// The position of a cursor that waits for data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// `cursor.ns`.
    pub namespace: Vec<u8>,
    /// The whole `postBatchResumeToken` document; empty: there was none.
    pub resume_token: Vec<u8>,
}

/// An open transaction behind routers.
#[derive(Clone, Debug)]
pub struct TransactionPin {
    /// Its `txnNumber`.
    pub number: i64,
    /// The router that runs it.
    pub node: NodeAddress,
    /// The connection that it is pinned to, behind a load balancer.
    pub connection: Option<u64>,
    /// When it was last used.
    pub last_used: Duration,
}

/// Connections that are no longer pinned by a cursor or a transaction that was forgotten.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The node and connection of each cursor.
    pub cursors: Vec<(NodeAddress, u64)>,
    /// The node and connection of each transaction.
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

    /// Records or updates an open cursor.
    pub fn set_cursor(&self, id: i64, pin: CursorPin) {
        self.cursors.insert(id, pin);
    }

    /// Records that a cursor was used, and its new position.
    pub fn touch_cursor(&self, id: i64, now: Duration, position: Option<Position>) {
        if let Some(mut pin) = self.cursors.get_mut(&id) {
            pin.last_used = now;
            pin.turn = None;
            if let Some(position) = position {
                pin.position = Some(Arc::new(position));
            }
        }
    }

    /// A cursor's turn has not come. Its next getMore keeps the turn.
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

    /// Records an open transaction. Returns the one that it replaces.
    pub fn set_transaction(&self, session: u64, pin: TransactionPin) -> Option<TransactionPin> {
        self.transactions.insert(session, pin)
    }

    /// Forgets a transaction that ended.
    pub fn remove_transaction(&self, session: u64) -> Option<TransactionPin> {
        self.transactions.remove(&session).map(|(_, pin)| pin)
    }

    /// Forgets cursors and transactions that their server has forgotten by now, and those of nodes
    /// that are gone (`is_gone`). Returns the connections that they had pinned.
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

    /// The number of open cursors that Weir knows.
    #[must_use]
    pub fn cursors(&self) -> usize {
        self.cursors.len()
    }

    /// The number of transactions that are pinned to a router.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.transactions.len()
    }
}
