//! What the kernel's errors mean for a network server, and what to do about them.

use std::io;

use rustix::io::Errno;

use crate::config::{Limit, Settings};

/// The kernel's name of an error, `ECONNRESET`; `?` for one that a network server does not meet.
pub fn name(error: &io::Error) -> &'static str {
    about(error).map_or("?", |about| about.name)
}

/// The usual cause of an error in a network server, and the remedy where there is one.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(24);
/// assert!(skyring::doctor::explain(&error).contains("RLIMIT_NOFILE"));
/// ```
pub fn explain(error: &io::Error) -> &'static str {
    about(error)
        .map_or("an error that the kernel gives for none of our usual reasons", |about| about.cause)
}

struct About {
    errno: Errno,
    name: &'static str,
    cause: &'static str,
}

fn about(error: &io::Error) -> Option<&'static About> {
    let errno = error.raw_os_error()?;
    ERRORS.iter().find(|about| about.errno.raw_os_error() == errno)
}

macro_rules! errors {
    ($($errno:ident = $name:ident: $cause:literal;)+) => {
        const ERRORS: &[About] =
            &[$(About { errno: Errno::$errno, name: stringify!($name), cause: $cause }),+];
    };
}

errors! {
    PERM = EPERM: "forbidden, by a sandbox, a firewall or a missing privilege";
    INTR = EINTR: "a signal came; the call is made again";
    BADF = EBADF: "the descriptor is closed already";
    AGAIN = EAGAIN: "nothing there yet, or a limit of the kernel for the moment";
    NOMEM = ENOMEM: "the kernel has no memory for it, or RLIMIT_MEMLOCK is used up; raise `ulimit -l`";
    ACCESS = EACCES: "no right to this address or path; ports below 1024 want CAP_NET_BIND_SERVICE";
    BUSY = EBUSY: "the completion queue is full; reap it first";
    EXIST = EEXIST: "it is registered already";
    INVAL = EINVAL: "the kernel does not know this operation or flag, or an argument is wrong";
    NFILE = ENFILE: "the machine has no descriptor left; raise the sysctl fs.file-max";
    MFILE = EMFILE: "this process has no descriptor left; raise RLIMIT_NOFILE (`ulimit -n`)";
    NOSPC = ENOSPC: "no room, on the disk or in a table of the kernel";
    PIPE = EPIPE: "our side of the connection is shut down, or the peer has reset it";
    NOSYS = ENOSYS: "the kernel, or a sandbox around us, does not have this call";
    NOTSOCK = ENOTSOCK: "the descriptor is not a socket";
    MSGSIZE = EMSGSIZE: "the datagram is larger than the path or the socket takes";
    OPNOTSUPP = EOPNOTSUPP: "this kind of socket does not do that";
    AFNOSUPPORT = EAFNOSUPPORT: "the machine has this address family (IPv6?) switched off";
    ADDRINUSE = EADDRINUSE: "another socket listens there, or an earlier one has not yet let go";
    ADDRNOTAVAIL = EADDRNOTAVAIL: "no interface has this address, or all local ports towards it are in use";
    NETDOWN = ENETDOWN: "the interface is down";
    NETUNREACH = ENETUNREACH: "no route to that network";
    CONNABORTED = ECONNABORTED: "the peer gave up before the connection was accepted";
    CONNRESET = ECONNRESET: "the peer has reset the connection, often by closing with data unread";
    NOBUFS = ENOBUFS: "no block was free to receive into; raise SKYRING_POOL_BLOCKS if it goes on";
    ISCONN = EISCONN: "the socket is connected already";
    NOTCONN = ENOTCONN: "the socket is not, or no longer, connected";
    TIMEDOUT = ETIMEDOUT: "the peer did not answer in time; a firewall may drop the packets";
    CONNREFUSED = ECONNREFUSED: "nobody listens there";
    HOSTDOWN = EHOSTDOWN: "the host does not answer on its network";
    HOSTUNREACH = EHOSTUNREACH: "no route to that host, or it does not answer on its network";
    ALREADY = EALREADY: "the operation runs already and cannot be cancelled any more";
    INPROGRESS = EINPROGRESS: "the operation has begun and is not done yet";
    CANCELED = ECANCELED: "the operation was cancelled, by us";
    TIME = ETIME: "the wait came to its end";
}

/// Locked memory that one reactor's ring and buffer ring are charged for, in bytes: 64 for each
/// submission, 16 for each completion and each block, 4 for each place of the submission array,
/// in whole pages.
pub(crate) fn ring_bytes(settings: &Settings) -> u64 {
    const PAGE: u64 = 4096;
    let entries = u64::from(settings.ring_entries);
    let completions = u64::from(settings.completion_entries());
    let pages = |bytes: u64| bytes.next_multiple_of(PAGE);
    // The header of the rings' own shared page is counted generously.
    pages(64 * entries)
        + pages(16 * completions + 4 * entries + 512)
        + pages(16 * u64::from(settings.pool_blocks))
}

/// One sentence for a ring that could not be set up: how much was asked for, what the limit is,
/// and the remedy.
pub(crate) fn ring_failure(error: &io::Error, settings: &Settings, memlock: Limit) -> String {
    if error.kind() != io::ErrorKind::OutOfMemory {
        return format!("a ring could not be set up: {} ({})", explain(error), name(error));
    }
    let asked = settings.cores.len() as u64 * ring_bytes(settings);
    let (rings, ask) = match settings.cores.len() {
        1 => ("one ring".to_owned(), "asks"),
        n => (format!("{n} rings"), "ask"),
    };
    format!(
        "locked memory is too short: {rings} of {} entries {ask} for {}, and RLIMIT_MEMLOCK allows \
         {} to all programs of this user together; raise it (`ulimit -l`, LimitMEMLOCK= in \
         systemd), grant CAP_IPC_LOCK, or lower SKYRING_RING_ENTRIES",
        settings.ring_entries,
        kib(asked),
        memlock.soft.map_or("any amount".into(), kib),
    )
}

/// Bytes in KiB, rounded up.
pub(crate) fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_error_stands_once_and_is_one_clause() {
        for (index, error) in ERRORS.iter().enumerate() {
            assert!(!ERRORS[..index].iter().any(|other| other.errno == error.errno));
            assert!(error.name.starts_with('E'));
            assert!(error.cause.len() < 100 && !error.cause.ends_with('.'), "{}", error.cause);
            let error_text = io::Error::from(error.errno);
            assert_eq!((name(&error_text), explain(&error_text)), (error.name, error.cause));
        }
    }

    #[test]
    fn an_unknown_error_has_an_explanation_too() {
        assert_eq!(name(&io::Error::from_raw_os_error(4095)), "?");
        assert!(!explain(&io::Error::other("not the kernel's")).is_empty());
    }

    #[test]
    fn a_ring_that_finds_no_memory_names_amount_limit_and_remedy() {
        let settings = Config::new().cores(78).resolve().unwrap();
        let memlock = Limit { soft: Some(8 << 20), hard: Some(8 << 20) };
        let line = ring_failure(&Errno::NOMEM.into(), &settings, memlock);
        assert!(line.contains("78 rings of 1024 entries ask for 8"), "{line}");
        assert!(line.contains("allows 8192 KiB") && line.contains("ulimit -l"), "{line}");
        let line = ring_failure(&Errno::MFILE.into(), &settings, memlock);
        assert!(line.contains("RLIMIT_NOFILE") && line.ends_with("(EMFILE)"), "{line}");
    }
}
