//! Members that leave the set and come back, and logins that change.

use anyhow::{Context, Result};
use bson::{Bson, Document, doc};

use super::Cluster;
use crate::wait::{LIMIT, until};

impl Cluster {
    /// Takes a member that is not the primary out of the set. Its process goes on. Returns
    /// what [`Cluster::add_back`] needs.
    ///
    /// # Errors
    /// When the primary refuses.
    pub async fn remove(&self, index: usize) -> Result<Document> {
        let host = self.addresses().get(index).context("no such member")?;
        let host = host.to_string();
        let mut removed = None;
        self.reconfigure(|members| {
            let is_it = |member: &Bson| {
                let found = member.as_document().and_then(|it| it.get_str("host").ok());
                found == Some(&host)
            };
            let at = members.iter().position(is_it).context("not a member")?;
            removed = members.remove(at).as_document().cloned();
            Ok(())
        })
        .await?;
        removed.context("not a member")
    }

    /// Puts a member back.
    ///
    /// # Errors
    /// When the primary refuses.
    pub async fn add_back(&self, member: &Document) -> Result<()> {
        self.reconfigure(|members| {
            members.push(member.clone().into());
            Ok(())
        })
        .await
    }

    /// A primary that is new takes no new configuration before its first commit.
    async fn reconfigure(
        &self,
        mut change: impl FnMut(&mut Vec<Bson>) -> Result<()>,
    ) -> Result<()> {
        let primary = self.primary().await?;
        let found = self.admin(primary, doc! { "replSetGetConfig": 1 }).await?;
        let mut config = found.get_document("config")?.clone();
        change(config.get_array_mut("members")?)?;
        config.insert("version", config.get_i32("version")? + 1);
        until("a new configuration", LIMIT, || async {
            let primary = self.primary().await.ok()?;
            let command = doc! { "replSetReconfig": config.clone() };
            self.admin(primary, command).await.ok()
        })
        .await
        .map(drop)
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// When the primary refuses.
    pub async fn change_password(&self, user: &str, password: &str) -> Result<()> {
        let command = doc! { "updateUser": user, "pwd": password };
        self.admin(self.primary().await?, command).await.map(drop)
    }
}
