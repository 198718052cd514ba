//! The two endpoints of an AWS machine that return credentials by HTTP: the container's, and the
//! machine's own (IMDSv2).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bson::DateTime;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::credentials::{AwsCredentials, CredentialsUnavailable, NoCredentialSource};
use crate::config::Secret;

/// Where ECS returns credentials to tasks.
const ECS_BASE: &str = "http://169.254.170.2";
/// Where EC2 returns credentials to machines.
const EC2_BASE: &str = "http://169.254.169.254";
/// The hosts that a container may be asked to use without TLS, in addition to its own loopback
/// addresses: ECS, and EKS Pod Identity.
const TRUSTED_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
/// The path that lists the machine's roles. With a role's name added it returns credentials.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// The limit for all requests together. The endpoint is on this machine or near it. The limit is
/// shorter than the time that operations wait for a connection.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer that is read, in bytes. Real ones are much shorter.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The endpoint that is asked.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// The container's, with its own address and authorization.
    Container {
        url: Uri,
        authorization: Authorization,
    },
    /// The machine's metadata service (IMDSv2).
    Machine { base: String },
}

/// The value of the header `Authorization` that the container's endpoint wants.
#[derive(Debug)]
pub(super) enum Authorization {
    None,
    Value(Secret),
    /// The file changes from time to time, so it is read for each request.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Endpoint {
    /// The endpoint that the environment names, or the machine's.
    pub(super) fn from_environment(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, NoCredentialSource> {
        let relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("{ECS_BASE}{path}"));
        let full = || environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if let Some(url) = relative.or_else(full) {
            let url = trusted(&url).ok_or(NoCredentialSource(
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path, or \
                 AWS_CONTAINER_CREDENTIALS_FULL_URI is no http:// address of this machine, of \
                 ECS or of EKS",
            ))?;
            let file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
            let text = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let authorization = match (file, text) {
                (Some(path), _) => Authorization::File(path.into()),
                (None, Some(text)) => Authorization::Value(Secret::new(text)),
                (None, None) => Authorization::None,
            };
            return Ok(Self::Container { url, authorization });
        }
        let off = environment("AWS_EC2_METADATA_DISABLED");
        if off.is_some_and(|off| off.eq_ignore_ascii_case("true")) {
            return Err(NoCredentialSource(
                "there are none in the connection string, in AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and \
                 AWS_EC2_METADATA_DISABLED is true",
            ));
        }
        let base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.unwrap_or_else(|| EC2_BASE.to_owned());
        if !base.starts_with("http://") {
            return Err(NoCredentialSource(
                "AWS_EC2_METADATA_SERVICE_ENDPOINT is no http:// address; Weir asks no other one",
            ));
        }
        Ok(Self::Machine {
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// Asks for the current credentials.
    pub(super) async fn fetch(&self) -> Result<AwsCredentials, CredentialsUnavailable> {
        let fetched = async {
            let answer = match self {
                Self::Container { url, authorization } => ask_container(url, authorization).await?,
                Self::Machine { base } => ask_machine(base).await?,
            };
            parse(&answer).ok_or_else(|| "gave an answer without credentials".to_owned())
        };
        let fetched = timeout(LIMIT, fetched).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("does not answer within {LIMIT:?}")));
        fetched.map_err(|why| CredentialsUnavailable {
            from: self.name(),
            why,
        })
    }

    /// The endpoint's name for error texts. It leaves the path out, because at ECS anybody who
    /// knows the path gets the credentials.
    fn name(&self) -> String {
        match self {
            Self::Container { url, .. } => {
                format!("the container's endpoint at {}", authority(url))
            }
            Self::Machine { base } => format!("the machine's metadata service at {base}"),
        }
    }
}

impl Authorization {
    fn value(&self) -> Result<Option<Secret>, String> {
        match self {
            Self::None => Ok(None),
            Self::Value(value) => Ok(Some(value.clone())),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let path = path.display();
                    format!("needs the token in {path}, which cannot be read: {error}")
                })?;
                Ok(Some(Secret::new(text.trim())))
            }
        }
    }
}

/// `host:port`, without a user name and a password.
fn authority(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    match url.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The address, if credentials may be asked for there without TLS.
fn trusted(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    let host = url.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    let is_own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let is_trusted = is_own || TRUSTED_HOSTS.contains(&host);
    (is_trusted && url.scheme_str() == Some("http")).then_some(url)
}

async fn ask_container(url: &Uri, authorization: &Authorization) -> Result<Bytes, String> {
    let value = authorization.value()?;
    let header = value.as_ref();
    let header = header.map(|value| (AUTHORIZATION.as_str(), value.reveal()));
    ask(Method::GET, url, header).await
}

/// Three requests: for a token, for the role's name, for its credentials.
async fn ask_machine(base: &str) -> Result<Bytes, String> {
    let url = |path: &str| {
        let url = format!("{base}{path}").parse::<Uri>();
        url.map_err(|_| "has no such address".to_owned())
    };
    let life = ("x-aws-ec2-metadata-token-ttl-seconds", "30");
    let token = ask(Method::PUT, &url("/latest/api/token")?, Some(life)).await?;
    let token = Secret::new(String::from_utf8_lossy(&token));
    let header = Some(("x-aws-ec2-metadata-token", token.reveal()));
    let roles = ask(Method::GET, &url(ROLES)?, header).await?;
    let roles = String::from_utf8_lossy(&roles).into_owned();
    let role = roles.lines().next().unwrap_or_default().trim();
    ask(Method::GET, &url(&format!("{ROLES}{role}"))?, header).await
}

/// One request, on a connection of its own because there is one every few hours.
async fn ask(method: Method, url: &Uri, header: Option<(&str, &str)>) -> Result<Bytes, String> {
    let silent = |error: &dyn std::fmt::Display| format!("does not answer: {error}");
    let host = url.host().unwrap_or_default();
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| silent(&error))?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| silent(&error))?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(HOST, authority(url));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|_| "needs a token that no HTTP header can carry".to_owned())?;
    let answered = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| silent(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("answered {status}"));
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| silent(&error))
    };
    // The connection is polled until the answer is complete. Then both are dropped.
    tokio::select! {
        answer = answered => answer,
        Err(error) = connection => Err(silent(&error)),
    }
}

fn parse(answer: &[u8]) -> Option<AwsCredentials> {
    let answer: CredentialsAnswer = serde_json::from_slice(answer).ok()?;
    // Credentials with an unreadable expiration are used once.
    let expires = answer.expiration.map(|text| {
        let expires = DateTime::parse_rfc3339_str(text);
        expires.map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
    });
    let token = answer.token.filter(|token| !token.is_empty());
    let secret = Secret::new(answer.secret_access_key);
    let token = token.map(Secret::new);
    Some(AwsCredentials::new(
        answer.access_key_id,
        secret,
        token,
        expires,
    ))
}
