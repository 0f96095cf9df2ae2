//! Version 2: a binary header.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{HEADER_BYTES_MAX, Header, Origin, ProxyError, Step};

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The type of the field that holds a checksum.
const FIELD_CRC32C: u8 = 0x03;

pub(super) fn decode(bytes: &[u8]) -> Result<Step, ProxyError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(ProxyError::Missing);
    }
    // What is wrong already is said before the rest is waited for.
    let command = bytes.get(12).copied().map(command).transpose()?;
    if let (Some(Command::Relay), Some(&family)) = (command, bytes.get(13)) {
        addresses_bytes(family)?;
    }
    let (Some(command), Some(&[family, high, low])) =
        (command, bytes.get(13..FIXED_BYTES).and_then(<[u8]>::first_chunk))
    else {
        return Ok(Step::Partial { needed: FIXED_BYTES });
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let encoded = FIXED_BYTES + len;
    if encoded > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong { len: encoded });
    }
    if command == Command::Relay && len < addresses_bytes(family)? {
        return Err(ProxyError::TooShort { len });
    }
    let Some(header) = bytes.get(..encoded) else {
        return Ok(Step::Partial { needed: encoded });
    };
    let origin = match command {
        Command::Local => Origin::Local,
        Command::Relay => relayed(header, family)?,
    };
    Ok(Step::Header(Header { origin, encoded }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// The proxy's own connection; all that follows is to be ignored, the family too.
    Local,
    /// `PROXY` in the specification.
    Relay,
}

fn command(byte: u8) -> Result<Command, ProxyError> {
    match (byte >> 4, byte & 15) {
        (2, 0) => Ok(Command::Local),
        (2, 1) => Ok(Command::Relay),
        (2, other) => Err(ProxyError::Command(other)),
        (other, _) => Err(ProxyError::Version(other)),
    }
}

/// How many bytes the addresses of a family take; none where they are to be ignored.
fn addresses_bytes(family: u8) -> Result<usize, ProxyError> {
    match (family >> 4, family & 15) {
        (0..=3, 0) | (0, 1 | 2) => Ok(0),
        (1, 1 | 2) => Ok(12),
        (2, 1 | 2) => Ok(36),
        (3, 1 | 2) => Ok(216),
        _ => Err(ProxyError::Family(family)),
    }
}

fn relayed(header: &[u8], family: u8) -> Result<Origin, ProxyError> {
    let len = addresses_bytes(family)?;
    if len == 0 {
        return Ok(Origin::Unknown); // what follows may be anything
    }
    let (addresses, fields) = header[FIXED_BYTES..].split_at(len);
    check_fields(header, fields)?;
    let ends = match family >> 4 {
        1 => ends::<4>(addresses),
        2 => ends::<16>(addresses),
        _ => None,
    };
    Ok(match ends {
        None => Origin::Unknown,
        Some((source, destination)) if family & 15 == 1 => Origin::Stream { source, destination },
        Some((source, destination)) => Origin::Datagram { source, destination },
    })
}

/// Two addresses of so many bytes, then two ports.
fn ends<const BYTES: usize>(addresses: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = addresses.split_first_chunk::<BYTES>()?;
    let (destination, ports) = rest.split_first_chunk::<BYTES>()?;
    let ports: [u8; 4] = ports.try_into().ok()?;
    let address = |octets: &[u8; BYTES]| match <[u8; 4]>::try_from(&octets[..]) {
        Ok(v4) => Some(Ipv4Addr::from(v4).into()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(&octets[..]).ok()?).into()),
    };
    let port = |at| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let source = SocketAddr::new(address(source)?, port(0));
    Some((source, SocketAddr::new(address(destination)?, port(2))))
}

/// Looks through the fields: one byte of type, two of length, and so many of value.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), ProxyError> {
    while let Some(&kind) = fields.first() {
        let cut = ProxyError::Field(kind);
        let (&[_, high, low], rest) = fields.split_first_chunk::<3>().ok_or(cut)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(len).ok_or(cut)?;
        if kind == FIELD_CRC32C {
            let sent = u32::from_be_bytes(value.try_into().map_err(|_| cut)?);
            let at = header.len() - rest.len() - len;
            if crc32c([&header[..at], &[0; 4], rest]) != sent {
                return Err(ProxyError::Checksum);
            }
        }
        fields = rest;
    }
    Ok(())
}

/// The checksum of RFC 9260, appendix A (Castagnoli, reflected), a bit at a time: it runs once for a
/// connection, over some hundred bytes, and only where the proxy asks for it.
pub(super) fn crc32c(parts: [&[u8]; 3]) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0x82f6_3b78 * (sum & 1)))
    })
}
