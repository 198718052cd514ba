//! Lambda's Extensions API as a script, for what the emulator cannot be made to do: refused
//! registrations, unknown events, copies of environments, calls that break.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::background::Background;
use crate::wait::{LIMIT, until};

/// How a registration is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With an identifier.
    Accept,
    /// With this status and `errorType`.
    Refuse(u16, &'static str),
    /// The connection is closed.
    Close,
    /// Not before the test says so with [`ScriptedApi::let_go`].
    Hold,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// `POST /2020-01-01/extension/register`.
    pub what: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What came with it.
    pub body: String,
    /// When.
    pub at: Instant,
}

#[derive(Default)]
struct State {
    registrations: VecDeque<Answer>,
    events: VecDeque<Value>,
    calls: Vec<Call>,
    /// So many calls for events are closed without an answer.
    broken_nexts: usize,
    waiting: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    let_go: watch::Sender<bool>,
}

/// A running API; dropping it closes every connection.
pub struct ScriptedApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

impl ScriptedApi {
    /// Listens. Registrations are answered in this order, further ones accepted.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(registrations: &[Answer]) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                registrations: registrations.iter().cloned().collect(),
                ..State::default()
            }),
            changed: watch::Sender::new(0),
            let_go: watch::Sender::new(false),
        });
        let served = Arc::clone(&shared);
        let background = Background::serve("extensions api", listener, move |stream| {
            let shared = Arc::clone(&served);
            async move { drop(shared.serve(stream).await) }
        })?;
        Ok(Self {
            address,
            shared,
            _background: background,
        })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells the extension something.
    pub fn tell(&self, event: Value) {
        self.shared.lock().events.push_back(event);
        self.shared.notify();
    }

    /// Tells of an invocation that is cut off after `left`.
    pub fn invoke(&self, id: &str, left: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let end = now.unwrap_or_default() + left;
        self.tell(json!({
            "eventType": "INVOKE",
            "deadlineMs": u64::try_from(end.as_millis()).unwrap_or_default(),
            "requestId": id,
            "invokedFunctionArn": "arn:aws:lambda:eu-central-1:000000000000:function:exam",
            "tracing": { "type": "X-Amzn-Trace-Id", "value": "Root=1" },
        }));
    }

    /// Tells of the end.
    pub fn shut_down(&self, reason: &str) {
        self.tell(json!({ "eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": 1 }));
    }

    /// Answers the registrations that are held.
    pub fn let_go(&self) {
        self.shared.let_go.send_replace(true);
    }

    /// So many further calls for events break.
    pub fn break_nexts(&self, count: usize) {
        self.shared.lock().broken_nexts = count;
    }

    /// The calls so far that contain `what`.
    pub fn calls(&self, what: &str) -> Vec<Call> {
        let calls = &self.shared.lock().calls;
        let found = calls.iter().filter(|call| call.what.contains(what));
        found.cloned().collect()
    }

    /// Waits until the extension has done everything it was told, and asks for more.
    ///
    /// # Errors
    /// When it does not.
    pub async fn is_asked(&self) -> Result<()> {
        until("the extension to ask for the next event", LIMIT, || async {
            let state = self.shared.lock();
            (state.waiting > 0 && state.events.is_empty()).then_some(())
        })
        .await
    }

    /// The same, but woken instead of looking again and again: for hundreds at once.
    ///
    /// # Errors
    /// When the API has ended.
    pub async fn asks(&self) -> Result<()> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            {
                let state = self.shared.lock();
                if state.waiting > 0 && state.events.is_empty() {
                    return Ok(());
                }
            }
            changed.changed().await?;
        }
    }

    /// Waits for so many calls that contain `what`.
    ///
    /// # Errors
    /// When there are fewer.
    pub async fn called(&self, what: &str, times: usize) -> Result<Vec<Call>> {
        until(&format!("{times} calls of {what}"), LIMIT, || async {
            let calls = self.calls(what);
            (calls.len() >= times).then_some(calls)
        })
        .await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let call = read(&mut stream).await?;
        let what = call.what.clone();
        self.lock().calls.push(call);
        if what.ends_with("/extension/register") {
            self.register(stream).await
        } else if what.ends_with("/extension/event/next") {
            self.next(stream).await
        } else {
            reply(&mut stream, 202, "", &json!({})).await
        }
    }

    async fn register(&self, mut stream: TcpStream) -> Result<()> {
        let answer = self.lock().registrations.pop_front();
        match answer.unwrap_or(Answer::Accept) {
            Answer::Close => return Ok(()),
            Answer::Refuse(status, kind) => {
                let body = json!({ "errorMessage": "refused", "errorType": kind });
                return reply(&mut stream, status, "", &body).await;
            }
            Answer::Hold => {
                self.let_go.subscribe().wait_for(|go| *go).await?;
            }
            Answer::Accept => {}
        }
        let body = json!({ "functionName": "exam", "functionVersion": "1", "handler": "app" });
        reply(
            &mut stream,
            200,
            "Lambda-Extension-Identifier: id-1\r\n",
            &body,
        )
        .await
    }

    async fn next(&self, mut stream: TcpStream) -> Result<()> {
        let breaks = {
            let mut state = self.lock();
            let breaks = state.broken_nexts > 0;
            state.broken_nexts = state.broken_nexts.saturating_sub(1);
            breaks
        };
        if breaks {
            return Ok(());
        }
        self.lock().waiting += 1;
        self.notify();
        let event = self.event(&mut stream).await;
        self.lock().waiting -= 1;
        reply(
            &mut stream,
            200,
            "Lambda-Extension-Event-Identifier: e-1\r\n",
            &event?,
        )
        .await
    }

    /// The next event, unless the extension hangs up before.
    async fn event(&self, stream: &mut TcpStream) -> Result<Value> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(event) = self.lock().events.pop_front() {
                return Ok(event);
            }
            let mut byte = [0];
            tokio::select! {
                changed = changed.changed() => changed?,
                _ = stream.read(&mut byte) => anyhow::bail!("it hung up"),
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Result<Call> {
    // One request comes over a connection, so nothing is lost with the buffer.
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let mut lines = head.lines();
    let request = lines.next().context("no request")?;
    let what = request.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map(|length| length.parse());
    let mut body = vec![0; length.transpose()?.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Call {
        what,
        headers,
        body: String::from_utf8(body)?,
        at: Instant::now(),
    })
}

async fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &Value) -> Result<()> {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
