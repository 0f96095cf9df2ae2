//! What else a stream in frames does: both ways at once, in place, and back to a plain stream.

use std::rc::Rc;
use std::time::Duration;

use skyring::SendError;
use skyring::net::{Framed, ReadError, ReadFrameError, TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::wire::FrameError;

use crate::codecs::{Checked, Netstring};

const AT: &str = "127.0.0.1:80";

fn run(faults: Faults, body: impl Future<Output = Result<()>> + 'static) {
    let mut sim = Simulation::new(7).weather(faults);
    sim.run(body).unwrap_or_else(|stuck| panic!("{stuck}")).expect("no connection breaks");
    sim.stop().expect("nothing is left");
}

async fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(AT)?;
    let connected = TcpStream::connect(AT).await?;
    Ok((connected, listener.accept().await?))
}

#[test]
fn one_task_reads_while_another_writes_and_a_second_reader_is_told() {
    run(Faults::bad_weather(), async {
        let (client, server) = pair().await?;
        let (client, server) =
            (Rc::new(client.framed(LengthPrefix::Varint)), server.framed(LengthPrefix::Varint));
        let echo = spawn(async move {
            while let Some(frame) = server.read().await.expect("framed") {
                server.write(frame).expect("the queue has room");
            }
        });
        let reader = client.clone();
        let read = spawn(async move {
            let mut lens = Vec::new();
            while lens.len() < 300 {
                let frame = reader.read().await.expect("framed").expect("300 of them");
                assert!(frame.iter().all(|&byte| byte == lens.len() as u8));
                lens.push(frame.len());
            }
            lens
        });
        sleep(Duration::from_millis(1)).await;
        let busy = client.read().await.expect_err("there is a reader");
        assert!(matches!(busy, ReadFrameError::Read(ReadError::Busy)), "{busy}");
        for n in 0..300 {
            client.write(vec![n as u8; n * 7 % 3000])?;
            if n % 10 == 0 {
                client.flush().await?;
            }
        }
        let lens = read.await.expect("no panic");
        assert_eq!(lens, (0..300).map(|n| n * 7 % 3000).collect::<Vec<_>>());
        client.stream().finish();
        echo.await.expect("no panic");
        Ok(())
    });
}

#[test]
fn frames_of_one_receive_lie_where_they_were_received() {
    run(Faults::default(), async {
        let (client, server) = pair().await?;
        let (client, server) = (client.framed(&Netstring), server.framed(&Netstring));
        for payload in ["one", "two", "three"] {
            client.write(payload)?;
        }
        let mut places = Vec::new();
        for expected in [&b"one"[..], b"two", b"three"] {
            let frame = server.read().await?.ok_or("a frame")?;
            assert_eq!(&frame[..], expected);
            places.push(frame.as_ptr() as usize);
        }
        // `3:one,3:two,5:three,`
        assert_eq!([places[1] - places[0], places[2] - places[1]], [6, 6]);
        Ok(())
    });
}

#[test]
fn a_bound_by_configuration_is_the_gates() {
    let mut sim = Simulation::new(3);
    let engine = Engine::new(Config::new().cores(1).frame_bytes_max(8)).setup(|_| {
        let listener = TcpListener::bind(AT)?;
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let framed = stream.framed(LengthPrefix::U32);
                while let Ok(Some(frame)) = framed.read().await {
                    framed.write(frame).expect("the queue has room");
                }
            }
        });
        Ok(())
    });
    sim.start(engine).expect("it starts");
    let ran: Result<()> = sim
        .run(async {
            let client = TcpStream::connect(AT).await?.framed(LengthPrefix::U32);
            client.write([8; 8].as_slice())?;
            assert_eq!(client.read().await?.ok_or("echoed")?.len(), 8);
            client.write([9; 9].as_slice())?;
            assert_eq!(client.read().await?, None, "the server has hung up");
            Ok(())
        })
        .expect("not stuck");
    ran.expect("no error");
    assert_eq!(sim.metrics().malformed, 1);
    sim.stop().expect("nothing is left");
}

#[test]
fn a_payload_that_is_no_frame_is_refused_and_the_stream_goes_on() {
    run(Faults::default(), async {
        let (client, server) = pair().await?;
        let lines = client.framed(Framing::Line);
        let at = FrameError::HoldsSeparator { at: 3 };
        assert_eq!(lines.write("two\nlines"), Err(SendError::Frame(at)));
        lines.write("one line")?;
        let client = lines.into_inner().framed(LengthPrefix::U16);
        let long = FrameError::TooLong { len: 65_536, max: 65_535 };
        assert_eq!(client.write(vec![0; 65_536]), Err(SendError::Frame(long)));
        let checked = Framed::new(client.stream(), &Checked);
        assert!(checked.write("a\0b").is_err());
        checked.write("ab")?;
        let lines = server.framed(Framing::Line);
        assert_eq!(&lines.read().await?.ok_or("a line")?[..], b"one line");
        let checked = lines.into_inner().framed(&Checked);
        assert_eq!(&checked.read().await?.ok_or("a frame")?[..], b"ab");
        Ok(())
    });
}

#[test]
fn what_is_in_no_frame_is_unread_again_in_the_plain_stream() {
    let wire = b"hello\r\nwor\0\x03abc\0\x05de";
    for cut in 0..=wire.len() {
        run(Faults::default(), async move {
            let (client, server) = pair().await?;
            spawn(async move {
                client.write(&wire[..cut])?;
                sleep(Duration::from_millis(5)).await;
                client.write(&wire[cut..])?;
                sleep(Duration::from_millis(20)).await;
                client.finish();
                while client.read().await?.is_some() {}
                Ok::<(), Error>(())
            });
            let lines = server.framed(Framing::Line);
            assert_eq!(&lines.read().await?.ok_or("a line")?[..], b"hello");
            // It has begun to look for the next line, in vain.
            let dropped = lines.read().within(Duration::from_millis(2)).await;
            assert!(!matches!(dropped, Ok(Ok(_))), "{dropped:?}");
            let server = lines.into_inner();
            assert_eq!(&server.read_exact(3).await?[..], b"wor", "cut at {cut}");
            let frames = server.framed(LengthPrefix::U16);
            assert_eq!(&frames.read().await?.ok_or("a frame")?[..], b"abc");
            let server = frames.into_inner();
            assert_eq!(&server.read_to_end(100).await?[..], b"\0\x05de", "cut at {cut}");
            Ok(())
        });
    }
}

#[test]
fn a_frame_may_be_larger_than_what_is_received_ahead() {
    let mut sim = Simulation::new(5).weather(Faults::bad_weather());
    let config = Config::new().cores(1).receive_bytes_max(64 * 1024).frame_bytes_max(1 << 20);
    sim.start(Engine::new(config).setup(|_| {
        let listener = TcpListener::bind(AT)?;
        spawn(async move {
            let framed = listener.accept().await?.framed(LengthPrefix::U32);
            let frame = framed.read().await?.ok_or("a frame")?;
            assert!(frame.len() == 1 << 20 && frame.iter().all(|&byte| byte == 7));
            framed.write("thanks")?;
            framed.close().await?;
            Ok::<(), Error>(())
        });
        Ok(())
    }))
    .expect("it starts");
    let ran: Result<()> = sim
        .run(async {
            let client = TcpStream::connect(AT).await?.framed(LengthPrefix::U32);
            client.write(vec![7; 1 << 20])?;
            assert_eq!(&client.read().await?.ok_or("an answer")?[..], b"thanks");
            Ok(())
        })
        .unwrap_or_else(|stuck| panic!("{stuck}"));
    ran.expect("no error");
    sim.stop().expect("nothing is left");
}
