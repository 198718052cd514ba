//! Emf as CloudWatch metrics. Each report is one line of JSON on standard output. CloudWatch
//! Logs turns such lines into metrics (*embedded metric format*).

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};
use weir::Tally;

/// Counts invocations, operations and refusals since the last report.
#[derive(Debug)]
pub(crate) struct Emf {
    namespace: String,
    function: String,
    invocations: usize,
    reported: Tally,
}

impl Emf {
    pub(crate) fn new(namespace: &str, function: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            function: function.to_owned(),
            invocations: 0,
            reported: Tally::default(),
        }
    }

    /// Counts one invocation.
    pub(crate) const fn invoked(&mut self) {
        self.invocations += 1;
    }

    /// Writes the counts since the last report. Writes nothing if all of them are zero.
    pub(crate) fn report(&mut self, tally: Tally, now: Duration) {
        if let Some(line) = self.line(tally, now) {
            // Standard output may be closed. The extension goes on without metrics.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }

    fn line(&mut self, tally: Tally, now: Duration) -> Option<Value> {
        let before = std::mem::replace(&mut self.reported, tally);
        let invocations = std::mem::take(&mut self.invocations);
        let refused = self.reported.refused.iter().map(|(cause, count)| {
            let known = before.refused.iter().find(|(known, _)| known == cause);
            (
                *cause,
                count.saturating_sub(known.map_or(0, |(_, count)| *count)),
            )
        });
        let causes: Vec<_> = refused.filter(|(_, count)| *count > 0).collect();
        let operations = self.reported.operations.saturating_sub(before.operations);
        if operations == 0 && invocations == 0 && causes.is_empty() {
            return None;
        }
        let metrics = [
            ("Invocations", invocations),
            ("Operations", operations),
            ("Refused", causes.iter().map(|(_, count)| count).sum()),
            ("UpstreamConnections", self.reported.connections),
        ];
        let named = metrics.map(|(name, _)| json!({ "Name": name, "Unit": "Count" }));
        let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": milliseconds,
                "CloudWatchMetrics": [{
                    "Namespace": self.namespace,
                    "Dimensions": [["FunctionName"]],
                    "Metrics": named,
                }],
            }),
        );
        line.insert("FunctionName".to_owned(), self.function.clone().into());
        for (name, value) in metrics {
            line.insert(name.to_owned(), value.into());
        }
        if !causes.is_empty() {
            let causes: Map<_, _> = causes
                .into_iter()
                .map(|(cause, count)| (cause.to_owned(), Value::from(count)))
                .collect();
            line.insert("refusedByCause".to_owned(), causes.into());
        }
        Some(Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_700_000_000_123);

    fn tally(operations: usize, deadline: usize) -> Tally {
        Tally {
            operations,
            refused: vec![("deadline", deadline), ("no_node", 0)],
            connections: 1,
        }
    }

    #[test]
    fn a_report_counts_from_the_last_one() {
        let mut counters = Emf::new("Weir", "exam");
        assert_eq!(counters.line(tally(0, 0), NOW), None, "nothing was done");
        counters.invoked();
        counters.invoked();
        let line = counters.line(tally(7, 1), NOW).unwrap();
        assert_eq!(line["Operations"], 7);
        assert_eq!(line["Invocations"], 2);
        assert_eq!(line["Refused"], 1);
        assert_eq!(line["refusedByCause"], json!({ "deadline": 1 }));
        let line = counters.line(tally(9, 1), NOW).unwrap();
        assert_eq!(
            (&line["Operations"], &line["Refused"]),
            (&json!(2), &json!(0))
        );
    }

    /// The rules of the embedded metric format that CloudWatch holds lines to.
    #[test]
    fn a_report_is_in_cloudwatchs_format() {
        let mut counters = Emf::new("Weir", "exam");
        let line = counters.line(tally(7, 0), NOW).unwrap();
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_123_u64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Weir");
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{line}");
        }
        assert!(!line.to_string().contains('\n'));
    }
}
