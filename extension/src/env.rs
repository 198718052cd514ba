//! The environment variables of this process. No other file reads them.

use weir_shim::settings;

/// All variables whose name and value are valid UTF-8.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    variables: Vec<(String, String)>,
    /// The file name of the program. Lambda knows the extension by it.
    pub(crate) name: String,
}

/// How Lambda uses this environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is frozen between invocations. The first invocation follows init immediately.
    OnDemand,
    /// It is frozen between invocations. The first invocation may follow init much later.
    Provisioned,
    /// It is copied after init. An invocation is the first sign that this is a copy.
    SnapStart,
    /// It is never frozen, and several invocations run in it at the same time. Lambda does not report
    /// them.
    Managed,
}

impl Env {
    /// Reads the variables of this process.
    pub(crate) fn read() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let program = std::env::args_os().next().unwrap_or_default();
        let file = std::path::Path::new(&program).file_name();
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            name: file.map_or_else(
                || "weir-extension".to_owned(),
                |name| name.to_string_lossy().into_owned(),
            ),
        }
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        settings::get(&self.variables, name).map(str::trim)
    }

    /// All variables, as they are written.
    pub(crate) fn all(&self) -> &[(String, String)] {
        &self.variables
    }

    /// How Lambda uses this environment.
    pub(crate) fn kind(&self) -> Kind {
        match self.get("AWS_LAMBDA_INITIALIZATION_TYPE") {
            Some("lambda-managed-instances") => Kind::Managed,
            _ if self.get("AWS_LAMBDA_MAX_CONCURRENCY").is_some() => Kind::Managed,
            Some("snap-start") => Kind::SnapStart,
            Some("provisioned-concurrency") => Kind::Provisioned,
            _ => Kind::OnDemand,
        }
    }

    /// The shim may leave this environment's strings as they are, by its percentage or its kill
    /// switch.
    pub(crate) fn may_be_passed_by(&self) -> bool {
        settings::may_pass_by(&self.variables)
    }

    /// How many invocations may run at the same time; at least 1.
    pub(crate) fn concurrency(&self) -> usize {
        let number = self.get("AWS_LAMBDA_MAX_CONCURRENCY");
        number.and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

#[cfg(test)]
impl<'a> FromIterator<(&'a str, &'a str)> for Env {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            variables: variables.into_iter().map(own).collect(),
            name: "weir-extension".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_that_the_shim_may_leave_are_known() {
        let may = |name, value| Env::from([(name, value)]).may_be_passed_by();
        for (value, expected) in [("1", true), ("No", false), ("", false), (" ", false)] {
            assert_eq!(may("WEIR_SHIM_OFF", value), expected, "{value}");
        }
        for (value, expected) in [("10", true), ("100 %", false), ("all", true)] {
            assert_eq!(may("WEIR_SHIM_PERCENT", value), expected, "{value}");
        }
        assert!(!Env::default().may_be_passed_by());
    }

    #[test]
    fn the_kind_of_environment_is_known() {
        let kind = |value| Env::from([("AWS_LAMBDA_INITIALIZATION_TYPE", value)]).kind();
        assert_eq!(kind("on-demand"), Kind::OnDemand);
        assert_eq!(kind("provisioned-concurrency"), Kind::Provisioned);
        assert_eq!(kind("snap-start"), Kind::SnapStart);
        assert_eq!(kind("lambda-managed-instances"), Kind::Managed);
        assert_eq!(kind("of-the-future"), Kind::OnDemand);
        assert_eq!(Env::default().kind(), Kind::OnDemand);
        let managed = Env::from([("AWS_LAMBDA_MAX_CONCURRENCY", "8")]);
        assert_eq!((managed.kind(), managed.concurrency()), (Kind::Managed, 8));
    }
}
