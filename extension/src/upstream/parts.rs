//! A connection string in its parts.

/// The parts of a connection string, as written.
pub(super) struct Parts<'a> {
    pub(super) srv: bool,
    pub(super) login: Option<&'a str>,
    pub(super) hosts: &'a str,
    pub(super) database: &'a str,
    pub(super) options: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (srv, rest) = match text.strip_prefix("mongodb+srv://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("mongodb://")?),
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = match before.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, before),
        };
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let options = query.split('&').filter(|option| !option.is_empty());
        Some(Self {
            srv,
            login,
            hosts,
            database,
            options: options.collect(),
        })
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        let option = self.options.iter().find(|option| is_named(option, name))?;
        option.split_once('=').map(|(_, value)| value)
    }

    /// The options that say how its user logs in.
    pub(super) fn login_options(&self) -> Result<Vec<String>, String> {
        let source = self.option("authsource").unwrap_or(match self.database {
            // What an SRV record's TXT may say otherwise, Atlas says too.
            _ if self.srv => "admin",
            "" => "admin",
            database => database,
        });
        let mut options = vec![format!("authSource={source}")];
        match self.option("authmechanism") {
            None | Some("DEFAULT") => {}
            Some(scram) if scram.starts_with("SCRAM-") => {
                options.push(format!("authMechanism={scram}"));
            }
            Some(other) => {
                return Err(format!(
                    "the function's own string logs in by {other}, which the shared Weir does \
                     not take: write a user and a password into WEIR_SERVICE, as in \
                     mongodb://user:password@host:27017"
                ));
            }
        }
        Ok(options)
    }
}

/// Whether an option has this name, in any case.
pub(super) fn is_named(option: &str, name: &str) -> bool {
    let (own, _) = option.split_once('=').unwrap_or((option, ""));
    own.eq_ignore_ascii_case(name)
}
