//! Accounts from a file: names, and argon2id hashes of passwords.
//!
//! ```text
//! # a comment
//! alice:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$...
//! ```
//! One account a line: a name, a colon, and the hash in its text form (PHC). `skyring agent hash
//! alice` reads a password and prints such a line. The file is read once, whole; a line that is
//! malformed, that names somebody twice, or whose hash would cost too much to check, is refused.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use argon2::{Argon2, Params, PasswordHash, PasswordHasher};

/// A larger file of accounts is refused, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// A longer name is refused, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// A longer password is refused, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// A hash that needs more memory is refused (argon2's `m`), in KiB.
pub const MEMORY_KIB_MAX: u32 = 256 << 10;
/// A hash that makes more passes over its memory is refused (argon2's `t`).
pub const PASSES_MAX: u32 = 64;
/// A hash that makes more passes times memory is refused (`m` times `t`), in KiB: about a second.
pub const WORK_KIB_MAX: u64 = 1 << 20;
/// A hash with more lanes is refused (argon2's `p`).
pub const LANES_MAX: u32 = 16;
/// A shorter hash is refused, in bytes: it could be guessed.
pub const HASH_BYTES_MIN: usize = 16;

/// A name and its hash.
pub(super) type Account = (Box<str>, PasswordHash);

/// A line, from 1, and why it is refused.
type Refused = (usize, LineError);

/// The line of a new account: `name`, and the hash of `password` with a random salt and the default
/// costs (19 MiB, two passes).
///
/// # Errors
/// The name or the password is not allowed; the message says why.
pub fn line(name: &str, password: &str) -> Result<String, LineError> {
    check_name(name)?;
    match password.len() {
        0 => return Err(LineError::NoPassword),
        len if len > PASSWORD_BYTES_MAX => return Err(LineError::LongPassword(len)),
        _ => {}
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(format!("{name}:{}", hash.map_err(|error| LineError::Hash(error.to_string()))?))
}

/// Reads the accounts of a file.
pub(super) fn load(path: &Path) -> Result<Vec<Account>, AccountsError> {
    let failed = |problem| AccountsError { path: path.into(), problem };
    let text = read(path).map_err(failed)?;
    parse(&text).map_err(|(line, reason)| failed(Problem::Line(line, reason)))
}

fn read(path: &Path) -> Result<String, Problem> {
    let file = std::fs::File::open(path).map_err(Problem::Read)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Problem::Read)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Problem::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Problem::Line(line, LineError::NotText)
    })
}

/// All accounts, or the first line that is refused and why.
fn parse(text: &str) -> Result<Vec<Account>, Refused> {
    let mut accounts = Vec::new();
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = line.split_once(':').ok_or((number, LineError::NoColon))?;
        check_name(name).map_err(|error| (number, error))?;
        if let Some(first) = lines.insert(name, number) {
            return Err((number, LineError::Twice { name: name.into(), first }));
        }
        let hash = parse_hash(hash).map_err(|error| (number, error))?;
        accounts.push((name.into(), hash));
    }
    Ok(accounts)
}

fn check_name(name: &str) -> Result<(), LineError> {
    let is_bad = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with('#')
        || name.contains(is_bad)
    {
        return Err(LineError::Name);
    }
    Ok(())
}

fn parse_hash(text: &str) -> Result<PasswordHash, LineError> {
    if !text.starts_with("$argon2id$") {
        return Err(LineError::Algorithm);
    }
    let hash = PasswordHash::new(text).map_err(|error| LineError::Hash(error.to_string()))?;
    if hash.version != Some(19) {
        return Err(LineError::Version);
    }
    for name in ["m", "t", "p"] {
        if hash.params.get(name).is_none() {
            return Err(LineError::Hash(format!("it has no {name}=")));
        }
    }
    if let Some((name, _)) =
        hash.params.iter().find(|(name, _)| !["m", "t", "p"].contains(&name.as_str()))
    {
        return Err(LineError::Hash(format!("it has {name}=, which is not used here")));
    }
    let params = Params::try_from(&hash).map_err(|error| LineError::Hash(error.to_string()))?;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let work = u64::from(memory) * u64::from(passes);
    if memory > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX || work > WORK_KIB_MAX {
        return Err(LineError::Costly { memory, passes, lanes });
    }
    match (&hash.salt, &hash.hash) {
        (None, _) => Err(LineError::Hash("it has no salt".into())),
        (_, None) => Err(LineError::Hash("it ends behind the salt".into())),
        (_, Some(output)) if output.len() < HASH_BYTES_MIN => Err(LineError::Short(output.len())),
        _ => Ok(hash),
    }
}

/// Why a file of accounts is refused. The text names the file, and the line.
#[derive(Debug)]
pub struct AccountsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Read(std::io::Error),
    TooLarge,
    Line(usize, LineError),
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot read the accounts in {path}: {error}"),
            Problem::TooLarge => {
                write!(
                    f,
                    "{path} has more than {} MiB; is it the right file?",
                    FILE_BYTES_MAX >> 20
                )
            }
            Problem::Line(line, error) => write!(f, "{path}:{line}: {error}"),
        }
    }
}

impl std::error::Error for AccountsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            Problem::Line(_, error) => Some(error),
            Problem::TooLarge => None,
        }
    }
}

impl From<AccountsError> for crate::Error {
    fn from(error: AccountsError) -> crate::Error {
        crate::Error::Other(error.into())
    }
}

/// Why a line is no account. No text of these holds a hash or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// There is no colon behind the name.
    NoColon,
    /// The line is not UTF-8.
    NotText,
    /// The name is empty, too long, or has a character that it cannot have.
    Name,
    /// An earlier line has that name.
    Twice {
        /// The name.
        name: Box<str>,
        /// The earlier line, from 1.
        first: usize,
    },
    /// The hash cannot be read.
    Hash(String),
    /// The hash is of another kind, or is none.
    Algorithm,
    /// The hash is not of version 19.
    Version,
    /// The hash would take too much memory or time.
    Costly {
        /// Its `m`, in KiB.
        memory: u32,
        /// Its `t`.
        passes: u32,
        /// Its `p`.
        lanes: u32,
    },
    /// The hash has so few bytes.
    Short(usize),
    /// The password is empty.
    NoPassword,
    /// The password has so many bytes.
    LongPassword(usize),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::NoColon => {
                f.write_str("no account; write name:$argon2id$..., as `skyring agent hash` does")
            }
            LineError::NotText => f.write_str("not UTF-8"),
            LineError::Name => write!(
                f,
                "bad name; it has 1 to {NAME_BYTES_MAX} bytes, no space, no colon, and no # at the \
                 front"
            ),
            LineError::Twice { name, first } => {
                write!(f, "{name:?} is in line {first} already; remove one of them")
            }
            LineError::Hash(why) => write!(
                f,
                "the hash cannot be read: {why}; it is $argon2id$v=19$m=...,t=...,p=...$salt$hash"
            ),
            LineError::Algorithm => f.write_str(
                "what stands behind the name is no hash of argon2id; `skyring agent hash` makes one",
            ),
            LineError::Version => f.write_str("a hash without v=19; hash it anew"),
            LineError::Costly { memory, passes, lanes } => write!(
                f,
                "m={memory},t={passes},p={lanes} costs too much to check: m is at most \
                 {MEMORY_KIB_MAX}, t {PASSES_MAX}, p {LANES_MAX}, and m times t {WORK_KIB_MAX}"
            ),
            LineError::Short(len) => {
                write!(f, "a hash of {len} bytes can be guessed; it has {HASH_BYTES_MIN} at least")
            }
            LineError::NoPassword => f.write_str("the password is empty"),
            LineError::LongPassword(len) => {
                write!(f, "a password of {len} bytes; {PASSWORD_BYTES_MAX} are the most")
            }
        }
    }
}

impl std::error::Error for LineError {}

#[cfg(test)]
mod tests;
