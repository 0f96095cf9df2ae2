//! What ends a run: one sentence for the user, and the exit status that goes with it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

/// Shorthand for what every step of a run returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run could not be made. Errors of single requests are counted in
/// [`crate::generator::Errors`] instead and never end a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be; exit status 2.
    Usage(String),
    /// What was asked for went wrong; exit status 1.
    Run(String),
}

impl Error {
    /// An error of the one who asked.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// An error of the machine or the peer.
    pub fn run(message: impl Into<String>) -> Self {
        Self::Run(message.into())
    }

    /// A connect that failed, with what to do.
    pub fn unreachable(target: SocketAddr, errno: Errno) -> Self {
        let remedy = match errno {
            Errno::CONNREFUSED => {
                "nothing listens there; start the server first, or leave --target out to have one started"
            }
            Errno::ADDRNOTAVAIL => {
                "no free port is left; wait a minute for old connections to time out, or use fewer"
            }
            Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => {
                "it cannot be reached; check the address and firewalls"
            }
            Errno::MFILE | Errno::NFILE => "no descriptors are left; use fewer connections",
            _ => "connecting failed",
        };
        Self::run(format!("{target}: {remedy} ({})", std::io::Error::from(errno)))
    }

    /// The status with which the program ends.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Run(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Run(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// Adds what was being done to an error of the kernel.
pub trait Doing<T> {
    /// Turns the error into `doing: error`.
    ///
    /// # Errors
    /// The same error, worded.
    fn doing(self, what: &str) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|error| Error::run(format!("{what}: {error}")))
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|error| Error::run(format!("{what}: {}", io::Error::from(error))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connect_says_what_to_do() {
        let error =
            Error::unreachable("127.0.0.1:1".parse().expect("an address"), Errno::CONNREFUSED);
        assert!(error.to_string().contains("start the server first"), "{error}");
    }
}
