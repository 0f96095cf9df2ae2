//! The rule for names of people and rooms, and when two are the same.

use std::fmt;
use std::sync::Arc;

/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 24;

/// What guests are called, with a number behind.
const GUEST: &str = "guest";

/// A name that keeps the rule: 1 to [`NAME_CHARS_MAX`] letters and digits of any script (Unicode's
/// Alphabetic and Numeric), `-` and `_`. So it needs no quotes anywhere, and no blank, control or
/// combining character hides in it.
///
/// Two names are the same when they differ in capitals only; a name is shown as it was given.
/// Letters of different scripts that look alike (Latin `a`, Cyrillic `а`) are different.
#[derive(Clone, Debug)]
pub struct Name {
    shown: Arc<str>,
    folded: Box<str>,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// No character at all.
    Empty,
    /// More than [`NAME_CHARS_MAX`] characters.
    TooLong,
    /// It holds this, which is neither letter nor digit nor `-` nor `_`.
    Character(char),
    /// `Guest` with a number belongs to who has not chosen a name.
    Guest,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a name has one character at least"),
            NameError::TooLong => write!(f, "a name has {NAME_CHARS_MAX} characters at most"),
            NameError::Character(char) => {
                f.write_str("a name is made of letters, digits, - and _, not of ")?;
                match char {
                    ' ' => f.write_str("blanks"),
                    char if char.is_ascii_graphic() => write!(f, "{char}"),
                    // Who knows what it would do where it is shown.
                    char => write!(f, "U+{:04X}", *char as u32),
                }
            }
            NameError::Guest => {
                f.write_str("Guest with a number is the name of those who have not chosen one")
            }
        }
    }
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        for (at, char) in text.chars().enumerate() {
            if at == NAME_CHARS_MAX {
                return Err(NameError::TooLong);
            }
            if !char.is_alphanumeric() && char != '-' && char != '_' {
                return Err(NameError::Character(char));
            }
        }
        Ok(Name { shown: text.into(), folded: fold(text) })
    }

    /// As [`Name::new`], for a person who chooses: names of guests are not to be had.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn chosen(text: &str) -> Result<Name, NameError> {
        let name = Name::new(text)?;
        let number = name.folded.strip_prefix(GUEST);
        let is_guest = number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_guest { Err(NameError::Guest) } else { Ok(name) }
    }

    /// The name of a guest.
    pub fn guest(number: u64) -> Name {
        let shown = format!("Guest{number}");
        Name { folded: fold(&shown), shown: shown.into() }
    }

    /// As it is shown.
    pub fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// As it is compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

/// Each character by itself, up and then down: one that has several small forms has one then.
fn fold(text: &str) -> Box<str> {
    let folded = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_and_digits_of_any_script() {
        for good in ["a", "Ann-2", "bob_", "Jürgen", "Ольга", "小明", "ありさ", "محمد", "٤٢", "-"]
        {
            assert_eq!(&**Name::new(good).expect(good).shown(), good);
        }
        let bad = [
            ("", NameError::Empty),
            ("a b", NameError::Character(' ')),
            ("a\n", NameError::Character('\n')),
            ("a\u{1b}[31m", NameError::Character('\u{1b}')),
            ("\0", NameError::Character('\0')),
            ("a\u{200b}", NameError::Character('\u{200b}')),
            ("\u{202e}nna", NameError::Character('\u{202e}')),
            ("e\u{301}", NameError::Character('\u{301}')),
            ("a\u{9b}", NameError::Character('\u{9b}')),
            ("\u{a0}", NameError::Character('\u{a0}')),
            ("<b>", NameError::Character('<')),
            ("🙂", NameError::Character('🙂')),
        ];
        for (text, error) in bad {
            assert_eq!(Name::new(text).expect_err(text), error);
            assert!(
                error.to_string().is_ascii() && !error.to_string().contains('\u{1b}'),
                "{error}"
            );
        }
    }

    #[test]
    fn the_longest_name_passes_and_one_character_more_is_refused() {
        for letter in ["x", "ж", "小", "𐌰"] {
            assert!(Name::new(&letter.repeat(NAME_CHARS_MAX)).is_ok());
            let long = letter.repeat(NAME_CHARS_MAX + 1);
            assert_eq!(Name::new(&long).expect_err("too long"), NameError::TooLong);
        }
    }

    #[test]
    fn names_that_differ_in_capitals_are_the_same() {
        for (one, other) in
            [("Ann", "aNN"), ("ÄRGER", "ärger"), ("ΣΑΣ", "σας"), ("\u{212a}im", "kim"), ("ſ", "S")]
        {
            let (one, other) = (Name::new(one).expect(one), Name::new(other).expect(other));
            assert_eq!(one.folded(), other.folded());
        }
        let (latin, cyrillic) = (Name::new("a").expect("a"), Name::new("а").expect("а"));
        assert_ne!(latin.folded(), cyrillic.folded());
    }

    #[test]
    fn names_of_guests_cannot_be_chosen() {
        for guest in ["Guest1", "guest007", "GUEST99999999"] {
            assert_eq!(Name::chosen(guest).expect_err(guest), NameError::Guest);
        }
        for free in ["guest", "Guests1", "Guest1a", "my-guest1"] {
            assert!(Name::chosen(free).is_ok(), "{free}");
        }
        assert_eq!(Name::guest(7).folded(), "guest7");
    }
}
