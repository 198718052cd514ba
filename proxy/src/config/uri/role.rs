//! A login by a role of AWS: what `authMechanism=MONGODB-AWS` asks of the rest of the string.
//!
//! Source: `auth/auth.md`, "MONGODB-AWS".

use crate::config::uri::Mechanism;
use crate::config::uri::options::Options;
use crate::config::uri::text::UriText;
use crate::config::{Problem, Secret};

/// The one property that the mechanism has.
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// Goes with keys of some hours.
pub(super) fn session_token(options: &Options) -> Option<Secret> {
    let properties = options.mechanism_properties.as_ref()?.reveal();
    let mut properties = properties.split(',').filter_map(|it| it.split_once(':'));
    let (_, token) = properties.find(|(name, _)| *name == TOKEN)?;
    (!token.is_empty()).then(|| Secret::new(token))
}

/// Both keys or neither stand in the string; the user is none of the database's own.
pub(super) fn check(uri: &UriText<'_>, options: &Options, problems: &mut Vec<Problem>) {
    let mut add = |place, wrong, hint| problems.push(Problem::new(place, wrong, hint));
    let has_secret = uri
        .password
        .as_ref()
        .is_some_and(|it| !it.reveal().is_empty());
    if uri.user_info.is_some() && (uri.username.is_none() || !has_secret) {
        add(
            "authMechanism",
            "is MONGODB-AWS with half of a key before the host",
            "write id:secret@ before the host, or nothing, so that the role of the task, of the \
             function or of the machine is used",
        );
    }
    if uri.user_info.is_none() && session_token(options).is_some() {
        add(
            "authMechanismProperties",
            "has a session token without the keys it belongs to",
            "write id:secret@ before the host, or remove it",
        );
    }
}

/// What is said of properties that mean nothing here.
pub(super) fn warning(options: &Options) -> Option<&'static str> {
    options.mechanism_properties.as_ref()?;
    match options.auth_mechanism {
        Some(Mechanism::Aws) if session_token(options).is_some() => None,
        Some(Mechanism::Aws) => Some(
            "authMechanismProperties is ignored: of MONGODB-AWS Weir knows AWS_SESSION_TOKEN only",
        ),
        _ => Some("authMechanismProperties is ignored: SCRAM and X.509 have none"),
    }
}
