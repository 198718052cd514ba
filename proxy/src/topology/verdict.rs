//! What an operation's error says about a node; pure. The rules that use it are in
//! [`sdam`](super::sdam).

/// How far a connection had come when the error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the server's first hello reply: TCP, TLS, hello.
    Connecting,
    /// After hello, until logged in.
    LoggingIn,
    /// Ready for operations.
    Ready,
}

/// What a state-change error says about its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChangeKind {
    /// The node is not the primary, or not any more.
    NotPrimary,
    /// The node cannot serve operations at the moment.
    Recovering,
    /// The node is shutting down.
    ShuttingDown,
}

impl StateChangeKind {
    /// Classifies an error document; `None`: it is no state-change error. The message counts only
    /// if there is no code.
    #[must_use]
    pub fn of(code: Option<i32>, message: &str) -> Option<Self> {
        match code.filter(|code| *code != 0) {
            Some(11600 | 91) => Some(Self::ShuttingDown),
            Some(11602 | 13436 | 189) => Some(Self::Recovering),
            Some(10107 | 13435 | 10058) => Some(Self::NotPrimary),
            Some(_) => None,
            None if message.contains("node is recovering") => Some(Self::Recovering),
            None if message.contains("not master or secondary") => Some(Self::Recovering),
            None if message.contains("not master") => Some(Self::NotPrimary),
            None => None,
        }
    }
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateChange {
    /// The node is `Unknown` because of this error.
    pub mark_unknown: bool,
    /// Connections older than `generation` are stale. Behind a load balancer only those of the
    /// error's own service are, and the pool counts its own generations.
    pub clear_pool: bool,
    /// The node's generation after this error.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_texts() {
        use StateChangeKind::{NotPrimary, Recovering, ShuttingDown};
        for (codes, kind) in [
            (&[10107, 13435, 10058][..], Some(NotPrimary)),
            (&[11602, 13436, 189], Some(Recovering)),
            (&[11600, 91], Some(ShuttingDown)),
            (&[1, 6, 89, 11000], None),
        ] {
            for code in codes {
                assert_eq!(
                    StateChangeKind::of(Some(*code), "not master"),
                    kind,
                    "{code}"
                );
            }
        }
        assert_eq!(StateChangeKind::of(None, "not master"), Some(NotPrimary));
        assert_eq!(StateChangeKind::of(Some(0), "not master"), Some(NotPrimary));
        assert_eq!(
            StateChangeKind::of(None, "not master or secondary"),
            Some(Recovering)
        );
        assert_eq!(
            StateChangeKind::of(None, "node is recovering"),
            Some(Recovering)
        );
        assert_eq!(StateChangeKind::of(None, "out of memory"), None);
    }
}
