//! A finished run as one HTML page that needs nothing from elsewhere.

use std::fmt::Write as _;

use super::outcome::Outcome;
use super::table::{self, HEADS};
use crate::generator::Pacing;
use crate::latency::Latency;
use crate::plot::{Plot, Scale, Series, escape};
use crate::units::{show_ns, show_rate};

const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2933;--soft:#52606d;--grid:#e4e7eb;
--card:#f5f7fa;--good:#0f7b43;--bad:#b42318;--series-0:#2563eb;--series-1:#d97706;--series-2:#7c8794}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e7eb;--soft:#9aa5b1;
--grid:#2d343c;--card:#1d232a;--good:#4ade80;--bad:#f97066;--series-0:#60a5fa;--series-1:#fbbf24;
--series-2:#8c98a5}}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}.soft{color:var(--soft)}
.verdict{border-left:4px solid var(--bad);background:var(--card);padding:.75rem 1rem;margin:1.25rem 0}
.verdict.good{border-color:var(--good)}.verdict b{color:var(--bad)}.verdict.good b{color:var(--good)}
.verdict ul{margin:.25rem 0 0;padding-left:1.2rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:600;color:var(--soft)}
.facts td{text-align:left;white-space:normal}.facts td:first-child{color:var(--soft);white-space:nowrap}
svg{width:100%;height:auto;font-family:inherit}
pre{background:var(--card);padding:.75rem 1rem;overflow-x:auto;font-size:.85rem}
";

/// The page.
pub fn html(outcome: &Outcome) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">{}</p>\n",
        escape(&table::load(outcome)),
        title = escape(&table::title(outcome)),
    );
    verdict(outcome, &mut page);
    times(outcome, &mut page);
    facts(outcome, &mut page);
    section(&mut page, "Latency by percentile", &curve(outcome));
    section(&mut page, "Response time over time", &latency_over_time(outcome));
    section(&mut page, "Rate over time", &rate_over_time(outcome));
    config(outcome, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

fn verdict(outcome: &Outcome, page: &mut String) {
    let class = if outcome.verdict.is_trustworthy { "verdict good" } else { "verdict" };
    let _ = write!(page, "<div class=\"{class}\"><b>{}</b>\n<ul>\n", table::verdict(outcome));
    for reason in &outcome.verdict.reasons {
        let _ = writeln!(page, "<li>{}</li>", escape(reason));
    }
    page.push_str("</ul></div>\n");
}

fn times(outcome: &Outcome, page: &mut String) {
    page.push_str("<div class=\"wide\"><table>\n<tr><th></th>");
    for head in HEADS.iter().chain(&["max"]) {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>\n");
    for (name, latency) in table::times(outcome) {
        let _ = write!(page, "<tr><td>{name}</td>");
        for cell in table::cells(latency) {
            let _ = write!(page, "<td>{}</td>", escape(&cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn facts(outcome: &Outcome, page: &mut String) {
    page.push_str("<h2>What was counted</h2>\n<table class=\"facts\">\n");
    for (name, words) in table::lines(outcome) {
        let _ = writeln!(page, "<tr><td>{name}</td><td>{}</td></tr>", escape(&words));
    }
    let machine = escape(&outcome.machine.line());
    let _ = writeln!(page, "<tr><td>machine</td><td>{machine}</td></tr>\n</table>");
}

fn section(page: &mut String, title: &str, plot: &Plot) {
    let _ = write!(page, "<h2>{title}</h2>\n{}", plot.svg());
}

fn config(outcome: &Outcome, page: &mut String) {
    let json = serde_json::to_string_pretty(&outcome.json()["load"]).unwrap_or_default();
    let _ = writeln!(page, "<h2>Load</h2>\n<pre>{}</pre>", escape(&json));
    let server = serde_json::to_string_pretty(&outcome.server_config).unwrap_or_default();
    let _ = writeln!(page, "<h2>Server configuration</h2>\n<pre>{}</pre>", escape(&server));
}

/// The percentile curve; each step to the right is another nine.
fn curve(outcome: &Outcome) -> Plot {
    let points = |latency: &Latency| -> Vec<(f64, f64)> {
        let curve = latency.curve().into_iter();
        curve.map(|(below, ns)| (-(1.0 - below).log10(), ns as f64)).collect()
    };
    let marks = [(0.0, "0 %"), (0.301, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %")];
    let more = [(4.0, "99.99 %"), (5.0, "99.999 %"), (6.0, "99.9999 %")];
    let [response, service, lag] =
        table::times(outcome).map(|(name, latency)| Series { name, points: points(latency) });
    Plot {
        title: "Latency by percentile",
        x_label: "share of requests below",
        x_marks: Some(
            marks.into_iter().chain(more).map(|(x, words)| (x, words.to_owned())).collect(),
        ),
        y_scale: Scale::Log,
        y_show: show_time,
        series: vec![response, service, lag],
    }
}

fn latency_over_time(outcome: &Outcome) -> Plot {
    let series = |name, quantile: fn(&crate::timeline::Bucket) -> Option<u64>| Series {
        name,
        points: buckets(outcome)
            .filter_map(|(at, bucket)| Some((at, quantile(bucket)? as f64)))
            .collect(),
    };
    Plot {
        title: "Response time over time",
        x_label: "seconds, by the time a request was due",
        x_marks: None,
        y_scale: Scale::Log,
        y_show: show_time,
        series: vec![
            series("p50", |bucket| bucket.quantile(0.5)),
            series("p99", |bucket| bucket.quantile(0.99)),
            series("max", |bucket| (bucket.answered > 0).then_some(bucket.max_ns)),
        ],
    }
}

fn rate_over_time(outcome: &Outcome) -> Plot {
    let width = outcome.slice.timeline.width().as_secs_f64();
    let series = |name, count: fn(&crate::timeline::Bucket) -> u64| Series {
        name,
        points: buckets(outcome).map(|(at, bucket)| (at, count(bucket) as f64 / width)).collect(),
    };
    let mut lines = vec![series("answered", |bucket| bucket.came)];
    if let Pacing::Rate(_) = outcome.pacing {
        lines.insert(0, series("due", |bucket| bucket.due));
    }
    Plot {
        title: "Rate over time",
        x_label: "seconds",
        x_marks: None,
        y_scale: Scale::Linear,
        y_show: |rate| format!("{}/s", if rate == 0.0 { "0".into() } else { show_rate(rate) }),
        series: lines,
    }
}

/// The whole buckets of the measured time, each with its middle; a last one that is cut short
/// would look like a fall.
fn buckets(outcome: &Outcome) -> impl Iterator<Item = (f64, &crate::timeline::Bucket)> {
    let timeline = &outcome.slice.timeline;
    let width = timeline.width().as_secs_f64();
    let measured = outcome.slice.measured.as_secs_f64();
    timeline.buckets().iter().enumerate().filter_map(move |(index, bucket)| {
        let at = index as f64 * width;
        (at + width <= measured + width * 0.01).then_some((at + width / 2.0, bucket))
    })
}

fn show_time(ns: f64) -> String {
    // A mark of the axis is a power of ten; its digits behind the point say nothing.
    show_ns(ns as u64).replace(".00", "").replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_page_stands_alone_and_escapes_what_it_was_given() {
        let page = html(&outcome(100_000));
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(!page.contains("http") && !page.contains("<script"), "nothing from elsewhere");
        assert!(page.contains("&lt;skyring&gt;") && !page.contains("<skyring>"));
        assert!(page.contains("trustworthy") && page.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn a_run_without_answers_has_a_page_too() {
        let mut empty = outcome(0);
        empty.slice.measured = std::time::Duration::ZERO;
        let page = html(&empty);
        assert_eq!(page.matches("nothing was measured").count(), 3);
        assert!(!page.contains("NaN"));
    }
}
