//! No Weir ever has more sockets to a node than it may.

use std::time::Instant;

use anyhow::{Context, Result};

use super::disaster::Silence;
use super::place::{CAP, Place};
use super::report::Report;
use weir_tests::skip::skip;
use weir_tests::sockets::Peak;

/// Counts each Weir's sockets together with those that one before it has left behind. Beyond
/// the cap may be, in the kernel's table alone, what was given up towards a node that was
/// silent: nobody closes the other side.
///
/// Moments are told in seconds since the load `began`.
pub(super) fn check(
    places: &[Place],
    silences: &[Silence],
    report: &Report,
    began: Instant,
) -> Result<()> {
    for (number, place) in places.iter().enumerate() {
        let Some(maxima) = place.counted()? else {
            skip("the cap", "this system has no /proc/net/tcp");
            continue;
        };
        let held = maxima.most.values().map(|count| count.held).max();
        let held = held.context("no look")?;
        let (excused, wrong): (Vec<&Peak>, Vec<&Peak>) = maxima
            .peaks
            .iter()
            .partition(|peak| is_excused(peak, silences));
        println!(
            "at most {held} sockets of {CAP} held; {} of {} looks saw more with what was given \
             up towards a silent node",
            excused.len(),
            maxima.looks
        );
        if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
            let [from, until] = [first, last].map(|peak| peak.at.duration_since(began));
            report.violation(format!(
                "Weir {number}: {} looks beyond the cap from {from:.1?} to {until:.1?}, first {:?} \
                 to {}",
                wrong.len(),
                first.count,
                first.port
            ));
        }
    }
    Ok(())
}

fn is_excused(peak: &Peak, silences: &[Silence]) -> bool {
    let silent = |silence: &Silence| {
        silence.port == peak.port && (silence.from..=silence.until).contains(&peak.at)
    };
    peak.count.held <= CAP && silences.iter().any(silent)
}
