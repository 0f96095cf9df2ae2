//! How a ring is set up, from the newest kernel down to the floor.

use std::io;
use std::time::{Duration, Instant};

use io_uring::IoUring;

/// The memory of a ring that was closed is given back a little later: how long a new one waits for
/// it, and how often it looks.
const SETUP_PATIENCE: Duration = Duration::from_millis(50);
const SETUP_PAUSE: Duration = Duration::from_millis(5);

/// What the ring is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// Submissions before an enter is due; rounded up to a power of two.
    pub(crate) entries: u32,
    /// Completions before the kernel must hold them back.
    pub(crate) completions: u32,
}

/// Sets the ring up with the best flags that this kernel takes, from newest to the floor (6.1).
pub(super) fn build(options: RingOptions) -> io::Result<IoUring> {
    let started = Instant::now();
    let mut no_sqarray = true;
    loop {
        let mut builder = IoUring::builder();
        builder
            .setup_clamp()
            .setup_cqsize(options.completions)
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag();
        if no_sqarray {
            builder.setup_no_sqarray(); // 6.6
        }
        match builder.build(options.entries) {
            Ok(ring) => {
                // Saves a descriptor look-up in each enter (5.18); works without.
                let _ = ring.submitter().register_ring_fd();
                return Ok(ring);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && no_sqarray => {
                no_sqarray = false;
            }
            Err(error) => {
                let short = error.raw_os_error() == Some(libc::ENOMEM);
                if !short || started.elapsed() > SETUP_PATIENCE {
                    return Err(error);
                }
                std::thread::sleep(SETUP_PAUSE);
            }
        }
    }
}
