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
    /// Leaving it out would change where or how safely Weir connects; the sentence is the mend.
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
    /// What the application's string does with it.
    pub(crate) in_client: InClient,
}

/// Finds an option by its name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    OPTIONS
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

/// What becomes of an option in the application's string, whether Weir knows it or not.
pub(crate) fn in_client(name: &str) -> InClient {
    if let Some(known) = find(name) {
        return known.in_client;
    }
    // Drivers have had many more words for TLS, `ssl_cert_reqs` for one: the way to Weir has none.
    let lower = name.to_ascii_lowercase();
    match ["tls", "ssl"]
        .iter()
        .any(|family| lower.starts_with(family))
    {
        true => UPSTREAM_TLS,
        false => KEPT,
    }
}

const HONOURED: Treatment = Treatment::Honoured;
const CLIENT: Treatment = Treatment::Client;
const KEPT: InClient = InClient::Kept;

const UPSTREAM_TLS: InClient =
    InClient::Dropped("it describes TLS to the cluster, which is Weir's side of the connection");
const DEPLOYMENT: InClient =
    InClient::Dropped("it describes the cluster; Weir's address stands for all of it");
const MONITORING: InClient =
    InClient::Dropped("it tunes the watching of the cluster, which Weir does");
const COMPRESSION: InClient =
    InClient::Dropped("Weir is near its clients; the way to the cluster is compressed by Weir");
const SRV: InClient = InClient::Dropped("Weir resolves the SRV record");
const PROXY: InClient = InClient::Dropped("the application connects to Weir directly");
const SELECTION_LOOP: Treatment =
    Treatment::Ignored("Weir holds operations for --hold-timeout while there is no suitable node");
const OLD_DIRECT: Treatment = Treatment::Ignored("write directConnection");
const REVOCATION: Treatment = Treatment::Ignored("Weir makes no revocation look-ups");
const SOCKS: Treatment =
    Treatment::Refused("remove it; Weir does not connect through SOCKS5 proxies");

/// The table. Flat on purpose; one line per option.
#[rustfmt::skip]
pub(crate) const OPTIONS: &[Known] = &[
    known("adaptiveRetries", CLIENT, KEPT),
    known("appName", HONOURED, KEPT),
    known("authMechanism", HONOURED, KEPT),
    known("authMechanismProperties", HONOURED, KEPT),
    known("authSource", HONOURED, KEPT),
    known("compressors", HONOURED, COMPRESSION),
    known("connect", OLD_DIRECT, DEPLOYMENT),
    known("connectTimeoutMS", HONOURED, KEPT),
    known("directConnection", HONOURED, DEPLOYMENT),
    known("enableOverloadRetargeting", CLIENT, KEPT),
    known("heartbeatFrequencyMS", HONOURED, MONITORING),
    known("journal", CLIENT, KEPT),
    known("loadBalanced", HONOURED, DEPLOYMENT),
    known("localThresholdMS", HONOURED, MONITORING),
    known("maxAdaptiveRetries", CLIENT, KEPT),
    known("maxConnecting", HONOURED, KEPT),
    known("maxIdleTimeMS", HONOURED, KEPT),
    known("maxPoolSize", HONOURED, KEPT),
    known("maxStalenessSeconds", CLIENT, KEPT),
    known("minPoolSize", HONOURED, KEPT),
    known("proxyHost", SOCKS, PROXY),
    known("proxyPassword", SOCKS, PROXY),
    known("proxyPort", SOCKS, PROXY),
    known("proxyUsername", SOCKS, PROXY),
    known("readConcernLevel", CLIENT, KEPT),
    known("readPreference", CLIENT, KEPT),
    known("readPreferenceTags", CLIENT, KEPT),
    known("replicaSet", HONOURED, InClient::Dropped("Weir answers as a mongos; a driver that looks for a replica set never selects it")),
    known("retryReads", CLIENT, KEPT),
    known("retryWrites", CLIENT, KEPT),
    known("serverMonitoringMode", HONOURED, MONITORING),
    known("serverSelectionTimeoutMS", HONOURED, KEPT),
    known("serverSelectionTryOnce", SELECTION_LOOP, KEPT),
    known("socketTimeoutMS", CLIENT, KEPT),
    known("srvMaxHosts", HONOURED, SRV),
    known("srvServiceName", HONOURED, SRV),
    known("ssl", HONOURED, UPSTREAM_TLS),
    known("timeoutMS", CLIENT, KEPT),
    known("tls", HONOURED, UPSTREAM_TLS),
    known("tlsAllowInvalidCertificates", HONOURED, UPSTREAM_TLS),
    known("tlsAllowInvalidHostnames", HONOURED, UPSTREAM_TLS),
    known("tlsCAFile", HONOURED, UPSTREAM_TLS),
    known("tlsCertificateKeyFile", HONOURED, UPSTREAM_TLS),
    known("tlsCertificateKeyFilePassword", HONOURED, UPSTREAM_TLS),
    known("tlsDisableCertificateRevocationCheck", REVOCATION, UPSTREAM_TLS),
    known("tlsDisableOCSPEndpointCheck", REVOCATION, UPSTREAM_TLS),
    known("tlsInsecure", HONOURED, UPSTREAM_TLS),
    known("uuidRepresentation", CLIENT, KEPT),
    known("w", CLIENT, KEPT),
    known("waitQueueMultiple", Treatment::Ignored("--queue-depth limits the queue"), KEPT),
    known("waitQueueTimeoutMS", HONOURED, KEPT),
    known("wtimeoutMS", CLIENT, KEPT),
    known("zlibCompressionLevel", HONOURED, COMPRESSION),
];

const fn known(name: &'static str, treatment: Treatment, in_client: InClient) -> Known {
    Known {
        name,
        treatment,
        in_client,
    }
}
