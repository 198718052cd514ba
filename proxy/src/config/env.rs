//! Where raw strings come from. The only file of the proxy that reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

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
