//! The name and the labels that a server adds to an error code by itself.

use std::borrow::Cow;

use crate::error::{Class, Labels};

/// Codes after which the same command may succeed on another node or later.
const RETRIABLE: [i32; 13] = [
    6, 7, 89, 91, 134, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436,
];

/// Codes that end a transaction, which may then be run again as a whole, with its commit: lost
/// locks and snapshots, stale routing, a transaction that no longer exists.
const TRANSIENT: [i32; 12] = [24, 112, 150, 239, 246, 249, 250, 251, 267, 272, 343, 13_388];

/// The labels that a server adds by itself when the fail point names none.
pub(super) fn labels_of_a_server(code: i32, class: Class) -> Labels {
    let retriable = RETRIABLE.contains(&code);
    let transient = TRANSIENT.contains(&code);
    match class {
        Class::InTransaction if transient || retriable => Labels::TRANSIENT_TRANSACTION,
        Class::Commit | Class::Abort if transient => Labels::TRANSIENT_TRANSACTION,
        Class::RetryableWrite | Class::Commit | Class::Abort if retriable => {
            Labels::RETRYABLE_WRITE
        }
        _ => Labels::NONE,
    }
}

/// The same for a reply with the code in its `writeConcernError`, which ends no transaction.
pub(super) fn labels_of_a_concern(code: i64, class: Class) -> Labels {
    let retriable = RETRIABLE.iter().any(|known| i64::from(*known) == code);
    match class {
        Class::RetryableWrite | Class::Commit | Class::Abort if retriable => {
            Labels::RETRYABLE_WRITE
        }
        _ => Labels::NONE,
    }
}

/// The name that a server gives a code.
pub(super) fn name(code: i32) -> Cow<'static, str> {
    match NAMES.binary_search_by_key(&code, |(known, _)| *known) {
        Ok(at) => NAMES.get(at).map_or("", |(_, name)| name).into(),
        Err(_) => format!("Location{code}").into(),
    }
}

/// By code, ascending.
const NAMES: [(i32, &str); 87] = [
    (1, "InternalError"),
    (2, "BadValue"),
    (4, "NoSuchKey"),
    (6, "HostUnreachable"),
    (7, "HostNotFound"),
    (8, "UnknownError"),
    (9, "FailedToParse"),
    (11, "UserNotFound"),
    (13, "Unauthorized"),
    (14, "TypeMismatch"),
    (17, "ProtocolError"),
    (18, "AuthenticationFailed"),
    (20, "IllegalOperation"),
    (22, "InvalidBSON"),
    (24, "LockTimeout"),
    (26, "NamespaceNotFound"),
    (27, "IndexNotFound"),
    (43, "CursorNotFound"),
    (46, "LockBusy"),
    (48, "NamespaceExists"),
    (50, "MaxTimeMSExpired"),
    (51, "ManualInterventionRequired"),
    (59, "CommandNotFound"),
    (61, "ShardKeyNotFound"),
    (64, "WriteConcernFailed"),
    (66, "ImmutableField"),
    (67, "CannotCreateIndex"),
    (72, "InvalidOptions"),
    (73, "InvalidNamespace"),
    (79, "UnknownReplWriteConcern"),
    (85, "IndexOptionsConflict"),
    (86, "IndexKeySpecsConflict"),
    (89, "NetworkTimeout"),
    (91, "ShutdownInProgress"),
    (96, "OperationFailed"),
    (100, "UnsatisfiableWriteConcern"),
    (112, "WriteConflict"),
    (115, "CommandNotSupported"),
    (117, "ConflictingOperationInProgress"),
    (121, "DocumentValidationFailure"),
    (125, "CommandFailed"),
    (133, "FailedToSatisfyReadPreference"),
    (134, "ReadConcernMajorityNotAvailableYet"),
    (136, "CappedPositionLost"),
    (146, "ExceededMemoryLimit"),
    (150, "StaleEpoch"),
    (175, "QueryPlanKilled"),
    (189, "PrimarySteppedDown"),
    (202, "NetworkInterfaceExceededTimeLimit"),
    (211, "KeyNotFound"),
    (225, "TransactionTooOld"),
    (234, "RetryChangeStream"),
    (237, "CursorKilled"),
    (239, "SnapshotTooOld"),
    (246, "SnapshotUnavailable"),
    (249, "StaleDbVersion"),
    (250, "StaleChunkHistory"),
    (251, "NoSuchTransaction"),
    (256, "TransactionCommitted"),
    (262, "ExceededTimeLimit"),
    (263, "OperationNotSupportedInTransaction"),
    (267, "PreparedTransactionInProgress"),
    (272, "MigrationConflict"),
    (279, "ClientDisconnect"),
    (280, "ChangeStreamFatalError"),
    (286, "ChangeStreamHistoryLost"),
    (290, "TransactionExceededLifetimeLimitSeconds"),
    (322, "APIVersionError"),
    (323, "APIStrictError"),
    (343, "ShardCannotRefreshDueToLocksHeld"),
    (354, "LoadBalancerSupportMismatch"),
    (355, "InterruptedDueToStorageChange"),
    (391, "ReauthenticationRequired"),
    (433, "AdmissionQueueOverflow"),
    (449, "RateLimitExceeded"),
    (450, "PooledConnectionAcquisitionRejected"),
    (462, "IngressRequestRateLimitExceeded"),
    (473, "InterruptedDueToOverload"),
    (9001, "SocketException"),
    (10_107, "NotWritablePrimary"),
    (11_000, "DuplicateKey"),
    (11_600, "InterruptedAtShutdown"),
    (11_601, "Interrupted"),
    (11_602, "InterruptedDueToReplStateChange"),
    (13_388, "StaleConfig"),
    (13_435, "NotPrimaryNoSecondaryOk"),
    (13_436, "NotPrimaryOrSecondary"),
];
