//! The same on real threads and the real kernel, and a client of another make.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use skyring::login::{Code, Requester};
use skyring::prelude::*;

use super::support::*;

const DEADLINE: Duration = Duration::from_secs(30);

/// A server on two real cores, and the addresses of its two gates.
fn start(log: &Log) -> (Handle, String, String) {
    let games = games(log);
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (login_socket, games_socket) = (listen(), listen());
    let address = |socket: &TcpListener| socket.local_addr().expect("bound").to_string();
    let addresses = (address(&login_socket), address(&games_socket));
    let engine = Engine::new(Config::new().cores(2).pin(false))
        .gate(login_socket, login_server(&games).gate())
        .gate(games_socket, games.gate())
        .start();
    (engine.expect("it starts"), addresses.0, addresses.1)
}

#[test]
fn a_session_survives_its_connections_on_real_threads() {
    let log = Log::default();
    let (engine, login_address, games_address) = start(&log);
    let done = engine.run_on(0, move || async move {
        let body = async {
            let session = login_at(&login_address, "ann:secret").await?.map_err(Error::from)?;
            let mut ann = Requester::new(session);
            for round in 0..20 {
                let stream = resume_at(&games_address, &mut ann).await?.map_err(Error::from)?;
                let text = format!("round {round}");
                let (code, payload) = ask(&mut ann, &stream, &text).await?;
                assert_eq!((code, &payload[..]), (Code::Ok, text.as_bytes()));
            }
            Ok::<(), Error>(())
        };
        let done = within(DEADLINE, body).await;
        done.map_err(|_| "too late".to_owned())?.map_err(|error| error.to_string())
    });
    done.expect("the core runs").expect("it succeeds");
    engine.stop();
    engine.join().expect("it ends in order");
    let heard = noted(&log);
    assert_eq!(heard.iter().filter(|text| text.starts_with("round")).count(), 20);
    assert_eq!(heard.last().map(String::as_str), Some("ann the server stops"));
}

#[test]
fn a_client_in_python_speaks_what_is_documented() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let log = Log::default();
    let (engine, login_address, games_address) = start(&log);
    let port = |address: &str| address.rsplit(':').next().expect("a port").to_owned();
    let status = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/login/client.py"))
        .args([port(&login_address), port(&games_address), identity().public().to_string()])
        .status();
    assert!(status.expect("python3 runs").success(), "its message is above");
    engine.stop();
    engine.join().expect("it ends in order");
    let heard = noted(&log);
    let asked = heard.iter().filter(|text| text.starts_with("python"));
    assert_eq!(asked.collect::<Vec<_>>(), ["python 1", "python 2", "python 3"], "each once");
}
