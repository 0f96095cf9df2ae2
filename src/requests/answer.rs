//! What is answered: an object with a status, and the fields of a handler's reply beside it.

use serde::Serialize;

use crate::error::{Error, Result};

/// What a handler may return: any struct or map that serde can write, `()`, or [`Last`] of them.
pub trait Answer {
    /// What is written: its fields stand beside `"status":"ok"`.
    fn fields(&self) -> &impl Serialize;

    /// Whether the connection closes behind this answer.
    fn is_last(&self) -> bool {
        false
    }
}

impl<T: Serialize> Answer for T {
    fn fields(&self) -> &impl Serialize {
        self
    }
}

/// An answer behind which the connection closes, when all of it has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last<T>(pub T);

impl<T: Serialize> Answer for Last<T> {
    fn fields(&self) -> &impl Serialize {
        &self.0
    }

    fn is_last(&self) -> bool {
        true
    }
}

const OK: &[u8] = br#"{"status":"ok""#;

/// Writes a reply to the empty `out`; whether it is the last one.
pub(super) fn ok(answer: &impl Answer, out: &mut Vec<u8>) -> Result<bool> {
    out.extend_from_slice(OK);
    serde_json::to_writer(&mut *out, answer.fields())
        .map_err(|failure| Error::Other(failure.into()))?;
    // The reply's own bracket becomes the comma behind the status.
    match &out[OK.len()..] {
        b"null" | b"{}" => {
            out.truncate(OK.len());
            out.push(b'}');
        }
        [b'{', ..] => out[OK.len()] = b',',
        _ => return Err("an answer is a struct or a map, or ()".into()),
    }
    Ok(answer.is_last())
}

/// Writes an error object to the empty `out`.
pub(super) fn error(message: &str, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Object<'a> {
        status: &'static str,
        message: &'a str,
    }
    let object = Object { status: "error", message };
    serde_json::to_writer(out, &object).expect("text can be written to a Vec");
}
