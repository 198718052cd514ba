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
    open_files()
}

/// Files that Weir may need in addition to clients and connections: listeners, logs, look-ups.
const SPARE_FILES: u64 = 64;

/// How many files may be open now.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many clients so many files allow, when so many sockets of Weir's own are to be had at
/// any time: without one an election could not be survived. Half of the files at least.
#[must_use]
pub fn clients_within(files: u64, own_sockets: usize) -> usize {
    let own = u64::try_from(own_sockets).unwrap_or(u64::MAX);
    let left = files.saturating_sub(own.saturating_add(SPARE_FILES));
    usize::try_from(left.max(files / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_files_to_the_upstream() {
        assert_eq!(clients_within(1_024, 60), 900);
        assert_eq!(clients_within(100, 60), 50, "too few for all");
        assert_eq!(clients_within(u64::MAX, 60), usize::MAX - 124);
    }

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
