//! What it costs to reach another core: a call, a wake, a stream of messages, a payload.
//!
//! `cargo bench --bench fabric`. The yardsticks run on the very threads of the engine's two pinned
//! cores, in turn with what they are compared with; each figure is the best of many short batches.
//! Read the ratios. It ends by itself, in about 20 seconds.
//!
//! - A call is compared with two bare SPSC rings (crate rtrb) with slots of one cache line, both
//!   threads spinning: what two cores need to tell each other something, and nothing else.
//! - A wake is half of a call between two cores that sleep, against half of a round trip of two
//!   threads that sleep in read(2) of an eventfd.
//! - Messages go to a service that counts them. At most [`IN_FLIGHT`] are on their way: the service
//!   gives credit back. The channels hold as many, and both ends spin. Nothing handles what comes
//!   over them, but in one row, where the far end finds who takes it and calls him.
//! - A payload is copied to the heap, or lent: the block goes along and comes home. It is not read
//!   there: its bytes cross the cores either way.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod yardsticks;

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skyring::net::TcpListener;
use skyring::prelude::*;
use skyring::service::{self, Address, Context, Reply, Service};

use self::yardsticks::{
    bare_stream, bare_trips, bare_wakes, crossbeam_stream, handled_stream, tokio_stream,
    waiting_stream,
};

/// Messages on their way at a time, and what the channels hold.
const IN_FLIGHT: u64 = 1024;
/// Messages for one credit.
const CREDIT: u64 = 256;
/// Messages of a batch.
const MESSAGES: u64 = 16 * 1024;
/// Round trips of a batch.
const TRIPS: u64 = 500;
const ROUNDS: usize = 300;
const PAYLOADS: [usize; 7] = [64, 128, 256, 512, 1024, 8192, 65_536];
/// What the payloads are cut from.
const BLOCK: usize = 65_536;

/// Answers.
struct Echo;

impl Service for Echo {
    type Message = Reply<u64>;

    async fn handle(&mut self, reply: Reply<u64>, _: &Context<Self>) -> Result<()> {
        reply.send(7);
        Ok(())
    }
}

/// Counts what comes, and gives credit for it.
#[derive(Default)]
struct Sink {
    count: u64,
    sum: u64,
    source: Option<Address<Signal>>,
}

enum Work {
    From(Address<Signal>),
    Number(u64),
    Payload(Bytes),
}

impl Service for Sink {
    type Message = Work;

    async fn handle(&mut self, work: Work, _: &Context<Self>) -> Result<()> {
        match work {
            Work::From(source) => {
                self.source = Some(source);
                return Ok(());
            }
            Work::Number(n) => self.sum += n,
            Work::Payload(bytes) => self.sum += bytes.len() as u64,
        }
        self.count += 1;
        if self.count.is_multiple_of(CREDIT) {
            let source = self.source.ok_or("nobody asked")?;
            source.send(Signal::Credit)?;
        }
        Ok(())
    }
}

/// Sends work that `make` makes, as credit allows.
struct Source<F> {
    sink: Address<Work>,
    make: F,
    /// Messages that were not sent yet, and credits that were not given back.
    left: u64,
    owed: u64,
    done: Option<Reply<()>>,
}

enum Signal {
    Start(Reply<()>),
    Credit,
}

impl<F: FnMut(u64) -> Work + 'static> Source<F> {
    fn spawn(sink: Address<Work>, messages: u64, make: F) -> Result<Address<Signal>> {
        let source = Source { sink, make, left: messages, owed: 0, done: None };
        Ok(service::spawn(source)?)
    }

    fn send(&mut self) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        for n in 0..CREDIT {
            self.sink.send((self.make)(n))?;
        }
        self.left -= CREDIT;
        self.owed += 1;
        Ok(())
    }
}

impl<F: FnMut(u64) -> Work + 'static> Service for Source<F> {
    type Message = Signal;

    async fn handle(&mut self, signal: Signal, cx: &Context<Self>) -> Result<()> {
        match signal {
            Signal::Start(done) => {
                self.done = Some(done);
                self.sink.send(Work::From(cx.address()))?;
                (0..IN_FLIGHT / CREDIT).try_for_each(|_| self.send())?;
            }
            Signal::Credit => {
                self.owed -= 1;
                self.send()?;
                if self.owed == 0 {
                    self.done.take().ok_or("nobody waits")?.send(());
                    cx.stop();
                }
            }
        }
        Ok(())
    }
}

/// Nanoseconds an operation, by batch.
#[derive(Clone, Default)]
struct Batches(Vec<f64>);

impl Batches {
    fn take(&mut self, since: Instant, operations: u64) {
        self.0.push(since.elapsed().as_nanos() as f64 / operations as f64);
    }

    fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::MAX, f64::min)
    }
}

/// The best of each, and the median of the ratios of neighbours: the cores of a virtual machine are
/// now near each other and now far, so that two best batches may come from different machines.
fn report(what: &str, ours: &Batches, against: &str, theirs: &Batches) {
    let mut ratios: Vec<f64> = ours.0.iter().zip(&theirs.0).map(|(a, b)| a / b).collect();
    ratios.sort_by(f64::total_cmp);
    let (median, ours, theirs) = (ratios[ratios.len() / 2], ours.best(), theirs.best());
    println!(
        "{what:<30} {ours:>7.1} ns   {against:<34} {theirs:>7.1} ns   {:>5.2}  {median:>5.2}",
        ours / theirs
    );
}

/// Lets the turn end, and what was sent in it leave.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Calls, each of which counts as so many operations.
async fn calls(echo: Address<Reply<u64>>, operations: u64, best: &mut Batches) -> Result<()> {
    let start = Instant::now();
    for _ in 0..TRIPS {
        echo.call(|reply| reply).await?;
    }
    best.take(start, operations * TRIPS);
    Ok(())
}

async fn stream(
    sink: Address<Work>,
    messages: u64,
    make: impl FnMut(u64) -> Work + 'static,
    best: &mut Batches,
) -> Result<()> {
    let source = Source::spawn(sink, messages, make)?;
    let start = Instant::now();
    source.call(Signal::Start).await?;
    best.take(start, messages);
    Ok(())
}

async fn spinning() -> Result<()> {
    let echo = service::spawn_on(1, || Echo).await?;
    let (mut call, mut bare) = (Batches::default(), Batches::default());
    for _ in 0..ROUNDS {
        calls(echo, 1, &mut call).await?;
        bare_trips(&mut bare).await?;
    }
    report("call, both cores spin", &call, "round trip of bare rings", &bare);

    let sink = service::spawn_on(1, Sink::default).await?;
    let [mut ours, mut bare, mut channel, mut handled, mut waiting, mut tokio] =
        [const { Batches(Vec::new()) }; 6];
    for _ in 0..ROUNDS {
        stream(sink, MESSAGES, Work::Number, &mut ours).await?;
        bare_stream(&mut bare).await?;
        crossbeam_stream(&mut channel).await?;
        handled_stream(&mut handled).await?;
        waiting_stream(&mut waiting).await?;
        tokio_stream(&mut tokio).await?;
    }
    report("message, sent and handled", &ours, "bare ring", &bare);
    report("", &ours, "crossbeam-channel, spinning", &channel);
    report("", &ours, "the same, dispatched and handled", &handled);
    report("", &ours, "crossbeam-channel, send and recv", &waiting);
    report("", &ours, "tokio::sync::mpsc, bounded", &tokio);
    println!("{:<30} {:>7.1} M messages/s", "", 1e3 / ours.best());
    payloads(sink).await
}

async fn payloads(sink: Address<Work>) -> Result<()> {
    let frame = received().await?;
    for size in PAYLOADS {
        let (mut copied, mut lent) = (Batches::default(), Batches::default());
        let count = 4 * IN_FLIGHT;
        for _ in 0..ROUNDS / 10 {
            let from = frame.slice(..size);
            let copy = move |_| Work::Payload(Bytes::copy_from_slice(&from));
            stream(sink, count, copy, &mut copied).await?;
            let from = frame.clone();
            let lend = move |_| {
                let mut bytes = from.clone().into_bytes();
                bytes.truncate(size);
                Work::Payload(bytes)
            };
            stream(sink, count, lend, &mut lent).await?;
        }
        report(&format!("payload of {size} B, lent"), &lent, "copied", &copied);
    }
    Ok(())
}

/// A frame that fills a block of the pool.
async fn received() -> Result<Frame> {
    let listener = TcpListener::bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local();
    let (enough, is_enough) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("the listener is open");
        stream.set_write_timeout(Some(Duration::from_millis(1))).expect("a time above zero");
        while is_enough.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let _ = stream.write(&[7; BLOCK]);
        }
    });
    let stream = listener.accept().await?;
    loop {
        // Meanwhile the socket's buffer fills: then one receive fills a block.
        std::thread::sleep(Duration::from_millis(5));
        let frame = stream.read().await?.ok_or("the client goes on")?;
        if frame.len() == BLOCK {
            drop(enough);
            sleep(Duration::from_millis(20)).await;
            return Ok(frame);
        }
    }
}

async fn sleeping() -> Result<()> {
    let echo = service::spawn_on(1, || Echo).await?;
    let (mut wake, mut bare) = (Batches::default(), Batches::default());
    for _ in 0..ROUNDS / 3 {
        calls(echo, 2, &mut wake).await?;
        bare_wakes(&mut bare).await?;
    }
    report("message to a sleeping core", &wake, "eventfd, read by a sleeping thread", &bare);
    Ok(())
}

/// Runs `body` on core 0 of an engine of two.
fn measure<F>(config: Config, body: impl Fn() -> F + Send + Sync + Copy + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let (done, is_done) = mpsc::sync_channel(1);
    let handle = Engine::new(config.cores(2).with_env()?)
        .setup(move |core| {
            if core.index == 0 {
                let done = done.clone();
                spawn(async move {
                    // The other core's set-up must be over.
                    settle().await;
                    let _ = done.send(body().await);
                });
            }
            Ok(())
        })
        .start()?;
    let result = is_done.recv().map_err(|_| "it ended before its time")?;
    let metrics = handle.metrics();
    println!(
        "  ({} turns, {} passes, {} messages and answers crossed, {} bells)",
        metrics.turns, metrics.passes, metrics.fabric_received, metrics.bells
    );
    handle.stop();
    handle.join()?;
    result
}

fn main() -> Result<()> {
    println!("{:<98} best, median", "");
    measure(Config::new().spin(Duration::from_millis(100)), spinning)?;
    measure(Config::new(), sleeping)
}
