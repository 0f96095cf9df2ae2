//! The machine that a result was measured on: without it a figure says nothing.

use std::fs;

use serde_json::{Value, json};

use crate::cpu;

/// What a report says of a machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub model: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let system = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib: u64 = field(&meminfo, "MemTotal")
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Self {
            kernel: system.release().to_string_lossy().into_owned(),
            model: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: cpu::cores().len(),
            memory_mib: memory_kib >> 10,
        }
    }

    /// As it stands in a result.
    pub fn json(&self) -> Value {
        json!({
            "kernel": self.kernel,
            "cpu_model": self.model,
            "cpus": self.cores,
            "memory_mib": self.memory_mib,
        })
    }

    /// As one line for reading.
    pub fn line(&self) -> String {
        let Self { kernel, model, cores, memory_mib } = self;
        format!("Linux {kernel}, {cores} cores ({model}), {memory_mib} MiB")
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::this();
        assert!(machine.cores > 0);
        assert!(machine.json()["kernel"].as_str().is_some_and(|kernel| kernel.contains('.')));
        assert_eq!(field("a : 1\nmodel name\t: X 3\n", "model name"), Some("X 3"));
    }
}
