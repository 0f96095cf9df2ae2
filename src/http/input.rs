//! What a connection has received and nobody has read: cut into heads and bodies, of requests or of
//! answers. No socket.

use std::mem;

use crate::memory::frame::Frame;
use crate::wire::http::{
    AnswerError, AnswerHead, AnswerLength, BodyLength, Chunk, Chunked, Head, HeadLimits,
    RequestError, Step, decode, decode_answer,
};

/// What was received and is unread.
#[derive(Default)]
pub(super) struct Input {
    piece: Option<Frame>,
    at: usize,
    /// The beginning of a head whose end has not come.
    partial: Vec<u8>,
    scanned: usize,
    body: BodyState,
    /// Of the current body.
    body_bytes: u64,
}

#[derive(Default)]
enum BodyState {
    /// So many bytes are left.
    Left(u64),
    /// All there will be; of an answer.
    UntilEnd,
    Chunked(Box<Chunked>),
    /// Where it ends is unknown.
    Broken(RequestError),
    #[default]
    None,
}

/// What a look for the body has found.
pub(super) enum Cut {
    Data(Frame),
    /// Everything was used up.
    More,
    End,
}

impl Input {
    /// Takes received bytes in; all before them are used up.
    pub(super) fn put(&mut self, piece: Frame) {
        debug_assert!(self.piece.is_none(), "a piece is used up before the next is read");
        self.piece = Some(piece);
        self.at = 0;
    }

    /// What is unread, but for the beginning of a head.
    pub(super) fn into_rest(self) -> Option<Frame> {
        self.piece.map(|piece| piece.slice(self.at..))
    }

    /// How many bytes of the body are left; `None` when its chunks tell.
    pub(super) fn body_left(&self) -> Option<u64> {
        match &self.body {
            BodyState::Left(left) => Some(*left),
            BodyState::None => Some(0),
            BodyState::Chunked(chunked) => chunked.is_done().then_some(0),
            BodyState::UntilEnd | BodyState::Broken(_) => None,
        }
    }

    /// The peer has ended the connection. Whether the body ends by that.
    pub(super) fn end_body(&mut self) -> bool {
        let ends = matches!(self.body, BodyState::UntilEnd);
        if ends {
            self.body = BodyState::None;
        }
        ends
    }

    /// How many bytes of the body have been read.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// What of the protocol, or which limit, the body has broken.
    pub(super) fn broken(&self) -> Option<RequestError> {
        match self.body {
            BodyState::Broken(error) => Some(error),
            _ => None,
        }
    }

    /// The lines of the trailers, once the body has ended.
    pub(super) fn trailers(&self) -> Option<&[u8]> {
        match &self.body {
            BodyState::Chunked(chunked) if chunked.is_done() => Some(chunked.trailers()),
            _ => None,
        }
    }

    /// The next head of what was received, if it is whole.
    pub(super) fn cut_head(
        &mut self,
        limits: &HeadLimits,
    ) -> Result<Option<(Head, Frame)>, RequestError> {
        let cut = self.cut(limits.head_bytes_max, |bytes, scanned| {
            Ok(match decode(bytes, scanned, limits)? {
                Step::Head(head) => Some((head.encoded, head)),
                Step::Partial => None,
            })
        })?;
        if let Some((head, _)) = &cut {
            self.begin_body(match head.body {
                BodyLength::Bytes(0) => BodyState::None,
                BodyLength::Bytes(len) => BodyState::Left(len),
                BodyLength::Chunked => BodyState::Chunked(Box::default()),
            });
        }
        Ok(cut)
    }

    /// As [`Input::cut_head`], of an answer; `to_head`: to a request that was HEAD.
    pub(super) fn cut_answer(
        &mut self,
        limits: &HeadLimits,
        to_head: bool,
    ) -> Result<Option<(AnswerHead, Frame)>, AnswerError> {
        let cut = self.cut(limits.head_bytes_max, |bytes, scanned| {
            let head = decode_answer(bytes, scanned, limits, to_head)?;
            Ok(head.map(|head| (head.encoded, head)))
        })?;
        if let Some((head, _)) = &cut {
            self.begin_body(match head.body {
                AnswerLength::Bytes(0) => BodyState::None,
                AnswerLength::Bytes(len) => BodyState::Left(len),
                AnswerLength::Chunked => BodyState::Chunked(Box::default()),
                AnswerLength::UntilEnd => BodyState::UntilEnd,
            });
        }
        Ok(cut)
    }

    /// Cuts what `decode` finds at the front: so many bytes, and what they mean.
    #[inline]
    fn cut<H, E>(
        &mut self,
        bytes_max: usize,
        decode: impl Fn(&[u8], &mut usize) -> Result<Option<(usize, H)>, E>,
    ) -> Result<Option<(H, Frame)>, E> {
        let input = self;
        let Some(piece) = &input.piece else { return Ok(None) };
        if input.partial.is_empty() {
            let rest = &piece[input.at..];
            if let Some((encoded, head)) = decode(rest, &mut input.scanned)? {
                let bytes = piece.slice(input.at..input.at + encoded);
                input.at += encoded;
                return Ok(Some((head, bytes)));
            }
            input.partial.extend_from_slice(rest);
            input.piece = None;
            return Ok(None);
        }
        // No more than a head may have: what is behind it stays where it is.
        let room = bytes_max.saturating_sub(input.partial.len());
        let take = room.min(piece.len() - input.at);
        input.partial.extend_from_slice(&piece[input.at..input.at + take]);
        let Some((encoded, head)) = decode(&input.partial, &mut input.scanned)? else {
            input.piece = None;
            return Ok(None);
        };
        // The head ends in this piece, or it would have been whole before.
        input.at += take - (input.partial.len() - encoded);
        let mut bytes = mem::take(&mut input.partial);
        bytes.truncate(encoded);
        Ok(Some((head, Frame::from(bytes))))
    }

    /// As much of the next head as has come, and maybe what is behind it: one that is malformed has no
    /// end.
    pub(super) fn head_so_far(&self) -> &[u8] {
        match &self.piece {
            Some(piece) if self.partial.is_empty() => &piece[self.at..],
            _ => &self.partial,
        }
    }

    /// Whether some of a head has come. An empty line, which some peers send behind a body, is none.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.partial[..], [] | [b'\r'] | [b'\r', b'\n'])
    }

    fn begin_body(&mut self, body: BodyState) {
        self.scanned = 0;
        self.body_bytes = 0;
        self.body = body;
        if self.piece.as_ref().is_some_and(|piece| piece.len() == self.at) {
            self.piece = None;
        }
    }

    /// Whether nothing is left of what was received.
    pub(super) fn is_empty(&self) -> bool {
        self.piece.is_none() && self.partial.is_empty()
    }

    /// The next piece of the body of what was received; at most `bytes_max` bytes in all.
    pub(super) fn cut_body(&mut self, bytes_max: u64) -> Result<Cut, RequestError> {
        loop {
            let (used, is_data) = match &mut self.body {
                BodyState::None | BodyState::Left(0) => return Ok(Cut::End),
                BodyState::Chunked(chunked) if chunked.is_done() => return Ok(Cut::End),
                BodyState::Broken(error) => return Err(*error),
                _ if self.piece.is_none() => return Ok(Cut::More),
                BodyState::Left(left) => {
                    let there = self.piece.as_ref().map_or(0, |piece| piece.len() - self.at);
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                    *left -= used as u64;
                    (used, true)
                }
                BodyState::UntilEnd => {
                    (self.piece.as_ref().map_or(0, |piece| piece.len() - self.at), true)
                }
                BodyState::Chunked(chunked) => {
                    let piece = self.piece.as_ref().expect("looked at above");
                    match chunked.decode(&piece[self.at..]) {
                        Ok((used, chunk)) => (used, chunk == Chunk::Data),
                        Err(error) => return Err(self.break_body(error)),
                    }
                }
            };
            let data = self.take(used);
            if is_data {
                self.body_bytes += used as u64;
                if self.body_bytes > bytes_max {
                    return Err(self.break_body(RequestError::BodyTooLong));
                }
                return Ok(Cut::Data(data.expect("there was a piece")));
            }
        }
    }

    #[cold]
    fn break_body(&mut self, error: RequestError) -> RequestError {
        self.body = BodyState::Broken(error);
        error
    }

    /// The next `count` bytes of the piece.
    fn take(&mut self, count: usize) -> Option<Frame> {
        let piece = self.piece.as_ref()?;
        let taken = piece.slice(self.at..self.at + count);
        self.at += count;
        if self.at == piece.len() {
            self.piece = None;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method and body of each request, fed in `pieces`.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, RequestError> {
        let (mut input, mut requests) = (Input::default(), Vec::new());
        let mut in_body = false;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            input.put(Frame::from(piece.to_vec()));
            loop {
                if !in_body {
                    let Some((head, bytes)) = input.cut_head(&HeadLimits::default())? else {
                        break;
                    };
                    requests.push((head.method.of(&bytes).to_owned(), Vec::new()));
                    in_body = true;
                }
                match input.cut_body(100)? {
                    Cut::Data(data) => {
                        requests.last_mut().expect("it has a head").1.extend_from_slice(&data);
                    }
                    Cut::End => in_body = false,
                    Cut::More => break,
                }
            }
            assert!(input.piece.is_none(), "all of a piece is used up");
        }
        Ok(requests)
    }

    #[test]
    fn every_cut_gives_the_same_requests() {
        let wire = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\
            \r\n\r\nabc\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n\
            1\r\nf\r\n0\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
        let whole = read(&[wire]).expect("valid");
        let bodies: Vec<&[u8]> = whole.iter().map(|(_, body)| &body[..]).collect();
        assert_eq!(bodies, [&b""[..], b"abc", b"def", b""]);
        for first in 0..=wire.len() {
            for second in (first..=wire.len()).step_by(3) {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(read(&pieces).expect("valid"), whole, "{first} {second}");
            }
        }
        let alone: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(&alone).expect("valid"), whole);
    }

    #[test]
    fn the_longest_body_passes_and_one_byte_more_is_refused() {
        let body = |len: usize| {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{head}{len:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(len))
        };
        assert_eq!(read(&[body(100).as_bytes()]).expect("allowed")[0].1.len(), 100);
        assert_eq!(read(&[body(101).as_bytes()]), Err(RequestError::BodyTooLong));
    }
}
