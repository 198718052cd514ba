//! Every connection string option Weir knows, and what becomes of it on both sides.

/// What Weir does with an option of the upstream's string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Weir acts on it.
    Honoured,
    /// It says how *one* application wants its commands; never applied to other people's.
    Client,
    /// It has no meaning here; the sentence says why.
    Ignored(&'static str),
    /// Leaving it out would change where or how safely Weir connects; the sentence is the hint.
    Refused(&'static str),
}

/// What becomes of an option in the string an application uses to reach Weir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InClient {
    /// Kept as written.
    Kept,
    /// Left out; the sentence says why.
    Dropped(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Its name as the specification spells it.
    pub(crate) name: &'static str,
    /// What Weir does with it.
    pub(crate) treatment: Treatment,
}

/// Finds an option by its name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    OPTIONS
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

/// What becomes of an option in the application's string, whether Weir knows it or not. The shim
/// decides; here stands the reason.
pub(crate) fn in_client(name: &str) -> InClient {
    if !weir_shim::rewrite::is_dropped(name) {
        return InClient::Kept;
    }
    let lower = name.to_ascii_lowercase();
    InClient::Dropped(match lower.as_str() {
        "replicaset" => REPLICA_SET,
        "compressors" | "zlibcompressionlevel" => COMPRESSION,
        "heartbeatfrequencyms" | "localthresholdms" | "servermonitoringmode" => MONITORING,
        lower if lower.starts_with("tls") || lower.starts_with("ssl") => UPSTREAM_TLS,
        lower if lower.starts_with("srv") => SRV,
        lower if lower.starts_with("proxy") => PROXY,
        _ => DEPLOYMENT,
    })
}

const HONOURED: Treatment = Treatment::Honoured;
const CLIENT: Treatment = Treatment::Client;

const REPLICA_SET: &str =
    "Weir answers as a mongos; a driver that looks for a replica set never selects it";
const UPSTREAM_TLS: &str =
    "it describes TLS to the cluster, which is Weir's side of the connection";
const DEPLOYMENT: &str = "it describes the cluster; Weir's address stands for all of it";
const MONITORING: &str = "it tunes the watching of the cluster, which Weir does";
const COMPRESSION: &str = "Weir is near its clients; the way to the cluster is compressed by Weir";
const SRV: &str = "Weir resolves the SRV record";
const PROXY: &str = "the application connects to Weir directly";
const SELECTION_LOOP: Treatment =
    Treatment::Ignored("Weir holds operations for --hold-timeout while there is no suitable node");
const OLD_DIRECT: Treatment = Treatment::Ignored("write directConnection");
const REVOCATION: Treatment = Treatment::Ignored("Weir makes no revocation look-ups");
const SOCKS: Treatment =
    Treatment::Refused("remove it; Weir does not connect through SOCKS5 proxies");

/// The table. Flat on purpose; one line per option.
#[rustfmt::skip]
pub(crate) const OPTIONS: &[Known] = &[
    known("adaptiveRetries", CLIENT),
    known("appName", HONOURED),
    known("authMechanism", HONOURED),
    known("authMechanismProperties", HONOURED),
    known("authSource", HONOURED),
    known("compressors", HONOURED),
    known("connect", OLD_DIRECT),
    known("connectTimeoutMS", HONOURED),
    known("directConnection", HONOURED),
    known("enableOverloadRetargeting", CLIENT),
    known("heartbeatFrequencyMS", HONOURED),
    known("journal", CLIENT),
    known("loadBalanced", HONOURED),
    known("localThresholdMS", HONOURED),
    known("maxAdaptiveRetries", CLIENT),
    known("maxConnecting", HONOURED),
    known("maxIdleTimeMS", HONOURED),
    known("maxPoolSize", HONOURED),
    known("maxStalenessSeconds", CLIENT),
    known("minPoolSize", HONOURED),
    known("proxyHost", SOCKS),
    known("proxyPassword", SOCKS),
    known("proxyPort", SOCKS),
    known("proxyUsername", SOCKS),
    known("readConcernLevel", CLIENT),
    known("readPreference", CLIENT),
    known("readPreferenceTags", CLIENT),
    known("replicaSet", HONOURED),
    known("retryReads", CLIENT),
    known("retryWrites", CLIENT),
    known("serverMonitoringMode", HONOURED),
    known("serverSelectionTimeoutMS", HONOURED),
    known("serverSelectionTryOnce", SELECTION_LOOP),
    known("socketTimeoutMS", CLIENT),
    known("srvMaxHosts", HONOURED),
    known("srvServiceName", HONOURED),
    known("ssl", HONOURED),
    known("timeoutMS", CLIENT),
    known("tls", HONOURED),
    known("tlsAllowInvalidCertificates", HONOURED),
    known("tlsAllowInvalidHostnames", HONOURED),
    known("tlsCAFile", HONOURED),
    known("tlsCertificateKeyFile", HONOURED),
    known("tlsCertificateKeyFilePassword", HONOURED),
    known("tlsDisableCertificateRevocationCheck", REVOCATION),
    known("tlsDisableOCSPEndpointCheck", REVOCATION),
    known("tlsInsecure", HONOURED),
    known("uuidRepresentation", CLIENT),
    known("w", CLIENT),
    known("waitQueueMultiple", Treatment::Ignored("--queue-depth limits the queue")),
    known("waitQueueTimeoutMS", HONOURED),
    known("wtimeoutMS", CLIENT),
    known("zlibCompressionLevel", HONOURED),
];

const fn known(name: &'static str, treatment: Treatment) -> Known {
    Known { name, treatment }
}
