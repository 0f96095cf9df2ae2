//! A finished run as text.

use std::fmt::Write as _;

use super::outcome::Outcome;
use crate::generator::Pacing;
use crate::latency::{Latency, QUANTILES};
use crate::units::{show_count, show_ns, show_rate};

/// The heads of the percentile columns, in the order of [`QUANTILES`].
pub const HEADS: [&str; 5] = ["p50", "p90", "p99", "p99.9", "p99.99"];

/// The run in words: what was asked, the table of times, and the lines below it.
pub fn text(outcome: &Outcome) -> String {
    let mut text = format!("\n{}\n{}\n\n", title(outcome), load(outcome));
    let _ = write!(text, "{:<15}", "");
    HEADS.iter().chain(&["max"]).for_each(|head| {
        let _ = write!(text, "{head:>10}");
    });
    text.push('\n');
    for (name, latency) in times(outcome) {
        let _ = write!(text, "{name:<15}");
        for cell in cells(latency) {
            let _ = write!(text, "{cell:>10}");
        }
        text.push('\n');
    }
    text.push('\n');
    for (name, words) in lines(outcome) {
        let _ = writeln!(text, "{name:<15}{words}");
    }
    let _ = writeln!(text, "{:<15}{}", "verdict", verdict(outcome));
    for reason in &outcome.verdict.reasons {
        let _ = writeln!(text, "{:<15}- {reason}", "");
    }
    text
}

/// What was run against what.
pub fn title(outcome: &Outcome) -> String {
    format!("{} of {} at {}", outcome.scenario, outcome.server, outcome.target)
}

/// What was asked of the generator.
pub fn load(outcome: &Outcome) -> String {
    let options = &outcome.options;
    let pacing = match outcome.pacing {
        Pacing::Rate(rate) => {
            format!("open loop at {}/s (Poisson, seed {})", show_rate(rate), options.seed)
        }
        Pacing::Max => format!(
            "closed loop with {} in flight on each (its latencies leave out what users would wait)",
            options.in_flight
        ),
    };
    format!(
        "{} on {} connections, {pacing}, {:?} after {:?} of warm-up",
        options.protocol.describe(options.payload_bytes),
        show_count(options.connections as u64),
        outcome.duration,
        outcome.warm_up,
    )
}

/// The rows of the table.
pub fn times(outcome: &Outcome) -> [(&'static str, &Latency); 3] {
    let slice = &outcome.slice;
    [
        ("response time", &slice.response),
        ("service time", &slice.service),
        ("send lag", &slice.send_lag),
    ]
}

/// The cells of a row: percentiles that may be told, and the longest.
pub fn cells(latency: &Latency) -> Vec<String> {
    let tell = |ns: Option<u64>| ns.map_or("-".to_owned(), show_ns);
    let quantiles = QUANTILES.iter().map(|&(_, quantile)| tell(latency.quantile(quantile)));
    quantiles.chain([tell(latency.max())]).collect()
}

/// The lines below the table, each with its name.
pub fn lines(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut lines = vec![("rate", rate(outcome)), ("requests", requests(outcome))];
    let errors = &outcome.slice.errors;
    if errors.total() > 0 {
        let kinds: Vec<String> = errors
            .kinds()
            .into_iter()
            .filter(|&(_, count)| count > 0)
            .map(|(kind, count)| format!("{kind} {}", show_count(count)))
            .collect();
        lines.push(("errors", format!("{}: {}", show_count(errors.total()), kinds.join(", "))));
        lines.extend(errors.sentences.iter().map(|sentence| ("", sentence.clone())));
    } else {
        lines.push(("errors", "none; every reply was compared whole".into()));
    }
    lines.push(("CPU a request", cpu(outcome)));
    lines
}

/// The verdict in a word.
pub fn verdict(outcome: &Outcome) -> &'static str {
    match (outcome.verdict.is_trustworthy, outcome.pacing) {
        (true, Pacing::Rate(_)) => "trustworthy",
        (true, Pacing::Max) => "the server's maximum",
        (false, _) => "NOT TRUSTWORTHY",
    }
}

fn rate(outcome: &Outcome) -> String {
    let achieved = show_rate(outcome.slice.achieved());
    let Some(target) = outcome.target_rate() else {
        let bound = if outcome.verdict.is_generator_bound { " (generator-bound)" } else { "" };
        return format!("{achieved}/s{bound}");
    };
    let mut words = format!("{achieved}/s of {}/s asked for", show_rate(target));
    if let Some(max) = outcome.calibrated_max {
        let _ =
            write!(words, ", which is half of the {}/s that a calibration found", show_rate(max));
    }
    words
}

fn requests(outcome: &Outcome) -> String {
    let slice = &outcome.slice;
    let mut words =
        format!("{} answered of {} due", show_count(slice.answered), show_count(slice.due));
    if slice.delayed > 0 {
        let _ = write!(
            words,
            "; {} waited for room on their connection (the wait is part of their response time)",
            show_count(slice.delayed)
        );
    }
    words
}

fn cpu(outcome: &Outcome) -> String {
    let show = |ns: Option<f64>| ns.map_or("unknown".to_owned(), |ns| show_ns(ns.round() as u64));
    let share = |ns: u64| {
        let wall = outcome.slice.wall.as_nanos().max(1) as f64;
        format!("{:.0} % busy", ns as f64 / wall * 100.0)
    };
    let mut words = format!("server {}", show(outcome.server_ns_per_request()));
    if let Some(server) = outcome.server_cpu {
        let _ = write!(words, " ({})", share(server.run_ns));
    }
    let _ = write!(
        words,
        ", generator {} ({})",
        show(outcome.generator_ns_per_request()),
        share(outcome.slice.work_ns())
    );
    words
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_table_has_its_rows_and_a_dash_for_what_is_chance() {
        let text = text(&outcome(1000));
        for words in ["response time", "service time", "send lag", "p99.99", "trustworthy", "quiet"]
        {
            assert!(text.contains(words), "{words} in {text}");
        }
        let row = text.lines().find(|line| line.starts_with("response")).expect("the row");
        assert_eq!(row.split_whitespace().filter(|&cell| cell == "-").count(), 2, "{row}");
        assert!(text.contains("server 8.00 us"), "{text}");
    }

    #[test]
    fn errors_are_told_by_kind_and_in_words() {
        let mut outcome = outcome(10);
        outcome.slice.errors.mismatch = 3;
        outcome.slice.errors.sentences.push("byte 5 differs".into());
        outcome.verdict.is_trustworthy = false;
        let text = text(&outcome);
        assert!(text.contains("3: mismatch 3") && text.contains("byte 5 differs"), "{text}");
        assert!(text.contains("NOT TRUSTWORTHY"), "{text}");
    }
}
