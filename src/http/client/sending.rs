//! A body that is too long to be written at once, or not there yet: written in a task of its own,
//! since the server may answer before it has all of it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{future::poll_fn, io};

use super::error::{ClientError, Wait};
use super::link::{Link, Sending};
use crate::error::{Result, SendError};
use crate::http::outgoing::{Mode, Outgoing};
use crate::http::response::Writing;
use crate::http::sink::Sink;
use crate::memory::chain::Payload;
use crate::net::FlushError;
use crate::reactor::{Sleep, sleep, spawn, within};

/// How long a body waits for `100 Continue`, which an old server never says (RFC 9110, 10.1.1).
const CONTINUE_TIME: Duration = Duration::from_secs(1);
/// How often within the time of a write it is looked whether the server still takes something.
const LOOKS: u32 = 10;

/// What is sent.
pub(super) enum Outbound {
    Whole(Payload<'static>),
    Stream(Writing, Mode),
}

/// Begins to send a body behind a head. `is_held`: the server is asked before.
pub(super) fn begin(link: &Rc<Link>, body: Outbound, write_time: Duration, is_held: bool) {
    let task = run(link.clone(), body, write_time, is_held);
    link.set_writer(spawn(task));
}

async fn run(link: Rc<Link>, body: Outbound, write_time: Duration, is_held: bool) {
    let unfinished = Unfinished(&link);
    // Who says nothing may still want it.
    if is_held && within(CONTINUE_TIME, poll_fn(|cx| link.poll_let(cx))).await == Ok(false) {
        std::mem::forget(unfinished);
        return link.set_sending(Sending::Failed);
    }
    let sink = Rc::new(Pipe {
        link: link.clone(),
        write_time,
        wait: RefCell::default(),
        late: Cell::new(false),
    });
    let written = match body {
        Outbound::Whole(body) => write_whole(&sink, &body).await,
        Outbound::Stream(write, mode) => {
            let (out, written) = write(Outgoing::new(sink.clone(), mode)).await;
            match (written, out.end()) {
                (Ok(()), false) => Err("less was written than the length that was told".into()),
                (written, _) => written,
            }
        }
    };
    std::mem::forget(unfinished);
    match written {
        Ok(()) => link.set_sending(Sending::Done(link.now())),
        // The connection's fault: an answer may still say why, or the read.
        Err(_) if link.is_broken() => link.set_sending(Sending::Failed),
        Err(_) if sink.is_late() => {
            link.fail(ClientError::TimedOut { wait: Wait::Write, limit: write_time });
        }
        Err(error) => link.fail(ClientError::Writer(error)),
    }
}

async fn write_whole(sink: &Rc<Pipe>, body: &Payload<'static>) -> Result<()> {
    let (len, most) = (body.len(), sink.piece_bytes_max());
    for start in (0..len).step_by(most) {
        sink.write(body.part(start..len.min(start + most)))?;
        sink.clone().begin_wait();
        poll_fn(|cx| sink.clone().poll_sent(cx)).await?;
    }
    Ok(())
}

/// Ends the connection when the writer panics.
struct Unfinished<'a>(&'a Rc<Link>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.fail(ClientError::Writer("what writes the body has panicked".into()));
    }
}

/// The connection as a writer sees it.
struct Pipe {
    link: Rc<Link>,
    write_time: Duration,
    /// While somebody waits for the server.
    wait: RefCell<Option<Patience>>,
    late: Cell<bool>,
}

/// A wait for the server, as long as it takes something.
struct Patience {
    timer: Pin<Box<Sleep>>,
    /// How far it was when it was last looked at.
    mark: (u64, u32),
    /// Looks in a row at which it stood still.
    stalls: u32,
}

impl Pipe {
    /// Whether the server has taken nothing in time.
    fn is_late(&self) -> bool {
        self.late.get()
    }
}

impl Sink for Pipe {
    fn write_encoding(&self, bytes: &[u8]) {
        let _ = self.link.stream.write(bytes); // what broke shows in the next write
    }

    fn write(&self, piece: Payload<'_>) -> Result<(), SendError> {
        self.link.stream.write(piece)
    }

    fn piece_bytes_max(&self) -> usize {
        self.link.piece_bytes_max()
    }

    fn is_behind(&self) -> bool {
        self.link.stream.queued() > self.piece_bytes_max()
    }

    fn begin_wait(self: Rc<Self>) {
        let timer = Box::pin(sleep(self.write_time / LOOKS));
        let mark = self.link.stream.send_progress();
        *self.wait.borrow_mut() = Some(Patience { timer, mark, stalls: 0 });
    }

    fn poll_sent(self: Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), FlushError>> {
        if let Poll::Ready(sent) = self.link.stream.poll_flushed(cx) {
            *self.wait.borrow_mut() = None;
            return Poll::Ready(sent);
        }
        let mut wait = self.wait.borrow_mut();
        let Some(Patience { timer, mark, stalls }) = wait.as_mut() else { return Poll::Pending };
        loop {
            ready!(timer.as_mut().poll(cx));
            let before = std::mem::replace(mark, self.link.stream.send_progress());
            *stalls = if *mark == before { *stalls + 1 } else { 0 };
            if *stalls >= LOOKS {
                self.late.set(true);
                return Poll::Ready(Err(FlushError::Failed(io::ErrorKind::TimedOut.into())));
            }
            timer.set(sleep(self.write_time / LOOKS));
        }
    }

    fn end_wait(self: Rc<Self>) {
        *self.wait.borrow_mut() = None;
    }
}
