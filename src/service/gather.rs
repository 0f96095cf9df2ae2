//! Many calls at once, under one deadline.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::call::Call;
use super::error::CallError;
use super::reply::Reply;

/// Sends all calls at once and waits for their answers, `timeout` at most for all together. Each
/// outcome stands where its call stood; those that have not come then are
/// [`CallError::TimedOut`].
///
/// ```
/// use std::time::Duration;
/// # use skyring::prelude::*;
/// # use skyring::service::{self, Context, Reply, Service};
/// # struct Square;
/// # impl Service for Square {
/// #     type Message = (u64, Reply<u64>);
/// #     async fn handle(&mut self, (n, reply): Self::Message, _: &Context<Self>) -> Result<()> {
/// #         reply.send(n * n);
/// #         Ok(())
/// #     }
/// # }
/// # skyring::sim::Simulation::new(1).run(async {
/// let square = service::spawn(Square)?;
/// let calls = (1..=3).map(|n| square.call(move |reply| (n, reply)));
/// let squares = service::gather(Duration::from_secs(1), calls).await;
/// assert_eq!(squares, [Ok(1), Ok(4), Ok(9)]);
/// # Ok::<(), Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Panics
/// When polled outside of a reactor.
pub async fn gather<T, F>(
    timeout: Duration,
    calls: impl IntoIterator<Item = Call<T, F>>,
) -> Vec<Result<T, CallError>>
where
    T: Send + 'static,
    F: FnOnce(Reply<T>) -> Result<(), CallError>,
{
    let mut calls: Vec<_> = calls.into_iter().map(|call| call.timeout(timeout)).collect();
    let mut outcomes: Vec<Option<Result<T, CallError>>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut missing = false;
        for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
            if outcome.is_some() {
                continue;
            }
            match Pin::new(call).poll(cx) {
                Poll::Ready(result) => *outcome = Some(result),
                Poll::Pending => missing = true,
            }
        }
        if missing { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outcomes.into_iter().map(|outcome| outcome.expect("none is missing")).collect()
}
