//! What the tests of bad weather share: an engine on a free port, clients on plain sockets, and a
//! deadline around everything.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use skyring::Metrics;
use skyring::prelude::*;

/// How long anything may take before its test gives up. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a thread of its own and fails it when it does not end.
pub(crate) fn deadline(body: impl FnOnce() + Send + 'static) {
    let (ended, is_ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended; // dropped at the end, by a panic too
        body();
    });
    match is_ended.recv_timeout(2 * PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// Looks again and again until `is_so`.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// One reactor that shares its core with the clients of the test.
pub(crate) fn config() -> Config {
    Config::new().cores(1).pin(false)
}

/// Answers each frame with itself.
pub(crate) struct Echo;

impl Agent for Echo {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        client.send(frame)
    }
}

pub(crate) fn echo(framing: impl Into<Framing>) -> Gate {
    Gate::framed(framing).agent(|_| Echo)
}

/// A running engine with one gate.
pub(crate) struct Server {
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(config: Config, gate: Gate) -> Server {
        Server::of(Engine::new(config).gate("127.0.0.1:0", gate))
    }

    pub(crate) fn of(engine: Engine) -> Server {
        let handle = engine.start().expect("the engine starts");
        let address = handle.addresses()[0].inet().expect("an internet address");
        Server { handle, address }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Waits until no connection is left.
    pub(crate) fn settle(&self) {
        eventually("every connection is closed", || {
            let metrics = self.metrics();
            self.handle.connections() == 0 && metrics.accepted == metrics.closed
        });
    }

    /// An innocent client is served as ever.
    pub(crate) fn is_well(&self) {
        let mut client = self.connect();
        let payload = vec![b'w'; 100];
        client.write_all(&u16_frame(&payload)).expect("written");
        assert_eq!(read_u16(&mut client).expect("answered"), payload);
    }

    /// Stops; what the engine asserts at its end must hold.
    pub(crate) fn stop(self) {
        self.handle.stopper().stop_within(Duration::ZERO);
        self.handle.join().expect("a clean end");
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// Closes with a reset instead of an orderly end.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("linger");
}

pub(crate) fn u16_frame(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("fits");
    [&len.to_be_bytes(), payload].concat()
}

pub(crate) fn u32_frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("fits");
    [&len.to_be_bytes(), payload].concat()
}

pub(crate) fn read_u16(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut payload = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// Everything until the end of the stream.
pub(crate) fn read_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

/// The stream ends, in order or by a reset, and nothing more is read.
pub(crate) fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Sends, ends its side, and reads all of the answer.
pub(crate) fn converse(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(address);
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    read_end(&mut stream)
}

/// `len` bytes that tell where they stand and whose they are.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + seed * 7 + at / 251) as u8).collect()
}

/// Sends frames of these payloads from another thread while it reads the answers, and compares
/// every byte.
pub(crate) fn echoes_all(address: SocketAddr, payloads: &[Vec<u8>]) {
    let mut stream = connect(address);
    let mut writer = stream.try_clone().expect("cloned");
    thread::scope(|scope| {
        scope.spawn(move || {
            for payload in payloads {
                writer.write_all(&u16_frame(payload)).expect("written");
            }
            writer.shutdown(Shutdown::Write).expect("ended");
        });
        for (index, payload) in payloads.iter().enumerate() {
            let answer = read_u16(&mut stream).unwrap_or_else(|e| panic!("answer {index}: {e}"));
            assert!(answer == *payload, "answer {index} differs");
        }
        assert_eq!(read_end(&mut stream).expect("an orderly end"), b"");
    });
}
