//! One client: carries its plan out and keeps the books.

use std::sync::Arc;

use anyhow::Result;
use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};

use super::ledger::{Ledger, Told};
use super::link::Link;
use super::plan::{Leave, Plan, Step, Write};
use weir_tests::random::Random;

/// Increments of one counter; then the next one begins.
const BLOCK: i64 = 100;
/// Documents that are read.
pub(super) const ROWS: u64 = 200;
/// What marks the find whose reply the relay holds back.
pub(super) const LATE: &str = "weir-soak-too-late";
/// No node for the whole time of a hold: nothing was sent, and the wait was long enough.
/// Resets in close succession do that on a machine that is slow to recover.
const NO_NODE: i32 = 133;
/// A cursor that died with its node (43), that its node killed when it changed its role or
/// rolled back (175, 237, 11601), and the answer of a node that died itself (89).
pub(super) const OF_NODES: [i32; 5] = [43, 89, 175, 237, 11601];
/// More often nothing is asked again: something is wrong then.
const PATIENCE: usize = 200;

/// What a reply means for who sent a write.
pub(super) enum Verdict {
    Done,
    Refused,
    Unknown,
    Again,
}

/// One client.
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) link: Link,
    pub(super) plan: Plan,
    pub(super) ledger: Arc<Ledger>,
    pub(super) session: Binary,
    pub(super) transaction: i64,
    increments: i64,
    payloads: u64,
}

impl Client {
    pub(super) fn new(seed: u64, number: u64, link: Link, ledger: Arc<Ledger>) -> Self {
        let mut random = Random::new(seed, u64::MAX - number);
        let bytes = [random.next().to_le_bytes(), number.to_le_bytes()].concat();
        Self {
            number,
            link,
            plan: Plan::new(seed, number),
            ledger,
            session: Binary {
                subtype: BinarySubtype::Uuid,
                bytes,
            },
            transaction: 0,
            increments: 0,
            payloads: 0,
        }
    }

    /// Works until it has done `share` steps; `late` is one more, of the slow kind, when
    /// half of them are done.
    pub(super) async fn run(mut self, share: usize, late: bool) -> Result<()> {
        for step in 0..share {
            if self.link.report.is_over() {
                break;
            }
            if late && step == share / 2 {
                self.carry_out(Step::TooLate).await?;
            }
            let step = self.plan.step();
            self.carry_out(step).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Echo(size) => self.echo(size).await,
            Step::Increment(write) => self.increment(write).await,
            Step::Cursor { batches, kill } => self.cursor(batches, kill).await,
            Step::Transaction { statements, commit } => self.transact(statements, commit).await,
            Step::TooSlow => self.too_slow().await,
            Step::TooLate => self.too_late().await,
        }
    }

    /// A text that nobody else sends, now or ever.
    pub(super) fn payload(&mut self, size: usize) -> String {
        self.payloads += 1;
        format!("{}/{}/{}", self.number, self.payloads, "x".repeat(size))
    }

    async fn echo(&mut self, size: usize) -> Result<()> {
        let payload = self.payload(size);
        let id = i64::try_from(self.payloads % ROWS)?;
        let find = doc! {
            "find": "rows",
            "filter": { "_id": id },
            "projection": { "payload": { "$literal": &payload } },
            "limit": 1,
            "singleBatch": true,
        };
        for _ in 0..PATIENCE {
            let leave = self.plan.leave();
            let Some(reply) = self.link.ask(find.clone(), leave).await? else {
                continue;
            };
            if self.failed(&reply, &[6]) {
                continue;
            }
            let batch = reply.get_document("cursor")?.get_array("firstBatch")?;
            let row = batch.first().and_then(|row| row.as_document());
            let fits = row.is_some_and(|row| {
                row.get_str("payload").ok() == Some(payload.as_str())
                    && row.get_i64("_id").ok() == Some(id)
            });
            if !fits {
                self.violation("another's row", &reply);
            }
            return Ok(());
        }
        self.gave_up("a read")
    }

    /// The next increment's counter and number; a new counter is made first.
    pub(super) async fn next_increment(&mut self) -> Result<(String, i64)> {
        let counter = format!("{}-{}", self.number, self.increments / BLOCK);
        if self.increments % BLOCK == 0 {
            let insert = doc! { "insert": "counters", "documents": [Ledger::counter(&counter)] };
            // Asked again until it is acknowledged. Twice carried out, it would be refused
            // for its `_id`.
            self.retryable(insert).await?;
        }
        self.increments += 1;
        Ok((counter, self.increments))
    }

    async fn increment(&mut self, write: Write) -> Result<()> {
        let (counter, number) = self.next_increment().await?;
        let mut update =
            doc! { "update": "counters", "updates": [Ledger::update(&counter, number)] };
        let told = match write {
            Write::Retryable => self.retryable(update).await?,
            Write::Plain => {
                let leave = self.plan.leave();
                match self.link.ask(update, leave).await? {
                    None => Told::Unknown,
                    Some(reply) => match self.verdict(&reply, false) {
                        Verdict::Done => Told::Done,
                        Verdict::Refused => Told::Refused,
                        Verdict::Unknown | Verdict::Again => Told::Unknown,
                    },
                }
            }
            Write::Unacknowledged => {
                update.insert("writeConcern", doc! { "w": 0 });
                self.link.tell(update).await?;
                Told::Unknown
            }
        };
        self.ledger.note(&counter, number, told);
        Ok(())
    }

    /// Asks again and again, with the same `txnNumber`, until it is known.
    async fn retryable(&mut self, mut command: Document) -> Result<Told> {
        self.transaction += 1;
        command.insert("lsid", doc! { "id": self.session.clone() });
        command.insert("txnNumber", self.transaction);
        for _ in 0..PATIENCE {
            let leave = self.plan.leave();
            let Some(reply) = self.link.ask(command.clone(), leave).await? else {
                self.link.report.count("writes asked again");
                continue;
            };
            match self.verdict(&reply, true) {
                Verdict::Done => return Ok(Told::Done),
                Verdict::Refused => return Ok(Told::Refused),
                Verdict::Unknown => return Ok(Told::Unknown),
                Verdict::Again => self.link.report.count("writes asked again"),
            }
        }
        self.gave_up("a retryable write")?;
        Ok(Told::Unknown)
    }

    /// What the reply to a write of one document says.
    fn verdict(&self, reply: &Document, retryable: bool) -> Verdict {
        let done = reply.get_f64("ok").ok() == Some(1.0);
        let plain = !reply.contains_key("writeErrors");
        if done && stepped_down(reply) {
            let again = has_label(reply, "RetryableWriteError");
            if again != retryable {
                self.violation(
                    "the wrong label for a write that a change of role stopped",
                    reply,
                );
            }
            return if again {
                Verdict::Again
            } else {
                Verdict::Unknown
            };
        }
        if done && reply.contains_key("writeConcernError") && plain {
            // Applied, but not for certain to stay.
            return if retryable {
                Verdict::Again
            } else {
                Verdict::Unknown
            };
        }
        if done && reply.get_i32("n").ok() == Some(1) && plain {
            return Verdict::Done;
        }
        if done {
            self.violation("a write of one", reply);
            return Verdict::Unknown;
        }
        self.failed(reply, &[6]);
        let again = has_label(reply, "RetryableWriteError");
        let held_in_vain = reply.get_i32("code").ok() == Some(NO_NODE);
        if again != retryable && !held_in_vain {
            self.violation("the wrong label for a write", reply);
        }
        match () {
            () if again && retryable => Verdict::Again,
            () if has_label(reply, "NoWritesPerformed") => Verdict::Refused,
            () => Verdict::Unknown,
        }
    }

    async fn too_slow(&mut self) -> Result<()> {
        let find = doc! {
            "find": "rows",
            "filter": { "$where": "sleep(40) || true" },
            "maxTimeMS": 20,
        };
        let leave = self
            .plan
            .leave()
            .filter(|leave| *leave == Leave::BeforeReply);
        if let Some(reply) = self.link.ask(find, leave).await?
            && !self.failed(&reply, &[6, 50])
        {
            self.violation("a limit of time was not kept", &reply);
        }
        Ok(())
    }

    /// The relay holds the reply back for longer than Weir waits.
    async fn too_late(&mut self) -> Result<()> {
        let find = doc! { "find": "rows", "maxTimeMS": 1_000, "comment": LATE, "batchSize": 1,
        "singleBatch": true };
        if let Some(reply) = self.link.ask(find, None).await?
            && !self.failed(&reply, &[6, 50, 89])
        {
            self.violation("an answer that cannot have come", &reply);
        }
        Ok(())
    }

    /// Whether the reply is an error. One that is not among `codes` is not to be had here.
    pub(super) fn failed(&self, reply: &Document, codes: &[i32]) -> bool {
        if reply.get_f64("ok").ok() == Some(1.0) {
            return false;
        }
        let code = reply.get_i32("code").unwrap_or(0);
        self.link.report.count(&format!("errors {code}"));
        if code == 6 {
            let says = reply.get_str("errmsg").unwrap_or_default();
            self.link.report.count(&format!("errors 6: {says}"));
        }
        let excused = self.link.report.disastrous && OF_NODES.contains(&code);
        if !codes.contains(&code) && code != NO_NODE && !excused {
            self.violation("an error that does not belong here", reply);
        }
        true
    }

    pub(super) fn violation(&self, what: &str, reply: &Document) {
        let reply: String = reply.to_string().chars().take(900).collect();
        let number = self.number;
        self.link
            .report
            .violation(format!("client {number}: {what}: {reply}"));
    }

    fn gave_up(&self, what: &str) -> Result<()> {
        self.violation(
            what,
            &doc! { "asked without an answer": i64::try_from(PATIENCE)? },
        );
        Ok(())
    }
}

/// Whether the one write was refused by a node that had just stopped being primary; servers
/// say so in the write's own error too, beside `ok: 1`.
fn stepped_down(reply: &Document) -> bool {
    let errors = reply.get_array("writeErrors");
    let code = |error: &bson::Bson| error.as_document()?.get_i32("code").ok();
    errors.is_ok_and(|errors| errors.iter().any(|error| code(error) == Some(6)))
}

/// Whether an error carries a label.
pub(super) fn has_label(reply: &Document, label: &str) -> bool {
    let labels = reply.get_array("errorLabels");
    labels.is_ok_and(|labels| labels.iter().any(|found| found.as_str() == Some(label)))
}
