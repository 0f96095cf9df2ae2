//! The handshake (RFC 6455, section 4), on a socket that blocks.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use crate::error::{Doing, Error, Result};

/// The nonce of the RFC's own example, and the answer to it: a load needs no secret.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a handshake may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at an answer that has come in part.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) fn request(path: &str, authority: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Asks for a WebSocket and reads the answer, not a byte beyond it.
pub(super) fn open(request: &[u8], socket: &OwnedFd) -> Result<()> {
    const WHAT: &str = "the handshake of WebSocket";
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(TIMEOUT)).doing(WHAT)?;
    let sent = send(socket, request, SendFlags::NOSIGNAL).doing(WHAT)?;
    if sent < request.len() {
        return Err(Error::run(format!("{WHAT}: the kernel took a part of it only")));
    }
    let head = read_head(socket)?;
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, None).doing(WHAT)?;
    check(&head).map_err(Error::run)
}

fn read_head(socket: &OwnedFd) -> Result<Vec<u8>> {
    let begun = Instant::now();
    let mut head = vec![0; HEAD_BYTES_MAX];
    loop {
        let (count, _) =
            recv(socket, &mut *head, RecvFlags::PEEK).map_err(|errno| match errno {
                Errno::AGAIN => Error::run(format!("no answer to a handshake within {TIMEOUT:?}")),
                errno => Error::run(format!("a handshake: {}", std::io::Error::from(errno))),
            })?;
        if let Some(end) = memchr::memmem::find(&head[..count], b"\r\n\r\n") {
            head.truncate(end + 4);
            // It lies there, so this takes it whole.
            let (taken, _) = recv(socket, &mut *head, RecvFlags::empty()).doing("a handshake")?;
            assert_eq!(taken, head.len(), "what was looked at is taken");
            return Ok(head);
        }
        if count == 0 {
            return Err(Error::run("the server closed instead of answering a handshake"));
        }
        if count == HEAD_BYTES_MAX || begun.elapsed() > TIMEOUT {
            return Err(Error::run(format!("{count} bytes are no answer to a handshake")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the head of an answer agrees to the handshake.
fn check(head: &[u8]) -> std::result::Result<(), String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        return Err(format!("a handshake is answered with {status:?} instead of 101"));
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    for (name, wanted) in
        [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", ACCEPT)]
    {
        let is_same = |value: &str| match name {
            "sec-websocket-accept" => value == wanted,
            _ => value.eq_ignore_ascii_case(wanted),
        };
        let mut values = fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        if !values.any(|(_, value)| is_same(value.trim())) {
            return Err(format!("the answer to a handshake has no `{name}: {wanted}`"));
        }
    }
    match fields.iter().find(|(field, _)| field.eq_ignore_ascii_case("sec-websocket-extensions")) {
        Some((_, value)) => Err(format!("an extension that nobody asked for:{value}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_very_key_opens() {
        let good = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        assert_eq!(check(good.as_bytes()), Ok(()));
        for (from, to) in [
            ("101", "200"),
            ("WebSocket\r", "h2c\r"),
            ("Connection: Upgrade", "Connection: close"),
            ("s3pP", "S3pP"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
        ] {
            assert!(check(good.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
