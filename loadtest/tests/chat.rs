//! `skyring-load chat` as a user sees it, against the server that it starts.

use std::process::Command;

use serde_json::Value;

fn chat(options: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .args(["chat", "--format", "json", "-w", "100ms", "-d", "500ms"])
        .args(options)
        .output()
        .expect("the binary under test starts");
    let result = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), result, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn clients_in_rooms_hear_everything_in_order() {
    let (status, result, errors) = chat(&["-c", "40", "--rooms", "4", "-r", "300"]);
    assert_eq!(status, Some(0), "{errors}");
    let said = result["said"].as_u64().expect("a count");
    assert!(said > 50, "{result}");
    assert_eq!(result["delivered"].as_u64(), Some(said * 9), "each to nine others");
    for flaw in ["lost", "gaps", "reordered", "differing"] {
        assert_eq!(result[flaw], 0, "{flaw}");
    }
    assert!(result["server_cpu_percent"].is_number());
}

#[test]
fn options_that_make_no_sense_are_one_line() {
    for options in [&["--rooms", "0"][..], &["-c", "1", "--rooms", "2"], &["--size", "15"]] {
        let (status, _, errors) = chat(options);
        assert_eq!((status, errors.lines().count()), (Some(2), 1), "{errors}");
    }
}
