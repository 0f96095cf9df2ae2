//! What one client says and hears, as bytes.

use memchr::memmem;

/// A text begins with the time at which it was due: 16 hexadecimal digits.
pub(super) const STAMP_BYTES: usize = 16;

/// What an object says that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Welcome,
    RoomJoined,
    /// Id and time of a message.
    Message(u64, u64),
    /// Id of one's own message.
    Sent(u64),
    /// Somebody comes or goes.
    Other,
    /// An error object, or none that is known.
    Bad,
}

/// The frame of a command.
pub(super) fn frame(out: &mut Vec<u8>, command: &[u8]) {
    let length = u16::try_from(command.len()).expect("commands are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(command);
}

/// The frame of a text of `size` bytes that was due then.
pub(super) fn message(out: &mut Vec<u8>, due_ns: u64, size: usize) {
    let stamp = format!("MSG\n{due_ns:016x}");
    let length = u16::try_from(stamp.len() + size - STAMP_BYTES).expect("texts are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(stamp.as_bytes());
    out.resize(out.len() + size - STAMP_BYTES, b'.');
}

/// The first whole frame: its payload and how many bytes it takes.
pub(super) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = bytes.first_chunk::<2>()?;
    let end = 2 + usize::from(u16::from_be_bytes(*head));
    Some((bytes.get(2..end)?, end))
}

/// Reads an object. The server writes its fields in a known order, and no blanks.
pub(super) fn read(object: &[u8]) -> Heard {
    let Some(rest) = object.strip_prefix(b"{\"type\":\"") else { return Heard::Bad };
    if let Some(rest) = rest.strip_prefix(b"message\",\"id\":") {
        let text = memmem::find(rest, b"\"text\":\"").map(|at| &rest[at + 8..]);
        let due = text.and_then(|text| text.get(..STAMP_BYTES)).and_then(hexadecimal);
        return number(rest).zip(due).map_or(Heard::Bad, |(id, due)| Heard::Message(id, due));
    }
    if let Some(rest) = rest.strip_prefix(b"sent\",\"id\":") {
        return number(rest).map_or(Heard::Bad, Heard::Sent);
    }
    match rest.split(|&byte| byte == b'"').next() {
        Some(b"welcome") => Heard::Welcome,
        Some(b"room_joined") => Heard::RoomJoined,
        Some(b"join" | b"leave") => Heard::Other,
        _ => Heard::Bad,
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_the_server_are_read() {
        let message = br#"{"type":"message","id":42,"user":"Guest1","text":"00000000000000ff...","time":"12:00:00"}"#;
        assert_eq!(read(message), Heard::Message(42, 255));
        assert_eq!(read(br#"{"type":"sent","id":7,"time":"12:00:00"}"#), Heard::Sent(7));
        assert_eq!(read(br#"{"type":"welcome","user":"x"}"#), Heard::Welcome);
        assert_eq!(read(br#"{"type":"error","code":"no_room"}"#), Heard::Bad);
        assert_eq!(read(br#"{"type":"message","id":1,"text":"hello"}"#), Heard::Bad);
        for cut in 0..message.len() {
            let _ = read(&message[..cut]);
        }
    }

    #[test]
    fn frames_are_cut_when_they_are_whole() {
        let mut bytes = Vec::new();
        message(&mut bytes, 255, 20);
        let sent = b"MSG\n00000000000000ff....";
        assert_eq!(first(&bytes), Some((&sent[..], bytes.len())));
        for cut in 0..bytes.len() {
            assert_eq!(first(&bytes[..cut]), None);
        }
    }
}
