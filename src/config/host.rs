//! What this machine grants a process: cores, CPU quota, descriptors, locked memory, backlog.

use std::path::Path;
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity};

/// A soft limit and the hard one that a process may raise it to; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In force now.
    pub soft: Option<u64>,
    /// What the process may raise it to.
    pub hard: Option<u64>,
}

impl From<Rlimit> for Limit {
    fn from(limit: Rlimit) -> Self {
        Self { soft: limit.current, hard: limit.maximum }
    }
}

/// What the machine grants this process. [`Config::resolve`](super::Config::resolve) bounds what
/// was asked for by it; a test that wants another machine changes the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Cores of the inherited affinity mask, lowest first.
    pub cores: Vec<usize>,
    /// Cores' worth of time that the cgroup (version 2) allows, rounded up; `None`: no quota.
    pub cpu_quota: Option<usize>,
    /// Limit of open descriptors, `RLIMIT_NOFILE`.
    pub descriptors: Limit,
    /// Limit of locked memory in bytes, `RLIMIT_MEMLOCK`, which rings are charged against.
    pub memlock: Limit,
    /// Whether the limit of locked memory does not hold for this process (`CAP_IPC_LOCK`).
    pub memlock_exempt: bool,
    /// `net.core.somaxconn`: the longest queue of connections that wait to be accepted.
    pub somaxconn: u32,
}

impl Host {
    /// Asks the kernel. What cannot be read counts as not limited.
    pub fn inspect() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        Self {
            cores: mask(),
            cpu_quota: quota(Path::new("/sys/fs/cgroup"), &membership),
            descriptors: getrlimit(Resource::Nofile).into(),
            memlock: getrlimit(Resource::Memlock).into(),
            memlock_exempt: capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK)),
            somaxconn: somaxconn.and_then(|n| n.trim().parse().ok()).unwrap_or(4096),
        }
    }

    /// The cores that `auto` stands for: those of the mask, at most as many as the quota.
    pub fn cores_auto(&self) -> &[usize] {
        let count = self.cpu_quota.unwrap_or(usize::MAX).max(1).min(self.cores.len());
        &self.cores[..count]
    }
}

/// Raises this process's soft limit of descriptors to the hard one, and returns it. The engine
/// does so when it starts: the soft limit is 1024 on most systems for the sake of programs that
/// call `select`, and leaves a server a thousand connections.
///
/// # Errors
/// The kernel refuses, which it does only to a process under a security module.
pub fn raise_descriptors() -> io::Result<Limit> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(getrlimit(Resource::Nofile).into())
}

/// The affinity mask of the calling thread. A machine with more than 1024 cores cannot be asked
/// this way; there is at least one core, since we run on it.
fn mask() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| {
        let mut first = CpuSet::new();
        first.set(0);
        first
    });
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// The smallest quota of this process's cgroup and its ancestors, in cores, rounded up.
/// `membership` is the text of /proc/self/cgroup; its line `0::PATH` names the cgroup of
/// version 2. In a container without a namespace of its own the path does not exist here, and
/// only the root's own quota, which is the container's, is found.
fn quota(root: &Path, membership: &str) -> Option<usize> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut directory = root.to_owned();
    let mut smallest = quota_of(&directory);
    for name in path.split('/').filter(|name| !matches!(*name, "" | "." | "..")) {
        directory.push(name);
        let quota = quota_of(&directory);
        smallest = smallest.into_iter().chain(quota).min();
    }
    smallest
}

/// Reads `cpu.max`: `max 100000`, or microseconds of each period, `150000 100000`.
fn quota_of(directory: &Path) -> Option<usize> {
    let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (usize, usize) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period).max(1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine of eight cores with the limits of a stock Debian service.
    pub(crate) fn machine() -> Host {
        Host {
            cores: (0..8).collect(),
            cpu_quota: None,
            descriptors: Limit { soft: Some(1024), hard: Some(524_288) },
            memlock: Limit { soft: Some(8 << 20), hard: Some(8 << 20) },
            memlock_exempt: false,
            somaxconn: 4096,
        }
    }

    #[test]
    fn this_machine_has_a_core_and_descriptors() {
        let host = Host::inspect();
        assert!(!host.cores.is_empty());
        assert!(!host.cores_auto().is_empty());
        assert!(host.descriptors.soft.is_none_or(|n| n > 0));
        assert!(host.somaxconn > 0);
    }

    #[test]
    fn descriptors_are_raised_to_the_hard_limit() {
        let limit = raise_descriptors().unwrap();
        assert_eq!(limit.soft, limit.hard);
        assert_eq!(Host::inspect().descriptors, limit);
    }

    #[test]
    fn the_quota_bounds_the_cores_of_auto() {
        let mut host = machine();
        assert_eq!(host.cores_auto().len(), 8);
        for (quota, cores) in [(1, 1), (3, 3), (8, 8), (64, 8), (0, 1)] {
            host.cpu_quota = Some(quota);
            assert_eq!(host.cores_auto().len(), cores);
        }
        host.cpu_quota = None;
        host.cores = vec![4, 6];
        assert_eq!(host.cores_auto(), [4, 6]);
    }

    #[test]
    fn the_smallest_quota_on_the_way_to_the_root_holds() {
        let root = std::env::temp_dir().join(format!("skyring-quota-{}", std::process::id()));
        let inner = root.join("app.slice/game.service");
        fs::create_dir_all(&inner).unwrap();
        let write = |directory: &Path, text| fs::write(directory.join("cpu.max"), text).unwrap();
        let ours = "9:name=systemd:/\n0::/app.slice/game.service\n";
        assert_eq!(quota(&root, ours), None, "no file");
        write(&inner, "max 100000\n");
        assert_eq!(quota(&root, ours), None, "no limit");
        write(&root.join("app.slice"), "250000 100000\n");
        assert_eq!(quota(&root, ours), Some(3), "an ancestor's, rounded up");
        write(&inner, "50000 100000\n");
        assert_eq!(quota(&root, ours), Some(1), "half a core is one");
        assert_eq!(quota(&root, "0::/app.slice\n"), Some(3));
        assert_eq!(quota(&root, "0::/not/here\n"), None);
        assert_eq!(quota(&root, "8:pids:/\n"), None, "version 1 only");
        for broken in ["", "1", "a b", "100000 0", "-1 100000"] {
            write(&root, broken);
            assert_eq!(quota(&root, "0::/\n"), None, "{broken}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
