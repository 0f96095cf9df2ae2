//! `skyring doctor`: whether skyring can run here, and what would make it run better.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use skyring::doctor::{Check, Report};

#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON (schema skyring.doctor/1).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    knobs: super::Knobs,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let report = Report::gather(&options.knobs.config()?)?;
    super::print(&if options.json { in_json(&report) } else { in_text(&report) })?;
    Ok(if report.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const COLUMNS: usize = 100;
/// Where names and advice begin.
const INDENT: usize = 9;
/// Where findings begin.
const FOUND: usize = 43;

fn in_text(report: &Report) -> String {
    let verdict = if report.can_run() { "can run" } else { "cannot run" };
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("skyring {version} on Linux {}: {verdict}\n", report.kernel);
    if let Some(obstacle) = &report.obstacle {
        text.push_str(&wrapped(obstacle, 0));
    }
    let mut group = "";
    for check in &report.checks {
        if check.group != group {
            group = check.group;
            write!(text, "\n{group}\n").expect("a string takes all");
        }
        let Check { name, state, found, .. } = check;
        let found = wrapped(found, FOUND);
        write!(text, "  {:7}{name:34}{}", state.name(), found.trim_start())
            .expect("a string takes all");
        let known = check.advice == report.obstacle;
        if let Some(advice) = check.advice.as_ref().filter(|_| !known) {
            text.push_str(&wrapped(advice, INDENT));
        }
    }
    text
}

/// Text broken into lines between words.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() <= COLUMNS {
            lines.push(' ');
            column += 1;
        } else {
            if column > 0 {
                lines.push('\n');
            }
            lines.push_str(&" ".repeat(indent));
            column = indent;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines.push('\n');
    lines
}

fn in_json(report: &Report) -> String {
    let check = |check: &Check| -> Value {
        json!({
            "group": check.group,
            "name": check.name,
            "state": check.state.name(),
            "found": check.found,
            "advice": check.advice,
        })
    };
    let checks: Vec<Value> = report.checks.iter().map(check).collect();
    let report = json!({
        "schema": "skyring.doctor/1",
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": report.kernel,
        "can_run": report.can_run(),
        "obstacle": report.obstacle,
        "checks": checks,
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyring::config::Config;

    #[test]
    fn lines_break_between_words_and_fit() {
        let text = wrapped(&"word ".repeat(60), 9);
        assert!(text.lines().all(|line| line.len() <= COLUMNS && line.starts_with("         w")));
        assert_eq!(text.split_whitespace().count(), 60);
        assert_eq!(wrapped("a b", 2), "  a b\n");
    }

    #[test]
    fn the_report_fits_and_its_json_reads() {
        let report = Report::gather(&Config::new()).unwrap();
        assert!(in_text(&report).lines().all(|line| line.len() <= COLUMNS));
        let value: Value = serde_json::from_str(&in_json(&report)).unwrap();
        assert_eq!(value["can_run"], report.can_run());
        assert_eq!(value["checks"].as_array().unwrap().len(), report.checks.len());
    }
}
