//! What waits to be sent on one connection: order, priorities, warnings and the cap. No socket.
//!
//! ```text
//!   write      ──▶ high ─┐                       one send in flight
//!   write_low  ──▶ low  ─┴─▶ next() ──▶ chain ─────────────────────▶ sent() ─▶ rest, first again
//! ```

use std::collections::VecDeque;

use crate::error::SendError;
use crate::memory::chain::{Chain, Payload};
use crate::memory::frame::Frame;

/// Low-priority output that joins one send; what is urgent waits behind no more than this.
const LOW_BYTES_A_SEND: usize = 64 * 1024;

/// How the output of a connection stands; sent to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backlog {
    /// The peer reads too slowly: so many bytes wait. Raised at `SKYRING_SEND_WARN_BYTES`, at twice
    /// that, four times, and so on.
    Warning {
        /// Bytes that wait.
        queued: usize,
    },
    /// After a warning, everything has been sent.
    Drained,
}

/// Chunks of low priority.
#[derive(Debug, Default)]
struct Low {
    chunks: VecDeque<Chain>,
}

/// The send queue of one connection.
#[derive(Debug)]
pub(crate) struct Output {
    /// The unsent end of what was in flight; goes first, so that nothing is split.
    /// Boxed: few sends end in the middle.
    rest: Option<Box<Chain>>,
    high: Chain,
    /// Boxed: few connections have any.
    low: Option<Box<Low>>,
    in_flight: bool,
    /// Everything that waits, what is in flight included.
    bytes: usize,
    bytes_max: usize,
    /// 0 when warnings are off.
    warn_bytes: usize,
    warn_next: usize,
}

impl Output {
    pub(crate) fn new(bytes_max: usize, warn_bytes: usize) -> Output {
        Output {
            rest: None,
            high: Chain::default(),
            low: None,
            in_flight: false,
            bytes: 0,
            bytes_max,
            warn_bytes,
            warn_next: warn_bytes,
        }
    }

    /// Bytes that wait, those in flight included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues a payload between `head` and `tail`.
    ///
    /// # Errors
    /// [`SendError::Full`] when the cap would be passed; nothing is queued.
    #[inline]
    pub(crate) fn push(
        &mut self,
        head: &[u8],
        payload: Payload<'_>,
        tail: &[u8],
    ) -> Result<Option<Backlog>, SendError> {
        self.admit(head.len() + payload.len() + tail.len())?;
        let before = self.high.len();
        match &payload {
            Payload::Frame(frame) if self.holds_more(frame) => {
                self.high.push_encoded(head, Payload::Slice(frame), tail);
            }
            _ => self.high.push_encoded(head, payload, tail),
        }
        Ok(self.grown(self.high.len() - before))
    }

    /// Queues a payload behind everything of normal priority; it is sent whole once begun.
    ///
    /// # Errors
    /// As [`Output::push`].
    pub(crate) fn push_low(&mut self, payload: Payload<'_>) -> Result<Option<Backlog>, SendError> {
        self.admit(payload.len())?;
        let mut chunk = Chain::default();
        match &payload {
            Payload::Frame(frame) if self.holds_more(frame) => chunk.push(Payload::Slice(frame)),
            _ => chunk.push(payload),
        }
        let len = chunk.len();
        if len > 0 {
            self.low.get_or_insert_default().chunks.push_back(chunk);
        }
        Ok(self.grown(len))
    }

    /// Queues several payloads one behind the other: all of them or none.
    ///
    /// # Errors
    /// As [`Output::push`].
    pub(crate) fn push_all(
        &mut self,
        payloads: Vec<Payload<'_>>,
    ) -> Result<Option<Backlog>, SendError> {
        let len = payloads.iter().map(Payload::len).sum();
        self.admit(len)?;
        for payload in payloads {
            match &payload {
                Payload::Frame(frame) if self.holds_more(frame) => {
                    self.high.push(Payload::Slice(frame));
                }
                _ => self.high.push(payload),
            }
        }
        Ok(self.grown(len))
    }

    /// Whether a frame is better copied: the peer is behind, so it may wait for long, and it is a
    /// small part of what it came with. The cap counts what waits, and must bound what that holds.
    #[inline]
    fn holds_more(&self, frame: &Frame) -> bool {
        self.in_flight && frame.is_small_part()
    }

    #[inline]
    fn admit(&self, len: usize) -> Result<(), SendError> {
        if len > self.bytes_max - self.bytes.min(self.bytes_max) {
            return Err(SendError::Full { queued: self.bytes, max: self.bytes_max });
        }
        Ok(())
    }

    #[inline]
    fn grown(&mut self, len: usize) -> Option<Backlog> {
        self.bytes += len;
        if self.warn_bytes == 0 || self.bytes < self.warn_next { None } else { self.warn() }
    }

    #[cold]
    fn warn(&mut self) -> Option<Backlog> {
        while self.warn_next <= self.bytes {
            self.warn_next = self.warn_next.saturating_mul(2);
        }
        Some(Backlog::Warning { queued: self.bytes })
    }

    /// Whether the next send takes all there is, nobody was warned, and the last one took all of
    /// its own.
    pub(crate) fn is_at_ease(&self) -> bool {
        self.rest.is_none() && self.low.is_none() && self.warn_next == self.warn_bytes
    }

    /// The chain to send now. `None` while one is in flight, or when nothing waits.
    pub(crate) fn next(&mut self) -> Option<Chain> {
        if self.in_flight {
            return None;
        }
        let mut chain = std::mem::take(&mut self.high);
        if let Some(mut rest) = self.rest.take() {
            rest.append(&mut chain);
            chain = *rest;
        }
        self.take_low(&mut chain);
        self.in_flight = !chain.is_empty();
        self.in_flight.then_some(chain)
    }

    fn take_low(&mut self, chain: &mut Chain) {
        while chain.len() < LOW_BYTES_A_SEND
            && let Some(low) = &mut self.low
        {
            match low.chunks.pop_front() {
                Some(mut chunk) => chain.append(&mut chunk),
                None => self.low = None,
            }
        }
    }

    /// What is queued, to be sealed by the connection's filter. `None` while a send is in flight.
    pub(crate) fn take_plain(&mut self) -> Option<Chain> {
        if self.in_flight {
            return None;
        }
        let mut chain = std::mem::take(&mut self.high);
        self.take_low(&mut chain);
        Some(chain)
    }

    /// Whether everything that was queued was taken out for a send.
    pub(crate) fn is_taken(&self) -> bool {
        self.high.is_empty() && self.low.as_ref().is_none_or(|low| low.chunks.is_empty())
    }

    /// The chain to send now: what a send has left, which was sealed before, then `sealed`, which
    /// was `plain` bytes. What sealing has added waits like all else. `left` is what was taken and
    /// not sealed: it waits before all others, or is an empty chain with room for the next writes.
    pub(crate) fn next_sealed(
        &mut self,
        mut sealed: Chain,
        mut left: Chain,
        plain: usize,
    ) -> Option<Chain> {
        debug_assert!(!self.in_flight, "one send in flight");
        self.bytes = self.bytes + sealed.len() - plain;
        if !left.is_empty() {
            left.append(&mut self.high);
            self.high = left;
        } else if self.high.is_bare() && left.is_compact() {
            self.high = left;
        }
        if let Some(mut rest) = self.rest.take() {
            rest.append(&mut sealed);
            sealed = *rest;
        }
        self.in_flight = !sealed.is_empty();
        self.in_flight.then_some(sealed)
    }

    /// Sets what is queued apart from what comes: it leaves first, and as it is.
    pub(crate) fn set_apart(&mut self) {
        let queued = self.clear_plain();
        self.put_rest(queued);
    }

    /// Takes what is queued and not sealed, for the caller to drop.
    pub(crate) fn clear_plain(&mut self) -> Chain {
        let mut left = std::mem::take(&mut self.high);
        let low = self.low.take().into_iter().flat_map(|low| low.chunks);
        low.for_each(|mut chunk| left.append(&mut chunk));
        self.bytes -= left.len();
        left
    }

    /// What was sealed and has not left, for another core.
    pub(crate) fn take_rest(&mut self) -> Chain {
        let rest = self.rest.take().map_or_else(Chain::default, |rest| *rest);
        self.bytes -= rest.len();
        rest
    }

    /// Queues what was sealed: it leaves before all that is not.
    pub(crate) fn put_rest(&mut self, mut sealed: Chain) {
        self.bytes += sealed.len();
        if !sealed.is_empty() {
            self.rest.get_or_insert_default().append(&mut sealed);
        }
    }

    /// A send has ended after `sent` bytes; `chain` is what it left.
    pub(crate) fn sent(&mut self, mut chain: Chain, sent: usize) -> Option<Backlog> {
        self.in_flight = false;
        self.bytes -= sent;
        if !chain.is_empty() {
            // What was set apart meanwhile comes behind it.
            match &mut self.rest {
                Some(after) => {
                    chain.append(after);
                    **after = chain;
                }
                None => self.rest = Some(Box::new(chain)),
            }
        } else if self.high.is_bare() && chain.is_compact() {
            // Keeps the empty chain's room for the next write.
            self.high = chain;
        }
        let drained = self.bytes == 0 && self.warn_next != self.warn_bytes;
        drained.then(|| {
            self.warn_next = self.warn_bytes;
            Backlog::Drained
        })
    }

    /// Takes everything out that is not with the kernel, for the caller to drop. With it comes how
    /// many bytes will not be sent.
    pub(crate) fn clear(&mut self) -> (usize, Chain) {
        let mut left = self.rest.take().map_or_else(Chain::default, |rest| *rest);
        left.append(&mut self.high);
        let low = self.low.take().into_iter().flat_map(|low| low.chunks);
        low.for_each(|mut chunk| left.append(&mut chunk));
        (std::mem::take(&mut self.bytes), left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(chain: &Chain) -> String {
        chain.slices().map(|piece| std::str::from_utf8(piece).expect("text")).collect()
    }

    fn sent(output: &mut Output, mut chain: Chain, sent: usize) -> Option<Backlog> {
        chain.advance(sent);
        output.sent(chain, sent)
    }

    fn push(output: &mut Output, payload: &str) -> Option<Backlog> {
        output.push(b"", payload.into(), b"").expect("below the cap")
    }

    #[test]
    fn a_low_chunk_waits_but_is_never_split() {
        let mut output = Output::new(1000, 0);
        output.push_low("low".into()).expect("below the cap");
        push(&mut output, "high");
        let chain = output.next().expect("output waits");
        assert_eq!(text(&chain), "highlow");
        assert!(output.next().is_none(), "one send in flight");
        push(&mut output, "HIGH");
        output.push_low("LOW".into()).expect("below the cap");
        assert_eq!(sent(&mut output, chain, 5), None);
        assert_eq!(text(&output.next().expect("the rest")), "owHIGHLOW");
    }

    #[test]
    fn low_chunks_join_a_send_only_up_to_a_bound() {
        let mut output = Output::new(1 << 20, 0);
        let chunk = vec![b'x'; LOW_BYTES_A_SEND];
        output.push_low(chunk.clone().into()).expect("below the cap");
        output.push_low(chunk.into()).expect("below the cap");
        assert_eq!(output.next().expect("the first").len(), LOW_BYTES_A_SEND);
    }

    #[test]
    fn the_cap_admits_the_last_byte_and_refuses_the_next() {
        let mut output = Output::new(4, 0);
        push(&mut output, "123");
        assert_eq!(output.push(b"", "45".into(), b""), Err(SendError::Full { queued: 3, max: 4 }));
        push(&mut output, "4");
        assert!(output.push_low("5".into()).is_err());
        assert!(output.push(b"", "".into(), b"").is_ok(), "nothing always fits");
    }

    #[test]
    fn what_waits_holds_at_most_twice_its_size() {
        let mut output = Output::new(1000, 0);
        let received = Frame::from(b"0123456789".to_vec());
        let mut push = |frame: Frame| {
            output.push(b"<", frame.into(), b">").expect("below the cap");
            output.next()
        };
        let first = push(received.slice(..4)).expect("nothing is in flight");
        assert_eq!(first.pieces(), 3, "nothing waits: it leaves as it lies");
        assert!(push(received.slice(..4)).is_none() && push(received.slice(..5)).is_none());
        assert_eq!(sent(&mut output, first, 6), None);
        let chain = output.next().expect("output waits");
        assert_eq!(text(&chain), "<0123><01234>");
        assert_eq!(chain.pieces(), 3, "the small part was copied, the half was not");
    }

    /// Seals by capitals between brackets, as much as one send takes.
    fn seal(output: &mut Output, count: usize) -> Option<Chain> {
        let mut plain = output.take_plain()?;
        let mut sealed = Chain::default();
        let count = count.min(plain.len());
        let capitals = text(&plain)[..count].to_uppercase();
        sealed.push_buffer(format!("[{capitals}]").into_bytes());
        plain.advance(count);
        output.next_sealed(sealed, plain, count)
    }

    #[test]
    fn what_is_sealed_is_counted_and_leaves_before_what_is_not() {
        let mut output = Output::new(100, 0);
        push(&mut output, "before");
        output.set_apart(); // as it is, whatever comes
        push(&mut output, "abcdef");
        let chain = seal(&mut output, 4).expect("output waits");
        assert_eq!((text(&chain).as_str(), output.bytes()), ("before[ABCD]", 6 + 6 + 2));
        assert!(output.take_plain().is_none() && !output.is_taken(), "one send in flight");
        push(&mut output, "gh");
        assert_eq!(sent(&mut output, chain, 9), None);
        // A short send's rest is sealed already, and what was left of the turn comes next.
        let chain = seal(&mut output, 3).expect("output waits");
        assert_eq!((text(&chain).as_str(), output.bytes()), ("CD][EFG]", 3 + 5 + 1));
        output.set_apart();
        assert_eq!(sent(&mut output, chain, 7), None);
        assert_eq!(text(&output.take_rest()), "]h", "for another core, in order");
        assert!(output.is_empty() && output.is_taken());
        let mut sealed = Chain::default();
        sealed.push_buffer(b"]h".to_vec());
        output.put_rest(sealed);
        push(&mut output, "i");
        assert_eq!(output.clear_plain().len(), 1);
        assert_eq!(text(&seal(&mut output, 0).expect("the rest")), "]h[]");
    }

    #[test]
    fn warnings_double_and_end_with_drained() {
        let mut output = Output::new(1000, 10);
        assert_eq!(push(&mut output, "123456789"), None);
        assert_eq!(push(&mut output, "0"), Some(Backlog::Warning { queued: 10 }));
        assert_eq!(push(&mut output, "123456789"), None);
        assert_eq!(push(&mut output, &"x".repeat(31)), Some(Backlog::Warning { queued: 50 }));
        let chain = output.next().expect("output waits");
        assert_eq!(sent(&mut output, chain, 49), None);
        let chain = output.next().expect("one byte");
        assert_eq!(sent(&mut output, chain, 1), Some(Backlog::Drained));
        assert_eq!(push(&mut output, "123456789"), None);
        assert_eq!(push(&mut output, "0"), Some(Backlog::Warning { queued: 10 }), "anew");
    }
}
