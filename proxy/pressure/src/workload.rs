//! The messages that clients send, built once.

use bson::{RawDocumentBuf, rawdoc};

use crate::args::{Namespace, Scenario};
use crate::dataset::{self, Dataset};
use weir_kit::messages::{message, message_with};
use weir_kit::random::Random;

/// In `mixed`, one operation in so many is a page.
const PAGE_EVERY: u64 = 10;
/// With `--write`, one operation in so many is an update.
const WRITE_EVERY: u64 = 4;
/// Documents in one batch of a page.
const BATCH: i32 = 100;

/// What one operation asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// One message, one answer.
    Once(Vec<u8>),
    /// A cursor's first batch; the second follows.
    Page(Vec<u8>),
}

/// Everything that may be asked.
pub(super) struct Workload {
    scenario: Scenario,
    reads: Vec<Vec<u8>>,
    page: Option<(Vec<u8>, Namespace)>,
    writes: Vec<Vec<u8>>,
}

impl Workload {
    /// What clients ask in `scenario` on this dataset.
    pub(super) fn new(scenario: Scenario, dataset: &Dataset) -> Self {
        let (reads, page) = match &dataset.place {
            None => (vec![message(&rawdoc! { "ping": 1, "$db": "admin" })], None),
            Some(place) => {
                let finds = dataset.ids.iter().map(|id| find(place, id));
                (finds.collect(), Some((page(place), place.clone())))
            }
        };
        let writes = if dataset.writes {
            (0..dataset::DOCUMENTS).map(increment).collect()
        } else {
            Vec::new()
        };
        Self {
            scenario,
            reads,
            page: page.filter(|_| scenario == Scenario::Mixed),
            writes,
        }
    }

    /// The next operation of a client.
    pub(super) fn next(&self, random: &mut Random) -> Ask {
        let draw = random.number();
        if !self.writes.is_empty() && draw.is_multiple_of(WRITE_EVERY) {
            return Ask::Once(pick(&self.writes, random));
        }
        match &self.page {
            Some((page, _)) if (draw >> 8).is_multiple_of(PAGE_EVERY) => Ask::Page(page.clone()),
            _ => Ask::Once(pick(&self.reads, random)),
        }
    }

    /// Asks for the second batch of a page.
    pub(super) fn more(&self, cursor: i64) -> Option<Vec<u8>> {
        let (_, place) = self.page.as_ref()?;
        Some(message(&rawdoc! {
            "getMore": cursor,
            "collection": place.collection.as_str(),
            "batchSize": BATCH,
            "$db": place.database.as_str(),
        }))
    }

    /// What the clients do.
    pub(super) fn scenario(&self) -> Scenario {
        self.scenario
    }
}

fn pick(messages: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let count = u64::try_from(messages.len()).unwrap_or(1).max(1);
    let at = usize::try_from(random.number() % count).unwrap_or(0);
    messages.get(at).cloned().unwrap_or_default()
}

fn find(place: &Namespace, id: &RawDocumentBuf) -> Vec<u8> {
    message(&rawdoc! {
        "find": place.collection.as_str(),
        "filter": id.clone(),
        "limit": 1,
        "singleBatch": true,
        "$db": place.database.as_str(),
    })
}

fn page(place: &Namespace) -> Vec<u8> {
    message(&rawdoc! {
        "find": place.collection.as_str(),
        "projection": { "_id": 1 },
        "batchSize": BATCH,
        "limit": 2 * BATCH,
        "$db": place.database.as_str(),
    })
}

fn increment(id: i32) -> Vec<u8> {
    message_with(
        &rawdoc! { "update": dataset::COLLECTION, "ordered": true, "$db": dataset::DATABASE },
        "updates",
        &[rawdoc! { "q": { "_id": id }, "u": { "$inc": { "n": 1 } } }],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir::wire::op_msg::OpMsg;
    use weir::wire::raw;

    fn dataset(writes: bool) -> Dataset {
        Dataset {
            place: Some(Namespace {
                database: "shop".to_owned(),
                collection: "orders".to_owned(),
            }),
            documents: 1,
            ids: vec![rawdoc! { "_id": { "year": 2024, "number": 7 } }],
            writes,
            remarks: Vec::new(),
        }
    }

    fn name(message: &[u8]) -> String {
        let parsed = OpMsg::parse(message).unwrap();
        let body = &message[parsed.body];
        let first = raw::elements(body).next().unwrap().unwrap();
        String::from_utf8_lossy(first.key).into_owned()
    }

    fn names(workload: &Workload) -> Vec<String> {
        let mut random = Random::for_student(1, 1);
        let asks = (0..1_000).map(|_| match workload.next(&mut random) {
            Ask::Once(message) => name(&message),
            Ask::Page(message) => format!("page {}", name(&message)),
        });
        asks.collect()
    }

    #[test]
    fn reads_only_means_reads_only() {
        for scenario in [Scenario::Steady, Scenario::Mixed, Scenario::Exam] {
            let names = names(&Workload::new(scenario, &dataset(false)));
            assert!(names.iter().all(|name| name.ends_with("find")), "{names:?}");
            let pages = names.iter().filter(|name| name.starts_with("page")).count();
            let expected = if scenario == Scenario::Mixed {
                60..140
            } else {
                0..1
            };
            assert!(expected.contains(&pages), "{pages} pages in {scenario:?}");
        }
    }

    #[test]
    fn a_quarter_of_all_are_updates_where_writing_is_allowed() {
        let names = names(&Workload::new(Scenario::Steady, &dataset(true)));
        let updates = names.iter().filter(|name| *name == "update").count();
        assert!((200..300).contains(&updates), "{updates} of 1000");
    }

    #[test]
    fn any_id_is_asked_for_as_it_is_stored() {
        let workload = Workload::new(Scenario::Steady, &dataset(false));
        let message = &workload.reads[0];
        let parsed = OpMsg::parse(message).unwrap();
        let filter = raw::find(&message[parsed.body], b"filter").unwrap();
        let expected = rawdoc! { "_id": { "year": 2024, "number": 7 } };
        assert_eq!(filter.as_document(), Some(expected.as_bytes()));
    }

    #[test]
    fn without_data_a_ping_is_asked() {
        let bare = Dataset {
            place: None,
            ids: Vec::new(),
            ..dataset(false)
        };
        let names = names(&Workload::new(Scenario::Mixed, &bare));
        assert!(names.iter().all(|name| name == "ping"));
    }
}
