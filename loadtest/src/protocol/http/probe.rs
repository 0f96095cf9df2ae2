//! One request on a connection of its own, before the load.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::answer::{self, Body};
use super::{Dialogue, HEAD_BYTES_MAX};
use crate::error::{Error, Result};
use crate::framing::PAYLOAD_BYTES_MAX;

/// What the request's body is written with.
pub(super) const SEQUENCE: u64 = u64::MAX;
pub(super) const INTENDED_NS: u64 = 0;

/// How long the answer may take, and the connect.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The status and the content that a server answers a request with.
pub(super) fn ask(dialogue: &Dialogue, at: SocketAddr) -> Result<(u16, Vec<u8>)> {
    let told = |error: std::io::Error| Error::run(format!("{at}: asked once: {error}"));
    let mut stream = TcpStream::connect_timeout(&at, TIMEOUT).map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error);
        errno.map_or_else(|| told(error), |errno| Error::unreachable(at, errno))
    })?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(told)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(told)?;
    let mut request = Vec::new();
    dialogue.write(SEQUENCE, INTENDED_NS, &mut request);
    stream.write_all(&request).map_err(told)?;
    let (mut received, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let found = answer::find(&received, dialogue.is_to_head);
        if let Some(found) = found.map_err(|what| Error::run(format!("{at} answers {what}")))? {
            let content = match found.body {
                Body::Plain(range) => Cow::Borrowed(&received[range]),
                Body::Chunks(from) => Cow::Owned(answer::join(&received, from)),
            };
            return Ok((found.status, content.into_owned()));
        }
        if received.len() > HEAD_BYTES_MAX + PAYLOAD_BYTES_MAX {
            return Err(Error::run(format!("{at} answers more than {PAYLOAD_BYTES_MAX} bytes")));
        }
        match stream.read(&mut piece).map_err(told)? {
            0 => return Err(Error::run(format!("{at} closed before its answer was whole"))),
            count => received.extend_from_slice(&piece[..count]),
        }
    }
}
