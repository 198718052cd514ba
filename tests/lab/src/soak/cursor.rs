//! Cursors: every batch of every one is checked.

use anyhow::Result;
use bson::{Document, doc};

use super::client::{Client, OF_NODES, has_label};
use super::plan::Leave;

/// Rows in a batch.
const BATCH: u64 = 3;

impl Client {
    pub(super) async fn cursor(&mut self, batches: u64, kill: bool) -> Result<()> {
        let payload = self.payload(20);
        let find = doc! {
            "find": "rows",
            "filter": {},
            "sort": { "_id": 1 },
            "projection": { "payload": { "$literal": &payload } },
            "batchSize": i64::try_from(BATCH)?,
            // The last batch is not full: that ends the cursor.
            "limit": i64::try_from(batches * BATCH - 1)?,
        };
        let leave = self.leave_a_cursor();
        let Some(reply) = self.link.ask(find, leave).await? else {
            return Ok(());
        };
        if self.failed(&reply, &[6]) {
            return Ok(());
        }
        let mut seen = self.check_batch(&reply, "firstBatch", &payload, 0)?;
        let mut id = reply.get_document("cursor")?.get_i64("id")?;
        let mut asked = 1;
        while id != 0 {
            if kill && asked >= batches / 2 {
                if let Some(reply) = self.kill(id).await?
                    && reply.get_array("cursorsKilled")?.len() != 1
                    && !self.link.report.disastrous
                {
                    self.violation("a cursor that was not killed", &reply);
                }
                return Ok(());
            }
            asked += 1;
            let more = doc! { "getMore": id, "collection": "rows",
            "batchSize": i64::try_from(BATCH)? };
            let leave = self.leave_a_cursor();
            let Some(reply) = self.link.ask(more, leave).await? else {
                return Ok(());
            };
            if self.failed(&reply, &[6]) {
                let code = reply.get_i32("code").unwrap_or(0);
                // What the server says of a cursor that is gone is passed on as it is.
                let by_server = OF_NODES.contains(&code) && code != 89;
                if !has_label(&reply, "ResumableChangeStreamError") && !by_server {
                    self.violation("the wrong label for a getMore", &reply);
                }
                // As a driver does that closes it: it may be open still, here or there.
                self.kill(id).await?;
                return Ok(());
            }
            seen = self.check_batch(&reply, "nextBatch", &payload, seen)?;
            id = reply.get_document("cursor")?.get_i64("id")?;
        }
        if seen != batches * BATCH - 1 {
            self.violation("a cursor with rows missing", &reply);
        }
        Ok(())
    }

    /// Where cursors outlive connections, a client that leaves would leave them to their
    /// timeout: not there.
    fn leave_a_cursor(&mut self) -> Option<Leave> {
        let leave = self.plan.leave();
        leave.filter(|_| self.link.load_balanced)
    }

    /// Checks a batch; returns how many rows have been seen with it.
    fn check_batch(&self, reply: &Document, name: &str, payload: &str, seen: u64) -> Result<u64> {
        let mut next = seen;
        for row in reply.get_document("cursor")?.get_array(name)? {
            let row = row.as_document();
            let fits = row.is_some_and(|row| {
                row.get_str("payload").ok() == Some(payload)
                    && row.get_i64("_id").ok() == i64::try_from(next).ok()
            });
            if !fits {
                self.violation("another's row in a batch", reply);
            }
            next += 1;
        }
        Ok(next)
    }

    /// The answer, if there is one.
    async fn kill(&mut self, id: i64) -> Result<Option<Document>> {
        let kill = doc! { "killCursors": "rows", "cursors": [id] };
        let reply = self.link.ask(kill, None).await?;
        Ok(reply.filter(|reply| !self.failed(reply, &[6])))
    }
}
