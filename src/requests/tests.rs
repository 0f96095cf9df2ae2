use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::answer::{Last, error, ok};
use super::parse::parse;
use super::*;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("JSON is text")
}

fn answered(answer: &impl Answer) -> (String, bool) {
    let mut out = Vec::new();
    let is_last = ok(answer, &mut out).expect("a struct or a map");
    serde_json::from_slice::<Value>(&out).expect("JSON");
    (text(&out).to_owned(), is_last)
}

#[test]
fn an_answer_is_a_status_and_the_fields_beside_it() {
    #[derive(serde::Serialize)]
    struct Echo<'a> {
        echo: &'a str,
    }
    #[derive(serde::Serialize)]
    struct Nothing {}
    assert_eq!(
        answered(&Echo { echo: "a\"\n" }),
        (r#"{"status":"ok","echo":"a\"\n"}"#.into(), false)
    );
    assert_eq!(answered(&()), (r#"{"status":"ok"}"#.into(), false));
    assert_eq!(answered(&Nothing {}), (r#"{"status":"ok"}"#.into(), false));
    assert_eq!(answered(&Last(())), (r#"{"status":"ok"}"#.into(), true));
    for bare in [Value::from(5), Value::from("text"), Value::Array(vec![])] {
        assert!(ok(&bare, &mut Vec::new()).is_err(), "{bare}");
    }
    let mut out = Vec::new();
    error("a \"b\"", &mut out);
    assert_eq!(text(&out), r#"{"status":"error","message":"a \"b\""}"#);
}

#[test]
fn what_the_data_borrow_is_not_copied() {
    #[derive(Deserialize)]
    struct Text<'a> {
        text: &'a str,
    }
    let bytes = br#"{"data":{"text":"where it lies"},"cmd":"echo"}"#;
    let request = parse(bytes).expect("a request");
    let text = request.data.read::<Text<'_>>().expect("borrowed").text;
    assert!(bytes.as_ptr_range().contains(&text.as_ptr()), "in the bytes of the request");
    assert!(matches!(request.cmd, std::borrow::Cow::Borrowed("echo")));
    assert_eq!(parse(br#"{"cmd":"\u0065cho"}"#).expect("escaped").cmd, "echo");
}

#[test]
fn data_are_read_as_what_the_command_needs() {
    let data = |json: &'static str| parse(json.as_bytes()).expect("a request").data;
    let bare = data(r#"{"cmd":"x"}"#);
    bare.read::<()>().expect("none");
    assert_eq!(bare.read::<Option<u8>>().expect("may be left out"), None);
    bare.read::<IgnoredAny>().expect("ignored");
    assert_eq!(bare.json(), "null");
    assert!(bare.read::<u8>().expect_err("needed").to_string().contains("needs data"));
    let null = data(r#"{"cmd":"x", "data" : null }"#);
    null.read::<()>().expect("null");
    assert!(null.read::<u8>().expect_err("a number").to_string().starts_with("Bad data"));
    assert_eq!(data(r#"{"data":  7 ,"cmd":"x"}"#).read::<u8>().expect("a number"), 7);
}

#[test]
fn every_cut_of_a_request_is_refused() {
    let whole =
        br#" {"cmd":"\u0065ch\ud83d\ude00","more":[{}],"data":{"text":"a\u0000","n":-1e5}} "#;
    let last = whole.iter().rposition(|byte| *byte == b'}').expect("its end");
    for end in 0..=last {
        let bad = parse(&whole[..end]).expect_err("cut");
        assert!(matches!(bad, BadRequest::NotJson(_)), "{bad:?} at {end}");
    }
    parse(whole).expect("whole").data.read::<Value>().expect("JSON");
}

#[test]
fn mutated_requests_never_panic_and_keep_their_messages_short() {
    let whole = br#"{"cmd":"echo","data":{"text":"caf\u00e9 \xc3\xa9","n":[1,2,{"a":null}]}}"#;
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut bytes = whole.to_vec();
            bytes[at] = byte;
            match parse(&bytes) {
                Ok(request) => drop(request.data.read::<Value>()),
                Err(bad) => assert!(bad.to_string().len() < 300, "{bad}"),
            }
        }
    }
    let long = format!(r#""{}""#, "é".repeat(40_000));
    let bad = parse(long.as_bytes()).expect_err("no object").to_string();
    assert!(bad.len() < 300 && bad.ends_with("..."), "{bad}");
}

#[test]
fn nesting_has_a_last_depth_and_costs_no_stack() {
    let nested = |depth: usize| {
        format!(r#"{{"cmd":"x","data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    let read =
        |text: &str| parse(text.as_bytes()).expect("well-formed").data.read::<Value>().map(drop);
    read(&nested(127)).expect("the last allowed");
    let refused = read(&nested(128)).expect_err("the first refused").to_string();
    assert!(refused.contains("recursion limit"), "{refused}");
    let deep = nested(1_000_000);
    parse(deep.as_bytes()).expect("skipped").data.read::<IgnoredAny>().expect("ignored");
    let unclosed = format!(r#"{{"cmd":"x","data":{}"#, "[".repeat(1_000_000));
    parse(unclosed.as_bytes()).expect_err("cut");
}

#[test]
#[should_panic(expected = "two handlers")]
fn a_command_has_one_handler() {
    let on = |table: Requests<()>| table.on("x", async |_, _, _: ()| Ok(()));
    let _ = on(on(Requests::new()));
}
