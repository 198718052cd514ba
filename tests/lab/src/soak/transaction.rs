//! Transactions of increments: all of them or none.

use anyhow::Result;
use bson::{Document, doc};

use super::client::{Client, has_label};
use super::ledger::{Ledger, Told};

/// Interrupted, no such transaction, write conflict and the like: with the label.
const TRANSIENT: [i32; 4] = [6, 112, 251, 24];
/// A commit is asked for so often.
const PATIENCE: usize = 200;

impl Client {
    pub(super) async fn transact(&mut self, statements: u64, commit: bool) -> Result<()> {
        let mut increments = Vec::new();
        // A new counter is made outside of the transaction, with a number of its own.
        for _ in 0..statements {
            increments.push(self.next_increment().await?);
        }
        self.transaction += 1;
        let mut told = None;
        for (at, (counter, number)) in increments.iter().enumerate() {
            let mut update = doc! { "update": "counters",
            "updates": [Ledger::update(counter, *number)] };
            if at == 0 {
                update.insert("startTransaction", true);
            }
            if !self.statement(update).await? {
                told = Some(Told::Refused);
                break;
            }
        }
        let told = match told {
            None if commit => self.commit().await?,
            told => {
                self.abort().await?;
                told.unwrap_or(Told::Refused)
            }
        };
        self.link.report.count(match told {
            Told::Done => "transactions committed",
            _ => "transactions aborted",
        });
        for (counter, number) in &increments {
            self.ledger.note(counter, *number, told);
        }
        Ok(())
    }

    fn in_transaction(&self, mut command: Document) -> Document {
        command.insert("lsid", doc! { "id": self.session.clone() });
        command.insert("txnNumber", self.transaction);
        command.insert("autocommit", false);
        command
    }

    /// Whether the statement was carried out.
    async fn statement(&mut self, update: Document) -> Result<bool> {
        let leave = self.plan.leave();
        let update = self.in_transaction(update);
        let Some(reply) = self.link.ask(update, leave).await? else {
            return Ok(false);
        };
        if self.failed(&reply, &TRANSIENT) {
            if !has_label(&reply, "TransientTransactionError") {
                self.violation("the wrong label in a transaction", &reply);
            }
            return Ok(false);
        }
        let done = reply.get_i32("n").ok() == Some(1);
        if !done {
            self.violation("a statement of one", &reply);
        }
        Ok(done)
    }

    async fn commit(&mut self) -> Result<Told> {
        for _ in 0..PATIENCE {
            let leave = self.plan.leave();
            let commit = self.in_transaction(doc! { "commitTransaction": 1 });
            let Some(reply) = self.link.ask_admin(commit, leave).await? else {
                continue;
            };
            if !self.failed(&reply, &TRANSIENT) {
                if reply.contains_key("writeConcernError") {
                    continue;
                }
                return Ok(Told::Done);
            }
            // The server itself knows it no longer: then it was never committed.
            if reply.get_i32("code").ok() == Some(251) {
                return Ok(Told::Refused);
            }
            let unknown = has_label(&reply, "UnknownTransactionCommitResult")
                || has_label(&reply, "RetryableWriteError");
            if !unknown || has_label(&reply, "TransientTransactionError") {
                self.violation("the wrong label for a commit", &reply);
                return Ok(Told::Unknown);
            }
        }
        self.violation("a commit asked for without an answer", &doc! {});
        Ok(Told::Unknown)
    }

    /// Until somebody says that it is over.
    async fn abort(&mut self) -> Result<()> {
        for _ in 0..PATIENCE {
            let leave = self.plan.leave();
            let abort = self.in_transaction(doc! { "abortTransaction": 1 });
            let Some(reply) = self.link.ask_admin(abort, leave).await? else {
                continue;
            };
            let failed = self.failed(&reply, &[6, 251]);
            if !failed || reply.get_i32("code").ok() == Some(251) {
                return Ok(());
            }
            // Nobody was there to be asked: the transaction is over with its node.
            let unsent = reply.get_i32("code").ok() == Some(133);
            if !has_label(&reply, "RetryableWriteError") && !unsent {
                self.violation("the wrong label for an abort", &reply);
            }
        }
        self.violation("an abort asked for without an answer", &doc! {});
        Ok(())
    }
}
