//! One client's connection: asks, leaves, checks that answers are its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bson::{Document, doc};

use super::plan::Leave;
use super::report::Report;
use crate::message::{MORE_TO_COME, op_msg};
use crate::raw::Raw;

/// Longer than anything that Weir promises to end by itself.
const ANSWER: Duration = Duration::from_secs(60);

/// The database of the load.
pub(super) const DATABASE: &str = "soak";

/// A connection that is made when it is needed.
pub(super) struct Link {
    address: SocketAddr,
    /// In this face a cursor ends with its connection.
    pub(super) load_balanced: bool,
    pub(super) report: Arc<Report>,
    raw: Option<Raw>,
}

impl Link {
    pub(super) fn new(address: SocketAddr, load_balanced: bool, report: Arc<Report>) -> Self {
        Self {
            address,
            load_balanced,
            report,
            raw: None,
        }
    }

    async fn connected(&mut self) -> Result<&mut Raw> {
        if self.raw.is_none() {
            let mut raw = Raw::connect(self.address).await?;
            raw.limit = ANSWER;
            let hello = doc! { "hello": 1, "loadBalanced": self.load_balanced };
            raw.command("admin", hello).await?;
            self.report.count("connections made");
            self.raw = Some(raw);
        }
        self.raw
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("no connection"))
    }

    /// Closes the connection.
    pub(super) fn drop(&mut self) {
        self.raw = None;
    }

    /// Sends a command and returns its reply; `None`: the client has left, or the
    /// connection was cut in the middle of a large reply.
    pub(super) async fn ask(
        &mut self,
        command: Document,
        leave: Option<Leave>,
    ) -> Result<Option<Document>> {
        self.ask_of(DATABASE, command, leave).await
    }

    /// As [`Link::ask`], of the database `admin`.
    pub(super) async fn ask_admin(
        &mut self,
        command: Document,
        leave: Option<Leave>,
    ) -> Result<Option<Document>> {
        self.ask_of("admin", command, leave).await
    }

    async fn ask_of(
        &mut self,
        database: &str,
        mut command: Document,
        leave: Option<Leave>,
    ) -> Result<Option<Document>> {
        command.insert("$db", database);
        let raw = self.connected().await?;
        let id = raw.fresh_id();
        let bytes = op_msg(id, 0, 0, &command);
        self.report.operation();
        if let Some(leave) = leave {
            self.leave(&bytes, leave).await;
            return Ok(None);
        }
        let raw = self.connected().await?;
        let answer = match raw.send(&bytes).await {
            Ok(()) => raw.receive().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(reply) if reply.response_to == id => Ok(Some(reply.body)),
            Ok(reply) => {
                let text = format!("a reply to {} instead of {id}", reply.response_to);
                self.report.violation(text);
                self.drop();
                Ok(None)
            }
            Err(error) => {
                self.drop();
                if is_large(&command) {
                    self.report.count("large replies cut");
                } else {
                    self.report
                        .violation(format!("hung up on {command}: {error:#}"));
                }
                Ok(None)
            }
        }
    }

    /// Sends a command that gets no reply.
    pub(super) async fn tell(&mut self, mut command: Document) -> Result<()> {
        command.insert("$db", DATABASE);
        let raw = self.connected().await?;
        let bytes = op_msg(raw.fresh_id(), 0, MORE_TO_COME, &command);
        let sent = raw.send(&bytes).await;
        self.report.operation();
        if let Err(error) = sent {
            self.drop();
            self.report.violation(format!("hung up: {error:#}"));
        }
        Ok(())
    }

    async fn leave(&mut self, bytes: &[u8], leave: Leave) {
        let Some(mut raw) = self.raw.take() else {
            return;
        };
        self.report.count("clients left in a command");
        // A part that is long enough for its length to be known, and sometimes its facts.
        let part = match leave {
            Leave::InRequest => bytes.len() * 2 / 3,
            _ => bytes.len(),
        };
        let sent = raw.send(bytes.get(..part).unwrap_or(bytes)).await;
        if sent.is_ok() && leave == Leave::InReply {
            // It may be that no reply comes: then there is nothing to leave in.
            let _ = raw.taste(10).await;
        }
    }
}

/// Whether its reply is passed on in pieces: then a broken upstream cannot be told about
/// otherwise than by a close.
fn is_large(command: &Document) -> bool {
    command.to_vec().is_ok_and(|bytes| bytes.len() > 90_000)
}
