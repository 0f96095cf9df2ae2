//! What a user sees of the knobs: docs/TUNING.md, `skyring config` and `skyring doctor`.

#![cfg(feature = "servers")]

use std::process::{Command, Output};

use skyring::config::{Config, tuning_page};

fn skyring(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyring"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command.output().expect("the binary of this package runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

#[test]
fn the_page_is_the_one_that_the_table_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/TUNING.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == tuning_page(),
        "docs/TUNING.md does not match the table of knobs; make it anew by\n\
         cargo run -- config --markdown > docs/TUNING.md"
    );
    let printed = skyring(&["config", "--markdown"], &[("SKYRING_SPIN", "nonsense")]);
    assert!(text(&printed.stdout) == page, "the command prints the page on any machine");
}

#[test]
fn every_knob_has_its_row_and_its_line() {
    let page = tuning_page();
    let printed = skyring(&["config"], &[]);
    for entry in Config::new().entries() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", entry.name)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", entry.name));
        assert!(row.contains(entry.meaning) && row.contains(entry.when));
        let mut lines = text(&printed.stdout).lines();
        assert!(lines.any(|line| line.starts_with(&format!("{} ", entry.name))), "{}", entry.name);
    }
}

#[test]
fn config_prints_where_each_value_comes_from() {
    let variables = [("SKYRING_SPIN", "1ms"), ("SKYRING_IDLE", "30s"), ("SKYRING_LOAD_X", "1")];
    let printed = skyring(&["config", "--json", "--set", "spin=50us"], &variables);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let report: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(report["schema"], "skyring.config/1");
    let knob = |name: &str| {
        let knobs = report["knobs"].as_array().unwrap();
        let knob = knobs.iter().find(|knob| knob["name"] == name).unwrap();
        (knob["value"].as_str().unwrap().to_owned(), knob["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(knob("SKYRING_SPIN"), ("50us".into(), "command line".into()));
    assert_eq!(knob("SKYRING_IDLE"), ("30s".into(), "environment".into()));
    assert_eq!(knob("SKYRING_DRAIN"), ("5s".into(), "default".into()));
}

#[test]
fn a_bad_variable_ends_every_command_with_one_line() {
    let cases = [
        ("SKYRING_SPIN", "abc", "skyring: SKYRING_SPIN=abc: not a duration; write"),
        ("SKYRING_LOG", "loud", "skyring: SKYRING_LOG=loud: not a level; there are off, error,"),
        ("SKYRING_SPN", "5ms", "skyring: SKYRING_SPN: no such knob; did you mean SKYRING_SPIN?"),
        ("SKYRNG_SPIN", "5ms", "skyring: SKYRNG_SPIN: no such knob; did you mean SKYRING_SPIN?"),
        ("SKYRING_SEND_WARN_BYTES", "1g", "skyring: SKYRING_SEND_WARN_BYTES=1g would warn only"),
        ("SKYRING_CORES", "1023-1023", "skyring: SKYRING_CORES=1023-1023: this process may not"),
    ];
    for (name, value, start) in cases {
        for command in ["config", "doctor"] {
            let ended = skyring(&[command], &[(name, value)]);
            let line = text(&ended.stderr);
            assert!(line.starts_with(start) && line.lines().count() == 1, "{command}: {line}");
            assert_eq!(ended.status.code(), Some(2));
            assert!(ended.stdout.is_empty());
        }
    }
    for set in ["spin", "spin=fast", "speed=1", "=1"] {
        let ended = skyring(&["config", "--set", set], &[]);
        assert_eq!(ended.status.code(), Some(2), "{set}");
        assert_eq!(text(&ended.stderr).lines().count(), 1, "{}", text(&ended.stderr));
    }
}

#[test]
fn the_doctor_says_by_its_exit_whether_skyring_can_run() {
    let ended = skyring(&["doctor", "--json"], &[]);
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["schema"], "skyring.doctor/1");
    let expected = if report["can_run"] == true { 0 } else { 1 };
    assert_eq!(ended.status.code(), Some(expected));
    assert_eq!(report["can_run"] == true, report["obstacle"].is_null());
    assert_eq!(report["can_run"] == true, skyring::doctor::available().is_ok());
}
