//! Both sides against each other, in fair weather and with every message cut, flipped or late.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock::Now;

const NOW: Now = Now::from_nanos(5_000_000_000);

fn identity() -> Identity {
    Identity::from_seed([9; 32])
}

fn pinned() -> Trust {
    Trust::Pinned(vec![PublicIdentity([1; 32]), identity().public()])
}

/// One login, with whatever is done to its messages: which side found what wrong.
fn login(
    identity: Option<&Identity>,
    trust: Trust,
    alter: impl Fn(usize, Vec<u8>) -> Vec<u8>,
) -> Result<LoggedIn, LoginError> {
    let (hello, client) = Greeted::hello([2; 32], trust);
    let (offer, server) = Offered::answer(&alter(0, hello), &[3; 64], identity)?;
    let (proof, client) = client.prove(&alter(1, offer), b"ann:secret")?;
    let (token, server) = server.credentials(&alter(2, proof))?;
    assert_eq!(token.as_bytes(), b"ann:secret", "nothing else is let through");
    let secret = *server.secret().expose();
    let name = Name::new("ann", "games", 7).expect("a name");
    let session = client.result(&alter(3, server.accept(&name)))?;
    assert_eq!((session.name.clone(), *session.secret.expose()), (name, secret));
    Ok(session)
}

fn session() -> LoggedIn {
    login(None, Trust::Anybody, |_, frame| frame).expect("fair weather")
}

/// The messages of a login.
fn messages(identity: Option<&Identity>) -> Vec<Vec<u8>> {
    let seen = std::cell::RefCell::new(Vec::new());
    let see = |_, frame: Vec<u8>| {
        seen.borrow_mut().push(frame.clone());
        frame
    };
    login(identity, Trust::Anybody, see).expect("fair weather");
    seen.into_inner()
}

#[test]
fn a_login_has_the_lengths_that_are_documented() {
    let lengths = |identity| messages(identity).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(None), [48, 97, 32 + 64 + 16, 1 + 2 + 8 + 4 + 6 + 16]);
    assert_eq!(lengths(Some(&identity()))[1], 193);
}

#[test]
fn every_bit_that_is_flipped_is_noticed() {
    for identity in [None, Some(&identity())] {
        for (at, message) in messages(identity).iter().enumerate() {
            for bit in 0..message.len() * 8 {
                let flip = |number, mut frame: Vec<u8>| {
                    if number == at {
                        frame[bit / 8] ^= 1 << (bit % 8);
                    }
                    frame
                };
                let outcome = login(identity, Trust::Anybody, flip);
                assert!(outcome.is_err(), "message {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn every_message_that_is_cut_or_too_long_is_refused() {
    for identity in [None, Some(&identity())] {
        for (at, message) in messages(identity).iter().enumerate() {
            for len in (0..message.len()).chain([message.len() + 1, message.len() + 64]) {
                let cut = |number, mut frame: Vec<u8>| {
                    if number == at {
                        frame.resize(len, 0);
                    }
                    frame
                };
                assert!(login(identity, Trust::Anybody, cut).is_err(), "message {at}, {len}");
            }
        }
    }
}

#[test]
fn messages_of_another_login_are_refused() {
    let old = messages(None);
    for (at, message) in old.iter().enumerate() {
        let replay = |number, frame| if number == at { message.clone() } else { frame };
        let (hello, client) = Greeted::hello([20; 32], Trust::Anybody);
        let outcome = (|| {
            let (offer, server) = Offered::answer(&replay(0, hello), &[30; 64], None)?;
            let (proof, client) = client.prove(&replay(1, offer), b"ann:secret")?;
            let (_, server) = server.credentials(&replay(2, proof))?;
            client.result(&replay(3, server.accept(&Name::new("a", "b", 1).expect("a name"))))
        })();
        assert_eq!(outcome.err(), Some(LoginError::Proof), "message {at}");
    }
}

#[test]
fn a_key_that_is_used_twice_makes_another_secret_for_another_challenge() {
    let secret = |challenge: u8| {
        let (hello, client) = Greeted::hello([2; 32], Trust::Anybody);
        let mut random = [3; 64];
        random[63] = challenge;
        let (offer, _) = Offered::answer(&hello, &random, None).expect("a hello");
        client.prove(&offer, b"").expect("an offer").0
    };
    assert_ne!(secret(0), secret(1));
}

#[test]
fn somebody_in_the_middle_is_noticed_by_a_client_that_pins() {
    let fair = |_, frame| frame;
    assert!(login(Some(&identity()), pinned(), fair).is_ok());
    assert!(login(Some(&identity()), Trust::Anybody, fair).is_ok());
    let mallory = Identity::from_seed([66; 32]);
    for middle in [None, Some(&mallory)] {
        let outcome = login(middle, pinned(), fair);
        assert_eq!(outcome.err(), Some(LoginError::UnknownServer));
    }
    // He puts the server's identity and signature in his own offer.
    let (hello, _) = Greeted::hello([2; 32], Trust::Anybody);
    let (stolen, _) = Offered::answer(&hello, &[4; 64], Some(&identity())).expect("a hello");
    let outcome = login(Some(&mallory), pinned(), |number, mut frame| {
        if number == 1 {
            frame[65..161].copy_from_slice(&stolen[65..161]);
        }
        frame
    });
    assert_eq!(outcome.err(), Some(LoginError::UnknownServer));
}

#[test]
fn weak_keys_are_refused_by_both_sides() {
    let weaken = |at: usize, range: std::ops::Range<usize>| {
        login(None, Trust::Anybody, move |number, mut frame| {
            if number == at {
                frame[range.clone()].fill(0);
            }
            frame
        })
    };
    assert_eq!(weaken(0, 16..48).err(), Some(LoginError::WeakKey));
    assert_eq!(weaken(1, 33..65).err(), Some(LoginError::WeakKey));
}

#[test]
fn another_protocol_is_told_from_a_broken_one() {
    let (mut hello, _) = Greeted::hello([2; 32], Trust::Anybody);
    hello[14] = b'2';
    let outcome = Offered::answer(&hello, &[3; 64], None);
    assert_eq!(outcome.err(), Some(LoginError::Version));
    assert_eq!(LoginError::Version.code(), Code::BadRequest);
}

#[test]
fn refusals_reach_the_client_sealed_or_plain() {
    let begin = || {
        let (hello, client) = Greeted::hello([2; 32], Trust::Anybody);
        let (offer, server) = Offered::answer(&hello, &[3; 64], None).expect("a hello");
        let (proof, client) = client.prove(&offer, b"t").expect("an offer");
        (client, server.credentials(&proof).expect("a proof").1)
    };
    let (client, server) = begin();
    let outcome = client.result(&server.refuse(Code::Unauthorized));
    assert_eq!(outcome.err(), Some(LoginError::Refused(Code::Unauthorized)));
    let (client, _) = begin();
    let outcome = client.result(&refusal(Code::Busy));
    assert_eq!(outcome.err(), Some(LoginError::Refused(Code::Busy)));
    let (_, client) = Greeted::hello([2; 32], Trust::Anybody);
    let outcome = client.prove(&refusal(Code::Busy), b"t").map(|_| ());
    assert_eq!(outcome.err(), Some(LoginError::Refused(Code::Busy)));
    let (client, _) = begin();
    assert_eq!(client.result(&refusal(Code::Ok)).err(), Some(LoginError::Malformed));
}

#[test]
fn tokens_go_up_to_their_bound() {
    for len in [0, 61, 62, 63, TOKEN_BYTES_MAX] {
        let (hello, client) = Greeted::hello([2; 32], Trust::Anybody);
        let (offer, server) = Offered::answer(&hello, &[3; 64], None).expect("a hello");
        let (proof, _) = client.prove(&offer, &vec![7; len]).expect("an offer");
        assert_eq!((proof.len() - 48) % 64, 0);
        let (token, _) = server.credentials(&proof).expect("a proof");
        assert_eq!(token.as_bytes(), vec![7; len]);
    }
    let (_, client) = Greeted::hello([2; 32], Trust::Anybody);
    let outcome = client.prove(&messages(None)[1], &[0; TOKEN_BYTES_MAX + 1]).map(|_| ());
    assert_eq!(outcome.err(), Some(LoginError::TokenTooLong(TOKEN_BYTES_MAX + 1)));
}

/// A table with ann's session in it.
fn table(limits: Limits) -> (Sessions<u8>, LoggedIn) {
    let mut table = Sessions::new("games", limits).expect("a name");
    let secret = session().secret;
    let (name, ended) = table.open("ann", secret.clone(), 7, NOW).expect("room");
    assert!(ended.is_empty());
    (table, LoggedIn { name, secret })
}

fn outcome(table: &mut Sessions<u8>, frame: &[u8], connection: u8) -> Result<u32, Code> {
    let resumed = table.resume(frame, connection, NOW);
    resumed.outcome.map(|attached| attached.index)
}

#[test]
fn an_index_is_good_once_and_only_above_all_before() {
    let (mut table, ann) = table(Limits::default());
    let resume = |index| resume::write(&ann.name, index, &ann.secret);
    assert_eq!(outcome(&mut table, &resume(0), 1), Err(Code::Forbidden));
    assert_eq!(outcome(&mut table, &resume(5), 1), Ok(5));
    for old in [0, 1, 4, 5] {
        assert_eq!(outcome(&mut table, &resume(old), 2), Err(Code::Forbidden), "{old}");
    }
    assert_eq!(outcome(&mut table, &resume(6), 2), Ok(6));
    assert_eq!(outcome(&mut table, &resume(u32::MAX), 3), Ok(u32::MAX));
    assert_eq!(outcome(&mut table, &resume(u32::MAX), 4), Err(Code::Forbidden));
    assert_eq!(outcome(&mut table, &resume(0), 4), Err(Code::Forbidden), "it does not wrap");
}

#[test]
fn a_stolen_index_is_worth_nothing_and_tells_nothing() {
    let (mut table, ann) = table(Limits::default());
    let resume = |index| resume::write(&ann.name, index, &ann.secret);
    assert_eq!(outcome(&mut table, &resume(5), 1), Ok(5));
    for index in [1, 5, 6, u32::MAX] {
        let stolen = resume::write(&ann.name, index, &Secret::from([0; 32]));
        assert_eq!(outcome(&mut table, &stolen, 2), Err(Code::Unauthorized), "{index}");
    }
    // A frame that was heard, with the index raised.
    let mut raised = resume(5);
    raised[19] += 1;
    assert_eq!(outcome(&mut table, &raised, 2), Err(Code::Unauthorized));
    let other = Name::new("ann", "games", 8).expect("a name");
    let other = resume::write(&other, 6, &ann.secret);
    assert_eq!(outcome(&mut table, &other, 2), Err(Code::NotFound));
    assert_eq!(outcome(&mut table, &resume(6), 2), Ok(6), "nothing was used up");
}

#[test]
fn every_bit_and_every_cut_of_a_resume_is_refused_and_uses_up_nothing() {
    let (mut table, ann) = table(Limits::default());
    let frame = resume::write(&ann.name, 1, &ann.secret);
    for len in 0..frame.len() {
        assert_eq!(outcome(&mut table, &frame[..len], 1), Err(Code::BadRequest), "{len}");
    }
    for bit in 0..frame.len() * 8 {
        let mut other = frame.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(outcome(&mut table, &other, 1).is_err(), "bit {bit}");
    }
    assert_eq!(outcome(&mut table, &frame, 1), Ok(1));
}

#[test]
fn every_bit_and_every_cut_of_the_answer_is_refused() {
    let (mut table, ann) = table(Limits::default());
    let mut client = Requester::new(ann);
    let frame = client.resume().expect("an index");
    let answer = table.resume(&frame, 1, NOW).answer;
    let secret = client.session().secret.clone();
    let check = |answer: &[u8]| resume::check(answer, &frame, &secret);
    assert_eq!(check(&answer), Ok(()));
    for len in 0..answer.len() {
        assert!(check(&answer[..len]).is_err());
    }
    for bit in 0..answer.len() * 8 {
        let mut other = answer.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&other).is_err(), "bit {bit}");
    }
}

#[test]
fn a_session_ends_exactly_at_its_time() {
    let keep = Duration::from_secs(60);
    let last = Now::from_nanos((NOW + keep).as_nanos() - 1);
    let end = NOW + keep;
    let frame = |ann: &LoggedIn, index| resume::write(&ann.name, index, &ann.secret);

    let (mut sessions, ann) = table(Limits { keep, ..Limits::default() });
    assert_eq!(sessions.next_expiry(), Some(end));
    assert_eq!(sessions.expire(last), None);
    assert_eq!(sessions.resume(&frame(&ann, 1), 1, end).outcome, Err(Code::NotFound));
    assert!(sessions.resume(&frame(&ann, 1), 1, last).outcome.is_ok());
    assert_eq!((sessions.next_expiry(), sessions.expire(end)), (None, None), "it is connected");

    assert!(!sessions.lost(7, 2, NOW), "of another connection");
    assert!(sessions.lost(7, 1, NOW) && !sessions.lost(7, 1, NOW));
    assert_eq!(sessions.expire(last), None);
    let ended = sessions.expire(end);
    assert_eq!(ended, Some(Ended { name: ann.name.clone(), connection: None }));
    assert!(sessions.is_empty() && sessions.expire(end).is_none());
    assert_eq!(sessions.resume(&frame(&ann, 9), 1, NOW).outcome, Err(Code::NotFound));
}

#[test]
fn the_newest_connection_takes_the_session_over() {
    let (mut table, ann) = table(Limits::default());
    let frame = |index| resume::write(&ann.name, index, &ann.secret);
    let before = |resumed: Resumed<u8>| resumed.outcome.expect("taken").before;
    assert_eq!(before(table.resume(&frame(1), 1, NOW)), None);
    assert_eq!(before(table.resume(&frame(2), 2, NOW)), Some(1));
    assert!(!table.lost(7, 1, NOW), "the old one is gone, which is no loss");
    assert_eq!(table.next_expiry(), None);
    assert_eq!(table.end(7).map(|ended| ended.connection), Some(Some(2)));
}

#[test]
fn a_second_login_replaces_is_refused_or_is_one_more() {
    let secret = || Secret::from([4; 32]);
    let of = |logins| table(Limits { logins, ..Limits::default() }).0;

    let mut replace = of(Logins::Replace);
    let (name, ended) = replace.open("ann", secret(), 8, NOW).expect("room");
    assert_eq!((name.subid(), ended.len(), replace.len()), (8, 1, 1));

    let mut refuse = of(Logins::Refuse);
    assert_eq!(refuse.open("ann", secret(), 8, NOW).err(), Some(Code::NotAcceptable));
    assert!(refuse.open("bob", secret(), 8, NOW).is_ok());
    let (_, ended) = refuse.open("ann", secret(), 9, NOW + SESSION_KEEP).expect("it is over");
    assert_eq!(ended.len(), 1);

    let mut many = of(Logins::Many);
    let (name, ended) = many.open("ann", secret(), 7, NOW).expect("room");
    assert_eq!((name.subid(), ended.len(), many.len()), (8, 0, 2), "7 was taken");
}

#[test]
fn sessions_are_bounded_in_total() {
    let (mut table, _) = table(Limits { sessions_max: 2, ..Limits::default() });
    let secret = || Secret::from([4; 32]);
    assert!(table.open("bob", secret(), 1, NOW).is_ok());
    assert_eq!(table.open("eve", secret(), 2, NOW).err(), Some(Code::Busy));
    assert!(table.open("bob", secret(), 3, NOW).is_ok(), "in place of his own");
    assert!(table.end(7).is_some() && table.open("eve", secret(), 4, NOW).is_ok());
    assert_eq!(table.open("\n", secret(), 5, NOW).err(), Some(Code::Forbidden));
    assert!(Sessions::<u8>::new("", Limits::default()).is_err());
}

/// A server of one session, which answers each request with itself.
struct Echo {
    table: Sessions<u8>,
    window: Window,
    handled: Vec<u32>,
}

impl Echo {
    fn resume(&mut self, client: &mut Requester, connection: u8) {
        let frame = client.resume().expect("an index");
        let resumed = self.table.resume(&frame, connection, NOW);
        assert!(self.window.attach(resumed.outcome.expect("a session").index));
        assert_eq!(client.receive(&resumed.answer), Ok(Some(Event::Resumed)));
    }

    fn take(&mut self, frame: &Bytes) -> Option<Bytes> {
        let number = request_number(frame).expect("a request");
        match self.window.request(number, self.window.index()).expect("no misuse") {
            Asked::New => {
                self.handled.push(number);
                let reply = reply_frame(number, Code::Ok, &frame[REQUEST_HEAD_BYTES..]);
                self.window.reply(number, reply.clone()).then_some(reply)
            }
            Asked::Answered(reply) | Asked::Forgotten(reply) => Some(reply),
            Asked::Pending => None,
        }
    }
}

#[test]
fn a_connection_lost_at_any_step_loses_and_repeats_nothing() {
    // The connection is lost after `step` messages, of either direction.
    for step in 0..=12 {
        let (table, ann) = table(Limits::default());
        let mut client = Requester::new(ann);
        let mut server = Echo { table, window: Window::new(1 << 20), handled: Vec::new() };
        let mut left = step;
        let mut replies = Vec::new();
        server.resume(&mut client, 1);
        for payload in [b"a", b"b", b"c", b"d"] {
            client.request(payload).expect("room");
        }
        'connections: for connection in 2.. {
            while let Some(request) = client.poll_send() {
                for lost in 0..2 {
                    left -= i32::from(left >= 0);
                    if left == 0 {
                        if lost == 1 {
                            server.take(&request); // it came, its reply is lost
                        }
                        server.resume(&mut client, connection);
                        continue 'connections;
                    }
                }
                let Some(reply) = server.take(&request) else { continue };
                match client.receive(&reply).expect("a reply") {
                    Some(Event::Reply { number, code: Code::Ok, payload }) => {
                        replies.push((number, payload));
                    }
                    other => panic!("{other:?}"),
                }
            }
            break;
        }
        assert_eq!(server.handled, [1, 2, 3, 4], "step {step}");
        let bytes = |text: &'static [u8]| Bytes::from_static(text);
        let expected = [(1, bytes(b"a")), (2, bytes(b"b")), (3, bytes(b"c")), (4, bytes(b"d"))];
        assert_eq!(replies, expected, "step {step}");
        assert_eq!(client.open(), 0);
    }
}

#[test]
fn a_client_keeps_to_its_bounds() {
    let (_, ann) = table(Limits::default());
    let mut client = Requester::new(ann);
    assert_eq!(client.request(&[0; REQUEST_BYTES_MAX]), Ok(1));
    let too_long = client.request(&[0; REQUEST_BYTES_MAX + 1]);
    assert_eq!(too_long, Err(RequestError::TooLong(REQUEST_BYTES_MAX + 1)));
    for number in 2..=128 {
        assert_eq!(client.request(b""), Ok(number));
    }
    assert_eq!(client.request(b""), Err(RequestError::Full));
    assert_eq!(client.poll_send(), None, "it is not connected");
}

#[test]
fn a_client_takes_each_reply_once_and_no_other() {
    let (table, ann) = table(Limits::default());
    let mut server = Echo { table, window: Window::new(1 << 20), handled: Vec::new() };
    let mut client = Requester::new(ann);
    assert_eq!(client.receive(b"\x01"), Err(LoginError::Malformed), "not connected");
    server.resume(&mut client, 1);
    client.request(b"a").expect("room");
    let reply = reply_frame(1, Code::Ok, b"a");
    assert!(client.receive(&reply).expect("a reply").is_some());
    assert_eq!(client.receive(&reply), Ok(None), "the same again");
    let push = client.receive(&push_frame(b"news"));
    assert_eq!(push, Ok(Some(Event::Push(Bytes::from_static(b"news")))));
    assert_eq!(client.receive(&reply_frame(2, Code::Ok, b"")), Err(LoginError::Malformed));
    assert!(!client.is_connected());
    for bad in [&b""[..], b"\x00", b"\x01\0\0\0", b"\x01\0\0\0\x01\0\x01"] {
        server.resume(&mut client, 2);
        assert_eq!(client.receive(bad), Err(LoginError::Malformed), "{bad:?}");
    }
}

/// What a peer may send, chosen by a small generator: nothing panics.
#[test]
fn noise_panics_nobody() {
    let mut state = 1_u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    let good = messages(Some(&identity()));
    let (mut table, ann) = table(Limits::default());
    let resume = resume::write(&ann.name, 1, &ann.secret);
    for _ in 0..300 {
        let noise = |message: &[u8], draw: &mut dyn FnMut() -> usize| {
            let mut noise = message.to_vec();
            for _ in 0..draw() % 4 {
                let at = draw() % noise.len();
                noise[at] = draw() as u8;
            }
            noise.truncate(draw() % (noise.len() + 1));
            noise
        };
        let _ = Offered::answer(&noise(&good[0], &mut draw), &[3; 64], None);
        let (_, client) = Greeted::hello([2; 32], Trust::Anybody);
        let _ = client.prove(&noise(&good[1], &mut draw), b"t");
        let (_, server) = Offered::answer(&good[0], &[3; 64], None).expect("good");
        let _ = server.credentials(&noise(&good[2], &mut draw));
        let _ = table.resume(&noise(&resume, &mut draw), 1, NOW);
        let _ = request_number(&noise(&resume, &mut draw));
    }
}
