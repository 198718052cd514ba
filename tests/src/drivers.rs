//! The drivers and their versions.

/// One driver in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// As people call it.
    pub name: &'static str,
    /// Its folder in `tests/drivers`.
    pub language: &'static str,
    /// As its registry writes it.
    pub version: &'static str,
    /// Whether it is the newest generation here.
    pub newest: bool,
}

/// All of them, in the order of the tables.
pub const DRIVERS: [Driver; 11] = [
    newest("PyMongo", "python", "4.20.0"),
    older("PyMongo", "python", "4.6.3"),
    newest("Node", "node", "7.9.0"),
    older("Node", "node", "6.22.0"),
    older("Node", "node", "5.9.2"),
    newest("Java", "java", "5.14.0"),
    older("Java", "java", "4.11.5"),
    newest("Go", "go", "2.9.3"),
    older("Go", "go", "1.17.10"),
    newest("Rust", "rust", "3.9.1"),
    newest("mongosh", "mongosh", "2.12.0"),
];

/// `db.serverStatus().connections`, as it is typed.
pub const SERVER_STATUS: &str = "server-status";

/// The newest version of the driver for this language; empty: there is none.
#[must_use]
pub fn newest_version(language: &str) -> &'static str {
    let mut newest = DRIVERS.iter().filter(|driver| driver.newest);
    newest
        .find(|driver| driver.language == language)
        .map_or("", |driver| driver.version)
}

const fn newest(name: &'static str, language: &'static str, version: &'static str) -> Driver {
    Driver {
        name,
        language,
        version,
        newest: true,
    }
}

const fn older(name: &'static str, language: &'static str, version: &'static str) -> Driver {
    Driver {
        newest: false,
        ..newest(name, language, version)
    }
}

impl Driver {
    /// Name and version.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Letters, digits and underscores: for databases and folders.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}_{}", self.language, self.version.replace('.', "_"))
    }

    /// Whether its program can tell what the driver did: the shell shows no events of the
    /// Node driver that it is made with.
    #[must_use]
    pub fn shows_events(&self) -> bool {
        self.language != "mongosh"
    }

    /// What no program of this driver could try, with the reason.
    #[must_use]
    pub fn not_applicable(&self, feature: &str) -> Option<String> {
        let shell = self.language == "mongosh";
        (feature == SERVER_STATUS && !shell).then(|| "a command of the shell".to_owned())
    }

    /// Whether a choice on the command line means this one: `python`, `Node` or `node-5.9.2`.
    #[must_use]
    pub fn is_meant_by(&self, choice: &str) -> bool {
        let choice = choice.to_lowercase();
        choice == self.language
            || choice == self.name.to_lowercase()
            || choice == format!("{}-{}", self.language, self.version)
    }
}

/// The chosen ones; all for no choice.
#[must_use]
pub fn chosen(choices: &[String]) -> Vec<Driver> {
    let meant = |driver: &&Driver| {
        choices.is_empty() || choices.iter().any(|choice| driver.is_meant_by(choice))
    };
    DRIVERS.iter().filter(meant).copied().collect()
}

/// The newest generation of each.
#[must_use]
pub fn newest_of_each() -> Vec<Driver> {
    DRIVERS.iter().filter(|each| each.newest).copied().collect()
}
