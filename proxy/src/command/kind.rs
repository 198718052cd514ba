//! One table from a command's name to the way Weir treats it.
//!
//! Names are case-sensitive, as on a server. A command that stands nowhere here is
//! forwarded untouched to the primary: new server features pass.

/// What Weir does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// `hello` and its two older spellings: answered from memory.
    Hello,
    /// `saslStart`, `saslContinue`, `authenticate`, `logout`: answered by Weir's own login.
    Login,
    /// Per-client facts that only Weir knows: `connectionStatus`, `whatsmyuri`,
    /// `getnonce`.
    Identity,
    /// Cached from the upstream and allowed before login.
    BuildInfo,
    /// Answered 59, as a server answers a name it does not know.
    NotFound,
    /// Refused with 13: it targets one node, or would disturb every other client.
    Denied,
    /// Refused unless test commands are enabled.
    TestOnly,
    /// Served by a node that suits the read preference.
    Read,
    /// Served by the primary.
    Write,
    /// A read, or a write when its pipeline ends in `$out` or `$merge`.
    Aggregate,
    /// Goes where its inner command would go.
    Explain,
    /// Goes to the node that holds the cursor.
    GetMore,
    /// Split by node and merged.
    KillCursors,
    /// `commitTransaction`.
    Commit,
    /// `abortTransaction`.
    Abort,
    /// Answered at once, forwarded afterwards.
    EndSessions,
    /// Forwarded unless its list is empty, which would mean everybody's sessions.
    KillSessions,
}

impl Treatment {
    /// Weir itself gives the whole answer.
    #[must_use]
    pub const fn is_answered_here(self) -> bool {
        matches!(
            self,
            Self::Hello | Self::Login | Self::Identity | Self::BuildInfo | Self::EndSessions
        )
    }

    /// It goes to the upstream without a further look.
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
        b"find"
        | b"count"
        | b"distinct"
        | b"listCollections"
        | b"listIndexes"
        | b"listDatabases"
        | b"dbStats"
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
        // Internal commands begin with an underscore; a shared privileged user must not
        // hand them to every client.
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
