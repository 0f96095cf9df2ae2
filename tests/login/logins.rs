//! Logins: cut, broken off, refused, in crowds.

use std::time::Duration;

use skyring::login::{Code, Greeted, LoginError, Requester, Trust};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::random_bytes;
use skyring::sim::Simulation;

use super::support::*;

fn simulated<F>(half_open_max: usize, body: F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let log = Log::default();
    let games = games(&log);
    let mut sim = Simulation::new(5);
    let login = login_server(&games).half_open_max(half_open_max).time(Duration::from_secs(3));
    sim.start(engine(&games, login)).expect("it starts");
    sim.run(body).expect("it does not hang").expect("it succeeds");
    sim.stop().expect("everything was cleaned up");
}

#[test]
fn wrong_credentials_are_told_sealed() {
    simulated(10, async {
        for token in ["ann:guess", "ann", "\u{7f}\n:secret"] {
            let outcome = login(token).await?.map(|_| ());
            let code = if token.ends_with("secret") { Code::Forbidden } else { Code::Unauthorized };
            assert_eq!(outcome, Err(LoginError::Refused(code)), "{token}");
        }
        Ok(())
    });
}

#[test]
fn messages_may_come_in_any_pieces() {
    simulated(10, async {
        for cut in 0..200 {
            let stream = TcpStream::connect(LOGIN).await?;
            let (hello, client) = Greeted::hello(random_bytes(), trust());
            in_pieces(&stream, &hello, cut).await?;
            let (proof, client) = client.prove(&read(&stream).await?, b"ann:secret")?;
            in_pieces(&stream, &proof, cut).await?;
            let session = client.result(&read(&stream).await?)?;
            let stream = TcpStream::connect(GAMES).await?;
            let mut client = Requester::new(session);
            in_pieces(&stream, &client.resume()?, cut).await?;
            client.receive(&read(&stream).await?)?;
        }
        Ok(())
    });
}

async fn in_pieces(stream: &TcpStream, frame: &[u8], cut: usize) -> Result<()> {
    let mut bytes = (frame.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    let (first, rest) = bytes.split_at(cut.min(bytes.len()));
    stream.write(first)?;
    sleep(Duration::from_millis(1)).await;
    stream.write(rest)?;
    Ok(())
}

#[test]
fn a_login_that_is_broken_off_anywhere_leaves_nothing() {
    simulated(2, async {
        for cut in 0..220 {
            let stream = TcpStream::connect(LOGIN).await?;
            let (hello, client) = Greeted::hello(random_bytes(), trust());
            let whole = 2 + hello.len();
            if cut < whole {
                let mut bytes = (hello.len() as u16).to_be_bytes().to_vec();
                bytes.extend_from_slice(&hello);
                stream.write(&bytes[..cut])?;
                stream.flush().await?;
                continue;
            }
            write(&stream, &hello).await?;
            let (proof, _) = client.prove(&read(&stream).await?, b"ann:secret")?;
            let mut bytes = (proof.len() as u16).to_be_bytes().to_vec();
            bytes.extend_from_slice(&proof);
            stream.write(&bytes[..(cut - whole).min(bytes.len())])?;
            stream.flush().await?;
            drop(stream);
            sleep(Duration::from_millis(10)).await; // its place is free again
        }
        login("bob:secret").await??;
        Ok(())
    });
}

#[test]
fn logins_that_are_half_open_are_bounded_in_number_and_time() {
    simulated(4, async {
        let mut crowd = Vec::new();
        for _ in 0..4 {
            let stream = TcpStream::connect(LOGIN).await?;
            write(&stream, &Greeted::hello(random_bytes(), Trust::Anybody).0).await?;
            assert!(!read(&stream).await?.is_empty());
            crowd.push(stream);
        }
        let busy = Err(LoginError::Refused(Code::Busy));
        assert_eq!(login("ann:secret").await?.map(|_| ()), busy);
        drop(crowd.pop());
        sleep(Duration::from_millis(10)).await;
        login("ann:secret").await??;
        for stream in crowd {
            assert_eq!(read(&stream).await?, [0, 1, 144], "400, after three seconds");
            assert!(ends(&stream).await);
        }
        // One whose check hangs is given up, too.
        assert_eq!(login("ann:slow").await?.map(|_| ()), busy);
        Ok(())
    });
}

#[test]
fn what_is_no_login_is_refused() {
    simulated(10, async {
        for bad in [&b""[..], b"GET / HTTP/1.1", &[0; 48], &[255; 4000]] {
            let stream = TcpStream::connect(LOGIN).await?;
            write(&stream, bad).await?;
            assert_eq!(read(&stream).await?, [0, 1, 144]);
            assert!(ends(&stream).await);
            let stream = TcpStream::connect(GAMES).await?;
            write(&stream, bad).await?;
            assert_eq!(read(&stream).await?, [1, 144]);
            assert!(ends(&stream).await);
        }
        Ok(())
    });
}
