//! What each command answers: everything that a client can get wrong is said, and ends nothing.

use serde_json::json;
use skyring::limit::Limit;
use skyring::prelude::*;
use skyring::servers::chat::{Limits, TEXT_BYTES_MAX};

use crate::support::{Person, fair, limits, pause};

#[test]
fn the_tutorials_conversation() {
    fair(limits(), async {
        let ann = Person::guest().await?;
        assert_eq!(ann.name, "Guest1");
        let joined = ann.join("lobby").await?;
        let expected = json!({ "type": "room_joined", "room": "lobby", "users": ["Guest1"],
            "count": 1, "history": 0 });
        assert_eq!(joined, expected);

        let bob = Person::named("bob").await?;
        let joined = bob.join("Lobby").await?;
        assert_eq!(joined["users"], json!(["Guest1", "bob"]));
        assert_eq!(joined["room"], "lobby", "as it was named first");
        let expected = json!({ "type": "join", "room": "lobby", "user": "bob",
            "message": "bob joined the room" });
        assert_eq!(ann.hear().await?, expected);

        let sent = bob.ask("MSG\nhello, \"all\"").await?;
        let heard = ann.hear().await?;
        assert_eq!(heard["type"], "message");
        assert_eq!((&heard["id"], &heard["user"]), (&json!(1), &json!("bob")));
        assert_eq!(heard["text"], "hello, \"all\"");
        let expected = json!({ "type": "sent", "id": 1, "time": heard["time"], "at": heard["at"] });
        assert_eq!(sent, expected);
        assert!(heard["at"].as_str().is_some_and(|at| at.starts_with("2026-01-01T00:00:")));
        assert!(heard["time"].as_str().is_some_and(|time| time.starts_with("00:00:")));

        let change = json!({ "type": "nick_change", "old_name": "Guest1", "new_name": "ann",
            "message": "Guest1 is now known as ann" });
        assert_eq!(ann.ask("NICK\nann").await?, change);
        assert_eq!(bob.hear().await?, change);

        assert_eq!(bob.ask("LEAVE").await?, json!({ "type": "room_left", "room": "lobby" }));
        let expected = json!({ "type": "leave", "room": "lobby", "user": "bob",
            "message": "bob left the room" });
        assert_eq!(ann.hear().await?, expected);
        bob.hears_nothing().await;
        Ok(())
    });
}

#[test]
fn what_is_malformed_is_answered_and_the_next_command_is_obeyed() {
    fair(limits(), async {
        let cases: &[(&[u8], &str)] = &[
            (b"", "unknown_command"),
            (b"HELLO", "unknown_command"),
            (b"JOINlobby", "unknown_command"),
            (b"{\"cmd\":\"JOIN\"}", "unknown_command"),
            (b"GET / HTTP/1.1\r\n\r\n", "unknown_command"),
            (b"\0\0\0\0", "unknown_command"),
            (b"\xff\xfe", "bad_text"),
            (b"JOIN", "bad_command"),
            (b"JOIN\n \n", "bad_command"),
            (b"JOIN\ntwo words", "bad_name"),
            (b"JOIN\n<script>", "bad_name"),
            (b"JOIN\n1234567890123456789012345", "bad_name"),
            (b"MSG", "bad_command"),
            (b"MSG\n \t\n", "bad_command"),
            (b"MSG\n\x1b[2J", "bad_text"),
            (b"MSG\nhello", "no_room"),
            (b"LEAVE", "no_room"),
            (b"LEAVE\nnow", "bad_command"),
            (b"WHO", "no_room"),
            (b"WHO\nnowhere", "no_such_room"),
            (b"WHO\na b", "bad_name"),
            (b"LIST\nall", "bad_command"),
            (b"WHISPER", "bad_command"),
            (b"WHISPER\nbob", "bad_command"),
            (b"WHISPER\nbob\n ", "bad_command"),
            (b"WHISPER\nbob\nhi", "no_such_user"),
            (b"WHISPER\nb\x07b\nhi", "bad_name"),
            (b"NICK", "bad_command"),
            (b"NICK\n", "bad_command"),
            (b"NICK\na b", "bad_name"),
            (b"NICK\na\x1b[31m", "bad_name"),
            (b"NICK\n1234567890123456789012345", "bad_name"),
            (b"NICK\nGuest7", "bad_name"),
            (b"NICK\n\xe2\x80\xaeann", "bad_name"),
        ];
        let ann = Person::guest().await?;
        for (command, code) in cases {
            assert_eq!(ann.refused(command).await?, *code, "{}", command.escape_ascii());
        }
        assert_eq!(ann.ask("LIST").await?, json!({ "type": "list", "rooms": [], "count": 0 }));
        ann.join("lobby").await?;
        assert_eq!(ann.refused("JOIN\nLOBBY").await?, "already_in_room");
        ann.ask("MSG\nhi").await?;
        Ok(())
    });
}

#[test]
fn the_longest_text_is_said_and_one_byte_more_is_not() {
    let limits = Limits { text_bytes_max: TEXT_BYTES_MAX, ..limits() };
    fair(limits, async {
        let (ann, bob) = (Person::member("ann", "x").await?, Person::member("bob", "x").await?);
        ann.hears("join").await?;
        // What JSON escapes is the longest to be sent.
        let text = "\"".repeat(TEXT_BYTES_MAX);
        ann.say(format!("MSG\n{text}"))?;
        assert_eq!(bob.hears("message").await?["text"], text.as_str());
        assert_eq!(ann.hears("sent").await?["id"], 1);
        assert_eq!(ann.refused(format!("MSG\n{text}\"")).await?, "too_long");
        assert_eq!(ann.refused(format!("WHISPER\nbob\n{text}\"")).await?, "too_long");
        assert_eq!(ann.refused(vec![b'x'; 65_535]).await?, "unknown_command");
        bob.hears_nothing().await;
        Ok(())
    });
}

#[test]
fn whispers_reach_one_person_on_any_core() {
    fair(limits(), async {
        // Some are on each core, whether they are in a room or not.
        let mut people = Vec::new();
        for name in ["ann", "bob", "eve", "joe", "kim", "lea"] {
            people.push(Person::named(name).await?);
        }
        people[1].join("lobby").await?;
        for to in 0..people.len() {
            let from = (to + 1) % people.len();
            let (to, from) = (&people[to], &people[from]);
            let answer = from.ask(format!("WHISPER {} psst, you", to.name.to_uppercase())).await?;
            assert_eq!(answer, json!({ "type": "whispered", "to": to.name }));
            let heard = to.hears("whisper").await?;
            assert_eq!((&heard["user"], &heard["text"]), (&json!(from.name), &json!("psst, you")));
        }
        for person in &people {
            person.hears_nothing().await;
        }
        Ok(())
    });
}

#[test]
fn who_and_list_say_what_there_is() {
    fair(limits(), async {
        let ann = Person::member("ann", "Chess").await?;
        let bob = Person::member("bob", "chess").await?;
        let eve = Person::member("eve", "go").await?;
        let expected =
            json!({ "type": "who", "room": "Chess", "users": ["ann", "bob"], "count": 2 });
        assert_eq!(bob.ask("WHO").await?, expected);
        assert_eq!(eve.ask("WHO CHESS").await?, expected);
        let rooms = json!([{ "room": "Chess", "users": 2 }, { "room": "go", "users": 1 }]);
        assert_eq!(eve.ask("LIST").await?, json!({ "type": "list", "rooms": rooms, "count": 2 }));
        drop((ann, bob));
        pause(50).await;
        let rooms = json!([{ "room": "go", "users": 1 }]);
        assert_eq!(eve.ask("LIST").await?, json!({ "type": "list", "rooms": rooms, "count": 1 }));
        Ok(())
    });
}

#[test]
fn who_sends_too_fast_is_told_how_long_to_wait() {
    let limits = Limits { commands: Limit::per_second(2, 5), ..Limits::default() };
    fair(limits, async {
        let ann = Person::guest().await?;
        for _ in 0..5 {
            assert_eq!(ann.refused("MSG\nhi").await?, "no_room");
        }
        let answer = ann.ask("MSG\nhi").await?;
        assert_eq!(answer["code"], "too_fast");
        let message = answer["message"].as_str().expect("text");
        assert!(message.contains("try again in 0.5 s"), "{message}");
        pause(500).await;
        assert_eq!(ann.refused("MSG\nhi").await?, "no_room");
        assert_eq!(ann.refused("MSG\nhi").await?, "too_fast");
        Ok(())
    });
}

#[test]
fn a_frame_beyond_the_bound_is_told_before_the_end() {
    use skyring::net::TcpStream;
    use skyring::servers::chat;
    use skyring::sim::Simulation;

    let mut sim = Simulation::new(1);
    let config = Config::new().cores(1).frame_bytes_max(100);
    let engine = chat::engine(config, crate::support::ADDRESS, Framing::Line, Limits::default());
    sim.start(engine).expect("starts");
    let client = async {
        let stream = TcpStream::connect(crate::support::ADDRESS).await?;
        let line = stream.read_line(1000).await?.expect("a welcome");
        assert!(line.starts_with(b"{\"type\":\"welcome\""));
        stream.write("JOIN lobby\r\n")?;
        for kind in ["join", "room_joined"] {
            let line = stream.read_line(1000).await?.expect("an answer");
            assert!(line.starts_with(format!("{{\"type\":\"{kind}\"").as_bytes()));
        }
        stream.write(vec![b'x'; 200])?;
        let line = stream.read_line(1000).await?.expect("why");
        assert!(line.starts_with(b"{\"type\":\"error\",\"code\":\"bad_frame\""), "{line:?}");
        assert!(stream.read_line(1000).await?.is_none(), "the end");
        Ok::<(), Error>(())
    };
    sim.run(client).expect("not stuck").expect("no error");
    sim.stop().expect("everything came home");
}
