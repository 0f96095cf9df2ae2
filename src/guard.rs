//! Where a user's code runs: a panic of his is reported, and goes no further.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what a user wrote. A panic is reported as `what`; `None` then.
#[inline]
pub(crate) fn caught<R>(what: &str, body: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(panic) => {
            report(what, panic);
            None
        }
    }
}

#[cold]
fn report(what: &str, panic: Box<dyn Any + Send>) {
    tracing::error!(message = message(&*panic), "{what}");
    discard(panic);
}

/// Drops what a panic threw. That is the user's, too, and what it throws in turn is given up, unless
/// it is a text.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
        && !again.is::<&str>()
        && !again.is::<String>()
    {
        std::mem::forget(again);
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
