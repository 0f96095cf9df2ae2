//! Checks of passwords: a bounded number at a time, in memory that is used again.
//!
//! A check fills some megabytes of blocks, aligned to 64 bytes. Allocated anew for each, glibc's
//! arenas break into pieces: four threads that need 19 MiB each held 860 MB after some hundred
//! logins. So what one check has used waits here for the next: as many as ever ran together, each as
//! large as the dearest hash that it was used for.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::Output;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};

use super::CHECKS_MAX;

/// What checks of all cores share.
#[derive(Default)]
pub(super) struct Checks {
    under_way: AtomicUsize,
    spare: Mutex<Vec<Vec<Block>>>,
}

/// One of the checks that may be under way.
pub(super) struct Ticket(Arc<Checks>);

/// A check did not come to an end: there is no memory for it.
#[derive(Debug)]
pub(super) struct Failed(argon2::Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Ticket {
    /// None when as many as allowed are under way.
    pub(super) fn take(checks: &Arc<Checks>) -> Option<Ticket> {
        let one_more = |count| (count < CHECKS_MAX).then_some(count + 1);
        checks.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Ticket(checks.clone()))
    }

    /// Whether the password is the one of the hash.
    pub(super) fn check(self, password: &str, hash: &PasswordHash) -> Result<bool, Failed> {
        let spare = || self.0.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = spare().pop().unwrap_or_default();
        let checked = verify(password.as_bytes(), hash, &mut memory);
        spare().push(memory);
        checked
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As argon2's own `verify_password`, which would allocate. Blocks need not be cleared: the first
/// pass writes all of them before it reads them (RFC 9106, section 3.2).
fn verify(password: &[u8], hash: &PasswordHash, memory: &mut Vec<Block>) -> Result<bool, Failed> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let Ok(params) = Params::try_from(hash) else { return Ok(false) };
    let count = params.block_count();
    let missing = count.saturating_sub(memory.len());
    memory.try_reserve_exact(missing).map_err(|_| Failed(argon2::Error::OutOfMemory))?;
    memory.resize(memory.len() + missing, Block::new());
    let mut output = [0; Output::MAX_LENGTH];
    let output = &mut output[..expected.len()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, output, &mut memory[..count])
        .map_err(Failed)?;
    // The comparison takes the same time wherever they differ.
    Ok(Output::new(output).is_ok_and(|output| output == *expected))
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn hash(password: &str, memory: u32, passes: u32, lanes: u32) -> PasswordHash {
        let params = Params::new(memory, passes, lanes, None).expect("valid");
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        hasher.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt").expect("hashed")
    }

    #[test]
    fn as_many_passwords_as_allowed_are_checked_at_the_same_time() {
        let checks = Arc::default();
        let mut taken: Vec<Ticket> =
            (0..CHECKS_MAX).filter_map(|_| Ticket::take(&checks)).collect();
        assert_eq!(taken.len(), CHECKS_MAX);
        assert!(Ticket::take(&checks).is_none());
        taken.pop();
        assert!(Ticket::take(&checks).is_some());
    }

    #[test]
    fn used_memory_gives_the_answers_of_new_memory() {
        let checks = Arc::<Checks>::default();
        let costs = [(8, 1, 1), (64, 3, 2), (16, 2, 1), (128, 1, 4), (9, 1, 1)];
        let hashes: Vec<PasswordHash> =
            costs.iter().map(|(m, t, p)| hash("secret", *m, *t, *p)).collect();
        for hash in hashes.iter().chain(hashes.iter().rev()) {
            for password in ["wrong", "secret", ""] {
                let ticket = Ticket::take(&checks).expect("one at a time");
                let is_right = ticket.check(password, hash).expect("checked");
                assert_eq!(is_right, password == "secret");
                let theirs = Argon2::default().verify_password(password.as_bytes(), hash);
                assert_eq!(is_right, theirs.is_ok());
            }
        }
        let spare = checks.spare.lock().expect("no panic");
        assert_eq!(spare.iter().map(Vec::len).collect::<Vec<_>>(), [128], "one, used again");
    }
}
