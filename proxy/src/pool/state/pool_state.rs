//! The states of a pool.
//!
//! ```text
//!            available            login refused
//!  Paused ◀────────────▶ Ready ◀────────────────▶ LoginRefused
//!     ▲      unavailable   ▲       logged in            │
//!     │                    │                            │
//!     │                    │ the node answers again     │
//!     │                    │                            │
//!     └── from any state the node may be declared ──▶ Dead
//!         and from any state the node may leave the deployment ──▶ Retired
//! ```
//!
//! A pool opens connections for waiting operations in every state but `Retired`. The state
//! decides whether the pool also keeps its warm minimum, and what becomes of an operation for
//! which no connection can be made.

/// Whether the node of a pool can be used, and what stands in the way if it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolState {
    /// The node is not known to be usable, or nothing is to be opened before it is needed. The
    /// warm minimum is not kept.
    #[default]
    Paused,
    /// The node can be used. The warm minimum is kept.
    Ready,
    /// The server refused Weir's last login. An operation that finds no connection is refused
    /// instead of queued, because the next login will most likely be refused too.
    LoginRefused {
        /// The node can be used otherwise: the warm minimum is kept, so that the login is tried
        /// again.
        available: bool,
    },
    /// The monitor declared the node dead: it does not answer, and TCP may never notice. The
    /// warm minimum is not kept, and a destroyed connection is not waited for without end. Only
    /// an answer of the node ends this state.
    Dead,
    /// The node has left the deployment. Nothing is opened or checked out any more. No state
    /// follows.
    Retired {
        /// The node was declared dead before or after it left: a destroyed connection is not
        /// waited for without end.
        node_is_dead: bool,
    },
}

impl PoolState {
    /// Whether connections are opened before an operation needs them.
    #[must_use]
    pub const fn keeps_warm(self) -> bool {
        matches!(self, Self::Ready | Self::LoginRefused { available: true })
    }

    /// Whether the server refused Weir's last login.
    #[must_use]
    pub const fn login_refused(self) -> bool {
        matches!(self, Self::LoginRefused { .. })
    }

    /// Whether the node was declared dead and has not answered since.
    #[must_use]
    pub const fn node_is_dead(self) -> bool {
        matches!(self, Self::Dead | Self::Retired { node_is_dead: true })
    }

    /// The node can be used, or cannot. Returns whether it can be used from now on and could not
    /// before.
    pub(super) const fn set_available(&mut self, available: bool) -> bool {
        let kept_warm = self.keeps_warm();
        *self = match (*self, available) {
            (Self::LoginRefused { .. }, available) => Self::LoginRefused { available },
            (Self::Paused | Self::Ready | Self::Dead, true) => Self::Ready,
            (Self::Ready, false) => Self::Paused,
            (same @ (Self::Paused | Self::Dead | Self::Retired { .. }), _) => same,
        };
        self.keeps_warm() && !kept_warm
    }

    /// A connection was made and logged in.
    pub(super) const fn logged_in(&mut self) {
        *self = match *self {
            Self::LoginRefused { available: true } => Self::Ready,
            Self::LoginRefused { available: false } => Self::Paused,
            same => same,
        };
    }

    /// A connection could not be made. Any other failure than a refused login hides whether the
    /// login would be refused still.
    pub(super) const fn connect_failed(&mut self, login_refused: bool) {
        if !login_refused {
            self.logged_in();
            return;
        }
        *self = match *self {
            Self::Ready => Self::LoginRefused { available: true },
            Self::Paused => Self::LoginRefused { available: false },
            same => same,
        };
    }

    /// The monitor declared the node dead.
    pub(super) const fn node_died(&mut self) {
        *self = match *self {
            Self::Retired { .. } => Self::Retired { node_is_dead: true },
            _ => Self::Dead,
        };
    }

    /// The node has left the deployment.
    pub(super) const fn retire(&mut self) {
        *self = Self::Retired {
            node_is_dead: self.node_is_dead(),
        };
    }
}
