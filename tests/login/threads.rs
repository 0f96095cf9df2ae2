//! The same on real threads and the real kernel.

use std::net::TcpListener;
use std::time::Duration;

use skyring::login::{Code, Requester};
use skyring::prelude::*;

use super::support::*;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_session_survives_its_connections_on_real_threads() {
    let log = Log::default();
    let games = games(&log);
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (login_socket, games_socket) = (listen(), listen());
    let address = |socket: &TcpListener| socket.local_addr().expect("bound").to_string();
    let (login_address, games_address) = (address(&login_socket), address(&games_socket));
    let engine = Engine::new(Config::new().cores(2).pin(false))
        .gate(login_socket, login_server(&games).gate())
        .gate(games_socket, games.gate())
        .start()
        .expect("it starts");
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
            assert_eq!(games.sessions().await?, 1);
            Ok::<(), Error>(())
        };
        within(DEADLINE, body)
            .await
            .map_err(|_| "the deadline has passed".to_owned())?
            .map_err(|error| error.to_string())
    });
    done.expect("the core runs").expect("it succeeds");
    engine.stop();
    engine.join().expect("it ends in order");
    let heard = noted(&log);
    assert_eq!(heard.iter().filter(|text| text.starts_with("round")).count(), 20);
    assert_eq!(heard.last().map(String::as_str), Some("ann the server stops"));
}
