//! The name of a session.

use std::fmt;

use super::fields::{Reader, put_text};
use crate::error::Error;

/// The longest user or server, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Names a session: a user, on a server, and which of his sessions there it is. Shown as
/// `ann@games#5`, as Skynet writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    user: Box<str>,
    server: Box<str>,
    subid: u64,
}

/// A user or a server has a name that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// It has so many bytes, and may have 1 to 255.
    Length(usize),
    /// It has a control character, which would confuse logs.
    Control,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Length(len) => {
                write!(f, "a name has 1 to {NAME_BYTES_MAX} bytes, this one has {len}")
            }
            NameError::Control => f.write_str("a name has no control characters"),
        }
    }
}

impl std::error::Error for NameError {}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        Error::Other(error.into())
    }
}

impl Name {
    /// The name of a session.
    ///
    /// ```
    /// use skyring::login::Name;
    ///
    /// assert_eq!(Name::new("ann", "games", 5)?.to_string(), "ann@games#5");
    /// assert!(Name::new("", "games", 5).is_err());
    /// # Ok::<(), skyring::login::NameError>(())
    /// ```
    ///
    /// # Errors
    /// [`NameError`]: of the user or of the server.
    pub fn new(user: &str, server: &str, subid: u64) -> Result<Name, NameError> {
        let user = checked(user)?.into();
        let server = checked(server)?.into();
        Ok(Name { user, server, subid })
    }

    /// Whose session it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server it is on.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Which session of that server it is.
    pub fn subid(&self) -> u64 {
        self.subid
    }

    /// `subid u64 | user text | server text`.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.subid.to_be_bytes());
        put_text(to, &self.user);
        put_text(to, &self.server);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Name> {
        let subid = from.u64()?;
        let (user, server) = (from.text()?, from.text()?);
        Name::new(user, server, subid).ok()
    }
}

fn checked(name: &str) -> Result<&str, NameError> {
    match name.len() {
        1..=NAME_BYTES_MAX if name.chars().any(char::is_control) => Err(NameError::Control),
        1..=NAME_BYTES_MAX => Ok(name),
        len => Err(NameError::Length(len)),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.user, self.server, self.subid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_written_and_read_and_the_next_refused() {
        let longest = "ä".repeat(127) + "x";
        let name = Name::new(&longest, "s", u64::MAX).expect("255 bytes");
        let mut bytes = Vec::new();
        name.write(&mut bytes);
        assert_eq!(Name::read(&mut Reader::new(&bytes)), Some(name));
        for cut in 0..bytes.len() {
            assert_eq!(Name::read(&mut Reader::new(&bytes[..cut])), None);
        }
        assert_eq!(Name::new("u", &"x".repeat(256), 0), Err(NameError::Length(256)));
        assert_eq!(Name::new("", "s", 0), Err(NameError::Length(0)));
        assert_eq!(Name::new("a\nb", "s", 0), Err(NameError::Control));
    }

    #[test]
    fn what_is_no_text_is_no_name() {
        let bytes = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 1, b's'];
        assert_eq!(Name::read(&mut Reader::new(&bytes)), None);
    }
}
