//! What a broadcast came to, for people and for programs.

use std::fmt::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::broadcast::Load;
use crate::cpu::CpuTimes;
use crate::generator::Errors;
use crate::latency::{Latency, QUANTILES};
use crate::machine::Machine;
use crate::units::{show_count, show_ns, show_rate};

/// What a run came to. A delivery is a message at one socket.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Messages in all.
    pub(super) messages: u64,
    /// Messages that were due in the measured time.
    pub(super) said: u64,
    /// Their deliveries.
    pub(super) latency: Latency,
    /// Messages that the server has encoded meanwhile, if it tells.
    pub(super) encodings: Option<u64>,
    pub(super) errors: Errors,
    /// Since the last look at it.
    pub(super) worst_ns: u64,
    pub(super) wall: Duration,
    pub(super) own_cpu: CpuTimes,
    pub(super) server_cpu: Option<CpuTimes>,
    pub(super) is_interrupted: bool,
}

impl Outcome {
    pub(super) fn record(&mut self, latency_ns: u64, is_measured: bool) {
        self.worst_ns = self.worst_ns.max(latency_ns);
        if is_measured {
            self.latency.record(latency_ns);
        }
    }

    #[cold]
    pub(super) fn differs(&mut self, sentence: fmt::Arguments<'_>) {
        self.errors.mismatch += 1;
        self.errors.say(sentence);
    }

    fn share(&self, cpu: CpuTimes) -> f64 {
        100.0 * cpu.run_ns as f64 / self.wall.as_nanos().max(1) as f64
    }

    fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    fn server_ns(&self) -> Option<f64> {
        Some(self.server_cpu?.run_ns as f64 / self.latency.count().max(1) as f64)
    }

    pub(super) fn text(&self, load: &Load, machine: &Machine) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<14}{value}").expect("a string takes all");
        };
        let sockets = show_count(load.sockets as u64);
        line("broadcast", format!("{} B to {sockets} sockets of WebSocket", load.bytes));
        line("machine", machine.line());
        let rate = show_rate(load.rate);
        line("said", format!("{} messages, {rate}/s, a message a tick", show_count(self.said)));
        line("delivered", format!("{}/s", show_rate(self.rate())));
        let shown = |quantile| self.latency.quantile(quantile).map_or("-".into(), show_ns);
        let longest = self.latency.max().map_or("-".into(), show_ns);
        let (p50, p99, p999) = (shown(0.5), shown(0.99), shown(0.999));
        line("latency", format!("p50 {p50}  p99 {p99}  p99.9 {p999}  max {longest}"));
        let encodings = self.encodings.map_or("not told".into(), |count| {
            format!("{} for {} messages", show_count(count), show_count(self.messages))
        });
        line("encodings", encodings);
        let server = self.server_cpu.map_or("not known".into(), |cpu| {
            let each = self.server_ns().unwrap_or_default() / 1000.0;
            format!("{:.0} % of a core, {each:.2} us a delivery", self.share(cpu))
        });
        line("server CPU", server);
        line("generator", format!("{:.0} % of its core", self.share(self.own_cpu)));
        let errors = match self.errors.total() {
            0 => "none; every message was compared whole at every socket".to_owned(),
            _ => format!("{} missing, {} differing", self.errors.censored, self.errors.mismatch),
        };
        line("errors", errors);
        self.errors.sentences.iter().for_each(|sentence| line("", sentence.clone()));
        text
    }

    pub(super) fn json(&self, load: &Load, machine: &Machine) -> Value {
        let mut latency: serde_json::Map<String, Value> = QUANTILES
            .iter()
            .map(|&(name, quantile)| (name.to_owned(), json!(self.latency.quantile(quantile))))
            .collect();
        latency.insert("max".into(), self.latency.max().into());
        json!({
            "scenario": "broadcast",
            "sockets": load.sockets,
            "bytes": load.bytes,
            "rate": load.rate,
            "machine": machine.json(),
            "wall_s": self.wall.as_secs_f64(),
            "messages": self.messages,
            "said": self.said,
            "delivered": self.latency.count(),
            "delivered_per_s": self.rate(),
            "latency_ns": latency,
            "encodings": self.encodings,
            "server_cpu_percent": self.server_cpu.map(|cpu| self.share(cpu)),
            "server_ns_a_delivery": self.server_ns(),
            "generator_cpu_percent": self.share(self.own_cpu),
            "missing": self.errors.censored,
            "differing": self.errors.mismatch,
            "is_interrupted": self.is_interrupted,
        })
    }
}
