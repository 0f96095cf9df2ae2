//! Why io_uring is not there for us, told apart, each with its remedy.

use std::{fmt, fs, io};

use rustix::io::Errno;

/// Why skyring cannot run here. It prints as one sentence that ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// The sysctl `kernel.io_uring_disabled` forbids io_uring; its value.
    ForbiddenBySysctl(u32),
    /// A seccomp profile, such as Docker's default one, or a security module forbids io_uring.
    ForbiddenBySandbox,
    /// The kernel is built without io_uring, is older than 5.1, or a sandbox hides it.
    Missing,
    /// The kernel's io_uring lacks something that skyring needs.
    TooOld {
        /// What it lacks.
        lacking: &'static str,
        /// The kernel's release, as `uname -r` prints it.
        release: String,
    },
    /// Setting up the smallest ring failed for another reason: a limit is used up.
    Refused {
        /// The kernel's name of the error, `ENOMEM`.
        errno: &'static str,
        /// Its cause and the remedy.
        cause: &'static str,
    },
}

impl Unavailable {
    pub(super) fn now(error: io::Error) -> Self {
        Self::from_setup(&error, disabled())
    }

    /// What an error of the smallest possible set-up means; `sysctl` is the value of
    /// `kernel.io_uring_disabled`.
    fn from_setup(error: &io::Error, sysctl: Option<u32>) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSYS) => Self::Missing,
            Some(Errno::PERM | Errno::ACCESS) => match sysctl {
                Some(value @ 1..) => Self::ForbiddenBySysctl(value),
                _ => Self::ForbiddenBySandbox,
            },
            _ => Self::Refused {
                errno: super::errno::name(error),
                cause: super::errno::explain(error),
            },
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForbiddenBySysctl(1) => f.write_str(
                "io_uring is kept for privileged users here (kernel.io_uring_disabled is 1): run \
                 `sysctl kernel.io_uring_disabled=0`, or join the group that \
                 kernel.io_uring_group names",
            ),
            Self::ForbiddenBySysctl(value) => write!(
                f,
                "io_uring is switched off on this machine (kernel.io_uring_disabled is {value}): \
                 run `sysctl kernel.io_uring_disabled=0`",
            ),
            Self::ForbiddenBySandbox => f.write_str(
                "io_uring is forbidden by a sandbox, such as Docker's default seccomp profile: \
                 allow io_uring_setup, io_uring_enter and io_uring_register in the profile, or \
                 for a trial run `docker run --security-opt seccomp=unconfined`",
            ),
            Self::Missing => f.write_str(
                "this kernel has no io_uring, or a sandbox such as gVisor hides it: run Linux 6.1 \
                 or newer, built with CONFIG_IO_URING",
            ),
            Self::TooOld { lacking, release } => write!(
                f,
                "the io_uring of this kernel ({release}) is too old, it lacks \"{lacking}\": run \
                 Linux 6.1 or newer",
            ),
            Self::Refused { errno, cause } => {
                write!(f, "the kernel refused the smallest ring ({errno}): {cause}")
            }
        }
    }
}

impl std::error::Error for Unavailable {}

/// The sysctl `kernel.io_uring_disabled`: 0 for all users, 1 for the privileged ones, 2 for none.
/// Kernels before 6.6 do not have it, unless a vendor took it back.
pub(crate) fn disabled() -> Option<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_set_up_is_told_apart() {
        let case = |errno: Errno, sysctl| Unavailable::from_setup(&errno.into(), sysctl);
        assert_eq!(case(Errno::PERM, Some(2)), Unavailable::ForbiddenBySysctl(2));
        assert_eq!(case(Errno::PERM, Some(1)), Unavailable::ForbiddenBySysctl(1));
        assert_eq!(case(Errno::PERM, Some(0)), Unavailable::ForbiddenBySandbox);
        assert_eq!(case(Errno::PERM, None), Unavailable::ForbiddenBySandbox);
        assert_eq!(case(Errno::ACCESS, None), Unavailable::ForbiddenBySandbox);
        assert_eq!(case(Errno::NOSYS, Some(0)), Unavailable::Missing);
        let refused = case(Errno::NOMEM, Some(0));
        assert!(refused.to_string().contains("ENOMEM") && refused.to_string().contains("ulimit"));
    }

    #[test]
    fn each_is_one_sentence_with_the_remedy() {
        let old = Unavailable::TooOld { lacking: "buffer rings", release: "5.15.0".into() };
        let cases = [
            (Unavailable::ForbiddenBySysctl(1), "kernel.io_uring_group"),
            (Unavailable::ForbiddenBySysctl(2), "sysctl kernel.io_uring_disabled=0"),
            (Unavailable::ForbiddenBySandbox, "seccomp=unconfined"),
            (Unavailable::Missing, "CONFIG_IO_URING"),
            (old, "Linux 6.1 or newer"),
        ];
        for (case, remedy) in cases {
            let line = case.to_string();
            assert!(line.contains(remedy) && !line.contains('\n'), "{line}");
            assert!(!line.contains("  ") && !line.ends_with('.'), "{line}");
        }
    }
}
