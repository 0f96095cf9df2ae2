//! hyper's client against hyper's server, in the simulated kernel: streams both ways, trailers, timers,
//! bad weather.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use skyring::net::{TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::support::{Channel, Protocol, Requests, serve};

fn post<B>(path: &str, body: B) -> Result<Request<B>> {
    let request = Request::post(path).header("host", "a").header("te", "trailers").body(body);
    request.map_err(|error| error.to_string().into())
}

fn engine(protocol: Protocol) -> Engine {
    Engine::new(Config::new().cores(1)).setup(move |_| {
        let listener = TcpListener::bind("127.0.0.1:80")?;
        spawn(serve(listener, protocol));
        Ok(())
    })
}

/// Each message is answered before the next is sent, on one stream; trailers end it.
async fn ping_pong(protocol: Protocol) -> Result<()> {
    let stream = TcpStream::connect("127.0.0.1:80").await?;
    let mut requests = Requests::open(stream, protocol).await?;
    let channel = Channel::default();
    let messages = ["one", "two", "three"];
    channel.put(Some("zero".into()));
    let mut response = requests.send(post("/echo", channel.clone())?).await?;
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let body = response.body_mut();
    let first = body.frame().await.ok_or("an answer")??;
    assert_eq!(first.into_data().expect("data"), "zero");
    for message in messages {
        channel.put(Some(message.into()));
        let frame = body.frame().await.ok_or("an answer")??;
        assert_eq!(frame.into_data().expect("data"), message);
    }
    channel.put(None);
    let last = body.frame().await.ok_or("trailers")??;
    let trailers = last.into_trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-pieces"], "4");
    assert!(body.frame().await.is_none());
    Ok(())
}

#[test]
fn a_stream_goes_both_ways_and_ends_with_trailers() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut sim = Simulation::new(1);
        sim.start(engine(protocol)).expect("it starts");
        let ended = sim.run(ping_pong(protocol)).expect("nobody is stuck");
        ended.unwrap_or_else(|error| panic!("{protocol:?}: {error}"));
        sim.stop().expect("a clean end");
    }
}

/// Large bodies, several requests, whatever the weather.
async fn large(protocol: Protocol) -> Result<()> {
    let stream = TcpStream::connect("127.0.0.1:80").await?;
    let mut requests = Requests::open(stream, protocol).await?;
    for round in 0..3 {
        let sent: Bytes = (0..200_000_usize).map(|n| (n * 7 + round) as u8).collect();
        let mut response = requests.send(post("/echo", Full::new(sent.clone()))?).await?;
        let back = response.body_mut().collect().await?.to_bytes();
        assert!(back == sent, "round {round}: {} bytes of {}", back.len(), sent.len());
        let response = requests.send(post("/collect", Full::new(sent))?).await?;
        assert_eq!(response.into_body().collect().await?.to_bytes(), "200000");
    }
    Ok(())
}

#[test]
fn large_bodies_survive_any_weather() {
    for seed in 0..12 {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
            sim.start(engine(protocol)).expect("it starts");
            let ended = sim.run(large(protocol)).unwrap_or_else(|stuck| panic!("{stuck}"));
            ended.unwrap_or_else(|error| panic!("seed {seed}, {protocol:?}: {error}"));
            sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

#[test]
fn hypers_deadlines_pass_in_virtual_time() {
    let mut sim = Simulation::new(1);
    sim.start(engine(Protocol::Http1)).expect("it starts");
    // A head that does not end: hyper's server waits 30 s for it by the timer it was given.
    let waited: Result<Duration> = sim
        .run(async {
            let stream = TcpStream::connect("127.0.0.1:80").await?;
            let before = skyring::now();
            stream.write("GET / HTTP/1.1\r\n")?;
            let _ = stream.read_to_end(1 << 16).await?;
            Ok(skyring::now().since(before))
        })
        .expect("nobody is stuck");
    let waited = waited.expect("an end");
    assert!((30..33).contains(&waited.as_secs()), "{waited:?}");
    sim.stop().expect("a clean end");
}
