//! The layers in their order of precedence: flag, environment, file. Raw strings only.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::config::env::Strings;
use crate::config::file::{File, Values};
use crate::config::settings::{Form, SETTINGS, Scope, Setting, name};
use crate::config::{Origin, Problem, spelling};

/// What the command line says: setting (by its flag) → its values.
#[derive(Clone, Default)]
pub struct Flags(BTreeMap<&'static str, Vec<String>>);

impl Flags {
    /// Notes the values of a flag of the settings table.
    pub fn set(&mut self, flag: &'static str, values: Vec<String>) {
        self.0.insert(flag, values);
    }

    /// The same, for building flags in code.
    #[must_use]
    pub fn with(mut self, flag: &'static str, value: impl Into<String>) -> Self {
        self.set(flag, vec![value.into()]);
        self
    }

    fn get(&self, flag: &str) -> Option<&Vec<String>> {
        self.0.get(flag)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The winning raw values of one scope: setting (by its flag) → value and origin.
#[derive(Default)]
pub struct Layered {
    values: BTreeMap<&'static str, Given>,
}

/// A raw value and where it came from.
pub struct Given {
    /// One text, or several for a list.
    pub texts: Vec<String>,
    /// Where to correct it.
    pub origin: Origin,
}

impl Layered {
    /// What was given for a setting.
    pub fn get(&self, flag: &str) -> Option<&Given> {
        self.values.get(flag)
    }
}

/// All layers merged, not yet parsed.
pub struct Raw {
    /// Settings of the process.
    pub process: Layered,
    /// At least one.
    pub listeners: Vec<RawListener>,
    /// Variables that look like misspelt settings.
    pub warnings: Vec<String>,
}

/// One listener's settings.
pub struct RawListener {
    /// Its name in the file.
    pub name: Option<String>,
    /// Its settings.
    pub values: Layered,
}

impl Raw {
    /// Merges the layers. `read` opens the configuration file.
    pub fn gather(
        flags: &Flags,
        strings: &impl Strings,
        read: impl Fn(&str) -> io::Result<String>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let above = Above::read(flags, strings, problems);
        let file = above.file(read, problems);
        above.check_one_listener(&file, problems);

        let merge = |per_listener: bool, layers: &[&Values]| Layered {
            values: SETTINGS
                .iter()
                .filter(|setting| setting.is_per_listener() == per_listener)
                .filter_map(|setting| Some((setting.flag, above.given(setting, layers)?)))
                .collect(),
        };
        let mut listeners: Vec<RawListener> = file
            .listeners
            .iter()
            .map(|listener| RawListener {
                name: listener.name.clone(),
                values: merge(true, &[&listener.values, &file.top]),
            })
            .collect();
        if listeners.is_empty() {
            listeners.push(RawListener {
                name: None,
                values: merge(true, &[&file.top]),
            });
        }
        Self {
            process: merge(false, &[&file.top]),
            listeners,
            warnings: misspelt(strings),
        }
    }
}

/// The layers above the file.
struct Above<'a> {
    flags: &'a Flags,
    variables: BTreeMap<&'static str, String>,
}

impl<'a> Above<'a> {
    /// Reads every variable once. An empty one counts as unset: templates write those.
    fn read(flags: &'a Flags, strings: &impl Strings, problems: &mut Vec<Problem>) -> Self {
        let mut variables = BTreeMap::new();
        for setting in SETTINGS {
            match strings.get(setting.variable) {
                Ok(Some(value)) if !value.is_empty() => {
                    variables.insert(setting.flag, value);
                }
                Ok(_) => {}
                Err(error) => problems.push(Problem::new(
                    setting.variable,
                    error.to_string(),
                    "set it to plain text",
                )),
            }
        }
        Self { flags, variables }
    }

    fn file(&self, read: impl Fn(&str) -> io::Result<String>, problems: &mut Vec<Problem>) -> File {
        let config = SETTINGS.iter().find(|setting| setting.flag == name::CONFIG);
        let Some(given) = config.and_then(|setting| self.given(setting, &[])) else {
            return File::default();
        };
        let path = given.texts.first().map_or("", String::as_str);
        match read(path) {
            Ok(text) => File::parse(path, &text, problems),
            Err(error) => {
                problems.push(Problem::new(
                    given.origin,
                    format!("the file {path} cannot be read: {error}"),
                    "correct the path, or make the file readable for this user",
                ));
                File::default()
            }
        }
    }

    /// The first layer that says something about `setting`.
    fn given(&self, setting: &Setting, layers: &[&Values]) -> Option<Given> {
        let split = |texts: Vec<String>| match setting.form {
            Form::List(_) => texts
                .iter()
                .flat_map(|text| text.split(','))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
                .collect(),
            _ => texts,
        };
        if let Some(texts) = self.flags.get(setting.flag) {
            return Some(Given {
                texts: split(texts.clone()),
                origin: Origin::Flag(setting.flag),
            });
        }
        if let Some(text) = self.variables.get(setting.flag) {
            return Some(Given {
                texts: split(vec![text.clone()]),
                origin: Origin::Variable(setting.variable),
            });
        }
        layers
            .iter()
            .find_map(|layer| layer.get(setting.flag))
            .map(|(texts, origin)| Given {
                texts: texts.clone(),
                origin: origin.clone(),
            })
    }

    /// With several listeners, neither flag nor variable nor top-level key can say which upstream
    /// or address belongs to which.
    fn check_one_listener(&self, file: &File, problems: &mut Vec<Problem>) {
        let listeners = file.listeners.len();
        if listeners < 2 {
            return;
        }
        for setting in SETTINGS
            .iter()
            .filter(|setting| setting.scope == Scope::OneListener)
        {
            if let Some(given) = self.given(setting, &[&file.top]) {
                problems.push(Problem::new(
                    given.origin,
                    format!("is one value, but the file has {listeners} listeners"),
                    format!(
                        "remove it and write {} into each [[listener]]",
                        setting.key.unwrap_or_default()
                    ),
                ));
            }
        }
    }
}

/// Names in the environment that are nearly those of settings.
fn misspelt(strings: &impl Strings) -> Vec<String> {
    let known = || SETTINGS.iter().map(|setting| setting.variable);
    strings
        .names("WEIR_")
        .into_iter()
        .filter(|name| known().all(|known| known != name))
        .filter_map(|name| {
            let near = spelling::nearest(&name, known())?;
            Some(format!("{name} is no setting; did you mean {near}?"))
        })
        .collect()
}
