//! Where AWS credentials come from. The sources are tried in the order of the drivers.
//!
//! | source | what selects it |
//! |---|---|
//! | the connection string | user, password, `authMechanismProperties=AWS_SESSION_TOKEN:…` |
//! | the environment (a Lambda function's) | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` |
//! | the container (ECS, EKS Pod Identity, SnapStart) | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` |
//! | the machine (EC2) | no other source was found |

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::credentials::{AwsCredentials, CredentialsUnavailable, NoCredentialSource};
use super::metadata::Endpoint;
use crate::config::env::Strings;
use crate::config::{Credential, Secret};

/// Credentials are fetched anew this long before they expire.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);

/// The shortest time between two requests of which the second most likely changes nothing: the
/// source returned no new credentials while the known ones are valid, or new credentials were
/// refused like the ones before.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The credentials of one upstream: constant, or asked for when they are needed.
#[derive(Debug)]
pub struct CredentialProvider {
    source: CredentialSource,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
enum CredentialSource {
    /// The connection string or the environment holds them.
    Known(AwsCredentials),
    /// A metadata endpoint returns them.
    Asked(Endpoint),
}

/// What is known of credentials that were asked for.
#[derive(Debug, Default)]
struct Cache {
    credentials: Option<AwsCredentials>,
    /// When they replaced refused ones, if no server has accepted any since.
    renewed: Option<Instant>,
    /// The source returned nothing while the known ones are valid. It is not asked again before.
    not_before: Option<Instant>,
}

impl CredentialProvider {
    /// Finds the source of the credentials. Asks no endpoint yet.
    ///
    /// # Errors
    /// [`NoCredentialSource`]: there is none.
    pub fn new(
        credential: &Credential,
        environment: &impl Strings,
    ) -> Result<Self, NoCredentialSource> {
        let own = (!credential.username.is_empty()).then(|| {
            let token = credential.session_token.clone();
            let secret = credential.password.clone();
            AwsCredentials::new(&credential.username, secret, token, None)
        });
        let source = match own {
            Some(credentials) => CredentialSource::Known(credentials),
            None => from_environment(|name| {
                let value = environment.get(name).ok().flatten();
                value.filter(|value| !value.is_empty())
            })?,
        };
        Ok(Self {
            source,
            cache: Mutex::default(),
        })
    }

    /// The credentials, from memory or fetched now. As the specification demands, callers do not
    /// wait for each other's requests.
    ///
    /// # Errors
    /// [`CredentialsUnavailable`]: no valid ones are known, and the source did not return any
    /// within two seconds.
    pub async fn credentials(&self) -> Result<AwsCredentials, CredentialsUnavailable> {
        let endpoint = match &self.source {
            CredentialSource::Known(credentials) => return Ok(credentials.clone()),
            CredentialSource::Asked(endpoint) => endpoint,
        };
        let cached = self.cache.lock().usable(Instant::now());
        if let Some(credentials) = cached {
            return Ok(credentials);
        }
        match endpoint.fetch().await {
            Ok(credentials) => {
                self.cache.lock().credentials = Some(credentials.clone());
                Ok(credentials)
            }
            Err(error) => self.cache.lock().not_refreshed(error),
        }
    }

    /// A server refused these credentials. Returns whether there are others that it has not
    /// seen. The known ones are replaced, but until a server accepts some at most once in half a
    /// minute.
    ///
    /// # Errors
    /// [`CredentialsUnavailable`]: the source did not return any.
    pub async fn renew(&self, refused: &AwsCredentials) -> Result<bool, CredentialsUnavailable> {
        {
            let mut cache = self.cache.lock();
            let known = cache.credentials.as_ref();
            if known.is_some_and(|known| !known.are_same(refused)) {
                return Ok(true);
            }
            if cache.renewed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
                return Ok(false);
            }
            cache.credentials = None;
        }
        let others = !self.credentials().await?.are_same(refused);
        self.cache.lock().renewed = others.then(Instant::now);
        Ok(others)
    }

    /// A server accepted the credentials.
    pub fn accepted(&self) {
        self.cache.lock().renewed = None;
    }

    /// This process is a copy of another one and holds that one's credentials. Its own may be
    /// others.
    pub fn forget(&self) {
        *self.cache.lock() = Cache::default();
    }
}

impl Cache {
    /// The known credentials, if the source need not be asked for others now.
    fn usable(&self, now: Instant) -> Option<AwsCredentials> {
        let credentials = self.credentials.clone()?;
        let waits = self.not_before.is_some_and(|moment| now < moment);
        let time = if waits {
            Duration::ZERO
        } else {
            REFRESH_BEFORE
        };
        credentials.are_valid_for(time).then_some(credentials)
    }

    /// The source returned no new credentials. The known ones are used until they expire.
    fn not_refreshed(
        &mut self,
        error: CredentialsUnavailable,
    ) -> Result<AwsCredentials, CredentialsUnavailable> {
        let known = self.credentials.clone();
        let Some(known) = known.filter(|known| known.are_valid_for(Duration::ZERO)) else {
            return Err(error);
        };
        self.not_before = Some(Instant::now() + RETRY_AFTER);
        tracing::warn!(%error, "the AWS credentials expire soon and cannot be refreshed");
        Ok(known)
    }
}

/// The source that the environment selects.
fn from_environment(
    environment: impl Fn(&str) -> Option<String>,
) -> Result<CredentialSource, NoCredentialSource> {
    let id = environment("AWS_ACCESS_KEY_ID");
    let secret = environment("AWS_SECRET_ACCESS_KEY");
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let token = environment("AWS_SESSION_TOKEN").map(Secret::new);
            let credentials = AwsCredentials::new(id, Secret::new(secret), token, None);
            return Ok(CredentialSource::Known(credentials));
        }
        (None, None) => {}
        _ => {
            return Err(NoCredentialSource(
                "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set both or \
                 neither",
            ));
        }
    }
    let web_identity = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"];
    if web_identity.iter().all(|name| environment(name).is_some()) {
        return Err(NoCredentialSource(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, but Weir does not exchange such tokens: use EKS \
             Pod Identity, or give Weir a user with a password",
        ));
    }
    Endpoint::from_environment(environment).map(CredentialSource::Asked)
}
