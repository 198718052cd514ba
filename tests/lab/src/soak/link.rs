//! One client's connection: asks, leaves, checks that answers are its own. It knows every
//! Weir of its list and goes elsewhere when one sends it away, dies or is not there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Document, doc};
use weir::relay::attempt::WHOLE_REPLY;

use super::place::{Life, Place};
use super::plan::Leave;
use super::report::Report;
use weir_tests::message::{MORE_TO_COME, op_msg};
use weir_tests::raw::Raw;
use weir_tests::wait::{LIMIT, until};

/// Longer than anything that Weir promises to end by itself.
const ANSWER: Duration = Duration::from_secs(60);

/// The database of the load.
pub(super) const DATABASE: &str = "soak";

/// "This Weir is leaving; nothing was sent."
const LEAVING: i32 = 91;

/// A connection that is made when it is needed.
pub(super) struct Link {
    places: Arc<[Place]>,
    /// The place to be tried next.
    next: usize,
    /// In this face a cursor ends with its connection.
    pub(super) load_balanced: bool,
    pub(super) report: Arc<Report>,
    made: Option<Made>,
}

struct Made {
    raw: Raw,
    life: Arc<Life>,
}

impl Link {
    /// `first` is the place that is tried first, counted round and round.
    pub(super) fn new(
        places: Arc<[Place]>,
        first: u64,
        load_balanced: bool,
        report: Arc<Report>,
    ) -> Self {
        Self {
            places,
            next: usize::try_from(first).unwrap_or(0),
            load_balanced,
            report,
            made: None,
        }
    }

    async fn connected(&mut self) -> Result<&mut Made> {
        if self.made.is_none() {
            let (places, face) = (&self.places, self.load_balanced);
            let mut next = self.next;
            let made = match places.len() {
                // Who knows one Weir is told what is wrong with it.
                1 => connect(places, next, face).await?,
                _ => {
                    let try_next = || {
                        next = next.wrapping_add(1);
                        let at = next;
                        async move { connect(places, at, face).await.ok() }
                    };
                    until("a Weir of the list", LIMIT, try_next).await?
                }
            };
            // Each in its turn, so that a successor gets clients again.
            self.next = next;
            self.report.count("connections made");
            self.made = Some(made);
        }
        self.made.as_mut().context("no connection")
    }

    /// Closes the connection.
    pub(super) fn drop(&mut self) {
        self.made = None;
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
        loop {
            let made = self.connected().await?;
            let id = made.raw.fresh_id();
            let bytes = op_msg(id, 0, 0, &command);
            self.report.operation();
            if let Some(leave) = leave {
                self.leave(&bytes, leave).await;
                return Ok(None);
            }
            let made = self.connected().await?;
            let life = Arc::clone(&made.life);
            let answer = match made.raw.send(&bytes).await {
                Ok(()) => made.raw.receive().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(reply) if reply.response_to != id => {
                    let text = format!("a reply to {} instead of {id}", reply.response_to);
                    self.report.violation(text);
                    self.drop();
                    return Ok(None);
                }
                // Nothing was sent: it is asked again, elsewhere.
                Ok(reply) if reply.body.get_i32("code").ok() == Some(LEAVING) => {
                    self.report.count("clients sent away");
                    if !life.is_leaving() {
                        let text = format!("sent away by a Weir that stays: {}", reply.body);
                        self.report.violation(text);
                    }
                    self.drop();
                }
                Ok(reply) => return Ok(Some(reply.body)),
                Err(error) => {
                    self.hung_up(&command, &life, &error);
                    return Ok(None);
                }
            }
        }
    }

    /// The connection ended without a reply.
    fn hung_up(&mut self, command: &Document, life: &Life, error: &anyhow::Error) {
        self.drop();
        if life.was_killed() {
            self.report.count("connections that died with a Weir");
        } else if is_large(command) && is_cut(error) {
            self.report.count("large replies cut");
        } else {
            let leaving = life.is_leaving();
            self.report.violation(format!(
                "hung up on {command}, leaving {leaving}: {error:#}"
            ));
        }
    }

    /// Sends a command that gets no reply.
    pub(super) async fn tell(&mut self, mut command: Document) -> Result<()> {
        command.insert("$db", DATABASE);
        let made = self.connected().await?;
        let life = Arc::clone(&made.life);
        let bytes = op_msg(made.raw.fresh_id(), 0, MORE_TO_COME, &command);
        let sent = made.raw.send(&bytes).await;
        self.report.operation();
        if let Err(error) = sent {
            self.hung_up(&command, &life, &error);
        }
        Ok(())
    }

    async fn leave(&mut self, bytes: &[u8], leave: Leave) {
        let Some(Made { mut raw, .. }) = self.made.take() else {
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

/// A connection to one of the places that has greeted.
async fn connect(places: &[Place], at: usize, load_balanced: bool) -> Result<Made> {
    let at = at.checked_rem(places.len()).unwrap_or(0);
    let place = places.get(at).context("no place")?;
    let life = place.life();
    let mut raw = Raw::connect(place.address).await?;
    raw.limit = ANSWER;
    let hello = doc! { "hello": 1, "loadBalanced": load_balanced };
    raw.command("admin", hello).await?;
    Ok(Made { raw, life })
}

/// Whether its reply, which repeats what it asks for, is passed on in pieces: once some of it
/// is out, a broken upstream cannot be told about otherwise than by a close. A reply says less
/// than a kilobyte of its own.
fn is_large(command: &Document) -> bool {
    let least = WHOLE_REPLY - 1_024;
    command.to_vec().is_ok_and(|bytes| bytes.len() > least)
}

/// Whether the connection ended inside a reply whose head has arrived. One that ends before
/// it, or with a reset, or that stays silent, has not been cut.
fn is_cut(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use weir_tests::message::HEADER;

    fn asks_for(size: usize) -> Document {
        doc! { "find": "rows", "projection": { "payload": { "$literal": "x".repeat(size) } } }
    }

    #[test]
    fn what_weir_holds_until_it_is_whole_is_not_large() {
        assert!(!is_large(&asks_for(100_000)));
        assert!(!is_large(&asks_for(WHOLE_REPLY - 2_048)));
        assert!(is_large(&asks_for(WHOLE_REPLY)));
    }

    /// The end of a connection after so many bytes of a reply.
    async fn ends_after(bytes: usize) -> Result<anyhow::Error> {
        let reply = op_msg(1, 1, 0, &doc! { "ok": 1 });
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs
            .write_all(reply.get(..bytes).context("so long it is not")?)
            .await?;
        drop(theirs);
        let ended = Raw::over(ours).receive().await;
        ended.err().context("a reply that was not there")
    }

    #[tokio::test]
    async fn only_a_reply_that_has_begun_is_cut() -> Result<()> {
        assert!(!is_cut(&ends_after(0).await?));
        assert!(!is_cut(&ends_after(HEADER - 1).await?));
        assert!(is_cut(&ends_after(HEADER + 1).await?));
        Ok(())
    }
}
