//! Where raw strings come from. The only file of the proxy that reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A source of named strings: the process environment, or a map in tests.
pub trait Strings {
    /// The value of `name`.
    ///
    /// # Errors
    /// [`NotUnicode`] when the variable is set to bytes that are not UTF-8.
    fn get(&self, name: &str) -> Result<Option<String>, NotUnicode>;

    /// All names that begin with `prefix`, sorted.
    fn names(&self, prefix: &str) -> Vec<String>;
}

/// A variable holds bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its value is not valid UTF-8")]
pub struct NotUnicode;

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Strings for ProcessEnvironment {
    fn get(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        std::env::var_os(name)
            .map(OsString::into_string)
            .transpose()
            .map_err(|_| NotUnicode)
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        Ok(BTreeMap::get(self, name).cloned())
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.keys()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect()
    }
}

/// The command line of this process, the program's name first.
pub fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os()
}

/// What the environment says. Handed in to whoever needs it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$WEIR_MONGOD`.
    pub mongod: Option<PathBuf>,
    /// `$PATH`.
    pub path: Option<OsString>,
    /// The running program; its cargo target folder is the cache in a checkout.
    pub program: Option<PathBuf>,
    /// `$XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// Where temporary files go: `$TMPDIR` or `/tmp`.
    pub temporary: PathBuf,
}

/// What the environment decides.
#[derive(Clone, Debug, Default)]
pub struct DemoSetting {
    /// Where a `mongod` may be found or put.
    pub surroundings: Surroundings,
    /// No colour: `NO_COLOR` is set, or the terminal is dumb.
    pub plain: bool,
}

/// What the demo and the tests ask the environment.
pub fn demo_setting() -> DemoSetting {
    let path = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    let is = |name: &str, wanted: fn(&OsString) -> bool| {
        std::env::var_os(name).is_some_and(|v| wanted(&v))
    };
    DemoSetting {
        surroundings: Surroundings {
            mongod: path("WEIR_MONGOD"),
            path: std::env::var_os("PATH"),
            program: std::env::current_exe().ok(),
            cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME"),
            temporary: std::env::temp_dir(),
        },
        plain: is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb"),
    }
}

/// Whether this is a function environment (AWS Lambda), where drivers poll instead of streaming
/// their monitoring: a stream would break at every freeze.
pub fn is_function_environment(strings: &impl Strings) -> bool {
    let set = |name: &str| matches!(strings.get(name), Ok(Some(value)) if !value.is_empty());
    let lambda = matches!(
        strings.get("AWS_EXECUTION_ENV"),
        Ok(Some(value)) if value.starts_with("AWS_Lambda_")
    );
    lambda || set("AWS_LAMBDA_RUNTIME_API")
}
