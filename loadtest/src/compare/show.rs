//! The result as a table with a sentence, or as JSON; progress as one line on stderr.
// The result is what the program is asked to print, and the progress goes where results do not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::IsTerminal;

use serde_json::{Value, json};

use super::Args;
use super::outcome::{Outcome, Ratios};
use super::ratio::Ratio;
use super::side::Sum;
use crate::framing::Framing;
use crate::generator::Pacing;
use crate::latency::QUANTILES;
use crate::units::{show_count, show_ns, show_rate};

/// How far off one a control may be before its run is not worth reading.
const CONTROL_OFF_MAX: f64 = 0.05;

/// A remark beside the result.
pub(super) fn note(sentence: &str) {
    eprintln!("note: {sentence}");
}

/// One line that is written over again; silent where nobody watches.
pub(super) fn progress(what: &str, done: usize, of: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}: {} %", (100 * done / of.max(1)).min(100));
    }
}

/// Takes the line away.
pub(super) fn progress_end() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// The table and the sentence.
pub(super) fn text(args: &Args, outcome: &Outcome) {
    let pacing = match outcome.pacing {
        Pacing::Rate(rate) => format!("open loop at {}/s", show_rate(rate)),
        Pacing::Max => "closed loop (a maximum, no user's latency)".to_owned(),
    };
    println!(
        "{}, {} connections, {} in flight, {pacing}, slices of {} ms\n",
        args.protocol().describe(args.bytes()),
        args.connections,
        args.in_flight,
        args.slice.as_millis()
    );
    println!("  a, a'  {}, in two processes", args.a.title());
    println!("  b      {}\n", args.b.title());
    println!("  {:<24}{:>14}{:>14}{:>14}", "", "a", "a'", "b");
    row("CPU ns a request", outcome, |sum| {
        sum.cpu_ns_per_request().map_or("-".to_owned(), |ns| show_count(ns.round() as u64))
    });
    row("service time p50", outcome, |sum| quantile(sum, 0.5));
    row("service time p99", outcome, |sum| quantile(sum, 0.99));
    row("requests", outcome, |sum| show_count(sum.requests));
    row("requests a second", outcome, |sum| show_rate(sum.achieved()));
    row("waiting for the core", outcome, |sum| show_ns(sum.cpu.delay_ns));
    row("errors", outcome, |sum| show_count(sum.errors.total()));
    println!();
    ratios("a / b", &outcome.ratio);
    ratios("a / a'", &outcome.control);
    println!("\n{}", reading(&args.a.title(), &args.b.title(), outcome));
}

fn ratios(of: &str, ratios: &Ratios) {
    let Ratios { groups, quiet, used, .. } = *ratios;
    let used = match groups - quiet {
        0 => format!("{groups} groups of four slices"),
        left_out if used == quiet => format!("{used} groups; {left_out} more were disturbed"),
        disturbed => format!("{groups} groups, {disturbed} of them disturbed"),
    };
    println!("  {:<24}{:<22}{used}", format!("CPU {of}"), show(&ratios.cpu));
    if let Some(latency) = &ratios.latency {
        println!("  {:<24}{}", format!("p50 {of}"), show(latency));
    }
}

fn row(title: &str, outcome: &Outcome, cell: impl Fn(&Sum) -> String) {
    let [first, second, other] = [&outcome.first, &outcome.second, &outcome.other].map(cell);
    println!("  {title:<24}{first:>14}{second:>14}{other:>14}");
}

fn quantile(sum: &Sum, quantile: f64) -> String {
    sum.service.quantile(quantile).map_or("-".to_owned(), show_ns)
}

fn show(ratio: &Ratio) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.median, ratio.low, ratio.high)
}

/// What the ratio means, in one sentence.
fn reading(a: &str, b: &str, outcome: &Outcome) -> String {
    let (ratio, control) = (&outcome.ratio.cpu, &outcome.control.cpu);
    let verdict = if (control.median - 1.0).abs() > CONTROL_OFF_MAX {
        "the control is off one, so the machine was disturbed; run it again"
    } else if !ratio.excludes_one() {
        "no difference that this run can show"
    } else if ratio.is_apart_from(control) {
        "the difference is real"
    } else {
        "the difference is not larger than what the control shows; a longer run may tell"
    };
    format!(
        "{a} needs {} of {b}'s CPU a request; control {}: {verdict}.",
        show(ratio),
        show(control)
    )
}

/// `skyring.compare/1` on one line.
pub(super) fn json(args: &Args, outcome: &Outcome) {
    println!("{}", value(args, outcome));
}

fn value(args: &Args, outcome: &Outcome) -> Value {
    let (pacing, rate) = match outcome.pacing {
        Pacing::Rate(rate) => ("open", Some(rate)),
        Pacing::Max => ("closed", None),
    };
    json!({
        "schema": "skyring.compare/1",
        "cpu_ratio": ratio(&outcome.ratio.cpu),
        "control": ratio(&outcome.control.cpu),
        "latency_ratio": outcome.ratio.latency.as_ref().map(ratio),
        "latency_control": outcome.control.latency.as_ref().map(ratio),
        "a": side(&args.a.title(), &outcome.first),
        "a_again": side(&args.a.title(), &outcome.second),
        "b": side(&args.b.title(), &outcome.other),
        "loop": pacing,
        "rate": rate,
        "groups": { "ratio": groups(&outcome.ratio), "control": groups(&outcome.control) },
        "machine": outcome.machine.json(),
        "scenario": {
            "protocol": args.protocol().name(),
            "request": args.protocol().describe(args.bytes()),
            "framing": args.protocol().framing().map(Framing::name),
            "size": args.bytes(),
            "connections": args.connections,
            "in_flight": args.in_flight,
            "slice_ms": args.slice.as_millis() as u64,
            "seed": args.seed,
        },
        "reading": reading(&args.a.title(), &args.b.title(), outcome),
    })
}

fn ratio(ratio: &Ratio) -> Value {
    json!({ "median": ratio.median, "low": ratio.low, "high": ratio.high })
}

fn groups(ratios: &Ratios) -> Value {
    json!({ "measured": ratios.groups, "quiet": ratios.quiet, "used": ratios.used })
}

fn side(title: &str, sum: &Sum) -> Value {
    let service: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|&(name, at)| (name.to_owned(), json!(sum.service.quantile(at))))
        .collect();
    json!({
        "server": title,
        "cpu_ns_per_request": sum.cpu_ns_per_request(),
        "requests": sum.requests,
        "achieved": sum.achieved(),
        "service_ns": service,
        "run_delay_ns": sum.cpu.delay_ns,
        "errors": { "total": sum.errors.total() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    fn outcome(ratio: [f64; 3], control: [f64; 3]) -> Outcome {
        let of = |[median, low, high]: [f64; 3]| {
            let cpu = Ratio { median, low, high };
            Ratios { cpu, latency: None, groups: 1, quiet: 1, used: 1 }
        };
        Outcome {
            machine: Machine::this(),
            pacing: Pacing::Max,
            first: Sum::default(),
            second: Sum::default(),
            other: Sum::default(),
            ratio: of(ratio),
            control: of(control),
        }
    }

    #[test]
    fn the_sentence_says_how_far_to_trust_the_ratio() {
        let quiet = [1.0, 0.97, 1.03];
        let say = |ratio, control| reading("x", "y", &outcome(ratio, control));
        let real = say([0.83, 0.80, 0.86], quiet);
        assert_eq!(
            real,
            "x needs 0.83 [0.80, 0.86] of y's CPU a request; control 1.00 [0.97, 1.03]: \
             the difference is real."
        );
        assert!(say([0.99, 0.96, 1.02], quiet).contains("no difference"));
        assert!(say([0.97, 0.95, 0.99], quiet).contains("a longer run"));
        assert!(say([0.83, 0.80, 0.86], [1.1, 1.0, 1.2]).contains("disturbed"));
    }
}
