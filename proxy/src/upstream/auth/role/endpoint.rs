//! The two places on a machine of AWS that give out keys by HTTP: the container's, and the
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

use super::keys::{Keys, KeysUnsaid, NoKeys};
use crate::config::Secret;

/// Where ECS gives keys to tasks.
const OF_TASKS: &str = "http://169.254.170.2";
/// Where EC2 gives keys to machines.
const OF_MACHINES: &str = "http://169.254.169.254";
/// Whom a container may be sent to without TLS, besides itself: ECS, and EKS Pod Identity.
const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// For all questions together; who is asked is on this machine or beside it. Less than
/// operations wait for a connection.
const LIMIT: Duration = Duration::from_secs(2);
/// More than an answer ever has.
const LONGEST: usize = 64 * 1024;

/// Who is asked.
#[derive(Debug)]
pub(super) enum Endpoint {
    Container { url: Uri, pass: Pass },
    Machine { base: String },
}

/// What a container shows for its keys.
#[derive(Debug)]
pub(super) enum Pass {
    Nothing,
    Text(Secret),
    /// Written anew from time to time.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Endpoint {
    /// The one that the environment names, or the machine's.
    pub(super) fn around(environment: impl Fn(&str) -> Option<String>) -> Result<Self, NoKeys> {
        let relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("{OF_TASKS}{path}"));
        let full = || environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if let Some(url) = relative.or_else(full) {
            let url = near(&url).ok_or(NoKeys(
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path, or \
                 AWS_CONTAINER_CREDENTIALS_FULL_URI no http:// address of this machine, of ECS or \
                 of EKS",
            ))?;
            let file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
            let text = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let pass = match (file, text) {
                (Some(path), _) => Pass::File(path.into()),
                (None, Some(text)) => Pass::Text(Secret::new(text)),
                (None, None) => Pass::Nothing,
            };
            return Ok(Self::Container { url, pass });
        }
        let off = environment("AWS_EC2_METADATA_DISABLED");
        if off.is_some_and(|off| off.eq_ignore_ascii_case("true")) {
            return Err(NoKeys(
                "there are none in the connection string, in AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and \
                 AWS_EC2_METADATA_DISABLED is true",
            ));
        }
        let base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.unwrap_or_else(|| OF_MACHINES.to_owned());
        if !base.starts_with("http://") {
            return Err(NoKeys(
                "AWS_EC2_METADATA_SERVICE_ENDPOINT is no http:// address, and Weir asks no other",
            ));
        }
        Ok(Self::Machine {
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// Its keys of now.
    pub(super) async fn ask(&self) -> Result<Keys, KeysUnsaid> {
        let asked = async {
            let answer = match self {
                Self::Container { url, pass } => of_container(url, pass).await?,
                Self::Machine { base } => of_machine(base).await?,
            };
            read(&answer).ok_or_else(|| "gave an answer without keys".to_owned())
        };
        let asked = timeout(LIMIT, asked).await;
        let said = asked.unwrap_or_else(|_| Err(format!("does not answer within {LIMIT:?}")));
        said.map_err(|why| KeysUnsaid {
            from: self.name(),
            why,
        })
    }

    /// For people. What comes after the host is kept back: at ECS who knows the path gets keys.
    fn name(&self) -> String {
        match self {
            Self::Container { url, .. } => {
                format!("the container's endpoint at {}", authority(url))
            }
            Self::Machine { base } => format!("the machine's metadata service at {base}"),
        }
    }
}

impl Pass {
    fn text(&self) -> Result<Option<Secret>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text.clone())),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let path = path.display();
                    format!("wants what {path} holds, which cannot be read: {error}")
                })?;
                Ok(Some(Secret::new(text.trim())))
            }
        }
    }
}

/// `host:port`, without a name or a password before it.
fn authority(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    match url.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// `None`: nobody's keys may be asked for there.
fn near(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    let host = url.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    let is_own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let is_near = is_own || NEAR.contains(&host);
    (is_near && url.scheme_str() == Some("http")).then_some(url)
}

async fn of_container(url: &Uri, pass: &Pass) -> Result<Bytes, String> {
    let pass = pass.text()?;
    let shown = pass.as_ref().map(Secret::reveal);
    ask(
        Method::GET,
        url,
        shown.map(|pass| (AUTHORIZATION.as_str(), pass)),
    )
    .await
}

/// Three questions: for a pass, for the role's name, for its keys.
async fn of_machine(base: &str) -> Result<Bytes, String> {
    let url = |path: &str| {
        let url = format!("{base}{path}").parse::<Uri>();
        url.map_err(|_| "has no such address".to_owned())
    };
    let life = ("x-aws-ec2-metadata-token-ttl-seconds", "30");
    let pass = ask(Method::PUT, &url("/latest/api/token")?, Some(life)).await?;
    let pass = Secret::new(String::from_utf8_lossy(&pass));
    let shown = Some(("x-aws-ec2-metadata-token", pass.reveal()));
    let roles = ask(Method::GET, &url(ROLES)?, shown).await?;
    let roles = String::from_utf8_lossy(&roles).into_owned();
    let role = roles.lines().next().unwrap_or_default().trim();
    ask(Method::GET, &url(&format!("{ROLES}{role}"))?, shown).await
}

/// One question on a connection of its own: it is asked every few hours.
async fn ask(method: Method, url: &Uri, shown: Option<(&str, &str)>) -> Result<Bytes, String> {
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
    if let Some((name, value)) = shown {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|_| "wants what no header can carry".to_owned())?;
    let answered = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| silent(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("answered {status}"));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| silent(&error))
    };
    // The connection works until the answer is whole; then both are dropped.
    tokio::select! {
        answer = answered => answer,
        Err(error) = connection => Err(silent(&error)),
    }
}

fn read(answer: &[u8]) -> Option<Keys> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    // Keys whose end cannot be read are used once.
    let ends = answer.expiration.map(|text| {
        let ends = DateTime::parse_rfc3339_str(text);
        ends.map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
    });
    let token = answer.token.filter(|token| !token.is_empty());
    let secret = Secret::new(answer.secret_access_key);
    let token = token.map(Secret::new);
    Some(Keys::new(answer.access_key_id, secret, token, ends))
}
