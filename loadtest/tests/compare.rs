//! `compare` as a user runs it: a ratio with its control, and a clear word when it cannot be had.

use std::process::{Command, Output};

fn compare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .arg("compare")
        .args(arguments)
        .output()
        .expect("the binary was built")
}

#[test]
fn two_servers_are_compared_with_a_control() {
    let line = format!("{} serve tokio --read-bytes 4k", env!("CARGO_BIN_EXE_skyring-load"));
    let quick = ["-c", "4", "-d", "1s", "--slice", "10ms", "-r", "2k", "--format", "json"];
    let output = compare(&[&["--a", "epoll --trigger level", "--b", &line], &quick[..]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(result["schema"], "skyring.compare/1");
    for ratio in ["cpu_ratio", "control", "latency_ratio"] {
        let at = |end: &str| result[ratio][end].as_f64().expect("a number");
        assert!(0.0 < at("low") && at("low") <= at("median") && at("median") <= at("high"));
    }
    assert_eq!(result["a"]["server"], "epoll --trigger level");
    assert_eq!(result["b"]["server"], line);
    assert_eq!(result["rate"], 2000.0);
    for side in ["a", "a_again", "b"] {
        assert_eq!(result[side]["errors"]["total"], 0);
        assert!(result[side]["cpu_ns_per_request"].as_f64() > Some(0.0), "{side}");
    }
}

#[test]
fn what_starts_no_server_is_told_what_was_expected() {
    for (b, word) in [("/nonexistent/server", "listening on HOST:PORT"), ("echo hello", "`hello`")]
    {
        let output = compare(&["--a", "epoll", "--b", b, "-d", "1s"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(word) && errors.contains("raw-uring"), "{errors}");
    }
    let output = compare(&["--a", "epoll --no-such-option", "--b", "epoll"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-such-option"));
}
