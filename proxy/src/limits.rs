//! How many files, and so sockets, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is tried in turn when the system does not grant its own hard limit, as
/// macOS does with "unlimited".
const FALLBACKS: [u64; 3] = [65_536, 10_240, 4_096];

/// Raises the soft limit as far as the system lets it and returns the limit
/// that holds now.
pub fn raise_open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = [now.maximum.unwrap_or(u64::MAX)]
        .into_iter()
        .chain(FALLBACKS)
        .filter(|&wanted| now.current.is_some_and(|current| wanted > current));
    for wanted in wanted {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_returned_holds_and_is_not_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let raised = raise_open_files();
        assert!(raised >= before);
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            raised
        );
    }
}
