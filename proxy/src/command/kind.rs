//! One table from a command's name to how Weir treats it.
//!
//! Names are case-sensitive, as on a server. A command that is not in the table is forwarded
//! unchanged to the primary, so new server features work.

/// What Weir does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// `hello` and its two older names: answered from memory.
    Hello,
    /// `saslStart`, `saslContinue`, `authenticate`, `logout`: Weir logs the client in itself.
    Login,
    /// Questions about the client that only Weir can answer: `connectionStatus`, `whatsmyuri`,
    /// `getnonce`.
    Identity,
    /// `buildInfo`: cached from the upstream and allowed before login.
    BuildInfo,
    /// Refused with code 59, as a server refuses an unknown command.
    NotFound,
    /// Refused with code 13: it targets one node, or would disturb all other clients.
    Denied,
    /// Refused unless test commands are enabled.
    TestOnly,
    /// Sent to a node that matches the read preference.
    Read,
    /// Sent to the primary.
    Write,
    /// A read, or a write if its pipeline has `$out` or `$merge`.
    Aggregate,
    /// Sent where its inner command would be sent.
    Explain,
    /// Sent to the node that holds the cursor.
    GetMore,
    /// Split by node, and the replies are merged.
    KillCursors,
    /// `commitTransaction`.
    Commit,
    /// `abortTransaction`.
    Abort,
    /// Answered by Weir first and forwarded after that.
    EndSessions,
    /// Forwarded unless its list is empty, which would mean the sessions of all clients.
    KillSessions,
}

impl Treatment {
    /// Whether Weir gives the whole reply itself.
    #[must_use]
    pub const fn is_answered_here(self) -> bool {
        matches!(
            self,
            Self::Hello | Self::Login | Self::Identity | Self::BuildInfo | Self::EndSessions
        )
    }

    /// Whether it is sent to the upstream without further checks.
    #[must_use]
    pub const fn is_relayed(self) -> bool {
        !self.is_answered_here()
            && !matches!(
                self,
                Self::NotFound | Self::KillSessions | Self::Denied | Self::TestOnly
            )
    }
}

/// The treatment of the command `name`.
#[must_use]
pub fn treatment(name: &[u8]) -> Treatment {
    use Treatment as T;
    match name {
        b"find" | b"count" | b"distinct" | b"listCollections" | b"listIndexes"
        | b"listDatabases" => T::Read,
        b"insert" | b"update" | b"delete" | b"findAndModify" | b"findandmodify" | b"bulkWrite"
        | b"mapReduce" | b"mapreduce" | b"startSession" | b"refreshSessions" => T::Write,
        b"aggregate" => T::Aggregate,
        b"getMore" => T::GetMore,
        b"killCursors" => T::KillCursors,
        b"commitTransaction" => T::Commit,
        b"abortTransaction" => T::Abort,
        b"explain" => T::Explain,
        b"hello" | b"isMaster" | b"ismaster" => T::Hello,
        b"saslStart" | b"saslContinue" | b"authenticate" | b"logout" => T::Login,
        b"connectionStatus" | b"whatsmyuri" | b"getnonce" => T::Identity,
        b"buildInfo" | b"buildinfo" => T::BuildInfo,
        b"endSessions" => T::EndSessions,
        b"killSessions" => T::KillSessions,
        b"configureFailPoint" | b"killAllSessions" | b"killAllSessionsByPattern" => T::TestOnly,
        _ => administrative(name),
    }
}

/// The treatment of a command that ordinary clients seldom send.
fn administrative(name: &[u8]) -> Treatment {
    use Treatment as T;
    match name {
        b"dbStats"
        | b"dbstats"
        | b"collStats"
        | b"collstats"
        | b"dbHash"
        | b"dbhash"
        | b"dataSize"
        | b"geoSearch"
        | b"ping"
        | b"serverStatus"
        | b"getLog"
        | b"getCmdLineOpts"
        | b"hostInfo"
        | b"top"
        | b"getParameter"
        | b"connPoolStats"
        | b"replSetGetStatus"
        | b"replSetGetConfig"
        | b"listCommands"
        | b"usersInfo"
        | b"rolesInfo"
        | b"currentOp"
        | b"features"
        | b"isdbgrid"
        | b"filemd5"
        | b"getShardMap"
        | b"lockInfo"
        | b"connectionPoolStats" => T::Read,
        b"replSetStepDown"
        | b"replSetFreeze"
        | b"replSetReconfig"
        | b"replSetInitiate"
        | b"replSetMaintenance"
        | b"replSetSyncFrom"
        | b"replSetAbortPrimaryCatchUp"
        | b"replSetStepUp"
        | b"replSetResizeOplog"
        | b"shutdown"
        | b"setParameter"
        | b"logRotate"
        | b"dropConnections"
        | b"profile"
        | b"setFeatureCompatibilityVersion"
        | b"fsync"
        | b"fsyncUnlock"
        | b"setDefaultRWConcern"
        | b"replSetTest"
        | b"rotateCertificates"
        | b"killOp" => T::Denied,
        b"getLastError" | b"getlasterror" | b"getPrevError" | b"resetError" | b"copydb"
        | b"copydbgetnonce" | b"copydbsaslstart" | b"clone" => T::NotFound,
        // Internal commands begin with an underscore. All clients share one upstream user, whose
        // privileges must not give them access to these.
        [b'_', ..] => T::NotFound,
        _ => T::Write,
    }
}

/// Whether a command may be answered before the client has logged in.
#[must_use]
pub const fn allowed_before_login(treatment: Treatment) -> bool {
    matches!(
        treatment,
        Treatment::Hello | Treatment::Login | Treatment::Identity | Treatment::BuildInfo
    )
}
