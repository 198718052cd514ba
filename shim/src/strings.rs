//! Which variables, and which keys of a JSON object in one, hold connection strings. Pure.

use crate::json;
use crate::settings::{Environment, NEXT_WRAPPER, OWN};
use crate::uri::is_connection_string;

/// The connection strings that a variable holds: all of it, or values of a JSON object at any
/// depth.
#[must_use]
pub fn in_value(value: &str) -> Vec<String> {
    if is_connection_string(value) {
        return vec![value.to_owned()];
    }
    inside(value).into_iter().map(|text| text.value).collect()
}

/// The connection strings among the values of a JSON object.
pub(crate) fn inside(value: &str) -> Vec<json::Text> {
    let mut found = json::strings(value);
    found.retain(|text| is_connection_string(&text.value));
    found
}

/// The variables that are looked at: those that `named` names, or all that are not Weir's own.
pub fn looked_at<'a>(
    environment: &'a Environment,
    named: Option<&'a [String]>,
) -> impl Iterator<Item = &'a (String, String)> {
    environment.iter().filter(move |(name, _)| match named {
        Some(names) => names.contains(name),
        None => !name.starts_with(OWN) && name != NEXT_WRAPPER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_in_secrets_that_people_write() {
        let uri = "mongodb://h/";
        for value in [
            uri.to_owned(),
            format!(r#"{{"uri": "{uri}"}}"#),
            // A comma too many is a common slip, and nothing is unclear about it.
            format!(r#"{{"uri": "{uri}",}}"#),
            format!(r#"{{"a": [{{"b": "{uri}"}}], "n": 1}}"#),
        ] {
            assert_eq!(in_value(&value), [uri], "{value}");
        }
        for value in [
            "",
            "h",
            r#"["mongodb://h/"]"#,
            r#"{"uri": "see mongodb://h/"}"#,
        ] {
            assert!(in_value(value).is_empty(), "{value}");
        }
    }
}
