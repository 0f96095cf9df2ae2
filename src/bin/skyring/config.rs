//! `skyring config`: every knob with value, source, and requested against granted.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use skyring::config::{Config, Entry, Grant, Host, tuning_page};

#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON (schema skyring.config/1).
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the page docs/TUNING.md, which depends on no machine and no variable.
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    knobs: super::Knobs,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.markdown {
        super::print(&tuning_page())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = options.knobs.config()?;
    let grants = config.grants_on(&Host::inspect())?;
    let text = if options.json { in_json(&config, &grants) } else { in_text(&config, &grants) };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A table in groups. The default is printed where the value is another, and the grant where it
/// says more than the value.
fn in_text(config: &Config, grants: &[Grant]) -> String {
    let mut text =
        format!("{:32}{:12}{:14}{:12}{}\n", "KNOB", "VALUE", "SOURCE", "DEFAULT", "GRANTED HERE");
    let mut group = "";
    for entry in config.entries() {
        if entry.group != group {
            group = entry.group;
            text.push('\n');
        }
        let default = if entry.value == entry.default { "" } else { &entry.default };
        let grant = grants.iter().find(|grant| grant.name == entry.name);
        let granted = grant.map_or(String::new(), |g| format!("{} ({})", g.granted, g.reason));
        let Entry { name, value, source, .. } = &entry;
        let line = format!("{name:32}{value:11} {source:14}{default:11} {granted}");
        writeln!(text, "{}", line.trim_end()).expect("a string takes all");
    }
    text.push_str("\ndocs/TUNING.md says what each does; `skyring config --json` prints it too.\n");
    text
}

fn in_json(config: &Config, grants: &[Grant]) -> String {
    let knob = |entry: Entry| -> Value {
        let grant = grants.iter().find(|grant| grant.name == entry.name);
        json!({
            "name": entry.name,
            "value": entry.value,
            "number": entry.number,
            "default": entry.default,
            "source": entry.source.name(),
            "granted": grant.map_or(entry.value.as_str(), |grant| &grant.granted),
            "reason": grant.map(|grant| &grant.reason),
            "unit": entry.unit,
            "range": entry.range,
            "meaning": entry.meaning,
            "when": entry.when,
        })
    };
    let knobs: Vec<Value> = config.entries().map(knob).collect();
    format!("{:#}\n", json!({ "schema": "skyring.config/1", "knobs": knobs }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_fits_a_hundred_columns() {
        let config = Config::new()
            .set("connections_per_ip_max", "9999999")
            .and_then(|config| config.set("ring-entries", "1000"))
            .unwrap();
        let text = in_text(&config, &config.grants_on(&Host::inspect()).unwrap());
        for line in text.lines() {
            assert!(line.len() <= 100 && line == line.trim_end(), "{line}");
        }
        let ring = text.lines().find(|line| line.starts_with("SKYRING_RING_ENTRIES")).unwrap();
        assert_eq!(
            ring.split_whitespace().collect::<Vec<_>>().join(" "),
            "SKYRING_RING_ENTRIES 1000 command line 1024 1024 (a power of two)"
        );
    }

    #[test]
    fn json_holds_every_knob_with_its_number() {
        let config = Config::new().set("spin", "50us").unwrap();
        let value: Value = serde_json::from_str(&in_json(&config, &[])).unwrap();
        let knobs = value["knobs"].as_array().unwrap();
        assert_eq!(knobs.len(), config.entries().count());
        let spin = knobs.iter().find(|knob| knob["name"] == "SKYRING_SPIN").unwrap();
        assert_eq!(spin["value"], "50us");
        assert_eq!(spin["number"], 50_000);
        assert_eq!(spin["source"], "command line");
        assert_eq!(spin["default"], "off");
        assert_eq!(spin["granted"], "50us");
    }
}
