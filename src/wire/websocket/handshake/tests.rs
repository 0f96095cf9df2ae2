//! What is asked and answered, and what is refused on each side.

use super::*;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ASKS: &str = "upgrade: h2c, WebSocket\r\nsec-websocket-version: 13\r\n";

fn offer(lines: &str) -> Result<Offer<'_>, HandshakeError> {
    read_offer("GET", Fields::new(lines.as_bytes()))
}

#[test]
fn an_offer_is_read_with_its_lists_over_several_fields() {
    let lines = format!(
        "{ASKS}{KEY}sec-websocket-protocol: chat, superchat\r\nSec-WebSocket-Protocol: v2\r\n\
         origin: https://Example.org\r\nsec-websocket-extensions: x\r\n\
         sec-websocket-extensions: permessage-deflate\r\n"
    );
    let offer = offer(&lines).expect("an offer");
    assert_eq!(offer.accept_key(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(offer.protocols().collect::<Vec<_>>(), ["chat", "superchat", "v2"]);
    assert_eq!(offer.choose_protocol(&["v2", "superchat"]), Some("superchat"));
    assert_eq!(offer.choose_protocol(&["v3"]), None);
    assert!(offer.is_from(&["https://example.org"]) && !offer.is_from(&["https://else.org"]));
    assert!(offer.choose_deflate(&DeflateOffer::default()).is_some());
}

#[test]
fn what_is_no_handshake_is_refused_with_its_status() {
    let refused = |method, lines: &str| {
        read_offer(method, Fields::new(lines.as_bytes())).map(|_| ()).expect_err("refused")
    };
    assert_eq!(refused("GET", KEY), HandshakeError::NotAnUpgrade);
    assert_eq!(refused("POST", &format!("{ASKS}{KEY}")), HandshakeError::NotGet);
    let old = format!("upgrade: websocket\r\nsec-websocket-version: 8\r\n{KEY}");
    assert_eq!(refused("GET", &old), HandshakeError::Version);
    let twice = format!("{ASKS}sec-websocket-version: 13\r\n{KEY}");
    assert_eq!(refused("GET", &twice), HandshakeError::Version);
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "!".repeat(24).as_str(),
    ] {
        let lines = format!("{ASKS}sec-websocket-key: {key}\r\n");
        assert_eq!(refused("GET", &lines), HandshakeError::BadKey, "{key}");
    }
    assert_eq!(refused("GET", &format!("{ASKS}{KEY}{KEY}")), HandshakeError::BadKey);
    let made_up = format!("{ASKS}sec-websocket-key: dGhlIHNhbXBsZSBub25jZZ==\r\n");
    assert!(offer(&made_up).is_ok(), "its spare bits are set");
    assert_eq!(HandshakeError::Version.status(), 426);
}

#[test]
fn an_offer_from_no_page_is_from_everywhere_and_null_from_nowhere() {
    let none = format!("{ASKS}{KEY}");
    assert!(offer(&none).expect("an offer").is_from(&["https://example.org"]));
    let null = format!("{ASKS}{KEY}origin: null\r\n");
    assert!(!offer(&null).expect("an offer").is_from(&["https://example.org"]));
}

fn plan(protocols: &[String], deflate: Option<DeflateOffer>) -> RequestPlan<'_> {
    RequestPlan {
        host: "a:81",
        target: "/chat?x=1",
        nonce: *b"the sample nonce",
        protocols,
        deflate,
        fields: b"x-y: z\r\n",
    }
}

fn answer(extra: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extra}\r\n"
    )
}

#[test]
fn a_request_is_one_that_a_server_reads() {
    let protocols = ["v2".to_owned(), "v1".to_owned()];
    let plan = plan(&protocols, Some(DeflateOffer::default()));
    let bytes = plan.write();
    let text = std::str::from_utf8(&bytes).expect("text");
    assert!(text.starts_with("GET /chat?x=1 HTTP/1.1\r\nhost: a:81\r\n"), "{text}");
    assert!(text.ends_with("x-y: z\r\n\r\n"), "{text}");
    let lines = text.split_once("\r\n").expect("lines").1;
    let offer = offer(lines).expect("an offer");
    assert_eq!(offer.choose_protocol(&["v1", "v2"]), Some("v2"));
    assert!(offer.choose_deflate(&DeflateOffer::default()).is_some());
}

#[test]
fn answers_are_checked_against_what_was_asked() {
    let protocols = ["v2".to_owned()];
    let check = |text: &str| plan(&protocols, Some(DeflateOffer::default())).check(text.as_bytes());
    let plain = check(&answer("")).expect("an answer");
    assert_eq!(plain, Answer { protocol: None, deflate: None });
    let full =
        answer("sec-websocket-protocol: v2\r\nsec-websocket-extensions: permessage-deflate\r\n");
    let full = check(&full).expect("an answer");
    assert!(full.protocol.as_deref() == Some("v2") && full.deflate.is_some());
    assert_eq!(check("HTTP/1.1 403 Forbidden\r\n\r\n"), Err(BadAnswer::Status(403)));
    assert_eq!(check("SSH-2.0-OpenSSH\r\n\r\n"), Err(BadAnswer::Malformed));
    assert_eq!(check(&answer("").replace("Upgrade: web", "X: web")), Err(BadAnswer::NoUpgrade));
    assert_eq!(check(&answer("").replace("s3p", "s3q")), Err(BadAnswer::BadAccept));
    assert_eq!(check(&answer("sec-websocket-protocol: v3\r\n")), Err(BadAnswer::Protocol));
    let unknown = check(&answer("sec-websocket-extensions: mux\r\n"));
    assert!(matches!(unknown, Err(BadAnswer::Extension(_))));
    let unasked = answer("sec-websocket-extensions: permessage-deflate\r\n");
    let unasked = plan(&protocols, None).check(unasked.as_bytes());
    assert!(matches!(unasked, Err(BadAnswer::Extension(_))));
}
