//! The nearest known name to a mistyped one.

use strsim::levenshtein;

/// The candidate at most two edits from `name`, nearest first; `None` if all are further.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_near_and_leaves_the_far() {
        let known = || ["queue_depth", "queue_timeout", "listen"].into_iter();
        assert_eq!(nearest("queue_dept", known()), Some("queue_depth"));
        assert_eq!(nearest("lisen", known()), Some("listen"));
        assert_eq!(nearest("timeout", known()), None);
    }
}
