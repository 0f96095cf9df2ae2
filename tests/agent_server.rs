//! Requests of JSON and the server `skyring agent`: every mistake of a client and of a handler is
//! answered, in order, and ends nothing.
#![cfg(feature = "servers")]

mod common;
#[path = "agent_server/logins.rs"]
mod logins;
#[path = "agent_server/program.rs"]
mod program;

use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::requests::{self, Data, Last, Refusal, Requests};
use skyring::servers::accounts::Accounts;
use skyring::servers::agent;
use skyring::sim::{Faults, Simulation};

const ADDRESS: &str = "127.0.0.1:80";

#[derive(Default)]
struct State {
    count: u64,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
struct Echo {
    echo: String,
}

#[derive(Serialize)]
struct Count {
    count: u64,
}

/// Every way in which a handler can go.
fn table() -> Requests<State> {
    Requests::<State>::new()
        .on("echo", async |_, _client, data: Text| Ok(Echo { echo: data.text }))
        .on("count", async |state, _client, _: ()| {
            state.count += 1;
            Ok(Count { count: state.count })
        })
        .on("any", async |_, _client, _: Value| Ok(()))
        .on("ignored", async |_, _client, _: IgnoredAny| Ok(()))
        .on_data("length", async |_, _client, data: Data<'_>| {
            Ok(Count { count: data.read::<&str>()?.len() as u64 })
        })
        .on("wait", async |state, _client, ms: u64| {
            sleep(Duration::from_millis(ms)).await;
            state.count += 1;
            Ok(Count { count: state.count })
        })
        .on("refuse", async |_, _client, _: ()| -> Result<()> {
            Err(Refusal::new("Not today").into())
        })
        .on("ban", async |_, _client, _: ()| -> Result<()> {
            Err(Refusal::new("Never again").last().into())
        })
        .on("fail", async |_, _client, _: ()| -> Result<()> { Err("the disk is full".into()) })
        .on("number", async |_, _client, _: ()| Ok(5))
        .on("panic", async |state, _client, _: ()| -> Result<()> {
            state.count += 100;
            panic!("at once")
        })
        .on("late", async |_, _client, _: ()| -> Result<()> {
            sleep(Duration::from_millis(5)).await;
            panic!("after a wait")
        })
        .on("long", async |_, _client, len: usize| Ok(Echo { echo: "x".repeat(len) }))
        .on("quit", async |_, _client, _: ()| Ok(Last(Echo { echo: "Goodbye".into() })))
}

fn engine(config: Config, framing: impl Into<Framing>, table: Requests<State>) -> Engine {
    let agents = table.agents(|client| {
        requests::tell(client, &json!({ "message": "Welcome" })).expect("it is there");
        State::default()
    });
    Engine::new(config.cores(1)).gate(ADDRESS, Gate::framed(framing).agent(agents))
}

/// Runs one client against the table in the simulated kernel.
fn visit<F>(seed: u64, engine: Engine, faults: Faults, client: F) -> skyring::Metrics
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(seed).weather(faults);
    sim.start(engine).expect("it starts");
    sim.run(client).expect("not stuck").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let metrics = sim.metrics();
    sim.stop().expect("everything came home");
    metrics
}

fn fair<F: Future<Output = Result<()>> + 'static>(client: F) -> skyring::Metrics {
    visit(1, engine(Config::new(), LengthPrefix::U32, table()), Faults::default(), client)
}

async fn connect() -> Result<TcpStream> {
    let stream = TcpStream::connect(ADDRESS).await?;
    assert_eq!(read(&stream).await?["message"], "Welcome");
    Ok(stream)
}

fn write(stream: &TcpStream, request: &[u8]) -> Result<()> {
    stream.write(&(request.len() as u32).to_be_bytes())?;
    stream.write(request)?;
    Ok(())
}

async fn read(stream: &TcpStream) -> Result<Value> {
    let head = stream.read_exact(4).await?;
    let len = u32::from_be_bytes(head[..].try_into().expect("four")) as usize;
    Ok(serde_json::from_slice(&stream.read_exact(len).await?).expect("JSON"))
}

async fn ask(stream: &TcpStream, request: impl AsRef<[u8]>) -> Result<Value> {
    write(stream, request.as_ref())?;
    read(stream).await
}

fn error(message: &str) -> Value {
    json!({ "status": "error", "message": message })
}

#[test]
fn a_malformed_request_is_answered_and_the_next_one_is_served() {
    const CASES: &[(&[u8], &str)] = &[
        (b"", "Request is not JSON: EOF"),
        (b"{", "Request is not JSON: EOF"),
        (b"hello", "Request is not JSON: expected"),
        (b"\xff\xfe", "Request is not JSON: expected"),
        (b"{\"cmd\":\"\xff\"}", "Request is not JSON: invalid unicode"),
        (b"{\"cmd\":\"any\",\"data\":\"\xff\"}", "Request is not JSON: invalid unicode"),
        (b"{\"cmd\":\"count\"} {}", "Request is not JSON: trailing characters"),
        (b"{\"cmd\":\"count\",}", "Request is not JSON: trailing comma"),
        (b"{'cmd':'count'}", "Request is not JSON: key must be a string"),
        (b"[\"count\"]", "Bad request: invalid type: sequence, expected an object"),
        (b"\"count\"", "Bad request: invalid type: string"),
        (b"null", "Bad request: invalid type: null"),
        (b"{}", "Bad request: missing field `cmd`"),
        (b"{\"data\":1}", "Bad request: missing field `cmd`"),
        (b"{\"cmd\":5}", "Bad request: invalid type: integer `5`, expected \"cmd\" as a string"),
        (b"{\"cmd\":null}", "Bad request: invalid type: null"),
        (b"{\"cmd\":\"count\",\"cmd\":\"count\"}", "Bad request: duplicate field `cmd`"),
        (b"{\"cmd\":\"any\",\"data\":1,\"data\":1}", "Bad request: duplicate field `data`"),
        (b"{\"cmd\":\"\"}", "Unknown command"),
        (b"{\"cmd\":\"Count\"}", "Unknown command"),
        (b"{\"cmd\":\"echo\"}", "Command needs data"),
        (b"{\"cmd\":\"echo\",\"data\":null}", "Bad data: invalid type: null"),
        (b"{\"cmd\":\"echo\",\"data\":[]}", "Bad data: invalid length 0"),
        (b"{\"cmd\":\"echo\",\"data\":{}}", "Bad data: missing field `text`"),
        (b"{\"cmd\":\"echo\",\"data\":{\"text\":1}}", "Bad data: invalid type: integer `1`"),
        (
            b"{\"cmd\":\"echo\",\"data\":{\"text\":\"a\",\"text\":\"b\"}}",
            "Bad data: duplicate field `text`",
        ),
        (b"{\"cmd\":\"any\",\"data\":1e999}", "Bad data: number out of range"),
        (b"{\"cmd\":\"any\",\"data\":\"\\ud800\"}", "Bad data: "),
        (b"{\"cmd\":\"wait\",\"data\":-1}", "Bad data: invalid value: integer `-1`"),
        (b"{\"cmd\":\"length\",\"data\":5}", "Bad data: invalid type: integer `5`"),
        (b"{\"cmd\":\"count\",\"data\":{}}", "Bad data: invalid type: map, expected unit"),
    ];
    let metrics = fair(async {
        let stream = connect().await?;
        for (n, (request, message)) in CASES.iter().enumerate() {
            let shown = request.escape_ascii();
            let answer = ask(&stream, request).await?;
            assert_eq!(answer["status"], "error", "{shown}: {answer}");
            let said = answer["message"].as_str().expect("text");
            assert!(said.starts_with(message), "{shown}: {said}");
            assert_eq!(ask(&stream, r#"{"cmd":"count"}"#).await?["count"], n as u64 + 1);
        }
        Ok(())
    });
    assert_eq!((metrics.panics, metrics.malformed), (0, 0));
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_beyond_the_last_allowed() {
    fn request(cmd: &str, open: &str, depth: usize, close: &str) -> String {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!(r#"{{"cmd":"{cmd}","data":{open}1{close}}}"#)
    }
    let bytes = requests::REQUEST_BYTES_MAX;
    fair(async move {
        let stream = connect().await?;
        let padded = |len: usize| r#"{"cmd":"count"}"#.to_owned() + &" ".repeat(len - 15);
        assert_eq!(ask(&stream, padded(bytes)).await?["status"], "ok");
        let refused = ask(&stream, padded(bytes + 1)).await?;
        assert_eq!(refused, error("Request too long: 65537 bytes, at most 65536"));
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            assert_eq!(ask(&stream, request("any", open, 127, close)).await?["status"], "ok");
            let refused = ask(&stream, request("any", open, 128, close)).await?;
            assert_eq!(refused, error("Bad data: recursion limit exceeded"));
        }
        // What is skipped is not recursed into.
        assert_eq!(ask(&stream, request("ignored", "[", 30_000, "]")).await?["status"], "ok");
        assert_eq!(ask(&stream, "[".repeat(bytes)).await?["status"], "error");
        Ok(())
    });
    let table = table().bytes_max(15);
    let engine = engine(Config::new(), LengthPrefix::U32, table);
    visit(1, engine, Faults::default(), async {
        let stream = connect().await?;
        assert_eq!(ask(&stream, r#"{"cmd":"count"}"#).await?["status"], "ok");
        assert_eq!(ask(&stream, r#"{"cmd":"count"} "#).await?["status"], "error");
        Ok(())
    });
}

#[test]
fn a_handler_that_fails_or_panics_is_answered_and_ends_nothing() {
    let metrics = fair(async {
        let stream = connect().await?;
        let internal = error("Internal server error");
        for _ in 0..3 {
            assert_eq!(ask(&stream, r#"{"cmd":"refuse"}"#).await?, error("Not today"));
            for cmd in ["fail", "panic", "late", "number"] {
                assert_eq!(ask(&stream, format!(r#"{{"cmd":"{cmd}"}}"#)).await?, internal, "{cmd}");
            }
        }
        assert_eq!(ask(&stream, r#"{"cmd":"count"}"#).await?["count"], 301, "the state is kept");
        assert_eq!(ask(&stream, r#"{"cmd":"ban"}"#).await?, error("Never again"));
        assert_eq!(stream.read().await?, None, "the last answer");
        Ok(())
    });
    assert_eq!(metrics.panics, 6);
}

#[test]
fn an_answer_that_cannot_be_framed_is_the_servers_mistake() {
    let engine = engine(Config::new(), LengthPrefix::U16, table());
    visit(1, engine, Faults::default(), async {
        let stream = TcpStream::connect(ADDRESS).await?;
        stream.read_exact(2 + r#"{"status":"ok","message":"Welcome"}"#.len()).await?;
        let shell = r#"{"status":"ok","echo":""}"#.len();
        for (len, is_sent) in [(65_535 - shell, true), (65_536 - shell, false)] {
            let request = format!(r#"{{"cmd":"long","data":{len}}}"#);
            stream.write(&(request.len() as u16).to_be_bytes())?;
            stream.write(request.as_bytes())?;
            let head = stream.read_exact(2).await?;
            let answer = stream.read_exact(u16::from_be_bytes([head[0], head[1]]).into()).await?;
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!(answer["status"] == "ok", is_sent, "{len}");
            assert!(is_sent || answer == error("Internal server error"));
        }
        Ok(())
    });
}

#[test]
fn a_hundred_requests_at_once_are_answered_in_order_in_any_weather() {
    for seed in 0..20 {
        let engine = engine(Config::new(), LengthPrefix::U32, table());
        visit(seed, engine, Faults::bad_weather(), async move {
            let stream = connect().await?;
            for n in 0..100_u64 {
                let request = match n % 4 {
                    0 => format!(r#"{{"cmd":"wait","data":{}}}"#, (n * 7 + seed) % 5),
                    1 => format!(r#"{{"cmd":"echo","data":{{"text":"{n} \u00e9"}}}}"#),
                    2 => format!(r#"{{"cmd":"nothing {n}"}}"#),
                    _ => r#"{"cmd":"late"}"#.to_owned(),
                };
                write(&stream, request.as_bytes())?;
            }
            for n in 0..100_u64 {
                let expected = match n % 4 {
                    0 => json!({ "status": "ok", "count": n / 4 + 1 }),
                    1 => json!({ "status": "ok", "echo": format!("{n} é") }),
                    2 => error("Unknown command"),
                    _ => error("Internal server error"),
                };
                assert_eq!(read(&stream).await?, expected, "request {n}, seed {seed}");
            }
            Ok(())
        });
    }
}

#[test]
fn quit_closes_behind_its_answer_and_what_follows_is_not_done() {
    let metrics = fair(async {
        let stream = connect().await?;
        for cmd in ["count", "quit", "panic", "panic"] {
            write(&stream, format!(r#"{{"cmd":"{cmd}"}}"#).as_bytes())?;
        }
        assert_eq!(read(&stream).await?["count"], 1);
        assert_eq!(read(&stream).await?["echo"], "Goodbye");
        assert_eq!(stream.read().await?, None);
        Ok(())
    });
    assert_eq!(metrics.panics, 0, "requests behind the end are not handled");
}

#[test]
fn a_client_that_goes_while_its_request_is_handled_harms_nobody() {
    for seed in 0..10 {
        let engine = engine(Config::new(), LengthPrefix::U32, table());
        visit(seed, engine, Faults::bad_weather(), async {
            for _ in 0..5 {
                let stream = connect().await?;
                write(&stream, br#"{"cmd":"wait","data":50}"#)?;
                write(&stream, br#"{"cmd":"late"}"#)?;
                sleep(Duration::from_millis(10)).await;
                drop(stream);
            }
            let stream = connect().await?;
            assert_eq!(ask(&stream, r#"{"cmd":"count"}"#).await?["count"], 1);
            Ok(())
        });
    }
}

#[test]
fn a_client_that_is_cut_off_is_told_why() {
    /// What is told last to a client that sends `bytes`.
    fn cut_off(config: Config, bytes: Vec<u8>, why: &'static str) -> skyring::Metrics {
        let engine = engine(config, LengthPrefix::U32, table());
        visit(1, engine, Faults::default(), async move {
            let stream = connect().await?;
            stream.write(bytes)?;
            let mut told = read(&stream).await?;
            while told["status"] == "ok" {
                told = read(&stream).await?;
            }
            assert!(told["message"].as_str().expect("text").contains(why), "{told}");
            assert_eq!(stream.read().await?, None);
            Ok(())
        })
    }
    let long = 1001_u32.to_be_bytes().to_vec();
    let capped = Config::new().frame_bytes_max(1000);
    assert_eq!(
        cut_off(capped, long, "Bad frame: a frame of 1001 bytes is over the cap of 1000").malformed,
        1
    );
    let three = [&15_u32.to_be_bytes(), br#"{"cmd":"count"}"#.as_slice()].concat().repeat(3);
    let slow = Config::new().rate(1).burst(2);
    assert_eq!(cut_off(slow, three, "Too many requests").too_fast, 1);
    let half = 100_u32.to_be_bytes().to_vec();
    let hasty = Config::new().handshake(Duration::from_secs(1));
    assert_eq!(cut_off(hasty, half, "No request in time").silent, 1);
}

#[test]
fn each_mutated_request_has_one_answer() {
    const REQUESTS: &[&[u8]] = &[
        br#"{"cmd":"echo","data":{"text":"caf\u00e9"}}"#,
        br#"{"cmd":"length","data":"abc"}"#,
        br#"{"data":{"a":[1,2.5e3,null,true]},"cmd":"any"}"#,
        br#"{"cmd":"wait","data":1}"#,
        br#"{"cmd":"late"}"#,
    ];
    for seed in 0..10 {
        let engine = engine(Config::new(), LengthPrefix::U32, table());
        visit(seed, engine, Faults::bad_weather(), async move {
            let stream = connect().await?;
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut below = |bound: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as usize % bound
            };
            for n in 0..300 {
                let mut request = REQUESTS[n % REQUESTS.len()].to_vec();
                for _ in 0..below(4) {
                    let at = below(request.len());
                    match below(3) {
                        0 => request[at] = below(256) as u8,
                        1 => drop(request.remove(at)),
                        _ => request.insert(at, br#"{}[]",:\0"#[below(9)]),
                    }
                }
                let answer = ask(&stream, &request).await?;
                let status = answer["status"].as_str();
                let shown = request.escape_ascii();
                assert!(matches!(status, Some("ok" | "error")), "seed {seed}: {shown}: {answer}");
            }
            write(&stream, br#"{"cmd":"quit"}"#)?;
            assert_eq!(read(&stream).await?["echo"], "Goodbye", "seed {seed}");
            assert_eq!(stream.read().await?, None);
            Ok(())
        });
    }
}

#[test]
fn the_transcript_of_the_tutorial_without_accounts() {
    // Refused before a password is checked: the simulated kernel has no threads.
    let limit = skyring::limit::Limit::new(1, Duration::from_secs(60), 1);
    let engine = agent::engine(
        Config::new().cores(2),
        ADDRESS,
        LengthPrefix::U32.into(),
        Accounts::none(),
        limit,
    );
    visit(1, engine, Faults::default(), async {
        let stream = TcpStream::connect(ADDRESS).await?;
        let welcome = json!({ "status": "ok", "message": "Welcome to server" });
        assert_eq!(read(&stream).await?, welcome);
        let text = "a \"quoted\" line\nand a tab\t, é, \u{1f600}";
        let request = json!({ "cmd": "echo", "data": { "text": text } }).to_string();
        assert_eq!(ask(&stream, request).await?, json!({ "status": "ok", "echo": text }));
        assert_eq!(ask(&stream, r#"{"cmd":"dance"}"#).await?, error("Unknown command"));
        let bad = ask(&stream, r#"{"cmd":"login","data":{"username":"admin"}}"#).await?;
        assert_eq!(bad, error("Bad data: missing field `password`"));
        let goodbye = json!({ "status": "ok", "message": "Goodbye" });
        assert_eq!(ask(&stream, r#"{"cmd":"quit","data":{"why":"done"}}"#).await?, goodbye);
        assert_eq!(stream.read().await?, None);
        Ok(())
    });
}
