//! The real kernel, with peers that know nothing of the engine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener as Listener, TcpStream as Peer};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use skyring::net::{
    Framed, ReadFrameError, Stream, TcpListener, TcpStream, UnixListener, UnixStream,
};
use skyring::prelude::*;

use crate::codecs::Netstring;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `body` on a core of an engine of its own.
fn on_core<T: Send + 'static>(body: impl AsyncFnOnce() -> Result<T> + Send + 'static) -> T {
    let (done, is_done) = sync_channel(1);
    let engine = Engine::new(Config::new().cores(1).pin(false).drain(Duration::from_secs(1)));
    let handle = engine.start().expect("the engine starts");
    thread::scope(|scope| {
        let handle = &handle;
        scope.spawn(move || {
            let _ = done.send(handle.run_on(0, move || body()));
        });
        let ran = is_done.recv_timeout(DEADLINE).expect("it ends in time");
        handle.stop();
        ran.expect("the core runs it").expect("no error")
    })
}

/// A peer whose calls end in time.
fn in_time(peer: Peer) -> Peer {
    peer.set_read_timeout(Some(DEADLINE / 2)).expect("a timeout");
    peer.set_write_timeout(Some(DEADLINE / 2)).expect("a timeout");
    peer
}

#[test]
fn a_client_of_the_standard_library_talks_netstrings() {
    on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local();
        let peer = thread::spawn(move || {
            let mut peer = in_time(Peer::connect(at).expect("it listens"));
            for byte in b"5:hello,0:,11:hello " {
                peer.write_all(&[*byte]).expect("written");
            }
            peer.write_all(b"world,3:ab").expect("written");
            peer.shutdown(Shutdown::Write).expect("ended");
            let mut answer = String::new();
            peer.read_to_string(&mut answer).expect("an answer");
            answer
        });
        let framed = listener.accept().await?.framed(&Netstring);
        let end = loop {
            match framed.read().await {
                Ok(Some(frame)) => framed.write(frame)?,
                Ok(None) => return Err("the peer has not ended in order".into()),
                Err(end) => break end,
            }
        };
        assert!(matches!(&end, ReadFrameError::Ended { leftover } if leftover[..] == *b"3:ab"));
        framed.close().await?;
        let answer = skyring::blocking(move || peer.join()).await?.expect("no panic");
        assert_eq!(answer, "5:hello,0:,11:hello world,");
        Ok(())
    });
}

#[test]
fn a_connected_stream_speaks_to_a_server_of_the_standard_library() {
    let listener = Listener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    let server = thread::spawn(move || {
        let mut peer = in_time(listener.accept().expect("a client").0);
        let mut head = [0; 4];
        peer.read_exact(&mut head).expect("a head");
        let mut body = vec![0; u32::from_be_bytes(head) as usize];
        peer.read_exact(&mut body).expect("a body");
        peer.write_all(&[&head[..], &body, &head, &body].concat()).expect("written");
    });
    on_core(async move || {
        let framed = TcpStream::connect(at).await?.framed(LengthPrefix::U32);
        let payload: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        framed.write(&payload)?;
        for _ in 0..2 {
            assert!(framed.read().await?.ok_or("an answer")?[..] == payload);
        }
        assert_eq!(framed.read().await?, None);
        Ok(())
    });
    server.join().expect("the server passed");
}

/// Answers each frame of any stream.
async fn echo<S: std::ops::Deref<Target = Stream>>(framed: Framed<S>) -> Result<()> {
    while let Some(frame) = framed.read().await? {
        framed.write(frame)?;
    }
    Ok(framed.close().await?)
}

#[test]
fn unix_streams_are_framed_as_others_are() {
    let path = std::env::temp_dir().join(format!("skyring-framed-{}.sock", std::process::id()));
    on_core(async move || {
        let listener = UnixListener::bind(&path)?;
        let client = UnixStream::connect(&path).await?.framed(Framing::Line);
        spawn(echo(listener.accept().await?.framed(Framing::Line)));
        client.write("hello")?;
        assert_eq!(&client.read().await?.ok_or("an answer")?[..], b"hello");
        Ok(client.close().await?)
    });
}
