use super::*;

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA";

fn refused(text: &str) -> (usize, String) {
    let (line, error) = parse(text).expect_err(text);
    (line, error.to_string())
}

#[test]
fn comments_blank_lines_and_line_ends_of_any_kind_are_read() {
    let text = format!("# people\r\n\r\n  alice:{HASH}  \r\n\t# more\nbob:{HASH}\n\n");
    let accounts = parse(&text).expect("it is well-formed");
    let names: Vec<&str> = accounts.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert!(parse("").expect("nobody").is_empty());
    assert_eq!(parse(&format!("a:{HASH}")).expect("no line end").len(), 1);
}

#[test]
fn each_malformed_line_is_refused_with_its_number_and_reason() {
    let hash = |head: &str| format!("{head}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA");
    let cases = [
        ("alice".into(), "write name:$argon2id$"),
        (format!(":{HASH}"), "bad name"),
        (format!("a b:{HASH}"), "bad name"),
        (format!("a\u{7}:{HASH}"), "bad name"),
        (format!("{}:{HASH}", "x".repeat(NAME_BYTES_MAX + 1)), "bad name"),
        ("a:".into(), "no hash of argon2id"),
        ("a:secret".into(), "no hash of argon2id"),
        (format!("a: {HASH}"), "no hash of argon2id"),
        ("a:$2y$10$N9qo8uLOickgx2ZMRZoMye".into(), "no hash of argon2id"),
        (format!("a:{}", hash("$argon2i$v=19$m=8,t=1,p=1")), "no hash of argon2id"),
        (format!("a:{}", hash("$argon2d$v=19$m=8,t=1,p=1")), "no hash of argon2id"),
        (format!("a:{}", hash("$argon2id$v=16$m=8,t=1,p=1")), "v=19"),
        (format!("a:{}", hash("$argon2id$m=8,t=1,p=1")), "v=19"),
        (format!("a:{}", hash("$argon2id$v=19")), "no m="),
        (format!("a:{}", hash("$argon2id$v=19$m=8,p=1")), "no t="),
        (format!("a:{}", hash("$argon2id$v=19$m=8,t=1,p=1,keyid=AAAA")), "keyid="),
        (format!("a:{}", hash("$argon2id$v=19$m=8,t=0,p=1")), "cannot be read"),
        (format!("a:{}", hash("$argon2id$v=19$m=7,t=1,p=1")), "cannot be read"),
        (format!("a:{}", hash("$argon2id$v=19$m=99999999999,t=1,p=1")), "cannot be read"),
        ("a:$argon2id$v=19$m=8,t=1,p=1".into(), "no salt"),
        ("a:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ".into(), "behind the salt"),
        ("a:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAA".into(), "guessed"),
        (format!("a:{HASH}$x"), "trailing"),
    ];
    for (line, why) in cases {
        let text = format!("# one\nalice:{HASH}\n\n{line}\n");
        let (number, message) = refused(&text);
        assert_eq!(number, 4, "{line}: {message}");
        assert!(message.contains(why), "{line}: {message}");
        assert!(!message.contains("c2FsdHNhbHQ"), "no hash is printed: {message}");
    }
}

#[test]
fn a_name_is_given_once() {
    let (line, message) = refused(&format!("a:{HASH}\nb:{HASH}\na:{HASH}\n"));
    assert_eq!(line, 3);
    assert!(message.contains("\"a\" is in line 1"), "{message}");
}

#[test]
fn the_last_costs_allowed_and_the_first_refused() {
    let parse = |m: u64, t: u64, p: u32| {
        parse_hash(&format!("$argon2id$v=19$m={m},t={t},p={p}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"))
    };
    let (m, t, p) = (u64::from(MEMORY_KIB_MAX), u64::from(PASSES_MAX), LANES_MAX);
    for allowed in [(m, WORK_KIB_MAX / m, 1), (WORK_KIB_MAX / t, t, 1), (8 * u64::from(p), 1, p)] {
        parse(allowed.0, allowed.1, allowed.2).expect("allowed");
    }
    for refused in [
        (m + 1, 1, 1),
        (8, t + 1, 1),
        (1024, 1, p + 1),
        (m, WORK_KIB_MAX / m + 1, 1),
        (1 << 31, 1 << 31, 1),
    ] {
        let error = parse(refused.0, refused.1, refused.2).expect_err("refused");
        assert!(matches!(error, LineError::Costly { .. }), "{refused:?}: {error}");
    }
}

#[test]
fn a_cut_or_mutated_file_never_panics() {
    let text = format!("# c\nalice:{HASH}\nbob:{HASH}\n");
    for at in 0..text.len() {
        let _ = parse(&text[..at]);
        for byte in [b'$', b'=', b',', b'\n', b':', b'9', b' '] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = byte;
            let _ = parse(std::str::from_utf8(&bytes).expect("ASCII"));
        }
    }
}

#[test]
fn names_and_passwords_of_new_accounts_have_bounds() {
    assert_eq!(line("", "x"), Err(LineError::Name));
    assert_eq!(line("#a", "x"), Err(LineError::Name));
    assert_eq!(line("a", ""), Err(LineError::NoPassword));
    let long = "p".repeat(PASSWORD_BYTES_MAX + 1);
    assert_eq!(line("a", &long), Err(LineError::LongPassword(PASSWORD_BYTES_MAX + 1)));
    let line = line(&"n".repeat(NAME_BYTES_MAX), &long[1..]).expect("the last allowed");
    assert_eq!(parse(&line).expect("what is printed is read").len(), 1);
    assert!(!line.contains("ppp"));
}

#[test]
fn a_file_is_read_and_its_errors_name_it() {
    let folder = std::env::temp_dir().join(format!("skyring-accounts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("accounts");
    let missing = load(&path).expect_err("not there").to_string();
    assert!(missing.contains("accounts") && missing.contains("cannot read"), "{missing}");
    std::fs::write(&path, format!("alice:{HASH}\n")).expect("written");
    assert_eq!(load(&path).expect("read").len(), 1);
    std::fs::write(&path, [b"# x\n# ".as_slice(), &[0xff], b"\n"].concat()).expect("written");
    let bytes = load(&path).expect_err("not text").to_string();
    assert!(bytes.ends_with("accounts:2: not UTF-8"), "{bytes}");
    std::fs::remove_dir_all(&folder).expect("removed");
}
