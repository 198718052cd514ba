//! Real replica sets, with logins, TLS and ways to hurt them.
//!
//! A cluster holds no runtime: it may live in a static and be used by tests
//! that each have a runtime of their own. See [`shared`] for the ones that all
//! tests of a process use together; take one of your own to hurt it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::{ClientOptions, ServerMonitoringMode};
use weir_kit::mongod::{MongodError, ReplicaSet, Server};
use weir_kit::process::Signal;

use crate::certificates::Certificates;
use crate::paths::blocking;
use crate::relay::Relay;
use crate::wait::{LIMIT, until};

mod builder;
mod counter;
mod membership;
pub mod shared;

pub use builder::Builder;
pub use counter::Counter;

/// The first user, who may do everything.
pub const USER: &str = "root";
/// Its password; every special character must be escaped in a string.
pub const PASSWORD: &str = "s3cret/with:odd@chars%";
/// [`PASSWORD`] as a connection string carries it.
pub const PASSWORD_IN_URI: &str = "s3cret%2Fwith%3Aodd%40chars%25";

/// A running replica set. Dropping it kills its servers.
pub struct Cluster {
    set: Arc<ReplicaSet>,
    relays: Vec<Relay>,
    certificates: Option<Certificates>,
    login: bool,
}

impl Cluster {
    /// What to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The set's connection string. `options` is appended: `&w=1`.
    pub fn uri_with(&self, options: &str) -> String {
        let hosts: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        let set = format!("replicaSet={}", self.set.name());
        self.string(&hosts.join(","), &format!("{set}{options}"))
    }

    /// The set's connection string.
    pub fn uri(&self) -> String {
        self.uri_with("")
    }

    /// The string of one member alone, past any relay.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn direct_uri(&self, index: usize) -> Result<String> {
        let address = self.member(index)?.address().to_string();
        Ok(self.string(&address, "directConnection=true"))
    }

    /// A string for any address, with this cluster's login and TLS options.
    pub fn string(&self, hosts: &str, options: &str) -> String {
        let mut user = String::new();
        let mut options = options.to_owned();
        if self.login {
            user = format!("{USER}:{PASSWORD_IN_URI}@");
            options.push_str("&authSource=admin");
        }
        if let Some(certificates) = &self.certificates {
            options.push_str("&tls=true&tlsCAFile=");
            options.push_str(&certificates.authority.to_string_lossy().replace('/', "%2F"));
        }
        format!(
            "mongodb://{user}{hosts}/?{}",
            options.trim_start_matches('&')
        )
    }

    /// A client of the whole set. It belongs to the calling test's runtime.
    ///
    /// # Errors
    /// When the string is not understood.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::with_uri_str(self.uri()).await?)
    }

    /// A client of one member, past any relay.
    ///
    /// # Errors
    /// When there is no such member.
    pub async fn direct(&self, index: usize) -> Result<Client> {
        let mut options = ClientOptions::parse(self.direct_uri(index)?).await?;
        // One monitoring socket instead of two.
        options.server_monitoring_mode = Some(ServerMonitoringMode::Poll);
        options.server_selection_timeout = Some(LIMIT);
        Ok(Client::with_options(options)?)
    }

    /// Runs one command on one member and leaves no socket behind.
    ///
    /// # Errors
    /// When the member refuses it.
    pub async fn admin(&self, index: usize, command: Document) -> Result<Document> {
        let client = self.direct(index).await?;
        let reply = client.database("admin").run_command(command).await;
        client.shutdown().immediate(true).await;
        Ok(reply?)
    }

    /// The member that is writable now.
    ///
    /// # Errors
    /// When none becomes so in time.
    pub async fn primary(&self) -> Result<usize> {
        self.primary_other_than(None).await
    }

    /// Waits for a writable member, not the one given.
    ///
    /// # Errors
    /// When none becomes so in time.
    pub async fn primary_other_than(&self, old: Option<usize>) -> Result<usize> {
        until("a new primary", LIMIT, || async {
            for (index, member) in self.members().iter().enumerate() {
                // A frozen member would hold up the search.
                if Some(index) != old && member.runs() && self.is_writable(index).await {
                    return Some(index);
                }
            }
            None
        })
        .await
    }

    /// Waits until one member is writable and all others follow it.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn settled(&self) -> Result<usize> {
        until("a whole set", LIMIT, || async {
            let set = Arc::clone(&self.set);
            let settled = blocking(move || set.is_settled()).await;
            settled.is_ok_and(|settled| settled).then_some(())
        })
        .await?;
        self.primary().await
    }

    async fn is_writable(&self, index: usize) -> bool {
        let answer = self.hello(index).await;
        answer.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
    }

    /// What a member says of itself, asked over a socket of its own.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn hello(&self, index: usize) -> Result<Document> {
        self.on_member(index, Server::hello).await
    }

    /// Makes the primary step down; returns who it was. No other member has to
    /// be caught up.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn step_down(&self, for_how_long: Duration) -> Result<usize> {
        let primary = self.primary().await?;
        let seconds = i64::try_from(for_how_long.as_secs())?;
        let command = doc! {
            "replSetStepDown": seconds,
            "secondaryCatchUpPeriodSecs": 0,
            "force": true,
        };
        self.admin(primary, command).await?;
        Ok(primary)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn kill(&self, index: usize) -> Result<()> {
        Ok(self.member(index)?.kill()?)
    }

    /// SIGSTOP: sockets stay open and silent.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn freeze(&self, index: usize) -> Result<()> {
        Ok(self.member(index)?.signal(Signal::Stop)?)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn thaw(&self, index: usize) -> Result<()> {
        Ok(self.member(index)?.signal(Signal::Continue)?)
    }

    /// Starts a member again on its port, stopping it first if it runs.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn restart(&self, index: usize) -> Result<()> {
        self.on_member(index, Server::restart).await
    }

    /// Does something that blocks to a member, beside the test's own tasks.
    async fn on_member<T: Send + 'static>(
        &self,
        index: usize,
        work: fn(&Server) -> Result<T, MongodError>,
    ) -> Result<T> {
        let set = Arc::clone(&self.set);
        Ok(blocking(move || work(set.member(index)?)).await??)
    }

    /// Sets a `failCommand` on one member. Name an `appName` in `data` on a
    /// shared cluster, or other tests meet it too.
    ///
    /// # Errors
    /// When the member refuses it.
    pub async fn fail_command(&self, index: usize, times: i32, data: Document) -> Result<()> {
        let command = doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": times },
            "data": data,
        };
        self.admin(index, command).await.map(drop)
    }

    /// Switches `failCommand` off.
    ///
    /// # Errors
    /// When the member refuses.
    pub async fn no_fail_command(&self, index: usize) -> Result<()> {
        let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.admin(index, command).await.map(drop)
    }

    /// Adds a user with the role root, with these mechanisms only.
    ///
    /// # Errors
    /// When the primary refuses.
    pub async fn add_user(&self, name: &str, password: &str, mechanisms: &[&str]) -> Result<()> {
        let command = doc! {
            "createUser": name,
            "pwd": password,
            "roles": ["root"],
            "mechanisms": mechanisms,
        };
        self.admin(self.primary().await?, command).await.map(drop)
    }

    /// Counts a member's connections from now on.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn counter(&self, index: usize) -> Result<Counter> {
        Counter::start(self.direct(index).await?).await
    }

    /// One member.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn member(&self, index: usize) -> Result<&Server> {
        Ok(self.set.member(index)?)
    }

    /// All members.
    pub fn members(&self) -> &[Server] {
        self.set.members()
    }

    /// Where clients find the members: their relays, if there are any.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.set.addresses()
    }

    /// The relay in front of a member of a cluster built with relays.
    ///
    /// # Errors
    /// When there is none.
    pub fn relay(&self, index: usize) -> Result<&Relay> {
        self.relays.get(index).context("built without relays")
    }

    /// The certificates of a cluster built with TLS.
    ///
    /// # Errors
    /// When it was built without.
    pub fn certificates(&self) -> Result<&Certificates> {
        self.certificates.as_ref().context("built without TLS")
    }

    /// Ends the servers with SIGTERM and waits for them.
    ///
    /// # Errors
    /// When one cannot be ended.
    pub async fn stop(&self) -> Result<()> {
        let set = Arc::clone(&self.set);
        Ok(blocking(move || set.stop()).await??)
    }
}

/// A name that no other test uses: for databases on shared clusters.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", bson::oid::ObjectId::new())
}
