//! The nearest known name to a mistyped one.

/// The candidate at most two edits from `name`, nearest first; `None` if all are further.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace a character) that turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (deleted, left) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(deleted + 1);
        let pairs = row.iter().zip(row.iter().skip(1));
        for (right, (diagonal, above)) in to.chars().zip(pairs) {
            let replaced = diagonal + usize::from(left != right);
            let before = next.last().copied().unwrap_or_default();
            next.push(replaced.min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
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
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
