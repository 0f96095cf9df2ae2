//! What a run of the chat came to, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use super::ledger::Ledger;
use crate::cpu::CpuTimes;
use crate::latency::Latency;
use crate::machine::Machine;
use crate::units::{show_count, show_ns, show_rate};

/// What a run came to. A delivery is a message that somebody hears who has not said it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Messages that were due in the measured time.
    pub(super) said: u64,
    /// Their deliveries.
    pub(super) latency: Latency,
    /// What was heard, and in which order.
    pub(super) ledger: Ledger,
    /// Since the last look at it.
    pub(super) worst_ns: u64,
    pub(super) wall: Duration,
    pub(super) own_cpu: CpuTimes,
    pub(super) server_cpu: Option<CpuTimes>,
    pub(super) steal_ns: u64,
    pub(super) is_interrupted: bool,
}

impl Outcome {
    fn share(&self, cpu: CpuTimes) -> f64 {
        100.0 * cpu.run_ns as f64 / self.wall.as_nanos().max(1) as f64
    }

    fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    fn server_ns(&self) -> Option<f64> {
        Some(self.server_cpu?.run_ns as f64 / self.latency.count().max(1) as f64)
    }

    pub(super) fn text(&self, args: &Args, machine: &Machine) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<14}{value}").expect("a string takes all");
        };
        let (clients, rooms) = (show_count(args.clients), show_count(args.rooms));
        line("chat", format!("{clients} clients in {rooms} rooms, texts of {} B", args.size));
        line("machine", machine.line());
        let said = self.said as f64 / self.wall.as_secs_f64().max(1e-9);
        line("said", format!("{}/s of {}/s", show_rate(said), show_rate(args.rate)));
        line("delivered", format!("{}/s", show_rate(self.rate())));
        let shown = |quantile| self.latency.quantile(quantile).map_or("-".into(), show_ns);
        line(
            "latency",
            format!(
                "p50 {}  p99 {}  p99.9 {}  max {}",
                shown(0.5),
                shown(0.99),
                shown(0.999),
                self.latency.max().map_or("-".into(), show_ns)
            ),
        );
        let server = self.server_cpu.map_or("not known".into(), |cpu| {
            let each = self.server_ns().unwrap_or_default() / 1000.0;
            let waited = cpu.delay_ns as f64 / 1e6;
            let share = self.share(cpu);
            format!("{share:.0} % of a core, {each:.2} us a delivery; waited {waited:.0} ms for it")
        });
        line("server CPU", server);
        let waited = self.own_cpu.delay_ns as f64 / 1e6;
        let steal = self.steal_ns as f64 / 1e6;
        line(
            "generator",
            format!(
                "{:.0} % of its core, waited {waited:.0} ms for it; steal {steal:.0} ms",
                self.share(self.own_cpu)
            ),
        );
        let ledger = &self.ledger;
        line(
            "flaws",
            format!(
                "{} lost, {} gaps, {} reordered, {} differing",
                ledger.missing(),
                ledger.gaps,
                ledger.reordered,
                ledger.differing
            ),
        );
        text
    }

    pub(super) fn json(&self, args: &Args, machine: &Machine) -> Value {
        json!({
            "scenario": "chat",
            "clients": args.clients,
            "rooms": args.rooms,
            "rate": args.rate,
            "text_bytes": args.size,
            "machine": machine.json(),
            "wall_s": self.wall.as_secs_f64(),
            "said": self.said,
            "delivered": self.latency.count(),
            "delivered_per_s": self.rate(),
            "latency_ns": {
                "p50": self.latency.quantile(0.5),
                "p99": self.latency.quantile(0.99),
                "p999": self.latency.quantile(0.999),
                "max": self.latency.max(),
            },
            "server_cpu_percent": self.server_cpu.map(|cpu| self.share(cpu)),
            "server_ns_a_delivery": self.server_ns(),
            "server_waited_ns": self.server_cpu.map(|cpu| cpu.delay_ns),
            "generator_cpu_percent": self.share(self.own_cpu),
            "steal_ns": self.steal_ns,
            "lost": self.ledger.missing(),
            "gaps": self.ledger.gaps,
            "reordered": self.ledger.reordered,
            "differing": self.ledger.differing,
            "is_interrupted": self.is_interrupted,
        })
    }
}
