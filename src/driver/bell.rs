//! The doorbell by which other threads wake a sleeping core.
//!
//! ```text
//!   other thread                     core
//!   push to the inbox                asleep = true
//!   fence(SeqCst)                    fence(SeqCst)
//!   asleep? then ring                inbox empty? then sleep
//! ```
//! Without the fences both sides may miss the other: the message lies in the inbox of a sleeper.

use rustix::fd::OwnedFd;

use crate::memory::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes one core. Shared by all who hold an address on it.
#[derive(Debug)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    wake: Wake,
}

#[derive(Debug)]
enum Wake {
    /// The core's ring polls this eventfd.
    Event(OwnedFd),
    /// The simulated kernel looks at the flag.
    Flag(AtomicBool),
}

impl Bell {
    /// A bell for a core that polls an eventfd.
    pub(crate) fn event(fd: OwnedFd) -> Bell {
        Bell { asleep: AtomicBool::new(false), wake: Wake::Event(fd) }
    }

    /// A bell for a simulated core.
    pub(crate) fn flag() -> Bell {
        Bell { asleep: AtomicBool::new(false), wake: Wake::Flag(AtomicBool::new(false)) }
    }

    /// Wakes the core if it sleeps; whether it did. Call it after the message is in the inbox.
    pub(crate) fn ring(&self) -> bool {
        if let Wake::Flag(flag) = &self.wake {
            // A simulated core sleeps after its enter has returned, when it counts as awake here.
            flag.store(true, Ordering::Release);
            return true;
        }
        fence(Ordering::SeqCst);
        if !self.asleep.load(Ordering::Relaxed) || !self.wakes() {
            return false;
        }
        if let Wake::Event(fd) = &self.wake {
            // The counter does not overflow: it grows by one for each sleep, and has 64 bits.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
        true
    }

    /// Whether it is this thread that wakes the core.
    fn wakes(&self) -> bool {
        let flag = &self.asleep;
        flag.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The core is about to sleep: it must look at its inboxes once more after this.
    pub(crate) fn will_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The core is awake.
    pub(crate) fn is_awake(&self) {
        // A store would do. loom does not derive the order of the flag's values from the atomicity of
        // the ringer's exchange, as the memory model does, and would see a lost ring that cannot be.
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// The eventfd, when there is one.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        match &self.wake {
            Wake::Event(fd) => Some(fd),
            Wake::Flag(_) => None,
        }
    }

    /// Whether the simulated core was rung since the last call.
    pub(crate) fn take_rung(&self) -> bool {
        match &self.wake {
            Wake::Event(_) => false,
            Wake::Flag(flag) => flag.swap(false, Ordering::Acquire),
        }
    }
}

#[cfg(all(test, loom))]
mod loom;
