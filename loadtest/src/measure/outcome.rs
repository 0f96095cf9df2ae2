//! A finished run with all that is told of it, and its form as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::verdict::Verdict;
use crate::cpu::CpuTimes;
use crate::framing::Framing;
use crate::generator::{Options, Pacing, Slice};
use crate::latency::{Latency, QUANTILES};
use crate::machine::Machine;

/// The version of the JSON form; a change of a name's meaning changes it.
pub const SCHEMA: &str = "skyring.load/1";

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub scenario: &'static str,
    /// The server's name, or its address if it was not started by us.
    pub server: String,
    /// Where it listened.
    pub target: SocketAddr,
    /// What it told of its configuration.
    pub server_config: Value,
    /// What the connections carried.
    pub options: Options,
    /// When requests were sent.
    pub pacing: Pacing,
    /// The maximum that a calibration found, if the rate was taken from it.
    pub calibrated_max: Option<f64>,
    /// The time before the measured one.
    pub warm_up: Duration,
    /// The measured time that was asked for.
    pub duration: Duration,
    /// What was measured.
    pub slice: Slice,
    /// What the server used, if its process is known.
    pub server_cpu: Option<CpuTimes>,
    /// The machine of the generator.
    pub machine: Machine,
    /// Whether to believe it.
    pub verdict: Verdict,
}

impl Outcome {
    /// The rate that was asked for; none in a closed loop.
    pub fn target_rate(&self) -> Option<f64> {
        match self.pacing {
            Pacing::Rate(rate) => Some(rate),
            Pacing::Max => None,
        }
    }

    /// The server's CPU time for each request, in nanoseconds.
    pub fn server_ns_per_request(&self) -> Option<f64> {
        self.per_request(self.server_cpu?.run_ns)
    }

    /// The generator's CPU time for each request, in nanoseconds, without its spinning.
    pub fn generator_ns_per_request(&self) -> Option<f64> {
        self.per_request(self.slice.work_ns())
    }

    fn per_request(&self, ns: u64) -> Option<f64> {
        let requests = self.slice.answered_in_all;
        (requests > 0).then(|| ns as f64 / requests as f64)
    }

    /// The result as JSON; a percentile without enough samples beyond it is null.
    pub fn json(&self) -> Value {
        let slice = &self.slice;
        json!({
            "schema": SCHEMA,
            "scenario": self.scenario,
            "verdict": {
                "trustworthy": self.verdict.is_trustworthy,
                "reasons": self.verdict.reasons,
            },
            "interrupted": slice.is_interrupted,
            "rate": {
                "target": self.target_rate(),
                "achieved": rounded(slice.achieved()),
            },
            "requests": slice.answered,
            "errors": self.errors(),
            "response_ns": percentiles(&slice.response),
            "service_ns": percentiles(&slice.service),
            "send_lag_ns": percentiles(&slice.send_lag),
            "cpu_ns_per_request": {
                "server": self.server_ns_per_request().map(rounded),
                "generator": self.generator_ns_per_request().map(rounded),
            },
            "server_config": self.server_config,
            "load": self.load(),
            "machine": self.machine.json(),
        })
    }

    fn errors(&self) -> Value {
        let errors = &self.slice.errors;
        let mut kinds = Map::new();
        kinds.insert("total".into(), errors.total().into());
        for (kind, count) in errors.kinds() {
            kinds.insert(kind.into(), count.into());
        }
        kinds.insert("sentences".into(), errors.sentences.clone().into());
        Value::Object(kinds)
    }

    fn load(&self) -> Value {
        let options = &self.options;
        json!({
            "server": self.server,
            "target": self.target.to_string(),
            "loop": if self.target_rate().is_some() { "open" } else { "closed" },
            "protocol": options.protocol.name(),
            "request": options.protocol.describe(options.payload_bytes),
            "framing": options.protocol.framing().map(Framing::name),
            "connections": options.connections,
            "payload_bytes": options.payload_bytes,
            "in_flight": options.in_flight,
            "seed": options.seed,
            "warm_up_s": self.warm_up.as_secs_f64(),
            "duration_s": self.duration.as_secs_f64(),
            "measured_s": rounded(self.slice.measured.as_secs_f64()),
            "calibrated_max": self.calibrated_max.map(rounded),
            "delayed": self.slice.delayed,
            "generator_spin_s": rounded(self.slice.spin.as_secs_f64()),
        })
    }
}

fn percentiles(latency: &Latency) -> Value {
    let mut values: Map<String, Value> = QUANTILES
        .iter()
        .map(|&(name, quantile)| (name.to_owned(), latency.quantile(quantile).into()))
        .collect();
    values.insert("max".into(), latency.max().into());
    Value::Object(values)
}

/// Three digits behind the point are more than any figure here is worth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::protocol::Protocol;

    pub(in super::super) fn outcome(answers: u64) -> Outcome {
        let mut slice = Slice::new(Duration::from_secs(1));
        for n in 0..answers {
            slice.response.record(20_000 + n);
            slice.service.record(19_000 + n);
            slice.send_lag.record(1_000);
            slice.timeline.due(n * 1_000);
            slice.timeline.answered(n * 1_000, 20_000 + n);
        }
        slice.answered = answers;
        slice.answered_in_all = answers;
        slice.answered_in_time = answers;
        slice.measured = Duration::from_secs(1);
        Outcome {
            scenario: "echo",
            server: "<skyring>".into(),
            target: SocketAddr::from(([127, 0, 0, 1], 8888)),
            server_config: json!({"cores": 1}),
            options: Options {
                protocol: Protocol::Frames(Framing::U16),
                connections: 64,
                payload_bytes: 64,
                in_flight: 1,
                seed: 1,
            },
            pacing: Pacing::Rate(1000.0),
            calibrated_max: Some(2000.0),
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            slice,
            server_cpu: Some(CpuTimes { run_ns: 8_000 * answers, delay_ns: 0 }),
            machine: Machine::this(),
            verdict: Verdict {
                is_trustworthy: true,
                is_generator_bound: false,
                reasons: vec!["quiet".into()],
            },
        }
    }

    fn names(value: &Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn the_names_of_the_schema_are_all_there() {
        let json = outcome(1000).json();
        assert_eq!(json["schema"], "skyring.load/1");
        for name in [
            "scenario",
            "verdict",
            "rate",
            "requests",
            "errors",
            "response_ns",
            "service_ns",
            "send_lag_ns",
            "cpu_ns_per_request",
            "server_config",
            "load",
            "machine",
        ] {
            assert!(!json[name].is_null(), "{name}");
        }
        assert_eq!(names(&json["verdict"]), ["reasons", "trustworthy"]);
        assert_eq!(names(&json["rate"]), ["achieved", "target"]);
        assert_eq!(names(&json["cpu_ns_per_request"]), ["generator", "server"]);
        for times in ["response_ns", "service_ns", "send_lag_ns"] {
            assert_eq!(names(&json[times]), ["max", "p50", "p90", "p99", "p999", "p9999"]);
        }
        for kind in ["total", "mismatch", "framing", "connection_lost", "censored"] {
            assert_eq!(json["errors"][kind], 0, "{kind}");
        }
        assert!(json["machine"]["kernel"].is_string() && json["machine"]["cpus"].is_u64());
        assert_eq!(json["cpu_ns_per_request"]["server"], 8000.0);
        assert_eq!(json["server_config"]["cores"], 1);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let mut outcome = outcome(100);
        outcome.server_cpu = None;
        outcome.pacing = Pacing::Max;
        let json = outcome.json();
        assert!(json["response_ns"]["p90"].is_u64());
        assert!(json["response_ns"]["p99"].is_null(), "ten samples must lie beyond");
        assert!(json["cpu_ns_per_request"]["server"].is_null());
        assert!(json["rate"]["target"].is_null());
    }
}
