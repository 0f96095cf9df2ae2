//! Accounts: names and hashes of passwords, which are checked beside the reactors. How they are
//! written in a file says [`mod@file`].

mod check;
pub mod file;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use argon2::PasswordHash;

pub use self::file::AccountsError;

use self::check::{Checks, Ticket};

/// Passwords that wait or are checked at the same time, over all cores; more are refused. They share
/// the threads of [`blocking`](crate::blocking) with everything else that blocks. As many as there
/// are threads need memory at the same time, which is kept for the next.
pub const CHECKS_MAX: usize = 32;

/// What strangers' passwords are checked against where nobody has an account: of default costs, and
/// of no password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Names and hashes, and how many passwords are being checked.
pub struct Accounts {
    /// Where in `hashes` a name's is.
    names: HashMap<Box<str>, usize>,
    /// Never empty: without accounts there is one of nobody.
    hashes: Vec<PasswordHash>,
    strangers: RandomState,
    checks: Arc<Checks>,
}

impl Accounts {
    /// No accounts: nobody can log in.
    pub fn none() -> Accounts {
        Accounts::of(Vec::new())
    }

    /// Reads the accounts of a file.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is refused; the message names it.
    pub fn load(path: impl AsRef<Path>) -> Result<Accounts, AccountsError> {
        file::load(path.as_ref()).map(Accounts::of)
    }

    fn of(accounts: Vec<file::Account>) -> Accounts {
        let mut names = HashMap::with_capacity(accounts.len());
        let mut hashes = Vec::with_capacity(accounts.len());
        for (name, hash) in accounts {
            names.insert(name, hashes.len());
            hashes.push(hash);
        }
        if hashes.is_empty() {
            hashes.push(PasswordHash::new(NOBODY).expect("it is well-formed"));
        }
        Accounts { names, hashes, strangers: RandomState::new(), checks: Arc::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `password` is that of `name`. It is checked on a thread that may block: some twenty
    /// milliseconds of its processor, and the memory that the hash asks for.
    ///
    /// A name that has no account costs what one with an account costs: its password is checked
    /// against the hash of an account, always the same one for the same name. So the time does not
    /// tell who has an account; hashes of different costs are mixed for strangers as they are for
    /// accounts.
    ///
    /// # Errors
    /// [`Busy`]: [`CHECKS_MAX`] passwords are being checked already, too much else blocks, or there
    /// is no memory for it.
    ///
    /// # Panics
    /// Outside of a reactor.
    pub async fn check(&self, name: &str, password: String) -> Result<bool, Busy> {
        let known = self.names.get(name).copied();
        let stranger = self.strangers.hash_one(name) as usize % self.hashes.len();
        let hash = self.hashes[known.unwrap_or(stranger)].clone();
        let ticket = Ticket::take(&self.checks).ok_or(Busy)?;
        // The work goes on when the client goes away, and counts as long as it does.
        let checked = crate::blocking(move || ticket.check(&password, &hash));
        match checked.await.map_err(|_| Busy)? {
            Ok(is_right) => Ok(is_right && known.is_some()),
            Err(error) => {
                tracing::warn!(%error, "a password could not be checked");
                Err(Busy)
            }
        }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Too many passwords are being checked, or there is no memory for another check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many passwords are being checked")
    }
}

impl std::error::Error for Busy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_accounts_there_is_a_hash_all_the_same() {
        let accounts = Accounts::none();
        assert!(accounts.is_empty());
        assert_eq!(accounts.hashes.len(), 1);
    }
}
