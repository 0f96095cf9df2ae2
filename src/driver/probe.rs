//! What io_uring can do on this kernel, found by asking and trying, never by the version: vendors
//! take features back into old kernels, and sandboxes take them out of new ones.
//!
//! Three ways to know, all without unsafe code:
//!
//! - the kernel says it: feature bits of a ring, and the list of operations it knows;
//! - a trial: setting up a small ring with the flag, or a harmless registration. Taking away a
//!   buffer ring that was never there fails with ENOENT where buffer rings exist and with EINVAL
//!   where they do not; cancelling by descriptor likewise;
//! - company: multishot receive has no bit of its own and came with SINGLE_ISSUER, incremental
//!   buffer rings came with the minimum wait. The ring of the driver has the last word on them.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{IoUring, Parameters, opcode};
use rustix::io::Errno;

use super::unavailable::Unavailable;
use crate::config::Settings;

/// A thing that a kernel's io_uring has or lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Operations,
    NoDrop,
    TimeoutInEnter,
    SubmitAll,
    BufferRings,
    CancelByDescriptor,
    MultishotReceive,
    DeferTaskrun,
    MessageRing,
    RingDescriptor,
    SendZeroCopy,
    NoSubmissionArray,
    Bundles,
    Incremental,
    MinimumWait,
    NoIoWait,
}

/// What a feature is called, since when Linux has it, and what it costs to be without.
pub(crate) struct About {
    pub(crate) feature: Feature,
    pub(crate) name: &'static str,
    pub(crate) since: &'static str,
    /// The price of its absence; `None`: skyring cannot run without it.
    pub(crate) without: Option<&'static str>,
}

const fn must(feature: Feature, name: &'static str, since: &'static str) -> About {
    About { feature, name, since, without: None }
}

const fn may(
    feature: Feature,
    name: &'static str,
    since: &'static str,
    without: &'static str,
) -> About {
    About { feature, name, since, without: Some(without) }
}

/// Every feature, what is needed first, old before new.
pub(crate) const FEATURES: &[About] = &[
    must(Feature::Operations, "socket operations", "5.11"),
    must(Feature::NoDrop, "completions are never dropped", "5.5"),
    must(Feature::TimeoutInEnter, "timeout in the enter", "5.11"),
    must(Feature::SubmitAll, "submit past an error", "5.18"),
    must(Feature::BufferRings, "buffer rings", "5.19"),
    must(Feature::CancelByDescriptor, "cancel by descriptor", "6.0"),
    must(Feature::MultishotReceive, "multishot receive, single issuer", "6.0"),
    must(Feature::DeferTaskrun, "deferred task work", "6.1"),
    may(Feature::MessageRing, "messages between rings", "5.18", "cores wake each other by eventfd"),
    may(Feature::RingDescriptor, "registered ring descriptor", "5.18", "each enter a bit slower"),
    may(Feature::SendZeroCopy, "zero-copy send", "6.1", "large sends are copied"),
    may(Feature::NoSubmissionArray, "no submission array", "6.6", "each submission a bit slower"),
    may(Feature::Bundles, "receive and send bundles", "6.10", "one completion for each block"),
    may(
        Feature::Incremental,
        "incremental buffer rings",
        "6.12",
        "small messages use whole blocks",
    ),
    may(Feature::MinimumWait, "minimum wait", "6.12", "no gathering of completions when busy"),
    may(Feature::NoIoWait, "no I/O wait accounting", "6.15", "idle cores show as I/O wait in top"),
];

/// What was found on this kernel.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    release: String,
    found: Vec<Feature>,
}

impl Probe {
    /// Tries out this kernel. Takes about a millisecond and leaves nothing behind.
    ///
    /// # Errors
    /// io_uring is forbidden, missing, or lacks something that skyring needs.
    pub(crate) fn run() -> Result<Self, Unavailable> {
        let probe = Self::find()?;
        match probe.shortage() {
            None => Ok(probe),
            Some(shortage) => Err(shortage),
        }
    }

    /// As [`run`](Self::run), for a kernel that lacks something too.
    pub(crate) fn find() -> Result<Self, Unavailable> {
        let mut ring = trial(|_| {}).map_err(Unavailable::now)?;
        let mut found = Vec::new();
        by_bits(ring.params(), &mut found);
        by_operations(&ring, &mut found);
        by_registrations(&mut ring, &mut found);
        drop(ring);
        by_flags(&mut found)?;
        if found.contains(&Feature::MinimumWait) {
            found.push(Feature::Incremental);
        }
        Ok(Self { release: release(), found })
    }

    /// Whether the kernel has this.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.found.contains(&feature)
    }

    /// The first thing that skyring needs and this kernel lacks.
    pub(crate) fn shortage(&self) -> Option<Unavailable> {
        let lacks = |about: &&About| about.without.is_none() && !self.has(about.feature);
        FEATURES
            .iter()
            .find(lacks)
            .map(|about| Unavailable::TooOld { lacking: about.name, release: self.release.clone() })
    }
}

/// The kernel's release, as `uname -r` prints it.
pub(crate) fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn by_bits(params: &Parameters, found: &mut Vec<Feature>) {
    let bits = [
        (Feature::NoDrop, params.is_feature_nodrop()),
        (Feature::TimeoutInEnter, params.is_feature_ext_arg()),
        (Feature::Bundles, params.is_feature_recvsend_bundle()),
        (Feature::MinimumWait, params.is_feature_min_timeout()),
        (Feature::NoIoWait, params.is_feature_no_iowait()),
    ];
    found.extend(bits.into_iter().filter(|(_, set)| *set).map(|(feature, _)| feature));
}

fn by_operations(ring: &IoUring, found: &mut Vec<Feature>) {
    const NEEDED: [u8; 11] = [
        opcode::Nop::CODE,
        opcode::PollAdd::CODE,
        opcode::SendMsg::CODE,
        opcode::RecvMsg::CODE,
        opcode::Accept::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Connect::CODE,
        opcode::Close::CODE,
        opcode::Send::CODE,
        opcode::Recv::CODE,
        opcode::Shutdown::CODE,
    ];
    let mut known = io_uring::Probe::new();
    if ring.submitter().register_probe(&mut known).is_err() {
        return;
    }
    let all = |codes: &[u8]| codes.iter().all(|&code| known.is_supported(code));
    let operations = [
        (Feature::Operations, all(&NEEDED)),
        (Feature::MessageRing, all(&[opcode::MsgRingData::CODE])),
        (Feature::SendZeroCopy, all(&[opcode::SendZc::CODE, opcode::SendMsgZc::CODE])),
    ];
    found.extend(operations.into_iter().filter(|(_, has)| *has).map(|(feature, _)| feature));
}

fn by_registrations(ring: &mut IoUring, found: &mut Vec<Feature>) {
    let is_absent =
        |result: io::Result<()>| result.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let by_descriptor = CancelBuilder::fd(Fd(ring.as_raw_fd()));
    let submitter = ring.submitter();
    if is_absent(submitter.unregister_buf_ring(0)) {
        found.push(Feature::BufferRings);
    }
    if is_absent(submitter.register_sync_cancel(None, by_descriptor)) {
        found.push(Feature::CancelByDescriptor);
    }
    let mut submitter = submitter;
    // Taken back at once: the registration would keep the ring alive until the thread ends.
    if submitter.register_ring_fd().and_then(|()| submitter.unregister_ring_fd()).is_ok() {
        found.push(Feature::RingDescriptor);
    }
}

fn by_flags(found: &mut Vec<Feature>) -> Result<(), Unavailable> {
    type Flags = fn(&mut io_uring::Builder);
    let flags: [(Feature, Flags); 4] = [
        (Feature::SubmitAll, |builder| _ = builder.setup_submit_all()),
        (Feature::MultishotReceive, |builder| _ = builder.setup_single_issuer()),
        (Feature::DeferTaskrun, |builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }),
        (Feature::NoSubmissionArray, |builder| _ = builder.setup_no_sqarray()),
    ];
    for (feature, flags) in flags {
        match trial(flags) {
            Ok(_) => found.push(feature),
            // The kernel's word for a flag that it does not know.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
            Err(error) => return Err(Unavailable::now(error)),
        }
    }
    Ok(())
}

/// A small ring with some flags.
fn trial(flags: impl FnOnce(&mut io_uring::Builder)) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    flags(&mut builder);
    patiently(|| builder.build(8))
}

/// Sets up, for a moment, one ring of full size for each core, so that a limit of locked memory
/// or descriptors shows before a server starts.
///
/// # Errors
/// What the kernel said to the first ring that it refused.
pub(crate) fn rehearse(settings: &Settings) -> io::Result<()> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(settings.completion_entries());
    let full = |_: &usize| patiently(|| builder.build(settings.ring_entries));
    // All are held until the last one stands.
    let rings: io::Result<Vec<IoUring>> = settings.cores.iter().map(full).collect();
    rings.map(drop)
}

/// Tries again for 50 ms at most while memory is short: the kernel gives the locked memory of a
/// dropped ring back from a work queue, a moment after the close has returned.
fn patiently(setup: impl Fn() -> io::Result<IoUring>) -> io::Result<IoUring> {
    const TRIES: u32 = 25;
    for _ in 1..TRIES {
        match setup() {
            Err(error) if error.raw_os_error() == Some(Errno::NOMEM.raw_os_error()) => {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
    setup()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_needed_and_lacking_is_named() {
        let mut probe = Probe { release: "5.15.0".into(), found: Vec::new() };
        let lacks = |probe: &Probe| match probe.shortage() {
            Some(Unavailable::TooOld { lacking, .. }) => lacking,
            _ => "nothing",
        };
        assert_eq!(lacks(&probe), "socket operations");
        probe.found.extend(FEATURES.iter().map(|about| about.feature));
        assert_eq!(lacks(&probe), "nothing");
        probe.found.retain(|feature| *feature != Feature::Bundles);
        assert_eq!(lacks(&probe), "nothing", "bundles are not needed");
        probe.found.retain(|feature| *feature != Feature::DeferTaskrun);
        assert_eq!(lacks(&probe), "deferred task work");
    }

    #[test]
    fn this_kernel_is_probed_without_surprise() {
        match Probe::run() {
            Ok(probe) => {
                assert_eq!(probe.release, release());
                assert!(probe.has(Feature::DeferTaskrun));
            }
            // A host that forbids io_uring is no failure of the probe.
            Err(unavailable) => assert!(!unavailable.to_string().is_empty()),
        }
    }
}
