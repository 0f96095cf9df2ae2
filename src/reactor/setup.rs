//! What an engine sets up on its cores before it serves, in the order in which it was asked for.
//!
//! ```text
//!   .setup(a) .setup(b)       │ .setup_async(c) .setup(d) .gate(..)
//!   a b on core 0, a b on 1   │ c on core 0, c on 1, d on core 0, d on 1, the gate on 0, on 1
//!   before their first turns  │ all cores turn; an error stops them again
//! ```

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use super::shared::{Core, Hook};
use crate::error::Result;

type Waiting = dyn Fn(Core) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync;

/// One hook.
#[derive(Clone)]
pub(crate) enum Step {
    Plain(Hook),
    /// It may wait, for other cores too.
    Waiting(Arc<Waiting>),
}

impl Step {
    /// Of an async hook.
    pub(super) fn waiting<H>(hook: H) -> Step
    where
        H: AsyncFn(Core) -> Result<()> + Send + Sync + 'static,
    {
        let hook = Arc::new(hook);
        Step::Waiting(Arc::new(move |core| {
            let hook = hook.clone();
            Box::pin(async move { hook(core).await })
        }))
    }

    /// Runs it on this core.
    pub(crate) fn run(&self, core: Core) -> Pin<Box<dyn Future<Output = Result<()>>>> {
        match self {
            Step::Plain(hook) => Box::pin(ready(hook(&core))),
            Step::Waiting(hook) => hook(core),
        }
    }
}

/// Those that run before a core's first turn, and the rest: from the first on that may wait.
pub(crate) fn divide(steps: Vec<Step>) -> (Vec<Hook>, Vec<Step>) {
    let mut steps = steps.into_iter().peekable();
    let mut first = Vec::new();
    while let Some(Step::Plain(hook)) = steps.next_if(|step| matches!(step, Step::Plain(_))) {
        first.push(hook);
    }
    (first, steps.collect())
}
