//! Codecs of a user's own behind a gate, honest ones and others.

use std::sync::{Arc, Mutex};

use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::wire::{Breach, Codec, Envelope, Found, FrameError, Step};

use crate::codecs::{Checked, Netstring, encoded, payloads};

const AT: &str = "127.0.0.1:80";

type Ends = Arc<Mutex<Vec<Disconnect>>>;

/// Echoes, and says how it ended.
struct Echo(Ends);

impl Agent for Echo {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        assert!(frame != Frame::from(b"Z".to_vec()), "as it was told");
        client.send(frame)
    }

    async fn disconnected(&mut self, _client: &Client, why: Disconnect) {
        self.0.lock().expect("no panic").push(why);
    }
}

fn server(framing: Framing, ends: &Ends) -> Engine {
    let ends = ends.clone();
    let gate = Gate::framed(framing).agent(move |_| Echo(ends.clone()));
    Engine::new(Config::new().cores(1).frame_bytes_max(4096)).gate(AT, gate)
}

#[test]
fn a_gate_speaks_a_custom_codec_at_every_cut() {
    for (seed, framing) in [Framing::from(&Netstring), Framing::from(&Checked)].iter().enumerate() {
        let framing = *framing;
        let mut sim = Simulation::new(seed as u64).weather(Faults::bad_weather());
        sim.start(server(framing, &Ends::default())).expect("it starts");
        let ran: Result<()> = sim
            .run(async move {
                let wire = encoded(framing, &payloads(framing));
                for cut in 0..=wire.len() {
                    let stream = TcpStream::connect(AT).await?;
                    stream.write(&wire[..cut])?;
                    sleep(std::time::Duration::from_millis(10)).await;
                    stream.write(&wire[cut..])?;
                    stream.finish();
                    let echoed = stream.read_to_end(1000).await?;
                    assert_eq!(echoed[..], wire, "{framing} cut at {cut}");
                }
                Ok(())
            })
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        ran.expect("no connection breaks");
        assert_eq!(sim.metrics().malformed, 0);
        sim.stop().expect("nothing is left");
    }
}

#[test]
fn an_echo_of_a_custom_codec_sends_what_it_received() {
    let mut sim = Simulation::new(1);
    sim.start(server(Framing::from(&Netstring), &Ends::default())).expect("it starts");
    let ran: Result<()> = sim
        .run(async {
            let client = TcpStream::connect(AT).await?.framed(&Netstring);
            // A length with zeros before it is read, and not written so.
            client.stream().write("003:abc,3:abc,")?;
            assert_eq!(&client.stream().read_exact(12).await?[..], b"3:abc,3:abc,");
            let longest = vec![b'x'; 4096];
            client.write(&longest)?;
            assert_eq!(client.read().await?.ok_or("an answer")?[..], longest);
            client.write(vec![b'x'; 4097])?;
            assert_eq!(client.read().await?, None);
            Ok(())
        })
        .expect("not stuck");
    ran.expect("no error");
    sim.stop().expect("nothing is left");
}

/// Honest until it reads an order to lie.
struct Liar;

impl Codec for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn decode(&self, bytes: &[u8], _: &mut usize, max: usize) -> Result<Step, FrameError> {
        Ok(match bytes[0] {
            b'B' => Step::Frame(Found { head: 0, payload: bytes.len() + 1, tail: 0 }),
            b'O' => Step::Frame(Found { head: usize::MAX, payload: usize::MAX, tail: 2 }),
            b'E' => Step::Frame(Found { head: 0, payload: 0, tail: 0 }),
            b'S' => Step::Partial { needed: bytes.len() },
            b'G' => Step::Partial { needed: max + 511 },
            b'P' => panic!("as it was told"),
            b'W' if bytes.len() < 4 => Step::Partial { needed: 4 },
            b'W' => Step::Frame(Found { head: 0, payload: 1, tail: 0 }),
            _ => Step::Frame(Found { head: 0, payload: 1, tail: 0 }),
        })
    }

    fn encode(&self, payload: &[u8]) -> Result<Envelope, FrameError> {
        match payload {
            b"X" => panic!("as it was told"),
            _ => Ok(Envelope::new(b"", b"")),
        }
    }
}

#[test]
fn a_codec_that_lies_ends_its_connection_and_nothing_else() {
    let ends = Ends::default();
    let mut sim = Simulation::new(1);
    sim.start(server(Framing::from(&Liar), &ends)).expect("it starts");
    let ran: Result<()> = sim
        .run(async {
            let innocent = TcpStream::connect(AT).await?;
            for lie in ["B", "O", "E", "S", "G", "P", "PPPP"] {
                let stream = TcpStream::connect(AT).await?;
                stream.write(format!("ab{lie}"))?;
                assert_eq!(&stream.read_to_end(10).await?[..], b"ab", "{lie}");
                innocent.write("c")?;
                assert_eq!(&innocent.read_exact(1).await?[..], b"c", "after {lie}");
            }
            let stream = TcpStream::connect(AT).await?;
            stream.write("aWW")?;
            assert_eq!(&stream.read_exact(1).await?[..], b"a");
            stream.write("WW")?;
            assert!(stream.read_to_end(10).await?.is_empty());
            // The agent's send fails, and the agent with it.
            let stream = TcpStream::connect(AT).await?;
            stream.write("aXPP")?;
            assert_eq!(&stream.read_to_end(10).await?[..], b"a");
            // What the agent leaves behind is counted while its panic unwinds.
            let stream = TcpStream::connect(AT).await?;
            stream.write("aZaPP")?;
            assert_eq!(&stream.read_to_end(10).await?[..], b"a");
            innocent.write("c")?;
            assert_eq!(&innocent.read_exact(1).await?[..], b"c");
            Ok(())
        })
        .expect("not stuck");
    ran.expect("no error");
    assert_eq!((sim.metrics().malformed, sim.metrics().panics), (8, 1));
    sim.stop().expect("nothing is left");
    use Breach::{Beyond, Empty, Greedy, Panicked, Shrunk, Stuck};
    let breaches = [Beyond, Beyond, Empty, Stuck, Greedy, Panicked, Panicked, Shrunk];
    let ends = ends.lock().expect("no panic");
    let malformed = ends.iter().filter_map(|end| match end {
        Disconnect::Malformed(FrameError::BadCodec { codec: "liar", breach }) => Some(*breach),
        _ => None,
    });
    assert_eq!(malformed.collect::<Vec<_>>(), breaches);
}
