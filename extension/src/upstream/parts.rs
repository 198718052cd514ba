//! How the user of a connection string logs in at the shared Weir.

use weir_shim::uri::Parts;

/// Mechanisms that the shared Weir does not take, by the names of the servers' documentation.
const OTHERS: [&str; 6] = [
    "MONGODB-AWS",
    "MONGODB-X509",
    "GSSAPI",
    "PLAIN",
    "MONGODB-OIDC",
    "MONGODB-CR",
];

/// The options that say how the user of `parts` logs in.
pub(super) fn login_options(parts: &Parts<'_>) -> Result<Vec<String>, String> {
    let source = parts.option("authsource").unwrap_or(match parts.database {
        // What an SRV record's TXT may say otherwise, Atlas says too.
        _ if parts.srv => "admin",
        "" => "admin",
        database => database,
    });
    let mut options = vec![format!("authSource={source}")];
    let mechanism = parts.option("authmechanism").unwrap_or_default();
    let mechanism = mechanism.to_ascii_uppercase();
    match mechanism.as_str() {
        "" | "DEFAULT" => {}
        "SCRAM-SHA-1" | "SCRAM-SHA-256" => options.push(format!("authMechanism={mechanism}")),
        other => {
            // What nobody knows is not repeated: it may be anything.
            let known = OTHERS.iter().find(|known| **known == other);
            let known = known.copied().unwrap_or("another mechanism");
            return Err(format!(
                "the function's own string logs in by {known}, which the shared Weir does \
                 not take: write a user and a password into WEIR_SERVICE, as in \
                 mongodb://user:password@host:27017"
            ));
        }
    }
    Ok(options)
}
