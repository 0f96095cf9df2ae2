//! What a client may say: one command a frame. Bytes in, a command or the reason why not out.
//!
//! ```text
//!   JOIN\nlobby     the tutorial's form: the command, a line feed, the body
//!   JOIN lobby      the same on one line, for people
//! ```

use std::fmt;
use std::str;

/// A command, with its body as it was sent: what is a name is not looked at here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Enter a room, and leave the one before.
    Join(&'a str),
    /// Say something to the room.
    Message(&'a str),
    /// Leave the room.
    Leave,
    /// Take another name.
    Nick(&'a str),
    /// Who is in a room: one's own, or that of a name.
    Who(Option<&'a str>),
    /// Which rooms there are.
    List,
    /// Say something to one person.
    Whisper(&'a str, &'a str),
}

/// Why bytes are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// Nothing was sent.
    Empty,
    /// Not UTF-8.
    NotText,
    /// There is no such command.
    Unknown,
    /// The command says something, and nothing was given.
    NoBody(&'static str),
    /// The command takes nothing, and something was given.
    Body(&'static str),
    /// A text of more bytes than allowed.
    TooLong(usize),
    /// A text with a control character other than tab and line feed.
    Control,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Empty => f.write_str("an empty command; try: JOIN lobby"),
            CommandError::NotText => f.write_str("a command is text in UTF-8"),
            CommandError::Unknown => f.write_str(
                "unknown command; there are JOIN room, MSG text, LEAVE, NICK name, WHO, WHO room, \
                 LIST, WHISPER name text",
            ),
            CommandError::NoBody(usage) => write!(f, "something is missing; write {usage}"),
            CommandError::Body(command) => write!(f, "{command} stands alone"),
            CommandError::TooLong(max) => write!(f, "the text has more than {max} bytes"),
            CommandError::Control => {
                f.write_str("a text holds no control characters but tab and line feed")
            }
        }
    }
}

impl CommandError {
    /// What programs know it by.
    pub fn code(&self) -> &'static str {
        match self {
            CommandError::Empty | CommandError::Unknown => "unknown_command",
            CommandError::NotText | CommandError::Control => "bad_text",
            CommandError::NoBody(_) | CommandError::Body(_) => "bad_command",
            CommandError::TooLong(_) => "too_long",
        }
    }
}

impl<'a> Command<'a> {
    /// Reads the payload of a frame. Commands are known in capitals and small letters; blanks around
    /// names do not count, those of a text do.
    ///
    /// # Errors
    /// [`CommandError`]; texts are of `text_bytes_max` bytes at most.
    pub fn parse(frame: &'a [u8], text_bytes_max: usize) -> Result<Command<'a>, CommandError> {
        let frame = str::from_utf8(frame).map_err(|_| CommandError::NotText)?;
        // In line mode the carriage return of a terminal has gone with the line feed already.
        let (word, body) = frame.split_once([' ', '\n']).unwrap_or((frame, ""));
        if word.is_empty() && body.trim().is_empty() {
            return Err(CommandError::Empty);
        }
        let known = |name: &str| word.eq_ignore_ascii_case(name);
        let text = |text: &'a str| checked(text, text_bytes_max);
        if known("MSG") {
            return Ok(Command::Message(text(given(body, "MSG text")?)?));
        }
        if known("WHISPER") {
            let usage = "WHISPER name text";
            let body = given(body.trim_start(), usage)?;
            let (to, said) = body.split_once([' ', '\n']).ok_or(CommandError::NoBody(usage))?;
            return Ok(Command::Whisper(to, text(given(said, usage)?)?));
        }
        let body = body.trim();
        let alone = |command, name| match body {
            "" => Ok(command),
            _ => Err(CommandError::Body(name)),
        };
        match () {
            () if known("JOIN") => Ok(Command::Join(given(body, "JOIN room")?)),
            () if known("NICK") => Ok(Command::Nick(given(body, "NICK name")?)),
            () if known("LEAVE") => alone(Command::Leave, "LEAVE"),
            () if known("LIST") => alone(Command::List, "LIST"),
            () if known("WHO") => Ok(Command::Who(Some(body).filter(|room| !room.is_empty()))),
            () => Err(CommandError::Unknown),
        }
    }
}

fn given<'a>(body: &'a str, usage: &'static str) -> Result<&'a str, CommandError> {
    if body.trim().is_empty() { Err(CommandError::NoBody(usage)) } else { Ok(body) }
}

fn checked(text: &str, bytes_max: usize) -> Result<&str, CommandError> {
    if text.len() > bytes_max {
        return Err(CommandError::TooLong(bytes_max));
    }
    // A terminal obeys some of them. A single pass: most texts are short, and ASCII.
    if text.chars().any(|char| char.is_control() && char != '\t' && char != '\n') {
        return Err(CommandError::Control);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 20;

    fn parse(frame: &[u8]) -> Result<Command<'_>, CommandError> {
        Command::parse(frame, MAX)
    }

    #[test]
    fn both_forms_of_each_command_are_read() {
        let cases: &[(&str, Command<'_>)] = &[
            ("JOIN\nlobby", Command::Join("lobby")),
            ("join  lobby ", Command::Join("lobby")),
            ("MSG\nhello all", Command::Message("hello all")),
            ("MSG  two blanks", Command::Message(" two blanks")),
            ("MSG a\nb\tc", Command::Message("a\nb\tc")),
            ("LEAVE", Command::Leave),
            ("LEAVE\n", Command::Leave),
            ("Leave ", Command::Leave),
            ("NICK\nann", Command::Nick("ann")),
            ("NICK a b", Command::Nick("a b")),
            ("WHO", Command::Who(None)),
            ("WHO ", Command::Who(None)),
            ("WHO lobby", Command::Who(Some("lobby"))),
            ("LIST", Command::List),
            ("WHISPER ann hi there", Command::Whisper("ann", "hi there")),
            ("WHISPER\nann\nhi", Command::Whisper("ann", "hi")),
        ];
        for (text, command) in cases {
            assert_eq!(parse(text.as_bytes()), Ok(*command), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        let cases: &[(&[u8], CommandError)] = &[
            (b"", CommandError::Empty),
            (b" ", CommandError::Empty),
            (b"\n\n", CommandError::Empty),
            (b" JOIN lobby", CommandError::Unknown),
            (b"JOINlobby", CommandError::Unknown),
            (b"JOIN\tlobby", CommandError::Unknown),
            (b"{\"cmd\":\"JOIN\"}", CommandError::Unknown),
            (b"GET / HTTP/1.1", CommandError::Unknown),
            (b"JOIN", CommandError::NoBody("JOIN room")),
            (b"JOIN \n ", CommandError::NoBody("JOIN room")),
            (b"MSG", CommandError::NoBody("MSG text")),
            (b"MSG \t ", CommandError::NoBody("MSG text")),
            (b"NICK ", CommandError::NoBody("NICK name")),
            (b"WHISPER", CommandError::NoBody("WHISPER name text")),
            (b"WHISPER ann", CommandError::NoBody("WHISPER name text")),
            (b"WHISPER ann ", CommandError::NoBody("WHISPER name text")),
            (b"LEAVE now", CommandError::Body("LEAVE")),
            (b"LIST all", CommandError::Body("LIST")),
            (b"MSG \x1b[2J", CommandError::Control),
            (b"MSG \xc2\x9b2J", CommandError::Control),
            (b"MSG \0", CommandError::Control),
            (b"MSG a\rb", CommandError::Control),
            (b"MSG \xff", CommandError::NotText),
            (b"\x16\x03\x01", CommandError::Unknown),
        ];
        for (frame, error) in cases {
            assert_eq!(parse(frame), Err(*error), "{}", frame.escape_ascii());
            assert!(!error.to_string().is_empty() && !error.code().is_empty());
        }
    }

    #[test]
    fn the_longest_text_passes_and_one_byte_more_is_refused() {
        let longest = "x".repeat(MAX);
        assert_eq!(parse(format!("MSG {longest}").as_bytes()), Ok(Command::Message(&longest)));
        assert_eq!(parse(format!("MSG {longest}x").as_bytes()), Err(CommandError::TooLong(MAX)));
        let whisper = format!("WHISPER ann {longest}");
        assert_eq!(parse(whisper.as_bytes()), Ok(Command::Whisper("ann", &longest)));
        assert!(parse(format!("{whisper}x").as_bytes()).is_err());
    }

    #[test]
    fn every_cut_and_many_mutations_are_read_or_refused() {
        let mut seed = 0x5EED_u32;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % bound
        };
        for text in ["JOIN\nlobby", "WHISPER ann hallo, Grüße", "MSG schön", "WHO x", "LEAVE"] {
            for cut in 0..=text.len() {
                let _ = parse(&text.as_bytes()[..cut]);
            }
            for _ in 0..10_000 {
                let mut bytes = text.as_bytes().to_vec();
                for _ in 0..=next(3) {
                    let at = next(bytes.len());
                    bytes[at] = b" \n\r\t\0\xff\xc3\x80JMLWN"[next(13)];
                }
                if let Ok(Command::Message(text) | Command::Whisper(_, text)) = parse(&bytes) {
                    assert!(text.len() <= MAX && !text.trim().is_empty());
                }
            }
        }
    }
}
