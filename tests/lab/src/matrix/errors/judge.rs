//! Comparing what a driver did with what it was meant to do.

use serde_json::Value;

use super::expected::{Expected, expected};
use super::face::Rehearsal;
use super::{Case, Fault};

/// Our own errors stall nobody; unrewritten ones do, for 10 s.
const STALL_MS: u64 = 5_000;
/// A client that is moved is served again by then.
const MOVED_MS: u64 = 2_000;

/// What the program reported.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Whether the application saw success.
    pub ok: bool,
    /// The error's code.
    pub code: Option<i64>,
    /// The error's labels.
    pub labels: Vec<String>,
    /// Whether the driver calls it a network error.
    pub network: bool,
    /// How often the command was sent, by the driver's own count.
    pub attempts: u64,
    /// How often the transaction's body ran.
    pub bodies: u64,
    /// Pools cleared.
    pub cleared: u64,
    /// How often the address became Unknown.
    pub unknown: u64,
    /// How long it took.
    pub ms: u64,
    /// The error's text.
    pub message: String,
}

/// A driver's answer to a case.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it reported; `None` when the case was not for it.
    pub probe: Option<Probe>,
    /// How often the face received the command.
    pub sent: usize,
    /// What it was meant to do.
    pub expected: Expected,
    /// In what it disagrees.
    pub wrong: Vec<String>,
}

impl Answer {
    /// Of a driver that said nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            probe: None,
            sent: 0,
            expected: Expected::Anything,
            wrong: vec!["the program said nothing about it".to_owned()],
        }
    }

    /// In a table.
    #[must_use]
    pub fn words(&self) -> String {
        let Some(probe) = &self.probe else {
            return "–".to_owned();
        };
        let mut words = if probe.ok {
            match (self.sent, probe.bodies) {
                (_, 2..) => format!("body ran {} times", probe.bodies),
                _ if self.expected == Expected::PassOver => "passed over".to_owned(),
                (1, _) => "ok, sent once".to_owned(),
                (sent, _) => format!("ok, sent {sent} times"),
            }
        } else {
            let code = match probe.code {
                _ if probe.network => "network error".to_owned(),
                Some(code) => code.to_string(),
                None => "error without a code".to_owned(),
            };
            let times = if self.sent == 1 {
                String::new()
            } else {
                format!(" after {} times", self.sent)
            };
            format!("surfaced {code}{}{times}", initials(&probe.labels))
        };
        if probe.cleared > 0 {
            words.push_str(", pool cleared");
        }
        if probe.unknown > 0 {
            words.push_str(", Unknown");
        }
        format!("{words}, {}", duration(probe.ms))
    }
}

fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

/// Labels as the table of the protocol abbreviates them.
fn initials(labels: &[String]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let each = labels.iter().map(|label| {
        let capitals: String = label.chars().filter(char::is_ascii_uppercase).collect();
        capitals
    });
    format!(" [{}]", each.collect::<Vec<_>>().join(" "))
}

/// Reads a program's line and judges it.
pub(super) fn judge(case: &Case, line: &Value, rehearsal: &Rehearsal) -> Answer {
    let backpressure = rehearsal.announced_backpressure();
    let sent = rehearsal.sent();
    if !case.row.is_sent_to(backpressure) {
        return Answer {
            probe: None,
            sent,
            expected: Expected::Anything,
            wrong: Vec::new(),
        };
    }
    let probe = read(line);
    let expected = expected(case.row, case.class, backpressure);
    let mut wrong = Vec::new();
    if expected != Expected::Anything {
        compare(case, expected, &probe, sent, &mut wrong);
        side_effects(case, &probe, sent, rehearsal, &mut wrong);
    }
    Answer {
        probe: Some(probe),
        sent,
        expected,
        wrong,
    }
}

fn read(line: &Value) -> Probe {
    let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or(0);
    let labels = line.get("labels").and_then(Value::as_array).into_iter();
    let labels = labels.flatten().filter_map(Value::as_str);
    let message = line.get("message").and_then(Value::as_str);
    Probe {
        ok: line.get("outcome").and_then(Value::as_str) == Some("ok"),
        code: line.get("code").and_then(Value::as_i64),
        labels: labels.map(str::to_owned).collect(),
        network: line.get("network").and_then(Value::as_bool) == Some(true),
        attempts: number("attempts"),
        bodies: number("bodies"),
        cleared: number("poolCleared"),
        unknown: number("unknown"),
        ms: number("ms"),
        message: message.unwrap_or_default().to_owned(),
    }
}

fn compare(case: &Case, expected: Expected, probe: &Probe, sent: usize, wrong: &mut Vec<String>) {
    let bodies = match (case.class, expected) {
        (_, Expected::BodyAgain) => 2,
        ("TXW" | "CMW", _) => 1,
        _ => 0,
    };
    if probe.bodies != bodies {
        wrong.push(format!("the body ran {} times, not {bodies}", probe.bodies));
    }
    let (ok, times) = match expected {
        // The faulty one, its repetition, and one for the last document.
        Expected::Retry if case.class == "GM" => (true, 3..=3),
        Expected::Retry | Expected::BodyAgain | Expected::Resume => (true, 2..=2),
        Expected::GoOn => (true, 1..=2),
        Expected::PassOver => (true, 1..=1),
        Expected::Surface | Expected::Anything => (false, 1..=1),
    };
    if probe.ok != ok {
        let did = if probe.ok { "succeeded" } else { "surfaced" };
        let message = &probe.message;
        wrong.push(format!("{did}, meant to {} {message}", expected.words()));
    }
    if !times.contains(&sent) {
        wrong.push(format!("sent {sent} times, meant to {}", expected.words()));
    }
    if expected == Expected::Surface && !probe.ok {
        surfaced(case, probe, wrong);
    }
}

/// The application gets the code and the labels that were sent.
fn surfaced(case: &Case, probe: &Probe, wrong: &mut Vec<String>) {
    let Some(error) = case.row.error(case.class) else {
        if !probe.network {
            wrong.push(format!("not called a network error: {}", probe.message));
        }
        return;
    };
    if probe.code != Some(i64::from(error.code)) {
        wrong.push(format!(
            "surfaced {:?} instead of {}",
            probe.code, error.code
        ));
    }
    for label in error.labels.names() {
        if !probe.labels.iter().any(|found| found == label) {
            wrong.push(format!("surfaced without {label}"));
        }
    }
}

fn side_effects(
    case: &Case,
    probe: &Probe,
    sent: usize,
    rehearsal: &Rehearsal,
    wrong: &mut Vec<String>,
) {
    if !case.row.moves_the_client() {
        if probe.cleared > 0 {
            wrong.push(format!("cleared its pool {} times", probe.cleared));
        }
        if probe.unknown > 0 {
            wrong.push("marked the address Unknown".to_owned());
        }
    }
    let limit = if case.row.fault == Fault::Leaving {
        MOVED_MS
    } else {
        STALL_MS
    };
    if probe.ms > limit {
        wrong.push(format!("took {} ms, more than {limit}", probe.ms));
    }
    if usize::try_from(probe.attempts).ok() != Some(sent) {
        let counted = probe.attempts;
        wrong.push(format!("the driver counted {counted}, the face {sent}"));
    }
    if !rehearsal.was_met() {
        wrong.push("the fault was never met".to_owned());
    }
}
