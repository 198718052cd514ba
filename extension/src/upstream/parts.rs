//! A connection string in its parts.

/// Mechanisms that the shared Weir does not take, by the names of the servers' documentation.
const OTHERS: [&str; 6] = [
    "MONGODB-AWS",
    "MONGODB-X509",
    "GSSAPI",
    "PLAIN",
    "MONGODB-OIDC",
    "MONGODB-CR",
];

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
        let options = query.split(['&', ';']).filter(|option| !option.is_empty());
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

    /// The user and the password that its driver shows, decoded.
    pub(super) fn user(&self) -> Option<(String, String)> {
        let (name, password) = self.login?.split_once(':')?;
        Some((decoded(name)?, decoded(password)?))
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
        let mechanism = self.option("authmechanism").unwrap_or_default();
        let mechanism = mechanism.to_ascii_uppercase();
        match mechanism.as_str() {
            "" | "DEFAULT" => {}
            "SCRAM-SHA-1" | "SCRAM-SHA-256" => options.push(format!("authMechanism={mechanism}")),
            other => {
                // What nobody knows is not repeated: it may be anything.
                let known = OTHERS.iter().find(|known| **known == other);
                let known = known.copied().unwrap_or("another mechanism");
                return Err(format!(
                    "the function's own string logs in by {known}, which the shared Weir does \
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

/// Percent-decoded. `None`: it is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let code = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => behind.get(2..).unwrap_or_default(),
            None => behind,
        };
    }
    String::from_utf8(bytes).ok()
}
