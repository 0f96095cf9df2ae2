//! Frames: those of a client are masked, those of a server are not (RFC 6455, section 5).

use std::ops::Range;

/// Opcodes.
pub const CONTINUATION: u8 = 0;
/// See [`CONTINUATION`].
pub const TEXT: u8 = 1;
/// See [`CONTINUATION`].
pub const BINARY: u8 = 2;
/// See [`CONTINUATION`].
pub const CLOSE: u8 = 8;
/// See [`CONTINUATION`].
pub const PING: u8 = 9;
/// See [`CONTINUATION`].
pub const PONG: u8 = 10;

/// The longest head: two bytes, a length of eight, a key.
pub const HEAD_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// A whole frame at the front of what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its opcode.
    pub opcode: u8,
    /// Whether its message ends with it.
    pub is_final: bool,
    /// Where its payload lies.
    pub payload: Range<usize>,
    /// How many bytes it takes.
    pub bytes: usize,
}

/// Writes the head of a client's frame that is a message of its own.
#[inline]
pub fn write_head(opcode: u8, payload_bytes: usize, key: [u8; 4], out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    match payload_bytes {
        0..126 => out.push(MASKED | payload_bytes as u8),
        126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
}

/// Masks or unmasks; the compiler makes vectors of it.
#[inline]
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let value = u64::from_ne_bytes((&*word).try_into().expect("eight bytes")) ^ wide;
        word.copy_from_slice(&value.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// A control frame of a client; masked by a key of zeros, which changes nothing.
pub fn control(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES_MAX + payload.len());
    write_head(opcode, payload.len(), [0; 4], &mut out);
    out.extend_from_slice(payload);
    out
}

/// Looks for a server's frame at the front of `received`; `None` when more bytes are needed.
///
/// # Errors
/// A sentence: it breaks the protocol, or it is a Close.
#[inline]
pub fn find(received: &[u8]) -> Result<Option<Found>, String> {
    let Some(&[first, second]) = received.first_chunk() else { return Ok(None) };
    let opcode = first & 0x0f;
    if first & RESERVED != 0 {
        return Err(format!("a frame with reserved bits ({first:#04x})"));
    }
    if second & MASKED != 0 {
        return Err("a masked frame, which a server must not send".to_owned());
    }
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(format!("a frame of opcode {opcode}"));
    }
    let (start, length) = match second {
        126 => {
            let Some(bytes) = received[2..].first_chunk() else { return Ok(None) };
            (4, u64::from(u16::from_be_bytes(*bytes)))
        }
        127 => {
            let Some(bytes) = received[2..].first_chunk() else { return Ok(None) };
            (10, u64::from_be_bytes(*bytes))
        }
        short => (2, u64::from(short)),
    };
    let least = match start {
        4 => 126,
        10 => 0x1_0000,
        _ => 0,
    };
    if length < least {
        return Err(format!("a length of {length} that has a shorter form"));
    }
    if opcode >= CLOSE && (length > 125 || first & FIN == 0) {
        return Err(format!("a control frame of {length} bytes, or in fragments"));
    }
    let left = received.len() - start;
    if usize::try_from(length).map_or(true, |length| left < length) {
        return Ok(None);
    }
    let end = start + length as usize;
    if opcode == CLOSE {
        return Err(closed(&received[start..end]));
    }
    Ok(Some(Found { opcode, is_final: first & FIN != 0, payload: start..end, bytes: end }))
}

#[cold]
fn closed(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!(
            "closed by the server with {} {}",
            u16::from_be_bytes(*code),
            reason.escape_ascii()
        ),
        None => "closed by the server without a code".to_owned(),
    }
}

/// A message of several frames: its content, and how many bytes it takes. Control frames between
/// them are passed over.
///
/// # Errors
/// As [`find`], and when it is no message of `opcode`.
pub fn join(received: &[u8], opcode: u8) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut content, mut at, mut expected) = (Vec::new(), 0, opcode);
    while let Some(found) = find(&received[at..])? {
        if found.opcode < CLOSE {
            if found.opcode != expected {
                return Err(format!("a frame of opcode {} where {expected} was due", found.opcode));
            }
            content.extend_from_slice(&received[at..][found.payload]);
            expected = CONTINUATION;
        }
        at += found.bytes;
        if found.opcode < CLOSE && found.is_final {
            return Ok(Some((content, at)));
        }
    }
    Ok(None)
}
